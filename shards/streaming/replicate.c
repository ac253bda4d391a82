/* shards/streaming/replicate.c - the machine and the replicated log: what is proposed and who waits for it,
 * what a committed entry does, and the change of leaders (docs/streaming-cluster.md); a part of state.h. In
 * the flow:  x_request() -> replicate_propose() -> STREAMING_OUTPUT_PROPOSE || streaming_apply() ->
 * x_applied(), with who waits if it was this node's.
 * A command that is valid when it is proposed may not be when it is applied, for others came between: that is
 * looked at again, and by every node in the same way. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

/* ---- proposing ---- */

/* A record of machine.waits: reply and guid, and this. */
struct waiting {
    uint64_t command_bytes;
    uint8_t kind;
};

bool replicate_full(const struct streaming *machine)
{
    return machine->waiting_bytes > HELD_BYTES_MAX;
}

bool replicate_propose(struct streaming *machine, struct command *command, struct wait wait)
{
    ASSERT(machine->setup.replicated && machine->leading);
    if (machine->now.wall_ns > machine->proposed_wall_ns)
        machine->proposed_wall_ns = machine->now.wall_ns;
    command->wall_ns = machine->proposed_wall_ns;
    struct waiting waiting = {.command_bytes = command_bytes(command), .kind = (uint8_t)command->kind};
    struct streaming_output who = {.via = wait.via, .subject = wait.guid, .reply = wait.reply};
    struct streaming_output what = {.kind = STREAMING_OUTPUT_PROPOSE};
    if (command->kind == COMMAND_PUBLISH && replicate_full(machine))
        return false;
    /* The room for both first: one without the other would answer the wrong one from there on. */
    if (!outputs_reserve(&machine->waits, &who, sizeof waiting) ||
        !outputs_reserve(&machine->proposals, &what, waiting.command_bytes))
        return false;
    uint8_t *body = outputs_put(&machine->waits, &who, sizeof waiting, 0);
    memcpy(body, &waiting, sizeof waiting);
    command_write(command, outputs_put(&machine->proposals, &what, waiting.command_bytes, 0));
    machine->waiting_bytes += waiting.command_bytes;
    machine->waiting_count++;
    machine->untaken_count++;
    return true;
}

/* The one that has waited longest. */
static bool wait_take(struct streaming *machine, struct wait *wait, struct waiting *waiting)
{
    struct streaming_output who;
    if (!outputs_next(&machine->waits, 0, &who))
        return false;
    memcpy(waiting, who.body.data, sizeof *waiting);
    *wait = (struct wait){.via = who.via, .reply = who.reply, .guid = who.subject};
    machine->waiting_bytes -= waiting->command_bytes;
    machine->waiting_count--;
    return true;
}

/* ---- applying ---- */

static enum err apply(struct streaming *machine, const struct command *command, const struct wait *wait)
{
    switch (command->kind) {
    case COMMAND_CLIENT_ADD:
        client_add_applied(machine, command, wait);
        return ERR_OK;
    case COMMAND_CLIENT_REMOVE:
        client_remove_applied(machine, command, wait);
        return ERR_OK;
    case COMMAND_PUBLISH:
        return publish_applied(machine, command, wait);
    case COMMAND_SUBSCRIBE:
        return subscribe_applied(machine, command, wait);
    case COMMAND_LEAVE:
        leave_applied(machine, command, wait);
        return ERR_OK;
    case COMMAND_PROGRESS:
        progress_applied(machine, command, wait != NULL);
        return ERR_OK;
    case COMMAND_CHANNEL_DELETE:
        return channel_delete_applied(machine, command);
    case COMMAND_CLIENT_KNOWN:
        client_known_applied(machine, command);
        return ERR_OK;
    case COMMAND_CLIENT_GONE:
        client_gone_applied(machine, command);
        return ERR_OK;
    }
    return ERR_DAMAGED;
}

enum err streaming_apply(struct streaming *machine, struct streaming_now now, uint64_t index,
                         struct bytes bytes, bool own)
{
    struct command command;
    struct wait wait;
    struct waiting waiting;
    ASSERT(machine->setup.replicated && index >= machine->applied_index);
    machine->now = now;
    machine_passing_empty(machine);
    if (!list_empty(&machine->lacking))
        return ERR_INVALID;
    if (!command_read(bytes, &command))
        return ERR_DAMAGED;
    machine->applied_index = index;
    if (command.wall_ns > machine->applied_wall_ns)
        machine->applied_wall_ns = command.wall_ns;
    machine->trouble = ERR_OK;
    if (own) {
        bool waits = wait_take(machine, &wait, &waiting);
        ASSERT(waits && waiting.kind == command.kind);
    }
    enum err err = apply(machine, &command, own ? &wait : NULL);
    if (err == ERR_OK)
        return machine->trouble;
    if (own) { /* it waits again, for the next try */
        outputs_back(&machine->waits, 1);
        machine->waiting_bytes += waiting.command_bytes;
        machine->waiting_count++;
    }
    return err;
}

void streaming_set_log(struct streaming *machine, const struct store_channel *log)
{
    machine->log = log;
}

/* ---- leading ---- */

bool streaming_leads(const struct streaming *machine)
{
    return machine->leading;
}

