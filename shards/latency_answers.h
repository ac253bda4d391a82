/* shards/latency_answers.h - the responder's side of a latency measurement: his shard alone knows him and his
 * round trip, while the sample is with the requester's shard (latency.h). A request that is measured is known
 * by its reply (replies.h).
 * In the flow:  router delivers a measured request -> latency_answers_delivered()
 *               router_publish() of the reply -> latency_answers_publishing()
 *                 for another shard of this server -> MAIL_RESPONDER -> latency_answers_mail() there
 *                 for another server -> latency_half_write() -> `$SYS.LATENCY.M2.<hash>`, as nats-server does
 * At the bounds: ANSWERS_MAX requests of other servers that a shard remembers, the oldest is forgotten; a
 * full mailbox holds the answer back as it does any message. Thread: the shard's. */
#ifndef SHARDS_LATENCY_ANSWERS_H
#define SHARDS_LATENCY_ANSWERS_H

#include "core/base/list.h"
#include "core/subject/index_table.h"
#include "shards/accounts.h"

enum { ANSWERS_MAX = 65536 };

/* Requests of other servers that clients of this shard are to answer. All zero but for the list is empty. */
struct latency_answers {
    struct list requests; /* oldest first */
    struct index_table table;
    uint32_t count;
};

/* What is configured for this account now: whether its clients' answers may be measured. */
void latency_answers_account_set(const struct shard *shard, struct shard_account *account);

/* A measured request was delivered to a client, by this subject and reply. */
void latency_answers_delivered(struct shard *shard, struct client *client, struct bytes subject,
                               struct bytes reply);

/* Once a turn, while there are some: forgets the oldest whose answers would be too late. One that may take
 * longer than others keeps those behind it. */
void latency_answers_expire(struct shard *shard);

/* A client of this account is about to publish that to a reply that is measured: whoever measures is told.
 * May be called again for the same message. False: the mailbox is full; ask again. */
MUST_USE bool latency_answers_publishing(struct shard *shard, const struct shard_account *account,
                                         const struct message *message);

/* A MAIL_RESPONDER. */
void latency_answers_mail(struct shard *shard, const uint8_t *mail);

void latency_answers_close(struct shard *shard);

#endif
