/* net/client_access.h - what one client may do, for those whose user has permissions; all others have none of
 * this (client.access is NULL) and pay for one look at a pointer.
 * In the flow:  login, reload -> client_access_set();  PUB -> client_may_publish();
 *               SUB -> client_access_subscribe();  delivery -> client_access_takes(),
 * client_access_delivered() Verdicts come from the thread's permission cache, which knows control lines by
 * their serials (net/lines.h) and subjects. At the bounds: those of permission_cache.h and responses.h.
 * Thread: the session's. */
#ifndef NET_CLIENT_ACCESS_H
#define NET_CLIENT_ACCESS_H

#include "core/security/permissions.h"
#include "core/security/responses.h"
#include "net/client.h"

struct client_access {
    const struct security_permissions *permissions; /* the present snapshot's; NULL: suspended */
    bool by_response; /* the message at hand is allowed as a response: one by one, each is counted */
    struct responses responses;
};

/* The user's permissions of the present snapshot, or NULL: none. ERR_MEMORY: the client may do nothing more,
 * the caller closes it. */
MUST_USE enum err client_access_set(struct client *client, const struct security_permissions *permissions);

/* The snapshot that the permissions lie in goes while the client is between two logins, or is closing: what
 * is filtered is not delivered any more, until client_access_set(). */
void client_access_suspend(struct client *client);

/* Whether a message may be published; says so to the client and to the log when not. */
bool client_access_publish(struct client *client, const struct message *message);

static ALWAYS_INLINE bool client_may_publish(struct client *client, const struct message *message)
{
    const struct client_access *access = client->access;
    if (LIKELY(access == NULL))
        return true;
    if (LIKELY(access->permissions != NULL &&
               permission_line_known(&client->context->permissions, &access->permissions->publish,
                                     message->line_serial)))
        return true;
    return client_access_publish(client, message);
}

/* What was allowed was published, or could not be and comes again: as a response it is not counted then. */
void client_access_response_done(struct client *client, const struct message *message, bool published);

/* Whether a subscription may be made; *filtered: not all of its messages may be delivered. Says so to the
 * client and to the log when not. */
bool client_access_subscribe(struct client *client, struct bytes subject, struct bytes queue,
                             struct bytes sid, bool *filtered);

/* Whether a filtered subscription may have this message. */
bool client_access_takes(const struct client_subscription *subscription, const struct message *message);

/* A message with a reply was delivered: it may be answered. */
void client_access_delivered(struct client *client, const struct message *message);

/* New permissions are in force: subscriptions that they do not allow are removed and reported. */
void client_access_review(struct client *client);

/* Frees it; legal when there is none. */
void client_access_close(struct client *client);

#endif
