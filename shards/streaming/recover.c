/* shards/streaming/recover.c - what a restart finds in the store: who this server is, its clients, channels,
 * subscriptions with what is pending (spec/streaming.md 15); a part of state.h.
 * The store may not be called while it tells: so every subscription is hung up as offline first, and what
 * becomes of it is decided when all is known. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

#include <stdio.h>

/* ---- records ---- */

static bool copy(struct streaming *machine, struct bytes *text_of)
{
    char *made = arena_copy(&machine->texts, *text_of);
    if (made == NULL)
        return false;
    *text_of = bytes_of(made, text_of->count);
    return true;
}

static enum err server_take(struct streaming *machine, const struct store_state *state)
{
    struct wire_server_info *info = &machine->info;
    struct bytes *fields[] = {&info->cluster_id,         &info->discovery,   &info->publish,
                              &info->subscribe,          &info->unsubscribe, &info->close,
                              &info->subscription_close, &info->acks,        &info->node_id};
    if (!wire_server_info_read(&machine->wire, state->parts[0], info))
        return ERR_DAMAGED;
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (!copy(machine, fields[i]))
            return ERR_MEMORY;
    }
    machine->identified = true;
    return ERR_OK;
}

static enum err client_take(struct streaming *machine, const struct store_state *state)
{
    struct wire_client_info info;
    if (!wire_client_info_read(&machine->wire, state->parts[0], &info))
        return ERR_DAMAGED;
    return client_new(machine, &info, STREAMING_VIA_NONE) == NULL ? ERR_MEMORY : ERR_OK;
}

