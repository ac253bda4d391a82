/* shards/streaming/clients.c - who is connected: connect, heartbeats, pings, the fight for an id, and the end
 * (spec/streaming.md 6); a part of state.h.
 * A client that is wanted by somebody else is asked for a sign of life on its heartbeat inbox; the newcomer's
 * request waits in a probe, and whoever comes meanwhile is refused. */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

#include <stdio.h>

enum { TOKEN_BYTES_MAX = 48 };

/* ---- finding ---- */

static bool same_id(const uint32_t *item, const void *key)
{
    const struct streaming_client *client =
        CONTAINER_OF((uint32_t *)(uintptr_t)item, struct streaming_client, id_hash);
    return bytes_equal(client->info.id, *(const struct bytes *)key);
}

static bool same_connection(const uint32_t *item, const void *key)
{
    const struct streaming_client *client =
        CONTAINER_OF((uint32_t *)(uintptr_t)item, struct streaming_client, connection_hash);
    return bytes_equal(client->info.connection_id, *(const struct bytes *)key);
}

struct streaming_client *client_find(const struct streaming *machine, struct bytes id)
{
    uint32_t *item = index_table_find(&machine->clients, machine_hash(machine, id), same_id, &id);
    return item == NULL ? NULL : CONTAINER_OF(item, struct streaming_client, id_hash);
}

struct streaming_client *client_find_connection(const struct streaming *machine, struct bytes connection_id)
{
    uint32_t *item = index_table_find(&machine->connections, machine_hash(machine, connection_id),
                                      same_connection, &connection_id);
    return item == NULL ? NULL : CONTAINER_OF(item, struct streaming_client, connection_hash);
}

/* ---- the objects ---- */

void client_unlist(struct streaming *machine, struct streaming_client *client)
{
    if (client->listed)
        index_table_erase(&machine->connections, &client->connection_hash);
    client->listed = false;
}

/* A connection id that two clients use is the last one's. */
static void connection_list(struct streaming *machine, struct streaming_client *client)
{
    if (client->info.connection_id.count == 0)
        return;
    struct streaming_client *other = client_find_connection(machine, client->info.connection_id);
    if (other != NULL)
        client_unlist(machine, other);
    client->connection_hash = machine_hash(machine, client->info.connection_id);
    index_table_put(&machine->connections, &client->connection_hash);
    client->listed = true;
}

struct streaming_client *client_new(struct streaming *machine, const struct wire_client_info *info,
                                    uint16_t via)
{
    size_t texts = info->id.count + info->heartbeat_inbox.count + info->connection_id.count;
    struct streaming_client *client = memory_new(sizeof *client + texts);
    if (client == NULL || index_table_reserve(&machine->clients) != ERR_OK ||
        index_table_reserve(&machine->connections) != ERR_OK) {
        memory_free(client);
        return NULL;
    }
    uint8_t *at = (uint8_t *)(client + 1);
    client->info = *info;
    struct bytes *fields[] = {&client->info.id, &client->info.heartbeat_inbox, &client->info.connection_id};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        uint8_t *start = at;
        if (fields[i]->count > 0)
            at = mempcpy(at, fields[i]->data, fields[i]->count);
        fields[i]->data = start;
    }
    client->via = via;
    client->timer.kind = MACHINE_TIMER_BEAT;
    client->probe_timer.kind = MACHINE_TIMER_PROBE;
    list_init(&client->subscriptions);
    client->id_hash = machine_hash(machine, info->id);
    index_table_put(&machine->clients, &client->id_hash);
    connection_list(machine, client);
    list_push_last(&machine->all_clients, &client->all);
    client_watch(machine, client);
    return client;
}

void client_watch(struct streaming *machine, struct streaming_client *client)
{
    if (machine->setup.registry == NULL)
        machine_timer_set(machine, &client->timer,
                          machine->now.now_ns + machine->setup.heartbeat_interval_ns);
}

void client_free(struct streaming *machine, struct streaming_client *client)
{
    ASSERT(list_empty(&client->subscriptions));
    index_table_erase(&machine->clients, &client->id_hash);
    client_unlist(machine, client);
    timers_cancel(&machine->timers, &client->timer);
    timers_cancel(&machine->timers, &client->probe_timer);
    list_remove(&client->all);
    memory_free(client->probe);
    memory_free(client);
}

/* ---- what is applied ---- */

