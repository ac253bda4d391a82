/* Auth callout: who is asked about, what is asked, what an answer is worth. The sentences are those of
 * nats-server 2.15.3; tests/integration/test_callout.py has the same against it. */
#include "core/base/language.h"
#include "core/security/callout.h"
#include "core/security/xkey.h"
#include "tests/unit/core/security/configured.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define ISSUER "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT" /* seed 20.. */
#define USER_KEY "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
#define SERVER "NALUKU5UK3O57RUQR3FLDQIB7ZVLEHRLVIDBO6K3PVB2MNECTE75KIVQ" /* seed 60.. */
#define XKEY "XBQFU4S5FJFN73VRUKPBP3OWEHA3OWJ65DG3YRFMNRFLNYXYAXJDZ6RI"   /* seed a0.. */
#define NOW 1700000000

#define HASH "$2a$11$W2zko751KUVvUy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"
#define CONFIG(more)                                                                                         \
    "accounts {\n"                                                                                           \
    "AUTH { users: [{user: auth, password: a}, {nkey: " USER_KEY "}] }\n"                                    \
    "APP { users: [{user: app, password: p}, {user: hashed, password: \"" HASH "\"}] }\n"                    \
    "OTHER { users: [{user: other, password: o}] }\n"                                                        \
    "}\n"                                                                                                    \
    "authorization { users: [{user: global, password: g}]\n"                                                 \
    "auth_callout { issuer: " ISSUER ", account: AUTH, auth_users: [auth, " USER_KEY "] " more " } }"

static void seed_of(uint8_t seed[NKEY_RAW_BYTES], uint8_t first)
{
    for (size_t i = 0; i < NKEY_RAW_BYTES; i++)
        seed[i] = (uint8_t)(first + i);
}

/* ---- who is asked about ---- */

struct part_row {
    const char *user, *pass, *nkey;
    bool limited; /* allowed_accounts: [APP] */
    enum callout_part expected;
};

static const struct part_row part_rows[] = {
    {"app", "p", "", false, CALLOUT_ASKED},      {"app", "wrong", "", false, CALLOUT_ASKED},
    {"nobody", "", "", false, CALLOUT_ASKED},    {"global", "g", "", false, CALLOUT_ASKED},
    {"auth", "a", "", false, CALLOUT_NO_PART},   {"auth", "wrong", "", false, CALLOUT_NO_PART},
    {"", "", USER_KEY, false, CALLOUT_NO_PART},  {"hashed", "x", "", false, CALLOUT_ASKED},
    {"app", "p", "", true, CALLOUT_ASKED},       {"other", "o", "", true, CALLOUT_NO_PART},
    {"other", "wrong", "", true, CALLOUT_ASKED}, {"global", "g", "", true, CALLOUT_ASKED},
    {"hashed", "x", "", true, CALLOUT_ASKED},    {"nobody", "x", "", true, CALLOUT_ASKED},
};

Test(callout, who_is_asked_about_follows_from_name_and_account)
{
    struct configured open, limited;
    cr_assert_str_empty(configure(&open, CONFIG("")));
    cr_assert_str_empty(configure(&limited, CONFIG(", allowed_accounts: [APP]")));
    for (size_t i = 0; i < COUNT_OF(part_rows); i++) {
        const struct part_row *row = &part_rows[i];
        const struct security_options *options = row->limited ? &limited.options : &open.options;
        struct credentials credentials = {.user = text(row->user),
                                          .pass = text(row->pass),
                                          .nkey = text(row->nkey),
                                          .connection_type = CONNECTION_TYPE_STANDARD};
        struct authentication login;
        enum authenticate_verdict verdict = authenticate(options, &credentials, &login);
        cr_expect_eq(callout_decides(options, &credentials, login.user, verdict, NULL), row->expected,
                     "row %zu", i);
    }
    configured_close(&open);
    configured_close(&limited);
}

