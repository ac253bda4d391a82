/* tests/unit/shards/test_cluster_options.c - the cluster block and its flags
 * (configuration.md 1.1, 3.3, 4.9). */
#include "core/base/language.h"
#include "core/config/parser.h"
#include "shards/options.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ARGUMENTS_MAX = 12 };

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    (void)path, (void)why;
    *out = text(arena_copy(arena, text(context)));
    return ERR_OK;
}

/* Arguments are separated by single spaces; '+' is a space inside one, '~' an empty one. */
static struct server_options *load(const char *arguments, const char *file, struct options_outcome *outcome)
{
    static char words[512];
    char *argv[ARGUMENTS_MAX + 1] = {"nats-server"};
    int argc = 1;
    struct server_options *options;
    struct config_source source = {.read = read_file, .context = (void *)file};
    snprintf(words, sizeof words, "%s%s", file == NULL ? "" : "-c c.conf ", arguments);
    for (char *at = words; at != NULL && argc < ARGUMENTS_MAX;) {
        char *word = strsep(&at, " ");
        if (word[0] == 0)
            continue;
        for (char *plus = word; (plus = strchr(plus, '+')) != NULL;)
            *plus = ' ';
        argv[argc++] = word[0] == '~' ? "" : word;
    }
    server_options_load_from(argc, argv, &source, &options, outcome);
    return options;
}

struct good_case {
    const char *arguments;
    const char *file;
    const char *name; /* NULL: none */
    const char *host; /* NULL: none */
    int64_t port;
    const char *user;
    const char *password;
    const char *routes; /* a blank behind each */
};

static const struct good_case good_cases[] = {
    {"", "port: 1", NULL, NULL, 0, "", "", ""},
    {"", "cluster { name: C, listen: \"127.0.0.1:6222\" }", "C", "127.0.0.1", 6222, "", "", ""},
    {"", "cluster { listen: 6222 }", NULL, NULL, 6222, "", "", ""},
    {"", "cluster { host: h, port: -1, routes: [\"nats://a:1\", \"nats-route://u:p@b:2\"] }", NULL, "h", -1,
     "", "", "nats://a:1 nats-route://b:2 "},
    {"", "cluster { port: 1, authorization { user: u, password: p, timeout: 3 } }", NULL, NULL, 1, "u", "p",
     ""},
    {"", "cluster { port: 1, compression: off, pool_size: -1 }", NULL, NULL, 1, "", "", ""},
    {"", "cluster { port: 1, compression: accept }", NULL, NULL, 1, "", "", ""},
    {"", "cluster { port: 1, pool_size: 5, accounts: [A, B] }", NULL, NULL, 1, "", "", ""},
    {"", "cluster { port: 1, compression: true }", NULL, NULL, 1, "", "", ""},
    {"", "cluster { port: 1, compression { mode: s2_auto, rtt_thresholds: [\"0s\", \"10ms\"] } }", NULL, NULL,
     1, "", "", ""},
    {"", "cluster { port: 1, accounts: A }", NULL, NULL, 1, "", "", ""},
    {"--cluster nats://h:7", NULL, NULL, "h", 7, "", "", ""},
    {"-cluster_listen nats-route://u:p@h:-1 --cluster_name N", NULL, "N", "h", -1, "u", "p", ""},
    {"--cluster nats://[::1]:7/ --routes nats://a:1,+nats://b:2", NULL, NULL, "::1", 7, "", "",
     "nats://a:1 nats://b:2 "},
    {"--cluster nats://h:7", "cluster { port: 1, authorization { user: u, password: p } }", NULL, "h", 7, "",
     "", ""},
    {"--cluster ~", "cluster { name: C, listen: \"h:1\" }", "C", "h", 0, "", "", ""},
    {"--routes ~", "cluster { port: 1, routes: [\"nats://a:1\"] }", NULL, NULL, 1, "", "", ""},
    {"--routes nats://z:9", "cluster { port: 1, routes: [\"nats://a:1\"] }", NULL, NULL, 1, "", "",
     "nats://z:9 "},
};

