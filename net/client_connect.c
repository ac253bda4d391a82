/* net/client_connect.c - CONNECT: options merged, the login, and what the options mean from here on
 * (spec/client-protocol.md 4, 5.3). Order of checks: JSON, login, account, protocol, no_responders, +OK. */
#include "core/base/quote.h"
#include "core/security/authenticate.h"
#include "net/client_internal.h"
#include "net/error_text.h"

enum { QUOTED_USER_BYTES = 512 }; /* longer names are cut in the log */

static void login_failed(struct client *client)
{
    char prefix[CLIENT_PREFIX_BYTES];
    client_prefix(client, prefix, sizeof prefix);
    struct bytes user = connect_user(&client->connect);
    char quoted[QUOTED_USER_BYTES];
    (void)quote(user, quoted, sizeof quoted);
    if (user.count > 0)
        log_error(client->context->log, "%s - authentication error - User %s", prefix, quoted);
    else
        log_error(client->context->log, "%s - authentication error", prefix);
    client_close(client, CLOSED_AUTHENTICATION_FAILURE, error_text(ERROR_AUTHORIZATION_VIOLATION));
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

/* The login stands: the rest of the checks, then the client is in. */
static void login_done(struct client *client)
{
    connect_forget_secrets(&client->connect);
    if (connect_names_account(&client->connect)) {
        login_failed(client);
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
    client_pings_start(client);
    client_ok(client);
}

enum handled client_connect(struct client *client, struct bytes json)
{
    if (client->connect_received && !subscriptions_drop(client))
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
        login_done(client); /* the same login once more, whose secrets were forgotten */
        return HANDLED;
    }
    struct credentials credentials = connect_credentials(&client->connect);
    struct authentication login;
    switch (authenticate(client->context->security, &credentials, &login)) {
    case AUTHENTICATE_ALLOWED:
        client->login = (uint8_t)login.who;
        login_done(client);
        return HANDLED;
    case AUTHENTICATE_DENIED:
        login_failed(client);
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
    client->login = (uint8_t)login.who;
    client_move(client, CLIENT_AUTHENTICATING);
    client->blocked = true; /* until client_password_checked() and then client_resume() */
    return HANDLED;
}

void client_password_checked(struct client *client, bool matches)
{
    if (client->state != CLIENT_AUTHENTICATING)
        return; /* closed meanwhile */
    if (matches)
        login_done(client);
    else
        login_failed(client);
}

/* What the options store for this client's login; empty when they know none. */
static struct bytes stored_secret(const struct security_options *security, const struct client *client)
{
    struct bytes user = connect_user(&client->connect);
    if (client->login == AUTHENTICATE_TOKEN)
        return security->token;
    if (client->login == AUTHENTICATE_NOBODY)
        user = security->no_auth_user;
    const struct security_user *found = security_user_find(&security->users, user);
    if (found != NULL)
        return found->password;
    return bytes_equal(security->user, user) ? security->password : (struct bytes){NULL, 0};
}

static bool user_known(const struct security_options *security, struct bytes user)
{
    return security_user_find(&security->users, user) != NULL ||
           (security->user.count > 0 && bytes_equal(security->user, user));
}

void client_options_changed(struct client *client, const struct security_options *before)
{
    const struct session_context *context = client->context;
    const struct security_options *now = context->security;
    if (client->state == CLIENT_CLOSED)
        return;
    client->parser.max_payload_bytes = context->options->max_payload_bytes;
    client->parser.max_control_line_bytes = (uint32_t)context->options->max_control_line_bytes;
    if (client->parser.lines != NULL)
        client->parser.line =
            lines_none(client->parser.lines); /* the last one was measured by the old limits */
    if (client->state != CLIENT_ACTIVE || !authenticate_required(now))
        return; /* a login that is under way is judged by the new options */
    if (client->login == AUTHENTICATE_USER && !user_known(now, connect_user(&client->connect))) {
        client_close(client, CLOSED_CLIENT_CLOSED, NULL);
        return;
    }
    bool same = authenticate_required(before) &&
                bytes_equal(stored_secret(before, client), stored_secret(now, client));
    if (!same)
        login_failed(client);
}

void client_enter_unannounced(struct client *client)
{
    struct credentials none = {0};
    struct authentication login;
    if (authenticate(client->context->security, &none, &login) != AUTHENTICATE_ALLOWED) {
        login_failed(client);
        return;
    }
    client->login = (uint8_t)login.who;
    client_move(client, CLIENT_ACTIVE);
}
