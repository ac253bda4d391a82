/* core/codec/base64.c - see base64.h. */
#include "core/codec/base64.h"

size_t base64_url_encode(char *out, size_t capacity, struct bytes bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t held = 0; /* bits taken from the bytes and not written, in the low `held_bits` */
    uint32_t held_bits = 0;
    size_t count = 0;
    if (capacity < BASE64_URL_TEXT_BYTES(bytes.count))
        return 0;
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
