/* shards/connection.c - the life of one socket; see connection.h. */
#include "shards/connection.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "net/error_text.h"
#include "shards/connection_internal.h"
#include "shards/connection_tls.h"
#include "shards/shard.h"
#include "shards/socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SUBSCRIPTIONS_PER_STEP = 1024 };
#define LINGER_NS (500 * NS_PER_MS)

#define TO(state) (1U << (state))
static const uint8_t connection_moves[CONNECTION_STATES] = {
    [CONNECTION_OPEN] = TO(CONNECTION_FLUSHING) | TO(CONNECTION_LINGERING) | TO(CONNECTION_ENDING),
    [CONNECTION_FLUSHING] = TO(CONNECTION_LINGERING) | TO(CONNECTION_ENDING),
    [CONNECTION_LINGERING] = TO(CONNECTION_ENDING),
};

static void move(struct connection *connection, enum connection_state next)
{
    ASSERT(connection_moves[connection->state] & TO(next));
    connection->state = (uint8_t)next;
}

/* Whether bytes from the peer may be given to the session now. */
static bool taking(const struct connection *connection)
{
    return connection->state == CONNECTION_OPEN && !connection->client.blocked && !connection->stalled;
}

void connection_receive_arm(struct shard *shard, struct connection *connection)
{
    if (connection->receive.in_flight == 0 && !connection->ended)
        loop_receive(shard->loop, &connection->receive, connection->fd);
}

static void end(struct shard *shard, struct connection *connection)
{
    move(connection, CONNECTION_ENDING);
    timers_cancel(&shard->context.timers, &connection->timer);
    (void)shutdown(connection->fd, SHUT_RDWR); /* both operations come home by this */
    if (shard->loop == NULL)
        return;
    loop_cancel(shard->loop, &connection->receive);
    loop_cancel(shard->loop, &connection->send);
}

/* All was sent: say FIN, and read on for a moment. */
static void linger(struct shard *shard, struct connection *connection)
{
    if (connection->ended || shard->stopping ||
        timers_set(&shard->context.timers, &connection->timer, shard->context.now_ns + LINGER_NS) != ERR_OK) {
        end(shard, connection);
        return;
    }
    move(connection, CONNECTION_LINGERING);
    (void)shutdown(connection->fd, SHUT_WR);
    connection_receive_arm(shard, connection);
}

/* The session begins, in clear or with TLS before it. */
static void open_session(struct shard *shard, struct connection *connection, struct client_peer *peer,
                         struct connection_verdict verdict)
{
    struct client *client = &connection->client;
    const struct net_options *options = shard->context.options;
    peer->opening = connection_tls_opening(options, verdict.refused);
    if (client_init(client, &shard->context, peer) != ERR_OK) {
        client_close(client, CLOSED_READ_ERROR, NULL);
        return;
    }
    connection->client_begun = peer->opening == CLIENT_OPENS;
    if (verdict.refused)
        client_close(client, CLOSED_MAXIMUM_CONNECTIONS, error_text(ERROR_MAXIMUM_CONNECTIONS));
    else if (options->tls.on && connection->state == CONNECTION_OPEN &&
             !connection_tls_start(shard, connection, verdict.throttled))
        client_close(client, CLOSED_READ_ERROR, NULL);
    if (connection->state == CONNECTION_OPEN)
        connection_receive_arm(shard, connection);
}

struct connection *connection_new(struct shard *shard, int fd, struct client_peer *peer,
                                  struct connection_verdict verdict)
{
    struct connection *connection = memory_new(sizeof *connection);
    if (connection == NULL || shard_slot_take(shard, connection) != ERR_OK) {
        memory_free(connection);
        close(fd);
        return NULL;
    }
    socket_set_up(fd);
    connection->fd = fd;
    connection->receive.kind = OP_RECEIVE;
    connection->send.kind = OP_SEND;
    connection->timer.kind = TIMER_CONNECTION;
    connection->client.timer.kind = TIMER_CLIENT;
    connection->client.place.cid = peer->cid;
    connection->client.place.shard = shard->post.self;
    connection->write_deadline_ns = shard->context.options->write_deadline_ns;
    list_push_last(&shard->connections, &connection->all);
    open_session(shard, connection, peer, verdict);
    return connection;
}

