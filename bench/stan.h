/* bench/stan.h - the commands stan, stan-pub and stan-sub: publishers that wait for acknowledgements, and
 * subscribers that acknowledge, of NATS Streaming. Every message is accounted for: each publish has its
 * acknowledgement, each subscriber gets its channel's messages once and in order. */
#ifndef BENCH_STAN_H
#define BENCH_STAN_H

#include "bench/report.h"

MUST_USE enum err stan_run(const struct options *options, struct report *report, struct failure *failure);

#endif
