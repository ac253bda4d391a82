/* tests/unit/core/subject/test_match_cache.c - what published subjects hit, through the cache as the router
 * asks: rows, long subjects, when a cached match is over, and random traffic against a model. */
#include "core/subject/index.h"
#include "core/subject/index_inside.h"

#include "core/base/language.h"
#include "core/base/random.h"
#include "tests/unit/core/subject/index_model.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct match *find(struct match_cache *cache, struct index *index, struct bytes subject)
{
    const struct match *match = NULL;
    cr_assert_eq(match_cache_find(cache, index, subject, &match), ERR_OK);
    cr_assert(match_current(match));
    return match;
}

static void add(struct index *index, const char *pattern, const char *queue,
                struct subscription *subscription)
{
    cr_assert_eq(index_add(index, text(pattern), text(queue), subscription), ERR_OK);
}

static void setup(struct index **index, struct match_cache **cache, uint32_t entries)
{
    *index = index_new();
    *cache = match_cache_new(entries);
    cr_assert(*index != NULL && *cache != NULL);
}

Test(match_cache, a_published_wildcard_meets_each_pattern_once)
{
    static const char *const patterns[] = {"foo.*", "foo.>", ">", "foo.bar", "*.*", "foo*"};
    struct subscription subscriptions[COUNT_OF(patterns)] = {{0}};
    struct index *index;
    struct match_cache *cache;
    setup(&index, &cache, 16);
    for (unsigned i = 0; i < COUNT_OF(patterns); i++)
        add(index, patterns[i], "", &subscriptions[i]);
    const struct {
        const char *subject;
        uint32_t hits;
    } cases[] = {{"foo.*", 4},   {"foo.>", 4}, {"foo.bar", 5}, {">", 1},  {"*", 1},
                 {"foo*", 2},    {"*.*", 2},   {"foo..", 0},   {"", 0},   {".", 0},
                 {"foo.a.b", 2}, {"foo", 1},   {".foo", 0},    {"a.", 0}, {"*.>", 2}};
    for (unsigned round = 0; round < 2; round++) { /* from the index, then from the cache */
        for (unsigned i = 0; i < COUNT_OF(cases); i++)
            cr_expect_eq(find(cache, index, text(cases[i].subject))->interest_count, cases[i].hits, "%s",
                         cases[i].subject);
    }
    cr_expect_eq(find(cache, index, bytes_of(NULL, 0))->interest_count, 0);
    for (unsigned i = 0; i < COUNT_OF(patterns); i++)
        index_remove(index, &subscriptions[i]);
    index_free(index);
    match_cache_free(cache);
}

Test(match_cache, groups_of_one_name_are_one_group_under_whatever_patterns)
{
    struct subscription a = {0}, b = {0}, c = {0}, other = {0};
    struct index *index;
    struct match_cache *cache;
    setup(&index, &cache, 16);
    add(index, "foo", "q", &a);
    add(index, "*", "q", &b);
    add(index, ">", "q", &c);
    add(index, ">", "r", &other);
    cr_assert_eq(index_remote_set(index, TEXT("*"), TEXT("q"), 9, 2), ERR_OK);
    const struct match *match = find(cache, index, TEXT("foo"));
    cr_assert_eq(match->interest_count, 3);
    cr_assert_eq(match->group_count, 2);
    const struct match_group *q = &match->groups[match->groups[0].part_count == 3 ? 0 : 1];
    cr_expect_eq(q->part_count, 3);
    cr_expect_eq(match_group_size(q, false), 3);
    cr_expect_eq(match_group_size(q, true), 5);
    bool seen[3] = {false};
    for (uint32_t i = 0; i < 5; i++) {
        struct subscription *own = NULL;
        unsigned shard = 0;
        match_group_member(q, i, &own, &shard);
        if (own == NULL)
            cr_expect_eq(shard, 9);
        seen[0] = seen[0] || own == &a;
        seen[1] = seen[1] || own == &b;
        seen[2] = seen[2] || own == &c;
        cr_expect_eq(own == NULL, i >= 3);
    }
    cr_expect(seen[0] && seen[1] && seen[2]);
    index_remove(index, &a);
    index_remove(index, &b);
    index_remove(index, &c);
    index_remove(index, &other);
    index_free(index);
    match_cache_free(cache);
}

/* What is done between two looks at a cached match of "foo.bar", and whether it ends it. */
struct end_case {
    const char *what;
    const char *pattern;
    const char *queue;
    unsigned shard; /* 0: a subscription of our own is added, and then removed again */
    bool ends_by_add;
    bool ends_by_remove;
};

