/* tests/micro/hot_path.c - instructions and nanoseconds per message from the received bytes to the bytes to
 * be sent: parser, router, delivery and output of one shard, without ring and sockets, one publisher to one
 * subscriber; on one subject and on many in turn, without permissions and with some on both sides.
 *     make micro && build/micro/hot_path
 *     valgrind --tool=callgrind --toggle-collect='publish_all*' build/micro/hot_path 100 */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "net/client_access.h"
#include "shards/host.h"
#include "shards/shard.h"
#include "tests/unit/core/security/configured.h"

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

static size_t input_make(char *input, size_t input_bytes, int payload_bytes, int subjects)
{
    size_t used = 0;
    for (int i = 0;; i = (i + 1) % subjects) {
        int count = snprintf(input + used, input_bytes - used, "PUB bench.subject%d %d\r\n%0*d\r\n", i,
                             payload_bytes, payload_bytes, 7);
        if (used + (size_t)count >= input_bytes)
            return used;
        used += (size_t)count;
    }
}

/* Fifty patterns to publish to, one of which fits; one denied that a wider subscription meets. */
static void permit(struct client *publisher, struct client *subscriber)
{
    static struct configured configured;
    struct config_text config = {0};
    config_text_add(
        &config, "authorization { users: [ {user: u, permissions: {subscribe: {deny: bench.no}, publish: [");
    for (int i = 0; i < 49; i++)
        config_text_add(&config, "\"a%d.b.*\",", i);
    config_text_add(&config, "\"bench.*\"] } } ] }");
    if (configure(&configured, config_text_string(&config))[0] != 0)
        abort();
    const struct security_permissions *permissions = configured.options.users.first->permissions;
    if (client_access_set(publisher, permissions) != ERR_OK ||
        client_access_set(subscriber, permissions) != ERR_OK)
        abort();
}

static void measure(struct client *publisher, struct client *subscriber, int rounds, bool with_permissions)
{
    static char input[RECEIVE_BYTES];
    static const struct {
        int payload_bytes, subjects;
    } works[] = {{16, 1}, {128, 1}, {1024, 1}, {16, 2}, {16, 64}, {16, 1000}};
    for (size_t i = 0; i < COUNT_OF(works); i++) {
        struct bytes bytes =
            bytes_of(input, input_make(input, sizeof input, works[i].payload_bytes, works[i].subjects));
        uint64_t before = subscriber->out_messages;
        int64_t start_ns = clock_monotonic_ns();
        publish_all(publisher, subscriber, bytes, rounds);
        int64_t took_ns = clock_monotonic_ns() - start_ns;
        uint64_t messages = subscriber->out_messages - before;
        printf("%s%d bytes, %d subjects: %llu messages, %.1f ns each\n",
               with_permissions ? "with permissions, " : "", works[i].payload_bytes, works[i].subjects,
               (unsigned long long)messages, (double)took_ns / (double)messages);
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
    list_init(&shard.shadows);
    list_init(&shard.telling);
    shard.matches = match_cache_new(1024);
    struct client *publisher = &connection_make(&shard, 1)->client;
    struct client *subscriber = &connection_make(&shard, 2)->client;
    for (int with_permissions = 0; with_permissions < 2; with_permissions++) {
        if (with_permissions)
            permit(publisher, subscriber);
        (void)client_receive(subscriber, text("UNSUB 1\r\nSUB bench.* 1\r\n"));
        measure(publisher, subscriber, rounds, with_permissions);
    }
    return 0;
}
