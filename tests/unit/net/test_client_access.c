/* Tests net/client_access.c and the login over a fake host: permissions at PUB, SUB and delivery, responses,
 * NKeys, certificates, and what a reload does to those who are in. Rules: spec/security.md 1 to 3. */
#include "tests/unit/net/fake_host.h"

#include "core/codec/base64.h"
#include "net/client_access.h"

#include <criterion/criterion.h>

#define QUIET(user) "CONNECT {\"verbose\":false,\"pedantic\":false,\"user\":\"" user "\"}\r\n"
#define DENIED_PUB(subject) "-ERR 'Permissions Violation for Publish to \"" subject "\"'\r\n"
#define DENIED_SUB(subject) "-ERR 'Permissions Violation for Subscription to \"" subject "\"'\r\n"
#define NKEY "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"

static struct fake_client *enter(struct fake_host *fake, uint32_t position, const char *words)
{
    struct fake_client *at = fake_connect(fake, position);
    fake_drain(fake);
    fake_forget(at);
    fake_say(fake, at, words);
    return at;
}

static struct fake_host *host_with(const char *permissions)
{
    char config[1024];
    struct fake_host *fake = fake_new();
    snprintf(config, sizeof config, "authorization { users: [{user: u, permissions: %s}, {user: any}] }",
             permissions);
    fake_configure(fake, config);
    return fake;
}

Test(client_access, is_nothing_where_there_are_no_permissions)
{
    struct fake_host *fake = host_with("{publish: a}");
    struct fake_client *at = enter(fake, 0, QUIET("any") "PUB x 0\r\n\r\n");
    cr_expect_null(at->client.access);
    cr_expect_str_eq(at->out, "");
    at = enter(fake, 1, QUIET("u"));
    cr_expect_not_null(at->client.access);
    fake_say(fake, at, QUIET("any") "PUB x 0\r\n\r\n");
    cr_expect_null(at->client.access, "the second login has none");
    cr_expect_str_eq(at->out, "");
    fake_free(fake);
}

/* Refused and allowed in turn, in one piece and in pieces, with a host that is full at each of its calls. */
Test(client_access, says_the_same_however_full_the_host_is)
{
    static const char script[] = QUIET(
        "u") "SUB q.* 1\r\nSUB q.> 2\r\nSUB bad g 3\r\nPUB q.a 1\r\nx\r\nPUB q.a 1\r\nx\r\nPUB bad 1\r\nx\r\n"
             "PUB bad 1\r\nx\r\nPUB q.b 1\r\nx\r\nPUB q.secret 1\r\nx\r\nPUB q.a 1\r\nx\r\n";
    static const char expected[] =
        DENIED_SUB("q.>") "-ERR 'Permissions Violation for Subscription to \"bad\" using queue \"g\"'\r\n"
                          "MSG q.a 1 1\r\nx\r\nMSG q.a 1 1\r\nx\r\n" DENIED_PUB("bad")
                              DENIED_PUB("bad") "MSG q.b 1 1\r\nx\r\nMSG q.a 1 1\r\nx\r\n";
    for (uint32_t full_at = 0;; full_at++) {
        struct fake_host *fake =
            host_with("{publish: \"q.>\", subscribe: {allow: \"q.*\", deny: \"q.secret\"}}");
        fake->full_at = full_at;
        struct fake_client *at = enter(fake, 0, script);
        cr_expect_str_eq(at->out, expected, "full at %u: %s", full_at, at->out);
        bool met = fake->refused > 0;
        fake_free(fake);
        if (full_at > 0 && !met)
            break;
        cr_assert(full_at < 100);
    }
}

