/* tests/unit/net/test_outer_parser.c - what a server says to a client, in every way of being cut. */
#include "net/outer_parser.h"

#include <criterion/criterion.h>
#include <string.h>

enum { MESSAGE_BYTES_MAX = 64 };

struct row {
    const char *bytes;
    enum outer_operation_kind kind;
    const char *arguments, *subject, *sid, *reply, *header, *payload;
};

static const struct row rows[] = {
    {"PING\r\n", OUTER_OP_PING, "", "", "", "", "", ""},
    {"PONG\r\n", OUTER_OP_PONG, "", "", "", "", "", ""},
    {"+OK\r\n", OUTER_OP_OK, "", "", "", "", "", ""},
    {"-ERR 'Authorization Violation'\r\n", OUTER_OP_ERR, "Authorization Violation", "", "", "", "", ""},
    {"-ERR bare\n", OUTER_OP_ERR, "bare", "", "", "", "", ""},
    {"INFO {\"port\":1} \r\n", OUTER_OP_INFO, "{\"port\":1} ", "", "", "", "", ""},
    {"MSG a.b 7 3\r\nxyz\r\n", OUTER_OP_MESSAGE, "a.b 7 3", "a.b", "7", "", "", "xyz"},
    {"MSG a.b 7 0\r\n\r\n", OUTER_OP_MESSAGE, "a.b 7 0", "a.b", "7", "", "", ""},
    {"MSG a 7 | 2\r\n\r\n\r\n", OUTER_OP_MESSAGE, "a 7 | 2", "a", "7", "|", "", "\r\n"},
    {"MSG\ta  7\tr 1\r\nx\r\n", OUTER_OP_MESSAGE, "a  7\tr 1", "a", "7", "r", "", "x"},
    {"HMSG a 7 16 18\r\nNATS/1.0 503\r\n\r\nhi\r\n", OUTER_OP_MESSAGE, "a 7 16 18", "a", "7", "",
     "NATS/1.0 503\r\n\r\n", "hi"},
    {"HMSG a 7 r 12 12\r\nNATS/1.0\r\n\r\n\r\n", OUTER_OP_MESSAGE, "a 7 r 12 12", "a", "7", "r",
     "NATS/1.0\r\n\r\n", ""},
};

static void expect_text(struct bytes got, const char *wanted, const char *what, const char *row)
{
    cr_expect(bytes_equal(got, text(wanted)), "%s: %s is %.*s", row, what, BYTES_PRINTF(got));
}

Test(outer_parser, operations_come_whole_and_not_before)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct row *row = &rows[i];
        size_t all = strlen(row->bytes);
        struct outer_operation operation;
        for (size_t cut = 0; cut < all; cut++) {
            cr_expect_eq(outer_parser_next(bytes_of(row->bytes, cut), MESSAGE_BYTES_MAX, &operation),
                         OUTER_PARSER_MORE, "%s cut at %zu", row->bytes, cut);
            cr_expect(operation.used == 0 || operation.used == all);
        }
        cr_expect_eq(outer_parser_next(bytes_of(row->bytes, all), MESSAGE_BYTES_MAX, &operation),
                     OUTER_PARSER_OPERATION, "%s", row->bytes);
        cr_expect_eq(operation.kind, row->kind, "%s", row->bytes);
        cr_expect_eq(operation.used, all, "%s", row->bytes);
        expect_text(operation.arguments, row->arguments, "arguments", row->bytes);
        expect_text(operation.subject, row->subject, "subject", row->bytes);
        expect_text(operation.sid, row->sid, "sid", row->bytes);
        expect_text(operation.reply, row->reply, "reply", row->bytes);
        expect_text(operation.header, row->header, "header", row->bytes);
        expect_text(operation.payload, row->payload, "payload", row->bytes);
    }
}

Test(outer_parser, what_no_server_says_is_refused)
{
    static const char *const bad[] = {
        "PINGS\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        "MSG a 3\r\nxyz\r\n",
        "MSG a 7 r s 3\r\nxyz\r\n",
        "MSG a b c d e f 3\r\nxyz\r\n",
        "MSG a 7 -1\r\nxyz\r\n",
        "MSG a 7 3x\r\nxyz\r\n",
        "MSG a 7 1234567890\r\n",
        "MSG a 7 65\r\n",
        "MSG a 7 3\r\nxyzAB",
        "HMSG a 7 3\r\nxyz\r\n",
        "HMSG a 7 4 3\r\nxyz\r\n",
    };
    struct outer_operation operation;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_eq(outer_parser_next(text(bad[i]), MESSAGE_BYTES_MAX, &operation), OUTER_PARSER_BAD, "%s",
                     bad[i]);
}

Test(outer_parser, a_line_without_an_end_is_refused_at_its_bound)
{
    static uint8_t line[OUTER_LINE_BYTES_MAX];
    struct outer_operation operation;
    memset(line, 'x', sizeof line);
    cr_expect_eq(outer_parser_next(bytes_of(line, sizeof line - 1), MESSAGE_BYTES_MAX, &operation),
                 OUTER_PARSER_MORE);
    cr_expect_eq(outer_parser_next(bytes_of(line, sizeof line), MESSAGE_BYTES_MAX, &operation),
                 OUTER_PARSER_BAD);
}
