/* core/base/quote.c - escapes for bytes from outside. One character at a time: decode, choose its escape, put
 * it if it fits as a whole. */
#include "core/base/quote.h"

#include "core/base/check.h"
#include "core/base/language.h"
#include "core/base/printable.h"

#include <stdio.h>

enum { ESCAPE_BYTES_MAX = 10 }; /* \UNNNNNNNN */

struct escape {
    char text[ESCAPE_BYTES_MAX + 1];
    size_t count;
};

/* The lead bytes of UTF-8: how long a character is, and which code points it may hold. What is below `least`
 * is an overlong form; surrogates and what is above U+10FFFF are refused apart. */
static const struct utf8_form {
    uint8_t mask;
    uint8_t lead;
    uint8_t count;
    uint32_t least;
} utf8_forms[] = {
    {0xe0, 0xc0, 2, 0x80},
    {0xf0, 0xe0, 3, 0x800},
    {0xf8, 0xf0, 4, 0x10000},
};

static size_t decode_character(const uint8_t *data, size_t count, uint32_t *code_point);
static struct escape escape_of(const uint8_t *data, size_t character_bytes, uint32_t code_point);

size_t quote_escape(struct bytes input, char *out, size_t out_bytes, size_t *used)
{
    ASSERT(out_bytes >= 1);
    size_t written = 0;
    size_t at = 0;
    while (at < input.count) {
        uint32_t code_point = 0;
        size_t character_bytes = decode_character(input.data + at, input.count - at, &code_point);
        struct escape escape = escape_of(input.data + at, character_bytes, code_point);
        if (escape.count > out_bytes - 1 - written)
            break;
        memcpy(out + written, escape.text, escape.count);
        written += escape.count;
        at += character_bytes == 0 ? 1 : character_bytes;
    }
    out[written] = 0;
    if (used != NULL)
        *used = at;
    return written;
}

size_t quote(struct bytes input, char *out, size_t out_bytes)
{
    ASSERT(out_bytes >= 3);
    out[0] = '"';
    size_t escaped = quote_escape(input, out + 1, out_bytes - 2, NULL);
    out[1 + escaped] = '"';
    out[2 + escaped] = 0;
    return escaped + 2;
}

/* The bytes of the character at `data` (1 to 4), or 0 when its first byte starts none. */
static size_t decode_character(const uint8_t *data, size_t count, uint32_t *code_point)
{
    if (data[0] < 0x80) {
        *code_point = data[0];
        return 1;
    }
    for (size_t i = 0; i < COUNT_OF(utf8_forms); i++) {
        const struct utf8_form *form = &utf8_forms[i];
        if ((data[0] & form->mask) != form->lead)
            continue;
        if (count < form->count)
            return 0;
        uint32_t value = data[0] & (uint8_t)~form->mask;
        for (size_t k = 1; k < form->count; k++) {
            if ((data[k] & 0xc0) != 0x80)
                return 0;
            value = value << 6 | (data[k] & 0x3f);
        }
        if (value < form->least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
            return 0;
        *code_point = value;
        return form->count;
    }
    return 0;
}

static struct escape escape_of(const uint8_t *data, size_t character_bytes, uint32_t code_point)
{
    static const char named[] = "abtnvfr"; /* 7 to 13 */
    struct escape escape = {.count = 0};
    int count = 0;
    if (character_bytes == 0) {
        count = snprintf(escape.text, sizeof escape.text, "\\x%02x", data[0]);
    } else if (code_point == '"' || code_point == '\\') {
        count = snprintf(escape.text, sizeof escape.text, "\\%c", (char)code_point);
    } else if (code_point >= 7 && code_point <= 13) {
        count = snprintf(escape.text, sizeof escape.text, "\\%c", named[code_point - 7]);
    } else if (code_point < 0x20 || code_point == 0x7f) {
        count = snprintf(escape.text, sizeof escape.text, "\\x%02x", code_point);
    } else if (printable(code_point)) {
        memcpy(escape.text, data, character_bytes);
        count = (int)character_bytes;
    } else if (code_point < 0x10000) {
        count = snprintf(escape.text, sizeof escape.text, "\\u%04x", code_point);
    } else {
        count = snprintf(escape.text, sizeof escape.text, "\\U%08x", code_point);
    }
    ASSERT(count > 0 && count <= ESCAPE_BYTES_MAX);
    escape.count = (size_t)count;
    return escape;
}
