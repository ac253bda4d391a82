/* tests/unit/shards/streaming/test_wire_hot.c - what is read and written without protobuf-c is what
 * protobuf-c reads and writes. */
#include "shards/streaming/wire_hot.h"

#include "core/base/random.h"
#include "shards/streaming/protocol.pb-c.h"

#include <criterion/criterion.h>

enum { ROOM = 4096, ROUNDS = 20000 };

static ProtobufCBinaryData data_of(struct bytes bytes)
{
    return (ProtobufCBinaryData){.len = bytes.count, .data = (uint8_t *)(uintptr_t)bytes.data};
}

static bool same(struct bytes bytes, ProtobufCBinaryData data)
{
    return bytes_equal(bytes, bytes_of(data.data, data.len));
}

static struct bytes some_text(struct random *random)
{
    static const uint8_t letters[300] = "somebody's subject, or data";
    static const uint32_t most[] = {1, 2, 28, 128, 129, 300};
    return bytes_of(letters, random_below(random, most[random_below(random, 6)]));
}

static uint64_t some_number(struct random *random)
{
    return random_below(random, 8) == 0 ? 0 : random_next(random) >> random_below(random, 64);
}

Test(wire_hot, what_is_written_is_what_protobuf_c_writes)
{
    struct random random;
    random_seed(&random, 11);
    for (int i = 0; i < ROUNDS; i++) {
        struct wire_message from = {.sequence = some_number(&random),
                                    .subject = some_text(&random),
                                    .reply = some_text(&random),
                                    .data = some_text(&random),
                                    .timestamp_ns = (int64_t)some_number(&random)};
        Stan__MsgProto message = STAN__MSG_PROTO__INIT;
        Stan__PubAck ack = STAN__PUB_ACK__INIT;
        message.sequence = from.sequence;
        message.subject = data_of(from.subject);
        message.reply = data_of(from.reply);
        message.data = data_of(from.data);
        message.timestamp = from.timestamp_ns;
        ack.guid = message.subject;
        ack.error = message.reply;
        uint8_t expected[ROOM], written[ROOM];
        size_t count = stan__msg_proto__pack(&message, expected);
        cr_assert_eq(wire_message_bytes(&from), count, "round %d", i);
        wire_message_write(&from, written);
        cr_assert_eq(memcmp(written, expected, count), 0, "round %d", i);
        count = stan__pub_ack__pack(&ack, expected);
        cr_assert_eq(wire_publish_ack_bytes(from.subject, from.reply), count, "round %d", i);
        wire_publish_ack_write(from.subject, from.reply, written);
        cr_assert_eq(memcmp(written, expected, count), 0, "round %d", i);
    }
}

/* Whole, cut, and with a byte changed: what is taken here is taken there, with the same fields. */
static void compare_publish(struct bytes from, bool plain)
{
    struct wire_publish read;
    bool taken = wire_hot_publish_read(from, &read);
    cr_assert(taken || !plain);
    if (!taken)
        return;
    Stan__PubMsg *message = stan__pub_msg__unpack(NULL, from.count, from.data);
    cr_assert_not_null(message);
    cr_assert(same(read.client_id, message->client_id) && same(read.guid, message->guid) &&
              same(read.subject, message->subject) && same(read.reply, message->reply) &&
              same(read.data, message->data) && same(read.connection_id, message->conn_id));
    stan__pub_msg__free_unpacked(message, NULL);
}

static void compare_ack(struct bytes from, bool plain)
{
    struct wire_ack read;
    bool taken = wire_hot_ack_read(from, &read);
    cr_assert(taken || !plain);
    if (!taken)
        return;
    Stan__Ack *message = stan__ack__unpack(NULL, from.count, from.data);
    cr_assert_not_null(message);
    cr_assert(same(read.subject, message->subject) && read.sequence == message->sequence);
    stan__ack__free_unpacked(message, NULL);
}

static void spoil_and_compare(struct random *random, uint8_t *bytes, size_t count,
                              void (*compare)(struct bytes from, bool plain))
{
    compare(bytes_of(bytes, count), true);
    if (count == 0)
        return;
    compare(bytes_of(bytes, random_below(random, (uint32_t)count)), false);
    for (int i = 0; i < 4; i++)
        bytes[random_below(random, (uint32_t)count)] = (uint8_t)random_next(random);
    compare(bytes_of(bytes, count), false);
}

Test(wire_hot, what_is_taken_is_what_protobuf_c_takes)
{
    struct random random;
    random_seed(&random, 12);
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t bytes[ROOM];
        Stan__PubMsg publish = STAN__PUB_MSG__INIT;
        Stan__Ack ack = STAN__ACK__INIT;
        publish.client_id = data_of(some_text(&random));
        publish.guid = data_of(some_text(&random));
        publish.subject = data_of(some_text(&random));
        publish.reply = data_of(some_text(&random));
        publish.data = data_of(some_text(&random));
        publish.conn_id = data_of(some_text(&random));
        publish.sha256 = data_of(some_text(&random));
        ack.subject = publish.subject;
        ack.sequence = some_number(&random) >> 1; /* with 64 bits it is protobuf-c's */
        spoil_and_compare(&random, bytes, stan__pub_msg__pack(&publish, bytes), compare_publish);
        spoil_and_compare(&random, bytes, stan__ack__pack(&ack, bytes), compare_ack);
    }
}

Test(wire_hot, what_is_not_plain_is_left_to_protobuf_c)
{
    static const struct {
        const char *bytes;
        size_t count;
        bool taken_at_all;
    } rows[] = {
        {"\x0a\x01x\x38\x01", 5, true},              /* an unknown number */
        {"\x0a\x01x\xfa\x7f\x01y", 7, true},         /* a field of a high number */
        {"\x0a\x02x", 3, false},                     /* cut */
        {"\x0a\x81\x80\x80\x80\x80\x00x", 8, false}, /* a length of six bytes */
        {"\x08\x01", 2, false},                      /* a number where a text should be */
    };
    struct wire wire = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes from = bytes_of(rows[i].bytes, rows[i].count);
        struct wire_publish read;
        cr_expect_not(wire_hot_publish_read(from, &read), "row %zu", i);
        cr_expect_eq(wire_publish_read(&wire, from, &read), rows[i].taken_at_all, "row %zu", i);
    }
    uint8_t largest[] = {0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    struct wire_ack ack;
    cr_expect_not(wire_hot_ack_read(bytes_of(largest, sizeof largest), &ack));
    cr_expect(wire_ack_read(&wire, bytes_of(largest, sizeof largest), &ack) && ack.sequence == UINT64_MAX);
    wire_close(&wire);
}
