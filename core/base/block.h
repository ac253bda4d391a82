/* core/base/block.h - counted buffers: output waiting to be sent, a message torn between two receives, a
 * large payload that several receivers (also on other threads) share. The count is the only thing of a block
 * that two threads may touch at once. Each thread keeps a pool of blocks of the standard size; whoever lets
 * go last puts the block into its own pool, whichever thread made it. At the bound: the pool keeps at most
 * BLOCK_POOL_MAX blocks, the rest goes back to the allocator. */
#ifndef CORE_BASE_BLOCK_H
#define CORE_BASE_BLOCK_H

#include "core/base/language.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { BLOCK_POOL_MAX = 512 };

struct block {
    struct block *next; /* in the pool's list; free for the holder's use otherwise */
    _Atomic uint32_t holders;
    uint32_t capacity;
    uint8_t bytes[];
};

/* A block together with its header is one of the allocator's size classes. */
enum { BLOCK_STANDARD_BYTES = 16 * 1024 - (int)sizeof(struct block) };

/* One thread's spare blocks. All zero is an empty pool. */
struct block_pool {
    struct block *first;
    uint32_t count;
};

/* A block of at least `capacity` bytes with one holder; NULL when memory is out. Allocates only when the pool
 * is empty or the block is larger than the standard. Thread: the pool's. */
MUST_USE struct block *block_take(struct block_pool *pool, size_t capacity);

/* One holder more. Thread: any that is a holder. */
static inline struct block *block_hold(struct block *block)
{
    atomic_fetch_add_explicit(&block->holders, 1, memory_order_relaxed);
    return block;
}

/* One holder less; the last one gives the memory to `pool`. NULL is allowed. Thread: the pool's. */
void block_release(struct block_pool *pool, struct block *block);

/* Gives all spare blocks back to the allocator. */
void block_pool_close(struct block_pool *pool);

#endif
