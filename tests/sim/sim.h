/* tests/sim/sim.h - the deterministic simulator: a group of nodes with their drivers in one process, on a
 * simulated network, simulated disks and simulated clocks, all from one seed (docs/raft.md 9).
 * In the flow:  main.c -> sim_run() -> world.c's events -> drivers -> disk.c, network.c, machine.c -> check.c
 * One run is one struct sim; nothing outlives it, nothing is global, so a seed replays exactly. Time is
 * virtual: microseconds since the start. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "core/base/random.h"
#include "raft/driver.h"
#include "raft/message_codec.h"
#include "raft/sabotage.h"

#include <setjmp.h>
#include <stdio.h>

enum {
    SIM_NODES_MAX = 7,
    SIM_LOG_MAX = 512,  /* entries on a simulated disk; above any log_entries_max that is tried */
    SIM_DATA_MAX = 192, /* members have no names here */
    SIM_REGISTERS = 8,
    SIM_SNAPSHOTS = 3, /* newest, one that is being sent, one that is being taken */
    SIM_SNAPSHOT_BYTES = 512,
    SIM_INDEXES_MAX = 1 << 16,
    SIM_TERMS_MAX = 1 << 14,
    SIM_READS_MAX = 64,
    SIM_PROPOSALS_MAX = 256,
    SIM_REASON_BYTES = 240,
};

/* What may go wrong; a bit each, so that a failing history can be tried without. */
enum sim_fault {
    SIM_FAULT_CRASH = 1 << 0,
    SIM_FAULT_PARTITION = 1 << 1,
    SIM_FAULT_LOSS = 1 << 2,
    SIM_FAULT_REPEAT = 1 << 3,
    SIM_FAULT_DELAY = 1 << 4,
    SIM_FAULT_SKEW = 1 << 5,
    SIM_FAULT_SLOW_DISK = 1 << 6,
    SIM_FAULT_DISK_ERROR = 1 << 7,
    SIM_FAULT_PAUSE = 1 << 8,
    SIM_FAULT_MEMBERS = 1 << 9,
    SIM_FAULT_TRANSFER = 1 << 10,
    SIM_FAULT_UNREADABLE = 1 << 11,
    SIM_FAULTS_ALL = (1 << 12) - 1,
};

struct sim_options {
    uint64_t seed;
    uint32_t seconds;      /* with faults; then they stop and the group has to come to rest */
    uint32_t faults;       /* those that may be used */
    uint32_t broken_rules; /* bits of enum raft_rule; 0: none */
    uint32_t steered_to;   /* bits of rules whose worlds are wanted: those in which breaking them shows */
    FILE *trace;           /* NULL: none */
};

/* What a run saw, to be sure that it saw something. */
struct sim_counts {
    uint64_t events;
    uint64_t virtual_us;
    uint64_t messages, lost, repeated, cut;
    uint64_t elections, crashes, torn, disk_errors, partitions, pauses, transfers, changes;
    uint64_t proposed, acknowledged, reads, snapshots, installs, discarded_logs, leases;
};

struct sim_result {
    bool failed;
    char reason[SIM_REASON_BYTES];
    struct sim_counts counts;
};

/* ---- one node's disk ---- */

struct sim_entry {
    uint64_t term;
    uint16_t kind;
    uint16_t data_bytes;
    uint8_t data[SIM_DATA_MAX];
};

struct sim_log {
    uint64_t first;
    uint64_t last;
    uint64_t before_term;
    struct sim_entry *entries; /* SIM_LOG_MAX of them, by index */
};

struct sim_snapshot {
    struct raft_snapshot about; /* index 0: none */
    uint8_t bytes[SIM_SNAPSHOT_BYTES];
};

enum sim_write_kind { SIM_WRITE_ENTRY, SIM_WRITE_HARD_STATE };

/* Written, and not durable yet. */
struct sim_write {
    enum sim_write_kind kind;
    uint64_t index; /* an entry replaces what is here and behind */
    struct sim_entry entry;
    struct raft_hard_state hard_state;
};

struct sim_disk {
    struct sim_log current; /* what reads see */
    struct sim_log durable;
    struct raft_hard_state hard_state; /* durable */
    struct sim_write *writes;
    uint32_t write_count, write_capacity;
    uint64_t writes_before;                       /* those that are durable already */
    uint64_t sync_writes;                         /* the sync in flight makes all up to here durable */
    uint64_t sync_seq;                            /* 0: none in flight */
    uint64_t wanted_seq;                          /* the next one; 0: none */
    struct sim_snapshot snapshots[SIM_SNAPSHOTS]; /* durable; index 0: free */
    struct sim_snapshot taking;
    struct sim_snapshot incoming;
    bool installing;
};

/* ---- the replicated state: some registers ---- */

struct sim_machine {
    uint64_t registers[SIM_REGISTERS];
    uint64_t applied;
    uint64_t chain; /* a hash of all that was applied, in order */
};

/* ---- nodes ---- */

struct sim_proposal {
    uint64_t index; /* 0: free */
    uint64_t term;
    uint64_t value;
};

struct sim_read {
    uint64_t id; /* 0: free */
    uint64_t least_index;
    uint64_t ready_index; /* 0: not confirmed yet */
};

struct sim_node {
    struct sim *sim;
    uint32_t slot;
    uint64_t id; /* 0: the slot is empty */
    bool running;
    uint32_t life; /* events of an earlier life do not count */
    struct raft_driver driver;
    struct sim_disk disk;
    struct sim_machine machine;
    struct sim_proposal proposals[SIM_PROPOSALS_MAX];
    struct sim_read reads[SIM_READS_MAX];
    uint64_t tick_us;
    uint64_t next_tick_us;
    uint64_t paused_until_us;
    bool turn_due;
    bool disk_failed;                /* nothing more comes from it in this life */
    uint64_t cut;                    /* bits of slots that its messages do not reach */
    uint64_t seen_term, seen_commit; /* check.c */
    bool was_leader;
};

