/* store/wal_segment.c - the files of the log: making, naming, opening, giving up. See wal_inside.h. */
#include "core/base/check.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "core/base/random.h"
#include "store/wal.h"
#include "store/wal_inside.h"

#include <errno.h>
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

/* ---- making one ---- */

static enum err make_failed(struct wal *wal, const char *what, struct wal_name name, int result)
{
    wal_say(wal, "unable to %s %s: %s", what, name.text, errno_text(-result).text);
    if (result != -ENOSPC && result != -EDQUOT)
        return ERR_SYSTEM;
    wal->disk_full = true;
    return ERR_FULL;
}

/* Writes all of it, however short the writes are. 0 or -errno. */
static int write_all(const struct store_files *files, int file, uint8_t *bytes, size_t count, uint64_t offset)
{
    while (count > 0) {
        struct iovec part = {bytes, count};
        int64_t written = files->calls->write(files->host, file, &part, 1, offset);
        if (written == -EINTR)
            continue;
        if (written <= 0)
            return written == 0 ? -EIO : (int)written;
        bytes += written;
        count -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

/* A file of the wanted size under a spare's name: one that is there, or a new one. */
static enum err spare_take(struct wal *wal, uint32_t number, uint32_t capacity, struct wal_name *name,
                           int *file, uint32_t *filled)
{
    const struct store_files *files = &wal->options.files;
    for (uint32_t i = 0; i < wal->spare_count; i++) {
        if (wal->spares[i].capacity != capacity)
            continue;
        *name = wal_spare_name(wal->spares[i].number);
        *filled = capacity;
        *file = files->calls->open(files->host, name->text, STORE_OPEN_WRITE);
        wal->spares[i] = wal->spares[--wal->spare_count];
        return *file < 0 ? make_failed(wal, "open", *name, *file) : ERR_OK;
    }
    *name = wal_spare_name(number);
    *file = files->calls->open(files->host, name->text, STORE_OPEN_CREATE);
    if (*file < 0)
        return make_failed(wal, "create", *name, *file);
    int result = files->calls->reserve(files->host, *file, capacity);
    if (result == 0)
        return ERR_OK;
    files->calls->close(files->host, *file);
    (void)files->calls->remove(files->host, name->text);
    return make_failed(wal, "reserve space for", *name, result);
}

static enum err salt_make(const struct wal *wal, uint32_t *salt)
{
    *salt = wal->options.salt;
    return *salt != 0 ? ERR_OK : random_secure(salt, sizeof *salt);
}

enum err wal_segment_make(struct wal *wal, uint32_t capacity)
{
    const struct store_files *files = &wal->options.files;
    uint32_t number = wal->segment_count == 0 ? 1 : wal->segments[wal->segment_count - 1].number + 1;
    struct wal_segment segment = {
        .number = number, .capacity = capacity, .end = SEGMENT_HEADER_BYTES, .file = -1};
    struct wal_name name;
    enum err err = salt_make(wal, &segment.salt);
    if (err != ERR_OK) {
        wal_say(wal, "the system has no random bytes");
        return err;
    }
    err = spare_take(wal, number, capacity, &name, &segment.file, &segment.filled);
    if (err != ERR_OK)
        return err;

    struct segment_header header = {SEGMENT_VERSION, number, capacity, segment.salt};
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_header_encode(bytes, &header);
    const char *what = "write";
    int result = write_all(files, segment.file, bytes, sizeof bytes, 0);
    if (result == 0) {
        what = "sync";
        result = files->calls->sync(files->host, segment.file);
    }
    struct wal_name final = wal_segment_name(number);
    if (result == 0) {
        what = "rename";
        result = files->calls->rename(files->host, name.text, final.text);
    }
    if (result == 0) {
        what = "sync the folder of";
        result = files->calls->sync_folder(files->host);
    }
    err = result == 0 ? wal_segment_add(wal, &segment) : make_failed(wal, what, name, result);
    if (err != ERR_OK) { /* one of the two names is there */
        files->calls->close(files->host, segment.file);
        (void)files->calls->remove(files->host, name.text);
        (void)files->calls->remove(files->host, final.text);
        return err;
    }
    wal->disk_full = false;
    return ERR_OK;
}

enum err wal_segment_unmake(struct wal *wal)
{
    ASSERT(wal_segment_prepared(wal));
    const struct store_files *files = &wal->options.files;
    struct wal_segment *segment = &wal->segments[wal->segment_count - 1];
    struct wal_name name = wal_segment_name(segment->number);
    int result = files->calls->remove(files->host, name.text);
    if (result == 0)
        result = files->calls->sync_folder(files->host);
    if (result != 0)
        return make_failed(wal, "remove", name, result);
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

/* ---- giving one up ---- */

enum err wal_segment_drop_oldest(struct wal *wal)
{
    ASSERT(wal->active > 0 && wal->segments[0].live_bytes == 0);
    const struct store_files *files = &wal->options.files;
    struct wal_segment segment = wal->segments[0];
    struct wal_name name = wal_segment_name(segment.number);
    bool keep = wal->spare_count < WAL_SPARES_MAX && segment.capacity == wal->options.segment_bytes;
    int result = keep ? files->calls->rename(files->host, name.text, wal_spare_name(segment.number).text)
                      : files->calls->remove(files->host, name.text);
    /* Before the next one goes: what is left must be the newest segments without a hole, whatever happens. */
    if (result == 0)
        result = files->calls->sync_folder(files->host);
    if (result != 0) {
        wal_say(wal, "unable to give up %s: %s", name.text, errno_text(-result).text);
        wal->clean_broken = true;
        return ERR_SYSTEM;
    }
    if (keep)
        wal->spares[wal->spare_count++] = (struct wal_spare){segment.number, segment.capacity};
    wal_segment_close(wal, &wal->segments[0]);
    wal_windows_forget(wal, segment.number);
    memmove(wal->segments, wal->segments + 1, (wal->segment_count - 1) * sizeof wal->segments[0]);
    wal->segment_count--;
    wal->active--;
    return ERR_OK;
}
