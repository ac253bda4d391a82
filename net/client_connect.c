/* net/client_connect.c - CONNECT: options merged, the login, and what the options mean from here on
 * (spec/client-protocol.md 4, 5.3). Order of checks: JSON, login, account, protocol, no_responders, +OK. */
#include "core/base/quote.h"
#include "core/security/authenticate.h"
#include "core/security/callout.h"
#include "core/security/nkey.h"
#include "core/security/user_claims.h"
#include "net/client_access.h"
#include "net/client_internal.h"
#include "net/error_text.h"

enum { QUOTED_USER_BYTES = 512 }; /* longer names are cut in the log */

/* The log names what was sent, never a secret. The client is told the same whatever the reason. */
void client_login_refused(struct client *client, enum authenticate_refusal refusal)
{
    static const struct {
        enum connect_text which;
        const char *word;
    } names[] = {{CONNECT_NKEY, "Nkey"}, {CONNECT_USER, "User"}};
    static const struct {
        enum closed_reason reason;
        const char *why; /* for the debug log; NULL: login_explain() has said it */
    } refusals[] = {
        [AUTHENTICATE_REFUSED] = {CLOSED_AUTHENTICATION_FAILURE, NULL},
        [AUTHENTICATE_PROXY_NOT_TRUSTED] = {CLOSED_PROXY_NOT_TRUSTED, "proxy is not trusted"},
        [AUTHENTICATE_PROXY_REQUIRED] = {CLOSED_PROXY_REQUIRED, "proxy connection required"},
    };
    char prefix[CLIENT_PREFIX_BYTES], quoted[QUOTED_USER_BYTES];
    const char *word = "";
    client_prefix(client, prefix, sizeof prefix);
    quoted[0] = 0;
    for (size_t i = 0; i < COUNT_OF(names) && word[0] == 0; i++) {
        struct bytes name = connect_text(&client->connect, names[i].which);
        bool asked = names[i].which != CONNECT_NKEY || client->context->security->users.nkey_count > 0;
        if (name.count == 0 || !asked)
            continue;
        word = names[i].word;
        (void)quote(nkey_may_be_seed(name) ? TEXT("[REDACTED]") : name, quoted, sizeof quoted);
    }
    if (word[0] != 0)
        log_error(client->context->log, "%s - authentication error - %s %s", prefix, word, quoted);
    else if (connect_text(&client->connect, CONNECT_AUTH_TOKEN).count > 0)
        log_error(client->context->log, "%s - authentication error - Token \"[REDACTED]\"", prefix);
    else
        log_error(client->context->log, "%s - authentication error", prefix);
    if (refusals[refusal].why != NULL)
        log_debug(client->context->log, "%s - %s", prefix, refusals[refusal].why);
    client_close(client, refusals[refusal].reason, error_text(ERROR_AUTHORIZATION_VIOLATION));
}

void client_login_failed(struct client *client)
{
    client_login_refused(client, AUTHENTICATE_REFUSED);
}

/* The options that the hot path asks for, from the merged CONNECT. */
static void options_take(struct client *client)
{
    const struct connect_options *connect = &client->connect;
    client->headers = connect->headers && client->context->options->headers;
    client->echo = connect->echo;
    client->verbose = connect->verbose;
    client->pedantic = connect->pedantic;
    client->no_responders = connect->no_responders;
    client->parser.headers = client->headers;
}

struct credentials client_credentials(const struct client *client)
{
    struct credentials credentials = connect_credentials(&client->connect);
    credentials.nonce = text(client->nonce);
    credentials.connection_type = CONNECTION_TYPE_STANDARD; /* the only kind of listener so far */
    credentials.certificate = client->certificate;
    credentials.proxy = client->proxy;
    return credentials;
}

