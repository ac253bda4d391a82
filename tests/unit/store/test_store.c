/* store/store.h, memory and file kind side by side: what spec/streaming-stores-and-clustering.md 2 asks of
 * any store, and what of it is still there after a restart. */
#include "core/base/language.h"
#include "tests/unit/faults.h"
#include "tests/unit/store/store_world.h"

#include <criterion/criterion.h>

#define FOR_BOTH_KINDS(world)                                                                                \
    for (struct world world = world_of(STORE_MEMORY), *once = &world; once != NULL; once = next_kind(&world))

static struct world world_of(enum store_kind kind)
{
    struct world world = world_new(1);
    world.options.kind = kind;
    return world;
}

static struct world *next_kind(struct world *world)
{
    bool was_file = world->options.kind == STORE_FILE;
    world_free(world);
    *world = (struct world){0};
    if (was_file)
        return NULL;
    *world = world_of(STORE_FILE);
    return world;
}

static void check_messages(struct world *world, const char *name, uint64_t first, uint64_t last)
{
    struct store_channel *channel = store_channel_find(world->store, text(name));
    cr_assert_not_null(channel);
    struct store_channel_figures figures = store_channel_figures(channel);
    cr_expect_eq(figures.first_sequence, first, "first of %s: %llu", name,
                 (unsigned long long)figures.first_sequence);
    cr_expect_eq(figures.last_sequence, last, "last of %s: %llu", name,
                 (unsigned long long)figures.last_sequence);
    for (uint64_t s = first; s != 0 && s <= last; s++) {
        struct store_message message;
        cr_assert_eq(store_lookup(world->store, channel, s, &message), ERR_OK, "%s",
                     store_error(world->store));
        uint8_t data[1 << 17];
        world_data(data, message.data.count, name, s);
        cr_assert(bytes_equal(message.data, bytes_of(data, message.data.count)), "%s %llu", name,
                  (unsigned long long)s);
    }
    struct store_message message;
    cr_expect_eq(store_lookup(world->store, channel, 0, &message), ERR_NOT_FOUND);
    cr_expect_eq(store_lookup(world->store, channel, last + 1, &message), ERR_NOT_FOUND);
    if (first > 1)
        cr_expect_eq(store_lookup(world->store, channel, first - 1, &message), ERR_NOT_FOUND);
}

Test(store, keeps_messages_in_order_with_sequences_from_1)
{
    FOR_BOTH_KINDS(world)
    {
        cr_assert_eq(world_open(&world), ERR_OK);
        (void)world_channel(&world, "foo");
        check_messages(&world, "foo", 0, 0);
        for (int i = 0; i < 200; i++) {
            cr_assert_eq(world_append(&world, "foo", (size_t)i * 10), ERR_OK);
            cr_assert_eq(world_append(&world, "bar", 1), ERR_OK);
        }
        check_messages(&world, "foo", 1, 200);
        if (world.options.kind == STORE_FILE) {
            cr_assert_eq(world_restart(&world), ERR_OK, "%s", world.why);
            check_messages(&world, "foo", 1, 200);
            check_messages(&world, "bar", 1, 200);
            world.options.verify = true;
            cr_assert_eq(world_restart(&world), ERR_OK, "%s", world.why);
            check_messages(&world, "foo", 1, 200);
        }
    }
}

Test(store, acknowledges_when_the_policy_says_so)
{
    struct world world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    struct store_io io, another;
    cr_assert_lt(store_acknowledged(world.store), store_position(world.store));
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    cr_expect(io.sync);
    cr_expect_not(store_io_begin(world.store, world.now_ns, &another), "one at a time");
    uint64_t first = store_position(world.store);
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    store_io_done(world.store, world.now_ns, (int64_t)io.bytes, 0);
    cr_expect_eq(store_acknowledged(world.store), first, "the second one came after it began");
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    store_io_done(world.store, world.now_ns, (int64_t)io.bytes, 0);
    cr_expect_eq(store_acknowledged(world.store), store_position(world.store));
    cr_expect_not(store_io_begin(world.store, world.now_ns, &io));
    world_free(&world);
}

/* Bytes of an earlier write, whose sync did not come, are in no sync of the next write's own. */
Test(store, a_write_is_its_own_sync_only_when_nothing_older_waits)
{
    struct world world = world_new(1);
    struct store_io io;
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    cr_assert_eq(world_flush(&world), ERR_OK);
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    cr_expect(io.sync && io.through);
    store_io_done(world.store, world.now_ns, 8, 0);
    cr_expect_lt(store_acknowledged(world.store), store_position(world.store), "it was short");
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    cr_expect(io.sync && !io.through);
    store_io_done(world.store, world.now_ns, (int64_t)io.bytes, 0);
    cr_expect_eq(store_acknowledged(world.store), store_position(world.store));
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    cr_expect(io.through);
    store_io_done(world.store, world.now_ns, (int64_t)io.bytes, 0);
    world_free(&world);
}

