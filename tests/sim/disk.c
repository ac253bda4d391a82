/* tests/sim/disk.c - a node's disk: what is written may be read at once, and is durable after a sync. A crash
 * keeps what was synced, and of the rest a prefix in the order of the writes (raft/driver.h's rules). */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "tests/sim/sim.h"

static struct sim_entry *slot(const struct sim_log *log, uint64_t index)
{
    return &log->entries[index % SIM_LOG_MAX];
}

const struct sim_entry *sim_log_entry(const struct sim_log *log, uint64_t index)
{
    return index >= log->first && index <= log->last ? slot(log, index) : NULL;
}

static void log_put(struct sim *sim, struct sim_log *log, uint64_t index, const struct sim_entry *entry)
{
    if (index < log->first || index > log->last + 1)
        sim_fail(sim, "a log of %llu to %llu is told to write %llu", (unsigned long long)log->first,
                 (unsigned long long)log->last, (unsigned long long)index);
    if (index - log->first >= SIM_LOG_MAX)
        sim_fail(sim, "a log has grown beyond its bound");
    *slot(log, index) = *entry;
    log->last = index;
}

static void log_reset(struct sim_log *log, uint64_t index, uint64_t term)
{
    log->first = index + 1;
    log->last = index;
    log->before_term = term;
}

static void log_trim(struct sim_log *log, uint64_t first)
{
    if (first <= log->first)
        return;
    ASSERT(first <= log->last + 1);
    log->before_term = slot(log, first - 1)->term;
    log->first = first;
}

static void log_copy(struct sim_log *to, const struct sim_log *from)
{
    to->first = from->first;
    to->last = from->last;
    to->before_term = from->before_term;
    memcpy(to->entries, from->entries, SIM_LOG_MAX * sizeof *to->entries);
}

static void add_write(struct sim_node *node, const struct sim_write *write)
{
    struct sim_disk *disk = &node->disk;
    if (disk->write_count == disk->write_capacity) {
        uint32_t capacity = disk->write_capacity == 0 ? 64 : disk->write_capacity * 2;
        struct sim_write *writes =
            capacity > 1 << 14 ? NULL : memory_grow(disk->writes, capacity * sizeof *writes);
        if (writes == NULL)
            sim_fail(node->sim, "too many writes wait for a sync");
        disk->writes = writes;
        disk->write_capacity = capacity;
    }
    disk->writes[disk->write_count++] = *write;
}

static enum err append(void *self, uint64_t first_index, const struct raft_entry *entries, uint32_t count)
{
    struct sim_node *node = self;
    for (uint32_t i = 0; i < count; i++) {
        struct sim_write write = {.kind = SIM_WRITE_ENTRY, .index = first_index + i};
        ASSERT(entries[i].data.count <= SIM_DATA_MAX);
        write.entry.term = entries[i].term;
        write.entry.kind = (uint16_t)entries[i].kind;
        write.entry.data_bytes = (uint16_t)entries[i].data.count;
        if (entries[i].data.count > 0)
            memcpy(write.entry.data, entries[i].data.data, entries[i].data.count);
        log_put(node->sim, &node->disk.current, write.index, &write.entry);
        add_write(node, &write);
    }
    return ERR_OK;
}

static enum err set_hard_state(void *self, const struct raft_hard_state *hard_state)
{
    struct sim_write write = {.kind = SIM_WRITE_HARD_STATE, .hard_state = *hard_state};
    add_write(self, &write);
    return ERR_OK;
}

static void begin_sync(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct sim_disk *disk = &node->disk;
    disk->sync_seq = disk->wanted_seq;
    disk->wanted_seq = 0;
    disk->sync_writes = disk->writes_before + disk->write_count;
    uint64_t sync_us = sim_about(sim, sim->weather.sync_us);
    if (sim_fault_on(sim, SIM_FAULT_SLOW_DISK) && sim_chance(sim, sim->weather.slow_sync_percent))
        sync_us += sim_about(sim, 200000);
    sim_after(node, SIM_EVENT_SYNCED, sync_us);
}

/* One in flight; who comes meanwhile joins the next. */
static void sync(void *self, uint64_t persist_seq)
{
    struct sim_node *node = self;
    node->disk.wanted_seq = persist_seq;
    if (node->disk.sync_seq == 0)
        begin_sync(node);
}

