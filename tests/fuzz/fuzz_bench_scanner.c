/* tests/fuzz/fuzz_bench_scanner.c - the load generator's scanner on any bytes, cut at any places. The first
 * byte chooses how long the pieces are and whether repeats are folded; whole and cut, the same frames must be
 * counted. */
#include "bench/scanner.h"

#include "core/base/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tally {
    uint64_t frames;
    uint64_t bytes;
    uint64_t lines;
    bool broken;
};

static void scan(struct scanner *scanner, const uint8_t *data, size_t count, struct tally *tally)
{
    uint8_t *room = malloc(SCANNER_TORN_BYTES + count + 1);
    if (room == NULL)
        return;
    memcpy(room + SCANNER_TORN_BYTES, data, count);
    struct scan_input input = scanner_begin(scanner, room + SCANNER_TORN_BYTES, count);
    struct scan_event event = {0};
    while (!tally->broken) {
        enum scan_result result = scanner_next(scanner, &input, &event);
        if (result == SCAN_MORE)
            break;
        tally->broken = result == SCAN_BROKEN;
        if (result == SCAN_MESSAGE) {
            tally->frames += event.repeats;
            tally->bytes += event.repeats * event.frame_bytes;
            ASSERT(event.subject.count > 0 && event.head.count <= event.total_bytes);
        } else {
            tally->lines++;
        }
    }
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t piece = (size_t)(data[0] & 0x7f) + 1;
    struct scanner whole = {.counting = (data[0] & 0x80) != 0};
    struct scanner cut = {0};
    struct tally whole_tally = {0};
    struct tally cut_tally = {0};
    data++;
    size--;
    scan(&whole, data, size, &whole_tally);
    for (size_t at = 0; at < size; at += piece)
        scan(&cut, data + at, size - at < piece ? size - at : piece, &cut_tally);
    ASSERT(whole_tally.frames == cut_tally.frames && whole_tally.bytes == cut_tally.bytes);
    ASSERT(whole_tally.broken == cut_tally.broken && whole_tally.lines == cut_tally.lines);
    ASSERT(whole_tally.bytes <= size);
    return 0;
}
