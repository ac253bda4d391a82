/* store/wal_inside.h - what the files of the log share: its segments, its buffer, its state. Nobody else
 * includes this. In the flow: wal.c (append), wal_io.c (writing), wal_segment.c (files), wal_chore.c (their
 * making and going), wal_recover.c, wal_read.c. */
#ifndef STORE_WAL_INSIDE_H
#define STORE_WAL_INSIDE_H

#include "store/wal.h"

enum {
    WAL_INDEX_ENTRIES_MAX = 2048,         /* entries that wait for the next index record: 64 KiB */
    WAL_WINDOW_BYTES = 64 * 1024,         /* what the cache reads at once */
    WAL_PIECE_BYTES = 4096,               /* what is read instead by who jumps about */
    WAL_RECENT_READS = 8,                 /* readers that are known to read on */
    WAL_RETAINED_BYTES = 2 * 1024 * 1024, /* written blocks kept, for those who read what was just appended */
    WAL_SPARE_BLOCKS_MAX = 4,        /* blocks of the usual size that are kept for the next ones: 1 MiB */
    WAL_RESERVE_BYTES = 1024 * 1024, /* of the last segment, kept from WAL_BULK when no other can be made */
};
#define WAL_AT_REST_NS (100 * 1000000LL) /* without appends, before a mark is made */
#define WAL_RETRY_NS (1000 * 1000000LL)  /* before asking a full disk again */

struct wal_segment {
    uint32_t number;
    uint32_t capacity;
    uint32_t salt;
    uint32_t end;        /* offset behind the last record */
    uint32_t filled;     /* up to this offset the file has been written once: a spare all of it */
    uint64_t live_bytes; /* of records, and their entries, that the owner needs */
    uint64_t used_at;    /* when its descriptor was last used, in uses */
    int file;            /* -1: not open */
    bool making;         /* announced, the last one: its file is not there, so nothing is written to it yet */
};

/* A piece of the log in memory; stays until it is written, and then as long as there is room for it. */
struct wal_block {
    struct wal_block *next;
    uint64_t position; /* of its first byte */
    uint32_t used;
    uint32_t capacity;
    uint8_t bytes[];
};

struct wal_window {
    uint64_t number; /* position / WAL_WINDOW_BYTES, plus 1; 0: empty */
    uint64_t used_at;
    uint32_t valid; /* bytes of it that are here */
    uint8_t *bytes;
};

struct wal_spare {
    uint32_t number;
    uint32_t capacity;
};

struct wal_name {
    char text[STORE_FILE_NAME_BYTES_MAX];
};

enum wal_chore_step {
    WAL_STEP_NONE,
    WAL_STEP_CREATE, /* of a segment: its file, or */
    WAL_STEP_OPEN,   /* a spare that becomes it; */
    WAL_STEP_RESERVE,
    WAL_STEP_HEADER,
    WAL_STEP_NAME,
    WAL_STEP_MADE,
    WAL_STEP_KEEP, /* of the oldest: it becomes a spare, or */
    WAL_STEP_REMOVE,
    WAL_STEP_DROPPED,
};

/* A file that is made or given up, and how far that is: see wal_chore.c. */
struct wal_chore {
    enum wal_chore_step step; /* that is to be done, or under way */
    struct wal_name name;     /* what it is called now, */
    struct wal_name to;       /* and in the end */
    uint32_t capacity;
    uint32_t filled;
    uint32_t written; /* of the header */
    int file;         /* -1: none yet; the chore's until it is done */
    bool keep;
    uint8_t header[SEGMENT_HEADER_BYTES];
    struct iovec part;
};

struct wal {
    struct wal_options options;

    struct wal_segment *segments; /* numbers without a gap, oldest first */
    uint32_t segment_count;
    uint32_t segment_capacity;
    uint32_t active; /* which of them is written; one behind it is prepared */
    uint64_t descriptor_uses;
    uint32_t descriptor_count; /* for reading; those of active and prepared are extra */
    struct wal_spare spares[WAL_SPARES_MAX];
    uint32_t spare_count;

    /* ---- appending ---- */
    uint64_t end;
    uint64_t written; /* below: handed to the system */
    uint64_t synced;  /* below: on disk */
    uint64_t acknowledged_at_failure;
    uint64_t last_record_end; /* of the last record that is no mark */
    uint64_t claimed;         /* what the last record says was synced */
    uint64_t end_at_tick;
    struct wal_block *blocks; /* oldest first */
    struct wal_block *last_block;
    uint64_t block_bytes;           /* of all of them */
    struct wal_block *spare_blocks; /* out of use; a new one would be faulted in page by page */
    uint32_t spare_block_count;
    uint8_t *entries; /* of records since the last index record of the active segment */
    uint32_t entry_count;
    uint32_t *index_offsets; /* of index records in the active segment */
    uint32_t index_count;
    uint32_t index_capacity;

    /* ---- writing ---- */
    struct iovec parts[WAL_IO_PARTS_MAX];
    uint64_t io_bytes; /* of records */
    uint64_t io_end;
    uint64_t io_total; /* zeros ahead included */
    bool io_busy;
    bool io_sync;
    bool sync_wanted; /* whatever the policy: segments wait to go, or the owner flushes */
    bool failed;
    bool disk_full;
    bool stalled; /* a write found no room */
    int64_t last_sync_ns;
    int64_t retry_ns;
    int64_t last_tick_ns;

