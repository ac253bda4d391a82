/* shards/streaming/sequences.c - see sequences.h. */
#include "shards/streaming/sequences.h"

#include "core/base/check.h"
#include "core/base/memory.h"

#include <stdlib.h>

enum { CAPACITY_FIRST = 16 };

void sequences_close(struct sequences *set)
{
    memory_free(set->entries);
    *set = (struct sequences){0};
}

/* Where it would like to be: Fibonacci hashing. Sequences stand in a row, and multiples of the golden ratio
 * lie apart from each other; side by side, the row would be one cluster, and to remove its oldest would mean
 * to walk along all of it. */
static uint32_t wished_place(const struct sequences *set, uint64_t sequence)
{
    const uint64_t golden = 0x9e3779b97f4a7c15ULL;
    return (uint32_t)(sequence * golden >> (33 + __builtin_clz(set->capacity))); /* the upper bits */
}

/* Where it is, or the free place where it would go. */
static uint32_t place_of(const struct sequences *set, uint64_t sequence)
{
    uint32_t mask = set->capacity - 1, at = wished_place(set, sequence);
    while (set->entries[at].sequence != 0 && set->entries[at].sequence != sequence)
        at = (at + 1) & mask;
    return at;
}

static enum err resize(struct sequences *set, uint32_t capacity)
{
    struct sequences other = {.entries = memory_new(capacity * sizeof *other.entries), .capacity = capacity};
    if (other.entries == NULL)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < set->capacity; i++) {
        if (set->entries[i].sequence != 0)
            other.entries[place_of(&other, set->entries[i].sequence)] = set->entries[i];
    }
    other.count = set->count;
    memory_free(set->entries);
    *set = other;
    return ERR_OK;
}

enum err sequences_put(struct sequences *set, uint64_t sequence, int64_t word)
{
    ASSERT(sequence > 0);
    if (set->count >= set->capacity / 2) { /* half: a probe is short even when windows overlap */
        if (set->capacity > UINT32_MAX / 4)
            return ERR_MEMORY;
        enum err err = resize(set, set->capacity == 0 ? CAPACITY_FIRST : set->capacity * 2);
        if (err != ERR_OK)
            return err;
    }
    struct sequence_entry *entry = &set->entries[place_of(set, sequence)];
    set->count += entry->sequence == 0;
    *entry = (struct sequence_entry){sequence, word};
    return ERR_OK;
}

int64_t *sequences_find(const struct sequences *set, uint64_t sequence)
{
    if (set->count == 0 || sequence == 0)
        return NULL;
    struct sequence_entry *entry = &set->entries[place_of(set, sequence)];
    return entry->sequence == 0 ? NULL : &entry->word;
}

bool sequences_remove(struct sequences *set, uint64_t sequence)
{
    if (set->count == 0 || sequence == 0)
        return false;
    uint32_t mask = set->capacity - 1, hole = place_of(set, sequence);
    if (set->entries[hole].sequence == 0)
        return false;
    /* Whoever stands behind the hole and would have liked to stand in it or before it moves up. */
    for (uint32_t at = (hole + 1) & mask; set->entries[at].sequence != 0; at = (at + 1) & mask) {
        uint32_t wished = wished_place(set, set->entries[at].sequence);
        if (((at - wished) & mask) >= ((at - hole) & mask)) {
            set->entries[hole] = set->entries[at];
            hole = at;
        }
    }
    set->entries[hole] = (struct sequence_entry){0, 0};
    set->count--;
    return true;
}

static int by_sequence(const void *left, const void *right)
{
    const struct sequence_entry *a = left, *b = right;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

static int by_word(const void *left, const void *right)
{
    const struct sequence_entry *a = left, *b = right;
    if (a->word != b->word)
        return a->word < b->word ? -1 : 1;
    return by_sequence(left, right);
}

static struct sequence_entry *sorted(const struct sequences *set, int (*order)(const void *, const void *))
{
    struct sequence_entry *all = set->count == 0 ? NULL : memory_new(set->count * sizeof *all);
    uint32_t count = 0;
    if (all == NULL)
        return NULL;
    for (uint32_t i = 0; i < set->capacity; i++) {
        if (set->entries[i].sequence != 0)
            all[count++] = set->entries[i];
    }
    qsort(all, count, sizeof *all, order);
    return all;
}

struct sequence_entry *sequences_sorted(const struct sequences *set)
{
    return sorted(set, by_word);
}

struct sequence_entry *sequences_in_row(const struct sequences *set)
{
    return sorted(set, by_sequence);
}
