/* bench/stan_client.c - see stan_client.h. */
#include "bench/stan_client.h"

#include "bench/stan_wire.h"
#include "core/base/check.h"
#include "core/base/memory.h"

enum {
    MESSAGE_BYTES = 4096, /* of a request that is not a publish */
    LINE_BYTES = STAN_SUBJECT_BYTES + FRAMES_SUBJECT_BYTES + STAN_INBOX_BYTES + 64,
    PROTOCOL = 1,
    PING_SECONDS = 5, /* what other clients say */
    PINGS_OUT = 88,
    ACK_WAIT_SECONDS = 30,
};

/* Fields by their numbers in the protocol. */
enum { PUB_CLIENT = 1, PUB_GUID = 2, PUB_SUBJECT = 3, PUB_DATA = 5, PUB_CONNECTION = 6 };
enum { MESSAGE_SEQUENCE = 1, MESSAGE_DATA = 4 };
enum { START_NEW = 0, START_LAST = 1, START_SEQUENCE = 3, START_FIRST = 4 };

void stan_client_init(struct stan_client *client, uint64_t index)
{
    connection_init(&client->connection);
    client->index = index;
}

void stan_client_close(struct stan_client *client)
{
    connection_close(&client->connection);
    memory_free(client->publish.bytes);
    memory_free(client->acknowledge.bytes);
    memory_free(client->sent_ns);
    memory_free(client->free_slots);
}

/* ---- requests ---- */

/* A request; its answer comes to the inbox for answers. */
static enum err request(struct stan_client *client, const struct stan_host *host, const char *subject,
                        const uint8_t *body, const struct stan_writer *written)
{
    size_t count = (size_t)(written->at - body);
    if (written->full)
        return failure_set(host->failure, ERR_INVALID, "a request would have more than %d bytes",
                           MESSAGE_BYTES);
    client->answered = false;
    enum err err = connection_print(&client->connection, host->failure, "PUB %s %s%c %zu\r\n", subject,
                                    client->inbox, STAN_ANSWER, count);
    uint8_t *at = err == ERR_OK ? connection_reserve(&client->connection, count + 2) : NULL;
    if (err == ERR_OK && at == NULL)
        return failure_set(host->failure, ERR_MEMORY, "out of memory");
    if (at != NULL) {
        at = mempcpy(at, body, count);
        memcpy(at, "\r\n", 2);
    }
    return err;
}

enum err stan_client_open(struct stan_client *client, const struct stan_host *host, char *version,
                          size_t version_bytes)
{
    char subject[STAN_SUBJECT_BYTES], heartbeats[STAN_INBOX_BYTES + 1];
    uint8_t body[MESSAGE_BYTES];
    int count = snprintf(client->inbox, sizeof(client->inbox), "_INBOX.%s.%llu.", host->run,
                         (unsigned long long)client->index);
    client->inbox_count = (size_t)count;
    (void)snprintf(client->id, sizeof(client->id), "bench-%s-%llu", host->run,
                   (unsigned long long)client->index);
    (void)snprintf(heartbeats, sizeof(heartbeats), "%s%c", client->inbox, STAN_HEARTBEAT);
    (void)snprintf(subject, sizeof(subject), "_STAN.discover.%s", host->options->cluster_id);
    enum err err = connection_open(&client->connection, host->options, version, version_bytes, host->failure);
    if (err == ERR_OK)
        err = connection_print(&client->connection, host->failure, "SUB %s* 1\r\n", client->inbox);
    if (err != ERR_OK)
        return err;
    struct stan_writer writer = {.at = body, .end = body + sizeof(body)};
    stan_put_text(&writer, 1, text(client->id));
    stan_put_text(&writer, 2, text(heartbeats));
    stan_put_number(&writer, 3, PROTOCOL);
    stan_put_text(&writer, 4, text(client->id));
    stan_put_number(&writer, 5, PING_SECONDS);
    stan_put_number(&writer, 6, PINGS_OUT);
    return request(client, host, subject, body, &writer);
}

enum err stan_client_subscribe(struct stan_client *client, const struct stan_host *host)
{
    const struct options *options = host->options;
    char inbox[STAN_INBOX_BYTES + 1];
    uint8_t body[MESSAGE_BYTES];
    uint64_t start = options->start_sequence > 0 ? START_SEQUENCE
                     : options->start_first      ? START_FIRST
                     : options->start_last       ? START_LAST
                                                 : START_NEW;
    (void)snprintf(inbox, sizeof(inbox), "%s%c", client->inbox, STAN_DELIVERED);
    struct stan_writer writer = {.at = body, .end = body + sizeof(body)};
    stan_put_text(&writer, 1, text(client->id));
    stan_put_text(&writer, 2, text(client->channel));
    stan_put_text(&writer, 3, text(options->queue == NULL ? "" : options->queue));
    stan_put_text(&writer, 4, text(inbox));
    stan_put_number(&writer, 5, options->max_in_flight);
    stan_put_number(&writer, 6, ACK_WAIT_SECONDS);
    stan_put_text(&writer, 7, text(options->durable == NULL ? "" : options->durable));
    stan_put_number(&writer, 10, start);
    stan_put_number(&writer, 11, options->start_sequence);
    return request(client, host, client->subscribe_subject, body, &writer);
}

