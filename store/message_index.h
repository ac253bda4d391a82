/* store/message_index.h - where one channel's messages are: sequence to position, time and size.
 * In the flow:  store_append(), recovery -> message_index_put(); store_lookup() -> message_index_get()
 * Blocks of up to 510 messages without a gap, in the order of their sequences: 20 bytes for each message, as
 * arrays, in blocks that fill a size of the allocator's exactly. The first block of a small channel grows
 * from 4.
 *
 *     blocks -> [ 1 .. 510 ] [ 511 .. 1020 ] [ 5000 .. 5003 ]
 *
 * Recovery may put behind, before and between: moved messages lie behind later ones in the log. One thread's.
 */
#ifndef STORE_MESSAGE_INDEX_H
#define STORE_MESSAGE_INDEX_H

#include "core/base/err.h"
#include "core/base/language.h"

#include <stdbool.h>
#include <stdint.h>

struct message_block; /* opaque */

/* All zero is empty. */
struct message_index {
    struct message_block **blocks; /* in order, from `head` on */
    uint32_t head;
    uint32_t count; /* of blocks */
    uint32_t capacity;
    uint64_t message_count;
    uint64_t memory_bytes;
};

struct message_entry {
    uint64_t sequence;
    uint64_t position;
    int64_t timestamp_ns;
    uint32_t data_bytes;
};

void message_index_close(struct message_index *index);

/* Adds or replaces. *replaced tells what was there (sequence 0: nothing); may be NULL. ERR_MEMORY: unchanged.
 */
MUST_USE enum err message_index_put(struct message_index *index, const struct message_entry *entry,
                                    struct message_entry *replaced);

bool message_index_get(const struct message_index *index, uint64_t sequence, struct message_entry *entry);

/* The lowest and highest; false: there is none. */
bool message_index_first(const struct message_index *index, struct message_entry *entry);
bool message_index_last(const struct message_index *index, struct message_entry *entry);

/* Says where the highest lies: an entry is put before its record is written, because putting can fail. */
void message_index_place_last(struct message_index *index, uint64_t position);

/* Take the lowest or the highest away; there is one. */
void message_index_drop_first(struct message_index *index);
void message_index_drop_last(struct message_index *index);

/* The lowest sequence at or above; 0: none. */
uint64_t message_index_from(const struct message_index *index, uint64_t sequence);

/* The lowest sequence whose time is at or above, as far as times grow with sequences; 0: none. */
uint64_t message_index_at_time(const struct message_index *index, int64_t timestamp_ns);

#endif
