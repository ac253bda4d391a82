/* shards/accounts.h - the accounts as one shard knows them: for each an index of its own, so that what is
 * published in one finds nobody in another (docs/accounts.md).
 * In the flow:  host enter() -> accounts_enter() || mail with an account's id -> accounts_get()
 *               snapshot -> accounts_snapshot_use()
 * An account is known by its id, which outlives snapshots; what nobody uses on this shard costs a pointer. At
 * the bound: memory out is NULL. Thread: the shard's. */
#ifndef SHARDS_ACCOUNTS_H
#define SHARDS_ACCOUNTS_H

#include "core/base/list.h"
#include "core/subject/index.h"
#include "net/host.h"
#include "shards/remotes.h"

struct shard;
struct service;

struct shard_account {
    struct host_account host;     /* first: a session knows its account by it */
    struct host_traffic routes;   /* what came and went by routes of this shard */
    struct host_traffic gateways; /* and by gateway connections */
    uint32_t id;
    bool opened; /* a client has been here, or a request: what it imports is in place */
    const struct security_account
        *before;          /* host.configured by shard.remotes.before, as long as that is there */
    struct index *index;  /* who wants what, here */
    struct index *remote; /* who wants what on other servers: remotes.h; NULL: nobody does */
    struct account_remotes remotes;
    struct gateway_account *gateway; /* what other clusters want: gateways.h; NULL: there are none */
    uint32_t gateway_reply_count;    /* of its clients: gateway_replies.c */
    uint32_t measured_count;         /* requests that its clients are to answer, and one for `measures` */
    bool measures;                   /* it exports services that are measured, perhaps by other shards */
    struct index *services;          /* its service imports, by local subject; NULL: none */
    struct service *service_all;     /* those in `services` */
    uint32_t service_count;
    uint32_t shadow_count;    /* of its clients, in the indexes of exporters: shadows.h */
    uint32_t reply_count;     /* that its requesters wait for: replies.h */
    uint32_t client_count;    /* of this shard */
    uint32_t *others;         /* [shard]: their clients, as they told, and behind them [shard_count] those
                                 of all other servers, as the control core told; NULL: none has told */
    struct list_link telling; /* in shard.telling while the others do not know client_count */
    struct list_link changed; /* in shard.system.changed while the control core is to know that it has */
    struct reply_prefix *reply_prefix; /* as an exporter; made with its first request */
};

/* All accounts that this shard has met. All zero is empty. */
struct shard_accounts {
    struct shard_account **by_id; /* NULL: not met */
    uint32_t capacity;
};

static inline struct shard_account *shard_account_of(struct host_account *account)
{
    return CONTAINER_OF(account, struct shard_account, host);
}

/* The account with that id, met now at the latest, with an index. NULL: memory is out. */
MUST_USE struct shard_account *accounts_get(struct shard *shard, uint32_t id);

/* The same, and what it imports is in place. */
MUST_USE struct shard_account *accounts_open(struct shard *shard, const struct security_account *account);

/* A client enters an account, or leaves it because it is closed. HOST_FULL: it has as many connections as it
 * may, over all shards and servers as far as they have told; when two shards have let one in at the same
 * time, the newest of the higher shard goes; when two servers have, the newest of each. */
enum host_result accounts_enter(struct shard *shard, struct client *client,
                                const struct security_account *configured, struct host_account **account);
void accounts_leave(struct shard *shard, struct client *client);

/* Tells the other shards how many clients the accounts with a limit have here, as far as mailboxes have room;
 * takes what another one tells, or, from the control core, how many they have on other servers. */
void accounts_counts_tell(struct shard *shard);
void accounts_count_take(struct shard *shard, uint32_t from, uint32_t id, uint32_t count);

/* The snapshot in shard->snapshot is new: every account met learns what is configured now, and what it
 * imports is made anew. False: memory is out; what could not be made is not imported. */
bool accounts_snapshot_use(struct shard *shard);

/* Frees all; clients and their shadows are gone. */
void accounts_close(struct shard *shard);

#endif
