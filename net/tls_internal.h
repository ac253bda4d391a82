/* net/tls_internal.h - what the TLS files share with each other: the only header with OpenSSL's types in it.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include "core/base/arena.h"
#include "core/security/certificate_names.h"
#include "net/tls_context.h"
#include "net/tls_staple.h"

#include <openssl/ssl.h>
#include <stdatomic.h> /* lint: atomics, because a context is counted by streams of several threads */

enum { TLS_DIGEST_BYTES = 32 };

/* One own certificate with its key and the chain above it. */
struct tls_identity {
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* without the certificate itself; may be empty */
};

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *method; /* of the streams' BIOs: here, because it has to outlive them */
    struct tls_identity *identities;
    uint32_t identity_count;
    struct tls_ticket_keys ticket_keys;
    _Atomic(struct tls_staple *) staple; /* lint: atomics, because handshakes of several threads read it */
    bool asks_staple;                    /* to dial: the server is to send one */
    enum tls_role role;
    uint8_t digest[TLS_DIGEST_BYTES]; /* of everything that was loaded */
    _Atomic uint32_t holders; /* lint: atomics, because a context is counted by streams of several threads */
};

/* tls_staple.c: has OpenSSL take the staple of `made` for those who ask for one. */
void tls_staple_offer(struct tls_context *context);

/* tls_stream.c: the BIO between OpenSSL and a stream's buffers. NULL: no memory. */
BIO_METHOD *tls_bio_method_new(void);

/* tls_names.c: the names in a certificate, copied into the arena. ERR_MEMORY. */
MUST_USE enum err tls_names_take(const X509 *certificate, struct certificate_names *names,
                                 struct arena *arena);

/* tls_error.c: what OpenSSL has in its queue (which is emptied), as one sentence, in Go's words where
 * clients' operators know them. `verify_result` is SSL_get_verify_result()'s. */
void tls_error_describe(long verify_result, char *why, size_t why_bytes);

#endif
