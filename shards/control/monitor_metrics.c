/* shards/control/monitor_metrics.c - /metrics: the text format of Prometheus 0.0.4. First what the NATS
 * exporter derives from /varz, /subsz, /accstatz and /healthz, by its names, then Myelin's own figures of
 * each shard. */
#include "shards/control/monitor_metrics.h"

#include "core/base/clock.h"
#include "core/base/version.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_varz.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the format ---- */

/* The lines before a metric's values. */
void metrics_family(struct json_output *out, const char *name, const char *type, const char *help)
{
    char line[METRICS_LINE_BYTES];
    int count = snprintf(line, sizeof line, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    json_output_add(out, bytes_of(line, (size_t)count < sizeof line ? (size_t)count : sizeof line - 1));
}

void metrics_value(struct json_output *out, double value)
{
    char line[METRICS_LINE_BYTES];
    /* Whole numbers up to 2^53 have all their digits. */
    int count = snprintf(line, sizeof line, " %.16g\n", value);
    json_output_add(out, bytes_of(line, (size_t)count));
}

/* name{server_id="..."} value */
static void sample(struct control *control, struct json_output *out, const char *name, double value)
{
    char line[METRICS_LINE_BYTES];
    int count = snprintf(line, sizeof line, "%s{server_id=\"%s\"}", name, control->server_id);
    json_output_add(out, bytes_of(line, (size_t)count));
    metrics_value(out, value);
}

static void gauge(struct control *control, struct json_output *out, const char *name, const char *help,
                  double value)
{
    metrics_family(out, name, "gauge", help);
    sample(control, out, name, value);
}

/* A label's value: backslash, quote and line feed are escaped. */
struct bytes metrics_escaped(struct bytes value, char out[METRICS_ESCAPED_BYTES])
{
    size_t count = 0;
    for (size_t i = 0; i < value.count && count + 2 < METRICS_ESCAPED_BYTES; i++) {
        char byte = (char)value.data[i];
        if (byte == '\\' || byte == '"' || byte == '\n')
            out[count++] = '\\';
        out[count++] = byte == '\n' ? 'n' : byte;
    }
    return bytes_of(out, count);
}

/* ---- what the exporter has ---- */

struct metric {
    const char *name;
    double value;
};

static void gauges(struct control *control, struct json_output *out, const struct metric *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gauge(control, out, rows[i].name, strchr(rows[i].name, '_') + 1, rows[i].value);
}

/* A text as the exporter shows it: a label of what is always 1. */
static void add_label(struct control *control, struct json_output *out, const char *name, struct bytes value)
{
    char line[METRICS_LINE_BYTES];
    char label[METRICS_ESCAPED_BYTES];
    metrics_family(out, name, "gauge", strchr(name, '_') + 1);
    int count = snprintf(line, sizeof line, "%s{server_id=\"%s\",value=\"", name, control->server_id);
    json_output_add(out, bytes_of(line, (size_t)count));
    json_output_add(out, metrics_escaped(value, label));
    json_output_add(out, TEXT("\"} 1\n"));
}

static void add_varz(struct control *control, struct monitor_task *task)
{
    struct json_output *out = &task->document;
    const struct net_options *net = &control->snapshot->options->net;
    const struct report_account *sum = &task->figures.sum;
    struct monitor_traffic all = monitor_traffic(sum);
    struct monitor_process process = monitor_process(control);
    struct monitor_sums sums = monitor_sums(control, task);
    int64_t start_ms = (control->monitor.start_ns + control->monitor.wall_minus_ns) / NS_PER_MS;
    const struct metric rows[] = {
        {"gnatsd_varz_auth_timeout", (double)control->snapshot->options->security.timeout_ns / 1e9},
        {"gnatsd_varz_connections", (double)control_open_connections(control)},
        {"gnatsd_varz_cores", (double)process.cores},
        {"gnatsd_varz_cpu", process.cpu_percent},
        {"gnatsd_varz_gomaxprocs", (double)control->shard_count},
        {"gnatsd_varz_in_bytes", (double)all.in_bytes},
        {"gnatsd_varz_in_client_bytes", (double)sum->in_bytes},
        {"gnatsd_varz_in_client_msgs", (double)sum->in_messages},
        {"gnatsd_varz_in_msgs", (double)all.in_messages},
        {"gnatsd_varz_leafnodes", 0},
        {"gnatsd_varz_max_connections", (double)(net->max_connections < 0 ? 0 : net->max_connections)},
        {"gnatsd_varz_max_control_line", (double)net->max_control_line_bytes},
        {"gnatsd_varz_max_payload", (double)net->max_payload_bytes},
        {"gnatsd_varz_max_pending", (double)net->max_pending_bytes},
        {"gnatsd_varz_mem", (double)process.resident_bytes},
        {"gnatsd_varz_out_bytes", (double)all.out_bytes},
        {"gnatsd_varz_out_client_bytes", (double)sum->out_bytes},
        {"gnatsd_varz_out_client_msgs", (double)sum->out_messages},
        {"gnatsd_varz_out_msgs", (double)all.out_messages},
        {"gnatsd_varz_ping_interval", (double)net->ping_interval_ns},
        {"gnatsd_varz_ping_max", (double)net->ping_max},
        {"gnatsd_varz_port", (double)control->port},
        {"gnatsd_varz_remotes", (double)cluster_remote_count(control)},
        {"gnatsd_varz_routes", (double)cluster_registered_count(control)},
        {"gnatsd_varz_slow_consumers", (double)sums.slow_consumers},
        {"gnatsd_varz_slow_consumer_stats_clients", (double)sums.slow.clients},
        {"gnatsd_varz_slow_consumer_stats_routes", (double)sums.slow.routes},
        {"gnatsd_varz_stale_connections", (double)sums.stale_connections},
        {"gnatsd_varz_stalled_clients", (double)sums.stalls},
        {"gnatsd_varz_start", (double)start_ms},
        {"gnatsd_varz_subscriptions", (double)(sum->subscriptions + sum->remote_subscriptions)},
        {"gnatsd_varz_total_connections", (double)control->accepted_count},
        {"gnatsd_varz_write_deadline", (double)net->write_deadline_ns},
        {"gnatsd_healthz_status", 0}, /* the exporter's sense: 0 is well */
        {"gnatsd_subsz_num_subscriptions", (double)(sum->subscriptions + sum->remote_subscriptions)},
        {"gnatsd_subsz_num_inserts", (double)sum->inserts},
        {"gnatsd_subsz_num_removes", (double)sum->removes},
    };
    gauges(control, out, rows, COUNT_OF(rows));
}

/* What the newest releases' /varz has besides, and what the exporter takes from elsewhere. */
static void add_more(struct control *control, struct monitor_task *task)
{
    const struct monitor *monitor = &control->monitor;
    const struct server_options *options = control->snapshot->options;
    struct monitor_sums sums = monitor_sums(control, task);
    bool https = options->https_port != 0;
    const struct report_account *sum = &task->figures.sum;
    int64_t loaded_ms = (monitor->loaded_ns + monitor->wall_minus_ns) / NS_PER_MS;
    double open_count = (double)control_open_connections(control);
    const struct metric rows[] = {
        {"gnatsd_varz_config_load_time", (double)loaded_ms},
        {"gnatsd_varz_http_port", https ? 0 : (double)monitor->port},
        {"gnatsd_varz_https_port", https ? (double)monitor->port : 0},
        {"gnatsd_varz_proto", 1},
        {"gnatsd_varz_slow_consumer_stats_gateways", (double)sums.slow.gateways},
        {"gnatsd_varz_slow_consumer_stats_leafs", 0},
        {"gnatsd_varz_stale_connection_stats_clients", (double)sums.stale.clients},
        {"gnatsd_varz_stale_connection_stats_gateways", (double)sums.stale.gateways},
        {"gnatsd_varz_stale_connection_stats_leafs", 0},
        {"gnatsd_varz_stale_connection_stats_routes", (double)sums.stale.routes},
        {"gnatsd_varz_tls_timeout", (double)tls_options_timeout_ns(&options->net.tls) / 1e9},
        {"gnatsd_connz_num_connections", open_count},
        {"gnatsd_connz_total", open_count},
        {"gnatsd_subsz_num_cache", (double)monitor->matches.cached},
        {"gnatsd_subsz_num_matches", (double)(sum->hits + sum->matches)},
        {"gnatsd_subsz_cache_hit_rate", monitor_hit_rate(sum)},
        {"gnatsd_subsz_max_fanout", (double)monitor->matches.fanout_most},
        {"gnatsd_subsz_avg_fanout", monitor_fanout_average(monitor->matches.fanout, monitor->matches.cached)},
    };
    gauges(control, &task->document, rows, COUNT_OF(rows));
    add_label(control, &task->document, "gnatsd_varz_version", TEXT(MYELIN_NATS_VERSION));
    add_label(control, &task->document, "gnatsd_varz_server_name", text(control->server_name));
}

static void add_requests(struct control *control, struct monitor_task *task)
{
    size_t count;
    const struct monitor_endpoint *endpoints = monitor_endpoints(&count);
    for (size_t i = 0; i < count; i++) {
        char name[METRICS_LINE_BYTES];
        if (endpoints[i].counter == NULL || endpoints[i].path[0] == 0 ||
            control->monitor.request_counts[i] == 0)
            continue;
        snprintf(name, sizeof name, "gnatsd_varz_http_req_stats_%s", endpoints[i].path);
        gauge(control, &task->document, name, "requests", (double)control->monitor.request_counts[i]);
    }
}

enum account_figure {
    ACCOUNT_CONNECTIONS,
    ACCOUNT_TOTAL,
    ACCOUNT_SUBSCRIPTIONS,
    ACCOUNT_SENT_MESSAGES,
    ACCOUNT_SENT_BYTES,
    ACCOUNT_RECEIVED_MESSAGES,
    ACCOUNT_RECEIVED_BYTES,
    ACCOUNT_SLOW,
};

static uint64_t account_value(const struct report_account *figures, enum account_figure which)
{
    switch (which) {
    case ACCOUNT_CONNECTIONS:
    case ACCOUNT_TOTAL:
        return figures->clients;
    case ACCOUNT_SUBSCRIPTIONS:
        return figures->subscriptions + figures->remote_subscriptions;
    case ACCOUNT_SENT_MESSAGES:
        return monitor_traffic(figures).out_messages;
    case ACCOUNT_SENT_BYTES:
        return monitor_traffic(figures).out_bytes;
    case ACCOUNT_RECEIVED_MESSAGES:
        return monitor_traffic(figures).in_messages;
    case ACCOUNT_RECEIVED_BYTES:
        return monitor_traffic(figures).in_bytes;
    case ACCOUNT_SLOW:
        return figures->slow_consumers;
    }
    return 0;
}

static void add_accounts(struct control *control, struct monitor_task *task)
{
    static const struct {
        const char *name;
        enum account_figure which;
    } rows[] = {
        {"gnatsd_accstatz_current_connections", ACCOUNT_CONNECTIONS},
        {"gnatsd_accstatz_total_connections", ACCOUNT_TOTAL},
        {"gnatsd_accstatz_subscriptions", ACCOUNT_SUBSCRIPTIONS},
        {"gnatsd_accstatz_sent_messages", ACCOUNT_SENT_MESSAGES},
        {"gnatsd_accstatz_sent_bytes", ACCOUNT_SENT_BYTES},
        {"gnatsd_accstatz_received_messages", ACCOUNT_RECEIVED_MESSAGES},
        {"gnatsd_accstatz_received_bytes", ACCOUNT_RECEIVED_BYTES},
        {"gnatsd_accstatz_slow_consumers", ACCOUNT_SLOW},
    };
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        metrics_family(&task->document, rows[row].name, "gauge", strchr(rows[row].name, '_') + 1);
        for (uint32_t i = 0; i < accounts->count; i++) {
            char name[METRICS_ESCAPED_BYTES];
            char line[METRICS_LINE_BYTES];
            struct bytes account = metrics_escaped(accounts->all[i]->name, name);
            struct report_account figures = monitor_account(task, accounts->all[i]->id);
            int count = snprintf(line, sizeof line, "%s{server_id=\"%s\",account=\"", rows[row].name,
                                 control->server_id);
            json_output_add(&task->document, bytes_of(line, (size_t)count));
            json_output_add(&task->document, account);
            json_output_add(&task->document, TEXT("\"}"));
            metrics_value(&task->document, (double)account_value(&figures, rows[row].which));
        }
    }
}