/* A response that the full host did not take is not counted: two are allowed, two go out. */
Test(client_access, counts_a_response_once_however_full_the_host_is)
{
    for (uint32_t full_at = 0;; full_at++) {
        struct fake_host *fake = host_with("{subscribe: req, allow_responses: {max: 2}}");
        struct fake_client *service = enter(fake, 0, QUIET("u") "SUB req 1\r\n");
        struct fake_client *client = enter(fake, 1, QUIET("any") "SUB in 1\r\nPUB req in 1\r\n?\r\n");
        cr_expect_str_eq(service->out, "MSG req 1 in 1\r\n?\r\n");
        fake_forget(service);
        fake->calls = 0;
        fake->full_at = full_at;
        fake_say(fake, service, "PUB in 1\r\na\r\nPUB in 1\r\na\r\nPUB in 1\r\na\r\nPUB in 1\r\na\r\n");
        cr_expect_str_eq(service->out, DENIED_PUB("in") DENIED_PUB("in"), "full at %u", full_at);
        cr_expect_str_eq(client->out, "MSG in 1 1\r\na\r\nMSG in 1 1\r\na\r\n", "full at %u: %s", full_at,
                         client->out);
        bool met = fake->refused > 0;
        fake_free(fake);
        if (full_at > 0 && !met)
            break;
        cr_assert(full_at < 100);
    }
}

Test(client_access, lets_responses_grow_old)
{
    struct fake_host *fake = host_with("{subscribe: req, allow_responses: {max: 5, expires: \"1s\"}}");
    struct fake_client *service = enter(fake, 0, QUIET("u") "SUB req 1\r\n");
    (void)enter(fake, 1, QUIET("any") "PUB req in 1\r\n?\r\n");
    fake_forget(service);
    fake_say(fake, service, "PUB in 1\r\na\r\n");
    cr_expect_str_eq(service->out, "");
    fake->context.now_ns += 1000000001;
    fake_say(fake, service, "PUB in 1\r\na\r\n");
    cr_expect_str_eq(service->out, DENIED_PUB("in"));
    fake_free(fake);
}

/* ---- reload ---- */

static void reload(struct fake_host *fake, struct fake_client *at, const char *config)
{
    struct security_options before = fake->security;
    fake_forget(at);
    fake_configure(fake, config);
    client_options_changed(&at->client, &before);
    while (fake->expired_count > 0 && client_remove_expired(fake->expired[fake->expired_count - 1]))
        continue;
    fake_drain(fake);
}

Test(client_access, of_live_clients_follows_new_options)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, "authorization { users: [{user: u, password: p}] }");
    struct fake_client *at = enter(fake, 0,
                                   "CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"p\"}\r\n"
                                   "SUB > 1\r\nSUB a g 2\r\nSUB b 3\r\n");
    reload(fake, at,
           "authorization { users: [{user: u, password: p, permissions: {subscribe: {allow: \"*\", deny: "
           "c}}}] }");
    cr_expect_str_eq(at->out, "-ERR 'Permissions Violation for Subscription to \">\" (sid \"1\")'\r\n");
    cr_expect_eq(at->client.sids.count, 2);
    fake_say(fake, at, "SUB * 4\r\n");
    reload(fake, at,
           "authorization { users: [{user: u, password: p, permissions: {subscribe: {deny: [\"a g\", c, "
           "d]}}}] }");
    cr_expect_str_eq(
        at->out, "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"g\" (sid \"2\")'\r\n");
    fake_forget(at);
    fake_say(fake, at, "PUB d 1\r\nx\r\nPUB e 1\r\nx\r\n");
    cr_expect_str_eq(at->out, "MSG e 4 1\r\nx\r\n", "filtered by the new list: %s", at->out);
    reload(fake, at, "authorization { users: [{user: u, password: p}] }");
    cr_expect_null(at->client.access);
    fake_say(fake, at, "PUB d 1\r\nx\r\n");
    cr_expect_str_eq(at->out, "MSG d 4 1\r\nx\r\n", "no filter any more: %s", at->out);
    fake_free(fake);
}

