/* tests/unit/net/test_route_parser.c - operations of routes, whole and torn at every byte (routes.md 9). */
#include "net/route_parser.h"

#include "core/base/language.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES_MAX = 256, MESSAGE_BYTES_MAX = 1000, SHOWN_BYTES = 1024 };

static struct block_pool pool;

static struct route_parser fresh(void)
{
    return (struct route_parser){
        .pool = &pool, .line_bytes_max = LINE_BYTES_MAX, .message_bytes_max = MESSAGE_BYTES_MAX};
}

static void show(char *shown, const struct route_operation *o)
{
    const struct message *m = &o->message;
    char *end = shown + strlen(shown);
    size_t room = SHOWN_BYTES - (size_t)(end - shown);
    switch (o->kind) {
    case ROUTE_OP_MESSAGE:
        snprintf(end, room, "M %.*s/%.*s %.*s r=%.*s q=%.*s %u/%u %.*s;", BYTES_PRINTF(o->origin),
                 BYTES_PRINTF(o->account), BYTES_PRINTF(m->subject), BYTES_PRINTF(m->reply),
                 BYTES_PRINTF(o->queues), m->header_bytes, m->total_bytes, (int)m->total_bytes,
                 (const char *)m->body);
        return;
    case ROUTE_OP_SUBSCRIBE:
        snprintf(end, room, "+ %.*s/%.*s %.*s q=%.*s %u;", BYTES_PRINTF(o->origin), BYTES_PRINTF(o->account),
                 BYTES_PRINTF(o->subject), BYTES_PRINTF(o->queue), o->weight);
        return;
    case ROUTE_OP_UNSUBSCRIBE:
        snprintf(end, room, "- %.*s/%.*s %.*s q=%.*s;", BYTES_PRINTF(o->origin), BYTES_PRINTF(o->account),
                 BYTES_PRINTF(o->subject), BYTES_PRINTF(o->queue));
        return;
    case ROUTE_OP_PING:
        snprintf(end, room, "ping;");
        return;
    case ROUTE_OP_PONG:
        snprintf(end, room, "pong;");
        return;
    case ROUTE_OP_INFO:
        snprintf(end, room, "info %.*s;", BYTES_PRINTF(o->arguments));
        return;
    case ROUTE_OP_CONNECT:
        snprintf(end, room, "connect %.*s;", BYTES_PRINTF(o->arguments));
        return;
    case ROUTE_OP_ERR:
        snprintf(end, room, "err %.*s;", BYTES_PRINTF(o->arguments));
        return;
    case ROUTE_OP_ACCOUNT:
    case ROUTE_OP_NO_ACCOUNT:
    case ROUTE_OP_IGNORED:
        snprintf(end, room, "ignored;");
        return;
    }
}

/* Parses in pieces of `cut` bytes, each in memory of its own, so that a look behind it is found by a
 * sanitizer; every `again` operations one is asked for twice. */
static enum route_parser_result parse(const char *bytes, size_t cut, unsigned again, char shown[SHOWN_BYTES])
{
    struct route_parser parser = fresh();
    struct route_operation operation;
    enum route_parser_result result = ROUTE_PARSER_MORE;
    unsigned operations = 0;
    shown[0] = 0;
    for (size_t left = strlen(bytes), at = 0; left > 0 && result == ROUTE_PARSER_MORE;) {
        size_t count = cut < left ? cut : left;
        uint8_t *piece = malloc(count);
        cr_assert_not_null(piece);
        memcpy(piece, bytes + at, count);
        const uint8_t *from = piece;
        for (;;) {
            const uint8_t *before = from;
            result = route_parser_next(&parser, &from, piece + count, &operation);
            if (result != ROUTE_PARSER_OPERATION)
                break;
            if (again > 0 && ++operations % again == 0) {
                if (!route_parser_again(&parser))
                    from = before;
                continue;
            }
            show(shown, &operation);
        }
        free(piece);
        at += count;
        left -= count;
    }
    route_parser_close(&parser);
    return result;
}

struct parse_case {
    const char *bytes;
    const char *shown;
    enum route_parser_result result;
};

