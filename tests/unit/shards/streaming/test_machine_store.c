/* Tests the streaming machine on a store that is slow, full, or cannot be read, and over a restart: what
 * waits for the disk, what is refused, and what goes on when the disk does (spec/streaming.md 8.3, 10.2, 15,
 * 23). */
#include "tests/unit/shards/streaming/scene.h"
#include "tests/unit/store/sim_disk.h"

enum { FIRST = 4 }; /* of the protocol */

static const struct scene_wish plain = {.client_id = "me",
                                        .channel = "foo",
                                        .inbox = "in",
                                        .in_flight = 10,
                                        .ack_wait_seconds = 1,
                                        .start = FIRST};

/* ---- what waits, and what is refused ---- */

Test(streaming, nothing_is_answered_or_delivered_before_it_is_on_disk)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    scene_open_file(&scene);
    scene_connect(&scene, "me");
    scene_subscribe(&scene, &plain, ack);
    scene.syncs = false;
    cr_expect_null(scene_publish(&scene, "me", "foo"));
    cr_expect_eq(scene_count(&scene, "in"), 0);
    cr_expect_null(scene_connect(&scene, "you"));
    scene_forget(&scene);
    scene.syncs = true;
    scene_step(&scene);
    scene_expect(&scene, "in", "1");
    cr_assert_eq(scene.count, 3);
    cr_expect_str_eq(scene.outputs[0].subject, "in", "the delivery comes before the acknowledgement");
    scene_close(&scene);
}

/* Appends behind the machine's back until the store takes no more. */
static void fill_store(struct scene *scene)
{
    enum { TRIES_MAX = 10000 };
    static const uint8_t data[60000];
    uint32_t tries = 0;
    struct store_channel *channel = NULL;
    enum err err = store_channel_create(scene->store, TEXT("fill"), scene->now.wall_ns, &channel);
    for (size_t bytes = sizeof data; bytes > 0; bytes /= 2) {
        uint64_t sequence;
        do {
            cr_assert_leq(++tries, TRIES_MAX, "it takes everything");
            err = err != ERR_OK ? err
                                : store_append(scene->store, channel, bytes_of(data, bytes),
                                               scene->now.wall_ns, &sequence);
        } while (err == ERR_OK);
        cr_assert_eq(err, ERR_FULL);
        err = ERR_OK;
    }
}

/* Answers that say that the store is full. */
static uint32_t refusals(const struct scene *scene)
{
    static const char words[] = "stan: too much waits for the store";
    uint32_t count = 0;
    for (uint32_t i = 0; i < scene->count; i++)
        count +=
            strncmp(scene->outputs[i].subject, "answer.", 7) == 0 &&
            memmem(scene->outputs[i].body, scene->outputs[i].body_bytes, words, sizeof words - 1) != NULL;
    return count;
}

Test(streaming, a_store_that_takes_no_more_refuses_each_request_and_nothing_is_changed)
{
    struct scene scene = scene_new();
    struct store_options small = {.buffer_bytes_max = 65536};
    char ack[SCENE_TEXT_BYTES], second[SCENE_TEXT_BYTES];
    scene_open_file_as(&scene, &small);
    scene_connect(&scene, "me");
    scene_subscribe(&scene, &plain, ack);
    scene_publish(&scene, "me", "foo");
    struct streaming_figures before = streaming_figures(scene.machine);
    scene.syncs = false;
    fill_store(&scene);
    struct scene_wish durable = plain;
    durable.durable = "d";
    durable.inbox = "durable";
    scene_forget(&scene);
    scene_connect(&scene, "you");
    scene_publish(&scene, "me", "foo");
    scene_publish(&scene, "me", "new");
    scene_subscribe(&scene, &durable, second);
    struct streaming_figures after = streaming_figures(scene.machine);
    cr_expect_eq(after.client_count, before.client_count);
    cr_expect_eq(after.subscription_count, before.subscription_count);
    scene.syncs = true;
    scene_step(&scene);
    cr_expect_eq(refusals(&scene), 4);
    cr_expect_eq(scene_count(&scene, "in") + scene_count(&scene, "durable"), 0);
    scene_forget(&scene);
    cr_expect_str_eq(scene_publish(&scene, "you", "foo"), "stan: invalid publish request");
    cr_expect_str_eq(scene_connect(&scene, "you"), "");
    cr_expect_str_eq(scene_publish(&scene, "you", "foo"), "");
    scene_expect(&scene, "in", "2"); /* the sequence of what was refused */
    cr_expect_str_eq(scene_subscribe(&scene, &durable, second), "");
    scene_expect(&scene, "durable", "1 2");
    scene_close(&scene);
}

