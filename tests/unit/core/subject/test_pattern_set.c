/* core/subject/pattern_set.c: rows for what people expect, and all small sets against all small patterns,
 * told by what they match one by one. */
#include "core/base/language.h"
#include "core/base/random.h"
#include "core/subject/pattern_set.h"
#include "core/subject/subject.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { PATTERNS_MAX = 8 };

struct made {
    struct pattern_set set;
    struct arena arena;
    struct bytes patterns[PATTERNS_MAX];
    uint32_t count;
};

/* `words` are patterns between blanks. */
static void make(struct made *made, const char *words)
{
    *made = (struct made){0};
    for (const char *at = words; *at != 0;) {
        size_t count = strcspn(at, " ");
        cr_assert(made->count < PATTERNS_MAX);
        made->patterns[made->count++] = bytes_of(at, count);
        at += count;
        at += strspn(at, " ");
    }
    cr_assert_eq(pattern_set_make(&made->set, made->patterns, made->count, &made->arena), ERR_OK);
}

Test(pattern_set, answers_the_three_questions)
{
    static const struct {
        const char *set, *subject;
        bool matches, covers, collides;
    } rows[] = {
        {"", "a", false, false, false},
        {"a", "a", true, true, true},
        {"a", "a.b", false, false, false},
        {"a.b", "a", false, false, false},
        {"a.*", "a.b", true, true, true},
        {"a.*", "a.>", true, false, true}, /* what nats-server lets through: `>` taken for a token */
        {"a.*", "a.*", true, true, true},
        {"a.*", ">", false, false, true},
        {"a.*", "*", false, false, false},
        {"a.*", "*.b", false, false, true},
        {"a.*", "*.b.c", false, false, false},
        {"a.>", "a", false, false, false},
        {"a.>", "a.>", true, true, true},
        {"a.>", "a.*.c", true, true, true},
        {"a.>", "*.>", false, false, true},
        {">", ">", true, true, true},
        {">", "x.*.>", true, true, true},
        {"*", ">", true, false, true},
        {"* *.>", ">", true, true, true}, /* together */
        {"a.* a.*.>", "a.>", true, true, true},
        {"a.* *.*.>", "a.>", true, true, true}, /* from two branches */
        {"a.* *.*.*.>", "a.>", true, false, true},
        {"a.b *.c", "a.c", true, true, true}, /* back from a.b */
        {"a.b.c *.b.d", "a.b.d", true, true, true},
        {"a b c", "*", false, false, true},
        {"a", "", false, false, false},
        {"*", "", false, false, false},
        {"a.*", "a.", false, false, false},
        {">", "a..b", false, false, false},
        {">", "a.>.b", true, false, false}, /* as a literal it may be published, as a pattern it is none */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct made made;
        struct bytes subject = text(rows[i].subject);
        make(&made, rows[i].set);
        cr_expect_eq(pattern_set_matches(&made.set, subject), rows[i].matches, "[%s] matches %s", rows[i].set,
                     rows[i].subject);
        cr_expect_eq(pattern_set_covers(&made.set, subject), rows[i].covers, "[%s] covers %s", rows[i].set,
                     rows[i].subject);
        cr_expect_eq(pattern_set_collides(&made.set, subject), rows[i].collides, "[%s] collides %s",
                     rows[i].set, rows[i].subject);
        arena_close(&made.arena);
    }
}

/* A pattern of one to four tokens, as far as possible a valid one. */
static struct bytes random_pattern(struct random *random, char out[16], bool rest)
{
    static const char *const words[] = {"a", "b", "*", "*"};
    uint32_t tokens = 1 + random_below(random, 3);
    int count = 0;
    for (uint32_t i = 0; i < tokens; i++)
        count += snprintf(out + count, 16 - (size_t)count, "%s%s", i > 0 ? "." : "",
                          words[random_below(random, COUNT_OF(words))]);
    if (rest && random_below(random, 2) == 0)
        count += snprintf(out + count, 16 - (size_t)count, ".>");
    if (rest && random_below(random, 16) == 0)
        count = snprintf(out, 16, ">");
    return bytes_of(out, (size_t)count);
}

static bool any_matches(const struct made *made, struct bytes subject)
{
    for (uint32_t i = 0; i < made->count; i++) {
        if (subject_matches(made->patterns[i], subject))
            return true;
    }
    return false;
}

/* Every subject of up to six tokens out of a, b and z, which no pattern names, stands for all there are. */
static void told_one_by_one(const struct made *made, struct bytes pattern, bool *covers, bool *collides)
{
    *covers = true;
    *collides = false;
    for (uint32_t tokens = 1, all = 3; tokens <= 6; tokens++, all *= 3) {
        for (uint32_t number = 0; number < all; number++) {
            char subject[16];
            uint32_t left = number;
            for (uint32_t i = 0; i < tokens; i++, left /= 3) {
                subject[i * 2] = "abz"[left % 3];
                subject[i * 2 + 1] = '.';
            }
            struct bytes bytes = bytes_of(subject, tokens * 2 - 1);
            bool wanted = subject_matches(pattern, bytes), had = any_matches(made, bytes);
            cr_assert_eq(pattern_set_matches(&made->set, bytes), had, "%.*s", BYTES_PRINTF(bytes));
            *covers = *covers && (!wanted || had);
            *collides = *collides || (wanted && had);
        }
    }
}

Test(pattern_set, agrees_with_what_its_patterns_match_one_by_one)
{
    struct random random;
    random_seed(&random, 12);
    for (int round = 0; round < 1500; round++) {
        struct made made = {0};
        char texts[PATTERNS_MAX][16], asked[16];
        bool covers, collides;
        made.count = 1 + random_below(&random, PATTERNS_MAX);
        for (uint32_t i = 0; i < made.count; i++)
            made.patterns[i] = random_pattern(&random, texts[i], true);
        cr_assert_eq(pattern_set_make(&made.set, made.patterns, made.count, &made.arena), ERR_OK);
        struct bytes pattern = random_pattern(&random, asked, true);
        told_one_by_one(&made, pattern, &covers, &collides);
        cr_assert_eq(pattern_set_covers(&made.set, pattern), covers, "round %d: %.*s", round,
                     BYTES_PRINTF(pattern));
        cr_assert_eq(pattern_set_collides(&made.set, pattern), collides, "round %d: %.*s", round,
                     BYTES_PRINTF(pattern));
        arena_close(&made.arena);
    }
}

Test(pattern_set, that_does_not_fit_its_arena_is_empty)
{
    struct bytes patterns[] = {TEXT("a.b.c"), TEXT("*.>")};
    for (size_t limit = 1;; limit += 8) {
        struct arena arena = {.limit_bytes = limit};
        struct pattern_set set;
        enum err err = pattern_set_make(&set, patterns, COUNT_OF(patterns), &arena);
        cr_expect_eq(pattern_set_matches(&set, TEXT("a.b.c")), err == ERR_OK);
        arena_close(&arena);
        if (err == ERR_OK)
            break;
        cr_assert_eq(err, ERR_MEMORY);
    }
}
