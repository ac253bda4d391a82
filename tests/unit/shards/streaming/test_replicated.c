/* tests/unit/shards/streaming/test_replicated.c - the replicated machine on a perfect log: what all nodes do
 * alike, and what goes on when another one leads. */
#include "core/base/memory.h"
#include "shards/streaming/command.h"
#include "tests/unit/shards/streaming/crew.h"

/* ---- all alike ---- */

Test(replicated, what_the_leader_does_all_nodes_do)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 3);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    crew_publish(crew, "foo", 1);
    cr_expect_str_eq(crew_deliveries(crew, "in"), "1 2 3 4");
    scene_ack(crew_leader(crew), "foo", ack_inbox, 2);
    crew_same(crew);
    scene_wait(crew_leader(crew), 1000); /* the log hears of it */
    crew_same(crew);
    cr_expect_eq(streaming_figures(crew->nodes[2].machine).subscription_count, 1);
    crew_close(crew);
}

static void with_trace(struct streaming_setup *setup)
{
    setup->trace = true;
}

Test(replicated, an_acknowledgement_is_traced_where_it_is_sent)
{
    struct crew *crew = crew_open(NULL, with_trace);
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 1);
    cr_expect_str_eq(crew_leader(crew)->traced, "[Client:me] Acking Publisher subj=foo guid=guid");
    for (int i = 1; i < CREW_NODES; i++)
        cr_expect_str_eq(crew->nodes[i].traced, "", "node %d follows", i);
    crew_close(crew);
}

Test(replicated, who_follows_answers_nobody)
{
    struct crew *crew = crew_open(NULL, NULL);
    crew_connect(crew, "me");
    cr_expect_null(scene_connect(&crew->nodes[1], "other"));
    cr_expect_str_eq(scene_publish(&crew->nodes[1], "me", "foo"), "node is not the leader");
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, nothing_is_answered_before_it_is_committed)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    crew_connect(crew, "me");
    crew->holds = true;
    cr_expect_null(scene_publish(leader, "me", "foo"));
    cr_expect_null(scene_connect(leader, "you"));
    uint32_t before = leader->count;
    crew_commit(crew);
    cr_expect_eq(leader->count, before + 2);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, a_log_that_is_busy_gets_the_same_later)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    crew_connect(crew, "me");
    leader->busy = true;
    for (int i = 0; i < 3; i++)
        cr_expect_null(scene_publish(leader, "me", "foo"));
    leader->busy = false;
    scene_forget(leader);
    crew_commit(crew);
    cr_expect_eq(leader->count, 3);
    cr_expect_eq(streaming_figures(crew->nodes[1].machine).message_count, 3);
    crew_same(crew);
    crew_close(crew);
}

static void narrow(struct streaming_setup *setup)
{
    setup->channels_max = 2;
}

Test(replicated, limits_are_the_leaders_and_hold_for_all)
{
    struct store_options store = {.kind = STORE_MEMORY, .limits = {.subscriptions_max = 1}};
    struct crew *crew = crew_open(&store, narrow);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 1);
    crew_publish(crew, "bar", 1);
    cr_expect_str_eq(scene_publish(crew_leader(crew), "me", "baz"), "too many channels");
    cr_expect_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    cr_expect_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox),
                     "too many subscriptions per channel");
    cr_expect_eq(streaming_figures(crew->nodes[1].machine).channel_count, 2);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, what_was_true_when_proposed_is_asked_again_when_applied)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    one.durable = "d";
    crew_connect(crew, "me");
    crew->holds = true;
    cr_expect_null(scene_subscribe(leader, &one, ack_inbox));
    cr_expect_null(scene_subscribe(leader, &one, ack_inbox)); /* the first is not there yet */
    cr_expect_null(scene_close_client(leader, "me"));
    cr_expect_null(scene_publish(leader, "me", "foo")); /* the client is still there */
    scene_forget(leader);
    crew_commit(crew);
    uint32_t bodies[3] = {0};
    for (uint32_t i = 0; i < leader->count; i++) {
        if (leader->outputs[i].kind != STREAMING_OUTPUT_PUBLISH)
            continue;
        const char *body = (const char *)leader->outputs[i].body;
        size_t bytes = leader->outputs[i].body_bytes;
        bodies[0] += memmem(body, bytes, "duplicate durable", 17) != NULL;
        bodies[1] += memmem(body, bytes, "invalid publish request", 23) != NULL;
        bodies[2] += memmem(body, bytes, "_INBOX.", 7) != NULL;
    }
    cr_expect_eq(bodies[0], 1);
    cr_expect_eq(bodies[1], 1);
    cr_expect_eq(bodies[2], 1);
    crew_same(crew);
    crew_close(crew);
}

