/* core/base/arena.h - memory that is handed out piece by piece and given back all at once.
 * For what is built once and dies as a whole: a parsed configuration file, an options snapshot. What was in
 * it is wiped before it goes back, since passwords pass through. One thread's while it grows. At the bound:
 * an arena never hands out more than its `limit_bytes`; after that arena_new() says NULL. */
#ifndef CORE_BASE_ARENA_H
#define CORE_BASE_ARENA_H

#include "core/base/bytes.h"
#include "core/base/language.h"

#include <stddef.h>

struct arena_chunk; /* opaque */

/* All zero is an empty arena without a limit. */
struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used_bytes;          /* handed out so far */
    size_t limit_bytes;         /* 0: none */
    size_t chunk_bytes;         /* that are taken at once, for an arena that stays small; 0: 8 KiB */
};

/* `count` bytes of zeros, aligned for any type; NULL when memory or the limit is exhausted.
 * Owner: the arena, until arena_close(). */
MUST_USE void *arena_new(struct arena *arena, size_t count);

/* A copy of the bytes with a zero behind it; NULL as above. */
MUST_USE char *arena_copy(struct arena *arena, struct bytes bytes);

/* Wipes and frees everything; leaves all zero but the limit. Legal when empty. */
void arena_close(struct arena *arena);

#endif
