/* shards/control/monitor_replica.c - see monitor_replica.h. */
#include "shards/control/monitor_replica.h"

#include "shards/control/control.h"
#include "shards/streaming/replica.h"

#include <inttypes.h>
#include <stdio.h>

static const struct raft_peer_status *peer_of(const struct raft_status *status, uint64_t id)
{
    for (uint32_t i = 0; i < status->peer_count; i++) {
        if (status->peers[i].id == id)
            return &status->peers[i];
    }
    return NULL;
}

/* What the leader knows of each; a follower knows names only. */
static void put_members(const struct raft_status *status, struct json_output *document)
{
    static const char *const states[] = {"probe", "replicate", "snapshot"};
    char id[24];
    json_put_array(document, "members");
    for (uint32_t i = 0; i < status->membership->count; i++) {
        const struct raft_member *member = &status->membership->members[i];
        const struct raft_peer_status *peer = peer_of(status, member->id);
        json_put_object(document, NULL);
        json_put_text(document, "node_id", bytes_of(member->name, member->name_bytes));
        snprintf(id, sizeof id, "%016" PRIx64, member->id);
        json_put_text(document, "raft_id", text(id));
        json_put_bool(document, "voter", member->role == RAFT_VOTER);
        json_put_bool(document, "leader", member->id == status->leader);
        if (peer != NULL) {
            json_put_text(document, "progress", text(states[peer->state]));
            json_put_unsigned(document, "match_index", peer->match_index);
            json_put_unsigned(document, "lag", status->last_index - peer->match_index);
            json_put_unsigned(document, "contact_ticks_ago", peer->contact_ticks_ago);
        }
        json_put_object_end(document);
    }
    json_put_array_end(document);
}

static void put_raft(const struct replica *replica, struct json_output *document)
{
    struct raft_status status;
    if (!replica_raft_status(replica, &status))
        return;
    json_put_object(document, "raft");
    json_put_unsigned(document, "term", status.term);
    json_put_unsigned(document, "first_index", status.first_index);
    json_put_unsigned(document, "last_index", status.last_index);
    json_put_unsigned(document, "persisted_index", status.persisted_index);
    json_put_unsigned(document, "commit_index", status.commit_index);
    json_put_unsigned(document, "applied_index", status.applied_index);
    json_put_unsigned(document, "snapshot_index", status.snapshot_index);
    json_put_unsigned(document, "dropped_messages", status.dropped_messages);
    json_put_unsigned(document, "violations", status.violations);
    struct peers_figures peers = replica_peers_figures(replica);
    json_put_unsigned(document, "sent_messages", peers.sent_messages);
    json_put_unsigned(document, "sent_bytes", peers.sent_bytes);
    json_put_unsigned(document, "received_messages", peers.received_messages);
    json_put_unsigned(document, "received_bytes", peers.received_bytes);
    json_put_unsigned(document, "refused_messages", peers.refused);
    json_put_unsigned(document, "lost_messages", peers.lost);
    put_members(&status, document);
    json_put_object_end(document);
}

/* One of several. */
static void put_group(const struct control *control, uint32_t group, struct json_output *document)
{
    const struct replica *replica = service_replica(control, group);
    json_put_object(document, NULL);
    json_put_unsigned(document, "group", group);
    json_put_text(document, "role", text(replica_role(replica)));
    json_put_unsigned(document, "channels", streaming_figures(service_machine(control, group)).channel_count);
    put_raft(replica, document);
    json_put_object_end(document);
}

void monitor_put_replica(const struct control *control, struct json_output *document)
{
    const struct replica *replica = service_replica(control, 0);
    uint32_t groups = service_group_count(control);
    json_put_text(document, "state", replica == NULL ? TEXT("STANDALONE") : TEXT("CLUSTERED"));
    if (replica == NULL)
        return;
    json_put_text(document, "role", text(replica_role(replica)));
    json_put_text(document, "node_id", text(replica_name(replica)));
    put_raft(replica, document);
    if (groups == 1)
        return;
    json_put_array(document, "groups");
    for (uint32_t i = 0; i < groups; i++)
        put_group(control, i, document);
    json_put_array_end(document);
}