/* ---- routes ---- */

struct route_row {
    const char *name;
    const char *type;
    const char *help;
    size_t offset; /* of a uint64_t, or an int64_t, in struct report_route */
    double scale;
};

#define ROUTE(field) offsetof(struct report_route, field)

static const struct route_row route_rows[] = {
    {"myelin_route_in_messages_total", "counter", "Messages from that server.", ROUTE(in_messages), 1},
    {"myelin_route_in_bytes_total", "counter", "Bytes of these.", ROUTE(in_bytes), 1},
    {"myelin_route_out_messages_total", "counter", "Messages to that server.", ROUTE(out_messages), 1},
    {"myelin_route_out_bytes_total", "counter", "Bytes of these.", ROUTE(out_bytes), 1},
    {"myelin_route_pending_bytes", "gauge", "Bytes that wait for its socket.", ROUTE(pending_bytes), 1},
    {"myelin_route_subscriptions", "gauge", "Patterns and groups that it wants.", ROUTE(subscriptions), 1},
    {"myelin_route_rtt_seconds", "gauge", "The last round trip; 0 before the first.", ROUTE(rtt_ns), 1e-9},
};

/* name{rid="5",remote_id="...",remote_name="..."} value */
static void add_route_value(struct control *control, struct json_output *out, const struct route_row *row,
                            const struct report_route *figures)
{
    char line[METRICS_LINE_BYTES], name[METRICS_ESCAPED_BYTES];
    int64_t value;
    const struct cluster_route *route = cluster_route_find(control, figures->rid);
    if (route == NULL || route->member == CLUSTER_NO_MEMBER)
        return;
    const struct route_info *info = &control->cluster.members[route->member].info;
    memcpy(&value, (const uint8_t *)figures + row->offset, sizeof value);
    int count = snprintf(line, sizeof line, "%s{rid=\"%" PRIu64 "\",remote_id=\"", row->name, figures->rid);
    json_output_add(out, bytes_of(line, (size_t)count));
    json_output_add(out, metrics_escaped(info->server_id, name));
    json_output_add(out, TEXT("\",remote_name=\""));
    json_output_add(out, metrics_escaped(info->server_name, name));
    json_output_add(out, TEXT("\"}"));
    metrics_value(out, (double)value * row->scale);
}

