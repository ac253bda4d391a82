/* Tests net/lines.c: which lines are kept, what is known of them, and that a serial never stands for two
 * lines. */
#include "net/lines.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { INPUT_BYTES = 2 * LINE_BYTES };

static const struct line *find(struct lines *lines, const char *text)
{
    char input[INPUT_BYTES];
    memset(input, 'x', sizeof input);
    memcpy(input, text, strlen(text));
    return lines_find(lines, (const uint8_t *)input);
}

struct line_case {
    const char *input;
    const char *subject; /* NULL: not kept */
    const char *reply;
    const char *size;
    uint32_t total_bytes;
};

static const struct line_case cases[] = {
    {"PUB a 0\r\n", "a", "", "0", 0},
    {"PUB a.b 16\r\nPUB ", "a.b", "", "16", 16},
    {"PUB a.b r.s 123456789\r\n", "a.b", "r.s", "123456789", 123456789},
    {"PUB a 007\r\n", "a", "", "007", 7},
    {"PUB 012345678901234567890123456789012345678901234567890123 r 12\r\n", NULL, NULL, NULL, 0},
    {"PUB 01234567890123456789012345678901234567890123456789012 12\r\n",
     "01234567890123456789012345678901234567890123456789012", "", "12", 12},
    {"PUB 012345678901234567890123456789012345678901234567890123456 1\r\n", NULL, NULL, NULL, 0},
    {"PUB a 1234567890\r\n", NULL, NULL, NULL, 0},
    {"PUB a -1\r\n", NULL, NULL, NULL, 0},
    {"PUB a 1x\r\n", NULL, NULL, NULL, 0},
    {"PUB a\r\n", NULL, NULL, NULL, 0},
    {"PUB  a 1\r\n", NULL, NULL, NULL, 0},
    {"PUB a  1\r\n", NULL, NULL, NULL, 0},
    {"PUB a 1 \r\n", NULL, NULL, NULL, 0},
    {"PUB a b c 1\r\n", NULL, NULL, NULL, 0},
    {"PUB a\t1\r\n", NULL, NULL, NULL, 0},
    {"PUB a 1\n\r\n", NULL, NULL, NULL, 0},
    {"PUB a 1\rx\n", NULL, NULL, NULL, 0},
    {"pub a 1\r\n", NULL, NULL, NULL, 0},
    {"SUB a 1\r\n", NULL, NULL, NULL, 0},
    {"HPUB a 1 1\r\n", NULL, NULL, NULL, 0},
    {"\r\n", NULL, NULL, NULL, 0},
};

static void expect_text(const struct line *line, size_t at, size_t count, const char *text, const char *input)
{
    cr_expect(count == strlen(text) && memcmp(line->bytes + at, text, count) == 0, "%s: %.*s", input,
              (int)count, (const char *)line->bytes + at);
}

Test(lines, plain_publish_lines_are_kept_and_taken_apart)
{
    struct lines *lines = lines_new(0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct line_case *c = &cases[i];
        for (int again = 0; again < 2; again++) {
            const struct line *line = find(lines, c->input);
            cr_expect_eq(line != NULL, c->subject != NULL, "%s", c->input);
            if (line == NULL || c->subject == NULL)
                continue;
            expect_text(line, 4, line->subject_count, c->subject, c->input);
            expect_text(line, line->reply_at, line->reply_count, c->reply, c->input);
            expect_text(line, line->size_at, line->size_count, c->size, c->input);
            cr_expect_eq(line->total_bytes, c->total_bytes, "%s", c->input);
            cr_expect_eq(line->count, strchr(c->input, '\n') + 1 - c->input, "%s", c->input);
        }
    }
    lines_free(lines);
}

/* Method: many more lines than places, each twice; what was said of a serial must hold whenever it comes
 * again. */
Test(lines, a_serial_is_one_line)
{
    enum { MANY = 4 * LINES };
    static char known[3 * MANY + 1][LINE_BYTES];
    struct lines *lines = lines_new(0);
    uint32_t repeated = 0;
    for (int round = 0; round < 3; round++) {
        for (int n = 0; n < MANY; n++) {
            char text[LINE_BYTES];
            snprintf(text, sizeof text, "PUB subject.%d.%s %d\r\n", n / 3, n % 2 ? "abcdefgh" : "ab", n % 5);
            const struct line *line = find(lines, text);
            cr_assert_not_null(line);
            cr_assert(line->serial > 0 && line->serial < COUNT_OF(known));
            cr_assert(line_repeated(line, line->bytes));
            if (known[line->serial][0] == 0)
                memcpy(known[line->serial], text, sizeof text);
            cr_assert_str_eq(known[line->serial], text);
            const struct line *second = find(lines, text);
            cr_expect_eq(second->serial, line->serial);
            repeated++;
        }
    }
    cr_expect_eq(repeated, 3 * MANY);
    lines_free(lines);
}

Test(lines, no_bytes_repeat_the_line_that_is_none)
{
    static const uint8_t zeros[LINE_BYTES];
    struct lines *lines = lines_new(0);
    cr_expect_not(line_repeated(lines_none(lines), zeros));
    cr_expect_not(line_repeated(lines_none(lines),
                                (const uint8_t *)"PUB a 1\r\n........................................"
                                                 "................................"));
    lines_free(lines);
}