enum err stan_client_leave(struct stan_client *client, const struct stan_host *host)
{
    uint8_t body[MESSAGE_BYTES];
    struct stan_writer writer = {.at = body, .end = body + sizeof(body)};
    stan_put_text(&writer, 1, text(client->id));
    return request(client, host, client->close_subject, body, &writer);
}

/* ---- answers ---- */

/* A text of the answer, terminated, into STAN_SUBJECT_BYTES. False: it is not there, or does not fit. */
static bool text_take(char *to, struct bytes answer, uint32_t number)
{
    struct bytes value = stan_text(answer, number);
    if (value.count == 0 || value.count >= STAN_SUBJECT_BYTES)
        return false;
    memcpy(to, value.data, value.count);
    to[value.count] = '\0';
    return true;
}

enum err stan_client_answer(struct stan_client *client, const struct stan_host *host, enum stan_step step,
                            struct bytes answer)
{
    static const uint32_t errors[] = {[STAN_CONNECTING] = 5, [STAN_SUBSCRIBING] = 3, [STAN_LEAVING] = 1};
    struct bytes error = stan_text(answer, errors[step]);
    bool good = true;
    if (error.count > 0)
        return failure_set(host->failure, ERR_DENIED, "the server says: %.*s", BYTES_PRINTF(error));
    switch (step) {
    case STAN_CONNECTING:
        good = text_take(client->publish_prefix, answer, 1) &&
               text_take(client->subscribe_subject, answer, 2) && text_take(client->close_subject, answer, 4);
        break;
    case STAN_SUBSCRIBING:
        good = text_take(client->ack_inbox, answer, 2);
        break;
    case STAN_LEAVING:
        break;
    }
    client->answered = good;
    return good ? ERR_OK
                : failure_set(host->failure, ERR_INVALID, "an answer lacks what a streaming server says");
}

/* ---- publishing ---- */

/* PUB prefix.channel inbox size, and a message with all but the slot's digits. */
static enum err publish_frame(struct stan_client *client, const struct stan_host *host)
{
    const struct options *options = host->options;
    struct stan_frame *frame = &client->publish;
    char channel[FRAMES_SUBJECT_BYTES], line[LINE_BYTES], guid[STAN_GUID_BYTES + 1];
    size_t body_most = options->size_bytes + MESSAGE_BYTES;
    uint8_t *body = memory_new(body_most), *data = memory_new(options->size_bytes + 1);
    frame->bytes = memory_new(body_most + sizeof(line));
    bool memory = body != NULL && data != NULL && frame->bytes != NULL;
    if (memory) {
        memset(data, 'x', options->size_bytes);
        frames_subject(channel, options, 0);
        (void)snprintf(guid, sizeof(guid), "%0*d%.15s", STAN_GUID_DIGITS, 0, host->run);
        struct stan_writer writer = {.at = body, .end = body + body_most};
        stan_put_text(&writer, PUB_CLIENT, text(client->id));
        frame->guid = (size_t)(writer.at - body) + 2;
        stan_put_text(&writer, PUB_GUID, text(guid));
        stan_put_text(&writer, PUB_SUBJECT, text(channel));
        frame->body_subject = (size_t)(writer.at - body) - strlen(channel);
        stan_put_text(&writer, PUB_DATA, bytes_of(data, options->size_bytes));
        stan_put_text(&writer, PUB_CONNECTION, text(client->id));
        ASSERT(!writer.full);
        size_t body_count = (size_t)(writer.at - body);
        int count = snprintf(line, sizeof(line), "PUB %s.%s %s%c %zu\r\n", client->publish_prefix, channel,
                             client->inbox, STAN_ACKNOWLEDGED, body_count);
        ASSERT(count > 0 && (size_t)count < sizeof(line));
        frame->line_subject = strlen("PUB ") + strlen(client->publish_prefix) + 1;
        frame->guid += (size_t)count;
        frame->body_subject += (size_t)count;
        uint8_t *at = mempcpy(frame->bytes, line, (size_t)count);
        at = mempcpy(at, body, body_count);
        memcpy(at, "\r\n", 2);
        frame->count = (size_t)count + body_count + 2;
    }
    memory_free(body);
    memory_free(data);
    return memory ? ERR_OK : failure_set(host->failure, ERR_MEMORY, "out of memory");
}

enum err stan_publish_prepare(struct stan_client *client, const struct stan_host *host, uint64_t slot_count)
{
    client->sent_ns = memory_new(slot_count * sizeof(*client->sent_ns));
    client->free_slots = memory_new(slot_count * sizeof(*client->free_slots));
    if (client->sent_ns == NULL || client->free_slots == NULL)
        return failure_set(host->failure, ERR_MEMORY, "out of memory");
    for (uint64_t slot = slot_count; slot-- > 0;)
        client->free_slots[client->free_count++] = (uint32_t)slot;
    return publish_frame(client, host);
}

