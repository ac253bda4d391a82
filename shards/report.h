/* shards/report.h - how a shard tells the control core its figures: a page for each question, never more work
 * at once than REPORT_ITEMS_MAX items or a page's bytes, and the place where the next page goes on
 * (docs/monitoring.md 2). In the flow:  control's collection -> MAIL_REPORT_ASK -> reports_step() ->
 * MAIL_REPORT -> the collection A query is immutable while any shard may have it: the control core frees it
 * when the last answer is in. One question is with a shard at a time. What is told is as of the moment of its
 * page; a shard keeps nothing between two pages. */
#ifndef SHARDS_REPORT_H
#define SHARDS_REPORT_H

#include "core/base/block.h"
#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    REPORT_ITEMS_MAX = 256, /* looked at for one page: some 50 us when none is in the cache */
    REPORT_REASONS = 64,
};

enum report_kind {
    REPORT_FIGURES,     /* struct report_shard on the first page, then struct report_account */
    REPORT_KEYS,        /* struct report_key of each connection that is asked for */
    REPORT_CONNECTIONS, /* struct report_connection of each that was picked, perhaps with its subscriptions */
    REPORT_SUBSCRIPTIONS,       /* struct report_subscription of all clients */
    REPORT_ROUTES,              /* struct report_route of each route that is registered */
    REPORT_ROUTE_SUBSCRIPTIONS, /* struct report_subscription of what the server behind the route `cid` wants
                                 */
    REPORT_SUBJECTS, /* struct report_subjects, then struct report_subject, the largest first: one page */
    REPORT_GATEWAYS, /* struct report_gateway of each registered connection to or from another cluster */
    REPORT_GATEWAY_ACCOUNTS,      /* struct report_gateway_account; the same on every shard */
    REPORT_GATEWAY_SUBSCRIPTIONS, /* struct report_subscription of what the cluster behind the outbound
                                     connection `cid` has listed of the account `account_id`; the same on
                                     every shard */
    REPORT_MATCHES,     /* struct report_match of each current one in the cache of accounts' matches */
    REPORT_TOTALS,      /* one struct report_totals a page */
    REPORT_SUBSCRIBERS, /* nothing: `counted` are clients' subscriptions in the index of `account` */
};

/* What connections are sorted by, in the order of the table in monitor_connz.c. */
enum report_sort {
    REPORT_BY_CID,
    REPORT_BY_START,
    REPORT_BY_SUBSCRIPTIONS,
    REPORT_BY_PENDING,
    REPORT_BY_OUT_MESSAGES,
    REPORT_BY_IN_MESSAGES,
    REPORT_BY_OUT_BYTES,
    REPORT_BY_IN_BYTES,
    REPORT_BY_LAST,
    REPORT_BY_IDLE,
    REPORT_BY_UPTIME,
    REPORT_BY_STOP,
    REPORT_BY_REASON,
    REPORT_BY_RTT,
};

/* One connection by its place in the order: the lowest key first, then the lowest cid. */
struct report_key {
    int64_t key;
    uint64_t cid;
    uint64_t place; /* its slot; of a closed one, its number in the shard's ring */
    uint32_t shard; /* the control core fills it */
    bool closed;
};

struct report_query {
    enum report_kind kind;
    bool open, closed; /* which connections */
    bool subscriptions;
    enum report_sort sort;
    int64_t asked_ns; /* until when open ones have been idle, or up: the same moment for all shards */
    uint8_t reason_ranks[REPORT_REASONS]; /* of enum closed_reason in the order of their texts */
    bool account_given;
    struct bytes account; /* owned by the question; likewise below */
    bool user_given;
    struct bytes user;
    uint64_t cid;        /* 0: any; of REPORT_ROUTE_SUBSCRIPTIONS and its like, the connection's */
    uint32_t account_id; /* of REPORT_GATEWAY_SUBSCRIPTIONS */
    struct bytes filter; /* of open ones of `account`: a subscription meets it; empty: all */
    struct bytes test;   /* a subject; empty: all */
    bool wildcard;       /* of REPORT_SUBSCRIBERS: `test` is a pattern, and what it covers counts */
    bool queue_given; /* likewise: members of the group `queue` only. Empty: of none, and of a literal `test`
                         nobody */
    struct bytes queue;
    const struct report_key *picks;
    uint32_t pick_count;
};

/* Where a page begins. All zero: at the beginning. */
struct report_cursor {
    uint64_t major;
    uint64_t minor;
    uint64_t skip; /* of REPORT_SUBSCRIPTIONS: so many that fit are counted and not told, then so many are; of
                      REPORT_KEYS with a filter: where to go on in a client's subscriptions */
    uint64_t want;
};

/* A thread's figures. Counts since the start, unless they say otherwise. */
struct report_shard {
    uint64_t connections; /* open now */
    uint64_t slow_consumers;
    uint64_t stale_connections;
    uint64_t route_slow_consumers; /* writes of routes that met their deadline */
    uint64_t route_slow_episodes;  /* the first ones of these, until the route had caught up */
    uint64_t route_stale_connections;
    uint64_t gateway_slow_consumers; /* writes of gateway connections that met theirs */
    uint64_t gateway_stale_connections;
    uint64_t stalls;
    uint64_t turns;
    uint64_t turn_ns;      /* the time of all turns, without what they waited */
    uint64_t turn_ns_most; /* and the longest */
    uint64_t enters;       /* system calls into the ring */
    uint64_t submissions, completions, overflows, dropped, no_buffers; /* of it: struct loop_figures */
    uint64_t looks;                                                    /* waits that began by looking */
    uint64_t sleeps;                                                   /* waits that ended in sleep */
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t cache_entries;    /* now */
    uint64_t cache_bytes;      /* now */
    uint64_t buffers;          /* of the ring, for receiving */
    uint64_t buffers_window;   /* of them with the kernel, now */
    uint64_t buffers_spare;    /* with nobody, now; the rest hold bytes that this turn handles */
    uint64_t mailbox_bytes;    /* in its inboxes, now */
    uint64_t written_bytes;    /* by deliveries, into outputs */
    uint64_t closed_kept;      /* closed connections remembered, now */
    uint64_t cpu_ns;           /* the thread's */
    uint64_t system_listeners; /* patterns of the system account that somebody wants, now */
    uint64_t pages;            /* of reports such as this one */
    uint64_t page_ns;          /* the time that all of them took */
    uint64_t page_ns_most;     /* and the longest */
};

