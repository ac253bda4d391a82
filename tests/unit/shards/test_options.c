/* tests/unit/shards/test_options.c - command line, file, precedence, validation and reload of the whole table
 * (configuration.md 1, 3.3, 3.4, 4, 5), without a file, an environment or a process. */
#include "core/base/version.h"
#include "core/config/duration.h"
#include "core/config/parser.h"
#include "shards/options.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ARGUMENTS_MAX = 16 };

/* The one file there is is called c.conf; the context is its text. */
static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    if (strcmp(path, "c.conf") == 0) {
        *out = text(arena_copy(arena, text(context)));
        return ERR_OK;
    }
    if (strcmp(path, "nats.conf") == 0) { /* beside it: NATS's own */
        *out = text(arena_copy(arena, text("max_payload: 1234")));
        return ERR_OK;
    }
    config_text_add(why, "open %s: no such file or directory", path);
    return ERR_INVALID;
}

/* Arguments from one text, separated by single spaces; '+' stands for a space inside an argument. */
struct command {
    char text[256];
    char *argv[ARGUMENTS_MAX + 1];
    int argc;
};

static void command_split(struct command *command, const char *line)
{
    *command = (struct command){0};
    snprintf(command->text, sizeof(command->text), "%s", line);
    for (char *at = command->text; at != NULL && command->argc < ARGUMENTS_MAX;) {
        command->argv[command->argc++] = strsep(&at, " ");
    }
    for (int i = 0; i < command->argc; i++) {
        for (char *plus = command->argv[i]; (plus = strchr(plus, '+')) != NULL;)
            *plus = ' ';
    }
}

static struct server_options *load(const char *line, const char *file, struct options_outcome *outcome)
{
    struct command command;
    struct server_options *options;
    struct config_source source = {.read = read_file, .context = (void *)file};
    command_split(&command, line);
    server_options_load_from(command.argc, command.argv, &source, &options, outcome);
    return options;
}

/* ---- rows ---- */

Test(server_options, every_row_is_sound_and_every_name_is_unique)
{
    struct server_option_table table;
    server_option_table_init(&table);
    for (size_t g = 0; g < table.table.count; g++) {
        const struct option_group *group = &table.groups[g];
        for (size_t i = 0; i < group->count; i++) {
            const struct option *row = &group->rows[i];
            const char *name = row->name == NULL ? "" : row->name;
            cr_expect(row->name != NULL || row->flags != NULL || row->fallback != NULL,
                      "a row without any use");
            cr_expect(row->kind != OPTION_CUSTOM || row->parse != NULL, "%s cannot be read", name);
            cr_expect(row->kind != OPTION_WORD || row->words != NULL, "%s has no words", name);
            cr_expect(row->reload != RELOAD_NEVER || row->compare != NULL || row->kind != OPTION_CUSTOM,
                      "%s cannot be compared", name);
            cr_expect(row->least <= row->most, "%s has no value within its bounds", name);
            cr_expect(row->help == NULL || row->section != SECTION_NONE, "%s has help that nobody sees",
                      name);
        }
        for (size_t other = 0; other < g; other++) {
            for (size_t i = 0; i < group->count; i++) {
                for (size_t k = 0; k < table.groups[other].count; k++) {
                    const struct option *a = &group->rows[i], *b = &table.groups[other].rows[k];
                    cr_expect(a->name == NULL || b->name == NULL || strcmp(a->name, b->name) != 0, "%s twice",
                              a->name);
                }
            }
        }
    }
}

Test(server_options, defaults_are_those_of_nats_server)
{
    struct options_outcome outcome;
    struct server_options *o = load("nats-server", NULL, &outcome);
    cr_assert_not_null(o, "%s", config_text_string(&outcome.err));
    cr_expect_str_eq(o->host, "0.0.0.0");
    cr_expect_eq(o->port, 4222);
    cr_expect(o->logtime && !o->debug && !o->trace && !o->syslog);
    cr_expect_null(o->config_file);
    cr_expect_null(o->pid_file);
    cr_expect_eq(o->lame_duck_duration_ns, 120000000000);
    cr_expect_eq(o->lame_duck_grace_period_ns, 10000000000);
    cr_expect_eq(o->net.max_payload_bytes, 1048576);
    cr_expect_eq(o->net.max_pending_bytes, 67108864);
    cr_expect_eq(o->net.max_control_line_bytes, 4096);
    cr_expect_eq(o->net.max_connections, 65536);
    cr_expect_eq(o->net.max_subscription_tokens, 0);
    cr_expect_eq(o->net.max_closed_clients, 10000);
    cr_expect_eq(o->net.ping_interval_ns, 120000000000);
    cr_expect_eq(o->net.ping_max, 2);
    cr_expect_eq(o->net.write_deadline_ns, 10000000000);
    cr_expect(o->net.headers);
    cr_expect_eq(o->security.timeout_ns, 2000000000);
    cr_expect(o->pin && o->shards == 0 && o->busy_poll_ns == 30000);
    cr_expect(o->receive_buffer_bytes == 32768 && o->receive_buffers == 256);
    cr_expect(o->mailbox_bytes == 1048576 && o->match_cache_entries == 8192);
    server_options_free(o);
    options_outcome_close(&outcome);
}

/* ---- the command line ---- */

