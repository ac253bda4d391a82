/* tests/conformance/main.c - the command line of the conformance suite of the client protocol.
 *
 *    conformance --server PROGRAM [--flavour NAME] [--only PATTERN] [--jobs N] [--keep] [-v]
 *    conformance --list | --differences
 *
 * Exit status: 0 all passed, 1 some failed, 2 the command line is wrong or nothing could be run.
 * docs/conformance.md tells more. */
#include "tests/conformance/runner.h"

#include "core/base/clock.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_DEFAULT = 4, JOBS_MAX = 16, EXIT_USAGE = 2 };

struct options {
    struct suite suite;
    const char *flavour;
    bool list;
    bool differences;
    bool verbose;
    bool keep;
};

static int usage(const char *problem);
static bool options_read(struct options *options, int count, char **words);
static bool jobs_read(const char *argument, int *jobs);
static bool flavour_find(const char *program, const char *name, enum flavour *flavour);
static void rows_list(const struct suite *suite);
static void differences_list(const struct suite *suite);
static void needs_list(const struct suite *suite, enum need need);
static int outcomes_print(const struct suite *suite, bool verbose, int64_t took_ns);
static int run_all(struct options *options);
static void descriptors_allow(void);
static int directory_remove(const char *path, const struct stat *status, int kind, struct FTW *place);

int main(int count, char **words)
{
    struct options options = {.suite = {.jobs = JOBS_DEFAULT}};
    if (!options_read(&options, count, words))
        return usage("unknown or incomplete option");
    if (options.list || options.differences) {
        if (suite_init(&options.suite) != ERR_OK)
            return usage("out of memory");
        if (options.list)
            rows_list(&options.suite);
        else
            differences_list(&options.suite);
        suite_close(&options.suite);
        return 0;
    }
    if (options.suite.program == NULL)
        return usage("--server is missing");
    if (access(options.suite.program, X_OK) != 0)
        return usage("--server names no program");
    if (!flavour_find(options.suite.program, options.flavour, &options.suite.flavour))
        return usage("--flavour is myelin, nats-2.9 or nats-new");
    return run_all(&options);
}

