/* core/subject/index_table.h - the hash table of the index: interests by pattern, trie nodes by parent and
 * token, queue groups by interest and name. Intrusive: an element embeds its 32-bit hash and the table holds
 * pointers to these hashes; CONTAINER_OF() leads back to the element.
 *
 * A bucket is one cache line: seven elements, a byte of hash for each, and the count of those that found it
 * full and went on to a next bucket. So a look-up costs one line here and one for the element, present or
 * not.
 *
 *     tags:  bits 8i .. 8i+7    0x80 | the top 7 bits of the hash of items[i]; 0 when that is free
 *            bits 56 .. 63      how many passed by; 255 means "255 or more, no longer counted"
 *
 * Growing and shrinking are spread over the changes that follow: beside the new array stands the old one, and
 * each change moves OLD_BUCKETS_PER_CHANGE of its buckets, so no single subscription waits for a million
 * others. At the bound: when memory for a larger array is out it fills up to 15/16, then refuses. One
 * thread's. */
#ifndef CORE_SUBJECT_INDEX_TABLE_H
#define CORE_SUBJECT_INDEX_TABLE_H

#include "core/base/err.h"
#include "core/base/language.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INDEX_BUCKET_ITEMS = 7, INDEX_BUCKET_PASSED_SHIFT = 56 };

struct index_bucket {
    uint64_t tags;
    uint32_t *items[INDEX_BUCKET_ITEMS];
};
_Static_assert(sizeof(struct index_bucket) == CACHE_LINE_BYTES, "a bucket is one cache line");

struct index_buckets {
    struct index_bucket *at; /* NULL: none */
    void *memory;            /* what was allocated; `at` is its first whole line */
    size_t mask;             /* count - 1; the count is a power of two */
};

/* All zero is empty. */
struct index_table {
    struct index_buckets now;
    struct index_buckets old; /* while elements move from here to `now` */
    size_t old_moved;         /* buckets of `old` that are empty already, from 0 */
    size_t count;
};

/* Frees the table, not its elements; leaves it all zero. */
void index_table_close(struct index_table *table);

/* Makes room for one index_table_put(). ERR_MEMORY: nothing has changed. */
MUST_USE enum err index_table_reserve(struct index_table *table);

/* Puts an element that is not in it. Needs a reserve before. */
void index_table_put(struct index_table *table, uint32_t *item);

/* Takes out an element that is in it. */
void index_table_erase(struct index_table *table, uint32_t *item);

/* Walks all; `at` starts NULL; NULL at the end. No change meanwhile. */
uint32_t *index_table_next(const struct index_table *table, uint32_t *at);

/* One step of a walk that survives changes between its steps. It goes by the hashes' low bits, and counts the
 * highest of these first, so that the elements of a bucket of the small array are those of a few buckets of a
 * larger one, which come one behind the other: what has been visited stays visited whatever the size becomes.
 * Visits what has the hashes of one bucket of the smaller array; returns the next cursor, 0 at the end.
 * `visit` must not change the table. */
typedef void index_table_visit(void *context, uint32_t *item);
uint32_t index_table_step(const struct index_table *table, uint32_t cursor, index_table_visit *visit,
                          void *context);

/* Memory held. */
size_t index_table_bytes(const struct index_table *table);

/* ---- inline: the look-up, so that the comparison is no call ---- */

static const uint64_t index_bucket_ones = 0x0001010101010101ULL;
static const uint64_t index_bucket_tops = 0x0080808080808080ULL;

static inline uint64_t index_tag_of(uint32_t hash)
{
    return 0x80u | (hash >> 25);
}

/* One bit (the top of its byte) for each item that may have this hash. The well-known test for a zero byte; a
 * borrow can mark an item whose tag is off by one, never a free one, and the caller compares anyway. */
static inline uint64_t index_bucket_candidates(const struct index_bucket *bucket, uint32_t hash)
{
    uint64_t differ = bucket->tags ^ (index_tag_of(hash) * index_bucket_ones);
    differ |= 0xffULL << INDEX_BUCKET_PASSED_SHIFT;
    return (differ - index_bucket_ones) & ~differ & index_bucket_tops;
}

static ALWAYS_INLINE uint32_t *index_buckets_find(const struct index_buckets *buckets, uint32_t hash,
                                                  bool (*same)(const uint32_t *item, const void *key),
                                                  const void *key)
{
    size_t at = hash & buckets->mask;
    for (size_t steps = 0; steps <= buckets->mask; steps++) {
        const struct index_bucket *bucket = &buckets->at[at];
        for (uint64_t bits = index_bucket_candidates(bucket, hash); bits != 0; bits &= bits - 1) {
            uint32_t *item = bucket->items[__builtin_ctzll(bits) / 8];
            if (*item == hash && same(item, key))
                return item;
        }
        if (bucket->tags >> INDEX_BUCKET_PASSED_SHIFT == 0)
            return NULL;
        at = (at + 1) & buckets->mask;
    }
    return NULL;
}

/* The element with this hash for which `same` is true, or NULL. */
static ALWAYS_INLINE uint32_t *index_table_find(const struct index_table *table, uint32_t hash,
                                                bool (*same)(const uint32_t *item, const void *key),
                                                const void *key)
{
    if (table->count == 0)
        return NULL;
    uint32_t *item = index_buckets_find(&table->now, hash, same, key);
    if (item == NULL && UNLIKELY(table->old.at != NULL))
        item = index_buckets_find(&table->old, hash, same, key);
    return item;
}

/* With a million elements each line of a look-up comes from memory. Who has other work to do first asks for
 * the bucket early, and, some work later, for the elements in it that the look-up will compare. */
static inline void index_table_prefetch_bucket(const struct index_table *table, uint32_t hash)
{
    if (table->count > 0)
        __builtin_prefetch(&table->now.at[hash & table->now.mask]);
}

static inline void index_table_prefetch_items(const struct index_table *table, uint32_t hash)
{
    if (table->count == 0)
        return;
    const struct index_bucket *bucket = &table->now.at[hash & table->now.mask];
    for (uint64_t bits = index_bucket_candidates(bucket, hash); bits != 0; bits &= bits - 1)
        __builtin_prefetch(bucket->items[__builtin_ctzll(bits) / 8]);
}

#endif
