/* shards/control/monitor_metrics_exporter.c - what the NATS exporter makes of the documents of monitoring, by
 * its names and labels, so that dashboards for it work without it: of /varz, /connz, /subsz, /routez, /leafz,
 * /healthz, /accountz, /accstatz and /jsz. In the flow:  metrics_told() -> metrics_add_exported() */
#include "core/base/clock.h"
#include "core/base/version.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_metrics.h"
#include "shards/control/monitor_varz.h"

#include <stdio.h>

enum {
    LIST_LIMIT = 1024, /* what /connz and /subsz are cut at when nothing is said */
    ACCOUNTS_PER_STEP = 1024,
};

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

static const struct cluster_options *cluster_of(const struct control *control)
{
    return &control->snapshot->options->cluster;
}

static const struct gateway_options *gateway_of(const struct control *control)
{
    return &control->snapshot->options->gateway;
}

static void add_varz(struct control *control, struct monitor_task *task)
{
    struct json_output *out = &task->document;
    const struct net_options *net = &control->snapshot->options->net;
    const struct report_account *sum = &task->figures.sum;
    struct monitor_traffic all = monitor_traffic(sum);
    struct monitor_process process = monitor_process(control);
    struct monitor_sums sums = monitor_sums(control, task);
    uint64_t subscriptions = sum->subscriptions + sum->remote_subscriptions + control->desk.listener_count;
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
        {"gnatsd_varz_port", (double)control->snapshot->info.port},
        {"gnatsd_varz_remotes", (double)cluster_remote_count(control)},
        {"gnatsd_varz_routes", (double)cluster_registered_count(control)},
        {"gnatsd_varz_slow_consumers", (double)sums.slow_consumers},
        {"gnatsd_varz_slow_consumer_stats_clients", (double)sums.slow.clients},
        {"gnatsd_varz_slow_consumer_stats_routes", (double)sums.slow.routes},
        {"gnatsd_varz_stale_connections", (double)sums.stale_connections},
        {"gnatsd_varz_stalled_clients", (double)sums.stalls},
        {"gnatsd_varz_start", (double)start_ms},
        {"gnatsd_varz_subscriptions", (double)subscriptions},
        {"gnatsd_varz_total_connections", (double)control->accepted_count},
        {"gnatsd_varz_write_deadline", (double)net->write_deadline_ns},
        /* The exporter's sense: 0 is well. */
        {"gnatsd_healthz_status", 0},
        {"gnatsd_healthz_js_enabled_only_status", 0},
        {"gnatsd_healthz_js_server_only_status", 0},
        {"gnatsd_subsz_num_subscriptions", (double)subscriptions},
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
    const struct report_totals *connections = &control->monitor.totals.sum;
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
        {"gnatsd_connz_offset", 0},
        {"gnatsd_connz_limit", LIST_LIMIT},
        {"gnatsd_connz_pending_bytes", (double)connections->pending_bytes},
        {"gnatsd_connz_subscriptions", (double)connections->subscriptions},
        {"gnatsd_leafz_conn_nodes_total", 0},
        {"gnatsd_routez_num_routes", (double)cluster_registered_count(control)},
        {"gnatsd_subsz_num_cache", (double)monitor->matches.cached},
        {"gnatsd_subsz_num_matches", (double)(sum->hits + sum->matches)},
        {"gnatsd_subsz_cache_hit_rate", monitor_hit_rate(sum)},
        {"gnatsd_subsz_max_fanout", (double)monitor->matches.fanout_most},
        {"gnatsd_subsz_avg_fanout", monitor_fanout_average(monitor->matches.fanout, monitor->matches.cached)},
        {"gnatsd_subsz_total", 0}, /* of a list that is not asked for */
        {"gnatsd_subsz_offset", 0},
        {"gnatsd_subsz_limit", LIST_LIMIT},
    };
    gauges(control, &task->document, rows, COUNT_OF(rows));
}

/* What open connections have had: it falls when one of them ends, and is a counter for the exporter all the
 * same. */
