/* shards/streaming/unsubscribe.c - how subscriptions end: unsubscribe, close, the end of their client; what
 * stays of durables, and who gets a group member's messages (spec/streaming.md 12.4, 13); a part of state.h.
 */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

/* ---- groups ---- */

/* One message of a member that left becomes another one's. */
static bool deal_one(struct streaming *machine, struct streaming_subscription *member, uint64_t sequence)
{
    int64_t due_ns = machine->leading ? machine->now.now_ns - NS_PER_SECOND : 0;
    if (!machine->setup.replicated)
        return subscription_track(machine, member, sequence, due_ns);
    if (sequences_put(&member->pending, sequence, due_ns) != ERR_OK)
        return false;
    if (sequence > member->said_last_sent) /* all nodes do so, and nobody has to be told */
        member->said_last_sent = sequence;
    if (sequence > member->info.last_sent)
        member->info.last_sent = sequence;
    return true;
}

/* The group's place has to be in some record that stays. */
static void group_place_keep(struct streaming *machine, struct streaming_group *group,
                             const struct streaming_subscription *leaving)
{
    struct streaming_subscription *keeper =
        LIST_ELEMENT(list_first(&group->members), struct streaming_subscription, of_channel);
    if (leaving->info.last_sent != group->last_sent || keeper->info.last_sent >= group->last_sent)
        return;
    keeper->info.last_sent = group->last_sent;
    if (subscription_put(machine, keeper) != ERR_OK)
        keeper->put_wanted = true;
}

/* The member behind another one, in the order in which they are asked; in a replicated group that order is
 * this node's own, so it goes by age. */
static struct streaming_subscription *member_next(const struct streaming *machine,
                                                  const struct streaming_group *group,
                                                  struct streaming_subscription *member)
{
    struct list_link *at = member == NULL ? NULL : list_next(&group->members, &member->of_channel);
    struct streaming_subscription *next = NULL, *eldest = NULL;
    if (!machine->setup.replicated)
        return LIST_ELEMENT(at != NULL ? at : list_first(&group->members), struct streaming_subscription,
                            of_channel);
    for (at = list_first(&group->members); at != NULL; at = list_next(&group->members, at)) {
        struct streaming_subscription *one = LIST_ELEMENT(at, struct streaming_subscription, of_channel);
        if (eldest == NULL || one->info.id < eldest->info.id)
            eldest = one;
        if (member != NULL && one->info.id > member->info.id &&
            (next == NULL || one->info.id < next->info.id))
            next = one;
    }
    return next != NULL ? next : eldest;
}

/* What the member had goes round to the others, due at once; a moment later each looks at what is due and
 * chooses. */
static void group_deal(struct streaming *machine, struct streaming_group *group,
                       struct streaming_subscription *leaving)
{
    uint32_t count = leaving->pending.count;
    /* Moments of expiry are this node's own. */
    struct sequence_entry *all =
        machine->setup.replicated ? sequences_in_row(&leaving->pending) : sequences_sorted(&leaving->pending);
    struct streaming_subscription *member = NULL;
    if (all == NULL && count > 0)
        machine->trouble = ERR_MEMORY;
    for (uint32_t i = 0; all != NULL && i < count; i++) {
        member = member_next(machine, group, member);
        if (!deal_one(machine, member, all[i].sequence)) {
            machine->trouble = ERR_MEMORY;
            machine_log(machine, LOG_ERROR, "No memory to move message %llu to another member of its group",
                        (unsigned long long)all[i].sequence);
        }
        machine_timer_set(machine, &member->timer, machine->now.now_ns + GROUP_MOVE_NS);
    }
    memory_free(all);
    if (!machine->setup.replicated)
        group_place_keep(machine, group, leaving);
}

/* The last member of a durable group: its record stays without a client. */
static void group_shadow(struct streaming *machine, struct streaming_group *group,
                         struct streaming_subscription *last)
{
    last->info.last_sent = last->said_last_sent = group->last_sent;
    last->info.closed = true;
    group->shadow = last;
    if (subscription_put(machine, last) != ERR_OK)
        last->put_wanted = true;
}