struct exit_case {
    const char *line;
    int exit_code;
    const char *out; /* how it begins; NULL: empty */
    const char *err; /* all of it; NULL: empty */
};

#define USAGE "\nUsage: nats-server [options]\n"

static const struct exit_case exit_cases[] = {
    {"nats-server -v", 0, "nats-server: v2.10.29\n", NULL},
    {"/usr/bin/nats-server --version", 0, "nats-server: v2.10.29\n", NULL},
    {"./myelin -v", 0, "myelin: v2.10.29 (Myelin " MYELIN_VERSION ")\n", NULL},
    {"nats-streaming-server -v", 0, "nats-streaming-server version 0.25.6, nats-server: v2.10.29\n", NULL},
    {"nats-server version", 0, "nats-server: v2.10.29\n", NULL},
    {"nats-server VERSION more", 0, "nats-server: v2.10.29\n", NULL},
    {"nats-server -h", 0, USAGE, NULL},
    {"nats-server help", 0, USAGE, NULL},
    {"nats-server -h -v", 0, "nats-server: v", NULL},
    {"nats-server -h=false -v", 0, "nats-server: v", NULL},
    {"nats-server -help_tls", 0, "\nTLS is configured", NULL},
    {"nats-server -foo", 0, USAGE, "flag provided but not defined: -foo\n"},
    {"nats-server --foo=x", 0, USAGE, "flag provided but not defined: -foo\n"},
    {"nats-server -VD", 0, USAGE, "flag provided but not defined: -VD\n"},
    {"nats-server -p", 0, USAGE, "flag needs an argument: -p\n"},
    {"nats-server -p abc", 0, USAGE, "invalid value \"abc\" for flag -p: parse error\n"},
    {"nats-server -p=", 0, USAGE, "invalid value \"\" for flag -p: parse error\n"},
    {"nats-server -p 1_0", 0, USAGE, "invalid value \"1_0\" for flag -p: parse error\n"},
    {"nats-server -p 08", 0, USAGE, "invalid value \"08\" for flag -p: parse error\n"},
    {"nats-server -p 0x10000000000000000", 0, USAGE,
     "invalid value \"0x10000000000000000\" for flag -p: value out of range\n"},
    {"nats-server -D=abc", 0, USAGE, "invalid boolean value \"abc\" for -D: parse error\n"},
    {"nats-server -D=yes", 0, USAGE, "invalid boolean value \"yes\" for -D: parse error\n"},
    {"nats-server ---p", 0, USAGE, "bad flag syntax: ---p\n"},
    {"nats-server -=x", 0, USAGE, "bad flag syntax: -=xxxxx\n"},
    {"nats-server -T false", 1, NULL, "nats-server: unrecognized command: \"false\"\n"},
    {"nats-server foo", 1, NULL, "nats-server: unrecognized command: \"foo\"\n"},
    {"nats-server - foo", 1, NULL, "nats-server: unrecognized command: \"-\"\n"},
    {"nats-server -- -p", 1, NULL, "nats-server: unrecognized command: \"-p\"\n"},
    {"/x/myelin foo", 1, NULL, "myelin: unrecognized command: \"foo\"\n"},
    {"nats-server -t", 1, NULL,
     "nats-server: must specify [-c, --config] option to check configuration file syntax\n"},
    {"nats-server -c nope.conf", 1, NULL, "nats-server: open nope.conf: no such file or directory\n"},
    {"nats-server -n a+b", 1, NULL, "nats-server: server name cannot contain spaces\n"},
    {"nats-server -p 99999", 1, NULL, "nats-server: port must be from -1 to 65535, not 99999\n"},
    {"nats-server --shards 63", 1, NULL, "nats-server: shards must be from 0 to 62, not 63\n"},
    {"nats-server --mailbox_bytes 100000", 1, NULL,
     "nats-server: mailbox_bytes must be a power of two, not 100000\n"},
    {"nats-server --busy_poll 2s", 1, NULL, "nats-server: busy_poll must be from 0s to 1s, not 2s\n"},
    {"nats-server -js", 1, NULL, "nats-server: flag -js is not supported by this version of Myelin\n"},
    {"nats-server --profile 6000", 1, NULL,
     "nats-server: flag -profile is not supported by this version of Myelin\n"},
    {"nats-server --routes", 0, USAGE, "flag needs an argument: -routes\n"},
};

Test(server_options, the_command_line_ends_runs_as_in_nats_server)
{
    for (size_t i = 0; i < COUNT_OF(exit_cases); i++) {
        const struct exit_case *c = &exit_cases[i];
        struct options_outcome outcome;
        struct server_options *options = load(c->line, NULL, &outcome);
        const char *out = config_text_string(&outcome.out), *err = config_text_string(&outcome.err);
        cr_expect_null(options, "%s", c->line);
        cr_expect_eq(outcome.action, OPTIONS_EXIT, "%s", c->line);
        cr_expect_eq(outcome.exit_code, c->exit_code, "%s: %d", c->line, outcome.exit_code);
        cr_expect(c->out == NULL ? *out == 0 : strncmp(out, c->out, strlen(c->out)) == 0, "%s: %s", c->line,
                  out);
        cr_expect_str_eq(err, c->err == NULL ? "" : c->err, "%s: %s", c->line, err);
        options_outcome_close(&outcome);
    }
}

