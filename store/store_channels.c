/* store/store_channels.c - channels: by name, by number, and what describes them in the log. See store.h. */
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "store/store.h"
#include "store/store_inside.h"

enum {
    DESCRIPTION_BYTES = 24, /* floor, last, flags; then the name */
    DESCRIPTION_EXACT = 1,
    BUCKETS_MIN = 16,
};

static struct store_channel **name_bucket(const struct store *store, struct bytes name)
{
    return &store->by_name[hash_bytes(name, store->hash_seed) & (store->bucket_count - 1)];
}

/* Numbers are given in turn, so their low bits are as good as a hash. */
static struct store_channel **number_bucket(const struct store *store, uint32_t number)
{
    return &store->by_number[number & (store->bucket_count - 1)];
}

static struct bytes name_of(const struct store_channel *channel)
{
    return bytes_of(channel->name, channel->name_count);
}

/* At most one channel to the bucket. ERR_MEMORY: as before. */
static enum err buckets_grow(struct store *store)
{
    if (store->channel_count < store->bucket_count)
        return ERR_OK;
    uint32_t count = store->bucket_count == 0 ? BUCKETS_MIN : store->bucket_count * 2;
    struct store_channel **by_name = memory_new(count * sizeof by_name[0]);
    struct store_channel **by_number = memory_new(count * sizeof by_number[0]);
    if (by_name == NULL || by_number == NULL) {
        memory_free(by_name);
        memory_free(by_number);
        return ERR_MEMORY;
    }
    memory_free(store->by_name);
    memory_free(store->by_number);
    store->by_name = by_name;
    store->by_number = by_number;
    store->bucket_count = count;
    for (struct list_link *l = list_first(&store->channels); l != NULL; l = list_next(&store->channels, l)) {
        struct store_channel *channel = LIST_ELEMENT(l, struct store_channel, link);
        struct store_channel **bucket = number_bucket(store, channel->number);
        channel->next_by_number = *bucket;
        *bucket = channel;
        if (channel->name == NULL)
            continue;
        bucket = name_bucket(store, name_of(channel));
        channel->next_by_name = *bucket;
        *bucket = channel;
    }
    return ERR_OK;
}

enum err channel_add(struct store *store, uint32_t number, struct store_channel **out)
{
    if (buckets_grow(store) != ERR_OK)
        return ERR_MEMORY;
    struct store_channel *channel = memory_new(sizeof *channel);
    if (channel == NULL)
        return ERR_MEMORY;
    channel->store = store;
    channel->number = number;
    list_init(&channel->keys);
    list_push_last(&store->channels, &channel->link);
    struct store_channel **bucket = number_bucket(store, number);
    channel->next_by_number = *bucket;
    *bucket = channel;
    store->channel_count++;
    if (number >= store->next_number)
        store->next_number = number + 1;
    *out = channel;
    return ERR_OK;
}

static bool private_name(struct bytes name)
{
    return name.count > 0 && name.data[0] == '/';
}

/* What users name has no '/', so the two never meet. */
static bool private_name_valid(struct bytes name)
{
    bool good = private_name(name) && name.count <= STORE_PRIVATE_NAME_BYTES_MAX;
    for (size_t i = 0; good && i < name.count; i++)
        good = name.data[i] > ' ' && name.data[i] < 0x7f;
    return good;
}

/* Recovery may have counted its messages before it knew the name. */
static void make_private(struct store *store, struct store_channel *channel)
{
    channel->private = true;
    store->private_count++;
    store->message_count -= channel->index.message_count;
    store->message_bytes -= channel->bytes;
}

enum err channel_name_set(struct store *store, struct store_channel *channel, struct bytes name)
{
    ASSERT(channel->name == NULL);
    channel->name = memory_copy(name.data, name.count);
    if (channel->name == NULL)
        return ERR_MEMORY;
    channel->name_count = (uint32_t)name.count;
    if (private_name(name))
        make_private(store, channel);
    else
        channel->limits = limits_of(&store->limits, store->rules, store->rule_count, name);
    struct store_channel **bucket = name_bucket(store, name);
    channel->next_by_name = *bucket;
    *bucket = channel;
    return ERR_OK;
}

