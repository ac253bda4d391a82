/* shards/streaming/command.h - what one entry of the replicated log changes, as bytes
 * (docs/streaming-cluster.md 2). In the flow:  a request is checked -> command_write() -> the log ->
 * command_read() -> streaming_apply(). Everything that is drawn, measured or configured is in it, so that all
 * who apply it do the same. Pure functions. */
#ifndef SHARDS_STREAMING_COMMAND_H
#define SHARDS_STREAMING_COMMAND_H

#include "shards/streaming/packing.h"
#include "shards/streaming/wire.h"

enum command_kind {
    COMMAND_CLIENT_ADD = 1,
    COMMAND_CLIENT_REMOVE,
    COMMAND_PUBLISH,
    COMMAND_SUBSCRIBE,
    COMMAND_LEAVE,
    COMMAND_PROGRESS,
    COMMAND_CHANNEL_DELETE,
    COMMAND_CLIENT_KNOWN, /* of all groups but the first: what the first one's log says */
    COMMAND_CLIENT_GONE,
};
enum { COMMAND_KINDS = COMMAND_CLIENT_GONE + 1 };

/* Where a new subscription starts; what depends on this node's clock or limits was looked up before. */
enum command_start { COMMAND_START_NEW, COMMAND_START_LAST, COMMAND_START_FIRST, COMMAND_START_SEQUENCE };

struct command {
    enum command_kind kind;
    int64_t wall_ns; /* of who proposed it; never goes back from one entry of a leader to the next */
    union {
        struct {
            struct wire_client_info info;
            bool replace; /* whoever has the id goes first */
        } client_add;
        struct {
            struct bytes id;
            uint64_t added_index; /* of the entry that added it: no other one of that name */
        } client_remove;
        struct {
            struct bytes client_id, connection_id, channel, reply, data;
            uint32_t channels_max; /* if the channel has to be made */
        } publish;
        struct {
            struct bytes client_id, channel, group, inbox, ack_inbox, durable_name;
            int32_t max_in_flight, ack_wait_seconds;
            enum command_start start;
            uint64_t sequence; /* COMMAND_START_SEQUENCE: the one to be delivered first */
            bool replace;      /* a durable that is live loses its client */
            uint32_t channels_max, subscriptions_max;
        } subscribe;
        struct {
            struct bytes channel, ack_inbox;
            bool forget; /* also a durable */
        } leave;
        struct {
            struct bytes rows; /* command_progress_next() */
        } progress;
        struct {
            struct bytes name;
            uint64_t id, used_index; /* as they were: when there is a newer use it stays */
        } channel_delete;
        struct {
            struct wire_client_info info;
            uint64_t added_index; /* of the first group's entry that added it */
        } client_known;
        struct {
            struct bytes id;
            uint64_t added_index; /* likewise: that one, or one from before, is gone */
        } client_gone;
    };
};

size_t command_bytes(const struct command *command);
void command_write(const struct command *command, uint8_t *to);

/* False: bytes that command_write() does not make. Texts point into `from`. */
MUST_USE bool command_read(struct bytes from, struct command *to);

/* A client, as commands and snapshots have it. False: one without an id or a heartbeat inbox. */
void command_client_put(struct packer *to, const struct wire_client_info *info);
MUST_USE bool command_client_get(struct unpacker *from, struct wire_client_info *info);

/* The rows of COMMAND_PROGRESS, each of one subscription: its ack inbox, and numbers one behind the other,
 * each a sequence times two, plus one when it was acknowledged and not sent. */
void command_progress_put(struct packer *to, struct bytes ack_inbox, struct bytes events);
bool command_progress_next(struct bytes *rows, struct bytes *ack_inbox, struct bytes *events);

#endif
