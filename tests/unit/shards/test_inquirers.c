/* Tests shards/inquirers.c: who has to wait for a thread, and who does not. */
#include "shards/inquirers.h"

#include <criterion/criterion.h>
#include <unistd.h>

enum { CLIENTS = INQUIRERS_MAX + 2, FOR_CLIENTS = INQUIRERS_MAX - INQUIRERS_KEPT };

/* A question whose responder says nothing until the test lets it. */
struct question {
    struct inquiry inquiry;
    sem_t *answer;
};

static void work(struct inquiry *inquiry, int stop_fd)
{
    (void)stop_fd;
    while (sem_wait(CONTAINER_OF(inquiry, struct question, inquiry)->answer) != 0)
        continue;
}

static void ask(struct inquirers *inquirers, struct question *question, sem_t *answer, bool of_client)
{
    *question = (struct question){.inquiry = {.work = work, .of_client = of_client}, .answer = answer};
    cr_assert_eq(inquirers_ask(inquirers, &question->inquiry), ERR_OK);
}

/* Waits for one that is done. */
static struct inquiry *take(struct inquirers *inquirers)
{
    struct inquiry *done;
    uint64_t count;
    while ((done = inquirers_take(inquirers)) == NULL)
        cr_assert_eq(read(inquirers->done_fd, &count, sizeof count), sizeof count);
    return done;
}

Test(inquirers, clients_leave_threads_to_others)
{
    struct inquirers inquirers = {0};
    struct question clients[CLIENTS], others[2];
    sem_t silent, spoken;
    cr_assert(sem_init(&silent, 0, 0) == 0 && sem_init(&spoken, 0, (unsigned)COUNT_OF(others)) == 0);
    cr_assert_eq(inquirers_init(&inquirers), ERR_OK);
    for (int i = 0; i < CLIENTS; i++)
        ask(&inquirers, &clients[i], &silent, true);
    cr_expect_eq(inquirers.for_clients, FOR_CLIENTS);
    cr_expect_eq(inquirers.waiting_counts[true], CLIENTS - FOR_CLIENTS);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        ask(&inquirers, &others[i], &spoken, false);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        cr_expect_not(take(&inquirers)->of_client);
    cr_expect_eq(inquirers.for_clients, FOR_CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        sem_post(&silent);
        cr_expect(take(&inquirers)->of_client);
    }
    cr_expect_eq(inquirers.for_clients + inquirers.waiting_counts[true], 0);
    inquirers_stop(&inquirers);
    inquirers_close(&inquirers);
}

Test(inquirers, who_waits_may_be_taken_back)
{
    struct inquirers inquirers = {0};
    struct question clients[FOR_CLIENTS + 2];
    sem_t silent;
    cr_assert_eq(sem_init(&silent, 0, 0), 0);
    cr_assert_eq(inquirers_init(&inquirers), ERR_OK);
    for (int i = 0; i < FOR_CLIENTS + 2; i++)
        ask(&inquirers, &clients[i], &silent, true);
    cr_expect_not(inquirers_withdraw(&inquirers, &clients[0].inquiry), "it is a thread's");
    cr_expect(inquirers_withdraw(&inquirers, &clients[FOR_CLIENTS].inquiry));
    cr_expect_not(inquirers_withdraw(&inquirers, &clients[FOR_CLIENTS].inquiry), "it is back already");
    cr_expect_eq(inquirers.waiting_counts[true], 1);
    for (int i = 0; i < FOR_CLIENTS + 1; i++) {
        sem_post(&silent);
        cr_expect_neq(take(&inquirers), &clients[FOR_CLIENTS].inquiry);
    }
    cr_expect_null(inquirers_take(&inquirers));
    inquirers_stop(&inquirers);
    inquirers_close(&inquirers);
}
