/* shards/router.h - from a published message to everyone who wants it, on this shard and on others (DESIGN
 * 3). In the flow:  client_publish() -> router_publish() -> client_deliver() and post_commit() post_drain()
 * -> router_mail_message() -> client_deliver() Hot: no allocation once warm, no system call. Thread: the
 * shard's. */
#ifndef SHARDS_ROUTER_H
#define SHARDS_ROUTER_H

#include "net/host.h"
#include "shards/mail.h"

struct shard;
struct subscription;

/* The host's publish(). HOST_FULL: a mailbox that the message needs has no room; nothing was delivered. */
enum host_result router_publish(struct shard *shard, const struct message *run, uint32_t *done);

/* The host's publish_room(). */
enum host_result router_publish_room(struct shard *shard, const struct message *message);

/* A message that came by mailbox. */
void router_mail_message(struct shard *shard, const uint8_t *mail, uint32_t bytes);

/* The same for MAIL_SHORT_MESSAGE; `from` is the shard of the publisher. */
void router_mail_short_message(struct shard *shard, uint32_t from, const uint8_t *mail, uint32_t bytes);

/* Puts a subscription into the index and tells the other shards. */
enum host_result router_subscribe(struct shard *shard, struct subscription *subscription,
                                  struct bytes subject, struct bytes queue);
enum host_result router_unsubscribe(struct shard *shard, struct subscription *subscription);

/* Another shard's interest. */
void router_mail_interest(struct shard *shard, uint32_t from, const uint8_t *mail, uint32_t bytes);

/* A plain subscription of the client that the subject hits, or NULL. */
struct client_subscription *router_own_subscription(struct shard *shard, const struct client *client,
                                                    struct bytes subject);

#endif