/* Row 57: it is here as before, and goes one period later. */
Test(streaming, a_channel_that_the_store_cannot_delete_is_deleted_later)
{
    struct scene scene = scene_new();
    struct store_options small = {.buffer_bytes_max = 65536, .limits = {.inactivity_max_ns = 1000000000}};
    scene_open_file_as(&scene, &small);
    scene_connect(&scene, "me");
    scene_publish(&scene, "me", "foo");
    scene.syncs = false;
    fill_store(&scene); /* its channel is not the machine's */
    scene_wait(&scene, 1000);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1, "the deletion cannot be written");
    scene.syncs = true;
    scene_wait(&scene, 999);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1, "it is not tried at once");
    cr_expect_not_null(store_channel_find(scene.store, TEXT("foo")));
    scene_wait(&scene, 1);
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 0);
    cr_expect_null(store_channel_find(scene.store, TEXT("foo")));
    cr_expect_str_eq(scene_publish(&scene, "me", "foo"), "");
    cr_expect_eq(store_channel_last(store_channel_find(scene.store, TEXT("foo"))), 1, "a new one");
    scene_close(&scene);
}

/* ---- what is read ---- */

static void append_far(struct scene *scene, struct store_channel *channel)
{
    static const uint8_t data[50000];
    uint64_t sequence;
    for (int i = 0; i < 4; i++)
        cr_assert_eq(
            store_append(scene->store, channel, bytes_of(data, sizeof data), scene->now.wall_ns, &sequence),
            ERR_OK);
}

/* A scene on a disk of the test's: "foo" has `near` messages in one place and one more in another, both far
 * from all else, and nothing of it is in memory. */
static void far_messages(struct scene *scene, struct sim_disk *disk, int near)
{
    struct store_options options = {.segment_bytes = 128 * 1024, .salt = 4711};
    struct store_channel *channel = NULL;
    *scene = scene_new();
    scene->disk = sim_disk_files(disk);
    scene_open_file_as(scene, &options);
    scene_connect(scene, "me");
    cr_assert_eq(store_channel_create(scene->store, TEXT("fill"), scene->now.wall_ns, &channel), ERR_OK);
    append_far(scene, channel);
    for (int i = 0; i < near; i++)
        scene_publish(scene, "me", "foo");
    append_far(scene, channel);
    scene_publish(scene, "me", "foo");
    append_far(scene, channel);
    scene_restart(scene);
    scene_step(scene);
}

/* Row 79; and 114, of a group: all its members are stalled. */
Test(streaming, the_log_is_not_read_for_who_is_stalled)
{
    for (int members = 0; members <= 2; members += 2) {
        struct sim_disk *disk = sim_disk_new(1);
        struct scene scene;
        char ack[SCENE_TEXT_BYTES], other[SCENE_TEXT_BYTES];
        struct scene_wish wish = plain;
        wish.group = members > 0 ? "g" : NULL;
        wish.in_flight = members > 0 ? 1 : 2;
        wish.ack_wait_seconds = 1000;
        far_messages(&scene, disk, 2);
        cr_expect_str_eq(scene_subscribe(&scene, &wish, ack), "");
        if (members > 0)
            cr_expect_str_eq(scene_subscribe(&scene, &wish, other), "");
        scene_expect(&scene, "in", "1 2");
        uint32_t reads = disk->reads;
        cr_expect_gt(reads, 0);
        for (int i = 0; i < 3; i++)
            cr_expect_str_eq(scene_publish(&scene, "me", "foo"), "");
        scene_wait(&scene, 1000);
        cr_expect_eq(disk->reads, reads, "read for %d members", members);
        scene_ack(&scene, "foo", ack, 1);
        scene_expect(&scene, "in", "1 2 3");
        cr_expect_gt(disk->reads, reads);
        scene_close(&scene);
        sim_disk_free(disk);
    }
}

