/* Any bytes as a compressed stream: read whole and in cuts that the first byte chooses, core/codec/s2.c must
 * make the same of them; as a block they must fit where they say; and as plain bytes they must come back from
 * what is written. */
#include "core/base/check.h"
#include "core/codec/s2.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t read_all(const uint8_t *data, size_t size, size_t cut, enum s2_result *result)
{
    struct s2_reader reader = {0};
    uint64_t sum = 0;
    *result = S2_MORE;
    for (size_t at = 0; at < size && *result == S2_MORE; at += cut) {
        size_t count = size - at < cut ? size - at : cut;
        uint8_t *piece = malloc(count);
        ASSERT(piece != NULL);
        memcpy(piece, data + at, count);
        struct bytes rest = bytes_of(piece, count), plain = {NULL, 0};
        while ((*result = s2_reader_next(&reader, &rest, &plain)) == S2_DATA) {
            ASSERT(plain.count > 0 && plain.count <= S2_PLAIN_BYTES_MAX);
            for (size_t i = 0; i < plain.count; i++)
                sum = (sum ^ plain.data[i]) * 0x100000001b3ULL;
        }
        free(piece);
    }
    s2_reader_close(&reader);
    return sum;
}

static void back(struct bytes plain, bool stored)
{
    uint8_t *to = malloc(s2_encode_room(plain.count));
    struct s2_reader reader = {0};
    ASSERT(to != NULL);
    struct bytes rest = bytes_of(to, s2_encode(plain, true, stored, to)), again = {NULL, 0};
    ASSERT(s2_reader_next(&reader, &rest, &again) == S2_DATA && rest.count == 0 && bytes_equal(plain, again));
    s2_reader_close(&reader);
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t block[BLOCK_BYTES];
    enum s2_result whole, cut;
    if (size < 3)
        return 0;
    uint64_t all = read_all(data + 1, size - 1, size, &whole);
    uint64_t torn = read_all(data + 1, size - 1, 1U + data[0], &cut);
    ASSERT(all == torn && whole == cut);
    size_t count = ((size_t)data[0] << 4 | (data[1] & 15U)) % sizeof block;
    if (s2_block_decode(bytes_of(data + 2, size - 2), block, count) && count > 0)
        ASSERT(data[2] % 4 == 0); /* a block begins with a literal */
    if (size - 1 <= S2_WRITE_BYTES) {
        back(bytes_of(data + 1, size - 1), false);
        back(bytes_of(data + 1, size - 1), true);
    }
    return 0;
}
