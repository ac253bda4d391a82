/* shards/inquirers.c - see inquirers.h. A semaphore each way is all that the two sides share. */
#include "shards/inquirers.h"

#include "core/base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void *run(void *argument)
{
    struct inquirer *inquirer = argument;
    for (;;) {
        while (sem_wait(&inquirer->wanted) != 0 && errno == EINTR)
            continue;
        if (inquirer->inquiry == NULL)
            return NULL; /* the end */
        inquirer->inquiry->work(inquirer->inquiry, inquirer->all->stop_fd);
        sem_post(&inquirer->finished);
        (void)eventfd_write(inquirer->all->done_fd, 1); /* full: then it is readable already */
    }
}

enum err inquirers_init(struct inquirers *inquirers)
{
    *inquirers = (struct inquirers){.done_fd = eventfd(0, EFD_CLOEXEC), .stop_fd = eventfd(0, EFD_CLOEXEC)};
    for (size_t i = 0; i < COUNT_OF(inquirers->waiting); i++)
        list_init(&inquirers->waiting[i]);
    if (inquirers->done_fd >= 0 && inquirers->stop_fd >= 0)
        return ERR_OK;
    inquirers_close(inquirers);
    return ERR_SYSTEM;
}

/* What it works at ends soon; then its next semaphore means the end. */
static void join(struct inquirers *inquirers, struct inquirer *inquirer)
{
    struct inquiry *inquiry = inquirer->inquiry;
    while (inquiry != NULL && sem_wait(&inquirer->finished) != 0)
        continue;
    inquirer->inquiry = NULL;
    sem_post(&inquirer->wanted);
    pthread_join(inquirer->thread, NULL);
    sem_destroy(&inquirer->wanted);
    sem_destroy(&inquirer->finished);
    inquirer->started = false;
    if (inquiry != NULL)
        list_push_last(&inquirers->waiting[inquiry->of_client], &inquiry->waiting);
}

void inquirers_stop(struct inquirers *inquirers)
{
    if (inquirers->waiting[0].ends.next == NULL || inquirers->stopped)
        return;
    inquirers->stopped = true;
    if (inquirers->stop_fd >= 0)
        (void)eventfd_write(inquirers->stop_fd, 1);
    for (int i = 0; i < INQUIRERS_MAX; i++) {
        if (inquirers->threads[i].started)
            join(inquirers, &inquirers->threads[i]);
    }
}

void inquirers_close(struct inquirers *inquirers)
{
    if (inquirers->waiting[0].ends.next == NULL)
        return;
    for (size_t i = 0; i < COUNT_OF(inquirers->waiting); i++)
        ASSERT(list_empty(&inquirers->waiting[i]));
    if (inquirers->done_fd >= 0)
        close(inquirers->done_fd);
    if (inquirers->stop_fd >= 0)
        close(inquirers->stop_fd);
    *inquirers = (struct inquirers){.done_fd = -1, .stop_fd = -1};
}

static bool start(struct inquirers *inquirers, struct inquirer *inquirer)
{
    inquirer->all = inquirers;
    if (sem_init(&inquirer->wanted, 0, 0) != 0 || sem_init(&inquirer->finished, 0, 0) != 0)
        return false;
    inquirer->started = pthread_create(&inquirer->thread, NULL, run, inquirer) == 0;
    return inquirer->started;
}

/* One without work; a new one is started if need be. NULL: all work, or the system has no more threads. */
static struct inquirer *idle_find(struct inquirers *inquirers)
{
    for (int i = 0; i < INQUIRERS_MAX; i++) {
        struct inquirer *inquirer = &inquirers->threads[i];
        if (inquirer->inquiry == NULL && (inquirer->started || start(inquirers, inquirer)))
            return inquirer;
    }
    return NULL;
}

static void give(struct inquirers *inquirers, struct inquirer *inquirer, struct inquiry *inquiry)
{
    ASSERT(inquirer->inquiry == NULL);
    inquirer->inquiry = inquiry;
    inquirers->for_clients += inquiry->of_client;
    sem_post(&inquirer->wanted);
}

/* Whether a thread without work may have one of that kind. */
static bool may_have(const struct inquirers *inquirers, bool of_client)
{
    return !of_client || inquirers->for_clients < INQUIRERS_MAX - INQUIRERS_KEPT;
}

enum err inquirers_ask(struct inquirers *inquirers, struct inquiry *inquiry)
{
    bool now = !inquirers->stopped && may_have(inquirers, inquiry->of_client);
    struct inquirer *idle = now ? idle_find(inquirers) : NULL;
    if (idle != NULL) {
        give(inquirers, idle, inquiry);
        return ERR_OK;
    }
    /* Without a single thread nobody would ever come back to take what waits. */
    if (inquirers->waiting_counts[inquiry->of_client] == INQUIRIES_WAITING_MAX ||
        !inquirers->threads[0].started)
        return ERR_FULL;
    list_push_last(&inquirers->waiting[inquiry->of_client], &inquiry->waiting);
    inquirers->waiting_counts[inquiry->of_client]++;
    return ERR_OK;
}

bool inquirers_withdraw(struct inquirers *inquirers, struct inquiry *inquiry)
{
    if (!list_linked(&inquiry->waiting))
        return false;
    list_remove(&inquiry->waiting);
    if (!inquirers->stopped)
        inquirers->waiting_counts[inquiry->of_client]--;
    return true;
}

static struct inquiry *first_take(struct inquirers *inquirers, bool of_client)
{
    struct list_link *at = list_first(&inquirers->waiting[of_client]);
    if (at == NULL)
        return NULL;
    struct inquiry *inquiry = LIST_ELEMENT(at, struct inquiry, waiting);
    (void)inquirers_withdraw(inquirers, inquiry);
    return inquiry;
}

/* What a thread without work is to have, clients last; NULL: nothing. */
static struct inquiry *next_take(struct inquirers *inquirers)
{
    struct inquiry *inquiry = first_take(inquirers, false);
    return inquiry == NULL && may_have(inquirers, true) ? first_take(inquirers, true) : inquiry;
}

struct inquiry *inquirers_take(struct inquirers *inquirers)
{
    if (inquirers->stopped) {
        struct inquiry *left = first_take(inquirers, false);
        return left == NULL ? first_take(inquirers, true) : left;
    }
    for (int i = 0; i < INQUIRERS_MAX; i++) {
        struct inquirer *inquirer = &inquirers->threads[i];
        if (inquirer->inquiry == NULL || sem_trywait(&inquirer->finished) != 0)
            continue;
        struct inquiry *done = inquirer->inquiry;
        inquirer->inquiry = NULL;
        inquirers->for_clients -= done->of_client;
        struct inquiry *next = next_take(inquirers);
        if (next != NULL)
            give(inquirers, inquirer, next);
        return done;
    }
    return NULL;
}
