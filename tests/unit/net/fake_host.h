/* tests/unit/net/fake_host.h - a host for client sessions without ring, sockets or threads: what net/host.h
 * asks for, done in the plainest way, and made to refuse when told. Time is what the test says.
 * In the flow:  fake_feed() -> client_receive() -> fake_publish() -> client_deliver() -> fake_drain() -> out
 * At the bound: an array of subscriptions; what does not fit is HOST_MEMORY, as it would be elsewhere. */
#ifndef TESTS_UNIT_NET_FAKE_HOST_H
#define TESTS_UNIT_NET_FAKE_HOST_H

#include "core/base/check.h"
#include "core/base/language.h"
#include "core/subject/index.h"
#include "core/subject/subject.h"
#include "net/client.h"
#include "tests/unit/core/security/configured.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FAKE_SUBSCRIPTIONS_MAX = 64,
    FAKE_CLIENTS_MAX = 4,
    FAKE_CONFIGURATIONS_MAX = 4,
    FAKE_OUT_BYTES = 128 * 1024,
    FAKE_SECRET_BYTES = 128,
};

struct fake_subscription {
    struct client_subscription *subscription;
    uint8_t *texts; /* subject, then queue */
    size_t subject_count;
    size_t queue_count;
};

struct fake_client {
    struct client client;
    bool open;   /* between fake_connect() and fake_disconnect() */
    bool closed; /* the session said closing() */
    bool flush;
    size_t out_count;
    char out[FAKE_OUT_BYTES + 1]; /* what it was sent, terminated */
};

struct fake_host {
    struct session_context context;
    struct net_options options;
    struct security_options security;
    struct configured configured[FAKE_CONFIGURATIONS_MAX]; /* what `security` was and is made of */
    uint32_t configured_count;
    struct info_server info;
    struct host_account account; /* the one there is */
    struct fake_client clients[FAKE_CLIENTS_MAX];
    struct fake_subscription subscriptions[FAKE_SUBSCRIPTIONS_MAX];
    uint32_t subscription_count;
    struct index *index; /* it knows a subscription's pattern and queue, for sessions that ask */
    struct client_subscription *expired[FAKE_SUBSCRIPTIONS_MAX];
    uint32_t expired_count;
    uint32_t calls;   /* that may be refused, so far */
    uint32_t full_at; /* the number of the call that answers HOST_FULL; 0: none */
    uint32_t full_every;
    uint32_t memory_at; /* likewise HOST_MEMORY */
    uint32_t refused;
    bool room_promised; /* publish_room() said yes: publish() must not say no */
    uint32_t run_most;  /* messages of a run that publish() takes at once, where it may; 0: one by one */
    uint32_t runs;      /* taken so */
    uint32_t published;
    uint32_t published_shared; /* of them in a counted block */
    uint32_t stalls;
    int64_t stall_ns;
    uint32_t passwords_asked;
    uint32_t callouts_asked;
    enum host_result callout_answer; /* what ask_callout() says when it is not full */
    char stored[FAKE_SECRET_BYTES];
    char given[FAKE_SECRET_BYTES];
};

static inline struct fake_host *fake_of(struct session_context *context)
{
    return CONTAINER_OF(context, struct fake_host, context);
}

static inline struct fake_client *fake_client_of(struct client *client)
{
    return CONTAINER_OF(client, struct fake_client, client);
}

/* Counts a call that may be refused, and says how it ends. */
static inline enum host_result fake_verdict(struct fake_host *fake)
{
    fake->calls++;
    if (fake->calls == fake->memory_at)
        return HOST_MEMORY;
    if (fake->calls != fake->full_at && (fake->full_every == 0 || fake->calls % fake->full_every != 0))
        return HOST_DONE;
    fake->refused++;
    return HOST_FULL;
}

static inline struct bytes fake_pattern(const struct fake_subscription *at)
{
    return bytes_of(at->texts, at->subject_count);
}

static inline struct bytes fake_queue(const struct fake_subscription *at)
{
    return bytes_of(at->texts + at->subject_count, at->queue_count);
}

static inline enum host_result fake_enter(struct client *client, const struct security_account *configured,
                                          struct host_account **account)
{
    struct fake_host *fake = fake_of(client->context);
    fake->account.configured = configured;
    *account = &fake->account;
    return HOST_DONE;
}

