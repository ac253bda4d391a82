/* core/subject/index_table.c - changing the hash table of index_table.h: put, erase, and the slow move from
 * one array to the next. */
#include "core/subject/index_table.h"

#include "core/base/check.h"
#include "core/base/memory.h"

/* Four per change empty the old array in a quarter as many changes as it has buckets; the new one, twice as
 * large and filled to 4/5 at most, has room for twenty times as many. (Shrinking halves: it is done before
 * the next is due.) */
enum { BUCKETS_FIRST = 4, OLD_BUCKETS_PER_CHANGE = 4, PASSED_MAX = 255 };

/* Where an element stands. */
struct place {
    size_t bucket;
    unsigned item;
};

static bool buckets_new(struct index_buckets *buckets, size_t count);
static size_t buckets_capacity(const struct index_buckets *buckets);
static void buckets_put(struct index_buckets *buckets, uint32_t *item);
static bool buckets_locate(const struct index_buckets *buckets, const uint32_t *item, struct place *place);
static void buckets_erase(struct index_buckets *buckets, const uint32_t *item, struct place place);
static uint32_t *buckets_first_from(const struct index_buckets *buckets, size_t bucket, unsigned item);
static void buckets_visit(const struct index_buckets *buckets, size_t home, index_table_visit *visit,
                          void *context);
static uint32_t cursor_next(uint32_t cursor, size_t mask);
static void passed_change(struct index_bucket *bucket, int change);
static void table_move(struct index_table *table, size_t bucket_count);
static bool table_resize(struct index_table *table, size_t bucket_count);

void index_table_close(struct index_table *table)
{
    memory_free(table->now.memory);
    memory_free(table->old.memory);
    *table = (struct index_table){0};
}

enum err index_table_reserve(struct index_table *table)
{
    table_move(table, OLD_BUCKETS_PER_CHANGE);
    size_t capacity = buckets_capacity(&table->now);
    if (table->count + 1 <= capacity * 4 / 5)
        return ERR_OK;
    if (table_resize(table, capacity == 0 ? BUCKETS_FIRST : (table->now.mask + 1) * 2))
        return ERR_OK;
    return table->count + 1 <= capacity * 15 / 16 ? ERR_OK : ERR_MEMORY;
}

void index_table_put(struct index_table *table, uint32_t *item)
{
    buckets_put(&table->now, item);
    table->count++;
}

void index_table_erase(struct index_table *table, uint32_t *item)
{
    struct place place;
    if (buckets_locate(&table->now, item, &place)) {
        buckets_erase(&table->now, item, place);
    } else {
        bool found = buckets_locate(&table->old, item, &place);
        ASSERT(found);
        buckets_erase(&table->old, item, place);
    }
    table->count--;
    table_move(table, OLD_BUCKETS_PER_CHANGE);
    size_t bucket_count = table->now.mask + 1;
    if (table->old.at == NULL && bucket_count > BUCKETS_FIRST &&
        table->count < bucket_count * INDEX_BUCKET_ITEMS / 8)
        (void)table_resize(table, bucket_count / 2); /* out of memory: it stays large */
}

uint32_t *index_table_next(const struct index_table *table, uint32_t *at)
{
    struct place place = {0, 0};
    uint32_t *next = NULL;
    if (at == NULL) {
        next = buckets_first_from(&table->now, 0, 0);
    } else if (buckets_locate(&table->now, at, &place)) {
        next = buckets_first_from(&table->now, place.bucket, place.item + 1);
    } else {
        bool found = buckets_locate(&table->old, at, &place);
        ASSERT(found);
        return buckets_first_from(&table->old, place.bucket, place.item + 1);
    }
    return next != NULL ? next : buckets_first_from(&table->old, 0, 0);
}

uint32_t index_table_step(const struct index_table *table, uint32_t cursor, index_table_visit *visit,
                          void *context)
{
    const struct index_buckets *small = &table->now, *large = &table->old;
    if (table->now.at == NULL)
        return 0;
    if (large->at != NULL && large->mask < small->mask) {
        small = &table->old;
        large = &table->now;
    }
    buckets_visit(small, cursor & small->mask, visit, context);
    if (large->at == NULL)
        return cursor_next(cursor, small->mask);
    do {
        buckets_visit(large, cursor & large->mask, visit, context);
        cursor = cursor_next(cursor, large->mask);
    } while ((cursor & (small->mask ^ large->mask)) != 0);
    return cursor;
}

size_t index_table_bytes(const struct index_table *table)
{
    size_t bytes = 0;
    if (table->now.at != NULL)
        bytes += (table->now.mask + 2) * sizeof(struct index_bucket);
    if (table->old.at != NULL)
        bytes += (table->old.mask + 2) * sizeof(struct index_bucket);
    return bytes;
}

/* Aligned by hand: memory_new_aligned() writes all its zeros at once, while a large memory_new() is made of
 * pages that the kernel clears when they are first touched, which spreads that over later changes as well. */
static bool buckets_new(struct index_buckets *buckets, size_t count)
{
    void *memory = memory_new((count + 1) * sizeof(struct index_bucket));
    if (memory == NULL)
        return false;
    size_t over = (uintptr_t)memory % CACHE_LINE_BYTES;
    buckets->memory = memory;
    buckets->at =
        (struct index_bucket *)(void *)((uint8_t *)memory + (over == 0 ? 0 : CACHE_LINE_BYTES - over));
    buckets->mask = count - 1;
    return true;
}

