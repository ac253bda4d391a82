/* core/security/authenticate.h - the lock on the door: may these credentials come in, and as which user
 * (spec/security.md 1.3 to 1.5). Pure: options and credentials in, a verdict out.
 * In the flow:  connect_parse() -> authenticate() -> ALLOWED or DENIED at once, or NEEDS_BCRYPT:
 *               the host has password_check_bcrypt(stored, given) run on the worker; what that says, holds.
 * Order: NKey, users (by certificate where the listener maps them), token, single user; no_auth_user only for
 * those who send no credentials at all; with nothing configured everybody is in. Before all of it: a
 * proxy's signature must be a trusted one's. Auth callout may overrule all of it (callout.h). Operator mode
 * (JWTs) is not built: its place is marked in authenticate(), its options refused. Thread: any. Cost: a
 * look-up; with an NKey the check of a signature, about a tenth of a millisecond, and with a proxy one for
 * each key that is tried. */
#ifndef CORE_SECURITY_AUTHENTICATE_H
#define CORE_SECURITY_AUTHENTICATE_H

#include "core/base/language.h"
#include "core/security/certificate_names.h"
#include "core/security/options.h"
#include "core/security/password.h"

/* What a client sent, and how it came; empty: not sent. */
struct credentials {
    struct bytes user;
    struct bytes pass;
    struct bytes token;
    struct bytes nkey;
    struct bytes signature;            /* of the nonce, as text */
    struct bytes nonce;                /* as this connection's INFO had it */
    struct bytes proxy_signature;      /* of the nonce, by a proxy */
    const struct trusted_proxy *proxy; /* who signed in an earlier CONNECT of the connection; NULL: nobody */
    enum connection_type connection_type;
    const struct certificate_names *certificate; /* the listener says verify_and_map: it names the user.
                                                    NULL: the listener does not */
};

enum authenticate_verdict { AUTHENTICATE_ALLOWED, AUTHENTICATE_DENIED, AUTHENTICATE_NEEDS_BCRYPT };

/* Why it is refused, as far as monitoring tells it apart. */
enum authenticate_refusal {
    AUTHENTICATE_REFUSED,
    AUTHENTICATE_PROXY_NOT_TRUSTED, /* there are trusted proxies, and none of them signed */
    AUTHENTICATE_PROXY_REQUIRED,    /* it came through none, and had to */
};

/* As whom the client came: by what it sent when refused, by what opened the door when let in. One who was
 * taken as no_auth_user is NOBODY, with that user's name. */
enum authenticate_who { AUTHENTICATE_NOBODY, AUTHENTICATE_USER, AUTHENTICATE_NKEY, AUTHENTICATE_TOKEN };

struct authentication {
    enum authenticate_who who;
    struct bytes name; /* of the user or NKey: the options' or the credentials'; of no_auth_user with NOBODY;
                          else empty */
    const struct security_user
        *user; /* whose permissions and account it has, if allowed; NULL: no list has it */
    const struct trusted_proxy *proxy; /* through whom it came, of the options; NULL: none that is trusted */
    enum authenticate_refusal refusal; /* if it is refused, at once or after a bcrypt check */
    const char *why;     /* for the debug log: why not, or by what of the certificate; NULL: nothing to say */
    struct bytes stored; /* NEEDS_BCRYPT: the hash; the options', or `decoy`: so do not copy this struct */
    struct bytes given;  /* NEEDS_BCRYPT: the password; the credentials' */
    char decoy[PASSWORD_HASH_BYTES];
};

/* Decides. An unknown user costs what a known one does, a bcrypt check included when the list holds hashes:
 * it is then checked against a decoy that no password fits. */
MUST_USE enum authenticate_verdict authenticate(const struct security_options *options,
                                                const struct credentials *credentials,
                                                struct authentication *authentication);

/* Whether any authentication is configured: the timer runs then. */
bool authenticate_required(const struct security_options *options);

/* Whether INFO says auth_required: left out when clients without credentials are taken as no_auth_user. */
bool authenticate_info_required(const struct security_options *options);

/* Whether a client may do something before CONNECT: it is then taken as no_auth_user, who must be one by
 * name, not by NKey, and need no proxy; or into $G beside a system account that alone has users. */
bool authenticate_unannounced(const struct security_options *options);

/* Whether INFO has to carry a nonce. */
bool authenticate_challenges(const struct security_options *options);

#endif
