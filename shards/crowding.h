/* shards/crowding.h - a publisher waits for a moment while a receiver of its messages is far behind.
 * In the flow:  client_deliver() or route_deliver() notes it in session_context.crowded -> connection_give()
 * -> crowding_hold() || connection_sent() or route_connection_sent() -> crowding_eased() -> crowding_next()
 * -> connection_receive_again()
 *
 * A shard that reads faster than a receiver takes piles up output until it is out of every cache, and more of
 * it until `max_pending`. So from OUTPUT_CROWDED_BYTES on who publishes there is not received from; what was
 * received already is taken. The wait ends when an output of the shard has become half of that, and after
 * CROWDING_WAIT_NS in any case: then the receiver is slow rather than busy, to wait for it does not pay, and
 * for CROWDING_PAUSE_NS nobody waits. So a slow receiver costs its publishers a hundredth of their time at
 * most, until `max_pending` (architecture.md 5). Who publishes on another shard or server is not held: it is
 * not alone on its way here. Pure; one thread's. */
#ifndef SHARDS_CROWDING_H
#define SHARDS_CROWDING_H

#include "core/base/clock.h"
#include "core/base/list.h"
#include "net/output.h"

#include <stdbool.h>
#include <stdint.h>

#define CROWDING_WAIT_NS NS_PER_MS
#define CROWDING_PAUSE_NS (100 * NS_PER_MS)

struct crowding {
    struct list held;        /* publishers that are not received from (connection.held_up) */
    int64_t until_ns;        /* while there are some: the end of their wait */
    int64_t paused_until_ns; /* nobody is held before */
};

static inline void crowding_init(struct crowding *crowding)
{
    list_init(&crowding->held);
    crowding->until_ns = crowding->paused_until_ns = 0;
}

/* Holds a publisher, if that is worth while. The first one begins the wait of all. True: it is held now and
 * was not before. */
static inline bool crowding_hold(struct crowding *crowding, struct list_link *publisher, int64_t now_ns)
{
    if (list_linked(publisher) || now_ns < crowding->paused_until_ns)
        return false;
    if (list_empty(&crowding->held))
        crowding->until_ns = now_ns + CROWDING_WAIT_NS;
    list_push_last(&crowding->held, publisher);
    return true;
}

/* Whether an output that had `before` bytes and has `after` has just made room. */
static inline bool crowding_eased(uint64_t before, uint64_t after)
{
    return before >= OUTPUT_CROWDED_BYTES / 2 && after < OUTPUT_CROWDED_BYTES / 2;
}

/* Whether the wait has lasted too long: all that are held are to go on. */
static inline bool crowding_late(struct crowding *crowding, int64_t now_ns)
{
    if (list_empty(&crowding->held) || now_ns < crowding->until_ns)
        return false;
    crowding->paused_until_ns = now_ns + CROWDING_PAUSE_NS;
    return true;
}

/* The next one that goes on, not held any more; NULL: all do. */
static inline struct list_link *crowding_next(struct crowding *crowding)
{
    struct list_link *first = list_first(&crowding->held);
    if (first != NULL)
        list_remove(first);
    return first;
}

/* When crowding_late() is to be asked; INT64_MAX: nobody is held. */
static inline int64_t crowding_due_ns(const struct crowding *crowding)
{
    return list_empty(&crowding->held) ? INT64_MAX : crowding->until_ns;
}

#endif
