/* What core/codec/utf8.c takes for a well-formed sequence. */
#include "core/base/language.h"
#include "core/codec/utf8.h"

#include <criterion/criterion.h>

Test(utf8, sequences_end_where_unicode_says)
{
    static const struct {
        const char *text;
        size_t bytes;
    } rows[] = {
        {"", 0},
        {"a", 1},
        {"\x7f", 1},
        {"\x80", 0},     /* a continuation alone */
        {"\xc1\xbf", 0}, /* overlong */
        {"\xc2\x80", 2},
        {"\xdf\xbfz", 2},
        {"\xc2", 0},
        {"\xc2z", 0},
        {"\xe0\x9f\xbf", 0}, /* overlong */
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xed\xa0\x80", 0}, /* a surrogate */
        {"\xef\xbf\xbf", 3},
        {"\xe2\x82", 0},
        {"\xe2\x82z", 0},
        {"\xf0\x8f\xbf\xbf", 0}, /* overlong */
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xf4\x90\x80\x80", 0}, /* above U+10FFFF */
        {"\xf0\x9f\x98", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(utf8_sequence_bytes(text(rows[i].text)), rows[i].bytes, "row %zu", i);
}
