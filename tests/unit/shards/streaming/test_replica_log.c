/* Raft's log in the store: what goes in is read back, and a crash at every point leaves exactly what some
 * operation left, none of those that were acknowledged missing (raft/driver.h's rules for a storage). */
#include "core/base/memory.h"
#include "shards/streaming/replica_log.h"
#include "tests/unit/store/store_world.h"

#include <criterion/criterion.h>

enum { MODEL_ENTRIES_MAX = 512, OPERATIONS = 140, STATES_MAX = 2 * OPERATIONS + 2, STEPS_MAX = 3000 };

/* What a node must find. */
struct model {
    uint64_t first, before_term, last;
    struct raft_hard_state hard_state;
    uint64_t snapshot_index, snapshot_term, snapshot_bytes;
    uint64_t terms[MODEL_ENTRIES_MAX]; /* by index; 0 where the log has none */
};

struct scene {
    struct world world;
    struct replica_log log;
    struct raft_storage storage;
    struct random random;
    struct model now;
    struct model *states;
    uint64_t *positions;
    uint32_t state_count;
};

static struct raft_membership members(void)
{
    struct raft_membership membership = {0};
    cr_assert(raft_membership_add(&membership, 7, RAFT_VOTER, TEXT("seven")));
    return membership;
}

/* The data of an entry: different for each index and term, now and then larger than a store's page. */
static struct bytes data_of(uint64_t index, uint64_t term, uint8_t *to)
{
    size_t count = (size_t)(index * 37 + term * 11) % 400 + (index % 29 == 0 ? 5000 : 0);
    for (size_t i = 0; i < count; i++)
        to[i] = (uint8_t)(index * 3 + term * 5 + i);
    return bytes_of(to, count);
}

static void remember(struct scene *scene)
{
    cr_assert_lt(scene->state_count, STATES_MAX);
    scene->states[scene->state_count] = scene->now;
    scene->positions[scene->state_count++] = store_position(scene->world.store);
}

static enum err log_open(struct scene *scene)
{
    enum err err = replica_log_open(&scene->log, scene->world.store, 0, scene->world.now_ns);
    scene->storage = replica_log_storage(&scene->log);
    return err;
}

static void scene_begin(struct scene *scene, uint64_t seed)
{
    *scene = (struct scene){.world = world_new(seed), .now = {.first = 1}};
    random_seed(&scene->random, seed);
    scene->states = memory_new(STATES_MAX * sizeof *scene->states);
    scene->positions = memory_new(STATES_MAX * sizeof *scene->positions);
    cr_assert(scene->states != NULL && scene->positions != NULL);
    scene->states[scene->state_count++] = scene->now;
}

static void scene_end(struct scene *scene)
{
    replica_log_close(&scene->log);
    world_free(&scene->world);
    memory_free(scene->states);
    memory_free(scene->positions);
}

/* ---- operations ---- */

static enum err append_one(struct scene *scene, uint64_t index, uint64_t term)
{
    static uint8_t data[8192];
    struct model *now = &scene->now;
    struct raft_entry entry = {.term = term, .kind = RAFT_ENTRY_DATA, .data = data_of(index, term, data)};
    enum err err = scene->storage.append(&scene->log, index, &entry, 1);
    if (index <= now->last) { /* a crash may leave the cut alone */
        for (uint64_t at = index; at <= now->last; at++)
            now->terms[at] = 0;
        now->last = index - 1;
        scene->states[scene->state_count] = *now;
        scene->positions[scene->state_count] = scene->positions[scene->state_count - 1];
        scene->state_count++;
    }
    now->last = index;
    now->terms[index] = term;
    return err;
}

static enum err trim(struct scene *scene)
{
    struct model *now = &scene->now;
    if (now->last < now->first + 4 || now->snapshot_index < now->first + 1)
        return ERR_OK;
    uint64_t first =
        now->first + 1 + random_below(&scene->random, (uint32_t)(now->snapshot_index - now->first));
    if (first > now->last)
        return ERR_OK;
    now->before_term = now->terms[first - 1];
    for (uint64_t at = now->first; at < first; at++)
        now->terms[at] = 0;
    now->first = first;
    scene->storage.trim(&scene->log, first, now->snapshot_index, 0);
    return scene->log.log_first == first ? ERR_OK : ERR_SYSTEM;
}

