/* shards/streaming/peers.h - what the nodes of a streaming cluster say to each other, as NATS messages by way
 * of the desk (docs/streaming-cluster.md 5). In the flow:  replica -> peers_send() -> pieces -> desk ->
 * routes -> desk -> peers_assemble() -> the whole message -> the host's `taker`. A node listens to a subject
 * with its Raft id, so what was meant for a disk's former life reaches nobody. Pieces are as large as
 * max_payload allows; each has a checksum, for they go over what TCP alone protects. A message of which a
 * piece is lost, damaged or out of order is lost: Raft and fetches ask again. At the bounds:
 * PEERS_MESSAGE_BYTES_MAX; a mailbox without room loses the message, and the caller is told;
 * PEERS_SENDERS_MAX that send in pieces at a time, then the one that was heard of longest ago gives way.
 * Thread: the control core's. */
#ifndef SHARDS_STREAMING_PEERS_H
#define SHARDS_STREAMING_PEERS_H

#include "shards/control/desk.h"
#include "shards/streaming/peers_frame.h"

struct peers_figures {
    uint64_t sent_messages, sent_bytes, received_messages, received_bytes;
    uint64_t refused; /* no room in a mailbox */
    uint64_t lost;    /* incomplete, damaged or not understood */
};

struct peers;
typedef void peers_taker(struct peers *peers, uint64_t from, enum peers_kind kind, struct bytes message);

/* All zero is closed. */
struct peers {
    struct desk_listener inbox;
    struct control *control;
    peers_taker *taker;
    void *host;
    uint64_t id;
    uint64_t number;
    uint32_t piece_bytes;
    struct peers_figures figures;
    struct peers_assemblies assemblies;
    char prefix[128]; /* "_STAN.raft.<cluster>."; of groups but the first "_STAN.raft.<cluster>.g<group>." */
    uint8_t *out;
    size_t out_capacity;
};

/* The names of this cluster, and of that group in it: each group's peers speak on subjects of their own.
 * `max_payload_bytes`: of the servers that the pieces travel through. ERR_INVALID: a cluster id that is too
 * long. */
MUST_USE enum err peers_init(struct peers *peers, struct control *control, struct bytes cluster_id,
                             uint32_t group, int64_t max_payload_bytes);
/* Listens to what is sent to `id`. False: no room in a mailbox now. Legal when it listens. */
MUST_USE bool peers_listen(struct peers *peers, uint64_t id);
/* Legal when closed. The desk's other listeners stay. */
void peers_close(struct peers *peers);

/* The prefix and `suffix`, in `to`. */
struct bytes peers_subject(const struct peers *peers, const char *suffix, char *to, size_t to_bytes);

/* Room for a message of `count` bytes; it is written there, then sent. NULL: too large, or memory is out. */
uint8_t *peers_reserve(struct peers *peers, size_t count);
/* False: a mailbox had no room, and it is lost. */
bool peers_send(struct peers *peers, uint64_t to, enum peers_kind kind, size_t count);

#endif
