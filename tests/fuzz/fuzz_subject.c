/* tests/fuzz/fuzz_subject.c - two targets in one, chosen by the first byte of the input.
 *   even: two subjects, split at the first newline, through every function of subject.h, against a naive
 *         implementation that cuts them into tokens first; then the same question to an index
 *   odd:  a program of three-byte steps for an index and a match cache, against index_model.h
 * What differs aborts. Seeds: tests/fuzz/corpus/subject. */
#include "core/subject/index.h"
#include "core/subject/subject.h"
#include "tests/unit/core/subject/index_model.h"

enum { TOKENS_MAX = 128, STEPS_MAX = 400 };

struct naive {
    struct bytes tokens[TOKENS_MAX];
    size_t count;
    bool some_empty;
    bool pattern;
    bool literal;
    bool wildcard;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_subject: differs: %s\n", what);
    abort();
}

static bool is(struct bytes token, const char *what)
{
    return bytes_equal(token, text(what));
}

/* False: more tokens than it has room for. */
static bool naive_split(struct bytes subject, struct naive *naive)
{
    *naive = (struct naive){.pattern = true, .literal = true};
    size_t start = 0;
    for (size_t at = 0; at <= subject.count; at++) {
        if (at < subject.count && subject.data[at] != '.')
            continue;
        if (naive->count == TOKENS_MAX)
            return false;
        naive->tokens[naive->count++] =
            bytes_of(subject.count == 0 ? NULL : subject.data + start, at - start);
        start = at + 1;
    }
    for (size_t i = 0; i < naive->count; i++) {
        bool last = i + 1 == naive->count;
        bool star = is(naive->tokens[i], "*");
        bool rest = is(naive->tokens[i], ">");
        bool empty = naive->tokens[i].count == 0;
        naive->some_empty = naive->some_empty || empty;
        naive->pattern = naive->pattern && !empty && (last || !rest);
        naive->literal = naive->literal && !empty && !star && !rest;
        naive->wildcard = naive->wildcard || star || (rest && last);
    }
    return true;
}

static bool naive_matches(const struct naive *pattern, const struct naive *subject)
{
    bool open = is(pattern->tokens[pattern->count - 1], ">");
    size_t fixed = open ? pattern->count - 1 : pattern->count;
    if (subject->some_empty || (open ? subject->count <= fixed : subject->count != fixed))
        return false;
    for (size_t i = 0; i < fixed; i++) {
        if (!is(pattern->tokens[i], "*") && !bytes_equal(pattern->tokens[i], subject->tokens[i]))
            return false;
    }
    return true;
}

static void check_relations(struct bytes a, const struct naive *na, struct bytes b, const struct naive *nb)
{
    must(subject_matches(a, b) == naive_matches(na, nb), "subject_matches");
    must(subject_collides(a, b) == subject_collides(b, a), "subject_collides is symmetric");
    must(subject_is_subset(a, a) == na->pattern, "a pattern is its own subset");
    if (!na->pattern || !nb->pattern) {
        must(!subject_is_subset(a, b) && !subject_collides(a, b), "what is no pattern covers nothing");
        return;
    }
    must(subject_is_subset(a, TEXT(">")), "everything is in >");
    if (subject_is_subset(a, b))
        must(subject_collides(a, b), "a subset collides");
    if (na->literal) /* then it stands for itself alone */
        must(subject_is_subset(a, b) == naive_matches(nb, na) &&
                 subject_collides(a, b) == naive_matches(nb, na),
             "a literal is a subset of what matches it");
    if (subject_is_subset(a, b) && subject_is_subset(b, a))
        must(bytes_equal(a, b), "only equal patterns are subsets of each other");
}

/* What two patterns have in common is in both, and holds every subject that is in both. */
static void check_intersection(struct bytes a, struct bytes b)
{
    uint8_t out[1024];
    if (a.count + b.count >= sizeof out)
        return;
    struct bytes both = bytes_of(out, subject_intersection(a, b, out, sizeof out));
    must((both.count > 0) == subject_collides(a, b), "what collides has something in common");
    if (both.count == 0)
        return;
    must(subject_is_subset(both, a) && subject_is_subset(both, b), "what is in common is in both");
    if (subject_is_subset(a, b))
        must(bytes_equal(both, a), "a subset is all that it has in common");
}

/* An index with one pattern answers as subject_matches() does. */
static void check_index(struct bytes pattern, struct bytes subject)
{
    struct index *index = index_new();
    struct match_cache *cache = match_cache_new(4);
    struct subscription subscription = {0};
    must(index != NULL && cache != NULL, "memory");
    must(index_add(index, pattern, TEXT(""), &subscription) == ERR_OK, "index_add");
    for (unsigned round = 0; round < 2; round++) {
        const struct match *match = NULL;
        must(match_cache_find(cache, index, subject, &match) == ERR_OK, "match_cache_find");
        must(match->interest_count == subject_matches(pattern, subject), "index and subject_matches");
    }
    index_remove(index, &subscription);
    must(index_figures(index).interests == 0, "nothing is left");
    index_free(index);
    match_cache_free(cache);
}

static void fuzz_subjects(struct bytes input)
{
    const uint8_t *newline = input.count == 0 ? NULL : memchr(input.data, '\n', input.count);
    if (newline == NULL)
        return;
    struct bytes a = bytes_of(input.data, (size_t)(newline - input.data));
    struct bytes b = bytes_of(newline + 1, input.count - a.count - 1);
    struct naive na;
    struct naive nb;
    if (!naive_split(a, &na) || !naive_split(b, &nb))
        return;
    must(subject_valid_pattern(a) == na.pattern, "subject_valid_pattern");
    must(subject_valid_literal(a) == na.literal, "subject_valid_literal");
    must(subject_has_wildcard(a) == na.wildcard, "subject_has_wildcard");
    must(subject_token_count(a) == na.count, "subject_token_count");
    check_relations(a, &na, b, &nb);
    check_relations(b, &nb, a, &na);
    if (na.pattern && nb.pattern)
        check_intersection(a, b);
    if (na.pattern && a.count <= UINT16_MAX)
        check_index(a, b);
}

static void fuzz_index(struct bytes input)
{
    static struct model model; /* large; model_init() starts it anew */
    model_init(&model, input.count % 2 == 0 ? 4 : 64, 0);
    for (size_t at = 0; at + 3 <= input.count && model.step < STEPS_MAX; at += 3, model.step++) {
        unsigned op = input.data[at];
        unsigned pattern = input.data[at + 1] % MODEL_PATTERNS;
        unsigned more = input.data[at + 2];
        unsigned queue = (op >> 2) % MODEL_QUEUES;
        switch (op % 4) {
        case 0:
            model_toggle(&model, more % MODEL_SUBSCRIPTIONS, pattern, queue);
            break;
        case 1:
            model_remote(&model, pattern, queue, more % MODEL_SHARDS, (more >> 2) % 4);
            break;
        default:
            model_match(&model, more % MODEL_SUBJECTS);
            break;
        }
        model_check_current(&model);
    }
    model_check_whole(&model);
    model_close(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes rest = bytes_of(data + 1, size - 1);
    if (data[0] % 2 == 0)
        fuzz_subjects(rest);
    else
        fuzz_index(rest);
    return 0;
}
