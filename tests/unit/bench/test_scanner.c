/* tests/unit/bench/test_scanner.c - a server's bytes, whole and cut at every place, give the same events. */
#include "bench/scanner.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { STORY_BYTES = 32 * 1024 };

struct story {
    char text[STORY_BYTES];
    size_t count;
};

/* Scans `stream` as one receive and writes what happens behind the story; false when the stream broke. */
static bool tell(struct scanner *scanner, struct bytes stream, struct story *story)
{
    uint8_t *room = malloc(SCANNER_TORN_BYTES + stream.count + 1);
    cr_assert(room != NULL);
    if (stream.count > 0)
        memcpy(room + SCANNER_TORN_BYTES, stream.data, stream.count);
    struct scan_input input = scanner_begin(scanner, room + SCANNER_TORN_BYTES, stream.count);
    struct scan_event event = {0};
    enum scan_result result = SCAN_MORE;
    while ((result = scanner_next(scanner, &input, &event)) != SCAN_MORE && result != SCAN_BROKEN) {
        int count = 0;
        size_t left = sizeof(story->text) - story->count;
        char *at = story->text + story->count;
        if (result == SCAN_MESSAGE)
            count = snprintf(at, left, "[%.*s|%.*s|%.*s|%llu/%llu|%llu]", BYTES_PRINTF(event.subject),
                             BYTES_PRINTF(event.reply), (int)(event.head.count < 28 ? event.head.count : 28),
                             (const char *)event.head.data, (unsigned long long)event.header_bytes,
                             (unsigned long long)event.total_bytes, (unsigned long long)event.frame_bytes);
        else
            count = snprintf(at, left, "[%d %.20s]", (int)result,
                             event.line.count >= 20 ? (const char *)event.line.data : "");
        cr_assert(count > 0 && (size_t)count < left);
        story->count += (size_t)count;
    }
    free(room);
    return result != SCAN_BROKEN;
}

static void tell_whole(struct bytes stream, struct story *story)
{
    struct scanner scanner = {0};
    cr_assert(tell(&scanner, stream, story));
}

static struct bytes conversation(void)
{
    return text(
        "INFO {\"version\":\"x\"} \r\nPONG\r\nMSG a 1 5\r\nhello\r\nMSG a 1 5\r\nwo\r\nl\r\nMSG b.c 22 _I.1 "
        "0\r\n\r\n"
        "+OK\r\nHMSG a 1 12 15\r\nNATS/1.0\r\n\r\nxyz\r\nHMSG a 1 re.ply 12 40\r\nNATS/1.0\r\n\r\n"
        "0123456789012345678901234567\r\nPING\r\nMSG a 1 17\r\n0123456789abcdefg\r\n-ERR 'Slow Consumer'\r\n"
        "MSG  a  1  3 \r\nxyz\r\nPONG\r\n");
}

Test(bench_scanner, messages_are_shown_with_subject_reply_head_and_sizes)
{
    struct story story = {0};
    tell_whole(
        text("MSG a.b 1 5\r\nhello\r\nHMSG c 9 r 12 40\r\nNATS/1.0\r\n\r\n0123456789012345678901234567\r\n"),
        &story);
    cr_expect_str_eq(story.text, "[a.b||hello|0/5|20][c|r|NATS/1.0\r\n\r\n0123456789012345|12/40|60]");
}

Test(bench_scanner, a_stream_cut_at_any_two_places_tells_the_same_story)
{
    struct bytes whole = conversation();
    struct story expected = {0};
    tell_whole(whole, &expected);
    cr_assert(expected.count > 200);
    for (size_t first = 0; first <= whole.count; first++) {
        for (size_t second = first; second <= whole.count; second++) {
            struct scanner scanner = {0};
            struct story story = {0};
            cr_assert(tell(&scanner, bytes_of(whole.data, first), &story));
            cr_assert(tell(&scanner, bytes_of(whole.data + first, second - first), &story));
            cr_assert(tell(&scanner, bytes_of(whole.data + second, whole.count - second), &story));
            cr_assert_str_eq(story.text, expected.text, "cut at %zu and %zu", first, second);
        }
    }
}

Test(bench_scanner, counting_folds_repeats_and_loses_none)
{
    struct scanner scanner = {.counting = true};
    uint8_t room[SCANNER_TORN_BYTES + 4096];
    uint8_t *received = room + SCANNER_TORN_BYTES;
    static const char frame[] = "MSG a 1 5\r\nhello\r\n";
    size_t total = 0;
    for (; total + sizeof(frame) - 1 <= 4000; total += sizeof(frame) - 1)
        memcpy(received + total, frame, sizeof(frame) - 1);
    uint64_t frames = total / (sizeof(frame) - 1);
    struct scan_input input = scanner_begin(&scanner, received, total - 3);
    struct scan_event event = {0};
    cr_expect_eq(scanner_next(&scanner, &input, &event), SCAN_MESSAGE);
    cr_expect_eq(event.repeats, 1);
    cr_expect_eq(scanner_next(&scanner, &input, &event), SCAN_MESSAGE);
    cr_expect_eq(event.repeats, frames - 2, "the first was parsed, the last is cut");
    cr_expect_eq(scanner_next(&scanner, &input, &event), SCAN_MORE);
    uint8_t rest[3];
    memcpy(rest, frame + sizeof(frame) - 1 - 3, 3);
    memcpy(received, rest, 3);
    input = scanner_begin(&scanner, received, 3);
    cr_expect_eq(scanner_next(&scanner, &input, &event), SCAN_MESSAGE);
    cr_expect_eq(event.repeats, 1);
    cr_expect(bytes_equal(event.head, TEXT("hello")));
    cr_expect_eq(scanner_next(&scanner, &input, &event), SCAN_MORE);
}

