/* shards/streaming/service_inside.h - what the files of the service share. Nobody else includes this. In the
 * flow:  service.c (turns, beginning and end), service_desk.c (requests in, the machines' outputs out),
 * service_store.c (the store's files and its writes on the ring). Thread: the control core's. */
#ifndef SHARDS_STREAMING_SERVICE_INSIDE_H
#define SHARDS_STREAMING_SERVICE_INSIDE_H

#include "shards/control/control_internal.h"
#include "shards/streaming/alone.h"
#include "shards/streaming/chores.h"
#include "shards/streaming/gather.h"
#include "shards/streaming/groups.h"
#include "shards/streaming/machine.h"
#include "shards/streaming/replica.h"
#include "shards/streaming/service.h"
#include "shards/streaming/sharing.h"

/* A subject of the service. */
struct service_listener {
    struct desk_listener desk;
    uint8_t kind; /* enum streaming_request_kind */
};

/* An ack inbox. */
struct ack_listener {
    struct desk_listener desk;
    struct streaming *machine; /* whose */
};

/* A part of the channels: all of them, but for a cluster with several groups (docs/streaming-cluster.md 10).
 */
struct service_group {
    struct streaming *machine;
    struct replica *replica; /* NULL: no node of a cluster */
};

struct streaming_service {
    struct store *store;
    struct sharing sharing;
    struct store_files files;
    struct service_group groups[STREAMING_GROUPS_MAX]; /* the first one has the clients */
    uint32_t group_count;
    bool clustered;
    struct service_listener listeners[STREAMING_REQUEST_KINDS]; /* but for acks */
    struct desk_listener inbox;
    struct alone alone; /* where others can be reached */
    struct loop_op write;
    struct loop_op sync;
    struct store_io io; /* under way */
    struct chores chores;
    int64_t written;
    struct gather gather;
    int64_t write_due_ns; /* of a write that waits for publishers; INT64_MAX: none does */
    struct streaming_now now;
    uint64_t lost; /* of the machine's outputs, told */
    bool has_files;
    bool stopping;
};

/* The moment of this turn: the wall is asked once. */
struct streaming_now service_now(struct control *control);

/* ---- service_desk.c ---- */

/* Takers for the desk: of the service's subjects, and of answers to what the first machine has asked. */
void service_request_take(struct control *control, struct desk_listener *listener,
                          const struct desk_message *message);
void service_answer_take(struct control *control, struct desk_listener *listener,
                         const struct desk_message *message);
/* True: outputs are left because a mailbox, or Raft, is full. */
bool service_outputs_do(struct control *control, const struct service_group *group);

/* ---- service_store.c ---- */

/* Opens it. ERR_SYSTEM and so on: `why` has the sentence. */
MUST_USE enum err service_store_start(struct control *control, struct streaming_service *service, char *why,
                                      size_t why_bytes);
/* Has the ring write and sync what there is, if it does not do so already. */
void service_io_begin(struct control *control);

#endif
