/* tests/unit/shards/streaming/test_registry.c - several groups on one node: three machines on one store, each
 * with a log of its own that the test commits when it likes. The first one knows who is connected. */
#include "shards/streaming/groups.h"
#include "shards/streaming/state.h"
#include "tests/unit/shards/streaming/scene.h"

#include "core/base/memory.h"

#include <stdio.h>

enum { GROUPS = 3, ENTRIES_MAX = 64 };

struct entry {
    uint8_t *bytes;
    size_t count;
};

/* Of the machine of one group. */
struct log {
    struct entry entries[ENTRIES_MAX];
    uint64_t count, applied;
    bool holds; /* nothing is committed */
    bool leads;
};

struct rig {
    struct scene scenes[GROUPS]; /* first, so that a scene knows its rig */
    struct log logs[GROUPS];
};

static struct rig *all; /* one per test: Criterion runs each in a process of its own */

static void propose(struct scene *scene, struct bytes command)
{
    struct log *log = &all->logs[scene - all->scenes];
    cr_assert(log->count < ENTRIES_MAX);
    struct entry *entry = &log->entries[log->count++];
    entry->count = command.count;
    entry->bytes = memory_copy(command.data, command.count);
    cr_assert_not_null(entry->bytes);
}

static bool settle(struct scene *scene)
{
    struct log *log = &all->logs[scene - all->scenes];
    bool any = false;
    for (; !log->holds && log->applied < log->count; any = true) {
        const struct entry *entry = &log->entries[log->applied++];
        cr_assert_eq(streaming_apply(scene->machine, scene->now, log->applied,
                                     bytes_of(entry->bytes, entry->count), log->leads),
                     ERR_OK);
    }
    return any;
}

/* All that they have to say to each other is said. */
static void steps(struct rig *rig)
{
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < GROUPS; i++)
            scene_step(&rig->scenes[i]);
    }
}

static void lead(struct rig *rig, int group, bool leads)
{
    rig->logs[group].leads = leads;
    streaming_lead(rig->scenes[group].machine, rig->scenes[group].now, leads);
    steps(rig);
}

static struct rig *rig_open(uint32_t channels_max)
{
    char why[STORE_WHY_BYTES] = "";
    all = memory_new(sizeof *all);
    cr_assert_not_null(all);
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct scene *scene = &all->scenes[i];
        *scene = scene_new();
        scene->propose = propose;
        scene->settle = settle;
        scene->setup.replicated = true;
        scene->setup.channels_max = channels_max;
        scene->setup.seed = i;
        scene->setup.group = i;
        scene->setup.group_count = GROUPS;
        if (i == 0) {
            scene_open_as(scene, NULL);
            continue;
        }
        scene->store = all->scenes[0].store;
        scene->setup.store = scene->store;
        scene->setup.registry = all->scenes[0].machine;
        scene->setup.now = scene->now;
        scene->outputs = memory_new(SCENE_OUTPUTS_MAX * sizeof *scene->outputs);
        cr_assert_not_null(scene->outputs);
        cr_assert_eq(streaming_new(&scene->machine, &scene->setup, why, sizeof why), ERR_OK, "%s", why);
    }
    for (int i = 0; i < GROUPS; i++)
        lead(all, i, true);
    return all;
}

static void rig_close(struct rig *rig)
{
    for (int i = GROUPS - 1; i > 0; i--) {
        streaming_free(rig->scenes[i].machine);
        memory_free(rig->scenes[i].outputs);
    }
    scene_close(&rig->scenes[0]);
    for (int i = 0; i < GROUPS; i++) {
        for (uint64_t at = 0; at < rig->logs[i].count; at++)
            memory_free(rig->logs[i].entries[at].bytes);
    }
    memory_free(rig);
}

/* How many answers there are, but for those that were looked at. */
static uint32_t answers(const struct rig *rig)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig->scenes[0].count; i++)
        count += strncmp(rig->scenes[0].outputs[i].subject, "answer.", 7) == 0;
    return count;
}

static bool knows(const struct rig *rig, int group, const char *id)
{
    return client_find(rig->scenes[group].machine, text(id)) != NULL;
}

/* A channel of that group. */
static const char *channel_of(uint32_t group)
{
    static char name[16];
    for (int i = 0; i < 100; i++) {
        int count = snprintf(name, sizeof name, "c%d", i);
        if (groups_of_channel(bytes_of(name, (size_t)count), GROUPS) == group)
            break;
    }
    return name;
}

