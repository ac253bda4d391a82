/* tests/micro/store_bench.c - the file store by itself: group commit beside a bare program that appends and
 * syncs the same bytes, appending, recovery of many messages, memory for each of them, replay.
 *     make micro && build/micro/store_bench FOLDER [MESSAGES]
 * FOLDER is made on the disk
 * to be measured, and left for a look; MESSAGES (10,000,000) are what recovery is given. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { GROUP = 16, GROUPS = 1500, ROUNDS = 4, COMMIT_BYTES = 256, DATA_BYTES = 128, CHANNELS = 100 };

static uint8_t data[GROUP * COMMIT_BYTES];

static struct store *opened(struct store_files *files, const char *path, const struct store_options *wanted)
{
    char why[STORE_WHY_BYTES] = "";
    struct store *store = NULL;
    struct store_options options = *wanted;
    enum err err = store_files_open(files, path, why, sizeof why);
    options.kind = STORE_FILE;
    options.files = *files;
    if (err == ERR_OK)
        err = store_open(&store, &options, clock_wall_ns(), why, sizeof why);
    if (err != ERR_OK) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    return store;
}

static struct store_channel *channel_of(struct store *store, const char *name)
{
    struct store_channel *channel = store_channel_find(store, text(name));
    if (channel == NULL)
        ASSERT(store_channel_create(store, text(name), clock_wall_ns(), &channel) == ERR_OK);
    return channel;
}

/* Seconds that the bare program takes for GROUPS writes and syncs. */
static double bare(const char *path)
{
    char name[512];
    (void)snprintf(name, sizeof name, "%s/bare", path);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0640);
    ASSERT(fd >= 0);
    int64_t began_ns = clock_monotonic_ns();
    for (int i = 0; i < GROUPS; i++) {
        ASSERT(pwrite(fd, data, sizeof data, (off_t)i * (off_t)sizeof data) == (ssize_t)sizeof data);
        ASSERT(fdatasync(fd) == 0);
    }
    int64_t took_ns = clock_monotonic_ns() - began_ns;
    (void)close(fd);
    (void)unlink(name);
    return (double)took_ns / 1e9;
}

static double committed(struct store *store, struct store_channel *channel)
{
    int64_t began_ns = clock_monotonic_ns();
    uint64_t sequence = 0;
    for (int i = 0; i < GROUPS; i++) {
        for (int j = 0; j < GROUP; j++)
            ASSERT(store_append(store, channel, bytes_of(data, COMMIT_BYTES), i, &sequence) == ERR_OK);
        ASSERT(store_flush(store, i) == ERR_OK);
        ASSERT(store_acknowledged(store) >= store_position(store));
        if (store_next_tick_ns(store) <= i)
            store_tick(store, i);
    }
    return (double)(clock_monotonic_ns() - began_ns) / 1e9;
}

static void group_commit(const char *path)
{
    struct store_files files;
    struct store *store =
        opened(&files, path, &(struct store_options){.limits.messages_max = 20000, .segment_bytes = 8 << 20});
    struct store_channel *channel = channel_of(store, "commit");
    double floor_s = 0, store_s = 0;
    for (int i = 0; i < ROUNDS; i++) { /* by turns: the disk is not the same from one second to the next */
        floor_s += bare(path);
        store_s += committed(store, channel);
    }
    printf("group commit, %d messages of %d bytes each: bare %.0f/s, store %.0f/s: %.2f of the floor\n",
           GROUP, COMMIT_BYTES, GROUP * GROUPS * ROUNDS / floor_s, GROUP * GROUPS * ROUNDS / store_s,
           floor_s / store_s);
    struct store_figures figures = store_figures(store);
    printf("  segments %u, retired %llu\n", figures.segment_count,
           (unsigned long long)figures.retired_segments);
    ASSERT(store_channel_delete(store, channel) == ERR_OK);
    ASSERT(store_close(store) == ERR_OK);
    store_files_close(&files);
}

static void fill(struct store *store, long messages)
{
    struct store_channel *channels[CHANNELS];
    for (int i = 0; i < CHANNELS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "c%d", i);
        channels[i] = channel_of(store, name);
    }
    int64_t began_ns = clock_process_cpu_ns();
    uint64_t sequence = 0;
    for (long i = 0; i < messages; i++) {
        enum err err = store_append(store, channels[i % CHANNELS], bytes_of(data, DATA_BYTES), i, &sequence);
        ASSERT(err == ERR_OK);
        if (i % 4096 == 4095) {
            ASSERT(store_flush(store, i) == ERR_OK);
            store_tick(store, i);
        }
    }
    printf("append and write: %.0f ns of CPU for each\n",
           (double)(clock_process_cpu_ns() - began_ns) / (double)messages);
}

static void replay(struct store *store)
{
    int64_t began_ns = clock_process_cpu_ns();
    struct store_channel *channel = channel_of(store, "c7");
    uint64_t count = 0;
    for (uint64_t s = 1; s <= store_channel_figures(channel).last_sequence; s++, count++) {
        struct store_message message;
        ASSERT(store_lookup(store, channel, s, &message) == ERR_OK);
    }
    printf("replay of one channel among %d: %.0f ns of CPU for each of %llu\n", CHANNELS,
           (double)(clock_process_cpu_ns() - began_ns) / (double)count, (unsigned long long)count);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store-bench FOLDER [MESSAGES]\n");
        return 2;
    }
    long messages = argc > 2 ? strtol(argv[2], NULL, 10) : 10000000;
    group_commit(argv[1]);
    struct store_files files;
    struct store *store = opened(&files, argv[1], &(struct store_options){.sync = WAL_SYNC_NEVER});
    fill(store, messages);
    ASSERT(store_close(store) == ERR_OK);
    store_files_close(&files);

    int64_t began_ns = clock_process_cpu_ns();
    store = opened(&files, argv[1], &(struct store_options){.sync = WAL_SYNC_NEVER});
    double took_s = (double)(clock_process_cpu_ns() - began_ns) / 1e9;
    struct store_figures figures = store_figures(store);
    printf(
        "recovery of %llu messages, %.0f MB: %.2f s of CPU; %.1f bytes of memory for each (cache and buffers "
        "included), %u descriptors, %u segments\n",
        (unsigned long long)figures.message_count, (double)figures.log_bytes / 1e6, took_s,
        (double)figures.memory_bytes / (double)figures.message_count, figures.descriptor_count,
        figures.segment_count);
    replay(store);
    ASSERT(store_close(store) == ERR_OK);
    store_files_close(&files);
    return 0;
}
