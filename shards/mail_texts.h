/* shards/mail_texts.h - how a message's texts and bodies stand in a mail or in its block: one behind the
 * other, in the order of mail_put_texts(). In the flow:  router or remotes -> mail_put_texts() ||
 * mail_next_text() -> router or remotes on the other side. Thread: the shard's. */
#ifndef SHARDS_MAIL_TEXTS_H
#define SHARDS_MAIL_TEXTS_H

#include "core/base/block.h"
#include "core/loop/mailbox.h"
#include "net/message.h"

#include <string.h>

enum {
    MAIL_INLINE_BYTES_MAX = 4096, /* larger bodies go by reference; measured against copying twice */
};

/* Bytes of subject, reply, queue names and the two size texts. */
static ALWAYS_INLINE uint32_t mail_texts_bytes(const struct message *message, struct bytes queues)
{
    return (uint32_t)(message->subject.count + message->reply.count + queues.count +
                      message->total_size_text.count + message->header_size_text.count);
}

/* The most of texts and body that one of a message's mails holds itself, whatever queue names of at most
 * `queues_bytes` go with it: a shorter name can let the body in that a longer one keeps out. */
static inline uint32_t mail_inline_bytes(const struct message *message, uint32_t queues_bytes,
                                         uint32_t inline_most)
{
    uint32_t texts = mail_texts_bytes(message, (struct bytes){NULL, 0});
    uint64_t most = (uint64_t)texts + queues_bytes;
    if (texts + message->total_bytes <= inline_most)
        most += message->total_bytes;
    return most < inline_most ? (uint32_t)most : inline_most;
}

/* What the body of a message takes in a mail; of a run all from the first body to the CR LF behind the last,
 * the control lines between them too. One copy of a piece that lies together costs less than picking the
 * bodies out of it. */
static ALWAYS_INLINE size_t mail_body_bytes(const struct message *run)
{
    return run->run_more == 0 ? run->total_bytes
                              : (size_t)run->run_more * run->run_stride + run->total_bytes + 2;
}

/* Copies, and says where the next text goes. */
static inline uint8_t *mail_put(uint8_t *to, struct bytes from)
{
    if (from.count > 0)
        memcpy(to, from.data, from.count);
    return to + from.count;
}

static inline uint8_t *mail_put_texts(uint8_t *to, const struct message *message, struct bytes queues)
{
    to = mail_put(to, message->subject);
    to = mail_put(to, message->reply);
    to = mail_put(to, queues);
    to = mail_put(to, message->total_size_text);
    return mail_put(to, message->header_size_text);
}

/* The text at the cursor, which moves behind it. */
static inline struct bytes mail_next_text(const uint8_t **at, uint32_t count)
{
    struct bytes bytes = bytes_of(*at, count);
    *at += count;
    return bytes;
}

/* The block of a message that is too large for a record: the publisher's own when the body lies in one
 * already, so that all receivers on all threads share it, else a copy, with the texts first if `texts_too`.
 * NULL: memory is out. Owner: the caller has one hold. */
struct block *mail_block_new(struct block_pool *pool, const struct message *message, struct bytes queues,
                             bool texts_too);

#endif
