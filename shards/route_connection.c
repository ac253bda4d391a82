/* shards/route_connection.c - the life of one route's socket; see route_connection.h. */
#include "shards/route_connection.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/config/duration.h"
#include "net/tls_stream.h"
#include "shards/mail.h"
#include "shards/remotes.h"
#include "shards/route_s2.h"
#include "shards/route_tls.h"
#include "shards/shard.h"
#include "shards/socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_NS (500 * NS_PER_MS)

#define TO(state) (1U << (state))
static const uint8_t connection_moves[ROUTE_CONNECTION_STATES] = {
    [ROUTE_CONNECTION_OPEN] =
        TO(ROUTE_CONNECTION_FLUSHING) | TO(ROUTE_CONNECTION_LINGERING) | TO(ROUTE_CONNECTION_ENDING),
    [ROUTE_CONNECTION_FLUSHING] = TO(ROUTE_CONNECTION_LINGERING) | TO(ROUTE_CONNECTION_ENDING),
    [ROUTE_CONNECTION_LINGERING] = TO(ROUTE_CONNECTION_ENDING),
};

static void move(struct route_connection *connection, enum route_connection_state next)
{
    ASSERT(connection_moves[connection->state] & TO(next));
    connection->state = (uint8_t)next;
}

static bool taking(const struct route_connection *connection)
{
    return connection->state == ROUTE_CONNECTION_OPEN && !connection->route.blocked &&
           !connection->checking && !connection->telling.holds && !connection->waits_for_forgetting;
}

static void receive_arm(struct shard *shard, struct route_connection *connection)
{
    if (connection->receive.in_flight == 0 && !connection->ended)
        loop_receive(shard->loop, &connection->receive, connection->fd);
}

static void end(struct shard *shard, struct route_connection *connection)
{
    move(connection, ROUTE_CONNECTION_ENDING);
    timers_cancel(&shard->context.timers, &connection->timer);
    (void)shutdown(connection->fd, SHUT_RDWR); /* both operations come home by this */
    if (shard->loop == NULL)
        return;
    loop_cancel(shard->loop, &connection->receive);
    loop_cancel(shard->loop, &connection->send);
}

/* All was sent: say FIN, and read on for a moment. */
static void linger(struct shard *shard, struct route_connection *connection)
{
    if (connection->ended || shard->stopping ||
        timers_set(&shard->context.timers, &connection->timer, shard->context.now_ns + LINGER_NS) != ERR_OK) {
        end(shard, connection);
        return;
    }
    move(connection, ROUTE_CONNECTION_LINGERING);
    (void)shutdown(connection->fd, SHUT_WR);
    receive_arm(shard, connection);
}

/* What the options say about a connection of its kind; 0: what they say about clients. */
struct limits {
    int64_t ping_interval_ns;
    int64_t ping_max;
    int64_t write_deadline_ns;
};

static struct limits peer_limits(const struct server_options *options, enum route_kind kind)
{
    bool gateway = kind == ROUTE_OF_GATEWAY;
    const struct cluster_options *cluster = &options->cluster;
    struct limits limits = {
        .ping_interval_ns = gateway ? options->gateway.ping_interval_ns : cluster->ping_interval_ns,
        .ping_max = gateway ? options->gateway.ping_max : cluster->ping_max,
        .write_deadline_ns = gateway ? options->gateway.write_deadline_ns : cluster->write_deadline_ns,
    };
    if (limits.ping_interval_ns == 0)
        limits.ping_interval_ns = options->net.ping_interval_ns;
    if (limits.ping_max == 0)
        limits.ping_max = options->net.ping_max;
    if (limits.write_deadline_ns == 0)
        limits.write_deadline_ns = options->net.write_deadline_ns;
    return limits;
}

void route_connection_options_use(const struct shard *shard, struct route_connection *connection)
{
    struct limits limits = peer_limits(shard->snapshot->options, (enum route_kind)connection->route.kind);
    connection->write_deadline_ns = limits.write_deadline_ns;
    if (connection->route.state != ROUTE_CLOSED)
        route_pings_set(&connection->route, limits.ping_interval_ns, limits.ping_max);
}

