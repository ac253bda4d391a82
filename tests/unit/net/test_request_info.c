/* What a service is told about its requester, and what a latency metric says: net/request_info.h,
 * net/service_latency.h (spec/security.md 5.4, 5.6). */
#include "core/codec/json.h"
#include "net/request_info.h"
#include "net/service_latency.h"
#include "tests/unit/net/fake_host.h"

#include <criterion/criterion.h>

static const char connect[] =
    "CONNECT {\"verbose\":false,\"user\":\"a\",\"name\":\"n<>\",\"lang\":\"c\",\"version\":\"1\"}\r\n";

static const struct {
    const char *header, *payload, *result; /* NULL header: none */
} put_rows[] = {
    {NULL, "hi", "NATS/1.0\r\nNats-Request-Info: {}\r\n\r\nhi"},
    {NULL, "", "NATS/1.0\r\nNats-Request-Info: {}\r\n\r\n"},
    {"NATS/1.0\r\n\r\n", "hi", "NATS/1.0\r\nNats-Request-Info: {}\r\n\r\nhi"},
    {"NATS/1.0\r\nA: b\r\n\r\n", "hi", "NATS/1.0\r\nA: b\r\nNats-Request-Info: {}\r\n\r\nhi"},
    {"NATS/1.0 503\r\nA: b\r\n\r\n", "hi", "NATS/1.0 503\r\nA: b\r\nNats-Request-Info: {}\r\n\r\nhi"},
    {"NATS/1.0\r\nA: b\r\nNats-Request-Info: {\"acc\":\"x\"}\r\nC: d\r\n\r\n", "",
     "NATS/1.0\r\nA: b\r\nC: d\r\nNats-Request-Info: {}\r\n\r\n"},
    {"NATS/1.0\r\nnats-request-INFO:x\r\nNats-Request-Info: y\r\n\r\n", "p",
     "NATS/1.0\r\nNats-Request-Info: {}\r\n\r\np"},
    {"NATS/1.0\r\nNats-Request-Infos: x\r\n\r\n", "p",
     "NATS/1.0\r\nNats-Request-Infos: x\r\nNats-Request-Info: {}\r\n\r\np"},
    {"no header at all", "p", "NATS/1.0\r\nNats-Request-Info: {}\r\n\r\np"},
    {"NATS/1.0\r\nA: b", "p", "NATS/1.0\r\nNats-Request-Info: {}\r\n\r\np"},
};

Test(request_info, the_header_is_put_in_and_no_other_is_left)
{
    struct block_pool pool = {0};
    for (size_t i = 0; i < COUNT_OF(put_rows); i++) {
        char body[256];
        struct request_texts texts;
        const char *header = put_rows[i].header == NULL ? "" : put_rows[i].header;
        int count = snprintf(body, sizeof body, "%s%s", header, put_rows[i].payload);
        struct message message = {
            .body = (const uint8_t *)body,
            .header_bytes = (uint32_t)strlen(header),
            .total_bytes = (uint32_t)count,
            .line_serial = 7,
        };
        struct block *block = request_info_put(&message, TEXT("{}"), &pool, &texts);
        cr_assert_not_null(block);
        cr_expect(bytes_equal(bytes_of(message.body, message.total_bytes), text(put_rows[i].result)),
                  "row %zu: %.*s", i, (int)message.total_bytes, message.body);
        char sizes[2][24];
        snprintf(sizes[0], sizeof sizes[0], "%zu", strlen(put_rows[i].result) - strlen(put_rows[i].payload));
        snprintf(sizes[1], sizeof sizes[1], "%zu", strlen(put_rows[i].result));
        cr_expect(bytes_equal(message.header_size_text, text(sizes[0])));
        cr_expect(bytes_equal(message.total_size_text, text(sizes[1])));
        cr_expect_eq(message.line_serial, 0, "it is another message than its line says");
        block_release(&pool, block);
    }
    block_pool_close(&pool);
}

