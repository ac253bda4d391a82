/* Tests what a session makes of trusted proxies over a fake host: why it is closed, what of a proxy's
 * signature outlives a CONNECT, and what new options do to those that came through one
 * (spec/security.md 1.9). */
#include "core/codec/base64.h"
#include "tests/unit/net/fake_host.h"

#include <criterion/criterion.h>

/* The seeds count up from 0x20 and from 0x00. */
#define KEY "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT"
#define OTHER "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
#define TRUSTED(keys) "proxies { trusted: [ " keys " ] }\n"
#define BOTH TRUSTED("{key: " KEY "}, {key: " OTHER "}")
#define HASH "\"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"" /* the host answers */
#define USERS(rule)                                                                                          \
    "authorization { users: [ {user: in, password: p" rule "}, {user: hash, password: " HASH "} ] }\n"

enum { KEY_FIRST = 0x20, OTHER_FIRST = 0x00, NOBODYS_FIRST = 0x40, NO_PROXY = -1 };

/* The client says CONNECT, through the proxy whose seed counts up from `first`. */
static void login(struct fake_host *fake, struct fake_client *at, const char *user, const char *password,
                  int first)
{
    char text[NKEY_SIGNATURE_TEXT_BYTES] = "", line[512];
    uint8_t seed[NKEY_RAW_BYTES], signature[NKEY_SIGNATURE_BYTES];
    struct bytes nonce = bytes_of(at->client.nonce, strlen(at->client.nonce));
    for (size_t i = 0; i < sizeof seed; i++)
        seed[i] = (uint8_t)((unsigned)first + i);
    if (first != NO_PROXY) {
        cr_assert_eq(nkey_sign(NKEY_ACCOUNT, seed, nonce, signature), ERR_OK);
        text[base64_url_encode(text, sizeof text - 1, bytes_of(signature, sizeof signature))] = 0;
    }
    snprintf(line, sizeof line,
             "CONNECT {\"verbose\":false,\"user\":\"%s\",\"pass\":\"%s\"%s%s\"}\r\nPING\r\n", user, password,
             first == NO_PROXY ? ",\"lang\":\"" : ",\"proxy_sig\":\"", text);
    fake_say(fake, at, line);
}

static struct fake_client *arrive(struct fake_host *fake, uint32_t position)
{
    struct fake_client *at = fake_connect(fake, position);
    fake_drain(fake);
    fake_forget(at);
    return at;
}

static void reload(struct fake_host *fake, struct fake_client *at, const char *config)
{
    struct security_options before = fake->security;
    fake_configure(fake, config);
    fake_forget(at);
    client_options_changed(&at->client, &before);
    fake_drain(fake);
}

Test(client_proxies, are_given_as_the_reason_why_one_is_closed)
{
    static const struct {
        const char *user, *password;
        int first;
        bool asks; /* for a password check, which says no */
        enum closed_reason reason;
    } rows[] = {
        {"in", "p", KEY_FIRST, false, CLOSED_CLIENT_CLOSED}, /* let in */
        {"in", "x", KEY_FIRST, false, CLOSED_AUTHENTICATION_FAILURE},
        {"in", "p", NOBODYS_FIRST, false, CLOSED_PROXY_NOT_TRUSTED},
        {"hash", "p", NOBODYS_FIRST, false, CLOSED_PROXY_NOT_TRUSTED},
        {"in", "p", NO_PROXY, true, CLOSED_PROXY_REQUIRED}, /* against a decoy */
        {"hash", "p", KEY_FIRST, true, CLOSED_AUTHENTICATION_FAILURE},
        {"who", "p", KEY_FIRST, true, CLOSED_AUTHENTICATION_FAILURE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fake_host *fake = fake_new();
        fake_configure(fake, BOTH USERS(", proxy_required: true"));
        struct fake_client *at = arrive(fake, 0);
        cr_assert_eq(strlen(at->client.nonce), NKEY_NONCE_TEXT_BYTES - 1);
        login(fake, at, rows[i].user, rows[i].password, rows[i].first);
        cr_expect_eq(fake->passwords_asked, rows[i].asks, "row %zu", i);
        if (rows[i].asks)
            client_password_checked(&at->client, false);
        fake_drain(fake);
        bool in = rows[i].reason == CLOSED_CLIENT_CLOSED;
        cr_expect_str_eq(at->out, in ? "PONG\r\n" : "-ERR 'Authorization Violation'\r\n", "row %zu", i);
        cr_expect_eq(at->client.closed_reason, rows[i].reason, "row %zu: %s", i,
                     closed_reason_text((enum closed_reason)at->client.closed_reason));
        fake_free(fake);
    }
}

Test(client_proxies, stand_for_later_logins_of_the_connection)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, BOTH USERS(", proxy_required: true"));
    struct fake_client *at = arrive(fake, 0);
    login(fake, at, "in", "p", OTHER_FIRST);
    fake_say(fake, at, "CONNECT {\"lang\":\"c\"}\r\nPING\r\n"); /* nothing new */
    login(fake, at, "in", "p", NO_PROXY);
    cr_expect_str_eq(at->out, "PONG\r\nPONG\r\nPONG\r\n");
    cr_assert_not_null(at->client.proxy);
    cr_expect(bytes_equal(at->client.proxy->key, TEXT(OTHER)));
    login(fake, at, "in", "p", KEY_FIRST);
    cr_expect(bytes_equal(at->client.proxy->key, TEXT(KEY)), "and the last one counts");
    fake_forget(at);
    login(fake, at, "in", "p", NOBODYS_FIRST);
    cr_expect_str_eq(at->out, "-ERR 'Authorization Violation'\r\n");
    cr_expect_eq(at->client.closed_reason, CLOSED_PROXY_NOT_TRUSTED);
    fake_free(fake);
}

