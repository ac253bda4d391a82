/* shards/control/control_accept.c - the client port: accepting, and which shard gets a connection. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LISTEN_BACKLOG = 4096,
    /* The kernel closes the sockets of a killed process's ring a moment after the process is gone. Who starts
     * the server again at once shall not find its port taken; a port that is really taken still fails soon.
     */
    LISTEN_TRIES = 100,
    LISTEN_PAUSE_MS = 10,
    WHY_BYTES = 384,
};
#define ACCEPT_DELAY_LEAST_NS (10 * NS_PER_MS)
#define ACCEPT_DELAY_MOST_NS NS_PER_SECOND

static int open_socket(const struct addrinfo *address)
{
    int one = 1;
    int zero = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static uint16_t real_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {0}};
    socklen_t count = sizeof address;
    if (getsockname(fd, &address.any, &count) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

/* A socket that listens on the first address that lets it; -1 with errno. */
static int open_first(const struct addrinfo *addresses)
{
    int fd = -1;
    for (int tries = 0; tries < LISTEN_TRIES && fd < 0; tries++) {
        if (tries > 0)
            (void)poll(NULL, 0, LISTEN_PAUSE_MS);
        for (const struct addrinfo *at = addresses; at != NULL && fd < 0; at = at->ai_next)
            fd = open_socket(at);
        if (fd < 0 && errno != EADDRINUSE)
            break;
    }
    return fd;
}

int control_socket_listen(const char *host, int64_t wanted, uint16_t *port, char *why, size_t why_bytes)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    char digits[16];
    long number = wanted == -1 ? 0 : (long)wanted;
    snprintf(digits, sizeof digits, "%ld", number);
    int result = getaddrinfo(host, digits, &hints, &addresses);
    if (result != 0) {
        snprintf(why, why_bytes, "listen tcp: lookup %s: %s", host, gai_strerror(result));
        return -1;
    }
    int fd = open_first(addresses);
    int error = errno;
    freeaddrinfo(addresses);
    if (fd < 0)
        snprintf(why, why_bytes, "listen tcp %s:%ld: bind: %s", host, number,
                 error == EADDRINUSE ? "address already in use" : strerror(error));
    else
        *port = real_port(fd);
    return fd;
}

enum err control_listen(struct control *control, char *why, size_t why_bytes)
{
    const struct server_options *options = control->snapshot->options;
    char cause[WHY_BYTES] = "";
    control->listen_fd =
        control_socket_listen(options->host, options->port, &control->port, cause, sizeof cause);
    if (control->listen_fd >= 0)
        return ERR_OK;
    snprintf(why, why_bytes, "Error listening on port: %s:%lld, \"%s\"", options->host,
             (long long)(options->port == -1 ? 0 : options->port), cause);
    return ERR_SYSTEM;
}

void control_listen_close(struct control *control)
{
    control->accepting = false;
    if (control->listen_fd < 0)
        return;
    loop_cancel(control->loop, &control->accept);
    (void)shutdown(control->listen_fd, SHUT_RDWR); /* the ring holds the socket until the accept comes home */
    close(control->listen_fd);
    control->listen_fd = -1;
}

void control_accept_arm(struct control *control)
{
    if (control->state != CONTROL_RUNNING || control->accept.in_flight != 0 || control->listen_fd < 0)
        return;
    control->accepting = true;
    loop_accept(control->loop, &control->accept, control->listen_fd);
}

static uint32_t least_loaded(const struct control *control)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < control->shard_count; i++) {
        if (control->open[i] < control->open[best])
            best = i;
    }
    return best;
}

static void peer_of(int fd, struct mail_connection *mail)
{
    struct sockaddr_storage address = {0};
    socklen_t count = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &count) != 0)
        return; /* gone already: its first receive will say so */
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address;
        inet_ntop(AF_INET, &in->sin_addr, mail->address, sizeof mail->address);
        mail->port = ntohs(in->sin_port);
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&address;
        mail->port = ntohs(in6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], mail->address, sizeof mail->address);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, mail->address, sizeof mail->address);
    }
}

/* Counts a connection that will shake hands, in windows of a second from the first one on; whether it is one
 * too many. With allow_non_tls those that stay in clear count too, but are never refused. */
static bool throttle(struct control *control)
{
    const struct tls_options *tls = &control->snapshot->options->net.tls;
    if (!tls->on || tls->rate_limit == 0)
        return false;
    if (control->now_ns >= control->throttle_end_ns) {
        control->throttle_end_ns = control->now_ns + NS_PER_SECOND;
        control->throttle_count = 0;
    }
    if (control->throttle_count++ < tls->rate_limit)
        return false;
    control->throttle_rejected++;
    if (!timer_set(&control->throttle_timer) &&
        timers_set(&control->timers, &control->throttle_timer, control->now_ns + NS_PER_SECOND) != ERR_OK)
        control_throttle_due(control); /* no memory to say it once a second: say it each time */
    return true;
}

void control_throttle_due(struct control *control)
{
    log_warning(control->log, "Rejected %llu connections due to TLS rate limiting",
                (unsigned long long)control->throttle_rejected);
    control->throttle_rejected = 0;
}

static void hand_over(struct control *control, int fd)
{
    int64_t most = control->snapshot->options->net.max_connections;
    uint32_t to = least_loaded(control);
    struct mail_connection mail = {
        .kind = MAIL_CONNECTION,
        .fd = fd,
        .cid = control->next_cid++,
        .refused = most >= 0 ? control_open_connections(control) >= (uint64_t)most : true,
    };
    control->accepted_count++;
    mail.throttled = !mail.refused && throttle(control);
    peer_of(fd, &mail);
    if (mail.refused)
        log_error(control->log, "maximum connections exceeded");
    if (!control_tell(control, to, &mail, sizeof mail)) {
        close(fd); /* thousands are waiting for that shard already: this one is refused */
        return;
    }
    control->open[to]++;
}

/* No descriptor or memory: wait a moment, then accept again (nats-server does the same). */
static void accept_failed(struct control *control, int error)
{
    control->accept_delay_ns =
        control->accept_delay_ns == 0 ? ACCEPT_DELAY_LEAST_NS : control->accept_delay_ns * 2;
    if (control->accept_delay_ns > ACCEPT_DELAY_MOST_NS)
        control->accept_delay_ns = ACCEPT_DELAY_MOST_NS;
    log_error(control->log, "Temporary Client Accept Error (%s), sleeping %lldms", strerror(error),
              (long long)(control->accept_delay_ns / NS_PER_MS));
    if (timers_set(&control->timers, &control->accept_timer, control->now_ns + control->accept_delay_ns) !=
        ERR_OK)
        control_accept_arm(control);
}

void control_accepted(struct control *control, const struct loop_completion *completion)
{
    if (completion->result >= 0) {
        control->accept_delay_ns = 0;
        if (control->accepting)
            hand_over(control, completion->result);
        else
            close(completion->result);
    }
    if (completion->more || !control->accepting)
        return;
    if (completion->result < 0 && completion->result != -EINTR && completion->result != -ECONNABORTED &&
        completion->result != -EAGAIN)
        accept_failed(control, -completion->result);
    else
        control_accept_arm(control);
}