Test(request_info, who_asks_is_told_only_when_he_shares_it)
{
    struct fake_host *fake = fake_new();
    struct fake_client *at = fake_connect(fake, 0);
    char json[1024];
    fake_feed(fake, at, text(connect));
    size_t count = request_info_json(json, sizeof json, &at->client, TEXT("A"), TEXT(""), false);
    cr_expect(bytes_equal(bytes_of(json, count), TEXT("{\"acc\":\"A\"}")), "%.*s", (int)count, json);
    at->client.rtt_ns = 42;
    count = request_info_json(json, sizeof json, &at->client, TEXT("A"), TEXT("M"), false);
    cr_expect(bytes_equal(bytes_of(json, count), TEXT("{\"acc\":\"A\",\"svc\":\"M\",\"rtt\":42}")), "%.*s",
              (int)count, json);
    count = request_info_json(json, sizeof json, &at->client, TEXT("A"), TEXT(""), true);
    cr_assert(count > 0 && json_valid(bytes_of(json, count)), "%.*s", (int)count, json);
    json[count] = 0;
    cr_expect(
        strstr(json,
               "\"host\":\"127.0.0.1\",\"id\":1,\"acc\":\"A\",\"user\":\"a\",\"name\":\"n\\u003c\\u003e\","
               "\"lang\":\"c\",\"ver\":\"1\",\"rtt\":42,\"server\":\"NAME\",\"kind\":\"Client\","
               "\"client_type\":\"nats\"}") != NULL,
        "%s", json);
    cr_expect_eq(request_info_json(json, 20, &at->client, TEXT("A"), TEXT(""), true), 0, "it does not fit");
    fake_free(fake);
}

static const struct {
    const char *headers;
    bool asked;
} asked_rows[] = {
    {"NATS/1.0\r\n\r\n", false},
    {"NATS/1.0\r\nUber-Trace-Id: 1:2:3:1\r\n\r\n", true},
    {"NATS/1.0\r\nUber-Trace-Id: 1:2:3:0\r\n\r\n", false},
    {"NATS/1.0\r\nUber-Trace-Id: 1:2:1\r\n\r\n", false},
    {"NATS/1.0\r\nX-B3-Sampled: 1\r\n\r\n", true},
    {"NATS/1.0\r\nX-B3-Sampled: 0\r\nX-B3-TraceId: x\r\n\r\n", false},
    {"NATS/1.0\r\nX-B3-TraceId: x\r\n\r\n", true},
    {"NATS/1.0\r\nB3: a-b-1-c\r\n\r\n", true},
    {"NATS/1.0\r\nB3: a-b-0-c\r\n\r\n", false},
    {"NATS/1.0\r\ntraceparent: 00-a-b-01\r\n\r\n", true},
    {"NATS/1.0\r\ntraceparent: 00-a-b-00\r\n\r\n", false},
    {"NATS/1.0\r\nUber-Trace-Id: 1:2:3:1f\r\n\r\n", true},
    {"NATS/1.0\r\nUber-Trace-Id: 1:2:3:111\r\n\r\n", false},
    {"NATS/1.0\r\nUber-Trace-Id: 1:2:3:x1\r\n\r\n", false},
    {"NATS/1.0\r\nUber-Trace-Id: 1:2:3:\r\n\r\n", false},
    {"NATS/1.0\r\nX-B3-Sampled: 1\r\nUber-Trace-Id: 1:2:3:0\r\n\r\n", false},
    {"NATS/1.0\r\nX-B3-Sampled: d\r\n\r\n", false},
    {"NATS/1.0\r\nX-B3-Sampled: d\r\nx-b3-traceid: x\r\n\r\n", true},
    {"NATS/1.0\r\nX-B3-TraceId: x\r\nX-B3-Sampled: 0\r\n\r\n", false},
    {"NATS/1.0\r\nB3: 0\r\n\r\n", false},
    {"NATS/1.0\r\nB3: a-b\r\n\r\n", true},
    {"NATS/1.0\r\ntraceparent: 00-a-b-00\r\nB3: 1\r\n\r\n", true},
    {"NATS/1.0\r\ntraceparent: 00-a-b-1\r\n\r\n", false},
    {"NATS/1.0\r\nTraceparent: 00-a-b-03\r\n\r\n", true},
    {"NATS/1.0\r\ntracestate: x\r\nX-B3-SpanId: y\r\nUberctx-Z: z\r\n\r\n", false},
    {"no colon", false},
};

Test(request_info, trace_headers_ask_for_a_sample)
{
    for (size_t i = 0; i < COUNT_OF(asked_rows); i++)
        cr_expect_eq(service_latency_asked(text(asked_rows[i].headers)), asked_rows[i].asked, "%s",
                     asked_rows[i].headers);
}

