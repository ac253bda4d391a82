/* shards/control/monitor_metrics_streaming.c - NATS Streaming in /metrics: by the names of the NATS exporter
 * what that derives from serverz and channelsz (nss_*), then Myelin's own counters of the service and its
 * store. At the bound: of many channels and subscriptions the first ones are told, in no order that is
 * promised. */
#include "shards/control/monitor_metrics.h"

#include "core/base/memory.h"
#include "core/base/version.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"
#include "shards/streaming/banner.h"
#include "shards/streaming/replica.h"
#include "shards/streaming/state.h"

#include <stdio.h>

/* As many channels as a page of channelsz has; a line of a subscription is some 200 bytes, three of each. */
enum { CHANNELS_MAX = 1024, SUBSCRIPTIONS_MAX = 4096 };

/* ---- the server and its store ---- */

struct row {
    const char *name, *type, *help;
    uint64_t value;
};

static void add_rows(struct control *control, struct json_output *out, const struct row *rows, size_t count)
{
    char line[METRICS_LINE_BYTES];
    for (size_t i = 0; i < count; i++) {
        metrics_family(out, rows[i].name, rows[i].type, rows[i].help);
        int bytes = snprintf(line, sizeof line, "%s{server=\"%s\"}", rows[i].name, control->server_id);
        json_output_add(out, bytes_of(line, (size_t)bytes));
        metrics_value(out, (double)rows[i].value);
    }
}

static void add_server(struct control *control, struct json_output *out, const struct streaming *machine)
{
    struct streaming_figures figures = service_figures(control);
    struct store_figures store = store_figures(machine->store);
    const struct row rows[] = {
        {"nss_server_bytes_total", "gauge", "Bytes of all stored messages.", figures.message_bytes},
        {"nss_server_msgs_total", "gauge", "Stored messages.", figures.message_count},
        {"nss_server_channels", "gauge", "Channels.", figures.channel_count},
        {"nss_server_subscriptions", "gauge", "Subscriptions, closed durables too.",
         figures.subscription_count},
        {"nss_server_clients", "gauge", "Clients.", figures.client_count},
        {"myelin_streaming_in_messages_total", "counter", "Published messages.", figures.in_messages},
        {"myelin_streaming_in_bytes_total", "counter", "Bytes of these.", figures.in_bytes},
        {"myelin_streaming_out_messages_total", "counter", "Deliveries, repeated ones too.",
         figures.out_messages},
        {"myelin_streaming_out_bytes_total", "counter", "Bytes of these.", figures.out_bytes},
        {"myelin_streaming_store_writes_total", "counter", "Writes to the log.", store.writes},
        {"myelin_streaming_store_syncs_total", "counter", "Syncs of the log.", store.syncs},
        {"myelin_streaming_store_log_bytes", "gauge", "Bytes of the log's files.", store.log_bytes},
        {"myelin_streaming_store_live_bytes", "gauge", "Bytes of them that are still needed.",
         store.live_bytes},
        {"myelin_streaming_store_memory_bytes", "gauge", "Memory of the store.", store.memory_bytes},
        {"myelin_streaming_store_segments", "gauge", "Files of the log.", store.segment_count},
        {"myelin_streaming_store_moved_records_total", "counter", "Records moved to give room back.",
         store.moved_records},
        {"myelin_streaming_store_retired_segments_total", "counter", "Files of the log given up.",
         store.retired_segments},
    };
    add_rows(control, out, rows, COUNT_OF(rows));
}

static void add_info(struct control *control, struct json_output *out, const struct streaming *machine)
{
    char line[METRICS_LINE_BYTES], name[METRICS_ESCAPED_BYTES];
    metrics_family(out, "nss_server_info", "gauge", "Info");
    int count =
        snprintf(line, sizeof line, "nss_server_info{server=\"%s\",cluster_id=\"", control->server_id);
    json_output_add(out, bytes_of(line, (size_t)count));
    json_output_add(out, metrics_escaped(machine->info.cluster_id, name));
    const struct replica *replica = service_replica(control, 0);
    count =
        snprintf(line, sizeof line,
                 "\",server_id=\"%.*s\",version=\"%s\",go_version=\"\",state=\"%s\",role=\"%s\"} 1\n",
                 STREAMING_SERVER_ID_BYTES, control->server_id, MYELIN_STREAMING_VERSION,
                 replica == NULL ? "STANDALONE" : "CLUSTERED", replica == NULL ? "" : replica_role(replica));
    json_output_add(out, bytes_of(line, (size_t)count));
}

