/* tests/unit/net/test_route_gateway.c - a gateway connection's session as bytes in, bytes out: who may say
 * what in which direction and state (spec/gateways.md 2, 5, 15), over a host that notes what it is asked. */
#include "core/base/clock.h"
#include "core/base/language.h"
#include "net/route.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAID_BYTES = 4096 };

struct fake {
    struct session_context context; /* first: the session finds us by it */
    struct net_options options;
    struct route route;
    char said[SAID_BYTES]; /* what the host was asked */
    char out[SAID_BYTES];  /* what the peer was sent */
    unsigned measured;
    bool full; /* the next call finds no room */
    bool closed;
};

static struct fake *fake_of(struct route *route)
{
    return CONTAINER_OF(route, struct fake, route);
}

static enum route_host_result note(struct fake *fake, const char *format, ...) PRINTF_LIKE(2, 3);
static enum route_host_result note(struct fake *fake, const char *format, ...)
{
    size_t count = strlen(fake->said);
    va_list list;
    if (fake->full) {
        fake->full = false;
        return ROUTE_HOST_FULL;
    }
    va_start(list, format);
    vsnprintf(fake->said + count, sizeof fake->said - count, format, list);
    va_end(list);
    return ROUTE_HOST_DONE;
}

static enum route_host_result said(struct route *route, enum route_said what, struct bytes json)
{
    enum route_host_result result =
        note(fake_of(route), "%s %.*s;", what == ROUTE_SAID_INFO ? "info" : "connect", BYTES_PRINTF(json));
    bool settled = bytes_equal(json, TEXT("{\"gateway_cmd\":2}"));
    return result == ROUTE_HOST_DONE && settled ? ROUTE_HOST_SETTLED : result;
}

static enum route_host_result interest(struct route *route, const struct route_operation *o, uint32_t weight)
{
    return note(fake_of(route), "%.*s %.*s %.*s=%u;", BYTES_PRINTF(o->account), BYTES_PRINTF(o->subject),
                BYTES_PRINTF(o->queue), weight);
}

static enum route_host_result publish(struct route *route, const struct route_operation *o, uint32_t *done)
{
    *done = message_count(&o->message);
    return note(fake_of(route), "msg %.*s %.*s;", BYTES_PRINTF(o->account), BYTES_PRINTF(o->message.subject));
}

static void output_ready(struct route *route)
{
    (void)route;
}

static void closing(struct route *route, bool flush)
{
    (void)flush;
    cr_assert_not(fake_of(route)->closed, "the end comes once");
    fake_of(route)->closed = true;
}

static void stall(struct route *route, const struct publisher_place *place, int64_t stall_ns)
{
    (void)route, (void)place, (void)stall_ns;
}

static enum route_host_result account(struct route *route, struct bytes name, bool wanted)
{
    return note(fake_of(route), "A%c %.*s;", wanted ? '+' : '-', BYTES_PRINTF(name));
}

static void measured(struct route *route)
{
    fake_of(route)->measured++;
}

static const struct route_host host = {said,    interest, publish, output_ready,
                                       closing, stall,    account, measured};

static struct fake *open_gateway(bool solicited)
{
    struct fake *fake = calloc(1, sizeof *fake);
    cr_assert_not_null(fake);
    fake->options =
        (struct net_options){.max_control_line_bytes = 4096, .max_pending_bytes = 1000, .headers = true};
    fake->context.options = &fake->options;
    fake->context.now_ns = NS_PER_SECOND;
    struct route_setup setup = {
        .context = &fake->context,
        .host = &host,
        .kind = ROUTE_OF_GATEWAY,
        .address = "127.0.0.1",
        .port = 4711,
        .rid = 7,
        .solicited = solicited,
        .greeting = solicited ? (struct bytes){NULL, 0} : TEXT("INFO {}\r\n"),
        .authentication_timeout_ns = 2 * NS_PER_SECOND,
        .ping_interval_ns = 120 * NS_PER_SECOND,
        .ping_max = 2,
    };
    cr_assert_eq(route_init(&fake->route, &setup), ERR_OK);
    return fake;
}

static void close_gateway(struct fake *fake)
{
    route_close(&fake->route, CLOSED_SERVER_SHUTDOWN, NULL);
    route_free_parts(&fake->route);
    timers_close(&fake->context.timers);
    output_pool_close(&fake->context.pool);
    free(fake);
}

