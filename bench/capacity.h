/* bench/capacity.h - what a server holds for things that do nothing, and what coming costs: the commands
 * idle, subs and connect. In the flow: main() -> capacity_idle_run(), capacity_subs_run() or
 * capacity_connect_run(). */
#ifndef BENCH_CAPACITY_H
#define BENCH_CAPACITY_H

#include "bench/report.h"

/* Opens options->connections connections and reports the server's memory for each. */
MUST_USE enum err capacity_idle_run(const struct options *options, struct report *report,
                                    struct failure *failure);

/* Opens and closes options->connections connections, one after the other, and reports the server's CPU time
 * for each: with --tls that is mostly the handshake. */
MUST_USE enum err capacity_connect_run(const struct options *options, struct report *report,
                                       struct failure *failure);

/* Makes options->messages distinct subscriptions on one connection and reports the server's memory and CPU
 * time for each. */
MUST_USE enum err capacity_subs_run(const struct options *options, struct report *report,
                                    struct failure *failure);

#endif
