/* Tests net/tls_gcm.c against OpenSSL's own AES-GCM: the same bytes out, each opens what the other sealed,
 * and nothing that was changed is opened; as TLS 1.3 asks for it, and as TLS 1.2 does. */
#include "core/base/language.h"
#include "net/tls_gcm.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <string.h>

enum { TEXT_BYTES = 3000, NONCE_BYTES = 12, TAG_BYTES = 16, AAD_BYTES = 5, RECORD_EXTRA = 24 };

struct pair {
    EVP_CIPHER *own, *theirs;
    uint8_t key[32], nonce[NONCE_BYTES], aad[AAD_BYTES], text[TEXT_BYTES];
};

/* False: nothing to test on this processor. */
static bool pair_open(struct pair *pair, const char *name)
{
    if (!tls_gcm_offer_always()) {
        cr_skip_test("no VAES with AVX-512 here, or built without libipsec-mb: OpenSSL's own is used");
        return false;
    }
    *pair = (struct pair){.own = EVP_CIPHER_fetch(NULL, name, TLS_GCM_QUERY),
                          .theirs = EVP_CIPHER_fetch(NULL, name, "provider=default")};
    cr_assert_neq(pair->own, NULL);
    cr_assert_neq(pair->theirs, NULL);
    cr_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(pair->own)), "myelin-gcm");
    for (size_t i = 0; i < sizeof pair->key; i++)
        pair->key[i] = (uint8_t)(i * 7 + 1);
    for (size_t i = 0; i < sizeof pair->nonce; i++)
        pair->nonce[i] = (uint8_t)(i * 3 + 5);
    for (size_t i = 0; i < sizeof pair->text; i++)
        pair->text[i] = (uint8_t)(i * 11);
    memcpy(pair->aad, "\x17\x03\x03\x01\x02", AAD_BYTES);
    return true;
}

static void pair_close(struct pair *pair)
{
    EVP_CIPHER_free(pair->own);
    EVP_CIPHER_free(pair->theirs);
}

static void seal(const struct pair *pair, EVP_CIPHER *cipher, size_t bytes, size_t piece, uint8_t *sealed,
                 uint8_t *tag)
{
    int count = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    cr_assert_eq(EVP_EncryptInit_ex(context, cipher, NULL, pair->key, pair->nonce), 1);
    cr_assert_eq(EVP_EncryptUpdate(context, NULL, &count, pair->aad, AAD_BYTES), 1);
    for (size_t at = 0; at < bytes; at += piece) {
        size_t some = bytes - at < piece ? bytes - at : piece;
        cr_assert_eq(EVP_EncryptUpdate(context, sealed + at, &count, pair->text + at, (int)some), 1);
        cr_assert_eq((size_t)count, some);
    }
    cr_assert_eq(EVP_EncryptFinal_ex(context, sealed, &count), 1);
    cr_assert_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag), 1);
    EVP_CIPHER_CTX_free(context);
}

static bool opens(const struct pair *pair, EVP_CIPHER *cipher, size_t bytes, const uint8_t *sealed,
                  uint8_t *tag)
{
    int count = 0;
    uint8_t text[TEXT_BYTES];
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    cr_assert_eq(EVP_DecryptInit_ex(context, cipher, NULL, pair->key, pair->nonce), 1);
    cr_assert_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag), 1);
    cr_assert_eq(EVP_DecryptUpdate(context, NULL, &count, pair->aad, AAD_BYTES), 1);
    cr_assert_eq(EVP_DecryptUpdate(context, text, &count, sealed, (int)bytes), 1);
    bool good = EVP_DecryptFinal_ex(context, text, &count) == 1;
    cr_expect(!good || memcmp(text, pair->text, bytes) == 0);
    EVP_CIPHER_CTX_free(context);
    return good;
}

static void same_bytes(const char *name)
{
    struct pair pair;
    uint8_t own[TEXT_BYTES], theirs[TEXT_BYTES], own_tag[TAG_BYTES], their_tag[TAG_BYTES];
    static const size_t sizes[] = {1, 15, 16, 17, 64, 255, 256, 1000, TEXT_BYTES};
    if (!pair_open(&pair, name))
        return;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t bytes = sizes[i];
        for (size_t piece = 7; piece < 2 * TEXT_BYTES; piece *= 10) {
            seal(&pair, pair.own, bytes, piece, own, own_tag);
            seal(&pair, pair.theirs, bytes, bytes, theirs, their_tag);
            cr_expect_arr_eq(own, theirs, bytes, "%zu bytes in pieces of %zu", bytes, piece);
            cr_expect_arr_eq(own_tag, their_tag, TAG_BYTES);
        }
        cr_expect(opens(&pair, pair.own, bytes, theirs, their_tag));
        cr_expect(opens(&pair, pair.theirs, bytes, own, own_tag));
        theirs[bytes / 2] ^= 1;
        cr_expect_not(opens(&pair, pair.own, bytes, theirs, their_tag));
        own_tag[TAG_BYTES - 1] ^= 1;
        cr_expect_not(opens(&pair, pair.own, bytes, own, own_tag));
    }
    pair_close(&pair);
}

