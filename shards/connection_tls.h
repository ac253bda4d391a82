/* shards/connection_tls.h - the stage between a socket and its session on a port with TLS: whether and when
 * TLS begins (spec/security.md 4.4), the handshake, and the bytes through the stream. In the flow:
 *   connection_received() -> connection_tls_received() -> tls_stream_read() -> connection_give()
 *   connection_send() -> connection_tls_encrypt() -> tls_stream_write() -> loop_send()
 * A handshake costs as much CPU as hundreds of messages, so a turn of the shard spends at most
 * CONNECTION_TLS_TURN_NS on them; what is left waits in shard.handshakes, its receive stopped, while
 * everybody else is served. At the bounds: `timeout` ends a handshake however slowly it goes on; ciphertext
 * made ahead of the socket is at most CONNECTION_TLS_UNSENT_BYTES, the rest waits in clear and counts for
 * max_pending. Thread: the shard's. */
#ifndef SHARDS_CONNECTION_TLS_H
#define SHARDS_CONNECTION_TLS_H

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/loop/timers.h"
#include "core/security/certificate_names.h"
#include "net/client.h"
#include "net/tls_stream.h"

struct connection;
struct shard;

/* Less than a handshake takes: one that was begun is ended, then it is the turn of the others. */
#define CONNECTION_TLS_TURN_NS (NS_PER_MS / 10)

enum {
    CONNECTION_TLS_UNSENT_BYTES = 512 * 1024, /* 256 KiB cost 5 to 10 % more, more than this nothing less */
    CONNECTION_TLS_PLAIN_BYTES = 64 * 1024, /* decrypted at once: a receive buffer and a record from before */
};

enum connection_tls_state {
    CONNECTION_TLS_LISTENING, /* handshake_first with a wait: bytes mean TLS, silence brings INFO */
    CONNECTION_TLS_CHOOSING,  /* allow_non_tls: INFO is out, the first byte decides */
    CONNECTION_TLS_HANDSHAKE,
    CONNECTION_TLS_CHECKING, /* responders are asked about the peer's certificates; nothing is received */
    CONNECTION_TLS_OPEN,
};
enum { CONNECTION_TLS_STATES = CONNECTION_TLS_OPEN + 1 };

struct connection_tls {
    struct connection *connection;
    struct tls_stream *stream; /* NULL before the first byte of a handshake: silence costs no memory */
    struct timer timer;        /* end of the wait, or of the patience with the handshake */
    struct list_link queued;   /* in shard.handshakes while bytes of its handshake wait for their turn */
    struct block *held;        /* those bytes, or what came behind it while the peer is checked */
    struct block *chain;       /* of a peer that could not be asked about yet; NULL: it was */
    int64_t check_until_ns;    /* when patience with responders ends */
    uint32_t held_bytes;
    uint8_t state; /* enum connection_tls_state */
    bool first;    /* INFO was not sent yet */
    bool throttled;
    bool last_words;    /* an alert is to be sent although the session ended without a flush */
    struct arena arena; /* of `names` */
    struct certificate_names names;
};

/* How a new connection opens under these options; for client_init(). */
enum client_opening connection_tls_opening(const struct net_options *options, bool refused);

/* Puts the stage in, after client_init(), when the port has TLS. False: no memory. */
MUST_USE bool connection_tls_start(struct shard *shard, struct connection *connection, bool throttled);
void connection_tls_free(struct shard *shard, struct connection *connection);

/* Bytes from the socket. */
void connection_tls_received(struct shard *shard, struct connection *connection, struct bytes bytes);

/* What came of asking about the peer. */
void connection_tls_peer_checked(struct shard *shard, struct connection *connection, bool good);

/* The peer will send no more. True: that was the end of a handshake, and is dealt with. */
bool connection_tls_input_ended(struct shard *shard, struct connection *connection);

/* Whether its handshake waits for its turn, or for responders: nothing is received meanwhile. */
bool connection_tls_queued(const struct connection *connection);

/* Makes ciphertext of what the session has written; with `last`, close_notify behind all of it. False:
 * failed. */
MUST_USE bool connection_tls_encrypt(struct connection *connection, bool last);

/* The chain that the socket sends from, which is the session's own while there is no stream. */
struct output *connection_output(struct connection *connection);

/* Whether something is still to be said, close_notify included. */
bool connection_tls_pending(const struct connection *connection);

/* The session has ended: no more waiting. True: an alert wants to be sent all the same. */
bool connection_tls_closing(struct shard *shard, struct connection *connection);

void connection_tls_timer_due(struct shard *shard, struct connection_tls *tls);

/* Goes on with handshakes that wait, as far as this turn's time goes. */
void connection_tls_work(struct shard *shard);

/* New options: a peer whose certificate is not pinned any more is closed; whether it was. */
bool connection_tls_options_changed(struct shard *shard, struct connection *connection);

#endif
