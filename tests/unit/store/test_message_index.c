/* tests/unit/store/test_message_index.c - the index of messages against a model: any order of puts,
 * replacements, drops at both ends. */
#include "core/base/language.h"
#include "core/base/random.h"
#include "store/message_index.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>

enum { MODEL_MAX = 3000 };

struct model {
    bool there[MODEL_MAX];
    uint64_t position[MODEL_MAX];
    uint64_t count;
};

static struct message_entry entry_for(uint64_t sequence, uint64_t position)
{
    return (struct message_entry){sequence, position, (int64_t)sequence * 10, (uint32_t)sequence * 3};
}

static void put(struct message_index *index, struct model *model, uint64_t sequence, uint64_t position)
{
    struct message_entry entry = entry_for(sequence, position), replaced;
    cr_assert_eq(message_index_put(index, &entry, &replaced), ERR_OK);
    cr_assert_eq(replaced.sequence, model->there[sequence] ? sequence : 0);
    if (replaced.sequence != 0)
        cr_assert_eq(replaced.position, model->position[sequence]);
    model->count += !model->there[sequence];
    model->there[sequence] = true;
    model->position[sequence] = position;
}

static void check(const struct message_index *index, const struct model *model)
{
    uint64_t next = 0, last = 0;
    cr_assert_eq(index->message_count, model->count);
    for (uint64_t s = MODEL_MAX - 1; s > 0; s--) {
        struct message_entry entry;
        bool found = message_index_get(index, s, &entry);
        cr_assert_eq(found, model->there[s], "sequence %llu", (unsigned long long)s);
        if (found) {
            cr_assert_eq(entry.sequence, s);
            cr_assert_eq(entry.position, model->position[s]);
            cr_assert_eq(entry.timestamp_ns, (int64_t)s * 10);
            cr_assert_eq(entry.data_bytes, s * 3);
            next = s;
            last = last == 0 ? s : last;
        }
        cr_assert_eq(message_index_from(index, s), next);
        cr_assert_eq(message_index_at_time(index, (int64_t)s * 10), next);
        cr_assert_eq(message_index_at_time(index, (int64_t)s * 10 - 9), next);
    }
    struct message_entry entry;
    cr_assert_eq(message_index_first(index, &entry), model->count > 0);
    if (model->count > 0)
        cr_assert_eq(entry.sequence, next);
    cr_assert_eq(message_index_last(index, &entry), model->count > 0);
    if (model->count > 0)
        cr_assert_eq(entry.sequence, last);
}

static uint64_t lowest(const struct model *model)
{
    uint64_t s = 1;
    while (!model->there[s])
        s++;
    return s;
}

static uint64_t highest(const struct model *model)
{
    uint64_t s = MODEL_MAX - 1;
    while (!model->there[s])
        s--;
    return s;
}

Test(message_index, agrees_with_a_model_whatever_is_done)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        static struct model model;
        struct message_index index = {0};
        struct random random;
        random_seed(&random, seed);
        model = (struct model){0};
        for (int round = 0; round < 60; round++) {
            uint32_t what = random_below(&random, 5);
            uint64_t at = 1 + random_below(&random, MODEL_MAX - 1), many = random_below(&random, 200);
            if (what < 2) { /* a run of new or moved ones */
                for (; many > 0 && at < MODEL_MAX; many--, at++)
                    put(&index, &model, at, random_next(&random));
            } else if (what == 2) { /* here and there */
                for (; many > 0; many--)
                    put(&index, &model, 1 + random_below(&random, MODEL_MAX - 1), random_next(&random));
            } else {
                for (; many > 0 && model.count > 0; many--) {
                    model.there[what == 3 ? lowest(&model) : highest(&model)] = false;
                    model.count--;
                    if (what == 3)
                        message_index_drop_first(&index);
                    else
                        message_index_drop_last(&index);
                }
            }
            if (round % 6 == 0)
                check(&index, &model);
        }
        check(&index, &model);
        message_index_close(&index);
    }
}

Test(message_index, takes_at_most_24_bytes_for_a_message_when_there_are_many)
{
    struct message_index index = {0};
    for (uint64_t s = 1; s <= 200000; s++) {
        struct message_entry entry = entry_for(s, s);
        cr_assert_eq(message_index_put(&index, &entry, NULL), ERR_OK);
    }
    cr_expect_leq(index.memory_bytes, 24 * index.message_count);
    message_index_close(&index);
}

Test(message_index, of_a_channel_that_keeps_one_message_stays_small)
{
    struct message_index index = {0};
    for (uint64_t s = 1; s <= 100000; s++) {
        struct message_entry entry = entry_for(s, s);
        cr_assert_eq(message_index_put(&index, &entry, NULL), ERR_OK);
        if (s > 1)
            message_index_drop_first(&index);
    }
    cr_expect_lt(index.memory_bytes, 400);
    message_index_close(&index);
}

Test(message_index, is_unchanged_when_memory_runs_out)
{
    FOR_EACH_FAULT(plan)
    {
        struct message_index index = {0};
        uint64_t count = 0;
        for (uint64_t s = 1; s <= 700; s++) {
            struct message_entry entry = entry_for(s, s), found;
            if (message_index_put(&index, &entry, NULL) == ERR_OK)
                count++;
            else
                cr_assert_not(message_index_get(&index, s, &found));
            cr_assert_eq(index.message_count, count);
        }
        message_index_close(&index);
    }
}
