/* tests/sim/check.c - what must hold after every step (paper figure 3), and in the end.
 *
 *   election safety       at most one leader in a term
 *   log matching          two logs with an entry of one index and term are the same up to there
 *   leader completeness   what was committed in a term is in the log of every leader of a later one
 *   state machine safety  nobody applies, or commits, another entry at an index; the applied histories are
 * one nothing lost          what was acknowledged stays where it was committed reads                 a read
 * shows whatever anybody had seen before it was asked (machine.c) progress              when the faults stop,
 * the group elects, catches up and acknowledges again */
#include "core/base/check.h"
#include "core/base/hash.h"
#include "tests/sim/sim.h"

uint64_t sim_hash(uint64_t seed, struct bytes bytes)
{
    return hash_bytes(bytes, seed);
}

static uint64_t entry_hash(uint64_t term, struct bytes data)
{
    return hash_bytes(data, term) | 1;
}

static void check_elections(struct sim_node *node, const struct raft_status *status)
{
    struct sim *sim = node->sim;
    bool leads = status->role == RAFT_LEADER;
    bool news = leads && (!node->was_leader || status->term != node->seen_term);
    node->was_leader = leads;
    if (!news)
        return;
    if (status->term >= SIM_TERMS_MAX)
        sim_fail(sim, "there are too many elections");
    uint64_t *leader = &sim->leaders[status->term];
    if (*leader != 0 && *leader != node->id)
        sim_fail(sim, "election safety: %llu and %llu lead in term %llu", (unsigned long long)*leader,
                 (unsigned long long)node->id, (unsigned long long)status->term);
    *leader = node->id;
    sim->result->counts.elections++;
    for (uint64_t i = status->first_index; i <= sim->committed_max; i++) {
        const struct sim_committed *committed = &sim->committed[i];
        uint64_t term = 0;
        enum raft_entry_kind kind;
        if (committed->term == 0 || committed->at_term >= status->term)
            continue;
        if (!raft_entry_term(node->driver.raft, i, &term, &kind) || term != committed->term)
            sim_fail(sim, "leader completeness: %llu leads in term %llu without entry %llu of term %llu",
                     (unsigned long long)node->id, (unsigned long long)status->term, (unsigned long long)i,
                     (unsigned long long)committed->term);
    }
}

/* The machine's view of the log and the disk's are one; and no other node's contradicts it. */
static void check_logs(struct sim_node *node, const struct raft_status *status)
{
    struct sim *sim = node->sim;
    const struct sim_log *log = &node->disk.current;
    if (log->last != status->last_index)
        sim_fail(sim, "node %llu has %llu in its log and believes it has %llu", (unsigned long long)node->id,
                 (unsigned long long)log->last, (unsigned long long)status->last_index);
    for (unsigned other = 0; other < SIM_NODES_MAX; other++) {
        const struct sim_log *against = &sim->nodes[other].disk.current;
        uint64_t last = log->last < against->last ? log->last : against->last;
        uint64_t first = log->first > against->first ? log->first : against->first;
        bool same = false; /* from here down they must be alike */
        if (&sim->nodes[other] == node || sim->nodes[other].id == 0)
            continue;
        for (uint64_t i = last; i >= first; i--) {
            const struct sim_entry *a = sim_log_entry(log, i), *b = sim_log_entry(against, i);
            bool alike = a->term == b->term;
            if (alike && (a->data_bytes != b->data_bytes || memcmp(a->data, b->data, a->data_bytes) != 0))
                sim_fail(sim, "log matching: %llu and %llu differ in what entry %llu of term %llu holds",
                         (unsigned long long)node->id, (unsigned long long)sim->nodes[other].id,
                         (unsigned long long)i, (unsigned long long)a->term);
            if (same && !alike)
                sim_fail(sim, "log matching: %llu and %llu differ at %llu below an equal entry",
                         (unsigned long long)node->id, (unsigned long long)sim->nodes[other].id,
                         (unsigned long long)i);
            same |= alike;
        }
    }
}

static void commit_one(struct sim_node *node, uint64_t index, uint64_t at_term)
{
    struct sim *sim = node->sim;
    const struct sim_entry *entry = sim_log_entry(&node->disk.current, index);
    if (entry == NULL)
        return; /* in a snapshot; its chain is compared */
    if (index >= SIM_INDEXES_MAX)
        sim_fail(sim, "the run is too long");
    struct sim_committed *committed = &sim->committed[index];
    uint64_t hash = entry_hash(entry->term, bytes_of(entry->data, entry->data_bytes));
    if (committed->term == 0) {
        committed->term = entry->term;
        committed->hash = hash;
        committed->at_term = at_term;
        if (entry->kind == RAFT_ENTRY_MEMBERSHIP && index > sim->membership_index) {
            if (!raft_membership_decode(bytes_of(entry->data, entry->data_bytes), &sim->membership))
                sim_fail(sim, "a committed membership is damaged");
            sim->membership_index = index;
        }
        if (index > sim->committed_max)
            sim->committed_max = index;
    }
    if (committed->term != entry->term || committed->hash != hash)
        sim_fail(sim,
                 "state machine safety: %llu commits entry %llu of term %llu, another one was of term %llu",
                 (unsigned long long)node->id, (unsigned long long)index, (unsigned long long)entry->term,
                 (unsigned long long)committed->term);
}