static inline enum host_result fake_subscribe(struct client *client, struct client_subscription *subscription,
                                              struct bytes subject, struct bytes queue)
{
    struct fake_host *fake = fake_of(client->context);
    enum host_result result = fake_verdict(fake);
    if (result != HOST_DONE)
        return result;
    if (fake->subscription_count == FAKE_SUBSCRIPTIONS_MAX)
        return HOST_MEMORY;
    uint8_t *texts = malloc(subject.count + queue.count);
    ASSERT(texts != NULL);
    if (fake->index == NULL)
        fake->index = index_new();
    if (fake->index == NULL || index_add(fake->index, subject, queue, &subscription->base) != ERR_OK) {
        free(texts);
        return HOST_MEMORY;
    }
    memcpy(texts, subject.data, subject.count);
    if (queue.count > 0)
        memcpy(texts + subject.count, queue.data, queue.count);
    fake->subscriptions[fake->subscription_count++] = (struct fake_subscription){
        .subscription = subscription,
        .texts = texts,
        .subject_count = subject.count,
        .queue_count = queue.count,
    };
    return HOST_DONE;
}

static inline enum host_result fake_unsubscribe(struct client *client,
                                                struct client_subscription *subscription)
{
    struct fake_host *fake = fake_of(client->context);
    enum host_result result = fake_verdict(fake);
    if (result == HOST_FULL)
        return result;
    for (uint32_t i = fake->expired_count; i-- > 0;) {
        if (fake->expired[i] == subscription)
            fake->expired[i] = fake->expired[--fake->expired_count];
    }
    for (uint32_t i = 0; i < fake->subscription_count; i++) {
        if (fake->subscriptions[i].subscription != subscription)
            continue;
        free(fake->subscriptions[i].texts);
        index_remove(fake->index, &subscription->base);
        uint32_t behind = fake->subscription_count - i - 1;
        memmove(&fake->subscriptions[i], &fake->subscriptions[i + 1], behind * sizeof *fake->subscriptions);
        fake->subscription_count--;
        return HOST_DONE;
    }
    ASSERT(false); /* it was never subscribed */
    return HOST_DONE;
}

/* The first of each queue that takes it gets the message: repeatable, and a choice like any other. */
static inline bool fake_queue_served(const struct fake_host *fake, const bool *took, uint32_t position)
{
    struct bytes queue = fake_queue(&fake->subscriptions[position]);
    for (uint32_t i = 0; queue.count > 0 && i < position; i++) {
        if (took[i] && bytes_equal(fake_queue(&fake->subscriptions[i]), queue))
            return true;
    }
    return false;
}

/* Whether a run may be delivered receiver by receiver: no group chooses, and no client is there twice. */
static inline bool fake_run_may(const struct fake_host *fake, const struct message *run)
{
    bool seen[FAKE_CLIENTS_MAX] = {false};
    for (uint32_t i = 0; i < fake->subscription_count; i++) {
        const struct fake_subscription *at = &fake->subscriptions[i];
        if (!subject_matches(fake_pattern(at), run->subject))
            continue;
        uint32_t slot = at->subscription->client->place.slot;
        if (at->queue_count > 0 || seen[slot])
            return false;
        seen[slot] = true;
    }
    return true;
}

static inline bool fake_deliver(struct client_subscription *subscription, const struct message *message,
                                struct run_written *written)
{
    return message->run_more == 0 ? client_deliver(subscription, message)
                                  : client_deliver_run(subscription, message, written);
}

/* Takes a part of a run. */
static inline enum host_result fake_publish(struct client *client, const struct message *run, uint32_t *done)
{
    struct fake_host *fake = fake_of(client->context);
    uint32_t most = fake->run_most > 1 && fake_run_may(fake, run) ? fake->run_most : 1;
    const struct message part = message_first(run, most < message_count(run) ? most : message_count(run));
    const struct message *message = &part;
    bool took[FAKE_SUBSCRIPTIONS_MAX] = {false};
    bool any = false;
    ASSERT(message->publisher == client);
    enum host_result result = fake->room_promised ? HOST_DONE : fake_verdict(fake);
    fake->room_promised = false;
    if (result != HOST_DONE)
        return result;
    *done = message_count(message);
    fake->runs += message->run_more > 0;
    fake->published += *done;
    if (message->block != NULL)
        fake->published_shared++;
    struct run_written written;
    run_written_init(&written);
    for (uint32_t i = 0; i < fake->subscription_count; i++) {
        if (!subject_matches(fake_pattern(&fake->subscriptions[i]), message->subject) ||
            fake_queue_served(fake, took, i))
            continue;
        bool takes = client_takes(fake->subscriptions[i].subscription, message);
        took[i] = fake_deliver(fake->subscriptions[i].subscription, message, &written);
        ASSERT(takes || !took[i]);
        any = any || took[i];
    }
    run_written_release(&written, &fake->context.pool);
    for (uint32_t i = fake->expired_count; i-- > 0;) {
        if (fake->expired[i]->client->state != CLIENT_CLOSED)
            (void)client_remove_expired(fake->expired[i]); /* refused: it stays for the next time */
    }
    return any ? HOST_DONE : HOST_NOBODY;
}

