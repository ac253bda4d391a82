/* shards/gateway_replies.c - the way back for replies that carry it in their name (spec/gateways.md 11.4,
 * 11.5); see gateways.h. Who delivers such a request to a client remembers under the client and the reply
 * that it sees what the whole reply was; two seconds long, oldest first in a list, by hash in a table. */
#include "shards/gateways.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "net/client.h"
#include "shards/router.h"
#include "shards/shard.h"

#define REPLY_NS (2 * NS_PER_SECOND)

struct mapped_reply {
    uint32_t hash; /* in gateways.reply_table */
    uint32_t whole_count;
    struct list_link link;
    struct shard_account *account; /* of the client: it counts them */
    uint64_t cid;
    int64_t until_ns;
    uint8_t whole[];
};

struct key {
    uint64_t cid;
    struct bytes stripped;
};

static struct bytes whole_of(const struct mapped_reply *reply)
{
    return bytes_of(reply->whole, reply->whole_count);
}

static bool same(const uint32_t *item, const void *context)
{
    const struct mapped_reply *reply = CONTAINER_OF(item, const struct mapped_reply, hash);
    const struct key *key = context;
    return reply->cid == key->cid && bytes_equal(gateway_reply_stripped(whole_of(reply)), key->stripped);
}

static void drop(struct gateways *gateways, struct mapped_reply *reply)
{
    index_table_erase(&gateways->reply_table, &reply->hash);
    list_remove(&reply->link);
    reply->account->gateway_reply_count--;
    gateways->reply_count--;
    memory_free(reply);
}

static struct mapped_reply *oldest(struct gateways *gateways)
{
    struct list_link *at = list_first(&gateways->replies);
    return at == NULL ? NULL : LIST_ELEMENT(at, struct mapped_reply, link);
}

static void expire(struct shard *shard)
{
    struct mapped_reply *reply;
    while ((reply = oldest(&shard->gateways)) != NULL && reply->until_ns <= shard->context.now_ns)
        drop(&shard->gateways, reply);
}

static struct mapped_reply *find(struct shard *shard, uint64_t cid, struct bytes stripped, uint32_t *hash)
{
    struct key key = {cid, stripped};
    *hash = (uint32_t)hash_bytes(stripped, shard->context.hash_seed ^ cid);
    uint32_t *item = index_table_find(&shard->gateways.reply_table, *hash, same, &key);
    return item == NULL ? NULL : CONTAINER_OF(item, struct mapped_reply, hash);
}

void gateway_replies_note(struct shard *shard, const struct client *client, struct bytes reply)
{
    struct gateways *gateways = &shard->gateways;
    uint32_t hash;
    expire(shard);
    struct mapped_reply *known = find(shard, client->cid, gateway_reply_stripped(reply), &hash);
    if (known != NULL)
        drop(gateways, known); /* the last request counts */
    while (gateways->reply_count >= GATEWAY_REPLIES_MAX)
        drop(gateways, oldest(gateways));
    struct mapped_reply *new = memory_new(sizeof *new + reply.count);
    if (new == NULL || index_table_reserve(&gateways->reply_table) != ERR_OK) {
        memory_free(new);
        return; /* the answer goes as any other message does */
    }
    new->hash = hash;
    new->whole_count = (uint32_t)reply.count;
    new->account = shard_account_of(client->account);
    new->cid = client->cid;
    new->until_ns = shard->context.now_ns + REPLY_NS;
    memcpy(new->whole, reply.data, reply.count);
    index_table_put(&gateways->reply_table, &new->hash);
    list_push_last(&gateways->replies, &new->link);
    new->account->gateway_reply_count++;
    gateways->reply_count++;
}

struct bytes gateway_replies_find(struct shard *shard, const struct client *client, struct bytes subject)
{
    uint32_t hash;
    expire(shard);
    const struct mapped_reply *reply = find(shard, client->cid, subject, &hash);
    return reply == NULL ? (struct bytes){NULL, 0} : whole_of(reply);
}

/* The cluster that a mapped subject names, or NULL: there is no connection to it. */
static const struct gateway *cluster_of(const struct gateways *gateways, struct bytes mapped,
                                        uint32_t *number)
{
    for (uint32_t i = 0; i < gateways->count; i++) {
        *number = gateways->order[i];
        if (gateway_reply_for_cluster(mapped, gateways->all[*number].hash))
            return &gateways->all[*number];
    }
    return NULL;
}

enum host_result gateway_replies_room(struct shard *shard, const struct message *message, struct bytes mapped)
{
    uint32_t number;
    struct message answer = *message;
    answer.subject = mapped;
    return cluster_of(&shard->gateways, mapped, &number) == NULL || gateways_send_room(shard, number, &answer)
               ? HOST_DONE
               : HOST_FULL;
}

enum host_result gateway_replies_publish(struct shard *shard, struct shard_account *account,
                                         const struct message *run, struct bytes mapped, uint32_t *done)
{
    uint32_t number;
    struct message answer = message_first(run, 1);
    *done = 1;
    answer.subject = mapped;
    answer.line_serial = 0;
    if (cluster_of(&shard->gateways, mapped, &number) == NULL)
        return HOST_DONE; /* lost, as in nats-server */
    if (!gateways_send_room(shard, number, &answer))
        return HOST_FULL;
    if (run->reply.count > 0)
        answer.reply = gateway_recent_reply(shard, account, run->reply);
    (void)gateways_send(shard, account, number, &answer, (struct bytes){NULL, 0});
    return HOST_DONE;
}

/* ---- answers that come home ---- */

/* The routed server that asked, or REMOTES_MAX: it is this one, or nobody knows it. */
static uint32_t server_of(const struct shard *shard, struct bytes subject)
{
    if (gateway_reply_for_server(subject, shard->gateways.own_server))
        return REMOTES_MAX;
    return remotes_by_hash(shard, subject);
}

enum host_result gateway_replies_take(struct shard *shard, struct shard_account *account,
                                      const struct message *message, bool from_gateway)
{
    if (!gateway_reply_for_cluster(message->subject, shard->gateways.own_cluster))
        return HOST_DONE;
    uint32_t server = from_gateway ? server_of(shard, message->subject) : REMOTES_MAX;
    if (server != REMOTES_MAX)
        return remotes_pass(shard, account, server, message);
    struct message answer = *message;
    answer.subject = gateway_reply_stripped(message->subject);
    answer.mapped_reply = gateway_reply_is(message->reply);
    /* It has come to the cluster that asked: others get it only if it is not for the service that asked. */
    answer.way = bytes_start_with(answer.subject, TEXT("_R_.")) ? MESSAGE_STAYS : MESSAGE_PUBLISHED;
    enum host_result room = router_room(shard, account, &answer);
    if (room == HOST_DONE)
        (void)router_route(shard, account, &answer);
    return room;
}

void gateway_replies_close(struct gateways *gateways)
{
    struct mapped_reply *reply;
    while ((reply = oldest(gateways)) != NULL)
        drop(gateways, reply);
    index_table_close(&gateways->reply_table);
}
