/* net/output.c - the chain behind output.h. */
#include "net/output.h"

#include "core/base/check.h"
#include "core/base/memory.h"

static void segment_give(struct output_pool *pool, struct output_segment *segment)
{
    block_release(&pool->blocks, segment->block);
    segment->block = NULL;
    segment->next = pool->segments;
    pool->segments = segment;
}

static struct output_segment *segment_take(struct output_pool *pool)
{
    struct output_segment *segment = pool->segments;
    if (segment == NULL)
        return memory_new(sizeof *segment);
    pool->segments = segment->next;
    return segment;
}

void output_pool_close(struct output_pool *pool)
{
    while (pool->segments != NULL) {
        struct output_segment *segment = pool->segments;
        pool->segments = segment->next;
        memory_free(segment);
    }
    block_pool_close(&pool->blocks);
}

static void chain(struct output *output, struct output_segment *segment)
{
    segment->next = NULL;
    if (output->last == NULL)
        output->first = segment;
    else
        output->last->next = segment;
    output->last = segment;
}

uint8_t *output_reserve_more(struct output *output, struct output_pool *pool, size_t bytes)
{
    struct output_segment *segment = segment_take(pool);
    if (segment == NULL)
        return NULL;
    segment->block = block_take(&pool->blocks, bytes);
    if (segment->block == NULL) {
        segment_give(pool, segment);
        return NULL;
    }
    segment->at = segment->block->bytes;
    segment->end = segment->block->bytes;
    segment->room = segment->block->capacity;
    chain(output, segment);
    return segment->end;
}

enum err output_append(struct output *output, struct output_pool *pool, struct bytes bytes)
{
    uint8_t *to = output_reserve(output, pool, bytes.count);
    if (to == NULL)
        return ERR_MEMORY;
    memcpy(to, bytes.data, bytes.count);
    output_commit(output, bytes.count);
    return ERR_OK;
}

enum err output_share(struct output *output, struct output_pool *pool, struct block *block,
                      struct bytes bytes)
{
    struct output_segment *segment = segment_take(pool);
    if (segment == NULL)
        return ERR_MEMORY;
    ASSERT_HOT(bytes.data >= block->bytes && bytes.data + bytes.count <= block->bytes + block->capacity);
    segment->block = block_hold(block);
    segment->at = bytes.data;
    segment->end = block->bytes + (bytes.data - block->bytes) + bytes.count;
    segment->room = 0;
    chain(output, segment);
    output->pending_bytes += bytes.count;
    return ERR_OK;
}

uint32_t output_gather(const struct output *output, struct iovec *parts, uint32_t parts_max)
{
    uint32_t used = 0;
    for (const struct output_segment *s = output->first; s != NULL && used < parts_max; s = s->next) {
        if (s->at == s->end)
            continue;
        parts[used].iov_base = (void *)(uintptr_t)s->at; /* iovec has no const form */
        parts[used].iov_len = (size_t)(s->end - s->at);
        used++;
    }
    return used;
}

void output_sent(struct output *output, struct output_pool *pool, uint64_t bytes)
{
    ASSERT(bytes <= output->pending_bytes);
    output->pending_bytes -= bytes;
    while (output->first != NULL) {
        struct output_segment *segment = output->first;
        uint64_t left = (uint64_t)(segment->end - segment->at);
        if (bytes < left) {
            segment->at += bytes;
            return;
        }
        bytes -= left;
        output->first = segment->next;
        if (output->first == NULL)
            output->last = NULL;
        segment_give(pool, segment);
    }
}

void output_clear(struct output *output, struct output_pool *pool)
{
    output_sent(output, pool, output->pending_bytes);
    ASSERT(output->first == NULL);
}
