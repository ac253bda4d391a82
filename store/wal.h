/* store/wal.h - the write-ahead log: records one behind the other in segment files, and nothing else on disk.
 * In the flow:  wal_append() -> buffer -> wal_io_begin() -> the owner writes and syncs -> wal_io_done()
 *               wal_open() -> every record, or its entry in a segment's index -> the owner's indexes
 * Records carry bytes of their owner; the log knows positions, durability, segments, reading back, and how to
 * tell a torn tail from damage (docs/store.md 3). At the bounds: ERR_FULL, and nothing was done. One
 * thread's.
 *
 * A position is segment number << 32 | offset in the segment. Positions grow, with gaps between segments. */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "store/files.h"
#include "store/record.h"

struct wal; /* opaque */

enum wal_sync {
    WAL_SYNC_ALWAYS,   /* acknowledged means: it survives a power cut */
    WAL_SYNC_INTERVAL, /* acknowledged means: it survives the process; synced every interval */
    WAL_SYNC_NEVER,    /* the same, but synced only when a segment ends and on close */
};

enum {
    WAL_IO_PARTS_MAX = 64,
    WAL_SEGMENT_BYTES_DEFAULT = 64 * 1024 * 1024,
    WAL_SEGMENT_BYTES_MIN = 64 * 1024,
    WAL_BUFFER_BYTES_DEFAULT = 64 * 1024 * 1024,
    WAL_CACHE_BYTES_DEFAULT = 8 * 1024 * 1024,
    WAL_BLOCK_BYTES = 256 * 1024, /* of the append buffer; a larger record gets a block of its own */
    WAL_ENTRY_BYTES = 32,         /* that each record costs in its segment's index */
    WAL_SPARES_MAX = 2,           /* retired files kept to be written again: syncing those is quicker */
    WAL_READERS_MAX = 8,          /* descriptors for reading back */
    WAL_WHY_BYTES = 512,
};

struct wal_options {
    struct store_files files;
    enum wal_sync sync;
    int64_t sync_interval_ns;
    uint32_t segment_bytes;    /* 0: the default, as below */
    uint32_t buffer_bytes_max; /* appended and not written */
    uint32_t cache_bytes;
    uint32_t salt; /* 0: random for each segment; a simulator gives one */
    bool verify;   /* recovery reads all records, not the indexes */
    bool cut_damaged_tail;
    bool read_only; /* changes nothing on disk: for tools */
    /* Segments of at least so many bytes are made and given up by wal_chore_begin(); 0: none are. */
    uint32_t outside_bytes_min;
};

/* One record as recovery sees it. From an index: a message without its data. RECORD_SHARED comes as a message
 * too, at the position of the record that has its data. */
struct wal_visit {
    struct record record;          /* without payload for a message */
    struct record_message message; /* of RECORD_MESSAGE, without data */
    uint32_t data_bytes;           /* of RECORD_MESSAGE */
};

/* Hears of every record of the owner's in the order of the log. An answer other than ERR_OK ends the
 * recovery. */
struct wal_visitor {
    enum err (*visit)(void *context, const struct wal_visit *visit);
    void *context;
};

/* Recovers and opens. *wal is there from the first visit on, for wal_live() and wal_dead(). On error *wal is
 * NULL, nothing was changed, and `why` says what and where: ERR_DAMAGED, ERR_EXISTS (another process has the
 * folder), ERR_SYSTEM, ERR_MEMORY, or what the visitor answered. */
MUST_USE enum err wal_open(struct wal **wal, const struct wal_options *options,
                           const struct wal_visitor *visitor, char *why, size_t why_bytes);

/* Writes and syncs what is pending, then frees. ERR_SYSTEM: not all is written. NULL is allowed. */
enum err wal_close(struct wal *wal);

/* Frees without writing anything. NULL is allowed. */
void wal_abandon(struct wal *wal);

/* ---- appending ---- */

enum wal_class {
    WAL_BULK,   /* refused when the disk has no room for another segment, while ... */
    WAL_NEEDED, /* ... this may use what is left of the last one */
};

/* Puts a record into the buffer: the payload is `first` and `second`, joined. *position is where it lies.
 * ERR_FULL: the buffer is full, or wal_disk_full(); ERR_SYSTEM: see wal_why(); ERR_MEMORY. Makes a system
 * call only when a segment begins that could not be prepared. */
MUST_USE enum err wal_append(struct wal *wal, enum wal_class class, enum record_type type, uint32_t channel,
                             struct bytes first, struct bytes second, uint64_t *position);

