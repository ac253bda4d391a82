/* shards/control/staples.h - keeps an OCSP responder's answer about each of the server's own certificates
 * fresh and publishes it to handshakes (spec/security.md 4.8; docs/ocsp.md 2). In the flow: staples_start()
 * -> tls_context_staple() -> timer -> inquirers_ask() -> staples_done() -> tls_context_staple() A staple that
 * was replaced is freed when each shard has said that a turn has passed: a handshake copies it within one. At
 * a reload the new certificates' staples are got first, and the reload goes on when they are there. At the
 * bound: one certificate each for clients, routes and gateways. Thread: the control core's. */
#ifndef SHARDS_CONTROL_STAPLES_H
#define SHARDS_CONTROL_STAPLES_H

#include "core/base/list.h"
#include "core/loop/timers.h"
#include "net/tls_staple.h"
#include "shards/inquirers.h"
#include "shards/post.h"

struct control;
struct server_options;

enum { STAPLE_PLACES = 3 };

/* One certificate that is stapled. */
struct staple_place {
    struct inquiry inquiry;
    struct timer timer; /* until the next question */
    struct staple_question question;
    struct tls_context *context; /* a hold */
    const char *kind;            /* "Client", "Router", "Gateway" */
    const char *cert_file;       /* in the question's arena */
    bool ends_revoked;
    bool asked;   /* the inquirers have it */
    bool coming;  /* of a reload that waits for it */
    bool dropped; /* nobody wants it any more: freed when it comes home */
};

struct staples {
    struct staple_place *places[STAPLE_PLACES]; /* in force; NULL: not stapled */
    struct staple_place *coming[STAPLE_PLACES]; /* of a reload under way */
    struct list retired;                        /* that handshakes may still copy, oldest first */
    uint64_t retired_seq;                       /* how many there have been */
    uint64_t told[SHARDS_MAX];                  /* of those, each shard */
    uint64_t passed[SHARDS_MAX];
    uint32_t coming_count; /* answers that the reload waits for */
};

void staples_init(struct control *control);
void staples_close(struct control *control);

/* Before anything listens: gets what has to be stapled, and waits for it. False: the server does not start;
 * `why` is nats-server's sentence. */
MUST_USE bool staples_start(struct control *control, char *why, size_t why_bytes);

/* Says what is stapled, and begins to keep it fresh. */
void staples_announce(struct control *control);

/* New options: true when all staples are there; false: control_reload_ready() will be called. Then, before
 * the options go out, staples_take_over(); or staples_forget(), when they never will. */
MUST_USE bool staples_prepare(struct control *control, const struct server_options *options);
void staples_take_over(struct control *control);
void staples_forget(struct control *control);

/* The context of the monitoring port has been made: it shows what the client port shows. */
void staples_monitor(struct control *control);

/* The place's question comes back from the inquirers: answered, or, when these have ended, perhaps not. */
void staples_done(struct control *control, struct staple_place *place);
void staples_due(struct control *control, struct staple_place *place);
void staples_abandoned(struct control *control, struct staple_place *place);
void staples_mail_passed(struct control *control, uint32_t from, const uint8_t *mail);

/* Tells shards what found no room before. True: there is still something to tell. */
bool staples_step(struct control *control);

#endif
