/* net/client_internal.h - what the files of the client session share with each other and with nobody else. */
#ifndef NET_CLIENT_INTERNAL_H
#define NET_CLIENT_INTERNAL_H

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/security/authenticate.h"
#include "net/client.h"

/* What handling an operation came to. */
enum handled {
    HANDLED,
    HANDLED_LATER, /* the host is full, or a password is being checked: no more bytes until client_resume() */
};

/* The only way to another state; closing has its own function, client_close(). */
void client_move(struct client *client, enum client_state next);

/* Appends bytes to the output; closes the client when memory is out or it is too slow. */
void client_write(struct client *client, struct bytes bytes);

/* Tells the host that there is output, once. */
static ALWAYS_INLINE void client_output_note(struct client *client)
{
    if (!client->output_noted) {
        client->output_noted = true;
        client->context->host->output_ready(client);
    }
}

/* `+OK` if verbose. */
void client_ok(struct client *client);

/* `-ERR '<text>'`, the connection stays open. */
void client_error(struct client *client, const char *text);

/* -ERR with `before`, the subject quoted as Go's %q does, and `after`. */
void client_error_quoted(struct client *client, const char *before, struct bytes subject, const char *after);

/* Sets its timer; closes the client when memory is out. */
void client_timer_set(struct client *client, int64_t due_ns);

/* After CONNECT was accepted: the first PING comes soon and measures the round trip. */
void client_pings_start(struct client *client);

enum handled client_connect(struct client *client, struct bytes json);
enum handled client_publish(struct client *client, struct operation *operation);
enum handled client_subscribe(struct client *client, const struct operation *operation);
enum handled client_unsubscribe(struct client *client, const struct operation *operation);

/* Takes a subscription out of index, table and memory. */
enum handled client_subscription_remove(struct client *client, struct client_subscription *subscription);

/* Enters the account of a user, $G for NULL, with its limits. False: memory is out; or it has no place for
 * one more, and the client is closed. */
MUST_USE bool client_account_enter(struct client *client, const struct security_user *user);

/* The login is decided, for the user in client->user, or against it; decides it once more. */
void client_login_done(struct client *client);
void client_login_failed(struct client *client);
void client_login_refused(struct client *client, enum authenticate_refusal refusal); /* the same, and why */
enum handled client_login_decide(struct client *client);

/* From now on it is that user (NULL: none that a list has). What it has subscribed to before (as
 * no_auth_user, or under older options) is looked at again. False: it is closed. */
bool client_user_take(struct client *client, const struct security_user *user);

/* ---- auth callout: client_callout.c ---- */

/* Whether a service has the last word about a login that has come to this verdict. */
bool client_callout_decides(const struct client *client, enum authenticate_verdict verdict);
enum handled client_callout_ask(struct client *client);

/* It did not answer in time. */
void client_callout_late(struct client *client);

/* New options are in force for one that a service has let in. */
void client_callout_review(struct client *client);

/* Frees what a service has said (NULL is allowed), which the permission cache forgets. Nobody looks at it any
 * more. */
void client_callout_drop(struct client *client, struct claimed_user *dropped);

/* Takes over the limits of options and account. */
void client_limits_take(struct client *client);

/* Logs in as no_auth_user when the first operation is not CONNECT. */
void client_enter_unannounced(struct client *client);

/* "address:port - cid:n - "v:lang:name" - "account/user:name"", for log lines; long names are cut. */
const char *client_prefix(const struct client *client, char *out, size_t out_bytes);
enum { CLIENT_PREFIX_BYTES = 448 };

/* Protocol trace; call only when options->trace. */
void client_trace_in(const struct client *client, const struct operation *operation);
void client_trace_out(const struct client *client, const char *operation, struct bytes arguments);
void client_trace_removed(const struct client *client, struct bytes sid);
void client_trace_delivery(const struct client *client, const struct client_subscription *subscription,
                           const struct message *message, bool with_headers);

#endif
