/* Tests net/client.c and net/client_connect.c: a session's life, bytes in, bytes out, over a fake host.
 * Messages are tested in test_client_messages.c. Texts: spec/client-protocol.md 2 to 5, 14. */
#include "core/base/clock.h"
#include "tests/unit/net/fake_host.h"

#include <criterion/criterion.h>

/* The result of the public bcrypt test vector's hash does not matter here: the host answers. */
#define BCRYPT_HASH "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

static bool says(const struct fake_client *at, const char *words)
{
    return strstr(at->out, words) != NULL;
}

static struct fake_client *enter(struct fake_host *fake, const char *connect)
{
    struct fake_client *at = fake_connect(fake, 0);
    fake_drain(fake);
    fake_forget(at);
    fake_say(fake, at, connect);
    return at;
}

/* Lets the earliest timer be due. False: there is none. */
static bool time_passes(struct fake_host *fake)
{
    int64_t due_ns = timers_next_ns(&fake->context.timers);
    if (due_ns == INT64_MAX)
        return false;
    fake->context.now_ns = due_ns;
    struct timer *timer = timers_expired(&fake->context.timers, due_ns);
    client_timer_due(CONTAINER_OF(timer, struct client, timer));
    fake_drain(fake);
    return true;
}

Test(client, greets_with_info)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = fake_connect(fake, 2);
    fake_drain(fake);
    cr_expect_str_eq(at->out, "INFO {\"server_id\":\"ID\",\"server_name\":\"NAME\",\"version\":\"2.9.10\","
                              "\"proto\":1,\"go\":\"\",\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":true,"
                              "\"max_payload\":65536,\"client_id\":3,\"client_ip\":\"127.0.0.1\"} \r\n");
    fake_free(fake);
}

/* With TLS the greeting and the beginning are apart, in either order; no time runs before the beginning. */
Test(client, greets_and_begins_when_it_is_told)
{
    static const enum client_opening openings[] = {CLIENT_ONLY_GREETS, CLIENT_OPENS_SILENTLY};
    for (size_t i = 0; i < COUNT_OF(openings); i++) {
        struct fake_host *fake = fake_new();
        struct fake_client *at = fake_connect_by(fake, 0, openings[i]);
        fake_drain(fake);
        cr_expect_eq(says(at, "INFO {"), openings[i] == CLIENT_ONLY_GREETS);
        cr_expect_eq(timers_next_ns(&fake->context.timers), INT64_MAX);
        if (openings[i] == CLIENT_OPENS_SILENTLY)
            client_greet(&at->client);
        client_begin(&at->client);
        fake_drain(fake);
        cr_expect(says(at, "INFO {"));
        cr_expect_neq(timers_next_ns(&fake->context.timers), INT64_MAX);
        fake_forget(at);
        fake_say(fake, at, "PING\r\n");
        cr_expect_str_eq(at->out, "PONG\r\n");
        fake_free(fake);
    }
}

Test(client, closed_before_it_began_it_never_begins)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = fake_connect_by(fake, 0, CLIENT_OPENS_SILENTLY);
    client_close(&at->client, CLOSED_TLS_HANDSHAKE_FAILURE, NULL);
    client_begin(&at->client);
    fake_drain(fake);
    cr_expect_str_eq(at->out, "");
    cr_expect_eq(at->client.state, CLIENT_CLOSED);
    cr_expect_eq(timers_next_ns(&fake->context.timers), INT64_MAX);
    fake_free(fake);
}

struct life_case {
    const char *send; /* behind the greeting */
    const char *expect;
    enum closed_reason reason;
    bool closed;
};

