/* shards/streaming/transfer.c - messages from the leader to a node whose store lacks them
 * (docs/streaming-cluster.md 4); a part of state.h.
 * In the flow:  streaming_restore() -> streaming_missing() -> peer: streaming_fetch() -> streaming_fill()
 *
 * A piece (packing.h): version 1, the channel's name and id, the first and the last sequence that it speaks
 * of, a count, and of each message sequence, timestamp, data. What it speaks of and does not hold is nowhere.
 */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

enum { VERSION = 1, BODY_FIRST = 64 * 1024 };

/* ---- asking ---- */

bool streaming_missing(const struct streaming *machine, struct streaming_missing *missing)
{
    struct list_link *at = list_first(&machine->lacking);
    if (at == NULL)
        return false;
    const struct streaming_channel *channel = LIST_ELEMENT(at, struct streaming_channel, lacking);
    *missing = (struct streaming_missing){
        .channel = channel->name,
        .channel_id = channel->id,
        .first = channel->missing_first,
        .last = channel->missing_last,
    };
    return true;
}

/* ---- giving ---- */

struct body {
    uint8_t *bytes;
    size_t count, capacity;
    uint64_t messages;
};

static void message_pack(struct packer *to, const struct store_message *message)
{
    pack_number(to, message->sequence);
    pack_number(to, (uint64_t)message->timestamp_ns);
    pack_text(to, message->data);
}

static enum err body_add(struct body *body, const struct store_message *message)
{
    struct packer counter = {0};
    message_pack(&counter, message);
    if (body->capacity - body->count < counter.count) {
        size_t capacity = body->capacity == 0 ? BODY_FIRST : body->capacity * 2;
        while (capacity - body->count < counter.count)
            capacity *= 2;
        uint8_t *grown = memory_grow(body->bytes, capacity);
        if (grown == NULL)
            return ERR_MEMORY;
        body->bytes = grown;
        body->capacity = capacity;
    }
    struct packer to = {.at = body->bytes + body->count};
    message_pack(&to, message);
    body->count += counter.count;
    body->messages++;
    return ERR_OK;
}

/* From `first` on what there is; *until: so far it speaks. */
static enum err body_fill(struct streaming *machine, const struct streaming_channel *channel,
                          const struct streaming_missing *wanted, size_t bytes_max, struct body *body,
                          uint64_t *until)
{
    uint64_t at = wanted->first;
    while ((at = store_sequence_from(channel->store, at)) != 0 && at <= wanted->last) {
        struct store_message message;
        if (body->count >= bytes_max && body->messages > 0)
            return ERR_OK;
        enum err err = store_lookup(machine->store, channel->store, at, &message);
        if (err == ERR_OK)
            err = body_add(body, &message);
        if (err != ERR_OK)
            return err;
        *until = at++;
    }
    *until = wanted->last;
    return ERR_OK;
}

static enum err piece_make(const struct streaming_missing *wanted, uint64_t until, const struct body *body,
                           uint8_t **piece, size_t *count)
{
    struct packer packer = {0};
    for (int round = 0; round < 2; round++) {
        pack_number(&packer, VERSION);
        pack_text(&packer, wanted->channel);
        pack_number(&packer, wanted->channel_id);
        pack_number(&packer, wanted->first);
        pack_number(&packer, until);
        pack_number(&packer, body->messages);
        if (round > 0)
            break;
        *count = packer.count + body->count;
        *piece = memory_new(*count);
        if (*piece == NULL)
            return ERR_MEMORY;
        packer = (struct packer){.at = *piece};
    }
    if (body->count > 0)
        memcpy(packer.at, body->bytes, body->count);
    return ERR_OK;
}

