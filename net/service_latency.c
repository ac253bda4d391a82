/* net/service_latency.c - see service_latency.h. */
#include "net/service_latency.h"

#include "core/base/clock.h"
#include "core/base/language.h"
#include "core/codec/json_writer.h"
#include "core/codec/nuid.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

enum {
    HEADERS_MAX = 32, /* names that one metric repeats; what comes behind is left out */
    NAME_BYTES_MAX = 128,
};

/* Which header has asked for the sample; what travels along with it. */
enum trigger { TRIGGER_NONE, TRIGGER_UBER, TRIGGER_B3_NAMES, TRIGGER_B3, TRIGGER_CONTEXT };

static const struct {
    const char *name;
    enum trigger with;
} trace_names[] = {
    {"Uber-Trace-Id", TRIGGER_UBER},    {"X-B3-Sampled", TRIGGER_B3_NAMES},
    {"X-B3-TraceId", TRIGGER_B3_NAMES}, {"X-B3-ParentSpanId", TRIGGER_B3_NAMES},
    {"X-B3-SpanId", TRIGGER_B3_NAMES},  {"B3", TRIGGER_B3},
    {"traceparent", TRIGGER_CONTEXT},   {"tracestate", TRIGGER_CONTEXT},
};
static const char uber_context[] = "Uberctx-";

/* A line of the headers: name and value, without blanks around it. False: no more lines. */
static bool next_line(struct bytes *rest, struct bytes *name, struct bytes *value)
{
    while (rest->count > 0) {
        const uint8_t *newline = memchr(rest->data, '\n', rest->count);
        size_t count = newline == NULL ? rest->count : (size_t)(newline - rest->data) + 1;
        struct bytes line = bytes_of(rest->data, count);
        *rest = bytes_of(rest->data + count, rest->count - count);
        while (line.count > 0 && (line.data[line.count - 1] == '\n' || line.data[line.count - 1] == '\r'))
            line.count--;
        const uint8_t *colon = line.count == 0 ? NULL : memchr(line.data, ':', line.count);
        if (colon == NULL)
            continue;
        *name = bytes_of(line.data, (size_t)(colon - line.data));
        *value = bytes_of(colon + 1, line.count - name->count - 1);
        while (value->count > 0 && value->data[0] == ' ')
            *value = bytes_of(value->data + 1, value->count - 1);
        while (value->count > 0 && value->data[value->count - 1] == ' ')
            value->count--;
        return true;
    }
    return false;
}

static bool named(struct bytes name, const char *wanted)
{
    return name.count == strlen(wanted) && strncasecmp((const char *)name.data, wanted, name.count) == 0;
}

/* The part with that number, from 1, of a value cut at `separator`; *count gets how many there are. */
static struct bytes part(struct bytes value, char separator, int number, int *count)
{
    struct bytes found = {NULL, 0};
    size_t start = 0;
    *count = 0;
    for (size_t at = 0; at <= value.count; at++) {
        if (at < value.count && value.data[at] != (uint8_t)separator)
            continue;
        if (++*count == number)
            found = bytes_of(value.data + start, at - start);
        start = at + 1;
    }
    return found;
}

/* The value of the first header of that name. False: there is none. */
static bool find(struct bytes headers, const char *wanted, struct bytes *value)
{
    struct bytes name;
    while (next_line(&headers, &name, value)) {
        if (named(name, wanted))
            return true;
    }
    return false;
}

/* Whether it is a number of one or two hexadecimal letters with its lowest bit set. */
static bool lowest_bit(struct bytes digits)
{
    int digit = 0;
    for (size_t i = 0; i < digits.count; i++) {
        int c = digits.data[i] | 0x20;
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        digit = c <= '9' ? c - '0' : c - 'a' + 10;
    }
    return digits.count > 0 && digits.count <= 2 && (digit & 1) != 0;
}

/* Whether a B3 does not deny: its third part, or all of it, is not 0. */
static bool b3_allows(struct bytes value)
{
    int count;
    struct bytes sampled = part(value, '-', 3, &count);
    if (count == 1)
        sampled = value;
    return (count == 2) || !bytes_equal(sampled, TEXT("0"));
}

static enum trigger trigger_of(struct bytes headers)
{
    struct bytes value;
    int count;
    if (find(headers, "Uber-Trace-Id", &value)) {
        struct bytes flags = part(value, ':', 4, &count);
        return count == 4 && lowest_bit(flags) ? TRIGGER_UBER : TRIGGER_NONE;
    }
    if (find(headers, "X-B3-Sampled", &value)) {
        if (bytes_equal(value, TEXT("1")))
            return TRIGGER_B3_NAMES;
        if (bytes_equal(value, TEXT("0")))
            return TRIGGER_NONE;
    }
    if (find(headers, "X-B3-TraceId", &value))
        return TRIGGER_B3_NAMES;
    if (find(headers, "B3", &value))
        return b3_allows(value) ? TRIGGER_B3 : TRIGGER_NONE;
    if (find(headers, "traceparent", &value)) {
        struct bytes flags = part(value, '-', 4, &count);
        return count == 4 && flags.count == 2 && lowest_bit(flags) ? TRIGGER_CONTEXT : TRIGGER_NONE;
    }
    return TRIGGER_NONE;
}