Test(match_cache, a_match_ends_when_its_interests_or_groups_change_and_only_then)
{
    static const struct end_case cases[] = {
        {"a new literal interest", "foo.bar.x", "", 0, false, false},
        {"joining a literal pattern", "foo.bar", "", 0, false, false},
        {"joining a wildcard pattern", "foo.*", "", 0, false, false},
        {"joining a group", "foo.*", "q", 0, false, false},
        {"a new group", "foo.bar", "new", 0, true, true},
        {"a new group under a wildcard", "foo.*", "new", 0, true, true},
        {"a new wildcard interest", "foo.>", "", 0, true, true},
        {"a new wildcard interest with the same first token", "foo.*.x.y", "", 0, true, true},
        {"a wildcard interest with another first token", "other.*", "", 0, false, false},
        {"an interest that begins with a wildcard", "*.bar", "", 0, true, true},
        {"another literal", "inbox.12345", "", 0, false, false},
        {"another shard joins a pattern", "foo.bar", "", 4, false, false},
        {"another shard joins a group", "foo.*", "q", 4, false, false},
        {"another shard's new group", "foo.bar", "new", 4, true, true},
        {"another shard's new wildcard", "foo.>", "", 4, true, true},
        {"another shard's other literal", "inbox.12345", "q", 4, false, false},
    };
    struct index *index;
    struct match_cache *cache;
    setup(&index, &cache, 64);
    /* Subjects share generations by hash: with a seed at random another literal would end the match now and
     * then. */
    index->id = 1;
    index->trie.seed = 1;
    struct subscription a = {0}, b = {0}, c = {0};
    add(index, "foo.bar", "", &a);
    add(index, "foo.*", "", &b);
    add(index, "foo.*", "q", &c);
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        const struct end_case *t = &cases[i];
        struct subscription subscription = {0};
        struct match before = *find(cache, index, TEXT("foo.bar"));
        if (t->shard == 0)
            add(index, t->pattern, t->queue, &subscription);
        else
            cr_assert_eq(index_remote_set(index, text(t->pattern), text(t->queue), t->shard, 2), ERR_OK);
        cr_expect_eq(!match_current(&before), t->ends_by_add, "%s: coming", t->what);
        before = *find(cache, index, TEXT("foo.bar"));
        if (t->shard == 0)
            index_remove(index, &subscription);
        else
            cr_assert_eq(index_remote_set(index, text(t->pattern), text(t->queue), t->shard, 0), ERR_OK);
        cr_expect_eq(!match_current(&before), t->ends_by_remove, "%s: going", t->what);
    }
    struct match before = *find(cache, index, TEXT("foo.bar"));
    index_remove(index, &a);
    cr_expect_not(match_current(&before), "the last of its pattern");
    index_remove(index, &b);
    index_remove(index, &c);
    cr_expect_eq(find(cache, index, TEXT("foo.bar"))->interest_count, 0);
    index_free(index);
    match_cache_free(cache);
}

Test(match_cache, what_is_cached_is_not_looked_up_again)
{
    struct index *index;
    struct match_cache *cache;
    setup(&index, &cache, 64);
    struct subscription a = {0}, joined = {0};
    add(index, "foo.*", "", &a);
    find(cache, index, TEXT("foo.bar"));
    find(cache, index, TEXT("nobody")); /* an empty result is a result */
    cr_expect_eq(index_figures(index).matches, 2);
    add(index, "foo.*", "", &joined);
    const struct match *match = find(cache, index, TEXT("foo.bar"));
    cr_expect_eq(match->interests[0]->plain.count, 2);
    cr_expect_eq(find(cache, index, TEXT("nobody"))->interest_count, 0);
    cr_expect_eq(index_figures(index).matches, 2);
    struct match_cache_figures figures = match_cache_figures(cache);
    cr_expect_eq(figures.hits, 2);
    cr_expect_eq(figures.misses, 2);
    cr_expect_eq(figures.entries_used, 2);
    index_remove(index, &a);
    index_remove(index, &joined);
    index_free(index);
    match_cache_free(cache);
}

Test(match_cache, an_index_that_was_freed_leaves_nothing_behind)
{
    struct match_cache *cache = match_cache_new(64);
    cr_assert_not_null(cache);
    for (unsigned round = 0; round < 50; round++) {
        struct index *index = index_new();
        cr_assert_not_null(index);
        struct subscription subscription = {0};
        /* Equal generations in every round: only the id can tell these indexes apart. */
        add(index, round % 2 == 0 ? "foo" : "bar", "", &subscription);
        cr_expect_eq(find(cache, index, TEXT("foo"))->interest_count, round % 2 == 0 ? 1 : 0);
        cr_expect_eq(find(cache, index, TEXT("bar"))->interest_count, round % 2 == 0 ? 0 : 1);
        index_remove(index, &subscription);
        index_free(index);
    }
    cr_expect_eq(match_cache_figures(cache).hits, 0);
    match_cache_free(cache);
}