/* What the clients of a shard published in the span that is told of: shards/top_subjects.h. */
struct report_subjects {
    int64_t span_ns; /* 0: it is being watched from now on, ask again in a moment */
    uint64_t messages;
};

struct report_subject {
    uint64_t messages, bytes;
    uint32_t account;
    uint8_t count; /* of the text that follows */
    bool cut;      /* the subject is longer */
};

struct report_account {
    uint32_t id;
    uint32_t clients;
    uint64_t in_messages, in_bytes, out_messages, out_bytes, slow_consumers;
    /* Those above are of clients, these of routes and of gateway connections. */
    uint64_t route_in_messages, route_in_bytes, route_out_messages, route_out_bytes;
    uint64_t gateway_in_messages, gateway_in_bytes, gateway_out_messages, gateway_out_bytes;
    uint64_t subscriptions, interests, inserts, removes;
    uint64_t matches, hits; /* look-ups in the index, and those that the cache answered */
    /* The control core adds these up from REPORT_MATCHES; a shard leaves them 0. */
    uint64_t cached, fanout, fanout_most; /* subjects; to how many they go; one of them */
    uint64_t remote_subscriptions;        /* what other servers want, by the routes of this shard */
};

/* A subject whose match is remembered. */
struct report_match {
    uint32_t account; /* its id */
    uint32_t fanout;  /* to how many of this shard it goes; at most UINT32_MAX */
};

/* Clients' open connections, as many as were looked at for a page, together. */
struct report_totals {
    uint64_t connections;
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
    uint64_t pending_bytes;
    uint64_t subscriptions;
};

/* A registered route. Moments are of the monotonic clock. */
struct report_route {
    uint64_t rid;
    int64_t start_ns, last_activity_ns, rtt_ns;
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
    uint64_t pending_bytes;
    uint64_t subscriptions; /* patterns and groups that the other server wants */
};

/* A registered gateway connection, in or out. */
struct report_gateway {
    uint64_t gid;
    int64_t start_ns, last_activity_ns, rtt_ns;
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
    uint64_t pending_bytes;
    uint64_t subscriptions; /* patterns and groups that the cluster has listed */
};

enum report_gateway_mode { REPORT_GATEWAY_GUESSED, REPORT_GATEWAY_LISTING, REPORT_GATEWAY_LISTED };

/* How the interest of the cluster with that number in an account is known. */
struct report_gateway_account {
    uint32_t account; /* its id */
    uint32_t number;
    uint32_t mode;          /* enum report_gateway_mode */
    uint32_t silent;        /* subjects that it does not want */
    uint32_t subscriptions; /* patterns and groups that it has listed */
    uint32_t groups;        /* of these */
};

/* The texts of a connection. */
enum report_text {
    REPORT_ADDRESS,
    REPORT_NAME,
    REPORT_LANG,
    REPORT_VERSION,
    REPORT_TLS_VERSION,
    REPORT_TLS_SUITE,
    REPORT_TLS_PEERS, /* struct tls_peer, one behind the other */
    REPORT_PROXY,     /* the key of the one that it came through */
    REPORT_USER,
    REPORT_ACCOUNT,
};
enum { REPORT_TEXTS = REPORT_ACCOUNT + 1 };

/* Followed by its texts. Moments are of the monotonic clock. */
struct report_connection {
    uint64_t cid;
    int64_t start_ns, last_activity_ns, rtt_ns;
    int64_t stop_ns; /* of the report when it is open */
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
    uint64_t pending_bytes;
    uint32_t subscriptions;
    uint32_t stalls;
    uint16_t port;
    uint8_t reason; /* enum closed_reason */
    bool closed;
    bool token; /* it came by one: `user` is empty */
    bool tls_first;
    uint32_t text_counts[REPORT_TEXTS];
};

/* Followed by the texts in the order of their counts. */
struct report_subscription {
    uint64_t cid;
    uint64_t delivered;
    uint32_t max;
    uint32_t account_count;
    uint32_t subject_count, queue_count, sid_count;
};

enum report_record_kind { REPORT_RECORD_CONNECTION, REPORT_RECORD_SUBSCRIPTION };

/* What stands before each of the two above on a page. */
struct report_record {
    uint32_t bytes; /* with this head */
    uint32_t pick;  /* of REPORT_CONNECTIONS: which one */
    uint32_t kind;
};

struct mail_report_ask {
    uint8_t kind;
    const struct report_query *query;
    struct report_cursor from;
};

struct mail_report {
    uint8_t kind;
    bool more;
    bool failed; /* memory is out: the page is missing, and all behind it */
    uint32_t bytes;
    uint64_t counted; /* connections or subscriptions that were asked for, whether they are told or not */
    struct report_cursor next;
    struct block *block; /* the receiver's hold; NULL: the page is empty */
};

#endif
