/* core/base/log_syslog.c - connecting to a syslog daemon and never waiting for it. */
#include "core/base/log_syslog.h"

#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "core/base/quote.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { URL_HOST_BYTES_MAX = 256, REASON_BYTES_MAX = 512 };

static enum err prepare(struct log_syslog *syslog, const char *program);
static enum err use_path(struct log_syslog *syslog, const char *path);
static enum err use_host(struct log_syslog *syslog, const char *network, const char *host_and_port,
                         char *reason, size_t reason_bytes);
static const char *split_host(const char *host_and_port, char *host, size_t host_bytes, const char **port);
static enum err connect_socket(struct log_syslog *syslog, int wait_ms);
static enum err wait_writable(int fd, int wait_ms);
static void disconnect(struct log_syslog *syslog);
static enum err send_rest(struct log_syslog *syslog, const char *data, size_t count);

enum err log_syslog_open_local(struct log_syslog *syslog, const char *const *paths, const char *program,
                               char *why, size_t why_bytes)
{
    static const char *const usual[] = {"/dev/log", "/var/run/syslog", "/var/run/log", NULL};
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
    enum err err = prepare(syslog, program);
    if (err != ERR_OK) {
        (void)snprintf(why, why_bytes, "error connecting to syslog: \"%s\"", err_text(err));
        return err;
    }
    syslog->daemon = true;
    syslog->local_shape = true;
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        syslog->type = types[t];
        for (const char *const *path = paths == NULL ? usual : paths; *path != NULL; path++) {
            if (use_path(syslog, *path) == ERR_OK && connect_socket(syslog, LOG_SYSLOG_CONNECT_MS) == ERR_OK)
                return ERR_OK;
        }
    }
    log_syslog_close(syslog);
    (void)snprintf(why, why_bytes, "error connecting to syslog: \"Unix syslog delivery error\"");
    return ERR_NOT_FOUND;
}

enum err log_syslog_open_remote(struct log_syslog *syslog, const char *url, const char *program, char *why,
                                size_t why_bytes)
{
    char reason[REASON_BYTES_MAX] = "";
    char quoted[QUOTE_BYTES_NEEDED(REASON_BYTES_MAX)];
    enum err err = prepare(syslog, program);
    const char *colon = strstr(url, "://");
    const char *rest = colon == NULL ? "" : colon + 3;
    struct bytes scheme = bytes_of(url, colon == NULL ? 0 : (size_t)(colon - url));

    if (err != ERR_OK) {
        (void)snprintf(reason, sizeof reason, "%s", err_text(err));
    } else if (bytes_equal(scheme, TEXT("unix"))) {
        syslog->local_shape = true;
        /* A stream is what the URL means to other servers; daemons mostly listen for datagrams. Take either.
         */
        err = use_path(syslog, rest);
        for (int datagram = 0; datagram < 2 && syslog->fd < 0 && err == ERR_OK; datagram++) {
            syslog->type = datagram ? SOCK_DGRAM : SOCK_STREAM;
            err = connect_socket(syslog, LOG_SYSLOG_CONNECT_MS);
            if (err != ERR_OK && errno == EPROTOTYPE && !datagram)
                err = ERR_OK;
        }
        if (err != ERR_OK)
            (void)snprintf(reason, sizeof reason, "dial unix %.256s: connect: %s", rest,
                           errno_text(errno).text);
    } else if (bytes_equal(scheme, TEXT("udp")) || bytes_equal(scheme, TEXT("tcp"))) {
        syslog->type = scheme.data[0] == 'u' ? SOCK_DGRAM : SOCK_STREAM;
        err = use_host(syslog, syslog->type == SOCK_DGRAM ? "udp" : "tcp", rest, reason, sizeof reason);
    } else {
        (void)quote(scheme, quoted, sizeof quoted);
        (void)snprintf(why, why_bytes, "error invalid network type: %s", quoted);
        log_syslog_close(syslog);
        return ERR_INVALID;
    }
    if (err != ERR_OK) {
        (void)quote(text(reason), quoted, sizeof quoted);
        (void)snprintf(why, why_bytes, "error connecting to syslog: %s", quoted);
        log_syslog_close(syslog);
    }
    return err;
}

