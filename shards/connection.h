/* shards/connection.h - a socket and its session on one shard: receives, sends, pauses, ends.
 * In the flow:  shard_complete() -> connection_received() -> client_receive()
 *               shard_turn_end() -> connection_send() -> loop_send() -> connection_sent()
 * One receive (multishot) and one send are in flight at most. Its memory goes when the session is closed, all
 * subscriptions are out of the index, and both operations are home. */
#ifndef SHARDS_CONNECTION_H
#define SHARDS_CONNECTION_H

#include "core/base/list.h"
#include "core/loop/loop.h"
#include "net/client.h"

struct shard;

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_FLUSHING,  /* the session is closed; what is pending is still sent */
    CONNECTION_LINGERING, /* our FIN is out; what the peer still sends is read and dropped, so that no RST
                             overtakes our last words */
    CONNECTION_ENDING,    /* shut down both ways; waiting for the operations to come home */
};
enum { CONNECTION_STATES = CONNECTION_ENDING + 1 };

struct connection_tls;

struct connection {
    struct client client;
    struct connection_tls *tls; /* the stage between, on a port with TLS (connection_tls.h); NULL: in clear */
    struct loop_op receive;
    struct loop_op send;
    struct timer timer;           /* end of a stall; end of lingering */
    struct list_link all;         /* in shard.connections, from beginning to end */
    struct list_link with_output; /* in shard.with_output while it has bytes to send and none in flight */
    struct list_link sending;     /* in shard.sending while a send is in flight, oldest first */
    struct list_link waiting;     /* in shard.full while a mailbox holds it back */
    struct list_link served;      /* in shard.served after a receive that ended for want of buffers */
    struct list_link resyncing; /* in shard.resyncing after a reload that changed what its account imports */
    struct list_link closing;   /* in shard.closing while subscriptions are left to remove */
    struct block *held;         /* bytes received and not taken yet, from held_at on */
    uint32_t held_at;
    uint32_t held_end;
    int64_t send_started_ns; /* of the batch: what was gathered then counts as one write for the deadline */
    uint64_t received_turn;  /* when bytes last came: session_context.turn */
    uint64_t batch_bytes;    /* of it not taken by the kernel yet */
    int64_t write_deadline_ns;
    int fd;
    uint8_t state;        /* enum connection_state */
    bool stalled;         /* its receivers are slow: nothing is taken until the timer */
    bool send_progressed; /* part of the batch was taken since send_started_ns */
    bool ended;           /* the peer's FIN came */
    bool failed;          /* reading failed */
    bool announced;       /* the system account has been told that it is in */
    bool client_begun;    /* the session takes bytes: the question of TLS is settled */
};

/* What the control core has decided about a connection as it came. */
struct connection_verdict {
    bool refused;   /* too many: it is greeted, told, and closed */
    bool throttled; /* too many handshakes: likewise, if it wants TLS */
};

/* Makes a connection of an accepted socket and greets. NULL: no memory, the socket is closed. Thread: the
 * shard's, as for all of these. */
struct connection *connection_new(struct shard *shard, int fd, struct client_peer *peer,
                                  struct connection_verdict verdict);

void connection_received(struct shard *shard, struct connection *connection,
                         const struct loop_completion *completion);
void connection_sent(struct shard *shard, struct connection *connection, int32_t result);

/* Receives again, if it should, after its turn in shard.served. */
void connection_receive_again(struct shard *shard, struct connection *connection);

/* Starts a send of what is pending, if none is in flight. */
void connection_send(struct shard *shard, struct connection *connection);

/* Takes up what was held back. */
void connection_resume(struct shard *shard, struct connection *connection);

/* Takes no bytes for so long. */
void connection_stall(struct shard *shard, struct connection *connection, int64_t stall_ns);

/* The session is closed (host->closing()). */
void connection_closing(struct shard *shard, struct connection *connection, bool flush);

void connection_timer_due(struct shard *shard, struct connection *connection);

/* A send has been in flight longer than the write deadline. */
void connection_write_late(struct shard *shard, struct connection *connection);

/* Removes some subscriptions of a closed session, and the connection itself when nothing is left to do. */
void connection_closing_step(struct shard *shard, struct connection *connection);

/* Frees it at once, whatever is in flight: the ring is gone already. */
void connection_abandon(struct shard *shard, struct connection *connection);

#endif