/* Row 92, of a plain subscription and of a group. */
Test(streaming, what_could_not_be_read_when_it_was_due_comes_again_later)
{
    for (int members = 0; members <= 1; members++) {
        struct sim_disk *disk = sim_disk_new(1);
        struct scene scene;
        char ack[SCENE_TEXT_BYTES];
        struct scene_wish wish = plain;
        wish.group = members > 0 ? "g" : NULL;
        far_messages(&scene, disk, 1);
        cr_expect_str_eq(scene_subscribe(&scene, &wish, ack), "");
        scene_expect(&scene, "in", "1 2");
        disk->reads_fail = true;
        uint32_t reads = disk->reads;
        scene_wait(&scene, 1000);
        cr_expect_gt(disk->reads, reads, "it was tried");
        scene_wait(&scene, 500);
        scene_expect(&scene, "in", "1 2");
        disk->reads_fail = false;
        scene_wait(&scene, 500);
        scene_expect(&scene, "in", "1 2 1r1 2r1");
        scene_ack(&scene, "foo", ack, 1);
        scene_wait(&scene, 1000);
        scene_expect(&scene, "in", "1 2 1r1 2r1 2r2");
        scene_close(&scene);
        sim_disk_free(disk);
    }
}

/* ---- restart ---- */

/* Row 135: also what was due long ago, and would be due again after one more ack wait. */
Test(streaming, what_is_long_due_comes_once_after_a_restart)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    scene_open_file(&scene);
    scene_connect(&scene, "me");
    scene_subscribe(&scene, &plain, ack);
    scene_publish(&scene, "me", "foo");
    scene_expect(&scene, "in", "1");
    scene_forget(&scene);
    scene.now.now_ns += 6000000000;
    scene.now.wall_ns += 6000000000;
    scene_restart(&scene);
    scene_step(&scene);
    scene_wait(&scene, 500);
    scene_expect(&scene, "in", "1r1");
    scene_wait(&scene, 500);
    scene_expect(&scene, "in", "1r1 1r2");
    scene_close(&scene);
}

Test(streaming, a_restart_brings_everything_back)
{
    struct scene scene;
    char plain_ack[SCENE_TEXT_BYTES], durable_ack[SCENE_TEXT_BYTES], member_ack[SCENE_TEXT_BYTES];
    struct scene_wish durable = plain, member = plain;
    durable.durable = "d";
    durable.inbox = "durable";
    member.group = "g";
    member.durable = "d";
    member.inbox = "member";
    scene_open_file(&scene);
    scene_connect(&scene, "me");
    scene_subscribe(&scene, &plain, plain_ack);
    scene_subscribe(&scene, &durable, durable_ack);
    scene_subscribe(&scene, &member, member_ack);
    for (int i = 0; i < 3; i++)
        scene_publish(&scene, "me", "foo");
    scene_ack(&scene, "foo", plain_ack, 2);
    scene_ack(&scene, "foo", member_ack, 1);
    cr_expect_str_eq(scene_unsubscribe(&scene, "me", "foo", durable_ack, true), "");
    scene_wait(&scene, 500);
    scene_restart(&scene);
    scene_step(&scene);
    cr_expect_eq(scene_count(&scene, "in"), 0, "not due yet");
    scene_wait(&scene, 500);
    scene_expect(&scene, "in", "1r1 3r1");
    scene_expect(&scene, "member", "2r1 3r1");
    scene_expect(&scene, "durable", "");
    cr_expect_str_eq(scene_publish(&scene, "me", "foo"), "", "its client is known");
    scene_ack(&scene, "foo", plain_ack, 1);
    scene_forget(&scene);
    cr_expect_str_eq(scene_subscribe(&scene, &durable, durable_ack), "");
    scene_expect(&scene, "durable", "1r1 2r1 3r1 4");
    scene_close(&scene);
}

/* Row 59. */
Test(streaming, an_idle_channel_that_is_found_again_goes_unless_its_own_limit_is_none)
{
    static const struct store_limits_rule kept = {
        .name = {(const uint8_t *)"kept", 4}, .messages_max = LIMIT_INHERITED, .bytes_max = LIMIT_INHERITED};
    struct scene scene = scene_new();
    struct store_options options = {
        .limits = {.inactivity_max_ns = 1000000000}, .rules = &kept, .rule_count = 1};
    scene_open_file_as(&scene, &options);
    scene_connect(&scene, "me");
    scene_publish(&scene, "me", "foo");
    scene_publish(&scene, "me", "kept");
    scene_restart(&scene);
    scene_wait(&scene, 1000);
    cr_expect_null(store_channel_find(scene.store, TEXT("foo")));
    scene_wait(&scene, 10000);
    cr_expect_not_null(store_channel_find(scene.store, TEXT("kept")));
    cr_expect_eq(streaming_figures(scene.machine).channel_count, 1);
    scene_close(&scene);
}

