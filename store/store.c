/* store/store.c - opening, closing, durability and the tick. See store.h. */
#include "store/store.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/random.h"
#include "store/store_inside.h"

#include <stdarg.h>
#include <stdio.h>

void store_say(struct store *store, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(store->why, sizeof store->why, format, arguments);
    va_end(arguments);
}

static void store_free(struct store *store)
{
    /* The log is closed: nothing is accounted for any more. */
    for (struct store_channel *channel = channel_next(store, NULL), *next; channel != NULL; channel = next) {
        next = channel_next(store, channel);
        struct message_entry entry;
        while (store->kind == STORE_MEMORY && message_index_first(&channel->index, &entry)) {
            message_index_drop_first(&channel->index);
            memory_free((void *)(uintptr_t)entry.position);
        }
        message_index_close(&channel->index);
        memory_free(channel->name);
        memory_free(channel);
    }
    for (uint32_t i = 0; i < store->key_bucket_count; i++) {
        for (struct state_key *key = store->key_buckets[i], *next; key != NULL; key = next) {
            next = key->next;
            memory_free(key->parts);
            memory_free(key);
        }
    }
    timers_close(&store->ages);
    memory_free(store->by_name);
    memory_free(store->by_number);
    memory_free(store->key_buckets);
    memory_free(store->rules);
    memory_free(store);
}

/* Rules and their names in one piece of memory. */
static enum err rules_copy(struct store *store, const struct store_limits_rule *rules, uint32_t count)
{
    if (count == 0)
        return ERR_OK;
    size_t bytes = count * sizeof rules[0];
    for (uint32_t i = 0; i < count; i++)
        bytes += rules[i].name.count;
    store->rules = memory_new(bytes);
    if (store->rules == NULL)
        return ERR_MEMORY;
    uint8_t *at = (uint8_t *)(store->rules + count);
    for (uint32_t i = 0; i < count; i++) {
        store->rules[i] = rules[i];
        memcpy(at, rules[i].name.data, rules[i].name.count);
        store->rules[i].name.data = at;
        at += rules[i].name.count;
    }
    store->rule_count = count;
    return ERR_OK;
}

static enum err store_setup(struct store *store, const struct store_options *options, char *why,
                            size_t why_bytes)
{
    enum err err =
        limits_rules_check(options->rules, options->rule_count, options->channels_max, why, why_bytes);
    if (err != ERR_OK)
        return err;
    store->kind = options->kind;
    store->limits = options->limits;
    store->channels_max = options->channels_max;
    store->garbage_percent = options->garbage_percent == 0 ? 50 : options->garbage_percent;
    store->next_number = 1;
    store->give_up_damaged = options->cut_damaged_tail;
    err = random_secure(&store->hash_seed, sizeof store->hash_seed);
    return err == ERR_OK ? rules_copy(store, options->rules, options->rule_count) : err;
}

static enum err log_open(struct store *store, const struct store_options *options, int64_t now_ns, char *why,
                         size_t why_bytes)
{
    struct wal_options log = {
        .files = options->files,
        .sync = options->sync,
        .sync_interval_ns = options->sync_interval_ns,
        .segment_bytes = options->segment_bytes,
        .buffer_bytes_max = options->buffer_bytes_max,
        .cache_bytes = options->cache_bytes,
        .salt = options->salt,
        .verify = options->verify,
        .cut_damaged_tail = options->cut_damaged_tail,
        .read_only = options->read_only,
        .outside_bytes_min = options->outside_bytes_min,
    };
    enum err err = wal_open(&store->wal, &log, &(struct wal_visitor){store_visit, store}, why, why_bytes);
    if (err != ERR_OK)
        return err;
    err = store_recovered(store, now_ns);
    if (err != ERR_OK && store->why[0] != 0)
        (void)snprintf(why, why_bytes, "%s", store->why);
    return err;
}

