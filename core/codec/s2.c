/* core/codec/s2.c - reading and writing S2; see s2.h. */
#include "core/codec/s2.h"

#include "core/base/check.h"
#include "core/base/memory.h"

#include <isa-l/crc.h>
#include <snappy-c.h>
#include <string.h>

enum { KIND_COMPRESSED = 0x00, KIND_STORED = 0x01, KIND_SKIPPED = 0x80, KIND_IDENTIFIER = 0xff };
enum { CHUNK_HEAD_BYTES = 4, CHECKSUM_BYTES = 4, NAME_BYTES = 6, CHUNK_BYTES_FIRST = 64 * 1024 };

/* ---- the checksum ---- */

/* CRC-32C is ISA-L's, whose prototype lacks the word for what it only reads. */
uint32_t s2_checksum(struct bytes plain)
{
    union {
        const uint8_t *read;
        uint8_t *written;
    } cast = {.read = plain.data};
    uint32_t crc = plain.count == 0 ? 0 : ~crc32_iscsi(cast.written, (int)plain.count, 0xffffffffU);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

static uint32_t little_endian(const uint8_t *at, size_t count)
{
    uint32_t value = 0;
    for (size_t i = 0; i < count; i++)
        value |= (uint32_t)at[i] << (8 * i);
    return value;
}

/* ---- a block ---- */

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static bool number_take(struct cursor *in, size_t count, uint32_t *value)
{
    if ((size_t)(in->end - in->at) < count)
        return false;
    *value = little_endian(in->at, count);
    in->at += count;
    return true;
}

/* 00: up to 60 bytes by the tag itself, more by one to four bytes behind it. */
static bool literal(struct cursor *in, uint8_t tag, uint8_t **to, const uint8_t *to_end)
{
    uint32_t count = tag >> 2;
    if (count >= 60 && !number_take(in, count - 59, &count))
        return false;
    size_t bytes = (size_t)count + 1;
    if ((size_t)(in->end - in->at) < bytes || (size_t)(to_end - *to) < bytes)
        return false;
    memcpy(*to, in->at, bytes);
    in->at += bytes;
    *to += bytes;
    return true;
}

/* 01: 4 to 11 bytes from up to 2047 back. S2: an offset of 0 repeats the last one, and the length's three
 * bits then mean 4 to 8, or that one, two or three bytes behind say it. */
static bool copy_near(struct cursor *in, uint8_t tag, uint32_t *offset, uint32_t *count)
{
    static const uint32_t more[] = {4, 256, 65536};
    uint32_t low, extra;
    if (!number_take(in, 1, &low))
        return false;
    *count = tag >> 2 & 7U;
    uint32_t given = (uint32_t)(tag & 0xe0U) << 3 | low;
    if (given != 0) {
        *offset = given;
    } else if (*count >= 5) {
        uint32_t bytes = *count - 4;
        if (!number_take(in, bytes, &extra))
            return false;
        *count = extra + more[bytes - 1];
    }
    *count += 4;
    return true;
}

static bool copy(uint32_t offset, uint32_t count, const uint8_t *start, uint8_t **to, const uint8_t *to_end)
{
    if (offset == 0 || (size_t)(*to - start) < offset || (size_t)(to_end - *to) < count)
        return false;
    const uint8_t *from = *to - offset;
    if (offset >= count) {
        memcpy(*to, from, count);
    } else { /* what it copies it may have written itself */
        for (uint32_t i = 0; i < count; i++)
            (*to)[i] = from[i];
    }
    *to += count;
    return true;
}

bool s2_block_decode(struct bytes block, uint8_t *plain, size_t plain_bytes)
{
    struct cursor in = {block.data, block.data + block.count};
    uint8_t *to = plain;
    const uint8_t *to_end = plain + plain_bytes;
    uint32_t offset = 0, count = 0;
    while (in.at < in.end) {
        uint8_t tag = *in.at++;
        bool good;
        switch (tag & 3) {
        case 0:
            if (!literal(&in, tag, &to, to_end))
                return false;
            continue;
        case 1:
            good = copy_near(&in, tag, &offset, &count);
            break;
        default:
            count = 1 + (uint32_t)(tag >> 2);
            good = number_take(&in, (tag & 3) == 2 ? 2 : 4, &offset);
            break;
        }
        if (!good || !copy(offset, count, plain, &to, to_end))
            return false;
    }
    return to == to_end;
}

/* ---- the stream ---- */

static bool grow(uint8_t **bytes, uint32_t *capacity, uint32_t needed)
{
    uint32_t wanted = *capacity == 0 ? CHUNK_BYTES_FIRST : *capacity;
    if (needed <= *capacity)
        return true;
    while (wanted < needed)
        wanted *= 2;
    uint8_t *more = memory_grow(*bytes, wanted);
    if (more == NULL)
        return false;
    *bytes = more;
    *capacity = wanted;
    return true;
}

static bool identifier_good(struct bytes data)
{
    return data.count == NAME_BYTES &&
           (memcmp(data.data, "S2sTwO", NAME_BYTES) == 0 || memcmp(data.data, "sNaPpY", NAME_BYTES) == 0);
}

/* The varint before a block. */
static bool length_take(struct bytes *data, uint32_t *length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < data->count && i < 5; i++) {
        value |= (uint64_t)(data->data[i] & 0x7f) << (7 * i);
        if ((data->data[i] & 0x80) == 0) {
            *data = bytes_of(data->data + i + 1, data->count - i - 1);
            *length = (uint32_t)value;
            return value <= S2_PLAIN_BYTES_MAX;
        }
    }
    return false;
}

