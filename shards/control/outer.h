/* shards/control/outer.h - the control core's desk at a NATS server outside of this process: one client
 * connection, which is dialled, secured, kept and dialled again, and over which the desk listens and
 * publishes (docs/streaming.md 10; its user is `nats_server_url`).
 *
 *     outer_open() -> worker -> connect -> INFO -> TLS -> CONNECT -> PONG -> service_reached()
 *     outer_read_done() -> outer_parser_next() -> desk_take()
 *     desk_publish() -> outer_publish() -> outer_step(): send
 *
 * At the bounds: before the server was reached once, and while OUTER_UNSENT_BYTES_MAX wait for the socket,
 * publishing answers false, and the service tries again; while a connection that was there is lost, what is
 * published is dropped, as nats-streaming-server does it: redelivery follows. A message above
 * OUTER_MESSAGE_BYTES_MAX ends the connection. Thread: the control core's. */
#ifndef SHARDS_CONTROL_OUTER_H
#define SHARDS_CONTROL_OUTER_H

#include "core/base/arena.h"
#include "core/loop/loop.h"
#include "core/loop/timers.h"
#include "net/cluster_options.h"
#include "net/outer_login.h"
#include "net/output.h"
#include "net/tls_stream.h"
#include "shards/control/dial_address.h"

struct control;
struct desk_listener;

enum outer_state {
    OUTER_WAITING,    /* for the time to dial */
    OUTER_RESOLVING,  /* the worker has the name */
    OUTER_CONNECTING, /* the kernel has the address */
    OUTER_GREETED,    /* connected; INFO is to come */
    OUTER_SECURING,   /* TLS */
    OUTER_LOGIN,      /* CONNECT and PING are sent; PONG is to come */
    OUTER_OPEN,
    OUTER_CLOSING, /* operations are on their way home; then the next address */
    OUTER_ENDED,   /* for good */
};
enum { OUTER_STATES = OUTER_ENDED + 1 };

enum {
    OUTER_URLS_MAX = 32, /* configured and told by the server; more are not noted */
    OUTER_READ_BYTES = 64 * 1024,
    OUTER_MESSAGE_BYTES_MAX = 64 * 1024 * 1024,
    OUTER_UNSENT_BYTES_MAX = 8 * 1024 * 1024,
    OUTER_NONCE_BYTES = 128, /* a longer one is not signed */
    OUTER_WHY_BYTES = 256,
};
#define OUTER_RESOLVE_NUMBER UINT64_MAX /* in the worker's answers: no dial of routes or gateways has it */

/* Where to and as whom; texts are copied. */
struct outer_setup {
    const char *urls; /* as configured: one, or several with commas between */
    struct outer_identity identity;
    struct tls_options tls; /* on: also where the server does not ask for it; ca, insecure */
    struct tls_pair pair;   /* cert_file NULL: none */
    const char *tls_host;   /* whose certificate it has to be; NULL: the address's */
};

struct outer {
    struct arena arena;
    struct outer_identity identity; /* what the configuration says; a URL's login goes before it */
    struct tls_context *tls;        /* NULL until a server asks for it */
    struct tls_options tls_options;
    struct tls_pair pair; /* of them */
    const char *tls_host;
    struct route_url urls[OUTER_URLS_MAX];
    uint32_t url_count;
    uint32_t url_index; /* the one that is tried or used */
    uint32_t tried;     /* since the last one that let us in */

    union dial_address address;
    struct loop_op connect, read, send;
    struct timer timer; /* by state: dial; give up; ping */
    struct timer stall_timer;
    struct random random;
    int fd;

    uint8_t *read_buffer; /* OUTER_READ_BYTES */
    uint8_t *gathered;    /* what is not parsed yet */
    size_t gathered_bytes, gathered_capacity;
    struct output_pool pool;
    struct output output; /* in clear */
    struct tls_stream *stream;

    uint8_t nonce[OUTER_NONCE_BYTES];
    size_t nonce_bytes; /* of the server that is being greeted; 0: it has sent none */
    uint64_t sids;
    uint64_t pings_out;
    uint8_t state;             /* enum outer_state */
    bool was_open;             /* once */
    bool stalled;              /* nothing is read: the service has too much to do */
    char why[OUTER_WHY_BYTES]; /* the last attempt failed */
};

/* Begins to dial. On error `why` is the reason and nothing is left. Owner: the control core, control->outer.
 */
MUST_USE enum err outer_open(struct control *control, const struct outer_setup *setup, char *why,
                             size_t why_bytes);

/* Ends the connection, waiting for what the ring has of it, and frees. Before the loop goes. Legal when there
 * is none. */
void outer_close(struct control *control);

/* ---- for the desk ---- */

/* Subscribes to what it listens to, now or when there is a connection. */
void outer_listen(struct control *control, struct desk_listener *listener);
void outer_unlisten(struct control *control, const struct desk_listener *listener);

/* False: not yet. */
MUST_USE bool outer_publish(struct control *control, struct bytes subject, struct bytes reply,
                            struct bytes body);

/* Nothing is read for so long. */
void outer_stall(struct control *control, int64_t stall_ns);

/* ---- for the control core's loop ---- */

void outer_completed(struct control *control, const struct loop_completion *completion);
void outer_due(struct control *control);
void outer_stall_due(struct control *control);
/* The worker's answer. False: it is somebody else's. */
bool outer_mail_resolved(struct control *control, const uint8_t *mail);
/* Once a turn: sends what has gathered. */
void outer_step(struct control *control);

/* ---- between its files ---- */

/* outer_dial.c */
void outer_move(struct outer *outer, enum outer_state next);
void outer_failed(struct control *control, const char *why); /* the connection, or the attempt, is over */
void outer_home(struct control *control);                    /* the last operation is back */
void outer_urls_told(struct outer *outer, struct bytes connect_urls);
MUST_USE bool outer_urls_read(struct outer *outer, const char *urls, char *why, size_t why_bytes);
void outer_timer(struct control *control, int64_t wait_ns);

/* outer.c */
void outer_connected(struct control *control);
void outer_ping(struct control *control);
void outer_sent(struct control *control, int32_t result);
void outer_read_done(struct control *control, int32_t result);

#endif
