/* shards/streaming/subscriptions.c - subscriptions and queue groups as objects: how they hang in channel,
 * client and tables, and what the store keeps of them; a part of state.h.
 *
 * A subscription's record is the state (protobuf), followed by additions: varints, each a sequence times two,
 * plus one when it was acknowledged and not sent. So an acknowledgement costs three or four bytes of the log,
 * not a record. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

enum { VARINT_BYTES_MAX = 10, ID_BYTES = 8 };

/* ---- texts ---- */

static struct bytes text_put(uint8_t **at, struct bytes from)
{
    struct bytes copy = bytes_of(*at, from.count);
    if (from.count > 0)
        *at = mempcpy(*at, from.data, from.count);
    return copy;
}

enum err subscription_info_set(struct streaming_subscription *subscription,
                               const struct wire_subscription_state *info)
{
    size_t count = info->client_id.count + info->group.count + info->inbox.count + info->ack_inbox.count +
                   info->durable_name.count;
    uint8_t *texts = memory_new(count + 1);
    if (texts == NULL)
        return ERR_MEMORY;
    uint8_t *at = texts;
    subscription->info = *info;
    subscription->info.client_id = text_put(&at, info->client_id);
    subscription->info.group = text_put(&at, info->group);
    subscription->info.inbox = text_put(&at, info->inbox);
    subscription->info.ack_inbox = text_put(&at, info->ack_inbox);
    subscription->info.durable_name = text_put(&at, info->durable_name);
    subscription->ack_wait_ns = (int64_t)info->ack_wait_seconds * 1000000000;
    memory_free(subscription->texts); /* last: `info` may point into them */
    subscription->texts = texts;
    return ERR_OK;
}

/* ---- finding ---- */

struct durable_key {
    const struct streaming_channel *channel;
    struct bytes client_id, name;
};

static uint32_t durable_hash(const struct streaming *machine, const struct durable_key *key)
{
    uint32_t hash = machine_hash(machine, key->client_id);
    return hash * 31 + machine_hash(machine, key->name) * 17 + key->channel->hash;
}

static bool same_durable(const uint32_t *item, const void *key)
{
    const struct durable_key *wanted = key;
    const struct streaming_subscription *subscription =
        CONTAINER_OF((uint32_t *)(uintptr_t)item, struct streaming_subscription, durable_hash);
    return subscription->channel == wanted->channel &&
           bytes_equal(subscription->info.client_id, wanted->client_id) &&
           bytes_equal(subscription->info.durable_name, wanted->name);
}

static bool same_ack_inbox(const uint32_t *item, const void *key)
{
    const struct streaming_subscription *subscription =
        CONTAINER_OF((uint32_t *)(uintptr_t)item, struct streaming_subscription, ack_hash);
    return bytes_equal(subscription->info.ack_inbox, *(const struct bytes *)key);
}

struct streaming_subscription *durable_find(const struct streaming *machine,
                                            const struct streaming_channel *channel, struct bytes client_id,
                                            struct bytes name)
{
    struct durable_key key = {channel, client_id, name};
    uint32_t *item = index_table_find(&machine->durables, durable_hash(machine, &key), same_durable, &key);
    return item == NULL ? NULL : CONTAINER_OF(item, struct streaming_subscription, durable_hash);
}

struct streaming_subscription *subscription_by_ack_inbox(const struct streaming *machine, struct bytes inbox)
{
    uint32_t *item = index_table_find(&machine->acks, machine_hash(machine, inbox), same_ack_inbox, &inbox);
    return item == NULL ? NULL : CONTAINER_OF(item, struct streaming_subscription, ack_hash);
}

/* ---- groups ---- */

struct streaming_group *group_find(const struct streaming_channel *channel, struct bytes name)
{
    for (struct list_link *at = list_first(&channel->groups); at != NULL;
         at = list_next(&channel->groups, at)) {
        struct streaming_group *group = LIST_ELEMENT(at, struct streaming_group, of_channel);
        if (bytes_equal(group->name, name))
            return group;
    }
    return NULL;
}

