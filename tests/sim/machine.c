/* tests/sim/machine.c - what is replicated: a few registers; and the clients that write and read them.
 * Clustered streaming, with machine and store, is simulated in tests/sim/streaming. */
#include "core/base/check.h"
#include "tests/sim/sim.h"

/* A command: 8 value (unique, so it is the write's name), 1 register, and padding. */
enum { COMMAND_BYTES = 9 };

static uint64_t get(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* The registers, what was applied, the chain; and some bytes more, so that sizes differ. */
uint32_t sim_machine_save(const struct sim_machine *machine, uint8_t *to)
{
    uint32_t bytes = sizeof *machine;
    memcpy(to, machine, bytes);
    uint32_t padding = (uint32_t)(machine->applied % 7) * 40;
    memset(to + bytes, 0x5a, padding);
    ASSERT(bytes + padding <= SIM_SNAPSHOT_BYTES);
    return bytes + padding;
}

void sim_machine_load(struct sim_machine *machine, const uint8_t *from)
{
    memcpy(machine, from, sizeof *machine);
}

static void acknowledge(struct sim_node *node, uint64_t index, const struct raft_entry *entry)
{
    struct sim *sim = node->sim;
    struct sim_proposal *proposal = &node->proposals[index % SIM_PROPOSALS_MAX];
    if (proposal->index != index)
        return;
    if (proposal->term == entry->term) {
        if (entry->kind != RAFT_ENTRY_DATA || get(entry->data.data) != proposal->value)
            sim_fail(sim, "entry %llu is not what was proposed there", (unsigned long long)index);
        sim->committed[index].value = proposal->value;
        sim->result->counts.acknowledged++;
        if (index > sim->seen_index)
            sim->seen_index = index;
        sim->acknowledged_after_heal += sim->healed;
        sim_trace(sim, "%llu: acknowledges %llu", (unsigned long long)node->id, (unsigned long long)index);
    }
    proposal->index = 0;
}

/* A read is answered from what is applied; whatever anybody had seen before it was asked must be in it. */
static void answer_reads(struct sim_node *node)
{
    struct sim *sim = node->sim;
    for (unsigned i = 0; i < SIM_READS_MAX; i++) {
        struct sim_read *read = &node->reads[i];
        if (read->id == 0 || read->ready_index == 0 || node->machine.applied < read->ready_index)
            continue;
        sim_trace(sim, "%llu: answers read %llu at %llu", (unsigned long long)node->id,
                  (unsigned long long)read->id, (unsigned long long)node->machine.applied);
        if (node->machine.applied < read->least_index)
            sim_fail(sim, "node %llu answers a read from %llu, though %llu had been seen before",
                     (unsigned long long)node->id, (unsigned long long)node->machine.applied,
                     (unsigned long long)read->least_index);
        if (node->machine.applied > sim->seen_index)
            sim->seen_index = node->machine.applied;
        sim->result->counts.reads++;
        read->id = 0;
    }
}

static void apply_one(struct sim_node *node, uint64_t index, const struct raft_entry *entry)
{
    struct sim_machine *machine = &node->machine;
    if (index != machine->applied + 1)
        sim_fail(node->sim, "node %llu applies %llu behind %llu", (unsigned long long)node->id,
                 (unsigned long long)index, (unsigned long long)machine->applied);
    sim_check_apply(node, index, entry);
    if (entry->kind == RAFT_ENTRY_DATA)
        machine->registers[entry->data.data[8] % SIM_REGISTERS] = get(entry->data.data);
    uint64_t seed = sim_hash(machine->chain, bytes_of(&entry->term, sizeof entry->term));
    machine->chain = sim_hash(seed, entry->data) | 1;
    machine->applied = index;
    sim_check_chain(node);
    acknowledge(node, index, entry);
}

static uint32_t apply(void *self, uint64_t first_index, const struct raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        apply_one(self, first_index + i, &entries[i]);
    answer_reads(self);
    return count;
}

static void take_snapshot(void *self, const struct raft_snapshot *snapshot)
{
    struct sim_node *node = self;
    struct sim_snapshot *taking = &node->disk.taking;
    if (node->machine.applied != snapshot->index)
        sim_fail(node->sim, "a snapshot of %llu is wanted when %llu is applied",
                 (unsigned long long)snapshot->index, (unsigned long long)node->machine.applied);
    *taking = (struct sim_snapshot){.about = *snapshot};
    taking->about.size_bytes = sim_machine_save(&node->machine, taking->bytes);
    sim_after(node, SIM_EVENT_SNAPSHOT_TAKEN, sim_about(node->sim, 30000));
}

static void read_confirmed(void *self, const struct raft_read_state *state)
{
    struct sim_node *node = self;
    struct sim_read *read = &node->reads[state->id % SIM_READS_MAX];
    if (read->id != state->id)
        return;
    if (state->failed)
        read->id = 0;
    else
        read->ready_index = state->index;
    answer_reads(node);
}

static void role_changed(void *self)
{
    struct sim_node *node = self;
    struct raft_status status;
    static const char *const roles[RAFT_ROLES] = {"follower", "pre-candidate", "candidate", "leader",
                                                  "halted"};
    raft_status(node->driver.raft, &status);
    sim_trace(node->sim, "%llu: %s, term %llu, leader %llu, last %llu, commit %llu",
              (unsigned long long)node->id, roles[status.role], (unsigned long long)status.term,
              (unsigned long long)status.leader, (unsigned long long)status.last_index,
              (unsigned long long)status.commit_index);
    /* Somebody who waited for a leader with a change of members asks at once. */
    if (status.role == RAFT_LEADER && sim_fault_on(node->sim, SIM_FAULT_MEMBERS) &&
        sim_chance(node->sim, node->sim->weather.hasty_percent))
        sim_after(node, SIM_EVENT_NEW_LEADER, sim_about(node->sim, 500));
}

struct raft_application sim_application(struct sim_node *node)
{
    return (struct raft_application){.self = node,
                                     .apply = apply,
                                     .take_snapshot = take_snapshot,
                                     .read = read_confirmed,
                                     .role_changed = role_changed};
}

static void propose(struct sim *sim, struct sim_node *node)
{
    uint8_t data[4][64];
    struct raft_entry entries[4];
    uint32_t count = 1 + random_below(&sim->random, 4);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = ++sim->last_value;
        memset(data[i], 0, sizeof data[i]);
        memcpy(data[i], &value, sizeof value);
        data[i][8] = (uint8_t)random_below(&sim->random, SIM_REGISTERS);
        entries[i] = (struct raft_entry){
            .kind = RAFT_ENTRY_DATA,
            .data = bytes_of(data[i], COMMAND_BYTES + random_below(&sim->random, 64 - COMMAND_BYTES))};
    }
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE, .propose = {entries, count}};
    uint64_t first_index;
    if (raft_driver_step(&node->driver, &event, &first_index) != RAFT_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        node->proposals[(first_index + i) % SIM_PROPOSALS_MAX] = (struct sim_proposal){
            .index = first_index + i, .term = entries[i].term, .value = get(entries[i].data.data)};
        sim->result->counts.proposed++;
    }
    sim_trace(sim, "%llu: is given %llu to %llu", (unsigned long long)node->id,
              (unsigned long long)first_index, (unsigned long long)(first_index + count - 1));
}