static void add_connections(struct control *control, struct json_output *out)
{
    const struct report_totals *sum = &control->monitor.totals.sum;
    const struct metric rows[] = {
        {"gnatsd_connz_in_msgs", (double)sum->in_messages},
        {"gnatsd_connz_in_bytes", (double)sum->in_bytes},
        {"gnatsd_connz_out_msgs", (double)sum->out_messages},
        {"gnatsd_connz_out_bytes", (double)sum->out_bytes},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        metrics_family(out, rows[i].name, "counter", strchr(rows[i].name, '_') + 1);
        sample(control, out, rows[i].name, rows[i].value);
    }
}

/* What is there only where it is configured. */
static void add_configured(struct control *control, struct json_output *out)
{
    const struct net_options *net = &control->snapshot->options->net;
    const struct cluster_options *cluster = cluster_of(control);
    const struct gateway_options *gateway = gateway_of(control);
    const struct {
        struct metric metric;
        bool there;
    } rows[] = {
        {{"gnatsd_varz_max_subscriptions", (double)net->max_subscriptions}, net->max_subscriptions > 0},
        {{"gnatsd_varz_cluster_pool_size", (double)cluster->pool.size}, control->cluster.on},
        {{"gnatsd_varz_cluster_write_deadline", (double)cluster->write_deadline_ns},
         control->cluster.on && cluster->write_deadline_ns > 0},
        {{"gnatsd_varz_gateway_write_deadline", (double)gateway->write_deadline_ns},
         gateway->given && gateway->write_deadline_ns > 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].there)
            gauges(control, out, &rows[i].metric, 1);
    }
}

static void add_texts(struct control *control, struct json_output *out)
{
    const struct {
        const char *name;
        struct bytes value;
    } rows[] = {
        {"gnatsd_varz_server_id", text(control->server_id)},
        {"gnatsd_varz_server_name", text(control->server_name)},
        {"gnatsd_varz_version", TEXT(MYELIN_NATS_VERSION)},
        {"gnatsd_varz_cluster_name", control_cluster_name(control)},
        {"gnatsd_varz_gateway_name", gateway_of(control)->given ? text(gateway_of(control)->name) : TEXT("")},
        {"gnatsd_routez_server_id", text(control->server_id)},
        {"gnatsd_routez_server_name", text(control->server_name)},
        {"gnatsd_subsz_server_id", text(control->server_id)},
        {"gnatsd_healthz_status_value", TEXT("ok")},
        {"gnatsd_healthz_js_enabled_only_status_value", TEXT("ok")},
        {"gnatsd_healthz_js_server_only_status_value", TEXT("ok")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].value.count > 0)
            add_label(control, out, rows[i].name, rows[i].value);
    }
}

