/* tests/unit/shards/streaming/test_replicated_faults.c - a replicated machine while memory runs out: it says
 * so, or it is what the others are; nothing in between, for what a node has not applied it cannot be told
 * again. */
#include "core/base/memory.h"
#include "tests/unit/faults.h"
#include "tests/unit/shards/streaming/crew.h"

static struct scene_wish wish(const char *client_id, const char *group, const char *durable)
{
    return (struct scene_wish){.client_id = client_id,
                               .channel = "foo",
                               .group = group,
                               .durable = durable,
                               .inbox = client_id,
                               .in_flight = 50,
                               .ack_wait_seconds = 30,
                               .start = 4};
}

/* A log with something of everything. */
static struct crew *history(void)
{
    struct store_options store = {.kind = STORE_MEMORY, .limits = {.inactivity_max_ns = 5000000000}};
    struct crew *crew = crew_open(&store, NULL);
    struct scene *leader = crew_leader(crew);
    char inboxes[4][SCENE_TEXT_BYTES];
    static const char *const names[4] = {"me", "a", "b", "c"};
    for (int i = 0; i < 4; i++) {
        struct scene_wish one = wish(names[i], i == 3 ? "" : "g", i == 3 ? "d" : "");
        cr_assert_str_eq(scene_connect(leader, names[i]), "");
        cr_assert_str_eq(scene_subscribe(leader, &one, inboxes[i]), "");
    }
    for (int i = 0; i < 12; i++)
        cr_assert_str_eq(scene_publish(leader, "me", i % 4 == 3 ? "bar" : "foo"), "");
    scene_ack(leader, "foo", inboxes[3], 2);
    scene_wait(leader, 6000); /* progress; bar is deleted */
    struct scene_wish shadow = wish("me", "q", "d");
    cr_assert_str_eq(scene_subscribe(leader, &shadow, inboxes[2]), "");
    cr_assert_str_eq(scene_unsubscribe(leader, "me", "foo", inboxes[2], true), "");
    cr_assert_str_eq(scene_close_client(leader, "a"), ""); /* what it had is dealt out */
    cr_assert_str_eq(scene_unsubscribe(leader, "c", "foo", inboxes[3], true), "");
    cr_assert_str_eq(scene_subscribe(leader,
                                     &(struct scene_wish){.client_id = "c",
                                                          .channel = "foo",
                                                          .durable = "d",
                                                          .inbox = "c",
                                                          .in_flight = 5,
                                                          .ack_wait_seconds = 30},
                                     inboxes[3]),
                     "");
    crew_same(crew);
    return crew;
}

struct fresh {
    struct store *store;
    struct streaming *machine;
};

static struct fresh fresh_open(const struct crew *crew)
{
    struct store_options options = {.kind = STORE_MEMORY, .limits = {.inactivity_max_ns = 5000000000}};
    struct streaming_setup setup = crew->nodes[0].setup;
    struct fresh fresh = {0};
    char why[STORE_WHY_BYTES] = "";
    faults_pause();
    cr_assert_eq(store_open(&fresh.store, &options, setup.now.wall_ns, why, sizeof why), ERR_OK);
    setup.store = fresh.store;
    cr_assert_eq(streaming_new(&fresh.machine, &setup, why, sizeof why), ERR_OK);
    faults_resume();
    return fresh;
}

/* `same`: it has to be what the crew is. */
static void fresh_close(struct fresh *fresh, const struct crew_snapshot *snapshot, bool same)
{
    uint8_t *bytes = NULL;
    size_t count = 0;
    faults_pause();
    if (same) {
        cr_assert_eq(streaming_snapshot_write(fresh->machine, &bytes, &count), ERR_OK);
        cr_expect(bytes_equal(bytes_of(bytes, count), bytes_of(snapshot->bytes, snapshot->count)),
                  "it said that all was well, and is not what the others are");
        memory_free(bytes);
    }
    streaming_free(fresh->machine);
    cr_assert_eq(store_close(fresh->store), ERR_OK);
    faults_resume();
}

Test(replicated_faults, an_entry_is_applied_or_the_node_says_that_it_cannot, .timeout = 120)
{
    struct crew *crew = history();
    struct crew_snapshot snapshot = crew_snapshot(crew, 0);
    FOR_EACH_FAULT(plan)
    {
        struct fresh fresh = fresh_open(crew);
        enum err err = ERR_OK;
        for (uint64_t i = 0; i < crew->entry_count && err == ERR_OK; i++)
            err = streaming_apply(fresh.machine, crew->nodes[0].now, i + 1,
                                  bytes_of(crew->entries[i].bytes, crew->entries[i].count), false);
        cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
        fresh_close(&fresh, &snapshot, err == ERR_OK);
    }
    memory_free(snapshot.bytes);
    crew_close(crew);
}

Test(replicated_faults, a_snapshot_is_restored_whole_or_not_at_all, .timeout = 120)
{
    struct crew *crew = history();
    struct crew_snapshot snapshot = crew_snapshot(crew, 0);
    FOR_EACH_FAULT(plan)
    {
        struct fresh fresh = fresh_open(crew);
        struct streaming_missing missing;
        enum err err = streaming_restore(fresh.machine, crew->nodes[0].now,
                                         bytes_of(snapshot.bytes, snapshot.count), false);
        while (err == ERR_OK && streaming_missing(fresh.machine, &missing)) {
            uint8_t *piece = NULL;
            size_t count = 0;
            err = streaming_fetch(crew_leader(crew)->machine, &missing, 100, &piece, &count);
            if (err == ERR_OK)
                err = streaming_fill(fresh.machine, crew->nodes[0].now, bytes_of(piece, count));
            memory_free(piece);
        }
        cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
        if (err != ERR_OK)
            cr_expect_eq(streaming_applied_index(fresh.machine) == 0 ||
                             streaming_missing(fresh.machine, &missing),
                         true);
        fresh_close(&fresh, &snapshot, err == ERR_OK);
    }
    memory_free(snapshot.bytes);
    crew_close(crew);
}

Test(replicated_faults, a_snapshot_is_written_whole_or_not_at_all, .timeout = 120)
{
    struct crew *crew = history();
    struct crew_snapshot snapshot = crew_snapshot(crew, 0);
    FOR_EACH_FAULT(plan)
    {
        uint8_t *bytes = NULL;
        size_t count = 0;
        enum err err = streaming_snapshot_write(crew->nodes[0].machine, &bytes, &count);
        cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
        if (err == ERR_OK)
            cr_expect(bytes_equal(bytes_of(bytes, count), bytes_of(snapshot.bytes, snapshot.count)));
        else
            cr_expect_null(bytes);
        memory_free(bytes);
    }
    memory_free(snapshot.bytes);
    crew_close(crew);
}
