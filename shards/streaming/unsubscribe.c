/* shards/streaming/unsubscribe.c - how subscriptions end: unsubscribe, close, the end of their client; what
 * stays of durables, and who gets a group member's messages (spec/streaming.md 12.4, 13); a part of state.h.
 */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

/* ---- groups ---- */

/* What the member had goes round to the others, due at once; a moment later each looks at what is due and
 * chooses. */
static void group_deal(struct streaming *machine, struct streaming_group *group,
                       struct streaming_subscription *leaving)
{
    struct sequence_entry *all = sequences_sorted(&leaving->pending);
    struct list_link *at = list_first(&group->members);
    for (uint32_t i = 0; all != NULL && i < leaving->pending.count; i++) {
        struct streaming_subscription *member = LIST_ELEMENT(at, struct streaming_subscription, of_channel);
        if (!subscription_track(machine, member, all[i].sequence, machine->now.now_ns - NS_PER_SECOND))
            machine_log(machine, LOG_ERROR, "No memory to move message %llu to another member of its group",
                        (unsigned long long)all[i].sequence);
        machine_timer_set(machine, &member->timer, machine->now.now_ns + GROUP_MOVE_NS);
        at = list_next(&group->members, at);
        if (at == NULL)
            at = list_first(&group->members);
    }
    memory_free(all);
    /* The group's place has to be in some record that stays. */
    struct streaming_subscription *keeper =
        LIST_ELEMENT(list_first(&group->members), struct streaming_subscription, of_channel);
    if (leaving->info.last_sent == group->last_sent && keeper->info.last_sent < group->last_sent) {
        keeper->info.last_sent = group->last_sent;
        if (subscription_put(machine, keeper) != ERR_OK)
            keeper->put_wanted = true;
    }
}

/* The last member of a durable group: its record stays without a client. */
static void group_shadow(struct streaming *machine, struct streaming_group *group,
                         struct streaming_subscription *last)
{
    last->info.last_sent = group->last_sent;
    last->info.closed = true;
    group->shadow = last;
    if (subscription_put(machine, last) != ERR_OK)
        last->put_wanted = true;
}

static void group_leave(struct streaming *machine, struct streaming_subscription *subscription, bool forget)
{
    struct streaming_group *group = subscription->group;
    subscription_detach(machine, subscription);
    if (group->member_count == 0 && group->durable && !forget) {
        group_shadow(machine, group, subscription);
        return;
    }
    if (group->member_count > 0) {
        group_deal(machine, group, subscription);
        channel_ready(machine, subscription->channel);
    } else {
        group_free(group);
    }
    subscription_forget(machine, subscription);
    subscription_free(machine, subscription);
}

/* ---- all ---- */

void subscription_leave(struct streaming *machine, struct streaming_subscription *subscription, bool forget)
{
    struct streaming_channel *channel = subscription->channel;
    machine_log(machine, LOG_DEBUG, "[Client:%.*s] %s subscription, subject=%.*s, inbox=%.*s, subid=%llu",
                BYTES_PRINTF(subscription->info.client_id),
                subscription->info.durable && !forget ? "Suspended" : "Removed", BYTES_PRINTF(channel->name),
                BYTES_PRINTF(subscription->info.inbox), (unsigned long long)subscription->info.id);
    if (subscription->group != NULL) {
        group_leave(machine, subscription, forget);
    } else if (subscription->info.durable && !forget) {
        subscription_detach(machine, subscription);
        list_push_last(&channel->offline, &subscription->of_channel);
        subscription->info.closed = true;
        if (subscription_put(machine, subscription) != ERR_OK)
            subscription->put_wanted = true;
    } else {
        subscription_forget(machine, subscription);
        subscription_free(machine, subscription);
    }
    channel_idle_check(machine, channel);
}

/* ---- request ---- */

/* By its ack inbox; by its delivery inbox for who was never told the other one. */
static struct streaming_subscription *find(const struct streaming *machine,
                                           const struct streaming_channel *channel,
                                           const struct streaming_client *client, struct bytes inbox)
{
    struct streaming_subscription *subscription = subscription_by_ack_inbox(machine, inbox);
    if (subscription != NULL && subscription->channel == channel)
        return subscription;
    if (client == NULL)
        return NULL;
    for (struct list_link *at = list_first(&client->subscriptions); at != NULL;
         at = list_next(&client->subscriptions, at)) {
        subscription = LIST_ELEMENT(at, struct streaming_subscription, of_client);
        if (subscription->channel == channel && bytes_equal(subscription->info.inbox, inbox))
            return subscription;
    }
    return NULL;
}

static enum streaming_text unsubscribe(struct streaming *machine, const struct wire_unsubscribe_request *read,
                                       bool forget, uint16_t via)
{
    struct streaming_channel *channel = channel_find(machine, read->subject);
    if (channel == NULL)
        return STREAMING_CHANNEL_UNKNOWN;
    struct streaming_client *client = client_find(machine, read->client_id);
    struct streaming_subscription *subscription = find(machine, channel, client, read->inbox);
    if (subscription == NULL)
        return STREAMING_SUBSCRIPTION_INVALID;
    if (client == NULL || subscription->client != client)
        return STREAMING_CLIENT_UNKNOWN;
    client->via = via;
    subscription_leave(machine, subscription, forget);
    return STREAMING_NONE;
}

void unsubscribe_request(struct streaming *machine, const struct streaming_request *request)
{
    struct wire_unsubscribe_request read;
    struct bytes none = {NULL, 0};
    enum streaming_text text = STREAMING_UNSUBSCRIBE_INVALID;
    if (wire_unsubscribe_request_read(&machine->wire, request->payload, &read))
        text = unsubscribe(machine, &read, request->kind == STREAMING_REQUEST_UNSUBSCRIBE, request->via);
    machine_answer_subscription(machine, request, none, streaming_text(text));
}
