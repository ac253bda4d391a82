/* What a callout service may answer, in all depths: any bytes as an answer; and any JSON as the user's
 * claims, or as the answer's, rightly signed by the issuer, since who fuzzes can sign nothing. Nobody is let
 * in with less denied than he has to be. */
#include "core/base/check.h"
#include "core/security/callout.h"
#include "core/subject/subject.h"

#include <stdio.h>
#include <stdlib.h>

#define USER_KEY "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
#define SERVER "NALUKU5UK3O57RUQR3FLDQIB7ZVLEHRLVIDBO6K3PVB2MNECTE75KIVQ"
#define NOW 1700000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct security_account global, app;
static struct security_account *accounts[] = {&global, &app};

static struct security_options options_of(bool sealed)
{
    global.name = TEXT("$G");
    app.name = TEXT("APP");
    struct security_options options = {.accounts = {.all = accounts, .count = 2}};
    options.callout = (struct callout_options){
        .given = true,
        .issuer = TEXT("AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT"),
        .account = TEXT("APP"),
        .in = &app,
    };
    if (sealed)
        options.callout.xkey = TEXT("X");
    return options;
}

static void seed_of(uint8_t seed[NKEY_RAW_BYTES], uint8_t first)
{
    for (size_t i = 0; i < NKEY_RAW_BYTES; i++)
        seed[i] = (uint8_t)(first + i);
}

static void look(struct claimed_user *user)
{
    if (user == NULL)
        return;
    const struct security_permissions *permissions = user->user.permissions;
    ASSERT(user->user.account == &app || user->user.account == &global);
    if (user->user.account == &app) { /* the callout's own */
        ASSERT(permissions != NULL);
        ASSERT(!permissions_publish(permissions, TEXT(CALLOUT_SUBJECT)));
        ASSERT(!permissions_deliver(permissions, TEXT("$SYS._INBOX.a.b"), TEXT("q")));
    }
    claimed_user_free(user);
}

static void ask(struct bytes answer, bool sealed)
{
    struct security_options options = options_of(sealed);
    uint8_t xkey_seed[NKEY_RAW_BYTES];
    char why[JWT_WHY_BYTES];
    seed_of(xkey_seed, 0xa0);
    struct callout_question question = {
        .options = &options,
        .user_nkey = TEXT(USER_KEY),
        .server_id = TEXT(SERVER),
        .xkey_seed = xkey_seed,
        .address = TEXT("127.0.0.1"),
        .connection_type = CONNECTION_TYPE_STANDARD,
        .now_s = NOW,
    };
    look(callout_answer(&question, answer, why));
    ASSERT(memchr(why, 0, sizeof why) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    uint8_t seed[NKEY_RAW_BYTES];
    if (size == 0)
        return 0;
    struct bytes input = bytes_of(data, size), rest = bytes_of(data + 1, size - 1);
    seed_of(seed, 0x20);
    struct jwt_claims user = {.subject = TEXT(USER_KEY), .audience = data[0] & 1 ? TEXT("$G") : TEXT("APP")};
    struct jwt_claims outer = {.subject = TEXT(USER_KEY), .audience = TEXT(SERVER)};
    ask(input, false);
    ask(input, true);
    struct bytes token = jwt_make(&arena, &user, rest, NKEY_ACCOUNT, seed);
    if (data[0] & 2)
        ask(jwt_make(&arena, &outer, rest, NKEY_ACCOUNT, seed), false);
    char *body = arena_new(&arena, token.count + 128);
    int count =
        snprintf(body, token.count + 128,
                 "{\"jwt\":\"%.*s\",\"type\":\"authorization_response\",\"version\":2}", BYTES_PRINTF(token));
    ask(jwt_make(&arena, &outer, bytes_of(body, (size_t)count), NKEY_ACCOUNT, seed), false);
    arena_close(&arena);
    return 0;
}
