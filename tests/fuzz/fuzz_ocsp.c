/* Any bytes as a responder's answer, to certificates that the process has made: nothing crashes, and none but
 * the authority makes an answer. The input is either the whole answer, or changes of a true one: the first
 * byte chooses, then each pair of bytes is where and what. */
#include "core/base/check.h"
#include "net/tls_ocsp.h"

#include <openssl/evp.h>
#include <openssl/ocsp.h>

int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWER_BYTES_MAX = 4096, DER_BYTES_MAX = 4096 };

static struct ocsp_link link_asked;
static uint8_t certificate_der[DER_BYTES_MAX], issuer_der[DER_BYTES_MAX], answer_der[ANSWER_BYTES_MAX];
static size_t answer_count;

static X509 *certificate_make(const char *name, long serial, EVP_PKEY *key, X509 *issuer,
                              EVP_PKEY *issuer_key)
{
    X509 *made = X509_new();
    X509_NAME *subject = X509_get_subject_name(made);
    ASN1_INTEGER_set(X509_get_serialNumber(made), serial);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 86400);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(made, issuer == NULL ? subject : X509_get_subject_name(issuer));
    X509_set_pubkey(made, key);
    ASSERT(X509_sign(made, issuer_key, EVP_sha256()) > 0);
    return made;
}

static struct bytes der_write(X509 *certificate, uint8_t *into)
{
    unsigned char *at = into;
    int count = i2d_X509(certificate, NULL);
    ASSERT(count > 0 && count <= DER_BYTES_MAX);
    ASSERT(i2d_X509(certificate, &at) == count);
    return bytes_of(into, (size_t)count);
}

/* It says that the certificate is revoked. */
static void answer_make(X509 *certificate, X509 *issuer, EVP_PKEY *issuer_key)
{
    unsigned char *at = answer_der;
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, certificate, issuer);
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, 3600);
    ASSERT(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_REVOKED, 0, now, now, next) != NULL);
    ASSERT(OCSP_basic_sign(basic, issuer, issuer_key, EVP_sha256(), NULL, 0) == 1);
    OCSP_RESPONSE *whole = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int count = i2d_OCSP_RESPONSE(whole, NULL);
    ASSERT(count > 0 && count <= ANSWER_BYTES_MAX);
    answer_count = (size_t)i2d_OCSP_RESPONSE(whole, &at);
    OCSP_RESPONSE_free(whole);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
}

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
    (void)argument_count, (void)arguments;
    EVP_PKEY *issuer_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *issuer = certificate_make("authority", 1, issuer_key, NULL, issuer_key);
    X509 *certificate = certificate_make("server", 2, key, issuer, issuer_key);
    link_asked = (struct ocsp_link){der_write(certificate, certificate_der), der_write(issuer, issuer_der)};
    answer_make(certificate, issuer, issuer_key);
    X509_free(certificate);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer_key);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t changed[ANSWER_BYTES_MAX];
    struct ocsp_answer answer;
    char why[256];
    struct bytes response = bytes_of(data, size);
    if (size > 0 && data[0] == 0) {
        memcpy(changed, answer_der, answer_count);
        for (size_t i = 1; i + 2 < size; i += 3)
            changed[(size_t)(data[i] << 8 | data[i + 1]) % answer_count] = data[i + 2];
        response = bytes_of(changed, answer_count);
    }
    /* Who cannot sign can repeat what the authority has said, and nothing else. */
    if (tls_ocsp_judge(response, &link_asked, &answer, why, sizeof why) == OCSP_ANSWERED)
        ASSERT(answer.status == OCSP_STATUS_REVOKED);
    return 0;
}
