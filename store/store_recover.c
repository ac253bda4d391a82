/* store/store_recover.c - what the log's records mean, in the order in which they were written: the later one
 * wins. See store.h, docs/store.md 4 and 5. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "store/store.h"
#include "store/store_inside.h"

#include <stdlib.h>

static enum err recover_message(struct store *store, struct store_channel *channel,
                                const struct wal_visit *visit)
{
    const struct record_message *message = &visit->message;
    if (message->first_sequence > channel->floor)
        messages_trim_below(store, channel, message->first_sequence);
    if (message->sequence > channel->last)
        channel->last = message->sequence;
    if (message->sequence < channel->floor)
        return ERR_OK;
    struct message_entry entry = {
        .sequence = message->sequence,
        .position = visit->record.position,
        .timestamp_ns = message->timestamp_ns,
        .data_bytes = visit->data_bytes,
    };
    struct message_entry replaced;
    enum err err = message_index_put(&channel->index, &entry, &replaced);
    if (err != ERR_OK)
        return err;
    uint64_t bytes = (uint64_t)entry.data_bytes + STORE_MESSAGE_OVERHEAD_BYTES;
    message_count_add(store, channel, bytes);
    wal_live(store->wal, entry.position, RECORD_MESSAGE_FIELDS_BYTES + (size_t)entry.data_bytes);
    if (replaced.sequence != 0) { /* it has moved, or its number was given anew */
        bytes = (uint64_t)replaced.data_bytes + STORE_MESSAGE_OVERHEAD_BYTES;
        message_count_take(store, channel, bytes);
        wal_dead(store->wal, replaced.position, RECORD_MESSAGE_FIELDS_BYTES + (size_t)replaced.data_bytes);
    }
    return ERR_OK;
}

static enum err recover_description(struct store *store, struct store_channel *channel,
                                    const struct record *record)
{
    struct channel_description description;
    if (!channel_description_decode(record->payload, &description))
        return ERR_INVALID;
    if (channel->name == NULL) {
        /* A channel of that name was deleted before this one was made, and its records have been seen. */
        if (store_channel_find(store, description.name) != NULL ||
            store_private_find(store, description.name) != NULL)
            return ERR_INVALID;
        enum err err = channel_name_set(store, channel, description.name);
        if (err != ERR_OK)
            return err;
    } else if (!bytes_equal(store_channel_name(channel), description.name)) {
        return ERR_INVALID;
    }
    if (description.exact) {
        messages_cut_above(store, channel, description.last);
        channel->last = description.last;
        channel->floor = description.floor;
    } else if (description.last > channel->last) {
        channel->last = description.last;
    }
    messages_trim_below(store, channel, description.floor);
    if (channel->record_position != 0)
        wal_dead(store->wal, channel->record_position, record->payload.count);
    channel->record_position = record->position;
    wal_live(store->wal, record->position, record->payload.count);
    return ERR_OK;
}

/* ERR_INVALID: the record's content makes no sense. */
enum err store_visit(void *context, const struct wal_visit *visit)
{
    struct store *store = context;
    const struct record *record = &visit->record;
    bool of_channel = record->type == RECORD_MESSAGE || record->type == RECORD_CHANNEL;
    if (record->channel == UINT32_MAX || (of_channel && record->channel == 0))
        return ERR_INVALID;
    struct store_channel *channel = NULL;
    if (record->channel != 0) {
        channel = channel_by_number(store, record->channel);
        /* Its name may have moved behind its records. */
        bool adds = record->type != RECORD_CHANNEL_DELETED && record->type != RECORD_STATE_DELETED &&
                    record->type != RECORD_ADD;
        if (channel == NULL && !adds)
            return ERR_OK;
        enum err err = channel == NULL ? channel_add(store, record->channel, &channel) : ERR_OK;
        if (err != ERR_OK)
            return err;
    }
    switch (record->type) {
    case RECORD_MESSAGE:
        return recover_message(store, channel, visit);
    case RECORD_CHANNEL:
        return recover_description(store, channel, record);
    case RECORD_CHANNEL_DELETED:
        if (channel != NULL)
            channel_forget(store, channel);
        return ERR_OK;
    case RECORD_PUT:
    case RECORD_ADD:
    case RECORD_STATE_DELETED:
        return state_recovered(store, record, channel);
    case RECORD_SHARED: /* comes as a message */
    case RECORD_INDEX:
    case RECORD_RETIRED:
    case RECORD_MARK:
    case RECORD_SEAL:
    case RECORD_TYPES:
        break;
    }
    UNREACHABLE("a record that is the log's own");
}

static int compare_channels(const void *a, const void *b)
{
    const struct store_channel *first = *(struct store_channel *const *)a;
    const struct store_channel *second = *(struct store_channel *const *)b;
    return (first->number > second->number) - (first->number < second->number);
}

/* Into the order of creation: records of a channel may have been met in another one. */
static enum err channels_sort(struct store *store)
{
    if (store->channel_count == 0)
        return ERR_OK;
    struct store_channel **channels = memory_new(store->channel_count * sizeof(struct store_channel *));
    if (channels == NULL)
        return ERR_MEMORY;
    uint32_t count = 0;
    for (struct list_link *l = list_first(&store->channels); l != NULL; l = list_next(&store->channels, l))
        channels[count++] = LIST_ELEMENT(l, struct store_channel, link);
    ASSERT(count == store->channel_count);
    qsort(channels, count, sizeof(struct store_channel *), compare_channels);
    for (uint32_t i = 0; i < count; i++) {
        list_remove(&channels[i]->link);
        list_push_last(&store->channels, &channels[i]->link);
    }
    memory_free(channels);
    return ERR_OK;
}

enum err store_recovered(struct store *store, int64_t now_ns)
{
    for (struct store_channel *channel = channel_next(store, NULL), *next; channel != NULL; channel = next) {
        next = channel_next(store, channel);
        if (channel->name == NULL && !store->give_up_damaged) {
            store_say(store, "there are records of channel number %u, but its name is nowhere",
                      channel->number);
            return ERR_DAMAGED;
        }
        if (channel->name == NULL) {
            channel_forget(store, channel);
            continue;
        }
        channel->last_activity_ns = now_ns;
        limits_apply(store, channel);
        channel->dropped_count = 0;
        enum err err = age_arm(store, channel);
        if (err != ERR_OK)
            return err;
    }
    ages_apply(store, now_ns, UINT32_MAX);
    return channels_sort(store);
}
