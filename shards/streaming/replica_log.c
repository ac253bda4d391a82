/* shards/streaming/replica_log.c - see replica_log.h.
 * An entry is a message of channel "/raft/<group>/log", little-endian:
 *    0  8  term
 *    8  1  kind (enum raft_entry_kind), or BEFORE: no entry, but the index and term that the log begins
 *           behind
 *    9  -  data
 * When the first message is number 1 and no BEFORE, the log begins with it; else behind it.
 * The record "hard state" of kind STORE_STATE_RAFT: term, voted_for, commit_index; 8 bytes each. */
#include "shards/streaming/replica_log.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "store/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { HARD_STATE_BYTES = 24, BEFORE = 255, KEY_BYTES = 16, BUFFER_ROOM = 4 };

static struct bytes key_of(uint32_t group, char *key)
{
    int count = snprintf(key, KEY_BYTES, "h%" PRIu32, group);
    return bytes_of(key, (size_t)count);
}

static uint64_t last_index(const struct replica_log *log)
{
    return store_channel_last(log->entries);
}

/* ---- entries in ---- */

static enum err put(struct replica_log *log, uint64_t index, uint64_t term, uint8_t kind, struct bytes data)
{
    size_t bytes = REPLICA_ENTRY_HEADER_BYTES + data.count;
    if (data.count > REPLICA_ENTRY_BYTES_MAX)
        return ERR_INVALID;
    if (!memory_room(&log->frame, &log->frame_capacity, bytes))
        return ERR_MEMORY;
    put_u64(log->frame, term);
    log->frame[8] = kind;
    if (data.count > 0)
        memcpy(log->frame + REPLICA_ENTRY_HEADER_BYTES, data.data, data.count);
    return store_append_at(log->store, log->entries, index, bytes_of(log->frame, bytes), log->now_ns);
}

static enum err append(void *self, uint64_t first_index, const struct raft_entry *entries, uint32_t count)
{
    struct replica_log *log = self;
    uint64_t last = last_index(log);
    ASSERT(first_index >= log->log_first && first_index <= last + 1);
    enum err err = ERR_OK;
    if (first_index <= last && first_index > 1)
        err = store_cut_above(log->store, log->entries, first_index - 1);
    else if (first_index <= last)
        err = store_channel_empty(log->store, log->entries);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++)
        err = put(log, first_index + i, entries[i].term, (uint8_t)entries[i].kind, entries[i].data);
    return err;
}

static enum err set_hard_state(void *self, const struct raft_hard_state *hard_state)
{
    struct replica_log *log = self;
    uint8_t record[HARD_STATE_BYTES];
    char key[KEY_BYTES];
    put_u64(record, hard_state->term);
    put_u64(record + 8, hard_state->voted_for);
    put_u64(record + 16, hard_state->commit_index);
    log->hard_state = *hard_state;
    return store_state_put(log->store, STORE_STATE_RAFT, NULL, key_of(log->group, key),
                           bytes_of(record, sizeof record));
}

/* The service syncs the store whenever there is something. */
static void sync(void *self, uint64_t persist_seq)
{
    struct replica_log *log = self;
    uint32_t place = log->sync_count < REPLICA_SYNCS_MAX ? log->sync_count++ : REPLICA_SYNCS_MAX - 1;
    log->syncs[place] = (struct replica_sync){persist_seq, store_position(log->store)};
}

/* ---- entries out ---- */

static bool entry_read(struct replica_log *log, uint64_t index, struct raft_entry *entry)
{
    struct store_message message;
    if (store_lookup(log->store, log->entries, index, &message) != ERR_OK ||
        message.data.count < REPLICA_ENTRY_HEADER_BYTES ||
        (message.data.data[8] >= RAFT_ENTRY_KINDS && message.data.data[8] != BEFORE))
        return false;
    *entry = (struct raft_entry){
        .term = get_u64(message.data.data),
        .kind = (enum raft_entry_kind)message.data.data[8],
        .data = bytes_of(message.data.data + REPLICA_ENTRY_HEADER_BYTES,
                         message.data.count - REPLICA_ENTRY_HEADER_BYTES),
    };
    return true;
}

