/* shards/mail.h - what the threads say to each other. Each mail begins with its kind. Structs are copied in
 * and out whole, both ends are the same build; what is longer than a record allows travels in a counted
 * block. */
#ifndef SHARDS_MAIL_H
#define SHARDS_MAIL_H

#include "core/base/block.h"
#include "core/security/server_hash.h"
#include "net/message.h"
#include "shards/report.h"

#include <stdint.h>

enum mail_kind {
    MAIL_MESSAGE,           /* shard -> shard, control: a message that some subscription there wants */
    MAIL_SHORT_MESSAGE,     /* the same, for what most are: plain, without headers, whole in the record */
    MAIL_INTEREST,          /* shard, control -> shard: how many subscriptions the sender has for a pattern */
    MAIL_ACCOUNT_COUNT,     /* shard -> shard: how many clients an account has at the sender */
    MAIL_RESPONDER,         /* shard -> shard: who is about to answer a request that is measured */
    MAIL_STALL,             /* shard -> shard: do not read from that publisher for a moment */
    MAIL_CONNECTION,        /* control -> shard: a new connection */
    MAIL_CONNECTION_CLOSED, /* shard -> control */
    MAIL_PASSWORD,          /* shard -> worker: check a bcrypt password */
    MAIL_PASSWORD_CHECKED,  /* worker -> shard */
    MAIL_SNAPSHOT,          /* control -> shard: new options */
    MAIL_SNAPSHOT_RELEASED, /* shard -> control: the old ones are not used any more */
    MAIL_LAME_DUCK,         /* control -> shard: tell the clients */
    MAIL_CLOSE_CLIENTS,     /* control -> shard: close so many */
    MAIL_ROUTE,             /* control -> shard: a new connection to or from another server */
    MAIL_ROUTE_SAID,        /* shard -> control: CONNECT or INFO of a route */
    MAIL_ROUTE_ANSWER,      /* control -> shard: how it goes on */
    MAIL_ROUTE_BYTES,       /* control -> shard: lines for a route */
    MAIL_ROUTE_CLOSED,      /* shard -> control */
    MAIL_REMOTE,            /* control -> shard: a connection to another server is there, or is gone */
    MAIL_REMOTE_INTEREST,   /* shard -> shard: what another server wants */
    MAIL_REMOTE_MESSAGE,    /* shard -> shard: a message for other servers, whose routes are there */
    MAIL_GATEWAY,           /* control -> shard: another cluster is there, or is gone */
    MAIL_GATEWAY_INTEREST,  /* shard -> shard: what it wants; a struct mail_remote_interest */
    MAIL_GATEWAY_MESSAGE,   /* shard -> shard: a message for it; a struct mail_remote_message */
    MAIL_GATEWAY_RTT,       /* shard -> shard: how far it is */
    MAIL_REMOTE_PASSED,     /* shard -> shard: likewise, for one server whatever it wants */
    MAIL_CONNECT_URLS,      /* control -> shard: the cluster's name, and where clients may connect */
    MAIL_RESOLVE,           /* control -> worker: look up a name */
    MAIL_RESOLVED,          /* worker -> control */
    MAIL_PUBLISH,           /* control -> shard: a message of one of its services */
    MAIL_STOP,              /* control -> all: end */
    MAIL_STOPPED,           /* shard, worker -> control: nothing more will come from here */
    MAIL_REPORT_ASK,        /* control -> shard: a page of figures, please: report.h */
    MAIL_REPORT,            /* shard -> control */
    MAIL_SYSTEM_SERVICE,    /* control -> shard: a pattern of the system account that the server serves */
    MAIL_SYSTEM_SERVICES,   /* control -> shard: these were all */
    MAIL_SYSTEM_SERVED, /* shard -> control: all of them are in the indexes of all shards, or on the way there
                         */
    MAIL_SYSTEM_REQUEST,   /* shard -> control: a message for one of these */
    MAIL_SYSTEM_PUBLISH,   /* control -> shard: a message of the server's own */
    MAIL_SYSTEM_PUBLISHED, /* shard -> control: the last of these has been */
    MAIL_SYSTEM_EVENT,     /* shard -> control: what happened to a connection */
    MAIL_SYSTEM_ACCOUNT,   /* shard -> control: an account has other clients than before */
    MAIL_SYSTEM_CLIENT,    /* control -> shard: what one client is to do */
    MAIL_ACCOUNT_ASK,      /* shard -> control: by which id is an account of that name known? */
    MAIL_PEER_ASK,         /* shard -> control: do a peer's certificates still hold? */
    MAIL_PEER_CHECKED,     /* control -> shard */
    MAIL_STAPLE_PASSED,    /* control -> shard: a staple was replaced; back: these turns have passed since */
    MAIL_ACCOUNT_NAMED,    /* control -> shard: by this one */
};

