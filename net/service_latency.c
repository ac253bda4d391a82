/* net/service_latency.c - see service_latency.h. */
#include "net/service_latency.h"

#include "core/base/clock.h"
#include "core/base/language.h"
#include "core/codec/json_writer.h"
#include "core/codec/nuid.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

enum { STAMP_BYTES = 96 };

/* Names that may trigger a sample or travel along with those that do. */
static const char *const trace_names[] = {
    "Uber-Trace-Id", "X-B3-Sampled", "X-B3-TraceId", "X-B3-ParentSpanId",
    "X-B3-SpanId",   "B3",           "traceparent",  "tracestate",
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

/* Whether the lowest bit of a number in hexadecimal letters is set. */
static bool lowest_bit(struct bytes digits)
{
    if (digits.count == 0)
        return false;
    int c = digits.data[digits.count - 1] | 0x20;
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
    return (digit & 1) != 0;
}

bool service_latency_asked(struct bytes headers)
{
    struct bytes name, value;
    bool trace_id = false;
    while (next_line(&headers, &name, &value)) {
        int count = 0;
        if (named(name, "Uber-Trace-Id")) {
            struct bytes flags = part(value, ':', 4, &count);
            return count == 4 && lowest_bit(flags);
        }
        if (named(name, "X-B3-Sampled"))
            return bytes_equal(value, TEXT("1"));
        if (named(name, "X-B3-TraceId")) {
            trace_id = true;
        } else if (named(name, "B3")) {
            struct bytes sampled = part(value, '-', 3, &count);
            return count < 3 ? count > 1 || !bytes_equal(value, TEXT("0")) : !bytes_equal(sampled, TEXT("0"));
        } else if (named(name, "traceparent")) {
            struct bytes flags = part(value, '-', 4, &count);
            return count == 4 && lowest_bit(flags);
        }
    }
    return trace_id;
}

/* ---- the metric ---- */

static struct bytes stamp(char out[STAMP_BYTES], int64_t wall_ns)
{
    char whole[64];
    struct tm parts;
    time_t seconds = (time_t)(wall_ns / NS_PER_SECOND);
    if (gmtime_r(&seconds, &parts) == NULL || strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        return TEXT("1970-01-01T00:00:00Z");
    int count = snprintf(out, STAMP_BYTES, "%s.%09lldZ", whole, (long long)(wall_ns % NS_PER_SECOND));
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

static void member(struct json_writer *writer, const char *key, struct bytes value)
{
    json_write_key(writer, key);
    json_write_text(writer, value);
}

static void member_number(struct json_writer *writer, const char *key, int64_t value)
{
    json_write_key(writer, key);
    json_write_int(writer, value);
}

/* The trace headers, each as a list of one value. */
static void write_headers(struct json_writer *writer, struct bytes headers)
{
    struct bytes name, value;
    json_write_key(writer, "header");
    json_write_object_begin(writer);
    while (next_line(&headers, &name, &value)) {
        char key[128];
        bool wanted = name.count >= sizeof uber_context - 1 &&
                      strncasecmp((const char *)name.data, uber_context, sizeof uber_context - 1) == 0;
        for (size_t i = 0; i < COUNT_OF(trace_names); i++)
            wanted = wanted || named(name, trace_names[i]);
        if (!wanted || name.count >= sizeof key || memchr(name.data, '"', name.count) != NULL ||
            memchr(name.data, '\\', name.count) != NULL)
            continue;
        snprintf(key, sizeof key, "%.*s", BYTES_PRINTF(name));
        json_write_key(writer, key);
        json_write_array_begin(writer);
        json_write_text(writer, value);
        json_write_array_end(writer);
    }
    json_write_object_end(writer);
}

/* The JSON of the clients is there already: it goes in as it is. */
static size_t put_object(char *out, size_t capacity, const char *key, struct bytes json)
{
    if (json.count == 0)
        return 0;
    int count = snprintf(out, capacity, ",\"%s\":%.*s", key, BYTES_PRINTF(json));
    return count > 0 && (size_t)count < capacity ? (size_t)count : 0;
}

size_t service_latency_json(char *out, size_t capacity, const struct service_latency_metric *metric,
                            int64_t wall_ns, struct random *random)
{
    struct json_writer writer;
    char id[NUID_TEXT_BYTES];
    char at[STAMP_BYTES], start[STAMP_BYTES];
    nuid_make(id, random);
    json_writer_init(&writer, out, capacity);
    json_write_object_begin(&writer);
    member(&writer, "type", TEXT("io.nats.server.metric.v1.service_latency"));
    member(&writer, "id", bytes_of(id, sizeof id));
    member(&writer, "timestamp", stamp(at, wall_ns));
    member_number(&writer, "status", metric->status);
    const char *says = description(metric->status);
    if (says != NULL)
        member(&writer, "description", text(says));
    size_t count = json_writer_count(&writer);
    if (count == 0)
        return 0;
    count += put_object(out + count, capacity - count, "requestor", metric->requestor);
    count += put_object(out + count, capacity - count, "responder", metric->responder);
    struct json_writer rest;
    json_writer_init(&rest, out + count, capacity - count);
    json_write_object_begin(&rest);
    if (metric->headers.count > 0)
        write_headers(&rest, metric->headers);
    member(&rest, "start", stamp(start, metric->start_wall_ns));
    member_number(&rest, "service", metric->service_ns);
    member_number(&rest, "system", metric->system_ns);
    member_number(&rest, "total", metric->total_ns);
    json_write_object_end(&rest);
    size_t more = json_writer_count(&rest);
    if (more == 0)
        return 0;
    out[count] = ','; /* in place of the brace */
    return count + more;
}
