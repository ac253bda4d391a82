/* shards/mail_texts.c - the block of a large message; see mail_texts.h. */
#include "shards/mail_texts.h"

struct block *mail_block_new(struct block_pool *pool, const struct message *message, struct bytes queues,
                             bool texts_too)
{
    if (message->block != NULL && !texts_too)
        return block_hold(message->block);
    size_t count = message->total_bytes + (texts_too ? mail_texts_bytes(message, queues) : 0);
    struct block *block = block_take(pool, count);
    if (block == NULL)
        return NULL;
    uint8_t *to = texts_too ? mail_put_texts(block->bytes, message, queues) : block->bytes;
    (void)mail_put(to, bytes_of(message->body, message->total_bytes));
    return block;
}
