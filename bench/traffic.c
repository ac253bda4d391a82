/* bench/traffic.c - publishers and subscribers on one epoll behind traffic.h. publisher_write() and
 * subscriber_receive() are the hot path. */
#include "bench/traffic.h"

#include "bench/connection.h"
#include "bench/frames.h"
#include "bench/measure.h"
#include "bench/progress.h"
#include "bench/relay.h"
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* Deliveries that are under way, in bytes over all subscribers. Half of the 64 MiB that a server lets one
     * of them fall behind, so even if one gets all the rest, it is not cut off as a slow consumer; and far
     * more than all socket buffers, so that the server never waits for us. At the bound publishers pause. */
    WINDOW_BYTES = 32 * 1024 * 1024,
    /* A paced publisher's frames that the socket did not take. At the bound no more are made; they stay due
     * since their own time, so their latency grows as it should. */
    PACED_BYTES_MAX = 1024 * 1024,
    STAMP_BYTES = 8, /* at the start of a paced payload: when it was due, in our own clock's nanoseconds */
    TURN_NS = 100 * 1000 * 1000,
};

/* Sleeping is not exact to less than this; below it the generator spins. */
#define SPIN_NS (30 * 1000)

enum role { ROLE_PUBLISHER, ROLE_SUBSCRIBER };

enum publisher_state { PUBLISHER_SENDING, PUBLISHER_BARRIER, PUBLISHER_DONE };

struct publisher {
    struct connection connection; /* first: events point to it */
    enum publisher_state state;
    const struct frames *frames;
    uint64_t bytes_sent; /* of this phase */
    uint64_t bytes_goal;
    uint64_t messages_sent; /* begun, so counted into traffic.due */
};

struct subscriber {
    struct connection connection; /* first: events point to it */
    uint64_t delivered;           /* in this phase */
};

struct traffic {
    const struct options *options;
    struct failure *failure;
    struct engine engine;
    struct relay relay; /* relay-floor only */
    struct publisher *publishers;
    struct subscriber *subscribers;
    struct frames *frames; /* publisher j uses frames[j % frames_count] */
    uint64_t publisher_count;
    uint64_t subscriber_count;
    uint64_t frames_count;
    uint64_t window; /* WINDOW_BYTES in deliveries */
    bool window_open;
    bool stamped;
    /* This phase: */
    uint64_t messages_goal; /* UINT64_MAX: until end_ns */
    uint64_t messages_sent;
    uint64_t due; /* deliveries of what was sent */
    uint64_t delivered;
    uint64_t publishers_done;
    int64_t start_ns;
    int64_t end_ns; /* INT64_MAX: until messages_goal */
    uint64_t progress_mark;
    int64_t progress_ns; /* when progress_mark last moved */
    struct progress progress;
    struct histogram latency;
    char version[32];
};

static enum err traffic_open(struct traffic *traffic);
static enum err traffic_connect(struct traffic *traffic);
static enum err traffic_connect_one(struct traffic *traffic, struct connection *connection, enum role role,
                                    const int *relay_fds, uint64_t i);
static void traffic_close(struct traffic *traffic);
static enum err traffic_subscribe(struct traffic *traffic);
static enum err traffic_barrier(struct traffic *traffic);
static void deliveries_forget(struct traffic *traffic);
static enum err traffic_phase(struct traffic *traffic, uint64_t messages, int64_t duration_ns);
static enum err phase_turn(struct traffic *traffic, int64_t timeout_ns);
static enum err phase_check(struct traffic *traffic, uint64_t messages);
static bool phase_done(const struct traffic *traffic);
static void phase_stop_sending(struct traffic *traffic);
static enum err stall_check(struct traffic *traffic, const char *what);
static int64_t turn_timeout_ns(const struct traffic *traffic);
static int64_t paced_due_ns(const struct traffic *traffic, uint64_t message);
static enum err paced_send(struct traffic *traffic);
static enum err paced_append(struct traffic *traffic, struct publisher *publisher, int64_t due_ns);
static enum err publisher_write(struct traffic *traffic, struct publisher *publisher);
static enum err publisher_blast(struct traffic *traffic, struct publisher *publisher);
static enum err publisher_advance(struct traffic *traffic, struct publisher *publisher);
static enum err publisher_receive(struct traffic *traffic, struct publisher *publisher);
static enum err publishers_wake(struct traffic *traffic);
static void publisher_count_due(struct traffic *traffic, struct publisher *publisher);
static enum err subscriber_receive(struct traffic *traffic, struct subscriber *subscriber);
static enum err delivery_count(struct traffic *traffic, struct subscriber *subscriber,
                               const struct scan_event *event);
