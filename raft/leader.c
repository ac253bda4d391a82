/* raft/leader.c - proposals, what peers answer, and when an entry is committed (paper 5.3, 5.4.2). */
#include "raft/machine.h"

/* Begins a term: nothing is known of the peers' logs, and an entry of our own comes first, because nothing
 * older commits by counting (paper 5.4.2, figure 8). */
void raft_lead(struct raft *raft, struct raft_taken *taken)
{
    raft_move(raft, RAFT_LEADER);
    raft->leader = raft->options.id;
    raft->verified_index = 0;
    raft->contact = false;
    raft->forced = false;
    raft->heartbeat_elapsed_ticks = 0;
    raft->lease_spent = false;
    raft->round = 0;
    raft->uncommitted_bytes = 0;
    for (uint64_t i = raft->commit_index + 1; i <= raft->log.last_index; i++)
        raft->uncommitted_bytes += raft_log_slot(&raft->log, i)->data_bytes;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct raft_peer *peer = &raft->peers[i];
        raft_progress_init(&peer->progress, raft->log.last_index);
        peer->contact_tick = raft->tick;
        peer->lease_tick = 0;
        peer->round = 0;
        peer->heartbeat = true;
    }
    raft->term_first_index = raft->log.last_index + 1;
    if (raft_log_room(&raft->log) == 0) { /* cannot lead without it; somebody else may have room */
        raft_follow(raft, raft->term, 0);
        return;
    }
    raft_append_own(raft, RAFT_ENTRY_NOOP, bytes_of(NULL, 0), taken);
}

void raft_append_own(struct raft *raft, enum raft_entry_kind kind, struct bytes data,
                     struct raft_taken *taken)
{
    raft->own_entry = (struct raft_entry){.term = raft->term, .kind = kind, .data = data};
    raft_log_append(&raft->log, &raft->own_entry);
    raft->log_dirty = true;
    raft->uncommitted_bytes += data.count;
    *taken = (struct raft_taken){
        .first_index = raft->log.last_index, .entries = &raft->own_entry, .entry_count = 1};
}

enum raft_result raft_propose(struct raft *raft, const struct raft_event *event, struct raft_taken *taken)
{
    struct raft_entry *entries = event->propose.entries;
    uint32_t count = event->propose.count;
    uint64_t size_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].kind != RAFT_ENTRY_DATA || entries[i].data.count > raft->options.entry_bytes_max)
            return RAFT_INVALID;
        size_bytes += entries[i].data.count;
    }
    if (raft->role != RAFT_LEADER)
        return RAFT_NOT_LEADER;
    /* At most half of a log is uncommitted: only what is committed can be compacted, so a log that is full of
     * entries of terms past could not take the one of the new term that would commit them. (Found by the
     * simulator.) The last slots are for the machine's own entries. */
    bool room = raft_log_room(&raft->log) > (uint64_t)count + 2 &&
                raft->log.last_index + count - raft->commit_index <= raft->log.capacity / 2;
    bool bytes = raft->uncommitted_bytes == 0 ||
                 raft->uncommitted_bytes + size_bytes <= raft->options.uncommitted_bytes;
    if (raft->transfer_to != 0 || !room || !bytes)
        return RAFT_BUSY;
    *taken = (struct raft_taken){
        .first_index = raft->log.last_index + 1, .entries = entries, .entry_count = count};
    for (uint32_t i = 0; i < count; i++) {
        entries[i].term = raft->term;
        raft_log_append(&raft->log, &entries[i]);
    }
    raft->log_dirty |= count > 0;
    raft->uncommitted_bytes += size_bytes;
    return RAFT_OK;
}

