/* core/base/hash.h - the hash of subjects, sids and keys: XXH3 (xxhash), inlined because subjects are short.
 * Subjects and sids come from outside, and XXH3 is public: whoever could compute a table's hashes could fill
 * one bucket of it. So each table hashes with a seed of its own, secret and random; equal bytes in two
 * tables, or two processes, have hashes that have nothing to do with each other. */
#ifndef CORE_BASE_HASH_H
#define CORE_BASE_HASH_H

#include "core/base/bytes.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* `seed` is the table's, from random_secure(). */
static inline uint64_t hash_bytes(struct bytes bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.count, seed);
}

#endif
