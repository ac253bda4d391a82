/* core/base/memory.h - the one door to the allocator (jemalloc, linked in place of libc's).
 * All may fail: NULL, and the caller says what then. The hot path calls none of them. Thread: any. */
#ifndef CORE_BASE_MEMORY_H
#define CORE_BASE_MEMORY_H

#include "core/base/language.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MEMORY_SPARE_BYTES_MAX = 64 * 1024 /* that memory_room() takes beyond what is asked for */ };

/* `count` bytes of zeros, aligned for any type. Owner: the caller, until memory_free(). */
MUST_USE void *memory_new(size_t count);

/* `count` bytes of zeros on a cache line of their own. Freed by memory_free(). */
MUST_USE void *memory_new_aligned(size_t count);

/* Resizes to `count` bytes; what is added is not zeroed. On NULL the old memory is untouched. */
MUST_USE void *memory_grow(void *memory, size_t count);

/* A copy of `count` bytes with a zero behind it. */
MUST_USE void *memory_copy(const void *data, size_t count);

/* NULL is allowed. */
void memory_free(void *memory);

/* Room for at least `bytes` in a buffer that is filled anew each time: what was there is lost when it grows,
 * and it never shrinks. A small one grows by doubling; a large one hardly takes more than it needs. *buffer
 * NULL and *capacity 0 is empty. False: memory is out, and it is empty. Owner: the caller, until
 * memory_free(*buffer). In the header, so that a test can let its memory run out as the caller's own. */
MUST_USE static inline bool memory_room(uint8_t **buffer, size_t *capacity, size_t bytes)
{
    size_t spare = bytes < MEMORY_SPARE_BYTES_MAX ? bytes : MEMORY_SPARE_BYTES_MAX;
    if (bytes <= *capacity)
        return true;
    memory_free(*buffer);
    *buffer = bytes > SIZE_MAX - spare ? NULL : (uint8_t *)memory_new(bytes + spare);
    *capacity = *buffer == NULL ? 0 : bytes + spare;
    return *buffer != NULL;
}

#endif
