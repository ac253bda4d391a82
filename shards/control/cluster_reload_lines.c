/* shards/control/cluster_reload_lines.c - what follows from a reload for the connections to one server:
 * another size of the pool, accounts that get a line of their own or lose it, another compression
 * (spec/routes.md 13.4, 14). What would have interest told on two lines at once, the shards have closed by
 * then (remotes_tell.c). */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"

#include <string.h>

#define MOVE_PATIENCE_NS (2 * NS_PER_SECOND) /* as nats-server */

/* ---- routes that come back as others ---- */

static void route_renew(struct control *control, struct cluster_route *route, enum closed_reason reason)
{
    if (route->dial != NULL)
        route->dial->soon = true;
    cluster_route_end(control, route, reason, NULL);
}

/* Compressed in one way and in another is all the same to who reads; whether it is has been settled when the
 * connection began. */
static void compression_change(struct control *control, struct cluster_route *route,
                               enum route_compression_mode mode)
{
    enum route_compression_mode now = (enum route_compression_mode)route->compression;
    if (route->member == CLUSTER_NO_MEMBER)
        route_renew(control, route, CLOSED_CLIENT_CLOSED);
    else if (now == ROUTE_COMPRESSION_NOT_SUPPORTED || now == mode)
        return;
    else if (!route_compression_on(now) || !route_compression_on(mode))
        route_renew(control, route, CLOSED_CLIENT_CLOSED);
    else
        route->compression = (uint8_t)mode;
}

/* A server without pools has one connection, of whatever size ours are. */
static void size_change(struct control *control, struct cluster_route *route)
{
    struct cluster_member *member =
        route->member == CLUSTER_NO_MEMBER ? NULL : &control->cluster.members[route->member];
    if (member != NULL && (member->info.pool_size <= 0 || route->line >= ROUTE_POOL_MAX))
        return;
    route_renew(control, route, CLOSED_ROUTE_REMOVED);
}

/* One dial is left for each address; the pool is filled anew when that one has its route. */
static void slots_remove(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    for (struct list_link *at = list_first(&cluster->dials), *next = NULL; at != NULL; at = next) {
        struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        const struct cluster_route *route = cluster_route_by_rid(cluster, dial->rid);
        bool plain = dial->state == DIAL_CONNECTED && route != NULL && route->member != CLUSTER_NO_MEMBER &&
                     cluster->members[route->member].info.pool_size <= 0;
        next = list_next(&cluster->dials, at);
        if (dial->further && dial->line == ROUTE_LINE_NONE && !dial->given_up && !plain)
            cluster_dial_drop(control, dial);
    }
}

/* Dials for an account that has no line any more. */
static void lines_remove(struct control *control, const struct cluster_pool *before)
{
    struct cluster *cluster = &control->cluster;
    const struct cluster_pool *pool = &control->snapshot->options->cluster.pool;
    for (struct list_link *at = list_first(&cluster->dials), *next = NULL; at != NULL; at = next) {
        struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        next = list_next(&cluster->dials, at);
        if (dial->given_up || dial->line == ROUTE_LINE_NONE ||
            bytes_equal(cluster_pool_account(pool, dial->line), cluster_pool_account(before, dial->line)))
            continue;
        struct cluster_route *route = cluster_route_by_rid(cluster, dial->rid);
        if (dial->state == DIAL_CONNECTED && route != NULL)
            cluster_route_end(control, route, CLOSED_ROUTE_REMOVED, NULL);
        cluster_dial_drop(control, dial);
    }
}

/* ---- accounts that get a line of their own ---- */

/* Tells the members that have pools, on the line that the account has had until now. */
static void move_ask(struct control *control, struct bytes account)
{
    struct cluster *cluster = &control->cluster;
    const struct cluster_pool *pool = &control->snapshot->options->cluster.pool;
    char line[ROUTE_INFO_BYTES_MAX];
    struct route_info info = {.pool_size = pool->size,
                              .route_account = account,
                              .route_account_request = bytes_of(cluster->move_id, sizeof cluster->move_id)};
    size_t count = route_info_write(line, sizeof line, &info);
    for (size_t i = 0; count > 0 && i < REMOTES_MAX; i++) {
        const struct cluster_member *member = &cluster->members[i];
        struct cluster_route *route = member->lines[cluster_pool_slot(pool, account)];
        if (member->line_count > 0 && member->info.pool_size > 0 && route != NULL &&
            cluster_send(control, route, bytes_of(line, count)))
            cluster->moves_unanswered++;
    }
}

