/* NKeys as text, against the vectors of spec/security.md 2.5. */
#include "core/base/language.h"
#include "core/codec/base64.h"
#include "core/security/nkey.h"

#include <criterion/criterion.h>
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

/* Seeds are 32 consecutive bytes. */
static const struct {
    enum nkey_type type;
    uint8_t seed_first;
    const char *seed;
    const char *public;
} keys[] = {
    {NKEY_USER, 0x00, "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y",
     "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"},
    {NKEY_ACCOUNT, 0x20, "SAACAIJCEMSCKJRHFAUSUKZMFUXC6MBRGIZTINJWG44DSOR3HQ6T4P7MNU",
     "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT"},
    {NKEY_OPERATOR, 0x40, "SOAEAQKCINCEKRSHJBEUUS2MJVHE6UCRKJJVIVKWK5MFSWS3LROV4X4A44",
     "OASUHOJP6EEVKEKHNLOIG2O3NXOJGNTFUEMXRXNBIBHOCBTMVFKZ2TJ6"},
    {NKEY_SERVER, 0x60, "SNAGAYLCMNSGKZTHNBUWU23MNVXG64DROJZXI5LWO54HS6T3PR6X473DCU",
     "NALUKU5UK3O57RUQR3FLDQIB7ZVLEHRLVIDBO6K3PVB2MNECTE75KIVQ"},
    {NKEY_CURVE, 0xa0, "SXAKBINCUOSKLJVHVCU2VK5MVWXK7MFRWKZ3JNNWW64LTOV3XS635P55JM",
     "XBQFU4S5FJFN73VRUKPBP3OWEHA3OWJ65DG3YRFMNRFLNYXYAXJDZ6RI"},
    {NKEY_CURVE, 0xc0, "SXAMBQOCYPCMLRWHZDE4VS6MZXHM7UGR2LJ5JVOW27MNTWW33TO55X45WM",
     "XDOCZSRR5DSDXPMR3736I5OMUM2H5NDYCB6VXV3FVOSK4SRQYNOUIAJX"},
};

static void seed_of(uint8_t seed[NKEY_RAW_BYTES], uint8_t first)
{
    for (size_t at = 0; at < NKEY_RAW_BYTES; at++)
        seed[at] = (uint8_t)(first + at);
}

Test(nkey, seeds_and_public_keys_of_every_type_have_their_texts)
{
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        uint8_t seed[NKEY_RAW_BYTES], raw[NKEY_RAW_BYTES], read[NKEY_RAW_BYTES];
        char seed_text[NKEY_SEED_TEXT_BYTES], public_text[NKEY_TEXT_BYTES];
        enum nkey_type type = NKEY_CLUSTER;
        seed_of(seed, keys[i].seed_first);
        nkey_seed_encode(seed_text, keys[i].type, seed);
        cr_expect_str_eq(seed_text, keys[i].seed);
        cr_assert_eq(nkey_seed_public(keys[i].type, seed, raw), ERR_OK);
        nkey_encode(public_text, keys[i].type, raw);
        cr_expect_str_eq(public_text, keys[i].public);
        cr_expect_eq(nkey_seed_decode(text(keys[i].seed), &type, read), ERR_OK);
        cr_expect(type == keys[i].type && memcmp(read, seed, sizeof read) == 0, "row %zu", i);
        type = NKEY_CLUSTER;
        cr_expect_eq(nkey_decode(text(keys[i].public), &type, read), ERR_OK);
        cr_expect(type == keys[i].type && memcmp(read, raw, sizeof read) == 0, "row %zu", i);
        cr_expect_eq(nkey_is_user(text(keys[i].public)), keys[i].type == NKEY_USER);
    }
}

/* Every letter of a good text is replaced by every other: the checksum finds each. */
Test(nkey, a_text_with_one_wrong_letter_is_refused)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    enum nkey_type type;
    uint8_t raw[NKEY_RAW_BYTES];
    for (size_t at = 0; at < 58; at++) {
        for (size_t letter = 0; letter < sizeof letters - 1; letter++) {
            char public_text[NKEY_TEXT_BYTES], seed_text[NKEY_SEED_TEXT_BYTES];
            memcpy(public_text, keys[0].public, sizeof public_text);
            memcpy(seed_text, keys[0].seed, sizeof seed_text);
            if (at < 56 && public_text[at] != letters[letter]) {
                public_text[at] = letters[letter];
                cr_expect_eq(nkey_decode(text(public_text), &type, raw), ERR_INVALID, "%s", public_text);
            }
            if (seed_text[at] != letters[letter]) {
                seed_text[at] = letters[letter];
                cr_expect_eq(nkey_seed_decode(text(seed_text), &type, raw), ERR_INVALID, "%s", seed_text);
            }
        }
    }
    cr_expect_eq(nkey_decode(TEXT(""), &type, raw), ERR_INVALID);
    cr_expect_eq(nkey_decode(bytes_of(keys[0].public, 55), &type, raw), ERR_INVALID);
    cr_expect_eq(nkey_decode(text(keys[0].seed), &type, raw), ERR_INVALID, "a seed is no public key");
    cr_expect_eq(nkey_seed_decode(text(keys[0].public), &type, raw), ERR_INVALID);
}

