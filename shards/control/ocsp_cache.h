/* shards/control/ocsp_cache.h - what OCSP responders have said about peers, by certificate, so that not every
 * login asks them (spec/configuration.md 4.4, `ocsp_cache`; docs/ocsp.md 4). In the flow:
 *   peer_checks_mail_ask() -> ocsp_cache_get();  peer_checks_done() -> ocsp_cache_put(), ocsp_cache_spoiled()
 * At the bound: OCSP_CACHE_ENTRIES_MAX certificates; what holds no more makes room for another one, looked
 * for once in OCSP_CACHE_SWEEP_NS; else nothing is remembered of that. Thread: the control core's; responses
 * are counted blocks, so a thread that checks may still read one that was replaced.
 */
#ifndef SHARDS_CONTROL_OCSP_CACHE_H
#define SHARDS_CONTROL_OCSP_CACHE_H

#include "net/ocsp_cache_options.h"
#include "net/tls_peer_check.h"

enum { OCSP_CACHE_ENTRIES_MAX = 65536, OCSP_CACHE_BUCKETS = 4096 };

#define OCSP_CACHE_SWEEP_NS INT64_C(60000000000) /* all are looked at: some milliseconds */

struct ocsp_cached {
    struct ocsp_cached *next; /* of its bucket */
    struct block *response;
    uint32_t response_count;
    struct ocsp_answer answer;
    int64_t cached_ns; /* wall clock */
    uint8_t fingerprint[OCSP_FINGERPRINT_BYTES];
    char *subject; /* owned */
};

/* All zero is an empty one that is off. */
struct ocsp_cache {
    struct ocsp_cached **buckets; /* NULL: it is empty */
    uint32_t count;
    uint32_t status_counts[3]; /* by enum ocsp_status */
    uint64_t hits;
    uint64_t misses;
    int64_t swept_ns;      /* wall clock; 0: never */
    bool on;               /* of type "local" */
    bool preserve_revoked; /* what was revoked once is not forgotten */
    bool dirty;            /* its file does not say all */
};

void ocsp_cache_close(struct ocsp_cache *cache, struct block_pool *pool);

/* The response about that certificate, held for the caller; counted as a hit or a miss. */
struct peer_remembered ocsp_cache_get(struct ocsp_cache *cache,
                                      const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES]);

/* Remembers it in place of the one before; without memory, or at the bound, nothing. */
void ocsp_cache_put(struct ocsp_cache *cache, const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES],
                    struct bytes response, const struct ocsp_answer *answer, struct bytes subject,
                    struct block_pool *pool);

/* The entry itself, or NULL. */
struct ocsp_cached *ocsp_cache_find(struct ocsp_cache *cache,
                                    const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES]);

/* What was a hit was none: that response, which the caller still holds, does not hold any more. It is
 * forgotten, unless a revocation is kept, or another answer has come in its place: that one stays. */
void ocsp_cache_spoiled(struct ocsp_cache *cache, const uint8_t fingerprint[OCSP_FINGERPRINT_BYTES],
                        const struct block *response, struct block_pool *pool);

#endif
