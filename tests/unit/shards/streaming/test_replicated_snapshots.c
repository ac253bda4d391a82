/* tests/unit/shards/streaming/test_replicated_snapshots.c - the replicated machine on a perfect log: nodes
 * that begin at a snapshot, another one's or their own. */
#include "core/base/memory.h"
#include "tests/unit/shards/streaming/crew.h"

/* ---- snapshots ---- */

Test(replicated, a_node_that_comes_late_gets_a_snapshot_and_can_lead)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in"), two = crew_wish("me", "in.g"),
                      three = crew_wish("me", "in.d");
    two.group = "g";
    two.durable = "d";
    three.durable = "d";
    crew->away[2] = true;
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 20);
    crew_publish(crew, "bar", 1);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &two, ack_inbox), "");
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &three, ack_inbox), "");
    cr_assert_str_eq(scene_unsubscribe(crew_leader(crew), "me", "foo", ack_inbox, true), "");
    scene_wait(crew_leader(crew), 1000);
    struct crew_snapshot snapshot = crew_snapshot(crew, 1);
    crew_publish(crew, "foo", 3);
    crew_install(crew, 2, &snapshot);
    crew_same(crew);
    crew_lead(crew, 2, false);
    cr_expect_str_eq(crew_deliveries(crew, "in"), "21 22 23");
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &three, ack_inbox), "");
    cr_expect_eq(scene_count(crew_leader(crew), "in.d"), 23);
    crew_same(crew);
    memory_free(snapshot.bytes);
    crew_close(crew);
}

Test(replicated, a_node_that_does_not_lead_gives_what_it_has_applied_and_nothing_else)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct streaming_missing wanted = {.channel = TEXT("foo"), .channel_id = 2, .first = 1, .last = 3};
    uint8_t *piece = NULL;
    size_t count = 0;
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 3); /* the second entry makes it */
    crew->away[2] = true;
    crew_publish(crew, "foo", 1);
    crew_lead(crew, CREW_NOBODY, false);
    cr_expect_eq(streaming_fetch(crew->nodes[1].machine, &wanted, 1000, &piece, &count), ERR_OK);
    memory_free(piece);
    wanted.last = 4;
    cr_expect_eq(streaming_fetch(crew->nodes[2].machine, &wanted, 1000, &piece, &count), ERR_INVALID,
                 "it has not come so far");
    wanted = (struct streaming_missing){.channel = TEXT("bar"), .channel_id = 5, .first = 1, .last = 1};
    cr_expect_eq(streaming_fetch(crew->nodes[2].machine, &wanted, 1000, &piece, &count), ERR_INVALID,
                 "nor does it know whether there is such a channel by now");
    cr_expect_eq(streaming_fetch(crew->nodes[1].machine, &wanted, 1000, &piece, &count), ERR_OK,
                 "who knows that there is none says so");
    memory_free(piece);
    crew_close(crew);
}

Test(replicated, a_connection_id_that_finds_nobody_does_not_after_a_snapshot_either)
{
    struct crew *crew = crew_open(NULL, NULL);
    scene_connect_as(crew_leader(crew), "me", "same");
    scene_connect_as(crew_leader(crew), "you", "same"); /* whose it is from here on */
    cr_assert_str_eq(scene_close_client(crew_leader(crew), "you"), "");
    crew->away[2] = true;
    struct crew_snapshot snapshot = crew_snapshot(crew, 1);
    crew_install(crew, 2, &snapshot);
    crew_lead(crew, 2, false);
    crew_same(crew);
    cr_expect_str_eq(scene_publish_as(crew_leader(crew), "me", "same", "foo"),
                     "stan: invalid publish request");
    crew_same(crew);
    memory_free(snapshot.bytes);
    crew_close(crew);
}

Test(replicated, a_snapshot_replaces_channels_of_an_earlier_life)
{
    struct store_options store = {.kind = STORE_MEMORY, .limits = {.inactivity_max_ns = 5000000000}};
    struct crew *crew = crew_open(&store, NULL);
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 5);
    crew_publish(crew, "bar", 5);
    crew->away[2] = true;
    scene_wait(crew_leader(crew), 6000); /* both go */
    crew_publish(crew, "foo", 2);
    struct crew_snapshot snapshot = crew_snapshot(crew, 0);
    crew_install(crew, 2, &snapshot);
    cr_expect_eq(store_channel_count(crew->nodes[2].store), 1);
    crew_same(crew);
    memory_free(snapshot.bytes);
    crew_close(crew);
}

Test(replicated, messages_that_the_leader_has_no_more_are_gone_for_the_newcomer_too)
{
    struct store_options store = {.kind = STORE_MEMORY, .limits = {.messages_max = 3}};
    struct crew *crew = crew_open(&store, NULL);
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 2);
    crew->away[2] = true;
    struct crew_snapshot early = crew_snapshot(crew, 0);
    crew_publish(crew, "foo", 10);
    struct crew_snapshot late = crew_snapshot(crew, 0);
    crew_publish(crew, "foo", 4);
    crew_install(crew, 2, &late); /* 10 to 12, of which the leader has none by now */
    crew_same(crew);
    crew->away[1] = true;
    streaming_free(crew->nodes[1].machine); /* a node with the messages of an early time */
    cr_assert_eq(store_close(crew->nodes[1].store), ERR_OK);
    memory_free(crew->nodes[1].outputs);
    scene_open_as(&crew->nodes[1], &store);
    crew_install(crew, 1, &early);
    crew_same(crew);
    memory_free(early.bytes);
    memory_free(late.bytes);
    crew_close(crew);
}

