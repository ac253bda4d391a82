/* shards/control/monitor_routez.c - /routez (spec/monitoring.md 2.3): first the shards tell the figures of
 * their routes, all at the same time; then, with `subs`, the shard of one route after the other tells what
 * the server behind it wants, and that goes straight into the document. Who that server is, is the control
 * core's to say. */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"

#include <strings.h>

void routez_begin(struct control *control, struct monitor_task *task)
{
    struct monitor_routez *routez = &task->routez;
    char given[HTTP_PARAMETER_BYTES];
    struct bytes word = monitor_text(task, "subs", given);
    routez->detail = word.count == 6 && strncasecmp((const char *)word.data, "detail", 6) == 0;
    if (!routez->detail && !monitor_bool(task, "subs", &routez->listed))
        return;
    routez->listed |= routez->detail;
    monitor_routes_ask(control, task);
}

/* ---- collecting ---- */

void monitor_routes_ask(struct control *control, struct monitor_task *task)
{
    task->report.kind = REPORT_ROUTES;
    monitor_ask_all(control, task);
}

static bool routes_grow(struct monitor_routes *routes)
{
    enum { ROUTES_FIRST = 16 };
    if (routes->count < routes->capacity)
        return true;
    uint32_t capacity = routes->capacity == 0 ? ROUTES_FIRST : routes->capacity * 2;
    struct monitor_route *all = memory_grow(routes->all, capacity * sizeof *all);
    if (all == NULL)
        return false;
    routes->all = all;
    routes->capacity = capacity;
    return true;
}

/* In the order of their numbers: pages come in any order of shards, and in order from each. */
static void insert(struct monitor_routes *routes, const struct monitor_route *route)
{
    uint32_t at = routes->count++;
    for (; at > 0 && routes->all[at - 1].figures.rid > route->figures.rid; at--)
        routes->all[at] = routes->all[at - 1];
    routes->all[at] = *route;
}

void monitor_routes_page(struct control *control, struct monitor_task *task, uint32_t from,
                         const struct mail_report *mail)
{
    for (uint32_t at = 0; at < mail->bytes; at += (uint32_t)sizeof(struct report_route)) {
        struct monitor_route route = {.shard = from};
        memcpy(&route.figures, mail->block->bytes + at, sizeof route.figures);
        const struct cluster_route *known = cluster_route_find(control, route.figures.rid);
        if (known == NULL || known->member == CLUSTER_NO_MEMBER)
            continue; /* it ended meanwhile */
        if (!routes_grow(&task->routes)) {
            monitor_fail(task, HTTP_UNAVAILABLE, "memory is out");
            return;
        }
        insert(&task->routes, &route);
    }
}

void routez_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail)
{
    struct report_record head;
    struct monitor_routez *routez = &task->routez;
    if (task->report.kind == REPORT_ROUTES) {
        monitor_routes_page(control, task, from, mail);
        return;
    }
    for (uint32_t at = 0; at < mail->bytes; at += head.bytes) {
        memcpy(&head, mail->block->bytes + at, sizeof head);
        if (!routez->list_begun)
            json_put_array(&task->document,
                           routez->detail ? "subscriptions_list_detail" : "subscriptions_list");
        routez->list_begun = true;
        monitor_put_subscription(&task->document, mail->block->bytes + at + sizeof head, routez->detail);
    }
}

/* ---- the document ---- */

static void put_texts(struct json_output *document, const char *key, struct bytes texts)
{
    struct bytes one;
    if (texts.count == 0)
        return;
    json_put_array(document, key);
    while (route_texts_next(&texts, &one))
        json_put_text(document, NULL, one);
    json_put_array_end(document);
}

static void put_lists(struct json_output *document, const char *key, const struct route_info_lists *lists)
{
    if (lists->allow.count + lists->deny.count == 0)
        return;
    json_put_object(document, key);
    put_texts(document, "allow", lists->allow);
    put_texts(document, "deny", lists->deny);
    json_put_object_end(document);
}

static void head_write(struct control *control, struct monitor_task *task)
{
    struct json_output *document = &task->document;
    const struct cluster_options *options = &control->snapshot->options->cluster;
    json_put_object(document, NULL);
    json_put_text(document, "server_id", text(control->server_id));
    json_put_text(document, "server_name", text(control->server_name));
    monitor_put_time(document, "now", control, clock_monotonic_ns());
    put_lists(document, "import", &options->imports);
    put_lists(document, "export", &options->exports);
    json_put_unsigned(document, "num_routes", task->routes.count);
    json_put_array(document, "routes");
}