static struct raft_snapshot snapshot_at(uint64_t index, uint64_t term, uint64_t size_bytes)
{
    return (struct raft_snapshot){
        .index = index, .term = term, .size_bytes = size_bytes, .membership = members()};
}

static uint8_t *snapshot_bytes(uint64_t index, uint64_t size_bytes)
{
    uint8_t *bytes = memory_new(size_bytes);
    cr_assert(bytes != NULL);
    for (uint64_t i = 0; i < size_bytes; i++)
        bytes[i] = (uint8_t)(index * 7 + i);
    return bytes;
}

static void snapshot_noted(struct scene *scene, const struct raft_snapshot *about)
{
    scene->now.snapshot_index = about->index;
    scene->now.snapshot_term = about->term;
    scene->now.snapshot_bytes = about->size_bytes;
}

static enum err snapshot(struct scene *scene)
{
    struct model *now = &scene->now;
    if (now->last == now->snapshot_index || now->last < now->first)
        return ERR_OK;
    struct raft_snapshot about =
        snapshot_at(now->last, now->terms[now->last], 1 + random_below(&scene->random, 3000));
    enum err err = replica_log_save(&scene->log, &about, snapshot_bytes(about.index, about.size_bytes));
    if (err != ERR_OK)
        return err;
    if (snapshots_step(&scene->log.snapshots, scene->world.now_ns) == SNAPSHOT_FAILED)
        return ERR_SYSTEM;
    snapshots_done(&scene->log.snapshots);
    snapshot_noted(scene, &about);
    return ERR_OK;
}

static enum err hard_state(struct scene *scene)
{
    struct raft_hard_state *now = &scene->now.hard_state;
    now->term++;
    now->voted_for = random_below(&scene->random, 4);
    now->commit_index = scene->now.last;
    return scene->storage.set_hard_state(&scene->log, now);
}

static enum err operate(struct scene *scene)
{
    uint32_t what = random_below(&scene->random, 30);
    struct model *now = &scene->now;
    uint64_t term = now->hard_state.term + 1;
    if (what == 0)
        return snapshot(scene);
    if (what == 1)
        return trim(scene);
    if (what < 5)
        return hard_state(scene);
    if (what == 5 && now->last > now->snapshot_index + 3 && now->last > now->first + 3)
        return append_one(scene, now->last - 2, term);
    return append_one(scene, now->last + 1, term);
}

/* ---- what is found ---- */

static void look(struct scene *scene, struct model *found)
{
    const struct replica_log *log = &scene->log;
    static uint8_t data[8192];
    struct raft_entry entry;
    *found = (struct model){
        .first = log->log_first,
        .hard_state = log->hard_state,
        .snapshot_index = log->snapshots.newest.index,
        .snapshot_term = log->snapshots.newest.term,
        .snapshot_bytes = log->snapshots.newest.size_bytes,
    };
    found->last = store_channel_figures(log->entries).last_sequence;
    for (uint64_t at = found->first; at <= found->last; at++) {
        cr_assert_eq(scene->storage.read(&scene->log, at, 1, &entry), 1, "entry %lu", at);
        found->terms[at] = entry.term;
        cr_assert(bytes_equal(entry.data, data_of(at, entry.term, data)), "data of entry %lu", at);
    }
    if (found->first > 1 && scene->storage.read(&scene->log, found->first - 1, 1, &entry) == 1)
        found->before_term = entry.term;
    uint8_t *bytes = NULL;
    cr_assert_eq(snapshots_load(&scene->log.snapshots, &bytes), ERR_OK);
    uint8_t *expected =
        found->snapshot_index == 0 ? NULL : snapshot_bytes(found->snapshot_index, found->snapshot_bytes);
    cr_assert(found->snapshot_index == 0 || memcmp(bytes, expected, found->snapshot_bytes) == 0);
    memory_free(bytes);
    memory_free(expected);
}

static void run(struct scene *scene)
{
    enum err err = world_open(&scene->world);
    if (err == ERR_OK)
        err = log_open(scene);
    for (uint32_t i = 0; err == ERR_OK && i < OPERATIONS; i++) {
        err = operate(scene);
        remember(scene);
        if (err == ERR_OK && random_below(&scene->random, 4) == 0)
            err = world_flush(&scene->world);
        store_tick(scene->world.store, scene->world.now_ns++);
    }
}

