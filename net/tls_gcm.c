/* net/tls_gcm.c - see tls_gcm.h. What a provider's cipher is asked for is in provider-cipher(7); how TLS 1.2
 * asks for a whole record (nonce, text and tag in one buffer) is EVP_CTRL_AEAD_TLS1_AAD in
 * EVP_EncryptInit(3). Only what TLS needs is here: nonces of 12 bytes, tags of 16, no copies of a context. */
#include "net/tls_gcm.h"

#include "core/base/memory.h"

#ifdef MYELIN_IPSEC_MB

#include <cpuid.h>
#include <intel-ipsec-mb.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <string.h>

enum {
    NONCE_BYTES = 12,
    FIXED_BYTES = 4,    /* of the nonce, in TLS 1.2: from the key block */
    EXPLICIT_BYTES = 8, /* the rest of it: in each record */
    TAG_BYTES = 16,
    AAD_BYTES_MAX = 64, /* TLS has 5 or 13 */
    RECORD_AAD_BYTES = EVP_AEAD_TLS1_AAD_LEN,
};
#define OPENSSL_WITH_VAES 0x30100000UL

/* What one key size does. */
struct gcm_calls {
    size_t key_bytes;
    aes_gcm_pre_t prepare;
    aes_gcm_init_t init;
    aes_gcm_enc_dec_update_t seal, open;
    aes_gcm_enc_dec_finalize_t seal_end, open_end;
};

/* The provider's context. */
struct gcm_provider {
    IMB_MGR *manager; /* a table of functions; what is called of it keeps nothing in it */
    struct gcm_calls calls[2];
};

/* One direction of one connection. */
struct gcm_cipher {
    struct gcm_key_data key; /* first: on a cache line's border, as the library wants it */
    struct gcm_context_data state;
    const struct gcm_calls *calls;
    uint8_t nonce[NONCE_BYTES];
    uint8_t tag[TAG_BYTES];
    uint8_t aad[AAD_BYTES_MAX];
    size_t aad_bytes;
    bool encrypts, has_key, has_nonce, has_tag;
    bool begun;  /* the nonce is in use */
    bool record; /* the next update is a whole record of TLS 1.2 */
};

/* ---- one message ---- */

static void begin(struct gcm_cipher *cipher)
{
    cipher->calls->init(&cipher->key, &cipher->state, cipher->nonce, cipher->aad, cipher->aad_bytes);
    cipher->begun = true;
}

static void work(struct gcm_cipher *cipher, uint8_t *to, const uint8_t *from, size_t bytes)
{
    (cipher->encrypts ? cipher->calls->seal : cipher->calls->open)(&cipher->key, &cipher->state, to, from,
                                                                   bytes);
}

/* The tag of what was worked on; a nonce is used once. */
static void finish(struct gcm_cipher *cipher, uint8_t *tag)
{
    (cipher->encrypts ? cipher->calls->seal_end : cipher->calls->open_end)(&cipher->key, &cipher->state, tag,
                                                                           TAG_BYTES);
    cipher->begun = cipher->has_nonce = false;
    cipher->aad_bytes = 0;
}

/* ---- TLS 1.2: a record at once ---- */

static void explicit_next(uint8_t *explicit)
{
    for (int i = EXPLICIT_BYTES - 1; i >= 0 && ++explicit[i] == 0; i--) {
    }
}

/* In place: nonce, text, tag. What comes out is the whole when it is sealed, the text's length when opened.
 */
