/* tests/unit/shards/test_gateway_options.c - the gateway block (spec/gateways.md 3, configuration.md 4). */
#include "core/base/language.h"
#include "core/config/parser.h"
#include "shards/options.h"

#include <criterion/criterion.h>
#include <stdio.h>

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    (void)path, (void)why;
    *out = text(arena_copy(arena, text(context)));
    return ERR_OK;
}

static struct server_options *load(const char *file, struct options_outcome *outcome)
{
    char *argv[] = {"nats-server", "-c", "g.conf", NULL};
    struct server_options *options;
    struct config_source source = {.read = read_file, .context = (void *)file};
    server_options_load_from(3, argv, &source, &options, outcome);
    return options;
}

struct good_case {
    const char *file;
    const char *host; /* NULL: none */
    int64_t port;
    const char *remotes; /* name, then its addresses, a blank behind each */
    double timeout_seconds;
};

static const struct good_case good_cases[] = {
    {"gateway { name: A, listen: \"127.0.0.1:7222\" }", "127.0.0.1", 7222, "", 2},
    {"gateway { name: A, listen: 7222 }", NULL, 7222, "", 2},
    {"gateway { name: A, net: h, port: -1, authorization { user: u, pass: p, timeout: 3 } }", "h", -1, "", 3},
    {"gateway { name: A, port: 1, gateways: [\n {name: B, url: \"nats://b:1\"}\n {name: A, urls: "
     "[\"nats://u:p@x:1\", \"nats://y:2\"]}\n ] }",
     NULL, 1, "B nats://b:1 A nats://x:1 nats://y:2 ", 2},
    {"gateway { name: A, port: 1 }\ncluster { name: A, port: 2 }", NULL, 1, "", 2},
    {"gateway { name: A, port: 1, connect_retries: -3, connect_backoff: true, reject_unknown_cluster: true, "
     "ping_interval: \"3s\", ping_max: 5, write_deadline: \"3s\", write_timeout: retry, advertise: \"h:1\" }",
     NULL, 1, "", 2},
};

Test(gateway_options, the_file_says_who_the_others_are)
{
    for (const struct good_case *c = good_cases; c < good_cases + COUNT_OF(good_cases); c++) {
        struct options_outcome outcome;
        struct server_options *o = load(c->file, &outcome);
        cr_assert_not_null(o, "%s: %s", c->file, config_text_string(&outcome.err));
        const struct gateway_options *gateway = &o->gateway;
        char remotes[256] = "";
        for (uint32_t i = 0; i < gateway->remote_count; i++) {
            snprintf(remotes + strlen(remotes), sizeof remotes - strlen(remotes), "%s ",
                     gateway->remotes[i].name);
            for (uint32_t j = 0; j < gateway->remotes[i].url_count; j++)
                snprintf(remotes + strlen(remotes), sizeof remotes - strlen(remotes), "%s ",
                         gateway->remotes[i].urls[j].text);
        }
        cr_expect(gateway->given);
        cr_expect_str_eq(gateway->name, "A");
        cr_expect_str_eq(gateway->host == NULL ? "-" : gateway->host, c->host == NULL ? "-" : c->host, "%s",
                         c->file);
        cr_expect_eq(gateway->port, c->port, "%s", c->file);
        cr_expect_str_eq(remotes, c->remotes, "%s: %s", c->file, remotes);
        cr_expect_eq(gateway->authentication_timeout_ns, (int64_t)(c->timeout_seconds * 1e9), "%s", c->file);
        cr_expect_str_eq(o->cluster.name, "A", "cluster and gateway have one name");
        server_options_free(o);
        options_outcome_close(&outcome);
    }
}

/* 0: the server's. Above 15 s it is that, with a warning, as in nats-server. */
struct ping_case {
    const char *file;
    int64_t interval_seconds;
    int64_t most;
    const char *warning; /* NULL: none */
};

