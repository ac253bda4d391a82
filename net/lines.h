/* net/lines.h - the PUB lines that a thread has seen lately, taken apart: publishers repeat themselves.
 * In the flow:  parser_next() -> line_repeated() or lines_find() -> an operation without looking at its
 * arguments
 *
 * Each line that is kept has a serial of its own. Who has made something of a line (the router its match, a
 * receiver the line that it is sent) finds by the serial that it can use that again. A serial is never used
 * for two different lines, on no thread.
 * At the bound: a fixed table with two places for each hash; a new line takes that of the older one. One
 * thread's. */
#ifndef NET_LINES_H
#define NET_LINES_H

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    LINE_BYTES = 64, /* longer lines are not kept */
    LINES = 4096,    /* 512 KiB, of which a thread touches what its publishers say */
};

/* "PUB subject [reply] size CR LF" with single blanks: what client libraries send. */
struct line {
    uint8_t bytes[LINE_BYTES]; /* as received; what stands behind `count` is of no meaning */
    uint64_t serial;           /* 0: no line, or one that is not kept */
    uint32_t total_bytes;
    uint8_t count; /* from "PUB" to its LF */
    uint8_t subject_count;
    uint8_t reply_at;
    uint8_t reply_count; /* 0: no reply */
    uint8_t size_at;
    uint8_t size_count;
};

struct lines; /* opaque */

/* `first_serial`: above it come the serials of this table. NULL when memory is out. */
MUST_USE struct lines *lines_new(uint64_t first_serial);
void lines_free(struct lines *lines);

/* Forgets all lines: what comes from now on has new serials, and nothing that was made of a line before
 * serves it. */
void lines_forget(struct lines *lines);

/* A line that no bytes repeat: where a parser begins. Good for ever. */
const struct line *lines_none(const struct lines *lines);

/* The line that LINE_BYTES bytes begin with, from the table, or taken apart and kept there now; one with a
 * reply, or to an inbox, is taken apart and not kept: its serial is 0. NULL: it is of another kind, longer,
 * or wrong. What it points to is another line's after the next call. */
const struct line *lines_find(struct lines *lines, const uint8_t *start);

/* ---- inline: hot ---- */

/* Which of the first 64 bytes are the same: a bit for each; where 32 are enough, for these only. */
static ALWAYS_INLINE uint64_t line_same_bytes(const uint8_t *a, const uint8_t *b, bool all)
{
    uint64_t same = 0;
#if defined(__SSE2__)
    for (unsigned part = 0; part < (all ? 4U : 2U); part++) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(a + part * 16));
        __m128i y = _mm_loadu_si128((const __m128i *)(const void *)(b + part * 16));
        same |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) << (part * 16);
    }
#else
    for (unsigned i = 0; i < (all ? 64U : 32U); i++)
        same |= (uint64_t)(a[i] == b[i]) << i;
#endif
    return same;
}

/* The bits of line_same_bytes() that have to be set where the line stands again. */
static ALWAYS_INLINE uint64_t line_bits(const struct line *line)
{
    return line->count >= 64 ? UINT64_MAX : (1ULL << line->count) - 1;
}

/* Whether LINE_BYTES bytes begin with the line. */
static ALWAYS_INLINE bool line_repeated(const struct line *line, const uint8_t *start)
{
    uint64_t needed = line_bits(line);
    return (line_same_bytes(line->bytes, start, line->count > 32) & needed) == needed && line->serial != 0;
}

#endif