static void make_durable(struct sim_node *node, uint32_t count)
{
    struct sim_disk *disk = &node->disk;
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_write *write = &disk->writes[i];
        if (write->kind == SIM_WRITE_HARD_STATE)
            disk->hard_state = write->hard_state;
        else if (write->index >= disk->durable.first)
            log_put(node->sim, &disk->durable, write->index, &write->entry);
    }
    disk->write_count -= count;
    disk->writes_before += count;
    if (disk->write_count > 0)
        memmove(disk->writes, disk->writes + count, disk->write_count * sizeof *disk->writes);
}

uint64_t sim_disk_synced(struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    uint64_t seq = disk->sync_seq;
    if (disk->sync_writes > disk->writes_before)
        make_durable(node, (uint32_t)(disk->sync_writes - disk->writes_before));
    disk->sync_seq = 0;
    if (disk->wanted_seq != 0)
        begin_sync(node);
    return seq;
}

static uint32_t read_entries(void *self, uint64_t first_index, uint32_t count, struct raft_entry *entries)
{
    struct sim_node *node = self;
    struct sim *sim = node->sim;
    if (sim_fault_on(sim, SIM_FAULT_UNREADABLE) && sim_chance(sim, 2)) {
        sim_after(node, SIM_EVENT_READABLE, sim_about(sim, 2000));
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_entry *entry = sim_log_entry(&node->disk.current, first_index + i);
        if (entry != NULL)
            entries[i] = (struct raft_entry){.term = entry->term,
                                             .kind = (enum raft_entry_kind)entry->kind,
                                             .data = bytes_of(entry->data, entry->data_bytes)};
        else
            sim_fail(sim, "node %u: entry %llu is wanted, the log has %llu to %llu", node->slot,
                     (unsigned long long)(first_index + i), (unsigned long long)node->disk.current.first,
                     (unsigned long long)node->disk.current.last);
    }
    return count;
}

static enum err chunk_write(void *self, const struct raft_chunk *chunk)
{
    struct sim_node *node = self;
    struct sim_snapshot *incoming = &node->disk.incoming;
    if (chunk->offset_bytes + chunk->count_bytes > SIM_SNAPSHOT_BYTES)
        sim_fail(node->sim, "a chunk is beyond its snapshot");
    if (chunk->offset_bytes == 0)
        *incoming = (struct sim_snapshot){.about = *chunk->snapshot};
    if (incoming->about.index != chunk->snapshot->index)
        sim_fail(node->sim, "a chunk of another snapshot");
    memcpy(incoming->bytes + chunk->offset_bytes, chunk->data, chunk->count_bytes);
    return ERR_OK;
}

static struct sim_snapshot *snapshot_find(struct sim_disk *disk, uint64_t index)
{
    for (unsigned i = 0; i < SIM_SNAPSHOTS; i++) {
        if (disk->snapshots[i].about.index == index)
            return &disk->snapshots[i];
    }
    return NULL;
}

const struct sim_snapshot *sim_disk_newest(const struct sim_disk *disk)
{
    const struct sim_snapshot *newest = &disk->snapshots[0];
    for (unsigned i = 1; i < SIM_SNAPSHOTS; i++) {
        if (disk->snapshots[i].about.index > newest->about.index)
            newest = &disk->snapshots[i];
    }
    return newest;
}

static const uint8_t *chunk_read(void *self, uint64_t snapshot_index, uint64_t offset_bytes,
                                 uint32_t count_bytes)
{
    struct sim_node *node = self;
    const struct sim_snapshot *snapshot = snapshot_find(&node->disk, snapshot_index);
    if (snapshot != NULL && snapshot_index != 0 && offset_bytes + count_bytes <= snapshot->about.size_bytes)
        return snapshot->bytes + offset_bytes;
    sim_fail(node->sim, "node %u: snapshot %llu is wanted and not there", node->slot,
             (unsigned long long)snapshot_index);
}

static void install(void *self, const struct raft_snapshot *snapshot)
{
    struct sim_node *node = self;
    ASSERT(node->disk.incoming.about.index == snapshot->index);
    node->disk.installing = true;
    sim_after(node, SIM_EVENT_INSTALLED, sim_about(node->sim, 5000));
}

static void snapshot_keep(struct sim_node *node, const struct sim_snapshot *snapshot)
{
    struct sim_snapshot *place = snapshot_find(&node->disk, 0);
    if (place != NULL)
        *place = *snapshot;
    else
        sim_fail(node->sim, "node %u keeps too many snapshots", node->slot);
}

