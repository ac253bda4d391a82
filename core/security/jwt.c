/* core/security/jwt.c - see jwt.h. The sentences are those of the NATS library, since services show them. */
#include "core/security/jwt.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/quote.h"
#include "core/codec/base32.h"
#include "core/codec/base64.h"
#include "core/codec/json_writer.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>

enum {
    VERSION = 2,
    ID_BYTES = 32,
    ID_TEXT_BYTES = BASE32_TEXT_BYTES(ID_BYTES),
    COMMON_BYTES = 256,       /* of claims beside their texts */
    ESCAPED_BYTES_MOST = 6,   /* that one byte of a text becomes in JSON */
    HEADER_DECODED_MAX = 512, /* the longest header that is read */
    QUOTED_BYTES = 256,
};

#define HEADER "{\"typ\":\"JWT\",\"alg\":\"ed25519-nkey\"}"

/* The three parts of a token. */
struct parts {
    struct bytes header;
    struct bytes claims;
    struct bytes signature;
    struct bytes signed_v2; /* the first two, with the dot */
};

static bool fail(char why[JWT_WHY_BYTES], const char *sentence)
{
    snprintf(why, JWT_WHY_BYTES, "%s", sentence);
    return false;
}

static bool parts_take(struct bytes token, struct parts *parts)
{
    const uint8_t *end = token.data + token.count;
    const uint8_t *first = memchr(token.data, '.', token.count);
    const uint8_t *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
        return false;
    parts->header = bytes_of(token.data, (size_t)(first - token.data));
    parts->claims = bytes_of(first + 1, (size_t)(second - first - 1));
    parts->signature = bytes_of(second + 1, (size_t)(end - second - 1));
    parts->signed_v2 = bytes_of(token.data, (size_t)(second - token.data));
    return true;
}

/* ---- reading ---- */

bool jwt_why_quoted(char why[JWT_WHY_BYTES], const char *before, struct bytes words, const char *behind)
{
    char quoted[QUOTED_BYTES]; /* a longer one is cut */
    (void)quote(words, quoted, sizeof quoted);
    snprintf(why, JWT_WHY_BYTES, "%s%s%s", before, quoted, behind);
    return false;
}

static bool is_word(struct bytes words, const char *word)
{
    return words.count == strlen(word) && strncasecmp((const char *)words.data, word, words.count) == 0;
}

static bool header_check(struct bytes part, char why[JWT_WHY_BYTES])
{
    static const struct json_field fields[] = {
        {"typ", JSON_KIND_TEXT, 0, NULL},
        {"alg", JSON_KIND_TEXT, sizeof(struct bytes), NULL},
    };
    static const struct json_shape shape = {fields, COUNT_OF(fields)};
    uint8_t decoded[HEADER_DECODED_MAX];
    struct bytes said[2] = {{NULL, 0}, {NULL, 0}};
    struct json_document document = {0};
    size_t count = base64_url_decode(decoded, sizeof decoded, part);
    if (count == 0 || json_read(&document, bytes_of(decoded, count), &shape, said) != ERR_OK)
        return fail(why, "the header is no JSON object in base64url");
    bool good = true;
    if (!is_word(said[0], "JWT"))
        good = jwt_why_quoted(why, "not supported type ", said[0], "");
    else if (!is_word(said[1], "ed25519-nkey") && !is_word(said[1], "ed25519"))
        good = jwt_why_quoted(why, "unexpected ", said[1], " algorithm");
    json_close(&document);
    return good;
}

/* The common claims, and what says of which kind and version the token is. */
struct common {
    struct jwt_claims claims;
    struct bytes type_v1; /* beside them: version 1 */
    struct body {
        struct bytes type;
        int64_t version;
    } body;
};

static const struct json_field body_fields[] = {
    {"type", JSON_KIND_TEXT, offsetof(struct body, type), NULL},
    {"version", JSON_KIND_INT64, offsetof(struct body, version), NULL},
};
static const struct json_shape body_shape = {body_fields, COUNT_OF(body_fields)};

