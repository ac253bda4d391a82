/* tests/sim/streaming/main.c - runs seeds of clustered streaming and shows how far it is.
 * usage: sim-streaming [--seeds N] [--first SEED] [--random] [--seconds S] [--seed SEED] [--trace] [--break
 * WHAT]
 *                      [--prove N]
 *   --random   begins at a seed of the kernel's, and says which
 *   --seed     one seed only, with its counts; --trace: and every step
 *   --break    in a world that does something wrong (a number of enum sabotage); --prove N: each of them, to
 * be noticed within N seeds */
#include "tests/sim/streaming/world.h"

#include <getopt.h>
#include <signal.h>
#include <unistd.h>

enum { SECONDS_DEFAULT = 8, FAILURES_MAX = 5 };

static const char *const sabotages[SABOTAGES] = {
    [SABOTAGE_LIE] = "disks do what they say",
    [SABOTAGE_SKIP] = "every entry is applied",
    [SABOTAGE_TWICE] = "and once",
    [SABOTAGE_HOLE] = "messages that a snapshot leaves out are fetched",
    [SABOTAGE_FORGET] = "a node begins at its snapshot",
};

struct arguments {
    uint64_t first, seeds, prove;
    struct world_options options;
    bool one, trace;
};

/* ASSERT aborts; here that is a finding like any other. The run's memory stays behind then. */
static sigjmp_buf aborted;

static void on_abort(int signal)
{
    (void)signal;
    siglongjmp(aborted, 1);
}

static void run_one(const struct world_options *options, struct world_result *result)
{
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_NODEFER};
    sigaction(SIGABRT, &action, NULL);
    if (sigsetjmp(aborted, 1) == 0) {
        world_run(options, result);
    } else {
        result->failed = true;
        snprintf(result->reason, sizeof result->reason, "an assertion of the code under test failed");
    }
    signal(SIGABRT, SIG_DFL);
}

static void print_counts(const struct world_counts *c)
{
    printf(
        "  %.1f virtual minutes; %llu leaders, %llu crashes, %llu cuts, %llu pauses, %llu mails (%llu lost)\n"
        "  %llu published (%llu acknowledged, %llu refused), %llu delivered (%llu again), %llu connects, "
        "%llu "
        "closes, %llu subscriptions\n"
        "  %llu snapshots, %llu installed, %llu pieces fetched, %llu states compared, %llu nodes "
        "replaced\n",
        (double)c->virtual_ms / 60e3, (unsigned long long)c->leaders, (unsigned long long)c->crashes,
        (unsigned long long)c->cuts, (unsigned long long)c->pauses, (unsigned long long)c->mails,
        (unsigned long long)c->lost, (unsigned long long)c->publishes, (unsigned long long)c->acknowledged,
        (unsigned long long)c->refused, (unsigned long long)c->deliveries,
        (unsigned long long)c->redeliveries, (unsigned long long)c->connects, (unsigned long long)c->closes,
        (unsigned long long)c->subscriptions, (unsigned long long)c->snapshots,
        (unsigned long long)c->installs, (unsigned long long)c->pieces, (unsigned long long)c->compared,
        (unsigned long long)c->replaced);
}

static void add_counts(struct world_counts *sum, const struct world_counts *counts)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)counts;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

static int run_seeds(const struct arguments *arguments)
{
    struct world_counts sum = {0};
    uint64_t failures = 0, done = 0;
    for (; done < arguments->seeds && failures < FAILURES_MAX; done++) {
        struct world_options options = arguments->options;
        struct world_result result;
        options.seed = arguments->first + done;
        run_one(&options, &result);
        add_counts(&sum, &result.counts);
        if (result.failed) {
            printf("seed %llu: %s (all of it: --seed %llu --trace)\n", (unsigned long long)options.seed,
                   result.reason, (unsigned long long)options.seed);
            failures++;
        }
        fflush(stdout);
    }
    printf("sim-streaming: seeds %llu to %llu, %llu failed\n", (unsigned long long)arguments->first,
           (unsigned long long)(arguments->first + done - 1), (unsigned long long)failures);
    print_counts(&sum);
    return failures > 0;
}

static int run_seed(const struct arguments *arguments)
{
    struct world_options options = arguments->options;
    struct world_result result;
    options.seed = arguments->first;
    options.trace = arguments->trace ? stdout : NULL;
    run_one(&options, &result);
    printf("seed %llu: %s\n", (unsigned long long)options.seed, result.failed ? result.reason : "no failure");
    print_counts(&result.counts);
    return result.failed;
}

/* In a world that does wrong some seed must fail, and in one that does not the same seed must not. */
static bool prove_one(const struct arguments *arguments, enum sabotage sabotage)
{
    struct world_options options = arguments->options;
    struct world_result result = {0}, kept = {0};
    options.sabotage = sabotage;
    for (uint64_t i = 0; i < arguments->prove && !result.failed; i++) {
        options.seed = arguments->first + i;
        run_one(&options, &result);
    }
    printf("broken: %s\n  ", sabotages[sabotage]);
    if (!result.failed) {
        printf("NOT NOTICED in %llu seeds\n", (unsigned long long)arguments->prove);
        return false;
    }
    options.sabotage = SABOTAGE_NONE;
    run_one(&options, &kept);
    printf("noticed by seed %llu: %s\n", (unsigned long long)options.seed, result.reason);
    if (kept.failed)
        printf("  BUT IT FAILS WITHOUT, TOO: %s\n", kept.reason);
    return !kept.failed;
}

static int prove(const struct arguments *arguments)
{
    int noticed = 0;
    for (enum sabotage i = SABOTAGE_NONE + 1; i < SABOTAGES; i++)
        noticed += prove_one(arguments, i);
    printf("sim-streaming: of %d wrong worlds, %d were noticed\n", SABOTAGES - 1, noticed);
    return noticed != SABOTAGES - 1;
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
        {NULL, 0, NULL, 0},
    };
    *arguments = (struct arguments){.first = 1, .seeds = 50, .options = {.seconds = SECONDS_DEFAULT}};
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
        else if (name == 'b' && value < SABOTAGES)
            arguments->options.sabotage = (enum sabotage)value;
        else if (name == 'p')
            arguments->prove = value;
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
                "usage: sim-streaming [--seeds N] [--first SEED] [--random] [--seconds S] [--seed SEED]\n"
                "                     [--trace] [--break WHAT] [--prove N]\n");
        return 2;
    }
    if (arguments.prove > 0)
        return prove(&arguments);
    return arguments.one ? run_seed(&arguments) : run_seeds(&arguments);
}
