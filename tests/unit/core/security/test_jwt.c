/* Tokens: the worked example of spec/security.md 7.2, which the Go library reads, and what must be refused.
 */
#include "core/base/language.h"
#include "core/codec/base64.h"
#include "core/security/jwt.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define ISSUER "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT"
#define USER "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
#define BODY                                                                                                 \
    "{\"pub\":{\"allow\":[\"foo.\\u003e\"]},\"sub\":{},\"subs\":-1,\"data\":-1,\"payload\":-1,\"type\":"     \
    "\"user\",\"version\":2}"

static void seed_of(uint8_t seed[NKEY_RAW_BYTES], uint8_t first)
{
    for (size_t i = 0; i < NKEY_RAW_BYTES; i++)
        seed[i] = (uint8_t)(first + i);
}

static const struct jwt_claims alice = {
    .name = {(const uint8_t *)"alice", 5},
    .subject = {(const uint8_t *)USER, sizeof USER - 1},
    .issued_s = 1700000000,
};

static struct bytes make(struct arena *arena, const struct jwt_claims *claims, const char *body)
{
    uint8_t seed[NKEY_RAW_BYTES];
    seed_of(seed, 0x20);
    return jwt_make(arena, claims, text(body), NKEY_ACCOUNT, seed);
}

Test(jwt, a_token_is_written_as_the_worked_example)
{
    struct arena arena = {0};
    struct bytes token = make(&arena, &alice, BODY);
    static const char end[] =
        ".V1StTZ77VtEaVvSW-fBn3jToTfTaBOKA6c2oZvefT6wN8k6VjsL3Mi1G7yVXvNcuH7EPIEnAbrKzIHxcCxtoDA";
    cr_assert_geq(token.count, sizeof end);
    cr_expect_arr_eq(token.data + token.count - (sizeof end - 1), end, sizeof end - 1);
    uint8_t claims[1024];
    const uint8_t *dot = memchr(token.data, '.', token.count);
    const uint8_t *part = dot + 1;
    size_t count = base64_url_decode(
        claims, sizeof claims, bytes_of(part, (size_t)(token.data + token.count - (sizeof end - 1) - part)));
    static const char start[] = "{\"jti\":\"T2TEJYA5WBLPD7JQASKQLXQCOJVUYUTUIPC2BEMO3ZWKY5ROJJYA\",\"iat\":";
    cr_assert_geq(count, sizeof start);
    cr_expect_arr_eq(claims, start, sizeof start - 1);
    arena_close(&arena);
}

Test(jwt, what_was_written_is_read)
{
    struct arena arena = {0};
    struct jwt jwt;
    char why[JWT_WHY_BYTES];
    struct jwt_claims all = alice;
    all.audience = TEXT("<aud> \"x\"");
    all.expires_s = 5;
    all.not_before_s = -7;
    struct bytes token = make(&arena, &all, BODY);
    cr_assert(jwt_open(&jwt, token, "user", "not user claim", NKEY_ACCOUNT, why), "%s", why);
    cr_expect(bytes_equal(jwt.claims.audience, all.audience));
    cr_expect(bytes_equal(jwt.claims.name, all.name));
    cr_expect(bytes_equal(jwt.claims.subject, all.subject));
    cr_expect(bytes_equal(jwt.claims.issuer, TEXT(ISSUER)));
    cr_expect_eq(jwt.claims.expires_s, 5);
    cr_expect_eq(jwt.claims.not_before_s, -7);
    cr_expect_eq(jwt.claims.issued_s, 1700000000);
    cr_expect_eq(jwt.version, 2);
    jwt_close(&jwt);
    jwt_close(&jwt);
    arena_close(&arena);
}