/* Each is copied: the store's bytes are good for one call only. Memory out, or a disk that cannot be read:
 * nothing is given, and the driver asks again when the next turn says so. */
static uint32_t read(void *self, uint64_t first_index, uint32_t count, struct raft_entry *entries)
{
    struct replica_log *log = self;
    size_t used = 0;
    uint32_t done = 0;
    if (!memory_room(&log->read, &log->read_capacity, REPLICA_READ_BYTES))
        return 0;
    for (; done < count; done++) {
        struct raft_entry *entry = &entries[done];
        if (!entry_read(log, first_index + done, entry))
            break;
        if (entry->data.count > log->read_capacity - used) {
            if (done > 0 || !memory_room(&log->read, &log->read_capacity, entry->data.count))
                break;
        }
        if (entry->data.count > 0)
            memcpy(log->read + used, entry->data.data, entry->data.count);
        entry->data.data = log->read + used;
        used += entry->data.count;
    }
    return done;
}

/* ---- snapshots ---- */

static enum err chunk_write(void *self, const struct raft_chunk *chunk)
{
    return snapshots_receive(&((struct replica_log *)self)->snapshots, chunk);
}

static const uint8_t *chunk_read(void *self, uint64_t snapshot_index, uint64_t offset_bytes,
                                 uint32_t count_bytes)
{
    struct replica_log *log = self;
    return snapshots_read(&log->snapshots, snapshot_index, offset_bytes, count_bytes);
}

static void install(void *self, const struct raft_snapshot *snapshot)
{
    struct replica_log *log = self;
    ASSERT(log->snapshots.incoming.about.index == snapshot->index);
    log->install_wanted = true;
}

/* Entries that were dropped come back when this is lost in a crash, and are dropped again. When it fails for
 * lack of room, the next call tries again. */
static void trim(void *self, uint64_t log_first, uint64_t snapshot_newest, uint64_t snapshot_sent)
{
    struct replica_log *log = self;
    if (log_first > log->log_first && log_first > 1 &&
        store_trim_below(log->store, log->entries, log_first - 1) == ERR_OK)
        log->log_first = log_first;
    snapshots_trim(&log->snapshots, snapshot_newest, snapshot_sent);
}

/* The log begins behind the newest snapshot, and is empty. */
static enum err begin_behind(struct replica_log *log)
{
    const struct raft_snapshot *snapshot = &log->snapshots.newest;
    enum err err = store_channel_empty(log->store, log->entries);
    if (err == ERR_OK)
        err = put(log, snapshot->index, snapshot->term, BEFORE, TEXT(""));
    if (err == ERR_OK)
        log->log_first = snapshot->index + 1;
    return err;
}

enum err replica_log_save(struct replica_log *log, const struct raft_snapshot *about, uint8_t *bytes)
{
    log->installing = false;
    return snapshots_save(&log->snapshots, about, bytes, log->now_ns);
}

struct bytes replica_log_incoming(const struct replica_log *log)
{
    const struct snapshot_incoming *incoming = &log->snapshots.incoming;
    return bytes_of(incoming->bytes, incoming->received_bytes);
}

enum err replica_log_install(struct replica_log *log)
{
    struct snapshot_incoming *incoming = &log->snapshots.incoming;
    uint8_t *bytes = incoming->bytes;
    ASSERT(log->install_wanted);
    log->install_wanted = false;
    log->installing = true;
    incoming->bytes = NULL;
    incoming->capacity = 0;
    enum err err = snapshots_save(&log->snapshots, &incoming->about, bytes, log->now_ns);
    snapshots_incoming_drop(&log->snapshots);
    log->installing = err == ERR_OK;
    return err;
}