enum mail_message_flags {
    MAIL_TO_PLAIN = 1,     /* deliver to the plain subscriptions */
    MAIL_TO_GROUP = 2,     /* and to a member of the group named */
    MAIL_REPEATED = 4,     /* the group's choice was made again, where nobody took it */
    MAIL_FROM_SERVICE = 8, /* message.from_service */
};

/* Followed by subject, reply, queue, the two size texts, and the body; all of that in `block` instead when it
 * is there, or only the body when `body_in_block` says where. */
struct mail_message {
    uint8_t kind;
    uint8_t flags;
    uint8_t total_size_count;
    uint8_t header_size_count;
    uint32_t subject_count;
    uint32_t reply_count;
    uint32_t queue_count;
    uint32_t header_bytes;
    uint32_t total_bytes;
    uint32_t account;    /* its id; likewise below */
    struct block *block; /* the receiver's hold; NULL: everything follows inline */
    const uint8_t *body; /* inside `block`; NULL: the texts lie in the block too, the body behind them */
    struct publisher_place place;
    uint64_t tried_shards; /* by bits: no member of the group took it there, so it is not sent there again */
};

/* Followed by subject, reply, size text and body; of a run (message.run_more), by all from the first body to
 * the last one's CR LF. What a mailbox moves per message is what two shards cost more than one, so this is
 * kept small. */
struct mail_short_message {
    uint8_t kind;
    uint8_t total_size_count : 4; /* ten digits at most */
    uint8_t account_low : 4;      /* the account's id; what is too large for these bits uses the long form */
    uint16_t subject_count;
    uint16_t reply_count;
    uint16_t total_bytes;
    uint64_t line_serial;
    uint64_t publisher_cid; /* with the slot, and the sender as shard, its place; 0: it came by a route */
    uint32_t publisher_slot : 24;
    uint32_t account_high : 8;
    uint16_t run_more;
    uint16_t run_stride;
};
enum { MAIL_SHORT_ACCOUNTS = 1 << 12, MAIL_SHORT_SLOTS = 1 << 24, MAIL_SHORT_SIZE_COUNT = 15 };
_Static_assert(sizeof(struct mail_short_message) == 32, "no padding");

struct mail_interest {
    uint8_t kind;
    uint32_t pattern_count;
    uint32_t queue_count;
    uint32_t count;
    uint32_t account;
    struct block *block; /* pattern and queue; NULL: they follow inline */
};

struct mail_account_count {
    uint8_t kind;
    uint32_t account;
    uint32_t count;
};

struct mail_responder {
    uint8_t kind;
    uint32_t reply_count;
    uint32_t json_count;
    uint32_t account;
    int64_t rtt_ns;
    struct block *block; /* the reply's subject, then the JSON; NULL: they follow inline */
};

struct mail_stall {
    uint8_t kind;
    struct publisher_place place;
    int64_t stall_ns;
};

enum { MAIL_ADDRESS_BYTES = 48 };

struct mail_connection {
    uint8_t kind;
    bool refused;   /* over max_connections: greet, say so, close */
    bool throttled; /* over the limit of TLS handshakes: likewise, if it wants TLS */
    uint16_t port;
    int fd;
    uint64_t cid;
    char address[MAIL_ADDRESS_BYTES];
};

struct mail_closed {
    uint8_t kind;
    uint32_t count;
};

