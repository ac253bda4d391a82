/* store/record.c - see record.h. CRC32C is ISA-L's, which uses the processor's instructions where it has
 * them. */
#include "store/record.h"

#include "core/base/check.h"

#include <isa-l/crc.h>

static const uint8_t segment_magic[8] = {'M', 'Y', 'E', 'L', 'I', 'N', 0, 0};

/* ISA-L only reads, but its prototype lacks the word for it. */
static uint32_t crc32c(const uint8_t *bytes, size_t count, uint32_t salt)
{
    union {
        const uint8_t *read;
        uint8_t *written;
    } cast = {.read = bytes};
    return crc32_iscsi(cast.written, (int)count, salt);
}

void record_encode(uint8_t *to, const struct record *record, struct bytes first, struct bytes second,
                   uint32_t salt)
{
    size_t payload = first.count + second.count;
    ASSERT(payload <= RECORD_PAYLOAD_BYTES_MAX);
    uint32_t size = record_size(payload);

    put_u32(to + 4, (uint32_t)payload);
    put_u64(to + 8, record->position);
    put_u64(to + 16, record->synced);
    put_u32(to + 24, (uint32_t)record->type);
    put_u32(to + 28, record->channel);
    uint8_t *at = to + RECORD_HEADER_BYTES;
    if (first.count > 0)
        memcpy(at, first.data, first.count);
    if (second.count > 0)
        memcpy(at + first.count, second.data, second.count);
    memset(at + payload, 0, size - RECORD_HEADER_BYTES - payload);
    put_u32(to, crc32c(to + 4, size - 4, salt));
}

enum record_result record_decode(const uint8_t *from, size_t available, uint64_t position, uint32_t salt,
                                 struct record *record, uint32_t *size)
{
    if (available < RECORD_HEADER_BYTES) {
        *size = RECORD_HEADER_BYTES;
        return RECORD_SHORT;
    }
    uint32_t payload = get_u32(from + 4);
    uint32_t type = get_u32(from + 24);
    /* The cheap questions first: recovery asks at every eighth byte behind a bad place. */
    if (get_u64(from + 8) != position || payload > RECORD_PAYLOAD_BYTES_MAX || type == 0 ||
        type >= RECORD_TYPES)
        return RECORD_BAD;
    *size = record_size(payload);
    if (available < *size)
        return RECORD_SHORT;
    if (get_u32(from) != crc32c(from + 4, *size - 4, salt))
        return RECORD_BAD;
    *record = (struct record){
        .position = position,
        .synced = get_u64(from + 16),
        .type = (enum record_type)type,
        .channel = get_u32(from + 28),
        .payload = bytes_of(from + RECORD_HEADER_BYTES, payload),
    };
    return RECORD_VALID;
}

void record_message_encode(uint8_t to[RECORD_MESSAGE_FIELDS_BYTES], const struct record_message *message)
{
    put_u64(to, message->sequence);
    put_u64(to + 8, (uint64_t)message->timestamp_ns);
    put_u64(to + 16, message->first_sequence);
}

bool record_message_decode(struct bytes payload, struct record_message *message)
{
    if (payload.count < RECORD_MESSAGE_FIELDS_BYTES)
        return false;
    message->sequence = get_u64(payload.data);
    message->timestamp_ns = (int64_t)get_u64(payload.data + 8);
    message->first_sequence = get_u64(payload.data + 16);
    message->data =
        bytes_of(payload.data + RECORD_MESSAGE_FIELDS_BYTES, payload.count - RECORD_MESSAGE_FIELDS_BYTES);
    return message->sequence != 0 && message->sequence <= RECORD_SEQUENCE_MAX;
}

void record_shared_encode(uint8_t to[RECORD_SHARED_BYTES], const struct record_shared *shared)
{
    record_message_encode(to, &shared->message);
    put_u32(to + RECORD_MESSAGE_FIELDS_BYTES, shared->offset);
    put_u32(to + RECORD_MESSAGE_FIELDS_BYTES + 4, shared->data_bytes);
}

bool record_shared_decode(struct bytes payload, struct record_shared *shared)
{
    if (payload.count != RECORD_SHARED_BYTES || !record_message_decode(payload, &shared->message))
        return false;
    shared->message.data = (struct bytes){0};
    shared->offset = get_u32(payload.data + RECORD_MESSAGE_FIELDS_BYTES);
    shared->data_bytes = get_u32(payload.data + RECORD_MESSAGE_FIELDS_BYTES + 4);
    return shared->offset >= SEGMENT_HEADER_BYTES && shared->offset % 8 == 0;
}

void segment_header_encode(uint8_t to[SEGMENT_HEADER_BYTES], const struct segment_header *header)
{
    memset(to, 0, SEGMENT_HEADER_BYTES);
    memcpy(to, segment_magic, sizeof segment_magic);
    put_u32(to + 8, header->version);
    put_u32(to + 12, header->number);
    put_u32(to + 16, header->capacity);
    put_u32(to + 20, header->salt);
    put_u32(to + 60, crc32c(to, 60, 0));
}

bool segment_header_decode(const uint8_t from[SEGMENT_HEADER_BYTES], struct segment_header *header)
{
    if (memcmp(from, segment_magic, sizeof segment_magic) != 0 || get_u32(from + 60) != crc32c(from, 60, 0))
        return false;
    *header = (struct segment_header){
        .version = get_u32(from + 8),
        .number = get_u32(from + 12),
        .capacity = get_u32(from + 16),
        .salt = get_u32(from + 20),
    };
    return true;
}