void sim_disk_snapshot_taken(struct sim_node *node)
{
    snapshot_keep(node, &node->disk.taking);
    node->disk.taking = (struct sim_snapshot){0};
}

void sim_disk_reset_log(struct sim_node *node, uint64_t index, uint64_t term)
{
    log_reset(&node->disk.current, index, term);
    log_reset(&node->disk.durable, index, term);
}

static void forget_snapshots(struct sim_disk *disk, uint64_t below)
{
    for (unsigned i = 0; i < SIM_SNAPSHOTS; i++) {
        if (disk->snapshots[i].about.index < below)
            disk->snapshots[i] = (struct sim_snapshot){0};
    }
}

void sim_disk_installed(struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    make_durable(node, disk->write_count);
    forget_snapshots(disk, disk->incoming.about.index);
    snapshot_keep(node, &disk->incoming);
    sim_disk_reset_log(node, disk->incoming.about.index, disk->incoming.about.term);
    disk->installing = false;
}

static void trim(void *self, uint64_t log_first, uint64_t snapshot_newest, uint64_t snapshot_sent)
{
    struct sim_node *node = self;
    struct sim_disk *disk = &node->disk;
    if (disk->installing)
        return;
    log_trim(&disk->current, log_first);
    /* What is not durable yet cannot be trimmed there. */
    if (log_first <= disk->durable.last + 1)
        log_trim(&disk->durable, log_first);
    for (unsigned i = 0; i < SIM_SNAPSHOTS; i++) {
        uint64_t index = disk->snapshots[i].about.index;
        if (index != snapshot_newest && index != snapshot_sent)
            disk->snapshots[i] = (struct sim_snapshot){0};
    }
}

struct raft_storage sim_storage(struct sim_node *node)
{
    return (struct raft_storage){
        .self = node,
        .append = append,
        .set_hard_state = set_hard_state,
        .sync = sync,
        .read = read_entries,
        .chunk_write = chunk_write,
        .chunk_read = chunk_read,
        .install = install,
        .trim = trim,
    };
}

void sim_disk_open(struct sim *sim, struct sim_disk *disk)
{
    disk->current.entries = memory_new(SIM_LOG_MAX * sizeof(struct sim_entry));
    disk->durable.entries = memory_new(SIM_LOG_MAX * sizeof(struct sim_entry));
    if (disk->current.entries == NULL || disk->durable.entries == NULL)
        sim_fail(sim, "out of memory");
    sim_disk_wipe(disk);
}

void sim_disk_close(struct sim_disk *disk)
{
    memory_free(disk->current.entries);
    memory_free(disk->durable.entries);
    memory_free(disk->writes);
    *disk = (struct sim_disk){0};
}

void sim_disk_wipe(struct sim_disk *disk)
{
    log_reset(&disk->current, 0, 0);
    log_reset(&disk->durable, 0, 0);
    memset(disk->snapshots, 0, sizeof disk->snapshots);
    disk->hard_state = (struct raft_hard_state){0};
    disk->taking = disk->incoming = (struct sim_snapshot){0};
    disk->write_count = 0;
    disk->sync_seq = disk->wanted_seq = 0;
    disk->installing = false;
}

/* Power fails, or only the process: all, nothing or some of the unsynced writes are found again. */
void sim_disk_crash(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct sim_disk *disk = &node->disk;
    uint32_t kept = 0;
    if (sim_chance(sim, 30))
        kept = disk->write_count;
    else if (sim_chance(sim, 60))
        kept = random_below(&sim->random, disk->write_count + 1);
    sim->result->counts.torn += kept < disk->write_count;
    make_durable(node, kept);
    disk->writes_before += disk->write_count;
    disk->write_count = 0;
    if (disk->installing && sim_chance(sim, 60)) { /* the snapshot was there, the log perhaps not yet reset */
        bool reset = sim_chance(sim, 50);
        forget_snapshots(disk, disk->incoming.about.index);
        snapshot_keep(node, &disk->incoming);
        if (reset)
            log_reset(&disk->durable, disk->incoming.about.index, disk->incoming.about.term);
    }
    disk->taking = disk->incoming = (struct sim_snapshot){0};
    disk->installing = false;
    disk->sync_seq = disk->wanted_seq = 0;
    log_copy(&disk->current, &disk->durable);
}
