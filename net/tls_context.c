/* net/tls_context.c - from paths and rules to an SSL_CTX; see tls_context.h. */
#include "net/tls_context.h"

#include "core/base/check.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "net/tls_gcm.h"
#include "net/tls_internal.h"
#include "net/tls_suites.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

/* What is loaded, and where the sentence goes when it cannot be. */
struct loading {
    struct tls_context *context;
    const struct tls_options *options;
    EVP_MD_CTX *digest; /* over all that was loaded */
    EVP_MD_CTX *rules;  /* over what decides which peers may come: sessions are resumed only among the same */
    char *why;
    size_t why_bytes;
};

/* ---- own certificates ---- */

/* Nobody is there to be asked for a pass phrase: a sealed key is an error. */
static int no_passphrase(char *into, int size, int writing, void *context)
{
    (void)into, (void)size, (void)writing, (void)context;
    return -1;
}

/* Opens for reading, or says why not in Go's words. */
static BIO *open_file(struct loading *loading, const char *path, const char *before)
{
    errno = 0;
    BIO *file = BIO_new_file(path, "r");
    if (file == NULL)
        snprintf(loading->why, loading->why_bytes, "%sopen %s: %s", before, path,
                 errno_text(errno == 0 ? EIO : errno).text);
    ERR_clear_error();
    return file;
}

static const char pair_error[] = "error parsing X509 certificate/key pair: ";

static bool add_to_digest(EVP_MD_CTX *digest, X509 *certificate)
{
    uint8_t *der = NULL;
    int count = i2d_X509(certificate, &der);
    bool good = count > 0 && EVP_DigestUpdate(digest, der, (size_t)count) == 1;
    OPENSSL_free(der);
    return good;
}

static bool load_chain(struct loading *loading, struct tls_identity *identity, const char *path)
{
    BIO *file = open_file(loading, path, pair_error);
    if (file == NULL)
        return false;
    identity->certificate = PEM_read_bio_X509_AUX(file, NULL, no_passphrase, NULL);
    identity->chain = sk_X509_new_null();
    bool good = identity->certificate != NULL && identity->chain != NULL &&
                add_to_digest(loading->digest, identity->certificate);
    for (int i = 0; good && i <= TLS_CHAIN_MAX; i++) {
        X509 *next = PEM_read_bio_X509(file, NULL, no_passphrase, NULL);
        if (next == NULL)
            break; /* the end, or what is no certificate: a key behind it is usual */
        good = i < TLS_CHAIN_MAX && add_to_digest(loading->digest, next) &&
               sk_X509_push(identity->chain, next) > 0;
        if (!good)
            X509_free(next);
    }
    BIO_free(file);
    ERR_clear_error();
    if (!good)
        snprintf(loading->why, loading->why_bytes,
                 "%stls: failed to find any PEM certificate data that can be used in %s", pair_error, path);
    return good;
}

static bool load_key(struct loading *loading, struct tls_identity *identity, const char *path)
{
    BIO *file = open_file(loading, path, pair_error);
    if (file == NULL)
        return false;
    identity->key = PEM_read_bio_PrivateKey(file, NULL, no_passphrase, NULL);
    BIO_free(file);
    ERR_clear_error();
    if (identity->key == NULL)
        snprintf(loading->why, loading->why_bytes,
                 "%stls: failed to find an unencrypted PEM private key in %s", pair_error, path);
    return identity->key != NULL;
}

static bool load_identity(struct loading *loading, struct tls_identity *identity, const struct tls_pair *pair)
{
    if (!load_chain(loading, identity, pair->cert_file) || !load_key(loading, identity, pair->key_file))
        return false;
    bool fits = X509_check_private_key(identity->certificate, identity->key) == 1;
    ERR_clear_error();
    if (!fits)
        snprintf(loading->why, loading->why_bytes, "%stls: private key of %s does not match public key of %s",
                 pair_error, pair->key_file, pair->cert_file);
    return fits;
}