bool service_latency_asked(struct bytes headers)
{
    return trigger_of(headers) != TRIGGER_NONE;
}

/* ---- the metric ---- */

struct bytes service_latency_stamp(char out[SERVICE_LATENCY_STAMP_BYTES], int64_t wall_ns)
{
    char whole[64];
    struct tm parts;
    time_t seconds = (time_t)(wall_ns / NS_PER_SECOND);
    if (gmtime_r(&seconds, &parts) == NULL || strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        return TEXT("1970-01-01T00:00:00Z");
    int count =
        snprintf(out, SERVICE_LATENCY_STAMP_BYTES, "%s.%09lldZ", whole, (long long)(wall_ns % NS_PER_SECOND));
    return bytes_of(out, (size_t)count);
}

static const char *description(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 408:
        return "Request Timeout";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Service Timeout";
    default:
        return NULL;
    }
}

/* Whether a header goes with what has asked. */
static bool travels(struct bytes name, enum trigger trigger)
{
    if (trigger == TRIGGER_UBER && name.count >= sizeof uber_context - 1 &&
        strncasecmp((const char *)name.data, uber_context, sizeof uber_context - 1) == 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(trace_names); i++) {
        if (trace_names[i].with == trigger && named(name, trace_names[i].name))
            return true;
    }
    return false;
}

/* A name as Go's headers have it: a capital first and behind each '-'. False: it is no name. */
static bool name_put(char out[NAME_BYTES_MAX], struct bytes name)
{
    bool first = true;
    if (name.count == 0 || name.count >= NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.count; i++) {
        char c = (char)name.data[i];
        if (c == 0 || (!isalnum((unsigned char)c) && strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
        out[i] = (char)(first ? toupper((unsigned char)c) : tolower((unsigned char)c));
        first = c == '-';
    }
    out[name.count] = 0;
    return true;
}

/* All values of a header, from its first line on. */
static void write_values(struct json_writer *writer, struct bytes first, struct bytes rest, const char *key)
{
    struct bytes name, value;
    json_write_key(writer, key);
    json_write_array_begin(writer);
    json_write_text(writer, first);
    while (next_line(&rest, &name, &value)) {
        if (named(name, key))
            json_write_text(writer, value);
    }
    json_write_array_end(writer);
}

/* The headers that have asked, each with the list of its values. */
static void write_headers(struct json_writer *writer, struct bytes headers)
{
    char keys[HEADERS_MAX][NAME_BYTES_MAX];
    size_t count = 0;
    struct bytes name, value;
    enum trigger trigger = trigger_of(headers);
    json_write_key(writer, "header");
    json_write_object_begin(writer);
    while (count < HEADERS_MAX && next_line(&headers, &name, &value)) {
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known = known || named(name, keys[i]);
        if (!known && travels(name, trigger) && name_put(keys[count], name))
            write_values(writer, value, headers, keys[count++]);
    }
    json_write_object_end(writer);
}

/* The JSON of the clients is there already: it goes in as it is. */
static void write_client(struct json_writer *writer, const char *key, struct bytes json)
{
    if (json.count == 0)
        return;
    json_write_key(writer, key);
    json_write_raw(writer, json);
}

size_t service_latency_json(char *out, size_t capacity, const struct service_latency_metric *metric,
                            int64_t wall_ns, struct random *random)
{
    struct json_writer writer;
    char id[NUID_TEXT_BYTES];
    char at[SERVICE_LATENCY_STAMP_BYTES], start[SERVICE_LATENCY_STAMP_BYTES];
    nuid_make(id, random);
    json_writer_init(&writer, out, capacity);
    json_write_object_begin(&writer);
    json_write_member(&writer, "type", TEXT("io.nats.server.metric.v1.service_latency"));
    json_write_member(&writer, "id", bytes_of(id, sizeof id));
    json_write_member(&writer, "timestamp", service_latency_stamp(at, wall_ns));
    json_write_member_int(&writer, "status", metric->status);
    const char *says = description(metric->status);
    if (says != NULL)
        json_write_member(&writer, "description", text(says));
    write_client(&writer, "requestor", metric->requestor);
    write_client(&writer, "responder", metric->responder);
    if (metric->headers.count > 0)
        write_headers(&writer, metric->headers);
    json_write_member(&writer, "start", service_latency_stamp(start, metric->start_wall_ns));
    json_write_member_int(&writer, "service", metric->service_ns);
    json_write_member_int(&writer, "system", metric->system_ns);
    json_write_member_int(&writer, "total", metric->total_ns);
    json_write_object_end(&writer);
    return json_writer_count(&writer);
}
