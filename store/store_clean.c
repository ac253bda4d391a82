/* store/store_clean.c - what lives in the oldest segment moves to the end of the log, so that its file can
 * go. In the flow:  store_tick() -> store_clean() -> wal_clean_next(), wal_append(), wal_retire(). A bounded
 * piece at a time; docs/store.md 4 says when and why. */
#include "core/base/check.h"
#include "store/store.h"
#include "store/store_inside.h"

static enum err move_to_end(struct store *store, struct store_channel *channel,
                            struct record_message *message, struct message_entry *entry)
{
    size_t payload_bytes = RECORD_MESSAGE_FIELDS_BYTES + (size_t)entry->data_bytes;
    message->first_sequence = channel->floor;
    uint8_t fields[RECORD_MESSAGE_FIELDS_BYTES];
    record_message_encode(fields, message);
    uint64_t position = 0;
    enum err err = wal_append(store->wal, WAL_NEEDED, RECORD_MESSAGE, channel->number,
                              bytes_of(fields, sizeof fields), message->data, &position);
    if (err != ERR_OK)
        return err;
    wal_live(store->wal, position, payload_bytes);
    wal_dead(store->wal, entry->position, payload_bytes);
    entry->position = position;
    err = message_index_put(&channel->index, entry, NULL);
    ASSERT(err == ERR_OK); /* it replaces */
    store->moved_records++;
    return ERR_OK;
}

static enum err move_message(struct store *store, struct store_channel *channel, const struct record *record)
{
    struct record_message message;
    struct message_entry entry;
    if (!record_message_decode(record->payload, &message) ||
        !message_index_get(&channel->index, message.sequence, &entry) || entry.position != record->position)
        return ERR_OK; /* dropped, or moved already */
    return move_to_end(store, channel, &message, &entry);
}

/* The data is of a record before it in the same segment; it gets a record of its own. */
static enum err move_shared(struct store *store, struct store_channel *channel, const struct record *record)
{
    struct record_shared shared;
    struct message_entry entry;
    uint64_t segment = record->position & ~(uint64_t)UINT32_MAX;
    if (!record_shared_decode(record->payload, &shared) ||
        !message_index_get(&channel->index, shared.message.sequence, &entry) ||
        entry.position != (segment | shared.offset))
        return ERR_OK; /* dropped, or moved already */
    struct record source;
    struct bytes data;
    enum err err = wal_read(store->wal, entry.position, &source);
    if (err == ERR_OK)
        err = message_make(store, channel, &entry, &source, &data);
    if (err != ERR_OK) {
        if (err != ERR_MEMORY)
            wal_clean_give_up(store->wal);
        return err;
    }
    shared.message.data = data;
    return move_to_end(store, channel, &shared.message, &entry);
}

static enum err move_state(struct store *store, struct store_channel *channel, const struct record *record)
{
    struct state_fields fields;
    if (!state_fields_decode(record->payload, &fields))
        return ERR_OK;
    struct state_key *key = state_find(store, fields.kind, channel, fields.id);
    for (uint32_t i = 0; key != NULL && i < key->part_count; i++) {
        if (key->parts[i].position != record->position)
            continue;
        enum err err = state_move(store, key);
        store->moved_records += err == ERR_OK;
        return err;
    }
    return ERR_OK;
}

static enum err move_record(struct store *store, const struct record *record)
{
    struct store_channel *channel = record->channel == 0 ? NULL : channel_by_number(store, record->channel);
    bool of_channel =
        record->type == RECORD_MESSAGE || record->type == RECORD_SHARED || record->type == RECORD_CHANNEL;
    if ((record->channel != 0 || of_channel) && channel == NULL)
        return ERR_OK; /* of a channel that was deleted */
    if (record->type == RECORD_PUT || record->type == RECORD_ADD)
        return move_state(store, channel, record);
    if (!of_channel || channel == NULL)
        return ERR_OK;
    if (record->type == RECORD_MESSAGE)
        return move_message(store, channel, record);
    if (record->type == RECORD_SHARED)
        return move_shared(store, channel, record);
    if (channel->record_position != record->position)
        return ERR_OK;
    store->moved_records++;
    return channel_describe(store, channel, false);
}

void store_clean(struct store *store, uint32_t budget_bytes)
{
    uint64_t looked_at = 0;
    while (looked_at < budget_bytes && wal_cleaning_wanted(store->wal, store->garbage_percent)) {
        struct record record;
        enum err err = wal_clean_next(store->wal, &record);
        if (err == ERR_NOT_FOUND) {
            /* What refuses now (the buffer or the disk is full) is tried again with the next tick. */
            if (wal_oldest_live_bytes(store->wal) == 0)
                (void)!wal_retire(store->wal);
            return;
        }
        if (err != ERR_OK) {
            store_say(store, "space cannot be reclaimed: %s", wal_why(store->wal));
            return;
        }
        looked_at += record_size(record.payload.count);
        if (move_record(store, &record) != ERR_OK)
            return;
    }
}
