/* shards/streaming/outputs.c - see outputs.h. */
#include "shards/streaming/outputs.h"

#include "core/base/check.h"
#include "core/base/memory.h"

enum { CAPACITY_FIRST = 64 * 1024, ALIGNMENT = 8 };

/* In front of each record; subject, reply and body follow. */
struct record {
    uint64_t position;
    uint64_t body_bytes;
    uint32_t record_bytes; /* in units of ALIGNMENT */
    uint32_t subject_count;
    uint32_t reply_count;
    uint16_t via;
    uint8_t kind;
    uint8_t level;
};

void outputs_close(struct outputs *outputs)
{
    memory_free(outputs->bytes);
    *outputs = (struct outputs){0};
}

/* So that `bytes` fit behind the tail: to the front when that frees enough, else into a larger buffer. */
static bool make_room(struct outputs *outputs, size_t bytes)
{
    size_t used = outputs_bytes(outputs);
    if (outputs->capacity - outputs->tail >= bytes)
        return true;
    /* Moving costs what is moved; half of the buffer must be free, so each byte moves once on average. */
    if (outputs->capacity < bytes || used + bytes > outputs->capacity / 2) {
        size_t capacity = outputs->capacity == 0 ? CAPACITY_FIRST : outputs->capacity * 2;
        while (capacity < (used + bytes) * 2)
            capacity *= 2;
        uint8_t *grown = memory_grow(outputs->bytes, capacity);
        if (grown == NULL)
            return false;
        outputs->bytes = grown;
        outputs->capacity = capacity;
    }
    if (outputs->head > 0) {
        memmove(outputs->bytes, outputs->bytes + outputs->head, used);
        outputs->head = 0;
        outputs->tail = used;
    }
    return true;
}

static size_t record_bytes(const struct streaming_output *output, size_t body_bytes)
{
    size_t bytes = sizeof(struct record) + output->subject.count + output->reply.count + body_bytes;
    return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

bool outputs_reserve(struct outputs *outputs, const struct streaming_output *output, size_t body_bytes)
{
    size_t bytes = record_bytes(output, body_bytes);
    return bytes / ALIGNMENT <= UINT32_MAX && make_room(outputs, bytes);
}

uint8_t *outputs_put(struct outputs *outputs, const struct streaming_output *output, size_t body_bytes,
                     uint64_t position)
{
    size_t bytes = record_bytes(output, body_bytes);
    if (outputs->head == outputs->tail)
        outputs->head = outputs->tail = 0;
    if (bytes / ALIGNMENT > UINT32_MAX || !make_room(outputs, bytes)) {
        outputs->lost++;
        return NULL;
    }
    struct record record = {
        .position = position,
        .body_bytes = body_bytes,
        .record_bytes = (uint32_t)(bytes / ALIGNMENT),
        .subject_count = (uint32_t)output->subject.count,
        .reply_count = (uint32_t)output->reply.count,
        .via = output->via,
        .kind = (uint8_t)output->kind,
        .level = output->level,
    };
    uint8_t *at = mempcpy(outputs->bytes + outputs->tail, &record, sizeof record);
    if (output->subject.count > 0)
        at = mempcpy(at, output->subject.data, output->subject.count);
    if (output->reply.count > 0)
        at = mempcpy(at, output->reply.data, output->reply.count);
    outputs->tail += bytes;
    return at;
}

bool outputs_next(struct outputs *outputs, uint64_t position, struct streaming_output *output)
{
    struct record record;
    if (outputs->head == outputs->tail)
        return false;
    const uint8_t *at = outputs->bytes + outputs->head;
    memcpy(&record, at, sizeof record);
    if (record.position > position)
        return false;
    at += sizeof record;
    *output = (struct streaming_output){
        .kind = record.kind,
        .level = record.level,
        .via = record.via,
        .subject = bytes_of(at, record.subject_count),
        .reply = bytes_of(at + record.subject_count, record.reply_count),
        .body = bytes_of(at + record.subject_count + record.reply_count, record.body_bytes),
    };
    outputs->last = outputs->head;
    outputs->head += (size_t)record.record_bytes * ALIGNMENT;
    return true;
}

uint32_t outputs_more(struct outputs *outputs, uint64_t position, const struct streaming_output *first,
                      struct bytes *bodies, uint32_t most)
{
    uint32_t count = 0;
    struct record record;
    size_t subject_count = first->subject.count;
    while (count < most && first->reply.count == 0 && outputs->head < outputs->tail) {
        const uint8_t *at = outputs->bytes + outputs->head;
        memcpy(&record, at, sizeof record);
        at += sizeof record;
        if (record.position > position || record.kind != first->kind || record.via != first->via ||
            record.subject_count != subject_count || record.reply_count != 0 ||
            record.body_bytes != first->body.count || memcmp(at, first->subject.data, subject_count) != 0)
            break;
        bodies[count++] = bytes_of(at + subject_count, record.body_bytes);
        outputs->last = outputs->head;
        outputs->head += (size_t)record.record_bytes * ALIGNMENT;
    }
    return count;
}

void outputs_back(struct outputs *outputs, uint32_t count)
{
    size_t record_bytes = outputs->head - outputs->last; /* of each of a run */
    ASSERT(count > 0 && outputs->last < outputs->head && outputs->last >= (count - 1) * record_bytes);
    outputs->head = outputs->last - (count - 1) * record_bytes;
    outputs->last = outputs->head; /* once only */
}
