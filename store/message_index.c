/* store/message_index.c - see message_index.h. */
#include "store/message_index.h"

#include "core/base/check.h"
#include "core/base/memory.h"

#include <string.h>

enum {
    BLOCK_ENTRIES_MIN = 4,
    BLOCK_ENTRIES_MAX = 510, /* 32 + 510 * 20 fits the allocator's 10240 bytes */
};

/* Entries `dead` .. `dead + count - 1` live; `first` is the sequence of the first that lives. */
struct message_block {
    uint64_t first;
    uint16_t dead;
    uint16_t count;
    uint16_t capacity;
    uint16_t unused[5];
    uint64_t bytes_of_arrays[]; /* positions, times, sizes: `capacity` of each */
};
_Static_assert(sizeof(struct message_block) + BLOCK_ENTRIES_MAX * 20 <= 10240, "a full block fills its size");

static uint64_t *positions_of(struct message_block *block)
{
    return block->bytes_of_arrays;
}

static int64_t *times_of(struct message_block *block)
{
    return (int64_t *)(block->bytes_of_arrays + block->capacity);
}

static uint32_t *sizes_of(struct message_block *block)
{
    return (uint32_t *)(block->bytes_of_arrays + 2 * (size_t)block->capacity);
}

static size_t block_bytes(uint32_t capacity)
{
    return sizeof(struct message_block) + (size_t)capacity * 20;
}

static struct message_block *block_at(const struct message_index *index, uint32_t i)
{
    return index->blocks[index->head + i];
}

static uint64_t end_of(const struct message_block *block)
{
    return block->first + block->count;
}

static struct message_entry entry_of(struct message_block *block, uint32_t i)
{
    uint32_t slot = block->dead + i;
    return (struct message_entry){
        .sequence = block->first + i,
        .position = positions_of(block)[slot],
        .timestamp_ns = times_of(block)[slot],
        .data_bytes = sizes_of(block)[slot],
    };
}

static void entry_set(struct message_block *block, uint32_t i, const struct message_entry *entry)
{
    uint32_t slot = block->dead + i;
    positions_of(block)[slot] = entry->position;
    times_of(block)[slot] = entry->timestamp_ns;
    sizes_of(block)[slot] = entry->data_bytes;
}

void message_index_close(struct message_index *index)
{
    for (uint32_t i = 0; i < index->count; i++)
        memory_free(block_at(index, i));
    memory_free(index->blocks);
    *index = (struct message_index){0};
}

/* The number of the first block that ends above the sequence; `count` when there is none. Full blocks without
 * gaps, which is the rule, are found by arithmetic. */