Test(cluster_options, file_and_flags_say_what_the_cluster_is)
{
    for (const struct good_case *c = good_cases; c < good_cases + COUNT_OF(good_cases); c++) {
        struct options_outcome outcome;
        struct server_options *o = load(c->arguments, c->file, &outcome);
        const char *shown = c->file == NULL ? c->arguments : c->file;
        cr_assert_not_null(o, "%s: %s", shown, config_text_string(&outcome.err));
        char routes[256] = "";
        for (uint32_t i = 0; i < o->cluster.route_count; i++)
            snprintf(routes + strlen(routes), sizeof routes - strlen(routes), "%s ",
                     o->cluster.routes[i].text);
        cr_expect_str_eq(o->cluster.name == NULL ? "-" : o->cluster.name, c->name == NULL ? "-" : c->name,
                         "%s", shown);
        cr_expect_str_eq(o->cluster.host == NULL ? "-" : o->cluster.host, c->host == NULL ? "-" : c->host,
                         "%s", shown);
        cr_expect_eq(o->cluster.port, c->port, "%s: %lld", shown, (long long)o->cluster.port);
        cr_expect(bytes_equal(o->cluster.user, text(c->user)), "%s", shown);
        cr_expect(bytes_equal(o->cluster.password, text(c->password)), "%s", shown);
        cr_expect_str_eq(routes, c->routes, "%s: %s", shown, routes);
        server_options_free(o);
        options_outcome_close(&outcome);
    }
}

struct bad_case {
    const char *arguments;
    const char *file;
    const char *error; /* a part of it */
};

static const struct bad_case bad_cases[] = {
    {"", "cluster: 5", "Expected map to define cluster, got int64"},
    {"", "cluster { port: 1, authorization { token: t } }", "Cluster authorization does not support tokens"},
    {"", "cluster { port: 1, authorization { users: [] } }",
     "Cluster authorization does not allow multiple users"},
    {"", "cluster { port: 1, authorization { auth_callout {} } }",
     "Cluster authorization does not support callouts"},
    {"", "cluster { port: 1, name: \"a b\" }", "cluster name cannot contain spaces"},
    {"", "cluster { port: 1, routes: \"nats://a:1\" }", "interface {} is string, not []interface {}"},
    {"", "cluster { port: 1, routes: [\"nats://a\"] }", "error parsing route url [\"nats://a\"]"},
    {"", "cluster { port: 1, compression: lz4 }", "unsupported compression mode \"lz4\""},
    {"", "cluster { port: 1, compression: 5 }",
     "field \"compression\" should be a boolean or a structure, got int64"},
    {"", "cluster { port: 1, compression { mode: s2_auto, rtts: [\"20ms\", \"10ms\"] } }",
     "RTT threshold values should be in ascending order"},
    {"", "cluster { port: 1, compression { mode: s2_auto, rtts: [\"0s\"] } }",
     "compression mode \"s2_auto\" requires at least one RTT threshold"},
    {"", "cluster { port: 1, compression { mode: s2_auto, rtts: [\"1s\", \"2s\", \"3s\", \"4s\", \"5s\"] } }",
     "compression mode \"s2_auto\" should have no more than 4 RTT thresholds"},
    {"", "cluster { port: 1, compression { nonsense: 1 } }", "unknown field \"nonsense\""},
    {"", "cluster { port: 1, pool_size: 33 }", "pool_size must be at most 32, not 33"},
    {"", "cluster { port: 1, pool_size: -1, accounts: [A] }",
     "pool_size cannot be negative if pinned accounts are specified"},
    {"", "cluster { port: 1, accounts: [A, B, A] }",
     "found duplicate account name \"A\" in pinned accounts list [\"A\" \"B\" \"A\"]"},
    {"", "cluster { port: 1, accounts: 5 }", "error parsing accounts: unsupported type int64"},
    {"", "cluster { port: 1, accounts: [5] }", "error parsing accounts: unsupported type in array int64"},
    {"", "cluster { port: 1, permissions { allow_responses: true } }",
     "Cluster permissions do not support dynamic responses"},
    {"", "cluster { port: 1, permissions: 5 }", "Expected permissions to be a map/struct"},
    {"", "cluster { port: 1, nonsense: 1 }", "unknown field \"nonsense\""},
    {"", "cluster { listen: \"h\" }", "could not parse address string \"h\""},
    {"", "cluster { routes: [\"nats://a:1\"] }",
     "solicited routes require cluster capabilities, e.g. --cluster"},
    {"--routes nats://a:1", NULL,
     "nats-server: solicited routes require cluster capabilities, e.g. --cluster\n"},
    {"--cluster 127.0.0.1:6222", NULL,
     "nats-server: parse \"127.0.0.1:6222\": first path segment in URL cannot contain colon\n"},
    {"--cluster nats://127.0.0.1", NULL, "nats-server: address 127.0.0.1: missing port in address\n"},
    {"--cluster nats://u@h:1", NULL, "nats-server: expected cluster password to be set\n"},
};

