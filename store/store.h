/* store/store.h - channels of messages, and the small records that belong to them, kept for good.
 * In the flow:  streaming, raft -> store_append() ... store_io_begin() -> the owner writes and syncs ->
 *               store_io_done() -> store_acknowledged() passes the append's position -> the owner answers
 * One write-ahead log holds everything (wal.h, docs/store.md); a channel is an index over it. Nothing in here
 * has a thread, a ring or a clock: time comes as an argument (nanoseconds since 1970, the clock that
 * timestamps are of, everywhere in here), and what must be written is handed out. At the bounds: ERR_FULL,
 * and nothing was done; see each call. Thread: all of a store's calls are one thread's. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "core/base/bytes.h"
#include "store/files.h"
#include "store/limits.h"
#include "store/wal.h"

struct store;         /* opaque */
struct store_channel; /* opaque; a handle, good until it is deleted or the store closed */

enum store_kind {
    STORE_MEMORY, /* recovers nothing; everything is acknowledged at once */
    STORE_FILE,
    /* STORE_SQL comes with the issue of its own; so does encryption, between store_append() and the log. */
};

enum {
    STORE_WHY_BYTES = 512,
    STORE_CHANNEL_NAME_BYTES_MAX = 4096, /* as long as a control line */
    STORE_PRIVATE_NAME_BYTES_MAX = 64,
    STORE_DATA_BYTES_MAX = 64 * 1024 * 1024, /* of one message or record: the largest max_payload */
    STORE_ID_BYTES_MAX = 255,                /* of a record's key */
    STORE_STATE_BYTES_MAX = 8 * 1024 * 1024, /* of one key: what was put and all that was added to it */
    STORE_MESSAGE_OVERHEAD_BYTES = 40,       /* counted for each message of a file store, as users know it */
    STORE_RESERVE_BYTES = 1024 * 1024,       /* of the disk: messages stop before acknowledgements do */
};

struct store_options {
    enum store_kind kind;
    struct store_files files; /* STORE_FILE only; outlives the store */
    enum wal_sync sync;
    int64_t sync_interval_ns;  /* WAL_SYNC_INTERVAL */
    uint32_t segment_bytes;    /* 0: 64 MiB */
    uint32_t cache_bytes;      /* for reading back; 0: 8 MiB */
    uint32_t buffer_bytes_max; /* appended and not written yet; 0: 64 MiB */
    uint32_t garbage_percent;  /* of the log that may be dead before live records are moved; 0: 50 */
    uint32_t channels_max;     /* 0: no limit */
    struct store_limits limits;
    const struct store_limits_rule *rules; /* copied */
    uint32_t rule_count;
    bool verify; /* read every byte at the start, not only what is needed to know where things are */
    bool cut_damaged_tail; /* --file_truncate_bad_eof: give up what lies behind the first damage */
    bool read_only;        /* for tools: recovers, and changes nothing on disk */
    uint32_t salt;         /* 0: random; a simulator gives one, so that a run can be repeated */
    /* Segments of at least so many bytes are made and given up by store_chore_begin(); 0: none are. */
    uint32_t outside_bytes_min;
};

/* Opens and recovers. What the limits do not allow any more is dropped before it returns. On error *store is
 * NULL and `why` holds one sentence with file and offset where there are any: ERR_EXISTS when another process
 * has the folder, ERR_DAMAGED when stored bytes are not what was written (nothing was changed), ERR_SYSTEM,
 * ERR_MEMORY, ERR_INVALID (options). A torn tail, that is bytes that were never acknowledged, is cut without
 * complaint. Blocks while it reads. */
MUST_USE enum err store_open(struct store **store, const struct store_options *options, int64_t now_ns,
                             char *why, size_t why_bytes);

/* Writes and syncs what is pending (blocking; no store_io may be in flight), then frees. NULL is allowed.
 * ERR_SYSTEM: not all could be written; it is freed nevertheless. */
enum err store_close(struct store *store);

