/* core/security/authenticate.c - see authenticate.h. */
#include "core/security/authenticate.h"

#include "core/security/callout.h"
#include "core/security/certificate_user.h"
#include "core/security/nkey.h"

bool authenticate_required(const struct security_options *options)
{
    return options->users.count > 0 || options->user.count > 0 || options->token.count > 0 ||
           options->callout.given;
}

bool authenticate_info_required(const struct security_options *options)
{
    return authenticate_required(options) && options->no_auth_user.count == 0;
}

bool authenticate_unannounced(const struct security_options *options)
{
    const struct security_user *user =
        options->no_auth_user.count == 0 ? NULL : security_user_find(&options->users, options->no_auth_user);
    const struct credentials none = {.connection_type = CONNECTION_TYPE_STANDARD};
    if (user == NULL)
        return options->global_open;
    /* A service can only be asked about who says CONNECT. */
    return options->global_open ||
           (!user->proxy_required &&
            callout_decides(options, &none, user, AUTHENTICATE_ALLOWED, NULL) == CALLOUT_NO_PART);
}

bool authenticate_challenges(const struct security_options *options)
{
    return options->users.nkey_count > 0 || options->proxies.count > 0;
}

static void who_set(struct authentication *authentication, const struct credentials *credentials)
{
    *authentication = (struct authentication){0};
    if (credentials->nkey.count > 0) {
        authentication->who = AUTHENTICATE_NKEY;
        authentication->name = credentials->nkey;
    } else if (credentials->user.count > 0) {
        authentication->who = AUTHENTICATE_USER;
        authentication->name = credentials->user;
    } else if (credentials->token.count > 0) {
        authentication->who = AUTHENTICATE_TOKEN;
    }
}

static enum authenticate_verdict secret_check(struct bytes stored, struct bytes given,
                                              struct authentication *authentication)
{
    if (password_is_bcrypt(stored)) {
        authentication->stored = stored;
        authentication->given = given;
        return AUTHENTICATE_NEEDS_BCRYPT;
    }
    return password_compare_plain(stored, given) ? AUTHENTICATE_ALLOWED : AUTHENTICATE_DENIED;
}

/* A hash of the cost that `model` has, with a digest that no password gives (short of 2^-184). */
static void decoy_make(struct authentication *authentication, struct bytes model)
{
    static const char filler[] = "$2a$11$"                          /* a salt of zeros, */
                                 "......................"           /* 22 letters, */
                                 "..............................."; /* and a digest of zeros, 31 */
    _Static_assert(sizeof filler - 1 == PASSWORD_HASH_BYTES, "a decoy has the form of a hash");
    memcpy(authentication->decoy, filler, PASSWORD_HASH_BYTES);
    memcpy(authentication->decoy + 4, model.data + 4, 2);
    authentication->stored = bytes_of(authentication->decoy, PASSWORD_HASH_BYTES);
}

/* Does for an unknown user what would be done for a known one; the answer is no in any case. */
static enum authenticate_verdict unknown_check(const struct security_options *options,
                                               const struct credentials *credentials,
                                               struct authentication *authentication)
{
    if (options->users.hashed != NULL) {
        decoy_make(authentication, options->users.hashed->password);
        authentication->given = credentials->pass;
        return AUTHENTICATE_NEEDS_BCRYPT;
    }
    (void)password_compare_plain(TEXT("no user's"), credentials->pass);
    return AUTHENTICATE_DENIED;
}

static bool sends_nothing(const struct credentials *credentials)
{
    return credentials->user.count == 0 && credentials->pass.count == 0 && credentials->token.count == 0;
}

/* ---- proxies ---- */

/* Finds out through which trusted proxy it came. False: it says that it came through one, and none of those
 * that are trusted signed. Where none is, a signature is not looked at. */
static bool proxy_check(const struct security_options *options, const struct credentials *credentials,
                        struct authentication *authentication)
{
    authentication->proxy = credentials->proxy;
    if (credentials->proxy_signature.count == 0 || options->proxies.count == 0)
        return true;
    authentication->proxy = trusted_proxies_find(&options->proxies, credentials->nonce,
                                                 credentials->proxy_signature, &authentication->why);
    if (authentication->proxy == NULL)
        authentication->refusal = AUTHENTICATE_PROXY_NOT_TRUSTED;
    return authentication->proxy != NULL;
}

/* Whether it would have had to come through a proxy. */
static bool proxy_missing(bool required, struct authentication *authentication)
{
    if (!required || authentication->proxy != NULL)
        return false;
    authentication->refusal = AUTHENTICATE_PROXY_REQUIRED;
    return true;
}

/* ---- the ways in ---- */

/* Taken as no_auth_user: its password stands for the one that was not sent. A bcrypt hash is not its own
 * password, so such a user cannot come in this way; nats-server has it the same. */
static enum authenticate_verdict unannounced_check(const struct security_user *user,
                                                   const struct credentials *credentials,
                                                   struct authentication *authentication)
{
    if (user == NULL || !security_user_may_connect(user, credentials->connection_type) ||
        proxy_missing(user->proxy_required, authentication) || password_is_bcrypt(user->password))
        return AUTHENTICATE_DENIED;
    authentication->name = user->nkey.count > 0 ? user->nkey : user->name;
    authentication->user = user; /* and still nobody: the client named no one */
    return AUTHENTICATE_ALLOWED;
}

