/* Tests shards/streaming/wire.c: the golden vectors of the protocol in both directions
 * (spec/streaming.md 3.1), and what is refused. */
#include "shards/streaming/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct bytes unhex(const char *hex, uint8_t *to)
{
    size_t count = strlen(hex) / 2;
    for (size_t i = 0; i < count; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        to[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return bytes_of(to, count);
}

static void expect_hex(const uint8_t *bytes, size_t count, const char *hex, const char *what)
{
    char *shown = calloc(1, 2 * count + 1); /* lint: allocator, in a test */
    for (size_t i = 0; i < count; i++)
        snprintf(shown + 2 * i, 3, "%02x", bytes[i]);
    cr_expect_str_eq(shown, hex, "%s: %s", what, shown);
    free(shown); /* lint: allocator, in a test */
}

#define WRITTEN(hex, what, name, ...)                                                                        \
    do {                                                                                                     \
        uint8_t written[512];                                                                                \
        size_t count = wire_##name##_bytes(__VA_ARGS__);                                                     \
        cr_assert(count <= sizeof written);                                                                  \
        wire_##name##_write(__VA_ARGS__, written);                                                           \
        expect_hex(written, count, hex, what);                                                               \
    } while (0)

static const char connect_0[] = "0a026d6512095f494e424f582e6862";
static const char connect_1[] = "0a026d6512095f494e424f582e686218012202433128053058";
static const char connect_negative[] = "0a026d6512095f494e424f582e686218012202433128ceffffffffffffffff013005";

Test(wire, connect_requests_are_read)
{
    struct wire wire = {0};
    struct wire_connect_request read;
    uint8_t bytes[256];
    cr_assert(wire_connect_request_read(&wire, unhex(connect_0, bytes), &read));
    cr_expect(bytes_equal(read.client_id, TEXT("me")) &&
              bytes_equal(read.heartbeat_inbox, TEXT("_INBOX.hb")));
    cr_expect(read.protocol == 0 && read.connection_id.count == 0);
    cr_assert(wire_connect_request_read(&wire, unhex(connect_1, bytes), &read));
    cr_expect(read.protocol == 1 && bytes_equal(read.connection_id, TEXT("C1")) && read.ping_interval == 5 &&
              read.ping_out_max == 88);
    cr_assert(wire_connect_request_read(&wire, unhex(connect_negative, bytes), &read));
    cr_expect(read.ping_interval == -50 && read.ping_out_max == 5);
    WRITTEN(connect_negative, "written again", connect_request, &read);
    wire_close(&wire);
}

Test(wire, connect_responses_are_written)
{
    struct wire_connect_response response = {
        .publish = TEXT("_STAN.pub.c"),
        .subscribe = TEXT("_STAN.sub.c"),
        .unsubscribe = TEXT("_STAN.unsub.c"),
        .close = TEXT("_STAN.close.c"),
        .subscription_close = TEXT("_STAN.subclose.c"),
        .protocol = 1,
    };
    WRITTEN("0a0b5f5354414e2e7075622e63120b5f5354414e2e7375622e631a0d5f5354414e2e756e7375622e63220d5f5354414e"
            "2e636c6f"
            "73652e6332105f5354414e2e737562636c6f73652e635001",
            "to protocol 0", connect_response, &response);
    response.ping = TEXT("_STAN.discover.c.pings");
    response.ping_interval = 5;
    response.ping_out_max = 88;
    WRITTEN("0a0b5f5354414e2e7075622e63120b5f5354414e2e7375622e631a0d5f5354414e2e756e7375622e63220d5f5354414e"
            "2e636c6f"
            "73652e6332105f5354414e2e737562636c6f73652e633a165f5354414e2e646973636f7665722e632e70696e67734005"
            "48585001",
            "to protocol 1", connect_response, &response);
    response = (struct wire_connect_response){.error = TEXT("stan: clientID already registered")};
    WRITTEN("2a217374616e3a20636c69656e74494420616c72656164792072656769737465726564", "error",
            connect_response, &response);
}

Test(wire, publishes_are_read_and_acknowledged)
{
    struct wire wire = {0};
    struct wire_publish read;
    uint8_t bytes[256];
    cr_assert(
        wire_publish_read(&wire, unhex("0a026d65120247311a03666f6f2a0568656c6c6f32024331", bytes), &read));
    cr_expect(bytes_equal(read.client_id, TEXT("me")) && bytes_equal(read.guid, TEXT("G1")) &&
              bytes_equal(read.subject, TEXT("foo")) && bytes_equal(read.data, TEXT("hello")) &&
              bytes_equal(read.connection_id, TEXT("C1")));
    WRITTEN("0a024731", "good", publish_ack, TEXT("G1"), TEXT(""));
    WRITTEN("0a024731121d7374616e3a20696e76616c6964207075626c6973682072657175657374", "bad", publish_ack,
            TEXT("G1"), TEXT("stan: invalid publish request"));
    wire_close(&wire);
}

Test(wire, messages_are_written_and_redelivered_by_what_follows)
{
    struct wire_message message = {
        .sequence = 1, .subject = TEXT("foo"), .data = TEXT("hello"), .timestamp_ns = 1500000000000000000};
    static const char first[] = "08011203666f6f220568656c6c6f288080d8d8d7c1c4e814";
    uint8_t suffix[WIRE_REDELIVERY_BYTES_MAX] = {0};
    WRITTEN(first, "message", message, &message);
    expect_hex(suffix, wire_redelivery_write(2, suffix), "30013802", "twice");
    expect_hex(suffix, wire_redelivery_write(300, suffix), "300138ac02", "300 times");
    cr_expect_eq(wire_redelivery_write(UINT32_MAX, suffix), WIRE_REDELIVERY_BYTES_MAX);
    message =
        (struct wire_message){.sequence = 300, .subject = TEXT("foo"), .timestamp_ns = 1500000000000000000};
    WRITTEN("08ac021203666f6f288080d8d8d7c1c4e814", "without data", message, &message);
}

Test(wire, subscriptions_are_read_and_answered)
{
    struct wire wire = {0};
    struct wire_subscription_request read;
    uint8_t bytes[256];
    cr_assert(wire_subscription_request_read(
        &wire, unhex("0a026d651203666f6f1a017122085f494e424f582e64288008301e3a0364757250035807", bytes),
        &read));
    cr_expect(bytes_equal(read.group, TEXT("q")) && bytes_equal(read.inbox, TEXT("_INBOX.d")) &&
              read.max_in_flight == 1024 && read.ack_wait_seconds == 30 &&
              bytes_equal(read.durable_name, TEXT("dur")) && read.start_position == 3 &&
              read.start_sequence == 7);
    WRITTEN("12085f494e424f582e61", "good", subscription_response, TEXT("_INBOX.a"), TEXT(""));
    WRITTEN("1a1a7374616e3a20696e76616c696420737562736372697074696f6e", "bad", subscription_response,
            TEXT(""), TEXT("stan: invalid subscription"));
    struct wire_unsubscribe_request unsubscribe;
    cr_assert(wire_unsubscribe_request_read(&wire, unhex("0a026d651203666f6f1a085f494e424f582e61", bytes),
                                            &unsubscribe));
    cr_expect(bytes_equal(unsubscribe.inbox, TEXT("_INBOX.a")));
    struct wire_ack ack;
    cr_assert(wire_ack_read(&wire, unhex("0a03666f6f1001", bytes), &ack));
    cr_expect(ack.sequence == 1 && bytes_equal(ack.subject, TEXT("foo")));
    cr_expect_eq(wire_error_bytes(TEXT("")), 0);
    wire_close(&wire);
}

/* Cut anywhere it is either another message or none, and never read beyond its end (the sanitizers look). */
Test(wire, cut_messages_are_read_as_far_as_they_go_or_refused)
{
    struct wire wire = {0};
    struct wire_connect_request read;
    uint8_t bytes[256];
    struct bytes whole = unhex(connect_1, bytes);
    for (size_t count = 0; count < whole.count; count++) {
        uint8_t *cut = malloc(count + 1); /* lint: allocator, so that its end is the end of the memory */
        memcpy(cut, whole.data, count);
        if (wire_connect_request_read(&wire, bytes_of(cut, count), &read))
            cr_expect(read.client_id.count == 0 || bytes_equal(read.client_id, TEXT("me")), "cut at %zu",
                      count);
        free(cut); /* lint: allocator, in a test */
    }
    wire_close(&wire);
}

Test(wire, rubbish_is_refused)
{
    struct wire wire = {0};
    struct wire_connect_request connect;
    struct wire_publish publish;
    struct bytes close;
    uint8_t bytes[64];
    static const char *const bad[] = {
        "64756d6d79",               /* "dummy": the end of a group that nobody began */
        "0a05",                     /* cut */
        "0aff",                     /* a length that does not end */
        "0800",                     /* a number where a text should be */
        "0affffffffffffffffffff01", /* a length of eleven bytes */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_not(wire_connect_request_read(&wire, unhex(bad[i], bytes), &connect), "%s", bad[i]);
        cr_expect_not(wire_publish_read(&wire, unhex(bad[i], bytes), &publish), "%s", bad[i]);
        cr_expect_not(wire_close_request_read(&wire, unhex(bad[i], bytes), &close), "%s", bad[i]);
    }
    cr_expect(wire_close_request_read(&wire, bytes_of(NULL, 0), &close), "nothing is a message of defaults");
    wire_close(&wire);
}

Test(wire, records_come_back_as_they_were)
{
    struct wire wire = {0};
    struct wire_subscription_state state = {
        .id = 7,
        .last_sent = 1234567,
        .client_id = TEXT("me"),
        .group = TEXT("d:g"),
        .inbox = TEXT("_INBOX.d"),
        .ack_inbox = TEXT("_INBOX.a"),
        .durable_name = TEXT("d"),
        .max_in_flight = 10,
        .ack_wait_seconds = 30,
        .durable = true,
        .closed = true,
    };
    struct wire_subscription_state read;
    uint8_t bytes[256];
    size_t count = wire_subscription_state_bytes(&state);
    wire_subscription_state_write(&state, bytes);
    cr_assert(wire_subscription_state_read(&wire, bytes_of(bytes, count), &read));
    cr_expect(read.id == 7 && read.last_sent == 1234567 && bytes_equal(read.group, state.group) &&
              read.durable && read.closed && read.ack_wait_seconds == 30);
    wire_close(&wire);
}