/* Frees without a write: as a crash would leave it. For tests and simulators. NULL is allowed. */
void store_abandon(struct store *store);

/* The sentence for the last error that this store met, with file and offset; "" if none. */
const char *store_error(const struct store *store);

/* The store cannot be trusted to keep anything any more: a sync failed, or the log could not be written.
 * Nothing is acknowledged from here on, appends answer ERR_SYSTEM. The owner stops the process. */
bool store_failed(const struct store *store);

/* ---- durability ---- */

/* Where the log ends. Whatever was appended, put, added or deleted so far is safe, under the configured
 * policy, once store_acknowledged() is at least this. Positions only grow. */
uint64_t store_position(const struct store *store);
uint64_t store_acknowledged(const struct store *store);

/* What to do now: write and then, if it says so, sync; answer by store_io_done() before the next. False:
 * nothing to do, or one is under way. What is appended meanwhile joins the next one. */
bool store_io_begin(struct store *store, int64_t now_ns, struct store_io *io);

/* `written` is the count or -errno of the write (0 without parts); `synced` is 0 or -errno, looked at only
 * when all was written and a sync was asked. A short write is carried on with the next begin; ENOSPC is tried
 * again with store_tick(); other errors end the store: store_failed(). */
void store_io_done(struct store *store, int64_t now_ns, int64_t written, int synced);

/* Files of the log are made before they are needed, and given up when they are not, by calls of which each
 * may take milliseconds. False: there is nothing to do, or one is under way. Else the owner makes the call,
 * while appends, writes and reads go on, and answers by store_chore_done(): what the call had for a result,
 * or -errno. Ask again then. What is not done in time is waited for by writes only. */
bool store_chore_begin(struct store *store, struct store_chore *what);
void store_chore_done(struct store *store, int64_t now_ns, int64_t result);

/* The call, blocking, for owners without a ring. */
int64_t store_chore_do(const struct store_files *files, const struct store_chore *what);

/* Blocking: does all that is pending through store_files. For tests and tools. */
MUST_USE enum err store_flush(struct store *store, int64_t now_ns);

/* Ages, cleaning, the interval of syncs, what failed for lack of room. Call it when store_next_tick_ns()
 * says, or more often; does a bounded piece of work each time. */
void store_tick(struct store *store, int64_t now_ns);

/* When the next tick is due; INT64_MAX: not before something is appended. */
int64_t store_next_tick_ns(const struct store *store);

/* ---- channels ---- */

/* ERR_EXISTS; ERR_FULL at channels_max; ERR_INVALID for a name that is none. */
MUST_USE enum err store_channel_create(struct store *store, struct bytes name, int64_t now_ns,
                                       struct store_channel **channel);
/* NULL when there is none. */
struct store_channel *store_channel_find(const struct store *store, struct bytes name);

/* With its messages and records; the handle is gone. Final once it is acknowledged. */
MUST_USE enum err store_channel_delete(struct store *store, struct store_channel *channel);

/* Private channels: the owner's own, with names of printable characters that begin with '/', as no other
 * channel's does. No limit counts for them, and neither the functions above and below nor any figure of
 * messages and channels knows of them; all that takes a handle works. ERR_EXISTS, ERR_INVALID. */
MUST_USE enum err store_private_create(struct store *store, struct bytes name, int64_t now_ns,
                                       struct store_channel **channel);
struct store_channel *store_private_find(const struct store *store, struct bytes name);
struct store_channel *store_private_next(const struct store *store, const struct store_channel *channel);

/* All channels in the order of their creation: NULL gives the first, the last gives NULL. */
struct store_channel *store_channel_next(const struct store *store, const struct store_channel *channel);
uint32_t store_channel_count(const struct store *store);
/* Whether channels_max of them are there: why store_channel_create() said ERR_FULL, or not. */
bool store_channels_full(const struct store *store);
struct bytes store_channel_name(const struct store_channel *channel);
const struct store_limits *store_channel_limits(const struct store_channel *channel);
/* Those that a channel of this name would have. */
struct store_limits store_limits_for(const struct store *store, struct bytes name);

