/* tests/unit/shards/streaming/test_command.c - commands of the replicated log as bytes: what they were
 * yesterday they must be tomorrow, for logs stay. */
#include "core/base/memory.h"
#include "shards/streaming/command.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct vector {
    const char *name;
    struct command command;
    const char *hex;
};

static const struct vector vectors[] = {
    {"client add",
     {.kind = COMMAND_CLIENT_ADD,
      .wall_ns = 300,
      .client_add = {.info = {.id = TEXT("me"),
                              .heartbeat_inbox = TEXT("hb"),
                              .connection_id = TEXT("c"),
                              .protocol = 1,
                              .ping_interval = 5,
                              .ping_out_max = -1},
                     .replace = true}},
     "0101ac02026d65026862016301"
     "05ffffffff0f01"},
    {"client remove",
     {.kind = COMMAND_CLIENT_REMOVE, .wall_ns = 1, .client_remove = {.id = TEXT("me"), .added_index = 7}},
     "010201026d6507"},
    {"publish",
     {.kind = COMMAND_PUBLISH,
      .wall_ns = 1,
      .publish = {.client_id = TEXT("me"),
                  .connection_id = TEXT("c"),
                  .channel = TEXT("foo"),
                  .reply = TEXT("r"),
                  .data = TEXT("data"),
                  .channels_max = 100}},
     "010301026d6501630366"
     "6f6f017204646174"
     "6164"},
    {"subscribe",
     {.kind = COMMAND_SUBSCRIBE,
      .wall_ns = 1,
      .subscribe = {.client_id = TEXT("me"),
                    .channel = TEXT("foo"),
                    .group = TEXT("g"),
                    .inbox = TEXT("in"),
                    .ack_inbox = TEXT("ack"),
                    .durable_name = TEXT("d"),
                    .max_in_flight = 16384,
                    .ack_wait_seconds = 30,
                    .start = COMMAND_START_SEQUENCE,
                    .sequence = 9,
                    .replace = true,
                    .channels_max = 1,
                    .subscriptions_max = 2}},
     "010401026d6503666f6f016702696e0361636b016480"
     "80011e0309010102"},
    {"leave",
     {.kind = COMMAND_LEAVE,
      .wall_ns = 1,
      .leave = {.channel = TEXT("foo"), .ack_inbox = TEXT("ack"), .forget = true}},
     "01050103666f6f0361636b01"},
    {"progress",
     {.kind = COMMAND_PROGRESS,
      .wall_ns = 1,
      .progress = {.rows = TEXT("\x01"
                                "a\x02\x02\x05")}},
     "0106010501610202"
     "05"},
    {"channel delete",
     {.kind = COMMAND_CHANNEL_DELETE,
      .wall_ns = 1,
      .channel_delete = {.name = TEXT("foo"), .id = 3, .used_index = 200}},
     "01070103666f6f03c801"},
    {"client known",
     {.kind = COMMAND_CLIENT_KNOWN,
      .wall_ns = 1,
      .client_known = {.info = {.id = TEXT("me"), .heartbeat_inbox = TEXT("hb"), .protocol = 1},
                       .added_index = 300}},
     "010801026d65026862000100"
     "00ac02"},
    {"client gone",
     {.kind = COMMAND_CLIENT_GONE, .wall_ns = 1, .client_gone = {.id = TEXT("me"), .added_index = 7}},
     "010901026d6507"},
};

static void hex_of(struct bytes from, char *to)
{
    for (size_t i = 0; i < from.count; i++)
        snprintf(to + 2 * i, 3, "%02x", from.data[i]);
}

Test(command, every_kind_has_its_bytes)
{
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        const struct vector *v = &vectors[i];
        uint8_t bytes[256], again[256];
        char hex[600] = "";
        size_t count = command_bytes(&v->command);
        cr_assert_leq(count, sizeof bytes);
        command_write(&v->command, bytes);
        hex_of(bytes_of(bytes, count), hex);
        cr_expect_str_eq(hex, v->hex, "%s: %s", v->name, hex);
        struct command read;
        cr_assert(command_read(bytes_of(bytes, count), &read), "%s", v->name);
        cr_expect_eq(read.kind, v->command.kind);
        cr_assert_eq(command_bytes(&read), count);
        command_write(&read, again);
        cr_expect_arr_eq(again, bytes, count);
    }
}

Test(command, what_is_cut_or_longer_is_none)
{
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        uint8_t bytes[256] = {0};
        struct command read;
        size_t count = command_bytes(&vectors[i].command);
        command_write(&vectors[i].command, bytes);
        for (size_t cut = 0; cut < count; cut++)
            cr_expect_not(command_read(bytes_of(bytes, cut), &read), "%s cut to %zu", vectors[i].name, cut);
        cr_expect_not(command_read(bytes_of(bytes, count + 1), &read), "%s and one more", vectors[i].name);
    }
}

struct refused {
    const char *why;
    const char *bytes;
    size_t count;
};
#define REFUSED(why, bytes)                                                                                  \
    {                                                                                                        \
        why, bytes, sizeof(bytes) - 1                                                                        \
    }

static const struct refused refused[] = {
    REFUSED("another version", "\x02\x02\x01\x02me\x07"),
    REFUSED("no kind", "\x01\x00\x01\x02me\x07"),
    REFUSED("a kind that there is not", "\x01\x0a\x01\x02me\x07"),
    REFUSED("a number in more bytes than it needs", "\x01\x02\x81\x00\x02me\x07"),
    REFUSED("a number above 64 bits", "\x01\x02\x01\x02me\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
    REFUSED("a text longer than what is there", "\x01\x02\x01\x7fme\x07"),
    REFUSED("a channel that cannot be", "\x01\x03\x01\x02me\x00\x01*\x00\x00\x00"),
    REFUSED("a subscription of nobody", "\x01\x04\x01\x00\x03"
                                        "foo\x00\x02in\x03"
                                        "ack\x00\x01\x01\x00\x00\x00\x00\x00"),
    REFUSED("no window", "\x01\x04\x01\x02me\x03"
                         "foo\x00\x02in\x03"
                         "ack\x00\x00\x01\x00\x00\x00\x00\x00"),
    REFUSED("an answer that is neither yes nor no", "\x01\x05\x01\x03"
                                                    "foo\x03"
                                                    "ack\x02"),
    REFUSED("progress of nobody", "\x01\x06\x01\x03\x00\x01\x02"),
    REFUSED("progress of no message", "\x01\x06\x01\x04\x01"
                                      "a\x01\x01"),
    REFUSED("progress that is cut", "\x01\x06\x01\x04\x01"
                                    "a\x01\x80"),
};

Test(command, what_no_machine_writes_is_refused)
{
    struct command read;
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        cr_expect_not(command_read(bytes_of(refused[i].bytes, refused[i].count), &read), "%s",
                      refused[i].why);
}
