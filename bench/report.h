/* bench/report.h - a run's figures, in order, printed as text, one JSON object, or CSV.
 * In the flow: a command adds what it measured, main() prints. Names carry their units and stay what they
 * are: docs/benchmarks.md explains them, bench/compare.py reads them. At the bound: a figure too many is an
 * assertion; there are REPORT_FIGURES_MAX. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/histogram.h"
#include "bench/options.h"

enum { REPORT_FIGURES_MAX = 48, REPORT_TEXT_BYTES = 64 };

enum report_kind { REPORT_COUNT, REPORT_NUMBER, REPORT_TEXT };

/* All zero is empty. */
struct report {
    struct report_figure {
        const char *name; /* a literal */
        enum report_kind kind;
        int64_t count;
        double number;
        char text[REPORT_TEXT_BYTES];
    } figures[REPORT_FIGURES_MAX];
    uint32_t figure_count;
};

void report_add_count(struct report *report, const char *name, uint64_t count);
void report_add_signed(struct report *report, const char *name, int64_t count);
void report_add_number(struct report *report, const char *name, double number);
void report_add_text(struct report *report, const char *name, const char *text);

/* count, p50 to p99.99 and max. Nothing when the histogram is empty. */
void report_add_latency(struct report *report, const struct histogram *histogram);

/* In the form that the options ask for. ERR_SYSTEM when `out` cannot take it. */
MUST_USE enum err report_print(const struct report *report, const struct options *options, FILE *out);

#endif