/* The members as the log knows them, so that all nodes deal the same; and back again. */
static void group_undo(struct streaming *machine, struct streaming_group *group)
{
    for (struct list_link *at = list_first(&group->members); at != NULL; at = list_next(&group->members, at))
        progress_undo(machine, LIST_ELEMENT(at, struct streaming_subscription, of_channel));
}

static void group_redo(struct streaming *machine, struct streaming_group *group)
{
    for (struct list_link *at = list_first(&group->members); at != NULL; at = list_next(&group->members, at))
        progress_redo(machine, LIST_ELEMENT(at, struct streaming_subscription, of_channel));
}

static void group_leave(struct streaming *machine, struct streaming_subscription *subscription, bool forget)
{
    struct streaming_group *group = subscription->group;
    bool unsaid = subscription->progress.count > 0;
    group_undo(machine, group);
    progress_forget(subscription);
    subscription_detach(machine, subscription);
    /* What only the log does not know that it had would be nobody's now: the group sends from there again. */
    if (unsaid || (machine->setup.replicated && group->member_count == 0))
        group->last_sent = group->said_last_sent;
    if (group->member_count == 0 && group->durable && !forget) {
        group_shadow(machine, group, subscription);
        return;
    }
    if (group->member_count > 0) {
        group_deal(machine, group, subscription);
        group_redo(machine, group);
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
    subscription_log_left(machine, subscription, forget);
    if (subscription->group == NULL) {
        progress_undo(machine, subscription);
        progress_forget(subscription);
    }
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
                                       uint16_t via, struct streaming_subscription **found)
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
    *found = subscription;
    return STREAMING_NONE;
}

void subscription_settle(struct streaming *machine, struct streaming_subscription *subscription)
{
    subscription->leaving = true;
    subscription_stall(subscription, true);
    if (subscription->info.durable || subscription->group != NULL)
        progress_flush(machine, subscription);
}

static bool leave_propose(struct streaming *machine, const struct streaming_request *request,
                          struct streaming_subscription *subscription)
{
    struct command command = {
        .kind = COMMAND_LEAVE,
        .leave = {.channel = subscription->channel->name,
                  .ack_inbox = subscription->info.ack_inbox,
                  .forget = request->kind == STREAMING_REQUEST_UNSUBSCRIBE},
    };
    if (replicate_full(machine))
        return false;
    subscription_settle(machine, subscription);
    /* Without memory it stays as it is: its client asks again, or goes. */
    return replicate_propose(machine, &command, (struct wait){.via = request->via, .reply = request->reply});
}

void unsubscribe_request(struct streaming *machine, const struct streaming_request *request)
{
    struct wire_unsubscribe_request read;
    struct bytes none = {NULL, 0};
    struct streaming_subscription *subscription = NULL;
    enum streaming_text text = STREAMING_UNSUBSCRIBE_INVALID;
    bool readable = wire_unsubscribe_request_read(&machine->wire, request->payload, &read);
    if (readable ? !streaming_owns(machine, read.subject) : machine->setup.group != 0)
        return; /* another group's matter */
    if (readable)
        text = unsubscribe(machine, &read, request->via, &subscription);
    if (subscription != NULL && machine->setup.replicated) {
        if (leave_propose(machine, request, subscription))
            return;
        text = STREAMING_BUSY;
    } else if (subscription != NULL) {
        subscription_leave(machine, subscription, request->kind == STREAMING_REQUEST_UNSUBSCRIBE);
    }
    machine_answer_subscription(machine, request, none, streaming_text(text));
}

/* ---- the replicated log ---- */

void leave_applied(struct streaming *machine, const struct command *command, const struct wait *wait)
{
    struct streaming_subscription *subscription =
        subscription_by_ack_inbox(machine, command->leave.ack_inbox);
    enum streaming_text text = STREAMING_SUBSCRIPTION_INVALID;
    if (subscription != NULL && bytes_equal(subscription->channel->name, command->leave.channel)) {
        subscription_leave(machine, subscription, command->leave.forget);
        text = STREAMING_NONE;
    }
    if (wait == NULL)
        return;
    struct streaming_request answer = {.via = wait->via, .reply = wait->reply};
    machine_answer_subscription(machine, &answer, (struct bytes){NULL, 0}, streaming_text(text));
}