/* ---- a node of a cluster ---- */

/* What is told of each group; with one group without its number. */
struct group_figures {
    struct raft_status status;
    struct peers_figures peers;
    uint64_t channel_count;
    char label[24]; /* ,group="<number>" */
};

/* How far each peer is behind, which the leader alone knows. */
static void add_lag(struct control *control, struct json_output *out, const struct group_figures *groups,
                    uint32_t group_count)
{
    char line[METRICS_LINE_BYTES], name[METRICS_ESCAPED_BYTES];
    uint32_t told = 0;
    for (uint32_t i = 0; i < group_count; i++) {
        const struct raft_status *status = &groups[i].status;
        if (status->peer_count > 0 && told++ == 0)
            metrics_family(out, "myelin_streaming_raft_peer_lag", "gauge", "Entries that a peer lacks.");
        for (uint32_t peer_at = 0; peer_at < status->peer_count; peer_at++) {
            const struct raft_peer_status *peer = &status->peers[peer_at];
            const struct raft_member *member = raft_member_find(status->membership, peer->id);
            struct bytes node = member == NULL ? TEXT("") : bytes_of(member->name, member->name_bytes);
            int count = snprintf(line, sizeof line, "myelin_streaming_raft_peer_lag{server=\"%s\"%s,node=\"",
                                 control->server_id, groups[i].label);
            json_output_add(out, bytes_of(line, (size_t)count));
            json_output_add(out, metrics_escaped(node, name));
            json_output_add(out, TEXT("\"}"));
            metrics_value(out, (double)(status->last_index - peer->match_index));
        }
    }
}

static uint64_t leads_of(const struct group_figures *group)
{
    return group->status.role == RAFT_LEADER;
}

#define OF_GROUP(name, expression)                                                                           \
    static uint64_t name##_of(const struct group_figures *group)                                             \
    {                                                                                                        \
        return group->expression;                                                                            \
    }
OF_GROUP(term, status.term)
OF_GROUP(last_index, status.last_index)
OF_GROUP(commit_index, status.commit_index)
OF_GROUP(applied_index, status.applied_index)
OF_GROUP(snapshot_index, status.snapshot_index)
OF_GROUP(channels, channel_count)
OF_GROUP(sent_messages, peers.sent_messages)
OF_GROUP(sent_bytes, peers.sent_bytes)
OF_GROUP(received_messages, peers.received_messages)
OF_GROUP(received_bytes, peers.received_bytes)
OF_GROUP(refused, peers.refused)

static const struct {
    const char *name, *type, *help;
    uint64_t (*of)(const struct group_figures *group);
} replica_rows[] = {
    {"myelin_streaming_raft_leader", "gauge", "1: this node leads.", leads_of},
    {"myelin_streaming_raft_term", "gauge", "Raft's term.", term_of},
    {"myelin_streaming_raft_last_index", "gauge", "The log's last entry.", last_index_of},
    {"myelin_streaming_raft_commit_index", "gauge", "The last entry that is committed.", commit_index_of},
    {"myelin_streaming_raft_applied_index", "gauge", "The last entry that is applied.", applied_index_of},
    {"myelin_streaming_raft_snapshot_index", "gauge", "The last entry of the newest snapshot.",
     snapshot_index_of},
    {"myelin_streaming_raft_channels", "gauge", "Channels of the group.", channels_of},
    {"myelin_streaming_raft_sent_messages_total", "counter", "Messages to peers.", sent_messages_of},
    {"myelin_streaming_raft_sent_bytes_total", "counter", "Bytes of these.", sent_bytes_of},
    {"myelin_streaming_raft_received_messages_total", "counter", "Messages of peers.", received_messages_of},
    {"myelin_streaming_raft_received_bytes_total", "counter", "Bytes of these.", received_bytes_of},
    {"myelin_streaming_raft_refused_messages_total", "counter", "Messages that found no room.", refused_of},
};

