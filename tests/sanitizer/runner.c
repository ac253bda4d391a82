/* tests/sanitizer/runner.c - runs the unit tests where Criterion cannot: under the sanitizers.
 * Criterion maps memory at fixed addresses that the thread sanitizer has for its shadow, and gives up at
 * start; and it has counted a test as passed by the time the leak sanitizer speaks, which is at exit. The
 * tests themselves are only rows in the linker's section "cr_tst", so this walks the rows, gives each test a
 * process, as Criterion does, and takes the place of the few functions by which a test reports. It knows
 * suites, fixtures, expected signals and exit codes, timeouts, skips and parameters; theories it does not
 * know.
 *
 * usage: unit-tests [--filter suite/name]      (the pattern may hold * and ?)
 *
 * In the flow: make asan, make tsan -> main() -> run_test() || criterion_internal_test_setup() ... */
#include <criterion/criterion.h>
#include <criterion/event.h>
#include <criterion/parameterized.h>

#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers slow a test by up to fifteen times; what has no limit of its own gets this one. */
enum { TIMEOUT_DEFAULT_SECONDS = 120, SLOWDOWN = 15 };

/* What a test's process tells the parent; shared memory, because any exit code may be one that a test
 * expects. */
struct report {
    int failed_count;
    int passed_count;
    bool skipped;
};

struct totals {
    int run;
    int passed;
    int failed;
    int skipped;
};

/* The one state that is not handed on by argument: the functions that a test calls have none for it. */
static struct {
    struct report *report;
    const struct criterion_test *test;
    const struct criterion_suite *suite; /* NULL when the test's suite has no TestSuite() */
    void *parameter;
} current;

extern struct criterion_test *__start_cr_tst[] __attribute__((weak));
extern struct criterion_test *__stop_cr_tst[] __attribute__((weak));
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

static const struct criterion_suite *suite_of(const struct criterion_test *test);
static void run_test(const struct criterion_test *test, void *parameter, struct totals *totals);
static _Noreturn void leave(void);
static void judge(int status, struct totals *totals);

int main(int count, char **words)
{
    const char *filter = count == 3 && strcmp(words[1], "--filter") == 0 ? words[2] : "*";
    struct totals totals = {0};
    current.report =
        mmap(NULL, sizeof(*current.report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (current.report == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (struct criterion_test **row = __start_cr_tst; row < __stop_cr_tst; row++) {
        const struct criterion_test *test = *row;
        char name[512];
        (void)snprintf(name, sizeof(name), "%s/%s", test->category, test->name);
        if (fnmatch(filter, name, 0) != 0)
            continue;
        if (test->data->kind_ == CR_TEST_NORMAL) {
            run_test(test, NULL, &totals);
            continue;
        }
        struct criterion_test_params parameters = test->data->param_();
        for (size_t i = 0; i < parameters.length; i++)
            run_test(test, (char *)parameters.params + i * parameters.size, &totals);
        if (parameters.cleanup != NULL)
            parameters.cleanup(&parameters);
    }
    printf("under the sanitizer: %d tests, %d passed, %d failed, %d skipped\n", totals.run, totals.passed,
           totals.failed, totals.skipped);
    return totals.failed > 0 || totals.run == 0 ? 1 : 0;
}

/* From here on: what Criterion's macros call, in the test's process. */

void criterion_internal_test_setup(void)
{
    if (current.suite != NULL && current.suite->data != NULL && current.suite->data->init != NULL)
        current.suite->data->init();
    if (current.test->data->init != NULL)
        current.test->data->init();
}

void criterion_internal_test_main(void (*function)(void))
{
    if (current.test->data->kind_ == CR_TEST_NORMAL)
        function();
    else
        ((void (*)(void *))function)(current.parameter);
}

void criterion_internal_test_teardown(void)
{
    if (current.test->data->fini != NULL)
        current.test->data->fini();
    if (current.suite != NULL && current.suite->data != NULL && current.suite->data->fini != NULL)
        current.suite->data->fini();
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
    if (stats->passed)
        return;
    current.report->failed_count++;
    fprintf(stderr, "%s:%u: %s/%s: %s\n", stats->file, stats->line, current.test->category,
            current.test->name, stats->message);
}

void cri_asserts_passed_incr(void)
{
    current.report->passed_count++;
}

void criterion_abort_test(void)
{
    leave();
}

void criterion_continue_test(void)
{
}

void criterion_skip_test(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s/%s skipped: ", current.test->category, current.test->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    current.report->skipped = true;
    leave();
}

static _Noreturn void leave(void)
{
    fflush(NULL);
    exit(0); /* not _exit(): leaks are looked for at exit */
}

static const struct criterion_suite *suite_of(const struct criterion_test *test)
{
    for (struct criterion_suite **row = __start_cr_sts; row < __stop_cr_sts; row++)
        if (strcmp((*row)->name, test->category) == 0)
            return *row;
    return NULL;
}

static unsigned seconds_allowed(void)
{
    double seconds = current.test->data->timeout;
    if (seconds <= 0 && current.suite != NULL && current.suite->data != NULL)
        seconds = current.suite->data->timeout;
    return seconds <= 0 ? TIMEOUT_DEFAULT_SECONDS : 1 + (unsigned)(seconds * SLOWDOWN);
}

static void run_test(const struct criterion_test *test, void *parameter, struct totals *totals)
{
    current.test = test;
    current.suite = suite_of(test);
    current.parameter = parameter;
    *current.report = (struct report){0};
    if (test->data->disabled ||
        (current.suite != NULL && current.suite->data != NULL && current.suite->data->disabled))
        return;
    totals->run++;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    if (child == 0) {
        alarm(seconds_allowed());
        test->test();
        leave();
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) {
            perror("waitpid");
            exit(1);
        }
    judge(status, totals);
}

/* A test passes when no assertion failed and it ended in the way that it announced. */
static void judge(int status, struct totals *totals)
{
    const struct criterion_test *test = current.test;
    int signal_wanted = test->data->signal;
    int code_wanted = test->data->exit_code;
    bool ended_well = signal_wanted != 0 ? WIFSIGNALED(status) && WTERMSIG(status) == signal_wanted
                      : code_wanted != 0 ? WIFEXITED(status) && WEXITSTATUS(status) == code_wanted
                                         : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (current.report->skipped && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        totals->skipped++;
        return;
    }
    if (ended_well && current.report->failed_count == 0) {
        totals->passed++;
        return;
    }
    totals->failed++;
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s/%s: ended by signal %d%s\n", test->category, test->name, WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ", its time was over" : "");
    else if (!ended_well)
        fprintf(stderr, "%s/%s: exit code %d\n", test->category, test->name, WEXITSTATUS(status));
    else
        fprintf(stderr, "%s/%s: %d assertions failed\n", test->category, test->name,
                current.report->failed_count);
}
