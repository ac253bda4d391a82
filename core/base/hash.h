/* core/base/hash.h - the hash of subjects, sids and keys: XXH3 (xxhash), inlined because subjects are short.
 */
#ifndef CORE_BASE_HASH_H
#define CORE_BASE_HASH_H

#include "core/base/bytes.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t hash_bytes(struct bytes bytes)
{
    return XXH3_64bits(bytes.data, bytes.count);
}

#endif
