/* core/codec/base64.c - see base64.h. */
#include "core/codec/base64.h"

/* `letters` are the 64 of the alphabet. */
static size_t encode(char *out, struct bytes bytes, const char *letters)
{
    uint32_t held = 0; /* bits taken from the bytes and not written, in the low `held_bits` */
    uint32_t held_bits = 0;
    size_t count = 0;
    for (size_t i = 0; i < bytes.count; i++) {
        held = (held << 8 | bytes.data[i]) & 0x3fff;
        held_bits += 8;
        while (held_bits >= 6) {
            held_bits -= 6;
            out[count++] = letters[held >> held_bits & 63];
        }
    }
    if (held_bits > 0)
        out[count++] = letters[held << (6 - held_bits) & 63];
    return count;
}

size_t base64_url_encode(char *out, size_t capacity, struct bytes bytes)
{
    if (capacity < BASE64_URL_TEXT_BYTES(bytes.count))
        return 0;
    return encode(out, bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
}

size_t base64_standard_encode(char *out, size_t capacity, struct bytes bytes)
{
    if (capacity < BASE64_STANDARD_TEXT_BYTES(bytes.count))
        return 0;
    size_t count = encode(out, bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    while (count % 4 != 0)
        out[count++] = '=';
    return count;
}

/* `last` are the letters for 62 and 63. */
static int letter_value(uint8_t letter, const char last[2])
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == (uint8_t)last[0] ? 62 : letter == (uint8_t)last[1] ? 63 : -1;
}

static size_t decode(uint8_t *out, size_t capacity, struct bytes text, const char last[2])
{
    uint32_t held = 0; /* as in base64_url_encode() */
    uint32_t held_bits = 0;
    size_t count = 0;
    if (BASE64_BYTES(text.count) > capacity || text.count % 4 == 1)
        return 0;
    for (size_t i = 0; i < text.count; i++) {
        int value = letter_value(text.data[i], last);
        if (value < 0)
            return 0;
        held = (held << 6 | (uint32_t)value) & 0x3fff;
        held_bits += 6;
        if (held_bits >= 8) {
            held_bits -= 8;
            out[count++] = (uint8_t)(held >> held_bits & 0xff);
        }
    }
    return (held & ((1U << held_bits) - 1)) == 0 ? count : 0;
}

size_t base64_url_decode(uint8_t *out, size_t capacity, struct bytes text)
{
    return decode(out, capacity, text, "-_");
}

size_t base64_standard_decode(uint8_t *out, size_t capacity, struct bytes text)
{
    size_t padding = 0;
    while (padding < 2 && padding < text.count && text.data[text.count - 1 - padding] == '=')
        padding++;
    if (text.count % 4 != 0)
        return 0;
    text.count -= padding;
    return decode(out, capacity, text, "+/");
}