Test(client_access, is_judged_anew_when_options_change_under_a_password_check)
{
    static const struct {
        const char *config;
        bool asked_again, in;
    } rows[] = {
        {"authorization { users: [{user: u, password: U}] }", false, true},
        {"authorization { users: [{user: u, password: other}] }", false, false},
        {"authorization { users: [{user: v, password: U}] }", false, false},
        {"authorization { users: [{user: u, password: \"$2a$05$CCCCCCCCCCCCCCCCCCCCC."
         "E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}] }",
         true, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fake_host *fake = fake_new();
        fake_configure(fake, "authorization { users: [{user: u, password: \"$2a$04$"
                             "1Zk3EnkqJwTFrhiEjbTF2uVx8Jhl5CVVC75agTHv5BxnL4tNt5pja\"}] }");
        struct fake_client *at =
            enter(fake, 0, "CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"U\"}\r\n");
        struct security_options before = fake->security;
        cr_assert_eq(at->client.state, CLIENT_AUTHENTICATING);
        fake_configure(fake, rows[i].config);
        client_options_changed(&at->client, &before);
        client_password_checked(&at->client, !rows[i].in); /* the old answer must not count */
        cr_expect_eq(at->client.state == CLIENT_AUTHENTICATING, rows[i].asked_again, "row %zu", i);
        if (rows[i].asked_again) {
            client_resume(&at->client); /* as the host does behind each answer */
            cr_expect_eq(client_receive(&at->client, TEXT("SUB > 1\r\n")), 0,
                         "nothing is taken before the second answer");
            cr_expect_eq(at->client.sids.count, 0);
            client_password_checked(&at->client, true);
        }
        cr_expect_eq(at->client.state == CLIENT_ACTIVE, rows[i].in, "row %zu", i);
        fake_free(fake);
    }
}

/* Method: subscribed as nobody, who is denied something; then a password is being checked, and new options
 * come. The old permissions are gone with their snapshot: what was filtered by them is not delivered until
 * the verdict. */
Test(client_access, between_two_logins_filters_all_when_the_options_change)
{
    static const char config[] =
        "authorization { users: [{user: nobody, permissions: {subscribe: {deny: secret}}}, "
        "{user: u, password: \"$2a$04$1Zk3EnkqJwTFrhiEjbTF2uVx8Jhl5CVVC75agTHv5BxnL4tNt5pja\", "
        "permissions: {subscribe: {deny: other}}}, {user: any}] }\nno_auth_user: nobody";
    struct fake_host *fake = fake_new();
    fake_configure(fake, config);
    struct fake_client *at = enter(fake, 0, "SUB > 1\r\n");
    struct fake_client *publisher = enter(fake, 1, QUIET("any"));
    fake_say(fake, at, "CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"U\"}\r\n");
    cr_assert_eq(at->client.state, CLIENT_AUTHENTICATING);
    cr_assert_not_null(at->client.access);
    struct security_options before = fake->security;
    fake_forget(at);
    fake_configure(fake, config);
    client_options_changed(&at->client, &before);
    client_options_changed(&publisher->client, &before);
    cr_expect_null(at->client.access->permissions);
    fake_say(fake, publisher, "PUB secret in 1\r\nx\r\nPUB open in 1\r\nx\r\n");
    cr_expect_str_eq(at->out, "");
    client_password_checked(&at->client, true);
    if (at->client.state == CLIENT_AUTHENTICATING)
        client_password_checked(&at->client, true); /* asked again, by the new options */
    cr_assert_eq(at->client.state, CLIENT_ACTIVE);
    fake_say(fake, publisher, "PUB other 1\r\nx\r\nPUB secret 1\r\ny\r\n");
    cr_expect_str_eq(at->out, "MSG secret 1 1\r\ny\r\n", "%s", at->out);
    fake_free(fake);
}

Test(client_access, of_a_login_holds_for_what_was_subscribed_before_it)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, "authorization { users: [{user: any}, {user: u, permissions: {subscribe: {allow: "
                         "\"a.*\", deny: a.no}}}] }\nno_auth_user: any");
    struct fake_client *at = enter(fake, 0, "SUB > 1\r\nSUB a.* 2\r\n");
    cr_expect_str_eq(at->out, "+OK\r\n+OK\r\n");
    fake_forget(at);
    fake_say(fake, at,
             QUIET("u") "PUB a.no 1\r\nx\r\nPUB a.b 1\r\nx\r\nPUB b 1\r\nx\r\nSUB a.c 1\r\n"
                        "PUB a.c 1\r\nx\r\n");
    cr_expect_str_eq(at->out,
                     "-ERR 'Permissions Violation for Subscription to \">\" (sid \"1\")'\r\n"
                     "MSG a.b 2 1\r\nx\r\nMSG a.c 2 1\r\nx\r\nMSG a.c 1 1\r\nx\r\n",
                     "the sid is free at once: %s", at->out);
    cr_expect_eq(fake->expired_count, 0);
    fake_free(fake);
}

