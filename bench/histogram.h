/* bench/histogram.h - how long things took: a log-linear histogram of nanoseconds, after the idea of HDR
 * histograms. 128 buckets to each power of two, so a reported value is less than 1/128 (0.8 %) above the true
 * one; below 256 ns it is exact.
 * In the flow: traffic and request record, report reads.
 * At the bound: values above HISTOGRAM_NS_MAX (18 minutes) count in the last bucket; `max_ns` stays true. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 7, HISTOGRAM_VALUE_BITS = 40 };
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS };
#define HISTOGRAM_NS_MAX ((1ULL << HISTOGRAM_VALUE_BITS) - 1)

/* All zero is empty. One thread's. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max_ns;
};

/* Counts one value. Cost: a few instructions, one cache line. */
void histogram_record(struct histogram *histogram, uint64_t value_ns);

/* The value that `parts` of 100,000 of all values do not exceed (p99.9 is 99900), at most 0.8 % too high and
 * never above max_ns. 0 when empty. */
uint64_t histogram_percentile_ns(const struct histogram *histogram, uint32_t parts);

#endif