enum err store_open(struct store **out, const struct store_options *options, int64_t now_ns, char *why,
                    size_t why_bytes)
{
    *out = NULL;
    why[0] = 0;
    struct store *store = memory_new(sizeof *store);
    enum err err = store == NULL ? ERR_MEMORY : ERR_OK;
    if (err == ERR_OK) {
        list_init(&store->channels);
        list_init(&store->keys);
        store->last_tick_ns = now_ns;
        err = store_setup(store, options, why, why_bytes);
    }
    if (err == ERR_OK && options->kind == STORE_FILE)
        err = log_open(store, options, now_ns, why, why_bytes);
    if (err == ERR_OK) {
        *out = store;
        return ERR_OK;
    }
    if (why[0] == 0)
        (void)snprintf(why, why_bytes, "%s", err_text(err));
    if (store != NULL) {
        wal_abandon(store->wal);
        store_free(store);
    }
    return err;
}

enum err store_close(struct store *store)
{
    if (store == NULL)
        return ERR_OK;
    enum err err = wal_close(store->wal);
    store_free(store);
    return err;
}

void store_abandon(struct store *store)
{
    if (store == NULL)
        return;
    wal_abandon(store->wal);
    store_free(store);
}

const char *store_error(const struct store *store)
{
    return store->wal != NULL && wal_why(store->wal)[0] != 0 ? wal_why(store->wal) : store->why;
}

bool store_failed(const struct store *store)
{
    return store->wal != NULL && wal_failed(store->wal);
}

bool store_disk_full(const struct store *store)
{
    return store->wal != NULL && wal_disk_full(store->wal);
}

/* ---- durability ---- */

uint64_t store_position(const struct store *store)
{
    return store->wal == NULL ? store->position : wal_end(store->wal);
}

uint64_t store_acknowledged(const struct store *store)
{
    return store->wal == NULL ? store->position : wal_acknowledged(store->wal);
}

bool store_io_begin(struct store *store, int64_t now_ns, struct store_io *io)
{
    return store->wal != NULL && wal_io_begin(store->wal, now_ns, io);
}

void store_io_done(struct store *store, int64_t now_ns, int64_t written, int synced)
{
    wal_io_done(store->wal, now_ns, written, synced);
}

bool store_chore_begin(struct store *store, struct store_chore *what)
{
    return store->wal != NULL && wal_chore_begin(store->wal, what);
}

void store_chore_done(struct store *store, int64_t now_ns, int64_t result)
{
    wal_chore_done(store->wal, now_ns, result);
}

enum err store_flush(struct store *store, int64_t now_ns)
{
    return store->wal == NULL ? ERR_OK : wal_flush(store->wal, now_ns);
}

void store_tick(struct store *store, int64_t now_ns)
{
    store->last_tick_ns = now_ns;
    ages_apply(store, now_ns, STORE_AGES_PER_TICK);
    if (store->wal == NULL || store_failed(store))
        return;
    wal_tick(store->wal, now_ns);
    store_clean(store, STORE_CLEAN_BYTES_PER_TICK);
}

int64_t store_next_tick_ns(const struct store *store)
{
    int64_t due = timers_next_ns(&store->ages);
    if (store->wal == NULL)
        return due;
    /* What is full waits for the log's own retry. */
    if (!store_disk_full(store) && wal_cleaning_wanted(store->wal, store->garbage_percent))
        return store->last_tick_ns;
    int64_t log_due = wal_next_tick_ns(store->wal);
    return log_due < due ? log_due : due;
}

/* ---- figures ---- */

struct store_figures store_figures(const struct store *store)
{
    struct store_figures figures = {
        .message_count = store->message_count,
        .message_bytes = store->message_bytes,
        .moved_records = store->moved_records,
        .channel_count = store_channel_count(store),
        .state_count = store->key_count,
        .memory_bytes = store->data_memory_bytes,
    };
    for (const struct store_channel *channel = channel_next(store, NULL); channel != NULL;
         channel = channel_next(store, channel))
        figures.memory_bytes += channel->index.memory_bytes + sizeof *channel + channel->name_count;
    if (store->wal == NULL)
        return figures;
    struct wal_figures log = wal_figures(store->wal);
    figures.log_bytes = log.log_bytes;
    figures.live_bytes = log.live_bytes;
    figures.memory_bytes += log.memory_bytes;
    figures.syncs = log.syncs;
    figures.writes = log.writes;
    figures.retired_segments = log.retired_segments;
    figures.segment_count = log.segment_count;
    figures.descriptor_count = log.descriptor_count;
    return figures;
}

const char *store_kind_name(const struct store *store)
{
    return store->kind == STORE_MEMORY ? "MEMORY" : "FILE";
}
