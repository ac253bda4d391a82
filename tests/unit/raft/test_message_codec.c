/* Tests raft/message_codec.c: every kind comes back, and nothing that is cut or changed does. */
#include "raft/message_codec.h"

#include "core/base/language.h"

#include <criterion/criterion.h>

static const struct raft_entry entries[] = {
    {.term = 3, .kind = RAFT_ENTRY_NOOP},
    {.term = 4, .kind = RAFT_ENTRY_DATA, .data = {(const uint8_t *)"abc", 3}},
    {.term = 4, .kind = RAFT_ENTRY_MEMBERSHIP, .data = {(const uint8_t *)"anything", 8}},
};

static const struct raft_snapshot snapshot = {
    .index = 8, .term = 2, .size_bytes = 100, .membership = {.count = 1, .members = {{.id = 1}}}};

static const struct raft_message messages[] = {
    {.kind = RAFT_MESSAGE_PRE_VOTE, .vote = {1, 2, false}},
    {.kind = RAFT_MESSAGE_PRE_VOTE_REPLY, .vote_reply = {true}},
    {.kind = RAFT_MESSAGE_VOTE, .vote = {RAFT_NUMBER_MAX, 2, true}},
    {.kind = RAFT_MESSAGE_VOTE_REPLY, .vote_reply = {false}},
    {.kind = RAFT_MESSAGE_APPEND, .append = {1, 2, 3, 4, 3, entries}},
    {.kind = RAFT_MESSAGE_APPEND, .append = {1, 2, 3, 4, 0, NULL}},
    {.kind = RAFT_MESSAGE_APPEND_REPLY, .append_reply = {1, 2, 3, 4, true}},
    {.kind = RAFT_MESSAGE_HEARTBEAT, .heartbeat = {1, 2, 3}},
    {.kind = RAFT_MESSAGE_HEARTBEAT_REPLY, .heartbeat_reply = {1, 2}},
    {.kind = RAFT_MESSAGE_SNAPSHOT, .chunk = {&snapshot, 5, 4, (const uint8_t *)"data", 9}},
    {.kind = RAFT_MESSAGE_SNAPSHOT_REPLY, .snapshot_reply = {1, 2, 3, 4}},
    {.kind = RAFT_MESSAGE_TIMEOUT_NOW},
    {.kind = RAFT_MESSAGE_REMOVED, .removed = {5, 2}},
};

enum { BYTES_MAX = 512 };

static size_t encode(const struct raft_message *message, uint8_t *to)
{
    struct raft_message addressed = *message;
    addressed.from = 1;
    addressed.to = 2;
    addressed.term = 7;
    size_t count = raft_message_bytes(&addressed);
    cr_assert_leq(count, BYTES_MAX);
    memset(to, 0xee, BYTES_MAX);
    raft_message_encode(&addressed, 77, to);
    cr_expect(count == BYTES_MAX || to[count] == 0xee, "it writes what it says");
    return count;
}

static struct raft_decoded decoded;

Test(raft_message_codec, every_kind_comes_back)
{
    uint64_t kinds = 0;
    for (const struct raft_message *message = messages; message < messages + COUNT_OF(messages); message++) {
        uint8_t first[BYTES_MAX], again[BYTES_MAX];
        size_t count = encode(message, first);
        kinds |= 1U << message->kind;
        cr_assert_eq(raft_message_decode(bytes_of(first, count), &decoded), RAFT_DECODED, "kind %d",
                     message->kind);
        cr_expect_eq(decoded.group, 77);
        cr_expect_eq(decoded.message.kind, message->kind);
        cr_expect_eq(decoded.message.from, 1);
        cr_expect_eq(decoded.message.to, 2);
        cr_expect_eq(decoded.message.term, 7);
        cr_assert_eq(encode(&decoded.message, again), count);
        cr_expect_arr_eq(first, again, count);
    }
    cr_expect_eq(kinds, (1U << RAFT_MESSAGE_KINDS) - 1, "a kind has no case");
}

Test(raft_message_codec, entries_and_chunks_come_back)
{
    uint8_t bytes[BYTES_MAX];
    size_t count = encode(&messages[4], bytes);
    cr_assert_eq(raft_message_decode(bytes_of(bytes, count), &decoded), RAFT_DECODED);
    cr_assert_eq(decoded.message.append.entry_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct raft_entry *entry = &decoded.message.append.entries[i];
        cr_expect_eq(entry->term, entries[i].term);
        cr_expect_eq(entry->kind, entries[i].kind);
        cr_expect(bytes_equal(entry->data, entries[i].data));
    }
    count = encode(&messages[9], bytes);
    cr_assert_eq(raft_message_decode(bytes_of(bytes, count), &decoded), RAFT_DECODED);
    cr_expect_eq(decoded.message.chunk.snapshot->size_bytes, 100);
    cr_expect_eq(decoded.message.chunk.snapshot->membership.members[0].id, 1);
    cr_expect_arr_eq(decoded.message.chunk.data, "data", 4);
}

Test(raft_message_codec, nothing_comes_back_that_is_cut_or_changed)
{
    for (const struct raft_message *message = messages; message < messages + COUNT_OF(messages); message++) {
        uint8_t bytes[BYTES_MAX];
        size_t count = encode(message, bytes);
        for (size_t cut = 0; cut < count; cut++)
            cr_expect_neq(raft_message_decode(bytes_of(bytes, cut), &decoded), RAFT_DECODED,
                          "kind %d cut at %zu", message->kind, cut);
        for (size_t at = 0; at < count * 8; at++) {
            bytes[at / 8] ^= (uint8_t)(1U << (at % 8));
            cr_expect_neq(raft_message_decode(bytes_of(bytes, count), &decoded), RAFT_DECODED,
                          "kind %d, bit %zu", message->kind, at);
            bytes[at / 8] ^= (uint8_t)(1U << (at % 8));
        }
        cr_expect_neq(raft_message_decode(bytes_of(bytes, count + 1), &decoded), RAFT_DECODED);
    }
}

Test(raft_message_codec, another_version_is_told_apart_from_damage)
{
    uint8_t bytes[BYTES_MAX];
    size_t count = encode(&messages[0], bytes);
    bytes[count - 1] ^= 1;
    cr_expect_eq(raft_message_decode(bytes_of(bytes, count), &decoded), RAFT_DECODE_DAMAGED);
    bytes[0] = 2;
    cr_expect_eq(raft_message_decode(bytes_of(bytes, count), &decoded), RAFT_DECODE_VERSION);
    cr_expect_eq(raft_message_decode(bytes_of(bytes, 0), &decoded), RAFT_DECODE_INVALID);
}
