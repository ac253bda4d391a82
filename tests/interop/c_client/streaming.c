/* tests/interop/c_client/streaming.c - clients and listeners of NATS Streaming: streaming.h. */
#include "tests/interop/c_client/streaming.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RECONNECT_WAIT_MS = 50,
    RECONNECTS_MAX = 300,
    PING_S = 1,
    PINGS_OUT_MAX = 100, /* the server may be away for a moment */
    LISTENERS_MAX = 8,
    NUMBER_BYTES = 16,
};

static natsStatus stream_options(stanConnOptions **options, const char *url);
static natsStatus listening_options(stanSubOptions **options, const struct listening *how);
static void message_came(stanConnection *connection, stanSubscription *subscription, const char *channel,
                         stanMsg *message, void *closure);
static void no_more_comes(void *closure);
static void listener_end(struct run *run, struct listener *listener, natsStatus (*end)(stanSubscription *));

stanConnection *stream_connect(struct run *run, const char *url, const char *client)
{
    stanConnection *connection = NULL;
    stanConnOptions *options = NULL;
    if (!EXPECT_OK(run, stream_options(&options, url))) {
        return NULL;
    }
    /* The port may accept before streaming is served, and that of a killed server until its ring is taken
     * apart. */
    int64_t give_up_ms = now_ms() + STREAM_WAIT_MS;
    natsStatus status = stanConnection_Connect(&connection, "test-cluster", client, options);
    while (status != NATS_OK && now_ms() < give_up_ms) {
        sleep_ms(20);
        status = stanConnection_Connect(&connection, "test-cluster", client, options);
    }
    stanConnOptions_Destroy(options);
    EXPECT_STATUS(run, status, NATS_OK);
    return connection;
}

