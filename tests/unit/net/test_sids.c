/* Tests net/sids.c against a plain array of what is in it, across growing and shrinking. */
#include "net/sids.h"

#include "core/base/language.h"
#include "core/base/random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDS = 500 };

static struct client_subscription *make(unsigned number)
{
    char text_of[16];
    int count = snprintf(text_of, sizeof text_of, "%u", number);
    struct client_subscription *s = calloc(1, sizeof *s + (size_t)count);
    s->sid_count = (uint16_t)(count & SID_BYTES_MAX);
    memcpy(s->sid, text_of, (size_t)count);
    return s;
}

static unsigned number_of(const struct client_subscription *s)
{
    unsigned number = 0;
    for (unsigned i = 0; i < s->sid_count; i++)
        number = number * 10 + (unsigned)(s->sid[i] - '0');
    cr_assert_lt(number, SIDS);
    return number;
}

/* Every one that the model has is met once, while the table moves as well. */
static void walk(const struct sids *sids, struct client_subscription *const model[SIDS])
{
    bool met[SIDS] = {false};
    uint64_t at = 0;
    uint32_t count = 0;
    for (const struct client_subscription *s; (s = sids_next(sids, &at)) != NULL; count++) {
        unsigned number = number_of(s);
        cr_assert(model[number] == s && !met[number]);
        met[number] = true;
    }
    cr_assert_eq(count, sids->count);
}

Test(sids, found_is_exactly_what_was_added_and_not_removed)
{
    struct sids sids = {0};
    struct client_subscription *model[SIDS] = {0};
    struct random random;
    random_seed(&random, 7);
    for (int step = 0; step < 50000; step++) {
        unsigned number = random_below(&random, SIDS);
        if (model[number] == NULL) {
            model[number] = make(number);
            cr_assert_eq(sids_add(&sids, model[number]), ERR_OK);
        } else {
            sids_remove(&sids, model[number]);
            free(model[number]);
            model[number] = NULL;
        }
        char sid[16];
        unsigned asked = random_below(&random, SIDS);
        snprintf(sid, sizeof sid, "%u", asked);
        cr_assert_eq(sids_find(&sids, text(sid)), model[asked], "step %d sid %u", step, asked);
        if (step % 100 == 0)
            walk(&sids, model);
    }
    uint32_t hint = 0;
    struct client_subscription *any;
    while ((any = sids_any(&sids, &hint)) != NULL) {
        sids_remove(&sids, any);
        model[number_of(any)] = NULL;
        free(any);
    }
    for (unsigned i = 0; i < SIDS; i++)
        cr_expect_null(model[i]);
    cr_expect_eq(sids.count, 0);
    sids_close(&sids);
}

enum { MANY = 40000 };

/* Whether the old array was emptied up to `old_moved`, and nobody is lost or twice there. */
static uint32_t count_slots(const struct sids *sids)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sids->now.capacity; i++)
        count += sids->now.slots[i] != NULL;
    for (uint32_t i = 0; i < sids->old.capacity; i++) {
        cr_assert(i >= sids->old_moved || sids->old.slots[i] == NULL);
        count += sids->old.slots[i] != NULL;
    }
    return count;
}

/* How many slots of an old array a change has dealt with. */
static uint32_t moved_by(const struct sids *before, const struct sids *after)
{
    if (before->old.slots == after->old.slots)
        return after->old_moved - before->old_moved;
    return before->old.capacity - before->old_moved + after->old_moved;
}

/* Goal: no change looks at more than a few slots of the array that is being left, all is found at every
 * moment, and a table that was large and is not any more has given its memory back. Method: random changes
 * that first mostly add, then mostly take away. */