Test(tls_gcm, seals_what_openssl_seals_128)
{
    same_bytes("AES-128-GCM");
}

Test(tls_gcm, seals_what_openssl_seals_256)
{
    same_bytes("AES-256-GCM");
}

/* ---- TLS 1.2: a record in place ---- */

static EVP_CIPHER_CTX *record_context(const struct pair *pair, EVP_CIPHER *cipher, int encrypts)
{
    uint8_t fixed[4] = {9, 8, 7, 6};
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    cr_assert_eq(EVP_CipherInit_ex(context, cipher, NULL, pair->key, NULL, encrypts), 1);
    cr_assert_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_IV_FIXED, sizeof fixed, fixed), 1);
    return context;
}

/* The length of what came out; -1: refused. */
static int record_work(EVP_CIPHER_CTX *context, uint64_t number, uint8_t *record, size_t bytes)
{
    uint8_t aad[EVP_AEAD_TLS1_AAD_LEN] = {0};
    int count = 0;
    bool encrypts = EVP_CIPHER_CTX_is_encrypting(context) == 1;
    size_t length = encrypts ? bytes - TAG_BYTES : bytes; /* of nonce and text; of all */
    aad[7] = (uint8_t)number;
    aad[8] = 0x17, aad[9] = 3, aad[10] = 3;
    aad[11] = (uint8_t)(length >> 8), aad[12] = (uint8_t)length;
    cr_assert_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_TLS1_AAD, sizeof aad, aad), TAG_BYTES);
    return EVP_CipherUpdate(context, record, &count, record, (int)bytes) == 1 ? count : -1;
}

static void records(const struct pair *pair, EVP_CIPHER *from, EVP_CIPHER *to)
{
    uint8_t record[TEXT_BYTES + RECORD_EXTRA], last[8] = {0};
    EVP_CIPHER_CTX *sealer = record_context(pair, from, 1);
    EVP_CIPHER_CTX *opener = record_context(pair, to, 0);
    for (uint64_t number = 0; number < 5; number++) {
        size_t bytes = 1 + (size_t)number * 700;
        memcpy(record + 8, pair->text, bytes);
        cr_assert_eq(record_work(sealer, number, record, bytes + RECORD_EXTRA), (int)bytes + RECORD_EXTRA);
        cr_expect_neq(memcmp(record, last, sizeof last), 0, "a nonce comes once");
        memcpy(last, record, sizeof last);
        record[8] ^= (uint8_t)(number == 4);
        int opened = record_work(opener, number, record, bytes + RECORD_EXTRA);
        cr_expect_eq(opened, number == 4 ? -1 : (int)bytes);
        cr_expect(number == 4 || memcmp(record + 8, pair->text, bytes) == 0);
    }
    EVP_CIPHER_CTX_free(sealer);
    EVP_CIPHER_CTX_free(opener);
}

Test(tls_gcm, records_of_tls_1_2_are_the_same)
{
    struct pair pair;
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM"};
    for (size_t i = 0; i < COUNT_OF(names) && pair_open(&pair, names[i]); i++) {
        records(&pair, pair.own, pair.theirs);
        records(&pair, pair.theirs, pair.own);
        records(&pair, pair.own, pair.own);
        pair_close(&pair);
    }
}

/* What TLS never asks for is refused and does no harm. */
Test(tls_gcm, refuses_what_is_not_tls)
{
    struct pair pair;
    uint8_t out[TEXT_BYTES], wrong[16] = {0};
    int count = 0;
    if (!pair_open(&pair, "AES-256-GCM"))
        return;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    cr_assert_eq(EVP_EncryptInit_ex(context, pair.own, NULL, NULL, NULL), 1);
    cr_expect_eq(EVP_EncryptUpdate(context, out, &count, pair.text, 10), 0, "no key");
    cr_assert_eq(EVP_EncryptInit_ex(context, NULL, NULL, pair.key, NULL), 1);
    cr_expect_eq(EVP_EncryptUpdate(context, out, &count, pair.text, 10), 0, "no nonce");
    cr_expect_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, 16, NULL), 0);
    cr_expect_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out), 0, "no tag yet");
    cr_assert_eq(EVP_EncryptInit_ex(context, NULL, NULL, NULL, pair.nonce), 1);
    cr_expect_eq(EVP_EncryptUpdate(context, NULL, &count, pair.text, 65), 0, "too much beside the text");
    cr_expect_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_IV_FIXED, 12, wrong), 0);
    cr_assert_eq(EVP_DecryptInit_ex(context, pair.own, NULL, pair.key, pair.nonce), 1);
    cr_assert_eq(EVP_DecryptUpdate(context, out, &count, pair.text, 10), 1);
    cr_expect_eq(EVP_DecryptFinal_ex(context, out, &count), 0, "no tag was given");
    EVP_CIPHER_CTX_free(context);
    pair_close(&pair);
}
