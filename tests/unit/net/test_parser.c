/* Tests net/parser.c: the rules of spec/client-protocol.md 1 and 2, each input whole and cut at every byte.
 */
#include "net/parser.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRACE_BYTES = 4096, LINE_MAX_BYTES = 64 };

struct parser_case {
    const char *input;
    const char *expect; /* what trace() makes of the operations, then of the refusal */
};

static const char *const kind_names[] = {"PUB",  "HPUB",    "SUB",  "UNSUB", "PING",
                                         "PONG", "CONNECT", "INFO", "OK",    "ERR"};
static const char *const result_names[] = {"",     "",        "unknown", "bad",   "no-headers",
                                           "line", "payload", "connect", "memory"};

static const struct parser_case cases[] = {
    /* framing and case */
    {"PING\r\n", "PING;"},
    {"ping\n", "PING;"},
    {"PINGxyz\r\nPiNg\r\n", "PING;PING;"},
    {"+OKjunk\r\nPONGjunk\r\nPING\r\n", "OK;PONG;PING;"},
    {"\r\n", "unknown"},
    {" PING\r\n", "unknown"},
    {"FOO\r\n", "unknown"},
    {"PX", "unknown"},
    {"MSG a 1 0\r\n\r\n", "unknown"},
    {"HMSG a 1 0 0\r\n\r\n", "unknown"},
    {"A+ x\r\n", "unknown"},
    /* PUB */
    {"PUB foo 5\r\nhello\r\n", "PUB foo||5|hello;"},
    {"PUB foo bar 5\r\nhello\r\n", "PUB foo|bar|5|hello;"},
    {"pub\tfoo\t\t5\nhello\r\n", "PUB foo||5|hello;"},
    {"PUB foo   bar   5  \r\nhello\r\n", "PUB foo|bar|5|hello;"},
    {"PUB foo 0\r\n\r\n", "PUB foo||0|;"},
    {"PUB foo 006\r\nabcdef\r\n", "PUB foo||006|abcdef;"},
    {"PUB foo 3\r\na\r\n\r\n", "PUB foo||3|a\r\n;"},
    {"PUB a 1\r\nx\r\nPUB b 1\r\ny\r\n", "PUB a||1|x;PUB b||1|y;"},
    {"PUB\r\n", "unknown"},
    {"PUB \r\n", "bad"},
    {"PUB foo\r\n", "bad"},
    {"PUB a b c 5\r\n", "bad"},
    {"PUB foo -1\r\n", "bad"},
    {"PUB foo +5\r\n", "bad"},
    {"PUB foo 5x\r\n", "bad"},
    {"PUB foo 0x5\r\n", "bad"},
    {"PUB foo 0000000005\r\n", "bad"},
    {"PUB foo 9999999999\r\n", "bad"},
    {"PUB foo 5\r\nhello\n", "unknown"},
    {"PUB foo 5\r\nhello!\r\n", "unknown"},
    {"PUB foo 5\r\nhell\r\n.", "unknown"},
    {"PUB foo 101\r\n", "payload"},
    {"PUB foo 100\r\n", ""},
    {"PUB foo 2\r\nhi\r\nBAD\r\n", "PUB foo||2|hi;unknown"},
    /* HPUB */
    {"HPUB foo 3 5\r\nabcde\r\n", "HPUB foo||3 5|abcde;"},
    {"hPuB foo r 05 006\r\nabcdef\r\n", "HPUB foo|r|05 006|abcdef;"},
    {"HPUB foo 0 2\r\nhi\r\n", "HPUB foo||0 2|hi;"},
    {"HPUB foo 6 5\r\n", "bad"},
    {"HPUB foo 5\r\n", "bad"},
    {"HPUB foo a b 5 5\r\n", "bad"},
    {"HPUB foo 12 200\r\n", "payload"},
    /* SUB, UNSUB */
    {"SUB foo 1\r\n", "SUB foo||1;"},
    {"SUB foo q 1\n", "SUB foo|q|1;"},
    {"SUB\r\n", "unknown"},
    {"SUB \r\n", "bad"},
    {"SUB foo\r\n", "bad"},
    {"SUB foo q 1 2\r\n", "bad"},
    {"UNSUB 1\r\n", "UNSUB 1|-1;"},
    {"UNSUB 1 5\r\n", "UNSUB 1|5;"},
    {"UNSUB 1 -5\r\n", "UNSUB 1|-1;"},
    {"UNSUB 1 abc\r\n", "UNSUB 1|-1;"},
    {"UNSUB 1 0\r\n", "UNSUB 1|0;"},
    {"UNSUB\r\n", "unknown"},
    {"UNSUB 1 2 3\r\n", "bad"},
    /* CONNECT, INFO, -ERR */
    {"CONNECT {}\r\n", "CONNECT {};"},
    {"connect{\"a\":1}\n", "CONNECT {\"a\":1};"},
    {"CONNECT \r\n", "bad"},
    {"CONNECT\r\n", "bad"},
    {"INFO {}\r\n", "INFO {};"},
    {"-ERR 'x'\r\n", "ERR 'x';"},
    {"-ERR\r\n", "unknown"},
    /* the control line: 64 argument bytes pass, blanks before them do not count */
    {"SUB foo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
     "SUB foo||aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;"},
    {"SUB foo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", "line"},
    {"SUB foo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "line"},
    {"SUB                                                                                   foo 1\r\n",
     "SUB foo||1;"},
    {"SUB foo                                                                                     1\r\n",
     "line"},
};

static void trace_operation(char *out, size_t out_bytes, const struct operation *o)
{
    size_t used = strlen(out);
    char *at = out + used;
    size_t left = out_bytes - used;
    const char *name = kind_names[o->kind];
    switch (o->kind) {
    case OPERATION_PUB:
        snprintf(at, left, "%s %.*s|%.*s|%.*s|%.*s;", name, BYTES_PRINTF(o->message.subject),
                 BYTES_PRINTF(o->message.reply), BYTES_PRINTF(o->message.total_size_text),
                 (int)o->message.total_bytes, (const char *)o->message.body);
        return;
    case OPERATION_HPUB:
        snprintf(at, left, "%s %.*s|%.*s|%.*s %.*s|%.*s;", name, BYTES_PRINTF(o->message.subject),
                 BYTES_PRINTF(o->message.reply), BYTES_PRINTF(o->message.header_size_text),
                 BYTES_PRINTF(o->message.total_size_text), (int)o->message.total_bytes,
                 (const char *)o->message.body);
        return;
    case OPERATION_SUB:
        snprintf(at, left, "%s %.*s|%.*s|%.*s;", name, BYTES_PRINTF(o->subject), BYTES_PRINTF(o->queue),
                 BYTES_PRINTF(o->sid));
        return;
    case OPERATION_UNSUB:
        snprintf(at, left, "%s %.*s|%lld;", name, BYTES_PRINTF(o->sid), (long long)o->max);
        return;
    case OPERATION_CONNECT:
    case OPERATION_INFO:
    case OPERATION_ERR:
        snprintf(at, left, "%s %.*s;", name, BYTES_PRINTF(o->arguments));
        return;
    case OPERATION_PING:
    case OPERATION_PONG:
    case OPERATION_OK:
        snprintf(at, left, "%s;", name);
        return;
    }
}

/* Gives pieces of the input, each in memory of its own size, so that ASan sees a byte too far. */
static void run(const char *input, size_t cut, size_t every, bool again, char *out, size_t out_bytes)
{
    struct block_pool pool = {0};
    struct parser parser = {
        .pool = &pool, .max_payload_bytes = 100, .max_control_line_bytes = LINE_MAX_BYTES, .headers = true};
    size_t count = strlen(input);
    enum parser_result result = PARSER_MORE;
    out[0] = 0;
    for (size_t from = 0; from < count && (result == PARSER_MORE || result == PARSER_OPERATION);) {
        size_t to = every > 0 ? from + every : from < cut ? cut : count;
        if (to > count)
            to = count;
        uint8_t *piece = malloc(to - from);
        memcpy(piece, input + from, to - from);
        const uint8_t *at = piece;
        struct operation operation = {0};
        bool repeated = false;
        for (;;) {
            const uint8_t *start = at;
            result = parser_next(&parser, &at, piece + (to - from), &operation);
            if (result != PARSER_OPERATION)
                break;
            if (again && !repeated) { /* the host was full: everything is asked for a second time */
                repeated = true;
                if (!parser_again(&parser))
                    at = start;
                continue;
            }
            repeated = false;
            trace_operation(out, out_bytes, &operation);
        }
        free(piece);
        from = to;
    }
    size_t used = strlen(out);
    if (result != PARSER_MORE)
        snprintf(out + used, out_bytes - used, "%s", result_names[result]);
    parser_close(&parser);
    block_pool_close(&pool);
}

Test(parser, operations_are_the_same_wherever_the_input_is_cut)
{
    char out[TRACE_BYTES];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct parser_case *c = &cases[i];
        for (size_t cut = 1; cut <= strlen(c->input); cut++) {
            run(c->input, cut, 0, false, out, sizeof out);
            cr_expect_str_eq(out, c->expect, "input %s cut at %zu", c->input, cut);
        }
        run(c->input, 0, 1, false, out, sizeof out);
        cr_expect_str_eq(out, c->expect, "input %s byte by byte", c->input);
    }
}

