/* tests/unit/shards/test_options_faults.c - start and reload while memory runs out: no snapshot, or the right
 * one; an exit code that says failure; a reload that would be refused is never taken. */
#include "core/base/language.h"
#include "core/config/parser.h"
#include "shards/options.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    char *copy = arena_copy(arena, text(context));
    if (copy == NULL) {
        config_text_add(why, "read %s: out of memory", path);
        return ERR_MEMORY;
    }
    *out = text(copy);
    return ERR_OK;
}

static struct config_source source_of(const char *content)
{
    return (struct config_source){.read = read_file, .context = (void *)(uintptr_t)content};
}

static char *const arguments[] = {"nats-server", "-c",    "c.conf", "-n", "a_name",
                                  "-DV",         "--pid", "/tmp/p", NULL};
enum { ARGUMENTS = COUNT_OF(arguments) - 1 };

static const char full_file[] =
    "port: 4333\nhost: \"127.0.0.1\"\nserver_tags: [\"a\", \"b:c\"]\nping_interval: \"2m\"\nlog_size_limit: "
    "1MB\n"
    "authorization { timeout: 3, users = [ {user: ann, password: pa}, {user: bob, password: pb, permissions: "
    "{publish: [a, b.*], subscribe: {allow: \"c.> q\", deny: d}}} ], default_permissions: {publish: x} }\n"
    "write_deadline: 5\nmax_payload: 1MB\nno_auth_user: ann\n";

Test(options_faults, a_start_without_memory_fails_and_says_so, .timeout = 60)
{
    struct config_source source = source_of(full_file);
    FOR_EACH_FAULT(plan)
    {
        struct server_options *options = NULL;
        struct options_outcome outcome;
        server_options_load_from(ARGUMENTS, arguments, &source, &options, &outcome);
        if (options == NULL) {
            cr_assert(faults_met());
            cr_assert_eq(outcome.action, OPTIONS_EXIT);
            cr_assert_neq(outcome.exit_code, 0, "fault %u of kind %d: %s%s", plan.at, plan.kind,
                          config_text_string(&outcome.out), config_text_string(&outcome.err));
        } else {
            cr_assert_eq(outcome.action, OPTIONS_RUN);
            cr_assert_eq(options->port, 4333);
            cr_assert_str_eq(options->server_name, "a_name");
            cr_assert_str_eq(options->pid_file, "/tmp/p");
            cr_assert_eq(options->server_tag_count, 2);
            cr_assert_eq(options->security.users.count, 2);
            cr_assert(bytes_equal(options->security.users.last->password, TEXT("pb")));
            cr_assert_eq(options->net.write_deadline_ns, 5000000000);
            cr_assert(options->trace && options->debug);
        }
        server_options_free(options);
        options_outcome_close(&outcome);
    }
}

/* What is wrong stays wrong: neither a file nor a flag becomes right because there is no memory to say so. */
Test(options_faults, what_is_wrong_is_never_taken, .timeout = 60)
{
    static const struct {
        const char *file;
        const char *argument;
    } rows[] = {
        {"port: \"x\"\n", "-D"},
        {"unknown_thing: 1\n", "-D"},
        {"write_deadline: 5\nwrite_timeout: perhaps\n", "-D"},
        {"max_payload: 10000000000\n", "-D"},
        {"lame_duck_duration: \"1s\"\n", "-D"},
        {"authorization { users = [ {user: ann, password: pa}, {user: ann, password: pa} ] }\n", "-D"},
        {"no_auth_user: nobody\n", "-D"},
        {"server_name: \"a b\"\n", "-D"},
        {"port: 1\n", "--max_payload=x"},
        {"port: 1\n", "--no_such_flag"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *const wrong[] = {"nats-server", "-c", "c.conf", (char *)(uintptr_t)rows[i].argument, NULL};
        struct config_source source = source_of(rows[i].file);
        FOR_EACH_FAULT(plan)
        {
            struct server_options *options = NULL;
            struct options_outcome outcome;
            server_options_load_from(4, wrong, &source, &options, &outcome);
            cr_assert_null(options, "%s%s", rows[i].file, rows[i].argument);
            cr_assert_eq(outcome.action, OPTIONS_EXIT);
            cr_assert(faults_met() || outcome.err.count > 0);
            cr_assert_null(strstr(config_text_string(&outcome.err), err_text(ERR_OK)), "%s",
                           config_text_string(&outcome.err));
            options_outcome_close(&outcome);
        }
    }
}

static struct server_options *load_without_faults(const char *file)
{
    struct server_options *options = NULL;
    struct options_outcome outcome;
    struct config_source source = source_of(file);
    server_options_load_from(ARGUMENTS, arguments, &source, &options, &outcome);
    cr_assert_not_null(options, "%s", config_text_string(&outcome.err));
    options_outcome_close(&outcome);
    return options;
}

static void reload_faults(const char *now_text, bool allowed)
{
    struct server_options *old = load_without_faults(full_file);
    struct config_source source = source_of(now_text);
    FOR_EACH_FAULT(plan)
    {
        struct server_options *options = NULL;
        struct option_changes changes = {0};
        enum err err = server_options_reload_from(old, ARGUMENTS, arguments, &source, &options, &changes);
        cr_assert_eq(options != NULL, err == ERR_OK);
        cr_assert(err != ERR_OK || allowed, "a reload that must be refused was taken (fault %u of kind %d)",
                  plan.at, plan.kind);
        cr_assert(err == ERR_OK || !allowed || faults_met());
        if (err == ERR_OK) {
            cr_assert_eq(options->net.max_payload_bytes, 2097152);
            cr_assert_eq(changes.refusal.count, 0);
        }
        server_options_free(options);
        option_changes_close(&changes);
    }
    server_options_free(old);
}

Test(options_faults, a_reload_without_memory_is_refused_or_right, .timeout = 60)
{
    reload_faults("port: 4333\nhost: \"127.0.0.1\"\nserver_tags: [\"a\", \"b:c\"]\nping_interval: \"2m\"\n"
                  "log_size_limit: 1MB\nauthorization { timeout: 3, users = [ {user: ann, password: pa} ] }\n"
                  "write_deadline: 5\nmax_payload: 2MB\nno_auth_user: ann\n",
                  true);
}

Test(options_faults, a_reload_that_must_be_refused_is_never_taken, .timeout = 60)
{
    reload_faults("port: 4334\nhost: \"127.0.0.1\"\nmax_payload: 2MB\n", false);
    reload_faults("port: 4333\nhost: \"127.0.0.2\"\n", false);
}