static size_t records_of(const struct store_io *io)
{
    return io->parts[0].iov_len; /* one block's; behind it come zeros */
}

/* Small groups write zeros ahead of themselves, once for many of them; these count for nothing else. */
Test(store, zeros_ahead_of_small_groups_are_no_records)
{
    struct world world = world_new(1);
    struct store_io io;
    uint32_t filled = 0;
    cr_assert_eq(world_open(&world), ERR_OK);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
        cr_assert(store_io_begin(world.store, world.now_ns, &io));
        filled += io.bytes > records_of(&io);
        store_io_done(world.store, world.now_ns, (int64_t)io.bytes, 0);
        cr_assert_eq(store_acknowledged(world.store), store_position(world.store));
    }
    cr_expect_eq(filled, 1);
    world_free(&world);
}

/* All records were written, and of the zeros only some: the owner has not synced then. */
Test(store, a_write_that_lacks_zeros_is_synced_by_the_next)
{
    struct world world = world_new(1);
    struct store_io io;
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    cr_assert_gt(io.bytes, records_of(&io));
    store_io_done(world.store, world.now_ns, (int64_t)records_of(&io) + 8, 0);
    cr_expect_lt(store_acknowledged(world.store), store_position(world.store));
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    cr_expect(io.sync && io.part_count == 0, "nothing is left to write");
    store_io_done(world.store, world.now_ns, 0, 0);
    cr_expect_eq(store_acknowledged(world.store), store_position(world.store));
    world_free(&world);
}

Test(store, a_large_group_brings_no_zeros)
{
    struct world world = world_new(1);
    struct store_io io;
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_assert_eq(world_append(&world, "foo", 100 * 1000), ERR_OK);
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    size_t bytes = 0;
    for (uint32_t i = 0; i < io.part_count; i++)
        bytes += io.parts[i].iov_len;
    cr_expect_eq(bytes, io.bytes);
    cr_expect_lt(io.bytes, 101 * 1000);
    store_io_done(world.store, world.now_ns, (int64_t)io.bytes, 0);
    world_free(&world);
}

Test(store, syncs_once_in_an_interval)
{
    struct world world = world_new(1);
    world.options.sync = WAL_SYNC_INTERVAL;
    world.options.sync_interval_ns = 1000000;
    cr_assert_eq(world_open(&world), ERR_OK);
    struct store_io io;
    int64_t now = world.now_ns;
    uint32_t syncs = 0;
    for (int i = 0; i < 100; i++, now += 100000) {
        cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
        cr_assert(store_io_begin(world.store, now, &io));
        syncs += io.sync;
        cr_assert(!io.through || i == 0, "the writes before were not synced");
        store_io_done(world.store, now, (int64_t)io.bytes, 0);
        cr_assert_eq(store_acknowledged(world.store), store_position(world.store));
    }
    cr_expect_eq(syncs, 10, "%u", syncs);
    cr_expect_leq(store_next_tick_ns(world.store), now + 1000000);
    /* What was written last is synced without another append. */
    cr_assert(store_io_begin(world.store, now + 1000000, &io));
    cr_expect(io.sync && io.part_count == 0);
    store_io_done(world.store, now + 1000000, 0, 0);
    cr_expect_not(store_io_begin(world.store, now + 9000000, &io));
    world_free(&world);
}

Test(store, drops_the_oldest_when_there_are_too_many_or_too_large)
{
    FOR_BOTH_KINDS(world)
    {
        world.options.limits.messages_max = 3;
        cr_assert_eq(world_open(&world), ERR_OK);
        for (int i = 0; i < 5; i++)
            cr_assert_eq(world_append(&world, "foo", 100), ERR_OK);
        check_messages(&world, "foo", 3, 5);
        cr_expect_eq(store_channel_figures(world_channel(&world, "foo")).dropped_count, 2);
        if (world.options.kind == STORE_FILE) {
            cr_assert_eq(world_restart(&world), ERR_OK);
            check_messages(&world, "foo", 3, 5);
            world.options.limits = (struct store_limits){.bytes_max = 200}; /* lowered while it was away */
            cr_assert_eq(world_restart(&world), ERR_OK);
            check_messages(&world, "foo", 5, 5);
            cr_assert_eq(world_append(&world, "foo", 100), ERR_OK);
            check_messages(&world, "foo", 6, 6);
            cr_assert_eq(world_append(&world, "foo", 500), ERR_OK);
            check_messages(&world, "foo", 7, 7); /* alone above the limit, and kept */
        }
    }
}

Test(store, what_limits_dropped_does_not_come_back_when_they_are_raised)
{
    struct world world = world_new(1);
    world.options.limits.messages_max = 3;
    cr_assert_eq(world_open(&world), ERR_OK);
    for (int i = 0; i < 9; i++)
        cr_assert_eq(world_append(&world, "foo", 100), ERR_OK);
    world.options.limits.messages_max = 0;
    cr_assert_eq(world_restart(&world), ERR_OK);
    /* The last append told of the first at that time, before it pushed one out itself. */
    check_messages(&world, "foo", 6, 9);
    world_free(&world);
}

