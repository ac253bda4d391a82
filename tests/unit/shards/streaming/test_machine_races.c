/* Tests the streaming machine where two things happen at once: who comes while a channel or a client is on
 * its way out, and who leaves while messages are on their way (spec/streaming.md 8.3, 9.2, 10.2, 13); alone,
 * and with a log between asking and doing. */
#include "tests/unit/shards/streaming/crew.h"

#include "shards/streaming/protocol.pb-c.h"

enum { FIRST = 4 }; /* of the protocol */
#define HEARTBEAT_NS 30000000000LL

static const struct scene_wish plain = {.client_id = "me",
                                        .channel = "foo",
                                        .inbox = "in",
                                        .in_flight = 100,
                                        .ack_wait_seconds = 1,
                                        .start = FIRST};
static const struct store_options idle = {.kind = STORE_MEMORY, .limits = {.inactivity_max_ns = 1000000000}};

/* ---- a channel that goes ---- */

/* Rows 55 and 56: a deletion is one step, before which the channel is there, and behind which it is not;
 * whoever comes is never told that it is being deleted. */
Test(streaming, a_channel_that_is_due_stays_for_who_comes_before_and_is_new_behind)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    struct scene_wish later = plain;
    later.start = 0; /* what is new: nothing is pending */
    scene_open(&scene, &idle);
    int64_t beat_ns = scene.now.now_ns + HEARTBEAT_NS;
    scene_connect(&scene, "me");
    scene_publish(&scene, "me", "foo");
    scene_publish(&scene, "me", "bar");
    scene.now.now_ns += 1000000000; /* both are due, in the step behind this request */
    cr_expect_str_eq(scene_subscribe(&scene, &later, ack), "");
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1, "bar is gone");
    cr_expect_eq(streaming_next_ns(scene.machine), beat_ns, "no timer but its client's");
    scene_wait(&scene, 20000);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1);
    cr_expect_str_eq(scene_publish(&scene, "me", "foo"), "");
    scene_expect(&scene, "in", "2");
    cr_expect_str_eq(scene_publish(&scene, "me", "bar"), "");
    later.channel = "bar";
    later.inbox = "bar";
    later.start = FIRST;
    cr_expect_str_eq(scene_subscribe(&scene, &later, ack), "");
    scene_expect(&scene, "bar", "1");
    scene_close(&scene);
}

/* The same with a log: the order in it counts. */
Test(replicated, a_channel_whose_deletion_is_in_the_log_stays_for_who_was_there_before_and_is_new_behind)
{
    struct crew *crew = crew_open(&idle, NULL);
    struct scene *leader = crew_leader(crew);
    char ack[SCENE_TEXT_BYTES];
    struct scene_wish later = plain, new = plain;
    later.start = 0;
    int64_t beat_ns = leader->now.now_ns + HEARTBEAT_NS;
    crew_connect(crew, "me");
    crew_publish(crew, "foo", 1);
    crew_publish(crew, "bar", 2);
    crew->holds = true;
    cr_expect_null(scene_subscribe(leader, &later, ack)); /* first in the log, then the deletions */
    uint64_t before = crew->entry_count;
    scene_wait(leader, 1000);
    cr_expect_eq(crew->entry_count, before + 2);
    cr_expect_null(scene_publish(leader, "me", "bar"));
    new.channel = "bar";
    new.inbox = "bar";
    cr_expect_null(scene_subscribe(leader, &new, ack));
    cr_expect_eq(streaming_figures(leader->machine).channel_count, 2);
    crew_commit(crew);
    crew->holds = false;
    scene_step(leader);
    cr_expect_eq(store_channel_last(store_channel_find(leader->store, TEXT("foo"))), 1, "it stays");
    cr_expect_eq(store_channel_last(store_channel_find(leader->store, TEXT("bar"))), 1, "a new one");
    scene_expect(leader, "bar", "1");
    crew_same(crew);
    scene_wait(leader, 20000);
    cr_expect_eq(streaming_figures(crew->nodes[2].machine).channel_count, 2, "both have subscribers");
    cr_expect_leq(beat_ns, streaming_next_ns(leader->machine) + HEARTBEAT_NS);
    crew_publish(crew, "foo", 1);
    scene_expect(leader, "in", "2");
    crew_same(crew);
    crew_close(crew);
}

/* ---- a client that goes ---- */

