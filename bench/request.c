/* bench/request.c - requesters and repliers on one epoll behind request.h.
 *
 * A requester has `in_flight` slots. The last token of a request's reply subject is its slot's number, so a
 * reply finds its slot without a search, and a reply that no slot waits for is noticed. */
#include "bench/request.h"

#include "bench/connection.h"
#include "bench/frames.h"
#include "bench/measure.h"
#include "bench/progress.h"
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/random.h"

#include <sys/prctl.h>

enum {
    SLOT_DIGITS = 7, /* OPTION_IN_FLIGHT_MAX - 1 has six */
    INBOX_BYTES = 64,
    PACED_IN_FLIGHT = 10000,
    /* Replies that a server does not take. At the bound the replier stops reading requests until they are
       gone. */
    REPLIES_BYTES_MAX = 4 * 1024 * 1024,
    TURN_NS = 100 * 1000 * 1000,
    SPIN_NS = 30 * 1000, /* as in traffic.c */
};

enum role { ROLE_REQUESTER, ROLE_REPLIER };

struct requester {
    struct connection connection; /* first: events point to it */
    char inbox[INBOX_BYTES];      /* up to the slot's number */
    uint8_t *frame;               /* a whole request; subject and slot are put in each time */
    size_t frame_bytes;
    size_t slot_offset;   /* in the frame */
    int64_t *due_ns;      /* per slot: when its request was due; 0: free */
    uint32_t *free_slots; /* a stack */
    uint64_t free_count;
};

struct replier {
    struct connection connection; /* first: events point to it */
};

struct exchange {
    const struct options *options;
    struct failure *failure;
    struct engine engine;
    struct requester *requesters;
    struct replier *repliers;
    uint8_t *payload; /* of replies, CR LF behind it */
    uint64_t requester_count;
    uint64_t replier_count;
    uint64_t in_flight; /* per requester */
    /* This phase: */
    uint64_t goal; /* UINT64_MAX: until end_ns */
    uint64_t requests;
    uint64_t replies;  /* received by requesters */
    uint64_t answered; /* by repliers */
    int64_t start_ns;
    int64_t end_ns;
    uint64_t progress_mark;
    int64_t progress_ns;
    struct progress progress;
    struct histogram latency;
    char version[32];
};

static enum err exchange_new(struct exchange **exchange, const struct options *options,
                             struct failure *failure);
static void exchange_free(struct exchange *exchange);
static enum err exchange_open(struct exchange *exchange);
static enum err requester_open(struct exchange *exchange, struct requester *requester, uint64_t index,
                               const char *run);
static enum err requester_frame(struct exchange *exchange, struct requester *requester);
static enum err replier_open(struct exchange *exchange, struct replier *replier, uint64_t index);
static enum err connection_barrier(struct exchange *exchange, struct connection *connection);
static enum err exchange_phase(struct exchange *exchange, uint64_t requests, int64_t duration_ns);
static enum err exchange_turn(struct exchange *exchange, int64_t timeout_ns);
static enum err stall_check(struct exchange *exchange);
static int64_t request_due_ns(const struct exchange *exchange, uint64_t request);
static int64_t turn_timeout_ns(const struct exchange *exchange);
static enum err paced_send(struct exchange *exchange);
static enum err request_append(struct exchange *exchange, struct requester *requester, int64_t due_ns);
static enum err connection_send(struct exchange *exchange, struct connection *connection);
static enum err requester_fill(struct exchange *exchange, struct requester *requester);
static enum err reply_take(struct exchange *exchange, struct requester *requester,
                           const struct scan_event *event);
static enum err request_answer(struct exchange *exchange, struct replier *replier,
                               const struct scan_event *event);
static enum err exchange_receive(struct exchange *exchange, struct connection *connection);
static void exchange_report(const struct exchange *exchange, const struct measure *measure,
                            struct report *report);

