/* tests/unit/net/test_latency_half.c - net/latency_half.h: what servers tell each other of a responder
 * (spec/security.md 5.6). */
#include "net/latency_half.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* As nats-server 2.9.10 wrote it, with all that a responder can have. */
static const char whole[] =
    "{\"account\":\"EXP\",\"req_id\":\"_R_.a.b.sQnRv29R.T\",\"m2\":{\"type\":\"\",\"id\":\"\",\"timestamp\":"
    "\"0001-01-01T00:00:00Z\",\"status\":200,\"responder\":{\"start\":\"2026-11-30T01:00:00Z\",\"host\":\"::"
    "1\",\"id\":7,"
    "\"acc\":\"EXP\",\"svc\":\"S\",\"user\":\"u\\\"\",\"name\":\"n\",\"lang\":\"go\",\"ver\":\"1\",\"rtt\":"
    "42,\"server\":\"B\","
    "\"cluster\":\"C\",\"alts\":[\"D\",\"E\"],\"jwt\":\"j\",\"issuer_key\":\"k\",\"name_tag\":\"t\",\"tags\":"
    "[\"x\"],"
    "\"kind\":\"Client\",\"client_type\":\"nats\",\"client_id\":\"m\"},\"start\":\"2026-11-30T02:00:00Z\","
    "\"service\":1000,\"system\":0,\"total\":1042}}";

Test(latency_half, is_read_and_its_responder_written_as_it_was)
{
    struct latency_half_read half;
    char json[1024];
    cr_assert_eq(latency_half_read(&half, text(whole)), ERR_OK);
    cr_expect(bytes_equal(half.account, TEXT("EXP")));
    cr_expect(bytes_equal(half.request, TEXT("_R_.a.b.sQnRv29R.T")));
    cr_expect_eq(half.service_ns, 1000);
    cr_expect_eq(half.responder.rtt_ns, 42);
    size_t count = latency_responder_json(json, sizeof json, &half.responder);
    cr_assert(count > 0);
    cr_expect(memmem(whole, sizeof whole - 1, json, count) != NULL, "%.*s", (int)count, json);
    for (size_t capacity = 0; capacity < count; capacity++)
        cr_expect_eq(latency_responder_json(json, capacity, &half.responder), 0, "%zu bytes", capacity);
    latency_half_close(&half);
}

Test(latency_half, cut_anywhere_is_none)
{
    struct latency_half_read half;
    for (size_t count = 0; count < sizeof whole - 1; count++) {
        cr_expect_eq(latency_half_read(&half, bytes_of(whole, count)), ERR_INVALID, "%zu bytes", count);
        latency_half_close(&half);
    }
}

static const struct {
    const char *json;
    enum err err;
} rows[] = {
    {"{\"account\":\"A\",\"req_id\":\"r\"}", ERR_OK},
    {"{\"account\":\"A\",\"req_id\":\"r\",\"m2\":{\"responder\":null,\"service\":null}}", ERR_OK},
    {"{\"req_id\":\"r\"}", ERR_INVALID},
    {"{\"account\":\"A\",\"req_id\":\"\"}", ERR_INVALID},
    {"{\"account\":1,\"req_id\":\"r\"}", ERR_INVALID},
    {"{\"account\":\"A\",\"req_id\":\"r\",\"m2\":1}", ERR_INVALID},
    {"{\"account\":\"A\",\"req_id\":\"r\",\"m2\":{\"service\":1.5}}", ERR_INVALID},
    {"null", ERR_INVALID},
    {"[]", ERR_INVALID},
};

Test(latency_half, what_has_another_form_is_none)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct latency_half_read half;
        cr_expect_eq(latency_half_read(&half, text(rows[i].json)), rows[i].err, "%s", rows[i].json);
        latency_half_close(&half);
    }
}

Test(latency_half, what_is_too_large_is_not_read)
{
    static char large[LATENCY_HALF_BYTES_MAX + 1];
    struct latency_half_read half;
    int count = snprintf(large, sizeof large, "{\"account\":\"A\",\"req_id\":\"r\"}");
    memset(large + count, ' ', sizeof large - (size_t)count);
    cr_expect_eq(latency_half_read(&half, bytes_of(large, LATENCY_HALF_BYTES_MAX)), ERR_OK);
    latency_half_close(&half);
    cr_expect_eq(latency_half_read(&half, bytes_of(large, LATENCY_HALF_BYTES_MAX + 1)), ERR_INVALID);
    latency_half_close(&half);
}

Test(latency_half, is_written_as_nats_server_does)
{
    char json[1024];
    struct latency_half half = {
        .account = TEXT("EXP"),
        .request = TEXT("_R_.a.b.sQnRv29R.T"),
        .service_ns = 1000,
        .rtt_ns = 42,
        .start_wall_ns = 1500000000,
        .responder = TEXT("{\"acc\":\"EXP\"}"),
    };
    size_t count = latency_half_write(json, sizeof json, &half);
    cr_expect(
        bytes_equal(
            bytes_of(json, count),
            TEXT("{\"account\":\"EXP\",\"req_id\":\"_R_.a.b.sQnRv29R.T\",\"m2\":{\"type\":\"\",\"id\":\"\","
                 "\"timestamp\":\"0001-01-01T00:00:00Z\",\"status\":200,\"responder\":{\"acc\":\"EXP\"},"
                 "\"start\":\"1970-01-01T00:00:01.500000000Z\",\"service\":1000,\"system\":0,"
                 "\"total\":1042}}")),
        "%.*s", (int)count, json);
    for (size_t capacity = 0; capacity < count; capacity++)
        cr_expect_eq(latency_half_write(json, capacity, &half), 0, "%zu bytes", capacity);
    half.responder.count = 0;
    count = latency_half_write(json, sizeof json, &half);
    cr_expect(count > 0 && json_valid(bytes_of(json, count)) && memmem(json, count, "responder", 9) == NULL,
              "%.*s", (int)count, json);
}