Test(client_proxies, that_are_removed_take_their_clients_along)
{
    static const struct {
        const char *config;
        enum closed_reason through, without; /* CLOSED_CLIENT_CLOSED: stays */
    } rows[] = {
        {BOTH USERS(""), CLOSED_CLIENT_CLOSED, CLOSED_CLIENT_CLOSED},
        {TRUSTED("{key: " KEY "}") USERS(""), CLOSED_CLIENT_CLOSED, CLOSED_CLIENT_CLOSED},
        {TRUSTED("{key: " OTHER "}") USERS(""), CLOSED_PROXY_NOT_TRUSTED, CLOSED_CLIENT_CLOSED},
        {TRUSTED("") USERS(""), CLOSED_PROXY_NOT_TRUSTED, CLOSED_CLIENT_CLOSED},
        {USERS(""), CLOSED_PROXY_NOT_TRUSTED, CLOSED_CLIENT_CLOSED},
        {BOTH USERS(", proxy_required: true"), CLOSED_CLIENT_CLOSED, CLOSED_PROXY_REQUIRED},
        {TRUSTED("{key: " OTHER "}"), CLOSED_PROXY_NOT_TRUSTED, CLOSED_CLIENT_CLOSED}, /* no login at all */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fake_host *fake = fake_new();
        fake_configure(fake, BOTH USERS(""));
        struct fake_client *clients[] = {arrive(fake, 0), arrive(fake, 1)};
        login(fake, clients[0], "in", "p", KEY_FIRST);
        login(fake, clients[1], "in", "p", NO_PROXY);
        struct security_options before = fake->security;
        fake_configure(fake, rows[i].config);
        for (size_t c = 0; c < COUNT_OF(clients); c++) {
            struct fake_client *at = clients[c];
            enum closed_reason reason = c == 0 ? rows[i].through : rows[i].without;
            fake_forget(at);
            client_options_changed(&at->client, &before);
            fake_drain(fake);
            bool stays = reason == CLOSED_CLIENT_CLOSED;
            cr_expect_eq(at->closed, !stays, "row %zu, client %zu", i, c);
            cr_expect_str_eq(at->out, stays ? "" : "-ERR 'Authorization Violation'\r\n", "row %zu", i);
            cr_expect_eq(at->client.closed_reason, reason, "row %zu, client %zu: %s", i, c,
                         closed_reason_text((enum closed_reason)at->client.closed_reason));
        }
        cr_expect_null(clients[1]->client.proxy);
        if (clients[0]->closed) /* it pointed into options that are gone */
            cr_expect_null(clients[0]->client.proxy);
        else
            cr_expect(clients[0]->client.proxy >= fake->security.proxies.at &&
                      clients[0]->client.proxy < fake->security.proxies.at + fake->security.proxies.count);
        fake_free(fake);
    }
}

Test(client_proxies, that_are_removed_under_a_password_check_end_it)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, BOTH USERS(""));
    struct fake_client *at = arrive(fake, 0);
    login(fake, at, "hash", "U*U", KEY_FIRST);
    cr_assert_eq(at->client.state, CLIENT_AUTHENTICATING);
    reload(fake, at, TRUSTED("{key: " OTHER "}") USERS(""));
    cr_expect_str_eq(at->out, "-ERR 'Authorization Violation'\r\n");
    cr_expect_eq(at->client.closed_reason, CLOSED_PROXY_NOT_TRUSTED);
    client_password_checked(&at->client, true);
    cr_expect_eq(at->client.state, CLIENT_CLOSED);
    fake_free(fake);
}

/* Who was there before the first key has nothing to sign: it has to come again. */
Test(client_proxies, that_come_with_a_reload_are_for_those_who_come_after)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, USERS(""));
    struct fake_client *at = arrive(fake, 0);
    cr_expect_str_empty(at->client.nonce);
    login(fake, at, "in", "p", KEY_FIRST); /* of nothing, and nobody looks */
    cr_expect_str_eq(at->out, "PONG\r\n");
    reload(fake, at, BOTH USERS(""));
    cr_expect_not(at->closed);
    login(fake, at, "in", "p", KEY_FIRST);
    cr_expect_eq(at->client.closed_reason, CLOSED_PROXY_NOT_TRUSTED);
    fake_disconnect(at);
    at = arrive(fake, 0);
    login(fake, at, "in", "p", KEY_FIRST);
    cr_expect_str_eq(at->out, "PONG\r\n");
    fake_free(fake);
}
