/* tests/interop/c_client/streaming_scenarios.c - what is checked of NATS Streaming, by Debian's C client: the
 * scenarios of `c-client --streaming`. Channels are named after their scenario, so that all of them can use
 * one server. */
#include "tests/interop/c_client/streaming.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ASYNC_PUBLISHES = 500,
    MEMBERS = 3,
    GROUP_MESSAGES = 60,
    REDELIVER_AFTER_MS = 2000,
    BETWEEN_MS = 700, /* a subscription by time has as long as that to reach the server */
    BEFORE_KILL = 40,
    AFTER_KILL = 20,
};

static bool each(struct run *run, struct listener *members, int from, int to);
static bool members_open(struct run *run, struct listener *members, stanConnection *client);
static void acknowledged(const char *guid, const char *error, void *closure);
static bool again(struct run *run, struct listener *listener, uint64_t sequence);
static int forget(const char *path, const struct stat *status, int kind, struct FTW *place);
static bool restart_before(struct run *run, struct listener *listeners, stanConnection *client);
static bool restart_after(struct run *run, struct listener *listeners, stanConnection *client);

void scenario_stream_publish(struct run *run)
{
    stanConnection *publisher = stream_connect(run, run->url, "c-publisher");
    stanConnection *subscriber = stream_connect(run, run->url, "c-subscriber");
    struct listener listener = {0};
    atomic_int good = 0;
    if (publisher != NULL && subscriber != NULL &&
        listener_open(run, &listener, subscriber, "c.publish", &(struct listening){0}) &&
        stream_store(run, publisher, "c.publish", 1, 3)) {
        for (int i = 4; i < 4 + ASYNC_PUBLISHES; i++) {
            char text[16];
            int count = snprintf(text, sizeof(text), "%d", i);
            EXPECT_OK(run,
                      stanConnection_PublishAsync(publisher, "c.publish", text, count, acknowledged, &good));
        }
        listener_sequence(run, &listener, false, 1, 3 + ASYNC_PUBLISHES);
        /* Its acknowledgement comes behind all the others. */
        EXPECT_STATUS(run, stanConnection_Publish(publisher, "c.*", "x", 1), NATS_ERR);
        EXPECT(run, strstr(nats_GetLastError(NULL), "stan: invalid publish request") != NULL);
        EXPECT(run, atomic_load(&good) == ASYNC_PUBLISHES);
    }
    listener_close(run, &listener);
    stream_close(publisher);
    stream_close(subscriber);
}

static void acknowledged(const char *guid, const char *error, void *closure)
{
    atomic_int *good = closure;
    if (guid != NULL && error == NULL) {
        atomic_fetch_add(good, 1);
    }
}

