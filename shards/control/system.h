/* shards/control/system.h - the system account as the control core serves it (docs/events.md).
 * In the flow, requests: MAIL_SYSTEM_REQUEST, system_mail_request(), `waiting`, system_begin_next(), a task
 * of monitoring (monitor_task.h), system_task_done(), system_publish(), MAIL_SYSTEM_PUBLISH. Events:
 * MAIL_SYSTEM_EVENT, system_mail_event(), system_publish(). Heartbeats and accounts' clients: a timer or
 * MAIL_SYSTEM_ACCOUNT, a request of the server's own, a task.
 *
 * All that is published goes through shard SYSTEM_SHARD, in order. At the bounds: SYSTEM_WAITING_MAX requests
 * of SYSTEM_WAITING_BYTES_MAX together wait, the next one is dropped; SYSTEM_OUTBOX_BYTES_MAX wait for room
 * in the shard's mailbox, beyond that a message is dropped, and the log says so once; SYSTEM_PEERS_MAX other
 * servers are known; SYSTEM_SURVEYS_MAX questions to them wait for answers, the next one is dropped. Thread:
 * the control core's. */
#ifndef SHARDS_CONTROL_SYSTEM_H
#define SHARDS_CONTROL_SYSTEM_H

#include "core/base/err.h"
#include "core/base/list.h"
#include "core/codec/json_output.h"
#include "core/loop/timers.h"
#include "net/message.h"
#include "shards/report.h"

struct control;
struct server_options;
struct monitor_task;
struct security_account;
struct system_service;
struct peer_check;

enum {
    SYSTEM_WAITING_MAX = 4096,
    SYSTEM_WAITING_BYTES_MAX = 16 * 1024 * 1024,
    SYSTEM_OUTBOX_BYTES_MAX = 128 * 1024 * 1024,
    SYSTEM_REPLY_BYTES_MAX = 60 * 1024 * 1024, /* routes take messages up to 64 MiB */
    SYSTEM_PEERS_MAX = 1024,
    SYSTEM_SURVEYS_MAX = 256,
    SYSTEM_ID_BYTES = 56,
};

/* What is to be said again every 30 s, a server's heartbeat or its count of clients, is not true any more
 * when it was missed five times. */
#define SYSTEM_LOST_NS (150 * NS_PER_SECOND)

/* Where others answer how many clients accounts have, below the server's own inbox. Two tokens, because what
 * is one is the number of a question of system_subscribers.c. */
#define SYSTEM_COUNTS_INBOX "CONNS.ALL"

/* One that waits to be worked on, or is. Its texts follow it in memory. */
struct system_request {
    struct list_link waiting; /* in system.waiting until it is begun */
    const struct system_service *service;
    struct publisher_place place; /* who asks; cid 0: somebody on another server */
    struct bytes subject;
    struct bytes reply; /* empty: the server asks itself, or nobody wants an answer */
    struct bytes headers;
    struct bytes body;
    struct bytes account; /* the subject's, where the service has one */
    size_t bytes;
    char *listed; /* accounts it asks for, a zero byte behind each; owned. NULL: all */
    size_t listed_count;
};

/* An account's clients on another server, as that told. */
struct system_peer_count {
    int64_t heard_ns;
    uint32_t clients;
};

/* Another server, by what it publishes. */
struct system_peer {
    char id[SYSTEM_ID_BYTES];
    int64_t heard_ns;
    struct system_peer_count *counts; /* by account's id: system_counts.c; owned, NULL: it told none */
    uint32_t account_capacity;
};

/* An account's clients on all other servers. */
struct system_elsewhere {
    uint64_t count;
    uint64_t untold; /* bits: shards that `told` has not gone to, for want of room */
    uint32_t told;
};

struct system {
    struct list waiting;
    uint32_t waiting_count;
    size_t waiting_bytes;
    struct list outbox; /* what found no room */
    size_t outbox_bytes;
    uint64_t outbox_lost; /* since it was last empty */
    uint64_t sequence;    /* of the last message with this server's description */
    struct timer statsz_timer;
    struct timer accounts_timer; /* of the heartbeats of accounts */
    struct timer stop_timer;
    int64_t statsz_gap_ns;
    int64_t statsz_sent_ns;    /* when it was broadcast last */
    struct system_peer *peers; /* owned, SYSTEM_PEERS_MAX; NULL: none was heard of yet */
    uint32_t peer_count;
    uint32_t expire_next; /* of the peers, whose counts are looked at next */
    uint8_t *changed;     /* by account's id, what is to be told of it: system_events.c; owned */
    uint32_t account_capacity;
    struct system_elsewhere *elsewhere; /* by account's id; owned */
    uint32_t elsewhere_capacity;
    uint32_t service_next; /* of those that the shard was not told yet */
    struct list surveys;   /* struct system_survey, of system_subscribers.c; the oldest first */
    uint32_t survey_count;
    uint64_t survey_number; /* of the last one */
    char *pattern;          /* scratch for patterns */
    bool on;                /* there is a system account */
    bool services_told;
    bool counts_wanted; /* with the next heartbeat others are asked for their accounts' clients */
    bool counts_owed;   /* some of `elsewhere` is untold */
    bool changes_asked; /* a request of the server's own that looks at `changed` waits */
};