static void traffic_report(const struct traffic *traffic, const struct measure *measure,
                           struct report *report);

enum err traffic_run(const struct options *options, struct report *report, struct failure *failure)
{
    struct traffic *traffic = memory_new(sizeof(*traffic));
    if (traffic == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    traffic->options = options;
    traffic->failure = failure;
    struct measure measure = {0};
    enum err err = traffic_open(traffic);
    if (err == ERR_OK)
        err = traffic_subscribe(traffic);
    if (err == ERR_OK && options->warmup > 0) {
        err = traffic_phase(traffic, options->warmup, 0);
        deliveries_forget(traffic);
    }
    if (err == ERR_OK)
        err = measure_start(&measure, traffic->relay.pid > 0 ? (uint64_t)traffic->relay.pid : options->pid,
                            failure);
    if (err == ERR_OK)
        err = traffic_phase(traffic, options->messages, options->duration_ns);
    if (err == ERR_OK)
        err = measure_stop(&measure, failure);
    if (err == ERR_OK && options->command != COMMAND_RELAY_FLOOR && options->command != COMMAND_SUB) {
        err = traffic_barrier(traffic); /* a message delivered twice would be there by now */
        if (err == ERR_OK && traffic->delivered != traffic->due)
            err = failure_set(failure, ERR_INVALID, "%llu deliveries of %llu messages that called for %llu",
                              (unsigned long long)traffic->delivered,
                              (unsigned long long)traffic->messages_sent, (unsigned long long)traffic->due);
    }
    if (err == ERR_OK)
        traffic_report(traffic, &measure, report);
    progress_end(&traffic->progress);
    traffic_close(traffic);
    return err;
}

static enum err traffic_open(struct traffic *t)
{
    const struct options *options = t->options;
    bool relayed = options->command == COMMAND_RELAY_FLOOR;
    t->publisher_count = options->command == COMMAND_SUB ? 0 : options->publishers;
    t->subscriber_count = options->command == COMMAND_PUB ? 0 : options->subscribers;
    t->frames_count = t->publisher_count < options->subjects ? t->publisher_count : options->subjects;
    t->stamped = options->rate > 0 && !options->headers && options->size_bytes >= STAMP_BYTES;
    t->publishers = memory_new(t->publisher_count * sizeof(*t->publishers));
    t->subscribers = memory_new(t->subscriber_count * sizeof(*t->subscribers));
    t->frames = memory_new(t->frames_count * sizeof(*t->frames));
    if (t->publishers == NULL || t->subscribers == NULL || t->frames == NULL) {
        t->publisher_count = t->publishers == NULL ? 0 : t->publisher_count;
        t->subscriber_count = t->subscribers == NULL ? 0 : t->subscriber_count;
        t->frames_count = t->frames == NULL ? 0 : t->frames_count;
    }
    for (uint64_t i = 0; i < t->publisher_count; i++)
        connection_init(&t->publishers[i].connection);
    for (uint64_t i = 0; i < t->subscriber_count; i++)
        connection_init(&t->subscribers[i].connection);
    if (t->publishers == NULL || t->subscribers == NULL || t->frames == NULL)
        return failure_set(t->failure, ERR_MEMORY, "out of memory");

