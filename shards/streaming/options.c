/* shards/streaming/options.c - see options.h. The same fields are rows of the `streaming` block and of its
 * maps, and flags at the top: what is in both stands in one macro. */
#include "shards/streaming/options.h"

#include "core/base/memory.h"
#include "core/base/quote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FIELD(field) INTO(struct streaming_options, field)
#define FLAG(kind_word, field, flag_names, shown, help_text)                                                 \
    {                                                                                                        \
        .kind = kind_word, .offset = FIELD(field), .reload = RELOAD_FREE, .section = SECTION_STREAMING,      \
        .flags = flag_names, .argument = shown, .help = help_text                                            \
    }
#define ROW(kind_word, field, first, others)                                                                 \
    {                                                                                                        \
        .name = first, .aliases = others, .kind = kind_word, .offset = FIELD(field), .reload = RELOAD_FREE   \
    }
#define PLANNED(first, others)                                                                               \
    {                                                                                                        \
        .name = first, .aliases = others, .kind = OPTION_NOT_BUILT                                           \
    }
#define PLANNED_FLAG(names, value)                                                                           \
    {                                                                                                        \
        .kind = OPTION_NOT_BUILT, .flags = names, .argument = value                                          \
    }
#define IGNORED(first, others)                                                                               \
    {                                                                                                        \
        .name = first, .aliases = others, .kind = OPTION_IGNORED                                             \
    }

/* ---- limits of channels ---- */

/* One `channels` item, whose fields begin as "inherited". */
static const struct option rule_rows[] = {
    {.name = "max_subs",
     .aliases = "msu max_subscriptions maxsubscriptions",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct store_limits_rule, subscriptions_max)},
    {.name = "max_msgs",
     .aliases = "mm maxmsgs max_count maxcount",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct store_limits_rule, messages_max)},
    {.name = "max_bytes",
     .aliases = "mb maxbytes",
     .kind = OPTION_BYTES,
     .offset = INTO(struct store_limits_rule, bytes_max)},
    {.name = "max_age",
     .aliases = "ma maxage",
     .kind = OPTION_DURATION,
     .offset = INTO(struct store_limits_rule, age_max_ns)},
    {.name = "max_inactivity",
     .aliases = "mi maxinactivity",
     .kind = OPTION_DURATION,
     .offset = INTO(struct store_limits_rule, inactivity_max_ns)},
};

static void parse_channels(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    struct streaming_options *options = target;
    uint32_t count = 0;
    if (!option_want(errors, entry, CONFIG_MAP))
        return;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        count++;
    struct store_limits_rule *rules = arena_new(arena, (count + 1) * sizeof *rules);
    if (rules == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    options->rules = rules;
    options->rule_count = 0;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        struct store_limits_rule *rule = &rules[options->rule_count++];
        *rule = (struct store_limits_rule){
            .name = option_copy(item->key, item->position, arena, errors),
            .messages_max = LIMIT_INHERITED,
            .bytes_max = LIMIT_INHERITED,
            .age_max_ns = LIMIT_INHERITED,
            .inactivity_max_ns = LIMIT_INHERITED,
            .subscriptions_max = LIMIT_INHERITED,
        };
        if (option_want(errors, item, CONFIG_MAP))
            option_map_apply(rule_rows, COUNT_OF(rule_rows), rule, item->value, arena, errors);
    }
}

static const struct option limit_rows[] = {
    ROW(OPTION_INTEGER, channels_max, "max_channels", "mc maxchannels"),
    ROW(OPTION_INTEGER, subscriptions_max, "max_subs", "msu max_subscriptions maxsubscriptions"),
    ROW(OPTION_INTEGER, messages_max, "max_msgs", "mm maxmsgs max_count maxcount"),
    ROW(OPTION_BYTES, bytes_max, "max_bytes", "mb maxbytes"),
    ROW(OPTION_DURATION, age_max_ns, "max_age", "ma maxage"),
    ROW(OPTION_DURATION, inactivity_max_ns, "max_inactivity", "mi maxinactivity"),
    {.name = "channels",
     .aliases = "channels_limits channelslimits per_channel per_channel_limits",
     .kind = OPTION_CUSTOM,
     .parse = parse_channels},
};

static void parse_limits(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    if (option_want(errors, entry, CONFIG_MAP))
        option_map_apply(limit_rows, COUNT_OF(limit_rows), target, entry->value, arena, errors);
}

/* ---- the file store ---- */