Test(server_options, signal_is_handed_back)
{
    struct options_outcome outcome;
    cr_expect_null(load("nats-server -sl reload=/run/x.pid", NULL, &outcome));
    cr_expect_eq(outcome.action, OPTIONS_SIGNAL);
    options_outcome_close(&outcome);
}

Test(server_options, help_names_every_flag_that_works)
{
    struct options_outcome outcome;
    struct server_option_table table;
    server_option_table_init(&table);
    load("nats-server -h", NULL, &outcome);
    for (size_t g = 0; g < table.table.count; g++) {
        for (size_t i = 0; i < table.groups[g].count; i++) {
            const struct option *row = &table.groups[g].rows[i];
            if (row->flags == NULL || row->kind == OPTION_NOT_BUILT)
                continue;
            char first[64];
            snprintf(first, sizeof(first), "-%.*s", (int)strcspn(row->flags, " "), row->flags);
            cr_expect_not_null(strstr(config_text_string(&outcome.out), first), "%s", first);
        }
    }
    options_outcome_close(&outcome);
}

/* ---- file and flags ---- */

/* What a case looks at, as text. */
static const char *show(const struct server_options *o, const char *what)
{
    static char shown[256];
    char duration[DURATION_TEXT_BYTES_MAX];
    shown[0] = 0;
    if (strcmp(what, "address") == 0)
        snprintf(shown, sizeof(shown), "%s %lld", o->host, (long long)o->port);
    else if (strcmp(what, "log") == 0)
        snprintf(shown, sizeof(shown), "debug %d trace %d verbose %d time %d net %d", o->debug, o->trace,
                 o->trace_verbose, o->logtime, o->net.trace);
    else if (strcmp(what, "name") == 0)
        snprintf(shown, sizeof(shown), "%s", o->server_name == NULL ? "none" : o->server_name);
    else if (strcmp(what, "ping") == 0)
        snprintf(shown, sizeof(shown), "%s", duration_print(o->net.ping_interval_ns, duration));
    else if (strcmp(what, "auth") == 0)
        snprintf(shown, sizeof(shown), "%.*s/%.*s token %.*s users %u timeout %g",
                 BYTES_PRINTF(o->security.user), BYTES_PRINTF(o->security.password),
                 BYTES_PRINTF(o->security.token), o->security.users.count,
                 (double)o->security.timeout_ns / 1e9);
    else if (strcmp(what, "limits") == 0)
        snprintf(shown, sizeof(shown), "payload %lld connections %lld tokens %lld headers %d write %d",
                 (long long)o->net.max_payload_bytes, (long long)o->net.max_connections,
                 (long long)o->net.max_subscription_tokens, o->net.headers, o->net.write_timeout);
    else if (strcmp(what, "engine") == 0)
        snprintf(shown, sizeof(shown), "shards %lld poll %lld buffer %lld mailbox %lld pin %d",
                 (long long)o->shards, (long long)o->busy_poll_ns, (long long)o->receive_buffer_bytes,
                 (long long)o->mailbox_bytes, o->pin);
    else if (strcmp(what, "monitoring") == 0)
        snprintf(shown, sizeof(shown), "%s http %lld https %lld base %s",
                 o->http_host == NULL ? "" : o->http_host, (long long)o->http_port, (long long)o->https_port,
                 o->http_base_path == NULL ? "none" : o->http_base_path);
    else if (strcmp(what, "metadata") == 0)
        for (uint32_t i = 0; i < o->metadata_count; i++)
            snprintf(shown + strlen(shown), sizeof(shown) - strlen(shown), "%s=%.*s;", o->metadata[i].key,
                     BYTES_PRINTF(o->metadata[i].value));
    else if (strcmp(what, "trace") == 0)
        snprintf(shown, sizeof(shown), "%d %d %d", o->trace, o->trace_verbose, o->net.trace_headers);
    else if (strcmp(what, "tags") == 0)
        for (uint32_t i = 0; i < o->server_tag_count; i++)
            snprintf(shown + strlen(shown), sizeof(shown) - strlen(shown), "%.*s;",
                     BYTES_PRINTF(o->server_tags[i]));
    return shown;
}

struct value_case {
    const char *line;
    const char *file;
    const char *what;
    const char *shows;
};

#define WITH_FILE "nats-server -c c.conf"