Test(jwt, a_token_counts_in_its_time)
{
    static const struct {
        int64_t expires_s, not_before_s, now_s;
        const char *why;
    } rows[] = {
        {0, 0, 100, NULL},
        {100, 0, 100, NULL},
        {99, 0, 100, "claim is expired"},
        {0, 100, 100, NULL},
        {0, 101, 100, "claim is not yet valid"},
        {-5, -5, 100, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct jwt_claims claims = {.expires_s = rows[i].expires_s, .not_before_s = rows[i].not_before_s};
        const char *why = jwt_claims_time_check(&claims, rows[i].now_s);
        if (rows[i].why == NULL)
            cr_expect_null(why, "row %zu", i);
        else
            cr_expect_str_eq(why, rows[i].why, "row %zu", i);
    }
}

static void refused(struct bytes token, const char *expected, const char *what)
{
    struct jwt jwt;
    char why[JWT_WHY_BYTES] = "";
    cr_expect_not(jwt_open(&jwt, token, "user", "not user claim", NKEY_ACCOUNT, why), "%s", what);
    cr_expect_str_eq(why, expected, "%s: %s", what, why);
    cr_expect_null(jwt.decoded, "%s", what);
}

/* A token of these parts, with a signature of 64 zeros. */
static void parts_refused(const char *header, const char *claims, const char *expected)
{
    char token[4096];
    static const uint8_t zeros[NKEY_SIGNATURE_BYTES];
    size_t count = base64_url_encode(token, sizeof token, text(header));
    token[count++] = '.';
    count += base64_url_encode(token + count, sizeof token - count, text(claims));
    token[count++] = '.';
    count += base64_url_encode(token + count, sizeof token - count, bytes_of(zeros, sizeof zeros));
    refused(bytes_of(token, count), expected, claims);
}

#define HEADER "{\"typ\":\"JWT\",\"alg\":\"ed25519-nkey\"}"

Test(jwt, what_is_no_token_is_refused)
{
    static char large[JWT_BYTES_MAX + 1];
    memset(large, '.', sizeof large);
    refused(bytes_of(large, sizeof large),
            "token size 1048577 exceeds maximum of 1048576 bytes: token too large", "too large");
    refused(TEXT(""), "expected 3 chunks", "nothing");
    refused(TEXT("a.b"), "expected 3 chunks", "two parts");
    refused(TEXT("a.b.c.d"), "expected 3 chunks", "four parts");
    refused(TEXT(".."), "the header is no JSON object in base64url", "dots");
    refused(TEXT("!.b.c"), "the header is no JSON object in base64url", "no base64");
    parts_refused("{}", "{}", "not supported type \"\"");
    parts_refused("{\"typ\":\"JOSE\"}", "{}", "not supported type \"JOSE\"");
    parts_refused("{\"typ\":\"jwt\",\"alg\":\"none\"}", "{}", "unexpected \"none\" algorithm");
    parts_refused("{\"typ\":\"JWT\",\"alg\":\"ed25519-nkey-2\"}", "{}",
                  "unexpected \"ed25519-nkey-2\" algorithm");
    parts_refused(HEADER, "[]", "the claims are no JSON of the right types");
    parts_refused(HEADER, "{\"exp\":1.5}", "the claims are no JSON of the right types");
    parts_refused(HEADER, "{\"name\":\"a\\u0000b\"}", "the claims hold a zero byte");
    parts_refused(HEADER, "{\"nats\":{\"version\":3,\"type\":\"user\"}}",
                  "JWT was generated by a newer version ");
    parts_refused(HEADER, "{\"nats\":{\"version\":2,\"type\":\"account\"}}", "not user claim");
    parts_refused(HEADER, "{}", "not user claim");
    parts_refused(HEADER, "{\"nats\":{\"version\":2,\"type\":\"user\"}}",
                  "claim failed V2 signature verification");
    parts_refused(HEADER, "{\"iss\":\"" ISSUER "\",\"nats\":{\"version\":2,\"type\":\"user\"}}",
                  "claim failed V2 signature verification");
    parts_refused(HEADER, "{\"iss\":\"" ISSUER "\",\"type\":\"user\"}",
                  "claim failed V1 signature verification");
}

Test(jwt, no_letter_of_what_is_signed_may_be_another)
{
    struct arena arena = {0};
    struct jwt jwt;
    char why[JWT_WHY_BYTES];
    struct bytes token = make(&arena, &alice, BODY);
    uint8_t *copy = (uint8_t *)arena_copy(&arena, token);
    for (size_t i = 0; i < token.count; i++) {
        uint8_t was = copy[i];
        if (was == '.')
            continue;
        copy[i] = was == 'A' ? 'B' : 'A';
        cr_expect_not(
            jwt_open(&jwt, bytes_of(copy, token.count), "user", "not user claim", NKEY_ACCOUNT, why),
            "letter %zu", i);
        copy[i] = was;
        cr_expect_not(jwt_open(&jwt, bytes_of(copy, i), "user", "not user claim", NKEY_ACCOUNT, why),
                      "%zu letters", i);
    }
    arena_close(&arena);
}

Test(jwt, the_issuer_must_be_of_the_right_kind)
{
    struct arena arena = {0};
    uint8_t seed[NKEY_RAW_BYTES];
    seed_of(seed, 0x40);
    refused(jwt_make(&arena, &alice, TEXT(BODY), NKEY_OPERATOR, seed), "unable to validate expected prefixes",
            "an operator's");
    arena_close(&arena);
}

Test(jwt, one_without_memory_is_refused)
{
    struct arena arena = {0};
    struct bytes token = make(&arena, &alice, BODY);
    FOR_EACH_FAULT(plan)
    {
        struct arena other = {0};
        struct jwt jwt;
        char why[JWT_WHY_BYTES];
        if (jwt_open(&jwt, token, "user", "not user claim", NKEY_ACCOUNT, why))
            jwt_close(&jwt);
        (void)make(&other, &alice, BODY);
        arena_close(&other);
    }
    arena_close(&arena);
}
