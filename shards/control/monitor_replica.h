/* shards/control/monitor_replica.h - a node of a streaming cluster, as /streaming/serverz shows it
 * (docs/streaming-cluster.md 7). In the flow: streaming_server_begin() -> here. Thread: the control core's.
 */
#ifndef SHARDS_CONTROL_MONITOR_REPLICA_H
#define SHARDS_CONTROL_MONITOR_REPLICA_H

#include "core/codec/json_output.h"

struct control;

/* `state`, and for a node `role`, `node_id` as the original names them; the other fields are ours. */
void monitor_put_replica(const struct control *control, struct json_output *document);

#endif
