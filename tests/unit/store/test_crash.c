/* The store against a disk that fails: at every call that changes something, for each kind of fault. The log
 * orders everything, so what is found after a crash must be exactly what users saw after some operation, none
 * of those that were acknowledged missing. */
#include "core/base/language.h"
#include "tests/unit/store/store_world.h"

#include <criterion/criterion.h>

enum {
    OPERATIONS = 420,
    STEPS_MAX = 2000, /* more would mean that a scene does not end */
};

struct scene {
    struct world world;
    struct random random;
    uint64_t digests[OPERATIONS + 1]; /* after each operation; [0] is the empty store */
    uint64_t positions[OPERATIONS + 1];
    uint32_t done;         /* operations that were done */
    uint32_t acknowledged; /* of them */
};

static const char *const channel_names[] = {"a", "bb", "ccc", "dddd"};

static struct store_limits_rule scene_rules[] = {
    {.name = {(const uint8_t *)"ccc", 3},
     .messages_max = 3,
     .bytes_max = LIMIT_INHERITED,
     .age_max_ns = LIMIT_INHERITED,
     .inactivity_max_ns = LIMIT_INHERITED,
     .subscriptions_max = LIMIT_INHERITED},
};

/* Whether files are made by the store itself, or step by step between operations. */
enum files_made { AT_ONCE, IN_STEPS };

static void scene_begin(struct scene *scene, uint64_t seed, enum files_made files)
{
    *scene = (struct scene){.world = world_new(seed)};
    random_seed(&scene->random, seed);
    scene->world.options.limits.messages_max = 12;
    scene->world.options.rules = scene_rules;
    scene->world.options.rule_count = 1;
    scene->world.options.outside_bytes_min = files == IN_STEPS ? WAL_SEGMENT_BYTES_MIN : 0;
}

static enum err state_operation(struct scene *scene, struct store_channel *channel)
{
    struct random *random = &scene->random;
    struct store *store = scene->world.store;
    uint8_t id = (uint8_t)random_below(random, 3), value[600];
    size_t bytes = random_below(random, sizeof value);
    world_data(value, bytes, "state", random_next(random) & 255);
    struct bytes key = bytes_of(&id, 1);
    enum store_state_kind kind = channel == NULL ? STORE_STATE_CLIENT : STORE_STATE_SUBSCRIPTION;
    bool put_wanted = false;
    uint32_t what = random_below(random, 8);
    if (what == 0)
        return store_state_delete(store, kind, channel, key);
    enum err err = ERR_NOT_FOUND;
    if (what > 1)
        err = store_state_add(store, kind, channel, key, bytes_of(value, bytes / 8), &put_wanted);
    return err == ERR_NOT_FOUND ? store_state_put(store, kind, channel, key, bytes_of(value, bytes)) : err;
}

/* An entry of the log, or a message that shares one, as a node of a cluster does it. */
static enum err log_operation(struct scene *scene, const char *name)
{
    static uint8_t data[3000];
    struct world *world = &scene->world;
    struct random *random = &scene->random;
    struct store_channel *log = world_log(world);
    uint64_t sequence = 0;
    if (log == NULL)
        return ERR_FULL;
    struct store_channel_figures figures = store_channel_figures(log);
    uint32_t bytes = random_below(random, sizeof data), what = random_below(random, 12);
    if (what < 6 && figures.message_count > 0)
        return world_share(world, name,
                           figures.last_sequence - random_below(random, 2) % figures.message_count);
    if (what == 6)
        return store_trim_below(world->store, log, figures.last_sequence - figures.message_count / 2);
    if (what == 7 && figures.message_count > 4)
        return store_cut_above(world->store, log, figures.last_sequence - 2);
    world_data(data, bytes, "log", figures.last_sequence + 1);
    return store_append(world->store, log, bytes_of(data, bytes), world->now_ns++, &sequence);
}

/* One operation, of which a user sees all or nothing. */
static enum err operate(struct scene *scene)
{
    struct random *random = &scene->random;
    struct world *world = &scene->world;
    const char *name = channel_names[random_below(random, COUNT_OF(channel_names))];
    uint32_t what = random_below(random, 40);
    uint32_t bytes = random_below(random, 3000);
    struct store_channel *channel = store_channel_find(world->store, text(name));
    if (channel == NULL)
        return store_channel_create(world->store, text(name), world->now_ns, &channel);
    uint64_t last = store_channel_figures(channel).last_sequence;
    switch (what) {
    case 0:
        return random_below(random, 3) != 0 ? ERR_OK : store_channel_delete(world->store, channel);
    case 1:
        return store_trim_below(world->store, channel, last - last / 8);
    case 2:
        return last < 3 ? ERR_OK : store_cut_above(world->store, channel, last - 2);
    case 3:
        return random_below(random, 3) != 0 ? ERR_OK : store_channel_empty(world->store, channel);
    case 4:
    case 5:
    case 6:
    case 7:
        return state_operation(scene, NULL);
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
        return state_operation(scene, channel);
    case 14:
    case 15:
    case 16:
    case 17:
    case 18:
    case 19:
    case 20:
    case 21:
        return log_operation(scene, name);
    default:
        return world_append(world, name, bytes);
    }
}