enum err client_put(struct streaming *machine, const struct wire_client_info *info, uint16_t via,
                    struct streaming_client **added)
{
    if (machine->setup.replicated) { /* it is in the snapshot */
        *added = client_new(machine, info, via);
        return *added == NULL ? ERR_MEMORY : ERR_OK;
    }
    size_t count = wire_client_info_bytes(info);
    uint8_t *record = memory_new(count + 1);
    if (record == NULL)
        return ERR_MEMORY;
    wire_client_info_write(info, record);
    enum err err =
        store_state_put(machine->store, STORE_STATE_CLIENT, NULL, info->id, bytes_of(record, count));
    memory_free(record);
    if (err == ERR_OK) {
        *added = client_new(machine, info, via);
        if (*added == NULL) {
            err = store_state_delete(machine->store, STORE_STATE_CLIENT, NULL, info->id);
            err = err == ERR_OK ? ERR_MEMORY : err;
        }
    }
    return err;
}

void client_drop(struct streaming *machine, struct streaming_client *client)
{
    for (struct list_link *at; (at = list_first(&client->subscriptions)) != NULL;)
        subscription_leave(machine, LIST_ELEMENT(at, struct streaming_subscription, of_client), false);
    enum err err = ERR_OK;
    if (!machine->setup.replicated)
        err = store_state_delete(machine->store, STORE_STATE_CLIENT, NULL, client->info.id);
    if (err != ERR_OK)
        machine_log(machine, LOG_ERROR, "[Client:%.*s] Error deleting client: %s",
                    BYTES_PRINTF(client->info.id), err_text(err));
    machine_log(machine, LOG_DEBUG, "[Client:%.*s] Closed (Inbox=%.*s)", BYTES_PRINTF(client->info.id),
                BYTES_PRINTF(client->info.heartbeat_inbox));
    client_free(machine, client);
}

/* ---- connect ---- */

static void refuse_connect(struct streaming *machine, uint16_t via, struct bytes reply, struct bytes error)
{
    struct wire_connect_response response = {.error = error};
    uint8_t *body = machine_answer(machine, via, reply, wire_connect_response_bytes(&response));
    if (body != NULL)
        wire_connect_response_write(&response, body);
}

