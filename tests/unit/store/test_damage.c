/* The store against bytes that change after they were safe: never a silent skip, never another message in its
 * place; it is said which file and offset. And the files of a store that are missing or of another version.
 */
#include "core/base/language.h"
#include "tests/unit/store/store_world.h"

#include <criterion/criterion.h>

/* Three segments, closed in peace. */
static struct world written(uint64_t *digest)
{
    struct world world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(world_append(&world, i % 2 == 0 ? "foo" : "bar", 450), ERR_OK);
        struct store_channel *foo = world_channel(&world, "foo");
        cr_assert_eq(store_state_put(world.store, STORE_STATE_SUBSCRIPTION, foo, TEXT("1"), TEXT("value")),
                     ERR_OK);
    }
    cr_assert_eq(world_flush(&world), ERR_OK);
    cr_assert_eq(world_digest(&world, digest), ERR_OK);
    cr_assert_eq(store_close(world.store), ERR_OK);
    world.store = NULL;
    return world;
}

/* What the segment file was, to be put back. */
struct kept {
    uint8_t bytes[SIM_FILE_BYTES_MAX];
    uint64_t count;
};

static void keep(struct world *world, const char *name, struct kept *kept)
{
    const struct sim_file *file = sim_disk_file(world->disk, name);
    cr_assert_not_null(file);
    kept->count = file->now_bytes;
    memcpy(kept->bytes, file->now, (size_t)file->now_bytes);
}

static void put_back(struct world *world, const char *name, const struct kept *kept)
{
    struct sim_file *file = sim_disk_file(world->disk, name);
    memcpy(file->now, kept->bytes, (size_t)kept->count);
    memcpy(file->durable, kept->bytes, (size_t)kept->count);
    file->now_bytes = kept->count;
    file->durable_bytes = kept->count;
}

static void flip_everywhere(const char *name, bool verify)
{
    static struct kept kept;
    uint64_t digest = 0, found = 0;
    struct world world = written(&digest);
    world.options.verify = verify;
    keep(&world, name, &kept);
    uint32_t reported = 0, harmless = 0;
    for (uint64_t offset = 0; offset < kept.count; offset += 59) {
        sim_disk_flip(world.disk, name, offset, (uint8_t)(1 << offset % 8));
        enum err err = world_open(&world);
        if (err == ERR_OK) {
            err = world_digest(&world, &found);
            (void)snprintf(world.why, sizeof world.why, "%s", store_error(world.store));
        }
        if (err == ERR_OK) {
            harmless++;
            cr_assert_eq(found, digest, "%s at %llu: something else is found, and nothing is said", name,
                         (unsigned long long)offset);
        } else {
            reported++;
            cr_assert_eq(err, ERR_DAMAGED, "%s at %llu: %s", name, (unsigned long long)offset, world.why);
            cr_assert_not_null(strstr(world.why, name), "%s", world.why);
            cr_assert(strstr(world.why, "offset") != NULL || strstr(world.why, "header") != NULL ||
                          strstr(world.why, "version") != NULL,
                      "%s", world.why);
        }
        store_abandon(world.store);
        world.store = NULL;
        put_back(&world, name, &kept);
    }
    cr_expect_gt(reported, 100);
    (void)harmless;
    world_free(&world);
}

Test(damage, in_a_segment_in_the_middle_is_reported_when_all_is_verified)
{
    flip_everywhere("00000002.wal", true);
}

Test(damage, in_a_segment_in_the_middle_is_reported_when_it_is_read)
{
    flip_everywhere("00000002.wal", false);
}

Test(damage, in_the_first_segment_is_reported)
{
    flip_everywhere("00000001.wal", true);
}

Test(damage, in_the_last_segment_is_told_from_a_torn_tail)
{
    flip_everywhere("00000003.wal", true);
}

