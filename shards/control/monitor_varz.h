/* shards/control/monitor_varz.h - what of the server's figures two endpoints show: /varz and /metrics.
 * Thread: the control core's. */
#ifndef SHARDS_CONTROL_MONITOR_VARZ_H
#define SHARDS_CONTROL_MONITOR_VARZ_H

#include "shards/control/monitor_task.h"

/* Of the process. */
struct monitor_process {
    uint64_t resident_bytes;
    double cpu_percent; /* of one core, since the sample before; one decimal */
    int64_t cores;
};

/* Samples; a cpu sample younger than a second is shown again. */
struct monitor_process monitor_process(struct control *control);

/* The sums over all shards. */
struct monitor_sums {
    uint64_t slow_consumers, stale_connections; /* of all connections */
    uint64_t stalls;
    struct monitor_kinds slow, stale; /* of a slow route only the first write */
};
struct monitor_sums monitor_sums(const struct control *control, const struct monitor_task *task);

/* What somebody has said of this server: tags and metadata, where there are any. */
void monitor_put_tags(struct json_output *document, const struct server_options *options);

/* What came and went on all connections: of clients, routes and gateways. */
struct monitor_traffic {
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
};
struct monitor_traffic monitor_traffic(const struct report_account *figures);

#endif
