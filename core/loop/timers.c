/* core/loop/timers.c - the heap behind timers.h. */
#include "core/loop/timers.h"

#include "core/base/check.h"
#include "core/base/memory.h"

void timers_close(struct timers *timers)
{
    memory_free(timers->heap);
    *timers = (struct timers){0};
}

static void put(struct timers *timers, uint32_t position, struct timer *timer)
{
    timers->heap[position] = timer;
    timer->position = position;
}

static void sift_up(struct timers *timers, uint32_t position, struct timer *timer)
{
    while (position > 1 && timers->heap[position / 2]->due_ns > timer->due_ns) {
        put(timers, position, timers->heap[position / 2]);
        position /= 2;
    }
    put(timers, position, timer);
}

static void sift_down(struct timers *timers, uint32_t position, struct timer *timer)
{
    for (;;) {
        uint32_t child = position * 2;
        if (child > timers->count)
            break;
        if (child < timers->count && timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns)
            child++;
        if (timers->heap[child]->due_ns >= timer->due_ns)
            break;
        put(timers, position, timers->heap[child]);
        position = child;
    }
    put(timers, position, timer);
}

static void place(struct timers *timers, uint32_t position, struct timer *timer)
{
    if (position > 1 && timers->heap[position / 2]->due_ns > timer->due_ns)
        sift_up(timers, position, timer);
    else
        sift_down(timers, position, timer);
}

enum err timers_set(struct timers *timers, struct timer *timer, int64_t due_ns)
{
    if (timer_set(timer)) {
        timer->due_ns = due_ns;
        place(timers, timer->position, timer);
        return ERR_OK;
    }
    if (timers->count + 2 > timers->capacity) {
        uint32_t capacity = timers->capacity == 0 ? 64 : timers->capacity * 2;
        struct timer **heap = memory_grow(timers->heap, capacity * sizeof *heap);
        if (heap == NULL)
            return ERR_MEMORY;
        timers->heap = heap;
        timers->capacity = capacity;
    }
    timer->due_ns = due_ns;
    timers->count++;
    sift_up(timers, timers->count, timer);
    return ERR_OK;
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    if (!timer_set(timer))
        return;
    uint32_t hole = timer->position;
    ASSERT(timers->heap[hole] == timer);
    struct timer *last = timers->heap[timers->count--];
    timer->position = 0;
    if (last != timer)
        place(timers, hole, last);
}

int64_t timers_next_ns(const struct timers *timers)
{
    return timers->count == 0 ? INT64_MAX : timers->heap[1]->due_ns;
}

struct timer *timers_expired(struct timers *timers, int64_t now_ns)
{
    if (timers->count == 0 || timers->heap[1]->due_ns > now_ns)
        return NULL;
    struct timer *timer = timers->heap[1];
    timers_cancel(timers, timer);
    return timer;
}
