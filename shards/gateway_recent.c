/* shards/gateway_recent.c - which subscriptions are so new that other clusters may not know of them when an
 * answer is to come back (spec/gateways.md 11.2); see gateways.h. For each account an index of their
 * patterns, counted, and for the shard one list of all, oldest first, by which they are forgotten. */
#include "shards/gateways.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/shard.h"

#define RECENT_NS (2 * NS_PER_SECOND)

static const struct bytes group = {(const uint8_t *)"r", 1}; /* as a queue group they are counted */

struct recent {
    struct list_link link;
    struct shard_account *account;
    int64_t until_ns;
    uint32_t pattern_count;
    uint8_t pattern[];
};

static void drop_oldest(struct gateways *gateways)
{
    struct recent *recent = LIST_ELEMENT(list_first(&gateways->recent), struct recent, link);
    struct index *index = recent->account->gateway->recent;
    struct bytes pattern = bytes_of(recent->pattern, recent->pattern_count);
    uint32_t count = index_wanted(index, pattern, group);
    if (count > 0 && index_remote_set(index, pattern, group, 0, count - 1) != ERR_OK)
        UNREACHABLE("taking away needs no memory");
    list_remove(&recent->link);
    memory_free(recent);
    gateways->recent_count--;
}

static void expire(struct shard *shard)
{
    struct list_link *at;
    while ((at = list_first(&shard->gateways.recent)) != NULL &&
           LIST_ELEMENT(at, struct recent, link)->until_ns <= shard->context.now_ns)
        drop_oldest(&shard->gateways);
}

void gateway_recent_add(struct shard *shard, struct shard_account *account, struct bytes pattern)
{
    struct gateways *gateways = &shard->gateways;
    struct gateway_account *of = account->gateway;
    expire(shard);
    if (of->recent == NULL)
        of->recent = index_new();
    struct recent *recent = of->recent == NULL ? NULL : memory_new(sizeof *recent + pattern.count);
    if (recent == NULL)
        return; /* its replies are not mapped: they come when its interest is known */
    uint32_t count = index_wanted(of->recent, pattern, group);
    if (index_remote_set(of->recent, pattern, group, 0, count + 1) != ERR_OK) {
        memory_free(recent);
        return;
    }
    recent->account = account;
    recent->until_ns = shard->context.now_ns + RECENT_NS;
    recent->pattern_count = (uint32_t)pattern.count;
    memcpy(recent->pattern, pattern.data, pattern.count);
    list_push_last(&gateways->recent, &recent->link);
    if (++gateways->recent_count > GATEWAY_RECENT_MAX)
        drop_oldest(gateways);
}

void gateway_recent_remove(struct shard *shard, const struct shard_account *account, struct bytes pattern)
{
    struct index *index = account->gateway->recent;
    if (shard->gateways.recent_count > 0 && index != NULL && index_wanted(index, pattern, group) > 0 &&
        index_remote_set(index, pattern, group, 0, 0) != ERR_OK)
        UNREACHABLE("taking away needs no memory");
}

struct bytes gateway_recent_reply(struct shard *shard, const struct shard_account *account,
                                  struct bytes reply)
{
    struct gateways *gateways = &shard->gateways;
    const struct match *match = NULL;
    struct index *index = account->gateway->recent;
    expire(shard);
    if (index == NULL || gateways->recent_count == 0 || gateway_reply_is(reply) ||
        match_cache_find(gateways->matches, index, reply, &match) != ERR_OK || match->group_count == 0)
        return reply;
    size_t bytes = GATEWAY_REPLY_PREFIX_BYTES + reply.count;
    if (gateways->reply_text_bytes < bytes) {
        uint8_t *grown = memory_grow(gateways->reply_text, bytes * 2);
        if (grown == NULL)
            return reply;
        gateways->reply_text = grown;
        gateways->reply_text_bytes = bytes * 2;
    }
    gateway_reply_prefix(gateways->own_cluster, gateways->own_server, gateways->reply_text);
    memcpy(gateways->reply_text + GATEWAY_REPLY_PREFIX_BYTES, reply.data, reply.count);
    return bytes_of(gateways->reply_text, bytes);
}

void gateway_recent_close(struct gateways *gateways)
{
    while (!list_empty(&gateways->recent))
        drop_oldest(gateways);
}
