/* store/wal_recover.c - what is on disk becomes a log again: which files, which records, where it ends, and
 * whether that end is a torn tail or damage (docs/store.md 3 and 5). See wal.h. */
#include "core/base/check.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "store/wal.h"
#include "store/wal_inside.h"

#include <stdio.h>
#include <stdlib.h>

/* One segment in memory, while it is read record by record. */
struct image {
    uint8_t *bytes;
    uint32_t count;    /* what the file has */
    uint32_t capacity; /* of the memory */
};

struct recovery {
    struct wal *wal;
    const struct wal_visitor *visitor;
    uint32_t *numbers; /* of segment files, ascending */
    uint32_t number_count;
    uint32_t number_capacity;
    uint32_t spares[WAL_SPARES_MAX];
    uint32_t spare_count;
    struct image image;
    enum err err; /* of the listing */
};

static enum err files_list(struct recovery *r);
static enum err segments_read(struct recovery *r);
static enum err log_ends(struct recovery *r, uint32_t i, uint32_t offset);
static enum err ready_to_append(struct recovery *r);

enum err wal_recover(struct wal *wal, const struct wal_visitor *visitor)
{
    struct recovery r = {.wal = wal, .visitor = visitor};
    enum err err = files_list(&r);
    if (err == ERR_OK)
        err = segments_read(&r);
    if (err == ERR_OK && !wal->options.read_only)
        err = ready_to_append(&r);
    memory_free(r.numbers);
    memory_free(r.image.bytes);
    if (err != ERR_OK)
        return err;
    /* Segments were read to their ends, behind which there was nothing yet. */
    for (uint32_t i = wal->active; i < wal->segment_count; i++)
        wal_windows_forget(wal, wal->segments[i].number);
    if (wal->segment_count > 0)
        wal->end = WAL_POSITION(wal->segments[wal->active].number, wal->segments[wal->active].end);
    wal->written = wal->end;
    wal->synced = wal->end;
    wal->why[0] = 0; /* what was said about indexes that then were not needed */
    return ERR_OK;
}

/* ---- which files are there ---- */

static bool hexadecimal(const char *text, uint32_t *number)
{
    *number = 0;
    for (int i = 0; i < 8; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = text[i] == 0 ? NULL : strchr(digits, text[i]);
        if (digit == NULL)
            return false;
        *number = *number << 4 | (uint32_t)(digit - digits);
    }
    return true;
}

static bool list_name(void *context, const char *name)
{
    struct recovery *r = context;
    uint32_t number = 0;
    if (strncmp(name, "spare-", 6) == 0 && hexadecimal(name + 6, &number) && name[14] == 0) {
        if (r->spare_count < WAL_SPARES_MAX)
            r->spares[r->spare_count++] = number;
        return true;
    }
    if (!hexadecimal(name, &number) || strcmp(name + 8, ".wal") != 0)
        return true; /* not ours: the lock, or somebody's notes */
    if (r->number_count == r->number_capacity) {
        uint32_t capacity = r->number_capacity == 0 ? 16 : r->number_capacity * 2;
        uint32_t *numbers = memory_grow(r->numbers, capacity * sizeof numbers[0]);
        if (numbers == NULL) {
            r->err = ERR_MEMORY;
            return false;
        }
        r->numbers = numbers;
        r->number_capacity = capacity;
    }
    r->numbers[r->number_count++] = number;
    return true;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return (first > second) - (first < second);
}

static enum err missing(struct wal *wal, uint32_t number)
{
    wal_say(wal, "%s is missing, though the log needs it", wal_segment_name(number).text);
    return ERR_DAMAGED;
}

static enum err files_list(struct recovery *r)
{
    struct wal *wal = r->wal;
    const struct store_files *files = &wal->options.files;
    int result = files->calls->list(files->host, list_name, r);
    if (r->err != ERR_OK)
        return r->err;
    if (result < 0) {
        wal_say(wal, "unable to list the store's files: %s", errno_text(-result).text);
        return ERR_SYSTEM;
    }
    if (r->number_count > 1)
        qsort(r->numbers, r->number_count, sizeof r->numbers[0], compare_numbers);
    for (uint32_t i = 1; i < r->number_count; i++) {
        if (r->numbers[i] != r->numbers[i - 1] + 1)
            return missing(wal, r->numbers[i - 1] + 1);
    }
    return ERR_OK;
}

