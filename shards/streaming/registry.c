/* shards/streaming/registry.c - who is connected, where channels are shared out between several groups: the
 * first group's machine is the registry, each of the others has a copy in its own log
 * (docs/streaming-cluster.md 10); a part of state.h. In the flow:  the registry applies a connect ->
 * registry_added() -> each mirror that leads here proposes COMMAND_CLIENT_KNOWN -> client_known_applied() on
 * every node || the registry's leader: registry_answer() -> registry_release() once all mirrors here have it.
 * What is said twice, or late, does no harm: a client has the index of the registry's entry that added it. At
 * the bound: what the log has no room for is found again by comparing all (registry_step()). */
#include "shards/streaming/state.h"

#include "core/base/check.h"

bool streaming_owns(const struct streaming *machine, struct bytes channel)
{
    return groups_of_channel(channel, machine->setup.group_count) == machine->setup.group;
}

/* ---- who mirrors whom ---- */

void registry_attach(struct streaming *machine)
{
    struct streaming *registry = machine->setup.registry;
    if (registry == NULL)
        return;
    ASSERT(registry->mirror_count < STREAMING_GROUPS_MAX);
    registry->mirrors[registry->mirror_count++] = machine;
}

void registry_detach(struct streaming *machine)
{
    struct streaming *registry = machine->setup.registry;
    for (uint32_t i = 0; registry != NULL && i < registry->mirror_count; i++) {
        if (registry->mirrors[i] == machine) {
            registry->mirrors[i] = registry->mirrors[--registry->mirror_count];
            return;
        }
    }
}

/* ---- what a mirror proposes ---- */

/* A copy of a client that goes (or NULL) is settled only when the log has room for its end; before that end,
 * for what it says of progress has to come first. */
static void propose(struct streaming *machine, struct command *command, struct streaming_client *goes)
{
    machine->now = machine->setup.registry->now.now_ns > machine->now.now_ns ? machine->setup.registry->now
                                                                             : machine->now;
    if (replicate_full(machine)) {
        machine->registry_stale = true;
        return;
    }
    if (goes != NULL)
        client_settle(machine, goes);
    if (!replicate_propose(machine, command, (struct wait){0}))
        machine->registry_stale = true;
}

static void propose_known(struct streaming *machine, const struct streaming_client *client)
{
    struct streaming_client *older = client_find(machine, client->info.id);
    struct command command = {
        .kind = COMMAND_CLIENT_KNOWN,
        .client_known = {.info = client->info, .added_index = client->added_index},
    };
    propose(machine, &command, older);
}

static void propose_gone(struct streaming *machine, struct streaming_client *client)
{
    struct command command = {
        .kind = COMMAND_CLIENT_GONE,
        .client_gone = {.id = client->info.id, .added_index = client->added_index},
    };
    propose(machine, &command, client);
}

/* A client that was added by an entry that the registry has not applied here may well be there. When the log
 * has no room for more, all is compared again. */
static void compare(struct streaming *machine)
{
    const struct streaming *registry = machine->setup.registry;
    for (struct list_link *at = list_first(&registry->all_clients); at != NULL && !machine->registry_stale;
         at = list_next(&registry->all_clients, at)) {
        const struct streaming_client *client = LIST_ELEMENT(at, struct streaming_client, all);
        const struct streaming_client *own = client_find(machine, client->info.id);
        if (own == NULL || own->added_index < client->added_index)
            propose_known(machine, client);
    }
    for (struct list_link *at = list_first(&machine->all_clients); at != NULL && !machine->registry_stale;
         at = list_next(&machine->all_clients, at)) {
        struct streaming_client *own = LIST_ELEMENT(at, struct streaming_client, all);
        if (own->added_index <= registry->applied_index && client_find(registry, own->info.id) == NULL)
            propose_gone(machine, own);
    }
}

void registry_step(struct streaming *machine)
{
    if (!machine->registry_stale || !machine->leading || replicate_full(machine))
        return;
    machine->registry_stale = false;
    compare(machine);
}

/* ---- what the registry tells ---- */

void registry_added(struct streaming *machine, const struct streaming_client *client)
{
    for (uint32_t i = 0; i < machine->mirror_count; i++) {
        struct streaming *mirror = machine->mirrors[i];
        const struct streaming_client *own = client_find(mirror, client->info.id);
        if (mirror->leading && (own == NULL || own->added_index < client->added_index))
            propose_known(mirror, client);
    }
}

