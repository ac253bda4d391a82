/* tests/unit/bench/test_options.c - command lines that are understood, and those that are refused with a
 * reason. */
#include "bench/options.h"

#include <criterion/criterion.h>

enum { WORDS_MAX = 12 };

static enum err parse(struct options *options, char *const words[WORDS_MAX], struct failure *failure)
{
    int count = 0;
    while (count < WORDS_MAX && words[count] != NULL)
        count++;
    return options_parse(options, count, words, failure);
}

Test(bench_options, defaults_are_those_of_the_help_text)
{
    struct options options;
    struct failure failure = {0};
    cr_assert_eq(parse(&options, (char *[WORDS_MAX]){"b", "pubsub"}, &failure), ERR_OK);
    cr_expect_eq(options.command, COMMAND_PUBSUB);
    cr_expect_str_eq(options.host, "127.0.0.1");
    cr_expect_str_eq(options.port, "4222");
    cr_expect_eq(options.messages, 1000000);
    cr_expect_eq(options.size_bytes, 16);
    cr_expect_eq(options.publishers, 1);
    cr_expect_eq(options.subscribers, 1);
    cr_expect_eq(options.cpu, OPTION_CPU_ANY);
    cr_expect_eq(options.timeout_ns, 10000000000);
    cr_assert_eq(parse(&options, (char *[WORDS_MAX]){"b", "request"}, &failure), ERR_OK);
    cr_expect_eq(options.messages, 100000);
}

Test(bench_options, values_come_as_a_word_of_their_own_or_behind_an_equals_sign)
{
    struct options options;
    struct failure failure = {0};
    cr_assert_eq(
        parse(&options,
              (char *[WORDS_MAX]){"b", "pub", "--size=128", "--messages", "7", "--json", "--duration=0"},
              &failure),
        ERR_INVALID, "a duration of nothing");
    cr_assert_eq(
        parse(&options, (char *[WORDS_MAX]){"b", "pub", "--size=128", "--messages", "7", "--json"}, &failure),
        ERR_OK);
    cr_expect_eq(options.size_bytes, 128);
    cr_expect_eq(options.messages, 7);
    cr_expect(options.messages_given);
    cr_expect(options.json);
    cr_assert_eq(parse(&options, (char *[WORDS_MAX]){"b", "pub", "--duration", "1.25"}, &failure), ERR_OK);
    cr_expect_eq(options.duration_ns, 1250000000);
}

