/* Any bytes as another server's: given whole and given in cuts that the input chooses, one by one and in
 * runs, with operations asked for a second time, net/route_parser.c must make the same of them; and a route's
 * session over them, with a host that is full now and then, must end in one piece. The first bytes choose
 * limits and cuts, the rest is what the peer sends. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "net/route.h"

#include <stdlib.h>

enum { HEAD_BYTES = 4 };

struct digest {
    uint64_t sum; /* of everything that was given out so far */
    uint64_t operations;
    enum route_parser_result end;
};

struct host {
    struct session_context context; /* first: the session finds us by it */
    struct net_options options;
    struct route route;
    struct random random;
    bool closed;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct digest *digest, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < count; i++)
        digest->sum = (digest->sum ^ at[i]) * 0x100000001b3ULL;
    digest->sum = (digest->sum ^ count) * 0x100000001b3ULL;
}

static void add_text(struct digest *digest, struct bytes text)
{
    add(digest, text.data, text.count);
}

static void add_one(struct digest *digest, const struct route_operation *operation)
{
    digest->operations++;
    add(digest, &operation->kind, sizeof operation->kind);
    add_text(digest, operation->arguments);
    if (operation->kind == ROUTE_OP_MESSAGE) {
        const struct message *message = &operation->message;
        ASSERT(message->header_bytes <= message->total_bytes);
        struct bytes queues = operation->queues, name;
        while (route_queue_next(&queues, &name))
            ASSERT(name.count > 0);
        add_text(digest, operation->account);
        add_text(digest, message->subject);
        add_text(digest, message->reply);
        add(digest, message->body, message->total_bytes);
    } else if (operation->kind == ROUTE_OP_SUBSCRIBE || operation->kind == ROUTE_OP_UNSUBSCRIBE) {
        add_text(digest, operation->account);
        add_text(digest, operation->subject);
        add_text(digest, operation->queue);
        add(digest, &operation->weight, sizeof operation->weight);
    }
}

/* A run counts as what it stands for. */
static void add_operation(struct digest *digest, const struct route_operation *operation)
{
    struct route_operation rest = *operation;
    add_one(digest, &rest);
    while (rest.kind == ROUTE_OP_MESSAGE && rest.message.run_more > 0) {
        message_advance(&rest.message, 1);
        add_one(digest, &rest);
    }
}

/* Parses in cuts of up to `cut` bytes, each in memory of its own; with `again` every operation is asked for
 * twice, and runs are taken. */
static struct digest parse(const uint8_t *data, size_t size, const uint8_t *head, size_t cut, bool again)
{
    struct block_pool pool = {0};
    struct digest digest = {0};
    struct route_operation operation;
    struct route_parser parser = {.pool = &pool,
                                  .line_bytes_max = 16U + head[0],
                                  .message_bytes_max = 1U + 8U * head[1],
                                  .gateway = (head[3] & 2) != 0,
                                  .runs = again};
    digest.end = ROUTE_PARSER_MORE;
    for (size_t from = 0; from < size && digest.end == ROUTE_PARSER_MORE;) {
        size_t count = size - from < cut ? size - from : cut;
        uint8_t *piece = malloc(count);
        ASSERT(piece != NULL);
        memcpy(piece, data + from, count);
        const uint8_t *at = piece;
        for (bool repeated = false;;) {
            const uint8_t *before = at;
            digest.end = route_parser_next(&parser, &at, piece + count, &operation);
            if (digest.end != ROUTE_PARSER_OPERATION)
                break;
            if (again && !repeated) {
                if (!route_parser_again(&parser))
                    at = before;
                repeated = true;
                continue;
            }
            repeated = false;
            add_operation(&digest, &operation);
        }
        free(piece);
        from += count;
    }
    route_parser_close(&parser);
    block_pool_close(&pool);
    return digest;
}

/* ---- the session ---- */

static struct host *host_of(struct route *route)
{
    return CONTAINER_OF(route, struct host, route);
}

static enum route_host_result verdict(struct route *route)
{
    return random_below(&host_of(route)->random, 4) == 0 ? ROUTE_HOST_FULL : ROUTE_HOST_DONE;
}

