/* shards/gateways.h - other clusters as one shard knows them: which there are, what they want, how a message
 * gets to them, and what comes from them (docs/gateways.md 2, 3). In the flow:
 *   router_publish() -> gateways_deliver() -> route_deliver() || mail to the connection's shard
 *   RS+, RS-, A+, A-, INFO -> gateways_host() -> gateways_change() on all shards
 *   own and routed interest -> gateways_tell() -> RS+, RS- on inbound connections
 *   RMSG -> router_publish_gateway()
 * A remote cluster has a number; bits and weights in gateway_account.listed stand for numbers, as those of
 * shard_account.remote stand for servers. At the bounds: docs/gateways.md 5. Thread: the shard's. */
#ifndef SHARDS_GATEWAYS_H
#define SHARDS_GATEWAYS_H

#include "core/base/list.h"
#include "core/subject/index.h"
#include "core/subject/index_table.h"
#include "core/subject/subject_set.h"
#include "net/gateway_reply.h"
#include "net/message.h"
#include "net/route_host.h"
#include "shards/remotes.h"
#include "shards/router_memo.h"

struct shard;
struct shard_account;
struct route_connection;
struct gateway_options;
struct client;
struct security_accounts;

enum {
    GATEWAYS_MAX = 64,
    GATEWAY_SILENT_MAX = 65536,  /* subjects that one cluster does not want, of an account */
    GATEWAY_UNKNOWN_MAX = 64,    /* accounts of which one connection was told that they do not exist */
    GATEWAY_RECENT_MAX = 65536,  /* subscriptions of the last two seconds */
    GATEWAY_REPLIES_MAX = 65536, /* replies to be mapped back */
    GATEWAY_MEMOS = 64,
};

/* The outbound connection to another cluster. */
struct gateway {
    uint64_t rid;
    int64_t rtt_ns;               /* 0: not measured yet */
    uint32_t shard;               /* that owns it */
    struct route_connection *own; /* when that is this one */
    char hash[SERVER_HASH_BYTES]; /* of its name */
};

/* All zero but for the lists: this server is no gateway. */
struct gateways {
    struct match_cache *matches;             /* NULL: this server is no gateway */
    uint64_t up;                             /* bits: clusters with an outbound connection */
    uint64_t lists;                          /* bits: they list all they want, there is nothing to guess */
    struct router_memo memos[GATEWAY_MEMOS]; /* by line_serial: what it hits in gateway_account.listed */
    struct gateway all[GATEWAYS_MAX];
    uint8_t order[GATEWAYS_MAX]; /* those that are up, the nearest first */
    uint32_t count;
    struct leaving_walk leaving;
    uint32_t inbound_count; /* registered inbound connections of this shard */
    struct list recent;     /* gateway_recent.c: oldest first */
    uint32_t recent_count;
    struct list replies; /* gateway_replies.c: oldest first */
    struct index_table reply_table;
    uint32_t reply_count;
    uint8_t *reply_text; /* a mapped reply under way; NULL: none was needed yet */
    size_t reply_text_bytes;
    char own_cluster[SERVER_HASH_BYTES];
    char own_server[SERVER_HASH_BYTES];
};

/* What other clusters want of one account. */
struct gateway_account {
    struct index *listed;       /* by RS+ */
    struct subject_set *silent; /* literal subjects that are not wanted, by RS-; NULL: none yet */
    struct leaving listed_leaving, silent_leaving;
    struct index *recent; /* patterns of new subscriptions; NULL: none yet */
    uint64_t listing;     /* bits: it has begun to list what it wants */
    uint64_t complete;    /* bits: and has ended: interest-only */
    uint64_t none;        /* bits: it wants nothing at all */
    struct {
        uint32_t silent; /* its subjects in `silent` */
        uint32_t groups; /* its queue groups in `listed` */
    } counts[GATEWAYS_MAX];
};

/* What was learned about a cluster's interest; travels in mail_remote_interest.weight. */
enum gateway_change {
    GATEWAY_WANTS,       /* RS+ */
    GATEWAY_UNWANTS,     /* RS- */
    GATEWAY_LIST_BEGINS, /* INFO command 2 */
    GATEWAY_LIST_ENDS,   /* INFO command 3 */
    GATEWAY_NO_ACCOUNT,  /* A- */
    GATEWAY_ACCOUNT,     /* A+ */
};

/* ERR_MEMORY. `server_id` is this server's. */
MUST_USE enum err gateways_init(struct gateways *gateways, const struct gateway_options *options,
                                struct bytes server_id, uint32_t cache_entries);
void gateways_close(struct shard *shard);

/* For an account that a shard meets. NULL: memory is out. */
MUST_USE struct gateway_account *gateway_account_new(void);
void gateway_account_free(struct gateway_account *account);

/* ---- gateways.c: a message's way out; all for an account that has `gateway` ---- */

/* How many messages of a run may be sent at once as far as other clusters are concerned. */
uint32_t gateways_run_length(struct shard *shard, const struct shard_account *account,
                             const struct message *run);

/* Whether every mailbox that the way to other clusters may need has room, beside `other_mails` that may go
 * there too. */
bool gateways_room(struct shard *shard, const struct shard_account *account, const struct message *message,
                   uint64_t other_mails, uint32_t times);

/* Whether another cluster would be sent that subject. */
bool gateways_wanted(struct shard *shard, const struct shard_account *account, struct bytes subject);

