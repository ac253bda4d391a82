/* Transforms and mappings: what each function makes of a value, what a refusal says, the way back, and the
 * draw of weights (spec/security.md 6; each row was seen from nats-server). */
#include "core/base/language.h"
#include "core/subject/mapping.h"

#include <criterion/criterion.h>

static const struct {
    const char *source, *destination, *subject, *result;
} applied[] = {
    {"a.*", "x.$1", "a.b", "x.b"},
    {"a.*.*", "x.$2.$1", "a.b.c", "x.c.b"},
    {"a.*.*", "x.{{wildcard(2)}}.{{ Wildcard( 1 ) }}", "a.b.c", "x.c.b"},
    {"a.*", "x.$1.$1", "a.b", "x.b.b"},
    {"a.*", "x.$0", "a.b", "x.a"},
    {"a.*", "x.$JS", "a.b", "x.$JS"},
    {"a.*", "x.pre{{wildcard(1)}}", "a.b", "x.pre{{wildcard(1)}}"},
    {"a.*", "x.{{wildcard(1)", "a.b", "x.{{wildcard(1)"},
    {"a.*.>", "x.$1.>", "a.b.c.d", "x.b.c.d"},
    {"a.>", ">", "a.b.c", "b.c"},
    {">", "x.>", "a.b", "x.a.b"},
    {"a", "b", "a", "b"},
    {"a.*.*", "x.{{partition(10,1,2)}}", "a.b.c", "x.6"},
    {"a.*", "x.{{partition(0,1)}}", "a.b", "x.0"},
    {"a.*", "x.{{partition(7)}}", "a.b", "x.5"},
    {"a.*", "x.{{partition(0)}}", "a.b", "x.0"},
    {"a", "x.{{partition(3)}}", "a", "x.1"},
    {"a.*", "{{partition(3,1)}}", "a.foobar", "1"},
    {"a.*", "{{partition(10,1)}}", "a.abc", "1"},
    {"a.*.*", "{{partition(3,1,2)}}", "a.a.b", "0"},
    {"a.*", "x.{{random(0)}}", "a.b", "x.0"},
    {"a.*", "x.{{random(1)}}", "a.b", "x.0"},
    {"a.*", "x.{{left(1,0)}}", "a.abc", "x.abc"},
    {"a.*", "x.{{left(1,2)}}", "a.abc", "x.ab"},
    {"a.*", "x.{{left(1,9)}}", "a.abc", "x.abc"},
    {"a.*", "x.{{left(1,-1)}}", "a.abc", "x.abc"},
    {"a.*", "x.{{right(1,2)}}", "a.abc", "x.bc"},
    {"a.*", "x.{{Right(1,9)}}", "a.abc", "x.abc"},
    {"a.*", "x.{{slicefromleft(1,0)}}", "a.abcdefgh", "x.abcdefgh"},
    {"a.*", "x.{{slicefromleft(1,3)}}", "a.abcdefgh", "x.abc.def.gh"},
    {"a.*", "x.{{SliceFromLeft(1,4)}}", "a.abcdefgh", "x.abcd.efgh"},
    {"a.*", "x.{{sliceFromLeft(1,9)}}", "a.abcdefgh", "x.abcdefgh"},
    {"a.*", "x.{{slicefromright(1,3)}}", "a.abcdefgh", "x.ab.cde.fgh"},
    {"a.*", "x.{{slicefromright(1,4)}}", "a.abcdefgh", "x.abcd.efgh"},
    {"a.*", "x.{{splitfromleft(1,0)}}", "a.abcdef", "x.abcdef"},
    {"a.*", "x.{{splitfromleft(1,3)}}", "a.abcdef", "x.abc.def"},
    {"a.*", "x.{{splitfromleft(1,6)}}", "a.abcdef", "x.abcdef"},
    {"a.*", "x.{{splitfromright(1,2)}}", "a.abcdef", "x.abcd.ef"},
    {"a.*", "x.{{splitfromright(1,7)}}", "a.abcdef", "x.abcdef"},
    {"a.*", "x.{{split(1,-)}}", "a.-a-b-", "x.a.b"},
    {"a.*", "x.{{split(1,--)}}", "a.a--b", "x.a.b"},
    {"a.*", "x.{{split(1,-)}}", "a.---", "x."}, /* no subject any more: nobody gets it */
    {"a.*", "x.{{split(+1, -)}}", "a.a-b", "x.a.b"},
    {"a.*", "x.{{split(1,)}}", "a.abc", "x.a.b.c"},
    {"a.*", "x.{{split(1,)}}", "a.\xc3\xa4x", "x.\xc3\xa4.x"},
};

