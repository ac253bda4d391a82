/* shards/streaming/replica_watch.c - whether the leader is gone, not only silent (docs/streaming-cluster.md
 * 6). In the flow:  some heartbeats do not come -> a word to its subject -> "nobody is there", for its
 * process has ended and the route to it is closed -> RAFT_EVENT_LEADER_GONE: no need to wait for the rest of
 * an election timeout. A leader that is cut off, or stands still, answers nothing, and is waited for. Who is
 * wrong disturbs nobody: there is a vote before the vote, and whoever hears the leader gives none. */
#include "core/base/check.h"
#include "shards/control/control_internal.h"
#include "shards/streaming/replica_inside.h"

#include <inttypes.h>
#include <stdio.h>

enum { HEARTBEATS_MISSED = 3, WATCH_SUBJECT_BYTES = 192 };

static void take(struct control *control, struct desk_listener *desk, const struct desk_message *message)
{
    struct replica *replica = CONTAINER_OF(desk, struct replica, watch.listener);
    struct raft_event event = {.kind = RAFT_EVENT_LEADER_GONE, .peer = replica->watch.asked};
    (void)control;
    if (!message->nobody || !replica->runs)
        return;
    log_notice(replica->control->log, "STREAM: the leader of Raft group %s has ended",
               replica->control->snapshot->options->streaming.cluster_id);
    replica_ticks(replica, replica_moment(replica));
    raft_driver_step(&replica->driver, &event, NULL);
}

/* The subject of the answer; false: a mailbox is full. */
static bool watch_listens(struct replica *replica, char *subject, struct bytes *reply)
{
    struct desk_listener *listener = &replica->watch.listener;
    char suffix[32];
    enum err err = ERR_OK;
    snprintf(suffix, sizeof suffix, "gone.%016" PRIx64, replica->id);
    *reply = peers_subject(&replica->peers, suffix, subject, WATCH_SUBJECT_BYTES);
    listener->taker = take;
    return listener->base.interest != NULL || desk_listen(replica->control, listener, *reply, &err);
}

void watch_step(struct replica *replica)
{
    char subject[WATCH_SUBJECT_BYTES], own[WATCH_SUBJECT_BYTES], suffix[32];
    struct bytes reply, nothing = {NULL, 0};
    struct raft_status status;
    raft_status(replica->driver.raft, &status);
    if (!watch_listens(replica, own, &reply) || status.role != RAFT_FOLLOWER || status.leader == 0 ||
        status.silent_ticks < HEARTBEATS_MISSED * replica->options.heartbeat_ticks ||
        replica->watch.next_ns > replica->now.now_ns)
        return;
    replica->watch.next_ns = replica->now.now_ns + replica->options.heartbeat_ticks * replica->tick_ns;
    replica->watch.asked = status.leader;
    snprintf(suffix, sizeof suffix, "to.%016" PRIx64, status.leader);
    /* Lost when a mailbox is full: it is said again. */
    (void)!desk_publish(replica->control, 0, peers_subject(&replica->peers, suffix, subject, sizeof subject),
                        reply, &nothing, 1);
}

void watch_close(struct replica *replica)
{
    desk_forget(&replica->control->desk, &replica->watch.listener);
}
