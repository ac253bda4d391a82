/* tests/unit/core/subject/test_index_faults.c - the index and the match cache while memory runs out: after
 * ERR_MEMORY nothing has changed (core/subject/index.h). Compared as a picture of all that the index holds,
 * taken before and after each change, and by what subjects hit. */
#include "core/base/language.h"
#include "core/subject/index.h"
#include "core/subject/index_table.h"
#include "core/subject/subject.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATTERNS = 36, QUEUES = 3, PATTERN_BYTES = 24, SHARDS = 4, CHANGES = 220 };

static const char *const queue_names[QUEUES] = {"", "q", "workers"};

/* All that the index knows, by number of the pattern, so that no order counts. */
struct picture {
    uint64_t interests;
    uint64_t subscriptions;
    struct {
        uint32_t plain;
        uint64_t remote_shards;
        uint32_t members[QUEUES];
        uint32_t remote[QUEUES][SHARDS];
    } of[PATTERNS];
};

struct change {
    unsigned pattern;
    unsigned queue;
    unsigned shard; /* SHARDS: a subscription of our own */
    uint32_t count; /* of the other shard */
};

struct scene {
    struct index *index;
    struct match_cache *cache; /* made while memory lasts, asked while it does not */
    char patterns[PATTERNS][PATTERN_BYTES];
    struct subscription subscriptions[CHANGES];
    struct picture before;
    struct picture after;
};

static void scene_patterns(struct scene *scene)
{
    static const char *const shapes[] = {"a.%u", "a.*.%u", "a.%u.>", "*.%u", "deep.er.and.deeper.%u.*", "%u"};
    for (unsigned p = 0; p < PATTERNS; p++) {
        const char *shape = shapes[p % COUNT_OF(shapes)];
        const char *number = strstr(shape, "%u");
        snprintf(scene->patterns[p], PATTERN_BYTES, "%.*s%u%s", (int)(number - shape), shape, p, number + 2);
    }
}

static unsigned pattern_number(const struct scene *scene, struct bytes pattern)
{
    unsigned p = 0;
    while (p < PATTERNS && !bytes_equal(text(scene->patterns[p]), pattern))
        p++;
    cr_assert_lt(p, PATTERNS, "%.*s was never asked for", BYTES_PRINTF(pattern));
    return p;
}

static void picture_take(const struct scene *scene, struct picture *picture)
{
    memset(picture, 0, sizeof *picture);
    struct index_figures figures = index_figures(scene->index);
    picture->interests = figures.interests;
    picture->subscriptions = figures.subscriptions;
    uint64_t walked = 0;
    for (struct interest *i = index_next(scene->index, NULL); i != NULL; i = index_next(scene->index, i)) {
        unsigned p = pattern_number(scene, interest_pattern(i));
        walked++;
        picture->of[p].plain = i->plain.count;
        picture->of[p].remote_shards = i->remote_shards;
        for (struct queue_group *g = i->groups; g != NULL; g = g->next_in_interest) {
            unsigned q = bytes_equal(queue_group_name(g), text(queue_names[1])) ? 1 : 2;
            cr_assert(bytes_equal(queue_group_name(g), text(queue_names[q])));
            cr_assert(g->members.count + g->remote_total > 0, "an empty group stays in %s",
                      scene->patterns[p]);
            picture->of[p].members[q] = g->members.count;
            for (unsigned s = 0; s < SHARDS; s++)
                picture->of[p].remote[q][s] = queue_group_remote(g, s);
        }
        cr_assert(i->plain.count > 0 || i->remote_shards != 0 || i->groups != NULL, "nobody wants %s",
                  scene->patterns[p]);
    }
    cr_assert_eq(walked, picture->interests);
}