static inline enum host_result fake_publish_room(struct client *client, const struct message *message)
{
    struct fake_host *fake = fake_of(client->context);
    ASSERT(message->publisher == client);
    enum host_result result = fake_verdict(fake);
    fake->room_promised = result != HOST_FULL;
    return result == HOST_FULL ? HOST_FULL : HOST_DONE;
}

static inline struct client_subscription *fake_own_subscription(struct client *client, struct bytes subject)
{
    struct fake_host *fake = fake_of(client->context);
    for (uint32_t i = 0; i < fake->subscription_count; i++) {
        const struct fake_subscription *at = &fake->subscriptions[i];
        if (at->subscription->client == client && at->queue_count == 0 &&
            subject_matches(fake_pattern(at), subject))
            return at->subscription;
    }
    return NULL;
}

static inline void fake_expired(struct client *client, struct client_subscription *subscription)
{
    struct fake_host *fake = fake_of(client->context);
    for (uint32_t i = 0; i < fake->expired_count; i++)
        ASSERT(fake->expired[i] != subscription); /* it has one last message, not two */
    ASSERT(fake->expired_count < FAKE_SUBSCRIPTIONS_MAX);
    fake->expired[fake->expired_count++] = subscription;
}

static inline void fake_output_ready(struct client *client)
{
    ASSERT(!fake_client_of(client)->closed); /* a closed connection may be gone already */
}

static inline enum host_result fake_check_password(struct client *client, struct bytes stored,
                                                   struct bytes given)
{
    struct fake_host *fake = fake_of(client->context);
    enum host_result result = fake_verdict(fake);
    if (result != HOST_DONE)
        return result;
    fake->passwords_asked++;
    snprintf(fake->stored, sizeof fake->stored, "%.*s", BYTES_PRINTF(stored));
    snprintf(fake->given, sizeof fake->given, "%.*s", BYTES_PRINTF(given));
    return HOST_DONE;
}

static inline enum host_result fake_ask_callout(struct client *client)
{
    struct fake_host *fake = fake_of(client->context);
    enum host_result result = fake_verdict(fake);
    if (result != HOST_DONE)
        return result;
    fake->callouts_asked++;
    return fake->callout_answer;
}

static inline void fake_closing(struct client *client, bool flush)
{
    struct fake_client *fake_client = fake_client_of(client);
    ASSERT(!fake_client->closed);
    fake_client->closed = true;
    fake_client->flush = flush;
}

static inline void fake_stall(struct session_context *context, const struct publisher_place *place,
                              int64_t stall_ns)
{
    struct fake_host *fake = fake_of(context);
    ASSERT(place->cid != 0);
    fake->stalls++;
    fake->stall_ns = stall_ns;
}

static const struct host_operations fake_operations = {
    .enter = fake_enter,
    .subscribe = fake_subscribe,
    .unsubscribe = fake_unsubscribe,
    .publish = fake_publish,
    .publish_room = fake_publish_room,
    .own_subscription = fake_own_subscription,
    .expired = fake_expired,
    .output_ready = fake_output_ready,
    .check_password = fake_check_password,
    .ask_callout = fake_ask_callout,
    .closing = fake_closing,
    .stall = fake_stall,
};

/* A host with the defaults that matter here; the test changes options before it connects anybody. */
static inline struct fake_host *fake_new(void)
{
    struct fake_host *fake = calloc(1, sizeof *fake);
    ASSERT(fake != NULL);
    fake->options = (struct net_options){
        .max_payload_bytes = 64 * 1024,
        .max_pending_bytes = 64 * 1024 * 1024,
        .max_control_line_bytes = 4096,
        .ping_interval_ns = 120LL * 1000 * 1000 * 1000,
        .ping_max = 2,
        .headers = true,
    };
    fake->security.timeout_ns = 2LL * 1000 * 1000 * 1000;
    fake->info = (struct info_server){
        .server_id = TEXT("ID"),
        .server_name = TEXT("NAME"),
        .version = TEXT("2.9.10"),
        .host = TEXT("0.0.0.0"),
        .max_payload_bytes = 64 * 1024,
        .port = 4222,
        .headers = true,
    };
    fake->context = (struct session_context){
        .host = &fake_operations,
        .options = &fake->options,
        .security = &fake->security,
        .info = &fake->info,
        .now_ns = 1000,
    };
    fake->context.lines = lines_new(0); /* without memory for them sessions go on without */
    random_seed(&fake->context.random, 7);
    return fake;
}

