/* shards/control/monitor.h - monitoring over HTTP on the control core's ring (docs/monitoring.md).
 * In the flow:  monitor_open() -> accept -> bytes -> http_next() -> a task (monitor_task.h) ->
 * monitor_reply() One request is worked on at a time, the others wait in the order in which they came; a
 * connection has one request under way, what it sends behind it waits in its buffer. At the bounds:
 * MONITOR_CONNECTIONS_MAX connections, the next one is closed at once; a head that takes longer than five
 * seconds, a peer that is silent for two minutes or takes nothing of a reply for a minute is closed. Thread:
 * the control core's. */
#ifndef SHARDS_CONTROL_MONITOR_H
#define SHARDS_CONTROL_MONITOR_H

#include "core/base/list.h"
#include "core/loop/loop.h"
#include "core/loop/timers.h"
#include "net/http.h"
#include "net/output.h"
#include "shards/report.h"

enum {
    MONITOR_CONNECTIONS_MAX = 256,
    MONITOR_ENDPOINTS_MAX = 32,
    MONITOR_BODY_BYTES_MAX = 256 * 1024 * 1024, /* of a reply; beyond it is refused */
};

struct control;
struct monitor_task;
struct server_options;
struct tls_context;
struct tls_stream;

enum monitor_connection_state {
    MONITOR_READING,
    MONITOR_WAITING, /* its request is not begun, or worked on */
    MONITOR_SENDING,
    MONITOR_ENDING, /* its operations are to come home */
};

struct monitor_connection {
    struct loop_op receive, send;
    struct timer timer;
    struct list_link all;     /* in monitor.connections */
    struct list_link waiting; /* in monitor.waiting until its request is begun */
    struct http_session session;
    char *target; /* of the request under way: its path, then its query; owned */
    size_t path_count;
    size_t query_count;
    char *head_out; /* of the reply; owned, HTTP_REPLY_HEAD_BYTES */
    size_t head_count;
    char *body; /* owned */
    size_t body_count;
    size_t sent;               /* of head and body; with TLS: given to the stream */
    struct tls_stream *stream; /* over HTTPS; NULL: in clear */
    int fd;
    uint8_t state;   /* enum monitor_connection_state */
    bool only_head;  /* of the request: HEAD */
    bool old;        /* it speaks HTTP/1.0 */
    bool close;      /* behind this reply */
    bool begun;      /* the first byte has come */
    bool ended;      /* the peer's FIN came, or reading failed */
    bool head_begun; /* a part of a request is here, and the timer runs for it */
};

/* What the match caches of all shards held when somebody last had them walked through. */
struct monitor_matches {
    int64_t at_ns; /* monotonic; 0: nobody has */
    uint64_t cached, fanout, fanout_most;
};

/* What open connections had in all when somebody last had them walked through for /metrics. */
struct monitor_totals {
    int64_t at_ns; /* monotonic; 0: nobody has */
    struct report_totals sum;
};

struct monitor {
    struct loop_op accept;
    struct list connections;
    struct list waiting;
    uint32_t connection_count;
    struct monitor_task *task;                      /* being worked on; NULL: none */
    uint64_t request_counts[MONITOR_ENDPOINTS_MAX]; /* by endpoint */
    char *base_path;                                /* "" or "/..."; owned */
    int64_t start_ns;                               /* of the server, monotonic */
    int64_t wall_minus_ns; /* wall clock less monotonic clock, as of the start: moments shown do not jump */
    int64_t loaded_ns;     /* when the configuration was, monotonic */
    int64_t cpu_sampled_ns;
    int64_t cpu_used_ns; /* at that sample */
    double cpu_percent;
    struct monitor_matches matches;
    struct monitor_totals totals;
    struct tls_context *tls; /* of HTTPS; NULL: in clear */
    struct output_pool pool; /* of its streams */
    int listen_fd;           /* -1: off */
    bool system_turn;        /* the system account's request was begun last */
    uint16_t port;
};

/* On which address the port is, as configured. */
const char *monitor_host(const struct server_options *options);

/* What the control core's loop has to know of it: kinds of operations are CONTROL_OP_MONITOR_*. */

/* Opens the port, if there is to be one, and says so in the log. ERR_SYSTEM: `why` is the line to log. */
MUST_USE enum err monitor_open(struct control *control, char *why, size_t why_bytes);

/* New options are in force: certificates for those that come from now on. */
void monitor_reloaded(struct control *control);

void monitor_arm(struct control *control);
void monitor_accepted(struct control *control, const struct loop_completion *completion);
void monitor_received(struct control *control, const struct loop_completion *completion);
void monitor_sent(struct control *control, const struct loop_completion *completion);
void monitor_timer_due(struct control *control, struct timer *timer);

/* A page came from a shard. */
void monitor_report_take(struct control *control, uint32_t from, const uint8_t *mail);

/* Work that no completion announces. True: there is more of it. */
bool monitor_step(struct control *control);

/* The server is about to stop: nobody is served any longer. */
void monitor_stop(struct control *control);

/* Frees all; the ring is gone and so are the shards. */
void monitor_close(struct control *control);

/* ---- for the files of monitoring ---- */

/* The reply to the request that `connection` waits for. Takes the body. */
void monitor_reply(struct control *control, struct monitor_connection *connection,
                   const struct http_reply *reply, char *body, size_t body_count);

#endif
