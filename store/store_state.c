/* store/store_state.c - records under keys: put, add, delete, tell. See store.h.
 * Payloads: kind 1, bytes of the id 1, zero 2, parts 4 (of a put), id, and then for a put, that many parts,
 * each with its bytes (4) before it; for an addition, its bytes. */
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "store/store.h"
#include "store/store_inside.h"

#include <stdlib.h>

enum {
    FIELDS_BYTES = 8,
    KEY_BUCKETS_MIN = 16,
};

/* A put's payload before the value: fields, id, and the size of its one part. */
struct head {
    uint8_t bytes[FIELDS_BYTES + STORE_ID_BYTES_MAX + 4];
    size_t count;
};

static struct head head_of(enum store_state_kind kind, struct bytes id, uint32_t part_count)
{
    struct head head;
    head.bytes[0] = (uint8_t)kind;
    head.bytes[1] = (uint8_t)id.count;
    head.bytes[2] = 0;
    head.bytes[3] = 0;
    put_u32(head.bytes + 4, part_count);
    if (id.count > 0)
        memcpy(head.bytes + FIELDS_BYTES, id.data, id.count);
    head.count = FIELDS_BYTES + id.count;
    return head;
}

bool state_fields_decode(struct bytes payload, struct state_fields *fields)
{
    if (payload.count < FIELDS_BYTES || payload.data[0] >= STORE_STATE_KINDS ||
        payload.count - FIELDS_BYTES < payload.data[1])
        return false;
    size_t skip = FIELDS_BYTES + (size_t)payload.data[1];
    *fields = (struct state_fields){
        .kind = (enum store_state_kind)payload.data[0],
        .id = bytes_of(payload.data + FIELDS_BYTES, payload.data[1]),
        .rest = bytes_of(payload.data + skip, payload.count - skip),
        .part_count = get_u32(payload.data + 4),
    };
    return true;
}

/* ---- the table of keys ---- */

static uint64_t key_hash(const struct store *store, uint32_t kind, const struct store_channel *channel,
                         struct bytes id)
{
    uint64_t seed = store->hash_seed + kind + ((uint64_t)(channel == NULL ? 0 : channel->number) << 8);
    return hash_bytes(id, seed);
}

static struct bytes id_of(const struct state_key *key)
{
    return bytes_of(key->id, key->id_count);
}

static struct state_key **key_bucket(const struct store *store, const struct state_key *key)
{
    return &store->key_buckets[key_hash(store, key->kind, key->channel, id_of(key)) &
                               (store->key_bucket_count - 1)];
}

struct state_key *state_find(const struct store *store, enum store_state_kind kind,
                             const struct store_channel *channel, struct bytes id)
{
    if (store->key_bucket_count == 0)
        return NULL;
    struct state_key *key =
        store->key_buckets[key_hash(store, kind, channel, id) & (store->key_bucket_count - 1)];
    while (key != NULL && !(key->kind == kind && key->channel == channel && bytes_equal(id_of(key), id)))
        key = key->next;
    return key;
}

static enum err key_buckets_grow(struct store *store)
{
    if (store->key_count < store->key_bucket_count)
        return ERR_OK;
    uint32_t old_count = store->key_bucket_count;
    uint32_t count = old_count == 0 ? KEY_BUCKETS_MIN : old_count * 2;
    struct state_key **old = store->key_buckets;
    struct state_key **buckets = memory_new(count * sizeof buckets[0]);
    if (buckets == NULL)
        return ERR_MEMORY;
    store->key_buckets = buckets;
    store->key_bucket_count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct state_key *key = old[i], *next; key != NULL; key = next) {
            next = key->next;
            struct state_key **bucket = key_bucket(store, key);
            key->next = *bucket;
            *bucket = key;
        }
    }
    memory_free(old);
    return ERR_OK;
}

static enum err key_add(struct store *store, enum store_state_kind kind, struct store_channel *channel,
                        struct bytes id, struct state_key **out)
{
    if (key_buckets_grow(store) != ERR_OK)
        return ERR_MEMORY;
    struct state_key *key = memory_new(sizeof *key + id.count);
    if (key == NULL)
        return ERR_MEMORY;
    key->kind = (uint8_t)kind;
    key->channel = channel;
    key->id_count = (uint8_t)id.count;
    if (id.count > 0)
        memcpy(key->id, id.data, id.count);
    struct state_key **bucket = key_bucket(store, key);
    key->next = *bucket;
    *bucket = key;
    list_push_last(channel == NULL ? &store->keys : &channel->keys, &key->link);
    store->key_count++;
    if (kind == STORE_STATE_SUBSCRIPTION && channel != NULL)
        channel->subscription_count++;
    *out = key;
    return ERR_OK;
}