static const struct {
    const char *headers, *copied;
} copied_rows[] = {
    {"NATS/1.0\r\nuberctx-y: 1\r\nUber-Trace-Id: 1:2:3:1\r\nX-B3-SpanId: s\r\nuber-trace-id: 2\r\n\r\n",
     "\"header\":{\"Uberctx-Y\":[\"1\"],\"Uber-Trace-Id\":[\"1:2:3:1\",\"2\"]},"},
    {"NATS/1.0\r\nX-B3-TraceId: t\r\nX-B3-SpanId: s\r\nX-B3-ParentSpanId: p\r\nB3: 1\r\nUberctx-A: a\r\n\r\n",
     "\"header\":{\"X-B3-Traceid\":[\"t\"],\"X-B3-Spanid\":[\"s\"],\"X-B3-Parentspanid\":[\"p\"]},"},
    {"NATS/1.0\r\nB3: a-b-1\r\nX-B3-SpanId: s\r\ntracestate: x\r\n\r\n", "\"header\":{\"B3\":[\"a-b-1\"]},"},
    {"NATS/1.0\r\ntracestate: x=1\r\ntraceparent: 00-a-b-01\r\nX-B3-SpanId: s\r\n\r\n",
     "\"header\":{\"Tracestate\":[\"x=1\"],\"Traceparent\":[\"00-a-b-01\"]},"},
    {"NATS/1.0\r\nUber-Trace-Id: 1:2:3:1\r\nUberctx-\"}: x\r\nUberctx- : x\r\n\r\n",
     "\"header\":{\"Uber-Trace-Id\":[\"1:2:3:1\"]},"},
};

Test(request_info, the_headers_that_asked_are_copied_and_no_others)
{
    struct random random = {1};
    for (size_t i = 0; i < COUNT_OF(copied_rows); i++) {
        char json[1024];
        struct service_latency_metric metric = {.status = 200, .headers = text(copied_rows[i].headers)};
        size_t count = service_latency_json(json, sizeof json - 1, &metric, 0, &random);
        cr_assert(count > 0 && json_valid(bytes_of(json, count)), "%.*s", (int)count, json);
        json[count] = 0;
        cr_expect(strstr(json, copied_rows[i].copied) != NULL, "row %zu: %s", i, json);
    }
}

Test(request_info, a_thousand_headers_are_not_copied)
{
    static char headers[64 * 1024];
    static char json[64 * 1024];
    struct random random = {1};
    size_t at = (size_t)snprintf(headers, sizeof headers, "NATS/1.0\r\nUber-Trace-Id: 1:2:3:1\r\n");
    for (int i = 0; i < 1000; i++)
        at += (size_t)snprintf(headers + at, sizeof headers - at, "Uberctx-%d: x\r\n", i);
    struct service_latency_metric metric = {.status = 200, .headers = bytes_of(headers, at)};
    size_t count = service_latency_json(json, sizeof json - 1, &metric, 0, &random);
    cr_assert(count > 0 && count < 1024, "%zu bytes", count);
    json[count] = 0;
    cr_expect(strstr(json, "Uberctx-30\"") != NULL && strstr(json, "Uberctx-31\"") == NULL, "%s", json);
}

Test(request_info, a_metric_is_json_with_what_was_measured)
{
    struct random random = {1};
    char json[2048];
    struct service_latency_metric metric = {
        .status = 200,
        .requestor = TEXT("{\"acc\":\"A\"}"),
        .headers = TEXT("NATS/1.0\r\nX-B3-Sampled: 1\r\nOther: x\r\nUberctx-Y: z\r\n\r\n"),
        .start_wall_ns = 1500000000,
        .service_ns = 5,
        .total_ns = 7,
    };
    size_t count = service_latency_json(json, sizeof json - 1, &metric, 2000000000, &random);
    cr_assert(count > 0 && json_valid(bytes_of(json, count)), "%.*s", (int)count, json);
    json[count] = 0;
    cr_expect(
        strstr(
            json,
            "\"timestamp\":\"1970-01-01T00:00:02.000000000Z\",\"status\":200,\"requestor\":{\"acc\":\"A\"},"
            "\"header\":{\"X-B3-Sampled\":[\"1\"]},"
            "\"start\":\"1970-01-01T00:00:01.500000000Z\",\"service\":5,\"system\":0,\"total\":7}") != NULL,
        "%s", json);
    metric.status = 503;
    metric.headers.count = 0;
    count = service_latency_json(json, sizeof json - 1, &metric, 2000000000, &random);
    json[count] = 0;
    cr_expect(strstr(json, "\"status\":503,\"description\":\"Service Unavailable\"") != NULL, "%s", json);
    for (size_t capacity = 0; capacity < count; capacity += 7)
        cr_expect_eq(service_latency_json(json, capacity, &metric, 2000000000, &random), 0, "%zu bytes",
                     capacity);
}
