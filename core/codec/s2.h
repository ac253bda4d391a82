/* core/codec/s2.h - the compressed stream between servers: S2, which is Snappy with repeated offsets and
 * larger blocks (spec/routes.md 14.3). In the flow:  receive -> s2_reader_next() -> route || route's output
 * -> s2_encode() -> send What is written is Snappy's, which every S2 reader takes. At the bounds: a chunk of
 * more than S2_CHUNK_BYTES_MAX, and one that says it holds more than S2_PLAIN_BYTES_MAX, is bad. Thread: any;
 * a reader is one thread's.
 *
 * A stream is a row of chunks:
 *    0  1  kind: 0xff identifier, 0x00 compressed, 0x01 stored, 0x80 .. 0xfe to be skipped, others bad
 *    1  3  bytes that follow, little-endian
 *    4  4  of the middle two: masked CRC-32C of the plain bytes
 *    8  -  the data; compressed: the plain bytes' count as a varint, then a block
 * The first chunk is an identifier: ff 06 00 00 "S2sTwO", or "sNaPpY". It may come again. */
#ifndef CORE_CODEC_S2_H
#define CORE_CODEC_S2_H

#include "core/base/bytes.h"
#include "core/base/language.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    S2_PLAIN_BYTES_MAX = 4 << 20, /* as the format has it */
    S2_CHUNK_BYTES_MAX = 5 << 20, /* more than such a block can need */
    S2_WRITE_BYTES = 64 * 1024,   /* plain bytes of a chunk that we write: a Snappy block */
    S2_IDENTIFIER_BYTES = 10,
    S2_HEAD_BYTES = 8, /* of a data chunk, with the checksum */
};

/* All zero is the beginning of a stream. */
struct s2_reader {
    uint8_t *chunk; /* the one that is not all here yet */
    uint8_t *plain; /* what was given out last */
    uint32_t chunk_bytes;
    uint32_t chunk_capacity;
    uint32_t plain_capacity;
    bool identified;
};

enum s2_result {
    S2_DATA, /* some plain bytes */
    S2_MORE, /* all that was given is used up */
    S2_BAD,
    S2_MEMORY,
};

/* Takes from `bytes` up to the end of one chunk with data. What `plain` refers to holds until the next call.
 * After BAD and MEMORY the reader is of no more use. */
MUST_USE enum s2_result s2_reader_next(struct s2_reader *reader, struct bytes *bytes, struct bytes *plain);
void s2_reader_close(struct s2_reader *reader);

/* Decodes a block of exactly `plain_bytes`. False: it is not one. */
MUST_USE bool s2_block_decode(struct bytes block, uint8_t *plain, size_t plain_bytes);

/* What so many plain bytes may take: Snappy's bound, with an identifier and a head. */
static inline size_t s2_encode_room(size_t plain_bytes)
{
    return S2_IDENTIFIER_BYTES + S2_HEAD_BYTES + 32 + plain_bytes + plain_bytes / 6;
}

/* Writes identifier and one chunk of at most S2_WRITE_BYTES; `to` has s2_encode_room(). With `stored` it is
 * not compressed; nor is what would become larger. The bytes written. */
size_t s2_encode(struct bytes plain, bool identifier, bool stored, uint8_t *to);

/* CRC-32C, masked as the format asks. */
uint32_t s2_checksum(struct bytes plain);

#endif
