/* net/message.h - one published message, or a run of them with one control line, on its way from a session to
 * the router and on to its receivers. A view: nothing here is owned, all of it stays in place while the call
 * lasts that hands it over. */
#ifndef NET_MESSAGE_H
#define NET_MESSAGE_H

#include "core/base/block.h"
#include "core/base/bytes.h"

struct client;

/* Where a publisher lives, for what may have to be said to it later: it may be gone by then, so the slot
 * counts only while the cid is still that slot's. */
struct publisher_place {
    uint64_t cid; /* 0: none */
    uint32_t slot;
    uint32_t shard;
};

/* Where a message that is published may go. */
enum message_way {
    MESSAGE_PUBLISHED,    /* anywhere */
    MESSAGE_STAYS,        /* not to other clusters */
    MESSAGE_FROM_GATEWAY, /* likewise, and of queue groups to those in `queues` */
};

struct message {
    struct bytes subject;
    struct bytes reply;            /* empty: none */
    struct bytes total_size_text;  /* as the publisher wrote it: passed through (client-protocol 2.4) */
    struct bytes header_size_text; /* empty: no headers */
    const uint8_t *body;           /* headers, then payload */
    uint32_t header_bytes;
    uint32_t total_bytes;     /* headers and payload, without the closing CR LF */
    struct block *block;      /* the counted block that `body` lies in, or NULL */
    bool from_service;        /* a request or reply that the server passed on from another account: not for
                                 those who import a stream */
    bool mapped_reply;        /* gateway_reply_is() of `reply`: no client is to see it so */
    bool measured_reply;      /* of a request whose answer is measured: the deliverer takes part */
    uint8_t way;              /* enum message_way */
    struct bytes queues;      /* of MESSAGE_FROM_GATEWAY: the only groups that may have it, blanks between */
    struct client *publisher; /* this shard's; NULL when it came by mailbox */
    struct publisher_place place; /* when it came by mailbox */
    uint64_t tried_shards; /* of a queue choice that came by mailbox: where no member took it; else 0 */
    /* A run: this message and `run_more` that follow it with the same control line, byte by byte. Each body
     * stands `run_stride` bytes behind the one before, and CR LF behind each. Whoever takes runs says so;
     * all others get `run_more` 0. */
    uint32_t run_more;
    uint32_t run_stride;
    uint64_t line_serial; /* of net/lines.h: the same serial, the same control line, byte by byte; 0: not
                             known. What was made of one line serves the next. */
};

/* How many messages it stands for. */
static inline uint32_t message_count(const struct message *message)
{
    return message->run_more + 1;
}

/* The first `count` messages of a run of at least so many. */
static inline struct message message_first(const struct message *run, uint32_t count)
{
    struct message first = *run;
    first.run_more = count - 1;
    return first;
}

/* Goes on behind the first `count` messages of a run that has more than that. */
static inline void message_advance(struct message *run, uint32_t count)
{
    run->body += (size_t)count * run->run_stride;
    run->run_more -= count;
}

#endif
