/* store/wal.c - appending to the log, and its beginning and end. See wal.h. */
#include "store/wal.h"

#include "core/base/check.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "store/wal_inside.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static enum err rotate(struct wal *wal, uint32_t size);

void wal_say(struct wal *wal, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(wal->why, sizeof wal->why, format, arguments);
    va_end(arguments);
}

static void blocks_free(struct wal_block *block)
{
    for (struct wal_block *next = NULL; block != NULL; block = next) {
        next = block->next;
        memory_free(block);
    }
}

static void wal_free(struct wal *wal)
{
    blocks_free(wal->blocks);
    blocks_free(wal->spare_blocks);
    for (uint32_t i = 0; i < wal->segment_count; i++) {
        if (wal->segments[i].file >= 0)
            wal->options.files.calls->close(wal->options.files.host, wal->segments[i].file);
    }
    if (wal->chore.step > WAL_STEP_OPEN && wal->chore.step <= WAL_STEP_MADE)
        wal->options.files.calls->close(wal->options.files.host, wal->chore.file);
    for (uint32_t i = 0; wal->windows != NULL && i < wal->window_count; i++)
        memory_free(wal->windows[i].bytes);
    memory_free(wal->windows);
    memory_free(wal->segments);
    memory_free(wal->entries);
    memory_free(wal->index_offsets);
    memory_free(wal->scratch);
    memory_free(wal);
}

static enum err lock(struct wal *wal)
{
    int64_t owner = 0;
    int result = wal->options.files.calls->lock(wal->options.files.host, &owner);
    if (result == 0)
        return ERR_OK;
    if (result == -EBUSY) {
        if (owner > 0)
            wal_say(wal, "the store is in use by process %lld", (long long)owner);
        else
            wal_say(wal, "the store is in use by another process");
        return ERR_EXISTS;
    }
    wal_say(wal, "unable to lock the store: %s", errno_text(-result).text);
    return ERR_SYSTEM;
}

/* Giving up what is damaged twice running would hide that it happens: the first time leaves a witness, a
 * start without the option takes it away. */
static enum err witness(struct wal *wal)
{
    static const char name[] = "cut-witness";
    const struct store_files *files = &wal->options.files;
    if (!wal->options.cut_damaged_tail) {
        int result = files->calls->remove(files->host, name);
        if (result == 0 || result == -ENOENT)
            return ERR_OK;
        wal_say(wal, "unable to remove %s: %s", name, errno_text(-result).text);
        return ERR_SYSTEM;
    }
    int file = files->calls->open(files->host, name, STORE_OPEN_CREATE);
    if (file >= 0) {
        files->calls->close(files->host, file);
        return ERR_OK;
    }
    if (file == -EEXIST) {
        wal_say(wal, "file store should not be opened consecutively with the TruncateUnexpectedEOF option "
                     "set to true");
        return ERR_INVALID;
    }
    wal_say(wal, "unable to create %s: %s", name, errno_text(-file).text);
    return ERR_SYSTEM;
}

static enum err wal_setup(struct wal *wal, const struct wal_options *options)
{
    wal->options = *options;
    struct wal_options *o = &wal->options;
    if (o->segment_bytes == 0)
        o->segment_bytes = WAL_SEGMENT_BYTES_DEFAULT;
    if (o->segment_bytes < WAL_SEGMENT_BYTES_MIN)
        o->segment_bytes = WAL_SEGMENT_BYTES_MIN;
    o->segment_bytes &= ~7U;
    if (o->buffer_bytes_max == 0)
        o->buffer_bytes_max = WAL_BUFFER_BYTES_DEFAULT;
    if (o->cache_bytes == 0)
        o->cache_bytes = WAL_CACHE_BYTES_DEFAULT;
    wal->window_count = o->cache_bytes / WAL_WINDOW_BYTES < 4 ? 4 : o->cache_bytes / WAL_WINDOW_BYTES & ~3U;
    wal->windows = memory_new(wal->window_count * sizeof wal->windows[0]);
    wal->entries = memory_new((size_t)WAL_INDEX_ENTRIES_MAX * WAL_ENTRY_BYTES);
    return wal->windows == NULL || wal->entries == NULL ? ERR_MEMORY : ERR_OK;
}

enum err wal_open(struct wal **out, const struct wal_options *options, const struct wal_visitor *visitor,
                  char *why, size_t why_bytes)
{
    *out = NULL;
    struct wal *wal = memory_new(sizeof *wal);
    if (wal == NULL) {
        (void)snprintf(why, why_bytes, "out of memory");
        return ERR_MEMORY;
    }
    bool locked = false;
    enum err err = wal_setup(wal, options);
    if (err == ERR_OK && !options->read_only) {
        err = lock(wal);
        locked = err == ERR_OK;
        err = locked ? witness(wal) : err;
    }
    *out = wal; /* visitors account for what lives */
    if (err == ERR_OK)
        err = wal_recover(wal, visitor);
    if (err == ERR_OK)
        return ERR_OK;
    *out = NULL;
    (void)snprintf(why, why_bytes, "%s", wal->why[0] != 0 ? wal->why : err_text(err));
    if (locked)
        options->files.calls->unlock(options->files.host);
    wal_free(wal);
    return err;
}

