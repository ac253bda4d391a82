/* tests/sim/streaming/members.c - nodes that leave for good and others, with empty disks, that take their
 * places: a learner that gets a snapshot and the messages it leaves out, and votes when it has caught up; see
 * world.h. */
#include "tests/sim/streaming/world.h"

int members_slot(uint64_t id)
{
    return (int)((id - 1) % NODES_MAX);
}

static struct node *leader_of(struct world *world)
{
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        struct node *node = &world->nodes[i];
        if (node->running && node->leads && node->paused_ms <= world->now_ms)
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
    struct node *leader = leader_of(world);
    struct raft_status status;
    if (leader == NULL || leader == node || world->weather.nodes < 3)
        return;
    raft_status(leader->driver.raft, &status);
    node->leaves = members_settled(world, status.membership);
}

/* What the leader is to do about one of them; refused, it is asked again in a while. */
static void care(struct node *leader, struct node *node)
{
    struct raft_status status;
    raft_status(leader->driver.raft, &status);
    const struct raft_member *member = raft_member_find(status.membership, node->id);
    struct raft_change change = {.kind = RAFT_CHANGE_REMOVE, .id = node->id};
    if (node->leaves && member == NULL) {
        if (status.commit_index ==
            status.last_index) /* it is certain: what its disk has promised is nobody's */
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
    (void)raft_driver_step(&leader->driver, &event, NULL);
}

void members_step(struct world *world)
{
    struct node *leader = leader_of(world);
    if (!world->healed && random_below(&world->random, 20) == 0)
        members_leave(world, &world->nodes[random_below(&world->random, world->weather.nodes)]);
    for (uint32_t i = 0; leader != NULL && i < world->weather.nodes; i++) {
        if (&world->nodes[i] != leader)
            care(leader, &world->nodes[i]);
        else
            leader->leaves = false; /* it leads by now: somebody else may go */
    }
}
