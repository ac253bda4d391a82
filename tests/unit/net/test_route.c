/* tests/unit/net/test_route.c - a route's session as bytes in, bytes out: introductions, answers, messages,
 * pings, the end, over a host that notes what it is asked (routes.md 3, 9, 15, 19). */
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
    unsigned before_full;  /* so many calls find room, */
    unsigned full;         /* and so many behind them are answered that there is none */
    bool closed, flush;
    unsigned stalls;
};

static struct fake *fake_of(struct route *route)
{
    return CONTAINER_OF(route, struct fake, route);
}

static void note(struct fake *fake, const char *format, ...) PRINTF_LIKE(2, 3);
static void note(struct fake *fake, const char *format, ...)
{
    size_t count = strlen(fake->said);
    va_list list;
    va_start(list, format);
    vsnprintf(fake->said + count, sizeof fake->said - count, format, list);
    va_end(list);
}

static bool no_room(struct fake *fake)
{
    if (fake->before_full > 0) {
        fake->before_full--;
        return false;
    }
    return fake->full > 0 && fake->full-- > 0;
}

static enum route_host_result said(struct route *route, enum route_said what, struct bytes json)
{
    if (no_room(fake_of(route)))
        return ROUTE_HOST_FULL;
    note(fake_of(route), "%s %.*s;", what == ROUTE_SAID_INFO ? "info" : "connect", BYTES_PRINTF(json));
    return ROUTE_HOST_DONE;
}

static enum route_host_result interest(struct route *route, const struct route_operation *o, uint32_t weight)
{
    if (no_room(fake_of(route)))
        return ROUTE_HOST_FULL;
    note(fake_of(route), "%.*s %.*s %.*s=%u;", BYTES_PRINTF(o->account), BYTES_PRINTF(o->subject),
         BYTES_PRINTF(o->queue), weight);
    return ROUTE_HOST_DONE;
}

static enum route_host_result publish(struct route *route, const struct route_operation *o, uint32_t *done)
{
    *done = 1; /* of a run too: the rest is asked for again */
    if (no_room(fake_of(route)))
        return ROUTE_HOST_FULL;
    note(fake_of(route), "msg %.*s %.*s %.*s;", BYTES_PRINTF(o->account), BYTES_PRINTF(o->message.subject),
         (int)o->message.total_bytes, (const char *)o->message.body);
    return ROUTE_HOST_DONE;
}

static void output_ready(struct route *route)
{
    (void)route;
}

static void closing(struct route *route, bool flush)
{
    cr_assert_not(fake_of(route)->closed, "the end comes once");
    fake_of(route)->closed = true;
    fake_of(route)->flush = flush;
}

static void stall(struct route *route, const struct publisher_place *place, int64_t stall_ns)
{
    (void)place, (void)stall_ns;
    fake_of(route)->stalls++;
}

static const struct route_host host = {said, interest, publish, output_ready, closing, stall, NULL, NULL};

static struct fake *open_route(bool solicited, int64_t authentication_timeout_ns)
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
        .address = "127.0.0.1",
        .port = 4711,
        .rid = 7,
        .solicited = solicited,
        .greeting = TEXT("INFO {} \r\n"),
        .authentication_timeout_ns = authentication_timeout_ns,
        .ping_interval_ns = 5 * NS_PER_SECOND,
        .ping_max = 2,
    };
    cr_assert_eq(route_init(&fake->route, &setup), ERR_OK);
    return fake;
}

static void close_route(struct fake *fake)
{
    route_close(&fake->route, CLOSED_SERVER_SHUTDOWN, NULL);
    route_free_parts(&fake->route);
    timers_close(&fake->context.timers);
    output_pool_close(&fake->context.pool);
    free(fake);
}

/* All that was written since the last look. */
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

/* An accepted route that is a member. */
static struct fake *member(void)
{
    struct fake *fake = open_route(false, 0);
    feed(fake, "CONNECT {}\r\n");
    answer(fake, false);
    feed(fake, "INFO {}\r\n");
    answer(fake, true);
    cr_assert_eq(fake->route.state, ROUTE_REGISTERED);
    (void)drain(fake);
    fake->said[0] = 0;
    return fake;
}