void sim_check_node(struct sim_node *node)
{
    struct raft_status status;
    struct sim *sim = node->sim;
    if (!node->running)
        return;
    raft_status(node->driver.raft, &status);
    if (status.term < node->seen_term || status.commit_index < node->seen_commit)
        sim_fail(sim, "node %llu goes back in term or commit index", (unsigned long long)node->id);
    if (status.violations > 0)
        sim_fail(sim, "node %llu has met what cannot be", (unsigned long long)node->id);
    check_elections(node, &status);
    node->seen_term = status.term;
    check_logs(node, &status);
    for (uint64_t i = node->seen_commit + 1; i <= status.commit_index; i++)
        commit_one(node, i, status.term);
    node->seen_commit = status.commit_index;
}

void sim_check_apply(struct sim_node *node, uint64_t index, const struct raft_entry *entry)
{
    struct sim *sim = node->sim;
    const struct sim_committed *committed = &sim->committed[index];
    if (index >= SIM_INDEXES_MAX)
        sim_fail(sim, "the run is too long");
    if (committed->term != 0 &&
        (committed->term != entry->term || committed->hash != entry_hash(entry->term, entry->data)))
        sim_fail(sim, "state machine safety: %llu applies another entry %llu than was committed",
                 (unsigned long long)node->id, (unsigned long long)index);
}

/* Also after a snapshot: the history behind it is the same one. */
void sim_check_chain(struct sim_node *node)
{
    struct sim *sim = node->sim;
    uint64_t *chain = &sim->committed[node->machine.applied].chain;
    if (*chain == 0)
        *chain = node->machine.chain;
    if (*chain != node->machine.chain)
        sim_fail(sim, "state machine safety: up to %llu node %llu has applied something else",
                 (unsigned long long)node->machine.applied, (unsigned long long)node->id);
}

/* One leader, whom all members follow, with nothing left to do, and writes are acknowledged. */
bool sim_at_rest(struct sim *sim)
{
    struct raft_status leader, status;
    const struct sim_node *node = sim_leader(sim);
    if (node == NULL || sim->acknowledged_after_heal == 0)
        return false;
    raft_status(node->driver.raft, &leader);
    for (uint32_t i = 0; i < leader.membership->count; i++) {
        const struct sim_node *member = sim_node_of(sim, leader.membership->members[i].id);
        if (member == NULL || !member->running)
            return false;
        raft_status(member->driver.raft, &status);
        if (status.term != leader.term || status.leader != leader.id ||
            status.applied_index + 40 < leader.commit_index || status.applied_index < sim->seen_index)
            return false;
    }
    return true;
}

/* For the trace: where everybody is. */
static void describe_rest(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        const struct sim_node *node = &sim->nodes[i];
        struct raft_status status;
        if (!node->running)
            continue;
        raft_status(node->driver.raft, &status);
        sim_trace(sim,
                  "%llu: role %d, term %llu, leader %llu, log %llu to %llu, persisted %llu, commit %llu, "
                  "applied %llu",
                  (unsigned long long)node->id, (int)status.role, (unsigned long long)status.term,
                  (unsigned long long)status.leader, (unsigned long long)status.first_index,
                  (unsigned long long)status.last_index, (unsigned long long)status.persisted_index,
                  (unsigned long long)status.commit_index, (unsigned long long)status.applied_index);
        for (uint32_t peer = 0; peer < status.peer_count; peer++)
            sim_trace(sim, "  peer %llu%s: state %d, match %llu, next %llu",
                      (unsigned long long)status.peers[peer].id,
                      status.peers[peer].learner ? " (learner)" : "", (int)status.peers[peer].state,
                      (unsigned long long)status.peers[peer].match_index,
                      (unsigned long long)status.peers[peer].next_index);
    }
}

void sim_check_end(struct sim *sim)
{
    describe_rest(sim);
    if (!sim_at_rest(sim))
        sim_fail(sim, "progress: half a minute after the last fault the group is not at rest");
    for (uint64_t i = 1; i <= sim->committed_max; i++) {
        const struct sim_committed *committed = &sim->committed[i];
        if (committed->value != 0 && committed->term == 0)
            sim_fail(sim, "nothing lost: entry %llu was acknowledged and never committed",
                     (unsigned long long)i);
    }
}
