/* Any bytes as a message of another node: raft/message_codec.c takes them or says why not, and encoding what
 * it took gives the same bytes. The checksum is made right first, else nothing behind it would ever be
 * reached. */
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "raft/message_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_BYTES = 40 };

/* Bytes 4 to 7 (message_codec.c). */
static void correct_checksum(uint8_t *bytes, size_t size)
{
    uint64_t seed = bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 | (uint64_t)bytes[3] << 24;
    uint64_t sum = hash_bytes(bytes_of(bytes + 8, size - 8), seed);
    for (unsigned i = 0; i < 4; i++)
        bytes[4 + i] = (uint8_t)(sum >> (8 * i));
}

static void check_same(const uint8_t *bytes, size_t size, const struct raft_decoded *decoded)
{
    size_t count = raft_message_bytes(&decoded->message);
    uint8_t *again = memory_new(count);
    ASSERT(again != NULL && count == size);
    raft_message_encode(&decoded->message, decoded->group, again);
    ASSERT(memcmp(again, bytes, size) == 0);
    memory_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raft_decoded *decoded = memory_new(sizeof *decoded);
    uint8_t *bytes = memory_copy(data, size);
    ASSERT(decoded != NULL && bytes != NULL);
    if (raft_message_decode(bytes_of(bytes, size), decoded) == RAFT_DECODED)
        check_same(bytes, size, decoded);
    if (size >= HEAD_BYTES) {
        correct_checksum(bytes, size);
        enum raft_decode_result result = raft_message_decode(bytes_of(bytes, size), decoded);
        ASSERT(result != RAFT_DECODE_DAMAGED);
        if (result == RAFT_DECODED)
            check_same(bytes, size, decoded);
    }
    memory_free(bytes);
    memory_free(decoded);
    return 0;
}