/* Row 132. */
Test(streaming, clients_that_are_found_again_and_silent_are_removed)
{
    struct scene scene;
    char ack[SCENE_TEXT_BYTES];
    scene_open_file(&scene);
    scene_connect(&scene, "me");
    scene_connect(&scene, "you");
    cr_expect_str_eq(scene_subscribe(&scene, &plain, ack), "");
    scene_restart(&scene);
    cr_expect_eq(streaming_figures(scene.machine).client_count, 2);
    for (int tens = 0; tens < 12; tens++)
        scene_wait(&scene, 10000);
    cr_expect_eq(scene_count(&scene, "hb.me"), 3, "each had its heartbeats");
    cr_expect_eq(scene_count(&scene, "hb.you"), 3);
    cr_expect_eq(streaming_figures(scene.machine).client_count, 0);
    cr_expect_eq(streaming_figures(scene.machine).subscription_count, 0);
    scene_close(&scene);
}

/* A disk with a store in which "foo" has messages up to `count`, but `missing`, and nothing says whose it is;
 * then a scene on it. */
static void foreign_open(struct scene *scene, struct sim_disk *disk, uint8_t count, uint8_t missing)
{
    struct store_options options = {.segment_bytes = 128 * 1024, .salt = 4711}, file = options;
    struct store *store = NULL;
    struct store_channel *channel = NULL;
    char why[STORE_WHY_BYTES] = "";
    *scene = scene_new();
    file.kind = STORE_FILE;
    file.files = scene->disk = sim_disk_files(disk);
    cr_assert_eq(store_open(&store, &file, scene->now.wall_ns, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(store_channel_create(store, TEXT("foo"), scene->now.wall_ns, &channel), ERR_OK);
    for (uint8_t sequence = 1; sequence <= count; sequence++) {
        uint8_t data[] = {8, sequence, 18, 3, 'f', 'o', 'o'}; /* its sequence and subject */
        if (sequence != missing)
            cr_assert_eq(
                store_append_at(store, channel, sequence, bytes_of(data, sizeof data), scene->now.wall_ns),
                ERR_OK);
    }
    cr_assert_eq(store_close(store), ERR_OK);
    scene_open_file_as(scene, &options);
}

/* Row 139: channels without a server that they would be of. */
Test(streaming, channels_whose_servers_record_is_missing_are_taken_over_with_a_warning)
{
    static const char words[] = "Server information was not recovered, however channels are present.";
    struct sim_disk *disk = sim_disk_new(1);
    struct scene scene;
    struct streaming_output output;
    char ack[SCENE_TEXT_BYTES];
    foreign_open(&scene, disk, 1, 0);
    cr_assert(streaming_output_next(scene.machine, &output) && output.kind == STREAMING_OUTPUT_LOG);
    cr_expect_eq(output.level, LOG_WARNING);
    cr_expect_not_null(memmem(output.body.data, output.body.count, words, sizeof words - 1));
    scene_connect(&scene, "me");
    cr_expect_str_eq(scene_subscribe(&scene, &plain, ack), "");
    scene_expect(&scene, "in", "1");
    cr_expect_str_eq(scene_publish(&scene, "me", "foo"), "");
    scene_expect(&scene, "in", "1 2");
    scene_restart(&scene);
    while (streaming_output_next(scene.machine, &output))
        cr_expect_not(output.kind == STREAMING_OUTPUT_LOG && output.level == LOG_WARNING,
                      "it is known from there on");
    scene_close(&scene);
    sim_disk_free(disk);
}

/* Row 80, of a plain subscription and of a group. */
Test(streaming, a_message_that_is_missing_in_the_store_is_passed_over)
{
    for (int members = 0; members <= 1; members++) {
        struct sim_disk *disk = sim_disk_new(1);
        struct scene scene;
        struct scene_wish wish = plain;
        char ack[SCENE_TEXT_BYTES];
        wish.group = members > 0 ? "g" : NULL;
        foreign_open(&scene, disk, 10, 3);
        scene_connect(&scene, "me");
        cr_expect_str_eq(scene_subscribe(&scene, &wish, ack), "");
        scene_expect(&scene, "in", "1 2 4 5 6 7 8 9 10");
        scene_wait(&scene, 1000);
        scene_expect(&scene, "in", "1 2 4 5 6 7 8 9 10 1r1 2r1 4r1 5r1 6r1 7r1 8r1 9r1 10r1");
        scene_close(&scene);
        sim_disk_free(disk);
    }
}