/* What another leader has proposed. False: the store has no room. */
static bool apply_some(struct scene *scene, uint64_t index, size_t count)
{
    static uint8_t data[100000], bytes[sizeof data + 100];
    struct command command = {
        .kind = COMMAND_PUBLISH,
        .publish = {.client_id = TEXT("me"), .channel = TEXT("foo"), .data = bytes_of(data, count)},
    };
    cr_assert_leq(command_bytes(&command), sizeof bytes);
    command_write(&command, bytes);
    enum err err =
        streaming_apply(scene->machine, scene->now, index, bytes_of(bytes, command_bytes(&command)), false);
    cr_assert(err == ERR_OK || err == ERR_FULL);
    return err == ERR_OK;
}

/* The store has no room until it is written: the entry comes again, and is answered once. */
Test(replicated, an_entry_that_finds_the_store_full_is_applied_when_it_is_not)
{
    struct store_options store = {.kind = STORE_FILE, .buffer_bytes_max = 4096};
    struct crew *crew = crew_open_files(&store, NULL);
    struct scene *leader = crew_leader(crew);
    crew_connect(crew, "me");
    uint64_t index = crew->applied[0] + 1;
    static const size_t sizes[] = {100000, 1000, 0}; /* to the last byte */
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        while (apply_some(leader, index, sizes[i]))
            cr_assert_lt(++index, 10000);
    }
    leader->syncs = false;
    crew->holds = true;
    cr_expect_null(scene_publish(leader, "me", "foo"));
    const struct crew_entry *entry = &crew->entries[crew->entry_count - 1];
    struct bytes command = bytes_of(entry->bytes, entry->count);
    scene_forget(leader);
    cr_expect_eq(streaming_apply(leader->machine, leader->now, index, command, true), ERR_FULL);
    scene_step(leader);
    cr_expect_eq(leader->count, 0);
    cr_assert_eq(store_flush(leader->store, leader->now.wall_ns), ERR_OK);
    cr_expect_eq(streaming_apply(leader->machine, leader->now, index, command, true), ERR_OK);
    scene_step(leader);
    cr_expect_eq(leader->count, 1);
    cr_expect_eq(streaming_figures(leader->machine).message_count, index - crew->applied[0]);
    crew_close(crew);
}

/* ---- another one leads ---- */

Test(replicated, a_new_leader_sends_again_what_is_not_acknowledged)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 3);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    scene_ack(crew_leader(crew), "foo", ack_inbox, 2);
    scene_wait(crew_leader(crew), 31000); /* the log has heard of all; what is left is due */
    crew_lead(crew, 1, false);
    crew_same(crew);
    cr_expect_str_eq(crew_deliveries(crew, "in"), "1r 3r");
    crew_publish(crew, "foo", 1);
    cr_expect_str_eq(crew_deliveries(crew, "in"), "1r 3r 4");
    scene_ack(crew_leader(crew), "foo", ack_inbox, 1); /* the inbox is the same */
    scene_wait(crew_leader(crew), 1000);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, what_the_log_did_not_hear_of_is_sent_as_new)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    crew_connect(crew, "me");
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    crew_publish(crew, "foo", 2);
    scene_ack(crew_leader(crew), "foo", ack_inbox, 1);
    crew_lead(crew, 2, false);
    crew_same(crew); /* the old leader has taken back what it alone knew */
    cr_expect_str_eq(crew_deliveries(crew, "in"), "1 2");
    crew_lead(crew, 0, false); /* and neither does this one know what the second one did */
    scene_forget(crew_leader(crew));
    crew_commit(crew);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, a_hundred_events_are_told_at_once)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    one.in_flight = 1000;
    crew_connect(crew, "me");
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    crew_publish(crew, "foo", 99);
    crew_lead(crew, 1, false);
    cr_expect_eq(scene_count(crew_leader(crew), "in"), 99, "nothing was told yet, so it comes again");
    scene_wait(crew_leader(crew), 1000);
    crew_publish(crew, "foo", 100);
    crew_lead(crew, 2, false);
    cr_expect_str_eq(crew_deliveries(crew, "in"), "", "all was told, and nothing of it is due");
    crew_close(crew);
}

