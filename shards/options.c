/* shards/options.c - joins the rows of all modules, and goes from a command line to a snapshot. */
#include "shards/options.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/quote.h"
#include "core/base/version.h"
#include "core/config/duration.h"
#include "core/config/flags.h"
#include "shards/tools/tool.h"

#include <strings.h>

/* For --help_tls. */
#define TLS_HELP                                                                                             \
    "\nTLS is configured in the tls section of the configuration file, for example\n\n"                      \
    "    tls {\n"                                                                                            \
    "        cert_file: \"server-cert.pem\"\n"                                                               \
    "        key_file:  \"server-key.pem\"\n"                                                                \
    "        ca_file:   \"ca.pem\"    # who signs clients' certificates\n"                                   \
    "        verify:    true        # clients need one; \"optional\": those that show one are checked\n"     \
    "        timeout:   2           # seconds for a handshake\n"                                             \
    "    }\n\n"                                                                                              \
    "or by --tls --tlscert --tlskey --tlscacert --tlsverify. More keys: certs, verify_and_map, "             \
    "min_version,\n"                                                                                         \
    "cipher_suites, curve_preferences, pinned_certs, handshake_first, connection_rate_limit.\n"              \
    "Suites and curves have their IANA and Go names: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, X25519, "        \
    "CurveP256.\n\n"

#define LOGIN_NS (2 * NS_PER_SECOND) /* to authenticate, when the file does not say */

/* One attempt to make a snapshot. */
struct load {
    const struct config_source *source;
    const char *program;
    int argc;
    char *const *argv;
    struct flags_run run;
    struct server_option_table rows;
    struct server_options *options; /* NULL once handed out */
    struct option_errors found;     /* in the file */
    char *streaming_file;           /* of -sc; owned; NULL: none */
};

static void load(struct load *load, struct options_outcome *outcome);
static enum err read_file(struct load *load, struct config_text *why);
static enum err apply_flags(struct load *load, struct config_text *why);
static bool finish(struct server_options *options, const char *program, struct config_text *why);

void server_option_table_init(struct server_option_table *table)
{
    size_t count;
    const struct option *rows = server_option_rows(&count);
    table->groups[0] = (struct option_group){rows, count, 0};
    rows = net_option_rows(&count);
    table->groups[1] = (struct option_group){rows, count, offsetof(struct server_options, net)};
    rows = security_option_rows(&count);
    table->groups[2] = (struct option_group){rows, count, offsetof(struct server_options, security)};
    rows = monitor_option_rows(&count);
    table->groups[3] = (struct option_group){rows, count, 0};
    rows = cluster_option_rows(&count);
    table->groups[4] = (struct option_group){rows, count, offsetof(struct server_options, cluster)};
    rows = streaming_option_rows(&count);
    table->groups[5] = (struct option_group){rows, count, offsetof(struct server_options, streaming)};
    rows = planned_option_rows(&count);
    table->groups[6] = (struct option_group){rows, count, 0};
    rows = gateway_option_rows(&count);
    table->groups[7] = (struct option_group){rows, count, offsetof(struct server_options, gateway)};
    table->table = (struct option_table){table->groups, COUNT_OF(table->groups)};
}

static const char *basename_of(int argc, char *const argv[])
{
    if (argc < 1 || argv[0][0] == 0)
        return "myelin";
    const char *slash = strrchr(argv[0], '/');
    return slash == NULL ? argv[0] : slash + 1;
}

static enum err load_init(struct load *load, int argc, char *const argv[], const struct config_source *source)
{
    *load = (struct load){.source = source, .argc = argc, .argv = argv, .program = basename_of(argc, argv)};
    server_option_table_init(&load->rows);
    load->options = memory_new(sizeof(*load->options));
    if (load->options == NULL)
        return ERR_MEMORY;
    return options_default(&load->rows.table, load->options, &load->options->arena);
}

static void load_close(struct load *load)
{
    server_options_free(load->options);
    option_errors_close(&load->found);
    memory_free(load->streaming_file);
}

void server_options_load(int argc, char *const argv[], struct server_options **options,
                         struct options_outcome *outcome)
{
    struct config_source source = config_source_system();
    server_options_load_from(argc, argv, &source, options, outcome);
}