/* What tunes files that are not there in this store has no meaning and does no harm. */
static const struct option file_rows[] = {
    ROW(OPTION_BOOL, sync_on_flush, "sync_on_flush", "sync do_sync"),
    ROW(OPTION_DURATION, auto_sync_ns, "auto_sync", "file_auto_sync"),
    ROW(OPTION_BYTES, segment_bytes, "slice_max_bytes", "slice_max_size slice_bytes slice_size"),
    ROW(OPTION_BYTES, cache_bytes, "read_buffer_size", "file_read_buffer_size"),
    IGNORED("compact", "compact_enabled"),
    IGNORED("compact_fragmentation", "compact_frag"),
    IGNORED("compact_interval", NULL),
    IGNORED("compact_min_size", NULL),
    IGNORED("buffer_size", NULL),
    IGNORED("crc", "do_crc"),
    IGNORED("crc_poly", NULL),
    IGNORED("slice_max_msgs", "slice_max_count slice_msgs slice_count"),
    IGNORED("slice_max_age", "slice_age slice_max_time slice_time_limit"),
    PLANNED("slice_archive_script", "slice_archive slice_script"),
    IGNORED("file_descriptors_limit", "fds_limit"),
    IGNORED("parallel_recovery", NULL),
};

static void parse_file(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    if (option_want(errors, entry, CONFIG_MAP))
        option_map_apply(file_rows, COUNT_OF(file_rows), target, entry->value, arena, errors);
}

/* ---- the block ---- */

static void parse_tls(void *target, const struct config_entry *entry, struct arena *arena,
                      struct option_errors *errors)
{
    if (!option_want(errors, entry, CONFIG_MAP))
        return;
    size_t count;
    const struct option *tls_rows = streaming_outer_tls_rows(&count);
    struct streaming_options *options = target;
    option_map_apply(tls_rows, count, &options->outer, entry->value, arena, errors);
}

static const struct option block_rows[] = {
    ROW(OPTION_TEXT, cluster_id, "cluster_id", "cid id"),
    ROW(OPTION_TEXT, discover_prefix, "discover_prefix", NULL),
    ROW(OPTION_TEXT, store_name, "store", "st store_type storetype"),
    ROW(OPTION_TEXT, folder, "dir", "datastore"),
    ROW(OPTION_BOOL, debug, "stan_debug", "sd"),
    ROW(OPTION_BOOL, trace, "stan_trace", "sv"),
    ROW(OPTION_DURATION_ONLY, heartbeat_interval_ns, "hb_interval", "hbi server_to_client_hb_interval"),
    ROW(OPTION_DURATION_ONLY, heartbeat_timeout_ns, "hb_timeout", "hbt server_to_client_hb_timeout"),
    ROW(OPTION_INTEGER, heartbeat_fail_max, "hb_fail_count", "hbf server_to_client_hb_fail_count"),
    ROW(OPTION_BOOL, replace_durable, "replace_durable",
        "replace_durables replace_duplicate_durable replace_duplicate_durables"),
    ROW(OPTION_TEXT, username, "username", "user"),
    {.name = "store_limits", .aliases = "limits storelimits", .kind = OPTION_CUSTOM, .parse = parse_limits},
    {.name = "file", .aliases = "file_options", .kind = OPTION_CUSTOM, .parse = parse_file},
    IGNORED("syslog_name", NULL),
    /* Of the connection to a NATS server outside; without one there is nobody who asks. */
    ROW(OPTION_TEXT, outer.urls, "nats_server_url", "ns nats_server"),
    ROW(OPTION_TEXT, outer.password, "password", "pass"),
    ROW(OPTION_TEXT, outer.token, "token", NULL),
    ROW(OPTION_TEXT, outer.credentials_file, "credentials", NULL),
    ROW(OPTION_TEXT, outer.seed_file, "nkey_seed_file", NULL),
    ROW(OPTION_BOOL, outer.secure, "secure", NULL),
    {.name = "tls", .kind = OPTION_CUSTOM, .parse = parse_tls},
    PLANNED("partitioning", NULL),
    PLANNED("ft_group", "ft_group_name"),
    PLANNED("sql", "sql_options"),
    {.name = "cluster", .kind = OPTION_CUSTOM, .parse = streaming_cluster_parse},
    PLANNED("encrypt", NULL),
    PLANNED("encryption_cipher", NULL),
    PLANNED("encryption_key", NULL),
};

static void parse_streaming(void *target, const struct config_entry *entry, struct arena *arena,
                            struct option_errors *errors)
{
    struct streaming_options *options = target;
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "expected streaming section to be a map/struct, got %s",
                    config_type_name(entry->value));
        return;
    }
    options->on = true;
    option_map_apply(block_rows, COUNT_OF(block_rows), options, entry->value, arena, errors);
}

