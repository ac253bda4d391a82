/* raft/install.c - snapshots: when one is taken, how one comes in by chunks and replaces the log (paper 7,
 * figure 13), and what of the log may go then. The bytes are the driver's. */
#include "raft/machine.h"

static bool chunk_valid(const struct raft_message *message)
{
    const struct raft_chunk *chunk = &message->chunk;
    const struct raft_snapshot *snapshot = chunk->snapshot;
    return snapshot->index > 0 && snapshot->index <= RAFT_NUMBER_MAX && snapshot->term > 0 &&
           snapshot->term <= message->term && snapshot->size_bytes <= RAFT_NUMBER_MAX &&
           snapshot->membership.count > 0 && chunk->count_bytes > 0 &&
           chunk->offset_bytes < snapshot->size_bytes &&
           chunk->count_bytes <= snapshot->size_bytes - chunk->offset_bytes;
}

/* What this node has up to `index` is as the leader has it. */
static void agree(struct raft *raft, uint64_t index, uint64_t tick)
{
    raft_follower_commit(raft, index);
    raft->verified_index = raft_max(raft->verified_index, raft_min(index, raft->log.last_index));
    raft->reply_tick = tick;
    raft->reply_due = true;
}

static void ask_for(struct raft *raft, const struct raft_message *message)
{
    struct raft_message *reply = raft_reply(raft, message->from, RAFT_MESSAGE_SNAPSHOT_REPLY);
    if (reply != NULL)
        reply->snapshot_reply = (struct raft_snapshot_reply){.index = raft->incoming.index,
                                                             .term = raft->incoming.term,
                                                             .offset_bytes = raft->incoming_bytes,
                                                             .tick = message->chunk.tick};
}

enum raft_result raft_receive_chunk(struct raft *raft, const struct raft_message *message,
                                    struct raft_taken *taken)
{
    const struct raft_chunk *chunk = &message->chunk;
    const struct raft_snapshot *snapshot = chunk->snapshot;
    if (!chunk_valid(message))
        return RAFT_INVALID;
    if (snapshot->index <= raft->commit_index) {
        agree(raft, raft->commit_index, chunk->tick);
        return RAFT_OK;
    }
    /* Figure 13, step 6: what the snapshot stands for is here already. */
    if (raft_log_matches(&raft->log, snapshot->index, snapshot->term)) {
        agree(raft, snapshot->index, chunk->tick);
        return RAFT_OK;
    }
    if (raft->installing) {
        ask_for(raft, message);
        return RAFT_OK;
    }
    /* Two nodes' snapshots of one index need not be alike byte by byte. */
    bool same = raft->incoming.index == snapshot->index && raft->incoming.term == snapshot->term &&
                raft->incoming.size_bytes == snapshot->size_bytes && raft->incoming_from == message->from;
    if (!same) {
        raft->incoming = *snapshot;
        raft->incoming_from = message->from;
        raft->incoming_bytes = 0;
    }
    if (chunk->offset_bytes == raft->incoming_bytes) {
        taken->chunk = chunk;
        raft->incoming_bytes += chunk->count_bytes;
        if (raft->incoming_bytes == raft->incoming.size_bytes)
            raft->installing = raft->installing_new = true;
    }
    ask_for(raft, message);
    return RAFT_OK;
}

enum raft_result raft_installed(struct raft *raft)
{
    if (!raft->installing)
        return RAFT_INVALID;
    const struct raft_snapshot *snapshot = &raft->incoming;
    ASSERT(snapshot->index > raft->commit_index && raft->role != RAFT_LEADER);
    raft_log_reset(&raft->log, snapshot->index, snapshot->term);
    raft_history_reset(raft, snapshot->index, &snapshot->membership);
    raft_persists_reset(raft, snapshot->index);
    raft->snapshot = *snapshot;
    raft->persisted_index = snapshot->index;
    raft->commit_index = raft->applied_index = raft->apply_sent_index = snapshot->index;
    raft->written_commit_index = snapshot->index;
    raft->verified_index = snapshot->index;
    raft->bytes_since_snapshot = 0;
    raft->reply_due = true;
    raft->reply_tick = 0;
    raft->taking = raft->incoming = (struct raft_snapshot){0};
    raft->installing = raft->installing_new = false;
    raft_removed_look(raft);
    return RAFT_OK;
}

