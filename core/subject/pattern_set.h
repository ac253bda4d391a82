/* core/subject/pattern_set.h - an immutable set of subject patterns, and the questions that permissions ask
 * of it. Made once in an arena, read by any thread: nothing is allocated, locked or changed by a question.
 *
 *     a.*.c, a.>  ->  root -a-> node(rest) -*-> node -c-> node(here)
 *
 * A trie like the index's (index_trie.h), but without what changes. Literal children stand in one hash table
 * for the whole set; a node names its parent, first child and next sibling, so walks need neither recursion
 * nor a stack: on the way back up the subject is read backwards. A walk meets each node at most once. At the
 * bound: PATTERN_SET_NODES_MAX tokens in all; more is ERR_FULL. Thread: any, to read. */
#ifndef CORE_SUBJECT_PATTERN_SET_H
#define CORE_SUBJECT_PATTERN_SET_H

#include "core/base/arena.h"
#include "core/base/err.h"

#include <stdint.h>

enum { PATTERN_SET_NODES_MAX = 1 << 24 };

struct pattern_node;

/* All zero is the empty set, which matches nothing. The arena owns what it points to. */
struct pattern_set {
    struct pattern_node *nodes; /* the root first */
    uint32_t *slots;            /* literal children by parent and token: numbers of nodes, 0 is free */
    uint32_t node_count;
    uint32_t slot_count; /* a power of two */
    uint32_t pattern_count;
};

/* Makes the set of `count` valid patterns; the arena keeps copies of nothing: the patterns' bytes must live
 * as long. ERR_MEMORY, ERR_FULL. */
MUST_USE enum err pattern_set_make(struct pattern_set *set, const struct bytes *patterns, uint32_t count,
                                   struct arena *arena);

/* Whether some pattern matches a subject that was published: its bytes literal, a subject with an empty token
 * matches none. Cost: one or two look-ups for each token of it, as long as `*` and literals do not stand side
 * by side on many levels. */
bool pattern_set_matches(const struct pattern_set *set, struct bytes subject);

/* Whether every subject that `pattern` can match is matched by some pattern of the set: exact also where only
 * several patterns together do it: `a.*` and `a.*.>` cover `a.>`. */
bool pattern_set_covers(const struct pattern_set *set, struct bytes pattern);

/* Whether some subject is matched by `pattern` and by some pattern of the set. */
bool pattern_set_collides(const struct pattern_set *set, struct bytes pattern);

#endif
