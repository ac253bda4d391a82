/* Tests net/client_publish.c and net/client_subscribe.c over a fake host: messages in, messages out, and a
 * host that is full at any moment. Rules: spec/client-protocol.md 2.4 to 2.8, 7, 8, 10, 13. */
#include "tests/unit/net/fake_host.h"

#include <criterion/criterion.h>

#define QUIET                                                                                                \
    "CONNECT "                                                                                               \
    "{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":0}\r\n"
#define QUIET_OLD "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n"

static struct fake_client *enter(struct fake_host *fake, uint32_t position, const char *words)
{
    struct fake_client *at = fake_connect(fake, position);
    fake_drain(fake);
    fake_forget(at);
    fake_say(fake, at, words);
    return at;
}

/* ---- a host that is full ---- */

/* Everything that asks the host, once verbose and once not, with answers that come out of it. */
static const char full_script[] =
    "CONNECT {\"verbose\":true,\"pedantic\":true,\"headers\":true,\"no_responders\":true}\r\n"
    "SUB a 1\r\nSUB b.* q 2\r\nPUB a r 2\r\nhi\r\nHPUB b.c 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    "SUB a..b 3\r\nPUB a..b 1\r\nx\r\nUNSUB 2\r\nSUB b.* 2\r\nUNSUB 2 1\r\nPUB b.x 1\r\n2\r\n"
    "PUB b.x 1\r\n3\r\nSUB r 4\r\nPUB nobody r 0\r\n\r\n"
    "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\n"
    "UNSUB 1 3\r\nPUB a 1\r\n3\r\nPUB a 1\r\n4\r\nPING\r\n";

static const char full_expect[] =
    "+OK\r\n+OK\r\n+OK\r\n+OK\r\nMSG a 1 r 2\r\nhi\r\n+OK\r\nHMSG b.c 2 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    "-ERR 'Invalid Subject'\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\nMSG b.x "
    "2 1\r\n2\r\n"
    "+OK\r\n+OK\r\n+OK\r\nHMSG r 4 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n"
    "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\nPONG\r\n";

/* The script in two pieces; the result, and whether the host refused anything. */
static bool run_script(size_t cut, uint32_t full_at, uint32_t full_every)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = enter(fake, 0, "");
    fake->full_at = full_at;
    fake->full_every = full_every;
    (void)fake_feed(fake, at, bytes_of(full_script, cut));
    (void)fake_feed(fake, at, bytes_of(full_script + cut, sizeof full_script - 1 - cut));
    cr_expect_str_eq(at->out, full_expect, "cut at %zu, full at call %u: %s", cut, full_at, at->out);
    cr_expect_eq(at->client.in_messages, 10);
    cr_expect_eq(at->client.out_messages, 6);
    bool met = fake->refused > 0;
    fake->full_every = 0;
    fake_free(fake);
    return met;
}

Test(client_messages, the_answers_are_the_same_whenever_the_host_is_full)
{
    uint32_t full_at = 1;
    while (run_script(0, full_at, 0)) {
        full_at++;
        cr_assert(full_at < 100);
    }
    cr_expect(full_at > 15, "the script asks the host often: %u", full_at);
    for (size_t cut = 0; cut < sizeof full_script - 1; cut++) {
        for (uint32_t call = 1; call < full_at; call++)
            cr_assert(run_script(cut, call, 0));
        cr_assert(run_script(cut, 0, 2));
    }
}

Test(client_messages, a_host_without_memory_closes_the_session)
{
    for (uint32_t call = 1; call <= 4; call++) {
        struct fake_host *fake = fake_new();
        fake->memory_at = call;
        struct fake_client *at =
            enter(fake, 0, QUIET_OLD "SUB a 1\r\nPUB a 1\r\nx\r\nSUB b 2\r\nPUB b 1\r\ny\r\nPING\r\n");
        cr_expect(at->closed, "call %u", call);
        cr_expect_eq(at->client.closed_reason, CLOSED_READ_ERROR);
        cr_expect_null(strstr(at->out, "PONG"));
        fake_free(fake);
    }
}

/* spec/monitoring.md 2.2: messages in and out and interest make a client active, PING and PONG do not. But
 * one that says PING need not be asked. */
