/* raft/types.h - the words of consensus: entries, what must be durable, and the bounds that tie them.
 * In the flow: shared by the machine (raft.h), its messages (message.h) and the driver. No I/O, no time.
 * Indexes count entries from 1, 0 is "before the first"; terms from 1, 0 is "none"; so do the ids of nodes.
 */
#ifndef RAFT_TYPES_H
#define RAFT_TYPES_H

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* Numbers above this are not valid in a message: nobody counts so far, and adding to them never overflows. */
#define RAFT_NUMBER_MAX (UINT64_MAX >> 2)

enum raft_entry_kind {
    RAFT_ENTRY_DATA,       /* the state machine's */
    RAFT_ENTRY_NOOP,       /* a leader's first entry (dissertation 6.4: it must commit in its own term) */
    RAFT_ENTRY_MEMBERSHIP, /* who belongs to the group; in force as soon as it is in the log */
    RAFT_ENTRY_KINDS,
};

/* Its index follows from where it stands. */
struct raft_entry {
    uint64_t term;
    enum raft_entry_kind kind;
    struct bytes data; /* the owner is whoever handed it in; nothing here keeps the pointer past the call */
};

/* Paper figure 2, "persistent state". `commit_index` need not be durable for safety; that it is, now and
 * then, lets a restarted node apply, and so compact, before it is led. */
struct raft_hard_state {
    uint64_t term;
    uint64_t voted_for; /* 0: nobody in this term */
    uint64_t commit_index;
};

/* What became of an event. */
enum raft_result {
    RAFT_OK,
    RAFT_NOT_LEADER, /* ask raft_status() who is */
    RAFT_NOT_READY,  /* a new leader that has committed nothing yet; a learner that is too far behind */
    RAFT_BUSY,       /* a bound is reached, or one change or transfer is under way; later */
    RAFT_INVALID,    /* nonsense; nothing was done */
    RAFT_VIOLATION,  /* a peer contradicts what is committed: never in a correct group; nothing was done */
    RAFT_FAILED,     /* this node's disk failed and it has halted */
};

#endif
