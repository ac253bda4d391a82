/* The `cluster` block of streaming and its flags: what they mean, and the sentences for what cannot be. */
#include "shards/options.h"

#include <criterion/criterion.h>
#include <stdio.h>

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    (void)path;
    (void)why;
    *out = text(arena_copy(arena, text(context)));
    return ERR_OK;
}

/* `flags`: separated by single spaces. */
static struct server_options *load(const char *flags, const char *cluster, struct options_outcome *outcome)
{
    char line[256], file[512], *argv[16], *at = line;
    int argc = 0;
    struct server_options *options;
    snprintf(line, sizeof line, "myelin -c c.conf%s%s", flags[0] == 0 ? "" : " ", flags);
    snprintf(file, sizeof file, "streaming { store: FILE, dir: d %s }", cluster);
    struct config_source source = {.read = read_file, .context = file};
    while (at != NULL)
        argv[argc++] = strsep(&at, " ");
    argv[argc] = NULL;
    server_options_load_from(argc, argv, &source, &options, outcome);
    return options;
}

struct error_case {
    const char *flags, *cluster, *sentence;
};

static const struct error_case error_cases[] = {
    {"", ", store: MEMORY, cluster {}", "stan: clustering mode not supported with MEMORY store type"},
    {"--clustered -st MEMORY", "", "stan: clustering mode not supported with MEMORY store type"},
    {"", ", cluster: 5", "expected cluster to be a map/struct, got int64"},
    {"", ", cluster { log_snapshots: 0 }", "must retain at least one snapshot"},
    {"", ", cluster { raft_lease_timeout: \"3s\" }",
     "LeaderLeaseTimeout (3s) cannot be larger than heartbeat timeout (2s)"},
    {"", ", cluster { raft_heartbeat_timeout: \"5s\" }",
     "ElectionTimeout (2s) must be equal or greater than Heartbeat Timeout (5s)"},
    {"", ", cluster { raft_heartbeat_timeout: \"4ms\" }", "HeartbeatTimeout is too low"},
    {"", ", cluster { raft_election_timeout: \"4ms\" }", "ElectionTimeout is too low"},
    {"", ", cluster { raft_lease_timeout: \"4ms\" }", "LeaderLeaseTimeout is too low"},
    {"", ", cluster { raft_commit_timeout: \"999us\" }", "CommitTimeout is too low"},
    {"", ", cluster { trailing_logs: -1 }", "trailing_logs must be from 0 to 1048576"},
    {"", ", cluster { snapshot_entries: 0 }", "snapshot_entries from 1"},
    {"", ", cluster { groups: 0 }", "groups must be from 1 to 32"},
    {"--cluster_groups 33", ", cluster {}", "groups must be from 1 to 32"},
    {"", ", cluster { node_id: \"\" }", "a node ID must have from 1 to 64 bytes"},
    {"", ", cluster { peers: a }", "c.conf:1:44: interface conversion"},
    {"", ", cluster { peers: [1] }", "parameter \"peers\" value is expected to be string, got int64"},
    {"", ", cluster { peers: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q] }", "a cluster may have at most 16 nodes"},
    {"", ", cluster { what: 1 }", "unknown field \"what\""},
};

Test(streaming_cluster_options, what_cannot_be_is_refused_with_a_sentence)
{
    for (size_t i = 0; i < COUNT_OF(error_cases); i++) {
        const struct error_case *c = &error_cases[i];
        struct options_outcome outcome;
        struct server_options *options = load(c->flags, c->cluster, &outcome);
        cr_expect_null(options, "%s%s", c->flags, c->cluster);
        cr_expect(strstr(config_text_string(&outcome.err), c->sentence) != NULL, "%s%s says %s", c->flags,
                  c->cluster, config_text_string(&outcome.err));
        server_options_free(options);
        options_outcome_close(&outcome);
    }
}

static void expect_peers(const struct streaming_cluster_options *cluster, const char *names)
{
    const char *at = cluster->peers;
    char found[256] = "";
    struct bytes name;
    while (streaming_peer_next(&at, &name))
        snprintf(found + strlen(found), sizeof found - strlen(found), "%.*s;", BYTES_PRINTF(name));
    cr_expect_str_eq(found, names);
}

Test(streaming_cluster_options, a_block_means_clustered_with_defaults_that_are_safe)
{
    struct options_outcome outcome;
    struct server_options *options = load("", ", cluster {}", &outcome);
    cr_assert_not_null(options, "%s", config_text_string(&outcome.err));
    const struct streaming_cluster_options *cluster = &options->streaming.cluster;
    cr_expect(cluster->on && cluster->sync && !cluster->bootstrap && !cluster->allow_add_remove_node);
    cr_expect_eq(cluster->heartbeat_timeout_ns, 2000000000);
    cr_expect_eq(cluster->election_timeout_ns, 2000000000);
    cr_expect_eq(cluster->lease_timeout_ns, 1000000000);
    cr_expect_eq(cluster->trailing_logs, 10240);
    cr_expect_eq(cluster->groups, 1);
    cr_expect_null(cluster->node_id);
    expect_peers(cluster, "");
    server_options_free(options);
    options_outcome_close(&outcome);
    options = load("", "", &outcome);
    cr_assert_not_null(options);
    cr_expect_not(options->streaming.cluster.on);
    server_options_free(options);
    options_outcome_close(&outcome);
}

Test(streaming_cluster_options, peers_come_as_an_array_or_with_commas)
{
    struct options_outcome outcome;
    struct server_options *options = load("", ", cluster { node_id: a, peers: [\"a\", \"b\"] }", &outcome);
    cr_assert_not_null(options, "%s", config_text_string(&outcome.err));
    expect_peers(&options->streaming.cluster, "a;b;");
    cr_expect_not(options->streaming.cluster.peers_by_comma);
    server_options_free(options);
    options_outcome_close(&outcome);
    options = load("", ", cluster { peers: [\"a, b\", c] }", &outcome);
    cr_assert_not_null(options);
    expect_peers(&options->streaming.cluster, "a;b;c;");
    cr_expect(options->streaming.cluster.peers_by_comma);
    server_options_free(options);
    options_outcome_close(&outcome);
    options =
        load("--clustered --cluster_peers a,b,c --cluster_node_id b --cluster_sync=false --cluster_groups 3",
             "", &outcome);
    cr_assert_not_null(options);
    expect_peers(&options->streaming.cluster, "a;b;c;");
    cr_expect_str_eq(options->streaming.cluster.node_id, "b");
    cr_expect(options->streaming.cluster.on && !options->streaming.cluster.sync);
    cr_expect_eq(options->streaming.cluster.groups, 3);
    server_options_free(options);
    options_outcome_close(&outcome);
}
