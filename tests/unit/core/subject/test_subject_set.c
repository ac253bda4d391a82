/* tests/unit/core/subject/test_subject_set.c - core/subject/subject_set.h beside a model too simple to be
 * wrong: a list of subjects with their bits. */
#include "core/subject/subject_set.h"

#include "core/base/language.h"
#include "core/base/random.h"
#include "core/subject/subject.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUBJECTS = 3000, TEXT_BYTES = 80, NUMBERS = 3 };

static const unsigned numbers[NUMBERS] = {0, 17, SUBJECT_SET_NUMBERS - 1};

struct model {
    struct subject_set *set;
    struct random random;
    char subjects[SUBJECTS][TEXT_BYTES];
    uint64_t bits[SUBJECTS];
};

/* Of 1 to 70 bytes, in ten families that wildcards can name. */
static void subject_make(uint32_t i, char into[TEXT_BYTES])
{
    if (i < 10)
        snprintf(into, TEXT_BYTES, "%u", i);
    else
        snprintf(into, TEXT_BYTES, "f%u.%u.%.*s", i % 10, i, 1 + (int)(i % 61),
                 "tail-tail-tail-tail-tail-tail-tail-tail-tail-tail-tail-tail-tail-tail");
}

static struct model *model_new(uint64_t seed)
{
    struct model *model = calloc(1, sizeof *model);
    cr_assert_not_null(model);
    model->set = subject_set_new();
    cr_assert_not_null(model->set);
    random_seed(&model->random, seed);
    for (uint32_t i = 0; i < SUBJECTS; i++)
        subject_make(i, model->subjects[i]);
    return model;
}

static void model_free(struct model *model)
{
    subject_set_free(model->set);
    free(model);
}

static void model_toggle(struct model *model, uint32_t i, unsigned number, bool there)
{
    struct bytes subject = text(model->subjects[i]);
    uint64_t bit = 1ULL << number;
    bool was = (model->bits[i] & bit) != 0, added = !was;
    if (there) {
        cr_assert_eq(subject_set_add(model->set, subject, number, &added), ERR_OK);
        cr_assert_eq(added, !was);
        model->bits[i] |= bit;
    } else {
        cr_assert_eq(subject_set_remove(model->set, subject, number), was);
        model->bits[i] &= ~bit;
    }
    cr_assert_eq(subject_set_find(model->set, subject), model->bits[i], "%s", model->subjects[i]);
}

/* All that it says, by look-up and by figures. */
static void model_check(const struct model *model)
{
    uint64_t there = 0, text_bytes = 0;
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        struct bytes subject = text(model->subjects[i]);
        cr_assert_eq(subject_set_find(model->set, subject), model->bits[i], "%s", model->subjects[i]);
        there += model->bits[i] != 0;
        text_bytes += model->bits[i] != 0 ? subject.count : 0;
    }
    struct subject_set_figures figures = subject_set_figures(model->set);
    cr_assert_eq(figures.subjects, there);
    cr_assert_geq(figures.bytes, text_bytes + 14 * there);
    cr_assert_eq(subject_set_find(model->set, TEXT("f1.nobody")), 0);
}

static uint32_t model_remove_matching(struct model *model, struct bytes pattern, unsigned number)
{
    uint32_t removed = 0;
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        if ((model->bits[i] >> number & 1) == 0 || !subject_matches(pattern, text(model->subjects[i])))
            continue;
        model->bits[i] &= ~(1ULL << number);
        removed++;
    }
    return removed;
}

/* Goal: it says what a list would say, whatever comes and goes, one by one or by a wildcard. Method: random
 * changes that first mostly add, then mostly take away, so that the table grows and shrinks. */
Test(subject_set, says_what_a_list_would_say, .timeout = 60)
{
    static const char *const patterns[] = {"f3.*.*", "f7.>", "*", "f1.*", "*.11.>", "f2.*.tail-"};
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct model *model = model_new(seed);
        for (unsigned round = 0; round < 40000; round++) {
            bool adding = (random_below(&model->random, 4) != 0) == (round < 20000);
            uint32_t i = random_below(&model->random, SUBJECTS);
            unsigned number = numbers[random_below(&model->random, NUMBERS)];
            model_toggle(model, i, number, adding);
            if (round % 1009 == 0) {
                struct bytes pattern = text(patterns[round / 1009 % COUNT_OF(patterns)]);
                cr_assert_eq(subject_set_remove_matching(model->set, pattern, number),
                             model_remove_matching(model, pattern, number));
                model_check(model);
            }
        }
        for (unsigned n = 0; n < NUMBERS; n++)
            cr_assert_eq(subject_set_remove_matching(model->set, TEXT(">"), numbers[n]),
                         model_remove_matching(model, TEXT(">"), numbers[n]));
        model_check(model);
        cr_expect_lt(subject_set_figures(model->set).bytes, 1024, "what is empty is small again");
        model_free(model);
    }
}

