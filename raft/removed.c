/* raft/removed.c - members that are none any more, and how they hear of it.
 * In the flow:  a removal is committed -> RAFT_MESSAGE_REMOVED, once; when that is lost the node stands for
 * election some time, and whoever leads answers with the same. A leader sends a removed node no entries, so
 * without this it would stand for election for ever. What the message says is a fact about committed entries,
 * so it needs no term: it is believed unless our own log may have a younger entry that makes us a member
 * again. */
#include "raft/machine.h"

static const struct raft_history *newest(const struct raft *raft)
{
    return &raft->history[raft->history_count - 1];
}

/* Whether an entry about members that has us, at `index`, is older than what the leader said, or was
 * overwritten by it. What is committed here behind that index can but be younger. */
static bool outlived(const struct raft *raft, uint64_t index)
{
    const struct raft_removed *told = &raft->told_removed;
    if (index <= told->index)
        return true;
    return index > raft->commit_index && raft_log_term(&raft->log, index) < told->term;
}

/* Who joins reads of others' changes before it comes to the one that adds it: it is not removed by them. */
static bool was_member(const struct raft *raft)
{
    if (raft->told_removed.index > 0 && raft->told_removed.index >= newest(raft)->index)
        return true;
    for (uint32_t i = 0; i + 1 < raft->history_count; i++) {
        if (raft_member_find(&raft->history[i].membership, raft->options.id) != NULL)
            return true;
    }
    return false;
}

bool raft_removed(const struct raft *raft)
{
    const struct raft_history *members = newest(raft);
    if (members->membership.count == 0) /* waits to be told who belongs to the group */
        return false;
    if (raft_member_find(&members->membership, raft->options.id) == NULL)
        return members->index <= raft->commit_index && was_member(raft);
    return raft->told_removed.index > 0 && outlived(raft, members->index);
}

void raft_removed_look(struct raft *raft)
{
    bool removed = raft_removed(raft);
    raft->role_changed |= removed != raft->removed_said;
    raft->removed_said = removed;
}

void raft_removed_keep(struct raft *raft)
{
    const struct raft_membership *members = &newest(raft)->membership;
    uint64_t index = newest(raft)->index;
    if (raft->told_removed.index < index && raft_member_find(members, raft->options.id) == NULL &&
        raft_removed(raft))
        raft->told_removed = (struct raft_removed){.index = index, .term = raft_log_term(&raft->log, index)};
}

static void tell(struct raft *raft, uint64_t id, uint64_t index)
{
    struct raft_message *message = raft_reply(raft, id, RAFT_MESSAGE_REMOVED);
    if (message != NULL)
        message->removed = (struct raft_removed){.index = index, .term = raft_log_term(&raft->log, index)};
}

void raft_removed_tell(struct raft *raft, uint64_t before)
{
    for (uint32_t i = 1; i < raft->history_count; i++) {
        const struct raft_history *entry = &raft->history[i];
        const struct raft_membership *older = &raft->history[i - 1].membership;
        if (entry->index <= before || entry->index > raft->commit_index)
            continue;
        for (uint32_t m = 0; m < older->count; m++) {
            uint64_t id = older->members[m].id;
            if (id != raft->options.id && raft_member_find(&entry->membership, id) == NULL)
                tell(raft, id, entry->index);
        }
    }
}

/* Only what is committed, in a term whose own entry is: else a younger change may be about that we do not
 * know. */
void raft_removed_answer(struct raft *raft, uint64_t from)
{
    if (raft->role == RAFT_LEADER && raft->commit_index >= raft->term_first_index &&
        newest(raft)->index <= raft->commit_index)
        tell(raft, from, raft->commit_index);
}

void raft_removed_take(struct raft *raft, const struct raft_removed *removed)
{
    if (removed->index > raft->told_removed.index)
        raft->told_removed = *removed;
    raft_removed_look(raft);
    if (raft->removed_said && raft->role != RAFT_FOLLOWER)
        raft_follow(raft, raft->term, 0);
}
