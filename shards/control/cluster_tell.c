/* shards/control/cluster_tell.c - what the control core tells routes; see peers.h for what happens where a
 * mailbox is full. */
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"

void cluster_route_go_on(struct control *control, struct cluster_route *route, bool retells)
{
    struct mail_route_answer mail = peer_goes_on(route->rid);
    mail.retells = retells;
    peer_answer_say(control, route->shard, &route->answer, &mail);
}

void cluster_route_end(struct control *control, struct cluster_route *route, enum closed_reason reason,
                       const char *error)
{
    struct mail_route_answer mail = peer_ends(route->rid, (uint8_t)reason, error);
    peer_answer_say(control, route->shard, &route->answer, &mail);
}

static bool send_lines(struct control *control, struct cluster_route *route, struct bytes lines, bool moves)
{
    bool good = peer_lines_say(control, route->shard, route->rid, lines, moves);
    if (!good)
        cluster_route_end(control, route, CLOSED_WRITE_ERROR, NULL);
    return good;
}

bool cluster_send(struct control *control, struct cluster_route *route, struct bytes lines)
{
    return send_lines(control, route, lines, false);
}

bool cluster_send_moved(struct control *control, struct cluster_route *route, struct bytes lines)
{
    return send_lines(control, route, lines, true);
}

bool cluster_owed_tell(struct control *control)
{
    const struct list *routes = &control->cluster.routes;
    bool left = false;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at)) {
        struct cluster_route *route = LIST_ELEMENT(at, struct cluster_route, all);
        left |= peer_answer_again(control, route->shard, &route->answer);
    }
    return left;
}
