/* tests/unit/net/ocsp_answers.h - OCSP responses for the tests, signed by whom a test chooses, with the times
 * that it chooses. Everything is static: a test file includes it. */
#ifndef TESTS_UNIT_NET_OCSP_ANSWERS_H
#define TESTS_UNIT_NET_OCSP_ANSWERS_H

#include "core/base/bytes.h"
#include "tests/unit/net/tls_certificates.h"

#include <openssl/ocsp.h>

/* What a response says. */
struct told {
    const struct made *signer;
    const EVP_MD *named_by; /* how it names the certificate; NULL: by SHA-1 */
    int status;             /* V_OCSP_CERTSTATUS_... */
    long this_seconds;      /* from now */
    long next_seconds;      /* from now; 0: not said */
    const char *this_text;  /* in place of the seconds: "16400101000000Z"; NULL: they count */
    const char *next_text;
    bool with_signer; /* the signer's certificate is in it */
};

static inline ASN1_TIME *moment_make(long seconds, const char *text)
{
    ASN1_TIME *made = X509_gmtime_adj(NULL, seconds);
    cr_assert_not_null(made);
    cr_assert(text == NULL || ASN1_TIME_set_string(made, text) == 1);
    return made;
}

/* About `about` by `issuer`; bytes to be freed by OPENSSL_free(). */
static inline struct bytes answer_make(const struct told *told, const struct made *about,
                                       const struct made *issuer)
{
    unsigned char *der = NULL;
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(told->named_by, about->certificate, issuer->certificate);
    ASN1_TIME *now = moment_make(told->this_seconds, told->this_text);
    ASN1_TIME *next = told->next_seconds == 0 ? NULL : moment_make(told->next_seconds, told->next_text);
    ASN1_TIME *revoked = told->status == V_OCSP_CERTSTATUS_REVOKED ? X509_gmtime_adj(NULL, -60) : NULL;
    cr_assert_not_null(OCSP_basic_add1_status(basic, id, told->status, 0, revoked, now, next));
    cr_assert_eq(OCSP_basic_sign(basic, told->signer->certificate, told->signer->key, EVP_sha256(), NULL,
                                 told->with_signer ? 0 : OCSP_NOCERTS),
                 1);
    OCSP_RESPONSE *whole = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int count = i2d_OCSP_RESPONSE(whole, &der);
    cr_assert_gt(count, 0);
    OCSP_RESPONSE_free(whole);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
    ASN1_TIME_free(revoked);
    return bytes_of(der, (size_t)count);
}

/* The certificate as DER, to be freed likewise. */
static inline struct bytes certificate_der(const struct made *made)
{
    unsigned char *der = NULL;
    int count = i2d_X509(made->certificate, &der);
    cr_assert_gt(count, 0);
    return bytes_of(der, (size_t)count);
}

#endif
