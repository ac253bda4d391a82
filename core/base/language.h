/* core/base/language.h - what C lacks and every file needs: attributes, CONTAINER_OF, array sizes.
 * Place in the flow: none; no code, no state. */
#ifndef CORE_BASE_LANGUAGE_H
#define CORE_BASE_LANGUAGE_H

#include <stddef.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_position, first_argument_position)                                                \
    __attribute__((format(printf, format_position, first_argument_position)))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* The object that embeds `member`, from a pointer to that member. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* What may be written by one thread stands on lines that no other thread writes. */
enum { CACHE_LINE_BYTES = 64 };
#define CACHE_LINE_ALIGNED __attribute__((aligned(64)))

#endif
