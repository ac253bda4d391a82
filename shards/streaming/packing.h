/* shards/streaming/packing.h - numbers and texts as bytes, for what nodes of one cluster tell each other:
 * commands, snapshots, pieces of channels. A number is a varint of the least bytes that hold it, a text a
 * number and so many bytes; so there is one form of each value, and what was read, written again, is the
 * same. Pure functions. At the bound: a reader that meets anything else fails for good and gives zeros from
 * there on, so who reads asks once, at the end. */
#ifndef SHARDS_STREAMING_PACKING_H
#define SHARDS_STREAMING_PACKING_H

#include "core/base/bytes.h"
#include "core/base/language.h"

enum { PACKED_NUMBER_BYTES_MAX = 10 };

/* Writes to `at`, or only counts when that is NULL: a first round finds the size, a second one writes. */
struct packer {
    uint8_t *at;
    size_t count;
};

void pack_number(struct packer *to, uint64_t number);
void pack_text(struct packer *to, struct bytes from);

struct unpacker {
    struct bytes rest;
    bool failed;
};

uint64_t unpack_number(struct unpacker *from);
/* At most `most`, else it fails. */
uint64_t unpack_number_up_to(struct unpacker *from, uint64_t most);
/* 0 or 1. */
bool unpack_flag(struct unpacker *from);
/* Points into what is read. */
struct bytes unpack_text(struct unpacker *from);
/* All was read, and nothing was wrong. */
bool unpack_done(const struct unpacker *from);

#endif
