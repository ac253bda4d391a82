/* shards/streaming/options.h - what the streaming service can be told: the `streaming` block and the flags of
 * nats-streaming-server (spec/streaming.md 18; docs/streaming.md 6). Read at the start only: a reload changes
 * nothing. In the flow:  options_apply() -> streaming_options_finish() -> service_start(). Thread: any may
 * read. */
#ifndef SHARDS_STREAMING_OPTIONS_H
#define SHARDS_STREAMING_OPTIONS_H

#include "core/config/option.h"
#include "shards/streaming/cluster_options.h"
#include "shards/streaming/outer_options.h"
#include "store/limits.h"

enum streaming_store { STREAMING_STORE_MEMORY, STREAMING_STORE_FILE };

struct streaming_options {
    bool on;                 /* a `streaming` block, --streaming, or started as nats-streaming-server */
    const char *config_file; /* of -sc; NULL: none */
    const char *cluster_id;
    const char *discover_prefix;
    const char *store_name; /* as given; NULL: MEMORY */
    int store;              /* enum streaming_store, by the name */
    const char *folder;
    bool debug, trace;
    int64_t heartbeat_interval_ns, heartbeat_timeout_ns, heartbeat_fail_max;
    bool replace_durable;

    int64_t channels_max, subscriptions_max, messages_max, bytes_max, age_max_ns, inactivity_max_ns;
    const struct store_limits_rule *rules;
    uint32_t rule_count;

    bool sync_on_flush;
    int64_t auto_sync_ns;
    int64_t segment_bytes;
    int64_t cache_bytes;
    bool cut_damaged_tail;

    struct streaming_cluster_options cluster;

    int64_t ignored_number;
    bool ignored;                         /* flags that have no meaning here and do no harm */
    struct streaming_outer_options outer; /* of a NATS server outside of this process */
    const char *username; /* of the NATS user whose account the service lives in; NULL: the first account.
                             With a server outside, who the service is there */
};

/* The rows of the flags, and of the block itself. */
const struct option *streaming_option_rows(size_t *count);

/* The rows of what is in the block, into this struct: a file of -sc may have them at its top. */
const struct option *streaming_block_rows(size_t *count);

/* `program`: started by that name the service is on. False: `why` says what is wrong. */
MUST_USE bool streaming_options_finish(struct streaming_options *options, const char *program,
                                       struct config_text *why);

/* The limits of a channel that no rule names. */
struct store_limits streaming_options_limits(const struct streaming_options *options);

#endif
