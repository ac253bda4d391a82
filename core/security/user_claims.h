/* core/security/user_claims.h - a user as a token describes him, instead of the configuration: what he may
 * do, from where, when, for how long (spec/security.md 7.4, 10.4).
 * In the flow:  callout_answer() -> user_claims_open() -> user_claims_check() -> user_claims_allow() ->
 * claimed_user_new() -> the client, which owns it
 * What of these claims counts is what the newest nats-server lets count: permissions, `src`, `times`,
 * `allowed_connection_types`, `exp`, `nbf`, `subs`, `payload`, `name`, `proxy_required`; not `data`,
 * `bearer_token` and `tags`. Operator mode, which is not built, is to come in by the same door. Thread: any;
 * one object, one thread. */
#ifndef CORE_SECURITY_USER_CLAIMS_H
#define CORE_SECURITY_USER_CLAIMS_H

#include "core/security/jwt.h"
#include "core/security/permissions.h"
#include "core/security/user.h"

/* allow_responses as the token has it. */
struct user_claims_responses {
    int64_t count_max;
    int64_t expires_ns;
};

/* The object behind "nats". Lists are texts with a zero behind each. */
struct user_claims_body {
    struct bytes publish_allow, publish_deny;
    struct bytes subscribe_allow, subscribe_deny;
    struct bytes responses; /* as it is written; empty: none */
    struct bytes sources;   /* networks in CIDR form */
    struct bytes times;     /* what is between the brackets; empty: any */
    struct bytes zone;      /* in which these times are meant; empty: the server's */
    struct bytes connection_types;
    struct bytes issuer_account;
    int64_t subscriptions; /* -1: no limit */
    int64_t payload_bytes; /* likewise */
    bool proxy_required;
};

struct user_claims {
    struct jwt jwt;
    struct user_claims_body body;
    struct json_document document; /* of the body */
};

/* Reads a user's token. False: `why` says, and it is closed. */
MUST_USE bool user_claims_open(struct user_claims *claims, struct bytes token, char why[JWT_WHY_BYTES]);
void user_claims_close(struct user_claims *claims);

/* Whether what it says is possible, and it counts now. */
MUST_USE bool user_claims_check(const struct user_claims *claims, int64_t now_s, char why[JWT_WHY_BYTES]);

enum user_claims_refusal {
    USER_CLAIMS_ALLOWED,
    USER_CLAIMS_BAD_SOURCE,
    USER_CLAIMS_BAD_TIME,
    USER_CLAIMS_NO_TYPE, /* it names ways to connect, and none that there is */
    USER_CLAIMS_BAD_TYPE,
};

/* Whether he may come from that address in this way at that time, and until when: *until_s, Unix seconds; 0:
 * for ever. */
enum user_claims_refusal user_claims_allow(const struct user_claims *claims, struct bytes address,
                                           enum connection_type type, int64_t now_s, int64_t *until_s);

/* A user of a token, with permissions of the token's alone. Owner: whoever made it; it may outlive the
 * snapshot: `user.account` has to follow. */
struct claimed_user {
    struct security_user user; /* named as the token says, else as the client named itself */
    struct arena arena;
    int64_t subscriptions; /* -1: no limit; likewise below */
    int64_t payload_bytes;
    int64_t until_s;  /* Unix seconds; 0: for ever */
    int64_t until_ns; /* the same by its connection's clock; INT64_MAX: for ever */
};

/* Makes the user of checked claims; `until_s` from user_claims_allow(). NULL: memory is out. */
MUST_USE struct claimed_user *claimed_user_new(const struct user_claims *claims, int64_t until_s);

/* Wipes and frees; NULL is allowed. Who asked a permission cache about it makes the cache forget. */
void claimed_user_free(struct claimed_user *user);

#endif