Test(sids, growing_and_shrinking_is_spread_over_many_changes, .timeout = 120)
{
    enum { SLOTS_PER_CHANGE_MOST = 32 };
    static struct client_subscription *all[MANY];
    static bool in[MANY];
    struct sids sids = {.seed = 99};
    struct random random;
    uint32_t count = 0;
    uint32_t capacity_most = 0;
    uint32_t changes_while_moving = 0;
    random_seed(&random, 23);
    for (unsigned i = 0; i < MANY; i++)
        all[i] = make(i);
    for (unsigned step = 0; step < 8 * MANY; step++) {
        unsigned i = random_below(&random, MANY);
        bool adding = step < 4 * MANY;
        struct sids before = sids;
        if (in[i] == adding && random_below(&random, 8) != 0)
            continue;
        if (in[i])
            sids_remove(&sids, all[i]);
        else
            cr_assert_eq(sids_add(&sids, all[i]), ERR_OK);
        in[i] = !in[i];
        count = in[i] ? count + 1 : count - 1;
        cr_assert_eq(sids.count, count);
        cr_assert_leq(moved_by(&before, &sids), SLOTS_PER_CHANGE_MOST, "step %u", step);
        cr_assert_eq(sids_find(&sids, subscription_sid(all[i])), in[i] ? all[i] : NULL, "step %u", step);
        changes_while_moving += sids.old.slots != NULL;
        capacity_most = sids.now.capacity > capacity_most ? sids.now.capacity : capacity_most;
        if (step % 9973 != 0)
            continue;
        cr_assert_eq(count_slots(&sids), count);
        for (unsigned k = 0; k < MANY; k++)
            cr_assert_eq(sids_find(&sids, subscription_sid(all[k])), in[k] ? all[k] : NULL, "step %u", step);
    }
    cr_expect_gt(changes_while_moving, MANY / 32);
    for (unsigned i = 0; i < MANY; i++) {
        if (in[i])
            sids_remove(&sids, all[i]);
        free(all[i]);
    }
    cr_expect_eq(sids.count, 0);
    cr_expect_lt(sids.now.capacity + sids.old.capacity, capacity_most / 50);
    sids_close(&sids);
}

/* While it moves, too, each is met once. */
Test(sids, taking_any_until_none_is_left_takes_each_once)
{
    for (unsigned count = 1; count < 700; count += 13) {
        struct sids sids = {0};
        static struct client_subscription *all[700];
        uint32_t hint = 0;
        unsigned taken = 0;
        for (unsigned i = 0; i < count; i++) {
            all[i] = make(i);
            cr_assert_eq(sids_add(&sids, all[i]), ERR_OK);
        }
        for (struct client_subscription *any; (any = sids_any(&sids, &hint)) != NULL; taken++) {
            cr_assert_lt(taken, count);
            sids_remove(&sids, any);
            cr_assert_null(sids_find(&sids, subscription_sid(any)));
        }
        cr_assert_eq(taken, count);
        for (unsigned i = 0; i < count; i++)
            free(all[i]);
        sids_close(&sids);
    }
}

/* Sids come from clients: where they stand must not be for them to know. */
Test(sids, places_hang_on_the_seed)
{
    struct sids sids[2] = {{.seed = 1}, {.seed = 2}};
    struct client_subscription *all[2][SIDS];
    unsigned same = 0;
    for (unsigned i = 0; i < SIDS; i++) {
        for (unsigned k = 0; k < 2; k++) {
            all[k][i] = make(i);
            cr_assert_eq(sids_add(&sids[k], all[k][i]), ERR_OK);
        }
    }
    cr_assert_eq(sids[0].now.capacity, sids[1].now.capacity);
    for (uint32_t i = 0; i < sids[0].now.capacity; i++) {
        struct client_subscription *one = sids[0].now.slots[i];
        struct client_subscription *other = sids[1].now.slots[i];
        same += one != NULL && other != NULL && number_of(one) == number_of(other);
    }
    cr_expect_lt(same, SIDS / 20);
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < SIDS; i++)
            free(all[k][i]);
        sids_close(&sids[k]);
    }
}
