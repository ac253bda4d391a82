/* A login that a service decides, as the session sees it: net/client_callout.c. */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/security/user_claims.h"
#include "net/client_access.h"
#include "tests/unit/net/fake_host.h"

#include <criterion/criterion.h>

#define CALLOUT                                                                                              \
    "auth_callout { issuer: AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT, auth_users: [auth] }"
#define CONFIG "authorization { users: [{user: auth, password: a}, {user: app, password: p}], " CALLOUT " }"
#define ANN "CONNECT {\"verbose\":false,\"user\":\"ann\",\"pass\":\"x\"}\r\n"

static struct fake_host *new_with_callout(void)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, CONFIG);
    return fake;
}

/* Connects, forgets INFO, says the words. */
static struct fake_client *enter(struct fake_host *fake, uint32_t position, const char *words)
{
    struct fake_client *at = fake_connect(fake, position);
    fake_drain(fake);
    fake_forget(at);
    (void)fake_feed(fake, at, text(words));
    fake_drain(fake);
    return at;
}

/* Whom the service lets in; denied one subject, or nothing. */
static struct claimed_user *claimed_new(const struct fake_host *fake, const char *name, const char *denied)
{
    struct bytes wrong, list = bytes_of(denied, denied[0] == 0 ? 0 : strlen(denied) + 1);
    struct claimed_user *user = memory_new(sizeof *user);
    cr_assert_not_null(user);
    *user = (struct claimed_user){.subscriptions = -1, .payload_bytes = -1};
    user->user.account = fake->security.accounts.all[0];
    user->user.name = bytes_of(arena_copy(&user->arena, text(name)), strlen(name));
    if (denied[0] != 0) {
        struct security_permissions *permissions = arena_new(&user->arena, sizeof *permissions);
        cr_assert_eq(permission_list_make(&permissions->publish.deny, list, false, &user->arena, &wrong),
                     ERR_OK);
        user->user.permissions = permissions;
    }
    return user;
}

static void answer(struct fake_host *fake, struct fake_client *at, struct claimed_user *user)
{
    client_callout_answered(&at->client, user, "");
    client_resume(&at->client);
    fake_drain(fake);
}

Test(client_callout, nothing_is_taken_until_the_service_has_answered)
{
    struct fake_host *fake = new_with_callout();
    struct fake_client *at = enter(fake, 0, ANN);
    cr_assert_eq(at->client.state, CLIENT_DELEGATED);
    cr_expect_eq(fake->callouts_asked, 1);
    cr_expect_eq(client_receive(&at->client, TEXT("PING\r\n")), 0);
    cr_expect_str_empty(at->out);
    answer(fake, at, claimed_new(fake, "Annabel", "not.this"));
    cr_assert_eq(at->client.state, CLIENT_ACTIVE);
    cr_expect(bytes_equal(at->client.user->name, TEXT("Annabel")));
    fake_say(fake, at, "PUB not.this 1\r\nx\r\nPING\r\n");
    cr_expect_str_eq(at->out, "-ERR 'Permissions Violation for Publish to \"not.this\"'\r\nPONG\r\n");
    fake_free(fake);
}

Test(client_callout, who_is_refused_or_cannot_be_asked_about_is_told_alike)
{
    static const char violation[] = "-ERR 'Authorization Violation'\r\n";
    struct fake_host *fake = new_with_callout();
    struct fake_client *refused = enter(fake, 0, ANN);
    client_callout_answered(&refused->client, NULL, "Bad creds");
    fake_drain(fake);
    cr_expect_str_eq(refused->out, violation);
    struct fake_client *late = enter(fake, 1, ANN);
    fake->context.now_ns += fake->security.timeout_ns;
    client_timer_due(&late->client);
    fake_drain(fake);
    cr_expect_str_eq(late->out, violation);
    client_callout_answered(&late->client, claimed_new(fake, "ann", ""), "");
    cr_expect_eq(late->client.state, CLIENT_CLOSED, "the answer comes too late");
    fake->callout_answer = HOST_NOBODY;
    struct fake_client *alone = enter(fake, 2, ANN);
    cr_expect_str_eq(alone->out, violation);
    fake_free(fake);
}

Test(client_callout, a_full_host_is_asked_again)
{
    struct fake_host *fake = new_with_callout();
    fake->full_at = 1;
    struct fake_client *at = enter(fake, 0, "");
    size_t taken = fake_feed(fake, at, TEXT(ANN));
    if (taken < sizeof ANN - 1)
        (void)fake_feed(fake, at, bytes_of(&ANN[taken], sizeof ANN - 1 - taken));
    cr_expect_eq(fake->callouts_asked, 1);
    cr_expect_eq(at->client.state, CLIENT_DELEGATED);
    fake_free(fake);
}

