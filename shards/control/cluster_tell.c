/* shards/control/cluster_tell.c - what the control core tells routes. A mailbox may be full, and what is said
 * here cannot wait for a socket: an answer is kept in its route, which has one at a time, until there is
 * room; a route whose lines find none, or no memory, is ended, because a peer that missed some would be wrong
 * for as long as it is there, and one that comes again is told everything. */
#include "core/base/check.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"

#include <stdio.h>
#include <string.h>

static void answer(struct control *control, struct cluster_route *route, const struct mail_route_answer *mail)
{
    if (route->owes && route->owed.close)
        return; /* its end is said already */
    route->owes = !control_tell(control, route->shard, mail, sizeof *mail);
    if (route->owes)
        route->owed = *mail;
}

void cluster_route_go_on(struct control *control, struct cluster_route *route)
{
    struct mail_route_answer mail = {.kind = MAIL_ROUTE_ANSWER, .rid = route->rid};
    answer(control, route, &mail);
}

void cluster_route_end(struct control *control, struct cluster_route *route, enum closed_reason reason,
                       const char *error)
{
    struct mail_route_answer mail = {
        .kind = MAIL_ROUTE_ANSWER, .rid = route->rid, .close = true, .reason = (uint8_t)reason};
    if (error != NULL)
        snprintf(mail.error, sizeof mail.error, "%s", error);
    answer(control, route, &mail);
}

bool cluster_send(struct control *control, struct cluster_route *route, struct bytes lines)
{
    struct block_pool none = {0};
    struct mail_route_bytes mail = {.kind = MAIL_ROUTE_BYTES,
                                    .rid = route->rid,
                                    .count = (uint32_t)lines.count,
                                    .block = block_take(&none, lines.count)};
    bool good = mail.block != NULL;
    if (good) {
        memcpy(mail.block->bytes, lines.data, lines.count);
        good = control_tell(control, route->shard, &mail, sizeof mail);
    }
    if (!good) {
        block_release(&none, mail.block);
        cluster_route_end(control, route, CLOSED_WRITE_ERROR, NULL);
    }
    block_pool_close(&none);
    return good;
}

bool cluster_owed_tell(struct control *control)
{
    const struct list *routes = &control->cluster.routes;
    bool left = false;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at)) {
        struct cluster_route *route = LIST_ELEMENT(at, struct cluster_route, all);
        if (route->owes)
            route->owes = !control_tell(control, route->shard, &route->owed, sizeof route->owed);
        left |= route->owes;
    }
    return left;
}
