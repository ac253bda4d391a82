/* shards/streaming/replicate.c - the replicated machine: what it proposes, and what a committed command does
 * (docs/streaming-cluster.md); a part of state.h. */
#include "shards/streaming/state.h"

enum err streaming_apply(struct streaming *machine, struct streaming_now now, uint64_t index,
                         struct bytes command, bool own)
{
    machine->now = now;
    (void)index;
    (void)command;
    (void)own;
    return ERR_DAMAGED;
}

void streaming_lead(struct streaming *machine, struct streaming_now now, bool leads)
{
    machine->now = now;
    (void)leads;
}

bool streaming_leads(const struct streaming *machine)
{
    return !machine->setup.replicated;
}

enum err streaming_snapshot_write(const struct streaming *machine, uint8_t **bytes, size_t *count)
{
    (void)machine;
    *bytes = NULL;
    *count = 0;
    return ERR_MEMORY;
}

enum err streaming_restore(struct streaming *machine, struct streaming_now now, struct bytes snapshot,
                           bool own)
{
    machine->now = now;
    (void)snapshot;
    (void)own;
    return ERR_DAMAGED;
}

bool streaming_missing(const struct streaming *machine, struct streaming_missing *missing)
{
    (void)machine;
    (void)missing;
    return false;
}

enum err streaming_fetch(struct streaming *machine, const struct streaming_missing *wanted, size_t bytes_max,
                         uint8_t **piece, size_t *count)
{
    (void)machine;
    (void)wanted;
    (void)bytes_max;
    *piece = NULL;
    *count = 0;
    return ERR_NOT_FOUND;
}

enum err streaming_fill(struct streaming *machine, struct streaming_now now, struct bytes piece)
{
    machine->now = now;
    (void)piece;
    return ERR_DAMAGED;
}
