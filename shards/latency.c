/* shards/latency.c - see latency.h. What the exporter was configured with, and who asked, is copied into the
 * sample: both may be gone when the answer comes. As long as the requester is there he is described anew,
 * because his round trip is mostly measured only when he is asked for it with this request. */
#include "shards/latency.h"

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "net/client.h"
#include "net/latency_half.h"
#include "net/request_info.h"
#include "net/service_latency.h"
#include "shards/backlog.h"
#include "shards/shard.h"

#include <stdio.h>

struct latency {
    int64_t start_ns; /* of the wall clock's progress only: the turn's moment is too coarse */
    int64_t start_wall_ns;
    int64_t rtt_ns;
    struct publisher_place place; /* the requester */
    int64_t spent_ns;             /* until the answer of another server's client; 0: it has not come */
    int64_t half_service_ns;      /* what that server has measured, with `half` */
    struct responder *half;       /* NULL: it has not told */
    uint32_t subject_count;
    uint32_t requestor_count;
    uint32_t header_count;
    bool share;
    uint8_t bytes[]; /* subject, requestor, headers */
};

/* What an answer adds to a metric. */
struct answer {
    int64_t service_ns, system_ns, spent_ns;
    struct bytes responder;
};

static struct bytes account_of(const struct client *client)
{
    const struct security_account *configured = client->account->configured;
    return configured == NULL ? (struct bytes){NULL, 0} : configured->name;
}

struct responder *responder_copy(int64_t rtt_ns, struct bytes json)
{
    struct responder *responder = memory_new(sizeof *responder + json.count);
    if (responder == NULL)
        return NULL;
    responder->rtt_ns = rtt_ns;
    responder->count = (uint32_t)json.count;
    if (json.count > 0)
        memcpy(responder->json, json.data, json.count);
    return responder;
}

struct responder *responder_new(const struct client *client)
{
    char json[REQUEST_INFO_BYTES_MAX];
    size_t count =
        request_info_json(json, sizeof json, client, account_of(client), (struct bytes){NULL, 0}, true);
    return responder_copy(client->rtt_ns, bytes_of(json, count));
}

struct latency *latency_sample(struct shard *shard, const struct service_export *exported,
                               const struct client *client, bool share, const struct message *message)
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
    size_t count = request_info_json(requestor, sizeof requestor, client, account_of(client),
                                     (struct bytes){NULL, 0}, share);
    struct latency *latency = memory_new(sizeof *latency + wanted->subject.count + count + headers.count);
    if (latency == NULL)
        return NULL;
    *latency = (struct latency){
        .start_ns = clock_monotonic_ns(),
        .start_wall_ns = clock_wall_ns(),
        .rtt_ns = client->rtt_ns,
        .place = client->place,
        .subject_count = (uint32_t)wanted->subject.count,
        .requestor_count = (uint32_t)count,
        .header_count = (uint32_t)headers.count,
        .share = share,
    };
    uint8_t *to = mempcpy(latency->bytes, wanted->subject.data, wanted->subject.count);
    to = mempcpy(to, requestor, count);
    if (headers.count > 0)
        memcpy(to, headers.data, headers.count);
    return latency;
}

/* The requester as he is now, in `json`, or as he was when he has left. */
static struct bytes requestor_of(struct shard *shard, struct latency *latency, char *json, size_t capacity)
{
    struct connection *connection = shard_connection_at(shard, &latency->place);
    if (connection != NULL && connection->client.state == CLIENT_ACTIVE) {
        const struct client *client = &connection->client;
        latency->rtt_ns = client->rtt_ns;
        size_t count = request_info_json(json, capacity, client, account_of(client), (struct bytes){NULL, 0},
                                         latency->share);
        if (count > 0)
            return bytes_of(json, count);
    }
    return bytes_of(latency->bytes + latency->subject_count, latency->requestor_count);
}

/* Publishes and frees it. `answer` NULL: there was none. */
static void publish(struct shard *shard, struct shard_account *exporter, struct latency *latency, int status,
                    const struct answer *answer)
{
    char json[3 * REQUEST_INFO_BYTES_MAX];
    char who[REQUEST_INFO_BYTES_MAX];
    char size[16];
    struct service_latency_metric metric = {
        .status = status,
        .requestor = requestor_of(shard, latency, who, sizeof who),
        .headers = bytes_of(latency->bytes + latency->subject_count + latency->requestor_count,
                            latency->header_count),
        .start_wall_ns = latency->start_wall_ns - latency->rtt_ns,
    };
    if (answer != NULL) {
        metric.responder = answer->responder;
        metric.service_ns = answer->service_ns > 0 ? answer->service_ns : 0;
        metric.system_ns = answer->system_ns > 0 ? answer->system_ns : 0;
        metric.total_ns = latency->rtt_ns + answer->spent_ns;
    }
    size_t count = service_latency_json(json, sizeof json, &metric, clock_wall_ns(), &shard->context.random);
    if (count > 0) {
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

void latency_failed(struct shard *shard, struct shard_account *exporter, struct latency *latency, int status)
{
    if (latency != NULL)
        publish(shard, exporter, latency, status, NULL);
}

void latency_answered(struct shard *shard, struct shard_account *exporter, struct latency *latency,
                      const struct responder *responder)
{
    struct answer answer = {.spent_ns = clock_monotonic_ns() - latency->start_ns};
    answer.service_ns = answer.spent_ns;
    if (responder != NULL) {
        answer.service_ns -= responder->rtt_ns;
        answer.responder = bytes_of(responder->json, responder->count);
    }
    publish(shard, exporter, latency, 200, &answer);
}

/* Both halves are there: what this server has spent more than the other one is the way between them. */
static void merge(struct shard *shard, struct shard_account *exporter, struct latency *latency)
{
    const struct responder *half = latency->half;
    struct answer answer = {
        .service_ns = latency->half_service_ns,
        .system_ns = latency->spent_ns - latency->half_service_ns - half->rtt_ns,
        .spent_ns = latency->spent_ns,
        .responder = bytes_of(half->json, half->count),
    };
    publish(shard, exporter, latency, 200, &answer);
}

bool latency_answered_elsewhere(struct shard *shard, struct shard_account *exporter, struct latency *latency)
{
    int64_t spent_ns = clock_monotonic_ns() - latency->start_ns;
    latency->spent_ns = spent_ns > 0 ? spent_ns : 1;
    if (latency->half == NULL)
        return false;
    merge(shard, exporter, latency);
    return true;
}

bool latency_half_take(struct shard *shard, struct shard_account *exporter, struct latency *latency,
                       const struct latency_half_read *half)
{
    char json[REQUEST_INFO_BYTES_MAX];
    const struct latency_responder *told = &half->responder;
    if (latency->half != NULL)
        return false; /* the first one counts */
    size_t count = latency_responder_json(json, sizeof json, told);
    /* Whatever another server says, a time is not negative and two of them can be added. */
    int64_t rtt_ns = told->rtt_ns > 0 && told->rtt_ns < INT64_MAX / 4 ? told->rtt_ns : 0;
    latency->half = responder_copy(rtt_ns, bytes_of(json, count));
    if (latency->half == NULL)
        return false;
    latency->half_service_ns =
        half->service_ns > 0 && half->service_ns < INT64_MAX / 4 ? half->service_ns : 0;
    if (latency->spent_ns == 0)
        return false;
    merge(shard, exporter, latency);
    return true;
}

void latency_free(struct latency *latency)
{
    if (latency != NULL)
        memory_free(latency->half);
    memory_free(latency);
}
