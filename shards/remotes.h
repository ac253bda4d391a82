/* shards/remotes.h - the other servers of the cluster as one shard knows them: who is there, what they want,
 * and how a message gets to them (docs/clusters.md 2, 3). In the flow:  router_publish() -> remotes_plan() ..
 * remotes_deliver() -> route_deliver() || mail to the route's shard RS+ -> remotes_interest() -> mail to all
 * shards || own interest changes -> remotes_tell() -> RS+ A remote server has a number; bits and queue
 * weights in shard_account.remote stand for numbers, as those of shard_account.index stand for shards. It has
 * connections, its lines (net/cluster_pool.h); what an account has for it goes over the account's line, or
 * where there is none, over that by which the server said what it wants. At the bounds: REMOTES_MAX servers;
 * REMOTE_GROUPS_MAX queue groups of one message that are served elsewhere, REMOTE_QUEUES_BYTES of their names
 * for one server: a group beyond is served here or not at all. Thread: the shard's. */
#ifndef SHARDS_REMOTES_H
#define SHARDS_REMOTES_H

#include "core/base/list.h"
#include "core/security/server_hash.h"
#include "core/subject/index.h"
#include "net/cluster_pool.h"
#include "net/host.h"
#include "net/message.h"
#include "net/route_host.h"
#include "shards/leaving.h"
#include "shards/router_memo.h"

struct shard;
struct shard_account;
struct route_connection;
struct cluster_options;
struct snapshot;

enum { REMOTES_MAX = 64, REMOTE_GROUPS_MAX = 128, REMOTE_QUEUES_BYTES = 2048, REMOTE_MEMOS = 64 };

struct remote_line {
    uint32_t shard;               /* that owns its route */
    bool up;                      /* there is one */
    struct route_connection *own; /* when its shard is this one */
};

struct remote {
    struct remote_line lines[ROUTE_LINES_MAX];
    char hash[SERVER_HASH_BYTES]; /* of its id, for replies by gateways */
};

/* What one account has to do with other servers. All zero: nothing yet. */
struct account_remotes {
    uint64_t up; /* bits: servers that want something and can be reached; of others the index says nothing */
    struct leaving leaving;
    uint8_t *lines;      /* [REMOTES_MAX]: over which line a server said what it wants; NULL: none has */
    uint8_t line;        /* over which we say what we want, in a pool; */
    uint8_t line_before; /* and by the options before, as long as remotes.before has them */
};

/* All zero but for the lists: there is no cluster. */
struct remotes {
    struct match_cache *matches; /* NULL: there is no cluster */
    uint32_t own_count;          /* registered routes of this shard */
    struct remote *all;          /* [REMOTES_MAX] */
    struct list routes;          /* this shard's, registered or not */
    struct list with_output;
    struct list full;             /* held back by a full mailbox */
    uint64_t unmade[REMOTES_MAX]; /* routes that found no memory, and the control core has not been told */
    uint32_t unmade_count;
    struct snapshot
        *before; /* the options that were in force, until routes are told what differs; NULL: none */
    struct leaving_walk leaving;
    struct router_memo memos[REMOTE_MEMOS]; /* by line_serial: what it hits in shard_account.remote */
};

/* Who gets a message elsewhere. */
struct remotes_plan {
    const struct match *match; /* in shard_account.remote; NULL: nobody has looked, or memory is out */
    uint64_t plain;            /* bits: servers with plain interest */
    uint64_t queued;           /* bits: servers that serve some of `groups` */
    uint32_t count;
    struct remote_group {
        struct bytes name;
        uint32_t remote;
    } groups[REMOTE_GROUPS_MAX];
};

/* Nobody. Not an initializer: that would clear three KiB of groups for each message. */
static inline void remotes_plan_nobody(struct remotes_plan *plan)
{
    plan->match = NULL;
    plan->plain = plan->queued = 0;
    plan->count = 0;
}

/* ERR_MEMORY. */
MUST_USE enum err remotes_init(struct remotes *remotes, const struct cluster_options *options,
                               uint32_t cache_entries);
void remotes_close(struct shard *shard);

/* ---- a message's way out; all for an account that has `remote` ---- */

