/* shards/streaming/sharing.c - see sharing.h. */
#include "shards/streaming/sharing.h"

#include "core/base/memory.h"
#include "shards/streaming/command.h"
#include "shards/streaming/replica_log.h"

static enum err make(void *context, struct bytes source, struct bytes channel, uint64_t sequence,
                     int64_t timestamp_ns, struct bytes *data)
{
    struct sharing *sharing = context;
    struct command command;
    if (source.count < REPLICA_ENTRY_HEADER_BYTES ||
        !command_read(
            bytes_of(source.data + REPLICA_ENTRY_HEADER_BYTES, source.count - REPLICA_ENTRY_HEADER_BYTES),
            &command) ||
        command.kind != COMMAND_PUBLISH || !bytes_equal(command.publish.channel, channel))
        return ERR_INVALID;
    struct wire_message message = {
        .sequence = sequence,
        .subject = channel,
        .reply = command.publish.reply,
        .data = command.publish.data,
        .timestamp_ns = timestamp_ns,
    };
    size_t bytes = wire_message_bytes(&message);
    if (!memory_room(&sharing->bytes, &sharing->capacity, bytes))
        return ERR_MEMORY;
    wire_message_write(&message, sharing->bytes);
    *data = bytes_of(sharing->bytes, bytes);
    return ERR_OK;
}

struct store_sharing sharing_of(struct sharing *sharing)
{
    return (struct store_sharing){.make = make, .context = sharing};
}

void sharing_close(struct sharing *sharing)
{
    memory_free(sharing->bytes);
    *sharing = (struct sharing){0};
}
