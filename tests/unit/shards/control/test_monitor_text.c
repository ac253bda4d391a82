/* Tests shards/control/monitor_text.c: moments and spans as nats-server writes them (spec/monitoring.md 1.5).
 */
#include "core/base/clock.h"
#include "shards/control/monitor_task.h"

#include <criterion/criterion.h>

struct text_case {
    int64_t value_ns;
    const char *shown;
};

static const struct text_case time_cases[] = {
    {0, "1970-01-01T00:00:00Z"},
    {1764468182000000000, "2025-11-30T02:03:02Z"},
    {1764468182500000000, "2025-11-30T02:03:02.5Z"},
    {1764468182000000001, "2025-11-30T02:03:02.000000001Z"},
    {1764468182754097000, "2025-11-30T02:03:02.754097Z"},
};

static const struct text_case span_cases[] = {
    {-5, "0s"},
    {0, "0s"},
    {NS_PER_SECOND - 1, "0s"},
    {25 * NS_PER_SECOND, "25s"},
    {121 * NS_PER_SECOND, "2m1s"},
    {3605 * NS_PER_SECOND, "1h0m5s"},
    {(3 * 86400LL + 4 * 3600 + 12) * NS_PER_SECOND, "3d4h0m12s"},
    {(377 * 86400LL + 3 * 3600 + 4 * 60 + 5) * NS_PER_SECOND, "1y12d3h4m5s"},
};

static const struct text_case rtt_cases[] = {
    {0, "0s"},
    {350, "350ns"},
    {611999, "611\xc2\xb5s"},
    {1096655, "1.096655ms"},
    {2000000, "2ms"},
    {1500 * NS_PER_MS, "1.5s"},
    {61 * NS_PER_SECOND, "1m1s"},
    {3600 * NS_PER_SECOND + 500 * NS_PER_MS, "1h0m0.5s"},
};

Test(monitor_text, writes_what_go_writes)
{
    char out[MONITOR_TIME_BYTES];
    for (size_t i = 0; i < COUNT_OF(time_cases); i++)
        cr_expect_str_eq(monitor_time_text(out, time_cases[i].value_ns), time_cases[i].shown);
    cr_expect_str_eq(monitor_date_text(out, 1763782597), "2025-11-22T03:36:37Z");
    cr_expect_str_eq(monitor_date_text(out, INT64_C(253402300799)), "9999-12-31T23:59:59Z",
                     "what certificates that never end have");
    for (size_t i = 0; i < COUNT_OF(span_cases); i++)
        cr_expect_str_eq(monitor_span_text(out, span_cases[i].value_ns), span_cases[i].shown);
    for (size_t i = 0; i < COUNT_OF(rtt_cases); i++)
        cr_expect_str_eq(monitor_rtt_text(out, rtt_cases[i].value_ns), rtt_cases[i].shown);
}