Test(replicated, a_durable_goes_on_where_it_was_after_its_close_and_another_leader)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    one.durable = "d";
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 4);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    scene_ack(crew_leader(crew), "foo", ack_inbox, 1);
    scene_ack(crew_leader(crew), "foo", ack_inbox, 3);
    /* The close says first what was acknowledged. */
    cr_assert_str_eq(scene_unsubscribe(crew_leader(crew), "me", "foo", ack_inbox, true), "");
    crew_lead(crew, 1, false);
    crew_same(crew);
    crew_publish(crew, "foo", 1);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    cr_expect_str_eq(crew_deliveries(crew, "in"), "2r 4r 5");
    cr_assert_str_eq(scene_close_client(crew_leader(crew), "me"), "");
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, an_unsubscribed_durable_is_forgotten_everywhere)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    one.durable = "d";
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 1);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    scene_ack(crew_leader(crew), "foo", ack_inbox, 1);
    cr_assert_str_eq(scene_unsubscribe(crew_leader(crew), "me", "foo", ack_inbox, false), "");
    crew_lead(crew, 1, false);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    cr_expect_str_eq(crew_deliveries(crew, "in"), "1");
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, a_group_keeps_its_place_and_what_its_members_owe)
{
    struct crew *crew = crew_open(NULL, NULL);
    char first_inbox[SCENE_TEXT_BYTES], second_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in.a"), two = crew_wish("you", "in.b");
    one.group = two.group = "g";
    crew_connect(crew, "me");
    crew_connect(crew, "you");
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, first_inbox), "");
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &two, second_inbox), "");
    crew_publish(crew, "foo", 4);
    cr_expect_eq(scene_count(crew_leader(crew), "in.a"), 2);
    cr_expect_eq(scene_count(crew_leader(crew), "in.b"), 2);
    scene_wait(crew_leader(crew), 1000);
    crew_same(crew);
    crew_lead(crew, 1, false);
    crew_publish(crew, "foo", 2);
    cr_expect_eq(scene_count(crew_leader(crew), "in.a") + scene_count(crew_leader(crew), "in.b"), 2,
                 "only what is new");
    /* One leaves, and the other one gets what it had, whoever leads then. */
    cr_assert_str_eq(scene_close_client(crew_leader(crew), "you"), "");
    crew_same(crew);
    crew_lead(crew, 2, false);
    scene_wait(crew_leader(crew), 31000);
    cr_expect_eq(scene_count(crew_leader(crew), "in.a"), 6, "%s", crew_deliveries(crew, "in.a"));
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, a_member_that_leaves_is_dealt_out_alike_while_others_go_on)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    char inboxes[4][SCENE_TEXT_BYTES];
    static const char *const names[4] = {"me", "a", "b", "c"};
    for (int i = 0; i < 4; i++) {
        struct scene_wish one = crew_wish(names[i], names[i]);
        one.group = "g";
        crew_connect(crew, names[i]);
        cr_assert_str_eq(scene_subscribe(leader, &one, inboxes[i]), "");
    }
    crew_publish(crew, "foo", 41);
    crew->holds = true; /* what is proposed now is applied behind what is sent meanwhile */
    cr_expect_null(scene_close_client(leader, "a"));
    cr_expect_null(scene_close_client(leader, "c"));
    for (uint64_t sequence = 1; sequence <= 20; sequence++) {
        for (int i = 0; i < 4; i++)
            scene_ack(leader, "foo", inboxes[i], sequence);
    }
    crew_commit(crew);
    crew->holds = false;
    crew_same(crew);
    scene_wait(leader, 1000);
    crew_same(crew);
    crew_lead(crew, 1, false);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, a_durable_group_without_members_keeps_its_place)
{
    struct crew *crew = crew_open(NULL, NULL);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    one.group = "g";
    one.durable = "d";
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 3);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    scene_ack(crew_leader(crew), "foo", ack_inbox, 1);
    scene_ack(crew_leader(crew), "foo", ack_inbox, 2);
    cr_assert_str_eq(scene_close_client(crew_leader(crew), "me"), "");
    crew_same(crew);
    crew_lead(crew, 1, false);
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 1);
    cr_assert_str_eq(scene_subscribe(crew_leader(crew), &one, ack_inbox), "");
    cr_expect_str_eq(crew_deliveries(crew, "in"), "3r 4");
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, leadership_that_ends_is_told_to_publishers_that_wait)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    crew_connect(crew, "me");
    crew->holds = true;
    cr_expect_null(scene_publish(leader, "me", "foo"));
    leader->busy = true;
    cr_expect_null(scene_publish(leader, "me", "foo"));
    scene_forget(leader);
    leader->busy = false;
    crew_lead(crew, 1, false);
    cr_assert_eq(leader->count, 2);
    cr_expect_not_null(memmem(leader->outputs[0].body, leader->outputs[0].body_bytes,
                              "leadership lost while committing log", 36));
    cr_expect_not_null(
        memmem(leader->outputs[1].body, leader->outputs[1].body_bytes, "node is not the leader", 22));
    crew_same(crew);
    cr_expect_eq(streaming_figures(crew->nodes[0].machine).message_count, 0);
    crew_publish(crew, "foo", 1);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, what_an_old_leader_proposed_may_be_committed_by_the_next)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    crew_connect(crew, "me");
    cr_assert_str_eq(scene_subscribe(leader, &one, ack_inbox), "");
    crew_publish(crew, "foo", 1);
    crew->holds = true;
    cr_expect_null(scene_publish(leader, "me", "foo"));
    scene_wait(leader, 1000); /* that 1 was sent is proposed too */
    crew_lead(crew, 1, true);
    crew_same(crew);
    cr_expect_eq(streaming_figures(crew->nodes[2].machine).message_count, 2);
    cr_expect_str_eq(crew_deliveries(crew, "in"), "2");
    crew_lead(crew, 0, false);
    crew_publish(crew, "foo", 1);
    crew_same(crew);
    crew_close(crew);
}

