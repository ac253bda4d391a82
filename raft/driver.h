/* raft/driver.h - does what the machine asks for, in the order that keeps its promises.
 * In the flow:  a thread's events -> raft_driver_x() ... -> raft_driver_turn() at the end of the turn
 *                   -> storage (log, hard state, snapshots), transport, application
 * What it needs of the world it asks through three tables, so the simulator stands where the disk and the
 * network would. None of their functions may call the driver back; answers come in a later event. One
 * thread's.
 *
 * Rules for a storage, which its tests and the simulator hold it to:
 *  - after a crash it has all that was synced, and of the rest any prefix in the order of the calls, the last
 *    one in part (whole entries);
 *  - at start it syncs what it found before it gives it out: bytes that a stopped process left in the page
 *    cache are there to be read, and are not durable yet;
 *  - a failed sync is never repeated: nobody knows what is on the disk then. */
#ifndef RAFT_DRIVER_H
#define RAFT_DRIVER_H

#include "raft/raft.h"

struct raft_storage {
    void *self;

    /* Entries from first_index on replace what is there and behind. May be read at once. An error stops the
     * node, so whoever accepts proposals looks at free space before. */
    enum err (*append)(void *self, uint64_t first_index, const struct raft_entry *entries, uint32_t count);
    enum err (*set_hard_state)(void *self, const struct raft_hard_state *hard_state);

    /* Begins to make all of the above durable; raft_driver_persisted() when it is. One in flight is enough:
     * the answer may name the last of several. */
    void (*sync)(void *self, uint64_t persist_seq);

    /* Up to `count` entries from `first_index` on, which are in the log; slices hold until the next call of
     * any function here. 0: not in memory; bring them, then raft_driver_readable(). */
    uint32_t (*read)(void *self, uint64_t first_index, uint32_t count, struct raft_entry *entries);

    /* Of the snapshot that is being received. Offset 0 begins anew. */
    enum err (*chunk_write)(void *self, const struct raft_chunk *chunk);
    /* A piece of our own snapshot; NULL: not in memory, as for read(). */
    const uint8_t *(*chunk_read)(void *self, uint64_t snapshot_index, uint64_t offset_bytes,
                                 uint32_t count_bytes);
    /* Makes what was received durable, then makes the log begin behind it; raft_driver_installed() when done.
     * The application is then to be what it says. */
    void (*install)(void *self, const struct raft_snapshot *snapshot);

    /* Entries below log_first are not needed, nor snapshots other than these (0: none) and what comes in or
     * is being taken. */
    void (*trim)(void *self, uint64_t log_first, uint64_t snapshot_newest, uint64_t snapshot_sent);
};

struct raft_transport {
    void *self;
    /* With entries and data filled in, to be copied or sent before it returns. May lose it. */
    void (*send)(void *self, const struct raft_message *message);
};

struct raft_application {
    void *self;
    /* In order, each entry once; of every kind. How many of them are done; fewer than `count`: there is no
     * room, and the rest comes again after raft_driver_readable(). */
    uint32_t (*apply)(void *self, uint64_t first_index, const struct raft_entry *entries, uint32_t count);
    /* Begins a snapshot of what is applied now; raft_driver_snapshot_taken() when it is durable. */
    void (*take_snapshot)(void *self, const struct raft_snapshot *snapshot);
    void (*read)(void *self, const struct raft_read_state *read);
    void (*role_changed)(void *self);
};

enum { RAFT_APPLY_ENTRIES_MAX = 64 };

/* All zero is closed. */
struct raft_driver {
    struct raft *raft;
    struct raft_storage storage;
    struct raft_transport transport;
    struct raft_application application;
    uint64_t apply_next; /* entries to be applied: [apply_next, apply_end) */
    uint64_t apply_end;
    uint64_t starved[RAFT_MEMBERS_MAX]; /* peers whose entries were not in memory; 0: none */
    bool unread; /* something was not in memory, or found no room: raft_driver_readable() is awaited */
    bool failed; /* a storage error that the machine is yet to hear of */
    struct raft_entry entries[RAFT_ENTRIES_PER_MESSAGE_MAX];
};

/* `raft` is started; the driver takes it. The application has applied what raft_start() was told. */
void raft_driver_init(struct raft_driver *driver, struct raft *raft, const struct raft_storage *storage,
                      const struct raft_transport *transport, const struct raft_application *application);

/* Frees the machine. Legal when closed. */
void raft_driver_close(struct raft_driver *driver);

/* An event; what it brings for the log goes to the storage. `first_index` (may be NULL): where a proposal's
 * entries will be, if its leader lives: compare the terms when that index is applied. */
enum raft_result raft_driver_step(struct raft_driver *driver, const struct raft_event *event,
                                  uint64_t *first_index);

/* Short forms. */
void raft_driver_tick(struct raft_driver *driver);
enum raft_result raft_driver_receive(struct raft_driver *driver, const struct raft_message *message);

/* Answers of the storage and the application. */
void raft_driver_persisted(struct raft_driver *driver, uint64_t persist_seq, enum err err);
void raft_driver_installed(struct raft_driver *driver, enum err err);
void raft_driver_snapshot_taken(struct raft_driver *driver, uint64_t index, uint64_t size_bytes,
                                enum err err);
void raft_driver_readable(struct raft_driver *driver);

/* Does all that is to be done. Once at the end of each turn of the thread's loop, so that what came in one
 * turn is written, sent and applied together. */
void raft_driver_turn(struct raft_driver *driver);

#endif
