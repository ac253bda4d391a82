/* shards/streaming/redeliver.c - what was not acknowledged in time, or whose subscriber has come back, is
 * sent again (spec/streaming.md 10.2, 10.3, 11.3, 12.6); a part of state.h. A run walks a sorted copy of what
 * is pending: sends and moves change the set meanwhile. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

/* How often a message was sent again, this time included. */
static uint32_t count_next(struct streaming_subscription *subscription, uint64_t sequence)
{
    struct sequences *counts = subscription_counts(subscription);
    int64_t *word = sequences_find(counts, sequence);
    if (word != NULL)
        return (uint32_t)++ * word;
    if (sequences_put(counts, sequence, 0) != ERR_OK)
        return 1; /* without memory to count it is the first time once more */
    return (uint32_t)++ * sequences_find(counts, sequence);
}

/* Looks it up. False: not now, or never, and then it is as good as acknowledged. */
static bool lookup(struct streaming *machine, struct streaming_subscription *subscription, uint64_t sequence,
                   struct store_message *message)
{
    enum err err = store_lookup(machine->store, subscription->channel->store, sequence, message);
    if (err == ERR_NOT_FOUND)
        subscription_acknowledge(machine, subscription, sequence, true);
    else if (err != ERR_OK)
        machine_log(machine, LOG_ERROR, "Error getting message for redelivery subid=%llu, seq=%llu, err=%s",
                    (unsigned long long)subscription->info.id, (unsigned long long)sequence,
                    store_error(machine->store));
    return err == ERR_OK;
}

/* To the member that may take it best; it changes hands in the order that loses nothing. */
static void send_again(struct streaming *machine, struct streaming_subscription *holder,
                       const struct store_message *message)
{
    struct streaming_subscription *to = holder;
    if (holder->group != NULL) {
        to = group_choose(holder->group);
        if (to == NULL || to->state != SUBSCRIPTION_LIVE || to->leaving)
            to = holder;
    }
    if (to != holder) {
        if (!subscription_track(machine, to, message->sequence, machine->now.now_ns + to->ack_wait_ns))
            to = holder;
        else
            subscription_acknowledge(machine, holder, message->sequence, false);
    }
    if (to == holder) {
        int64_t *expires_ns = sequences_find(&holder->pending, message->sequence);
        ASSERT(expires_ns != NULL);
        *expires_ns = (*expires_ns == 0 ? machine->now.now_ns : *expires_ns) + holder->ack_wait_ns;
    }
    (void)message_send(machine, to, message, count_next(to, message->sequence));
}

/* Entries that a restart left without a moment get theirs from the message. */
static void expiries_recover(struct streaming *machine, struct streaming_subscription *subscription)
{
    struct sequence_entry *all = sequences_sorted(&subscription->pending);
    for (uint32_t i = 0, count = subscription->pending.count; all != NULL && i < count && all[i].word == 0;
         i++) {
        struct store_message message;
        if (!lookup(machine, subscription, all[i].sequence, &message))
            continue;
        int64_t age_ns = machine->now.wall_ns - message.timestamp_ns;
        int64_t *expires_ns = sequences_find(&subscription->pending, all[i].sequence);
        *expires_ns = machine->now.now_ns - age_ns + subscription->ack_wait_ns;
        if (*expires_ns == 0)
            *expires_ns = 1;
    }
    memory_free(all);
}

/* The earliest moment after those that were due, or one wait from now. */
static void timer_again(struct streaming *machine, struct streaming_subscription *subscription,
                        int64_t later_ns)
{
    if (subscription->pending.count == 0)
        return;
    int64_t due_ns = later_ns != INT64_MAX ? later_ns : machine->now.now_ns + subscription->ack_wait_ns;
    machine_timer_set(machine, &subscription->timer, due_ns);
}

void redelivery_due(struct streaming *machine, struct streaming_subscription *subscription)
{
    int64_t now_ns = machine->now.now_ns, later_ns = INT64_MAX;
    if (subscription->pending.count == 0 || subscription->leaving)
        return;
    if (subscription->state != SUBSCRIPTION_LIVE || (subscription->group == NULL && subscription->silent)) {
        machine_timer_set(machine, &subscription->timer, now_ns + subscription->ack_wait_ns);
        return;
    }
    expiries_recover(machine, subscription);
    uint32_t count = subscription->pending.count;
    struct sequence_entry *all = sequences_sorted(&subscription->pending);
    for (uint32_t i = 0; all != NULL && i < count; i++) {
        struct store_message message;
        bool full = outputs_full(&machine->outputs);
        if (all[i].word > now_ns + REDELIVERY_SLACK_NS || full) {
            later_ns = full ? now_ns + 1 : all[i].word; /* the rest when outputs have been taken */
            break;
        }
        if (sequences_find(&subscription->pending, all[i].sequence) == NULL)
            continue;
        if (lookup(machine, subscription, all[i].sequence, &message))
            send_again(machine, subscription, &message);
    }
    memory_free(all);
    timer_again(machine, subscription, later_ns);
    if (subscription->stalled && subscription->pending.count < (uint32_t)subscription->info.max_in_flight) {
        subscription_stall(subscription, false);
        channel_ready(machine, subscription->channel);
    }
}

bool redelivery_resume(struct streaming *machine, struct streaming_subscription *subscription)
{
    if (subscription->recovered && subscription->resume_sequence == 0)
        expiries_recover(machine, subscription);
    uint32_t count = subscription->pending.count;
    struct sequence_entry *all = sequences_in_row(&subscription->pending);
    bool done = true;
    for (uint32_t i = 0; all != NULL && i < count && done; i++) {
        struct store_message message;
        if (all[i].sequence <= subscription->resume_sequence)
            continue;
        done = !outputs_full(&machine->outputs);
        if (!done)
            break;
        subscription->resume_sequence = all[i].sequence;
        if (subscription->recovered && all[i].word > machine->now.now_ns)
            continue; /* after a restart only what is due */
        if (!lookup(machine, subscription, all[i].sequence, &message))
            continue;
        int64_t *expires_ns = sequences_find(&subscription->pending, all[i].sequence);
        int64_t due_ns = *expires_ns == 0 ? machine->now.now_ns : *expires_ns;
        if (due_ns + subscription->ack_wait_ns <= machine->now.now_ns) /* long ago: it would come twice */
            due_ns = machine->now.now_ns;
        *expires_ns = due_ns + subscription->ack_wait_ns;
        (void)message_send(machine, subscription, &message, count_next(subscription, all[i].sequence));
    }
    memory_free(all);
    return done;
}
