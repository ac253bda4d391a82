/* shards/shard.h - one pinned thread with its ring, its connections and its replica of the interest.
 * shard_turn() is the life of a thread; shard_complete() is the only door by which completions enter. */
#ifndef SHARDS_SHARD_H
#define SHARDS_SHARD_H

#include "core/subject/index.h"
#include "core/subject/index_table.h"
#include "net/host.h"
#include "shards/account_names.h"
#include "shards/accounts.h"
#include "shards/backlog.h"
#include "shards/callouts.h"
#include "shards/closed.h"
#include "shards/connection.h"
#include "shards/gateways.h"
#include "shards/latency_answers.h"
#include "shards/mail.h"
#include "shards/patience.h"
#include "shards/post.h"
#include "shards/remotes.h"
#include "shards/replies.h"
#include "shards/reports.h"
#include "shards/router_memo.h"
#include "shards/snapshot.h"
#include "shards/system_shard.h"

/* The kinds of operations on a shard's ring, and of its timers. */
enum shard_op { OP_RECEIVE, OP_SEND, OP_WAKEUP, OP_ROUTE_RECEIVE, OP_ROUTE_SEND };
enum shard_timer {
    TIMER_CLIENT,
    TIMER_CONNECTION,
    TIMER_TLS,
    TIMER_REPLY,
    TIMER_ROUTE,
    TIMER_ROUTE_CONNECTION
};

/* What the router keeps between messages. */
enum { ROUTER_MEMOS = 2048, SERVICE_MEMOS = 256 };
struct router {
    struct router_memo memos[ROUTER_MEMOS];          /* by line_serial */
    struct router_memo service_memos[SERVICE_MEMOS]; /* the same, of what accounts import */
    const struct match *service_match; /* what services_hit() found last; NULL: the account imports none */
    const struct service_import *service_system; /* and of the system account; NULL: none */
};

/* Stalls of other shards' publishers in one turn: one more is not told, its publisher stalls a turn later. */
enum { SHARD_STALLS_MAX = 64 };

struct shard {
    struct session_context context; /* first: a session finds its shard through it */
    struct loop *loop;
    struct post post;
    struct shard_accounts accounts; /* an index for each */
    struct account_names names;     /* of those that others speak of, and that are not configured */
    struct match_cache *matches;
    struct router router;
    struct snapshot *snapshot;
    struct info_server info;    /* the snapshot's, with the URLs of the whole cluster */
    struct block *connect_urls; /* the cluster's name and those, a zero behind each; NULL: none */
    uint32_t connect_urls_bytes;
    struct bytes *connect_url_texts; /* `info` points there */
    struct list connections;
    struct list with_output;
    struct list sending;
    struct list
        served; /* got bytes in this turn until the buffers ended: they receive again behind the others */
    struct list full; /* held back by a full mailbox */
    struct list closing;
    struct list handshakes; /* of TLS, that wait for their turn */
    uint8_t *plain;         /* what was decrypted last, CONNECTION_TLS_PLAIN_BYTES; NULL before the first */
    int64_t handshake_ns;   /* spent on handshakes in this turn */
    struct list shadows;    /* all stream imports' subscriptions */
    struct list resyncing;  /* connections whose shadows are to be brought to a new snapshot */
    struct list telling;    /* accounts whose number of clients the other shards do not know yet */
    struct index_table shadow_table; /* shadows by the subscription that they belong to */
    struct remotes remotes;          /* the other servers of the cluster */
    struct gateways gateways;        /* other clusters */
    struct replies replies;          /* of services in other accounts, outstanding */
    struct latency_answers answers;  /* to other servers' requests that are measured */
    struct backlog backlog;
    uint8_t *scratch;          /* for subjects while they are changed; NULL: none was needed yet */
    struct connection **slots; /* by publisher_place.slot */
    uint32_t *free_slots;
    uint32_t slot_count;
    uint32_t free_slot_count;
    struct client_subscription **expired; /* had their last message */
    uint32_t expired_count;
    uint32_t expired_capacity;
    struct loop_op wakeup;
    uint64_t wakeup_value;
    uint64_t output_mark; /* context.written_bytes at the last flush of outputs */
    struct patience patience;
    struct closed_ring closed;                  /* connections that are gone */
    struct reports reports;                     /* what the control core asks */
    struct mail_stall stalls[SHARD_STALLS_MAX]; /* to be told at the end of the turn */
    uint32_t stalls_waiting;
    struct shard_system system;
    struct callouts callouts;       /* logins that a service is asked about */
    const struct server_keys *keys; /* the server's private halves */
    uint64_t stall_count;
    uint64_t look_count;   /* waits that began by looking, */
    uint64_t sleep_count;  /* and that ended in sleep */
    int64_t turn_began_ns; /* 0: it has ended */
    int64_t turn_ns;       /* of all turns that ended, */
    int64_t turn_ns_most;  /* and of the longest */
    uint32_t shard_count;
    uint32_t gone_count;     /* connections that ended and were not told of yet */
    int64_t stop_ns;         /* when stopping: not to wait for anybody any longer */
    uint32_t staples_passed; /* replaced, and the control core does not know yet that none is read here */
    bool control_listens;    /* the control core's services want something: shards/control/desk.h */
    bool stopping;
};

struct shard_setup {
    struct post_office *office;
    struct snapshot *snapshot;
    struct log *log;
    const struct server_keys *keys;
    uint32_t self;
    uint32_t shard_count;
};

/* Makes a shard on its own thread. On error `why` says what is missing. */
MUST_USE enum err shard_init(struct shard *shard, const struct shard_setup *setup, char *why,
                             size_t why_bytes);

/* Works with these options from now on. */
void shard_snapshot_use(struct shard *shard, struct snapshot *snapshot);

/* One turn of the loop; false when the shard has stopped. */
bool shard_turn(struct shard *shard);

/* Frees everything; the peers' sockets are closed. */
void shard_close(struct shard *shard);

static inline struct shard *shard_of(struct session_context *context)
{
    return CONTAINER_OF(context, struct shard, context);
}

static inline struct connection *connection_of(struct client *client)
{
    return CONTAINER_OF(client, struct connection, client);
}

/* The connection that still lives at that place, or NULL. */
struct connection *shard_connection_at(struct shard *shard, const struct publisher_place *place);

/* A place for a connection. ERR_MEMORY: none. */
MUST_USE enum err shard_slot_take(struct shard *shard, struct connection *connection);
void shard_slot_give(struct shard *shard, struct connection *connection);

/* A mail to the control core, from the spare part of the mailbox too: the control core always drains. False:
 * no room.
 */
MUST_USE bool shard_tell_control(struct shard *shard, const void *mail, uint32_t bytes);

/* Tells the control core that a connection has gone. */
void shard_connection_gone(struct shard *shard);

enum { SHARD_SCRATCH_BYTES = 2 * TRANSFORM_SUBJECT_BYTES_MAX };

/* Makes shard->scratch. False: memory is out. */
MUST_USE bool shard_scratch_make(struct shard *shard);

/* Removes the subscriptions that have had their last message, as far as mailboxes have room. Not while a
 * message is being delivered. */
void shard_remove_expired(struct shard *shard);

#endif
