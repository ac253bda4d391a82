/* core/security/callout.c - see callout.h: who is asked about, and the answers. */
#include "core/security/callout.h"

#include "core/base/memory.h"
#include "core/security/xkey.h"

#include <ctype.h>
#include <stdio.h>

/* ---- who is asked about ---- */

static bool named(const struct bytes *names, uint32_t count, struct bytes name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (bytes_equal(names[i], name))
            return true;
    }
    return false;
}

/* Whether it is one of the service's own, proven or not. */
static bool exempt(const struct security_options *options, const struct credentials *credentials,
                   const struct security_user *user)
{
    struct bytes name = {NULL, 0};
    if (user != NULL)
        name = user->nkey.count > 0 ? user->nkey : user->name;
    else if (security_user_find_nkey(&options->users, credentials->nkey) != NULL)
        name = credentials->nkey; /* whose signature was wrong */
    else if (security_user_find(&options->users, credentials->user) != NULL ||
             (options->user.count > 0 && bytes_equal(options->user, credentials->user)))
        name = credentials->user; /* who came by another way than he must */
    return name.count > 0 && named(options->callout.users, options->callout.user_count, name);
}

/* $G always is: who is in no list would be there. */
static bool in_scope(const struct security_options *options, const struct security_account *account)
{
    const struct callout_options *callout = &options->callout;
    return account == NULL || account == options->accounts.all[0] || callout->allowed_count == 0 ||
           named(callout->allowed, callout->allowed_count, account->name);
}

enum callout_part callout_decides(const struct security_options *options,
                                  const struct credentials *credentials, const struct security_user *user,
                                  enum authenticate_verdict verdict, const struct security_account *present)
{
    if (!options->callout.given || exempt(options, credentials, user))
        return CALLOUT_NO_PART;
    bool let_in = in_scope(options, security_account_of(&options->accounts, user));
    bool refused = in_scope(options, present);
    if (verdict == AUTHENTICATE_NEEDS_BCRYPT && let_in != refused)
        return CALLOUT_AFTER_PASSWORD;
    return (verdict == AUTHENTICATE_DENIED ? refused : let_in) ? CALLOUT_ASKED : CALLOUT_NO_PART;
}

/* ---- the answer ---- */

/* What is in a response. */
struct response {
    struct bytes jwt, error, issuer_account;
};
static const struct json_field response_fields[] = {
    {"jwt", JSON_KIND_TEXT, offsetof(struct response, jwt), NULL},
    {"error", JSON_KIND_TEXT, offsetof(struct response, error), NULL},
    {"issuer_account", JSON_KIND_TEXT, offsetof(struct response, issuer_account), NULL},
};
static const struct json_shape response_body = {response_fields, COUNT_OF(response_fields)};
static const struct json_field claims_fields[] = {{"nats", JSON_KIND_OBJECT, 0, &response_body}};
static const struct json_shape response_shape = {claims_fields, COUNT_OF(claims_fields)};

static bool key_is(struct bytes words, enum nkey_type wanted)
{
    enum nkey_type type;
    uint8_t raw[NKEY_RAW_BYTES];
    return nkey_decode(words, &type, raw) == ERR_OK && type == wanted;
}

static bool fail(char why[JWT_WHY_BYTES], const char *sentence)
{
    snprintf(why, JWT_WHY_BYTES, "%s", sentence);
    return false;
}

/* What of a response contradicts itself; NULL: nothing. */
static const char *response_issue(const struct jwt *jwt, const struct response *response, int64_t now_s)
{
    if (!key_is(jwt->claims.subject, NKEY_USER))
        return "Subject must be a user public key";
    if (!key_is(jwt->claims.audience, NKEY_SERVER))
        return "Audience must be a server public key";
    if (response->error.count == 0 && response->jwt.count == 0)
        return "Error or Jwt is required";
    if (response->error.count > 0 && response->jwt.count > 0)
        return "Only Error or Jwt can be set";
    if (response->issuer_account.count > 0 && !key_is(response->issuer_account, NKEY_ACCOUNT))
        return "issuer_account is not an account public key";
    return jwt_claims_time_check(&jwt->claims, now_s);
}

/* Whether it answers this question, and lets somebody in. What was sealed for the server comes from the
 * service, whoever has signed it. */