enum err streaming_fetch(struct streaming *machine, const struct streaming_missing *wanted, size_t bytes_max,
                         uint8_t **piece, size_t *count)
{
    struct streaming_channel *channel = channel_find(machine, wanted->channel);
    struct body body = {0};
    uint64_t until = wanted->last;
    enum err err = ERR_OK;
    *piece = NULL;
    *count = 0;
    /* Whoever has applied so much can tell: a leader whose first entry waits for this very peer would never
     * lead the machine. */
    if (wanted->channel_id > machine->applied_index || wanted->first == 0 || wanted->first > wanted->last)
        return ERR_INVALID;
    /* One that is not here any more is deleted by an entry that the peer will get. */
    if (channel != NULL && channel->id == wanted->channel_id && channel->store != NULL) {
        if (list_linked(&channel->lacking) || wanted->last > channel->last_sequence)
            return ERR_INVALID;
        err = body_fill(machine, channel, wanted, bytes_max, &body, &until);
    }
    if (err == ERR_OK)
        err = piece_make(wanted, until, &body, piece, count);
    memory_free(body.bytes);
    return err;
}

/* ---- taking ---- */

struct piece {
    struct bytes channel;
    uint64_t id, first, until, count;
    struct unpacker messages;
};

static bool message_next(struct unpacker *from, struct store_message *message)
{
    message->sequence = unpack_number(from);
    message->timestamp_ns = (int64_t)unpack_number(from);
    message->data = unpack_text(from);
    return !from->failed;
}

/* All of it is looked at before any of it is used. */
static bool piece_read(struct bytes bytes, struct piece *piece)
{
    struct unpacker from = {.rest = bytes};
    if (unpack_number(&from) != VERSION)
        return false;
    piece->channel = unpack_text(&from);
    piece->id = unpack_number(&from);
    piece->first = unpack_number(&from);
    piece->until = unpack_number(&from);
    piece->count = unpack_number(&from);
    piece->messages = from;
    uint64_t before = piece->first - 1;
    if (from.failed || piece->first == 0 || piece->until < piece->first)
        return false;
    for (uint64_t i = 0; i < piece->count; i++) {
        struct store_message message;
        if (!message_next(&from, &message) || message.sequence <= before || message.sequence > piece->until ||
            message.data.count > STORE_DATA_BYTES_MAX)
            return false;
        before = message.sequence;
    }
    return unpack_done(&from);
}

/* Whatever is missing still is nowhere. */
static enum err missing_end(struct streaming *machine, struct streaming_channel *channel)
{
    bool all = store_channel_last(channel->store) >= channel->missing_last;
    enum err err = all ? ERR_OK : stored_gone(machine, channel->stored, channel->missing_last);
    if (err == ERR_OK)
        list_remove(&channel->lacking);
    return err;
}

static enum err piece_store(struct streaming *machine, struct streaming_channel *channel, struct piece *piece)
{
    struct store_message message;
    for (uint64_t i = 0; i < piece->count && message_next(&piece->messages, &message); i++) {
        if (message.sequence < channel->missing_first)
            continue; /* the try before came so far */
        enum err err = store_append_at(machine->store, channel->store, message.sequence, message.data,
                                       message.timestamp_ns);
        if (err != ERR_OK)
            return err;
        channel->missing_first = message.sequence + 1;
    }
    if (piece->until < channel->missing_last) {
        channel->missing_first = piece->until + 1;
        return ERR_OK;
    }
    return missing_end(machine, channel);
}

enum err streaming_fill(struct streaming *machine, struct streaming_now now, struct bytes bytes)
{
    struct piece piece;
    machine->now = now;
    if (!piece_read(bytes, &piece))
        return ERR_DAMAGED;
    struct streaming_channel *channel = channel_find(machine, piece.channel);
    if (channel == NULL || channel->id != piece.id || !list_linked(&channel->lacking) ||
        piece.first > channel->missing_first || piece.until < channel->missing_first ||
        piece.until > channel->missing_last)
        return ERR_OK;
    return piece_store(machine, channel, &piece);
}

enum err streaming_forgo(struct streaming *machine, struct streaming_now now)
{
    enum err err = ERR_OK;
    machine->now = now;
    for (struct list_link *at; err == ERR_OK && (at = list_first(&machine->lacking)) != NULL;)
        err = missing_end(machine, LIST_ELEMENT(at, struct streaming_channel, lacking));
    return err;
}
