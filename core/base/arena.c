/* core/base/arena.c - chunks in a list, the newest being filled. */
#include "core/base/arena.h"

#include "core/base/memory.h"

#include <stdint.h>
#include <string.h>

enum { CHUNK_BYTES = 8 * 1024, ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t size;
    uint8_t data[] __attribute__((aligned(16)));
};

static struct arena_chunk *chunk_new(const struct arena *arena, size_t least)
{
    size_t usual = arena->chunk_bytes > 0 ? arena->chunk_bytes : CHUNK_BYTES;
    size_t size = least > usual ? least : usual;
    struct arena_chunk *chunk = memory_new(sizeof(*chunk) + size);
    if (chunk != NULL)
        chunk->size = size;
    return chunk;
}

void *arena_new(struct arena *arena, size_t count)
{
    if (count > SIZE_MAX / 4)
        return NULL;
    size_t rounded = (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (arena->limit_bytes > 0 && rounded > arena->limit_bytes - arena->used_bytes)
        return NULL;
    struct arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->size - chunk->used < rounded) {
        chunk = chunk_new(arena, rounded);
        if (chunk == NULL)
            return NULL;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    void *memory = chunk->data + chunk->used;
    chunk->used += rounded;
    arena->used_bytes += rounded;
    return memory;
}

char *arena_copy(struct arena *arena, struct bytes bytes)
{
    char *copy = arena_new(arena, bytes.count + 1);
    if (copy != NULL && bytes.count > 0)
        memcpy(copy, bytes.data, bytes.count);
    return copy;
}

void arena_close(struct arena *arena)
{
    struct arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        explicit_bzero(chunk->data, chunk->used);
        memory_free(chunk);
        chunk = next;
    }
    arena->chunks = NULL;
    arena->used_bytes = 0;
}
