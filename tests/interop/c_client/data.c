/* tests/interop/c_client/data.c - scenarios on what must not be lost or changed: headers, draining, ten
 * megabytes of mixed messages compared byte for byte, and a server that dies and comes back. */
#include "tests/interop/c_client/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_MS = 5000,
    QUIET_MS = 50,
    DRAIN_MESSAGES = 2000,
    MIXED_BYTES = 10 * 1024 * 1024,
    MIXED_MESSAGE_BYTES_MAX = 1024 * 1024, /* the default of max_payload, so the largest that may pass */
    MIXED_UNREAD_MAX = 64,                 /* messages sent ahead of the comparison */
    RECONNECT_WAIT_MS = 50,
    RECONNECT_MS_MAX = 15000,
    RECONNECT_MESSAGES = 100,
};

/* Sizes around what servers and kernels round to, small ones more often. */
static const int mixed_sizes[] = {0,     1,     16,    127,    128,   512,  1000, 4095,  4096,
                                  8191,  16384, 3,     65535,  65536, 2,    300,  32767, 100000,
                                  65537, 7,     40000, 262144, 11,    1024, 600,  20000, 2048};

static void fill_payload(char *payload, int payload_bytes, uint32_t number);
static int mixed_size(uint32_t number);
static natsStatus mixed_publish(natsConnection *publisher, uint32_t number, char *payload);
static bool mixed_compare(struct run *run, natsSubscription *subscription, uint32_t number, char *payload);
static bool expect_number(struct run *run, natsSubscription *subscription, int number);
static natsStatus connect_persistent(natsConnection **connection, const char *url);
static bool wait_reconnected(struct run *run, natsConnection *connection);
static void reconnect_checks(struct run *run, const char *url, pid_t *server, uint16_t port);
static void after_restart(struct run *run, natsConnection *publisher, natsConnection *subscriber,
                          natsSubscription *plain, natsSubscription *queue);

void scenario_headers(struct run *run)
{
    natsConnection *publisher = NULL;
    natsConnection *subscriber = NULL;
    natsSubscription *subscription = NULL;
    natsMsg *message = NULL;
    natsMsg *received = NULL;

    if (EXPECT_OK(run, client_connect(&publisher, run->url)) &&
        EXPECT_OK(run, client_connect(&subscriber, run->url)) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&subscription, subscriber, "interop.c.headers")) &&
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS))) {
        for (int payload_bytes = 0; payload_bytes <= 5; payload_bytes += 5) {
            const char *value = NULL;
            const char **values = NULL;
            int value_count = 0;
            EXPECT_OK(run, natsMsg_Create(&message, "interop.c.headers", "interop.c.reply", "hello",
                                          payload_bytes));
            EXPECT_OK(run, natsMsgHeader_Set(message, "Trace-Id", "42"));
            EXPECT_OK(run, natsMsgHeader_Set(message, "lower-case", "a: b  c"));
            EXPECT_OK(run, natsMsgHeader_Add(message, "Many", "first"));
            EXPECT_OK(run, natsMsgHeader_Add(message, "Many", "second"));
            EXPECT_OK(run, natsConnection_PublishMsg(publisher, message));
            EXPECT_OK(run, natsConnection_FlushTimeout(publisher, WAIT_MS));
            if (EXPECT_OK(run, natsSubscription_NextMsg(&received, subscription, WAIT_MS))) {
                EXPECT(run, natsMsg_GetDataLength(received) == payload_bytes);
                EXPECT(run, natsMsg_GetReply(received) != NULL &&
                                strcmp(natsMsg_GetReply(received), "interop.c.reply") == 0);
                EXPECT(run, natsMsgHeader_Get(received, "Trace-Id", &value) == NATS_OK &&
                                strcmp(value, "42") == 0);
                EXPECT(run, natsMsgHeader_Get(received, "lower-case", &value) == NATS_OK &&
                                strcmp(value, "a: b  c") == 0);
                EXPECT(run, natsMsgHeader_Values(received, "Many", &values, &value_count) == NATS_OK &&
                                value_count == 2 && strcmp(values[0], "first") == 0 &&
                                strcmp(values[1], "second") == 0);
                free((void *)values);
            }
            natsMsg_Destroy(message);
            natsMsg_Destroy(received);
            message = NULL;
            received = NULL;
        }
    }
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(publisher);
    natsConnection_Destroy(subscriber);
}

