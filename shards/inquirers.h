/* shards/inquirers.h - the threads that ask OCSP responders, and write what they have said to a file: each
 * responder blocks one of them for up to half a minute, so there are some, and they are not the worker, whose
 * passwords and names would wait behind a responder that is down. In the flow: inquirers_ask() -> a thread:
 * inquiry->work() -> done_fd -> inquirers_take(), on the control core At the bound: INQUIRERS_MAX work at a
 * time, INQUIRERS_KEPT of them never for clients, of whom there may be many behind a dead responder; the
 * others wait, in order, up to INQUIRIES_WAITING_MAX of clients and as many else: one more is refused. A
 * thread is started when there is work for it and then stays. Thread: the control core's; `work` runs on one
 * of these, which then alone has the inquiry. */
#ifndef SHARDS_INQUIRERS_H
#define SHARDS_INQUIRERS_H

#include "core/base/err.h"
#include "core/base/list.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>

enum { INQUIRERS_MAX = 8, INQUIRERS_KEPT = 2, INQUIRIES_WAITING_MAX = 4096 };

enum inquiry_kind { INQUIRY_STAPLE, INQUIRY_PEER, INQUIRY_CACHE_SAVE };

/* Embedded in what it is about. */
struct inquiry {
    struct list_link waiting; /* in one of inquirers.waiting until a thread has it */
    void (*work)(struct inquiry *inquiry, int stop_fd);
    uint8_t kind;   /* enum inquiry_kind */
    bool of_client; /* not for the threads that are kept for others */
};

struct inquirers;

struct inquirer {
    struct inquirers *all;
    pthread_t thread;
    sem_t wanted;   /* there is an inquiry, or the end */
    sem_t finished; /* there is one less */
    struct inquiry *inquiry;
    bool started;
};

struct inquirers {
    struct inquirer threads[INQUIRERS_MAX];
    struct list waiting[2]; /* by of_client */
    uint32_t waiting_counts[2];
    uint32_t for_clients; /* threads that work for one */
    int done_fd;          /* an event for each that is done; the control core's loop reads it */
    int stop_fd;          /* readable when all shall end */
    bool stopped;
};

/* ERR_SYSTEM: the kernel has no event descriptors; it is closed again. */
MUST_USE enum err inquirers_init(struct inquirers *inquirers);

/* Ends the threads, which give up what they wait for. From then on inquirers_take() returns what is left,
 * done or not. Legal when closed. */
void inquirers_stop(struct inquirers *inquirers);

/* After that. Legal when closed. */
void inquirers_close(struct inquirers *inquirers);

/* The inquiry is the threads' until inquirers_take() returns it. ERR_FULL: nothing was done. */
MUST_USE enum err inquirers_ask(struct inquirers *inquirers, struct inquiry *inquiry);

/* Takes back one that no thread has yet. False: it is a thread's, or has been. */
bool inquirers_withdraw(struct inquirers *inquirers, struct inquiry *inquiry);

/* One that is done, or NULL; its thread goes on with the next. */
struct inquiry *inquirers_take(struct inquirers *inquirers);

#endif
