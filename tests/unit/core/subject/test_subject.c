/* tests/unit/core/subject/test_subject.c - the rules of spec/client-protocol.md 6, row by row, and the
 * relations between them over all short patterns. */
#include "core/subject/subject.h"

#include "core/base/language.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct form_case {
    const char *subject;
    bool pattern;
    bool literal;
    bool wildcard;
    size_t tokens;
};

static const struct form_case form_cases[] = {
    /* subject       pattern literal wildcard tokens */
    {"foo", true, true, false, 1},    {"foo.bar", true, true, false, 2},
    {"*", true, false, true, 1},      {">", true, false, true, 1},
    {"foo.*", true, false, true, 2},  {"foo.*.bar", true, false, true, 3},
    {"foo.>", true, false, true, 2},  {"foo*", true, true, false, 1},
    {"*foo", true, true, false, 1},   {"f*o.b>r", true, true, false, 2},
    {"foo.**", true, true, false, 2}, {"foo.>>", true, true, false, 2},
    {"foo>", true, true, false, 1},   {"foo.>.bar", false, false, false, 3},
    {">.a", false, false, false, 2},  {">.*", false, false, true, 2},
    {">.>", false, false, true, 2},   {"", false, false, false, 1},
    {".", false, false, false, 2},    {".foo", false, false, false, 2},
    {"foo.", false, false, false, 2}, {"foo..bar", false, false, false, 3},
    {"*.", false, false, true, 2},    {">.", false, false, false, 2},
};

Test(subject, form_is_judged_by_token)
{
    for (size_t i = 0; i < COUNT_OF(form_cases); i++) {
        const struct form_case *c = &form_cases[i];
        struct bytes s = text(c->subject);
        cr_expect_eq(subject_valid_pattern(s), c->pattern, "valid pattern: '%s'", c->subject);
        cr_expect_eq(subject_valid_literal(s), c->literal, "valid literal: '%s'", c->subject);
        cr_expect_eq(subject_has_wildcard(s), c->wildcard, "wildcard: '%s'", c->subject);
        cr_expect_eq(subject_token_count(s), c->tokens, "tokens: '%s'", c->subject);
    }
    cr_expect_not(subject_valid_pattern(bytes_of(NULL, 0)));
    cr_expect_eq(subject_token_count(bytes_of(NULL, 0)), 1);
}

struct pair_case {
    const char *a;
    const char *b;
    bool expected;
};

static const struct pair_case match_cases[] = {
    {"orders.*", "orders.eu", true},
    {"orders.*", "orders.eu.1", false},
    {"orders.>", "orders", false}, /* '>' stands for at least one token */
    {"orders.>", "orders.eu", true},
    {"a.>", "a.b.c", true},
    {"*.b", "a.b", true},
    {"*.b", "b", false},
    {"*.b", "x.y.b", false},
    {"a.*.c", "a.b.c", true},
    {"a.*.c", "a.c", false},
    {"a.*.c", "a..c", false},
    {">", "a", true},
    {">", "a.b.c.d", true},
    {">", "", false},
    {">", "a..b", false},
    {">", "a.", false},
    {">", ".a", false},
    {"a.>", "a.b..c", false},
    {"a.>", "a.", false},
    {"*", "", false},
    {"*", "a", true},
    {"*.*", "a", false},
    {"foo", "foo", true},
    {"foo", "Foo", false},
    {"foo", "foo.bar", false},
    {"foo.bar", "foo", false},
    {"foo*", "foobar", false},
    {"foo*", "foo*", true},
    {"foo.**", "foo.ab", false},
    {"foo.>>", "foo.a.b", false},
    /* wildcards in a published subject are bytes */
    {"foo.*", "foo.*", true},
    {"foo.>", "foo.*", true},
    {"foo.*", "foo.>", true},
    {"foo.>", "foo.>", true},
    {">", "foo.>", true},
    {"foo.bar", "foo.*", false},
    {"foo.bar", "foo.>", false},
    {"foo.bar", ">", false},
};

Test(subject, wildcards_match_by_token_and_published_bytes_are_literal)
{
    for (size_t i = 0; i < COUNT_OF(match_cases); i++) {
        const struct pair_case *c = &match_cases[i];
        cr_expect_eq(subject_matches(text(c->a), text(c->b)), c->expected, "pattern '%s', subject '%s'", c->a,
                     c->b);
    }
}

static const struct pair_case subset_cases[] = {
    /* inner, outer */
    {"foo", "foo", true},
    {"foo", "*", true},
    {"foo", ">", true},
    {"*", ">", true},
    {">", "*", false},
    {"*", "foo", false},
    {">", ">", true},
    {"foo.*", "foo.>", true},
    {"foo.>", "foo.*", false},
    {"foo.>", ">", true},
    {"foo.bar", "*.*", true},
    {"foo.*", "*.bar", false},
    {"foo.>", "foo.*.>", false},
    {"foo.*.>", "foo.>", true},
    {"foo", "foo.>", false},
    {"foo.bar", "foo", false},
    {"foo..bar", ">", false},
    {"", ">", false},
    {"foo.>.bar", ">", false},
};

