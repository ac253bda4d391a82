/* Tests the streaming machine in the time of its own clock: what comes when, to the millisecond
 * (spec/streaming.md 6, 8 to 13, 15). What needs no clock is in tests/integration/test_streaming.py, which
 * runs against the original too. */
#include "tests/unit/shards/streaming/scene.h"

#include <stdio.h>

enum { NEW_ONLY, LAST, TIME_DELTA, SEQUENCE, FIRST };

static const struct scene_wish plain = {.client_id = "me",
                                        .channel = "foo",
                                        .inbox = "in",
                                        .in_flight = 10,
                                        .ack_wait_seconds = 1,
                                        .start = FIRST};

/* ---- clients ---- */

Test(streaming, while_the_holder_of_an_id_is_asked_others_do_not_wait)
{
    struct scene scene;
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    cr_expect_null(scene_connect(&scene, "me"), "the answer waits");
    cr_expect_str_eq(scene_connect(&scene, "other"), "");
    cr_expect_str_eq(scene_publish(&scene, "other", "foo"), "");
    cr_expect_eq(streaming_figures(scene.machine).client_count, 2);
    scene_close(&scene);
}

Test(streaming, a_silent_client_is_removed_after_so_many_heartbeats)
{
    struct scene scene;
    scene_open(&scene, NULL);
    cr_expect_str_eq(scene_connect(&scene, "me"), "");
    scene_wait(&scene, 29999);
    cr_expect_eq(scene_count(&scene, "hb.me"), 0, "not before the interval");
    scene_wait(&scene, 1);
    cr_expect_eq(scene_count(&scene, "hb.me"), 1);
    for (int failed = 1; failed <= 2; failed++) {
        scene_wait(&scene, 10000); /* no answer */
        scene_wait(&scene, 30000); /* the next one */
        cr_expect_eq(scene_count(&scene, "hb.me"), (uint32_t)(1 + failed));
    }
    cr_expect_eq(streaming_figures(scene.machine).client_count, 1, "two failures are allowed");
    scene_wait(&scene, 10000);
    cr_expect_eq(streaming_figures(scene.machine).client_count, 0, "the third is not");
    cr_expect_str_eq(scene_publish(&scene, "me", "foo"), "stan: invalid publish request");
    scene_close(&scene);
}

Test(streaming, an_answered_heartbeat_forgives_the_failed_ones)
{
    struct scene scene;
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    for (int round = 0; round < 10; round++) {
        scene_wait(&scene, 30000);
        if (round % 2 == 0) {
            scene_wait(&scene, 10000);
            continue;
        }
        const struct scene_output *beat = scene_last(&scene, "hb.me");
        cr_assert_not_null(beat);
        streaming_answer(scene.machine, scene.now, text(beat->reply), false);
    }
    cr_expect_eq(streaming_figures(scene.machine).client_count, 1);
    scene_close(&scene);
}

Test(streaming, a_ping_of_a_client_whose_heartbeats_failed_brings_one_at_once)
{
    static const uint8_t ping[] = {0x0a, 2, 'm', 'e'};
    struct scene scene;
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    scene_request(&scene, STREAMING_REQUEST_PING, "", "pong", ping, sizeof ping);
    scene_wait(&scene, 1);
    cr_expect_eq(scene_count(&scene, "hb.me"), 0, "none has failed");
    scene_wait(&scene, 29999);
    scene_wait(&scene, 10000);
    cr_assert_eq(scene_count(&scene, "hb.me"), 1);
    scene_request(&scene, STREAMING_REQUEST_PING, "", "pong", ping, sizeof ping);
    scene_wait(&scene, 1);
    cr_expect_eq(scene_count(&scene, "hb.me"), 2);
    cr_expect_eq(scene_count(&scene, "pong"), 2);
    scene_close(&scene);
}

Test(streaming, a_heartbeat_that_finds_nobody_has_failed_at_once)
{
    struct scene scene;
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    for (int failed = 0; failed < 3; failed++) {
        scene_wait(&scene, 30000);
        const struct scene_output *beat = scene_last(&scene, "hb.me");
        cr_assert_not_null(beat);
        streaming_answer(scene.machine, scene.now, text(beat->reply), true);
    }
    cr_expect_eq(streaming_figures(scene.machine).client_count, 0);
    scene_close(&scene);
}

