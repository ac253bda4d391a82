/* bench/connection.c - sockets, greeting and epoll behind connection.h. */
#include "bench/connection.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { GREETING_BYTES = 48 * 1024 }; /* more than two TLS records: secure_read() */

static enum err socket_connect(int *fd, const struct options *options, struct failure *failure);
static enum err connection_greet(struct connection *connection, const struct options *options, char *version,
                                 size_t version_bytes, struct failure *failure);
static enum err greeting_receive(struct connection *connection, struct scanner *scanner,
                                 enum scan_result wanted, char *version, size_t version_bytes,
                                 struct failure *failure);
static void version_copy(struct bytes info, char *version, size_t version_bytes);
static void json_text(char *out, size_t out_bytes, const char *value);

enum err engine_init(struct engine *engine, struct failure *failure)
{
    *engine = (struct engine){.epoll_fd = -1, .signal_fd = -1};
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    engine->receive = memory_new(SCANNER_TORN_BYTES + RECEIVE_BYTES);
    if (engine->receive == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    engine->receive += SCANNER_TORN_BYTES;
    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (engine->epoll_fd < 0 || sigprocmask(SIG_BLOCK, &stops, NULL) < 0 ||
        (engine->signal_fd = signalfd(-1, &stops, SFD_NONBLOCK | SFD_CLOEXEC)) < 0 ||
        epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, engine->signal_fd, &event) < 0) {
        enum err err = failure_set_errno(failure, "epoll cannot be set up");
        engine_close(engine);
        return err;
    }
    engine->now_ns = clock_monotonic_ns();
    return ERR_OK;
}

void engine_close(struct engine *engine)
{
    if (engine->receive == NULL)
        return;
    memory_free(engine->receive - SCANNER_TORN_BYTES);
    if (engine->epoll_fd >= 0)
        (void)close(engine->epoll_fd);
    if (engine->signal_fd >= 0)
        (void)close(engine->signal_fd);
    *engine = (struct engine){.epoll_fd = -1, .signal_fd = -1};
}

enum err engine_watch(struct engine *engine, struct connection *connection, bool writable,
                      struct failure *failure)
{
    uint32_t wanted = (connection->paused ? 0u : EPOLLIN) | (writable ? EPOLLOUT : 0u);
    ASSERT(wanted != 0); /* 0 says that epoll does not know it yet */
    if (wanted == connection->watched)
        return ERR_OK;
    struct epoll_event event = {.events = wanted, .data.ptr = connection};
    int operation = connection->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(engine->epoll_fd, operation, connection->fd, &event) < 0)
        return failure_set_errno(failure, "a connection cannot be watched");
    connection->watched = wanted;
    return ERR_OK;
}

enum err engine_wait(struct engine *engine, int64_t timeout_ns, struct failure *failure)
{
    struct timespec timeout = {timeout_ns / NS_PER_SECOND, timeout_ns % NS_PER_SECOND};
    int count = epoll_pwait2(engine->epoll_fd, engine->events, ENGINE_EVENTS_MAX, &timeout, NULL);
    if (count < 0 && errno == ENOSYS) /* before Linux 5.11: whole milliseconds, rounded down, so never late */
        count =
            epoll_wait(engine->epoll_fd, engine->events, ENGINE_EVENTS_MAX, (int)(timeout_ns / NS_PER_MS));
    if (count < 0 && errno != EINTR)
        return failure_set_errno(failure, "waiting failed");
    engine->now_ns = clock_monotonic_ns();
    engine->event_count = 0;
    for (int i = 0; i < count; i++) {
        if (engine->events[i].data.ptr == NULL)
            engine->interrupted = true; /* left unread: it stays said */
        else
            engine->events[engine->event_count++] = engine->events[i];
    }
    return ERR_OK;
}

void connection_init(struct connection *connection)
{
    *connection = (struct connection){.fd = -1};
}

