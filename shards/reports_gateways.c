/* shards/reports_gateways.c - pages about other clusters: the figures of each connection; for each account
 * how each cluster's interest in it is known; and what one has listed of one account; see reports.h. The
 * latter two are the same on every shard. */
#include "core/subject/index.h"
#include "shards/reports_internal.h"
#include "shards/route_connection.h"
#include "shards/shard.h"

static uint64_t listed_by(const struct shard *shard, uint32_t number)
{
    uint64_t count = 0;
    for (uint32_t id = 0; id < shard->accounts.capacity; id++) {
        const struct shard_account *account = shard->accounts.by_id[id];
        if (account != NULL && account->gateway != NULL &&
            !leaving_has(&account->gateway->listed_leaving, number))
            count += index_remote_count(account->gateway->listed, number);
    }
    return count;
}

/* major: the lowest gid that has not been told. */
void reports_gateways_page(struct answering *answering)
{
    const struct shard *shard = answering->shard;
    const struct list *all = &shard->remotes.routes;
    for (struct list_link *at = list_first(all); at != NULL; at = list_next(all, at)) {
        const struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        const struct route *route = &connection->route;
        bool outbound = connection->gateway != ROUTE_NONE;
        if ((!outbound && !connection->gateway_inbound) || route->rid < answering->at.major)
            continue;
        struct report_gateway figures = {
            .gid = route->rid,
            .start_ns = route->start_ns,
            .last_activity_ns = route->last_activity_ns,
            .rtt_ns = route->rtt_ns,
            .in_messages = route->in_messages,
            .in_bytes = route->in_bytes,
            .out_messages = route->out_messages,
            .out_bytes = route->out_bytes,
            .pending_bytes = route->output.pending_bytes,
            .subscriptions = outbound ? listed_by(shard, connection->gateway) : 0,
        };
        if (answering->items_left-- == 0 || !page_put(&answering->page, &figures, sizeof figures))
            return; /* new ones stand at the end of the list: gids go up */
        answering->at.major = route->rid + 1;
    }
    answering->at.major = UINT64_MAX;
}

static enum report_gateway_mode mode_of(const struct gateway_account *of, uint64_t bit)
{
    return (of->complete & bit) != 0  ? REPORT_GATEWAY_LISTED
           : (of->listing & bit) != 0 ? REPORT_GATEWAY_LISTING
                                      : REPORT_GATEWAY_GUESSED;
}

/* major: the next account's id; minor: the next cluster's number. */
void reports_gateway_accounts_page(struct answering *answering)
{
    const struct shard *shard = answering->shard;
    struct report_cursor *at = &answering->at;
    for (; at->major < shard->accounts.capacity; at->major++, at->minor = 0) {
        const struct shard_account *account = shard->accounts.by_id[at->major];
        const struct gateway_account *of = account == NULL ? NULL : account->gateway;
        for (; of != NULL && at->minor < GATEWAYS_MAX; at->minor++) {
            uint32_t number = (uint32_t)at->minor;
            uint64_t bit = 1ULL << number;
            struct report_gateway_account figures = {
                .account = account->id,
                .number = number,
                .mode = mode_of(of, bit),
                .silent = of->counts[number].silent,
                .groups = of->counts[number].groups,
                .subscriptions =
                    leaving_has(&of->listed_leaving, number) ? 0 : index_remote_count(of->listed, number),
            };
            bool known = ((of->listing | of->complete | of->none) & bit) != 0 || figures.silent > 0 ||
                         figures.subscriptions > 0;
            if (!known || (shard->gateways.up & bit) == 0)
                continue;
            if (answering->items_left-- == 0 || !page_put(&answering->page, &figures, sizeof figures))
                return;
        }
    }
    at->major = UINT64_MAX;
}

/* The number of the cluster behind an outbound connection; GATEWAYS_MAX: it has gone. */
static uint32_t number_of(const struct gateways *gateways, uint64_t gid)
{
    uint32_t number = 0;
    while (number < GATEWAYS_MAX && ((gateways->up >> number & 1) == 0 || gateways->all[number].rid != gid))
        number++;
    return number;
}

/* minor and skip as reports_interest_tell() has them. */
void reports_gateway_subscriptions_page(struct answering *answering)
{
    struct shard *shard = answering->shard;
    const struct report_query *query = answering->query;
    uint32_t number = number_of(&shard->gateways, query->cid);
    const struct shard_account *account =
        query->account_id < shard->accounts.capacity ? shard->accounts.by_id[query->account_id] : NULL;
    bool known = account != NULL && account->gateway != NULL && number < GATEWAYS_MAX;
    known = known && !leaving_has(&account->gateway->listed_leaving, number);
    if (!known || reports_interest_tell(answering, account->gateway->listed, number, query->cid,
                                        (struct bytes){NULL, 0}))
        answering->at.major = UINT64_MAX;
}
