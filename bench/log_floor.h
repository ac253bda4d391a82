/* bench/log_floor.h - the command log-floor: what a disk allows. A file is appended to and synced in groups,
 * as a server would that does nothing else: `publishers` times `in_flight` messages of `size` bytes, one
 * write, one fdatasync, and then the next group. With --reserve the file has its length before, so that a
 * sync has no length to write. The file is in --dir, at most LOG_FLOOR_BYTES_MAX long (then from its start
 * again), and removed at the end. */
#ifndef BENCH_LOG_FLOOR_H
#define BENCH_LOG_FLOOR_H

#include "bench/report.h"

#define LOG_FLOOR_BYTES_MAX (1LL << 30)

MUST_USE enum err log_floor_run(const struct options *options, struct report *report,
                                struct failure *failure);

#endif
