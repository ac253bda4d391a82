/* net/route_compression.h - whether and how two servers compress what they send each other (spec/routes.md
 * 14): the option, what it says in INFO, and the choice. In the flow:  `compression` ->
 * route_compression_choose() -> the control core's answer -> the route's shard. Thread: any. */
#ifndef NET_ROUTE_COMPRESSION_H
#define NET_ROUTE_COMPRESSION_H

#include "core/config/option.h"

#include <stdbool.h>
#include <stdint.h>

enum route_compression_mode {
    ROUTE_COMPRESSION_ACCEPT, /* the default: as the other one likes */
    ROUTE_COMPRESSION_NOT_SUPPORTED,
    ROUTE_COMPRESSION_OFF,
    ROUTE_COMPRESSION_S2_UNCOMPRESSED, /* framed, and stored as it is */
    ROUTE_COMPRESSION_S2_FAST,
    ROUTE_COMPRESSION_S2_BETTER,
    ROUTE_COMPRESSION_S2_BEST,
    ROUTE_COMPRESSION_S2_AUTO, /* by the time that an answer takes */
};

enum { ROUTE_COMPRESSION_THRESHOLDS = 4 };

struct route_compression {
    int mode;                                            /* enum route_compression_mode */
    uint32_t threshold_count;                            /* 0: the defaults */
    int64_t thresholds_ns[ROUTE_COMPRESSION_THRESHOLDS]; /* the slowest for each level from uncompressed on;
                                                            0: without it */
};

/* The option: a mode, a truth (s2_fast or off), or a map of `mode` and `rtt_thresholds`. */
void route_compression_parse(struct route_compression *compression, const struct config_entry *entry,
                             struct arena *arena, struct option_errors *errors);

/* The name in INFO; empty: it is not mentioned. */
struct bytes route_compression_name(enum route_compression_mode mode);

/* What becomes of our mode and of what the other server's first INFO says. False: that is no mode. */
MUST_USE bool route_compression_choose(enum route_compression_mode own, struct bytes theirs,
                                       enum route_compression_mode *chosen);

static inline bool route_compression_on(enum route_compression_mode mode)
{
    return mode >= ROUTE_COMPRESSION_S2_UNCOMPRESSED;
}

/* What is in use when `mode` was chosen: that, or with s2_auto what the round-trip time says. */
enum route_compression_mode route_compression_level(const struct route_compression *compression,
                                                    enum route_compression_mode mode, int64_t rtt_ns);

bool route_compression_same(const struct route_compression *a, const struct route_compression *b);

#endif
