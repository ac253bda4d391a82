/* shards/streaming/deliver.c - messages to subscriptions and groups, each within its window, and
 * acknowledgements back (spec/streaming.md 9.4, 9.5, 10.1, 12.2, 12.3); a part of state.h. Hot: no allocation
 * once warm. */
#include "shards/streaming/state.h"

/* ---- one message ---- */

bool message_send(struct streaming *machine, struct streaming_subscription *subscription,
                  const struct store_message *message, uint32_t count)
{
    uint8_t suffix[WIRE_REDELIVERY_BYTES_MAX];
    size_t suffix_bytes = count == 0 ? 0 : wire_redelivery_write(count, suffix);
    struct bytes none = {NULL, 0};
    uint8_t *body = machine_publish(machine, subscription->client->via, subscription->info.inbox, none,
                                    message->data.count + suffix_bytes);
    if (body == NULL)
        return false;
    body = mempcpy(body, message->data.data, message->data.count);
    memcpy(body, suffix, suffix_bytes);
    if (UNLIKELY(machine->setup.trace))
        machine_log(machine, LOG_TRACE, "[Client:%.*s] %s msg to subid=%llu, subject=%.*s, seq=%llu",
                    BYTES_PRINTF(subscription->client->info.id), count == 0 ? "Delivering" : "Redelivering",
                    (unsigned long long)subscription->info.id, BYTES_PRINTF(subscription->channel->name),
                    (unsigned long long)message->sequence);
    machine->out_messages++;
    machine->out_bytes += message->data.count + suffix_bytes;
    return true;
}

void subscription_stall(struct streaming_subscription *subscription, bool stalled)
{
    if (subscription->stalled == stalled)
        return;
    subscription->stalled = stalled;
    if (subscription->group == NULL)
        return;
    if (stalled)
        subscription->group->stalled_count++;
    else
        subscription->group->stalled_count--;
}

static bool window_full(const struct streaming_subscription *subscription)
{
    return subscription->pending.count >= (uint32_t)subscription->info.max_in_flight ||
           progress_full(subscription);
}

/* What was sent: in the set of what is pending, here and in the store. */
bool subscription_track(struct streaming *machine, struct streaming_subscription *subscription,
                        uint64_t sequence, int64_t expires_ns)
{
    /* What is there already changes nothing that the log would have to know. */
    bool news = !machine->setup.replicated || sequences_find(&subscription->pending, sequence) == NULL;
    /* 0 would mean that the moment is not known. */
    if (sequences_put(&subscription->pending, sequence, expires_ns == 0 ? 1 : expires_ns) != ERR_OK)
        return false;
    if (sequence > subscription->info.last_sent)
        subscription->info.last_sent = sequence;
    if (news)
        subscription_note(machine, subscription, sequence, false);
    if (!timer_set(&subscription->timer))
        machine_timer_set(machine, &subscription->timer, machine->now.now_ns + subscription->ack_wait_ns);
    return true;
}

/* Sends a new message. False: not now. */
static bool send_new(struct streaming *machine, struct streaming_subscription *subscription,
                     const struct store_message *message)
{
    if (subscription->state != SUBSCRIPTION_LIVE || subscription->leaving)
        return false;
    if (window_full(subscription)) {
        subscription_stall(subscription, true);
        return false;
    }
    int64_t expires_ns = machine->now.now_ns + subscription->ack_wait_ns;
    if (!subscription_track(machine, subscription, message->sequence, expires_ns))
        return false;
    if (!message_send(machine, subscription, message, 0)) {
        (void)sequences_remove(&subscription->pending, message->sequence); /* as good as never sent */
        subscription_note(machine, subscription, message->sequence, true);
        return false;
    }
    if (window_full(subscription))
        subscription_stall(subscription, true);
    return true;
}

/* ---- the next message ---- */

/* Looks up the first one at or behind `sequence` that may be delivered. False: there is none, or it cannot be
 * read. */
static bool next_message(struct streaming *machine, struct streaming_channel *channel, uint64_t sequence,
                         struct store_message *message)
{
    if (sequence > channel->safe_sequence)
        return false;
    enum err err = store_lookup(machine->store, channel->store, sequence, message);
    if (err == ERR_NOT_FOUND) {
        sequence = store_sequence_from(channel->store, sequence);
        if (sequence == 0 || sequence > channel->safe_sequence)
            return false;
        err = store_lookup(machine->store, channel->store, sequence, message);
    }
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        machine_log(machine, LOG_ERROR, "Error looking up message %.*s:%llu (%s)",
                    BYTES_PRINTF(channel->name), (unsigned long long)sequence, store_error(machine->store));
    return err == ERR_OK;
}

/* False: outputs are full. */
static bool deliver_plain(struct streaming *machine, struct streaming_channel *channel,
                          struct streaming_subscription *subscription)
{
    struct store_message message;
    while (!subscription->stalled && subscription->state == SUBSCRIPTION_LIVE &&
           next_message(machine, channel, subscription->info.last_sent + 1, &message)) {
        if (outputs_full(&machine->outputs))
            return false;
        if (!send_new(machine, subscription, &message))
            return true;
    }
    return true;
}