static void add_routes(struct control *control, struct monitor_task *task)
{
    struct json_output *out = &task->document;
    for (size_t row = 0; row < COUNT_OF(route_rows) && task->routes.count > 0; row++) {
        metrics_family(out, route_rows[row].name, route_rows[row].type, route_rows[row].help);
        for (uint32_t i = 0; i < task->routes.count; i++)
            add_route_value(control, out, &route_rows[row], &task->routes.all[i].figures);
    }
}

/* ---- the engine ---- */

#define SHARD(field) offsetof(struct report_shard, field)

static const struct monitor_shard_row shard_rows[] = {
    {"connections", "gauge", "Open connections.", SHARD(connections), 1},
    {"cpu_seconds_total", "counter", "CPU time of the thread.", SHARD(cpu_ns), 1e9},
    {"turns_total", "counter", "Turns of the loop.", SHARD(turns), 1},
    {"ring_enters_total", "counter", "System calls into the ring.", SHARD(enters), 1},
    {"looks_total", "counter", "Waits that began by looking for work.", SHARD(looks), 1},
    {"sleeps_total", "counter", "Waits that ended in sleep.", SHARD(sleeps), 1},
    {"match_cache_hits_total", "counter", "Subjects found in the match cache.", SHARD(cache_hits), 1},
    {"match_cache_misses_total", "counter", "Subjects looked up in the index.", SHARD(cache_misses), 1},
    {"match_cache_entries", "gauge", "Subjects in the match cache.", SHARD(cache_entries), 1},
    {"match_cache_bytes", "gauge", "Memory of the match cache.", SHARD(cache_bytes), 1},
    {"receive_buffers", "gauge", "Receive buffers.", SHARD(buffers), 1},
    {"receive_buffers_window", "gauge", "Receive buffers that the kernel has.", SHARD(buffers_window), 1},
    {"mailbox_bytes", "gauge", "Mail that waits in the inboxes.", SHARD(mailbox_bytes), 1},
    {"written_bytes_total", "counter", "Bytes of deliveries.", SHARD(written_bytes), 1},
    {"stalls_total", "counter", "Publishers held back for a slow receiver.", SHARD(stalls), 1},
    {"slow_consumers_total", "counter", "Connections closed as slow.", SHARD(slow_consumers), 1},
    {"stale_connections_total", "counter", "Connections closed as stale.", SHARD(stale_connections), 1},
    {"closed_kept", "gauge", "Closed connections remembered.", SHARD(closed_kept), 1},
    {"report_pages_total", "counter", "Pages of figures told to the monitoring port.", SHARD(pages), 1},
    {"report_seconds_total", "counter", "Time that these pages took.", SHARD(page_ns), 1e9},
    {"report_page_seconds_max", "gauge", "Longest time that one of these pages took.", SHARD(page_ns_most),
     1e9},
};