static bool one_of_the_states(struct scene *scene, uint64_t acknowledged, const struct model *found)
{
    uint32_t from = 0;
    for (uint32_t i = 1; i < scene->state_count; i++) {
        if (scene->positions[i] <= acknowledged)
            from = i;
    }
    for (uint32_t i = from; i < scene->state_count; i++) {
        if (memcmp(&scene->states[i], found, sizeof *found) == 0)
            return true;
    }
    return false;
}

Test(replica_log, a_crash_at_every_point_leaves_what_some_operation_left)
{
    bool met = true;
    for (uint32_t step = 1; met && step < STEPS_MAX; step++) {
        struct scene scene;
        struct model found;
        scene_begin(&scene, step % 7);
        sim_disk_fault(scene.world.disk, SIM_CRASH, step);
        run(&scene);
        met = scene.world.disk->fault_met;
        uint64_t acknowledged = scene.world.store == NULL ? 0 : store_acknowledged(scene.world.store);
        replica_log_close(&scene.log);
        cr_assert_eq(world_power_cut(&scene.world), ERR_OK, "step %u: %s", step, scene.world.why);
        cr_assert_eq(log_open(&scene), ERR_OK, "step %u", step);
        look(&scene, &found);
        cr_expect(one_of_the_states(&scene, acknowledged, &found),
                  "step %u: a log from %lu to %lu, snapshot %lu, is none that there was", step, found.first,
                  found.last, found.snapshot_index);
        scene_end(&scene);
    }
    cr_assert(!met, "the scene does not end");
}

/* ---- the parts, one by one ---- */

static void open_scene(struct scene *scene)
{
    scene_begin(scene, 5);
    cr_assert_eq(world_open(&scene->world), ERR_OK);
    cr_assert_eq(log_open(scene), ERR_OK);
}

static void reopen(struct scene *scene)
{
    replica_log_close(&scene->log);
    cr_assert_eq(world_restart(&scene->world), ERR_OK);
    cr_assert_eq(log_open(scene), ERR_OK);
}

Test(replica_log, a_founder_starts_with_its_members)
{
    struct scene scene;
    open_scene(&scene);
    struct raft_membership founders = members();
    struct raft_options options = raft_options_default();
    struct raft_status status;
    struct raft *raft = NULL;
    options.id = 7;
    options.random_seed = 1;
    cr_assert(replica_log_empty(&scene.log));
    cr_assert_eq(replica_log_found(&scene.log, &founders), ERR_OK);
    cr_assert(!replica_log_empty(&scene.log));
    reopen(&scene);
    cr_assert_eq(replica_log_start(&scene.log, &options, &raft), ERR_OK);
    raft_status(raft, &status);
    cr_expect_eq(status.term, 1);
    cr_expect_eq(status.last_index, 1);
    cr_expect_eq(status.membership->count, 1);
    raft_free(raft);
    scene_end(&scene);
}

/* One of several groups' logs, when a crash came before the first group's was founded. */
Test(replica_log, a_log_that_was_only_founded_can_be_founded_anew)
{
    struct scene scene;
    open_scene(&scene);
    struct raft_membership founders = members();
    cr_assert_eq(replica_log_forget(&scene.log), ERR_OK);
    cr_assert_eq(replica_log_found(&scene.log, &founders), ERR_OK);
    reopen(&scene);
    cr_assert_eq(replica_log_forget(&scene.log), ERR_OK);
    cr_expect(replica_log_empty(&scene.log));
    reopen(&scene);
    cr_expect(replica_log_empty(&scene.log));
    cr_assert_eq(replica_log_found(&scene.log, &founders), ERR_OK);
    struct raft_hard_state voted = {.term = 2, .voted_for = 7};
    cr_assert_eq(scene.storage.set_hard_state(&scene.log, &voted), ERR_OK);
    cr_assert_eq(replica_log_forget(&scene.log), ERR_OK);
    cr_expect_eq(scene.log.hard_state.voted_for, 7, "what it has promised stays");
    cr_expect_not(replica_log_empty(&scene.log));
    scene_end(&scene);
}

