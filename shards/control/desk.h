/* shards/control/desk.h - the control core in the interest index: its services listen to subjects and
 * publish, as if it were one more shard (docs/architecture.md 3). What a shard routes finds the control
 * core's interest as it finds another shard's; what the control core publishes is handed to the shard of the
 * client that it is for. In the flow:  desk_listen() -> MAIL_INTEREST -> every shard || publish -> router ->
 * MAIL_MESSAGE -> desk_mail_message()
 *               -> listener's taker -> desk_publish() -> MAIL_PUBLISH -> errand_publish() on that shard ->
 * router At the bound: desk_listen() and desk_publish() answer false when a mailbox is full and have done
 * nothing: a service keeps what it has to say and tries again in the next turn. A publisher whose message
 * finds the control core's mailbox full is not read from, as with any other. Thread: the control core's. */
#ifndef SHARDS_CONTROL_DESK_H
#define SHARDS_CONTROL_DESK_H

#include "core/subject/index.h"
#include "shards/mail.h"

struct control;
struct desk_listener;

/* A message for a listener; a view. */
struct desk_message {
    uint16_t shard; /* whence it came: what is published there reaches its publisher soonest */
    bool nobody;    /* no message: a request found no receiver; it comes to its reply subject */
    struct bytes subject, reply, payload;
    struct publisher_place place;
};

typedef void desk_taker(struct control *control, struct desk_listener *listener,
                        const struct desk_message *message);

/* Embedded in what a service knows of it. All zero is "listens to nothing". */
struct desk_listener {
    struct subscription base;
    desk_taker *taker;
    uint64_t sid; /* at a NATS server outside (outer.h) */
};

/* One account's subjects; with control->outer, those at a server outside of this process. All zero is closed.
 */
struct desk {
    struct index *index;
    struct match_cache *matches;
    uint32_t account; /* its id */
    uint64_t listener_count;
};

/* Before the first listener. ERR_MEMORY. */
MUST_USE enum err desk_open(struct desk *desk, uint32_t account);
/* All listeners are out of it. Legal when closed. */
void desk_close(struct desk *desk);

/* Listens; `listener->taker` is set. False: a mailbox is full, or memory is out (*err); nothing was done. */
MUST_USE bool desk_listen(struct control *control, struct desk_listener *listener, struct bytes pattern,
                          enum err *err);
/* The end of it. False: a mailbox is full, it goes on listening. */
MUST_USE bool desk_unlisten(struct control *control, struct desk_listener *listener);

/* Out of it without a word to anybody: the process ends. Legal when it does not listen. */
void desk_forget(struct desk *desk, struct desk_listener *listener);

/* Some listener, or NULL. */
struct desk_listener *desk_any(struct desk *desk);

/* The one that listens to exactly that literal subject, or NULL. */
struct desk_listener *desk_find(struct desk *desk, struct bytes subject);

/* Publishes `count` messages of one size by way of a shard. With a reply, who sends to it is told by `nobody`
 * when there is no receiver. Returns how many it took: fewer when its mailbox is full, or memory is out. */
MUST_USE uint32_t desk_publish(struct control *control, uint32_t shard, struct bytes subject,
                               struct bytes reply, const struct bytes *bodies, uint32_t count);

/* The publisher is not read from for a moment. */
void desk_stall(struct control *control, const struct publisher_place *place, int64_t stall_ns);

/* To whoever listens to its subject. */
void desk_take(struct control *control, const struct desk_message *message);

/* Mail. */
void desk_mail_message(struct control *control, uint32_t from, const uint8_t *mail);
void desk_mail_short_message(struct control *control, uint32_t from, const uint8_t *mail);

#endif
