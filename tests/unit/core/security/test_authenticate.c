/* The decision who may come in: every kind of configuration against every kind of credentials, as rows
 * (spec/security.md 1.3 to 1.5). */
#include "core/base/language.h"
#include "core/security/authenticate.h"
#include "tests/unit/core/security/configured.h"

#include <criterion/criterion.h>

#define HASH_OF_U "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" /* of "U*U" */
#define T(literal)                                                                                           \
    {                                                                                                        \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                      \
    }

#define PLAIN_USERS                                                                                          \
    "authorization { users: [{user: a, password: pa}, {user: b, password: pb}, {user: open}] }\n"
#define HASHED_USERS                                                                                         \
    "authorization { users: [{user: p, password: pp}, {user: h, password: \"" HASH_OF_U "\"}] }\n"

/* The configurations of the rows, as files. */
static const char nothing[] = "";
static const char users[] = PLAIN_USERS;
static const char users_default[] = PLAIN_USERS "no_auth_user: b";
static const char hashed[] = HASHED_USERS;
static const char hashed_default[] = HASHED_USERS "no_auth_user: h";
static const char token[] = "authorization { token: tok }";
static const char token_hashed[] = "authorization { token: \"" HASH_OF_U "\" }";
static const char single[] = "authorization { user: u, password: pw }";
static const char single_hashed[] = "authorization { user: u, password: \"" HASH_OF_U "\" }";

#define ALLOWED AUTHENTICATE_ALLOWED
#define DENIED AUTHENTICATE_DENIED
#define BCRYPT AUTHENTICATE_NEEDS_BCRYPT

static const struct {
    const char *config;
    const char *user, *pass, *token;
    enum authenticate_verdict verdict;
    bool worker_agrees; /* with NEEDS_BCRYPT: what the check says */
} rows[] = {
    {nothing, "", "", "", ALLOWED, 0},
    {nothing, "x", "y", "z", ALLOWED, 0}, /* client-protocol 22, case 20 */
    {users, "a", "pa", "", ALLOWED, 0},
    {users, "b", "pb", "", ALLOWED, 0},
    {users, "a", "pb", "", DENIED, 0},
    {users, "a", "", "", DENIED, 0},
    {users, "open", "", "", ALLOWED, 0},
    {users, "open", "x", "", DENIED, 0},
    {users, "A", "pa", "", DENIED, 0},
    {users, "nobody", "pa", "", DENIED, 0},
    {users, "nobody", "", "", DENIED, 0},
    {users, "nobody", "no user's", "", DENIED, 0},
    {users, "", "", "", DENIED, 0},
    {users, "", "pa", "", DENIED, 0},
    {users, "", "", "pa", DENIED, 0},
    {users_default, "", "", "", ALLOWED, 0},
    {users_default, "a", "pa", "", ALLOWED, 0},
    {users_default, "a", "wrong", "", DENIED, 0}, /* wrong credentials do not fall back */
    {users_default, "", "pb", "", DENIED, 0},     /* nor do any */
    {users_default, "", "", "x", DENIED, 0},
    {hashed, "h", "U*U", "", BCRYPT, true},
    {hashed, "h", "wrong", "", BCRYPT, false},
    {hashed, "h", HASH_OF_U, "", BCRYPT, false},
    {hashed, "p", "pp", "", ALLOWED, 0},
    {hashed, "p", "U*U", "", DENIED, 0},
    {hashed, "nobody", "U*U", "", BCRYPT, false}, /* a decoy */
    {hashed, "nobody", "", "", BCRYPT, false},
    {hashed_default, "", "", "", DENIED, 0}, /* a hash is not its own password */
    {hashed_default, "h", "U*U", "", BCRYPT, true},
    {token, "", "", "tok", ALLOWED, 0},
    {token, "x", "y", "tok", ALLOWED, 0},
    {token, "", "", "to", DENIED, 0},
    {token, "", "", "", DENIED, 0},
    {token, "tok", "", "", DENIED, 0},
    {token, "", "tok", "", DENIED, 0},
    {token_hashed, "", "", "U*U", BCRYPT, true},
    {token_hashed, "", "", "x", BCRYPT, false},
    {single, "u", "pw", "", ALLOWED, 0},
    {single, "u", "x", "", DENIED, 0},
    {single, "x", "pw", "", DENIED, 0},
    {single, "", "pw", "", DENIED, 0},
    {single, "", "", "", DENIED, 0},
    {single, "", "", "pw", DENIED, 0},
    {single_hashed, "u", "U*U", "", BCRYPT, true},
    {single_hashed, "u", "x", "", BCRYPT, false},
    {single_hashed, "x", "U*U", "", BCRYPT, false}, /* a decoy */
};

