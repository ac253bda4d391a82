/* store/store_messages.c - appending, limits, ages, reading back. See store.h.
 * In a memory store a message's position is the address of its data. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "store/store.h"
#include "store/store_inside.h"

static void *memory_data(uint64_t position)
{
    return (void *)(uintptr_t)position;
}

static uint64_t counted_bytes(const struct store *store, uint32_t data_bytes)
{
    return store->wal == NULL ? data_bytes : (uint64_t)data_bytes + STORE_MESSAGE_OVERHEAD_BYTES;
}

void message_count_add(struct store *store, struct store_channel *channel, uint64_t bytes)
{
    channel->bytes += bytes;
    store->message_bytes += channel->private ? 0 : bytes;
    store->message_count += !channel->private;
}

void message_count_take(struct store *store, struct store_channel *channel, uint64_t bytes)
{
    channel->bytes -= bytes;
    store->message_bytes -= channel->private ? 0 : bytes;
    store->message_count -= !channel->private;
}

/* What an index entry stood for is gone. */
static void entry_gone(struct store *store, struct store_channel *channel, const struct message_entry *entry)
{
    message_count_take(store, channel, counted_bytes(store, entry->data_bytes));
    if (store->wal != NULL) {
        wal_dead(store->wal, entry->position, RECORD_MESSAGE_FIELDS_BYTES + (size_t)entry->data_bytes);
    } else {
        store->data_memory_bytes -= entry->data_bytes;
        memory_free(memory_data(entry->position));
    }
}

void message_drop_first(struct store *store, struct store_channel *channel)
{
    struct message_entry entry;
    bool found = message_index_first(&channel->index, &entry);
    ASSERT(found);
    message_index_drop_first(&channel->index);
    channel->floor = entry.sequence + 1;
    entry_gone(store, channel, &entry);
}

void messages_trim_below(struct store *store, struct store_channel *channel, uint64_t sequence)
{
    struct message_entry entry;
    while (message_index_first(&channel->index, &entry) && entry.sequence < sequence)
        message_drop_first(store, channel);
    if (channel->floor < sequence)
        channel->floor = sequence;
}

void messages_cut_above(struct store *store, struct store_channel *channel, uint64_t sequence)
{
    struct message_entry entry;
    while (message_index_last(&channel->index, &entry) && entry.sequence > sequence) {
        message_index_drop_last(&channel->index);
        entry_gone(store, channel, &entry);
    }
}

static bool over_limits(const struct store_channel *channel)
{
    const struct store_limits *limits = &channel->limits;
    return (limits->messages_max != 0 && channel->index.message_count > limits->messages_max) ||
           (limits->bytes_max != 0 && channel->bytes > limits->bytes_max);
}

void limits_apply(struct store *store, struct store_channel *channel)
{
    /* The newest stays, even when it alone is too large. */
    while (channel->index.message_count > 1 && over_limits(channel)) {
        message_drop_first(store, channel);
        channel->dropped_count++;
    }
}

/* ---- ages ---- */

enum err age_arm(struct store *store, struct store_channel *channel)
{
    struct message_entry first;
    if (channel->limits.age_max_ns == 0 || !message_index_first(&channel->index, &first)) {
        timers_cancel(&store->ages, &channel->age);
        return ERR_OK;
    }
    int64_t due_ns = INT64_MAX;
    if (__builtin_add_overflow(first.timestamp_ns, channel->limits.age_max_ns, &due_ns))
        due_ns = INT64_MAX;
    return timers_set(&store->ages, &channel->age, due_ns);
}

void ages_apply(struct store *store, int64_t now_ns, uint32_t budget)
{
    while (budget > 0) {
        struct timer *timer = timers_expired(&store->ages, now_ns);
        if (timer == NULL)
            return;
        struct store_channel *channel = CONTAINER_OF(timer, struct store_channel, age);
        struct message_entry first;
        while (budget > 0 && message_index_first(&channel->index, &first) &&
               first.timestamp_ns <= now_ns - channel->limits.age_max_ns) {
            message_drop_first(store, channel);
            budget--;
        }
        /* The heap has room: the timer has just left it. */
        enum err err = age_arm(store, channel);
        ASSERT(err == ERR_OK);
        /* When segments go, the log would forget how far the channel had come. If this fails for lack of
         * room, it is written when the segment of the last description is cleaned. */
        if (channel->index.message_count == 0 && channel->name != NULL)
            (void)!channel_describe(store, channel, false);
    }
}

/* ---- appending ---- */

/* What a message is appended with: its data, or the position of a record that it shares. */
struct content {
    struct bytes data;
    uint64_t shares; /* 0: nothing */
    uint32_t data_bytes;
};

