/* shards/streaming/command.c - see command.h. */
#include "shards/streaming/command.h"

#include "core/base/check.h"
#include "store/limits.h"
#include "store/store.h"

/* A command:
 *    0  1  version, 1
 *    1  1  kind
 *    2  -  the moment, then the fields in the order of the functions below: numbers and texts (packing.h)
 * Valid: nothing behind, each field within the bounds that the function of its kind looks after. */
enum { VERSION = 1 };

/* ---- writing ---- */

void command_client_put(struct packer *to, const struct wire_client_info *info)
{
    pack_text(to, info->id);
    pack_text(to, info->heartbeat_inbox);
    pack_text(to, info->connection_id);
    pack_number(to, (uint32_t)info->protocol);
    pack_number(to, (uint32_t)info->ping_interval);
    pack_number(to, (uint32_t)info->ping_out_max);
}

static void subscribe_put(struct packer *to, const struct command *command)
{
    pack_text(to, command->subscribe.client_id);
    pack_text(to, command->subscribe.channel);
    pack_text(to, command->subscribe.group);
    pack_text(to, command->subscribe.inbox);
    pack_text(to, command->subscribe.ack_inbox);
    pack_text(to, command->subscribe.durable_name);
    pack_number(to, (uint32_t)command->subscribe.max_in_flight);
    pack_number(to, (uint32_t)command->subscribe.ack_wait_seconds);
    pack_number(to, command->subscribe.start);
    pack_number(to, command->subscribe.sequence);
    pack_number(to, command->subscribe.replace);
    pack_number(to, command->subscribe.channels_max);
    pack_number(to, command->subscribe.subscriptions_max);
}

static void publish_put(struct packer *to, const struct command *command)
{
    pack_text(to, command->publish.client_id);
    pack_text(to, command->publish.connection_id);
    pack_text(to, command->publish.channel);
    pack_text(to, command->publish.reply);
    pack_text(to, command->publish.data);
    pack_number(to, command->publish.channels_max);
}

static void put(struct packer *to, const struct command *command)
{
    pack_number(to, VERSION);
    pack_number(to, command->kind);
    pack_number(to, (uint64_t)command->wall_ns);
    switch (command->kind) {
    case COMMAND_CLIENT_ADD:
        command_client_put(to, &command->client_add.info);
        pack_number(to, command->client_add.replace);
        return;
    case COMMAND_CLIENT_REMOVE:
        pack_text(to, command->client_remove.id);
        pack_number(to, command->client_remove.added_index);
        return;
    case COMMAND_PUBLISH:
        publish_put(to, command);
        return;
    case COMMAND_SUBSCRIBE:
        subscribe_put(to, command);
        return;
    case COMMAND_LEAVE:
        pack_text(to, command->leave.channel);
        pack_text(to, command->leave.ack_inbox);
        pack_number(to, command->leave.forget);
        return;
    case COMMAND_PROGRESS:
        pack_text(to, command->progress.rows);
        return;
    case COMMAND_CHANNEL_DELETE:
        pack_text(to, command->channel_delete.name);
        pack_number(to, command->channel_delete.id);
        pack_number(to, command->channel_delete.used_index);
        return;
    case COMMAND_CLIENT_KNOWN:
        command_client_put(to, &command->client_known.info);
        pack_number(to, command->client_known.added_index);
        return;
    case COMMAND_CLIENT_GONE:
        pack_text(to, command->client_gone.id);
        pack_number(to, command->client_gone.added_index);
        return;
    }
    ASSERT(false);
}

size_t command_bytes(const struct command *command)
{
    struct packer counter = {0};
    put(&counter, command);
    return counter.count;
}

void command_write(const struct command *command, uint8_t *to)
{
    struct packer packer = {.at = to};
    put(&packer, command);
}

/* ---- reading ---- */

static bool channel_valid(struct bytes name)
{
    return name.count <= STORE_CHANNEL_NAME_BYTES_MAX && limits_channel_name_valid(name);
}

bool command_client_get(struct unpacker *from, struct wire_client_info *info)
{
    info->id = unpack_text(from);
    info->heartbeat_inbox = unpack_text(from);
    info->connection_id = unpack_text(from);
    info->protocol = (int32_t)(uint32_t)unpack_number_up_to(from, UINT32_MAX);
    info->ping_interval = (int32_t)(uint32_t)unpack_number_up_to(from, UINT32_MAX);
    info->ping_out_max = (int32_t)(uint32_t)unpack_number_up_to(from, UINT32_MAX);
    return info->id.count > 0 && info->heartbeat_inbox.count > 0;
}

