/* tests/interop/c_client/history.c - what tests/interop/go/history.go does, by libnats: a publisher and a
 * durable subscriber that go on while leaders of a cluster die. In the flow: main() -> history_play(); the
 * library's threads -> a pipe of events -> history_loop(), which prints, acknowledges and publishes, and
 * obeys stdin. */
#include "tests/interop/c_client/streaming.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WINDOW_COUNT = 16,   /* publishes that wait for their acknowledgement */
    AHEAD_COUNT = 200,   /* acknowledged publishes in front of the slower durable */
    ACK_WAIT_MS = 1000,  /* then a publish has failed; a delivery is repeated */
    POLL_MS = 20,        /* then a publish that was refused at once is followed by the next */
    ANSWER_MS = 10000,   /* in which a client that connects is answered */
    RECONNECT_MS = 50,   /* between two tries, for as long as it takes */
    PING_S = 1,          /* the least that there is */
    PINGS_OUT_MAX = 100, /* there may be no leader for a moment */
    SERVERS_MAX = 8,     /* more are not looked for */
    DURABLES = 2,
    CLIENT_BYTES = 64,
    LINE_BYTES = 64,
    NUMBER_BYTES = 16,
};

static const struct {
    const char *name;
    int in_flight;
} durables[DURABLES] = {{"one", 1}, {"many", 64}};

struct history;

/* Who a message is for. */
struct source {
    struct history *history;
    int durable; /* DURABLES: none, the reader */
    int round;   /* of subscribing: messages of the one before may still lie in the pipe */
};

/* One write, below PIPE_BUF, so no two of them mix. */
struct event {
    enum { EVENT_ACKNOWLEDGED, EVENT_FAILED, EVENT_DELIVERED, EVENT_LOST } kind;
    const struct source *source; /* of what was delivered */
    stanMsg *message;            /* the reader's of the pipe */
    int number;                  /* of a publish */
};

struct publication {
    struct history *history;
    int number; /* 0: free */
};

struct history {
    struct run run;
    const char *name; /* of the channel, and the start of the clients' */
    int ends[2];      /* the pipe */
    stanConnection *publisher;
    stanConnection *subscriber;
    stanConnection *reader; /* NULL before the replay */
    stanSubscription *subscriptions[DURABLES];
    stanSubscription *replay;
    struct source sources[2][DURABLES]; /* of this round of subscribing, and of the one before */
    struct source replay_source;
    struct publication waiting[WINDOW_COUNT];
    int published_count;
    int waiting_count;
    uint64_t acknowledged_count;
    uint64_t passed_seq; /* the last that the durable with one in flight has had */
    int round;
    bool stopping;
    bool stopped; /* and said so */
    bool refused; /* the last publish was refused at once */
    bool lost;
};

static bool history_subscribe(struct history *h);
static stanConnection *history_connect(struct history *h, const char *client);
static bool history_loop(struct history *h);
static void history_unsubscribe(struct history *h);
static bool history_subscribe_one(struct history *h, struct source *source);
static natsStatus history_options(struct history *h, stanConnOptions **options);
static void history_publish(struct history *h);
static void history_handle(struct history *h, const struct event *event);
static bool line_read(char *line);
static bool history_obey(struct history *h, const char *line);
static void when_delivered(stanConnection *connection, stanSubscription *subscription, const char *channel,
                           stanMsg *message, void *closure);
static natsStatus history_servers(const char *urls, natsOptions *options);
static void when_lost(stanConnection *connection, const char *reason, void *closure);
static void when_acknowledged(const char *guid, const char *error, void *closure);
static void history_answered(struct history *h, int number, bool acknowledged);
static void history_delivered(struct history *h, const struct source *source, stanMsg *message);
static bool history_replay(struct history *h);
static void event_send(const struct history *h, struct event event);

int history_play(const char *urls, const char *name)
{
    struct history h = {.run = {.url = urls, .scenario = "history"}, .name = name};
    if (pipe(h.ends) != 0) {
        perror("pipe");
        return 1;
    }
    bool good = history_subscribe(&h);
    h.publisher = good ? history_connect(&h, "publisher") : NULL;
    if (h.publisher != NULL) {
        printf("ready\n");
        good = history_loop(&h);
    }
    stanSubscription_Destroy(h.replay);
    stream_close(h.reader);
    stream_close(h.publisher);
    history_unsubscribe(&h);
    nats_Close();
    return good && h.run.failures == 0 ? 0 : 1;
}

static bool history_subscribe(struct history *h)
{
    h->round++;
    h->subscriber = history_connect(h, "subscriber");
    bool good = h->subscriber != NULL;
    for (int i = 0; good && i < DURABLES; i++) {
        struct source *source = &h->sources[h->round % 2][i];
        *source = (struct source){.history = h, .durable = i, .round = h->round};
        good = history_subscribe_one(h, source);
    }
    return good;
}