static const struct life_case life_cases[] = {
    /* options of CONNECT: verbose and pedantic are on until it says otherwise */
    {"PING\r\n", "PONG\r\n", 0, false},
    {"CONNECT {}\r\n", "+OK\r\n", 0, false},
    {"CONNECT {\"verbose\":false}\r\nSUB a 1\r\nUNSUB 1\r\n", "", 0, false},
    {"SUB a 1\r\n", "+OK\r\n", 0, false},
    {"CONNECT {\"pedantic\":false}\r\nPUB a.* 0\r\n\r\n", "+OK\r\n+OK\r\n", 0, false},
    {"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPUB a.* 0\r\n\r\nPING\r\n",
     "-ERR 'Invalid Publish Subject'\r\nPONG\r\nINFO", 0, false},
    {"CONNECT {\"verbose\":false}\r\nPUB a..b 0\r\n\r\nPING\r\n",
     "-ERR 'Invalid Publish Subject'\r\nPONG\r\n", 0, false},
    /* the first PONG after CONNECT only is followed by the INFO that names the account, if protocol is 1 */
    {"CONNECT {\"verbose\":false,\"protocol\":0}\r\nPING\r\nPING\r\n", "PONG\r\nPONG\r\n", 0, false},
    /* refusals */
    {"SUB a..b 1\r\nPING\r\n", "-ERR 'Invalid Subject'\r\nPONG\r\n", 0, false},
    {"SUB a _sys_ 1\r\n", "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'\r\n",
     0, false},
    {"PUB $NRG.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"$NRG.x\"'\r\n", 0, false},
    {"PUB a _R_.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\n", 0,
     false},
    {"SUB a 1\r\nSUB b 1\r\n", "+OK\r\n+OK\r\n", 0, false},
    {"CONNECT {\"protocol\":2}\r\nPING\r\n", "-ERR 'invalid client protocol'\r\n", CLOSED_BAD_CLIENT_PROTOCOL,
     true},
    {"CONNECT {\"no_responders\":true}\r\n", "-ERR 'no responders requires headers support'\r\n",
     CLOSED_NO_RESPONDERS_REQUIRES_HEADERS, true},
    {"CONNECT {\"account\":\"A\"}\r\n", "-ERR 'Authorization Violation'\r\n", CLOSED_AUTHENTICATION_FAILURE,
     true},
    {"CONNECT {\r\n", "", CLOSED_PROTOCOL_VIOLATION, true},
    {"NONSENSE\r\n", "-ERR 'Unknown Protocol Operation'\r\n", CLOSED_PROTOCOL_VIOLATION, true},
    {"PUB a 1 2 3\r\n", "", CLOSED_PROTOCOL_VIOLATION, true},
    {"HPUB a 0 0\r\n\r\n", "", CLOSED_PROTOCOL_VIOLATION, true},
    {"PUB a 65537\r\n", "-ERR 'Maximum Payload Violation'\r\n", CLOSED_MAXIMUM_PAYLOAD, true},
    {"INFO {}\r\nPING\r\n", "PONG\r\n", 0, false},
    {"INFO x\r\n", "", CLOSED_PROTOCOL_VIOLATION, true},
    {"+OK\r\nPING\r\n", "PONG\r\n", 0, false},
    {"-ERR 'x'\r\nPING\r\n", "", CLOSED_PARSE_ERROR, true},
};

/* `words` is all there is, but for an INFO at the end, whose text is another test's. */
static bool is_all(const char *out, const char *words)
{
    size_t count = strlen(words);
    if (count >= 4 && strcmp(words + count - 4, "INFO") == 0)
        return strncmp(out, words, count) == 0;
    return strcmp(out, words) == 0;
}

Test(client, answers_wherever_the_input_is_cut)
{
    for (size_t i = 0; i < COUNT_OF(life_cases); i++) {
        const struct life_case *c = &life_cases[i];
        size_t count = strlen(c->send);
        for (size_t cut = 0; cut < count; cut++) {
            struct fake_host *fake = fake_new();
            struct fake_client *at = enter(fake, "");
            (void)fake_feed(fake, at, bytes_of(c->send, cut));
            if (!at->closed)
                (void)fake_feed(fake, at, bytes_of(c->send + cut, count - cut));
            cr_expect(is_all(at->out, c->expect), "%s cut at %zu: %s", c->send, cut, at->out);
            cr_expect_eq(at->closed, c->closed, "%s", c->send);
            if (c->closed) {
                cr_expect_eq(at->client.closed_reason, (int)c->reason, "%s: %s", c->send,
                             closed_reason_text(at->client.closed_reason));
                cr_expect(at->flush);
            }
            fake_free(fake);
        }
    }
}