static enum route_host_result said(struct route *route, enum route_said what, struct bytes json)
{
    (void)what, (void)json;
    return verdict(route);
}

static enum route_host_result interest(struct route *route, const struct route_operation *operation,
                                       uint32_t weight)
{
    ASSERT(route->state == ROUTE_REGISTERED && operation->account.count > 0 && operation->subject.count > 0);
    ASSERT(route->kind == ROUTE_OF_CLUSTER || route->solicited);
    (void)weight;
    return verdict(route);
}

static enum route_host_result publish(struct route *route, const struct route_operation *operation,
                                      uint32_t *done)
{
    uint32_t count = message_count(&operation->message);
    ASSERT(route->state == ROUTE_REGISTERED && operation->message.subject.count > 0);
    ASSERT(route->kind == ROUTE_OF_CLUSTER || !route->solicited);
    ASSERT(route->kind == ROUTE_OF_CLUSTER || count == 1);
    *done = 1 + random_below(&host_of(route)->random, count);
    return verdict(route);
}

static void output_ready(struct route *route)
{
    ASSERT(!output_empty(&route->output));
}

static void closing(struct route *route, bool flush)
{
    (void)flush;
    ASSERT(!host_of(route)->closed);
    host_of(route)->closed = true;
}

static void stall(struct route *route, const struct publisher_place *place, int64_t stall_ns)
{
    (void)route, (void)place, (void)stall_ns;
}

static enum route_host_result account(struct route *route, struct bytes name, bool wanted)
{
    ASSERT(route->kind == ROUTE_OF_GATEWAY && route->solicited && route->state == ROUTE_REGISTERED);
    ASSERT(name.count > 0);
    (void)wanted;
    return verdict(route);
}

static void measured(struct route *route)
{
    ASSERT(route->rtt_ns >= 0);
}

static const struct route_host operations = {said,    interest, publish, output_ready,
                                             closing, stall,    account, measured};

static void session(const uint8_t *data, size_t size, const uint8_t *head)
{
    struct host host = {
        .options = {.max_control_line_bytes = 1024, .max_pending_bytes = 1 << 20, .headers = true}};
    size_t cut = 1U + head[2];
    host.context.options = &host.options;
    random_seed(&host.random, head[3]);
    struct route_setup setup = {.context = &host.context,
                                .host = &operations,
                                .address = "h",
                                .greeting = TEXT("INFO {} \r\n"),
                                .ping_interval_ns = NS_PER_SECOND,
                                .ping_max = 2,
                                .solicited = (head[3] & 1) != 0,
                                .kind = (head[3] & 2) != 0 ? ROUTE_OF_GATEWAY : ROUTE_OF_CLUSTER};
    ASSERT(route_init(&host.route, &setup) == ERR_OK);
    for (size_t at = 0; at < size && !host.closed;) {
        size_t count = size - at < cut ? size - at : cut;
        size_t taken = route_receive(&host.route, bytes_of(data + at, count));
        ASSERT(taken <= count);
        at += taken;
        if (host.route.asking) {
            bool introduced = host.route.state == ROUTE_CONNECTED || host.route.solicited;
            struct route_answer good = {.registers = introduced && host.route.state != ROUTE_REGISTERED};
            route_answered(&host.route, &good);
        } else if (host.route.blocked) {
            route_resume(&host.route);
            at += route_receive(&host.route, (struct bytes){data + at, 0});
        }
    }
    route_close(&host.route, CLOSED_SERVER_SHUTDOWN, NULL);
    route_free_parts(&host.route);
    timers_close(&host.context.timers);
    output_pool_close(&host.context.pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    const uint8_t *bytes = data + HEAD_BYTES;
    size_t count = size - HEAD_BYTES;
    struct digest whole = parse(bytes, count, data, count + 1, false);
    struct digest cut = parse(bytes, count, data, 1U + data[2], false);
    struct digest twice = parse(bytes, count, data, 1U + data[2], true);
    ASSERT(whole.sum == cut.sum && whole.operations == cut.operations && whole.end == cut.end);
    ASSERT(whole.sum == twice.sum && whole.operations == twice.operations && whole.end == twice.end);
    session(bytes, count, data);
    return 0;
}
