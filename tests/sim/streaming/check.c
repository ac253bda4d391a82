/* tests/sim/streaming/check.c - what must hold; see world.h.
 *
 *   one state        the machines of all nodes are the same behind the same entry
 *   one content      a sequence of a channel is the same message to whoever gets it, whenever
 *   nothing lost     what was acknowledged is in the channel of every node in the end, once; what was not, at
 * most once; and nothing else is there dense            the sequences of a channel that keeps all are 1 to
 * the last, without a gap delivered        each subscription that is there in the end has been sent all of
 * its channel, a durable since it began, whoever led meanwhile progress         when the faults stop, the
 * group comes to rest */
#include "tests/sim/streaming/world.h"

#include "core/base/hash.h"
#include "core/base/memory.h"
#include "shards/streaming/protocol.pb-c.h"

#include <stdlib.h>

enum { DURABLE = 1, DURABLE_MEMBER = 3 };

/* ---- one state ---- */

static uint64_t state_of(const struct part *part)
{
    uint8_t *bytes = NULL;
    size_t count = 0;
    ASSERT(streaming_snapshot_write(part->machine, &bytes, &count) == ERR_OK);
    uint64_t hash = hash_bytes(bytes_of(bytes, count), 1) | 1;
    memory_free(bytes);
    return hash;
}

/* Where all is kept: what a channel's limits take away is each node's own. */
void check_state(struct part *part)
{
    struct world *world = part->node->world;
    if (world->weather.forgets || part->applied % 4 != 0)
        return;
    if (part->applied >= STATES_MAX)
        world_fail(world, "the run is too long");
    uint64_t *state = &world->states[part->group][part->applied], own = state_of(part);
    world->result->counts.compared += *state != 0;
    if (*state == 0)
        *state = own;
    if (*state != own)
        world_fail(world, "one state: behind entry %llu of group %u node %d is not what another was",
                   (unsigned long long)part->applied, part->group, part->node->slot);
}

/* ---- one content ---- */

static uint32_t number_of(struct world *world, struct bytes data)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%.*s", BYTES_PRINTF(data));
    uint32_t number = (uint32_t)strtoul(digits, NULL, 10);
    if (data.count == 0 || number >= world->publish_count)
        world_fail(world, "one content: a message that nobody has published");
    return number;
}

void check_delivery(struct world *world, int channel, uint64_t sequence, struct bytes data)
{
    uint32_t number = number_of(world, data);
    if (world->publishes[number].channel != channel)
        world_fail(world, "one content: message %u is in another channel", number);
    if (channel >= KEPT_CHANNELS)
        return;
    if (sequence >= SEQUENCES_MAX)
        world_fail(world, "the run is too long");
    uint32_t *content = &world->contents[channel][sequence];
    if (*content == 0)
        *content = number + 1;
    if (*content != number + 1)
        world_fail(world, "one content: %s:%llu is message %u, and was %u", world_channels[channel],
                   (unsigned long long)sequence, number, *content - 1);
}

/* ---- the end ---- */

static uint64_t last_of(const struct node *node, int channel)
{
    if (node == NULL)
        return 0;
    struct store_channel *store = store_channel_find(node->store, text(world_channels[channel]));
    return store == NULL ? 0 : store_channel_figures(store).last_sequence;
}

const struct node *check_leader(const struct world *world, uint32_t group)
{
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        if (world->nodes[i].running && world->nodes[i].parts[group].leads)
            return &world->nodes[i];
    }
    return NULL;
}

static bool all_delivered(const bool *delivered, uint64_t last)
{
    for (uint64_t sequence = 1; sequence <= last; sequence++) {
        if (!delivered[sequence])
            return false;
    }
    return true;
}

/* As the leader of its group has it. */
static uint64_t last_at_leader(const struct world *world, int channel)
{
    uint32_t group = world_group(world, text(world_channels[channel]));
    return last_of(check_leader(world, group), channel);
}

static bool clients_at_rest(const struct world *world)
{
    for (int i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        for (int kind = 0; kind < KINDS; kind++) {
            if (client->state != CLIENT_ON || client->holdings[kind].state != HOLDING_LIVE)
                return false;
            if (kind <= DURABLE &&
                !all_delivered(client->holdings[kind].delivered, last_at_leader(world, client_channel(kind))))
                return false;
        }
    }
    return all_delivered(world->group_delivered, last_at_leader(world, client_channel(DURABLE_MEMBER)));
}

static bool group_at_rest(const struct world *world, uint32_t group)
{
    const struct node *leader = check_leader(world, group);
    struct raft_status status, first;
    if (leader == NULL)
        return false;
    raft_status(leader->parts[group].driver.raft, &first);
    if (!members_settled(world, first.membership))
        return false;
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        const struct node *node = &world->nodes[i];
        const struct part *part = &node->parts[group];
        if (!node->running || part->fetching || (part->leads && node != leader))
            return false;
        raft_status(part->driver.raft, &status);
        if (status.term != first.term || status.applied_index != first.last_index)
            return false;
    }
    return true;
}

