/* shards/control/cluster.h - who is in the cluster: the route port, dials, gossip, the cluster's name, and
 * the URLs that clients are told (spec/routes.md 3 to 8, 17, 18; docs/clusters.md 4). In the flow:  accept,
 * or resolve and connect -> MAIL_ROUTE -> a shard || MAIL_ROUTE_SAID -> cluster_said() -> MAIL_ROUTE_ANSWER,
 * MAIL_REMOTE to all Here all decisions about members are made, by one thread; routes are the shards'. At the
 * bounds: REMOTES_MAX members; a newcomer beyond is refused. Thread: the control core's. */
#ifndef SHARDS_CONTROL_CLUSTER_H
#define SHARDS_CONTROL_CLUSTER_H

#include "core/base/list.h"
#include "core/base/random.h"
#include "core/codec/nuid.h"
#include "core/config/text.h"
#include "core/loop/loop.h"
#include "core/loop/timers.h"
#include "net/cluster_options.h"
#include "net/route_info.h"
#include "shards/control/dial_address.h"
#include "shards/control/peers.h"
#include "shards/remotes.h"

struct control;

enum {
    CLUSTER_NAME_BYTES = 256,
    CLUSTER_HOST_BYTES = 256,
    CLUSTER_ADDRESS_BYTES = 48,
    CLUSTER_LOCAL_URLS_BYTES = 4096,
    CLUSTER_NO_MEMBER = 255,
};

enum dial_state {
    DIAL_WAITING,    /* for its timer */
    DIAL_RESOLVING,  /* the worker looks the name up */
    DIAL_CONNECTING, /* at most DIAL_TIMEOUT_NS */
    DIAL_CONNECTED,  /* there is a route; `rid` */
    DIAL_RESTING,    /* that server has all the routes it can have; until one of `member`'s is lost */
};

/* An address that is to have a route, from the configuration or, until it fails too often, from another
 * server. */
struct dial {
    struct list_link all;
    struct timer timer;
    struct loop_op connect;
    union dial_address address;
    struct arena arena; /* of its URL's texts */
    struct route_url url;
    uint64_t number; /* for answers that come later */
    uint64_t rid;
    uint64_t attempts; /* since it was last connected */
    int64_t delay_ns;  /* the last pause, with connect_backoff */
    int fd;            /* while connecting */
    uint8_t state;     /* enum dial_state */
    uint8_t member;    /* while resting */
    uint8_t line;      /* of the account that it is for; ROUTE_LINE_NONE: for a slot of the pool */
    bool soon;         /* its route ends to come back at once */
    bool further;      /* beside the first one to that address: goes when it is not needed */
    bool configured;
    bool was_connected;
    bool removed;  /* by a reload, which is about to drop it */
    bool given_up; /* to be freed as soon as nothing is under way */
};

/* A route of some shard, from accept or connect to its end. */
struct cluster_route {
    struct list_link all;
    struct dial *dial; /* NULL: it was accepted, or its dial is gone */
    uint64_t rid;
    uint32_t shard;
    uint16_t port;
    uint8_t member; /* CLUSTER_NO_MEMBER: not registered */
    uint8_t line;   /* when registered: which of the member's */
    bool solicited;
    bool negotiated;               /* whether to compress was settled, to: */
    uint8_t compression;           /* enum route_compression_mode */
    bool info_held;                /* our INFO goes when the peer's is known */
    bool info_owed;                /* it was greeted with one that a reload has changed */
    bool implicit;                 /* dialled because another server told of it */
    bool shown_solicited;          /* in monitoring: we dialled it, or dialled another one of that server; */
    bool shown_configured;         /* or that one's address is configured (routes.md 7.4) */
    bool password_asked;           /* the worker checks what CONNECT said; */
    bool password_again;           /* a reload asked, so if it is good there is nothing to go on with */
    bool connect_said;             /* CONNECT has come, and was good or is looked at */
    bool certified;                /* which said mail_route_said.certified */
    struct json_document document; /* that CONNECT, kept because a reload may change what is a good login */
    struct route_connect connect;
    struct peer_answer answer;
    uint64_t exports_hash; /* of what the peer lets out, by its last INFO */
    char address[CLUSTER_ADDRESS_BYTES];
};

