/* Tests shards/streaming/outputs.c: order, waiting for positions, taking back, growth. */
#include "shards/streaming/outputs.h"

#include <criterion/criterion.h>
#include <stdio.h>

static bool put(struct outputs *outputs, const char *subject, const char *words, uint64_t position)
{
    struct streaming_output output = {.kind = STREAMING_OUTPUT_PUBLISH, .via = 3, .subject = text(subject)};
    uint8_t *body = outputs_put(outputs, &output, strlen(words), position);
    if (body != NULL)
        memcpy(body, words, strlen(words));
    return body != NULL;
}

Test(outputs, they_come_in_order_with_all_they_have)
{
    struct outputs outputs = {0};
    struct streaming_output output = {
        .kind = STREAMING_OUTPUT_PUBLISH, .via = 9, .subject = TEXT("subject"), .reply = TEXT("reply")};
    uint8_t *body = outputs_put(&outputs, &output, 4, 0);
    cr_assert_not_null(body);
    memcpy(body, "body", 4);
    cr_assert(put(&outputs, "second", "", 0));
    cr_assert(outputs_next(&outputs, 0, &output));
    cr_expect(bytes_equal(output.subject, TEXT("subject")) && bytes_equal(output.reply, TEXT("reply")) &&
              bytes_equal(output.body, TEXT("body")) && output.via == 9);
    cr_assert(outputs_next(&outputs, 0, &output));
    cr_expect(bytes_equal(output.subject, TEXT("second")) && output.reply.count == 0 &&
              output.body.count == 0);
    cr_expect_not(outputs_next(&outputs, UINT64_MAX, &output));
    outputs_close(&outputs);
}

Test(outputs, who_waits_for_the_disk_holds_back_those_behind)
{
    struct outputs outputs = {0};
    struct streaming_output output;
    cr_assert(put(&outputs, "a", "1", 10) && put(&outputs, "b", "2", 20) && put(&outputs, "c", "3", 5));
    cr_expect_not(outputs_next(&outputs, 9, &output));
    cr_expect(outputs_next(&outputs, 10, &output));
    cr_expect_not(outputs_next(&outputs, 19, &output));
    cr_expect(outputs_next(&outputs, 20, &output));
    cr_expect(outputs_next(&outputs, 20, &output));
    outputs_close(&outputs);
}

Test(outputs, what_is_given_back_comes_again)
{
    struct outputs outputs = {0};
    struct streaming_output output;
    cr_assert(put(&outputs, "a", "1", 0) && put(&outputs, "b", "2", 0));
    cr_assert(outputs_next(&outputs, 0, &output));
    cr_assert(outputs_next(&outputs, 0, &output));
    outputs_back(&outputs, 1);
    cr_assert(outputs_next(&outputs, 0, &output));
    cr_expect(bytes_equal(output.subject, TEXT("b")));
    outputs_close(&outputs);
}

Test(outputs, a_run_is_of_one_subject_and_size_and_has_no_reply)
{
    struct outputs outputs = {0};
    struct streaming_output output;
    struct bytes bodies[8];
    cr_assert(put(&outputs, "a", "1", 0) && put(&outputs, "a", "2", 0) && put(&outputs, "a", "3", 0));
    cr_assert(put(&outputs, "a", "four", 0) && put(&outputs, "b", "five", 0) &&
              put(&outputs, "b", "six.", 7));
    struct streaming_output request = {
        .kind = STREAMING_OUTPUT_PUBLISH, .via = 3, .subject = TEXT("c"), .reply = TEXT("r")};
    cr_assert_not_null(outputs_put(&outputs, &request, 0, 0));
    cr_assert_not_null(outputs_put(&outputs, &request, 0, 0));
    cr_assert(outputs_next(&outputs, 0, &output));
    cr_expect_eq(outputs_more(&outputs, 0, &output, bodies, 1), 1, "no more than is asked for");
    cr_expect(bytes_equal(bodies[0], TEXT("2")));
    cr_expect_eq(outputs_more(&outputs, 0, &output, bodies, 8), 1, "the fourth is longer");
    cr_expect(bytes_equal(bodies[0], TEXT("3")));
    cr_assert(outputs_next(&outputs, 0, &output));
    cr_expect_eq(outputs_more(&outputs, 0, &output, bodies, 8), 0, "another subject");
    cr_assert(outputs_next(&outputs, 0, &output));
    cr_expect_eq(outputs_more(&outputs, 0, &output, bodies, 8), 0, "it waits for the disk");
    cr_expect_eq(outputs_more(&outputs, 7, &output, bodies, 8), 1);
    cr_assert(outputs_next(&outputs, 0, &output));
    cr_expect_eq(outputs_more(&outputs, 0, &output, bodies, 8), 0, "they have a reply");
    outputs_close(&outputs);
}

Test(outputs, of_a_run_the_last_ones_can_be_given_back)
{
    for (uint32_t back = 1; back <= 5; back++) {
        struct outputs outputs = {0};
        struct streaming_output output;
        struct bytes bodies[8];
        char words[12];
        cr_assert(put(&outputs, "before", "0", 0));
        for (int i = 1; i <= 5; i++) {
            snprintf(words, sizeof words, "%d", i);
            cr_assert(put(&outputs, "a", words, 0));
        }
        cr_assert(outputs_next(&outputs, 0, &output));
        cr_assert(outputs_next(&outputs, 0, &output));
        cr_assert_eq(outputs_more(&outputs, 0, &output, bodies, 8), 4);
        outputs_back(&outputs, back);
        for (uint32_t i = 5 - back; i < 5; i++) {
            snprintf(words, sizeof words, "%u", i + 1);
            cr_assert(outputs_next(&outputs, 0, &output));
            cr_expect(bytes_equal(output.body, text(words)), "%u of 5 back, %s", back, words);
        }
        cr_expect_not(outputs_next(&outputs, 0, &output));
        outputs_close(&outputs);
    }
}

Test(outputs, growing_and_moving_loses_nothing)
{
    struct outputs outputs = {0};
    struct streaming_output output;
    char words[64];
    unsigned next = 0, taken = 0;
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < 100 + round; i++) {
            snprintf(words, sizeof words, "%u", next++);
            cr_assert(put(&outputs, "s", words, 0));
        }
        for (unsigned i = 0; i < 90 + round; i++) {
            snprintf(words, sizeof words, "%u", taken++);
            cr_assert(outputs_next(&outputs, 0, &output));
            cr_assert(bytes_equal(output.body, text(words)), "%s", words);
        }
    }
    outputs_close(&outputs);
}