/* Asks again where nobody answers. */
static stanConnection *history_connect(struct history *h, const char *client)
{
    char id[CLIENT_BYTES];
    stanConnOptions *options = NULL;
    stanConnection *connection = NULL;
    snprintf(id, sizeof(id), "%s-%s", h->name, client);
    if (EXPECT_OK(&h->run, history_options(h, &options))) {
        int64_t give_up_ms = now_ms() + ANSWER_MS;
        natsStatus status = stanConnection_Connect(&connection, "test-cluster", id, options);
        while (status != NATS_OK && now_ms() < give_up_ms) {
            sleep_ms(POLL_MS);
            status = stanConnection_Connect(&connection, "test-cluster", id, options);
        }
        EXPECT_STATUS(&h->run, status, NATS_OK);
    }
    stanConnOptions_Destroy(options);
    return connection;
}

/* Until stdin ends; false: the program must. */
static bool history_loop(struct history *h)
{
    struct pollfd readable[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                 {.fd = h->ends[0], .events = POLLIN}};
    while (!h->lost) {
        history_publish(h);
        if (h->stopping && !h->stopped && h->waiting_count == 0) {
            h->stopped = true;
            printf("stopped\n");
        }
        if (poll(readable, 2, POLL_MS) < 0) {
            return false;
        }
        struct event event;
        if (readable[1].revents != 0 && read(h->ends[0], &event, sizeof(event)) == (ssize_t)sizeof(event)) {
            history_handle(h, &event);
        }
        char line[LINE_BYTES];
        if (readable[0].revents != 0) {
            if (!line_read(line)) {
                return true;
            }
            if (!history_obey(h, line)) {
                return false;
            }
        }
    }
    return false;
}

/* Leaves what is still in the pipe, which is of an older round then and was not acknowledged. */
static void history_unsubscribe(struct history *h)
{
    if (h->subscriber != NULL) {
        EXPECT_OK(&h->run, stanConnection_Close(h->subscriber));
    }
    for (int i = 0; i < DURABLES; i++) {
        stanSubscription_Destroy(h->subscriptions[i]);
        h->subscriptions[i] = NULL;
    }
    stanConnection_Destroy(h->subscriber);
    h->subscriber = NULL;
}

static bool history_subscribe_one(struct history *h, struct source *source)
{
    int durable = source->durable;
    stanSubOptions *options = NULL;
    natsStatus status = stanSubOptions_Create(&options);
    if (status == NATS_OK) {
        status = stanSubOptions_SetDurableName(options, durables[durable].name);
    }
    if (status == NATS_OK) {
        status = stanSubOptions_SetManualAckMode(options, true);
    }
    if (status == NATS_OK) {
        status = stanSubOptions_SetMaxInflight(options, durables[durable].in_flight);
    }
    if (status == NATS_OK) {
        status = stanSubOptions_SetAckWait(options, ACK_WAIT_MS);
    }
    if (status == NATS_OK) {
        status = stanSubOptions_DeliverAllAvailable(options);
    }
    if (status == NATS_OK) {
        status = stanConnection_Subscribe(&h->subscriptions[durable], h->subscriber, h->name, when_delivered,
                                          source, options);
    }
    stanSubOptions_Destroy(options);
    return EXPECT_STATUS(&h->run, status, NATS_OK);
}

static natsStatus history_options(struct history *h, stanConnOptions **options)
{
    natsOptions *plain = NULL;
    natsStatus status = natsOptions_Create(&plain);
    if (status == NATS_OK) {
        status = history_servers(h->run.url, plain);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetReconnectWait(plain, RECONNECT_MS);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetReconnectJitter(plain, 0, 0);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetMaxReconnect(plain, -1);
    }
    if (status == NATS_OK) {
        status = stanConnOptions_Create(options);
    }
    if (status == NATS_OK) {
        status = stanConnOptions_SetNATSOptions(*options, plain);
    }
    if (status == NATS_OK) {
        status = stanConnOptions_SetPings(*options, PING_S, PINGS_OUT_MAX);
    }
    if (status == NATS_OK) {
        status = stanConnOptions_SetPubAckWait(*options, ACK_WAIT_MS);
    }
    if (status == NATS_OK) {
        status = stanConnOptions_SetConnectionLostHandler(*options, when_lost, h);
    }
    natsOptions_Destroy(plain);
    return status;
}

/* As many as may wait. */
static void history_publish(struct history *h)
{
    h->refused = false;
    for (int i = 0; i < WINDOW_COUNT && !h->stopping && !h->refused; i++) {
        struct publication *publication = &h->waiting[i];
        if (publication->number != 0 || h->acknowledged_count >= h->passed_seq + AHEAD_COUNT) {
            continue;
        }
        *publication = (struct publication){.history = h, .number = ++h->published_count};
        h->waiting_count++;
        char text[NUMBER_BYTES];
        int count = snprintf(text, sizeof(text), "%d", publication->number);
        natsStatus status =
            stanConnection_PublishAsync(h->publisher, h->name, text, count, when_acknowledged, publication);
        if (status != NATS_OK) {
            h->refused = true;
            history_handle(h, &(struct event){.kind = EVENT_FAILED, .number = publication->number});
        }
    }
}

