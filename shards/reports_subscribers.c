/* shards/reports_subscribers.c - how many subscriptions of clients an account has for a subject: the
 * account's own clients', and, through stream imports, those of others (docs/events.md 2). Clients are walked
 * through, not the index: a pattern may have a hundred thousand subscribers, and a page looks at no more than
 * 256. */
#include "core/base/check.h"
#include "core/subject/subject.h"
#include "shards/reports_internal.h"
#include "shards/shadows.h"
#include "shards/shard.h"

/* Whether a subscription in the account's index is one of those that are asked for. */
static bool fits(const struct report_query *query, const struct subscription *subscription)
{
    if (subscription->interest == NULL)
        return false;
    struct bytes pattern = interest_pattern(subscription->interest);
    struct bytes group =
        subscription->group == NULL ? (struct bytes){NULL, 0} : queue_group_name(subscription->group);
    if (query->queue_given && !bytes_equal(group, query->queue))
        return false;
    if (query->wildcard)
        return subject_is_subset(pattern, query->test);
    return (!query->queue_given || query->queue.count > 0) && subject_matches(pattern, query->test);
}

struct shadow_counting {
    struct answering *answering;
    const struct shard_account *account;
};

static void shadow_count(void *context, const struct shadow *shadow)
{
    struct shadow_counting *counting = context;
    if (shadow->exporter == counting->account && fits(counting->answering->query, &shadow->foreign.base))
        counting->answering->counted++;
}

/* minor is where in its subscriptions to go on. False: it has looked at enough. */
static bool client_count(struct answering *answering, const struct shard_account *account,
                         const struct client *client)
{
    bool own = shard_account_of(client->account) == account;
    struct shadow_counting counting = {answering, account};
    for (;;) {
        const struct client_subscription *subscription = sids_next(&client->sids, &answering->at.minor);
        if (subscription == NULL)
            return true;
        if (own)
            answering->counted += fits(answering->query, &subscription->base);
        else
            shadows_visit(answering->shard, subscription, shadow_count, &counting);
        if (--answering->items_left == 0)
            return false;
    }
}

/* major: the slot. */
void reports_subscribers_page(struct answering *answering)
{
    const struct shard *shard = answering->shard;
    const struct security_account *configured =
        security_account_find(&shard->context.security->accounts, answering->query->account);
    const struct shard_account *account = configured == NULL || configured->id >= shard->accounts.capacity
                                              ? NULL
                                              : shard->accounts.by_id[configured->id];
    uint32_t slots_left = REPORT_ITEMS_MAX * 4;
    for (; account != NULL && answering->at.major < shard->slot_count;
         answering->at.major++, answering->at.minor = 0) {
        const struct connection *connection = shard->slots[answering->at.major];
        if (slots_left-- == 0)
            return;
        if (connection == NULL || connection->client.state == CLIENT_CLOSED ||
            connection->client.account == NULL)
            continue;
        const struct client *client = &connection->client;
        const struct shard_account *of = shard_account_of(client->account);
        if ((of == account || of->shadow_count > 0) && !client_count(answering, account, client))
            return;
    }
    answering->at.major = UINT64_MAX;
}
