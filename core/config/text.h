/* core/config/text.h - a text that grows: error lists, usage, log lines. For people, never for the hot path.
 * At the bound: a text stops growing at CONFIG_TEXT_BYTES_MAX or when memory is out; it then stays as it is
 * and `failed` is set, so that whoever hands it on can say so once instead of at every piece. */
#ifndef CORE_CONFIG_TEXT_H
#define CORE_CONFIG_TEXT_H

#include "core/base/bytes.h"
#include "core/base/language.h"

#include <stdbool.h>
#include <stddef.h>

enum { CONFIG_TEXT_BYTES_MAX = 64 * 1024 * 1024 };

/* All zero is the empty text. */
struct config_text {
    char *data; /* with a zero behind `count`; NULL while empty */
    size_t count;
    size_t capacity;
    bool failed;
};

void config_text_add(struct config_text *text, const char *format, ...) PRINTF_LIKE(2, 3);
void config_text_add_bytes(struct config_text *text, struct bytes bytes);

/* The text with its final zero; "" when empty. Owner: the text, until it changes. */
const char *config_text_string(const struct config_text *text);

/* Wipes, frees, and leaves all zero. */
void config_text_close(struct config_text *text);

#endif
