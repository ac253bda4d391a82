/* raft/message_codec.c - the bytes of messages. */
#include "raft/message_codec.h"

#include "core/base/check.h"
#include "core/base/hash.h"

/* A message, little-endian:
 *    0  1  version, 1
 *    1  1  kind, enum raft_message_kind
 *    2  1  1: forced, granted or refused, for kinds that know it; else 0
 *    3  1  0
 *    4  4  the low half of XXH3-64 over bytes 8 to the end, seeded with bytes 0 to 3
 *    8  4  group
 *   12  4  count of entries (APPEND), bytes of data (SNAPSHOT), else 0
 *   16  8  from
 *   24  8  to
 *   32  8  term
 *   40  8  for each number of the kind, in the order of `rows`
 *    -  -  APPEND, for each entry: 8 term, 4 data_bytes, 1 kind, 3 zeros, the data
 *          SNAPSHOT: 4 bytes of membership, the membership (membership.c), the data
 * Valid: every number at most RAFT_NUMBER_MAX; counts within bounds; kinds known; nothing behind. Encoding
 * what was decoded gives the same bytes. */
enum {
    VERSION = 1,
    HEAD_BYTES = 40,
    ENTRY_HEAD_BYTES = 16,
    NUMBERS_MAX = 5,
    CHECKED_FROM = 8,
};

#define AT(member) (uint16_t) offsetof(struct raft_message, member)

struct row {
    uint8_t number_count;
    uint16_t numbers[NUMBERS_MAX];
    uint16_t flag; /* 0: none */
};

static const struct row rows[RAFT_MESSAGE_KINDS] = {
    [RAFT_MESSAGE_PRE_VOTE] = {2, {AT(vote.last_index), AT(vote.last_term)}, AT(vote.forced)},
    [RAFT_MESSAGE_PRE_VOTE_REPLY] = {0, {0}, AT(vote_reply.granted)},
    [RAFT_MESSAGE_VOTE] = {2, {AT(vote.last_index), AT(vote.last_term)}, AT(vote.forced)},
    [RAFT_MESSAGE_VOTE_REPLY] = {0, {0}, AT(vote_reply.granted)},
    [RAFT_MESSAGE_APPEND] = {4,
                             {AT(append.previous_index), AT(append.previous_term), AT(append.commit_index),
                              AT(append.tick)},
                             0},
    [RAFT_MESSAGE_APPEND_REPLY] = {4,
                                   {AT(append_reply.index), AT(append_reply.tick),
                                    AT(append_reply.hint_index), AT(append_reply.hint_term)},
                                   AT(append_reply.refused)},
    [RAFT_MESSAGE_HEARTBEAT] = {3, {AT(heartbeat.commit_index), AT(heartbeat.tick), AT(heartbeat.round)}, 0},
    [RAFT_MESSAGE_HEARTBEAT_REPLY] = {2, {AT(heartbeat_reply.tick), AT(heartbeat_reply.round)}, 0},
    [RAFT_MESSAGE_SNAPSHOT] = {2,
                               {AT(chunk.offset_bytes), AT(chunk.tick)},
                               0}, /* and three of the snapshot */
    [RAFT_MESSAGE_SNAPSHOT_REPLY] = {4,
                                     {AT(snapshot_reply.index), AT(snapshot_reply.term),
                                      AT(snapshot_reply.offset_bytes), AT(snapshot_reply.tick)},
                                     0},
    [RAFT_MESSAGE_TIMEOUT_NOW] = {0, {0}, 0},
    [RAFT_MESSAGE_REMOVED] = {2, {AT(removed.index), AT(removed.term)}, 0},
};

static uint8_t *put(uint8_t *at, uint64_t value, unsigned count)
{
    for (unsigned byte = 0; byte < count; byte++)
        *at++ = (uint8_t)(value >> (8 * byte));
    return at;
}

static uint64_t get(const uint8_t *at, unsigned count)
{
    uint64_t value = 0;
    for (unsigned byte = 0; byte < count; byte++)
        value |= (uint64_t)at[byte] << (8 * byte);
    return value;
}