/* What `subject` hits by the cache against what it should by the picture. ERR_MEMORY is an answer, too. */
static void match_check(const struct scene *scene, const char *subject)
{
    const struct match *match = NULL;
    enum err err = match_cache_find(scene->cache, scene->index, text(subject), &match);
    if (err != ERR_OK) {
        cr_assert_eq(err, ERR_MEMORY);
        cr_assert(faults_met());
        cr_assert_null(match);
        return;
    }
    faults_pause();
    uint32_t expected = 0;
    for (struct interest *i = index_next(scene->index, NULL); i != NULL; i = index_next(scene->index, i))
        expected += subject_matches(interest_pattern(i), text(subject));
    cr_assert_eq(match->interest_count, expected, "%s", subject);
    for (uint32_t i = 0; i < match->interest_count; i++)
        cr_assert(subject_matches(interest_pattern(match->interests[i]), text(subject)));
    faults_resume();
}

static void matches_check(const struct scene *scene)
{
    static const char *const subjects[] = {"a.0", "a.x.1", "a.2.b.c", "x.3",  "deep.er.and.deeper.4.x",
                                           "5",   "a.12",  "nobody",  "a.1.1"};
    for (size_t i = 0; i < COUNT_OF(subjects); i++)
        match_check(scene, subjects[i]);
}

/* Every pattern in turn, alone, in queues, and for other shards; the later rounds make sets and lists grow.
 */
static struct change change_of(unsigned step)
{
    unsigned round = step / PATTERNS;
    return (struct change){
        .pattern = step % PATTERNS,
        .queue = (step + round) % QUEUES,
        .shard = round % 2 == 0 ? SHARDS : (step + round) % SHARDS,
        .count = 1 + step % 3,
    };
}

static enum err change_make(struct scene *scene, unsigned step)
{
    struct change change = change_of(step);
    struct bytes pattern = text(scene->patterns[change.pattern]);
    struct bytes queue = text(queue_names[change.queue]);
    if (change.shard == SHARDS)
        return index_add(scene->index, pattern, queue, &scene->subscriptions[step]);
    return index_remote_set(scene->index, pattern, queue, change.shard, change.count);
}

static void scene_undo(struct scene *scene)
{
    for (unsigned step = 0; step < CHANGES; step++) {
        struct change change = change_of(step);
        if (change.shard < SHARDS) {
            enum err err = index_remote_set(scene->index, text(scene->patterns[change.pattern]),
                                            text(queue_names[change.queue]), change.shard, 0);
            cr_assert_eq(err, ERR_OK, "taking away needs no memory");
        } else if (scene->subscriptions[step].interest != NULL) {
            index_remove(scene->index, &scene->subscriptions[step]);
        }
        if (step % 16 == 0)
            match_check(scene, "a.1.1");
    }
    struct index_figures figures = index_figures(scene->index);
    cr_assert_eq(figures.interests, 0);
    cr_assert_eq(figures.subscriptions, 0);
}

/* Goal: a change that memory refuses has changed nothing, and the index goes on working. Method: a picture
 * before and after each change; then everything is taken out again, which must leave nothing. */
Test(index_faults, a_refused_change_has_changed_nothing, .timeout = 120)
{
    struct scene *scene = calloc(1, sizeof *scene);
    cr_assert_not_null(scene);
    scene_patterns(scene);
    FOR_EACH_FAULT(plan)
    {
        memset(scene->subscriptions, 0, sizeof scene->subscriptions);
        scene->index = index_new();
        scene->cache = match_cache_new(16);
        if (scene->index != NULL && scene->cache != NULL) {
            for (unsigned step = 0; step < CHANGES; step++) {
                bool any_before = faults_met();
                picture_take(scene, &scene->before);
                enum err err = change_make(scene, step);
                picture_take(scene, &scene->after);
                cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
                bool same = memcmp(&scene->before, &scene->after, sizeof scene->before) == 0;
                cr_assert(err == ERR_OK || same, "change %u was refused and made", step);
                cr_assert(err == ERR_OK || scene->subscriptions[step].interest == NULL);
                if (any_before != faults_met() || step % 32 == 0)
                    matches_check(scene);
            }
            matches_check(scene);
            scene_undo(scene);
        } else {
            cr_assert(faults_met());
        }
        index_free(scene->index);
        match_cache_free(scene->cache);
    }
    free(scene);
}

