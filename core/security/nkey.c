/* core/security/nkey.c - see nkey.h. Ed25519 and X25519 are OpenSSL's.
 *
 * A public key:                               A seed:
 *    0   1  type                                 0   2  five bits 10010, eight bits type, three bits 0
 *    1  32  raw public key                       2  32  raw seed
 *   33   2  checksum                            34   2  checksum
 * The checksum is CRC-16/XMODEM of all before it, little-endian; all of it is written in base32. */
#include "core/security/nkey.h"

#include "core/base/check.h"
#include "core/base/random.h"
#include "core/codec/base32.h"
#include "core/codec/base64.h"
#include "core/codec/crc16.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum {
    SEED_PREFIX = 0x90,
    CHECKSUM_BYTES = 2,
    PUBLIC_BYTES = 1 + NKEY_RAW_BYTES + CHECKSUM_BYTES,
    SEED_BYTES = 2 + NKEY_RAW_BYTES + CHECKSUM_BYTES,
    NONCE_BYTES = 11,
    SEED_TORN_BYTES = 40, /* of 58: less of a seed is not taken for one */
};
_Static_assert(BASE32_TEXT_BYTES(PUBLIC_BYTES) + 1 == NKEY_TEXT_BYTES, "a public key has 56 letters");
_Static_assert(BASE32_TEXT_BYTES(SEED_BYTES) + 1 == NKEY_SEED_TEXT_BYTES, "a seed has 58");
_Static_assert(BASE64_URL_TEXT_BYTES(NONCE_BYTES) + 1 == NKEY_NONCE_TEXT_BYTES, "a nonce has 15");
_Static_assert(BASE64_URL_TEXT_BYTES(NKEY_SIGNATURE_BYTES) + 1 == NKEY_SIGNATURE_TEXT_BYTES,
               "and a signature 86");

/* ---- binary to text and back ---- */

/* Writes the checksum behind the first bytes, and all of it as text. */
static void seal(char *out, size_t letters, uint8_t *binary, size_t bytes)
{
    size_t checked = bytes - CHECKSUM_BYTES;
    uint16_t crc = crc16_xmodem(bytes_of(binary, checked));
    binary[checked] = (uint8_t)(crc & 0xff);
    binary[checked + 1] = (uint8_t)(crc >> 8);
    size_t count = base32_encode(out, letters, bytes_of(binary, bytes));
    ASSERT(count == letters);
    out[count] = 0;
}

/* Reads a text of exactly so many bytes whose checksum is right. */
static bool unseal(uint8_t *binary, size_t bytes, struct bytes text)
{
    size_t checked = bytes - CHECKSUM_BYTES;
    if (text.count != BASE32_TEXT_BYTES(bytes) || base32_decode(binary, bytes, text) != bytes)
        return false;
    uint16_t crc = crc16_xmodem(bytes_of(binary, checked));
    return binary[checked] == (crc & 0xff) && binary[checked + 1] == crc >> 8;
}

static bool type_known(uint8_t type)
{
    switch (type) {
    case NKEY_ACCOUNT:
    case NKEY_CLUSTER:
    case NKEY_SERVER:
    case NKEY_OPERATOR:
    case NKEY_USER:
    case NKEY_CURVE:
        return true;
    default:
        return false;
    }
}

/* ---- public keys ---- */

void nkey_encode(char out[NKEY_TEXT_BYTES], enum nkey_type type, const uint8_t raw[NKEY_RAW_BYTES])
{
    uint8_t binary[PUBLIC_BYTES];
    binary[0] = (uint8_t)type;
    memcpy(binary + 1, raw, NKEY_RAW_BYTES);
    seal(out, NKEY_TEXT_BYTES - 1, binary, sizeof binary);
}

enum err nkey_decode(struct bytes text, enum nkey_type *type, uint8_t raw[NKEY_RAW_BYTES])
{
    uint8_t binary[PUBLIC_BYTES];
    if (!unseal(binary, sizeof binary, text) || !type_known(binary[0]))
        return ERR_INVALID;
    *type = (enum nkey_type)binary[0];
    memcpy(raw, binary + 1, NKEY_RAW_BYTES);
    return ERR_OK;
}

bool nkey_may_be_seed(struct bytes text)
{
    return text.count >= SEED_TORN_BYTES && text.data[0] == 'S';
}

bool nkey_is_user(struct bytes text)
{
    enum nkey_type type;
    uint8_t raw[NKEY_RAW_BYTES];
    return nkey_decode(text, &type, raw) == ERR_OK && type == NKEY_USER;
}

enum err nkey_new(enum nkey_type type, uint8_t seed[NKEY_RAW_BYTES], char out[NKEY_TEXT_BYTES])
{
    uint8_t raw[NKEY_RAW_BYTES];
    enum err err = nkey_seed_new(seed);
    if (err == ERR_OK)
        err = nkey_seed_public(type, seed, raw);
    if (err == ERR_OK)
        nkey_encode(out, type, raw);
    return err;
}

