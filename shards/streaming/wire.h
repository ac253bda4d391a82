/* shards/streaming/wire.h - the messages of NATS Streaming as bytes and as structs (docs/streaming.md 2). The
 * one place that knows protobuf-c: what it decodes lives in a scratch area until the next read, so nobody
 * keeps a decoded message as state. In the flow:  desk -> service -> wire_*_read() -> streaming_request();
 * and back wire_*_write() -> desk At the bound: what does not fit the scratch area (twice the payload and
 * WIRE_UNKNOWN_BYTES for fields that nobody knows) is as undecodable as what is torn. Thread: the owner's. */
#ifndef SHARDS_STREAMING_WIRE_H
#define SHARDS_STREAMING_WIRE_H

#include "core/base/bytes.h"
#include "core/base/language.h"

enum { WIRE_UNKNOWN_BYTES = 16 * 1024 };

/* A scratch area for reading. All zero is empty; it grows with the largest message so far. */
struct wire {
    uint8_t *scratch;
    size_t capacity;
    size_t used;
};

void wire_close(struct wire *wire);

/* The fields as they stand in the messages; what is absent is zero or empty. */
struct wire_connect_request {
    struct bytes client_id, heartbeat_inbox, connection_id;
    int32_t protocol, ping_interval, ping_out_max;
};
struct wire_connect_response {
    struct bytes publish, subscribe, unsubscribe, close, error, subscription_close, ping;
    int32_t ping_interval, ping_out_max, protocol;
};
struct wire_publish {
    struct bytes client_id, guid, subject, reply, data, connection_id;
};
struct wire_message {
    uint64_t sequence;
    struct bytes subject, reply, data;
    int64_t timestamp_ns;
};
struct wire_ack {
    struct bytes subject;
    uint64_t sequence;
};
struct wire_subscription_request {
    struct bytes client_id, subject, group, inbox, durable_name;
    int32_t max_in_flight, ack_wait_seconds, start_position;
    uint64_t start_sequence;
    int64_t start_delta_ns;
};
struct wire_unsubscribe_request {
    struct bytes client_id, subject, inbox;
};

/* What the store keeps. */
struct wire_server_info {
    struct bytes cluster_id, discovery, publish, subscribe, unsubscribe, close, subscription_close, acks,
        node_id;
};
struct wire_client_info {
    struct bytes id, heartbeat_inbox, connection_id;
    int32_t protocol, ping_interval, ping_out_max;
};
struct wire_subscription_state {
    uint64_t id, last_sent;
    struct bytes client_id, group, inbox, ack_inbox, durable_name;
    int32_t max_in_flight, ack_wait_seconds;
    bool durable, closed;
};

/* ---- reading: false when the bytes are no such message; on true the fields point into `wire` ---- */

MUST_USE bool wire_connect_request_read(struct wire *wire, struct bytes from,
                                        struct wire_connect_request *to);
MUST_USE bool wire_connect_response_read(struct wire *wire, struct bytes from,
                                         struct wire_connect_response *to);
MUST_USE bool wire_publish_read(struct wire *wire, struct bytes from, struct wire_publish *to);
MUST_USE bool wire_ack_read(struct wire *wire, struct bytes from, struct wire_ack *to);
MUST_USE bool wire_ping_read(struct wire *wire, struct bytes from, struct bytes *connection_id);
MUST_USE bool wire_subscription_request_read(struct wire *wire, struct bytes from,
                                             struct wire_subscription_request *to);
MUST_USE bool wire_unsubscribe_request_read(struct wire *wire, struct bytes from,
                                            struct wire_unsubscribe_request *to);
MUST_USE bool wire_close_request_read(struct wire *wire, struct bytes from, struct bytes *client_id);
MUST_USE bool wire_server_info_read(struct wire *wire, struct bytes from, struct wire_server_info *to);
MUST_USE bool wire_client_info_read(struct wire *wire, struct bytes from, struct wire_client_info *to);
MUST_USE bool wire_subscription_state_read(struct wire *wire, struct bytes from,
                                           struct wire_subscription_state *to);

/* Whether it is a word between servers, which is dropped where it is not expected (spec/streaming.md 4). */
MUST_USE bool wire_control_read(struct wire *wire, struct bytes from);

/* ---- writing: what a message will take, then the message into so many bytes ---- */

size_t wire_connect_response_bytes(const struct wire_connect_response *from);
void wire_connect_response_write(const struct wire_connect_response *from, uint8_t *to);
size_t wire_publish_ack_bytes(struct bytes guid, struct bytes error);
void wire_publish_ack_write(struct bytes guid, struct bytes error, uint8_t *to);
size_t wire_message_bytes(const struct wire_message *from);
void wire_message_write(const struct wire_message *from, uint8_t *to);
size_t wire_subscription_response_bytes(struct bytes ack_inbox, struct bytes error);
void wire_subscription_response_write(struct bytes ack_inbox, struct bytes error, uint8_t *to);
/* CloseResponse and PingResponse are the same: an error in field 1. */
size_t wire_error_bytes(struct bytes error);
void wire_error_write(struct bytes error, uint8_t *to);
size_t wire_server_info_bytes(const struct wire_server_info *from);
void wire_server_info_write(const struct wire_server_info *from, uint8_t *to);
size_t wire_client_info_bytes(const struct wire_client_info *from);
void wire_client_info_write(const struct wire_client_info *from, uint8_t *to);
size_t wire_subscription_state_bytes(const struct wire_subscription_state *from);
void wire_subscription_state_write(const struct wire_subscription_state *from, uint8_t *to);

/* A connect request and a close request, which the server sends itself when it starts. */
size_t wire_connect_request_bytes(const struct wire_connect_request *from);
void wire_connect_request_write(const struct wire_connect_request *from, uint8_t *to);
size_t wire_close_request_bytes(struct bytes client_id);
void wire_close_request_write(struct bytes client_id, uint8_t *to);

/* What follows a MsgProto to make a redelivery of it: fields 6 and 7 come behind all that a stored one has,
 * so a stored message is delivered as it lies there. `count` from 1; returns the bytes written. */
enum { WIRE_REDELIVERY_BYTES_MAX = 2 + 1 + 5 };
size_t wire_redelivery_write(uint32_t count, uint8_t *to);

#endif
