/* shards/streaming/publish.c - from a publish request to a stored message and its acknowledgement
 * (spec/streaming.md 7); a part of state.h.
 * In the flow:  publish_request() -> apply_publish() -> store || streaming_synced() -> publish_synced() ->
 * channel_deliver(), and the answer that was held */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

/* ---- what is not safe yet ---- */

static enum err appends_push(struct appends *appends, const struct append *append)
{
    if (appends->count == appends->capacity) {
        uint32_t capacity = appends->capacity == 0 ? 1024 : appends->capacity * 2;
        struct append *all = memory_new(capacity * sizeof *all);
        if (all == NULL)
            return ERR_MEMORY;
        for (uint32_t i = 0; i < appends->count; i++)
            all[i] = appends->all[(appends->first + i) & (appends->capacity - 1)];
        memory_free(appends->all);
        *appends = (struct appends){.all = all, .capacity = capacity, .count = appends->count};
    }
    appends->all[(appends->first + appends->count++) & (appends->capacity - 1)] = *append;
    return ERR_OK;
}

static void safe_set(struct streaming *machine, struct streaming_channel *channel, uint64_t sequence)
{
    channel->safe_sequence = sequence;
    channel_ready(machine, channel);
}

void publish_synced(struct streaming *machine)
{
    struct appends *appends = &machine->appends;
    for (; appends->count > 0; appends->count--) {
        const struct append *oldest = &appends->all[appends->first];
        if (oldest->position > machine->synced)
            return;
        if (oldest->channel != NULL && oldest->sequence > oldest->channel->safe_sequence)
            safe_set(machine, oldest->channel, oldest->sequence);
        appends->first = (appends->first + 1) & (appends->capacity - 1);
    }
}

/* ---- apply ---- */

static void drops_check(struct streaming *machine, struct streaming_channel *channel)
{
    if (store_channel_dropped(channel->store) == 0)
        return;
    struct store_channel_figures figures = store_channel_figures(channel->store);
    const struct store_limits *limits = store_channel_limits(channel->store);
    channel->dropped = true;
    machine_log(
        machine, LOG_WARNING,
        "Reached limits for store \"%.*s\" (msgs=%llu/%llu bytes=%llu/%llu), dropping old messages to make "
        "room for new ones",
        BYTES_PRINTF(channel->name), (unsigned long long)figures.message_count,
        (unsigned long long)limits->messages_max, (unsigned long long)figures.bytes,
        (unsigned long long)limits->bytes_max);
}

/* The bytes that are stored and delivered, in the scratch area, which is taken over again with the next.
 * `data` NULL: memory is out. */
static struct bytes encode(struct streaming *machine, const struct wire_message *message)
{
    size_t bytes = wire_message_bytes(message);
    if (!memory_room(&machine->scratch, &machine->scratch_bytes, bytes))
        return (struct bytes){NULL, 0};
    wire_message_write(message, machine->scratch);
    return bytes_of(machine->scratch, bytes);
}

/* Stores one message. Its number and moment are decided here, so that whoever applies the same decides the
 * same. */
static enum err apply_publish(struct streaming *machine, struct streaming_channel *channel,
                              const struct wire_publish *publish)
{
    int64_t timestamp_ns = machine->now.wall_ns;
    if (timestamp_ns < channel->timestamp_ns)
        timestamp_ns = channel->timestamp_ns;
    struct wire_message message = {
        .sequence = store_channel_last(channel->store) + 1,
        .subject = channel->name,
        .reply = publish->reply,
        .data = publish->data,
        .timestamp_ns = timestamp_ns,
    };
    struct bytes encoded = encode(machine, &message);
    uint64_t sequence = 0;
    if (encoded.data == NULL)
        return ERR_MEMORY;
    enum err err = store_append(machine->store, channel->store, encoded, timestamp_ns, &sequence);
    if (err != ERR_OK)
        return err;
    ASSERT(sequence == message.sequence);
    channel->timestamp_ns = timestamp_ns;
    channel_touch(machine, channel);
    if (!channel->dropped)
        drops_check(machine, channel);
    uint64_t position = store_position(machine->store);
    struct append append = {channel, sequence, position};
    /* Without memory to wait it is delivered early: better than never. */
    if (position <= store_acknowledged(machine->store) || appends_push(&machine->appends, &append) != ERR_OK)
        safe_set(machine, channel, sequence);
    return ERR_OK;
}

