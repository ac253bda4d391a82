/* net/tls_error.c - why TLS failed, as one sentence for the log. Where nats-server's operators know Go's
 * words for it these are used (spec/security.md 4.5), else OpenSSL's own. */
#include "net/tls_internal.h"

#include "core/base/language.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int reason; /* of ERR_LIB_SSL */
    const char *text;
} reasons[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "tls: client didn't provide a certificate"},
    {SSL_R_WRONG_VERSION_NUMBER, "tls: first record does not look like a TLS handshake"},
    {SSL_R_HTTP_REQUEST, "tls: first record does not look like a TLS handshake"},
    {SSL_R_HTTPS_PROXY_REQUEST, "tls: first record does not look like a TLS handshake"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "tls: client offered only unsupported versions"},
    {SSL_R_NO_SHARED_CIPHER, "tls: no cipher suite supported by both client and server"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "tls: no key exchanges supported by both client and server"},
    {SSL_R_NO_SUITABLE_GROUPS, "tls: no key exchanges supported by both client and server"},
};

static const struct {
    long result; /* of verification */
    const char *text;
} verdicts[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "x509: certificate signed by unknown authority"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "x509: certificate signed by unknown authority"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "x509: certificate signed by unknown authority"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "x509: certificate signed by unknown authority"},
    {X509_V_ERR_CERT_HAS_EXPIRED, "x509: certificate has expired or is not yet valid"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "x509: certificate has expired or is not yet valid"},
    {X509_V_ERR_INVALID_PURPOSE, "x509: certificate specifies an incompatible key usage"},
};

static void describe_verdict(long result, char *why, size_t why_bytes)
{
    const char *sentence = X509_verify_cert_error_string(result);
    for (size_t i = 0; i < COUNT_OF(verdicts); i++) {
        if (verdicts[i].result == result)
            sentence = verdicts[i].text;
    }
    snprintf(why, why_bytes, "tls: failed to verify certificate: %s", sentence);
}

/* "sslv3 alert bad certificate", "tlsv1 alert unknown ca" are what the peer told us. */
static bool describe_alert(const char *reason, char *why, size_t why_bytes)
{
    const char *alert = strstr(reason, " alert ");
    if (alert == NULL)
        return false;
    snprintf(why, why_bytes, "remote error: tls: %s", alert + strlen(" alert "));
    return true;
}

void tls_error_describe(long verify_result, char *why, size_t why_bytes)
{
    /* The first error is the cause, what follows are its consequences. */
    unsigned long error = ERR_get_error();
    int reason = ERR_GET_REASON(error);
    const char *sentence = error == 0 ? NULL : ERR_reason_error_string(error);
    bool of_ssl = ERR_GET_LIB(error) == ERR_LIB_SSL;
    ERR_clear_error();
    if (of_ssl && reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify_result != X509_V_OK) {
        describe_verdict(verify_result, why, why_bytes);
        return;
    }
    for (size_t i = 0; of_ssl && i < COUNT_OF(reasons); i++) {
        if (reasons[i].reason == reason) {
            snprintf(why, why_bytes, "%s", reasons[i].text);
            return;
        }
    }
    if (sentence == NULL)
        snprintf(why, why_bytes, "tls: connection failed");
    else if (!describe_alert(sentence, why, why_bytes))
        snprintf(why, why_bytes, "tls: %s", sentence);
}