static struct arena arena;

static void close_arena(void)
{
    arena_close(&arena);
}

TestSuite(transform, .fini = close_arena);

Test(transform, each_function_makes_its_value)
{
    struct random random = {1};
    for (size_t i = 0; i < COUNT_OF(applied); i++) {
        const struct transform *transform = NULL;
        struct transform_trouble trouble;
        uint8_t out[64];
        enum transform_error error =
            transform_compile(&transform, text(applied[i].source), text(applied[i].destination),
                              TRANSFORM_FOR_MAPPING, &arena, &trouble);
        cr_expect_eq(error, TRANSFORM_OK, "%s to %s", applied[i].source, applied[i].destination);
        if (error != TRANSFORM_OK)
            continue;
        size_t count = transform_apply(transform, text(applied[i].subject), &random, out, sizeof out);
        cr_expect(bytes_equal(bytes_of(out, count), text(applied[i].result)), "%s to %s of %s: %.*s",
                  applied[i].source, applied[i].destination, applied[i].subject, (int)count, out);
        size_t needed = strlen(applied[i].result);
        count = transform_apply(transform, text(applied[i].subject), &random, out, needed);
        cr_expect_eq(count, needed, "exactly enough room: %s", applied[i].destination);
        count = transform_apply(transform, text(applied[i].subject), &random, out, needed - 1);
        cr_expect_eq(count, 0, "a byte too little: %s", applied[i].destination);
    }
}

#define DESTINATION "invalid mapping destination: "
static const struct {
    enum transform_use use;
    const char *source, *destination, *sentence;
} refused[] = {
    {TRANSFORM_FOR_MAPPING, "a.*", "x.*", "invalid subject"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.>", "invalid subject"},
    {TRANSFORM_FOR_MAPPING, "a.>", "x", "invalid subject"},
    {TRANSFORM_FOR_MAPPING, "a", "x..y", DESTINATION "invalid transform"},
    {TRANSFORM_FOR_MAPPING, "a.>", "x.>.y", DESTINATION "invalid transform"},
    {TRANSFORM_FOR_IMPORT, "a", "x..y", "invalid subject"},
    {TRANSFORM_FOR_MAPPING, "a..b", "x", "invalid subject"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.$2", DESTINATION "wildcard index out of range in $2: [2]"},
    {TRANSFORM_FOR_MAPPING, "a", "x.$1", DESTINATION "wildcard index out of range in $1"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{nope(1)}}", DESTINATION "unknown function in {{nope(1)}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{wildcard}}", DESTINATION "unknown function in {{wildcard}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{}}}", DESTINATION "unknown function in {{}}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{wildcard()}}",
     DESTINATION "not enough arguments passed to the function in {{wildcard()}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{wildcard(1,2)}}",
     DESTINATION "too many arguments passed to the function in {{wildcard(1,2)}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{wildcard(x)}}",
     DESTINATION "function argument is invalid or in the wrong format in {{wildcard(x)}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{split(1)}}",
     DESTINATION "not enough arguments passed to the function in {{split(1)}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{split(1,a,b)}}",
     DESTINATION "too many arguments passed to the function in {{split(1,a,b)}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{partition()}}",
     DESTINATION "function argument is invalid or in the wrong format in {{partition()}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{partition(x,1)}}",
     DESTINATION "function argument is invalid or in the wrong format in {{partition(x,1)}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{random()}}",
     DESTINATION "function argument is invalid or in the wrong format in {{random()}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{random(1,2)}}",
     DESTINATION "not enough arguments passed to the function in {{random(1,2)}}"},
    {TRANSFORM_FOR_MAPPING, "a.*", "x.{{sliceFromLeft(1,x)}}",
     DESTINATION "function argument is invalid or in the wrong format in {{sliceFromLeft(1,x)}}"},
    {TRANSFORM_FOR_IMPORT, "a.*.*", "x.$1.$1", DESTINATION "an import uses a wildcard only once in $1"},
    {TRANSFORM_FOR_IMPORT, "a.*", "x.$0", DESTINATION "wildcard index out of range in $0"},
    {TRANSFORM_FOR_IMPORT, "a.*", "x", DESTINATION "not using all of the token wildcard(s) in x"},
    {TRANSFORM_FOR_IMPORT, "a.*.*", "x.$1", DESTINATION "not using all of the token wildcard(s) in x.$1"},
    {TRANSFORM_FOR_IMPORT, "a.*", "x.{{partition(3,1)}}",
     DESTINATION "the only mapping function allowed for import transforms is {{Wildcard()}} in "
                 "{{partition(3,1)}}"},
};