static void lines_add(struct control *control, const struct cluster_pool *before)
{
    struct cluster *cluster = &control->cluster;
    const struct cluster_pool *pool = &control->snapshot->options->cluster.pool;
    bool added = false;
    for (uint32_t i = 0; i < pool->account_count; i++) {
        struct bytes account = pool->accounts[i];
        if (account.count == 0 || cluster_pool_dedicated(before, account) != ROUTE_LINE_NONE)
            continue;
        if (!added) { /* whom an earlier reload waits for need not answer any more */
            cluster->moves_unanswered = 0;
            nuid_make(cluster->move_id, &cluster->random);
        }
        added = true;
        if (pool->size == before->size) /* else the line that it had is gone already */
            move_ask(control, account);
    }
    if (!added)
        return; /* what an earlier reload has begun goes on */
    cluster->moving = true;
    if (cluster->moves_unanswered > 0 &&
        timers_set(&control->timers, &cluster->move_timer, control->now_ns + MOVE_PATIENCE_NS) != ERR_OK)
        cluster->moves_unanswered = 0;
}

/* Not before all shards know the new options: until then they may not be done with what was said before. */
static void move_try(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    if (!cluster->moving || cluster->moves_unanswered > 0 || control->retired != NULL)
        return;
    cluster->moving = false;
    timers_cancel(&control->timers, &cluster->move_timer);
    for (struct list_link *at = list_first(&cluster->routes); at != NULL;
         at = list_next(&cluster->routes, at)) {
        const struct cluster_route *route = LIST_ELEMENT(at, struct cluster_route, all);
        if (route->member != CLUSTER_NO_MEMBER && cluster->members[route->member].info.pool_size > 0)
            cluster_pool_fill(control, route);
    }
}

void cluster_move_due(struct control *control)
{
    log_warning(control->log,
                "Timed out waiting for confirmation from all routes regarding per-account routes changes");
    control->cluster.moves_unanswered = 0;
    move_try(control);
}

/* A member that is being reloaded waits until all others have heard (routes.md 13.4). Where the account has a
 * line of its own already, what the member wanted of it is dropped first: it will say so anew on that line.
 * Else it stays where it is for us until this server has the same configuration: what the account wants there
 * is still served by the line that it was said on, while nats-server drops it. */
void cluster_account_moves(struct control *control, struct cluster_route *route,
                           const struct route_info *said)
{
    struct cluster *cluster = &control->cluster;
    char line[ROUTE_INFO_BYTES_MAX];
    struct route_info info = *said;
    if (info.route_account.count == 0) { /* an answer */
        bool ours =
            bytes_equal(info.route_account_request, bytes_of(cluster->move_id, sizeof cluster->move_id));
        cluster->moves_unanswered -= ours && cluster->moves_unanswered > 0;
        move_try(control);
        return;
    }
    bool own = cluster_pool_dedicated(&control->snapshot->options->cluster.pool, info.route_account) !=
               ROUTE_LINE_NONE;
    info.route_account = (struct bytes){NULL, 0};
    size_t count = route_info_write(line, sizeof line, &info);
    if (count > 0 && own)
        (void)cluster_send_moved(control, route, bytes_of(line, count));
    else if (count > 0)
        (void)cluster_send(control, route, bytes_of(line, count));
}

/* ---- a reload ---- */

void cluster_lines_reloaded(struct control *control)
{
    const struct cluster_options *options = &control->snapshot->options->cluster;
    const struct cluster_options *before = &control->retired->options->cluster;
    bool size = options->pool.size != before->pool.size;
    bool compression = options->compression.mode != before->compression.mode;
    for (struct list_link *at = list_first(&control->cluster.routes); at != NULL;
         at = list_next(&control->cluster.routes, at)) {
        struct cluster_route *route = LIST_ELEMENT(at, struct cluster_route, all);
        if (size)
            size_change(control, route);
        if (compression)
            compression_change(control, route, (enum route_compression_mode)options->compression.mode);
    }
    if (size)
        slots_remove(control);
    lines_remove(control, &before->pool);
    lines_add(control, &before->pool);
}

void cluster_reload_over(struct control *control)
{
    if (control->cluster.on)
        move_try(control);
}
