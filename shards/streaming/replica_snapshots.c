/* shards/streaming/replica_snapshots.c - see replica_snapshots.h.
 * The record "snapshot" of kind STORE_STATE_RAFT, little-endian:
 *    0  8  index of the last entry that it replaces
 *    8  8  term of that entry
 *   16  8  size in bytes
 *   24  4  CRC32C of the bytes
 *   28  -  the members, as raft_membership_encode() writes them
 * Its bytes are the messages 1, 2, ... of channel "/raft/<group>/snapshot/<index>", SNAPSHOT_PIECE_BYTES each
 * but the last. */
#include "shards/streaming/replica_snapshots.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "store/record.h"

#include <inttypes.h>
#include <isa-l/crc.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIELDS_BYTES = 28, RECORD_BYTES_MAX = FIELDS_BYTES + RAFT_MEMBERSHIP_BYTES_MAX, KEY_BYTES = 16 };

struct snapshot_name {
    char text[STORE_PRIVATE_NAME_BYTES_MAX];
};

static struct snapshot_name prefix_of(uint32_t group)
{
    struct snapshot_name name;
    snprintf(name.text, sizeof name.text, "/raft/%" PRIu32 "/snapshot/", group);
    return name;
}

static struct snapshot_name name_of(uint32_t group, uint64_t index)
{
    struct snapshot_name name;
    snprintf(name.text, sizeof name.text, "/raft/%" PRIu32 "/snapshot/%" PRIu64, group, index);
    return name;
}

static struct bytes key_of(uint32_t group, char *key)
{
    int count = snprintf(key, KEY_BYTES, "s%" PRIu32, group);
    return bytes_of(key, (size_t)count);
}

static uint32_t checksum(uint32_t crc, const uint8_t *bytes, uint64_t count)
{
    while (count > 0) { /* the library counts in int */
        int part = count < 1U << 30 ? (int)count : 1 << 30;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)bytes, part, crc);
        bytes += part;
        count -= (uint64_t)part;
    }
    return crc;
}

/* ---- which there are ---- */

static struct snapshot_channel *kept_find(struct replica_snapshots *snapshots, uint64_t index)
{
    for (uint32_t i = 0; i < SNAPSHOTS_KEPT; i++) {
        if (snapshots->kept[i].index == index)
            return &snapshots->kept[i];
    }
    return NULL;
}

/* A delete that finds no room leaves it to the next trim. */
static bool kept_delete(struct replica_snapshots *snapshots, struct snapshot_channel *kept)
{
    if (store_channel_delete(snapshots->store, kept->channel) != ERR_OK)
        return false;
    *kept = (struct snapshot_channel){0};
    return true;
}

struct record_wanted {
    struct bytes key;
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t count; /* 0: there is none */
    bool bad;
};

static enum err record_take(void *context, const struct store_state *state)
{
    struct record_wanted *wanted = context;
    if (state->kind != STORE_STATE_RAFT || !bytes_equal(state->id, wanted->key))
        return ERR_OK;
    wanted->bad = state->part_count != 1 || state->parts[0].count > sizeof wanted->bytes;
    if (wanted->bad)
        return ERR_OK;
    wanted->count = state->parts[0].count;
    memcpy(wanted->bytes, state->parts[0].data, wanted->count);
    return ERR_OK;
}

static enum err record_read(struct replica_snapshots *snapshots)
{
    char key[KEY_BYTES];
    struct record_wanted record = {.key = key_of(snapshots->group, key)};
    struct raft_snapshot *newest = &snapshots->newest;
    enum err err = store_state_each(snapshots->store, record_take, &record);
    if (err != ERR_OK || (record.count == 0 && !record.bad))
        return err;
    if (record.bad || record.count < FIELDS_BYTES ||
        !raft_membership_decode(bytes_of(record.bytes + FIELDS_BYTES, record.count - FIELDS_BYTES),
                                &newest->membership))
        return ERR_DAMAGED;
    newest->index = get_u64(record.bytes);
    newest->term = get_u64(record.bytes + 8);
    newest->size_bytes = get_u64(record.bytes + 16);
    snapshots->newest_crc = get_u32(record.bytes + 24);
    return newest->index == 0 || newest->size_bytes > SNAPSHOT_BYTES_MAX ? ERR_DAMAGED : ERR_OK;
}