/* The records of the key are needed no more. */
static void parts_drop(struct store *store, struct state_key *key)
{
    for (uint32_t i = 0; i < key->part_count && store->wal != NULL; i++)
        wal_dead(store->wal, key->parts[i].position, key->parts[i].payload_bytes);
    key->part_count = 0;
    key->put_bytes = 0;
    key->added_bytes = 0;
}

void state_forget(struct store *store, struct state_key *key)
{
    parts_drop(store, key);
    struct state_key **place = key_bucket(store, key);
    while (*place != key)
        place = &(*place)->next;
    *place = key->next;
    list_remove(&key->link);
    store->key_count--;
    if (key->kind == STORE_STATE_SUBSCRIPTION && key->channel != NULL)
        key->channel->subscription_count--;
    memory_free(key->parts);
    memory_free(key);
}

static enum err parts_grow(struct state_key *key)
{
    if (key->part_count < key->part_capacity)
        return ERR_OK;
    uint32_t capacity = key->part_capacity == 0 ? 1 : key->part_capacity * 2;
    struct state_part *parts = memory_grow(key->parts, capacity * sizeof parts[0]);
    if (parts == NULL)
        return ERR_MEMORY;
    key->parts = parts;
    key->part_capacity = capacity;
    return ERR_OK;
}

/* A place in key->parts is there. */
static void part_add(struct store *store, struct state_key *key, uint64_t position, size_t payload_bytes)
{
    ASSERT(key->part_count < key->part_capacity);
    key->parts[key->part_count++] = (struct state_part){position, (uint32_t)payload_bytes};
    wal_live(store->wal, position, payload_bytes);
}

/* ---- put, add, delete ---- */

enum err store_state_put(struct store *store, enum store_state_kind kind, struct store_channel *channel,
                         struct bytes id, struct bytes value)
{
    if (id.count > STORE_ID_BYTES_MAX || value.count > STORE_STATE_BYTES_MAX)
        return ERR_INVALID;
    struct state_key *key = state_find(store, kind, channel, id);
    bool is_new = key == NULL;
    if (is_new && kind == STORE_STATE_SUBSCRIPTION && channel != NULL &&
        channel->limits.subscriptions_max != 0 &&
        channel->subscription_count >= channel->limits.subscriptions_max)
        return ERR_FULL;
    enum err err = is_new ? key_add(store, kind, channel, id, &key) : ERR_OK;
    if (err != ERR_OK)
        return err;
    store->position++;
    if (store->wal == NULL)
        return ERR_OK;
    struct head head = head_of(kind, id, 1);
    put_u32(head.bytes + head.count, (uint32_t)value.count);
    head.count += 4;
    uint64_t position = 0;
    err = parts_grow(key);
    if (err == ERR_OK)
        err = wal_append(store->wal, WAL_NEEDED, RECORD_PUT, channel == NULL ? 0 : channel->number,
                         bytes_of(head.bytes, head.count), value, &position);
    if (err != ERR_OK) {
        if (is_new)
            state_forget(store, key);
        return err;
    }
    parts_drop(store, key);
    part_add(store, key, position, head.count + value.count);
    key->put_bytes = (uint32_t)value.count;
    return ERR_OK;
}

enum err store_state_add(struct store *store, enum store_state_kind kind, struct store_channel *channel,
                         struct bytes id, struct bytes addition, bool *put_wanted)
{
    *put_wanted = false;
    struct state_key *key = state_find(store, kind, channel, id);
    if (key == NULL)
        return ERR_NOT_FOUND;
    store->position++;
    if (store->wal == NULL)
        return ERR_OK;
    if (key->part_count >= STORE_PARTS_MAX ||
        addition.count > STORE_STATE_BYTES_MAX - (size_t)key->added_bytes - key->put_bytes)
        return ERR_FULL;
    struct head head = head_of(kind, id, 0);
    uint64_t position = 0;
    enum err err = parts_grow(key);
    if (err == ERR_OK)
        err = wal_append(store->wal, WAL_NEEDED, RECORD_ADD, channel == NULL ? 0 : channel->number,
                         bytes_of(head.bytes, head.count), addition, &position);
    if (err != ERR_OK)
        return err;
    part_add(store, key, position, head.count + addition.count);
    key->added_bytes += (uint32_t)addition.count;
    *put_wanted = key->part_count > STORE_PUT_WANTED_PARTS || key->added_bytes > STORE_STATE_BYTES_MAX / 2;
    return ERR_OK;
}

