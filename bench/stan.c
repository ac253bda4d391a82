/* bench/stan.c - clients of NATS Streaming on one epoll behind stan.h: publishers keep `in_flight` messages
 * under way each, subscribers acknowledge what they get. */
#include "bench/stan.h"

#include "bench/measure.h"
#include "bench/progress.h"
#include "bench/stan_client.h"
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/random.h"

enum {
    /* What a publisher puts ahead of its socket; at the bound its slots stay free until that is sent. */
    OUTPUT_BYTES_MAX = 256 * 1024,
    TURN_NS = 100 * 1000 * 1000,
};

enum role { ROLE_PUBLISHER, ROLE_SUBSCRIBER };

struct stan {
    struct stan_host host;
    const struct options *options;
    struct failure *failure;
    struct engine engine;
    struct stan_client *clients; /* publishers first */
    uint64_t publisher_count;
    uint64_t subscriber_count;
    enum stan_step step; /* of the beginning and the end */
    /* This phase: */
    uint64_t goal; /* messages to be sent; UINT64_MAX: until end_ns */
    uint64_t sent;
    uint64_t acknowledged;
    uint64_t due; /* deliveries of what was sent */
    uint64_t delivered;
    int64_t start_ns;
    int64_t end_ns;
    uint64_t progress_mark;
    int64_t progress_ns;
    struct progress progress;
    struct histogram latency;
    char version[32];
};

static enum err stan_new(struct stan **made, const struct options *options, struct failure *failure);
static void stan_free(struct stan *stan);
static enum err stan_begin(struct stan *stan);
static enum err stan_end(struct stan *stan);
static enum err answers_wait(struct stan *stan, enum stan_step step);
static enum err barrier(struct stan *stan);
static enum err phase(struct stan *stan, uint64_t messages, int64_t duration_ns);
static enum err turn(struct stan *stan, int64_t timeout_ns);
static enum err stall_check(struct stan *stan);
static enum err fill(struct stan *stan, struct stan_client *client);
static enum err client_send(struct stan *stan, struct stan_client *client);
static enum err client_receive(struct stan *stan, struct stan_client *client);
static enum err message_take(struct stan *stan, struct stan_client *client, const struct scan_event *event);
static enum err acknowledged(struct stan *stan, struct stan_client *client, const struct scan_event *event);
static enum err delivered(struct stan *stan, struct stan_client *client, const struct scan_event *event);
static void stan_report(const struct stan *stan, const struct measure *measure, struct report *report);

enum err stan_run(const struct options *options, struct report *report, struct failure *failure)
{
    struct stan *stan = NULL;
    struct measure measure = {0};
    bool replay = options->command == COMMAND_STAN_SUB;
    enum err err = stan_new(&stan, options, failure);
    if (err == ERR_OK && !replay)
        err = stan_begin(stan);
    if (err == ERR_OK && options->warmup > 0 && !replay) {
        err = phase(stan, options->warmup, 0);
        stan->latency = (struct histogram){0};
    }
    if (err == ERR_OK)
        err = measure_start(&measure, options->pid, failure);
    if (err == ERR_OK && replay) /* deliveries follow the subscription at once: it is in what is measured */
        err = stan_begin(stan);
    if (err == ERR_OK)
        err = phase(stan, options->messages, options->duration_ns);
    if (err == ERR_OK)
        err = measure_stop(&measure, failure);
    if (err == ERR_OK && options->command == COMMAND_STAN) {
        err = barrier(stan); /* a message delivered twice would be there by now */
        if (err == ERR_OK && stan->delivered != stan->due)
            err = failure_set(failure, ERR_INVALID, "%llu deliveries of %llu messages that called for %llu",
                              (unsigned long long)stan->delivered, (unsigned long long)stan->sent,
                              (unsigned long long)stan->due);
    }
    if (err == ERR_OK)
        stan_report(stan, &measure, report);
    if (err == ERR_OK)
        err = stan_end(stan);
    stan_free(stan);
    return err;
}

/* ---- beginning and end ---- */