struct probe_case {
    const char *name;
    int answer; /* 0: alive, 1: nobody there, 2: none for 500 ms */
    const char *error;
};
static const struct probe_case probe_cases[] = {
    {"a live holder keeps its id", 0, "stan: clientID already registered"},
    {"one that is not there loses it", 1, ""},
    {"one that says nothing loses it", 2, ""},
};

Test(streaming, who_holds_an_id_is_asked_before_it_goes_to_another)
{
    for (size_t i = 0; i < sizeof probe_cases / sizeof probe_cases[0]; i++) {
        const struct probe_case *c = &probe_cases[i];
        struct scene scene;
        scene_open(&scene, NULL);
        scene_connect(&scene, "me");
        cr_expect_null(scene_connect(&scene, "me"), "%s: the answer waits", c->name);
        cr_expect_str_eq(scene_connect(&scene, "me"), "stan: clientID already registered", "a third one");
        const struct scene_output *asked = scene_last(&scene, "hb.me");
        cr_assert_not_null(asked);
        scene_forget(&scene);
        if (c->answer == 2) {
            scene_wait(&scene, 499);
            cr_expect_eq(scene.count, 0, "half a second has not gone by");
            scene_wait(&scene, 1);
        } else {
            char reply[SCENE_TEXT_BYTES];
            snprintf(reply, sizeof reply, "%s", asked->reply);
            streaming_answer(scene.machine, scene.now, text(reply), c->answer == 1);
            scene_step(&scene);
        }
        cr_assert_eq(scene.count, 1, "%s: %u outputs", c->name, scene.count);
        size_t count = strlen(c->error);
        bool refused = scene.outputs[0].body_bytes == count + 2;
        cr_expect_eq(refused, count > 0, "%s", c->name);
        cr_expect_eq(streaming_figures(scene.machine).client_count, 1, "%s", c->name);
        scene_close(&scene);
    }
}

/* ---- redelivery ---- */

Test(streaming, what_is_not_acknowledged_comes_again_every_ack_wait)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    cr_expect_str_eq(scene_subscribe(&scene, &plain, ack), "");
    scene_publish(&scene, "me", "foo");
    scene_wait(&scene, 100);
    scene_publish(&scene, "me", "foo");
    scene_wait(&scene, 884); /* 984 ms behind the first */
    scene_expect(&scene, "in", "1 2");
    scene_wait(&scene, 16);
    scene_expect(&scene, "in", "1 2 1r1");
    scene_wait(&scene, 100);
    scene_expect(&scene, "in", "1 2 1r1 2r1");
    scene_ack(&scene, "foo", ack, 1);
    scene_wait(&scene, 1000);
    scene_expect(&scene, "in", "1 2 1r1 2r1 2r2");
    scene_ack(&scene, "foo", ack, 2);
    scene_wait(&scene, 10000);
    scene_expect(&scene, "in", "1 2 1r1 2r1 2r2");
    scene_close(&scene);
}

Test(streaming, expiries_less_than_15_ms_apart_go_together)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    scene_subscribe(&scene, &plain, ack);
    scene_publish(&scene, "me", "foo");
    scene_wait(&scene, 15);
    scene_publish(&scene, "me", "foo");
    scene_wait(&scene, 1);
    scene_publish(&scene, "me", "foo");
    scene_wait(&scene, 984);
    scene_expect(&scene, "in", "1 2 3 1r1 2r1");
    scene_close(&scene);
}

Test(streaming, a_silent_client_is_sent_nothing_again)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    struct scene_wish slow = plain;
    slow.ack_wait_seconds = 50;
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    scene_subscribe(&scene, &slow, ack);
    scene_publish(&scene, "me", "foo");
    scene_wait(&scene, 30000); /* a heartbeat */
    scene_wait(&scene, 10000); /* that fails */
    scene_wait(&scene, 10000);
    scene_expect(&scene, "in", "1");
    scene_publish(&scene, "me", "foo"); /* new messages go out all the same */
    scene_expect(&scene, "in", "1 2");
    scene_close(&scene);
}