void client_limits_take(struct client *client)
{
    const struct session_context *context = client->context;
    const struct security_account *account = client->account->configured;
    int64_t most = context->options->max_payload_bytes;
    if (account != NULL && account->limits.payload_bytes >= 0 &&
        (most < 0 || account->limits.payload_bytes < most))
        most = account->limits.payload_bytes;
    if (client->claimed != NULL && client->claimed->payload_bytes >= 0 &&
        (most < 0 || client->claimed->payload_bytes < most))
        most = client->claimed->payload_bytes;
    client->parser.max_payload_bytes = most;
    client->parser.max_control_line_bytes = (uint32_t)context->options->max_control_line_bytes;
    client->mapped = account != NULL && account->mappings.count > 0;
    if (client->parser.lines != NULL)
        client->parser.line =
            lines_none(client->parser.lines); /* the last one was measured by the old limits */
}

bool client_account_enter(struct client *client, const struct security_user *user)
{
    const struct security_account *configured =
        security_account_of(&client->context->security->accounts, user);
    struct host_account *account = NULL;
    enum host_result result = client->context->host->enter(client, configured, &account);
    if (result == HOST_FULL)
        client_close(client, CLOSED_MAXIMUM_ACCOUNT_CONNECTIONS,
                     error_text(ERROR_MAXIMUM_ACCOUNT_CONNECTIONS));
    if (result != HOST_DONE)
        return false;
    client->account = account;
    client_limits_take(client);
    return true;
}

/* Whether what it has subscribed to may be in another account than it will be in: by a second CONNECT, or by
 * the first one when it has begun without. */
static bool may_change_account(const struct client *client)
{
    const struct security_options *security = client->context->security;
    return client->connect_received || (authenticate_required(security) && security->accounts.has_users);
}

/* A second CONNECT starts over: what was subscribed under the first one goes (since 2.11.17). False: the host
 * is full, the rest goes later. */
static bool subscriptions_drop(struct client *client)
{
    for (;;) {
        struct client_subscription *subscription = sids_any(&client->sids, &client->sids_hint);
        if (subscription == NULL)
            return true;
        if (client_subscription_remove(client, subscription) == HANDLED_LATER)
            return false;
    }
}

bool client_user_take(struct client *client, const struct security_user *user)
{
    bool had_access = client->access != NULL;
    client->user = user;
    if (!client_account_enter(client, user) ||
        client_access_set(client, user == NULL ? client->context->security->callout.unlisted
                                               : user->permissions) != ERR_OK) {
        client_close(client, CLOSED_READ_ERROR, NULL);
        return false;
    }
    if (client->claimed != NULL && user != &client->claimed->user) {
        client_callout_drop(client, client->claimed);
        client->claimed = NULL;
    }
    if (had_access || client->access != NULL)
        client_access_review(client);
    return client->state != CLIENT_CLOSED;
}

/* The login stands: the rest of the checks, then the client is in. */
void client_login_done(struct client *client)
{
    connect_forget_secrets(&client->connect);
    client->login_stands = true;
    if (connect_names_account(&client->connect)) {
        client_login_failed(client);
        return;
    }
    if (client->connect.protocol < 0 || client->connect.protocol > 1) {
        client_close(client, CLOSED_BAD_CLIENT_PROTOCOL, error_text(ERROR_INVALID_CLIENT_PROTOCOL));
        return;
    }
    options_take(client);
    if (client->no_responders && !client->headers) {
        client_close(client, CLOSED_NO_RESPONDERS_REQUIRES_HEADERS,
                     error_text(ERROR_NO_RESPONDERS_REQUIRES_HEADERS));
        return;
    }
    client_move(client, CLIENT_ACTIVE);
    client->connect_received = true;
    if (!client_user_take(client, client->user))
        return;
    client_pings_start(client);
    client_ok(client);
}

/* What of a certificate decided, and why a login failed, for whoever looks for the reason. */
static void login_explain(const struct client *client, const struct authentication *login)
{
    char prefix[CLIENT_PREFIX_BYTES], quoted[QUOTED_USER_BYTES];
    struct log *log = client->context->log;
    if (login->why == NULL)
        return;
    client_prefix(client, prefix, sizeof prefix);
    if (client->certificate == NULL || login->user == NULL || login->user->nkey.count > 0) {
        log_debug(log, "%s - %s", prefix, login->why);
        return;
    }
    (void)quote(login->user->name, quoted, sizeof quoted);
    log_debug(log, "%s - %s [%s]", prefix, login->why, quoted);
    struct bytes named = connect_user(&client->connect);
    if (named.count == 0)
        return;
    (void)quote(named, quoted, sizeof quoted);
    log_warning(log, "User %s found in connect proto, but user required from cert", quoted);
}

