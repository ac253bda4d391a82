/* bench/main.c - myelin-bench: reads the command line, runs one command, prints its report.
 * Exit code: 0 when the run was complete and every delivery was counted, 1 when not, 2 for a wrong command
 * line. */
#include "bench/capacity.h"
#include "bench/log_floor.h"
#include "bench/request.h"
#include "bench/secure.h"
#include "bench/stan.h"
#include "bench/traffic.h"

#include <sched.h>

static enum err command_run(const struct options *options, struct report *report, struct failure *failure)
{
    switch (options->command) {
    case COMMAND_PUB:
    case COMMAND_SUB:
    case COMMAND_PUBSUB:
    case COMMAND_RELAY_FLOOR:
        return traffic_run(options, report, failure);
    case COMMAND_REQUEST:
        return request_run(options, report, failure);
    case COMMAND_REPLY:
        return reply_run(options, report, failure);
    case COMMAND_IDLE:
        return capacity_idle_run(options, report, failure);
    case COMMAND_CONNECT:
        return capacity_connect_run(options, report, failure);
    case COMMAND_SUBS:
        return capacity_subs_run(options, report, failure);
    case COMMAND_STAN:
    case COMMAND_STAN_PUB:
    case COMMAND_STAN_SUB:
        return stan_run(options, report, failure);
    case COMMAND_LOG_FLOOR:
        return log_floor_run(options, report, failure);
    case COMMAND_HELP:
    case COMMANDS:
        break;
    }
    return ERR_UNSUPPORTED; /* main() has answered help */
}

static enum err cpu_choose(uint64_t cpu, struct failure *failure)
{
    if (cpu == OPTION_CPU_ANY)
        return ERR_OK;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        return failure_set_errno(failure, "CPU %llu cannot be used", (unsigned long long)cpu);
    return ERR_OK;
}

int main(int argument_count, char **arguments)
{
    struct options options;
    struct failure failure = {0};
    struct report report = {0};
    if (options_parse(&options, argument_count, arguments, &failure) != ERR_OK) {
        fprintf(stderr, "myelin-bench: %s\n", failure.text);
        return 2;
    }
    if (options.command == COMMAND_HELP) {
        options_help(stdout);
        return 0;
    }
    enum err err = cpu_choose(options.cpu, &failure);
    if (err == ERR_OK && options.tls)
        err = secure_context_new(&options.secure, &options, &failure);
    if (err == ERR_OK)
        err = command_run(&options, &report, &failure);
    secure_context_free(options.secure);
    if (err == ERR_OK && report_print(&report, &options, stdout) != ERR_OK)
        err = failure_set(&failure, ERR_SYSTEM, "the report cannot be written");
    if (err != ERR_OK) {
        fprintf(stderr, "myelin-bench: %s\n", failure.text);
        return 1;
    }
    return 0;
}
