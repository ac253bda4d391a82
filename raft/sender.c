/* raft/sender.c - what a leader sends: appends as the windows allow, heartbeats, snapshots in chunks.
 * In the flow:  raft_update() -> raft_send_all() -> raft->messages
 * Entries that came since the last update leave together: one message per peer, not one per proposal. */
#include "raft/machine.h"

struct raft_message *raft_message_next(struct raft *raft, uint64_t to, enum raft_message_kind kind)
{
    if (raft->message_count == RAFT_UPDATE_MESSAGES_MAX)
        return NULL;
    struct raft_message *message = &raft->messages[raft->message_count++];
    *message = (struct raft_message){.kind = kind, .from = raft->options.id, .to = to, .term = raft->term};
    return message;
}

/* How many entries from `first` on go into one message, and their bytes: at least one, if there is one. */
static uint32_t batch(const struct raft *raft, uint64_t first, uint32_t *count_bytes)
{
    uint32_t count = 0;
    uint64_t bytes = 0;
    while (first + count <= raft->log.last_index && count < raft->options.append_entries) {
        uint64_t entry = raft_log_slot(&raft->log, first + count)->data_bytes;
        if (count > 0 && bytes + entry > raft->options.append_bytes)
            break;
        bytes += entry;
        count++;
    }
    *count_bytes = (uint32_t)raft_min(bytes, UINT32_MAX);
    return count;
}

/* With no entries it carries the commit index and asks where the peer is. False: the update is full. */
static bool send_append(struct raft *raft, struct raft_peer *peer, bool with_entries)
{
    struct raft_progress *progress = &peer->progress;
    struct raft_message *message = raft_message_next(raft, peer->id, RAFT_MESSAGE_APPEND);
    if (message == NULL)
        return false;
    uint32_t count_bytes = 0;
    uint32_t count = with_entries ? batch(raft, progress->next_index, &count_bytes) : 0;
    uint64_t previous = progress->next_index - 1;
    message->append = (struct raft_append){.previous_index = previous,
                                           .previous_term = raft_log_term(&raft->log, previous),
                                           .commit_index = raft->commit_index,
                                           .tick = raft->tick,
                                           .entry_count = count};
    progress->told_commit_index = raft_min(raft->commit_index, previous + count);
    progress->told_tick = raft->tick;
    progress->ask = false;
    if (count > 0 || progress->state == RAFT_PROBE)
        raft_progress_sent(progress, previous + count, count_bytes);
    return true;
}

static void send_appends(struct raft *raft, struct raft_peer *peer)
{
    struct raft_progress *progress = &peer->progress;
    bool nothing = true;
    while (raft_progress_may_send(progress, raft->options.window, raft->options.window_bytes) &&
           (progress->next_index <= raft->log.last_index || progress->state == RAFT_PROBE)) {
        if (!send_append(raft, peer, true))
            return;
        nothing = false;
    }
    bool caught_up = progress->next_index > raft->log.last_index;
    /* The next entries will carry it, if they come soon. */
    bool commit_news = caught_up && progress->told_commit_index < raft->commit_index &&
                       raft->tick - progress->told_tick >= raft->options.commit_ticks;
    if (nothing && progress->state == RAFT_REPLICATE && (progress->ask || commit_news))
        send_append(raft, peer, false);
}

static bool in_contact(const struct raft *raft, const struct raft_peer *peer)
{
    return raft->tick - peer->contact_tick < raft->options.election_ticks;
}

/* One snapshot is sent at a time, to however many need one; it stays until they have it, so that a newer one
 * does not make them begin anew. */
static void begin_snapshot(struct raft *raft, struct raft_peer *peer)
{
    if (!in_contact(raft, peer))
        return;
    if (raft->pinned.index == 0)
        raft->pinned = raft->snapshot;
    ASSERT(raft->pinned.index + 1 >= raft->log.first_index);
    raft_progress_snapshot(&peer->progress);
}

static void send_chunks(struct raft *raft, struct raft_peer *peer)
{
    struct raft_transfer_out *out = &peer->progress.snapshot;
    uint64_t window_bytes = (uint64_t)raft->options.chunk_bytes * raft->options.chunk_window;
    while (out->next_bytes < raft->pinned.size_bytes &&
           out->next_bytes < out->acknowledged_bytes + window_bytes) {
        struct raft_message *message = raft_message_next(raft, peer->id, RAFT_MESSAGE_SNAPSHOT);
        if (message == NULL)
            return;
        uint64_t left = raft->pinned.size_bytes - out->next_bytes;
        message->chunk =
            (struct raft_chunk){.snapshot = &raft->pinned,
                                .offset_bytes = out->next_bytes,
                                .count_bytes = (uint32_t)raft_min(left, raft->options.chunk_bytes),
                                .tick = raft->tick};
        out->next_bytes += message->chunk.count_bytes;
    }
}

static void send_heartbeat(struct raft *raft, struct raft_peer *peer)
{
    struct raft_message *message = raft_message_next(raft, peer->id, RAFT_MESSAGE_HEARTBEAT);
    if (message == NULL)
        return;
    message->heartbeat =
        (struct raft_heartbeat){.commit_index = raft_min(raft->commit_index, peer->progress.match_index),
                                .tick = raft->tick,
                                .round = raft->round};
    peer->progress.told_commit_index =
        raft_max(peer->progress.told_commit_index, message->heartbeat.commit_index);
    peer->heartbeat = false;
}

static void send_to(struct raft *raft, struct raft_peer *peer)
{
    if (peer->heartbeat)
        send_heartbeat(raft, peer);
    if (peer->progress.state == RAFT_SNAPSHOT && !in_contact(raft, peer))
        raft_progress_probe(&peer->progress); /* gone: the snapshot need not be kept for it */
    if (peer->progress.state != RAFT_SNAPSHOT && peer->progress.next_index < raft->log.first_index)
        begin_snapshot(raft, peer);
    if (peer->progress.state == RAFT_SNAPSHOT)
        send_chunks(raft, peer);
    else if (peer->progress.next_index >= raft->log.first_index)
        send_appends(raft, peer);
}

void raft_send_all(struct raft *raft)
{
    if (raft->round_wanted) {
        raft->round++;
        raft->round_wanted = false;
        for (uint32_t i = 0; i < raft->peer_count; i++)
            raft->peers[i].heartbeat = true;
        raft_reads_confirm(raft); /* where this node alone is the majority, nobody will answer */
    }
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].id != raft->options.id)
            send_to(raft, &raft->peers[i]);
    }
}
