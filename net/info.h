/* net/info.h - the INFO line (spec/client-protocol.md 2.2, 3.1): what the server says about itself, and what
 * it says to one client. In the flow:  client_init(), first PONG, cluster change -> info_write() -> output.
 * At the bound: a line that does not fit its buffer is not written at all. Thread: any; all is const. */
#ifndef NET_INFO_H
#define NET_INFO_H

#include "core/base/bytes.h"

/* Enough for a few dozen connect_urls and names of ordinary length; nats.go reads INFO into 32 KiB. */
enum { INFO_BYTES_MAX = 16 * 1024 };

/* The same for all clients of a listener; part of the snapshot, which owns all texts. */
struct info_server {
    struct bytes server_id;
    struct bytes server_name;
    struct bytes version;        /* the NATS level, by which clients choose what they may use */
    struct bytes myelin_version; /* our own, in the field "myelin"; empty: left out */
    struct bytes git_commit;     /* empty: left out */
    struct bytes runtime;        /* the field "go": informative, always there, may be empty */
    struct bytes host;
    struct bytes cluster; /* empty: left out; likewise below */
    struct bytes domain;
    struct bytes xkey;
    const struct bytes *connect_urls;
    size_t connect_url_count;
    int64_t max_payload_bytes; /* -1: no limit */
    int32_t port;
    int32_t api_level; /* 0: left out */
    bool headers;
    bool auth_required; /* authenticate_info_required() */
    bool tls_required;
    bool tls_verify;
    bool tls_available;
    bool jetstream;
};

/* What differs from client to client. Texts are the caller's; NULL or empty: left out. */
struct info_client {
    uint64_t client_id;
    const char *client_ip;
    struct bytes nonce;         /* in the first INFO only */
    int64_t max_payload_bytes;  /* this connection's limit; 0: the server's */
    const char *remote_account; /* with connect_info */
    bool lame_duck;
    bool connect_info; /* this INFO answers the first PING after CONNECT */
    bool account_is_system;
};

/* Writes `INFO {...} \r\n`. Returns its bytes, or 0 when `capacity` is too small. */
size_t info_write(char *buffer, size_t capacity, const struct info_server *server,
                  const struct info_client *client);

#endif
