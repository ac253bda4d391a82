/* tests/unit/shards/streaming/test_gather.c - when the log's next write begins: at once, or when the
 * publishers that were just answered are here again. */
#include "shards/streaming/gather.h"

#include <criterion/criterion.h>

enum { SYNC = 100000 };

/* A write of what is here, and its sync. */
static int64_t write(struct gather *gather, int64_t now_ns)
{
    gather_begun(gather, now_ns);
    gather_done(gather, now_ns + SYNC, true);
    return now_ns + SYNC;
}

static void arrive(struct gather *gather, int count)
{
    for (int i = 0; i < count; i++)
        gather_arrived(gather);
}

/* So many writes of `count` that the time of a sync is known. */
static int64_t settled(struct gather *gather, int count)
{
    int64_t now_ns = 1000000;
    *gather = (struct gather){0};
    for (int i = 0; i < 100; i++) {
        arrive(gather, count);
        now_ns = write(gather, now_ns);
    }
    return now_ns;
}

Test(gather, one_message_at_a_time_never_waits)
{
    struct gather gather;
    int64_t now_ns = settled(&gather, 1);
    for (int i = 0; i < 10; i++) {
        now_ns += 50;
        arrive(&gather, 1);
        cr_assert_leq(gather_due_ns(&gather, now_ns), now_ns);
        now_ns = write(&gather, now_ns);
    }
}

Test(gather, a_write_waits_until_as_many_are_here_as_before)
{
    struct gather gather;
    int64_t now_ns = settled(&gather, 16);
    arrive(&gather, 15);
    cr_expect_gt(gather_due_ns(&gather, now_ns + 1), now_ns + 1);
    arrive(&gather, 1);
    cr_expect_leq(gather_due_ns(&gather, now_ns + 2), now_ns + 2);
}

Test(gather, it_waits_for_two_syncs_at_most)
{
    struct gather gather;
    int64_t now_ns = settled(&gather, 16);
    arrive(&gather, 1);
    cr_expect_leq(gather_due_ns(&gather, now_ns), now_ns + GATHER_SYNCS * SYNC);
    cr_expect_gt(gather_due_ns(&gather, now_ns), now_ns + SYNC);
    gather.sync_ns = 1000 * 1000000LL;
    cr_expect_eq(gather_due_ns(&gather, now_ns), now_ns + GATHER_NS_MAX);
}

/* Publishers that come when they like: waiting saves nothing, and is soon given up; but not for ever. */
Test(gather, who_waits_in_vain_waits_less_and_less)
{
    struct gather gather;
    int64_t now_ns = settled(&gather, 16);
    int waits = 0, last_wait = 0;
    for (int i = 0; i < 1000; i++) {
        gather.wanted = 16;
        arrive(&gather, 1);
        if (gather_due_ns(&gather, now_ns) > now_ns) {
            waits++;
            last_wait = i;
            now_ns = gather_due_ns(&gather, now_ns);
        }
        now_ns = write(&gather, now_ns);
    }
    cr_expect_lt(waits, 1000 / GATHER_SKIP_MAX + 10);
    cr_expect_gt(last_wait, 1000 - 2 * GATHER_SKIP_MAX);
}

Test(gather, a_wait_that_paid_is_tried_again_at_once)
{
    struct gather gather;
    int64_t now_ns = settled(&gather, 16);
    arrive(&gather, 1); /* one in vain */
    now_ns = write(&gather, now_ns);
    gather.wanted = 2;
    arrive(&gather, 2);
    now_ns = write(&gather, now_ns); /* skipped */
    arrive(&gather, 2);
    now_ns = write(&gather, now_ns); /* paid */
    arrive(&gather, 1);
    cr_expect_gt(gather_due_ns(&gather, now_ns), now_ns);
    cr_expect_eq(gather.misses, 0);
}

Test(gather, without_syncs_nobody_is_waited_for)
{
    struct gather gather;
    int64_t now_ns = settled(&gather, 16);
    gather_begun(&gather, now_ns);
    gather_done(&gather, now_ns + SYNC, false);
    arrive(&gather, 1);
    cr_expect_leq(gather_due_ns(&gather, now_ns + SYNC), now_ns + SYNC);
}