static size_t buckets_capacity(const struct index_buckets *buckets)
{
    return buckets->at == NULL ? 0 : (buckets->mask + 1) * INDEX_BUCKET_ITEMS;
}

/* The reserve before has left at least one free place, so this ends. */
static void buckets_put(struct index_buckets *buckets, uint32_t *item)
{
    size_t at = *item & buckets->mask;
    for (;;) {
        struct index_bucket *bucket = &buckets->at[at];
        uint64_t unused = ~bucket->tags & index_bucket_tops;
        if (unused != 0) {
            unsigned position = (unsigned)__builtin_ctzll(unused) / 8;
            bucket->items[position] = item;
            bucket->tags |= index_tag_of(*item) << (position * 8);
            return;
        }
        passed_change(bucket, 1);
        at = (at + 1) & buckets->mask;
    }
}

static bool buckets_locate(const struct index_buckets *buckets, const uint32_t *item, struct place *place)
{
    if (buckets->at == NULL)
        return false;
    size_t at = *item & buckets->mask;
    for (size_t steps = 0; steps <= buckets->mask; steps++) {
        const struct index_bucket *bucket = &buckets->at[at];
        for (uint64_t bits = index_bucket_candidates(bucket, *item); bits != 0; bits &= bits - 1) {
            unsigned position = (unsigned)__builtin_ctzll(bits) / 8;
            if (bucket->items[position] == item) {
                *place = (struct place){at, position};
                return true;
            }
        }
        if (bucket->tags >> INDEX_BUCKET_PASSED_SHIFT == 0)
            return false;
        at = (at + 1) & buckets->mask;
    }
    return false;
}

static void buckets_erase(struct index_buckets *buckets, const uint32_t *item, struct place place)
{
    struct index_bucket *bucket = &buckets->at[place.bucket];
    bucket->items[place.item] = NULL;
    bucket->tags &= ~(0xffULL << (place.item * 8));
    for (size_t at = *item & buckets->mask; at != place.bucket; at = (at + 1) & buckets->mask)
        passed_change(&buckets->at[at], -1);
}

static uint32_t *buckets_first_from(const struct index_buckets *buckets, size_t bucket, unsigned item)
{
    if (buckets->at == NULL)
        return NULL;
    for (; bucket <= buckets->mask; bucket++, item = 0) {
        for (; item < INDEX_BUCKET_ITEMS; item++) {
            if (buckets->at[bucket].items[item] != NULL)
                return buckets->at[bucket].items[item];
        }
    }
    return NULL;
}

/* All that would stand in `home` if there were room: it is there, or as far behind as others passed by. */
static void buckets_visit(const struct index_buckets *buckets, size_t home, index_table_visit *visit,
                          void *context)
{
    size_t at = home;
    for (size_t steps = 0; steps <= buckets->mask; steps++) {
        const struct index_bucket *bucket = &buckets->at[at];
        for (unsigned i = 0; i < INDEX_BUCKET_ITEMS; i++) {
            if (bucket->items[i] != NULL && (*bucket->items[i] & buckets->mask) == home)
                visit(context, bucket->items[i]);
        }
        if (bucket->tags >> INDEX_BUCKET_PASSED_SHIFT == 0)
            return;
        at = (at + 1) & buckets->mask;
    }
}

/* Adds one to the bits under the mask, read from the highest to the lowest. */
static uint32_t cursor_next(uint32_t cursor, size_t mask)
{
    uint32_t bit = ((uint32_t)mask >> 1) + 1;
    cursor &= (uint32_t)mask;
    for (; (cursor & bit) != 0; bit >>= 1)
        cursor &= ~bit;
    return mask == 0 ? 0 : cursor | bit; /* past the lowest bit `bit` is 0 */
}

/* A counter that reached PASSED_MAX stays: look-ups then go on for nothing until the next resize, which is
 * only slow. It takes hundreds of equal hashes to get there. */
static void passed_change(struct index_bucket *bucket, int change)
{
    uint64_t passed = bucket->tags >> INDEX_BUCKET_PASSED_SHIFT;
    if (passed == PASSED_MAX)
        return;
    ASSERT_HOT(change > 0 || passed > 0);
    passed = change > 0 ? passed + 1 : passed - 1;
    bucket->tags &= ~(0xffULL << INDEX_BUCKET_PASSED_SHIFT);
    bucket->tags |= passed << INDEX_BUCKET_PASSED_SHIFT;
}

/* Moved elements leave their traces in the passed counters of the old array: it goes soon. */
static void table_move(struct index_table *table, size_t bucket_count)
{
    if (table->old.at == NULL)
        return;
    for (; bucket_count > 0 && table->old_moved <= table->old.mask; bucket_count--, table->old_moved++) {
        struct index_bucket *bucket = &table->old.at[table->old_moved];
        for (unsigned i = 0; i < INDEX_BUCKET_ITEMS; i++) {
            if (bucket->items[i] != NULL)
                buckets_put(&table->now, bucket->items[i]);
            bucket->items[i] = NULL;
        }
        bucket->tags &= 0xffULL << INDEX_BUCKET_PASSED_SHIFT;
    }
    if (table->old_moved > table->old.mask) {
        memory_free(table->old.memory);
        table->old = (struct index_buckets){0};
    }
}

static bool table_resize(struct index_table *table, size_t bucket_count)
{
    struct index_buckets next = {0};
    if (!buckets_new(&next, bucket_count))
        return false;
    /* Only when a larger array could not be had for long: then this one change pays for the whole move. */
    table_move(table, SIZE_MAX);
    table->old = table->now;
    table->old_moved = 0;
    table->now = next;
    return true;
}