Test(streaming, a_message_that_limits_have_dropped_counts_as_acknowledged)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    struct store_options options = {.kind = STORE_MEMORY, .limits = {.messages_max = 2}};
    struct scene_wish window = plain;
    window.in_flight = 3;
    scene_open(&scene, &options);
    scene_connect(&scene, "me");
    scene_subscribe(&scene, &window, ack);
    for (int i = 0; i < 4; i++)
        scene_publish(&scene, "me", "foo");
    scene_expect(&scene, "in", "1 2 3");
    scene_wait(&scene, 1000);
    scene_expect(&scene, "in", "1 2 3 3r1 4");
    scene_close(&scene);
}

/* ---- groups ---- */

Test(streaming, members_take_turns_and_the_one_with_least_pending_is_next)
{
    struct scene scene;
    char acks[2][SCENE_TEXT_BYTES];
    struct scene_wish member = plain;
    member.group = "g";
    member.ack_wait_seconds = 1000;
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    member.inbox = "a";
    scene_subscribe(&scene, &member, acks[0]);
    member.inbox = "b";
    scene_subscribe(&scene, &member, acks[1]);
    for (int i = 0; i < 4; i++)
        scene_publish(&scene, "me", "foo");
    scene_expect(&scene, "a", "1 3");
    scene_expect(&scene, "b", "2 4");
    scene_ack(&scene, "foo", acks[1], 2);
    scene_ack(&scene, "foo", acks[1], 4);
    scene_publish(&scene, "me", "foo");
    scene_publish(&scene, "me", "foo");
    scene_expect(&scene, "b", "2 4 5 6");
    scene_close(&scene);
}

Test(streaming, a_leaving_members_messages_move_after_100_ms)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES], other[SCENE_TEXT_BYTES];
    struct scene_wish member = plain;
    member.group = "g";
    member.ack_wait_seconds = 1000;
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    member.inbox = "a";
    scene_subscribe(&scene, &member, ack);
    for (int i = 0; i < 3; i++)
        scene_publish(&scene, "me", "foo");
    member.inbox = "b";
    scene_subscribe(&scene, &member, other);
    cr_expect_str_eq(scene_unsubscribe(&scene, "me", "foo", ack, false), "");
    scene_wait(&scene, 99);
    scene_expect(&scene, "b", "");
    scene_wait(&scene, 1);
    scene_expect(&scene, "b", "1r1 2r1 3r1");
    scene_close(&scene);
}

/* ---- channels ---- */

Test(streaming, an_unused_channel_goes_when_its_time_is_over)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    struct store_options options = {.kind = STORE_MEMORY, .limits = {.inactivity_max_ns = 1000000000}};
    scene_open(&scene, &options);
    scene_connect(&scene, "me");
    scene_publish(&scene, "me", "foo");
    scene_wait(&scene, 600);
    scene_publish(&scene, "me", "foo"); /* moves the moment */
    scene_wait(&scene, 600);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1);
    scene_wait(&scene, 400);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 0);
    cr_expect_str_eq(scene_subscribe(&scene, &plain, ack), "");
    scene_wait(&scene, 5000);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1, "a live subscription keeps it");
    cr_expect_str_eq(scene_unsubscribe(&scene, "me", "foo", ack, false), "");
    scene_wait(&scene, 999);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1);
    scene_wait(&scene, 1);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 0);
    scene_close(&scene);
}

/* Neither a durable that is away, nor its client's end by heartbeats, nor a restart. */
Test(streaming, an_unused_channel_is_kept_by_nothing_that_is_not_there)
{
    struct scene scene = scene_new();
    char ack[SCENE_TEXT_BYTES];
    struct store_options options = {.limits = {.inactivity_max_ns = 1000000000}};
    struct scene_wish durable = plain;
    durable.durable = "d";
    scene_open_file_as(&scene, &options);
    scene_connect(&scene, "me");
    scene_subscribe(&scene, &durable, ack);
    scene_wait(&scene, 29999);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1, "it is there");
    cr_expect_str_eq(scene_unsubscribe(&scene, "me", "foo", ack, true), "");
    scene_wait(&scene, 1000);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 0, "it is away");
    scene_subscribe(&scene, &plain, ack);
    for (int tens = 0; tens < 12; tens++)
        scene_wait(&scene, 10000);
    cr_expect_eq(streaming_figures(scene.machine).client_count, 0);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 0, "its client is gone");
    scene_connect(&scene, "me");
    scene_publish(&scene, "me", "foo");
    scene_restart(&scene);
    scene_wait(&scene, 999);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1);
    scene_wait(&scene, 1);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 0, "found again, and not used");
    scene_close(&scene);
}

