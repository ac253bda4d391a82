/* tests/micro/hot_path.c - instructions and nanoseconds per message from the received bytes to the bytes to
 * be sent: parser, router, delivery and output of one shard, without ring and sockets, one publisher to one
 * subscriber.
 *     make build && gcc -std=gnu11 -D_GNU_SOURCE -I. -O2 -g tests/micro/hot_path.c build/libmyelin.a \
 *         -o build/hot-path -luring -lssl -lcrypto -lcrypt -lm -pthread
 *     build/hot-path
 *     valgrind --tool=callgrind --toggle-collect='publish_all*' build/hot-path 100 */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/host.h"
#include "shards/shard.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECEIVE_BYTES = 64 * 1024 };

static struct connection *connection_make(struct shard *shard, uint64_t cid)
{
    struct connection *connection = memory_new(sizeof *connection);
    struct client_peer peer = {.address = "127.0.0.1", .port = 1, .cid = cid};
    if (connection == NULL || shard_slot_take(shard, connection) != ERR_OK ||
        client_init(&connection->client, &shard->context, &peer) != ERR_OK)
        abort();
    const char *hello = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
    (void)client_receive(&connection->client, text(hello));
    output_clear(&connection->client.output, &shard->context.pool);
    return connection;
}

__attribute__((noinline)) static void publish_all(struct client *publisher, struct client *subscriber,
                                                  struct bytes input, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        if (client_receive(publisher, input) != input.count)
            abort();
        output_clear(&subscriber->output, &subscriber->context->pool);
    }
}

static size_t input_make(char *input, size_t input_bytes, int payload_bytes)
{
    size_t used = 0;
    for (;;) {
        int count = snprintf(input + used, input_bytes - used, "PUB bench.subject %d\r\n%0*d\r\n",
                             payload_bytes, payload_bytes, 7);
        if (used + (size_t)count >= input_bytes)
            return used;
        used += (size_t)count;
    }
}

static int rounds_of(const char *argument)
{
    char *end;
    long rounds = strtol(argument, &end, 10);
    if (end == argument || *end != 0 || rounds < 1 || rounds > INT_MAX)
        abort();
    return (int)rounds;
}

int main(int argc, char **argv)
{
    static struct shard shard;
    static struct server_options options;
    static char input[RECEIVE_BYTES];
    int rounds = argc > 1 ? rounds_of(argv[1]) : 2000;
    struct post_office office;
    options.net = (struct net_options){.max_payload_bytes = 1 << 20,
                                       .max_control_line_bytes = 4096,
                                       .max_pending_bytes = 64 << 20,
                                       .ping_interval_ns = 1000000000,
                                       .headers = true};
    if (post_office_init(&office, 1, 65536) != ERR_OK)
        abort();
    shard.post.office = &office;
    shard.shard_count = 1;
    shard.context.lines = lines_new(0);
    shard.context.host = shard_host();
    shard.context.options = &options.net;
    shard.context.security = &options.security;
    static struct info_server info;
    shard.context.info = &info;
    list_init(&shard.with_output);
    list_init(&shard.closing);
    shard.index = index_new();
    shard.matches = match_cache_new(1024);
    struct client *publisher = &connection_make(&shard, 1)->client;
    struct client *subscriber = &connection_make(&shard, 2)->client;
    (void)client_receive(subscriber, text("SUB bench.subject 1\r\n"));
    static const int sizes[] = {16, 128, 1024};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct bytes bytes = bytes_of(input, input_make(input, sizeof input, sizes[i]));
        uint64_t before = subscriber->out_messages;
        int64_t start_ns = clock_monotonic_ns();
        publish_all(publisher, subscriber, bytes, rounds);
        int64_t took_ns = clock_monotonic_ns() - start_ns;
        uint64_t messages = subscriber->out_messages - before;
        printf("%d bytes: %llu messages, %.1f ns each\n", sizes[i], (unsigned long long)messages,
               (double)took_ns / (double)messages);
    }
    return 0;
}
