/* shards/control/ocsp_cache.c - see ocsp_cache.h. Buckets by the first bytes of the fingerprint: it is a
 * SHA-256 of what an authority has signed, so nobody chooses buckets. */
#include "shards/control/ocsp_cache.h"

#include "core/base/clock.h"
#include "core/base/memory.h"

static uint32_t bucket_of(const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES])
{
    return ((uint32_t)fingerprint[0] << 8 | fingerprint[1]) % OCSP_CACHE_BUCKETS;
}

/* Where the pointer to that entry is, or would be. */
static struct ocsp_cached **find(struct ocsp_cache *cache, const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES])
{
    struct ocsp_cached **at = &cache->buckets[bucket_of(fingerprint)];
    while (*at != NULL && memcmp((*at)->fingerprint, fingerprint, OCSP_FINGERPRINT_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

static void drop(struct ocsp_cache *cache, struct ocsp_cached **at, struct block_pool *pool)
{
    struct ocsp_cached *entry = *at;
    *at = entry->next;
    cache->count--;
    cache->status_counts[entry->answer.status]--;
    block_release(pool, entry->response);
    memory_free(entry->subject);
    memory_free(entry);
}

void ocsp_cache_close(struct ocsp_cache *cache, struct block_pool *pool)
{
    for (uint32_t i = 0; cache->buckets != NULL && i < OCSP_CACHE_BUCKETS; i++) {
        while (cache->buckets[i] != NULL)
            drop(cache, &cache->buckets[i], pool);
    }
    memory_free(cache->buckets);
    *cache = (struct ocsp_cache){0};
}

struct peer_remembered ocsp_cache_get(struct ocsp_cache *cache,
                                      const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES])
{
    if (!cache->on)
        return (struct peer_remembered){0};
    const struct ocsp_cached *entry = cache->buckets == NULL ? NULL : *find(cache, fingerprint);
    if (entry == NULL) {
        cache->misses++;
        return (struct peer_remembered){0};
    }
    cache->hits++;
    return (struct peer_remembered){block_hold(entry->response), entry->response_count, entry->answer};
}

struct ocsp_cached *ocsp_cache_find(struct ocsp_cache *cache,
                                    const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES])
{
    return cache->buckets == NULL ? NULL : *find(cache, fingerprint);
}

static struct ocsp_cached *entry_make(struct bytes response, struct bytes subject, struct block_pool *pool)
{
    struct ocsp_cached *entry = memory_new(sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->response = block_take(pool, response.count);
    entry->subject = memory_copy(subject.data, subject.count);
    if (entry->response == NULL || entry->subject == NULL) {
        block_release(pool, entry->response);
        memory_free(entry->subject);
        memory_free(entry);
        return NULL;
    }
    memcpy(entry->response->bytes, response.data, response.count);
    entry->response_count = (uint32_t)response.count;
    return entry;
}

/* It is full: what holds no more goes, by the times that hold where nothing is configured; a revocation that
 * is to be kept stays. */
static void sweep(struct ocsp_cache *cache, struct block_pool *pool)
{
    int64_t now_ns = clock_wall_ns();
    if (cache->swept_ns != 0 && now_ns - cache->swept_ns < OCSP_CACHE_SWEEP_NS && now_ns >= cache->swept_ns)
        return;
    cache->swept_ns = now_ns;
    for (uint32_t i = 0; i < OCSP_CACHE_BUCKETS; i++) {
        for (struct ocsp_cached **at = &cache->buckets[i]; *at != NULL;) {
            const struct ocsp_answer *answer = &(*at)->answer;
            if (ocsp_answer_current(answer, now_ns, OCSP_SKEW_DEFAULT_NS, OCSP_LASTS_DEFAULT_NS) ||
                (answer->status == OCSP_STATUS_REVOKED && cache->preserve_revoked))
                at = &(*at)->next;
            else
                drop(cache, at, pool);
        }
    }
}

void ocsp_cache_put(struct ocsp_cache *cache, const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES],
                    struct bytes response, const struct ocsp_answer *answer, struct bytes subject,
                    struct block_pool *pool)
{
    if (!cache->on)
        return;
    if (cache->buckets == NULL)
        cache->buckets = memory_new(OCSP_CACHE_BUCKETS * sizeof cache->buckets[0]);
    struct ocsp_cached *entry = cache->buckets == NULL ? NULL : entry_make(response, subject, pool);
    if (entry == NULL)
        return;
    struct ocsp_cached **at = find(cache, fingerprint);
    if (*at != NULL)
        drop(cache, at, pool);
    if (cache->count == OCSP_CACHE_ENTRIES_MAX) {
        sweep(cache, pool);
        at = find(cache, fingerprint);
    }
    memcpy(entry->fingerprint, fingerprint, OCSP_FINGERPRINT_BYTES);
    entry->answer = *answer;
    entry->cached_ns = clock_wall_ns();
    entry->next = *at;
    *at = entry;
    cache->count++;
    cache->status_counts[answer->status]++;
    cache->dirty = true;
    if (cache->count > OCSP_CACHE_ENTRIES_MAX)
        drop(cache, at, pool);
}

void ocsp_cache_spoiled(struct ocsp_cache *cache, const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES],
                        const struct block *response, struct block_pool *pool)
{
    if (!cache->on || cache->buckets == NULL)
        return;
    struct ocsp_cached **at = find(cache, fingerprint);
    cache->misses++;
    cache->hits -= cache->hits > 0; /* the one that it was taken by, unless counting began anew meanwhile */
    if (*at == NULL || (*at)->response != response)
        return;
    if ((*at)->answer.status == OCSP_STATUS_REVOKED && cache->preserve_revoked)
        return;
    drop(cache, at, pool);
    cache->dirty = true;
}
