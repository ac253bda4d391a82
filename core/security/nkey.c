/* core/security/nkey.c - see nkey.h.
 *    0   1  type
 *    1  32  raw public key
 *   33   2  CRC-16/XMODEM of bytes 0 .. 33, little-endian
 * and all of it in base32. */
#include "core/security/nkey.h"

#include "core/base/check.h"
#include "core/codec/base32.h"
#include "core/codec/crc16.h"

#include <openssl/evp.h>

enum { CHECKED_BYTES = 1 + NKEY_RAW_BYTES, BINARY_BYTES = CHECKED_BYTES + 2 };
_Static_assert(BASE32_TEXT_BYTES(BINARY_BYTES) + 1 == NKEY_TEXT_BYTES, "a public key has 56 letters");

void nkey_encode(char out[NKEY_TEXT_BYTES], enum nkey_type type, const uint8_t raw[NKEY_RAW_BYTES])
{
    uint8_t binary[BINARY_BYTES];
    binary[0] = (uint8_t)type;
    memcpy(binary + 1, raw, NKEY_RAW_BYTES);
    uint16_t crc = crc16_xmodem(bytes_of(binary, CHECKED_BYTES));
    binary[CHECKED_BYTES] = (uint8_t)(crc & 0xff);
    binary[CHECKED_BYTES + 1] = (uint8_t)(crc >> 8);
    size_t count = base32_encode(out, NKEY_TEXT_BYTES - 1, bytes_of(binary, sizeof binary));
    ASSERT(count == NKEY_TEXT_BYTES - 1);
    out[count] = 0;
}

enum err nkey_server_id(char out[NKEY_TEXT_BYTES])
{
    uint8_t raw[NKEY_RAW_BYTES];
    size_t count = sizeof raw;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (key == NULL)
        return ERR_SYSTEM;
    int got = EVP_PKEY_get_raw_public_key(key, raw, &count);
    EVP_PKEY_free(key);
    if (got != 1 || count != sizeof raw)
        return ERR_SYSTEM;
    nkey_encode(out, NKEY_SERVER, raw);
    return ERR_OK;
}
