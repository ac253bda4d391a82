/* core/codec/utf8.c - the table of well-formed sequences (Unicode 15, table 3-7) as a few comparisons. */
#include "core/codec/utf8.h"

static bool continues(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t utf8_sequence_bytes(struct bytes text)
{
    const uint8_t *at = text.data;
    if (text.count == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        return text.count >= 2 && continues(at[1]) ? 2 : 0;
    if (at[0] >= 0xe0 && at[0] <= 0xef) {
        if (text.count < 3 || !continues(at[1]) || !continues(at[2]))
            return 0;
        bool overlong = at[0] == 0xe0 && at[1] < 0xa0;
        bool surrogate = at[0] == 0xed && at[1] > 0x9f;
        return overlong || surrogate ? 0 : 3;
    }
    if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        if (text.count < 4 || !continues(at[1]) || !continues(at[2]) || !continues(at[3]))
            return 0;
        bool overlong = at[0] == 0xf0 && at[1] < 0x90;
        bool too_large = at[0] == 0xf4 && at[1] > 0x8f;
        return overlong || too_large ? 0 : 4;
    }
    return 0;
}
