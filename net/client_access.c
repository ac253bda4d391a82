/* net/client_access.c - see client_access.h. The words of refusals are those of spec/security.md 3.6 and 3.7.
 */
#include "net/client_access.h"

#include "core/base/memory.h"
#include "core/base/quote.h"
#include "core/subject/queue_group.h"
#include "net/client_internal.h"

#include <stdio.h>

enum {
    QUOTED_BYTES = 4 * 1024, /* a longer subject is cut in what is said about it */
    REFUSAL_BYTES = 3 * QUOTED_BYTES + 256,
};

enum err client_access_set(struct client *client, const struct security_permissions *permissions)
{
    if (permissions == NULL) {
        client_access_close(client);
        return ERR_OK;
    }
    if (client->access == NULL)
        client->access = memory_new(sizeof *client->access);
    if (client->access == NULL)
        return ERR_MEMORY;
    client->access->permissions = permissions;
    client->access->responses.seed = client->context->hash_seed;
    if (!permissions->responses.given)
        responses_close(&client->access->responses);
    return ERR_OK;
}

void client_access_suspend(struct client *client)
{
    if (client->access != NULL)
        client->access->permissions = NULL;
}

void client_access_close(struct client *client)
{
    if (client->access == NULL)
        return;
    responses_close(&client->access->responses);
    memory_free(client->access);
    client->access = NULL;
}

/* ---- refusing ---- */

/* `before "subject"` and `using "queue"` behind it when there is one. */
static void describe(char *out, size_t out_bytes, const char *before, struct bytes subject, const char *using,
                     struct bytes queue)
{
    char quoted[QUOTED_BYTES], quoted_queue[QUOTED_BYTES];
    (void)quote(subject, quoted, sizeof quoted);
    quoted_queue[0] = 0;
    if (queue.count > 0)
        (void)quote(queue, quoted_queue, sizeof quoted_queue);
    snprintf(out, out_bytes, "%s%s%s%s", before, quoted, queue.count > 0 ? using : "", quoted_queue);
}

static void refuse_publish(struct client *client, struct bytes subject)
{
    char line[REFUSAL_BYTES], prefix[CLIENT_PREFIX_BYTES];
    describe(line, sizeof line, "Publish Violation - Subject ", subject, "", (struct bytes){0});
    log_error(client->context->log, "%s - %s", client_prefix(client, prefix, sizeof prefix), line);
    describe(line, sizeof line, "Permissions Violation for Publish to ", subject, "", (struct bytes){0});
    client_error(client, line);
}

static void refuse_subscribe(struct client *client, struct bytes subject, struct bytes queue,
                             struct bytes sid)
{
    char line[REFUSAL_BYTES], prefix[CLIENT_PREFIX_BYTES], shown_sid[QUOTED_BYTES];
    (void)quote(sid, shown_sid, sizeof shown_sid); /* shown without quotes, but it could forge a line */
    describe(line, sizeof line, "Subscription Violation - Subject ", subject, ", Queue: ", queue);
    log_error(client->context->log, "%s - %s, SID %.*s", client_prefix(client, prefix, sizeof prefix), line,
              (int)strlen(shown_sid) - 2, shown_sid + 1);
    describe(line, sizeof line, "Permissions Violation for Subscription to ", subject, " using queue ",
             queue);
    client_error(client, line);
}

/* ---- publishing ---- */

bool client_access_publish(struct client *client, const struct message *message)
{
    struct client_access *access = client->access;
    struct session_context *context = client->context;
    const struct permission_responses *rule = &access->permissions->responses;
    access->by_response = false;
    if (permission_cache_publish(&context->permissions, access->permissions, message->subject)) {
        permission_line_note(&context->permissions, &access->permissions->publish, message->line_serial);
        return true;
    }
    if (rule->given && responses_take(&access->responses, rule, message->subject, context->now_ns)) {
        access->by_response = true;
        return true;
    }
    refuse_publish(client, message->subject);
    return false;
}