static uint32_t checksum(const uint8_t *bytes, size_t count)
{
    return (uint32_t)hash_bytes(bytes_of(bytes + CHECKED_FROM, count - CHECKED_FROM), get(bytes, 4));
}

static size_t numbers_bytes(enum raft_message_kind kind)
{
    return 8 * (rows[kind].number_count + (kind == RAFT_MESSAGE_SNAPSHOT ? 3U : 0U));
}

size_t raft_message_bytes(const struct raft_message *message)
{
    size_t bytes = HEAD_BYTES + numbers_bytes(message->kind);
    if (message->kind == RAFT_MESSAGE_APPEND) {
        for (uint32_t i = 0; i < message->append.entry_count; i++)
            bytes += ENTRY_HEAD_BYTES + message->append.entries[i].data.count;
    } else if (message->kind == RAFT_MESSAGE_SNAPSHOT) {
        uint8_t membership[RAFT_MEMBERSHIP_BYTES_MAX];
        bytes += 4 + raft_membership_encode(&message->chunk.snapshot->membership, membership) +
                 message->chunk.count_bytes;
    }
    return bytes;
}

static uint8_t *put_entries(uint8_t *at, const struct raft_append *append)
{
    for (uint32_t i = 0; i < append->entry_count; i++) {
        const struct raft_entry *entry = &append->entries[i];
        at = put(at, entry->term, 8);
        at = put(at, entry->data.count, 4);
        at = put(at, entry->kind, 4);
        if (entry->data.count > 0)
            memcpy(at, entry->data.data, entry->data.count);
        at += entry->data.count;
    }
    return at;
}

static uint8_t *put_chunk(uint8_t *at, const struct raft_chunk *chunk)
{
    at = put(at, chunk->snapshot->index, 8);
    at = put(at, chunk->snapshot->term, 8);
    at = put(at, chunk->snapshot->size_bytes, 8);
    size_t membership = raft_membership_encode(&chunk->snapshot->membership, at + 4);
    at = put(at, membership, 4) + membership;
    if (chunk->count_bytes > 0)
        memcpy(at, chunk->data, chunk->count_bytes);
    return at + chunk->count_bytes;
}

void raft_message_encode(const struct raft_message *message, uint32_t group, uint8_t *to)
{
    ASSERT(message->kind < RAFT_MESSAGE_KINDS);
    const struct row *row = &rows[message->kind];
    const uint8_t *fields = (const uint8_t *)message;
    uint32_t count = 0;
    if (message->kind == RAFT_MESSAGE_APPEND)
        count = message->append.entry_count;
    else if (message->kind == RAFT_MESSAGE_SNAPSHOT)
        count = message->chunk.count_bytes;
    uint8_t *at = put(to, VERSION, 1);
    at = put(at, message->kind, 1);
    at = put(at, row->flag != 0 && fields[row->flag] != 0, 2);
    at = put(at, 0, 4);
    at = put(at, group, 4);
    at = put(at, count, 4);
    at = put(at, message->from, 8);
    at = put(at, message->to, 8);
    at = put(at, message->term, 8);
    for (unsigned i = 0; i < row->number_count; i++) {
        uint64_t number;
        memcpy(&number, fields + row->numbers[i], sizeof number);
        at = put(at, number, 8);
    }
    if (message->kind == RAFT_MESSAGE_APPEND)
        at = put_entries(at, &message->append);
    else if (message->kind == RAFT_MESSAGE_SNAPSHOT)
        at = put_chunk(at, &message->chunk);
    put(to + 4, checksum(to, (size_t)(at - to)), 4);
}

static bool get_entries(struct bytes rest, uint32_t count, struct raft_decoded *decoded)
{
    const uint8_t *at = rest.data, *end = rest.data + rest.count;
    if (count > RAFT_ENTRIES_PER_MESSAGE_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (end - at < ENTRY_HEAD_BYTES)
            return false;
        uint64_t term = get(at, 8), data_bytes = get(at + 8, 4), kind = get(at + 12, 4);
        at += ENTRY_HEAD_BYTES;
        if (term > RAFT_NUMBER_MAX || kind >= RAFT_ENTRY_KINDS || data_bytes > (uint64_t)(end - at))
            return false;
        decoded->entries[i] = (struct raft_entry){
            .term = term, .kind = (enum raft_entry_kind)kind, .data = bytes_of(at, data_bytes)};
        at += data_bytes;
    }
    decoded->message.append.entries = decoded->entries;
    decoded->message.append.entry_count = count;
    return at == end;
}

