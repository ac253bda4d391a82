/* net/client_callout.c - a login that a service decides: auth callout, as the session sees it
 * (docs/auth-callout.md). In the flow:  client_login_decide() -> client_callout_ask() -> host->ask_callout()
 *               .. client_callout_answered() -> client_login_done() or client_login_failed()
 * At the bound: who is not answered for within authorization's timeout is refused. */
#include "core/base/clock.h"
#include "core/security/callout.h"
#include "net/client_access.h"
#include "net/client_internal.h"
#include "net/error_text.h"

bool client_callout_decides(const struct client *client, enum authenticate_verdict verdict)
{
    const struct security_options *security = client->context->security;
    struct credentials credentials = client_credentials(client);
    const struct security_account *present = client->account == NULL ? NULL : client->account->configured;
    return callout_decides(security, &credentials, client->user, verdict, present) == CALLOUT_ASKED;
}

enum handled client_callout_ask(struct client *client)
{
    const struct session_context *context = client->context;
    switch (context->host->ask_callout(client)) {
    case HOST_FULL:
        return HANDLED_LATER; /* the same CONNECT merged once more changes nothing */
    case HOST_MEMORY:
        client_close(client, CLOSED_READ_ERROR, NULL);
        return HANDLED;
    case HOST_NOBODY:
        client_login_failed(client);
        return HANDLED;
    case HOST_DONE:
        break;
    }
    if (client->state != CLIENT_DELEGATED)
        client_move(client, CLIENT_DELEGATED);
    client->blocked = true; /* until client_callout_answered() and then client_resume() */
    client_timer_set(client, context->now_ns + context->security->timeout_ns);
    return HANDLED;
}

void client_callout_drop(struct client *client, struct claimed_user *dropped)
{
    if (dropped == NULL)
        return;
    /* The cache knows permissions by their address, where somebody else's may come to lie. */
    if (dropped->user.permissions != NULL)
        permission_cache_forget_one(&client->context->permissions, dropped->user.permissions);
    claimed_user_free(dropped);
}

/* As whom it is known from here on: as the service says, else as it has named itself. False: no memory. */
static bool name_take(struct client *client, struct claimed_user *claimed)
{
    struct bytes nkey = connect_text(&client->connect, CONNECT_NKEY);
    struct bytes name = connect_user(&client->connect);
    struct security_user *user = &claimed->user;
    client->login = AUTHENTICATE_USER;
    if (user->name.count > 0)
        return true;
    if (nkey.count > 0) {
        client->login = AUTHENTICATE_NKEY;
        user->nkey = bytes_of(arena_copy(&claimed->arena, nkey), nkey.count);
        return user->nkey.data != NULL;
    }
    if (name.count == 0)
        client->login = connect_text(&client->connect, CONNECT_AUTH_TOKEN).count > 0 ? AUTHENTICATE_TOKEN
                                                                                     : AUTHENTICATE_NOBODY;
    user->name = bytes_of(arena_copy(&claimed->arena, name), name.count);
    return user->name.data != NULL;
}

static void until_set(const struct session_context *context, struct claimed_user *claimed)
{
    int64_t wall_s = (context->now_ns + context->wall_minus_ns) / NS_PER_SECOND;
    int64_t until_s = claimed->until_s < 0 ? 0 : claimed->until_s; /* before 1970 is over, as any past */
    int64_t left_s = until_s - wall_s;
    claimed->until_ns = INT64_MAX;
    if (claimed->until_s == 0 || left_s > (INT64_MAX - context->now_ns) / NS_PER_SECOND)
        return;
    claimed->until_ns = context->now_ns + (left_s > 0 ? left_s * NS_PER_SECOND : 0);
}

/* It is in, as the service says. */
static void let_in(struct client *client, struct claimed_user *claimed)
{
    struct claimed_user *before = client->claimed;
    if (!name_take(client, claimed)) {
        claimed_user_free(claimed);
        client_close(client, CLOSED_READ_ERROR, NULL);
        return;
    }
    until_set(client->context, claimed);
    client->claimed = claimed;
    client->user = &claimed->user;
    client_login_done(client);
    if (client->state == CLIENT_CLOSED)
        client_access_suspend(client); /* it may still have those of `before` */
    client_callout_drop(client, before);
    if (client->state == CLIENT_ACTIVE && claimed->subscriptions == 0) /* none of its own, none at all */
        client_close(client, CLOSED_MAXIMUM_SUBSCRIPTIONS, error_text(ERROR_MAXIMUM_SUBSCRIPTIONS));
}

/* The host may tell the reason, which ends with this call. */
static void refuse(struct client *client, const char *why)
{
    client->refused_why = why;
    client_login_refused(client, (enum authenticate_refusal)client->login_refusal);
    client->refused_why = NULL;
}

/* Whether it would have had to come through a proxy: so says the service, or the file of who it says it is.
 */
static bool proxy_missing(const struct client *client, const struct claimed_user *claimed)
{
    return client->proxy == NULL &&
           (claimed->user.proxy_required || client->login_refusal == AUTHENTICATE_PROXY_REQUIRED);
}

void client_callout_answered(struct client *client, struct claimed_user *claimed, const char *why)
{
    if (client->state != CLIENT_DELEGATED || client->login_again) {
        claimed_user_free(claimed);
        /* The options have changed: it is asked once more. Where the host has no room for that, the client
         * does. */
        if (client->state == CLIENT_DELEGATED && client_login_decide(client) == HANDLED_LATER)
            client_login_failed(client);
        return;
    }
    if (claimed != NULL && proxy_missing(client, claimed)) {
        claimed_user_free(claimed);
        client->login_refusal = AUTHENTICATE_PROXY_REQUIRED;
        why = "Proxy connection required";
    } else if (claimed != NULL) {
        let_in(client, claimed);
        return;
    }
    if (why[0] != 0)
        log_warning(client->context->log, "%s", why);
    refuse(client, why);
}

void client_callout_late(struct client *client)
{
    log_debug(client->context->log, "Authorization callout response not received in time on account \"%.*s\"",
              BYTES_PRINTF(client->context->security->callout.account));
    refuse(client, "");
}

void client_callout_review(struct client *client)
{
    struct claimed_user *claimed = client->claimed;
    const struct security_account *account = client->account->configured;
    /* Closed without a word, as one whose account has changed: it comes again, and is asked about again. */
    if (account == NULL || client->context->security->logins_changed) {
        client_close(client, CLOSED_CLIENT_CLOSED, NULL);
        return;
    }
    claimed->user.account = account;
    (void)client_user_take(client, &claimed->user);
}
