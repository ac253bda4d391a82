/* shards/control/monitor.c - the monitoring port: its listener and its connections; see monitor.h. */
#include "shards/control/monitor.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "net/tls_stream.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"
#include "shards/control/monitor_tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CAUSE_BYTES = 448, SEALED_BYTES_MOST = 256 * 1024 /* made ahead of the socket */ };
#define HEAD_NS (5 * NS_PER_SECOND)
#define IDLE_NS (120 * NS_PER_SECOND)
#define SEND_NS (60 * NS_PER_SECOND)

static void connection_end(struct control *control, struct monitor_connection *connection);
static void connection_free(struct control *control, struct monitor_connection *connection);
static void request_next(struct control *control, struct monitor_connection *connection);
static void send_on(struct control *control, struct monitor_connection *connection);
static bool sealed_send(struct control *control, struct monitor_connection *connection);

/* ---- the port ---- */

/* A leading slash, no trailing one, nothing to be cleaned; the empty text for the top. */
static char *base_path_make(const char *configured)
{
    struct bytes given = configured == NULL ? TEXT("") : text(configured);
    char *slashed = memory_new(given.count + 2);
    char *clean = memory_new(given.count + 3);
    if (slashed != NULL && clean != NULL) {
        slashed[0] = '/';
        if (given.count > 0)
            memcpy(slashed + 1, given.data, given.count);
        size_t count = http_path_clean(clean, bytes_of(slashed, given.count + 1));
        while (count > 0 && clean[count - 1] == '/')
            count--;
        clean[count] = 0;
    }
    memory_free(slashed);
    return clean;
}

const char *monitor_host(const struct server_options *options)
{
    return options->http_host != NULL && options->http_host[0] != 0 ? options->http_host : options->host;
}

/* The listening socket, or -1 with the reason. */
static int port_open(struct control *control, char *cause, size_t cause_bytes)
{
    struct monitor *monitor = &control->monitor;
    const struct server_options *options = control->snapshot->options;
    bool https = options->https_port != 0;
    char why[CAUSE_BYTES] = "";
    if (https && options->http_port != 0) {
        snprintf(cause, cause_bytes, "can't specify both HTTP (%lld) and HTTPs (%lld) ports",
                 (long long)options->http_port, (long long)options->https_port);
        return -1;
    }
    if (https && monitor_tls_make(control, cause, cause_bytes) != ERR_OK)
        return -1;
    monitor->base_path = base_path_make(options->http_base_path);
    if (monitor->base_path == NULL) {
        snprintf(cause, cause_bytes, "out of memory");
        return -1;
    }
    int fd = control_socket_listen(monitor_host(options), https ? options->https_port : options->http_port,
                                   &monitor->port, why, sizeof why);
    if (fd < 0)
        snprintf(cause, cause_bytes, "can't listen to the monitor port: %s", why);
    return fd;
}

enum err monitor_open(struct control *control, char *why, size_t why_bytes)
{
    struct monitor *monitor = &control->monitor;
    const struct server_options *options = control->snapshot->options;
    char cause[CAUSE_BYTES + 64] = "";
    if (options->http_port == 0 && options->https_port == 0)
        return ERR_OK;
    monitor->listen_fd = port_open(control, cause, sizeof cause);
    if (monitor->listen_fd < 0) {
        snprintf(why, why_bytes, "Can't start monitoring: %s", cause);
        return ERR_SYSTEM;
    }
    const char *host = monitor_host(options);
    log_notice(control->log,
               strchr(host, ':') != NULL ? "Starting %s monitor on [%s]:%u" : "Starting %s monitor on %s:%u",
               options->https_port != 0 ? "https" : "http", host, monitor->port);
    return ERR_OK;
}

void monitor_arm(struct control *control)
{
    struct monitor *monitor = &control->monitor;
    if (monitor->listen_fd >= 0 && monitor->accept.in_flight == 0)
        loop_accept(control->loop, &monitor->accept, monitor->listen_fd);
}

static void timer_in(struct control *control, struct monitor_connection *connection, int64_t after_ns)
{
    if (timers_set(&control->timers, &connection->timer, control->now_ns + after_ns) != ERR_OK)
        connection_end(control, connection); /* nothing may stay open without an end */
}

