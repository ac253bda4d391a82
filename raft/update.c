/* raft/update.c - what there is to do since the last time, and what is durable of what was handed out.
 * In the flow:  raft_step() ... -> raft_update() -> driver -> raft_step(RAFT_EVENT_PERSISTED) */
#include "raft/machine.h"

void raft_persists_truncate(struct raft *raft, uint64_t last_index)
{
    for (uint32_t i = 0; i < raft->persist_count; i++)
        raft->persists[i].last_index = raft_min(raft->persists[i].last_index, last_index);
    raft->persisted_index = raft_min(raft->persisted_index, last_index);
}

void raft_persists_reset(struct raft *raft, uint64_t index)
{
    for (uint32_t i = 0; i < raft->persist_count; i++)
        raft->persists[i].last_index = index;
    raft->log_dirty = false;
}

void raft_persisted(struct raft *raft, uint64_t seq)
{
    ASSERT(seq <= raft->persist_seq);
    uint32_t done = 0;
    for (; done < raft->persist_count && raft->persists[done].seq <= seq; done++) {
        const struct raft_persist *persist = &raft->persists[done];
        raft->persisted_index = raft_max(raft->persisted_index, persist->last_index);
        raft->durable_term = persist->term;
        raft->durable_voted_for = persist->voted_for;
    }
    raft->persist_count -= done;
    memmove(raft->persists, raft->persists + done, raft->persist_count * sizeof raft->persists[0]);
    if (raft->role == RAFT_LEADER)
        raft_leader_commit(raft);
}

void raft_applied(struct raft *raft, uint64_t index)
{
    if (index <= raft->applied_index) /* of before a snapshot was installed */
        return;
    ASSERT(index <= raft->apply_sent_index);
    for (uint64_t i = raft->applied_index + 1; i <= index; i++)
        raft->bytes_since_snapshot += raft_log_slot(&raft->log, i)->data_bytes;
    raft->applied_index = index;
}

/* One number for all that was taken since the last update. Above the bound the newest two become one: they
 * are then answered together, a little later. */
static void persist(struct raft *raft, struct raft_update *update)
{
    /* A node that starts again knows no newer commit index than this; what is behind it cannot be compacted.
     * Were that ever a whole log, no node could take the entry of a new term. (Found by the simulator.) */
    if (raft->commit_index - raft->written_commit_index >= raft->log.capacity / 8)
        raft->hard_state_dirty = true;
    if (!raft->hard_state_dirty && !raft->log_dirty)
        return;
    update->hard_state_changed = raft->hard_state_dirty;
    if (raft->hard_state_dirty)
        raft->written_commit_index = raft->commit_index;
    raft->hard_state_dirty = raft->log_dirty = false;
    raft->persist_seq++;
    if (raft->persist_count == RAFT_PERSISTS_MAX)
        raft->persist_count--;
    raft->persists[raft->persist_count++] = (struct raft_persist){.seq = raft->persist_seq,
                                                                  .last_index = raft->log.last_index,
                                                                  .term = raft->term,
                                                                  .voted_for = raft->voted_for};
    update->persist_seq = raft->persist_seq;
}

/* Only what is durable here: the state machine may keep references into the log instead of copies, and must
 * never be ahead of it after a restart. */
static void apply(struct raft *raft, struct raft_update *update)
{
    uint64_t limit = raft_min(raft->commit_index, raft->persisted_index);
    if (raft->apply_sent_index != raft->applied_index || limit <= raft->applied_index || raft->installing)
        return;
    uint64_t bytes = 0;
    uint64_t index = raft->applied_index;
    do {
        index++;
        bytes += raft_log_slot(&raft->log, index)->data_bytes;
    } while (index < limit && bytes < raft->options.apply_bytes);
    update->apply_first = raft->applied_index + 1;
    update->apply_count = index - raft->applied_index;
    raft->apply_sent_index = index;
}

/* The replies that waited for the hard state. */
static void send_outbox(struct raft *raft)
{
    uint32_t sent = 0;
    while (sent < raft->outbox_count && raft->message_count < RAFT_UPDATE_MESSAGES_MAX)
        raft->messages[raft->message_count++] = raft->outbox[sent++];
    raft->outbox_count -= sent;
    memmove(raft->outbox, raft->outbox + sent, raft->outbox_count * sizeof raft->outbox[0]);
}

/* A follower's acknowledgement: of what is durable and known to be the leader's. One for all appends since.
 */
static void acknowledge(struct raft *raft)
{
    uint64_t index = raft_min(raft->verified_index, raft->persisted_index);
    if (RAFT_BROKEN(raft, RAFT_RULE_PERSIST_ENTRIES))
        index = raft->verified_index;
    if (!raft->reply_due || raft->leader == 0 || (index < raft->verified_index && index <= raft->told_index))
        return;
    struct raft_message *message = raft_message_next(raft, raft->leader, RAFT_MESSAGE_APPEND_REPLY);
    if (message == NULL)
        return;
    message->append_reply = (struct raft_append_reply){.index = index, .tick = raft->reply_tick};
    raft->told_index = index;
    raft->reply_due = index < raft->verified_index;
}

static void send(struct raft *raft, struct raft_update *update)
{
    raft->message_count = 0;
    if (raft_hard_state_durable(raft)) {
        send_outbox(raft);
        if (raft->role == RAFT_FOLLOWER)
            acknowledge(raft);
        else if (raft->role == RAFT_LEADER)
            raft_send_all(raft);
    }
    update->messages = raft->messages;
    update->message_count = raft->message_count;
    update->more = raft->message_count == RAFT_UPDATE_MESSAGES_MAX;
}

void raft_update(struct raft *raft, struct raft_update *update)
{
    *update = (struct raft_update){0};
    update->role_changed = raft->role_changed;
    raft->role_changed = false;
    if (raft->role != RAFT_HALTED) {
        raft_snapshot_wanted(raft);
        raft_compact(raft);
        persist(raft, update);
        apply(raft, update);
    }
    send(raft, update);
    update->hard_state = (struct raft_hard_state){
        .term = raft->term, .voted_for = raft->voted_for, .commit_index = raft->commit_index};
    update->take_snapshot = raft->taking_new ? &raft->taking : NULL;
    update->install_snapshot = raft->installing_new ? &raft->incoming : NULL;
    raft->taking_new = raft->installing_new = false;
    update->log_first = raft->log.first_index;
    update->snapshot_newest = raft->snapshot.index;
    update->snapshot_sent = raft->pinned.index;
    memcpy(raft->told_answers, raft->answers, raft->answer_count * sizeof raft->answers[0]);
    update->reads = raft->told_answers;
    update->read_count = raft->answer_count;
    raft->answer_count = 0;
    raft_check(raft);
}
