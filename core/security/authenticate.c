/* core/security/authenticate.c - see authenticate.h. */
#include "core/security/authenticate.h"

bool authenticate_required(const struct security_options *options)
{
    return options->users.count > 0 || options->user.count > 0 || options->token.count > 0;
}

bool authenticate_info_required(const struct security_options *options)
{
    return authenticate_required(options) && options->no_auth_user.count == 0;
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

/* Taken as no_auth_user: its password stands for the one that was not sent. A bcrypt hash is not its own
 * password, so such a user cannot come in this way; nats-server has it the same. */
static enum authenticate_verdict unannounced_check(const struct security_options *options,
                                                   struct authentication *authentication)
{
    const struct security_user *user = security_user_find(&options->users, options->no_auth_user);
    if (user == NULL || password_is_bcrypt(user->password))
        return AUTHENTICATE_DENIED;
    authentication->name = user->name; /* and still nobody: the client named no one */
    return AUTHENTICATE_ALLOWED;
}

enum authenticate_verdict authenticate(const struct security_options *options,
                                       const struct credentials *credentials,
                                       struct authentication *authentication)
{
    who_set(authentication, credentials);
    if (!authenticate_required(options))
        return AUTHENTICATE_ALLOWED;
    bool empty =
        credentials->user.count == 0 && credentials->pass.count == 0 && credentials->token.count == 0;
    if (options->users.count > 0) {
        if (empty && options->no_auth_user.count > 0)
            return unannounced_check(options, authentication);
        if (credentials->user.count > 0) {
            const struct security_user *user = security_user_find(&options->users, credentials->user);
            if (user == NULL)
                return unknown_check(options, credentials, authentication);
            return secret_check(user->password, credentials->pass, authentication);
        }
    }
    if (options->token.count > 0) {
        enum authenticate_verdict verdict = secret_check(options->token, credentials->token, authentication);
        if (verdict != AUTHENTICATE_DENIED) { /* by the token, whatever user was named beside it */
            authentication->who = AUTHENTICATE_TOKEN;
            authentication->name = (struct bytes){0};
        }
        return verdict;
    }
    if (options->user.count == 0)
        return AUTHENTICATE_DENIED;
    enum authenticate_verdict verdict = secret_check(options->password, credentials->pass, authentication);
    if (bytes_equal(options->user, credentials->user))
        return verdict;
    if (verdict == AUTHENTICATE_NEEDS_BCRYPT) {
        decoy_make(authentication, options->password);
        return verdict;
    }
    return AUTHENTICATE_DENIED;
}
