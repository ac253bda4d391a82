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

/* The same for short ones, without a call: subjects on the hot path. Two overlapping loads cover 4 to 16
 * bytes. */
static inline bool bytes_equal_short(struct bytes a, struct bytes b)
{
    if (a.count != b.count)
        return false;
    if (a.count >= 8 && a.count <= 16) {
        uint64_t first[2], last[2];
        memcpy(&first[0], a.data, 8);
        memcpy(&first[1], b.data, 8);
        memcpy(&last[0], a.data + a.count - 8, 8);
        memcpy(&last[1], b.data + b.count - 8, 8);
        return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
    }
    if (a.count >= 4 && a.count < 8) {
        uint32_t first[2], last[2];
        memcpy(&first[0], a.data, 4);
        memcpy(&first[1], b.data, 4);
        memcpy(&last[0], a.data + a.count - 4, 4);
        memcpy(&last[1], b.data + b.count - 4, 4);
        return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
    }
    return bytes_equal(a, b);
}

static inline bool bytes_start_with(struct bytes whole, struct bytes start)
{
    return whole.count >= start.count &&
           (start.count == 0 || memcmp(whole.data, start.data, start.count) == 0);
}

#endif
