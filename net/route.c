/* net/route.c - the session behind route.h: the life of a route and what its peer says. What goes out is in
 * route_deliver.c. */
#include "net/route.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/subject/subject.h"
#include "net/error_text.h"

#include <stdio.h>
#include <string.h>

enum {
    LINE_FACTOR = 16, /* times max_control_line: routes.md 16 */
    LINE_BYTES_LEAST = 64 * 1024,
    MESSAGE_BYTES_MAX = 64 * 1024 * 1024,
    PING_FIRST_SPREAD = 5, /* the first one comes after 1 s and up to a fifth of that */
};
#define PING_FIRST_NS NS_PER_SECOND
#define PING_INTERVAL_MOST_NS (30 * NS_PER_SECOND)
#define PING_INTERVAL_GATEWAY_NS (15 * NS_PER_SECOND)

#define TO(state) (1U << (state))
static const uint8_t route_moves[ROUTE_STATES] = {
    [ROUTE_GREETED] = TO(ROUTE_CONNECTED) | TO(ROUTE_REGISTERED) | TO(ROUTE_CLOSED),
    [ROUTE_CONNECTED] = TO(ROUTE_REGISTERED) | TO(ROUTE_CLOSED),
    [ROUTE_REGISTERED] = TO(ROUTE_CLOSED),
};

static void move(struct route *route, enum route_state next)
{
    ASSERT(route_moves[route->state] & TO(next));
    route->state = (uint8_t)next;
}

const char *route_prefix(const struct route *route, char *out, size_t out_bytes)
{
    bool six = strchr(route->address, ':') != NULL;
    snprintf(out, out_bytes, six ? "[%s]:%u - %s:%llu" : "%s:%u - %s:%llu", route->address, route->port,
             route->kind == ROUTE_OF_GATEWAY ? "gid" : "rid", (unsigned long long)route->rid);
    return out;
}

static void timer_set_in(struct route *route, int64_t wait_ns)
{
    if (timers_set(&route->context->timers, &route->timer, route->context->now_ns + wait_ns) != ERR_OK)
        route_close(route, CLOSED_WRITE_ERROR, NULL);
}

void route_pings_set(struct route *route, int64_t interval_ns, int64_t most)
{
    int64_t most_ns = route->kind == ROUTE_OF_GATEWAY ? PING_INTERVAL_GATEWAY_NS : PING_INTERVAL_MOST_NS;
    bool sooner = interval_ns < route->ping_interval_ns;
    route->ping_interval_ns = interval_ns < most_ns ? interval_ns : most_ns;
    route->ping_max = most;
    if (sooner && route->state == ROUTE_REGISTERED)
        timer_set_in(route, route->ping_interval_ns);
}

enum err route_init(struct route *route, const struct route_setup *setup)
{
    const struct net_options *options = setup->context->options;
    int64_t line = options->max_control_line_bytes * LINE_FACTOR;
    route->context = setup->context;
    route->host = setup->host;
    route->rid = setup->rid;
    route->port = setup->port;
    route->solicited = setup->solicited;
    route->kind = (uint8_t)setup->kind;
    route_pings_set(route, setup->ping_interval_ns, setup->ping_max);
    route->start_ns = route->last_activity_ns = route->context->now_ns;
    snprintf(route->address, sizeof route->address, "%s", setup->address);
    route->parser.pool = &route->context->pool.blocks;
    route->parser.line_bytes_max = (uint32_t)(line < LINE_BYTES_LEAST    ? LINE_BYTES_LEAST
                                              : line < MESSAGE_BYTES_MAX ? line
                                                                         : MESSAGE_BYTES_MAX);
    route->parser.message_bytes_max = MESSAGE_BYTES_MAX;
    route->parser.gateway = setup->kind == ROUTE_OF_GATEWAY;
    route->parser.runs = setup->kind != ROUTE_OF_GATEWAY;
    if (setup->authentication_timeout_ns > 0 &&
        timers_set(&route->context->timers, &route->timer,
                   route->context->now_ns + setup->authentication_timeout_ns) != ERR_OK)
        return ERR_MEMORY;
    route_write(route, setup->greeting);
    return route->state == ROUTE_CLOSED ? ERR_MEMORY : ERR_OK;
}

/* ---- what the peer says ---- */

enum handled { HANDLED, HANDLED_LATER };