/* What it makes of a server without JetStream. */
static void add_jetstream(struct control *control, struct json_output *out)
{
    static const struct metric rows[] = {
        {"jetstream_server_jetstream_disabled", 1},  {"jetstream_server_total_streams", 0},
        {"jetstream_server_total_consumers", 0},     {"jetstream_server_total_messages", 0},
        {"jetstream_server_total_message_bytes", 0}, {"jetstream_server_max_memory", 0},
        {"jetstream_server_max_storage", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[METRICS_LINE_BYTES], name[METRICS_ESCAPED_BYTES];
        metrics_family(out, rows[i].name, "gauge", strchr(rows[i].name, '_') + 1);
        int count = snprintf(line, sizeof line, "%s{server_id=\"%s\",server_name=\"", rows[i].name,
                             control->server_id);
        json_output_add(out, bytes_of(line, (size_t)count));
        json_output_add(out, metrics_escaped(text(control->server_name), name));
        json_output_add(out, TEXT("\",cluster=\"\",domain=\"\",meta_leader=\"\",is_meta_leader=\"true\"}"));
        metrics_value(out, rows[i].value);
    }
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

/* ---- accounts ---- */

enum account_figure {
    ACCOUNT_NOTHING, /* 0: leaf nodes, JetStream, and limits, which only JWTs have here */
    ACCOUNT_ALWAYS,  /* 1 */
    ACCOUNT_SYSTEM,
    ACCOUNT_CONNECTIONS,
    ACCOUNT_SUBSCRIPTIONS,
    ACCOUNT_SENT_MESSAGES,
    ACCOUNT_SENT_BYTES,
    ACCOUNT_RECEIVED_MESSAGES,
    ACCOUNT_RECEIVED_BYTES,
    ACCOUNT_SLOW,
};

static uint64_t account_value(const struct report_account *figures, enum account_figure which, bool system)
{
    switch (which) {
    case ACCOUNT_NOTHING:
        return 0;
    case ACCOUNT_ALWAYS:
        return 1;
    case ACCOUNT_SYSTEM:
        return system;
    case ACCOUNT_CONNECTIONS:
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

struct account_row {
    const char *name;
    enum account_figure which;
    bool thrice; /* of accstatz: the account is in three labels */
};

static const struct account_row account_rows[] = {
    {"gnatsd_accstatz_current_connections", ACCOUNT_CONNECTIONS, true},
    {"gnatsd_accstatz_total_connections", ACCOUNT_CONNECTIONS, true},
    {"gnatsd_accstatz_subscriptions", ACCOUNT_SUBSCRIPTIONS, true},
    {"gnatsd_accstatz_leaf_nodes", ACCOUNT_NOTHING, true},
    {"gnatsd_accstatz_sent_messages", ACCOUNT_SENT_MESSAGES, true},
    {"gnatsd_accstatz_sent_bytes", ACCOUNT_SENT_BYTES, true},
    {"gnatsd_accstatz_received_messages", ACCOUNT_RECEIVED_MESSAGES, true},
    {"gnatsd_accstatz_received_bytes", ACCOUNT_RECEIVED_BYTES, true},
    {"gnatsd_accstatz_slow_consumers", ACCOUNT_SLOW, true},
    {"gnatsd_accountz_client_connections", ACCOUNT_CONNECTIONS, false},
    {"gnatsd_accountz_leafnode_connections", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_subscriptions", ACCOUNT_SUBSCRIPTIONS, false},
    {"gnatsd_accountz_is_system", ACCOUNT_SYSTEM, false},
    {"gnatsd_accountz_expired", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_complete", ACCOUNT_ALWAYS, false},
    {"gnatsd_accountz_jetstream_enabled", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_limit_subs", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_limit_data", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_limit_payload", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_limit_imports", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_limit_exports", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_limit_wildcards", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_limit_conn", ACCOUNT_NOTHING, false},
    {"gnatsd_accountz_limit_leaf", ACCOUNT_NOTHING, false},
};

/* name{server_id="...",account="A",account_id="A",account_name="A"} value, or without the first of these. */
static void add_account(struct control *control, struct json_output *out, const struct account_row *row,
                        struct bytes account, double value)
{
    char line[METRICS_LINE_BYTES];
    int count = snprintf(line, sizeof line, "%s{server_id=\"%s\"", row->name, control->server_id);
    json_output_add(out, bytes_of(line, (size_t)count));
    if (row->thrice) {
        json_output_add(out, TEXT(",account=\""));
        json_output_add(out, account);
        json_output_add(out, TEXT("\""));
    }
    json_output_add(out, TEXT(",account_id=\""));
    json_output_add(out, account);
    json_output_add(out, TEXT("\",account_name=\""));
    json_output_add(out, account);
    json_output_add(out, TEXT("\"}"));
    metrics_value(out, value);
}

void metrics_add_accounts(struct control *control, struct monitor_task *task)
{
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    const struct account_row *row = &account_rows[task->metrics_row];
    bool constant = row->which <= ACCOUNT_SYSTEM;
    if (task->account_next == 0)
        metrics_family(&task->document, row->name, "gauge", strchr(row->name, '_') + 1);
    for (int i = 0; i < ACCOUNTS_PER_STEP && task->account_next < accounts->count; i++) {
        char escaped[METRICS_ESCAPED_BYTES];
        const struct security_account *account = accounts->all[task->account_next++];
        struct report_account figures = {0};
        if (!constant)
            figures = monitor_account(task, account->id);
        uint64_t value = account_value(&figures, row->which, account == accounts->system);
        add_account(control, &task->document, row, metrics_escaped(account->name, escaped), (double)value);
    }
    if (task->account_next >= accounts->count) {
        task->account_next = 0;
        task->metrics_row++;
    }
    task->step_wanted = task->metrics_row < COUNT_OF(account_rows) && !task->document.failed;
}

void metrics_add_exported(struct control *control, struct monitor_task *task)
{
    add_varz(control, task);
    add_more(control, task);
    add_connections(control, &task->document);
    add_configured(control, &task->document);
    add_texts(control, &task->document);
    add_jetstream(control, &task->document);
    add_requests(control, task);
}
