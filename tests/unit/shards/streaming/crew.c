/* tests/unit/shards/streaming/crew.c - see crew.h. */
#include "tests/unit/shards/streaming/crew.h"

#include "core/base/memory.h"

#include <stdio.h>

enum {
    PIECE_BYTES = 200, /* small, so that it takes several */
    START_FIRST = 4,   /* of the protocol */
    MESSAGES_MAX = 512,
};

static struct crew *all; /* one per test: Criterion runs each in a process of its own */

static int node_of(const struct scene *scene)
{
    return (int)(scene - all->nodes);
}

/* ---- the log ---- */

static void propose(struct scene *scene, struct bytes command)
{
    cr_assert_eq(node_of(scene), all->leader, "who does not lead proposes nothing");
    cr_assert(all->entry_count < CREW_ENTRIES_MAX);
    struct crew_entry *entry = &all->entries[all->entry_count++];
    *entry = (struct crew_entry){.count = command.count, .node = all->leader, .term = all->term};
    entry->bytes = memory_copy(command.data, command.count);
    cr_assert_not_null(entry->bytes);
}

static bool apply(struct crew *crew, int node)
{
    struct scene *scene = &crew->nodes[node];
    bool any = false;
    while (crew->applied[node] < crew->entry_count) {
        const struct crew_entry *entry = &crew->entries[crew->applied[node]++];
        bool own = node == crew->leader && entry->node == node && entry->term == crew->term;
        cr_assert_eq(streaming_apply(scene->machine, scene->now, crew->applied[node],
                                     bytes_of(entry->bytes, entry->count), own),
                     ERR_OK);
        any = true;
    }
    return any;
}

/* Who follows says nothing to anybody. */
static void quiet(struct crew *crew, int node)
{
    struct streaming_output output;
    cr_assert_not(streaming_step(crew->nodes[node].machine, crew->nodes[node].now));
    while (streaming_output_next(crew->nodes[node].machine, &output))
        cr_assert_eq(output.kind, STREAMING_OUTPUT_LOG, "a follower's output of kind %d on %.*s", output.kind,
                     BYTES_PRINTF(output.subject));
    cr_assert_eq(streaming_next_ns(crew->nodes[node].machine), INT64_MAX, "a follower has no timer");
}

static bool settle(struct scene *scene)
{
    bool any = false;
    if (all->holds)
        return false;
    for (int node = 0; node < CREW_NODES; node++) {
        if (all->away[node])
            continue;
        bool did = apply(all, node);
        if (&all->nodes[node] == scene)
            any = did;
        else if (node != all->leader)
            quiet(all, node);
    }
    return any;
}

void crew_commit(struct crew *crew)
{
    bool held = crew->holds;
    crew->holds = false;
    if (crew->leader != CREW_NOBODY)
        scene_step(&crew->nodes[crew->leader]);
    else
        (void)settle(NULL);
    crew->holds = held;
}

/* ---- beginning and end ---- */

static struct crew *open_all(const struct store_options *store, bool files,
                             void (*change)(struct streaming_setup *setup))
{
    all = memory_new(sizeof *all);
    cr_assert_not_null(all);
    for (int node = 0; node < CREW_NODES; node++) {
        struct scene *scene = &all->nodes[node];
        *scene = scene_new();
        scene->setup.replicated = true;
        scene->setup.seed = 42 + (uint64_t)node;
        scene->propose = propose;
        scene->settle = settle;
        if (change != NULL)
            change(&scene->setup);
        if (files)
            scene_open_file_as(scene, store);
        else
            scene_open_as(scene, store);
    }
    all->leader = CREW_NOBODY;
    crew_lead(all, 0, false);
    return all;
}

struct crew *crew_open(const struct store_options *store, void (*change)(struct streaming_setup *setup))
{
    return open_all(store, false, change);
}

struct crew *crew_open_files(const struct store_options *store, void (*change)(struct streaming_setup *setup))
{
    return open_all(store, true, change);
}

void crew_close(struct crew *crew)
{
    for (int node = 0; node < CREW_NODES; node++)
        scene_close(&crew->nodes[node]);
    for (uint64_t i = 0; i < crew->entry_count; i++)
        memory_free(crew->entries[i].bytes);
    memory_free(crew);
}

/* ---- who leads ---- */

struct scene *crew_leader(struct crew *crew)
{
    return &crew->nodes[crew->leader];
}

void crew_lead(struct crew *crew, int node, bool keeps)
{
    int before = crew->leader;
    if (before != CREW_NOBODY) {
        struct scene *scene = &crew->nodes[before];
        streaming_lead(scene->machine, scene->now, false);
        crew->leader = CREW_NOBODY;
        scene_step(scene); /* what it has to say at the end */
        cr_assert_eq(streaming_next_ns(scene->machine), INT64_MAX);
        for (int other = 0; other < CREW_NODES; other++)
            crew->nodes[other].now = scene->now;
    }
    crew->holds = false;
    if (!keeps) {
        uint64_t most = 0;
        for (int other = 0; other < CREW_NODES; other++)
            most = crew->applied[other] > most ? crew->applied[other] : most;
        while (crew->entry_count > most)
            memory_free(crew->entries[--crew->entry_count].bytes);
    }
    crew->term++;
    (void)settle(NULL);
    if (node == CREW_NOBODY)
        return;
    crew->leader = node;
    streaming_lead(crew->nodes[node].machine, crew->nodes[node].now, true);
    scene_step(&crew->nodes[node]);
}

