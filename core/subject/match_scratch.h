/* core/subject/match_scratch.h - where a match is put together before the cache keeps it: the interests
 * found, the trie nodes still to be visited, the queue groups by name. One per match cache, grows as needed
 * and is kept, so that in the steady state a look-up allocates nothing. One thread's. */
#ifndef CORE_SUBJECT_MATCH_SCRATCH_H
#define CORE_SUBJECT_MATCH_SCRATCH_H

#include "core/subject/index.h"

struct index_node;

/* A trie node to visit, and where in the subject its next token starts. */
struct match_step {
    const struct index_node *node;
    size_t start;
};

/* All zero is empty. */
struct match_scratch {
    struct interest **found;
    size_t found_count;
    size_t found_capacity;
    struct match_step *waiting; /* at most one per token of the subject: 32768 */
    size_t waiting_count;
    size_t waiting_capacity;

    /* Filled by match_scratch_merge(). */
    struct queue_group **parts; /* in the order found */
    uint32_t *part_group;       /* the number of each part's group, from 0 */
    uint32_t *group_first;      /* per group: its first part */
    uint32_t *group_part_count; /* per group */
    uint32_t *seats;            /* hash table of groups by name: group + 1, or 0 */
    size_t part_count;
    size_t group_count;
    size_t part_capacity; /* of the arrays above; seats has twice as many */
};

void match_scratch_close(struct match_scratch *scratch);

/* Memory held. */
size_t match_scratch_bytes(const struct match_scratch *scratch);

/* Sorts the queue groups of scratch->found by name: all of one name are one group, under whatever patterns
 * (spec/client-protocol.md 7.2). */
MUST_USE enum err match_scratch_merge(struct match_scratch *scratch);

/* ---- inline: in the loop of the trie ---- */

MUST_USE bool match_scratch_grow_found(struct match_scratch *scratch);
MUST_USE bool match_scratch_grow_waiting(struct match_scratch *scratch);

/* Notes an interest that matches; false when memory is out. */
MUST_USE static inline bool match_scratch_found(struct match_scratch *scratch, struct interest *interest)
{
    if (UNLIKELY(scratch->found_count == scratch->found_capacity) && !match_scratch_grow_found(scratch))
        return false;
    scratch->found[scratch->found_count++] = interest;
    return true;
}

/* Notes a node to visit later; false when memory is out. */
MUST_USE static inline bool match_scratch_wait(struct match_scratch *scratch, const struct index_node *node,
                                               size_t start)
{
    if (UNLIKELY(scratch->waiting_count == scratch->waiting_capacity) && !match_scratch_grow_waiting(scratch))
        return false;
    scratch->waiting[scratch->waiting_count++] = (struct match_step){node, start};
    return true;
}

#endif
