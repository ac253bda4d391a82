/* Tests core/loop/timers.c against a plain array. */
#include "core/loop/timers.h"

#include "core/base/random.h"

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