static const struct pair_case collide_cases[] = {
    {"foo", "foo", true},        {"foo", "bar", false},   {"foo.*", "*.bar", true}, {"foo.>", "*.bar", true},
    {"foo.>", "bar.>", false},   {"foo.>", "foo", false}, {"*.*", ">", true},       {"a.*.c", "a.b.>", true},
    {"a.*.c", "a.b.*.>", false}, {"a..b", ">", false},
};

Test(subject, subset_means_that_all_is_covered)
{
    for (size_t i = 0; i < COUNT_OF(subset_cases); i++) {
        const struct pair_case *c = &subset_cases[i];
        cr_expect_eq(subject_is_subset(text(c->a), text(c->b)), c->expected, "inner '%s', outer '%s'", c->a,
                     c->b);
    }
}

Test(subject, collision_means_that_some_subject_hits_both)
{
    for (size_t i = 0; i < COUNT_OF(collide_cases); i++) {
        const struct pair_case *c = &collide_cases[i];
        cr_expect_eq(subject_collides(text(c->a), text(c->b)), c->expected, "'%s' and '%s'", c->a, c->b);
        cr_expect_eq(subject_collides(text(c->b), text(c->a)), c->expected, "'%s' and '%s'", c->b, c->a);
    }
}

/* The n-th sequence of one to three tokens; NULL behind the last. */
static const char *sequence(const char *const *tokens, size_t token_count, size_t n, char *into, size_t room)
{
    size_t of_length = token_count;
    for (unsigned length = 1; length <= 3; length++, of_length *= token_count) {
        if (n >= of_length) {
            n -= of_length;
            continue;
        }
        size_t used = 0;
        for (unsigned i = 0; i < length; i++, n /= token_count)
            used += (size_t)snprintf(into + used, room - used, "%s%s", i == 0 ? "" : ".",
                                     tokens[n % token_count]);
        return into;
    }
    return NULL;
}

/* Goal: subset and collision mean what they say. Method: over all patterns of at most three tokens, compare
 * with what the literal subjects of at most four tokens say; a `>` needs one token more than the patterns
 * have, and `z` stands for a token that no pattern names. */
Test(subject, relations_agree_with_the_subjects_that_match, .timeout = 60)
{
    static const char *const pattern_tokens[] = {"a", "b", "*", ">"};
    static const char *const subject_tokens[] = {"a", "b", "z"};
    char a[32], b[32], s[32], longer[40];
    for (size_t i = 0; sequence(pattern_tokens, 4, i, a, sizeof(a)) != NULL; i++) {
        for (size_t j = 0; sequence(pattern_tokens, 4, j, b, sizeof(b)) != NULL; j++) {
            if (!subject_valid_pattern(text(a)) || !subject_valid_pattern(text(b)))
                continue;
            bool subset = true;
            bool collides = false;
            uint8_t both[64];
            struct bytes common = bytes_of(both, subject_intersection(text(a), text(b), both, sizeof both));
            for (size_t k = 0; sequence(subject_tokens, 3, k, s, sizeof(s)) != NULL; k++) {
                for (unsigned more = 0; more < 2; more++) {
                    snprintf(longer, sizeof(longer), "%s%s", s, more ? ".z" : "");
                    bool in_a = subject_matches(text(a), text(longer));
                    bool in_b = subject_matches(text(b), text(longer));
                    subset = subset && (!in_a || in_b);
                    collides = collides || (in_a && in_b);
                    cr_expect_eq(common.count > 0 && subject_matches(common, text(longer)), in_a && in_b,
                                 "'%s' in '%s' and '%s'", longer, a, b);
                }
            }
            cr_expect_eq(subject_is_subset(text(a), text(b)), subset, "inner '%s', outer '%s'", a, b);
            cr_expect_eq(subject_collides(text(a), text(b)), collides, "'%s' and '%s'", a, b);
        }
    }
}

Test(subject, what_the_server_makes_of_names_can_stand_in_a_line)
{
    static const char *const good[] = {"a", "$SYS.ACCOUNT.A.CONNECT", "a.\xc3\xa9.b", "a*.b>"};
    static const char *const bad[] = {"", "a b", "a\tb", "a\r\nPING", "a.\x7f", "a..b", "a.*", ">", ".a"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        cr_expect(subject_valid_spoken(text(good[i])), "%s", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_not(subject_valid_spoken(text(bad[i])), "%s", bad[i]);
}
