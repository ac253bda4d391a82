/* tests/unit/net/tls_certificates.h - authorities and certificates for the tests of TLS, made anew by each
 * test in a folder of its own, so that nothing in the tree can expire. Everything is static: a test file
 * includes it. */
#ifndef TESTS_UNIT_NET_TLS_CERTIFICATES_H
#define TESTS_UNIT_NET_TLS_CERTIFICATES_H

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CERTIFICATE_PATH_BYTES = 128 };

/* A certificate with its key, in memory and in two files. */
struct made {
    X509 *certificate;
    EVP_PKEY *key;
    char cert_file[CERTIFICATE_PATH_BYTES];
    char key_file[CERTIFICATE_PATH_BYTES];
};

struct certificates {
    char folder[64];
    struct made authority, other_authority, server, client,
        stranger; /* the stranger's is by other_authority */
    long serial;
};

/* `subject` is "O=Org/CN=name" in the order of the DER; `names` as OpenSSL's configuration writes them, or
 * NULL. */
static inline void certificate_make(struct certificates *all, struct made *made, const char *file,
                                    const char *subject, const char *names, const struct made *issuer,
                                    long days)
{
    char parts[256];
    char *rest = parts;
    X509_NAME *name = X509_NAME_new();
    made->key = EVP_EC_gen("P-256");
    made->certificate = X509_new();
    snprintf(parts, sizeof parts, "%s", subject);
    for (char *part; (part = strsep(&rest, "/")) != NULL;) {
        char *value = strchr(part, '=');
        *value++ = 0;
        X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
    }
    X509_set_version(made->certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made->certificate), ++all->serial);
    X509_gmtime_adj(X509_getm_notBefore(made->certificate), -86400 * 2);
    X509_gmtime_adj(X509_getm_notAfter(made->certificate), 86400 * days);
    X509_set_subject_name(made->certificate, name);
    X509_set_issuer_name(made->certificate,
                         issuer == NULL ? name : X509_get_subject_name(issuer->certificate));
    X509_set_pubkey(made->certificate, made->key);
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer == NULL ? made->certificate : issuer->certificate, made->certificate,
                   NULL, NULL, 0);
    X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, &context, NID_basic_constraints,
                                                issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    X509_add_ext(made->certificate, basic, -1);
    X509_EXTENSION_free(basic);
    if (names != NULL) {
        X509_EXTENSION *alternative = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, names);
        cr_assert_not_null(alternative, "%s", names);
        X509_add_ext(made->certificate, alternative, -1);
        X509_EXTENSION_free(alternative);
    }
    cr_assert_gt(X509_sign(made->certificate, issuer == NULL ? made->key : issuer->key, EVP_sha256()), 0);
    X509_NAME_free(name);
    snprintf(made->cert_file, sizeof made->cert_file, "%s/%s.pem", all->folder, file);
    snprintf(made->key_file, sizeof made->key_file, "%s/%s.key", all->folder, file);
    FILE *out = fopen(made->cert_file, "w");
    cr_assert(out != NULL && PEM_write_X509(out, made->certificate) == 1 && fclose(out) == 0);
    out = fopen(made->key_file, "w");
    cr_assert(out != NULL && PEM_write_PrivateKey(out, made->key, NULL, NULL, 0, NULL, NULL) == 1 &&
              fclose(out) == 0);
}

static inline void certificates_open(struct certificates *all)
{
    *all = (struct certificates){0};
    snprintf(all->folder, sizeof all->folder, "/tmp/myelin-tls-XXXXXX");
    cr_assert_not_null(mkdtemp(all->folder));
    certificate_make(all, &all->authority, "ca", "CN=Test Authority", NULL, NULL, 2);
    certificate_make(all, &all->other_authority, "other-ca", "CN=Other Authority", NULL, NULL, 2);
    certificate_make(all, &all->server, "server", "O=Myelin/CN=server", "DNS:localhost,IP:127.0.0.1",
                     &all->authority, 2);
    certificate_make(
        all, &all->client, "client", "C=DE/O=Org/CN=alice",
        "email:alice@example.org,email:a@example.org,DNS:alice.example.org,URI:spiffe://example.org/alice",
        &all->authority, 2);
    certificate_make(all, &all->stranger, "stranger", "CN=mallory", NULL, &all->other_authority, 2);
}

static inline void certificate_drop(struct made *made)
{
    (void)unlink(made->cert_file);
    (void)unlink(made->key_file);
    X509_free(made->certificate);
    EVP_PKEY_free(made->key);
}

static inline void certificates_close(struct certificates *all)
{
    struct made *each[] = {&all->authority, &all->other_authority, &all->server, &all->client,
                           &all->stranger};
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
        certificate_drop(each[i]);
    cr_expect_eq(rmdir(all->folder), 0);
}

#endif
