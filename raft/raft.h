/* raft/raft.h - consensus as a pure state machine: events in, an update out (docs/raft.md).
 * In the flow:  world -> driver -> raft_step() per event -> raft_update() once per turn -> driver -> world
 * It knows no clock, file, socket or random source: time is a count of ticks, and the seed of its election
 * timeouts is the caller's. It allocates in raft_new() only. What promises something durable leaves it only
 * after the driver has said that it is durable, so every message of an update may be sent at once.
 * One thread's. */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include "core/base/err.h"
#include "raft/membership.h"
#include "raft/message.h"
#include "raft/progress.h"
#include "raft/types.h"

/* 1 in the simulator's build only, which proves that it notices broken rules (tests/sim). */
#ifndef MYELIN_RAFT_SABOTAGE
#define MYELIN_RAFT_SABOTAGE 0
#endif

enum {
    RAFT_READS_MAX = 256,           /* reads that wait; RAFT_BUSY above */
    RAFT_UPDATE_MESSAGES_MAX = 256, /* in one update; `more` says that others wait */
    RAFT_ENTRIES_PER_MESSAGE_MAX = 1024,
};

struct raft; /* opaque */

/* All sizes in bytes, all times in ticks. What is 0 here is not valid, except where it says so. */
struct raft_options {
    uint64_t id;
    uint64_t random_seed;    /* differs from node to node, else they all stand for election together */
    uint32_t election_ticks; /* silence before candidacy: from this to twice this */
    uint32_t
        candidate_ticks; /* without a majority, before it stands again: likewise; at least election_ticks */
    uint32_t heartbeat_ticks; /* below election_ticks */
    uint32_t commit_ticks; /* a commit index that no entries carry is told so late; 0: at once. With the next
                            * heartbeat in any case */
    uint32_t lease_ticks; /* a leader that hears no majority for so long steps down; at most election_ticks */
    bool lease_reads;     /* read without a round while the lease holds: trusts clocks to run alike within
                           * election_ticks / lease_ticks */
    uint64_t log_entries_max;   /* a power of two; memory is 16 bytes for each */
    uint64_t trailing_entries;  /* kept behind a snapshot for peers that are a little late; may be 0 */
    uint64_t snapshot_entries;  /* a snapshot is asked for after so many; 0: only when the log is half full */
    uint64_t snapshot_bytes;    /* or so much data; 0: no such rule */
    uint32_t entry_bytes_max;   /* a proposal above it is refused */
    uint32_t append_bytes;      /* one message's entries; a larger entry goes alone */
    uint32_t append_entries;    /* at most RAFT_ENTRIES_PER_MESSAGE_MAX */
    uint32_t window;            /* appends in flight per peer, at most RAFT_WINDOW_MAX */
    uint64_t window_bytes;      /* and bytes */
    uint64_t uncommitted_bytes; /* proposals above it get RAFT_BUSY */
    uint64_t apply_bytes;       /* one update's entries to apply; at least one */
    uint32_t chunk_bytes;       /* of a snapshot */
    uint32_t chunk_window;      /* chunks in flight per peer */
    uint64_t promote_lag;       /* a learner may vote when it lacks at most so many committed entries */
#if MYELIN_RAFT_SABOTAGE
    uint32_t broken_rules; /* enum raft_rule, sabotage.h */
#endif
};

/* Sensible values for everything but `id` and `random_seed`. */
struct raft_options raft_options_default(void);

enum raft_event_kind {
    RAFT_EVENT_TICK,
    RAFT_EVENT_MESSAGE,
    RAFT_EVENT_PROPOSE,
    RAFT_EVENT_PERSISTED,
    RAFT_EVENT_PERSIST_FAILED, /* nothing is known of the disk any more: the node halts */
    RAFT_EVENT_APPLIED,
    RAFT_EVENT_READ,
    RAFT_EVENT_TRANSFER,
    RAFT_EVENT_CHANGE,
    RAFT_EVENT_CAMPAIGN, /* stand for election now (with pre-vote); RAFT_OK also when it may not */
    RAFT_EVENT_UNREACHABLE,
    RAFT_EVENT_LEADER_GONE, /* its process has ended, as far as this node can tell */
    RAFT_EVENT_SNAPSHOT_TAKEN,
    RAFT_EVENT_SNAPSHOT_FAILED,
    RAFT_EVENT_SNAPSHOT_INSTALLED,
    RAFT_EVENT_INSTALL_FAILED,
};

struct raft_event {
    enum raft_event_kind kind;
    union {
        const struct raft_message *message;
        struct {
            struct raft_entry *entries; /* kind RAFT_ENTRY_DATA; the machine writes their terms */
            uint32_t count;             /* all of them are taken, or none */
        } propose;
        uint64_t persist_seq;   /* all updates up to this one are durable */
        uint64_t applied_index; /* the state machine has all up to this */
        uint64_t read_id;       /* the caller's; comes back in an update's reads */
        uint64_t peer;          /* TRANSFER (0: whoever is furthest), UNREACHABLE, LEADER_GONE */
        struct raft_change change;
        struct {
            uint64_t index; /* of the update that asked for it */
            uint64_t size_bytes;
        } snapshot; /* durable */
    };
};

/* What the driver has to put into its log and its half-received snapshot, before the next step: pointers are
 * the event's or the machine's. */
