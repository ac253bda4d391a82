/* shards/control/monitor_tls.h - the monitoring port over HTTPS: the client port's certificates, but nobody
 * needs one to look (spec/monitoring.md 1.1). Thread: the control core's. */
#ifndef SHARDS_CONTROL_MONITOR_TLS_H
#define SHARDS_CONTROL_MONITOR_TLS_H

#include "core/base/err.h"
#include "shards/control/monitor.h"

/* Makes the context from the options in force, in place of the one before. On error `why` is a sentence, and
 * the one before stays. */
MUST_USE enum err monitor_tls_make(struct control *control, char *why, size_t why_bytes);

/* A stream for a new connection, where the port has TLS. False: no memory. */
MUST_USE bool monitor_tls_begin(struct control *control, struct monitor_connection *connection);

/* Bytes from the socket, through the stream, to the session. On error the connection is to end; what the
 * stream has still to say may be sent. */
MUST_USE enum err monitor_tls_received(struct monitor_connection *connection, struct bytes bytes);

#endif