static const struct value_case value_cases[] = {
    {WITH_FILE, "listen: 5", "address", "0.0.0.0 5"},
    {WITH_FILE, "listen: \"h:-1\"", "address", "h -1"},
    {WITH_FILE, "listen: \"[::1]:5\"", "address", "::1 5"},
    {WITH_FILE, "listen: \":5\"", "address", "0.0.0.0 5"},
    {WITH_FILE, "host: h\nlisten: 5", "address", "0.0.0.0 5"},
    {WITH_FILE, "net: h\nPORT: 0", "address", "h 4222"},
    {WITH_FILE " -p 6 -a x", "listen: \"h:5\"", "address", "x 6"},
    {WITH_FILE " -p 0x10", "port: 5", "address", "0.0.0.0 16"},
    {"nats-server -p 010 --addr=y", NULL, "address", "y 8"},
    {"nats-server -p 1 -port 2", NULL, "address", "0.0.0.0 2"},
    {"nats-server --p 0", NULL, "address", "0.0.0.0 4222"},
    {"nats-server --net ::1 -p -1", NULL, "address", "::1 -1"},
    {WITH_FILE, "logtime: false", "log", "debug 0 trace 0 verbose 0 time 0 net 0"},
    {WITH_FILE " -T", "logtime: false", "log", "debug 0 trace 0 verbose 0 time 1 net 0"},
    {WITH_FILE " -D=false", "debug: true", "log", "debug 0 trace 0 verbose 0 time 1 net 0"},
    {WITH_FILE " -DV", "debug: false", "log", "debug 1 trace 1 verbose 0 time 1 net 1"},
    {WITH_FILE, "trace_verbose: true", "log", "debug 0 trace 1 verbose 1 time 1 net 1"},
    {"nats-server -DVV -D=f", NULL, "log", "debug 0 trace 1 verbose 1 time 1 net 1"},
    {WITH_FILE, "server_name: s1", "name", "s1"},
    {WITH_FILE " -n s2", "server_name: s1", "name", "s2"},
    {"nats-server --name=a=b", NULL, "name", "a=b"},
    {WITH_FILE, "ping_interval: 1h30m", "ping", "1h30m0s"},
    {WITH_FILE, "ping_interval: \"100ms\"", "ping", "100ms"},
    {WITH_FILE, "ping_interval: 5", "ping", "5s"},
    {WITH_FILE, "authorization {user: u, pass: p, timeout: 1.5}", "auth", "u/p token  users 0 timeout 1.5"},
    {WITH_FILE, "authorization {token: $2a$11$x, timeout: \"3s\"}", "auth",
     "/ token $2a$11$x users 0 timeout 3"},
    {WITH_FILE, "authorization {users: [{user: a, password: b}, {username: c}]}", "auth",
     "/ token  users 2 timeout 2"},
    {WITH_FILE " --user u --pass p", "authorization {users: [{user: a}]}", "auth",
     "u/p token  users 1 timeout 2"},
    {"nats-server --auth t", NULL, "auth", "/ token t users 0 timeout 2"},
    {WITH_FILE, "U = {user: x}\nauthorization {users: [$U]}", "auth", "/ token  users 1 timeout 2"},
    {WITH_FILE,
     "max_payload: 64KB\nmax_conn: 5\nmax_sub_tokens: 3\nno_header_support: true\nwrite_timeout: Close",
     "limits", "payload 65536 connections 5 tokens 3 headers 0 write 1"},
    {WITH_FILE, "max_connections: 0\nmax_payload: 67108864", "limits",
     "payload 67108864 connections -1 tokens 0 headers 1 write 0"},
    {WITH_FILE, "shards: 4, busy_poll: \"50us\", mailbox_bytes: 64KB, pin: no", "engine",
     "shards 4 poll 50000 buffer 32768 mailbox 65536 pin 0"},
    {WITH_FILE " --shards 2 --receive_buffer_bytes 4KB", "shards: 4", "engine",
     "shards 2 poll 30000 buffer 4096 mailbox 1048576 pin 1"},
    {WITH_FILE, "server_tags: [a, b]", "tags", "a;b;"},
    {WITH_FILE, "server_tags: a", "tags", "a;"},
    {WITH_FILE, "server_metadata {region: eu, Rack: \"7 b\", \"a.b\": \"\"}", "metadata",
     "Rack=7 b;a.b=;region=eu;"},
    {WITH_FILE, "server_metadata {}", "metadata", ""},
    {WITH_FILE, "trace_headers: true", "trace", "1 0 1"},
    {WITH_FILE, "trace: true\ntrace_headers: false", "trace", "0 0 0"},
    {"nats-server", NULL, "monitoring", " http 0 https 0 base none"},
    {WITH_FILE, "http: 8222", "monitoring", " http 8222 https 0 base none"},
    {WITH_FILE, "http: \"h:-1\"\nhttp_base_path: /x", "monitoring", "h http -1 https 0 base /x"},
    {WITH_FILE, "https: \"[::1]:8443\"", "monitoring", "::1 http 0 https 8443 base none"},
    {WITH_FILE, "monitor_port: 5\nhttps_port: 6", "monitoring", " http 5 https 6 base none"},
    {WITH_FILE " -m 7", "http: \"h:5\"", "monitoring", "h http 7 https 0 base none"},
    {"nats-server -ms 8", NULL, "monitoring", " http 0 https 8 base none"},
    {WITH_FILE, "jetstream: disabled\nwebsocket: false\nprof_block_rate: 5\n", "address", "0.0.0.0 4222"},
};

Test(server_options, a_flag_beats_the_file_and_the_file_beats_the_default)
{
    for (size_t i = 0; i < COUNT_OF(value_cases); i++) {
        const struct value_case *c = &value_cases[i];
        struct options_outcome outcome;
        struct server_options *options = load(c->line, c->file, &outcome);
        cr_expect_not_null(options, "%s\n%s: %s", c->line, c->file, config_text_string(&outcome.err));
        if (options != NULL)
            cr_expect_str_eq(show(options, c->what), c->shows, "%s\n%s: %s", c->line, c->file,
                             show(options, c->what));
        server_options_free(options);
        options_outcome_close(&outcome);
    }
}

/* ---- errors in files: the text behind "nats-server: ", of -t ---- */

#define ACCOUNT "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT"
#define NKEY "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"