/* ---- flags ---- */

static void flag_debug_trace(void *target, bool value)
{
    struct streaming_options *options = target;
    options->debug = options->trace = value;
}

/* `fallback` fills what a file may leave out as well. */
static const struct option rows[] = {
    {.name = "streaming", .kind = OPTION_CUSTOM, .reload = RELOAD_FREE, .parse = parse_streaming},
    {.kind = OPTION_BOOL,
     .offset = FIELD(on),
     .reload = RELOAD_FREE,
     .section = SECTION_STREAMING,
     .flags = "streaming",
     .help = "Serve NATS Streaming; the default when started as nats-streaming-server"},
    {.kind = OPTION_TEXT,
     .offset = FIELD(cluster_id),
     .fallback = "test-cluster",
     .section = SECTION_STREAMING,
     .flags = "cid cluster_id",
     .argument = "<id>",
     .help = "Cluster ID"},
    {.kind = OPTION_TEXT, .offset = FIELD(discover_prefix), .fallback = "_STAN.discover"},
    FLAG(OPTION_TEXT, store_name, "st store", "<type>", "Store type: MEMORY or FILE (default: MEMORY)"),
    FLAG(OPTION_TEXT, folder, "dir", "<folder>", "Where a FILE store keeps its files"),
    {.kind = OPTION_INTEGER,
     .offset = FIELD(channels_max),
     .fallback = "100",
     .least = INT64_MIN,
     .most = UINT32_MAX,
     .section = SECTION_STREAMING,
     .flags = "mc max_channels",
     .argument = "<count>",
     .help = "Channels; 0: no limit"},
    {.kind = OPTION_INTEGER,
     .offset = FIELD(subscriptions_max),
     .fallback = "1000",
     .least = INT64_MIN,
     .most = UINT32_MAX,
     .section = SECTION_STREAMING,
     .flags = "msu max_subs",
     .argument = "<count>",
     .help = "Subscriptions of a channel; 0: no limit"},
    {.kind = OPTION_INTEGER,
     .offset = FIELD(messages_max),
     .fallback = "1000000",
     .section = SECTION_STREAMING,
     .flags = "mm max_msgs",
     .argument = "<count>",
     .help = "Messages of a channel; 0: no limit"},
    {.kind = OPTION_BYTES,
     .offset = FIELD(bytes_max),
     .fallback = "1024000000",
     .section = SECTION_STREAMING,
     .flags = "mb max_bytes",
     .argument = "<size>",
     .help = "Bytes of a channel; 0: no limit"},
    FLAG(OPTION_DURATION, age_max_ns, "ma max_age", "<duration>", "How old a message may be; 0s: no limit"),
    FLAG(OPTION_DURATION, inactivity_max_ns, "mi max_inactivity", "<duration>",
         "How long a channel may be unused; 0s: no limit"),
    {.kind = OPTION_DURATION_ONLY,
     .offset = FIELD(heartbeat_interval_ns),
     .fallback = "30s",
     .section = SECTION_STREAMING,
     .flags = "hbi hb_interval",
     .argument = "<duration>",
     .help = "Between heartbeats to a streaming client"},
    {.kind = OPTION_DURATION_ONLY,
     .offset = FIELD(heartbeat_timeout_ns),
     .fallback = "10s",
     .section = SECTION_STREAMING,
     .flags = "hbt hb_timeout",
     .argument = "<duration>",
     .help = "How long to wait for the answer to one"},
    {.kind = OPTION_INTEGER,
     .offset = FIELD(heartbeat_fail_max),
     .fallback = "10",
     .section = SECTION_STREAMING,
     .flags = "hbf hb_fail_count",
     .argument = "<count>",
     .help = "Failed heartbeats before a client is closed"},
    FLAG(OPTION_BOOL, replace_durable, "replace_durable", NULL,
         "A durable that is subscribed twice goes to the newer"),
    FLAG(OPTION_INTEGER, ignored_number, "io_batch_size io_sleep_time", "<count>",
         "Accepted without effect: a batch is what a turn brings"),
    FLAG(OPTION_BOOL, debug, "SD stan_debug", NULL, "Log for debugging, of streaming"),
    FLAG(OPTION_BOOL, trace, "SV stan_trace", NULL, "Log the streaming protocol"),
    {.kind = OPTION_BOOL,
     .section = SECTION_STREAMING,
     .flags = "SDV",
     .help = "As -SD -SV",
     .flag = flag_debug_trace},
    {.kind = OPTION_BOOL,
     .offset = FIELD(sync_on_flush),
     .fallback = "true",
     .section = SECTION_STREAMING,
     .flags = "file_sync",
     .help = "Acknowledge when the disk has it, not the system alone"},
    {.kind = OPTION_DURATION,
     .offset = FIELD(auto_sync_ns),
     .fallback = "60s",
     .section = SECTION_STREAMING,
     .flags = "file_auto_sync",
     .argument = "<duration>",
     .help = "Without --file_sync: how often the disk is told; 0s: never"},
    {.kind = OPTION_BYTES,
     .offset = FIELD(segment_bytes),
     .fallback = "64MB",
     .section = SECTION_STREAMING,
     .flags = "file_slice_max_bytes",
     .argument = "<size>",
     .help = "Size of a file of the log"},
    {.kind = OPTION_BYTES,
     .offset = FIELD(cache_bytes),
     .fallback = "2MB",
     .section = SECTION_STREAMING,
     .flags = "file_read_buffer_size",
     .argument = "<size>",
     .help = "Memory for messages that are read back"},
    FLAG(OPTION_BOOL, cut_damaged_tail, "file_truncate_bad_eof", NULL,
         "Give up what lies behind the first damage in the log"),
    FLAG(OPTION_TEXT, outer.urls, "ns nats_server", "<url>",
         "NATS server to connect to, instead of being one; several with commas between"),
    FLAG(OPTION_BOOL, outer.secure, "secure", NULL, "Use TLS to that server"),
    FLAG(OPTION_TEXT, outer.tls_cert, "tls_client_cert", "<file>", "Certificate for that server"),
    FLAG(OPTION_TEXT, outer.tls_key, "tls_client_key", "<file>", "Private key for that server"),
    FLAG(OPTION_TEXT, outer.tls_ca, "tls_client_cacert", "<file>", "Authority of that server's certificate"),
    FLAG(OPTION_TEXT, config_file, "sc stan_config", "<file>",
         "Configuration of streaming; without --config of everything"),
    PLANNED_FLAG("ft_group", "<name>"),
    PLANNED_FLAG("encrypt", NULL),
    PLANNED_FLAG("encryption_cipher", "<name>"),
    PLANNED_FLAG("encryption_key", "<key>"),
    FLAG(OPTION_BOOL, cluster.on, "clustered", NULL, "Be a node of a streaming cluster"),
    FLAG(OPTION_TEXT, cluster.node_id, "cluster_node_id", "<id>",
         "This node's name; without it what the store has, else a random one"),
    FLAG(OPTION_BOOL, cluster.bootstrap, "cluster_bootstrap", NULL,
         "Begin a cluster of one node, which others join"),
    FLAG(OPTION_TEXT, cluster.peers, "cluster_peers", "<id>,<id>", "The nodes that begin a cluster together"),
    FLAG(OPTION_TEXT, cluster.log_path, "cluster_log_path", "<folder>",
         "Accepted without effect: the log is in the store"),
    {.kind = OPTION_INTEGER,
     .offset = FIELD(cluster.log_cache_size),
     .fallback = "512",
     .section = SECTION_STREAMING,
     .flags = "cluster_log_cache_size",
     .argument = "<count>",
     .help = "Accepted without effect: the store keeps its newest bytes in memory"},
    {.kind = OPTION_INTEGER,
     .offset = FIELD(cluster.log_snapshots),
     .fallback = "2",
     .section = SECTION_STREAMING,
     .flags = "cluster_log_snapshots",
     .argument = "<count>",
     .help = "Accepted without effect: the newest is kept, and one that is being sent"},
    {.kind = OPTION_INTEGER,
     .offset = FIELD(cluster.trailing_logs),
     .fallback = "10240",
     .section = SECTION_STREAMING,
     .flags = "cluster_trailing_logs",
     .argument = "<count>",
     .help = "Entries of the log that are kept behind a snapshot"},
    {.kind = OPTION_INTEGER, .offset = FIELD(cluster.snapshot_entries), .fallback = "65536"},
    {.kind = OPTION_INTEGER,
     .offset = FIELD(cluster.groups),
     .fallback = "1",
     .section = SECTION_STREAMING,
     .flags = "cluster_groups",
     .argument = "<count>",
     .help = "Raft groups that share the channels out between them; the same on each node, and for good"},
    {.kind = OPTION_BOOL,
     .offset = FIELD(cluster.sync),
     .fallback = "true",
     .section = SECTION_STREAMING,
     .flags = "cluster_sync",
     .help = "A node promises what its disk has, not the system alone"},
    FLAG(OPTION_BOOL, cluster.raft_logging, "cluster_raft_logging", NULL, "Log what Raft decides"),
    FLAG(OPTION_BOOL, cluster.proceed_on_restore_failure, "cluster_proceed_on_restore_failure", NULL,
         "Go on with what a node has when no leader can give it what it lacks"),
    FLAG(OPTION_BOOL, cluster.allow_add_remove_node, "cluster_allow_add_remove_node", NULL,
         "Nodes may be added and removed by request"),
    {.kind = OPTION_DURATION_ONLY, .offset = FIELD(cluster.heartbeat_timeout_ns), .fallback = "2s"},
    {.kind = OPTION_DURATION_ONLY, .offset = FIELD(cluster.election_timeout_ns), .fallback = "2s"},
    {.kind = OPTION_DURATION_ONLY, .offset = FIELD(cluster.lease_timeout_ns), .fallback = "1s"},
    {.kind = OPTION_DURATION_ONLY, .offset = FIELD(cluster.commit_timeout_ns), .fallback = "100ms"},
    PLANNED_FLAG("sql_driver sql_source sql_no_caching sql_max_open_conns sql_bulk_insert_limit", "<value>"),
    PLANNED_FLAG("file_slice_archive_script", "<file>"),
    FLAG(OPTION_BOOL, ignored, "file_compact_enabled file_crc", NULL,
         "Accepted without effect: it tunes what is not here"),
    {.kind = OPTION_IGNORED,
     .section = SECTION_STREAMING,
     .flags = "file_compact_frag file_compact_interval file_compact_min_size file_buffer_size "
              "file_crc_poly file_slice_max_msgs file_slice_max_age file_fds_limit file_parallel_recovery "
              "syslog_name",
     .argument = "<value>",
     .help = "Accepted without effect, likewise"},
};

