/* shards/control/peers.h - what the control core does alike for routes and for gateways: takes connections,
 * chooses a shard for them, has passwords checked, and speaks to their sessions. In the flow:  cluster.c,
 * gateways.c and their neighbours -> peer_..() -> mail to a shard or to the worker.
 *
 * A mailbox may be full, and the control core cannot wait: an answer is kept until there is room, one for
 * each connection, because a session takes no more bytes until it has it. Lines are not kept: a peer that
 * missed some would be wrong for as long as it is there, so whoever cannot say them ends the connection, and
 * one that comes again is told everything. Thread: the control core's. */
#ifndef SHARDS_CONTROL_PEERS_H
#define SHARDS_CONTROL_PEERS_H

#include "core/loop/loop.h"
#include "core/loop/timers.h"
#include "shards/mail.h"

struct control;

/* A connection's answer that has found no room. All zero: none. */
struct peer_answer {
    bool owes;
    struct mail_route_answer owed;
};

/* Answers what a connection has said, or ends it unasked; behind an end nothing is said any more. */
void peer_answer_say(struct control *control, uint32_t shard, struct peer_answer *answer,
                     const struct mail_route_answer *mail);

/* Says what has found no room. True: it has found none again. */
bool peer_answer_again(struct control *control, uint32_t shard, struct peer_answer *answer);

/* An answer that goes on, or ends with `error` (NULL: without -ERR). */
struct mail_route_answer peer_goes_on(uint64_t rid);
struct mail_route_answer peer_ends(uint64_t rid, uint8_t reason, const char *error);

/* Lines for a connection; `moves`: see mail_route_bytes. False: no memory, or no room. */
MUST_USE bool peer_lines_say(struct control *control, uint32_t shard, uint64_t rid, struct bytes lines,
                             bool moves);

/* Has the worker check a password against a hash; the answer names `rid`. False: no memory, or no room. */
MUST_USE bool peer_password_ask(struct control *control, uint64_t rid, struct bytes stored,
                                struct bytes given);

/* The shard with the lowest count of `shard_count`. */
uint32_t peer_shard(const uint32_t *counts, uint32_t shard_count);

/* Whether a listener has to be armed again behind this completion. Out of descriptors or memory it is the
 * timer that does so, a moment later. */
bool peer_accept_again(struct control *control, const struct loop_completion *completion,
                       struct timer *pause);

#endif
