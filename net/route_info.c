/* net/route_info.c - the fields of INFO and CONNECT on routes, in the order in which nats-server writes them.
 */
#include "net/route_info.h"

#include "core/codec/json_writer.h"

static const struct json_field lists_fields[] = {
    {.name = "allow", .kind = JSON_KIND_TEXTS, .offset = offsetof(struct route_info_lists, allow)},
    {.name = "deny", .kind = JSON_KIND_TEXTS, .offset = offsetof(struct route_info_lists, deny)},
};
static const struct json_shape lists_shape = {lists_fields, COUNT_OF(lists_fields)};

#define FIELD(key, field_kind, field)                                                                        \
    {                                                                                                        \
        .name = key, .kind = JSON_KIND_##field_kind, .offset = offsetof(struct route_info, field)            \
    }
#define LISTS(key, field)                                                                                    \
    {                                                                                                        \
        .name = key, .kind = JSON_KIND_OBJECT, .offset = offsetof(struct route_info, field),                 \
        .shape = &lists_shape                                                                                \
    }
static const struct json_field info_fields[] = {
    FIELD("server_id", TEXT, server_id),
    FIELD("server_name", TEXT, server_name),
    FIELD("version", TEXT, version),
    FIELD("proto", INT64, protocol),
    FIELD("go", TEXT, runtime),
    FIELD("host", TEXT, host),
    FIELD("port", INT64, port),
    FIELD("headers", BOOL, headers),
    FIELD("auth_required", BOOL, auth_required),
    FIELD("tls_required", BOOL, tls_required),
    FIELD("tls_verify", BOOL, tls_verify),
    FIELD("max_payload", INT64, max_payload_bytes),
    FIELD("jetstream", BOOL, jetstream),
    FIELD("ip", TEXT, ip),
    FIELD("nonce", TEXT, nonce),
    FIELD("cluster", TEXT, cluster),
    FIELD("cluster_dynamic", BOOL, cluster_dynamic),
    FIELD("domain", TEXT, domain),
    FIELD("connect_urls", TEXTS, connect_urls),
    FIELD("ws_connect_urls", TEXTS, ws_connect_urls),
    FIELD("ldm", BOOL, lame_duck),
    LISTS("import", imports),
    LISTS("export", exports),
    FIELD("compression", TEXT, compression),
    FIELD("lnoc", BOOL, leaf_origin),
    FIELD("lnocu", BOOL, leaf_origin_unsub),
    FIELD("ln", BOOL, leaf_origin_sentinel),
    FIELD("route_pool_size", INT64, pool_size),
    FIELD("route_pool_idx", INT64, pool_index),
    FIELD("route_account", TEXT, route_account),
    FIELD("route_acc_add_reqid", TEXT, route_account_request),
    FIELD("gossip_mode", INT64, gossip_mode),
    FIELD("gateway", TEXT, gateway),
    FIELD("gateway_urls", TEXTS, gateway_urls),
    FIELD("gateway_url", TEXT, gateway_url),
    FIELD("gateway_cmd", INT64, gateway_command),
    FIELD("gateway_cmd_payload", TEXT, gateway_payload),
    FIELD("gateway_nrp", BOOL, gateway_replies),
    FIELD("gateway_iom", BOOL, gateway_lists),
    FIELD("leafnode_urls", TEXTS, leafnode_urls),
};
#undef FIELD
#undef LISTS

#define FIELD(key, field_kind, field)                                                                        \
    {                                                                                                        \
        .name = key, .kind = JSON_KIND_##field_kind, .offset = offsetof(struct route_connect, field)         \
    }
static const struct json_field connect_fields[] = {
    FIELD("name", TEXT, name),
    FIELD("user", TEXT, user),
    FIELD("pass", TEXT, password),
    FIELD("cluster", TEXT, cluster),
    FIELD("cluster_dynamic", BOOL, cluster_dynamic),
    FIELD("lang", TEXT, language),
    FIELD("gateway", TEXT, gateway),
    FIELD("headers", BOOL, headers),
    FIELD("tls_required", BOOL, tls_required),
    FIELD("lnoc", BOOL, leaf_origin),
};
#undef FIELD

static const struct json_shape info_shape = {info_fields, COUNT_OF(info_fields)};
static const struct json_shape connect_shape = {connect_fields, COUNT_OF(connect_fields)};

enum err route_info_read(struct json_document *document, struct bytes json, struct route_info *info)
{
    return json_read(document, json, &info_shape, info);
}

enum err route_connect_read(struct json_document *document, struct bytes json, struct route_connect *connect)
{
    return json_read(document, json, &connect_shape, connect);
}

bool route_texts_next(struct bytes *texts, struct bytes *one)
{
    const uint8_t *zero = texts->count == 0 ? NULL : memchr(texts->data, 0, texts->count);
    if (zero == NULL)
        return false;
    *one = bytes_of(texts->data, (size_t)(zero - texts->data));
    *texts = bytes_of(zero + 1, texts->count - one->count - 1);
    return true;
}

static void write_texts(struct json_writer *writer, struct bytes texts)
{
    struct bytes one;
    json_write_array_begin(writer);
    while (route_texts_next(&texts, &one))
        json_write_text(writer, one);
    json_write_array_end(writer);
}

static void write_lists(struct json_writer *writer, const char *key, const struct route_info_lists *lists)
{
    if (lists->allow.count + lists->deny.count == 0)
        return;
    json_write_key(writer, key);
    json_write_object_begin(writer);
    if (lists->allow.count > 0) {
        json_write_key(writer, "allow");
        write_texts(writer, lists->allow);
    }
    if (lists->deny.count > 0) {
        json_write_key(writer, "deny");
        write_texts(writer, lists->deny);
    }
    json_write_object_end(writer);
}

