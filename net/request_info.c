/* net/request_info.c - see request_info.h. */
#include "net/request_info.h"

#include "core/codec/json_writer.h"
#include "net/client.h"
#include "net/service_latency.h"

#include <strings.h>

static const char header_start[] = "NATS/1.0\r\n";
static const char header_name[] = "Nats-Request-Info: ";
_Static_assert(sizeof header_start + sizeof header_name + 4 <= REQUEST_INFO_HEADER_BYTES,
               "what is added fits");

static void members_first(struct json_writer *writer, const struct client *client)
{
    char began[SERVICE_LATENCY_STAMP_BYTES];
    int64_t wall_ns = client->context->wall_minus_ns + client->start_ns;
    json_write_member(writer, "start", service_latency_stamp(began, wall_ns));
    json_write_member(writer, "host", text(client->address));
    json_write_key(writer, "id");
    json_write_unsigned(writer, client->cid);
}

static void members_last(struct json_writer *writer, const struct client *client)
{
    json_write_member(writer, "server", client->context->info->server_name);
    json_write_member(writer, "cluster", client->context->info->cluster);
    json_write_member(writer, "kind", TEXT("Client"));
    json_write_member(writer, "client_type", TEXT("nats"));
}

void request_info_members(struct json_writer *writer, const struct client *client, struct bytes account,
                          struct bytes service, bool shared)
{
    const struct connect_options *connect = &client->connect;
    if (shared)
        members_first(writer, client);
    json_write_member(writer, "acc", account);
    json_write_member(writer, "svc", service);
    if (shared) {
        struct bytes user = connect_user(connect);
        json_write_member(writer, "user", user.count > 0 ? user : connect_text(connect, CONNECT_NKEY));
        json_write_member(writer, "name", connect_text(connect, CONNECT_NAME));
        json_write_member(writer, "lang", connect_text(connect, CONNECT_LANG));
        json_write_member(writer, "ver", connect_text(connect, CONNECT_VERSION));
    }
    if (client->rtt_ns > 0)
        json_write_member_int(writer, "rtt", client->rtt_ns);
    if (shared)
        members_last(writer, client);
}

size_t request_info_json(char *out, size_t capacity, const struct client *client, struct bytes account,
                         struct bytes service, bool shared)
{
    struct json_writer writer;
    json_writer_init(&writer, out, capacity);
    json_write_object_begin(&writer);
    request_info_members(&writer, client, account, service, shared);
    json_write_object_end(&writer);
    return json_writer_count(&writer);
}

/* Whether it begins as a header, with a status or without, and ends with an empty line. */
static bool header_sound(struct bytes header)
{
    bool begins = bytes_start_with(header, text(header_start)) || bytes_start_with(header, TEXT("NATS/1.0 "));
    return begins && header.count >= sizeof header_start - 1 + 2 &&
           memcmp(header.data + header.count - 4, "\r\n\r\n", 4) == 0;
}

/* In any case of letters: whoever forges it may not get it past a service that reads headers so. */
static bool line_named(struct bytes line)
{
    size_t count = sizeof header_name - 2; /* with its colon */
    return line.count >= count && strncasecmp((const char *)line.data, header_name, count) == 0;
}

/* Copies the lines of a header but its empty last one, without those that are forged. */
static uint8_t *put_lines(uint8_t *to, struct bytes header)
{
    const uint8_t *at = header.data;
    const uint8_t *end = header.data + header.count - 2;
    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        size_t count = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at) + 1;
        if (!line_named(bytes_of(at, count)))
            to = mempcpy(to, at, count);
        at += count;
    }
    return to;
}

/* The digits of a number, at the end of `out`. */
static struct bytes number_text(char out[REQUEST_SIZE_TEXT_BYTES], uint32_t number)
{
    char *at = out + REQUEST_SIZE_TEXT_BYTES;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return bytes_of(at, (size_t)(out + REQUEST_SIZE_TEXT_BYTES - at));
}

struct block *request_info_put(struct message *message, struct bytes json, struct block_pool *pool,
                               struct request_texts *texts)
{
    struct bytes header = bytes_of(message->body, message->header_bytes);
    struct bytes payload =
        bytes_of(message->body + header.count, message->total_bytes - message->header_bytes);
    struct block *block =
        block_take(pool, header.count + REQUEST_INFO_HEADER_BYTES + json.count + payload.count + 2);
    if (block == NULL)
        return NULL;
    uint8_t *to = block->bytes;
    if (header.count > 0 && header_sound(header))
        to = put_lines(to, header);
    else
        to = mempcpy(to, header_start, sizeof header_start - 1);
    to = mempcpy(to, header_name, sizeof header_name - 1);
    to = mempcpy(to, json.data, json.count);
    to = mempcpy(to, "\r\n\r\n", 4);
    uint32_t header_bytes = (uint32_t)(to - block->bytes);
    if (payload.count > 0)
        to = mempcpy(to, payload.data, payload.count);
    memcpy(to, "\r\n", 2);
    message->body = block->bytes;
    message->block = block;
    message->header_bytes = header_bytes;
    message->total_bytes = (uint32_t)(header_bytes + payload.count);
    message->run_more = 0;
    message->line_serial = 0;
    message->header_size_text = number_text(texts->header_size, message->header_bytes);
    message->total_size_text = number_text(texts->total_size, message->total_bytes);
    return block;
}