static const struct parse_case parse_cases[] = {
    /* interest: routes.md 9.2 */
    {"RS+ ACC foo\r\n", "+ /ACC foo q= 1;", ROUTE_PARSER_MORE},
    {"RS+ ACC foo q 2\r\n", "+ /ACC foo q=q 2;", ROUTE_PARSER_MORE},
    {"RS+ ACC foo q 0\r\n", "+ /ACC foo q=q 0;", ROUTE_PARSER_MORE},
    {"RS- ACC foo\r\n", "- /ACC foo q=;", ROUTE_PARSER_MORE},
    {"RS- ACC foo q\r\n", "- /ACC foo q=q;", ROUTE_PARSER_MORE},
    {"LS+ LC ACC lq g 2\r\n", "+ LC/ACC lq q=g 2;", ROUTE_PARSER_MORE},
    {"LS-  ACC foo\r\n", "- /ACC foo q=;", ROUTE_PARSER_MORE},
    {"RS+ ACC\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RS+ ACC foo q\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RS+ ACC foo q x\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RS+ ACC foo q -1\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RS+ ACC foo q 1 2\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RS- ACC\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RS- ACC foo q 1\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    /* messages: 9.3 */
    {"RMSG ACC foo 5\r\nhello\r\n", "M /ACC foo r= q= 0/5 hello;", ROUTE_PARSER_MORE},
    {"RMSG ACC foo rep.1 5\r\nhello\r\n", "M /ACC foo r=rep.1 q= 0/5 hello;", ROUTE_PARSER_MORE},
    {"RMSG ACC foo | q r 5\r\nhello\r\n", "M /ACC foo r= q= q r  0/5 hello;", ROUTE_PARSER_MORE},
    {"RMSG ACC foo + rep.1 q 5\r\nhello\r\n", "M /ACC foo r=rep.1 q= q  0/5 hello;", ROUTE_PARSER_MORE},
    {"RMSG ACC foo | 2\r\nhi\r\n", "M /ACC foo r=| q= 0/2 hi;", ROUTE_PARSER_MORE},
    {"RMSG ACC foo 0\r\n\r\n", "M /ACC foo r= q= 0/0 ;", ROUTE_PARSER_MORE},
    {"HMSG ACC foo 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", "M /ACC foo r= q= 12/17 NATS/1.0\r\n\r\nhello;",
     ROUTE_PARSER_MORE},
    {"HMSG ACC foo + r q 12 12\r\nNATS/1.0\r\n\r\n\r\n", "M /ACC foo r=r q= q  12/12 NATS/1.0\r\n\r\n;",
     ROUTE_PARSER_MORE},
    {"LMSG LC ACC x + rep q 0 2\r\nhi\r\n", "M LC/ACC x r=rep q= q  0/2 hi;", ROUTE_PARSER_MORE},
    {"LMSG LC ACC x 0 2\r\nhi\r\n", "M LC/ACC x r= q= 0/2 hi;", ROUTE_PARSER_MORE},
    {"RMSG ACC 5\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RMSG ACC foo a b 5\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RMSG ACC foo -1\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RMSG ACC foo five\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"HMSG ACC foo 6 5\r\nhello\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"HMSG ACC foo 5\r\nhello\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"RMSG ACC foo 1001\r\n", "", ROUTE_PARSER_MESSAGE_EXCEEDED},
    {"RMSG ACC foo 5\r\nhelloxx", "", ROUTE_PARSER_UNKNOWN_OPERATION},
    /* the rest */
    {"PING\r\nPONG\r\n+OK\r\n", "ping;pong;ignored;", ROUTE_PARSER_MORE},
    {"INFO {\"a\":1} \r\n", "info {\"a\":1} ;", ROUTE_PARSER_MORE},
    {"CONNECT {}\r\n", "connect {};", ROUTE_PARSER_MORE},
    {"-ERR 'no'\r\n", "err 'no';", ROUTE_PARSER_MORE},
    {"A+ ACC\r\nA- ACC\r\nSUB a 1\r\n", "ignored;ignored;ignored;", ROUTE_PARSER_MORE},
    {"rs+\tACC \t foo  \nrmsg ACC foo 2\nhi\r\n", "+ /ACC foo q= 1;M /ACC foo r= q= 0/2 hi;",
     ROUTE_PARSER_MORE},
    {"UNSUB 1\r\n", "", ROUTE_PARSER_UNKNOWN_OPERATION},
    {"MSG a 1 2\r\n", "", ROUTE_PARSER_UNKNOWN_OPERATION},
    {"RS+X ACC foo\r\n", "", ROUTE_PARSER_UNKNOWN_OPERATION},
    {"INFO\r\n", "", ROUTE_PARSER_BAD_ARGUMENTS},
    {"GET / HTTP/1.1\r\n", "", ROUTE_PARSER_UNKNOWN_OPERATION},
    {"PING\r\nRMSG ACC foo 5\r\nhello\r\nRS- ACC a\r\n", "ping;M /ACC foo r= q= 0/5 hello;- /ACC a q=;",
     ROUTE_PARSER_MORE},
};

Test(route_parser, every_form_is_read_however_it_is_torn)
{
    char shown[SHOWN_BYTES];
    for (const struct parse_case *c = parse_cases; c < parse_cases + COUNT_OF(parse_cases); c++) {
        for (size_t cut = 1; cut <= strlen(c->bytes); cut++) {
            enum route_parser_result result = parse(c->bytes, cut, 0, shown);
            cr_expect_eq(result, c->result, "%s cut by %zu: %d", c->bytes, cut, (int)result);
            cr_expect_str_eq(shown, c->shown, "%s cut by %zu: %s", c->bytes, cut, shown);
        }
    }
    block_pool_close(&pool);
}

Test(route_parser, an_operation_that_had_to_wait_is_given_again)
{
    char shown[SHOWN_BYTES];
    for (const struct parse_case *c = parse_cases; c < parse_cases + COUNT_OF(parse_cases); c++) {
        for (size_t cut = 1; cut <= strlen(c->bytes); cut++) {
            enum route_parser_result result = parse(c->bytes, cut, 2, shown);
            cr_expect_eq(result, c->result, "%s cut by %zu: %d", c->bytes, cut, (int)result);
            cr_expect_str_eq(shown, c->shown, "%s cut by %zu: %s", c->bytes, cut, shown);
        }
    }
    block_pool_close(&pool);
}

Test(route_parser, a_line_beyond_its_bound_is_refused_before_it_ends)
{
    char bytes[2 * LINE_BYTES_MAX], shown[SHOWN_BYTES];
    for (size_t cut = 1; cut < sizeof bytes; cut += 7) {
        memset(bytes, 'a', sizeof bytes);
        memcpy(bytes, "RS+ ACC ", 8);
        bytes[LINE_BYTES_MAX] = 0; /* of the longest allowed one */
        snprintf(bytes + LINE_BYTES_MAX, 3, "\r\n");
        cr_expect_eq(parse(bytes, cut, 0, shown), ROUTE_PARSER_MORE, "cut by %zu", cut);
        bytes[LINE_BYTES_MAX] = bytes[LINE_BYTES_MAX + 1] = bytes[LINE_BYTES_MAX + 2] = 'a';
        bytes[sizeof bytes - 1] = 0;
        cr_expect_eq(parse(bytes, cut, 0, shown), ROUTE_PARSER_LINE_EXCEEDED, "cut by %zu", cut);
    }
    block_pool_close(&pool);
}

Test(route_parser, a_torn_body_lies_in_a_block_that_can_be_shared)
{
    struct route_parser parser = fresh();
    struct route_operation operation;
    const uint8_t *bytes = (const uint8_t *)"RMSG ACC foo 5\r\nhello\r\n";
    const uint8_t *at = bytes;
    cr_assert_eq(route_parser_next(&parser, &at, bytes + 18, &operation), ROUTE_PARSER_MORE);
    cr_assert_eq(route_parser_next(&parser, &at, bytes + 23, &operation), ROUTE_PARSER_OPERATION);
    cr_expect_not_null(operation.message.block);
    at = bytes;
    cr_assert_eq(route_parser_next(&parser, &at, bytes + 23, &operation), ROUTE_PARSER_OPERATION);
    cr_expect_null(operation.message.block);
    route_parser_close(&parser);
    block_pool_close(&pool);
}

Test(route_parser, queue_names_come_one_by_one)
{
    struct bytes queues = TEXT(" q  work\tr "), name;
    cr_assert(route_queue_next(&queues, &name) && bytes_equal(name, TEXT("q")));
    cr_assert(route_queue_next(&queues, &name) && bytes_equal(name, TEXT("work")));
    cr_assert(route_queue_next(&queues, &name) && bytes_equal(name, TEXT("r")));
    cr_assert_not(route_queue_next(&queues, &name));
}

/* ---- runs ---- */

enum { RUN_ROUNDS = 9, RUN_BYTES = 4096 };

struct run_case {
    const char *frame; /* %d stands for the round */
    uint32_t run;      /* how many of nine equal lines the first operation is */
};
static const struct run_case run_cases[] = {
    {"RMSG ACC foo 5\r\nhel.%d\r\n", 7}, /* less than 64 bytes from the end nothing is compared */
    {"RMSG ACC foo.bar.some.where.far.away.in.the.woods.and.hills.and.mountains rep.1 5\r\nhel.%d\r\n", 9},
    {"RMSG ACC foo 70\r\n..........................................................hello world%d\r\n", 9},
    {"RMSG ACC foo | q 5\r\nhel.%d\r\n", 1},
    {"HMSG ACC foo 12 13\r\nNATS/1.0\r\n\r\n%d\r\n", 1},
    {"LMSG LC ACC foo 0 5\r\nhel.%d\r\n", 7},
    {"rmsg ACC foo 5\nhel.%d\r\n", 7},
};

static void expect_run(const struct run_case *c, const char *bytes, size_t count)
{
    struct route_parser parser = fresh();
    struct route_operation o = {0};
    uint8_t *piece = malloc(count); /* of its own, so that a look behind it is found by a sanitizer */
    cr_assert_not_null(piece);
    memcpy(piece, bytes, count);
    const uint8_t *at = piece;
    uint32_t round = 0;
    parser.runs = true;
    while (route_parser_next(&parser, &at, piece + count, &o) == ROUTE_PARSER_OPERATION) {
        if (round == 0)
            cr_expect_eq(message_count(&o.message), c->run, "%s: %u", c->frame, message_count(&o.message));
        for (uint32_t left = message_count(&o.message); left > 0; left--, round++) {
            cr_expect_eq(o.message.body[o.message.total_bytes - 1], '0' + round, "%s: %u", c->frame, round);
            if (left > 1)
                message_advance(&o.message, 1);
        }
    }
    cr_expect_eq(round, RUN_ROUNDS, "%s: %u messages", c->frame, round);
    cr_expect_eq(at, piece + count);
    free(piece);
    route_parser_close(&parser);
}

Test(route_parser, equal_lines_behind_each_other_are_one_run)
{
    for (const struct run_case *c = run_cases; c < run_cases + COUNT_OF(run_cases); c++) {
        char bytes[RUN_BYTES];
        size_t count = 0;
        for (int round = 0; round < RUN_ROUNDS; round++)
            count += (size_t)snprintf(bytes + count, sizeof bytes - count, c->frame, round);
        expect_run(c, bytes, count);
    }
    block_pool_close(&pool);
}

static const char *const run_ends[] = {
    "RMSG ACC foo 70\r\n",  /* torn */
    "RMSG ACC fooo 70\r\n", /* another subject */
    "RMSG ACC foo 69\r\n",  /* another size */
    "RMSG ACC foo 70 \r\n", /* another text of the same */
    "RMSG ACC foo rep 70\r\n", "PING\r\n",
};

Test(route_parser, a_run_ends_where_a_line_differs)
{
    char body[71], bytes[RUN_BYTES];
    memset(body, '.', sizeof body - 1);
    body[sizeof body - 1] = 0;
    for (size_t i = 0; i < COUNT_OF(run_ends); i++) {
        struct route_parser parser = fresh();
        struct route_operation o = {0};
        parser.runs = true;
        int count = snprintf(bytes, sizeof bytes, "RMSG ACC foo 70\r\n%s\r\nRMSG ACC foo 70\r\n%s\r\n%s",
                             body, body, run_ends[i]);
        const uint8_t *at = (const uint8_t *)bytes;
        cr_expect_eq(route_parser_next(&parser, &at, (const uint8_t *)bytes + count, &o),
                     ROUTE_PARSER_OPERATION);
        cr_expect_eq(message_count(&o.message), 2, "before %s: %u", run_ends[i], message_count(&o.message));
        cr_expect_eq((const char *)at, bytes + count - strlen(run_ends[i]));
        route_parser_close(&parser);
    }
    block_pool_close(&pool);
}

Test(route_parser, a_body_of_a_run_that_does_not_end_with_cr_lf_is_an_error_at_its_place)
{
    char body[71], bytes[RUN_BYTES];
    struct route_parser parser = fresh();
    struct route_operation o = {0};
    memset(body, '.', sizeof body - 1);
    body[sizeof body - 1] = 0;
    parser.runs = true;
    int count = snprintf(bytes, sizeof bytes, "RMSG ACC foo 70\r\n%s\r\nRMSG ACC foo 70\r\n%sxx", body, body);
    const uint8_t *at = (const uint8_t *)bytes, *end = at + count;
    cr_expect_eq(route_parser_next(&parser, &at, end, &o), ROUTE_PARSER_OPERATION);
    cr_expect_eq(o.message.run_more, 0);
    cr_expect_eq(route_parser_next(&parser, &at, end, &o), ROUTE_PARSER_UNKNOWN_OPERATION);
    route_parser_close(&parser);
    block_pool_close(&pool);
}
