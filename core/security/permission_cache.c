/* core/security/permission_cache.c - see permission_cache.h: pairs of entries of one cache line each, found
 * by hash. Nothing moves on a hit; of a pair the one that did not come last makes room. */
#include "core/security/permission_cache.h"

#include "core/base/hash.h"
#include "core/base/language.h"
#include "core/base/memory.h"

struct permission_cache_entry {
    const void *whose; /* one direction of one user's permissions; NULL: free */
    uint32_t hash;
    uint8_t subject_count;
    uint8_t allowed;
    uint8_t subject[PERMISSION_CACHE_SUBJECT_BYTES];
};
_Static_assert(sizeof(struct permission_cache_entry) == CACHE_LINE_BYTES, "an entry is a cache line");
_Static_assert((PERMISSION_CACHE_ENTRIES & (PERMISSION_CACHE_ENTRIES - 1)) == 0,
               "entries are found by a mask");

static ALWAYS_INLINE struct permission_cache_entry *set_of(struct permission_cache *cache, const void *whose,
                                                           uint64_t hash)
{
    uint64_t mixed = hash ^ ((uintptr_t)whose * 0x9e3779b97f4a7c15ULL >> 32);
    size_t at = mixed & (PERMISSION_CACHE_ENTRIES / PERMISSION_CACHE_WAYS - 1);
    return &cache->entries[at * PERMISSION_CACHE_WAYS];
}

static ALWAYS_INLINE bool is_about(const struct permission_cache_entry *entry, const void *whose,
                                   uint32_t hash, struct bytes subject)
{
    return entry->whose == whose && entry->hash == hash &&
           bytes_equal_short(bytes_of(entry->subject, entry->subject_count), subject);
}

/* The entry that answers; NULL: none does. */
static ALWAYS_INLINE const struct permission_cache_entry *
find(const struct permission_cache_entry *set, const void *whose, uint32_t hash, struct bytes subject)
{
    if (LIKELY(is_about(&set[0], whose, hash, subject)))
        return &set[0];
    return is_about(&set[1], whose, hash, subject) ? &set[1] : NULL;
}

/* The newest stands first. */
static void note(struct permission_cache_entry *set, const void *whose, uint32_t hash, struct bytes subject,
                 bool allowed)
{
    set[1] = set[0];
    set[0] = (struct permission_cache_entry){
        .whose = whose, .hash = hash, .subject_count = (uint8_t)subject.count, .allowed = allowed};
    memcpy(set[0].subject, subject.data, subject.count);
}

/* Whether a subject of that length can be kept at all. */
static ALWAYS_INLINE bool cached(struct permission_cache *cache, struct bytes subject)
{
    if (subject.count == 0 || subject.count > PERMISSION_CACHE_SUBJECT_BYTES)
        return false;
    if (UNLIKELY(cache->entries == NULL)) {
        cache->entries = memory_new_aligned(PERMISSION_CACHE_ENTRIES * sizeof cache->entries[0]);
        if (cache->lines == NULL)
            cache->lines = memory_new(PERMISSION_LINES * sizeof cache->lines[0]);
    }
    return cache->entries != NULL;
}

bool permission_cache_publish(struct permission_cache *cache, const struct security_permissions *permissions,
                              struct bytes subject)
{
    if (UNLIKELY(!cached(cache, subject)))
        return permissions_publish(permissions, subject);
    uint64_t hash = hash_bytes(subject, cache->seed);
    struct permission_cache_entry *set = set_of(cache, &permissions->publish, hash);
    const struct permission_cache_entry *known =
        find(set, &permissions->publish, (uint32_t)(hash >> 32), subject);
    if (LIKELY(known != NULL))
        return known->allowed;
    bool allowed = permissions_publish(permissions, subject);
    note(set, &permissions->publish, (uint32_t)(hash >> 32), subject, allowed);
    return allowed;
}

bool permission_cache_deliver(struct permission_cache *cache, const struct security_permissions *permissions,
                              struct bytes subject)
{
    if (UNLIKELY(!cached(cache, subject)))
        return permissions_deliver(permissions, subject, (struct bytes){0});
    uint64_t hash = hash_bytes(subject, cache->seed);
    struct permission_cache_entry *set = set_of(cache, &permissions->subscribe, hash);
    const struct permission_cache_entry *known =
        find(set, &permissions->subscribe, (uint32_t)(hash >> 32), subject);
    if (LIKELY(known != NULL))
        return known->allowed;
    bool allowed = permissions_deliver(permissions, subject, (struct bytes){0});
    note(set, &permissions->subscribe, (uint32_t)(hash >> 32), subject, allowed);
    return allowed;
}

void permission_cache_forget_one(struct permission_cache *cache,
                                 const struct security_permissions *permissions)
{
    const void *publish = &permissions->publish, *subscribe = &permissions->subscribe;
    for (size_t i = 0; cache->entries != NULL && i < PERMISSION_CACHE_ENTRIES; i++) {
        if (cache->entries[i].whose == publish || cache->entries[i].whose == subscribe)
            cache->entries[i].whose = NULL;
    }
    for (size_t i = 0; cache->lines != NULL && i < PERMISSION_LINES; i++) {
        if (cache->lines[i].whose == publish || cache->lines[i].whose == subscribe)
            cache->lines[i].whose = NULL;
    }
}

void permission_cache_forget(struct permission_cache *cache)
{
    if (cache->entries != NULL)
        memset(cache->entries, 0, PERMISSION_CACHE_ENTRIES * sizeof cache->entries[0]);
    if (cache->lines != NULL)
        memset(cache->lines, 0, PERMISSION_LINES * sizeof cache->lines[0]);
}

void permission_cache_close(struct permission_cache *cache)
{
    memory_free(cache->entries);
    memory_free(cache->lines);
    *cache = (struct permission_cache){.seed = cache->seed};
}
