/* shards/streaming/replica_snapshots.h - snapshots of a replica in private channels of its store: one channel
 * for each, in pieces of equal size, and a record that names the newest (docs/streaming-cluster.md 4). In the
 * flow:  replica -> snapshots_save() -> snapshots_step() once a turn -> SNAPSHOT_SAVED || chunks from the
 * leader -> snapshots_receive() -> replica restores from the bytes -> snapshots_save().
 * A snapshot counts from its record on, which is written behind its pieces: a crash before leaves a channel
 * that the next start deletes. At the bounds: SNAPSHOT_BYTES_MAX is ERR_FULL; while the store's buffer is
 * full a snapshot is written later. Time is the store's. Thread: the store's. */
#ifndef SHARDS_STREAMING_REPLICA_SNAPSHOTS_H
#define SHARDS_STREAMING_REPLICA_SNAPSHOTS_H

#include "raft/message.h"
#include "store/store.h"

#define SNAPSHOT_BYTES_MAX (1ULL << 30) /* held in memory while it is made, and while it comes in */

enum {
    SNAPSHOT_PIECE_BYTES = 256 * 1024,
    SNAPSHOT_PIECES_PER_STEP = 16, /* so that a turn stays short */
    SNAPSHOTS_KEPT = 4,            /* the newest, the one being sent, the one being written, and one to go */
};

enum snapshot_state {
    SNAPSHOT_NONE,    /* nothing is being saved */
    SNAPSHOT_WRITING, /* pieces go into the store */
    SNAPSHOT_SYNCING, /* all are in it, and not safe yet */
    SNAPSHOT_SAVED,   /* safe: snapshots_done() */
    SNAPSHOT_FAILED,
};

struct snapshot_channel {
    uint64_t index; /* 0: free */
    uint64_t size_bytes;
    struct store_channel *channel;
};

/* Being saved; `bytes` is its own. */
struct snapshot_saving {
    enum snapshot_state state;
    struct raft_snapshot about;
    uint8_t *bytes;
    uint64_t written_bytes;
    struct store_channel *channel;
    uint64_t position; /* of the record */
};

/* Coming in from the leader, in order. */
struct snapshot_incoming {
    struct raft_snapshot about; /* index 0: none */
    uint8_t *bytes;
    size_t capacity;
    uint64_t received_bytes;
};

/* All zero is closed. */
struct replica_snapshots {
    struct store *store;
    uint32_t group;
    struct raft_snapshot newest; /* by the record; index 0: there is none */
    uint32_t newest_crc;
    struct snapshot_channel kept[SNAPSHOTS_KEPT];
    struct snapshot_saving saving;
    struct snapshot_incoming incoming;
    uint8_t *piece; /* for reads across two pieces: SNAPSHOT_PIECE_BYTES */
};

/* Reads what the store has of `group`, and deletes what no record names. ERR_DAMAGED: the record, or what it
 * names, is not what was written. ERR_MEMORY, ERR_FULL, ERR_SYSTEM. */
MUST_USE enum err snapshots_open(struct replica_snapshots *snapshots, struct store *store, uint32_t group);
/* Legal when closed. The store is untouched. */
void snapshots_close(struct replica_snapshots *snapshots);

/* The newest as a whole; its checksum is looked at. *bytes is NULL when there is none. Owner: the caller, by
 * memory_free(). ERR_DAMAGED, ERR_MEMORY, ERR_SYSTEM. */
MUST_USE enum err snapshots_load(struct replica_snapshots *snapshots, uint8_t **bytes);

/* Begins to save one: `bytes` (about->size_bytes of them) are taken, also on error. What was being saved is
 * given up. ERR_FULL, ERR_SYSTEM: nothing is being saved. */
MUST_USE enum err snapshots_save(struct replica_snapshots *snapshots, const struct raft_snapshot *about,
                                 uint8_t *bytes, int64_t now_ns);
/* Writes on; what has become of it. */
enum snapshot_state snapshots_step(struct replica_snapshots *snapshots, int64_t now_ns);
/* Behind SNAPSHOT_SAVED and SNAPSHOT_FAILED: nothing is being saved any more. */
void snapshots_done(struct replica_snapshots *snapshots);

/* A chunk; offset 0 begins anew. ERR_FULL: too large. ERR_MEMORY; ERR_INVALID: not behind the one before. */
MUST_USE enum err snapshots_receive(struct replica_snapshots *snapshots, const struct raft_chunk *chunk);
/* What came in is not needed any more. */
void snapshots_incoming_drop(struct replica_snapshots *snapshots);

/* A piece of one that is there; NULL: it is not, or could not be read. Good until the next call of the store
 * or of these. */
const uint8_t *snapshots_read(struct replica_snapshots *snapshots, uint64_t index, uint64_t offset_bytes,
                              uint32_t count_bytes);

/* Deletes all but these (0: none), the newest by the record, and what is being saved. */
void snapshots_trim(struct replica_snapshots *snapshots, uint64_t newest, uint64_t sent);

#endif
