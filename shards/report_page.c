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

/* One that was closed before it entered its account is listed there all the same. */
struct bytes report_client_account(const struct client *client)
{
    if (client->user != NULL && client->user->account != NULL)
        return client->user->account->name;
    if (client->account == NULL || client->account->configured == NULL)
        return TEXT("$G");
    return client->account->configured->name;
}

size_t report_client_bytes(const struct client *client)
{
    const struct connect_options *connect = &client->connect;
    return sizeof(struct report_record) + sizeof(struct report_connection) + strlen(client->address) +
           connect_text(connect, CONNECT_NAME).count + connect_text(connect, CONNECT_LANG).count +
           connect_text(connect, CONNECT_VERSION).count + report_client_user(client).count +
           report_client_account(client).count;
}

void report_client_write(uint8_t *to, const struct client *client, uint32_t pick, int64_t now_ns)
{
    const struct connect_options *connect = &client->connect;
    struct bytes address = text(client->address);
    struct bytes name = connect_text(connect, CONNECT_NAME), lang = connect_text(connect, CONNECT_LANG);
    struct bytes version = connect_text(connect, CONNECT_VERSION);
    struct bytes user = report_client_user(client), account = report_client_account(client);
    bool gone = client->state == CLIENT_CLOSED;
    bool flushed =
        closed_reason_flushes((enum closed_reason)client->closed_reason); /* what is pending is sent yet */
    struct report_record head = {
        .bytes = (uint32_t)report_client_bytes(client), .pick = pick, .kind = REPORT_RECORD_CONNECTION};
    struct report_connection record = {
        .cid = client->cid,
        .start_ns = client->start_ns,
        .last_activity_ns = client->last_activity_ns,
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
        .token = client->user == NULL && client->login == AUTHENTICATE_TOKEN,
        .address_count = (uint8_t)address.count,
        .name_count = (uint32_t)name.count,
        .lang_count = (uint32_t)lang.count,
        .version_count = (uint32_t)version.count,
        .user_count = (uint32_t)user.count,
        .account_count = (uint32_t)account.count,
    };
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, &record, sizeof record);
    to = put_text(to + sizeof head + sizeof record, address);
    to = put_text(put_text(put_text(to, name), lang), version);
    (void)put_text(put_text(to, user), account);
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