const struct option *streaming_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}

const struct option *streaming_block_rows(size_t *count)
{
    *count = COUNT_OF(block_rows);
    return block_rows;
}

/* ---- what has to hold ---- */

static bool negative(const char *what, int64_t value, struct config_text *why)
{
    if (value >= 0)
        return false;
    config_text_add(why, "%s limit cannot be negative (%" PRId64 ")", what, value);
    return true;
}

static bool limits_good(const struct streaming_options *options, struct config_text *why)
{
    char sentence[LIMITS_WHY_BYTES];
    if (negative("max channels", options->channels_max, why) ||
        negative("max subscriptions", options->subscriptions_max, why) ||
        negative("max messages", options->messages_max, why) ||
        negative("max bytes", options->bytes_max, why) || negative("max age", options->age_max_ns, why) ||
        negative("max inactivity", options->inactivity_max_ns, why))
        return false;
    if (limits_rules_check(options->rules, options->rule_count, (uint32_t)options->channels_max, sentence,
                           sizeof sentence) != ERR_OK) {
        config_text_add(why, "%s", sentence);
        return false;
    }
    return true;
}

bool streaming_options_finish(struct streaming_options *options, const char *program, struct config_text *why)
{
    options->on = options->on || strcmp(program, "nats-streaming-server") == 0;
    if (!options->on)
        return true;
    const char *store =
        options->store_name == NULL || options->store_name[0] == 0 ? "MEMORY" : options->store_name;
    if (strcasecmp(store, "MEMORY") != 0 && strcasecmp(store, "FILE") != 0) {
        bool known = strcasecmp(store, "SQL") == 0;
        config_text_add(why,
                        known ? "SQL stores are not supported by this version of Myelin%s"
                              : "unsupported store type: %s",
                        known ? "" : store);
        return false;
    }
    options->store = strcasecmp(store, "FILE") == 0 ? STREAMING_STORE_FILE : STREAMING_STORE_MEMORY;
    if (!streaming_cluster_options_finish(&options->cluster, options->store == STREAMING_STORE_MEMORY, why))
        return false;
    if (options->store == STREAMING_STORE_FILE && (options->folder == NULL || options->folder[0] == 0)) {
        config_text_add(why, "for FILE stores, root directory must be specified");
        return false;
    }
    if (options->heartbeat_interval_ns <= 0 || options->heartbeat_timeout_ns <= 0 ||
        options->heartbeat_fail_max < 0) {
        config_text_add(why, "hb_interval and hb_timeout must be above 0, and hb_fail_count not below");
        return false;
    }
    return limits_good(options, why);
}

struct store_limits streaming_options_limits(const struct streaming_options *options)
{
    return (struct store_limits){
        .messages_max = (uint64_t)options->messages_max,
        .bytes_max = (uint64_t)options->bytes_max,
        .age_max_ns = options->age_max_ns,
        .inactivity_max_ns = options->inactivity_max_ns,
        .subscriptions_max = (uint32_t)options->subscriptions_max,
    };
}
