/* net/latency_half.c - see latency_half.h. What came is read and written anew instead of being passed on as
 * it is: so what the exporter gets is sound JSON whatever a peer sent. */
#include "net/latency_half.h"

#include "core/codec/json_writer.h"
#include "net/service_latency.h"

/* ---- in ---- */

#define TEXT_FIELD(key, field)                                                                               \
    {                                                                                                        \
        .name = key, .kind = JSON_KIND_TEXT, .offset = offsetof(struct latency_half_read, responder.field)   \
    }
#define NUMBER_FIELD(key, field)                                                                             \
    {                                                                                                        \
        .name = key, .kind = JSON_KIND_INT64, .offset = offsetof(struct latency_half_read, responder.field)  \
    }
#define LIST_FIELD(key, field)                                                                               \
    {                                                                                                        \
        .name = key, .kind = JSON_KIND_TEXTS, .offset = offsetof(struct latency_half_read, responder.field)  \
    }

static const struct json_field responder_fields[] = {
    TEXT_FIELD("start", start),
    TEXT_FIELD("host", host),
    NUMBER_FIELD("id", id),
    TEXT_FIELD("acc", account),
    TEXT_FIELD("svc", service),
    TEXT_FIELD("user", user),
    TEXT_FIELD("name", name),
    TEXT_FIELD("lang", lang),
    TEXT_FIELD("ver", version),
    NUMBER_FIELD("rtt", rtt_ns),
    TEXT_FIELD("server", server),
    TEXT_FIELD("cluster", cluster),
    LIST_FIELD("alts", alternates),
    TEXT_FIELD("jwt", jwt),
    TEXT_FIELD("issuer_key", issuer_key),
    TEXT_FIELD("name_tag", name_tag),
    LIST_FIELD("tags", tags),
    TEXT_FIELD("kind", kind),
    TEXT_FIELD("client_type", client_type),
    TEXT_FIELD("client_id", client_id),
};
static const struct json_shape responder_shape = {responder_fields, COUNT_OF(responder_fields)};

/* Offsets are those of the whole struct: an object's own is added to them, so it is zero. */
static const struct json_field measure_fields[] = {
    {.name = "service", .kind = JSON_KIND_INT64, .offset = offsetof(struct latency_half_read, service_ns)},
    {.name = "responder", .kind = JSON_KIND_OBJECT, .offset = 0, .shape = &responder_shape},
};
static const struct json_shape measure_shape = {measure_fields, COUNT_OF(measure_fields)};

static const struct json_field half_fields[] = {
    {.name = "account", .kind = JSON_KIND_TEXT, .offset = offsetof(struct latency_half_read, account)},
    {.name = "req_id", .kind = JSON_KIND_TEXT, .offset = offsetof(struct latency_half_read, request)},
    {.name = "m2", .kind = JSON_KIND_OBJECT, .offset = 0, .shape = &measure_shape},
};
static const struct json_shape half_shape = {half_fields, COUNT_OF(half_fields)};

enum err latency_half_read(struct latency_half_read *half, struct bytes text)
{
    *half = (struct latency_half_read){0};
    if (text.count > LATENCY_HALF_BYTES_MAX)
        return ERR_INVALID;
    enum err err = json_read(&half->document, text, &half_shape, half);
    if (err == ERR_OK && (half->account.count == 0 || half->request.count == 0))
        err = ERR_INVALID;
    return err;
}

void latency_half_close(struct latency_half_read *half)
{
    json_close(&half->document);
}

/* ---- out ---- */

static void member_list(struct json_writer *writer, const char *key, struct bytes texts)
{
    if (texts.count == 0)
        return;
    json_write_key(writer, key);
    json_write_array_begin(writer);
    while (texts.count > 0) {
        const uint8_t *end = memchr(texts.data, 0, texts.count);
        size_t count = end == NULL ? texts.count : (size_t)(end - texts.data);
        json_write_text(writer, bytes_of(texts.data, count));
        count += end != NULL;
        texts = bytes_of(texts.data + count, texts.count - count);
    }
    json_write_array_end(writer);
}

size_t latency_responder_json(char *out, size_t capacity, const struct latency_responder *responder)
{
    struct json_writer writer;
    json_writer_init(&writer, out, capacity);
    json_write_object_begin(&writer);
    json_write_member(&writer, "start", responder->start);
    json_write_member(&writer, "host", responder->host);
    if (responder->id != 0)
        json_write_member_int(&writer, "id", responder->id);
    json_write_member(&writer, "acc", responder->account);
    json_write_member(&writer, "svc", responder->service);
    json_write_member(&writer, "user", responder->user);
    json_write_member(&writer, "name", responder->name);
    json_write_member(&writer, "lang", responder->lang);
    json_write_member(&writer, "ver", responder->version);
    if (responder->rtt_ns != 0)
        json_write_member_int(&writer, "rtt", responder->rtt_ns);
    json_write_member(&writer, "server", responder->server);
    json_write_member(&writer, "cluster", responder->cluster);
    member_list(&writer, "alts", responder->alternates);
    json_write_member(&writer, "jwt", responder->jwt);
    json_write_member(&writer, "issuer_key", responder->issuer_key);
    json_write_member(&writer, "name_tag", responder->name_tag);
    member_list(&writer, "tags", responder->tags);
    json_write_member(&writer, "kind", responder->kind);
    json_write_member(&writer, "client_type", responder->client_type);
    json_write_member(&writer, "client_id", responder->client_id);
    json_write_object_end(&writer);
    return json_writer_count(&writer);
}

/* The parts that a measurement of its own would have stand there empty, as in nats-server. */
size_t latency_half_write(char *out, size_t capacity, const struct latency_half *half)
{
    struct json_writer writer;
    char start[SERVICE_LATENCY_STAMP_BYTES];
    json_writer_init(&writer, out, capacity);
    json_write_object_begin(&writer);
    json_write_member(&writer, "account", half->account);
    json_write_member(&writer, "req_id", half->request);
    json_write_key(&writer, "m2");
    json_write_object_begin(&writer);
    json_write_key(&writer, "type");
    json_write_text(&writer, TEXT(""));
    json_write_key(&writer, "id");
    json_write_text(&writer, TEXT(""));
    json_write_member(&writer, "timestamp", TEXT("0001-01-01T00:00:00Z"));
    json_write_member_int(&writer, "status", 200);
    if (half->responder.count > 0) {
        json_write_key(&writer, "responder");
        json_write_raw(&writer, half->responder);
    }
    json_write_member(&writer, "start", service_latency_stamp(start, half->start_wall_ns));
    json_write_member_int(&writer, "service", half->service_ns);
    json_write_member_int(&writer, "system", 0);
    json_write_member_int(&writer, "total", half->service_ns + half->rtt_ns);
    json_write_object_end(&writer);
    json_write_object_end(&writer);
    return json_writer_count(&writer);
}
