/* net/output.h - what a connection has still to send: a chain of segments over counted blocks.
 * In the flow:  client_deliver() -> output_reserve() .. output_commit() -> output_gather() -> loop_send()
 * Bytes are written once, as they will be sent. A large payload is not copied but referred to. Bytes stay
 * until output_sent() says that the kernel has taken them; a send may be in flight while more is appended. At
 * the bound: max_pending is the session's to check (pending_bytes); memory out is NULL, and the session
 * closes its connection. One thread's. */
#ifndef NET_OUTPUT_H
#define NET_OUTPUT_H

#include "core/base/block.h"
#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdbool.h>
#include <sys/uio.h>

struct output_segment {
    struct output_segment *next;
    struct block *block;
    const uint8_t *at; /* first byte not sent yet */
    uint8_t *end;      /* behind the last byte */
    uint32_t room;     /* bytes that may be written at `end`; 0 for a shared block */
};

/* One thread's spare segments and blocks. All zero is empty. */
struct output_pool {
    struct block_pool blocks;
    struct output_segment *segments; /* spare ones, by next */
};
void output_pool_close(struct output_pool *pool);

struct output {
    struct output_segment *first;
    struct output_segment *last;
    uint64_t pending_bytes;
};

/* Payloads from this size on are referred to when they lie in a counted block. Measured: below, the copy is
 * cheaper than a segment and a longer gather list. */
enum { OUTPUT_SHARE_BYTES_LEAST = 4096 };

/* The slow part of output_reserve(). */
uint8_t *output_reserve_more(struct output *output, struct output_pool *pool, size_t bytes);

/* Room for `bytes` in one piece at the end, NULL when memory is out. Counts from output_commit() on. */
static ALWAYS_INLINE uint8_t *output_reserve(struct output *output, struct output_pool *pool, size_t bytes)
{
    struct output_segment *last = output->last;
    if (LIKELY(last != NULL && last->room >= bytes))
        return last->end;
    return output_reserve_more(output, pool, bytes);
}

static ALWAYS_INLINE void output_commit(struct output *output, size_t bytes)
{
    output->last->end += bytes;
    output->last->room -= (uint32_t)bytes;
    output->pending_bytes += bytes;
}

/* Copies; ERR_MEMORY: nothing was appended. */
MUST_USE enum err output_append(struct output *output, struct output_pool *pool, struct bytes bytes);

/* Refers to bytes inside a block; takes a hold of its own. */
MUST_USE enum err output_share(struct output *output, struct output_pool *pool, struct block *block,
                               struct bytes bytes);

/* Fills `parts` with what is to be sent first; the number used. */
uint32_t output_gather(const struct output *output, struct iovec *parts, uint32_t parts_max);

/* The kernel has taken the first `bytes`. */
void output_sent(struct output *output, struct output_pool *pool, uint64_t bytes);

/* Forgets everything. */
void output_clear(struct output *output, struct output_pool *pool);

static inline bool output_empty(const struct output *output)
{
    return output->pending_bytes == 0;
}

#endif
