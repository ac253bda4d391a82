/* tests/sim/faults.c - the weather of a seed, and what goes wrong in it. Each seed draws which faults it has
 * and how hard: a run with everything at once is only one of the worlds worth looking at. */
#include "core/base/check.h"
#include "tests/sim/sim.h"

static void steer(struct sim *sim);

static uint32_t pick(struct sim *sim, uint32_t least, uint32_t most)
{
    return least + random_below(&sim->random, most - least + 1);
}

static void draw_raft(struct sim *sim, struct raft_options *raft)
{
    *raft = raft_options_default();
    raft->heartbeat_ticks = pick(sim, 1, 3);
    raft->candidate_ticks = pick(sim, 10, 20);
    raft->commit_ticks = pick(sim, 0, 4);
    raft->lease_reads = sim_chance(sim, 50);
    /* Where no read rests on it, a lease may last as long as it takes to elect somebody else. */
    raft->lease_ticks = raft->lease_reads ? 5 : pick(sim, 5, 10);
    raft->log_entries_max = sim_chance(sim, 50) ? 256 : 128;
    raft->trailing_entries = pick(sim, 0, 30);
    raft->snapshot_entries = sim_chance(sim, 70) ? pick(sim, 10, 60) : 0;
    raft->snapshot_bytes = sim_chance(sim, 30) ? 1000 : 0;
    raft->append_entries = pick(sim, 1, 8);
    raft->append_bytes = pick(sim, 20, 400);
    raft->window = pick(sim, 1, 8);
    raft->window_bytes = pick(sim, 50, 2000);
    raft->uncommitted_bytes = pick(sim, 500, 5000);
    raft->apply_bytes = pick(sim, 1, 500);
    raft->chunk_bytes = pick(sim, 20, 200);
    raft->chunk_window = pick(sim, 1, 4);
    raft->promote_lag = pick(sim, 0, 20);
}

void sim_weather_draw(struct sim *sim)
{
    static const uint8_t sizes[] = {1, 2, 3, 3, 3, 4, 4, 5, 5};
    struct sim_weather *weather = &sim->weather;
    /* Every third seed has all faults, the others a half of them. */
    uint32_t mask = random_below(&sim->random, SIM_FAULTS_ALL + 1);
    if (random_below(&sim->random, 3) != 0)
        sim->options.faults &= mask;
    *weather = (struct sim_weather){
        .founders = sizes[random_below(&sim->random, COUNT_OF(sizes))],
        .loss_percent = pick(sim, 1, 20),
        .repeat_percent = pick(sim, 1, 10),
        .late_percent = pick(sim, 1, 20),
        .delay_us = pick(sim, 200, 8000),
        .late_us = pick(sim, 20000, 400000),
        .skew_percent = pick(sim, 1, 20),
        .sync_us = pick(sim, 200, 15000),
        .slow_sync_percent = pick(sim, 1, 10),
        .quick_restart_percent = pick(sim, 10, 90),
        .hasty_percent = pick(sim, 0, 60),
        .fault_gap_us = sim_chance(sim, 30) ? pick(sim, 15000, 100000) : pick(sim, 50000, 1000000),
        .client_gap_us = pick(sim, 1000, 20000),
        .lazy_percent = pick(sim, 0, 60),
    };
    draw_raft(sim, &weather->raft);
    if (sim_chance(sim, 25)) { /* quick disks and wires: then only the timers are slow */
        weather->delay_us = pick(sim, 100, 500);
        weather->sync_us = pick(sim, 100, 500);
        weather->lazy_percent = 0;
        weather->client_gap_us = pick(sim, 500, 3000);
        weather->raft.heartbeat_ticks = 3;
    }
    steer(sim);
}

/* One rule matters in rare worlds only: a leader that is cut off must answer between somebody else's election
 * and its own resignation. A proof of it begins there: few nodes that are quick but for their timers, clocks
 * that run apart, and a lease as long as an election. */
