/* store/wal_segment.c - the files of the log: naming, finding, opening. How they are made and given up is in
 * wal_chore.c. See wal_inside.h. */
#include "core/base/check.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "store/wal.h"
#include "store/wal_inside.h"

#include <stdio.h>

struct wal_segment *wal_segment_find(const struct wal *wal, uint32_t number)
{
    if (wal->segment_count == 0 || number < wal->segments[0].number ||
        number - wal->segments[0].number >= wal->segment_count)
        return NULL;
    return &wal->segments[number - wal->segments[0].number];
}

struct wal_name wal_segment_name(uint32_t number)
{
    struct wal_name name;
    (void)snprintf(name.text, sizeof name.text, "%08x.wal", number);
    return name;
}

struct wal_name wal_spare_name(uint32_t number)
{
    struct wal_name name;
    (void)snprintf(name.text, sizeof name.text, "spare-%08x", number);
    return name;
}

bool wal_segment_prepared(const struct wal *wal)
{
    return wal->active + 1 < wal->segment_count;
}

enum err wal_segment_add(struct wal *wal, const struct wal_segment *segment)
{
    if (wal->segment_count == wal->segment_capacity) {
        uint32_t capacity = wal->segment_capacity == 0 ? 16 : wal->segment_capacity * 2;
        struct wal_segment *segments = memory_grow(wal->segments, capacity * sizeof segments[0]);
        if (segments == NULL)
            return ERR_MEMORY;
        wal->segments = segments;
        wal->segment_capacity = capacity;
    }
    wal->segments[wal->segment_count++] = *segment;
    return ERR_OK;
}

/* ---- taking one back ---- */

enum err wal_segment_unmake(struct wal *wal)
{
    ASSERT(wal_segment_prepared(wal));
    const struct store_files *files = &wal->options.files;
    struct wal_segment *segment = &wal->segments[wal->segment_count - 1];
    if (segment->making)
        return ERR_FULL;
    struct wal_name name = wal_segment_name(segment->number);
    int result = files->calls->remove(files->host, name.text);
    if (result == 0)
        result = files->calls->sync_folder(files->host);
    if (result != 0)
        return wal_segment_failed(wal, "remove", name, result);
    files->calls->close(files->host, segment->file);
    wal->segment_count--;
    return ERR_OK;
}

/* ---- descriptors ---- */

void wal_segment_close(struct wal *wal, struct wal_segment *segment)
{
    if (segment->file < 0)
        return;
    wal->options.files.calls->close(wal->options.files.host, segment->file);
    segment->file = -1;
}

/* Closes the reader that was not used for the longest time, if there are too many. */
static void readers_limit(struct wal *wal)
{
    uint32_t open = 0;
    struct wal_segment *oldest = NULL;
    for (uint32_t i = 0; i < wal->active && i < wal->segment_count; i++) {
        struct wal_segment *segment = &wal->segments[i];
        /* What is not all written yet is still being written to. */
        if (segment->file < 0 || segment->number >= position_segment(wal->written))
            continue;
        open++;
        if (oldest == NULL || segment->used_at < oldest->used_at)
            oldest = segment;
    }
    if (open >= WAL_READERS_MAX)
        wal_segment_close(wal, oldest);
}

enum err wal_segment_open(struct wal *wal, struct wal_segment *segment)
{
    segment->used_at = ++wal->descriptor_uses;
    if (segment->file >= 0)
        return ERR_OK;
    readers_limit(wal);
    const struct store_files *files = &wal->options.files;
    struct wal_name name = wal_segment_name(segment->number);
    int file = files->calls->open(files->host, name.text, STORE_OPEN_READ);
    if (file < 0) {
        wal_say(wal, "unable to open %s: %s", name.text, errno_text(-file).text);
        return ERR_SYSTEM;
    }
    segment->file = file;
    return ERR_OK;
}
