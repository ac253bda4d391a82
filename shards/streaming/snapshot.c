/* shards/streaming/snapshot.c - the replicated state as bytes, and back (docs/streaming-cluster.md 4); a part
 * of state.h.
 *
 * Numbers and texts (packing.h), in this order:
 *   version 1, index of the last entry applied, the newest moment
 *   count of clients, of each: id, heartbeat inbox, connection id, protocol, ping interval, pings out,
 *     index of the entry that added it, whether its connection id finds it
 *   count of channels, of each: name, id, index of the entry that used it last, timestamp, first and last
 *     sequence;
 *     count of groups, of each: name, whether durable, last sent;
 *     count of subscriptions, of each: enum role, id, last sent, client id, group, inbox, ack inbox, durable
 *       name, most in flight, ack wait, whether durable, whether closed, count of what is pending, and that
 *       in order of sequence, each as the distance from the one before
 * Valid: nothing behind; names are once there; what refers to a client or a group finds it. They come from
 * another node, so all of that is looked at. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

#include <stdlib.h>

enum { VERSION = 1 };
#define SEQUENCE_MAX (UINT64_MAX / 4) /* behind it there is room for counting */
enum role { ROLE_PLAIN, ROLE_OFFLINE, ROLE_MEMBER, ROLE_SHADOW };

/* ---- writing ---- */

static enum err subscription_pack(struct packer *to, const struct streaming_subscription *subscription,
                                  enum role role)
{
    const struct wire_subscription_state *info = &subscription->info;
    struct sequence_entry *pending = NULL;
    uint32_t count = 0;
    uint64_t before = 0;
    enum err err = progress_pending(subscription, &pending, &count);
    if (err != ERR_OK)
        return err;
    pack_number(to, role);
    pack_number(to, info->id);
    pack_number(to, subscription->said_last_sent);
    pack_text(to, info->client_id);
    pack_text(to, info->group);
    pack_text(to, info->inbox);
    pack_text(to, info->ack_inbox);
    pack_text(to, info->durable_name);
    pack_number(to, (uint32_t)info->max_in_flight);
    pack_number(to, (uint32_t)info->ack_wait_seconds);
    pack_number(to, info->durable);
    pack_number(to, info->closed);
    pack_number(to, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_number(to, pending[i].sequence - before);
        before = pending[i].sequence;
    }
    memory_free(pending);
    return ERR_OK;
}

static enum err list_pack(struct packer *to, const struct list *list, enum role role)
{
    enum err err = ERR_OK;
    for (struct list_link *at = list_first(list); at != NULL && err == ERR_OK; at = list_next(list, at))
        err = subscription_pack(to, LIST_ELEMENT(at, struct streaming_subscription, of_channel), role);
    return err;
}

static int by_id(const void *left, const void *right)
{
    const struct streaming_subscription *const *a = left, *const *b = right;
    return (*a)->info.id < (*b)->info.id ? -1 : (*a)->info.id > (*b)->info.id;
}

/* Members in order of age: the order in which a leader asks them is its own. */
static enum err members_pack(struct packer *to, const struct streaming_group *group)
{
    enum err err = ERR_OK;
    uint32_t count = 0;
    struct streaming_subscription **all = memory_new(group->member_count * sizeof *all + 1);
    if (all == NULL)
        return ERR_MEMORY;
    for (struct list_link *at = list_first(&group->members); at != NULL; at = list_next(&group->members, at))
        all[count++] = LIST_ELEMENT(at, struct streaming_subscription, of_channel);
    ASSERT(count == group->member_count);
    if (count > 1)
        qsort(all, count, sizeof *all, by_id);
    for (uint32_t i = 0; i < count && err == ERR_OK; i++)
        err = subscription_pack(to, all[i], ROLE_MEMBER);
    memory_free(all);
    if (err == ERR_OK && group->shadow != NULL)
        err = subscription_pack(to, group->shadow, ROLE_SHADOW);
    return err;
}

/* The first that this node can give; behind the last when there is none. */
static uint64_t first_of(const struct streaming_channel *channel)
{
    struct store_channel_figures figures = channel_figures(channel);
    bool none = figures.message_count == 0 || figures.first_sequence > channel->last_sequence;
    return none ? channel->last_sequence + 1 : figures.first_sequence;
}

static uint32_t list_count(const struct list *list)
{
    uint32_t count = 0;
    for (struct list_link *at = list_first(list); at != NULL; at = list_next(list, at))
        count++;
    return count;
}