struct streaming_group *group_new(struct streaming_channel *channel, struct bytes name, bool durable)
{
    struct streaming_group *group = memory_new(sizeof *group + name.count);
    if (group == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(group + 1);
    group->name = text_put(&at, name);
    group->channel = channel;
    group->durable = durable;
    list_init(&group->members);
    list_push_last(&channel->groups, &group->of_channel);
    return group;
}

void group_free(struct streaming_group *group)
{
    list_remove(&group->of_channel);
    sequences_close(&group->counts);
    memory_free(group);
}

/* ---- objects ---- */

struct streaming_subscription *subscription_new(struct streaming *machine, struct streaming_channel *channel,
                                                const struct wire_subscription_state *info)
{
    struct streaming_subscription *subscription = memory_new(sizeof *subscription);
    if (subscription == NULL || subscription_info_set(subscription, info) != ERR_OK ||
        index_table_reserve(&machine->durables) != ERR_OK) {
        if (subscription != NULL)
            memory_free(subscription->texts);
        memory_free(subscription);
        return NULL;
    }
    subscription->channel = channel;
    subscription->said_last_sent = info->last_sent;
    subscription->state = SUBSCRIPTION_OFFLINE;
    subscription->timer.kind = MACHINE_TIMER_ACK;
    if (info->durable && info->group.count == 0) {
        struct durable_key key = {channel, subscription->info.client_id, subscription->info.durable_name};
        subscription->durable_hash = durable_hash(machine, &key);
        index_table_put(&machine->durables, &subscription->durable_hash);
    }
    channel->subscription_count++;
    machine->subscription_count++;
    return subscription;
}

void subscription_free(struct streaming *machine, struct streaming_subscription *subscription)
{
    if (subscription->state != SUBSCRIPTION_OFFLINE)
        subscription_detach(machine, subscription);
    if (list_linked(&subscription->of_channel)) /* among the offline */
        list_remove(&subscription->of_channel);
    if (list_linked(&subscription->changed))
        list_remove(&subscription->changed);
    if (subscription->info.durable && subscription->info.group.count == 0)
        index_table_erase(&machine->durables, &subscription->durable_hash);
    timers_cancel(&machine->timers, &subscription->timer);
    subscription->channel->subscription_count--;
    machine->subscription_count--;
    sequences_close(&subscription->pending);
    sequences_close(&subscription->counts);
    memory_free(subscription->progress.events);
    memory_free(subscription->texts);
    memory_free(subscription);
}

enum err subscription_attach(struct streaming *machine, struct streaming_subscription *subscription,
                             struct streaming_client *client, struct streaming_group *group)
{
    if (index_table_reserve(&machine->acks) != ERR_OK)
        return ERR_MEMORY;
    subscription->ack_hash = machine_hash(machine, subscription->info.ack_inbox);
    index_table_put(&machine->acks, &subscription->ack_hash);
    if (list_linked(&subscription->of_channel)) /* it was offline */
        list_remove(&subscription->of_channel);
    subscription->client = client;
    subscription->group = group;
    subscription->state = SUBSCRIPTION_STARTING;
    subscription->stalled = false;
    subscription->silent = false;
    subscription->leaving = false;
    list_push_last(group != NULL ? &group->members : &subscription->channel->plain,
                   &subscription->of_channel);
    list_push_last(&client->subscriptions, &subscription->of_client);
    if (group != NULL)
        group->member_count++;
    subscription->channel->live_count++;
    machine_listen(machine, subscription->info.ack_inbox, true);
    return ERR_OK;
}

void subscription_detach(struct streaming *machine, struct streaming_subscription *subscription)
{
    ASSERT(subscription->state != SUBSCRIPTION_OFFLINE);
    machine_listen(machine, subscription->info.ack_inbox, false);
    index_table_erase(&machine->acks, &subscription->ack_hash);
    subscription_stall(subscription, false);
    list_remove(&subscription->of_channel);
    list_remove(&subscription->of_client);
    if (list_linked(&subscription->starting))
        list_remove(&subscription->starting);
    timers_cancel(&machine->timers, &subscription->timer);
    if (subscription->group != NULL)
        subscription->group->member_count--;
    subscription->channel->live_count--;
    subscription->client = NULL;
    subscription->group = NULL;
    subscription->state = SUBSCRIPTION_OFFLINE;
}

struct sequences *subscription_counts(struct streaming_subscription *subscription)
{
    return subscription->group != NULL ? &subscription->group->counts : &subscription->counts;
}

/* ---- the store ---- */

static struct bytes id_bytes(const struct streaming_subscription *subscription, uint8_t *to)
{
    for (int i = 0; i < ID_BYTES; i++)
        to[i] = (uint8_t)(subscription->info.id >> (8 * (ID_BYTES - 1 - i)));
    return bytes_of(to, ID_BYTES);
}

static size_t varint_put(uint8_t *to, uint64_t value)
{
    size_t count = 0;
    for (; value >= 0x80; value >>= 7)
        to[count++] = (uint8_t)(value | 0x80);
    to[count++] = (uint8_t)value;
    return count;
}

/* All that is pending, as one addition behind a put. */
static enum err pending_add(struct streaming *machine, struct streaming_subscription *subscription,
                            struct bytes id)
{
    bool wanted = false;
    size_t used = 0;
    const struct sequences *pending = &subscription->pending;
    if (pending->count == 0)
        return ERR_OK;
    uint8_t *all = memory_new((size_t)pending->count * VARINT_BYTES_MAX);
    if (all == NULL)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < pending->capacity; i++) {
        if (pending->entries[i].sequence != 0)
            used += varint_put(all + used, pending->entries[i].sequence << 1);
    }
    enum err err = store_state_add(machine->store, STORE_STATE_SUBSCRIPTION, subscription->channel->store, id,
                                   bytes_of(all, used), &wanted);
    memory_free(all);
    return err;
}