/* ---- the world ---- */

enum sim_event_kind {
    SIM_EVENT_TICK,
    SIM_EVENT_TURN,
    SIM_EVENT_DELIVER,
    SIM_EVENT_SYNCED,
    SIM_EVENT_SNAPSHOT_TAKEN,
    SIM_EVENT_INSTALLED,
    SIM_EVENT_READABLE,
    SIM_EVENT_RESTART,
    SIM_EVENT_NEW_LEADER,
    SIM_EVENT_CLIENT,
    SIM_EVENT_FAULT,
    SIM_EVENT_HEAL,
};

struct sim_event {
    uint64_t at_us;
    uint64_t order; /* of those at one time */
    enum sim_event_kind kind;
    uint32_t slot;
    uint32_t life;
    uint8_t *bytes; /* a message's */
    size_t byte_count;
};

/* What is known to be committed, by index. */
struct sim_committed {
    uint64_t term; /* 0: not known */
    uint64_t hash;
    uint64_t chain;   /* 0: nobody has applied it */
    uint64_t at_term; /* of the leader that committed it */
    uint64_t value;   /* a write that was acknowledged; 0: none */
};

/* The weather of one seed. */
struct sim_weather {
    uint32_t founders;
    uint32_t loss_percent, repeat_percent, late_percent;
    uint32_t delay_us, late_us;
    uint32_t skew_percent;
    uint32_t sync_us, slow_sync_percent;
    uint32_t quick_restart_percent;
    uint32_t hasty_percent; /* new leaders that are told to change their members at once */
    uint32_t fault_gap_us;  /* from one fault to the next, about */
    uint32_t client_gap_us;
    uint32_t lazy_percent; /* turns that come later */
    struct raft_options raft;
};

struct sim {
    struct sim_options options;
    struct sim_result *result;
    jmp_buf *failed;
    struct random random;
    struct sim_weather weather;
    uint64_t now_us;
    uint64_t order;
    struct sim_event *events; /* a heap */
    uint32_t event_count, event_capacity;
    struct sim_node nodes[SIM_NODES_MAX];
    uint64_t last_id;
    bool healed;

    /* Clients. */
    uint64_t last_value;
    uint64_t last_read;
    uint64_t seen_index; /* everything up to here was acknowledged to somebody, or read by somebody */
    uint64_t acknowledged_after_heal;

    /* check.c */
    struct sim_committed *committed; /* SIM_INDEXES_MAX */
    uint64_t committed_max;
    struct raft_membership membership; /* the newest that is committed */
    uint64_t membership_index;
    uint64_t *leaders; /* by term, SIM_TERMS_MAX */

    struct raft_decoded decoded;
};

/* Runs one seed. Owner: nothing is left. */
void sim_run(const struct sim_options *options, struct sim_result *result);

/* Ends the run as failed. Does not return. */
_Noreturn void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line of the trace, when there is one. */
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* world.c */
void sim_event_add(struct sim *sim, const struct sim_event *event);
bool sim_chance(struct sim *sim, uint32_t percent);
bool sim_fault_on(const struct sim *sim, enum sim_fault fault);
uint64_t sim_about(struct sim *sim, uint64_t around); /* half to one and a half of it */
struct sim_node *sim_node_of(struct sim *sim, uint64_t id);
void sim_after(struct sim_node *node, enum sim_event_kind kind, uint64_t delay_us);

/* node.c */
void sim_node_start(struct sim_node *node);
void sim_node_stop(struct sim_node *node);
void sim_node_found(struct sim_node *node, uint64_t id, const struct raft_membership *founders);
void sim_node_turn(struct sim_node *node); /* now, or a little later */
struct sim_node *sim_leader(struct sim *sim);
void sim_node_close(struct sim_node *node);

/* disk.c */
struct raft_storage sim_storage(struct sim_node *node);
void sim_disk_open(struct sim *sim, struct sim_disk *disk);
void sim_disk_close(struct sim_disk *disk);
void sim_disk_crash(struct sim_node *node);
void sim_disk_wipe(struct sim_disk *disk);
uint64_t sim_disk_synced(struct sim_node *node); /* the sync in flight is done; its number */
void sim_disk_snapshot_taken(struct sim_node *node);
void sim_disk_installed(struct sim_node *node);
void sim_disk_reset_log(struct sim_node *node, uint64_t index, uint64_t term);
const struct sim_snapshot *sim_disk_newest(const struct sim_disk *disk);
const struct sim_entry *sim_log_entry(const struct sim_log *log, uint64_t index);

/* network.c */
struct raft_transport sim_transport(struct sim_node *node);
void sim_deliver(struct sim_node *node, const struct sim_event *event);

/* machine.c */
struct raft_application sim_application(struct sim_node *node);
uint32_t sim_machine_save(const struct sim_machine *machine, uint8_t *to);
void sim_machine_load(struct sim_machine *machine, const uint8_t *from);
void sim_client(struct sim *sim);

/* faults.c */
void sim_weather_draw(struct sim *sim);
void sim_fault_happens(struct sim *sim);
void sim_heal(struct sim *sim);
void sim_change_members(struct sim *sim, struct sim_node *leader);

/* check.c */
void sim_check_node(struct sim_node *node);
void sim_check_apply(struct sim_node *node, uint64_t index, const struct raft_entry *entry);
void sim_check_chain(struct sim_node *node);
void sim_check_end(struct sim *sim);
bool sim_at_rest(struct sim *sim);
uint64_t sim_hash(uint64_t seed, struct bytes bytes);

#endif