static void acknowledge(struct scene *scene)
{
    while (scene->acknowledged < scene->done &&
           scene->positions[scene->acknowledged + 1] <= store_acknowledged(scene->world.store))
        scene->acknowledged++;
}

/* Some of the calls by which files are made and given up. */
static void do_chores(struct scene *scene)
{
    struct world *world = &scene->world;
    struct store_chore chore;
    if (world->options.outside_bytes_min == 0)
        return;
    for (uint32_t steps = random_below(&scene->random, 3); steps > 0; steps--) {
        if (store_chore_begin(world->store, &chore))
            store_chore_done(world->store, world->now_ns, store_chore_do(&world->options.files, &chore));
    }
}

/* What is seen after each operation, from a run in which nothing goes wrong: the model. */
static void scene_rehearse(struct scene *scene, uint64_t seed, enum files_made files)
{
    scene_begin(scene, seed, files);
    cr_assert_eq(world_open(&scene->world), ERR_OK, "%s", scene->world.why);
    cr_assert_eq(world_digest(&scene->world, &scene->digests[0]), ERR_OK);
    for (uint32_t i = 1; i <= OPERATIONS; i++) {
        cr_assert_eq(operate(scene), ERR_OK);
        cr_assert_eq(world_digest(&scene->world, &scene->digests[i]), ERR_OK, "%s",
                     store_error(scene->world.store));
        if (random_below(&scene->random, 4) == 0) {
            cr_assert_eq(world_flush(&scene->world), ERR_OK);
            store_tick(scene->world.store, scene->world.now_ns);
        }
        do_chores(scene);
    }
    struct store_figures figures = store_figures(scene->world.store);
    cr_assert_gt(figures.retired_segments, 1, "the scene is too small to try cleaning");
    cr_assert_gt(figures.moved_records, 0);
    world_free(&scene->world);
}

/* The same operations, until the fault stops them. */
static void scene_play(struct scene *scene)
{
    for (uint32_t i = 1; i <= OPERATIONS; i++) {
        if (operate(scene) != ERR_OK)
            return;
        scene->done = i;
        scene->positions[i] = store_position(scene->world.store);
        if (random_below(&scene->random, 4) == 0) {
            (void)!world_flush(&scene->world);
            store_tick(scene->world.store, scene->world.now_ns);
        }
        do_chores(scene);
        acknowledge(scene);
        if (scene->world.disk->dead || store_failed(scene->world.store))
            return;
    }
}

/* After how many operations users saw what is there now; -1: never, or only before some that were
 * acknowledged. */
static int32_t found_at(struct scene *scene, const struct scene *model)
{
    uint64_t digest = 0;
    if (world_digest(&scene->world, &digest) != ERR_OK)
        return -1;
    /* The operation that failed may have come through nevertheless. */
    uint32_t most = scene->done + 1 <= OPERATIONS ? scene->done + 1 : OPERATIONS;
    for (uint32_t i = scene->acknowledged; i <= most; i++) {
        if (model->digests[i] == digest)
            return (int32_t)i;
    }
    return -1;
}

/* A second power cut soon after the first: what was cut must not come back, nor may its rests be taken for
 * records. */
static void check_second_cut(struct scene *scene)
{
    enum { APPENDS = 5 };
    struct world *world = &scene->world;
    uint64_t digests[APPENDS + 1], found = 0;
    uint32_t acknowledged = 0;
    for (size_t i = 0; i < COUNT_OF(channel_names); i++)
        cr_assert_not_null(world_channel(world, channel_names[i]));
    cr_assert_eq(world_flush(world), ERR_OK);
    cr_assert_eq(world_digest(world, &digests[0]), ERR_OK);
    for (uint32_t i = 1; i <= APPENDS; i++) {
        size_t bytes = random_below(&scene->random, 1500);
        cr_assert_eq(world_append(world, channel_names[i % 3], bytes), ERR_OK, "%s",
                     store_error(world->store));
        cr_assert_eq(world_digest(world, &digests[i]), ERR_OK);
        if (i == 3) { /* written, perhaps not synced */
            struct store_io io;
            cr_assert(store_io_begin(world->store, world->now_ns, &io));
            int64_t written = sim_calls.write(world->disk, io.file, io.parts, io.part_count, io.offset);
            bool synced = random_below(&scene->random, 2) != 0 && io.sync;
            if (synced) {
                cr_assert_eq(sim_calls.sync(world->disk, io.file), 0);
                store_io_done(world->store, world->now_ns, written, 0);
                acknowledged = store_acknowledged(world->store) >= store_position(world->store) ? i : 0;
            }
        }
    }
    cr_assert_eq(world_power_cut(world), ERR_OK, "%s", world->why);
    cr_assert_eq(world_digest(world, &found), ERR_OK, "%s", store_error(world->store));
    for (uint32_t i = acknowledged; i <= APPENDS; i++) {
        if (digests[i] == found)
            return;
    }
    cr_assert_fail("after a second power cut something else is found; %u were acknowledged", acknowledged);
}