static const char *drain(struct fake *fake)
{
    struct iovec parts[16];
    uint32_t count = output_gather(&fake->route.output, parts, 16);
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_lt(bytes + parts[i].iov_len, sizeof fake->out);
        memcpy(fake->out + bytes, parts[i].iov_base, parts[i].iov_len);
        bytes += parts[i].iov_len;
    }
    fake->out[bytes] = 0;
    output_sent(&fake->route.output, &fake->context.pool, bytes);
    fake->route.output_noted = false;
    return fake->out;
}

static size_t feed(struct fake *fake, const char *bytes)
{
    return route_receive(&fake->route, text(bytes));
}

static void answer(struct fake *fake, bool registers)
{
    struct route_answer good = {.registers = registers, .headers = true};
    route_answered(&fake->route, &good);
}

static struct fake *registered(bool solicited)
{
    struct fake *fake = open_gateway(solicited);
    if (!solicited) {
        feed(fake, "CONNECT {}\r\n");
        answer(fake, false);
    }
    feed(fake, "INFO {}\r\n");
    answer(fake, true);
    cr_assert_eq(fake->route.state, ROUTE_REGISTERED);
    (void)drain(fake);
    fake->said[0] = 0;
    return fake;
}

static const char *const unauthorized = "-ERR 'Authorization Violation'\r\n";
static const char *const unknown = "-ERR 'Unknown Protocol Operation'\r\n";

enum stage { INBOUND_GREETED, INBOUND_CONNECTED, INBOUND, OUTBOUND_GREETED, OUTBOUND };

struct row {
    enum stage stage;
    const char *in;
    const char *said;
    const char *out;
    bool closes;
};

static const struct row rows[] = {
    {INBOUND_GREETED, "PING\r\n", "", unauthorized, true},
    {INBOUND_GREETED, "INFO {}\r\n", "", unauthorized, true},
    {INBOUND_GREETED, "RMSG A b 1\r\nx\r\n", "", unauthorized, true},
    {INBOUND_GREETED, "RS+ A b\r\n", "", unauthorized, true},
    {INBOUND_GREETED, "A+ A\r\n", "", unauthorized, true},
    {INBOUND_GREETED, "LS+ x A b\r\n", "", unauthorized, true},
    {INBOUND_GREETED, "GET /\r\n", "", unauthorized, true},
    {INBOUND_CONNECTED, "PING\r\n", "", "PONG\r\n", false},
    {INBOUND_CONNECTED, "CONNECT {}\r\n", "", "", false},
    {INBOUND_CONNECTED, "RMSG A b 1\r\nx\r\n", "", "", true},
    {INBOUND_CONNECTED, "RS+ A b\r\n", "", "", true},
    {INBOUND, "RMSG A b 1\r\nx\r\nHMSG A c | q 0 1\r\nx\r\n", "msg A b;msg A c;", "", false},
    {INBOUND, "INFO {}\r\nPING\r\n", "", "PONG\r\n", false},
    {INBOUND, "RS+ A b\r\n", "", "", true},
    {INBOUND, "RS- A b\r\n", "", "", true},
    {INBOUND, "A+ A\r\n", "", "", true},
    {INBOUND, "A- A\r\n", "", "", true},
    {INBOUND, "LS+ x A b\r\n", "", unknown, true},
    {INBOUND, "LS- A b\r\n", "", unknown, true},
    {INBOUND, "LMSG x A b 0 1\r\nx\r\n", "", unknown, true},
    {INBOUND, "SUB a 1\r\n", "", unknown, true},
    {INBOUND, "PUB a 1\r\n", "", unknown, true},
    {INBOUND, "-ERR 'x'\r\n", "", "", true},
    {OUTBOUND_GREETED, "RS+ A b\r\n", "", "", true},
    {OUTBOUND_GREETED, "A+ A\r\n", "", "", true},
    {OUTBOUND_GREETED, "RMSG A b 1\r\nx\r\n", "", "", true},
    {OUTBOUND_GREETED, "PING\r\n", "", "PONG\r\n", false},
    {OUTBOUND, "RS+ A b q 1\r\nRS- A b\r\n", "A b q=1;A b =0;", "", false},
    {OUTBOUND, "A+ A\r\nA- B\r\n", "A+ A;A- B;", "", false},
    {OUTBOUND, "A-\r\n", "", "", true},
    {OUTBOUND, "INFO {\"gateway_cmd\":2}\r\nPING\r\n", "info {\"gateway_cmd\":2};", "PONG\r\n", false},
    {OUTBOUND, "RMSG A b 1\r\nx\r\n", "", "", true},
    {OUTBOUND, "CONNECT {}\r\n", "", "", true},
    {OUTBOUND, "LMSG x A b 0 1\r\nx\r\n", "", unknown, true},
};

