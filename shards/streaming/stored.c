/* shards/streaming/stored.c - which of the store's channels is which of the replicated log's
 * (docs/streaming-cluster.md 4); a part of state.h.
 * A name can stand for one channel after another: a channel's id is the index of the entry that made it. The
 * store is written as entries are applied, so after a restart it is further than the machine, which begins
 * again at a snapshot: a channel of the store with a later id than the machine's is left for the entry that
 * made it, and the machine has an empty one of the name until then. Each channel of the store has a record:
 * its id, and up to which sequence messages that are not in the store are nowhere. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

#include <stdio.h>

enum { RECORD_BYTES_MAX = 2 * PACKED_NUMBER_BYTES_MAX };

static const struct bytes record_key = {(const uint8_t *)"channel", 7};

/* ---- at the start ---- */

static struct stored *stored_new(struct store_channel *store)
{
    struct stored *stored = memory_new(sizeof *stored);
    if (stored != NULL) {
        stored->store = store;
        store_channel_set_owner(store, stored);
    }
    return stored;
}

/* The next one that is of this machine's group. */
static struct store_channel *next(const struct streaming *machine, struct store_channel *store)
{
    do
        store = store_channel_next(machine->store, store);
    while (store != NULL && !streaming_owns(machine, store_channel_name(store)));
    return store;
}

static enum err take(void *context, const struct store_state *state)
{
    const struct streaming *machine = context;
    bool own = state->channel != NULL && streaming_owns(machine, store_channel_name(state->channel));
    struct stored *stored = own ? store_channel_owner(state->channel) : NULL;
    if (stored == NULL || state->kind != STORE_STATE_OTHER || !bytes_equal(state->id, record_key))
        return ERR_OK; /* not ours, as all that private channels have */
    struct unpacker from = {.rest = state->parts[0]};
    stored->id = unpack_number(&from);
    stored->gone_sequence = unpack_number(&from);
    return unpack_done(&from) && state->part_count == 1 ? ERR_OK : ERR_DAMAGED;
}

enum err stored_recover(struct streaming *machine, char *why, size_t why_bytes)
{
    struct store_channel *store = NULL;
    while ((store = next(machine, store)) != NULL) {
        if (stored_new(store) == NULL)
            return ERR_MEMORY;
    }
    enum err err = store_state_each(machine->store, take, machine);
    if (err == ERR_DAMAGED)
        snprintf(why, why_bytes, "a record of the store is not what a clustered streaming server writes");
    while (err == ERR_OK && (store = next(machine, store)) != NULL) {
        const struct stored *stored = store_channel_owner(store);
        if (stored->id != 0 || store_channel_figures(store).last_sequence == 0)
            continue;
        /* Its messages are in no log: the first entry that uses the name would drop them. */
        snprintf(why, why_bytes, "channel \"%.*s\" was stored by a server that was not clustered",
                 BYTES_PRINTF(store_channel_name(store)));
        err = ERR_INVALID;
    }
    return err;
}

void stored_close(struct streaming *machine)
{
    struct store_channel *store = NULL;
    while ((store = next(machine, store)) != NULL) {
        memory_free(store_channel_owner(store));
        store_channel_set_owner(store, NULL);
    }
}

/* ---- later ---- */

static enum err record_put(struct streaming *machine, const struct stored *stored)
{
    uint8_t value[RECORD_BYTES_MAX];
    struct packer to = {.at = value};
    pack_number(&to, stored->id);
    pack_number(&to, stored->gone_sequence);
    return store_state_put(machine->store, STORE_STATE_OTHER, stored->store, record_key,
                           bytes_of(value, to.count));
}

enum err stored_gone(struct streaming *machine, struct stored *stored, uint64_t sequence)
{
    uint64_t before = stored->gone_sequence;
    stored->gone_sequence = sequence;
    enum err err = record_put(machine, stored);
    if (err != ERR_OK)
        stored->gone_sequence = before;
    return err;
}

enum err stored_delete(struct streaming *machine, struct stored *stored)
{
    enum err err = store_channel_delete(machine->store, stored->store);
    if (err != ERR_OK)
        return err;
    if (stored->channel != NULL) {
        stored->channel->stored = NULL;
        stored->channel->store = NULL;
    }
    memory_free(stored);
    return ERR_OK;
}

enum err stored_open(struct streaming *machine, struct bytes name, uint64_t id, bool further,
                     struct stored **out)
{
    struct store_channel *store = store_channel_find(machine->store, name);
    struct stored *stored = store == NULL ? NULL : store_channel_owner(store);
    *out = NULL;
    if (stored != NULL && stored->id == id) {
        *out = stored;
        return ERR_OK;
    }
    if (stored != NULL && stored->id > id && further)
        return ERR_OK;
    enum err err = ERR_OK;
    if (stored != NULL) {
        err = stored_delete(machine, stored);
        store = NULL;
    }
    if (err == ERR_OK && store == NULL) /* else it is there without a record: the try before came so far */
        err = store_channel_create(machine->store, name, machine->now.wall_ns, &store);
    if (err != ERR_OK)
        return err;
    stored = stored_new(store);
    if (stored == NULL)
        return ERR_MEMORY;
    stored->id = id;
    err = record_put(machine, stored);
    if (err != ERR_OK) {
        store_channel_set_owner(store, NULL);
        memory_free(stored);
        return err;
    }
    *out = stored;
    return ERR_OK;
}