Test(store, drops_what_is_too_old_and_keeps_the_last_sequence)
{
    FOR_BOTH_KINDS(world)
    {
        world.options.limits.age_max_ns = 1000;
        cr_assert_eq(world_open(&world), ERR_OK);
        for (int i = 0; i < 10; i++)
            cr_assert_eq(world_append(&world, "foo", 10), ERR_OK); /* a nanosecond apart */
        cr_expect_eq(store_next_tick_ns(world.store) <= WORLD_START_NS + 1000, true);
        store_tick(world.store, WORLD_START_NS + 999);
        check_messages(&world, "foo", 1, 10);
        store_tick(world.store, WORLD_START_NS + 1003);
        check_messages(&world, "foo", 5, 10);
        cr_expect_eq(store_sequence_at_time(world_channel(&world, "foo"), WORLD_START_NS), 5);
        store_tick(world.store, WORLD_START_NS + 5000);
        check_messages(&world, "foo", 11, 10);
        cr_expect_eq(store_sequence_at_time(world_channel(&world, "foo"), 0), 11);
        if (world.options.kind == STORE_FILE) {
            cr_assert_eq(world_restart(&world), ERR_OK);
            check_messages(&world, "foo", 11, 10);
        }
        cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
        check_messages(&world, "foo", 11, 11);
        if (world.options.kind == STORE_FILE) {
            world.now_ns += 100000; /* too old while it was away */
            cr_assert_eq(world_restart(&world), ERR_OK);
            check_messages(&world, "foo", 12, 11);
        }
    }
}

Test(store, finds_where_to_start_for_a_moment)
{
    FOR_BOTH_KINDS(world)
    {
        cr_assert_eq(world_open(&world), ERR_OK);
        struct store_channel *channel = world_channel(&world, "foo");
        cr_expect_eq(store_sequence_at_time(channel, 5), 0, "never used");
        uint64_t sequence = 0;
        for (int64_t at = 10; at <= 50; at += 10)
            cr_assert_eq(store_append(world.store, channel, TEXT("x"), at, &sequence), ERR_OK);
        static const struct {
            int64_t at;
            uint64_t sequence;
        } rows[] = {{0, 1}, {10, 1}, {11, 2}, {20, 2}, {45, 5}, {50, 5}, {51, 6}};
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            cr_expect_eq(store_sequence_at_time(channel, rows[i].at), rows[i].sequence);
    }
}

Test(store, copies_of_a_channel_have_the_sequences_that_they_are_given)
{
    FOR_BOTH_KINDS(world)
    {
        cr_assert_eq(world_open(&world), ERR_OK);
        struct store_channel *channel = world_channel(&world, "foo");
        cr_assert_eq(store_append_at(world.store, channel, 20, TEXT("a"), 1), ERR_OK);
        cr_assert_eq(store_append_at(world.store, channel, 20, TEXT("b"), 1), ERR_OK);
        cr_assert_eq(store_append_at(world.store, channel, 7, TEXT("b"), 1), ERR_OK);
        cr_assert_eq(store_append_at(world.store, channel, 25, TEXT("c"), 2), ERR_OK);
        if (world.options.kind == STORE_FILE) {
            cr_assert_eq(world_restart(&world), ERR_OK);
            channel = world_channel(&world, "foo");
        }
        struct store_channel_figures figures = store_channel_figures(channel);
        cr_expect_eq(figures.first_sequence, 20);
        cr_expect_eq(figures.last_sequence, 25);
        cr_expect_eq(figures.message_count, 2);
        cr_expect_eq(store_sequence_from(channel, 21), 25);
        struct store_message message;
        cr_expect_eq(store_lookup(world.store, channel, 22, &message), ERR_NOT_FOUND);
        cr_assert_eq(store_lookup(world.store, channel, 20, &message), ERR_OK);
        cr_expect(bytes_equal(message.data, TEXT("a")));
        cr_assert_eq(store_channel_empty(world.store, channel), ERR_OK);
        cr_expect_eq(store_channel_figures(channel).last_sequence, 0);
        cr_assert_eq(store_append_at(world.store, channel, 3, TEXT("d"), 1), ERR_OK);
        cr_expect_eq(store_channel_figures(channel).first_sequence, 3);
    }
}

static void check_shared(struct world *world, uint64_t sequence, struct bytes wanted)
{
    struct store_message message;
    struct store_channel *channel = store_channel_find(world->store, TEXT("foo"));
    cr_assert_eq(store_lookup(world->store, channel, sequence, &message), ERR_OK, "%s",
                 store_error(world->store));
    cr_expect(bytes_equal(message.data, wanted), "message %llu", (unsigned long long)sequence);
}

