/* shards/streaming/cluster_options.c - see cluster_options.h. */
#include "shards/streaming/cluster_options.h"

#include "core/base/clock.h"
#include "core/config/duration.h"
#include "shards/streaming/groups.h"
#include "shards/streaming/options.h"

#include <string.h>

#define ROW(kind_word, field, first, others)                                                                 \
    {                                                                                                        \
        .name = first, .aliases = others, .kind = kind_word,                                                 \
        .offset = INTO(struct streaming_options, cluster.field), .reload = RELOAD_FREE                       \
    }
#define IGNORED(first)                                                                                       \
    {                                                                                                        \
        .name = first, .kind = OPTION_IGNORED                                                                \
    }

static char *put(char *at, struct bytes name)
{
    return mempcpy(at, name.data, name.count);
}

/* An array of names becomes one text with commas. */
static void parse_peers(void *target, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    struct streaming_options *options = target;
    size_t bytes = 1;
    if (!option_want(errors, entry, CONFIG_ARRAY))
        return;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (item->value->kind != CONFIG_STRING) {
            option_fail(errors, entry->position, "parameter \"peers\" value is expected to be string, got %s",
                        config_type_name(item->value));
            return;
        }
        bytes += item->value->string.count + 1;
        if (memchr(item->value->string.data, ',', item->value->string.count) != NULL)
            options->cluster.peers_by_comma = true;
    }
    char *names = arena_new(arena, bytes);
    if (names == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    char *at = names;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        at = put(at, item->value->string);
        *at++ = ',';
    }
    *at = 0;
    options->cluster.peers = names;
}

static const struct option cluster_rows[] = {
    ROW(OPTION_TEXT, node_id, "node_id", "nodeid id"),
    ROW(OPTION_BOOL, bootstrap, "bootstrap", NULL),
    {.name = "peers", .kind = OPTION_CUSTOM, .parse = parse_peers},
    ROW(OPTION_TEXT, log_path, "log_path", NULL),
    ROW(OPTION_INTEGER, log_cache_size, "log_cache_size", NULL),
    ROW(OPTION_INTEGER, log_snapshots, "log_snapshots", NULL),
    ROW(OPTION_INTEGER, trailing_logs, "trailing_logs", NULL),
    ROW(OPTION_INTEGER, snapshot_entries, "snapshot_entries", NULL),
    ROW(OPTION_INTEGER, groups, "groups", NULL),
    ROW(OPTION_BOOL, sync, "sync", NULL),
    ROW(OPTION_BOOL, raft_logging, "raft_logging", NULL),
    ROW(OPTION_BOOL, proceed_on_restore_failure, "proceed_on_restore_failure", NULL),
    ROW(OPTION_BOOL, allow_add_remove_node, "allow_add_remove_node", NULL),
    ROW(OPTION_DURATION_ONLY, heartbeat_timeout_ns, "raft_heartbeat_timeout", NULL),
    ROW(OPTION_DURATION_ONLY, election_timeout_ns, "raft_election_timeout", NULL),
    ROW(OPTION_DURATION_ONLY, lease_timeout_ns, "raft_lease_timeout", NULL),
    ROW(OPTION_DURATION_ONLY, commit_timeout_ns, "raft_commit_timeout", NULL),
    IGNORED("bolt_free_list_sync"), /* a file that is not there */
    IGNORED("bolt_free_list_map"),
    IGNORED("nodes_connections"), /* the nodes' routes are their connections */
};

void streaming_cluster_parse(void *target, const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors)
{
    struct streaming_options *options = target;
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "expected cluster to be a map/struct, got %s",
                    config_type_name(entry->value));
        return;
    }
    options->cluster.on = true;
    option_map_apply(cluster_rows, COUNT_OF(cluster_rows), options, entry->value, arena, errors);
}

bool streaming_peer_next(const char **at, struct bytes *name)
{
    while (*at != NULL && (**at == ',' || **at == ' '))
        ++*at;
    if (*at == NULL || **at == 0)
        return false;
    size_t count = strcspn(*at, ",");
    *name = bytes_of(*at, count);
    *at += count;
    while (name->count > 0 && name->data[name->count - 1] == ' ')
        name->count--;
    return true;
}

/* ---- what has to hold ---- */

static bool times_good(const struct streaming_cluster_options *options, struct config_text *why)
{
    char first[DURATION_TEXT_BYTES_MAX], second[DURATION_TEXT_BYTES_MAX];
    const char *low = options->heartbeat_timeout_ns < 5 * NS_PER_MS  ? "HeartbeatTimeout is too low"
                      : options->election_timeout_ns < 5 * NS_PER_MS ? "ElectionTimeout is too low"
                      : options->commit_timeout_ns < NS_PER_MS       ? "CommitTimeout is too low"
                      : options->lease_timeout_ns < 5 * NS_PER_MS    ? "LeaderLeaseTimeout is too low"
                                                                     : NULL;
    if (low != NULL)
        config_text_add(why, "%s", low);
    else if (options->lease_timeout_ns > options->heartbeat_timeout_ns)
        config_text_add(why, "LeaderLeaseTimeout (%s) cannot be larger than heartbeat timeout (%s)",
                        duration_print(options->lease_timeout_ns, first),
                        duration_print(options->heartbeat_timeout_ns, second));
    else if (options->election_timeout_ns < options->heartbeat_timeout_ns)
        config_text_add(why, "ElectionTimeout (%s) must be equal or greater than Heartbeat Timeout (%s)",
                        duration_print(options->election_timeout_ns, first),
                        duration_print(options->heartbeat_timeout_ns, second));
    else
        return true;
    return false;
}

static bool name_good(struct bytes name, struct config_text *why)
{
    if (name.count > 0 && name.count <= RAFT_NAME_BYTES_MAX)
        return true;
    config_text_add(why, "a node ID must have from 1 to %d bytes: \"%.*s\"", RAFT_NAME_BYTES_MAX,
                    BYTES_PRINTF(name));
    return false;
}

static bool names_good(const struct streaming_cluster_options *options, struct config_text *why)
{
    const char *at = options->peers;
    struct bytes name;
    uint32_t count = 0;
    if (options->node_id != NULL && !name_good(text(options->node_id), why))
        return false;
    for (; streaming_peer_next(&at, &name); count++) {
        if (!name_good(name, why))
            return false;
    }
    if (count > RAFT_MEMBERS_MAX) {
        config_text_add(why, "a cluster may have at most %d nodes", RAFT_MEMBERS_MAX);
        return false;
    }
    return true;
}

bool streaming_cluster_options_finish(const struct streaming_cluster_options *options, bool memory,
                                      struct config_text *why)
{
    if (!options->on)
        return true;
    if (memory) {
        config_text_add(why, "stan: clustering mode not supported with MEMORY store type");
        return false;
    }
    if (options->log_snapshots < 1) {
        config_text_add(why, "must retain at least one snapshot");
        return false;
    }
    if (options->trailing_logs < 0 || options->trailing_logs > STREAMING_LOG_ENTRIES_MAX ||
        options->snapshot_entries < 1 || options->snapshot_entries > STREAMING_LOG_ENTRIES_MAX) {
        config_text_add(why, "trailing_logs must be from 0 to %d, and snapshot_entries from 1",
                        STREAMING_LOG_ENTRIES_MAX);
        return false;
    }
    if (options->groups < 1 || options->groups > STREAMING_GROUPS_MAX) {
        config_text_add(why, "groups must be from 1 to %d", STREAMING_GROUPS_MAX);
        return false;
    }
    return times_good(options, why) && names_good(options, why);
}
