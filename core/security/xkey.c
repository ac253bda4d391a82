/* core/security/xkey.c - see xkey.h. */
#include "core/security/xkey.h"

#include "core/base/random.h"

#include <sodium/crypto_box.h>

enum { MARK_BYTES = 4 };
static const uint8_t mark[MARK_BYTES] = {'x', 'k', 'v', '1'};

_Static_assert(XKEY_NONCE_BYTES == crypto_box_NONCEBYTES, "the nonce is crypto_box's");
_Static_assert(XKEY_SEAL_BYTES == MARK_BYTES + crypto_box_NONCEBYTES + crypto_box_MACBYTES,
               "mark, nonce, tag");
_Static_assert(NKEY_RAW_BYTES == crypto_box_SECRETKEYBYTES && NKEY_RAW_BYTES == crypto_box_PUBLICKEYBYTES,
               "a curve key's seed is its scalar");

enum err xkey_seal_with(uint8_t *out, struct bytes message, const uint8_t nonce[XKEY_NONCE_BYTES],
                        const uint8_t seed[NKEY_RAW_BYTES], const uint8_t peer[NKEY_RAW_BYTES])
{
    memcpy(out, mark, MARK_BYTES);
    memcpy(out + MARK_BYTES, nonce, XKEY_NONCE_BYTES);
    bool sealed = crypto_box_easy(out + MARK_BYTES + XKEY_NONCE_BYTES, message.data, message.count, nonce,
                                  peer, seed) == 0;
    return sealed ? ERR_OK : ERR_INVALID;
}

enum err xkey_seal(uint8_t *out, struct bytes message, const uint8_t seed[NKEY_RAW_BYTES],
                   const uint8_t peer[NKEY_RAW_BYTES])
{
    uint8_t nonce[XKEY_NONCE_BYTES];
    enum err err = random_secure(nonce, sizeof nonce);
    return err != ERR_OK ? err : xkey_seal_with(out, message, nonce, seed, peer);
}

bool xkey_is_sealed(struct bytes sealed)
{
    return sealed.count >= XKEY_SEAL_BYTES && memcmp(sealed.data, mark, MARK_BYTES) == 0;
}

enum err xkey_open(uint8_t *out, struct bytes sealed, const uint8_t seed[NKEY_RAW_BYTES],
                   const uint8_t peer[NKEY_RAW_BYTES])
{
    if (!xkey_is_sealed(sealed))
        return ERR_INVALID;
    const uint8_t *nonce = sealed.data + MARK_BYTES;
    const uint8_t *box = nonce + XKEY_NONCE_BYTES;
    size_t box_bytes = sealed.count - MARK_BYTES - XKEY_NONCE_BYTES;
    return crypto_box_open_easy(out, box, box_bytes, nonce, peer, seed) == 0 ? ERR_OK : ERR_INVALID;
}
