/* core/config/flags.c - Go's flag rules over option rows, and the usage text. */
#include "core/config/flags.h"

#include "core/base/check.h"

#include <stdio.h>

enum run_flag { RUN_VERSION, RUN_HELP, RUN_HELP_TLS, RUN_TEST, RUN_CONFIG, RUN_SIGNAL };

struct run_flag_row {
    const char *names;
    enum run_flag flag;
    bool is_bool;
    const char *argument;
    const char *help;
};

static const struct run_flag_row run_flags[] = {
    {"c config", RUN_CONFIG, false, "<file>", "Configuration file"},
    {"t", RUN_TEST, true, NULL, "Check the configuration file and exit"},
    {"sl signal", RUN_SIGNAL, false, "<signal>[=<pid>]",
     "Signal a running server (ldm, stop, quit, term, reopen, reload);\n"
     "<pid> is a process id or the path of a pid file"},
    {"h help", RUN_HELP, true, NULL, "Show this text"},
    {"v version", RUN_VERSION, true, NULL, "Show the version"},
    {"help_tls", RUN_HELP_TLS, true, NULL, "Help on TLS"},
};

static const char *const section_titles[SECTIONS] = {
    [SECTION_SERVER] = "Server Options",
    [SECTION_LOGGING] = "Logging Options",
    [SECTION_AUTHORIZATION] = "Authorization Options",
    [SECTION_TLS] = "TLS Options",
    [SECTION_CLUSTER] = "Cluster Options",
    [SECTION_STREAMING] = "Streaming Options",
    [SECTION_ENGINE] = "Engine Options",
};

/* One flag on the command line. */
struct flag {
    struct bytes name;              /* without dashes */
    const char *value;              /* NULL: none was given */
    const struct run_flag_row *run; /* one of the two, or the flag is unknown */
    const struct option *row;
    void *target; /* of the row */
};

static void find_flag(const struct option_table *table, void *snapshot, struct flag *flag)
{
    for (size_t i = 0; i < COUNT_OF(run_flags); i++) {
        if (option_name_in(run_flags[i].names, flag->name, false))
            flag->run = &run_flags[i];
    }
    for (size_t g = 0; g < table->count && flag->run == NULL; g++) {
        const struct option_group *group = &table->groups[g];
        for (size_t i = 0; i < group->count; i++) {
            if (!option_name_in(group->rows[i].flags, flag->name, false))
                continue;
            flag->row = &group->rows[i];
            flag->target = (char *)snapshot + group->offset;
        }
    }
}

static bool is_bool_flag(const struct flag *flag)
{
    if (flag->run != NULL)
        return flag->run->is_bool;
    return flag->row->kind == OPTION_BOOL ||
           (flag->row->kind == OPTION_NOT_BUILT && flag->row->argument == NULL);
}

/* The row through which a flag of the run is parsed: a boolean has Go's words there too. */
static bool set_run_flag(const struct flag *flag, struct flags_run *run)
{
    bool value = true, range;
    static const struct option bool_row = {.kind = OPTION_BOOL};
    if (flag->run->is_bool && !option_set(&bool_row, &value, flag->value, NULL, &range))
        return false;
    switch (flag->run->flag) {
    case RUN_VERSION:
        run->version = value;
        return true;
    case RUN_HELP:
        run->help = value;
        return true;
    case RUN_HELP_TLS:
        run->help_tls = value;
        return true;
    case RUN_TEST:
        run->test = value;
        return true;
    case RUN_CONFIG:
        run->config_file = flag->value;
        return true;
    case RUN_SIGNAL:
        run->signal = flag->value;
        return true;
    }
    return true;
}

static enum err set_flag(const struct flag *flag, struct arena *arena, struct flags_run *run,
                         struct config_text *why)
{
    bool range = false;
    if (flag->run == NULL && flag->row->kind == OPTION_NOT_BUILT) {
        bool off = option_name_in("0 f F false FALSE False", text(flag->value), false);
        if (off && is_bool_flag(flag))
            return ERR_OK;
        config_text_add(why, "flag -%.*s is not supported by this version of Myelin",
                        BYTES_PRINTF(flag->name));
        return ERR_UNSUPPORTED;
    }
    if (flag->run != NULL ? set_run_flag(flag, run)
                          : option_set(flag->row, flag->target, flag->value, arena, &range))
        return ERR_OK;
    if (flag->row != NULL && (flag->row->kind == OPTION_STRING || flag->row->kind == OPTION_TEXT))
        return ERR_MEMORY;
    if (is_bool_flag(flag))
        config_text_add(why, "invalid boolean value \"%s\" for -%.*s: parse error", flag->value,
                        BYTES_PRINTF(flag->name));
    else
        config_text_add(why, "invalid value \"%s\" for flag -%.*s: %s", flag->value, BYTES_PRINTF(flag->name),
                        range ? "value out of range" : "parse error");
    return ERR_INVALID;
}

