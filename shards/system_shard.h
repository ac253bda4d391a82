/* shards/system_shard.h - the system account as the shards have it (docs/events.md).
 * In the flow, requests: MAIL_SYSTEM_SERVICE makes a subscription of shard SYSTEM_SHARD; a message for it
 * goes by system_shard_request() and MAIL_SYSTEM_REQUEST to the control core. What the server publishes:
 * MAIL_SYSTEM_PUBLISH, then backlog_publish() of shard SYSTEM_SHARD. Events: the host's enter() and closing()
 * by system_shard_entered(), system_shard_closed(), MAIL_SYSTEM_EVENT.
 *
 * The subscriptions are like any other's to the index, to the other shards and to other servers, but figures
 * do not count them. At the bounds: what finds no room in the mailbox to the control core is dropped and
 * counted, the log says so once until there is room again; so is a request above SYSTEM_REQUEST_BYTES_MAX.
 * Thread: the shard's. */
#ifndef SHARDS_SYSTEM_SHARD_H
#define SHARDS_SYSTEM_SHARD_H

#include "core/base/list.h"
#include "shards/mail.h"
#include "shards/shadows.h"

enum {
    SYSTEM_SHARD = 0,
    SYSTEM_REQUEST_BYTES_MAX = 1024 * 1024, /* of a request with its subjects */
};

struct connection;
struct shard;
struct system_interest;

/* All zero but for `changed` is empty. */
struct shard_system {
    struct system_interest *interests; /* of shard SYSTEM_SHARD; owned */
    uint32_t interest_count;           /* of them in the index */
    uint32_t missing_count;            /* and not yet */
    struct list changed; /* accounts whose clients have changed and the control core is to know */
    uint64_t lost;       /* events and requests, since the mailbox was last full */
    bool services_told;  /* no more will come, and the control core waits for MAIL_SYSTEM_SERVED */
};

/* A MAIL_SYSTEM_SERVICE, a MAIL_SYSTEM_PUBLISH, a MAIL_SYSTEM_CLIENT. */
void system_shard_mail_service(struct shard *shard, const uint8_t *mail);
void system_shard_mail_publish(struct shard *shard, const uint8_t *mail);
void system_shard_mail_client(struct shard *shard, const uint8_t *mail);

/* A message for one of the services. False: it is dropped. */
bool system_shard_request(struct shard *shard, const struct foreign *foreign, const struct message *message);

/* A client has come into an account, out of `before` or NULL, or has logged in where it is; it is closed, and
 * still in its account if it got so far. Cost when nobody listens: looks into the match cache. */
void system_shard_entered(struct shard *shard, struct client *client, struct host_account *before,
                          struct host_account *entered);
void system_shard_closed(struct shard *shard, struct client *client);

/* Once a turn. */
void system_shard_step(struct shard *shard);

/* Whether system_shard_step() has more to do than it found room for. */
static inline bool system_shard_waits(const struct shard_system *system)
{
    return system->missing_count > 0 || system->services_told || !list_empty(&system->changed);
}

/* How many of the subscriptions in this account's index here are the server's own. */
uint64_t system_shard_own(const struct shard *shard, const struct shard_account *account);

/* How many patterns of the system account are wanted by somebody else than the server. In a cluster it is
 * more, with what the other shards and servers themselves want there; nobody depends on it there, as
 * heartbeats go out anyway (system_has_peers()). */
uint64_t system_shard_listeners(const struct shard *shard);

/* Before the accounts go. */
void system_shard_close(struct shard *shard);

#endif
