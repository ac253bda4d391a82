/* shards/streaming/peers_frame.c - see peers_frame.h. A piece, little-endian:
 *    0  4  CRC32C of all that follows
 *    4  1  version, 1
 *    5  1  kind (enum peers_kind)
 *    6  2  zero
 *    8  8  from: the sender's Raft id, not 0
 *   16  8  number of the message, counted by its sender
 *   24  4  bytes of the whole message, 1 to PEERS_MESSAGE_BYTES_MAX
 *   28  4  where in it this piece begins; below that
 *   32  8  zero
 *   40  -  data, at least one byte, not beyond the message's end */
#include "shards/streaming/peers_frame.h"

#include "core/base/memory.h"
#include "store/record.h"

#include <isa-l/crc.h>

enum { VERSION = 1 };

/* ---- frames ---- */

static uint32_t checksum(const uint8_t *frame, struct bytes data)
{
    uint32_t crc = crc32_iscsi((unsigned char *)(uintptr_t)(frame + 4), PEERS_FRAME_BYTES - 4, 0);
    return crc32_iscsi((unsigned char *)(uintptr_t)data.data, (int)data.count, crc);
}

void peers_frame_encode(uint8_t to[PEERS_FRAME_BYTES], const struct peers_frame *frame)
{
    memset(to, 0, PEERS_FRAME_BYTES);
    to[4] = VERSION;
    to[5] = (uint8_t)frame->kind;
    put_u64(to + 8, frame->from);
    put_u64(to + 16, frame->number);
    put_u32(to + 24, frame->total_bytes);
    put_u32(to + 28, frame->offset_bytes);
    put_u32(to, checksum(to, frame->data));
}

bool peers_frame_decode(struct bytes from, struct peers_frame *frame)
{
    if (from.count <= PEERS_FRAME_BYTES || from.count > PEERS_MESSAGE_BYTES_MAX + PEERS_FRAME_BYTES ||
        from.data[4] != VERSION || from.data[5] >= PEERS_KINDS || from.data[6] != 0 || from.data[7] != 0)
        return false;
    *frame = (struct peers_frame){
        .kind = (enum peers_kind)from.data[5],
        .from = get_u64(from.data + 8),
        .number = get_u64(from.data + 16),
        .total_bytes = get_u32(from.data + 24),
        .offset_bytes = get_u32(from.data + 28),
        .data = bytes_of(from.data + PEERS_FRAME_BYTES, from.count - PEERS_FRAME_BYTES),
    };
    return get_u32(from.data) == checksum(from.data, frame->data) && get_u64(from.data + 32) == 0 &&
           frame->from != 0 && frame->total_bytes <= PEERS_MESSAGE_BYTES_MAX &&
           frame->offset_bytes < frame->total_bytes &&
           frame->data.count <= frame->total_bytes - frame->offset_bytes;
}

/* ---- pieces ---- */

static struct peers_assembly *assembly_of(struct peers_assemblies *assemblies, uint64_t from)
{
    struct peers_assembly *oldest = &assemblies->senders[0];
    for (uint32_t i = 0; i < PEERS_SENDERS_MAX; i++) {
        struct peers_assembly *assembly = &assemblies->senders[i];
        if (assembly->from == from)
            return assembly;
        if (assembly->used < oldest->used)
            oldest = assembly;
    }
    oldest->from = from;
    oldest->total_bytes = oldest->received_bytes = 0;
    return oldest;
}

static bool assembly_room(struct peers_assembly *assembly, size_t bytes)
{
    if (assembly->capacity >= bytes)
        return true;
    /* By halves more: a size that is only claimed takes no memory. */
    size_t capacity = bytes + bytes / 2;
    uint8_t *grown = memory_grow(assembly->bytes, capacity);
    if (grown == NULL)
        return false;
    assembly->bytes = grown;
    assembly->capacity = capacity;
    return true;
}

bool peers_assemble(struct peers_assemblies *assemblies, const struct peers_frame *frame, struct bytes *whole)
{
    *whole = frame->data;
    if (frame->data.count == frame->total_bytes)
        return true;
    struct peers_assembly *assembly = assembly_of(assemblies, frame->from);
    assembly->used = ++assemblies->clock;
    if (frame->offset_bytes == 0) {
        assemblies->lost += assembly->received_bytes < assembly->total_bytes;
        assembly->number = frame->number;
        assembly->total_bytes = frame->total_bytes;
        assembly->received_bytes = 0;
    }
    size_t end = (size_t)frame->offset_bytes + frame->data.count;
    if (assembly->number != frame->number || assembly->total_bytes != frame->total_bytes ||
        assembly->received_bytes != frame->offset_bytes || !assembly_room(assembly, end))
        return false;
    memcpy(assembly->bytes + frame->offset_bytes, frame->data.data, frame->data.count);
    assembly->received_bytes = (uint32_t)end;
    *whole = bytes_of(assembly->bytes, end);
    return end == frame->total_bytes;
}

void peers_assemblies_close(struct peers_assemblies *assemblies)
{
    for (uint32_t i = 0; i < PEERS_SENDERS_MAX; i++)
        memory_free(assemblies->senders[i].bytes);
    *assemblies = (struct peers_assemblies){0};
}