/* By the name that the client asks for: of those that have it the first of each kind of key, among which
 * OpenSSL takes what the client can verify. Without a name all have it; where none has it the first of all
 * stays. */
static int choose_identity(SSL *ssl, void *argument)
{
    enum { KINDS_MAX = 8 };
    const struct tls_context *context = argument;
    const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    int kinds[KINDS_MAX];
    int used = 0;
    for (uint32_t i = 0; i < context->identity_count && used < KINDS_MAX; i++) {
        const struct tls_identity *identity = &context->identities[i];
        int kind = EVP_PKEY_get_base_id(identity->key);
        bool taken = host != NULL && X509_check_host(identity->certificate, host, 0, 0, NULL) != 1;
        for (int k = 0; k < used; k++)
            taken = taken || kinds[k] == kind;
        if (taken)
            continue;
        if (used == 0)
            SSL_certs_clear(ssl);
        if (SSL_use_cert_and_key(ssl, identity->certificate, identity->key, identity->chain, 1) != 1)
            return 0;
        kinds[used++] = kind;
    }
    return 1;
}

static bool load_identities(struct loading *loading)
{
    struct tls_context *context = loading->context;
    const struct tls_options *options = loading->options;
    context->identities = memory_new((options->pair_count + 1) * sizeof context->identities[0]);
    if (context->identities == NULL)
        return false;
    for (uint32_t i = 0; i < options->pair_count; i++) {
        struct tls_identity *identity = &context->identities[i];
        context->identity_count = i + 1;
        if (!load_identity(loading, identity, &options->pairs[i]))
            return false;
        if (i == 0 && SSL_CTX_use_cert_and_key(context->ssl, identity->certificate, identity->key,
                                               identity->chain, 1) != 1) {
            char reason[256];
            tls_error_describe(X509_V_OK, reason, sizeof reason);
            snprintf(loading->why, loading->why_bytes, "%s%s: %s", pair_error, options->pairs[i].cert_file,
                     reason);
            return false;
        }
    }
    if (context->identity_count > 1)
        SSL_CTX_set_cert_cb(context->ssl, choose_identity, context);
    return true;
}

/* ---- whom to trust ---- */

static bool load_authorities(struct loading *loading)
{
    SSL_CTX *ssl = loading->context->ssl;
    const char *path = loading->options->ca_file;
    if (path == NULL)
        return SSL_CTX_set_default_verify_paths(ssl) == 1;
    BIO *file = open_file(loading, path, "");
    if (file == NULL)
        return false;
    int count = 0;
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    bool good = names != NULL;
    for (X509 *authority; good && (authority = PEM_read_bio_X509(file, NULL, no_passphrase, NULL)) != NULL;) {
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(authority));
        good = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), authority) == 1 && name != NULL &&
               add_to_digest(loading->digest, authority) && add_to_digest(loading->rules, authority);
        if (name != NULL && sk_X509_NAME_push(names, name) <= 0)
            X509_NAME_free(name);
        X509_free(authority);
        count++;
    }
    BIO_free(file);
    ERR_clear_error();
    if (!good || count == 0) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        snprintf(loading->why, loading->why_bytes, "failed to parse root ca certificate");
        return false;
    }
    SSL_CTX_set_client_CA_list(ssl, names); /* which it owns from here on */
    return true;
}

static int verify_mode(const struct tls_options *options, enum tls_role role)
{
    if (role == TLS_CLIENT)
        return options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    if (options->verify || options->map)
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    return options->verify_optional ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
}

/* ---- versions, suites, curves, sessions ---- */