/* Takes the security options from the text of a configuration file; what was before stays in memory. */
static inline void fake_configure(struct fake_host *fake, const char *config)
{
    ASSERT(fake->configured_count < FAKE_CONFIGURATIONS_MAX);
    struct configured *configured = &fake->configured[fake->configured_count++];
    const char *error = configure(configured, config);
    ASSERT(error[0] == 0);
    (void)error;
    fake->security = configured->options;
    if (fake->security.timeout_ns == 0) /* as the server fills it in where there is no TLS */
        fake->security.timeout_ns = 2LL * 1000 * 1000 * 1000;
    if (fake->account.configured != NULL) /* the account outlives what is configured for it */
        fake->account.configured =
            security_account_find(&fake->security.accounts, fake->account.configured->name);
    permission_cache_forget(&fake->context.permissions);
}

static inline struct fake_client *fake_connect_by(struct fake_host *fake, uint32_t position,
                                                  enum client_opening opening)
{
    struct fake_client *at = &fake->clients[position];
    struct client_peer peer = {
        .address = "127.0.0.1", .port = 40000, .cid = position + 1, .opening = opening};
    memset(&at->client, 0, sizeof at->client);
    at->open = true;
    at->closed = false;
    at->out_count = 0;
    at->out[0] = 0;
    at->client.place = (struct publisher_place){.cid = position + 1, .slot = position};
    enum err err = client_init(&at->client, &fake->context, &peer);
    ASSERT(err == ERR_OK);
    return at;
}

static inline struct fake_client *fake_connect(struct fake_host *fake, uint32_t position)
{
    return fake_connect_by(fake, position, CLIENT_OPENS);
}

/* "Sends" everything: moves what the sessions have to say into their clients' `out`. */
static inline void fake_drain(struct fake_host *fake)
{
    for (uint32_t i = 0; i < FAKE_CLIENTS_MAX; i++) {
        struct fake_client *at = &fake->clients[i];
        while (at->open && !output_empty(&at->client.output)) {
            struct iovec parts[8];
            uint64_t sent = 0;
            uint32_t used = output_gather(&at->client.output, parts, COUNT_OF(parts));
            ASSERT(used > 0);
            for (uint32_t p = 0; p < used; p++) {
                size_t room = FAKE_OUT_BYTES - at->out_count;
                size_t count = parts[p].iov_len < room ? parts[p].iov_len : room;
                memcpy(at->out + at->out_count, parts[p].iov_base, count);
                at->out_count += count;
                sent += parts[p].iov_len;
            }
            output_sent(&at->client.output, &fake->context.pool, sent);
        }
        at->out[at->out_count] = 0;
        at->client.output_noted = false;
    }
}

static inline void fake_forget(struct fake_client *at)
{
    at->out_count = 0;
    at->out[0] = 0;
}

/* One receive: the piece in memory of its own size, so that ASan sees a byte too far. A host that was full
 * has room again at once. Stops when the session is closed or waits for its login; how much was taken. */
static inline size_t fake_feed(struct fake_host *fake, struct fake_client *at, struct bytes piece)
{
    size_t taken = 0;
    uint32_t refusals_in_a_row = 0;
    for (;;) {
        size_t left = piece.count - taken;
        uint8_t *copy = malloc(left > 0 ? left : 1);
        ASSERT(copy != NULL);
        if (left > 0)
            memcpy(copy, piece.data + taken, left);
        size_t used = client_receive(&at->client, bytes_of(copy, left));
        free(copy);
        ASSERT(used <= left);
        taken += used;
        refusals_in_a_row = used == 0 ? refusals_in_a_row + 1 : 0;
        ASSERT(refusals_in_a_row < 1000);
        if (at->client.state == CLIENT_CLOSED || client_login_pending(&at->client))
            break;
        if (!at->client.blocked) {
            ASSERT(taken == piece.count);
            break;
        }
        client_resume(&at->client);
    }
    fake_drain(fake);
    return taken;
}

static inline void fake_say(struct fake_host *fake, struct fake_client *at, const char *words)
{
    (void)fake_feed(fake, at, text(words));
}

static inline void fake_disconnect(struct fake_client *at)
{
    if (!at->open)
        return;
    client_close(&at->client, CLOSED_CLIENT_CLOSED, NULL);
    for (int tries = 0; !client_remove_subscriptions(&at->client, 3); tries++)
        ASSERT(tries < 1000);
    client_free_parts(&at->client);
    at->open = false;
}

static inline void fake_free(struct fake_host *fake)
{
    for (uint32_t i = 0; i < FAKE_CLIENTS_MAX; i++)
        fake_disconnect(&fake->clients[i]);
    ASSERT(fake->subscription_count == 0);
    index_free(fake->index);
    ASSERT(fake->expired_count == 0);
    ASSERT(fake->context.timers.count == 0);
    timers_close(&fake->context.timers);
    output_pool_close(&fake->context.pool);
    lines_free(fake->context.lines);
    permission_cache_close(&fake->context.permissions);
    for (uint32_t i = 0; i < fake->configured_count; i++)
        configured_close(&fake->configured[i]);
    free(fake);
}

#endif
