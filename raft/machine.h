/* raft/machine.h - the inside of struct raft, for the machine's own files only: machine.c (life, terms and
 * the door, raft_step()), election.c (votes, timers, changes of role), follower.c (what a leader's messages
 * do to a log), leader.c (proposals, replies, the commit index), sender.c (appends, heartbeats and chunks to
 * peers), membership_change.c (who belongs), removed.c (members that are none any more), install.c
 * (receiving, taking and installing snapshots), reads.c (reads under a lease or a round), update.c (what is
 * to be done, persistence, apply), status.c (for monitoring). */
#ifndef RAFT_MACHINE_H
#define RAFT_MACHINE_H

#include "core/base/check.h"
#include "core/base/random.h"
#include "raft/log.h"
#include "raft/progress.h"
#include "raft/raft.h"
#include "raft/sabotage.h"

enum {
    RAFT_OUTBOX_MAX =
        128, /* replies that wait for the next update; at the bound they are dropped and counted */
    RAFT_PERSISTS_MAX = 32, /* updates on their way to the disk; above, two are answered as one */
    RAFT_HISTORY_MAX = 16,  /* memberships since the snapshot; from half of it on a snapshot is asked for, at
                             * the  bound a leader changes and a follower takes no more until there is one */
};

enum raft_opinion { RAFT_NO_ANSWER, RAFT_GRANTED, RAFT_REFUSED };

/* One per member, this node included, in the order of the membership. */
struct raft_peer {
    uint64_t id;
    bool voter;
    enum raft_opinion vote; /* candidates' */
    uint64_t contact_tick;  /* when the last message that it answered was sent; a leader's start counts */
    uint64_t lease_tick;    /* the same plus 1, without the start; 0: none */
    uint64_t round;         /* the last round of reads that it answered */
    bool heartbeat;         /* is due */
    struct raft_progress progress;
};

/* An update that is on its way to the disk, and what is durable when it is. */
struct raft_persist {
    uint64_t seq;
    uint64_t last_index;
    uint64_t term;
    uint64_t voted_for;
};

struct raft_history {
    uint64_t index; /* of the entry; 0 or a snapshot's index for what was there at the start */
    struct raft_membership membership;
};

/* A read that waits for a majority to answer `round`. */
struct raft_read {
    uint64_t id;
    uint64_t index;
    uint64_t round;
};

struct raft {
    struct raft_options options;
    struct random random;
    enum raft_role role;
    bool started;

    /* Paper figure 2: hard state, and how much of it is durable. */
    uint64_t term;
    uint64_t voted_for;
    uint64_t durable_term;
    uint64_t durable_voted_for;
    bool hard_state_dirty; /* since the last update */
    bool log_dirty;
    struct raft_persist persists[RAFT_PERSISTS_MAX];
    uint32_t persist_count;
    uint64_t persist_seq;

    struct raft_log log;
    uint64_t persisted_index; /* all up to this is durable here */
    uint64_t commit_index;
    uint64_t written_commit_index; /* in the last hard state that was given out */
    uint64_t applied_index;
    uint64_t apply_sent_index; /* given to the driver */
    uint64_t uncommitted_bytes;
    uint64_t bytes_since_snapshot; /* applied */

    /* Members: the newest in the log is in force; older ones are for truncation and snapshots. */
    struct raft_history history[RAFT_HISTORY_MAX];
    uint32_t history_count; /* at least 1 */
    struct raft_peer peers[RAFT_MEMBERS_MAX];
    uint32_t peer_count;

    /* Time, in ticks since the start. */
    uint64_t tick;
    uint64_t elapsed_ticks; /* since a leader was heard, a vote given or a candidacy begun */
    uint64_t timeout_ticks; /* of elapsed_ticks, drawn anew each time */
    uint64_t contact_tick;  /* a leader was heard last; valid with `contact` */
    bool contact;           /* holds back votes: a leader's lease may rest on this node */

    /* A follower's. */
    uint64_t leader;         /* 0: not known */
    uint64_t verified_index; /* as in the leader's log, in this term */
    uint64_t told_index;     /* what it was last told */
    bool reply_due;
    uint64_t reply_tick;

    /* What a leader said last, or the log did before a snapshot took that part of it: the entry about members
     * that does not have this node; index 0: nothing. */
    struct raft_removed told_removed;
    bool removed_said; /* as role_changed said it last */

    /* A candidate's. */
    bool forced; /* by TIMEOUT_NOW */

    /* A leader's. */
    uint64_t heartbeat_elapsed_ticks;
    uint64_t term_first_index; /* of its own first entry */
    uint64_t transfer_to;      /* 0: none */
    uint64_t transfer_ticks;
    bool transfer_told;
    bool lease_spent; /* a TIMEOUT_NOW left in this term: whoever got it ignores our lease, whenever it
                         arrives */

    /* Reads. */
    struct raft_read reads[RAFT_READS_MAX]; /* oldest first */
    uint32_t read_count;
    uint64_t round;    /* the last one begun */
    bool round_wanted; /* some read waits for round + 1 */
    struct raft_read_state answers[RAFT_READS_MAX * 2];
    uint32_t answer_count; /* with read_count never above RAFT_READS_MAX * 2 */
    struct raft_read_state told_answers[RAFT_READS_MAX * 2]; /* the last update's */

    /* Snapshots: the newest of our own, the one that peers are being sent, and the one that comes in. */
    struct raft_snapshot snapshot;
    struct raft_snapshot pinned; /* index 0: none */
    struct raft_snapshot taking; /* index 0: none */
    bool taking_new;
    struct raft_snapshot incoming; /* index 0: none */
    uint64_t incoming_from;
    uint64_t incoming_bytes;
    bool installing; /* it is whole and with the driver */
    bool installing_new;