Test(transform, a_refusal_says_what_nats_server_says)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        const struct transform *transform = NULL;
        struct transform_trouble trouble;
        char sentence[256];
        enum transform_error error =
            transform_compile(&transform, text(refused[i].source), text(refused[i].destination),
                              refused[i].use, &arena, &trouble);
        transform_trouble_text(&trouble, sentence, sizeof sentence);
        cr_expect(error != TRANSFORM_OK && transform == NULL, "%s to %s", refused[i].source,
                  refused[i].destination);
        cr_expect_str_eq(sentence, refused[i].sentence, "%s to %s: %s", refused[i].source,
                         refused[i].destination, sentence);
    }
}

static const struct {
    const char *source, *destination, *pattern, *there, *back;
} inverted[] = {
    {"b.*.*", "p.$2.$1", "p.*.*", "p.y.x", "b.x.y"},
    {"b.*", "p.$1", "p.*", "p.x", "b.x"},
    {"b.*.>", "p.$1.q.>", "p.*.q.>", "p.x.q.r.s", "b.x.r.s"},
    {"b.*.>", "p.$1.q.>", "p.*.q.>", "p.*.q.>", "b.*.>"},
    {"b", "p", "p", "p", "b"},
    {"b.*.*", "p.$2.$1", "p.*.*", "p.y.*", "b.*.y"},
    {"b.*.$1", "p.$1", "p.*", "p.x", "b.x.$1"}, /* a token that only looks like a number's */
};

Test(transform, an_imports_transform_finds_the_way_back)
{
    for (size_t i = 0; i < COUNT_OF(inverted); i++) {
        const struct transform *transform = NULL;
        struct transform_trouble trouble;
        uint8_t out[64];
        cr_assert_eq(transform_compile(&transform, text(inverted[i].source), text(inverted[i].destination),
                                       TRANSFORM_FOR_IMPORT, &arena, &trouble),
                     TRANSFORM_OK);
        struct bytes pattern = transform_pattern(transform->destination, &arena);
        cr_expect(bytes_equal(pattern, text(inverted[i].pattern)), "%.*s", BYTES_PRINTF(pattern));
        const struct transform *inverse = transform_inverse(transform, &arena);
        cr_assert_not_null(inverse);
        size_t count = transform_apply(inverse, text(inverted[i].there), NULL, out, sizeof out);
        cr_expect(bytes_equal(bytes_of(out, count), text(inverted[i].back)), "%s: %.*s", inverted[i].there,
                  (int)count, out);
    }
}

Test(transform, a_pattern_is_numbered)
{
    struct bytes numbered = transform_numbered(TEXT("a.*.b.*.>"), &arena);
    cr_expect(bytes_equal(numbered, TEXT("a.$1.b.$2.>")), "%.*s", BYTES_PRINTF(numbered));
}

