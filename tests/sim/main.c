/* tests/sim/main.c - runs seeds, shows how far it is, and makes the most of a failure.
 * usage: sim [--seeds N] [--first SEED] [--random] [--seconds S] [--seed SEED] [--trace] [--break RULE |
 * --prove N]
 *   --random   begins at a seed of the kernel's, and says which
 *   --seed     one seed only, with its counts; --trace: and every step
 *   --break    with a rule broken (a number of enum raft_rule); --prove N: each rule in turn, to be noticed
 *              within N seeds */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim.h"

#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { SECONDS_DEFAULT = 12, TRACE_LINES_MAX = 60, FAILURES_MAX = 5 };

/* Each rule, and a seed that noticed its breaking when this was written: it is tried first, so that the proof
 * is quick. Whatever changes the course of a run may make it useless; then all seeds are tried, and the one
 * that is found belongs here. */
struct rule {
    const char *name;
    uint64_t seed;
};

static const struct rule rules[RAFT_RULES] = {
    [RAFT_RULE_COMMIT_OWN_TERM] = {"only entries of the own term commit by counting", 73},
    [RAFT_RULE_PERSIST_VOTE] = {"term and vote are durable before an answer", 822},
    [RAFT_RULE_PERSIST_ENTRIES] = {"entries are durable before they are acknowledged", 2},
    [RAFT_RULE_ONE_VOTE] = {"one vote per term", 52},
    [RAFT_RULE_UP_TO_DATE] = {"no vote for a log that lacks entries", 1},
    [RAFT_RULE_PREVIOUS_ENTRY] = {"entries follow one that both have", 31},
    [RAFT_RULE_TRUNCATE_ON_CONFLICT] = {"only a conflict removes entries", 3},
    [RAFT_RULE_QUORUM] = {"a majority decides", 1},
    [RAFT_RULE_COMMIT_WITHIN_MATCH] = {"a follower commits what it knows to be the leader's", 80},
    [RAFT_RULE_ONE_CHANGE] = {"one change of members at a time", 266},
    [RAFT_RULE_READ_ROUND] = {"a majority confirms a read", 3},
    [RAFT_RULE_READ_OWN_TERM] = {"no read before an entry of the own term", 2},
};

struct arguments {
    uint64_t first;
    uint64_t seeds;
    uint64_t prove;
    struct sim_options options;
    bool one;
    bool trace;
};

/* ASSERT aborts; here that is a finding like any other. The run's memory stays behind then. */
static sigjmp_buf aborted;

static void on_abort(int signal)
{
    (void)signal;
    siglongjmp(aborted, 1);
}

static void run_one(const struct sim_options *options, struct sim_result *result)
{
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_NODEFER};
    sigaction(SIGABRT, &action, NULL);
    if (sigsetjmp(aborted, 1) == 0) {
        sim_run(options, result);
    } else {
        result->failed = true;
        snprintf(result->reason, sizeof result->reason, "an assertion of the code under test failed");
    }
    signal(SIGABRT, SIG_DFL);
}

/* The same seed without one kind of fault after the other, as long as it still fails. A seed draws the same
 * weather then, but another history; so a shorter one is looked for, not derived. */
static void shorten(struct sim_options *options, struct sim_result *worst)
{
    for (uint32_t fault = 1; fault < SIM_FAULTS_ALL; fault <<= 1) {
        struct sim_options without = *options;
        struct sim_result result;
        without.faults &= ~fault;
        run_one(&without, &result);
        if (result.failed && result.counts.events <= worst->counts.events) {
            *options = without;
            *worst = result;
        }
    }
}

