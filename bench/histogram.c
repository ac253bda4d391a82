/* bench/histogram.c - buckets and percentiles behind histogram.h. */
#include "bench/histogram.h"

#include "core/base/check.h"

enum { SUB_COUNT = 1 << HISTOGRAM_SUB_BITS };

static uint32_t bucket_of(uint64_t value_ns);
static uint64_t bucket_highest_ns(uint32_t bucket);

void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
    if (value_ns > histogram->max_ns)
        histogram->max_ns = value_ns;
    histogram->counts[bucket_of(value_ns)]++;
    histogram->count++;
}

uint64_t histogram_percentile_ns(const struct histogram *histogram, uint32_t parts)
{
    ASSERT(parts <= 100000);
    if (histogram->count == 0)
        return 0;
    /* The rank is rounded up, in 128 bits because count * parts may exceed 64. */
    uint64_t rank = (uint64_t)(((unsigned __int128)histogram->count * parts + 99999) / 100000);
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen >= rank && seen > 0) {
            uint64_t highest = bucket_highest_ns(bucket);
            return highest < histogram->max_ns ? highest : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}

/* Values below 2 * SUB_COUNT have a bucket each; every further power of two shares SUB_COUNT buckets. */
static uint32_t bucket_of(uint64_t value_ns)
{
    if (value_ns > HISTOGRAM_NS_MAX)
        value_ns = HISTOGRAM_NS_MAX;
    if (value_ns < 2 * SUB_COUNT)
        return (uint32_t)value_ns;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value_ns) - HISTOGRAM_SUB_BITS;
    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value_ns >> shift);
}

static uint64_t bucket_highest_ns(uint32_t bucket)
{
    if (bucket < 2 * SUB_COUNT)
        return bucket;
    uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t lowest = ((uint64_t)(bucket & (SUB_COUNT - 1)) + SUB_COUNT) << shift;
    return lowest + (1ULL << shift) - 1;
}
