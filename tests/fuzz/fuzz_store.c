/* Recovery from arbitrary bytes. The first byte chooses: the rest as it is behind a segment's header, or as a
 * list of records (type, channel, low byte and high byte of the payload's size, payload) with right checksums
 * and positions, so that the meaning of records is tried as well. A store that opens must read what it shows,
 * go on, and show the same after a restart. */
#include "core/base/check.h"
#include "tests/unit/store/store_world.h"

enum { SALT = 4711 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_header(struct sim_file *file)
{
    struct segment_header header = {SEGMENT_VERSION, 1, WAL_SEGMENT_BYTES_MIN, SALT};
    segment_header_encode(file->now, &header);
    file->now_bytes = WAL_SEGMENT_BYTES_MIN;
    file->durable_bytes = WAL_SEGMENT_BYTES_MIN;
}

static void write_bytes(struct sim_file *file, const uint8_t *data, size_t size)
{
    if (size > WAL_SEGMENT_BYTES_MIN - SEGMENT_HEADER_BYTES)
        size = WAL_SEGMENT_BYTES_MIN - SEGMENT_HEADER_BYTES;
    memcpy(file->now + SEGMENT_HEADER_BYTES, data, size);
}

static void write_records(struct sim_file *file, const uint8_t *data, size_t size)
{
    uint32_t offset = SEGMENT_HEADER_BYTES;
    while (size >= 4) {
        size_t payload = (size_t)data[2] | (size_t)data[3] << 8;
        payload = payload > size - 4 ? size - 4 : payload;
        if (record_size(payload) > WAL_SEGMENT_BYTES_MIN - offset)
            return;
        struct record record = {
            .position = (uint64_t)1 << 32 | offset,
            .type = (enum record_type)(1 + data[0] % (RECORD_TYPES - 1)),
            .channel = data[1],
        };
        record_encode(file->now + offset, &record, bytes_of(data + 4, payload), TEXT(""), SALT);
        offset += record_size(payload);
        data += 4 + payload;
        size -= 4 + payload;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct world world = world_new(1);
    uint64_t before = 0, after = 0;
    int number = sim_calls.open(world.disk, "00000001.wal", STORE_OPEN_CREATE);
    ASSERT(number >= 0 && sim_calls.sync_folder(world.disk) == 0);
    sim_calls.close(world.disk, number);
    struct sim_file *file = sim_disk_file(world.disk, "00000001.wal");
    write_header(file);
    if (data[0] % 2 == 0)
        write_bytes(file, data + 1, size - 1);
    else
        write_records(file, data + 1, size - 1);
    memcpy(file->durable, file->now, SIM_FILE_BYTES_MAX);
    if (world_open(&world) == ERR_OK && world_digest(&world, &before) == ERR_OK) {
        enum err err = world_append(&world, "fuzz", 100);
        ASSERT(err == ERR_OK || err == ERR_FULL || err == ERR_INVALID);
        ASSERT(world_flush(&world) == ERR_OK);
        ASSERT(world_digest(&world, &before) == ERR_OK);
        ASSERT(world_restart(&world) == ERR_OK);
        ASSERT(world_digest(&world, &after) == ERR_OK);
        ASSERT(before == after);
    } else {
        ASSERT(world.store != NULL || world.why[0] != 0);
    }
    world_free(&world);
    return 0;
}
