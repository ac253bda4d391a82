/* core/security/user_claims.c - see user_claims.h. The sentences are those of the NATS library. */
#include "core/security/user_claims.h"

#include "core/base/memory.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

enum { ADDRESS_BYTES = 16, SECONDS_PER_DAY = 24 * 60 * 60, CHUNK_BYTES = 512 };

/* ---- reading ---- */

/* Two lists. */
struct direction {
    struct bytes allow, deny;
};
#define DIRECTION(field) offsetof(struct direction, field)
static const struct json_field direction_fields[] = {
    {"allow", JSON_KIND_TEXTS, DIRECTION(allow), NULL},
    {"deny", JSON_KIND_TEXTS, DIRECTION(deny), NULL},
};
static const struct json_shape direction_shape = {direction_fields, COUNT_OF(direction_fields)};

#define BODY(field) offsetof(struct user_claims_body, field)
_Static_assert(BODY(publish_deny) == BODY(publish_allow) + DIRECTION(deny), "two lists, side by side");
_Static_assert(BODY(subscribe_deny) == BODY(subscribe_allow) + DIRECTION(deny), "likewise");

static const struct json_field body_fields[] = {
    {"pub", JSON_KIND_OBJECT, BODY(publish_allow), &direction_shape},
    {"sub", JSON_KIND_OBJECT, BODY(subscribe_allow), &direction_shape},
    {"resp", JSON_KIND_WRITTEN, BODY(responses), NULL},
    {"src", JSON_KIND_TEXT_OR_TEXTS, BODY(sources), NULL},
    {"times", JSON_KIND_ARRAY, BODY(times), NULL},
    {"times_location", JSON_KIND_TEXT, BODY(zone), NULL},
    {"allowed_connection_types", JSON_KIND_TEXTS, BODY(connection_types), NULL},
    {"issuer_account", JSON_KIND_TEXT, BODY(issuer_account), NULL},
    {"subs", JSON_KIND_INT64, BODY(subscriptions), NULL},
    {"payload", JSON_KIND_INT64, BODY(payload_bytes), NULL},
    {"proxy_required", JSON_KIND_BOOL, BODY(proxy_required), NULL},
};
static const struct json_shape body_shape = {body_fields, COUNT_OF(body_fields)};

/* Version 1 has `issuer_account` beside the common claims. */
static const struct json_field claims_fields[] = {
    {"nats", JSON_KIND_OBJECT, 0, &body_shape},
    {"issuer_account", JSON_KIND_TEXT, BODY(issuer_account), NULL},
};
static const struct json_shape shape_v1 = {claims_fields, 2};
static const struct json_shape shape_v2 = {claims_fields, 1};

bool user_claims_open(struct user_claims *claims, struct bytes token, char why[JWT_WHY_BYTES])
{
    *claims = (struct user_claims){0};
    if (!jwt_open(&claims->jwt, token, "user", "not user claim", NKEY_ACCOUNT, why))
        return false;
    bool old = claims->jwt.version == 1;
    if (claims->jwt.version < 1) {
        snprintf(why, JWT_WHY_BYTES, "library supports version 2 or less - received %lld",
                 (long long)claims->jwt.version);
        user_claims_close(claims);
        return false;
    }
    if (old) /* where it says nothing there is no limit; in version 2 that is none at all */
        claims->body.subscriptions = claims->body.payload_bytes = -1;
    enum err err = json_read(&claims->document, claims->jwt.json, old ? &shape_v1 : &shape_v2, &claims->body);
    if (err == ERR_OK)
        return true;
    snprintf(why, JWT_WHY_BYTES, "%s",
             err == ERR_MEMORY ? "out of memory" : "the claims are no JSON of the right types");
    user_claims_close(claims);
    return false;
}

void user_claims_close(struct user_claims *claims)
{
    json_close(&claims->document);
    jwt_close(&claims->jwt);
    *claims = (struct user_claims){0};
}

/* Takes the next text off a list. False: there is none. */
static bool text_take(struct bytes *rest, struct bytes *one)
{
    if (rest->count == 0)
        return false;
    *one = bytes_of(rest->data, strnlen((const char *)rest->data, rest->count));
    size_t used = one->count < rest->count ? one->count + 1 : one->count;
    *rest = bytes_of(rest->data + used, rest->count - used);
    return true;
}

/* ---- networks ---- */

