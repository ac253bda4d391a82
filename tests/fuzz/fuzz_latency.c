/* Any bytes as what another server has measured of a service, and as the trace headers of a request: nothing
 * crashes, what was read is written as sound JSON, and reading that gives the same again. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "net/latency_half.h"
#include "net/service_latency.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct latency_half_read *one, const struct latency_half_read *other)
{
    const struct latency_responder *a = &one->responder, *b = &other->responder;
    return bytes_equal(one->account, other->account) && one->service_ns == other->service_ns &&
           a->id == b->id && a->rtt_ns == b->rtt_ns && bytes_equal(a->user, b->user) &&
           bytes_equal(a->tags, b->tags) && bytes_equal(a->kind, b->kind);
}

static void half(struct bytes text)
{
    struct latency_half_read read, again;
    size_t capacity = 16 * text.count + 1024; /* a byte may become an escape of six */
    if (latency_half_read(&read, text) == ERR_OK && read.service_ns < INT64_MAX / 2) {
        char *responder = memory_new(capacity), *json = memory_new(2 * capacity);
        ASSERT(responder != NULL && json != NULL);
        struct latency_half written = {
            .account = read.account, .request = read.request, .service_ns = read.service_ns};
        written.responder = bytes_of(responder, latency_responder_json(responder, capacity, &read.responder));
        ASSERT(written.responder.count > 0 && json_valid(written.responder));
        size_t count = latency_half_write(json, 2 * capacity, &written);
        ASSERT(count > 0 && json_valid(bytes_of(json, count)));
        ASSERT(latency_half_write(json, count / 2, &written) == 0);
        count = latency_half_write(json, 2 * capacity, &written);
        enum err err = latency_half_read(&again, bytes_of(json, count));
        ASSERT(count > LATENCY_HALF_BYTES_MAX || (err == ERR_OK && same(&read, &again)));
        latency_half_close(&again);
        memory_free(responder);
        memory_free(json);
    }
    latency_half_close(&read);
}

static void headers(struct bytes text)
{
    static char json[16 * 1024];
    struct random random = {1};
    struct service_latency_metric metric = {.status = 200, .headers = text};
    size_t count = service_latency_json(json, sizeof json, &metric, 0, &random);
    ASSERT(count == 0 || json_valid(bytes_of(json, count)));
    (void)service_latency_asked(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    half(bytes_of(data, size));
    headers(bytes_of(data, size));
    return 0;
}
