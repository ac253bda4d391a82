/* shards/router.h - from a published message to everyone who wants it, on this shard and on others (DESIGN
 * 3). In the flow:  client_publish() -> router_publish() -> client_deliver() and post_commit() post_drain()
 * -> router_mail_message() -> client_deliver() Hot: no allocation once warm, no system call. Thread: the
 * shard's. */
#ifndef SHARDS_ROUTER_H
#define SHARDS_ROUTER_H

#include "net/host.h"
#include "shards/mail.h"

struct shard;
struct shard_account;
struct subscription;
struct router_memo;

/* The host's publish(). HOST_FULL: a mailbox that the message needs has no room; nothing was delivered. */
enum host_result router_publish(struct shard *shard, const struct message *run, uint32_t *done);

/* The host's publish_room(). */
enum host_result router_publish_room(struct shard *shard, const struct message *message);

/* Whether every mailbox that this message, published in that account, may need has room: HOST_DONE,
 * HOST_FULL; HOST_MEMORY. What the account imports as a service is not asked. */
enum host_result router_room(struct shard *shard, struct shard_account *account,
                             const struct message *message);

/* The same for `times` messages like it, whatever becomes of their bodies: HOST_DONE, HOST_FULL; HOST_MEMORY.
 */
enum host_result router_room_times(struct shard *shard, struct shard_account *account,
                                   const struct message *message, uint32_t times);

/* Whether anybody, on any shard, would get a message of that subject. */
bool router_wanted(struct shard *shard, struct shard_account *account, struct bytes subject);

/* Delivers it, room was asked for; true: somebody took it. No match that was found before is good afterwards.
 */
bool router_route(struct shard *shard, struct shard_account *account, const struct message *message);

/* The same with a memo of what this one subject finds in this account; NULL: there is none. */
bool router_route_known(struct shard *shard, struct shard_account *account, const struct message *message,
                        struct router_memo *memo);

/* Asks for room and delivers as much of a run that has no publisher as goes at once: *done messages, at least
 * one. HOST_FULL: nothing was done; HOST_MEMORY: it is lost. */
enum host_result router_route_run(struct shard *shard, struct shard_account *account,
                                  const struct message *run, uint32_t *done);

/* Publishes messages that came by a route: to local subscriptions, and of the groups named in `queues` to
 * one member each (routes.md 12.2, 12.4); of a run the first so many as go at once, *done. A run has no
 * queues. HOST_FULL: nothing was done. */
enum host_result router_publish_routed(struct shard *shard, struct shard_account *account,
                                       const struct message *run, struct bytes queues, uint32_t *done);

/* Publishes a message that came by a gateway: in this cluster, to other servers too (spec/gateways.md 10.2).
 * HOST_FULL: nothing was done. */
enum host_result router_publish_gateway(struct shard *shard, struct shard_account *account,
                                        const struct message *message);

/* A message that came by mailbox. */
void router_mail_message(struct shard *shard, const uint8_t *mail, uint32_t bytes);

/* The same for MAIL_SHORT_MESSAGE; `from` is the shard of the publisher. */
void router_mail_short_message(struct shard *shard, uint32_t from, const uint8_t *mail, uint32_t bytes);

/* Puts a subscription into an account's index and tells the other shards; takes it out. */
enum host_result router_subscribe(struct shard *shard, struct shard_account *account,
                                  struct subscription *subscription, struct bytes subject,
                                  struct bytes queue);
enum host_result router_unsubscribe(struct shard *shard, struct shard_account *account,
                                    struct subscription *subscription);

/* Whether `count` subscriptions whose pattern and queue have at most so many bytes would find room. */
bool router_subscribe_room(struct shard *shard, size_t texts_bytes, uint64_t count);

/* Another shard's interest. */
void router_mail_interest(struct shard *shard, uint32_t from, const uint8_t *mail, uint32_t bytes);

/* A plain subscription of the client that the subject hits, or NULL. */
struct client_subscription *router_own_subscription(struct shard *shard, const struct client *client,
                                                    struct bytes subject);

#endif