Test(match_cache, two_indexes_share_it_and_do_not_mix)
{
    struct index *one;
    struct match_cache *cache;
    setup(&one, &cache, 4);
    struct index *two = index_new();
    cr_assert_not_null(two);
    struct subscription subscription = {0};
    add(one, "foo", "", &subscription);
    for (unsigned round = 0; round < 3; round++) {
        cr_expect_eq(find(cache, one, TEXT("foo"))->interest_count, 1);
        cr_expect_eq(find(cache, two, TEXT("foo"))->interest_count, 0);
    }
    cr_expect_eq(match_cache_figures(cache).misses, 2);
    index_remove(one, &subscription);
    index_free(one);
    index_free(two);
    match_cache_free(cache);
}

/* 65535 bytes hold 32768 tokens: patterns as deep, and a stack as high, as a control line allows. */
Test(match_cache, the_longest_subject_is_matched_token_by_token, .timeout = 60)
{
    enum { BYTES = 65535 };
    struct index *index;
    struct match_cache *cache;
    setup(&index, &cache, 4);
    char *subject = malloc(BYTES);
    char *stars = malloc(BYTES);
    cr_assert(subject != NULL && stars != NULL);
    for (size_t i = 0; i < BYTES; i++) {
        subject[i] = i % 2 == 0 ? 'a' : '.';
        stars[i] = i % 2 == 0 ? '*' : '.';
    }
    struct subscription all_stars = {0}, stars_rest = {0}, nearly = {0}, literal = {0}, branches[64] = {{0}};
    cr_assert_eq(index_add(index, bytes_of(stars, BYTES), TEXT(""), &all_stars), ERR_OK);
    cr_assert_eq(index_add(index, bytes_of(subject, BYTES), TEXT(""), &literal), ERR_OK);
    stars[BYTES - 1] = '>';
    cr_assert_eq(index_add(index, bytes_of(stars, BYTES), TEXT(""), &stars_rest), ERR_OK);
    stars[BYTES - 1] = 'b';
    cr_assert_eq(index_add(index, bytes_of(stars, BYTES), TEXT(""), &nearly), ERR_OK);
    for (unsigned i = 0; i < COUNT_OF(branches); i++) { /* a literal beside the `*` on 64 levels */
        stars[BYTES - 1] = '*';
        stars[1000 * i] = 'a';
        cr_assert_eq(index_add(index, bytes_of(stars, BYTES), TEXT(""), &branches[i]), ERR_OK);
    }
    for (unsigned round = 0; round < 2; round++) {
        cr_expect_eq(find(cache, index, bytes_of(subject, BYTES))->interest_count, 3 + COUNT_OF(branches));
        cr_expect_eq(find(cache, index, bytes_of(subject, BYTES - 2))->interest_count, 0);
        cr_expect_eq(find(cache, index, bytes_of(subject, BYTES - 1))->interest_count, 0,
                     "its last token is empty");
    }
    uint64_t bytes = index_figures(index).bytes;
    for (unsigned i = 0; i < COUNT_OF(branches); i++)
        index_remove(index, &branches[i]);
    index_remove(index, &all_stars);
    index_remove(index, &stars_rest);
    index_remove(index, &nearly);
    index_remove(index, &literal);
    cr_expect_lt(index_figures(index).bytes, bytes / 20);
    index_free(index);
    match_cache_free(cache);
    free(subject);
    free(stars);
}

/* Large results must not stay forever: their memory is bounded over all slots, and given back slot by slot.
 */
Test(match_cache, large_results_are_whole_and_their_memory_is_bounded, .timeout = 60)
{
    enum { MANY = 6000, ENTRIES = 64 };
    static struct subscription subscriptions[MANY];
    char name[32];
    struct index *index;
    struct match_cache *cache;
    setup(&index, &cache, ENTRIES);
    uint64_t empty_bytes = match_cache_figures(cache).bytes;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "group-%u", i);
        add(index, "big.>", name, &subscriptions[i]);
    }
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "big.%u", i % 100);
        const struct match *match = find(cache, index, text(name));
        cr_assert_eq(match->interest_count, 1);
        cr_assert_eq(match->group_count, MANY);
        for (uint32_t g = 0; g < MANY; g += 97)
            cr_assert_eq(match->groups[g].part_count, 1);
        /* 64 KiB for all entries, the last result, and the scratch memory that is kept */
        cr_assert_lt(match_cache_figures(cache).bytes, empty_bytes + ENTRIES * 1024 + MANY * 32 + (1 << 20));
    }
    for (unsigned i = 0; i < MANY; i++)
        index_remove(index, &subscriptions[i]);
    index_free(index);
    match_cache_free(cache);
}