/* Of the groups that run: one that is being founded has nothing to tell. How many. */
static uint32_t collect_groups(const struct control *control, struct group_figures *groups, uint32_t count)
{
    uint32_t told = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct replica *replica = service_replica(control, i);
        struct group_figures *group = &groups[told];
        if (replica == NULL || !replica_raft_status(replica, &group->status))
            continue;
        group->peers = replica_peers_figures(replica);
        group->channel_count = streaming_figures(service_machine(control, i)).channel_count;
        if (count > 1)
            snprintf(group->label, sizeof group->label, ",group=\"%u\"", i);
        told++;
    }
    return told;
}

static void add_replicas(struct control *control, struct json_output *out)
{
    uint32_t count = service_group_count(control);
    struct group_figures *groups = memory_new(count * sizeof *groups);
    char line[METRICS_LINE_BYTES];
    uint32_t told = groups == NULL ? 0 : collect_groups(control, groups, count);
    for (size_t row = 0; row < COUNT_OF(replica_rows) && told > 0; row++) {
        metrics_family(out, replica_rows[row].name, replica_rows[row].type, replica_rows[row].help);
        for (uint32_t i = 0; i < told; i++) {
            int bytes = snprintf(line, sizeof line, "%s{server=\"%s\"%s}", replica_rows[row].name,
                                 control->server_id, groups[i].label);
            json_output_add(out, bytes_of(line, (size_t)bytes));
            metrics_value(out, (double)replica_rows[row].of(&groups[i]));
        }
    }
    add_lag(control, out, groups, told);
    memory_free(groups);
}

/* ---- channels ---- */

enum channel_figure { CHANNEL_BYTES, CHANNEL_MESSAGES, CHANNEL_LAST };

static uint64_t channel_value(const struct streaming_channel *channel, enum channel_figure which)
{
    struct store_channel_figures figures = channel_figures(channel);
    switch (which) {
    case CHANNEL_BYTES:
        return figures.bytes;
    case CHANNEL_MESSAGES:
        return figures.message_count;
    case CHANNEL_LAST:
        return figures.last_sequence;
    }
    return 0;
}

/* name{server="...",channel="..." */
static void add_beginning(const struct control *control, struct json_output *out, const char *name,
                          const struct streaming_channel *channel)
{
    char line[METRICS_LINE_BYTES], escaped[METRICS_ESCAPED_BYTES];
    int count = snprintf(line, sizeof line, "%s{server=\"%s\",channel=\"", name, control->server_id);
    json_output_add(out, bytes_of(line, (size_t)count));
    json_output_add(out, metrics_escaped(channel->name, escaped));
    json_output_add(out, TEXT("\""));
}

/* All channels, of one group after the other: NULL gives the first, the last gives NULL. */
static const struct streaming_channel *channel_next(const struct control *control, uint32_t *group,
                                                    const struct streaming_channel *channel)
{
    const struct list *list = &service_machine(control, *group)->all_channels;
    struct list_link *at = channel == NULL ? list_first(list) : list_next(list, &channel->all);
    while (at == NULL && *group + 1 < service_group_count(control))
        at = list_first(&service_machine(control, ++*group)->all_channels);
    return at == NULL ? NULL : LIST_ELEMENT(at, struct streaming_channel, all);
}

static void add_channels(struct control *control, struct json_output *out)
{
    static const struct {
        const char *name, *help;
        enum channel_figure which;
    } rows[] = {
        {"nss_chan_bytes_total", "Bytes of the channel's messages.", CHANNEL_BYTES},
        {"nss_chan_msgs_total", "Messages in the channel.", CHANNEL_MESSAGES},
        {"nss_chan_last_seq", "The channel's last sequence.", CHANNEL_LAST},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint32_t count = 0, group = 0;
        const struct streaming_channel *channel = NULL;
        metrics_family(out, rows[row].name, "gauge", rows[row].help);
        while (count++ < CHANNELS_MAX && (channel = channel_next(control, &group, channel)) != NULL) {
            add_beginning(control, out, rows[row].name, channel);
            json_output_add(out, TEXT("}"));
            metrics_value(out, (double)channel_value(channel, rows[row].which));
        }
    }
}

