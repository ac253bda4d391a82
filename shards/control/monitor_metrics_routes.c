/* shards/control/monitor_metrics_routes.c - routes in /metrics: what the NATS exporter makes of each route of
 * /routez, by its names, and what else there is to say of one.
 * In the flow:  metrics_told() -> metrics_add_routes(). The shards' figures are in task->routes; who the
 * server behind one is, is the control core's to say. Thread: the control core's. */
#include "core/base/clock.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_metrics.h"
#include "shards/control/monitor_task.h"

#include <inttypes.h>
#include <stdio.h>

/* One route, with whoever is behind it. */
struct shown {
    const struct report_route *figures;
    const struct cluster_route *known;
    const struct route_info *info;
    int64_t uptime_ns;
};

struct row {
    const char *name;
    const char *type;
    const char *help;
    size_t offset; /* of a uint64_t, or an int64_t, in struct report_route */
    double scale;
};

#define ROUTE(field) offsetof(struct report_route, field)

/* The exporter's, with the labels server_id and rid. */
static const struct row exported_rows[] = {
    {"gnatsd_routez_route_in_bytes", "gauge", "in_bytes", ROUTE(in_bytes), 1},
    {"gnatsd_routez_route_in_msgs", "gauge", "in_msgs", ROUTE(in_messages), 1},
    {"gnatsd_routez_route_out_bytes", "gauge", "out_bytes", ROUTE(out_bytes), 1},
    {"gnatsd_routez_route_out_msgs", "gauge", "out_msgs", ROUTE(out_messages), 1},
    {"gnatsd_routez_route_rtt_seconds", "gauge", "rtt_seconds", ROUTE(rtt_ns), 1e-9},
    {"gnatsd_routez_route_subscriptions", "gauge", "subscriptions", ROUTE(subscriptions), 1},
};

/* Myelin's own, with rid, remote_id and remote_name. */
static const struct row own_rows[] = {
    {"myelin_route_in_messages_total", "counter", "Messages from that server.", ROUTE(in_messages), 1},
    {"myelin_route_in_bytes_total", "counter", "Bytes of these.", ROUTE(in_bytes), 1},
    {"myelin_route_out_messages_total", "counter", "Messages to that server.", ROUTE(out_messages), 1},
    {"myelin_route_out_bytes_total", "counter", "Bytes of these.", ROUTE(out_bytes), 1},
    {"myelin_route_pending_bytes", "gauge", "Bytes that wait for its socket.", ROUTE(pending_bytes), 1},
    {"myelin_route_subscriptions", "gauge", "Patterns and groups that it wants.", ROUTE(subscriptions), 1},
    {"myelin_route_rtt_seconds", "gauge", "The last round trip; 0 before the first.", ROUTE(rtt_ns), 1e-9},
};

/* False: it ended while the figures came. */
static bool show(const struct control *control, const struct monitor_route *route, struct shown *shown)
{
    const struct cluster_route *known = cluster_route_find(control, route->figures.rid);
    if (known == NULL || known->member == CLUSTER_NO_MEMBER)
        return false;
    *shown = (struct shown){
        .figures = &route->figures,
        .known = known,
        .info = &control->cluster.members[known->member].info,
        .uptime_ns = clock_monotonic_ns() - route->figures.start_ns,
    };
    return true;
}

static double value_of(const struct row *row, const struct shown *shown)
{
    int64_t value;
    memcpy(&value, (const uint8_t *)shown->figures + row->offset, sizeof value);
    return (double)value * row->scale;
}

static void put_label(struct json_output *out, const char *before, struct bytes value)
{
    char escaped[METRICS_ESCAPED_BYTES];
    json_output_add(out, text(before));
    json_output_add(out, metrics_escaped(value, escaped));
}

/* ---- the exporter's ---- */