/* An address as IPv6 has it. */
static bool address_read(struct bytes words, uint8_t address[ADDRESS_BYTES], bool *four)
{
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char buffer[INET6_ADDRSTRLEN];
    if (words.count == 0 || words.count >= sizeof buffer)
        return false;
    memcpy(buffer, words.data, words.count);
    buffer[words.count] = 0;
    *four = inet_pton(AF_INET, buffer, address + sizeof mapped) == 1;
    if (*four)
        memcpy(address, mapped, sizeof mapped);
    return *four || inet_pton(AF_INET6, buffer, address) == 1;
}

static bool number_read(struct bytes words, unsigned most, unsigned *number)
{
    *number = 0;
    for (size_t i = 0; i < words.count; i++) {
        if (words.data[i] < '0' || words.data[i] > '9' || i > 2)
            return false;
        *number = *number * 10 + (unsigned)(words.data[i] - '0');
    }
    return words.count > 0 && *number <= most;
}

struct network {
    uint8_t address[ADDRESS_BYTES];
    unsigned bits; /* of it that count */
};

/* "10.0.0.0/8". */
static bool network_read(struct bytes words, struct network *network)
{
    bool four;
    const uint8_t *slash = memchr(words.data, '/', words.count);
    if (slash == NULL)
        return false;
    size_t count = (size_t)(slash - words.data);
    if (!address_read(bytes_of(words.data, count), network->address, &four) ||
        !number_read(bytes_of(slash + 1, words.count - count - 1), four ? 32 : 128, &network->bits))
        return false;
    network->bits += four ? 96 : 0;
    return true;
}

static bool network_holds(const struct network *network, const uint8_t address[ADDRESS_BYTES])
{
    size_t bytes = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (memcmp(network->address, address, bytes) != 0)
        return false;
    return rest == 0 || (network->address[bytes] ^ address[bytes]) >> (8 - rest) == 0;
}

static struct bytes trimmed(struct bytes words)
{
    while (words.count > 0 && words.data[0] == ' ')
        words = bytes_of(words.data + 1, words.count - 1);
    while (words.count > 0 && words.data[words.count - 1] == ' ')
        words.count--;
    return words;
}

/* The next network: texts of a list, or between the commas of one. */
static bool source_next(struct bytes *rest, struct bytes *one)
{
    if (rest->count == 0)
        return false;
    size_t count = 0;
    while (count < rest->count && rest->data[count] != 0 && rest->data[count] != ',')
        count++;
    *one = trimmed(bytes_of(rest->data, count));
    size_t used = count < rest->count ? count + 1 : count;
    *rest = bytes_of(rest->data + used, rest->count - used);
    return true;
}

static bool sources_allow(struct bytes sources, struct bytes from)
{
    uint8_t address[ADDRESS_BYTES];
    struct bytes rest = sources, one;
    bool four;
    if (sources.count == 0)
        return true;
    if (!address_read(from, address, &four))
        return false;
    while (source_next(&rest, &one)) {
        struct network network;
        if (network_read(one, &network) && network_holds(&network, address))
            return true;
    }
    return false;
}

/* ---- times of day ---- */

struct span {
    struct bytes start, end;
};
static const struct json_field span_fields[] = {
    {"start", JSON_KIND_TEXT, offsetof(struct span, start), NULL},
    {"end", JSON_KIND_TEXT, offsetof(struct span, end), NULL},
};
static const struct json_shape span_shape = {span_fields, COUNT_OF(span_fields)};

/* "15:04:05" in seconds since midnight. */
static bool clock_read(struct bytes words, int64_t *seconds)
{
    unsigned hour, minute, second;
    if (words.count != 8 || words.data[2] != ':' || words.data[5] != ':')
        return false;
    if (!number_read(bytes_of(words.data, 2), 23, &hour) ||
        !number_read(bytes_of(words.data + 3, 2), 59, &minute) ||
        !number_read(bytes_of(words.data + 6, 2), 59, &second))
        return false;
    *seconds = (int64_t)hour * 3600 + minute * 60 + second;
    return true;
}

/* Whether `now` lies between, and how long yet. One that ends before it starts goes over midnight. */
static bool span_holds(int64_t start, int64_t end, int64_t now, int64_t *left)
{
    bool night = start > end;
    bool in = night ? now > start || now < end : start < now && now < end;
    *left = end - now + (night && now > start ? SECONDS_PER_DAY : 0);
    return in;
}

