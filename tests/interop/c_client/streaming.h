/* tests/interop/c_client/streaming.h - what the scenarios of NATS Streaming share: a client, and
 * subscriptions whose messages wait to be taken one by one. In the flow: the library's threads -> a pipe for
 * each listener -> listener_take() on the scenario's thread. */
#ifndef TESTS_INTEROP_C_CLIENT_STREAMING_H
#define TESTS_INTEROP_C_CLIENT_STREAMING_H

#define NATS_HAS_STREAMING 1 /* Debian's libnats has it compiled in, its header asks */

#include "tests/interop/c_client/harness.h"

enum {
    STREAM_WAIT_MS = 5000, /* for what must come */
    STREAM_QUIET_MS = 50,  /* for what must not come */
    STREAM_RECONNECT_MS = 15000,
};

/* A subscription. The pipe carries pointers to messages, which then are the reader's, and NULL when no more
 * can come; it holds 8,192 of them, more than a scenario publishes. */
struct listener {
    stanSubscription *subscription;
    int ends[2];
};

/* How to subscribe; all zero is a plain subscription to new messages that the library acknowledges. */
struct listening {
    const char *group;
    const char *durable;
    bool manual; /* the scenario acknowledges */
    int64_t ack_wait_ms;
    int in_flight;
    bool all;
    bool last;
    uint64_t sequence;
    int64_t time_ms;  /* of the wall clock */
    int64_t delta_ms; /* ago */
};

/* Connects `client` to the run's server, waiting as long as it takes to be served; each opens a NATS
 * connection of its own, which survives a restart of the server. Returns NULL and notes the failure. */
stanConnection *stream_connect(struct run *run, const char *url, const char *client);

/* Waits until the client, which had lost its server, is connected again: what it asks for before is refused.
 */
bool stream_reconnected(struct run *run, stanConnection *connection);

/* Ends the client's session and frees it; NULL is nothing. */
void stream_close(stanConnection *connection);

/* Publishes the numbers as text, each when the last one is acknowledged. */
bool stream_store(struct run *run, stanConnection *connection, const char *channel, int from, int to);

/* Opens a listener; false: noted, and it holds nothing. */
bool listener_open(struct run *run, struct listener *listener, stanConnection *connection,
                   const char *channel, const struct listening *how);

/* Ends the subscription and frees all that still waits; legal when it was never opened (all zero). */
void listener_close(struct run *run, struct listener *listener);
void listener_unsubscribe(struct run *run, struct listener *listener);

/* The next message of the first of the listeners that has one, or NULL after wait_ms. `which` says whose. */
stanMsg *listener_take(struct listener *listeners, int count, int wait_ms, int *which);

/* Takes messages from..to, compares numbers and payloads, acknowledges them when `manual`. */
bool listener_sequence(struct run *run, struct listener *listener, bool manual, int from, int to);

/* Nothing comes. */
bool listener_silent(struct run *run, struct listener *listener);

#endif