Test(cluster_options, what_is_wrong_is_said_as_by_nats_server)
{
    for (const struct bad_case *c = bad_cases; c < bad_cases + COUNT_OF(bad_cases); c++) {
        struct options_outcome outcome;
        struct server_options *o = load(c->arguments, c->file, &outcome);
        const char *shown = c->file == NULL ? c->arguments : c->file;
        cr_expect_null(o, "%s", shown);
        cr_expect_eq(outcome.exit_code, 1, "%s", shown);
        cr_expect_not_null(strstr(config_text_string(&outcome.err), c->error), "%s: %s", shown,
                           config_text_string(&outcome.err));
        server_options_free(o);
        options_outcome_close(&outcome);
    }
}

Test(cluster_options, a_route_given_twice_is_a_warning)
{
    struct options_outcome outcome;
    struct server_options *o =
        load("", "cluster { port: 1, routes: [\"nats://x:1\", \"nats://x:1\"] }", &outcome);
    cr_assert_not_null(o);
    cr_expect_eq(o->cluster.route_count, 1);
    cr_expect_not_null(strstr(config_text_string(&outcome.err),
                              "invalid use of field \"nats://x:1\": Duplicate route entry detected"));
    server_options_free(o);
    options_outcome_close(&outcome);
}

static const struct texts_case {
    const char *permissions;
    struct bytes import_allow, import_deny, export_allow, export_deny;
} texts_cases[] = {
    {"import: a", TEXT("a\0"), TEXT(""), TEXT(""), TEXT("")},
    {"import: [\"b.>\", a], export: {deny: \"c.*\"}", TEXT("b.>\0a\0"), TEXT(""), TEXT(""), TEXT("c.*\0")},
    {"import: {allow: [], deny: [x, y]}, export: z", TEXT(""), TEXT("x\0y\0"), TEXT("z\0"), TEXT("")},
    {"", TEXT(""), TEXT(""), TEXT(""), TEXT("")},
};

Test(cluster_options, permissions_are_kept_as_they_were_written)
{
    for (const struct texts_case *c = texts_cases; c < texts_cases + COUNT_OF(texts_cases); c++) {
        char written[256];
        struct options_outcome outcome;
        snprintf(written, sizeof written, "cluster { port: 1, permissions { %s } }", c->permissions);
        struct server_options *o = load("", written, &outcome);
        cr_assert_not_null(o, "%s", written);
        cr_expect(bytes_equal(o->cluster.imports.allow, c->import_allow), "%s", written);
        cr_expect(bytes_equal(o->cluster.imports.deny, c->import_deny), "%s", written);
        cr_expect(bytes_equal(o->cluster.exports.allow, c->export_allow), "%s", written);
        cr_expect(bytes_equal(o->cluster.exports.deny, c->export_deny), "%s", written);
        server_options_free(o);
        options_outcome_close(&outcome);
    }
}

struct reload_case {
    const char *before;
    const char *after;
    const char *refusal; /* NULL: may be taken over, and then */
    const char *lines;   /* the log says so about the cluster; empty: nothing */
};