/* ---- headers ---- */

/* Reads as much of the file as is there, at most `bytes`, into the image. */
static enum err image_read(struct recovery *r, struct wal_segment *segment, uint32_t bytes)
{
    struct image *image = &r->image;
    if (image->capacity < bytes) {
        uint8_t *memory = memory_grow(image->bytes, bytes);
        if (memory == NULL)
            return ERR_MEMORY;
        image->bytes = memory;
        image->capacity = bytes;
    }
    return wal_read_file(r->wal, segment, 0, image->bytes, bytes, &image->count);
}

/* Adds segment `i` to the table. Its header was on disk before the file had this name. */
static enum err header_read(struct recovery *r, uint32_t i)
{
    struct wal *wal = r->wal;
    struct wal_segment segment = {.number = r->numbers[i], .file = -1, .end = SEGMENT_HEADER_BYTES};
    struct segment_header header = {0};
    struct wal_name name = wal_segment_name(segment.number);
    enum err err = image_read(r, &segment, SEGMENT_HEADER_BYTES);
    wal_segment_close(wal, &segment);
    if (err != ERR_OK)
        return err;
    if (r->image.count < SEGMENT_HEADER_BYTES || !segment_header_decode(r->image.bytes, &header)) {
        wal_say(wal, "damaged header in %s at offset 0", name.text);
        return ERR_DAMAGED;
    }
    if (header.version != SEGMENT_VERSION) {
        wal_say(wal, "%s: unsupported file version: %u (supports [1..%d])", name.text, header.version,
                SEGMENT_VERSION);
        return ERR_DAMAGED;
    }
    if (header.number != segment.number || header.capacity < SEGMENT_HEADER_BYTES ||
        header.capacity % 8 != 0) {
        wal_say(wal, "damaged header in %s: it belongs to segment %u", name.text, header.number);
        return ERR_DAMAGED;
    }
    segment.capacity = header.capacity;
    segment.salt = header.salt;
    return wal_segment_add(wal, &segment);
}

/* ---- records to the visitor ---- */

static enum err malformed(struct wal *wal, uint64_t position)
{
    wal_say(wal, "damaged record in %s at offset %u: its checksum is right, its content is not",
            wal_segment_name(position_segment(position)).text, position_offset(position));
    return ERR_DAMAGED;
}

static enum err visit_record(struct recovery *r, const struct record *record)
{
    struct wal_visit visit = {.record = *record};
    struct wal *wal = r->wal;
    if (record->type == RECORD_RETIRED) {
        if (record->payload.count < 4)
            return malformed(wal, record->position);
        wal->retired = get_u32(record->payload.data);
        return ERR_OK;
    }
    if (record->type == RECORD_MESSAGE) {
        if (!record_message_decode(record->payload, &visit.message))
            return malformed(wal, record->position);
        visit.data_bytes = (uint32_t)visit.message.data.count;
        visit.record.payload = (struct bytes){0};
        visit.message.data = (struct bytes){0};
    } else if (record->type == RECORD_SHARED) {
        struct record_shared shared;
        if (!record_shared_decode(record->payload, &shared) ||
            shared.offset >= position_offset(record->position))
            return malformed(wal, record->position);
        visit.record.type = RECORD_MESSAGE;
        visit.record.position = WAL_POSITION(position_segment(record->position), shared.offset);
        visit.record.payload = (struct bytes){0};
        visit.message = shared.message;
        visit.data_bytes = shared.data_bytes;
    }
    enum err err = r->visitor->visit(r->visitor->context, &visit);
    return err == ERR_INVALID ? malformed(wal, record->position) : err;
}

/* ---- a segment by its index ---- */

