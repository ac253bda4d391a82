/* Tests the runs of net/parser.c: equal PUBs in a row are one operation, and mean what they mean one by one,
 * wherever the input is cut. */
#include "net/parser.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES = 16 * 1024 };

struct walk {
    char messages[TEXT_BYTES]; /* subject|reply|body; for each */
    uint32_t operations;
};

/* Publications in blocks of equal lines; the bodies differ. */
static size_t input_make(char *input)
{
    static const struct {
        const char *line;
        int body_bytes;
        int count;
    } blocks[] = {
        {"PUB a.b 16", 16, 9},
        {"PUB a.b 17", 17, 1},
        {"PUB a.b 16", 16, 3},
        {"PUB a.c reply.1 4", 4, 5},
        {"PUB a.c 0", 0, 12},
        {"pub a.c 0", 0, 2},
        {"PUB long.subject.that.fills.the.line.of.the.parser.almost 3", 3, 4},
        {"PUB x 90", 90, 6},
    };
    size_t used = 0;
    for (size_t b = 0; b < COUNT_OF(blocks); b++) {
        for (int i = 0; i < blocks[b].count; i++) {
            used += (size_t)snprintf(input + used, TEXT_BYTES - used, "%s\r\n", blocks[b].line);
            for (int at = 0; at < blocks[b].body_bytes; at++)
                input[used++] = (char)('a' + (i + at) % 26);
            used += (size_t)snprintf(input + used, TEXT_BYTES - used, "\r\n");
        }
        used += (size_t)snprintf(input + used, TEXT_BYTES - used, b % 2 ? "PING\r\n" : "");
    }
    return used;
}

static void note(struct walk *walk, const struct operation *operation)
{
    struct message message = operation->message;
    walk->operations++;
    if (operation->kind != OPERATION_PUB)
        return;
    for (uint32_t left = message_count(&message); left > 0; left--) {
        size_t used = strlen(walk->messages);
        snprintf(walk->messages + used, TEXT_BYTES - used, "%.*s|%.*s|%.*s;", BYTES_PRINTF(message.subject),
                 BYTES_PRINTF(message.reply), (int)message.total_bytes, (const char *)message.body);
        if (left > 1)
            message_advance(&message, 1);
    }
}

/* Each piece lies in memory of its own size, so that ASan sees a byte too far. */
static enum parser_result walk_input(struct walk *walk, const char *input, size_t count, size_t cut,
                                     bool runs)
{
    struct block_pool pool = {0};
    struct lines *lines = lines_new(0);
    struct parser parser = {.pool = &pool,
                            .lines = lines,
                            .line = lines_none(lines),
                            .max_payload_bytes = 100,
                            .max_control_line_bytes = 128,
                            .runs = runs};
    const size_t ends[] = {cut, count};
    struct operation operation = {0};
    enum parser_result result = PARSER_MORE;
    size_t from = 0;
    *walk = (struct walk){0};
    for (size_t i = 0; i < COUNT_OF(ends) && result == PARSER_MORE; from = ends[i++]) {
        uint8_t *piece = malloc(ends[i] - from + 1);
        memcpy(piece + 1, input + from, ends[i] - from);
        const uint8_t *at = piece + 1;
        while ((result = parser_next(&parser, &at, piece + 1 + (ends[i] - from), &operation)) ==
               PARSER_OPERATION)
            note(walk, &operation);
        free(piece);
    }
    parser_close(&parser);
    lines_free(lines);
    block_pool_close(&pool);
    return result;
}

Test(parser_runs, a_run_means_its_messages_wherever_the_input_is_cut)
{
    static char input[TEXT_BYTES];
    static struct walk single, run;
    size_t count = input_make(input);
    cr_assert_eq(walk_input(&single, input, count, count, false), PARSER_MORE);
    cr_assert_eq(walk_input(&run, input, count, count, true), PARSER_MORE);
    cr_expect_str_eq(run.messages, single.messages);
    cr_expect_eq(single.operations, 42 + 4);
    cr_expect_lt(run.operations, 25, "runs are found: %u operations", run.operations);
    for (size_t cut = 0; cut < count; cut++) {
        cr_assert_eq(walk_input(&run, input, count, cut, true), PARSER_MORE, "cut at %zu", cut);
        cr_assert_str_eq(run.messages, single.messages, "cut at %zu", cut);
    }
}

Test(parser_runs, a_run_ends_before_what_is_wrong)
{
    static const char good[] = "PUB a 60\r\n"
                               "0123456789012345678901234567890123456789012345678901234567890123456789";
    char input[1024];
    struct walk walk;
    for (int bad = 0; bad < 4; bad++) {
        size_t used = 0;
        for (int i = 0; i < 4; i++)
            used += (size_t)snprintf(input + used, sizeof input - used, "%.70s%s", good,
                                     i == bad ? "\r." : "\r\n");
        cr_expect_eq(walk_input(&walk, input, used, used, true), PARSER_UNKNOWN_OPERATION);
        size_t found = 0;
        for (const char *at = walk.messages; (at = strchr(at, ';')) != NULL; at++)
            found++;
        cr_expect_eq(found, (size_t)bad, "%zu messages before the bad one, number %d", found, bad);
    }
}
