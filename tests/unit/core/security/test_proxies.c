/* Trusted proxies: the block of the file, whose signature it is, what a reload says, and the decision who may
 * come in with and without one (spec/security.md 1.4, 1.9). */
#include "core/codec/base64.h"
#include "core/security/authenticate.h"
#include "tests/unit/core/security/configured.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* The seeds count up from 0x20 and from 0x00. */
#define KEY "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT"
#define OTHER "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
#define CURVE "XBQFU4S5FJFN73VRUKPBP3OWEHA3OWJ65DG3YRFMNRFLNYXYAXJDZ6RI"
#define SEED "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
#define NONCE "Zm9vYmFyYmF6cXV"
#define HASH_OF_U "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" /* of "U*U" */
#define TRUSTED "proxies { trusted: [ {key: " KEY "} ] }\n"

enum { KEY_FIRST = 0x20, OTHER_FIRST = 0x00 };

/* The text of a signature by the seed that counts up from `first`. */
static const char *signature_of(uint8_t first, struct bytes message)
{
    static char out[NKEY_SIGNATURE_TEXT_BYTES];
    uint8_t seed[NKEY_RAW_BYTES], signature[NKEY_SIGNATURE_BYTES];
    for (size_t i = 0; i < sizeof seed; i++)
        seed[i] = (uint8_t)(first + i);
    cr_assert_eq(nkey_sign(NKEY_ACCOUNT, seed, message, signature), ERR_OK);
    out[base64_url_encode(out, sizeof out - 1, bytes_of(signature, sizeof signature))] = 0;
    return out;
}

/* ---- the block ---- */

Test(proxies, a_file_names_their_keys)
{
    struct configured c;
    cr_assert_str_eq(configure(&c, "proxies { trusted: [ {key: " KEY "}, {PUBLIC_KEY: " OTHER "} ] }"), "");
    const struct trusted_proxies *proxies = &c.options.proxies;
    cr_assert_eq(proxies->count, 2);
    cr_expect(proxies->given);
    cr_expect(bytes_equal(proxies->at[0].key, TEXT(KEY)));
    cr_expect(bytes_equal(proxies->at[1].key, TEXT(OTHER)));
    cr_expect(authenticate_challenges(&c.options), "they have to have a nonce to sign");
    cr_expect_not(authenticate_required(&c.options), "proxies alone ask nobody for a login");
    configured_close(&c);
    static const char *const empty[] = {"proxies {}", "proxies { trusted: [] }"};
    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        cr_assert_str_eq(configure(&c, empty[i]), "");
        cr_expect(c.options.proxies.given && c.options.proxies.count == 0);
        cr_expect_not(authenticate_challenges(&c.options));
        configured_close(&c);
    }
    cr_assert_str_eq(configure(&c, ""), "");
    cr_expect_not(c.options.proxies.given);
    configured_close(&c);
}