/* It still works: appends, restarts, and is the same. */
static void check_goes_on(struct scene *scene)
{
    uint64_t before = 0, after = 0;
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(world_append(&scene->world, channel_names[i % 2], 2000), ERR_OK);
        if (i % 20 == 0)
            cr_assert_eq(world_flush(&scene->world), ERR_OK);
    }
    cr_assert_eq(world_digest(&scene->world, &before), ERR_OK);
    cr_assert_eq(world_restart(&scene->world), ERR_OK, "%s", scene->world.why);
    cr_assert_eq(world_digest(&scene->world, &after), ERR_OK);
    cr_assert_eq(before, after);
}

/* Runs the scene with a fault at each step in turn. */
static void every_step(uint64_t seed, enum sim_fault fault, enum wal_sync sync, uint32_t stride,
                       enum files_made files)
{
    static struct scene model, scene;
    scene_rehearse(&model, seed, files);
    for (uint32_t at = 1;; at += stride) {
        cr_assert_lt(at, STEPS_MAX);
        scene_begin(&scene, seed, files);
        random_seed(&scene.world.disk->random, seed * 1000 + at);
        scene.world.options.sync = sync;
        scene.world.options.sync_interval_ns = 50;
        sim_disk_fault(scene.world.disk, fault, at);
        enum err err = world_open(&scene.world);
        if (err == ERR_OK)
            scene_play(&scene);
        bool met = scene.world.disk->fault_met;
        bool power_cut = sync == WAL_SYNC_ALWAYS;
        err = power_cut ? world_power_cut(&scene.world) : world_kill(&scene.world);
        cr_assert_eq(err, ERR_OK, "seed %llu, step %u: %s", (unsigned long long)seed, at, scene.world.why);
        int32_t found = found_at(&scene, &model);
        cr_assert_geq(
            found, 0, "seed %llu, step %u: %u done, %u acknowledged, and something else is found: %s",
            (unsigned long long)seed, at, scene.done, scene.acknowledged, store_error(scene.world.store));
        if (power_cut)
            check_second_cut(&scene);
        check_goes_on(&scene);
        world_free(&scene.world);
        if (!met)
            return;
    }
}

Test(crash, a_power_cut_at_every_step_loses_nothing_that_was_acknowledged)
{
    every_step(1, SIM_CRASH, WAL_SYNC_ALWAYS, 1, AT_ONCE);
    every_step(2, SIM_CRASH, WAL_SYNC_ALWAYS, 3, AT_ONCE);
    every_step(3, SIM_CRASH, WAL_SYNC_ALWAYS, 3, AT_ONCE);
}

Test(crash, a_process_that_dies_at_every_step_loses_nothing_that_was_acknowledged_whatever_the_policy)
{
    every_step(4, SIM_CRASH, WAL_SYNC_INTERVAL, 3, AT_ONCE);
    every_step(5, SIM_CRASH, WAL_SYNC_NEVER, 3, AT_ONCE);
}

Test(crash, writes_and_syncs_that_fail_lose_nothing_that_was_acknowledged)
{
    every_step(6, SIM_EIO, WAL_SYNC_ALWAYS, 2, AT_ONCE);
}

Test(crash, a_disk_that_is_full_loses_nothing_that_was_acknowledged)
{
    every_step(7, SIM_NO_SPACE, WAL_SYNC_ALWAYS, 3, AT_ONCE);
    every_step(8, SIM_NO_SPACE_ON, WAL_SYNC_ALWAYS, 3, AT_ONCE);
}

Test(crash, short_writes_are_carried_on)
{
    every_step(9, SIM_SHORT, WAL_SYNC_ALWAYS, 2, AT_ONCE);
}

Test(crash, files_that_are_made_in_steps_lose_nothing_that_was_acknowledged)
{
    every_step(10, SIM_CRASH, WAL_SYNC_ALWAYS, 2, IN_STEPS);
    every_step(11, SIM_CRASH, WAL_SYNC_NEVER, 3, IN_STEPS);
    every_step(12, SIM_EIO, WAL_SYNC_ALWAYS, 2, IN_STEPS);
    every_step(13, SIM_NO_SPACE, WAL_SYNC_ALWAYS, 3, IN_STEPS);
    every_step(14, SIM_NO_SPACE_ON, WAL_SYNC_ALWAYS, 3, IN_STEPS);
    every_step(15, SIM_SHORT, WAL_SYNC_ALWAYS, 3, IN_STEPS);
}