Test(client, tells_its_account_after_the_first_pong_and_new_info_only_then)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = enter(fake, "CONNECT {\"verbose\":false,\"protocol\":1}\r\n");
    client_send_info(&at->client);
    fake_drain(fake);
    cr_expect_str_empty(at->out, "no INFO before the first PONG: %s", at->out);
    fake_say(fake, at, "PING\r\n");
    cr_expect(says(at, "PONG\r\nINFO {"));
    cr_expect(says(at, "\"connect_info\":true,\"remote_account\":\"$G\"} \r\n"), "%s", at->out);
    fake_forget(at);
    fake_say(fake, at, "PING\r\n");
    cr_expect_str_eq(at->out, "PONG\r\n");
    fake_forget(at);
    fake->context.lame_duck = true;
    client_send_info(&at->client);
    fake_drain(fake);
    cr_expect(says(at, "\"ldm\":true} \r\n"), "%s", at->out);
    cr_expect_not(says(at, "connect_info"));
    fake_free(fake);
}

Test(client, of_protocol_0_never_hears_a_second_info)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = enter(fake, "CONNECT {\"verbose\":false}\r\nPING\r\n");
    client_send_info(&at->client);
    fake_drain(fake);
    cr_expect_str_eq(at->out, "PONG\r\n");
    fake_free(fake);
}

Test(client, says_lame_duck_in_the_greeting)
{
    struct fake_host *fake = fake_new();
    fake->context.lame_duck = true;
    struct fake_client *at = fake_connect(fake, 0);
    fake_drain(fake);
    cr_expect(says(at, "\"ldm\":true"), "%s", at->out);
    fake_free(fake);
}

/* ---- time ---- */

Test(client, that_answers_no_ping_is_stale)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = enter(fake, "CONNECT {\"verbose\":false}\r\n");
    int64_t first_ns = timers_next_ns(&fake->context.timers) - fake->context.now_ns;
    cr_expect(first_ns >= 2 * NS_PER_SECOND && first_ns <= 3 * NS_PER_SECOND, "%lld", (long long)first_ns);
    cr_assert(time_passes(fake));
    cr_expect_str_eq(at->out, "PING\r\n");
    int64_t then_ns = timers_next_ns(&fake->context.timers) - fake->context.now_ns;
    cr_expect_eq(then_ns, fake->options.ping_interval_ns);
    cr_assert(time_passes(fake));
    cr_expect_str_eq(at->out, "PING\r\nPING\r\n");
    cr_expect_not(at->closed);
    cr_assert(time_passes(fake));
    cr_expect_str_eq(at->out, "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
    cr_expect(at->closed && at->flush);
    cr_expect_eq(at->client.closed_reason, CLOSED_STALE_CONNECTION);
    cr_expect_not(time_passes(fake), "a closed session has no timer");
    fake_free(fake);
}

Test(client, that_answers_pings_lives_and_its_round_trip_is_known)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = enter(fake, "CONNECT {\"verbose\":false}\r\n");
    for (int round = 0; round < 10; round++) {
        fake_forget(at);
        cr_assert(time_passes(fake));
        cr_expect_str_eq(at->out, "PING\r\n");
        fake->context.now_ns += 5000;
        fake_say(fake, at, "PONG\r\n");
        cr_expect_eq(at->client.rtt_ns, 5000);
    }
    cr_expect_not(at->closed);
    fake_free(fake);
}

Test(client, that_is_active_is_not_asked_again)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = enter(fake, "CONNECT {\"verbose\":false}\r\n");
    cr_assert(time_passes(fake));
    fake_say(fake, at, "PONG\r\n");
    fake_forget(at);
    fake->context.now_ns += 60 * NS_PER_SECOND;
    fake_say(fake, at, "PUB a 0\r\n\r\n");
    cr_assert(time_passes(fake));
    cr_expect_str_empty(at->out, "it published within the interval: %s", at->out);
    cr_assert(time_passes(fake));
    cr_expect_str_eq(at->out, "PING\r\n");
    fake_free(fake);
}

/* ---- login ---- */

#define ANN "{user: ann, password: plain}"
#define BOB "{user: bob, password: \"" BCRYPT_HASH "\"}"

static struct fake_host *new_with_users(void)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, "authorization { users: [" ANN ", " BOB "] }");
    return fake;
}