    enum err err = engine_init(&t->engine, t->failure);
    if (err == ERR_OK)
        err = connection_limit_raise((t->publisher_count + t->subscriber_count) * (relayed ? 4 : 1),
                                     t->failure);
    for (uint64_t i = 0; i < t->frames_count && err == ERR_OK; i++)
        err = frames_init(&t->frames[i], options, relayed ? FRAMES_MSG : FRAMES_PUB, i, t->failure);
    if (err == ERR_OK && relayed)
        err = relay_start(&t->relay, t->publisher_count, t->subscriber_count, t->failure);
    if (err == ERR_OK)
        err = traffic_connect(t);
    t->window = t->frames_count > 0 ? WINDOW_BYTES / t->frames[0].frame_bytes : 1;
    t->window = t->window > 0 ? t->window : 1;
    if (options->rate > 0)
        (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* refused: wakes up to 50 us later, no harm */
    progress_init(&t->progress, options->quiet, t->engine.now_ns);
    return err;
}

/* Publisher and subscriber are connected in turn: a server that spreads connections over its threads in order
 * of arrival puts the first publisher and the first subscriber on different ones. */
static enum err traffic_connect(struct traffic *t)
{
    uint64_t most = t->publisher_count > t->subscriber_count ? t->publisher_count : t->subscriber_count;
    enum err err = ERR_OK;
    for (uint64_t i = 0; i < most && err == ERR_OK; i++) {
        if (i < t->publisher_count) {
            struct publisher *publisher = &t->publishers[i];
            ASSERT(t->frames_count > 0); /* as there is a publisher */
            publisher->frames = &t->frames[i % t->frames_count];
            err = traffic_connect_one(t, &publisher->connection, ROLE_PUBLISHER, t->relay.publisher_fds, i);
        }
        if (i < t->subscriber_count && err == ERR_OK) {
            struct subscriber *subscriber = &t->subscribers[i];
            err =
                traffic_connect_one(t, &subscriber->connection, ROLE_SUBSCRIBER, t->relay.subscriber_fds, i);
        }
    }
    return err;
}

/* To the server, or to the relay: then the socket is there already, in relay_fds[i]. */
static enum err traffic_connect_one(struct traffic *t, struct connection *connection, enum role role,
                                    const int *relay_fds, uint64_t i)
{
    enum err err = ERR_OK;
    if (t->relay.pid > 0) {
        int fd = dup(relay_fds[i]);
        err = fd < 0 ? failure_set_errno(t->failure, "the relay cannot be connected")
                     : connection_adopt(connection, fd, t->failure);
    } else {
        err = connection_open(connection, t->options, t->version, sizeof(t->version), t->failure);
    }
    connection->role = role;
    if (role == ROLE_SUBSCRIBER)
        connection->scanner.counting = !t->stamped;
    return err == ERR_OK ? engine_watch(&t->engine, connection, false, t->failure) : err;
}

static void traffic_close(struct traffic *traffic)
{
    relay_stop(&traffic->relay);
    for (uint64_t i = 0; i < traffic->publisher_count; i++)
        connection_close(&traffic->publishers[i].connection);
    for (uint64_t i = 0; i < traffic->subscriber_count; i++)
        connection_close(&traffic->subscribers[i].connection);
    for (uint64_t i = 0; i < traffic->frames_count; i++)
        frames_close(&traffic->frames[i]);
    engine_close(&traffic->engine);
    memory_free(traffic->publishers);
    memory_free(traffic->subscribers);
    memory_free(traffic->frames);
    memory_free(traffic);
}

static enum err traffic_subscribe(struct traffic *traffic)
{
    const struct options *options = traffic->options;
    if (options->command == COMMAND_RELAY_FLOOR)
        return ERR_OK;
    for (uint64_t i = 0; i < traffic->subscriber_count; i++) {
        char subject[FRAMES_SUBJECT_BYTES];
        frames_subject(subject, options, i % options->subjects);
        enum err err = connection_print(
            &traffic->subscribers[i].connection, traffic->failure, "SUB %s %s%s1\r\n", subject,
            options->queue == NULL ? "" : options->queue, options->queue == NULL ? "" : " ");
        if (err != ERR_OK)
            return err;
    }
    return traffic_barrier(traffic);
}

/* PING on every subscriber, until every PONG is there. */
static enum err traffic_barrier(struct traffic *traffic)
{
    traffic->progress_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < traffic->subscriber_count; i++) {
        struct connection *connection = &traffic->subscribers[i].connection;
        enum err err = connection_ping(connection, traffic->failure);
        if (err == ERR_OK)
            err = connection_flush(connection, traffic->failure);
        if (err == ERR_OK)
            err = engine_watch(&traffic->engine, connection, connection->output.count > 0, traffic->failure);
        if (err != ERR_OK)
            return err;
    }
    uint64_t answered = 0; /* subscribers before this one have all their PONGs */
    while (answered < traffic->subscriber_count) {
        if (traffic->subscribers[answered].connection.pongs_expected == 0) {
            traffic->progress_mark++;
            answered++;
            continue;
        }
        enum err err = phase_turn(traffic, TURN_NS);
        if (err == ERR_OK)
            err = stall_check(traffic, "an answer to PING");
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* What was delivered so far belongs to the warm-up. Not at the start of a phase: others may publish to us as
 * soon as the server knows our subscriptions, and that counts. */
static void deliveries_forget(struct traffic *traffic)
{
    traffic->delivered = 0;
    for (uint64_t i = 0; i < traffic->subscriber_count; i++)
        traffic->subscribers[i].delivered = 0;
    traffic->latency = (struct histogram){0};
}

static enum err traffic_phase(struct traffic *t, uint64_t messages, int64_t duration_ns)
{
    const struct options *options = t->options;
    t->messages_goal = duration_ns > 0 ? UINT64_MAX : messages;
    t->messages_sent = t->due = t->publishers_done = 0;
    t->window_open = true;
    t->start_ns = t->progress_ns = t->engine.now_ns = clock_monotonic_ns();
    t->end_ns = duration_ns > 0 ? t->start_ns + duration_ns : INT64_MAX;
    enum err err = ERR_OK;
    for (uint64_t i = 0; i < t->publisher_count; i++) {
        struct publisher *publisher = &t->publishers[i];
        publisher->state = PUBLISHER_SENDING;
        publisher->bytes_sent = publisher->messages_sent = 0;
        publisher->bytes_goal =
            duration_ns > 0 ? UINT64_MAX
                            : frames_of_publisher(options, messages, i) * publisher->frames->frame_bytes;
    }
    if (options->command == COMMAND_SUB)
        for (uint64_t s = 0; s < options->subjects; s++)
            t->due += frames_on_subject(options, messages, s) * frames_fan_out(options, s);
    if (err == ERR_OK)
        err = publishers_wake(t);
    while (err == ERR_OK && !phase_done(t)) {
        err = phase_turn(t, turn_timeout_ns(t));
        if (err == ERR_OK && options->rate > 0)
            err = paced_send(t);
        if (err == ERR_OK && !t->window_open && t->due - t->delivered < t->window / 2) {
            t->window_open = true;
            err = publishers_wake(t);
        }
        if (err == ERR_OK && t->engine.now_ns >= t->end_ns) {
            phase_stop_sending(t);
            err = publishers_wake(t);
        }
        if (err == ERR_OK)
            err = stall_check(t, "a delivery");
        progress_show(&t->progress, t->engine.now_ns,
                      duration_ns > 0 ? (double)(t->engine.now_ns - t->start_ns)
                                      : (double)(t->messages_sent + t->delivered),
                      duration_ns > 0 ? (double)duration_ns : (double)messages + (double)t->due);
    }
    return err == ERR_OK ? phase_check(t, messages) : err;
}

/* One wait, and whatever it brought. */
static enum err phase_turn(struct traffic *traffic, int64_t timeout_ns)
{
    enum err err = engine_wait(&traffic->engine, timeout_ns, traffic->failure);
    for (int i = 0; i < traffic->engine.event_count && err == ERR_OK; i++) {
        uint32_t events = traffic->engine.events[i].events;
        struct connection *connection = traffic->engine.events[i].data.ptr;
        if (connection->role == ROLE_PUBLISHER) {
            struct publisher *publisher = CONTAINER_OF(connection, struct publisher, connection);
            if ((events & ~(uint32_t)EPOLLOUT) != 0)
                err = publisher_receive(traffic, publisher);
            if (err == ERR_OK)
                err = publisher_write(traffic, publisher);
        } else {
            if ((events & ~(uint32_t)EPOLLOUT) != 0)
                err = subscriber_receive(traffic, CONTAINER_OF(connection, struct subscriber, connection));
            if (err == ERR_OK && connection->output.count > 0) {
                err = connection_flush(connection, traffic->failure);
                if (err == ERR_OK)
                    err = engine_watch(&traffic->engine, connection, connection->output.count > 0,
                                       traffic->failure);
            }
        }
    }
    return err;
}

static bool phase_done(const struct traffic *traffic)
{
    if (traffic->publishers_done < traffic->publisher_count || traffic->delivered < traffic->due)
        return false;
    return traffic->relay.pid == 0 || relay_idle(&traffic->relay);
}

/* That each subscriber has its own, not only that the sum is right. With a queue group only the sum is known;
 * after --duration and in the relay, publishers are not at one point of the numbering. */
static enum err phase_check(struct traffic *traffic, uint64_t messages)
{
    const struct options *options = traffic->options;
    if (options->queue != NULL || traffic->messages_goal == UINT64_MAX || traffic->relay.pid > 0)
        return ERR_OK;
    for (uint64_t i = 0; i < traffic->subscriber_count; i++) {
        uint64_t due = frames_on_subject(options, messages, i % options->subjects);
        if (traffic->subscribers[i].delivered != due)
            return failure_set(traffic->failure, ERR_INVALID,
                               "subscriber %llu got %llu messages, not its %llu", (unsigned long long)i,
                               (unsigned long long)traffic->subscribers[i].delivered,
                               (unsigned long long)due);
    }
    return ERR_OK;
}

/* The time is up: frames that were begun are finished, no more. */
static void phase_stop_sending(struct traffic *traffic)
{
    traffic->end_ns = INT64_MAX;
    for (uint64_t i = 0; i < traffic->publisher_count; i++) {
        struct publisher *publisher = &traffic->publishers[i];
        publisher->bytes_goal = publisher->messages_sent * publisher->frames->frame_bytes;
    }
}

static enum err stall_check(struct traffic *traffic, const char *what)
{
    if (traffic->engine.interrupted)
        return failure_set(traffic->failure, ERR_SYSTEM, "interrupted after %llu of %llu deliveries",
                           (unsigned long long)traffic->delivered, (unsigned long long)traffic->due);
    uint64_t mark = traffic->delivered + traffic->messages_sent + traffic->publishers_done;
    bool waits_for_first = traffic->options->command == COMMAND_SUB && traffic->delivered == 0;
    if (mark != traffic->progress_mark || waits_for_first) {
        traffic->progress_mark = mark;
        traffic->progress_ns = traffic->engine.now_ns;
        return ERR_OK;
    }
    int64_t waited_ns = traffic->engine.now_ns - traffic->progress_ns;
    /* A slow --rate is no stall. */
    int64_t patience_ns = traffic->options->timeout_ns +
                          (traffic->options->rate > 0 ? NS_PER_SECOND / (int64_t)traffic->options->rate : 0);
    if (waited_ns <= patience_ns)
        return ERR_OK;
    return failure_set(traffic->failure, ERR_SYSTEM,
                       "waited %.1f s for %s: %llu messages sent, %llu of %llu deliveries received",
                       (double)waited_ns / (double)NS_PER_SECOND, what,
                       (unsigned long long)traffic->messages_sent, (unsigned long long)traffic->delivered,
                       (unsigned long long)traffic->due);
}

static int64_t turn_timeout_ns(const struct traffic *traffic)
{
    int64_t until_ns = traffic->engine.now_ns + TURN_NS;
    if (traffic->options->rate > 0 && traffic->messages_sent < traffic->messages_goal &&
        traffic->window_open) {
        int64_t due_ns = paced_due_ns(traffic, traffic->messages_sent);
        until_ns = due_ns < until_ns ? due_ns : until_ns;
    }
    until_ns = traffic->end_ns < until_ns ? traffic->end_ns : until_ns;
    if (traffic->relay.pid > 0 && traffic->publishers_done == traffic->publisher_count)
        until_ns = traffic->engine.now_ns + NS_PER_MS; /* nothing wakes us when the relay has read the rest */
    int64_t left_ns = until_ns - traffic->engine.now_ns;
    return left_ns < SPIN_NS ? 0 : left_ns;
}

static int64_t paced_due_ns(const struct traffic *traffic, uint64_t message)
{
    uint64_t rate = traffic->options->rate;
    return traffic->start_ns + (int64_t)(message / rate) * NS_PER_SECOND +
           (int64_t)(message % rate * (uint64_t)NS_PER_SECOND / rate);
}

/* All that is due by now, in turn over the publishers. */
static enum err paced_send(struct traffic *traffic)
{
    uint64_t first = traffic->messages_sent;
    enum err err = ERR_OK;
    while (err == ERR_OK && traffic->messages_sent < traffic->messages_goal &&
           traffic->engine.now_ns < traffic->end_ns) {
        int64_t due_ns = paced_due_ns(traffic, traffic->messages_sent);
        struct publisher *publisher = &traffic->publishers[traffic->messages_sent % traffic->publisher_count];
        if (due_ns > traffic->engine.now_ns || publisher->connection.output.count > PACED_BYTES_MAX)
            break;
        if (publisher->bytes_sent == publisher->bytes_goal)
            break; /* the time was up */
        err = paced_append(traffic, publisher, due_ns);
    }
    uint64_t appended = traffic->messages_sent - first;
    uint64_t touched = appended < traffic->publisher_count ? appended : traffic->publisher_count;
    for (uint64_t i = 0; i < touched && err == ERR_OK; i++)
        err = publisher_write(traffic, &traffic->publishers[(first + i) % traffic->publisher_count]);
    return err;
}

static enum err paced_append(struct traffic *traffic, struct publisher *publisher, int64_t due_ns)
{
    const struct frames *frames = publisher->frames;
    uint8_t *at = connection_reserve(&publisher->connection, frames->frame_bytes);
    if (at == NULL)
        return failure_set(traffic->failure, ERR_MEMORY, "out of memory");
    memcpy(at, frames->block + publisher->bytes_sent % frames->cycle_bytes, frames->frame_bytes);
    if (traffic->stamped)
        memcpy(at + frames->payload_offset, &due_ns, STAMP_BYTES);
    publisher->bytes_sent += frames->frame_bytes;
    publisher_count_due(traffic, publisher);
    return ERR_OK;
}

/* Sends what may be sent, moves on when all of it is, and asks for EPOLLOUT when more is left. */
static enum err publisher_write(struct traffic *traffic, struct publisher *publisher)
{
    struct connection *connection = &publisher->connection;
    const struct frames *frames = publisher->frames;
    bool paced = traffic->options->rate > 0;
    enum err err = ERR_OK;
    /* A PONG or PING of ours goes between two frames, never into one. */
    if (connection->output.count > 0 && (paced || publisher->bytes_sent % frames->frame_bytes == 0))
        err = connection_flush(connection, traffic->failure);
    if (err == ERR_OK && !paced && traffic->window_open && publisher->bytes_sent < publisher->bytes_goal)
        err = publisher_blast(traffic, publisher);
    if (err == ERR_OK)
        err = publisher_advance(traffic, publisher);
    bool more = !paced && traffic->window_open && publisher->bytes_sent < publisher->bytes_goal;
    if (err == ERR_OK)
        err = engine_watch(&traffic->engine, connection, more || connection->output.count > 0,
                           traffic->failure);
    return err;
}

static void publisher_sent(struct traffic *traffic, struct publisher *publisher, uint64_t bytes)
{
    publisher->bytes_sent += bytes;
    publisher_count_due(traffic, publisher);
    if (traffic->due - traffic->delivered >= traffic->window && traffic->subscriber_count > 0)
        traffic->window_open = false;
}

/* With TLS: whole frames, through the output, when that is empty. */
static enum err publisher_blast_secure(struct traffic *traffic, struct publisher *publisher, uint64_t count)
{
    const struct frames *frames = publisher->frames;
    struct connection *connection = &publisher->connection;
    if (connection->output.count > 0)
        return ERR_OK;
    count = count < frames->frame_bytes ? frames->frame_bytes : count - count % frames->frame_bytes;
    uint8_t *at = connection_reserve(connection, count);
    if (at == NULL)
        return failure_set(traffic->failure, ERR_MEMORY, "out of memory");
    memcpy(at, frames->block + publisher->bytes_sent % frames->cycle_bytes, count);
    publisher_sent(traffic, publisher, count);
    return connection_flush(connection, traffic->failure);
}

/* One large write of the block. */
static enum err publisher_blast(struct traffic *traffic, struct publisher *publisher)
{
    const struct frames *frames = publisher->frames;
    uint64_t count = publisher->bytes_goal - publisher->bytes_sent;
    count = count < FRAMES_WRITE_BYTES ? count : FRAMES_WRITE_BYTES;
    if (publisher->connection.secure != NULL)
        return publisher_blast_secure(traffic, publisher, count);
    if (publisher->connection.output.count > 0) {
        uint64_t rest = publisher->bytes_sent % frames->frame_bytes;
        if (rest == 0)
            return ERR_OK; /* the control line could not be sent: the socket is full */
        uint64_t frame_left = frames->frame_bytes - rest;
        count = count < frame_left ? count : frame_left;
    }
    ssize_t sent = send(publisher->connection.fd, frames->block + publisher->bytes_sent % frames->cycle_bytes,
                        count, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EINTR || connection_refuses(errno)))
        return ERR_OK;
    if (sent < 0)
        return failure_set_errno(traffic->failure, "publishing failed");
    publisher_sent(traffic, publisher, (uint64_t)sent);
    return ERR_OK;
}

static enum err publisher_advance(struct traffic *traffic, struct publisher *publisher)
{
    if (publisher->state == PUBLISHER_SENDING && publisher->bytes_sent == publisher->bytes_goal) {
        if (traffic->options->command == COMMAND_RELAY_FLOOR) {
            publisher->state = PUBLISHER_DONE;
            traffic->publishers_done++;
            return ERR_OK;
        }
        publisher->state = PUBLISHER_BARRIER;
        enum err err = connection_ping(&publisher->connection, traffic->failure);
        return err == ERR_OK ? connection_flush(&publisher->connection, traffic->failure) : err;
    }
    if (publisher->state == PUBLISHER_BARRIER && publisher->connection.pongs_expected == 0) {
        publisher->state = PUBLISHER_DONE;
        traffic->publishers_done++;
    }
    return ERR_OK;
}

static enum err publisher_receive(struct traffic *traffic, struct publisher *publisher)
{
    struct scan_input input = {0};
    struct scan_event event = {0};
    enum err err = connection_receive(&publisher->connection, &traffic->engine, &input, traffic->failure);
    while (err == ERR_OK) {
        enum scan_result result = scanner_next(&publisher->connection.scanner, &input, &event);
        if (result == SCAN_MORE)
            return ERR_OK;
        err = connection_control(&publisher->connection, result, &event, traffic->failure);
    }
    return err;
}

/* The window opened, or the goal has changed. */
static enum err publishers_wake(struct traffic *traffic)
{
    for (uint64_t i = 0; i < traffic->publisher_count; i++) {
        enum err err = publisher_write(traffic, &traffic->publishers[i]);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static void publisher_count_due(struct traffic *traffic, struct publisher *publisher)
{
    const struct frames *frames = publisher->frames;
    uint64_t messages = (publisher->bytes_sent + frames->frame_bytes - 1) / frames->frame_bytes;
    traffic->due += frames_due(frames, messages) - frames_due(frames, publisher->messages_sent);
    traffic->messages_sent += messages - publisher->messages_sent;
    publisher->messages_sent = messages;
}

static enum err subscriber_receive(struct traffic *traffic, struct subscriber *subscriber)
{
    struct scan_input input = {0};
    struct scan_event event = {0};
    enum err err = connection_receive(&subscriber->connection, &traffic->engine, &input, traffic->failure);
    if (err == ERR_OK && traffic->stamped)
        traffic->engine.now_ns = clock_monotonic_ns();
    while (err == ERR_OK) {
        enum scan_result result = scanner_next(&subscriber->connection.scanner, &input, &event);
        if (LIKELY(result == SCAN_MESSAGE))
            err = delivery_count(traffic, subscriber, &event);
        else if (result == SCAN_MORE)
            return ERR_OK;
        else
            err = connection_control(&subscriber->connection, result, &event, traffic->failure);
    }
    return err;
}

static enum err delivery_count(struct traffic *traffic, struct subscriber *subscriber,
                               const struct scan_event *event)
{
    uint64_t payload_bytes = event->total_bytes - event->header_bytes;
    if (traffic->options->command != COMMAND_SUB && payload_bytes != traffic->options->size_bytes)
        return failure_set(traffic->failure, ERR_INVALID, "a message of %llu bytes came where all have %llu",
                           (unsigned long long)payload_bytes,
                           (unsigned long long)traffic->options->size_bytes);
    subscriber->delivered += event->repeats;
    traffic->delivered += event->repeats;
    if (traffic->stamped && event->head.count >= STAMP_BYTES) {
        int64_t due_ns = 0;
        memcpy(&due_ns, event->head.data, STAMP_BYTES);
        int64_t late_ns = traffic->engine.now_ns - due_ns;
        histogram_record(&traffic->latency, late_ns > 0 ? (uint64_t)late_ns : 0);
    }
    return ERR_OK;
}

static void traffic_report(const struct traffic *traffic, const struct measure *measure,
                           struct report *report)
{
    const struct options *options = traffic->options;
    bool relayed = options->command == COMMAND_RELAY_FLOOR;
    report_add_text(report, "command", options_command_name(options->command));
    report_add_text(report, "server", relayed ? "relay" : traffic->version);
    report_add_count(report, "size_bytes", options->size_bytes);
    report_add_count(report, "publishers", traffic->publisher_count);
    report_add_count(report, "subscribers", traffic->subscriber_count);
    report_add_count(report, "subjects", options->subjects);
    if (options->queue != NULL)
        report_add_text(report, "queue", options->queue);
    if (options->rate > 0)
        report_add_count(report, "rate_per_s", options->rate);
    report_add_count(report, "messages", traffic->messages_sent);
    report_add_count(report, "deliveries", traffic->delivered);
    measure_report(measure, report, traffic->messages_sent, traffic->delivered);
    report_add_latency(report, &traffic->latency);
}