/* Lets the client in, refuses it, or has its password checked elsewhere. */
enum handled client_login_decide(struct client *client)
{
    struct credentials credentials = client_credentials(client);
    struct authentication login;
    client->login_again = client->login_stands = false;
    enum authenticate_verdict verdict = authenticate(client->context->security, &credentials, &login);
    client->user = login.user;
    client->login = (uint8_t)login.who;
    client->login_refusal = (uint8_t)login.refusal;
    client->proxy = login.proxy;
    login_explain(client, &login);
    if (login.refusal != AUTHENTICATE_PROXY_NOT_TRUSTED && client_callout_decides(client, verdict))
        return client_callout_ask(client);
    switch (verdict) {
    case AUTHENTICATE_ALLOWED:
        client_login_done(client);
        return HANDLED;
    case AUTHENTICATE_DENIED:
        client_login_refused(client, login.refusal);
        return HANDLED;
    case AUTHENTICATE_NEEDS_BCRYPT:
        break;
    }
    switch (client->context->host->check_password(client, login.stored, login.given)) {
    case HOST_FULL:
        return HANDLED_LATER; /* the same CONNECT merged once more changes nothing */
    case HOST_MEMORY:
        client_close(client, CLOSED_READ_ERROR, NULL);
        return HANDLED;
    case HOST_DONE:
    case HOST_NOBODY:
        break;
    }
    if (client->state != CLIENT_AUTHENTICATING)
        client_move(client, CLIENT_AUTHENTICATING);
    client->blocked = true; /* until client_password_checked() and then client_resume() */
    return HANDLED;
}

enum handled client_connect(struct client *client, struct bytes json)
{
    if (may_change_account(client) && !subscriptions_drop(client))
        return HANDLED_LATER;
    switch (connect_parse(&client->connect, json)) {
    case ERR_OK:
        break;
    case ERR_MEMORY:
        client_close(client, CLOSED_READ_ERROR, NULL);
        return HANDLED;
    default:
        client_close(client, CLOSED_PROTOCOL_VIOLATION, NULL);
        return HANDLED;
    }
    if (client->connect_received && !client->connect.credentials_changed) {
        client_login_done(client); /* the same login once more, whose secrets were forgotten */
        return HANDLED;
    }
    return client_login_decide(client);
}

void client_password_checked(struct client *client, bool matches)
{
    if (client->state != CLIENT_AUTHENTICATING)
        return; /* closed meanwhile */
    if (client->login_again) {
        /* Where the host has no room to ask once more, the client does. */
        if (client_login_decide(client) == HANDLED_LATER)
            client_login_failed(client);
        return;
    }
    if (client_callout_decides(client, matches ? AUTHENTICATE_ALLOWED : AUTHENTICATE_DENIED)) {
        if (client_callout_ask(client) == HANDLED_LATER)
            client_login_failed(client);
    } else if (matches) {
        client_login_done(client);
    } else {
        client_login_refused(client, (enum authenticate_refusal)client->login_refusal);
    }
}

/* ---- new options ---- */

/* Whether a token or the single user, by which it came, is as it was. */
static bool single_login_same(const struct client *client, const struct security_options *before,
                              const struct security_options *now)
{
    if (client->login == AUTHENTICATE_TOKEN)
        return bytes_equal(before->token, now->token);
    if (client->login == AUTHENTICATE_NOBODY)
        return now->global_open;
    return bytes_equal(before->user, now->user) && bytes_equal(before->password, now->password);
}

/* Whether one who came without saying anything, or by a list, would come in again in the same way. What it
 * said to prove itself is forgotten, so what is asked is whether what it proved still counts. */
static bool listed_login_same(const struct client *client, const struct security_user *was,
                              const struct security_options *now, const struct security_user *is)
{
    if (!security_user_may_connect(is, CONNECTION_TYPE_STANDARD) || !bytes_equal(was->password, is->password))
        return false;
    bool named = client->login != AUTHENTICATE_NOBODY;
    return named || bytes_equal(now->no_auth_user, is->nkey.count > 0 ? is->nkey : is->name);
}

