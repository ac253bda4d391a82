/* NKeys as text, against the vectors of spec/security.md 2.5. */
#include "core/base/language.h"
#include "core/security/nkey.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <string.h>

Test(nkey, a_users_public_key_has_its_text)
{
    static const uint8_t raw[NKEY_RAW_BYTES] = {
        0x03, 0xa1, 0x07, 0xbf, 0xf3, 0xce, 0x10, 0xbe, 0x1d, 0x70, 0xdd, 0x18, 0xe7, 0x4b, 0xc0, 0x99,
        0x67, 0xe4, 0xd6, 0x30, 0x9b, 0xa5, 0x0d, 0x5f, 0x1d, 0xdc, 0x86, 0x64, 0x12, 0x55, 0x31, 0xb8,
    };
    char out[NKEY_TEXT_BYTES];
    nkey_encode(out, NKEY_USER, raw);
    cr_expect_str_eq(out, "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK");
}

/* Seeds are 32 consecutive bytes; the public half comes from OpenSSL. */
Test(nkey, each_type_has_its_letter)
{
    static const struct {
        enum nkey_type type;
        int openssl;
        uint8_t seed_first;
        const char *text;
    } rows[] = {
        {NKEY_ACCOUNT, EVP_PKEY_ED25519, 0x20, "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT"},
        {NKEY_OPERATOR, EVP_PKEY_ED25519, 0x40, "OASUHOJP6EEVKEKHNLOIG2O3NXOJGNTFUEMXRXNBIBHOCBTMVFKZ2TJ6"},
        {NKEY_SERVER, EVP_PKEY_ED25519, 0x60, "NALUKU5UK3O57RUQR3FLDQIB7ZVLEHRLVIDBO6K3PVB2MNECTE75KIVQ"},
        {NKEY_CURVE, EVP_PKEY_X25519, 0xa0, "XBQFU4S5FJFN73VRUKPBP3OWEHA3OWJ65DG3YRFMNRFLNYXYAXJDZ6RI"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t seed[32], raw[NKEY_RAW_BYTES];
        size_t raw_bytes = sizeof raw;
        char out[NKEY_TEXT_BYTES];
        for (size_t at = 0; at < sizeof seed; at++)
            seed[at] = (uint8_t)(rows[i].seed_first + at);
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key(rows[i].openssl, NULL, seed, sizeof seed);
        cr_assert_not_null(key);
        cr_assert_eq(EVP_PKEY_get_raw_public_key(key, raw, &raw_bytes), 1);
        EVP_PKEY_free(key);
        nkey_encode(out, rows[i].type, raw);
        cr_expect_str_eq(out, rows[i].text);
    }
}

Test(nkey, a_server_id_is_new_each_time)
{
    char first[NKEY_TEXT_BYTES], second[NKEY_TEXT_BYTES];
    cr_assert_eq(nkey_server_id(first), ERR_OK);
    cr_assert_eq(nkey_server_id(second), ERR_OK);
    cr_expect_eq(strlen(first), 56);
    cr_expect_eq(strspn(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), 56);
    cr_expect_eq(first[0], 'N');
    cr_expect_str_neq(first, second);
}