Test(client_messages, messages_and_interest_are_activity)
{
    static const struct {
        const char *words, *others;
        bool active, heard;
    } rows[] = {
        {"PUB b 0\r\n\r\n", "", true, true},
        {"HPUB b 12 12\r\nNATS/1.0\r\n\r\n\r\n", "", true, true},
        {"SUB b 2\r\n", "", true, true},
        {"UNSUB 1\r\n", "", true, true},
        {"PING\r\n", "", false, true},
        {"PONG\r\n", "", false, false},
        {"PING\r\nPUB b 0\r\n\r\nPONG\r\n", "", true, true},
        {"", "PUB a 0\r\n\r\n", true, false},
        {"", "PUB b 0\r\n\r\n", false, false},
        {"", "PING\r\n", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake_host *fake = fake_new();
        struct fake_client *at = enter(fake, 0, QUIET "SUB a 1\r\n");
        struct fake_client *other = enter(fake, 1, QUIET);
        int64_t before_ns = fake->context.now_ns;
        fake->context.now_ns += 1000;
        fake_say(fake, at, rows[i].words);
        fake_say(fake, other, rows[i].others);
        cr_expect_eq(client_last_ns(&at->client), before_ns + (rows[i].active ? 1000 : 0), "row %zu", i);
        cr_expect_eq(at->client.last_heard_ns, before_ns + (rows[i].heard ? 1000 : 0), "row %zu", i);
        fake_free(fake);
    }
}

/* ---- subscriptions ---- */

Test(client_messages, max_subscriptions_and_tokens_are_kept)
{
    struct fake_host *fake = fake_new();
    fake->options.max_subscriptions = 2;
    fake->options.max_subscription_tokens = 3;
    struct fake_client *at =
        enter(fake, 0, QUIET_OLD "SUB a.b.c 1\r\nSUB a.b.c.d 2\r\nSUB b 2\r\nSUB c 3\r\n");
    cr_expect_str_eq(at->out,
                     "-ERR 'Permissions Violation for Subscription to \"a.b.c.d\", too many tokens'\r\n"
                     "-ERR 'maximum subscriptions exceeded'\r\n");
    cr_expect_eq(fake->subscription_count, 2);
    fake_free(fake);
}

Test(client_messages, unsub_with_a_number_counts_what_was_delivered_before)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = enter(fake, 0,
                                   QUIET_OLD "SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 2\r\n"
                                             "PUB a 1\r\n3\r\n");
    cr_expect_str_eq(at->out, "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
    cr_expect_eq(fake->subscription_count, 0);
    fake_free(fake);
}

Test(client_messages, own_messages_do_not_come_back_without_echo)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at =
        enter(fake, 0, "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nPUB a 1\r\nx\r\n");
    struct fake_client *other = enter(fake, 1, QUIET_OLD "PUB a 1\r\ny\r\n");
    cr_expect_str_eq(at->out, "MSG a 1 1\r\ny\r\n");
    cr_expect_str_empty(other->out);
    fake_free(fake);
}

/* ---- nobody there ---- */