static struct fake *at_stage(enum stage stage)
{
    struct fake *fake;
    switch (stage) {
    case INBOUND_GREETED:
        fake = open_gateway(false);
        (void)drain(fake);
        return fake;
    case INBOUND_CONNECTED:
        fake = open_gateway(false);
        (void)drain(fake);
        feed(fake, "CONNECT {}\r\n");
        answer(fake, false);
        fake->said[0] = 0;
        return fake;
    case INBOUND:
        return registered(false);
    case OUTBOUND_GREETED:
        return open_gateway(true);
    case OUTBOUND:
        return registered(true);
    }
    return NULL;
}

Test(route_gateway, what_may_be_said_depends_on_direction_and_state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fake *fake = at_stage(rows[i].stage);
        feed(fake, rows[i].in);
        cr_expect_str_eq(fake->said, rows[i].said, "row %zu %s: %s", i, rows[i].in, fake->said);
        cr_expect_str_eq(drain(fake), rows[i].out, "row %zu %s: %s", i, rows[i].in, fake->out);
        cr_expect_eq(fake->closed, rows[i].closes, "row %zu %s", i, rows[i].in);
        close_gateway(fake);
    }
}

Test(route_gateway, a_full_host_is_asked_again)
{
    static const char *const lines[] = {"A- ACC\r\n", "RS+ ACC b\r\n", "INFO {\"gateway_cmd\":2}\r\n"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct fake *fake = registered(true);
        fake->full = true;
        cr_expect_eq(feed(fake, lines[i]), 0);
        cr_expect_str_empty(fake->said);
        route_resume(&fake->route);
        cr_expect_eq(feed(fake, lines[i]), strlen(lines[i]));
        cr_expect_str_not_empty(fake->said);
        close_gateway(fake);
    }
}

Test(route_gateway, who_dials_says_nothing_first_and_does_not_wait_for_ever)
{
    struct fake *fake = open_gateway(true);
    cr_expect_str_empty(drain(fake));
    cr_assert_eq(timers_expired(&fake->context.timers, 3 * NS_PER_SECOND), &fake->route.timer);
    route_timer_due(&fake->route);
    cr_expect_str_eq(drain(fake), "-ERR 'Stale Connection'\r\n");
    close_gateway(fake);
}

Test(route_gateway, silence_before_connect_ends_at_the_time_limit)
{
    struct fake *fake = open_gateway(false);
    cr_expect_str_eq(drain(fake), "INFO {}\r\n");
    cr_assert_eq(timers_expired(&fake->context.timers, 3 * NS_PER_SECOND), &fake->route.timer);
    route_timer_due(&fake->route);
    cr_expect_str_eq(drain(fake), "-ERR 'Authentication Timeout'\r\n");
    close_gateway(fake);
}

Test(route_gateway, pings_begin_with_connect_and_come_every_fifteen_seconds)
{
    struct fake *fake = at_stage(INBOUND_CONNECTED);
    int64_t first_ns = timers_next_ns(&fake->context.timers);
    cr_expect(first_ns >= 2 * NS_PER_SECOND && first_ns <= 2 * NS_PER_SECOND + NS_PER_SECOND / 5);
    fake->context.now_ns = first_ns;
    cr_assert_eq(timers_expired(&fake->context.timers, first_ns), &fake->route.timer);
    route_timer_due(&fake->route);
    cr_expect_str_eq(drain(fake), "PING\r\n");
    cr_expect_eq(timers_next_ns(&fake->context.timers), first_ns + 15 * NS_PER_SECOND);
    fake->context.now_ns = first_ns + 5;
    feed(fake, "PONG\r\n");
    cr_expect_eq(fake->route.rtt_ns, 5);
    cr_expect_eq(fake->measured, 1);
    feed(fake, "PONG\r\n");
    cr_expect_eq(fake->measured, 1, "a PONG that nobody asked for measures nothing");
    close_gateway(fake);
}

Test(route_gateway, its_log_lines_say_gid)
{
    struct fake *fake = open_gateway(true);
    char prefix[ROUTE_PREFIX_BYTES];
    cr_expect_str_eq(route_prefix(&fake->route, prefix, sizeof prefix), "127.0.0.1:4711 - gid:7");
    close_gateway(fake);
}
