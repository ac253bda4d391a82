/* shards/latency.c - see latency.h. What the exporter was configured with, and who asked, is copied into the
 * sample: both may be gone when the answer comes. */
#include "shards/latency.h"

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "net/client.h"
#include "net/request_info.h"
#include "net/service_latency.h"
#include "shards/backlog.h"
#include "shards/shard.h"

#include <stdio.h>

struct latency {
    int64_t start_ns; /* of the wall clock's progress only: the turn's moment is too coarse */
    int64_t start_wall_ns;
    int64_t rtt_ns;
    uint32_t subject_count;
    uint32_t requestor_count;
    uint32_t header_count;
    uint8_t bytes[]; /* subject, requestor, headers */
};

struct latency *latency_sample(struct shard *shard, const struct service_export *exported,
                               const struct client *client, struct bytes account, bool share,
                               const struct message *message)
{
    const struct service_latency *wanted = &exported->latency;
    char requestor[REQUEST_INFO_BYTES_MAX];
    struct bytes headers = bytes_of(message->body, message->header_bytes);
    if (wanted->subject.count == 0)
        return NULL;
    bool drawn = wanted->percent > 0 && random_below(&shard->context.random, 100) < wanted->percent;
    bool asked = !drawn && headers.count > 0 && service_latency_asked(headers);
    if (!drawn && !asked)
        return NULL;
    if (drawn)
        headers.count = 0;
    size_t count =
        request_info_json(requestor, sizeof requestor, client, account, (struct bytes){NULL, 0}, share);
    struct latency *latency = memory_new(sizeof *latency + wanted->subject.count + count + headers.count);
    if (latency == NULL)
        return NULL;
    latency->start_ns = clock_monotonic_ns();
    latency->start_wall_ns = clock_wall_ns() - client->rtt_ns;
    latency->rtt_ns = client->rtt_ns;
    latency->subject_count = (uint32_t)wanted->subject.count;
    latency->requestor_count = (uint32_t)count;
    latency->header_count = (uint32_t)headers.count;
    uint8_t *to = mempcpy(latency->bytes, wanted->subject.data, wanted->subject.count);
    to = mempcpy(to, requestor, count);
    if (headers.count > 0)
        memcpy(to, headers.data, headers.count);
    return latency;
}

void latency_publish(struct shard *shard, struct shard_account *exporter, struct latency *latency, int status,
                     const struct client *responder)
{
    char json[3 * REQUEST_INFO_BYTES_MAX];
    char who[REQUEST_INFO_BYTES_MAX];
    char size[16];
    if (latency == NULL)
        return;
    struct service_latency_metric metric = {
        .status = status,
        .requestor = bytes_of(latency->bytes + latency->subject_count, latency->requestor_count),
        .headers = bytes_of(latency->bytes + latency->subject_count + latency->requestor_count,
                            latency->header_count),
        .start_wall_ns = latency->start_wall_ns,
    };
    const struct security_account *configured = exporter->host.configured;
    if (status == 200) {
        int64_t responder_rtt_ns = responder != NULL ? responder->rtt_ns : 0;
        int64_t spent_ns = clock_monotonic_ns() - latency->start_ns;
        metric.service_ns = spent_ns > responder_rtt_ns ? spent_ns - responder_rtt_ns : spent_ns;
        metric.total_ns = latency->rtt_ns + spent_ns;
        if (configured != NULL && responder != NULL)
            metric.responder = bytes_of(who, request_info_json(who, sizeof who, responder, configured->name,
                                                               (struct bytes){NULL, 0}, true));
    }
    size_t count = service_latency_json(json, sizeof json, &metric, clock_wall_ns(), &shard->context.random);
    if (count > 0 && configured != NULL) {
        struct message message = {
            .subject = bytes_of(latency->bytes, latency->subject_count),
            .body = (const uint8_t *)json,
            .total_bytes = (uint32_t)count,
        };
        int digits = snprintf(size, sizeof size, "%zu", count);
        message.total_size_text = bytes_of(size, (size_t)digits);
        backlog_publish(shard, exporter, &message);
    }
    latency_free(latency);
}

void latency_free(struct latency *latency)
{
    memory_free(latency);
}
