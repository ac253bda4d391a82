/* shards/streaming/state.h - what the files of the machine share: clients, channels, subscriptions, queue
 * groups, and how they hang together (docs/streaming.md 3). Monitoring reads it too, on the same thread;
 * nobody else. Owners: the machine owns clients and channels, a channel its subscriptions and groups. */
#ifndef SHARDS_STREAMING_STATE_H
#define SHARDS_STREAMING_STATE_H

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/random.h"
#include "core/loop/timers.h"
#include "core/subject/index_table.h"
#include "shards/streaming/command.h"
#include "shards/streaming/groups.h"
#include "shards/streaming/machine.h"
#include "shards/streaming/sequences.h"
#include "shards/streaming/texts.h"
#include "shards/streaming/wire.h"

#define REDELIVERY_SLACK_NS (15 * NS_PER_MS) /* expiries so close go together */
#define GROUP_MOVE_NS (100 * NS_PER_MS)      /* from a member that left until its messages go to others */
#define PROBE_NS (500 * NS_PER_MS)           /* for the holder of a client id to show that it lives */
#define PROGRESS_NS NS_PER_SECOND            /* from something sent or acknowledged until the log is told */
#define PING_KICK_NS NS_PER_MS               /* from a ping of a silent client to the next heartbeat */

enum { ACK_ADDITION_BYTES_MAX = 256 };

enum machine_timer {
    MACHINE_TIMER_BEAT,
    MACHINE_TIMER_PROBE,
    MACHINE_TIMER_ACK,
    MACHINE_TIMER_CHANNEL,
    MACHINE_TIMER_PROGRESS,
};

/* Somebody who wants the id of a client that may be dead; its texts follow. */
struct streaming_probe {
    struct wire_client_info wanted;
    struct bytes reply;
    uint16_t via;
    bool proposed; /* the holder does not live, which the log is to say */
};

struct streaming_client {
    uint32_t id_hash;         /* in machine.clients */
    uint32_t connection_hash; /* in machine.connections, when `listed` */
    bool listed;
    bool leaving;         /* the log is to say that it is gone */
    uint64_t added_index; /* of the entry that added it; in all groups of the first one's */
    struct list_link all;
    struct list subscriptions; /* by of_client */
    struct timer timer;        /* the next heartbeat, or the end of the wait for its answer */
    struct timer probe_timer;
    struct streaming_probe *probe; /* NULL: nobody wants this id */
    uint64_t beat;                 /* the number of the heartbeat sent last */
    bool beating;                  /* and its answer is waited for */
    uint32_t failed_count;         /* heartbeats in a row */
    uint16_t via;                  /* whence it was last heard of */
    struct wire_client_info info;  /* its texts follow */
};

/* One of the store's channels, as a replicated machine sees it. */
struct stored {
    struct store_channel *store;
    struct streaming_channel *channel; /* NULL: the machine has not come so far, or was set back */
    uint64_t id;                       /* index of the entry that made it; 0: not known */
    uint64_t gone_sequence;            /* up to here what is not in the store is nowhere */
};

struct streaming_channel {
    uint32_t hash; /* in machine.channels; of the name in small letters */
    struct list_link all;
    struct list_link ready;      /* in machine.ready: there may be something to deliver */
    struct store_channel *store; /* NULL: the store is further than the machine, and has deleted it since */
    struct stored *stored;       /* replicated, NULL likewise */
    struct list_link lacking;    /* in machine.lacking, while the store lacks messages */
    uint64_t missing_first, missing_last; /* which ones, then */
    uint64_t id;                          /* replicated: index of the entry that made it */
    uint64_t used_index;                  /* and of the last one that made use of it */
    uint64_t last_sequence;               /* replicated: the store may be further */
    struct bytes name;                    /* follows */
    struct list plain;                    /* live subscriptions outside groups, by of_channel */
    struct list offline;                  /* durables without a client, by of_channel */
    struct list groups;
    struct timer timer;          /* of inactivity */
    int64_t active_ns;           /* when something happened last */
    int64_t timestamp_ns;        /* of the newest message: none is older than the one before */
    uint64_t safe_sequence;      /* may be delivered up to here */
    uint64_t subscription_ids;   /* given so far */
    uint32_t subscription_count; /* that the limit counts */
    uint32_t live_count;
    bool dropped; /* the log has told that limits drop messages */
};

