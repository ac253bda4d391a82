/* shards/backlog.c - see backlog.h. */
#include "shards/backlog.h"

#include "core/base/log.h"
#include "core/base/memory.h"
#include "shards/router.h"
#include "shards/shard.h"

/* A copy, its texts and body in one piece behind it. */
struct backlog_message {
    struct backlog_message *next;
    struct shard_account *account;
    struct message message;
    uint64_t bytes;
    uint8_t copy[];
};

static uint8_t *copy_text(uint8_t *to, struct bytes *text)
{
    uint8_t *at = to;
    if (text->count > 0)
        to = mempcpy(to, text->data, text->count);
    text->data = at;
    return to;
}

static void put(struct shard *shard, struct shard_account *account, const struct message *message)
{
    struct backlog *backlog = &shard->backlog;
    size_t bytes = message->subject.count + message->reply.count + message->total_size_text.count +
                   message->header_size_text.count + message->total_bytes + 2;
    struct backlog_message *copy =
        backlog->bytes + bytes > BACKLOG_BYTES_MAX ? NULL : memory_new(sizeof *copy + bytes);
    if (copy == NULL) {
        if (backlog->dropped++ == 0)
            log_warning(shard->context.log,
                        "Replies between accounts are dropped: other threads do not follow");
        return;
    }
    copy->account = account;
    copy->message = *message;
    copy->message.block = NULL;
    copy->message.line_serial = 0;
    copy->bytes = bytes;
    uint8_t *to = copy_text(copy->copy, &copy->message.subject);
    to = copy_text(to, &copy->message.reply);
    to = copy_text(to, &copy->message.total_size_text);
    to = copy_text(to, &copy->message.header_size_text);
    copy->message.body = to;
    if (message->total_bytes > 0)
        to = mempcpy(to, message->body, message->total_bytes);
    memcpy(to, "\r\n", 2);
    if (backlog->last == NULL)
        backlog->first = copy;
    else
        backlog->last->next = copy;
    backlog->last = copy;
    backlog->bytes += bytes;
}

void backlog_publish(struct shard *shard, struct shard_account *account, const struct message *message)
{
    uint32_t done;
    if (shard->backlog.first != NULL || router_route_run(shard, account, message, &done) == HOST_FULL)
        put(shard, account, message);
}

void backlog_publish_run(struct shard *shard, struct shard_account *account, const struct message *run)
{
    struct message rest = *run;
    for (;;) {
        uint32_t done = 1;
        if (shard->backlog.first != NULL || router_route_run(shard, account, &rest, &done) == HOST_FULL) {
            struct message single = message_first(&rest, 1);
            done = 1;
            put(shard, account, &single);
        }
        if (done > rest.run_more)
            return;
        message_advance(&rest, done);
    }
}

void backlog_retry(struct shard *shard)
{
    struct backlog *backlog = &shard->backlog;
    struct backlog_message *first;
    while ((first = backlog->first) != NULL &&
           router_room(shard, first->account, &first->message) != HOST_FULL) {
        backlog->first = first->next;
        if (first->next == NULL)
            *backlog = (struct backlog){0};
        else
            backlog->bytes -= first->bytes;
        (void)router_route(shard, first->account, &first->message);
        memory_free(first);
    }
}

void backlog_close(struct shard *shard)
{
    struct backlog_message *next;
    for (struct backlog_message *at = shard->backlog.first; at != NULL; at = next) {
        next = at->next;
        memory_free(at);
    }
    shard->backlog = (struct backlog){0};
}