/* Keeps the channel of the newest and deletes the others: nothing is being sent yet. */
static enum err channels_take(struct replica_snapshots *snapshots)
{
    struct snapshot_name prefix = prefix_of(snapshots->group);
    struct snapshot_name newest = name_of(snapshots->group, snapshots->newest.index);
    struct store_channel *next = NULL;
    for (struct store_channel *channel = store_private_next(snapshots->store, NULL); channel != NULL;
         channel = next) {
        next = store_private_next(snapshots->store, channel);
        struct bytes name = store_channel_name(channel);
        if (!bytes_start_with(name, text(prefix.text)))
            continue;
        if (snapshots->newest.index != 0 && bytes_equal(name, text(newest.text))) {
            snapshots->kept[0] = (struct snapshot_channel){
                .index = snapshots->newest.index,
                .size_bytes = snapshots->newest.size_bytes,
                .channel = channel,
            };
            continue;
        }
        enum err err = store_channel_delete(snapshots->store, channel);
        if (err != ERR_OK)
            return err;
    }
    return snapshots->newest.index != 0 && snapshots->kept[0].index == 0 ? ERR_DAMAGED : ERR_OK;
}

enum err snapshots_open(struct replica_snapshots *snapshots, struct store *store, uint32_t group)
{
    *snapshots = (struct replica_snapshots){.store = store, .group = group};
    snapshots->piece = memory_new(SNAPSHOT_PIECE_BYTES);
    enum err err = snapshots->piece == NULL ? ERR_MEMORY : record_read(snapshots);
    if (err == ERR_OK)
        err = channels_take(snapshots);
    if (err != ERR_OK)
        snapshots_close(snapshots);
    return err;
}

void snapshots_close(struct replica_snapshots *snapshots)
{
    memory_free(snapshots->saving.bytes);
    memory_free(snapshots->incoming.bytes);
    memory_free(snapshots->piece);
    *snapshots = (struct replica_snapshots){0};
}

enum err snapshots_load(struct replica_snapshots *snapshots, uint8_t **bytes)
{
    *bytes = NULL;
    uint64_t size_bytes = snapshots->newest.size_bytes, at = 0;
    if (snapshots->newest.index == 0)
        return ERR_OK;
    struct store_channel *channel = kept_find(snapshots, snapshots->newest.index)->channel;
    uint8_t *whole = memory_new(size_bytes + 1);
    enum err err = whole == NULL ? ERR_MEMORY : ERR_OK;
    for (uint64_t piece = 1; err == ERR_OK && at < size_bytes; piece++) {
        struct store_message message;
        err = store_lookup(snapshots->store, channel, piece, &message);
        if (err == ERR_OK && (message.data.count == 0 || message.data.count > size_bytes - at))
            err = ERR_DAMAGED;
        if (err != ERR_OK)
            break;
        memcpy(whole + at, message.data.data, message.data.count);
        at += message.data.count;
    }
    if (err == ERR_OK && checksum(0, whole, size_bytes) != snapshots->newest_crc)
        err = ERR_DAMAGED;
    if (err == ERR_NOT_FOUND)
        err = ERR_DAMAGED;
    if (err != ERR_OK)
        memory_free(whole);
    else
        *bytes = whole;
    return err;
}

/* ---- saving ---- */

static void saving_end(struct replica_snapshots *snapshots, enum snapshot_state state)
{
    struct snapshot_saving *saving = &snapshots->saving;
    memory_free(saving->bytes);
    saving->bytes = NULL;
    saving->state = state;
}

