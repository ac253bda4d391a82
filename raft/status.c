/* raft/status.c - what monitoring and tests may know of a machine. */
#include "raft/machine.h"

static void peer_status(const struct raft *raft, const struct raft_peer *peer,
                        struct raft_peer_status *status)
{
    bool own = peer->id == raft->options.id;
    *status = (struct raft_peer_status){
        .id = peer->id,
        .state = own ? RAFT_REPLICATE : peer->progress.state,
        .match_index = own ? raft->persisted_index : peer->progress.match_index,
        .next_index = own ? raft->log.last_index + 1 : peer->progress.next_index,
        .contact_ticks_ago = own ? 0 : raft->tick - peer->contact_tick,
        .snapshot_bytes = peer->progress.snapshot.acknowledged_bytes,
        .learner = !peer->voter,
    };
}

void raft_status(const struct raft *raft, struct raft_status *status)
{
    *status = (struct raft_status){
        .id = raft->options.id,
        .role = raft->role,
        .term = raft->term,
        .voted_for = raft->voted_for,
        .leader = raft->leader,
        .silent_ticks = raft->elapsed_ticks,
        .first_index = raft->log.first_index,
        .last_index = raft->log.last_index,
        .last_term = raft_log_last_term(&raft->log),
        .persisted_index = raft->persisted_index,
        .commit_index = raft->commit_index,
        .applied_index = raft->applied_index,
        .snapshot_index = raft->snapshot.index,
        .transfer_to = raft->transfer_to,
        .dropped_messages = raft->dropped_messages,
        .violations = raft->violations,
        .removed = raft_removed(raft),
        .membership = raft_members(raft),
        .membership_index = raft->history[raft->history_count - 1].index,
    };
    if (raft->role != RAFT_LEADER)
        return;
    status->peer_count = raft->peer_count;
    for (uint32_t i = 0; i < raft->peer_count; i++)
        peer_status(raft, &raft->peers[i], &status->peers[i]);
}

bool raft_entry_term(const struct raft *raft, uint64_t index, uint64_t *term, enum raft_entry_kind *kind)
{
    if (index < raft->log.first_index || index > raft->log.last_index)
        return false;
    const struct raft_log_slot *slot = raft_log_slot(&raft->log, index);
    *term = slot->term;
    *kind = (enum raft_entry_kind)slot->kind;
    return true;
}