static void steer(struct sim *sim)
{
    struct sim_weather *weather = &sim->weather;
    if ((sim->options.steered_to & (1U << RAFT_RULE_READ_ROUND)) == 0)
        return;
    sim->options.faults = SIM_FAULT_PARTITION | SIM_FAULT_SKEW;
    weather->founders = 3;
    weather->delay_us = weather->sync_us = 200;
    weather->lazy_percent = 0;
    weather->client_gap_us = 600;
    weather->fault_gap_us = 200000;
    weather->skew_percent = 30;
    weather->raft.heartbeat_ticks = 3;
    weather->raft.lease_reads = false;
    weather->raft.lease_ticks = 10;
}

static struct sim_node *any_node(struct sim *sim)
{
    return &sim->nodes[random_below(&sim->random, SIM_NODES_MAX)];
}

static struct sim_node *leader_or_any(struct sim *sim)
{
    struct sim_node *leader = sim_chance(sim, 50) ? sim_leader(sim) : NULL;
    return leader != NULL ? leader : any_node(sim);
}

static void crash(struct sim *sim)
{
    uint32_t count = sim_chance(sim, 15) ? SIM_NODES_MAX : 1; /* now and then all of them */
    for (uint32_t i = 0; i < count; i++) {
        struct sim_node *node = count == 1 ? leader_or_any(sim) : &sim->nodes[i];
        if (node->id == 0 || !node->running)
            continue;
        sim->result->counts.crashes++;
        sim_node_stop(node);
        sim_after(node, SIM_EVENT_RESTART,
                  sim_about(sim, sim_chance(sim, sim->weather.quick_restart_percent) ? 3000 : 800000));
    }
}

static void partition(struct sim *sim)
{
    if (sim_chance(sim, 35)) { /* it is over */
        for (unsigned i = 0; i < SIM_NODES_MAX; i++)
            sim->nodes[i].cut = 0;
        sim_trace(sim, "the network is whole");
        return;
    }
    if (sim_chance(sim, 40)) { /* two nodes only */
        struct sim_node *a = leader_or_any(sim), *b = any_node(sim);
        a->cut |= 1U << b->slot;
        b->cut |= 1U << a->slot;
        sim_trace(sim, "%llu and %llu do not hear each other", (unsigned long long)a->id,
                  (unsigned long long)b->id);
        return;
    }
    uint32_t group = random_below(&sim->random, 1U << SIM_NODES_MAX);
    const struct sim_node *leader = sim_leader(sim);
    if (leader != NULL && sim_chance(sim, 40)) {
        group = 1U << leader->slot;
        /* What it was just told to change, it alone knows. */
        if (sim_fault_on(sim, SIM_FAULT_MEMBERS) && sim_chance(sim, 50))
            sim_change_members(sim, sim_leader(sim));
    }
    bool one_way = sim_chance(sim, 25);
    sim->result->counts.partitions++;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        bool inside = (group >> i) & 1;
        if (inside || !one_way)
            sim->nodes[i].cut = inside ? ~(uint64_t)group : group;
        else
            sim->nodes[i].cut = 0;
    }
    sim_trace(sim, "the network is cut%s, slots %x", one_way ? " one way" : "", group);
}

static void stand_still(struct sim *sim)
{
    struct sim_node *node = leader_or_any(sim);
    if (!node->running)
        return;
    sim->result->counts.pauses++;
    node->paused_until_us = sim->now_us + sim_about(sim, sim_chance(sim, 50) ? 80000 : 600000);
    sim_trace(sim, "%llu: stands still", (unsigned long long)node->id);
}

static void transfer(struct sim *sim)
{
    struct sim_node *leader = sim_leader(sim);
    const struct sim_node *to = any_node(sim);
    if (leader == NULL || leader->paused_until_us > sim->now_us)
        return;
    struct raft_event event = {.kind = RAFT_EVENT_TRANSFER, .peer = sim_chance(sim, 30) ? 0 : to->id};
    if (raft_driver_step(&leader->driver, &event, NULL) == RAFT_OK) {
        sim->result->counts.transfers++;
        sim_trace(sim, "%llu: is told to hand over to %llu", (unsigned long long)leader->id,
                  (unsigned long long)event.peer);
    }
    sim_node_turn(leader);
}