static enum err entry_apply(struct recovery *r, const struct wal_segment *segment, const uint8_t *entry)
{
    struct wal *wal = r->wal;
    uint32_t offset = get_u32(entry + 4), size_and_type = get_u32(entry + 24);
    uint64_t position = WAL_POSITION(segment->number, offset);
    if (offset < SEGMENT_HEADER_BYTES || offset >= segment->capacity)
        return malformed(wal, position);
    if ((size_and_type & 15) != RECORD_MESSAGE && (size_and_type & 15) != RECORD_SHARED) {
        struct record record;
        enum err err = wal_read(wal, position, &record);
        return err == ERR_OK ? visit_record(r, &record) : err;
    }
    uint64_t sequence = get_u64(entry + 8);
    uint32_t span = get_u32(entry + 28);
    if (sequence == 0 || sequence > RECORD_SEQUENCE_MAX || span > sequence)
        return malformed(wal, position);
    struct wal_visit visit = {
        .record = {.position = position, .type = RECORD_MESSAGE, .channel = get_u32(entry)},
        .message = {.sequence = sequence,
                    .timestamp_ns = (int64_t)get_u64(entry + 16),
                    .first_sequence = span == UINT32_MAX ? 0 : sequence - span},
        .data_bytes = size_and_type >> 4,
    };
    return r->visitor->visit(r->visitor->context, &visit);
}

/* The seal at the very end of a segment; false: there is none that is valid. */
static bool seal_find(struct wal *wal, struct wal_segment *segment, struct record *seal)
{
    uint8_t tail[8];
    uint32_t got = 0;
    if (wal_read_file(wal, segment, segment->capacity - 8, tail, 8, &got) != ERR_OK || got < 8)
        return false;
    uint64_t position = get_u64(tail);
    if (position_segment(position) != segment->number || position_offset(position) < SEGMENT_HEADER_BYTES ||
        position_offset(position) >= segment->capacity)
        return false;
    return wal_read(wal, position, seal) == ERR_OK && seal->type == RECORD_SEAL &&
           seal->payload.count >= 12 &&
           position_offset(position) + record_size(seal->payload.count) == segment->capacity &&
           get_u32(seal->payload.data) <= (seal->payload.count - 12) / 4;
}

/* Whether something was written behind segment `i`: then all of it had been synced before. Its own seal does
 * not say so: in a power cut the end of a write may come through and its beginning may not. */
static bool segment_followed(struct wal *wal, uint32_t i)
{
    if (i + 1 >= wal->segment_count)
        return false;
    struct wal_segment *next = &wal->segments[i + 1];
    struct record record;
    next->end = next->capacity;
    wal->written = WAL_POSITION(next->number + 1, SEGMENT_HEADER_BYTES);
    return wal_read(wal, WAL_POSITION(next->number, SEGMENT_HEADER_BYTES), &record) == ERR_OK;
}

/* Tells the visitor what the segment's indexes know. ERR_NOT_FOUND: it has no valid seal or indexes, nothing
 * was told. */
static enum err segment_by_index(struct recovery *r, struct wal_segment *segment)
{
    struct wal *wal = r->wal;
    struct record seal, index;
    segment->end = segment->capacity; /* so that reading back takes all of it for written */
    wal->written = WAL_POSITION(segment->number + 1, SEGMENT_HEADER_BYTES);
    if (!seal_find(wal, segment, &seal))
        return ERR_NOT_FOUND;
    uint32_t count = get_u32(seal.payload.data);
    wal->index_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        enum err err = wal_index_offset_add(wal, get_u32(seal.payload.data + 4 + 4 * (size_t)i));
        if (err != ERR_OK)
            return err;
    }
    /* All are looked at before the first is told: half an index would have to be taken back. */
    uint8_t *entries = NULL;
    size_t bytes = 0;
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        uint32_t offset = wal->index_offsets[i];
        err = offset < SEGMENT_HEADER_BYTES || offset >= segment->capacity
                  ? ERR_DAMAGED
                  : wal_read(wal, WAL_POSITION(segment->number, offset), &index);
        if (err == ERR_OK && (index.type != RECORD_INDEX || index.payload.count % WAL_ENTRY_BYTES != 0))
            err = ERR_DAMAGED;
        uint8_t *grown = err == ERR_OK ? memory_grow(entries, bytes + index.payload.count + 1) : NULL;
        if (err == ERR_OK && grown == NULL)
            err = ERR_MEMORY;
        if (err == ERR_OK) {
            entries = grown;
            memcpy(entries + bytes, index.payload.data, index.payload.count);
            bytes += index.payload.count;
        }
    }
    wal->index_count = 0;
    if (err == ERR_DAMAGED)
        err = ERR_NOT_FOUND;
    for (size_t at = 0; at < bytes && err == ERR_OK; at += WAL_ENTRY_BYTES)
        err = entry_apply(r, segment, entries + at);
    memory_free(entries);
    return err;
}

