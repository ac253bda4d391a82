/* core/base/clock.h - the only place that asks what time it is. The loop asks once a turn and hands the
 * answer on as `now_ns`; machines get it as an argument. Thread: any. */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_SECOND 1000000000LL
#define NS_PER_MS 1000000LL

/* Nanoseconds that never go back; zero is some moment before the process. */
int64_t clock_monotonic_ns(void);

/* Nanoseconds since 1970 (UTC). */
int64_t clock_wall_ns(void);

/* CPU time that the whole process has used, in nanoseconds; that the calling thread has. */
int64_t clock_process_cpu_ns(void);
int64_t clock_thread_cpu_ns(void);

#endif