/* One record for the entry and its message, as long as they lie near each other. */
static enum err store_replicated(struct streaming *machine, struct streaming_channel *channel,
                                 const struct wire_message *message)
{
    enum err err = ERR_NOT_FOUND;
    if (machine->log != NULL)
        err = store_append_shared(machine->store, channel->store, message->sequence,
                                  wire_message_bytes(message), message->timestamp_ns, machine->log,
                                  machine->applied_index);
    if (err != ERR_NOT_FOUND)
        return err;
    struct bytes encoded = encode(machine, message);
    return encoded.data == NULL ? ERR_MEMORY
                                : store_append_at(machine->store, channel->store, message->sequence, encoded,
                                                  message->timestamp_ns);
}

/* The same of a committed publish: the store may have it already, and then nothing happens. What the log has,
 * no crash takes back, so it may be delivered at once. */
static enum err apply_replicated(struct streaming *machine, struct streaming_channel *channel,
                                 const struct command *command)
{
    struct wire_message message = {
        .sequence = channel->last_sequence + 1,
        .subject = channel->name,
        .reply = command->publish.reply,
        .data = command->publish.data,
        .timestamp_ns = machine->applied_wall_ns,
    };
    if (channel->store != NULL) {
        enum err err = store_replicated(machine, channel, &message);
        if (err != ERR_OK)
            return err;
    }
    channel->last_sequence = message.sequence;
    channel->timestamp_ns = message.timestamp_ns;
    channel_touch(machine, channel);
    if (!channel->dropped && channel->store != NULL)
        drops_check(machine, channel);
    safe_set(machine, channel, message.sequence);
    return ERR_OK;
}

/* ---- request ---- */

static void acknowledge(struct streaming *machine, const struct streaming_request *request, struct bytes guid,
                        struct bytes error)
{
    uint8_t *body =
        machine_answer(machine, request->via, request->reply, wire_publish_ack_bytes(guid, error));
    if (body != NULL)
        wire_publish_ack_write(guid, error, body);
}

/* Behind the acknowledgement, which is held until the message is safe. */
static void trace_acknowledged(struct streaming *machine, struct bytes client_id, struct bytes channel,
                               struct bytes guid)
{
    if (UNLIKELY(machine->setup.trace))
        machine_log_held(machine, LOG_TRACE, "[Client:%.*s] Acking Publisher subj=%.*s guid=%.*s",
                         BYTES_PRINTF(client_id), BYTES_PRINTF(channel), BYTES_PRINTF(guid));
}

static struct streaming_client *publisher(const struct streaming *machine, struct bytes client_id,
                                          struct bytes connection_id)
{
    return connection_id.count > 0 ? client_find_connection(machine, connection_id)
                                   : client_find(machine, client_id);
}

static bool publisher_known(struct streaming *machine, const struct wire_publish *publish, uint16_t via)
{
    struct streaming_client *client = publisher(machine, publish->client_id, publish->connection_id);
    if (client != NULL)
        client->via = via;
    else if (machine->setup.registry !=
             NULL) /* on its way here: it is looked at again behind it in the log */
        client = publisher(machine->setup.registry, publish->client_id, publish->connection_id);
    return client != NULL;
}