struct start_case {
    const char *name;
    int32_t start;
    uint64_t sequence;
    int64_t delta_ns;
    const char *wanted; /* of messages 3 4 5, a second apart, the last one now */
};
static const struct start_case start_cases[] = {
    {"new only", NEW_ONLY, 0, 0, ""},
    {"last", LAST, 0, 0, "5"},
    {"first", FIRST, 0, 0, "3 4 5"},
    {"sequence below", SEQUENCE, 1, 0, "3 4 5"},
    {"sequence 0", SEQUENCE, 0, 0, "3 4 5"},
    {"sequence between", SEQUENCE, 4, 0, "4 5"},
    {"sequence at the end", SEQUENCE, 5, 0, "5"},
    {"sequence above", SEQUENCE, 6, 0, ""},
    {"long ago", TIME_DELTA, 0, 100000000000, "3 4 5"},
    {"exactly the first", TIME_DELTA, 0, 2000000000, "3 4 5"},
    {"a moment between", TIME_DELTA, 0, 1500000000, "4 5"},
    {"exactly the last", TIME_DELTA, 0, 0, "5"},
    {"the future", TIME_DELTA, 0, -1, ""},
    {"further than numbers go", TIME_DELTA, 0, INT64_MIN, ""},
};

Test(streaming, subscriptions_start_where_they_say)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    struct store_options options = {.kind = STORE_MEMORY, .limits = {.messages_max = 3}};
    scene_open(&scene, &options);
    scene_connect(&scene, "me");
    for (int i = 0; i < 5; i++) {
        scene_publish(&scene, "me", "foo");
        if (i < 4)
            scene_wait(&scene, 1000);
    }
    for (size_t i = 0; i < sizeof start_cases / sizeof start_cases[0]; i++) {
        const struct start_case *c = &start_cases[i];
        struct scene_wish wish = plain;
        char inbox[32];
        snprintf(inbox, sizeof inbox, "in.%zu", i);
        wish.inbox = inbox;
        wish.start = c->start;
        wish.sequence = c->sequence;
        wish.delta_ns = c->delta_ns;
        cr_expect_str_eq(scene_subscribe(&scene, &wish, ack), "", "%s", c->name);
        scene_expect(&scene, inbox, c->wanted);
    }
    scene_close(&scene);
}

Test(streaming, the_same_inputs_give_the_same_outputs)
{
    struct scene scenes[2];
    for (int s = 0; s < 2; s++) {
        char ack[SCENE_TEXT_BYTES];
        scene_open(&scenes[s], NULL);
        scene_connect(&scenes[s], "me");
        scene_subscribe(&scenes[s], &plain, ack);
        for (int i = 0; i < 20; i++)
            scene_publish(&scenes[s], "me", "foo");
        scene_ack(&scenes[s], "foo", ack, 5);
        scene_wait(&scenes[s], 1000);
    }
    cr_assert_eq(scenes[0].count, scenes[1].count);
    for (uint32_t i = 0; i < scenes[0].count; i++) {
        const struct scene_output *a = &scenes[0].outputs[i], *b = &scenes[1].outputs[i];
        bool answer = strncmp(a->subject, "answer.", 7) == 0; /* numbered through */
        cr_expect(answer || strcmp(a->subject, b->subject) == 0, "output %u", i);
        cr_expect(a->body_bytes == b->body_bytes && memcmp(a->body, b->body, a->body_bytes) == 0, "output %u",
                  i);
    }
    scene_close(&scenes[0]);
    scene_close(&scenes[1]);
}
