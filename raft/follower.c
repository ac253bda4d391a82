/* raft/follower.c - what a leader's appends and heartbeats do here (paper 5.3, figure 2 "AppendEntries"). */
#include "raft/machine.h"

static void refuse(struct raft *raft, const struct raft_message *message)
{
    const struct raft_append *append = &message->append;
    struct raft_message *reply = raft_reply(raft, message->from, RAFT_MESSAGE_APPEND_REPLY);
    if (reply == NULL)
        return;
    uint64_t hint = raft_log_agreement(&raft->log, append->previous_index, append->previous_term);
    reply->append_reply = (struct raft_append_reply){.index = append->previous_index,
                                                     .tick = append->tick,
                                                     .hint_index = hint,
                                                     .hint_term = raft_log_term(&raft->log, hint),
                                                     .refused = true};
}

/* The first of the message's entries that the log does not have as it is; entry_count when it has all. */
static uint32_t first_new(const struct raft *raft, const struct raft_append *append)
{
    uint32_t at = 0;
    while (at < append->entry_count &&
           raft_log_matches(&raft->log, append->previous_index + 1 + at, append->entries[at].term))
        at++;
    return at;
}

/* How many of the entries from `at` on there is room for, after those from their place on are gone. */
static uint32_t fitting(const struct raft *raft, const struct raft_append *append, uint32_t at)
{
    uint64_t room = raft->log.capacity - (append->previous_index + 1 + at - raft->log.first_index);
    uint32_t count = (uint32_t)raft_min(append->entry_count - at, room);
    uint32_t memberships = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (append->entries[at + i].kind != RAFT_ENTRY_MEMBERSHIP)
            continue;
        if (raft->history_count + ++memberships > RAFT_HISTORY_MAX)
            return i;
    }
    return count;
}

/* Entries of one message: terms that do not fall and are not above the leader's; memberships that are. */
static bool entries_valid(const struct raft_message *message)
{
    const struct raft_append *append = &message->append;
    uint64_t term = append->previous_term;
    struct raft_membership membership;
    if (append->previous_index > RAFT_NUMBER_MAX || append->entry_count > RAFT_ENTRIES_PER_MESSAGE_MAX)
        return false;
    for (uint32_t i = 0; i < append->entry_count; i++) {
        const struct raft_entry *entry = &append->entries[i];
        if (entry->term < term || entry->term > message->term || entry->term == 0 ||
            entry->data.count > UINT32_MAX)
            return false;
        if (entry->kind == RAFT_ENTRY_MEMBERSHIP && !raft_membership_decode(entry->data, &membership))
            return false;
        term = entry->term;
    }
    return term <= message->term;
}

static void take(struct raft *raft, const struct raft_append *append, uint32_t at, uint32_t count,
                 struct raft_taken *taken)
{
    uint64_t first_index = append->previous_index + 1 + at;
    if (first_index <= raft->log.last_index) {
        raft_log_truncate(&raft->log, first_index - 1);
        raft_history_truncate(raft, first_index - 1);
        raft_persists_truncate(raft, first_index - 1);
        raft->verified_index = raft_min(raft->verified_index, first_index - 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_entry *entry = &append->entries[at + i];
        struct raft_membership membership;
        raft_log_append(&raft->log, entry);
        if (entry->kind == RAFT_ENTRY_MEMBERSHIP && raft_membership_decode(entry->data, &membership))
            raft_history_push(raft, raft->log.last_index, &membership);
    }
    raft_removed_look(raft);
    raft->log_dirty = true;
    *taken = (struct raft_taken){
        .first_index = first_index, .entries = &append->entries[at], .entry_count = count};
}

void raft_follower_commit(struct raft *raft, uint64_t commit_index)
{
    if (commit_index <= raft->commit_index)
        return;
    raft->commit_index = raft_min(commit_index, raft->log.last_index);
    raft_removed_look(raft);
}

static enum raft_result violation(struct raft *raft)
{
    raft->violations++;
    return RAFT_VIOLATION;
}

/* Figure 2, AppendEntries, steps 2 to 5. `append` is a copy: what is committed here is skipped, it can but be
 * the same, and may be compacted. */
static enum raft_result append_entries(struct raft *raft, const struct raft_message *message,
                                       struct raft_append append, struct raft_taken *taken)
{
    if (append.previous_index < raft->commit_index) {
        uint64_t skip = raft_min(raft->commit_index - append.previous_index, append.entry_count);
        for (uint64_t i = 0; i < skip; i++) {
            uint64_t index = append.previous_index + 1 + i;
            if (index + 1 >= raft->log.first_index &&
                !raft_log_matches(&raft->log, index, append.entries[i].term))
                return violation(raft);
        }
        append.previous_index = raft->commit_index;
        append.entries += skip;
        append.entry_count -= (uint32_t)skip;
    } else if (!raft_log_matches(&raft->log, append.previous_index, append.previous_term) &&
               !(RAFT_BROKEN(raft, RAFT_RULE_PREVIOUS_ENTRY) &&
                 append.previous_index <= raft->log.last_index)) {
        if (append.previous_index == raft->commit_index)
            return violation(raft);
        refuse(raft, message);
        return RAFT_OK;
    }
    uint32_t at = first_new(raft, &append);
    if (RAFT_BROKEN(raft, RAFT_RULE_TRUNCATE_ON_CONFLICT) && append.entry_count > 0 &&
        raft->log.last_index > append.previous_index + append.entry_count)
        at = append.entry_count - 1;
    uint32_t count = fitting(raft, &append, at);
    uint64_t agreed_index = append.previous_index + at + count;
    if (count > 0)
        take(raft, &append, at, count, taken);
    raft->verified_index = raft_max(raft->verified_index, agreed_index);
    if (RAFT_BROKEN(raft, RAFT_RULE_COMMIT_WITHIN_MATCH))
        agreed_index = raft->log.last_index;
    raft_follower_commit(raft, raft_min(append.commit_index, agreed_index));
    raft->reply_tick = append.tick;
    /* Where there is room for nothing, silence: the leader's heartbeat sets the pace of the next try. */
    raft->reply_due |= count > 0 || at == append.entry_count;
    return RAFT_OK;
}

enum raft_result raft_follower_append(struct raft *raft, const struct raft_message *message,
                                      struct raft_taken *taken)
{
    if (!entries_valid(message))
        return RAFT_INVALID;
    if (raft->installing) /* the log is about to be replaced; the leader will ask again */
        return RAFT_OK;
    return append_entries(raft, message, message->append, taken);
}

enum raft_result raft_follower_heartbeat(struct raft *raft, const struct raft_message *message)
{
    const struct raft_heartbeat *heartbeat = &message->heartbeat;
    /* The leader never names more than we have acknowledged as durable. */
    if (heartbeat->commit_index > raft->log.last_index)
        return violation(raft);
    raft_follower_commit(raft, heartbeat->commit_index);
    struct raft_message *reply = raft_reply(raft, message->from, RAFT_MESSAGE_HEARTBEAT_REPLY);
    if (reply != NULL)
        reply->heartbeat_reply =
            (struct raft_heartbeat_reply){.tick = heartbeat->tick, .round = heartbeat->round};
    return RAFT_OK;
}