static void publish_propose(struct streaming *machine, const struct streaming_request *request,
                            const struct wire_publish *publish)
{
    struct wait wait = {request->via, request->reply, publish->guid};
    struct streaming_channel *channel = channel_find(machine, publish->subject);
    struct command command = {
        .kind = COMMAND_PUBLISH,
        .publish = {.client_id = publish->client_id,
                    .connection_id = publish->connection_id,
                    .channel = publish->subject,
                    .reply = publish->reply,
                    .data = publish->data},
    };
    bool left = registry_channels_left(machine, &command.publish.channels_max);
    if (channel != NULL)
        channel_touch(machine, channel);
    if (channel == NULL && !left)
        publish_answer(machine, &wait, streaming_text(STREAMING_CHANNELS_FULL));
    else if (store_disk_full(machine->store) || !replicate_propose(machine, &command, wait))
        publish_answer(machine, &wait, streaming_text(STREAMING_BUSY));
}

void publish_request(struct streaming *machine, const struct streaming_request *request)
{
    struct wire_publish publish = {0};
    struct bytes error = streaming_text(STREAMING_PUBLISH_INVALID);
    machine->in_messages++;
    machine->in_bytes += request->payload.count;
    if (!wire_publish_read(&machine->wire, request->payload, &publish)) {
        if (!wire_control_read(&machine->wire, request->payload))
            acknowledge(machine, request, (struct bytes){NULL, 0}, error);
        return;
    }
    if (!machine->leading) {
        acknowledge(machine, request, publish.guid, streaming_text(STREAMING_NOT_LEADER));
        return;
    }
    if (publish.guid.count == 0 || !limits_channel_name_valid(publish.subject) ||
        !streaming_owns(machine, publish.subject) || !publisher_known(machine, &publish, request->via)) {
        acknowledge(machine, request, publish.guid, error);
        return;
    }
    if (UNLIKELY(machine->setup.trace))
        machine_log(machine, LOG_TRACE, "[Client:%.*s] Received message from publisher subj=%.*s guid=%.*s",
                    BYTES_PRINTF(publish.client_id), BYTES_PRINTF(publish.subject),
                    BYTES_PRINTF(publish.guid));
    if (machine->setup.replicated) {
        publish_propose(machine, request, &publish);
        return;
    }
    if (outputs_bytes(&machine->held) > HELD_BYTES_MAX) {
        acknowledge(machine, request, publish.guid, streaming_text(STREAMING_BUSY));
        return;
    }
    struct streaming_channel *channel = channel_open(machine, publish.subject, &error);
    enum err err = channel == NULL ? ERR_OK : apply_publish(machine, channel, &publish);
    if (err != ERR_OK)
        error = machine_store_text(machine, err);
    bool stored = channel != NULL && err == ERR_OK;
    acknowledge(machine, request, publish.guid, stored ? TEXT("") : error);
    if (stored && request->reply.count > 0)
        trace_acknowledged(machine, publish.client_id, publish.subject, publish.guid);
}

/* ---- the replicated log ---- */

void publish_answer(struct streaming *machine, const struct wait *wait, struct bytes error)
{
    struct streaming_request request = {.via = wait->via, .reply = wait->reply};
    acknowledge(machine, &request, wait->guid, error);
}

enum err publish_applied(struct streaming *machine, const struct command *command, const struct wait *wait)
{
    struct streaming_channel *channel = NULL;
    struct bytes error = {NULL, 0};
    enum err err = ERR_OK;
    if (publisher(machine, command->publish.client_id, command->publish.connection_id) == NULL)
        error = streaming_text(STREAMING_PUBLISH_INVALID);
    else
        err =
            channel_used(machine, command->publish.channel, command->publish.channels_max, &channel, &error);
    if (channel != NULL)
        err = apply_replicated(machine, channel, command);
    if (err == ERR_OK && wait != NULL)
        publish_answer(machine, wait, error);
    if (err == ERR_OK && channel != NULL && wait != NULL && wait->reply.count > 0)
        trace_acknowledged(machine, command->publish.client_id, command->publish.channel, wait->guid);
    return err;
}