/* ---- subscriptions ---- */

enum subscription_figure { SUBSCRIPTION_LAST_SENT, SUBSCRIPTION_PENDING, SUBSCRIPTION_IN_FLIGHT_MAX };

struct subscription_row {
    const char *name, *help;
    enum subscription_figure which;
};

static uint64_t subscription_value(const struct streaming_subscription *subscription,
                                   enum subscription_figure which)
{
    switch (which) {
    case SUBSCRIPTION_LAST_SENT:
        return subscription->info.last_sent;
    case SUBSCRIPTION_PENDING:
        return subscription->pending.count;
    case SUBSCRIPTION_IN_FLIGHT_MAX:
        return (uint64_t)subscription->info.max_in_flight;
    }
    return 0;
}

static void add_label(struct json_output *out, struct bytes name, struct bytes value)
{
    char escaped[METRICS_ESCAPED_BYTES];
    json_output_add(out, TEXT(","));
    json_output_add(out, name);
    json_output_add(out, TEXT("=\""));
    json_output_add(out, metrics_escaped(value, escaped));
    json_output_add(out, TEXT("\""));
}

static void add_subscription(const struct control *control, struct json_output *out,
                             const struct subscription_row *row,
                             const struct streaming_subscription *subscription)
{
    const struct wire_subscription_state *info = &subscription->info;
    add_beginning(control, out, row->name, subscription->channel);
    add_label(out, TEXT("client_id"), info->client_id);
    add_label(out, TEXT("inbox"), info->inbox);
    add_label(out, TEXT("queue_name"), info->group);
    add_label(out, TEXT("is_durable"), info->durable ? TEXT("true") : TEXT("false"));
    add_label(out, TEXT("is_offline"),
              subscription->state == SUBSCRIPTION_OFFLINE ? TEXT("true") : TEXT("false"));
    json_output_add(out, TEXT("}"));
    metrics_value(out, (double)subscription_value(subscription, row->which));
}

/* Those of a list, as long as *left are allowed. */
static void add_list(const struct control *control, struct json_output *out,
                     const struct subscription_row *row, const struct list *list, uint32_t *left)
{
    for (struct list_link *at = list_first(list); at != NULL && *left > 0; at = list_next(list, at), --*left)
        add_subscription(control, out, row, LIST_ELEMENT(at, struct streaming_subscription, of_channel));
}

static void add_subscriptions(struct control *control, struct json_output *out)
{
    static const struct subscription_row rows[] = {
        {"nss_chan_subs_last_sent", "The last sequence that was sent.", SUBSCRIPTION_LAST_SENT},
        {"nss_chan_subs_pending_count", "Messages not acknowledged yet.", SUBSCRIPTION_PENDING},
        {"nss_chan_subs_max_inflight", "How many of these there may be.", SUBSCRIPTION_IN_FLIGHT_MAX},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint32_t left = SUBSCRIPTIONS_MAX, group_at = 0;
        const struct streaming_channel *channel = NULL;
        metrics_family(out, rows[row].name, "gauge", rows[row].help);
        while (left > 0 && (channel = channel_next(control, &group_at, channel)) != NULL) {
            add_list(control, out, &rows[row], &channel->plain, &left);
            add_list(control, out, &rows[row], &channel->offline, &left);
            for (struct list_link *of = list_first(&channel->groups); of != NULL;
                 of = list_next(&channel->groups, of)) {
                const struct streaming_group *group = LIST_ELEMENT(of, struct streaming_group, of_channel);
                add_list(control, out, &rows[row], &group->members, &left);
                if (group->shadow != NULL && left > 0) {
                    add_subscription(control, out, &rows[row], group->shadow);
                    left--;
                }
            }
        }
    }
}

void metrics_add_streaming(struct control *control, struct monitor_task *task)
{
    const struct streaming *machine = service_machine(control, 0);
    if (machine == NULL)
        return;
    add_server(control, &task->document, machine);
    add_info(control, &task->document, machine);
    add_replicas(control, &task->document);
    add_channels(control, &task->document);
    add_subscriptions(control, &task->document);
}