#define COMMON(field) offsetof(struct common, field)
static const struct json_field common_fields[] = {
    {"aud", JSON_KIND_TEXT, COMMON(claims.audience), NULL},
    {"exp", JSON_KIND_INT64, COMMON(claims.expires_s), NULL},
    {"iat", JSON_KIND_INT64, COMMON(claims.issued_s), NULL},
    {"iss", JSON_KIND_TEXT, COMMON(claims.issuer), NULL},
    {"name", JSON_KIND_TEXT, COMMON(claims.name), NULL},
    {"nbf", JSON_KIND_INT64, COMMON(claims.not_before_s), NULL},
    {"sub", JSON_KIND_TEXT, COMMON(claims.subject), NULL},
    {"type", JSON_KIND_TEXT, COMMON(type_v1), NULL},
    {"nats", JSON_KIND_OBJECT, COMMON(body), &body_shape},
};
static const struct json_shape common_shape = {common_fields, COUNT_OF(common_fields)};

/* Decodes the claims and reads what all have. */
static bool claims_read(struct jwt *jwt, struct bytes part, struct common *common, char why[JWT_WHY_BYTES])
{
    size_t room = BASE64_BYTES(part.count);
    jwt->decoded = room == 0 ? NULL : memory_new(room);
    if (jwt->decoded == NULL)
        return fail(why, room == 0 ? "there are no claims" : "out of memory");
    size_t count = base64_url_decode(jwt->decoded, room, part);
    jwt->json = bytes_of(jwt->decoded, count);
    if (count == 0)
        return fail(why, "the claims are no base64url");
    if (memmem(jwt->decoded, count, "\\u0000", 6) != NULL)
        return fail(why, "the claims hold a zero byte");
    switch (json_read(&jwt->document, jwt->json, &common_shape, common)) {
    case ERR_OK:
        break;
    case ERR_MEMORY:
        return fail(why, "out of memory");
    default:
        return fail(why, "the claims are no JSON of the right types");
    }
    jwt->claims = common->claims;
    jwt->version = common->type_v1.count > 0 ? 1 : common->body.version;
    return true;
}

static bool signature_check(const struct jwt *jwt, const struct parts *parts, enum nkey_type expected,
                            char why[JWT_WHY_BYTES])
{
    uint8_t signature[NKEY_SIGNATURE_BYTES], raw[NKEY_RAW_BYTES];
    enum nkey_type type;
    bool old = jwt->version <= 1;
    bool good = base64_url_decode(signature, sizeof signature, parts->signature) == sizeof signature &&
                nkey_decode(jwt->claims.issuer, &type, raw) == ERR_OK && type != NKEY_CURVE &&
                nkey_verify(raw, old ? parts->claims : parts->signed_v2, signature);
    if (!good)
        return fail(why, old ? "claim failed V1 signature verification"
                             : "claim failed V2 signature verification");
    if (type != expected)
        return fail(why, "unable to validate expected prefixes");
    return true;
}

static bool read_all(struct jwt *jwt, struct bytes token, const char *type, const char *otherwise,
                     enum nkey_type issuer, char why[JWT_WHY_BYTES])
{
    struct parts parts;
    struct common common = {0};
    if (token.count > JWT_BYTES_MAX) {
        snprintf(why, JWT_WHY_BYTES, "token size %zu exceeds maximum of %d bytes: token too large",
                 token.count, JWT_BYTES_MAX);
        return false;
    }
    if (token.count == 0 || !parts_take(token, &parts))
        return fail(why, "expected 3 chunks");
    if (!header_check(parts.header, why) || !claims_read(jwt, parts.claims, &common, why))
        return false;
    if (jwt->version > VERSION)
        return fail(why, "JWT was generated by a newer version ");
    struct bytes said = common.type_v1.count > 0 ? common.type_v1 : common.body.type;
    if (!bytes_equal(said, text(type)))
        return fail(why, otherwise);
    return signature_check(jwt, &parts, issuer, why);
}

bool jwt_open(struct jwt *jwt, struct bytes token, const char *type, const char *otherwise,
              enum nkey_type issuer, char why[JWT_WHY_BYTES])
{
    *jwt = (struct jwt){0};
    bool good = read_all(jwt, token, type, otherwise, issuer, why);
    if (!good)
        jwt_close(jwt);
    return good;
}

void jwt_close(struct jwt *jwt)
{
    json_close(&jwt->document);
    if (jwt->decoded != NULL)
        explicit_bzero(jwt->decoded, jwt->json.count);
    memory_free(jwt->decoded);
    *jwt = (struct jwt){0};
}

