/* shards/patience.h - whether a shard that has run out of work looks on for a moment, or sleeps at once.
 * In the flow:  shard_turn() -> wait(): patience_looks() -> looking, then perhaps sleeping ->
 * patience_waited()
 *
 * To sleep and be woken costs both sides: an interrupt between cores, an idle core that wakes up, cold
 * caches. Where the next message comes within that time anyway, looking for it is cheaper and much quicker;
 * where it does not, looking is waste. The past tells: after some short waits the next one is taken to be
 * short, and one long wait outweighs two short ones. Measured with one request at a time on a virtual
 * machine: half the latency for the same CPU; a server whose waits are long never looks.
 *
 * Pure; one thread's. */
#ifndef SHARDS_PATIENCE_H
#define SHARDS_PATIENCE_H

#include "core/base/language.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PATIENCE_SCORE_MOST = 8,
    PATIENCE_SCORE_LOOKS = 4, /* from here on */
    PATIENCE_SLEEP_FACTOR = 2 /* a wait that was slept through is longer by the waking than it had to be */
};

struct patience {
    int32_t score; /* 0 to PATIENCE_SCORE_MOST: how short the last waits were */
};

static inline bool patience_looks(const struct patience *patience)
{
    return patience->score >= PATIENCE_SCORE_LOOKS;
}

/* A wait is over: how long it was, and whether it ended in sleep. `most_ns`: how long looking would go on. */
static inline void patience_waited(struct patience *patience, int64_t waited_ns, int64_t most_ns, bool slept)
{
    bool is_short = waited_ns <= (slept ? most_ns * PATIENCE_SLEEP_FACTOR : most_ns);
    patience->score += is_short ? 1 : -2;
    if (patience->score > PATIENCE_SCORE_MOST)
        patience->score = PATIENCE_SCORE_MOST;
    if (patience->score < 0)
        patience->score = 0;
}

#endif
