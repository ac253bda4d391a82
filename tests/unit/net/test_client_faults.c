/* tests/unit/net/test_client_faults.c - client sessions over a fake host while memory runs out: whoever is
 * refused memory is closed, nobody else is, and what others were sent is whole. */
#include "tests/unit/faults.h"
#include "tests/unit/net/fake_host.h"

#include <criterion/criterion.h>

enum { BODY_BYTES = 5000 }; /* above OUTPUT_SHARE_BYTES_LEAST: torn, it is shared */

/* Whether `out` is the greeting and then whole lines and bodies: what a client library can read to its end.
 */
static bool stream_whole(const struct fake_client *at)
{
    const char *p = at->out;
    const char *end = at->out + at->out_count;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (newline == NULL)
            return false;
        unsigned long body = 0;
        bool message = strncmp(p, "MSG ", 4) == 0 || strncmp(p, "HMSG ", 5) == 0;
        if (message) {
            const char *blank = memrchr(p, ' ', (size_t)(newline - p));
            body = strtoul(blank + 1, NULL, 10) + 2;
        }
        p = newline + 1;
        if ((size_t)(end - p) < body)
            return false;
        p += body;
    }
    return true;
}

static bool is_client_out_of_memory(const struct fake_client *at)
{
    return at->closed &&
           (at->client.closed_reason == CLOSED_READ_ERROR || at->client.closed_reason == CLOSED_WRITE_ERROR);
}

static void say_torn(struct fake_host *fake, struct fake_client *at, const char *words, size_t piece_bytes)
{
    struct bytes left = text(words);
    while (left.count > 0 && !at->closed) {
        size_t count = left.count < piece_bytes ? left.count : piece_bytes;
        (void)fake_feed(fake, at, bytes_of(left.data, count));
        left = bytes_of(left.data + count, left.count - count);
    }
}

static struct fake_client *enter(struct fake_host *fake, uint32_t position, const char *connect)
{
    struct fake_client *at = fake_connect(fake, position);
    if (!at->closed)
        say_torn(fake, at, connect, 1000);
    fake_drain(fake);
    return at;
}

static void check_all(struct fake_host *fake, uint32_t clients)
{
    for (uint32_t i = 0; i < clients; i++) {
        const struct fake_client *at = &fake->clients[i];
        if (at->closed) {
            cr_assert(faults_met(), "client %u was closed", i);
            cr_assert(is_client_out_of_memory(at), "client %u: %s", i,
                      closed_reason_text((enum closed_reason)at->client.closed_reason));
        } else {
            cr_assert(stream_whole(at), "client %u was sent a piece of something: %s", i, at->out);
        }
    }
}

/* Goal: as the file says. Method: a receiver with plain, queue and limited subscriptions, a publisher whose
 * messages come whole, torn, with headers and large, a requester that nobody answers. */
Test(client_faults, whoever_is_refused_memory_is_closed_and_nobody_else, .timeout = 120)
{
    static char large[BODY_BYTES + 64];
    int start = snprintf(large, sizeof large, "PUB w.large %d\r\n", BODY_BYTES);
    memset(large + start, 'x', BODY_BYTES);
    memcpy(large + start + BODY_BYTES, "\r\n", 3);
    FOR_EACH_FAULT(plan)
    {
        struct fake_host *fake = fake_new();
        struct fake_client *receiver = enter(fake, 0, "CONNECT {\"verbose\":false,\"headers\":true}\r\n");
        struct fake_client *publisher =
            enter(fake, 1, "CONNECT {\"headers\":true,\"no_responders\":true,\"name\":\"p\"}\r\n");
        if (!receiver->closed)
            say_torn(fake, receiver, "SUB w.* 1\r\nSUB w.> q 2\r\nSUB w.* q 3\r\nSUB > 4\r\nUNSUB 4 2\r\n",
                     1000);
        if (!publisher->closed)
            say_torn(fake, publisher,
                     "SUB inbox 9\r\nPUB w.a 2\r\nhi\r\nPUB w.a 2\r\nho\r\nHPUB w.h 12 14\r\nNATS/1.0\r\n\r\n"
                     "ab\r\nPUB nobody.is.here inbox 0\r\n\r\nSUB bad..subject 5\r\nPING\r\n",
                     33);
        if (!publisher->closed)
            say_torn(fake, publisher, large, 700);
        if (!receiver->closed)
            say_torn(fake, receiver, "UNSUB 1\r\nUNSUB 2\r\nPING\r\n", 4);
        check_all(fake, 2);
        if (!faults_met())
            cr_assert_eq(fake->published, 5);
        fake_free(fake);
    }
}