static bool set_rules(struct loading *loading)
{
    SSL_CTX *ssl = loading->context->ssl;
    const struct tls_options *options = loading->options;
    const char *suites = options->suites == NULL ? TLS_SUITES_DEFAULT : options->suites;
    /* Only suites of TLS 1.3 were named: nothing below it can be agreed on. */
    bool tls13_only = options->tls13_only || suites[0] == 0;
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_SINGLE_ECDH_USE);
    /* Idle connections hold no record buffers; written bytes may have moved when a write is tried again; the
     * chain that is sent is the one in the file, not one that each handshake would look for anew. */
    SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(ssl, verify_mode(options, loading->context->role), NULL);
    SSL_CTX_set_session_cache_mode(ssl,
                                   SSL_SESS_CACHE_OFF); /* tickets need none, and threads share nothing */
    /* Without keys of ours (tls_context_tickets()) OpenSSL makes some for this context alone. */
    SSL_CTX_set_num_tickets(ssl, 1); /* as Go's servers */
    if (options->ocsp_peer.verify) { /* a ticket does not hold the chain that would have to be asked about */
        SSL_CTX_set_num_tickets(ssl, 0);
        SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
    }
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    return SSL_CTX_set_min_proto_version(ssl, tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ssl, TLS_SUITES_13) == 1 &&
           (suites[0] == 0 || SSL_CTX_set_cipher_list(ssl, suites) == 1) &&
           SSL_CTX_set1_groups_list(ssl, options->groups == NULL ? TLS_GROUPS_DEFAULT : options->groups) == 1;
}

static bool digest_rules(struct loading *loading)
{
    const struct tls_options *options = loading->options;
    const uint8_t flags[] = {options->verify,     options->verify_optional, options->map,
                             options->tls13_only, options->ca_file != NULL, options->ocsp_peer.verify};
    const char *texts[] = {options->suites, options->groups};
    bool good = EVP_DigestUpdate(loading->rules, flags, sizeof flags) == 1 &&
                EVP_DigestUpdate(loading->digest, flags, sizeof flags) == 1;
    for (size_t i = 0; good && i < COUNT_OF(texts); i++) {
        const char *at = texts[i] == NULL ? "" : texts[i];
        good = EVP_DigestUpdate(loading->digest, at, strlen(at) + 1) == 1;
    }
    return good;
}

static bool finish_digests(struct loading *loading)
{
    uint8_t rules[TLS_DIGEST_BYTES];
    unsigned count = 0;
    return EVP_DigestFinal_ex(loading->rules, rules, &count) == 1 &&
           SSL_CTX_set_session_id_context(loading->context->ssl, rules, sizeof rules) == 1 &&
           EVP_DigestFinal_ex(loading->digest, loading->context->digest, &count) == 1;
}

static bool load_all(struct loading *loading)
{
    return loading->digest != NULL && loading->rules != NULL &&
           EVP_DigestInit_ex(loading->digest, EVP_sha256(), NULL) == 1 &&
           EVP_DigestInit_ex(loading->rules, EVP_sha256(), NULL) == 1 && set_rules(loading) &&
           digest_rules(loading) && load_identities(loading) && load_authorities(loading) &&
           finish_digests(loading);
}

/* ---- beginning and end ---- */

enum err tls_context_new(struct tls_context **context, const struct tls_options *options, enum tls_role role,
                         char *why, size_t why_bytes)
{
    snprintf(why, why_bytes, "out of memory");
    *context = NULL;
    struct tls_context *made = memory_new(sizeof *made);
    if (made == NULL)
        return ERR_MEMORY;
    made->role = role;
    atomic_store_explicit(&made->holders, 1, memory_order_relaxed);
    (void)tls_gcm_offer();
    made->ssl =
        SSL_CTX_new_ex(NULL, TLS_GCM_QUERY, role == TLS_SERVER ? TLS_server_method() : TLS_client_method());
    made->method = tls_bio_method_new();
    if (made->ssl == NULL || made->method == NULL) {
        tls_context_release(made);
        return ERR_MEMORY;
    }
    if (role == TLS_SERVER)
        tls_staple_offer(made);
    why[0] = 0;
    struct loading loading = {.context = made,
                              .options = options,
                              .digest = EVP_MD_CTX_new(),
                              .rules = EVP_MD_CTX_new(),
                              .why = why,
                              .why_bytes = why_bytes};
    bool good = load_all(&loading);
    EVP_MD_CTX_free(loading.digest);
    EVP_MD_CTX_free(loading.rules);
    if (!good && why[0] == 0)
        tls_error_describe(X509_V_OK, why, why_bytes);
    ERR_clear_error();
    if (!good) {
        tls_context_release(made);
        return ERR_INVALID;
    }
    *context = made;
    return ERR_OK;
}