Test(client, comes_in_with_user_and_password_and_not_without)
{
    static const struct {
        const char *connect;
        bool in;
    } rows[] = {
        {"CONNECT {\"user\":\"me\",\"pass\":\"pw\"}\r\n", true},
        {"CONNECT {\"user\":\"me\",\"pass\":\"pW\"}\r\n", false},
        {"CONNECT {\"user\":\"you\",\"pass\":\"pw\"}\r\n", false},
        {"CONNECT {\"auth_token\":\"pw\"}\r\n", false},
        {"CONNECT {}\r\n", false},
        {"PING\r\n", false},
        {"CONNECT{\"user\":\"me\",\"pass\":\"pw\"}\r\n", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fake_host *fake = fake_new();
        fake->security.user = TEXT("me");
        fake->security.password = TEXT("pw");
        struct fake_client *at = enter(fake, rows[i].connect);
        cr_expect_str_eq(at->out, rows[i].in ? "+OK\r\n" : "-ERR 'Authorization Violation'\r\n", "%s: %s",
                         rows[i].connect, at->out);
        cr_expect_eq(at->closed, !rows[i].in, "%s", rows[i].connect);
        if (at->closed)
            cr_expect_eq(at->client.closed_reason, CLOSED_AUTHENTICATION_FAILURE);
        fake_free(fake);
    }
}

Test(client, comes_in_with_the_token)
{
    struct fake_host *fake = fake_new();
    fake->security.token = TEXT("tok");
    struct fake_client *at = enter(fake, "CONNECT {\"auth_token\":\"tok\"}\r\n");
    cr_expect_str_eq(at->out, "+OK\r\n");
    fake_disconnect(at);
    at = enter(fake, "CONNECT {\"auth_token\":\"tox\"}\r\n");
    cr_expect_str_eq(at->out, "-ERR 'Authorization Violation'\r\n");
    fake_free(fake);
}

Test(client, without_login_is_closed_when_its_time_is_over)
{
    struct fake_host *fake = new_with_users();
    struct fake_client *at = enter(fake, "");
    cr_expect_eq(timers_next_ns(&fake->context.timers), fake->context.now_ns + 2 * NS_PER_SECOND);
    cr_assert(time_passes(fake));
    cr_expect_str_eq(at->out, "-ERR 'Authentication Timeout'\r\n");
    cr_expect_eq(at->client.closed_reason, CLOSED_AUTHENTICATION_TIMEOUT);
    fake_free(fake);
}

/* Nothing is taken while the hash is being checked; what came behind CONNECT is given again after. */
Test(client, waits_for_a_hashed_password)
{
    static const char words[] =
        "CONNECT {\"user\":\"bob\",\"pass\":\"U*U\",\"verbose\":false}\r\nSUB a 1\r\nPING\r\n";
    static const bool answers[] = {true, false};
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        for (size_t cut = 0; cut < sizeof words - 1; cut++) {
            struct fake_host *fake = new_with_users();
            struct fake_client *at = enter(fake, "");
            fake->full_at = 1; /* the worker's mailbox is full at first */
            size_t taken = fake_feed(fake, at, bytes_of(words, cut));
            if (at->client.state != CLIENT_AUTHENTICATING)
                taken += fake_feed(fake, at, bytes_of(words + taken, sizeof words - 1 - taken));
            cr_assert_eq(at->client.state, CLIENT_AUTHENTICATING);
            cr_expect_eq(fake->passwords_asked, 1);
            cr_expect_str_eq(fake->stored, BCRYPT_HASH);
            cr_expect_str_eq(fake->given, "U*U");
            cr_expect_str_empty(at->out);
            cr_expect_eq(client_receive(&at->client, TEXT("PING\r\n")), 0, "nothing is taken meanwhile");
            client_password_checked(&at->client, answers[i]);
            client_resume(&at->client);
            fake_drain(fake);
            if (answers[i]) {
                (void)fake_feed(fake, at, bytes_of(words + taken, sizeof words - 1 - taken));
                cr_expect_str_eq(at->out, "PONG\r\n", "cut at %zu", cut);
                cr_expect_eq(fake->subscription_count, 1);
            } else {
                cr_expect_str_eq(at->out, "-ERR 'Authorization Violation'\r\n");
                cr_expect(at->closed);
            }
            fake_free(fake);
        }
    }
}

Test(client, whose_hash_is_checked_too_slowly_is_closed_and_the_late_answer_ignored)
{
    struct fake_host *fake = new_with_users();
    struct fake_client *at = enter(fake, "CONNECT {\"user\":\"bob\",\"pass\":\"U*U\"}\r\n");
    cr_assert(time_passes(fake));
    cr_expect_str_eq(at->out, "-ERR 'Authentication Timeout'\r\n");
    client_password_checked(&at->client, true);
    cr_expect_eq(at->client.state, CLIENT_CLOSED);
    fake_free(fake);
}

