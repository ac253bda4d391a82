/* shards/streaming/replica_inside.h - what the files of a replica share. Nobody else includes this.
 * In the flow: replica.c (life, driver), replica_form.c (how it is founded and joined), replica_change.c (who
 * comes and goes), replica_restore.c (snapshots and what they leave out), replica_groups.c (several groups:
 * members, and who leads), replica_watch.c (whether the leader is gone). */
#ifndef SHARDS_STREAMING_REPLICA_INSIDE_H
#define SHARDS_STREAMING_REPLICA_INSIDE_H

#include "core/base/random.h"
#include "raft/message_codec.h"
#include "shards/streaming/groups.h"
#include "shards/streaming/replica.h"
#include "shards/streaming/replica_log.h"

/* How a node gets into a cluster. */
enum form_state {
    FORM_FOUNDING, /* with the peers that it was given: until a majority of them is there and new as well */
    FORM_SEEDING,  /* alone, unless somebody says soon that the cluster is there */
    FORM_WRITTEN,  /* it is a founder, once the store is safe */
    FORM_JOINING,  /* asks the leader */
    FORM_MEMBER,   /* was or is one */
};

/* A subject of the replica's, with the desk. */
enum form_subject {
    FORM_ANNOUNCE, /* "found": who is there, and how far */
    FORM_JOINED,   /* answers to our own request to join */
    FORM_BOOTSTRAP,
    FORM_JOIN, /* from here on the leader's */
    FORM_ADD,
    FORM_REMOVE,
    FORM_SUBJECTS,
};

/* Raft makes one change at a time, so more than one wait only where several ask for the same. */
enum { CHANGE_WAITERS_MAX = 8, CHANGE_REPLY_BYTES_MAX = 256 };

struct form_listener {
    struct desk_listener desk;
    enum form_subject subject;
};

struct replica_form {
    enum form_state state;
    int64_t next_ns;      /* of what is said again and again */
    int64_t give_up_ns;   /* FORM_SEEDING: alone from then on */
    int64_t bootstrap_ns; /* the next word to other seeds; INT64_MAX: not a seed */
    uint32_t tries;
    uint64_t position; /* FORM_WRITTEN: of the store */
    struct raft_membership founders;
    bool heard[RAFT_MEMBERS_MAX]; /* of the founders: is there, and new */
    struct form_listener listeners[FORM_SUBJECTS];
    bool leads;             /* the leader's subjects are open */
    bool other_groups_told; /* that a node has another number of groups */
};

/* Who asked for a change of the members, and is answered when the log has it for good. */
struct change_waiter {
    enum form_subject subject; /* FORM_JOIN, FORM_ADD or FORM_REMOVE */
    bool made;                 /* a change was made for it; else all was so already, or about to be */
    uint64_t term, index;      /* of the entry that is to be committed */
    size_t name_bytes, reply_bytes;
    uint8_t name[RAFT_NAME_BYTES_MAX];
    uint8_t reply[CHANGE_REPLY_BYTES_MAX];
};

struct replica_changes {
    struct change_waiter waiters[CHANGE_WAITERS_MAX];
    uint32_t count;
};

/* How one of several groups is kept like the first one, and its leader where it is to be. */
struct replica_balance {
    int64_t next_ns;  /* the next look */
    int64_t since_ns; /* somebody else is wanted, without a change */
    bool restless;
    uint64_t wanted; /* who, by id; 0: anybody */
};

struct replica_restore {
    bool fetching;      /* the machine lacks messages */
    bool installing;    /* of a snapshot that came in; else of our own */
    uint64_t index;     /* of the snapshot */
    int64_t next_ns;    /* the next request, if no answer comes */
    int64_t give_up_ns; /* without any progress until then */
};

enum { FETCH_REQUEST_BYTES_MAX = 32 + STORE_CHANNEL_NAME_BYTES_MAX };

/* Messages for a peer that lacks them, at a pace that leaves publishers room (replica_restore.c). */
struct replica_giving {
    uint64_t proposed_bytes; /* of commands, since from_ns */
    int64_t from_ns;
    int64_t bytes_per_second; /* as they came before that */
    int64_t free_ns;          /* the next piece may leave */
    uint64_t to;              /* who waits for it; 0: nobody. A second one asks again */
    size_t request_bytes;
    uint8_t request[FETCH_REQUEST_BYTES_MAX];
};

/* Whether the leader's subject has a listener. */
struct replica_watch {
    struct desk_listener listener;
    uint64_t gone_term; /* whose leader has been logged as gone */
    int64_t next_ns;    /* the next look */
};