/* A pointer of the owner's; NULL at first. */
void store_channel_set_owner(struct store_channel *channel, void *owner);
void *store_channel_owner(const struct store_channel *channel);

struct store_channel_figures {
    uint64_t first_sequence; /* 0 when never used; last + 1 when all have gone */
    uint64_t last_sequence;  /* 0 when never used; kept when all have gone */
    uint64_t message_count;
    uint64_t bytes;              /* data and STORE_MESSAGE_OVERHEAD_BYTES each; in memory the data alone */
    uint64_t dropped_count;      /* by limits, since the store was opened: the owner logs the first */
    int64_t last_activity_ns;    /* created, opened, or appended to */
    uint32_t subscription_count; /* keys of STORE_STATE_SUBSCRIPTION */
};
struct store_channel_figures store_channel_figures(const struct store_channel *channel);

/* Two of them, for who asks with each message: last_sequence, dropped_count. */
uint64_t store_channel_last(const struct store_channel *channel);
uint64_t store_channel_dropped(const struct store_channel *channel);

/* ---- messages ---- */

struct store_message {
    uint64_t sequence;
    int64_t timestamp_ns;
    struct bytes data;
};

/* Adds one behind the last; sequences are dense from 1. Then the limits count: the oldest go while there are
 * too many or too large, but never the one just added. ERR_FULL: the buffer is full (write first) or the disk
 * is (store_disk_full()); ERR_INVALID: larger than STORE_DATA_BYTES_MAX; ERR_MEMORY; ERR_SYSTEM. */
MUST_USE enum err store_append(struct store *store, struct store_channel *channel, struct bytes data,
                               int64_t timestamp_ns, uint64_t *sequence);

/* Adds `count` with one timestamp; *done tells how many, the first of them has *sequence. On error the ones
 * before are in, and stay. */
MUST_USE enum err store_append_batch(struct store *store, struct store_channel *channel,
                                     const struct bytes *data, uint32_t count, int64_t timestamp_ns,
                                     uint64_t *sequence, uint32_t *done);

/* For who copies a channel: the sequence is given. Not above the last: nothing happens, ERR_OK. Behind a gap:
 * the sequences between do not exist. */
MUST_USE enum err store_append_at(struct store *store, struct store_channel *channel, uint64_t sequence,
                                  struct bytes data, int64_t timestamp_ns);

/* Likewise, without its data: they can be made of those of message `source_sequence` of `source`, a private
 * channel, by what store_set_sharing() was given, and will be `data_bytes`. Both then live in one record, as
 * long as either needs it. ERR_NOT_FOUND: that record is not near enough to the log's end (or this is a
 * memory store), nothing was done: append the data. */
MUST_USE enum err store_append_shared(struct store *store, struct store_channel *channel, uint64_t sequence,
                                      size_t data_bytes, int64_t timestamp_ns,
                                      const struct store_channel *source, uint64_t source_sequence);

/* Reads one back. The data are good until the store's next call. ERR_NOT_FOUND: outside first..last, or in a
 * gap; ERR_SYSTEM, ERR_DAMAGED (store_error() has file and offset), ERR_MEMORY. Cost: no system call when it
 * lies near the one read before. */
MUST_USE enum err store_lookup(struct store *store, struct store_channel *channel, uint64_t sequence,
                               struct store_message *message);

/* The first sequence at or above `sequence` that exists; 0: none. */
uint64_t store_sequence_from(const struct store_channel *channel, uint64_t sequence);

/* Where to start for a moment: never used 0; all gone last + 1; not above the first's time: first; above the
 * last's: last + 1; the last's: last; else the first with that time or later. */
uint64_t store_sequence_at_time(const struct store_channel *channel, int64_t timestamp_ns);

/* Drops all below `sequence` (which may be last + 1). */
MUST_USE enum err store_trim_below(struct store *store, struct store_channel *channel, uint64_t sequence);