/* Another server. */
struct cluster_member {
    struct cluster_route *lines[ROUTE_LINES_MAX];
    uint32_t line_count;              /* 0: nobody has this number, or it is being forgotten */
    uint32_t slot_count;              /* of its pool; 1: it has none */
    uint64_t untold_lines;            /* bits: lines that are gone, and some shard has not been told; */
    uint64_t untold[ROUTE_LINES_MAX]; /* of such a line, bits: which shards */
    struct json_document document;
    struct route_info info; /* in the document */
    bool lame_duck;         /* its clients' URLs are not to be told */
};
_Static_assert(ROUTE_LINES_MAX <= 64, "lines are bits of a word");

struct cluster {
    struct list routes;
    struct list dials;
    struct cluster_member members[REMOTES_MAX];
    struct random random;
    struct loop_op accept;
    struct timer accept_timer;
    uint64_t dial_numbers;
    uint32_t routes_on[64]; /* by shard */
    uint32_t local_urls_bytes;
    struct timer move_timer;       /* the end of waiting for these: */
    uint32_t moves_unanswered;     /* members told that accounts get lines of their own */
    char move_id[NUID_TEXT_BYTES]; /* by which they answer */
    bool moving;                   /* accounts' own lines are to be dialled when all have answered */
    int listen_fd;                 /* -1: none */
    uint16_t port;                 /* the real one */
    uint16_t advertised_port;
    bool on;
    bool dynamic; /* the name was made up */
    bool lame_duck;
    bool urls_changed; /* and some shard has not been told */
    char name[CLUSTER_NAME_BYTES];
    char advertised_host[CLUSTER_HOST_BYTES];
    char local_urls[CLUSTER_LOCAL_URLS_BYTES]; /* of this server's client port, a zero behind each */
};

/* Takes a name; before the snapshot's INFO is made. ERR_SYSTEM: no random bytes. */
MUST_USE enum err cluster_init(struct control *control);

/* Opens the route port and begins to dial; when clients are listened for. On error `why` is the line to log.
 */
MUST_USE enum err cluster_start(struct control *control, char *why, size_t why_bytes);

/* No more routes come or are dialled. */
void cluster_stop(struct control *control);
void cluster_close(struct control *control);

/* This server takes no more clients: the others tell theirs no longer of it. */
void cluster_lame_duck(struct control *control);

/* New options are in force, and every shard is told of them: what follows from them for dials, for routes and
 * for what others are told; control->retired has the old ones. */
void cluster_reloaded(struct control *control);

/* All shards work by them; and the timer of what waits for other servers. */
void cluster_reload_over(struct control *control);
void cluster_move_due(struct control *control);

void cluster_accept_arm(struct control *control);
void cluster_accepted(struct control *control, const struct loop_completion *completion);
void cluster_connect_done(struct control *control, struct dial *dial, int32_t result);
void cluster_dial_due(struct control *control, struct dial *dial);

/* Mail. */
void cluster_mail_said(struct control *control, const uint8_t *mail);
void cluster_mail_closed(struct control *control, const uint8_t *mail);
void cluster_mail_resolved(struct control *control, const uint8_t *mail);
void cluster_password_checked(struct control *control, uint64_t rid, bool matches);

/* For monitoring: the route by its number, or NULL; how many servers are members, and how many routes they
 * have.
 */
const struct cluster_route *cluster_route_find(const struct control *control, uint64_t rid);
uint32_t cluster_remote_count(const struct control *control);
uint32_t cluster_registered_count(const struct control *control);

/* Where clients may connect, this server's URLs first, a zero byte behind each. Without memory `all` has
 * failed.
 */
void cluster_urls_add(const struct control *control, struct config_text *all);

/* Once a turn: what found no room before. True: some of it is left. */
bool cluster_step(struct control *control);

#endif