struct store_channel *channel_by_number(struct store *store, uint32_t number)
{
    if (store->latest != NULL && store->latest->number == number)
        return store->latest;
    if (store->bucket_count == 0)
        return NULL;
    struct store_channel *channel = *number_bucket(store, number);
    while (channel != NULL && channel->number != number)
        channel = channel->next_by_number;
    store->latest = channel;
    return channel;
}

static void unlink_name(struct store *store, struct store_channel *channel)
{
    struct store_channel **place = name_bucket(store, name_of(channel));
    while (*place != channel)
        place = &(*place)->next_by_name;
    *place = channel->next_by_name;
}

void channel_forget(struct store *store, struct store_channel *channel)
{
    while (channel->index.message_count > 0)
        message_drop_first(store, channel);
    while (!list_empty(&channel->keys))
        state_forget(store, LIST_ELEMENT(list_first(&channel->keys), struct state_key, link));
    if (channel->record_position != 0)
        wal_dead(store->wal, channel->record_position, DESCRIPTION_BYTES + channel->name_count);
    timers_cancel(&store->ages, &channel->age);
    if (channel->name != NULL)
        unlink_name(store, channel);
    struct store_channel **place = number_bucket(store, channel->number);
    while (*place != channel)
        place = &(*place)->next_by_number;
    *place = channel->next_by_number;
    list_remove(&channel->link);
    store->channel_count--;
    store->private_count -= channel->private;
    if (store->latest == channel)
        store->latest = NULL;
    message_index_close(&channel->index);
    memory_free(channel->name);
    memory_free(channel);
}

/* ---- what describes a channel ---- */

enum err channel_describe(struct store *store, struct store_channel *channel, bool exact)
{
    if (store->wal == NULL) {
        store->position++;
        return ERR_OK;
    }
    uint8_t fields[DESCRIPTION_BYTES];
    put_u64(fields, channel->floor);
    put_u64(fields + 8, channel->last);
    put_u64(fields + 16, exact ? DESCRIPTION_EXACT : 0);
    uint64_t position = 0;
    enum err err = wal_append(store->wal, WAL_NEEDED, RECORD_CHANNEL, channel->number,
                              bytes_of(fields, sizeof fields), name_of(channel), &position);
    if (err != ERR_OK)
        return err;
    if (channel->record_position != 0)
        wal_dead(store->wal, channel->record_position, DESCRIPTION_BYTES + channel->name_count);
    wal_live(store->wal, position, DESCRIPTION_BYTES + channel->name_count);
    channel->record_position = position;
    return ERR_OK;
}

bool channel_description_decode(struct bytes payload, struct channel_description *description)
{
    if (payload.count <= DESCRIPTION_BYTES ||
        payload.count > DESCRIPTION_BYTES + STORE_CHANNEL_NAME_BYTES_MAX)
        return false;
    *description = (struct channel_description){
        .floor = get_u64(payload.data),
        .last = get_u64(payload.data + 8),
        .exact = (get_u64(payload.data + 16) & DESCRIPTION_EXACT) != 0,
        .name = bytes_of(payload.data + DESCRIPTION_BYTES, payload.count - DESCRIPTION_BYTES),
    };
    return (limits_channel_name_valid(description->name) || private_name_valid(description->name)) &&
           description->last <= RECORD_SEQUENCE_MAX && description->floor <= RECORD_SEQUENCE_MAX + 1;
}

/* ---- store.h ---- */

static struct store_channel *find(const struct store *store, struct bytes name)
{
    if (store->bucket_count == 0)
        return NULL;
    struct store_channel *channel = *name_bucket(store, name);
    while (channel != NULL && !bytes_equal(name_of(channel), name))
        channel = channel->next_by_name;
    return channel;
}

static enum err create(struct store *store, struct bytes name, int64_t now_ns, struct store_channel **out)
{
    struct store_channel *channel = NULL;
    enum err err = channel_add(store, store->next_number, &channel);
    if (err != ERR_OK)
        return err;
    channel->last_activity_ns = now_ns;
    err = channel_name_set(store, channel, name);
    if (err == ERR_OK)
        err = channel_describe(store, channel, false);
    if (err != ERR_OK) {
        channel_forget(store, channel);
        return err;
    }
    *out = channel;
    return ERR_OK;
}

