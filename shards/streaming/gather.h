/* shards/streaming/gather.h - whether the log's next write begins at once, or waits a moment for publishers
 * that will be here soon.
 * In the flow:  a publish -> gather_arrived(); service_step() -> gather_due_ns() -> the write and sync begin:
 * gather_begun() || they are done: gather_done()
 *
 * Publishers that wait for an acknowledgement all get theirs when a sync is done, and their next messages
 * come one after the other. Whoever syncs for the first of them lets all others wait for two syncs, and makes
 * twice as many as are needed. So the write waits until as many messages are here as were acknowledged just
 * now: but not longer than GATHER_SYNCS of the syncs that are to be saved take, and with messages that come
 * further apart it soon stops to try. One publisher with one message at a time never waits.
 *
 * Pure; one thread's. */
#ifndef SHARDS_STREAMING_GATHER_H
#define SHARDS_STREAMING_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#define GATHER_SYNCS 2
#define GATHER_NS_MAX 2000000 /* however slow the disk is */

enum { GATHER_SKIP_MAX = 64 };

/* All zero is ready. */
struct gather {
    uint64_t arrived; /* since the last write began */
    uint64_t written; /* with that one */
    uint64_t wanted;  /* before the next begins */
    int64_t begun_ns; /* the write under way */
    int64_t done_ns;  /* the last one: how long others are waited for counts from here */
    int64_t sync_ns;  /* how long a write and its sync take, smoothed */
    uint32_t skip;    /* writes that begin at once, because waiting was in vain */
    uint32_t misses;  /* times in a row that it was */
};

static inline void gather_arrived(struct gather *gather)
{
    gather->arrived++;
}

/* When the write should begin; not after `now_ns`: at once. */
static inline int64_t gather_due_ns(const struct gather *gather, int64_t now_ns)
{
    if (gather->arrived >= gather->wanted || gather->skip > 0)
        return now_ns;
    int64_t most_ns = gather->sync_ns * GATHER_SYNCS;
    return gather->done_ns + (most_ns < GATHER_NS_MAX ? most_ns : GATHER_NS_MAX);
}

static inline void gather_begun(struct gather *gather, int64_t now_ns)
{
    if (gather->skip > 0) {
        gather->skip--;
    } else if (gather->arrived < gather->wanted) {
        gather->skip = 1U << gather->misses;
        gather->misses += gather->skip < GATHER_SKIP_MAX;
    } else {
        gather->misses = 0;
    }
    gather->written = gather->arrived;
    gather->arrived = 0;
    gather->begun_ns = now_ns;
}

/* `synced`: and not only written, which nobody needs to save. */
static inline void gather_done(struct gather *gather, int64_t now_ns, bool synced)
{
    int64_t took_ns = now_ns - gather->begun_ns;
    gather->sync_ns += (took_ns - gather->sync_ns) / 8;
    gather->wanted = synced ? gather->written : 0;
    gather->done_ns = now_ns;
}

#endif