struct streaming_subscription *group_choose(struct streaming_group *group)
{
    struct streaming_subscription *best = NULL;
    struct list_link *first = list_first(&group->members);
    for (struct list_link *at = first; at != NULL; at = list_next(&group->members, at)) {
        struct streaming_subscription *member = LIST_ELEMENT(at, struct streaming_subscription, of_channel);
        if (!member->stalled && !member->silent && !member->leaving &&
            (best == NULL || member->pending.count < best->pending.count))
            best = member;
    }
    if (best == NULL && first != NULL)
        best = LIST_ELEMENT(first, struct streaming_subscription, of_channel);
    if (best != NULL && &best->of_channel == first && group->member_count > 1) {
        list_remove(first);
        list_push_last(&group->members, first);
    }
    return best;
}

/* New messages wait while a member that came back is sent what it had, or while none has started. */
static bool group_holds(const struct streaming_group *group)
{
    bool live = false;
    for (struct list_link *at = list_first(&group->members); at != NULL;
         at = list_next(&group->members, at)) {
        const struct streaming_subscription *member =
            LIST_ELEMENT(at, struct streaming_subscription, of_channel);
        if (member->state == SUBSCRIPTION_RESUMING)
            return true;
        live = live || member->state == SUBSCRIPTION_LIVE;
    }
    return !live;
}

static bool deliver_group(struct streaming *machine, struct streaming_channel *channel,
                          struct streaming_group *group)
{
    struct store_message message;
    if (group->stalled_count >= group->member_count || group_holds(group))
        return true;
    while (group->stalled_count < group->member_count &&
           next_message(machine, channel, group->last_sent + 1, &message)) {
        if (outputs_full(&machine->outputs))
            return false;
        struct streaming_subscription *member = group_choose(group);
        if (member == NULL || !send_new(machine, member, &message))
            return true;
        group->last_sent = message.sequence;
    }
    return true;
}

bool channel_deliver(struct streaming *machine, struct streaming_channel *channel)
{
    for (struct list_link *at = list_first(&channel->plain); at != NULL;
         at = list_next(&channel->plain, at)) {
        if (!deliver_plain(machine, channel, LIST_ELEMENT(at, struct streaming_subscription, of_channel)))
            return false;
    }
    for (struct list_link *at = list_first(&channel->groups); at != NULL;
         at = list_next(&channel->groups, at)) {
        if (!deliver_group(machine, channel, LIST_ELEMENT(at, struct streaming_group, of_channel)))
            return false;
    }
    return true;
}

/* ---- acknowledgements ---- */

void subscription_acknowledge(struct streaming *machine, struct streaming_subscription *subscription,
                              uint64_t sequence, bool by_client)
{
    if (!sequences_remove(&subscription->pending, sequence))
        return;
    subscription_note(machine, subscription, sequence, true);
    if (by_client)
        (void)sequences_remove(subscription_counts(subscription), sequence);
}

/* A message that went to another member meanwhile. */
static void acknowledge_elsewhere(struct streaming *machine, struct streaming_group *group, uint64_t sequence)
{
    for (struct list_link *at = list_first(&group->members); at != NULL;
         at = list_next(&group->members, at)) {
        struct streaming_subscription *member = LIST_ELEMENT(at, struct streaming_subscription, of_channel);
        if (!member->leaving && sequences_find(&member->pending, sequence) != NULL) {
            subscription_acknowledge(machine, member, sequence, true);
            return;
        }
    }
}

void acknowledge_request(struct streaming *machine, const struct streaming_request *request)
{
    struct wire_ack ack;
    if (!machine->leading)
        return;
    if (!wire_ack_read(&machine->wire, request->payload, &ack)) {
        if (!wire_control_read(&machine->wire, request->payload))
            machine_log(machine, LOG_ERROR, "Error decoding an acknowledgement on %.*s",
                        BYTES_PRINTF(request->subject));
        return;
    }
    struct streaming_subscription *subscription = subscription_by_ack_inbox(machine, request->subject);
    if (subscription == NULL || !bytes_equal(subscription->channel->name, ack.subject)) {
        if (channel_find(machine, ack.subject) == NULL)
            machine_log(machine, LOG_ERROR, "Unable to process ack seq=%llu, channel %.*s not found",
                        (unsigned long long)ack.sequence, BYTES_PRINTF(ack.subject));
        return;
    }
    if (subscription->leaving)
        return;
    subscription->client->via = request->via;
    if (UNLIKELY(machine->setup.trace))
        machine_log(machine, LOG_TRACE, "[Client:%.*s] Processing ack for subid=%llu, subject=%.*s, seq=%llu",
                    BYTES_PRINTF(subscription->client->info.id), (unsigned long long)subscription->info.id,
                    BYTES_PRINTF(ack.subject), (unsigned long long)ack.sequence);
    if (sequences_find(&subscription->pending, ack.sequence) != NULL)
        subscription_acknowledge(machine, subscription, ack.sequence, true);
    else if (subscription->group != NULL)
        acknowledge_elsewhere(machine, subscription->group, ack.sequence);
    if (subscription->stalled && !window_full(subscription)) {
        subscription_stall(subscription, false);
        channel_ready(machine, subscription->channel);
    }
}
