/* shards/control/cluster_reload.c - what follows from a reload for the cluster (spec/routes.md 11.3, 18).
 * Shards have been told of the new options before, in the same mailboxes, so what is said to a route from
 * here is said behind them. */
#include "core/base/log.h"
#include "net/cluster_changes.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"

#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 256 };

/* ---- the list of routes ---- */

static void route_remove(struct control *control, struct cluster_route *route, const struct dial *dial)
{
    log_notice(control->log, "Removed route %s", dial->url.text);
    cluster_route_end(control, route, CLOSED_ROUTE_REMOVED, NULL);
}

/* Whether an address that is still configured leads to that server too. */
static bool dialled_otherwise(struct cluster *cluster, const struct dial *but)
{
    for (struct list_link *at = list_first(&cluster->dials); at != NULL;
         at = list_next(&cluster->dials, at)) {
        const struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        if (dial != but && !dial->removed && cluster_dial_leads_to(cluster, dial, but->member))
            return true;
    }
    return false;
}

/* Nobody dials that address any more. The route that it led to ends; where the other server's own route was
 * kept in its place, that one does, as in nats-server (routes.md 7.4). */
static void dial_remove(struct control *control, struct dial *dial)
{
    struct cluster *cluster = &control->cluster;
    struct cluster_route *route = cluster_route_by_rid(cluster, dial->rid);
    if (dial->state == DIAL_CONNECTED && route != NULL)
        route_remove(control, route, dial);
    for (size_t line = 0; dial->state == DIAL_RESTING && line < ROUTE_LINES_MAX; line++) {
        route = cluster->members[dial->member].lines[line];
        if (route != NULL && !dialled_otherwise(cluster, dial))
            route_remove(control, route, dial);
    }
    cluster_dial_drop(control, dial);
}

static void routes_remove(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    const struct cluster_options *options = &control->snapshot->options->cluster;
    for (struct list_link *at = list_first(&cluster->dials); at != NULL;
         at = list_next(&cluster->dials, at)) {
        struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        dial->removed = dial->configured && !cluster_options_route(options, &dial->url);
    }
    for (struct list_link *at = list_first(&cluster->dials), *next = NULL; at != NULL; at = next) {
        struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        next = list_next(&cluster->dials, at);
        if (dial->removed && !dial->given_up)
            dial_remove(control, dial);
    }
}

static void routes_add(struct control *control, const struct cluster_options *before)
{
    const struct cluster_options *options = &control->snapshot->options->cluster;
    for (uint32_t i = 0; i < options->route_count; i++) {
        if (!cluster_options_route(before, &options->routes[i]))
            cluster_dial_new(control, &options->routes[i], true, ROUTE_LINE_NONE, NULL);
    }
}

/* ---- what others are told ---- */

/* Routes under the old name stay; a new one is held to the new name. */
static bool name_change(struct control *control, const char *name)
{
    struct cluster *cluster = &control->cluster;
    if (name == NULL || strcmp(name, cluster->name) == 0)
        return false;
    snprintf(cluster->name, sizeof cluster->name, "%s", name);
    cluster->dynamic = false;
    log_notice(control->log, "Cluster name updated to %s", cluster->name);
    return true;
}

void cluster_info_again(struct control *control, struct cluster_route *route)
{
    char line[ROUTE_INFO_BYTES_MAX];
    route->info_owed = route->member == CLUSTER_NO_MEMBER;
    if (route->info_owed)
        return;
    size_t count = cluster_own_info_write(control, line, sizeof line);
    if (count > 0)
        (void)cluster_send(control, route, bytes_of(line, count));
}

static void infos_tell(struct control *control)
{
    const struct list *routes = &control->cluster.routes;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at))
        cluster_info_again(control, LIST_ELEMENT(at, struct cluster_route, all));
}

/* Name, addresses and what INFO says beside them; all routes are told when it is not what it was, and clients
 * when their URLs are not. */
static void words_change(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    const struct server_options *options = control->snapshot->options, *before = control->retired->options;
    char old_line[ROUTE_INFO_BYTES_MAX], line[ROUTE_INFO_BYTES_MAX], why[WHY_BYTES] = "";
    char old_urls[CLUSTER_LOCAL_URLS_BYTES];
    struct route_info old_info = cluster_own_info_by(control, before);
    size_t old_count = cluster_info_write(&old_info, old_line, sizeof old_line);
    struct bytes urls_before = bytes_of(old_urls, cluster->local_urls_bytes);
    memcpy(old_urls, cluster->local_urls, cluster->local_urls_bytes);
    bool renamed = name_change(control, options->cluster.name);
    if (!cluster_addresses_make(control, why, sizeof why))
        log_error(control->log, "%s", why);
    size_t count = cluster_own_info_write(control, line, sizeof line);
    if (!bytes_equal(bytes_of(old_line, old_count), bytes_of(line, count)))
        infos_tell(control);
    if (renamed || options->cluster.no_advertise != before->cluster.no_advertise ||
        !bytes_equal(urls_before, bytes_of(cluster->local_urls, cluster->local_urls_bytes)))
        cluster_urls_tell(control);
}

/* Who has come with a login that is none any more goes. */
static void logins_check(struct control *control, const struct cluster_options *before)
{
    const struct list *routes = &control->cluster.routes;
    const struct cluster_options *options = &control->snapshot->options->cluster;
    if (bytes_equal(before->user, options->user) && bytes_equal(before->password, options->password))
        return;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at))
        cluster_login_again(control, LIST_ELEMENT(at, struct cluster_route, all));
}

void cluster_reloaded(struct control *control)
{
    if (!control->cluster.on)
        return;
    logins_check(control, &control->retired->options->cluster);
    words_change(control);
    routes_remove(control);
    routes_add(control, &control->retired->options->cluster);
    cluster_lines_reloaded(control);
}
