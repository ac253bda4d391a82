/* net/lines.c - the table behind lines.h. Hot: lines_find() runs for every message whose line is not that of
 * the message before. */
#include "net/lines.h"

#include "core/base/memory.h"

#include <string.h>

enum { WAYS = 2 };

struct lines {
    struct line table[LINES / WAYS][WAYS];
    struct line none;
    struct line passing; /* the last one that was not kept */
    uint64_t last_serial;
};

enum { PUB_BYTES = 4, SIZE_DIGITS_MAX = 9, SHIFT = 64 - 11 };
_Static_assert(LINES / WAYS == 1 << (64 - SHIFT), "the hash's upper bits choose the place");

struct lines *lines_new(uint64_t first_serial)
{
    struct lines *lines = memory_new_aligned(sizeof *lines);
    if (lines == NULL)
        return NULL;
    memset(lines, 0, sizeof *lines);
    lines->last_serial = first_serial;
    return lines;
}

void lines_free(struct lines *lines)
{
    memory_free(lines);
}

void lines_forget(struct lines *lines)
{
    memset(lines->table, 0, sizeof lines->table);
}

const struct line *lines_none(const struct lines *lines)
{
    return &lines->none;
}

/* Which of `count` bytes are blanks, and which are control bytes: a bit for each. */
static ALWAYS_INLINE void scan(const uint8_t *at, unsigned count, uint64_t *blanks, uint64_t *controls)
{
    *blanks = *controls = 0;
#if defined(__SSE2__)
    for (unsigned part = 0; part < count / 16; part++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(at + part * 16));
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(' ' - 1)), bytes);
        __m128i blank = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '));
        *controls |= (uint64_t)(uint32_t)_mm_movemask_epi8(control) << (part * 16);
        *blanks |= (uint64_t)(uint32_t)_mm_movemask_epi8(blank) << (part * 16);
    }
#else
    for (unsigned i = 0; i < count; i++) {
        *controls |= (uint64_t)(at[i] < ' ') << i;
        *blanks |= (uint64_t)(at[i] == ' ') << i;
    }
#endif
}

/* Of all bytes of the line. Who makes lines collide makes his own messages slower, no others. */
static ALWAYS_INLINE uint64_t hash(const uint8_t *start, unsigned count)
{
    uint64_t mixed = count, word;
    for (unsigned at = PUB_BYTES; at + 8 < count; at += 8) {
        memcpy(&word, start + at, 8);
        mixed = (mixed ^ word) * 0x9e3779b97f4a7c15ULL;
        mixed ^= mixed >> 32;
    }
    memcpy(&word, start + count - 8, 8); /* a line has at least "PUB a 0" CR LF */
    return (mixed ^ word) * 0x9e3779b97f4a7c15ULL;
}

static bool size_read(const uint8_t *digits, unsigned count, uint32_t *size)
{
    if (count == 0 || count > SIZE_DIGITS_MAX)
        return false;
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned digit = (unsigned)digits[i] - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    *size = value;
    return true;
}

/* Takes the line apart, whose blanks and end are known. False: its parts are not those of a PUB. */
static bool take_apart(struct line *line, const uint8_t *start, uint64_t blanks, unsigned end)
{
    blanks &= ~0xfULL & ((1ULL << end) - 1); /* behind "PUB ", before CR */
    unsigned tokens = (unsigned)__builtin_popcountll(blanks);
    if (tokens < 1 || tokens > 2)
        return false;
    unsigned first = (unsigned)__builtin_ctzll(blanks);
    unsigned last = 63U - (unsigned)__builtin_clzll(blanks);
    uint32_t total = 0;
    bool whole = first > PUB_BYTES && (tokens == 1 || last > first + 1) &&
                 size_read(start + last + 1, end - last - 1, &total);
    if (!whole)
        return false;
    line->subject_count = (uint8_t)(first - PUB_BYTES);
    line->reply_at = (uint8_t)(first + 1);
    line->reply_count = tokens == 2 ? (uint8_t)(last - first - 1) : 0;
    line->size_at = (uint8_t)(last + 1);
    line->size_count = (uint8_t)(end - last - 1);
    line->total_bytes = total;
    line->count = (uint8_t)(end + 2);
    memcpy(line->bytes, start, LINE_BYTES);
    return true;
}

/* Requests name an inbox, answers go to one: such a line comes once, and would only push out what comes
 * again. */
static ALWAYS_INLINE bool worth_keeping(const uint8_t *start, uint64_t blanks, unsigned end)
{
    uint64_t inside = blanks & ~0xfULL & ((1ULL << end) - 1);
    return start[PUB_BYTES] != '_' && (inside & (inside - 1)) == 0;
}

const struct line *lines_find(struct lines *lines, const uint8_t *start)
{
    uint64_t blanks, controls;
    scan(start, LINE_BYTES / 2, &blanks, &controls);
    if (UNLIKELY(controls == 0)) /* a long line */
        scan(start, LINE_BYTES, &blanks, &controls);
    unsigned end = controls == 0 ? LINE_BYTES : (unsigned)__builtin_ctzll(controls);
    if (end + 2 > LINE_BYTES || end < PUB_BYTES + 3 || start[end] != '\r' || start[end + 1] != '\n' ||
        memcmp(start, "PUB ", PUB_BYTES) != 0)
        return NULL;
    if (!worth_keeping(start, blanks, end))
        return take_apart(&lines->passing, start, blanks, end) ? &lines->passing : NULL;
    struct line *set = lines->table[hash(start, end + 2) >> SHIFT];
    if (LIKELY(line_repeated(&set[0], start)))
        return &set[0];
    if (LIKELY(line_repeated(&set[1], start)))
        return &set[1];
    struct line *line = &set[set[0].serial > set[1].serial]; /* the older one, or a free one */
    line->serial = 0;
    if (!take_apart(line, start, blanks, end))
        return NULL;
    line->serial = ++lines->last_serial;
    return line;
}