/* Who names an NKey comes in by it or not at all. no_auth_user's own needs no signature: whoever says nothing
 * is let in as that user too. */
static enum authenticate_verdict nkey_check(const struct security_options *options,
                                            const struct credentials *credentials,
                                            struct authentication *authentication)
{
    const struct security_user *user = security_user_find_nkey(&options->users, credentials->nkey);
    if (user == NULL || !security_user_may_connect(user, credentials->connection_type) ||
        proxy_missing(user->proxy_required, authentication))
        return AUTHENTICATE_DENIED;
    if (!bytes_equal(user->nkey, options->no_auth_user)) {
        authentication->why = nkey_answer_check(user->nkey, credentials->nonce, credentials->signature);
        if (authentication->why != NULL)
            return AUTHENTICATE_DENIED;
    }
    authentication->name = user->nkey;
    authentication->user = user;
    return AUTHENTICATE_ALLOWED;
}

/* The certificate says who it is, whoever CONNECT names; the password is still asked for. */
static enum authenticate_verdict certificate_check(const struct security_options *options,
                                                   const struct credentials *credentials,
                                                   struct authentication *authentication)
{
    const struct security_user *user = certificate_user_find(
        &options->users, credentials->certificate, credentials->connection_type, &authentication->why);
    if (user == NULL) {
        authentication->why = "User in cert, not found";
        return AUTHENTICATE_DENIED;
    }
    authentication->who = AUTHENTICATE_USER;
    authentication->name = user->name;
    authentication->user = user;
    if (proxy_missing(user->proxy_required, authentication))
        return AUTHENTICATE_DENIED;
    return secret_check(user->password, credentials->pass, authentication);
}

static enum authenticate_verdict user_check(const struct security_options *options,
                                            const struct credentials *credentials,
                                            struct authentication *authentication)
{
    const struct security_user *user = security_user_find(&options->users, credentials->user);
    if (user == NULL || !security_user_may_connect(user, credentials->connection_type))
        return unknown_check(options, credentials, authentication);
    if (proxy_missing(user->proxy_required, authentication)) /* whose name is to be told by nothing either */
        return unknown_check(options, credentials, authentication);
    authentication->user = user;
    return secret_check(user->password, credentials->pass, authentication);
}

static enum authenticate_verdict token_check(const struct security_options *options,
                                             const struct credentials *credentials,
                                             struct authentication *authentication)
{
    enum authenticate_verdict verdict = secret_check(options->token, credentials->token, authentication);
    if (verdict != AUTHENTICATE_DENIED) { /* by the token, whatever user was named beside it */
        authentication->who = AUTHENTICATE_TOKEN;
        authentication->name = (struct bytes){0};
    }
    return verdict;
}

static enum authenticate_verdict single_user_check(const struct security_options *options,
                                                   const struct credentials *credentials,
                                                   struct authentication *authentication)
{
    enum authenticate_verdict verdict = secret_check(options->password, credentials->pass, authentication);
    if (bytes_equal(options->user, credentials->user))
        return verdict;
    if (verdict == AUTHENTICATE_NEEDS_BCRYPT) {
        decoy_make(authentication, options->password);
        return verdict;
    }
    return AUTHENTICATE_DENIED;
}

enum authenticate_verdict authenticate(const struct security_options *options,
                                       const struct credentials *credentials,
                                       struct authentication *authentication)
{
    const struct security_users *users = &options->users;
    who_set(authentication, credentials);
    if (!proxy_check(options, credentials, authentication))
        return AUTHENTICATE_DENIED;
    if (!authenticate_required(options))
        return AUTHENTICATE_ALLOWED;
    /* Operator mode comes here: a JWT decides, and nothing below is asked. */
    bool nothing = sends_nothing(credentials);
    if (nothing && credentials->nkey.count == 0 && options->global_open)
        return AUTHENTICATE_ALLOWED;
    if (users->nkey_count > 0) {
        const struct security_user *other = security_user_find_nkey(users, options->no_auth_user);
        if (nothing && credentials->nkey.count == 0 && other != NULL)
            return unannounced_check(other, credentials, authentication);
        if (credentials->nkey.count > 0)
            return nkey_check(options, credentials, authentication);
    }
    if (users->count > users->nkey_count) {
        if (credentials->certificate != NULL)
            return certificate_check(options, credentials, authentication);
        if (nothing && options->no_auth_user.count > 0)
            return unannounced_check(security_user_find(users, options->no_auth_user), credentials,
                                     authentication);
        if (credentials->user.count > 0)
            return user_check(options, credentials, authentication);
    }
    if (proxy_missing(options->proxy_required, authentication))
        return AUTHENTICATE_DENIED;
    if (options->token.count > 0)
        return token_check(options, credentials, authentication);
    if (options->user.count > 0)
        return single_user_check(options, credentials, authentication);
    /* Auth callout comes behind all of this, and may turn a verdict in both directions: callout_decides(). */
    return AUTHENTICATE_DENIED;
}
