/* shards/control/monitor_text.c - moments and spans as monitoring writes them (spec/monitoring.md 1.5). */
#include "core/base/clock.h"
#include "shards/control/control.h"
#include "shards/control/monitor_task.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Without what comes behind the seconds; how long it is. */
static int date_text(char out[MONITOR_TIME_BYTES], int64_t seconds)
{
    time_t moment = (time_t)seconds;
    struct tm tm = {0};
    (void)gmtime_r(&moment, &tm);
    return (int)strftime(out, MONITOR_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
}

const char *monitor_time_text(char out[MONITOR_TIME_BYTES], int64_t wall_ns)
{
    int count = date_text(out, wall_ns / NS_PER_SECOND);
    int64_t fraction_ns = wall_ns % NS_PER_SECOND;
    if (fraction_ns > 0) {
        count += snprintf(out + count, (size_t)(MONITOR_TIME_BYTES - count), ".%09" PRId64, fraction_ns);
        while (out[count - 1] == '0')
            count--;
    }
    snprintf(out + count, (size_t)(MONITOR_TIME_BYTES - count), "Z");
    return out;
}

const char *monitor_date_text(char out[MONITOR_TIME_BYTES], int64_t seconds)
{
    int count = date_text(out, seconds);
    snprintf(out + count, (size_t)(MONITOR_TIME_BYTES - count), "Z");
    return out;
}

const char *monitor_span_text(char out[MONITOR_TIME_BYTES], int64_t span_ns)
{
    static const struct {
        char name;
        int64_t seconds;
    } units[] = {{'y', 365 * 86400}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    int64_t seconds = span_ns > 0 ? span_ns / NS_PER_SECOND : 0;
    int count = 0;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        int64_t value = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (value > 0 || count > 0 || units[i].name == 's')
            count += snprintf(out + count, (size_t)(MONITOR_TIME_BYTES - count), "%" PRId64 "%c", value,
                              units[i].name);
    }
    return out;
}

/* A number of units with up to `digits` decimals, zeros at the end cut. */
static void decimals(char out[MONITOR_TIME_BYTES], int64_t value_ns, int64_t unit_ns, int digits,
                     const char *unit)
{
    int count = snprintf(out, MONITOR_TIME_BYTES, "%" PRId64, value_ns / unit_ns);
    if (value_ns % unit_ns > 0) {
        count += snprintf(out + count, (size_t)(MONITOR_TIME_BYTES - count), ".%0*" PRId64, digits,
                          value_ns % unit_ns);
        while (out[count - 1] == '0')
            count--;
    }
    snprintf(out + count, (size_t)(MONITOR_TIME_BYTES - count), "%s", unit);
}

const char *monitor_rtt_text(char out[MONITOR_TIME_BYTES], int64_t rtt_ns)
{
    if (rtt_ns <= 0)
        snprintf(out, MONITOR_TIME_BYTES, "0s");
    else if (rtt_ns < 1000)
        snprintf(out, MONITOR_TIME_BYTES, "%" PRId64 "ns", rtt_ns);
    else if (rtt_ns < NS_PER_MS)
        snprintf(out, MONITOR_TIME_BYTES, "%" PRId64 "\xc2\xb5s", rtt_ns / 1000);
    else if (rtt_ns < NS_PER_SECOND)
        decimals(out, rtt_ns, NS_PER_MS, 6, "ms");
    else if (rtt_ns < 60 * NS_PER_SECOND)
        decimals(out, rtt_ns, NS_PER_SECOND, 9, "s");
    else {
        char seconds[MONITOR_TIME_BYTES];
        decimals(seconds, rtt_ns % (60 * NS_PER_SECOND), NS_PER_SECOND, 9, "s");
        int64_t minutes = rtt_ns / (60 * NS_PER_SECOND);
        if (minutes >= 60)
            snprintf(out, MONITOR_TIME_BYTES, "%" PRId64 "h%" PRId64 "m%.20s", minutes / 60, minutes % 60,
                     seconds);
        else
            snprintf(out, MONITOR_TIME_BYTES, "%" PRId64 "m%.20s", minutes, seconds);
    }
    return out;
}

void monitor_put_time(struct json_output *document, const char *key, const struct control *control,
                      int64_t moment_ns)
{
    char out[MONITOR_TIME_BYTES];
    json_put_text(document, key, text(monitor_time_text(out, moment_ns + control->monitor.wall_minus_ns)));
}

void monitor_put_now(struct json_output *document, const struct control *control)
{
    json_put_text(document, "server_id", text(control->server_id));
    monitor_put_time(document, "now", control, clock_monotonic_ns());
}

void monitor_put_span(struct json_output *document, const char *key, int64_t span_ns)
{
    char out[MONITOR_TIME_BYTES];
    json_put_text(document, key, text(monitor_span_text(out, span_ns)));
}

void monitor_put_rtt(struct json_output *document, const char *key, int64_t rtt_ns)
{
    char out[MONITOR_TIME_BYTES];
    json_put_text(document, key, text(monitor_rtt_text(out, rtt_ns)));
}
