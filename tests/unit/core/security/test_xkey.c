/* Sealed messages, against the vector of spec/security.md 2.6, which the Go library opens. */
#include "core/base/language.h"
#include "core/security/xkey.h"

#include <criterion/criterion.h>

enum { HELLO_BYTES = 5 };

struct pair {
    uint8_t one_seed[NKEY_RAW_BYTES], one[NKEY_RAW_BYTES];
    uint8_t two_seed[NKEY_RAW_BYTES], two[NKEY_RAW_BYTES];
};

static struct pair pair_make(void)
{
    struct pair pair;
    for (size_t i = 0; i < NKEY_RAW_BYTES; i++) {
        pair.one_seed[i] = (uint8_t)(0xa0 + i);
        pair.two_seed[i] = (uint8_t)(0xc0 + i);
    }
    cr_assert_eq(nkey_seed_public(NKEY_CURVE, pair.one_seed, pair.one), ERR_OK);
    cr_assert_eq(nkey_seed_public(NKEY_CURVE, pair.two_seed, pair.two), ERR_OK);
    return pair;
}

Test(xkey, a_message_is_sealed_as_the_vector_has_it)
{
    static const uint8_t expected[XKEY_SEAL_BYTES + HELLO_BYTES] = {
        0x78, 0x6b, 0x76, 0x31, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c,
        0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x1c, 0xfc, 0xd7, 0x6a, 0xbe, 0x14,
        0xcf, 0xcc, 0x87, 0x75, 0x49, 0xae, 0x9d, 0x10, 0x2f, 0x57, 0x82, 0x79, 0xae, 0xa6, 0xe3,
    };
    struct pair pair = pair_make();
    uint8_t nonce[XKEY_NONCE_BYTES], sealed[sizeof expected], opened[HELLO_BYTES];
    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = (uint8_t)i;
    cr_assert_eq(xkey_seal_with(sealed, TEXT("hello"), nonce, pair.one_seed, pair.two), ERR_OK);
    cr_expect_arr_eq(sealed, expected, sizeof expected);
    cr_assert_eq(xkey_open(opened, bytes_of(expected, sizeof expected), pair.two_seed, pair.one), ERR_OK);
    cr_expect_arr_eq(opened, "hello", HELLO_BYTES);
}

Test(xkey, what_is_sealed_twice_is_not_the_same)
{
    struct pair pair = pair_make();
    uint8_t first[XKEY_SEAL_BYTES + HELLO_BYTES], second[sizeof first];
    cr_assert_eq(xkey_seal(first, TEXT("hello"), pair.one_seed, pair.two), ERR_OK);
    cr_assert_eq(xkey_seal(second, TEXT("hello"), pair.one_seed, pair.two), ERR_OK);
    cr_expect_arr_neq(first, second, sizeof first);
}

Test(xkey, no_byte_of_it_may_be_another_and_none_may_be_missing)
{
    struct pair pair = pair_make();
    uint8_t sealed[XKEY_SEAL_BYTES + HELLO_BYTES], opened[HELLO_BYTES];
    cr_assert_eq(xkey_seal(sealed, TEXT("hello"), pair.one_seed, pair.two), ERR_OK);
    for (size_t i = 0; i < sizeof sealed; i++) {
        sealed[i] ^= 1;
        cr_expect_eq(xkey_open(opened, bytes_of(sealed, sizeof sealed), pair.two_seed, pair.one), ERR_INVALID,
                     "byte %zu", i);
        sealed[i] ^= 1;
        cr_expect_eq(xkey_open(opened, bytes_of(sealed, i), pair.two_seed, pair.one), ERR_INVALID,
                     "%zu bytes", i);
    }
    cr_expect_eq(xkey_open(opened, bytes_of(sealed, sizeof sealed), pair.one_seed, pair.two), ERR_OK,
                 "the two share one secret");
    cr_expect_eq(xkey_open(opened, bytes_of(sealed, sizeof sealed), pair.two_seed, pair.two), ERR_INVALID);
}

Test(xkey, a_key_of_zeros_gives_no_secret)
{
    static const uint8_t zeros[NKEY_RAW_BYTES];
    struct pair pair = pair_make();
    uint8_t sealed[XKEY_SEAL_BYTES + HELLO_BYTES];
    cr_expect_eq(xkey_seal(sealed, TEXT("hello"), pair.one_seed, zeros), ERR_INVALID);
}
