/* net/route_info.h - what two servers of a cluster say about themselves: INFO and CONNECT on a route
 * (spec/routes.md 4, 5). In the flow:  own identity -> route_info_write() -> route || peer -> ROUTE_OP_INFO
 * -> route_info_read() -> the control core, which passes it on by route_info_write(), without what is the
 * connection's own (8.1). At the bound: a line that does not fit its buffer is not written at all. Thread:
 * any. */
#ifndef NET_ROUTE_INFO_H
#define NET_ROUTE_INFO_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/codec/json.h"

enum { ROUTE_INFO_BYTES_MAX = 32 * 1024 };

/* What may be imported or exported, as a server tells it. */
struct route_info_lists {
    struct bytes allow; /* a zero byte behind each; likewise below */
    struct bytes deny;
};

/* Texts are the writer's, or lie in the document that was read; empty or 0: left out, or absent. */
struct route_info {
    struct bytes server_id;
    struct bytes server_name;
    struct bytes version;
    struct bytes runtime; /* the field "go" */
    struct bytes host;
    struct bytes ip; /* nats-route://host:port/ */
    struct bytes nonce;
    struct bytes cluster;
    struct bytes domain;
    struct bytes connect_urls; /* a zero byte behind each; likewise below */
    struct bytes ws_connect_urls;
    struct bytes compression;
    struct bytes gateway;
    struct bytes gateway_urls;
    struct bytes gateway_url;
    struct bytes gateway_payload; /* gateway_cmd_payload, in base64 */
    struct bytes leafnode_urls;
    struct bytes route_account;
    struct bytes route_account_request; /* route_acc_add_reqid */
    struct route_info_lists imports;    /* of its cluster's permissions */
    struct route_info_lists exports;
    int64_t protocol;
    int64_t port;
    int64_t max_payload_bytes;
    int64_t pool_size;
    int64_t pool_index;
    int64_t gossip_mode;
    int64_t gateway_command; /* enum gateway_command */
    bool headers;
    bool auth_required;
    bool tls_required;
    bool tls_verify;
    bool jetstream;
    bool cluster_dynamic;
    bool lame_duck;
    bool leaf_origin;          /* lnoc: LS+ and LMSG are understood */
    bool leaf_origin_unsub;    /* lnocu: LS- has the origin */
    bool leaf_origin_sentinel; /* ln */
    bool gateway_replies;      /* gateway_nrp: replies are mapped as _GR_ */
    bool gateway_lists;        /* gateway_iom: all interest is listed, nothing is to be guessed */
};

enum gateway_command {
    GATEWAY_COMMAND_NONE,
    GATEWAY_COMMAND_GOSSIP,
    GATEWAY_COMMAND_LIST_BEGINS,
    GATEWAY_COMMAND_LIST_ENDS,
};

struct route_connect {
    struct bytes name; /* the server's id */
    struct bytes user;
    struct bytes password;
    struct bytes cluster;
    struct bytes language; /* a client has one */
    struct bytes gateway;
    bool cluster_dynamic;
    bool headers;
    bool tls_required;
    bool leaf_origin;
};

/* Read into a struct of zeros. As json_read(). */
MUST_USE enum err route_info_read(struct json_document *document, struct bytes json, struct route_info *info);
MUST_USE enum err route_connect_read(struct json_document *document, struct bytes json,
                                     struct route_connect *connect);

/* Write `INFO {...} \r\n` and `CONNECT {...}\r\n`. The bytes, or 0 when `capacity` is too small. */
size_t route_info_write(char *buffer, size_t capacity, const struct route_info *info);
size_t route_connect_write(char *buffer, size_t capacity, const struct route_connect *connect);

/* The same on a gateway: `INFO {...}\r\n`, without the blank; CONNECT with its keys (spec/gateways.md 4). */
size_t gateway_info_write(char *buffer, size_t capacity, const struct route_info *info);
size_t gateway_connect_write(char *buffer, size_t capacity, const struct route_connect *connect);

/* Takes the next text from a list with a zero byte behind each; false at its end. */
bool route_texts_next(struct bytes *texts, struct bytes *one);

#endif
