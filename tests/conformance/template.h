/* tests/conformance/template.h - the texts of the tables, expanded: what the rows send and expect is written
 * as C strings with a few placeholders, so that a row stays one line however long its bytes are:
 *    ${a*4096}    the text before the last '*', so many times
 *    ${hex ff00}  these bytes (needed for zero bytes, and readable after digits)
 *    ${port 1}    the decimal number of the server's port 1 (0 is the client port)
 *    ${http}      the monitoring line of a configuration
 *    ${sign 20}   a signature of the nonce in the INFO of the connection made last, by the key whose seed
 * counts up from that byte, in base64url Place in the flow: tables -> template -> peer and server. */
#ifndef TESTS_CONFORMANCE_TEMPLATE_H
#define TESTS_CONFORMANCE_TEMPLATE_H

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
    SERVER_PORTS = 5, /* client port, then whatever a configuration uses */
    NONCE_BYTES_MAX = 64,
    BUFFER_BYTES_MAX = 64 * 1024 * 1024 /* no case needs more; beyond it ERR_FULL */
};

/* A growing piece of memory. All zero is empty. */
struct buffer {
    uint8_t *data;
    size_t count;
    size_t capacity;
};

/* What placeholders refer to. */
struct template_values {
    uint16_t ports[SERVER_PORTS];
    char nonce[NONCE_BYTES_MAX]; /* empty: there was none */
};

MUST_USE enum err buffer_append(struct buffer *buffer, struct bytes bytes);
void buffer_close(struct buffer *buffer);
static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
    return bytes_of(buffer->data, buffer->count);
}

/* Appends `source` with its placeholders replaced. ERR_INVALID for a placeholder that does not exist: a
 * mistake in a table. */
MUST_USE enum err template_expand(const char *source, const struct template_values *values,
                                  struct buffer *into);

/* Writes `bytes` as a person can read them (CR as \r, other bytes as \xNN), cut to `capacity`; returns
 * `into`. */
const char *template_escape(struct bytes bytes, char *into, size_t capacity);

#endif
