/* shards/streaming/machine.h - NATS Streaming as a state machine apart from sockets, clocks and threads:
 * requests, acknowledgements, answers, time and "this much is on disk" go in; messages to publish, inboxes to
 * listen to and lines for the log come out (docs/streaming.md 3). In the flow:  desk -> streaming_request()
 * -> propose, apply -> store || streaming_step() -> streaming_output_next() The same inputs in the same order
 * give the same outputs and the same state: all randomness comes from the seed. At the bound: it makes no
 * more than OUTPUT_BYTES_MAX of outputs ahead of whoever takes them; what clients publish while
 * HELD_BYTES_MAX of answers wait for the disk is refused with a text. Thread: one. */
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

/* The caller could not do the last one yet: it is told again. */
void streaming_output_back(struct streaming *machine);

/* How much waits for the disk, of HELD_BYTES_MAX: who feeds the machine slows publishers from half on. */
bool streaming_busy(const struct streaming *machine);

struct streaming_figures {
    uint64_t client_count, channel_count, subscription_count;
    uint64_t message_count, message_bytes;
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
};
struct streaming_figures streaming_figures(const struct streaming *machine);

#endif
