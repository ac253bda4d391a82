/* Any bytes as pieces of messages from other nodes (shards/streaming/peers_frame.c): two bytes say how long a
 * piece is, and so on to the end. What is decoded encodes to the same bytes; what is put together is as long
 * as it was said to be. Checksums are made right first, else nothing behind them would ever be reached. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "shards/streaming/peers_frame.h"
#include "store/record.h"

#include <isa-l/crc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void correct_checksum(uint8_t *piece, size_t count)
{
    uint32_t crc = crc32_iscsi(piece + 4, PEERS_FRAME_BYTES - 4, 0);
    put_u32(piece, crc32_iscsi(piece + PEERS_FRAME_BYTES, (int)(count - PEERS_FRAME_BYTES), crc));
}

static void take(struct peers_assemblies *assemblies, uint8_t *piece, size_t count)
{
    struct peers_frame frame;
    struct bytes whole;
    uint8_t again[PEERS_FRAME_BYTES];
    if (!peers_frame_decode(bytes_of(piece, count), &frame))
        return;
    peers_frame_encode(again, &frame);
    ASSERT(memcmp(again, piece, sizeof again) == 0);
    if (peers_assemble(assemblies, &frame, &whole))
        ASSERT(whole.count == frame.total_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peers_assemblies assemblies = {0};
    while (size > 2) {
        size_t count = (size_t)(data[0] | data[1] << 8);
        count = count < size - 2 ? count : size - 2;
        uint8_t *piece = memory_copy(data + 2, count);
        ASSERT(piece != NULL);
        take(&assemblies, piece, count);
        if (count > PEERS_FRAME_BYTES) {
            correct_checksum(piece, count);
            take(&assemblies, piece, count);
        }
        memory_free(piece);
        data += 2 + count;
        size -= 2 + count;
    }
    peers_assemblies_close(&assemblies);
    return 0;
}
