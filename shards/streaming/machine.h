/* shards/streaming/machine.h - NATS Streaming as a state machine apart from sockets, clocks and threads:
 * requests, acknowledgements, answers, time and "this much is on disk" go in; messages to publish, inboxes to
 * listen to and lines for the log come out (docs/streaming.md 3). In the flow:  desk -> streaming_request()
 * -> propose, apply -> store || streaming_step() -> streaming_output_next() The same inputs in the same order
 * give the same outputs and the same state: all randomness comes from the seed. At the bound: it makes no
 * more than OUTPUT_BYTES_MAX of outputs ahead of whoever takes them; what clients publish while
 * HELD_BYTES_MAX of answers wait for the disk, or of proposals for the log, is refused with a text.
 * Replicated (docs/streaming-cluster.md):  desk -> streaming_request() -> STREAMING_OUTPUT_PROPOSE -> Raft's
 * log -> streaming_apply() on every node -> the answer of the one that proposed. Thread: one. */
#ifndef SHARDS_STREAMING_MACHINE_H
#define SHARDS_STREAMING_MACHINE_H

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "shards/streaming/outputs.h"
#include "store/store.h"

struct streaming; /* opaque; state.h is for its files and for monitoring */

enum { STREAMING_VIA_NONE = UINT16_MAX };

/* What is sent to the service, by the subject that it came to. */
enum streaming_request_kind {
    STREAMING_REQUEST_CONNECT,
    STREAMING_REQUEST_PING,
    STREAMING_REQUEST_PUBLISH,
    STREAMING_REQUEST_SUBSCRIBE,
    STREAMING_REQUEST_UNSUBSCRIBE,
    STREAMING_REQUEST_SUBSCRIPTION_CLOSE,
    STREAMING_REQUEST_CLOSE,
    STREAMING_REQUEST_ACK, /* `subject` is the ack inbox */
};
enum { STREAMING_REQUEST_KINDS = STREAMING_REQUEST_ACK + 1 };

struct streaming_request {
    enum streaming_request_kind kind;
    uint16_t via; /* where it came from: answers go back that way */
    struct bytes subject;
    struct bytes reply; /* empty: no answer is wanted */
    struct bytes payload;
};

/* The moment of a step. */
struct streaming_now {
    int64_t now_ns;  /* never goes back: timers */
    int64_t wall_ns; /* since 1970: timestamps */
};

struct streaming_setup {
    struct store *store; /* outlives the machine */
    const char *cluster_id;
    const char *discover_prefix;
    bool replace_durable;
    bool trace; /* each message and acknowledgement is logged */
    int64_t heartbeat_interval_ns;
    int64_t heartbeat_timeout_ns;
    int64_t heartbeat_fail_max;
    uint64_t seed;
    struct bytes server_id; /* for inboxes of the service: copied */
    struct streaming_now now;

    /* It proposes what it would do, and does what is applied; of the store it keeps channels and messages
     * only. It begins as a follower with nothing in it: streaming_restore() if there is a snapshot,
     * streaming_apply() from the entry behind it on. */
    bool replicated;
    uint32_t channels_max; /* replicated: 0 no limit; the store's own has none */

    /* Replicated, and one of several groups that share the store: it has the channels of its own. The first
     * one is `registry` of the others, NULL for itself: clients are its matter alone. It outlives them; all
     * are one thread's. group_count 0 is 1. */
    uint32_t group, group_count;
    struct streaming *registry;
};

/* Takes over what the store has recovered; outputs tell which ack inboxes to listen to. ERR_INVALID,
 * ERR_MEMORY, ERR_SYSTEM: `why` says what is wrong. Owner: the caller, until streaming_free(). */
MUST_USE enum err streaming_new(struct streaming **machine, const struct streaming_setup *setup, char *why,
                                size_t why_bytes);
void streaming_free(struct streaming *machine);

/* The subjects on which requests come, by enum streaming_request_kind; all but acks. Good as long as the
 * machine. */
struct bytes streaming_subject(const struct streaming *machine, enum streaming_request_kind kind);

/* The pattern of answers to the service's own requests: heartbeats, probes. */
struct bytes streaming_inbox(const struct streaming *machine);

void streaming_request(struct streaming *machine, struct streaming_now now,
                       const struct streaming_request *request);

/* An answer on that subject of streaming_inbox(); `nobody`: the request found no receiver. */
void streaming_answer(struct streaming *machine, struct streaming_now now, struct bytes subject, bool nobody);

/* Everything up to this position of the store is safe: answers that waited for it go out. */
void streaming_synced(struct streaming *machine, struct streaming_now now, uint64_t position);

/* Timers that are due, deliveries that are possible. True: more is to be done once outputs are taken. */
bool streaming_step(struct streaming *machine, struct streaming_now now);

/* When the next timer is due; INT64_MAX: there is none. */
int64_t streaming_next_ns(const struct streaming *machine);

/* The next thing to do for the world; false: nothing. Its bytes are good until the next call into the
 * machine. */
bool streaming_output_next(struct streaming *machine, struct streaming_output *output);