struct tls_context *tls_context_hold(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->holders, 1, memory_order_relaxed);
    return context;
}

void tls_context_release(struct tls_context *context)
{
    if (context == NULL)
        return;
    /* Acquire on the last one, as in core/base/block.c. */
    uint32_t before = atomic_fetch_sub_explicit(&context->holders, 1, memory_order_acq_rel);
    ASSERT(before >= 1);
    if (before > 1)
        return;
    for (uint32_t i = 0; i < context->identity_count; i++) {
        X509_free(context->identities[i].certificate);
        EVP_PKEY_free(context->identities[i].key);
        sk_X509_pop_free(context->identities[i].chain, X509_free);
    }
    tls_staple_free(atomic_load_explicit(&context->staple, memory_order_relaxed));
    OPENSSL_cleanse(&context->ticket_keys, sizeof context->ticket_keys);
    memory_free(context->identities);
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->method);
    memory_free(context);
}

/* ---- tickets ---- */

enum err tls_ticket_keys_make(struct tls_ticket_keys *keys)
{
    bool good = RAND_bytes(keys->name, sizeof keys->name) == 1 &&
                RAND_priv_bytes(keys->seal, sizeof keys->seal) == 1 &&
                RAND_priv_bytes(keys->sign, sizeof keys->sign) == 1;
    return good ? ERR_OK : ERR_SYSTEM;
}

/* OpenSSL asks for the keys of a ticket that it seals or opens. 1: here they are; 0: no ticket; -1: failed.
 */
static int ticket_keys(SSL *ssl, unsigned char name[TLS_TICKET_NAME_BYTES], unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_ticket_keys *keys = &context->ticket_keys;
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, keys->sign, sizeof keys->sign),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (SSL_version(ssl) < TLS1_3_VERSION)
        return 0;
    if (!sealing && CRYPTO_memcmp(name, keys->name, sizeof keys->name) != 0)
        return 0; /* of another process */
    if (sealing)
        memcpy(name, keys->name, sizeof keys->name);
    bool good = (!sealing || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1) &&
                EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->seal, iv, sealing) == 1 &&
                EVP_MAC_CTX_set_params(mac, parameters) == 1;
    return good ? 1 : -1;
}

void tls_context_tickets(struct tls_context *context, const struct tls_ticket_keys *keys)
{
    context->ticket_keys = *keys;
    SSL_CTX_set_app_data(context->ssl, context);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context->ssl, ticket_keys);
}

bool tls_context_same(const struct tls_context *a, const struct tls_context *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

int64_t tls_context_valid_until_seconds(const struct tls_context *context)
{
    struct tm until;
    if (context == NULL || context->identity_count == 0)
        return 0;
    const X509 *certificate = context->identities[0].certificate;
    return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &until) == 1 ? (int64_t)timegm(&until) : 0;
}

bool tls_context_must_staple(const struct tls_context *context)
{
    bool found = false;
    if (context == NULL || context->identity_count == 0)
        return false;
    TLS_FEATURE *features = X509_get_ext_d2i(context->identities[0].certificate, NID_tlsfeature, NULL, NULL);
    for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++) /* -1 of none */
        found = found || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLSEXT_TYPE_status_request;
    TLS_FEATURE_free(features);
    ERR_clear_error();
    return found;
}