struct error_case {
    const char *file;
    const char *err;
};

static const struct error_case error_cases[] = {
    {"", "c.conf: config has no values or is empty\n"},
    {"foo: 1\nbar: 2", "c.conf:1:0: unknown field \"foo\"\nc.conf:2:1: unknown field \"bar\"\n"},
    {"foo\"x: 1", "c.conf:1:0: unknown field \"foo\\\"x\"\n"},
    {"authorization{user: a}", "c.conf:1:0: unknown field \"authorization{user\"\n"},
    {"port: \"1\"", "c.conf:1:0: interface conversion: interface {} is string, not int64\n"},
    {"debug: 1", "c.conf:1:0: interface conversion: interface {} is int64, not bool\n"},
    {"host: [a]", "c.conf:1:0: interface conversion: interface {} is []interface {}, not string\n"},
    {"authorization: true",
     "c.conf:1:0: interface conversion: interface {} is bool, not map[string]interface {}\n"},
    {"max_payload: 1.5", "c.conf:1:0: interface conversion: interface {} is float64, not int64\n"},
    {"max_payload: 3GB", "c.conf:1:0: max_payload value is too big\n"},
    {"max_sub_tokens: 256", "c.conf:1:0: max_sub_tokens value is too big\n"},
    {"max_sub_tokens: -1", "c.conf:1:0: max_sub_tokens value can not be negative\n"},
    {"ping_interval: \"5x\"",
     "c.conf:1:0: error parsing ping_interval: time: unknown unit \"x\" in duration \"5x\"\n"},
    {"foo: 1\nping_interval: 5",
     "c.conf:2:1: invalid use of field \"ping_interval\": ping_interval should be "
     "converted to a duration\nc.conf:1:0: unknown field \"foo\"\n"},
    {"lame_duck_duration: 10s", "c.conf:1:0: invalid lame_duck_duration of 10s, minimum is 30 seconds\n"},
    {"lame_duck_duration: 10", "c.conf:1:0: interface conversion: interface {} is int64, not string\n"},
    {"lame_duck_grace_period: \"-1s\"", "c.conf:1:0: invalid lame_duck_grace_period, needs to be positive\n"},
    {"write_timeout: foo", "c.conf:1:0: write_timeout must be 'default', 'close' or 'retry'\n"},
    {"listen: \"abc\"", "c.conf:1:0: could not parse address string \"abc\"\n"},
    {"listen: \"::1:5\"", "c.conf:1:0: could not parse address string \"::1:5\"\n"},
    {"listen: \"127.0.0.1:abc\"", "c.conf:1:0: could not parse port \"abc\"\n"},
    {"listen: 1.5", "c.conf:1:0: expected port or host:port, got float64\n"},
    {"port: 99999", "c.conf:1:0: port must be from -1 to 65535, not 99999\n"},
    {"server_name: \"a b\"", "c.conf:1:0: server name cannot contain spaces\n"},
    {"server_tags: 5", "c.conf:1:0: error parsing tags: unsupported type int64\n"},
    {"server_metadata: 5", "c.conf:1:0: error parsing metadata: unsupported type int64\n"},
    {"server_metadata {a: 5}", "c.conf:1:17: interface conversion: interface {} is int64, not string\n"},
    {"server_metadata {a: \"b\\x00\"}", "c.conf:1:17: a must not contain a zero byte\n"},
    {"trace_headers: 5", "c.conf:1:0: interface conversion: interface {} is int64, not bool\n"},
    {"pid_file: \"a\\x00b\"", "c.conf:1:0: pid_file must not contain a zero byte\n"},
    {"receive_buffers: 100", "c.conf:1:0: receive_buffers must be a power of two, not 100\n"},
    {"tls {cert_file: a}", "c.conf:1:0: missing 'key_file' in TLS configuration\n"},
    {"Mqtt {port: 1}\nws {}", "c.conf:1:0: field \"Mqtt\" is not supported by this version of Myelin\n"
                              "c.conf:2:1: field \"ws\" is not supported by this version of Myelin\n"},
    {"authorization {user: a, token: b}", "c.conf:1:0: Cannot have a user/pass and token\n"},
    {"authorization {user: a, users: [{user: c}]}",
     "c.conf:1:0: Can not have a single user/pass and a users array\n"},
    {"authorization {token: b, users: [{user: c}]}", "c.conf:1:0: Can not have a token and a users array\n"},
    {"authorization {users: [{user: a}, {user: b}, {user: a}]}",
     "c.conf:1:0: Duplicate user \"a\" detected\n"},
    {"authorization {users: [{password: c}]}", "c.conf:1:24: User entry requires a user\n"},
    {"authorization {users: [{}]}", "c.conf:1:25: User entry requires a user\n"},
    {"authorization {users: [\"a\"]}", "c.conf:1:24: Expected user entry to be a map/struct, got string\n"},
    {"authorization {users: 5}", "c.conf:1:15: Expected users field to be an array, got int64\n"},
    {"authorization {users: [{user: a, foo: b}]}", "c.conf:1:33: unknown field \"foo\"\n"},
    {"authorization {users: [{user: a, proxy_required: 5}]}",
     "c.conf:1:33: interface conversion: interface {} is int64, not bool\n"},
    {"authorization {auth_callout {issuer: A}}",
     "c.conf:1:29: Expected callout user to be a valid public account nkey, got \"A\"\n"},
    {"authorization {auth_callout {issuer: SAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y}}",
     "c.conf:1:29: Expected callout user to be a valid public account nkey, got \"xxxxx\"\n"},
    {"authorization {auth_callout {auth_users: [a]}}",
     "c.conf:1:15: Authorization callouts require an issuer to be specified\n"},
    {"authorization {auth_callout {issuer: " ACCOUNT "}}",
     "c.conf:1:15: Authorization callouts require authorized users to be specified\n"},
    {"authorization {auth_callout {issuer: " ACCOUNT ", auth_users: a}}",
     "c.conf:1:95: Expected auth_users field to be an array, got string\n"},
    {"authorization {auth_callout {issuer: " ACCOUNT ", users: [a], key: " ACCOUNT "}}",
     "c.conf:1:107: Expected callout xkey to be a valid public xkey, got \"" ACCOUNT "\"\n"},
    {"authorization {auth_callout {issuer: " ACCOUNT ", users: [a], zzz: 1}}",
     "c.conf:1:107: unknown field \"zzz\"\n"},
    {"authorization {auth_callout [a]}",
     "c.conf:1:15: Expected authorization callout to be a map/struct, got []interface {}\n"},
    {"authorization {users: [{nkey: foo}]}", "c.conf:1:24: Not a valid public nkey for a user\n"},
    {"authorization {users: [{nkey: " NKEY "},{nkey: " NKEY "}]}",
     "c.conf:1:0: Duplicate nkey \"" NKEY "\" detected\n"},
    {"authorization {users: [{nkey: " NKEY ", password: x}]}",
     "c.conf:1:24: Nkey users do not take usernames or passwords\n"},
    {"authorization {users: [{user: a, clients: [foo, standard, \"b r\" ]}]}",
     "c.conf:1:33: invalid connection types [\"FOO\" \"B R\"]\n"},
    {"authorization {users: [{user: a, clients: 5}]}",
     "c.conf:1:33: error parsing allowed connection types: unsupported type int64\n"},
    {"authorization {users: [{user: a, permissions: {publish: \"a..b\"}}]}",
     "c.conf:1:47: subject \"a..b\" is not a valid subject\n"},
    {"authorization {foo: b}", "c.conf:1:15: unknown field \"foo\"\n"},
    {"authorization {timeout: true}",
     "c.conf:1:15: error parsing authorization config, 'timeout' wrong type\n"},
    {"authorization {timeout: \"2x\"}", "c.conf:1:15: error parsing authorization config, 'timeout' time: "
                                        "unknown unit \"x\" in duration \"2x\"\n"},
    {"authorization {timeout: 90}",
     "c.conf:1:15: invalid use of field \"timeout\": timeout of 90 (90.000000 seconds) is high, consider "
     "keeping it "
     "under 60 seconds. possibly caused by unquoted duration; use '1m' instead of 1m, for example\n"},
    {"a: b c",
     "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got "
     "'c' instead.'"},
};

