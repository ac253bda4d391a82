/* bench/process.h - what another process has used so far, read from /proc: CPU time and resident memory.
 * In the flow: a command reads before and after its measured part; the difference is reported. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include "bench/failure.h"

#include <stdint.h>

struct process_figures {
    int64_t cpu_ns;
    int64_t memory_bytes; /* resident */
};

/* CPU time is the sum of task/TID/schedstat over the threads that live now, in nanoseconds; where the kernel
 * keeps none, utime + stime of stat, in clock ticks. A thread that ends between two readings takes its time
 * along: a server's threads live longer than that. Memory is Rss of smaps_rollup, which is exact; where that
 * may not be read, VmRSS of status, which may be some hundred KiB off. */
MUST_USE enum err process_read(uint64_t pid, struct process_figures *figures, struct failure *failure);

#endif
