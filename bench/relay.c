/* bench/relay.c - the bare relay behind relay.h. The child's loop is relay_pass(): read up to 64 KiB, write
 * the same bytes to each subscriber, both blocking. */
#include "bench/relay.h"

#include "core/base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RELAY_READ_BYTES = 64 * 1024 };

/* The child's side. */
struct relay_ends {
    struct pollfd *publishers;
    int *subscribers;
    uint64_t publisher_count;
    uint64_t subscriber_count;
};

static enum err listener_open(int *fd, struct sockaddr_in *address, struct failure *failure);
static enum err pair_connect(int listener, const struct sockaddr_in *address, int *ours, int *relays,
                             struct failure *failure);
static enum err pairs_connect(struct relay *relay, struct relay_ends *ends, struct failure *failure);
static void ends_close(struct relay_ends *ends);
static void descriptors_close(int *fds, uint64_t count);
static _Noreturn void relay_run(const struct relay_ends *ends);
static bool relay_pass(const struct relay_ends *ends, uint64_t publisher, uint8_t *bytes);

enum err relay_start(struct relay *relay, uint64_t publishers, uint64_t subscribers, struct failure *failure)
{
    struct relay_ends ends = {.publisher_count = publishers, .subscriber_count = subscribers};
    *relay = (struct relay){.publishers = publishers, .subscribers = subscribers};
    relay->publisher_fds = memory_new(publishers * sizeof(int));
    relay->subscriber_fds = memory_new(subscribers * sizeof(int));
    relay->relay_fds = memory_new(publishers * sizeof(int));
    ends.publishers = memory_new(publishers * sizeof(*ends.publishers));
    ends.subscribers = memory_new(subscribers * sizeof(int));
    enum err err = ERR_MEMORY;
    if (relay->publisher_fds != NULL && relay->subscriber_fds != NULL && relay->relay_fds != NULL &&
        ends.publishers != NULL && ends.subscribers != NULL)
        err = pairs_connect(relay, &ends, failure);
    else
        (void)failure_set(failure, ERR_MEMORY, "out of memory");
    if (err == ERR_OK) {
        pid_t parent = getpid();
        relay->pid = fork();
        if (relay->pid == 0) {
            /* A generator that was killed must not leave a relay behind. */
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(1);
            descriptors_close(relay->publisher_fds, publishers);
            descriptors_close(relay->subscriber_fds, subscribers);
            relay_run(&ends);
        }
        if (relay->pid < 0) {
            relay->pid = 0;
            err = failure_set_errno(failure, "the relay cannot be started");
        }
    }
    ends_close(&ends);
    if (err != ERR_OK)
        relay_stop(relay);
    return err;
}

bool relay_idle(const struct relay *relay)
{
    for (uint64_t i = 0; i < relay->publishers; i++) {
        int unread = 0;
        if (ioctl(relay->relay_fds[i], FIONREAD, &unread) == 0 && unread > 0)
            return false;
        int unsent = 0;
        if (ioctl(relay->publisher_fds[i], TIOCOUTQ, &unsent) == 0 && unsent > 0)
            return false;
    }
    return true;
}

