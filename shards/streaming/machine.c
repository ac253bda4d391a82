/* shards/streaming/machine.c - the machine as a whole: how it begins, its inputs and outputs, its timers; see
 * machine.h. What each request does is in the files of state.h. */
#include "shards/streaming/state.h"

#include "core/base/hash.h"
#include "core/base/memory.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_BYTES_MAX = 1024 };

/* ---- tools of the other files ---- */

uint32_t machine_hash(const struct streaming *machine, struct bytes bytes)
{
    return (uint32_t)hash_bytes(bytes, machine->hash_seed);
}

/* A line among outputs; whether it found room. */
static bool log_put(struct outputs *outputs, uint64_t position, enum log_level level, const char *format,
                    va_list arguments)
{
    char line[LINE_BYTES_MAX];
    int count = vsnprintf(line, sizeof line, format, arguments);
    size_t bytes = count < 0 ? 0 : (size_t)count < sizeof line ? (size_t)count : sizeof line - 1;
    struct streaming_output output = {.kind = STREAMING_OUTPUT_LOG, .level = (uint8_t)level};
    uint8_t *body = outputs_put(outputs, &output, bytes, position);
    if (body != NULL)
        memcpy(body, line, bytes);
    return body != NULL;
}

void machine_log(struct streaming *machine, enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)log_put(&machine->outputs, 0, level, format, arguments);
    va_end(arguments);
}

/* What is held leaves when the store is safe up to there. What the replicated log says is safe. */
static uint64_t held_position(const struct streaming *machine)
{
    return machine->setup.replicated ? 0 : store_position(machine->store);
}

void machine_log_held(struct streaming *machine, enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    machine->held_put += log_put(&machine->held, held_position(machine), level, format, arguments);
    va_end(arguments);
}

uint8_t *machine_publish(struct streaming *machine, uint16_t via, struct bytes subject, struct bytes reply,
                         size_t body_bytes)
{
    struct streaming_output output = {
        .kind = STREAMING_OUTPUT_PUBLISH, .via = via, .subject = subject, .reply = reply};
    return outputs_put(&machine->outputs, &output, body_bytes, 0);
}

void machine_listen(struct streaming *machine, struct bytes subject, bool on)
{
    struct streaming_output output = {.kind = on ? STREAMING_OUTPUT_LISTEN : STREAMING_OUTPUT_UNLISTEN,
                                      .subject = subject};
    if (!machine->leading)
        return;
    (void)outputs_put(&machine->outputs, &output, 0, 0);
}

uint8_t *machine_answer(struct streaming *machine, uint16_t via, struct bytes reply, size_t body_bytes)
{
    struct streaming_output output = {.kind = STREAMING_OUTPUT_PUBLISH, .via = via, .subject = reply};
    if (reply.count == 0)
        return NULL;
    uint8_t *body = outputs_put(&machine->held, &output, body_bytes, held_position(machine));
    machine->held_put += body != NULL;
    return body;
}

void machine_answer_error(struct streaming *machine, const struct streaming_request *request,
                          struct bytes error)
{
    uint8_t *body = machine_answer(machine, request->via, request->reply, wire_error_bytes(error));
    if (body != NULL)
        wire_error_write(error, body);
}

void machine_answer_subscription(struct streaming *machine, const struct streaming_request *request,
                                 struct bytes ack_inbox, struct bytes error)
{
    uint8_t *body = machine_answer(machine, request->via, request->reply,
                                   wire_subscription_response_bytes(ack_inbox, error));
    if (body != NULL)
        wire_subscription_response_write(ack_inbox, error, body);
}

void machine_timer_set(struct streaming *machine, struct timer *timer, int64_t due_ns)
{
    if (!machine->leading)
        return;
    if (timers_set(&machine->timers, timer, due_ns) != ERR_OK)
        machine_log(machine, LOG_ERROR, "No memory for a timer of the streaming service");
}

struct bytes machine_store_text(const struct streaming *machine, enum err err)
{
    switch (err) {
    case ERR_MEMORY:
        return streaming_text(STREAMING_MEMORY);
    case ERR_FULL:
        return streaming_text(STREAMING_BUSY);
    case ERR_SYSTEM:
        return store_failed(machine->store) ? streaming_text(STREAMING_STORE_FAILED)
                                            : text(store_error(machine->store));
    default:
        return text(err_text(err));
    }
}

