/* core/base/bytes.h - a pointer and a length as one value: the form in which subjects, lines and payloads
 * travel. Never owns what it points to; may hold any byte, zero included; not terminated. */
#ifndef CORE_BASE_BYTES_H
#define CORE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data; /* may be NULL when count is 0 */
    size_t count;
};

/* A string literal as bytes, without its terminator. */
#define TEXT(literal) ((struct bytes){(const uint8_t *)("" literal), sizeof(literal) - 1})

/* Arguments for a "%.*s". */
#define BYTES_PRINTF(b) (int)(b).count, (const char *)(b).data

static inline struct bytes bytes_of(const void *data, size_t count)
{
    return (struct bytes){data, count};
}

static inline struct bytes text(const char *terminated)
{
    return (struct bytes){(const uint8_t *)terminated, strlen(terminated)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.count == b.count && (a.count == 0 || memcmp(a.data, b.data, a.count) == 0);
}

static inline bool bytes_start_with(struct bytes whole, struct bytes start)
{
    return whole.count >= start.count &&
           (start.count == 0 || memcmp(whole.data, start.data, start.count) == 0);
}

#endif