/* ---- the challenge ---- */

enum err nkey_nonce(char out[NKEY_NONCE_TEXT_BYTES])
{
    uint8_t nonce[NONCE_BYTES];
    enum err err = random_secure(nonce, sizeof nonce);
    if (err != ERR_OK)
        return err;
    out[base64_url_encode(out, NKEY_NONCE_TEXT_BYTES - 1, bytes_of(nonce, sizeof nonce))] = 0;
    return ERR_OK;
}

bool nkey_verify(const uint8_t raw[NKEY_RAW_BYTES], struct bytes message,
                 const uint8_t signature[NKEY_SIGNATURE_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, NKEY_RAW_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool holds = key != NULL && context != NULL &&
                 EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                 EVP_DigestVerify(context, signature, NKEY_SIGNATURE_BYTES, message.data, message.count) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return holds;
}

const char *nkey_answer_check(struct bytes nkey, struct bytes nonce, struct bytes signature)
{
    enum nkey_type type;
    uint8_t raw[NKEY_RAW_BYTES], binary[NKEY_SIGNATURE_BYTES];
    if (signature.count == 0)
        return "Signature missing";
    if (base64_url_decode(binary, sizeof binary, signature) != sizeof binary &&
        base64_standard_decode(binary, sizeof binary, signature) != sizeof binary)
        return "Signature not valid base64";
    if (nkey_decode(nkey, &type, raw) != ERR_OK || type == NKEY_CURVE)
        return "User nkey not valid";
    /* Without a nonce there was no challenge: such a signature could come from anywhere. */
    if (nonce.count == 0 || !nkey_verify(raw, nonce, binary))
        return "Signature not verified";
    return NULL;
}

/* ---- private halves ---- */

enum err nkey_seed_new(uint8_t seed[NKEY_RAW_BYTES])
{
    return random_secure(seed, NKEY_RAW_BYTES);
}

void nkey_seed_encode(char out[NKEY_SEED_TEXT_BYTES], enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES])
{
    uint8_t binary[SEED_BYTES];
    binary[0] = (uint8_t)(SEED_PREFIX | (unsigned)type >> 5);
    binary[1] = (uint8_t)(((unsigned)type & 31) << 3);
    memcpy(binary + 2, seed, NKEY_RAW_BYTES);
    seal(out, NKEY_SEED_TEXT_BYTES - 1, binary, sizeof binary);
    OPENSSL_cleanse(binary, sizeof binary);
}

enum err nkey_seed_decode(struct bytes text, enum nkey_type *type, uint8_t seed[NKEY_RAW_BYTES])
{
    uint8_t binary[SEED_BYTES];
    bool good =
        unseal(binary, sizeof binary, text) && (binary[0] & 0xf8) == SEED_PREFIX && (binary[1] & 7) == 0;
    uint8_t found = good ? (uint8_t)(((unsigned)binary[0] & 7U) << 5 | (unsigned)binary[1] >> 3) : 0;
    good = good && type_known(found);
    if (good) {
        *type = (enum nkey_type)found;
        memcpy(seed, binary + 2, NKEY_RAW_BYTES);
    }
    OPENSSL_cleanse(binary, sizeof binary);
    return good ? ERR_OK : ERR_INVALID;
}

static EVP_PKEY *private_key(enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES])
{
    int algorithm = type == NKEY_CURVE ? EVP_PKEY_X25519 : EVP_PKEY_ED25519;
    return EVP_PKEY_new_raw_private_key(algorithm, NULL, seed, NKEY_RAW_BYTES);
}

enum err nkey_seed_public(enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES],
                          uint8_t raw[NKEY_RAW_BYTES])
{
    size_t count = NKEY_RAW_BYTES;
    EVP_PKEY *key = private_key(type, seed);
    bool got = key != NULL && EVP_PKEY_get_raw_public_key(key, raw, &count) == 1 && count == NKEY_RAW_BYTES;
    EVP_PKEY_free(key);
    return got ? ERR_OK : ERR_SYSTEM;
}

enum err nkey_sign(enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES], struct bytes message,
                   uint8_t signature[NKEY_SIGNATURE_BYTES])
{
    size_t count = NKEY_SIGNATURE_BYTES;
    if (type == NKEY_CURVE)
        return ERR_INVALID;
    EVP_PKEY *key = private_key(type, seed);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool signed_it = key != NULL && context != NULL &&
                     EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                     EVP_DigestSign(context, signature, &count, message.data, message.count) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return signed_it && count == NKEY_SIGNATURE_BYTES ? ERR_OK : ERR_SYSTEM;
}
