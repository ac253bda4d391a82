/* tests/sim/streaming/members.c - nodes that leave for good and others, with empty disks, that take their
 * places: a learner that gets a snapshot and the messages it leaves out, and votes when it has caught up; see
 * world.h. */
#include "tests/sim/streaming/world.h"

int members_slot(uint64_t id)
{
    return (int)((id - 1) % NODES_MAX);
}

static struct node *leader_of(struct world *world, uint32_t group)
{
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        struct node *node = &world->nodes[i];
        if (node->running && node->parts[group].leads && node->paused_ms <= world->now_ms)
            return node;
    }
    return NULL;
}

bool members_settled(const struct world *world, const struct raft_membership *membership)
{
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        const struct raft_member *member = raft_member_find(membership, world->nodes[i].id);
        if (member == NULL || member->role != RAFT_VOTER || world->nodes[i].leaves)
            return false;
    }
    return membership->count == world->weather.nodes;
}

/* One at a time, and only from a group that is whole. */
static void members_leave(struct world *world, struct node *node)
{
    struct node *leader = leader_of(world, 0);
    struct raft_status status;
    if (leader == NULL || leader == node || world->weather.nodes < 3)
        return;
    raft_status(leader->parts[0].driver.raft, &status);
    node->leaves = members_settled(world, status.membership);
}

/* It is certain that no group has it any more: what its disk has promised is nobody's. */
static bool gone_from_all(struct world *world, uint64_t id)
{
    for (uint32_t group = 0; group < world->weather.groups; group++) {
        const struct node *leader = leader_of(world, group);
        struct raft_status status;
        if (leader == NULL)
            return false;
        raft_status(leader->parts[group].driver.raft, &status);
        if (raft_member_find(status.membership, id) != NULL || status.commit_index != status.last_index)
            return false;
    }
    return true;
}

/* What the leader is to do about one of them; refused, it is asked again in a while. */
static void care(struct node *leader, struct node *node)
{
    struct raft_status status;
    raft_status(leader->parts[0].driver.raft, &status);
    const struct raft_member *member = raft_member_find(status.membership, node->id);
    struct raft_change change = {.kind = RAFT_CHANGE_REMOVE, .id = node->id};
    if (node->leaves && member == NULL) {
        if (gone_from_all(leader->world, node->id))
            node_replace(node);
        return;
    }
    if (!node->leaves && member == NULL)
        change.kind = RAFT_CHANGE_ADD_LEARNER;
    else if (!node->leaves && member->role == RAFT_LEARNER)
        change.kind = RAFT_CHANGE_PROMOTE;
    else if (!node->leaves)
        return;
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE, .change = change};
    (void)raft_driver_step(&leader->parts[0].driver, &event, NULL);
}

static void change(struct part *part, enum raft_change_kind kind, uint64_t id)
{
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE, .change = {.kind = kind, .id = id}};
    (void)raft_driver_step(&part->driver, &event, NULL);
}

/* As shards/streaming/replica_groups.c does it: by what the leader's own copy of the first group says. */
static void follow(struct part *part)
{
    struct raft_status own, first;
    raft_status(part->driver.raft, &own);
    raft_status(part->node->parts[0].driver.raft, &first);
    if (first.leader == 0 || first.removed || first.membership->count == 0)
        return;
    for (uint32_t i = 0; i < own.membership->count; i++) {
        const struct raft_member *member = &own.membership->members[i];
        if (member->id != part->node->id && raft_member_find(first.membership, member->id) == NULL) {
            change(part, RAFT_CHANGE_REMOVE, member->id);
            return;
        }
        if (member->role == RAFT_LEARNER)
            change(part, RAFT_CHANGE_PROMOTE, member->id);
    }
    for (uint32_t i = 0; i < first.membership->count; i++) {
        uint64_t id = first.membership->members[i].id;
        if (raft_member_find(own.membership, id) == NULL) {
            change(part, RAFT_CHANGE_ADD_LEARNER, id);
            return;
        }
    }
}

/* Of several groups: members, and leaders that hand over now and then, or because they are to go. */
static void groups_step(struct world *world)
{
    for (uint32_t group = 0; group < world->weather.groups; group++) {
        struct node *leader = leader_of(world, group);
        struct raft_event event = {.kind = RAFT_EVENT_TRANSFER};
        if (leader == NULL)
            continue;
        if (group > 0)
            follow(&leader->parts[group]);
        if ((group > 0 && leader->leaves) || (!world->healed && random_below(&world->random, 100) == 0))
            (void)raft_driver_step(&leader->parts[group].driver, &event, NULL);
    }
}

void members_step(struct world *world)
{
    struct node *leader = leader_of(world, 0);
    if (world->weather.groups > 1)
        groups_step(world);
    if (!world->weather.changes)
        return;
    if (!world->healed && random_below(&world->random, 20) == 0)
        members_leave(world, &world->nodes[random_below(&world->random, world->weather.nodes)]);
    for (uint32_t i = 0; leader != NULL && i < world->weather.nodes; i++) {
        if (&world->nodes[i] != leader)
            care(leader, &world->nodes[i]);
        else
            leader->leaves = false; /* it leads by now: somebody else may go */
    }
}
