/* raft/message.h - what nodes of a group say to each other.
 * In the flow:  raft_update() -> driver -> message_codec.h -> network -> raft_step(RAFT_EVENT_MESSAGE)
 * The network may lose, repeat, reorder and delay them; nothing here depends on a reply. Slices belong to
 * whoever made the message. */
#ifndef RAFT_MESSAGE_H
#define RAFT_MESSAGE_H

#include "raft/membership.h"
#include "raft/types.h"

enum raft_message_kind {
    RAFT_MESSAGE_PRE_VOTE, /* would you vote for me? (dissertation 9.6) `term` is the one to come */
    RAFT_MESSAGE_PRE_VOTE_REPLY,
    RAFT_MESSAGE_VOTE, /* paper figure 2, RequestVote */
    RAFT_MESSAGE_VOTE_REPLY,
    RAFT_MESSAGE_APPEND, /* paper figure 2, AppendEntries */
    RAFT_MESSAGE_APPEND_REPLY,
    RAFT_MESSAGE_HEARTBEAT, /* "I lead": for timers, the commit index, leases and reads; looks at no log */
    RAFT_MESSAGE_HEARTBEAT_REPLY,
    RAFT_MESSAGE_SNAPSHOT, /* paper figure 13, InstallSnapshot: one chunk */
    RAFT_MESSAGE_SNAPSHOT_REPLY,
    RAFT_MESSAGE_TIMEOUT_NOW, /* dissertation 3.10: stand for election at once */
    RAFT_MESSAGE_REMOVED,     /* you are no member any more; from a leader, and true whatever the term */
    RAFT_MESSAGE_KINDS,
};

/* The snapshot that a chunk is a piece of. */
struct raft_snapshot {
    uint64_t index; /* of the last entry that it replaces; 0: there is none */
    uint64_t term;  /* of that entry */
    uint64_t size_bytes;
    struct raft_membership membership; /* as of `index` */
};

/* PRE_VOTE, VOTE. */
struct raft_vote {
    uint64_t last_index;
    uint64_t last_term;
    bool forced; /* by TIMEOUT_NOW: the leader wants it, so do not wait for its lease */
};

/* PRE_VOTE_REPLY, VOTE_REPLY. */
struct raft_vote_reply {
    bool granted;
};

/* APPEND. In what the machine puts out, `entries` is NULL: whoever sends the message reads them from the log
 * by index, and sends only while the node still leads in the message's term. */
struct raft_append {
    uint64_t previous_index;
    uint64_t previous_term;
    uint64_t commit_index;
    uint64_t tick; /* the leader's clock, to be echoed */
    uint32_t entry_count;
    const struct raft_entry *entries;
};

struct raft_append_reply {
    uint64_t
        index; /* all up to this is durable and as the leader's; of a refusal: the previous_index refused */
    uint64_t tick;       /* echo; 0: of a message that was too old to count as contact */
    uint64_t hint_index; /* of a refusal: the last index that may still match, and its term */
    uint64_t hint_term;
    bool refused;
};

struct raft_heartbeat {
    uint64_t commit_index; /* never above what the receiver has acknowledged */
    uint64_t tick;
    uint64_t round; /* of reads that wait for a majority */
};

struct raft_heartbeat_reply {
    uint64_t tick;
    uint64_t round;
};

/* `data` is NULL in what the machine puts out: `count_bytes` of the snapshot from `offset_bytes` on. */
struct raft_chunk {
    const struct raft_snapshot *snapshot;
    uint64_t offset_bytes;
    uint32_t count_bytes;
    const uint8_t *data;
    uint64_t tick;
};

struct raft_snapshot_reply {
    uint64_t index; /* which snapshot */
    uint64_t term;
    uint64_t offset_bytes; /* what is wanted next */
    uint64_t tick;
};

/* The newest entry about members, committed, does not have the receiver. */
struct raft_removed {
    uint64_t index;
    uint64_t term; /* of that entry */
};

struct raft_message {
    enum raft_message_kind kind;
    uint64_t from;
    uint64_t to;
    uint64_t term;
    union {
        struct raft_vote vote;
        struct raft_vote_reply vote_reply;
        struct raft_append append;
        struct raft_append_reply append_reply;
        struct raft_heartbeat heartbeat;
        struct raft_heartbeat_reply heartbeat_reply;
        struct raft_chunk chunk;
        struct raft_snapshot_reply snapshot_reply;
        struct raft_removed removed;
    };
};

#endif
