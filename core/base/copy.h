/* core/base/copy.h - copying short texts on the hot path.
 * Place in the flow: writing control lines into outputs and messages into mailboxes. Thread: any. */
#ifndef CORE_BASE_COPY_H
#define CORE_BASE_COPY_H

#include "core/base/bytes.h"
#include "core/base/language.h"

/* Copies up to 32 bytes in at most two overlapping moves: subjects, sids and sizes are short, and a call of
 * memcpy() for each of them costs more than all of their bytes. */
static ALWAYS_INLINE uint8_t *copy_short(uint8_t *to, struct bytes from)
{
    size_t count = from.count;
    const uint8_t *at = from.data;
    if (LIKELY(count >= 8 && count <= 16)) {
        uint64_t first, last;
        memcpy(&first, at, 8);
        memcpy(&last, at + count - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + count - 8, &last, 8);
    } else if (count > 16) {
        if (count <= 32) {
            uint64_t parts[4];
            memcpy(&parts[0], at, 16);
            memcpy(&parts[2], at + count - 16, 16);
            memcpy(to, &parts[0], 16);
            memcpy(to + count - 16, &parts[2], 16);
        } else {
            memcpy(to, at, count);
        }
    } else if (count >= 4) {
        uint32_t first, last;
        memcpy(&first, at, 4);
        memcpy(&last, at + count - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + count - 4, &last, 4);
    } else if (count > 0) {
        to[0] = at[0];
        to[count / 2] = at[count / 2];
        to[count - 1] = at[count - 1];
    }
    return to + count;
}

/* Writes the decimal digits, at most ten. */
static ALWAYS_INLINE uint8_t *copy_number(uint8_t *to, uint32_t value)
{
    uint8_t digits[10];
    unsigned count = 0;
    do {
        digits[count++] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

#endif