Test(server_options, a_wrong_file_is_refused_with_position_and_sentence)
{
    for (size_t i = 0; i < COUNT_OF(error_cases); i++) {
        struct options_outcome outcome;
        char wanted[1024];
        snprintf(wanted, sizeof(wanted), "nats-server: %s\n", error_cases[i].err);
        cr_expect_null(load("nats-server -t -c c.conf", error_cases[i].file, &outcome));
        cr_expect_eq(outcome.exit_code, 1);
        cr_expect_str_eq(config_text_string(&outcome.err), wanted, "%s\n%s", error_cases[i].file,
                         config_text_string(&outcome.err));
        options_outcome_close(&outcome);
    }
}

Test(server_options, a_valid_file_is_reported_with_its_digest)
{
    struct options_outcome outcome;
    cr_expect_null(load("nats-server -t -c c.conf", "port: 4222", &outcome));
    cr_expect_eq(outcome.exit_code, 0);
    cr_expect_str_eq(config_text_string(&outcome.err),
                     "nats-server: configuration file c.conf is valid "
                     "(sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e)\n");
    options_outcome_close(&outcome);
}

Test(server_options, warnings_do_not_stop_a_start)
{
    struct options_outcome outcome;
    struct server_options *options = load("nats-server -c c.conf", "ping_interval: 5", &outcome);
    cr_assert_not_null(options);
    cr_expect_str_eq(config_text_string(&outcome.err), "c.conf:1:0: invalid use of field \"ping_interval\": "
                                                       "ping_interval should be converted to a duration\n");
    server_options_free(options);
    options_outcome_close(&outcome);
}

static const struct error_case validation_cases[] = {
    {"lame_duck_duration: 30s\nlame_duck_grace_period: 40s",
     "lame duck grace period (40s) should be strictly lower than lame duck duration (30s)"},
    {"max_pending: 1024", "max_payload (1048576) cannot be higher than max_pending (1024)"},
    {"no_auth_user: bob", "no_auth_user: \"bob\" present, but users/nkeys are not defined"},
    {"no_auth_user: bob\nauthorization {users: [{user: a}]}",
     "no_auth_user: \"bob\" not present as user or nkey in authorization block or account configuration"},
};

