/* raft/membership_change.c - members come and go by entries of the log; the newest entry is in force,
 * committed or not (dissertation 4.1). Older memberships are kept back to the snapshot: a truncated entry
 * brings the one before back, and a snapshot holds the one of its index. */
#include "raft/machine.h"

/* Peers as the membership in force has them; who stays keeps its state. */
static void follow_membership(struct raft *raft)
{
    const struct raft_membership *membership = raft_members(raft);
    struct raft_peer peers[RAFT_MEMBERS_MAX] = {0};
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct raft_member *member = &membership->members[i];
        const struct raft_peer *known = raft_peer_find(raft, member->id);
        if (known != NULL) {
            peers[i] = *known;
        } else {
            peers[i] = (struct raft_peer){.id = member->id, .contact_tick = raft->tick, .heartbeat = true};
            raft_progress_init(&peers[i].progress, raft->log.last_index);
        }
        peers[i].voter = member->role == RAFT_VOTER;
    }
    memcpy(raft->peers, peers, sizeof peers);
    raft->peer_count = membership->count;
}

bool raft_history_room(const struct raft *raft)
{
    return raft->history_count < RAFT_HISTORY_MAX;
}

void raft_history_push(struct raft *raft, uint64_t index, const struct raft_membership *membership)
{
    ASSERT(raft_history_room(raft));
    raft->history[raft->history_count++] = (struct raft_history){.index = index, .membership = *membership};
    follow_membership(raft);
}

void raft_history_truncate(struct raft *raft, uint64_t last_index)
{
    uint32_t before = raft->history_count;
    while (raft->history_count > 1 && raft->history[raft->history_count - 1].index > last_index)
        raft->history_count--;
    if (raft->history_count != before)
        follow_membership(raft);
}

const struct raft_membership *raft_history_at(const struct raft *raft, uint64_t index)
{
    uint32_t at = raft->history_count - 1;
    while (at > 0 && raft->history[at].index > index)
        at--;
    return &raft->history[at].membership;
}

void raft_history_prune(struct raft *raft)
{
    uint32_t old = 0;
    while (old + 1 < raft->history_count && raft->history[old + 1].index <= raft->snapshot.index)
        old++;
    raft_removed_keep(raft);
    raft->history_count -= old;
    memmove(raft->history, raft->history + old, raft->history_count * sizeof raft->history[0]);
}

void raft_history_reset(struct raft *raft, uint64_t index, const struct raft_membership *membership)
{
    raft->history[0] = (struct raft_history){.index = index, .membership = *membership};
    raft->history_count = 1;
    follow_membership(raft);
}

/* Dissertation 4.2.1: a voter that lacks much of the log would hold up commits. */
static bool may_vote(struct raft *raft, uint64_t id)
{
    const struct raft_peer *peer = raft_peer_find(raft, id);
    return peer == NULL || (peer->progress.match_index + raft->options.promote_lag >= raft->commit_index &&
                            raft->tick - peer->contact_tick < raft->options.election_ticks);
}

enum raft_result raft_change(struct raft *raft, const struct raft_change *change, struct raft_taken *taken)
{
    if (raft->role != RAFT_LEADER)
        return RAFT_NOT_LEADER;
    /* The published erratum to 4.1: before that, a change of an older term may still be about somewhere. */
    if (raft->commit_index < raft->term_first_index)
        return RAFT_NOT_READY;
    bool under_way = raft->history[raft->history_count - 1].index > raft->commit_index &&
                     !RAFT_BROKEN(raft, RAFT_RULE_ONE_CHANGE);
    if (under_way || raft->transfer_to != 0 || !raft_history_room(raft) || raft_log_room(&raft->log) == 0)
        return RAFT_BUSY;
    struct raft_membership membership = *raft_members(raft);
    enum raft_result result = raft_membership_change(&membership, change);
    if (result != RAFT_OK)
        return result;
    if (change->kind == RAFT_CHANGE_PROMOTE && !may_vote(raft, change->id))
        return RAFT_NOT_READY;
    size_t count = raft_membership_encode(&membership, raft->own_data);
    raft_append_own(raft, RAFT_ENTRY_MEMBERSHIP, bytes_of(raft->own_data, count), taken);
    raft_history_push(raft, raft->log.last_index, &membership);
    return RAFT_OK;
}