struct route_connection *route_connection_new(struct shard *shard, const struct mail_route *mail)
{
    bool gateway = mail->of == ROUTE_OF_GATEWAY;
    struct limits limits = peer_limits(shard->snapshot->options, (enum route_kind)mail->of);
    struct route_connection *connection = memory_new(sizeof *connection);
    if (connection == NULL) {
        block_release(&shard->context.pool.blocks, mail->greeting);
        close(mail->fd);
        return NULL;
    }
    socket_set_up(mail->fd);
    connection->fd = mail->fd;
    connection->remote = connection->gateway = ROUTE_NONE;
    connection->remote_number = mail->remote_number;
    connection->receive.kind = OP_ROUTE_RECEIVE;
    connection->send.kind = OP_ROUTE_SEND;
    connection->timer.kind = TIMER_ROUTE_CONNECTION;
    connection->route.timer.kind = TIMER_ROUTE;
    connection->write_deadline_ns = limits.write_deadline_ns;
    struct route_setup setup = {
        .context = &shard->context,
        .host = gateway ? gateways_host() : remotes_host(),
        .kind = (enum route_kind)mail->of,
        .address = mail->address,
        .port = mail->port,
        .rid = mail->rid,
        .solicited = mail->solicited,
        .greeting = bytes_of(mail->greeting->bytes, mail->greeting_bytes),
        .authentication_timeout_ns = mail->authentication_timeout_ns,
        .ping_interval_ns = limits.ping_interval_ns,
        .ping_max = limits.ping_max,
    };
    list_push_last(&shard->remotes.routes, &connection->all);
    enum err err = route_init(&connection->route, &setup);
    block_release(&shard->context.pool.blocks, mail->greeting);
    if (err != ERR_OK || !route_tls_start(shard, connection, mail->host)) {
        route_close(&connection->route, CLOSED_WRITE_ERROR, NULL);
        return connection;
    }
    if (connection->state != ROUTE_CONNECTION_OPEN)
        return connection;
    char prefix[ROUTE_PREFIX_BYTES];
    log_notice(shard->context.log, "%s - %s", route_prefix(&connection->route, prefix, sizeof prefix),
               !gateway          ? "Route connection created"
               : mail->solicited ? "Creating outbound gateway connection"
                                 : "Processing inbound gateway connection");
    receive_arm(shard, connection);
    return connection;
}

/* ---- receiving ---- */

static void hold(struct shard *shard, struct route_connection *connection, struct bytes bytes)
{
    size_t kept = connection->held_end - connection->held_at;
    if (bytes.count == 0)
        return;
    if (connection->held == NULL || connection->held->capacity - connection->held_end < bytes.count) {
        /* Twice what is needed: the kernel may have more on the way. */
        struct block *block = block_take(&shard->context.pool.blocks, (kept + bytes.count) * 2);
        if (block == NULL) {
            route_close(&connection->route, CLOSED_READ_ERROR, NULL);
            return;
        }
        if (kept > 0)
            memcpy(block->bytes, connection->held->bytes + connection->held_at, kept);
        block_release(&shard->context.pool.blocks, connection->held);
        connection->held = block;
        connection->held_at = 0;
        connection->held_end = (uint32_t)kept;
    }
    memcpy(connection->held->bytes + connection->held_end, bytes.data, bytes.count);
    connection->held_end += (uint32_t)bytes.count;
}

static void held_drop(struct shard *shard, struct route_connection *connection)
{
    block_release(&shard->context.pool.blocks, connection->held);
    connection->held = NULL;
    connection->held_at = connection->held_end = 0;
}

static void pause_receiving(struct shard *shard, struct route_connection *connection)
{
    loop_cancel(shard->loop, &connection->receive);
    if (connection->route.blocked && !connection->route.asking && !list_linked(&connection->waiting))
        list_push_last(&shard->remotes.full, &connection->waiting);
}

bool route_connection_taking(const struct route_connection *connection)
{
    return connection->held == NULL && taking(connection);
}

void route_connection_give(struct shard *shard, struct route_connection *connection, struct bytes bytes)
{
    if (LIKELY(connection->s2 == NULL)) {
        route_connection_take(shard, connection, bytes);
        return;
    }
    route_s2_received(shard, connection, bytes);
    if (connection->state == ROUTE_CONNECTION_OPEN && !taking(connection))
        pause_receiving(shard, connection);
}

void route_connection_compress(struct shard *shard, struct route_connection *connection, uint8_t mode)
{
    struct bytes rest = {NULL, 0};
    if (connection->held != NULL)
        rest = bytes_of(connection->held->bytes + connection->held_at,
                        connection->held_end - connection->held_at);
    if (connection->s2 != NULL)
        return;
    if (!route_s2_start(shard, connection, (enum route_compression_mode)mode, rest))
        route_close(&connection->route, CLOSED_WRITE_ERROR, NULL);
    else
        held_drop(shard, connection);
}

void route_connection_take(struct shard *shard, struct route_connection *connection, struct bytes bytes)
{
    size_t taken = 0;
    if (connection->held == NULL && taking(connection))
        taken = route_receive(&connection->route, bytes);
    if (connection->state != ROUTE_CONNECTION_OPEN)
        return;
    if (UNLIKELY(taken < bytes.count))
        hold(shard, connection, bytes_of(bytes.data + taken, bytes.count - taken));
    if (UNLIKELY(connection->state == ROUTE_CONNECTION_OPEN && !taking(connection)))
        pause_receiving(shard, connection);
}