static enum handled host_said(struct route *route, enum route_host_result result)
{
    switch (result) {
    case ROUTE_HOST_DONE:
    case ROUTE_HOST_SETTLED:
        return HANDLED;
    case ROUTE_HOST_FULL:
        return HANDLED_LATER;
    case ROUTE_HOST_MEMORY:
        route_close(route, CLOSED_WRITE_ERROR, NULL);
        return HANDLED;
    }
    return HANDLED;
}

/* CONNECT comes from who dialled, once, and first; INFO from both. */
static enum handled introduce(struct route *route, enum route_said said, struct bytes json)
{
    if (said == ROUTE_SAID_CONNECT && (route->solicited || route->state != ROUTE_GREETED))
        return HANDLED; /* said again it says nothing new */
    if (route->kind == ROUTE_OF_GATEWAY && !route->solicited && route->state == ROUTE_REGISTERED)
        return HANDLED; /* likewise */
    enum route_host_result result = route->host->said(route, said, json);
    if (result == ROUTE_HOST_DONE)
        route->asking = route->blocked = true;
    return host_said(route, result);
}

static enum handled interest(struct route *route, const struct route_operation *operation)
{
    bool subscribe = operation->kind == ROUTE_OP_SUBSCRIBE;
    if (subscribe && !subject_valid_pattern(operation->subject)) {
        route_write(route, TEXT("-ERR 'Invalid Subscription'\r\n"));
        return HANDLED;
    }
    return host_said(route, route->host->interest(route, operation, subscribe ? operation->weight : 0));
}

static enum handled message(struct route *route, struct route_operation *operation)
{
    struct message *run = &operation->message;
    for (;;) {
        uint32_t done = 1;
        if (UNLIKELY(host_said(route, route->host->publish(route, operation, &done)) == HANDLED_LATER))
            return HANDLED_LATER;
        route->in_messages += done;
        route->in_bytes += (uint64_t)done * run->total_bytes;
        if (LIKELY(done > run->run_more) || route->state == ROUTE_CLOSED)
            return HANDLED;
        operation->handled_bytes += (size_t)done * run->run_stride;
        message_advance(run, done);
    }
}

static void peer_error(struct route *route, struct bytes text)
{
    char prefix[ROUTE_PREFIX_BYTES];
    log_error(route->context->log, "%s - %s Error %.*s", route_prefix(route, prefix, sizeof prefix),
              route->kind == ROUTE_OF_GATEWAY ? "Gateway" : "Route", BYTES_PRINTF(text));
    route_close(route, CLOSED_PARSE_ERROR, NULL);
}

static void pong(struct route *route)
{
    route->pings_unanswered = 0;
    if (route->ping_sent_ns != 0)
        route->rtt_ns = route->context->now_ns - route->ping_sent_ns;
    if (route->ping_sent_ns != 0 && route->host->measured != NULL)
        route->host->measured(route);
    route->ping_sent_ns = 0;
}

/* Before it is a member a peer introduces itself and does nothing else. */
static bool expected(const struct route *route, enum route_operation_kind kind)
{
    switch ((enum route_state)route->state) {
    case ROUTE_GREETED:
        return kind == (route->solicited ? ROUTE_OP_INFO : ROUTE_OP_CONNECT) || kind == ROUTE_OP_ERR ||
               (route->solicited &&
                (kind == ROUTE_OP_PING || kind == ROUTE_OP_PONG || kind == ROUTE_OP_IGNORED));
    case ROUTE_CONNECTED:
        return kind != ROUTE_OP_MESSAGE && kind != ROUTE_OP_SUBSCRIBE && kind != ROUTE_OP_UNSUBSCRIBE;
    case ROUTE_REGISTERED:
        return true;
    case ROUTE_CLOSED:
        break;
    }
    return false;
}

/* What to make of an operation at this point. */
static ALWAYS_INLINE enum route_verdict verdict_on(const struct route *route,
                                                   const struct route_operation *operation)
{
    if (route->kind == ROUTE_OF_GATEWAY)
        return route_gateway_verdict(route, operation);
    return expected(route, operation->kind) ? ROUTE_EXPECTED : ROUTE_UNAUTHORIZED;
}

