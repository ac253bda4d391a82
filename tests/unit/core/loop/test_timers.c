/* Tests core/loop/timers.c against a plain array. */
#include "core/loop/timers.h"

#include "core/base/random.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>

enum { TIMERS = 200 };

Test(timers, the_earliest_comes_first_whatever_was_moved_or_cancelled)
{
    struct timers timers = {0};
    struct timer all[TIMERS] = {0};
    struct random random;
    random_seed(&random, 4222);
    for (int step = 0; step < 20000; step++) {
        struct timer *timer = &all[random_below(&random, TIMERS)];
        if (random_below(&random, 3) == 0)
            timers_cancel(&timers, timer);
        else
            cr_assert_eq(timers_set(&timers, timer, random_below(&random, 1000)), ERR_OK);
        int64_t earliest = INT64_MAX;
        for (int i = 0; i < TIMERS; i++) {
            if (timer_set(&all[i]) && all[i].due_ns < earliest)
                earliest = all[i].due_ns;
        }
        cr_assert_eq(timers_next_ns(&timers), earliest, "step %d", step);
    }
    int64_t before = INT64_MIN;
    struct timer *timer;
    while ((timer = timers_expired(&timers, 1000)) != NULL) {
        cr_assert_geq(timer->due_ns, before);
        cr_assert_not(timer_set(timer));
        before = timer->due_ns;
    }
    cr_expect_eq(timers.count, 0);
    timers_close(&timers);
}

Test(timers, what_is_not_due_stays)
{
    struct timers timers = {0};
    struct timer timer = {0};
    cr_assert_eq(timers_set(&timers, &timer, 100), ERR_OK);
    cr_expect_null(timers_expired(&timers, 99));
    cr_expect_eq(timers_expired(&timers, 100), &timer);
    cr_expect_null(timers_expired(&timers, 1000));
    timers_cancel(&timers, &timer);
    timers_close(&timers);
}

/* A timer that memory refused is not set; those before it are, and come in order. */
Test(timers, a_refused_timer_is_not_set)
{
    enum { MANY = 400 };
    static struct timer all[MANY];
    FOR_EACH_FAULT(plan)
    {
        struct timers timers = {0};
        uint32_t set = 0;
        memset(all, 0, sizeof all);
        for (uint32_t i = 0; i < MANY; i++) {
            enum err err = timers_set(&timers, &all[i], (int64_t)(i * 7919 % MANY));
            cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
            cr_assert_eq(timer_set(&all[i]), err == ERR_OK);
            set += err == ERR_OK;
            cr_assert_eq(timers.count, set);
        }
        int64_t before = INT64_MIN;
        for (struct timer *timer; (timer = timers_expired(&timers, MANY)) != NULL; set--) {
            cr_assert_geq(timer->due_ns, before);
            before = timer->due_ns;
        }
        cr_assert_eq(set, 0);
        timers_close(&timers);
    }
}