void snapshots_done(struct replica_snapshots *snapshots)
{
    saving_end(snapshots, SNAPSHOT_NONE);
    snapshots->saving = (struct snapshot_saving){0};
}

enum err snapshots_save(struct replica_snapshots *snapshots, const struct raft_snapshot *about,
                        uint8_t *bytes, int64_t now_ns)
{
    struct snapshot_saving *saving = &snapshots->saving;
    struct snapshot_name name = name_of(snapshots->group, about->index);
    if (saving->state != SNAPSHOT_NONE)
        snapshots_done(snapshots);
    struct snapshot_channel *old = kept_find(snapshots, about->index);
    bool free_place = old == NULL || about->index == snapshots->newest.index || kept_delete(snapshots, old);
    struct snapshot_channel *place = kept_find(snapshots, 0);
    enum err err = ERR_OK;
    struct store_channel *channel = NULL;
    if (about->size_bytes == 0 || about->size_bytes > SNAPSHOT_BYTES_MAX || !free_place || place == NULL)
        err = ERR_FULL;
    if (err == ERR_OK)
        err = store_private_create(snapshots->store, text(name.text), now_ns, &channel);
    if (err != ERR_OK) {
        memory_free(bytes);
        return err;
    }
    *place = (struct snapshot_channel){about->index, about->size_bytes, channel};
    *saving = (struct snapshot_saving){
        .state = SNAPSHOT_WRITING, .about = *about, .bytes = bytes, .channel = channel};
    return ERR_OK;
}

static enum err record_write(struct replica_snapshots *snapshots)
{
    struct snapshot_saving *saving = &snapshots->saving;
    uint8_t record[RECORD_BYTES_MAX];
    char key[KEY_BYTES];
    uint32_t crc = checksum(0, saving->bytes, saving->about.size_bytes);
    put_u64(record, saving->about.index);
    put_u64(record + 8, saving->about.term);
    put_u64(record + 16, saving->about.size_bytes);
    put_u32(record + 24, crc);
    size_t count = FIELDS_BYTES + raft_membership_encode(&saving->about.membership, record + FIELDS_BYTES);
    enum err err = store_state_put(snapshots->store, STORE_STATE_RAFT, NULL, key_of(snapshots->group, key),
                                   bytes_of(record, count));
    if (err != ERR_OK)
        return err;
    snapshots->newest = saving->about;
    snapshots->newest_crc = crc;
    saving->position = store_position(snapshots->store);
    return ERR_OK;
}

/* ERR_FULL is not the end: the buffer gets empty. */
static enum err pieces_write(struct replica_snapshots *snapshots, int64_t now_ns)
{
    struct snapshot_saving *saving = &snapshots->saving;
    for (uint32_t i = 0; i < SNAPSHOT_PIECES_PER_STEP && saving->written_bytes < saving->about.size_bytes;
         i++) {
        uint64_t left = saving->about.size_bytes - saving->written_bytes, sequence;
        size_t part = left < SNAPSHOT_PIECE_BYTES ? (size_t)left : SNAPSHOT_PIECE_BYTES;
        enum err err = store_append(snapshots->store, saving->channel,
                                    bytes_of(saving->bytes + saving->written_bytes, part), now_ns, &sequence);
        if (err != ERR_OK)
            return err;
        saving->written_bytes += part;
    }
    return ERR_OK;
}

enum snapshot_state snapshots_step(struct replica_snapshots *snapshots, int64_t now_ns)
{
    struct snapshot_saving *saving = &snapshots->saving;
    if (saving->state == SNAPSHOT_WRITING) {
        enum err err = pieces_write(snapshots, now_ns);
        bool whole = saving->written_bytes == saving->about.size_bytes;
        if (err == ERR_OK && whole)
            err = record_write(snapshots);
        if (err == ERR_OK && whole)
            saving_end(snapshots, SNAPSHOT_SYNCING);
        else if (err != ERR_OK && err != ERR_FULL)
            saving_end(snapshots, SNAPSHOT_FAILED);
    }
    if (saving->state == SNAPSHOT_SYNCING && store_acknowledged(snapshots->store) >= saving->position)
        saving->state = SNAPSHOT_SAVED;
    return saving->state;
}

