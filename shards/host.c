/* shards/host.c - the shard as the host of its sessions: what net/host.h asks for, by the shard's own means.
 */
#include "shards/host.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "shards/mail.h"
#include "shards/router.h"
#include "shards/shard.h"
#include "shards/system_shard.h"
#include "shards/top_subjects.h"

static enum host_result host_enter(struct client *client, const struct security_account *configured,
                                   struct host_account **account)
{
    struct shard *shard = shard_of(client->context);
    struct host_account *before = client->account;
    enum host_result result = accounts_enter(shard, client, configured, account);
    if (result == HOST_DONE)
        system_shard_entered(shard, client, before, *account);
    return result;
}

static enum host_result host_subscribe(struct client *client, struct client_subscription *subscription,
                                       struct bytes subject, struct bytes queue)
{
    return shadows_subscribe(shard_of(client->context), shard_account_of(client->account), subscription,
                             subject, queue);
}

static enum host_result host_unsubscribe(struct client *client, struct client_subscription *subscription)
{
    struct shard *shard = shard_of(client->context);
    bool limited = subscription_max(subscription) != 0; /* it may stand among the expired */
    struct shard_account *account = shard_account_of(client->account);
    if (account->shadow_count > 0 && shadows_remove(shard, subscription) == HOST_FULL)
        return HOST_FULL;
    bool doubt = UNLIKELY(account->reply_count > 0) && subscription->base.interest != NULL &&
                 replies_doubt(shard, account, &subscription->base);
    enum host_result result = router_unsubscribe(shard, account, &subscription->base);
    if (doubt)
        replies_interest_gone(shard, account);
    for (uint32_t i = 0; result == HOST_DONE && limited && i < shard->expired_count; i++) {
        if (shard->expired[i] == subscription)
            shard->expired[i] = shard->expired[--shard->expired_count];
    }
    return result;
}

static enum host_result host_publish(struct client *client, const struct message *run, uint32_t *done)
{
    struct shard *shard = shard_of(client->context);
    enum host_result result = router_publish(shard, run, done);
    if (UNLIKELY(shard->expired_count > 0))
        shard_remove_expired(
            shard); /* at once: the publisher's next operation may be a SUB with the same sid */
    return result;
}

/* The same while somebody asks for the subjects that are published most. */
static enum host_result host_publish_watched(struct client *client, const struct message *run, uint32_t *done)
{
    struct shard *shard = shard_of(client->context);
    struct top_subjects *top = shard->reports.top;
    enum host_result result = host_publish(client, run, done);
    if (UNLIKELY(shard->context.now_ns >= top->watched_till_ns))
        shard->context.host = shard_host();
    else if (result != HOST_FULL)
        top_subjects_pass(top, shard_account_of(client->account)->id, run->subject, *done, run->total_bytes);
    return result;
}

static enum host_result host_publish_room(struct client *client, const struct message *message)
{
    return router_publish_room(shard_of(client->context), message);
}

static struct client_subscription *host_own_subscription(struct client *client, struct bytes subject)
{
    return router_own_subscription(shard_of(client->context), client, subject);
}

static void host_expired(struct client *client, struct client_subscription *subscription)
{
    struct shard *shard = shard_of(client->context);
    if (shard->expired_count == shard->expired_capacity) {
        uint32_t capacity = shard->expired_capacity == 0 ? 64 : shard->expired_capacity * 2;
        void *grown = memory_grow(shard->expired, capacity * sizeof *shard->expired);
        if (grown == NULL)
            return; /* it takes no more messages; it goes with its client */
        shard->expired = grown;
        shard->expired_capacity = capacity;
    }
    shard->expired[shard->expired_count++] = subscription;
}

static void host_output_ready(struct client *client)
{
    struct connection *connection = connection_of(client);
    if (!list_linked(&connection->with_output))
        list_push_last(&shard_of(client->context)->with_output, &connection->with_output);
}

static enum host_result host_check_password(struct client *client, struct bytes stored, struct bytes given)
{
    struct shard *shard = shard_of(client->context);
    uint32_t worker = shard->shard_count + 1;
    struct mail_password mail = {
        .kind = MAIL_PASSWORD,
        .stored_count = (uint16_t)stored.count,
        .given_count = (uint32_t)given.count,
        .place = client->place,
    };
    if (!mailbox_has_room_for(post_box(&shard->post, worker), sizeof mail, 1))
        return HOST_FULL;
    mail.block = block_take(&shard->context.pool.blocks, stored.count + given.count);
    if (mail.block == NULL)
        return HOST_MEMORY;
    memcpy(mail.block->bytes, stored.data, stored.count);
    if (given.count > 0)
        memcpy(mail.block->bytes + stored.count, given.data, given.count);
    uint8_t *record = post_reserve(&shard->post, worker, sizeof mail, false);
    ASSERT(record != NULL);
    memcpy(record, &mail, sizeof mail);
    post_commit(&shard->post, worker, sizeof mail);
    return HOST_DONE;
}

static enum host_result host_ask_callout(struct client *client)
{
    return callouts_ask(shard_of(client->context), connection_of(client));
}

static void host_closing(struct client *client, bool flush)
{
    struct shard *shard = shard_of(client->context);
    callouts_forget(shard, client);
    closed_remember(&shard->closed, connection_of(client), shard->context.options->max_closed_clients,
                    shard->context.now_ns);
    system_shard_closed(shard, client);
    accounts_leave(shard, client);
    connection_closing(shard, connection_of(client), flush);
}

static void host_stall(struct session_context *context, const struct publisher_place *place, int64_t stall_ns)
{
    struct shard *shard = shard_of(context);
    if (place->shard == shard->post.self) {
        struct connection *connection = shard_connection_at(shard, place);
        if (connection != NULL)
            connection_stall(shard, connection, stall_ns);
        return;
    }
    /* Not yet: the message whose delivery asks for this has been promised its room in the mailboxes. */
    if (shard->stalls_waiting < SHARD_STALLS_MAX)
        shard->stalls[shard->stalls_waiting++] =
            (struct mail_stall){.kind = MAIL_STALL, .place = *place, .stall_ns = stall_ns};
}

void host_stalls_tell(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->stalls_waiting; i++) {
        const struct mail_stall *stall = &shard->stalls[i];
        uint8_t *record = post_reserve(&shard->post, stall->place.shard, sizeof *stall, false);
        if (record == NULL)
            continue; /* that mailbox is full: its shard is slowed by it already */
        memcpy(record, stall, sizeof *stall);
        post_commit(&shard->post, stall->place.shard, sizeof *stall);
    }
    shard->stalls_waiting = 0;
}

/* clang-format off */
#define OPERATIONS(publish_function)                                                                         \
    {                                                                                                        \
        .enter = host_enter,                                                                                 \
        .subscribe = host_subscribe,                                                                         \
        .unsubscribe = host_unsubscribe,                                                                     \
        .publish = publish_function,                                                                         \
        .publish_room = host_publish_room,                                                                   \
        .own_subscription = host_own_subscription,                                                           \
        .expired = host_expired,                                                                             \
        .output_ready = host_output_ready,                                                                   \
        .check_password = host_check_password,                                                               \
        .ask_callout = host_ask_callout,                                                                     \
        .closing = host_closing,                                                                             \
        .stall = host_stall,                                                                                 \
    }
/* clang-format on */

static const struct host_operations operations = OPERATIONS(host_publish);
static const struct host_operations watched_operations = OPERATIONS(host_publish_watched);

const struct host_operations *shard_host(void)
{
    return &operations;
}

const struct host_operations *shard_host_watched(void)
{
    return &watched_operations;
}
