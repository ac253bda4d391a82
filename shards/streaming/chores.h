/* shards/streaming/chores.h - files of the store's log are made and given up on the control core's ring,
 * where no call of them holds up a message (store_chore_begin()).
 * In the flow:  service_step() -> chores_begin() -> the ring -> service_completed() -> chores_done() -> the
 * next; one call at a time. Thread: the control core's. */
#ifndef SHARDS_STREAMING_CHORES_H
#define SHARDS_STREAMING_CHORES_H

#include "core/loop/loop.h"
#include "store/store.h"

/* Files from this size on are made so. Smaller ones are of people who try how many there can be, with
 * messages larger than a file perhaps, and those have to have a file of their own at once. */
enum { CHORES_SEGMENT_BYTES_MIN = 8 * 1024 * 1024 };

/* All zero but for the operation's kind, until the store is open. */
struct chores {
    struct store *store;
    const struct store_files *files;
    struct loop_op op;
    struct store_chore under_way;
};

/* Begins what there is to do, if anything and if nothing is under way. */
void chores_begin(struct chores *chores, struct loop *loop);

/* `op` has completed. A disk that cannot be trusted any more is store_failed() then. */
void chores_done(struct chores *chores, struct loop *loop, int64_t now_ns, int32_t result);

#endif
