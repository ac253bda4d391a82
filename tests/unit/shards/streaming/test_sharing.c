/* A message as a client gets it, made of the log's entry that publishes it (shards/streaming/sharing.h): what
 * an entry cannot be, and memory that runs out, are told apart. */
#include "core/base/language.h"
#include "shards/streaming/command.h"
#include "shards/streaming/replica_log.h"
#include "shards/streaming/sharing.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>

enum { ENTRY_BYTES_MAX = 256 };

struct entry {
    uint8_t bytes[ENTRY_BYTES_MAX];
    size_t count;
};

static struct entry entry_of(enum command_kind kind)
{
    struct entry entry = {.bytes = {0}};
    struct command command = {.kind = kind};
    if (kind == COMMAND_PUBLISH) {
        command.publish.channel = TEXT("foo");
        command.publish.data = TEXT("hello");
    }
    size_t count = command_bytes(&command);
    cr_assert_leq(count, ENTRY_BYTES_MAX - REPLICA_ENTRY_HEADER_BYTES);
    command_write(&command, entry.bytes + REPLICA_ENTRY_HEADER_BYTES);
    entry.count = REPLICA_ENTRY_HEADER_BYTES + count;
    return entry;
}

Test(sharing, memory_that_runs_out_is_no_damage)
{
    struct entry entry = entry_of(COMMAND_PUBLISH);
    FOR_EACH_FAULT(plan)
    {
        struct sharing sharing = {0};
        struct store_sharing store_sharing = sharing_of(&sharing);
        struct bytes data = {0};
        enum err err = store_sharing.make(store_sharing.context, bytes_of(entry.bytes, entry.count),
                                          TEXT("foo"), 1, 1, &data);
        if (err == ERR_OK)
            cr_expect_gt(data.count, 5);
        else
            cr_expect_eq(err, ERR_MEMORY);
        sharing_close(&sharing);
    }
}

Test(sharing, what_publishes_nothing_or_elsewhere_is_refused)
{
    struct entry publish = entry_of(COMMAND_PUBLISH), other = entry_of(COMMAND_LEAVE);
    const struct {
        struct bytes source, channel;
        enum err err;
    } cases[] = {
        {bytes_of(publish.bytes, publish.count), TEXT("foo"), ERR_OK},
        {bytes_of(publish.bytes, publish.count), TEXT("bar"), ERR_INVALID},
        {bytes_of(publish.bytes, publish.count - 1), TEXT("foo"), ERR_INVALID},
        {bytes_of(publish.bytes, REPLICA_ENTRY_HEADER_BYTES - 1), TEXT("foo"), ERR_INVALID},
        {bytes_of(other.bytes, other.count), TEXT("foo"), ERR_INVALID},
    };
    struct sharing sharing = {0};
    struct store_sharing store_sharing = sharing_of(&sharing);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bytes data = {0};
        cr_expect_eq(
            store_sharing.make(store_sharing.context, cases[i].source, cases[i].channel, 1, 1, &data),
            cases[i].err, "case %zu", i);
    }
    sharing_close(&sharing);
}
