/* shards/control/peer_checks.h - clients whose certificates responders are asked about, between handshake and
 * login (spec/security.md 4.8; docs/ocsp.md 3). In the flow: MAIL_PEER_ASK -> peer_checks_mail_ask() ->
 * inquirers_ask() -> peer_checks_done() -> MAIL_PEER_CHECKED
 * What is remembered answers without a thread, and clients with the same chain wait for one verdict. At the
 * bound: who has waited for longer than its shard does leaves the queue; what the inquirers do not take is
 * refused, and the log says so. Thread: the control core's. */
#ifndef SHARDS_CONTROL_PEER_CHECKS_H
#define SHARDS_CONTROL_PEER_CHECKS_H

#include "core/base/list.h"
#include "core/loop/timers.h"
#include "net/message.h"
#include "net/tls_peer_check.h"
#include "shards/control/ocsp_cache_file.h"
#include "shards/inquirers.h"

struct control;
struct json_output;

/* One client. */
struct peer_asked {
    struct inquiry inquiry;
    struct list_link asking;   /* in peer_checks.asking while responders are to be asked about it */
    struct list_link answered; /* in peer_checks.answers while its shard's mailbox is full; before that, of a
                                  client that waits for another one's verdict, in the `same` of that one */
    struct list same;          /* at most the connections that there may be */
    struct peer_check check;
    struct publisher_place place;
    int64_t until_ns;    /* by then neither this client waits any more nor any in `same` */
    uint64_t rid;        /* of another server */
    bool of_route;       /* that is one */
    struct block *chain; /* the check points into it */
};

/* The cache on its way into its file. */
struct peer_cache_saving {
    struct inquiry inquiry;
    struct ocsp_cache_save *save;
};

struct peer_checks {
    struct ocsp_cache cache;
    struct list asking;               /* at most what the inquirers take */
    struct list answers;              /* that found no room */
    struct timer save_timer;          /* until the cache is saved next */
    struct peer_cache_saving *saving; /* NULL: it is not */
    char *store;                      /* folder of its file; owned; NULL: there is none */
    int64_t save_interval_ns;
};

void peer_checks_init(struct control *control);
void peer_checks_close(struct control *control);

void peer_checks_mail_ask(struct control *control, const uint8_t *mail);

/* Takes those out of the inquirers' queue whose clients have gone; before it moves on. */
void peer_checks_expire(struct control *control);

/* It comes back from the inquirers: with a verdict, or, when these have ended, perhaps without. */
void peer_checks_done(struct control *control, struct peer_asked *asked);
void peer_checks_abandoned(struct control *control, struct peer_asked *asked);

/* New options, at start too: the cache goes on, off, or to another file; what is in it stays. At start it is
 * read. */
void peer_cache_configure(struct control *control);
void peer_cache_due(struct control *control);
void peer_cache_close(struct control *control); /* writes its file first */
void peer_cache_saved(struct control *control, struct peer_cache_saving *saving);

/* Tells what found no room. True: there is still something to tell. */
bool peer_checks_step(struct control *control);

/* The body of an event, system_events.c: who the peer is, and for LINK.INVALID whose certificate it is. */
void peer_checks_put_certificate(struct json_output *document, const char *key,
                                 const struct peer_check *check, uint32_t link);

#endif