/* Takes the next span off the array. False: there is none; *good false: it is none that could be meant. */
static bool span_next(struct bytes *rest, int64_t *start, int64_t *end, bool *good)
{
    struct json_document document = {0};
    struct span span = {{NULL, 0}, {NULL, 0}};
    struct bytes one;
    if (!json_array_next(rest, &one))
        return false;
    *good = json_read(&document, one, &span_shape, &span) == ERR_OK && clock_read(span.start, start) &&
            clock_read(span.end, end);
    json_close(&document);
    return true;
}

/* The seconds since midnight, there. */
static int64_t seconds_of_day(struct bytes zone, int64_t now_s)
{
    struct tm there;
    time_t now = (time_t)now_s;
    if (bytes_equal(zone, TEXT("UTC")))
        (void)gmtime_r(&now, &there);
    else
        (void)localtime_r(&now, &there);
    return (int64_t)there.tm_hour * 3600 + there.tm_min * 60 + there.tm_sec;
}

/* Whether now is within one of the times; *left: for how long, the longest of them; 0 without any. */
static bool times_allow(const struct user_claims_body *body, int64_t now_s, int64_t *left)
{
    struct bytes rest = body->times;
    int64_t start, end, one_left, now = seconds_of_day(body->zone, now_s);
    bool good = true, any = false, in = false;
    *left = 0;
    while (span_next(&rest, &start, &end, &good) && good) {
        any = true;
        if (!span_holds(start, end, now, &one_left))
            continue;
        in = true;
        *left = one_left > *left ? one_left : *left;
    }
    return good && (in || !any);
}

/* ---- checks ---- */

static bool list_check(struct bytes texts, bool queues, char why[JWT_WHY_BYTES])
{
    struct arena arena = {0};
    struct permission_list list;
    struct bytes wrong = {NULL, 0};
    enum err err = permission_list_make(&list, texts, queues, &arena, &wrong);
    if (err == ERR_INVALID)
        (void)jwt_why_quoted(why, "subject ", wrong, " of the permissions is not valid");
    else if (err != ERR_OK)
        snprintf(why, JWT_WHY_BYTES, "permissions: %s", err_text(err));
    arena_close(&arena);
    return err == ERR_OK;
}

static bool sources_check(struct bytes sources, char why[JWT_WHY_BYTES])
{
    struct bytes rest = sources, one;
    struct network network;
    while (source_next(&rest, &one)) {
        if (!network_read(one, &network))
            return jwt_why_quoted(why, "invalid cidr ", one, " in user src limits");
    }
    return true;
}

static bool times_check(const struct user_claims_body *body, char why[JWT_WHY_BYTES])
{
    struct bytes rest = body->times;
    int64_t start, end;
    bool good = true;
    while (good && span_next(&rest, &start, &end, &good))
        continue;
    if (!good) {
        snprintf(why, JWT_WHY_BYTES, "time ranges are not valid");
        return false;
    }
    if (body->zone.count > 0 && !bytes_equal(body->zone, TEXT("UTC")) &&
        !bytes_equal(body->zone, TEXT("Local")))
        return jwt_why_quoted(why, "times_location ", body->zone,
                              " is not UTC or Local, which alone are known");
    return true;
}

static bool account_key(struct bytes words)
{
    enum nkey_type type;
    uint8_t raw[NKEY_RAW_BYTES];
    return nkey_decode(words, &type, raw) == ERR_OK && type == NKEY_ACCOUNT;
}

static const struct json_field responses_fields[] = {
    {"max", JSON_KIND_INT64, offsetof(struct user_claims_responses, count_max), NULL},
    {"ttl", JSON_KIND_INT64, offsetof(struct user_claims_responses, expires_ns), NULL},
};
static const struct json_shape responses_shape = {responses_fields, COUNT_OF(responses_fields)};

static bool responses_read(struct bytes written, struct user_claims_responses *responses)
{
    struct json_document document = {0};
    *responses = (struct user_claims_responses){0};
    bool good = json_read(&document, written, &responses_shape, responses) == ERR_OK;
    json_close(&document);
    return good;
}