/* One that the mirror does not have may be on its way there. */
void registry_removed(struct streaming *machine, struct bytes id, uint64_t added_index)
{
    for (uint32_t i = 0; i < machine->mirror_count; i++) {
        struct streaming *mirror = machine->mirrors[i];
        struct command command = {.kind = COMMAND_CLIENT_GONE,
                                  .client_gone = {.id = id, .added_index = added_index}};
        struct streaming_client *own = client_find(mirror, id);
        if (!mirror->leading || (own != NULL && own->added_index > added_index))
            continue;
        propose(mirror, &command, own);
    }
}

void registry_replaced(struct streaming *machine)
{
    for (uint32_t i = 0; i < machine->mirror_count; i++)
        machine->mirrors[i]->registry_stale = machine->mirrors[i]->leading;
}

/* ---- what is committed ---- */

void client_known_applied(struct streaming *machine, const struct command *command)
{
    struct streaming_client *client = client_find(machine, command->client_known.info.id);
    if (client != NULL && client->added_index >= command->client_known.added_index)
        return;
    if (client != NULL)
        client_drop(machine, client);
    if (client_put(machine, &command->client_known.info, STREAMING_VIA_NONE, &client) == ERR_OK)
        client->added_index = command->client_known.added_index;
    else
        machine->trouble = ERR_MEMORY;
}

void client_gone_applied(struct streaming *machine, const struct command *command)
{
    struct streaming_client *client = client_find(machine, command->client_gone.id);
    if (client != NULL && client->added_index <= command->client_gone.added_index)
        client_drop(machine, client);
}

/* ---- answers ---- */

uint8_t *registry_answer(struct streaming *machine, const struct wait *wait, struct bytes id,
                         uint64_t added_index, bool there, size_t body_bytes)
{
    struct streaming_output output = {.kind = STREAMING_OUTPUT_PUBLISH,
                                      .level = there,
                                      .via = wait->via,
                                      .subject = wait->reply,
                                      .reply = id};
    if (machine->mirror_count == 0 || wait->reply.count == 0 ||
        outputs_bytes(&machine->settling) > HELD_BYTES_MAX)
        return machine_answer(machine, wait->via, wait->reply, body_bytes);
    uint8_t *body = outputs_put(&machine->settling, &output, body_bytes + sizeof added_index, 0);
    return body == NULL ? NULL : (uint8_t *)mempcpy(body, &added_index, sizeof added_index);
}

/* A client that has gone meanwhile does not keep others waiting. */
static bool known_by_all(const struct streaming *machine, struct bytes id, uint64_t added_index)
{
    const struct streaming_client *own = client_find(machine, id);
    bool all = true;
    for (uint32_t i = 0; i < machine->mirror_count && all; i++) {
        const struct streaming_client *client = client_find(machine->mirrors[i], id);
        all = client != NULL && client->added_index >= added_index;
    }
    return all || own == NULL || own->added_index != added_index;
}

static bool gone_for_all(const struct streaming *machine, struct bytes id, uint64_t added_index)
{
    for (uint32_t i = 0; i < machine->mirror_count; i++) {
        const struct streaming_client *client = client_find(machine->mirrors[i], id);
        if (client != NULL && client->added_index <= added_index)
            return false;
    }
    return true;
}

void registry_release(struct streaming *machine)
{
    struct streaming_output output;
    while (outputs_next(&machine->settling, 0, &output)) {
        uint64_t added_index;
        memcpy(&added_index, output.body.data, sizeof added_index);
        bool there = output.level != 0;
        bool settled = there ? known_by_all(machine, output.reply, added_index)
                             : gone_for_all(machine, output.reply, added_index);
        if (!settled) {
            outputs_back(&machine->settling, 1);
            return;
        }
        struct bytes body =
            bytes_of(output.body.data + sizeof added_index, output.body.count - sizeof added_index);
        uint8_t *to = machine_answer(machine, output.via, output.subject, body.count);
        if (to != NULL && body.count > 0)
            memcpy(to, body.data, body.count);
    }
}

/* ---- limits ---- */

bool registry_channels_left(const struct streaming *machine, uint32_t *channels_max)
{
    const struct streaming *registry = machine->setup.registry == NULL ? machine : machine->setup.registry;
    size_t most = machine->setup.channels_max, others = 0;
    *channels_max = machine->setup.channels_max;
    if (most == 0 || registry->mirror_count == 0)
        return true;
    for (uint32_t i = 0; i < registry->mirror_count; i++)
        others += registry->mirrors[i] == machine ? 0 : registry->mirrors[i]->channels.count;
    others += registry == machine ? 0 : registry->channels.count;
    *channels_max = most > others ? (uint32_t)(most - others) : 1; /* 0 would be no limit */
    return most > others;
}