/* ---- beginning and end ---- */

/* `prefix`.`word`, as a text that lives as long as the machine. */
static bool subject_make(struct streaming *machine, const char *prefix, struct bytes word, struct bytes *to)
{
    size_t bytes = strlen(prefix) + 1 + word.count + 1;
    char *made = arena_new(&machine->texts, bytes);
    if (made == NULL)
        return false;
    int count = snprintf(made, bytes, "%s.%.*s", prefix, BYTES_PRINTF(word));
    *to = bytes_of(made, (size_t)count);
    return true;
}

/* What is not known from the store follows from the cluster's id. */
static bool subjects_make(struct streaming *machine)
{
    struct wire_server_info *info = &machine->info;
    struct bytes cluster = text(machine->setup.cluster_id);
    struct {
        const char *prefix;
        struct bytes *to;
    } rows[] = {
        {machine->setup.discover_prefix, &info->discovery},
        {"_STAN.pub", &info->publish},
        {"_STAN.sub", &info->subscribe},
        {"_STAN.unsub", &info->unsubscribe},
        {"_STAN.close", &info->close},
        {"_STAN.subclose", &info->subscription_close},
        {"_STAN.ack", &info->acks},
    };
    bool good = true;
    if (!machine->identified)
        info->cluster_id = cluster;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].to->count == 0)
            good = good && subject_make(machine, rows[i].prefix, cluster, rows[i].to);
    }
    return good &&
           subject_make(machine, (const char *)info->discovery.data, TEXT("pings"), &machine->pings) &&
           subject_make(machine, (const char *)info->publish.data, TEXT(">"), &machine->publishes) &&
           subject_make(machine, "_INBOX", machine->setup.server_id, &machine->inbox) &&
           subject_make(machine, (const char *)machine->inbox.data, TEXT(">"), &machine->inboxes);
}

static void machine_init(struct streaming *machine, const struct streaming_setup *setup)
{
    machine->setup = *setup;
    machine->now = setup->now;
    machine->store = setup->store;
    machine->durable_store = strcmp(store_kind_name(setup->store), "MEMORY") != 0;
    machine->synced = store_acknowledged(setup->store);
    random_seed(&machine->random, setup->seed);
    machine->hash_seed = random_next(&machine->random);
    list_init(&machine->all_clients);
    list_init(&machine->all_channels);
    list_init(&machine->ready);
    list_init(&machine->starting);
    list_init(&machine->changed);
    list_init(&machine->lacking);
    machine->leading = !setup->replicated;
    machine->progress_timer.kind = MACHINE_TIMER_PROGRESS;
}

enum err streaming_new(struct streaming **made, const struct streaming_setup *setup, char *why,
                       size_t why_bytes)
{
    struct streaming *machine = memory_new(sizeof *machine);
    enum err err = ERR_MEMORY;
    snprintf(why, why_bytes, "out of memory");
    *made = NULL;
    if (machine == NULL)
        return ERR_MEMORY;
    machine_init(machine, setup);
    err = machine_recover(machine, why, why_bytes);
    if (err == ERR_OK && !subjects_make(machine))
        err = ERR_MEMORY;
    if (err == ERR_OK)
        err = machine_identify(machine, why, why_bytes);
    if (err == ERR_OK) {
        registry_attach(machine);
        *made = machine;
    } else {
        streaming_free(machine);
    }
    return err;
}

void streaming_free(struct streaming *machine)
{
    if (machine == NULL)
        return;
    registry_detach(machine);
    for (struct list_link *at; (at = list_first(&machine->all_channels)) != NULL;)
        channel_free(machine, LIST_ELEMENT(at, struct streaming_channel, all));
    for (struct list_link *at; (at = list_first(&machine->all_clients)) != NULL;)
        client_free(machine, LIST_ELEMENT(at, struct streaming_client, all));
    if (machine->setup.replicated)
        stored_close(machine);
    timers_cancel(&machine->timers, &machine->progress_timer);
    index_table_close(&machine->clients);
    index_table_close(&machine->connections);
    index_table_close(&machine->channels);
    index_table_close(&machine->acks);
    index_table_close(&machine->durables);
    memory_free(machine->appends.all);
    outputs_close(&machine->outputs);
    outputs_close(&machine->held);
    outputs_close(&machine->proposals);
    outputs_close(&machine->waits);
    outputs_close(&machine->settling);
    timers_close(&machine->timers);
    wire_close(&machine->wire);
    memory_free(machine->scratch);
    arena_close(&machine->texts);
    arena_close(&machine->passing);
    memory_free(machine);
}

