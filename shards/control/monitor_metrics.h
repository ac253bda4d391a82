/* shards/control/monitor_metrics.h - the text format of /metrics (Prometheus 0.0.4), for the files that have
 * figures to show in it. In the flow:  metrics_told() -> metrics_add_streaming() -> metrics_family(),
 * metrics_value(). Thread: the control core's. */
#ifndef SHARDS_CONTROL_MONITOR_METRICS_H
#define SHARDS_CONTROL_MONITOR_METRICS_H

#include "core/base/bytes.h"
#include "core/codec/json_output.h"

struct control;
struct monitor_task;

/* A label's value, escaped, is cut at this; so is a line before its value. */
enum { METRICS_LINE_BYTES = 256, METRICS_ESCAPED_BYTES = 4096 };

/* The two lines before a metric's values. `type`: "gauge" or "counter". */
void metrics_family(struct json_output *out, const char *name, const char *type, const char *help);

/* The value behind a name and its labels, and the line's end. */
void metrics_value(struct json_output *out, double value);

/* A label's value: backslash, quote and line feed are escaped. A view into `out`. */
struct bytes metrics_escaped(struct bytes value, char out[METRICS_ESCAPED_BYTES]);

/* What the NATS exporter makes of /varz, /connz, /subsz, /routez, /leafz, /healthz, /accountz and /accstatz;
 * what of /gatewayz: nothing where there are no gateways. Of accounts by themselves it is much: some accounts
 * of one metric at a time, and step_wanted for more; `account_next` and `metrics_row` are 0 at first. */
void metrics_add_exported(struct control *control, struct monitor_task *task);
void metrics_add_accounts(struct control *control, struct monitor_task *task);
void metrics_add_gateways(struct control *control, struct monitor_task *task);

/* Of each route in task->routes what the exporter makes of it, and our own; nothing where there are none. */
void metrics_add_routes(struct control *control, struct monitor_task *task);

/* What the streaming service has (docs/streaming.md 8); nothing when it is off. */
void metrics_add_streaming(struct control *control, struct monitor_task *task);

#endif