static enum err place_in_memory(struct store *store, struct bytes data, uint64_t *position)
{
    void *copy = memory_copy(data.data, data.count);
    *position = (uint64_t)(uintptr_t)copy;
    store->data_memory_bytes += copy == NULL ? 0 : data.count;
    return copy == NULL ? ERR_MEMORY : ERR_OK;
}

static enum err place(struct store *store, struct store_channel *channel, const struct message_entry *entry,
                      const struct content *content, uint64_t *position)
{
    if (store->wal == NULL)
        return place_in_memory(store, content->data, position);
    struct record_shared shared = {
        .message = {.sequence = entry->sequence,
                    .timestamp_ns = entry->timestamp_ns,
                    .first_sequence = channel->index.message_count == 1 ? entry->sequence : channel->floor},
        .offset = (uint32_t)content->shares,
        .data_bytes = content->data_bytes,
    };
    uint8_t fields[RECORD_SHARED_BYTES];
    record_shared_encode(fields, &shared);
    bool shares = content->shares != 0;
    size_t field_bytes = shares ? RECORD_SHARED_BYTES : RECORD_MESSAGE_FIELDS_BYTES;
    enum err err = wal_append(store->wal, WAL_BULK, shares ? RECORD_SHARED : RECORD_MESSAGE, channel->number,
                              bytes_of(fields, field_bytes), content->data, position);
    if (err == ERR_OK && shares)
        *position = content->shares;
    if (err == ERR_OK)
        wal_live(store->wal, *position, RECORD_MESSAGE_FIELDS_BYTES + (size_t)content->data_bytes);
    return err;
}

static enum err append(struct store *store, struct store_channel *channel, uint64_t sequence,
                       const struct content *content, int64_t timestamp_ns)
{
    if (sequence > RECORD_SEQUENCE_MAX)
        return ERR_INVALID;
    struct message_entry entry = {
        .sequence = sequence,
        .timestamp_ns = timestamp_ns,
        .data_bytes = content->data_bytes,
    };
    bool first = channel->index.message_count == 0;
    enum err err = message_index_put(&channel->index, &entry, NULL);
    if (err != ERR_OK)
        return err;
    if (first)
        err = age_arm(store, channel);
    uint64_t position = 0;
    if (err == ERR_OK)
        err = place(store, channel, &entry, content, &position);
    if (err != ERR_OK) {
        message_index_drop_last(&channel->index);
        if (first)
            timers_cancel(&store->ages, &channel->age);
        return err;
    }
    message_index_place_last(&channel->index, position);
    if (first)
        channel->floor = sequence;
    channel->last = sequence;
    channel->last_activity_ns = timestamp_ns;
    message_count_add(store, channel, counted_bytes(store, entry.data_bytes));
    store->position++;
    limits_apply(store, channel);
    return ERR_OK;
}

static enum err append_data(struct store *store, struct store_channel *channel, uint64_t sequence,
                            struct bytes data, int64_t timestamp_ns)
{
    if (data.count > STORE_DATA_BYTES_MAX)
        return ERR_INVALID;
    struct content content = {.data = data, .data_bytes = (uint32_t)data.count};
    return append(store, channel, sequence, &content, timestamp_ns);
}

enum err store_append(struct store *store, struct store_channel *channel, struct bytes data,
                      int64_t timestamp_ns, uint64_t *sequence)
{
    *sequence = channel->last + 1;
    return append_data(store, channel, *sequence, data, timestamp_ns);
}

