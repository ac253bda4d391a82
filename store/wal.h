/* store/wal.h - the write-ahead log: records one behind the other in segment files, and nothing else on disk.
 * In the flow:  wal_append() -> buffer -> wal_io_begin() -> the owner writes and syncs -> wal_io_done()
 *               wal_open() -> every record, or the entry of it in a segment's index -> the owner's indexes
 * Records carry bytes of their owner; the log knows positions, durability, segments, reading back and how to tell
 * a torn tail from damage (docs/store.md 3). One thread's.
 *
 * A position is segment number << 32 | offset in the segment. Positions grow, with gaps between segments. */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "store/files.h"
#include "store/record.h"

enum wal_sync {
    WAL_SYNC_ALWAYS,   /* acknowledged means: it survives a power cut */
    WAL_SYNC_INTERVAL, /* acknowledged means: it survives the process; synced every interval */
    WAL_SYNC_NEVER,    /* the same, but synced only when a segment ends and on close */
};

/* What the owner of a ring has to do: write the parts at the offset, then fdatasync if asked. */
struct store_io {
    int file;
    const struct iovec *parts; /* good until done */
    uint32_t part_count;       /* 0: nothing to write */
    uint64_t bytes;            /* of all parts */
    uint64_t offset;
    bool sync;
};

enum {
    WAL_IO_PARTS_MAX = 64,
    WAL_SEGMENT_BYTES_DEFAULT = 64 * 1024 * 1024,
    WAL_SEGMENT_BYTES_MIN = 64 * 1024,
    WAL_BLOCK_BYTES = 256 * 1024, /* of the append buffer; larger records get a block of their own */
    WAL_SPARES_MAX = 2,           /* retired files kept to be written again: syncing those is quicker */
};

#endif
