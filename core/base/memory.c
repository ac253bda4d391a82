/* core/base/memory.c - the allocator behind memory.h. */
#include "core/base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *memory_new(size_t count)
{
    return calloc(1, count == 0 ? 1 : count);
}

void *memory_new_aligned(size_t count)
{
    size_t rounded = (count + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    void *memory = aligned_alloc(CACHE_LINE_BYTES, rounded);
    if (memory != NULL)
        memset(memory, 0, rounded);
    return memory;
}

void *memory_grow(void *memory, size_t count)
{
    return realloc(memory, count == 0 ? 1 : count);
}

void *memory_copy(const void *data, size_t count)
{
    if (count == SIZE_MAX)
        return NULL;
    uint8_t *copy = malloc(count + 1);
    if (copy == NULL)
        return NULL;
    if (count > 0)
        memcpy(copy, data, count);
    copy[count] = 0;
    return copy;
}

void memory_free(void *memory)
{
    free(memory);
}
