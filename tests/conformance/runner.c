/* tests/conformance/runner.c - rows, child processes and outcomes; see runner.h. */
#include "tests/conformance/runner.h"

#include "core/base/clock.h"
#include "core/base/memory.h"

#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    GROUP_SECONDS_MAX = 110, /* a group that takes longer hangs: its child is killed, its rows fail */
    LOG_TAIL_BYTES = 300
};

static const char *const configuration_texts[CONFIGURATIONS] = {
#define X(name, text) [ON_##name] = "${http}" text,
    CONFIGURATION_LIST(X)
#undef X
};

/* What rows may need, and why Myelin has it not. When it comes, its reason goes, and the rows run. */
static const struct need_row {
    const char *name;
    const char *missing[FLAVOURS];
} needs_rows[NEEDS] = {
    [NEEDS_NOTHING] = {"nothing", {NULL}},
    [NEEDS_ACCOUNTS] = {"accounts", {NULL}},
    [NEEDS_MAPPINGS] = {"mappings", {NULL}},
    [NEEDS_LEAF_NODES] = {"leaf nodes", {[FLAVOUR_MYELIN] = "leaf nodes come later"}},
};

static const char *const flavour_names[FLAVOURS] = {
    [FLAVOUR_MYELIN] = "myelin", [FLAVOUR_NATS_2_9] = "nats-2.9", [FLAVOUR_NATS_NEW] = "nats-new"};

static bool row_waits(const struct conformance_case *row);
static bool suite_wants(const struct suite *suite, const struct conformance_case *row);
static void group_run(struct suite *suite, size_t first, int number);
static bool group_has(const struct suite *suite, size_t first, size_t index);
static bool group_starts(const struct suite *suite, size_t index);
static void group_row(struct suite *suite, struct server *server, size_t index);
static bool group_start_server(struct suite *suite, struct server *server, size_t index, int number);
static void group_wait(int *running);

enum err suite_init(struct suite *suite)
{
    size_t total = 0;
    for (const struct case_table *const *table = conformance_tables; *table != NULL; table++)
        total += (*table)->count;
    suite->rows = memory_new(total * sizeof *suite->rows);
    if (suite->rows == NULL)
        return ERR_MEMORY;
    for (const struct case_table *const *table = conformance_tables; *table != NULL; table++) {
        for (size_t i = 0; i < (*table)->count; i++) {
            if (!suite_wants(suite, &(*table)->rows[i]))
                continue;
            if (suite->quick && row_waits(&(*table)->rows[i]))
                suite->left_count++;
            else
                suite->rows[suite->count++] = &(*table)->rows[i];
        }
    }
    size_t bytes = (suite->count + 1) * sizeof *suite->outcomes;
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        memory_free(suite->rows);
        suite->rows = NULL;
        return ERR_MEMORY;
    }
    suite->outcomes = shared;
    return ERR_OK;
}

void suite_close(struct suite *suite)
{
    if (suite->outcomes != NULL)
        (void)munmap(suite->outcomes, (suite->count + 1) * sizeof *suite->outcomes);
    memory_free(suite->rows);
    suite->outcomes = NULL;
    suite->rows = NULL;
    suite->count = 0;
}

enum err suite_run(struct suite *suite)
{
    int running = 0;
    int number = 0;
    for (size_t i = 0; i < suite->count; i++) {
        const char *why = suite_skips(suite->flavour, suite->rows[i]);
        if (why != NULL) {
            suite->outcomes[i].kind = OUTCOME_SKIPPED;
            (void)snprintf(suite->outcomes[i].text, sizeof suite->outcomes[i].text, "%s", why);
        }
    }
    for (size_t i = 0; i < suite->count; i++) {
        if (!group_starts(suite, i))
            continue;
        while (running >= suite->jobs)
            group_wait(&running);
        pid_t pid = fork();
        if (pid < 0)
            return ERR_SYSTEM;
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)alarm(GROUP_SECONDS_MAX);
            group_run(suite, i, number);
            _exit(0);
        }
        running++;
        number++;
    }
    while (running > 0)
        group_wait(&running);
    for (size_t i = 0; i < suite->count; i++) {
        struct outcome *outcome = &suite->outcomes[i];
        if (outcome->kind == OUTCOME_NONE) {
            outcome->kind = OUTCOME_FAILED;
            (void)snprintf(outcome->text, sizeof outcome->text,
                           "did not run: its group took over %d s or crashed", GROUP_SECONDS_MAX);
        }
    }
    return ERR_OK;
}

const char *suite_skips(enum flavour flavour, const struct conformance_case *row)
{
    if (row->only != 0 && (row->only & (1u << flavour)) == 0)
        return row->differs;
    return need_missing(flavour, row->needs);
}