static bool record_work(struct gcm_cipher *cipher, uint8_t *to, size_t *to_bytes, const uint8_t *from,
                        size_t bytes)
{
    uint8_t tag[TAG_BYTES];
    uint8_t *explicit = cipher->nonce + FIXED_BYTES;
    cipher->record = false;
    if (to != from || bytes < EXPLICIT_BYTES + TAG_BYTES || !cipher->has_nonce)
        return false;
    size_t text_bytes = bytes - EXPLICIT_BYTES - TAG_BYTES;
    uint8_t *text = to + EXPLICIT_BYTES;
    if (cipher->encrypts)
        memcpy(to, explicit, EXPLICIT_BYTES);
    else
        memcpy(explicit, to, EXPLICIT_BYTES);
    begin(cipher);
    work(cipher, text, text, text_bytes);
    finish(cipher, tag);
    cipher->has_nonce = true; /* the next one is made of it */
    *to_bytes = cipher->encrypts ? bytes : text_bytes;
    if (cipher->encrypts) {
        explicit_next(explicit);
        memcpy(text + text_bytes, tag, TAG_BYTES);
        return true;
    }
    if (CRYPTO_memcmp(tag, text + text_bytes, TAG_BYTES) == 0)
        return true;
    OPENSSL_cleanse(text, text_bytes);
    return false;
}

/* What the next record's header is; its length is that of the text. */
static bool record_begin(struct gcm_cipher *cipher, const void *aad, size_t bytes)
{
    if (bytes != RECORD_AAD_BYTES)
        return false;
    memcpy(cipher->aad, aad, bytes);
    size_t length = (size_t)cipher->aad[bytes - 2] << 8 | cipher->aad[bytes - 1];
    size_t around = EXPLICIT_BYTES + (cipher->encrypts ? 0 : TAG_BYTES);
    if (length < around)
        return false;
    length -= around;
    cipher->aad[bytes - 2] = (uint8_t)(length >> 8);
    cipher->aad[bytes - 1] = (uint8_t)length;
    cipher->aad_bytes = bytes;
    cipher->record = true;
    return true;
}

/* The part of the nonce that both sides know; the rest begins anywhere. */
static bool fixed_set(struct gcm_cipher *cipher, const void *fixed, size_t bytes)
{
    if (bytes != FIXED_BYTES)
        return false;
    memcpy(cipher->nonce, fixed, FIXED_BYTES);
    cipher->has_nonce = !cipher->encrypts || RAND_bytes(cipher->nonce + FIXED_BYTES, EXPLICIT_BYTES) == 1;
    return cipher->has_nonce;
}

/* ---- what OpenSSL calls: life ---- */

static void *cipher_new(void *provider, unsigned which)
{
    struct gcm_cipher *cipher = memory_new_aligned(sizeof *cipher);
    if (cipher != NULL)
        cipher->calls = &((struct gcm_provider *)provider)->calls[which];
    return cipher;
}

static void *cipher_new_128(void *provider)
{
    return cipher_new(provider, 0);
}

static void *cipher_new_256(void *provider)
{
    return cipher_new(provider, 1);
}

static void cipher_free(void *self)
{
    if (self != NULL)
        OPENSSL_cleanse(self, sizeof(struct gcm_cipher));
    memory_free(self);
}

static int cipher_set(void *self, const OSSL_PARAM parameters[]);

static int cipher_init(struct gcm_cipher *cipher, bool encrypts, const unsigned char *key, size_t key_bytes,
                       const unsigned char *nonce, size_t nonce_bytes, const OSSL_PARAM parameters[])
{
    cipher->encrypts = encrypts;
    cipher->begun = cipher->record = cipher->has_tag = false;
    cipher->aad_bytes = 0;
    if (key != NULL) {
        if (key_bytes != cipher->calls->key_bytes)
            return 0;
        cipher->calls->prepare(key, &cipher->key);
        cipher->has_key = true;
    }
    if (nonce != NULL) {
        if (nonce_bytes != NONCE_BYTES)
            return 0;
        memcpy(cipher->nonce, nonce, NONCE_BYTES);
        cipher->has_nonce = true;
    }
    return cipher_set(cipher, parameters);
}

static int cipher_encrypt(void *self, const unsigned char *key, size_t key_bytes, const unsigned char *nonce,
                          size_t nonce_bytes, const OSSL_PARAM parameters[])
{
    return cipher_init(self, true, key, key_bytes, nonce, nonce_bytes, parameters);
}

static int cipher_decrypt(void *self, const unsigned char *key, size_t key_bytes, const unsigned char *nonce,
                          size_t nonce_bytes, const OSSL_PARAM parameters[])
{
    return cipher_init(self, false, key, key_bytes, nonce, nonce_bytes, parameters);
}

