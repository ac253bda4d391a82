/* Tests core/base/quote.c: each kind of byte, and that what does not fit is never cut in half. */
#include "core/base/language.h"
#include "core/base/quote.h"

#include <criterion/criterion.h>

struct quote_case {
    struct bytes input;
    const char *quoted;
};

static const struct quote_case quote_cases[] = {
    {TEXT(""), "\"\""},
    {TEXT("foo.bar"), "\"foo.bar\""},
    {TEXT("it's"), "\"it's\""},
    {TEXT("a\"b\\c"), "\"a\\\"b\\\\c\""},
    {TEXT("\a\b\f\n\r\t\v"), "\"\\a\\b\\f\\n\\r\\t\\v\""},
    {TEXT("\0\001\037\177"), "\"\\x00\\x01\\x1f\\x7f\""},
    {TEXT("\xff\xc3"), "\"\\xff\\xc3\""},          /* not UTF-8 */
    {TEXT("\xc0\x80"), "\"\\xc0\\x80\""},          /* too long a form */
    {TEXT("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\""}, /* half of a pair */
    {TEXT("\xf4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\""},
    {TEXT("\xe2\x82"), "\"\\xe2\\x82\""},                       /* torn */
    {TEXT("\xc3\xa9\xe2\x82\xac"), "\"\xc3\xa9\xe2\x82\xac\""}, /* e acute, euro: as they are */
    {TEXT("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\""},
    {TEXT("\xe2\x80\x8b"), "\"\\u200b\""}, /* no width */
    {TEXT("\xc2\x80"), "\"\\u0080\""},
    {TEXT("\xf3\xa0\x80\x81"), "\"\\U000e0001\""},
};

Test(quote, escapes_what_could_break_a_line)
{
    for (size_t i = 0; i < COUNT_OF(quote_cases); i++) {
        const struct quote_case *c = &quote_cases[i];
        char out[128];
        size_t count = quote(c->input, out, sizeof out);
        cr_expect_str_eq(out, c->quoted, "row %zu: %s", i, out);
        cr_expect_eq(count, strlen(c->quoted));
        cr_expect(count < QUOTE_BYTES_NEEDED(c->input.count));
    }
}

/* In every size of buffer the result is the quoted start of the input that `used` says. */
Test(quote, leaves_out_what_does_not_fit)
{
    for (size_t i = 0; i < COUNT_OF(quote_cases); i++) {
        struct bytes input = quote_cases[i].input;
        for (size_t room = 1; room < 64; room++) {
            char out[64];
            char again[64];
            size_t used = 1000;
            memset(out, 'x', sizeof out);
            size_t count = quote_escape(input, out, room, &used);
            cr_assert_lt(count, room);
            cr_assert_eq(out[count], 0);
            cr_assert_leq(used, input.count);
            cr_expect_eq(quote_escape(bytes_of(input.data, used), again, sizeof again, NULL), count);
            cr_expect_str_eq(out, again, "row %zu in %zu bytes", i, room);
            if (room >= 3) {
                count = quote(input, out, room);
                cr_expect(out[0] == '"' && out[count - 1] == '"' && out[count] == 0 && count < room);
            }
        }
    }
}
