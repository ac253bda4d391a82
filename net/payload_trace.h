/* net/payload_trace.h - a message's payload as a line of the trace (spec/configuration.md 7.6).
 * In the flow: client_trace_in(), client_trace_delivery(), system_publish() -> payload_trace() */
#ifndef NET_PAYLOAD_TRACE_H
#define NET_PAYLOAD_TRACE_H

#include "core/base/bytes.h"
#include "core/base/log.h"

/* `prefix`: whose it is; `direction`: "<<-" or "->>". Of more than `most_bytes` (0: no limit) only these are
 * shown; nothing is written of an empty payload, or without memory for the quoted text. Thread: any. */
void payload_trace(struct log *log, const char *prefix, const char *direction, struct bytes payload,
                   int64_t most_bytes);

/* With `trace_headers`: of a message's bytes its headers, without the empty line at their end; nothing where
 * it has none. */
struct bytes payload_trace_headers(struct bytes body, uint32_t header_bytes);

#endif
