/* net/route_host.h - what a route's session needs of its host; the shard implements it, a test may too.
 * All calls run on the session's own thread. None of them calls back into the session that makes it. */
#ifndef NET_ROUTE_HOST_H
#define NET_ROUTE_HOST_H

#include "core/base/bytes.h"
#include "net/message.h"

struct route;
struct route_operation;

enum route_host_result {
    ROUTE_HOST_DONE,
    ROUTE_HOST_FULL,    /* nothing was done: a mailbox is full. Ask again when route_resume() is called. */
    ROUTE_HOST_MEMORY,  /* nothing was done: memory is out; the session closes */
    ROUTE_HOST_SETTLED, /* said() only: done, and no answer will come */
};

enum route_said { ROUTE_SAID_CONNECT, ROUTE_SAID_INFO };

struct route_host {
    /* The peer said who it is. The answer is route_answered(); until then the session takes no bytes. */
    enum route_host_result (*said)(struct route *, enum route_said, struct bytes json);
    /* RS+ or RS-, by `weight` 0, of a route that is registered. */
    enum route_host_result (*interest)(struct route *, const struct route_operation *, uint32_t weight);
    /* RMSG, HMSG or LMSG; of a run (message.run_more) the first so many as go at once: *done, 1 where it is
     * none. */
    enum route_host_result (*publish)(struct route *, const struct route_operation *, uint32_t *done);
    /* There is output; called when there was none noted. */
    void (*output_ready)(struct route *);
    /* The session is closed: send what is pending if `flush`, then end the connection. Called once. */
    void (*closing)(struct route *, bool flush);
    /* The route is slow: a publisher is not to be read from for a moment. */
    void (*stall)(struct route *, const struct publisher_place *, int64_t stall_ns);
    /* A+ or A- of a gateway; NULL for routes. */
    enum route_host_result (*account)(struct route *, struct bytes account, bool wanted);
    /* A round trip was measured: route->rtt_ns. NULL: nobody wants to know. */
    void (*measured)(struct route *);
};

#endif
