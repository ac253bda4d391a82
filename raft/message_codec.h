/* raft/message_codec.h - messages to bytes and back.
 * In the flow:  raft_update() -> raft_message_encode() -> network -> raft_message_decode() -> raft_step()
 * Bytes come from outside: all is checked, and what is decoded can be stepped without harm, but it is
 * believed; who may send it is the transport's to decide. The format is in message_codec.c. */
#ifndef RAFT_MESSAGE_CODEC_H
#define RAFT_MESSAGE_CODEC_H

#include "core/base/language.h"
#include "raft/raft.h"

/* What a message's slices point into: 40 KiB, the caller's. */
struct raft_decoded {
    struct raft_message message;
    uint32_t group;
    struct raft_snapshot snapshot;
    struct raft_entry entries[RAFT_ENTRIES_PER_MESSAGE_MAX];
};

/* With `entries` or `data` filled in. */
size_t raft_message_bytes(const struct raft_message *message);

/* Writes raft_message_bytes() bytes. `group` tells the groups of one node apart. */
void raft_message_encode(const struct raft_message *message, uint32_t group, uint8_t *to);

enum raft_decode_result {
    RAFT_DECODED,
    RAFT_DECODE_VERSION, /* of another version; the first byte says which */
    RAFT_DECODE_DAMAGED, /* the checksum is wrong */
    RAFT_DECODE_INVALID,
};

/* Entries and chunks point into `from`. Nothing in `decoded` counts unless RAFT_DECODED. */
MUST_USE enum raft_decode_result raft_message_decode(struct bytes from, struct raft_decoded *decoded);

#endif
