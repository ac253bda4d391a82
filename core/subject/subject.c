/* core/subject/subject.c - the rules of subjects: which are valid, and which match which.
 * The index (index_trie.c) answers the same question for many patterns at once; subject_matches() is what its
 * tests hold it against. Every function here walks tokens in a loop and looks at each byte once. */
#include "core/subject/subject.h"

#include "core/subject/tokens.h"

static bool patterns_both_valid(struct bytes a, struct bytes b);

bool subject_valid_pattern(struct bytes subject)
{
    bool rest_seen = false;
    for (size_t start = 0, end; start <= subject.count; start = end + 1) {
        end = token_end(subject, start);
        struct bytes token = token_of(subject, start, end);
        if (token.count == 0 || rest_seen)
            return false;
        rest_seen = token_is(token, '>');
    }
    return true;
}

bool subject_valid_literal(struct bytes subject)
{
    for (size_t start = 0, end; start <= subject.count; start = end + 1) {
        end = token_end(subject, start);
        struct bytes token = token_of(subject, start, end);
        if (token.count == 0 || token_is(token, '*') || token_is(token, '>'))
            return false;
    }
    return true;
}

bool subject_valid_spoken(struct bytes subject)
{
    for (size_t i = 0; i < subject.count; i++) {
        if (subject.data[i] <= ' ' || subject.data[i] == 0x7f)
            return false;
    }
    return subject_valid_literal(subject);
}

bool subject_has_wildcard(struct bytes subject)
{
    for (size_t start = 0, end; start <= subject.count; start = end + 1) {
        end = token_end(subject, start);
        struct bytes token = token_of(subject, start, end);
        if (token_is(token, '*') || (end == subject.count && token_is(token, '>')))
            return true;
    }
    return false;
}

size_t subject_token_count(struct bytes subject)
{
    size_t tokens = 1;
    for (size_t at = 0; at < subject.count; at++)
        tokens += subject.data[at] == '.';
    return tokens;
}

bool subject_matches(struct bytes pattern, struct bytes subject)
{
    size_t pattern_at = 0;
    size_t subject_at = 0;
    while (pattern_at <= pattern.count && subject_at <= subject.count) {
        size_t pattern_end = token_end(pattern, pattern_at);
        struct bytes wanted = token_of(pattern, pattern_at, pattern_end);
        if (pattern_end == pattern.count && token_is(wanted, '>'))
            return !tokens_some_empty(token_of(subject, subject_at, subject.count));
        size_t subject_end = token_end(subject, subject_at);
        struct bytes token = token_of(subject, subject_at, subject_end);
        if (token.count == 0 || (!token_is(wanted, '*') && !bytes_equal(wanted, token)))
            return false;
        pattern_at = pattern_end + 1;
        subject_at = subject_end + 1;
    }
    return pattern_at > pattern.count && subject_at > subject.count;
}

bool subject_is_subset(struct bytes inner, struct bytes outer)
{
    if (!patterns_both_valid(inner, outer))
        return false;
    size_t inner_at = 0;
    size_t outer_at = 0;
    while (inner_at <= inner.count && outer_at <= outer.count) {
        size_t inner_end = token_end(inner, inner_at);
        size_t outer_end = token_end(outer, outer_at);
        struct bytes narrow = token_of(inner, inner_at, inner_end);
        struct bytes wide = token_of(outer, outer_at, outer_end);
        if (token_is(wide, '>'))
            return true;
        if (token_is(narrow, '>'))
            return false;
        if (!token_is(wide, '*') && !bytes_equal(narrow, wide))
            return false; /* a `*` in `inner` against a literal ends here too: the bytes differ */
        inner_at = inner_end + 1;
        outer_at = outer_end + 1;
    }
    return inner_at > inner.count && outer_at > outer.count;
}

bool subject_collides(struct bytes a, struct bytes b)
{
    if (!patterns_both_valid(a, b))
        return false;
    size_t a_at = 0;
    size_t b_at = 0;
    while (a_at <= a.count && b_at <= b.count) {
        size_t a_end = token_end(a, a_at);
        size_t b_end = token_end(b, b_at);
        struct bytes a_token = token_of(a, a_at, a_end);
        struct bytes b_token = token_of(b, b_at, b_end);
        if (token_is(a_token, '>') || token_is(b_token, '>'))
            return true;
        if (!token_is(a_token, '*') && !token_is(b_token, '*') && !bytes_equal(a_token, b_token))
            return false;
        a_at = a_end + 1;
        b_at = b_end + 1;
    }
    return a_at > a.count && b_at > b.count;
}

size_t subject_intersection(struct bytes a, struct bytes b, uint8_t *out, size_t capacity)
{
    size_t count = 0;
    size_t a_at = 0;
    size_t b_at = 0;
    if (!subject_collides(a, b))
        return 0;
    while (a_at <= a.count && b_at <= b.count) {
        size_t a_end = token_end(a, a_at);
        size_t b_end = token_end(b, b_at);
        struct bytes narrow = token_of(a, a_at, a_end);
        bool a_rest = token_is(narrow, '>');
        if (a_rest) /* then all that is left of the other one */
            narrow = token_of(b, b_at, b.count);
        else if (token_is(token_of(b, b_at, b_end), '>'))
            narrow = token_of(a, a_at, a.count);
        else if (token_is(narrow, '*'))
            narrow = token_of(b, b_at, b_end);
        bool rest = a_rest || token_is(token_of(b, b_at, b_end), '>');
        if (narrow.count + (count > 0) > capacity - count)
            return 0;
        if (count > 0)
            out[count++] = '.';
        memcpy(out + count, narrow.data, narrow.count);
        count += narrow.count;
        if (rest)
            return count;
        a_at = a_end + 1;
        b_at = b_end + 1;
    }
    return count;
}

/* What is not a pattern matches nothing; for permissions "not covered" is the safe answer. */
static bool patterns_both_valid(struct bytes a, struct bytes b)
{
    return subject_valid_pattern(a) && subject_valid_pattern(b);
}