/* A whole chunk. MORE: it has no data. */
static enum s2_result chunk_read(struct s2_reader *reader, uint8_t kind, struct bytes data,
                                 struct bytes *plain)
{
    uint32_t length = 0;
    if (kind == KIND_IDENTIFIER) {
        reader->identified = identifier_good(data);
        return reader->identified ? S2_MORE : S2_BAD;
    }
    if (!reader->identified)
        return S2_BAD;
    if (kind >= KIND_SKIPPED)
        return S2_MORE;
    if (kind > KIND_STORED || data.count < CHECKSUM_BYTES)
        return S2_BAD;
    uint32_t checksum = little_endian(data.data, CHECKSUM_BYTES);
    data = bytes_of(data.data + CHECKSUM_BYTES, data.count - CHECKSUM_BYTES);
    *plain = data;
    if (kind == KIND_COMPRESSED) {
        if (!length_take(&data, &length))
            return S2_BAD;
        if (!grow(&reader->plain, &reader->plain_capacity, length))
            return S2_MEMORY;
        if (length > 0 && !s2_block_decode(data, reader->plain, length))
            return S2_BAD;
        *plain = bytes_of(reader->plain, length);
    }
    if (plain->count > S2_PLAIN_BYTES_MAX || s2_checksum(*plain) != checksum)
        return S2_BAD;
    return plain->count > 0 ? S2_DATA : S2_MORE;
}

static void chunk_fill(struct s2_reader *reader, struct bytes *bytes, uint32_t needed)
{
    size_t take = needed - reader->chunk_bytes;
    take = take < bytes->count ? take : bytes->count;
    memcpy(reader->chunk + reader->chunk_bytes, bytes->data, take);
    reader->chunk_bytes += (uint32_t)take;
    *bytes = bytes_of(bytes->data + take, bytes->count - take);
}

enum s2_result s2_reader_next(struct s2_reader *reader, struct bytes *bytes, struct bytes *plain)
{
    while (bytes->count > 0) {
        if (!grow(&reader->chunk, &reader->chunk_capacity, CHUNK_HEAD_BYTES))
            return S2_MEMORY;
        if (reader->chunk_bytes < CHUNK_HEAD_BYTES)
            chunk_fill(reader, bytes, CHUNK_HEAD_BYTES);
        if (reader->chunk_bytes < CHUNK_HEAD_BYTES)
            return S2_MORE;
        uint32_t count = little_endian(reader->chunk + 1, 3);
        if (count > S2_CHUNK_BYTES_MAX)
            return S2_BAD;
        if (!grow(&reader->chunk, &reader->chunk_capacity, CHUNK_HEAD_BYTES + count))
            return S2_MEMORY;
        if (bytes->count > 0)
            chunk_fill(reader, bytes, CHUNK_HEAD_BYTES + count);
        if (reader->chunk_bytes < CHUNK_HEAD_BYTES + count)
            return S2_MORE;
        reader->chunk_bytes = 0;
        enum s2_result result =
            chunk_read(reader, reader->chunk[0], bytes_of(reader->chunk + CHUNK_HEAD_BYTES, count), plain);
        if (result != S2_MORE)
            return result;
    }
    return S2_MORE;
}

void s2_reader_close(struct s2_reader *reader)
{
    memory_free(reader->chunk);
    memory_free(reader->plain);
    *reader = (struct s2_reader){0};
}

/* ---- writing ---- */

static void head_put(uint8_t *to, uint8_t kind, size_t data_bytes, uint32_t checksum)
{
    size_t count = data_bytes + CHECKSUM_BYTES;
    to[0] = kind;
    for (size_t i = 0; i < 3; i++)
        to[1 + i] = (uint8_t)(count >> (8 * i));
    for (size_t i = 0; i < CHECKSUM_BYTES; i++)
        to[CHUNK_HEAD_BYTES + i] = (uint8_t)(checksum >> (8 * i));
}

size_t s2_encode(struct bytes plain, bool identifier, bool stored, uint8_t *to)
{
    static const uint8_t begin[S2_IDENTIFIER_BYTES + 1] = "\xff\x06\x00\x00S2sTwO";
    size_t before = identifier ? S2_IDENTIFIER_BYTES : 0;
    size_t room = snappy_max_compressed_length(plain.count);
    ASSERT(plain.count > 0 && plain.count <= S2_WRITE_BYTES);
    ASSERT(room + S2_IDENTIFIER_BYTES + S2_HEAD_BYTES <= s2_encode_room(plain.count));
    memcpy(to, begin, before);
    uint8_t *chunk = to + before;
    uint32_t checksum = s2_checksum(plain);
    size_t count = room;
    bool smaller = !stored &&
                   snappy_compress((const char *)plain.data, plain.count, (char *)chunk + S2_HEAD_BYTES,
                                   &count) == SNAPPY_OK &&
                   count < plain.count;
    if (!smaller) {
        count = plain.count;
        memcpy(chunk + S2_HEAD_BYTES, plain.data, count);
    }
    head_put(chunk, smaller ? KIND_COMPRESSED : KIND_STORED, count, checksum);
    return before + S2_HEAD_BYTES + count;
}