enum err store_state_delete(struct store *store, enum store_state_kind kind, struct store_channel *channel,
                            struct bytes id)
{
    struct state_key *key = state_find(store, kind, channel, id);
    if (key == NULL)
        return ERR_OK;
    store->position++;
    if (store->wal != NULL) {
        struct head head = head_of(kind, id, 0);
        uint64_t position = 0;
        enum err err =
            wal_append(store->wal, WAL_NEEDED, RECORD_STATE_DELETED, channel == NULL ? 0 : channel->number,
                       bytes_of(head.bytes, head.count), TEXT(""), &position);
        if (err != ERR_OK)
            return err;
    }
    state_forget(store, key);
    return ERR_OK;
}

/* ---- recovery ---- */

/* Bytes of the values in a put; false: its parts do not fill it. */
static bool put_measure(const struct state_fields *fields, uint32_t *bytes)
{
    struct bytes rest = fields->rest;
    *bytes = 0;
    for (uint32_t i = 0; i < fields->part_count; i++) {
        if (rest.count < 4 || rest.count - 4 < get_u32(rest.data))
            return false;
        size_t skip = 4 + (size_t)get_u32(rest.data);
        *bytes += (uint32_t)skip - 4;
        rest = bytes_of(rest.data + skip, rest.count - skip);
    }
    return fields->part_count > 0 && rest.count == 0;
}

enum err state_recovered(struct store *store, const struct record *record, struct store_channel *channel)
{
    struct state_fields fields;
    uint32_t put_bytes = 0;
    if (!state_fields_decode(record->payload, &fields) ||
        (record->type == RECORD_PUT && !put_measure(&fields, &put_bytes)))
        return ERR_INVALID;
    struct state_key *key = state_find(store, fields.kind, channel, fields.id);
    if (record->type == RECORD_STATE_DELETED) {
        if (key != NULL)
            state_forget(store, key);
        return ERR_OK;
    }
    /* What was put before has moved to a later place, together with this addition. */
    if (key == NULL && record->type == RECORD_ADD)
        return ERR_OK;
    enum err err = key == NULL ? key_add(store, fields.kind, channel, fields.id, &key) : ERR_OK;
    if (err != ERR_OK)
        return err;
    err = parts_grow(key);
    if (err != ERR_OK) {
        if (key->part_count == 0)
            state_forget(store, key);
        return err;
    }
    if (record->type == RECORD_PUT) {
        parts_drop(store, key);
        key->put_bytes = put_bytes;
    } else {
        key->added_bytes += (uint32_t)fields.rest.count;
    }
    part_add(store, key, record->position, record->payload.count);
    return ERR_OK;
}

/* ---- the whole value of a key ---- */

/* Everything of one key, copied: records are good until the next one is read. */
struct whole {
    uint8_t *bytes; /* parts as in a put: size and bytes, one behind the other */
    size_t count;
    size_t capacity;
    struct bytes *parts; /* into `bytes`, once all are there */
    uint32_t part_count;
    uint32_t part_capacity;
};

static enum err whole_add(struct whole *whole, const void *bytes, size_t count)
{
    if (whole->count + count > whole->capacity) {
        size_t capacity = (whole->count + count) * 2;
        uint8_t *memory = memory_grow(whole->bytes, capacity);
        if (memory == NULL)
            return ERR_MEMORY;
        whole->bytes = memory;
        whole->capacity = capacity;
    }
    if (count > 0)
        memcpy(whole->bytes + whole->count, bytes, count);
    whole->count += count;
    return ERR_OK;
}