enum err request_run(const struct options *options, struct report *report, struct failure *failure)
{
    struct exchange *exchange = NULL;
    struct measure measure = {0};
    enum err err = exchange_new(&exchange, options, failure);
    if (err == ERR_OK && options->warmup > 0) {
        err = exchange_phase(exchange, options->warmup, 0);
        exchange->latency = (struct histogram){0};
    }
    if (err == ERR_OK)
        err = measure_start(&measure, options->pid, failure);
    if (err == ERR_OK)
        err = exchange_phase(exchange, options->messages, options->duration_ns);
    if (err == ERR_OK)
        err = measure_stop(&measure, failure);
    if (err == ERR_OK)
        exchange_report(exchange, &measure, report);
    exchange_free(exchange);
    return err;
}

enum err reply_run(const struct options *options, struct report *report, struct failure *failure)
{
    struct exchange *exchange = NULL;
    struct measure measure = {0};
    enum err err = exchange_new(&exchange, options, failure);
    if (err == ERR_OK)
        err = measure_start(&measure, options->pid, failure);
    int64_t end_ns = options->duration_ns > 0 ? clock_monotonic_ns() + options->duration_ns : INT64_MAX;
    uint64_t goal = options->messages_given ? options->messages : UINT64_MAX;
    while (err == ERR_OK && !exchange->engine.interrupted && exchange->answered < goal &&
           exchange->engine.now_ns < end_ns) {
        int64_t left_ns = end_ns - exchange->engine.now_ns;
        err = exchange_turn(exchange, left_ns < TURN_NS ? left_ns : TURN_NS);
    }
    /* The last answers may still wait for the socket. */
    int64_t patience_ns = err == ERR_OK ? exchange->engine.now_ns + options->timeout_ns : 0;
    for (uint64_t i = 0; err == ERR_OK && i < exchange->replier_count; i++)
        while (err == ERR_OK && exchange->repliers[i].connection.output.count > 0 &&
               exchange->engine.now_ns < patience_ns)
            err = exchange_turn(exchange, TURN_NS);
    if (err == ERR_OK)
        err = measure_stop(&measure, failure);
    if (err == ERR_OK)
        exchange_report(exchange, &measure, report);
    exchange_free(exchange);
    return err;
}