Test(replica_log, many_entries_are_read_as_far_as_room_goes)
{
    struct scene scene;
    open_scene(&scene);
    struct raft_entry out[8];
    uint8_t *large = memory_new(REPLICA_READ_BYTES + 100);
    cr_assert(large != NULL);
    for (uint64_t i = 1; i <= 6; i++) {
        /* The simulated disk's segments are small: what is large is read from the store's buffer here. */
        size_t count = i == 4 ? 60000 : 20;
        struct raft_entry entry = {.term = i, .data = bytes_of(large, count)};
        cr_assert_eq(scene.storage.append(&scene.log, i, &entry, 1), ERR_OK);
    }
    cr_assert_eq(scene.storage.read(&scene.log, 2, 5, out), 5);
    cr_expect_eq(out[0].term, 2);
    cr_expect_eq(out[2].data.count, 60000);
    cr_expect_eq(out[4].term, 6);
    cr_expect_eq(scene.storage.read(&scene.log, 6, 5, out), 1);
    cr_expect_eq(scene.storage.read(&scene.log, 7, 1, out), 0);
    memory_free(large);
    scene_end(&scene);
}

static void receive(struct scene *scene, const struct raft_snapshot *about, const uint8_t *bytes)
{
    for (uint64_t at = 0; at < about->size_bytes; at += 1000) {
        uint32_t count = about->size_bytes - at < 1000 ? (uint32_t)(about->size_bytes - at) : 1000;
        struct raft_chunk chunk = {
            .snapshot = about, .offset_bytes = at, .count_bytes = count, .data = bytes + at};
        cr_assert_eq(scene->storage.chunk_write(&scene->log, &chunk), ERR_OK);
    }
    scene->storage.install(&scene->log, about);
}

/* A driver around a machine that is being sent snapshot 50 by node 8. */
static void learn_snapshot(struct raft_driver *driver, const struct raft_snapshot *about,
                           const uint8_t *bytes)
{
    struct raft_message message = {.kind = RAFT_MESSAGE_SNAPSHOT, .from = 8, .to = 7, .term = 9};
    message.chunk = (struct raft_chunk){
        .snapshot = about, .count_bytes = (uint32_t)about->size_bytes, .data = bytes, .tick = 1};
    cr_assert_eq(raft_driver_receive(driver, &message), RAFT_OK);
}

static void nothing_to_send(void *self, const struct raft_message *message)
{
    (void)self;
    (void)message;
}

static void no_role(void *self)
{
    (void)self;
}

Test(replica_log, an_installed_snapshot_replaces_the_log_and_survives)
{
    struct scene scene;
    open_scene(&scene);
    struct raft_snapshot about = snapshot_at(50, 9, 2500);
    uint8_t *bytes = snapshot_bytes(50, 2500);
    struct raft_options options = raft_options_default();
    struct raft *raft = NULL;
    struct raft_driver *driver = memory_new(sizeof *driver);
    struct raft_status status;
    options.id = 7;
    options.random_seed = 1;
    cr_assert_eq(append_one(&scene, 1, 1), ERR_OK);
    cr_assert_eq(replica_log_start(&scene.log, &options, &raft), ERR_OK);
    raft_driver_init(driver, raft, &scene.storage, &(struct raft_transport){.send = nothing_to_send},
                     &(struct raft_application){.role_changed = no_role});
    learn_snapshot(driver, &about, bytes);
    raft_driver_turn(driver);
    cr_assert(scene.log.install_wanted);
    cr_expect(bytes_equal(replica_log_incoming(&scene.log), bytes_of(bytes, 2500)));
    cr_assert_eq(replica_log_install(&scene.log), ERR_OK);
    replica_log_step(&scene.log, driver, scene.world.now_ns);
    raft_status(driver->raft, &status);
    cr_expect_eq(status.snapshot_index, 0, "it counts when the store is safe up to it");
    cr_assert_eq(world_flush(&scene.world), ERR_OK);
    replica_log_step(&scene.log, driver, scene.world.now_ns);
    raft_driver_turn(driver);
    raft_status(driver->raft, &status);
    cr_expect_eq(status.snapshot_index, 50);
    cr_expect_eq(status.last_index, 50);
    raft_driver_close(driver);
    reopen(&scene);
    cr_expect_eq(scene.log.log_first, 51);
    cr_expect_eq(scene.log.snapshots.newest.index, 50);
    cr_expect(memcmp(scene.storage.chunk_read(&scene.log, 50, 1000, 1500), bytes + 1000, 1500) == 0);
    cr_expect_eq(scene.storage.chunk_read(&scene.log, 50, 2000, 501), NULL);
    cr_expect_eq(scene.storage.chunk_read(&scene.log, 49, 0, 1), NULL);
    cr_assert_eq(append_one(&scene, 51, 9), ERR_OK);
    reopen(&scene);
    cr_expect_eq(scene.log.log_first, 51, "what comes behind is not taken for what was before");
    memory_free(driver);
    memory_free(bytes);
    scene_end(&scene);
}