Test(route, an_accepted_one_is_greeted_asked_about_twice_and_registered)
{
    struct fake *fake = open_route(false, 0);
    cr_expect_str_eq(drain(fake), "INFO {} \r\n");
    const char *introduction = "CONNECT {\"name\":\"B\"}\r\nINFO {\"server_id\":\"B\"} \r\nRS+ ACC foo\r\n";
    size_t taken = feed(fake, introduction);
    cr_expect_str_eq(fake->said, "connect {\"name\":\"B\"};");
    cr_expect_eq(feed(fake, introduction + taken), 0, "nothing is taken before the answer");
    answer(fake, false);
    taken += feed(fake, introduction + taken);
    cr_expect_eq(fake->route.state, ROUTE_CONNECTED);
    answer(fake, true);
    (void)feed(fake, introduction + taken);
    cr_expect_str_eq(fake->said, "connect {\"name\":\"B\"};info {\"server_id\":\"B\"} ;ACC foo =1;");
    cr_expect_eq(fake->route.state, ROUTE_REGISTERED);
    close_route(fake);
}

Test(route, one_that_we_dialled_is_registered_by_its_info)
{
    struct fake *fake = open_route(true, 0);
    feed(fake, "INFO {}\r\n");
    answer(fake, true);
    cr_expect_eq(fake->route.state, ROUTE_REGISTERED);
    close_route(fake);
}

static const char *const impatient[] = {"INFO {}\r\n", "PING\r\n", "RS+ ACC foo\r\n", "RMSG ACC foo 2\r\n",
                                        "GET /\r\n"};

Test(route, whoever_does_not_begin_with_connect_is_refused)
{
    for (size_t i = 0; i < COUNT_OF(impatient); i++) {
        struct fake *fake = open_route(false, 0);
        char bytes[64];
        (void)drain(fake);
        snprintf(bytes, sizeof bytes, "%shi\r\n", impatient[i]);
        feed(fake, bytes);
        cr_expect(fake->closed && fake->flush, "%s", impatient[i]);
        cr_expect_str_eq(drain(fake), "-ERR 'Authorization Violation'\r\n", "%s", impatient[i]);
        cr_expect_str_empty(fake->said);
        close_route(fake);
    }
}

Test(route, a_refusal_is_said_and_ends_it)
{
    struct fake *fake = open_route(false, 0);
    (void)drain(fake);
    feed(fake, "CONNECT {}\r\n");
    struct route_answer no = {
        .close = true, .reason = CLOSED_INCORRECT_PORT, .error = "attempted to connect to route port"};
    route_answered(&fake->route, &no);
    cr_expect_str_eq(drain(fake), "-ERR 'attempted to connect to route port'\r\n");
    cr_expect(fake->closed);
    cr_expect_eq(fake->route.closed_reason, CLOSED_INCORRECT_PORT);
    cr_expect_eq(feed(fake, "PING\r\n"), 6, "what comes later is dropped");
    cr_expect_str_eq(drain(fake), "");
    close_route(fake);
}

Test(route, silence_before_connect_ends_at_the_time_limit)
{
    struct fake *fake = open_route(false, NS_PER_SECOND);
    (void)drain(fake);
    cr_expect_null(timers_expired(&fake->context.timers, 2 * NS_PER_SECOND - 1));
    cr_assert_eq(timers_expired(&fake->context.timers, 2 * NS_PER_SECOND), &fake->route.timer);
    route_timer_due(&fake->route);
    cr_expect_str_eq(drain(fake), "-ERR 'Authentication Timeout'\r\n");
    cr_expect(fake->closed);
    close_route(fake);
}

struct wire_case {
    const char *in;
    const char *said;
    const char *out;
    bool closes;
};

static const struct wire_case wire_cases[] = {
    {"PING\r\n", "", "PONG\r\n", false},
    {"RS+ ACC a.* q 3\r\nRS- ACC b\r\n", "ACC a.* q=3;ACC b =0;", "", false},
    {"RS+ ACC foo..bar\r\nRS+ ACC x\r\n", "ACC x =1;", "-ERR 'Invalid Subscription'\r\n", false},
    {"RS- ACC foo..bar\r\n", "ACC foo..bar =0;", "", false},
    {"RMSG ACC foo 5\r\nhello\r\n", "msg ACC foo hello;", "", false},
    {"+OK\r\nA+ ACC\r\nSUB a 1\r\n", "", "", false},
    {"UNSUB 1\r\n", "", "-ERR 'Unknown Protocol Operation'\r\n", true},
    {"RMSG ACC foo 2\r\nhello\r\n", "", "-ERR 'Unknown Protocol Operation'\r\n", true},
    {"RS+ ACC\r\n", "", "", true},
    {"-ERR 'Stale Connection'\r\n", "", "", true},
    {"RMSG ACC foo 999999999\r\n", "", "-ERR 'Maximum Payload Violation'\r\n", true},
};

