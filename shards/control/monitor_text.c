/* shards/control/monitor_text.c - moments and spans as monitoring writes them (spec/monitoring.md 1.5). */
#include "core/base/clock.h"
#include "shards/control/control.h"
#include "shards/control/monitor_task.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* So many digits, zeros in front. A page of connections is thousands of moments and spans: printf's way with
 * formats was a sixth of what they cost. */
static void put_digits(char *out, int64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
}

/* Without what comes behind the seconds; how long it is. */
static int date_text(char out[MONITOR_TIME_BYTES], int64_t seconds)
{
    static const char shape[] = "0000-00-00T00:00:00";
    time_t moment = (time_t)seconds;
    struct tm tm = {0};
    (void)gmtime_r(&moment, &tm);
    memcpy(out, shape, sizeof shape);
    put_digits(out, (tm.tm_year + 1900) % 10000, 4); /* RFC 3339 has no later years */
    put_digits(out + 5, tm.tm_mon + 1, 2);
    put_digits(out + 8, tm.tm_mday, 2);
    put_digits(out + 11, tm.tm_hour, 2);
    put_digits(out + 14, tm.tm_min, 2);
    put_digits(out + 17, tm.tm_sec, 2);
    return (int)sizeof shape - 1;
}

const char *monitor_time_text(char out[MONITOR_TIME_BYTES], int64_t wall_ns)
{
    int count = date_text(out, wall_ns / NS_PER_SECOND);
    int64_t fraction_ns = wall_ns % NS_PER_SECOND;
    if (fraction_ns > 0) {
        out[count] = '.';
        put_digits(out + count + 1, fraction_ns, 9);
        count += 10;
        while (out[count - 1] == '0')
            count--;
    }
    memcpy(out + count, "Z", 2);
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
        if (value == 0 && count == 0 && units[i].name != 's')
            continue;
        int digits = 1;
        for (int64_t rest = value; rest >= 10; rest /= 10)
            digits++;
        put_digits(out + count, value, digits);
        out[count + digits] = units[i].name;
        count += digits + 1;
    }
    out[count] = 0;
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