Test(store, a_message_that_shares_a_record_costs_little_and_outlives_the_other_one)
{
    struct world world = world_new(1);
    static uint8_t data[2000];
    uint64_t sequence = 0;
    cr_assert_eq(world_open(&world), ERR_OK);
    struct store_channel *foo = world_channel(&world, "foo"), *log = world_log(&world);
    cr_assert_eq(store_append(world.store, log, TEXT("entry"), 1, &sequence), ERR_OK);
    cr_assert_eq(store_append(world.store, log, bytes_of(data, sizeof data), 1, &sequence), ERR_OK);
    uint64_t before = store_position(world.store);
    cr_assert_eq(world_share(&world, "foo", 1), ERR_OK);
    cr_assert_eq(world_share(&world, "foo", 2), ERR_OK);
    cr_expect_lt(store_position(world.store) - before, 200, "it wrote the data again");
    check_shared(&world, 1, TEXT("f\1entry"));
    cr_expect_eq(store_channel_figures(foo).bytes, 2 * STORE_MESSAGE_OVERHEAD_BYTES + 7 + sizeof data + 2);
    cr_assert_eq(store_cut_above(world.store, log, 1), ERR_OK);
    cr_assert_eq(store_trim_below(world.store, log, 2), ERR_OK);
    check_shared(&world, 1, TEXT("f\1entry"));
    cr_assert_eq(world_restart(&world), ERR_OK, "%s", world.why);
    check_shared(&world, 1, TEXT("f\1entry"));
    world.options.verify = true;
    cr_assert_eq(world_restart(&world), ERR_OK, "%s", world.why);
    check_shared(&world, 1, TEXT("f\1entry"));
    world_free(&world);
}

Test(store, a_message_that_shares_a_record_is_moved_as_one_of_its_own)
{
    struct world world = world_new(1);
    static uint8_t data[2000];
    uint64_t sequence = 0;
    world.options.limits.messages_max = 5;
    cr_assert_eq(world_open(&world), ERR_OK);
    struct store_channel *log = world_log(&world);
    cr_assert_eq(store_append(world.store, log, TEXT("entry"), 1, &sequence), ERR_OK);
    cr_assert_eq(world_share(&world, "foo", 1), ERR_OK);
    cr_assert_eq(store_append(world.store, log, TEXT("next"), 1, &sequence), ERR_OK);
    cr_assert_eq(store_trim_below(world.store, log, 2), ERR_OK);
    struct store_figures figures = {0};
    for (int i = 0; i < 1000 && figures.retired_segments < 3; i++) {
        cr_assert_eq(store_append(world.store, world_channel(&world, "bar"), bytes_of(data, sizeof data), 1,
                                  &sequence),
                     ERR_OK);
        cr_assert_eq(world_flush(&world), ERR_OK);
        store_tick(world.store, world.now_ns++);
        figures = store_figures(world.store);
    }
    cr_expect_geq(figures.retired_segments, 3);
    check_shared(&world, 1, TEXT("f\1entry"));
    cr_expect_eq(store_channel_figures(world_log(&world)).message_count, 1);
    cr_assert_eq(world_restart(&world), ERR_OK, "%s", world.why);
    check_shared(&world, 1, TEXT("f\1entry"));
    world_free(&world);
}

/* Makes messages as world_make(), or answers `err`; counts how often it is asked. */
struct refusal {
    enum err err;
    int asked;
};

static enum err refuse(void *context, struct bytes source, struct bytes channel, uint64_t sequence,
                       int64_t timestamp_ns, struct bytes *data)
{
    struct refusal *refusal = context;
    refusal->asked++;
    return refusal->err == ERR_OK ? world_make(NULL, source, channel, sequence, timestamp_ns, data)
                                  : refusal->err;
}

Test(store, a_message_that_cannot_be_made_is_damage_but_for_memory)
{
    struct world world = world_new(1);
    struct refusal refusal = {ERR_MEMORY, 0};
    struct store_message message;
    uint64_t sequence = 0;
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_assert_eq(store_append(world.store, world_log(&world), TEXT("entry"), 1, &sequence), ERR_OK);
    cr_assert_eq(world_share(&world, "foo", 1), ERR_OK);
    store_set_sharing(world.store, &(struct store_sharing){refuse, &refusal});
    struct store_channel *channel = store_channel_find(world.store, TEXT("foo"));
    cr_expect_eq(store_lookup(world.store, channel, 1, &message), ERR_MEMORY);
    refusal.err = ERR_INVALID;
    cr_expect_eq(store_lookup(world.store, channel, 1, &message), ERR_DAMAGED);
    cr_expect_not_null(strstr(store_error(world.store), "message 1 of foo"), "%s", store_error(world.store));
    refusal.err = ERR_OK;
    check_shared(&world, 1, TEXT("f\1entry"));
    world_free(&world);
}

/* An old segment with one message that shares, and much behind it that is gone: ticks go over it again and
 * again. */
