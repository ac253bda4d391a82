/* shards/streaming/progress.c - what a leader has sent and had acknowledged, on its way into the replicated
 * log (docs/streaming-cluster.md 3); a part of state.h. In the flow:  subscription_note() -> progress_note()
 * || progress_step() -> COMMAND_PROGRESS -> log -> progress_applied(): the followers do the same, the leader
 * forgets what it had to say. The leader's own state is ahead of the log by these events, each of which
 * changed it, so they can be taken back: when it stops leading, and where a command must find what all nodes
 * have in common. A message that goes from one member of a group to another is in one command, or a crash
 * could leave it with nobody. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

enum {
    WAITING_MANY = 100,                /* events of a subscription: it is time */
    EVENT_BYTES_MAX = 64 * 1024,       /* of a subscription and not applied: nothing more is sent to it */
    COMMAND_BYTES_ENOUGH = 256 * 1024, /* a command is closed behind the group with which it got so large */
    EVENTS_FIRST = 64,
};

/* ---- noting ---- */

static bool room(struct progress *progress)
{
    if (progress->capacity - progress->count >= PACKED_NUMBER_BYTES_MAX)
        return true;
    uint32_t capacity = progress->capacity == 0 ? EVENTS_FIRST : progress->capacity * 2;
    uint8_t *events = memory_grow(progress->events, capacity);
    if (events == NULL)
        return false;
    progress->events = events;
    progress->capacity = capacity;
    return true;
}

void progress_note(struct streaming *machine, struct streaming_subscription *subscription, uint64_t sequence,
                   bool acknowledged)
{
    struct progress *progress = &subscription->progress;
    if (!machine->leading)
        return;
    if (!room(progress)) {
        machine_log(machine, LOG_ERROR, "No memory to tell the cluster of message %llu, subid=%llu",
                    (unsigned long long)sequence, (unsigned long long)subscription->info.id);
        return; /* a new leader sends it again */
    }
    struct packer to = {.at = progress->events + progress->count};
    pack_number(&to, sequence << 1 | acknowledged);
    progress->count += (uint32_t)to.count;
    if (++progress->waiting >= WAITING_MANY)
        machine->progress_wanted = true;
    if (!list_linked(&subscription->changed))
        list_push_last(&machine->changed, &subscription->changed);
    if (!timer_set(&machine->progress_timer))
        machine_timer_set(machine, &machine->progress_timer, machine->now.now_ns + PROGRESS_NS);
}

bool progress_full(const struct streaming_subscription *subscription)
{
    return subscription->progress.count >= EVENT_BYTES_MAX;
}

void progress_forget(struct streaming_subscription *subscription)
{
    memory_free(subscription->progress.events);
    subscription->progress = (struct progress){0};
    if (list_linked(&subscription->changed))
        list_remove(&subscription->changed);
}

/* ---- proposing ---- */

static struct bytes to_say(const struct streaming_subscription *subscription)
{
    const struct progress *progress = &subscription->progress;
    return bytes_of(progress->events + progress->proposed_count, progress->count - progress->proposed_count);
}

/* The first that has something to say, and who is in a group with it, go to `saying`. */
static void unit_take(struct streaming *machine, struct list *saying, struct packer *counter)
{
    struct streaming_subscription *first =
        LIST_ELEMENT(list_first(&machine->changed), struct streaming_subscription, changed);
    struct streaming_group *group = first->group;
    struct list_link *at = group == NULL ? &first->of_channel : list_first(&group->members);
    for (struct list_link *next; at != NULL; at = next) {
        struct streaming_subscription *one = LIST_ELEMENT(at, struct streaming_subscription, of_channel);
        next = group == NULL ? NULL : list_next(&group->members, at);
        if (!list_linked(&one->changed))
            continue;
        list_remove(&one->changed);
        list_push_last(saying, &one->changed);
        command_progress_put(counter, one->info.ack_inbox, to_say(one));
    }
}

static bool say(struct streaming *machine, const struct list *saying, size_t count)
{
    uint8_t *rows = memory_new(count);
    struct packer to = {.at = rows};
    if (rows == NULL)
        return false;
    for (struct list_link *at = list_first(saying); at != NULL; at = list_next(saying, at)) {
        const struct streaming_subscription *one = LIST_ELEMENT(at, struct streaming_subscription, changed);
        command_progress_put(&to, one->info.ack_inbox, to_say(one));
    }
    ASSERT(to.count == count);
    struct command command = {.kind = COMMAND_PROGRESS, .progress = {.rows = bytes_of(rows, count)}};
    bool said = replicate_propose(machine, &command, (struct wait){0});
    memory_free(rows);
    return said;
}

static void flush(struct streaming *machine)
{
    bool said = !replicate_full(machine);
    machine->progress_wanted = false;
    timers_cancel(&machine->timers, &machine->progress_timer);
    while (said && !list_empty(&machine->changed)) {
        struct list saying;
        struct packer counter = {0};
        list_init(&saying);
        while (!list_empty(&machine->changed) && counter.count < COMMAND_BYTES_ENOUGH)
            unit_take(machine, &saying, &counter);
        said =
            say(machine, &saying, counter.count); /* above the bound by what is due now, which is bounded */
        for (struct list_link *at; (at = list_first(&saying)) != NULL;) {
            struct streaming_subscription *one = LIST_ELEMENT(at, struct streaming_subscription, changed);
            list_remove(at);
            if (said) {
                one->progress.proposed_count = one->progress.count;
                one->progress.waiting = 0;
            } else {
                list_push_last(&machine->changed, at);
            }
        }
    }
    if (!said)
        machine_timer_set(machine, &machine->progress_timer, machine->now.now_ns + PROGRESS_NS);
}

