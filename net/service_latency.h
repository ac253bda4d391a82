/* net/service_latency.h - the message that says how long a service took (spec/security.md 5.6), and whether
 * the headers of a request ask for one. In the flow:  services_publish(), replies_run() ->
 * service_latency_json() -> published in the exporter Pure but for the id, which is random. Thread: any. */
#ifndef NET_SERVICE_LATENCY_H
#define NET_SERVICE_LATENCY_H

#include "core/base/bytes.h"
#include "core/base/random.h"

struct service_latency_metric {
    int status;             /* 200, 400, 408, 503, 504 */
    struct bytes requestor; /* JSON objects; empty: left out */
    struct bytes responder;
    struct bytes headers; /* the request's, from "NATS/1.0" on, when they triggered the sample: those that did
                             are copied; empty: it was drawn */
    int64_t start_wall_ns; /* of the request, as its requester saw it */
    int64_t service_ns;
    int64_t system_ns;
    int64_t total_ns;
};

/* Writes it. Returns its bytes; 0: it does not fit. */
size_t service_latency_json(char *out, size_t capacity, const struct service_latency_metric *metric,
                            int64_t wall_ns, struct random *random);

/* Whether trace headers ask for a sample. The first of these that is there decides, wherever it stands, as in
 * nats-server: Uber-Trace-Id, X-B3-Sampled (0 or 1), X-B3-TraceId, B3, traceparent. */
bool service_latency_asked(struct bytes headers);

/* "2026-11-30T01:19:01.756987504Z". */
enum { SERVICE_LATENCY_STAMP_BYTES = 96 };
struct bytes service_latency_stamp(char out[SERVICE_LATENCY_STAMP_BYTES], int64_t wall_ns);

#endif