/* True or not: a node can be wrong about it. */
static void leader_gone(struct sim *sim)
{
    struct sim_node *node = any_node(sim);
    struct raft_status status;
    if (!node->running || node->paused_until_us > sim->now_us)
        return;
    raft_status(node->driver.raft, &status);
    struct raft_event event = {.kind = RAFT_EVENT_LEADER_GONE, .peer = status.leader};
    raft_driver_step(&node->driver, &event, NULL);
    sim_trace(sim, "%llu: is told that %llu is gone", (unsigned long long)node->id,
              (unsigned long long)status.leader);
    sim_node_turn(node);
}

/* Whether it was once a member, and is one no more in the newest committed membership, or any node's log. */
static bool nobody_knows(struct sim *sim, uint64_t id)
{
    struct raft_status status;
    if (raft_member_find(&sim->membership, id) != NULL || sim_node_of(sim, id)->machine.applied == 0)
        return false;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (node->id == 0)
            continue;
        if (!node->running)
            return false;
        raft_status(node->driver.raft, &status);
        if (node->id != id && raft_member_find(status.membership, id) != NULL)
            return false;
    }
    return true;
}

void sim_change_members(struct sim *sim, struct sim_node *leader)
{
    struct sim_node *node = any_node(sim);
    if (leader == NULL || leader->paused_until_us > sim->now_us)
        return;
    /* Who was removed is wiped, and comes back with another id: its old votes are forgotten with its disk. */
    if (node->id == 0 || (nobody_knows(sim, node->id) && sim_chance(sim, 60))) {
        sim_node_stop(node);
        node->cut = 0;
        sim_node_found(node, ++sim->last_id, NULL);
    }
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE, .change = {.id = node->id}};
    event.change.kind = (enum raft_change_kind)random_below(&sim->random, RAFT_CHANGE_KINDS);
    if (raft_driver_step(&leader->driver, &event, NULL) == RAFT_OK) {
        sim->result->counts.changes++;
        sim_trace(sim, "%llu: changes its members: %u of %llu", (unsigned long long)leader->id,
                  event.change.kind, (unsigned long long)node->id);
    }
    sim_node_turn(leader);
}

void sim_fault_happens(struct sim *sim)
{
    if (sim_fault_on(sim, SIM_FAULT_CRASH) && sim_chance(sim, 40))
        crash(sim);
    if (sim_fault_on(sim, SIM_FAULT_PARTITION) && sim_chance(sim, 50))
        partition(sim);
    if (sim_fault_on(sim, SIM_FAULT_PAUSE) && sim_chance(sim, 30))
        stand_still(sim);
    if (sim_fault_on(sim, SIM_FAULT_TRANSFER) && sim_chance(sim, 25))
        leader_gone(sim);
    if (sim_fault_on(sim, SIM_FAULT_TRANSFER) && sim_chance(sim, 25))
        transfer(sim);
    if (sim_fault_on(sim, SIM_FAULT_MEMBERS) && sim_chance(sim, 60))
        sim_change_members(sim, sim_leader(sim));
}

/* From here on nothing goes wrong: every node is up, every clock runs alike. */
void sim_heal(struct sim *sim)
{
    sim->healed = true;
    sim_trace(sim, "all is well from now on");
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        struct sim_node *node = &sim->nodes[i];
        node->cut = 0;
        node->paused_until_us = 0;
        if (node->id == 0)
            continue;
        struct raft_status status = {0};
        if (node->running)
            raft_status(node->driver.raft, &status);
        if (status.role == RAFT_HALTED)
            sim_node_stop(node);
        if (!node->running)
            sim_node_start(node);
        node->tick_us = 10000;
    }
}