static NEVER_INLINE void refuse(struct route *route, enum route_verdict verdict)
{
    char prefix[ROUTE_PREFIX_BYTES];
    switch (verdict) {
    case ROUTE_EXPECTED:
        return;
    case ROUTE_UNAUTHORIZED:
        route_close(route, CLOSED_AUTHENTICATION_FAILURE, error_text(ERROR_AUTHORIZATION_VIOLATION));
        return;
    case ROUTE_MISDIRECTED:
        log_error(route->context->log, "%s - Received on an %s connection what goes the other way",
                  route_prefix(route, prefix, sizeof prefix), route->solicited ? "outbound" : "inbound");
        route_close(route, CLOSED_PROTOCOL_VIOLATION, NULL);
        return;
    }
}

static enum handled handle(struct route *route, struct route_operation *operation)
{
    enum route_verdict verdict = verdict_on(route, operation);
    if (UNLIKELY(verdict != ROUTE_EXPECTED)) {
        refuse(route, verdict);
        return HANDLED;
    }
    switch (operation->kind) {
    case ROUTE_OP_MESSAGE:
        return message(route, operation);
    case ROUTE_OP_SUBSCRIBE:
    case ROUTE_OP_UNSUBSCRIBE:
        return interest(route, operation);
    case ROUTE_OP_PING:
        route_write(route, TEXT("PONG\r\n"));
        return HANDLED;
    case ROUTE_OP_PONG:
        pong(route);
        return HANDLED;
    case ROUTE_OP_INFO:
        return introduce(route, ROUTE_SAID_INFO, operation->arguments);
    case ROUTE_OP_CONNECT:
        return introduce(route, ROUTE_SAID_CONNECT, operation->arguments);
    case ROUTE_OP_ERR:
        peer_error(route, operation->arguments);
        return HANDLED;
    case ROUTE_OP_ACCOUNT:
    case ROUTE_OP_NO_ACCOUNT:
        return route->kind == ROUTE_OF_GATEWAY ? host_said(route, route_gateway_account(route, operation))
                                               : HANDLED;
    case ROUTE_OP_IGNORED:
        return HANDLED;
    }
    UNREACHABLE("an operation without a name");
}

static void parser_failed(struct route *route, enum route_parser_result result, struct bytes rest)
{
    char prefix[ROUTE_PREFIX_BYTES];
    switch (result) {
    case ROUTE_PARSER_OPERATION:
    case ROUTE_PARSER_MORE:
        return;
    case ROUTE_PARSER_UNKNOWN_OPERATION:
        if (route->state == ROUTE_GREETED && !route->solicited)
            route_close(route, CLOSED_AUTHENTICATION_FAILURE, error_text(ERROR_AUTHORIZATION_VIOLATION));
        else
            route_close(route, CLOSED_PARSE_ERROR, error_text(ERROR_UNKNOWN_PROTOCOL_OPERATION));
        return;
    case ROUTE_PARSER_BAD_ARGUMENTS: {
        const uint8_t *end = rest.count == 0 ? NULL : memchr(rest.data, '\n', rest.count);
        int shown = (int)(end == NULL ? 0 : end - rest.data < 128 ? end - rest.data : 128);
        log_error(route->context->log, "%s - Parse Error: %.*s", route_prefix(route, prefix, sizeof prefix),
                  shown, (const char *)rest.data);
        route_close(route, CLOSED_PROTOCOL_VIOLATION, NULL);
        return;
    }
    case ROUTE_PARSER_LINE_EXCEEDED:
        route_close(route, CLOSED_MAXIMUM_CONTROL_LINE, error_text(ERROR_MAXIMUM_CONTROL_LINE));
        return;
    case ROUTE_PARSER_MESSAGE_EXCEEDED:
        route_close(route, CLOSED_MAXIMUM_PAYLOAD, error_text(ERROR_MAXIMUM_PAYLOAD));
        return;
    case ROUTE_PARSER_MEMORY:
        route_close(route, CLOSED_READ_ERROR, NULL);
        return;
    }
}

size_t route_receive(struct route *route, struct bytes bytes)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = bytes.count == 0 ? at : at + bytes.count; /* NULL and nothing is allowed */
    struct route_operation operation;
    route->last_activity_ns = route->context->now_ns;
    while (!route->blocked && route->state != ROUTE_CLOSED) {
        const uint8_t *before = at;
        operation.handled_bytes = 0;
        enum route_parser_result result = route_parser_next(&route->parser, &at, end, &operation);
        if (result == ROUTE_PARSER_MORE)
            break;
        if (UNLIKELY(result != ROUTE_PARSER_OPERATION)) {
            parser_failed(route, result, bytes_of(before, (size_t)(end - before)));
            break;
        }
        if (UNLIKELY(handle(route, &operation) == HANDLED_LATER)) {
            route->blocked = true;
            if (!route_parser_again(&route->parser))
                at = before + operation.handled_bytes;
        }
    }
    return route->state == ROUTE_CLOSED ? bytes.count : (size_t)(at - bytes.data);
}