void server_options_load_from(int argc, char *const argv[], const struct config_source *source,
                              struct server_options **options, struct options_outcome *outcome)
{
    struct load attempt;
    *options = NULL;
    *outcome = (struct options_outcome){.action = OPTIONS_EXIT, .exit_code = 1};
    if (load_init(&attempt, argc, argv, source) == ERR_OK)
        load(&attempt, outcome);
    else
        config_text_add(&outcome->err, "%s: out of memory\n", attempt.program);
    if (outcome->action == OPTIONS_RUN) {
        *options = attempt.options;
        attempt.options = NULL;
    }
    load_close(&attempt);
}

void options_outcome_close(struct options_outcome *outcome)
{
    config_text_close(&outcome->out);
    config_text_close(&outcome->err);
}

void server_options_free(struct server_options *options)
{
    if (options == NULL)
        return;
    net_options_close(&options->net);
    tls_options_close(&options->cluster.tls);
    gateway_options_close(&options->gateway);
    arena_close(&options->arena);
    memory_free(options);
}

/* ---- what comes before a snapshot ---- */

/* Clients' test suites look for " v" and a version behind it: the first one found has to be the NATS level.
 */
static void add_version(const char *program, struct config_text *out)
{
    if (strcmp(program, "nats-server") == 0)
        config_text_add(out, "nats-server: v" MYELIN_NATS_VERSION "\n");
    else if (strcmp(program, "nats-streaming-server") == 0)
        config_text_add(out, "nats-streaming-server version " MYELIN_STREAMING_VERSION
                             ", nats-server: v" MYELIN_NATS_VERSION "\n");
    else
        config_text_add(out, "%s: v" MYELIN_NATS_VERSION " (Myelin " MYELIN_VERSION ")\n", program);
}

/* The usage goes to stdout and the exit code is 0 after a wrong flag as well: scripts may know it so. */
static void exit_with_usage(const struct load *load, struct options_outcome *outcome)
{
    flags_usage(&load->rows.table, load->program, &outcome->out);
    if (tools_offered(load->program)) {
        config_text_add(&outcome->out, "Tools (%s <tool> --help):\n", load->program);
        for (const struct tool *tool = tool_list(); tool->name != NULL; tool++)
            config_text_add(&outcome->out, "    %-36s %s\n", tool->name, tool->help);
        config_text_add(&outcome->out, "\n");
    }
    outcome->exit_code = 0;
}

/* -v, -h, --help_tls, a word, --signal, -t without -c: whether the run is over. */
static bool run_is_over(const struct load *load, struct options_outcome *outcome)
{
    const struct flags_run *run = &load->run;
    bool version_word = run->word != NULL && strcasecmp(run->word, "version") == 0;
    bool help_word = run->word != NULL && strcasecmp(run->word, "help") == 0;
    if (run->version || (version_word && !run->help && !run->help_tls)) {
        add_version(load->program, &outcome->out);
        outcome->exit_code = 0;
    } else if (run->help || (help_word && !run->help_tls)) {
        exit_with_usage(load, outcome);
    } else if (run->help_tls) {
        config_text_add(&outcome->out, TLS_HELP);
        outcome->exit_code = 0;
    } else if (run->word != NULL) {
        char quoted[256]; /* a longer word is cut */
        quote(text(run->word), quoted, sizeof(quoted));
        config_text_add(&outcome->err, "%s: unrecognized command: %s\n", load->program, quoted);
    } else if (run->signal != NULL && run->signal[0] != 0) {
        outcome->action = OPTIONS_SIGNAL;
        outcome->signal = run->signal;
        outcome->exit_code = 0;
    } else if (run->test && (run->config_file == NULL || run->config_file[0] == 0) &&
               load->options->streaming.config_file == NULL) {
        config_text_add(&outcome->err,
                        "%s: must specify [-c, --config] option to check configuration file syntax\n",
                        load->program);
    } else {
        return false;
    }
    return true;
}

/* ---- the snapshot ---- */