void relay_stop(struct relay *relay)
{
    if (relay->pid > 0) {
        (void)kill(relay->pid, SIGKILL);
        while (waitpid(relay->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    descriptors_close(relay->publisher_fds, relay->publishers);
    descriptors_close(relay->subscriber_fds, relay->subscribers);
    descriptors_close(relay->relay_fds, relay->publishers);
    memory_free(relay->publisher_fds);
    memory_free(relay->subscriber_fds);
    memory_free(relay->relay_fds);
    *relay = (struct relay){0};
}

static enum err pairs_connect(struct relay *relay, struct relay_ends *ends, struct failure *failure)
{
    struct sockaddr_in address = {0};
    int listener = -1;
    for (uint64_t i = 0; i < relay->publishers; i++) {
        relay->publisher_fds[i] = relay->relay_fds[i] = -1;
        ends->publishers[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    }
    for (uint64_t i = 0; i < relay->subscribers; i++)
        relay->subscriber_fds[i] = ends->subscribers[i] = -1;
    enum err err = listener_open(&listener, &address, failure);
    for (uint64_t i = 0; i < relay->publishers && err == ERR_OK; i++) {
        err = pair_connect(listener, &address, &relay->publisher_fds[i], &relay->relay_fds[i], failure);
        if (err == ERR_OK && (ends->publishers[i].fd = dup(relay->relay_fds[i])) < 0)
            err = failure_set_errno(failure, "the relay cannot be connected");
    }
    for (uint64_t i = 0; i < relay->subscribers && err == ERR_OK; i++)
        err = pair_connect(listener, &address, &relay->subscriber_fds[i], &ends->subscribers[i], failure);
    if (listener >= 0)
        (void)close(listener);
    return err;
}

static enum err listener_open(int *fd, struct sockaddr_in *address, struct failure *failure)
{
    socklen_t bytes = sizeof(*address);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || bind(*fd, (const struct sockaddr *)address, sizeof(*address)) < 0 || listen(*fd, 8) < 0 ||
        getsockname(*fd, (struct sockaddr *)address, &bytes) < 0)
        return failure_set_errno(failure, "the relay cannot listen");
    return ERR_OK;
}

static enum err pair_connect(int listener, const struct sockaddr_in *address, int *ours, int *relays,
                             struct failure *failure)
{
    int on = 1;
    struct sockaddr_in peer;
    socklen_t peer_bytes = sizeof(peer);
    *ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*ours < 0 || connect(*ours, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
        (*relays = accept4(listener, (struct sockaddr *)&peer, &peer_bytes, SOCK_CLOEXEC)) < 0 ||
        setsockopt(*relays, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return failure_set_errno(failure, "the relay cannot be connected");
    return ERR_OK;
}

static void ends_close(struct relay_ends *ends)
{
    for (uint64_t i = 0; ends->publishers != NULL && i < ends->publisher_count; i++)
        if (ends->publishers[i].fd > 0)
            (void)close(ends->publishers[i].fd);
    descriptors_close(ends->subscribers, ends->subscriber_count);
    memory_free(ends->publishers);
    memory_free(ends->subscribers);
}

/* 0 is what memory_new() leaves; our sockets are never that, since stdin has it. */
static void descriptors_close(int *fds, uint64_t count)
{
    for (uint64_t i = 0; fds != NULL && i < count; i++)
        if (fds[i] > 0)
            (void)close(fds[i]);
}

/* The child. One publisher: plain blocking reads. Several: poll() says who has something. */
static _Noreturn void relay_run(const struct relay_ends *ends)
{
    uint8_t bytes[RELAY_READ_BYTES];
    memset(bytes, 0, sizeof(bytes));
    bool open = true;
    while (open && ends->publisher_count == 1)
        open = relay_pass(ends, 0, bytes);
    while (open) {
        int ready = poll(ends->publishers, ends->publisher_count, -1);
        for (uint64_t i = 0; i < ends->publisher_count && ready > 0 && open; i++)
            if (ends->publishers[i].revents != 0)
                open = relay_pass(ends, i, bytes);
    }
    _exit(0);
}

/* One read, and the same bytes to each of the publisher's subscribers. False at the end of a stream. */
static bool relay_pass(const struct relay_ends *ends, uint64_t publisher, uint8_t *bytes)
{
    ssize_t got = read(ends->publishers[publisher].fd, bytes, RELAY_READ_BYTES);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    for (uint64_t i = publisher; i < ends->subscriber_count; i += ends->publisher_count) {
        size_t written = 0;
        while (written < (size_t)got) {
            ssize_t count = send(ends->subscribers[i], bytes + written, (size_t)got - written, MSG_NOSIGNAL);
            if (count < 0 && errno != EINTR)
                return false;
            if (count > 0)
                written += (size_t)count;
        }
    }
    return true;
}
