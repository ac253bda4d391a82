/* store/record.h - the bytes of one record of the log, and of what begins a segment.
 * In the flow:  wal_append() -> record_encode(); recovery, reading back, tools -> record_decode()
 * Pure functions over bytes; the layout is docs/store.md 3. Thread: any. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "core/base/bytes.h"
#include "core/base/language.h"

#include <stdbool.h>

/* The numbers are on disk. */
enum record_type {
    RECORD_MESSAGE = 1,
    RECORD_CHANNEL = 2,
    RECORD_CHANNEL_DELETED = 3,
    RECORD_PUT = 4,
    RECORD_ADD = 5,
    RECORD_STATE_DELETED = 6,
    RECORD_INDEX = 7,
    RECORD_RETIRED = 8,
    RECORD_MARK = 9,
    RECORD_SEAL = 10,
    RECORD_SHARED = 11, /* a message whose data is that of another one, before it in the same segment */
    RECORD_TYPES
};

enum {
    RECORD_HEADER_BYTES = 32,
    RECORD_MESSAGE_FIELDS_BYTES = 24,            /* before a message's data */
    RECORD_SHARED_BYTES = 32,                    /* the same fields, and where that data is */
    RECORD_PAYLOAD_BYTES_MAX = 80 * 1024 * 1024, /* what the store allows, and its own fields */
    SEGMENT_HEADER_BYTES = 64,
};

/* So that one more is a sequence still. */
#define RECORD_SEQUENCE_MAX ((uint64_t)INT64_MAX)

struct record {
    uint64_t position;
    uint64_t synced; /* all below this position was on disk when the record was made */
    enum record_type type;
    uint32_t channel;
    struct bytes payload; /* decoded: points into the input */
};

enum record_result {
    RECORD_VALID,
    RECORD_SHORT, /* could be valid, but not all of it is here; *size says how many bytes are wanted */
    RECORD_BAD,
};

/* Bytes that a record with such a payload takes. */
static inline uint32_t record_size(size_t payload_bytes)
{
    return (uint32_t)((RECORD_HEADER_BYTES + payload_bytes + 7) & ~(size_t)7);
}

/* Writes header, the payload's two parts, and padding: record_size() bytes. `salt` is the segment's: it
 * begins the checksum, so that nobody who publishes can make bytes that look like a record. */
void record_encode(uint8_t *to, const struct record *record, struct bytes first, struct bytes second,
                   uint32_t salt);

/* Whether the bytes, of which `available` are here, begin with a valid record for this position. VALID and
 * SHORT set *size. Never reads behind `available`. */
enum record_result record_decode(const uint8_t *from, size_t available, uint64_t position, uint32_t salt,
                                 struct record *record, uint32_t *size);

/* ---- what stands before a message's data ---- */

struct record_message {
    uint64_t sequence;
    int64_t timestamp_ns;
    uint64_t first_sequence; /* the channel's, when this was written */
    struct bytes data;
};

void record_message_encode(uint8_t to[RECORD_MESSAGE_FIELDS_BYTES], const struct record_message *message);

/* False: the payload is too short. */
bool record_message_decode(struct bytes payload, struct record_message *message);

struct record_shared {
    struct record_message message; /* without data */
    uint32_t offset;               /* of the record that has it, in this record's segment */
    uint32_t data_bytes;           /* of the message that is made of it */
};

void record_shared_encode(uint8_t to[RECORD_SHARED_BYTES], const struct record_shared *shared);

/* False: not the right length, or an offset where no record can be. */
bool record_shared_decode(struct bytes payload, struct record_shared *shared);

/* ---- the beginning of a segment ----
 *    0  8  "MYELIN" and two zeros
 *    8  4  version, 1
 *   12  4  number of the segment
 *   16  4  its bytes, this header included
 *   20  4  salt
 *   24 36  zero
 *   60  4  CRC32C of the 60 bytes before */
struct segment_header {
    uint32_t version;
    uint32_t number;
    uint32_t capacity;
    uint32_t salt;
};

enum { SEGMENT_VERSION = 1 };

void segment_header_encode(uint8_t to[SEGMENT_HEADER_BYTES], const struct segment_header *header);

/* False: not one of ours, or damaged. The version may be a later one. */
bool segment_header_decode(const uint8_t from[SEGMENT_HEADER_BYTES], struct segment_header *header);

/* ---- numbers on disk ---- */

static inline uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static inline uint64_t get_u64(const uint8_t *from)
{
    return (uint64_t)get_u32(from) | (uint64_t)get_u32(from + 4) << 32;
}

static inline void put_u32(uint8_t *to, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static inline void put_u64(uint8_t *to, uint64_t value)
{
    put_u32(to, (uint32_t)value);
    put_u32(to + 4, (uint32_t)(value >> 32));
}

#endif