uint64_t raft_quorum_value(const struct raft *raft,
                           uint64_t (*of)(const struct raft *, const struct raft_peer *))
{
    uint64_t values[RAFT_MEMBERS_MAX] = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (!raft->peers[i].voter)
            continue;
        uint64_t value = of(raft, &raft->peers[i]);
        uint32_t at = count++;
        for (; at > 0 && values[at - 1] < value; at--) /* highest first */
            values[at] = values[at - 1];
        values[at] = value;
    }
    uint32_t quorum = raft_membership_quorum(raft_members(raft));
    if (RAFT_BROKEN(raft, RAFT_RULE_QUORUM))
        quorum -= quorum > 1;
    return count < quorum ? 0 : values[quorum - 1];
}

/* Our own disk counts as everybody's does: the appends leave while it still works (dissertation 10.2.1). */
static uint64_t match_of(const struct raft *raft, const struct raft_peer *peer)
{
    if (peer->id != raft->options.id)
        return peer->progress.match_index;
    return RAFT_BROKEN(raft, RAFT_RULE_PERSIST_ENTRIES) ? raft->log.last_index : raft->persisted_index;
}

/* Who was removed leads until that is committed, and counts itself no more (dissertation 4.2.2). */
static void leave_when_removed(struct raft *raft)
{
    const struct raft_history *newest = &raft->history[raft->history_count - 1];
    if (newest->index > raft->commit_index || raft_membership_votes(&newest->membership, raft->options.id))
        return;
    raft_hand_over(raft);
    raft_follow(raft, raft->term, 0);
}

void raft_leader_commit(struct raft *raft)
{
    uint64_t index = raft_quorum_value(raft, match_of);
    if (index <= raft->commit_index)
        return;
    /* Figure 8: an older term's entry on a majority can still be overwritten; our own ones take it along. */
    if (raft_log_term(&raft->log, index) != raft->term && !RAFT_BROKEN(raft, RAFT_RULE_COMMIT_OWN_TERM))
        return;
    for (uint64_t i = raft->commit_index + 1; i <= index; i++)
        raft->uncommitted_bytes -= raft_log_slot(&raft->log, i)->data_bytes;
    uint64_t before = raft->commit_index;
    raft->commit_index = index;
    raft_removed_look(raft);
    raft_removed_tell(raft, before);
    leave_when_removed(raft);
}

static void tell_timeout_now(struct raft *raft, uint64_t to)
{
    if (raft_reply(raft, to, RAFT_MESSAGE_TIMEOUT_NOW) != NULL)
        raft->lease_spent = true;
}

static bool has_all(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->progress.match_index == raft->log.last_index;
}

static void transfer_go_on(struct raft *raft)
{
    struct raft_peer *peer = raft_peer_find(raft, raft->transfer_to);
    if (peer == NULL) {
        raft->transfer_to = 0;
    } else if (!raft->transfer_told && has_all(raft, peer)) {
        tell_timeout_now(raft, peer->id);
        raft->transfer_told = true;
    }
}

/* The other voter with the longest acknowledged log; NULL when there is none. */
static struct raft_peer *furthest(struct raft *raft)
{
    struct raft_peer *best = NULL;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct raft_peer *peer = &raft->peers[i];
        if (peer->voter && peer->id != raft->options.id &&
            (best == NULL || peer->progress.match_index > best->progress.match_index))
            best = peer;
    }
    return best;
}

void raft_hand_over(struct raft *raft)
{
    const struct raft_peer *peer = furthest(raft);
    if (peer != NULL && peer->progress.match_index >= raft->commit_index)
        tell_timeout_now(raft, peer->id);
}

/* Dissertation 3.10: no proposals from now on, bring the target up to date, then tell it to stand. */
enum raft_result raft_transfer(struct raft *raft, uint64_t to)
{
    if (raft->role != RAFT_LEADER)
        return RAFT_NOT_LEADER;
    if (raft->transfer_to != 0)
        return RAFT_BUSY;
    const struct raft_peer *peer = to == 0 ? furthest(raft) : raft_peer_find(raft, to);
    if (peer == NULL || !peer->voter || peer->id == raft->options.id)
        return RAFT_INVALID;
    raft->transfer_to = peer->id;
    raft->transfer_ticks = 0;
    raft->transfer_told = false;
    transfer_go_on(raft);
    return RAFT_OK;
}

