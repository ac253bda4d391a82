/* core/codec/base32.h - bytes as the letters A-Z and 2-7 (RFC 4648 section 6), upper case, without padding:
 * the text form of NKeys (spec/security.md 2.1). Thread: any. */
#ifndef CORE_CODEC_BASE32_H
#define CORE_CODEC_BASE32_H

#include "core/base/bytes.h"

/* Letters for so many bytes. */
#define BASE32_TEXT_BYTES(count) (((count)*8 + 4) / 5)

/* Writes the letters, unterminated; returns how many, or 0 when `capacity` is less than that. */
size_t base32_encode(char *out, size_t capacity, struct bytes bytes);

/* Bytes in so many letters. */
#define BASE32_BYTES(letters) ((letters)*5 / 8)

/* Reads what base32_encode() writes and nothing else: another letter, a lower-case one, padding, a length or
 * spare bits that no encoder makes are 0, as is a `capacity` too small; else returns the bytes. */
size_t base32_decode(uint8_t *out, size_t capacity, struct bytes text);

#endif
