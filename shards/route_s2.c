/* shards/route_s2.c - see route_s2.h. */
#include "shards/route_s2.h"

#include "core/base/log.h"
#include "core/base/memory.h"
#include "shards/shard.h"

#include <string.h>

static void raw_drop(struct shard *shard, struct route_s2 *s2)
{
    block_release(&shard->context.pool.blocks, s2->raw);
    s2->raw = NULL;
    s2->raw_at = s2->raw_end = 0;
}

/* Keeps bytes behind those that wait already. False: no memory. */
static bool raw_add(struct shard *shard, struct route_s2 *s2, struct bytes bytes)
{
    size_t kept = s2->raw_end - s2->raw_at;
    if (bytes.count == 0)
        return true;
    if (s2->raw == NULL || s2->raw->capacity - s2->raw_end < bytes.count) {
        struct block *block = block_take(&shard->context.pool.blocks, (kept + bytes.count) * 2);
        if (block == NULL)
            return false;
        if (kept > 0)
            memcpy(block->bytes, s2->raw->bytes + s2->raw_at, kept);
        block_release(&shard->context.pool.blocks, s2->raw);
        s2->raw = block;
        s2->raw_at = 0;
        s2->raw_end = (uint32_t)kept;
    }
    memcpy(s2->raw->bytes + s2->raw_end, bytes.data, bytes.count);
    s2->raw_end += (uint32_t)bytes.count;
    return true;
}

bool route_s2_start(struct shard *shard, struct route_connection *connection,
                    enum route_compression_mode mode, struct bytes rest)
{
    struct route_s2 *s2 = memory_new(sizeof *s2);
    if (s2 == NULL)
        return false;
    s2->mode = mode;
    if (!raw_add(shard, s2, rest)) {
        memory_free(s2);
        return false;
    }
    s2->output = connection->route.output; /* in clear, some of it under way to the kernel perhaps */
    connection->route.output = (struct output){0};
    connection->s2 = s2;
    return true;
}

static void fail(struct shard *shard, struct route_connection *connection, enum s2_result result)
{
    char prefix[ROUTE_PREFIX_BYTES];
    log_error(shard->context.log, "%s - %s", route_prefix(&connection->route, prefix, sizeof prefix),
              result == S2_BAD ? "what is compressed cannot be read" : "no memory to decompress");
    route_close(&connection->route, result == S2_BAD ? CLOSED_PROTOCOL_VIOLATION : CLOSED_READ_ERROR, NULL);
}

/* Chunk after chunk, as long as the session takes all of each. */
static void feed(struct shard *shard, struct route_connection *connection, struct bytes *bytes)
{
    while (bytes->count > 0 && route_connection_taking(connection)) {
        struct bytes plain = {NULL, 0};
        enum s2_result result = s2_reader_next(&connection->s2->reader, bytes, &plain);
        if (result == S2_DATA)
            route_connection_take(shard, connection, plain);
        else if (result != S2_MORE)
            fail(shard, connection, result);
    }
}

void route_s2_received(struct shard *shard, struct route_connection *connection, struct bytes bytes)
{
    struct route_s2 *s2 = connection->s2;
    if (s2->raw != NULL) {
        struct bytes waiting = bytes_of(s2->raw->bytes + s2->raw_at, s2->raw_end - s2->raw_at);
        feed(shard, connection, &waiting);
        s2->raw_at = s2->raw_end - (uint32_t)waiting.count;
        if (waiting.count == 0)
            raw_drop(shard, s2);
    }
    if (s2->raw == NULL)
        feed(shard, connection, &bytes);
    if (connection->state == ROUTE_CONNECTION_OPEN && !raw_add(shard, s2, bytes))
        fail(shard, connection, S2_MEMORY);
}

/* The next bytes of the session's output, in one piece. */
static struct bytes next_plain(struct route_s2 *s2, const struct output *output)
{
    struct iovec parts[LOOP_SEND_PARTS_MAX];
    uint32_t count = output_gather(output, parts, LOOP_SEND_PARTS_MAX);
    size_t used = 0;
    for (uint32_t i = 0; i < count && used < sizeof s2->plain; i++) {
        size_t take = sizeof s2->plain - used;
        take = take < parts[i].iov_len ? take : parts[i].iov_len;
        memcpy(s2->plain + used, parts[i].iov_base, take);
        used += take;
    }
    return bytes_of(s2->plain, used);
}

bool route_s2_compress(struct shard *shard, struct route_connection *connection)
{
    struct route_s2 *s2 = connection->s2;
    struct output *from = &connection->route.output;
    struct output_pool *pool = &shard->context.pool;
    bool stored = route_compression_level(&shard->snapshot->options->cluster.compression, s2->mode,
                                          connection->route.rtt_ns) == ROUTE_COMPRESSION_S2_UNCOMPRESSED;
    bool first = true; /* every flush is a stream of its own, as nats-server writes it */
    while (!output_empty(from) && s2->output.pending_bytes < ROUTE_S2_UNSENT_BYTES) {
        struct bytes plain = next_plain(s2, from);
        uint8_t *to = output_reserve(&s2->output, pool, s2_encode_room(plain.count));
        if (to == NULL)
            return false;
        output_commit(&s2->output, s2_encode(plain, first, stored, to));
        output_sent(from, pool, plain.count);
        first = false;
    }
    return true;
}

void route_s2_free(struct shard *shard, struct route_connection *connection)
{
    if (connection->s2 == NULL)
        return;
    raw_drop(shard, connection->s2);
    output_clear(&connection->s2->output, &shard->context.pool);
    s2_reader_close(&connection->s2->reader);
    memory_free(connection->s2);
    connection->s2 = NULL;
}