struct raft_taken {
    uint64_t first_index; /* entries from here on replace all that the log has there and behind */
    const struct raft_entry *entries;
    uint32_t entry_count;           /* 0: none */
    const struct raft_chunk *chunk; /* NULL: none. Offset 0 drops what had been received of another */
};

struct raft_read_state {
    uint64_t id;
    uint64_t index; /* may be answered from a state machine that has applied so much */
    bool failed;    /* leadership was lost: try elsewhere */
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER, RAFT_HALTED, RAFT_ROLES };

/* In this order: log and hard state to the disk (start), messages out, apply. Valid until the next step. */
struct raft_update {
    /* Not 0: what raft_taken brought since the last update, then `hard_state`, are to be made durable in that
     * order; answer with PERSISTED and this number. Later numbers may be answered first, for they include it.
     */
    uint64_t persist_seq;
    struct raft_hard_state hard_state;
    bool hard_state_changed;

    const struct raft_message *messages; /* may leave at once, in this order */
    uint32_t message_count;

    uint64_t apply_first; /* entries to apply, in order; answer with APPLIED. None when apply_count is 0 */
    uint64_t apply_count;

    const struct raft_read_state *reads;
    uint32_t read_count;

    /* Not NULL: begin a snapshot of exactly the applied state now; answer with SNAPSHOT_TAKEN when it is
     * durable. Its size is not known yet. */
    const struct raft_snapshot *take_snapshot;
    /* Not NULL: all chunks are there. Make it durable, then make the log begin behind it, then answer with
     * SNAPSHOT_INSTALLED. Messages may be stepped meanwhile. */
    const struct raft_snapshot *install_snapshot;

    uint64_t log_first;       /* entries below may be dropped from the log */
    uint64_t snapshot_newest; /* all snapshots but these two, and what is being taken, may be deleted */
    uint64_t snapshot_sent;   /* 0: none */

    bool role_changed; /* look at raft_status(): role, leader or `removed` */
    bool more;         /* a bound was reached: call raft_update() again */
};

struct raft_peer_status {
    uint64_t id;
    enum raft_progress_state state;
    uint64_t match_index;
    uint64_t next_index;
    uint64_t contact_ticks_ago;
    uint64_t snapshot_bytes; /* acknowledged, while one is sent */
    bool learner;
};

/* For monitoring and tests. */
struct raft_status {
    uint64_t id;
    enum raft_role role;
    uint64_t term;
    uint64_t voted_for;
    uint64_t leader;       /* 0: not known */
    uint64_t silent_ticks; /* since a follower heard a leader, or gave a vote */
    uint64_t first_index;
    uint64_t last_index;
    uint64_t last_term;
    uint64_t persisted_index;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t snapshot_index;
    uint64_t transfer_to;
    uint64_t dropped_messages; /* at the bound of raft_update()'s messages */
    uint64_t violations;       /* messages that contradict what is committed */
    bool removed;              /* it is committed that this node is no member any more; it stands no more */
    const struct raft_membership *membership;        /* in force, committed or not */
    uint64_t membership_index;                       /* of the entry, or the snapshot, that says so */
    struct raft_peer_status peers[RAFT_MEMBERS_MAX]; /* a leader's */
    uint32_t peer_count;
};

/* What a node finds on its disk. All zero: a node that was never part of a group. */
struct raft_durable {
    struct raft_hard_state hard_state;
    struct raft_snapshot snapshot;
    uint64_t log_first;       /* the index of the log's first entry; 0 is taken for 1 */
    uint64_t log_before_term; /* the term of the entry before it; 0 when that is index 0 */
};

/* A machine from what is durable: then raft_restore() for each entry of the log, in order, then raft_start().
 * ERR_INVALID: options or state that cannot be; ERR_MEMORY. Owner: the caller, raft_free(). */
MUST_USE enum err raft_new(const struct raft_options *options, const struct raft_durable *durable,
                           struct raft **raft);

/* ERR_INVALID; ERR_FULL: more entries than the options allow, so the log was written with others. */
MUST_USE enum err raft_restore(struct raft *raft, const struct raft_entry *entry);

/* `applied_index`: what the state machine has already; at least the snapshot's index. `log_discarded`: the
 * log does not hold the snapshot's last entry (the node stopped while it installed one); before anything else
 * the driver makes its log begin behind the snapshot, as after install_snapshot. ERR_INVALID as above. */
MUST_USE enum err raft_start(struct raft *raft, uint64_t applied_index, bool *log_discarded);

/* NULL is allowed. */
void raft_free(struct raft *raft);

/* The first entry of a new group's log, the same on every founding node; `data` is RAFT_MEMBERSHIP_BYTES_MAX
 * bytes of the caller's, which the entry points into. A founding node starts from hard state {term 1} and
 * this entry; one that joins later starts from nothing. */
struct raft_entry raft_bootstrap_entry(const struct raft_membership *founders, uint8_t *data);

/* One event. `taken` is always written. PROPOSE: the entries' place is taken->first_index. */
enum raft_result raft_step(struct raft *raft, const struct raft_event *event, struct raft_taken *taken);

/* All that has to be done since the last one; not empty only if there is something. */
void raft_update(struct raft *raft, struct raft_update *update);

void raft_status(const struct raft *raft, struct raft_status *status);

/* Term and kind of an entry that the log still has; false otherwise. */
bool raft_entry_term(const struct raft *raft, uint64_t index, uint64_t *term, enum raft_entry_kind *kind);

#endif
