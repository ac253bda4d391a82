/* shards/host.h - what a shard does for its sessions (net/host.h). */
#ifndef SHARDS_HOST_H
#define SHARDS_HOST_H

#include "net/host.h"

/* The table for session_context.host; the context must be a struct shard's. Thread: any. */
const struct host_operations *shard_host(void);

#endif
