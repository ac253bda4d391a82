/* store/wal_read.c - reading records back, through the append buffer and a cache of fixed size; and the walk
 * through the oldest segment for cleaning. See wal.h. */
#include "core/base/check.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "store/wal.h"
#include "store/wal_inside.h"

#include <errno.h>

enum { WINDOW_WAYS = 4 };

enum err wal_read_file(struct wal *wal, struct wal_segment *segment, uint32_t offset, uint8_t *into,
                       uint32_t bytes, uint32_t *got)
{
    const struct store_files *files = &wal->options.files;
    *got = 0;
    enum err err = wal_segment_open(wal, segment);
    if (err != ERR_OK)
        return err;
    while (*got < bytes) {
        int64_t result =
            files->calls->read(files->host, segment->file, into + *got, bytes - *got, offset + *got);
        if (result == -EINTR)
            continue;
        if (result == 0)
            break;
        if (result < 0) {
            wal_say(wal, "unable to read %s at offset %u: %s", wal_segment_name(segment->number).text,
                    offset + *got, errno_text((int)-result).text);
            return ERR_SYSTEM;
        }
        *got += (uint32_t)result;
    }
    return ERR_OK;
}

void wal_windows_forget(struct wal *wal, uint32_t segment)
{
    for (uint32_t i = 0; i < wal->window_count; i++) {
        struct wal_window *window = &wal->windows[i];
        if (window->number != 0 && position_segment((window->number - 1) * WAL_WINDOW_BYTES) == segment)
            window->number = 0;
    }
}

/* Up to which offset the segment's file holds what was appended. */
static uint32_t written_offset(const struct wal *wal, const struct wal_segment *segment)
{
    if (segment->number > position_segment(wal->written))
        return 0;
    return segment->number < position_segment(wal->written) ? segment->end : position_offset(wal->written);
}

/* Where the set of a window begins. */
static uint64_t window_set(const struct wal *wal, uint64_t number)
{
    return (number * 0x9e3779b97f4a7c15ULL >> 32) % (wal->window_count / WINDOW_WAYS) * WINDOW_WAYS;
}

/* The place for a window: where it is, or the one of its set that was not used for the longest time. */
static struct wal_window *window_place(struct wal *wal, uint64_t number)
{
    struct wal_window *set = &wal->windows[window_set(wal, number)];
    struct wal_window *place = &set[0];
    for (uint32_t i = 0; i < WINDOW_WAYS; i++) {
        if (set[i].number == number)
            return &set[i];
        if (set[i].used_at < place->used_at)
            place = &set[i];
    }
    place->number = number;
    place->valid = 0;
    return place;
}

/* Bytes of the segment's file from `offset` on, as many as lie in one window and are written. */
static enum err window_read(struct wal *wal, struct wal_segment *segment, uint32_t offset,
                            struct bytes *bytes)
{
    uint32_t start = offset - offset % WAL_WINDOW_BYTES;
    uint32_t end = written_offset(wal, segment);
    uint32_t wanted = end - start < WAL_WINDOW_BYTES ? end - start : WAL_WINDOW_BYTES;
    struct wal_window *window =
        window_place(wal, WAL_POSITION(segment->number, start) / WAL_WINDOW_BYTES + 1);
    window->used_at = ++wal->descriptor_uses;
    if (window->bytes == NULL && (window->bytes = memory_new(WAL_WINDOW_BYTES)) == NULL) {
        window->number = 0;
        return ERR_MEMORY;
    }
    if (window->valid < wanted) {
        uint32_t got = 0;
        enum err err = wal_read_file(wal, segment, start + window->valid, window->bytes + window->valid,
                                     wanted - window->valid, &got);
        if (err != ERR_OK)
            return err;
        window->valid += got;
    }
    uint32_t skip = offset - start;
    *bytes = window->valid <= skip ? (struct bytes){0} : bytes_of(window->bytes + skip, window->valid - skip);
    return ERR_OK;
}