static void clean_much(struct world *world, int turns)
{
    static uint8_t data[2000];
    uint64_t sequence = 0;
    for (int i = 0; i < turns; i++) {
        cr_assert_eq(store_append(world->store, world_channel(world, "bar"), bytes_of(data, sizeof data), 1,
                                  &sequence),
                     ERR_OK);
        cr_assert_eq(world_flush(world), ERR_OK);
        store_tick(world->store, world->now_ns++);
    }
}

Test(store, what_cannot_be_made_is_not_tried_again_with_every_tick)
{
    static const enum err errors[] = {ERR_INVALID, ERR_MEMORY};
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct world world = world_new(1);
        struct refusal refusal = {errors[i], 0};
        uint64_t sequence = 0;
        world.options.limits.messages_max = 5;
        cr_assert_eq(world_open(&world), ERR_OK);
        struct store_channel *log = world_log(&world);
        cr_assert_eq(store_append(world.store, log, TEXT("entry"), 1, &sequence), ERR_OK);
        cr_assert_eq(world_share(&world, "foo", 1), ERR_OK);
        cr_assert_eq(store_trim_below(world.store, log, 2), ERR_OK);
        store_set_sharing(world.store, &(struct store_sharing){refuse, &refusal});
        clean_much(&world, 300);
        cr_expect_eq(store_figures(world.store).retired_segments, 0);
        if (errors[i] == ERR_INVALID)
            cr_expect_eq(refusal.asked, 1, "%d times", refusal.asked);
        else
            cr_expect_gt(refusal.asked, 1, "memory may come back");
        refusal.err = ERR_OK;
        check_shared(&world, 1, TEXT("f\1entry"));
        clean_much(&world, 100);
        cr_expect_eq(store_figures(world.store).retired_segments > 0, errors[i] == ERR_MEMORY);
        check_shared(&world, 1, TEXT("f\1entry"));
        world_free(&world);
    }
}

Test(store, a_message_shares_only_what_is_in_the_same_segment)
{
    struct world world = world_of(STORE_MEMORY);
    static uint8_t data[60000];
    uint64_t sequence = 0;
    cr_assert_eq(world_open(&world), ERR_OK);
    struct store_channel *foo = world_channel(&world, "foo"), *log = world_log(&world);
    cr_assert_eq(store_append(world.store, log, TEXT("entry"), 1, &sequence), ERR_OK);
    cr_expect_eq(store_append_shared(world.store, foo, 1, 7, 1, log, 1), ERR_NOT_FOUND, "a memory store");
    world_free(&world);

    world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    foo = world_channel(&world, "foo");
    log = world_log(&world);
    cr_assert_eq(store_append(world.store, log, TEXT("entry"), 1, &sequence), ERR_OK);
    cr_expect_eq(store_append_shared(world.store, foo, 1, 7, 1, log, 2), ERR_NOT_FOUND, "no such entry");
    cr_assert_eq(world_append(&world, "bar", sizeof data), ERR_OK);
    cr_assert_eq(world_append(&world, "bar", sizeof data), ERR_OK);
    cr_expect_eq(store_append_shared(world.store, foo, 1, 7, 1, log, 1), ERR_NOT_FOUND, "another segment");
    cr_expect_eq(store_channel_figures(foo).last_sequence, 0);
    cr_assert_eq(world_share(&world, "foo", 1), ERR_OK);
    check_shared(&world, 1, TEXT("f\1entry"));
    cr_expect_eq(store_append_shared(world.store, foo, 1, 7, 1, log, 1), ERR_OK, "it is there already");
    world_free(&world);
}

Test(store, takes_back_the_end_of_a_channel_and_goes_on_behind_it)
{
    FOR_BOTH_KINDS(world)
    {
        cr_assert_eq(world_open(&world), ERR_OK);
        for (int i = 0; i < 10; i++)
            cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
        struct store_channel *channel = world_channel(&world, "foo");
        cr_assert_eq(store_cut_above(world.store, channel, 6), ERR_OK);
        check_messages(&world, "foo", 1, 6);
        uint64_t sequence = 0;
        cr_assert_eq(store_append(world.store, channel, TEXT("other"), 1, &sequence), ERR_OK);
        cr_expect_eq(sequence, 7);
        cr_assert_eq(store_trim_below(world.store, channel, 4), ERR_OK);
        if (world.options.kind == STORE_FILE) {
            cr_assert_eq(world_restart(&world), ERR_OK);
            channel = world_channel(&world, "foo");
        }
        struct store_message message;
        cr_expect_eq(store_channel_figures(channel).last_sequence, 7);
        cr_expect_eq(store_channel_figures(channel).first_sequence, 4);
        cr_assert_eq(store_lookup(world.store, channel, 7, &message), ERR_OK);
        cr_expect(bytes_equal(message.data, TEXT("other")));
    }
}

