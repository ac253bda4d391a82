/* shards/streaming/sequences.h - a set of sequence numbers with a word for each: what was sent to a
 * subscription and is not acknowledged (the word: when it is sent again), or how often a message was sent
 * again. Open addressing; what is pending is mostly a window of neighbours, which are laid far apart
 * (sequences.c says why). At the bound: memory out is ERR_MEMORY and nothing has changed. */
#ifndef SHARDS_STREAMING_SEQUENCES_H
#define SHARDS_STREAMING_SEQUENCES_H

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sequence_entry {
    uint64_t sequence; /* 0: free */
    int64_t word;
};

/* All zero is empty. */
struct sequences {
    struct sequence_entry *entries;
    uint32_t capacity; /* a power of two */
    uint32_t count;
};

void sequences_close(struct sequences *set);

/* Adds it, or changes its word. `sequence` is at least 1. */
MUST_USE enum err sequences_put(struct sequences *set, uint64_t sequence, int64_t word);

/* Its word, to be read and changed until the next put or remove; NULL: it is not in the set. */
int64_t *sequences_find(const struct sequences *set, uint64_t sequence);

/* False: it was not in the set. */
bool sequences_remove(struct sequences *set, uint64_t sequence);

/* All entries as an array in order of word, then sequence. NULL: memory is out, or the set is empty. Owner:
 * the caller, memory_free(). */
struct sequence_entry *sequences_sorted(const struct sequences *set);
/* Likewise, in order of sequence. */
struct sequence_entry *sequences_in_row(const struct sequences *set);

#endif
