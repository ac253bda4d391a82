/* shards/streaming/channels.c - channels: names that are one whatever their case, creation by the first use,
 * deletion when nobody has used one for long (spec/streaming.md 8); a part of state.h. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

#include <stdio.h>

enum { TEXT_BYTES_MAX = 1024 };

/* ---- names ---- */

static uint8_t small(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

static uint32_t name_hash(const struct streaming *machine, struct bytes name)
{
    uint64_t hash =
        machine->hash_seed; /* FNV-1a from a secret start: names are short, and seldom looked up cold */
    for (size_t i = 0; i < name.count; i++)
        hash = (hash ^ small(name.data[i])) * 0x100000001b3ULL;
    return (uint32_t)(hash ^ hash >> 32);
}

static bool same_name(const uint32_t *item, const void *key)
{
    const struct bytes *name = key;
    const struct streaming_channel *channel =
        CONTAINER_OF((uint32_t *)(uintptr_t)item, struct streaming_channel, hash);
    if (channel->name.count != name->count)
        return false;
    for (size_t i = 0; i < name->count; i++) {
        if (small(channel->name.data[i]) != small(name->data[i]))
            return false;
    }
    return true;
}

struct streaming_channel *channel_find_any_case(const struct streaming *machine, struct bytes name)
{
    uint32_t *item = index_table_find(&machine->channels, name_hash(machine, name), same_name, &name);
    return item == NULL ? NULL : CONTAINER_OF(item, struct streaming_channel, hash);
}

struct streaming_channel *channel_find(const struct streaming *machine, struct bytes name)
{
    struct streaming_channel *channel = channel_find_any_case(machine, name);
    return channel != NULL && bytes_equal(channel->name, name) ? channel : NULL;
}

/* ---- the object ---- */

struct streaming_channel *channel_new(struct streaming *machine, struct bytes name,
                                      struct store_channel *store)
{
    struct streaming_channel *channel = memory_new(sizeof *channel + name.count);
    if (channel == NULL || index_table_reserve(&machine->channels) != ERR_OK) {
        memory_free(channel);
        return NULL;
    }
    memcpy(channel + 1, name.data, name.count);
    channel->name = bytes_of(channel + 1, name.count);
    channel->store = store;
    channel->timer.kind = MACHINE_TIMER_CHANNEL;
    channel->active_ns = machine->now.now_ns;
    list_init(&channel->plain);
    list_init(&channel->offline);
    list_init(&channel->groups);
    channel->hash = name_hash(machine, channel->name);
    index_table_put(&machine->channels, &channel->hash);
    list_push_last(&machine->all_channels, &channel->all);
    channel_idle_check(machine, channel);
    return channel;
}

struct streaming_channel *channel_adopt(struct streaming *machine, struct store_channel *store)
{
    struct streaming_channel *channel = channel_new(machine, store_channel_name(store), store);
    if (channel == NULL)
        return NULL;
    struct store_channel_figures figures = store_channel_figures(store);
    channel->safe_sequence = figures.last_sequence;
    channel->dropped = figures.dropped_count > 0;
    store_channel_set_owner(store, channel);
    return channel;
}

static void subscriptions_free(struct streaming *machine, struct list *list)
{
    for (struct list_link *at; (at = list_first(list)) != NULL;)
        subscription_free(machine, LIST_ELEMENT(at, struct streaming_subscription, of_channel));
}

void channel_free(struct streaming *machine, struct streaming_channel *channel)
{
    subscriptions_free(machine, &channel->plain);
    subscriptions_free(machine, &channel->offline);
    for (struct list_link *at; (at = list_first(&channel->groups)) != NULL;) {
        struct streaming_group *group = LIST_ELEMENT(at, struct streaming_group, of_channel);
        subscriptions_free(machine, &group->members);
        if (group->shadow != NULL)
            subscription_free(machine, group->shadow);
        group_free(group);
    }
    for (uint32_t i = 0; i < machine->appends.count; i++) {
        struct append *append =
            &machine->appends.all[(machine->appends.first + i) & (machine->appends.capacity - 1)];
        if (append->channel == channel)
            append->channel = NULL;
    }
    if (list_linked(&channel->ready))
        list_remove(&channel->ready);
    if (list_linked(&channel->lacking))
        list_remove(&channel->lacking);
    if (channel->stored != NULL)
        channel->stored->channel = NULL;
    timers_cancel(&machine->timers, &channel->timer);
    index_table_erase(&machine->channels, &channel->hash);
    list_remove(&channel->all);
    memory_free(channel);
}

void channel_ready(struct streaming *machine, struct streaming_channel *channel)
{
    if (machine->leading && !list_linked(&channel->ready))
        list_push_last(&machine->ready, &channel->ready);
}

/* ---- creation ---- */

static enum err apply_channel_add(struct streaming *machine, struct bytes name,
                                  struct streaming_channel **added)
{
    struct store_channel *store = NULL;
    enum err err = store_channel_create(machine->store, name, machine->now.wall_ns, &store);
    if (err != ERR_OK)
        return err;
    *added = channel_adopt(machine, store);
    if (*added == NULL) {
        err = store_channel_delete(machine->store,
                                   store); /* whatever it says: there is no memory for it here */
        return err == ERR_OK ? ERR_MEMORY : err;
    }
    return ERR_OK;
}

/* Good until the next message: into the scratch area of decoded messages nobody else writes. */
static struct bytes case_text(struct streaming *machine, struct bytes wanted, struct bytes there)
{
    char *made = arena_new(&machine->passing, TEXT_BYTES_MAX + wanted.count + there.count);
    if (made == NULL)
        return streaming_text(STREAMING_MEMORY);
    int count =
        snprintf(made, TEXT_BYTES_MAX + wanted.count + there.count,
                 "rejecting channel \"%.*s\" because channel \"%.*s\" alreay exists (different cases not "
                 "allowed)",
                 BYTES_PRINTF(wanted), BYTES_PRINTF(there));
    return bytes_of(made, (size_t)count);
}

struct streaming_channel *channel_open(struct streaming *machine, struct bytes name, struct bytes *error)
{
    struct streaming_channel *channel = channel_find_any_case(machine, name);
    if (channel != NULL && bytes_equal(channel->name, name))
        return channel;
    if (channel != NULL) {
        *error = case_text(machine, name, channel->name);
        channel = NULL;
    } else {
        enum err err = apply_channel_add(machine, name, &channel);
        if (err == ERR_OK) {
            machine_log(machine, LOG_NOTICE, "Channel \"%.*s\" has been created", BYTES_PRINTF(name));
            return channel;
        }
        *error = err == ERR_FULL && store_channels_full(machine->store)
                     ? streaming_text(STREAMING_CHANNELS_FULL)
                     : machine_store_text(machine, err);
    }
    machine_log(machine, LOG_ERROR, "Creating channel \"%.*s\" failed: %.*s", BYTES_PRINTF(name),
                BYTES_PRINTF(*error));
    return NULL;
}

struct store_channel_figures channel_figures(const struct streaming_channel *channel)
{
    return channel->store == NULL ? (struct store_channel_figures){0} : store_channel_figures(channel->store);
}

/* ---- inactivity ---- */

static int64_t inactivity_ns(const struct streaming_channel *channel)
{
    return channel->store == NULL ? 0 : store_channel_limits(channel->store)->inactivity_max_ns;
}

void channel_touch(struct streaming *machine, struct streaming_channel *channel)
{
    channel->active_ns = machine->now.now_ns;
}

/* The timer runs while nobody is subscribed; a publish only moves the moment that it looks at. */
void channel_idle_check(struct streaming *machine, struct streaming_channel *channel)
{
    int64_t limit_ns = inactivity_ns(channel);
    if (limit_ns <= 0 || !machine->leading)
        return;
    if (channel->live_count > 0) {
        timers_cancel(&machine->timers, &channel->timer);
    } else if (!timer_set(&channel->timer)) {
        channel_touch(machine, channel);
        machine_timer_set(machine, &channel->timer, channel->active_ns + limit_ns);
    }
}

/* When the log cannot take it, it is tried again one limit later. */
static void delete_propose(struct streaming *machine, struct streaming_channel *channel)
{
    struct command command = {
        .kind = COMMAND_CHANNEL_DELETE,
        .channel_delete = {.name = channel->name, .id = channel->id, .used_index = channel->used_index},
    };
    if (!replicate_full(machine) && replicate_propose(machine, &command, (struct wait){0}))
        return;
    channel_touch(machine, channel);
    channel_idle_check(machine, channel);
}

void channel_due(struct streaming *machine, struct streaming_channel *channel)
{
    int64_t due_ns = channel->active_ns + inactivity_ns(channel);
    struct bytes name = channel->name;
    ASSERT(channel->live_count == 0);
    if (due_ns > machine->now.now_ns) {
        machine_timer_set(machine, &channel->timer, due_ns);
        return;
    }
    if (machine->setup.replicated) {
        delete_propose(machine, channel);
        return;
    }
    machine_log(machine, LOG_NOTICE, "Channel \"%.*s\" has been deleted", BYTES_PRINTF(name));
    struct store_channel *store = channel->store;
    channel_free(machine, channel);
    enum err err = store_channel_delete(machine->store, store);
    if (err != ERR_OK) { /* still the store's: it is here again, without subscriptions, and the next time
                            tries again */
        machine_log(machine, LOG_ERROR, "Error deleting channel: %s", err_text(err));
        (void)channel_adopt(machine, store);
    }
}

/* ---- the replicated log ---- */

enum err channel_used(struct streaming *machine, struct bytes name, uint32_t channels_max,
                      struct streaming_channel **used, struct bytes *error)
{
    struct streaming_channel *channel = channel_find_any_case(machine, name);
    struct stored *stored = NULL;
    *used = NULL;
    if (channel != NULL && bytes_equal(channel->name, name)) {
        channel->used_index = machine->applied_index;
        *used = channel;
        return ERR_OK;
    }
    if (channel != NULL)
        *error = case_text(machine, name, channel->name);
    else if (channels_max > 0 && machine->channels.count >= channels_max)
        *error = streaming_text(STREAMING_CHANNELS_FULL);
    if (error->count > 0) {
        machine_log(machine, LOG_ERROR, "Creating channel \"%.*s\" failed: %.*s", BYTES_PRINTF(name),
                    BYTES_PRINTF(*error));
        return ERR_OK;
    }
    enum err err = stored_open(machine, name, machine->applied_index, true, &stored);
    if (err != ERR_OK)
        return err;
    channel = channel_new(machine, name, stored == NULL ? NULL : stored->store);
    if (channel == NULL)
        return ERR_MEMORY;
    channel->stored = stored;
    channel->id = channel->used_index = machine->applied_index;
    if (stored != NULL)
        stored->channel = channel;
    machine_log(machine, LOG_NOTICE, "Channel \"%.*s\" has been created", BYTES_PRINTF(name));
    *used = channel;
    return ERR_OK;
}

enum err channel_delete_applied(struct streaming *machine, const struct command *command)
{
    struct streaming_channel *channel = channel_find(machine, command->channel_delete.name);
    if (channel == NULL || channel->id != command->channel_delete.id)
        return ERR_OK;
    if (channel->used_index != command->channel_delete.used_index || channel->live_count > 0) {
        channel_idle_check(machine, channel);
        return ERR_OK;
    }
    enum err err = channel->stored == NULL ? ERR_OK : stored_delete(machine, channel->stored);
    if (err != ERR_OK)
        return err;
    machine_log(machine, LOG_NOTICE, "Channel \"%.*s\" has been deleted", BYTES_PRINTF(channel->name));
    channel_free(machine, channel);
    return ERR_OK;
}
