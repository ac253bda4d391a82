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

enum { HEARTBEATS_MISSED = 3, WATCH_SUBJECT_BYTES = 192, WATCH_SUFFIX_BYTES = 48 };

/* Of the answer about that leader: it says whom it is about, for it may come when another one leads. */
static struct bytes answer_subject(const struct replica *replica, uint64_t leader, char *to)
{
    char suffix[WATCH_SUFFIX_BYTES];
    snprintf(suffix, sizeof suffix, "gone.%016" PRIx64 ".%016" PRIx64, replica->id, leader);
    return peers_subject(&replica->peers, suffix, to, WATCH_SUBJECT_BYTES);
}

/* The term has one leader: that it is gone is logged once, and told each time. */
static void take(struct control *control, struct desk_listener *desk, const struct desk_message *message)
{
    struct replica *replica = CONTAINER_OF(desk, struct replica, watch.listener);
    char subject[WATCH_SUBJECT_BYTES];
    struct raft_status status;
    (void)control;
    if (!message->nobody || !replica->runs)
        return;
    replica_ticks(replica, replica_moment(replica));
    raft_status(replica->driver.raft, &status);
    if (status.role != RAFT_FOLLOWER || status.leader == 0 ||
        !bytes_equal(message->subject, answer_subject(replica, status.leader, subject)))
        return;
    if (replica->watch.gone_term != status.term)
        log_notice(replica->control->log, "STREAM: %sthe leader of Raft group %s has ended", replica->tag,
                   replica->control->snapshot->options->streaming.cluster_id);
    replica->watch.gone_term = status.term;
    struct raft_event event = {.kind = RAFT_EVENT_LEADER_GONE, .peer = status.leader};
    raft_driver_step(&replica->driver, &event, NULL);
}

/* To the answers about whoever leads. False: a mailbox is full. */
static bool watch_listens(struct replica *replica)
{
    struct desk_listener *listener = &replica->watch.listener;
    char suffix[WATCH_SUFFIX_BYTES], subject[WATCH_SUBJECT_BYTES];
    enum err err = ERR_OK;
    if (listener->base.interest != NULL)
        return true;
    snprintf(suffix, sizeof suffix, "gone.%016" PRIx64 ".*", replica->id);
    listener->taker = take;
    return desk_listen(replica->control, listener,
                       peers_subject(&replica->peers, suffix, subject, sizeof subject), &err);
}

/* Looks once in the time of a heartbeat: a turn of many groups has no time for more. */
void watch_step(struct replica *replica)
{
    char subject[WATCH_SUBJECT_BYTES], reply[WATCH_SUBJECT_BYTES], suffix[WATCH_SUFFIX_BYTES];
    struct bytes nothing = {NULL, 0};
    struct raft_status status;
    if (replica->raft_leads || replica->watch.next_ns > replica->now.now_ns)
        return;
    replica->watch.next_ns = replica->now.now_ns + replica->options.heartbeat_ticks * replica->tick_ns;
    raft_status(replica->driver.raft, &status);
    if (!watch_listens(replica) || status.role != RAFT_FOLLOWER || status.leader == 0 ||
        status.silent_ticks < HEARTBEATS_MISSED * replica->options.heartbeat_ticks)
        return;
    snprintf(suffix, sizeof suffix, "to.%016" PRIx64, status.leader);
    /* Lost when a mailbox is full: it is said again. */
    (void)!desk_publish(replica->control, 0, peers_subject(&replica->peers, suffix, subject, sizeof subject),
                        answer_subject(replica, status.leader, reply), &nothing, 1);
}

void watch_close(struct replica *replica)
{
    desk_forget(&replica->control->desk, &replica->watch.listener);
}
