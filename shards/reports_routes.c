/* shards/reports_routes.c - pages about routes: the figures of each, and what the server behind one wants;
 * see reports.h. */
#include "core/security/account.h"
#include "core/subject/index.h"
#include "shards/reports_internal.h"
#include "shards/route_connection.h"
#include "shards/shard.h"

/* major: the lowest rid that has not been told. */
void reports_routes_page(struct answering *answering)
{
    struct list *routes = &answering->shard->remotes.routes;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at)) {
        const struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        const struct route *route = &connection->route;
        if (connection->remote == ROUTE_NONE || route->rid < answering->at.major)
            continue;
        struct report_route figures = {
            .rid = route->rid,
            .start_ns = route->start_ns,
            .last_activity_ns = route->last_activity_ns,
            .rtt_ns = route->rtt_ns,
            .in_messages = route->in_messages,
            .in_bytes = route->in_bytes,
            .out_messages = route->out_messages,
            .out_bytes = route->out_bytes,
            .pending_bytes = route->output.pending_bytes,
            .subscriptions = connection->subscription_count,
        };
        if (answering->items_left-- == 0 || !page_put(&answering->page, &figures, sizeof figures))
            return; /* new routes stand at the end of the list: rids go up */
        answering->at.major = route->rid + 1;
    }
    answering->at.major = UINT64_MAX;
}

static const struct route_connection *route_by_rid(struct shard *shard, uint64_t rid)
{
    struct list *routes = &shard->remotes.routes;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at)) {
        const struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        if (connection->route.rid == rid && connection->remote != ROUTE_NONE)
            return connection;
    }
    return NULL;
}

/* major: the account, from 0; minor: where in its index; skip: so many of that place are told. */
void reports_route_subscriptions_page(struct answering *answering)
{
    struct shard *shard = answering->shard;
    const struct route_connection *connection = route_by_rid(shard, answering->query->cid);
    for (; connection != NULL && answering->at.major < shard->accounts.capacity; answering->at.major++) {
        const struct shard_account *account = shard->accounts.by_id[answering->at.major];
        if (answering->items_left == 0)
            return;
        answering->items_left--;
        if (account != NULL && account->host.configured != NULL && account->remote != NULL &&
            account->remotes.lines[connection->remote] == connection->line &&
            index_remote_count(account->remote, connection->remote) > 0 &&
            !reports_interest_tell(answering, account->remote, connection->remote, connection->route.rid,
                                   account->host.configured->name))
            return;
    }
    answering->at.major = UINT64_MAX;
}
