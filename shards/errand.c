/* shards/errand.c - see errand.h. */
#include "shards/errand.h"

#include "core/base/copy.h"
#include "shards/backlog.h"
#include "shards/mail_texts.h"
#include "shards/router.h"
#include "shards/shard.h"

#define NO_RESPONDERS "NATS/1.0 503\r\n\r\n"

static void answer_nobody(struct shard *shard, struct shard_account *account, struct bytes reply)
{
    struct message message = {
        .subject = reply,
        .body = (const uint8_t *)NO_RESPONDERS,
        .header_bytes = sizeof NO_RESPONDERS - 1,
        .total_bytes = sizeof NO_RESPONDERS - 1,
        .header_size_text = TEXT("16"),
        .total_size_text = TEXT("16"),
    };
    backlog_publish(shard, account, &message);
}
_Static_assert(sizeof NO_RESPONDERS - 1 == 16, "the size text says so");

void errand_publish(struct shard *shard, const uint8_t *bytes)
{
    struct mail_publish mail;
    uint8_t size[16];
    memcpy(&mail, bytes, sizeof mail);
    struct shard_account *account = accounts_get(shard, mail.account);
    const uint8_t *at = mail.block != NULL ? mail.block->bytes : bytes + sizeof mail;
    struct message message = {.total_bytes = mail.total_bytes, .block = mail.block};
    message.subject = mail_next_text(&at, mail.subject_count);
    message.reply = mail_next_text(&at, mail.reply_count);
    message.body = at;
    message.run_more = mail.run_more;
    message.run_stride = mail.total_bytes + 2;
    message.total_size_text = bytes_of(size, (size_t)(copy_number(size, mail.total_bytes) - size));
    if (account != NULL && message.reply.count > 0 && !router_wanted(shard, account, message.subject))
        answer_nobody(shard, account, message.reply);
    else if (account != NULL)
        backlog_publish_run(shard, account, &message);
    block_release(&shard->context.pool.blocks, mail.block);
}
