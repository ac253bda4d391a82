/* net/connect.h - what a client said in CONNECT (spec/client-protocol.md 2.3, 4).
 * In the flow:  OPERATION_CONNECT -> connect_parse() -> authenticate() -> connect_forget_secrets()
 * A connection keeps this for life, so all its strings share one allocation, which a client that sends none
 * does not have. At the bound: the strings are no longer than the line they came in (max_control_line),
 * merged over at most one line before per field. Thread: the session's. */
#ifndef NET_CONNECT_H
#define NET_CONNECT_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/codec/json.h"
#include "core/security/authenticate.h"

/* The string fields. Those from the first secret on are wiped by connect_forget_secrets(). */
enum connect_text {
    CONNECT_NAME,
    CONNECT_LANG,
    CONNECT_VERSION,
    CONNECT_USER,
    CONNECT_NKEY,
    CONNECT_ACCOUNT,
    CONNECT_PASS,
    CONNECT_AUTH_TOKEN,
    CONNECT_SIG,
    CONNECT_PROXY_SIG,
    CONNECT_JWT,
};
enum { CONNECT_TEXTS = CONNECT_JWT + 1, CONNECT_TEXTS_PUBLIC = CONNECT_PASS };

struct connect_options {
    uint8_t *texts; /* the strings one behind the other; NULL when all are empty */
    uint32_t text_bytes[CONNECT_TEXTS];
    int64_t protocol; /* as sent: only 0 and 1 are good, which the session checks after the login */
    bool verbose;
    bool pedantic;
    bool echo;
    bool headers;
    bool no_responders;
    bool tls_required;
    bool new_account;
    /* The login is to be decided: from connect_init() to connect_forget_secrets(), and again when a later
     * CONNECT sends a secret or another name. Otherwise what was decided stands, since the secrets that would
     * prove it once more are gone. Stays true when the same CONNECT is parsed twice. */
    bool credentials_changed;
};

/* The defaults that hold before any CONNECT; nothing is allocated. */
void connect_init(struct connect_options *options);

/* Merges one CONNECT over what is there. ERR_INVALID (syntax, a wrong type: the connection is to be closed
 * without a word) or ERR_MEMORY leave the options as they were. Cost: allocates. */
MUST_USE enum err connect_parse(struct connect_options *options, struct bytes json);

/* The login is decided: wipes and drops password, token, signatures and JWT. */
void connect_forget_secrets(struct connect_options *options);

/* Wipes all; legal when closed. */
void connect_close(struct connect_options *options);

/* One of the strings, empty when it was not sent. Valid until the next call that changes the options. */
struct bytes connect_text(const struct connect_options *options, enum connect_text which);

static inline struct bytes connect_user(const struct connect_options *options)
{
    return connect_text(options, CONNECT_USER);
}

/* What authenticate() wants to know of CONNECT; valid as long as connect_text(). */
struct credentials connect_credentials(const struct connect_options *options);

/* Whether `account` or `new_account` was used: refused as a failed login (client-protocol 4). */
bool connect_names_account(const struct connect_options *options);

/* The client library in log lines, "v<version>:<lang>:<name>" with the parts that are empty left out, as the
 * prefix of spec/configuration.md 7 has it; the empty string when there is nothing to say. Cut to
 * `capacity` - 1 bytes; bytes that would break a log line are shown as '?'. */
void connect_describe(const struct connect_options *options, char *out, size_t capacity);

/* A copy of CONNECT's arguments for traces, with the values of secrets as [REDACTED] (configuration 7.6: keys
 * that start with pass or auth_token, sig, proxy_sig, nkey; and jwt, since a bearer token is one). Takes any
 * bytes, JSON or not. Returns the bytes written, no terminator; cut at `capacity`. Thread: any. */
size_t connect_redacted(char *out, size_t capacity, struct bytes json);

#endif