static struct scene_wish wish_of(const char *channel)
{
    return (struct scene_wish){
        .client_id = "me", .channel = channel, .inbox = "in", .in_flight = 10, .ack_wait_seconds = 30};
}

Test(registry, a_connect_is_answered_when_all_groups_know)
{
    struct rig *rig = rig_open(0);
    rig->logs[1].holds = rig->logs[2].holds = true;
    cr_expect_null(scene_connect(&rig->scenes[0], "me"));
    steps(rig);
    cr_expect(knows(rig, 0, "me") && !knows(rig, 1, "me"));
    rig->logs[1].holds = false;
    steps(rig);
    cr_expect(knows(rig, 1, "me") && !knows(rig, 2, "me"));
    cr_expect_eq(answers(rig), 0);
    rig->logs[2].holds = false;
    steps(rig);
    cr_expect_eq(answers(rig), 1);
    rig_close(rig);
}

Test(registry, a_close_is_answered_when_nobody_has_it)
{
    struct rig *rig = rig_open(0);
    char ack_inbox[SCENE_TEXT_BYTES];
    cr_expect_null(scene_connect(&rig->scenes[0], "me"));
    steps(rig);
    const char *channel = channel_of(1);
    struct scene_wish wish = wish_of(channel);
    cr_assert_str_eq(scene_subscribe(&rig->scenes[1], &wish, ack_inbox), "");
    rig->logs[1].holds = true;
    cr_expect_null(scene_close_client(&rig->scenes[0], "me"));
    steps(rig);
    cr_expect_eq(answers(rig), 1, "the connect's");
    cr_expect_not(knows(rig, 2, "me"));
    rig->logs[1].holds = false;
    steps(rig);
    cr_expect_eq(answers(rig), 2);
    cr_expect_not_null(channel_find(rig->scenes[1].machine, text(channel)));
    cr_expect_eq(channel_find(rig->scenes[1].machine, text(channel))->subscription_count, 0);
    rig_close(rig);
}

Test(registry, who_is_on_the_way_to_a_group_may_ask_there)
{
    struct rig *rig = rig_open(0);
    rig->logs[1].holds = true;
    cr_expect_null(scene_connect(&rig->scenes[0], "me"));
    steps(rig);
    cr_expect_null(scene_publish(&rig->scenes[1], "me", channel_of(1)), "it is in the log behind the client");
    cr_expect_str_eq(scene_publish(&rig->scenes[1], "you", channel_of(1)), "stan: invalid publish request");
    rig->logs[1].holds = false;
    steps(rig);
    cr_expect_eq(channel_find(rig->scenes[1].machine, text(channel_of(1)))->last_sequence, 1);
    rig_close(rig);
}

Test(registry, a_new_leader_compares)
{
    struct rig *rig = rig_open(0);
    cr_expect_null(scene_connect(&rig->scenes[0], "goes"));
    cr_expect_null(scene_connect(&rig->scenes[0], "stays"));
    steps(rig);
    lead(rig, 1, false);
    cr_expect_null(scene_close_client(&rig->scenes[0], "goes"));
    cr_expect_null(scene_connect(&rig->scenes[0], "comes"));
    steps(rig);
    cr_expect(knows(rig, 1, "goes") && !knows(rig, 1, "comes"));
    cr_expect_eq(answers(rig), 2);
    lead(rig, 1, true);
    cr_expect(!knows(rig, 1, "goes") && knows(rig, 1, "stays") && knows(rig, 1, "comes"));
    cr_expect_eq(answers(rig), 4);
    rig_close(rig);
}

static uint32_t leaving(const struct rig *rig, int group, const char *const *ids, uint32_t count)
{
    uint32_t those = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct streaming_client *client = client_find(rig->scenes[group].machine, text(ids[i]));
        cr_assert_not_null(client);
        those += client->leaving;
    }
    return those;
}

/* The log has room for one entry, and the rest waits. */
Test(registry, a_client_is_settled_only_when_its_end_is_in_the_log)
{
    static const char *const ids[] = {"one", "two", "three"};
    struct rig *rig = rig_open(0);
    struct streaming *machine = rig->scenes[1].machine;
    for (uint32_t i = 0; i < COUNT_OF(ids); i++)
        cr_expect_null(scene_connect(&rig->scenes[0], ids[i]));
    steps(rig);
    lead(rig, 1, false);
    rig->logs[1].holds = true;
    cr_expect_null(scene_close_client(&rig->scenes[0], "one"));
    cr_expect_null(scene_close_client(&rig->scenes[0], "two"));
    steps(rig);
    machine->waiting_bytes += HELD_BYTES_MAX;
    lead(rig, 1, true);
    cr_expect_eq(leaving(rig, 1, ids, COUNT_OF(ids)), 1, "of the two that have gone");
    cr_expect_null(scene_close_client(&rig->scenes[0], "three"));
    steps(rig);
    cr_expect_eq(leaving(rig, 1, ids, COUNT_OF(ids)), 1, "of all three");
    machine->waiting_bytes -= HELD_BYTES_MAX;
    rig->logs[1].holds = false;
    steps(rig);
    for (uint32_t i = 0; i < COUNT_OF(ids); i++)
        cr_expect_not(knows(rig, 1, ids[i]), "%s", ids[i]);
    rig_close(rig);
}