/* Runs fill one block of output after the other; memory may be out at each. */
Test(client_faults, a_run_that_finds_no_memory_closes_its_receiver_and_nobody_else)
{
    enum { MESSAGES = 60, MESSAGE_BYTES = 700 };
    static char words[MESSAGES * (MESSAGE_BYTES + 32)];
    size_t count = 0;
    for (int i = 0; i < MESSAGES; i++) {
        count += (size_t)snprintf(words + count, sizeof words - count, "PUB a %d\r\n", MESSAGE_BYTES);
        memset(words + count, 'a' + i % 26, MESSAGE_BYTES);
        memcpy(words + count + MESSAGE_BYTES, "\r\n", 2);
        count += MESSAGE_BYTES + 2;
    }
    FOR_EACH_FAULT(plan)
    {
        struct fake_host *fake = fake_new();
        fake->run_most = UINT32_MAX;
        struct fake_client *one = enter(fake, 0, "CONNECT {\"verbose\":false}\r\nSUB a 1\r\n");
        struct fake_client *two =
            enter(fake, 1, "CONNECT {\"verbose\":false}\r\nSUB * 1\r\n"); /* the same bytes */
        struct fake_client *publisher = enter(fake, 2, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
        if (!publisher->closed)
            (void)fake_feed(fake, publisher, bytes_of(words, count));
        check_all(fake, 3);
        if (!faults_met()) {
            cr_assert_gt(fake->runs, 0);
            cr_assert_eq(one->client.out_messages, MESSAGES);
            cr_assert_eq(two->client.out_messages, MESSAGES);
        }
        fake_free(fake);
    }
}

/* A bcrypt login, a second CONNECT, the change of options, and a session that is closed with an -ERR. */
Test(client_faults, a_login_without_memory_is_no_login)
{
    struct configured configured;
    cr_assert_str_eq(configure(&configured, "authorization { users: [{user: ann, password: pa, permissions: "
                                            "{subscribe: \"*\", allow_responses: true}}] }"),
                     "");
    FOR_EACH_FAULT(plan)
    {
        struct fake_host *fake = fake_new();
        fake->security = configured.options;
        struct fake_client *good =
            enter(fake, 0,
                  "CONNECT {\"user\":\"ann\",\"pass\":\"pa\",\"name\":\"a client\",\"verbose\":false}\r\n");
        if (!good->closed)
            say_torn(fake, good, "SUB a 1\r\nCONNECT {\"verbose\":true,\"pass\":\"pa\"}\r\nSUB a 1\r\n", 10);
        check_all(fake, 1);
        cr_assert(good->closed || good->client.state == CLIENT_ACTIVE);
        struct fake_client *bad = enter(fake, 1, "CONNECT {\"user\":\"ann\",\"pass\":\"no\"}\r\n");
        cr_assert(bad->closed);
        cr_assert(is_client_out_of_memory(bad) ? faults_met()
                                               : bad->client.closed_reason == CLOSED_AUTHENTICATION_FAILURE);
        cr_assert_null(strstr(bad->out, "+OK"));
        fake_free(fake);
    }
    configured_close(&configured);
}

/* Tracing needs memory of its own: without it a line is missing, and nothing else. */
Test(client_faults, tracing_without_memory_disturbs_no_session)
{
    FOR_EACH_FAULT(plan)
    {
        faults_pause();
        struct fake_host *fake = fake_new();
        fake->options.trace = true;
        struct fake_client *at = fake_connect(fake, 0);
        fake_drain(fake);
        fake_say(fake, at, "CONNECT {\"verbose\":false,\"pass\":\"secret\"}\r\nSUB a 1\r\n");
        fake_forget(at);
        faults_resume();
        fake_say(fake, at, "PUB a 5\r\nhello\r\n");
        cr_assert_not(at->closed);
        cr_assert_str_eq(at->out, "MSG a 1 5\r\nhello\r\n");
        fake_free(fake);
    }
}
