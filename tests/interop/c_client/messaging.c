/* tests/interop/c_client/messaging.c - scenarios on plain messages: subjects, auto-unsubscribe, queue groups,
 * requests, no responders. A server of many threads is the point, so publishers and subscribers are different
 * connections, and a flush of the subscriber stands between SUB and the first publish. */
#include "tests/interop/c_client/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_MS = 5000, /* for what must come */
    QUIET_MS = 50,  /* for what must not come, behind a flush of both sides */
    MEMBERS = 4,
    QUEUE_MESSAGES = 400,
    REQUESTS = 200,
};

static void expect_text(struct run *run, natsSubscription *subscription, const char *subject,
                        const char *payload);
static void expect_quiet(struct run *run, natsSubscription *subscription);
static void responder(natsConnection *connection, natsSubscription *subscription, natsMsg *request,
                      void *closure);

void scenario_publish_subscribe(struct run *run)
{
    natsConnection *publisher = NULL;
    natsConnection *subscriber = NULL;
    natsSubscription *literal = NULL;
    natsSubscription *star = NULL;
    natsSubscription *tail = NULL;

    if (EXPECT_OK(run, client_connect(&publisher, run->url)) &&
        EXPECT_OK(run, client_connect(&subscriber, run->url)) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&literal, subscriber, "interop.c.orders.eu")) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&star, subscriber, "interop.c.*.eu")) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&tail, subscriber, "interop.c.>")) &&
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS))) {
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.orders.eu", "one"));
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.bills.eu", "two"));
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.bills.eu.late", ""));
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c", "matches nothing"));
        EXPECT_OK(run, natsConnection_FlushTimeout(publisher, WAIT_MS));
        expect_text(run, literal, "interop.c.orders.eu", "one");
        expect_text(run, star, "interop.c.orders.eu", "one");
        expect_text(run, star, "interop.c.bills.eu", "two");
        expect_text(run, tail, "interop.c.orders.eu", "one");
        expect_text(run, tail, "interop.c.bills.eu", "two");
        expect_text(run, tail, "interop.c.bills.eu.late", "");

        EXPECT_OK(run, natsSubscription_Unsubscribe(star));
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS));
        EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.orders.eu", "three"));
        EXPECT_OK(run, natsConnection_FlushTimeout(publisher, WAIT_MS));
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS));
        expect_text(run, literal, "interop.c.orders.eu", "three");
        expect_text(run, tail, "interop.c.orders.eu", "three");
        expect_quiet(run, literal);
        expect_quiet(run, tail);
    }
    natsSubscription_Destroy(literal);
    natsSubscription_Destroy(star);
    natsSubscription_Destroy(tail);
    natsConnection_Destroy(publisher);
    natsConnection_Destroy(subscriber);
}

void scenario_auto_unsubscribe(struct run *run)
{
    natsConnection *publisher = NULL;
    natsConnection *subscriber = NULL;
    natsSubscription *limited = NULL;
    natsSubscription *unlimited = NULL;
    natsMsg *message = NULL;

    if (EXPECT_OK(run, client_connect(&publisher, run->url)) &&
        EXPECT_OK(run, client_connect(&subscriber, run->url)) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&limited, subscriber, "interop.c.limited")) &&
        EXPECT_OK(run, natsSubscription_AutoUnsubscribe(limited, 3)) &&
        EXPECT_OK(run, natsConnection_SubscribeSync(&unlimited, subscriber, "interop.c.limited")) &&
        EXPECT_OK(run, natsConnection_FlushTimeout(subscriber, WAIT_MS))) {
        char text[16];
        for (int i = 0; i < 6; i++) {
            snprintf(text, sizeof(text), "%d", i);
            EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.limited", text));
        }
        EXPECT_OK(run, natsConnection_FlushTimeout(publisher, WAIT_MS));
        for (int i = 0; i < 6; i++) {
            snprintf(text, sizeof(text), "%d", i);
            if (i < 3) {
                expect_text(run, limited, "interop.c.limited", text);
            }
            expect_text(run, unlimited, "interop.c.limited", text);
        }
        EXPECT_STATUS(run, natsSubscription_NextMsg(&message, limited, QUIET_MS), NATS_MAX_DELIVERED_MSGS);
        natsMsg_Destroy(message);
        expect_quiet(run, unlimited);
    }
    natsSubscription_Destroy(limited);
    natsSubscription_Destroy(unlimited);
    natsConnection_Destroy(publisher);
    natsConnection_Destroy(subscriber);
}

