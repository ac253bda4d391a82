/* core/codec/base64.h - bytes as base64url without padding (RFC 4648 section 5): nonces in INFO, signatures,
 * parts of JWTs. OpenSSL has only the padded standard alphabet. Thread: any. */
#ifndef CORE_CODEC_BASE64_H
#define CORE_CODEC_BASE64_H

#include "core/base/bytes.h"

/* Letters for so many bytes. */
#define BASE64_URL_TEXT_BYTES(count) (((count)*4 + 2) / 3)

/* Writes the letters, unterminated; returns how many, or 0 when `capacity` is less than that. */
size_t base64_url_encode(char *out, size_t capacity, struct bytes bytes);

#endif
