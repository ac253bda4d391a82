/* core/security/authenticate.h - the lock on the door: may these credentials come in (spec/security.md 1.3 to
 * 1.5, spec/client-protocol.md 5.3). Pure: options and credentials in, a verdict out.
 * In the flow:  connect_parse() -> authenticate() -> ALLOWED or DENIED at once, or NEEDS_BCRYPT:
 *               the host has password_check_bcrypt(stored, given) run on the worker; what that says, holds.
 * Order: users list, token, single user; no_auth_user only for those who send no credentials at all; with
 * nothing configured everybody is in. Thread: any. Cost: linear in the users. */
#ifndef CORE_SECURITY_AUTHENTICATE_H
#define CORE_SECURITY_AUTHENTICATE_H

#include "core/base/language.h"
#include "core/security/options.h"
#include "core/security/password.h"

/* What a client sent; empty: not sent. */
struct credentials {
    struct bytes user;
    struct bytes pass;
    struct bytes token;
    struct bytes nkey; /* for the log: no NKeys can be configured so far */
};

enum authenticate_verdict { AUTHENTICATE_ALLOWED, AUTHENTICATE_DENIED, AUTHENTICATE_NEEDS_BCRYPT };

/* As whom the client came: by what it sent when refused, by what opened the door when let in. One who was
 * taken as no_auth_user is NOBODY, with that user's name. */
enum authenticate_who { AUTHENTICATE_NOBODY, AUTHENTICATE_USER, AUTHENTICATE_NKEY, AUTHENTICATE_TOKEN };

struct authentication {
    enum authenticate_who who;
    struct bytes name; /* of the user or NKey: the options' or the credentials'; of no_auth_user with NOBODY;
                          else empty */
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

#endif
