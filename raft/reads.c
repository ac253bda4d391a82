/* raft/reads.c - reads that go around the log (dissertation 6.4): the commit index of a leader that a
 * majority confirms to be the leader, after the read came in; or one whose lease a majority has granted. */
#include "raft/machine.h"

static void answer(struct raft *raft, uint64_t id, uint64_t index, bool failed)
{
    ASSERT(raft->answer_count < COUNT_OF(raft->answers));
    raft->answers[raft->answer_count++] =
        (struct raft_read_state){.id = id, .index = index, .failed = failed};
}

static uint64_t lease_of(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->id == raft->options.id ? raft->tick + 1 : peer->lease_tick;
}

/* A majority answered something that left not longer ago than lease_ticks, and votes for nobody until
 * election_ticks after that. Where a TIMEOUT_NOW is about, somebody may be elected nevertheless. */
static bool lease_holds(const struct raft *raft)
{
    if (!raft->options.lease_reads || raft->lease_spent)
        return false;
    uint64_t granted = raft_quorum_value(raft, lease_of);
    return granted > 0 && raft->tick < granted - 1 + raft->options.lease_ticks;
}

static uint64_t round_of(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->id == raft->options.id ? UINT64_MAX : peer->round;
}

enum raft_result raft_read(struct raft *raft, uint64_t id)
{
    if (raft->role != RAFT_LEADER)
        return RAFT_NOT_LEADER;
    /* Before that its commit index may be older than what another leader has answered for. */
    if (raft->commit_index < raft->term_first_index && !RAFT_BROKEN(raft, RAFT_RULE_READ_OWN_TERM))
        return RAFT_NOT_READY;
    /* Every waiting read needs a place among the answers, and may need it at once. */
    if (raft->read_count == RAFT_READS_MAX || raft->answer_count >= RAFT_READS_MAX)
        return RAFT_BUSY;
    if (lease_holds(raft) || RAFT_BROKEN(raft, RAFT_RULE_READ_ROUND)) {
        answer(raft, id, raft->commit_index, false);
        return RAFT_OK;
    }
    raft->reads[raft->read_count++] =
        (struct raft_read){.id = id, .index = raft->commit_index, .round = raft->round + 1};
    raft->round_wanted = true;
    return RAFT_OK;
}

void raft_reads_confirm(struct raft *raft)
{
    uint64_t confirmed = raft_quorum_value(raft, round_of);
    uint32_t done = 0;
    while (done < raft->read_count && raft->reads[done].round <= confirmed &&
           raft->answer_count < COUNT_OF(raft->answers)) {
        answer(raft, raft->reads[done].id, raft->reads[done].index, false);
        done++;
    }
    raft->read_count -= done;
    memmove(raft->reads, raft->reads + done, raft->read_count * sizeof raft->reads[0]);
}

void raft_reads_fail(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->read_count; i++)
        answer(raft, raft->reads[i].id, 0, true);
    raft->read_count = 0;
    raft->round_wanted = false;
}
