/* store/limits.h - how much a channel may hold, and which rule counts for which channel.
 * In the flow:  options -> limits_rules_check() -> store_open() -> limits_of() once for each channel
 * A rule names a channel or a pattern with `*` and `>`; what it leaves open it inherits from the wider rules
 * that match too, and the widest from the store's own values (spec/streaming-stores-and-clustering.md 7.3).
 * Pure functions. Thread: any. */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/language.h"

/* 0 in a field: no limit. */
struct store_limits {
    uint64_t messages_max;
    uint64_t bytes_max; /* counted as store_channel_figures() counts */
    int64_t age_max_ns;
    int64_t inactivity_max_ns; /* kept for the owner, who knows which subscriptions are active */
    uint32_t subscriptions_max;
};

/* In a field of a rule: "as the wider rule says". 0 is "no limit", as everywhere. */
#define LIMIT_INHERITED (-1)

/* One row of `store_limits { channels { ... } }`. */
struct store_limits_rule {
    struct bytes name; /* a channel, or a pattern */
    int64_t messages_max;
    int64_t bytes_max;
    int64_t age_max_ns;
    int64_t inactivity_max_ns;
    int64_t subscriptions_max;
};

enum { LIMITS_WHY_BYTES = 256 };

/* Whether a channel may have this name: not empty, tokens between single dots, no '*',
 * '>', '/' or zero anywhere. */
bool limits_channel_name_valid(struct bytes name);

/* ERR_INVALID with the sentence of spec 7.1 and 7.2 in `why` when a name is no channel and no pattern, or
 * more literal names are given than `channels_max` (0: no limit) channels can exist. */
MUST_USE enum err limits_rules_check(const struct store_limits_rule *rules, uint32_t count,
                                     uint32_t channels_max, char *why, size_t why_bytes);

/* The limits of the channel `name`: the last rule that matches in the order of spec 7.3, with what it
 * inherits. Cost: a match with each rule, so it is asked once for each channel. */
struct store_limits limits_of(const struct store_limits *global, const struct store_limits_rule *rules,
                              uint32_t count, struct bytes name);

#endif
