/* bench/request.h - request and reply with a latency histogram: the commands request and reply.
 * In the flow: main() -> request_run() or reply_run(): connect, subscribe, barrier, warm-up, measured part,
 * report. Latency runs from when a request was due (with --rate), else from when it was handed to the socket,
 * to when its reply was read. */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include "bench/report.h"

/* Both run until their end and fill the report. On error the sentence says how far they came. */
MUST_USE enum err request_run(const struct options *options, struct report *report, struct failure *failure);
MUST_USE enum err reply_run(const struct options *options, struct report *report, struct failure *failure);

#endif