Test(replicated, what_nobody_can_give_is_nowhere_and_the_node_goes_on)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *late = &crew->nodes[2];
    struct streaming_missing missing;
    crew_connect(crew, "me");
    crew->away[2] = true;
    crew_publish(crew, "foo", 3);
    crew_publish(crew, "bar", 1);
    struct crew_snapshot snapshot = crew_snapshot(crew, 1);
    struct bytes bytes = bytes_of(snapshot.bytes, snapshot.count);
    cr_assert_eq(streaming_restore(late->machine, late->now, bytes, false), ERR_OK);
    cr_assert(streaming_missing(late->machine, &missing));
    cr_assert_eq(streaming_forgo(late->machine, late->now), ERR_OK);
    cr_expect_not(streaming_missing(late->machine, &missing));
    cr_assert_eq(streaming_restore(late->machine, late->now, bytes, true), ERR_OK);
    cr_expect_not(streaming_missing(late->machine, &missing), "it is not asked for once more");
    crew->applied[2] = snapshot.index;
    crew->away[2] = false;
    crew_publish(crew, "foo", 1);
    struct store_channel *foo = store_channel_find(late->store, TEXT("foo"));
    cr_assert_not_null(foo);
    cr_expect_eq(store_channel_figures(foo).message_count, 1);
    cr_expect_eq(store_channel_last(foo), 4);
    memory_free(snapshot.bytes);
    crew_close(crew);
}

/* ---- restarts ---- */

Test(replicated, a_restart_begins_at_a_snapshot_with_a_store_that_is_further)
{
    struct crew *crew = crew_open_files(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    one.durable = "d";
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 5);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    struct crew_snapshot snapshot = crew_snapshot(crew, 1);
    scene_ack(crew_leader(crew), "foo", ack_inbox, 4);
    crew_publish(crew, "foo", 5);
    crew_publish(crew, "bar", 2);
    scene_wait(crew_leader(crew), 1000);
    crew_restart(crew, 1, &snapshot);
    crew_same(crew);
    crew_restart(crew, 1, NULL); /* the whole log once more */
    crew_same(crew);
    crew_lead(crew, 1, false);
    crew_publish(crew, "foo", 1);
    crew_same(crew);
    memory_free(snapshot.bytes);
    crew_close(crew);
}

Test(replicated, an_old_channel_of_the_log_does_not_disturb_the_newest_in_the_store)
{
    static const struct store_options limits = {.kind = STORE_FILE,
                                                .limits = {.inactivity_max_ns = 5000000000}};
    struct crew *crew = crew_open_files(&limits, NULL);
    struct crew_snapshot snapshots[4] = {{0}};
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 3);
    crew_publish(crew, "bar", 3);
    snapshots[1] = crew_snapshot(crew, 1);
    scene_wait(crew_leader(crew), 6000); /* both are deleted */
    snapshots[2] = crew_snapshot(crew, 1);
    crew_publish(crew, "foo", 5);
    snapshots[3] = crew_snapshot(crew, 1);
    crew_publish(crew, "foo", 1);
    crew_same(crew);
    for (int i = 0; i < 4; i++) { /* first from the log's beginning */
        crew_restart(crew, 1, i == 0 ? NULL : &snapshots[i]);
        crew_same(crew);
        memory_free(snapshots[i].bytes);
    }
    crew_close(crew);
}

Test(replicated, an_installation_that_a_crash_ends_leaves_a_node_that_comes_back_alone)
{
    static const struct store_options limits = {.kind = STORE_FILE, .limits = {.messages_max = 3}};
    struct crew *crew = crew_open_files(&limits, NULL);
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 4);
    struct crew_snapshot own = crew_snapshot(crew, 2);
    crew->away[2] = true;
    crew_publish(crew, "foo", 9);
    struct crew_snapshot late = crew_snapshot(crew, 0);
    struct scene *node = &crew->nodes[2];
    struct streaming_missing missing;
    /* What its own snapshot speaks of goes, for the leader has it no more; and then it stops. */
    cr_assert_eq(streaming_restore(node->machine, node->now, bytes_of(late.bytes, late.count), false),
                 ERR_OK);
    cr_expect(streaming_missing(node->machine, &missing));
    crew_restart(crew, 2, &own);
    crew_same(crew);
    memory_free(own.bytes);
    memory_free(late.bytes);
    crew_close(crew);
}

Test(replicated, bytes_that_are_no_snapshot_are_refused)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 2);
    one.group = "g";
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    struct crew_snapshot snapshot = crew_snapshot(crew, 0);
    struct scene *node = &crew->nodes[2];
    crew->away[2] = true;
    for (size_t count = 0; count < snapshot.count; count++)
        cr_expect_eq(streaming_restore(node->machine, node->now, bytes_of(snapshot.bytes, count), true),
                     ERR_DAMAGED, "the first %zu bytes", count);
    crew_install(crew, 2, &snapshot);
    crew_same(crew);
    memory_free(snapshot.bytes);
    crew_close(crew);
}
