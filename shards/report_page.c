/* shards/report_page.c - see report_page.h. */
#include "shards/report_page.h"

#include "core/base/check.h"
#include "core/security/account.h"
#include "core/security/authenticate.h"
#include "core/subject/index.h"

uint8_t *page_reserve(struct report_page *page, size_t bytes)
{
    if (page->block == NULL && !page->failed) {
        size_t standard = BLOCK_STANDARD_BYTES;
        page->block = block_take(page->pool, bytes > standard ? bytes : standard);
        page->used = 0;
        page->failed = page->block == NULL;
    }
    if (page->failed || page->block->capacity - page->used < bytes)
        return NULL;
    uint8_t *room = page->block->bytes + page->used;
    page->used += (uint32_t)bytes;
    return room;
}

bool page_put(struct report_page *page, const void *data, size_t bytes)
{
    uint8_t *room = page_reserve(page, bytes);
    if (room != NULL)
        memcpy(room, data, bytes);
    return room != NULL;
}

static uint8_t *put_text(uint8_t *to, struct bytes words)
{
    if (words.count > 0)
        memcpy(to, words.data, words.count);
    return to + words.count;
}

struct bytes report_client_user(const struct client *client)
{
    if (client->user != NULL)
        return client->user->nkey.count > 0 ? client->user->nkey : client->user->name;
    if (client->login == AUTHENTICATE_TOKEN || client->login == AUTHENTICATE_NOBODY)
        return TEXT("");
    return connect_user(&client->connect);
}

/* One that was closed between its login and entering its account is listed there all the same; one that only
 * named a user of it, and did not prove to be him, is where it was. */
struct bytes report_client_account(const struct client *client)
{
    if (client->login_stands && client->user != NULL && client->user->account != NULL)
        return client->user->account->name;
    if (client->account == NULL || client->account->configured == NULL)
        return TEXT("$G");
    return client->account->configured->name;
}

/* Its texts, in the order in which they stand behind the record. */
struct texts {
    struct bytes at[REPORT_TEXTS];
};

/* `peers` is where the certificates of the peer go, which the texts then point to. */
static struct texts texts_of(const struct connection *connection, struct tls_peer peers[TLS_PEERS_MAX])
{
    const struct client *client = &connection->client;
    const struct connection_tls *tls = connection->tls;
    bool sealed = tls != NULL && tls->state == CONNECTION_TLS_OPEN && tls_stream_open(tls->stream);
    uint32_t peer_count = sealed ? tls_stream_peers(tls->stream, peers) : 0;
    return (struct texts){{
        [REPORT_ADDRESS] = text(client->address),
        [REPORT_NAME] = connect_text(&client->connect, CONNECT_NAME),
        [REPORT_LANG] = connect_text(&client->connect, CONNECT_LANG),
        [REPORT_VERSION] = connect_text(&client->connect, CONNECT_VERSION),
        [REPORT_TLS_VERSION] = sealed ? text(tls_stream_version(tls->stream)) : TEXT(""),
        [REPORT_TLS_SUITE] = sealed ? text(tls_stream_suite(tls->stream)) : TEXT(""),
        [REPORT_TLS_PEERS] = bytes_of(peers, peer_count * sizeof *peers),
        [REPORT_PROXY] = client->proxy == NULL ? TEXT("") : client->proxy->key,
        [REPORT_USER] = report_client_user(client),
        [REPORT_ACCOUNT] = report_client_account(client),
    }};
}

static size_t texts_bytes(const struct texts *texts)
{
    size_t sum = 0;
    for (size_t i = 0; i < REPORT_TEXTS; i++)
        sum += texts->at[i].count;
    return sum;
}

static void figures_fill(struct report_connection *record, const struct client *client, int64_t now_ns)
{
    bool gone = client->state == CLIENT_CLOSED;
    bool flushed =
        closed_reason_flushes((enum closed_reason)client->closed_reason); /* the rest is sent yet */
    *record = (struct report_connection){
        .cid = client->cid,
        .start_ns = client->start_ns,
        .last_activity_ns = client_last_ns(client),
        .rtt_ns = client->rtt_ns,
        .stop_ns = now_ns,
        .in_messages = client->in_messages,
        .in_bytes = client->in_bytes,
        .out_messages = client->out_messages,
        .out_bytes = client->out_bytes,
        .pending_bytes = gone && flushed ? 0 : client->output.pending_bytes,
        .subscriptions = client->sids.count,
        .stalls = client->stalls,
        .port = client->port,
        .reason = client->closed_reason,
        .closed = gone,
        .token = client->login == AUTHENTICATE_TOKEN && (client->user == NULL || client->claimed != NULL),
    };
}

void report_record_make(struct report_record_draft *draft, const struct connection *connection,
                        int64_t now_ns)
{
    struct texts texts = texts_of(connection, draft->peers);
    figures_fill(&draft->figures, &connection->client, now_ns);
    draft->figures.tls_first = connection->tls != NULL && connection->tls->first;
    for (size_t i = 0; i < REPORT_TEXTS; i++) {
        draft->texts[i] = texts.at[i];
        draft->figures.text_counts[i] = (uint32_t)texts.at[i].count;
    }
    draft->bytes = sizeof(struct report_record) + sizeof draft->figures + texts_bytes(&texts);
}

void report_record_write(uint8_t *to, const struct report_record_draft *draft, uint32_t pick)
{
    struct report_record head = {
        .bytes = (uint32_t)draft->bytes, .pick = pick, .kind = REPORT_RECORD_CONNECTION};
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, &draft->figures, sizeof draft->figures);
    to += sizeof head + sizeof draft->figures;
    for (size_t i = 0; i < REPORT_TEXTS; i++)
        to = put_text(to, draft->texts[i]);
}

static struct bytes subscription_queue(const struct client_subscription *subscription)
{
    return subscription->base.group == NULL ? TEXT("") : queue_group_name(subscription->base.group);
}

size_t report_subscription_bytes(const struct client_subscription *subscription, bool with_account)
{
    if (subscription->base.interest == NULL)
        return 0;
    return sizeof(struct report_record) + sizeof(struct report_subscription) +
           interest_pattern(subscription->base.interest).count + subscription_queue(subscription).count +
           subscription->sid_count + (with_account ? report_client_account(subscription->client).count : 0);
}

void report_subscription_write(uint8_t *to, const struct client_subscription *subscription, uint32_t pick,
                               bool with_account)
{
    struct bytes account = with_account ? report_client_account(subscription->client) : TEXT("");
    struct bytes subject = interest_pattern(subscription->base.interest);
    struct bytes queue = subscription_queue(subscription);
    struct report_record head = {.bytes = (uint32_t)report_subscription_bytes(subscription, with_account),
                                 .pick = pick,
                                 .kind = REPORT_RECORD_SUBSCRIPTION};
    struct report_subscription record = {
        .cid = subscription->client->cid,
        .delivered = subscription->delivered,
        .max = subscription_max(subscription),
        .account_count = (uint32_t)account.count,
        .subject_count = (uint32_t)subject.count,
        .queue_count = (uint32_t)queue.count,
        .sid_count = subscription->sid_count,
    };
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, &record, sizeof record);
    to = put_text(to + sizeof head + sizeof record, account);
    to = put_text(put_text(to, subject), queue);
    (void)put_text(to, subscription_sid(subscription));
}