/* The registry of the node that leads the group is behind: others know more. */
Test(registry, what_the_registry_has_not_heard_of_yet_stays)
{
    struct rig *rig = rig_open(0);
    struct command command = {
        .kind = COMMAND_CLIENT_KNOWN,
        .client_known = {.info = {.id = TEXT("me"), .heartbeat_inbox = TEXT("hb")}, .added_index = 50}};
    client_known_applied(rig->scenes[1].machine, &command);
    lead(rig, 1, false);
    lead(rig, 1, true);
    cr_expect(knows(rig, 1, "me"));
    rig_close(rig);
}

Test(registry, what_is_said_late_or_twice_does_no_harm)
{
    struct rig *rig = rig_open(0);
    struct streaming *machine = rig->scenes[1].machine;
    struct command known = {
        .kind = COMMAND_CLIENT_KNOWN,
        .client_known = {
            .info = {.id = TEXT("me"), .heartbeat_inbox = TEXT("hb"), .connection_id = TEXT("new")},
            .added_index = 50}};
    client_known_applied(machine, &known);
    client_known_applied(machine, &known);
    known.client_known.added_index = 40;
    known.client_known.info.connection_id = TEXT("old");
    client_known_applied(machine, &known);
    cr_expect_not_null(client_find_connection(machine, TEXT("new")));
    cr_expect_null(client_find_connection(machine, TEXT("old")));
    struct command gone = {.kind = COMMAND_CLIENT_GONE, .client_gone = {.id = TEXT("me"), .added_index = 40}};
    client_gone_applied(machine, &gone);
    cr_expect(knows(rig, 1, "me"));
    gone.client_gone.added_index = 50;
    client_gone_applied(machine, &gone);
    client_gone_applied(machine, &gone);
    cr_expect_not(knows(rig, 1, "me"));
    rig_close(rig);
}

Test(registry, each_group_takes_what_is_its_own)
{
    struct rig *rig = rig_open(0);
    char ack_inbox[SCENE_TEXT_BYTES];
    cr_expect_null(scene_connect(&rig->scenes[0], "me"));
    steps(rig);
    for (uint32_t of = 0; of < GROUPS; of++) {
        struct scene_wish wish = wish_of(channel_of(of));
        for (uint32_t to = 0; to < GROUPS; to++) {
            const char *answer = scene_subscribe(&rig->scenes[to], &wish, ack_inbox);
            cr_expect((answer != NULL) == (of == to), "a channel of group %u in group %u", of, to);
            cr_expect_eq(channel_find(rig->scenes[to].machine, text(channel_of(of))) != NULL, of == to);
        }
    }
    for (int to = 0; to < GROUPS; to++) {
        scene_request(&rig->scenes[to], STREAMING_REQUEST_SUBSCRIBE, "", "reply", (const uint8_t *)"\xff", 1);
        cr_expect_eq(scene_count(&rig->scenes[to], "reply"), to == 0, "what cannot be read, in group %d", to);
        scene_request(&rig->scenes[to], STREAMING_REQUEST_PING, "", "pong", (const uint8_t *)"\x0a\x01x", 3);
        cr_expect_eq(scene_count(&rig->scenes[to], "pong"), to == 0, "a ping in group %d", to);
    }
    rig_close(rig);
}

Test(registry, the_limit_on_channels_is_of_all_groups)
{
    struct rig *rig = rig_open(2);
    cr_expect_null(scene_connect(&rig->scenes[0], "me"));
    steps(rig);
    cr_expect_str_eq(scene_publish(&rig->scenes[0], "me", channel_of(0)), "");
    cr_expect_str_eq(scene_publish(&rig->scenes[1], "me", channel_of(1)), "");
    cr_expect_str_eq(scene_publish(&rig->scenes[2], "me", channel_of(2)), "too many channels");
    cr_expect_str_eq(scene_publish(&rig->scenes[1], "me", channel_of(1)), "");
    rig_close(rig);
}
