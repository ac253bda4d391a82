/* core/subject/queue_group.c - queue groups under one pattern, and the choice among the members of all groups
 * of one name (spec/client-protocol.md 7.2, 7.3). */
#include "core/subject/queue_group.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/subject/subscription_set.h"

enum { REMOTES_FIRST = 2 };

static struct remote_members *remotes_find(const struct queue_group_inside *inside, unsigned shard);
static enum err remotes_append(struct queue_group_inside *inside, unsigned shard, uint32_t count);
static void remotes_remove(struct queue_group_inside *inside, struct remote_members *members);

struct bytes queue_group_name(const struct queue_group *group)
{
    const struct queue_group_inside *inside = queue_group_inside(group);
    return bytes_of(inside + 1, inside->name_count);
}

uint32_t queue_group_remote(const struct queue_group *group, unsigned shard)
{
    const struct remote_members *members = remotes_find(queue_group_inside(group), shard);
    return members == NULL ? 0 : members->count;
}

uint32_t match_group_size(const struct match_group *group, bool remote_too)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < group->part_count; i++) {
        size += group->parts[i]->members.count;
        if (remote_too)
            size += group->parts[i]->remote_total;
    }
    return size;
}

void match_group_member(const struct match_group *group, uint32_t position, struct subscription **own,
                        unsigned *shard)
{
    *own = NULL;
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct subscription_set *members = &group->parts[i]->members;
        if (position < members->count) {
            *own = subscription_at(members, position);
            return;
        }
        position -= members->count;
    }
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct queue_group_inside *inside = queue_group_inside(group->parts[i]);
        for (uint32_t r = 0; r < inside->remote_count; r++) {
            if (position < inside->remotes[r].count) {
                *shard = inside->remotes[r].shard;
                return;
            }
            position -= inside->remotes[r].count;
        }
    }
    assert_failed("position < match_group_size(group, true)", __FILE__, __LINE__);
}

uint32_t match_group_remote_size(const struct match_group *group, uint64_t shards)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct queue_group_inside *inside = queue_group_inside(group->parts[i]);
        for (uint32_t r = 0; r < inside->remote_count; r++)
            size += (shards >> inside->remotes[r].shard & 1) != 0 ? inside->remotes[r].count : 0;
    }
    return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX; /* beyond, the last ones are never chosen */
}

unsigned match_group_remote_member(const struct match_group *group, uint64_t shards, uint32_t position)
{
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct queue_group_inside *inside = queue_group_inside(group->parts[i]);
        for (uint32_t r = 0; r < inside->remote_count; r++) {
            if ((shards >> inside->remotes[r].shard & 1) == 0)
                continue;
            if (position < inside->remotes[r].count)
                return inside->remotes[r].shard;
            position -= inside->remotes[r].count;
        }
    }
    assert_failed("position < match_group_remote_size(group, shards)", __FILE__, __LINE__);
}

uint32_t queue_group_hash(const struct interest *interest, struct bytes name, uint64_t seed,
                          uint32_t *name_hash)
{
    uint64_t hash = hash_bytes(name, seed);
    *name_hash = (uint32_t)hash;
    return (uint32_t)(((hash ^ (uint64_t)(uintptr_t)interest) * 0x9e3779b97f4a7c15ULL) >> 32);
}

struct queue_group *queue_group_new(struct interest *interest, struct bytes name, uint64_t seed)
{
    struct queue_group_inside *inside = memory_new(sizeof(*inside) + name.count);
    if (inside == NULL)
        return NULL;
    memcpy(inside + 1, name.data, name.count);
    inside->name_count = (uint32_t)name.count;
    inside->hash = queue_group_hash(interest, name, seed, &inside->name_hash);

    struct queue_group *group = &inside->public;
    group->interest = interest;
    group->next_in_interest = interest->groups;
    if (interest->groups != NULL)
        queue_group_inside(interest->groups)->link = &group->next_in_interest;
    inside->link = &interest->groups;
    interest->groups = group;
    return group;
}

void queue_group_free(struct queue_group *group)
{
    struct queue_group_inside *inside = queue_group_inside(group);
    ASSERT(group->members.count == 0);
    *inside->link = group->next_in_interest;
    if (group->next_in_interest != NULL)
        queue_group_inside(group->next_in_interest)->link = inside->link;
    memory_free(inside->remotes);
    memory_free(inside);
}

enum err queue_group_remote_set(struct queue_group *group, unsigned shard, uint32_t count)
{
    struct queue_group_inside *inside = queue_group_inside(group);
    struct remote_members *members = remotes_find(inside, shard);
    uint32_t before = members == NULL ? 0 : members->count;
    if (members == NULL && count > 0) {
        enum err err = remotes_append(inside, shard, count);
        if (err != ERR_OK)
            return err;
    } else if (members != NULL && count == 0) {
        remotes_remove(inside, members);
    } else if (members != NULL) {
        members->count = count;
    }
    group->remote_total = group->remote_total - before + count;
    return ERR_OK;
}

size_t queue_group_bytes(const struct queue_group *group)
{
    const struct queue_group_inside *inside = queue_group_inside(group);
    return sizeof(*inside) + inside->name_count + inside->remote_capacity * sizeof(*inside->remotes) +
           subscription_set_bytes(&group->members);
}

static struct remote_members *remotes_find(const struct queue_group_inside *inside, unsigned shard)
{
    for (uint32_t i = 0; i < inside->remote_count; i++) {
        if (inside->remotes[i].shard == shard)
            return &inside->remotes[i];
    }
    return NULL;
}

static enum err remotes_append(struct queue_group_inside *inside, unsigned shard, uint32_t count)
{
    if (inside->remote_count == inside->remote_capacity) {
        uint32_t capacity = inside->remote_capacity == 0 ? REMOTES_FIRST : inside->remote_capacity * 2u;
        struct remote_members *remotes = memory_grow(inside->remotes, capacity * sizeof(*remotes));
        if (remotes == NULL)
            return ERR_MEMORY;
        inside->remotes = remotes;
        inside->remote_capacity = (uint16_t)capacity;
    }
    inside->remotes[inside->remote_count++] = (struct remote_members){shard, count};
    return ERR_OK;
}

static void remotes_remove(struct queue_group_inside *inside, struct remote_members *members)
{
    *members = inside->remotes[--inside->remote_count];
    if (inside->remote_count > 0)
        return;
    memory_free(inside->remotes);
    inside->remotes = NULL;
    inside->remote_capacity = 0;
}