enum err stan_publish(struct stan_client *client, const struct stan_host *host, uint32_t slot)
{
    const struct options *options = host->options;
    const struct stan_frame *frame = &client->publish;
    uint8_t *at = connection_reserve(&client->connection, frame->count);
    if (at == NULL)
        return failure_set(host->failure, ERR_MEMORY, "out of memory");
    memcpy(at, frame->bytes, frame->count);
    if (options->subjects > 1) {
        char channel[FRAMES_SUBJECT_BYTES];
        frames_subject(channel, options, client->number % options->subjects);
        memcpy(at + frame->line_subject, channel, strlen(channel));
        memcpy(at + frame->body_subject, channel, strlen(channel));
    }
    uint32_t rest = slot;
    for (size_t digit = STAN_GUID_DIGITS; digit-- > 0; rest /= 10)
        at[frame->guid + digit] = (uint8_t)('0' + rest % 10);
    client->number += options->publishers;
    return ERR_OK;
}

enum err stan_slot_of(const struct stan_host *host, const struct scan_event *event, uint32_t *slot)
{
    enum { GUID_START = 2 }; /* behind key and length */
    const uint8_t *head = event->head.data;
    bool whole = event->total_bytes == GUID_START + STAN_GUID_BYTES && head[0] == (1 << 3 | 2) &&
                 head[1] == STAN_GUID_BYTES;
    if (!whole) {
        struct bytes error = stan_text(event->head, 2);
        if (error.count > 0)
            return failure_set(host->failure, ERR_DENIED, "the server refuses a message: %.*s",
                               BYTES_PRINTF(error));
    }
    bool ours = whole && memcmp(head + GUID_START + STAN_GUID_DIGITS, host->run,
                                STAN_GUID_BYTES - STAN_GUID_DIGITS) == 0;
    *slot = 0;
    for (size_t i = 0; ours && i < STAN_GUID_DIGITS; i++) {
        ours = head[GUID_START + i] >= '0' && head[GUID_START + i] <= '9';
        *slot = *slot * 10 + (uint32_t)(head[GUID_START + i] - '0');
    }
    return ours ? ERR_OK
                : failure_set(host->failure, ERR_INVALID, "an acknowledgement came that nobody waits for");
}

/* ---- receiving ---- */

enum err stan_message_read(const struct stan_host *host, const struct scan_event *event, uint64_t *sequence,
                           uint64_t *size_bytes)
{
    struct stan_reader reader = {.rest = event->head};
    struct stan_field field;
    *sequence = *size_bytes = 0;
    while (stan_next(&reader, &field)) {
        if (field.number == MESSAGE_SEQUENCE)
            *sequence = field.value;
        if (field.number == MESSAGE_DATA) {
            *size_bytes = field.value;
            break; /* what follows may be cut */
        }
    }
    return *sequence > 0 ? ERR_OK
                         : failure_set(host->failure, ERR_INVALID, "a message came that has no sequence");
}

/* PUB inbox size, channel and sequence: made anew when the sequence has more bytes than before. */
static enum err acknowledge_frame(struct stan_client *client, const struct stan_host *host,
                                  size_t sequence_bytes)
{
    struct stan_frame *frame = &client->acknowledge;
    uint8_t body[FRAMES_SUBJECT_BYTES + 4 * STAN_VARINT_BYTES_MAX] = {0};
    char line[LINE_BYTES];
    struct stan_writer writer = {.at = body, .end = body + sizeof(body)};
    stan_put_text(&writer, 1, text(client->channel));
    ASSERT(!writer.full);
    *writer.at++ = 2 << 3;
    size_t body_count = (size_t)(writer.at - body);
    int count =
        snprintf(line, sizeof(line), "PUB %s %zu\r\n", client->ack_inbox, body_count + sequence_bytes);
    ASSERT(count > 0 && (size_t)count < sizeof(line));
    memory_free(frame->bytes);
    frame->count = (size_t)count + body_count + sequence_bytes + 2;
    frame->bytes = memory_new(frame->count);
    if (frame->bytes == NULL)
        return failure_set(host->failure, ERR_MEMORY, "out of memory");
    uint8_t *at = mempcpy(frame->bytes, line, (size_t)count);
    at = mempcpy(at, body, body_count);
    frame->guid = (size_t)(at - frame->bytes);
    memcpy(at + sequence_bytes, "\r\n", 2);
    client->sequence_bytes = sequence_bytes;
    return ERR_OK;
}

enum err stan_acknowledge(struct stan_client *client, const struct stan_host *host, uint64_t sequence)
{
    uint8_t varint[STAN_VARINT_BYTES_MAX];
    size_t sequence_bytes = stan_varint_write(varint, sequence);
    if (sequence_bytes != client->sequence_bytes) {
        enum err err = acknowledge_frame(client, host, sequence_bytes);
        if (err != ERR_OK)
            return err;
    }
    const struct stan_frame *frame = &client->acknowledge;
    uint8_t *at = connection_reserve(&client->connection, frame->count);
    if (at == NULL)
        return failure_set(host->failure, ERR_MEMORY, "out of memory");
    memcpy(at, frame->bytes, frame->count);
    memcpy(at + frame->guid, varint, sequence_bytes);
    return ERR_OK;
}