void connection_close(struct connection *connection)
{
    secure_free(connection->secure, connection->fd);
    if (connection->fd >= 0)
        (void)close(connection->fd);
    memory_free(connection->output.data);
    connection_init(connection);
}

enum err connection_open(struct connection *connection, const struct options *options, char *version,
                         size_t version_bytes, struct failure *failure)
{
    connection_init(connection);
    enum err err = socket_connect(&connection->fd, options, failure);
    if (err == ERR_OK)
        err = connection_greet(connection, options, version, version_bytes, failure);
    if (err == ERR_OK)
        err = connection_adopt(connection, connection->fd, failure);
    if (err != ERR_OK)
        connection_close(connection);
    return err;
}

enum err connection_adopt(struct connection *connection, int fd, struct failure *failure)
{
    int on = 1;
    connection->fd = fd;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return failure_set_errno(failure, "a socket cannot be prepared");
    return ERR_OK;
}

uint8_t *connection_reserve(struct connection *connection, size_t count)
{
    struct output *output = &connection->output;
    if (output->count == 0)
        output->start = 0;
    if (output->start > 0 && output->start + output->count + count > output->capacity) {
        memmove(output->data, output->data + output->start, output->count);
        output->start = 0;
    }
    size_t needed = output->start + output->count + count;
    if (needed > output->capacity) {
        size_t capacity = needed < 4096 ? 4096 : needed + needed / 2;
        uint8_t *data = memory_grow(output->data, capacity);
        if (data == NULL)
            return NULL;
        output->data = data;
        output->capacity = capacity;
    }
    uint8_t *at = output->data + output->start + output->count;
    output->count += count;
    return at;
}

