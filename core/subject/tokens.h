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

/* The token from `start` to `end`. */
static inline struct bytes token_of(struct bytes subject, size_t start, size_t end)
{
    return bytes_of(subject.count == 0 ? NULL : subject.data + start, end - start);
}

static inline bool token_is(struct bytes token, char byte)
{
    return token.count == 1 && token.data[0] == (uint8_t)byte;
}

/* Whether some token is empty; such a subject matches nobody (spec/client-protocol.md 6.3). */
static inline bool tokens_some_empty(struct bytes subject)
{
    unsigned empty = 0;
    unsigned after_dot = 1;
    for (size_t at = 0; at < subject.count; at++) {
        unsigned dot = subject.data[at] == '.';
        empty |= dot & after_dot;
        after_dot = dot;
    }
    return (empty | after_dot) != 0;
}

#endif
