/* Tests core/loop/mailbox.c and wakeup.c: order, wrap-around, fullness, visibility; two threads under TSan.
 */
#include "core/loop/mailbox.h"
#include "core/loop/wakeup.h"

#include "core/base/random.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static bool put_number(struct mailbox *box, uint64_t number, uint32_t bytes, bool spare)
{
    uint8_t *record = spare ? mailbox_reserve_spare(box, bytes) : mailbox_reserve(box, bytes);
    if (record == NULL)
        return false;
    memset(record, (int)(number & 0xff), bytes);
    memcpy(record, &number, sizeof number);
    mailbox_commit(box, bytes, number * 3);
    return true;
}

static uint64_t number_of(const uint8_t *record);

static const uint8_t *take_next(struct mailbox *box, uint32_t *bytes)
{
    uint64_t stamp = 0;
    (void)mailbox_collect(box);
    const uint8_t *record = mailbox_next(box, bytes, &stamp);
    if (record != NULL)
        cr_assert_eq(stamp, number_of(record) * 3);
    return record;
}

static uint64_t number_of(const uint8_t *record)
{
    uint64_t number;
    memcpy(&number, record, sizeof number);
    return number;
}

Test(mailbox, what_is_not_flushed_is_not_seen)
{
    struct mailbox box;
    uint32_t bytes = 0;
    cr_assert_eq(mailbox_init(&box, 1), ERR_OK);
    cr_expect_eq(box.ring_bytes, MAILBOX_BYTES_LEAST);
    cr_assert(put_number(&box, 7, 16, false));
    cr_expect_null(take_next(&box, &bytes));
    cr_expect(mailbox_flush(&box));
    cr_expect_not(mailbox_flush(&box));
    cr_expect_not(mailbox_empty(&box));
    const uint8_t *record = take_next(&box, &bytes);
    cr_assert_not_null(record);
    cr_expect_eq(bytes, 16);
    cr_expect_eq(number_of(record), 7);
    mailbox_take(&box);
    cr_expect(mailbox_empty(&box));
    mailbox_close(&box);
}

Test(mailbox, what_was_not_collected_is_not_taken)
{
    struct mailbox box;
    uint32_t bytes = 0;
    cr_assert_eq(mailbox_init(&box, 1), ERR_OK);
    cr_assert(put_number(&box, 1, 16, false));
    (void)mailbox_flush(&box);
    uint64_t stamp = 0;
    cr_expect_null(mailbox_next(&box, &bytes, &stamp));
    cr_expect(mailbox_collect(&box));
    cr_expect_not(mailbox_collect(&box));
    cr_expect_not_null(mailbox_next(&box, &bytes, &stamp));
    mailbox_close(&box);
}

/* Goal: whoever was told that there is room finds it, in whatever order the records come, wherever the ring's
 * end lies. Method: random fills, then the promise is used up. */
Test(mailbox, room_for_records_of_two_sizes_is_there_in_any_order)
{
    struct mailbox box;
    struct random random;
    uint32_t bytes = 0;
    uint32_t promised = 0;
    random_seed(&random, 7);
    cr_assert_eq(mailbox_init(&box, 1), ERR_OK);
    for (uint64_t round = 0; round < 20000; round++) {
        uint32_t sizes[2] = {8 + random_below(&random, 4000), 8 + random_below(&random, 4000)};
        uint32_t left[2] = {random_below(&random, 5), random_below(&random, 5)};
        if (mailbox_has_room_for_both(&box, sizes[0], left[0], sizes[1], left[1])) {
            promised++;
            while (left[0] + left[1] > 0) {
                uint32_t kind = left[0] == 0 || (left[1] > 0 && random_below(&random, 2) == 0);
                cr_assert(put_number(&box, round, sizes[kind], false), "round %lu", (unsigned long)round);
                left[kind]--;
            }
            (void)mailbox_flush(&box);
        }
        for (uint32_t takes = random_below(&random, 8); takes > 0 && take_next(&box, &bytes) != NULL; takes--)
            mailbox_take(&box);
        mailbox_done(&box);
    }
    cr_expect_gt(promised, 1000);
    cr_expect_lt(promised, 20000, "sometimes there is none");
    mailbox_close(&box);
}

Test(mailbox, full_refuses_and_the_spare_part_is_left_for_those_that_cannot_wait)
{
    struct mailbox box;
    uint32_t bytes = 0;
    uint64_t count = 0;
    uint64_t spare = 0;
    cr_assert_eq(mailbox_init(&box, MAILBOX_BYTES_LEAST), ERR_OK);
    while (put_number(&box, count, 1000, false))
        count++;
    cr_expect_eq(count, (MAILBOX_BYTES_LEAST - MAILBOX_SPARE_BYTES) / 1016);
    cr_expect_not(mailbox_has_room_for(&box, 1000, 1));
    while (put_number(&box, count + spare, 1000, true))
        spare++;
    cr_expect_eq(count + spare, MAILBOX_BYTES_LEAST / 1016);
    (void)mailbox_flush(&box);
    for (uint64_t i = 0; i < count + spare; i++) {
        const uint8_t *record = take_next(&box, &bytes);
        cr_assert_not_null(record);
        cr_expect_eq(number_of(record), i);
        mailbox_take(&box);
    }
    cr_expect_not(mailbox_has_room_for(&box, 1000, 1), "the room comes back with mailbox_done() only");
    mailbox_done(&box);
    cr_expect(mailbox_has_room_for(&box, 1000, 1));
    mailbox_close(&box);
}

