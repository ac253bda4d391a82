/* shards/control/monitor_metrics.c - /metrics: the text format of Prometheus 0.0.4. First what the NATS
 * exporter derives, by its names (monitor_metrics_exporter.c, monitor_metrics_gateways.c,
 * monitor_metrics_routes.c, there with Myelin's own of routes), then the figures of each shard. In the flow:
 * metrics_told() -> metrics_step(), until the accounts are told, then all else. */
#include "shards/control/monitor_metrics.h"

#include "core/base/clock.h"
#include "core/base/version.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"

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

/* ---- the engine ---- */

#define SHARD(field) offsetof(struct report_shard, field)

static const struct monitor_shard_row shard_rows[] = {
    {"connections", "gauge", "Open connections.", SHARD(connections), 1},
    {"cpu_seconds_total", "counter", "CPU time of the thread.", SHARD(cpu_ns), 1e9},
    {"turns_total", "counter", "Turns of the loop.", SHARD(turns), 1},
    {"turn_seconds_total", "counter", "Time of all turns, without what they waited.", SHARD(turn_ns), 1e9},
    {"turn_seconds_max", "gauge", "Longest time that a turn took.", SHARD(turn_ns_most), 1e9},
    {"ring_enters_total", "counter", "System calls into the ring.", SHARD(enters), 1},
    {"ring_submissions_total", "counter", "Operations handed to the ring.", SHARD(submissions), 1},
    {"ring_completions_total", "counter", "Completions collected from it.", SHARD(completions), 1},
    {"ring_overflows_total", "counter", "Waits that found more completions than the ring holds.",
     SHARD(overflows), 1},
    {"ring_dropped_total", "counter", "Completions that the kernel lost.", SHARD(dropped), 1},
    {"looks_total", "counter", "Waits that began by looking for work.", SHARD(looks), 1},
    {"sleeps_total", "counter", "Waits that ended in sleep.", SHARD(sleeps), 1},
    {"match_cache_hits_total", "counter", "Subjects found in the match cache.", SHARD(cache_hits), 1},
    {"match_cache_misses_total", "counter", "Subjects looked up in the index.", SHARD(cache_misses), 1},
    {"match_cache_entries", "gauge", "Subjects in the match cache.", SHARD(cache_entries), 1},
    {"match_cache_bytes", "gauge", "Memory of the match cache.", SHARD(cache_bytes), 1},
    {"receive_buffers", "gauge", "Receive buffers.", SHARD(buffers), 1},
    {"receive_buffers_window", "gauge", "Receive buffers that the kernel has.", SHARD(buffers_window), 1},
    {"receive_buffers_spare", "gauge", "Receive buffers that nobody has.", SHARD(buffers_spare), 1},
    {"receives_without_buffer_total", "counter", "Receives that ended for want of a buffer.",
     SHARD(no_buffers), 1},
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
    else if (task->report.kind == REPORT_GATEWAYS)
        gatewayz_page(control, task, from, mail);
    else if (task->report.kind == REPORT_TOTALS)
        monitor_totals_page(task, mail);
    else
        monitor_figures_page(control, task, from, mail);
}

/* A walk through full caches, or through very many connections, costs a shard more than all other figures
 * together, so what the last one found is good for a while. */
static bool recent(int64_t at_ns)
{
    return at_ns != 0 && clock_monotonic_ns() - at_ns < 10 * NS_PER_SECOND;
}

/* Whether the connections are to be walked through: always where they are no more than a page of /connz. */
static bool totals_wanted(const struct control *control)
{
    enum { FEW = 1024 };
    return control_open_connections(control) <= FEW || !recent(control->monitor.totals.at_ns);
}

/* Asks for what comes next. False: all has been told. */
static bool ask_next(struct control *control, struct monitor_task *task)
{
    enum report_kind told = task->report.kind;
    bool before_totals = told == REPORT_FIGURES || told == REPORT_MATCHES;
    bool before_routes = before_totals || told == REPORT_TOTALS;
    bool before_gateways = before_routes || told == REPORT_ROUTES;
    bool walk = told == REPORT_MATCHES || (told == REPORT_FIGURES && !recent(control->monitor.matches.at_ns));
    if (walk && monitor_matches_ask(control, task))
        return true;
    if (before_totals && totals_wanted(control)) {
        monitor_totals_ask(control, task);
        return true;
    }
    if (told == REPORT_TOTALS)
        control->monitor.totals = (struct monitor_totals){clock_monotonic_ns(), task->totals};
    if (before_routes && control->cluster.on) {
        monitor_routes_ask(control, task);
        return true;
    }
    if (before_gateways && control->snapshot->options->gateway.given) {
        task->report.kind = REPORT_GATEWAYS;
        monitor_ask_all(control, task);
        return true;
    }
    return false;
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
    metrics_add_exported(control, task);
    task->step_wanted = true;
}

/* Accounts, as long as there are some; then all else. */
void metrics_step(struct control *control, struct monitor_task *task)
{
    metrics_add_accounts(control, task);
    if (task->step_wanted)
        return;
    metrics_add_gateways(control, task);
    metrics_add_routes(control, task);
    add_shards(control, task);
    metrics_add_streaming(control, task);
    task->content_type = "text/plain; version=0.0.4; charset=utf-8";
    task->plain = task->done = true;
}
