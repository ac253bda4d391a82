/* shards/control/control_internal.h - what the files of the control core share. */
#ifndef SHARDS_CONTROL_CONTROL_INTERNAL_H
#define SHARDS_CONTROL_CONTROL_INTERNAL_H

#include "shards/control/control.h"
#include "shards/service_manager.h"

#include <signal.h>

enum control_op {
    CONTROL_OP_ACCEPT,
    CONTROL_OP_SIGNAL,
    CONTROL_OP_WAKEUP,
    CONTROL_OP_MONITOR_ACCEPT,
    CONTROL_OP_MONITOR_RECEIVE,
    CONTROL_OP_MONITOR_SEND,
    CONTROL_OP_ROUTE_ACCEPT,
    CONTROL_OP_DIAL,
    CONTROL_OP_GATEWAY_ACCEPT,
    CONTROL_OP_GATEWAY_DIAL,
    CONTROL_OP_STORE,
    CONTROL_OP_OUTER,
    CONTROL_OP_INQUIRED,
};
enum control_timer {
    CONTROL_TIMER_ACCEPT,
    CONTROL_TIMER_LAME_DUCK,
    CONTROL_TIMER_THROTTLE,
    CONTROL_TIMER_MONITOR_ACCEPT,
    CONTROL_TIMER_MONITOR, /* of a connection to the monitoring port */
    CONTROL_TIMER_ROUTE_ACCEPT,
    CONTROL_TIMER_DIAL,
    CONTROL_TIMER_CLUSTER_MOVE, /* accounts that get routes of their own by a reload */
    CONTROL_TIMER_STATSZ,       /* of the system account: its heartbeats, */
    CONTROL_TIMER_ACCOUNTS,
    CONTROL_TIMER_SURVEY, /* what is asked of other servers, */
    CONTROL_TIMER_STOP,   /* and the end of waiting for its last word */
    CONTROL_TIMER_GATEWAY_ACCEPT,
    CONTROL_TIMER_GATEWAY_DIAL,
    CONTROL_TIMER_OUTER,
    CONTROL_TIMER_OUTER_STALL,
    CONTROL_TIMER_ALONE,
    CONTROL_TIMER_STAPLE,
    CONTROL_TIMER_OCSP_CACHE,
};

void control_move(struct control *control, enum control_state next);

/* Puts a mail, from the spare part too. False: no room. */
bool control_tell(struct control *control, uint32_t to, const void *mail, uint32_t bytes);
/* The same, but not from the spare part: for what waits when there is no room. */
bool control_put(struct control *control, uint32_t to, const void *mail, uint32_t bytes);
uint64_t control_open_connections(const struct control *control);

/* Tells the service manager, if there is one. */
void control_service_tell(struct control *control, enum service_state state);

/* control_accept.c */

/* A socket that listens; `wanted` -1: on any free port. *port is the real one. -1: `why` says why not, as Go
 * does. */
int control_socket_listen(const char *host, int64_t wanted, uint16_t *port, char *why, size_t why_bytes);
void control_accept_arm(struct control *control);
void control_accepted(struct control *control, const struct loop_completion *completion);
void control_throttle_due(struct control *control);
void control_listen_close(struct control *control);

/* control_stop.c */
void control_signals(sigset_t *signals); /* those that the control core takes */
void control_signal(struct control *control, int number);
/* The process is to end with that code; legal before control_run(), which then ends at once. */
void control_end(struct control *control, int exit_code);
void control_lame_duck_due(struct control *control);
/* The pause between two closes: `clients` share the span between grace period and end, each at most a second,
 * and `random` shortens it by up to a half, so that servers in lame duck mode do not close in step. */
int64_t control_lame_duck_pause_ns(int64_t span_ns, uint64_t clients, uint64_t random);
void control_connections_closed(struct control *control);
void control_stop_threads(struct control *control); /* the system account has had its last word */

/* control_files.c */
void control_files_moved(struct control *control, const struct server_options *before);

/* control_reload.c */
/* False: it was refused, `why` is the reason. True also when it has to wait for the one before. */
bool control_reload(struct control *control, char *why, size_t why_bytes);
void control_snapshot_released(struct control *control, struct snapshot *snapshot);
/* What `pending` waited for is there. */
void control_reload_ready(struct control *control);

#endif
