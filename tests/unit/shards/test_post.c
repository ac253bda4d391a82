/* Tests shards/post.c: mail between threads, causes before effects. */
#include "shards/post.h"

#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <string.h>

enum { SEEN_MAX = 8 };

struct seen {
    uint32_t numbers[SEEN_MAX];
    uint32_t count;
};

static void put(struct post *post, uint32_t to, uint32_t number)
{
    uint8_t *record = post_reserve(post, to, sizeof number, false);
    cr_assert_not_null(record);
    memcpy(record, &number, sizeof number);
    post_commit(post, to, sizeof number);
}

static void take(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct seen *seen = context;
    (void)from;
    cr_assert_eq(bytes, sizeof(uint32_t));
    memcpy(&seen->numbers[seen->count++], mail, bytes);
}

/* Goal: what thread 0 made of a mail does not overtake the mail of the same sender that came before it,
 * although thread 0's mailbox is looked at first. Method: the three threads' ends are worked by hand, one
 * after the other. */
Test(post, an_effect_never_comes_before_its_cause)
{
    struct post_office office;
    cr_assert_eq(post_office_init(&office, 3, MAILBOX_BYTES_LEAST), ERR_OK);
    struct post zero = {.office = &office, .self = 0};
    struct post one = {.office = &office, .self = 1};
    struct post two = {.office = &office, .self = 2};
    struct seen seen = {0};
    put(&two, 1, 1); /* the cause, straight to thread 1 */
    put(&two, 0, 2); /* and what thread 0 passes on */
    post_flush(&two);
    post_drain(&zero, take, &seen);
    cr_assert_eq(seen.count, 1);
    put(&zero, 1, 3);
    post_flush(&zero);
    seen.count = 0;
    post_drain(&one, take, &seen);
    cr_assert_eq(seen.count, 2);
    cr_expect_eq(seen.numbers[0], 1);
    cr_expect_eq(seen.numbers[1], 3);
    post_office_close(&office);
}

Test(post, nothing_is_seen_before_the_flush_and_everything_after_it)
{
    struct post_office office;
    cr_assert_eq(post_office_init(&office, 3, MAILBOX_BYTES_LEAST), ERR_OK);
    struct post zero = {.office = &office, .self = 0};
    struct post one = {.office = &office, .self = 1};
    struct seen seen = {0};
    put(&zero, 1, 7);
    post_drain(&one, take, &seen);
    cr_expect_eq(seen.count, 0);
    cr_expect(post_may_sleep(&one));
    post_flush(&zero);
    cr_expect_not(post_may_sleep(&one), "mail came: it must not sleep");
    post_drain(&one, take, &seen);
    cr_expect_eq(seen.count, 1);
    post_office_close(&office);
}

Test(post, an_end_is_seen_ahead_of_the_mail_before_it)
{
    struct post_office office;
    cr_assert_eq(post_office_init(&office, 2, MAILBOX_BYTES_LEAST), ERR_OK);
    struct post zero = {.office = &office, .self = 0};
    struct post one = {.office = &office, .self = 1};
    struct seen seen = {0};
    put(&zero, 1, 7);
    cr_expect_not(post_end_announced(&one));
    post_end_announce(&zero);
    cr_expect(post_end_announced(&one));
    post_flush(&zero);
    post_drain(&one, take, &seen);
    cr_expect_eq(seen.count, 1, "the mail is there all the same");
    post_office_close(&office);
}

/* On an error it has let go of everything and is closed, which may be said twice: the way out of a start that
 * failed closes what was opened and what was not. */
Test(post, an_office_that_memory_refuses_is_closed)
{
    FOR_EACH_FAULT(plan)
    {
        struct post_office office;
        enum err err = post_office_init(&office, 4, MAILBOX_BYTES_LEAST);
        cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
        if (err != ERR_OK) {
            cr_assert_eq(office.threads, 0);
            cr_assert_null(office.boxes);
            cr_assert_null(office.wakeups);
        }
        post_office_close(&office);
    }
}