/* name{server_id="...",rid="5" - and what closes it, or more labels. */
static void begin_exported(struct control *control, struct json_output *out, const char *name,
                           const struct shown *shown)
{
    char line[METRICS_LINE_BYTES];
    int count = snprintf(line, sizeof line, "%s{server_id=\"%s\",rid=\"%" PRIu64 "\"", name,
                         control->server_id, shown->figures->rid);
    json_output_add(out, bytes_of(line, (size_t)count));
}

static void add_exported(struct control *control, struct json_output *out, const char *name,
                         const struct shown *shown, double value)
{
    begin_exported(control, out, name, shown);
    json_output_add(out, TEXT("}"));
    metrics_value(out, value);
}

static void add_info(struct control *control, struct json_output *out, const struct shown *shown)
{
    const struct cluster_pool *pool = &control->snapshot->options->cluster.pool;
    bool own_account = shown->known->line >= ROUTE_POOL_MAX;
    begin_exported(control, out, "gnatsd_routez_route_info", shown);
    put_label(out, ",remote_id=\"", shown->info->server_id);
    put_label(out, "\",remote_name=\"", shown->info->server_name);
    put_label(out, "\",account=\"",
              own_account ? cluster_pool_account(pool, shown->known->line) : (struct bytes){NULL, 0});
    put_label(out, "\",ip=\"", text(shown->known->address));
    put_label(out, "\",compression=\"", monitor_route_compression(control, shown->known, shown->figures));
    json_output_add(out, TEXT("\"}"));
    metrics_value(out, 1);
}

static void add_all_exported(struct control *control, struct monitor_task *task)
{
    struct json_output *out = &task->document;
    struct shown shown;
    metrics_family(out, "gnatsd_routez_route_info", "gauge", "route_info");
    for (uint32_t i = 0; i < task->routes.count; i++) {
        if (show(control, &task->routes.all[i], &shown))
            add_info(control, out, &shown);
    }
    for (size_t row = 0; row < COUNT_OF(exported_rows); row++) {
        metrics_family(out, exported_rows[row].name, exported_rows[row].type, exported_rows[row].help);
        for (uint32_t i = 0; i < task->routes.count; i++) {
            if (show(control, &task->routes.all[i], &shown))
                add_exported(control, out, exported_rows[row].name, &shown,
                             value_of(&exported_rows[row], &shown));
        }
    }
    metrics_family(out, "gnatsd_routez_route_uptime_seconds", "gauge", "uptime_seconds");
    for (uint32_t i = 0; i < task->routes.count; i++) {
        if (!show(control, &task->routes.all[i], &shown))
            continue;
        int64_t uptime_s = shown.uptime_ns / NS_PER_SECOND; /* whole ones, as /routez says it */
        add_exported(control, out, "gnatsd_routez_route_uptime_seconds", &shown, (double)uptime_s);
    }
}

/* ---- our own ---- */

/* name{rid="5",remote_id="...",remote_name="..."} value */
static void add_own(struct json_output *out, const struct row *row, const struct shown *shown)
{
    char line[METRICS_LINE_BYTES];
    int count = snprintf(line, sizeof line, "%s{rid=\"%" PRIu64, row->name, shown->figures->rid);
    json_output_add(out, bytes_of(line, (size_t)count));
    put_label(out, "\",remote_id=\"", shown->info->server_id);
    put_label(out, "\",remote_name=\"", shown->info->server_name);
    json_output_add(out, TEXT("\"}"));
    metrics_value(out, value_of(row, shown));
}

void metrics_add_routes(struct control *control, struct monitor_task *task)
{
    struct json_output *out = &task->document;
    struct shown shown;
    if (task->routes.count == 0)
        return;
    add_all_exported(control, task);
    for (size_t row = 0; row < COUNT_OF(own_rows); row++) {
        metrics_family(out, own_rows[row].name, own_rows[row].type, own_rows[row].help);
        for (uint32_t i = 0; i < task->routes.count; i++) {
            if (show(control, &task->routes.all[i], &shown))
                add_own(out, &own_rows[row], &shown);
        }
    }
}
