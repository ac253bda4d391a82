/* store/wal_io.c - what is to be written, and what became of it; and the log's own timely work. See wal.h. */
#include "core/base/check.h"
#include "core/base/errno_text.h"
#include "store/wal.h"
#include "store/wal_inside.h"

#include <errno.h>

enum {
    FILL_BYTES = 256 * 1024,
    FILL_PART_BYTES = 16 * 1024,
    FILL_GROUP_BYTES_MAX = 64 * 1024,
};
_Static_assert(FILL_BYTES / FILL_PART_BYTES < WAL_IO_PARTS_MAX, "there are parts left for records");

/* The end of a full segment and the beginning of the next are the same place in the log. */
static uint64_t normal(const struct wal *wal, uint64_t position)
{
    const struct wal_segment *active = &wal->segments[wal->active];
    if (position_segment(position) == active->number)
        return position;
    const struct wal_segment *segment = wal_segment_find(wal, position_segment(position));
    if (segment == NULL || position_offset(position) < segment->capacity)
        return position;
    return WAL_POSITION(segment->number + 1, SEGMENT_HEADER_BYTES);
}

static bool sync_due(const struct wal *wal, int64_t now_ns)
{
    if (wal->sync_wanted || wal->options.sync == WAL_SYNC_ALWAYS)
        return true;
    /* A clock that was set back must not put syncs off. */
    return wal->options.sync == WAL_SYNC_INTERVAL &&
           (now_ns < wal->last_sync_ns || now_ns - wal->last_sync_ns >= wal->options.sync_interval_ns);
}

/* Gathers what is not written of one segment, in at most WAL_IO_PARTS_MAX parts. */
static void gather(struct wal *wal, struct store_io *io)
{
    uint64_t at = wal->written;
    for (const struct wal_block *block = wal->blocks; block != NULL; block = block->next) {
        if (block->position + block->used <= at || io->part_count == WAL_IO_PARTS_MAX)
            continue;
        if (position_segment(block->position) != position_segment(at))
            break;
        ASSERT(block->position <= at);
        size_t skip = (size_t)(at - block->position);
        union {
            const uint8_t *read;
            void *written;
        } cast = {.read = block->bytes + skip}; /* an iovec has no word for "only read" */
        wal->parts[io->part_count++] = (struct iovec){cast.written, block->used - skip};
        io->bytes += block->used - skip;
        at = block->position + block->used;
    }
    wal->io_end = at;
    wal->io_bytes = io->bytes;
}

/* A sync is quicker (0.09 instead of 0.14 ms were measured) where the file was written before and only
 * changes: the first write to reserved space makes the file system note that it is used. So a small group
 * that comes to such space brings zeros for the next ones along. Large groups have little to win, and would
 * write twice as much. */
static void fill_ahead(struct wal *wal, struct wal_segment *segment, struct store_io *io)
{
    static const uint8_t zeros[FILL_PART_BYTES] = {0};
    union {
        const uint8_t *read;
        void *written;
    } cast = {.read = zeros};
    uint32_t at = position_offset(wal->io_end);
    if (wal->options.sync != WAL_SYNC_ALWAYS || io->part_count == 0 || io->bytes > FILL_GROUP_BYTES_MAX ||
        at <= segment->filled)
        return;
    for (uint32_t left = segment->capacity - at, filled = 0;
         left > 0 && filled < FILL_BYTES && io->part_count < WAL_IO_PARTS_MAX; filled += FILL_PART_BYTES) {
        uint32_t count = left < FILL_PART_BYTES ? left : FILL_PART_BYTES;
        wal->parts[io->part_count++] = (struct iovec){cast.written, count};
        io->bytes += count;
        left -= count;
        at += count;
    }
    segment->filled = at;
}

/* What is to be written next goes to a file that is not there yet. */
static bool waits_for_file(const struct wal *wal)
{
    const struct wal_segment *making = wal_segment_making(wal);
    return making != NULL && making->number == position_segment(wal->written);
}

bool wal_io_begin(struct wal *wal, int64_t now_ns, struct store_io *io)
{
    if (wal->io_busy || wal->failed || wal->stalled || waits_for_file(wal))
        return false;
    struct wal_segment *segment = wal_segment_find(wal, position_segment(wal->written));
    ASSERT(segment != NULL && segment->file >= 0);
    *io = (struct store_io){.parts = wal->parts, .offset = position_offset(wal->written)};
    gather(wal, io);
    /* A segment is safe before anything of the next one is written: recovery counts on it. */
    bool ends = position_offset(wal->io_end) == segment->capacity;
    io->sync = wal->io_end > wal->synced && (ends || sync_due(wal, now_ns));
    if (io->part_count == 0 && !io->sync)
        return false;
    fill_ahead(wal, segment, io);
    io->through = io->sync && io->part_count > 0 && wal->synced == wal->written;
    io->file = segment->file;
    wal->io_total = io->bytes;
    wal->io_sync = io->sync;
    wal->io_busy = true;
    return true;
}

void wal_fail(struct wal *wal)
{
    wal->acknowledged_at_failure = wal_acknowledged(wal);
    wal->failed = true;
}

static void fail(struct wal *wal, const char *what, int64_t result)
{
    struct wal_name name = wal_segment_name(position_segment(wal->written));
    wal_fail(wal);
    wal_say(wal, "unable to %s %s at offset %u: %s; nothing is acknowledged any more", what, name.text,
            position_offset(wal->written), errno_text(result < 0 ? (int)-result : EIO).text);
}