/* ---- what OpenSSL calls: bytes ---- */

/* Without `to` it is what is signed and not sealed. */
static int cipher_update(void *self, unsigned char *to, size_t *to_bytes, size_t to_size,
                         const unsigned char *from, size_t bytes)
{
    struct gcm_cipher *cipher = self;
    *to_bytes = 0;
    if (!cipher->has_key)
        return 0;
    if (cipher->record)
        return record_work(cipher, to, to_bytes, from, bytes);
    if (!cipher->has_nonce)
        return 0;
    if (to == NULL) {
        if (cipher->begun || bytes > AAD_BYTES_MAX - cipher->aad_bytes)
            return 0;
        memcpy(cipher->aad + cipher->aad_bytes, from, bytes);
        cipher->aad_bytes += bytes;
    } else {
        if (to_size < bytes)
            return 0;
        if (!cipher->begun)
            begin(cipher);
        work(cipher, to, from, bytes);
    }
    *to_bytes = bytes;
    return 1;
}

static int cipher_final(void *self, unsigned char *to, size_t *to_bytes, size_t to_size)
{
    struct gcm_cipher *cipher = self;
    uint8_t tag[TAG_BYTES];
    (void)to, (void)to_size;
    *to_bytes = 0;
    if (!cipher->has_key || !cipher->has_nonce || (!cipher->encrypts && !cipher->has_tag))
        return 0;
    if (!cipher->begun)
        begin(cipher);
    finish(cipher, tag);
    bool good = cipher->encrypts || CRYPTO_memcmp(tag, cipher->tag, TAG_BYTES) == 0;
    if (cipher->encrypts)
        memcpy(cipher->tag, tag, TAG_BYTES);
    cipher->has_tag = cipher->encrypts;
    return good;
}

/* ---- what OpenSSL calls: questions ---- */

/* ISO: a table of pointers to functions of any type. */
#define CALL(id, function)                                                                                   \
    {                                                                                                        \
        id, (void (*)(void))(function)                                                                       \
    }

static bool put(OSSL_PARAM parameters[], const char *name, size_t value)
{
    OSSL_PARAM *parameter = OSSL_PARAM_locate(parameters, name);
    return parameter == NULL || OSSL_PARAM_set_size_t(parameter, value) == 1;
}

static int kind_get(OSSL_PARAM parameters[], size_t key_bytes)
{
    OSSL_PARAM *mode = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_MODE);
    OSSL_PARAM *aead = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_AEAD);
    OSSL_PARAM *custom = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_CUSTOM_IV);
    return (mode == NULL || OSSL_PARAM_set_uint(mode, EVP_CIPH_GCM_MODE) == 1) &&
           (aead == NULL || OSSL_PARAM_set_int(aead, 1) == 1) &&
           (custom == NULL || OSSL_PARAM_set_int(custom, 1) == 1) &&
           put(parameters, OSSL_CIPHER_PARAM_KEYLEN, key_bytes) &&
           put(parameters, OSSL_CIPHER_PARAM_IVLEN, NONCE_BYTES) &&
           put(parameters, OSSL_CIPHER_PARAM_BLOCK_SIZE, 1);
}

static int kind_get_128(OSSL_PARAM parameters[])
{
    return kind_get(parameters, IMB_GCM_128_KEY_LEN);
}

static int kind_get_256(OSSL_PARAM parameters[])
{
    return kind_get(parameters, IMB_GCM_256_KEY_LEN);
}

static int cipher_get(void *self, OSSL_PARAM parameters[])
{
    struct gcm_cipher *cipher = self;
    OSSL_PARAM *tag = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_AEAD_TAG);
    OSSL_PARAM *nonce = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_IV);
    if (tag != NULL && (!cipher->encrypts || !cipher->has_tag || tag->data_size > TAG_BYTES ||
                        OSSL_PARAM_set_octet_string(tag, cipher->tag, tag->data_size) != 1))
        return 0;
    if (nonce != NULL && OSSL_PARAM_set_octet_string(nonce, cipher->nonce, NONCE_BYTES) != 1)
        return 0;
    return put(parameters, OSSL_CIPHER_PARAM_KEYLEN, cipher->calls->key_bytes) &&
           put(parameters, OSSL_CIPHER_PARAM_IVLEN, NONCE_BYTES) &&
           put(parameters, OSSL_CIPHER_PARAM_AEAD_TAGLEN, TAG_BYTES) &&
           put(parameters, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD, TAG_BYTES);
}

