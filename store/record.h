/* store/record.h - the bytes of one record of the log, and of what begins and ends a segment.
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
    RECORD_PAD = 10,
    RECORD_SEAL = 11,
    RECORD_TYPES
};

enum {
    RECORD_HEADER_BYTES = 32,
    RECORD_PAYLOAD_BYTES_MAX = 80 * 1024 * 1024, /* what the store allows, and its own fields */
};

struct record {
    uint64_t position;
    uint64_t synced; /* all below this position was on disk when the record was made */
    enum record_type type;
    uint32_t channel;
    struct bytes payload; /* decoded: points into the input */
};

enum record_result {
    RECORD_VALID,
    RECORD_SHORT, /* could be valid, but not all of it is here: *size says how much is wanted */
    RECORD_BAD,
};

/* Bytes that a record with such a payload takes. */
static inline uint32_t record_size(size_t payload_bytes)
{
    return (uint32_t)((RECORD_HEADER_BYTES + payload_bytes + 7) & ~(size_t)7);
}

#endif