Test(mailbox, more_records_than_the_ring_can_hold_ask_for_an_empty_ring)
{
    struct mailbox box;
    uint32_t bytes = 0;
    cr_assert_eq(mailbox_init(&box, MAILBOX_BYTES_LEAST), ERR_OK);
    cr_expect(mailbox_has_room_for(&box, 1000, 1000000));
    cr_assert(put_number(&box, 1, 8, false));
    cr_expect_not(mailbox_has_room_for(&box, 1000, 1000000));
    (void)mailbox_flush(&box);
    cr_assert_not_null(take_next(&box, &bytes));
    mailbox_take(&box);
    mailbox_done(&box);
    cr_expect(mailbox_has_room_for(&box, 1000, 1000000));
    mailbox_close(&box);
}

/* Goal: every record arrives whole and in order over many turns round the ring.
 * Method: random sizes from a fixed seed, a reader that takes a random number of them. */
Test(mailbox, records_of_all_sizes_go_round_the_ring_in_order)
{
    struct mailbox box;
    struct random random;
    uint32_t bytes = 0;
    uint64_t written = 0;
    uint64_t read = 0;
    uint32_t sizes[64];
    random_seed(&random, 20261124);
    cr_assert_eq(mailbox_init(&box, MAILBOX_BYTES_LEAST), ERR_OK);
    while (read < 200000) {
        for (uint32_t burst = random_below(&random, 30); burst > 0 && written - read < 64; burst--) {
            uint32_t size = 8 + random_below(&random, random_below(&random, 50) == 0 ? 8000 : 300);
            if (!put_number(&box, written, size, false))
                break;
            sizes[written++ % 64] = size;
        }
        (void)mailbox_flush(&box);
        for (uint32_t burst = random_below(&random, 30); burst > 0; burst--) {
            const uint8_t *record = take_next(&box, &bytes);
            if (record == NULL)
                break;
            cr_assert_eq(number_of(record), read);
            cr_assert_eq(bytes, sizes[read % 64]);
            for (uint32_t i = 8; i < bytes; i++)
                cr_assert_eq(record[i], (uint8_t)read);
            read++;
            mailbox_take(&box);
        }
        mailbox_done(&box);
    }
    mailbox_close(&box);
}

struct pair {
    struct mailbox box;
    struct wakeup wakeup;
    uint64_t count;
};

static void *write_all(void *argument)
{
    struct pair *pair = argument;
    struct random random;
    random_seed(&random, 1);
    for (uint64_t i = 0; i < pair->count;) {
        if (put_number(&pair->box, i, 8 + random_below(&random, 400), false))
            i++;
        else
            sched_yield();
        if (random_below(&random, 8) == 0 || i == pair->count || !mailbox_has_room_for(&pair->box, 408, 1)) {
            (void)mailbox_flush(&pair->box);
            (void)wakeup_wake(&pair->wakeup);
        }
    }
    (void)mailbox_flush(&pair->box);
    (void)wakeup_wake(&pair->wakeup);
    return NULL;
}

/* Goal: no record and no wake-up is lost between two threads. Method: the reader sleeps whenever it may; a
 * lost wake-up is a hang, which Criterion's time limit turns red. */
Test(mailbox, a_sleeping_reader_is_woken_for_every_record, .timeout = 60)
{
    static struct pair pair;
    pthread_t writer;
    uint64_t seen = 0;
    pair.count = 100000;
    cr_assert_eq(mailbox_init(&pair.box, MAILBOX_BYTES_LEAST), ERR_OK);
    cr_assert_eq(wakeup_init(&pair.wakeup), ERR_OK);
    cr_assert_eq(pthread_create(&writer, NULL, write_all, &pair), 0);
    while (seen < pair.count) {
        uint32_t bytes = 0;
        const uint8_t *record;
        wakeup_prepare_sleep(&pair.wakeup);
        if (mailbox_empty(&pair.box)) {
            uint64_t ignored;
            cr_assert_eq(read(pair.wakeup.event_fd, &ignored, sizeof ignored), (ssize_t)sizeof ignored);
        }
        wakeup_awake(&pair.wakeup);
        while ((record = take_next(&pair.box, &bytes)) != NULL) {
            cr_assert_eq(number_of(record), seen);
            seen++;
            mailbox_take(&pair.box);
        }
        mailbox_done(&pair.box);
    }
    pthread_join(writer, NULL);
    wakeup_close(&pair.wakeup);
    mailbox_close(&pair.box);
}
