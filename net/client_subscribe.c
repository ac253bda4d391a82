/* net/client_subscribe.c - SUB and UNSUB (spec/client-protocol.md 2.6, 2.7, 7). */
#include "core/base/memory.h"
#include "core/security/user_claims.h"
#include "core/subject/subject.h"
#include "net/client_access.h"
#include "net/client_internal.h"
#include "net/error_text.h"

static bool over_limit(const struct client *client)
{
    int64_t most = client->context->options->max_subscriptions;
    const struct security_account *account = client->account->configured;
    if (account != NULL && account->limits.subscriptions >= 0 &&
        client->sids.count >= account->limits.subscriptions)
        return true;
    if (client->claimed != NULL && client->claimed->subscriptions >= 0 &&
        client->sids.count >= client->claimed->subscriptions)
        return true;
    return most > 0 && client->sids.count >= most;
}

static bool too_many_tokens(const struct client *client, struct bytes subject)
{
    int64_t most = client->context->options->max_subscription_tokens;
    return most > 0 && subject_token_count(subject) > (size_t)most;
}

/* The checks in nats-server's order: permission, tokens, count, duplicate, syntax (client-protocol 2.6).
 * True: a new subscription is to be made; otherwise the operation is answered. */
static bool acceptable(struct client *client, const struct operation *operation, bool *filtered)
{
    *filtered = false;
    if (bytes_equal(operation->queue, TEXT("_sys_"))) {
        client_error_quoted(client, "Permissions Violation for Subscription to ", operation->subject,
                            " using queue \"_sys_\"");
        return false;
    }
    if (UNLIKELY(client->access != NULL) &&
        !client_access_subscribe(client, operation->subject, operation->queue, operation->sid, filtered))
        return false;
    if (too_many_tokens(client, operation->subject)) {
        client_error_quoted(client, "Permissions Violation for Subscription to ", operation->subject,
                            ", too many tokens");
        return false;
    }
    if (over_limit(client)) {
        client_error(client, error_text(ERROR_MAXIMUM_SUBSCRIPTIONS));
        return false;
    }
    if (sids_find(&client->sids, operation->sid) != NULL) {
        client_ok(client);
        return false;
    }
    if (!subject_valid_pattern(operation->subject)) {
        client_error(client, error_text(ERROR_INVALID_SUBJECT));
        return false;
    }
    return true;
}

static struct client_subscription *subscription_new(struct client *client, struct bytes sid)
{
    if (sid.count > SID_BYTES_MAX)
        return NULL;
    struct client_subscription *subscription =
        memory_new(offsetof(struct client_subscription, sid) + sid.count);
    if (subscription == NULL)
        return NULL;
    subscription->client = client;
    subscription->sid_count = (uint16_t)(sid.count & SID_BYTES_MAX);
    memcpy(subscription->sid, sid.data, sid.count);
    return subscription;
}

/* A subscription that new permissions took away may still wait for its removal; its client has been told, and
 * may use the sid again. */
static enum handled make_way(struct client *client, struct bytes sid)
{
    struct client_subscription *old = sids_find(&client->sids, sid);
    uint32_t max = old == NULL ? 0 : subscription_max(old);
    return max != 0 && old->delivered >= max ? client_subscription_remove(client, old) : HANDLED;
}

enum handled client_subscribe(struct client *client, const struct operation *operation)
{
    if (UNLIKELY(client->access != NULL) && make_way(client, operation->sid) == HANDLED_LATER)
        return HANDLED_LATER;
    bool filtered;
    if (!acceptable(client, operation, &filtered))
        return HANDLED;
    struct client_subscription *subscription = subscription_new(client, operation->sid);
    if (subscription == NULL || sids_add(&client->sids, subscription) != ERR_OK) {
        memory_free(subscription);
        client_close(client, CLOSED_READ_ERROR, NULL);
        return HANDLED;
    }
    subscription->filtered = filtered;
    enum host_result result =
        client->context->host->subscribe(client, subscription, operation->subject, operation->queue);
    if (result == HOST_DONE) {
        client_ok(client);
        return HANDLED;
    }
    if (subscription->base.interest == NULL) { /* else it could not be taken out again; closing does that */
        sids_remove(&client->sids, subscription);
        memory_free(subscription);
    }
    if (result == HOST_FULL)
        return HANDLED_LATER;
    client_close(client, CLOSED_READ_ERROR, NULL);
    return HANDLED;
}

enum handled client_subscription_remove(struct client *client, struct client_subscription *subscription)
{
    if (client->context->host->unsubscribe(client, subscription) == HOST_FULL)
        return HANDLED_LATER;
    if (UNLIKELY(client->context->options->trace))
        client_trace_removed(client, subscription_sid(subscription));
    client->line_serial = 0; /* its memory may soon be another one's */
    sids_remove(&client->sids, subscription);
    memory_free(subscription);
    return HANDLED;
}

enum handled client_unsubscribe(struct client *client, const struct operation *operation)
{
    struct client_subscription *subscription = sids_find(&client->sids, operation->sid);
    if (subscription != NULL) {
        if (operation->max > 0 && (uint64_t)operation->max > subscription->delivered)
            subscription->base.owner_word = (uint32_t)operation->max;
        else if (client_subscription_remove(client, subscription) == HANDLED_LATER)
            return HANDLED_LATER;
    }
    client_ok(client);
    return HANDLED;
}

bool client_remove_expired(struct client_subscription *subscription)
{
    return client_subscription_remove(subscription->client, subscription) == HANDLED;
}