Test(client_callout, the_services_own_users_are_not_asked_about)
{
    struct fake_host *fake = new_with_callout();
    struct fake_client *right =
        enter(fake, 0, "CONNECT {\"verbose\":false,\"user\":\"auth\",\"pass\":\"a\"}\r\n");
    struct fake_client *wrong =
        enter(fake, 1, "CONNECT {\"verbose\":false,\"user\":\"auth\",\"pass\":\"b\"}\r\n");
    cr_expect_eq(right->client.state, CLIENT_ACTIVE);
    cr_expect_str_eq(wrong->out, "-ERR 'Authorization Violation'\r\n");
    cr_expect_eq(fake->callouts_asked, 0);
    fake_say(fake, right, "PUB $SYS.REQ.USER.AUTH 1\r\nx\r\n");
    cr_expect_str_eq(right->out, "-ERR 'Permissions Violation for Publish to \"$SYS.REQ.USER.AUTH\"'\r\n");
    fake_free(fake);
}

Test(client_callout, its_time_ends_between_two_pings)
{
    struct fake_host *fake = new_with_callout();
    struct fake_client *at = enter(fake, 0, ANN);
    struct claimed_user *user = claimed_new(fake, "ann", "");
    user->until_s = (fake->context.now_ns + fake->context.wall_minus_ns) / NS_PER_SECOND + 1;
    answer(fake, at, user);
    cr_assert_eq(at->client.state, CLIENT_ACTIVE);
    cr_expect_eq(user->until_ns, fake->context.now_ns + NS_PER_SECOND);
    fake->context.now_ns = user->until_ns;
    client_timer_due(&at->client);
    fake_drain(fake);
    cr_expect_str_eq(at->out, "-ERR 'User Authentication Expired'\r\n");
    cr_expect_eq(at->client.closed_reason, CLOSED_AUTHENTICATION_EXPIRED);
    fake_free(fake);
}

Test(client_callout, its_limits_are_the_tokens)
{
    struct fake_host *fake = new_with_callout();
    struct fake_client *at = enter(fake, 0, ANN);
    struct claimed_user *user = claimed_new(fake, "ann", "");
    user->subscriptions = 1;
    user->payload_bytes = 2;
    answer(fake, at, user);
    fake_say(fake, at, "SUB a 1\r\nSUB b 2\r\nPUB c 3\r\nxxx\r\n");
    cr_expect_str_eq(at->out,
                     "-ERR 'maximum subscriptions exceeded'\r\n-ERR 'Maximum Payload Violation'\r\n");
    fake_free(fake);
}

Test(client_callout, other_options_meanwhile_ask_once_more)
{
    struct fake_host *fake = new_with_callout();
    struct fake_client *at = enter(fake, 0, ANN);
    struct security_options before = fake->security;
    fake_configure(fake, CONFIG);
    client_options_changed(&at->client, &before);
    answer(fake, at, claimed_new(fake, "ann", ""));
    cr_assert_eq(at->client.state, CLIENT_DELEGATED, "the first answer counts");
    cr_expect_eq(fake->callouts_asked, 2);
    answer(fake, at, claimed_new(fake, "ann", ""));
    cr_expect_eq(at->client.state, CLIENT_ACTIVE);
    fake_free(fake);
}

Test(client_callout, other_options_later_end_it_only_when_logins_differ)
{
    for (int differ = 0; differ < 2; differ++) {
        struct fake_host *fake = new_with_callout();
        struct fake_client *at = enter(fake, 0, ANN);
        answer(fake, at, claimed_new(fake, "ann", "not.this"));
        struct security_options before = fake->security;
        fake_configure(
            fake,
            differ ? "authorization { users: [{user: auth, password: a}, {user: app, password: q}], " CALLOUT
                     " }"
                   : CONFIG);
        security_options_follow(&fake->security, &before);
        client_options_changed(&at->client, &before);
        fake_drain(fake);
        cr_expect_str_empty(at->out);
        cr_expect_eq(at->client.state == CLIENT_CLOSED, differ == 1);
        if (!differ) {
            cr_expect_eq(at->client.user->account, fake->security.accounts.all[0], "the present snapshot's");
            fake_say(fake, at, "PUB not.this 1\r\nx\r\n");
            cr_expect_str_eq(at->out, "-ERR 'Permissions Violation for Publish to \"not.this\"'\r\n");
        }
        fake_free(fake);
    }
}

Test(client_callout, a_second_login_lets_go_of_what_the_first_was_told)
{
    struct fake_host *fake = new_with_callout();
    struct fake_client *at = enter(fake, 0, ANN);
    answer(fake, at, claimed_new(fake, "ann", "a"));
    fake_say(fake, at, "PUB a 1\r\nx\r\n"); /* the cache knows it now */
    fake_forget(at);
    fake_say(fake, at, "CONNECT {\"verbose\":false,\"user\":\"bob\"}\r\n");
    cr_assert_eq(at->client.state, CLIENT_DELEGATED);
    answer(fake, at, claimed_new(fake, "bob", "b"));
    fake_say(fake, at, "PUB a 1\r\nx\r\nPUB b 1\r\nx\r\n");
    cr_expect_str_eq(at->out, "-ERR 'Permissions Violation for Publish to \"b\"'\r\n");
    fake_forget(at);
    fake_say(fake, at, "CONNECT {\"verbose\":false,\"user\":\"auth\",\"pass\":\"a\"}\r\nPUB b 1\r\nx\r\n");
    cr_expect_null(at->client.claimed);
    cr_expect_str_empty(at->out);
    fake_free(fake);
}