static enum err whole_read(struct store *store, const struct state_key *key, struct whole *whole)
{
    whole->count = 0;
    whole->part_count = 0;
    for (uint32_t i = 0; i < key->part_count; i++) {
        struct record record;
        struct state_fields fields;
        uint32_t put_bytes = 0;
        enum err err = wal_read(store->wal, key->parts[i].position, &record);
        if (err != ERR_OK)
            return err;
        bool is_put = record.type == RECORD_PUT;
        if ((!is_put && record.type != RECORD_ADD) || !state_fields_decode(record.payload, &fields) ||
            (is_put && !put_measure(&fields, &put_bytes))) {
            store_say(store, "the record at position %llx is not what the index says",
                      (unsigned long long)key->parts[i].position);
            return ERR_DAMAGED;
        }
        uint8_t size[4];
        put_u32(size, (uint32_t)fields.rest.count);
        if (!is_put)
            err = whole_add(whole, size, sizeof size);
        if (err == ERR_OK)
            err = whole_add(whole, fields.rest.data, fields.rest.count);
        if (err != ERR_OK)
            return err;
        whole->part_count += is_put ? fields.part_count : 1;
    }
    return ERR_OK;
}

static enum err whole_parts(struct whole *whole)
{
    if (whole->part_count > whole->part_capacity) {
        struct bytes *parts = memory_grow(whole->parts, whole->part_count * sizeof parts[0]);
        if (parts == NULL)
            return ERR_MEMORY;
        whole->parts = parts;
        whole->part_capacity = whole->part_count;
    }
    const uint8_t *at = whole->bytes;
    ASSERT(at != NULL || whole->part_count == 0); /* each part has its size at least */
    for (uint32_t i = 0; i < whole->part_count; i++) {
        whole->parts[i] = bytes_of(at + 4, get_u32(at));
        at += 4 + whole->parts[i].count;
    }
    return ERR_OK;
}

static void whole_close(struct whole *whole)
{
    memory_free(whole->bytes);
    memory_free(whole->parts);
}

enum err state_move(struct store *store, struct state_key *key)
{
    struct whole whole = {0};
    enum err err = whole_read(store, key, &whole);
    uint32_t number = key->channel == NULL ? 0 : key->channel->number;
    struct head head = head_of((enum store_state_kind)key->kind, id_of(key), whole.part_count);
    uint64_t position = 0;
    if (err == ERR_OK)
        err = wal_append(store->wal, WAL_NEEDED, RECORD_PUT, number, bytes_of(head.bytes, head.count),
                         bytes_of(whole.bytes, whole.count), &position);
    if (err == ERR_OK) {
        uint32_t put_bytes = key->put_bytes + key->added_bytes;
        parts_drop(store, key);
        part_add(store, key, position, head.count + whole.count);
        key->put_bytes = put_bytes;
    }
    whole_close(&whole);
    return err;
}

static uint32_t key_channel_number(const struct state_key *key)
{
    return key->channel == NULL ? 0 : key->channel->number;
}

static int compare_keys(const void *a, const void *b)
{
    const struct state_key *first = *(struct state_key *const *)a, *second = *(struct state_key *const *)b;
    if (first->kind != second->kind)
        return first->kind < second->kind ? -1 : 1;
    uint32_t m = key_channel_number(first), n = key_channel_number(second);
    if (m != n)
        return m < n ? -1 : 1;
    uint32_t common = first->id_count < second->id_count ? first->id_count : second->id_count;
    int order = common == 0 ? 0 : memcmp(first->id, second->id, common);
    return order != 0 ? order : (int)first->id_count - (int)second->id_count;
}

enum err store_state_each(struct store *store,
                          enum err (*each)(void *context, const struct store_state *state), void *context)
{
    if (store->wal == NULL || store->key_count == 0)
        return ERR_OK;
    struct state_key **keys = memory_new(store->key_count * sizeof(struct state_key *));
    if (keys == NULL)
        return ERR_MEMORY;
    uint32_t count = 0;
    for (uint32_t i = 0; i < store->key_bucket_count; i++) {
        for (struct state_key *key = store->key_buckets[i]; key != NULL; key = key->next)
            keys[count++] = key;
    }
    ASSERT(count == store->key_count);
    qsort(keys, count, sizeof(struct state_key *), compare_keys);
    struct whole whole = {0};
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        err = whole_read(store, keys[i], &whole);
        if (err == ERR_OK)
            err = whole_parts(&whole);
        if (err != ERR_OK)
            break;
        struct store_state state = {
            .kind = (enum store_state_kind)keys[i]->kind,
            .channel = keys[i]->channel,
            .id = id_of(keys[i]),
            .parts = whole.parts,
            .part_count = whole.part_count,
        };
        err = each(context, &state);
    }
    whole_close(&whole);
    memory_free(keys);
    return err;
}
