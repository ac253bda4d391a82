/* core/loop/wakeup.h - waking a thread that sleeps in its ring, and only then.
 * The sleeper says that it will sleep, pays for a full fence, looks into its mailboxes once more, then
 * sleeps. The waker shows its records (mailbox_flush()), pays for a full fence, and writes to the eventfd
 * only where it finds the sleeper's word. So one of the two always sees the other. */
#ifndef CORE_LOOP_WAKEUP_H
#define CORE_LOOP_WAKEUP_H

#include "core/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct wakeup {
    CACHE_LINE_ALIGNED _Atomic uint32_t sleeping;
    int event_fd;
};

/* ERR_SYSTEM when no descriptor is free. */
MUST_USE enum err wakeup_init(struct wakeup *wakeup);
void wakeup_close(struct wakeup *wakeup);

/* The sleeper's word; look into the mailboxes after it. Thread: the sleeper's. */
void wakeup_prepare_sleep(struct wakeup *wakeup);

/* Taken back. Thread: the sleeper's. */
void wakeup_awake(struct wakeup *wakeup);

/* Wakes the thread if it sleeps or is about to. True when it had to. Thread: any. */
bool wakeup_wake(struct wakeup *wakeup);

#endif