/* The bodies of those that follow and are alike but for them, at most `most`: good as long as the first's. */
uint32_t streaming_output_more(struct streaming *machine, const struct streaming_output *first,
                               struct bytes *bodies, uint32_t most);

/* The caller could not do the last `count` of these yet: they are told again. */
void streaming_output_back(struct streaming *machine, uint32_t count);

/* How much waits for the disk, of HELD_BYTES_MAX: who feeds the machine slows publishers from half on. */
bool streaming_busy(const struct streaming *machine);

/* ---- replicated ---- */

/* A committed entry: on every node, each index once, in order; what the command holds is checked again,
 * against the state that all nodes have in common. `own`: this node proposed it since it leads, so it answers
 * too. ERR_FULL: the store's buffer or disk is, nothing was done; the same again after store_io_done() or
 * store_tick(). ERR_DAMAGED: no command of this version, ERR_MEMORY, ERR_SYSTEM: this node cannot go on, for
 * it would not be what the others are. */
MUST_USE enum err streaming_apply(struct streaming *machine, struct streaming_now now, uint64_t index,
                                  struct bytes command, bool own);

/* Where in the machine's own store the log's entries are: a private channel, an entry's sequence is its
 * index. Messages then share their records (sharing.h). Before the first entry is applied. */
void streaming_set_log(struct streaming *machine, const struct store_channel *log);

/* Leads: everything committed before its term is applied, so it serves clients from here on. Outputs tell
 * which ack inboxes to listen to; what was not acknowledged is sent again. Ceases: they are given up, timers
 * stop, publishes that were not applied are answered with an error, and what was not taken of its proposals
 * is dropped. What it proposed comes with `own` false from here on. Legal when it is so already. */
void streaming_lead(struct streaming *machine, struct streaming_now now, bool leads);
bool streaming_leads(const struct streaming *machine);
/* Of the last entry; 0: none yet. */
uint64_t streaming_applied_index(const struct streaming *machine);

/* The state as of the last entry applied, without messages; the same on every node but for where each channel
 * begins, which is a matter of this node's limits. May be kept by this node once the store is safe up to
 * where it ends now. Owner of *bytes: the caller, memory_free(). ERR_MEMORY. */
MUST_USE enum err streaming_snapshot_write(const struct streaming *machine, uint8_t **bytes, size_t *count);

/* Becomes what a snapshot says, whatever it was before; the next entry is the one behind it. Not while it
 * leads. `own`: this node wrote it, so what the store lacks was deleted behind it; else it is another node's,
 * and channels of the store that it does not have go. Then streaming_missing(). ERR_DAMAGED: no snapshot,
 * nothing has changed; ERR_MEMORY, ERR_SYSTEM, ERR_FULL: to be done once more, or never. */
MUST_USE enum err streaming_restore(struct streaming *machine, struct streaming_now now,
                                    struct bytes snapshot, bool own);

/* Messages that the state has and the store has not: of one channel, from first to last. False: nothing is
 * missing. The name is good until the next call. */
struct streaming_missing {
    struct bytes channel;
    uint64_t channel_id; /* which one of that name: the index of the entry that made it */
    uint64_t first, last;
};
bool streaming_missing(const struct streaming *machine, struct streaming_missing *missing);

/* For a peer that lacks them: a piece of what is asked, as bytes for its streaming_fill(); about `bytes_max`,
 * at least one message. Messages that are gone here are told as gone. Owner of *piece: the caller,
 * memory_free(). It need not lead the machine: a leader's first entry may wait for the peer that asks.
 * ERR_INVALID: not to be asked here, for this node has not applied so much, or lacks some itself; ERR_MEMORY,
 * ERR_SYSTEM, ERR_DAMAGED: it cannot be read. */
MUST_USE enum err streaming_fetch(struct streaming *machine, const struct streaming_missing *wanted,
                                  size_t bytes_max, uint8_t **piece, size_t *count);

/* A piece from the leader; streaming_missing() then tells what is missing still. Pieces that nobody waits
 * for, or not yet, change nothing. ERR_DAMAGED: bytes that are no piece, nothing was done; ERR_FULL: the
 * store's buffer or disk is, and what went in stays; the same piece may come again. ERR_MEMORY, ERR_SYSTEM.
 */
MUST_USE enum err streaming_fill(struct streaming *machine, struct streaming_now now, struct bytes piece);

/* Nobody can give what is missing: all of it is nowhere from here on, and entries may be applied. ERR_FULL:
 * the store is, to be called again; ERR_MEMORY, ERR_SYSTEM. */
MUST_USE enum err streaming_forgo(struct streaming *machine, struct streaming_now now);

/* Whether a channel is of this machine's group; true with one group. */
bool streaming_owns(const struct streaming *machine, struct bytes channel);

/* Of the machine; but messages are the store's, of all its machines. */
struct streaming_figures {
    uint64_t client_count, channel_count, subscription_count;
    uint64_t message_count, message_bytes;
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
};
struct streaming_figures streaming_figures(const struct streaming *machine);

#endif