Test(store, has_as_many_channels_and_subscriptions_as_are_allowed)
{
    FOR_BOTH_KINDS(world)
    {
        world.options.channels_max = 2;
        world.options.limits.subscriptions_max = 2;
        cr_assert_eq(world_open(&world), ERR_OK);
        struct store_channel *channel = NULL;
        cr_expect_eq(store_channel_create(world.store, TEXT("a.*"), 0, &channel), ERR_INVALID);
        cr_expect_eq(store_channel_create(world.store, TEXT("foo"), 0, &channel), ERR_OK);
        cr_expect_eq(store_channel_create(world.store, TEXT("foo"), 0, &channel), ERR_EXISTS);
        cr_expect_eq(store_channel_create(world.store, TEXT("bar"), 0, &channel), ERR_OK);
        struct store_channel *third = NULL;
        cr_expect_eq(store_channel_create(world.store, TEXT("baz"), 0, &third), ERR_FULL);
        cr_expect_null(third);
        enum store_state_kind kind = STORE_STATE_SUBSCRIPTION;
        cr_expect_eq(store_state_put(world.store, kind, channel, TEXT("1"), TEXT("x")), ERR_OK);
        cr_expect_eq(store_state_put(world.store, kind, channel, TEXT("2"), TEXT("x")), ERR_OK);
        cr_expect_eq(store_state_put(world.store, kind, channel, TEXT("3"), TEXT("x")), ERR_FULL);
        cr_expect_eq(store_state_put(world.store, kind, channel, TEXT("2"), TEXT("y")), ERR_OK);
        cr_expect_eq(store_state_put(world.store, STORE_STATE_OTHER, channel, TEXT("3"), TEXT("x")), ERR_OK);
        cr_expect_eq(store_state_delete(world.store, kind, channel, TEXT("1")), ERR_OK);
        cr_expect_eq(store_state_put(world.store, kind, channel, TEXT("3"), TEXT("x")), ERR_OK);
        cr_expect_eq(store_channel_figures(channel).subscription_count, 2);
        cr_expect_eq(store_channel_delete(world.store, channel), ERR_OK);
        cr_expect_null(store_channel_find(world.store, TEXT("bar")));
        cr_expect_eq(store_channel_create(world.store, TEXT("baz"), 0, &third), ERR_OK);
    }
}

struct told {
    char text[2000];
};

static enum err tell(void *context, const struct store_state *state)
{
    struct told *told = context;
    size_t used = strlen(told->text);
    used +=
        (size_t)snprintf(told->text + used, sizeof told->text - used, "%d %.*s %.*s:", state->kind,
                         state->channel == NULL ? 1 : (int)store_channel_name(state->channel).count,
                         state->channel == NULL ? "-" : (const char *)store_channel_name(state->channel).data,
                         BYTES_PRINTF(state->id));
    for (uint32_t i = 0; i < state->part_count; i++)
        used += (size_t)snprintf(told->text + used, sizeof told->text - used, " %.*s",
                                 BYTES_PRINTF(state->parts[i]));
    (void)snprintf(told->text + used, sizeof told->text - used, "\n");
    return ERR_OK;
}

Test(store, tells_its_records_in_order_after_a_restart)
{
    struct world world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    struct store *s = world.store;
    struct store_channel *foo = world_channel(&world, "foo"), *bar = world_channel(&world, "bar");
    bool wanted = false;
    cr_assert_eq(store_state_put(s, STORE_STATE_SUBSCRIPTION, bar, TEXT("2"), TEXT("b2")), ERR_OK);
    cr_assert_eq(store_state_put(s, STORE_STATE_SUBSCRIPTION, foo, TEXT("2"), TEXT("f2")), ERR_OK);
    cr_assert_eq(store_state_put(s, STORE_STATE_SUBSCRIPTION, foo, TEXT("1"), TEXT("old")), ERR_OK);
    cr_assert_eq(store_state_add(s, STORE_STATE_SUBSCRIPTION, foo, TEXT("1"), TEXT("old+"), &wanted), ERR_OK);
    cr_assert_eq(store_state_put(s, STORE_STATE_SUBSCRIPTION, foo, TEXT("1"), TEXT("f1")), ERR_OK);
    cr_assert_eq(store_state_add(s, STORE_STATE_SUBSCRIPTION, foo, TEXT("1"), TEXT("+a"), &wanted), ERR_OK);
    cr_assert_eq(store_state_add(s, STORE_STATE_SUBSCRIPTION, foo, TEXT("1"), TEXT("+b"), &wanted), ERR_OK);
    cr_assert_eq(store_state_put(s, STORE_STATE_CLIENT, NULL, TEXT("me"), TEXT("client")), ERR_OK);
    cr_assert_eq(store_state_put(s, STORE_STATE_CLIENT, NULL, TEXT("gone"), TEXT("client")), ERR_OK);
    cr_assert_eq(store_state_delete(s, STORE_STATE_CLIENT, NULL, TEXT("gone")), ERR_OK);
    cr_assert_eq(store_state_delete(s, STORE_STATE_CLIENT, NULL, TEXT("never")), ERR_OK);
    cr_assert_eq(store_state_put(s, STORE_STATE_SERVER, NULL, TEXT(""), TEXT("server")), ERR_OK);
    cr_expect_eq(store_state_add(s, STORE_STATE_CLIENT, NULL, TEXT("gone"), TEXT("x"), &wanted),
                 ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) {
        struct told told = {""};
        cr_assert_eq(store_state_each(world.store, tell, &told), ERR_OK, "%s", store_error(world.store));
        cr_expect_str_eq(told.text,
                         "0 - : server\n1 - me: client\n2 foo 1: f1 +a +b\n2 foo 2: f2\n2 bar 2: b2\n");
        cr_assert_eq(world_restart(&world), ERR_OK);
    }
    world_free(&world);
}

