/* tests/unit/net/test_route_compression.c - who compresses how: the table of routes.md 14.1. */
#include "net/route_compression.h"

#include <criterion/criterion.h>

enum { ACCEPT = ROUTE_COMPRESSION_ACCEPT, OFF = ROUTE_COMPRESSION_OFF, NO = ROUTE_COMPRESSION_NOT_SUPPORTED };
enum { FAST = ROUTE_COMPRESSION_S2_FAST, BEST = ROUTE_COMPRESSION_S2_BEST, AUTO = ROUTE_COMPRESSION_S2_AUTO };

struct choice_case {
    int own;
    const char *theirs;
    int chosen; /* -1: no such mode */
};

static const struct choice_case choice_cases[] = {
    {OFF, "", NO},
    {OFF, "accept", OFF},
    {OFF, "s2_fast", OFF},
    {ACCEPT, "", NO},
    {ACCEPT, "off", OFF},
    {ACCEPT, "accept", OFF},
    {ACCEPT, "s2_best", BEST},
    {ACCEPT, "s2_auto", FAST},
    {ACCEPT, "not supported", NO},
    {FAST, "", NO},
    {FAST, "off", OFF},
    {FAST, "accept", FAST},
    {FAST, "s2_best", FAST},
    {FAST, "s2_auto", FAST},
    {AUTO, "accept", AUTO},
    {AUTO, "s2_fast", AUTO},
    {AUTO, "off", OFF},
    {NO, "s2_fast", NO},
    {FAST, "lz4", -1},
    {ACCEPT, "lz4", -1},
    {FAST, "S2_FAST", -1},
};

Test(route_compression, both_sides_choose_by_one_table)
{
    for (const struct choice_case *c = choice_cases; c < choice_cases + COUNT_OF(choice_cases); c++) {
        enum route_compression_mode chosen = ROUTE_COMPRESSION_OFF;
        bool good = route_compression_choose((enum route_compression_mode)c->own, text(c->theirs), &chosen);
        cr_expect_eq(good, c->chosen >= 0, "%d with %s", c->own, c->theirs);
        if (good)
            cr_expect_eq((int)chosen, c->chosen, "%d with %s: %d", c->own, c->theirs, (int)chosen);
    }
}

Test(route_compression, a_quick_route_is_only_framed_where_the_time_decides)
{
    struct route_compression defaults = {.mode = AUTO};
    struct route_compression without = {.mode = AUTO, .threshold_count = 2, .thresholds_ns = {0, 5}};
    cr_expect(route_compression_stored(&defaults, ROUTE_COMPRESSION_S2_AUTO, 10000000));
    cr_expect_not(route_compression_stored(&defaults, ROUTE_COMPRESSION_S2_AUTO, 10000001));
    cr_expect_not(route_compression_stored(&without, ROUTE_COMPRESSION_S2_AUTO, 0));
    cr_expect_not(route_compression_stored(&defaults, ROUTE_COMPRESSION_S2_FAST, 0));
    cr_expect(route_compression_stored(&defaults, ROUTE_COMPRESSION_S2_UNCOMPRESSED, 1 << 30));
}