/* The answers to `count` requests: how many took it; the rest said that they do not know the client. */
static uint32_t taken(const struct scene *scene, uint32_t count)
{
    static const char words[] = "stan: unknown clientID";
    uint32_t answers = 0, refused = 0;
    for (uint32_t i = 0; i < scene->count; i++) {
        const struct scene_output *output = &scene->outputs[i];
        if (strncmp(output->subject, "answer.", 7) != 0)
            continue;
        answers++;
        bool refusal = memmem(output->body, output->body_bytes, words, sizeof words - 1) != NULL;
        cr_expect(refusal || memmem(output->body, output->body_bytes, "_STAN.acks.", 11) != NULL ||
                      memmem(output->body, output->body_bytes, "_INBOX.", 7) != NULL,
                  "answer %u is neither", answers);
        refused += refusal;
    }
    cr_expect_eq(answers, count, "each has its answer");
    return answers - refused;
}

static uint32_t outputs_of(const struct scene *scene, enum streaming_output_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < scene->count; i++)
        count += scene->outputs[i].kind == kind;
    return count;
}

/* Row 63: three heartbeats fail in 120 s. */
Test(streaming, a_thousand_subscribe_while_their_client_expires)
{
    enum { REQUESTS = 1000 };
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    scene_open(&scene, NULL);
    scene_connect(&scene, "me");
    scene_forget(&scene);
    uint32_t since = 0;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        const char *answer = scene_subscribe(&scene, &plain, ack);
        cr_assert_not_null(answer);
        bool unknown = strcmp(answer, "stan: unknown clientID") == 0;
        cr_assert(unknown || answer[0] == 0, "%s", answer);
        cr_assert(unknown || since == 0, "known again");
        since += unknown;
        scene_wait(&scene, 200);
    }
    uint32_t count = taken(&scene, REQUESTS);
    cr_expect_eq(count, REQUESTS - since);
    cr_expect_eq(count, 600);
    cr_expect_eq(streaming_figures(scene.machine).client_count, 0);
    cr_expect_eq(streaming_figures(scene.machine).subscription_count, 0, "none is left behind");
    cr_expect_eq(outputs_of(&scene, STREAMING_OUTPUT_LISTEN), count);
    cr_expect_eq(outputs_of(&scene, STREAMING_OUTPUT_UNLISTEN), count);
    scene_close(&scene);
}

/* The same with a log, which takes nothing until all have asked: four in ten behind the removal. */
Test(replicated, a_thousand_subscribe_while_their_client_expires)
{
    enum { REQUESTS = 1000 };
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    char ack[SCENE_TEXT_BYTES];
    crew_connect(crew, "me");
    scene_forget(leader);
    crew->holds = true;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        const char *answer = scene_subscribe(leader, &plain, ack);
        cr_assert(answer == NULL || strcmp(answer, "stan: unknown clientID") == 0);
        scene_wait(leader, 200);
    }
    crew_commit(crew);
    crew->holds = false;
    scene_step(leader);
    uint32_t count = taken(leader, REQUESTS);
    cr_expect_eq(count, 600);
    cr_expect_eq(streaming_figures(leader->machine).client_count, 0);
    cr_expect_eq(streaming_figures(leader->machine).subscription_count, 0);
    crew_same(crew);
    crew_close(crew);
}

/* ---- a subscription that goes ---- */