static natsStatus stream_options(stanConnOptions **options, const char *url)
{
    natsOptions *plain = NULL;
    natsStatus status = natsOptions_Create(&plain);
    if (status == NATS_OK) {
        status = natsOptions_SetURL(plain, url);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetReconnectWait(plain, RECONNECT_WAIT_MS);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetReconnectJitter(plain, 0, 0);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetMaxReconnect(plain, RECONNECTS_MAX);
    }
    if (status == NATS_OK) {
        status = options_secure(plain);
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
    natsOptions_Destroy(plain);
    return status;
}

void stream_close(stanConnection *connection)
{
    if (connection != NULL) {
        stanConnection_Close(connection);
        stanConnection_Destroy(connection);
    }
}

bool stream_reconnected(struct run *run, stanConnection *connection)
{
    natsConnection *plain = NULL;
    if (!EXPECT_OK(run, stanConnection_GetNATSConnection(connection, &plain))) {
        return false;
    }
    int64_t give_up_ms = now_ms() + STREAM_RECONNECT_MS;
    natsStatus status = natsConnection_FlushTimeout(plain, STREAM_QUIET_MS);
    while (status != NATS_OK && now_ms() < give_up_ms) {
        sleep_ms(20);
        status = natsConnection_FlushTimeout(plain, STREAM_QUIET_MS);
    }
    stanConnection_ReleaseNATSConnection(connection);
    return EXPECT_STATUS(run, status, NATS_OK);
}

bool stream_store(struct run *run, stanConnection *connection, const char *channel, int from, int to)
{
    for (int i = from; i <= to; i++) {
        char text[NUMBER_BYTES];
        int count = snprintf(text, sizeof(text), "%d", i);
        if (!EXPECT_OK(run, stanConnection_Publish(connection, channel, text, count))) {
            return false;
        }
    }
    return true;
}

bool listener_open(struct run *run, struct listener *listener, stanConnection *connection,
                   const char *channel, const struct listening *how)
{
    stanSubOptions *options = NULL;
    *listener = (struct listener){0};
    if (!EXPECT_OK(run, listening_options(&options, how)) || !EXPECT(run, pipe(listener->ends) == 0)) {
        stanSubOptions_Destroy(options);
        return false;
    }
    natsStatus status = how->group == NULL
                            ? stanConnection_Subscribe(&listener->subscription, connection, channel,
                                                       message_came, listener, options)
                            : stanConnection_QueueSubscribe(&listener->subscription, connection, channel,
                                                            how->group, message_came, listener, options);
    stanSubOptions_Destroy(options);
    if (status != NATS_OK) {
        close(listener->ends[0]);
        close(listener->ends[1]);
    }
    return EXPECT_STATUS(run, status, NATS_OK) &&
           EXPECT_OK(run, stanSubscription_SetOnCompleteCB(listener->subscription, no_more_comes, listener));
}

static natsStatus listening_options(stanSubOptions **options, const struct listening *how)
{
    natsStatus status = stanSubOptions_Create(options);
    if (status == NATS_OK && how->durable != NULL) {
        status = stanSubOptions_SetDurableName(*options, how->durable);
    }
    if (status == NATS_OK && how->manual) {
        status = stanSubOptions_SetManualAckMode(*options, true);
    }
    if (status == NATS_OK && how->ack_wait_ms != 0) {
        status = stanSubOptions_SetAckWait(*options, how->ack_wait_ms);
    }
    if (status == NATS_OK && how->in_flight != 0) {
        status = stanSubOptions_SetMaxInflight(*options, how->in_flight);
    }
    if (status == NATS_OK && how->all) {
        status = stanSubOptions_DeliverAllAvailable(*options);
    }
    if (status == NATS_OK && how->last) {
        status = stanSubOptions_StartWithLastReceived(*options);
    }
    if (status == NATS_OK && how->sequence != 0) {
        status = stanSubOptions_StartAtSequence(*options, how->sequence);
    }
    if (status == NATS_OK && how->time_ms != 0) {
        status = stanSubOptions_StartAtTime(*options, how->time_ms);
    }
    if (status == NATS_OK && how->delta_ms != 0) {
        status = stanSubOptions_StartAtTimeDelta(*options, how->delta_ms);
    }
    return status;
}

/* On a thread of the library. */
static void message_came(stanConnection *connection, stanSubscription *subscription, const char *channel,
                         stanMsg *message, void *closure)
{
    const struct listener *listener = closure;
    (void)connection;
    (void)subscription;
    (void)channel;
    if (write(listener->ends[1], &message, sizeof(message)) != (ssize_t)sizeof(message)) {
        abort();
    }
}

static void no_more_comes(void *closure)
{
    message_came(NULL, NULL, NULL, NULL, closure);
}

void listener_close(struct run *run, struct listener *listener)
{
    listener_end(run, listener, stanSubscription_Close);
}

void listener_unsubscribe(struct run *run, struct listener *listener)
{
    listener_end(run, listener, stanSubscription_Unsubscribe);
}

static void listener_end(struct run *run, struct listener *listener, natsStatus (*end)(stanSubscription *))
{
    if (listener->subscription == NULL) {
        return;
    }
    EXPECT_STATUS(run, end(listener->subscription), NATS_OK);
    struct pollfd readable = {.fd = listener->ends[0], .events = POLLIN};
    stanMsg *message = NULL;
    bool open = true;
    while (open && EXPECT(run, poll(&readable, 1, STREAM_WAIT_MS) == 1) &&
           EXPECT(run, read(readable.fd, &message, sizeof(message)) == (ssize_t)sizeof(message))) {
        open = message != NULL;
        stanMsg_Destroy(message);
    }
    stanSubscription_Destroy(listener->subscription);
    close(listener->ends[0]);
    close(listener->ends[1]);
    *listener = (struct listener){0};
}

stanMsg *listener_take(struct listener *listeners, int count, int wait_ms, int *which)
{
    struct pollfd readable[LISTENERS_MAX];
    stanMsg *message = NULL;
    for (int i = 0; i < count && i < LISTENERS_MAX; i++) {
        readable[i] = (struct pollfd){.fd = listeners[i].ends[0], .events = POLLIN};
    }
    if (count > LISTENERS_MAX || poll(readable, (nfds_t)count, wait_ms) <= 0) {
        return NULL;
    }
    *which = 0;
    while ((readable[*which].revents & POLLIN) == 0) {
        ++*which;
    }
    return read(readable[*which].fd, &message, sizeof(message)) == (ssize_t)sizeof(message) ? message : NULL;
}

bool listener_sequence(struct run *run, struct listener *listener, bool manual, int from, int to)
{
    for (int i = from; i <= to; i++) {
        int which = 0;
        stanMsg *message = listener_take(listener, 1, STREAM_WAIT_MS, &which);
        if (!EXPECT(run, message != NULL)) {
            return false;
        }
        char text[NUMBER_BYTES];
        int count = snprintf(text, sizeof(text), "%d", i);
        bool right = EXPECT(run, stanMsg_GetSequence(message) == (uint64_t)i) &&
                     EXPECT(run, stanMsg_GetDataLength(message) == count) &&
                     EXPECT(run, memcmp(stanMsg_GetData(message), text, (size_t)count) == 0) &&
                     EXPECT(run, !stanMsg_IsRedelivered(message)) &&
                     (!manual || EXPECT_OK(run, stanSubscription_AckMsg(listener->subscription, message)));
        stanMsg_Destroy(message);
        if (!right) {
            return false;
        }
    }
    return true;
}

bool listener_silent(struct run *run, struct listener *listener)
{
    int which = 0;
    stanMsg *message = listener_take(listener, 1, STREAM_QUIET_MS, &which);
    stanMsg_Destroy(message);
    return EXPECT(run, message == NULL);
}