struct streaming_group {
    struct list_link of_channel;
    struct streaming_channel *channel;
    struct list members; /* by of_channel; the next one to be chosen stands first */
    struct streaming_subscription
        *shadow;             /* of a durable group without members: what is left of the last one */
    struct sequences counts; /* how often messages were sent again */
    uint64_t last_sent;
    uint64_t said_last_sent; /* as the log says */
    uint32_t member_count;
    uint32_t stalled_count;
    bool durable;
    struct bytes name; /* follows */
};

/* What a leader has sent and had acknowledged and the log has not applied yet: events as in COMMAND_PROGRESS.
 */
struct progress {
    uint8_t *events;
    uint32_t capacity, count;
    uint32_t proposed_count; /* bytes of them, at the front, that are proposed */
    uint32_t waiting;        /* events behind them */
};

enum subscription_state {
    SUBSCRIPTION_STARTING, /* its response is not out yet, or this node follows: nothing is delivered */
    SUBSCRIPTION_RESUMING, /* what is pending is being sent again; new messages wait */
    SUBSCRIPTION_LIVE,
    SUBSCRIPTION_OFFLINE, /* a durable's, or a durable group's shadow */
};

struct streaming_subscription {
    uint32_t ack_hash;     /* in machine.acks, unless offline */
    uint32_t durable_hash; /* in machine.durables: of a durable outside groups */
    struct list_link of_channel;
    struct list_link of_client; /* unless offline */
    struct list_link starting;  /* in machine.starting, while starting */
    struct list_link changed;   /* in machine.changed, while `addition`, or `progress`, is not stored */
    struct streaming_channel *channel;
    struct streaming_client *client; /* NULL: offline */
    struct streaming_group *group;   /* NULL: none */
    struct timer timer;              /* to look at what is pending; runs while something is */
    struct sequences pending;        /* word: when it expires, 0 is not known (recovered) */
    struct sequences counts;         /* how often it was sent again; a group member's are the group's */
    struct wire_subscription_state info;
    uint8_t *texts; /* of info */
    int64_t ack_wait_ns;
    uint64_t resume_sequence; /* while resuming: sent again up to here */
    bool resumed;             /* its client has come back to what was there */
    bool recovered;           /* came with the store, so not all that is pending is due at once */
    uint64_t start_after;     /* responses of machine.held that must be out before it starts */
    uint8_t state;            /* enum subscription_state */
    bool stalled;
    bool silent;             /* its client does not answer heartbeats */
    bool put_wanted;         /* the store would like the whole again */
    bool leaving;            /* the log is to say so: nothing is sent to it, nothing it acknowledges counts */
    uint64_t said_last_sent; /* as the log says */
    struct progress progress;
    uint16_t addition_bytes;
    uint8_t addition[ACK_ADDITION_BYTES_MAX]; /* sent and acknowledged since the store was told last */
};

/* As the wire has it. */
enum start_position { START_NEW_ONLY, START_LAST, START_TIME_DELTA, START_SEQUENCE, START_FIRST };

/* A message that is in the store but not safe yet. */
struct append {
    struct streaming_channel *channel; /* NULL: it was deleted */
    uint64_t sequence;
    uint64_t position;
};

/* Oldest first, a ring. */
struct appends {
    struct append *all;
    uint32_t capacity; /* a power of two */
    uint32_t first, count;
};

enum output_source { OUTPUT_FROM_STEPS, OUTPUT_FROM_HELD, OUTPUT_FROM_PROPOSALS };

