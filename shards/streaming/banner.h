/* shards/streaming/banner.h - the lines that nats-streaming-server writes while it starts, which scripts wait
 * for (spec/streaming.md 20.1). In the flow:  server_announce() -> streaming_banner_start() ...
 * service_start() -> streaming_banner_ready(). Thread: the control core's. */
#ifndef SHARDS_STREAMING_BANNER_H
#define SHARDS_STREAMING_BANNER_H

#include "core/base/log.h"
#include "shards/streaming/machine.h"
#include "shards/streaming/options.h"
#include "store/store.h"

/* So many letters of the server's id are the streaming server's, as many as it has by tradition. */
enum { STREAMING_SERVER_ID_BYTES = 22 };

/* Who starts. */
void streaming_banner_start(struct log *log, const struct streaming_options *options, struct bytes server_id);

/* What the store has, what it may have, and that all is ready; for debugging the subjects too. */
void streaming_banner_ready(struct log *log, const struct streaming_options *options,
                            const struct store *store, const struct streaming *machine);

#endif
