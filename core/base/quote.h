/* core/base/quote.h - text from outside, made harmless for a line: the quoting that NATS users know from -ERR
 * texts, logs and traces (spec/client-protocol.md 14).
 *   "  \              \" \\
 *   control bytes     \a \b \f \n \r \t \v, others \x00 .. \x1f and \x7f
 *   not UTF-8         \xNN for each such byte
 *   not printable     \uNNNN or \UNNNNNNNN for a code point (core/base/printable.h)
 *   anything else     as it is; ' is not escaped
 * At the bound: what does not fit is left out, never half an escape or half a character. */
#ifndef CORE_BASE_QUOTE_H
#define CORE_BASE_QUOTE_H

#include "core/base/bytes.h"

/* The most that one byte of input can grow to: \xNN. A longer escape stands for more bytes: \uNNNN for two or
 * three, \UNNNNNNNN for four. */
enum { QUOTE_BYTES_PER_BYTE_MAX = 4 };

/* How large a buffer quote() needs so that nothing is ever cut: escapes, two quotes, the terminator. */
#define QUOTE_BYTES_NEEDED(input_bytes) ((size_t)(input_bytes)*QUOTE_BYTES_PER_BYTE_MAX + 3)

/* Writes `input` escaped, without quotes around it, and a terminating zero: at most out_bytes - 1 bytes
 * before the zero. Returns how many; *used (may be NULL) says how much of the input they stand for.
 * out_bytes: at least 1. Thread: any. */
size_t quote_escape(struct bytes input, char *out, size_t out_bytes, size_t *used);

/* The same between double quotes; the closing one is always there. Returns the bytes before the zero.
 * out_bytes: at least 3. Thread: any. */
size_t quote(struct bytes input, char *out, size_t out_bytes);

#endif