    /* ---- files ---- */
    struct wal_chore chore; /* in the owner's time */
    bool chore_busy;        /* a step of it is under way */

    /* ---- space ---- */
    uint32_t clean_offset; /* in the oldest segment; 0: not begun */
    bool clean_broken;     /* a record in there cannot be read, or its file cannot go: it stays */
    uint64_t retire_end;   /* the oldest segment goes when this is synced; 0: none is about to go */
    uint32_t retired;      /* the oldest segment that is needed, as the log says */

    /* ---- reading ---- */
    struct wal_window *windows;
    uint32_t window_count;
    uint64_t
        recent_ends[WAL_RECENT_READS]; /* of records that were read lately: who goes on from there reads on */
    uint32_t recent_next;
    uint8_t *scratch;
    size_t scratch_capacity;

    uint64_t syncs;
    uint64_t writes;
    uint64_t retired_segments;
    char why[WAL_WHY_BYTES];
};

#define WAL_POSITION(number, offset) ((uint64_t)(number) << 32 | (offset))

static inline uint32_t position_segment(uint64_t position)
{
    return (uint32_t)(position >> 32);
}

static inline uint32_t position_offset(uint64_t position)
{
    return (uint32_t)position;
}

/* Keeps a sentence for wal_why(). */
void wal_say(struct wal *wal, const char *format, ...) PRINTF_LIKE(2, 3);

/* A record that several messages share counts for each of them. */
static inline uint64_t wal_segment_live_bytes(const struct wal_segment *segment)
{
    return segment->live_bytes < segment->end ? segment->live_bytes : segment->end;
}

/* ---- wal_segment.c ---- */

/* The segment of that number, or NULL. */
struct wal_segment *wal_segment_find(const struct wal *wal, uint32_t number);

/* "0000002a.wal" */
struct wal_name wal_segment_name(uint32_t number);
struct wal_name wal_spare_name(uint32_t number);

/* A place in the table behind the last. */
MUST_USE enum err wal_segment_add(struct wal *wal, const struct wal_segment *segment);

/* Takes the prepared one back. */
MUST_USE enum err wal_segment_unmake(struct wal *wal);

/* Whether a segment behind the active one is there, or announced. */
bool wal_segment_prepared(const struct wal *wal);

/* A descriptor to read from; closes another one if there are many. */
MUST_USE enum err wal_segment_open(struct wal *wal, struct wal_segment *segment);
void wal_segment_close(struct wal *wal, struct wal_segment *segment);

/* ---- wal_chore.c ---- */

/* Says what went wrong with a file. ERR_FULL: no room, disk_full is set; ERR_SYSTEM. */
MUST_USE enum err wal_segment_failed(struct wal *wal, const char *what, struct wal_name name, int result);

/* Makes the file of the next segment, here and now: on disk, with its header, before any record goes there.
 * ERR_FULL: no room, disk_full is set, or another one is being made; ERR_SYSTEM, ERR_MEMORY. */
MUST_USE enum err wal_segment_make(struct wal *wal, uint32_t capacity);

/* The oldest one goes, or becomes a spare, here and now. */
void wal_segment_drop_oldest(struct wal *wal);

/* Whether files are made and given up by wal_chore_begin(). */
bool wal_chores_outside(const struct wal *wal);

/* There will be a next segment, of the usual size: records may be appended to it. None is being made. */
MUST_USE enum err wal_segment_announce(struct wal *wal);

/* The one that is announced and not there yet; NULL: none. */
struct wal_segment *wal_segment_making(const struct wal *wal);

/* Does here and now what is left of chores; none is under way. */
void wal_chores_finish(struct wal *wal, int64_t now_ns);

/* ---- wal_io.c ---- */

/* Nothing is acknowledged from here on. */
void wal_fail(struct wal *wal);

/* ---- wal.c ---- */

/* Appends without asking for room; the caller has looked. */
MUST_USE enum err wal_append_here(struct wal *wal, enum record_type type, uint32_t channel,
                                  struct bytes first, struct bytes second, uint64_t *position);
MUST_USE enum err wal_index_offset_add(struct wal *wal, uint32_t offset);

/* An entry of an index, as bytes. Fields: channel, offset, sequence, time, data bytes << 4 | type, distance
 * of the sequence from the channel's first. The offset of RECORD_SHARED is that of the record that has the
 * data. `fields`: the payload, or of a message what stands before its data. False: it is too short. */
MUST_USE bool wal_entry_encode(uint8_t to[WAL_ENTRY_BYTES], const struct record *record, struct bytes fields);

/* Frees blocks that are written and more than is retained. */
void wal_blocks_trim(struct wal *wal);

/* ---- wal_recover.c ---- */
MUST_USE enum err wal_recover(struct wal *wal, const struct wal_visitor *visitor);

/* ---- wal_read.c ---- */
MUST_USE enum err wal_read_file(struct wal *wal, struct wal_segment *segment, uint32_t offset, uint8_t *into,
                                uint32_t bytes, uint32_t *got);
void wal_windows_forget(struct wal *wal, uint32_t segment);

#endif
