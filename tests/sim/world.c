/* tests/sim/world.c - virtual time: a heap of events, and what each kind does. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "tests/sim/sim.h"

#include <stdarg.h>

_Noreturn void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->result->reason, sizeof sim->result->reason, format, arguments);
    va_end(arguments);
    sim_trace(sim, "FAILED: %s", sim->result->reason);
    longjmp(*sim->failed, 1);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    if (sim->options.trace == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(sim->options.trace, "%10.3f ms  ", (double)sim->now_us / 1000);
    vfprintf(sim->options.trace, format, arguments);
    fputc('\n', sim->options.trace);
    va_end(arguments);
}

bool sim_chance(struct sim *sim, uint32_t percent)
{
    return random_below(&sim->random, 100) < percent;
}

bool sim_fault_on(const struct sim *sim, enum sim_fault fault)
{
    return !sim->healed && (sim->options.faults & fault) != 0;
}

uint64_t sim_about(struct sim *sim, uint64_t around)
{
    return around / 2 + random_below(&sim->random, (uint32_t)around + 1);
}

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

void sim_event_add(struct sim *sim, const struct sim_event *event)
{
    if (sim->event_count == sim->event_capacity) {
        uint32_t capacity = sim->event_capacity == 0 ? 256 : sim->event_capacity * 2;
        struct sim_event *events =
            capacity > 1 << 16 ? NULL : memory_grow(sim->events, capacity * sizeof *events);
        if (events == NULL) {
            memory_free(event->bytes);
            sim_fail(sim, "too much is under way");
        }
        sim->events = events;
        sim->event_capacity = capacity;
    }
    struct sim_event added = *event;
    added.order = sim->order++;
    uint32_t at = sim->event_count++;
    for (; at > 0 && earlier(&added, &sim->events[(at - 1) / 2]); at = (at - 1) / 2)
        sim->events[at] = sim->events[(at - 1) / 2];
    sim->events[at] = added;
}

static struct sim_event event_take(struct sim *sim)
{
    struct sim_event first = sim->events[0], last = sim->events[--sim->event_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= sim->event_count)
            break;
        if (child + 1 < sim->event_count && earlier(&sim->events[child + 1], &sim->events[child]))
            child++;
        if (!earlier(&sim->events[child], &last))
            break;
        sim->events[at] = sim->events[child];
        at = child;
    }
    sim->events[at] = last;
    return first;
}

struct sim_node *sim_node_of(struct sim *sim, uint64_t id)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        if (sim->nodes[i].id == id)
            return &sim->nodes[i];
    }
    return NULL;
}

void sim_after(struct sim_node *node, enum sim_event_kind kind, uint64_t delay_us)
{
    struct sim_event event = {
        .at_us = node->sim->now_us + delay_us, .kind = kind, .slot = node->slot, .life = node->life};
    sim_event_add(node->sim, &event);
}

/* A node that was stopped for a while, or is late, first catches up with its clock (docs/raft.md 8). */
static void catch_up(struct sim_node *node)
{
    while (node->next_tick_us <= node->sim->now_us) {
        node->next_tick_us += node->tick_us;
        raft_driver_tick(&node->driver);
    }
}

static void synced(struct sim_node *node)
{
    struct sim *sim = node->sim;
    if (sim_fault_on(sim, SIM_FAULT_DISK_ERROR) && random_below(&sim->random, 3000) == 0) {
        sim->result->counts.disk_errors++;
        sim_trace(sim, "%llu: its disk fails", (unsigned long long)node->id);
        node->disk_failed = true;
        raft_driver_persisted(&node->driver, 0, ERR_SYSTEM);
        sim_after(node, SIM_EVENT_RESTART, sim_about(sim, 500000));
        return;
    }
    uint64_t seq = sim_disk_synced(node);
    sim_trace(sim, "%llu: synced %llu", (unsigned long long)node->id, (unsigned long long)seq);
    raft_driver_persisted(&node->driver, seq, ERR_OK);
}

static void snapshot_taken(struct sim_node *node)
{
    struct sim *sim = node->sim;
    const struct raft_snapshot *about = &node->disk.taking.about;
    uint64_t index = about->index, size = about->size_bytes;
    if (index == 0) /* an installed one took its place */
        return;
    sim->result->counts.snapshots++;
    bool fails = sim_fault_on(sim, SIM_FAULT_DISK_ERROR) && sim_chance(sim, 2);
    if (!fails)
        sim_disk_snapshot_taken(node);
    raft_driver_snapshot_taken(&node->driver, index, size, fails ? ERR_SYSTEM : ERR_OK);
}

static void installed(struct sim_node *node)
{
    struct sim *sim = node->sim;
    if (sim_fault_on(sim, SIM_FAULT_DISK_ERROR) && sim_chance(sim, 2)) {
        node->disk.installing = false;
        raft_driver_installed(&node->driver, ERR_SYSTEM);
        return;
    }
    sim->result->counts.installs++;
    sim_disk_installed(node);
    node->disk.taking = (struct sim_snapshot){0};
    sim_machine_load(&node->machine, node->disk.incoming.bytes);
    sim_trace(sim, "%llu: has installed %llu", (unsigned long long)node->id,
              (unsigned long long)node->machine.applied);
    sim_check_chain(node);
    raft_driver_installed(&node->driver, ERR_OK);
}

