/* bench/capacity.c - idle connections and subscriptions behind capacity.h. */
#include "bench/capacity.h"

#include "bench/connection.h"
#include "bench/measure.h"
#include "bench/progress.h"
#include "core/base/clock.h"
#include "core/base/memory.h"

#include <time.h>

enum {
    /* Opened before the first reading, so that what a server makes once, for the first of a kind, is not
       counted. */
    IDLE_CONNECTIONS_BEFORE = 16,
    /* What a server does a moment later (a first PING, timers) has happened by then. */
    SETTLE_MS = 500,
    SUBSCRIBE_BATCH = 4096, /* lines put into the output before it is flushed, and behind which a PING goes */
};

static void settle(void);
static enum err idle_open(struct connection *connections, uint64_t first, uint64_t count,
                          const struct options *options, struct progress *progress, char *version,
                          size_t version_bytes, struct failure *failure);
static enum err subs_make(struct engine *engine, struct connection *connection, const struct options *options,
                          struct progress *progress, struct failure *failure);
static enum err subs_turn(struct engine *engine, struct connection *connection, int64_t deadline_ns,
                          bool last, struct failure *failure);

enum err capacity_idle_run(const struct options *options, struct report *report, struct failure *failure)
{
    uint64_t total = options->connections + IDLE_CONNECTIONS_BEFORE;
    char version[32] = "";
    struct measure measure = {0};
    struct progress progress;
    progress_init(&progress, options->quiet, clock_monotonic_ns());
    enum err err = connection_limit_raise(total, failure);
    if (err != ERR_OK)
        return err;
    struct connection *connections = memory_new(total * sizeof(*connections));
    if (connections == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    for (uint64_t i = 0; i < total; i++)
        connections[i].fd = -1; /* the rest is zero; touching all of it would only cost memory */
    err = idle_open(connections, 0, IDLE_CONNECTIONS_BEFORE, options, &progress, version, sizeof(version),
                    failure);
    settle();
    if (err == ERR_OK)
        err = measure_start(&measure, options->pid, failure);
    if (err == ERR_OK)
        err = idle_open(connections, IDLE_CONNECTIONS_BEFORE, options->connections, options, &progress,
                        version, sizeof(version), failure);
    settle();
    if (err == ERR_OK)
        err = measure_stop(&measure, failure);
    if (err == ERR_OK) {
        int64_t grown = measure.server_memory_bytes - measure.server_memory_before_bytes;
        report_add_text(report, "command", options_command_name(options->command));
        report_add_text(report, "server", version);
        report_add_count(report, "connections", options->connections);
        report_add_signed(report, "server_memory_before_bytes", measure.server_memory_before_bytes);
        report_add_signed(report, "server_memory_bytes", measure.server_memory_bytes);
        report_add_number(report, "server_memory_bytes_per_connection",
                          (double)grown / (double)options->connections);
        report_add_signed(report, "server_cpu_ns", measure.server_cpu_ns);
    }
    progress_end(&progress);
    for (uint64_t i = 0; i < total; i++)
        connection_close(&connections[i]);
    memory_free(connections);
    return err;
}

enum err capacity_connect_run(const struct options *options, struct report *report, struct failure *failure)
{
    enum { CONNECTIONS_BEFORE = 16 }; /* not measured */
    char version[32] = "";
    struct measure measure = {0};
    struct progress progress;
    enum err err = ERR_OK;
    progress_init(&progress, options->quiet, clock_monotonic_ns());
    for (uint64_t i = 0; err == ERR_OK && i < options->connections + CONNECTIONS_BEFORE; i++) {
        struct connection connection;
        if (i == CONNECTIONS_BEFORE)
            err = measure_start(&measure, options->pid, failure);
        if (err == ERR_OK)
            err = connection_open(&connection, options, version, sizeof(version), failure);
        if (err == ERR_OK)
            connection_close(&connection);
        progress_show(&progress, clock_monotonic_ns(), (double)i, (double)options->connections);
    }
    progress_end(&progress);
    if (err == ERR_OK)
        err = measure_stop(&measure, failure);
    if (err != ERR_OK)
        return err;
    double connections = (double)options->connections;
    report_add_text(report, "command", options_command_name(options->command));
    report_add_text(report, "server", version);
    report_add_count(report, "connections", options->connections);
    report_add_number(report, "connections_per_s", connections * 1e9 / (double)measure.elapsed_ns);
    if (options->pid != 0)
        report_add_number(report, "server_cpu_ns_per_connection",
                          (double)measure.server_cpu_ns / connections);
    report_add_signed(report, "server_cpu_ns", measure.server_cpu_ns);
    return ERR_OK;
}

enum err capacity_subs_run(const struct options *options, struct report *report, struct failure *failure)
{
    char version[32] = "";
    struct measure measure = {0};
    struct engine engine = {0};
    struct progress progress;
    struct connection *connection = memory_new(sizeof(*connection));
    if (connection == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    connection_init(connection);
    progress_init(&progress, options->quiet, clock_monotonic_ns());
    enum err err = engine_init(&engine, failure);
    if (err == ERR_OK)
        err = connection_open(connection, options, version, sizeof(version), failure);
    settle();
    if (err == ERR_OK)
        err = measure_start(&measure, options->pid, failure);
    if (err == ERR_OK)
        err = subs_make(&engine, connection, options, &progress, failure);
    int64_t subscribed_ns = clock_monotonic_ns();
    settle();
    if (err == ERR_OK)
        err = measure_stop(&measure, failure);
    if (err == ERR_OK) {
        double subscriptions = (double)options->messages;
        int64_t grown = measure.server_memory_bytes - measure.server_memory_before_bytes;
        report_add_text(report, "command", options_command_name(options->command));
        report_add_text(report, "server", version);
        report_add_count(report, "subscriptions", options->messages);
        report_add_number(report, "elapsed_s",
                          (double)(subscribed_ns - measure.start_ns) / (double)NS_PER_SECOND);
        if (options->pid != 0) {
            report_add_signed(report, "server_memory_before_bytes", measure.server_memory_before_bytes);
            report_add_signed(report, "server_memory_bytes", measure.server_memory_bytes);
            report_add_number(report, "server_memory_bytes_per_subscription", (double)grown / subscriptions);
            report_add_number(report, "server_cpu_ns_per_subscription",
                              (double)measure.server_cpu_ns / subscriptions);
        }
        report_add_number(report, "generator_cpu_ns_per_subscription",
                          (double)measure.own_cpu_ns / subscriptions);
    }
    progress_end(&progress);
    connection_close(connection);
    memory_free(connection);
    engine_close(&engine);
    return err;
}

static void settle(void)
{
    struct timespec wait = {0, SETTLE_MS * NS_PER_MS};
    (void)nanosleep(&wait, NULL); /* woken early: a reading a little earlier */
}

static enum err idle_open(struct connection *connections, uint64_t first, uint64_t count,
                          const struct options *options, struct progress *progress, char *version,
                          size_t version_bytes, struct failure *failure)
{
    for (uint64_t i = first; i < first + count; i++) {
        enum err err = connection_open(&connections[i], options, version, version_bytes, failure);
        if (err != ERR_OK) {
            struct failure cause = *failure;
            return failure_set(failure, err, "connection %llu: %.400s", (unsigned long long)(i + 1),
                               cause.text);
        }
        progress_show(progress, clock_monotonic_ns(), (double)(i - first), (double)count);
    }
    return ERR_OK;
}

/* Subjects are "bench.1234567.a": one level that differs, between two that do not. Every batch ends with a
 * PING, so that a server that is slow but goes on is told from one that does not. */
static enum err subs_make(struct engine *engine, struct connection *connection, const struct options *options,
                          struct progress *progress, struct failure *failure)
{
    enum err err = engine_watch(engine, connection, false, failure);
    uint64_t made = 0;
    uint32_t waiting = 0;
    int64_t deadline_ns = clock_monotonic_ns() + options->timeout_ns;
    while (err == ERR_OK && (made < options->messages || connection->pongs_expected > 0)) {
        if (connection->output.count == 0 && made < options->messages) {
            for (int i = 0; i < SUBSCRIBE_BATCH && made < options->messages && err == ERR_OK; i++, made++)
                err = connection_print(connection, failure, "SUB %s.%llu.a %llu\r\n", options->subject,
                                       (unsigned long long)made, (unsigned long long)made + 1);
            if (err == ERR_OK)
                err = connection_ping(connection, failure);
        }
        waiting = connection->pongs_expected;
        if (err == ERR_OK)
            err = subs_turn(engine, connection, deadline_ns, made == options->messages, failure);
        if (connection->pongs_expected < waiting)
            deadline_ns = engine->now_ns + options->timeout_ns;
        progress_show(progress, engine->now_ns, (double)made, (double)options->messages);
    }
    return err;
}

static enum err subs_turn(struct engine *engine, struct connection *connection, int64_t deadline_ns,
                          bool last, struct failure *failure)
{
    enum err err = connection_flush(connection, failure);
    if (err == ERR_OK)
        err = engine_watch(engine, connection, connection->output.count > 0, failure);
    /* With room in the socket the next batch is due; otherwise all that is left to do is wait. */
    if (err == ERR_OK)
        err = engine_wait(engine, connection->output.count > 0 || last ? 100 * NS_PER_MS : 0, failure);
    if (err == ERR_OK && engine->interrupted)
        return failure_set(failure, ERR_SYSTEM, "interrupted");
    if (err == ERR_OK && engine->now_ns > deadline_ns)
        return failure_set(failure, ERR_SYSTEM, "the server does not take the subscriptions");
    for (int i = 0; i < engine->event_count && err == ERR_OK; i++) {
        if ((engine->events[i].events & ~(uint32_t)EPOLLOUT) == 0)
            continue;
        struct scan_input input = {0};
        struct scan_event event = {0};
        err = connection_receive(connection, engine, &input, failure);
        while (err == ERR_OK) {
            enum scan_result result = scanner_next(&connection->scanner, &input, &event);
            if (result == SCAN_MORE)
                break;
            err = connection_control(connection, result, &event, failure);
        }
    }
    return err;
}