/* Every message reaches one member of the group and the plain subscriber; no member stays without. */
void scenario_queue_groups(struct run *run)
{
    natsConnection *publisher = NULL;
    natsConnection *members[MEMBERS] = {NULL};
    natsSubscription *subscriptions[MEMBERS] = {NULL};
    natsSubscription *plain = NULL;
    uint8_t seen[QUEUE_MESSAGES] = {0};
    bool ready = EXPECT_OK(run, client_connect(&publisher, run->url));

    for (int i = 0; ready && i < MEMBERS; i++) {
        ready =
            EXPECT_OK(run, client_connect(&members[i], run->url)) &&
            EXPECT_OK(run, natsConnection_QueueSubscribeSync(
                               &subscriptions[i], members[i],
                               i % 2 == 0 ? "interop.c.work.>" : "interop.c.work.*", "workers")) &&
            (i > 0 || EXPECT_OK(run, natsConnection_SubscribeSync(&plain, members[0], "interop.c.work.*"))) &&
            EXPECT_OK(run, natsConnection_FlushTimeout(members[i], WAIT_MS));
    }
    for (int i = 0; ready && i < QUEUE_MESSAGES; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        ready = EXPECT_OK(run, natsConnection_PublishString(publisher, "interop.c.work.a", text));
    }
    if (ready && EXPECT_OK(run, natsConnection_FlushTimeout(publisher, WAIT_MS))) {
        for (int i = 0; i < QUEUE_MESSAGES; i++) {
            char text[16];
            snprintf(text, sizeof(text), "%d", i);
            expect_text(run, plain, "interop.c.work.a", text);
        }
        for (int i = 0; i < MEMBERS; i++) {
            natsMsg *message = NULL;
            int taken = 0;
            int last = -1;
            EXPECT_OK(run, natsConnection_FlushTimeout(members[i], WAIT_MS));
            while (natsSubscription_NextMsg(&message, subscriptions[i], QUIET_MS) == NATS_OK) {
                int number = (int)strtol(natsMsg_GetData(message), NULL, 10);
                if (EXPECT(run, number > last && number < QUEUE_MESSAGES)) {
                    seen[number]++;
                    last = number;
                }
                taken++;
                natsMsg_Destroy(message);
            }
            EXPECT(run, taken > 0);
        }
        for (int i = 0; i < QUEUE_MESSAGES; i++) {
            EXPECT(run, seen[i] == 1);
        }
    }
    natsSubscription_Destroy(plain);
    for (int i = 0; i < MEMBERS; i++) {
        natsSubscription_Destroy(subscriptions[i]);
        natsConnection_Destroy(members[i]);
    }
    natsConnection_Destroy(publisher);
}