static void load(struct load *load, struct options_outcome *outcome)
{
    struct config_text why = {0};
    enum err err = apply_flags(load, &why);
    if (err == ERR_INVALID) {
        config_text_add(&outcome->err, "%s\n", config_text_string(&why));
        exit_with_usage(load, outcome);
    } else if (err == ERR_OK && run_is_over(load, outcome)) {
        /* said already */
    } else if (err == ERR_OK && (err = read_file(load, &why)) == ERR_OK && load->run.test) {
        config_text_add(&outcome->err, "%s: configuration file %s is valid (%s)\n", load->program,
                        load->options->config_file, load->options->config_digest);
        outcome->exit_code = 0;
    } else if (err == ERR_OK && (err = apply_flags(load, &why)) == ERR_OK &&
               finish(load->options, load->program, &why)) {
        config_text_add(&outcome->err, "%s", config_text_string(&load->found.warnings));
        outcome->action = OPTIONS_RUN;
        outcome->exit_code = 0;
    } else {
        /* What was refused in words that found no memory is refused all the same. */
        const char *nothing_said = err_text(err == ERR_OK ? ERR_MEMORY : err);
        config_text_add(&outcome->err, "%s: %s\n", load->program,
                        why.count == 0 ? nothing_said : config_text_string(&why));
    }
    config_text_close(&why);
}

static enum err apply_flags(struct load *load, struct config_text *why)
{
    return flags_parse(&load->rows.table, load->argc, load->argv, load->options, &load->options->arena,
                       &load->run, why);
}

/* The defaults again, without the flags of the first reading, which would hide behind the file. */
static enum err start_over(struct load *load)
{
    server_options_free(load->options);
    load->options = memory_new(sizeof(*load->options));
    if (load->options == NULL)
        return ERR_MEMORY;
    return options_default(&load->rows.table, load->options, &load->options->arena);
}

/* One file for both, or the streaming service's alone: spec/streaming.md 18.1. A `streaming` map is what
 * there is of it; without one the keys at the top are, before they are NATS's. */
static void apply_streaming_file(struct load *load, const struct config_value *root, bool alone)
{
    struct server_options *options = load->options;
    struct option_table *all = &load->rows.table;
    struct option_group groups[COUNT_OF(load->rows.groups) + 1];
    size_t count = 0;
    const struct option *rows = streaming_block_rows(&count);
    const struct config_entry *block = root->entries.first;
    while (block != NULL && !config_name_equal(block->key, "streaming"))
        block = block->next;
    if (block != NULL && alone) {
        options_apply(all, options, root, &options->arena, &load->found);
        return;
    }
    groups[0] = (struct option_group){rows, count, offsetof(struct server_options, streaming)};
    memcpy(groups + 1, all->groups, sizeof load->rows.groups);
    struct option_table table = {groups, alone ? COUNT_OF(groups) : 1};
    options->streaming.on = true;
    if (block == NULL)
        options_apply(&table, options, root, &options->arena, &load->found);
    else if (option_want(&load->found, block, CONFIG_MAP))
        options_apply(&table, options, block->value, &options->arena, &load->found);
}

/* All that is wrong in the tree, warnings first. With -t a warning is an error. */
static enum err apply_tree(struct load *load, const char *file, const struct config_tree *tree,
                           bool streaming, struct config_text *why)
{
    if (tree->root->entries.first == NULL)
        config_text_add(&load->found.warnings, "%s: config has no values or is empty\n", file);
    if (streaming)
        apply_streaming_file(load, tree->root, load->options->config_file == NULL);
    else
        options_apply(&load->rows.table, load->options, tree->root, &load->options->arena, &load->found);
    if (load->found.errors.failed || load->found.warnings.failed)
        return ERR_MEMORY;
    bool wrong = load->found.errors.count > 0 || (load->run.test && load->found.warnings.count > 0);
    if (wrong)
        config_text_add(why, "%s%s", config_text_string(&load->found.warnings),
                        config_text_string(&load->found.errors));
    return wrong ? ERR_INVALID : ERR_OK;
}

