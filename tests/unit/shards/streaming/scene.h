/* tests/unit/shards/streaming/scene.h - a streaming machine on a store in memory, with a clock that the test
 * moves: what goes in is written by the wire's own words, what comes out is kept in a list. Thread: the
 * test's only. */
#ifndef TESTS_UNIT_SHARDS_STREAMING_SCENE_H
#define TESTS_UNIT_SHARDS_STREAMING_SCENE_H

#include "shards/streaming/machine.h"
#include "shards/streaming/wire.h"

#include <criterion/criterion.h>

enum { SCENE_OUTPUTS_MAX = 4096, SCENE_TEXT_BYTES = 160, SCENE_FOLDER_BYTES = 64 };

struct scene_output {
    enum streaming_output_kind kind;
    char subject[SCENE_TEXT_BYTES];
    char reply[SCENE_TEXT_BYTES];
    uint8_t body[SCENE_TEXT_BYTES];
    size_t body_bytes;
};

struct scene {
    struct store *store;
    struct store_files files;
    struct store_options file_options; /* kind and files are filled in */
    struct streaming *machine;
    struct streaming_setup setup;
    struct streaming_now now;
    struct scene_output *outputs; /* since scene_forget() */
    uint32_t count;
    bool syncs; /* the store is flushed with every step */
    bool busy;  /* the log takes nothing now */
    bool deaf;  /* outputs stay where they are, and a step is one step: see scene_take() */
    bool cuts;  /* of bodies that are longer than SCENE_TEXT_BYTES the beginning is kept */
    /* With calls: a file store is on this disk, the test's, and not in a folder. */
    struct store_files disk;
    /* Of a replicated machine: a command for the log; and whatever the log has meanwhile. True: it had
     * something. */
    void (*propose)(struct scene *scene, struct bytes command);
    bool (*settle)(struct scene *scene);
    char folder[SCENE_FOLDER_BYTES];
    char traced[SCENE_TEXT_BYTES]; /* the last line with `setup.trace` */
};

/* What a delivery says. */
struct scene_message {
    uint64_t sequence;
    bool redelivered;
    uint32_t count;
};

/* A scene whose setup may be changed before scene_open() opens it. */
struct scene scene_new(void);
void scene_open_as(struct scene *scene, const struct store_options *store);
void scene_open(struct scene *scene, const struct store_options *store);
void scene_open_file(struct scene *scene);
void scene_open_file_as(struct scene *scene, const struct store_options *store);
void scene_close(struct scene *scene);
/* As after a kill: what was not synced may be lost, the machine begins anew on the same store. */
void scene_restart(struct scene *scene);

/* Steps until nothing more comes; `ms` later first. */
void scene_step(struct scene *scene);
void scene_wait(struct scene *scene, int64_t ms);
void scene_forget(struct scene *scene);
/* Takes the outputs that are there, without a step. */
void scene_take(struct scene *scene);

void scene_request(struct scene *scene, enum streaming_request_kind kind, const char *subject,
                   const char *reply, const uint8_t *payload, size_t bytes);

/* These answer the text of the error, "" when there is none, and NULL without an answer. */
const char *scene_connect(struct scene *scene, const char *client_id);
const char *scene_connect_as(struct scene *scene, const char *client_id, const char *connection_id);
const char *scene_close_client(struct scene *scene, const char *client_id);
const char *scene_publish(struct scene *scene, const char *client_id, const char *channel);
const char *scene_publish_as(struct scene *scene, const char *client_id, const char *connection_id,
                             const char *channel);
struct scene_wish {
    const char *client_id, *channel, *group, *durable, *inbox;
    int32_t in_flight, ack_wait_seconds, start;
    uint64_t sequence;
    int64_t delta_ns;
};
/* Fills `ack_inbox`, SCENE_TEXT_BYTES. */
const char *scene_subscribe(struct scene *scene, const struct scene_wish *wish, char *ack_inbox);
const char *scene_unsubscribe(struct scene *scene, const char *client_id, const char *channel,
                              const char *ack_inbox, bool close);
void scene_ack(struct scene *scene, const char *channel, const char *ack_inbox, uint64_t sequence);

/* The last output on that subject, or NULL; how many there are. */
const struct scene_output *scene_last(const struct scene *scene, const char *subject);
uint32_t scene_count(const struct scene *scene, const char *subject);
/* The deliveries to an inbox, in order; how many of at most `most` were filled in. */
uint32_t scene_deliveries(const struct scene *scene, const char *inbox, struct scene_message *messages,
                          uint32_t most);
/* That these came, the first 64 of them, as text: "1 2 1r1", r and the count for what came again. */
void scene_expect(const struct scene *scene, const char *inbox, const char *wanted);

#endif