void log_syslog_close(struct log_syslog *syslog)
{
    if (!syslog->open)
        return;
    if (syslog->fd >= 0)
        (void)close(syslog->fd);
    memory_free(syslog->program);
    *syslog = (struct log_syslog){0};
}

struct log_stamp_syslog log_syslog_stamp(const struct log_syslog *syslog, pid_t pid)
{
    return (struct log_stamp_syslog){
        .daemon = syslog->daemon,
        .host = syslog->local_shape ? NULL : syslog->host,
        .program = syslog->program,
        .pid = pid,
    };
}

enum err log_syslog_write(struct log_syslog *syslog, const void *data, size_t count)
{
    if (syslog->fd < 0) {
        int64_t now_ns = clock_monotonic_ns();
        if (now_ns < syslog->next_try_ns) {
            errno = ENOTCONN;
            return ERR_SYSTEM;
        }
        if (connect_socket(syslog, 0) != ERR_OK) {
            syslog->next_try_ns = now_ns + LOG_SYSLOG_RETRY_MS * NS_PER_MS;
            return ERR_SYSTEM;
        }
    }
    if (syslog->type == SOCK_DGRAM && count > LOG_SYSLOG_DATAGRAM_BYTES_MAX)
        count = LOG_SYSLOG_DATAGRAM_BYTES_MAX;

    for (;;) {
        ssize_t sent = send(syslog->fd, data, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent == (ssize_t)count)
            return ERR_OK;
        if (sent >= 0)
            return send_rest(syslog, (const char *)data + sent, count - (size_t)sent);
        /* EAGAIN: a full socket, or a connection still being made; nothing was cut, so the socket stays. UDP
         * reports the refusal of an earlier datagram: the daemon may be back, so the socket stays, too. */
        bool stays = errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE ||
                     (syslog->type == SOCK_DGRAM && !syslog->local_shape);
        if (!stays)
            disconnect(syslog);
        return ERR_SYSTEM;
    }
}

static enum err prepare(struct log_syslog *syslog, const char *program)
{
    *syslog = (struct log_syslog){.fd = -1};
    syslog->program = memory_copy(program, strlen(program));
    if (syslog->program == NULL)
        return ERR_MEMORY;
    syslog->open = true;
    if (gethostname(syslog->host, sizeof syslog->host - 1) != 0 || syslog->host[0] == 0)
        (void)snprintf(syslog->host, sizeof syslog->host, "localhost");
    return ERR_OK;
}

static enum err use_path(struct log_syslog *syslog, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = EINVAL;
        return ERR_SYSTEM;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    memcpy(&syslog->address, &address, sizeof address);
    syslog->address_bytes = sizeof address;
    return ERR_OK;
}

/* Looks the host up and connects to the first of its addresses that answers. */
static enum err use_host(struct log_syslog *syslog, const char *network, const char *host_and_port,
                         char *reason, size_t reason_bytes)
{
    char host[URL_HOST_BYTES_MAX];
    const char *port = NULL;
    const char *wrong = split_host(host_and_port, host, sizeof host, &port);
    if (wrong != NULL) {
        (void)snprintf(reason, reason_bytes, "dial %s: %s%s%s", network,
                       host_and_port[0] == 0 ? "" : "address ", host_and_port[0] == 0 ? "" : host_and_port,
                       wrong);
        return ERR_INVALID;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = syslog->type};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) {
        (void)snprintf(reason, reason_bytes, "dial %s: lookup %s: %s", network, host,
                       failed == EAI_NONAME ? "no such host" : gai_strerror(failed));
        return ERR_NOT_FOUND;
    }
    enum err err = ERR_SYSTEM;
    for (const struct addrinfo *one = found; one != NULL && err != ERR_OK; one = one->ai_next) {
        memcpy(&syslog->address, one->ai_addr, one->ai_addrlen);
        syslog->address_bytes = one->ai_addrlen;
        err = connect_socket(syslog, LOG_SYSLOG_CONNECT_MS);
    }
    if (err != ERR_OK)
        (void)snprintf(reason, reason_bytes, "dial %s %s: connect: %s", network, host_and_port,
                       errno_text(errno).text);
    int cause = errno;
    freeaddrinfo(found);
    errno = cause;
    return err;
}