Test(bench_scanner, a_payload_of_any_size_is_skipped_and_counted_when_all_of_it_was_there)
{
    struct scanner scanner = {0};
    struct story story = {0};
    uint8_t part[1000];
    memset(part, 'x', sizeof(part));
    cr_assert(tell(&scanner, text("MSG a 1 100000\r\n"), &story));
    for (int i = 0; i < 100; i++)
        cr_assert(tell(&scanner, bytes_of(part, sizeof(part)), &story));
    cr_expect_eq(story.count, 0, "the CR LF is still missing");
    cr_assert(tell(&scanner, text("\r\nMSG a 1 2\r\nhi\r\n"), &story));
    cr_expect_str_eq(story.text, "[a||xxxxxxxxxxxxxxxxxxxxxxxxxxxx|0/100000|100018][a||hi|0/2|15]");
}

/* Above SCANNER_HEAD_BYTES a frame's payload is skipped, not kept. */
Test(bench_scanner, a_long_frame_cut_at_any_place_tells_the_same_story)
{
    enum { PAYLOAD_BYTES = SCANNER_HEAD_BYTES + 3 };
    char stream[2 * PAYLOAD_BYTES];
    int line_count = snprintf(stream, sizeof(stream), "MSG a 1 %d\r\n", PAYLOAD_BYTES);
    memset(stream + line_count, 'x', PAYLOAD_BYTES);
    size_t count = (size_t)line_count + PAYLOAD_BYTES;
    count += (size_t)snprintf(stream + count, sizeof(stream) - count, "\r\nPONG\r\n");
    for (size_t cut = 1; cut < count; cut++) {
        struct scanner scanner = {0};
        struct story whole = {0}, story = {0};
        tell_whole(bytes_of(stream, count), &whole);
        cr_assert(tell(&scanner, bytes_of(stream, cut), &story));
        cr_assert(tell(&scanner, bytes_of(stream + cut, count - cut), &story));
        cr_expect_str_eq(story.text, whole.text, "cut at %zu", cut);
    }
}

Test(bench_scanner, a_long_info_is_cut_and_what_follows_is_found)
{
    struct scanner scanner = {0};
    struct story story = {0};
    char info[3 * SCANNER_LINE_BYTES_MAX];
    memset(info, 'i', sizeof(info));
    memcpy(info, "INFO ", 5);
    cr_assert(tell(&scanner, bytes_of(info, 4000), &story));
    cr_assert(tell(&scanner, bytes_of(info + 4000, sizeof(info) - 4000), &story));
    cr_assert(tell(&scanner, text("}\r\nMSG a 1 2\r\nhi\r\n"), &story));
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "[%d INFO iiiiiiiiiiiiiii][a||hi|0/2|15]", (int)SCAN_INFO);
    cr_expect_str_eq(story.text, expected);
}

Test(bench_scanner, what_no_server_sends_is_broken)
{
    static const char *const rows[] = {
        "HELLO\r\n",
        "\r\n",
        "MSG a 1\r\n",
        "MSG a 1 r 5 6 7\r\n",
        "MSG a 1 x\r\n",
        "MSG a 1 -1\r\n",
        "MSG a 1 99999999999\r\n",
        "MSG a 1 5\r\nhelloXY",
        "MSG a 1 5\r\nhello\rX",
        "MSG a 1 20\r\n01234567890123456789X\n",
        "MSG a 1 20\r\n01234567890123456789\rX",
        "HMSG a 1 5\r\n",
        "HMSG a 1 6 5\r\nhello\r\n",
        "MSG a 1 2\r\nhi\r\nMSG a 1 2\r\nhi!!",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scanner scanner = {0};
        struct story story = {0};
        cr_expect_not(tell(&scanner, text(rows[i]), &story), "%s", rows[i]);
    }
    struct scanner scanner = {0};
    struct story story = {0};
    char line[SCANNER_LINE_BYTES_MAX + 1];
    memset(line, 'a', sizeof(line));
    memcpy(line, "MSG ", 4);
    cr_expect_not(tell(&scanner, bytes_of(line, sizeof(line)), &story), "a message line above the bound");
}

Test(bench_scanner, a_broken_end_is_found_when_the_payload_comes_in_pieces)
{
    static const char *const ends[] = {"X\n", "\rX"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t cut = 0; cut <= 2; cut++) {
            struct scanner scanner = {0};
            struct story story = {0};
            cr_assert(tell(&scanner, text("MSG a 1 20\r\n01234567890123456789"), &story));
            bool first = tell(&scanner, bytes_of(ends[i], cut), &story);
            bool second = first && tell(&scanner, bytes_of(ends[i] + cut, 2 - cut), &story);
            cr_expect_not(second, "end %zu cut at %zu", i, cut);
        }
    }
}
