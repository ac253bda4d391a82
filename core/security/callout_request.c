/* core/security/callout_request.c - what a callout service is asked, as a token (callout.h, spec/security.md
 * 10.3). */
#include "core/codec/json_writer.h"
#include "core/security/callout.h"

enum {
    FRAME_BYTES = 2048,     /* keys, numbers and brackets */
    ESCAPED_BYTES_MOST = 6, /* that one byte of a text becomes */
};

/* The bytes of all texts. */
static size_t texts_bytes(const struct callout_request *request)
{
    const struct credentials *credentials = request->credentials;
    const struct bytes texts[] = {
        request->server_name, request->server_host,   request->server_id, request->server_version,
        request->cluster,     request->server_xkey,   request->user_nkey, request->host,
        request->name,        request->name,          request->lang,      request->version,
        request->tls_version, request->tls_suite,     credentials->user,  credentials->user,
        credentials->pass,    credentials->token,     credentials->nkey,  credentials->nkey,
        credentials->nonce,   credentials->signature,
    };
    size_t sum = 0;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        sum += texts[i].count;
    for (size_t i = 0; i < request->tag_count; i++)
        sum += request->tags[i].count + 1;
    return sum;
}

/* Certificates have a line end to escape in 65 bytes, and nothing else. */
static size_t certificates_bytes(const struct callout_request *request)
{
    size_t sum = 0;
    for (size_t i = 0; i < request->certificate_count; i++)
        sum += request->certificates[i].count * 2 + 8;
    return sum;
}

static void put_always(struct json_writer *writer, const char *key, struct bytes words)
{
    json_write_key(writer, key);
    json_write_text(writer, words);
}

static void put_list(struct json_writer *writer, const struct bytes *texts, size_t count)
{
    json_write_array_begin(writer);
    for (size_t i = 0; i < count; i++)
        json_write_text(writer, texts[i]);
    json_write_array_end(writer);
}

static void put_server(struct json_writer *writer, const struct callout_request *request)
{
    json_write_key(writer, "server_id");
    json_write_object_begin(writer);
    put_always(writer, "name", request->server_name);
    put_always(writer, "host", request->server_host);
    put_always(writer, "id", request->server_id);
    json_write_member(writer, "version", request->server_version);
    json_write_member(writer, "cluster", request->cluster);
    if (request->tag_count > 0) {
        json_write_key(writer, "tags");
        put_list(writer, request->tags, request->tag_count);
    }
    json_write_member(writer, "xkey", request->server_xkey);
    json_write_object_end(writer);
}

/* As whom it comes, in one word. */
static struct bytes raw_user(const struct credentials *credentials)
{
    if (credentials->nkey.count > 0)
        return credentials->nkey;
    if (credentials->user.count > 0)
        return credentials->user;
    return credentials->token.count > 0 ? TEXT("[REDACTED]") : TEXT("");
}

static void put_client(struct json_writer *writer, const struct callout_request *request)
{
    const struct credentials *credentials = request->credentials;
    json_write_key(writer, "client_info");
    json_write_object_begin(writer);
    json_write_member(writer, "host", request->host);
    json_write_key(writer, "id");
    json_write_unsigned(writer, request->cid);
    json_write_member(writer, "user", raw_user(credentials));
    json_write_member(writer, "name", request->name);
    json_write_member(writer, "kind", TEXT("Client"));
    json_write_member(writer, "type", TEXT("nats"));
    if (credentials->signature.count > 0)
        json_write_member(writer, "nonce", credentials->nonce);
    json_write_object_end(writer);
}

static void put_connect(struct json_writer *writer, const struct callout_request *request)
{
    const struct credentials *credentials = request->credentials;
    json_write_key(writer, "connect_opts");
    json_write_object_begin(writer);
    json_write_member(writer, "nkey", credentials->nkey);
    json_write_member(writer, "sig", credentials->signature);
    json_write_member(writer, "auth_token", credentials->token);
    json_write_member(writer, "user", credentials->user);
    json_write_member(writer, "pass", credentials->pass);
    json_write_member(writer, "name", request->name);
    json_write_member(writer, "lang", request->lang);
    json_write_member(writer, "version", request->version);
    json_write_member_int(writer, "protocol", request->protocol);
    json_write_object_end(writer);
}

/* One chain when they were verified, else a list. */
static void put_tls(struct json_writer *writer, const struct callout_request *request)
{
    if (request->tls_version.count == 0)
        return;
    json_write_key(writer, "client_tls");
    json_write_object_begin(writer);
    json_write_member(writer, "version", request->tls_version);
    json_write_member(writer, "cipher", request->tls_suite);
    if (request->certificate_count > 0) {
        json_write_key(writer, request->certificates_verified ? "verified_chains" : "certs");
        if (request->certificates_verified)
            json_write_array_begin(writer);
        put_list(writer, request->certificates, request->certificate_count);
        if (request->certificates_verified)
            json_write_array_end(writer);
    }
    json_write_object_end(writer);
}

struct bytes callout_request_make(struct arena *arena, const struct callout_request *request,
                                  const uint8_t seed[NKEY_RAW_BYTES])
{
    size_t room = FRAME_BYTES + ESCAPED_BYTES_MOST * texts_bytes(request) + certificates_bytes(request);
    char *buffer = arena_new(arena, room);
    struct json_writer writer;
    if (buffer == NULL)
        return (struct bytes){NULL, 0};
    json_writer_init(&writer, buffer, room);
    json_write_object_begin(&writer);
    put_server(&writer, request);
    json_write_member(&writer, "user_nkey", request->user_nkey);
    put_client(&writer, request);
    put_connect(&writer, request);
    put_tls(&writer, request);
    json_write_member(&writer, "type", TEXT("authorization_request"));
    json_write_member_int(&writer, "version", 2);
    json_write_object_end(&writer);
    struct bytes body = bytes_of(buffer, json_writer_count(&writer));
    struct jwt_claims claims = {
        .audience = TEXT("nats-authorization-request"),
        .subject = request->options->issuer,
        .expires_s = request->expires_s,
        .issued_s = request->now_s,
    };
    return body.count == 0 ? (struct bytes){NULL, 0} : jwt_make(arena, &claims, body, NKEY_SERVER, seed);
}
