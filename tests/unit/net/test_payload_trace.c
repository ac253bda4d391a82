/* Tests net/payload_trace.c: quoted, cut where the option says, nothing of nothing. */
#include "core/base/language.h"
#include "net/payload_trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct payload_case {
    const char *payload;
    int64_t most_bytes;
    const char *line; /* behind the process's number */
};

static const struct payload_case payload_cases[] = {
    {"hello", 0, " [TRC] ann - <<- MSG_PAYLOAD: [\"hello\"]\n"},
    {"hello", 5, " [TRC] ann - <<- MSG_PAYLOAD: [\"hello\"]\n"},
    {"hello", 4, " [TRC] ann - <<- MSG_PAYLOAD: [\"hell...\"]\n"},
    {"a\"\r\n", 0, " [TRC] ann - <<- MSG_PAYLOAD: [\"a\\\"\\r\\n\"]\n"},
    {"a\"", 2, " [TRC] ann - <<- MSG_PAYLOAD: [\"a\\\"\"]\n"},
    {"", 0, ""},
};

Test(payload_trace, is_quoted_and_cut_where_the_option_says)
{
    for (const struct payload_case *c = payload_cases; c < payload_cases + COUNT_OF(payload_cases); c++) {
        char path[] = "/tmp/myelin-test-XXXXXX", said[256] = "", why[256];
        int fd = mkstemp(path);
        cr_assert_geq(fd, 0);
        struct log_options options = {.file = path, .trace = true};
        struct log *log;
        cr_assert_eq(log_open(&log, &options, why, sizeof why), ERR_OK, "%s", why);
        payload_trace(log, "ann", "<<-", text(c->payload), c->most_bytes);
        log_close(log);
        cr_assert_geq(read(fd, said, sizeof said - 1), 0);
        const char *behind = strchr(said, ']');
        cr_expect_str_eq(behind == NULL ? "" : behind + 1, c->line, "%s, at most %d: %s", c->payload,
                         (int)c->most_bytes, said);
        close(fd);
        unlink(path);
    }
}

Test(payload_trace, of_headers_all_but_the_empty_line)
{
    struct bytes message = TEXT("NATS/1.0\r\na: b\r\n\r\nhello");
    cr_expect(bytes_equal(payload_trace_headers(message, 18), TEXT("NATS/1.0\r\na: b")));
    cr_expect_eq(payload_trace_headers(message, 0).count, 0);
    cr_expect_eq(payload_trace_headers(message, 4).count, 0);
}