static uint64_t slot_count(const struct options *options)
{
    enum { IN_FLIGHT = 16384 }; /* what other clients allow, unless told */
    return options->in_flight > 0 ? options->in_flight : IN_FLIGHT;
}

/* On error *made may be NULL. */
static enum err stan_new(struct stan **made, const struct options *options, struct failure *failure)
{
    uint64_t number = 0;
    struct stan *stan = *made = memory_new(sizeof(*stan));
    if (stan == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    *stan = (struct stan){
        .host = {.options = options, .failure = failure}, .options = options, .failure = failure};
    stan->engine = (struct engine){.epoll_fd = -1, .signal_fd = -1};
    if (random_secure(&number, sizeof(number)) != ERR_OK)
        return failure_set(failure, ERR_SYSTEM, "the kernel has no random bytes");
    (void)snprintf(stan->host.run, sizeof(stan->host.run), "%016llx", (unsigned long long)number);
    uint64_t publishers = options->command == COMMAND_STAN_SUB ? 0 : options->publishers;
    uint64_t subscribers = options->command == COMMAND_STAN_PUB ? 0 : options->subscribers;
    stan->clients = memory_new((publishers + subscribers) * sizeof(*stan->clients));
    if (stan->clients == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    stan->publisher_count = publishers;
    stan->subscriber_count = subscribers;
    for (uint64_t i = 0; i < publishers + subscribers; i++) {
        stan_client_init(&stan->clients[i], i);
        stan->clients[i].connection.role = i < publishers ? ROLE_PUBLISHER : ROLE_SUBSCRIBER;
    }
    progress_init(&stan->progress, options->quiet, clock_monotonic_ns());
    enum err err = engine_init(&stan->engine, failure);
    return err == ERR_OK ? connection_limit_raise(publishers + subscribers, failure) : err;
}

static void stan_free(struct stan *stan)
{
    if (stan == NULL)
        return;
    progress_end(&stan->progress);
    for (uint64_t i = 0; i < stan->publisher_count + stan->subscriber_count; i++)
        stan_client_close(&stan->clients[i]);
    engine_close(&stan->engine);
    memory_free(stan->clients);
    memory_free(stan);
}

/* Publisher and subscriber are connected in turn, as in traffic.c, and for the same reason. */
static struct stan_client *client_in_turn(struct stan *stan, uint64_t turn)
{
    uint64_t i = turn / 2;
    if (turn % 2 == 0)
        return i < stan->publisher_count ? &stan->clients[i] : NULL;
    return i < stan->subscriber_count ? &stan->clients[stan->publisher_count + i] : NULL;
}

static enum err stan_begin(struct stan *stan)
{
    const struct options *options = stan->options;
    uint64_t most =
        stan->publisher_count > stan->subscriber_count ? stan->publisher_count : stan->subscriber_count;
    enum err err = ERR_OK;
    for (uint64_t i = 0; i < 2 * most && err == ERR_OK; i++) {
        struct stan_client *client = client_in_turn(stan, i);
        if (client == NULL)
            continue;
        uint32_t role = client->connection.role;
        err = stan_client_open(client, &stan->host, stan->version, sizeof(stan->version));
        client->connection.role = role;
        if (err == ERR_OK)
            err = client_send(stan, client);
    }
    if (err == ERR_OK)
        err = answers_wait(stan, STAN_CONNECTING);
    for (uint64_t i = 0; i < stan->publisher_count && err == ERR_OK; i++) {
        stan->clients[i].number = i;
        err = stan_publish_prepare(&stan->clients[i], &stan->host, slot_count(options));
    }
    for (uint64_t i = 0; i < stan->subscriber_count && err == ERR_OK; i++) {
        struct stan_client *client = &stan->clients[stan->publisher_count + i];
        frames_subject(client->channel, options, i % options->subjects);
        err = stan_client_subscribe(client, &stan->host);
        if (err == ERR_OK)
            err = client_send(stan, client);
    }
    return err == ERR_OK ? answers_wait(stan, STAN_SUBSCRIBING) : err;
}

/* So that the server need not find out by heartbeats. */
static enum err stan_end(struct stan *stan)
{
    enum err err = ERR_OK;
    for (uint64_t i = 0; i < stan->publisher_count + stan->subscriber_count && err == ERR_OK; i++) {
        err = stan_client_leave(&stan->clients[i], &stan->host);
        if (err == ERR_OK)
            err = client_send(stan, &stan->clients[i]);
    }
    return err == ERR_OK ? answers_wait(stan, STAN_LEAVING) : err;
}

static bool all_answered(const struct stan *stan)
{
    for (uint64_t i = 0; i < stan->publisher_count + stan->subscriber_count; i++) {
        if (!stan->clients[i].answered)
            return false;
    }
    return true;
}

static enum err answers_wait(struct stan *stan, enum stan_step step)
{
    enum err err = ERR_OK;
    stan->step = step;
    stan->progress_ns = stan->engine.now_ns = clock_monotonic_ns();
    while (err == ERR_OK && !all_answered(stan)) {
        err = turn(stan, TURN_NS);
        if (err == ERR_OK && stan->engine.now_ns - stan->progress_ns > stan->options->timeout_ns)
            err = failure_set(stan->failure, ERR_SYSTEM, "no answer of a streaming server with the id %s",
                              stan->options->cluster_id);
    }
    return err;
}

/* What was on its way to a subscriber has arrived. */
static enum err barrier(struct stan *stan)
{
    int64_t end_ns = clock_monotonic_ns() + stan->options->timeout_ns;
    enum err err = ERR_OK;
    for (uint64_t i = 0; i < stan->subscriber_count && err == ERR_OK; i++) {
        struct stan_client *client = &stan->clients[stan->publisher_count + i];
        err = connection_ping(&client->connection, stan->failure);
        if (err == ERR_OK)
            err = client_send(stan, client);
        while (err == ERR_OK && client->connection.pongs_expected > 0) {
            err = turn(stan, TURN_NS);
            if (err == ERR_OK && stan->engine.now_ns > end_ns)
                err = failure_set(stan->failure, ERR_SYSTEM, "the server does not answer PING");
        }
    }
    return err;
}

/* ---- a phase ---- */

/* What subscribers of our own are owed for `messages`, from the first of a phase on; from another process:
 * --messages of each channel's. */
static uint64_t deliveries_of(const struct stan *stan, uint64_t messages)
{
    const struct options *options = stan->options;
    uint64_t all = 0;
    if (options->command == COMMAND_STAN_SUB)
        return options->queue != NULL ? messages : messages * options->subscribers;
    for (uint64_t channel = 0; channel < options->subjects && stan->subscriber_count > 0; channel++)
        all += frames_on_subject(options, messages, channel) * frames_fan_out(options, channel);
    return all;
}

static bool phase_done(const struct stan *stan)
{
    return stan->goal != UINT64_MAX && stan->acknowledged >= stan->goal && stan->delivered >= stan->due;
}

static enum err phase(struct stan *stan, uint64_t messages, int64_t duration_ns)
{
    bool replay = stan->options->command == COMMAND_STAN_SUB;
    stan->goal = replay ? 0 : duration_ns > 0 ? UINT64_MAX : messages;
    stan->sent = stan->acknowledged = 0;
    if (!replay) /* there, the first deliveries may be here already */
        stan->delivered = 0;
    stan->due = replay ? deliveries_of(stan, messages) : 0;
    stan->start_ns = stan->progress_ns = stan->engine.now_ns = clock_monotonic_ns();
    stan->end_ns = duration_ns > 0 ? stan->start_ns + duration_ns : INT64_MAX;
    enum err err = ERR_OK;
    for (uint64_t i = 0; i < stan->publisher_count && err == ERR_OK; i++) {
        stan->clients[i].number = i;
        err = fill(stan, &stan->clients[i]);
    }
    while (err == ERR_OK && !phase_done(stan)) {
        err = turn(stan, TURN_NS);
        if (stan->engine.now_ns >= stan->end_ns) {
            stan->end_ns = INT64_MAX;
            stan->goal = stan->sent;
        }
        if (err == ERR_OK)
            err = stall_check(stan);
        uint64_t done = replay ? stan->delivered : stan->acknowledged, of = replay ? stan->due : messages;
        progress_show(&stan->progress, stan->engine.now_ns,
                      duration_ns > 0 ? (double)(stan->engine.now_ns - stan->start_ns) : (double)done,
                      duration_ns > 0 ? (double)duration_ns : (double)of);
    }
    return err;
}

static enum err turn(struct stan *stan, int64_t timeout_ns)
{
    enum err err = engine_wait(&stan->engine, timeout_ns, stan->failure);
    if (err == ERR_OK && stan->engine.interrupted)
        return failure_set(stan->failure, ERR_SYSTEM, "interrupted after %llu of %llu messages",
                           (unsigned long long)stan->acknowledged, (unsigned long long)stan->sent);
    for (int i = 0; i < stan->engine.event_count && err == ERR_OK; i++) {
        struct connection *connection = stan->engine.events[i].data.ptr;
        struct stan_client *client = CONTAINER_OF(connection, struct stan_client, connection);
        if ((stan->engine.events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            err = client_receive(stan, client);
        if (err == ERR_OK)
            err = fill(stan, client);
    }
    return err;
}

static enum err stall_check(struct stan *stan)
{
    uint64_t mark = stan->acknowledged + stan->delivered;
    if (mark != stan->progress_mark) {
        stan->progress_mark = mark;
        stan->progress_ns = stan->engine.now_ns;
        return ERR_OK;
    }
    if (stan->engine.now_ns - stan->progress_ns <= stan->options->timeout_ns)
        return ERR_OK;
    return failure_set(
        stan->failure, ERR_SYSTEM,
        "waited too long: %llu messages sent, %llu acknowledged, %llu of %llu deliveries received",
        (unsigned long long)stan->sent, (unsigned long long)stan->acknowledged,
        (unsigned long long)stan->delivered, (unsigned long long)stan->due);
}

/* ---- a client ---- */

/* A free slot is a message to send, as long as the socket takes them. */
static enum err fill(struct stan *stan, struct stan_client *client)
{
    const struct options *options = stan->options;
    bool publisher = client->connection.role == ROLE_PUBLISHER;
    enum err err = ERR_OK;
    /* When the time is over the goal is what was sent: nothing may follow, or it would come behind the
     * goodbye. */
    while (publisher && err == ERR_OK && client->free_count > 0 && stan->engine.now_ns < stan->end_ns &&
           stan->sent < stan->goal && client->connection.output.count < OUTPUT_BYTES_MAX &&
           (stan->goal == UINT64_MAX || client->number < stan->goal)) {
        uint32_t slot = client->free_slots[--client->free_count];
        client->sent_ns[slot] = stan->engine.now_ns;
        stan->sent++;
        if (stan->subscriber_count > 0)
            stan->due += frames_fan_out(options, client->number % options->subjects);
        err = stan_publish(client, &stan->host, slot);
    }
    return err == ERR_OK ? client_send(stan, client) : err;
}

static enum err client_send(struct stan *stan, struct stan_client *client)
{
    struct connection *connection = &client->connection;
    enum err err = connection_flush(connection, stan->failure);
    return err == ERR_OK
               ? engine_watch(&stan->engine, connection, connection->output.count > 0, stan->failure)
               : err;
}

static enum err client_receive(struct stan *stan, struct stan_client *client)
{
    struct scan_input input = {0};
    struct scan_event event = {0};
    enum err err = connection_receive(&client->connection, &stan->engine, &input, stan->failure);
    stan->engine.now_ns = clock_monotonic_ns(); /* one reading for all of this read() */
    while (err == ERR_OK) {
        enum scan_result result = scanner_next(&client->connection.scanner, &input, &event);
        if (result == SCAN_MORE)
            return ERR_OK;
        err = LIKELY(result == SCAN_MESSAGE)
                  ? message_take(stan, client, &event)
                  : connection_control(&client->connection, result, &event, stan->failure);
    }
    return err;
}

static enum err message_take(struct stan *stan, struct stan_client *client, const struct scan_event *event)
{
    if (event->header_bytes > 0 && bytes_start_with(event->head, TEXT("NATS/1.0 503")))
        return failure_set(stan->failure, ERR_NOT_FOUND, "no streaming server with the id %s is there",
                           stan->options->cluster_id);
    bool ours = event->subject.count == client->inbox_count + 1 &&
                bytes_start_with(event->subject, bytes_of(client->inbox, client->inbox_count));
    switch (ours ? event->subject.data[client->inbox_count] : '\0') {
    case STAN_ACKNOWLEDGED:
        return acknowledged(stan, client, event);
    case STAN_DELIVERED:
        return delivered(stan, client, event);
    case STAN_HEARTBEAT:
        return connection_print(&client->connection, stan->failure, "PUB %.*s 0\r\n\r\n",
                                BYTES_PRINTF(event->reply));
    case STAN_ANSWER:
        return stan_client_answer(client, &stan->host, stan->step, event->head);
    default:
        return failure_set(stan->failure, ERR_INVALID, "a message came that nobody waits for, on %.*s",
                           BYTES_PRINTF(event->subject));
    }
}

/* An acknowledgement frees its slot. */
static enum err acknowledged(struct stan *stan, struct stan_client *client, const struct scan_event *event)
{
    uint32_t slot = 0;
    enum err err = stan_slot_of(&stan->host, event, &slot);
    if (err != ERR_OK)
        return err;
    if (slot >= slot_count(stan->options) || client->sent_ns == NULL || client->sent_ns[slot] == 0)
        return failure_set(stan->failure, ERR_INVALID, "a message was acknowledged twice");
    int64_t taken_ns = stan->engine.now_ns - client->sent_ns[slot];
    histogram_record(&stan->latency, taken_ns > 0 ? (uint64_t)taken_ns : 0);
    client->sent_ns[slot] = 0;
    client->free_slots[client->free_count++] = slot;
    stan->acknowledged++;
    return ERR_OK;
}

/* Sequences come one after the other; a member of a queue group gets some of them, in order too. */
static enum err delivered(struct stan *stan, struct stan_client *client, const struct scan_event *event)
{
    uint64_t sequence = 0, size_bytes = 0;
    enum err err = stan_message_read(&stan->host, event, &sequence, &size_bytes);
    if (err != ERR_OK)
        return err;
    bool follows = client->sequence == 0 || (stan->options->queue == NULL ? sequence == client->sequence + 1
                                                                          : sequence > client->sequence);
    if (!follows)
        return failure_set(stan->failure, ERR_INVALID, "message %llu of %s came behind message %llu",
                           (unsigned long long)sequence, client->channel,
                           (unsigned long long)client->sequence);
    if (stan->options->command == COMMAND_STAN && size_bytes != stan->options->size_bytes)
        return failure_set(stan->failure, ERR_INVALID, "a message of %llu bytes came where all have %llu",
                           (unsigned long long)size_bytes, (unsigned long long)stan->options->size_bytes);
    client->sequence = sequence;
    stan->delivered++;
    return stan_acknowledge(client, &stan->host, sequence);
}

static void stan_report(const struct stan *stan, const struct measure *measure, struct report *report)
{
    const struct options *options = stan->options;
    report_add_text(report, "command", options_command_name(options->command));
    report_add_text(report, "server", stan->version);
    report_add_count(report, "size_bytes", options->size_bytes);
    report_add_count(report, "publishers", stan->publisher_count);
    report_add_count(report, "subscribers", stan->subscriber_count);
    report_add_count(report, "subjects", options->subjects);
    if (stan->publisher_count > 0)
        report_add_count(report, "in_flight", slot_count(options));
    if (stan->subscriber_count > 0)
        report_add_count(report, "max_in_flight", options->max_in_flight);
    report_add_count(report, "messages", stan->acknowledged);
    report_add_count(report, "deliveries", stan->delivered);
    measure_report(measure, report, stan->acknowledged, stan->delivered);
    report_add_latency(report, &stan->latency);
}