struct mail_password {
    uint8_t kind;
    uint16_t stored_count;
    uint32_t given_count;
    struct publisher_place place; /* whose login it is */
    struct block *block;          /* stored, then given */
};

struct mail_password_checked {
    uint8_t kind;
    bool matches;
    struct publisher_place place;
};

struct snapshot;

struct mail_snapshot {
    uint8_t kind;
    struct snapshot *snapshot;
};

struct mail_close_clients {
    uint8_t kind;
    bool over_limit; /* with the text of max_connections, else silently: the server goes */
    uint32_t count;
};

enum { MAIL_HOST_BYTES = 256 };

struct mail_route {
    uint8_t kind;
    uint8_t of; /* enum route_kind */
    bool solicited;
    uint16_t remote_number; /* whom a gateway dials: in gateway_options.remotes, from 1; 0: none of these */
    uint16_t port;
    int fd;
    uint64_t rid;
    int64_t authentication_timeout_ns; /* 0: none */
    uint32_t greeting_bytes;
    struct block *greeting; /* the lines to begin with */
    char address[MAIL_ADDRESS_BYTES];
    char host[MAIL_HOST_BYTES]; /* whom we dialled, for TLS */
};

struct mail_route_said {
    uint8_t kind;
    uint8_t said;      /* enum route_said */
    uint8_t certified; /* with ROUTE_SAID_CONNECT: route_tls_certified() */
    uint32_t count;
    uint64_t rid;
    struct block *block; /* the JSON */
};

enum { MAIL_ERROR_BYTES = 256 };

struct mail_route_answer {
    uint8_t kind;
    uint8_t reason; /* with `close`: enum closed_reason */
    uint8_t remote; /* with `registers`: the number of the server, or of the cluster that was dialled */
    uint8_t line;   /* net/cluster_pool.h */
    bool pooled;
    char hash[SERVER_HASH_BYTES]; /* of the server's id, with `registers` */
    bool close;
    bool registers;
    bool headers;
    uint8_t compression; /* enum route_compression_mode to switch to now; 0: none */
    bool retells;        /* the peer takes more than it did: it is to hear again what is wanted */
    uint64_t rid;
    char error[MAIL_ERROR_BYTES]; /* with `close`, for -ERR; empty: none */
};

struct mail_route_bytes {
    uint8_t kind;
    bool moves; /* first what it wants of accounts that have a line of their own now is dropped */
    uint32_t count;
    uint64_t rid;
    struct block *block;
};

struct mail_route_closed {
    uint8_t kind;
    uint8_t reason; /* enum closed_reason */
    uint64_t rid;
};

/* In this order, and the shard that owns the route has its answer between the first two: so nobody hears what
 * the server wants before he knows the line, and nobody uses the line before its shard does. That one hears
 * of the end only. */
enum mail_remote_change { REMOTE_LINE_KNOWN, REMOTE_LINE_UP, REMOTE_LINE_GONE };

struct mail_remote {
    uint8_t kind;
    uint8_t remote;               /* its number */
    uint8_t line;                 /* which of its connections */
    uint8_t change;               /* enum mail_remote_change */
    uint32_t shard;               /* that owns the route */
    char hash[SERVER_HASH_BYTES]; /* of the server's id */
};

struct mail_gateway {
    uint8_t kind;
    uint8_t number;
    bool up;
    bool lists;     /* all that it wants */
    uint32_t shard; /* that owns the connection */
    uint64_t rid;
    char hash[SERVER_HASH_BYTES]; /* of its name */
};

struct mail_gateway_rtt {
    uint8_t kind;
    uint8_t number;
    uint64_t rid;
    int64_t rtt_ns;
};

struct mail_remote_interest {
    uint8_t kind;
    uint8_t remote;
    uint8_t line; /* by which it was said */
    uint32_t pattern_count;
    uint32_t queue_count;
    uint32_t weight;
    uint32_t account;
    struct block *block; /* pattern and queue; NULL: they follow inline */
};

/* Followed by subject, reply, queues, the two size texts, and the body or, of a run, all bodies; likewise
 * `block` as in struct mail_message. */