Test(route, a_member_is_understood)
{
    for (const struct wire_case *c = wire_cases; c < wire_cases + COUNT_OF(wire_cases); c++) {
        struct fake *fake = member();
        feed(fake, c->in);
        cr_expect_str_eq(fake->said, c->said, "%s: %s", c->in, fake->said);
        cr_expect_str_eq(drain(fake), c->out, "%s: %s", c->in, fake->out);
        cr_expect_eq(fake->closed, c->closes, "%s", c->in);
        close_route(fake);
    }
}

Test(route, what_finds_no_room_is_given_again)
{
    const char *bytes = "RS+ ACC a\r\nRMSG ACC a 2\r\nhi\r\nRS- ACC a\r\n";
    for (size_t cut = 1; cut < strlen(bytes); cut++) {
        struct fake *fake = member();
        for (size_t at = 0, end = cut; at < strlen(bytes);) {
            fake->full = 1; /* every first try */
            size_t taken = route_receive(&fake->route, bytes_of(bytes + at, end - at));
            at += taken;
            fake->full = 0;
            if (fake->route.blocked) {
                route_resume(&fake->route);
                at += route_receive(&fake->route, bytes_of(bytes + at, end - at));
            }
            end = strlen(bytes);
        }
        cr_expect_str_eq(fake->said, "ACC a =1;msg ACC a hi;ACC a =0;", "cut at %zu: %s", cut, fake->said);
        close_route(fake);
    }
}

Test(route, pings_come_and_silence_is_stale)
{
    struct fake *fake = member();
    for (int i = 0; i < 3; i++) {
        route_timer_due(&fake->route);
        cr_expect_str_eq(drain(fake), "PING\r\n");
    }
    feed(fake, "PONG\r\n");
    for (int i = 0; i < 3; i++) {
        route_timer_due(&fake->route);
        cr_expect_str_eq(drain(fake), "PING\r\n");
    }
    route_timer_due(&fake->route);
    cr_expect_str_eq(drain(fake), "-ERR 'Stale Connection'\r\n");
    cr_expect(fake->closed);
    close_route(fake);
}

struct deliver_case {
    const char *reply;
    const char *queues;
    uint32_t header_bytes;
    bool peer_headers;
    const char *out;
};

