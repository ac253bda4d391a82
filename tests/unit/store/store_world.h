/* tests/unit/store/store_world.h - a store on a simulated disk, and what tests say about it in few words.
 * Header only, so that fuzzers can use it too. */
#ifndef TESTS_UNIT_STORE_STORE_WORLD_H
#define TESTS_UNIT_STORE_STORE_WORLD_H

#include "store/store.h"
#include "tests/unit/store/sim_disk.h"

#include <stdio.h>

#define WORLD_START_NS 1700000000000000000LL

struct world {
    struct sim_disk *disk;
    struct store *store;
    struct store_options options;
    int64_t now_ns;
    char why[STORE_WHY_BYTES];
};

/* A disk, and options for it; nothing is open. */
static inline struct world world_new(uint64_t seed)
{
    struct world world = {.disk = sim_disk_new(seed), .now_ns = WORLD_START_NS};
    world.options = (struct store_options){
        .kind = STORE_FILE,
        .files = sim_disk_files(world.disk),
        .segment_bytes = WAL_SEGMENT_BYTES_MIN,
        .salt = 4711,
    };
    return world;
}

/* What a message is made of that shares another one's record: its own name and number, and that one's data.
 */
static inline enum err world_make(void *context, struct bytes source, struct bytes channel, uint64_t sequence,
                                  int64_t timestamp_ns, struct bytes *data)
{
    static uint8_t made[(1 << 17) + 2];
    (void)context;
    (void)timestamp_ns;
    if (source.count > sizeof made - 2)
        return ERR_INVALID;
    made[0] = channel.data[0];
    made[1] = (uint8_t)sequence;
    if (source.count > 0)
        memcpy(made + 2, source.data, source.count);
    *data = bytes_of(made, source.count + 2);
    return ERR_OK;
}

static inline enum err world_open(struct world *world)
{
    enum err err = store_open(&world->store, &world->options, world->now_ns, world->why, sizeof world->why);
    if (err == ERR_OK)
        store_set_sharing(world->store, &(struct store_sharing){.make = world_make});
    return err;
}

static inline enum err world_flush(struct world *world)
{
    return store_flush(world->store, world->now_ns);
}

static inline void world_free(struct world *world)
{
    store_abandon(world->store);
    sim_disk_free(world->disk);
}

/* Closes in peace and opens again. */
static inline enum err world_restart(struct world *world)
{
    enum err err = store_close(world->store);
    world->store = NULL;
    return err == ERR_OK ? world_open(world) : err;
}

/* Dies, and opens again: what was written is there. */
static inline enum err world_kill(struct world *world)
{
    store_abandon(world->store);
    world->store = NULL;
    sim_disk_kill(world->disk);
    return world_open(world);
}

/* Loses power, and opens again. */
static inline enum err world_power_cut(struct world *world)
{
    store_abandon(world->store);
    world->store = NULL;
    sim_disk_power_cut(world->disk);
    return world_open(world);
}

static inline struct store_channel *world_channel(struct world *world, const char *name)
{
    struct store_channel *channel = store_channel_find(world->store, text(name));
    if (channel == NULL)
        (void)!store_channel_create(world->store, text(name), world->now_ns, &channel);
    return channel;
}

/* The private channel whose messages others share. */
static inline struct store_channel *world_log(struct world *world)
{
    struct store_channel *log = store_private_find(world->store, TEXT("/log"));
    if (log == NULL)
        (void)!store_private_create(world->store, TEXT("/log"), world->now_ns, &log);
    return log;
}

/* The next message of a channel shares message `entry` of the log. */
static inline enum err world_share(struct world *world, const char *name, uint64_t entry)
{
    struct store_channel *channel = world_channel(world, name), *log = world_log(world);
    struct store_message source;
    struct bytes data;
    if (channel == NULL || log == NULL)
        return ERR_FULL;
    enum err err = store_lookup(world->store, log, entry, &source);
    if (err != ERR_OK)
        return err;
    uint64_t sequence = store_channel_last(channel) + 1;
    err = world_make(NULL, source.data, text(name), sequence, world->now_ns, &data);
    if (err != ERR_OK)
        return err;
    err = store_append_shared(world->store, channel, sequence, data.count, world->now_ns, log, entry);
    if (err == ERR_NOT_FOUND)
        err = store_append_at(world->store, channel, sequence, data, world->now_ns);
    world->now_ns++;
    return err;
}

/* The data of message `sequence` of a channel: `bytes` long, different for each of them. */
static inline void world_data(uint8_t *to, size_t bytes, const char *channel, uint64_t sequence)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(channel[0] * 31 + (int)sequence * 7 + (int)i);
}

/* Appends the next message, with such data. */
static inline enum err world_append(struct world *world, const char *name, size_t bytes)
{
    static uint8_t data[1 << 17];
    struct store_channel *channel = world_channel(world, name);
    uint64_t sequence = 0;
    if (channel == NULL)
        return ERR_FULL;
    world_data(data, bytes, name, store_channel_figures(channel).last_sequence + 1);
    return store_append(world->store, channel, bytes_of(data, bytes), world->now_ns++, &sequence);
}

/* Everything that a user can see, as a number. */
static inline enum err world_digest_state(void *context, const struct store_state *state)
{
    uint64_t *digest = context;
    uint64_t channel = state->channel == NULL ? 0 : store_channel_name(state->channel).count;
    *digest = *digest * 1099511628211ULL + state->kind + channel;
    for (size_t i = 0; i < state->id.count; i++)
        *digest = (*digest ^ state->id.data[i]) * 1099511628211ULL;
    /* How the value was cut into parts may change; what it is, may not. */
    for (uint32_t p = 0; p < state->part_count; p++) {
        for (size_t i = 0; i < state->parts[p].count; i++)
            *digest = (*digest ^ state->parts[p].data[i]) * 1099511628211ULL;
    }
    return ERR_OK;
}

/* ERR_OK, or what could not be read. */
static inline enum err world_digest(struct world *world, uint64_t *digest)
{
    *digest = 1469598103934665603ULL;
    for (struct store_channel *channel = store_channel_next(world->store, NULL); channel != NULL;
         channel = store_channel_next(world->store, channel)) {
        struct store_channel_figures figures = store_channel_figures(channel);
        struct bytes name = store_channel_name(channel);
        for (size_t i = 0; i < name.count; i++)
            *digest = (*digest ^ name.data[i]) * 1099511628211ULL;
        *digest = *digest * 31 + figures.first_sequence;
        *digest = *digest * 31 + figures.last_sequence;
        *digest = *digest * 31 + figures.message_count;
        *digest = *digest * 31 + figures.bytes;
        *digest = *digest * 31 + figures.subscription_count;
        for (uint64_t at = store_sequence_from(channel, 0); at != 0;
             at = store_sequence_from(channel, at + 1)) {
            struct store_message message;
            enum err err = store_lookup(world->store, channel, at, &message);
            if (err != ERR_OK)
                return err;
            *digest = (*digest ^ message.sequence ^ (uint64_t)message.timestamp_ns) * 1099511628211ULL;
            for (size_t i = 0; i < message.data.count; i += 37)
                *digest = (*digest ^ message.data.data[i]) * 1099511628211ULL;
            *digest += message.data.count;
        }
    }
    return store_state_each(world->store, world_digest_state, digest);
}

#endif