static void history_handle(struct history *h, const struct event *event)
{
    switch (event->kind) {
    case EVENT_ACKNOWLEDGED:
    case EVENT_FAILED:
        history_answered(h, event->number, event->kind == EVENT_ACKNOWLEDGED);
        return;
    case EVENT_DELIVERED:
        history_delivered(h, event->source, event->message);
        stanMsg_Destroy(event->message);
        return;
    case EVENT_LOST:
        fprintf(stderr, "connection lost\n");
        h->lost = true;
        return;
    }
}

/* A byte at a time, so that nothing is read ahead which poll() then does not know of. */
static bool line_read(char *line)
{
    size_t count = 0;
    while (count < LINE_BYTES - 1 && read(STDIN_FILENO, line + count, 1) == 1) {
        if (line[count] == '\n') {
            line[count] = '\0';
            return true;
        }
        count++;
    }
    return false;
}

static bool history_obey(struct history *h, const char *line)
{
    if (strcmp(line, "resume") == 0) {
        history_unsubscribe(h);
        if (!history_subscribe(h)) {
            return false;
        }
        printf("resumed\n");
    } else if (strcmp(line, "stop") == 0) {
        h->stopping = true;
    } else if (strcmp(line, "replay") == 0) {
        return history_replay(h);
    }
    return true;
}

/* On a thread of the library, as all that begins with when_. */
static void when_delivered(stanConnection *connection, stanSubscription *subscription, const char *channel,
                           stanMsg *message, void *closure)
{
    const struct source *source = closure;
    (void)connection;
    (void)subscription;
    (void)channel;
    event_send(source->history,
               (struct event){.kind = EVENT_DELIVERED, .source = source, .message = message});
}

/* The library takes a list of one where it sets options. */
static natsStatus history_servers(const char *urls, natsOptions *options)
{
    const char *servers[SERVERS_MAX];
    char text[SERVERS_MAX * LINE_BYTES];
    char *rest = NULL;
    int count = 0;
    snprintf(text, sizeof(text), "%s", urls);
    for (char *url = strtok_r(text, ",", &rest); url != NULL && count < SERVERS_MAX;
         url = strtok_r(NULL, ",", &rest)) {
        servers[count++] = url;
    }
    return natsOptions_SetServers(options, servers, count);
}

static void when_lost(stanConnection *connection, const char *reason, void *closure)
{
    (void)connection;
    fprintf(stderr, "%s\n", reason);
    event_send(closure, (struct event){.kind = EVENT_LOST});
}

static void when_acknowledged(const char *guid, const char *error, void *closure)
{
    const struct publication *publication = closure;
    (void)guid;
    event_send(publication->history, (struct event){.kind = error == NULL ? EVENT_ACKNOWLEDGED : EVENT_FAILED,
                                                    .number = publication->number});
}

static void history_answered(struct history *h, int number, bool acknowledged)
{
    for (int i = 0; i < WINDOW_COUNT; i++) {
        if (h->waiting[i].number == number) {
            h->waiting[i].number = 0;
            h->waiting_count--;
        }
    }
    h->acknowledged_count += acknowledged;
    printf("%s %d\n", acknowledged ? "acknowledged" : "failed", number);
}

/* An acknowledgement that cannot be sent, or is lost, is a delivery that comes again. */
static void history_delivered(struct history *h, const struct source *source, stanMsg *message)
{
    unsigned long long seq = stanMsg_GetSequence(message);
    int text_bytes = stanMsg_GetDataLength(message);
    const char *text = stanMsg_GetData(message);
    int again = stanMsg_IsRedelivered(message);
    if (source->durable == DURABLES) {
        printf("replayed %llu %.*s %d\n", seq, text_bytes, text, again);
        return;
    }
    if (source->round != h->round) {
        return; /* its subscription is gone, and the next one gets it again */
    }
    printf("delivered %s %llu %.*s %d\n", durables[source->durable].name, seq, text_bytes, text, again);
    if (durables[source->durable].in_flight == 1 && seq > h->passed_seq) {
        h->passed_seq = seq;
    }
    stanSubscription_AckMsg(h->subscriptions[source->durable], message);
}

static bool history_replay(struct history *h)
{
    stanSubOptions *options = NULL;
    h->reader = history_connect(h, "reader");
    h->replay_source = (struct source){.history = h, .durable = DURABLES};
    if (h->reader == NULL || !EXPECT_OK(&h->run, stanSubOptions_Create(&options))) {
        return false;
    }
    natsStatus status = stanSubOptions_DeliverAllAvailable(options);
    if (status == NATS_OK) {
        status = stanConnection_Subscribe(&h->replay, h->reader, h->name, when_delivered, &h->replay_source,
                                          options);
    }
    stanSubOptions_Destroy(options);
    return EXPECT_STATUS(&h->run, status, NATS_OK);
}

/* On a thread of the library. The pipe holds some 2,000 events, more than can be on their way while the loop
 * waits for an answer: the publishes and the deliveries of two windows, and the 1,024 messages of a reader.
 */
static void event_send(const struct history *h, struct event event)
{
    if (write(h->ends[1], &event, sizeof(event)) != (ssize_t)sizeof(event)) {
        abort();
    }
}
