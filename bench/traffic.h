/* bench/traffic.h - publish and subscribe: the commands pub, sub, pubsub and relay-floor.
 * In the flow: main() -> traffic_run(): connect, subscribe, barrier, warm-up, measured part, barrier, report.
 * Every delivery is counted: a run succeeds only when each subscriber got exactly its messages. */
#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H

#include "bench/report.h"

/* Runs options->command and fills the report. On error the sentence says how far it came. */
MUST_USE enum err traffic_run(const struct options *options, struct report *report, struct failure *failure);

#endif
