/* net/latency_half.h - the half of a latency measurement that only the responder's server can take: who
 * answered, and how long that took there (spec/security.md 5.6). It is published in the system account, for
 * the requester's server to merge with what it has measured itself.
 * In the flow:  latency_answers.c -> latency_half_write() -> `$SYS.LATENCY.M2.<hash>` -> any server of any
 *               cluster -> latency_half_read() -> latency_half_take()
 * At the bounds: what does not fit is not written; a half above LATENCY_HALF_BYTES_MAX is not read.
 * Thread: any. */
#ifndef NET_LATENCY_HALF_H
#define NET_LATENCY_HALF_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/codec/json.h"
#include "net/request_info.h"

enum { LATENCY_HALF_BYTES_MAX = 4 * REQUEST_INFO_BYTES_MAX }; /* texts may be escaped more than ours are */

/* In front of the hash of the server that it is for. */
#define LATENCY_HALF_SUBJECT "$SYS.LATENCY.M2."

/* One half. Texts are views. */
struct latency_half {
    struct bytes account; /* the exporter */
    struct bytes request; /* the reply subject that the responder was given */
    int64_t service_ns;   /* from the delivery to the answer, without the responder's round trip */
    int64_t rtt_ns;       /* that round trip; 0: not known */
    int64_t start_wall_ns;
    struct bytes responder; /* a JSON object; empty: nobody said */
};

/* Writes it as nats-server does. Returns its bytes; 0: it does not fit. */
size_t latency_half_write(char *out, size_t capacity, const struct latency_half *half);

/* Who answered, as another server describes him. */
struct latency_responder {
    struct bytes start, host, account, service, user, name, lang, version, server, cluster, jwt, issuer_key,
        name_tag, kind, client_type, client_id;
    struct bytes alternates, tags; /* a zero byte behind each */
    int64_t id, rtt_ns;
};

/* What a half that came says. Its texts lie in `document`. */
struct latency_half_read {
    struct json_document document;
    struct bytes account, request;
    int64_t service_ns;
    struct latency_responder responder;
};

/* Reads one. Owner: the caller, until latency_half_close(), also on an error. ERR_INVALID: it is none, or too
 * large; ERR_MEMORY. */
MUST_USE enum err latency_half_read(struct latency_half_read *half, struct bytes text);
void latency_half_close(struct latency_half_read *half);

/* The responder as a JSON object. Returns its bytes; 0: it does not fit. */
size_t latency_responder_json(char *out, size_t capacity, const struct latency_responder *responder);

#endif
