/* shards/streaming/peers.c - see peers.h. */
#include "shards/streaming/peers.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { SUBJECT_BYTES = 192, PIECE_BYTES_MIN = 256 };

/* ---- in ---- */

static void take(struct control *control, struct desk_listener *listener, const struct desk_message *message)
{
    struct peers *peers = CONTAINER_OF(listener, struct peers, inbox);
    struct peers_frame frame;
    (void)control;
    if (message->payload.count == 0) /* somebody only asks whether we are there: replica_watch.c */
        return;
    if (!peers_frame_decode(message->payload, &frame)) {
        peers->figures.lost++;
        return;
    }
    peers->figures.received_bytes += message->payload.count;
    struct bytes whole;
    if (!peers_assemble(&peers->assemblies, &frame, &whole))
        return;
    peers->figures.received_messages++;
    peers->taker(peers, frame.from, frame.kind, whole);
}

/* ---- out ---- */

uint8_t *peers_reserve(struct peers *peers, size_t count)
{
    size_t bytes = PEERS_FRAME_BYTES + count;
    if (count == 0 || count > PEERS_MESSAGE_BYTES_MAX)
        return NULL;
    if (peers->out_capacity < bytes) {
        memory_free(peers->out);
        peers->out = memory_new(bytes + bytes / 2);
        peers->out_capacity = peers->out == NULL ? 0 : bytes + bytes / 2;
    }
    return peers->out == NULL ? NULL : peers->out + PEERS_FRAME_BYTES;
}

/* Each frame is written over the end of the piece before, which has left. */
bool peers_send(struct peers *peers, uint64_t to, enum peers_kind kind, size_t count)
{
    char subject[SUBJECT_BYTES];
    int length = snprintf(subject, sizeof subject, "%sto.%016" PRIx64, peers->prefix, to);
    struct peers_frame frame = {
        .kind = kind, .from = peers->id, .number = ++peers->number, .total_bytes = (uint32_t)count};
    for (size_t at = 0; at < count; at += peers->piece_bytes) {
        size_t part = count - at < peers->piece_bytes ? count - at : peers->piece_bytes;
        uint8_t *piece = peers->out + at;
        frame.offset_bytes = (uint32_t)at;
        frame.data = bytes_of(piece + PEERS_FRAME_BYTES, part);
        peers_frame_encode(piece, &frame);
        struct bytes body = bytes_of(piece, PEERS_FRAME_BYTES + part);
        if (desk_publish(peers->control, 0, bytes_of(subject, (size_t)length), TEXT(""), &body, 1) == 0) {
            peers->figures.refused++;
            return false;
        }
        peers->figures.sent_bytes += PEERS_FRAME_BYTES + part;
    }
    peers->figures.sent_messages++;
    return true;
}

/* ---- beginning and end ---- */

struct bytes peers_subject(const struct peers *peers, const char *suffix, char *to, size_t to_bytes)
{
    int count = snprintf(to, to_bytes, "%s%s", peers->prefix, suffix);
    ASSERT(count > 0 && (size_t)count < to_bytes);
    return bytes_of(to, (size_t)count);
}

enum err peers_init(struct peers *peers, struct control *control, struct bytes cluster_id, uint32_t group,
                    int64_t max_payload_bytes)
{
    int64_t piece_bytes = max_payload_bytes - PEERS_FRAME_BYTES;
    if (piece_bytes > PEERS_PIECE_BYTES_MAX)
        piece_bytes = PEERS_PIECE_BYTES_MAX;
    if (piece_bytes < PIECE_BYTES_MIN) /* between Myelin's servers the limit does not count */
        piece_bytes = PIECE_BYTES_MIN;
    peers->control = control;
    peers->piece_bytes = (uint32_t)piece_bytes;
    char part[16] = "";
    if (group > 0)
        snprintf(part, sizeof part, "g%" PRIu32 ".", group);
    int count =
        snprintf(peers->prefix, sizeof peers->prefix, "_STAN.raft.%.*s.%s", BYTES_PRINTF(cluster_id), part);
    return count < 0 || (size_t)count >= sizeof peers->prefix ? ERR_INVALID : ERR_OK;
}

bool peers_listen(struct peers *peers, uint64_t id)
{
    char suffix[32], subject[SUBJECT_BYTES];
    enum err err = ERR_OK;
    if (peers->inbox.base.interest != NULL)
        return true;
    ASSERT(id != 0);
    peers->id = id;
    peers->inbox.taker = take;
    snprintf(suffix, sizeof suffix, "to.%016" PRIx64, id);
    return desk_listen(peers->control, &peers->inbox, peers_subject(peers, suffix, subject, sizeof subject),
                       &err);
}

void peers_close(struct peers *peers)
{
    if (peers->control != NULL)
        desk_forget(&peers->control->desk, &peers->inbox);
    peers_assemblies_close(&peers->assemblies);
    memory_free(peers->out);
    *peers = (struct peers){0};
}
