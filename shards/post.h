/* shards/post.h - the mail between the threads: who may write to whom, and when whom to wake.
 * In the flow:  router_publish() -> post_reserve() .. post_commit() -> post_flush() || post_drain() on the
 * other side One mailbox for each ordered pair of threads. Threads are numbered: shards from 0, then the
 * control core, then the worker. What is put becomes visible all together in post_flush(), once a turn,
 * before the turn's output is sent: so whoever sees a PONG sees a server in which every thread already has
 * the interest before it. */
#ifndef SHARDS_POST_H
#define SHARDS_POST_H

#include "core/base/err.h"
#include "core/loop/mailbox.h"
#include "core/loop/wakeup.h"

enum {
    THREADS_MAX = 64,
    SHARDS_MAX = THREADS_MAX - 2,
    POST_SHOW_BYTES = 32 * 1024, /* shown to the readers in mid-turn from here on, so that they can begin */
};

struct post_office {
    struct mailbox *boxes; /* [from * threads + to] */
    struct wakeup *wakeups;
    uint32_t threads;
    /* lint: atomics, because an end has to be seen ahead of the mail that lies before it */
    _Atomic bool ending;
};

/* One thread's end of it. */
struct post {
    struct post_office *office;
    uint64_t dirty; /* threads that were written to since the last flush */
    uint64_t unshown_bytes;
    uint64_t clock; /* Lamport's: above the stamp of every mail taken so far; goes with every mail put */
    uint32_t self;
};

/* A mailbox for each pair of threads, and a wake-up for each. On error (ERR_MEMORY, ERR_SYSTEM) it is closed
 * again. Owner: the caller, until post_office_close(), which is legal when closed. */
MUST_USE enum err post_office_init(struct post_office *office, uint32_t threads, uint64_t mailbox_bytes);
void post_office_close(struct post_office *office);

static inline struct mailbox *post_box(const struct post *post, uint32_t to)
{
    return &post->office->boxes[post->self * post->office->threads + to];
}

static inline struct mailbox *post_inbox(const struct post *post, uint32_t from)
{
    return &post->office->boxes[from * post->office->threads + post->self];
}

/* Room for one mail to `to`, or NULL when that mailbox is full. `spare`: from the reserved part too, for what
 * cannot wait. Thread: the post's. */
uint8_t *post_reserve(struct post *post, uint32_t to, uint32_t bytes, bool spare);

/* The mail is complete. When much has gathered all of it is shown, to every reader at once: were only the
 * fullest mailbox shown, what one thread makes of its mail could overtake what another one has not seen yet.
 */
void post_commit(struct post *post, uint32_t to, uint32_t bytes);

/* Shows everything to its readers, then wakes those that sleep. */
void post_flush(struct post *post);

/* Takes every mail that is there, causes before effects: what a thread made of a mail comes behind that mail,
 * even when it came by another way (Lamport 1978; spec/client-protocol.md 9, causality). At most a ring per
 * sender. */
typedef void post_taker(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes);
void post_drain(struct post *post, post_taker *taker, void *context);

/* Whether mail may be there: a look without order, for who looks again soon. */
bool post_pending(const struct post *post);

/* Says to every thread that it will be told to stop, ahead of all that lies in their inboxes: whose mails
 * take long each need not do them any more. Thread: any. */
void post_end_announce(struct post *post);
bool post_end_announced(const struct post *post);

/* Bytes that lie in its inboxes, as far as they are shown; for figures. */
uint64_t post_waiting_bytes(const struct post *post);

/* Says that this thread will sleep. False: there is mail, do not. Take it back with post_awake(). */
bool post_may_sleep(struct post *post);
void post_awake(struct post *post);

/* The descriptor that becomes readable when this thread is woken. */
int post_event_fd(const struct post *post);

#endif
