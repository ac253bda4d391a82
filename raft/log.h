/* raft/log.h - what the machine knows of each entry of the log: term, kind and size. The bytes are the
 * driver's: a machine that does not hold them needs no cache policy, never copies, and never allocates.
 * A ring of fixed capacity. At the bound: raft_log_room() is 0, the leader answers RAFT_BUSY, a follower
 * takes no more until a snapshot allows compaction. One thread's. */
#ifndef RAFT_LOG_H
#define RAFT_LOG_H

#include "core/base/err.h"
#include "raft/types.h"

struct raft_log_slot {
    uint64_t term;
    uint32_t data_bytes;
    uint32_t kind; /* enum raft_entry_kind */
};

/* Entries [first_index, last_index]; none when last_index is first_index - 1. What stood before is in a
 * snapshot. */
struct raft_log {
    struct raft_log_slot *slots;
    uint64_t capacity; /* a power of two */
    uint64_t first_index;
    uint64_t last_index;
    uint64_t before_term; /* of the entry at first_index - 1 */
};

/* An empty log. `capacity` is a power of two. ERR_MEMORY: nothing is held. */
MUST_USE enum err raft_log_init(struct raft_log *log, uint64_t capacity);
void raft_log_close(struct raft_log *log);

uint64_t raft_log_room(const struct raft_log *log);

/* The term of an entry, and of the one before the first; 0 for every other index but 0, which has term 0. */
uint64_t raft_log_term(const struct raft_log *log, uint64_t index);
uint64_t raft_log_last_term(const struct raft_log *log);

/* Whether `index` is in the log or just before it, with this term. */
bool raft_log_matches(const struct raft_log *log, uint64_t index, uint64_t term);

/* The index must be in the log. */
const struct raft_log_slot *raft_log_slot(const struct raft_log *log, uint64_t index);

/* Needs room. */
void raft_log_append(struct raft_log *log, const struct raft_entry *entry);

/* Forgets entries behind `last_index`. */
void raft_log_truncate(struct raft_log *log, uint64_t last_index);

/* Forgets entries up to and with `index`. */
void raft_log_compact(struct raft_log *log, uint64_t index);

/* Forgets everything; the next entry is the one behind `index`, which had `term`. */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term);

/* The last index up to `index` whose term is at most `term` and that the log knows, else first_index - 1:
 * where two logs may still agree (paper 5.3, the end). Both sides use it, so a whole run of entries of one
 * term costs one message. Cost: the entries that it passes. */
uint64_t raft_log_agreement(const struct raft_log *log, uint64_t index, uint64_t term);

#endif