static void synced_up_to(struct wal *wal, int64_t now_ns, uint64_t position)
{
    wal->synced = normal(wal, position);
    wal->last_sync_ns = now_ns;
    wal->syncs++;
    if (wal->synced == wal->end)
        wal->sync_wanted = false;
    if (wal->retire_end != 0 && wal->synced >= wal->retire_end && !wal_chores_outside(wal))
        wal_segment_drop_oldest(wal);
}

void wal_io_done(struct wal *wal, int64_t now_ns, int64_t written, int synced)
{
    ASSERT(wal->io_busy);
    wal->io_busy = false;
    bool again = written == -EINTR || written == -EAGAIN;
    if (again)
        return;
    if (written == -ENOSPC || written == -EDQUOT) {
        wal->stalled = true;
        wal->retry_ns = now_ns + WAL_RETRY_NS;
        struct wal_name name = wal_segment_name(position_segment(wal->written));
        wal_say(wal, "unable to write %s at offset %u: %s", name.text, position_offset(wal->written),
                errno_text((int)-written).text);
        return;
    }
    if (written < 0 || (written == 0 && wal->io_bytes > 0)) {
        fail(wal, "write", written);
        return;
    }
    ASSERT((uint64_t)written <= wal->io_total);
    if (wal->io_bytes > 0) {
        wal->writes++;
        /* Parts do not cross segments, so positions count on with the bytes. */
        wal->written =
            (uint64_t)written >= wal->io_bytes ? normal(wal, wal->io_end) : wal->written + (uint64_t)written;
        wal_blocks_trim(wal);
    }
    if (!wal->io_sync || (uint64_t)written < wal->io_total)
        return; /* the owner has not synced then; zeros that are missing come with a later write, or never */
    if (synced < 0)
        fail(wal, "sync", synced);
    else
        synced_up_to(wal, now_ns, wal->io_end);
}

enum err wal_flush(struct wal *wal, int64_t now_ns)
{
    const struct store_files *files = &wal->options.files;
    wal->sync_wanted = wal->synced < wal->end;
    wal->stalled = false;
    struct store_io io;
    for (;;) {
        if (waits_for_file(wal))
            wal_chores_finish(wal, now_ns);
        if (!wal_io_begin(wal, now_ns, &io))
            break;
        int64_t written = 0;
        if (io.part_count > 0)
            written = files->calls->write(files->host, io.file, io.parts, io.part_count, io.offset);
        int synced = 0;
        if (io.sync && written >= 0 && (uint64_t)written == io.bytes)
            synced = files->calls->sync(files->host, io.file);
        wal_io_done(wal, now_ns, written, synced);
    }
    if (wal->failed)
        return ERR_SYSTEM;
    return wal->synced == wal->end ? ERR_OK : ERR_FULL;
}

/* ---- timely work ---- */

/* Half of the segment is used: the next should be there before it is needed. */
static bool wants_segment(const struct wal *wal)
{
    const struct wal_segment *segment = &wal->segments[wal->active];
    return !wal_segment_prepared(wal) && wal_segment_making(wal) == NULL &&
           segment->end > segment->capacity / 2;
}

/* Everything is on disk, but no record says so yet. */
static bool wants_mark(const struct wal *wal)
{
    return !wal->failed && wal->claimed < wal->last_record_end && wal->synced >= wal->last_record_end;
}

void wal_tick(struct wal *wal, int64_t now_ns)
{
    if ((wal->stalled || wal->disk_full) && now_ns >= wal->retry_ns) {
        wal->retry_ns = now_ns + WAL_RETRY_NS;
        wal->stalled = false;
        wal->disk_full = false;
    }
    if (!wal->failed && !wal->disk_full && wants_segment(wal)) {
        enum err err = wal_chores_outside(wal) ? wal_segment_announce(wal)
                                               : wal_segment_make(wal, wal->options.segment_bytes);
        if (err != ERR_OK) {
            wal->disk_full = true; /* or it cannot be made for another reason: wal_why() says it */
            wal->retry_ns = now_ns + WAL_RETRY_NS;
        }
    }
    uint64_t position = 0;
    bool at_rest = wal->end == wal->end_at_tick && now_ns - wal->last_tick_ns >= WAL_AT_REST_NS;
    if (wants_mark(wal) && at_rest)
        (void)!wal_append(wal, WAL_NEEDED, RECORD_MARK, 0, TEXT(""), TEXT(""), &position);
    wal->end_at_tick = wal->end;
    wal->last_tick_ns = now_ns;
}

int64_t wal_next_tick_ns(const struct wal *wal)
{
    int64_t due = INT64_MAX;
    if (wal->failed)
        return due;
    if (wal->stalled || wal->disk_full)
        due = wal->retry_ns;
    else if (wants_segment(wal))
        return wal->last_tick_ns;
    if (wants_mark(wal) && wal->last_tick_ns + WAL_AT_REST_NS < due)
        due = wal->last_tick_ns + WAL_AT_REST_NS;
    if (wal->options.sync == WAL_SYNC_INTERVAL && wal->written > wal->synced) {
        int64_t sync_ns = wal->last_sync_ns + wal->options.sync_interval_ns;
        due = sync_ns < due ? sync_ns : due;
    }
    return due;
}
