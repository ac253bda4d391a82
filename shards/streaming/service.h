/* shards/streaming/service.h - the streaming machine among the control core's services: its subjects on the
 * desk, its store on the ring, the time of the day (docs/streaming.md 4). In the flow:  desk ->
 * streaming_request() || once a turn: service_step() -> streaming_step() -> outputs -> desk store_io_begin()
 * -> ring -> service_completed() -> store_io_done() At the bounds: outputs wait while a mailbox is full;
 * publishers are slowed when too much waits for the disk. A store that cannot keep anything any more ends the
 * process: what was acknowledged is safe, and nothing else is promised. Thread: the control core's. */
#ifndef SHARDS_STREAMING_SERVICE_H
#define SHARDS_STREAMING_SERVICE_H

#include "core/base/err.h"
#include "core/loop/loop.h"
#include "shards/streaming/machine.h"

struct control;
struct streaming_service; /* opaque */
struct replica;

/* Opens the store, recovers and listens, with the lines that tools wait for. When clients can connect
 * already. On error `why` is the reason, and everything is closed. */
MUST_USE enum err service_start(struct control *control, char *why, size_t why_bytes);

/* With a NATS server outside of this process: it is reached for the first time, and all is subscribed. */
void service_reached(struct control *control);

/* There: nobody else has our cluster id, so requests are listened to; and when to think so without an answer.
 */
void service_alone(struct control *control);
void service_alone_due(struct control *control);

/* The ring has done its part of the store's work. */
void service_completed(struct control *control, const struct loop_completion *completion);

/* Once a turn. True: there is more to do at once. *retry: a mailbox is full. */
bool service_step(struct control *control, bool *retry);

/* When the next timer is due; INT64_MAX: there is none. */
int64_t service_next_ns(const struct control *control);

/* Takes no more requests: the process ends. */
void service_stop(struct control *control);

/* Waits for what the ring has of it, writes what is left and frees. Before the loop goes. */
void service_close(struct control *control);

/* How many groups the channels are shared out between; 1 without a cluster, 0: the service is off. */
uint32_t service_group_count(const struct control *control);

/* A group's replica on this node, for monitoring; NULL: it is no node of a cluster. */
const struct replica *service_replica(const struct control *control, uint32_t group);

/* Of all groups. */
struct streaming_figures service_figures(const struct control *control);

/* A group's machine, for monitoring: the first one has the clients. NULL: the service is off. */
const struct streaming *service_machine(const struct control *control, uint32_t group);

#endif
