/* tests/unit/net/test_route_compression.c - who compresses how: the table of routes.md 14.1. */
#include "net/route_compression.h"

#include <criterion/criterion.h>

enum { ACCEPT = ROUTE_COMPRESSION_ACCEPT, OFF = ROUTE_COMPRESSION_OFF, NO = ROUTE_COMPRESSION_NOT_SUPPORTED };
enum { STORED = ROUTE_COMPRESSION_S2_UNCOMPRESSED, BETTER = ROUTE_COMPRESSION_S2_BETTER };
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

static const struct level_case {
    struct route_compression compression;
    int mode;
    int64_t rtt_ns;
    int level;
} level_cases[] = {
    {{.mode = AUTO}, AUTO, 0, STORED},
    {{.mode = AUTO}, AUTO, 10000000, STORED},
    {{.mode = AUTO}, AUTO, 10000001, FAST},
    {{.mode = AUTO}, AUTO, 100000000, BETTER},
    {{.mode = AUTO}, AUTO, 100000001, BEST},
    {{AUTO, 2, {0, 5}}, AUTO, 0, FAST},
    {{AUTO, 2, {0, 5}}, AUTO, 6, FAST}, /* no level behind the last one named */
    {{AUTO, 3, {0, 0, 5}}, AUTO, 5, BETTER},
    {{AUTO, 3, {0, 0, 5}}, AUTO, 6, BEST},
    {{AUTO, 4, {1, 2, 3, 4}}, AUTO, 9, BEST},
    {{.mode = FAST}, FAST, 0, FAST},
    {{.mode = FAST}, OFF, 0, OFF},
    {{.mode = AUTO}, STORED, 1 << 30, STORED},
};

Test(route_compression, the_level_in_use_is_that_of_the_mode_or_of_the_round_trip)
{
    for (const struct level_case *c = level_cases; c < level_cases + COUNT_OF(level_cases); c++)
        cr_expect_eq(
            (int)route_compression_level(&c->compression, (enum route_compression_mode)c->mode, c->rtt_ns),
            c->level, "row %d", (int)(c - level_cases));
}