/* ---- NKeys and certificates ---- */

/* Signs what the client was sent, and answers with it. */
static void answer(struct fake_host *fake, struct fake_client *at, const char *nonce)
{
    uint8_t seed[NKEY_RAW_BYTES], signature[NKEY_SIGNATURE_BYTES];
    char signature_text[NKEY_SIGNATURE_TEXT_BYTES] = "", line[512];
    for (size_t i = 0; i < sizeof seed; i++)
        seed[i] = (uint8_t)i;
    cr_assert_eq(nkey_sign(NKEY_USER, seed, text(nonce), signature), ERR_OK);
    (void)base64_url_encode(signature_text, sizeof signature_text, bytes_of(signature, sizeof signature));
    snprintf(line, sizeof line, "CONNECT {\"verbose\":false,\"nkey\":\"" NKEY "\",\"sig\":\"%s\"}\r\n",
             signature_text);
    fake_say(fake, at, line);
}

Test(client_access, comes_with_a_key_that_signs_the_nonce)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, "authorization { users: [{nkey: " NKEY ", permissions: {publish: a}}] }");
    struct fake_client *at = fake_connect(fake, 0);
    char nonce[64];
    fake_drain(fake);
    snprintf(nonce, sizeof nonce, "\"nonce\":\"%s\"", at->client.nonce);
    cr_expect_eq(strlen(at->client.nonce), 15);
    cr_expect_not_null(strstr(at->out, nonce), "%s", at->out);
    fake_forget(at);
    answer(fake, at, at->client.nonce);
    fake_say(fake, at, "PUB a 0\r\n\r\nPUB b 0\r\n\r\n");
    cr_expect_str_eq(at->out, DENIED_PUB("b"), "%s", at->out);
    struct fake_client *other = fake_connect(fake, 1);
    fake_drain(fake);
    fake_forget(other);
    answer(fake, other, at->client.nonce);
    cr_expect_str_eq(other->out, "-ERR 'Authorization Violation'\r\n", "that was another one's nonce");
    fake_free(fake);
}

Test(client_access, without_a_nonce_is_let_in_by_no_signature)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, "authorization { users: [{user: u}] }");
    struct fake_client *at = enter(fake, 0, "");
    cr_expect_eq(at->client.nonce[0], 0);
    fake_configure(fake, "authorization { users: [{nkey: " NKEY "}] }");
    answer(fake, at, "");
    cr_expect_str_eq(at->out, "-ERR 'Authorization Violation'\r\n");
    fake_free(fake);
}

Test(client_access, is_the_certificates_user_where_the_listener_maps)
{
    static const struct bytes emails[] = {{(const uint8_t *)"no@x", 4}, {(const uint8_t *)"u@x", 3}};
    static const struct certificate_names nameless = {0};
    static const struct certificate_names names = {.emails = emails, .email_count = 2};
    static const struct {
        const struct certificate_names *names;
        const char *words;
        const char *expected;
    } rows[] = {
        {&names, "CONNECT {\"verbose\":false}\r\nPUB b 0\r\n\r\n", DENIED_PUB("b")},
        {&names, "CONNECT {\"verbose\":false,\"user\":\"v\",\"pass\":\"p\"}\r\nPUB b 0\r\n\r\n",
         "-ERR 'Authorization Violation'\r\n"}, /* the mapped user's password is empty */
        {&nameless, "CONNECT {\"verbose\":false,\"user\":\"v\",\"pass\":\"p\"}\r\n",
         "-ERR 'Authorization Violation'\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fake_host *fake = fake_new();
        fake_configure(fake, "authorization { users: [{user: \"u@x\", permissions: {publish: a}}, "
                             "{user: v, password: p}] }");
        struct fake_client *at = enter(fake, 0, "");
        at->client.certificate = rows[i].names;
        fake_say(fake, at, rows[i].words);
        cr_expect_str_eq(at->out, rows[i].expected, "row %zu: %s", i, at->out);
        fake_free(fake);
    }
}
