/* tests/unit/bench/test_frames.c - blocks of frames, and the arithmetic of who gets how many messages,
 * against a simple count. */
#include "bench/frames.h"

#include <criterion/criterion.h>
#include <string.h>

static struct options options_of(uint64_t publishers, uint64_t subscribers, uint64_t subjects)
{
    return (struct options){.command = COMMAND_PUBSUB,
                            .subject = "s",
                            .size_bytes = 3,
                            .publishers = publishers,
                            .subscribers = subscribers,
                            .subjects = subjects};
}

Test(bench_frames, forms_are_those_of_the_protocol)
{
    static const struct {
        enum frames_form form;
        bool headers;
        uint64_t subjects;
        const char *start;
    } rows[] = {
        {FRAMES_PUB, false, 1, "PUB s 3\r\nxxx\r\nPUB s 3\r\n"},
        {FRAMES_MSG, false, 1, "MSG s 1 3\r\nxxx\r\nMSG s 1 3\r\n"},
        {FRAMES_PUB, true, 1, "HPUB s 22 25\r\nNATS/1.0\r\nBench: 1\r\n\r\nxxx\r\nHPUB s"},
        {FRAMES_PUB, false, 11, "PUB s.00 3\r\nxxx\r\nPUB s.01 3\r\nxxx\r\nPUB s.02 3\r\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct options options = options_of(1, 1, rows[i].subjects);
        options.headers = rows[i].headers;
        struct frames frames;
        struct failure failure = {0};
        cr_assert_eq(frames_init(&frames, &options, rows[i].form, 0, &failure), ERR_OK);
        cr_expect_eq(memcmp(frames.block, rows[i].start, strlen(rows[i].start)), 0, "row %zu: %.60s", i,
                     (const char *)frames.block);
        cr_expect_eq(frames.block[frames.frame_bytes - 1], '\n');
        cr_expect_eq(memcmp(frames.block + frames.payload_offset, "xxx\r\n", 5), 0, "row %zu", i);
        frames_close(&frames);
    }
}

Test(bench_frames, a_write_may_start_anywhere_in_a_cycle_and_stays_inside_the_block)
{
    struct options options = options_of(3, 1, 7);
    struct frames frames;
    struct failure failure = {0};
    cr_assert_eq(frames_init(&frames, &options, FRAMES_PUB, 2, &failure), ERR_OK);
    cr_expect_eq(frames.cycle, 7);
    cr_expect_eq(frames.cycle_bytes, 7 * frames.frame_bytes);
    cr_expect_geq(frames.block_bytes, frames.cycle_bytes + FRAMES_WRITE_BYTES);
    for (size_t i = frames.cycle_bytes; i < frames.block_bytes; i++)
        cr_assert_eq(frames.block[i], frames.block[i - frames.cycle_bytes]);
    frames_close(&frames);
}

Test(bench_frames, the_sums_agree_with_counting_message_by_message)
{
    static const struct {
        uint64_t publishers;
        uint64_t subscribers;
        uint64_t subjects;
        bool queue;
    } rows[] = {{1, 1, 1, false},  {10, 100, 10, false}, {3, 7, 5, false}, {3, 7, 5, true},
                {4, 3, 10, false}, {7, 0, 3, false},     {6, 9, 4, true},  {1, 5, 12, false}};
    enum { MESSAGES = 1009 };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct options options = options_of(rows[i].publishers, rows[i].subscribers, rows[i].subjects);
        options.queue = rows[i].queue ? "q" : NULL;
        uint64_t expected = 0;
        uint64_t by_subject[16] = {0};
        for (uint64_t n = 0; n < MESSAGES; n++) {
            uint64_t listeners = 0;
            for (uint64_t s = 0; s < rows[i].subscribers; s++)
                listeners += s % rows[i].subjects == n % rows[i].subjects ? 1 : 0;
            expected += rows[i].queue && listeners > 0 ? 1 : listeners;
            by_subject[n % rows[i].subjects]++;
        }
        for (uint64_t s = 0; s < rows[i].subjects; s++)
            cr_expect_eq(frames_on_subject(&options, MESSAGES, s), by_subject[s], "row %zu, subject %d", i,
                         (int)s);
        uint64_t due = 0;
        uint64_t messages = 0;
        for (uint64_t j = 0; j < rows[i].publishers; j++) {
            struct frames frames;
            struct failure failure = {0};
            cr_assert_eq(frames_init(&frames, &options, FRAMES_PUB, j, &failure), ERR_OK);
            messages += frames_of_publisher(&options, MESSAGES, j);
            due += frames_due(&frames, frames_of_publisher(&options, MESSAGES, j));
            frames_close(&frames);
        }
        cr_expect_eq(messages, MESSAGES, "row %zu", i);
        cr_expect_eq(due, expected, "row %zu", i);
    }
}

Test(bench_frames, a_block_that_would_be_too_large_is_refused)
{
    struct options options = options_of(1, 1, OPTION_SUBJECTS_MAX);
    options.size_bytes = OPTION_SIZE_BYTES_MAX;
    struct frames frames;
    struct failure failure = {0};
    cr_expect_eq(frames_init(&frames, &options, FRAMES_PUB, 0, &failure), ERR_FULL);
    cr_expect_neq(failure.text[0], '\0');
}
