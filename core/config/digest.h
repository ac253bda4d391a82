/* core/config/digest.h - the fingerprint of a configuration that the log, -t and /varz show (configuration.md
 * 2.11): SHA-256 over the tree as compact JSON with sorted keys. Comments, order and layout do not count. */
#ifndef CORE_CONFIG_DIGEST_H
#define CORE_CONFIG_DIGEST_H

#include "core/base/err.h"
#include "core/config/text.h"
#include "core/config/value.h"

enum { DIGEST_TEXT_BYTES = 7 + 64 + 1 }; /* "sha256:", hex, zero */

/* "sha256:<hex>". ERR_MEMORY, or ERR_SYSTEM when the library has no SHA-256. Thread: any. */
MUST_USE enum err digest_tree(const struct config_value *root, char out[DIGEST_TEXT_BYTES]);

/* The JSON that is hashed, without the newline behind it. */
MUST_USE enum err digest_json(const struct config_value *root, struct config_text *json);

#endif