/* All of an entry that stands before its subscriptions. */
static void route_begin(struct control *control, struct monitor_task *task, const struct monitor_route *route)
{
    static const struct route_info nothing = {0};
    struct json_output *document = &task->document;
    const struct report_route *figures = &route->figures;
    const struct cluster_route *known = cluster_route_find(control, figures->rid);
    bool member = known != NULL && known->member != CLUSTER_NO_MEMBER;
    const struct route_info *info = member ? &control->cluster.members[known->member].info : &nothing;
    int64_t now_ns = clock_monotonic_ns();
    json_put_object(document, NULL);
    json_put_unsigned(document, "rid", figures->rid);
    json_put_text(document, "remote_id", info->server_id);
    json_put_text(document, "remote_name", info->server_name);
    json_put_bool(document, "did_solicit", known != NULL && known->shown_solicited);
    json_put_bool(document, "is_configured", known != NULL && known->shown_configured);
    json_put_text(document, "ip", known == NULL ? TEXT("") : text(known->address));
    json_put_int(document, "port", known == NULL ? 0 : known->port);
    monitor_put_time(document, "start", control, figures->start_ns);
    monitor_put_time(document, "last_activity", control, figures->last_activity_ns);
    monitor_put_rtt(document, "rtt", figures->rtt_ns);
    monitor_put_span(document, "uptime", now_ns - figures->start_ns);
    monitor_put_span(document, "idle", now_ns - figures->last_activity_ns);
    put_lists(document, "import", &info->imports);
    put_lists(document, "export", &info->exports);
    json_put_unsigned(document, "pending_size", figures->pending_bytes);
    json_put_unsigned(document, "in_msgs", figures->in_messages);
    json_put_unsigned(document, "out_msgs", figures->out_messages);
    json_put_unsigned(document, "in_bytes", figures->in_bytes);
    json_put_unsigned(document, "out_bytes", figures->out_bytes);
    json_put_unsigned(document, "subscriptions", figures->subscriptions);
}

struct bytes monitor_route_compression(const struct control *control, const struct cluster_route *route,
                                       const struct report_route *figures)
{
    const struct route_compression *options = &control->snapshot->options->cluster.compression;
    enum route_compression_mode mode = (enum route_compression_mode)route->compression;
    if (mode == ROUTE_COMPRESSION_NOT_SUPPORTED)
        return TEXT("not supported");
    return route_compression_name(route_compression_level(options, mode, figures->rtt_ns));
}

static void route_end(struct control *control, struct monitor_task *task, const struct monitor_route *route)
{
    const struct cluster_route *known = cluster_route_find(control, route->figures.rid);
    bool member = known != NULL && known->member != CLUSTER_NO_MEMBER;
    if (task->routez.list_begun)
        json_put_array_end(&task->document);
    task->routez.list_begun = false;
    if (member && known->line >= ROUTE_POOL_MAX)
        json_put_text(&task->document, "account",
                      cluster_pool_account(&control->snapshot->options->cluster.pool, known->line));
    if (member)
        json_put_text(&task->document, "compression",
                      monitor_route_compression(control, known, &route->figures));
    json_put_object_end(&task->document);
}

/* Writes entries up to the next one whose subscriptions have to be asked for, and asks. */
static void go_on(struct control *control, struct monitor_task *task)
{
    struct monitor_routez *routez = &task->routez;
    while (routez->next < task->routes.count) {
        const struct monitor_route *route = &task->routes.all[routez->next++];
        route_begin(control, task, route);
        if (routez->listed && route->figures.subscriptions > 0) {
            routez->open = true;
            task->report.cid = route->figures.rid;
            monitor_ask(control, task, route->shard, (struct report_cursor){0});
            return;
        }
        route_end(control, task, route);
    }
    json_put_array_end(&task->document);
    json_put_object_end(&task->document);
    task->done = true;
}

void routez_told(struct control *control, struct monitor_task *task)
{
    if (task->report.kind == REPORT_ROUTES) {
        task->report.kind = REPORT_ROUTE_SUBSCRIPTIONS;
        head_write(control, task);
    }
    if (task->routez.open)
        route_end(control, task, &task->routes.all[task->routez.next - 1]);
    task->routez.open = false;
    go_on(control, task);
}
