/* shards/latency.h - how long a service took to answer one request, measured by the shard of the requester
 * and published in the exporter (spec/security.md 5.6). In the flow:  services_publish() -> latency_sample()
 * -> latency_publish() when the reply came, or did not At the bound: memory out is no sample. Thread: the
 * shard's. */
#ifndef SHARDS_LATENCY_H
#define SHARDS_LATENCY_H

#include "shards/accounts.h"

struct latency; /* opaque: one sample */

/* Whether this request is measured: a sample when it is, by chance or by its headers. NULL: not, or memory is
 * out. Owner: the caller, until latency_publish(). */
MUST_USE struct latency *latency_sample(struct shard *shard, const struct service_export *exported,
                                        const struct client *client, struct bytes account, bool share,
                                        const struct message *message);

/* Publishes it with this status and frees it; NULL is allowed. `responder`: a client of this shard, or NULL.
 */
void latency_publish(struct shard *shard, struct shard_account *exporter, struct latency *latency, int status,
                     const struct client *responder);

void latency_free(struct latency *latency);

#endif