void scenario_stream_start_positions(struct run *run)
{
    stanConnection *client = stream_connect(run, run->url, "c-positions");
    if (client == NULL || !stream_store(run, client, "c.positions", 1, 3)) {
        stream_close(client);
        return;
    }
    struct timespec now = {0};
    sleep_ms(20); /* these put a time between the messages; nothing is waited for */
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t between_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    int64_t started_ms = now_ms();
    sleep_ms(BETWEEN_MS);
    stream_store(run, client, "c.positions", 4, 6);
    const struct {
        struct listening how;
        int first;
    } rows[] = {
        {{.delta_ms = now_ms() - started_ms}, 4},
        {{.all = true}, 1},
        {{.last = true}, 6},
        {{.sequence = 3}, 3},
        {{.time_ms = between_ms}, 4},
        {{.delta_ms = 3600 * 1000}, 1},
        {{.group = NULL}, 7}, /* new ones only */
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    struct listener listeners[ROWS] = {0};
    for (int i = 0; i < ROWS; i++) {
        if (listener_open(run, &listeners[i], client, "c.positions", &rows[i].how)) {
            listener_sequence(run, &listeners[i], false, rows[i].first, 6);
        }
    }
    stream_store(run, client, "c.positions", 7, 7);
    for (int i = 0; i < ROWS; i++) {
        if (listeners[i].subscription != NULL && listener_sequence(run, &listeners[i], false, 7, 7)) {
            listener_silent(run, &listeners[i]);
        }
        listener_close(run, &listeners[i]);
    }
    stream_close(client);
}

void scenario_stream_durable(struct run *run)
{
    const struct listening all = {.durable = "d", .all = true, .manual = true};
    const struct listening more = {.durable = "d", .manual = true};
    stanConnection *client = stream_connect(run, run->url, "c-durable");
    struct listener listener = {0};
    if (client != NULL && stream_store(run, client, "c.durable", 1, 4) &&
        listener_open(run, &listener, client, "c.durable", &all) &&
        listener_sequence(run, &listener, true, 1, 4)) {
        listener_close(run, &listener);
        stream_store(run, client, "c.durable", 5, 6);
        if (listener_open(run, &listener, client, "c.durable", &all)) {
            listener_sequence(run, &listener, true, 5, 6);
        }
        listener_close(run, &listener);
    }
    stream_close(client);
    client = stream_connect(run, run->url, "c-durable");
    if (client != NULL && stream_store(run, client, "c.durable", 7, 7) &&
        listener_open(run, &listener, client, "c.durable", &more) &&
        listener_sequence(run, &listener, true, 7, 7)) {
        listener_unsubscribe(run, &listener);
        if (listener_open(run, &listener, client, "c.durable", &all)) {
            listener_sequence(run, &listener, true, 1, 7);
        }
    }
    listener_close(run, &listener);
    stream_close(client);
}

void scenario_stream_queue_group(struct run *run)
{
    stanConnection *publisher = stream_connect(run, run->url, "c-group-publisher");
    stanConnection *clients[MEMBERS] = {0};
    struct listener members[MEMBERS] = {0};
    struct listener plain = {0};
    bool ready =
        publisher != NULL && listener_open(run, &plain, publisher, "c.group", &(struct listening){0});
    for (int i = 0; i < MEMBERS && ready; i++) {
        char name[32];
        snprintf(name, sizeof(name), "c-member-%d", i);
        clients[i] = stream_connect(run, run->url, name);
        ready = clients[i] != NULL &&
                listener_open(run, &members[i], clients[i], "c.group",
                              &(struct listening){.group = "workers", .in_flight = 5, .manual = true});
    }
    if (ready && stream_store(run, publisher, "c.group", 1, GROUP_MESSAGES)) {
        each(run, members, 1, GROUP_MESSAGES);
        listener_sequence(run, &plain, false, 1, GROUP_MESSAGES);
    }
    for (int i = 0; i < MEMBERS; i++) {
        listener_close(run, &members[i]);
        stream_close(clients[i]);
    }
    listener_close(run, &plain);
    stream_close(publisher);
}

/* Every number comes once over all members. */
static bool each(struct run *run, struct listener *members, int from, int to)
{
    bool seen[GROUP_MESSAGES + 1] = {0};
    bool right = true;
    for (int i = from; i <= to && right; i++) {
        int which = 0;
        stanMsg *message = listener_take(members, MEMBERS, STREAM_WAIT_MS, &which);
        if (!EXPECT(run, message != NULL)) {
            return false;
        }
        uint64_t sequence = stanMsg_GetSequence(message);
        right = EXPECT(run, sequence >= (uint64_t)from && sequence <= (uint64_t)to) &&
                EXPECT(run, !seen[sequence]) &&
                EXPECT_OK(run, stanSubscription_AckMsg(members[which].subscription, message));
        seen[right ? sequence : 0] = true;
        stanMsg_Destroy(message);
    }
    for (int i = 0; i < MEMBERS && right; i++) {
        right = listener_silent(run, &members[i]);
    }
    return right;
}

void scenario_stream_durable_queue_group(struct run *run)
{
    stanConnection *client = stream_connect(run, run->url, "c-durable-group");
    struct listener members[MEMBERS] = {0};
    if (client != NULL && stream_store(run, client, "c.durable.group", 1, 10) &&
        members_open(run, members, client) && each(run, members, 1, 10)) {
        for (int i = 0; i < MEMBERS; i++) {
            listener_close(run, &members[i]);
        }
        stream_store(run, client, "c.durable.group", 11, 20);
        if (members_open(run, members, client)) {
            each(run, members, 11, 20);
        }
        for (int i = 0; i < MEMBERS; i++) {
            listener_unsubscribe(run, &members[i]);
        }
        if (members_open(run, members, client)) {
            each(run, members, 1, 20);
        }
    }
    for (int i = 0; i < MEMBERS; i++) {
        listener_close(run, &members[i]);
    }
    stream_close(client);
}

static bool members_open(struct run *run, struct listener *members, stanConnection *client)
{
    const struct listening how = {.group = "workers", .durable = "d", .all = true, .manual = true};
    bool opened = true;
    for (int i = 0; i < MEMBERS && opened; i++) {
        opened = listener_open(run, &members[i], client, "c.durable.group", &how);
    }
    return opened;
}

void scenario_stream_redelivery(struct run *run)
{
    stanConnection *client = stream_connect(run, run->url, "c-redelivery");
    struct listener listener = {0};
    const struct listening how = {.manual = true, .ack_wait_ms = REDELIVER_AFTER_MS, .in_flight = 4};
    if (client != NULL && listener_open(run, &listener, client, "c.redelivery", &how) &&
        stream_store(run, client, "c.redelivery", 1, 6)) {
        for (uint64_t i = 1; i <= 4; i++) {
            int which = 0;
            stanMsg *message = listener_take(&listener, 1, STREAM_WAIT_MS, &which);
            EXPECT(run, message != NULL && stanMsg_GetSequence(message) == i);
            if (i == 1 || i == 3) {
                EXPECT_OK(run, stanSubscription_AckMsg(listener.subscription, message));
            }
            stanMsg_Destroy(message);
        }
        if (listener_sequence(run, &listener, true, 5, 6) && again(run, &listener, 2) &&
            again(run, &listener, 4)) {
            stream_store(run, client, "c.redelivery", 7, 7);
            listener_sequence(run, &listener, true, 7, 7);
        }
    }
    listener_close(run, &listener);
    stream_close(client);
}

/* The message comes once more, says so, and is acknowledged. */
static bool again(struct run *run, struct listener *listener, uint64_t sequence)
{
    int which = 0;
    stanMsg *message = listener_take(listener, 1, STREAM_WAIT_MS, &which);
    bool right = EXPECT(run, message != NULL) && EXPECT(run, stanMsg_GetSequence(message) == sequence) &&
                 EXPECT(run, stanMsg_IsRedelivered(message)) &&
                 EXPECT_OK(run, stanSubscription_AckMsg(listener->subscription, message));
    stanMsg_Destroy(message);
    return right;
}

void scenario_stream_clients(struct run *run)
{
    stanConnection *first = stream_connect(run, run->url, "c-same");
    stanConnection *second = NULL;
    stanConnOptions *options = NULL;
    struct listener listener = {0};
    EXPECT_OK(run, stanConnOptions_Create(&options));
    EXPECT_OK(run, stanConnOptions_SetURL(options, run->url));
    if (first != NULL && listener_open(run, &listener, first, "c.clients", &(struct listening){0})) {
        EXPECT_STATUS(run, stanConnection_Connect(&second, "test-cluster", "c-same", options), NATS_ERR);
        EXPECT(run, strstr(nats_GetLastError(NULL), "stan: clientID already registered") != NULL);
        listener_unsubscribe(run, &listener);
        stream_store(run, first, "c.clients", 1, 1);
        EXPECT_OK(run, stanConnection_Close(first));
        EXPECT_STATUS(run, stanConnection_Publish(first, "c.clients", "x", 1), NATS_CONNECTION_CLOSED);
        EXPECT_OK(run, stanConnection_Connect(&second, "test-cluster", "c-same", options));
    }
    stanConnOptions_Destroy(options);
    stream_close(first);
    stream_close(second);
}

/* The server is killed and started again on its port and its folder, while publishers and subscribers stay.
 */
void scenario_stream_restart(struct run *run)
{
    char folder[] = "/tmp/interop-c-XXXXXX";
    char words[64];
    char url[64];
    uint16_t port = port_free();
    if (!EXPECT(run, port != 0) || !EXPECT(run, mkdtemp(folder) != NULL)) {
        return;
    }
    snprintf(words, sizeof(words), "-st FILE -dir %s", folder);
    snprintf(url, sizeof(url), "nats://127.0.0.1:%d", port);
    pid_t server = server_start(run->server_binary, port, words);
    stanConnection *client = server > 0 ? stream_connect(run, url, "c-restart") : NULL;
    struct listener listeners[3] = {0};
    if (client != NULL && restart_before(run, listeners, client)) {
        server_kill(server);
        server = server_start(run->server_binary, port, words);
        /* A client that connects anew is answered when streaming is served again. */
        stanConnection *probe = server > 0 ? stream_connect(run, url, "c-probe") : NULL;
        stream_close(probe);
        if (EXPECT(run, probe != NULL) && stream_reconnected(run, client)) {
            restart_after(run, listeners, client);
        }
    }
    EXPECT(run, client != NULL);
    for (int i = 0; i < 3; i++) {
        listener_close(run, &listeners[i]);
    }
    stream_close(client);
    server_kill(server);
    EXPECT(run, nftw(folder, forget, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static int forget(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

/* A plain one, a durable that owes 7, and a durable that is closed. */
static bool restart_before(struct run *run, struct listener *listeners, stanConnection *client)
{
    const struct listening durable = {.durable = "d", .manual = true, .ack_wait_ms = REDELIVER_AFTER_MS};
    const struct listening closed = {.durable = "closed", .manual = true};
    if (!listener_open(run, &listeners[0], client, "c.restart", &(struct listening){.manual = true}) ||
        !listener_open(run, &listeners[1], client, "c.restart", &durable) ||
        !listener_open(run, &listeners[2], client, "c.restart", &closed) ||
        !stream_store(run, client, "c.restart", 1, BEFORE_KILL) ||
        !listener_sequence(run, &listeners[0], true, 1, BEFORE_KILL) ||
        !listener_sequence(run, &listeners[2], true, 1, BEFORE_KILL)) {
        return false;
    }
    for (uint64_t i = 1; i <= BEFORE_KILL; i++) {
        int which = 0;
        stanMsg *message = listener_take(&listeners[1], 1, STREAM_WAIT_MS, &which);
        bool right = EXPECT(run, message != NULL && stanMsg_GetSequence(message) == i) &&
                     (i == 7 || EXPECT_OK(run, stanSubscription_AckMsg(listeners[1].subscription, message)));
        stanMsg_Destroy(message);
        if (!right) {
            return false;
        }
    }
    listener_close(run, &listeners[2]);
    /* What was acknowledged before that answer is stored when this is. */
    return stream_store(run, client, "c.restart.behind", 1, 1);
}

static bool restart_after(struct run *run, struct listener *listeners, stanConnection *client)
{
    bool seven = false;
    if (!stream_store(run, client, "c.restart", BEFORE_KILL + 1, BEFORE_KILL + AFTER_KILL)) {
        return false;
    }
    for (uint64_t next = BEFORE_KILL + 1; next <= BEFORE_KILL + AFTER_KILL || !seven;) {
        int which = 0;
        stanMsg *message = listener_take(&listeners[1], 1, STREAM_WAIT_MS, &which);
        bool came = EXPECT(run, message != NULL) &&
                    EXPECT_OK(run, stanSubscription_AckMsg(listeners[1].subscription, message));
        bool older = came && stanMsg_IsRedelivered(message);
        bool right = came && EXPECT(run, stanMsg_GetSequence(message) == (older ? 7 : next)) &&
                     EXPECT(run, !older || !seven);
        stanMsg_Destroy(message);
        if (!right) {
            return false;
        }
        seven = seven || older;
        next += older ? 0 : 1;
    }
    const struct listening closed = {.durable = "closed", .manual = true};
    struct listener all = {0};
    bool right = listener_sequence(run, &listeners[0], true, BEFORE_KILL + 1, BEFORE_KILL + AFTER_KILL) &&
                 listener_open(run, &listeners[2], client, "c.restart", &closed) &&
                 listener_sequence(run, &listeners[2], true, BEFORE_KILL + 1, BEFORE_KILL + AFTER_KILL) &&
                 listener_open(run, &all, client, "c.restart", &(struct listening){.all = true}) &&
                 listener_sequence(run, &all, false, 1, BEFORE_KILL + AFTER_KILL);
    listener_close(run, &all);
    return right;
}