/* Sends it to the clusters that want it, and for each queue group that neither `local` nor `plan` know to the
 * nearest one that has it. Room was asked for. True: some line goes out. */
bool gateways_deliver(struct shard *shard, struct shard_account *account, const struct match *local,
                      const struct remotes_plan *plan, const struct message *run);

/* Sends to one cluster only. */
bool gateways_send(struct shard *shard, struct shard_account *account, uint32_t number,
                   const struct message *run, struct bytes queues);
bool gateways_send_room(struct shard *shard, uint32_t number, const struct message *run);

/* A MAIL_GATEWAY_MESSAGE. */
void gateways_mail_message(struct shard *shard, const uint8_t *mail, uint32_t bytes);

/* ---- gateways_interest.c: what they want ---- */

/* Who wants a subject. */
struct gateways_interest {
    uint64_t plain; /* bits: clusters that want it plainly */
    const struct match
        *listed; /* what was listed, queue groups too, until the next look; NULL: memory is out */
};

/* Looks it up: in the memo of the control line (`line_serial`; 0: there is none), or in what is listed. */
struct gateways_interest gateways_interest(struct shard *shard, const struct shard_account *account,
                                           struct bytes subject, uint64_t line_serial);

/* Takes over a change of a cluster's interest, on this shard. */
void gateways_change(struct shard *shard, struct shard_account *account, uint32_t number,
                     enum gateway_change change, struct bytes pattern, struct bytes queue);

/* A MAIL_GATEWAY_INTEREST. */
void gateways_mail_interest(struct shard *shard, const uint8_t *mail, uint32_t bytes);

/* A cluster without a connection wants nothing any more. */
void gateways_forget(struct shard *shard, uint32_t number);

/* Goes on forgetting, once a turn; and whether something of that number is still to be forgotten. */
void gateways_forget_on(struct shard *shard);
bool gateways_forgetting(const struct shard *shard, uint32_t number);

/* ---- gateways_tell.c: what this cluster wants ---- */

/* The interest of this server changes from `before` to `now` subscribers, or that of all routed servers does;
 * `other` are the other ones' in the same pattern. */
void gateways_tell(struct shard *shard, const struct shard_account *account, struct bytes pattern,
                   struct bytes queue, uint32_t before, uint32_t now, uint32_t other);

/* An index_forgotten() of what another server of the cluster wanted, with the shard and the account. */
struct gateways_loss {
    struct shard *shard;
    const struct shard_account *account;
};
void gateways_tell_forgotten(void *context, struct bytes pattern, struct bytes queue, bool last);

/* All that is wanted, for an inbound connection that has just been registered, as far as one turn goes; and
 * the next turn's part, as long as route_walks() says so. */
void gateways_tell_all(struct shard *shard, struct route_connection *connection);
void gateways_tell_on(struct shard *shard, struct route_connection *connection);

/* The snapshot is new, `before` are the old one's accounts: inbound connections are told of those that it
 * adds. */
void gateways_snapshot_use(struct shard *shard, const struct security_accounts *before);

/* ---- gateway_recent.c: which replies are mapped ---- */

/* A subscription of this server was made, or the last of its pattern has gone. */
void gateway_recent_add(struct shard *shard, struct shard_account *account, struct bytes pattern);
void gateway_recent_remove(struct shard *shard, const struct shard_account *account, struct bytes pattern);

/* The reply as other clusters are to get it: mapped, when it is that new; the bytes hold until the next call.
 */
struct bytes gateway_recent_reply(struct shard *shard, const struct shard_account *account,
                                  struct bytes reply);
void gateway_recent_close(struct gateways *gateways);

/* ---- gateway_replies.c: the way back ---- */

/* A client was sent a message whose reply is mapped. */
void gateway_replies_note(struct shard *shard, const struct client *client, struct bytes reply);

/* What the client publishes there goes to: the mapped subject, or nothing. */
struct bytes gateway_replies_find(struct shard *shard, const struct client *client, struct bytes subject);

/* Publishes a client's answer to `mapped`. As the host's publish(). */
enum host_result gateway_replies_publish(struct shard *shard, struct shard_account *account,
                                         const struct message *run, struct bytes mapped, uint32_t *done);

/* Whether that would find room: HOST_DONE or HOST_FULL. */
enum host_result gateway_replies_room(struct shard *shard, const struct message *message,
                                      struct bytes mapped);

/* A message to a mapped subject has come from another cluster, or by a route: it is dropped, passed on to the
 * server that asked, or published here (spec/gateways.md 11.4). HOST_FULL: nothing was done. */
enum host_result gateway_replies_take(struct shard *shard, struct shard_account *account,
                                      const struct message *message, bool from_gateway);
void gateway_replies_close(struct gateways *gateways);

/* ---- gateways_host.c: connections ---- */

const struct route_host *gateways_host(void);

/* Mail: MAIL_GATEWAY, MAIL_GATEWAY_RTT. */
void gateways_mail_gateway(struct shard *shard, const uint8_t *mail);
void gateways_mail_rtt(struct shard *shard, const uint8_t *mail);

/* The control core has registered a connection; `number` of an outbound one. */
void gateways_registered(struct shard *shard, struct route_connection *connection, uint32_t number);

struct gateway_unknown;
void gateways_unknown_free(struct gateway_unknown *unknown);

/* A connection's session is closed. */
void gateways_connection_closed(struct shard *shard, struct route_connection *connection);

#endif