struct streaming {
    struct streaming_setup setup;
    struct streaming_now now;
    struct store *store;
    const struct store_channel
        *log;           /* replicated: whose messages are the entries, by index; NULL: elsewhere */
    bool durable_store; /* not in memory: what is sent and acknowledged is recorded */
    struct wire wire;
    struct timers timers;
    struct random random;
    uint64_t hash_seed;
    struct index_table clients, connections, channels, acks, durables;
    struct list all_clients, all_channels;
    struct list ready;    /* channels */
    struct list starting; /* subscriptions, in order */
    struct list changed;  /* subscriptions */
    struct appends appends;
    struct outputs outputs;
    struct outputs held;
    uint64_t held_put, held_taken; /* answers, counted */
    uint64_t synced;               /* the store is safe up to here */
    uint8_t *scratch;              /* for a message while it is encoded */
    size_t scratch_bytes;
    struct arena texts;
    struct arena passing;          /* texts of one input; emptied with the next */
    struct wire_server_info info;  /* what clients are told */
    struct bytes pings, publishes; /* patterns made of that */
    struct bytes inbox,
        inboxes;     /* `_INBOX.<id>` for the service's own requests, and the pattern of answers */
    bool identified; /* the store knew who this server is */
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
    uint64_t subscription_count;

    /* Replicated; `leading` is true without it. */
    bool leading;
    uint64_t applied_index;
    enum err trouble; /* of the entry that is being applied: memory is out, so this node cannot go on */
    int64_t applied_wall_ns, proposed_wall_ns;
    struct outputs proposals; /* commands that were not taken yet */
    struct outputs waits;     /* what was proposed, in order, and who is to be answered */
    uint64_t waiting_count;
    uint64_t waiting_bytes; /* of commands that were not applied */
    uint64_t untaken_count; /* of them, the newest, whose commands are still here */
    struct list lacking;    /* channels whose messages the store has not all */
    struct timer progress_timer;
    bool progress_wanted; /* some subscription has much to say */

    /* Several groups: the first one has mirrors, each of the others has setup.registry. */
    struct streaming *mirrors[STREAMING_GROUPS_MAX];
    uint32_t mirror_count;
    struct outputs settling; /* answers to connect and close, until all mirrors know */
    bool registry_stale;     /* a mirror that leads: it is to be compared with the registry */
    uint8_t last_from;       /* enum output_source, of the last output */
};

struct wait;

/* ---- machine.c ---- */

uint32_t machine_hash(const struct streaming *machine, struct bytes bytes);

