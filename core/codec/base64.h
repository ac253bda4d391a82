/* core/codec/base64.h - bytes as base64url without padding (RFC 4648 section 5): nonces in INFO, signatures,
 * parts of JWTs; and read from the padded standard alphabet too, which some clients sign with. OpenSSL's own
 * decoder takes blanks and does not say how many bytes there are. Thread: any. */
#ifndef CORE_CODEC_BASE64_H
#define CORE_CODEC_BASE64_H

#include "core/base/bytes.h"

/* Letters for so many bytes. */
#define BASE64_URL_TEXT_BYTES(count) (((count)*4 + 2) / 3)

/* Writes the letters, unterminated; returns how many, or 0 when `capacity` is less than that. */
size_t base64_url_encode(char *out, size_t capacity, struct bytes bytes);

/* The same in the standard alphabet, padded. */
#define BASE64_STANDARD_TEXT_BYTES(count) (((count) + 2) / 3 * 4)
size_t base64_standard_encode(char *out, size_t capacity, struct bytes bytes);

/* Bytes in so many letters, padding not counted. */
#define BASE64_BYTES(letters) ((letters)*3 / 4)

/* Reads base64url without padding: another letter, padding, a length or spare bits that no encoder makes are
 * 0, as is a `capacity` too small; else returns the bytes. */
size_t base64_url_decode(uint8_t *out, size_t capacity, struct bytes text);

/* The same for the standard alphabet with its padding, which must be there. */
size_t base64_standard_decode(uint8_t *out, size_t capacity, struct bytes text);

#endif