static void ask(struct sim *sim, struct sim_node *node)
{
    uint64_t id = ++sim->last_read;
    struct sim_read *read = &node->reads[id % SIM_READS_MAX];
    struct raft_event event = {.kind = RAFT_EVENT_READ, .read_id = id};
    *read = (struct sim_read){.id = id, .least_index = sim->seen_index};
    if (raft_driver_step(&node->driver, &event, NULL) != RAFT_OK)
        read->id = 0;
    else
        sim_trace(sim, "%llu: is asked read %llu", (unsigned long long)node->id, (unsigned long long)id);
}

/* A node that takes itself for the leader; there may be several. */
static struct sim_node *some_leader(struct sim *sim)
{
    uint32_t start = random_below(&sim->random, SIM_NODES_MAX);
    for (uint32_t i = 0; i < SIM_NODES_MAX; i++) {
        struct sim_node *node = &sim->nodes[(start + i) % SIM_NODES_MAX];
        if (node->running && node->was_leader)
            return node;
    }
    return NULL;
}

/* One client's turn, at a node that it takes for the leader, or at any. */
void sim_client(struct sim *sim)
{
    struct sim_node *node = sim_chance(sim, 50) ? sim_leader(sim) : some_leader(sim);
    if (node == NULL || sim_chance(sim, 15))
        node = &sim->nodes[random_below(&sim->random, SIM_NODES_MAX)];
    if (!node->running || node->paused_until_us > sim->now_us)
        return;
    /* The clock first: what a paused leader may still say depends on it. */
    while (node->next_tick_us <= sim->now_us) {
        node->next_tick_us += node->tick_us;
        raft_driver_tick(&node->driver);
    }
    if (sim_chance(sim, 60))
        propose(sim, node);
    else
        ask(sim, node);
    sim_node_turn(node);
}