void wal_abandon(struct wal *wal)
{
    if (wal == NULL)
        return;
    if (!wal->options.read_only)
        wal->options.files.calls->unlock(wal->options.files.host);
    wal_free(wal);
}

enum err wal_close(struct wal *wal)
{
    if (wal == NULL)
        return ERR_OK;
    ASSERT(!wal->io_busy);
    enum err err = ERR_OK;
    if (!wal->options.read_only) {
        err = wal_flush(wal, wal->last_tick_ns);
        /* The mark makes later damage to what is synced now recognizable. It need not be safe itself. */
        uint64_t position = 0;
        if (err == ERR_OK && wal->claimed < wal->last_record_end &&
            wal_append(wal, WAL_NEEDED, RECORD_MARK, 0, TEXT(""), TEXT(""), &position) == ERR_OK)
            err = wal_flush(wal, wal->last_tick_ns);
        wal_chores_finish(wal, wal->last_tick_ns);
        wal->options.files.calls->unlock(wal->options.files.host);
    }
    wal_free(wal);
    return err;
}

/* ---- appending ---- */

static bool has_entry(enum record_type type)
{
    return type != RECORD_INDEX && type != RECORD_SEAL && type != RECORD_MARK;
}

/* What index and seal would take, if `entries` waited and the segment ended now. */
static uint64_t closing_bytes(const struct wal *wal, uint32_t entries)
{
    uint32_t indexes = wal->index_count + (entries > 0 ? 1 : 0);
    uint64_t bytes = record_size(12 + 4 * (size_t)indexes);
    if (entries > 0)
        bytes += record_size((size_t)entries * WAL_ENTRY_BYTES);
    return bytes;
}

/* What a record of this size takes, all considered. */
static uint64_t needed_bytes(const struct wal *wal, uint32_t size)
{
    if (wal->entry_count < WAL_INDEX_ENTRIES_MAX)
        return size + closing_bytes(wal, wal->entry_count + 1);
    return size + record_size((size_t)WAL_INDEX_ENTRIES_MAX * WAL_ENTRY_BYTES) + closing_bytes(wal, 1) + 8;
}

/* One that is not in the list yet; with whatever it held before. */
static struct wal_block *block_new(struct wal *wal, uint32_t capacity)
{
    struct wal_block *block = wal->spare_blocks;
    if (block != NULL && capacity == WAL_BLOCK_BYTES) {
        wal->spare_blocks = block->next;
        wal->spare_block_count--;
    } else {
        block = memory_new(sizeof *block + capacity);
    }
    if (block != NULL)
        *block = (struct wal_block){.position = wal->end, .capacity = capacity};
    return block;
}

static void block_leave(struct wal *wal, struct wal_block *block)
{
    if (block->capacity != WAL_BLOCK_BYTES || wal->spare_block_count == WAL_SPARE_BLOCKS_MAX) {
        memory_free(block);
        return;
    }
    block->next = wal->spare_blocks;
    wal->spare_blocks = block;
    wal->spare_block_count++;
}

static struct wal_block *block_for(struct wal *wal, uint32_t size)
{
    struct wal_block *block = wal->last_block;
    if (block != NULL && block->position + block->used == wal->end && block->capacity - block->used >= size)
        return block;
    block = block_new(wal, size > WAL_BLOCK_BYTES ? size : WAL_BLOCK_BYTES);
    if (block == NULL)
        return NULL;
    if (wal->last_block == NULL)
        wal->blocks = block;
    else
        wal->last_block->next = block;
    wal->last_block = block;
    wal->block_bytes += block->capacity;
    return block;
}

void wal_blocks_trim(struct wal *wal)
{
    while (wal->blocks != NULL && wal->blocks != wal->last_block && wal->block_bytes > WAL_RETAINED_BYTES &&
           wal->blocks->position + wal->blocks->used <= wal->written) {
        struct wal_block *block = wal->blocks;
        wal->blocks = block->next;
        wal->block_bytes -= block->capacity;
        block_leave(wal, block);
    }
}

