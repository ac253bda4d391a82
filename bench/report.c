/* bench/report.c - printing behind report.h. */
#include "bench/report.h"

#include "core/base/check.h"

#include <string.h>

static struct report_figure *figure_new(struct report *report, const char *name, enum report_kind kind);
static void value_print(const struct report_figure *figure, const char *quote, FILE *out);

void report_add_count(struct report *report, const char *name, uint64_t count)
{
    figure_new(report, name, REPORT_COUNT)->count = (int64_t)count;
}

void report_add_signed(struct report *report, const char *name, int64_t count)
{
    figure_new(report, name, REPORT_COUNT)->count = count;
}

void report_add_number(struct report *report, const char *name, double number)
{
    figure_new(report, name, REPORT_NUMBER)->number = number;
}

void report_add_text(struct report *report, const char *name, const char *text)
{
    struct report_figure *figure = figure_new(report, name, REPORT_TEXT);
    (void)snprintf(figure->text, sizeof(figure->text), "%s", text);
}

void report_add_latency(struct report *report, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        uint32_t parts;
    } rows[] = {
        {"latency_p50_ns", 50000},   {"latency_p90_ns", 90000},    {"latency_p99_ns", 99000},
        {"latency_p99_9_ns", 99900}, {"latency_p99_99_ns", 99990},
    };
    if (histogram->count == 0)
        return;
    report_add_count(report, "latency_count", histogram->count);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        report_add_count(report, rows[i].name, histogram_percentile_ns(histogram, rows[i].parts));
    report_add_count(report, "latency_max_ns", histogram->max_ns);
}

enum err report_print(const struct report *report, const struct options *options, FILE *out)
{
    if (options->json) {
        for (uint32_t i = 0; i < report->figure_count; i++) {
            fprintf(out, "%s\"%s\": ", i == 0 ? "{" : ", ", report->figures[i].name);
            value_print(&report->figures[i], "\"", out);
        }
        fprintf(out, "}\n");
    } else if (options->csv) {
        for (uint32_t i = 0; i < report->figure_count; i++)
            fprintf(out, "%s%s", i == 0 ? "" : ",", report->figures[i].name);
        for (uint32_t i = 0; i < report->figure_count; i++) {
            fprintf(out, "%s", i == 0 ? "\n" : ",");
            value_print(&report->figures[i], "", out);
        }
        fprintf(out, "\n");
    } else {
        for (uint32_t i = 0; i < report->figure_count; i++) {
            fprintf(out, "%-40s", report->figures[i].name);
            value_print(&report->figures[i], "", out);
            fprintf(out, "\n");
        }
    }
    return fflush(out) == 0 && !ferror(out) ? ERR_OK : ERR_SYSTEM;
}

static struct report_figure *figure_new(struct report *report, const char *name, enum report_kind kind)
{
    ASSERT(report->figure_count < REPORT_FIGURES_MAX);
    struct report_figure *figure = &report->figures[report->figure_count++];
    figure->name = name;
    figure->kind = kind;
    return figure;
}

/* Texts come from outside (a server's version): what would end a JSON string or a CSV cell becomes '_'. */
static void value_print(const struct report_figure *figure, const char *quote, FILE *out)
{
    switch (figure->kind) {
    case REPORT_COUNT:
        fprintf(out, "%lld", (long long)figure->count);
        return;
    case REPORT_NUMBER:
        fprintf(out, "%.3f", figure->number);
        return;
    case REPORT_TEXT:
        fprintf(out, "%s", quote);
        for (const char *at = figure->text; *at != '\0'; at++)
            fputc(*at < ' ' || *at == '"' || *at == '\\' || *at == ',' || *at == 127 ? '_' : *at, out);
        fprintf(out, "%s", quote);
        return;
    }
}
