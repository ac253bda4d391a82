/* tests/conformance/script.h - one case in progress: its connections, its server, and the first thing that
 * went wrong. Place in the flow: runner.c starts a run; script.c walks a row; measured.c holds the cases that
 * count. */
#ifndef TESTS_CONFORMANCE_SCRIPT_H
#define TESTS_CONFORMANCE_SCRIPT_H

#include "tests/conformance/case.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/server.h"

enum { RUN_PEERS = 8, RUN_FAILURE_BYTES = 1500 };

struct run {
    const struct conformance_case *row;
    const char *program;
    enum flavour flavour;
    struct server *server;
    struct server second; /* runs only in cluster cases */
    struct peer peers[RUN_PEERS];
    char failure[RUN_FAILURE_BYTES]; /* the first one; empty while all is well */
};

/* Does the whole row; false when it failed, with `failure` written. All connections are closed afterwards. */
bool run_case(struct run *run);

/* Notes a failure (the first one stays) and returns false. */
bool run_fail(struct run *run, const char *format, ...) PRINTF_LIKE(2, 3);

/* The verbs that scripts and measured cases share; all return false after run_fail(). Texts are templates. */
bool run_connect(struct run *run, int peer, enum setup setup);
bool run_send(struct run *run, int peer, const char *source);
bool run_send_times(struct run *run, int peer, int times, const char *source);
bool run_expect(struct run *run, int peer, const char *source);
bool run_alive(struct run *run, int peer);
bool run_signal(struct run *run, int number);

#endif
