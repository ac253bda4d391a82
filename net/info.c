/* net/info.c - the fields of INFO in the order of spec/client-protocol.md 3.1; our own "myelin" stands beside
 * "version". */
#include "net/info.h"

#include "core/codec/json_writer.h"

static void field_text(struct json_writer *writer, const char *key, struct bytes value)
{
    json_write_key(writer, key);
    json_write_text(writer, value);
}

static void field_int(struct json_writer *writer, const char *key, int64_t value)
{
    json_write_key(writer, key);
    json_write_int(writer, value);
}

static void field_text_if_set(struct json_writer *writer, const char *key, struct bytes value)
{
    if (value.count > 0)
        field_text(writer, key, value);
}

static void field_true_if_set(struct json_writer *writer, const char *key, bool value)
{
    if (!value)
        return;
    json_write_key(writer, key);
    json_write_bool(writer, true);
}

static struct bytes text_or_nothing(const char *terminated)
{
    return terminated == NULL ? (struct bytes){0} : text(terminated);
}

static void write_server(struct json_writer *writer, const struct info_server *server)
{
    field_text(writer, "server_id", server->server_id);
    field_text(writer, "server_name", server->server_name);
    field_text(writer, "version", server->version);
    field_text_if_set(writer, "myelin", server->myelin_version);
    field_int(writer, "proto", 1);
    field_text_if_set(writer, "git_commit", server->git_commit);
    field_text(writer, "go", server->runtime);
    field_text(writer, "host", server->host);
    field_int(writer, "port", server->port);
    json_write_key(writer, "headers");
    json_write_bool(writer, server->headers);
    field_true_if_set(writer, "auth_required", server->auth_required);
    field_true_if_set(writer, "tls_required", server->tls_required);
    field_true_if_set(writer, "tls_verify", server->tls_verify);
    field_true_if_set(writer, "tls_available", server->tls_available);
}

static void write_connect_urls(struct json_writer *writer, const struct info_server *server)
{
    if (server->connect_url_count == 0)
        return;
    json_write_key(writer, "connect_urls");
    json_write_array_begin(writer);
    for (size_t i = 0; i < server->connect_url_count; i++)
        json_write_text(writer, server->connect_urls[i]);
    json_write_array_end(writer);
}

size_t info_write(char *buffer, size_t capacity, const struct info_server *server,
                  const struct info_client *client)
{
    static const char start[] = "INFO ";
    static const char end[] = " \r\n"; /* the space is part of what clients have always seen */
    const size_t frame_bytes = sizeof start - 1 + sizeof end - 1;
    struct json_writer writer;
    if (capacity < frame_bytes)
        return 0;
    json_writer_init(&writer, buffer + sizeof start - 1, capacity - frame_bytes);
    json_write_object_begin(&writer);
    write_server(&writer, server);
    field_int(&writer, "max_payload",
              client->max_payload_bytes != 0 ? client->max_payload_bytes : server->max_payload_bytes);
    field_true_if_set(&writer, "jetstream", server->jetstream);
    if (client->client_id != 0) {
        json_write_key(&writer, "client_id");
        json_write_unsigned(&writer, client->client_id);
    }
    field_text_if_set(&writer, "client_ip", text_or_nothing(client->client_ip));
    field_text_if_set(&writer, "nonce", client->nonce);
    field_text_if_set(&writer, "cluster", server->cluster);
    field_text_if_set(&writer, "domain", server->domain);
    write_connect_urls(&writer, server);
    field_true_if_set(&writer, "ldm", client->lame_duck);
    field_true_if_set(&writer, "connect_info", client->connect_info);
    field_text_if_set(&writer, "remote_account", text_or_nothing(client->remote_account));
    field_true_if_set(&writer, "acc_is_sys", client->account_is_system);
    if (server->api_level != 0)
        field_int(&writer, "api_lvl", server->api_level);
    field_text_if_set(&writer, "xkey", server->xkey);
    json_write_object_end(&writer);
    size_t json_bytes = json_writer_count(&writer);
    if (json_bytes == 0)
        return 0;
    memcpy(buffer, start, sizeof start - 1);
    memcpy(buffer + sizeof start - 1 + json_bytes, end, sizeof end - 1);
    return frame_bytes + json_bytes;
}
