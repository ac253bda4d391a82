/* core/base/block.c - taking, holding and letting go of counted blocks. */
#include "core/base/block.h"

#include "core/base/check.h"
#include "core/base/memory.h"

struct block *block_take(struct block_pool *pool, size_t capacity)
{
    struct block *block = pool->first;
    if (LIKELY(capacity <= BLOCK_STANDARD_BYTES && block != NULL)) {
        pool->first = block->next;
        pool->count--;
    } else {
        if (capacity < BLOCK_STANDARD_BYTES)
            capacity = BLOCK_STANDARD_BYTES;
        if (capacity > UINT32_MAX)
            return NULL;
        block = memory_grow(NULL, sizeof *block + capacity);
        if (block == NULL)
            return NULL;
        block->capacity = (uint32_t)capacity;
    }
    block->next = NULL;
    atomic_store_explicit(&block->holders, 1, memory_order_relaxed);
    return block;
}

void block_release(struct block_pool *pool, struct block *block)
{
    if (block == NULL)
        return;
    /* Acquire on the last release: what other holders read must be over before the memory is used again. */
    uint32_t before = atomic_fetch_sub_explicit(&block->holders, 1, memory_order_acq_rel);
    ASSERT(before >= 1);
    if (before > 1)
        return;
    if (block->capacity == BLOCK_STANDARD_BYTES && pool->count < BLOCK_POOL_MAX) {
        block->next = pool->first;
        pool->first = block;
        pool->count++;
        return;
    }
    memory_free(block);
}

void block_pool_close(struct block_pool *pool)
{
    while (pool->first != NULL) {
        struct block *block = pool->first;
        pool->first = block->next;
        memory_free(block);
    }
    pool->count = 0;
}
