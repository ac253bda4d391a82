/* shards/streaming/replica_log.h - Raft's log, hard state and snapshots in the streaming service's own store:
 * one write-ahead log for all that a node keeps (docs/streaming-cluster.md 4). In the flow:
 * raft_driver_turn()
 * -> storage calls -> store -> the service's one write and sync -> replica_log_step() ->
 * raft_driver_persisted() Entries are the messages of a private channel, their index is the sequence; the
 * store's newest 2 MiB are in memory, so what the peers and the machine read soon costs no system call, and
 * there is no cache of our own. Since everything goes into one log in the order of the calls, a crash leaves
 * a prefix of them. At the bounds: an append that the store refuses fails the node (raft/driver.h), so
 * proposals are taken only while replica_log_room(). Thread: the store's. */
#ifndef SHARDS_STREAMING_REPLICA_LOG_H
#define SHARDS_STREAMING_REPLICA_LOG_H

#include "raft/driver.h"
#include "shards/streaming/replica_snapshots.h"
#include "store/store.h"

enum {
    REPLICA_ENTRY_HEADER_BYTES = 9, /* of an entry as the store has it, before its data: replica_log.c */
    REPLICA_ENTRY_BYTES_MAX = 64 * 1024 * 1024 - 4096, /* of one entry's data: the store's bound, and ours */
    REPLICA_READ_BYTES = 2 * 1024 * 1024,              /* of one read; a larger entry is read alone */
    REPLICA_SYNCS_MAX = 64,                            /* that wait; then the last one stands for two */
};

/* Raft wants to hear of this number when the store is safe up to there. */
struct replica_sync {
    uint64_t persist_seq;
    uint64_t position;
};

/* All zero is closed. */
struct replica_log {
    struct store *store;
    struct store_channel *entries;
    uint32_t group; /* several groups may share a store one day; now it is 0 */
    struct raft_hard_state hard_state;
    struct replica_snapshots snapshots;
    uint64_t log_first;  /* of the channel: what is there below is the entry before, kept for its term */
    int64_t now_ns;      /* the moment of the turn, by the store's clock */
    bool install_wanted; /* storage.install() was called: replica_log_incoming() */
    bool installing;     /* what is being saved came from the leader */
    struct replica_sync syncs[REPLICA_SYNCS_MAX];
    uint32_t sync_count;
    uint8_t *read; /* entries given out last */
    size_t read_capacity;
    uint8_t *frame; /* an entry on its way in */
    size_t frame_capacity;
};

/* Opens what the store has, or makes the channel. The store was synced by its own opening (wal_recover.c), so
 * what is found is durable. ERR_DAMAGED, ERR_MEMORY, ERR_FULL, ERR_SYSTEM. */
MUST_USE enum err replica_log_open(struct replica_log *log, struct store *store, uint32_t group,
                                   int64_t now_ns);
/* Legal when closed. The store is untouched. */
void replica_log_close(struct replica_log *log);

/* There is no term, entry or snapshot: a node that was never part of a group. */
bool replica_log_empty(const struct replica_log *log);

/* Makes an empty log that of a founder: hard state {term 1} and one entry. */
MUST_USE enum err replica_log_found(struct replica_log *log, const struct raft_membership *founders);

/* Empties a log that was founded and nothing else: nobody has acted on it, for whoever hears a leader or a
 * candidate has a later term. Others stay as they are. */
MUST_USE enum err replica_log_forget(struct replica_log *log);

/* A machine from what is there, started; it has applied what the newest snapshot has. ERR_INVALID: the
 * options do not fit, or what is stored cannot be; others as above. Owner: the caller. */
MUST_USE enum err replica_log_start(struct replica_log *log, const struct raft_options *options,
                                    struct raft **raft);

/* The table for raft_driver_init(); `log` stays where it is. */
struct raft_storage replica_log_storage(struct replica_log *log);

/* Whether proposals may come: the disk is not full, and the store's buffer far from it. */
bool replica_log_room(const struct replica_log *log);

/* Saves a snapshot that the driver asked for; `bytes` (about->size_bytes) are taken, also on error: then
 * raft_driver_snapshot_taken() is the caller's to call, else replica_log_step() does. */
MUST_USE enum err replica_log_save(struct replica_log *log, const struct raft_snapshot *about,
                                   uint8_t *bytes);

/* The bytes of the snapshot that is to be installed, while `install_wanted`. */
struct bytes replica_log_incoming(const struct replica_log *log);
/* The application has become it: saves it, then the log begins behind it, then the driver is told. An error
 * is to be told to the driver by the caller. */
MUST_USE enum err replica_log_install(struct replica_log *log);

/* Once a turn, behind the store's work and before raft_driver_turn(): tells the driver what is durable. */
void replica_log_step(struct replica_log *log, struct raft_driver *driver, int64_t now_ns);

#endif
