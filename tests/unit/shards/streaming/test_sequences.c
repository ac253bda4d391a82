/* Tests shards/streaming/sequences.c against a plain array. */
#include "shards/streaming/sequences.h"

#include "core/base/memory.h"
#include "core/base/random.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <string.h>

enum { MODEL = 4096, STEPS = 40000 };

Test(sequences, what_was_put_is_found_and_what_was_removed_is_not)
{
    struct sequences set = {0};
    static int64_t model[MODEL]; /* 0: not in the set */
    struct random random;
    uint32_t count = 0;
    random_seed(&random, 7);
    memset(model, 0, sizeof model);
    for (int step = 0; step < STEPS; step++) {
        /* Windows of neighbours, and now and then something far away that falls on the same places. */
        uint64_t sequence = 1 + random_below(&random, 300) + 512 * random_below(&random, 7);
        if (random_below(&random, 2) == 0) {
            int64_t word = (int64_t)random_next(&random) | 1;
            cr_assert_eq(sequences_put(&set, sequence, word), ERR_OK);
            count += model[sequence] == 0;
            model[sequence] = word;
        } else {
            cr_assert_eq(sequences_remove(&set, sequence), model[sequence] != 0);
            count -= model[sequence] != 0;
            model[sequence] = 0;
        }
        cr_assert_eq(set.count, count);
    }
    for (uint64_t sequence = 1; sequence < MODEL; sequence++) {
        const int64_t *word = sequences_find(&set, sequence);
        cr_assert_eq(word == NULL ? 0 : *word, model[sequence], "sequence %llu",
                     (unsigned long long)sequence);
    }
    sequences_close(&set);
}

Test(sequences, they_are_told_in_order_of_word_then_number)
{
    struct sequences set = {0};
    cr_assert_null(sequences_sorted(&set), "an empty set has nothing to tell");
    static const struct sequence_entry put[] = {{9, 5}, {3, 7}, {4, 5}, {1, 6}};
    static const uint64_t order[] = {4, 9, 1, 3};
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(sequences_put(&set, put[i].sequence, put[i].word), ERR_OK);
    struct sequence_entry *all = sequences_sorted(&set);
    cr_assert_not_null(all);
    for (size_t i = 0; i < 4; i++)
        cr_expect_eq(all[i].sequence, order[i], "place %zu", i);
    memory_free(all);
    all = sequences_in_row(&set);
    cr_assert_not_null(all);
    for (size_t i = 1; i < 4; i++)
        cr_expect_lt(all[i - 1].sequence, all[i].sequence, "place %zu", i);
    memory_free(all);
    sequences_close(&set);
}

Test(sequences, zero_is_no_sequence)
{
    struct sequences set = {0};
    cr_assert_eq(sequences_put(&set, 1, 1), ERR_OK);
    cr_expect_null(sequences_find(&set, 0));
    cr_expect_not(sequences_remove(&set, 0));
    sequences_close(&set);
}

Test(sequences, without_memory_nothing_changes)
{
    FOR_EACH_FAULT(plan)
    {
        struct sequences set = {0};
        uint32_t in = 0;
        for (uint64_t sequence = 1; sequence <= 100; sequence++) {
            if (sequences_put(&set, sequence, 1) != ERR_OK)
                break;
            in++;
        }
        cr_expect_eq(set.count, in);
        for (uint64_t sequence = 1; sequence <= in; sequence++)
            cr_expect_not_null(sequences_find(&set, sequence));
        sequences_close(&set);
    }
}