/* The index may go while other shards' interest is in it, also after changes that failed. */
Test(index_faults, an_index_is_freed_with_what_others_want)
{
    FOR_EACH_FAULT(plan)
    {
        struct index *index = index_new();
        for (unsigned i = 0; index != NULL && i < 80; i++) {
            char pattern[PATTERN_BYTES];
            snprintf(pattern, sizeof pattern, "x.%u.%s", i, i % 3 == 0 ? "*" : "y");
            enum err err = index_remote_set(index, text(pattern), text(i % 2 == 0 ? "" : "q"), i % SHARDS, 1);
            cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
        }
        index_free(index);
    }
}

/* Many interests and groups: the scratch memory, the slots' blocks and their exchange. */
Test(index_faults, a_cache_without_memory_says_so_and_recovers, .timeout = 60)
{
    enum { WIDE = 150 };
    static struct subscription subscriptions[WIDE];
    struct index *index = index_new();
    cr_assert_not_null(index);
    for (unsigned i = 0; i < WIDE; i++) {
        char queue[PATTERN_BYTES];
        snprintf(queue, sizeof queue, "q%u", i / 2);
        const char *pattern = i % 4 == 0 ? "w.>" : i % 4 == 1 ? "w.*.*" : i % 4 == 2 ? "w.a.*" : "*.a.b";
        cr_assert_eq(index_add(index, text(pattern), text(queue), &subscriptions[i]), ERR_OK);
    }
    FOR_EACH_FAULT(plan)
    {
        struct match_cache *cache = match_cache_new(4);
        for (unsigned i = 0; cache != NULL && i < 40; i++) {
            char subject[PATTERN_BYTES];
            const struct match *match = NULL;
            snprintf(subject, sizeof subject, "w.a.%s%u", i % 5 == 0 ? "b" : "c", i % 5 == 0 ? 0 : i);
            enum err err = match_cache_find(cache, index, text(subject), &match);
            cr_assert(err == ERR_OK ? match != NULL && match_current(match)
                                    : err == ERR_MEMORY && match == NULL && faults_met());
            if (err != ERR_OK)
                continue;
            uint32_t members = 0;
            for (uint32_t g = 0; g < match->group_count; g++)
                members += match_group_size(&match->groups[g], true);
            cr_assert_eq(match->interest_count, 3, "%s", subject);
            cr_assert_eq(members, WIDE - WIDE / 4, "%s", subject);
        }
        cr_assert(cache != NULL || faults_met());
        if (cache != NULL)
            cr_assert_leq(match_cache_figures(cache).entries_used, 4);
        match_cache_free(cache);
    }
    for (unsigned i = 0; i < WIDE; i++)
        index_remove(index, &subscriptions[i]);
    index_free(index);
}

/* The table fills up to 15/16 while no larger one can be had, and finds all that is in it. */
Test(index_faults, a_table_that_cannot_grow_fills_up_and_then_refuses)
{
    enum { ELEMENTS = 64 };
    struct {
        uint32_t hash;
    } elements[ELEMENTS];
    struct index_table table = {0};
    cr_assert_eq(index_table_reserve(&table), ERR_OK);
    faults_arm(FAULT_ONWARD, 1);
    uint32_t put = 0;
    for (uint32_t i = 0; i < ELEMENTS; i++) {
        elements[i].hash = i * 0x9e3779b9u;
        enum err err = index_table_reserve(&table);
        cr_assert(err == ERR_OK || err == ERR_MEMORY);
        if (err != ERR_OK)
            break;
        index_table_put(&table, &elements[i].hash);
        put++;
    }
    cr_expect_eq(put, 4 * INDEX_BUCKET_ITEMS * 15 / 16);
    for (uint32_t i = 0; i < put; i++)
        index_table_erase(&table, &elements[i].hash);
    faults_arm(FAULT_ONCE, 0);
    cr_expect_eq(table.count, 0);
    index_table_close(&table);
}
