/* tests/unit/bench/test_report.c - one report in its three forms. */
#include "bench/report.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static char *printed(const struct options *options)
{
    struct report report = {0};
    report_add_text(&report, "server", "2\"9,\n1");
    report_add_count(&report, "messages", 7);
    report_add_number(&report, "cost_ns", 1.5);
    report_add_signed(&report, "grown_bytes", -4096);
    char *out = NULL;
    size_t count = 0;
    FILE *file = open_memstream(&out, &count);
    cr_assert(file != NULL);
    cr_assert_eq(report_print(&report, options, file), ERR_OK);
    cr_assert_eq(fclose(file), 0);
    return out;
}

Test(bench_report, each_form_has_every_figure_and_nothing_that_would_break_it)
{
    static const struct {
        struct options options;
        const char *expected;
    } rows[] = {
        {{.json = true},
         "{\"server\": \"2_9__1\", \"messages\": 7, \"cost_ns\": 1.500, \"grown_bytes\": -4096}\n"},
        {{.csv = true}, "server,messages,cost_ns,grown_bytes\n2_9__1,7,1.500,-4096\n"},
        {{0},
         "server                                  2_9__1\nmessages                                7\n"
         "cost_ns                                 1.500\ngrown_bytes                             -4096\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *out = printed(&rows[i].options);
        cr_expect_str_eq(out, rows[i].expected);
        free(out);
    }
}

Test(bench_report, latency_is_left_out_when_nothing_was_recorded)
{
    static struct histogram histogram;
    struct report report = {0};
    report_add_latency(&report, &histogram);
    cr_expect_eq(report.figure_count, 0);
    histogram_record(&histogram, 100);
    report_add_latency(&report, &histogram);
    cr_expect_eq(report.figure_count, 7);
    cr_expect_str_eq(report.figures[6].name, "latency_max_ns");
    cr_expect_eq(report.figures[6].count, 100);
}