void client_access_response_done(struct client *client, const struct message *message, bool published)
{
    if (client->access == NULL || !client->access->by_response)
        return;
    if (!published)
        responses_give_back(&client->access->responses, message->subject);
    client->access->by_response = false;
}

/* ---- subscribing ---- */

bool client_access_subscribe(struct client *client, struct bytes subject, struct bytes queue,
                             struct bytes sid, bool *filtered)
{
    enum permission_grant grant = permissions_subscribe(client->access->permissions, subject, queue);
    *filtered = grant == PERMISSION_FILTERED;
    if (grant == PERMISSION_REFUSED)
        refuse_subscribe(client, subject, queue, sid);
    return grant != PERMISSION_REFUSED;
}

/* ---- delivering ---- */

bool client_access_takes(const struct client_subscription *subscription, const struct message *message)
{
    struct client *client = subscription->client;
    struct client_access *access = client->access;
    if (access == NULL)
        return true; /* the user lost its permissions, and may have all from now on */
    if (access->permissions == NULL)
        return false;
    if (subscription->base.group != NULL)
        return permissions_deliver(access->permissions, message->subject,
                                   queue_group_name(subscription->base.group));
    struct permission_cache *cache = &client->context->permissions;
    if (permission_line_known(cache, &access->permissions->subscribe, message->line_serial))
        return true;
    if (!permission_cache_deliver(cache, access->permissions, message->subject))
        return false;
    permission_line_note(cache, &access->permissions->subscribe, message->line_serial);
    return true;
}

void client_access_delivered(struct client *client, const struct message *message)
{
    struct client_access *access = client->access;
    struct session_context *context = client->context;
    if (access->permissions == NULL || !access->permissions->responses.given ||
        permission_cache_publish(&context->permissions, access->permissions, message->reply))
        return;
    responses_note(&access->responses, &access->permissions->responses, message->reply, context->now_ns);
}

/* ---- new permissions ---- */

/* Takes no message from now on, and goes as one does that had its last. */
static void remove_later(struct client *client, struct client_subscription *subscription)
{
    uint32_t max = subscription_max(subscription);
    if (max != 0 && subscription->delivered >= max)
        return; /* it is about to go already */
    if (subscription->delivered == 0)
        subscription->delivered = 1;
    subscription->base.owner_word = 1;
    client->context->host->expired(client, subscription);
}

static void review_one(struct client *client, struct client_subscription *subscription)
{
    char line[REFUSAL_BYTES], prefix[CLIENT_PREFIX_BYTES], sid[QUOTED_BYTES], who[QUOTED_BYTES];
    struct bytes subject = interest_pattern(subscription->base.interest), queue = {0};
    if (subscription->base.group != NULL)
        queue = queue_group_name(subscription->base.group);
    enum permission_grant grant = permissions_subscribe(client->access->permissions, subject, queue);
    subscription->filtered = grant == PERMISSION_FILTERED;
    if (grant != PERMISSION_REFUSED)
        return;
    const struct security_user *user = client->user;
    bool by_key = user != NULL && user->nkey.count > 0;
    struct bytes name = user == NULL ? connect_user(&client->connect) : by_key ? user->nkey : user->name;
    (void)quote(subscription_sid(subscription), sid, sizeof sid);
    (void)quote(name, who, sizeof who);
    describe(line, sizeof line, "Removed sub ", subject, " using queue ", queue);
    log_notice(client->context->log, "%s - %s (sid %s) for %s %s - not authorized",
               client_prefix(client, prefix, sizeof prefix), line, sid, by_key ? "Nkey" : "User", who);
    describe(line, sizeof line, "Permissions Violation for Subscription to ", subject, " using queue ",
             queue);
    size_t count = strlen(line);
    snprintf(line + count, sizeof line - count, " (sid %s)", sid);
    remove_later(client, subscription);
    client_error(client, line);
}

void client_access_review(struct client *client)
{
    uint64_t at = 0;
    struct client_subscription *subscription;
    while (client->state != CLIENT_CLOSED && (subscription = sids_next(&client->sids, &at)) != NULL) {
        if (client->access == NULL)
            subscription->filtered = false;
        else
            review_one(client, subscription);
    }
}