/* A snapshot is safe, or cannot be. Emptying the log comes last: a crash in between leaves a log without the
 * snapshot's last entry, which raft_start() notices. */
static void saved(struct replica_log *log, struct raft_driver *driver, enum snapshot_state state)
{
    struct raft_snapshot about = log->snapshots.saving.about;
    bool install_done = log->installing;
    enum err err = state == SNAPSHOT_SAVED ? ERR_OK : ERR_SYSTEM;
    snapshots_done(&log->snapshots);
    log->installing = false;
    if (install_done) {
        if (err == ERR_OK)
            err = begin_behind(log);
        raft_driver_installed(driver, err);
    } else {
        raft_driver_snapshot_taken(driver, about.index, about.size_bytes, err);
    }
}

/* ---- turns ---- */

void replica_log_step(struct replica_log *log, struct raft_driver *driver, int64_t now_ns)
{
    uint64_t acknowledged = store_acknowledged(log->store);
    uint32_t safe = 0;
    log->now_ns = now_ns;
    while (safe < log->sync_count && log->syncs[safe].position <= acknowledged)
        safe++;
    if (safe > 0) {
        uint64_t persist_seq = log->syncs[safe - 1].persist_seq;
        log->sync_count -= safe;
        memmove(log->syncs, log->syncs + safe, log->sync_count * sizeof log->syncs[0]);
        raft_driver_persisted(driver, persist_seq, ERR_OK);
    }
    enum snapshot_state state = snapshots_step(&log->snapshots, now_ns);
    if (state == SNAPSHOT_SAVED || state == SNAPSHOT_FAILED)
        saved(log, driver, state);
    if (driver->unread)
        raft_driver_readable(driver);
}

bool replica_log_room(const struct replica_log *log)
{
    uint64_t waiting = store_position(log->store) - store_acknowledged(log->store);
    return !store_disk_full(log->store) && waiting < REPLICA_ENTRY_BYTES_MAX / BUFFER_ROOM;
}

struct raft_storage replica_log_storage(struct replica_log *log)
{
    return (struct raft_storage){
        .self = log,
        .append = append,
        .set_hard_state = set_hard_state,
        .sync = sync,
        .read = read,
        .chunk_write = chunk_write,
        .chunk_read = chunk_read,
        .install = install,
        .trim = trim,
    };
}

/* ---- beginning and end ---- */

struct hard_state_wanted {
    struct bytes key;
    struct raft_hard_state hard_state;
    enum err err;
};

static enum err hard_state_take(void *context, const struct store_state *state)
{
    struct hard_state_wanted *wanted = context;
    if (state->kind != STORE_STATE_RAFT || !bytes_equal(state->id, wanted->key))
        return ERR_OK;
    if (state->part_count != 1 || state->parts[0].count != HARD_STATE_BYTES) {
        wanted->err = ERR_DAMAGED;
        return ERR_OK;
    }
    const uint8_t *record = state->parts[0].data;
    wanted->hard_state = (struct raft_hard_state){
        .term = get_u64(record), .voted_for = get_u64(record + 8), .commit_index = get_u64(record + 16)};
    return ERR_OK;
}

static enum err hard_state_read(struct replica_log *log)
{
    char key[KEY_BYTES];
    struct hard_state_wanted wanted = {.key = key_of(log->group, key)};
    enum err err = store_state_each(log->store, hard_state_take, &wanted);
    log->hard_state = wanted.hard_state;
    return err != ERR_OK ? err : wanted.err;
}

/* Where the log begins. */
static enum err first_find(struct replica_log *log)
{
    struct store_channel_figures figures = store_channel_figures(log->entries);
    const struct raft_snapshot *newest = &log->snapshots.newest;
    log->log_first = newest->index + 1;
    if (figures.last_sequence == 0) /* new, or the process ended between emptying it and BEFORE */
        return newest->index == 0 ? ERR_OK : begin_behind(log);
    struct raft_entry first;
    if (!entry_read(log, figures.first_sequence, &first))
        return ERR_DAMAGED;
    bool before = (uint8_t)first.kind == BEFORE || figures.first_sequence > 1;
    log->log_first = figures.first_sequence + before;
    return ERR_OK;
}