/* A drained subscription hands over all that was published before; one that is drained gets nothing more. */
void scenario_drain(struct run *run)
{
    natsConnection *publisher = NULL;
    natsConnection *subscriber = NULL;
    natsSubscription *subscription = NULL;

    if (EXPECT_OK(run, client_connect(&publisher, run->url)) &&
        EXPECT_OK(run, client_connect(&subscriber, run->url)) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&subscription, subscriber, "interop.c.drain")) &&
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS))) {
        for (int i = 0; i < DRAIN_MESSAGES; i++) {
            char text[16];
            snprintf(text, sizeof(text), "%d", i);
            EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.drain", text));
        }
        EXPECT_OK(run, natsConnection_FlushTimeout(publisher, WAIT_MS));
        EXPECT_OK(run, natsSubscription_Drain(subscription));
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS));
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.drain", "too late"));
        EXPECT_OK(run, natsConnection_FlushTimeout(publisher, WAIT_MS));
        for (int i = 0; i < DRAIN_MESSAGES && expect_number(run, subscription, i); i++) {
        }
        EXPECT_OK(run, natsSubscription_WaitForDrainCompletion(subscription, WAIT_MS));
    }
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(publisher);
    natsConnection_Destroy(subscriber);
}

/* A drained connection closes by itself, and what it published before arrives. */
void scenario_drain_connection(struct run *run)
{
    natsConnection *publisher = NULL;
    natsConnection *witness = NULL;
    natsSubscription *subscription = NULL;

    if (EXPECT_OK(run, client_connect(&publisher, run->url)) &&
        EXPECT_OK(run, client_connect(&witness, run->url)) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&subscription, witness, "interop.c.last")) &&
        EXPECT_OK(run, natsConnection_FlushTimeout(witness, WAIT_MS))) {
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.last", "7"));
        EXPECT_OK(run, natsConnection_DrainTimeout(publisher, WAIT_MS));
        expect_number(run, subscription, 7);
        int64_t give_up_ms = now_ms() + 2 * WAIT_MS;
        while (!natsConnection_IsClosed(publisher) && now_ms() < give_up_ms) {
            sleep_ms(5);
        }
        EXPECT(run, natsConnection_IsClosed(publisher));
    }
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(publisher);
    natsConnection_Destroy(witness);
}

/* Every third message travels with a header. Both ends make the bytes from the message's number. */
void scenario_mixed_bytes(struct run *run)
{
    natsConnection *publisher = NULL;
    natsConnection *subscriber = NULL;
    natsSubscription *subscription = NULL;
    char *payload = malloc(MIXED_MESSAGE_BYTES_MAX);
    uint32_t sent = 0;
    uint32_t compared = 0;
    int64_t bytes = 0;

    bool good =
        EXPECT(run, payload != NULL) && EXPECT_OK(run, client_connect(&publisher, run->url)) &&
        EXPECT_OK(run, client_connect(&subscriber, run->url)) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&subscription, subscriber, "interop.c.mixed.>")) &&
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS));
    while (good && (bytes < MIXED_BYTES || compared < sent)) {
        if (bytes < MIXED_BYTES && sent - compared < MIXED_UNREAD_MAX) {
            good = EXPECT_OK(run, mixed_publish(publisher, sent, payload));
            bytes += mixed_size(sent);
            sent++;
        } else {
            good = mixed_compare(run, subscription, compared, payload);
            compared++;
        }
    }
    EXPECT(run, bytes >= MIXED_BYTES && compared == sent);
    free(payload);
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(publisher);
    natsConnection_Destroy(subscriber);
}

void scenario_reconnect(struct run *run)
{
    char url[64];
    uint16_t port = port_free();
    pid_t server = port == 0 ? -1 : server_start(run->server_binary, port, "");
    if (!EXPECT(run, server > 0)) {
        return;
    }
    snprintf(url, sizeof(url), "nats://127.0.0.1:%d", port);
    reconnect_checks(run, url, &server, port);
    server_kill(server);
}

static void reconnect_checks(struct run *run, const char *url, pid_t *server, uint16_t port)
{
    natsConnection *publisher = NULL;
    natsConnection *subscriber = NULL;
    natsSubscription *plain = NULL;
    natsSubscription *queue = NULL;

    if (EXPECT_OK(run, connect_persistent(&publisher, url)) &&
        EXPECT_OK(run, connect_persistent(&subscriber, url)) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&plain, subscriber, "interop.c.again.*")) &&
        EXPECT_OK(run, natsConnection_QueueSubscribeSync(&queue, subscriber, "interop.c.again.>", "q")) &&
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS)) &&
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.again.a", "-1")) &&
        expect_number(run, plain, -1) && expect_number(run, queue, -1)) {
        server_kill(*server);
        *server = server_start(run->server_binary, port, "");
        if (EXPECT(run, *server > 0) && wait_reconnected(run, publisher) &&
            wait_reconnected(run, subscriber)) {
            after_restart(run, publisher, subscriber, plain, queue);
        }
    }
    natsSubscription_Destroy(plain);
    natsSubscription_Destroy(queue);
    natsConnection_Destroy(publisher);
    natsConnection_Destroy(subscriber);
}

