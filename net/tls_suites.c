/* net/tls_suites.c - the tables behind tls_suites.h. */
#include "net/tls_suites.h"

#include "core/base/language.h"

#define GOOD(name, openssl)                                                                                  \
    {                                                                                                        \
        name, openssl, TLS_SUITE_GOOD                                                                        \
    }
#define INSECURE(name, openssl)                                                                              \
    {                                                                                                        \
        name, openssl, TLS_SUITE_INSECURE                                                                    \
    }
#define OF_TLS13(name)                                                                                       \
    {                                                                                                        \
        name, NULL, TLS_SUITE_TLS13                                                                          \
    }

/* RC4 and 3DES are known by name, so that the sentence says what they are, but Debian's OpenSSL has neither.
 */
static const struct tls_suite suites[] = {
    OF_TLS13("TLS_AES_128_GCM_SHA256"),
    OF_TLS13("TLS_AES_256_GCM_SHA384"),
    OF_TLS13("TLS_CHACHA20_POLY1305_SHA256"),
    GOOD("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    GOOD("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    GOOD("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    GOOD("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    GOOD("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    GOOD("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
    /* As nats-server 2.9 named them. */
    GOOD("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    GOOD("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
    GOOD("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"),
    GOOD("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"),
    GOOD("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"),
    GOOD("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"),
    INSECURE("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"),
    INSECURE("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
    INSECURE("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
    INSECURE("TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
    INSECURE("TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"),
    INSECURE("TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
    INSECURE("TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
    INSECURE("TLS_RSA_WITH_3DES_EDE_CBC_SHA", NULL),
    INSECURE("TLS_RSA_WITH_RC4_128_SHA", NULL),
    INSECURE("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", NULL),
    INSECURE("TLS_ECDHE_RSA_WITH_RC4_128_SHA", NULL),
    INSECURE("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", NULL),
};

/* The hybrids need OpenSSL 3.5. */
static const struct tls_curve curves[] = {
    {"X25519", "X25519"},         {"CurveP256", "P-256"},   {"CurveP384", "P-384"},
    {"CurveP521", "P-521"},       {"X25519MLKEM768", NULL}, {"SecP256r1MLKEM768", NULL},
    {"SecP384r1MLKEM1024", NULL},
};

const struct tls_suite *tls_suite_find(struct bytes name)
{
    for (size_t i = 0; i < COUNT_OF(suites); i++) {
        if (bytes_equal(name, text(suites[i].name)))
            return &suites[i];
    }
    return NULL;
}

const struct tls_curve *tls_curve_find(struct bytes name)
{
    for (size_t i = 0; i < COUNT_OF(curves); i++) {
        if (bytes_equal(name, text(curves[i].name)))
            return &curves[i];
    }
    return NULL;
}