/* Drops all above `sequence`, and goes on behind it: for a replicated log that takes entries back. */
MUST_USE enum err store_cut_above(struct store *store, struct store_channel *channel, uint64_t sequence);

/* How the data of a message is made of what it shares. */
struct store_sharing {
    /* *data is good until the next call. ERR_INVALID: `source` is not what such a message shares;
     * ERR_MEMORY. */
    enum err (*make)(void *context, struct bytes source, struct bytes channel, uint64_t sequence,
                     int64_t timestamp_ns, struct bytes *data);
    void *context;
};

/* Before any message that shares is read; without it (`make` NULL) they are taken for damaged. */
void store_set_sharing(struct store *store, const struct store_sharing *sharing);

/* Removes all messages and starts anew: 0, 0; the next one appended by store_append_at() is the first. */
MUST_USE enum err store_channel_empty(struct store *store, struct store_channel *channel);

/* Whether the last append was refused because the disk is full; ends when there is room again. */
bool store_disk_full(const struct store *store);

/* ---- records: what belongs to the server, a client or a subscription ----
 * A key is (kind, channel or NULL, id). Its value is what was put last, and then, in order, all that was
 * added since: a subscription is put when it changes as a whole, and what was sent and acknowledged is added,
 * many sequences to the record. The store does not look inside. */

enum store_state_kind {
    STORE_STATE_SERVER, /* cluster id and subjects; no channel */
    STORE_STATE_CLIENT,
    STORE_STATE_SUBSCRIPTION, /* counted against subscriptions_max of its channel */
    STORE_STATE_OTHER,        /* counters and the like */
    STORE_STATE_RAFT,
    STORE_STATE_KINDS
};

/* Replaces the value, or makes the key. ERR_FULL: a new subscription above subscriptions_max, or as
 * store_append(), except that a full disk leaves room for records longest. */
MUST_USE enum err store_state_put(struct store *store, enum store_state_kind kind,
                                  struct store_channel *channel, struct bytes id, struct bytes value);

/* Adds to the value. *put_wanted: much has been added, it is time to put the whole again. ERR_FULL: more than
 * STORE_STATE_BYTES_MAX would have been added; the whole must be put. ERR_NOT_FOUND: nothing was put yet. */
MUST_USE enum err store_state_add(struct store *store, enum store_state_kind kind,
                                  struct store_channel *channel, struct bytes id, struct bytes addition,
                                  bool *put_wanted);

/* Legal when there is none. */
MUST_USE enum err store_state_delete(struct store *store, enum store_state_kind kind,
                                     struct store_channel *channel, struct bytes id);

struct store_state {
    enum store_state_kind kind;
    struct store_channel *channel; /* NULL: none */
    struct bytes id;
    const struct bytes *parts; /* what was put, then what was added, oldest first; good during the call */
    uint32_t part_count;       /* at least 1 */
};

/* Tells every key, in ascending order of kind, channel's creation, id bytes; until `each` answers something
 * else than ERR_OK, which is returned. `each` may not call the store. Memory stores have none to tell. */
MUST_USE enum err store_state_each(struct store *store,
                                   enum err (*each)(void *context, const struct store_state *state),
                                   void *context);

/* ---- figures ---- */

struct store_figures {
    uint64_t message_count;
    uint64_t message_bytes;
    uint64_t log_bytes;    /* on disk */
    uint64_t live_bytes;   /* of them, still needed */
    uint64_t memory_bytes; /* of indexes, buffers and cache; and of the data of a memory store */
    uint64_t syncs;
    uint64_t writes;
    uint64_t moved_records; /* by cleaning */
    uint64_t retired_segments;
    uint32_t segment_count;
    uint32_t descriptor_count;
    uint32_t channel_count;
    uint32_t state_count;
};
struct store_figures store_figures(const struct store *store);

/* "MEMORY", "FILE": the word for monitoring. */
const char *store_kind_name(const struct store *store);

#endif
