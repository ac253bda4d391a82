/* Tests shards/leaving.h: what a number wanted is forgotten in steps, and nothing else. */
#include "shards/leaving.h"

#include "core/subject/subject_set.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { PATTERNS = 3000 };

static struct bytes pattern_of(uint32_t i, char into[32])
{
    int count = snprintf(into, 32, i % 3 == 0 ? "p.%u.*" : "p.%u", i);
    return bytes_of(into, (size_t)count);
}

static void want(struct index *index, uint32_t number)
{
    char pattern[32];
    for (uint32_t i = 0; i < PATTERNS; i++)
        cr_assert_eq(index_remote_set(index, pattern_of(i, pattern), text(i % 2 == 0 ? "q" : ""), number, 1),
                     ERR_OK);
}

static struct index *wanted_by(const uint32_t *numbers, size_t count)
{
    struct index *index = index_new();
    cr_assert_not_null(index);
    for (size_t i = 0; i < count; i++)
        want(index, numbers[i]);
    return index;
}

struct told {
    uint32_t all;
    uint32_t last;
};

static void tell(void *context, struct bytes pattern, struct bytes queue, bool last)
{
    struct told *told = context;
    cr_expect(pattern.count > 0 && queue.count < 2);
    told->all++;
    told->last += last;
}

/* How many steps it took; none looks at more than it may but for what lies in one place of the table. */
static uint32_t walk_to_end(struct leaving_walk *walk, struct leaving *leaving, struct index *index,
                            struct told *told)
{
    enum { LOOKS = 100, ONE_PLACE = 64 };
    uint32_t steps = 0;
    for (; walk->count > 0; steps++) {
        uint32_t looks = LOOKS, before = told->all;
        leaving_step(walk, leaving, index, &looks, tell, told);
        cr_assert_leq(told->all - before, LOOKS + ONE_PLACE);
    }
    return steps;
}

Test(leaving, a_number_is_forgotten_in_steps_and_the_others_stay)
{
    static const uint32_t numbers[] = {3, 5, 63};
    struct index *index = wanted_by(numbers, 3);
    struct leaving leaving = {0};
    struct leaving_walk walk = {0};
    struct told told = {0};
    leaving_begin(&walk, &leaving, index, 5);
    leaving_begin(&walk, &leaving, index, 5); /* it is already */
    leaving_begin(&walk, &leaving, index, 4); /* it wanted nothing */
    cr_expect(walk.count == 1 && leaving_has(&leaving, 5) && !leaving_has(&leaving, 4));
    cr_expect_gt(walk_to_end(&walk, &leaving, index, &told), PATTERNS / 200);
    cr_expect(told.all == PATTERNS && told.last == 0);
    leaving_begin(&walk, &leaving, index, 63);
    leaving_begin(&walk, &leaving, index, 3);
    (void)walk_to_end(&walk, &leaving, index, &told);
    cr_expect(told.all == 3 * PATTERNS && told.last == PATTERNS, "%u, %u", told.all, told.last);
    cr_expect_eq(index_figures(index).interests, 0);
    index_free(index);
}

Test(leaving, a_lower_number_that_begins_later_is_forgotten_whole)
{
    static const uint32_t numbers[] = {2, 9};
    struct index *index = wanted_by(numbers, 2);
    struct leaving leaving = {0};
    struct leaving_walk walk = {0};
    struct told told = {0};
    uint32_t looks = 1000;
    leaving_begin(&walk, &leaving, index, 9);
    leaving_step(&walk, &leaving, index, &looks, tell, &told);
    cr_assert(told.all > 0 && told.all < PATTERNS);
    leaving_begin(&walk, &leaving, index, 2);
    (void)walk_to_end(&walk, &leaving, index, &told);
    cr_expect_eq(index_remote_count(index, 2) + index_remote_count(index, 9), 0);
    cr_expect_eq(leaving.numbers, 0);
    index_free(index);
}

Test(leaving, what_a_number_wants_anew_stays_when_the_rest_was_settled)
{
    static const uint32_t numbers[] = {2, 9};
    struct index *index = wanted_by(numbers, 2);
    struct leaving leaving = {0};
    struct leaving_walk walk = {0};
    struct told told = {0};
    uint32_t looks = 1000;
    leaving_begin(&walk, &leaving, index, 2);
    leaving_begin(&walk, &leaving, index, 9);
    leaving_step(&walk, &leaving, index, &looks, tell, &told);
    leaving_settle(&walk, &leaving, index, 9, tell, &told);
    leaving_settle(&walk, &leaving, index, 7, tell, &told); /* of which nothing is to be forgotten */
    cr_expect(walk.count == 1 && leaving_has(&leaving, 2) && !leaving_has(&leaving, 9));
    cr_expect_eq(index_remote_count(index, 9), 0);
    want(index, 9);
    (void)walk_to_end(&walk, &leaving, index, &told);
    cr_expect_eq(index_remote_count(index, 9), PATTERNS);
    cr_expect_eq(index_remote_count(index, 2), 0);
    cr_expect_eq(told.all, 2 * PATTERNS);
    index_free(index);
}

/* As shards/gateways_interest.c does it with a set of subjects. */
Test(leaving, what_is_no_index_is_forgotten_by_its_owner)
{
    struct subject_set *set = subject_set_new();
    struct leaving leaving = {0};
    struct leaving_walk walk = {0};
    uint32_t steps = 0;
    bool added = false;
    cr_assert_not_null(set);
    for (uint32_t i = 0; i < PATTERNS; i++) {
        char subject[32];
        struct bytes bytes = pattern_of(3 * i + 1, subject);
        cr_assert_eq(subject_set_add(set, bytes, 2, &added), ERR_OK);
        cr_assert_eq(subject_set_add(set, bytes, 9, &added), ERR_OK);
        cr_assert_eq(subject_set_add(set, bytes, 11, &added), ERR_OK);
    }
    leaving_begin_some(&walk, &leaving, 9, PATTERNS);
    leaving_begin_some(&walk, &leaving, 9, PATTERNS); /* it is already */
    leaving_begin_some(&walk, &leaving, 4, 0);        /* it wanted nothing */
    cr_assert(walk.count == 1 && leaving_lowest(&leaving) == 9 && !leaving_has(&leaving, 4));
    for (; walk.count > 0; steps++) {
        uint32_t looks = 100, number = leaving_lowest(&leaving);
        if (subject_set_clear(set, number, &looks, &leaving.cursor))
            leaving_end(&walk, &leaving, number);
        if (steps == 3)
            leaving_begin_some(&walk, &leaving, 2, PATTERNS); /* a lower one: begins from the beginning */
    }
    cr_expect_gt(steps, 2 * PATTERNS / 200);
    cr_expect(leaving.numbers == 0 && leaving.cursor == 0);
    for (uint32_t i = 0; i < PATTERNS; i++) {
        char subject[32];
        cr_assert_eq(subject_set_find(set, pattern_of(3 * i + 1, subject)), 1ULL << 11);
    }
    subject_set_free(set);
}

Test(leaving, nothing_is_begun_where_nobody_said_anything)
{
    struct leaving leaving = {0};
    struct leaving_walk walk = {0};
    leaving_begin(&walk, &leaving, NULL, 1);
    leaving_settle(&walk, &leaving, NULL, 1, NULL, NULL);
    cr_expect(walk.count == 0 && leaving.numbers == 0);
}