static bool get_chunk(struct bytes rest, uint32_t count, struct raft_decoded *decoded)
{
    enum { FIXED_BYTES = 3 * 8 + 4 };
    if (rest.count < FIXED_BYTES)
        return false;
    uint64_t index = get(rest.data, 8), term = get(rest.data + 8, 8), size = get(rest.data + 16, 8);
    uint64_t membership = get(rest.data + 24, 4);
    if (index > RAFT_NUMBER_MAX || term > RAFT_NUMBER_MAX || size > RAFT_NUMBER_MAX ||
        rest.count - FIXED_BYTES != membership + count ||
        !raft_membership_decode(bytes_of(rest.data + FIXED_BYTES, membership), &decoded->snapshot.membership))
        return false;
    decoded->snapshot.index = index;
    decoded->snapshot.term = term;
    decoded->snapshot.size_bytes = size;
    decoded->message.chunk.snapshot = &decoded->snapshot;
    decoded->message.chunk.count_bytes = count;
    decoded->message.chunk.data = rest.data + FIXED_BYTES + membership;
    return true;
}

static bool get_numbers(const uint8_t *at, const struct row *row, struct raft_message *message)
{
    for (unsigned i = 0; i < row->number_count; i++) {
        uint64_t number = get(at + (size_t)8 * i, 8);
        if (number > RAFT_NUMBER_MAX)
            return false;
        memcpy((uint8_t *)message + row->numbers[i], &number, sizeof number);
    }
    return true;
}

static bool get_head(struct bytes from, struct raft_decoded *decoded)
{
    struct raft_message *message = &decoded->message;
    *message = (struct raft_message){.kind = (enum raft_message_kind)from.data[1],
                                     .from = get(from.data + 16, 8),
                                     .to = get(from.data + 24, 8),
                                     .term = get(from.data + 32, 8)};
    decoded->group = (uint32_t)get(from.data + 8, 4);
    const struct row *row = &rows[message->kind];
    if (from.data[2] > (row->flag != 0) || from.data[3] != 0)
        return false;
    if (row->flag != 0) {
        bool flag = from.data[2] == 1;
        memcpy((uint8_t *)message + row->flag, &flag, sizeof flag);
    }
    return message->from > 0 && message->from <= RAFT_NUMBER_MAX && message->to > 0 &&
           message->to <= RAFT_NUMBER_MAX && message->term <= RAFT_NUMBER_MAX;
}

enum raft_decode_result raft_message_decode(struct bytes from, struct raft_decoded *decoded)
{
    if (from.count == 0)
        return RAFT_DECODE_INVALID;
    if (from.data[0] != VERSION)
        return RAFT_DECODE_VERSION;
    if (from.count < HEAD_BYTES)
        return RAFT_DECODE_INVALID;
    if (checksum(from.data, from.count) != get(from.data + 4, 4))
        return RAFT_DECODE_DAMAGED;
    if (from.data[1] >= RAFT_MESSAGE_KINDS || !get_head(from, decoded))
        return RAFT_DECODE_INVALID;
    const struct row *row = &rows[decoded->message.kind];
    size_t numbers = (size_t)8 * row->number_count;
    if (from.count < HEAD_BYTES + numbers || !get_numbers(from.data + HEAD_BYTES, row, &decoded->message))
        return RAFT_DECODE_INVALID;
    struct bytes rest = bytes_of(from.data + HEAD_BYTES + numbers, from.count - HEAD_BYTES - numbers);
    uint32_t count = (uint32_t)get(from.data + 12, 4);
    bool valid;
    if (decoded->message.kind == RAFT_MESSAGE_APPEND)
        valid = get_entries(rest, count, decoded);
    else if (decoded->message.kind == RAFT_MESSAGE_SNAPSHOT)
        valid = get_chunk(rest, count, decoded);
    else
        valid = rest.count == 0 && count == 0;
    return valid ? RAFT_DECODED : RAFT_DECODE_INVALID;
}