static enum err channel_pack(struct packer *to, const struct streaming_channel *channel)
{
    pack_text(to, channel->name);
    pack_number(to, channel->id);
    pack_number(to, channel->used_index);
    pack_number(to, (uint64_t)channel->timestamp_ns);
    pack_number(to, first_of(channel));
    pack_number(to, channel->last_sequence);
    pack_number(to, list_count(&channel->groups));
    for (struct list_link *at = list_first(&channel->groups); at != NULL;
         at = list_next(&channel->groups, at)) {
        const struct streaming_group *group = LIST_ELEMENT(at, struct streaming_group, of_channel);
        pack_text(to, group->name);
        pack_number(to, group->durable);
        pack_number(to, group->said_last_sent);
    }
    pack_number(to, channel->subscription_count);
    enum err err = list_pack(to, &channel->plain, ROLE_PLAIN);
    if (err == ERR_OK)
        err = list_pack(to, &channel->offline, ROLE_OFFLINE);
    for (struct list_link *at = list_first(&channel->groups); at != NULL && err == ERR_OK;
         at = list_next(&channel->groups, at))
        err = members_pack(to, LIST_ELEMENT(at, struct streaming_group, of_channel));
    return err;
}

static void client_pack(struct packer *to, const struct streaming_client *client)
{
    command_client_put(to, &client->info);
    pack_number(to, client->added_index);
    pack_number(to, client->listed);
}

static enum err machine_pack(struct packer *to, const struct streaming *machine)
{
    enum err err = ERR_OK;
    pack_number(to, VERSION);
    pack_number(to, machine->applied_index);
    pack_number(to, (uint64_t)machine->applied_wall_ns);
    pack_number(to, machine->clients.count);
    for (struct list_link *at = list_first(&machine->all_clients); at != NULL;
         at = list_next(&machine->all_clients, at))
        client_pack(to, LIST_ELEMENT(at, struct streaming_client, all));
    pack_number(to, machine->channels.count);
    for (struct list_link *at = list_first(&machine->all_channels); at != NULL && err == ERR_OK;
         at = list_next(&machine->all_channels, at))
        err = channel_pack(to, LIST_ELEMENT(at, struct streaming_channel, all));
    return err;
}

enum err streaming_snapshot_write(const struct streaming *machine, uint8_t **bytes, size_t *count)
{
    struct packer packer = {0};
    *bytes = NULL;
    *count = 0;
    enum err err = machine_pack(&packer, machine);
    if (err != ERR_OK)
        return err;
    uint8_t *made = memory_new(packer.count);
    if (made == NULL)
        return ERR_MEMORY;
    size_t expected = packer.count;
    packer = (struct packer){.at = made};
    err = machine_pack(&packer, machine);
    if (err != ERR_OK) {
        memory_free(made);
        return err;
    }
    ASSERT(packer.count == expected);
    *bytes = made;
    *count = packer.count;
    return ERR_OK;
}

/* ---- reading ---- */

static enum err client_take(struct streaming *machine, struct unpacker *from)
{
    struct wire_client_info info = {0};
    bool valid = command_client_get(from, &info);
    uint64_t added_index = unpack_number(from);
    bool listed = unpack_flag(from);
    if (from->failed || !valid || client_find(machine, info.id) != NULL)
        return ERR_DAMAGED;
    struct streaming_client *client = client_new(machine, &info, STREAMING_VIA_NONE);
    if (client == NULL)
        return ERR_MEMORY;
    client->added_index = added_index;
    if (!listed) /* another one had its connection id, and is gone: nobody has it */
        client_unlist(machine, client);
    return ERR_OK;
}

static enum err group_take(struct streaming_channel *channel, struct unpacker *from)
{
    struct bytes name = unpack_text(from);
    bool durable = unpack_flag(from);
    uint64_t last_sent = unpack_number(from);
    if (from->failed || name.count == 0 || group_find(channel, name) != NULL)
        return ERR_DAMAGED;
    struct streaming_group *group = group_new(channel, name, durable);
    if (group == NULL)
        return ERR_MEMORY;
    group->last_sent = group->said_last_sent = last_sent;
    return ERR_OK;
}