uint64_t streaming_applied_index(const struct streaming *machine)
{
    return machine->applied_index;
}

static void subscription_lead(struct streaming *machine, struct streaming_subscription *subscription)
{
    machine_listen(machine, subscription->info.ack_inbox, true);
    subscription->recovered = true;
    subscription->start_after = 0;
    list_push_last(&machine->starting, &subscription->starting);
}

static void lead_begin(struct streaming *machine)
{
    machine->leading = true;
    machine->proposed_wall_ns = machine->applied_wall_ns;
    machine->registry_stale = machine->setup.registry != NULL;
    for (struct list_link *at = list_first(&machine->all_clients); at != NULL;
         at = list_next(&machine->all_clients, at)) {
        struct streaming_client *client = LIST_ELEMENT(at, struct streaming_client, all);
        client_watch(machine, client);
        for (struct list_link *one = list_first(&client->subscriptions); one != NULL;
             one = list_next(&client->subscriptions, one))
            subscription_lead(machine, LIST_ELEMENT(one, struct streaming_subscription, of_client));
    }
    for (struct list_link *at = list_first(&machine->all_channels); at != NULL;
         at = list_next(&machine->all_channels, at)) {
        struct streaming_channel *channel = LIST_ELEMENT(at, struct streaming_channel, all);
        if (channel->store == NULL) /* the entry that deletes it, or made the next one, would be committed */
            machine_log(machine, LOG_ERROR, "The store lacks channel \"%.*s\"", BYTES_PRINTF(channel->name));
        channel_idle_check(machine, channel);
    }
}

/* As the log says, and as a follower has it: nothing known of when, and how often. */
static void subscription_follow(struct streaming *machine, struct streaming_subscription *subscription)
{
    machine_listen(machine, subscription->info.ack_inbox, false);
    progress_undo(machine, subscription);
    progress_forget(subscription);
    sequences_close(&subscription->counts);
    timers_cancel(&machine->timers, &subscription->timer);
    if (list_linked(&subscription->starting))
        list_remove(&subscription->starting);
    subscription_stall(subscription, false);
    subscription->state = SUBSCRIPTION_STARTING;
    subscription->silent = false;
    subscription->leaving = false;
    subscription->resume_sequence = 0;
    for (uint32_t i = 0; i < subscription->pending.capacity; i++)
        subscription->pending.entries[i].word = 0;
}

static void client_follow(struct streaming *machine, struct streaming_client *client)
{
    timers_cancel(&machine->timers, &client->timer);
    timers_cancel(&machine->timers, &client->probe_timer);
    memory_free(client->probe);
    client->probe = NULL;
    client->beating = false;
    client->leaving = false;
    client->failed_count = 0;
    client->via = STREAMING_VIA_NONE;
    for (struct list_link *at = list_first(&client->subscriptions); at != NULL;
         at = list_next(&client->subscriptions, at))
        subscription_follow(machine, LIST_ELEMENT(at, struct streaming_subscription, of_client));
}

static void channel_follow(struct streaming *machine, struct streaming_channel *channel)
{
    timers_cancel(&machine->timers, &channel->timer);
    if (list_linked(&channel->ready))
        list_remove(&channel->ready);
    for (struct list_link *at = list_first(&channel->groups); at != NULL;
         at = list_next(&channel->groups, at)) {
        struct streaming_group *group = LIST_ELEMENT(at, struct streaming_group, of_channel);
        group->last_sent = group->said_last_sent;
        sequences_close(&group->counts);
    }
}

/* Publishers are told: the newest whose commands nobody has taken are in no log, the others may be. */
static void waits_end(struct streaming *machine)
{
    struct wait wait;
    struct waiting waiting;
    while (wait_take(machine, &wait, &waiting)) {
        bool taken = machine->waiting_count >= machine->untaken_count;
        if (waiting.kind == COMMAND_PUBLISH)
            publish_answer(machine, &wait,
                           streaming_text(taken ? STREAMING_LEADERSHIP_LOST : STREAMING_NOT_LEADER));
    }
    outputs_close(&machine->proposals);
    machine->untaken_count = 0;
}

static void lead_end(struct streaming *machine)
{
    waits_end(machine);
    timers_cancel(&machine->timers, &machine->progress_timer);
    machine->progress_wanted = false;
    machine->registry_stale = false;
    outputs_close(&machine->settling);
    for (struct list_link *at = list_first(&machine->all_clients); at != NULL;
         at = list_next(&machine->all_clients, at))
        client_follow(machine, LIST_ELEMENT(at, struct streaming_client, all));
    for (struct list_link *at = list_first(&machine->all_channels); at != NULL;
         at = list_next(&machine->all_channels, at))
        channel_follow(machine, LIST_ELEMENT(at, struct streaming_channel, all));
    ASSERT(list_empty(&machine->starting) && list_empty(&machine->changed));
    machine->leading = false;
}

void streaming_lead(struct streaming *machine, struct streaming_now now, bool leads)
{
    ASSERT(machine->setup.replicated);
    machine->now = now;
    if (leads == machine->leading)
        return;
    if (leads)
        lead_begin(machine);
    else
        lead_end(machine);
}