Test(client, that_says_nothing_of_itself_is_no_auth_user)
{
    struct fake_host *fake = new_with_users();
    fake->security.no_auth_user = TEXT("ann");
    struct fake_client *at = enter(fake, "PING\r\n");
    cr_expect_str_eq(at->out, "PONG\r\n");
    cr_expect_not(at->closed);
    fake_free(fake);
}

Test(client, loses_its_subscriptions_with_a_second_connect_once_however_full_the_host_is)
{
    static const char words[] = "CONNECT {\"verbose\":false}\r\nSUB a 1\r\nSUB b 2\r\nSUB c 3\r\n"
                                "CONNECT {\"verbose\":true}\r\nPUB a 1\r\nx\r\nSUB a 1\r\n";
    for (uint32_t full_at = 1;; full_at++) {
        struct fake_host *fake = fake_new();
        fake->full_at = full_at;
        struct fake_client *at = enter(fake, words);
        cr_expect_str_eq(at->out, "+OK\r\n+OK\r\n+OK\r\n", "%u: %s", full_at, at->out);
        cr_expect_eq(fake->subscription_count, 1);
        cr_expect_eq(at->client.sids.count, 1);
        bool met = fake->refused > 0;
        fake_free(fake);
        if (!met)
            break;
        cr_assert(full_at < 100);
    }
}

Test(client, whose_user_is_gone_from_new_options_is_closed)
{
    struct fake_host *fake = new_with_users();
    struct fake_client *at =
        enter(fake, "CONNECT {\"user\":\"ann\",\"pass\":\"plain\",\"verbose\":false}\r\n");
    struct security_options before = fake->security;
    client_options_changed(&at->client, &before);
    cr_expect_not(at->closed, "nothing has changed");
    fake_configure(fake, "authorization { users: [{user: ann, password: changed}] }");
    client_options_changed(&at->client, &before);
    fake_drain(fake);
    cr_expect_str_eq(at->out, "-ERR 'Authorization Violation'\r\n");
    fake_disconnect(at);
    before = fake->security;
    at = enter(fake, "CONNECT {\"user\":\"ann\",\"pass\":\"changed\",\"verbose\":false}\r\n");
    fake_configure(fake, "authorization { users: [" BOB "] }");
    client_options_changed(&at->client, &before);
    cr_expect(at->closed);
    cr_expect_eq(at->client.closed_reason, CLOSED_CLIENT_CLOSED);
    fake_free(fake);
}

#define LIMITED(most)                                                                                        \
    "accounts { A { users: [{user: ann, password: p}], limits { max_subscriptions: " most " } } }"

Test(client, who_has_more_subscriptions_than_new_options_allow_is_closed)
{
    struct fake_host *fake = fake_new();
    fake_configure(fake, LIMITED("-1"));
    struct fake_client *at =
        enter(fake, "CONNECT {\"user\":\"ann\",\"pass\":\"p\",\"verbose\":false}\r\nSUB a 1\r\nSUB b 2\r\n");
    struct security_options before = fake->security;
    fake_configure(fake, LIMITED("2"));
    client_options_changed(&at->client, &before);
    cr_expect_not(at->closed, "as many as it may");
    before = fake->security;
    fake_configure(fake, LIMITED("1"));
    client_options_changed(&at->client, &before);
    fake_drain(fake);
    cr_expect(at->closed);
    cr_expect_eq(at->client.closed_reason, CLOSED_MAXIMUM_SUBSCRIPTIONS);
    cr_expect_str_eq(at->out, "-ERR 'maximum subscriptions exceeded'\r\n");
    fake_free(fake);
}

Test(client, closes_once_and_without_subscriptions_left)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = enter(fake, "SUB a 1\r\nSUB b q 2\r\n");
    client_input_ended(&at->client, false);
    client_input_ended(&at->client, true);
    client_close(&at->client, CLOSED_KICKED, "late");
    fake_drain(fake);
    cr_expect_str_eq(at->out, "+OK\r\n+OK\r\n");
    cr_expect_eq(at->client.closed_reason, CLOSED_CLIENT_CLOSED);
    fake->full_every = 2; /* fake_disconnect() asks until all are gone */
    cr_expect_eq(client_receive(&at->client, TEXT("PING\r\n")), 0);
    fake_free(fake);
}