static const struct reload_case reload_cases[] = {
    {"cluster { port: 1 }", "cluster { port: 1 }", NULL, ""},
    {"cluster { port: 1, tls {} }", "cluster { port: 1, tls { verify_cert_and_check_known_urls: true } }",
     NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, host: \"127.0.0.1\" }",
     "config reload not supported for cluster host: old=, new=127.0.0.1", ""},
    {"cluster { port: 1 }", "cluster { port: 2 }",
     "config reload not supported for cluster port: old=1, new=2", ""},
    {"cluster { port: 1 }", "port: 4222", "config reload not supported for cluster port: old=1, new=0", ""},
    {"cluster { port: 1 }", "cluster { port: 1, advertise: \"a:b:c\" }",
     "invalid Cluster.Advertise value of a:b:c, err=", ""},
    {"cluster { port: 1 }", "cluster { port: 1, routes: [\"nats://a:1\"] }", NULL,
     "Reloaded: cluster routes\n"},
    {"cluster { port: 1, routes: [\"nats://a:1\", \"nats://b:1\"] }",
     "cluster { port: 1, routes: [\"nats://b:1\", \"nats://a:1\"] }", NULL, ""},
    {"cluster { port: 1, routes: [\"nats://u:p@a:1\"] }", "cluster { port: 1, routes: [\"nats://u:q@a:1\"] }",
     NULL, "Reloaded: cluster routes\n"},
    {"cluster { port: 1 }", "cluster { port: 1, name: D }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, connect_retries: 3 }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, connect_backoff: true }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, no_advertise: true, routes: [\"nats://a:1\"] }", NULL,
     "Reloaded: cluster\nReloaded: cluster routes\n"},
    {"cluster { port: 1 }", "cluster { port: 1, advertise: \"a:1\" }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, authorization { timeout: 5 } }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, ping_interval: \"5s\" }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, ping_max: 5 }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, write_deadline: \"5s\" }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, write_timeout: close }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1, permissions { import: a } }", "cluster { port: 1, permissions { import: b } }", NULL,
     "Reloaded: cluster\n"},
    {"cluster { port: 1, permissions { import: a } }", "cluster { port: 1, permissions { import: a } }", NULL,
     ""},
    {"cluster { port: 1, permissions { import: a } }", "cluster { port: 1 }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, authorization { user: u, password: p } }", NULL,
     "Reloaded: cluster\n"},
    {"cluster { port: 1, authorization { user: u, password: p } }",
     "cluster { port: 1, authorization { user: u, password: q } }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, pool_size: 5 }", NULL, "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, compression: s2_fast }", NULL, "Reloaded: cluster\n"},
    {"accounts { A {}, B {} }, cluster { port: 1, accounts: [A, B] }",
     "accounts { A {}, B {} }, cluster { port: 1, accounts: [B, A] }", NULL, ""},
    {"accounts { A {} }, cluster { port: 1 }", "accounts { A {} }, cluster { port: 1, accounts: [A] }", NULL,
     "Reloaded: cluster\n"},
    {"cluster { port: 1 }", "cluster { port: 1, accounts: [A] }",
     "unable to add account \"A\" to the list of dedicated routes: account missing", ""},
};

/* The lines about the cluster. */
static void cluster_lines(const char *all, char *out, size_t capacity)
{
    size_t used = 0;
    out[0] = 0;
    for (const char *at = strstr(all, "Reloaded: cluster"); at != NULL;
         at = strstr(at + 1, "Reloaded: cluster")) {
        size_t count = (size_t)(strchrnul(at, '\n') - at) + 1;
        used += (size_t)snprintf(out + used, capacity - used, "%.*s", (int)count, at);
    }
}

Test(cluster_options, a_reload_changes_all_but_where_it_listens)
{
    for (const struct reload_case *c = reload_cases; c < reload_cases + COUNT_OF(reload_cases); c++) {
        struct options_outcome outcome;
        struct server_options *old = load("", c->before, &outcome), *new = NULL;
        struct option_changes changes;
        char *argv[] = {"nats-server", "-c", "c.conf", NULL};
        char lines[512];
        struct config_source source = {.read = read_file, .context = (void *)c->after};
        cr_assert_not_null(old);
        enum err err = server_options_reload_from(old, 3, argv, &source, &new, &changes);
        cr_expect_eq(err, c->refusal == NULL ? ERR_OK : ERR_INVALID, "%s: %s", c->after,
                     config_text_string(&changes.refusal));
        if (c->refusal != NULL)
            cr_expect_not_null(strstr(config_text_string(&changes.refusal), c->refusal), "%s",
                               config_text_string(&changes.refusal));
        cluster_lines(config_text_string(&changes.lines), lines, sizeof lines);
        cr_expect_str_eq(lines, c->lines, "%s: %s", c->after, lines);
        option_changes_close(&changes);
        server_options_free(new);
        server_options_free(old);
        options_outcome_close(&outcome);
    }
}