Test(callout, a_hash_is_looked_at_where_it_makes_a_difference)
{
    struct configured limited;
    cr_assert_str_empty(configure(&limited, CONFIG(", allowed_accounts: [OTHER]")));
    struct credentials credentials = {.user = TEXT("hashed"), .pass = TEXT("x")};
    const struct security_user *user = security_user_find(&limited.options.users, TEXT("hashed"));
    cr_assert_not_null(user);
    static const struct {
        enum authenticate_verdict verdict;
        enum callout_part expected;
    } rows[] = {
        {AUTHENTICATE_NEEDS_BCRYPT, CALLOUT_AFTER_PASSWORD},
        {AUTHENTICATE_ALLOWED, CALLOUT_NO_PART},
        {AUTHENTICATE_DENIED, CALLOUT_ASKED},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(callout_decides(&limited.options, &credentials, user, rows[i].verdict, NULL),
                     rows[i].expected, "row %zu", i);
    configured_close(&limited);
}

Test(callout, users_of_its_account_are_denied_its_subject)
{
    struct configured made;
    cr_assert_str_empty(configure(&made, CONFIG("")));
    const struct security_user *auth = security_user_find(&made.options.users, TEXT("auth"));
    const struct security_user *app = security_user_find(&made.options.users, TEXT("app"));
    cr_assert_not_null(auth->permissions);
    cr_expect_null(app->permissions);
    cr_expect_not(permissions_publish(auth->permissions, TEXT(CALLOUT_SUBJECT)));
    cr_expect(permissions_publish(auth->permissions, TEXT("$SYS._INBOX.a.b")));
    cr_expect_eq(permissions_subscribe(auth->permissions, TEXT(CALLOUT_SUBJECT), (struct bytes){0}),
                 PERMISSION_GRANTED);
    configured_close(&made);
}

Test(callout, an_account_that_is_not_there_is_no_scope)
{
    struct configured made;
    cr_expect_str_eq(configure(&made, CONFIG(", allowed_accounts: [NOPE]")),
                     "auth_callout allowed account \"NOPE\" not found in configured accounts");
    configured_close(&made);
}

/* ---- the question ---- */

Test(callout, a_question_says_who_asks_and_about_whom)
{
    struct configured made;
    struct arena arena = {0};
    struct jwt jwt;
    char why[JWT_WHY_BYTES];
    uint8_t seed[NKEY_RAW_BYTES];
    static const struct bytes tags[] = {{(const uint8_t *)"eu", 2}}, pem[] = {{(const uint8_t *)"A\nB\n", 4}};
    seed_of(seed, 0x60);
    cr_assert_str_empty(configure(&made, CONFIG("")));
    struct credentials credentials = {
        .user = TEXT("a\"n\nn"), .pass = TEXT("p"), .signature = TEXT("sig"), .nonce = TEXT("nonce")};
    struct callout_request request = {
        .options = &made.options.callout,
        .user_nkey = TEXT(USER_KEY),
        .now_s = NOW,
        .expires_s = NOW + 2,
        .server_name = TEXT("one"),
        .server_host = TEXT("0.0.0.0"),
        .server_id = TEXT(SERVER),
        .tags = tags,
        .tag_count = 1,
        .credentials = &credentials,
        .host = TEXT("127.0.0.1"),
        .protocol = 1,
        .cid = 7,
        .tls_version = TEXT("1.3"),
        .tls_suite = TEXT("TLS_AES_128_GCM_SHA256"),
        .certificates = pem,
        .certificate_count = 1,
        .certificates_verified = true,
    };
    struct bytes token = callout_request_make(&arena, &request, seed);
    cr_assert_not_null(token.data);
    cr_assert(jwt_open(&jwt, token, "authorization_request", "another", NKEY_SERVER, why), "%s", why);
    static const char body[] =
        "\"nats\":{\"server_id\":{\"name\":\"one\",\"host\":\"0.0.0.0\",\"id\":\"" SERVER
        "\",\"tags\":[\"eu\"]},\"user_nkey\":\"" USER_KEY
        "\",\"client_info\":{\"host\":\"127.0.0.1\",\"id\":7,\"user\":\"a\\\"n\\nn\",\"kind\":\"Client\","
        "\"type\":\"nats\",\"nonce\":\"nonce\"},\"connect_opts\":{\"sig\":\"sig\",\"user\":\"a\\\"n\\nn\","
        "\"pass\":\"p\",\"protocol\":1},\"client_tls\":{\"version\":\"1.3\",\"cipher\":"
        "\"TLS_AES_128_GCM_SHA256\",\"verified_chains\":[[\"A\\nB\\n\"]]},\"type\":\"authorization_request\","
        "\"version\":2}}";
    cr_assert_geq(jwt.json.count, sizeof body - 1);
    cr_expect_arr_eq(jwt.json.data + jwt.json.count - (sizeof body - 1), body, sizeof body - 1, "%.*s",
                     BYTES_PRINTF(jwt.json));
    cr_expect_eq(jwt.claims.expires_s, NOW + 2);
    cr_expect(bytes_equal(jwt.claims.subject, TEXT(ISSUER)));
    jwt_close(&jwt);
    arena_close(&arena);
    configured_close(&made);
}

/* ---- answers ---- */

struct answer_row {
    const char *name;
    const char *user_body; /* what stands in the user's "nats" */
    const char *user_aud;
    const char *user_sub;
    const char *outer_aud, *outer_sub;
    const char *outer_body; /* in place of the user's token; NULL: that */
    uint8_t user_signer;    /* first byte of the account's seed; 0x20 is the issuer */
    uint8_t outer_signer;
    int64_t expires_s;
    const char *why;     /* NULL: let in */
    bool proxy_required; /* of whom it lets in */
};

static const struct answer_row answer_rows[] = {
    {.name = "good"},
    {.name = "empty account",
     .user_aud = "",
     .why = "No valid account \"\" for auth callout response on account \"AUTH\": account missing"},
    {.name = "no such account",
     .user_aud = "NOPE",
     .why = "No valid account \"NOPE\" for auth callout response on account \"AUTH\": account missing"},
    {.name = "another key",
     .user_sub = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
     .why = "Expected authorized user of \"" USER_KEY
            "\" but got \"UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4\" on account \"AUTH\""},
    {.name = "for another server",
     .outer_aud = "NBUBDGN4HLPIYMODZRDCIMLS55JXFMXXHQV64QNNZX6FDFVE4LQWNCIM",
     .why = "Auth callout violation: auth callout response is not for server"},
    {.name = "for no server",
     .outer_aud = ISSUER,
     .why = "Authorization response had validation errors: Audience must be a server public key"},
    {.name = "for another user",
     .outer_sub = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
     .why = "Auth callout violation: auth callout response is not for expected user"},
    {.name = "for no user",
     .outer_sub = ISSUER,
     .why = "Authorization response had validation errors: Subject must be a user public key"},
    {.name = "another signer of the user",
     .user_signer = 0x30,
     .why = "Wrong issuer for auth callout response on account \"AUTH\", expected \"" ISSUER
            "\" got \"ACF3ATQ4DOB53XZRD5N43X34KDW6HQEAF5D6Y6LOFIJRZ5ASTDM7HHIW\""},
    {.name = "another signer outside", .outer_signer = 0x30, .why = "Auth callout signing key is unknown"},
    {.name = "over", .expires_s = NOW - 1, .why = "Error validating user JWT: claim is expired"},
    {.name = "at its end", .expires_s = NOW},
    {.name = "error",
     .outer_body = "\"error\":\"bad\\ncreds\",",
     .why = "Auth callout service returned an error: bad?creds"},
    {.name = "nothing",
     .outer_body = "",
     .why = "Authorization response had validation errors: Error or Jwt is required"},
    {.name = "types of JSON", .outer_body = "\"jwt\":5,", .why = "The claims are no JSON of the right types"},
    {.name = "wrong subject",
     .user_body = "\"sub\":{\"deny\":[\"a..b\"]},",
     .why = "Error validating user JWT: subject \"a..b\" of the permissions is not valid"},
    {.name = "a queue to publish",
     .user_body = "\"pub\":{\"allow\":[\"a q\"]},",
     .why = "Error validating user JWT: subject \"a q\" of the permissions is not valid"},
    {.name = "a queue to subscribe", .user_body = "\"sub\":{\"allow\":[\"a q\"]},"},
    {.name = "in its network", .user_body = "\"src\":\"10.0.0.0/8, 192.0.2.0/25\","},
    {.name = "not in its network",
     .user_body = "\"src\":[\"10.0.0.0/8\",\"192.0.2.8/32\"],",
     .why = "Authorized user on account \"AUTH\" not allowed from source \"192.0.2.7\""},
    {.name = "no network",
     .user_body = "\"src\":[\"10.0.0.0/33\"],",
     .why = "Error validating user JWT: invalid cidr \"10.0.0.0/33\" in user src limits"},
    {.name = "in its hours",
     .user_body = "\"times_location\":\"UTC\",\"times\":[{\"start\":\"22:13:00\",\"end\":\"22:14:00\"}],"},
    {.name = "over midnight",
     .user_body = "\"times_location\":\"UTC\",\"times\":[{\"start\":\"22:00:00\",\"end\":\"06:00:00\"}],"},
    {.name = "not in its hours",
     .user_body = "\"times_location\":\"UTC\",\"times\":[{\"start\":\"22:14:00\",\"end\":\"22:13:00\"}],",
     .why = "Authorized user on account \"AUTH\" outside of valid connect times"},
    {.name = "no hours",
     .user_body = "\"times\":[{\"start\":\"25:00:00\",\"end\":\"06:00:00\"}],",
     .why = "Error validating user JWT: time ranges are not valid"},
    {.name = "hours are a list",
     .user_body = "\"times\":5,",
     .why = "The claims are no JSON of the right types"},
    {.name = "hours elsewhere",
     .user_body = "\"times_location\":\"Mars/Base\",",
     .why = "Error validating user JWT: times_location \"Mars/Base\" is not UTC or Local, which alone are "
            "known"},
    {.name = "another way",
     .user_body = "\"allowed_connection_types\":[\"mqtt\"],",
     .why = "Authorized user on account \"AUTH\" not allowed to use connection type"},
    {.name = "a way", .user_body = "\"allowed_connection_types\":[\"mqtt\",\"standard\"],"},
    {.name = "no way",
     .user_body = "\"allowed_connection_types\":[\"foo\"],",
     .why = "Authorized user on account \"AUTH\" using invalid connection type"},
    {.name = "by proxy", .user_body = "\"proxy_required\":true,", .proxy_required = true},
    {.name = "responses", .user_body = "\"resp\":{\"max\":2,\"ttl\":5},"},
    {.name = "no responses",
     .user_body = "\"resp\":[],",
     .why = "Error validating user JWT: resp is not valid"},
    {.name = "null", .user_body = "\"resp\":null,\"times\":null,\"src\":null,"},
};

/* What a service says by that row. */
static struct bytes answer_make(const struct answer_row *row, struct arena *arena)
{
    char body[8192];
    uint8_t seed[NKEY_RAW_BYTES];
    struct jwt_claims user = {
        .subject = text(row->user_sub != NULL ? row->user_sub : USER_KEY),
        .audience = text(row->user_aud != NULL ? row->user_aud : "APP"),
        .expires_s = row->expires_s,
    };
    snprintf(body, sizeof body, "{%s\"subs\":-1,\"payload\":-1,\"type\":\"user\",\"version\":2}",
             row->user_body != NULL ? row->user_body : "");
    seed_of(seed, row->user_signer != 0 ? row->user_signer : 0x20);
    struct bytes token = jwt_make(arena, &user, text(body), NKEY_ACCOUNT, seed);
    struct jwt_claims outer = {.subject = text(row->outer_sub != NULL ? row->outer_sub : USER_KEY),
                               .audience = text(row->outer_aud != NULL ? row->outer_aud : SERVER)};
    if (row->outer_body != NULL)
        snprintf(body, sizeof body, "{%s\"type\":\"authorization_response\",\"version\":2}", row->outer_body);
    else
        snprintf(body, sizeof body, "{\"jwt\":\"%.*s\",\"type\":\"authorization_response\",\"version\":2}",
                 BYTES_PRINTF(token));
    seed_of(seed, row->outer_signer != 0 ? row->outer_signer : 0x20);
    return jwt_make(arena, &outer, text(body), NKEY_ACCOUNT, seed);
}

static struct callout_question question_of(const struct configured *made)
{
    return (struct callout_question){
        .options = &made->options,
        .user_nkey = TEXT(USER_KEY),
        .server_id = TEXT(SERVER),
        .address = TEXT("192.0.2.7"),
        .connection_type = CONNECTION_TYPE_STANDARD,
        .now_s = NOW,
    };
}

Test(callout, an_answer_is_worth_what_it_says)
{
    struct configured made;
    cr_assert_str_empty(configure(&made, CONFIG("")));
    struct callout_question question = question_of(&made);
    for (size_t i = 0; i < COUNT_OF(answer_rows); i++) {
        struct arena arena = {0};
        char why[JWT_WHY_BYTES];
        struct claimed_user *user = callout_answer(&question, answer_make(&answer_rows[i], &arena), why);
        if (answer_rows[i].why == NULL) {
            cr_expect_not_null(user, "%s: %s", answer_rows[i].name, why);
            cr_expect(user == NULL || bytes_equal(user->user.account->name, TEXT("APP")));
            cr_expect(user == NULL || user->user.proxy_required == answer_rows[i].proxy_required);
        } else {
            cr_expect_null(user, "%s", answer_rows[i].name);
            cr_expect_str_eq(why, answer_rows[i].why, "%s: %s", answer_rows[i].name, why);
        }
        claimed_user_free(user);
        arena_close(&arena);
    }
    configured_close(&made);
}

Test(callout, a_user_may_do_what_the_token_says)
{
    static const struct answer_row row = {
        .user_body = "\"pub\":{\"allow\":[\"a.>\"],\"deny\":[\"a.b\"]},\"sub\":{\"allow\":[\"s q\"]},"
                     "\"resp\":{},\"allowed_connection_types\":[\"STANDARD\",\"NEWER\"],",
        .expires_s = NOW + 60,
    };
    struct configured made;
    struct arena arena = {0};
    char why[JWT_WHY_BYTES];
    cr_assert_str_empty(configure(&made, CONFIG("")));
    struct callout_question question = question_of(&made);
    struct claimed_user *user = callout_answer(&question, answer_make(&row, &arena), why);
    cr_assert_not_null(user, "%s", why);
    arena_close(&arena);
    const struct security_permissions *permissions = user->user.permissions;
    cr_expect(permissions_publish(permissions, TEXT("a.c")));
    cr_expect_not(permissions_publish(permissions, TEXT("a.b")));
    cr_expect_not(permissions_publish(permissions, TEXT("b")));
    cr_expect_eq(permissions_subscribe(permissions, TEXT("s"), TEXT("q")), PERMISSION_GRANTED);
    cr_expect_eq(permissions_subscribe(permissions, TEXT("s"), TEXT("r")), PERMISSION_REFUSED);
    cr_expect_eq(permissions->responses.count_max, 1);
    cr_expect_eq(user->until_s, NOW + 60);
    cr_expect_eq(user->user.connection_types, CONNECTION_TYPE_STANDARD);
    claimed_user_free(user);
    configured_close(&made);
}

Test(callout, hours_end_before_the_token_does)
{
    static const struct answer_row row = {
        .user_body = "\"times_location\":\"UTC\",\"times\":[{\"start\":\"22:00:00\",\"end\":\"22:14:00\"}],",
        .expires_s = NOW + 10000,
    };
    struct configured made;
    struct arena arena = {0};
    char why[JWT_WHY_BYTES];
    cr_assert_str_empty(configure(&made, CONFIG("")));
    struct callout_question question = question_of(&made);
    struct claimed_user *user = callout_answer(&question, answer_make(&row, &arena), why);
    cr_assert_not_null(user, "%s", why);
    cr_expect_eq(user->until_s, NOW + 40, "22:13:20 it is");
    claimed_user_free(user);
    arena_close(&arena);
    configured_close(&made);
}

Test(callout, who_is_put_beside_the_service_hears_nothing_of_it)
{
    static const struct answer_row row = {.user_aud = "AUTH"};
    struct configured made;
    struct arena arena = {0};
    char why[JWT_WHY_BYTES];
    cr_assert_str_empty(configure(&made, CONFIG("")));
    struct callout_question question = question_of(&made);
    struct claimed_user *user = callout_answer(&question, answer_make(&row, &arena), why);
    cr_assert_not_null(user, "%s", why);
    const struct security_permissions *permissions = user->user.permissions;
    cr_expect_not(permissions_publish(permissions, TEXT(CALLOUT_SUBJECT)));
    cr_expect_not(permissions_publish(permissions, TEXT("$SYS._INBOX.a.b")));
    cr_expect_eq(permissions_subscribe(permissions, TEXT(CALLOUT_SUBJECT), TEXT("q")), PERMISSION_REFUSED);
    cr_expect_eq(permissions_subscribe(permissions, TEXT(">"), TEXT("")), PERMISSION_FILTERED);
    cr_expect_not(permissions_deliver(permissions, TEXT(CALLOUT_SUBJECT), TEXT("")));
    claimed_user_free(user);
    arena_close(&arena);
    configured_close(&made);
}

Test(callout, a_sealed_answer_is_opened)
{
    struct configured made;
    struct arena arena = {0};
    char why[JWT_WHY_BYTES];
    uint8_t service_seed[NKEY_RAW_BYTES], server_seed[NKEY_RAW_BYTES], server[NKEY_RAW_BYTES];
    static const struct answer_row row = {.outer_signer = 0x30}; /* who seals is the service */
    seed_of(service_seed, 0xa0);
    seed_of(server_seed, 0xc0);
    cr_assert_eq(nkey_seed_public(NKEY_CURVE, server_seed, server), ERR_OK);
    cr_assert_str_empty(configure(&made, CONFIG(", xkey: " XKEY)));
    struct callout_question question = question_of(&made);
    question.xkey_seed = server_seed;
    struct bytes plain = answer_make(&row, &arena);
    uint8_t *sealed = arena_new(&arena, plain.count + XKEY_SEAL_BYTES);
    cr_assert_eq(xkey_seal(sealed, plain, service_seed, server), ERR_OK);
    struct claimed_user *user =
        callout_answer(&question, bytes_of(sealed, plain.count + XKEY_SEAL_BYTES), why);
    cr_expect_not_null(user, "%s", why);
    claimed_user_free(user);
    cr_expect_null(callout_answer(&question, bytes_of(sealed, plain.count + XKEY_SEAL_BYTES - 1), why));
    cr_expect_str_eq(why, "Error decrypting auth callout response on account \"AUTH\": it is not sealed for "
                          "this server");
    cr_expect_null(callout_answer(&question, plain, why));
    cr_expect_str_eq(why, "Auth callout signing key is unknown");
    arena_close(&arena);
    configured_close(&made);
}

Test(callout, an_answer_without_memory_lets_nobody_in_by_halves)
{
    static const struct answer_row row = {
        .user_aud = "AUTH",
        .user_body = "\"pub\":{\"allow\":[\"a.>\"]},\"sub\":{\"deny\":[\"s q\"]},\"resp\":{},"};
    struct configured made;
    struct arena arena = {0};
    cr_assert_str_empty(configure(&made, CONFIG("")));
    struct callout_question question = question_of(&made);
    struct bytes answer = answer_make(&row, &arena);
    FOR_EACH_FAULT(plan)
    {
        char why[JWT_WHY_BYTES];
        struct claimed_user *user = callout_answer(&question, answer, why);
        if (user != NULL)
            cr_expect_not(permissions_publish(user->user.permissions, TEXT("b")));
        claimed_user_free(user);
    }
    arena_close(&arena);
    configured_close(&made);
}
