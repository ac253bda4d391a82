/* shards/worker.h - the one thread for what must block: checking bcrypt passwords, looking up names.
 * In the flow:  host->check_password() -> MAIL_PASSWORD -> worker_run() -> MAIL_PASSWORD_CHECKED -> the shard
 * At the bound: its inbox is a mailbox; when that is full the session keeps its CONNECT and asks again.
 * Answers that find no room are repeated until there is some: a shard always drains. */
#ifndef SHARDS_WORKER_H
#define SHARDS_WORKER_H

#include "shards/post.h"

struct worker {
    struct post post;
    bool stopping;
};

/* Works until MAIL_STOP. Thread: the worker's. */
void worker_run(struct worker *worker);

#endif