static bool varint_next(struct bytes *from, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && from->count > 0; shift += 7) {
        uint8_t byte = from->data[0];
        *from = bytes_of(from->data + 1, from->count - 1);
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static enum err addition_take(struct streaming_subscription *subscription, struct bytes addition)
{
    uint64_t word;
    while (addition.count > 0) {
        if (!varint_next(&addition, &word) || word < 2)
            return ERR_DAMAGED;
        uint64_t sequence = word >> 1;
        if (sequence > subscription->info.last_sent)
            subscription->info.last_sent = sequence;
        if ((word & 1) != 0)
            (void)sequences_remove(&subscription->pending, sequence);
        else if (sequences_put(&subscription->pending, sequence, 0) != ERR_OK)
            return ERR_MEMORY;
    }
    return ERR_OK;
}

static enum err subscription_take(struct streaming *machine, const struct store_state *state)
{
    struct wire_subscription_state info;
    struct streaming_channel *channel = store_channel_owner(state->channel);
    if (channel == NULL || !wire_subscription_state_read(&machine->wire, state->parts[0], &info))
        return ERR_DAMAGED;
    struct streaming_subscription *subscription = subscription_new(machine, channel, &info);
    if (subscription == NULL)
        return ERR_MEMORY;
    list_push_last(&channel->offline, &subscription->of_channel);
    if (info.id > channel->subscription_ids)
        channel->subscription_ids = info.id;
    for (uint32_t i = 1; i < state->part_count; i++) {
        enum err err = addition_take(subscription, state->parts[i]);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err take(void *context, const struct store_state *state)
{
    struct streaming *machine = context;
    switch (state->kind) {
    case STORE_STATE_SERVER:
        return server_take(machine, state);
    case STORE_STATE_CLIENT:
        return client_take(machine, state);
    case STORE_STATE_SUBSCRIPTION:
        return subscription_take(machine, state);
    case STORE_STATE_OTHER:
    case STORE_STATE_RAFT:
    case STORE_STATE_KINDS:
        break;
    }
    return ERR_OK;
}

static enum err take_server(void *context, const struct store_state *state)
{
    return state->kind == STORE_STATE_SERVER ? take(context, state) : ERR_OK;
}

/* ---- what becomes of each ---- */

static void drop(struct streaming *machine, struct streaming_subscription *subscription)
{
    subscription_forget(machine, subscription);
    subscription_free(machine, subscription);
}

static enum err revive(struct streaming *machine, struct streaming_subscription *subscription,
                       struct streaming_client *client, struct streaming_group *group)
{
    enum err err = subscription_attach(machine, subscription, client, group);
    if (err == ERR_OK) {
        subscription->recovered = true;
        list_push_last(&machine->starting, &subscription->starting);
    }
    return err;
}

static struct streaming_group *group_of(struct streaming_subscription *subscription)
{
    struct streaming_channel *channel = subscription->channel;
    struct streaming_group *group = group_find(channel, subscription->info.group);
    if (group == NULL)
        group = group_new(channel, subscription->info.group, subscription->info.durable);
    if (group != NULL && subscription->info.last_sent > group->last_sent)
        group->last_sent = subscription->info.last_sent;
    return group;
}

/* Of two shadows the one that is further stays. */
static void shadow_set(struct streaming *machine, struct streaming_group *group,
                       struct streaming_subscription *subscription)
{
    list_remove(&subscription->of_channel);
    if (group->shadow == NULL) {
        group->shadow = subscription;
        return;
    }
    machine_log(machine, LOG_WARNING,
                "Duplicate shadow durable queue consumer (subid=%llu) for group \"%.*s\"",
                (unsigned long long)subscription->info.id, BYTES_PRINTF(group->name));
    bool further = subscription->info.last_sent > group->shadow->info.last_sent;
    struct streaming_subscription *loser = further ? group->shadow : subscription;
    group->shadow = further ? subscription : group->shadow;
    drop(machine, loser);
}

static enum err member_settle(struct streaming *machine, struct streaming_subscription *subscription,
                              struct streaming_client *client)
{
    bool shadow = subscription->info.closed || subscription->info.client_id.count == 0;
    if (client == NULL && !shadow) {
        if (subscription->info.durable)
            machine_log(
                machine, LOG_WARNING,
                "Not recovering ghost durable queue subscriber: [%.*s]:[%.*s] subject=%.*s inbox=%.*s",
                BYTES_PRINTF(subscription->info.client_id), BYTES_PRINTF(subscription->info.group),
                BYTES_PRINTF(subscription->channel->name), BYTES_PRINTF(subscription->info.inbox));
        drop(machine, subscription);
        return ERR_OK;
    }
    struct streaming_group *group = group_of(subscription);
    if (group == NULL)
        return ERR_MEMORY;
    if (!shadow)
        return revive(machine, subscription, client, group);
    shadow_set(machine, group, subscription);
    return ERR_OK;
}

static enum err settle(struct streaming *machine, struct streaming_subscription *subscription)
{
    struct streaming_client *client = client_find(machine, subscription->info.client_id);
    if (subscription->info.group.count > 0)
        return member_settle(machine, subscription, client);
    if (client != NULL && !subscription->info.closed)
        return revive(machine, subscription, client, NULL);
    if (!subscription->info.durable)
        drop(machine, subscription);
    return ERR_OK;
}

/* A member came back beside a shadow: what the shadow kept is the group's now. */
static void shadows_join(struct streaming *machine, struct streaming_channel *channel)
{
    for (struct list_link *at = list_first(&channel->groups), *next = NULL; at != NULL; at = next) {
        struct streaming_group *group = LIST_ELEMENT(at, struct streaming_group, of_channel);
        next = list_next(&channel->groups, at);
        if (group->shadow != NULL && group->member_count > 0) {
            drop(machine, group->shadow);
            group->shadow = NULL;
        }
    }
}

enum err machine_recover(struct streaming *machine, char *why, size_t why_bytes)
{
    enum err err = ERR_OK;
    struct store_channel *store = NULL;
    if (machine->setup.replicated) { /* clients and subscriptions come with a snapshot */
        err = stored_recover(machine, why, why_bytes);
        return err == ERR_OK ? store_state_each(machine->store, take_server, machine) : err;
    }
    while ((store = store_channel_next(machine->store, store)) != NULL) {
        if (channel_adopt(machine, store) == NULL)
            return ERR_MEMORY;
    }
    err = store_state_each(machine->store, take, machine);
    for (struct list_link *at = list_first(&machine->all_channels); at != NULL && err == ERR_OK;
         at = list_next(&machine->all_channels, at)) {
        struct streaming_channel *channel = LIST_ELEMENT(at, struct streaming_channel, all);
        for (struct list_link *one = list_first(&channel->offline), *next = NULL;
             one != NULL && err == ERR_OK; one = next) {
            next = list_next(&channel->offline, one);
            err = settle(machine, LIST_ELEMENT(one, struct streaming_subscription, of_channel));
        }
        shadows_join(machine, channel);
        channel_idle_check(machine, channel);
    }
    if (err == ERR_DAMAGED)
        snprintf(why, why_bytes, "a record of the store is not what a streaming server writes");
    return err;
}

/* ---- who this is ---- */

enum err machine_identify(struct streaming *machine, char *why, size_t why_bytes)
{
    struct bytes wanted = text(machine->setup.cluster_id);
    if (!bytes_equal(machine->info.cluster_id, wanted)) {
        snprintf(why, why_bytes, "cluster ID \"%.*s\" does not match recovered value of \"%.*s\"",
                 BYTES_PRINTF(wanted), BYTES_PRINTF(machine->info.cluster_id));
        return ERR_INVALID;
    }
    if (machine->identified)
        return ERR_OK;
    if (machine->channels.count > 0)
        machine_log(
            machine, LOG_WARNING,
            "Server information was not recovered, however channels are present. Will initialize server and "
            "restart recovery!");
    size_t count = wire_server_info_bytes(&machine->info);
    uint8_t *record = memory_new(count + 1);
    if (record == NULL)
        return ERR_MEMORY;
    wire_server_info_write(&machine->info, record);
    enum err err =
        store_state_put(machine->store, STORE_STATE_SERVER, NULL, TEXT("server"), bytes_of(record, count));
    memory_free(record);
    if (err != ERR_OK)
        snprintf(why, why_bytes, "unable to initialize the store: %s", store_error(machine->store));
    return err;
}
