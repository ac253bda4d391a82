/* net/outer_login.h - how a client greets a NATS server: what INFO tells it, and its CONNECT
 * (spec/client-protocol.md 3, 4; spec/security.md 2, 3). In the flow:  OUTER_OP_INFO -> outer_info_read() ->
 * outer_connect_write() -> output At the bounds: what does not fit is an error with its reason. Secrets are
 * wiped from what is this module's own; who has the line wipes it. Files of credentials are read at each
 * login, as clients do, so they may be changed. Thread: the control core's, at start and after a lost
 * connection. */
#ifndef NET_OUTER_LOGIN_H
#define NET_OUTER_LOGIN_H

#include "core/base/err.h"
#include "core/codec/json.h"

/* Texts live as long as the document. */
struct outer_info {
    struct bytes server_id, nonce;
    struct bytes connect_urls; /* host:port, a zero behind each */
    int64_t max_payload_bytes;
    bool headers, auth_required, tls_required, lame_duck;
};

/* ERR_INVALID, ERR_MEMORY. Owner: the caller closes the document. */
MUST_USE enum err outer_info_read(struct json_document *document, struct bytes json, struct outer_info *info);

/* Who we are; NULL and empty: not that way. Several may be given: what the server asks for decides. */
struct outer_identity {
    const char *name;
    struct bytes user, password, token;
    const char *credentials_file; /* a user's JWT and its seed */
    const char *seed_file;        /* an NKey's seed alone */
    bool secure;
};

enum { OUTER_CONNECT_BYTES_MAX = 32 * 1024 };

/* Writes `CONNECT {...}\r\n`; its bytes, or 0: `why` is the reason. */
MUST_USE size_t outer_connect_write(char *to, size_t capacity, const struct outer_identity *identity,
                                    struct bytes nonce, char *why, size_t why_bytes);

#endif