static uint32_t block_find(const struct message_index *index, uint64_t sequence)
{
    if (index->count == 0 || end_of(block_at(index, index->count - 1)) <= sequence)
        return index->count;
    uint64_t first = block_at(index, 0)->first;
    if (sequence < end_of(block_at(index, 0)))
        return 0;
    uint64_t guess = (sequence - end_of(block_at(index, 0))) / BLOCK_ENTRIES_MAX + 1;
    ASSERT_HOT(sequence >= first);
    (void)first;
    if (guess < index->count) {
        const struct message_block *block = block_at(index, (uint32_t)guess);
        if (block->first <= sequence && sequence < end_of(block))
            return (uint32_t)guess;
    }
    uint32_t low = 0, high = index->count - 1; /* the answer is in low .. high */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (end_of(block_at(index, middle)) > sequence)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Room for one more block pointer. */
static enum err blocks_grow(struct message_index *index)
{
    if (index->head + index->count < index->capacity)
        return ERR_OK;
    if (index->head > index->count) {
        memmove(index->blocks, index->blocks + index->head, index->count * sizeof index->blocks[0]);
        index->head = 0;
        return ERR_OK;
    }
    uint32_t capacity = index->capacity == 0 ? 1 : index->capacity * 2;
    struct message_block **blocks = memory_grow(index->blocks, capacity * sizeof blocks[0]);
    if (blocks == NULL)
        return ERR_MEMORY;
    index->memory_bytes += (capacity - index->capacity) * sizeof blocks[0];
    index->blocks = blocks;
    index->capacity = capacity;
    return ERR_OK;
}

/* A new empty block, as number `at`, that will begin with `first`. */
static enum err block_insert(struct message_index *index, uint32_t at, uint64_t first)
{
    /* Behind a full block more are likely to come; so they are not grown step by step. */
    bool follows_full = at > 0 && end_of(block_at(index, at - 1)) == first;
    uint32_t capacity = follows_full ? BLOCK_ENTRIES_MAX : BLOCK_ENTRIES_MIN;
    enum err err = blocks_grow(index);
    if (err != ERR_OK)
        return err;
    struct message_block *block = memory_new(block_bytes(capacity));
    if (block == NULL)
        return ERR_MEMORY;
    block->first = first;
    block->capacity = (uint16_t)capacity;
    struct message_block **place = index->blocks + index->head + at;
    memmove(place + 1, place, (index->count - at) * sizeof place[0]);
    *place = block;
    index->count++;
    index->memory_bytes += block_bytes(capacity);
    return ERR_OK;
}

/* Moves what lives to the front. */
static void block_slide(struct message_block *block)
{
    uint32_t dead = block->dead;
    memmove(positions_of(block), positions_of(block) + dead, block->count * sizeof(uint64_t));
    memmove(times_of(block), times_of(block) + dead, block->count * sizeof(int64_t));
    memmove(sizes_of(block), sizes_of(block) + dead, block->count * sizeof(uint32_t));
    block->dead = 0;
}

/* Room for one more entry in block `at`, which is not at its largest, or half dead. */
static enum err block_grow(struct message_index *index, uint32_t at)
{
    struct message_block *old = block_at(index, at);
    if (old->dead > 0 && old->dead >= old->capacity / 2) {
        block_slide(old);
        return ERR_OK;
    }
    ASSERT(old->capacity < BLOCK_ENTRIES_MAX);
    uint32_t capacity = old->capacity * 2U < BLOCK_ENTRIES_MAX ? old->capacity * 2U : BLOCK_ENTRIES_MAX;
    struct message_block *block = memory_new(block_bytes(capacity));
    if (block == NULL)
        return ERR_MEMORY;
    block->first = old->first;
    block->capacity = (uint16_t)capacity;
    block->count = old->count;
    for (uint32_t i = 0; i < old->count; i++) {
        struct message_entry entry = entry_of(old, i);
        entry_set(block, i, &entry);
    }
    index->blocks[index->head + at] = block;
    index->memory_bytes += block_bytes(capacity) - block_bytes(old->capacity);
    memory_free(old);
    return ERR_OK;
}

static bool block_full(const struct message_block *block)
{
    return block->dead + block->count == block->capacity;
}

/* Whether block `at` could take one more at its end, when it is grown. */
static bool block_extends(const struct message_block *block)
{
    return !block_full(block) || block->capacity < BLOCK_ENTRIES_MAX || block->dead >= block->capacity / 2;
}

/* Makes room for `sequence`, which is not there, and says in which block: it will be that one's last. */
static enum err place_for(struct message_index *index, uint64_t sequence, uint32_t *at)
{
    uint32_t next = block_find(index, sequence);
    if (next > 0) {
        const struct message_block *before = block_at(index, next - 1);
        if (end_of(before) == sequence && block_extends(before)) {
            *at = next - 1;
            return block_full(before) ? block_grow(index, next - 1) : ERR_OK;
        }
    }
    *at = next;
    return block_insert(index, next, sequence);
}

enum err message_index_put(struct message_index *index, const struct message_entry *entry,
                           struct message_entry *replaced)
{
    if (replaced != NULL)
        replaced->sequence = 0;
    uint32_t at = block_find(index, entry->sequence);
    if (at < index->count && block_at(index, at)->first <= entry->sequence) {
        struct message_block *block = block_at(index, at);
        uint32_t i = (uint32_t)(entry->sequence - block->first);
        if (replaced != NULL)
            *replaced = entry_of(block, i);
        entry_set(block, i, entry);
        return ERR_OK;
    }
    enum err err = place_for(index, entry->sequence, &at);
    if (err != ERR_OK)
        return err;
    struct message_block *block = block_at(index, at);
    entry_set(block, block->count, entry);
    block->count++;
    index->message_count++;
    return ERR_OK;
}

bool message_index_get(const struct message_index *index, uint64_t sequence, struct message_entry *entry)
{
    uint32_t at = block_find(index, sequence);
    if (at == index->count || block_at(index, at)->first > sequence)
        return false;
    struct message_block *block = block_at(index, at);
    *entry = entry_of(block, (uint32_t)(sequence - block->first));
    return true;
}

bool message_index_first(const struct message_index *index, struct message_entry *entry)
{
    if (index->message_count == 0)
        return false;
    *entry = entry_of(block_at(index, 0), 0);
    return true;
}

bool message_index_last(const struct message_index *index, struct message_entry *entry)
{
    if (index->message_count == 0)
        return false;
    struct message_block *block = block_at(index, index->count - 1);
    *entry = entry_of(block, block->count - 1U);
    return true;
}

static void block_remove(struct message_index *index, uint32_t at)
{
    struct message_block **place = index->blocks + index->head + at;
    index->memory_bytes -= block_bytes((*place)->capacity);
    memory_free(*place);
    if (at == 0) {
        index->head = index->count == 1 ? 0 : index->head + 1;
    } else {
        memmove(place, place + 1, (index->count - at - 1) * sizeof place[0]);
    }
    index->count--;
}

void message_index_place_last(struct message_index *index, uint64_t position)
{
    ASSERT(index->message_count > 0);
    struct message_block *block = block_at(index, index->count - 1);
    positions_of(block)[block->dead + block->count - 1] = position;
}

void message_index_drop_first(struct message_index *index)
{
    ASSERT(index->message_count > 0);
    struct message_block *block = block_at(index, 0);
    block->first++;
    block->dead++;
    block->count--;
    index->message_count--;
    if (block->count == 0)
        block_remove(index, 0);
}

void message_index_drop_last(struct message_index *index)
{
    ASSERT(index->message_count > 0);
    struct message_block *block = block_at(index, index->count - 1);
    block->count--;
    index->message_count--;
    if (block->count == 0)
        block_remove(index, index->count - 1);
}

uint64_t message_index_from(const struct message_index *index, uint64_t sequence)
{
    uint32_t at = block_find(index, sequence);
    if (at == index->count)
        return 0;
    uint64_t first = block_at(index, at)->first;
    return first > sequence ? first : sequence;
}

uint64_t message_index_at_time(const struct message_index *index, int64_t timestamp_ns)
{
    uint32_t low = 0, high = index->count;
    while (low < high) { /* the first block whose last one is late enough */
        uint32_t middle = low + (high - low) / 2;
        struct message_block *block = block_at(index, middle);
        if (entry_of(block, block->count - 1U).timestamp_ns >= timestamp_ns)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == index->count)
        return 0;
    struct message_block *block = block_at(index, low);
    uint32_t from = 0, to = block->count - 1U;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (entry_of(block, middle).timestamp_ns >= timestamp_ns)
            to = middle;
        else
            from = middle + 1;
    }
    return block->first + from;
}