/* How many messages of a run may be routed at once as far as other servers are concerned. */
uint32_t remotes_run_length(struct shard *shard, const struct shard_account *account,
                            const struct message *run);

/* Whether every mailbox that the way to other servers may need has room, beside `local_mails` that may go
 * there too. */
bool remotes_room(struct shard *shard, const struct shard_account *account, const struct message *message,
                  uint64_t local_mails, uint32_t times);

/* Whether another server wants the subject. */
bool remotes_wanted(struct shard *shard, const struct shard_account *account, struct bytes subject);

/* Finds who wants it, and draws for each queue group whether a member here (of which `local` knows) or
 * elsewhere gets it (routes.md 12.3). */
void remotes_plan(struct shard *shard, const struct shard_account *account, const struct match *local,
                  const struct message *message, struct remotes_plan *plan);

/* Whether the plan gives this group to another server. */
bool remotes_plan_has(const struct remotes_plan *plan, struct bytes group);

/* Nobody here took it for that group: another server, if one has members. */
bool remotes_plan_add(struct shard *shard, const struct shard_account *account, struct remotes_plan *plan,
                      struct bytes group);

/* Does what is planned. True: somebody took it. `spare`: room was not asked for. */
bool remotes_deliver(struct shard *shard, struct shard_account *account, const struct message *run,
                     const struct remotes_plan *plan, bool spare);

/* Sends a message of a queue group to another server with members, because nobody here took it
 * (routes.md 12.4). */
bool remotes_fall_back(struct shard *shard, struct shard_account *account, const struct message *message,
                       struct bytes group);

/* A MAIL_REMOTE_MESSAGE. */
void remotes_mail_message(struct shard *shard, const uint8_t *mail, uint32_t bytes);

/* A MAIL_REMOTE_PASSED. */
void remotes_mail_passed(struct shard *shard, const uint8_t *mail, uint32_t bytes);

/* ---- interest ---- */

/* This server's interest has changed to `wanted` members or subscriptions: RS+ or RS- on this shard's routes.
 */
void remotes_tell(struct shard *shard, const struct shard_account *account, struct bytes pattern,
                  struct bytes queue, uint32_t wanted);

/* How much other servers whose routes this shard owns want of an account: patterns and groups. */
uint64_t remotes_subscriptions(const struct shard *shard, const struct shard_account *account);

/* A MAIL_REMOTE_INTEREST. */
void remotes_mail_interest(struct shard *shard, const uint8_t *mail, uint32_t bytes);

/* ---- remotes_forget.c: of a server whose line is gone ---- */

/* What it wanted over that line does not count any more, and is forgotten in steps. */
void remotes_forget(struct shard *shard, uint32_t remote, uint8_t line);

/* One step of that, once a turn. */
void remotes_forget_on(struct shard *shard);

/* All that is left to forget for that number in the account, at once: now it wants something (again). */
void remotes_forget_rest(struct shard *shard, struct shard_account *account, uint32_t remote);

/* Whether something is still to be forgotten for that number. A new route of it is not read from meanwhile:
 * else remotes_forget_rest() would have a lot to do. (Other shards, which began when this one did, have
 * little left.) */
bool remotes_forgetting(const struct shard *shard, uint32_t remote);

/* ---- routes ---- */

const struct route_host *remotes_host(void);

/* Mail of the control core: MAIL_ROUTE, MAIL_ROUTE_ANSWER, MAIL_ROUTE_BYTES, MAIL_REMOTE. */
void remotes_mail_route(struct shard *shard, const uint8_t *mail);
void remotes_mail_answer(struct shard *shard, const uint8_t *mail);
void remotes_mail_bytes(struct shard *shard, const uint8_t *mail);
void remotes_mail_remote(struct shard *shard, const uint8_t *mail);
/* What responders have said about a server that has dialled: of MAIL_PEER_CHECKED. */
void remotes_mail_peer_checked(struct shard *shard, uint64_t rid, bool good);

/* A route's session is closed: nothing goes there any more. */
void remotes_route_closed(struct shard *shard, struct route_connection *connection);

/* What the configuration says of an account's line; when the account is met, and with a new snapshot. */
void remotes_account_set(struct shard *shard, struct shard_account *account);

