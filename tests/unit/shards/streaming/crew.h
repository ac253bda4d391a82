/* tests/unit/shards/streaming/crew.h - replicated machines with a perfect log between them: what the
 * leader proposes is an entry, and each node gets every entry once, in order. Who leads, what is committed,
 * who is away, restarts or begins from a snapshot is the test's to say. Thread: the test's only. */
#ifndef TESTS_UNIT_SHARDS_STREAMING_CREW_H
#define TESTS_UNIT_SHARDS_STREAMING_CREW_H

#include "tests/unit/shards/streaming/scene.h"

enum { CREW_NODES = 3, CREW_ENTRIES_MAX = 8192, CREW_NOBODY = -1 };

struct crew_entry {
    uint8_t *bytes;
    size_t count;
    int node;      /* who proposed it */
    uint32_t term; /* in which leadership */
};

struct crew {
    struct scene nodes[CREW_NODES]; /* first, so that a scene knows its crew */
    bool away[CREW_NODES];
    uint64_t applied[CREW_NODES];
    struct crew_entry entries[CREW_ENTRIES_MAX]; /* the first has index 1 */
    uint64_t entry_count;
    bool holds; /* nothing is committed */
    int leader;
    uint32_t term;
};

struct crew_snapshot {
    uint8_t *bytes;
    size_t count;
    uint64_t index;
};

/* Three nodes with memory stores, or files; the first one leads. `change` (may be NULL) sees each setup. */
struct crew *crew_open(const struct store_options *store, void (*change)(struct streaming_setup *setup));
struct crew *crew_open_files(const struct store_options *store,
                             void (*change)(struct streaming_setup *setup));
void crew_close(struct crew *crew);

/* The scene of the one that leads: requests go there. */
struct scene *crew_leader(struct crew *crew);
/* The leader ceases, and `node` leads. What was not committed is lost, unless `keeps`: then it is committed
 * now. */
void crew_lead(struct crew *crew, int node, bool keeps);
/* Commits what there is, and every node that is not away applies it. */
void crew_commit(struct crew *crew);

struct crew_snapshot crew_snapshot(struct crew *crew, int node);
/* A node that follows has nothing (or what its store has), takes the snapshot, and gets the rest from the
 * leader; then the entries behind it. */
void crew_install(struct crew *crew, int node, const struct crew_snapshot *snapshot);
/* A node with files starts anew from a snapshot of its own, or none, and the log. */
void crew_restart(struct crew *crew, int node, const struct crew_snapshot *snapshot);

/* A subscription to "foo", from its first message on. */
struct scene_wish crew_wish(const char *client_id, const char *inbox);
/* At the leader, which has to take it. */
void crew_connect(struct crew *crew, const char *client_id);
/* `count` messages of the client "me". */
void crew_publish(struct crew *crew, const char *channel, uint32_t count);
/* The sequences that came to an inbox of the leader's, as text: "1 2r", r for redelivered. Good until the
 * next call. */
const char *crew_deliveries(struct crew *crew, const char *inbox);

/* All that are not away say the same: state, and messages of each channel. */
void crew_same(struct crew *crew);

#endif