/* The last lines of the shortest history, from a run that writes all of them. */
static void show(const struct sim_options *options)
{
    struct sim_options traced = *options;
    struct sim_result result;
    char *lines[TRACE_LINES_MAX] = {0};
    char line[400];
    uint64_t count = 0;
    traced.trace = tmpfile();
    if (traced.trace == NULL)
        return;
    run_one(&traced, &result);
    rewind(traced.trace);
    for (; fgets(line, sizeof line, traced.trace) != NULL; count++) {
        char **place = &lines[count % TRACE_LINES_MAX];
        free(*place);
        *place = strdup(line);
    }
    printf("seed %llu, without faults %#x, the last of %llu lines (all: --seed %llu --faults %#x --trace):\n",
           (unsigned long long)options->seed, SIM_FAULTS_ALL & ~options->faults, (unsigned long long)count,
           (unsigned long long)options->seed, options->faults);
    for (uint64_t i = count < TRACE_LINES_MAX ? 0 : count - TRACE_LINES_MAX; i < count; i++)
        fputs(lines[i % TRACE_LINES_MAX], stdout);
    for (unsigned i = 0; i < TRACE_LINES_MAX; i++)
        free(lines[i]);
    fclose(traced.trace);
}

static void add_counts(struct sim_counts *sum, const struct sim_counts *counts)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)counts;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

static void print_counts(const struct sim_counts *c)
{
    printf("  %llu events in %.1f virtual minutes; %llu elections, %llu proposed, %llu acknowledged, %llu "
           "reads\n"
           "  %llu messages (%llu lost, %llu repeated, %llu cut off), %llu crashes (%llu lost writes), %llu "
           "disk "
           "errors\n"
           "  %llu partitions, %llu pauses, %llu transfers, %llu changes of members, %llu snapshots, %llu "
           "installed, %llu logs discarded\n",
           (unsigned long long)c->events, (double)c->virtual_us / 60e6, (unsigned long long)c->elections,
           (unsigned long long)c->proposed, (unsigned long long)c->acknowledged, (unsigned long long)c->reads,
           (unsigned long long)c->messages, (unsigned long long)c->lost, (unsigned long long)c->repeated,
           (unsigned long long)c->cut, (unsigned long long)c->crashes, (unsigned long long)c->torn,
           (unsigned long long)c->disk_errors, (unsigned long long)c->partitions,
           (unsigned long long)c->pauses, (unsigned long long)c->transfers, (unsigned long long)c->changes,
           (unsigned long long)c->snapshots, (unsigned long long)c->installs,
           (unsigned long long)c->discarded_logs);
}

/* Many seeds; of those that fail, the one with the shortest history is shown. */
static int run_seeds(const struct arguments *arguments)
{
    struct sim_counts sum = {0};
    struct sim_options worst_options = arguments->options;
    struct sim_result worst = {0};
    uint64_t failures = 0;
    bool terminal = isatty(STDOUT_FILENO);
    for (uint64_t i = 0; i < arguments->seeds && failures < FAILURES_MAX; i++) {
        struct sim_options options = arguments->options;
        struct sim_result result;
        options.seed = arguments->first + i;
        run_one(&options, &result);
        add_counts(&sum, &result.counts);
        if (result.failed) {
            printf("%sseed %llu: %s\n", terminal ? "\r" : "", (unsigned long long)options.seed,
                   result.reason);
            if (failures++ == 0 || result.counts.events < worst.counts.events) {
                worst = result;
                worst_options = options;
            }
        }
        if (terminal || (i + 1) % 50 == 0)
            printf("%ssim: %llu of %llu seeds, %llu failed%s", terminal ? "\r" : "",
                   (unsigned long long)i + 1, (unsigned long long)arguments->seeds,
                   (unsigned long long)failures, terminal ? "" : "\n");
        fflush(stdout);
    }
    printf("%ssim: seeds %llu to %llu, %llu failed\n", terminal ? "\r" : "",
           (unsigned long long)arguments->first,
           (unsigned long long)(arguments->first + arguments->seeds - 1), (unsigned long long)failures);
    print_counts(&sum);
    if (failures == 0)
        return 0;
    shorten(&worst_options, &worst);
    show(&worst_options);
    return 1;
}