/* The snapshot is new: what was known of accounts is not. */
void remotes_snapshot_use(struct shard *shard);

/* ---- a reload, and what routes are told by and by: remotes_tell.c ---- */

/* Accounts know the new options and `before` is to be given back: that is done here, at the latest when all
 * routes have been told what differs. */
void remotes_reload_begin(struct shard *shard, struct snapshot *before);
void remotes_reload_step(struct shard *shard);

/* A new route is told everything, and its peer not read from until it is; and one that shall hear it again.
 */
void remotes_tell_all(struct shard *shard, struct route_connection *connection);
void remotes_tell_again(struct shard *shard, struct route_connection *connection);

/* What the peer said on this line about accounts that have one of their own now is dropped, then it gets
 * `answer`, whose hold is taken. */
void remotes_drop_moving(struct shard *shard, struct route_connection *connection, struct block *answer,
                         uint32_t answer_bytes);

/* Goes on with that, as long as route_walks() says so. */
void remotes_tell_step(struct shard *shard, struct route_connection *connection);

/* Whether others may be told that such messages are wanted, and may want them. */
bool remotes_may_export(const struct shard *shard, struct bytes pattern);

/* What a server wants, on this shard alone; weight 0: no longer. */
void remotes_interest_set(struct shard *shard, struct shard_account *account, uint32_t remote, uint8_t line,
                          struct bytes pattern, struct bytes queue, uint32_t weight);

/* Once a turn: those that were held back, write deadlines, routes that are done. */
void remotes_step(struct shard *shard);
void remotes_send(struct shard *shard);
void remotes_stop(struct shard *shard);

/* The moment by which remotes_step() is to be called; INT64_MAX: none. */
int64_t remotes_due_ns(const struct shard *shard);

/* ---- for gateways, which are built the same way ---- */

struct mail_remote_interest;
struct mail_remote_message;

/* Tells the other shards of a change of interest, if all of their mailboxes have room. */
enum route_host_result remotes_interest_mail(struct shard *shard, const struct mail_remote_interest *wanted,
                                             struct bytes pattern, struct bytes queue);

/* The account of that name; NULL: not configured here. */
struct shard_account *remotes_account_named(struct shard *shard, struct route_connection *connection,
                                            struct bytes name);

/* The same for what that account wants: one that is not configured here is known all the same, because a
 * reload may add it. ROUTE_HOST_FULL: not known yet. With *account NULL nobody can know. */
enum route_host_result remotes_account_wanted(struct shard *shard, struct route_connection *connection,
                                              struct bytes name, struct shard_account **account);

/* Puts a queue group's name behind those before it, a blank between; one that does not fit is left out. The
 * new count. */
size_t remotes_queue_add(uint8_t names[REMOTE_QUEUES_BYTES], size_t count, struct bytes name);

/* Takes a MAIL_REMOTE_INTEREST, or a gateway's, apart; the texts lie in the mail or in its block, whose hold
 * stays the caller's to release. */
struct mail_remote_interest;
void remotes_interest_read(const uint8_t *mail, struct mail_remote_interest *header, struct bytes *pattern,
                           struct bytes *queue);

/* One mail of that kind to a shard, for the servers or clusters in `to`; how long it is, of a message or a
 * run; how many messages of a run fit one; and what is in it. */
bool remotes_mail_run(struct shard *shard, const struct shard_account *account, uint8_t kind, uint32_t owner,
                      uint64_t to, const struct message *run, struct bytes queues);
uint32_t remotes_record_bytes(const struct message *run, struct bytes queues);
uint32_t remotes_run_most(const struct message *run);
void remotes_mail_read(const uint8_t *mail, struct mail_remote_message *header, struct message *message,
                       struct bytes *queues);

/* The server that has this hash and a line that is up; REMOTES_MAX: there is none. */
uint32_t remotes_by_hash(const struct shard *shard, struct bytes mapped);

/* Passes a message on to one server, as it is. HOST_FULL: nothing was done. */
enum host_result remotes_pass(struct shard *shard, struct shard_account *account, uint32_t remote,
                              const struct message *message);

#endif