void route_resume(struct route *route)
{
    if (!route->asking)
        route->blocked = false;
}

void route_input_ended(struct route *route, bool failed)
{
    route_close(route, failed ? CLOSED_READ_ERROR : CLOSED_CLIENT_CLOSED, NULL);
}

/* ---- what the host answers ---- */

static void pings_start(struct route *route)
{
    int64_t first_ns =
        PING_FIRST_NS + random_below(&route->context->random, PING_FIRST_NS / PING_FIRST_SPREAD);
    timer_set_in(route, first_ns < route->ping_interval_ns ? first_ns : route->ping_interval_ns);
}

void route_answered(struct route *route, const struct route_answer *answer)
{
    if (route->state == ROUTE_CLOSED)
        return;
    if (answer->close) {
        route_close(route, answer->reason, answer->error);
        return;
    }
    route->asking = route->blocked = false;
    if (answer->registers) {
        route->headers = answer->headers;
        route->dedicated = route->parser.account_implied = answer->dedicated;
        bool pinged = route->state == ROUTE_CONNECTED && route->kind == ROUTE_OF_GATEWAY;
        move(route, ROUTE_REGISTERED);
        if (!pinged)
            pings_start(route);
    } else if (route->state == ROUTE_GREETED && !route->solicited) {
        timers_cancel(&route->context->timers, &route->timer);
        move(route, ROUTE_CONNECTED);
        if (route->kind == ROUTE_OF_GATEWAY)
            pings_start(route);
    }
}

void route_timer_due(struct route *route)
{
    if (route->state == ROUTE_CLOSED)
        return;
    bool gateway = route->kind == ROUTE_OF_GATEWAY;
    bool silent =
        gateway && route->solicited && route->state == ROUTE_GREETED; /* dialled, and no INFO came */
    if (!silent && (route->state == ROUTE_GREETED || (route->state == ROUTE_CONNECTED && !gateway))) {
        route_close(route, CLOSED_AUTHENTICATION_TIMEOUT, error_text(ERROR_AUTHENTICATION_TIMEOUT));
        return;
    }
    if (silent || route->pings_unanswered >= route->ping_max + 1) {
        route->context->route_stale_connections += !gateway;
        route->context->gateway_stale_connections += gateway;
        route_close(route, CLOSED_STALE_CONNECTION, error_text(ERROR_STALE_CONNECTION));
        return;
    }
    route->pings_unanswered++;
    route->ping_sent_ns = route->context->now_ns;
    route_write(route, TEXT("PING\r\n"));
    if (route->state != ROUTE_CLOSED)
        timer_set_in(route, route->ping_interval_ns);
}

/* ---- the end ---- */

void route_close(struct route *route, enum closed_reason reason, const char *error)
{
    char prefix[ROUTE_PREFIX_BYTES];
    if (route->state == ROUTE_CLOSED)
        return;
    if (error != NULL && error[0] != 0) {
        char line[512];
        int count = snprintf(line, sizeof line, "-ERR '%s'\r\n", error);
        struct bytes text = bytes_of(line, count < (int)sizeof line ? (size_t)count : 0);
        if (output_append(&route->output, &route->context->pool, text) != ERR_OK)
            reason = CLOSED_WRITE_ERROR; /* without memory for it the peer is not told why */
        log_error(route->context->log, "%s - %s", route_prefix(route, prefix, sizeof prefix), error);
    }
    move(route, ROUTE_CLOSED);
    route->closed_reason = (uint8_t)reason;
    route->blocked = false;
    timers_cancel(&route->context->timers, &route->timer);
    log_notice(route->context->log, "%s - %s connection closed: %s",
               route_prefix(route, prefix, sizeof prefix),
               route->kind == ROUTE_OF_GATEWAY ? "Gateway" : "Router", closed_reason_text(reason));
    route->host->closing(route, closed_reason_flushes(reason));
}

void route_free_parts(struct route *route)
{
    ASSERT(route->state == ROUTE_CLOSED);
    timers_cancel(&route->context->timers, &route->timer);
    route_parser_close(&route->parser);
    output_clear(&route->output, &route->context->pool);
}