static bool id_valid(struct bytes id)
{
    for (size_t i = 0; i < id.count; i++) {
        uint8_t c = id.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return id.count > 0;
}

static void answer_welcome(struct streaming *machine, const struct streaming_client *client,
                           const struct wait *wait)
{
    const struct wire_client_info *info = &client->info;
    struct wire_connect_response response = {
        .publish = machine->info.publish,
        .subscribe = machine->info.subscribe,
        .unsubscribe = machine->info.unsubscribe,
        .close = machine->info.close,
        .subscription_close = machine->info.subscription_close,
        .protocol = 1,
    };
    if (info->protocol >= 1) {
        response.ping = machine->pings;
        response.ping_interval = info->ping_interval;
        response.ping_out_max = info->ping_out_max;
    }
    uint8_t *body = registry_answer(machine, wait, info->id, client->added_index, true,
                                    wire_connect_response_bytes(&response));
    if (body != NULL)
        wire_connect_response_write(&response, body);
}

static void log_welcome(struct streaming *machine, const struct wire_client_info *info, bool replaced)
{
    machine_log(machine, LOG_DEBUG, "[Client:%.*s] %s (Inbox=%.*s)", BYTES_PRINTF(info->id),
                replaced ? "Replaced old client" : "Connected", BYTES_PRINTF(info->heartbeat_inbox));
}

/* Asks the log. */
static bool add_propose(struct streaming *machine, const struct wire_client_info *info, uint16_t via,
                        struct bytes reply, bool replace)
{
    struct command command = {.kind = COMMAND_CLIENT_ADD, .client_add = {.info = *info, .replace = replace}};
    return replicate_propose(machine, &command, (struct wait){.via = via, .reply = reply});
}

static void welcome(struct streaming *machine, const struct wire_client_info *info, uint16_t via,
                    struct bytes reply, bool replaced)
{
    struct streaming_client *client = NULL;
    if (machine->setup.replicated) {
        if (replicate_full(machine) || !add_propose(machine, info, via, reply, false))
            refuse_connect(machine, via, reply, streaming_text(STREAMING_BUSY));
        return;
    }
    enum err err = client_put(machine, info, via, &client);
    if (err != ERR_OK) {
        refuse_connect(machine, via, reply, machine_store_text(machine, err));
        return;
    }
    log_welcome(machine, info, replaced);
    answer_welcome(machine, client, &(struct wait){.via = via, .reply = reply});
}

/* Asks the client's heartbeat inbox; the answer comes to a subject that says what was asked, of whom, which
 * time. */
static void ask(struct streaming *machine, struct streaming_client *client, char what, uint64_t number)
{
    char head[TOKEN_BYTES_MAX], reply[TOKEN_BYTES_MAX + 512];
    int head_count = snprintf(head, sizeof head, "%c.%llu.", what, (unsigned long long)number);
    size_t count = machine->inbox.count + 1 + (size_t)head_count + client->info.id.count;
    char *all = count <= sizeof reply ? reply : memory_new(count);
    if (all == NULL)
        return; /* as if the network had lost it */
    uint8_t *at = mempcpy(all, machine->inbox.data, machine->inbox.count);
    *at++ = '.';
    at = mempcpy(at, head, (size_t)head_count);
    memcpy(at, client->info.id.data, client->info.id.count);
    (void)machine_publish(machine, client->via, client->info.heartbeat_inbox, bytes_of(all, count), 0);
    if (all != reply)
        memory_free(all);
}

static struct streaming_probe *probe_new(const struct wire_client_info *info, uint16_t via,
                                         struct bytes reply)
{
    size_t texts = info->id.count + info->heartbeat_inbox.count + info->connection_id.count + reply.count;
    struct streaming_probe *probe = memory_new(sizeof *probe + texts);
    if (probe == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(probe + 1);
    *probe = (struct streaming_probe){.wanted = *info, .reply = reply, .via = via};
    struct bytes *fields[] = {&probe->wanted.id, &probe->wanted.heartbeat_inbox, &probe->wanted.connection_id,
                              &probe->reply};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        uint8_t *start = at;
        if (fields[i]->count > 0)
            at = mempcpy(at, fields[i]->data, fields[i]->count);
        fields[i]->data = start;
    }
    return probe;
}

/* Somebody wants the id of one that is there: does that one live? */
static void probe_begin(struct streaming *machine, struct streaming_client *client,
                        const struct wire_client_info *wanted, uint16_t via, struct bytes reply)
{
    bool first = client->probe == NULL; /* one at a time */
    if (first)
        client->probe = probe_new(wanted, via, reply);
    if (!first || client->probe == NULL) {
        refuse_connect(machine, via, reply, streaming_text(STREAMING_CLIENT_EXISTS));
        return;
    }
    ask(machine, client, 'p', ++client->beat);
    machine_timer_set(machine, &client->probe_timer, machine->now.now_ns + PROBE_NS);
}

void clients_connect(struct streaming *machine, const struct streaming_request *request)
{
    struct wire_connect_request read;
    if (!wire_connect_request_read(&machine->wire, request->payload, &read) ||
        read.heartbeat_inbox.count == 0) {
        refuse_connect(machine, request->via, request->reply, streaming_text(STREAMING_CONNECT_INVALID));
        return;
    }
    if (!id_valid(read.client_id)) {
        refuse_connect(machine, request->via, request->reply, streaming_text(STREAMING_CLIENT_ID_INVALID));
        return;
    }
    struct wire_client_info info = {
        .id = read.client_id,
        .heartbeat_inbox = read.heartbeat_inbox,
        .connection_id = read.connection_id,
        .protocol = read.protocol,
        .ping_interval = read.ping_interval,
        .ping_out_max = read.ping_out_max,
    };
    struct streaming_client *client = client_find(machine, info.id);
    if (client == NULL)
        welcome(machine, &info, request->via, request->reply, false);
    else
        probe_begin(machine, client, &info, request->via, request->reply);
}

void client_settle(struct streaming *machine, struct streaming_client *client)
{
    client->leaving = true;
    timers_cancel(&machine->timers, &client->timer);
    for (struct list_link *at = list_first(&client->subscriptions); at != NULL;
         at = list_next(&client->subscriptions, at))
        subscription_settle(machine, LIST_ELEMENT(at, struct streaming_subscription, of_client));
}

/* By the log: the newcomer goes in where the holder goes out, and keeps others out until then. */
static void replace_propose(struct streaming *machine, struct streaming_client *client)
{
    struct streaming_probe *probe = client->probe;
    if (!replicate_full(machine)) {
        client_settle(machine, client);
        probe->proposed = add_propose(machine, &probe->wanted, probe->via, probe->reply, true);
    }
    if (!probe->proposed) /* the wait begins once more */
        machine_timer_set(machine, &client->probe_timer, machine->now.now_ns + PROBE_NS);
}

/* The holder lives, so the newcomer is refused; or it does not. */
static void probe_end(struct streaming *machine, struct streaming_client *client, bool lives)
{
    struct streaming_probe *probe = client->probe;
    timers_cancel(&machine->timers, &client->probe_timer);
    if (probe->proposed)
        return;
    if (!lives && machine->setup.replicated) {
        replace_propose(machine, client);
        return;
    }
    client->probe = NULL;
    if (lives) {
        machine_log(machine, LOG_DEBUG, "[Client:%.*s] Connect failed; already connected",
                    BYTES_PRINTF(client->info.id));
        refuse_connect(machine, probe->via, probe->reply, streaming_text(STREAMING_CLIENT_EXISTS));
    } else {
        client_drop(machine, client);
        welcome(machine, &probe->wanted, probe->via, probe->reply, true);
    }
    memory_free(probe);
}

void client_probe_due(struct streaming *machine, struct streaming_client *client)
{
    probe_end(machine, client, false);
}

/* ---- heartbeats ---- */

static void silent_set(struct streaming_client *client, bool silent)
{
    for (struct list_link *at = list_first(&client->subscriptions); at != NULL;
         at = list_next(&client->subscriptions, at))
        LIST_ELEMENT(at, struct streaming_subscription, of_client)->silent = silent;
}

static bool remove_propose(struct streaming *machine, struct streaming_client *client, struct wait wait)
{
    struct command command = {
        .kind = COMMAND_CLIENT_REMOVE,
        .client_remove = {.id = client->info.id, .added_index = client->added_index},
    };
    if (replicate_full(machine))
        return false;
    client_settle(machine, client);
    return replicate_propose(machine, &command, wait);
}

/* When the log cannot take it, it is tried again after the next heartbeat. */
static void timeout_propose(struct streaming *machine, struct streaming_client *client)
{
    machine_log(machine, LOG_ERROR, "[Client:%.*s] Timed out on heartbeats", BYTES_PRINTF(client->info.id));
    if (client->probe != NULL && !client->probe->proposed)
        replace_propose(machine, client);
    else if (client->probe == NULL && !remove_propose(machine, client, (struct wait){0}))
        machine_timer_set(machine, &client->timer,
                          machine->now.now_ns + machine->setup.heartbeat_interval_ns);
}

static void beat_failed(struct streaming *machine, struct streaming_client *client)
{
    client->beating = false;
    if (client->failed_count++ == 0)
        silent_set(client, true);
    if (client->failed_count > (uint64_t)machine->setup.heartbeat_fail_max && machine->setup.replicated) {
        timeout_propose(machine, client);
        return;
    }
    if (client->failed_count > (uint64_t)machine->setup.heartbeat_fail_max) {
        machine_log(machine, LOG_ERROR, "[Client:%.*s] Timed out on heartbeats",
                    BYTES_PRINTF(client->info.id));
        struct streaming_probe *probe = client->probe;
        client->probe = NULL;
        client_drop(machine, client);
        if (probe != NULL)
            welcome(machine, &probe->wanted, probe->via, probe->reply, true);
        memory_free(probe);
        return;
    }
    machine_timer_set(machine, &client->timer, machine->now.now_ns + machine->setup.heartbeat_interval_ns);
}

void client_beat_due(struct streaming *machine, struct streaming_client *client)
{
    if (client->beating) {
        beat_failed(machine, client);
        return;
    }
    client->beating = true;
    ask(machine, client, 'b', ++client->beat);
    machine_timer_set(machine, &client->timer, machine->now.now_ns + machine->setup.heartbeat_timeout_ns);
}

static void beat_answered(struct streaming *machine, struct streaming_client *client)
{
    client->beating = false;
    if (client->failed_count > 0)
        silent_set(client, false);
    client->failed_count = 0;
    if (!client->leaving)
        machine_timer_set(machine, &client->timer,
                          machine->now.now_ns + machine->setup.heartbeat_interval_ns);
}

/* `b.<number>.<client id>` answers a heartbeat, `p.` a probe. Late answers to a beat count as well: it lives.
 */
void clients_answer(struct streaming *machine, struct bytes token, bool nobody)
{
    if (token.count < 4 || token.data[1] != '.')
        return;
    const uint8_t *dot = memchr(token.data + 2, '.', token.count - 2);
    if (dot == NULL)
        return;
    uint64_t number = 0;
    for (const uint8_t *at = token.data + 2; at < dot && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    struct streaming_client *client =
        client_find(machine, bytes_of(dot + 1, token.count - (size_t)(dot + 1 - token.data)));
    if (client == NULL)
        return;
    if (token.data[0] == 'p' && client->probe != NULL)
        probe_end(machine, client, !nobody);
    else if (token.data[0] != 'b' || !client->beating || client->leaving)
        return;
    else if (number <= client->beat && !nobody)
        beat_answered(machine, client);
    else if (nobody)
        beat_failed(machine, client);
}

/* ---- ping, close ---- */

void clients_ping(struct streaming *machine, const struct streaming_request *request)
{
    struct bytes connection_id;
    if (request->payload.count == 0 || !wire_ping_read(&machine->wire, request->payload, &connection_id))
        return;
    struct streaming_client *client = client_find_connection(machine, connection_id);
    if (client == NULL || connection_id.count == 0) {
        machine_answer_error(machine, request, streaming_text(STREAMING_CLIENT_REPLACED));
        return;
    }
    client->via = request->via;
    if (client->failed_count > 0 && !client->beating && !client->leaving)
        machine_timer_set(machine, &client->timer, machine->now.now_ns + PING_KICK_NS);
    machine_answer_error(machine, request, streaming_text(STREAMING_NONE));
}

void clients_close(struct streaming *machine, const struct streaming_request *request)
{
    struct bytes id;
    if (!wire_close_request_read(&machine->wire, request->payload, &id)) {
        machine_answer_error(machine, request, streaming_text(STREAMING_CLOSE_INVALID));
        return;
    }
    struct streaming_client *client = client_find(machine, id);
    if (client == NULL) {
        machine_answer_error(machine, request, streaming_text(STREAMING_CLIENT_UNKNOWN));
        return;
    }
    if (machine->setup.replicated) {
        if (!remove_propose(machine, client, (struct wait){.via = request->via, .reply = request->reply}))
            machine_answer_error(machine, request, streaming_text(STREAMING_BUSY));
        return;
    }
    struct streaming_probe *probe = client->probe;
    client->probe = NULL;
    client_drop(machine, client);
    machine_answer_error(machine, request, streaming_text(STREAMING_NONE));
    if (probe != NULL) /* who waited for the id has it now */
        welcome(machine, &probe->wanted, probe->via, probe->reply, true);
    memory_free(probe);
}

/* ---- the replicated log ---- */

void client_add_applied(struct streaming *machine, const struct command *command, const struct wait *wait)
{
    const struct wire_client_info *info = &command->client_add.info;
    struct streaming_client *client = client_find(machine, info->id);
    bool replaced = client != NULL;
    uint16_t via = wait == NULL ? STREAMING_VIA_NONE : wait->via;
    if (replaced &&
        !command->client_add.replace) { /* two wanted it at once: the second one wants the first's */
        if (wait != NULL)
            probe_begin(machine, client, info, via, wait->reply);
        return;
    }
    if (replaced)
        client_drop(machine, client);
    if (client_put(machine, info, via, &client) != ERR_OK) {
        machine->trouble = ERR_MEMORY;
        return;
    }
    client->added_index = machine->applied_index;
    log_welcome(machine, info, replaced);
    registry_added(machine, client);
    if (wait != NULL)
        answer_welcome(machine, client, wait);
}

static void answer_close(struct streaming *machine, const struct command *command, const struct wait *wait,
                         enum streaming_text text)
{
    size_t bytes = wire_error_bytes(streaming_text(text));
    uint8_t *body = text == STREAMING_NONE ? registry_answer(machine, wait, command->client_remove.id,
                                                             command->client_remove.added_index, false, bytes)
                                           : machine_answer(machine, wait->via, wait->reply, bytes);
    if (body != NULL)
        wire_error_write(streaming_text(text), body);
}

void client_remove_applied(struct streaming *machine, const struct command *command, const struct wait *wait)
{
    struct streaming_client *client = client_find(machine, command->client_remove.id);
    enum streaming_text text = STREAMING_CLIENT_UNKNOWN;
    struct streaming_probe *probe = NULL;
    if (client != NULL && client->added_index == command->client_remove.added_index) {
        probe = client->probe;
        client->probe = NULL;
        client_drop(machine, client);
        text = STREAMING_NONE;
        registry_removed(machine, command->client_remove.id, command->client_remove.added_index);
    }
    if (wait != NULL)
        answer_close(machine, command, wait, text);
    if (probe != NULL && !probe->proposed) /* who waited for the id has it now; last, for it moves `wait` */
        welcome(machine, &probe->wanted, probe->via, probe->reply, true);
    memory_free(probe);
}