/* Row 84: messages are stored when it leaves, and safe, so that they are delivered, behind that. */
Test(streaming, who_has_left_is_sent_nothing_and_has_no_timer)
{
    static const struct {
        const char *group, *durable;
        bool close;
    } cases[] = {
        {NULL, NULL, false}, {NULL, NULL, true}, {NULL, "d", true}, {"g", NULL, false}, {"g", "d", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        char ack[SCENE_TEXT_BYTES];
        struct scene_wish wish = plain;
        wish.group = cases[i].group;
        wish.durable = cases[i].durable;
        scene_open_file(&scene);
        int64_t beat_ns = scene.now.now_ns + HEARTBEAT_NS;
        scene_connect(&scene, "me");
        cr_expect_str_eq(scene_subscribe(&scene, &wish, ack), "");
        scene.syncs = false;
        for (int n = 0; n < 3; n++)
            cr_expect_null(scene_publish(&scene, "me", "foo"));
        cr_expect_null(scene_unsubscribe(&scene, "me", "foo", ack, cases[i].close));
        scene.syncs = true;
        scene_wait(&scene, 1);
        cr_expect_eq(scene_count(&scene, "in"), 0, "case %zu", i);
        cr_expect_eq(streaming_next_ns(scene.machine), beat_ns, "case %zu: no timer but its client's", i);
        scene_wait(&scene, 5000);
        cr_expect_eq(scene_count(&scene, "in"), 0, "case %zu", i);
        scene_close(&scene);
    }
}

/* With a log: they are applied when it is leaving, but not gone. */
Test(replicated, who_is_about_to_leave_is_sent_nothing_and_has_no_timer)
{
    struct crew *crew = crew_open(NULL, NULL);
    struct scene *leader = crew_leader(crew);
    char ack[SCENE_TEXT_BYTES];
    struct scene_wish wish = plain;
    wish.durable = "d";
    int64_t beat_ns = leader->now.now_ns + HEARTBEAT_NS;
    crew_connect(crew, "me");
    cr_expect_str_eq(scene_subscribe(leader, &wish, ack), "");
    crew->holds = true;
    for (int n = 0; n < 3; n++)
        cr_expect_null(scene_publish(leader, "me", "foo"));
    leader->busy = true; /* the log takes what is there, and not yet what follows */
    cr_expect_null(scene_unsubscribe(leader, "me", "foo", ack, true));
    crew->holds = false;
    scene_step(leader);
    cr_expect_eq(store_channel_last(store_channel_find(leader->store, TEXT("foo"))), 3);
    scene_wait(leader, 5000);
    scene_expect(leader, "in", "");
    cr_expect_eq(streaming_next_ns(leader->machine), beat_ns, "no timer but its client's");
    leader->busy = false;
    scene_step(leader);
    cr_expect_str_eq(scene_subscribe(leader, &wish, ack), "");
    scene_expect(leader, "in", "1 2 3");
    crew_same(crew);
    crew_close(crew);
}

/* ---- a redelivery that is under way ---- */

enum { LARGE_BYTES = 60000, LARGE_COUNT = 40 }; /* more than the machine makes ahead of who takes it */
_Static_assert(LARGE_BYTES *LARGE_COUNT / 2 > OUTPUT_BYTES_MAX, "a member's half is too much for one step");

static void publish_large(struct scene *scene)
{
    static uint8_t data[LARGE_BYTES], bytes[LARGE_BYTES + 1000];
    char client[] = "me", channel[] = "foo", guid[] = "guid";
    Stan__PubMsg request = STAN__PUB_MSG__INIT;
    request.client_id = (ProtobufCBinaryData){2, (uint8_t *)client};
    request.guid = (ProtobufCBinaryData){4, (uint8_t *)guid};
    request.subject = (ProtobufCBinaryData){3, (uint8_t *)channel};
    request.data = (ProtobufCBinaryData){sizeof data, data};
    cr_assert_leq(stan__pub_msg__get_packed_size(&request), sizeof bytes);
    size_t count = stan__pub_msg__pack(&request, bytes);
    scene_request(scene, STREAMING_REQUEST_PUBLISH, "", "", bytes, count);
}

/* How many different messages came to an inbox: their sequences are the first field, and below 128. */
static uint32_t different(const struct scene *scene, const char *inbox)
{
    bool seen[128] = {false};
    uint32_t count = 0;
    for (uint32_t i = 0; i < scene->count; i++) {
        const struct scene_output *output = &scene->outputs[i];
        if (output->kind != STREAMING_OUTPUT_PUBLISH || strcmp(output->subject, inbox) != 0)
            continue;
        cr_assert(output->body[0] == 8 && output->body[1] < 128);
        count += !seen[output->body[1]];
        seen[output->body[1]] = true;
    }
    return count;
}

enum leaving { UNSUBSCRIBES, CLOSES, CLIENT_CLOSES, LEAVINGS };

static void leave(struct scene *scene, enum leaving how, const char *ack)
{
    if (how == CLIENT_CLOSES)
        (void)scene_close_client(scene, "me");
    else
        (void)scene_unsubscribe(scene, "me", "foo", ack, how == CLOSES);
}

/* A scene in which some of what "in" owes has been sent again, and the rest waits until outputs are taken.
 * When its clients get a heartbeat. */
static int64_t redelivery_begin(struct scene *scene, const char *group, const char *durable, char *ack)
{
    struct scene_wish wish = plain;
    wish.group = group;
    wish.durable = durable;
    scene_open(scene, NULL);
    int64_t beat_ns = scene->now.now_ns + HEARTBEAT_NS;
    scene->cuts = true;
    scene_connect(scene, "me");
    scene_connect(scene, "you");
    cr_expect_str_eq(scene_subscribe(scene, &wish, ack), "");
    wish.client_id = "you";
    wish.inbox = "other";
    wish.durable = NULL;
    if (group != NULL && durable == NULL) {
        char other[SCENE_TEXT_BYTES];
        cr_expect_str_eq(scene_subscribe(scene, &wish, other), "");
    }
    for (int n = 0; n < LARGE_COUNT; n++)
        publish_large(scene);
    scene_forget(scene);
    uint64_t sent = streaming_figures(scene->machine).out_messages;
    scene->deaf = true;
    scene->now.now_ns += 1000000000;
    scene_step(scene);
    uint64_t again = streaming_figures(scene->machine).out_messages - sent;
    cr_assert(again > 0 && again < LARGE_COUNT, "not in between: %llu", (unsigned long long)again);
    return beat_ns;
}

/* Row 90: what is acknowledged while a redelivery is under way is not sent again, by a group neither. */
Test(streaming, what_is_acknowledged_before_its_turn_does_not_come_again)
{
    for (int grouped = 0; grouped <= 1; grouped++) {
        struct scene scene;
        char ack[SCENE_TEXT_BYTES];
        int64_t beat_ns = redelivery_begin(&scene, grouped ? "g" : NULL, grouped ? "d" : NULL, ack);
        uint64_t sent = streaming_figures(scene.machine).out_messages;
        for (uint64_t sequence = 1; sequence <= LARGE_COUNT; sequence++)
            scene_ack(&scene, "foo", ack, sequence);
        scene.deaf = false;
        for (int n = 0; n < 3; n++)
            scene_wait(&scene, 1000);
        cr_expect_eq(streaming_figures(scene.machine).out_messages, sent, "grouped %d", grouped);
        cr_expect_eq(streaming_next_ns(scene.machine), beat_ns);
        scene_close(&scene);
    }
}

/* Row 98. */
Test(streaming, who_leaves_while_it_is_sent_what_it_owes_gets_no_more)
{
    static const struct {
        const char *group, *durable;
    } kinds[] = {{NULL, NULL}, {NULL, "d"}, {"g", NULL}, {"g", "d"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] * LEAVINGS; i++) {
        struct scene scene;
        char ack[SCENE_TEXT_BYTES];
        bool shared = kinds[i / LEAVINGS].group != NULL && kinds[i / LEAVINGS].durable == NULL;
        int64_t beat_ns =
            redelivery_begin(&scene, kinds[i / LEAVINGS].group, kinds[i / LEAVINGS].durable, ack);
        leave(&scene, i % LEAVINGS, ack);
        scene_take(&scene);
        uint32_t before = scene_count(&scene, "in");
        scene.deaf = false;
        scene_wait(&scene, 0);
        for (int n = 0; n < 8; n++) /* what is full goes on in the next step */
            scene_wait(&scene, 1000);
        cr_expect_eq(scene_count(&scene, "in"), before, "case %zu", i);
        if (!shared)
            cr_expect_eq(streaming_next_ns(scene.machine), beat_ns, "case %zu: no timer but its client's", i);
        else
            cr_expect_eq(different(&scene, "other"), LARGE_COUNT, "case %zu: the rest is the other's", i);
        scene_close(&scene);
    }
}

/* And while it is sent that because it has come back. */
Test(streaming, a_durable_that_leaves_while_it_is_resumed_has_all_the_next_time)
{
    for (enum leaving how = CLOSES; how < LEAVINGS; how++) {
        struct scene scene;
        char ack[SCENE_TEXT_BYTES];
        struct scene_wish wish = plain;
        wish.durable = "d";
        (void)redelivery_begin(&scene, NULL, "d", ack);
        leave(&scene, CLOSES, ack);
        scene_take(&scene);
        uint64_t sent = streaming_figures(scene.machine).out_messages;
        (void)scene_subscribe(&scene, &wish, ack); /* the answer lies there */
        scene_take(&scene);
        scene_step(&scene);
        uint64_t again = streaming_figures(scene.machine).out_messages - sent;
        cr_assert(again > 0 && again < LARGE_COUNT, "not in between: %llu", (unsigned long long)again);
        leave(&scene, how, "in"); /* its ack inbox was in the answer */
        scene_take(&scene);
        scene.deaf = false;
        scene_forget(&scene);
        for (int n = 0; n < 8; n++)
            scene_wait(&scene, 1000);
        cr_expect_eq(scene_count(&scene, "in"), 0, "leaving %d", how);
        wish.inbox = "back";
        if (how == CLIENT_CLOSES)
            scene_connect(&scene, "me");
        cr_expect_str_eq(scene_subscribe(&scene, &wish, ack), "");
        cr_expect_eq(different(&scene, "back"), LARGE_COUNT, "leaving %d", how);
        scene_close(&scene);
    }
}