static bool response_check(const struct callout_question *question, const struct jwt *jwt,
                           const struct response *response, bool sealed, char why[JWT_WHY_BYTES])
{
    const char *issue = response_issue(jwt, response, question->now_s);
    if (issue != NULL) {
        snprintf(why, JWT_WHY_BYTES, "authorization response had validation errors: %s", issue);
        return false;
    }
    if (!bytes_equal(jwt->claims.subject, question->user_nkey))
        return fail(why, "auth callout violation: auth callout response is not for expected user");
    if (!bytes_equal(jwt->claims.audience, question->server_id))
        return fail(why, "auth callout violation: auth callout response is not for server");
    if (!sealed && !bytes_equal(jwt->claims.issuer, question->options->callout.issuer))
        return fail(why, "auth callout signing key is unknown");
    if (response->error.count == 0)
        return true;
    snprintf(why, JWT_WHY_BYTES, "auth callout service returned an error: %.*s",
             BYTES_PRINTF(response->error));
    return false;
}

/* Reads the user's token out of a response. */
static bool user_read(const struct callout_question *question, struct bytes token, bool sealed,
                      struct user_claims *claims, char why[JWT_WHY_BYTES])
{
    struct jwt jwt;
    struct json_document document = {0};
    struct response response = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    if (!jwt_open(&jwt, token, "authorization_response", "not an authorization request claim", NKEY_ACCOUNT,
                  why))
        return false;
    enum err err = json_read(&document, jwt.json, &response_shape, &response);
    bool good = err == ERR_OK ? response_check(question, &jwt, &response, sealed, why) &&
                                    user_claims_open(claims, response.jwt, why)
                : err == ERR_MEMORY ? fail(why, "out of memory")
                                    : fail(why, "the claims are no JSON of the right types");
    json_close(&document);
    jwt_close(&jwt);
    return good;
}

/* A sealed answer is opened. */
static bool response_read(const struct callout_question *question, struct bytes payload,
                          struct user_claims *claims, char why[JWT_WHY_BYTES])
{
    const struct callout_options *callout = &question->options->callout;
    if (payload.count == 0) {
        snprintf(why, JWT_WHY_BYTES, "auth callout violation: \"no reason supplied\" on account \"%.*s\"",
                 BYTES_PRINTF(callout->account));
        return false;
    }
    if (callout->xkey.count == 0 || bytes_start_with(payload, TEXT("eyJ")))
        return user_read(question, payload, false, claims, why);
    bool possible = xkey_is_sealed(payload) && payload.count <= JWT_BYTES_MAX + XKEY_SEAL_BYTES;
    size_t count = possible ? payload.count - XKEY_SEAL_BYTES : 0;
    uint8_t *opened = count == 0 ? NULL : memory_new(count);
    bool good =
        opened != NULL && xkey_open(opened, payload, question->xkey_seed, callout->xkey_raw) == ERR_OK;
    if (good)
        good = user_read(question, bytes_of(opened, count), true, claims, why);
    else
        snprintf(why, JWT_WHY_BYTES, "error decrypting auth callout response on account \"%.*s\": %s",
                 BYTES_PRINTF(callout->account),
                 count > 0 && opened == NULL ? "out of memory" : "it is not sealed for this server");
    if (opened != NULL)
        explicit_bzero(opened, count);
    memory_free(opened);
    return good;
}

/* The account that the token names. */
static const struct security_account *account_of(const struct callout_question *question,
                                                 const struct user_claims *claims, char why[JWT_WHY_BYTES])
{
    const struct callout_options *callout = &question->options->callout;
    struct bytes issuer = claims->jwt.claims.issuer, name = claims->jwt.claims.audience;
    if (claims->body.issuer_account.count > 0) {
        snprintf(why, JWT_WHY_BYTES,
                 "error non operator mode account \"%.*s\": attempted to use issuer_account",
                 BYTES_PRINTF(callout->account));
        return NULL;
    }
    if (!bytes_equal(issuer, callout->issuer)) {
        snprintf(why, JWT_WHY_BYTES,
                 "wrong issuer for auth callout response on account \"%.*s\", expected \"%.*s\" got \"%.*s\"",
                 BYTES_PRINTF(callout->account), BYTES_PRINTF(callout->issuer), BYTES_PRINTF(issuer));
        return NULL;
    }
    const struct security_account *account =
        name.count == 0 ? NULL : security_account_find(&question->options->accounts, name);
    if (account == NULL)
        snprintf(why, JWT_WHY_BYTES,
                 "no valid account \"%.*s\" for auth callout response on account \"%.*s\": account missing",
                 BYTES_PRINTF(name), BYTES_PRINTF(callout->account));
    return account;
}