Test(bench_options, servers_are_split_into_host_and_port)
{
    static const struct {
        const char *server;
        const char *host; /* NULL: refused */
        const char *port;
    } rows[] = {
        {"localhost", "localhost", "4222"},
        {"localhost:99", "localhost", "99"},
        {"nats://10.0.0.1:4333", "10.0.0.1", "4333"},
        {"[::1]:4333", "::1", "4333"},
        {"[::1]", "::1", "4222"},
        {":4222", NULL, NULL},
        {"localhost:", NULL, NULL},
        {"localhost:0", NULL, NULL},
        {"localhost:65536", NULL, NULL},
        {"[::1", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct options options;
        struct failure failure = {0};
        enum err err =
            parse(&options, (char *[WORDS_MAX]){"b", "pub", "--server", (char *)rows[i].server}, &failure);
        cr_assert_eq(err, rows[i].host == NULL ? ERR_INVALID : ERR_OK, "%s", rows[i].server);
        if (rows[i].host == NULL)
            continue;
        cr_expect_str_eq(options.host, rows[i].host);
        cr_expect_str_eq(options.port, rows[i].port);
    }
}

Test(bench_options, what_makes_no_sense_is_refused_with_a_sentence)
{
    static char *const rows[][WORDS_MAX] = {
        {"b"},
        {"b", "publish"},
        {"b", "pub", "--nothing", "1"},
        {"b", "pub", "stray"},
        {"b", "pub", "--size"},
        {"b", "pub", "--size", "-1"},
        {"b", "pub", "--size", "67108865"},
        {"b", "pub", "--size", "1e3"},
        {"b", "pub", "--messages", "0"},
        {"b", "pub", "--messages", "99999999999999999999"},
        {"b", "pub", "--json=yes"},
        {"b", "pub", "--json", "--csv"},
        {"b", "pub", "--queue", "q"},
        {"b", "pub", "--messages", "5", "--duration", "5"},
        {"b", "pub", "--duration", "."},
        {"b", "pub", "--duration", "-1"},
        {"b", "pub", "--subject", "a b"},
        {"b", "pub", "--subject", "a.>"},
        {"b", "pub", "--subject", ""},
        {"b", "sub", "--duration", "1"},
        {"b", "sub", "--rate", "1"},
        {"b", "idle"},
        {"b", "pub", "--insecure"},
        {"b", "pub", "--tlsca", "x"},
        {"b", "pub", "--tls", "--tlscert", "x"},
        {"b", "pub", "--tls", "--tlskey", "x"},
        {"b", "relay-floor", "--tls"},
        {"b", "connect", "--subject", "x"},
        {"b", "connect", "--messages", "1"},
        {"b", "relay-floor", "--publishers", "2", "--subscribers", "3"},
        {"b", "relay-floor", "--server", "x"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct options options;
        struct failure failure = {0};
        cr_expect_eq(parse(&options, rows[i], &failure), ERR_INVALID, "row %zu", i);
        cr_expect_neq(failure.text[0], '\0', "row %zu", i);
    }
}

Test(bench_options, help_is_given_wherever_it_is_asked_for)
{
    static char *const rows[][WORDS_MAX] = {
        {"b", "help"}, {"b", "--help"}, {"b", "-h"}, {"b", "pub", "--help"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct options options;
        struct failure failure = {0};
        cr_expect_eq(parse(&options, rows[i], &failure), ERR_OK, "row %zu", i);
        cr_expect_eq(options.command, COMMAND_HELP, "row %zu", i);
    }
}

Test(bench_options, a_streaming_subscriber_may_start_anywhere)
{
    static const struct {
        const char *start;
        enum err err;
        bool first, last;
        uint64_t sequence;
    } rows[] = {
        {"first", ERR_OK, true, false, 0},   {"last", ERR_OK, false, true, 0},
        {"new", ERR_OK, false, false, 0},    {"17", ERR_OK, false, false, 17},
        {"0", ERR_INVALID, false, false, 0}, {"oldest", ERR_INVALID, false, false, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct options options;
        struct failure failure = {0};
        enum err err =
            parse(&options, (char *[WORDS_MAX]){"b", "stan-sub", "--start", (char *)rows[i].start}, &failure);
        cr_assert_eq(err, rows[i].err, "%s", rows[i].start);
        if (err != ERR_OK)
            continue;
        cr_expect_eq(options.start_first, rows[i].first, "%s", rows[i].start);
        cr_expect_eq(options.start_last, rows[i].last, "%s", rows[i].start);
        cr_expect_eq(options.start_sequence, rows[i].sequence, "%s", rows[i].start);
    }
    struct options options;
    struct failure failure = {0};
    cr_assert_eq(parse(&options, (char *[WORDS_MAX]){"b", "stan-sub"}, &failure), ERR_OK);
    cr_expect(options.start_first && options.max_in_flight == 1024);
}

Test(bench_options, the_floor_of_a_log_needs_a_folder_and_a_size)
{
    struct options options;
    struct failure failure = {0};
    cr_expect_eq(parse(&options, (char *[WORDS_MAX]){"b", "log-floor"}, &failure), ERR_INVALID);
    cr_expect_eq(
        parse(&options, (char *[WORDS_MAX]){"b", "log-floor", "--dir", ".", "--size", "0"}, &failure),
        ERR_INVALID);
    cr_expect_eq(parse(&options, (char *[WORDS_MAX]){"b", "log-floor", "--dir", "."}, &failure), ERR_OK);
    cr_expect_eq(parse(&options, (char *[WORDS_MAX]){"b", "pub", "--dir", "."}, &failure), ERR_INVALID);
}
