/* tests/sim/node.c - a node's lives: founded or joining, started from its disk, stopped. */
#include "core/base/check.h"
#include "tests/sim/sim.h"

/* What a founder writes before its first start. */
void sim_node_found(struct sim_node *node, uint64_t id, const struct raft_membership *founders)
{
    uint8_t data[RAFT_MEMBERSHIP_BYTES_MAX];
    node->id = id;
    sim_disk_wipe(&node->disk);
    if (founders != NULL) {
        struct raft_entry entry = raft_bootstrap_entry(founders, data);
        ASSERT(entry.data.count <= SIM_DATA_MAX);
        struct sim_log *log = &node->disk.durable;
        struct sim_entry *place = &log->entries[1];
        *place = (struct sim_entry){
            .term = entry.term, .kind = (uint16_t)entry.kind, .data_bytes = (uint16_t)entry.data.count};
        memcpy(place->data, entry.data.data, entry.data.count);
        log->last = 1;
        node->disk.hard_state.term = 1;
        node->disk.current.entries[1] = *place;
        node->disk.current.last = 1;
    }
    sim_node_start(node);
}

static struct raft *restore(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct sim_disk *disk = &node->disk;
    const struct sim_snapshot *snapshot = sim_disk_newest(disk);
    struct raft_options options = sim->weather.raft;
    struct raft_durable durable = {.hard_state = disk->hard_state,
                                   .snapshot = snapshot->about,
                                   .log_first = disk->current.first,
                                   .log_before_term = disk->current.before_term};
    struct raft *raft;
    options.id = node->id;
    options.random_seed = random_next(&sim->random);
#if MYELIN_RAFT_SABOTAGE
    options.broken_rules = sim->options.broken_rules;
#endif
    if (raft_new(&options, &durable, &raft) != ERR_OK)
        sim_fail(sim, "node %llu does not start from its disk", (unsigned long long)node->id);
    node->driver.raft = raft;
    for (uint64_t i = disk->current.first; i <= disk->current.last; i++) {
        const struct sim_entry *entry = sim_log_entry(&disk->current, i);
        struct raft_entry restored = {.term = entry->term,
                                      .kind = (enum raft_entry_kind)entry->kind,
                                      .data = bytes_of(entry->data, entry->data_bytes)};
        if (raft_restore(raft, &restored) != ERR_OK)
            sim_fail(sim, "node %llu does not take entry %llu from its disk", (unsigned long long)node->id,
                     (unsigned long long)i);
    }
    bool discarded;
    if (raft_start(raft, snapshot->about.index, &discarded) != ERR_OK)
        sim_fail(sim, "node %llu does not start from its log", (unsigned long long)node->id);
    if (discarded) {
        sim->result->counts.discarded_logs++;
        sim_disk_reset_log(node, snapshot->about.index, snapshot->about.term);
    }
    return raft;
}

void sim_node_start(struct sim_node *node)
{
    struct sim *sim = node->sim;
    const struct sim_snapshot *snapshot = sim_disk_newest(&node->disk);
    ASSERT(!node->running);
    node->machine = (struct sim_machine){0};
    if (snapshot->about.index != 0)
        sim_machine_load(&node->machine, snapshot->bytes);
    memset(node->proposals, 0, sizeof node->proposals);
    memset(node->reads, 0, sizeof node->reads);
    node->seen_term = node->seen_commit = 0;
    node->was_leader = false;
    node->turn_due = node->disk_failed = false;
    node->paused_until_us = 0;
    struct raft *raft = restore(node);
    struct raft_storage storage = sim_storage(node);
    struct raft_transport transport = sim_transport(node);
    struct raft_application application = sim_application(node);
    raft_driver_init(&node->driver, raft, &storage, &transport, &application);
    node->running = true;
    node->life++;
    node->tick_us = 10000;
    if (sim_fault_on(sim, SIM_FAULT_SKEW))
        node->tick_us += random_below(&sim->random, 200 * sim->weather.skew_percent + 1) -
                         100 * (uint64_t)sim->weather.skew_percent;
    node->next_tick_us = sim->now_us + node->tick_us;
    sim_after(node, SIM_EVENT_TICK, node->tick_us);
    sim_trace(sim, "%llu: starts, term %llu, log %llu to %llu", (unsigned long long)node->id,
              (unsigned long long)node->disk.hard_state.term, (unsigned long long)node->disk.current.first,
              (unsigned long long)node->disk.current.last);
    sim_check_node(node);
    sim_node_turn(node);
}

void sim_node_stop(struct sim_node *node)
{
    if (!node->running)
        return;
    sim_trace(node->sim, "%llu: stops", (unsigned long long)node->id);
    raft_driver_close(&node->driver);
    sim_disk_crash(node);
    node->running = false;
    node->life++;
}

void sim_node_turn(struct sim_node *node)
{
    struct sim *sim = node->sim;
    if (!node->running || node->turn_due)
        return;
    if (sim_chance(sim, sim->weather.lazy_percent)) {
        node->turn_due = true;
        sim_after(node, SIM_EVENT_TURN, sim_about(sim, 500));
        return;
    }
    raft_driver_turn(&node->driver);
    sim_check_node(node);
}

/* Of those who take themselves for the leader, the one of the highest term. */
struct sim_node *sim_leader(struct sim *sim)
{
    struct sim_node *leader = NULL;
    uint64_t term = 0;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        struct raft_status status;
        if (!sim->nodes[i].running)
            continue;
        raft_status(sim->nodes[i].driver.raft, &status);
        if (status.role == RAFT_LEADER && status.term > term) {
            leader = &sim->nodes[i];
            term = status.term;
        }
    }
    return leader;
}

void sim_node_close(struct sim_node *node)
{
    raft_driver_close(&node->driver);
    sim_disk_close(&node->disk);
}