/* ---- clients ---- */

Test(replicated, a_dead_holder_of_an_id_is_replaced_and_its_durable_stays)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    one.durable = "d";
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 2);
    cr_assert_str_eq(scene_subscribe(leader, &one, ack_inbox), "");
    scene_ack(leader, "foo", ack_inbox, 1);
    scene_forget(leader);
    cr_expect_null(scene_connect(leader, "me"));
    scene_wait(leader, 500); /* it does not show that it lives */
    cr_expect_eq(streaming_figures(leader->machine).client_count, 1);
    cr_assert_str_eq(scene_subscribe(leader, &one, ack_inbox), "");
    cr_expect_str_eq(crew_deliveries(crew, "in"), "2r");
    crew_same(crew);
    crew_lead(crew, 1, false);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, of_two_that_want_a_new_id_at_once_the_second_waits_for_the_first)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    crew_connect(crew, "me");
    crew->holds = true;
    cr_expect_null(scene_connect(leader, "you"));
    cr_expect_null(scene_connect(leader, "you"));
    scene_forget(leader);
    crew_commit(crew);
    crew->holds = false;
    cr_expect_eq(scene_count(leader, "hb.you"), 1, "the first is asked whether it lives");
    const struct scene_output *asked = scene_last(leader, "hb.you");
    cr_assert_not_null(asked);
    streaming_answer(leader->machine, leader->now, text(asked->reply), false);
    scene_step(leader);
    cr_expect_eq(streaming_figures(leader->machine).client_count, 2);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, a_silent_client_is_removed_by_the_log)
{
    struct crew *crew = crew_open(NULL, NULL);
    crew_connect(crew, "me");
    crew_lead(crew, 1, false); /* whose heartbeats begin anew */
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(streaming_figures(crew->nodes[2].machine).client_count, 1);
        scene_wait(crew_leader(crew), 30000);
        scene_wait(crew_leader(crew), 10000);
    }
    cr_expect_eq(streaming_figures(crew->nodes[2].machine).client_count, 0);
    crew_same(crew);
    crew_close(crew);
}

Test(replicated, a_close_that_waits_when_leadership_ends_takes_nothing_with_it)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    char ack_inbox[SCENE_TEXT_BYTES];
    struct scene_wish one = crew_wish("me", "in");
    crew_connect(crew, "me");
    cr_assert_str_eq(scene_subscribe(leader, &one, ack_inbox), "");
    crew->holds = true;
    cr_expect_null(scene_close_client(leader, "me"));
    crew_lead(crew, 1, false);
    crew_lead(crew, 0, false); /* lost: so it is as if it had never been asked */
    crew_publish(crew, "foo", 1);
    cr_expect_str_eq(crew_deliveries(crew, "in"), "1");
    crew_same(crew);
    crew_close(crew);
}

/* ---- channels ---- */

Test(replicated, an_idle_channel_is_deleted_by_the_log_unless_it_is_used_meanwhile)
{
    struct store_options store = {.kind = STORE_MEMORY, .limits = {.inactivity_max_ns = 5000000000}};
    struct crew *crew = crew_open(&store, NULL);
    struct scene *leader = crew_leader(crew);
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 2);
    crew_publish(crew, "bar", 1);
    crew->holds = true;
    cr_expect_null(scene_publish(leader, "me", "foo")); /* before the deletions, and applied before them */
    leader->now.now_ns += 1;
    scene_wait(leader, 6000);
    cr_expect_eq(streaming_figures(leader->machine).channel_count, 2);
    crew_commit(crew);
    crew->holds = false;
    cr_expect_eq(streaming_figures(leader->machine).channel_count, 1, "foo was used since");
    crew_same(crew);
    scene_wait(leader, 6000);
    cr_expect_eq(streaming_figures(crew->nodes[1].machine).channel_count, 0);
    crew_publish(crew, "foo", 1);
    crew_same(crew);
    crew_close(crew);
}
