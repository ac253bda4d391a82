/* shards/streaming/cluster_options.h - what a node of clustered streaming can be told: `streaming { cluster
 * {} }` and the --cluster* flags of nats-streaming-server (docs/streaming.md 6). In the flow:
 * streaming_options_finish() -> streaming_cluster_options_finish() -> replica. Thread: any may read. */
#ifndef SHARDS_STREAMING_CLUSTER_OPTIONS_H
#define SHARDS_STREAMING_CLUSTER_OPTIONS_H

#include "core/config/option.h"

enum {
    STREAMING_LOG_ENTRIES_MAX = 1 << 20
}; /* of trailing_logs and snapshot_entries: 16 bytes of memory each */

struct streaming_cluster_options {
    bool on;             /* a `cluster` block, or --clustered */
    const char *node_id; /* NULL: what the store has, else a random one */
    bool bootstrap;
    const char *peers;   /* names, separated by commas; NULL: none */
    bool peers_by_comma; /* a name of the array held one: told at the start */
    const char *log_path;
    int64_t log_cache_size;
    int64_t log_snapshots;
    int64_t trailing_logs;
    int64_t snapshot_entries; /* ours: a snapshot is taken after so many */
    int64_t groups;           /* ours: Raft groups, each with a part of the channels */
    bool sync;
    bool raft_logging;
    bool proceed_on_restore_failure;
    bool allow_add_remove_node;
    int64_t heartbeat_timeout_ns, election_timeout_ns, lease_timeout_ns, commit_timeout_ns;
};

/* A field of the `streaming` block, read into the whole struct streaming_options. */
option_parse streaming_cluster_parse;

/* False: `why` has the sentence of nats-streaming-server, where it has one. `memory`: the store is in memory
 * only. */
MUST_USE bool streaming_cluster_options_finish(const struct streaming_cluster_options *options, bool memory,
                                               struct config_text *why);

/* The next of the peers' names: *at is options->peers at first. False: there are no more. */
bool streaming_peer_next(const char **at, struct bytes *name);

#endif