/* ---- snapshots ---- */

struct crew_snapshot crew_snapshot(struct crew *crew, int node)
{
    struct crew_snapshot snapshot = {.index = crew->applied[node]};
    cr_assert_eq(streaming_snapshot_write(crew->nodes[node].machine, &snapshot.bytes, &snapshot.count),
                 ERR_OK);
    return snapshot;
}

void crew_install(struct crew *crew, int node, const struct crew_snapshot *snapshot)
{
    struct scene *scene = &crew->nodes[node], *leader = crew_leader(crew);
    struct streaming_missing missing;
    cr_assert_eq(
        streaming_restore(scene->machine, scene->now, bytes_of(snapshot->bytes, snapshot->count), false),
        ERR_OK);
    while (streaming_missing(scene->machine, &missing)) {
        uint8_t *piece = NULL;
        size_t count = 0;
        cr_assert_eq(streaming_fetch(leader->machine, &missing, PIECE_BYTES, &piece, &count), ERR_OK);
        cr_assert_eq(streaming_fill(scene->machine, scene->now, bytes_of(piece, count)), ERR_OK);
        memory_free(piece);
    }
    crew->applied[node] = snapshot->index;
    crew->away[node] = false;
    (void)settle(NULL);
}

void crew_restart(struct crew *crew, int node, const struct crew_snapshot *snapshot)
{
    struct scene *scene = &crew->nodes[node];
    struct streaming_missing missing;
    cr_assert_neq(node, crew->leader);
    scene_restart(scene);
    crew->applied[node] = 0;
    if (snapshot != NULL) {
        cr_assert_eq(
            streaming_restore(scene->machine, scene->now, bytes_of(snapshot->bytes, snapshot->count), true),
            ERR_OK);
        cr_expect_not(streaming_missing(scene->machine, &missing), "its own store has all that it had");
        crew->applied[node] = snapshot->index;
    }
    crew->away[node] = false;
    (void)settle(NULL);
}

/* ---- clients ---- */

struct scene_wish crew_wish(const char *client_id, const char *inbox)
{
    return (struct scene_wish){.client_id = client_id,
                               .channel = "foo",
                               .inbox = inbox,
                               .in_flight = 100,
                               .ack_wait_seconds = 30,
                               .start = START_FIRST};
}

void crew_connect(struct crew *crew, const char *client_id)
{
    cr_assert_str_eq(scene_connect(crew_leader(crew), client_id), "");
}

void crew_publish(struct crew *crew, const char *channel, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cr_assert_str_eq(scene_publish(crew_leader(crew), "me", channel), "");
}

const char *crew_deliveries(struct crew *crew, const char *inbox)
{
    static char made[4096];
    struct scene_message messages[MESSAGES_MAX];
    uint32_t count = scene_deliveries(crew_leader(crew), inbox, messages, MESSAGES_MAX);
    size_t used = 0;
    made[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        used +=
            (size_t)snprintf(made + used, sizeof made - used, "%s%llu%s", i == 0 ? "" : " ",
                             (unsigned long long)messages[i].sequence, messages[i].redelivered ? "r" : "");
    return made;
}

/* ---- comparing ---- */

static void channels_same(const struct scene *one, const struct scene *other)
{
    struct store_channel *channel = NULL;
    cr_expect_eq(store_channel_count(one->store), store_channel_count(other->store));
    while ((channel = store_channel_next(one->store, channel)) != NULL) {
        struct store_channel *twin = store_channel_find(other->store, store_channel_name(channel));
        cr_assert_not_null(twin);
        struct store_channel_figures figures = store_channel_figures(channel);
        struct store_channel_figures twins = store_channel_figures(twin);
        cr_expect_eq(figures.message_count, twins.message_count);
        cr_expect_eq(figures.last_sequence, twins.last_sequence);
        for (uint64_t at = figures.first_sequence; at != 0 && at <= figures.last_sequence; at++) {
            struct store_message left, right;
            cr_assert_eq(store_lookup(one->store, channel, at, &left), ERR_OK);
            cr_assert_eq(store_lookup(other->store, twin, at, &right), ERR_OK);
            cr_expect_eq(left.timestamp_ns, right.timestamp_ns);
            cr_expect(bytes_equal(left.data, right.data));
        }
    }
}

void crew_same(struct crew *crew)
{
    struct crew_snapshot first = {0};
    int first_node = CREW_NOBODY;
    for (int node = 0; node < CREW_NODES; node++) {
        if (crew->away[node])
            continue;
        struct crew_snapshot one = crew_snapshot(crew, node);
        if (first_node == CREW_NOBODY) {
            first = one;
            first_node = node;
            continue;
        }
        cr_expect_eq(one.index, first.index);
        cr_expect(bytes_equal(bytes_of(one.bytes, one.count), bytes_of(first.bytes, first.count)),
                  "nodes %d and %d differ", first_node, node);
        channels_same(&crew->nodes[first_node], &crew->nodes[node]);
        memory_free(one.bytes);
    }
    memory_free(first.bytes);
}