static bool options_read(struct options *options, int count, char **words)
{
    static const struct option known[] = {
        {"server", required_argument, NULL, 's'}, {"flavour", required_argument, NULL, 'f'},
        {"only", required_argument, NULL, 'o'},   {"jobs", required_argument, NULL, 'j'},
        {"list", no_argument, NULL, 'l'},         {"differences", no_argument, NULL, 'd'},
        {"quick", no_argument, NULL, 'q'},        {"verbose", no_argument, NULL, 'v'},
        {"keep", no_argument, NULL, 'k'},         {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(count, words, "v", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options->suite.program = optarg;
            break;
        case 'f':
            options->flavour = optarg;
            break;
        case 'o':
            options->suite.pattern = optarg;
            break;
        case 'j':
            if (!jobs_read(optarg, &options->suite.jobs))
                return false;
            break;
        case 'l':
            options->list = true;
            break;
        case 'd':
            options->differences = true;
            break;
        case 'q':
            options->suite.quick = true;
            break;
        case 'v':
            options->verbose = true;
            break;
        case 'k':
            options->keep = true;
            break;
        default:
            return false;
        }
    }
    return optind == count;
}

static int usage(const char *problem)
{
    fprintf(stderr,
            "conformance: %s\n"
            "usage: conformance --server PROGRAM [--flavour myelin|nats-2.9|nats-new] [--only PATTERN]\n"
            "                   [--jobs 1..%d] [--quick] [--keep] [-v]\n"
            "       conformance --list | --differences\n",
            problem, JOBS_MAX);
    return EXIT_USAGE;
}

static bool jobs_read(const char *argument, int *jobs)
{
    char *end;
    long number = strtol(argument, &end, 10);
    if (end == argument || *end != 0 || number < 1 || number > JOBS_MAX)
        return false;
    *jobs = (int)number;
    return true;
}

/* Without a name, the program's own word decides: nats-server says "nats-server: v2.9.10". */
static bool flavour_find(const char *program, const char *name, enum flavour *flavour)
{
    for (int i = 0; name != NULL && i < FLAVOURS; i++) {
        if (strcmp(name, flavour_name((enum flavour)i)) == 0) {
            *flavour = (enum flavour)i;
            return true;
        }
    }
    if (name != NULL)
        return false;
    *flavour = FLAVOUR_MYELIN;
    const char *slash = strrchr(program, '/');
    if (strstr(slash == NULL ? program : slash, "nats-server") == NULL)
        return true;
    char line[128] = "";
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(pipe_ends[1], STDOUT_FILENO);
        (void)alarm(10);
        execl(program, program, "--version", (char *)NULL);
        _exit(127);
    }
    close(pipe_ends[1]);
    ssize_t count = pid < 0 ? 0 : read(pipe_ends[0], line, sizeof line - 1);
    close(pipe_ends[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    line[count < 0 ? 0 : count] = 0;
    *flavour = strstr(line, "v2.9.") != NULL ? FLAVOUR_NATS_2_9 : FLAVOUR_NATS_NEW;
    return true;
}

static int run_all(struct options *options)
{
    struct suite *suite = &options->suite;
    char directory[] = "/tmp/conformance-XXXXXX";
    if (mkdtemp(directory) == NULL) {
        perror("conformance: a temporary folder");
        return EXIT_USAGE;
    }
    suite->directory = directory;
    (void)signal(SIGPIPE, SIG_IGN);
    descriptors_allow();
    int status = EXIT_USAGE;
    int64_t began_ns = clock_monotonic_ns();
    enum err err = suite_init(suite);
    if (err == ERR_OK)
        err = suite_run(suite);
    if (err != ERR_OK)
        fprintf(stderr, "conformance: %s\n", err_text(err));
    else
        status = outcomes_print(suite, options->verbose, clock_monotonic_ns() - began_ns);
    suite_close(suite);
    if (options->keep)
        fprintf(stderr, "configurations and logs are in %s\n", directory);
    else
        (void)nftw(directory, directory_remove, 8, FTW_DEPTH | FTW_PHYS);
    return status;
}

/* As many as the machine allows: crowds of clients need them, here and in the server, which inherits the
 * limit. */
static void descriptors_allow(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int outcomes_print(const struct suite *suite, bool verbose, int64_t took_ns)
{
    size_t counts[OUTCOME_SKIPPED + 1] = {0};
    for (size_t i = 0; i < suite->count; i++) {
        const struct outcome *outcome = &suite->outcomes[i];
        const struct conformance_case *row = suite->rows[i];
        counts[outcome->kind]++;
        if (outcome->kind == OUTCOME_FAILED)
            printf("FAILED %s %s: %s\n", row->spec, row->name, outcome->text);
        else if (outcome->kind == OUTCOME_SKIPPED)
            printf("skipped %s %s: %s\n", row->spec, row->name, outcome->text);
        else if (verbose)
            printf("passed %s %s (%.0f ms)\n", row->spec, row->name,
                   (double)outcome->took_ns / (double)NS_PER_MS);
    }
    if (verbose)
        printf("took %.1f s\n", (double)took_ns / (double)NS_PER_SECOND);
    if (suite->left_count > 0)
        printf("%zu rows that wait, or need the machine, are left out (--quick)\n", suite->left_count);
    printf("%zu passed, %zu failed, %zu skipped\n", counts[OUTCOME_PASSED], counts[OUTCOME_FAILED],
           counts[OUTCOME_SKIPPED]);
    /* Of rows that somebody chose there may be none that this run is for. */
    bool chosen = suite->quick && suite->pattern != NULL && suite->left_count + counts[OUTCOME_SKIPPED] > 0;
    return counts[OUTCOME_FAILED] == 0 && (counts[OUTCOME_PASSED] > 0 || chosen) ? 0 : 1;
}

static void rows_list(const struct suite *suite)
{
    for (size_t i = 0; i < suite->count; i++)
        printf("%-12s %s\n", suite->rows[i]->spec, suite->rows[i]->name);
}

/* In the form of a Markdown table, for docs/conformance.md. */
static void differences_list(const struct suite *suite)
{
    printf("| Case | Behaviour | Runs on | Why |\n|---|---|---|---|\n");
    for (size_t i = 0; i < suite->count; i++) {
        const struct conformance_case *row = suite->rows[i];
        if (row->only == 0)
            continue;
        printf("| %s | %s |", row->spec, row->name);
        for (int f = 0; f < FLAVOURS; f++)
            printf("%s%s", (row->only & (1u << f)) != 0 ? " " : "",
                   (row->only & (1u << f)) != 0 ? flavour_name((enum flavour)f) : "");
        printf(" | %s |\n", row->differs);
    }
    printf("\n| Not yet on Myelin | Why | Cases |\n|---|---|---|\n");
    for (int need = 0; need < NEEDS; need++) {
        if (need_missing(FLAVOUR_MYELIN, (enum need)need) != NULL)
            needs_list(suite, (enum need)need);
    }
}

static void needs_list(const struct suite *suite, enum need need)
{
    printf("| %s | %s |", need_name(need), need_missing(FLAVOUR_MYELIN, need));
    for (size_t i = 0; i < suite->count; i++) {
        if (suite->rows[i]->needs == need)
            printf(" %s", suite->rows[i]->spec);
    }
    printf(" |\n");
}

static int directory_remove(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    (void)remove(path);
    return 0;
}