Test(transform, too_few_tokens_and_a_rest_of_nothing_give_nothing)
{
    const struct transform *transform = NULL;
    struct transform_trouble trouble;
    uint8_t out[64];
    cr_assert_eq(
        transform_compile(&transform, TEXT("a.*.>"), TEXT("x.$1.>"), TRANSFORM_FOR_MAPPING, &arena, &trouble),
        TRANSFORM_OK);
    cr_expect_eq(transform_apply(transform, TEXT("a"), NULL, out, sizeof out), 0);
    cr_expect_eq(transform_apply(transform, TEXT("a.b"), NULL, out, sizeof out), 0);
    cr_expect_eq(transform_apply(transform, TEXT(""), NULL, out, sizeof out), 0);
}

Test(transform, a_source_of_too_many_tokens_is_refused)
{
    char source[2 * TRANSFORM_TOKENS_MAX + 2]; /* a token more than allowed, and the end */
    const struct transform *transform = NULL;
    struct transform_trouble trouble;
    for (int i = 0; i < TRANSFORM_TOKENS_MAX; i++)
        memcpy(source + 2 * i, "a.", 2);
    source[2 * TRANSFORM_TOKENS_MAX - 1] = 0;
    cr_expect_eq(
        transform_compile(&transform, text(source), TEXT("b"), TRANSFORM_FOR_MAPPING, &arena, &trouble),
        TRANSFORM_OK);
    memcpy(source + 2 * TRANSFORM_TOKENS_MAX - 1, ".a", sizeof ".a");
    cr_expect_eq(
        transform_compile(&transform, text(source), TEXT("b"), TRANSFORM_FOR_MAPPING, &arena, &trouble),
        TRANSFORM_BAD_SUBJECT);
}

/* ---- mappings ---- */

#define T(literal)                                                                                           \
    {                                                                                                        \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                      \
    }

/* How often of 10,000 draws the subject becomes `b`, `c`, stays, or is lost. */
static void draw(const struct mapping *mapping, struct bytes cluster, uint32_t counts[4])
{
    struct random random = {7};
    for (int i = 0; i < 10000; i++) {
        uint8_t out[64];
        size_t count = 0;
        switch (mapping_apply(mapping, TEXT("a"), cluster, &random, out, sizeof out, &count)) {
        case MAPPING_TO:
            counts[out[0] == 'b' ? 0 : out[0] == 'c' ? 1 : 2]++;
            break;
        case MAPPING_SAME:
            counts[2]++;
            break;
        case MAPPING_LOST:
            counts[3]++;
            break;
        }
    }
}

static void expect_counts(const uint32_t counts[4], const uint32_t percent[4], size_t row)
{
    for (int j = 0; j < 4; j++) {
        double expected = percent[j] * 100.0;
        cr_expect(counts[j] >= expected * 0.9 - 0.5 && counts[j] <= expected * 1.1 + 0.5,
                  "row %zu, %d: %u of %.0f", row, j, counts[j], expected);
    }
}

static const struct {
    struct mapping_destination destinations[3];
    uint32_t count;
    uint32_t percent[4]; /* to b, to c, the same, lost */
    bool steady;
} weighted[] = {
    {{{T("b"), T(""), 100}}, 1, {100, 0, 0, 0}, true},
    {{{T("b"), T(""), 80}, {T("c"), T(""), 20}}, 2, {80, 20, 0, 0}, false},
    {{{T("b"), T(""), 30}}, 1, {30, 0, 70, 0}, false},
    {{{T("b"), T(""), 30}, {T("a"), T(""), 20}},
     2,
     {30, 0, 20, 50},
     false}, /* listed itself: the rest is lost */
    {{{T("b"), T(""), 0}}, 1, {0, 0, 100, 0}, false},
    {{{T("a"), T(""), 0}}, 1, {0, 0, 0, 100}, false},
};

Test(transform, weights_are_kept_and_the_rest_stays)
{
    for (size_t i = 0; i < COUNT_OF(weighted); i++) {
        struct mapping mapping;
        char why[256] = "";
        uint32_t counts[4] = {0};
        cr_assert(mapping_compile(&mapping, TEXT("a"), weighted[i].destinations, weighted[i].count, false,
                                  &arena, why, sizeof why),
                  "%s", why);
        cr_expect_eq(mapping.steady, weighted[i].steady, "row %zu", i);
        draw(&mapping, TEXT(""), counts);
        expect_counts(counts, weighted[i].percent, i);
    }
}