struct bytes streaming_subject(const struct streaming *machine, enum streaming_request_kind kind)
{
    switch (kind) {
    case STREAMING_REQUEST_CONNECT:
        return machine->info.discovery;
    case STREAMING_REQUEST_PING:
        return machine->pings;
    case STREAMING_REQUEST_PUBLISH:
        return machine->publishes;
    case STREAMING_REQUEST_SUBSCRIBE:
        return machine->info.subscribe;
    case STREAMING_REQUEST_UNSUBSCRIBE:
        return machine->info.unsubscribe;
    case STREAMING_REQUEST_SUBSCRIPTION_CLOSE:
        return machine->info.subscription_close;
    case STREAMING_REQUEST_CLOSE:
        return machine->info.close;
    case STREAMING_REQUEST_ACK:
        break;
    }
    return TEXT("");
}

struct bytes streaming_inbox(const struct streaming *machine)
{
    return machine->inboxes;
}

/* ---- inputs ---- */

void machine_passing_empty(struct streaming *machine)
{
    if (machine->passing.used_bytes > 0)
        arena_close(&machine->passing);
}

/* Of who is connected, which is the first group's matter. */
static bool clients_matter(enum streaming_request_kind kind)
{
    return kind == STREAMING_REQUEST_CONNECT || kind == STREAMING_REQUEST_PING ||
           kind == STREAMING_REQUEST_CLOSE;
}

void streaming_request(struct streaming *machine, struct streaming_now now,
                       const struct streaming_request *request)
{
    machine->now = now;
    machine_passing_empty(machine);
    if (UNLIKELY(!machine->leading) && request->kind != STREAMING_REQUEST_PUBLISH)
        return; /* as if it had come to nobody */
    if (machine->setup.registry != NULL && clients_matter(request->kind))
        return;
    switch (request->kind) {
    case STREAMING_REQUEST_CONNECT:
        clients_connect(machine, request);
        return;
    case STREAMING_REQUEST_PING:
        clients_ping(machine, request);
        return;
    case STREAMING_REQUEST_PUBLISH:
        publish_request(machine, request);
        return;
    case STREAMING_REQUEST_SUBSCRIBE:
        subscribe_request(machine, request);
        return;
    case STREAMING_REQUEST_UNSUBSCRIBE:
    case STREAMING_REQUEST_SUBSCRIPTION_CLOSE:
        unsubscribe_request(machine, request);
        return;
    case STREAMING_REQUEST_CLOSE:
        clients_close(machine, request);
        return;
    case STREAMING_REQUEST_ACK:
        acknowledge_request(machine, request);
        return;
    }
}

void streaming_answer(struct streaming *machine, struct streaming_now now, struct bytes subject, bool nobody)
{
    machine->now = now;
    if (subject.count <= machine->inbox.count + 1 || !bytes_start_with(subject, machine->inbox))
        return;
    size_t skip = machine->inbox.count + 1;
    clients_answer(machine, bytes_of(subject.data + skip, subject.count - skip), nobody);
}

void streaming_synced(struct streaming *machine, struct streaming_now now, uint64_t position)
{
    machine->now = now;
    if (position <= machine->synced)
        return;
    machine->synced = position;
    publish_synced(machine);
}

static void timers_run(struct streaming *machine)
{
    struct timer *timer;
    while (!outputs_full(&machine->outputs) &&
           (timer = timers_expired(&machine->timers, machine->now.now_ns)) != NULL) {
        switch ((enum machine_timer)timer->kind) {
        case MACHINE_TIMER_BEAT:
            client_beat_due(machine, CONTAINER_OF(timer, struct streaming_client, timer));
            break;
        case MACHINE_TIMER_PROBE:
            client_probe_due(machine, CONTAINER_OF(timer, struct streaming_client, probe_timer));
            break;
        case MACHINE_TIMER_ACK:
            redelivery_due(machine, CONTAINER_OF(timer, struct streaming_subscription, timer));
            break;
        case MACHINE_TIMER_CHANNEL:
            channel_due(machine, CONTAINER_OF(timer, struct streaming_channel, timer));
            break;
        case MACHINE_TIMER_PROGRESS:
            progress_due(machine);
            break;
        }
    }
}

