/* net/route.h - the session of one route or gateway connection: another server's bytes in, operations out to
 * the host, bytes out (spec/routes.md, spec/gateways.md; what differs for gateways is in route_gateway.c). In
 * the flow:  route_received() -> route_receive() -> route_parser_next() -> host->publish() || route_deliver()
 * Who may join is not decided here: CONNECT and INFO go to the host, and route_answered() says how to go on.
 * It knows no socket, thread or clock. At the bounds: a host that is full makes it stop taking bytes until
 * route_resume(); output has no bound but the host's write deadline (routes.md 16). Thread: its shard's, all
 * of it. */
#ifndef NET_ROUTE_H
#define NET_ROUTE_H

#include "core/loop/timers.h"
#include "net/closed_reason.h"
#include "net/host.h"
#include "net/route_host.h"
#include "net/route_parser.h"

enum route_state {
    ROUTE_GREETED,    /* our first lines are out; the peer's CONNECT or INFO must come */
    ROUTE_CONNECTED,  /* accepted: CONNECT was good, INFO must come */
    ROUTE_REGISTERED, /* a member of the cluster */
    ROUTE_CLOSED,     /* nothing is taken or written any more */
};
enum { ROUTE_STATES = ROUTE_CLOSED + 1, ROUTE_ADDRESS_BYTES = 48 };

enum route_kind { ROUTE_OF_CLUSTER, ROUTE_OF_GATEWAY };

struct route {
    struct session_context *context; /* pool, timers, options and time of its thread */
    const struct route_host *host;
    struct output output;
    struct route_parser parser;
    struct timer timer; /* authentication, then pings */
    uint64_t rid;
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
    int64_t start_ns;
    int64_t last_activity_ns;
    int64_t ping_interval_ns;
    int64_t ping_sent_ns; /* 0: none is unanswered */
    int64_t rtt_ns;       /* 0: not known */
    int64_t ping_max;
    uint64_t stalled_turn; /* when it last asked for a stall, and of whom */
    uint64_t stalled_cid;
    uint8_t state; /* enum route_state */
    uint8_t kind;  /* enum route_kind */
    uint8_t closed_reason;
    uint8_t pings_unanswered;
    bool solicited; /* we dialled */
    bool asking;    /* the host was asked and has not answered */
    bool blocked;   /* bytes are not taken: asking, or the host is full */
    bool output_noted;
    bool headers;   /* the peer has them */
    bool dedicated; /* to one account, which its lines do not name (routes.md 13) */
    uint16_t port;
    char address[ROUTE_ADDRESS_BYTES];
};

struct route_setup {
    struct session_context *context;
    const struct route_host *host;
    const char *address;
    struct bytes greeting; /* the lines to begin with */
    uint64_t rid;
    int64_t authentication_timeout_ns; /* 0: the peer may take its time */
    int64_t ping_interval_ns;
    int64_t ping_max;
    uint16_t port;
    bool solicited;
    enum route_kind kind;
};

/* How to go on. */
struct route_answer {
    bool close;
    bool registers;            /* else only goes on */
    bool headers;              /* of the peer */
    bool dedicated;            /* with `registers`: the route is one account's alone */
    enum closed_reason reason; /* with `close` */
    const char *error;         /* with `close`, for -ERR; NULL or empty: none */
};

/* Begins the session: writes the greeting. `route` is all zero. ERR_MEMORY: the caller closes it. */
MUST_USE enum err route_init(struct route *route, const struct route_setup *setup);

/* Takes bytes; returns how many. Fewer than given: blocked or closed; the rest is to be given again after
 * route_resume(), or dropped when closed. */
size_t route_receive(struct route *route, struct bytes bytes);

/* The host has room again. The caller gives the bytes that were left over, then new ones; even when there are
 * none. */
void route_resume(struct route *route);

/* The answer to host->said(); also unasked, to close. */
void route_answered(struct route *route, const struct route_answer *answer);

/* The peer will send no more (FIN), or reading failed. */
void route_input_ended(struct route *route, bool failed);

/* How often it is pinged, and how many may be unanswered; with a reload too. */
void route_pings_set(struct route *route, int64_t interval_ns, int64_t most);

/* Its timer was due. */
void route_timer_due(struct route *route);

/* Appends whole lines. */
void route_write(struct route *route, struct bytes lines);

/* RS+ or, with weight 0, RS-. `queue` empty: plain, any other weight is 1. */
void route_tell_interest(struct route *route, struct bytes account, struct bytes subject, struct bytes queue,
                         uint32_t weight);

/* Writes a message, or a run of them (without queues). `queues`: the groups to be served there, a blank
 * between each. False: closed, or memory is out and it closes. */
bool route_deliver(struct route *route, struct bytes account, const struct message *run, struct bytes queues);

/* Closes the session: appends `-ERR '<error>'` when there is one, tells the host. Legal when closed already.
 */
void route_close(struct route *route, enum closed_reason reason, const char *error);

/* Frees what the session holds; it must be closed. */
void route_free_parts(struct route *route);

/* "address:port - rid:n" or "gid:n", for log lines. */
const char *route_prefix(const struct route *route, char *out, size_t out_bytes);
enum { ROUTE_PREFIX_BYTES = 96 };

/* ---- for the files behind this header ---- */

/* What to make of an operation on a gateway connection, by direction and state (spec/gateways.md 2, 5). */
enum route_verdict {
    ROUTE_EXPECTED,
    ROUTE_UNAUTHORIZED, /* something before the introductions: -ERR 'Authorization Violation' */
    ROUTE_MISDIRECTED,  /* the wrong way: closed without -ERR */
};
enum route_verdict route_gateway_verdict(const struct route *route, const struct route_operation *operation);

/* Takes A+ or A-. */
enum route_host_result route_gateway_account(struct route *route, const struct route_operation *operation);

#endif