/* A leader hears how far a peer is. */
enum raft_result raft_snapshot_reply(struct raft *raft, struct raft_peer *peer,
                                     const struct raft_message *message)
{
    const struct raft_snapshot_reply *reply = &message->snapshot_reply;
    struct raft_transfer_out *out = &peer->progress.snapshot;
    if (peer->progress.state != RAFT_SNAPSHOT || reply->index != raft->pinned.index ||
        reply->term != raft->pinned.term || reply->offset_bytes > raft->pinned.size_bytes)
        return RAFT_OK;
    if (reply->offset_bytes > out->acknowledged_bytes) {
        out->acknowledged_bytes = reply->offset_bytes;
        out->next_bytes = raft_max(out->next_bytes, out->acknowledged_bytes);
    } else if (reply->offset_bytes == 0) {
        *out = (struct raft_transfer_out){0}; /* it has lost what it had, in a restart */
    }
    return RAFT_OK;
}

/* No answer for a heartbeat's time: chunks are lost. When it has them all, the last one asks for its word. */
void raft_snapshot_again(const struct raft *raft, struct raft_transfer_out *out)
{
    uint64_t size_bytes = raft->pinned.size_bytes;
    out->next_bytes = out->acknowledged_bytes;
    if (out->next_bytes == size_bytes)
        out->next_bytes -= raft_min(size_bytes, raft->options.chunk_bytes);
}

enum raft_result raft_snapshot_taken(struct raft *raft, uint64_t index, uint64_t size_bytes)
{
    if (raft->taking.index == 0 || raft->taking.index != index || size_bytes == 0)
        return RAFT_INVALID;
    if (index > raft->snapshot.index) {
        raft->snapshot = raft->taking;
        raft->snapshot.size_bytes = size_bytes;
        raft_history_prune(raft);
        raft_compact(raft);
    }
    raft->taking = (struct raft_snapshot){0};
    return RAFT_OK;
}

/* Of exactly what is applied; so not while the driver applies. */
void raft_snapshot_wanted(struct raft *raft)
{
    const struct raft_options *options = &raft->options;
    uint64_t entries = raft->applied_index - raft->snapshot.index;
    if (raft->taking.index != 0 || raft->installing || entries == 0 ||
        raft->apply_sent_index != raft->applied_index)
        return;
    uint64_t capacity = raft->log.capacity;
    bool many = options->snapshot_entries != 0 && entries >= options->snapshot_entries;
    bool large = options->snapshot_bytes != 0 && raft->bytes_since_snapshot >= options->snapshot_bytes;
    bool full = raft_log_room(&raft->log) < capacity / 2 && entries >= capacity / 8;
    bool history =
        raft->history_count > RAFT_HISTORY_MAX / 2 && raft->history[1].index <= raft->applied_index;
    if (!many && !large && !full && !history)
        return;
    raft->taking = (struct raft_snapshot){.index = raft->applied_index,
                                          .term = raft_log_term(&raft->log, raft->applied_index),
                                          .membership = *raft_history_at(raft, raft->applied_index)};
    raft->taking_new = true;
    raft->bytes_since_snapshot = 0;
}

/* Gives up the snapshot that is being sent; whoever was getting it begins anew with the newest. */
static void unpin(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].progress.state == RAFT_SNAPSHOT)
            raft_progress_probe(&raft->peers[i].progress);
    }
    raft->pinned = (struct raft_snapshot){0};
}

/* Entries go when a snapshot has them, but for the trailing ones, and for what must follow a snapshot that a
 * peer is being sent. When three quarters of the log are in use, memory goes first. */
void raft_compact(struct raft *raft)
{
    bool in_use = false;
    for (uint32_t i = 0; i < raft->peer_count; i++)
        in_use |= raft->peers[i].progress.state == RAFT_SNAPSHOT;
    if (!in_use)
        raft->pinned = (struct raft_snapshot){0};
    uint64_t limit = raft->snapshot.index;
    if (raft_log_room(&raft->log) < raft->log.capacity / 4) {
        if (raft->pinned.index != 0 && raft->pinned.index < raft->snapshot.index)
            unpin(raft);
    } else {
        limit = limit > raft->options.trailing_entries ? limit - raft->options.trailing_entries : 0;
    }
    if (raft->pinned.index != 0)
        limit = raft_min(limit, raft->pinned.index);
    if (limit >= raft->log.first_index)
        raft_log_compact(&raft->log, limit);
}
