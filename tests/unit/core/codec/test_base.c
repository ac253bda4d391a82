/* The text forms of bytes: core/codec/base32.c, base64.c, and the checksum crc16.c. Vectors of RFC 4648
 * section 10 (without padding) and spec/security.md 2. */
#include "core/base/language.h"
#include "core/codec/base32.h"
#include "core/codec/base64.h"
#include "core/codec/crc16.h"

#include <criterion/criterion.h>

static const struct {
    const char *bytes;
    const char *base32;
    const char *base64;
} vectors[] = {
    {"", "", ""},
    {"f", "MY", "Zg"},
    {"fo", "MZXQ", "Zm8"},
    {"foo", "MZXW6", "Zm9v"},
    {"foob", "MZXW6YQ", "Zm9vYg"},
    {"fooba", "MZXW6YTB", "Zm9vYmE"},
    {"foobar", "MZXW6YTBOI", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "7P774", "-__-"},
};

Test(base, thirty_two_letters)
{
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        char out[32];
        size_t count = base32_encode(out, sizeof out, text(vectors[i].bytes));
        cr_expect_eq(count, BASE32_TEXT_BYTES(strlen(vectors[i].bytes)), "row %zu", i);
        cr_expect(bytes_equal(bytes_of(out, count), text(vectors[i].base32)), "row %zu: %.*s", i, (int)count,
                  out);
    }
}

Test(base, sixty_four_letters_for_urls)
{
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        char out[32];
        size_t count = base64_url_encode(out, sizeof out, text(vectors[i].bytes));
        cr_expect_eq(count, BASE64_URL_TEXT_BYTES(strlen(vectors[i].bytes)), "row %zu", i);
        cr_expect(bytes_equal(bytes_of(out, count), text(vectors[i].base64)), "row %zu: %.*s", i, (int)count,
                  out);
    }
}

Test(base, eleven_bytes_of_a_nonce_are_fifteen_letters)
{
    cr_expect_eq(BASE64_URL_TEXT_BYTES(11), 15);
}

Test(base, nothing_is_written_where_it_does_not_fit)
{
    char out[8] = "unused";
    cr_expect_eq(base32_encode(out, 4, TEXT("foo")), 0);
    cr_expect_eq(base64_url_encode(out, 3, TEXT("foo")), 0);
    cr_expect_str_eq(out, "unused");
}

Test(base, what_was_written_is_read_back)
{
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        uint8_t out[32];
        struct bytes bytes = text(vectors[i].bytes);
        cr_expect_eq(base32_decode(out, sizeof out, text(vectors[i].base32)), bytes.count, "row %zu", i);
        cr_expect(bytes_equal(bytes_of(out, bytes.count), bytes), "row %zu", i);
        cr_expect_eq(base64_url_decode(out, sizeof out, text(vectors[i].base64)), bytes.count, "row %zu", i);
        cr_expect(bytes_equal(bytes_of(out, bytes.count), bytes), "row %zu", i);
    }
}

Test(base, what_no_encoder_writes_is_refused)
{
    static const char *const bad32[] = {"M", "MZX", "my", "MY======", "M1", "MZ", "MZXQ\n", "MZXW7"};
    static const char *const bad_url[] = {"Z", "Zg==", "Zh", "Zm9+", "Zm9/", "Zm 9", "Zm9v\n", "Zm9"};
    static const char *const bad_standard[] = {"Zg", "Zg=", "Zh==", "Zm9-", "Zm9_", "====", "Zg===", "Zm9v="};
    uint8_t out[32];
    for (size_t i = 0; i < COUNT_OF(bad32); i++)
        cr_expect_eq(base32_decode(out, sizeof out, text(bad32[i])), 0, "%s", bad32[i]);
    for (size_t i = 0; i < COUNT_OF(bad_url); i++)
        cr_expect_eq(base64_url_decode(out, sizeof out, text(bad_url[i])), 0, "%s", bad_url[i]);
    for (size_t i = 0; i < COUNT_OF(bad_standard); i++)
        cr_expect_eq(base64_standard_decode(out, sizeof out, text(bad_standard[i])), 0, "%s",
                     bad_standard[i]);
    cr_expect_eq(base32_decode(out, 2, TEXT("MZXW6")), 0, "it does not fit");
    cr_expect_eq(base64_url_decode(out, 2, TEXT("Zm9v")), 0, "it does not fit");
}

Test(base, the_standard_alphabet_comes_with_padding)
{
    uint8_t out[8];
    cr_expect_eq(base64_standard_decode(out, sizeof out, TEXT("+//+")), 3);
    cr_expect_eq(memcmp(out, "\xfb\xff\xfe", 3), 0);
    cr_expect_eq(base64_standard_decode(out, sizeof out, TEXT("Zg==")), 1);
    cr_expect_eq(base64_standard_decode(out, sizeof out, TEXT("Zm8=")), 2);
}

Test(crc16, has_the_check_value_of_xmodem)
{
    cr_expect_eq(crc16_xmodem(TEXT("123456789")), 0x31c3);
    cr_expect_eq(crc16_xmodem(TEXT("")), 0);
}

Test(base, the_standard_alphabet_is_padded)
{
    static const char *const padded[] = {"",         "Zg==",     "Zm8=",     "Zm9v",
                                         "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy", "+//+"};
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        char out[32];
        uint8_t back[32];
        struct bytes bytes = text(vectors[i].bytes);
        size_t count = base64_standard_encode(out, sizeof out, bytes);
        cr_expect(bytes_equal(bytes_of(out, count), text(padded[i])), "row %zu: %.*s", i, (int)count, out);
        cr_expect_eq(base64_standard_decode(back, sizeof back, bytes_of(out, count)), bytes.count, "row %zu",
                     i);
        if (count > 0)
            cr_expect_eq(base64_standard_encode(out, count - 1, bytes), 0, "row %zu", i);
    }
}
