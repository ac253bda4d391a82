/* shards/closed.c - see closed.h. */
#include "shards/closed.h"

#include "core/base/memory.h"
#include "shards/report_page.h"

enum { CAPACITY_FIRST = 64 };

/* Room for one more. While it grows nothing has been overwritten yet, so numbers and places are the same. */
static bool make_room(struct closed_ring *ring, int64_t most)
{
    if (ring->count < ring->capacity)
        return true;
    if (ring->capacity >= most)
        return ring->capacity > 0;
    int64_t capacity = ring->capacity == 0 ? CAPACITY_FIRST : (int64_t)ring->capacity * 2;
    if (capacity > most)
        capacity = most;
    if (capacity > UINT32_MAX)
        return ring->capacity > 0;
    struct closed_connection **at =
        memory_grow(ring->at, (size_t)capacity * sizeof(struct closed_connection *));
    if (at == NULL)
        return false;
    ring->at = at;
    ring->capacity = (uint32_t)capacity;
    return true;
}

/* The bytes of those subscriptions that are kept. */
static size_t subscriptions_bytes(const struct client *client)
{
    size_t sum = 0;
    const struct client_subscription *subscription;
    uint64_t at = 0;
    while ((subscription = sids_next(&client->sids, &at)) != NULL) {
        size_t bytes = report_subscription_bytes(subscription, true);
        if (sum + bytes > CLOSED_SUBSCRIPTIONS_BYTES_MAX)
            break;
        sum += bytes;
    }
    return sum;
}

static void subscriptions_write(uint8_t *to, const struct client *client, size_t count)
{
    const uint8_t *end = to + count;
    uint64_t at = 0;
    while (to < end) {
        const struct client_subscription *subscription = sids_next(&client->sids, &at);
        size_t bytes = report_subscription_bytes(subscription, true);
        if (bytes > 0)
            report_subscription_write(to, subscription, 0, true);
        to += bytes;
    }
}

void closed_remember(struct closed_ring *ring, const struct connection *connection, int64_t most,
                     int64_t now_ns)
{
    const struct client *client = &connection->client;
    struct report_record_draft draft;
    if (!make_room(ring, most))
        return;
    report_record_make(&draft, connection, now_ns);
    size_t subscription_bytes = subscriptions_bytes(client);
    struct closed_connection *closed = memory_new(sizeof *closed + draft.bytes + subscription_bytes);
    if (closed == NULL)
        return;
    report_record_write(closed->bytes, &draft, 0);
    closed->figures = draft.figures;
    subscriptions_write(closed->bytes + draft.bytes, client, subscription_bytes);
    closed->connection_bytes = (uint32_t)draft.bytes;
    closed->bytes_count = (uint32_t)(draft.bytes + subscription_bytes);
    uint32_t place = (uint32_t)(ring->next_number % ring->capacity);
    if (ring->count == ring->capacity)
        memory_free(ring->at[place]);
    else
        ring->count++;
    ring->at[place] = closed;
    ring->next_number++;
}

static struct bytes text_from_end(const struct closed_connection *closed, uint32_t behind, uint32_t count)
{
    return bytes_of(closed->bytes + closed->connection_bytes - behind - count, count);
}

struct bytes closed_account(const struct closed_connection *closed)
{
    return text_from_end(closed, 0, closed->figures.text_counts[REPORT_ACCOUNT]);
}

struct bytes closed_user(const struct closed_connection *closed)
{
    return text_from_end(closed, closed->figures.text_counts[REPORT_ACCOUNT],
                         closed->figures.text_counts[REPORT_USER]);
}

void closed_close(struct closed_ring *ring)
{
    for (uint32_t i = 0; i < ring->count; i++)
        memory_free(ring->at[i]);
    memory_free(ring->at);
    *ring = (struct closed_ring){0};
}