Test(parser, an_operation_that_could_not_be_handled_is_given_out_again)
{
    char out[TRACE_BYTES];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t every = 1; every <= strlen(cases[i].input); every++) {
            run(cases[i].input, 0, every, true, out, sizeof out);
            cr_expect_str_eq(out, cases[i].expect, "input %s in pieces of %zu", cases[i].input, every);
        }
    }
}

Test(parser, before_the_login_only_connect_is_taken)
{
    static const char *const inputs[] = {"PING\r\n", "PUB foo 1\r\nx\r\n", "+OK\r\n", "X"};
    for (size_t i = 0; i < COUNT_OF(inputs); i++) {
        struct block_pool pool = {0};
        struct parser parser = {
            .pool = &pool, .max_payload_bytes = -1, .max_control_line_bytes = 64, .connect_expected = true};
        struct operation operation = {0};
        const uint8_t *at = (const uint8_t *)inputs[i];
        cr_expect_eq(parser_next(&parser, &at, at + strlen(inputs[i]), &operation), PARSER_CONNECT_EXPECTED,
                     "%s", inputs[i]);
        parser_close(&parser);
    }
}

Test(parser, headers_are_refused_when_they_were_not_asked_for)
{
    struct block_pool pool = {0};
    struct parser parser = {.pool = &pool, .max_payload_bytes = -1, .max_control_line_bytes = 64};
    struct operation operation = {0};
    const uint8_t *at = (const uint8_t *)"HPUB foo 12 12\r\n";
    cr_expect_eq(parser_next(&parser, &at, at + 16, &operation), PARSER_NO_HEADERS);
    parser_close(&parser);
}

Test(parser, an_idle_parser_holds_no_block)
{
    struct block_pool pool = {0};
    struct parser parser = {.pool = &pool, .max_payload_bytes = -1, .max_control_line_bytes = 64};
    struct operation operation = {0};
    const uint8_t *at = (const uint8_t *)"PUB foo 5\r\nhe";
    cr_expect_eq(parser_next(&parser, &at, at + 13, &operation), PARSER_MORE);
    cr_expect_not_null(parser.torn);
    at = (const uint8_t *)"llo\r\n";
    const uint8_t *end = at + 5;
    cr_expect_eq(parser_next(&parser, &at, end, &operation), PARSER_OPERATION);
    cr_expect_eq(operation.message.block, parser.torn, "receivers can share the torn payload");
    cr_expect_eq(parser_next(&parser, &at, end, &operation), PARSER_MORE);
    cr_expect_null(parser.torn);
    block_pool_close(&pool);
}