static void append_reply(struct raft *raft, struct raft_peer *peer, const struct raft_append_reply *reply)
{
    struct raft_progress *progress = &peer->progress;
    if (reply->refused) {
        uint64_t agreed = raft_log_agreement(&raft->log, reply->hint_index, reply->hint_term);
        raft_progress_refused(progress, reply->index, agreed);
        return;
    }
    if (reply->index > raft->log.last_index) {
        raft->violations++;
        return;
    }
    bool news = raft_progress_acknowledged(progress, reply->index);
    if (progress->state == RAFT_SNAPSHOT && progress->match_index + 1 >= raft->log.first_index)
        raft_progress_probe(progress); /* it has what the snapshot was for */
    if (news)
        raft_leader_commit(raft);
    if (raft->role == RAFT_LEADER && raft->transfer_to == peer->id)
        transfer_go_on(raft);
}

static void heartbeat_reply(struct raft *raft, struct raft_peer *peer,
                            const struct raft_heartbeat_reply *reply)
{
    struct raft_progress *progress = &peer->progress;
    peer->round = raft_max(peer->round, raft_min(reply->round, raft->round));
    progress->waiting = false; /* a probe, or its answer, may have been lost */
    if (progress->state == RAFT_SNAPSHOT) {
        struct raft_transfer_out *out = &progress->snapshot;
        if (out->acknowledged_bytes == out->at_heartbeat_bytes)
            raft_snapshot_again(raft, out);
        out->at_heartbeat_bytes = out->acknowledged_bytes;
    } else if (progress->match_index < raft->log.last_index) {
        progress->ask = true;
    }
    raft_reads_confirm(raft);
}

static void heard(const struct raft *raft, struct raft_peer *peer, uint64_t sent_tick)
{
    if (sent_tick > raft->tick) /* not ours */
        return;
    peer->contact_tick = raft_max(peer->contact_tick, sent_tick);
    peer->lease_tick = raft_max(peer->lease_tick, sent_tick + 1);
}

enum raft_result raft_leader_receive(struct raft *raft, struct raft_peer *peer,
                                     const struct raft_message *message)
{
    switch (message->kind) {
    case RAFT_MESSAGE_APPEND_REPLY:
        heard(raft, peer, message->append_reply.tick);
        append_reply(raft, peer, &message->append_reply);
        return RAFT_OK;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        heard(raft, peer, message->heartbeat_reply.tick);
        heartbeat_reply(raft, peer, &message->heartbeat_reply);
        return RAFT_OK;
    case RAFT_MESSAGE_SNAPSHOT_REPLY:
        heard(raft, peer, message->snapshot_reply.tick);
        return raft_snapshot_reply(raft, peer, message);
    default: /* elections and a leader's messages were seen to before */
        return RAFT_OK;
    }
}

static uint64_t contact_of(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->id == raft->options.id ? raft->tick : peer->contact_tick;
}

void raft_leader_tick(struct raft *raft)
{
    if (raft->transfer_to != 0 && ++raft->transfer_ticks >= raft->options.election_ticks)
        raft->transfer_to = 0; /* it did not come about; proposals again */
    /* Dissertation 6.2: who hears no majority serves nobody, and says so. */
    if (raft_quorum_value(raft, contact_of) + raft->options.lease_ticks < raft->tick) {
        raft_follow(raft, raft->term, 0);
        return;
    }
    if (++raft->heartbeat_elapsed_ticks < raft->options.heartbeat_ticks)
        return;
    raft->heartbeat_elapsed_ticks = 0;
    for (uint32_t i = 0; i < raft->peer_count; i++)
        raft->peers[i].heartbeat = true;
}