enum err store_append_batch(struct store *store, struct store_channel *channel, const struct bytes *data,
                            uint32_t count, int64_t timestamp_ns, uint64_t *sequence, uint32_t *done)
{
    *sequence = channel->last + 1;
    for (*done = 0; *done < count; (*done)++) {
        enum err err = append_data(store, channel, channel->last + 1, data[*done], timestamp_ns);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err store_append_at(struct store *store, struct store_channel *channel, uint64_t sequence,
                         struct bytes data, int64_t timestamp_ns)
{
    if (sequence <= channel->last)
        return ERR_OK;
    return append_data(store, channel, sequence, data, timestamp_ns);
}

/* Only what lies in the segment that is written: then a segment never refers to another one, and can be
 * cleaned and given up without a look at any other. */
enum err store_append_shared(struct store *store, struct store_channel *channel, uint64_t sequence,
                             size_t data_bytes, int64_t timestamp_ns, const struct store_channel *source,
                             uint64_t source_sequence)
{
    struct message_entry shared;
    ASSERT(source->private && !channel->private);
    if (sequence <= channel->last)
        return ERR_OK;
    if (data_bytes > STORE_DATA_BYTES_MAX)
        return ERR_INVALID;
    if (store->wal == NULL || !message_index_get(&source->index, source_sequence, &shared) ||
        !wal_would_share_segment(store->wal, shared.position, RECORD_SHARED_BYTES))
        return ERR_NOT_FOUND;
    struct content content = {.shares = shared.position, .data_bytes = (uint32_t)data_bytes};
    return append(store, channel, sequence, &content, timestamp_ns);
}

/* ---- reading back ---- */

void store_set_sharing(struct store *store, const struct store_sharing *sharing)
{
    store->sharing = *sharing;
}

static enum err not_this_message(struct store *store, const struct store_channel *channel,
                                 const struct message_entry *entry)
{
    store_say(store, "the record at position %llx is not message %llu of %.*s",
              (unsigned long long)entry->position, (unsigned long long)entry->sequence,
              (int)channel->name_count, channel->name);
    return ERR_DAMAGED;
}

enum err message_make(struct store *store, const struct store_channel *channel,
                      const struct message_entry *entry, const struct record *record, struct bytes *data)
{
    struct record_message source;
    if (record->type != RECORD_MESSAGE || !record_message_decode(record->payload, &source) ||
        store->sharing.make == NULL)
        return not_this_message(store, channel, entry);
    enum err err =
        store->sharing.make(store->sharing.context, source.data, bytes_of(channel->name, channel->name_count),
                            entry->sequence, entry->timestamp_ns, data);
    if (err == ERR_MEMORY)
        return err;
    if (err != ERR_OK || data->count != entry->data_bytes)
        return not_this_message(store, channel, entry);
    return ERR_OK;
}

enum err store_lookup(struct store *store, struct store_channel *channel, uint64_t sequence,
                      struct store_message *message)
{
    struct message_entry entry;
    if (!message_index_get(&channel->index, sequence, &entry))
        return ERR_NOT_FOUND;
    message->sequence = sequence;
    message->timestamp_ns = entry.timestamp_ns;
    if (store->wal == NULL) {
        message->data = bytes_of(memory_data(entry.position), entry.data_bytes);
        return ERR_OK;
    }
    struct record record;
    struct record_message fields;
    enum err err = wal_read(store->wal, entry.position, &record);
    if (err != ERR_OK)
        return err;
    if (record.channel != channel->number)
        return message_make(store, channel, &entry, &record, &message->data);
    if (record.type != RECORD_MESSAGE || !record_message_decode(record.payload, &fields) ||
        fields.sequence != sequence)
        return not_this_message(store, channel, &entry);
    message->data = fields.data;
    return ERR_OK;
}

uint64_t store_sequence_from(const struct store_channel *channel, uint64_t sequence)
{
    return message_index_from(&channel->index, sequence);
}

uint64_t store_sequence_at_time(const struct store_channel *channel, int64_t timestamp_ns)
{
    if (channel->last == 0)
        return 0;
    uint64_t sequence = message_index_at_time(&channel->index, timestamp_ns);
    return sequence == 0 ? channel->last + 1 : sequence;
}

/* ---- taking away ---- */

/* Notes the change in the log first: what fails leaves all as it was. */
static enum err change(struct store *store, struct store_channel *channel, uint64_t floor, uint64_t last,
                       bool exact)
{
    uint64_t old_floor = channel->floor, old_last = channel->last;
    channel->floor = floor;
    channel->last = last;
    enum err err = channel_describe(store, channel, exact);
    if (err != ERR_OK) {
        channel->floor = old_floor;
        channel->last = old_last;
    }
    return err;
}

enum err store_trim_below(struct store *store, struct store_channel *channel, uint64_t sequence)
{
    if (sequence > channel->last + 1)
        sequence = channel->last + 1;
    if (sequence <= channel->floor)
        return ERR_OK;
    enum err err = change(store, channel, sequence, channel->last, false);
    if (err != ERR_OK)
        return err;
    messages_trim_below(store, channel, sequence);
    return age_arm(store, channel);
}

enum err store_cut_above(struct store *store, struct store_channel *channel, uint64_t sequence)
{
    if (sequence >= channel->last)
        return ERR_OK;
    uint64_t floor = channel->floor <= sequence ? channel->floor : sequence + 1;
    enum err err = change(store, channel, floor, sequence, true);
    if (err != ERR_OK)
        return err;
    messages_cut_above(store, channel, sequence);
    return age_arm(store, channel);
}

enum err store_channel_empty(struct store *store, struct store_channel *channel)
{
    enum err err = change(store, channel, 0, 0, true);
    if (err != ERR_OK)
        return err;
    messages_cut_above(store, channel, 0);
    return age_arm(store, channel);
}
