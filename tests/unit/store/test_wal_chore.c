/* Tests store/wal_chore.c: files of the log are made and given up by their owner, call by call, while appends
 * go on. What a crash between the calls leaves is in test_crash.c. */
#include "core/base/language.h"
#include "tests/unit/store/store_world.h"

#include <criterion/criterion.h>

enum { MESSAGE_BYTES = 1000, CALLS_MAX = 100 };

static struct world world_in_steps(void)
{
    struct world world = world_new(1);
    world.options.outside_bytes_min = WAL_SEGMENT_BYTES_MIN;
    cr_assert_eq(world_open(&world), ERR_OK, "%s", world.why);
    return world;
}

/* As much as can be written and synced, by calls of the ring. */
static void write_all(struct world *world)
{
    struct store_io io;
    while (store_io_begin(world->store, world->now_ns, &io)) {
        int64_t written = 0;
        if (io.part_count > 0)
            written = sim_calls.write(world->disk, io.file, io.parts, io.part_count, io.offset);
        int synced = io.sync ? sim_calls.sync(world->disk, io.file) : 0;
        store_io_done(world->store, world->now_ns, written, synced);
    }
}

static bool do_chore(struct world *world)
{
    struct store_chore chore;
    if (!store_chore_begin(world->store, &chore))
        return false;
    cr_expect_not(store_chore_begin(world->store, &chore), "one at a time");
    store_chore_done(world->store, world->now_ns, store_chore_do(&world->options.files, &chore));
    return true;
}

static uint32_t do_chores(struct world *world)
{
    uint32_t count = 0;
    while (do_chore(world))
        cr_assert_lt(++count, CALLS_MAX);
    return count;
}

static void append(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(world_append(world, "foo", MESSAGE_BYTES), ERR_OK, "%s", store_error(world->store));
}

/* Appends until the first file is more than half full, and lets the store notice. */
static void half_a_file(struct world *world)
{
    append(world, WAL_SEGMENT_BYTES_MIN / MESSAGE_BYTES / 2 + 2);
    store_tick(world->store, world->now_ns);
}

static bool all_acknowledged(const struct world *world)
{
    return store_acknowledged(world->store) == store_position(world->store);
}

static void expect_messages(struct world *world, uint64_t count)
{
    struct store_channel *channel = world_channel(world, "foo");
    cr_expect_eq(store_channel_last(channel), count);
    for (uint64_t at = 1; at <= count; at++) {
        struct store_message message;
        uint8_t data[MESSAGE_BYTES];
        world_data(data, sizeof data, "foo", at);
        cr_assert_eq(store_lookup(world->store, channel, at, &message), ERR_OK, "%llu: %s",
                     (unsigned long long)at, store_error(world->store));
        cr_assert(bytes_equal(message.data, bytes_of(data, sizeof data)), "%llu", (unsigned long long)at);
    }
}

Test(wal_chore, a_file_is_made_call_by_call_before_it_is_needed)
{
    struct world world = world_in_steps();
    uint32_t files = store_figures(world.store).descriptor_count;
    cr_expect_not(do_chore(&world), "nothing is to be done with an empty file");
    half_a_file(&world);
    static const enum store_chore_kind wanted[] = {STORE_CHORE_CREATE, STORE_CHORE_RESERVE, STORE_CHORE_WRITE,
                                                   STORE_CHORE_RENAME, STORE_CHORE_SYNC_FOLDER};
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        struct store_chore chore;
        cr_assert(store_chore_begin(world.store, &chore));
        cr_expect_eq(chore.kind, wanted[i], "call %zu", i);
        append(&world, 1); /* nobody waits for it */
        write_all(&world);
        cr_expect(all_acknowledged(&world));
        store_chore_done(world.store, world.now_ns, store_chore_do(&world.options.files, &chore));
    }
    cr_expect_not(do_chore(&world));
    cr_expect_eq(store_figures(world.store).descriptor_count, files + 1);
    world_free(&world);
}

Test(wal_chore, what_is_appended_to_a_file_that_is_not_there_is_written_when_it_is)
{
    struct world world = world_in_steps();
    half_a_file(&world);
    append(&world, WAL_SEGMENT_BYTES_MIN / MESSAGE_BYTES);
    uint64_t count = store_channel_last(world_channel(&world, "foo"));
    write_all(&world);
    cr_expect_not(all_acknowledged(&world));
    cr_expect_gt(store_acknowledged(world.store), (uint64_t)1 << 32 | WAL_SEGMENT_BYTES_MIN / 2);
    expect_messages(&world, count); /* from the buffer */
    while (do_chore(&world)) {
        cr_expect_not(all_acknowledged(&world));
        write_all(&world);
    }
    cr_expect(all_acknowledged(&world));
    cr_assert_eq(world_power_cut(&world), ERR_OK, "%s", world.why);
    expect_messages(&world, count);
    world_free(&world);
}

