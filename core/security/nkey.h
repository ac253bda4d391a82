/* core/security/nkey.h - NKeys: Ed25519 public keys as text with a type letter and a checksum
 * (spec/security.md 2.1). So far only the server's own id is made; checking users' keys and signatures
 * belongs here as well. Thread: any. */
#ifndef CORE_SECURITY_NKEY_H
#define CORE_SECURITY_NKEY_H

#include "core/base/err.h"

#include <stdint.h>

/* The byte before the key; its upper five bits are the first letter of the text. */
enum nkey_type {
    NKEY_ACCOUNT = 0x00,  /* A */
    NKEY_CLUSTER = 0x10,  /* C */
    NKEY_SERVER = 0x68,   /* N */
    NKEY_OPERATOR = 0x70, /* O */
    NKEY_USER = 0xa0,     /* U */
    NKEY_CURVE = 0xb8,    /* X */
};

enum { NKEY_RAW_BYTES = 32, NKEY_TEXT_BYTES = 56 + 1 /* its terminator */ };

/* The text of a public key, terminated. */
void nkey_encode(char out[NKEY_TEXT_BYTES], enum nkey_type type, const uint8_t raw[NKEY_RAW_BYTES]);

/* A fresh server key's public text: the server_id, new at every start. The private half is not kept: a server
 * never signs with it. ERR_SYSTEM when OpenSSL cannot make a key. */
MUST_USE enum err nkey_server_id(char out[NKEY_TEXT_BYTES]);

#endif
