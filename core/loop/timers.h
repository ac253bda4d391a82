/* core/loop/timers.h - when to do what: an intrusive binary heap of moments, earliest first.
 * A timer is embedded in its owner; its kind selects a line of the owner's switch, as with loop_op.
 * Cost: setting and cancelling O(log n) without allocation, except that the heap grows by doubling.
 * At the bound: timers_set() answers ERR_MEMORY and the timer is not set. One thread's. */
#ifndef CORE_LOOP_TIMERS_H
#define CORE_LOOP_TIMERS_H

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct timer {
    int64_t due_ns;
    uint32_t position; /* in the heap, from 1; 0: not set */
    uint8_t kind;
};

struct timers {
    struct timer **heap; /* heap[1] is the earliest */
    uint32_t count;
    uint32_t capacity;
};

/* All zero is empty. Frees the heap; the timers in it are forgotten. */
void timers_close(struct timers *timers);

static inline bool timer_set(const struct timer *timer)
{
    return timer->position != 0;
}

/* Sets or moves a timer. */
MUST_USE enum err timers_set(struct timers *timers, struct timer *timer, int64_t due_ns);

/* Legal when not set. */
void timers_cancel(struct timers *timers, struct timer *timer);

/* The moment of the earliest, or INT64_MAX. */
int64_t timers_next_ns(const struct timers *timers);

/* Takes out and returns the earliest that is due by now, or NULL. */
struct timer *timers_expired(struct timers *timers, int64_t now_ns);

#endif