/* ---- a segment record by record ---- */

/* What the log itself keeps of a record that it reads again. */
static enum err note_record(struct wal *wal, const struct record *record)
{
    if (record->type == RECORD_INDEX) {
        wal->entry_count = 0;
        return wal_index_offset_add(wal, position_offset(record->position));
    }
    wal->claimed = record->synced;
    if (record->type == RECORD_SEAL || record->type == RECORD_MARK)
        return ERR_OK;
    if (wal->entry_count == WAL_INDEX_ENTRIES_MAX)
        return malformed(wal, record->position);
    if (!wal_entry_encode(wal->entries + (size_t)wal->entry_count * WAL_ENTRY_BYTES, record, record->payload))
        return malformed(wal, record->position);
    wal->entry_count++;
    return ERR_OK;
}

/* Stops at the first record that is not valid; *sealed: there was none, the segment is full. */
static enum err segment_by_records(struct recovery *r, struct wal_segment *segment, bool *sealed)
{
    struct wal *wal = r->wal;
    *sealed = false;
    wal->entry_count = 0;
    wal->index_count = 0;
    segment->end = SEGMENT_HEADER_BYTES;
    enum err err = image_read(r, segment, segment->capacity);
    while (err == ERR_OK && segment->end < r->image.count) {
        struct record record;
        uint32_t size = 0;
        uint64_t position = WAL_POSITION(segment->number, segment->end);
        if (record_decode(r->image.bytes + segment->end, r->image.count - segment->end, position,
                          segment->salt, &record, &size) != RECORD_VALID)
            break;
        err = note_record(wal, &record);
        if (err == ERR_OK && record.type != RECORD_INDEX && record.type != RECORD_SEAL &&
            record.type != RECORD_MARK)
            err = visit_record(r, &record);
        segment->end += size;
        if (record.type != RECORD_MARK)
            wal->last_record_end = position + size;
        *sealed = record.type == RECORD_SEAL && segment->end == segment->capacity;
    }
    return err;
}

static enum err segments_read(struct recovery *r)
{
    struct wal *wal = r->wal;
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < r->number_count && err == ERR_OK; i++)
        err = header_read(r, i);
    bool ended = false;
    for (uint32_t i = 0; i < wal->segment_count && err == ERR_OK && !ended; i++) {
        struct wal_segment *segment = &wal->segments[i];
        bool sealed = false;
        wal->active = i;
        bool by_index = !wal->options.verify && segment_followed(wal, i);
        err = by_index ? segment_by_index(r, segment) : ERR_NOT_FOUND;
        if (err == ERR_OK)
            continue; /* sealed */
        if (err == ERR_NOT_FOUND)
            err = segment_by_records(r, segment, &sealed);
        if (err == ERR_OK && !sealed) {
            ended = true;
            err = log_ends(r, i, segment->end);
        }
    }
    if (err != ERR_OK)
        return err;
    uint32_t oldest = wal->retired > 1 ? wal->retired : 1;
    if (wal->segment_count > 0 && wal->segments[0].number > oldest)
        return missing(wal, oldest);
    return ERR_OK;
}

/* ---- the end ---- */

struct behind {
    bool pieces;    /* something that began as a record of that place */
    bool records;   /* a valid one */
    uint64_t claim; /* the highest position below which everything was synced, as they say */
};

/* Looks for records in segment `i` from `from` on. */
static enum err records_behind(struct recovery *r, uint32_t i, uint32_t from, struct behind *behind)
{
    struct wal_segment *segment = &r->wal->segments[i];
    enum err err = image_read(r, segment, segment->capacity);
    for (uint32_t at = from; err == ERR_OK && at + RECORD_HEADER_BYTES <= r->image.count; at += 8) {
        struct record record;
        uint32_t size = 0;
        if (get_u64(r->image.bytes + at + 8) != WAL_POSITION(segment->number, at))
            continue;
        behind->pieces = true;
        if (record_decode(r->image.bytes + at, r->image.count - at, WAL_POSITION(segment->number, at),
                          segment->salt, &record, &size) != RECORD_VALID)
            continue;
        behind->records = true;
        behind->claim = record.synced > behind->claim ? record.synced : behind->claim;
    }
    return err;
}

