/* The `streaming` block and its flags (spec/streaming.md 18): values of the wrong type, what limits of a
 * channel leave out, and which of file and flags counts. The block of a cluster is in test_cluster_options.c.
 */
#include "shards/options.h"

#include <criterion/criterion.h>
#include <stdio.h>

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    (void)path;
    (void)why;
    *out = text(arena_copy(arena, text(context)));
    return ERR_OK;
}

/* `flags`: separated by single spaces. */
static struct server_options *load(const char *flags, const char *block, struct options_outcome *outcome)
{
    char line[256], file[512], *argv[16], *at = line;
    int argc = 0;
    struct server_options *options;
    snprintf(line, sizeof line, "myelin -c c.conf%s%s", flags[0] == 0 ? "" : " ", flags);
    snprintf(file, sizeof file, "streaming { %s }", block);
    struct config_source source = {.read = read_file, .context = file};
    while (at != NULL)
        argv[argc++] = strsep(&at, " ");
    argv[argc] = NULL;
    server_options_load_from(argc, argv, &source, &options, outcome);
    return options;
}

enum value { A_TEXT, A_NUMBER, A_BOOL, A_SIZE, A_DURATION, A_MAP };

/* Of each kind a good value, and those that are not. */
static const struct {
    const char *good;
    const char *wrong[4];
} values[] = {
    [A_TEXT] = {"\"FILE\"", {"5", "true", "[a]", "{}"}},
    [A_NUMBER] = {"5", {"\"x\"", "true", "1.5", "[5]"}},
    [A_BOOL] = {"true", {"5", "\"x\"", "[true]", "{}"}},
    [A_SIZE] = {"1024", {"\"x\"", "true", "[5]", "{}"}},
    [A_DURATION] = {"\"1s\"", {"\"5x\"", "\"x\"", "true", "[5]"}},
    [A_MAP] = {"{}", {"5", "\"x\"", "true", "[5]"}},
};

/* A name stands for %s. */
static const struct {
    const char *form;
    enum value value;
} names[] = {
    {"cluster_id: %s", A_TEXT},
    {"discover_prefix: %s", A_TEXT},
    {"dir: d, store: %s", A_TEXT},
    {"dir: %s", A_TEXT},
    {"stan_debug: %s", A_BOOL},
    {"stan_trace: %s", A_BOOL},
    {"hb_interval: %s", A_DURATION},
    {"hb_timeout: %s", A_DURATION},
    {"hb_fail_count: %s", A_NUMBER},
    {"replace_durable: %s", A_BOOL},
    {"username: %s", A_TEXT},
    {"nats_server_url: \"nats://127.0.0.1:1\", password: %s", A_TEXT},
    {"nats_server_url: \"nats://127.0.0.1:1\", token: %s", A_TEXT},
    {"nats_server_url: \"nats://127.0.0.1:1\", secure: %s", A_BOOL},
    {"tls: %s", A_MAP},
    {"tls { skip_verify: %s }", A_BOOL},
    {"tls { server_name: %s }", A_TEXT},
    {"store_limits: %s", A_MAP},
    {"store_limits { max_channels: %s }", A_NUMBER},
    {"store_limits { max_subs: %s }", A_NUMBER},
    {"store_limits { max_msgs: %s }", A_NUMBER},
    {"store_limits { max_bytes: %s }", A_SIZE},
    {"store_limits { max_age: %s }", A_DURATION},
    {"store_limits { max_inactivity: %s }", A_DURATION},
    {"store_limits { channels: %s }", A_MAP},
    {"store_limits { channels { foo: %s } }", A_MAP},
    {"store_limits { channels { foo { max_subs: %s } } }", A_NUMBER},
    {"store_limits { channels { foo { max_msgs: %s } } }", A_NUMBER},
    {"store_limits { channels { foo { max_bytes: %s } } }", A_SIZE},
    {"store_limits { channels { foo { max_age: %s } } }", A_DURATION},
    {"store_limits { channels { foo { max_inactivity: %s } } }", A_DURATION},
    {"file: %s", A_MAP},
    {"file { sync_on_flush: %s }", A_BOOL},
    {"file { auto_sync: %s }", A_DURATION},
    {"file { slice_max_bytes: %s }", A_SIZE},
    {"file { read_buffer_size: %s }", A_SIZE},
};

/* Row 151. */
Test(streaming_options, a_value_of_the_wrong_type_is_refused_with_its_place)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        for (size_t v = 0; v < 1 + COUNT_OF(values[0].wrong); v++) {
            const char *value = v == 0 ? values[names[i].value].good : values[names[i].value].wrong[v - 1];
            struct options_outcome outcome;
            char block[256];
            snprintf(block, sizeof block, names[i].form, value);
            struct server_options *options = load("", block, &outcome);
            const char *said = config_text_string(&outcome.err);
            cr_expect_eq(options != NULL, v == 0, "%s: %s", block, said);
            cr_expect(v == 0 || strstr(said, "c.conf:1:") != NULL, "%s: %s", block, said);
            server_options_free(options);
            options_outcome_close(&outcome);
        }
    }
}

/* Row 151: flags go before the file, also to say no. */
Test(streaming_options, a_flag_beats_the_file)
{
    static const char file[] = "cid: x, sd: true, sv: true, hbi: \"7s\", hbf: 3, replace_durable: true, "
                               "store_limits { mc: 5, ma: \"3s\" }, store: MEMORY";
    struct options_outcome outcome;
    struct server_options *options = load("", file, &outcome);
    cr_assert_not_null(options, "%s", config_text_string(&outcome.err));
    cr_expect(options->streaming.debug && options->streaming.trace && options->streaming.replace_durable);
    cr_expect_eq(options->streaming.channels_max, 5);
    server_options_free(options);
    options_outcome_close(&outcome);
    options = load("-SDV=false -cid y -hbi 9s -hbf 4 -replace_durable=false -mc 6 -ma 8s", file, &outcome);
    cr_assert_not_null(options, "%s", config_text_string(&outcome.err));
    const struct streaming_options *streaming = &options->streaming;
    cr_expect(!streaming->debug && !streaming->trace && !streaming->replace_durable);
    cr_expect_str_eq(streaming->cluster_id, "y");
    cr_expect_eq(streaming->heartbeat_interval_ns, 9000000000);
    cr_expect_eq(streaming->heartbeat_fail_max, 4);
    cr_expect_eq(streaming->channels_max, 6);
    cr_expect_eq(streaming->age_max_ns, 8000000000);
    server_options_free(options);
    options_outcome_close(&outcome);
}

/* Row 51. */
Test(streaming_options, zero_of_a_channel_is_no_limit_and_what_is_left_out_is_inherited)
{
    struct options_outcome outcome;
    struct server_options *options =
        load("", "store_limits { channels { foo { max_msgs: 0, max_age: \"0\", max_inactivity: \"0s\" } } }",
             &outcome);
    cr_assert_not_null(options, "%s", config_text_string(&outcome.err));
    cr_assert_eq(options->streaming.rule_count, 1);
    const struct store_limits_rule *rule = &options->streaming.rules[0];
    cr_expect_eq(rule->messages_max, 0);
    cr_expect_eq(rule->age_max_ns, 0);
    cr_expect_eq(rule->inactivity_max_ns, 0);
    cr_expect_eq(rule->bytes_max, LIMIT_INHERITED);
    cr_expect_eq(rule->subscriptions_max, LIMIT_INHERITED);
    server_options_free(options);
    options_outcome_close(&outcome);
}