static enum err pending_take(struct streaming_subscription *subscription, struct unpacker *from)
{
    uint64_t count = unpack_number(from), sequence = 0;
    for (uint64_t i = 0; i < count && !from->failed; i++) {
        uint64_t distance = unpack_number(from);
        if (distance == 0 || __builtin_add_overflow(sequence, distance, &sequence))
            return ERR_DAMAGED;
        if (sequences_put(&subscription->pending, sequence, 0) != ERR_OK)
            return ERR_MEMORY;
    }
    return from->failed ? ERR_DAMAGED : ERR_OK;
}

/* Hangs it up where its role says. */
static enum err place(struct streaming *machine, struct streaming_subscription *subscription, enum role role)
{
    const struct wire_subscription_state *info = &subscription->info;
    struct streaming_channel *channel = subscription->channel;
    struct streaming_client *client = client_find(machine, info->client_id);
    struct streaming_group *group = info->group.count == 0 ? NULL : group_find(channel, info->group);
    bool grouped = role == ROLE_MEMBER || role == ROLE_SHADOW,
         live = role == ROLE_PLAIN || role == ROLE_MEMBER;
    if (grouped != (info->group.count > 0) || (grouped && group == NULL) || (live && client == NULL))
        return ERR_DAMAGED;
    if (live && subscription_by_ack_inbox(machine, info->ack_inbox) != NULL)
        return ERR_DAMAGED;
    if (live)
        return subscription_attach(machine, subscription, client, group);
    if (!info->durable || (role == ROLE_SHADOW && (group->shadow != NULL || group->member_count > 0)))
        return ERR_DAMAGED;
    if (role == ROLE_SHADOW)
        group->shadow = subscription;
    else
        list_push_last(&channel->offline, &subscription->of_channel);
    return ERR_OK;
}

static enum err subscription_take(struct streaming *machine, struct streaming_channel *channel,
                                  struct unpacker *from)
{
    enum role role = (enum role)unpack_number_up_to(from, ROLE_SHADOW);
    struct wire_subscription_state info = {0};
    info.id = unpack_number(from);
    info.last_sent = unpack_number(from);
    info.client_id = unpack_text(from);
    info.group = unpack_text(from);
    info.inbox = unpack_text(from);
    info.ack_inbox = unpack_text(from);
    info.durable_name = unpack_text(from);
    info.max_in_flight = (int32_t)unpack_number_up_to(from, INT32_MAX);
    info.ack_wait_seconds = (int32_t)unpack_number_up_to(from, INT32_MAX);
    info.durable = unpack_flag(from);
    info.closed = unpack_flag(from);
    if (from->failed || info.ack_inbox.count == 0 || info.max_in_flight == 0 || info.ack_wait_seconds == 0 ||
        info.durable != (info.durable_name.count > 0))
        return ERR_DAMAGED;
    if (info.durable && info.group.count == 0 &&
        durable_find(machine, channel, info.client_id, info.durable_name) != NULL)
        return ERR_DAMAGED;
    struct streaming_subscription *subscription = subscription_new(machine, channel, &info);
    if (subscription == NULL)
        return ERR_MEMORY;
    enum err err = pending_take(subscription, from);
    if (err == ERR_OK)
        err = place(machine, subscription, role);
    if (err != ERR_OK)
        subscription_free(machine, subscription);
    return err;
}

/* Groups of nobody, which no machine has. */
static bool groups_whole(const struct streaming_channel *channel)
{
    for (struct list_link *at = list_first(&channel->groups); at != NULL;
         at = list_next(&channel->groups, at)) {
        const struct streaming_group *group = LIST_ELEMENT(at, struct streaming_group, of_channel);
        if (group->member_count == 0 && group->shadow == NULL)
            return false;
    }
    return true;
}

/* A name, then numbers. */
struct channel_head {
    struct bytes name;
    uint64_t id, used_index, timestamp, first, last;
};

/* The store's part: what it has of the channel, and what it lacks. */
static enum err store_match(struct streaming *machine, struct streaming_channel *channel,
                            const struct channel_head *head, bool own)
{
    struct stored *stored = NULL;
    bool gone = own && store_channel_find(machine->store, head->name) == NULL; /* deleted by a later entry */
    enum err err = gone ? ERR_OK : stored_open(machine, head->name, head->id, own, &stored);
    if (err != ERR_OK || stored == NULL)
        return err;
    channel->stored = stored;
    channel->store = stored->store;
    stored->channel = channel;
    struct store_channel_figures figures = store_channel_figures(stored->store);
    uint64_t from =
        figures.last_sequence > stored->gone_sequence ? figures.last_sequence : stored->gone_sequence;
    from = from + 1 > head->first ? from + 1 : head->first;
    if (head->first > figures.last_sequence + 1 && figures.last_sequence > 0) {
        /* Noted first: this snapshot may never count, and one of our own speaks of what goes now. */
        err = stored_gone(machine, stored, head->first - 1);
        if (err == ERR_OK)
            err = store_channel_empty(machine->store, stored->store);
    }
    if (err != ERR_OK || from > head->last)
        return err;
    channel->missing_first = from;
    channel->missing_last = head->last;
    list_push_last(&machine->lacking, &channel->lacking);
    return ERR_OK;
}

