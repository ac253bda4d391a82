/* shards/streaming/replica.h - a node of clustered streaming: Raft's driver between the streaming machine,
 * the store and the peers (docs/streaming-cluster.md). In the flow: STREAMING_OUTPUT_PROPOSE ->
 * replica_propose() -> Raft's log -> a majority -> streaming_apply() on every node || once a turn:
 * service_step() -> replica_turn() -> what is durable, committed, to be sent, to be restored. It forms or
 * joins a cluster when the store has none (replica_form.c), restores snapshots and fetches what they leave
 * out (replica_restore.c). Several groups on one store have a replica each: the first one, number 0, knows
 * who belongs to the cluster, the others follow it (replica_groups.c). At the bounds: a proposal is not taken
 * while Raft, the store's buffer or the disk have no room. What a node cannot write, or cannot apply, ends
 * the process: it would not be what the others are. Thread: the control core's. */
#ifndef SHARDS_STREAMING_REPLICA_H
#define SHARDS_STREAMING_REPLICA_H

#include "raft/raft.h"
#include "shards/streaming/machine.h"
#include "shards/streaming/peers.h"

struct control;
struct replica; /* opaque */

enum { REPLICA_WHY_BYTES = 256 };

/* Before the machine is made: whose store this is. `first`: NULL for the first group, else its replica, which
 * outlives this one. ERR_INVALID: `why` says that it is not a node's, or one of another number of groups. */
MUST_USE enum err replica_new(struct replica **replica, struct control *control, struct store *store,
                              struct replica *first, struct streaming_now now, char *why, size_t why_bytes);

/* The desk is open and the machine, replicated and empty, is there: restores the newest snapshot, then
 * resumes, or begins to form a cluster; the first group last. `why` as above. */
MUST_USE enum err replica_start(struct replica *replica, struct streaming *machine, struct streaming_now now,
                                char *why, size_t why_bytes);

/* A leader asks another node to lead: the process ends. */
void replica_stop(struct replica *replica, struct streaming_now now);

/* NULL is allowed. The machine and the store are untouched. */
void replica_free(struct replica *replica);

/* False: later. */
bool replica_propose(struct replica *replica, struct streaming_now now, struct bytes command);

/* Does what is to be done; twice in a turn is legal, so that what was proposed leaves in it. True: the
 * machine has changed. */
bool replica_turn(struct replica *replica, struct streaming_now now);

/* When the next turn is due at the latest; INT64_MAX: not before something comes. */
int64_t replica_next_ns(const struct replica *replica);

/* The machine leads: the service's subjects are to be open. */
bool replica_leads(const struct replica *replica);
/* They are open, or closed. */
void replica_subjects_opened(struct replica *replica);

/* ---- for monitoring ---- */

const char *replica_name(const struct replica *replica);
/* "Leader", "Follower", "Candidate". */
const char *replica_role(const struct replica *replica);
/* False: Raft has not started yet. */
bool replica_raft_status(const struct replica *replica, struct raft_status *status);
struct peers_figures replica_peers_figures(const struct replica *replica);

#endif
