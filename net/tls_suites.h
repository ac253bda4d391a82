/* net/tls_suites.h - the names that nats-server's files have for suites and curves, and OpenSSL's for the
 * same (spec/configuration.md 4.8.1, spec/security.md 4.2). Pure tables. Thread: any. */
#ifndef NET_TLS_SUITES_H
#define NET_TLS_SUITES_H

#include "core/base/bytes.h"

enum tls_suite_kind {
    TLS_SUITE_GOOD,
    TLS_SUITE_INSECURE, /* needs allow_insecure_cipher_suites */
    TLS_SUITE_TLS13,    /* always on; naming it changes nothing */
};

struct tls_suite {
    const char *name;    /* IANA's */
    const char *openssl; /* NULL: OpenSSL here has none */
    enum tls_suite_kind kind;
};

struct tls_curve {
    const char *name;
    const char *openssl; /* NULL: OpenSSL here has none */
};

/* By name, exactly; NULL: unknown. */
const struct tls_suite *tls_suite_find(struct bytes name);
const struct tls_curve *tls_curve_find(struct bytes name);

/* What is on when the file does not say, in our order of preference. */
#define TLS_SUITES_DEFAULT                                                                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"               \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS_SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TLS_GROUPS_DEFAULT "X25519:P-256:P-384:P-521"

#endif
