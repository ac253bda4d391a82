/* shards/services.h - service imports: a request published on an import's local subject goes to the
 * exporter's subject, with a reply subject of the server's own (spec/security.md 5.4, docs/accounts.md). In
 * the flow:  router_publish() -> services_hit() -> services_publish() -> router_route() in the exporter the
 * reply: replies.h All of a request happens on the shard of the requester. Every mailbox that it may need is
 * asked for room before anything is done. At the bound: SERVICE_CALLS_MAX exporters behind one request, the
 * rest is not called; a subject that does not fit the shard's scratch calls nobody. Thread: the shard's. */
#ifndef SHARDS_SERVICES_H
#define SHARDS_SERVICES_H

#include "shards/accounts.h"

enum { SERVICE_CALLS_MAX = 32 };

/* What is imported now, as an index; for an account that has been opened. ERR_MEMORY: nothing is imported. */
MUST_USE enum err services_make(struct shard *shard, struct shard_account *account);
void services_forget(struct shard_account *account);

/* Whether it is worth asking services_hit(): the account imports some, or the subject may be one of those of
 * the system account that all import. */
static inline bool services_possible(const struct shard_account *account, struct bytes subject)
{
    return account->services != NULL || subject.data[0] == '$';
}

/* Whether a subject is one by which the account calls some. */
bool services_hit(struct shard *shard, struct shard_account *account, const struct message *message);

/* Publishes a single message of which services_hit() has just said so: to its own account and to the
 * exporters. As the host's publish(). */
enum host_result services_publish(struct shard *shard, struct shard_account *account,
                                  const struct message *message);

/* Whether services_publish() would find room: HOST_DONE, HOST_FULL or HOST_MEMORY. */
enum host_result services_publish_room(struct shard *shard, struct shard_account *account,
                                       const struct message *message);

#endif