/* Goal: a number goes in steps, each of few looks, and the others stay, while these change. */
Test(subject_set, a_number_goes_in_steps_and_the_others_stay, .timeout = 60)
{
    enum { LOOKS = 100, ONE_PLACE = 64 };
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct model *model = model_new(seed);
        uint32_t cursor = 0, steps = 0;
        bool done = false;
        for (uint32_t i = 0; i < SUBJECTS; i++) {
            model_toggle(model, i, 17, true);
            model_toggle(model, i, 0, i % 3 == 0);
        }
        for (; !done; steps++) {
            uint64_t before = subject_set_figures(model->set).subjects;
            uint32_t looks = LOOKS;
            done = subject_set_clear(model->set, 17, &looks, &cursor);
            cr_assert(done || looks == 0);
            cr_assert_leq(before - subject_set_figures(model->set).subjects, LOOKS + ONE_PLACE);
            for (unsigned change = 0; change < 20 * (unsigned)(seed - 1); change++) {
                uint32_t i = random_below(&model->random, SUBJECTS);
                bool add = seed % 2 == 0;
                bool added = false;
                if (add)
                    cr_assert_eq(subject_set_add(model->set, text(model->subjects[i]), 63, &added), ERR_OK);
                else
                    (void)subject_set_remove(model->set, text(model->subjects[i]), 0);
                model->bits[i] = add ? model->bits[i] | 1ULL << 63 : model->bits[i] & ~1ULL;
            }
        }
        cr_expect_gt(steps, SUBJECTS / (LOOKS + ONE_PLACE) / 2);
        for (uint32_t i = 0; i < SUBJECTS; i++)
            model->bits[i] &= ~(1ULL << 17);
        model_check(model);
        uint32_t looks = 10;
        cursor = 0;
        for (done = false; !done; looks = 10)
            done = subject_set_clear(model->set, 17, &looks, &cursor); /* nothing is left of it */
        model_check(model);
        model_free(model);
    }
}

/* Also just after the table has doubled, and while the old one is there. */
Test(subject_set, takes_at_most_64_bytes_beside_a_subject_with_the_rounding, .timeout = 60)
{
    enum { ALL = 70000, SMALL = 200, ROUNDING = 15 /* for up to 114 bytes */ };
    struct subject_set *set = subject_set_new();
    cr_assert_not_null(set);
    uint64_t text_bytes = 0;
    double most = 0;
    for (uint32_t i = 0; i < ALL; i++) {
        char subject[TEXT_BYTES];
        bool added = false;
        subject_make(i, subject);
        text_bytes += text(subject).count;
        cr_assert_eq(subject_set_add(set, text(subject), i % SUBJECT_SET_NUMBERS, &added), ERR_OK);
        double beside = (double)(subject_set_figures(set).bytes - text_bytes) / (i + 1);
        most = i > SMALL && beside > most ? beside : most;
    }
    cr_expect_leq(most + ROUNDING, 64, "%.1f", most);
    subject_set_free(set);
}

Test(subject_set, keeps_its_bounds)
{
    static char longest[SUBJECT_SET_TEXT_BYTES_MAX + 1];
    struct subject_set *set = subject_set_new();
    cr_assert_not_null(set);
    memset(longest, 'x', sizeof longest);
    bool added = true;
    cr_expect_eq(subject_set_add(set, bytes_of(longest, sizeof longest), 1, &added), ERR_FULL);
    cr_expect_not(added);
    cr_expect_eq(subject_set_find(set, bytes_of(longest, sizeof longest)), 0);
    cr_expect_eq(subject_set_add(set, bytes_of(longest, sizeof longest - 1), 1, &added), ERR_OK);
    cr_expect(added);
    cr_expect_eq(subject_set_find(set, bytes_of(longest, sizeof longest - 1)), 2);
    cr_expect_not(subject_set_remove(set, bytes_of(longest, sizeof longest - 1), 2));
    subject_set_free(set);
    subject_set_free(NULL);
}

Test(subject_set, an_empty_one_finds_and_clears_nothing)
{
    struct subject_set *set = subject_set_new();
    cr_assert_not_null(set);
    uint32_t looks = 10, cursor = 0;
    cr_expect_eq(subject_set_find(set, TEXT("a")), 0);
    cr_expect_not(subject_set_remove(set, TEXT("a"), 0));
    cr_expect_eq(subject_set_remove_matching(set, TEXT(">"), 0), 0);
    cr_expect(subject_set_clear(set, 0, &looks, &cursor));
    cr_expect_eq(cursor, 0);
    subject_set_free(set);
}

/* Goal: what memory refuses has changed nothing, and taking away needs none. */
Test(subject_set, a_refused_subject_has_changed_nothing, .timeout = 60)
{
    enum { FEW = 120 };
    FOR_EACH_FAULT(plan)
    {
        uint64_t there = 0;
        struct subject_set *set = subject_set_new();
        cr_assert(set != NULL || faults_met());
        for (uint32_t i = 0; set != NULL && i < FEW; i++) {
            char subject[TEXT_BYTES];
            bool added = false;
            subject_make(i, subject);
            enum err err = subject_set_add(set, text(subject), 5, &added);
            cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
            cr_assert_eq(added, err == ERR_OK);
            cr_assert_eq(subject_set_find(set, text(subject)), added ? 1ULL << 5 : 0);
            there += added;
            cr_assert_eq(subject_set_figures(set).subjects, there);
        }
        if (set != NULL)
            cr_assert_eq(subject_set_remove_matching(set, TEXT(">"), 5), there);
        subject_set_free(set);
    }
}
