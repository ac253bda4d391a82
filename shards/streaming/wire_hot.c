/* shards/streaming/wire_hot.c - see wire_hot.h; and wire.h for what is written. */
#include "shards/streaming/wire_hot.h"

enum {
    TYPE_NUMBER = 0,
    TYPE_TEXT = 2,
    NUMBER_BYTES_MAX = 9, /* longer ones are protobuf-c's */
    LENGTH_BYTES_MAX = 5, /* no length has more */
    PUBLISH_CHECKSUM = 10 /* of PubMsg: nobody looks at it */
};

#define KEY(number, type) ((uint8_t)((number) << 3 | (type)))

/* ---- reading ---- */

static ALWAYS_INLINE bool varint_read(const uint8_t **at, const uint8_t *end, unsigned bytes_max,
                                      uint64_t *value)
{
    const uint8_t *from = *at;
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 7 * bytes_max && from < end; shift += 7) {
        uint8_t byte = *from++;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            *at = from;
            return true;
        }
    }
    return false;
}

static ALWAYS_INLINE bool text_read(const uint8_t **at, const uint8_t *end, struct bytes *text)
{
    uint64_t count = 0;
    if (!varint_read(at, end, LENGTH_BYTES_MAX, &count) || count > (uint64_t)(end - *at))
        return false;
    *text = bytes_of(*at, (size_t)count);
    *at += count;
    return true;
}

bool wire_hot_publish_read(struct bytes from, struct wire_publish *to)
{
    const uint8_t *at = from.data, *end = from.count == 0 ? at : at + from.count;
    struct wire_publish read = {0};
    struct bytes ignored;
    while (at < end) {
        struct bytes *field = NULL;
        switch (*at++) {
        case KEY(1, TYPE_TEXT):
            field = &read.client_id;
            break;
        case KEY(2, TYPE_TEXT):
            field = &read.guid;
            break;
        case KEY(3, TYPE_TEXT):
            field = &read.subject;
            break;
        case KEY(4, TYPE_TEXT):
            field = &read.reply;
            break;
        case KEY(5, TYPE_TEXT):
            field = &read.data;
            break;
        case KEY(6, TYPE_TEXT):
            field = &read.connection_id;
            break;
        case KEY(PUBLISH_CHECKSUM, TYPE_TEXT):
            field = &ignored;
            break;
        default:
            return false;
        }
        if (!text_read(&at, end, field))
            return false;
    }
    *to = read;
    return true;
}

bool wire_hot_ack_read(struct bytes from, struct wire_ack *to)
{
    const uint8_t *at = from.data, *end = from.count == 0 ? at : at + from.count;
    struct wire_ack read = {0};
    while (at < end) {
        bool good = false;
        switch (*at++) {
        case KEY(1, TYPE_TEXT):
            good = text_read(&at, end, &read.subject);
            break;
        case KEY(2, TYPE_NUMBER):
            good = varint_read(&at, end, NUMBER_BYTES_MAX, &read.sequence);
            break;
        default:
            break;
        }
        if (!good)
            return false;
    }
    *to = read;
    return true;
}

/* ---- writing: zeros and empty texts are left out ---- */

static ALWAYS_INLINE size_t varint_bytes(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static ALWAYS_INLINE uint8_t *varint_write(uint8_t *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

static ALWAYS_INLINE size_t text_bytes(struct bytes text)
{
    return text.count == 0 ? 0 : 1 + varint_bytes(text.count) + text.count;
}

static ALWAYS_INLINE uint8_t *text_write(uint8_t *to, uint8_t key, struct bytes text)
{
    if (text.count == 0)
        return to;
    *to++ = key;
    return mempcpy(varint_write(to, text.count), text.data, text.count);
}

static ALWAYS_INLINE size_t number_bytes(uint64_t value)
{
    return value == 0 ? 0 : 1 + varint_bytes(value);
}

static ALWAYS_INLINE uint8_t *number_write(uint8_t *to, uint8_t key, uint64_t value)
{
    if (value == 0)
        return to;
    *to++ = key;
    return varint_write(to, value);
}

size_t wire_publish_ack_bytes(struct bytes guid, struct bytes error)
{
    return text_bytes(guid) + text_bytes(error);
}

void wire_publish_ack_write(struct bytes guid, struct bytes error, uint8_t *to)
{
    (void)text_write(text_write(to, KEY(1, TYPE_TEXT), guid), KEY(2, TYPE_TEXT), error);
}

size_t wire_message_bytes(const struct wire_message *from)
{
    return number_bytes(from->sequence) + text_bytes(from->subject) + text_bytes(from->reply) +
           text_bytes(from->data) + number_bytes((uint64_t)from->timestamp_ns);
}

void wire_message_write(const struct wire_message *from, uint8_t *to)
{
    to = number_write(to, KEY(1, TYPE_NUMBER), from->sequence);
    to = text_write(to, KEY(2, TYPE_TEXT), from->subject);
    to = text_write(to, KEY(3, TYPE_TEXT), from->reply);
    to = text_write(to, KEY(4, TYPE_TEXT), from->data);
    (void)number_write(to, KEY(5, TYPE_NUMBER), (uint64_t)from->timestamp_ns);
}
