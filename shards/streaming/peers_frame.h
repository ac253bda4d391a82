/* shards/streaming/peers_frame.h - messages between nodes, cut into pieces and put together again (peers.h).
 * In the flow:  peers_send() -> peers_frame_encode() per piece -> NATS -> peers_frame_decode() ->
 * peers_assemble() Each piece has a checksum, for it goes over what TCP alone protects. A message of which a
 * piece is lost, damaged or out of order is lost: Raft and fetches ask again. Bytes come from outside: all is
 * checked. At the bounds: PEERS_MESSAGE_BYTES_MAX; PEERS_SENDERS_MAX that send in pieces at a time, then the
 * one that was heard of longest ago gives way. Pure values and memory; thread: the owner's. */
#ifndef SHARDS_STREAMING_PEERS_FRAME_H
#define SHARDS_STREAMING_PEERS_FRAME_H

#include "core/base/bytes.h"
#include "core/base/language.h"

enum {
    PEERS_FRAME_BYTES = 40,
    PEERS_SENDERS_MAX = 16,
    PEERS_MESSAGE_BYTES_MAX = 68 * 1024 * 1024, /* the largest entry of Raft, and what is around it */
    PEERS_PIECE_BYTES_MAX = 512 * 1024,
};

enum peers_kind {
    PEERS_RAFT,  /* a message of message_codec.h */
    PEERS_FETCH, /* which messages of a channel are wanted */
    PEERS_PIECE, /* some of them */
    PEERS_KINDS,
};

/* One piece's frame; `data` follows. */
struct peers_frame {
    enum peers_kind kind;
    uint64_t from;
    uint64_t number; /* of the message, by its sender */
    uint32_t total_bytes;
    uint32_t offset_bytes;
    struct bytes data;
};

void peers_frame_encode(uint8_t to[PEERS_FRAME_BYTES], const struct peers_frame *frame);
/* False: not one of ours, or damaged. */
MUST_USE bool peers_frame_decode(struct bytes from, struct peers_frame *frame);

/* A message that comes in pieces. */
struct peers_assembly {
    uint64_t from; /* 0: free */
    uint64_t number;
    uint64_t used; /* when it was heard of, in pieces counted */
    uint32_t total_bytes;
    uint32_t received_bytes;
    uint8_t *bytes;
    size_t capacity;
};

/* All zero is empty. */
struct peers_assemblies {
    struct peers_assembly senders[PEERS_SENDERS_MAX];
    uint64_t clock; /* pieces taken */
    uint64_t lost;  /* messages that were given up */
};

/* Takes a piece. True: *whole is the message; good until the next call. */
bool peers_assemble(struct peers_assemblies *assemblies, const struct peers_frame *frame,
                    struct bytes *whole);
void peers_assemblies_close(struct peers_assemblies *assemblies);

#endif
