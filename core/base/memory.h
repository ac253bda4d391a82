/* core/base/memory.h - the one door to the allocator (jemalloc, linked in place of libc's).
 * All may fail: NULL, and the caller says what then. The hot path calls none of them. Thread: any. */
#ifndef CORE_BASE_MEMORY_H
#define CORE_BASE_MEMORY_H

#include "core/base/language.h"

#include <stddef.h>

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

#endif