bool store_channels_full(const struct store *store)
{
    return store->channels_max != 0 && store_channel_count(store) >= store->channels_max;
}

enum err store_channel_create(struct store *store, struct bytes name, int64_t now_ns,
                              struct store_channel **out)
{
    *out = NULL;
    if (name.count > STORE_CHANNEL_NAME_BYTES_MAX || !limits_channel_name_valid(name))
        return ERR_INVALID;
    if (find(store, name) != NULL)
        return ERR_EXISTS;
    if (store_channels_full(store))
        return ERR_FULL;
    return create(store, name, now_ns, out);
}

enum err store_private_create(struct store *store, struct bytes name, int64_t now_ns,
                              struct store_channel **out)
{
    *out = NULL;
    if (!private_name_valid(name))
        return ERR_INVALID;
    return find(store, name) != NULL ? ERR_EXISTS : create(store, name, now_ns, out);
}

struct store_channel *store_channel_find(const struct store *store, struct bytes name)
{
    return private_name(name) ? NULL : find(store, name);
}

struct store_channel *store_private_find(const struct store *store, struct bytes name)
{
    return private_name(name) ? find(store, name) : NULL;
}

enum err store_channel_delete(struct store *store, struct store_channel *channel)
{
    if (store->wal != NULL) {
        uint64_t position = 0;
        enum err err = wal_append(store->wal, WAL_NEEDED, RECORD_CHANNEL_DELETED, channel->number, TEXT(""),
                                  TEXT(""), &position);
        if (err != ERR_OK)
            return err;
    }
    store->position++;
    channel_forget(store, channel);
    return ERR_OK;
}

struct store_channel *channel_next(const struct store *store, const struct store_channel *channel)
{
    struct list_link *link =
        channel == NULL ? list_first(&store->channels) : list_next(&store->channels, &channel->link);
    return link == NULL ? NULL : LIST_ELEMENT(link, struct store_channel, link);
}

static struct store_channel *next_of(const struct store *store, const struct store_channel *channel,
                                     bool private)
{
    struct store_channel *next = channel_next(store, channel);
    while (next != NULL && next->private != private)
        next = channel_next(store, next);
    return next;
}

struct store_channel *store_channel_next(const struct store *store, const struct store_channel *channel)
{
    return next_of(store, channel, false);
}

struct store_channel *store_private_next(const struct store *store, const struct store_channel *channel)
{
    return next_of(store, channel, true);
}

uint32_t store_channel_count(const struct store *store)
{
    return store->channel_count - store->private_count;
}

struct bytes store_channel_name(const struct store_channel *channel)
{
    return name_of(channel);
}

const struct store_limits *store_channel_limits(const struct store_channel *channel)
{
    return &channel->limits;
}

struct store_limits store_limits_for(const struct store *store, struct bytes name)
{
    return limits_of(&store->limits, store->rules, store->rule_count, name);
}

void store_channel_set_owner(struct store_channel *channel, void *owner)
{
    channel->owner = owner;
}

void *store_channel_owner(const struct store_channel *channel)
{
    return channel->owner;
}

uint64_t store_channel_last(const struct store_channel *channel)
{
    return channel->last;
}

uint64_t store_channel_dropped(const struct store_channel *channel)
{
    return channel->dropped_count;
}

struct store_channel_figures store_channel_figures(const struct store_channel *channel)
{
    struct store_channel_figures figures = {
        .last_sequence = channel->last,
        .first_sequence = channel->last == 0 ? 0 : channel->last + 1,
        .message_count = channel->index.message_count,
        .bytes = channel->bytes,
        .dropped_count = channel->dropped_count,
        .last_activity_ns = channel->last_activity_ns,
        .subscription_count = channel->subscription_count,
    };
    struct message_entry first;
    if (message_index_first(&channel->index, &first))
        figures.first_sequence = first.sequence;
    return figures;
}