const struct monitor_shard_row *monitor_shard_rows(size_t *count)
{
    *count = COUNT_OF(shard_rows);
    return shard_rows;
}

double monitor_shard_figure(const struct monitor_task *task, const struct monitor_shard_row *row,
                            uint32_t shard)
{
    uint64_t value;
    memcpy(&value, (const uint8_t *)&task->figures.shards[shard] + row->offset, sizeof value);
    return (double)value / row->per_unit;
}

static void add_shards(struct control *control, struct monitor_task *task)
{
    struct json_output *out = &task->document;
    for (size_t row = 0; row < COUNT_OF(shard_rows); row++) {
        char name[METRICS_LINE_BYTES];
        snprintf(name, sizeof name, "myelin_shard_%s", shard_rows[row].name);
        metrics_family(out, name, shard_rows[row].type, shard_rows[row].help);
        for (uint32_t i = 0; i < control->shard_count; i++) {
            char line[METRICS_LINE_BYTES + 32];
            int count = snprintf(line, sizeof line, "%s{shard=\"%u\"}", name, i);
            json_output_add(out, bytes_of(line, (size_t)count));
            metrics_value(out, monitor_shard_figure(task, &shard_rows[row], i));
        }
    }
}

void metrics_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail)
{
    if (task->report.kind == REPORT_ROUTES)
        monitor_routes_page(control, task, from, mail);
    else
        monitor_figures_page(control, task, from, mail);
}