enum err replica_log_open(struct replica_log *log, struct store *store, uint32_t group, int64_t now_ns)
{
    char name[STORE_PRIVATE_NAME_BYTES_MAX];
    *log = (struct replica_log){.store = store, .group = group, .now_ns = now_ns};
    snprintf(name, sizeof name, "/raft/%" PRIu32 "/log", group);
    enum err err = snapshots_open(&log->snapshots, store, group);
    if (err != ERR_OK)
        return err;
    log->entries = store_private_find(store, text(name));
    if (log->entries == NULL)
        err = store_private_create(store, text(name), now_ns, &log->entries);
    if (err == ERR_OK)
        err = hard_state_read(log);
    if (err == ERR_OK)
        err = first_find(log);
    if (err != ERR_OK)
        replica_log_close(log);
    return err;
}

void replica_log_close(struct replica_log *log)
{
    snapshots_close(&log->snapshots);
    memory_free(log->read);
    memory_free(log->frame);
    *log = (struct replica_log){0};
}

bool replica_log_empty(const struct replica_log *log)
{
    return log->hard_state.term == 0 && log->snapshots.newest.index == 0 && last_index(log) == 0;
}

enum err replica_log_found(struct replica_log *log, const struct raft_membership *founders)
{
    uint8_t data[RAFT_MEMBERSHIP_BYTES_MAX];
    struct raft_entry entry = raft_bootstrap_entry(founders, data);
    struct raft_hard_state hard_state = {.term = 1};
    ASSERT(replica_log_empty(log));
    enum err err = append(log, 1, &entry, 1);
    return err != ERR_OK ? err : set_hard_state(log, &hard_state);
}

enum err replica_log_forget(struct replica_log *log)
{
    char key[KEY_BYTES];
    if (replica_log_empty(log) || log->hard_state.term > 1 || log->snapshots.newest.index > 0)
        return ERR_OK;
    enum err err = store_channel_empty(log->store, log->entries);
    if (err == ERR_OK)
        err = store_state_delete(log->store, STORE_STATE_RAFT, NULL, key_of(log->group, key));
    if (err == ERR_OK)
        log->hard_state = (struct raft_hard_state){0};
    return err;
}

static enum err restore(struct replica_log *log, struct raft *raft)
{
    enum err err = ERR_OK;
    uint64_t last = last_index(log);
    for (uint64_t index = log->log_first; err == ERR_OK && index <= last; index++) {
        struct raft_entry entry;
        err = entry_read(log, index, &entry) ? raft_restore(raft, &entry) : ERR_DAMAGED;
    }
    return err;
}

enum err replica_log_start(struct replica_log *log, const struct raft_options *options, struct raft **raft)
{
    struct raft_durable durable = {
        .hard_state = log->hard_state, .snapshot = log->snapshots.newest, .log_first = log->log_first};
    struct raft_entry before = {.term = log->snapshots.newest.term};
    bool discarded = false;
    *raft = NULL;
    if (log->log_first > 1 && last_index(log) != 0 && !entry_read(log, log->log_first - 1, &before))
        return ERR_DAMAGED;
    durable.log_before_term = log->log_first > 1 ? before.term : 0;
    enum err err = raft_new(options, &durable, raft);
    if (err == ERR_OK)
        err = restore(log, *raft);
    if (err == ERR_OK)
        err = raft_start(*raft, log->snapshots.newest.index, &discarded);
    if (err == ERR_OK && discarded)
        err = begin_behind(log);
    if (err != ERR_OK) {
        raft_free(*raft);
        *raft = NULL;
    }
    return err;
}
