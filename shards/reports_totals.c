/* shards/reports_totals.c - what all open connections of clients have had, together: /metrics tells it as the
 * NATS exporter does (docs/monitoring.md 1). Counters of accounts go on when a connection ends, so they
 * cannot answer it. */
#include "shards/reports_internal.h"
#include "shards/shard.h"

static void add(struct report_totals *totals, const struct client *client)
{
    totals->connections++;
    totals->in_messages += client->in_messages;
    totals->in_bytes += client->in_bytes;
    totals->out_messages += client->out_messages;
    totals->out_bytes += client->out_bytes;
    totals->pending_bytes += client->output.pending_bytes;
    totals->subscriptions += client->sids.count;
}

/* minor: the slot. */
void reports_totals_page(struct answering *answering)
{
    const struct shard *shard = answering->shard;
    struct report_totals totals = {0};
    uint32_t slots_left = REPORT_ITEMS_MAX * 8; /* free ones cost little */
    while (answering->at.minor < shard->slot_count && answering->items_left > 0 && slots_left-- > 0) {
        const struct connection *connection = shard->slots[answering->at.minor++];
        if (connection == NULL || connection->client.state == CLIENT_CLOSED)
            continue;
        add(&totals, &connection->client);
        answering->items_left--;
    }
    if (page_put(&answering->page, &totals, sizeof totals) && answering->at.minor >= shard->slot_count)
        answering->at.major = UINT64_MAX;
}