/* A walk through full caches costs a shard more than all other figures together, so what the last one found
 * is good for a while. */
static bool matches_known(const struct control *control)
{
    int64_t at_ns = control->monitor.matches.at_ns;
    return at_ns != 0 && clock_monotonic_ns() - at_ns < 10 * NS_PER_SECOND;
}

/* Asks for what comes next. False: all has been told. */
static bool ask_next(struct control *control, struct monitor_task *task)
{
    bool figures = task->report.kind == REPORT_FIGURES;
    if (!(figures && matches_known(control)) && monitor_matches_ask(control, task))
        return true;
    if (task->report.kind == REPORT_ROUTES)
        return false;
    monitor_routes_ask(control, task);
    return true;
}

void metrics_told(struct control *control, struct monitor_task *task)
{
    struct json_output *out = &task->document;
    char line[METRICS_LINE_BYTES];
    if (ask_next(control, task))
        return;
    metrics_family(out, "myelin_info", "gauge", "Versions.");
    int count =
        snprintf(line, sizeof line, "myelin_info{version=\"%s\",nats_version=\"%s\",server_id=\"%s\"} 1\n",
                 MYELIN_VERSION, MYELIN_NATS_VERSION, control->server_id);
    json_output_add(out, bytes_of(line, (size_t)count));
    add_varz(control, task);
    add_more(control, task);
    add_requests(control, task);
    add_accounts(control, task);
    add_routes(control, task);
    add_shards(control, task);
    metrics_add_streaming(control, task);
    task->content_type = "text/plain; version=0.0.4; charset=utf-8";
    task->plain = task->done = true;
}