Test(client_messages, a_request_that_nobody_hears_is_answered_with_503)
{
    static const struct {
        const char *words;
        const char *expect;
    } rows[] = {
        {QUIET "SUB _INBOX.> 7\r\nPUB svc _INBOX.1 2\r\nhi\r\n",
         "HMSG _INBOX.1 7 35 35\r\nNATS/1.0 503\r\nNats-Subject: svc\r\n\r\n\r\n"},
        {QUIET "SUB _INBOX.> 7\r\nPUB svc 2\r\nhi\r\n", ""},            /* no reply */
        {QUIET "PUB svc _INBOX.1 2\r\nhi\r\n", ""},                     /* no inbox */
        {QUIET "SUB _INBOX.> q 7\r\nPUB svc _INBOX.1 2\r\nhi\r\n", ""}, /* only in a queue */
        {QUIET_OLD "SUB _INBOX.> 7\r\nPUB svc _INBOX.1 2\r\nhi\r\n", ""},
        {QUIET "SUB _INBOX.> 7\r\nSUB svc 8\r\nPUB svc _INBOX.1 2\r\nhi\r\n",
         "MSG svc 8 _INBOX.1 2\r\nhi\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fake_host *fake = fake_new();
        struct fake_client *at = enter(fake, 0, rows[i].words);
        cr_expect_str_eq(at->out, rows[i].expect, "row %zu: %s", i, at->out);
        fake_free(fake);
    }
}

/* ---- headers ---- */

Test(client_messages, headers_are_taken_off_for_a_receiver_without_them)
{
    struct fake_host *fake = fake_new();
    struct fake_client *with = enter(fake, 0, QUIET "SUB a 1\r\n");
    struct fake_client *without = enter(fake, 1, QUIET_OLD "SUB a 22\r\n");
    struct fake_client *sender = enter(fake, 2, QUIET);
    static const char words[] =
        "HPUB a rep 012 017\r\nNATS/1.0\r\n\r\nhello\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n"
        "PUB a 2\r\nhi\r\n";
    for (size_t cut = 0; cut < sizeof words - 1; cut++) {
        fake_forget(with);
        fake_forget(without);
        (void)fake_feed(fake, sender, bytes_of(words, cut));
        (void)fake_feed(fake, sender, bytes_of(words + cut, sizeof words - 1 - cut));
        cr_expect_str_eq(with->out, "HMSG a 1 rep 012 017\r\nNATS/1.0\r\n\r\nhello\r\n"
                                    "HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\nMSG a 1 2\r\nhi\r\n");
        cr_expect_str_eq(without->out, "MSG a 22 rep 5\r\nhello\r\nMSG a 22 0\r\n\r\nMSG a 22 2\r\nhi\r\n");
    }
    fake_free(fake);
}

/* ---- the control line that is remembered ---- */

/* Long enough that the fast scan sees each of them whole, and the line repeats. */
#define LINE "PUB orders.eu.new 40\r\n0123456789012345678901234567890123456789\r\n"
#define BODY " 40\r\n0123456789012345678901234567890123456789\r\n"

Test(client_messages, a_repeated_line_names_each_receivers_own_sid)
{
    struct fake_host *fake = fake_new();
    struct fake_client *first = enter(fake, 0, QUIET_OLD "SUB orders.> 1\r\n");
    struct fake_client *both = enter(fake, 1, QUIET_OLD "SUB orders.> 22\r\nSUB orders.eu.* 333\r\n");
    struct fake_client *sender = enter(fake, 2, QUIET_OLD);
    fake_say(fake, sender, LINE LINE LINE);
    cr_expect_str_eq(first->out,
                     "MSG orders.eu.new 1" BODY "MSG orders.eu.new 1" BODY "MSG orders.eu.new 1" BODY);
    static const char pair[] = "MSG orders.eu.new 22" BODY "MSG orders.eu.new 333" BODY;
    for (size_t i = 0; i < 3; i++)
        cr_expect(strncmp(both->out + i * (sizeof pair - 1), pair, sizeof pair - 1) == 0, "%s", both->out);
    fake_free(fake);
}

/* The allocator likes to give the same place again: then only the sid tells the two subscriptions apart. */
Test(client_messages, a_remembered_line_does_not_outlive_its_subscription)
{
    struct fake_host *fake = fake_new();
    struct fake_client *receiver = enter(fake, 0, QUIET_OLD "SUB orders.> 11\r\n");
    struct fake_client *sender = enter(fake, 1, QUIET_OLD);
    char words[64];
    char expect[128] = "MSG orders.eu.new 11" BODY;
    for (unsigned sid = 11; sid < 60; sid++) {
        fake_forget(receiver);
        fake_say(fake, sender, LINE);
        cr_expect_str_eq(receiver->out, expect, "sid %u: %s", sid, receiver->out);
        snprintf(words, sizeof words, "UNSUB %u\r\nSUB orders.> %u\r\n", sid, sid + 1);
        snprintf(expect, sizeof expect, "MSG orders.eu.new %u" BODY, sid + 1);
        fake_say(fake, receiver, words);
    }
    /* the last message of a counted subscription, and a second CONNECT, end one too */
    fake_say(fake, receiver, "UNSUB 60 1\r\n");
    fake_say(fake, sender, LINE);
    fake_say(fake, receiver, "SUB orders.> 61\r\n");
    fake_forget(receiver);
    fake_say(fake, sender, LINE);
    cr_expect_str_eq(receiver->out, "MSG orders.eu.new 61" BODY);
    fake_say(fake, receiver, QUIET_OLD "SUB orders.> 62\r\n");
    fake_forget(receiver);
    fake_say(fake, sender, LINE);
    cr_expect_str_eq(receiver->out, "MSG orders.eu.new 62" BODY);
    fake_free(fake);
}

Test(client_messages, two_senders_of_alike_lines_are_not_mixed_up)
{
    struct fake_host *fake = fake_new();
    struct fake_client *receiver = enter(fake, 0, QUIET_OLD "SUB > 1\r\n");
    struct fake_client *one = enter(fake, 1, QUIET_OLD);
    struct fake_client *two = enter(fake, 2, QUIET_OLD);
    static const char *const lines[] = {
        "PUB orders.eu.new 40\r\n0123456789012345678901234567890123456789\r\n",
        "PUB orders.eu.old 40\r\n0123456789012345678901234567890123456789\r\n",
        "PUB orders.eu.new r 40\r\n0123456789012345678901234567890123456789\r\n",
        "PUB orders.eu.new 040\r\n0123456789012345678901234567890123456789\r\n",
    };
    static const char *const expected[] = {
        "MSG orders.eu.new 1" BODY, "MSG orders.eu.old 1" BODY, "MSG orders.eu.new 1 r" BODY,
        "MSG orders.eu.new 1 040\r\n0123456789012345678901234567890123456789\r\n"};
    for (size_t round = 0; round < 64; round++) {
        size_t a = round % 4;
        size_t b = round / 4 % 4;
        fake_forget(receiver);
        fake_say(fake, one, lines[a]);
        fake_say(fake, two, lines[b]);
        fake_say(fake, one, lines[a]);
        char expect[512];
        snprintf(expect, sizeof expect, "%s%s%s", expected[a], expected[b], expected[a]);
        cr_expect_str_eq(receiver->out, expect, "%zu and %zu: %s", a, b, receiver->out);
    }
    fake_free(fake);
}

/* ---- large payloads ---- */

Test(client_messages, a_large_torn_payload_is_shared_and_arrives_whole)
{
    static const size_t sizes[] = {4095, 4096, 4097, 16 * 1024, 60000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct fake_host *fake = fake_new();
        struct fake_client *first = enter(fake, 0, QUIET_OLD "SUB a 1\r\n");
        struct fake_client *second = enter(fake, 1, QUIET "SUB a 2\r\n");
        struct fake_client *sender = enter(fake, 2, QUIET);
        size_t count = (size_t)snprintf(NULL, 0, "HPUB a 12 %zu\r\n", sizes[i] + 12) + 12 + sizes[i] + 2;
        char *words = malloc(count + 1);
        int line = snprintf(words, count, "HPUB a 12 %zu\r\nNATS/1.0\r\n\r\n", sizes[i] + 12);
        for (size_t k = 0; k < sizes[i]; k++)
            words[(size_t)line + k] = (char)('a' + k % 23);
        memcpy(words + count - 2, "\r\n", 2);
        for (size_t at = 0; at < count; at += 1500)
            (void)fake_feed(fake, sender, bytes_of(words + at, count - at < 1500 ? count - at : 1500));
        char start[64];
        int start_count = snprintf(start, sizeof start, "MSG a 1 %zu\r\n", sizes[i]);
        cr_expect_eq(first->out_count, (size_t)start_count + sizes[i] + 2);
        cr_expect(memcmp(first->out, start, (size_t)start_count) == 0);
        cr_expect(memcmp(first->out + start_count, words + line, sizes[i] + 2) == 0, "%zu", sizes[i]);
        start_count = snprintf(start, sizeof start, "HMSG a 2 12 %zu\r\n", sizes[i] + 12);
        cr_expect_eq(second->out_count, (size_t)start_count + sizes[i] + 14);
        cr_expect(memcmp(second->out, start, (size_t)start_count) == 0);
        cr_expect(memcmp(second->out + start_count, words + line - 12, sizes[i] + 14) == 0, "%zu", sizes[i]);
        cr_expect_eq(fake->published_shared, 1);
        free(words);
        fake_free(fake);
    }
}

/* ---- slow consumers ---- */

/* A receiver that is not drained: first its publisher is slowed, then it is cut off, in silence. */
Test(client_messages, a_slow_consumer_stalls_its_publisher_and_is_then_closed_without_an_error)
{
    static const char line[] =
        "PUB a 100\r\n"
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678"
        "901234567890123456789\r\n";
    struct fake_host *fake = fake_new();
    fake->options.max_pending_bytes = 2000;
    struct fake_client *slow = enter(fake, 0, QUIET_OLD "SUB a 1\r\n");
    struct fake_client *sender = enter(fake, 1, QUIET_OLD);
    uint32_t sent = 0;
    uint32_t stalled_after = 0;
    while (!slow->closed && sent < 100) {
        fake->context.turn++;
        cr_assert_eq(client_receive(&sender->client, TEXT("")), 0);
        cr_assert_eq(client_receive(&sender->client, text(line)), sizeof line - 1);
        sent++;
        if (fake->stalls > 0 && stalled_after == 0)
            stalled_after = sent;
    }
    cr_expect_eq(sent, 2000 / 113 + 1, "%u", sent);
    cr_expect_eq(stalled_after, 1500 / 113 + 1, "%u", stalled_after);
    cr_expect(slow->closed);
    cr_expect_not(slow->flush);
    cr_expect_eq(slow->client.closed_reason, CLOSED_SLOW_CONSUMER_PENDING_BYTES);
    cr_expect_eq(fake->context.slow_consumers, 1);
    cr_expect_not(sender->closed);
    fake_drain(fake);
    cr_expect_null(strstr(slow->out, "-ERR"));
    fake_say(fake, sender, line);
    cr_expect_eq(sender->client.in_messages, sent + 1);
    fake_free(fake);
}

Test(client_messages, a_publisher_is_not_stalled_twice_in_a_turn_nor_when_told_not_to)
{
    static const bool off[] = {false, true};
    for (size_t i = 0; i < COUNT_OF(off); i++) {
        struct fake_host *fake = fake_new();
        fake->options.max_pending_bytes = 1000;
        fake->options.no_fast_producer_stall = off[i];
        struct fake_client *slow = enter(fake, 0, QUIET_OLD "SUB a 1\r\n");
        struct fake_client *sender = enter(fake, 1, QUIET_OLD);
        fake->context.turn = 5;
        for (unsigned k = 0; k < 60; k++)
            (void)client_receive(&sender->client, TEXT("PUB a 1\r\nx\r\n"));
        cr_expect_not(slow->closed);
        cr_expect_eq(fake->stalls, off[i] ? 0 : 1, "%u", fake->stalls);
        fake_free(fake);
    }
}

/* Who floods itself with answers is a slow consumer as well. */
Test(client_messages, answers_that_nobody_reads_close_the_session)
{
    struct fake_host *fake = fake_new();
    fake->options.max_pending_bytes = 400;
    struct fake_client *at = enter(fake, 0, QUIET "SUB r 1\r\n");
    for (unsigned k = 0; k < 100 && !at->closed; k++)
        (void)client_receive(&at->client, TEXT("PING\r\nPUB x r 0\r\n\r\n"));
    cr_expect(at->closed);
    cr_expect_eq(at->client.closed_reason, CLOSED_SLOW_CONSUMER_PENDING_BYTES);
    fake_free(fake);
}

/* The +OK that breaks the limit closes the session; the 503 that would follow it is not written. A send is in
 * flight, so output is noted anew. */
Test(client_messages, a_session_closed_by_its_own_answer_says_nothing_more)
{
    struct fake_host *fake = fake_new();
    fake->options.max_pending_bytes = 400;
    struct fake_client *at = enter(fake, 0,
                                   "CONNECT {\"verbose\":true,\"headers\":true,\"no_responders\":true}\r\n"
                                   "SUB r 1\r\n");
    for (unsigned k = 0; k < 200 && !at->closed; k++) {
        at->client.output_noted = false;
        (void)client_receive(&at->client, TEXT("PUB x r 0\r\n\r\n"));
    }
    cr_expect(at->closed);
    fake_drain(fake);
    cr_expect_str_eq(at->out + at->out_count - 5, "+OK\r\n", "%s", at->out);
    fake_free(fake);
}