Test(authenticate, credentials_meet_configurations)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct credentials credentials = {
            .user = text(rows[i].user), .pass = text(rows[i].pass), .token = text(rows[i].token)};
        struct authentication found;
        struct configured c;
        cr_assert_str_eq(configure(&c, rows[i].config), "");
        enum authenticate_verdict verdict = authenticate(&c.options, &credentials, &found);
        cr_expect_eq(verdict, rows[i].verdict, "row %zu", i);
        if (verdict == AUTHENTICATE_NEEDS_BCRYPT)
            cr_expect_eq(password_check_bcrypt(found.stored, found.given), rows[i].worker_agrees, "row %zu",
                         i);
        configured_close(&c);
    }
}

Test(authenticate, a_decoy_costs_what_the_real_hash_does)
{
    struct credentials credentials = {.user = TEXT("nobody"), .pass = TEXT("x")};
    struct authentication found;
    struct configured c;
    cr_assert_str_eq(configure(&c, hashed), "");
    cr_assert_eq(authenticate(&c.options, &credentials, &found), AUTHENTICATE_NEEDS_BCRYPT);
    cr_expect_eq(found.stored.count, PASSWORD_HASH_BYTES);
    cr_expect(bytes_start_with(found.stored, TEXT("$2a$05$")));
    cr_expect(password_is_bcrypt(found.stored));
    configured_close(&c);
}

Test(authenticate, who_came_is_told_for_the_log)
{
    static const struct {
        struct credentials credentials;
        enum authenticate_who who;
        const char *name;
    } who_rows[] = {
        {{.user = T("u"), .token = T("t")}, AUTHENTICATE_USER, "u"},
        {{.token = T("t")}, AUTHENTICATE_TOKEN, ""}, /* never the token itself */
        {{.nkey = T("UK"), .user = T("u")}, AUTHENTICATE_NKEY, "UK"},
        {{.pass = T("p")}, AUTHENTICATE_NOBODY, ""},
    };
    struct authentication found;
    struct configured one, many, secret;
    cr_assert_str_eq(configure(&one, single), "");
    cr_assert_str_eq(configure(&many, users_default), "");
    cr_assert_str_eq(configure(&secret, token), "");
    for (size_t i = 0; i < COUNT_OF(who_rows); i++) {
        cr_expect_eq(authenticate(&one.options, &who_rows[i].credentials, &found), AUTHENTICATE_DENIED);
        cr_expect_eq(found.who, who_rows[i].who, "row %zu", i);
        cr_expect(bytes_equal(found.name, text(who_rows[i].name)), "row %zu", i);
    }
    struct credentials none = {0};
    cr_expect_eq(authenticate(&many.options, &none, &found), AUTHENTICATE_ALLOWED);
    cr_expect_eq(found.who, AUTHENTICATE_NOBODY);
    cr_expect(bytes_equal(found.name, TEXT("b")), "as no_auth_user");
    struct credentials both = {.user = T("x"), .token = T("tok")};
    cr_expect_eq(authenticate(&secret.options, &both, &found), AUTHENTICATE_ALLOWED);
    cr_expect_eq(found.who, AUTHENTICATE_TOKEN, "the token opened the door, not the name beside it");
    cr_expect_eq(found.name.count, 0);
    both.token = TEXT("wrong");
    cr_expect_eq(authenticate(&secret.options, &both, &found), AUTHENTICATE_DENIED);
    cr_expect_eq(found.who, AUTHENTICATE_USER, "refused: the log names what was sent");
    configured_close(&one);
    configured_close(&many);
    configured_close(&secret);
}

Test(authenticate, what_is_required_follows_from_the_options)
{
    static const struct {
        const char *config;
        bool required, in_info;
    } required_rows[] = {
        {nothing, false, false}, {users, true, true},  {users_default, true, false},
        {token, true, true},     {single, true, true},
    };
    for (size_t i = 0; i < COUNT_OF(required_rows); i++) {
        struct configured c;
        cr_assert_str_eq(configure(&c, required_rows[i].config), "");
        cr_expect_eq(authenticate_required(&c.options), required_rows[i].required, "row %zu", i);
        cr_expect_eq(authenticate_info_required(&c.options), required_rows[i].in_info, "row %zu", i);
        configured_close(&c);
    }
}
