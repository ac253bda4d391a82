/* Tests runs of messages through net/client_publish.c and net/client_deliver.c over a fake host. Method: the
 * same words are said to a host that takes one message at a time and to one that takes runs; all clients must
 * see the same bytes, whatever the host refuses on the way. */
#include "tests/unit/net/fake_host.h"

#include <criterion/criterion.h>

#define QUIET "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n"

enum { WORDS_BYTES = 100 * 1024 };

struct run_case {
    const char *name;
    const char *receivers[3]; /* what the others say first; NULL: not there */
    const char *before;       /* what the publisher says first */
    const char *line;
    int body_bytes;
    int count;
    bool runs; /* whether runs are to be seen */
};

static const struct run_case run_cases[] = {
    {"one receiver", {"SUB a 1\r\n"}, "", "PUB a 16", 16, 40, true},
    {"three receivers", {"SUB a 1\r\n", "SUB > 22\r\n", "SUB * 333\r\n"}, "", "PUB a 16", 16, 40, true},
    {"three receivers with one sid",
     {"SUB a 7\r\n", "SUB > 7\r\n", "SUB * 7\r\n"},
     "",
     "PUB a 16",
     16,
     40,
     true},
    {"large ones with one sid",
     {"SUB a 7\r\n", "SUB > 7\r\n", "SUB * 8\r\n"},
     "",
     "PUB a 700",
     700,
     60,
     true},
    {"more blocks than are remembered", {"SUB a 7\r\n", "SUB > 7\r\n"}, "", "PUB a 3000", 3000, 30, true},
    {"nobody", {NULL}, "", "PUB a 16", 16, 40, true},
    {"nobody, who asked for an answer", {NULL}, "SUB r 1\r\n", "PUB a r 16", 16, 20, true},
    {"one client twice", {"SUB a 1\r\nSUB * 2\r\n", "SUB a 3\r\n"}, "", "PUB a 16", 16, 40, false},
    {"a queue group", {"SUB a q 1\r\n", "SUB a 2\r\n"}, "", "PUB a 16", 16, 40, false},
    {"a limit", {"SUB a 1\r\nUNSUB 1 7\r\n", "SUB a 2\r\n"}, "", "PUB a 16", 16, 40, true},
    {"the publisher itself", {"SUB a 2\r\n"}, "SUB a 1\r\n", "PUB a 16", 16, 40, true},
    {"the publisher itself, without echo",
     {"SUB a 2\r\n"},
     "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\n",
     "PUB a 16",
     16,
     40,
     true},
    {"verbose", {"SUB a 1\r\n"}, "CONNECT {\"verbose\":true}\r\n", "PUB a 16", 16, 40, false},
    {"empty bodies", {"SUB a 1\r\n"}, "", "PUB a 0", 0, 60, true},
    {"a reply", {"SUB a 1\r\n"}, "", "PUB a some.reply 5", 5, 40, true},
    {"blocks are filled", {"SUB a 1\r\n"}, "", "PUB a 700", 700, 60, true},
    {"a line too long to be remembered",
     {"SUB > a.sid.that.makes.the.control.line.longer.than.what.is.remembered.of.it\r\n"},
     "",
     "PUB some.subject 33",
     33,
     20,
     true},
    {"a line too long for a run",
     {"SUB > "
      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\r"
      "\n"},
     "",
     "PUB some.subject 33",
     33,
     20,
     true},
    {"a subject that only servers may use", {"SUB > 1\r\n"}, "", "PUB _GR_.a 16", 16, 20, false},
};

static size_t words_make(const struct run_case *c, char *words)
{
    size_t used = (size_t)snprintf(words, WORDS_BYTES, "%s%s", QUIET, c->before);
    for (int i = 0; i < c->count; i++) {
        used += (size_t)snprintf(words + used, WORDS_BYTES - used, "%s\r\n", c->line);
        for (int at = 0; at < c->body_bytes; at++)
            words[used++] = (char)('a' + (i + at) % 26);
        used += (size_t)snprintf(words + used, WORDS_BYTES - used, "\r\n");
    }
    return used + (size_t)snprintf(words + used, WORDS_BYTES - used, "PUB b 1\r\nx\r\nPING\r\n");
}

static struct fake_host *run_words(const struct run_case *c, uint32_t run_most, uint32_t full_every)
{
    static char words[WORDS_BYTES];
    struct fake_host *fake = fake_new();
    struct fake_client *publisher = fake_connect(fake, 0);
    for (uint32_t i = 0; i < COUNT_OF(c->receivers) && c->receivers[i] != NULL; i++) {
        struct fake_client *at = fake_connect(fake, i + 1);
        fake_say(fake, at, QUIET);
        fake_say(fake, at, c->receivers[i]);
    }
    size_t count = words_make(c, words);
    fake->run_most = run_most;
    fake->full_every = full_every;
    (void)fake_feed(fake, publisher, bytes_of(words, count));
    fake->full_every = 0;
    fake_drain(fake);
    return fake;
}

Test(client_runs, all_clients_see_what_they_see_message_by_message)
{
    static const uint32_t sizes[] = {2, 3, 7, UINT32_MAX};
    for (size_t row = 0; row < COUNT_OF(run_cases); row++) {
        const struct run_case *c = &run_cases[row];
        struct fake_host *single = run_words(c, 1, 0);
        for (size_t i = 0; i < COUNT_OF(sizes) * 2; i++) {
            struct fake_host *runs = run_words(c, sizes[i / 2], i % 2 ? 2 : 0);
            cr_expect_eq(runs->runs > 0, c->runs, "%s: %u runs", c->name, runs->runs);
            for (uint32_t at = 0; at < FAKE_CLIENTS_MAX; at++) {
                const struct fake_client *expected = &single->clients[at], *is = &runs->clients[at];
                cr_expect_str_eq(is->out, expected->out, "%s: client %u, runs of %u", c->name, at,
                                 sizes[i / 2]);
                cr_expect_eq(is->client.in_messages, expected->client.in_messages, "%s", c->name);
                cr_expect_eq(is->client.in_bytes, expected->client.in_bytes, "%s", c->name);
                cr_expect_eq(is->client.out_messages, expected->client.out_messages, "%s", c->name);
                cr_expect_eq(is->client.out_bytes, expected->client.out_bytes, "%s", c->name);
            }
            fake_free(runs);
        }
        cr_expect_gt(strlen(single->clients[0].out), 0);
        fake_free(single);
    }
}

Test(client_runs, a_slow_receiver_is_closed_and_the_others_go_on)
{
    const struct run_case slow = {"", {"SUB a 1\r\n", "SUB a 2\r\n"}, "", "PUB a 700", 700, 60, true};
    struct fake_host *fake = run_words(&slow, UINT32_MAX, 0);
    cr_assert_not(fake->clients[1].closed);
    struct fake_client *publisher = &fake->clients[0];
    static char words[WORDS_BYTES];
    size_t count = words_make(&slow, words);
    fake->options.max_pending_bytes = 20000;
    (void)fake_feed(fake, publisher, bytes_of(words, count));
    cr_expect(fake->clients[1].closed && fake->clients[2].closed);
    cr_expect_eq(fake->clients[1].client.closed_reason, CLOSED_SLOW_CONSUMER_PENDING_BYTES);
    cr_expect_not(publisher->closed);
    fake_free(fake);
}
