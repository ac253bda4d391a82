/* Tests shards/control/control_stop.c: how lame duck mode spreads the closing of clients over its time. */
#include "core/base/clock.h"
#include "core/base/random.h"
#include "shards/control/control_internal.h"

#include <criterion/criterion.h>

enum { TRIES = 1000 };

struct pause_case {
    int64_t span_ms;
    uint64_t clients;
    int64_t longest_us; /* the shortest is half of it */
};

static const struct pause_case pause_cases[] = {
    {110000, 1, 1000000},    {110000, 110, 1000000}, {110000, 220, 500000},
    {110000, 110000, 1000},  {29000, 58, 500000},    {1, 1, 1000},
    {0, 1, 1000000},         {0, 4, 250000},         {-5, 2, 500000},
    {110000, 1100000000, 0},
};

Test(control_stop, clients_share_the_time_and_each_has_at_most_a_second)
{
    struct random random;
    random_seed(&random, 1);
    for (size_t i = 0; i < COUNT_OF(pause_cases); i++) {
        const struct pause_case *c = &pause_cases[i];
        int64_t longest_ns = c->longest_us * 1000, least_ns = INT64_MAX, most_ns = -1;
        for (int k = 0; k < TRIES; k++) {
            int64_t pause_ns =
                control_lame_duck_pause_ns(c->span_ms * NS_PER_MS, c->clients, random_next(&random));
            least_ns = pause_ns < least_ns ? pause_ns : least_ns;
            most_ns = pause_ns > most_ns ? pause_ns : most_ns;
        }
        int64_t slack_ns = longest_ns / 100; /* of a thousand tries some come that near to each end */
        cr_expect(most_ns <= longest_ns + 100 && most_ns >= longest_ns - slack_ns, "%zu: at most %lld", i,
                  (long long)most_ns);
        cr_expect(least_ns >= longest_ns / 2 && least_ns <= longest_ns / 2 + slack_ns + 100,
                  "%zu: at least %lld", i, (long long)least_ns);
    }
}