Test(server_options, options_that_contradict_each_other_pass_the_check_and_fail_at_start)
{
    for (size_t i = 0; i < COUNT_OF(validation_cases); i++) {
        struct options_outcome outcome;
        char wanted[256];
        snprintf(wanted, sizeof(wanted), "nats-server: %s\n", validation_cases[i].err);
        cr_expect_null(load("nats-server -c c.conf", validation_cases[i].file, &outcome));
        cr_expect_str_eq(config_text_string(&outcome.err), wanted);
        options_outcome_close(&outcome);
        cr_expect_null(load("nats-server -t -c c.conf", validation_cases[i].file, &outcome));
        cr_expect_eq(outcome.exit_code, 0, "%s", validation_cases[i].file);
        options_outcome_close(&outcome);
    }
}

/* ---- reload ---- */

#define ALWAYS "Reloaded: authorization users\nReloaded: accounts\n"

struct reload_case {
    const char *line;
    const char *before;
    const char *after;
    const char *lines; /* without those that every reload brings; NULL: refused */
    const char *refusal;
};

static const struct reload_case reload_cases[] = {
    {WITH_FILE, "port: 1", "port: 1", "", NULL},
    {WITH_FILE, "port: -1", "port: -1\ndebug: true", "Reloaded: debug = true\n", NULL},
    {WITH_FILE, "port: 1", "port: 1\nping_interval: 60", "Reloaded: ping_interval = 1m0s\n", NULL},
    {WITH_FILE, "port: 1", "port: 1\nping_interval: \"1m\"\nmax_payload: 1KB",
     "Reloaded: ping_interval = 1m0s\nReloaded: max_payload = 1024\n", NULL},
    {WITH_FILE, "port: 1", "port: 1\nmax_connections: 0", "Reloaded: max_connections = -1\n", NULL},
    {WITH_FILE, "port: 1", "port: 1\nclient_advertise: \"1.2.3.4:5\"",
     "Reload: client_advertise = 1.2.3.4:5\n", NULL},
    {WITH_FILE, "trace: true", "trace_verbose: true\nlogtime: false",
     "Reloaded: trace_verbose = true\nReloaded: logtime = false\n", NULL},
    {WITH_FILE, "server_metadata {a: b}", "server_metadata {a: c}\ntrace_headers: true",
     "Reloaded: metadata\nReloaded: trace = true\nReloaded: trace_headers = true\n", NULL},
    {WITH_FILE, "port: 1", "port: 1\nocsp: false", "Reloaded: OCSP\n", NULL},
    {WITH_FILE, "server_metadata {a: b, c: d}", "server_metadata {c: d, a: b}", "", NULL},
    {WITH_FILE, "pid_file: a", "pid_file: b\nserver_tags: x\nno_fast_producer_stall: true",
     "Reloaded: tags\nReloaded: pid_file = b\nReloaded: fast producers will not be stalled\n", NULL},
    {WITH_FILE, "port: 1", "port: 1\nauthorization {user: a, password: b, timeout: 5}",
     "Reloaded: authorization username\nReloaded: authorization password\nReloaded: authorization timeout = "
     "5\n",
     NULL},
    {WITH_FILE, "port: 1", "port: 1\nmax_subs: 5", NULL,
     "config reload not supported for MaxSubs: old=0, new=5"},
    {WITH_FILE, "port: 1", "port: 2\ndebug: true", NULL,
     "config reload not supported for Port: old=1, new=2"},
    {WITH_FILE, "port: 1", "port: 1\nlame_duck_duration: \"1m\"", NULL,
     "config reload not supported for LameDuckDuration: old=2m0s, new=1m0s"},
    {WITH_FILE, "port: 1", "port: 1\nno_header_support: true", NULL,
     "config reload not supported for NoHeaderSupport: old=false, new=true"},
    {WITH_FILE, "port: 1", "port: 1\nserver_name: a", NULL,
     "config reload not supported for ServerName: old=, new=a"},
    {WITH_FILE, "port: 1", "port: 1\nwrite_timeout: close", NULL,
     "config reload not supported for WriteTimeout: old=default, new=close"},
    {WITH_FILE, "port: 1", "port: 1\nshards: 3", NULL,
     "config reload not supported for shards: old=0, new=3"},
    {WITH_FILE, "authorization {users: [{user: a}]}", "authorization {users: [{user: a}]}\nno_auth_user: a",
     NULL, "config reload not supported for NoAuthUser: old=, new=a"},
    {WITH_FILE, "authorization {users: [{user: a}, {user: b}]}\nno_auth_user: a",
     "authorization {users: [{user: b}]}", "", NULL},
    {WITH_FILE, "authorization {user: a, password: b, proxy_required: true}",
     "authorization {user: a, password: b}", NULL,
     "config reload not supported for ProxyRequired: old=true, new=false"},
    {WITH_FILE, "proxies {trusted: [{key: " NKEY "}]}", "proxies {trusted: []}",
     "Reloaded: proxies trusted keys [\"" NKEY "\"] were removed\n", NULL},
    {WITH_FILE, "http: 1", "http: 2", NULL, "config reload not supported for HTTPPort: old=1, new=2"},
    {WITH_FILE, "http: \"a:1\"", "http: \"b:1\"", NULL,
     "config reload not supported for HTTPHost: old=a, new=b"},
    {WITH_FILE, "https_port: 1", "", NULL, "config reload not supported for HTTPSPort: old=1, new=0"},
    {WITH_FILE, "http_base_path: a", "http_base_path: b", NULL,
     "config reload not supported for HTTPBasePath: old=a, new=b"},
    {WITH_FILE, "port: 1", "port: 1\nfoo: 1", NULL, "c.conf:2:1: unknown field \"foo\""},
    {WITH_FILE, "port: 1", "port: 1\nmax_pending: 1", NULL,
     "max_payload (1048576) cannot be higher than max_pending (1)"},
    {WITH_FILE " -p 7 -n foo --max_traced_msg_len 5 -D=false", "port: 1", "port: 2\ndebug: true", "", NULL},
    {"nats-server", NULL, NULL, NULL, "can only reload config when a file is provided using -c or --config"},
};