Test(wal_chore, a_full_file_behind_one_that_is_not_there_is_the_bound)
{
    struct world world = world_in_steps();
    half_a_file(&world);
    uint64_t count = store_channel_last(world_channel(&world, "foo"));
    enum err err = ERR_OK;
    while ((err = world_append(&world, "foo", MESSAGE_BYTES)) == ERR_OK)
        cr_assert_lt(++count, 1000);
    cr_expect_eq(err, ERR_FULL);
    cr_expect_gt(count, 2 * WAL_SEGMENT_BYTES_MIN / MESSAGE_BYTES * 8 / 10);
    cr_expect_not(store_disk_full(world.store));
    do_chores(&world);
    cr_expect_eq(world_append(&world, "foo", MESSAGE_BYTES), ERR_OK, "%s", store_error(world.store));
    cr_expect_eq(store_close(world.store), ERR_OK, "what is left is done at the end");
    cr_assert_eq(world_open(&world), ERR_OK, "%s", world.why);
    expect_messages(&world, count + 1);
    world_free(&world);
}

Test(wal_chore, without_room_for_a_file_messages_are_refused_until_there_is)
{
    struct world world = world_in_steps();
    world.disk->room_bytes = WAL_SEGMENT_BYTES_MIN + 10000;
    half_a_file(&world);
    do_chores(&world);
    cr_expect(store_disk_full(world.store));
    uint64_t count = store_channel_last(world_channel(&world, "foo"));
    enum err err = ERR_OK;
    while ((err = world_append(&world, "foo", MESSAGE_BYTES)) == ERR_OK)
        cr_assert_lt(++count, 1000);
    cr_expect_eq(err, ERR_FULL);
    write_all(&world);
    cr_expect(all_acknowledged(&world), "what was taken is safe");
    world.disk->room_bytes = 0;
    world.now_ns += 2000000000;
    store_tick(world.store, world.now_ns);
    do_chores(&world);
    cr_expect_not(store_disk_full(world.store));
    append(&world, 1);
    write_all(&world);
    cr_expect(all_acknowledged(&world));
    expect_messages(&world, count + 1);
    world_free(&world);
}

Test(wal_chore, what_was_appended_waits_for_room)
{
    struct world world = world_in_steps();
    half_a_file(&world);
    append(&world, WAL_SEGMENT_BYTES_MIN / MESSAGE_BYTES);
    uint64_t count = store_channel_last(world_channel(&world, "foo"));
    world.disk->room_bytes = WAL_SEGMENT_BYTES_MIN + 10000;
    do_chores(&world);
    write_all(&world);
    cr_expect(store_disk_full(world.store));
    cr_expect_not(store_failed(world.store));
    cr_expect_not(all_acknowledged(&world));
    cr_expect_eq(world_append(&world, "foo", MESSAGE_BYTES), ERR_FULL);
    world.disk->room_bytes = 0;
    cr_expect_not(do_chore(&world), "it is asked again after a while");
    world.now_ns += 2000000000;
    store_tick(world.store, world.now_ns);
    cr_expect_gt(do_chores(&world), 0);
    write_all(&world);
    cr_expect(all_acknowledged(&world));
    cr_assert_eq(world_power_cut(&world), ERR_OK, "%s", world.why);
    expect_messages(&world, count);
    world_free(&world);
}

Test(wal_chore, a_disk_that_fails_under_what_was_appended_ends_the_store)
{
    struct world world = world_in_steps();
    half_a_file(&world);
    append(&world, WAL_SEGMENT_BYTES_MIN / MESSAGE_BYTES);
    write_all(&world);
    uint64_t safe = store_acknowledged(world.store);
    struct store_chore chore;
    cr_assert(store_chore_begin(world.store, &chore));
    store_chore_done(world.store, world.now_ns, -EIO);
    cr_expect(store_failed(world.store));
    cr_expect_eq(store_acknowledged(world.store), safe);
    cr_expect_not_null(strstr(store_error(world.store), "unable to create spare-00000002"), "%s",
                       store_error(world.store));
    cr_expect_not(do_chore(&world));
    world_free(&world);
}

Test(wal_chore, the_oldest_file_is_given_up_call_by_call_and_written_again)
{
    struct world world = world_in_steps();
    uint32_t renamed = 0, opened = 0;
    for (uint32_t turn = 0; turn < 600; turn++) {
        append(&world, 1);
        struct store_channel *channel = world_channel(&world, "foo");
        cr_assert_eq(store_trim_below(world.store, channel, store_channel_last(channel)), ERR_OK);
        write_all(&world);
        store_tick(world.store, world.now_ns);
        struct store_chore chore;
        if (!store_chore_begin(world.store, &chore))
            continue;
        renamed += chore.kind == STORE_CHORE_RENAME && strncmp(chore.to, "spare-", 6) == 0;
        opened += chore.kind == STORE_CHORE_OPEN;
        store_chore_done(world.store, world.now_ns, store_chore_do(&world.options.files, &chore));
    }
    cr_expect_gt(renamed, 3, "files that became spares");
    cr_expect_gt(opened, 3, "spares that became files");
    cr_expect_eq(store_figures(world.store).retired_segments, renamed);
    cr_expect_leq(store_figures(world.store).segment_count, 4);
    world_free(&world);
}
