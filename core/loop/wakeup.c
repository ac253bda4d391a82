/* core/loop/wakeup.c - the word and the eventfd behind wakeup.h. */
#include "core/loop/wakeup.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum err wakeup_init(struct wakeup *wakeup)
{
    atomic_store(&wakeup->sleeping, 0);
    wakeup->event_fd = eventfd(0, EFD_CLOEXEC);
    return wakeup->event_fd < 0 ? ERR_SYSTEM : ERR_OK;
}

void wakeup_close(struct wakeup *wakeup)
{
    if (wakeup->event_fd >= 0)
        close(wakeup->event_fd);
    wakeup->event_fd = -1;
}

void wakeup_prepare_sleep(struct wakeup *wakeup)
{
    /* A read-modify-write, so that it reads what the last waker wrote and sees what that one had flushed. */
    (void)atomic_exchange_explicit(&wakeup->sleeping, 1, memory_order_seq_cst);
}

void wakeup_awake(struct wakeup *wakeup)
{
    atomic_store_explicit(&wakeup->sleeping, 0, memory_order_relaxed);
}

bool wakeup_wake(struct wakeup *wakeup)
{
    /* A read-modify-write of the flag is the full fence, and picks one waker where several come. */
    if (atomic_fetch_and_explicit(&wakeup->sleeping, 0, memory_order_seq_cst) == 0)
        return false;
    uint64_t one = 1;
    while (write(wakeup->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue; /* EAGAIN cannot be: the counter would have to reach 2^64 - 1 */
    return true;
}