/* ---- coming in ---- */

void snapshots_incoming_drop(struct replica_snapshots *snapshots)
{
    memory_free(snapshots->incoming.bytes);
    snapshots->incoming = (struct snapshot_incoming){0};
}

enum err snapshots_receive(struct replica_snapshots *snapshots, const struct raft_chunk *chunk)
{
    struct snapshot_incoming *incoming = &snapshots->incoming;
    if (chunk->offset_bytes == 0) {
        incoming->about = *chunk->snapshot;
        incoming->received_bytes = 0;
    }
    uint64_t end = chunk->offset_bytes + chunk->count_bytes;
    if (chunk->offset_bytes != incoming->received_bytes || end > incoming->about.size_bytes)
        return ERR_INVALID;
    if (incoming->about.size_bytes > SNAPSHOT_BYTES_MAX)
        return ERR_FULL;
    if (incoming->capacity < end) { /* by halves more: a size that is only claimed takes no memory */
        uint64_t capacity = end + end / 2;
        if (capacity > incoming->about.size_bytes)
            capacity = incoming->about.size_bytes;
        uint8_t *grown = memory_grow(incoming->bytes, capacity);
        if (grown == NULL)
            return ERR_MEMORY;
        incoming->bytes = grown;
        incoming->capacity = capacity;
    }
    memcpy(incoming->bytes + chunk->offset_bytes, chunk->data, chunk->count_bytes);
    incoming->received_bytes = end;
    return ERR_OK;
}

/* ---- going out ---- */

static const uint8_t *read_across(struct replica_snapshots *snapshots, const struct snapshot_channel *kept,
                                  uint64_t offset_bytes, uint32_t count_bytes)
{
    uint32_t done = 0;
    while (done < count_bytes) {
        struct store_message message;
        uint64_t at = offset_bytes + done;
        uint64_t within = at % SNAPSHOT_PIECE_BYTES;
        if (store_lookup(snapshots->store, kept->channel, at / SNAPSHOT_PIECE_BYTES + 1, &message) !=
                ERR_OK ||
            message.data.count <= within)
            return NULL;
        size_t part = message.data.count - within;
        if (part > count_bytes - done)
            part = count_bytes - done;
        memcpy(snapshots->piece + done, message.data.data + within, part);
        done += (uint32_t)part;
    }
    return snapshots->piece;
}

const uint8_t *snapshots_read(struct replica_snapshots *snapshots, uint64_t index, uint64_t offset_bytes,
                              uint32_t count_bytes)
{
    const struct snapshot_channel *kept = index == 0 ? NULL : kept_find(snapshots, index);
    if (kept == NULL || count_bytes > SNAPSHOT_PIECE_BYTES || offset_bytes > kept->size_bytes ||
        count_bytes > kept->size_bytes - offset_bytes)
        return NULL;
    return read_across(snapshots, kept, offset_bytes, count_bytes);
}

void snapshots_trim(struct replica_snapshots *snapshots, uint64_t newest, uint64_t sent)
{
    for (uint32_t i = 0; i < SNAPSHOTS_KEPT; i++) {
        struct snapshot_channel *kept = &snapshots->kept[i];
        bool wanted =
            kept->index == newest || kept->index == sent || kept->index == snapshots->newest.index ||
            (snapshots->saving.state != SNAPSHOT_NONE && kept->channel == snapshots->saving.channel);
        if (kept->index != 0 && !wanted)
            (void)kept_delete(snapshots, kept);
    }
}