bool wal_entry_encode(uint8_t to[WAL_ENTRY_BYTES], const struct record *record, struct bytes fields)
{
    struct record_shared shared = {.offset = position_offset(record->position),
                                   .data_bytes = (uint32_t)record->payload.count};
    struct record_message *message = &shared.message;
    if (record->type == RECORD_MESSAGE) {
        if (!record_message_decode(fields, message))
            return false;
        shared.data_bytes -= RECORD_MESSAGE_FIELDS_BYTES;
    } else if (record->type == RECORD_SHARED && !record_shared_decode(fields, &shared)) {
        return false;
    }
    uint64_t span = message->sequence - message->first_sequence;
    if (span > UINT32_MAX) /* says less than it could: recovery takes the message's first for unknown */
        span = UINT32_MAX;
    put_u32(to, record->channel);
    put_u32(to + 4, shared.offset);
    put_u64(to + 8, message->sequence);
    put_u64(to + 16, (uint64_t)message->timestamp_ns);
    put_u32(to + 24, shared.data_bytes << 4 | (uint32_t)record->type);
    put_u32(to + 28, (uint32_t)span);
    return true;
}

enum err wal_append_here(struct wal *wal, enum record_type type, uint32_t channel, struct bytes first,
                         struct bytes second, uint64_t *position)
{
    struct wal_segment *segment = &wal->segments[wal->active];
    uint32_t size = record_size(first.count + second.count);
    ASSERT(size <= segment->capacity - segment->end);
    struct wal_block *block = block_for(wal, size);
    if (block == NULL)
        return ERR_MEMORY;
    struct record record = {
        .position = wal->end,
        .synced = wal->synced,
        .type = type,
        .channel = channel,
        .payload = {NULL, first.count + second.count},
    };
    record_encode(block->bytes + block->used, &record, first, second, segment->salt);
    if (has_entry(type)) {
        ASSERT(wal->entry_count < WAL_INDEX_ENTRIES_MAX);
        bool encoded =
            wal_entry_encode(wal->entries + (size_t)wal->entry_count * WAL_ENTRY_BYTES, &record, first);
        ASSERT(encoded);
        wal->entry_count++;
    }
    block->used += size;
    segment->end += size;
    wal->end += size;
    wal->claimed = record.synced;
    if (type != RECORD_MARK)
        wal->last_record_end = wal->end;
    *position = record.position;
    return ERR_OK;
}

enum err wal_index_offset_add(struct wal *wal, uint32_t offset)
{
    if (wal->index_count == wal->index_capacity) {
        uint32_t capacity = wal->index_capacity == 0 ? 64 : wal->index_capacity * 2;
        uint32_t *offsets = memory_grow(wal->index_offsets, capacity * sizeof offsets[0]);
        if (offsets == NULL)
            return ERR_MEMORY;
        wal->index_offsets = offsets;
        wal->index_capacity = capacity;
    }
    wal->index_offsets[wal->index_count++] = offset;
    return ERR_OK;
}

/* Writes the entries that wait as an index record. */
static enum err index_write(struct wal *wal)
{
    uint64_t position = 0;
    enum err err = wal_index_offset_add(wal, position_offset(wal->end));
    if (err != ERR_OK)
        return err;
    err = wal_append_here(wal, RECORD_INDEX, 0,
                          bytes_of(wal->entries, (size_t)wal->entry_count * WAL_ENTRY_BYTES), TEXT(""),
                          &position);
    if (err == ERR_OK)
        wal->entry_count = 0;
    else
        wal->index_count--;
    return err;
}

/* Fills the segment to its last byte with a seal: the offsets of its indexes, zeros, the seal's own position.
 */
static enum err seal_write(struct wal *wal)
{
    const struct wal_segment *segment = &wal->segments[wal->active];
    uint32_t payload = segment->capacity - segment->end - RECORD_HEADER_BYTES;
    ASSERT(payload >= 12 + 4 * (size_t)wal->index_count && payload % 8 == 0);
    uint8_t *bytes = memory_new(payload);
    if (bytes == NULL)
        return ERR_MEMORY;
    put_u32(bytes, wal->index_count);
    for (uint32_t i = 0; i < wal->index_count; i++)
        put_u32(bytes + 4 + 4 * (size_t)i, wal->index_offsets[i]);
    put_u64(bytes + payload - 8, wal->end);
    uint64_t position = 0;
    enum err err = wal_append_here(wal, RECORD_SEAL, 0, bytes_of(bytes, payload), TEXT(""), &position);
    memory_free(bytes);
    return err;
}

/* One that is needed at once: its file is there, or announced. */
static enum err segment_begin(struct wal *wal, uint32_t capacity)
{
    if (!wal_chores_outside(wal) || capacity != wal->options.segment_bytes)
        return wal_segment_make(wal, capacity);
    return wal->disk_full || wal_segment_making(wal) != NULL ? ERR_FULL : wal_segment_announce(wal);
}

