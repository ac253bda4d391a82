/* shards/latency.h - how long a service took to answer one request, measured by the shard of the requester
 * and published in the exporter (spec/security.md 5.6, docs/accounts.md 3).
 * In the flow:  services_publish() -> latency_sample() -> latency_answered() when the reply came, or
 *               latency_failed() when it did not
 *               a reply of another server: latency_answered_elsewhere() and latency_half_take(), in any order
 * At the bound: memory out is no sample. Thread: the shard's. */
#ifndef SHARDS_LATENCY_H
#define SHARDS_LATENCY_H

#include "shards/accounts.h"

struct latency; /* opaque: one sample */
struct latency_half_read;

/* Who answered a request: a client of this server, as he was when he did. */
struct responder {
    int64_t rtt_ns; /* 0: not known */
    uint32_t count;
    char json[];
};

/* Owner: the caller, until memory_free(). NULL: memory is out. */
MUST_USE struct responder *responder_new(const struct client *client);
MUST_USE struct responder *responder_copy(int64_t rtt_ns, struct bytes json);

/* Whether this request is measured: a sample when it is, by chance or by its headers. NULL: not, or memory is
 * out. Owner: the caller, until it is published or freed. */
MUST_USE struct latency *latency_sample(struct shard *shard, const struct service_export *exported,
                                        const struct client *client, bool share,
                                        const struct message *message);

/* Publishes that nobody answered, with this status, and frees it; NULL is allowed. */
void latency_failed(struct shard *shard, struct shard_account *exporter, struct latency *latency, int status);

/* Publishes that a client of this server answered just now, and frees it. `responder` NULL: nobody knows who.
 */
void latency_answered(struct shard *shard, struct shard_account *exporter, struct latency *latency,
                      const struct responder *responder);

/* Another server's client answered just now. True: his server has told already, and it is published and
 * freed; else it waits for that. */
MUST_USE bool latency_answered_elsewhere(struct shard *shard, struct shard_account *exporter,
                                         struct latency *latency);

/* What the responder's server has measured. True: the answer is there already, and it is published and freed;
 * else it waits for that. */
MUST_USE bool latency_half_take(struct shard *shard, struct shard_account *exporter, struct latency *latency,
                                const struct latency_half_read *half);

void latency_free(struct latency *latency);

#endif