/* Splits "-name=value"; false when there are too many dashes or no name. */
static bool split_flag(const char *argument, struct flag *flag)
{
    const char *name = argument + (argument[1] == '-' ? 2 : 1);
    if (name[0] == '-' || name[0] == '=' || name[0] == 0)
        return false;
    const char *equals = strchr(name, '=');
    flag->name = equals == NULL ? text(name) : bytes_of(name, (size_t)(equals - name));
    flag->value = equals == NULL ? NULL : equals + 1;
    return true;
}

enum err flags_parse(const struct option_table *table, int argc, char *const argv[], void *snapshot,
                     struct arena *arena, struct flags_run *run, struct config_text *why)
{
    *run = (struct flags_run){0};
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != 0; i++) {
        struct flag flag = {0};
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (!split_flag(argv[i], &flag)) {
            const char *equals = strchr(argv[i], '='); /* what follows it may be a secret */
            int shown = equals == NULL ? (int)strlen(argv[i]) : (int)(equals + 1 - argv[i]);
            config_text_add(why, "bad flag syntax: %.*s%s", shown, argv[i], equals == NULL ? "" : "xxxxx");
            return ERR_INVALID;
        }
        find_flag(table, snapshot, &flag);
        if (flag.run == NULL && flag.row == NULL) {
            config_text_add(why, "flag provided but not defined: -%.*s", BYTES_PRINTF(flag.name));
            return ERR_INVALID;
        }
        if (flag.value == NULL && is_bool_flag(&flag))
            flag.value = "true";
        if (flag.value == NULL && i + 1 >= argc) {
            config_text_add(why, "flag needs an argument: -%.*s", BYTES_PRINTF(flag.name));
            return ERR_INVALID;
        }
        if (flag.value == NULL)
            flag.value = argv[++i];
        enum err err = set_flag(&flag, arena, run, why);
        if (err != ERR_OK)
            return err;
    }
    run->word = i < argc ? argv[i] : NULL;
    return ERR_OK;
}

/* ---- usage ---- */

/* "    -p, --port <port>" and the help beside it: two dashes before a word, one before letters. */
static void usage_line(struct config_text *usage, const char *names, const char *argument, const char *help,
                       const char *fallback)
{
    enum { HELP_COLUMN = 42 };
    size_t start = usage->count;
    bool first = true;
    config_text_add(usage, "    ");
    for (const char *at = names; *at != 0;) {
        size_t count = strcspn(at, " ");
        bool is_long = count > 2 && at[0] >= 'a';
        if (first && is_long)
            config_text_add(usage, "    ");
        config_text_add(usage, "%s%s%.*s", first ? "" : ", ", is_long ? "--" : "-", (int)count, at);
        first = false;
        at += count;
        at += strspn(at, " ");
    }
    if (argument != NULL)
        config_text_add(usage, " %s", argument);
    size_t width = usage->count - start;
    config_text_add(usage, "%*s", width < HELP_COLUMN ? (int)(HELP_COLUMN - width) : 1, "");
    for (;;) {
        size_t count = strcspn(help, "\n");
        config_text_add(usage, "%.*s", (int)count, help);
        if (help[count] == 0)
            break;
        config_text_add(usage, "\n%*s", HELP_COLUMN, "");
        help += count + 1;
    }
    if (fallback != NULL)
        config_text_add(usage, " (default: %s)", fallback);
    config_text_add(usage, "\n");
}

static void usage_section(const struct option_table *table, enum option_section section,
                          struct config_text *usage)
{
    config_text_add(usage, "\n%s:\n", section_titles[section]);
    for (size_t g = 0; g < table->count; g++) {
        const struct option_group *group = &table->groups[g];
        for (size_t i = 0; i < group->count; i++) {
            const struct option *row = &group->rows[i];
            if (row->section == section && row->flags != NULL && row->help != NULL)
                usage_line(usage, row->flags, row->argument, row->help, row->fallback);
        }
    }
}

void flags_usage(const struct option_table *table, const char *program, struct config_text *usage)
{
    config_text_add(usage, "\nUsage: %s [options]\n", program);
    for (enum option_section section = SECTION_SERVER; section < SECTIONS; section++)
        usage_section(table, section, usage);
    config_text_add(usage, "\nCommon Options:\n");
    for (size_t i = 0; i < COUNT_OF(run_flags); i++)
        usage_line(usage, run_flags[i].names, run_flags[i].argument, run_flags[i].help, NULL);
    config_text_add(usage, "\n");
}