struct mail_remote_message {
    uint8_t kind;
    uint8_t total_size_count;
    uint8_t header_size_count;
    uint16_t run_more;
    uint16_t run_stride;
    uint32_t subject_count;
    uint32_t reply_count;
    uint32_t queues_count;
    uint32_t header_bytes;
    uint32_t total_bytes;
    uint32_t account;
    uint64_t remotes; /* bits: to whom; with queues, to one */
    struct block *block;
    const uint8_t *body;
    struct publisher_place place;
};

struct mail_connect_urls {
    uint8_t kind;
    uint32_t count;      /* bytes: the cluster's name, then URLs, a zero behind each */
    struct block *block; /* one hold for each shard */
};

/* Of an account that is not configured here, but that another server speaks of: account_names.h. */
struct mail_account_name {
    uint8_t kind;
    uint32_t count;
    uint32_t account; /* ACCOUNT_NAME_NONE: there are too many */
    struct block *block;
};

/* To the worker a host name, back the addresses as text with a zero behind each, or none and why. */
struct mail_resolve {
    uint8_t kind;
    uint32_t count;
    uint64_t dial; /* whose it is */
    struct block *block;
};

/* Followed by the pattern. */
struct mail_system_service {
    uint8_t kind;
    uint32_t number; /* the control core knows it by */
    uint32_t pattern_count;
};

/* Followed by subject, reply, headers and payload, or these lie in `block`. */
struct mail_system_request {
    uint8_t kind;
    uint32_t number;
    uint32_t subject_count;
    uint32_t reply_count;
    uint32_t header_bytes;
    uint32_t total_bytes;
    struct publisher_place place; /* who asks; cid 0: somebody on another server */
    struct block *block;
};

/* In `block`: subject, reply, headers and payload, CR LF. */
struct mail_system_publish {
    uint8_t kind;
    bool last; /* an answer is waited for */
    uint32_t account;
    uint32_t subject_count;
    uint32_t reply_count;
    uint32_t header_bytes;
    uint32_t total_bytes;
    struct block *block;
};

enum mail_system_event_kind { SYSTEM_CONNECT, SYSTEM_DISCONNECT, SYSTEM_AUTHENTICATION_ERROR };

/* Followed by a record as of REPORT_CONNECTIONS and the reason, or these lie in `block`. */
struct mail_system_event {
    uint8_t kind;
    uint8_t event;  /* enum mail_system_event_kind */
    bool explained; /* a service's reason follows the record, `why_count` bytes, perhaps none */
    uint16_t why_count;
    uint32_t bytes;
    uint32_t account; /* in which it was, by id; 0 also when it got into none; of a refusal: who is to know */
    struct block *block;
};

struct mail_system_account {
    uint8_t kind;
    uint32_t account;
};

struct mail_system_client {
    uint8_t kind;
    bool kick; /* else it is told that the server takes no more clients */
    struct publisher_place place;
};

/* Followed by subject, reply and body, or these lie in `block`. Inline, CR LF stands behind the body, and
 * then come `run_more` bodies of the same size with theirs. */
struct mail_publish {
    uint8_t kind;
    uint16_t run_more;
    uint32_t subject_count;
    uint32_t reply_count;
    uint32_t total_bytes;
    uint32_t account;
    struct block *block;
};

struct mail_peer_ask {
    uint8_t kind;
    bool of_route; /* another server that has dialled, by `rid`; of the place the shard only */
    uint64_t rid;
    struct publisher_place place; /* else the client whose login waits for it */
    struct block *block;          /* peer_chain_pack() */
};

struct mail_peer_checked {
    uint8_t kind;
    bool good;
    bool of_route;
    uint64_t rid;
    struct publisher_place place;
};

struct mail_staple_passed {
    uint8_t kind;
    uint32_t count; /* how many of the control core's were taken since the last of these */
};

struct mail_plain {
    uint8_t kind;
};

/* Lets go of what a mail holds that nobody will take: its block, its socket. Thread: any, when no other
 * works. */
void mail_release(const uint8_t *mail, struct block_pool *pool);

#endif