static void connection_new(struct control *control, int fd)
{
    int one = 1;
    struct monitor *monitor = &control->monitor;
    struct monitor_connection *connection =
        monitor->connection_count < MONITOR_CONNECTIONS_MAX ? memory_new(sizeof *connection) : NULL;
    char *head = connection == NULL ? NULL : memory_new(HTTP_REPLY_HEAD_BYTES);
    if (head == NULL) {
        memory_free(connection);
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->fd = fd;
    connection->head_out = head;
    connection->receive.kind = CONTROL_OP_MONITOR_RECEIVE;
    connection->send.kind = CONTROL_OP_MONITOR_SEND;
    connection->timer.kind = CONTROL_TIMER_MONITOR;
    if (!monitor_tls_begin(control, connection)) {
        memory_free(head);
        memory_free(connection);
        close(fd);
        return;
    }
    list_push_last(&monitor->connections, &connection->all);
    monitor->connection_count++;
    loop_receive(control->loop, &connection->receive, fd);
    timer_in(control, connection, HEAD_NS);
}

void monitor_accepted(struct control *control, const struct loop_completion *completion)
{
    struct monitor *monitor = &control->monitor;
    if (completion->result >= 0) {
        if (monitor->listen_fd >= 0)
            connection_new(control, completion->result);
        else
            close(completion->result);
    }
    if (completion->more || monitor->listen_fd < 0)
        return;
    /* Out of descriptors or memory: with the next timer of the client port's kind it would be the same. */
    if (completion->result >= 0 || completion->result == -EINTR || completion->result == -ECONNABORTED ||
        completion->result == -EAGAIN)
        monitor_arm(control);
    else if (timers_set(&control->timers, &control->monitor_timer, control->now_ns + NS_PER_SECOND) != ERR_OK)
        monitor_arm(control);
}

/* ---- connections ---- */

static void receive_arm(struct control *control, struct monitor_connection *connection)
{
    if (connection->receive.in_flight == 0 && !connection->ended && connection->state == MONITOR_READING)
        loop_receive(control->loop, &connection->receive, connection->fd);
}

static void connection_end(struct control *control, struct monitor_connection *connection)
{
    if (connection->state == MONITOR_ENDING)
        return;
    connection->state = MONITOR_ENDING;
    timers_cancel(&control->timers, &connection->timer);
    if (list_linked(&connection->waiting))
        list_remove(&connection->waiting);
    if (control->monitor.task != NULL && control->monitor.task->connection == connection)
        control->monitor.task->connection = NULL; /* its pages are on their way: they are dropped */
    (void)shutdown(connection->fd, SHUT_RDWR);
    loop_cancel(control->loop, &connection->receive);
    loop_cancel(control->loop, &connection->send);
}

static void connection_free(struct control *control, struct monitor_connection *connection)
{
    timers_cancel(&control->timers, &connection->timer);
    if (list_linked(&connection->waiting))
        list_remove(&connection->waiting);
    list_remove(&connection->all);
    control->monitor.connection_count--;
    http_close(&connection->session);
    tls_stream_free(connection->stream);
    memory_free(connection->target);
    memory_free(connection->head_out);
    memory_free(connection->body);
    close(connection->fd);
    memory_free(connection);
}

static void free_when_home(struct control *control, struct monitor_connection *connection)
{
    if (connection->state == MONITOR_ENDING && connection->receive.in_flight == 0 &&
        connection->send.in_flight == 0)
        connection_free(control, connection);
}

/* The answer to what is no request; `why` NULL: it came in clear to a port with TLS. */
static void refuse(struct control *control, struct monitor_connection *connection, enum http_status status,
                   const char *why)
{
    char body[128];
    int count = why == NULL
                    ? snprintf(body, sizeof body, "Client sent an HTTP request to an HTTPS server.\n")
                    : snprintf(body, sizeof body, "%d %s%s", (int)status, http_status_text(status), why);
    struct http_reply reply = {.status = status, .content_type = "text/plain; charset=utf-8"};
    connection->close = true;
    connection->only_head = false;
    monitor_reply(control, connection, &reply, memory_copy(body, (size_t)count), (size_t)count);
}

/* Bytes from the socket, to the session or to the stream before it. */
static void give(struct control *control, struct monitor_connection *connection, struct bytes bytes)
{
    bool clear = connection->stream != NULL && !connection->begun && bytes.data[0] != TLS_RECORD_HANDSHAKE;
    connection->begun = true;
    if (clear) {
        tls_stream_free(connection->stream);
        connection->stream = NULL;
        connection->state = MONITOR_WAITING;
        refuse(control, connection, HTTP_BAD_REQUEST, NULL);
        return;
    }
    enum err err = connection->stream == NULL ? http_give(&connection->session, bytes)
                                              : monitor_tls_received(connection, bytes);
    if (connection->stream != NULL && connection->send.in_flight == 0)
        sealed_send(control, connection); /* the stream's own words: handshakes, alerts */
    if (err != ERR_OK)
        connection_end(control, connection);
}

void monitor_received(struct control *control, const struct loop_completion *completion)
{
    struct monitor_connection *connection = CONTAINER_OF(completion->op, struct monitor_connection, receive);
    if (completion->has_buffer) {
        if (completion->result > 0 && connection->state != MONITOR_ENDING)
            give(control, connection, completion->received);
        loop_buffer_return(control->loop, completion->buffer);
    }
    bool again = completion->result > 0 || completion->result == -ENOBUFS || completion->result == -EINTR ||
                 completion->result == -EAGAIN || completion->result == -ECANCELED;
    connection->ended = connection->ended || !again;
    if (connection->state == MONITOR_READING)
        request_next(control, connection);
    /* A peer that ends while its reply is on its way may only have shut its own side down. */
    if (connection->ended && (connection->state == MONITOR_READING || completion->result < 0))
        connection_end(control, connection);
    if (!completion->more)
        receive_arm(control, connection);
    free_when_home(control, connection);
}

/* The request's texts lie in the session's buffer, which more bytes may move. */
static bool target_keep(struct monitor_connection *connection, const struct http_request *request)
{
    connection->target = memory_new(request->path.count + request->query.count + 1);
    if (connection->target == NULL)
        return false;
    memcpy(connection->target, request->path.data, request->path.count);
    if (request->query.count > 0)
        memcpy(connection->target + request->path.count, request->query.data, request->query.count);
    connection->path_count = request->path.count;
    connection->query_count = request->query.count;
    return true;
}

static void request_next(struct control *control, struct monitor_connection *connection)
{
    struct http_request request;
    enum http_status status = HTTP_BAD_REQUEST;
    const char *why = "";
    switch (http_next(&connection->session, &request, &status, &why)) {
    case HTTP_MORE:
        /* A head that comes byte by byte has no more time than one that comes at once. */
        if (!http_torn(&connection->session))
            timer_in(control, connection, IDLE_NS);
        else if (!connection->head_begun)
            timer_in(control, connection, HEAD_NS);
        connection->head_begun = http_torn(&connection->session);
        return;
    case HTTP_REFUSED:
        connection->state = MONITOR_WAITING;
        refuse(control, connection, status, why);
        return;
    case HTTP_REQUEST:
        break;
    }
    connection->head_begun = false;
    connection->only_head = request.head;
    connection->close = request.close;
    connection->old = request.old;
    connection->state = MONITOR_WAITING;
    timers_cancel(&control->timers, &connection->timer);
    if (!target_keep(connection, &request)) {
        connection_end(control, connection);
        return;
    }
    loop_cancel(control->loop, &connection->receive); /* TCP slows whoever sends on */
    list_push_last(&control->monitor.waiting, &connection->waiting);
}

void monitor_reply(struct control *control, struct monitor_connection *connection,
                   const struct http_reply *reply, char *body, size_t body_count)
{
    struct http_reply head = *reply;
    ASSERT(connection->state == MONITOR_WAITING);
    head.wall_ns = clock_wall_ns();
    head.content_bytes = body_count;
    head.close = connection->close;
    head.keep_alive = connection->old && !connection->close;
    connection->head_count = http_head_write(connection->head_out, HTTP_REPLY_HEAD_BYTES, &head);
    ASSERT(connection->head_count > 0); /* a target fits into it, and all else is ours */
    memory_free(connection->target);
    connection->target = NULL;
    connection->body = body;
    connection->body_count = connection->only_head || body == NULL ? 0 : body_count;
    connection->sent = 0;
    connection->state = MONITOR_SENDING;
    send_on(control, connection);
}

/* The parts of the reply that were not sent yet. */
static uint32_t parts_left(const struct monitor_connection *connection, struct iovec parts[2])
{
    uint32_t count = 0;
    size_t sent = connection->sent;
    if (sent < connection->head_count)
        parts[count++] = (struct iovec){connection->head_out + sent, connection->head_count - sent};
    size_t body_sent = sent > connection->head_count ? sent - connection->head_count : 0;
    if (body_sent < connection->body_count)
        parts[count++] = (struct iovec){connection->body + body_sent, connection->body_count - body_sent};
    return count;
}

/* Sends what the stream has to say, and the reply through it. False: there is nothing. */
static bool sealed_send(struct control *control, struct monitor_connection *connection)
{
    struct iovec parts[LOOP_SEND_PARTS_MAX];
    struct iovec plain[2];
    uint32_t count = connection->state == MONITOR_SENDING ? parts_left(connection, plain) : 0;
    bool good = true;
    for (uint32_t i = 0; i < count && good; i++) {
        struct bytes piece = bytes_of(plain[i].iov_base, plain[i].iov_len);
        good = tls_stream_put(connection->stream, &piece, SEALED_BYTES_MOST);
        connection->sent += plain[i].iov_len - piece.count;
        if (piece.count > 0)
            break;
    }
    if (!good) {
        connection_end(control, connection);
        return true;
    }
    if (connection->state == MONITOR_SENDING && parts_left(connection, plain) == 0 && connection->close)
        tls_stream_shutdown(connection->stream);
    count = output_gather(tls_stream_output(connection->stream), parts, LOOP_SEND_PARTS_MAX);
    if (count > 0)
        loop_send(control->loop, &connection->send, connection->fd, parts, count);
    return count > 0;
}

static void send_on(struct control *control, struct monitor_connection *connection)
{
    struct iovec parts[2];
    if (connection->stream != NULL) {
        if (connection->send.in_flight != 0)
            return; /* its end goes on from here */
        if (sealed_send(control, connection)) {
            timer_in(control, connection, SEND_NS);
            return;
        }
    } else {
        uint32_t count = parts_left(connection, parts);
        if (count > 0) {
            loop_send(control->loop, &connection->send, connection->fd, parts, count);
            timer_in(control, connection, SEND_NS);
            return;
        }
    }
    memory_free(connection->body);
    connection->body = NULL;
    connection->body_count = 0;
    if (connection->close || connection->ended) {
        connection_end(control, connection);
        return;
    }
    connection->state = MONITOR_READING;
    request_next(control, connection);
    receive_arm(control, connection);
}

void monitor_sent(struct control *control, const struct loop_completion *completion)
{
    struct monitor_connection *connection = CONTAINER_OF(completion->op, struct monitor_connection, send);
    bool again = completion->result == -EINTR || completion->result == -EAGAIN;
    bool good = completion->result > 0 || again;
    if (completion->result > 0 && connection->stream == NULL)
        connection->sent += (size_t)completion->result;
    else if (completion->result > 0)
        output_sent(tls_stream_output(connection->stream), &control->monitor.pool,
                    (uint64_t)completion->result);
    if (connection->state == MONITOR_ENDING)
        good = true; /* it ends anyway */
    else if (good && connection->state == MONITOR_SENDING)
        send_on(control, connection);
    else if (good && connection->stream != NULL)
        (void)sealed_send(control, connection);
    if (!good)
        connection_end(control, connection);
    free_when_home(control, connection);
}

void monitor_timer_due(struct control *control, struct timer *timer)
{
    struct monitor_connection *connection = CONTAINER_OF(timer, struct monitor_connection, timer);
    connection_end(control, connection);
    free_when_home(control, connection);
}

/* ---- work ---- */

/* Begins the next request, if nothing else is worked on. */
static void begin_next(struct control *control)
{
    if (control->monitor.task != NULL)
        return;
    /* In turn: neither whoever asks over HTTP nor the system account waits for all of the other's. */
    control->monitor.system_turn = !control->monitor.system_turn;
    if (control->monitor.system_turn && system_begin_next(control))
        return;
    struct list_link *first = list_first(&control->monitor.waiting);
    if (first == NULL)
        return;
    struct monitor_connection *connection = LIST_ELEMENT(first, struct monitor_connection, waiting);
    list_remove(first);
    monitor_task_begin(control, connection);
    free_when_home(control, connection);
}

bool monitor_step(struct control *control)
{
    if (control->monitor.task != NULL)
        monitor_task_step(control);
    begin_next(control);
    const struct monitor *monitor = &control->monitor;
    return monitor->task != NULL ? monitor->task->step_wanted
                                 : !list_empty(&monitor->waiting) || !list_empty(&control->system.waiting);
}

void monitor_report_take(struct control *control, uint32_t from, const uint8_t *bytes)
{
    struct mail_report mail;
    memcpy(&mail, bytes, sizeof mail);
    monitor_task_page(control, from, &mail);
}

void monitor_stop(struct control *control)
{
    struct monitor *monitor = &control->monitor;
    if (monitor->listen_fd >= 0) {
        loop_cancel(control->loop, &monitor->accept);
        (void)shutdown(monitor->listen_fd, SHUT_RDWR);
        close(monitor->listen_fd);
        monitor->listen_fd = -1;
    }
    for (struct list_link *at = list_first(&monitor->connections), *next = NULL; at != NULL; at = next) {
        next = list_next(&monitor->connections, at);
        struct monitor_connection *connection = LIST_ELEMENT(at, struct monitor_connection, all);
        connection_end(control, connection);
        free_when_home(control, connection);
    }
}

void monitor_close(struct control *control)
{
    struct monitor *monitor = &control->monitor;
    if (monitor->listen_fd >= 0)
        close(monitor->listen_fd);
    monitor_task_free(control);
    for (struct list_link *at;
         monitor->connections.ends.next != NULL && (at = list_first(&monitor->connections)) != NULL;)
        connection_free(control, LIST_ELEMENT(at, struct monitor_connection, all));
    memory_free(monitor->base_path);
    tls_context_release(monitor->tls);
    output_pool_close(&monitor->pool);
}
