/* core/security/nkey.h - NKeys: Ed25519 keys as text with a type letter and a checksum, and what is signed
 * with them (spec/security.md 2). The server reads public keys and checks signatures; seeds and signing are
 * for the tool `myelin nk`. At the bound: texts have fixed lengths, another length is refused. Thread: any.
 */
#ifndef CORE_SECURITY_NKEY_H
#define CORE_SECURITY_NKEY_H

#include "core/base/bytes.h"
#include "core/base/err.h"

/* The byte before the key; its upper five bits are the first letter of the text. */
enum nkey_type {
    NKEY_ACCOUNT = 0x00,  /* A */
    NKEY_CLUSTER = 0x10,  /* C */
    NKEY_SERVER = 0x68,   /* N */
    NKEY_OPERATOR = 0x70, /* O */
    NKEY_USER = 0xa0,     /* U */
    NKEY_CURVE = 0xb8,    /* X */
};

enum {
    NKEY_RAW_BYTES = 32,
    NKEY_TEXT_BYTES = 56 + 1, /* with its terminator, likewise below */
    NKEY_SEED_TEXT_BYTES = 58 + 1,
    NKEY_SIGNATURE_BYTES = 64,
    NKEY_SIGNATURE_TEXT_BYTES = 86 + 1,
    NKEY_NONCE_TEXT_BYTES = 15 + 1,
};

/* ---- public keys ---- */

/* The text of a public key, terminated. */
void nkey_encode(char out[NKEY_TEXT_BYTES], enum nkey_type type, const uint8_t raw[NKEY_RAW_BYTES]);

/* Reads the text of a public key of any type. ERR_INVALID: letters, length, checksum or type are wrong. */
MUST_USE enum err nkey_decode(struct bytes text, enum nkey_type *type, uint8_t raw[NKEY_RAW_BYTES]);

/* Whether it is the text of a user's public key, "U...". */
bool nkey_is_user(struct bytes text);

/* Whether it may be the text of a seed, whole or torn: such a text is shown nowhere, even where a public key
 * belongs. */
bool nkey_may_be_seed(struct bytes text);

/* A fresh key: its seed and its public text. ERR_SYSTEM when the kernel has no random bytes, or OpenSSL
 * refuses. */
MUST_USE enum err nkey_new(enum nkey_type type, uint8_t seed[NKEY_RAW_BYTES], char out[NKEY_TEXT_BYTES]);

/* ---- the challenge ---- */

/* What a client has to sign: eleven random bytes as text. ERR_SYSTEM: the kernel has none. */
MUST_USE enum err nkey_nonce(char out[NKEY_NONCE_TEXT_BYTES]);

/* Whether the bytes are the key's signature of the message. False as well when OpenSSL is out of memory.
 * Cost: about a tenth of a millisecond. */
MUST_USE bool nkey_verify(const uint8_t raw[NKEY_RAW_BYTES], struct bytes message,
                          const uint8_t signature[NKEY_SIGNATURE_BYTES]);

/* The whole check of a client's answer (2.3, 2.4): the key's text, the nonce as it was sent, `sig` as it
 * came. NULL: it holds; else why it does not, in words for the log that hold nothing secret. */
MUST_USE const char *nkey_answer_check(struct bytes nkey, struct bytes nonce, struct bytes signature);

/* ---- private halves: who holds one wipes it ---- */

/* A fresh seed. ERR_SYSTEM: the kernel has no random bytes. */
MUST_USE enum err nkey_seed_new(uint8_t seed[NKEY_RAW_BYTES]);

/* The text of a seed, "SU...", terminated. */
void nkey_seed_encode(char out[NKEY_SEED_TEXT_BYTES], enum nkey_type type,
                      const uint8_t seed[NKEY_RAW_BYTES]);

/* Reads the text of a seed. ERR_INVALID as nkey_decode(). */
MUST_USE enum err nkey_seed_decode(struct bytes text, enum nkey_type *type, uint8_t seed[NKEY_RAW_BYTES]);

/* The public half. ERR_SYSTEM: OpenSSL refuses. */
MUST_USE enum err nkey_seed_public(enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES],
                                   uint8_t raw[NKEY_RAW_BYTES]);

/* Signs. ERR_INVALID: a curve key signs nothing; ERR_SYSTEM. */
MUST_USE enum err nkey_sign(enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES], struct bytes message,
                            uint8_t signature[NKEY_SIGNATURE_BYTES]);

#endif
