/* shards/backlog.h - messages that the server itself publishes: replies passed on to requesters, metrics.
 * They are made while mail is drained, so they cannot wait for a socket not to be read; when a mailbox is
 * full they wait here, in order (docs/architecture.md 5). At the bound: above BACKLOG_BYTES_MAX a message is
 * dropped and counted; the log says so once a backlog. Thread: the shard's. */
#ifndef SHARDS_BACKLOG_H
#define SHARDS_BACKLOG_H

#include "shards/accounts.h"

enum { BACKLOG_BYTES_MAX = 8 * 1024 * 1024 };

struct backlog_message;

/* All zero is empty. */
struct backlog {
    struct backlog_message *first, *last;
    uint64_t bytes;
    uint64_t dropped; /* since it was last empty */
};

/* Publishes in an account: at once, or when there is room. The message has no publisher. */
void backlog_publish(struct shard *shard, struct shard_account *account, const struct message *message);

/* The same with a run of messages (net/message.h). */
void backlog_publish_run(struct shard *shard, struct shard_account *account, const struct message *run);

/* Publishes what waits, as far as there is room. Once a turn. */
void backlog_retry(struct shard *shard);

void backlog_close(struct shard *shard);

#endif
