/* net/tls_ocsp.c - see tls_ocsp.h. */
#include "net/tls_ocsp.h"

#include "core/base/clock.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

/* Both certificates, taken apart. */
struct pair {
    X509 *certificate;
    X509 *issuer;
};

static X509 *certificate_of(struct bytes der)
{
    const unsigned char *at = der.data;
    return der.count == 0 || der.count > INT32_MAX ? NULL : d2i_X509(NULL, &at, (long)der.count);
}

static bool pair_open(struct pair *pair, const struct ocsp_link *link)
{
    pair->certificate = certificate_of(link->certificate);
    pair->issuer = certificate_of(link->issuer);
    return pair->certificate != NULL && pair->issuer != NULL;
}

static void pair_close(struct pair *pair)
{
    X509_free(pair->certificate);
    X509_free(pair->issuer);
    ERR_clear_error();
}

/* ---- the question ---- */

static struct bytes request_copy(const OCSP_REQUEST *request, struct arena *arena)
{
    unsigned char *der = NULL;
    int count = i2d_OCSP_REQUEST(request, &der);
    struct bytes copy = {0};
    if (count > 0)
        copy = bytes_of(arena_copy(arena, bytes_of(der, (size_t)count)), (size_t)count);
    OPENSSL_free(der);
    return copy.data == NULL ? (struct bytes){0} : copy;
}

/* Without a nonce: an answer that was made before will do, which is how the large responders work. */
struct bytes tls_ocsp_request(const struct ocsp_link *link, struct arena *arena)
{
    struct pair pair;
    struct bytes bytes = {0};
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    if (pair_open(&pair, link) && request != NULL) {
        OCSP_CERTID *id = OCSP_cert_to_id(NULL, pair.certificate, pair.issuer); /* by SHA-1, as all ask */
        if (id != NULL && OCSP_request_add0_id(request, id) != NULL)
            bytes = request_copy(request, arena);
        else
            OCSP_CERTID_free(id);
    }
    OCSP_REQUEST_free(request);
    pair_close(&pair);
    return bytes;
}

/* ---- the answer ---- */

/* Which of the responses in it is about this certificate: a responder may name it by another hash than it was
 * asked by. */
static OCSP_SINGLERESP *find_single(OCSP_BASICRESP *basic, const struct pair *pair)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_OBJECT *algorithm = NULL;
        OCSP_CERTID *told = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
        if (OCSP_id_get0_info(NULL, &algorithm, NULL, NULL, told) != 1)
            continue;
        const EVP_MD *digest = EVP_get_digestbyobj(algorithm);
        OCSP_CERTID *own = digest == NULL ? NULL : OCSP_cert_to_id(digest, pair->certificate, pair->issuer);
        bool same = own != NULL && OCSP_id_cmp(own, told) == 0;
        OCSP_CERTID_free(own);
        if (same)
            return single;
    }
    return NULL;
}

/* 0: none, or one before 1970, which nobody means. */
static int64_t time_of(const ASN1_GENERALIZEDTIME *written)
{
    struct tm parts;
    if (written == NULL || ASN1_TIME_to_tm(written, &parts) != 1)
        return 0;
    int64_t seconds = (int64_t)timegm(&parts);
    if (seconds < 0)
        return 0;
    return seconds > INT64_MAX / NS_PER_SECOND ? INT64_MAX / 2 : seconds * NS_PER_SECOND;
}

static bool single_read(OCSP_SINGLERESP *single, struct ocsp_answer *answer)
{
    ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
    switch (OCSP_single_get0_status(single, NULL, NULL, &this_update, &next_update)) {
    case V_OCSP_CERTSTATUS_GOOD:
        answer->status = OCSP_STATUS_GOOD;
        break;
    case V_OCSP_CERTSTATUS_REVOKED:
        answer->status = OCSP_STATUS_REVOKED;
        break;
    case V_OCSP_CERTSTATUS_UNKNOWN:
        answer->status = OCSP_STATUS_UNKNOWN;
        break;
    default:
        return false;
    }
    answer->this_update_ns = time_of(this_update);
    answer->next_update_ns = time_of(next_update);
    return answer->this_update_ns != 0 && (next_update == NULL) == (answer->next_update_ns == 0);
}

