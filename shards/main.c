/* shards/main.c - the program: command line, log, server. */
#include "core/base/log.h"
#include "shards/log_setup.h"
#include "shards/options.h"
#include "shards/server.h"
#include "shards/signal_command.h"
#include "shards/tools/tool.h"

#include <stdio.h>
#include <string.h>

/* How jemalloc is set (its manual, "TUNING"): what tables outgrow goes back to the system within a second, by
 * a thread of its own; by default it would stay for ten. The name is jemalloc's. */
extern const char *malloc_conf;
const char *malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

enum { WHY_BYTES = 4096 };

static const char *program_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static int send_signal(const char *program, const char *command)
{
    char why[WHY_BYTES] = "";
    if (signal_command_send(program, command, why, sizeof why) == ERR_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", program, why);
    return 1;
}

static int run(int argc, char **argv, struct server_options *options)
{
    const char *program = program_name(argv[0]);
    char why[WHY_BYTES] = "";
    struct log *log = NULL;
    struct log_options log_options = log_setup(options, program);
    if (log_open(&log, &log_options, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "%s\n", why);
        server_options_free(options);
        return 1;
    }
    struct server_setup setup = {
        .options = options,
        .log = log,
        .program = program,
        .argument_count = argc,
        .arguments = argv,
    };
    int exit_code = server_run(&setup);
    log_close(log);
    return exit_code;
}

int main(int argc, char **argv)
{
    static char no_name[] = "myelin";
    char *nameless[] = {no_name, NULL};
    struct server_options *options = NULL;
    struct options_outcome outcome = {0};
    int exit_code = 1;
    if (argc < 1) { /* execve() with no arguments at all */
        argc = 1;
        argv = nameless;
    }
    const struct tool *tool = argc > 1 && tools_offered(program_name(argv[0])) ? tool_find(argv[1]) : NULL;
    if (tool != NULL)
        return tool->run(argc - 1, argv + 1, &(struct tool_streams){stdin, stdout, stderr});
    server_options_load(argc, argv, &options, &outcome);
    fputs(config_text_string(&outcome.out), stdout);
    fputs(config_text_string(&outcome.err), stderr);
    if (outcome.out.failed || outcome.err.failed) /* not all was said */
        fprintf(stderr, "%s: out of memory\n", program_name(argv[0]));
    if (fflush(stdout) != 0)
        perror("stdout");
    switch (outcome.action) {
    case OPTIONS_RUN:
        exit_code = run(argc, argv, options);
        break;
    case OPTIONS_SIGNAL:
        exit_code = send_signal(program_name(argv[0]), outcome.signal);
        break;
    case OPTIONS_EXIT:
        exit_code = outcome.exit_code;
        break;
    }
    options_outcome_close(&outcome);
    return exit_code;
}
