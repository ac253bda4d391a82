/* tests/unit/shards/streaming/test_alone.c - the question whether another server of the cluster id is there,
 * by a control core whose one shard does not read its mail. */
#include "shards/control/control_internal.h"
#include "shards/streaming/alone.h"
#include "tests/unit/shards/streaming/scene.h"

#include "core/base/memory.h"

enum { SHARD, CONTROL, THREADS, PUBLISHES_MAX = 1 << 20 };

struct rig {
    struct post_office office;
    struct server_options options;
    struct snapshot snapshot;
    struct control control;
    struct scene scene;
    struct alone alone;
};

static struct rig *rig_open(void)
{
    struct rig *rig = memory_new(sizeof *rig);
    cr_assert_not_null(rig);
    cr_assert_eq(post_office_init(&rig->office, THREADS, MAILBOX_BYTES_LEAST), ERR_OK);
    static char cluster_id[] = "test-cluster";
    rig->options.streaming.cluster_id = cluster_id;
    rig->snapshot.options = &rig->options;
    rig->control.post = (struct post){.office = &rig->office, .self = CONTROL};
    rig->control.snapshot = &rig->snapshot;
    rig->control.shard_count = 1;
    rig->control.state = CONTROL_RUNNING;
    cr_assert_eq(desk_open(&rig->control.desk, 0), ERR_OK);
    rig->scene = scene_new();
    scene_open(&rig->scene, NULL);
    cr_assert(alone_listen(&rig->control, &rig->alone, rig->scene.machine));
    return rig;
}

static void rig_close(struct rig *rig)
{
    desk_forget(&rig->control.desk, &rig->alone.listener);
    desk_close(&rig->control.desk);
    timers_close(&rig->control.timers);
    scene_close(&rig->scene);
    post_office_close(&rig->office);
    memory_free(rig);
}

static void full(struct rig *rig)
{
    struct bytes body = TEXT("x");
    uint32_t count = 0;
    while (count < PUBLISHES_MAX && desk_publish(&rig->control, 0, TEXT("s"), TEXT(""), &body, 1) == 1)
        count++;
    cr_assert(count < PUBLISHES_MAX);
}

static void count_asks(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct mail_publish publish;
    (void)from;
    if (bytes < sizeof publish)
        return;
    memcpy(&publish, mail, sizeof publish);
    *(uint32_t *)context += publish.kind == MAIL_PUBLISH && publish.reply_count == ALONE_INBOX_BYTES;
}

/* The shard reads its mail. */
static uint32_t asks(struct rig *rig)
{
    struct post shard = {.office = &rig->office, .self = SHARD};
    uint32_t count = 0;
    post_flush(&rig->control.post);
    post_drain(&shard, count_asks, &count);
    return count;
}

/* The timer is due; how long it was set for. */
static int64_t due(struct rig *rig)
{
    int64_t before_ns = rig->control.now_ns;
    rig->control.now_ns = timers_next_ns(&rig->control.timers);
    cr_assert_eq(timers_expired(&rig->control.timers, rig->control.now_ns), &rig->alone.timer);
    alone_due(&rig->control, &rig->alone);
    return rig->control.now_ns - before_ns;
}

Test(alone, what_finds_no_room_is_asked_again_and_ends_nothing)
{
    struct rig *rig = rig_open();
    (void)asks(rig);
    full(rig);
    alone_ask(&rig->control, &rig->alone, false);
    for (int i = 0; i < 3; i++)
        due(rig);
    cr_expect_eq(rig->control.state, CONTROL_RUNNING);
    cr_expect_not(rig->alone.known, "nobody can have answered");
    cr_expect_eq(asks(rig), 0);
    due(rig);
    cr_expect_eq(asks(rig), 1);
    rig_close(rig);
}

Test(alone, a_time_without_room_is_not_one_of_those_that_are_asked)
{
    struct rig *rig = rig_open();
    uint32_t count = 0;
    alone_ask(&rig->control, &rig->alone, true);
    count += asks(rig);
    int64_t pause_ns = due(rig);
    full(rig);
    cr_expect_eq(due(rig), pause_ns);
    due(rig);
    count += asks(rig);
    while (rig->alone.asks_left > 0) {
        due(rig);
        count += asks(rig);
    }
    cr_expect_eq(count, 10);
    rig_close(rig);
}
