/* tests/unit/faults.h - memory that runs out: fails the n-th allocation, for every n, until a run meets no
 * fault. The linker puts the functions of faults.c before those of core/base/memory.h (Makefile: --wrap), so
 * the code under test is the code that ships. Two kinds of shortage, because the way out of an error may
 * allocate as well: one allocation fails and all others are served, or nothing is served any more.
 * In the flow:  FOR_EACH_FAULT() -> code under test -> memory_new() -> __wrap_memory_new() -> NULL
 * What was allocated and not freed in a run is a failed test: this finds leaks in builds without ASan.
 * Thread: the test's only. */
#ifndef TESTS_UNIT_FAULTS_H
#define TESTS_UNIT_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_ONCE,   /* the n-th allocation fails */
    FAULT_ONWARD, /* the n-th and all that follow */
};

/* Above this a test is larger than it should be, or never comes to its end. */
enum { FAULTS_PER_SCENE_MAX = 20000 };

struct fault_plan {
    enum fault_kind kind;
    uint32_t at; /* the number of the allocation that fails first, from 1 */
    bool begun;
    int64_t live_before;
};

/* The next run of the plan; false when one of each kind has met no fault. Checks the run before. */
bool faults_next(struct fault_plan *plan);

/* The body runs again and again; it must end in the state in which it began. `break` leaves the faults on. */
#define FOR_EACH_FAULT(plan) for (struct fault_plan plan = {0}; faults_next(&plan);)

/* Between these, everything is served and nothing counted: for what a test does to look at the outcome.
 * Nest. */
void faults_pause(void);
void faults_resume(void);

/* Whether this run has met a fault already. */
bool faults_met(void);

/* Fails the n-th allocation from now on, by hand; 0: none. */
void faults_arm(enum fault_kind kind, uint32_t at);

#endif
