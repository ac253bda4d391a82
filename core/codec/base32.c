/* core/codec/base32.c - see base32.h. */
#include "core/codec/base32.h"

size_t base32_encode(char *out, size_t capacity, struct bytes bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint32_t held = 0; /* bits taken from the bytes and not written, in the low `held_bits` */
    uint32_t held_bits = 0;
    size_t count = 0;
    if (capacity < BASE32_TEXT_BYTES(bytes.count))
        return 0;
    for (size_t i = 0; i < bytes.count; i++) {
        held = (held << 8 | bytes.data[i]) & 0xfff;
        held_bits += 8;
        while (held_bits >= 5) {
            held_bits -= 5;
            out[count++] = letters[held >> held_bits & 31];
        }
    }
    if (held_bits > 0)
        out[count++] = letters[held << (5 - held_bits) & 31];
    return count;
}

static int letter_value(uint8_t letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    return letter >= '2' && letter <= '7' ? letter - '2' + 26 : -1;
}

size_t base32_decode(uint8_t *out, size_t capacity, struct bytes text)
{
    uint32_t held = 0; /* as in base32_encode() */
    uint32_t held_bits = 0;
    size_t count = 0;
    if (BASE32_BYTES(text.count) > capacity || BASE32_TEXT_BYTES(BASE32_BYTES(text.count)) != text.count)
        return 0;
    for (size_t i = 0; i < text.count; i++) {
        int value = letter_value(text.data[i]);
        if (value < 0)
            return 0;
        held = (held << 5 | (uint32_t)value) & 0xfff;
        held_bits += 5;
        if (held_bits >= 8) {
            held_bits -= 8;
            out[count++] = (uint8_t)(held >> held_bits & 0xff);
        }
    }
    return (held & ((1U << held_bits) - 1)) == 0 ? count : 0;
}
