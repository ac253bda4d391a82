/* shards/control/monitor_metrics_gateways.c - what the NATS exporter makes of /gatewayz, by its names and
 * labels: a line for each connection to or from another cluster. In the flow:  gatewayz_page() ->
 * metrics_told() -> metrics_add_gateways() */
#include "core/base/clock.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_metrics.h"
#include "shards/control/monitor_task.h"

#include <inttypes.h>
#include <stdio.h>

enum gateway_figure {
    GATEWAY_CONFIGURED,
    GATEWAY_START, /* whole seconds since 1970, likewise the next */
    GATEWAY_ACTIVITY,
    GATEWAY_UPTIME, /* whole seconds, likewise the next */
    GATEWAY_IDLE_TIME,
    GATEWAY_RTT,
    GATEWAY_PENDING,
    GATEWAY_IN_MESSAGES,
    GATEWAY_OUT_MESSAGES,
    GATEWAY_IN_BYTES,
    GATEWAY_OUT_BYTES,
    GATEWAY_SUBSCRIPTIONS,
};

static const struct {
    const char *name; /* behind that of the direction */
    enum gateway_figure which;
} rows[] = {
    {"configured", GATEWAY_CONFIGURED},
    {"conn_start_time_seconds", GATEWAY_START},
    {"conn_last_activity_seconds", GATEWAY_ACTIVITY},
    {"conn_uptime_seconds", GATEWAY_UPTIME},
    {"conn_idle_seconds", GATEWAY_IDLE_TIME},
    {"conn_rtt", GATEWAY_RTT},
    {"conn_pending_bytes", GATEWAY_PENDING},
    {"conn_in_msgs", GATEWAY_IN_MESSAGES},
    {"conn_out_msgs", GATEWAY_OUT_MESSAGES},
    {"conn_in_bytes", GATEWAY_IN_BYTES},
    {"conn_out_bytes", GATEWAY_OUT_BYTES},
    {"conn_subscriptions", GATEWAY_SUBSCRIPTIONS},
};

/* Moments and spans are cut to seconds, as the exporter and the document cut them. */
static double whole_seconds(int64_t ns)
{
    int64_t seconds = ns / NS_PER_SECOND;
    return (double)seconds;
}

static double value_of(const struct control *control, const struct gateway_link *link,
                       const struct report_gateway *figures, enum gateway_figure which)
{
    int64_t now_ns = clock_monotonic_ns(), wall_minus_ns = control->monitor.wall_minus_ns;
    switch (which) {
    case GATEWAY_CONFIGURED:
        return link->cluster != NULL && link->cluster->remote_number > 0;
    case GATEWAY_START:
        return whole_seconds(figures->start_ns + wall_minus_ns);
    case GATEWAY_ACTIVITY:
        return whole_seconds(figures->last_activity_ns + wall_minus_ns);
    case GATEWAY_UPTIME:
        return whole_seconds(now_ns - figures->start_ns);
    case GATEWAY_IDLE_TIME:
        return whole_seconds(now_ns - figures->last_activity_ns);
    case GATEWAY_RTT:
        return (double)figures->rtt_ns / (double)NS_PER_SECOND;
    case GATEWAY_PENDING:
        return (double)figures->pending_bytes;
    case GATEWAY_IN_MESSAGES:
        return (double)figures->in_messages;
    case GATEWAY_OUT_MESSAGES:
        return (double)figures->out_messages;
    case GATEWAY_IN_BYTES:
        return (double)figures->in_bytes;
    case GATEWAY_OUT_BYTES:
        return (double)figures->out_bytes;
    case GATEWAY_SUBSCRIPTIONS:
        return (double)figures->subscriptions;
    }
    return 0;
}

/* name{gateway_name="...",cid="7",remote_gateway_name="...",server_id="..."} value */
static void add_value(struct control *control, struct json_output *out, const char *name,
                      const struct gateway_link *link, const struct report_gateway *figures,
                      enum gateway_figure which)
{
    char line[METRICS_LINE_BYTES], escaped[METRICS_ESCAPED_BYTES];
    json_output_add(out, text(name));
    json_output_add(out, TEXT("{gateway_name=\""));
    json_output_add(out, metrics_escaped(text(control->snapshot->options->gateway.name), escaped));
    int count = snprintf(line, sizeof line, "\",cid=\"%" PRIu64 "\",remote_gateway_name=\"", figures->gid);
    json_output_add(out, bytes_of(line, (size_t)count));
    json_output_add(out, metrics_escaped(text(link->name), escaped));
    count = snprintf(line, sizeof line, "\",server_id=\"%s\"}", control->server_id);
    json_output_add(out, bytes_of(line, (size_t)count));
    metrics_value(out, value_of(control, link, figures, which));
}

static void add_family(struct control *control, struct monitor_task *task, bool outbound, size_t row)
{
    struct json_output *out = &task->document;
    const struct monitor_gatewayz *gatewayz = &task->gatewayz;
    char name[METRICS_LINE_BYTES];
    bool begun = false;
    snprintf(name, sizeof name, "gnatsd_gatewayz_%s_gateway_%s", outbound ? "outbound" : "inbound",
             rows[row].name);
    for (uint32_t i = 0; i < gatewayz->count; i++) {
        const struct gateway_link *link = gateways_link_find(control, gatewayz->all[i].gid);
        if (link == NULL || !link->registered || link->solicited != outbound)
            continue; /* it ended meanwhile, or is another family's */
        if (!begun)
            metrics_family(out, name, "gauge", rows[row].name);
        begun = true;
        add_value(control, out, name, link, &gatewayz->all[i], rows[row].which);
    }
}

void metrics_add_gateways(struct control *control, struct monitor_task *task)
{
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        add_family(control, task, true, row);
        add_family(control, task, false, row);
    }
}
