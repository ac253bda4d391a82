/* shards/streaming/wire.c - see wire.h. protobuf-c allocates what it decodes: here from an area that is taken
 * over again with each message. What comes by the million is in wire_hot.c. */
#include "shards/streaming/wire.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "shards/streaming/protocol.pb-c.h"
#include "shards/streaming/wire_hot.h"

enum { ALIGNMENT = 16 };

/* ---- protobuf-c's allocator ---- */

static void *scratch_take(void *context, size_t count)
{
    struct wire *wire = context;
    size_t rounded = (count + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (count > wire->capacity || rounded > wire->capacity - wire->used)
        return NULL;
    void *at = wire->scratch + wire->used;
    wire->used += rounded;
    return at;
}

static void scratch_leave(void *context, void *memory)
{
    (void)context, (void)memory; /* all of it goes with the next message */
}

static bool scratch_ready(struct wire *wire, size_t payload_bytes)
{
    size_t wanted = 2 * payload_bytes + WIRE_UNKNOWN_BYTES;
    wire->used = 0;
    if (wire->capacity >= wanted)
        return true;
    memory_free(wire->scratch);
    wire->scratch = memory_new(wanted);
    wire->capacity = wire->scratch == NULL ? 0 : wanted;
    return wire->scratch != NULL;
}

void wire_close(struct wire *wire)
{
    memory_free(wire->scratch);
    *wire = (struct wire){0};
}

static const void *unpack(struct wire *wire, const ProtobufCMessageDescriptor *descriptor, struct bytes from)
{
    ProtobufCAllocator allocator = {scratch_take, scratch_leave, wire};
    static const uint8_t nothing = 0;
    if (!scratch_ready(wire, from.count))
        return NULL;
    return protobuf_c_message_unpack(descriptor, &allocator, from.count,
                                     from.count == 0 ? &nothing : from.data);
}

static struct bytes out(ProtobufCBinaryData data)
{
    return bytes_of(data.data, data.len);
}

static ProtobufCBinaryData in(struct bytes bytes)
{
    /* protobuf-c only reads what it packs; its type has no word for that. */
    union {
        const uint8_t *read;
        uint8_t *written;
    } data = {.read = bytes.data};
    return (ProtobufCBinaryData){.len = bytes.count, .data = data.written};
}

static size_t size(const ProtobufCMessage *message)
{
    return protobuf_c_message_get_packed_size(message);
}

static void pack(const ProtobufCMessage *message, uint8_t *to)
{
    (void)protobuf_c_message_pack(message, to);
}

/* ---- reading ---- */

bool wire_connect_request_read(struct wire *wire, struct bytes from, struct wire_connect_request *to)
{
    const Stan__ConnectRequest *message = unpack(wire, &stan__connect_request__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_connect_request){
        .client_id = out(message->client_id),
        .heartbeat_inbox = out(message->heartbeat_inbox),
        .connection_id = out(message->conn_id),
        .protocol = message->protocol,
        .ping_interval = message->ping_interval,
        .ping_out_max = message->ping_max_out,
    };
    return true;
}

bool wire_connect_response_read(struct wire *wire, struct bytes from, struct wire_connect_response *to)
{
    const Stan__ConnectResponse *message = unpack(wire, &stan__connect_response__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_connect_response){
        .publish = out(message->pub_prefix),
        .subscribe = out(message->sub_requests),
        .unsubscribe = out(message->unsub_requests),
        .close = out(message->close_requests),
        .error = out(message->error),
        .subscription_close = out(message->sub_close_requests),
        .ping = out(message->ping_requests),
        .ping_interval = message->ping_interval,
        .ping_out_max = message->ping_max_out,
        .protocol = message->protocol,
    };
    return true;
}

bool wire_publish_read(struct wire *wire, struct bytes from, struct wire_publish *to)
{
    if (LIKELY(wire_hot_publish_read(from, to)))
        return true;
    const Stan__PubMsg *message = unpack(wire, &stan__pub_msg__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_publish){
        .client_id = out(message->client_id),
        .guid = out(message->guid),
        .subject = out(message->subject),
        .reply = out(message->reply),
        .data = out(message->data),
        .connection_id = out(message->conn_id),
    };
    return true;
}

bool wire_ack_read(struct wire *wire, struct bytes from, struct wire_ack *to)
{
    if (LIKELY(wire_hot_ack_read(from, to)))
        return true;
    const Stan__Ack *message = unpack(wire, &stan__ack__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_ack){.subject = out(message->subject), .sequence = message->sequence};
    return true;
}

bool wire_ping_read(struct wire *wire, struct bytes from, struct bytes *connection_id)
{
    const Stan__Ping *message = unpack(wire, &stan__ping__descriptor, from);
    if (message == NULL)
        return false;
    *connection_id = out(message->conn_id);
    return true;
}

bool wire_subscription_request_read(struct wire *wire, struct bytes from,
                                    struct wire_subscription_request *to)
{
    const Stan__SubscriptionRequest *message = unpack(wire, &stan__subscription_request__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_subscription_request){
        .client_id = out(message->client_id),
        .subject = out(message->subject),
        .group = out(message->q_group),
        .inbox = out(message->inbox),
        .durable_name = out(message->durable_name),
        .max_in_flight = message->max_in_flight,
        .ack_wait_seconds = message->ack_wait_in_secs,
        .start_position = message->start_position,
        .start_sequence = message->start_sequence,
        .start_delta_ns = message->start_time_delta,
    };
    return true;
}

bool wire_unsubscribe_request_read(struct wire *wire, struct bytes from, struct wire_unsubscribe_request *to)
{
    const Stan__UnsubscribeRequest *message = unpack(wire, &stan__unsubscribe_request__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_unsubscribe_request){
        .client_id = out(message->client_id),
        .subject = out(message->subject),
        .inbox = out(message->inbox),
    };
    return true;
}

bool wire_close_request_read(struct wire *wire, struct bytes from, struct bytes *client_id)
{
    const Stan__CloseRequest *message = unpack(wire, &stan__close_request__descriptor, from);
    if (message == NULL)
        return false;
    *client_id = out(message->client_id);
    return true;
}

bool wire_control_read(struct wire *wire, struct bytes from)
{
    return unpack(wire, &stan__ctrl_msg__descriptor, from) != NULL;
}

bool wire_server_info_read(struct wire *wire, struct bytes from, struct wire_server_info *to)
{
    const Stan__ServerInfo *message = unpack(wire, &stan__server_info__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_server_info){
        .cluster_id = out(message->cluster_id),
        .discovery = out(message->discovery),
        .publish = out(message->publish),
        .subscribe = out(message->subscribe),
        .unsubscribe = out(message->unsubscribe),
        .close = out(message->close),
        .subscription_close = out(message->sub_close),
        .acks = out(message->acks_subs),
        .node_id = out(message->node_id),
    };
    return true;
}

bool wire_client_info_read(struct wire *wire, struct bytes from, struct wire_client_info *to)
{
    const Stan__ClientInfo *message = unpack(wire, &stan__client_info__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_client_info){
        .id = out(message->id),
        .heartbeat_inbox = out(message->heartbeat_inbox),
        .connection_id = out(message->conn_id),
        .protocol = message->protocol,
        .ping_interval = message->ping_interval,
        .ping_out_max = message->ping_max_out,
    };
    return true;
}

bool wire_subscription_state_read(struct wire *wire, struct bytes from, struct wire_subscription_state *to)
{
    const Stan__SubState *message = unpack(wire, &stan__sub_state__descriptor, from);
    if (message == NULL)
        return false;
    *to = (struct wire_subscription_state){
        .id = message->id,
        .last_sent = message->last_sent,
        .client_id = out(message->client_id),
        .group = out(message->q_group),
        .inbox = out(message->inbox),
        .ack_inbox = out(message->ack_inbox),
        .durable_name = out(message->durable_name),
        .max_in_flight = message->max_in_flight,
        .ack_wait_seconds = message->ack_wait_in_secs,
        .durable = message->is_durable,
        .closed = message->is_closed,
    };
    return true;
}

/* ---- writing ---- */

static Stan__ConnectRequest connect_request(const struct wire_connect_request *from)
{
    Stan__ConnectRequest message = STAN__CONNECT_REQUEST__INIT;
    message.client_id = in(from->client_id);
    message.heartbeat_inbox = in(from->heartbeat_inbox);
    message.conn_id = in(from->connection_id);
    message.protocol = from->protocol;
    message.ping_interval = from->ping_interval;
    message.ping_max_out = from->ping_out_max;
    return message;
}

static Stan__ConnectResponse connect_response(const struct wire_connect_response *from)
{
    Stan__ConnectResponse message = STAN__CONNECT_RESPONSE__INIT;
    message.pub_prefix = in(from->publish);
    message.sub_requests = in(from->subscribe);
    message.unsub_requests = in(from->unsubscribe);
    message.close_requests = in(from->close);
    message.error = in(from->error);
    message.sub_close_requests = in(from->subscription_close);
    message.ping_requests = in(from->ping);
    message.ping_interval = from->ping_interval;
    message.ping_max_out = from->ping_out_max;
    message.protocol = from->protocol;
    return message;
}

static Stan__SubscriptionResponse subscription_response(struct bytes ack_inbox, struct bytes error)
{
    Stan__SubscriptionResponse message = STAN__SUBSCRIPTION_RESPONSE__INIT;
    message.ack_inbox = in(ack_inbox);
    message.error = in(error);
    return message;
}

static Stan__CloseResponse error_response(struct bytes error)
{
    Stan__CloseResponse message = STAN__CLOSE_RESPONSE__INIT;
    message.error = in(error);
    return message;
}

static Stan__CloseRequest close_request(struct bytes client_id)
{
    Stan__CloseRequest message = STAN__CLOSE_REQUEST__INIT;
    message.client_id = in(client_id);
    return message;
}

static Stan__ServerInfo server_info(const struct wire_server_info *from)
{
    Stan__ServerInfo message = STAN__SERVER_INFO__INIT;
    message.cluster_id = in(from->cluster_id);
    message.discovery = in(from->discovery);
    message.publish = in(from->publish);
    message.subscribe = in(from->subscribe);
    message.unsubscribe = in(from->unsubscribe);
    message.close = in(from->close);
    message.sub_close = in(from->subscription_close);
    message.acks_subs = in(from->acks);
    message.node_id = in(from->node_id);
    return message;
}

static Stan__ClientInfo client_info(const struct wire_client_info *from)
{
    Stan__ClientInfo message = STAN__CLIENT_INFO__INIT;
    message.id = in(from->id);
    message.heartbeat_inbox = in(from->heartbeat_inbox);
    message.conn_id = in(from->connection_id);
    message.protocol = from->protocol;
    message.ping_interval = from->ping_interval;
    message.ping_max_out = from->ping_out_max;
    return message;
}

static Stan__SubState subscription_state(const struct wire_subscription_state *from)
{
    Stan__SubState message = STAN__SUB_STATE__INIT;
    message.id = from->id;
    message.client_id = in(from->client_id);
    message.q_group = in(from->group);
    message.inbox = in(from->inbox);
    message.ack_inbox = in(from->ack_inbox);
    message.max_in_flight = from->max_in_flight;
    message.ack_wait_in_secs = from->ack_wait_seconds;
    message.durable_name = in(from->durable_name);
    message.last_sent = from->last_sent;
    message.is_durable = from->durable;
    message.is_closed = from->closed;
    return message;
}

/* What the message takes that `make` fills. */
#define SIZE_OF(name, type, make, parameters, arguments)                                                     \
    size_t wire_##name##_bytes parameters                                                                    \
    {                                                                                                        \
        type message = make arguments;                                                                       \
        return size(&message.base);                                                                          \
    }

SIZE_OF(connect_request, Stan__ConnectRequest, connect_request, (const struct wire_connect_request *from),
        (from))
SIZE_OF(connect_response, Stan__ConnectResponse, connect_response, (const struct wire_connect_response *from),
        (from))
SIZE_OF(subscription_response, Stan__SubscriptionResponse, subscription_response,
        (struct bytes ack_inbox, struct bytes error), (ack_inbox, error))
SIZE_OF(error, Stan__CloseResponse, error_response, (struct bytes error), (error))
SIZE_OF(close_request, Stan__CloseRequest, close_request, (struct bytes client_id), (client_id))
SIZE_OF(server_info, Stan__ServerInfo, server_info, (const struct wire_server_info *from), (from))
SIZE_OF(client_info, Stan__ClientInfo, client_info, (const struct wire_client_info *from), (from))
SIZE_OF(subscription_state, Stan__SubState, subscription_state, (const struct wire_subscription_state *from),
        (from))

void wire_connect_request_write(const struct wire_connect_request *from, uint8_t *to)
{
    Stan__ConnectRequest message = connect_request(from);
    pack(&message.base, to);
}

void wire_connect_response_write(const struct wire_connect_response *from, uint8_t *to)
{
    Stan__ConnectResponse message = connect_response(from);
    pack(&message.base, to);
}

void wire_subscription_response_write(struct bytes ack_inbox, struct bytes error, uint8_t *to)
{
    Stan__SubscriptionResponse message = subscription_response(ack_inbox, error);
    pack(&message.base, to);
}

void wire_error_write(struct bytes error, uint8_t *to)
{
    Stan__CloseResponse message = error_response(error);
    pack(&message.base, to);
}

void wire_close_request_write(struct bytes client_id, uint8_t *to)
{
    Stan__CloseRequest message = close_request(client_id);
    pack(&message.base, to);
}

void wire_server_info_write(const struct wire_server_info *from, uint8_t *to)
{
    Stan__ServerInfo message = server_info(from);
    pack(&message.base, to);
}

void wire_client_info_write(const struct wire_client_info *from, uint8_t *to)
{
    Stan__ClientInfo message = client_info(from);
    pack(&message.base, to);
}

void wire_subscription_state_write(const struct wire_subscription_state *from, uint8_t *to)
{
    Stan__SubState message = subscription_state(from);
    pack(&message.base, to);
}

size_t wire_redelivery_write(uint32_t count, uint8_t *to)
{
    enum { REDELIVERED_KEY = 6 << 3, COUNT_KEY = 7 << 3 };
    uint8_t *at = to;
    ASSERT(count > 0);
    *at++ = REDELIVERED_KEY;
    *at++ = 1;
    *at++ = COUNT_KEY;
    for (; count >= 0x80; count >>= 7)
        *at++ = (uint8_t)(count | 0x80);
    *at++ = (uint8_t)count;
    return (size_t)(at - to);
}