#define NONCE "Zm9vYmFyYmF6cXV"
#define SIGNATURE "J0gm0V0fGYSB3izoLpG0ZBMMPp0YZuicBhjBQvEGh6sRdyt3YLr1nf2VMlsXhKgA7eh3lCaSQM1mLJkaNe0kBg"

Test(nkey, an_answer_is_the_signature_of_the_nonces_text)
{
    static const struct {
        const char *nkey, *nonce, *signature, *why;
    } rows[] = {
        {NULL, NONCE, SIGNATURE, ""},
        {NULL, NONCE, SIGNATURE "==", ""}, /* the standard alphabet, with padding: no letter differs here */
        {NULL, NONCE, SIGNATURE "=", "Signature not valid base64"},
        {NULL, NONCE, "", "Signature missing"},
        {NULL, NONCE, "J0gm", "Signature not valid base64"},
        {NULL, "Zm9vYmFyYmF6cXU", SIGNATURE, "Signature not verified"},
        {NULL, "foobarbazqu", SIGNATURE, "Signature not verified"}, /* what the nonce decodes to */
        {NULL, "", SIGNATURE, "Signature not verified"},
        {"UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKA", NONCE, SIGNATURE, "User nkey not valid"},
        {"AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT", NONCE, SIGNATURE,
         "Signature not verified"},
        {"XBQFU4S5FJFN73VRUKPBP3OWEHA3OWJ65DG3YRFMNRFLNYXYAXJDZ6RI", NONCE, SIGNATURE, "User nkey not valid"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *nkey = rows[i].nkey == NULL ? keys[0].public : rows[i].nkey;
        const char *why = nkey_answer_check(text(nkey), text(rows[i].nonce), text(rows[i].signature));
        cr_expect_str_eq(why == NULL ? "" : why, rows[i].why, "row %zu", i);
    }
}

Test(nkey, what_it_signs_it_verifies)
{
    uint8_t seed[NKEY_RAW_BYTES], raw[NKEY_RAW_BYTES], signature[NKEY_SIGNATURE_BYTES];
    char signature_text[NKEY_SIGNATURE_TEXT_BYTES];
    seed_of(seed, 0);
    cr_assert_eq(nkey_seed_public(NKEY_USER, seed, raw), ERR_OK);
    cr_assert_eq(nkey_sign(NKEY_USER, seed, TEXT(NONCE), signature), ERR_OK);
    signature_text[base64_url_encode(signature_text, 86, bytes_of(signature, sizeof signature))] = 0;
    cr_expect_str_eq(signature_text, SIGNATURE);
    cr_expect(nkey_verify(raw, TEXT(NONCE), signature));
    signature[3] ^= 1;
    cr_expect_not(nkey_verify(raw, TEXT(NONCE), signature));
    cr_expect_eq(nkey_sign(NKEY_CURVE, seed, TEXT(NONCE), signature), ERR_INVALID);
}

Test(nkey, a_nonce_has_fifteen_letters_and_never_comes_again)
{
    char first[NKEY_NONCE_TEXT_BYTES], second[NKEY_NONCE_TEXT_BYTES];
    cr_assert_eq(nkey_nonce(first), ERR_OK);
    cr_assert_eq(nkey_nonce(second), ERR_OK);
    cr_expect_eq(strlen(first), 15);
    cr_expect_str_neq(first, second);
}

Test(nkey, a_server_id_is_new_each_time)
{
    char first[NKEY_TEXT_BYTES], second[NKEY_TEXT_BYTES];
    uint8_t seed[NKEY_RAW_BYTES], raw[NKEY_RAW_BYTES];
    cr_assert_eq(nkey_new(NKEY_SERVER, seed, first), ERR_OK);
    cr_assert_eq(nkey_new(NKEY_SERVER, seed, second), ERR_OK);
    cr_assert_eq(nkey_seed_public(NKEY_SERVER, seed, raw), ERR_OK);
    char again[NKEY_TEXT_BYTES];
    nkey_encode(again, NKEY_SERVER, raw);
    cr_expect_str_eq(again, second);
    cr_expect_eq(strlen(first), 56);
    cr_expect_eq(strspn(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), 56);
    cr_expect_eq(first[0], 'N');
    cr_expect_str_neq(first, second);
}