static enum err scratch_grow(struct wal *wal, size_t bytes)
{
    if (wal->scratch_capacity >= bytes)
        return ERR_OK;
    size_t capacity = (bytes + 65535) & ~(size_t)65535;
    uint8_t *scratch = memory_grow(wal->scratch, capacity);
    if (scratch == NULL)
        return ERR_MEMORY;
    wal->scratch = scratch;
    wal->scratch_capacity = capacity;
    return ERR_OK;
}

/* Whether this goes on, or nearly so, where somebody read before. In a channel among a hundred others each
 * message is far from the last one: a window for each would be read for nothing. */
static bool reads_on(const struct wal *wal, uint64_t position)
{
    for (uint32_t i = 0; i < WAL_RECENT_READS; i++) {
        if (position - wal->recent_ends[i] < WAL_PIECE_BYTES)
            return true;
    }
    return false;
}

/* Whether the window is in the cache, up to this position at least. */
static bool window_here(const struct wal *wal, uint64_t position)
{
    uint64_t number = position / WAL_WINDOW_BYTES + 1;
    const struct wal_window *set = &wal->windows[window_set(wal, number)];
    for (uint32_t i = 0; i < WINDOW_WAYS; i++) {
        if (set[i].number == number && set[i].valid > position % WAL_WINDOW_BYTES)
            return true;
    }
    return false;
}

/* A few bytes of the segment's file, past the cache. */
static enum err piece_read(struct wal *wal, struct wal_segment *segment, uint32_t offset, struct bytes *bytes)
{
    uint32_t left = written_offset(wal, segment) - offset, got = 0;
    enum err err = scratch_grow(wal, WAL_PIECE_BYTES);
    if (err == ERR_OK)
        err = wal_read_file(wal, segment, offset, wal->scratch,
                            left < WAL_PIECE_BYTES ? left : WAL_PIECE_BYTES, &got);
    *bytes = bytes_of(wal->scratch, got);
    return err;
}

static enum err damaged(struct wal *wal, const struct wal_segment *segment, uint32_t offset)
{
    wal_say(wal, "damaged record in %s at offset %u: its checksum or position is wrong",
            wal_segment_name(segment->number).text, offset);
    return ERR_DAMAGED;
}

/* The record when it is still in memory; false: it is not. */
static bool read_block(const struct wal *wal, uint64_t position, struct record *record,
                       enum record_result *result)
{
    if (wal->blocks == NULL || position < wal->blocks->position)
        return false;
    const struct wal_segment *segment = wal_segment_find(wal, position_segment(position));
    const struct wal_block *found = NULL;
    for (const struct wal_block *block = wal->blocks; block != NULL && block->position <= position;
         block = block->next)
        found = block;
    if (found == NULL || position >= found->position + found->used)
        return false;
    size_t skip = (size_t)(position - found->position);
    uint32_t size = 0;
    *result = record_decode(found->bytes + skip, found->used - skip, position, segment->salt, record, &size);
    return true;
}

enum err wal_read(struct wal *wal, uint64_t position, struct record *record)
{
    struct wal_segment *segment = wal_segment_find(wal, position_segment(position));
    uint32_t offset = position_offset(position);
    ASSERT(segment != NULL && offset >= SEGMENT_HEADER_BYTES);
    enum record_result result = RECORD_BAD;
    if (read_block(wal, position, record, &result))
        return result == RECORD_VALID ? ERR_OK : damaged(wal, segment, offset);
    if (offset >= written_offset(wal, segment))
        return damaged(wal, segment, offset);