/* What lies behind the end must never be taken for records: gone for good, before anything is appended. */
static enum err cut(struct wal *wal, uint32_t i, uint32_t offset)
{
    const struct store_files *files = &wal->options.files;
    int result = 0;
    for (uint32_t later = wal->segment_count - 1; later > i && result == 0; later--) {
        wal_segment_close(wal, &wal->segments[later]);
        result = files->calls->remove(files->host, wal_segment_name(wal->segments[later].number).text);
        if (result == 0)
            result = files->calls->sync_folder(files->host);
        if (result == 0)
            wal->segment_count--;
    }
    struct wal_name name = wal_segment_name(wal->segments[i].number);
    int file = result == 0 ? files->calls->open(files->host, name.text, STORE_OPEN_WRITE) : -1;
    if (result == 0 && file < 0)
        result = file;
    if (result == 0)
        result = files->calls->truncate(files->host, file, offset);
    if (result == 0)
        result = files->calls->reserve(files->host, file, wal->segments[i].capacity);
    if (result == 0)
        result = files->calls->sync(files->host, file);
    if (file >= 0)
        files->calls->close(files->host, file);
    if (result == 0)
        return ERR_OK;
    wal_say(wal, "unable to cut %s at offset %u: %s", name.text, offset, errno_text(-result).text);
    return ERR_SYSTEM;
}

/* The first place that is no record: the end, a torn tail, or damage. */
static enum err log_ends(struct recovery *r, uint32_t i, uint32_t offset)
{
    struct wal *wal = r->wal;
    uint64_t place = WAL_POSITION(wal->segments[i].number, offset);
    struct behind here = {0}, later = {0};
    enum err err = records_behind(r, i, offset, &here);
    for (uint32_t next = i + 1; next < wal->segment_count && err == ERR_OK; next++)
        err = records_behind(r, next, SEGMENT_HEADER_BYTES, &later);
    if (err != ERR_OK)
        return err;
    /* A segment is synced before the next one is written, so records there are a claim as well. */
    if ((here.claim > place || later.records) && !wal->options.cut_damaged_tail) {
        wal_say(wal,
                "damaged record in %s at offset %u: records behind it say that it had been stored safely; "
                "make a copy of the whole store before anything else",
                wal_segment_name(wal->segments[i].number).text, offset);
        return ERR_DAMAGED;
    }
    /* Pieces as well: what is appended next could make one of them whole. */
    if ((here.pieces || later.pieces) && !wal->options.read_only)
        return cut(wal, i, offset);
    return ERR_OK;
}

/* The segment that is written, its descriptor and positions. */
static enum err ready_to_append(struct recovery *r)
{
    struct wal *wal = r->wal;
    const struct store_files *files = &wal->options.files;
    for (uint32_t i = 0; i < r->spare_count;
         i++) /* their sizes are not known: their file system gets them back */
        (void)files->calls->remove(files->host, wal_spare_name(r->spares[i]).text);
    if (wal->segment_count == 0 || wal->segments[wal->active].end == wal->segments[wal->active].capacity) {
        enum err err = wal_segment_make(wal, wal->options.segment_bytes);
        if (err != ERR_OK)
            return err;
        wal->active = wal->segment_count - 1;
        wal->last_record_end = WAL_POSITION(wal->segments[wal->active].number, SEGMENT_HEADER_BYTES);
        wal->entry_count = 0;
        wal->index_count = 0;
    }
    for (uint32_t i = wal->active; i < wal->segment_count; i++) {
        struct wal_segment *segment = &wal->segments[i];
        struct wal_name name = wal_segment_name(segment->number);
        if (i > wal->active)
            segment->end = SEGMENT_HEADER_BYTES;
        wal_segment_close(wal, segment);
        segment->file = files->calls->open(files->host, name.text, STORE_OPEN_WRITE);
        /* What was read may only be in the system's memory, and is about to be called safe. */
        int result = segment->file < 0 ? segment->file : files->calls->sync(files->host, segment->file);
        if (result < 0) {
            wal_say(wal, "unable to open and sync %s: %s", name.text, errno_text(-result).text);
            return ERR_SYSTEM;
        }
    }
    return ERR_OK;
}