/* A replicated machine's are in its snapshots. */
enum err subscription_put(struct streaming *machine, struct streaming_subscription *subscription)
{
    if (machine->setup.replicated) {
        subscription->put_wanted = false;
        return ERR_OK;
    }
    uint8_t id_text[ID_BYTES];
    struct bytes id = id_bytes(subscription, id_text);
    size_t count = wire_subscription_state_bytes(&subscription->info);
    uint8_t *value = memory_new(count + 1);
    if (value == NULL)
        return ERR_MEMORY;
    wire_subscription_state_write(&subscription->info, value);
    enum err err = store_state_put(machine->store, STORE_STATE_SUBSCRIPTION, subscription->channel->store, id,
                                   bytes_of(value, count));
    memory_free(value);
    subscription->addition_bytes = 0; /* the pending set that follows says it */
    subscription->put_wanted = false;
    return err == ERR_OK && machine->durable_store ? pending_add(machine, subscription, id) : err;
}

void subscription_forget(struct streaming *machine, struct streaming_subscription *subscription)
{
    if (machine->setup.replicated)
        return;
    uint8_t id_text[ID_BYTES];
    struct bytes id = id_bytes(subscription, id_text);
    enum err err =
        store_state_delete(machine->store, STORE_STATE_SUBSCRIPTION, subscription->channel->store, id);
    if (err != ERR_OK)
        machine_log(machine, LOG_ERROR, "Error deleting subscription subid=%llu, subject=%.*s, err=%s",
                    (unsigned long long)subscription->info.id, BYTES_PRINTF(subscription->channel->name),
                    err_text(err));
}

static void addition_store(struct streaming *machine, struct streaming_subscription *subscription)
{
    uint8_t id_text[ID_BYTES];
    struct bytes id = id_bytes(subscription, id_text);
    bool wanted = false;
    enum err err = ERR_OK;
    if (subscription->addition_bytes > 0)
        err = store_state_add(machine->store, STORE_STATE_SUBSCRIPTION, subscription->channel->store, id,
                              bytes_of(subscription->addition, subscription->addition_bytes), &wanted);
    subscription->addition_bytes = 0;
    if (err != ERR_OK || wanted || subscription->put_wanted)
        err = subscription_put(machine, subscription);
    /* Without it a restart sends again what was acknowledged; that may be, a crash does it too. */
    subscription->put_wanted = err != ERR_OK;
}

void subscription_note(struct streaming *machine, struct streaming_subscription *subscription,
                       uint64_t sequence, bool acknowledged)
{
    if (machine->setup.replicated) {
        progress_note(machine, subscription, sequence, acknowledged);
        return;
    }
    if (!machine->durable_store)
        return;
    if (subscription->addition_bytes + VARINT_BYTES_MAX > ACK_ADDITION_BYTES_MAX)
        addition_store(machine, subscription);
    subscription->addition_bytes += (uint16_t)varint_put(
        subscription->addition + subscription->addition_bytes, sequence << 1 | acknowledged);
    if (!list_linked(&subscription->changed))
        list_push_last(&machine->changed, &subscription->changed);
}

void subscriptions_store(struct streaming *machine)
{
    if (machine->setup.replicated) {
        progress_step(machine);
        return;
    }
    for (struct list_link *at; (at = list_first(&machine->changed)) != NULL;) {
        list_remove(at);
        addition_store(machine, LIST_ELEMENT(at, struct streaming_subscription, changed));
    }
}
