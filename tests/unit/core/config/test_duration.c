/* tests/unit/core/config/test_duration.c - Go's duration texts (configuration.md 2.6, 5.2). */
#include "core/config/duration.h"

#include <criterion/criterion.h>

struct parse_case {
    const char *written;
    int64_t ns;
    const char *printed;
};

static const struct parse_case parse_cases[] = {
    {"0", 0, "0s"},
    {"0s", 0, "0s"},
    {"1ns", 1, "1ns"},
    {"1500ns", 1500, "1.5\xc2\xb5s"},
    {"50us", 50000, "50\xc2\xb5s"},
    {"50\xc2\xb5s", 50000, "50\xc2\xb5s"},
    {"100ms", 100000000, "100ms"},
    {"1.5s", 1500000000, "1.5s"},
    {".5s", 500000000, "500ms"},
    {"1.s", 1000000000, "1s"},
    {"2m", 120000000000, "2m0s"},
    {"90s", 90000000000, "1m30s"},
    {"1h", 3600000000000, "1h0m0s"},
    {"1h30m0.25s", 5400250000000, "1h30m0.25s"},
    {"-1s", -1000000000, "-1s"},
    {"+1s", 1000000000, "1s"},
    {"2562047h47m16.854775807s", INT64_MAX, "2562047h47m16.854775807s"},
};

Test(duration, is_read_and_printed_as_go_does)
{
    for (size_t i = 0; i < COUNT_OF(parse_cases); i++) {
        const struct parse_case *c = &parse_cases[i];
        int64_t ns = -1;
        char why[128] = "", printed[DURATION_TEXT_BYTES_MAX];
        cr_expect(duration_parse(text(c->written), &ns, why, sizeof(why)), "%s: %s", c->written, why);
        cr_expect_eq(ns, c->ns, "%s gave %lld", c->written, (long long)ns);
        cr_expect_str_eq(duration_print(c->ns, printed), c->printed);
    }
}

static const struct {
    const char *written;
    const char *why;
} error_cases[] = {
    {"", "time: invalid duration \"\""},
    {"-", "time: invalid duration \"-\""},
    {"x", "time: invalid duration \"x\""},
    {".s", "time: invalid duration \".s\""},
    {"5", "time: missing unit in duration \"5\""},
    {"5x", "time: unknown unit \"x\" in duration \"5x\""},
    {"1h5", "time: missing unit in duration \"1h5\""},
    {"99999999999999999999s", "time: invalid duration \"99999999999999999999s\""},
    {"2562048h", "time: invalid duration \"2562048h\""},
};

Test(duration, errors_say_what_go_says)
{
    for (size_t i = 0; i < COUNT_OF(error_cases); i++) {
        int64_t ns;
        char why[128] = "";
        cr_expect_not(duration_parse(text(error_cases[i].written), &ns, why, sizeof(why)));
        cr_expect_str_eq(why, error_cases[i].why, "%s: %s", error_cases[i].written, why);
    }
}