    /* What leaves. */
    struct raft_message outbox[RAFT_OUTBOX_MAX];
    uint32_t outbox_count;
    struct raft_message messages[RAFT_UPDATE_MESSAGES_MAX]; /* an update's */
    uint32_t message_count;
    struct raft_entry own_entry; /* a no-op or membership that the machine itself appended */
    uint8_t own_data[RAFT_MEMBERSHIP_BYTES_MAX];
    bool role_changed;

    uint64_t dropped_messages;
    uint64_t violations;
};

static inline const struct raft_membership *raft_members(const struct raft *raft)
{
    return &raft->history[raft->history_count - 1].membership;
}

static inline uint64_t raft_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t raft_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* machine.c */
struct raft_peer *raft_peer_find(struct raft *raft, uint64_t id);
/* Puts a reply into the outbox, with its sender and this node's term; NULL at the bound. */
struct raft_message *raft_reply(struct raft *raft, uint64_t to, enum raft_message_kind kind);
bool raft_hard_state_durable(const struct raft *raft);
void raft_check(const struct raft *raft);

/* election.c */
void raft_leader_gone(struct raft *raft, uint64_t leader);
/* How long it waits in its role; anew each time. */
void raft_timeout_draw(struct raft *raft);
void raft_move(struct raft *raft, enum raft_role next);
void raft_follow(struct raft *raft, uint64_t term, uint64_t leader); /* becomes a follower */
void raft_election_tick(struct raft *raft, struct raft_taken *taken);
void raft_campaign(struct raft *raft, bool forced, struct raft_taken *taken);
void raft_count_votes(struct raft *raft, struct raft_taken *taken);
/* `peer`: the sender, NULL when it is no member. */
bool raft_election_receive(struct raft *raft, struct raft_peer *peer, const struct raft_message *message,
                           struct raft_taken *taken);
bool raft_vote_held_back(const struct raft *raft, const struct raft_message *message);

/* follower.c */
enum raft_result raft_follower_append(struct raft *raft, const struct raft_message *message,
                                      struct raft_taken *taken);
enum raft_result raft_follower_heartbeat(struct raft *raft, const struct raft_message *message);
void raft_follower_commit(struct raft *raft, uint64_t commit_index);

/* leader.c */
void raft_lead(struct raft *raft, struct raft_taken *taken); /* begins a term as leader */
void raft_append_own(struct raft *raft, enum raft_entry_kind kind, struct bytes data,
                     struct raft_taken *taken);
enum raft_result raft_propose(struct raft *raft, const struct raft_event *event, struct raft_taken *taken);
enum raft_result raft_leader_receive(struct raft *raft, struct raft_peer *peer,
                                     const struct raft_message *message);
void raft_leader_tick(struct raft *raft);
void raft_leader_commit(struct raft *raft);
enum raft_result raft_transfer(struct raft *raft, uint64_t to);
void raft_hand_over(struct raft *raft); /* TIMEOUT_NOW to whoever is furthest, if somebody has all */
/* The value that a majority of voters has reached; `of` says a peer's. 0 without voters. */
uint64_t raft_quorum_value(const struct raft *raft,
                           uint64_t (*of)(const struct raft *, const struct raft_peer *));

/* sender.c: fills raft->messages */
void raft_send_all(struct raft *raft);
struct raft_message *raft_message_next(struct raft *raft, uint64_t to, enum raft_message_kind kind);

/* membership_change.c */
enum raft_result raft_change(struct raft *raft, const struct raft_change *change, struct raft_taken *taken);
bool raft_history_room(const struct raft *raft);
void raft_history_push(struct raft *raft, uint64_t index, const struct raft_membership *membership);
void raft_history_truncate(struct raft *raft, uint64_t last_index);
void raft_history_prune(struct raft *raft);
void raft_history_reset(struct raft *raft, uint64_t index, const struct raft_membership *membership);
const struct raft_membership *raft_history_at(const struct raft *raft, uint64_t index);

/* removed.c */
bool raft_removed(const struct raft *raft);
/* What it rests on may have changed: the commit index, the members in the log, what was told. */
void raft_removed_look(struct raft *raft);
/* Before older members are forgotten: that they had this node. */
void raft_removed_keep(struct raft *raft);
/* The commit index has moved from `before`: who was removed by what is committed now is told. */
void raft_removed_tell(struct raft *raft, uint64_t before);
/* A message of somebody who is no member, or not any more. */
void raft_removed_answer(struct raft *raft, uint64_t from);
void raft_removed_take(struct raft *raft, const struct raft_removed *removed);

/* install.c */
enum raft_result raft_receive_chunk(struct raft *raft, const struct raft_message *message,
                                    struct raft_taken *taken);
enum raft_result raft_snapshot_reply(struct raft *raft, struct raft_peer *peer,
                                     const struct raft_message *message);
void raft_snapshot_again(const struct raft *raft, struct raft_transfer_out *out);
enum raft_result raft_snapshot_taken(struct raft *raft, uint64_t index, uint64_t size_bytes);
enum raft_result raft_installed(struct raft *raft);
void raft_snapshot_wanted(struct raft *raft);
void raft_compact(struct raft *raft);

/* reads.c */
enum raft_result raft_read(struct raft *raft, uint64_t id);
void raft_reads_confirm(struct raft *raft);
void raft_reads_fail(struct raft *raft);

/* update.c */
void raft_persisted(struct raft *raft, uint64_t seq);
void raft_persists_truncate(struct raft *raft, uint64_t last_index);
void raft_persists_reset(struct raft *raft, uint64_t index);
void raft_applied(struct raft *raft, uint64_t index);

#endif