const char *need_name(enum need need)
{
    return needs_rows[need].name;
}

const char *need_missing(enum flavour flavour, enum need need)
{
    return needs_rows[need].missing[flavour];
}

const char *flavour_name(enum flavour flavour)
{
    return flavour_names[flavour];
}

/* Whether the row is about times, or so much work that whoever runs beside it notices. */
static bool row_waits(const struct conformance_case *row)
{
    bool waits = row->slow;
    for (const struct step *step = row->steps; !waits && step != NULL && step->kind != STEP_END; step++)
        waits = step->kind == STEP_PAUSE || step->kind == STEP_BETWEEN || step->kind == STEP_REFUSED ||
                step->kind == STEP_EXITS;
    return waits;
}

/* A pattern is a number of the list, or a name with the shell's wildcards, or a part of a name. */
static bool suite_wants(const struct suite *suite, const struct conformance_case *row)
{
    return suite->pattern == NULL || strcmp(row->spec, suite->pattern) == 0 ||
           fnmatch(suite->pattern, row->name, 0) == 0 || strstr(row->name, suite->pattern) != NULL;
}

/* In a child: the rows that share the configuration of row `first`, one after the other on one server. */
static void group_run(struct suite *suite, size_t first, int number)
{
    struct server server = {0};
    int restarts = 0;
    bool starts = true;
    for (size_t i = first; i < suite->count; i++) {
        if (!group_has(suite, first, i))
            continue;
        /* A server that does not start once is not asked again for each row: that could take minutes. */
        if (!starts) {
            suite->outcomes[i].kind = OUTCOME_FAILED;
            (void)snprintf(suite->outcomes[i].text, sizeof suite->outcomes[i].text,
                           "the server does not start");
            continue;
        }
        if (!server_alive(&server))
            starts = group_start_server(suite, &server, i, number * 1000 + restarts++);
        if (starts)
            group_row(suite, &server, i);
    }
    server_stop(&server);
}

static void group_row(struct suite *suite, struct server *server, size_t index)
{
    static struct run run; /* too large for the stack's taste; one row at a time */
    struct outcome *outcome = &suite->outcomes[index];
    run = (struct run){
        .row = suite->rows[index], .program = suite->program, .flavour = suite->flavour, .server = server};
    int64_t began_ns = clock_monotonic_ns();
    bool ok = run_case(&run);
    outcome->took_ns = clock_monotonic_ns() - began_ns;
    (void)snprintf(outcome->text, sizeof outcome->text, "%s", run.failure);
    outcome->kind = ok ? OUTCOME_PASSED : OUTCOME_FAILED;
}

static bool group_start_server(struct suite *suite, struct server *server, size_t index, int number)
{
    char directory[SERVER_PATH_BYTES];
    struct outcome *outcome = &suite->outcomes[index];
    (void)snprintf(directory, sizeof directory, "%s/%d", suite->directory, number);
    enum err err = server_start(server, suite->program, directory,
                                configuration_texts[suite->rows[index]->configuration],
                                suite->rows[index]->server_files);
    if (err == ERR_OK)
        return true;
    char log[SERVER_PATH_BYTES + 16];
    char tail[LOG_TAIL_BYTES] = "";
    (void)snprintf(log, sizeof log, "%s/server.log", directory);
    FILE *file = fopen(log, "r");
    if (file != NULL) {
        size_t count = fread(tail, 1, sizeof tail - 1, file);
        tail[count] = 0;
        (void)fclose(file);
    }
    outcome->kind = OUTCOME_FAILED;
    (void)snprintf(outcome->text, sizeof outcome->text, "the server does not start (%s): %s", err_text(err),
                   tail);
    return false;
}

static bool group_has(const struct suite *suite, size_t first, size_t index)
{
    if (suite->outcomes[index].kind == OUTCOME_SKIPPED)
        return false;
    if (suite->rows[first]->alone || suite->rows[index]->alone)
        return first == index;
    return suite->rows[first]->configuration == suite->rows[index]->configuration;
}

static bool group_starts(const struct suite *suite, size_t index)
{
    if (suite->outcomes[index].kind == OUTCOME_SKIPPED)
        return false;
    for (size_t i = 0; i < index; i++) {
        if (suite->outcomes[i].kind != OUTCOME_SKIPPED && group_has(suite, i, index))
            return false;
    }
    return true;
}

static void group_wait(int *running)
{
    int status = 0;
    if (waitpid(-1, &status, 0) > 0)
        (*running)--;
    else if (errno != EINTR)
        *running = 0;
}