static const struct ping_case ping_cases[] = {
    {"ping_interval: 3s\ngateway { name: A, port: 1 }", 0, 0, NULL},
    {"gateway { name: A, port: 1, ping_interval: \"15s\" }", 15, 0, NULL},
    {"gateway { name: A, port: 1, ping_interval: \"16s\", ping_max: 5 }", 15, 5,
     "invalid use of field \"ping_interval\": Gateway 'ping_interval' will reset to 15s which is the max for "
     "gateways"},
};

Test(gateway_options, pings_may_come_at_another_pace_than_clients_and_every_fifteen_seconds_at_least)
{
    for (const struct ping_case *c = ping_cases; c < ping_cases + COUNT_OF(ping_cases); c++) {
        struct options_outcome outcome;
        struct server_options *o = load(c->file, &outcome);
        const char *said = config_text_string(&outcome.err);
        cr_assert_not_null(o, "%s: %s", c->file, said);
        cr_expect_eq(o->gateway.ping_interval_ns, c->interval_seconds * 1000000000, "%s", c->file);
        cr_expect_eq(o->gateway.ping_max, c->most, "%s", c->file);
        cr_expect(c->warning == NULL ? said[0] == 0 : strstr(said, c->warning) != NULL, "%s: %s", c->file,
                  said);
        server_options_free(o);
        options_outcome_close(&outcome);
    }
}

struct bad_case {
    const char *file;
    const char *error; /* a part of it */
};

static const struct bad_case bad_cases[] = {
    {"gateway: 5", "Expected gateway to be a map, got int64"},
    {"gateway { listen: 5000 }", "nats-server: gateway has no name\n"},
    {"gateway {}", "nats-server: gateway has no name\n"},
    {"gateway { name: A }", "nats-server: gateway \"A\" has no port specified (select -1 for random port)\n"},
    {"gateway { name: \"A B\", port: 1 }", "gateway name cannot contain spaces"},
    {"gateway { name: A, port: 1, foo: 1 }", "unknown field \"foo\""},
    {"gateway { name: A, port: 1, gateways: 5 }", "Expected gateways field to be an array, got int64"},
    {"gateway { name: A, port: 1, gateways: [ {url: \"nats://h:1\"} ] }",
     "nats-server: gateway in the list 0 has no name\n"},
    {"gateway { name: A, port: 1, gateways: [ {name: B} ] }", "nats-server: gateway \"B\" has no URL\n"},
    {"gateway { name: A, port: 1, gateways: [ {name: B, urls: []} ] }",
     "nats-server: gateway \"B\" has no URL\n"},
    {"gateway { name: A, port: 1, gateways: [ {name: B, url: \"xx\"} ] }",
     "error parsing gateway url [\"xx\"]"},
    {"gateway { name: A, port: 1, gateways: [ {name: B, foo: 1} ] }", "unknown field \"foo\""},
    {"gateway { name: A, port: 1, authorization { users: [] } }",
     "Gateway authorization does not allow multiple users"},
    {"gateway { name: A, port: 1, authorization { token: t } }",
     "Gateway authorization does not support tokens"},
    {"gateway { name: A, port: 1, gateways: [ {name: B, url: \"nats://b:1\", tls { "
     "verify_cert_and_check_known_urls: true } } ] }",
     "verify_cert_and_check_known_urls not supported in this context"},
    {"gateway { name: A, port: 1 }\ncluster { name: B, port: 2 }",
     "nats-server: cluster name conflicts between cluster and gateway definitions\n"},
};

Test(gateway_options, what_is_wrong_is_said_as_by_nats_server)
{
    for (const struct bad_case *c = bad_cases; c < bad_cases + COUNT_OF(bad_cases); c++) {
        struct options_outcome outcome;
        struct server_options *o = load(c->file, &outcome);
        cr_expect_null(o, "%s", c->file);
        cr_expect_eq(outcome.exit_code, 1, "%s", c->file);
        cr_expect_not_null(strstr(config_text_string(&outcome.err), c->error), "%s: %s", c->file,
                           config_text_string(&outcome.err));
        server_options_free(o);
        options_outcome_close(&outcome);
    }
}

