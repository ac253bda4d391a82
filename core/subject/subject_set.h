/* core/subject/subject_set.h - literal subjects, each with the numbers that have put it there: what other
 * clusters do not want (shards/gateways.h). For many more subjects than an index could afford, which has room
 * for subscribers beside each.
 *
 *     subject_set_add() / subject_set_remove() / subject_set_remove_matching() -> entries, one per subject
 *     publish -> subject_set_find() -> bits: the numbers that have it
 *
 * An entry is its subject behind 14 bytes (hash, bits, length); the table takes 11 to 23 bytes for each, and
 * half as many again while it grows (index_table.h: in steps, so no change waits for the others). Equal bytes
 * are the only match: a wildcard would never be found, so callers keep them out. At the bound: a subject over
 * 65535 bytes is ERR_FULL; how many there are is the caller's to bound; memory out is ERR_MEMORY, and
 * nothing has changed. Thread: one. */
#ifndef CORE_SUBJECT_SUBJECT_SET_H
#define CORE_SUBJECT_SUBJECT_SET_H

#include "core/base/bytes.h"
#include "core/base/err.h"

enum { SUBJECT_SET_NUMBERS = 64, SUBJECT_SET_TEXT_BYTES_MAX = 65535 };

struct subject_set; /* opaque */

/* Owner: the caller, until subject_set_free(). NULL when memory is out, or the kernel has no random bytes for
 * its seed. */
MUST_USE struct subject_set *subject_set_new(void);

/* With all that is in it. NULL is allowed. */
void subject_set_free(struct subject_set *set);

/* Puts it there for that number; the bytes are copied. `*added`: it was not there for it before. ERR_MEMORY,
 * ERR_FULL: nothing has changed, `*added` is false. */
MUST_USE enum err subject_set_add(struct subject_set *set, struct bytes subject, unsigned number,
                                  bool *added);

/* Takes it away for that number. Whether it was there. */
bool subject_set_remove(struct subject_set *set, struct bytes subject, unsigned number);

/* Takes away for that number all that `pattern` matches, and tells how many. Walks the whole set. */
uint32_t subject_set_remove_matching(struct subject_set *set, struct bytes pattern, unsigned number);

/* Takes away all of that number, as far as some `*looks` looks at subjects go, of which it takes off what it
 * has used; seldom a dozen more. `cursor` begins as 0; true: all of it is away. Between two calls the set may
 * change, but nothing may be added for that number. */
MUST_USE bool subject_set_clear(struct subject_set *set, unsigned number, uint32_t *looks, uint32_t *cursor);

/* Bits: the numbers that have put this subject there. Cost: one hash, one line of the table, and one or two
 * of the entry when it is there. */
uint64_t subject_set_find(const struct subject_set *set, struct bytes subject);

struct subject_set_figures {
    uint64_t subjects; /* distinct */
    uint64_t bytes;    /* memory asked for: the allocator rounds each entry up */
};
struct subject_set_figures subject_set_figures(const struct subject_set *set);

#endif
