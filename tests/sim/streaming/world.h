/* tests/sim/streaming/world.h - the deterministic simulator of clustered streaming: the machine, the store,
 * Raft and its log in the store, several nodes of them in one process, on simulated disks
 * (tests/unit/store/sim_disk.h), a simulated network and clocks, with clients; all from one seed
 * (docs/streaming-cluster.md 9). In the flow:  main.c -> world_run() -> each millisecond: mail, nodes,
 * clients, faults -> check.c Nothing outlives a run and nothing is global, so a seed replays exactly. */
#ifndef TESTS_SIM_STREAMING_WORLD_H
#define TESTS_SIM_STREAMING_WORLD_H

#include "core/base/random.h"
#include "raft/message_codec.h"
#include "shards/streaming/machine.h"
#include "shards/streaming/replica_log.h"
#include "shards/streaming/sharing.h"
#include "tests/unit/store/sim_disk.h"

#include <setjmp.h>
#include <stdio.h>

enum {
    NODES_MAX = 5,
    CLIENTS = 3,
    KINDS = 4,    /* of subscriptions: each client has one of each */
    CHANNELS = 4, /* the last two forget: one by its limit, one when it is idle */
    KEPT_CHANNELS = 2,
    SEQUENCES_MAX = 1 << 13,
    PUBLISHES_MAX = 1 << 13,
    REQUESTS_MAX = 1 << 10, /* of a client, that may still be answered */
    STATES_MAX = 1 << 14,
    GROUPS_MAX = 3, /* of channels, each with a log: one, or so many */
    REASON_BYTES = 240,
    SUBJECT_BYTES = 96,
};

/* What this world does wrong, to see that it is noticed. */
enum sabotage {
    SABOTAGE_NONE,
    SABOTAGE_LIE,    /* disks that say they have synced and have not */
    SABOTAGE_SKIP,   /* a node that leaves out an entry now and then */
    SABOTAGE_TWICE,  /* a node that applies an entry twice */
    SABOTAGE_HOLE,   /* a node that does not ask for the messages it lacks */
    SABOTAGE_FORGET, /* a node that begins without its snapshot */
    SABOTAGES,
};

struct world_options {
    uint64_t seed;
    uint32_t seconds;
    enum sabotage sabotage;
    FILE *trace; /* NULL: none */
};

struct world_counts {
    uint64_t steps, virtual_ms, leaders, crashes, cuts, pauses, mails, lost;
    uint64_t publishes, acknowledged, refused, deliveries, redeliveries, subscriptions, connects, closes;
    uint64_t snapshots, installs, pieces, replaced, compared;
};

struct world_result {
    bool failed;
    char reason[REASON_BYTES];
    struct world_counts counts;
};

/* ---- the network ---- */

enum mail_kind {
    MAIL_RAFT,
    MAIL_FETCH,
    MAIL_PIECE,
    MAIL_REQUEST, /* to whoever leads */
    MAIL_ANSWER,  /* to the service's own inbox */
    MAIL_CLIENT,  /* a message that a node has published */
};

struct mail {
    uint64_t at_ms;
    enum mail_kind kind;
    int from, to; /* nodes, or clients, as the kind says */
    enum streaming_request_kind request;
    uint32_t group; /* of what nodes say to each other */
    bool nobody;
    char subject[SUBJECT_BYTES], reply[SUBJECT_BYTES];
    uint8_t *bytes;
    size_t count;
};

/* ---- a node ---- */

/* Of one group: its log, its driver and its machine. */
struct part {
    struct node *node;
    uint32_t group;
    struct streaming *machine;
    struct replica_log log;
    struct raft_driver driver;
    bool raft_leads, leads, fetching, installing;
    uint64_t term;
    uint64_t fetch_ms;
    uint64_t failed_index;
    uint64_t applied;
    struct raft_decoded decoded;
};