Test(replica_log, a_log_that_a_crash_left_before_its_snapshot_is_discarded)
{
    struct scene scene;
    open_scene(&scene);
    struct raft_snapshot about = snapshot_at(50, 9, 100);
    struct raft_options options = raft_options_default();
    struct raft *raft = NULL;
    struct raft_status status;
    options.id = 7;
    options.random_seed = 1;
    cr_assert_eq(append_one(&scene, 1, 1), ERR_OK);
    uint8_t *bytes = snapshot_bytes(50, 100);
    receive(&scene, &about, bytes);
    cr_assert_eq(replica_log_install(&scene.log), ERR_OK);
    cr_assert_eq(snapshots_step(&scene.log.snapshots, 0), SNAPSHOT_SYNCING);
    reopen(&scene);
    cr_assert_eq(replica_log_start(&scene.log, &options, &raft), ERR_OK);
    raft_status(raft, &status);
    cr_expect_eq(status.first_index, 51);
    cr_expect_eq(scene.log.log_first, 51);
    raft_free(raft);
    memory_free(bytes);
    scene_end(&scene);
}

Test(replica_log, chunks_must_follow_one_another)
{
    struct scene scene;
    open_scene(&scene);
    struct raft_snapshot about = snapshot_at(50, 9, 300);
    uint8_t bytes[300] = {0};
    struct raft_chunk chunk = {.snapshot = &about, .count_bytes = 100, .data = bytes};
    cr_expect_eq(scene.storage.chunk_write(&scene.log, &chunk), ERR_OK);
    chunk.offset_bytes = 150;
    cr_expect_eq(scene.storage.chunk_write(&scene.log, &chunk), ERR_INVALID);
    chunk.offset_bytes = 0;
    cr_expect_eq(scene.storage.chunk_write(&scene.log, &chunk), ERR_OK, "it begins anew");
    chunk.offset_bytes = 100;
    chunk.count_bytes = 201;
    cr_expect_eq(scene.storage.chunk_write(&scene.log, &chunk), ERR_INVALID, "beyond its end");
    scene_end(&scene);
}

Test(replica_log, what_is_private_is_in_no_figure_and_no_list)
{
    struct scene scene;
    open_scene(&scene);
    struct store *store = scene.world.store;
    struct store_channel *channel = NULL;
    cr_assert_eq(append_one(&scene, 1, 1), ERR_OK);
    cr_assert_eq(world_append(&scene.world, "orders", 10), ERR_OK);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(store_channel_count(store), 1);
        cr_expect_eq(store_figures(store).message_count, 1);
        cr_expect_eq(store_figures(store).message_bytes, 10 + STORE_MESSAGE_OVERHEAD_BYTES);
        cr_expect_eq(store_figures(store).channel_count, 1);
        cr_expect(bytes_equal(store_channel_name(store_channel_next(store, NULL)), TEXT("orders")));
        cr_expect_eq(store_channel_next(store, store_channel_next(store, NULL)), NULL);
        cr_expect_eq(store_channel_find(store, TEXT("/raft/0/log")), NULL);
        cr_expect_neq(store_private_find(store, TEXT("/raft/0/log")), NULL);
        cr_expect_eq(store_private_find(store, TEXT("orders")), NULL);
        cr_expect_eq(store_private_create(store, TEXT("orders"), 0, &channel), ERR_INVALID);
        cr_expect_eq(store_channel_create(store, TEXT("/raft/0/log"), 0, &channel), ERR_INVALID);
        reopen(&scene);
        store = scene.world.store;
    }
    cr_assert_eq(store_channel_delete(store, store_private_find(store, TEXT("/raft/0/log"))), ERR_OK);
    cr_expect_eq(store_figures(store).message_count, 1);
    cr_expect_eq(store_channel_count(store), 1);
    scene_end(&scene);
}