void progress_due(struct streaming *machine)
{
    flush(machine);
}

void progress_step(struct streaming *machine)
{
    if (machine->progress_wanted)
        flush(machine);
}

void progress_flush(struct streaming *machine, struct streaming_subscription *subscription)
{
    if (list_linked(&subscription->changed))
        flush(machine); /* with all the others: they are cheapest together */
}

/* ---- events as changes ---- */

static uint64_t newest_sent(struct bytes events)
{
    struct unpacker from = {.rest = events};
    uint64_t newest = 0;
    while (from.rest.count > 0) {
        uint64_t event = unpack_number(&from);
        if ((event & 1) == 0 && event >> 1 > newest)
            newest = event >> 1;
    }
    return newest;
}

static enum err events_do(struct sequences *pending, struct bytes events, int64_t word)
{
    struct unpacker from = {.rest = events};
    enum err err = ERR_OK;
    while (err == ERR_OK && from.rest.count > 0) {
        uint64_t event = unpack_number(&from);
        if ((event & 1) != 0)
            (void)sequences_remove(pending, event >> 1);
        else if (sequences_find(pending, event >> 1) == NULL)
            err = sequences_put(pending, event >> 1, word);
    }
    return err;
}

/* From the newest to the oldest, each turned round. */
static enum err events_undo(struct sequences *pending, const struct progress *progress)
{
    enum err err = ERR_OK;
    for (uint32_t end = progress->count; err == ERR_OK && end > 0;) {
        uint32_t start = end - 1;
        while (start > 0 && progress->events[start - 1] >= 0x80)
            start--;
        struct unpacker from = {.rest = bytes_of(progress->events + start, end - start)};
        uint64_t event = unpack_number(&from);
        if ((event & 1) == 0)
            (void)sequences_remove(pending, event >> 1);
        else if (sequences_find(pending, event >> 1) == NULL)
            err = sequences_put(pending, event >> 1, 0);
        end = start;
    }
    return err;
}

void progress_undo(struct streaming *machine, struct streaming_subscription *subscription)
{
    if (!machine->setup.replicated)
        return;
    if (events_undo(&subscription->pending, &subscription->progress) != ERR_OK)
        machine->trouble = ERR_MEMORY;
    subscription->info.last_sent = subscription->said_last_sent;
}

void progress_redo(struct streaming *machine, struct streaming_subscription *subscription)
{
    struct bytes events = bytes_of(subscription->progress.events, subscription->progress.count);
    int64_t expires_ns = machine->now.now_ns + subscription->ack_wait_ns;
    if (events.count == 0)
        return;
    if (events_do(&subscription->pending, events, expires_ns == 0 ? 1 : expires_ns) != ERR_OK)
        machine->trouble = ERR_MEMORY;
    uint64_t newest = newest_sent(events);
    if (newest > subscription->info.last_sent)
        subscription->info.last_sent = newest;
}

enum err progress_pending(const struct streaming_subscription *subscription, struct sequence_entry **all,
                          uint32_t *count)
{
    struct sequences copy = {0};
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < subscription->pending.capacity && err == ERR_OK; i++) {
        if (subscription->pending.entries[i].sequence != 0)
            err = sequences_put(&copy, subscription->pending.entries[i].sequence, 0);
    }
    if (err == ERR_OK)
        err = events_undo(&copy, &subscription->progress);
    *count = copy.count;
    *all = err == ERR_OK ? sequences_in_row(&copy) : NULL;
    if (err == ERR_OK && *all == NULL && copy.count > 0)
        err = ERR_MEMORY;
    sequences_close(&copy);
    return err;
}

/* ---- applied ---- */

static void said(struct streaming *machine, struct streaming_subscription *subscription, struct bytes events)
{
    struct progress *progress = &subscription->progress;
    ASSERT(events.count <= progress->proposed_count &&
           memcmp(progress->events, events.data, events.count) == 0);
    uint32_t count = (uint32_t)events.count;
    memmove(progress->events, progress->events + count, progress->count - count);
    progress->count -= count;
    progress->proposed_count -= count;
    if (subscription->stalled && !subscription->leaving && !progress_full(subscription) &&
        subscription->pending.count < (uint32_t)subscription->info.max_in_flight) {
        subscription_stall(subscription, false);
        channel_ready(machine, subscription->channel);
    }
}

static void told(struct streaming *machine, struct streaming_subscription *subscription, struct bytes events,
                 uint64_t newest)
{
    struct streaming_group *group = subscription->group;
    if (events_do(&subscription->pending, events, 0) != ERR_OK)
        machine->trouble = ERR_MEMORY;
    if (newest > subscription->info.last_sent)
        subscription->info.last_sent = newest;
    if (group != NULL && newest > group->last_sent)
        group->last_sent = newest;
}

void progress_applied(struct streaming *machine, const struct command *command, bool own)
{
    struct bytes rows = command->progress.rows, ack_inbox, events;
    while (command_progress_next(&rows, &ack_inbox, &events)) {
        struct streaming_subscription *subscription = subscription_by_ack_inbox(machine, ack_inbox);
        if (subscription == NULL)
            continue; /* it has left */
        uint64_t newest = newest_sent(events);
        if (newest > subscription->said_last_sent)
            subscription->said_last_sent = newest;
        if (subscription->group != NULL && newest > subscription->group->said_last_sent)
            subscription->group->said_last_sent = newest;
        if (own)
            said(machine, subscription, events);
        else
            told(machine, subscription, events, newest);
    }
}