/* What kind of field it is says how it is written, and when it is left out: but for the few that are always
 * there, when it is empty, zero or false. */
static void write_field(struct json_writer *writer, const struct json_field *field, const void *from,
                        bool always)
{
    const uint8_t *at = (const uint8_t *)from + field->offset;
    struct bytes text = {0};
    int64_t number = 0;
    bool truth = false;
    switch (field->kind) {
    case JSON_KIND_TEXT:
    case JSON_KIND_TEXTS:
        text = *(const struct bytes *)(const void *)at;
        break;
    case JSON_KIND_INT64:
        number = *(const int64_t *)(const void *)at;
        break;
    case JSON_KIND_BOOL:
        truth = *(const bool *)(const void *)at;
        break;
    case JSON_KIND_OBJECT:
        write_lists(writer, field->name, (const struct route_info_lists *)(const void *)at);
        return;
    case JSON_KIND_TEXTS_CHECKED:
    case JSON_KIND_ARRAY:
    case JSON_KIND_TEXT_OR_TEXTS:
    case JSON_KIND_WRITTEN:
        return;
    }
    if (!always && text.count == 0 && number == 0 && !truth)
        return;
    json_write_key(writer, field->name);
    if (field->kind == JSON_KIND_TEXT) {
        json_write_text(writer, text);
    } else if (field->kind == JSON_KIND_INT64) {
        json_write_int(writer, number);
    } else if (field->kind == JSON_KIND_BOOL) {
        json_write_bool(writer, truth);
    } else {
        write_texts(writer, text);
    }
}

static bool always_written(size_t offset)
{
    return offset == offsetof(struct route_info, server_id) ||
           offset == offsetof(struct route_info, server_name) ||
           offset == offsetof(struct route_info, version) ||
           offset == offsetof(struct route_info, protocol) ||
           offset == offsetof(struct route_info, runtime) || offset == offsetof(struct route_info, host) ||
           offset == offsetof(struct route_info, port) || offset == offsetof(struct route_info, headers) ||
           offset == offsetof(struct route_info, max_payload_bytes);
}

/* Puts `before` and `behind` around the JSON, for which the writer had the room between. */
static size_t frame(char *buffer, struct bytes before, const struct json_writer *writer, struct bytes behind)
{
    size_t json_bytes = json_writer_count(writer);
    if (json_bytes == 0)
        return 0;
    memcpy(buffer, before.data, before.count);
    memcpy(buffer + before.count + json_bytes, behind.data, behind.count);
    return before.count + json_bytes + behind.count;
}

static size_t info_write(char *buffer, size_t capacity, const struct route_info *info, struct bytes behind)
{
    struct json_writer writer;
    struct bytes before = TEXT("INFO ");
    if (capacity < before.count + behind.count)
        return 0;
    json_writer_init(&writer, buffer + before.count, capacity - before.count - behind.count);
    json_write_object_begin(&writer);
    for (size_t i = 0; i < COUNT_OF(info_fields); i++)
        write_field(&writer, &info_fields[i], info, always_written(info_fields[i].offset));
    json_write_object_end(&writer);
    return frame(buffer, before, &writer, behind);
}

size_t route_info_write(char *buffer, size_t capacity, const struct route_info *info)
{
    return info_write(buffer, capacity, info, TEXT(" \r\n"));
}

size_t gateway_info_write(char *buffer, size_t capacity, const struct route_info *info)
{
    return info_write(buffer, capacity, info, TEXT("\r\n"));
}

static void write_bool(struct json_writer *writer, const char *key, bool value)
{
    json_write_key(writer, key);
    json_write_bool(writer, value);
}

static void write_text(struct json_writer *writer, const char *key, struct bytes value)
{
    json_write_key(writer, key);
    json_write_text(writer, value);
}

/* What CONNECT of a route and of a gateway begin with. */
static void write_login(struct json_writer *writer, const struct route_connect *connect, bool echo,
                        bool headers)
{
    write_bool(writer, "echo", echo);
    write_bool(writer, "verbose", false);
    write_bool(writer, "pedantic", false);
    if (connect->user.count > 0) {
        write_text(writer, "user", connect->user);
        write_text(writer, "pass", connect->password);
    }
    write_bool(writer, "tls_required", connect->tls_required);
    write_bool(writer, "headers", headers);
    write_text(writer, "name", connect->name);
}

size_t route_connect_write(char *buffer, size_t capacity, const struct route_connect *connect)
{
    struct json_writer writer;
    struct bytes before = TEXT("CONNECT "), behind = TEXT("\r\n");
    if (capacity < before.count + behind.count)
        return 0;
    json_writer_init(&writer, buffer + before.count, capacity - before.count - behind.count);
    json_write_object_begin(&writer);
    write_login(&writer, connect, true, connect->headers);
    write_text(&writer, "cluster", connect->cluster);
    if (connect->cluster_dynamic)
        write_bool(&writer, "cluster_dynamic", true);
    if (connect->leaf_origin)
        write_bool(&writer, "lnoc", true);
    json_write_object_end(&writer);
    return frame(buffer, before, &writer, behind);
}

size_t gateway_connect_write(char *buffer, size_t capacity, const struct route_connect *connect)
{
    struct json_writer writer;
    struct bytes before = TEXT("CONNECT "), behind = TEXT("\r\n");
    if (capacity < before.count + behind.count)
        return 0;
    json_writer_init(&writer, buffer + before.count, capacity - before.count - behind.count);
    json_write_object_begin(&writer);
    write_login(&writer, connect, false, false);
    write_text(&writer, "cluster", (struct bytes){NULL, 0});
    write_text(&writer, "gateway", connect->gateway);
    json_write_object_end(&writer);
    return frame(buffer, before, &writer, behind);
}