bool user_claims_check(const struct user_claims *claims, int64_t now_s, char why[JWT_WHY_BYTES])
{
    const struct user_claims_body *body = &claims->body;
    struct user_claims_responses responses;
    const char *late = jwt_claims_time_check(&claims->jwt.claims, now_s);
    if (late != NULL) {
        snprintf(why, JWT_WHY_BYTES, "%s", late);
        return false;
    }
    if (!list_check(body->subscribe_allow, true, why) || !list_check(body->subscribe_deny, true, why) ||
        !list_check(body->publish_allow, false, why) || !list_check(body->publish_deny, false, why) ||
        !sources_check(body->sources, why) || !times_check(body, why))
        return false;
    if (body->responses.count > 0 && !responses_read(body->responses, &responses)) {
        snprintf(why, JWT_WHY_BYTES, "resp is not valid");
        return false;
    }
    if (body->issuer_account.count > 0 && !account_key(body->issuer_account)) {
        snprintf(why, JWT_WHY_BYTES, "account_id is not an account public key");
        return false;
    }
    return true;
}

enum user_claims_refusal user_claims_allow(const struct user_claims *claims, struct bytes address,
                                           enum connection_type type, int64_t now_s, int64_t *until_s)
{
    struct bytes rest = claims->body.connection_types, one;
    uint8_t types = 0;
    int64_t left;
    if (!sources_allow(claims->body.sources, address))
        return USER_CLAIMS_BAD_SOURCE;
    if (!times_allow(&claims->body, now_s, &left))
        return USER_CLAIMS_BAD_TIME;
    *until_s = claims->jwt.claims.expires_s;
    if (left > 0 && (*until_s == 0 || now_s + left < *until_s))
        *until_s = now_s + left;
    while (text_take(&rest, &one))
        types |= security_connection_type(one);
    if (types == 0)
        return claims->body.connection_types.count == 0 ? USER_CLAIMS_ALLOWED : USER_CLAIMS_NO_TYPE;
    return (types & type) != 0 ? USER_CLAIMS_ALLOWED : USER_CLAIMS_BAD_TYPE;
}

/* ---- the user ---- */

/* False: memory is out. */
static bool permissions_make(struct claimed_user *made, const struct user_claims_body *body)
{
    struct bytes ignored;
    struct user_claims_responses responses;
    bool lists = body->publish_allow.count + body->publish_deny.count + body->subscribe_allow.count +
                     body->subscribe_deny.count >
                 0;
    if (!lists && body->responses.count == 0)
        return true;
    struct arena *arena = &made->arena;
    struct security_permissions *own = arena_new(arena, sizeof *own);
    if (own == NULL ||
        permission_list_make(&own->publish.allow, body->publish_allow, false, arena, &ignored) != ERR_OK ||
        permission_list_make(&own->publish.deny, body->publish_deny, false, arena, &ignored) != ERR_OK ||
        permission_list_make(&own->subscribe.allow, body->subscribe_allow, true, arena, &ignored) != ERR_OK ||
        permission_list_make(&own->subscribe.deny, body->subscribe_deny, true, arena, &ignored) != ERR_OK)
        return false;
    if (body->responses.count > 0) {
        own->responses = PERMISSION_RESPONSES_DEFAULT;
        own->publish.allow.given = true; /* who may answer may do nothing else, but what is allowed by name */
        if (!responses_read(body->responses, &responses))
            return false;
        if (responses.count_max != 0)
            own->responses.count_max = responses.count_max;
        if (responses.expires_ns != 0)
            own->responses.expires_ns = responses.expires_ns;
    }
    made->user.permissions = own;
    return true;
}

struct claimed_user *claimed_user_new(const struct user_claims *claims, int64_t until_s)
{
    struct claimed_user *made = memory_new(sizeof *made);
    struct bytes name = claims->jwt.claims.name, rest = claims->body.connection_types, one;
    if (made == NULL)
        return NULL;
    made->arena.chunk_bytes = CHUNK_BYTES;
    made->subscriptions = claims->body.subscriptions;
    made->payload_bytes = claims->body.payload_bytes;
    made->until_s = until_s;
    made->user.proxy_required = claims->body.proxy_required;
    while (text_take(&rest, &one))
        made->user.connection_types |= security_connection_type(one);
    made->user.name = bytes_of(arena_copy(&made->arena, name), name.count);
    if (made->user.name.data == NULL || !permissions_make(made, &claims->body)) {
        claimed_user_free(made);
        return NULL;
    }
    return made;
}

void claimed_user_free(struct claimed_user *user)
{
    if (user == NULL)
        return;
    arena_close(&user->arena);
    memory_free(user);
}