/* Signed by the issuer, or by one whom it has certified for that (RFC 6960 section 4.2.2.2). */
static enum ocsp_judgement signature_judge(OCSP_BASICRESP *basic, const struct pair *pair, char *why,
                                           size_t why_bytes)
{
    enum ocsp_judgement judgement = OCSP_UNREADABLE;
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *issuers = sk_X509_new_null();
    snprintf(why, why_bytes, "bad OCSP signature");
    /* The issuer may be in the middle of a chain: it is trusted as it is, since the chain has been checked.
     */
    if (store != NULL && issuers != NULL && X509_STORE_add_cert(store, pair->issuer) == 1 &&
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
        sk_X509_push(issuers, pair->issuer) > 0) {
        if (OCSP_basic_verify(basic, issuers, store, 0) == 1)
            judgement = OCSP_ANSWERED;
        else if (ERR_GET_REASON(ERR_peek_error()) == OCSP_R_MISSING_OCSPSIGNING_USAGE ||
                 ERR_GET_REASON(ERR_peek_last_error()) == OCSP_R_ROOT_CA_NOT_TRUSTED)
            judgement = OCSP_BAD_DELEGATION;
    }
    sk_X509_free(issuers);
    X509_STORE_free(store);
    if (judgement == OCSP_BAD_DELEGATION)
        snprintf(why, why_bytes, "OCSP response signer missing authorization by CA to act as OCSP signer");
    return judgement;
}

static enum ocsp_judgement basic_judge(OCSP_BASICRESP *basic, const struct pair *pair,
                                       struct ocsp_answer *answer, char *why, size_t why_bytes)
{
    OCSP_SINGLERESP *single = find_single(basic, pair);
    if (single == NULL || !single_read(single, answer)) {
        snprintf(why, why_bytes, "no response matching the supplied certificate");
        return OCSP_UNREADABLE;
    }
    return signature_judge(basic, pair, why, why_bytes);
}

enum ocsp_judgement tls_ocsp_judge(struct bytes response, const struct ocsp_link *link,
                                   struct ocsp_answer *answer, char *why, size_t why_bytes)
{
    struct pair pair = {0};
    const unsigned char *at = response.data;
    enum ocsp_judgement judgement = OCSP_UNREADABLE;
    bool sized = response.count > 0 && response.count <= OCSP_RESPONSE_BYTES_MAX;
    OCSP_RESPONSE *whole = sized ? d2i_OCSP_RESPONSE(NULL, &at, (long)response.count) : NULL;
    OCSP_BASICRESP *basic = NULL;
    *answer = (struct ocsp_answer){0};
    if (whole == NULL || at != response.data + response.count)
        snprintf(why, why_bytes, "the response is not in DER, or too long");
    else if (OCSP_response_status(whole) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        snprintf(why, why_bytes, "ocsp: error from server: %s",
                 OCSP_response_status_str(OCSP_response_status(whole)));
    else if ((basic = OCSP_response_get1_basic(whole)) == NULL || !pair_open(&pair, link))
        snprintf(why, why_bytes, "the response is of a kind that nobody knows");
    else
        judgement = basic_judge(basic, &pair, answer, why, why_bytes);
    if (judgement == OCSP_ANSWERED)
        why[0] = 0;
    else /* what nobody has signed is not looked at */
        *answer = (struct ocsp_answer){0};
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(whole);
    pair_close(&pair);
    return judgement;
}

/* ---- what a certificate says ---- */

static bool asks_the_web(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

uint32_t tls_ocsp_urls(struct bytes certificate, const char *urls[OCSP_URLS_MAX], struct arena *arena)
{
    X509 *opened = certificate_of(certificate);
    STACK_OF(OPENSSL_STRING) *named = opened == NULL ? NULL : X509_get1_ocsp(opened);
    uint32_t count = 0;
    for (int i = 0; i < sk_OPENSSL_STRING_num(named) && count < OCSP_URLS_MAX; i++) { /* -1 of none */
        const char *url = sk_OPENSSL_STRING_value(named, i);
        if (asks_the_web(url) && (urls[count] = arena_copy(arena, text(url))) != NULL)
            count++;
    }
    X509_email_free(named);
    X509_free(opened);
    ERR_clear_error();
    return count;
}

bool tls_ocsp_fingerprint(struct bytes certificate, uint8_t digest[OCSP_FINGERPRINT_BYTES])
{
    unsigned count = 0;
    return EVP_Digest(certificate.data, certificate.count, digest, &count, EVP_sha256(), NULL) == 1;
}