static void node_event(struct sim_node *node, struct sim_event *event)
{
    catch_up(node);
    switch (event->kind) {
    case SIM_EVENT_TICK:
        sim_after(node, SIM_EVENT_TICK, node->next_tick_us - node->sim->now_us);
        break;
    case SIM_EVENT_TURN:
        node->turn_due = false;
        raft_driver_turn(&node->driver);
        sim_check_node(node);
        return;
    case SIM_EVENT_DELIVER:
        sim_deliver(node, event);
        break;
    case SIM_EVENT_SYNCED:
        if (!node->disk_failed)
            synced(node);
        break;
    case SIM_EVENT_SNAPSHOT_TAKEN:
        if (!node->disk_failed)
            snapshot_taken(node);
        break;
    case SIM_EVENT_INSTALLED:
        if (!node->disk_failed)
            installed(node);
        break;
    case SIM_EVENT_NEW_LEADER:
        sim_change_members(node->sim, node);
        return;
    case SIM_EVENT_READABLE:
        raft_driver_readable(&node->driver);
        break;
    default: /* the world's, not a node's */
        break;
    }
    sim_check_node(node);
    sim_node_turn(node);
}

/* What happens at a node: not to one that is down, was another then, or stands still. */
static void at_node(struct sim *sim, struct sim_event *event)
{
    struct sim_node *node = &sim->nodes[event->slot];
    bool any_life = event->kind == SIM_EVENT_DELIVER;
    if (event->kind == SIM_EVENT_RESTART && node->id != 0 && node->life == event->life) {
        sim_node_stop(node);
        sim_node_start(node);
        return;
    }
    if (!node->running || event->kind == SIM_EVENT_RESTART || (!any_life && event->life != node->life))
        return;
    if (node->paused_until_us > sim->now_us) {
        struct sim_event later = *event;
        later.at_us = node->paused_until_us;
        event->bytes = NULL; /* the later one has them */
        sim_event_add(sim, &later);
        return;
    }
    node_event(node, event);
}

static void happen(struct sim *sim, struct sim_event *event)
{
    struct sim_event again = *event;
    switch (event->kind) {
    case SIM_EVENT_CLIENT:
        sim_client(sim);
        /* In the end they are patient, so that whoever is behind can catch up. */
        again.at_us = sim->now_us + sim_about(sim, sim->healed ? 150000 : sim->weather.client_gap_us);
        sim_event_add(sim, &again);
        return;
    case SIM_EVENT_FAULT:
        if (sim->healed)
            return;
        sim_fault_happens(sim);
        again.at_us = sim->now_us + sim_about(sim, sim->weather.fault_gap_us);
        sim_event_add(sim, &again);
        return;
    case SIM_EVENT_HEAL:
        sim_heal(sim);
        return;
    default:
        at_node(sim, event);
        return;
    }
}

static void begin(struct sim *sim)
{
    struct raft_membership founders = {0};
    sim_weather_draw(sim);
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        struct sim_node *node = &sim->nodes[i];
        *node = (struct sim_node){.sim = sim, .slot = i};
        sim_disk_open(sim, &node->disk);
    }
    for (uint64_t id = 1; id <= sim->weather.founders; id++) {
        if (!raft_membership_add(&founders, id, RAFT_VOTER, bytes_of(NULL, 0)))
            sim_fail(sim, "no founders");
    }
    for (unsigned i = 0; i < sim->weather.founders; i++)
        sim_node_found(&sim->nodes[i], ++sim->last_id, &founders);
    sim_event_add(sim, &(struct sim_event){.kind = SIM_EVENT_CLIENT, .at_us = 1000});
    sim_event_add(sim, &(struct sim_event){.kind = SIM_EVENT_FAULT, .at_us = sim->weather.fault_gap_us});
    sim_event_add(sim,
                  &(struct sim_event){.kind = SIM_EVENT_HEAL, .at_us = 1000000ULL * sim->options.seconds});
}

/* Faults for so many seconds; then the group has half a minute to come to rest. */
static void run(struct sim *sim)
{
    enum { REST_US = 30000000 };
    uint64_t end_us = 1000000ULL * sim->options.seconds + REST_US;
    begin(sim);
    while (sim->now_us < end_us) {
        struct sim_event event = event_take(sim);
        ASSERT(event.at_us >= sim->now_us);
        sim->now_us = event.at_us;
        sim->result->counts.events++;
        happen(sim, &event);
        memory_free(event.bytes);
        if (sim->healed && event.kind == SIM_EVENT_CLIENT && sim_at_rest(sim))
            break;
    }
    sim_check_end(sim);
}

static void forget(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->event_count; i++)
        memory_free(sim->events[i].bytes);
    memory_free(sim->events);
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        sim_node_close(&sim->nodes[i]);
    memory_free(sim->committed);
    memory_free(sim->leaders);
    memory_free(sim);
}

void sim_run(const struct sim_options *options, struct sim_result *result)
{
    jmp_buf failed;
    struct sim *volatile sim = memory_new(sizeof *sim);
    *result = (struct sim_result){0};
    ASSERT(sim != NULL);
    sim->options = *options;
    sim->result = result;
    sim->failed = &failed;
    random_seed(&sim->random, options->seed * 0x9e3779b97f4a7c15ULL + 1);
    sim->committed = memory_new(SIM_INDEXES_MAX * sizeof *sim->committed);
    sim->leaders = memory_new(SIM_TERMS_MAX * sizeof *sim->leaders);
    ASSERT(sim->committed != NULL && sim->leaders != NULL);
    if (setjmp(failed) == 0)
        run(sim);
    else
        result->failed = true;
    result->counts.virtual_us = sim->now_us;
    forget(sim);
}
