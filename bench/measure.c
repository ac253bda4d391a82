/* bench/measure.c - differences and quotients behind measure.h. */
#include "bench/measure.h"

#include "core/base/clock.h"

enum err measure_start(struct measure *measure, uint64_t pid, struct failure *failure)
{
    *measure = (struct measure){.pid = pid};
    if (pid != 0) {
        struct process_figures figures = {0};
        enum err err = process_read(pid, &figures, failure);
        if (err != ERR_OK)
            return err;
        measure->server_cpu_ns = figures.cpu_ns;
        measure->server_memory_before_bytes = figures.memory_bytes;
    }
    measure->own_cpu_ns = clock_process_cpu_ns();
    measure->start_ns = clock_monotonic_ns();
    return ERR_OK;
}

enum err measure_stop(struct measure *measure, struct failure *failure)
{
    measure->elapsed_ns = clock_monotonic_ns() - measure->start_ns;
    measure->own_cpu_ns = clock_process_cpu_ns() - measure->own_cpu_ns;
    if (measure->pid != 0) {
        struct process_figures figures = {0};
        enum err err = process_read(measure->pid, &figures, failure);
        if (err != ERR_OK)
            return err;
        measure->server_cpu_ns = figures.cpu_ns - measure->server_cpu_ns;
        measure->server_memory_bytes = figures.memory_bytes;
    }
    return ERR_OK;
}

void measure_report(const struct measure *measure, struct report *report, uint64_t messages,
                    uint64_t deliveries)
{
    double seconds = (double)(measure->elapsed_ns > 0 ? measure->elapsed_ns : 1) / (double)NS_PER_SECOND;
    report_add_number(report, "elapsed_s", seconds);
    if (messages > 0)
        report_add_number(report, "messages_per_s", (double)messages / seconds);
    if (deliveries > 0)
        report_add_number(report, "deliveries_per_s", (double)deliveries / seconds);
    if (measure->pid != 0) {
        report_add_signed(report, "server_cpu_ns", measure->server_cpu_ns);
        if (messages > 0)
            report_add_number(report, "server_cpu_ns_per_message",
                              (double)measure->server_cpu_ns / (double)messages);
        if (deliveries > 0)
            report_add_number(report, "server_cpu_ns_per_delivery",
                              (double)measure->server_cpu_ns / (double)deliveries);
        report_add_signed(report, "server_memory_bytes", measure->server_memory_bytes);
    }
    report_add_signed(report, "generator_cpu_ns", measure->own_cpu_ns);
    if (messages > 0)
        report_add_number(report, "generator_cpu_ns_per_message",
                          (double)measure->own_cpu_ns / (double)messages);
    if (deliveries > 0)
        report_add_number(report, "generator_cpu_ns_per_delivery",
                          (double)measure->own_cpu_ns / (double)deliveries);
}
