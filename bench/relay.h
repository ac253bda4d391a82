/* bench/relay.h - the floor: a process that passes bytes on without looking at them. What it needs for the
 * bytes of a workload, no server that goes through sockets and copies can much undercut. docs/benchmarks.md
 * says precisely what it does. In the flow: relay_start() -> the traffic runs over its sockets ->
 * relay_idle() -> relay_stop(). */
#ifndef BENCH_RELAY_H
#define BENCH_RELAY_H

#include "bench/failure.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct relay {
    pid_t pid; /* of the relay's process; 0: not running */
    uint64_t publishers;
    uint64_t subscribers;
    int *publisher_fds; /* our ends; who uses one makes a duplicate */
    int *subscriber_fds;
    int *relay_fds; /* the relay's ends of the publishers, kept to see what it has not read yet */
};

/* Starts the child, connected over TCP on 127.0.0.1. Bytes of publisher j go to subscribers j, j + P, j + 2P,
 * ... of P publishers; `subscribers` is a multiple of `publishers`. */
MUST_USE enum err relay_start(struct relay *relay, uint64_t publishers, uint64_t subscribers,
                              struct failure *failure);

/* Whether the relay has read all that was sent to it so far. */
bool relay_idle(const struct relay *relay);

/* Ends the child and closes all ends. Legal when not running. */
void relay_stop(struct relay *relay);

#endif