/* NULL, or what is wrong with "host:port". */
static const char *split_host(const char *host_and_port, char *host, size_t host_bytes, const char **port)
{
    if (host_and_port[0] == 0)
        return "missing address";
    const char *end = strrchr(host_and_port, ':');
    const char *start = host_and_port;
    if (host_and_port[0] == '[') {
        const char *bracket = strchr(host_and_port, ']');
        if (bracket == NULL)
            return ": missing ']' in address";
        if (bracket[1] != ':')
            return ": missing port in address";
        start = host_and_port + 1;
        *port = bracket + 2;
        end = bracket;
    } else {
        if (end == NULL)
            return ": missing port in address";
        if (strchr(host_and_port, ':') != end)
            return ": too many colons in address";
        *port = end + 1;
    }
    size_t count = (size_t)(end - start);
    if (count >= host_bytes)
        return ": host name too long";
    memcpy(host, start, count);
    host[count] = 0;
    if (count == 0)
        (void)snprintf(host, host_bytes, "localhost");
    return NULL;
}

/* wait_ms 0: starts only; what is sent before the answer is refused with EAGAIN or ENOTCONN. */
static enum err connect_socket(struct log_syslog *syslog, int wait_ms)
{
    int fd = socket(syslog->address.ss_family, syslog->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    enum err err = ERR_OK;
    if (connect(fd, (const struct sockaddr *)&syslog->address, syslog->address_bytes) != 0) {
        bool under_way = errno == EINPROGRESS;
        err = !under_way ? ERR_SYSTEM : wait_ms == 0 ? ERR_OK : wait_writable(fd, wait_ms);
        int failure = 0;
        socklen_t failure_bytes = sizeof failure;
        if (err == ERR_OK && wait_ms > 0 &&
            (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &failure_bytes) != 0 || failure != 0)) {
            errno = failure == 0 ? errno : failure;
            err = ERR_SYSTEM;
        }
    }
    if (err != ERR_OK) {
        int cause = errno;
        (void)close(fd);
        errno = cause;
        return err;
    }
    syslog->fd = fd;
    return ERR_OK;
}

static enum err wait_writable(int fd, int wait_ms)
{
    int64_t end_ns = clock_monotonic_ns() + wait_ms * NS_PER_MS;
    for (;;) {
        int64_t left_ns = end_ns - clock_monotonic_ns();
        struct pollfd wanted = {.fd = fd, .events = POLLOUT};
        int ready = poll(&wanted, 1, left_ns <= 0 ? 0 : (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS));
        if (ready > 0)
            return ERR_OK;
        if (ready < 0 && errno != EINTR)
            return ERR_SYSTEM;
        if (left_ns <= 0) {
            errno = ETIMEDOUT;
            return ERR_SYSTEM;
        }
    }
}

/* Keeps errno. */
static void disconnect(struct log_syslog *syslog)
{
    int cause = errno;
    (void)close(syslog->fd);
    syslog->fd = -1;
    syslog->next_try_ns = clock_monotonic_ns() + LOG_SYSLOG_RETRY_MS * NS_PER_MS;
    errno = cause;
}

/* The rest of a line that a stream took in part: finish it soon, or cut the stream, because a line that
 * begins in the middle of another would be taken for part of it. */
static enum err send_rest(struct log_syslog *syslog, const char *data, size_t count)
{
    int64_t end_ns = clock_monotonic_ns() + LOG_SYSLOG_WAIT_MS * NS_PER_MS;
    while (count > 0) {
        int64_t left_ns = end_ns - clock_monotonic_ns();
        if (left_ns <= 0 || wait_writable(syslog->fd, (int)(left_ns / NS_PER_MS)) != ERR_OK)
            break;
        ssize_t sent = send(syslog->fd, data, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR && errno != EAGAIN)
            break;
        if (sent > 0) {
            data += sent;
            count -= (size_t)sent;
        }
    }
    if (count == 0)
        return ERR_OK;
    disconnect(syslog);
    return ERR_SYSTEM;
}
