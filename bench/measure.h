/* bench/measure.h - the measured part of a run: wall time, the server's CPU time and memory, our own CPU
 * time. In the flow: measure_start() -> the work -> measure_stop() -> measure_report(). */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench/process.h"
#include "bench/report.h"

struct measure {
    uint64_t pid; /* 0: no server to look at */
    int64_t start_ns;
    int64_t elapsed_ns;
    int64_t own_cpu_ns;
    int64_t server_cpu_ns;
    int64_t server_memory_before_bytes;
    int64_t server_memory_bytes;
};

/* Reads all figures last, so that reading them is not measured. */
MUST_USE enum err measure_start(struct measure *measure, uint64_t pid, struct failure *failure);
MUST_USE enum err measure_stop(struct measure *measure, struct failure *failure);

/* Rates and costs for each message sent and each delivery received (0: leaves those out). */
void measure_report(const struct measure *measure, struct report *report, uint64_t messages,
                    uint64_t deliveries);

#endif