static int run_seed(const struct arguments *arguments)
{
    struct sim_options options = arguments->options;
    struct sim_result result;
    options.seed = arguments->first;
    options.trace = arguments->trace ? stdout : NULL;
    run_one(&options, &result);
    printf("seed %llu: %s\n", (unsigned long long)options.seed, result.failed ? result.reason : "no failure");
    print_counts(&result.counts);
    return result.failed;
}

/* With a rule broken some seed must fail, and with the rule kept the same seed must not. */
static bool prove_rule(const struct arguments *arguments, unsigned rule)
{
    struct sim_options options = arguments->options;
    struct sim_result result = {0}, kept = {0};
    uint64_t seeds = 0;
    options.broken_rules = options.steered_to = 1U << rule;
    options.seed = rules[rule].seed;
    run_one(&options, &result);
    while (seeds < arguments->prove && !result.failed) {
        options.seed = arguments->first + seeds++;
        run_one(&options, &result);
    }
    if (!result.failed) {
        printf("broken: %s\n  NOT NOTICED in %llu seeds\n", rules[rule].name, (unsigned long long)seeds);
        return false;
    }
    options.broken_rules = 0;
    run_one(&options, &kept);
    printf("broken: %s\n  noticed by seed %llu: %s\n", rules[rule].name, (unsigned long long)options.seed,
           result.reason);
    if (kept.failed)
        printf("  BUT IT FAILS WITH THE RULE, TOO: %s\n", kept.reason);
    return !kept.failed;
}

static int prove(const struct arguments *arguments)
{
    unsigned noticed = 0;
    for (unsigned rule = 0; rule < RAFT_RULES; rule++) {
        noticed += prove_rule(arguments, rule);
        fflush(stdout);
    }
    printf("sim: of %d rules broken, %u were noticed\n", RAFT_RULES, noticed);
    return noticed != RAFT_RULES;
}

static bool parse(int count, char **values, struct arguments *arguments)
{
    static const struct option names[] = {
        {"seeds", required_argument, NULL, 'n'},
        {"first", required_argument, NULL, 'f'},
        {"random", no_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 't'},
        {"seed", required_argument, NULL, 's'},
        {"trace", no_argument, NULL, 'v'},
        {"break", required_argument, NULL, 'b'},
        {"prove", required_argument, NULL, 'p'},
        {"faults", required_argument, NULL, 'x'},
        {"world", required_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    *arguments = (struct arguments){
        .first = 1, .seeds = 100, .options = {.seconds = SECONDS_DEFAULT, .faults = SIM_FAULTS_ALL}};
    for (int name; (name = getopt_long(count, values, "", names, NULL)) != -1;) {
        uint64_t value = optarg == NULL ? 0 : strtoull(optarg, NULL, 0);
        if (name == 'n')
            arguments->seeds = value;
        else if (name == 'f' || name == 's')
            arguments->first = value, arguments->one = name == 's';
        else if (name == 'r' && random_secure(&arguments->first, 4) != ERR_OK)
            return false;
        else if (name == 't')
            arguments->options.seconds = (uint32_t)value;
        else if (name == 'v')
            arguments->trace = true;
        else if (name == 'b')
            arguments->options.broken_rules = 1U << value;
        else if (name == 'w')
            arguments->options.steered_to = 1U << value;
        else if (name == 'p')
            arguments->prove = value;
        else if (name == 'x')
            arguments->options.faults = (uint32_t)value;
        else if (name == '?')
            return false;
    }
    return optind == count;
}

int main(int count, char **values)
{
    struct arguments arguments;
    if (!parse(count, values, &arguments)) {
        fprintf(stderr,
                "usage: sim [--seeds N] [--first SEED] [--random] [--seconds S] [--seed SEED] [--trace]\n"
                "           [--faults MASK] [--break RULE | --prove N]\n");
        return 2;
    }
    if (arguments.prove > 0)
        return prove(&arguments);
    return arguments.one ? run_seed(&arguments) : run_seeds(&arguments);
}