    struct bytes bytes;
    enum err err = reads_on(wal, position) || window_here(wal, position)
                       ? window_read(wal, segment, offset, &bytes)
                       : piece_read(wal, segment, offset, &bytes);
    if (err != ERR_OK)
        return err;
    uint32_t size = 0;
    result = record_decode(bytes.data, bytes.count, position, segment->salt, record, &size);
    /* It is not all there: read as a whole, after its header if that is torn. */
    while (result == RECORD_SHORT) {
        uint32_t wanted = size, got = 0;
        if (wanted > segment->capacity - offset)
            return damaged(wal, segment, offset);
        err = scratch_grow(wal, wanted);
        if (err == ERR_OK)
            err = wal_read_file(wal, segment, offset, wal->scratch, wanted, &got);
        if (err != ERR_OK)
            return err;
        result = got < wanted ? RECORD_BAD
                              : record_decode(wal->scratch, got, position, segment->salt, record, &size);
    }
    wal->recent_ends[wal->recent_next++ % WAL_RECENT_READS] = position + size;
    return result == RECORD_VALID ? ERR_OK : damaged(wal, segment, offset);
}

/* ---- space ---- */

static uint64_t record_cost(size_t payload_bytes)
{
    return record_size(payload_bytes) + (uint64_t)WAL_ENTRY_BYTES;
}

void wal_live(struct wal *wal, uint64_t position, size_t payload_bytes)
{
    struct wal_segment *segment = wal_segment_find(wal, position_segment(position));
    ASSERT(segment != NULL);
    segment->live_bytes += record_cost(payload_bytes);
}

void wal_dead(struct wal *wal, uint64_t position, size_t payload_bytes)
{
    struct wal_segment *segment = wal_segment_find(wal, position_segment(position));
    ASSERT(segment != NULL && segment->live_bytes >= record_cost(payload_bytes));
    segment->live_bytes -= record_cost(payload_bytes);
}

uint64_t wal_oldest_live_bytes(const struct wal *wal)
{
    return wal->segment_count == 0 ? 0 : wal->segments[0].live_bytes;
}

bool wal_cleaning_wanted(const struct wal *wal, uint32_t garbage_percent)
{
    /* The oldest must be whole on disk, and not be about to go already. */
    if (wal->active == 0 || wal->retire_end != 0 || wal->clean_broken || wal->failed ||
        wal->segments[0].number >= position_segment(wal->synced))
        return false;
    if (wal->segments[0].live_bytes == 0 || wal->clean_offset != 0)
        return true;
    uint64_t used = 0, live = 0;
    for (uint32_t i = 0; i <= wal->active; i++) {
        used += wal->segments[i].end;
        live += wal_segment_live_bytes(&wal->segments[i]);
    }
    return live < used && (used - live) * 100 > used * garbage_percent;
}

enum err wal_clean_next(struct wal *wal, struct record *record)
{
    const struct wal_segment *segment = &wal->segments[0];
    ASSERT(wal->active > 0);
    if (segment->live_bytes == 0)
        return ERR_NOT_FOUND;
    if (wal->clean_offset == 0)
        wal->clean_offset = SEGMENT_HEADER_BYTES;
    if (wal->clean_offset >= segment->end) {
        wal->clean_offset = 0; /* some could not be moved: once more, later */
        return ERR_NOT_FOUND;
    }
    enum err err = wal_read(wal, WAL_POSITION(segment->number, wal->clean_offset), record);
    if (err != ERR_OK) {
        if (err != ERR_MEMORY)
            wal_clean_give_up(wal);
        return err;
    }
    wal->clean_offset += record_size(record->payload.count);
    return ERR_OK;
}

void wal_clean_give_up(struct wal *wal)
{
    wal->clean_broken = true;
}

enum err wal_retire(struct wal *wal)
{
    ASSERT(wal->active > 0 && wal->segments[0].live_bytes == 0 && wal->retire_end == 0);
    uint8_t number[4];
    put_u32(number, wal->segments[0].number + 1);
    uint64_t position = 0;
    enum err err =
        wal_append(wal, WAL_NEEDED, RECORD_RETIRED, 0, bytes_of(number, sizeof number), TEXT(""), &position);
    if (err != ERR_OK)
        return err;
    wal->retired = wal->segments[0].number + 1;
    wal->retire_end = wal->end;
    wal->sync_wanted = true;
    return ERR_OK;
}