Test(store, asks_for_the_whole_when_much_was_added)
{
    struct world world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_assert_eq(store_state_put(world.store, STORE_STATE_CLIENT, NULL, TEXT("1"), TEXT("x")), ERR_OK);
    bool wanted = false;
    int added = 0;
    while (!wanted && added < 1000) {
        cr_assert_eq(store_state_add(world.store, STORE_STATE_CLIENT, NULL, TEXT("1"), TEXT("y"), &wanted),
                     ERR_OK);
        added++;
    }
    cr_expect_eq(added, 64);
    enum err err = ERR_OK;
    for (added = 0; err == ERR_OK && added < 10000; added++)
        err = store_state_add(world.store, STORE_STATE_CLIENT, NULL, TEXT("1"), TEXT("y"), &wanted);
    cr_expect_eq(err, ERR_FULL);
    cr_expect_eq(store_state_put(world.store, STORE_STATE_CLIENT, NULL, TEXT("1"), TEXT("x")), ERR_OK);
    cr_expect_eq(store_state_add(world.store, STORE_STATE_CLIENT, NULL, TEXT("1"), TEXT("y"), &wanted),
                 ERR_OK);
    world_free(&world);
}

Test(store, gives_space_back_and_keeps_what_lives)
{
    struct world world = world_new(1);
    world.options.rules = &(struct store_limits_rule){.name = TEXT("busy"), .messages_max = 10};
    world.options.rule_count = 1;
    cr_assert_eq(world_open(&world), ERR_OK);
    (void)world_channel(&world, "silent");
    bool wanted = false;
    cr_assert_eq(store_state_put(world.store, STORE_STATE_CLIENT, NULL, TEXT("me"), TEXT("a")), ERR_OK);
    cr_assert_eq(store_state_add(world.store, STORE_STATE_CLIENT, NULL, TEXT("me"), TEXT("b"), &wanted),
                 ERR_OK);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(world_append(&world, "quiet", 900), ERR_OK);
    for (int i = 0; i < 2000; i++) {
        cr_assert_eq(world_append(&world, "busy", 1000), ERR_OK, "%s", store_error(world.store));
        if (i % 7 == 0) {
            cr_assert_eq(world_flush(&world), ERR_OK);
            store_tick(world.store, world.now_ns);
        }
    }
    struct store_figures figures = store_figures(world.store);
    cr_expect_leq(figures.segment_count, 5, "%u", figures.segment_count);
    cr_expect_gt(figures.retired_segments, 25);
    for (int i = 0; i < 2; i++) {
        check_messages(&world, "quiet", 1, 3);
        check_messages(&world, "busy", 1991, 2000);
        check_messages(&world, "silent", 0, 0);
        struct told told = {""};
        cr_assert_eq(store_state_each(world.store, tell, &told), ERR_OK);
        cr_expect_str_eq(told.text, "1 - me: a b\n");
        cr_assert_eq(world_restart(&world), ERR_OK, "%s", world.why);
    }
    world_free(&world);
}

Test(store, takes_a_message_that_is_larger_than_a_segment)
{
    struct world world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(world_append(&world, "foo", 100000), ERR_OK, "%s", store_error(world.store));
        cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
        cr_assert_eq(world_flush(&world), ERR_OK);
        store_tick(world.store, world.now_ns);
    }
    check_messages(&world, "foo", 1, 8);
    cr_assert_eq(world_restart(&world), ERR_OK, "%s", world.why);
    check_messages(&world, "foo", 1, 8);
    world_free(&world);
}

Test(store, says_when_the_buffer_is_full_and_goes_on_when_it_was_written)
{
    struct world world = world_new(1);
    world.options.buffer_bytes_max = 65536;
    cr_assert_eq(world_open(&world), ERR_OK);
    enum err err = ERR_OK;
    uint64_t count = 0;
    while ((err = world_append(&world, "foo", 1000)) == ERR_OK && count < 100000)
        count++;
    cr_expect_eq(err, ERR_FULL);
    cr_expect_not(store_disk_full(world.store));
    cr_assert_eq(world_flush(&world), ERR_OK);
    cr_expect_eq(world_append(&world, "foo", 1000), ERR_OK);
    check_messages(&world, "foo", 1, count + 1);
    world_free(&world);
}

