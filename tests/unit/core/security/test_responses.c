/* core/security/responses.c: replies are remembered, counted, and forgotten. */
#include "core/base/language.h"
#include "core/base/random.h"
#include "core/security/responses.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(responses, are_taken_as_often_as_the_rule_says)
{
    static const struct permission_responses once = {.expires_ns = 100, .count_max = 1, .given = true};
    static const struct permission_responses thrice = {.expires_ns = -1, .count_max = 3, .given = true};
    static const struct permission_responses always = {.expires_ns = -1, .count_max = -1, .given = true};
    static const struct {
        const struct permission_responses *rule;
        int allowed;
    } rows[] = {{&once, 1}, {&thrice, 3}, {&always, 9}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct responses responses = {0};
        cr_expect_not(responses_take(&responses, rows[i].rule, TEXT("r"), 10));
        responses_note(&responses, rows[i].rule, TEXT("r"), 10);
        int allowed = 0;
        while (allowed < 9 && responses_take(&responses, rows[i].rule, TEXT("r"), 20))
            allowed++;
        cr_expect_eq(allowed, rows[i].allowed, "row %zu", i);
        cr_expect_not(responses_take(&responses, rows[i].rule, TEXT("other"), 20));
        responses_note(&responses, rows[i].rule, TEXT("r"), 30);
        cr_expect(responses_take(&responses, rows[i].rule, TEXT("r"), 30),
                  "asked again, it may answer again");
        responses_close(&responses);
    }
}

Test(responses, grow_old)
{
    static const struct permission_responses rule = {.expires_ns = 100, .count_max = 5, .given = true};
    struct responses responses = {0};
    responses_note(&responses, &rule, TEXT("r"), 1000);
    cr_expect(responses_take(&responses, &rule, TEXT("r"), 1100));
    cr_expect_not(responses_take(&responses, &rule, TEXT("r"), 1101));
    cr_expect_eq(responses.count, 0);
    for (int i = 0; i < 100; i++) {
        char reply[16];
        int count = snprintf(reply, sizeof reply, "r%d", i);
        responses_note(&responses, &rule, bytes_of(reply, (size_t)count), 2000 + i * 200);
        cr_expect_leq(responses.count, 2, "the old ones go as new ones come");
    }
    responses_close(&responses);
}

/* Against an array that knows for each of a few replies whether it is remembered. */
Test(responses, agree_with_a_model)
{
    enum { REPLIES = 200 };
    static const struct permission_responses rule = {.expires_ns = -1, .count_max = 1, .given = true};
    struct responses responses = {0};
    struct random random;
    bool known[REPLIES] = {0};
    random_seed(&random, 5);
    for (int step = 0; step < 50000; step++) {
        char reply[32];
        uint32_t which = random_below(&random, REPLIES);
        struct bytes bytes = bytes_of(reply, (size_t)snprintf(reply, sizeof reply, "_INBOX.%u", which));
        if (random_below(&random, 2) == 0) {
            responses_note(&responses, &rule, bytes, step);
            known[which] = true;
        } else {
            cr_assert_eq(responses_take(&responses, &rule, bytes, step), known[which], "step %d", step);
            if (known[which])
                cr_assert_not(responses_take(&responses, &rule, bytes, step));
            known[which] = false;
        }
    }
    responses_close(&responses);
}

Test(responses, are_bounded_and_the_oldest_goes)
{
    static const struct permission_responses rule = {.expires_ns = -1, .count_max = 1, .given = true};
    struct responses responses = {0};
    for (uint32_t i = 0; i <= RESPONSES_MAX; i++)
        responses_note(&responses, &rule, bytes_of(&i, sizeof i), i);
    uint32_t first = 0, second = 1;
    cr_expect_eq(responses.count, RESPONSES_MAX);
    cr_expect_not(responses_take(&responses, &rule, bytes_of(&first, sizeof first), 0));
    cr_expect(responses_take(&responses, &rule, bytes_of(&second, sizeof second), 0));
    responses_close(&responses);
}
