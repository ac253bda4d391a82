/* shards/closed.h - the connections of a shard that were closed last, for /connz?state=closed.
 * In the flow:  host closing() -> closed_remember() -> reports_step()
 * At the bounds: `max_closed_clients` of them, then the oldest goes; of the subscriptions that one had, as
 * many as fit into CLOSED_SUBSCRIPTIONS_BYTES_MAX; when memory is out it is not remembered. Thread: the
 * shard's. */
#ifndef SHARDS_CLOSED_H
#define SHARDS_CLOSED_H

#include "shards/connection.h"
#include "shards/report.h"

enum { CLOSED_SUBSCRIPTIONS_BYTES_MAX = 4096 };

struct closed_connection {
    struct report_connection figures; /* the same as in `bytes`, for sorting */
    uint32_t connection_bytes;        /* the record of the connection with its head and texts */
    uint32_t bytes_count;             /* with those of its subscriptions */
    uint8_t bytes[];
};

/* All zero is empty. */
struct closed_ring {
    struct closed_connection **at;
    uint64_t next_number; /* of the next one; they lie at number % capacity */
    uint32_t count;
    uint32_t capacity;
};

/* `most`: how many are kept. */
void closed_remember(struct closed_ring *ring, const struct connection *connection, int64_t most,
                     int64_t now_ns);

/* The one with that number, or NULL: it is forgotten, or there was none. */
static inline const struct closed_connection *closed_at(const struct closed_ring *ring, uint64_t number)
{
    bool kept = number < ring->next_number && number + ring->count >= ring->next_number;
    return kept ? ring->at[number % ring->capacity] : NULL;
}

/* Its account and user. */
struct bytes closed_account(const struct closed_connection *closed);
struct bytes closed_user(const struct closed_connection *closed);

void closed_close(struct closed_ring *ring);

#endif