struct node {
    struct world *world;
    int slot;
    uint64_t id; /* Raft's: another one with each disk */
    bool leaves; /* its membership ends, and then its disk is another one */
    bool running;
    uint64_t start_ms; /* when it comes back */
    uint64_t paused_ms;
    struct sim_disk *disk;
    struct store *store;
    struct sharing sharing;
    struct part parts[GROUPS_MAX];
    uint64_t next_tick_ms;
    uint32_t tick_ms;
    int64_t skew_ns;
    bool io_busy;
    struct store_io io;
    uint64_t io_ms;
    int64_t io_written;
    uint64_t cut; /* bits of slots that its mail does not reach */
};

/* ---- clients ---- */

enum client_state { CLIENT_OFF, CLIENT_ASKS, CLIENT_ON };
enum holding { HOLDING_NONE, HOLDING_ASKED, HOLDING_LIVE, HOLDING_CLOSING };

struct holding_state {
    enum holding state;
    uint64_t since_ms;
    uint32_t request;
    uint32_t life; /* its inbox is another one each time */
    char ack_inbox[SUBJECT_BYTES];
    bool delivered[SEQUENCES_MAX]; /* of the durable, or of this life of a plain one */
};

struct asked {
    uint32_t number; /* 0: free */
    enum streaming_request_kind kind;
    uint32_t publish; /* which */
    uint32_t holding;
};

struct client {
    int slot;
    enum client_state state;
    uint64_t since_ms;
    uint32_t life;
    uint32_t request; /* the last number */
    struct asked asked[REQUESTS_MAX];
    struct holding_state holdings[KINDS];
};

/* What was published, by the number in its data. */
struct publish {
    uint8_t channel;
    bool acknowledged;
    uint32_t found; /* check.c */
};

/* ---- all ---- */

struct weather {
    uint32_t nodes, groups;
    uint32_t loss_percent, repeat_percent, late_percent, delay_ms, late_ms;
    uint32_t sync_ms, client_gap_ms, fault_gap_ms;
    bool crashes, cuts, pauses, losses, skews, changes;
    bool forgets; /* channels that forget are used */
    struct raft_options raft;
};

struct world {
    struct world_options options;
    struct world_result *result;
    jmp_buf *failed;
    struct random random;
    struct weather weather;
    uint64_t now_ms;
    bool healed;
    struct node nodes[NODES_MAX];
    struct client clients[CLIENTS];
    struct mail *mails;
    uint32_t mail_count, mail_capacity;
    struct publish publishes[PUBLISHES_MAX];
    uint32_t publish_count;
    uint32_t contents[KEPT_CHANNELS]
                     [SEQUENCES_MAX];        /* number and one of what was seen there; 0: nothing yet */
    bool group_delivered[SEQUENCES_MAX];     /* of the durable group */
    uint64_t states[GROUPS_MAX][STATES_MAX]; /* hash of the machine behind an entry */
};

void world_run(const struct world_options *options, struct world_result *result);

/* Ends the run as failed. Does not return. */
_Noreturn void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_trace(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool world_chance(struct world *world, uint32_t percent);
uint32_t world_pick(struct world *world, uint32_t least, uint32_t most);
struct streaming_now world_now(const struct world *world, const struct node *node);
/* `bytes` are copied. */
void world_mail(struct world *world, struct mail mail, struct bytes bytes);

/* node.c */
void node_found(struct node *node);
void node_start(struct node *node);
void node_crash(struct node *node);
void node_step(struct node *node);
void node_replace(struct node *node); /* by one with an empty disk, that is a member of nothing */
void node_mail(struct node *node, const struct mail *mail);
void node_close(struct node *node);

/* The group that a channel is in. */
uint32_t world_group(const struct world *world, struct bytes channel);

/* members.c */
int members_slot(uint64_t id);
void members_step(struct world *world);
bool members_settled(const struct world *world, const struct raft_membership *membership);

/* client.c */
extern const char *const world_channels[CHANNELS];
int client_channel(int kind); /* of a kind of subscription */
void client_step(struct world *world, struct client *client);
void client_mail(struct world *world, struct client *client, const struct mail *mail);

/* check.c */
void check_state(struct part *part);
/* Who leads that group; NULL: nobody. */
const struct node *check_leader(const struct world *world, uint32_t group);
void check_delivery(struct world *world, int channel, uint64_t sequence, struct bytes data);
bool check_at_rest(struct world *world);
void check_end(struct world *world);

#endif
