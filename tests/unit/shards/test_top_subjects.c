/* Tests shards/top_subjects.h: which subjects are published most. */
#include "shards/top_subjects.h"

#include "core/base/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SEED = 7 };

static struct top_subjects *watching(int64_t now_ns)
{
    struct top_subjects *top = top_subjects_new(SEED, now_ns);
    cr_assert_not_null(top);
    return top;
}

static void pass(struct top_subjects *top, const char *subject, uint32_t messages)
{
    top_subjects_pass(top, 1, text(subject), messages, 10);
}

/* Of the last window; NULL when it is not there. */
static const struct top_subject *find(const struct top_subjects *top, const char *subject)
{
    for (uint32_t i = 0; i < top->last.count; i++) {
        const struct top_subject *one = &top->last.subjects[i];
        if (bytes_equal(bytes_of(one->text, one->count), text(subject)))
            return one;
    }
    return NULL;
}

static void expect_about(const struct top_subjects *top, const char *subject, double messages)
{
    const struct top_subject *found = find(top, subject);
    cr_assert_not_null(found, "%s is missing", subject);
    double told = (double)(found->messages - found->error);
    cr_expect(told > messages * 0.9 && told < messages * 1.1, "%s: %.0f, not about %.0f", subject, told,
              messages);
    cr_expect_eq(found->bytes, found->messages * 10, "%s", subject);
}

struct mix {
    const char *name;
    uint32_t first, second, third; /* messages of a run of each, in turn */
};

static const struct mix mixes[] = {
    {"one by one", 1, 1, 1},
    {"runs longer than the gap beside single ones", 30, 10, 1},
    {"long runs", 5000, 20000, 700},
    {"what is published least comes first", 1, 10, 100},
};

Test(top_subjects, shares_are_right_however_messages_come)
{
    for (size_t i = 0; i < COUNT_OF(mixes); i++) {
        const struct mix *mix = &mixes[i];
        struct top_subjects *top = watching(1);
        for (int window = 0; window < 2; window++) { /* with the first gap, and with one that fits */
            double turns = 0;
            while (top->open.messages < 4000000) {
                pass(top, "first", mix->first);
                pass(top, "second", mix->second);
                pass(top, "third", mix->third);
                turns++;
            }
            uint64_t messages = top->open.messages;
            top_subjects_ask(top, 1 + 2 * NS_PER_SECOND * (window + 1));
            cr_expect_eq(top->last.messages, messages, "%s", mix->name);
            expect_about(top, "first", turns * mix->first);
            expect_about(top, "second", turns * mix->second);
            if (mix->third * 50 > mix->first) /* of one in fifty too few are looked at to say more */
                expect_about(top, "third", turns * mix->third);
        }
        top_subjects_free(top);
    }
}

Test(top_subjects, a_quiet_window_is_counted_to_the_message)
{
    struct top_subjects *top = watching(1);
    top_subjects_ask(top, 1 + 2 * NS_PER_SECOND);
    for (int i = 0; i < 7; i++)
        pass(top, i < 5 ? "five" : "two", 1);
    top_subjects_ask(top, 1 + 4 * NS_PER_SECOND);
    cr_expect_eq(find(top, "five")->messages, 5);
    cr_expect_eq(find(top, "two")->messages, 2);
    top_subjects_free(top);
}

Test(top_subjects, windows_end_when_somebody_asks_but_not_at_once)
{
    struct top_subjects *top = watching(1);
    cr_expect_eq(top->last.end_ns, 0);
    top_subjects_ask(top, 1 + NS_PER_SECOND); /* too early */
    cr_expect_eq(top->last.end_ns, 0);
    top_subjects_ask(top, 1 + 2 * NS_PER_SECOND);
    cr_expect_eq(top->last.end_ns - top->last.begin_ns, 2 * NS_PER_SECOND);
    top_subjects_ask(top, 2 + 2 * NS_PER_SECOND); /* another one who looks is told of the same window */
    cr_expect_eq(top->last.end_ns - top->last.begin_ns, 2 * NS_PER_SECOND);
    top_subjects_ask(top, 3600 * NS_PER_SECOND); /* nobody watched: nothing is known */
    cr_expect_eq(top->last.end_ns, 0);
    cr_expect_eq(top->last.count, 0);
    top_subjects_free(top);
}

Test(top_subjects, the_largest_are_found_among_more_than_there_are_counters)
{
    struct top_subjects *top = watching(1);
    uint32_t best[TOP_SUBJECTS_TOLD];
    for (uint32_t i = 0; i < 400000; i++) {
        char subject[32];
        snprintf(subject, sizeof subject, "once.%u", i);
        pass(top, subject, 1);
        if (i % 2 == 0)
            pass(top, i % 8 == 0 ? "often" : "more", 1);
    }
    top_subjects_ask(top, 1 + 2 * NS_PER_SECOND);
    uint32_t count = top_subjects_best(top, best);
    cr_assert_eq(count, TOP_SUBJECTS_TOLD);
    cr_expect_eq(memcmp(top->last.subjects[best[0]].text, "more", 4), 0);
    cr_expect_eq(memcmp(top->last.subjects[best[1]].text, "often", 5), 0);
    for (uint32_t i = 1; i < count; i++) {
        const struct top_subject *before = &top->last.subjects[best[i - 1]];
        const struct top_subject *one = &top->last.subjects[best[i]];
        cr_expect(before->messages - before->error >= one->messages - one->error, "in order at %u", i);
    }
    const struct top_subject *once = &top->last.subjects[best[count - 1]];
    cr_expect(once->messages - once->error < 2000, "what a counter had before is not told: %llu",
              (unsigned long long)(once->messages - once->error));
    top_subjects_free(top);
}

Test(top_subjects, fewer_than_are_told_are_told_once_each)
{
    struct top_subjects *top = watching(1);
    uint32_t best[TOP_SUBJECTS_TOLD];
    top_subjects_ask(top, 1 + 2 * NS_PER_SECOND);
    cr_expect_eq(top_subjects_best(top, best), 0);
    for (uint32_t i = 0; i < 3; i++)
        pass(top, i == 1 ? "b" : i == 0 ? "a" : "c", i == 1 ? 9 : i + 1);
    top_subjects_ask(top, 1 + 4 * NS_PER_SECOND);
    cr_assert_eq(top_subjects_best(top, best), 3);
    for (uint32_t i = 0; i < 3; i++)
        cr_expect_eq(top->last.subjects[best[i]].text[0], "bca"[i]);
    top_subjects_free(top);
}

Test(top_subjects, inboxes_are_one_long_subjects_are_cut_accounts_are_apart)
{
    struct top_subjects *top = watching(1);
    char longer[2 * TOP_SUBJECT_BYTES + 1];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    top_subjects_ask(top, 1 + 2 * NS_PER_SECOND);
    pass(top, "_INBOX.a.1", 1);
    pass(top, "_INBOX.b", 1);
    pass(top, longer, 1);
    pass(top, "same", 1);
    top_subjects_pass(top, 2, TEXT("same"), 1, 10);
    top_subjects_ask(top, 1 + 4 * NS_PER_SECOND);
    cr_expect_eq(top->last.count, 4);
    cr_expect_eq(find(top, "_INBOX.>")->messages, 2);
    cr_expect_not(find(top, "_INBOX.>")->cut);
    longer[TOP_SUBJECT_BYTES] = 0;
    cr_expect(find(top, longer)->cut);
    top_subjects_free(top);
}