Test(damage, a_torn_tail_is_cut_at_every_length)
{
    uint64_t digests[4] = {0};
    struct world world = world_new(1);
    cr_assert_eq(world_open(&world), ERR_OK);
    struct store_channel *channel = world_channel(&world, "foo");
    cr_assert_not_null(channel);
    cr_assert_eq(world_flush(&world), ERR_OK);
    cr_assert_eq(world_digest(&world, &digests[0]), ERR_OK);
    uint64_t start = store_position(world.store) & UINT32_MAX;
    for (int i = 1; i < 4; i++) {
        cr_assert_eq(world_append(&world, "foo", 30), ERR_OK);
        cr_assert_eq(world_digest(&world, &digests[i]), ERR_OK);
    }
    uint64_t end = store_position(world.store) & UINT32_MAX;
    cr_assert_eq(world_flush(&world), ERR_OK);
    store_abandon(world.store);
    world.store = NULL;
    static struct kept kept;
    keep(&world, "00000001.wal", &kept);
    for (uint64_t length = start; length <= end; length++) {
        sim_disk_kill(world.disk);
        put_back(&world, "00000001.wal", &kept);
        struct sim_file *file = sim_disk_file(world.disk, "00000001.wal");
        memset(file->now + length, 0, (size_t)(file->now_bytes - length));
        memcpy(file->durable, file->now, (size_t)file->now_bytes);
        cr_assert_eq(world_open(&world), ERR_OK, "%s", world.why);
        uint64_t found = 0;
        cr_assert_eq(world_digest(&world, &found), ERR_OK);
        uint64_t whole = (length - start) / ((end - start) / 3);
        cr_assert(found == digests[whole] || (whole < 3 && found == digests[whole + 1]), "length %llu",
                  (unsigned long long)length);
        cr_assert_eq(world_append(&world, "foo", 30), ERR_OK);
        store_abandon(world.store);
        world.store = NULL;
    }
    world_free(&world);
}

Test(damage, a_file_that_is_missing_is_named)
{
    static const char *const names[] = {"00000001.wal", "00000002.wal"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        uint64_t digest = 0;
        struct world world = written(&digest);
        cr_assert_eq(sim_calls.remove(world.disk, names[i]), 0);
        cr_expect_eq(world_open(&world), ERR_DAMAGED);
        cr_expect_not_null(strstr(world.why, names[i]), "%s", world.why);
        cr_expect_not_null(strstr(world.why, "is missing"), "%s", world.why);
        world_free(&world);
    }
}

Test(damage, a_later_version_is_refused_by_name)
{
    uint64_t digest = 0;
    struct world world = written(&digest);
    struct sim_file *file = sim_disk_file(world.disk, "00000002.wal");
    struct segment_header header;
    cr_assert(segment_header_decode(file->now, &header));
    header.version = 2;
    segment_header_encode(file->now, &header);
    cr_expect_eq(world_open(&world), ERR_DAMAGED);
    cr_expect_str_eq(world.why, "00000002.wal: unsupported file version: 2 (supports [1..1])");
    world_free(&world);
}

Test(damage, is_given_up_when_that_is_asked_but_not_twice_running)
{
    uint64_t digest = 0;
    struct world world = written(&digest);
    sim_disk_flip(world.disk, "00000002.wal", 30000, 1);
    world.options.verify = true;
    cr_expect_eq(world_open(&world), ERR_DAMAGED);
    world.options.cut_damaged_tail = true;
    cr_assert_eq(world_open(&world), ERR_OK, "%s", world.why);
    struct store_channel_figures figures = store_channel_figures(world_channel(&world, "foo"));
    cr_expect_gt(figures.last_sequence, 50);
    cr_expect_lt(figures.last_sequence, 150);
    cr_expect_eq(world_append(&world, "foo", 100), ERR_OK);
    cr_expect_eq(world_restart(&world), ERR_INVALID);
    cr_expect_str_eq(world.why,
                     "file store should not be opened consecutively with the TruncateUnexpectedEOF option "
                     "set to true");
    world.options.cut_damaged_tail = false;
    cr_assert_eq(world_open(&world), ERR_OK, "%s", world.why);
    cr_expect_eq(store_channel_figures(world_channel(&world, "foo")).last_sequence,
                 figures.last_sequence + 1);
    world.options.cut_damaged_tail = true;
    cr_expect_eq(world_restart(&world), ERR_OK, "%s", world.why);
    world_free(&world);
}