static const struct deliver_case deliver_cases[] = {
    {"", "", 0, true, "RMSG ACC foo 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
    {"rep", "", 0, true, "RMSG ACC foo rep 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
    {"", "q r", 0, true, "RMSG ACC foo | q r 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
    {"rep", "q", 0, true, "RMSG ACC foo + rep q 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
    {"rep", "q", 12, true, "HMSG ACC foo + rep q 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
    {"", "", 12, true, "HMSG ACC foo 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
    {"", "", 12, false, "RMSG ACC foo 5\r\nhello\r\n"}, /* routes.md 9.4 */
};

Test(route, messages_have_the_form_that_their_parts_ask_for)
{
    for (const struct deliver_case *c = deliver_cases; c < deliver_cases + COUNT_OF(deliver_cases); c++) {
        struct fake *fake = member();
        fake->route.headers = c->peer_headers;
        struct message message = {
            .subject = TEXT("foo"),
            .reply = text(c->reply),
            .total_size_text = TEXT("17"),
            .header_size_text = c->header_bytes > 0 ? TEXT("12") : (struct bytes){NULL, 0},
            .body = (const uint8_t *)"NATS/1.0\r\n\r\nhello",
            .header_bytes = c->header_bytes,
            .total_bytes = 17,
        };
        cr_expect(route_deliver(&fake->route, TEXT("ACC"), &message, text(c->queues)));
        cr_expect_str_eq(drain(fake), c->out, "%s", fake->out);
        close_route(fake);
    }
}

Test(route, a_run_is_written_message_by_message)
{
    struct fake *fake = member();
    const char *bytes = "PUB foo 2\r\nab\r\nPUB foo 2\r\ncd\r\nPUB foo 2\r\nef\r\n";
    struct message run = {
        .subject = TEXT("foo"),
        .total_size_text = TEXT("2"),
        .body = (const uint8_t *)bytes + 11,
        .total_bytes = 2,
        .run_more = 2,
        .run_stride = 15,
    };
    cr_expect(route_deliver(&fake->route, TEXT("ACC"), &run, (struct bytes){NULL, 0}));
    cr_expect_str_eq(drain(fake), "RMSG ACC foo 2\r\nab\r\nRMSG ACC foo 2\r\ncd\r\nRMSG ACC foo 2\r\nef\r\n");
    cr_expect_eq(fake->route.out_messages, 3);
    close_route(fake);
}

Test(route, a_publisher_to_a_slow_one_is_stalled_once_a_turn)
{
    struct fake *fake = member();
    static const char body[900];
    struct message message = {
        .subject = TEXT("foo"),
        .total_size_text = TEXT("900"),
        .body = (const uint8_t *)body,
        .total_bytes = 900,
        .place = {.cid = 5},
    };
    fake->context.turn = 1;
    for (int i = 0; i < 3; i++)
        cr_expect(route_deliver(&fake->route, TEXT("ACC"), &message, (struct bytes){NULL, 0}));
    cr_expect_eq(fake->stalls, 1);
    cr_expect_not(fake->closed, "a route has no max_pending");
    close_route(fake);
}

/* A member whose route is for one account alone. */
static struct fake *dedicated(void)
{
    struct fake *fake = open_route(false, 0);
    feed(fake, "CONNECT {}\r\n");
    answer(fake, false);
    feed(fake, "INFO {}\r\n");
    struct route_answer good = {.registers = true, .headers = true, .dedicated = true};
    route_answered(&fake->route, &good);
    (void)drain(fake);
    fake->said[0] = 0;
    return fake;
}

Test(route, the_route_of_one_account_does_not_name_it)
{
    struct fake *fake = dedicated();
    feed(fake,
         "RS+ b.1\r\nRS+ b q 3\r\nRS- b.1\r\nRMSG b.3 + r q 1\r\nx\r\nHMSG b.1 12 13\r\nNATS/1.0\r\n\r\ny\r\n"
         "LMSG LC b.1 0 1\r\nz\r\nLS+ LC b.4\r\n");
    cr_expect_str_eq(fake->said,
                     " b.1 =1; b q=3; b.1 =0;msg  b.3 x;msg  b.1 NATS/1.0\r\n\r\ny;msg  b.1 z; b.4 =1;", "%s",
                     fake->said);
    struct message message = {
        .subject = TEXT("b"), .total_size_text = TEXT("1"), .body = (const uint8_t *)"x", .total_bytes = 1};
    cr_expect(route_deliver(&fake->route, TEXT("ACC"), &message, (struct bytes){NULL, 0}));
    cr_expect(route_deliver(&fake->route, TEXT("ACC"), &message, TEXT("q")));
    route_tell_interest(&fake->route, TEXT("ACC"), TEXT("foo"), TEXT("q"), 12);
    route_tell_interest(&fake->route, TEXT("ACC"), TEXT("foo.*"), (struct bytes){NULL, 0}, 0);
    cr_expect_str_eq(drain(fake), "RMSG b 1\r\nx\r\nRMSG b | q 1\r\nx\r\nRS+ foo q 12\r\nRS- foo.*\r\n");
    cr_expect_not(fake->closed);
    feed(fake, "RS+\r\n");
    cr_expect(fake->closed, "a line without a subject");
    close_route(fake);
}

Test(route, interest_is_told_in_the_form_of_its_kind)
{
    struct fake *fake = member();
    route_tell_interest(&fake->route, TEXT("ACC"), TEXT("foo.*"), (struct bytes){NULL, 0}, 1);
    route_tell_interest(&fake->route, TEXT("ACC"), TEXT("foo"), TEXT("q"), 12);
    route_tell_interest(&fake->route, TEXT("ACC"), TEXT("foo"), TEXT("q"), 0);
    route_tell_interest(&fake->route, TEXT("ACC"), TEXT("foo.*"), (struct bytes){NULL, 0}, 0);
    cr_expect_str_eq(drain(fake), "RS+ ACC foo.*\r\nRS+ ACC foo q 12\r\nRS- ACC foo q\r\nRS- ACC foo.*\r\n");
    close_route(fake);
}

Test(route, of_a_run_what_finds_no_room_is_given_again_and_nothing_twice)
{
    for (unsigned before_full = 0; before_full < 4; before_full++) {
        char bytes[SAID_BYTES] = "", expected[SAID_BYTES] = "";
        for (unsigned i = 0; i < 8; i++) {
            snprintf(bytes + strlen(bytes), sizeof bytes - strlen(bytes), "RMSG ACC foo 5\r\nhel.%u\r\n", i);
            snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "msg ACC foo hel.%u;",
                     i);
        }
        struct fake *fake = member();
        fake->before_full = before_full;
        fake->full = 1;
        size_t taken = feed(fake, bytes);
        cr_expect(fake->route.blocked);
        cr_expect_eq(taken, before_full * strlen("RMSG ACC foo 5\r\nhel.0\r\n"), "%zu", taken);
        route_resume(&fake->route);
        taken += feed(fake, bytes + taken);
        cr_expect_eq(taken, strlen(bytes));
        cr_expect_str_eq(fake->said, expected, "%s", fake->said);
        cr_expect_eq(fake->route.in_messages, 8);
        cr_expect_eq(fake->route.in_bytes, 40);
        close_route(fake);
    }
}
