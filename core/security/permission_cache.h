/* core/security/permission_cache.h - what permissions said about a subject, so that they are asked once for
 * each: one for a thread, shared by all its connections and by both directions.
 * In the flow:  client_publish() -> permission_cache_publish();  client_takes() -> permission_cache_deliver()
 * It holds no pointer that it follows, but tells one user's permissions from another's by their address:
 * forget all when a snapshot goes. At the bound: PERMISSION_CACHE_ENTRIES; a subject longer than an entry
 * holds is asked for each time. One thread's. */
#ifndef CORE_SECURITY_PERMISSION_CACHE_H
#define CORE_SECURITY_PERMISSION_CACHE_H

#include "core/base/language.h"
#include "core/security/permissions.h"

enum {
    PERMISSION_CACHE_WAYS = 2,
    PERMISSION_CACHE_ENTRIES = 2048, /* a power of two; 128 KiB, taken when the first is needed */
    PERMISSION_CACHE_SUBJECT_BYTES = 50,
};

struct permission_cache_entry;

/* That a control line's subject is allowed; lines are told apart by their serials, which are never used
 * twice. */
struct permission_line {
    const struct permission_direction *whose;
    uint64_t serial;
};
enum { PERMISSION_LINES = 8192 }; /* 128 KiB, with the entries */

/* All zero but for `seed` is empty. */
struct permission_cache {
    struct permission_line *lines;          /* NULL as `entries` */
    struct permission_cache_entry *entries; /* NULL: not needed so far, or no memory for it */
    uint64_t seed; /* of the hashes; not to be guessed by clients (core/base/hash.h) */
};

/* permissions_publish() and, for subscriptions without a queue, permissions_deliver(). Cost when known: a
 * hash and a comparison. */
bool permission_cache_publish(struct permission_cache *cache, const struct security_permissions *permissions,
                              struct bytes subject);
bool permission_cache_deliver(struct permission_cache *cache, const struct security_permissions *permissions,
                              struct bytes subject);

/* One user's permissions are about to go, and somebody else's may come to lie there. Cost: a walk through the
 * cache, some 10 us. */
void permission_cache_forget_one(struct permission_cache *cache,
                                 const struct security_permissions *permissions);

/* A snapshot is about to go. */
void permission_cache_forget(struct permission_cache *cache);

void permission_cache_close(struct permission_cache *cache);

/* ---- inline: before the cache itself is asked ---- */

/* Its place: users, and a user's two directions, do not push each other out for one line. */
static ALWAYS_INLINE struct permission_line *permission_line_at(const struct permission_cache *cache,
                                                                const struct permission_direction *whose,
                                                                uint64_t serial)
{
    uint64_t mixed = serial ^ ((uintptr_t)whose * 0x9e3779b97f4a7c15ULL >> 40);
    return &cache->lines[mixed % PERMISSION_LINES];
}

/* Whether that line was noted as allowed. */
static ALWAYS_INLINE bool permission_line_known(const struct permission_cache *cache,
                                                const struct permission_direction *whose, uint64_t serial)
{
    if (UNLIKELY(serial == 0 || cache->lines == NULL))
        return false;
    const struct permission_line *line = permission_line_at(cache, whose, serial);
    return line->serial == serial && line->whose == whose;
}

/* It is allowed. */
static ALWAYS_INLINE void permission_line_note(struct permission_cache *cache,
                                               const struct permission_direction *whose, uint64_t serial)
{
    if (LIKELY(cache->lines != NULL))
        *permission_line_at(cache, whose, serial) = (struct permission_line){whose, serial};
}

#endif