static void after_restart(struct run *run, natsConnection *publisher, natsConnection *subscriber,
                          natsSubscription *plain, natsSubscription *queue)
{
    natsMsg *message = NULL;
    EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS));
    for (int i = 0; i < RECONNECT_MESSAGES; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.again.b", text));
    }
    EXPECT_OK(run, natsConnection_FlushTimeout(publisher, WAIT_MS));
    for (int i = 0; i < RECONNECT_MESSAGES; i++) {
        if (!expect_number(run, plain, i) || !expect_number(run, queue, i)) {
            return;
        }
    }
    EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS));
    EXPECT_STATUS(run, natsSubscription_NextMsg(&message, plain, QUIET_MS), NATS_TIMEOUT);
    natsMsg_Destroy(message);
}

static natsStatus connect_persistent(natsConnection **connection, const char *url)
{
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK) {
        status = natsOptions_SetURL(options, url);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetReconnectWait(options, RECONNECT_WAIT_MS);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetMaxReconnect(options, RECONNECT_MS_MAX / RECONNECT_WAIT_MS);
    }
    if (status == NATS_OK) {
        status = options_secure(options);
    }
    if (status == NATS_OK) {
        status = natsConnection_Connect(connection, options);
    }
    natsOptions_Destroy(options);
    return status;
}

/* Asks the count of reconnects, because the status says "connected" until the loss has been noticed. */
static bool wait_reconnected(struct run *run, natsConnection *connection)
{
    natsStatistics *statistics = NULL;
    uint64_t reconnects = 0;
    int64_t give_up_ms = now_ms() + RECONNECT_MS_MAX;
    if (!EXPECT_OK(run, natsStatistics_Create(&statistics))) {
        return false;
    }
    while (now_ms() < give_up_ms) {
        if (natsConnection_GetStats(connection, statistics) == NATS_OK &&
            natsStatistics_GetCounts(statistics, NULL, NULL, NULL, NULL, &reconnects) == NATS_OK &&
            reconnects > 0 && natsConnection_Status(connection) == NATS_CONN_STATUS_CONNECTED) {
            break;
        }
        sleep_ms(10);
    }
    natsStatistics_Destroy(statistics);
    return EXPECT(run, reconnects > 0);
}

/* One xorshift stream per message; zero bytes, CR LF and all others occur. */
static void fill_payload(char *payload, int payload_bytes, uint32_t number)
{
    uint32_t state = (number + 1) * 2654435761U;
    for (int i = 0; i < payload_bytes; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        payload[i] = (char)(state >> 24);
    }
}

static int mixed_size(uint32_t number)
{
    return number == 100 ? MIXED_MESSAGE_BYTES_MAX
                         : mixed_sizes[number % (sizeof(mixed_sizes) / sizeof(mixed_sizes[0]))];
}

static natsStatus mixed_publish(natsConnection *publisher, uint32_t number, char *payload)
{
    char subject[48];
    char text[16];
    natsMsg *message = NULL;
    snprintf(subject, sizeof(subject), "interop.c.mixed.%u", number % 7);
    snprintf(text, sizeof(text), "%u", number);
    fill_payload(payload, mixed_size(number), number);
    if (number % 3 != 0) {
        return natsConnection_Publish(publisher, subject, payload, mixed_size(number));
    }
    natsStatus status = natsMsg_Create(&message, subject, NULL, payload, mixed_size(number));
    if (status == NATS_OK) {
        status = natsMsgHeader_Set(message, "Number", text);
    }
    if (status == NATS_OK) {
        status = natsConnection_PublishMsg(publisher, message);
    }
    natsMsg_Destroy(message);
    return status;
}

static bool mixed_compare(struct run *run, natsSubscription *subscription, uint32_t number, char *payload)
{
    natsMsg *message = NULL;
    char subject[48];
    const char *value = NULL;
    if (!EXPECT_OK(run, natsSubscription_NextMsg(&message, subscription, WAIT_MS))) {
        return false;
    }
    snprintf(subject, sizeof(subject), "interop.c.mixed.%u", number % 7);
    fill_payload(payload, mixed_size(number), number);
    bool equal = EXPECT(run, strcmp(natsMsg_GetSubject(message), subject) == 0) &&
                 EXPECT(run, natsMsg_GetDataLength(message) == mixed_size(number)) &&
                 EXPECT(run, memcmp(natsMsg_GetData(message), payload, (size_t)mixed_size(number)) == 0);
    natsStatus status = natsMsgHeader_Get(message, "Number", &value);
    equal = equal && EXPECT(run, number % 3 == 0 ? status == NATS_OK && strtoul(value, NULL, 10) == number
                                                 : status == NATS_NOT_FOUND);
    natsMsg_Destroy(message);
    return equal;
}

static bool expect_number(struct run *run, natsSubscription *subscription, int number)
{
    natsMsg *message = NULL;
    if (!EXPECT_OK(run, natsSubscription_NextMsg(&message, subscription, WAIT_MS))) {
        return false;
    }
    bool equal = EXPECT(run, strtol(natsMsg_GetData(message), NULL, 10) == number);
    natsMsg_Destroy(message);
    return equal;
}