static void receive_ended(struct shard *shard, struct route_connection *connection, bool failed)
{
    connection->ended = true;
    connection->failed = failed;
    if (connection->state == ROUTE_CONNECTION_LINGERING)
        end(shard, connection);
    else if (connection->state == ROUTE_CONNECTION_OPEN &&
             ((connection->held == NULL && !route_s2_waiting(connection)) || failed))
        route_input_ended(&connection->route, failed);
}

void route_connection_received(struct shard *shard, struct route_connection *connection,
                               const struct loop_completion *completion)
{
    if (LIKELY(completion->has_buffer)) {
        if (UNLIKELY(connection->tls != NULL) && completion->result > 0 &&
            connection->state == ROUTE_CONNECTION_OPEN)
            route_tls_received(shard, connection, completion->received);
        else if (LIKELY(completion->result > 0 && connection->state == ROUTE_CONNECTION_OPEN))
            route_connection_give(shard, connection, completion->received);
        loop_buffer_return(shard->loop, completion->buffer);
    }
    if (LIKELY(completion->more))
        return;
    bool again = completion->result > 0 || completion->result == -ENOBUFS || completion->result == -EINTR ||
                 completion->result == -EAGAIN || completion->result == -ECANCELED;
    if (!again)
        receive_ended(shard, connection, completion->result < 0);
    else if (taking(connection) || connection->state == ROUTE_CONNECTION_LINGERING)
        receive_arm(shard, connection);
}

void route_connection_receive_again(struct shard *shard, struct route_connection *connection)
{
    if (taking(connection))
        receive_arm(shard, connection);
}

void route_connection_resume(struct shard *shard, struct route_connection *connection)
{
    if (list_linked(&connection->waiting))
        list_remove(&connection->waiting);
    if (connection->state != ROUTE_CONNECTION_OPEN)
        return;
    route_resume(&connection->route);
    if (connection->route.blocked || connection->telling.holds || connection->waits_for_forgetting)
        return; /* an answer is still to come, or the end of what we have to tell */
    struct bytes rest = {NULL, 0};
    if (connection->held != NULL)
        rest = bytes_of(connection->held->bytes + connection->held_at,
                        connection->held_end - connection->held_at);
    size_t taken = route_receive(&connection->route, rest);
    if (connection->state != ROUTE_CONNECTION_OPEN)
        return;
    connection->held_at += (uint32_t)taken;
    if (connection->held != NULL && connection->held_at == connection->held_end)
        held_drop(shard, connection);
    if (route_s2_waiting(connection) && route_connection_taking(connection))
        route_s2_received(shard, connection, (struct bytes){NULL, 0});
    if (connection->state != ROUTE_CONNECTION_OPEN)
        return;
    if (!taking(connection))
        pause_receiving(shard, connection);
    else if (connection->ended)
        route_input_ended(&connection->route, connection->failed);
    else
        receive_arm(shard, connection);
}

/* ---- sending ---- */

void route_connection_send(struct shard *shard, struct route_connection *connection)
{
    struct iovec parts[LOOP_SEND_PARTS_MAX];
    if (connection->send.in_flight != 0 || connection->state > ROUTE_CONNECTION_FLUSHING)
        return;
    if (UNLIKELY((connection->s2 != NULL && !route_s2_compress(shard, connection)) ||
                 !route_tls_encrypt(connection, connection->state == ROUTE_CONNECTION_FLUSHING))) {
        route_close(&connection->route, CLOSED_WRITE_ERROR, NULL);
        if (connection->state != ROUTE_CONNECTION_ENDING)
            end(shard, connection);
        return;
    }
    uint32_t count = output_gather(route_connection_output(connection), parts, LOOP_SEND_PARTS_MAX);
    if (count == 0 && connection->state == ROUTE_CONNECTION_FLUSHING)
        linger(shard, connection);
    if (count == 0)
        return;
    loop_send(shard->loop, &connection->send, connection->fd, parts, count);
    if (connection->batch_bytes > 0)
        return; /* the rest of a write goes on under its own deadline */
    for (uint32_t i = 0; i < count; i++)
        connection->batch_bytes += parts[i].iov_len;
    connection->batch_attempted = connection->batch_bytes;
    connection->batch_parts = count;
    connection->send_started_ns = shard->context.now_ns;
    connection->send_progressed = false;
}

