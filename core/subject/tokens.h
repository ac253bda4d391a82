/* core/subject/tokens.h - walking a subject token by token; shared by the rules (subject.c) and the trie.
 * A token that starts at `start` is there while start <= count; the next one starts at its end + 1. So an
 * empty subject has one empty token, and `a.` has two. Pure; thread: any. */
#ifndef CORE_SUBJECT_TOKENS_H
#define CORE_SUBJECT_TOKENS_H

#include "core/base/bytes.h"

/* The first position behind the token at `start`: its dot, or the end. A loop and not memchr(): tokens are
 * shorter than what a call costs. */
static inline size_t token_end(struct bytes subject, size_t start)
{
    size_t at = start;
    while (at < subject.count && subject.data[at] != '.')
        at++;
    return at;
}

/* The token from `start` to `end`; an empty one points nowhere: the subject may have no bytes to point at. */
static inline struct bytes token_of(struct bytes subject, size_t start, size_t end)
{
    if (start == end)
        return bytes_of(NULL, 0);
    return bytes_of(subject.data + start, end - start);
}

static inline bool token_is(struct bytes token, char byte)
{
    return token.count == 1 && token.data[0] == (uint8_t)byte;
}

/* The top bit of each byte of `word` that is a dot, exactly: no borrow from one byte to the next. */
static inline uint64_t tokens_dots_in(uint64_t word)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fULL;
    uint64_t differ = word ^ 0x2e2e2e2e2e2e2e2eULL;
    return ~(((differ & low) + low) | differ | low);
}

/* Whether some token is empty; such a subject matches nobody (spec/client-protocol.md 6.3). Eight bytes at a
 * time in steps of seven, so that every two neighbours meet in some step; in either byte order. */
static inline bool tokens_some_empty(struct bytes subject)
{
    if (subject.count == 0 || subject.data[0] == '.' || subject.data[subject.count - 1] == '.')
        return true;
    size_t at = 0;
    for (; at + 8 <= subject.count; at += 7) {
        uint64_t word;
        memcpy(&word, subject.data + at, sizeof(word));
        uint64_t dots = tokens_dots_in(word);
        if ((dots & (dots >> 8)) != 0)
            return true;
    }
    for (; at + 1 < subject.count; at++) {
        if (subject.data[at] == '.' && subject.data[at + 1] == '.')
            return true;
    }
    return false;
}

#endif
