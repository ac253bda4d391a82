/* Passwords compared and hashed. The hashes are public bcrypt test vectors, of low cost. */
#include "core/base/language.h"
#include "core/security/password.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define HASH_OF_U "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"  /* of "U*U" */
#define HASH_OF_A3 "/OK.fbVrR/bpIqNJ5ianF.Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq" /* of the byte a3 */
#define BUGGY_A3 "/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"   /* with the old sign bug */

Test(password, a_hash_is_known_by_its_start)
{
    static const struct {
        const char *stored;
        bool bcrypt;
    } rows[] = {
        {"$2a$11$x", true},  {"$2b$11$", true},   {"$2x$04$y", true},   {"$2y$31$y", true},
        {"$2c$11$x", false}, {"$2$11$xx", false}, {"$2a$1$xxx", false}, {"$2a$1x$x", false},
        {"$2a$11x", false},  {"$2a$11", false},   {"2a$11$xx", false},  {"x$2a$11$x", false},
        {"", false},         {"$", false},        {"$plain", false},    {"$1a$11$x", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(password_is_bcrypt(text(rows[i].stored)), rows[i].bcrypt, "%s", rows[i].stored);
}

Test(password, plain_ones_are_the_same_or_not)
{
    cr_expect(password_compare_plain(TEXT(""), (struct bytes){0}));
    cr_expect(password_compare_plain(TEXT("pw"), TEXT("pw")));
    cr_expect(password_compare_plain(TEXT("a\0b"), TEXT("a\0b")));
    cr_expect_not(password_compare_plain(TEXT("a\0b"), TEXT("a\0c")));
    cr_expect_not(password_compare_plain(TEXT("pw"), TEXT("pW")));
    cr_expect_not(password_compare_plain(TEXT("pw"), TEXT("pw ")));
    cr_expect_not(password_compare_plain(TEXT("pw"), TEXT("")));
    cr_expect_not(password_compare_plain(TEXT(""), TEXT("pw")));
}

Test(password, a_hash_fits_its_password_whatever_its_letter)
{
    static const struct {
        const char *stored, *given;
        bool fits;
    } rows[] = {
        {"$2a$05$" HASH_OF_U, "U*U", true},
        {"$2b$05$" HASH_OF_U, "U*U", true},
        {"$2x$05$" HASH_OF_U, "U*U", true},
        {"$2y$05$" HASH_OF_U, "U*U", true},
        {"$2a$05$" HASH_OF_U, "U*u", false},
        {"$2a$05$" HASH_OF_U, "", false},
        {"$2a$05$" HASH_OF_U, "$2a$05$" HASH_OF_U, false}, /* the hash is not the password */
        {"$2a$06$" HASH_OF_U, "U*U", false},               /* of another cost */
        {"$2a$05$" HASH_OF_A3, "\xa3", true},
        {"$2x$05$" HASH_OF_A3, "\xa3", true}, /* the old bug is not repeated */
        {"$2x$05$" BUGGY_A3, "\xa3", false},
        {"$2a$05$", "", false}, /* broken hashes */
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.", "", false},
        {"$2a$05$" HASH_OF_U "x", "U*U", false},
        {"$2a$03$" HASH_OF_U, "U*U", false},
        {"$2a$99$" HASH_OF_U, "U*U", false},
        {"$2a$05$!CCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", false},
        {"plain", "plain", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(password_check_bcrypt(text(rows[i].stored), text(rows[i].given)), rows[i].fits, "%s, %s",
                     rows[i].stored, rows[i].given);
}

Test(password, what_is_hashed_is_checked)
{
    char hash[PASSWORD_HASH_BYTES + 1], other[PASSWORD_HASH_BYTES + 1];
    cr_assert_eq(password_hash(hash, TEXT("secret"), 4), ERR_OK);
    cr_assert_eq(password_hash(other, TEXT("secret"), 4), ERR_OK);
    cr_expect(bytes_start_with(text(hash), TEXT("$2a$04$")));
    cr_expect_eq(strlen(hash), PASSWORD_HASH_BYTES);
    cr_expect_str_neq(hash, other, "each has its own salt");
    cr_expect(password_check_bcrypt(text(hash), TEXT("secret")));
    cr_expect_not(password_check_bcrypt(text(hash), TEXT("Secret")));
    cr_expect_eq(password_hash(hash, TEXT("secret"), 3), ERR_INVALID);
    cr_expect_eq(password_hash(hash, TEXT("secret"), 32), ERR_INVALID);
}

Test(password, only_seventy_two_bytes_count)
{
    char hash[PASSWORD_HASH_BYTES + 1];
    uint8_t given[600];
    memset(given, 'x', sizeof given);
    cr_assert_eq(password_hash(hash, bytes_of(given, 80), 4), ERR_OK);
    cr_expect(password_check_bcrypt(text(hash), bytes_of(given, 72)));
    cr_expect(password_check_bcrypt(text(hash), bytes_of(given, 80)));
    cr_expect(password_check_bcrypt(text(hash), bytes_of(given, 600)), "libxcrypt alone stops at 512");
    cr_expect_not(password_check_bcrypt(text(hash), bytes_of(given, 71)));
}

Test(password, a_zero_byte_does_not_cut_a_password)
{
    char hash[PASSWORD_HASH_BYTES + 1];
    cr_assert_eq(password_hash(hash, TEXT("abc"), 4), ERR_OK);
    cr_expect_not(password_check_bcrypt(text(hash), TEXT("abc\0def")));
    cr_expect_eq(password_hash(hash, TEXT("abc\0def"), 4), ERR_INVALID);
}
