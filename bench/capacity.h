/* bench/capacity.h - what a server holds for things that do nothing: the commands idle and subs.
 * In the flow: main() -> capacity_idle_run() or capacity_subs_run(). */
#ifndef BENCH_CAPACITY_H
#define BENCH_CAPACITY_H

#include "bench/report.h"

/* Opens options->connections connections and reports the server's memory for each. */
MUST_USE enum err capacity_idle_run(const struct options *options, struct report *report,
                                    struct failure *failure);

/* Makes options->messages distinct subscriptions on one connection and reports the server's memory and CPU
 * time for each. */
MUST_USE enum err capacity_subs_run(const struct options *options, struct report *report,
                                    struct failure *failure);

#endif