Test(server_options, a_reload_says_what_changes_or_is_refused_as_a_whole)
{
    for (size_t i = 0; i < COUNT_OF(reload_cases); i++) {
        const struct reload_case *c = &reload_cases[i];
        struct options_outcome outcome;
        struct command command;
        struct server_options *old = load(c->line, c->before, &outcome), *new;
        struct config_source source = {.read = read_file, .context = (void *)c->after};
        struct option_changes changes;
        cr_assert_not_null(old, "%s", config_text_string(&outcome.err));
        command_split(&command, c->line);
        enum err err = server_options_reload_from(old, command.argc, command.argv, &source, &new, &changes);
        const char *lines = config_text_string(&changes.lines),
                   *refusal = config_text_string(&changes.refusal);
        cr_expect_eq(err == ERR_OK, c->lines != NULL, "%s: %s%s", c->after, lines, refusal);
        cr_expect_eq(new != NULL, err == ERR_OK);
        if (err != ERR_OK) {
            static const char start[] = "Failed to reload server configuration: ";
            cr_expect_eq(strncmp(refusal, start, strlen(start)), 0);
            cr_expect(c->refusal != NULL && strstr(refusal, c->refusal) != NULL, "%s: %s", c->after, refusal);
            cr_expect_eq(changes.lines.count, 0);
        } else if (c->lines != NULL) {
            /* Every line that was asked for, those of every reload, and the digest as the last. */
            struct config_text left = {0};
            config_text_add(&left, "%s", c->lines);
            for (char *at = left.data, *line; at != NULL && (line = strsep(&at, "\n")) != NULL && *line != 0;)
                cr_expect_not_null(strstr(lines, line), "%s: %s misses %s", c->after, lines, line);
            cr_expect_not_null(strstr(lines, ALWAYS), "%s", lines);
            cr_expect_not_null(strstr(lines, "Reloaded server configuration (sha256:"));
            size_t digest = strlen("Reloaded server configuration (sha256:") + 64 + strlen(")\n");
            cr_expect_eq(strlen(lines), strlen(c->lines) + strlen(ALWAYS) + digest, "%s: %s", c->after,
                         lines);
            config_text_close(&left);
        }
        option_changes_close(&changes);
        server_options_free(new);
        server_options_free(old);
        options_outcome_close(&outcome);
    }
}

/* ---- the file of the streaming service ---- */

struct streaming_row {
    const char *line, *file;
    const char *cluster_id; /* NULL: refused */
    int64_t payload_bytes;
};

static const struct streaming_row streaming_rows[] = {
    /* One file serves both. */
    {"myelin -sc c.conf", "streaming { cid: x }\nmax_payload: 5000", "x", 5000},
    {"myelin -stan_config c.conf", "cid: x\nmax_payload: 5000", "x", 5000},
    {"nats-streaming-server -c c.conf", "streaming { cid: x }\nmax_payload: 5000", "x", 5000},
    {"myelin -sc c.conf -cid y", "cid: x", "y", 1048576},
    /* Each is read for its own part. */
    {"myelin -c nats.conf -sc c.conf", "cid: x", "x", 1234},
    {"myelin -c nats.conf -sc c.conf", "streaming { cid: x }\nmax_payload: 5000", "x", 1234},
    {"myelin -c nats.conf -sc c.conf", "cid: x\nmax_payload: 5000", NULL, 0},
    {"myelin -sc c.conf", "no_such_thing: 5000", NULL, 0},
    {"myelin -sc c.conf", "streaming: 5", NULL, 0},
    {"myelin -sc missing.conf", "", NULL, 0},
};

Test(server_options, streaming_may_have_a_file_of_its_own)
{
    for (size_t i = 0; i < COUNT_OF(streaming_rows); i++) {
        const struct streaming_row *row = &streaming_rows[i];
        struct options_outcome outcome;
        struct server_options *options = load(row->line, row->file, &outcome);
        cr_expect_eq(options != NULL, row->cluster_id != NULL, "%s with %s", row->line, row->file);
        if (options != NULL) {
            cr_expect(options->streaming.on);
            cr_expect_str_eq(options->streaming.cluster_id, row->cluster_id, "%s", row->file);
            cr_expect_eq(options->net.max_payload_bytes, row->payload_bytes, "%s", row->file);
            cr_expect_str_eq(options->config_file,
                             strstr(row->line, "nats.conf") == NULL ? "c.conf" : "nats.conf");
        }
        server_options_free(options);
        options_outcome_close(&outcome);
    }
}
