/* core/subject/queue_group.h - the index's own side of queue groups: making, counting and freeing them. What
 * the router reads of a group is in index.h. Thread: the index's. */
#ifndef CORE_SUBJECT_QUEUE_GROUP_H
#define CORE_SUBJECT_QUEUE_GROUP_H

#include "core/base/language.h"
#include "core/subject/index.h"

/* How many members another shard has; at most INDEX_SHARDS_MAX of these per group. */
struct remote_members {
    uint32_t shard;
    uint32_t count; /* at least 1 */
};

/* Every queue group is one of these; the name's bytes follow in memory. */
struct queue_group_inside {
    struct queue_group public;
    uint32_t hash;                  /* of interest and name: in index.groups */
    uint32_t name_hash;             /* of the name alone: merging over interests */
    struct queue_group **link;      /* what points to this one in the interest's list */
    struct remote_members *remotes; /* in no order; NULL when there are none */
    uint16_t remote_count;
    uint16_t remote_capacity;
    uint32_t name_count;
};

static inline struct queue_group_inside *queue_group_inside(const struct queue_group *group)
{
    return CONTAINER_OF(group, struct queue_group_inside, public);
}

static inline uint32_t queue_group_name_hash(const struct queue_group *group)
{
    return queue_group_inside(group)->name_hash;
}

/* The hash under which a group stands in index.groups. `name_hash` gets the hash of the name alone. */
uint32_t queue_group_hash(const struct interest *interest, struct bytes name, uint64_t seed,
                          uint32_t *name_hash);

/* A group without members, first in its interest's list. NULL when memory is out. */
MUST_USE struct queue_group *queue_group_new(struct interest *interest, struct bytes name, uint64_t seed);

/* Frees a group without own members and takes it out of its interest's list. */
void queue_group_free(struct queue_group *group);

/* Says how many members `shard` has. ERR_MEMORY (never for 0): nothing has changed. */
MUST_USE enum err queue_group_remote_set(struct queue_group *group, unsigned shard, uint32_t count);

/* Memory held, its set of members included. */
size_t queue_group_bytes(const struct queue_group *group);

#endif
