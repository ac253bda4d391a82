/* tests/conformance/runner.h - decides which rows run against which server, runs them in child processes (one
 * for each configuration, so that cases that wait do not wait for each other), and collects what happened.
 * Place in the flow: main.c -> runner -> script.c for each row. */
#ifndef TESTS_CONFORMANCE_RUNNER_H
#define TESTS_CONFORMANCE_RUNNER_H

#include "core/base/err.h"
#include "tests/conformance/case.h"
#include "tests/conformance/script.h"

enum { OUTCOME_NONE, OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_SKIPPED };

struct outcome {
    int kind;
    int64_t took_ns;
    char text[RUN_FAILURE_BYTES]; /* the failure, or why it was skipped */
};

struct suite {
    const char *program;
    enum flavour flavour;
    const char *pattern; /* of names or numbers; NULL: all */
    const char *directory;
    int jobs;
    bool quick;        /* without rows that wait for a time, or need the machine for themselves */
    size_t left_count; /* how many that leaves out */
    size_t count;
    const struct conformance_case **rows; /* the chosen ones, `count`, in the order of the tables */
    struct outcome *outcomes;             /* one for each row; in memory that the children share */
};

/* Chooses the rows. ERR_MEMORY. */
MUST_USE enum err suite_init(struct suite *suite);
void suite_close(struct suite *suite);

/* Runs them all; what happened is in `outcomes`. ERR_SYSTEM when no child could be started. */
MUST_USE enum err suite_run(struct suite *suite);

/* Why a row does not run against this flavour; NULL when it does. */
const char *suite_skips(enum flavour flavour, const struct conformance_case *row);

/* What a need means, and why Myelin lacks it (NULL when it does not). */
const char *need_name(enum need need);
const char *need_missing(enum flavour flavour, enum need need);

const char *flavour_name(enum flavour flavour);

#endif
