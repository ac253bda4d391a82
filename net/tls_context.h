/* net/tls_context.h - certificates, keys, trust and rules of one `tls {}` block, loaded once and then
 * constant: what every TLS stream of a listener (or of a dialler) is made from. In the flow:
 *   tls_options_load() -> tls_context_new() -> part of the options' snapshot -> tls_stream_new()
 * Counted: the options hold it, and every stream does, so a reload that brings another one drops no
 * connection. At the bound: certificate files as large as PEM can be, at most TLS_CHAIN_MAX certificates in a
 * chain. Thread: made on the control core; constant afterwards, so any thread may make streams of it. */
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include "core/base/err.h"
#include "net/tls_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_context; /* opaque */

enum tls_role { TLS_SERVER, TLS_CLIENT };
enum { TLS_CHAIN_MAX = 32, TLS_TICKET_NAME_BYTES = 16, TLS_TICKET_KEY_BYTES = 32 };

/* What session tickets are sealed with. Made once by the control core and given to each new context, so that
 * sessions can be resumed after a reload. Only TLS 1.3 gets tickets: there a resumed session still agrees on
 * new keys, while a ticket of 1.2 holds the keys of what was said, for whoever gets hold of ours one day. */
struct tls_ticket_keys {
    uint8_t name[TLS_TICKET_NAME_BYTES];
    uint8_t seal[TLS_TICKET_KEY_BYTES]; /* AES-256 */
    uint8_t sign[TLS_TICKET_KEY_BYTES]; /* HMAC-SHA-256 */
};
MUST_USE enum err tls_ticket_keys_make(struct tls_ticket_keys *keys);

/* Loads everything that the options name. Owner: the caller, one hold. On error *context is NULL and `why`
 * one sentence in nats-server's words that names the file. ERR_INVALID, ERR_MEMORY. */
MUST_USE enum err tls_context_new(struct tls_context **context, const struct tls_options *options,
                                  enum tls_role role, char *why, size_t why_bytes);

/* One hold more; one less, NULL is allowed. Thread: any. */
struct tls_context *tls_context_hold(struct tls_context *context);
void tls_context_release(struct tls_context *context);

/* Before the first stream is made. A session is resumed only where the rules for peers are the same. */
void tls_context_tickets(struct tls_context *context, const struct tls_ticket_keys *keys);

/* Whether both were loaded from the same certificates and rules; NULL is a context of its own kind. */
bool tls_context_same(const struct tls_context *a, const struct tls_context *b);

/* The last second in which its first own certificate is valid, in seconds since 1970: /varz tells it, so that
 * a dashboard can warn in time. 0: it has none; NULL has none either. Thread: any. */
int64_t tls_context_valid_until_seconds(const struct tls_context *context);

/* Whether that certificate demands that an OCSP responder's answer is stapled to it (RFC 7633). Thread: any.
 */
bool tls_context_must_staple(const struct tls_context *context);

#endif