Test(proxies, what_is_wrong_in_the_file_is_named_but_no_seed)
{
    static const struct {
        const char *config, *error;
    } rows[] = {
        {"proxies: 5", "test.conf:1:0: expected proxies to be a map/struct, got int64\n"},
        {"proxies {x: 1}", "test.conf:1:9: unknown field \"x\"\n"},
        {"proxies {trusted: 5}",
         "test.conf:1:9: expected proxies' trusted field to be an array, got int64\n"},
        {"proxies {trusted: [\"a\"]}",
         "test.conf:1:20: expected proxies' trusted entry to be a map/struct, got string\n"},
        {"proxies {trusted: [{}]}", "test.conf:1:21: proxy trusted key \"\" is invalid\n"},
        {"proxies {trusted: [{foo: 5}]}", "test.conf:1:20: unknown field \"foo\"\n"},
        {"proxies {trusted: [{key: 5}]}",
         "test.conf:1:20: interface conversion: interface {} is int64, not string\n"},
        {"proxies {trusted: [{key: x}]}", "test.conf:1:20: invalid proxy key \"x\"\n"},
        {"proxies {trusted: [{key: " CURVE "}]}", "test.conf:1:20: invalid proxy key \"" CURVE "\"\n"},
        {"proxies {trusted: [{key: " SEED "}]}", "test.conf:1:20: invalid proxy key \"xxxxx\"\n"},
        {"authorization {proxy_required: 5}",
         "test.conf:1:15: interface conversion: interface {} is int64, not bool\n"},
        {"authorization {users: [{user: a, proxy_required: x}]}",
         "test.conf:1:33: interface conversion: interface {} is string, not bool\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct configured c;
        cr_expect_str_eq(configure(&c, rows[i].config), rows[i].error);
        configured_close(&c);
    }
}

Test(proxies, there_are_no_more_than_can_be_tried)
{
    struct config_text file = {0};
    struct configured c;
    config_text_add(&file, "proxies { trusted: [");
    for (int i = 0; i < PROXIES_TRUSTED_MAX; i++)
        config_text_add(&file, "%s{key: " KEY "}", i > 0 ? ", " : "");
    struct config_text more = {0};
    config_text_add(&more, "%s, {key: " OTHER "} ] }", config_text_string(&file));
    config_text_add(&file, " ] }");
    cr_expect_str_eq(configure(&c, config_text_string(&file)), "");
    cr_expect_eq(c.options.proxies.count, PROXIES_TRUSTED_MAX);
    configured_close(&c);
    cr_expect_str_eq(configure(&c, config_text_string(&more)),
                     "test.conf:1:10: at most 32 proxies can be trusted, not 33\n");
    configured_close(&c);
    config_text_close(&file);
    config_text_close(&more);
}

/* ---- whose signature it is ---- */

Test(proxies, the_one_that_signed_is_found)
{
    struct configured c;
    const char *why = NULL;
    cr_assert_str_eq(configure(&c, "proxies { trusted: [ {key: " OTHER "}, {key: " KEY "} ] }"), "");
    const struct trusted_proxies *proxies = &c.options.proxies;
    char own[NKEY_SIGNATURE_TEXT_BYTES], others[NKEY_SIGNATURE_TEXT_BYTES], padded[128];
    memcpy(own, signature_of(KEY_FIRST, TEXT(NONCE)), sizeof own);
    memcpy(others, signature_of(OTHER_FIRST, TEXT(NONCE)), sizeof others);
    cr_expect_eq(trusted_proxies_find(proxies, TEXT(NONCE), text(own), &why), &proxies->at[1]);
    cr_expect_null(why);
    cr_expect_eq(trusted_proxies_find(proxies, TEXT(NONCE), text(others), &why), &proxies->at[0]);
    cr_expect_null(trusted_proxies_find(proxies, TEXT("another nonce!!"), text(own), &why));
    cr_expect_null(why, "it is a signature, and nobody's here");
    snprintf(padded, sizeof padded, "%s==", own);
    const char *const no_base64[] = {padded, "*", "a", ""};
    for (size_t i = 0; i < COUNT_OF(no_base64); i++) {
        cr_expect_null(trusted_proxies_find(proxies, TEXT(NONCE), text(no_base64[i]), &why));
        cr_expect_str_eq(why, "Proxy signature not valid base64", "row %zu", i);
    }
    cr_expect_null(trusted_proxies_find(proxies, TEXT(NONCE), TEXT("abcd"), &why));
    cr_expect_null(why, "too short, but base64");
    cr_expect_null(trusted_proxies_find(proxies, TEXT(NONCE), text(signature_of(0x40, TEXT(NONCE))), &why));
    configured_close(&c);
}

Test(proxies, who_was_given_no_nonce_proves_nothing)
{
    struct configured c;
    const char *why;
    cr_assert_str_eq(configure(&c, TRUSTED), "");
    struct bytes nothing = TEXT("");
    cr_expect_null(
        trusted_proxies_find(&c.options.proxies, nothing, text(signature_of(KEY_FIRST, nothing)), &why));
    configured_close(&c);
}

/* ---- reload ---- */

Test(proxies, a_reload_says_which_came_and_went)
{
    static const struct {
        const char *before, *after, *lines;
    } rows[] = {
        {TRUSTED, TRUSTED, ""},
        {TRUSTED, "proxies { trusted: [ {key: " KEY "}, {key: " OTHER "} ] }",
         "Reloaded: proxies trusted keys [\"" OTHER "\"] were added\n"},
        {TRUSTED, "proxies { trusted: [ {key: " OTHER "} ] }",
         "Reloaded: proxies trusted keys [\"" KEY "\"] were removed\n"
         "Reloaded: proxies trusted keys [\"" OTHER "\"] were added\n"},
        {"", "proxies { trusted: [ {key: " KEY "}, {key: " OTHER "} ] }",
         "Reloaded: proxies trusted keys [\"" KEY "\" \"" OTHER "\"] were added\n"},
        {TRUSTED, "", "Reloaded: proxies trusted keys [\"" KEY "\"] were removed\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct configured before, after;
        struct option_changes changes = {0};
        cr_assert_str_eq(configure(&before, rows[i].before), "");
        cr_assert_str_eq(configure(&after, rows[i].after), "");
        trusted_proxies_compare(&before.options.proxies, &after.options.proxies, &changes);
        cr_expect_str_eq(config_text_string(&changes.lines), rows[i].lines, "row %zu", i);
        option_changes_close(&changes);
        configured_close(&before);
        configured_close(&after);
    }
}

Test(proxies, one_is_the_same_by_its_key)
{
    struct configured before, after;
    cr_assert_str_eq(configure(&before, "proxies { trusted: [ {key: " OTHER "}, {key: " KEY "} ] }"), "");
    cr_assert_str_eq(configure(&after, TRUSTED), "");
    const struct trusted_proxies *was = &before.options.proxies, *is = &after.options.proxies;
    cr_expect_eq(trusted_proxies_again(is, &was->at[1]), &is->at[0]);
    cr_expect_null(trusted_proxies_again(is, &was->at[0]));
    cr_expect_null(trusted_proxies_again(is, NULL));
    configured_close(&before);
    configured_close(&after);
}

/* ---- the decision ---- */

#define USERS                                                                                                \
    "authorization { users: [ {user: in, password: p, proxy_required: true}, {user: any, password: p},\n"    \
    "  {user: hash, password: \"" HASH_OF_U "\", proxy_required: true},\n"                                   \
    "  {nkey: " OTHER ", proxy_required: true} ] }\n"
#define PLAIN_USERS "authorization { users: [ {user: in, password: p, proxy_required: true} ] }\n"

enum { NO_PROXY, GOOD, BAD };

static const char nobody_has_to[] = TRUSTED;
static const char users[] = TRUSTED USERS;
static const char users_default[] = TRUSTED USERS "no_auth_user: in";
static const char plain_users[] = TRUSTED PLAIN_USERS;
static const char key_default[] = TRUSTED USERS "no_auth_user: " OTHER;
static const char single[] = TRUSTED "authorization { user: u, password: p, proxy_required: true }";
static const char token[] = TRUSTED "authorization { token: t, proxy_required: true }";
static const char users_and_all[] =
    TRUSTED "authorization { proxy_required: true, users: [ {user: any, password: p} ] }";
static const char untrusting[] = USERS;

static const struct {
    const char *config;
    int proxy; /* its signature: none, of a trusted one, of another */
    const char *user, *pass, *token, *nkey;
    enum authenticate_verdict verdict;
    enum authenticate_refusal refusal;
} rows[] = {
    {nobody_has_to, NO_PROXY, "", "", "", "", AUTHENTICATE_ALLOWED, 0},
    {nobody_has_to, GOOD, "", "", "", "", AUTHENTICATE_ALLOWED, 0},
    {nobody_has_to, BAD, "", "", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_NOT_TRUSTED},
    {users, GOOD, "in", "p", "", "", AUTHENTICATE_ALLOWED, 0},
    {users, GOOD, "in", "x", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_REFUSED},
    {users, BAD, "in", "p", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_NOT_TRUSTED},
    {users, BAD, "any", "p", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_NOT_TRUSTED},
    {users, NO_PROXY, "any", "p", "", "", AUTHENTICATE_ALLOWED, 0},
    {users, GOOD, "any", "p", "", "", AUTHENTICATE_ALLOWED, 0},
    {plain_users, NO_PROXY, "in", "p", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
    {plain_users, NO_PROXY, "in", "x", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
    {plain_users, NO_PROXY, "nobody", "p", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_REFUSED},
    /* Who lacks a proxy costs what an unknown user does. */
    {users, NO_PROXY, "in", "p", "", "", AUTHENTICATE_NEEDS_BCRYPT, AUTHENTICATE_PROXY_REQUIRED},
    {users, NO_PROXY, "hash", "U*U", "", "", AUTHENTICATE_NEEDS_BCRYPT, AUTHENTICATE_PROXY_REQUIRED},
    {users, NO_PROXY, "nobody", "p", "", "", AUTHENTICATE_NEEDS_BCRYPT, AUTHENTICATE_REFUSED},
    {users, NO_PROXY, "", "", "", OTHER, AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
    {users, GOOD, "", "", "", OTHER, AUTHENTICATE_ALLOWED, 0},
    {users_default, NO_PROXY, "", "", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
    {users_default, GOOD, "", "", "", "", AUTHENTICATE_ALLOWED, 0},
    {key_default, NO_PROXY, "", "", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
    {key_default, GOOD, "", "", "", "", AUTHENTICATE_ALLOWED, 0},
    {single, NO_PROXY, "u", "p", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
    {single, GOOD, "u", "p", "", "", AUTHENTICATE_ALLOWED, 0},
    {single, GOOD, "u", "x", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_REFUSED},
    {token, NO_PROXY, "", "", "t", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
    {token, GOOD, "", "", "t", "", AUTHENTICATE_ALLOWED, 0},
    /* What is said of a single user is not said of those in the list, but of whoever is in none. */
    {users_and_all, NO_PROXY, "any", "p", "", "", AUTHENTICATE_ALLOWED, 0},
    {users_and_all, NO_PROXY, "", "", "", "", AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
    /* Where none is trusted, nobody's signature is looked at, and none helps. */
    {untrusting, BAD, "any", "p", "", "", AUTHENTICATE_ALLOWED, 0},
    {untrusting, GOOD, "", "", "", OTHER, AUTHENTICATE_DENIED, AUTHENTICATE_PROXY_REQUIRED},
};

Test(proxies, decide_who_may_come_in)
{
    char good[NKEY_SIGNATURE_TEXT_BYTES], own[NKEY_SIGNATURE_TEXT_BYTES];
    memcpy(good, signature_of(KEY_FIRST, TEXT(NONCE)), sizeof good);
    memcpy(own, signature_of(OTHER_FIRST, TEXT(NONCE)),
           sizeof own); /* the NKey user's, and a wrong proxy's */
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *signature = rows[i].proxy == NO_PROXY ? "" : rows[i].proxy == GOOD ? good : own;
        struct credentials credentials = {.user = text(rows[i].user),
                                          .pass = text(rows[i].pass),
                                          .token = text(rows[i].token),
                                          .nkey = text(rows[i].nkey),
                                          .signature = text(own),
                                          .nonce = TEXT(NONCE),
                                          .proxy_signature = text(signature),
                                          .connection_type = CONNECTION_TYPE_STANDARD};
        struct authentication found;
        struct configured c;
        cr_assert_str_eq(configure(&c, rows[i].config), "");
        enum authenticate_verdict verdict = authenticate(&c.options, &credentials, &found);
        cr_expect_eq(verdict, rows[i].verdict, "row %zu: %d", i, verdict);
        if (verdict != AUTHENTICATE_ALLOWED)
            cr_expect_eq(found.refusal, rows[i].refusal, "row %zu: %d", i, found.refusal);
        else if (rows[i].config != untrusting)
            cr_expect_eq(found.proxy, rows[i].proxy == GOOD ? &c.options.proxies.at[0] : NULL, "row %zu", i);
        if (verdict == AUTHENTICATE_NEEDS_BCRYPT)
            cr_expect_not(password_check_bcrypt(found.stored, found.given), "row %zu: a decoy", i);
        configured_close(&c);
    }
}

Test(proxies, what_one_has_proven_stands_until_another_signature_comes)
{
    struct configured c;
    struct authentication found;
    cr_assert_str_eq(configure(&c, single), "");
    struct credentials credentials = {
        .user = TEXT("u"), .pass = TEXT("p"), .nonce = TEXT(NONCE), .proxy = &c.options.proxies.at[0]};
    cr_expect_eq(authenticate(&c.options, &credentials, &found), AUTHENTICATE_ALLOWED);
    cr_expect_eq(found.proxy, &c.options.proxies.at[0]);
    credentials.proxy_signature = text(signature_of(OTHER_FIRST, TEXT(NONCE)));
    cr_expect_eq(authenticate(&c.options, &credentials, &found), AUTHENTICATE_DENIED);
    cr_expect_eq(found.refusal, AUTHENTICATE_PROXY_NOT_TRUSTED);
    cr_expect_null(found.proxy);
    configured_close(&c);
}

Test(proxies, nobody_needs_one_and_speaks_before_connect)
{
    static const struct {
        const char *config;
        bool may;
    } unannounced_rows[] = {
        {users_default, false},
        {TRUSTED USERS "no_auth_user: any", true},
    };
    for (size_t i = 0; i < COUNT_OF(unannounced_rows); i++) {
        struct configured c;
        cr_assert_str_eq(configure(&c, unannounced_rows[i].config), "");
        cr_expect_eq(authenticate_unannounced(&c.options), unannounced_rows[i].may, "row %zu", i);
        configured_close(&c);
    }
}