enum err connection_print(struct connection *connection, struct failure *failure, const char *format, ...)
{
    char line[8192];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (count < 0 || (size_t)count >= sizeof(line))
        return failure_set(failure, ERR_INVALID, "a line to the server would be longer than %zu bytes",
                           sizeof(line));
    uint8_t *at = connection_reserve(connection, (size_t)count);
    if (at == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    memcpy(at, line, (size_t)count);
    return ERR_OK;
}

enum err connection_ping(struct connection *connection, struct failure *failure)
{
    enum err err = connection_print(connection, failure, "PING\r\n");
    if (err == ERR_OK)
        connection->pongs_expected++;
    return err;
}

bool connection_refuses(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EPIPE || error == ECONNRESET;
}

enum err connection_flush(struct connection *connection, struct failure *failure)
{
    struct output *output = &connection->output;
    if (connection->secure != NULL) {
        size_t taken = 0;
        enum err err = secure_write(connection->secure, connection->fd, output->data + output->start,
                                    output->count, &taken, failure);
        output->start += taken;
        output->count -= taken;
        return err;
    }
    while (output->count > 0) {
        ssize_t sent = send(connection->fd, output->data + output->start, output->count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && connection_refuses(errno))
            return ERR_OK;
        if (sent < 0)
            return failure_set_errno(failure, "sending to the server failed");
        output->start += (size_t)sent;
        output->count -= (size_t)sent;
    }
    return ERR_OK;
}

enum err connection_receive(struct connection *connection, struct engine *engine, struct scan_input *input,
                            struct failure *failure)
{
    if (connection->secure != NULL) {
        size_t count = 0;
        bool ended = false;
        enum err err = secure_read(connection->secure, connection->fd, engine->receive, RECEIVE_BYTES, &count,
                                   &ended, failure);
        if (err == ERR_OK && ended)
            return failure_set(failure, ERR_SYSTEM, "the server closed a connection");
        *input = count == 0 ? (struct scan_input){engine->receive, engine->receive}
                            : scanner_begin(&connection->scanner, engine->receive, count);
        return err;
    }
    ssize_t got = recv(connection->fd, engine->receive, RECEIVE_BYTES, 0);
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        return failure_set_errno(failure, "receiving from the server failed");
    if (got == 0)
        return failure_set(failure, ERR_SYSTEM, "the server closed a connection");
    if (got < 0)
        *input = (struct scan_input){engine->receive, engine->receive};
    else
        *input = scanner_begin(&connection->scanner, engine->receive, (size_t)got);
    return ERR_OK;
}

enum err connection_control(struct connection *connection, enum scan_result result,
                            const struct scan_event *event, struct failure *failure)
{
    switch (result) {
    case SCAN_PING:
        return connection_print(connection, failure, "PONG\r\n");
    case SCAN_PONG:
        if (connection->pongs_expected == 0)
            return failure_set(failure, ERR_INVALID, "the server sent a PONG that nobody asked for");
        connection->pongs_expected--;
        return ERR_OK;
    case SCAN_ERROR:
        return failure_set(failure, ERR_DENIED, "the server says: %.*s", BYTES_PRINTF(event->line));
    case SCAN_BROKEN:
        return failure_set(failure, ERR_INVALID, "the server sent what no NATS server sends");
    case SCAN_INFO:
    case SCAN_OK:
    case SCAN_MESSAGE:
    case SCAN_MORE:
        return ERR_OK;
    }
    return ERR_OK;
}

enum err connection_limit_raise(uint64_t connections, struct failure *failure)
{
    enum { OTHER_DESCRIPTORS = 32 };
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return failure_set_errno(failure, "the limit of open files cannot be read");
    uint64_t needed = connections + OTHER_DESCRIPTORS;
    if (limit.rlim_cur >= needed)
        return ERR_OK;
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < needed || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return failure_set(failure, ERR_FULL, "%llu connections need more open files than the limit of %llu",
                           (unsigned long long)connections, (unsigned long long)limit.rlim_max);
    return ERR_OK;
}

static enum err socket_connect(int *fd, const struct options *options, struct failure *failure)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int result = getaddrinfo(options->host, options->port, &hints, &list);
    if (result != 0)
        return failure_set(failure, ERR_NOT_FOUND, "%s: %s", options->host, gai_strerror(result));
    struct timeval timeout = {options->timeout_ns / NS_PER_SECOND,
                              options->timeout_ns % NS_PER_SECOND / 1000};
    int on = 1;
    enum err err = failure_set(failure, ERR_NOT_FOUND, "%s has no address", options->host);
    for (struct addrinfo *at = list; at != NULL && err != ERR_OK; at = at->ai_next) {
        *fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
            setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
            setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
            connect(*fd, at->ai_addr, at->ai_addrlen) == 0) {
            err = ERR_OK;
        } else {
            err = failure_set_errno(failure, "cannot connect to %s:%s", options->host, options->port);
            if (*fd >= 0)
                (void)close(*fd);
            *fd = -1;
        }
    }
    freeaddrinfo(list);
    return err;
}

/* The socket still blocks, with a time limit, and its output is small. */
static enum err connection_greet(struct connection *connection, const struct options *options, char *version,
                                 size_t version_bytes, struct failure *failure)
{
    enum { JSON_TEXT_BYTES = 1024 };
    char user[JSON_TEXT_BYTES];
    char pass[JSON_TEXT_BYTES];
    char token[JSON_TEXT_BYTES];
    json_text(user, sizeof(user), options->user);
    json_text(pass, sizeof(pass), options->pass);
    json_text(token, sizeof(token), options->token);
    enum err err =
        greeting_receive(connection, &connection->scanner, SCAN_INFO, version, version_bytes, failure);
    if (err == ERR_OK && options->secure != NULL)
        err = secure_shake(&connection->secure, options->secure, options->host, connection->fd, failure);
    if (err != ERR_OK)
        return err;
    err = connection_print(connection, failure,
                           "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,"
                           "\"name\":\"myelin-bench\",\"lang\":\"c\",\"version\":\"1\",\"protocol\":1,"
                           "\"headers\":true,\"no_responders\":true%s%s%s%s%s%s}\r\n",
                           options->user == NULL ? "" : ",\"user\":", user,
                           options->pass == NULL ? "" : ",\"pass\":", pass,
                           options->token == NULL ? "" : ",\"auth_token\":", token);
    if (err == ERR_OK)
        err = connection_ping(connection, failure);
    if (err == ERR_OK)
        err = connection_flush(connection, failure);
    if (err == ERR_OK && connection->output.count > 0)
        err = failure_set(failure, ERR_SYSTEM, "the server does not read CONNECT");
    if (err == ERR_OK)
        err = greeting_receive(connection, &connection->scanner, SCAN_PONG, NULL, 0, failure);
    return err;
}