struct reload_case {
    const char *before;
    const char *after;
    bool refused;
};

static const struct reload_case reload_cases[] = {
    {"gateway { name: A, port: 1 }", "gateway { name: A, port: 1 }", false},
    {"gateway { name: A, port: 1 }", "gateway { name: A, port: 1 }\ndebug: true", false},
    {"gateway { name: A, port: 1 }", "gateway { name: A, port: 2 }", true},
    {"gateway { name: A, port: 1 }", "gateway { name: A, port: 1, reject_unknown: true }", true},
    {"gateway { name: A, port: 1 }", "gateway { name: A, port: 1, ping_interval: \"3s\" }", true},
    {"gateway { name: A, port: 1 }", "gateway { name: A, port: 1, ping_max: 3 }", true},
    {"gateway { name: A, port: 1 }", "gateway { name: A, port: 1, authorization { user: a, pass: b } }",
     true},
    {"gateway { name: A, port: 1, gateways: [ {name: B, url: \"nats://b:1\"} ] }",
     "gateway { name: A, port: 1, gateways: [ {name: B, url: \"nats://b:2\"} ] }", true},
    {"gateway { name: A, port: 1, gateways: [ {name: B, url: \"nats://b:1\"} ] }",
     "gateway { name: A, port: 1, gateways: [ {name: B, url: \"nats://b:1\"} ] }", false},
    {"port: 4222", "gateway { name: A, port: 1 }", true},
    {"gateway { name: A, port: 1, tls {} }",
     "gateway { name: A, port: 1, tls { verify_cert_and_check_known_urls: true } }", true},
    {"gateway { name: A, port: 1, tls { verify_cert_and_check_known_urls: true } }",
     "gateway { name: A, port: 1, tls { verify_cert_and_check_known_urls: true } }", false},
    {"gateway { name: A, port: 1, gateways: [ {name: B, url: \"nats://b:1\"}, {name: C, url: \"nats://c:1\"} "
     "] }",
     "gateway { name: A, port: 1, gateways: [ {name: C, url: \"nats://c:1\"}, {name: B, url: \"nats://b:1\"} "
     "] }",
     false},
    {"gateway { name: A, port: 1, gateways: [ {name: B, url: \"nats://b:1\"}, {name: C, url: \"nats://c:1\"} "
     "] }",
     "gateway { name: A, port: 1, gateways: [ {name: C, url: \"nats://c:1\"} ] }", true},
};

Test(gateway_options, nothing_but_certificates_changes_by_a_reload)
{
    for (const struct reload_case *c = reload_cases; c < reload_cases + COUNT_OF(reload_cases); c++) {
        char *argv[] = {"nats-server", "-c", "g.conf", NULL};
        struct options_outcome outcome;
        struct server_options *old = load(c->before, &outcome), *new = NULL;
        cr_assert_not_null(old, "%s", c->before);
        struct config_source source = {.read = read_file, .context = (void *)c->after};
        struct option_changes changes = {0};
        enum err err = server_options_reload_from(old, 3, argv, &source, &new, &changes);
        cr_expect_eq(err == ERR_INVALID, c->refused, "%s", c->after);
        for (uint32_t i = 0; new != NULL &&i < new->gateway.remote_count; i++)
            cr_expect_str_eq(new->gateway.remotes[i].name, old->gateway.remotes[i].name);
        if (c->refused)
            cr_expect_not_null(strstr(config_text_string(&changes.refusal), "not supported for"), "%s: %s",
                               c->after, config_text_string(&changes.refusal));
        server_options_free(new);
        server_options_free(old);
        option_changes_close(&changes);
        options_outcome_close(&outcome);
    }
}