const char *jwt_claims_time_check(const struct jwt_claims *claims, int64_t now_s)
{
    if (claims->expires_s > 0 && now_s > claims->expires_s)
        return "claim is expired";
    if (claims->not_before_s > 0 && claims->not_before_s > now_s)
        return "claim is not yet valid";
    return NULL;
}

/* ---- writing ---- */

static void put_time(struct json_writer *writer, const char *key, int64_t seconds)
{
    if (seconds != 0)
        json_write_member_int(writer, key, seconds);
}

/* The common claims without the closing bracket; `id` empty: as they are hashed for it. */
static void put_claims(struct json_writer *writer, const struct jwt_claims *claims, struct bytes issuer,
                       struct bytes id)
{
    json_write_object_begin(writer);
    json_write_member(writer, "aud", claims->audience);
    put_time(writer, "exp", claims->expires_s);
    json_write_member(writer, "jti", id);
    put_time(writer, "iat", claims->issued_s);
    json_write_member(writer, "iss", issuer);
    json_write_member(writer, "name", claims->name);
    put_time(writer, "nbf", claims->not_before_s);
    json_write_member(writer, "sub", claims->subject);
}

/* SHA-512/256 of the common claims. */
static bool id_make(char out[ID_TEXT_BYTES], struct bytes common)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    if (EVP_Digest(common.data, common.count, digest, &count, EVP_sha512_256(), NULL) != 1 ||
        count != ID_BYTES)
        return false;
    return base32_encode(out, ID_TEXT_BYTES, bytes_of(digest, ID_BYTES)) == ID_TEXT_BYTES;
}

/* All claims as JSON. Nothing: no memory, or OpenSSL refuses. */
static struct bytes claims_write(struct arena *arena, const struct jwt_claims *claims, struct bytes issuer,
                                 struct bytes body)
{
    size_t room = COMMON_BYTES + ID_TEXT_BYTES + issuer.count + body.count +
                  ESCAPED_BYTES_MOST * (claims->audience.count + claims->name.count + claims->subject.count);
    char id[ID_TEXT_BYTES], *buffer = arena_new(arena, room);
    struct json_writer writer;
    if (buffer == NULL)
        return (struct bytes){NULL, 0};
    json_writer_init(&writer, buffer, room);
    put_claims(&writer, claims, issuer, (struct bytes){NULL, 0});
    json_write_object_end(&writer);
    if (!id_make(id, bytes_of(buffer, json_writer_count(&writer))))
        return (struct bytes){NULL, 0};
    json_writer_init(&writer, buffer, room);
    put_claims(&writer, claims, issuer, bytes_of(id, sizeof id));
    json_write_key(&writer, "nats");
    json_write_raw(&writer, body);
    json_write_object_end(&writer);
    size_t count = json_writer_count(&writer);
    ASSERT(count > 0);
    return bytes_of(buffer, count);
}

struct bytes jwt_make(struct arena *arena, const struct jwt_claims *claims, struct bytes body,
                      enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES])
{
    const struct bytes nothing = {NULL, 0};
    uint8_t raw[NKEY_RAW_BYTES], signature[NKEY_SIGNATURE_BYTES];
    char issuer[NKEY_TEXT_BYTES];
    if (nkey_seed_public(type, seed, raw) != ERR_OK)
        return nothing;
    nkey_encode(issuer, type, raw);
    struct bytes json = claims_write(arena, claims, text(issuer), body);
    size_t room = BASE64_URL_TEXT_BYTES(sizeof HEADER - 1) + 1 + BASE64_URL_TEXT_BYTES(json.count) + 1 +
                  BASE64_URL_TEXT_BYTES(sizeof signature);
    char *token = json.data == NULL ? NULL : arena_new(arena, room);
    if (token == NULL)
        return nothing;
    size_t count = base64_url_encode(token, room, TEXT(HEADER));
    token[count++] = '.';
    count += base64_url_encode(token + count, room - count, json);
    if (nkey_sign(type, seed, bytes_of(token, count), signature) != ERR_OK)
        return nothing;
    token[count++] = '.';
    count += base64_url_encode(token + count, room - count, bytes_of(signature, sizeof signature));
    ASSERT(count == room);
    return bytes_of(token, count);
}
