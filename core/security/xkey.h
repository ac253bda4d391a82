/* core/security/xkey.h - messages sealed between two curve keys, as auth callout has them
 * (spec/security.md 2.6): X25519, then XSalsa20-Poly1305, which is libsodium's crypto_box.
 *
 *     0   4  "xkv1"
 *     4  24  nonce, random
 *    28  16  Poly1305 tag
 *    44   -  ciphertext, as long as the message
 *
 * Who opens knows that one of the two has sealed it, whole. Thread: any. Cost: a key agreement, some fifty
 * microseconds. */
#ifndef CORE_SECURITY_XKEY_H
#define CORE_SECURITY_XKEY_H

#include "core/base/bytes.h"
#include "core/security/nkey.h"

enum { XKEY_NONCE_BYTES = 24, XKEY_SEAL_BYTES = 4 + XKEY_NONCE_BYTES + 16 };

/* Seals for `peer`, a raw public key, with our `seed`: XKEY_SEAL_BYTES more than the message come to `out`.
 * ERR_SYSTEM: the kernel has no random bytes; ERR_INVALID: the peer's key is none that a secret could come
 * of. */
MUST_USE enum err xkey_seal(uint8_t *out, struct bytes message, const uint8_t seed[NKEY_RAW_BYTES],
                            const uint8_t peer[NKEY_RAW_BYTES]);

/* The same with a nonce that the caller has; one must never serve for two messages. */
MUST_USE enum err xkey_seal_with(uint8_t *out, struct bytes message, const uint8_t nonce[XKEY_NONCE_BYTES],
                                 const uint8_t seed[NKEY_RAW_BYTES], const uint8_t peer[NKEY_RAW_BYTES]);

/* Whether there can be something sealed: the mark is there, and enough bytes. */
bool xkey_is_sealed(struct bytes sealed);

/* Opens what `peer` has sealed: XKEY_SEAL_BYTES less than `sealed` come to `out`. ERR_INVALID: it is nothing
 * sealed, or not by that key, or not as it was. */
MUST_USE enum err xkey_open(uint8_t *out, struct bytes sealed, const uint8_t seed[NKEY_RAW_BYTES],
                            const uint8_t peer[NKEY_RAW_BYTES]);

#endif