void scenario_request_reply(struct run *run)
{
    natsConnection *requester = NULL;
    natsConnection *service = NULL;
    natsSubscription *subscription = NULL;

    if (EXPECT_OK(run, client_connect(&requester, run->url)) &&
        EXPECT_OK(run, client_connect(&service, run->url)) &&
        EXPECT_OK(run,
                  natsConnection_Subscribe(&subscription, service, "interop.c.service", responder, NULL)) &&
        EXPECT_OK(run, natsConnection_FlushTimeout(service, WAIT_MS))) {
        for (int i = 0; i < REQUESTS; i++) {
            char question[32];
            char answer[32];
            natsMsg *reply = NULL;
            snprintf(question, sizeof(question), "question %d", i);
            snprintf(answer, sizeof(answer), "re: question %d", i);
            if (EXPECT_OK(run, natsConnection_RequestString(&reply, requester, "interop.c.service", question,
                                                            WAIT_MS))) {
                EXPECT(run, natsMsg_GetDataLength(reply) == (int)strlen(answer) &&
                                memcmp(natsMsg_GetData(reply), answer, strlen(answer)) == 0);
            }
            natsMsg_Destroy(reply);
        }
    }
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(requester);
    natsConnection_Destroy(service);
}

/* A request that nobody serves is answered at once, not by running out of time. */
void scenario_no_responders(struct run *run)
{
    natsConnection *requester = NULL;
    natsConnection *service = NULL;
    natsSubscription *subscription = NULL;

    if (EXPECT_OK(run, client_connect(&requester, run->url)) &&
        EXPECT_OK(run, client_connect(&service, run->url))) {
        natsMsg *reply = NULL;
        int64_t started_ms = now_ms();
        EXPECT_STATUS(run, natsConnection_RequestString(&reply, requester, "interop.c.nobody", "?", WAIT_MS),
                      NATS_NO_RESPONDERS);
        EXPECT(run, now_ms() - started_ms < WAIT_MS / 2);

        EXPECT_OK(run, natsConnection_Subscribe(&subscription, service, "interop.c.nobody", responder, NULL));
        EXPECT_OK(run, natsConnection_FlushTimeout(service, WAIT_MS));
        EXPECT_OK(run, natsConnection_RequestString(&reply, requester, "interop.c.nobody", "?", WAIT_MS));
        natsMsg_Destroy(reply);
        reply = NULL;

        EXPECT_OK(run, natsSubscription_Unsubscribe(subscription));
        EXPECT_OK(run, natsConnection_FlushTimeout(service, WAIT_MS));
        EXPECT_STATUS(run, natsConnection_RequestString(&reply, requester, "interop.c.nobody", "?", WAIT_MS),
                      NATS_NO_RESPONDERS);
    }
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(requester);
    natsConnection_Destroy(service);
}

static void expect_text(struct run *run, natsSubscription *subscription, const char *subject,
                        const char *payload)
{
    natsMsg *message = NULL;
    if (!EXPECT_OK(run, natsSubscription_NextMsg(&message, subscription, WAIT_MS))) {
        return;
    }
    bool equal = natsMsg_GetDataLength(message) == (int)strlen(payload) &&
                 memcmp(natsMsg_GetData(message), payload, strlen(payload)) == 0;
    if (!EXPECT(run, equal) || !EXPECT(run, strcmp(natsMsg_GetSubject(message), subject) == 0)) {
        fprintf(stderr, "  got \"%.*s\" on %s, expected \"%s\" on %s\n", natsMsg_GetDataLength(message),
                natsMsg_GetData(message), natsMsg_GetSubject(message), payload, subject);
    }
    natsMsg_Destroy(message);
}

static void expect_quiet(struct run *run, natsSubscription *subscription)
{
    natsMsg *message = NULL;
    EXPECT_STATUS(run, natsSubscription_NextMsg(&message, subscription, QUIET_MS), NATS_TIMEOUT);
    natsMsg_Destroy(message);
}

static void responder(natsConnection *connection, natsSubscription *subscription, natsMsg *request,
                      void *closure)
{
    char answer[64];
    (void)subscription;
    (void)closure;
    snprintf(answer, sizeof(answer), "re: %.*s", natsMsg_GetDataLength(request), natsMsg_GetData(request));
    /* A reply that fails shows as a request that times out. */
    (void)natsConnection_PublishString(connection, natsMsg_GetReply(request), answer);
    natsMsg_Destroy(request);
}