/* The first file is the one that the options are named after; the digest is its. */
static enum err read_one(struct load *load, const char *file, bool streaming, struct config_text *why)
{
    struct config_tree tree = {0};
    bool first = load->options->config_file == NULL;
    enum err err = parser_read(&tree, file, load->source, why);
    if (err == ERR_OK && first)
        err = digest_tree(tree.root, load->options->config_digest);
    if (err == ERR_OK)
        err = apply_tree(load, file, &tree, streaming, why);
    config_tree_close(&tree);
    if (err != ERR_OK || !first)
        return err;
    char *name = arena_copy(&load->options->arena, text(file));
    if (name == NULL)
        return ERR_MEMORY;
    load->options->config_file = name;
    return ERR_OK;
}

static enum err read_file(struct load *load, struct config_text *why)
{
    const char *given = load->options->streaming.config_file; /* by the flags; it goes with the options */
    if (given != NULL && given[0] != 0 && load->streaming_file == NULL &&
        (load->streaming_file = memory_copy(given, strlen(given) + 1)) == NULL)
        return ERR_MEMORY;
    enum err err = start_over(load);
    if (err == ERR_OK && load->run.config_file != NULL && load->run.config_file[0] != 0)
        err = read_one(load, load->run.config_file, false, why);
    if (err == ERR_OK && load->streaming_file != NULL)
        err = read_one(load, load->streaming_file, true, why);
    return err;
}

/* Empty: there is no system account. */
static struct bytes system_name(const struct server_options *options)
{
    const struct security_account *system = options->security.accounts.system;
    return system == NULL ? (struct bytes){NULL, 0} : system->name;
}

/* The parts of client_advertise. */
static bool advertise_finish(struct server_options *options, struct config_text *why)
{
    const char *given = options->client_advertise;
    if (given == NULL || given[0] == 0)
        return true;
    int64_t port = 0;
    if (!cluster_address_split(text(given), &options->arena, &options->client_advertise_host, &port)) {
        config_text_add(why, "invalid ClientAdvertise value of %s, err=it is no host[:port]", given);
        return false;
    }
    options->client_advertise_port = port < 0 ? 0 : port;
    return true;
}

/* What follows from what was given, and what has to hold between options (configuration.md 3.4). */
static bool finish(struct server_options *options, const char *program, struct config_text *why)
{
    char grace[DURATION_TEXT_BYTES_MAX], duration[DURATION_TEXT_BYTES_MAX];
    struct server_option_table rows;
    server_option_table_init(&rows);
    if (options->port == 0)
        options->port = 4222;
    if (options->host == NULL || options->host[0] == 0)
        options->host = "0.0.0.0";
    options->net.trace = options->trace;
    if (!options_validate(&rows.table, options, why))
        return false;
    if (options->server_name != NULL && strchr(options->server_name, ' ') != NULL) {
        config_text_add(why, "server name cannot contain spaces");
        return false;
    }
    if (options->lame_duck_grace_period_ns >= options->lame_duck_duration_ns) {
        config_text_add(why,
                        "lame duck grace period (%s) should be strictly lower than lame duck duration (%s)",
                        duration_print(options->lame_duck_grace_period_ns, grace),
                        duration_print(options->lame_duck_duration_ns, duration));
        return false;
    }
    if (!advertise_finish(options, why))
        return false;
    if (!net_options_finish(&options->net, &options->arena, why))
        return false;
    if (options->security.timeout_ns == 0) /* a TLS handshake takes its own time before the login */
        options->security.timeout_ns =
            options->net.tls.on ? tls_options_timeout_ns(&options->net.tls) + NS_PER_SECOND : LOGIN_NS;
    if (!cluster_options_finish(&options->cluster, &options->arena, why) ||
        !streaming_options_finish(&options->streaming, program, why))
        return false;
    if (!gateway_options_finish(&options->gateway, &options->cluster, why))
        return false;
    return security_options_finish(&options->security, &options->arena, why) &&
           cluster_pool_finish(&options->cluster.pool, system_name(options), &options->arena, why) &&
           net_options_validate(&options->net, why) && security_options_validate(&options->security, why);
}

/* ---- reload ---- */