bool check_at_rest(struct world *world)
{
    for (uint32_t group = 0; group < world->weather.groups; group++) {
        if (!group_at_rest(world, group))
            return false;
    }
    return clients_at_rest(world);
}

static void check_channel(struct world *world, const struct node *node, int channel, uint64_t last)
{
    struct store_channel *store = store_channel_find(node->store, text(world_channels[channel]));
    for (uint64_t sequence = 1; sequence <= last; sequence++) {
        struct store_message message;
        if (store_lookup(node->store, store, sequence, &message) != ERR_OK)
            world_fail(world, "dense: node %d lacks %s:%llu of %llu", node->slot, world_channels[channel],
                       (unsigned long long)sequence, (unsigned long long)last);
        Stan__MsgProto *read = stan__msg_proto__unpack(NULL, message.data.count, message.data.data);
        ASSERT(read != NULL);
        if (read->sequence != sequence)
            world_fail(world, "one content: node %d has something else at %s:%llu", node->slot,
                       world_channels[channel], (unsigned long long)sequence);
        struct bytes data = bytes_of(read->data.data, read->data.len);
        check_delivery(world, channel, sequence, data);
        world->publishes[number_of(world, data)].found++;
        stan__msg_proto__free_unpacked(read, NULL);
    }
}

static void check_node(struct world *world, const struct node *node)
{
    for (uint32_t i = 0; i < world->publish_count; i++)
        world->publishes[i].found = 0;
    for (int channel = 0; channel < KEPT_CHANNELS; channel++) {
        uint64_t last = last_at_leader(world, channel);
        if (last_of(node, channel) != last)
            world_fail(world, "nothing lost: node %d ends %s at another place", node->slot,
                       world_channels[channel]);
        check_channel(world, node, channel, last);
    }
    for (uint32_t i = 0; i < world->publish_count; i++) {
        const struct publish *publish = &world->publishes[i];
        if (publish->channel >= KEPT_CHANNELS)
            continue;
        if (publish->acknowledged && publish->found != 1)
            world_fail(world, "nothing lost: message %u was acknowledged, and node %d has it %u times", i,
                       node->slot, publish->found);
        if (publish->found > 1)
            world_fail(world, "nothing lost: message %u is there %u times", i, publish->found);
    }
}

static void describe_part(struct world *world, const struct part *part)
{
    const struct node *node = part->node;
    struct raft_status status = {0};
    if (node->running)
        raft_status(part->driver.raft, &status);
    world_trace(
        world,
        "%d: id %llu, group %u, running %d, role %d, leads %d, leader %llu, fetching %d, installing %d, term "
        "%llu, log %llu to %llu, commit %llu, applied %llu",
        node->slot, (unsigned long long)node->id, part->group, node->running, (int)status.role, part->leads,
        (unsigned long long)status.leader, part->fetching, part->installing, (unsigned long long)status.term,
        (unsigned long long)status.first_index, (unsigned long long)status.last_index,
        (unsigned long long)status.commit_index, (unsigned long long)status.applied_index);
    for (uint32_t m = 0; status.membership != NULL && m < status.membership->count; m++)
        world_trace(world, "  member %llu: role %d", (unsigned long long)status.membership->members[m].id,
                    (int)status.membership->members[m].role);
}

static void describe(struct world *world)
{
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        for (uint32_t group = 0; group < world->weather.groups; group++)
            describe_part(world, &world->nodes[i].parts[group]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        world_trace(world, "client %d: state %d, life %u", i, client->state, client->life);
        for (int kind = 0; kind < KINDS; kind++) {
            uint64_t last = last_at_leader(world, client_channel(kind)), lacks = 0;
            for (uint64_t at = last; at > 0; at--)
                lacks = client->holdings[kind].delivered[at] ? lacks : at;
            world_trace(world, "  kind %d: state %d, first it was not sent %llu of %llu", kind,
                        client->holdings[kind].state, (unsigned long long)lacks, (unsigned long long)last);
        }
    }
}

void check_end(struct world *world)
{
    describe(world);
    if (!check_at_rest(world))
        world_fail(world, "progress: long after the last fault the group is not at rest");
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        const struct node *node = &world->nodes[i];
        check_node(world, node);
        for (uint32_t group = 0; group < world->weather.groups; group++) {
            const struct node *leader = check_leader(world, group);
            if (state_of(&node->parts[group]) != state_of(&leader->parts[group]))
                world_fail(world, "one state: in the end nodes %d and %d differ in group %u", node->slot,
                           leader->slot, group);
        }
    }
}