/* As recv(). */
static ssize_t greeting_read(struct connection *connection, uint8_t *into, size_t room)
{
    struct failure failure;
    size_t got = 0;
    bool ended = false;
    if (connection->secure == NULL)
        return recv(connection->fd, into, room, 0);
    do {
        errno = 0;
        if (secure_read(connection->secure, connection->fd, into, room, &got, &ended, &failure) != ERR_OK)
            return -1;
        if (got == 0 && !ended && errno != 0)
            return -1;
    } while (got == 0 && !ended); /* tickets */
    return (ssize_t)got;
}

static enum err greeting_receive(struct connection *connection, struct scanner *scanner,
                                 enum scan_result wanted, char *version, size_t version_bytes,
                                 struct failure *failure)
{
    uint8_t bytes[SCANNER_TORN_BYTES + GREETING_BYTES];
    for (;;) {
        ssize_t got =
            greeting_read(connection, bytes + SCANNER_TORN_BYTES, sizeof(bytes) - SCANNER_TORN_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return failure_set(failure, ERR_SYSTEM, "the server does not answer");
        if (got < 0)
            return failure_set_errno(failure, "receiving from the server failed");
        if (got == 0)
            return failure_set(failure, ERR_SYSTEM, "the server closed the connection during its greeting");
        struct scan_input input = scanner_begin(scanner, bytes + SCANNER_TORN_BYTES, (size_t)got);
        struct scan_event event = {0};
        bool seen = false; /* more may come behind it: nats-server 2.15 sends another INFO after the PONG */
        for (enum scan_result result = scanner_next(scanner, &input, &event); result != SCAN_MORE;
             result = scanner_next(scanner, &input, &event)) {
            if (result == SCAN_INFO && version != NULL)
                version_copy(event.line, version, version_bytes);
            enum err err = connection_control(connection, result, &event, failure);
            if (err != ERR_OK)
                return err;
            seen = seen || result == wanted;
        }
        if (seen)
            return ERR_OK;
    }
}

/* From "version":"2.9.10" in INFO; enough of JSON for a line to look at. */
static void version_copy(struct bytes info, char *version, size_t version_bytes)
{
    static const char key[] = "\"version\":\"";
    const uint8_t *at = memmem(info.data, info.count, key, sizeof(key) - 1);
    size_t count = 0;
    if (at != NULL) {
        at += sizeof(key) - 1;
        while (at + count < info.data + info.count && at[count] != '"' && count + 1 < version_bytes)
            count++;
        memcpy(version, at, count);
    }
    version[count] = '\0';
}

/* A quoted JSON string, or nothing for NULL. What does not fit is cut: no server takes a name that long. */
static void json_text(char *out, size_t out_bytes, const char *value)
{
    size_t count = 0;
    if (value != NULL) {
        out[count++] = '"';
        for (const char *at = value; *at != '\0' && count + 8 < out_bytes; at++) {
            unsigned char byte = (unsigned char)*at;
            if (byte < ' ' || byte == '"' || byte == '\\')
                count += (size_t)snprintf(out + count, out_bytes - count, "\\u%04x", byte);
            else
                out[count++] = (char)byte;
        }
        out[count++] = '"';
    }
    out[count] = '\0';
}
