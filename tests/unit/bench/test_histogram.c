/* tests/unit/bench/test_histogram.c - percentiles of known distributions. */
#include "bench/histogram.h"

#include <criterion/criterion.h>

static struct histogram histogram; /* too large for the stack of a forked test; each test has its own copy */

Test(histogram, an_empty_one_has_no_percentiles)
{
    cr_expect_eq(histogram_percentile_ns(&histogram, 50000), 0);
    cr_expect_eq(histogram_percentile_ns(&histogram, 100000), 0);
}

Test(histogram, small_values_are_exact)
{
    for (uint64_t value = 0; value < 256; value++)
        histogram_record(&histogram, value);
    for (uint64_t value = 0; value < 256; value++)
        cr_expect_eq(histogram.counts[value], 1, "value %llu", (unsigned long long)value);
    cr_expect_eq(histogram_percentile_ns(&histogram, 50000), 127);
    cr_expect_eq(histogram_percentile_ns(&histogram, 100000), 255);
}

Test(histogram, every_value_is_reported_less_than_one_percent_too_high_and_never_too_low)
{
    for (uint64_t value = 1; value < HISTOGRAM_NS_MAX; value += value / 3 + 1) {
        histogram = (struct histogram){0};
        histogram_record(&histogram, value);
        histogram_record(&histogram, HISTOGRAM_NS_MAX); /* so that max_ns does not bound the answer */
        uint64_t reported = histogram_percentile_ns(&histogram, 50000);
        cr_expect(reported >= value && reported - value <= value / 128, "value %llu, reported %llu",
                  (unsigned long long)value, (unsigned long long)reported);
    }
}

Test(histogram, neighbouring_buckets_leave_no_gap_and_do_not_overlap)
{
    for (uint32_t bits = 8; bits < 39; bits++) {
        uint64_t edge = 1ULL << bits;
        histogram = (struct histogram){0};
        histogram_record(&histogram, edge - 1);
        histogram_record(&histogram, edge);
        cr_expect_eq(histogram_percentile_ns(&histogram, 50000), edge - 1, "edge %u", bits);
        cr_expect_eq(histogram_percentile_ns(&histogram, 100000), edge, "edge %u", bits);
    }
}

Test(histogram, percentiles_follow_the_rank)
{
    static const struct {
        uint32_t parts;
        uint64_t value;
    } rows[] = {{50000, 100}, {90000, 100}, {99000, 100}, {99900, 200}, {99990, 200}, {100000, 250}};
    for (int i = 0; i < 9900; i++)
        histogram_record(&histogram, 100);
    for (int i = 0; i < 99; i++)
        histogram_record(&histogram, 200);
    histogram_record(&histogram, 250);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(histogram_percentile_ns(&histogram, rows[i].parts), rows[i].value, "parts %u",
                     rows[i].parts);
}

Test(histogram, values_above_the_bound_keep_a_true_maximum)
{
    histogram_record(&histogram, UINT64_MAX);
    cr_expect_eq(histogram.max_ns, UINT64_MAX);
    cr_expect_eq(histogram.counts[HISTOGRAM_BUCKETS - 1], 1);
    cr_expect_eq(histogram_percentile_ns(&histogram, 100000), HISTOGRAM_NS_MAX);
}
