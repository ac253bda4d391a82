/* net/tls_responder.h - asks an OCSP responder over HTTP or HTTPS (RFC 6960 appendix A) and waits for what it
 * says. In the flow:  tls_ocsp_request() -> responder_ask() -> tls_ocsp_judge()
 * It blocks: only for threads that have nothing else to do (shards/inquirers.h), and at start. At the bounds:
 * `timeout_ns` ends it however slowly the responder goes on, except for the look-up of its name, which the
 * system bounds; an answer above OCSP_RESPONSE_BYTES_MAX is refused; redirections are not followed. */
#ifndef NET_TLS_RESPONDER_H
#define NET_TLS_RESPONDER_H

#include "core/base/arena.h"
#include "core/base/bytes.h"
#include "core/base/language.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct responder_question {
    const char *url;      /* the request goes behind it, when it is not posted */
    struct bytes request; /* DER */
    int64_t timeout_ns;
    int stop_fd; /* who waits gives up when it is readable; -1: never */
    bool post;
};

/* The response's bytes, in the arena, as they came. False: `why` says what went wrong. Thread: any. */
MUST_USE bool responder_ask(const struct responder_question *question, struct arena *arena,
                            struct bytes *response, char *why, size_t why_bytes);

#endif