enum err server_options_reload(const struct server_options *old, int argc, char *const argv[],
                               struct server_options **options, struct option_changes *changes)
{
    struct config_source source = config_source_system();
    return server_options_reload_from(old, argc, argv, &source, options, changes);
}

/* Fills load->options by file and flags, or says why not. Warnings stay unsaid, as in nats-server. */
static enum err load_again(struct load *load, const struct server_options *old, struct config_text *why)
{
    enum err err = apply_flags(load, why);
    if (err != ERR_OK)
        return err;
    if (old->config_file == NULL) {
        config_text_add(why, "can only reload config when a file is provided using -c or --config");
        return ERR_INVALID;
    }
    load->run.test = false;
    err = read_file(load, why);
    if (err == ERR_OK)
        err = apply_flags(load, why);
    if (err == ERR_OK && !finish(load->options, load->program, why))
        err = ERR_INVALID;
    return err;
}

static void refuse(struct option_changes *changes, const char *why)
{
    size_t count = strlen(why);
    while (count > 0 && why[count - 1] == '\n')
        count--;
    config_text_close(&changes->lines);
    config_text_close(&changes->refusal);
    config_text_add(&changes->refusal, "Failed to reload server configuration: %.*s", (int)count, why);
}

/* Accounts keep the routes that they have of their own; one that is to get some has to be there. */
static enum err pool_inherit(struct server_options *options, const struct server_options *old,
                             struct config_text *why)
{
    struct cluster_pool *pool = &options->cluster.pool;
    for (uint32_t i = 0; i < pool->account_count; i++) {
        if (cluster_pool_dedicated(&old->cluster.pool, pool->accounts[i]) == ROUTE_LINE_NONE &&
            security_account_find(&options->security.accounts, pool->accounts[i]) == NULL) {
            config_text_add(why,
                            "unable to add account \"%.*s\" to the list of dedicated routes: account missing",
                            BYTES_PRINTF(pool->accounts[i]));
            return ERR_INVALID;
        }
    }
    return cluster_pool_inherit(pool, &old->cluster.pool, &options->arena) ? ERR_OK : ERR_MEMORY;
}

/* The server's tags are among what a callout service is told, and may decide by. */
static void logins_follow(struct server_options *options, const struct server_options *before)
{
    bool same = options->server_tag_count == before->server_tag_count;
    for (size_t i = 0; same && i < options->server_tag_count; i++)
        same = bytes_equal(options->server_tags[i], before->server_tags[i]);
    security_options_follow(&options->security, &before->security);
    options->security.logins_changed |= !same;
}

enum err server_options_reload_from(const struct server_options *old, int argc, char *const argv[],
                                    const struct config_source *source, struct server_options **options,
                                    struct option_changes *changes)
{
    struct load attempt;
    struct config_text why = {0};
    *options = NULL;
    *changes = (struct option_changes){0};
    enum err err = load_init(&attempt, argc, argv, source);
    if (err == ERR_OK)
        err = load_again(&attempt, old, &why);
    if (err == ERR_OK)
        err = security_accounts_inherit(&attempt.options->security.accounts, &old->security.accounts,
                                        &attempt.options->arena);
    if (err == ERR_OK)
        logins_follow(attempt.options, old);
    if (err == ERR_OK)
        err = pool_inherit(attempt.options, old, &why);
    if (err == ERR_OK) {
        gateway_options_inherit(&attempt.options->gateway, &old->gateway);
        err = options_compare(&attempt.rows.table, old, attempt.options, changes);
    }
    if (err == ERR_OK && changes->refusal.count > 0) {
        config_text_add_bytes(&why, bytes_of(changes->refusal.data, changes->refusal.count));
        err = ERR_INVALID;
    }
    if (err == ERR_OK) {
        config_text_add(&changes->lines, "Reloaded server configuration (%s)\n",
                        attempt.options->config_digest);
        *options = attempt.options;
        attempt.options = NULL;
    } else {
        refuse(changes, why.count == 0 ? err_text(err) : config_text_string(&why));
        err = err == ERR_MEMORY ? ERR_MEMORY : ERR_INVALID;
    }
    config_text_close(&why);
    load_close(&attempt);
    return err;
}