/* Whether he may come as he does. */
static bool allow(const struct callout_question *question, const struct user_claims *claims, int64_t *until_s,
                  char why[JWT_WHY_BYTES])
{
    struct bytes in = question->options->callout.account;
    const char *format = NULL;
    switch (
        user_claims_allow(claims, question->address, question->connection_type, question->now_s, until_s)) {
    case USER_CLAIMS_ALLOWED:
        return true;
    case USER_CLAIMS_BAD_SOURCE:
        snprintf(why, JWT_WHY_BYTES, "authorized user on account \"%.*s\" not allowed from source \"%.*s\"",
                 BYTES_PRINTF(in), BYTES_PRINTF(question->address));
        return false;
    case USER_CLAIMS_BAD_TIME:
        format = "outside of valid connect times";
        break;
    case USER_CLAIMS_NO_TYPE:
        format = "using invalid connection type";
        break;
    case USER_CLAIMS_BAD_TYPE:
        format = "not allowed to use connection type";
        break;
    }
    snprintf(why, JWT_WHY_BYTES, "authorized user on account \"%.*s\" %s", BYTES_PRINTF(in), format);
    return false;
}

/* In the callout's own account he must not hear or answer what is asked about others. */
static bool callout_deny(const struct callout_question *question, struct claimed_user *user)
{
    static const struct bytes denied[] = {{(const uint8_t *)CALLOUT_SUBJECT, sizeof CALLOUT_SUBJECT - 1},
                                          {(const uint8_t *)CALLOUT_INBOXES, sizeof CALLOUT_INBOXES - 1}};
    if (user->user.account != question->options->callout.in)
        return true;
    user->user.permissions =
        permissions_denying(user->user.permissions, denied, COUNT_OF(denied), true, &user->arena);
    return user->user.permissions != NULL;
}

/* Puts words before the reason; what then is too long is cut. */
static void why_begin(char why[JWT_WHY_BYTES], const char *words)
{
    size_t count = strlen(words);
    memmove(why + count, why, JWT_WHY_BYTES - count);
    memcpy(why, words, count);
    why[JWT_WHY_BYTES - 1] = 0;
}

/* What a service has said could forge a line of the log. */
static void why_clean(char why[JWT_WHY_BYTES])
{
    why[0] = (char)toupper((unsigned char)why[0]);
    for (char *at = why; *at != 0; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    }
}

static struct claimed_user *user_make(const struct callout_question *question,
                                      const struct user_claims *claims, char why[JWT_WHY_BYTES])
{
    int64_t until_s = 0;
    if (!user_claims_check(claims, question->now_s, why)) {
        why_begin(why, "Error validating user JWT: ");
        return NULL;
    }
    if (!bytes_equal(claims->jwt.claims.subject, question->user_nkey)) {
        snprintf(why, JWT_WHY_BYTES,
                 "Expected authorized user of \"%.*s\" but got \"%.*s\" on account \"%.*s\"",
                 BYTES_PRINTF(question->user_nkey), BYTES_PRINTF(claims->jwt.claims.subject),
                 BYTES_PRINTF(question->options->callout.account));
        return NULL;
    }
    const struct security_account *account = account_of(question, claims, why);
    if (account == NULL || !allow(question, claims, &until_s, why))
        return NULL;
    struct claimed_user *user = claimed_user_new(claims, until_s);
    if (user != NULL) {
        user->user.account = account;
        if (callout_deny(question, user))
            return user;
    }
    claimed_user_free(user);
    (void)fail(why, "Out of memory");
    return NULL;
}

struct claimed_user *callout_answer(const struct callout_question *question, struct bytes payload,
                                    char why[JWT_WHY_BYTES])
{
    struct user_claims claims = {0};
    struct claimed_user *user = NULL;
    why[0] = 0;
    if (response_read(question, payload, &claims, why))
        user = user_make(question, &claims, why);
    user_claims_close(&claims);
    why_clean(why);
    return user;
}