Test(store, a_full_disk_refuses_messages_and_still_takes_records)
{
    struct world world = world_new(1);
    world.disk->room_bytes = 200000; /* three segments */
    cr_assert_eq(world_open(&world), ERR_OK);
    enum err err = ERR_OK;
    uint64_t count = 0;
    while ((err = world_append(&world, "foo", 1000)) == ERR_OK && count < 1000) {
        count++;
        cr_assert_eq(world_flush(&world), ERR_OK);
    }
    cr_expect_eq(err, ERR_FULL);
    cr_expect(store_disk_full(world.store));
    cr_expect_gt(count, 150);
    for (int i = 0; i < 20; i++)
        cr_expect_eq(store_state_put(world.store, STORE_STATE_CLIENT, NULL, TEXT("1"), TEXT("x")), ERR_OK);
    check_messages(&world, "foo", 1, count);
    /* Records make room: messages go, then their segments. */
    cr_assert_eq(store_trim_below(world.store, world_channel(&world, "foo"), count), ERR_OK);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(world_flush(&world), ERR_OK, "%s", store_error(world.store));
        world.now_ns += 2000000000;
        store_tick(world.store, world.now_ns);
    }
    cr_expect_not(store_disk_full(world.store));
    cr_expect_eq(world_append(&world, "foo", 1000), ERR_OK, "%s", store_error(world.store));
    world_free(&world);
}

Test(store, nothing_is_acknowledged_after_a_sync_that_failed)
{
    struct world world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    cr_assert_eq(world_flush(&world), ERR_OK);
    uint64_t safe = store_acknowledged(world.store);
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    struct store_io io;
    cr_assert(store_io_begin(world.store, world.now_ns, &io));
    store_io_done(world.store, world.now_ns, (int64_t)io.bytes, -EIO);
    cr_expect(store_failed(world.store));
    cr_expect_eq(store_acknowledged(world.store), safe);
    cr_expect_not(store_io_begin(world.store, world.now_ns, &io));
    cr_expect_eq(world_append(&world, "foo", 10), ERR_SYSTEM);
    cr_expect_not_null(strstr(store_error(world.store), "00000001.wal"), "%s", store_error(world.store));
    cr_expect_eq(store_close(world.store), ERR_SYSTEM);
    world.store = NULL;
    world_free(&world);
}

Test(store, is_not_opened_twice)
{
    struct world world = world_new(1), second = world;
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_expect_eq(world_open(&second), ERR_EXISTS);
    cr_expect_str_eq(second.why, "the store is in use by process 4711");
    world_free(&world);
}

Test(store, marks_what_is_safe_when_all_is_at_rest)
{
    struct world world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    cr_assert_eq(world_append(&world, "foo", 10), ERR_OK);
    cr_assert_eq(world_flush(&world), ERR_OK);
    uint64_t end = store_position(world.store);
    uint32_t ticks = 0;
    for (int64_t due; (due = store_next_tick_ns(world.store)) != INT64_MAX && ticks < 10; ticks++) {
        world.now_ns = due > world.now_ns ? due : world.now_ns + 1;
        store_tick(world.store, world.now_ns);
        cr_assert_eq(world_flush(&world), ERR_OK);
    }
    cr_expect_lt(ticks, 10, "it comes to rest");
    cr_expect_eq(store_position(world.store), end + RECORD_HEADER_BYTES, "one mark");
    world_free(&world);
}

/* Memory may run out anywhere: what was answered OK is there, the rest is not, and nothing is lost or leaks.
 */
Test(store, survives_memory_that_runs_out)
{
    FOR_EACH_FAULT(plan)
    {
        faults_pause();
        struct world world = world_new(1);
        world.options.limits.age_max_ns = 1000000;
        faults_resume();
        bool wanted = false;
        if (world_open(&world) == ERR_OK) {
            uint64_t appended = 0;
            struct store_channel *channel = world_channel(&world, "foo");
            for (int i = 0; i < 70 && channel != NULL; i++)
                appended += world_append(&world, "foo", 1500) == ERR_OK;
            for (int i = 0; i < 3 && channel != NULL; i++) {
                if (store_state_put(world.store, STORE_STATE_SUBSCRIPTION, channel, TEXT("1"), TEXT("x")) ==
                    ERR_OK)
                    (void)!store_state_add(world.store, STORE_STATE_SUBSCRIPTION, channel, TEXT("1"),
                                           TEXT("y"), &wanted);
            }
            (void)!world_flush(&world);
            store_tick(world.store, world.now_ns);
            faults_pause();
            if (channel != NULL)
                check_messages(&world, "foo", appended == 0 ? 0 : 1, appended);
            faults_resume();
            (void)!world_restart(&world);
        }
        faults_pause();
        world_free(&world);
        faults_resume();
    }
}
