/* shards/route_s2.h - the compressed part of a route: between its session and TLS or the socket
 * (spec/routes.md 14). In the flow:  route_connection_give() -> route_s2_received() -> route_receive() ||
 * route's output -> route_s2_compress() -> TLS or the socket. At the bounds: while the session takes nothing,
 * nothing is decompressed but the chunk that has been begun; compressed output waits for the socket from
 * ROUTE_S2_UNSENT_BYTES on. Thread: the shard's. */
#ifndef SHARDS_ROUTE_S2_H
#define SHARDS_ROUTE_S2_H

#include "core/codec/s2.h"
#include "net/route_compression.h"
#include "shards/route_connection.h"

enum { ROUTE_S2_UNSENT_BYTES = 512 * 1024 };

struct route_s2 {
    struct s2_reader reader;
    struct output output; /* compressed, and what was written before compression began */
    struct block *raw;    /* received and not looked at yet, from raw_at on */
    uint32_t raw_at;
    uint32_t raw_end;
    enum route_compression_mode mode;
    uint8_t plain[S2_WRITE_BYTES]; /* what is compressed next, in one piece */
};

/* Everything from here on is compressed, in both directions. `rest`: what has come behind the line that says
 * so. False: no memory. */
MUST_USE bool route_s2_start(struct shard *shard, struct route_connection *connection,
                             enum route_compression_mode mode, struct bytes rest);

/* Bytes of the peer; with none what waited, when the session takes bytes again. */
void route_s2_received(struct shard *shard, struct route_connection *connection, struct bytes bytes);

/* Compresses what the session has written. False: no memory. */
MUST_USE bool route_s2_compress(struct shard *shard, struct route_connection *connection);

/* Where TLS or the socket takes from. */
static inline struct output *route_s2_output(struct route_connection *connection)
{
    return connection->s2 == NULL ? &connection->route.output : &connection->s2->output;
}

/* Whether received bytes wait. */
static inline bool route_s2_waiting(const struct route_connection *connection)
{
    return connection->s2 != NULL && connection->s2->raw != NULL;
}

void route_s2_free(struct shard *shard, struct route_connection *connection);

#endif