Test(match_cache, a_subject_hit_often_outlives_those_seen_once)
{
    struct index *index;
    struct match_cache *cache;
    setup(&index, &cache, 4);
    char name[32];
    for (unsigned i = 0; i < 200; i++) {
        find(cache, index, TEXT("hot"));
        snprintf(name, sizeof(name), "once.%u", i);
        find(cache, index, text(name));
    }
    struct match_cache_figures figures = match_cache_figures(cache);
    cr_expect_geq(figures.hits, 100, "%llu hits", (unsigned long long)figures.hits);
    cr_expect_eq(figures.entries_used, 4);
    index_free(index);
    match_cache_free(cache);
}

/* Goal: index and cache say what the rules say, under any order of changes. Method: random changes and
 * matches against index_model.h; a small cache in every other run, so that slots are fought for. */
Test(match_cache, random_traffic_agrees_with_a_model, .timeout = 300)
{
    static struct model model;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct random random;
        random_seed(&random, seed);
        model_init(&model, seed % 2 == 0 ? 4 : 256, seed);
        uint32_t patterns = seed % 3 == 0 ? 20 : MODEL_PATTERNS; /* fewer patterns: more meet */
        for (model.step = 0; model.step < 3000; model.step++) {
            uint32_t pattern = random_below(&random, patterns);
            if (seed % 3 == 0)
                pattern = MODEL_PATTERNS - 1 - pattern;
            uint32_t queue = random_below(&random, 2) == 0 ? 0 : random_below(&random, MODEL_QUEUES);
            switch (random_below(&random, 4)) {
            case 0:
                model_toggle(&model, random_below(&random, MODEL_SUBSCRIPTIONS), pattern, queue);
                break;
            case 1:
                model_remote(&model, pattern, queue, random_below(&random, MODEL_SHARDS),
                             random_below(&random, 2) == 0 ? 0 : random_below(&random, 4));
                break;
            default:
                model_match(&model, random_below(&random, MODEL_SUBJECTS));
                break;
            }
            if (model.step % 16 == 0) {
                model_check_current(&model);
                model_check_whole(&model);
            }
        }
        cr_expect_gt(match_cache_figures(model.cache).hits, 0);
        model_close(&model);
    }
}

struct walked {
    uint32_t count;
    uint64_t fanouts[8]; /* by owner, summed */
};

static void walk_visit(void *context, const struct match *match)
{
    struct walked *walked = context;
    cr_assert(match->owner > 0 && match->owner < 8);
    walked->count++;
    walked->fanouts[match->owner] += match_fanout(match);
}

static struct walked walk(const struct match_cache *cache)
{
    struct walked walked = {0};
    uint64_t at = 0;
    do
        at = match_cache_step(cache, at, walk_visit, &walked);
    while (at != 0);
    return walked;
}

Test(match_cache, a_walk_tells_what_is_current_of_indexes_with_an_owner)
{
    struct subscription s[6] = {{0}};
    struct index *one, *two, *nobodys;
    struct match_cache *cache;
    setup(&one, &cache, 64);
    two = index_new();
    nobodys = index_new();
    cr_assert(two != NULL && nobodys != NULL);
    index_owner_set(one, 3);
    index_owner_set(two, 7);
    add(one, "foo", "", &s[0]);
    add(one, "foo", "", &s[1]);
    add(one, "*", "q", &s[2]);
    add(one, "*", "q", &s[3]);
    add(two, "foo", "", &s[4]);
    add(nobodys, "foo", "", &s[5]);
    cr_assert_eq(index_remote_set(one, TEXT("foo"), TEXT("far"), 9, 2), ERR_OK);
    find(cache, one, TEXT("foo"));
    find(cache, one, TEXT("bar"));
    find(cache, two, TEXT("foo"));
    find(cache, nobodys, TEXT("foo"));
    find(cache, one, TEXT("foo"));
    struct walked walked = walk(cache);
    cr_expect_eq(walked.count, 3);
    cr_expect_eq(walked.fanouts[3], 4, "two and one of the group, and one of it again; not the far group");
    cr_expect_eq(walked.fanouts[7], 1);
    cr_expect_eq(index_figures(one).hits, 1);
    cr_expect_eq(index_figures(one).matches, 2);

    index_remove(two, &s[4]);
    walked = walk(cache);
    cr_expect_eq(walked.count, 2, "what is no longer true is left out");
    cr_expect_eq(walked.fanouts[7], 0);
    for (unsigned i = 0; i < 4; i++)
        index_remove(one, &s[i]);
    index_remove(nobodys, &s[5]);
    match_cache_free(cache);
    index_free(one);
    index_free(two);
    index_free(nobodys);
}
