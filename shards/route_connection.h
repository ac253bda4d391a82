/* shards/route_connection.h - a socket and its route on one shard: receives, sends, ends.
 * In the flow:  MAIL_ROUTE -> route_connection_new() || shard_complete() -> route_connection_received() ->
 * route_receive() flush of outputs -> route_connection_send() -> loop_send() -> route_connection_sent() One
 * receive (multishot) and one send are in flight at most. Its memory goes when the session is closed, the
 * control core was told, and both operations are home. Thread: the shard's. */
#ifndef SHARDS_ROUTE_CONNECTION_H
#define SHARDS_ROUTE_CONNECTION_H

#include "core/base/list.h"
#include "core/loop/loop.h"
#include "net/route.h"

struct shard;
struct shard_account;
struct mail_route;
struct tls_stream;
struct route_s2;

enum route_connection_state {
    ROUTE_CONNECTION_OPEN,
    ROUTE_CONNECTION_FLUSHING,  /* the session is closed; what is pending is still sent */
    ROUTE_CONNECTION_LINGERING, /* our FIN is out; what still comes is dropped, so that no RST overtakes our
                                   last words */
    ROUTE_CONNECTION_ENDING,    /* shut down both ways; waiting for the operations to come home */
};
enum { ROUTE_CONNECTION_STATES = ROUTE_CONNECTION_ENDING + 1, ROUTE_ACCOUNTS_KNOWN = 16, ROUTE_NONE = 255 };

/* A walk over what stands in the accounts' indexes, that survives changes. */
struct route_walk {
    uint32_t account; /* its id, */
    uint32_t cursor;  /* and where in its index (index_step()) */
};

/* How far a route has been told what this server wants. */
struct route_telling {
    bool all;     /* everything */
    bool holds;   /* the peer is not read from until then */
    bool changes; /* what differs from remotes.before */
    struct route_walk at;
};

/* How far an inbound connection of another cluster has been told what this one wants. */
struct gateway_telling {
    bool going;
    bool lists;       /* all queue groups are told: now account by account the rest */
    bool began;       /* with that account, */
    bool routed;      /* whose own index is done: now that of the routes */
    uint32_t account; /* its place among all, */
    uint32_t cursor;  /* and where in that index (index_step()) */
};

/* How far what a peer said is looked at that it may not want any more. */
struct route_dropping {
    bool going;
    struct route_walk at;
    struct block *answer; /* a line for the peer when it is over; NULL: none */
    uint32_t answer_bytes;
};

struct route_connection {
    struct route route;
    struct loop_op receive;
    struct loop_op send;
    struct tls_stream *tls; /* NULL: in clear */
    struct block *unread;   /* ciphertext that came while responders are asked about the peer */
    uint32_t unread_bytes;
    struct route_s2 *s2;          /* NULL: not compressed */
    struct timer timer;           /* end of a TLS handshake; end of lingering */
    struct list_link all;         /* in remotes.routes, from beginning to end */
    struct list_link with_output; /* in remotes.with_output while it has bytes to send and none in flight */
    struct list_link waiting;     /* in remotes.full while a mailbox holds it back */
    struct block *held;           /* bytes received and not taken yet, from held_at on */
    uint32_t held_at;
    uint32_t held_end;
    int64_t send_started_ns;
    int64_t write_deadline_ns;
    uint64_t subscription_count; /* patterns and groups that the other server wants */
    uint64_t batch_bytes;        /* of the write under way not taken by the kernel yet */
    uint64_t batch_attempted;    /* of that write, all */
    uint32_t batch_parts;
    int fd;
    uint8_t state;          /* enum route_connection_state */
    uint8_t remote;         /* the server's number; ROUTE_NONE: not registered */
    uint8_t line;           /* which one of that server's, when registered */
    bool pooled;            /* there may be others, and each has its accounts */
    uint8_t gateway;        /* an outbound one's cluster; ROUTE_NONE: not registered, or none */
    bool gateway_inbound;   /* registered */
    uint16_t remote_number; /* mail_route.remote_number */
    bool slow;              /* a write met its deadline, and none has been done since */
    bool send_progressed;   /* part of the write was taken since send_started_ns */
    bool ended;             /* the peer's FIN came */
    bool failed;            /* reading failed */
    bool checking;          /* responders are asked about the peer: nothing is received or sent in TLS */
    bool told;              /* the control core knows that it is closed */
    bool
        waits_for_forgetting; /* it is not read from before what others with its number wanted is forgotten */
    struct route_telling telling;
    struct gateway_telling gateway_telling;
    struct route_dropping dropping;
    struct gateway_unknown *gateway_unknown; /* NULL: none yet */
    /* Accounts that it spoke of lately, by a hash of the name; forgotten with a new snapshot. */
    struct shard_account *accounts[ROUTE_ACCOUNTS_KNOWN];
};

static inline struct route_connection *route_connection_of(struct route *route)
{
    return CONTAINER_OF(route, struct route_connection, route);
}

/* Whether some walk goes on with every turn. */
static inline bool route_walks(const struct route_connection *connection)
{
    return connection->state == ROUTE_CONNECTION_OPEN &&
           (connection->telling.all || connection->telling.changes || connection->dropping.going ||
            connection->gateway_telling.going);
}

/* Makes a connection of what the control core sends, and greets. Takes socket and greeting. NULL: no memory,
 * the socket is closed. */
struct route_connection *route_connection_new(struct shard *shard, const struct mail_route *mail);

void route_connection_received(struct shard *shard, struct route_connection *connection,
                               const struct loop_completion *completion);
void route_connection_sent(struct shard *shard, struct route_connection *connection, int32_t result);

/* Bytes of the peer, out of TLS, compressed or not. */
void route_connection_give(struct shard *shard, struct route_connection *connection, struct bytes bytes);

/* Bytes for the session, in clear; what it does not take now is held. And whether it takes any. */
void route_connection_take(struct shard *shard, struct route_connection *connection, struct bytes bytes);
bool route_connection_taking(const struct route_connection *connection);

/* All that comes and goes from now on is compressed (enum route_compression_mode). Before
 * route_connection_resume(). */
void route_connection_compress(struct shard *shard, struct route_connection *connection, uint8_t mode);

/* Starts a send of what is pending, if none is in flight. */
void route_connection_send(struct shard *shard, struct route_connection *connection);

/* Receives again, unless it has to wait for something. */
void route_connection_receive_again(struct shard *shard, struct route_connection *connection);

/* Takes up what was held back. */
void route_connection_resume(struct shard *shard, struct route_connection *connection);

/* The session is closed (route_host.closing). */
void route_connection_closing(struct shard *shard, struct route_connection *connection, bool flush);

/* The snapshot is new: intervals and deadlines that are from now on. */
void route_connection_options_use(const struct shard *shard, struct route_connection *connection);

void route_connection_timer_due(struct shard *shard, struct route_connection *connection);

/* What has to be looked at once a turn: the write deadline, and whether it can go. */
void route_connection_step(struct shard *shard, struct route_connection *connection);

/* Frees it at once, whatever is in flight: the ring is gone already. */
void route_connection_abandon(struct shard *shard, struct route_connection *connection);

#endif
