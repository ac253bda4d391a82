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
    list_init(&inquirers->waiting);
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
        list_push_last(&inquirers->waiting, &inquiry->waiting);
}

void inquirers_stop(struct inquirers *inquirers)
{
    if (inquirers->waiting.ends.next == NULL || inquirers->stopped)
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
    if (inquirers->waiting.ends.next == NULL)
        return;
    ASSERT(list_empty(&inquirers->waiting));
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

static void give(struct inquirer *inquirer, struct inquiry *inquiry)
{
    ASSERT(inquirer->inquiry == NULL);
    inquirer->inquiry = inquiry;
    sem_post(&inquirer->wanted);
}

enum err inquirers_ask(struct inquirers *inquirers, struct inquiry *inquiry)
{
    struct inquirer *idle = inquirers->stopped ? NULL : idle_find(inquirers);
    if (idle != NULL) {
        give(idle, inquiry);
        return ERR_OK;
    }
    /* Without a single thread nobody would ever come back to take what waits. */
    if (inquirers->waiting_count == INQUIRIES_WAITING_MAX || !inquirers->threads[0].started)
        return ERR_FULL;
    list_push_last(&inquirers->waiting, &inquiry->waiting);
    inquirers->waiting_count++;
    return ERR_OK;
}

static struct inquiry *left_take(struct inquirers *inquirers)
{
    struct list_link *at = list_first(&inquirers->waiting);
    if (at == NULL)
        return NULL;
    list_remove(at);
    return LIST_ELEMENT(at, struct inquiry, waiting);
}

struct inquiry *inquirers_take(struct inquirers *inquirers)
{
    if (inquirers->stopped)
        return left_take(inquirers);
    for (int i = 0; i < INQUIRERS_MAX; i++) {
        struct inquirer *inquirer = &inquirers->threads[i];
        if (inquirer->inquiry == NULL || sem_trywait(&inquirer->finished) != 0)
            continue;
        struct inquiry *done = inquirer->inquiry;
        struct list_link *next = list_first(&inquirers->waiting);
        inquirer->inquiry = NULL;
        if (next != NULL) {
            list_remove(next);
            inquirers->waiting_count--;
            give(inquirer, LIST_ELEMENT(next, struct inquiry, waiting));
        }
        return done;
    }
    return NULL;
}