void route_connection_sent(struct shard *shard, struct route_connection *connection, int32_t result)
{
    if (LIKELY(result >= 0)) {
        uint64_t sent = (uint64_t)result;
        connection->batch_bytes -= sent < connection->batch_bytes ? sent : connection->batch_bytes;
        connection->send_progressed = true;
        connection->slow = connection->slow && connection->batch_bytes > 0;
        output_sent(route_connection_output(connection), &shard->context.pool, sent);
    } else if (result != -EINTR && result != -EAGAIN && connection->state <= ROUTE_CONNECTION_FLUSHING) {
        route_close(&connection->route, CLOSED_WRITE_ERROR, NULL);
        if (connection->state != ROUTE_CONNECTION_ENDING)
            end(shard, connection);
    }
    if (UNLIKELY(connection->state > ROUTE_CONNECTION_FLUSHING))
        return;
    bool empty = !route_connection_pending(connection);
    if (!empty && !list_linked(&connection->with_output))
        list_push_last(&shard->remotes.with_output, &connection->with_output);
    if (empty)
        connection->route.output_noted = false;
    if (empty && connection->state == ROUTE_CONNECTION_FLUSHING)
        linger(shard, connection);
}

/* A write has been under way for a whole deadline: with some progress the route is slow but alive, without
 * any it is closed (routes.md 16). */
static void write_late(struct shard *shard, struct route_connection *connection)
{
    char prefix[ROUTE_PREFIX_BYTES], deadline[DURATION_TEXT_BYTES_MAX];
    const struct server_options *options = shard->snapshot->options;
    bool gateway = connection->route.kind == ROUTE_OF_GATEWAY;
    int timeout = gateway ? options->gateway.write_timeout : options->cluster.write_timeout;
    bool retry = timeout != WRITE_TIMEOUT_CLOSE && connection->send_progressed;
    connection->send_progressed = false;
    connection->send_started_ns = shard->context.now_ns;
    shard->context.route_slow_consumers += !gateway;
    shard->context.route_slow_episodes += !gateway && !connection->slow;
    shard->context.gateway_slow_consumers += gateway;
    log_notice(shard->context.log,
               "%s - Slow Consumer %s: WriteDeadline of %s exceeded with %u chunks of %llu total bytes.",
               route_prefix(&connection->route, prefix, sizeof prefix),
               connection->slow ? "State" : "Detected",
               duration_print(connection->write_deadline_ns, deadline), connection->batch_parts,
               (unsigned long long)connection->batch_attempted);
    connection->slow = true;
    if (retry)
        return;
    if (connection->state == ROUTE_CONNECTION_OPEN)
        route_close(&connection->route, CLOSED_SLOW_CONSUMER_WRITE_DEADLINE, NULL);
    else
        end(shard, connection);
}

/* ---- ending ---- */

void route_connection_closing(struct shard *shard, struct route_connection *connection, bool flush)
{
    remotes_route_closed(shard, connection);
    if (list_linked(&connection->waiting))
        list_remove(&connection->waiting);
    held_drop(shard, connection);
    if (!flush) {
        end(shard, connection);
        return;
    }
    /* FIN goes with the turn's output, behind the mail that tells the control core: the peer may be here
     * again before that, and would be taken for a second connection of its own. */
    move(connection, ROUTE_CONNECTION_FLUSHING);
    if (!list_linked(&connection->with_output))
        list_push_last(&shard->remotes.with_output, &connection->with_output);
}

void route_connection_timer_due(struct shard *shard, struct route_connection *connection)
{
    if (route_tls_timer_due(shard, connection))
        return;
    if (connection->state == ROUTE_CONNECTION_LINGERING)
        end(shard, connection);
}

static void free_connection(struct shard *shard, struct route_connection *connection)
{
    struct list_link *links[] = {&connection->all, &connection->with_output, &connection->waiting};
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        if (list_linked(links[i]))
            list_remove(links[i]);
    }
    timers_cancel(&shard->context.timers, &connection->timer);
    held_drop(shard, connection);
    block_release(&shard->context.pool.blocks, connection->dropping.answer);
    tls_stream_free(connection->tls);
    block_release(&shard->context.pool.blocks, connection->unread);
    route_s2_free(shard, connection);
    gateways_unknown_free(connection->gateway_unknown);
    route_free_parts(&connection->route);
    close(connection->fd);
    memory_free(connection);
}

void route_connection_step(struct shard *shard, struct route_connection *connection)
{
    bool writing = connection->send.in_flight != 0 && connection->state <= ROUTE_CONNECTION_FLUSHING;
    if (writing && shard->context.now_ns - connection->send_started_ns >= connection->write_deadline_ns)
        write_late(shard, connection);
    if (connection->state == ROUTE_CONNECTION_ENDING && connection->told &&
        connection->receive.in_flight == 0 && connection->send.in_flight == 0)
        free_connection(shard, connection);
}

void route_connection_abandon(struct shard *shard, struct route_connection *connection)
{
    route_close(&connection->route, CLOSED_SERVER_SHUTDOWN, NULL);
    connection->receive.in_flight = connection->send.in_flight = 0;
    free_connection(shard, connection);
}