/* Ends the segment and goes on in the next, where a record of `size` bytes fits. */
static enum err rotate(struct wal *wal, uint32_t size)
{
    uint64_t wanted =
        SEGMENT_HEADER_BYTES + (uint64_t)size + record_size(WAL_ENTRY_BYTES) + record_size(24) + 8;
    uint32_t capacity = wal->options.segment_bytes;
    if (wanted > capacity)
        capacity = (uint32_t)((wanted + 4095) & ~4095ULL);
    enum err err = ERR_OK;
    if (wal_segment_prepared(wal) && wal->segments[wal->active + 1].capacity < wanted)
        err = wal_segment_unmake(wal);
    if (err == ERR_OK && !wal_segment_prepared(wal))
        err = segment_begin(wal, capacity);
    if (err == ERR_OK && wal->entry_count > 0)
        err = index_write(wal);
    if (err == ERR_OK)
        err = seal_write(wal);
    if (err != ERR_OK)
        return err;
    wal->active++;
    wal->end = WAL_POSITION(wal->segments[wal->active].number, SEGMENT_HEADER_BYTES);
    wal->last_record_end = wal->end;
    wal->index_count = 0;
    return ERR_OK;
}

/* Messages leave the end of the last segment to records that make room, unless there is a next one. */
static enum err bulk_room(struct wal *wal, uint64_t needed)
{
    const struct wal_segment *segment = &wal->segments[wal->active];
    uint32_t reserve = segment->capacity / 8 < WAL_RESERVE_BYTES ? segment->capacity / 8 : WAL_RESERVE_BYTES;
    if (wal_segment_prepared(wal) || needed + reserve <= segment->capacity - segment->end)
        return ERR_OK;
    return wal->disk_full ? ERR_FULL : segment_begin(wal, wal->options.segment_bytes);
}

enum err wal_append(struct wal *wal, enum wal_class class, enum record_type type, uint32_t channel,
                    struct bytes first, struct bytes second, uint64_t *position)
{
    ASSERT(!wal->options.read_only);
    if (wal->failed)
        return ERR_SYSTEM;
    if (first.count + second.count > RECORD_PAYLOAD_BYTES_MAX)
        return ERR_INVALID;
    if (class == WAL_BULK && wal->stalled)
        return ERR_FULL;
    uint32_t size = record_size(first.count + second.count);
    if (wal->end != wal->written &&
        wal->block_bytes + size > wal->options.buffer_bytes_max + WAL_RETAINED_BYTES)
        return ERR_FULL;
    uint64_t needed = needed_bytes(wal, size);
    enum err err = class == WAL_BULK ? bulk_room(wal, needed) : ERR_OK;
    const struct wal_segment *segment = &wal->segments[wal->active];
    if (err == ERR_OK && needed > segment->capacity - segment->end)
        err = rotate(wal, size);
    else if (err == ERR_OK && wal->entry_count == WAL_INDEX_ENTRIES_MAX)
        err = index_write(wal);
    if (err != ERR_OK)
        return err;
    return wal_append_here(wal, type, channel, first, second, position);
}

/* ---- questions ---- */

bool wal_would_share_segment(const struct wal *wal, uint64_t position, size_t payload_bytes)
{
    const struct wal_segment *segment = &wal->segments[wal->active];
    return position_segment(position) == segment->number &&
           needed_bytes(wal, record_size(payload_bytes)) <= segment->capacity - segment->end;
}

uint64_t wal_end(const struct wal *wal)
{
    return wal->end;
}

uint64_t wal_synced(const struct wal *wal)
{
    return wal->synced;
}

uint64_t wal_acknowledged(const struct wal *wal)
{
    if (wal->failed)
        return wal->acknowledged_at_failure;
    return wal->options.sync == WAL_SYNC_ALWAYS ? wal->synced : wal->written;
}

bool wal_failed(const struct wal *wal)
{
    return wal->failed;
}

bool wal_disk_full(const struct wal *wal)
{
    return wal->disk_full || wal->stalled;
}

const char *wal_why(const struct wal *wal)
{
    return wal->why;
}

struct wal_figures wal_figures(const struct wal *wal)
{
    struct wal_figures figures = {
        .syncs = wal->syncs,
        .writes = wal->writes,
        .retired_segments = wal->retired_segments,
        .segment_count = wal->segment_count,
        .memory_bytes = wal->block_bytes + (uint64_t)wal->spare_block_count * WAL_BLOCK_BYTES +
                        wal->scratch_capacity + WAL_INDEX_ENTRIES_MAX * WAL_ENTRY_BYTES,
    };
    for (uint32_t i = 0; i < wal->segment_count; i++) {
        figures.log_bytes += wal->segments[i].end;
        figures.live_bytes += wal_segment_live_bytes(&wal->segments[i]);
        figures.descriptor_count += wal->segments[i].file >= 0;
    }
    for (uint32_t i = 0; i < wal->window_count; i++)
        figures.memory_bytes += wal->windows[i].bytes != NULL ? WAL_WINDOW_BYTES : 0;
    return figures;
}
