/* shards/control/gateways.h - which other clusters there are, and how they are reached: the gateway port, the
 * one dial for each cluster, gossip (spec/gateways.md 5, 6, 13; docs/gateways.md 4). In the flow:
 *   accept, or resolve and connect -> MAIL_ROUTE -> a shard
 *   MAIL_ROUTE_SAID -> gateways_mail_said() -> MAIL_ROUTE_ANSWER, MAIL_GATEWAY to all
 * At the bounds: docs/gateways.md 5. Thread: the control core's. */
#ifndef SHARDS_CONTROL_GATEWAYS_H
#define SHARDS_CONTROL_GATEWAYS_H

#include "core/base/arena.h"
#include "core/base/list.h"
#include "core/base/random.h"
#include "core/config/text.h"
#include "core/loop/loop.h"
#include "core/loop/timers.h"
#include "net/gateway_options.h"
#include "net/route_info.h"
#include "shards/control/dial_address.h"
#include "shards/control/peers.h"
#include "shards/gateways.h"

struct control;

enum {
    GATEWAY_NAME_BYTES = 256,
    GATEWAY_HOST_BYTES = 256,
    GATEWAY_ADDRESSES_MAX = 64, /* of one cluster */
    GATEWAY_LINKS_MAX = 256,    /* connections at once, registered or not */
};

/* Where a node of another cluster listens. Texts are in the cluster's arena. */
struct gateway_address {
    const char *host;
    struct bytes user, password;
    uint16_t port;
    bool configured;
};

enum gateway_state {
    GATEWAY_IDLE,       /* the place is free */
    GATEWAY_WAITING,    /* for its timer */
    GATEWAY_RESOLVING,  /* the worker looks a name up */
    GATEWAY_CONNECTING, /* at most a second */
    GATEWAY_CONNECTED,  /* there is a connection, `link` */
};

/* Another cluster. Its place in the table is its number. */
struct gateway_cluster {
    struct timer timer;
    struct loop_op connect;
    union dial_address address;
    struct arena arena;
    struct gateway_address addresses[GATEWAY_ADDRESSES_MAX];
    struct gateway_address at; /* the one under way; its texts in `dial_arena` */
    struct arena dial_arena;
    struct gateway_link *link; /* outbound */
    uint64_t number;           /* of the dial, for answers that come later */
    uint64_t attempts;         /* rounds since it was last registered */
    uint64_t untold;           /* bits: shards that have not been told that it is gone */
    int64_t delay_ns;          /* the last pause, with connect_backoff */
    uint32_t address_count;
    uint32_t left;          /* addresses of this round that were not tried yet, at the front of `order` */
    uint16_t remote_number; /* its place in gateway_options.remotes, from 1; 0: it is not configured */
    int fd;                 /* while connecting */
    uint8_t order[GATEWAY_ADDRESSES_MAX];
    uint8_t state; /* enum gateway_state */
    bool registered;
    bool was_connected;
    bool forget; /* to be freed as soon as nothing is under way */
    char name[GATEWAY_NAME_BYTES];
};

/* A connection on some shard, from accept or connect to its end. */
struct gateway_link {
    struct list_link all;
    struct gateway_cluster *cluster; /* outbound: whose; NULL: inbound */
    uint64_t rid;
    uint32_t shard;
    uint16_t port;
    bool solicited;
    bool registered;
    bool password_asked;           /* the worker checks what CONNECT said */
    struct json_document document; /* that CONNECT */
    struct peer_answer answer;
    struct route_connect connect;
    char name[GATEWAY_NAME_BYTES]; /* of the peer's cluster; empty: it has not said */
    char server_id[128];           /* the peer's, for monitoring */
    char address[48];
};

struct gateway_core {
    struct list links;
    struct gateway_cluster *clusters; /* GATEWAYS_MAX; NULL: this server is no gateway */
    struct random random;
    struct loop_op accept;
    struct timer accept_timer;
    struct config_text urls; /* of the own cluster, a zero behind each, as last told */
    uint64_t dial_numbers;
    uint32_t links_on[64]; /* by shard */
    uint32_t link_count;
    int listen_fd; /* -1: none */
    uint16_t port; /* the real one */
    bool urls_changed;
    char url[GATEWAY_HOST_BYTES + 8]; /* own, host:port */
    char host[GATEWAY_HOST_BYTES];    /* own, in INFO */
    uint16_t advertised_port;
};

/* ERR_SYSTEM, ERR_MEMORY. */
MUST_USE enum err gateways_core_init(struct control *control);

/* Opens the gateway port and begins to dial. On error `why` is the line to log. Before cluster_start(), which
 * tells others where it is. */
MUST_USE enum err gateways_start(struct control *control, char *why, size_t why_bytes);

/* No more connections come or are dialled. */
void gateways_stop(struct control *control);
void gateways_core_close(struct control *control);

void gateways_accept_arm(struct control *control);
void gateways_accepted(struct control *control, const struct loop_completion *completion);
void gateways_connect_done(struct control *control, struct gateway_cluster *cluster, int32_t result);
void gateways_dial_due(struct control *control, struct gateway_cluster *cluster);

/* Mail, if it is about a gateway connection; false: it is about a route. */
bool gateways_mail_said(struct control *control, const uint8_t *mail);
bool gateways_mail_closed(struct control *control, const uint8_t *mail);
bool gateways_mail_resolved(struct control *control, const uint8_t *mail);
bool gateways_password_checked(struct control *control, uint64_t rid, bool matches);

/* ---- for monitoring ---- */

/* The connection with that number, until its end is known here. */
const struct gateway_link *gateways_link_find(const struct control *control, uint64_t rid);
uint32_t gateways_number(const struct gateway_core *core, const struct gateway_cluster *cluster);

/* ---- for the cluster ---- */

struct cluster_route;

/* This node's gateway address, for INFO on routes; empty: it has none. */
struct bytes gateways_own_url(const struct control *control);

/* A route is a member's now: it is told which clusters we are connected to. */
void gateways_tell_route(struct control *control, struct cluster_route *route);

/* Members have come or gone. */
void gateways_cluster_changed(struct control *control);

/* Another server of the own cluster, with the id `from`, told of a cluster. */
void gateways_told(struct control *control, const struct route_info *info, struct bytes from);

/* Once a turn: what found no room before. True: some of it is left. */
bool gateways_step(struct control *control);

#endif