static bool size_is(const OSSL_PARAM *parameter, size_t wanted)
{
    size_t value = 0;
    return parameter == NULL || (OSSL_PARAM_get_size_t(parameter, &value) == 1 && value == wanted);
}

static int cipher_set(void *self, const OSSL_PARAM parameters[])
{
    struct gcm_cipher *cipher = self;
    if (parameters == NULL)
        return 1;
    const OSSL_PARAM *tag = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_TAG);
    const OSSL_PARAM *aad = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD);
    const OSSL_PARAM *fixed = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED);
    if (tag != NULL) {
        if (cipher->encrypts || tag->data == NULL || tag->data_size != TAG_BYTES)
            return 0;
        memcpy(cipher->tag, tag->data, TAG_BYTES);
        cipher->has_tag = true;
    }
    return (aad == NULL || record_begin(cipher, aad->data, aad->data_size)) &&
           (fixed == NULL || fixed_set(cipher, fixed->data, fixed->data_size)) &&
           size_is(OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_IVLEN), NONCE_BYTES) &&
           size_is(OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_KEYLEN), cipher->calls->key_bytes);
}

static const OSSL_PARAM *kind_gettable(void *provider)
{
    static const OSSL_PARAM all[] = {OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, NULL),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, NULL),
                                     OSSL_PARAM_int(OSSL_CIPHER_PARAM_AEAD, NULL),
                                     OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, NULL),
                                     OSSL_PARAM_END};
    (void)provider;
    return all;
}

static const OSSL_PARAM *cipher_gettable(void *self, void *provider)
{
    static const OSSL_PARAM all[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, NULL),
                                     OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_IV, NULL, 0),
                                     OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 0),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD, NULL),
                                     OSSL_PARAM_END};
    (void)self, (void)provider;
    return all;
}

static const OSSL_PARAM *cipher_settable(void *self, void *provider)
{
    static const OSSL_PARAM all[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
                                     OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 0),
                                     OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, NULL, 0),
                                     OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, NULL, 0),
                                     OSSL_PARAM_END};
    (void)self, (void)provider;
    return all;
}