/* What the control core's loop has to know of it. */
MUST_USE enum err system_init(struct control *control);
/* True: clients are to be accepted when MAIL_SYSTEM_SERVED or the timer for accepting says so, because one
 * that is there before the services would be told that nobody responds. */
MUST_USE bool system_start(struct control *control);
void system_mail_request(struct control *control, const uint8_t *mail);
void system_peer_refused(struct control *control, const struct peer_check *check);
void system_mail_event(struct control *control, const uint8_t *mail);
void system_mail_account(struct control *control, const uint8_t *mail);
void system_statsz_due(struct control *control);
void system_accounts_due(struct control *control);
/* The time for other servers to answer is over. */
void system_survey_due(struct control *control, struct timer *timer);
/* What found no room before. True: some of it is left. */
bool system_step(struct control *control);
void system_close(struct control *control);

/* Says that this server takes no more clients; that it goes, true: MAIL_SYSTEM_PUBLISHED or the timer will
 * follow, and all threads are to run until then. */
void system_lame_duck(struct control *control);
MUST_USE bool system_shutdown(struct control *control);

/* Begins the next request if one waits. True: it became a task. */
bool system_begin_next(struct control *control);

/* A task that a request was made into is done: answers, or not. */
void system_task_done(struct control *control, struct monitor_task *task);

/* Whether there may be other servers: then heartbeats go out whoever listens. */
bool system_has_peers(const struct control *control);

/* How many servers are known, this one among them. */
uint32_t system_active_servers(const struct control *control);

/* ---- for the files of the system account ---- */

struct system_message {
    uint32_t account; /* by id */
    struct bytes subject, reply;
    struct bytes headers; /* empty, or a whole block of them */
    struct bytes body;
    bool last; /* MAIL_SYSTEM_PUBLISHED is to follow */
};

/* Publishes it. False: dropped. */
bool system_publish(struct control *control, const struct system_message *message);

/* In the system account. */
void system_say(struct control *control, struct bytes subject, struct json_output *document);

/* A request of the server's own for that service, with an account if it needs one. */
void system_ask_itself(struct control *control, const struct system_service *service);
void system_request_free(struct system_request *request);

/* "server": this server's description, with the next sequence number. `key` NULL: without a key. */
void system_put_server(struct json_output *document, struct control *control, const char *key);

/* The event of an account's clients, on its two subjects, or, when that is not empty, to one reply. */
void system_account_say(struct control *control, struct monitor_task *task,
                        const struct security_account *account, struct bytes reply);

/* What another server answered a question of this one's (system_subscribers.c); the end of all of them. */
void system_survey_answered(struct control *control, const struct system_request *request);
void system_surveys_close(struct control *control);

/* New options are in force: others may know of this server what is not true any more. */
void system_reloaded(struct control *control, const struct server_options *before);

/* What another server published. */
void system_peer_statsz(struct control *control, const struct system_request *request);
void system_peer_gone(struct control *control, const struct system_request *request);
void system_peers_forget(struct control *control);
/* NULL: it has not been heard of. */
struct system_peer *system_peer_find(struct system *system, struct bytes id);

/* ---- clients of accounts on other servers (system_counts.c) ---- */

/* What another server says of one account: an event; of several: the answer to system_counts_ask(). */
void system_counts_take(struct control *control, const struct system_request *request);
void system_counts_take_all(struct control *control, const struct system_request *request);
/* Whether that is where answers to it go: this server hears its own question, and has nothing to add. */
bool system_counts_inbox(const struct control *control, struct bytes reply);
/* Asks all servers for the accounts that have a limit, if a server is new. */
void system_counts_ask(struct control *control);
/* What was not said again does not count any more. */
void system_counts_expire(struct control *control);
/* That server is gone, and so are its clients. */
void system_counts_forget(struct control *control, struct system_peer *peer);
/* Limits may be new: tells the shards what they need to know now. */
void system_counts_reloaded(struct control *control);
/* What found no room before. True: some of it is left. */
bool system_counts_step(struct control *control);
void system_counts_close(struct system *system);

#endif