/* A line for the log. */
void machine_log(struct streaming *machine, enum log_level level, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same, behind the answers that wait for the store. */
void machine_log_held(struct streaming *machine, enum log_level level, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* A body to publish without waiting for the disk. NULL: memory is out. */
uint8_t *machine_publish(struct streaming *machine, uint16_t via, struct bytes subject, struct bytes reply,
                         size_t body_bytes);

/* Room for the body of an answer; it goes out when the store is safe up to where it ends now. NULL: no answer
 * is wanted, or memory is out. */
uint8_t *machine_answer(struct streaming *machine, uint16_t via, struct bytes reply, size_t body_bytes);
void machine_answer_error(struct streaming *machine, const struct streaming_request *request,
                          struct bytes error); /* in field 1: close, ping */
void machine_answer_subscription(struct streaming *machine, const struct streaming_request *request,
                                 struct bytes ack_inbox, struct bytes error);

/* Sets a timer; without memory for it the machine goes on without: the heap has room for all that were set at
 * once. */
void machine_timer_set(struct streaming *machine, struct timer *timer, int64_t due_ns);

void machine_listen(struct streaming *machine, struct bytes subject, bool on);

/* Texts of the input before. */
void machine_passing_empty(struct streaming *machine);

/* What an error of the store is called. */
struct bytes machine_store_text(const struct streaming *machine, enum err err);

/* ---- clients.c ---- */

void clients_connect(struct streaming *machine, const struct streaming_request *request);
void clients_ping(struct streaming *machine, const struct streaming_request *request);
void clients_close(struct streaming *machine, const struct streaming_request *request);
void clients_answer(struct streaming *machine, struct bytes token, bool nobody);
void client_beat_due(struct streaming *machine, struct streaming_client *client);
void client_probe_due(struct streaming *machine, struct streaming_client *client);
struct streaming_client *client_find(const struct streaming *machine, struct bytes id);
struct streaming_client *client_find_connection(const struct streaming *machine, struct bytes connection_id);
struct streaming_client *client_new(struct streaming *machine, const struct wire_client_info *info,
                                    uint16_t via);
void client_free(struct streaming *machine, struct streaming_client *client);
/* Its connection id does not find it any more. */
void client_unlist(struct streaming *machine, struct streaming_client *client);
/* Committed commands; see replicate.c. */
void client_add_applied(struct streaming *machine, const struct command *command, const struct wait *wait);
void client_remove_applied(struct streaming *machine, const struct command *command, const struct wait *wait);

/* What the log is to do with a client's subscriptions is not to be overtaken by what they are sent. */
void client_settle(struct streaming *machine, struct streaming_client *client);
/* Its next heartbeat, where heartbeats are this machine's matter. */
void client_watch(struct streaming *machine, struct streaming_client *client);
MUST_USE enum err client_put(struct streaming *machine, const struct wire_client_info *info, uint16_t via,
                             struct streaming_client **added);
void client_drop(struct streaming *machine, struct streaming_client *client);

/* ---- registry.c: several groups ---- */

/* A machine with a registry begins to follow it, and ends. */
void registry_attach(struct streaming *machine);
void registry_detach(struct streaming *machine);
/* A mirror that leads proposes what it lacks. */
void registry_step(struct streaming *machine);
/* The first group: an entry has added or removed a client; all are others now. */
void registry_added(struct streaming *machine, const struct streaming_client *client);
void registry_removed(struct streaming *machine, struct bytes id, uint64_t added_index);
void registry_replaced(struct streaming *machine);
/* Committed commands of a mirror; see replicate.c. */
void client_known_applied(struct streaming *machine, const struct command *command);
void client_gone_applied(struct streaming *machine, const struct command *command);
/* Room for the body of an answer that goes out when all groups know that the client of that entry is there,
 * or is not; with one group when the log says so. NULL: as machine_answer(). */
uint8_t *registry_answer(struct streaming *machine, const struct wait *wait, struct bytes id,
                         uint64_t added_index, bool there, size_t body_bytes);
/* Lets go what has waited long enough. */
void registry_release(struct streaming *machine);
/* The limit on channels that is left for this group. False: a new one is one too many. */
bool registry_channels_left(const struct streaming *machine, uint32_t *channels_max);

/* ---- channels.c ---- */

/* Finds or makes a channel. NULL: *error says why. */
struct streaming_channel *channel_open(struct streaming *machine, struct bytes name, struct bytes *error);
struct streaming_channel *channel_find(const struct streaming *machine, struct bytes name);
struct streaming_channel *channel_find_any_case(const struct streaming *machine, struct bytes name);
/* Takes one that the store has into the machine. */
struct streaming_channel *channel_adopt(struct streaming *machine, struct store_channel *store);
/* One of that name; `store` NULL: only the machine has it. NULL: memory is out. */
struct streaming_channel *channel_new(struct streaming *machine, struct bytes name,
                                      struct store_channel *store);
/* What a committed command uses: found, or made. ERR_OK with *channel NULL: it cannot be, *error says why. */
MUST_USE enum err channel_used(struct streaming *machine, struct bytes name, uint32_t channels_max,
                               struct streaming_channel **channel, struct bytes *error);
MUST_USE enum err channel_delete_applied(struct streaming *machine, const struct command *command);
void channel_due(struct streaming *machine, struct streaming_channel *channel);
/* The store's; none when the store has not this one of the name. */
struct store_channel_figures channel_figures(const struct streaming_channel *channel);
/* Something was published, or the last live subscription left. */
void channel_touch(struct streaming *machine, struct streaming_channel *channel);
void channel_idle_check(struct streaming *machine, struct streaming_channel *channel);
void channel_free(struct streaming *machine, struct streaming_channel *channel);
void channel_ready(struct streaming *machine, struct streaming_channel *channel);

/* ---- publish.c ---- */

void publish_request(struct streaming *machine, const struct streaming_request *request);
void publish_synced(struct streaming *machine);
MUST_USE enum err publish_applied(struct streaming *machine, const struct command *command,
                                  const struct wait *wait);
void publish_answer(struct streaming *machine, const struct wait *wait, struct bytes error);

/* ---- subscribe.c, unsubscribe.c ---- */

void subscribe_request(struct streaming *machine, const struct streaming_request *request);
/* Sends what is pending, then lets new messages come. False: outputs are full, once more. */
MUST_USE bool subscribe_start(struct streaming *machine, struct streaming_subscription *subscription);
void unsubscribe_request(struct streaming *machine, const struct streaming_request *request);
MUST_USE enum err subscribe_applied(struct streaming *machine, const struct command *command,
                                    const struct wait *wait);
void leave_applied(struct streaming *machine, const struct command *command, const struct wait *wait);

/* It is about to leave by the log: nothing more is sent to it, and what it has acknowledged is said. */
void subscription_settle(struct streaming *machine, struct streaming_subscription *subscription);

/* A subscription goes offline when it is a durable and not to be forgotten, else it is gone. */
void subscription_leave(struct streaming *machine, struct streaming_subscription *subscription, bool forget);

/* The moment that a request by time means. */
int64_t start_moment_ns(const struct streaming *machine, const struct wire_subscription_request *request);

/* ---- subscription_log.c ---- */

/* It has begun, or come back; it is about to leave, and to be forgotten perhaps. */
void subscription_log_begun(struct streaming *machine, const struct streaming_subscription *subscription,
                            const struct wire_subscription_request *request);
void subscription_log_left(struct streaming *machine, const struct streaming_subscription *subscription,
                           bool forget);

/* ---- subscriptions.c: the objects, and their records in the store ---- */

struct streaming_subscription *subscription_new(struct streaming *machine, struct streaming_channel *channel,
                                                const struct wire_subscription_state *info);
void subscription_free(struct streaming *machine, struct streaming_subscription *subscription);
MUST_USE enum err subscription_info_set(struct streaming_subscription *subscription,
                                        const struct wire_subscription_state *info);
struct streaming_subscription *subscription_by_ack_inbox(const struct streaming *machine, struct bytes inbox);
struct streaming_subscription *durable_find(const struct streaming *machine,
                                            const struct streaming_channel *channel, struct bytes client_id,
                                            struct bytes name);
struct streaming_group *group_find(const struct streaming_channel *channel, struct bytes name);
struct streaming_group *group_new(struct streaming_channel *channel, struct bytes name, bool durable);
void group_free(struct streaming_group *group);
/* Hangs a subscription that is live into channel, client and group; takes it out. */
MUST_USE enum err subscription_attach(struct streaming *machine, struct streaming_subscription *subscription,
                                      struct streaming_client *client, struct streaming_group *group);
void subscription_detach(struct streaming *machine, struct streaming_subscription *subscription);
MUST_USE enum err subscription_put(struct streaming *machine, struct streaming_subscription *subscription);
void subscription_forget(struct streaming *machine, struct streaming_subscription *subscription);
/* Notes for the store what was sent or acknowledged; subscriptions_store() hands it over, once a step. */
void subscription_note(struct streaming *machine, struct streaming_subscription *subscription,
                       uint64_t sequence, bool acknowledged);
void subscriptions_store(struct streaming *machine);
struct sequences *subscription_counts(struct streaming_subscription *subscription);

/* ---- replicate.c ---- */

/* Who waits for a command that this node proposed; its texts are good while it is applied. */
struct wait {
    uint16_t via;
    struct bytes reply, guid;
};

/* Puts a command into the queue for the log, with the moment filled in. False, and nothing happened: memory
 * is out, or it is a publish and replicate_full(); with other commands the caller looks at that before it
 * begins. */
MUST_USE bool replicate_propose(struct streaming *machine, struct command *command, struct wait wait);
/* Too much waits for the log. */
bool replicate_full(const struct streaming *machine);

/* ---- progress.c ---- */

/* Notes that a message was sent to a subscription or acknowledged by it, which changed what is pending. */
void progress_note(struct streaming *machine, struct streaming_subscription *subscription, uint64_t sequence,
                   bool acknowledged);
/* So much is not applied that nothing more is to be sent. */
bool progress_full(const struct streaming_subscription *subscription);
/* Proposes what is to be said, of those that have much, or when it is time. */
void progress_step(struct streaming *machine);
void progress_due(struct streaming *machine);
/* Proposes what one subscription has to say, now. */
void progress_flush(struct streaming *machine, struct streaming_subscription *subscription);
void progress_applied(struct streaming *machine, const struct command *command, bool own);
/* Makes of a subscription what the log says of it; again what it was; forgets what was to be said. Memory out
 * is the machine's trouble. */
void progress_undo(struct streaming *machine, struct streaming_subscription *subscription);
void progress_redo(struct streaming *machine, struct streaming_subscription *subscription);
void progress_forget(struct streaming_subscription *subscription);
/* What is pending, as the log says; in order of sequence. Owner of *all: the caller. ERR_MEMORY. */
MUST_USE enum err progress_pending(const struct streaming_subscription *subscription,
                                   struct sequence_entry **all, uint32_t *count);

/* ---- stored.c ---- */

/* Which channels the store has, at the start. */
MUST_USE enum err stored_recover(struct streaming *machine, char *why, size_t why_bytes);
void stored_close(struct streaming *machine);
/* The store's part of a channel that the entry `id` made: the one that is there, or a new one; NULL when the
 * store has a later one of the name. `further`: the store may be further than the machine. ERR_FULL and so
 * on, nothing was done. */
MUST_USE enum err stored_open(struct streaming *machine, struct bytes name, uint64_t id, bool further,
                              struct stored **stored);
MUST_USE enum err stored_delete(struct streaming *machine, struct stored *stored);
/* Notes what is nowhere. */
MUST_USE enum err stored_gone(struct streaming *machine, struct stored *stored, uint64_t sequence);

/* ---- deliver.c ---- */

/* Sends what the channel has for its subscriptions, until outputs are full: then false. */
bool channel_deliver(struct streaming *machine, struct streaming_channel *channel);
void acknowledge_request(struct streaming *machine, const struct streaming_request *request);
void subscription_acknowledge(struct streaming *machine, struct streaming_subscription *subscription,
                              uint64_t sequence, bool by_client);
/* Whether it may have more; keeps `stalled` and the group's count true. */
void subscription_stall(struct streaming_subscription *subscription, bool stalled);
struct streaming_subscription *group_choose(struct streaming_group *group);
/* Sends one message, again if `count` > 0. False: it was not sent. */
bool message_send(struct streaming *machine, struct streaming_subscription *subscription,
                  const struct store_message *message, uint32_t count);
MUST_USE bool subscription_track(struct streaming *machine, struct streaming_subscription *subscription,
                                 uint64_t sequence, int64_t expires_ns);

/* ---- redeliver.c ---- */

void redelivery_due(struct streaming *machine, struct streaming_subscription *subscription);
/* Sends all that is pending at once, flagged: a durable has come back, or the server. False: outputs are
 * full. */
MUST_USE bool redelivery_resume(struct streaming *machine, struct streaming_subscription *subscription);

/* ---- recover.c ---- */

/* Clients, channels and subscriptions from the store. */
MUST_USE enum err machine_recover(struct streaming *machine, char *why, size_t why_bytes);
/* Who this server is: as the store says, else the store is told. ERR_INVALID: it is another cluster's. */
MUST_USE enum err machine_identify(struct streaming *machine, char *why, size_t why_bytes);

#endif