/* ---- receiving ---- */

static void hold(struct shard *shard, struct connection *connection, struct bytes bytes)
{
    size_t kept = connection->held_end - connection->held_at;
    if (bytes.count == 0)
        return;
    if (connection->held == NULL || connection->held->capacity - connection->held_end < bytes.count) {
        /* Twice what is needed: the kernel may have more on the way, and each move costs as much as all of
         * it. */
        struct block *block = block_take(&shard->context.pool.blocks, (kept + bytes.count) * 2);
        if (block == NULL) {
            client_close(&connection->client, CLOSED_READ_ERROR, NULL);
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

static void held_drop(struct shard *shard, struct connection *connection)
{
    block_release(&shard->context.pool.blocks, connection->held);
    connection->held = NULL;
    connection->held_at = connection->held_end = 0;
}

/* The session does not take more now: stop receiving, and be asked again. */
static void pause_receiving(struct shard *shard, struct connection *connection)
{
    loop_cancel(shard->loop, &connection->receive);
    if (connection->client.blocked && !client_login_pending(&connection->client) &&
        !list_linked(&connection->waiting))
        list_push_last(&shard->full, &connection->waiting);
}

void connection_give(struct shard *shard, struct connection *connection, struct bytes bytes)
{
    size_t taken = 0;
    if (connection->held == NULL && taking(connection))
        taken = client_receive(&connection->client, bytes);
    if (connection->state != CONNECTION_OPEN)
        return;
    if (UNLIKELY(taken < bytes.count))
        hold(shard, connection, bytes_of(bytes.data + taken, bytes.count - taken));
    if (UNLIKELY(!taking(connection)))
        pause_receiving(shard, connection);
}

void connection_input_ended(struct shard *shard, struct connection *connection, bool failed)
{
    connection->ended = true;
    connection->failed = failed;
    if (connection->state == CONNECTION_LINGERING)
        end(shard, connection);
    else if (connection_tls_input_ended(shard, connection))
        return;
    else if (connection->state == CONNECTION_OPEN && (connection->held == NULL || failed))
        client_input_ended(&connection->client, failed);
}

void connection_received(struct shard *shard, struct connection *connection,
                         const struct loop_completion *completion)
{
    if (LIKELY(completion->has_buffer)) {
        if (UNLIKELY(connection->tls != NULL) && completion->result > 0 &&
            connection->state == CONNECTION_OPEN)
            connection_tls_received(shard, connection, completion->received);
        else if (LIKELY(completion->result > 0 && connection->state == CONNECTION_OPEN))
            connection_give(shard, connection, completion->received);
        connection->received_turn = shard->context.turn;
        loop_buffer_return(shard->loop, completion->buffer);
    }
    if (LIKELY(completion->more))
        return;
    bool again = completion->result > 0 || completion->result == -ENOBUFS || completion->result == -EINTR ||
                 completion->result == -EAGAIN || completion->result == -ECANCELED;
    if (!again)
        connection_input_ended(shard, connection, completion->result < 0);
    else if (completion->result == -ENOBUFS && connection->received_turn == shard->context.turn &&
             !list_linked(&connection->served))
        list_push_last(&shard->served, &connection->served);
    else
        connection_receive_again(shard, connection);
    if (connection->state == CONNECTION_ENDING)
        connection_closing_step(shard, connection);
}

void connection_receive_again(struct shard *shard, struct connection *connection)
{
    if ((taking(connection) && !connection_tls_queued(connection)) ||
        connection->state == CONNECTION_LINGERING)
        connection_receive_arm(shard, connection);
}

void connection_resume(struct shard *shard, struct connection *connection)
{
    if (list_linked(&connection->waiting))
        list_remove(&connection->waiting);
    if (connection->state != CONNECTION_OPEN || connection->stalled)
        return;
    client_resume(&connection->client);
    if (connection->client.parser.state == PARSER_AGAIN && connection->held == NULL) {
        /* The operation that could not be handled was torn: all of its bytes are the parser's. */
        (void)client_receive(&connection->client, (struct bytes){NULL, 0});
    } else if (connection->held != NULL) {
        struct bytes rest = bytes_of(connection->held->bytes + connection->held_at,
                                     connection->held_end - connection->held_at);
        connection->held_at += (uint32_t)client_receive(&connection->client, rest);
    }
    if (connection->state != CONNECTION_OPEN)
        return;
    if (connection->held != NULL && connection->held_at == connection->held_end)
        held_drop(shard, connection);
    if (!taking(connection))
        pause_receiving(shard, connection);
    else if (connection->ended)
        client_input_ended(&connection->client, connection->failed);
    else
        connection_receive_arm(shard, connection);
}

void connection_stall(struct shard *shard, struct connection *connection, int64_t stall_ns)
{
    if (connection->state != CONNECTION_OPEN || connection->stalled)
        return;
    if (timers_set(&shard->context.timers, &connection->timer, shard->context.now_ns + stall_ns) != ERR_OK)
        return; /* no memory to wait with: it is not slowed */
    connection->stalled = true;
    connection->client.stalls++;
    shard->stall_count++;
    loop_cancel(shard->loop, &connection->receive);
}

/* ---- sending ---- */

static void write_failed(struct shard *shard, struct connection *connection)
{
    client_close(&connection->client, CLOSED_WRITE_ERROR, NULL);
    if (connection->state != CONNECTION_ENDING)
        end(shard, connection);
}

void connection_send(struct shard *shard, struct connection *connection)
{
    struct iovec parts[LOOP_SEND_PARTS_MAX];
    if (connection->send.in_flight != 0 || connection->state > CONNECTION_FLUSHING)
        return;
    if (UNLIKELY(connection->tls != NULL) &&
        !connection_tls_encrypt(connection, connection->state == CONNECTION_FLUSHING)) {
        write_failed(shard, connection);
        if (connection->state == CONNECTION_ENDING)
            connection_closing_step(shard, connection);
        return;
    }
    uint32_t count = output_gather(connection_output(connection), parts, LOOP_SEND_PARTS_MAX);
    if (count == 0)
        return;
    loop_send(shard->loop, &connection->send, connection->fd, parts, count);
    if (connection->batch_bytes >
        0) { /* the rest of a write goes on under its own deadline, among the oldest */
        list_push_first(&shard->sending, &connection->sending);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        connection->batch_bytes += parts[i].iov_len;
    connection->send_started_ns = shard->context.now_ns;
    connection->send_progressed = false;
    list_push_last(&shard->sending, &connection->sending);
}

/* Something is left to send, or not: go on accordingly. */
static void send_on(struct shard *shard, struct connection *connection)
{
    bool last = connection->state == CONNECTION_FLUSHING;
    bool empty = output_empty(&connection->client.output) && output_empty(connection_output(connection)) &&
                 !(last && connection_tls_pending(connection));
    if (!empty && !list_linked(&connection->with_output))
        list_push_last(&shard->with_output, &connection->with_output);
    if (empty)
        connection->client.output_noted = false;
    if (empty && last)
        linger(shard, connection);
}

void connection_sent(struct shard *shard, struct connection *connection, int32_t result)
{
    list_remove(&connection->sending);
    if (LIKELY(result >= 0)) {
        uint64_t sent = (uint64_t)result;
        connection->batch_bytes -= sent < connection->batch_bytes ? sent : connection->batch_bytes;
        connection->send_progressed = true;
        output_sent(connection_output(connection), &shard->context.pool, sent);
    } else if (result != -EINTR && result != -EAGAIN && connection->state <= CONNECTION_FLUSHING) {
        write_failed(shard, connection);
    }
    if (LIKELY(connection->state <= CONNECTION_FLUSHING))
        send_on(shard, connection);
    if (UNLIKELY(connection->state == CONNECTION_ENDING))
        connection_closing_step(shard, connection);
}

void connection_write_late(struct shard *shard, struct connection *connection)
{
    struct iovec parts[LOOP_SEND_PARTS_MAX];
    const struct output *output = connection_output(connection);
    bool retry = shard->context.options->write_timeout == WRITE_TIMEOUT_RETRY && connection->send_progressed;
    connection->send_progressed = false;
    if (retry && connection->state <= CONNECTION_FLUSHING)
        return; /* it is slow but alive: another deadline's time */
    if (connection->state == CONNECTION_OPEN && !connection->client_begun)
        client_close(&connection->client, CLOSED_TLS_HANDSHAKE_FAILURE, NULL); /* no consumer yet */
    else if (connection->state == CONNECTION_OPEN)
        client_write_late(&connection->client, connection->write_deadline_ns,
                          output_gather(output, parts, LOOP_SEND_PARTS_MAX), output->pending_bytes);
    else if (connection->state == CONNECTION_FLUSHING)
        end(shard, connection);
}

/* ---- ending ---- */

void connection_closing(struct shard *shard, struct connection *connection, bool flush)
{
    shard_connection_gone(shard); /* for max_connections it counts no longer, whatever is left to send */
    if (!list_linked(&connection->closing))
        list_push_last(&shard->closing, &connection->closing);
    if (list_linked(&connection->waiting))
        list_remove(&connection->waiting);
    held_drop(shard, connection);
    connection->stalled = false;
    timers_cancel(&shard->context.timers, &connection->timer);
    bool last_words = connection_tls_closing(shard, connection);
    if (!flush && !last_words) {
        end(shard, connection);
        return;
    }
    move(connection, CONNECTION_FLUSHING);
    if (output_empty(&connection->client.output) && !connection_tls_pending(connection))
        linger(shard, connection);
    else if (!list_linked(&connection->with_output))
        list_push_last(&shard->with_output, &connection->with_output);
}

void connection_timer_due(struct shard *shard, struct connection *connection)
{
    if (connection->state == CONNECTION_LINGERING) {
        end(shard, connection);
        connection_closing_step(shard, connection);
        return;
    }
    connection->stalled = false;
    if (!connection->client.blocked)
        connection_resume(shard, connection);
    else if (!client_login_pending(&connection->client) && !list_linked(&connection->waiting))
        list_push_last(&shard->full, &connection->waiting);
}

static void free_connection(struct shard *shard, struct connection *connection)
{
    struct list_link *links[] = {&connection->all,      &connection->with_output, &connection->sending,
                                 &connection->waiting,  &connection->served,      &connection->closing,
                                 &connection->resyncing};
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        if (list_linked(links[i]))
            list_remove(links[i]);
    }
    timers_cancel(&shard->context.timers, &connection->timer);
    held_drop(shard, connection);
    connection_tls_free(shard, connection);
    client_free_parts(&connection->client);
    shard_slot_give(shard, connection);
    close(connection->fd);
    memory_free(connection);
}

void connection_closing_step(struct shard *shard, struct connection *connection)
{
    if (!client_remove_subscriptions(&connection->client, SUBSCRIPTIONS_PER_STEP))
        return; /* stays in shard.closing: the next turn goes on */
    if (list_linked(&connection->closing))
        list_remove(&connection->closing);
    if (connection->state != CONNECTION_ENDING || connection->receive.in_flight || connection->send.in_flight)
        return;
    free_connection(shard, connection);
}

void connection_abandon(struct shard *shard, struct connection *connection)
{
    client_close(&connection->client, CLOSED_SERVER_SHUTDOWN, NULL);
    connection->receive.in_flight = connection->send.in_flight = 0;
    while (!client_remove_subscriptions(&connection->client, UINT32_MAX))
        continue;
    free_connection(shard, connection);
}