#define CIPHER_CALLS(bits)                                                                                   \
    {                                                                                                        \
        CALL(OSSL_FUNC_CIPHER_NEWCTX, cipher_new_##bits), CALL(OSSL_FUNC_CIPHER_FREECTX, cipher_free),       \
            CALL(OSSL_FUNC_CIPHER_ENCRYPT_INIT, cipher_encrypt),                                             \
            CALL(OSSL_FUNC_CIPHER_DECRYPT_INIT, cipher_decrypt),                                             \
            CALL(OSSL_FUNC_CIPHER_UPDATE, cipher_update), CALL(OSSL_FUNC_CIPHER_FINAL, cipher_final),        \
            CALL(OSSL_FUNC_CIPHER_GET_PARAMS, kind_get_##bits),                                              \
            CALL(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, cipher_get),                                               \
            CALL(OSSL_FUNC_CIPHER_SET_CTX_PARAMS, cipher_set),                                               \
            CALL(OSSL_FUNC_CIPHER_GETTABLE_PARAMS, kind_gettable),                                           \
            CALL(OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, cipher_gettable),                                     \
            CALL(OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, cipher_settable),                                     \
        {                                                                                                    \
            0, NULL                                                                                          \
        }                                                                                                    \
    }

static const OSSL_DISPATCH calls_128[] = CIPHER_CALLS(128);
static const OSSL_DISPATCH calls_256[] = CIPHER_CALLS(256);

/* ---- the provider ---- */

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *no_cache)
{
    static const OSSL_ALGORITHM ciphers[] = {
        {"AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", "provider=myelin-gcm", calls_128, NULL},
        {"AES-256-GCM:id-aes256-GCM:2.16.840.1.101.3.4.1.46", "provider=myelin-gcm", calls_256, NULL},
        {NULL, NULL, NULL, NULL}};
    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_CIPHER ? ciphers : NULL;
}

static void provider_end(void *self)
{
    struct gcm_provider *provider = self;
    free_mb_mgr(provider->manager);
    OPENSSL_free(provider);
}

static int provider_begin(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                          void **context)
{
    static const OSSL_DISPATCH calls[] = {CALL(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
                                          CALL(OSSL_FUNC_PROVIDER_TEARDOWN, provider_end),
                                          {0, NULL}};
    IMB_ARCH arch = IMB_ARCH_NONE;
    (void)handle, (void)in;
    struct gcm_provider *provider = OPENSSL_zalloc(sizeof *provider); /* OpenSSL's, to the process's end */
    if (provider != NULL)
        provider->manager = alloc_mb_mgr(0);
    if (provider == NULL || provider->manager == NULL) {
        OPENSSL_free(provider);
        return 0;
    }
    IMB_MGR *manager = provider->manager;
    init_mb_mgr_auto(manager, &arch);
    if (arch != IMB_ARCH_AVX512 || (manager->features & IMB_FEATURE_VAES) == 0 ||
        (manager->features & IMB_FEATURE_VPCLMULQDQ) == 0) {
        provider_end(provider);
        return 0;
    }
    provider->calls[0] = (struct gcm_calls){
        .key_bytes = IMB_GCM_128_KEY_LEN,
        .prepare = manager->gcm128_pre,
        .init = manager->gcm128_init,
        .seal = manager->gcm128_enc_update,
        .open = manager->gcm128_dec_update,
        .seal_end = manager->gcm128_enc_finalize,
        .open_end = manager->gcm128_dec_finalize,
    };
    provider->calls[1] = (struct gcm_calls){
        .key_bytes = IMB_GCM_256_KEY_LEN,
        .prepare = manager->gcm256_pre,
        .init = manager->gcm256_init,
        .seal = manager->gcm256_enc_update,
        .open = manager->gcm256_dec_update,
        .seal_end = manager->gcm256_enc_finalize,
        .open_end = manager->gcm256_dec_finalize,
    };
    *out = calls;
    *context = provider;
    return 1;
}

static bool processor_fits(void)
{
    /* The builtin asks whether the system keeps the wide registers, too; it knows the other two names in
     * newer compilers only. */
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __builtin_cpu_supports("avx512f") && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
           (ecx & bit_VAES) != 0 && (ecx & bit_VPCLMULQDQ) != 0;
}

static int found(OSSL_PROVIDER *provider, void *context)
{
    OSSL_PROVIDER **wanted = context;
    if (strcmp(OSSL_PROVIDER_get0_name(provider), "myelin-gcm") == 0)
        *wanted = provider;
    return 1;
}

/* OpenSSL's end gives back its own hold of the provider; this is the one of having loaded it. */
static void give_back(void)
{
    OSSL_PROVIDER *provider = NULL;
    if (OSSL_PROVIDER_do_all(NULL, found, &provider) == 1 && provider != NULL)
        OSSL_PROVIDER_unload(provider);
}

bool tls_gcm_offer_always(void)
{
    if (!processor_fits())
        return false;
    if (OSSL_PROVIDER_available(NULL, "myelin-gcm") == 1)
        return true;
    return OSSL_PROVIDER_add_builtin(NULL, "myelin-gcm", provider_begin) == 1 &&
           OSSL_PROVIDER_try_load(NULL, "myelin-gcm", 1) != NULL && /* 1: OpenSSL's own stay */
           OPENSSL_atexit(give_back) == 1;
}

bool tls_gcm_offer(void)
{
    return OpenSSL_version_num() < OPENSSL_WITH_VAES && tls_gcm_offer_always();
}

#else

bool tls_gcm_offer_always(void)
{
    return false;
}

bool tls_gcm_offer(void)
{
    return false;
}

#endif