/* On error *exchange may be NULL. */
static enum err exchange_new(struct exchange **exchange, const struct options *options,
                             struct failure *failure)
{
    struct exchange *x = memory_new(sizeof(*x));
    *exchange = x;
    if (x == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    x->options = options;
    x->failure = failure;
    x->in_flight = options->in_flight > 0 ? options->in_flight : options->rate > 0 ? PACED_IN_FLIGHT : 1;
    uint64_t requesters = options->command == COMMAND_REQUEST ? options->publishers : 0;
    x->requesters = memory_new(requesters * sizeof(*x->requesters));
    x->repliers = memory_new(options->subscribers * sizeof(*x->repliers));
    x->payload = memory_new(options->size_bytes + 2);
    if (x->requesters == NULL || x->repliers == NULL || x->payload == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    x->requester_count = requesters;
    x->replier_count = options->subscribers;
    memset(x->payload, 'y', options->size_bytes);
    x->payload[options->size_bytes] = '\r';
    x->payload[options->size_bytes + 1] = '\n';
    for (uint64_t i = 0; i < x->requester_count; i++)
        connection_init(&x->requesters[i].connection);
    for (uint64_t i = 0; i < x->replier_count; i++)
        connection_init(&x->repliers[i].connection);
    enum err err = engine_init(&x->engine, failure);
    if (err == ERR_OK)
        err = connection_limit_raise(x->requester_count + x->replier_count, failure);
    return err == ERR_OK ? exchange_open(x) : err;
}

static void exchange_free(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    progress_end(&exchange->progress);
    for (uint64_t i = 0; i < exchange->requester_count; i++) {
        struct requester *requester = &exchange->requesters[i];
        connection_close(&requester->connection);
        memory_free(requester->frame);
        memory_free(requester->due_ns);
        memory_free(requester->free_slots);
    }
    for (uint64_t i = 0; i < exchange->replier_count; i++)
        connection_close(&exchange->repliers[i].connection);
    engine_close(&exchange->engine);
    memory_free(exchange->requesters);
    memory_free(exchange->repliers);
    memory_free(exchange->payload);
    memory_free(exchange);
}

static enum err exchange_open(struct exchange *exchange)
{
    uint64_t number = 0;
    char run[17];
    if (random_secure(&number, sizeof(number)) != ERR_OK)
        return failure_set(exchange->failure, ERR_SYSTEM, "the kernel has no random bytes");
    (void)snprintf(run, sizeof(run), "%016llx", (unsigned long long)number);
    progress_init(&exchange->progress, exchange->options->quiet, clock_monotonic_ns());
    if (exchange->options->rate > 0)
        (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* refused: wakes up to 50 us later, no harm */
    uint64_t most = exchange->requester_count > exchange->replier_count ? exchange->requester_count
                                                                        : exchange->replier_count;
    enum err err = ERR_OK;
    for (uint64_t i = 0; i < most && err == ERR_OK; i++) {
        if (i < exchange->requester_count)
            err = requester_open(exchange, &exchange->requesters[i], i, run);
        if (i < exchange->replier_count && err == ERR_OK)
            err = replier_open(exchange, &exchange->repliers[i], i);
    }
    return err;
}

static enum err requester_open(struct exchange *exchange, struct requester *requester, uint64_t index,
                               const char *run)
{
    struct connection *connection = &requester->connection;
    (void)snprintf(requester->inbox, sizeof(requester->inbox), "_INBOX.%s.%llu.", run,
                   (unsigned long long)index);
    requester->due_ns = memory_new(exchange->in_flight * sizeof(*requester->due_ns));
    requester->free_slots = memory_new(exchange->in_flight * sizeof(*requester->free_slots));
    if (requester->due_ns == NULL || requester->free_slots == NULL)
        return failure_set(exchange->failure, ERR_MEMORY, "out of memory");
    for (uint64_t slot = exchange->in_flight; slot-- > 0;)
        requester->free_slots[requester->free_count++] = (uint32_t)slot;
    enum err err = requester_frame(exchange, requester);
    if (err == ERR_OK)
        err = connection_open(connection, exchange->options, exchange->version, sizeof(exchange->version),
                              exchange->failure);
    connection->role = ROLE_REQUESTER;
    if (err == ERR_OK)
        err = connection_print(connection, exchange->failure, "SUB %s* 1\r\n", requester->inbox);
    return err == ERR_OK ? connection_barrier(exchange, connection) : err;
}

/* PUB subject inbox0000000 size, and the payload. */
static enum err requester_frame(struct exchange *exchange, struct requester *requester)
{
    const struct options *options = exchange->options;
    char subject[FRAMES_SUBJECT_BYTES];
    char line[FRAMES_SUBJECT_BYTES + INBOX_BYTES + 64];
    frames_subject(subject, options, 0);
    requester->slot_offset = strlen("PUB ") + strlen(subject) + 1 + strlen(requester->inbox);
    int count = snprintf(line, sizeof(line), "PUB %s %s%0*d %llu\r\n", subject, requester->inbox, SLOT_DIGITS,
                         0, (unsigned long long)options->size_bytes);
    ASSERT(count > 0 && (size_t)count < sizeof(line));
    requester->frame_bytes = (size_t)count + options->size_bytes + 2;
    requester->frame = memory_new(requester->frame_bytes);
    if (requester->frame == NULL)
        return failure_set(exchange->failure, ERR_MEMORY, "out of memory");
    memcpy(requester->frame, line, (size_t)count);
    memset(requester->frame + count, 'x', options->size_bytes);
    requester->frame[requester->frame_bytes - 2] = '\r';
    requester->frame[requester->frame_bytes - 1] = '\n';
    return ERR_OK;
}

/* Several repliers of one subject share its requests: without --queue they are a group of their own. */
static enum err replier_open(struct exchange *exchange, struct replier *replier, uint64_t index)
{
    const struct options *options = exchange->options;
    struct connection *connection = &replier->connection;
    char subject[FRAMES_SUBJECT_BYTES];
    frames_subject(subject, options, index % options->subjects);
    enum err err =
        connection_open(connection, options, exchange->version, sizeof(exchange->version), exchange->failure);
    connection->role = ROLE_REPLIER;
    if (err == ERR_OK && (options->queue != NULL || options->subscribers > options->subjects))
        err = connection_print(connection, exchange->failure, "SUB %s %s 1\r\n", subject,
                               options->queue == NULL ? "myelin-bench" : options->queue);
    else if (err == ERR_OK)
        err = connection_print(connection, exchange->failure, "SUB %s 1\r\n", subject);
    return err == ERR_OK ? connection_barrier(exchange, connection) : err;
}

static enum err connection_barrier(struct exchange *exchange, struct connection *connection)
{
    enum err err = connection_ping(connection, exchange->failure);
    if (err == ERR_OK)
        err = connection_send(exchange, connection);
    int64_t end_ns = clock_monotonic_ns() + exchange->options->timeout_ns;
    while (err == ERR_OK && connection->pongs_expected > 0) {
        err = exchange_turn(exchange, TURN_NS);
        if (err == ERR_OK && exchange->engine.now_ns > end_ns)
            err = failure_set(exchange->failure, ERR_SYSTEM, "the server does not answer PING");
    }
    return err;
}

static enum err exchange_phase(struct exchange *x, uint64_t requests, int64_t duration_ns)
{
    x->goal = duration_ns > 0 ? UINT64_MAX : requests;
    x->requests = x->replies = x->answered = 0;
    x->start_ns = x->progress_ns = x->engine.now_ns = clock_monotonic_ns();
    x->end_ns = duration_ns > 0 ? x->start_ns + duration_ns : INT64_MAX;
    enum err err = ERR_OK;
    for (uint64_t i = 0; i < x->requester_count && x->options->rate == 0 && err == ERR_OK; i++)
        err = requester_fill(x, &x->requesters[i]);
    while (err == ERR_OK && x->replies < x->goal) {
        err = exchange_turn(x, turn_timeout_ns(x));
        if (err == ERR_OK && x->options->rate > 0)
            err = paced_send(x);
        if (err == ERR_OK && x->engine.now_ns >= x->end_ns) {
            x->end_ns = INT64_MAX;
            x->goal = x->requests;
        }
        if (err == ERR_OK)
            err = stall_check(x);
        progress_show(&x->progress, x->engine.now_ns,
                      duration_ns > 0 ? (double)(x->engine.now_ns - x->start_ns) : (double)x->replies,
                      duration_ns > 0 ? (double)duration_ns : (double)requests);
    }
    return err;
}

static enum err exchange_turn(struct exchange *exchange, int64_t timeout_ns)
{
    enum err err = engine_wait(&exchange->engine, timeout_ns, exchange->failure);
    for (int i = 0; i < exchange->engine.event_count && err == ERR_OK; i++) {
        struct connection *connection = exchange->engine.events[i].data.ptr;
        if ((exchange->engine.events[i].events & ~(uint32_t)EPOLLOUT) != 0 && !connection->paused)
            err = exchange_receive(exchange, connection);
        if (err == ERR_OK && connection->role == ROLE_REQUESTER && exchange->options->rate == 0)
            err = requester_fill(exchange, CONTAINER_OF(connection, struct requester, connection));
        if (err == ERR_OK)
            err = connection_send(exchange, connection);
    }
    return err;
}

static enum err exchange_receive(struct exchange *exchange, struct connection *connection)
{
    struct scan_input input = {0};
    struct scan_event event = {0};
    enum err err = connection_receive(connection, &exchange->engine, &input, exchange->failure);
    exchange->engine.now_ns = clock_monotonic_ns(); /* one reading for all replies of this read() */
    while (err == ERR_OK) {
        enum scan_result result = scanner_next(&connection->scanner, &input, &event);
        if (result == SCAN_MORE)
            return ERR_OK;
        if (result != SCAN_MESSAGE)
            err = connection_control(connection, result, &event, exchange->failure);
        else if (connection->role == ROLE_REQUESTER)
            err = reply_take(exchange, CONTAINER_OF(connection, struct requester, connection), &event);
        else
            err = request_answer(exchange, CONTAINER_OF(connection, struct replier, connection), &event);
    }
    return err;
}

static enum err stall_check(struct exchange *exchange)
{
    if (exchange->engine.interrupted)
        return failure_set(exchange->failure, ERR_SYSTEM, "interrupted after %llu replies to %llu requests",
                           (unsigned long long)exchange->replies, (unsigned long long)exchange->requests);
    uint64_t mark = exchange->replies + exchange->requests;
    uint64_t rate = exchange->options->rate;
    int64_t patience_ns = exchange->options->timeout_ns + (rate > 0 ? NS_PER_SECOND / (int64_t)rate : 0);
    if (mark != exchange->progress_mark) {
        exchange->progress_mark = mark;
        exchange->progress_ns = exchange->engine.now_ns;
        return ERR_OK;
    }
    if (exchange->engine.now_ns - exchange->progress_ns <= patience_ns)
        return ERR_OK;
    return failure_set(exchange->failure, ERR_SYSTEM, "waited too long for a reply: %llu of %llu came",
                       (unsigned long long)exchange->replies, (unsigned long long)exchange->requests);
}

static int64_t request_due_ns(const struct exchange *exchange, uint64_t request)
{
    uint64_t rate = exchange->options->rate;
    return exchange->start_ns + (int64_t)(request / rate) * NS_PER_SECOND +
           (int64_t)(request % rate * (uint64_t)NS_PER_SECOND / rate);
}

static int64_t turn_timeout_ns(const struct exchange *exchange)
{
    ASSERT(exchange->requester_count > 0); /* phases are for request, which has at least one */
    int64_t until_ns = exchange->engine.now_ns + TURN_NS;
    if (exchange->options->rate > 0 && exchange->requests < exchange->goal &&
        exchange->requesters[exchange->requests % exchange->requester_count].free_count > 0) {
        int64_t due_ns = request_due_ns(exchange, exchange->requests);
        until_ns = due_ns < until_ns ? due_ns : until_ns;
    }
    until_ns = exchange->end_ns < until_ns ? exchange->end_ns : until_ns;
    int64_t left_ns = until_ns - exchange->engine.now_ns;
    return left_ns < SPIN_NS ? 0 : left_ns;
}

/* All that is due by now, in turn over the requesters. Without a free slot a request waits; it stays due
 * since its own time. */
static enum err paced_send(struct exchange *exchange)
{
    uint64_t first = exchange->requests;
    enum err err = ERR_OK;
    while (err == ERR_OK && exchange->requests < exchange->goal &&
           exchange->engine.now_ns < exchange->end_ns) {
        struct requester *requester = &exchange->requesters[exchange->requests % exchange->requester_count];
        int64_t due_ns = request_due_ns(exchange, exchange->requests);
        if (due_ns > exchange->engine.now_ns || requester->free_count == 0)
            break;
        err = request_append(exchange, requester, due_ns);
    }
    uint64_t appended = exchange->requests - first;
    uint64_t touched = appended < exchange->requester_count ? appended : exchange->requester_count;
    for (uint64_t i = 0; i < touched && err == ERR_OK; i++)
        err = connection_send(exchange,
                              &exchange->requesters[(first + i) % exchange->requester_count].connection);
    return err;
}

/* Closed loop: a free slot is a request to send. */
static enum err requester_fill(struct exchange *exchange, struct requester *requester)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && requester->free_count > 0 && exchange->requests < exchange->goal)
        err = request_append(exchange, requester, exchange->engine.now_ns);
    return err == ERR_OK ? connection_send(exchange, &requester->connection) : err;
}

static enum err request_append(struct exchange *exchange, struct requester *requester, int64_t due_ns)
{
    const struct options *options = exchange->options;
    uint32_t slot = requester->free_slots[requester->free_count - 1];
    uint8_t *at = connection_reserve(&requester->connection, requester->frame_bytes);
    if (at == NULL)
        return failure_set(exchange->failure, ERR_MEMORY, "out of memory");
    memcpy(at, requester->frame, requester->frame_bytes);
    if (options->subjects > 1) {
        char subject[FRAMES_SUBJECT_BYTES];
        frames_subject(subject, options, exchange->requests % options->subjects);
        memcpy(at + strlen("PUB "), subject, strlen(subject));
    }
    uint32_t rest = slot;
    for (size_t digit = SLOT_DIGITS; digit-- > 0; rest /= 10)
        at[requester->slot_offset + digit] = (uint8_t)('0' + rest % 10);
    requester->free_count--;
    requester->due_ns[slot] = due_ns;
    exchange->requests++;
    return ERR_OK;
}

/* A reply frees its slot. */
static enum err reply_take(struct exchange *exchange, struct requester *requester,
                           const struct scan_event *event)
{
    if (event->header_bytes > 0 && bytes_start_with(event->head, TEXT("NATS/1.0 503")))
        return failure_set(exchange->failure, ERR_NOT_FOUND, "nobody answers requests on %s",
                           exchange->options->subject);
    uint64_t slot = 0;
    bool ours = event->subject.count == strlen(requester->inbox) + SLOT_DIGITS;
    for (size_t i = ours ? event->subject.count - SLOT_DIGITS : 0; ours && i < event->subject.count; i++) {
        ours = event->subject.data[i] >= '0' && event->subject.data[i] <= '9';
        slot = slot * 10 + (uint64_t)(event->subject.data[i] - '0');
    }
    if (!ours || slot >= exchange->in_flight || requester->due_ns[slot] == 0)
        return failure_set(exchange->failure, ERR_INVALID, "a reply came that nobody waits for, on %.*s",
                           BYTES_PRINTF(event->subject));
    int64_t taken_ns = exchange->engine.now_ns - requester->due_ns[slot];
    histogram_record(&exchange->latency, taken_ns > 0 ? (uint64_t)taken_ns : 0);
    requester->due_ns[slot] = 0;
    requester->free_slots[requester->free_count++] = (uint32_t)slot;
    exchange->replies++;
    return ERR_OK;
}

static enum err request_answer(struct exchange *exchange, struct replier *replier,
                               const struct scan_event *event)
{
    struct connection *connection = &replier->connection;
    if (event->reply.count == 0)
        return ERR_OK; /* no request: someone publishes on the same subject */
    enum err err =
        connection_print(connection, exchange->failure, "PUB %.*s %llu\r\n", BYTES_PRINTF(event->reply),
                         (unsigned long long)exchange->options->size_bytes);
    if (err != ERR_OK)
        return err;
    size_t count = exchange->options->size_bytes + 2;
    uint8_t *at = connection_reserve(connection, count);
    if (at == NULL)
        return failure_set(exchange->failure, ERR_MEMORY, "out of memory");
    memcpy(at, exchange->payload, count);
    exchange->answered++;
    return ERR_OK;
}

static enum err connection_send(struct exchange *exchange, struct connection *connection)
{
    enum err err = connection_flush(connection, exchange->failure);
    connection->paused = connection->role == ROLE_REPLIER && connection->output.count > REPLIES_BYTES_MAX;
    if (err == ERR_OK)
        err = engine_watch(&exchange->engine, connection, connection->output.count > 0, exchange->failure);
    return err;
}

static void exchange_report(const struct exchange *exchange, const struct measure *measure,
                            struct report *report)
{
    const struct options *options = exchange->options;
    bool asks = options->command == COMMAND_REQUEST;
    report_add_text(report, "command", options_command_name(options->command));
    report_add_text(report, "server", exchange->version);
    report_add_count(report, "size_bytes", options->size_bytes);
    report_add_count(report, "publishers", exchange->requester_count);
    report_add_count(report, "subscribers", exchange->replier_count);
    report_add_count(report, "subjects", options->subjects);
    if (asks)
        report_add_count(report, "in_flight", exchange->in_flight);
    if (options->rate > 0)
        report_add_count(report, "rate_per_s", options->rate);
    uint64_t messages = asks ? exchange->replies : exchange->answered;
    report_add_count(report, "messages", messages);
    measure_report(measure, report, messages, 0);
    report_add_latency(report, &exchange->latency);
}
