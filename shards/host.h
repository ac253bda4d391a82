/* shards/host.h - what a shard does for its sessions (net/host.h). */
#ifndef SHARDS_HOST_H
#define SHARDS_HOST_H

#include "net/host.h"

struct shard;

/* The table for session_context.host; the context must be a struct shard's. Thread: any. */
const struct host_operations *shard_host(void);

/* Tells the other shards which of their publishers to stall; once a turn, behind all deliveries. Thread: the
 * shard's. */
void host_stalls_tell(struct shard *shard);
/* The same, and shard->reports.top learns what is published, as long as it is to be watched; then the shard
 * is given the other table again. */
const struct host_operations *shard_host_watched(void);

#endif