static bool subscribe_get(struct unpacker *from, struct command *command)
{
    command->subscribe.client_id = unpack_text(from);
    command->subscribe.channel = unpack_text(from);
    command->subscribe.group = unpack_text(from);
    command->subscribe.inbox = unpack_text(from);
    command->subscribe.ack_inbox = unpack_text(from);
    command->subscribe.durable_name = unpack_text(from);
    command->subscribe.max_in_flight = (int32_t)unpack_number_up_to(from, INT32_MAX);
    command->subscribe.ack_wait_seconds = (int32_t)unpack_number_up_to(from, INT32_MAX);
    command->subscribe.start = (enum command_start)unpack_number_up_to(from, COMMAND_START_SEQUENCE);
    command->subscribe.sequence = unpack_number(from);
    command->subscribe.replace = unpack_flag(from);
    command->subscribe.channels_max = (uint32_t)unpack_number_up_to(from, UINT32_MAX);
    command->subscribe.subscriptions_max = (uint32_t)unpack_number_up_to(from, UINT32_MAX);
    return command->subscribe.client_id.count > 0 && channel_valid(command->subscribe.channel) &&
           command->subscribe.ack_inbox.count > 0 && command->subscribe.max_in_flight > 0 &&
           command->subscribe.ack_wait_seconds > 0;
}

static bool publish_get(struct unpacker *from, struct command *command)
{
    command->publish.client_id = unpack_text(from);
    command->publish.connection_id = unpack_text(from);
    command->publish.channel = unpack_text(from);
    command->publish.reply = unpack_text(from);
    command->publish.data = unpack_text(from);
    command->publish.channels_max = (uint32_t)unpack_number_up_to(from, UINT32_MAX);
    return channel_valid(command->publish.channel);
}

static bool rows_valid(struct bytes rows)
{
    struct bytes ack_inbox, events;
    while (rows.count > 0) {
        if (!command_progress_next(&rows, &ack_inbox, &events))
            return false;
        struct unpacker numbers = {.rest = events};
        while (numbers.rest.count > 0) {
            if (unpack_number(&numbers) < 2)
                return false;
        }
        if (numbers.failed)
            return false;
    }
    return true;
}

static bool get(struct unpacker *from, struct command *command)
{
    switch (command->kind) {
    case COMMAND_CLIENT_ADD:
        if (!command_client_get(from, &command->client_add.info))
            return false;
        command->client_add.replace = unpack_flag(from);
        return true;
    case COMMAND_CLIENT_REMOVE:
        command->client_remove.id = unpack_text(from);
        command->client_remove.added_index = unpack_number(from);
        return true;
    case COMMAND_PUBLISH:
        return publish_get(from, command);
    case COMMAND_SUBSCRIBE:
        return subscribe_get(from, command);
    case COMMAND_LEAVE:
        command->leave.channel = unpack_text(from);
        command->leave.ack_inbox = unpack_text(from);
        command->leave.forget = unpack_flag(from);
        return true;
    case COMMAND_PROGRESS:
        command->progress.rows = unpack_text(from);
        return rows_valid(command->progress.rows);
    case COMMAND_CHANNEL_DELETE:
        command->channel_delete.name = unpack_text(from);
        command->channel_delete.id = unpack_number(from);
        command->channel_delete.used_index = unpack_number(from);
        return true;
    case COMMAND_CLIENT_KNOWN:
        if (!command_client_get(from, &command->client_known.info))
            return false;
        command->client_known.added_index = unpack_number(from);
        return true;
    case COMMAND_CLIENT_GONE:
        command->client_gone.id = unpack_text(from);
        command->client_gone.added_index = unpack_number(from);
        return true;
    }
    return false;
}

bool command_read(struct bytes from, struct command *to)
{
    struct unpacker unpacker = {.rest = from};
    *to = (struct command){0};
    if (unpack_number(&unpacker) != VERSION)
        return false;
    to->kind = (enum command_kind)unpack_number_up_to(&unpacker, COMMAND_KINDS - 1);
    to->wall_ns = (int64_t)unpack_number(&unpacker);
    return get(&unpacker, to) && unpack_done(&unpacker);
}

/* ---- progress ---- */

void command_progress_put(struct packer *to, struct bytes ack_inbox, struct bytes events)
{
    pack_text(to, ack_inbox);
    pack_text(to, events);
}

bool command_progress_next(struct bytes *rows, struct bytes *ack_inbox, struct bytes *events)
{
    struct unpacker from = {.rest = *rows};
    *ack_inbox = unpack_text(&from);
    *events = unpack_text(&from);
    *rows = from.rest;
    return !from.failed && ack_inbox->count > 0;
}