static const struct {
    struct mapping_destination destinations[3];
    uint32_t count;
    uint32_t in_east[4], elsewhere[4]; /* percent: to b, to c, the same, lost */
} clustered[] = {
    {{{T("b"), T("east"), 100}, {T("c"), T(""), 40}}, 2, {100, 0, 0, 0}, {0, 40, 60, 0}},
    {{{T("c"), T(""), 100}, {T("b"), T("east"), 100}}, 2, {100, 0, 0, 0}, {0, 100, 0, 0}},
    {{{T("b"), T("east"), 100}}, 1, {100, 0, 0, 0}, {0, 0, 100, 0}},
    {{{T("b"), T("east"), 30}}, 1, {30, 0, 70, 0}, {0, 0, 100, 0}},
    {{{T("b"), T("east"), 30}, {T("c"), T("east"), 50}}, 2, {30, 50, 20, 0}, {0, 0, 100, 0}},
    {{{T("b"), T("west"), 100}, {T("c"), T("east"), 40}}, 2, {0, 40, 60, 0}, {0, 0, 100, 0}},
    {{{T("b"), T("east"), 0}}, 1, {0, 0, 100, 0}, {0, 0, 100, 0}},
    /* The source is listed: what is left is lost, for all clusters. */
    {{{T("a"), T("east"), 40}, {T("b"), T("east"), 40}}, 2, {40, 0, 40, 20}, {0, 0, 0, 100}},
    {{{T("a"), T(""), 40}, {T("b"), T("east"), 40}}, 2, {40, 0, 0, 60}, {0, 0, 40, 60}},
};

Test(transform, destinations_of_the_own_cluster_take_the_place_of_the_others)
{
    for (size_t i = 0; i < COUNT_OF(clustered); i++) {
        struct mapping mapping;
        char why[256] = "";
        static const char *const names[] = {"east", "", "eas", "eastern", "north"};
        cr_assert(mapping_compile(&mapping, TEXT("a"), clustered[i].destinations, clustered[i].count, false,
                                  &arena, why, sizeof why),
                  "%s", why);
        cr_expect_not(mapping.steady, "row %zu: the cluster's name may change", i);
        for (size_t k = 0; k < COUNT_OF(names); k++) {
            uint32_t counts[4] = {0};
            draw(&mapping, bytes_of(names[k], strlen(names[k])), counts);
            expect_counts(counts, k == 0 ? clustered[i].in_east : clustered[i].elsewhere, i);
        }
    }
}

Test(transform, weights_above_a_hundred_and_doubles_are_refused)
{
    static const struct mapping_destination heavy[] = {{T("b"), T(""), 60}, {T("c"), T(""), 50}};
    static const struct mapping_destination twice[] = {{T("b"), T(""), 60}, {T("b"), T("east"), 10}};
    struct mapping mapping;
    char why[256] = "";
    cr_expect_not(mapping_compile(&mapping, TEXT("a.*"), heavy, 2, false, &arena, why, sizeof why));
    cr_expect_str_eq(why, "\"a.*\" : total weight needs to be <= 100");
    cr_expect_not(mapping_compile(&mapping, TEXT("a.*"), twice, 2, false, &arena, why, sizeof why));
    cr_expect_str_eq(why, "\"a.*\" : duplicate entry for \"b\"");
}

Test(transform, the_first_mapping_that_matches_counts)
{
    static const struct mapping_destination to_b = {T("b.$1"), T(""), 100}, to_c = {T("c"), T(""), 100};
    struct mapping all[2];
    char why[256];
    cr_assert(mapping_compile(&all[0], TEXT("a.*"), &to_b, 1, true, &arena, why, sizeof why));
    cr_assert(mapping_compile(&all[1], TEXT("a.x"), &to_c, 1, true, &arena, why, sizeof why));
    struct mappings mappings = {all, 2};
    cr_expect_eq(mappings_find(&mappings, TEXT("a.x")), &all[0]);
    mappings.all = all + 1;
    mappings.count = 1;
    cr_expect_eq(mappings_find(&mappings, TEXT("a.x")), &all[1]);
    cr_expect_null(mappings_find(&mappings, TEXT("a.y")));
}