static enum err channel_take(struct streaming *machine, struct unpacker *from, bool own)
{
    struct channel_head head = {0};
    head.name = unpack_text(from);
    head.id = unpack_number(from);
    head.used_index = unpack_number(from);
    head.timestamp = unpack_number(from);
    head.first = unpack_number(from);
    head.last = unpack_number(from);
    if (from->failed || !limits_channel_name_valid(head.name) || !streaming_owns(machine, head.name) ||
        head.name.count > STORE_CHANNEL_NAME_BYTES_MAX || head.id == 0 || head.last > SEQUENCE_MAX ||
        head.first == 0 || head.first > head.last + 1 || channel_find_any_case(machine, head.name) != NULL)
        return ERR_DAMAGED;
    struct streaming_channel *channel = channel_new(machine, head.name, NULL);
    if (channel == NULL)
        return ERR_MEMORY;
    channel->id = head.id;
    channel->used_index = head.used_index;
    channel->timestamp_ns = (int64_t)head.timestamp;
    channel->last_sequence = channel->safe_sequence = head.last;
    enum err err = store_match(machine, channel, &head, own);
    uint64_t count = unpack_number(from);
    for (uint64_t i = 0; i < count && err == ERR_OK; i++)
        err = group_take(channel, from);
    count = unpack_number(from);
    for (uint64_t i = 0; i < count && err == ERR_OK; i++)
        err = subscription_take(machine, channel, from);
    if (err == ERR_OK && (from->failed || !groups_whole(channel)))
        err = ERR_DAMAGED;
    return err;
}

static void empty(struct streaming *machine)
{
    for (struct list_link *at; (at = list_first(&machine->all_channels)) != NULL;)
        channel_free(machine, LIST_ELEMENT(at, struct streaming_channel, all));
    for (struct list_link *at; (at = list_first(&machine->all_clients)) != NULL;)
        client_free(machine, LIST_ELEMENT(at, struct streaming_client, all));
    machine->applied_index = 0;
    machine->applied_wall_ns = 0;
}

/* Channels of the store that the snapshot does not have. */
static enum err others_delete(struct streaming *machine)
{
    enum err err = ERR_OK;
    struct store_channel *store = store_channel_next(machine->store, NULL);
    while (store != NULL && err == ERR_OK) {
        struct store_channel *next = store_channel_next(machine->store, store);
        struct stored *stored = store_channel_owner(store);
        if (streaming_owns(machine, store_channel_name(store)) && stored != NULL && stored->channel == NULL)
            err = stored_delete(machine, stored);
        store = next;
    }
    return err;
}

static enum err take(struct streaming *machine, struct unpacker *from, bool own)
{
    enum err err = unpack_number(from) == VERSION ? ERR_OK : ERR_DAMAGED;
    machine->applied_index = unpack_number(from);
    machine->applied_wall_ns = (int64_t)unpack_number(from);
    uint64_t count = unpack_number(from);
    for (uint64_t i = 0; i < count && err == ERR_OK; i++)
        err = client_take(machine, from);
    count = unpack_number(from);
    for (uint64_t i = 0; i < count && err == ERR_OK; i++)
        err = channel_take(machine, from, own);
    return err == ERR_OK && !unpack_done(from) ? ERR_DAMAGED : err;
}

enum err streaming_restore(struct streaming *machine, struct streaming_now now, struct bytes snapshot,
                           bool own)
{
    struct unpacker from = {.rest = snapshot};
    ASSERT(machine->setup.replicated && !machine->leading);
    machine->now = now;
    empty(machine);
    enum err err = take(machine, &from, own);
    if (err == ERR_OK && !own)
        err = others_delete(machine);
    if (err != ERR_OK)
        empty(machine);
    registry_replaced(machine);
    return err;
}