/* Whether the user is still in the account that the client has been in; else it is closed without a word. */
static bool account_same(struct client *client, const struct security_user *user)
{
    if (client->account->configured == security_account_of(&client->context->security->accounts, user))
        return true;
    client_close(client, CLOSED_CLIENT_CLOSED, NULL);
    return false;
}

/* Judges an active client by new options. */
static void login_review(struct client *client, const struct security_options *before)
{
    const struct security_options *now = client->context->security;
    const struct security_user *was = client->user, *is = NULL;
    if (!authenticate_required(now)) {
        if (account_same(client, NULL))
            (void)client_user_take(client, NULL);
        return;
    }
    if (was != NULL) {
        is = security_user_again(&now->users, was);
        if (is == NULL) {
            client_close(client, CLOSED_CLIENT_CLOSED, NULL);
            return;
        }
    }
    if (is != NULL && is->proxy_required && client->proxy == NULL) {
        client_login_refused(client, AUTHENTICATE_PROXY_REQUIRED);
        return;
    }
    bool same = was != NULL ? listed_login_same(client, was, now, is)
                            : authenticate_required(before) && single_login_same(client, before, now);
    if (!same)
        client_login_failed(client);
    else if (account_same(client, is))
        (void)client_user_take(client, is);
}

/* A limit of its account was lowered: who has more subscriptions than that goes, as in nats-server, which at
 * each reload ends those too who have just as many as they may. */
static void subscriptions_review(struct client *client)
{
    const struct security_account *account = client->account->configured;
    if (client->state == CLIENT_ACTIVE && account != NULL && account->limits.subscriptions >= 0 &&
        client->sids.count > account->limits.subscriptions)
        client_close(client, CLOSED_MAXIMUM_SUBSCRIPTIONS, error_text(ERROR_MAXIMUM_SUBSCRIPTIONS));
}

/* A client whose proxy is trusted no more goes before its login is looked at, wherever that has come to. */
static void proxy_review(struct client *client)
{
    const struct trusted_proxy *was = client->proxy;
    client->proxy = trusted_proxies_again(&client->context->security->proxies, was);
    if (client->state == CLIENT_CLOSED || was == NULL || client->proxy != NULL)
        return;
    client->proxy = was; /* as which it is remembered */
    client_login_refused(client, AUTHENTICATE_PROXY_NOT_TRUSTED);
    client->proxy = NULL;
}

void client_options_changed(struct client *client, const struct security_options *before)
{
    proxy_review(client);
    if (client->state == CLIENT_CLOSED) {
        client->user = NULL; /* it goes with the old options */
        client_access_suspend(client);
        return;
    }
    client_limits_take(client);
    if (client->state != CLIENT_ACTIVE) {
        client->user = NULL; /* a login that is under way is judged by the new options */
        client_access_suspend(client);
        client->login_again = client_login_pending(client);
        return;
    }
    if (client->claimed != NULL)
        client_callout_review(client);
    else
        login_review(client, before);
    subscriptions_review(client);
    if (client->state == CLIENT_CLOSED) {
        client->user = NULL;
        client_access_suspend(client);
    }
}

void client_enter_unannounced(struct client *client)
{
    struct credentials none = client_credentials(client); /* CONNECT has said nothing so far */
    struct authentication login;
    const struct security_options *security = client->context->security;
    /* Whom its certificate names may be one whom the service decides about, though no_auth_user is not. */
    if (!authenticate_unannounced(security) ||
        authenticate(security, &none, &login) != AUTHENTICATE_ALLOWED ||
        callout_decides(security, &none, login.user, AUTHENTICATE_ALLOWED, NULL) != CALLOUT_NO_PART) {
        client_login_failed(client);
        return;
    }
    client->login = (uint8_t)login.who;
    client->login_stands = true;
    client_move(client, CLIENT_ACTIVE);
    client_timer_set(client, client->context->now_ns + client->context->options->ping_interval_ns);
    if (client->state != CLIENT_CLOSED)
        (void)client_user_take(client, login.user);
}
