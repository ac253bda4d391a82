/* raft/progress.h - what a leader knows of one peer's log, and how much it may send without an answer.
 * In the flow: appends and snapshots are sent as raft_progress says; replies move it.
 *
 *      PROBE --acknowledged--> REPLICATE        PROBE: where the logs agree is not known; one message at a
 * time ^ ^ <----refused-------'  |            REPLICATE: pipelined (dissertation 10.2.2) |  '--- given up ---
 * SNAPSHOT <-- any  SNAPSHOT: what it lacks is compacted; chunks, no appends
 *
 * At the bound: with `window` messages or window_bytes in flight nothing more is sent until a reply. Pure. */
#ifndef RAFT_PROGRESS_H
#define RAFT_PROGRESS_H

#include "raft/message.h"

enum { RAFT_WINDOW_MAX = 64 };

enum raft_progress_state { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT, RAFT_PROGRESS_STATES };

/* An append that was sent and not answered. */
struct raft_sent {
    uint64_t last_index;
    uint32_t count_bytes;
};

/* Messages in flight, oldest first. */
struct raft_window {
    struct raft_sent sent[RAFT_WINDOW_MAX];
    uint32_t oldest;
    uint32_t count;
    uint64_t count_bytes;
};

struct raft_transfer_out {
    uint64_t acknowledged_bytes; /* the peer has so much */
    uint64_t next_bytes;         /* and was sent so much */
    uint64_t at_heartbeat_bytes; /* acknowledged_bytes at the last heartbeat reply: no move since is a loss */
};

struct raft_progress {
    enum raft_progress_state state;
    uint64_t match_index; /* durable there and as here; below next_index */
    uint64_t next_index;  /* to be sent next */
    uint64_t told_commit_index;
    uint64_t told_tick;                /* of the last append */
    bool waiting;                      /* PROBE: one is under way */
    bool ask;                          /* send something, be it empty: the reply says where the peer is */
    struct raft_window window;         /* REPLICATE */
    struct raft_transfer_out snapshot; /* SNAPSHOT */
};

/* At the start of a term: nothing is known. */
void raft_progress_init(struct raft_progress *progress, uint64_t last_index);

/* The peer has acknowledged all up to `index`. True: that is news. */
bool raft_progress_acknowledged(struct raft_progress *progress, uint64_t index);

/* The peer refused what followed `refused_index`; `agreed_index` may match. False: an old message. */
bool raft_progress_refused(struct raft_progress *progress, uint64_t refused_index, uint64_t agreed_index);

/* The driver could not send, or gave up: find out anew. */
void raft_progress_probe(struct raft_progress *progress);

void raft_progress_snapshot(struct raft_progress *progress);

/* Whether another append with entries may leave. */
bool raft_progress_may_send(const struct raft_progress *progress, uint32_t window, uint64_t window_bytes);

/* An append up to `last_index` leaves. */
void raft_progress_sent(struct raft_progress *progress, uint64_t last_index, uint32_t count_bytes);

#endif