struct replica {
    struct control *control;
    struct store *store;
    struct streaming *machine;
    char name[RAFT_NAME_BYTES_MAX + 1];
    uint64_t id;
    bool identified;    /* the store says who we are */
    bool groups_stored; /* and of how many groups */
    struct raft_options options;
    struct raft_driver driver; /* closed while a cluster is being founded */
    bool runs;
    bool stopping;
    struct replica_log log;
    struct peers peers;
    uint32_t group, group_count;
    char tag[16];          /* "group <number>: " before what is logged; empty with one group */
    struct replica *first; /* of the first group; NULL: it is this one */
    struct replica *others[STREAMING_GROUPS_MAX]; /* the first one's */
    uint32_t other_count;
    struct replica_form form;       /* the first one's */
    struct replica_changes changes; /* likewise */
    struct replica_balance balance;
    struct replica_restore restore;
    struct replica_giving giving;
    struct replica_watch watch;
    struct streaming_now now;
    struct random random;
    int64_t tick_ns;
    int64_t next_tick_ns;
    uint64_t term; /* of the last look at Raft: entries of it are our own while `raft_leads` */
    bool raft_leads;
    bool leads;                             /* and the machine does */
    bool opened;                            /* and the service's subjects are open */
    bool changed;                           /* the machine, in this turn */
    bool removed;                           /* from the cluster, and said so */
    bool ends;                              /* it led, and has removed itself */
    uint64_t failed_index;                  /* of a snapshot that could not be written; 0: none */
    uint64_t unreachable[RAFT_MEMBERS_MAX]; /* peers that a mailbox had no room for */
    uint32_t unreachable_count;
    struct raft_decoded *decoded;
};

/* ---- replica.c ---- */

/* Raft begins with what the log has; in all groups. The first one's. */
MUST_USE enum err replica_raft_start(struct replica *replica);
/* Ticks that are due; before anything else that is told to the driver. */
void replica_ticks(struct replica *replica, struct streaming_now now);
/* The id and name, in the store. */
MUST_USE enum err replica_identify(struct replica *replica, uint64_t id);
/* This node cannot go on, and the process ends by and by; or at once. */
void replica_give_up(struct replica *replica, const char *sentence);
void replica_abort(const struct replica *replica, const char *sentence, enum err err);
/* The moment; the wall is not asked again in a turn. */
struct streaming_now replica_moment(struct replica *replica);

/* ---- replica_form.c ---- */
MUST_USE enum err form_start(struct replica *replica, char *why, size_t why_bytes);
void form_step(struct replica *replica);
int64_t form_next_ns(const struct replica *replica);
void form_stop(struct replica *replica);
/* A learner that has caught up votes from then on; Raft says when that is. */
void form_promote(struct replica *replica);
/* The id of a founder, or of one that is added before it has started. */
uint64_t form_founder_id(const struct replica *replica, struct bytes name);

/* ---- replica_change.c ---- */

/* A change of this group's members, by its leader. *index (may be NULL): of its entry. */
enum raft_result change_propose(struct replica *replica, enum raft_change_kind kind, uint64_t id,
                                struct bytes name, uint64_t *index);
/* The leader has heard of that member within a heartbeat timeout. */
bool change_heard_lately(const struct replica *replica, const struct raft_status *status, uint64_t id);
/* The leader is asked to add or to remove a node. */
void change_asked(struct replica *replica, enum form_subject subject, const struct desk_message *message);
/* A node asks to be a member. */
void change_join(struct replica *replica, uint64_t id, struct bytes name, struct bytes reply);
/* Answers those whose change is committed, or whose leader is lost. */
void change_step(struct replica *replica);

/* ---- replica_groups.c ---- */

/* Of several groups, now and then: makes members what the first group's are, hands leadership over. */
void groups_step(struct replica *replica);
int64_t groups_next_ns(const struct replica *replica);

/* ---- replica_watch.c ---- */
void watch_step(struct replica *replica);
void watch_close(struct replica *replica);

/* ---- replica_restore.c ---- */

/* The newest snapshot of our own, at the start. */
MUST_USE enum err restore_own(struct replica *replica, char *why, size_t why_bytes);
void restore_step(struct replica *replica);
int64_t restore_next_ns(const struct replica *replica);
/* A peer asks for messages; or an answer comes. */
void restore_asked(struct replica *replica, uint64_t from, struct bytes request);
void restore_piece(struct replica *replica, struct bytes piece);

#endif