/* Subscriptions whose response has gone out. */
static void starting_run(struct streaming *machine)
{
    for (struct list_link *at; (at = list_first(&machine->starting)) != NULL;) {
        struct streaming_subscription *subscription =
            LIST_ELEMENT(at, struct streaming_subscription, starting);
        if (subscription->start_after > machine->held_taken || outputs_full(&machine->outputs))
            return;
        if (!subscribe_start(machine, subscription))
            return;
        list_remove(at);
    }
}

bool streaming_step(struct streaming *machine, struct streaming_now now)
{
    machine->now = now;
    streaming_synced(machine, now, store_acknowledged(machine->store));
    timers_run(machine);
    registry_step(machine);
    registry_release(machine);
    starting_run(machine);
    for (struct list_link *at; (at = list_first(&machine->ready)) != NULL;) {
        struct streaming_channel *channel = LIST_ELEMENT(at, struct streaming_channel, ready);
        list_remove(at);
        if (!channel_deliver(machine, channel)) {
            list_push_last(&machine->ready, at); /* behind the others: none waits for one that has much */
            break;
        }
    }
    subscriptions_store(machine);
    return !list_empty(&machine->ready) || !list_empty(&machine->starting);
}

int64_t streaming_next_ns(const struct streaming *machine)
{
    return timers_next_ns(&machine->timers);
}

/* ---- outputs ---- */

bool streaming_output_next(struct streaming *machine, struct streaming_output *output)
{
    machine->last_from = OUTPUT_FROM_STEPS;
    if (outputs_next(&machine->outputs, UINT64_MAX, output))
        return true;
    machine->last_from = OUTPUT_FROM_HELD;
    if (outputs_next(&machine->held, machine->synced, output)) {
        machine->held_taken++;
        return true;
    }
    machine->last_from = OUTPUT_FROM_PROPOSALS;
    if (machine->untaken_count == 0)
        return false;
    bool there = outputs_next(&machine->proposals, UINT64_MAX, output);
    ASSERT(there);
    machine->untaken_count--;
    return true;
}

uint32_t streaming_output_more(struct streaming *machine, const struct streaming_output *first,
                               struct bytes *bodies, uint32_t most)
{
    if (machine->last_from == OUTPUT_FROM_PROPOSALS)
        return 0;
    if (machine->last_from == OUTPUT_FROM_STEPS)
        return outputs_more(&machine->outputs, UINT64_MAX, first, bodies, most);
    uint32_t count = outputs_more(&machine->held, machine->synced, first, bodies, most);
    machine->held_taken += count;
    return count;
}

void streaming_output_back(struct streaming *machine, uint32_t count)
{
    struct outputs *const from[] = {[OUTPUT_FROM_STEPS] = &machine->outputs,
                                    [OUTPUT_FROM_HELD] = &machine->held,
                                    [OUTPUT_FROM_PROPOSALS] = &machine->proposals};
    outputs_back(from[machine->last_from], count);
    machine->held_taken -= machine->last_from == OUTPUT_FROM_HELD ? count : 0;
    machine->untaken_count += machine->last_from == OUTPUT_FROM_PROPOSALS ? count : 0;
}

bool streaming_busy(const struct streaming *machine)
{
    return outputs_bytes(&machine->held) > HELD_BYTES_MAX / 2 || machine->waiting_bytes > HELD_BYTES_MAX / 2;
}

struct streaming_figures streaming_figures(const struct streaming *machine)
{
    struct store_figures store = store_figures(machine->store);
    return (struct streaming_figures){
        .client_count = machine->clients.count,
        .channel_count = machine->channels.count,
        .subscription_count = machine->subscription_count,
        .message_count = store.message_count,
        .message_bytes = store.message_bytes,
        .in_messages = machine->in_messages,
        .in_bytes = machine->in_bytes,
        .out_messages = machine->out_messages,
        .out_bytes = machine->out_bytes,
    };
}