/* Whether a record with such a payload, appended now, would lie in the segment of that position. */
bool wal_would_share_segment(const struct wal *wal, uint64_t position, size_t payload_bytes);

uint64_t wal_end(const struct wal *wal);          /* behind the last record */
uint64_t wal_synced(const struct wal *wal);       /* below this all is on disk */
uint64_t wal_acknowledged(const struct wal *wal); /* below this all is as safe as the policy promises */
bool wal_failed(const struct wal *wal);
bool wal_disk_full(const struct wal *wal);

/* The sentence for the last error, "" if none. */
const char *wal_why(const struct wal *wal);

/* ---- writing: see store_io_begin() and store_io_done() in store.h ---- */

struct store_io {
    int file;
    const struct iovec *parts; /* good until done */
    uint32_t part_count;       /* 0: nothing to write */
    uint64_t bytes;            /* of all parts */
    uint64_t offset;
    bool sync;    /* fdatasync behind the write */
    bool through; /* no bytes but these wait for that sync: a write with RWF_DSYNC does both */
};

bool wal_io_begin(struct wal *wal, int64_t now_ns, struct store_io *io);
void wal_io_done(struct wal *wal, int64_t now_ns, int64_t written, int synced);

/* ---- files that are made and given up: see store_chore_begin() and store_chore_done() in store.h ---- */

enum store_chore_kind {
    STORE_CHORE_CREATE,  /* `name`, as STORE_OPEN_CREATE does; the result is the descriptor */
    STORE_CHORE_OPEN,    /* `name`, likewise as STORE_OPEN_WRITE */
    STORE_CHORE_RESERVE, /* `bytes` for `file` */
    STORE_CHORE_WRITE,   /* `part` to `file` at `offset`, and sync it; the result is how much */
    STORE_CHORE_RENAME,  /* `name` to `to` */
    STORE_CHORE_REMOVE,  /* `name` */
    STORE_CHORE_SYNC_FOLDER,
};

/* One call. What it points to stays until it is done. */
struct store_chore {
    enum store_chore_kind kind;
    int file;
    const char *name;
    const char *to;
    const struct iovec *part;
    uint64_t offset;
    uint64_t bytes;
};

bool wal_chore_begin(struct wal *wal, struct store_chore *what);
void wal_chore_done(struct wal *wal, int64_t now_ns, int64_t result);

/* Blocking: writes and syncs all, whatever the policy. */
MUST_USE enum err wal_flush(struct wal *wal, int64_t now_ns);

/* Prepares a segment ahead, tries again what found no room, makes a mark when all is at rest. */
void wal_tick(struct wal *wal, int64_t now_ns);

/* When the next tick is due; INT64_MAX: none. */
int64_t wal_next_tick_ns(const struct wal *wal);

/* ---- reading back ---- */

/* The record at a position that wal_append() or recovery told. Good until the next call. ERR_DAMAGED,
 * ERR_SYSTEM: see wal_why(); ERR_MEMORY. */
MUST_USE enum err wal_read(struct wal *wal, uint64_t position, struct record *record);

/* ---- space ---- */

/* A record of that many bytes of payload lives at the position, or does so no more. Who shares a record says
 * so for itself, with the bytes that it would take alone. */
void wal_live(struct wal *wal, uint64_t position, size_t payload_bytes);
void wal_dead(struct wal *wal, uint64_t position, size_t payload_bytes);

/* Whether the records in the oldest segment should be looked at: it has nothing that lives, or more than
 * `garbage_percent` of the log is dead. Never for the segment being written. */
bool wal_cleaning_wanted(const struct wal *wal, uint32_t garbage_percent);

uint64_t wal_oldest_live_bytes(const struct wal *wal);

/* The next record of the oldest segment, in turn; ERR_NOT_FOUND behind the last, or when nothing lives in it
 * any more. Good until the next call except wal_append(). */
MUST_USE enum err wal_clean_next(struct wal *wal, struct record *record);

/* What lives in the oldest segment cannot be read: it stays, and is not looked at again. */
void wal_clean_give_up(struct wal *wal);

/* Everything in the oldest segment is dead now: it goes once all that was appended so far is synced. */
MUST_USE enum err wal_retire(struct wal *wal);

/* ---- figures ---- */

struct wal_figures {
    uint64_t log_bytes;
    uint64_t live_bytes;
    uint64_t memory_bytes;
    uint64_t syncs;
    uint64_t writes;
    uint64_t retired_segments;
    uint32_t segment_count;
    uint32_t descriptor_count;
};
struct wal_figures wal_figures(const struct wal *wal);

#endif
