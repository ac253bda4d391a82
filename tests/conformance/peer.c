/* tests/conformance/peer.c - client connections of the cases; see peer.h. */
#include "tests/conformance/peer.h"

#include "core/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LEAVE_PATIENCE_MS = 2000, SEND_PATIENCE_MS = 20000, READ_BYTES = 65536 };

/* Whether an INFO line stands at the front: no, yes (and it was taken aside), or that cannot be told yet. */
enum aside { ASIDE_NO, ASIDE_TAKEN, ASIDE_UNKNOWN };

static void peer_read_once(struct peer *peer);
static int peer_wait(const struct peer *peer, short events, int64_t deadline_ns);
static enum aside peer_take_aside(struct peer *peer, bool line_begins);
static enum aside peer_take_info_aside(struct peer *peer);
static enum aside peer_take_ping_aside(struct peer *peer);
static bool peer_keep_info(struct peer *peer, struct bytes line);

enum err peer_connect(struct peer *peer, uint16_t port, int receive_buffer_bytes)
{
    *peer = (struct peer){0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    const int one = 1;
    struct timeval patience = {.tv_sec = PEER_PATIENCE_MS / 1000};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool ready = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
                 setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0;
    if (ready && receive_buffer_bytes > 0)
        ready =
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes) == 0;
    if (!ready || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return ERR_SYSTEM;
    }
    peer->socket = fd;
    peer->open = true;
    peer->marked_ns = clock_monotonic_ns();
    return ERR_OK;
}

void peer_leave(struct peer *peer)
{
    if (!peer->open)
        return;
    int64_t deadline_ns = peer_deadline(LEAVE_PATIENCE_MS);
    if (shutdown(peer->socket, SHUT_WR) == 0) {
        while (!peer->ended && peer_receive(peer, deadline_ns))
            peer_consume(peer, peer_waiting(peer).count);
    }
    peer_drop(peer, false);
}

void peer_drop(struct peer *peer, bool with_reset)
{
    if (!peer->open)
        return;
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (with_reset)
        (void)setsockopt(peer->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(peer->socket);
    peer->open = false;
    buffer_close(&peer->received);
    peer->consumed = 0;
}

bool peer_send(struct peer *peer, struct bytes bytes)
{
    int64_t deadline_ns = peer_deadline(SEND_PATIENCE_MS);
    size_t sent = 0;
    while (peer->open && sent < bytes.count) {
        ssize_t n = send(peer->socket, bytes.data + sent, bytes.count - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            sent += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        int ready = peer_wait(peer, POLLIN | POLLOUT, deadline_ns);
        if (ready == 0 || peer->ended)
            return false;
        if ((ready & POLLIN) != 0)
            peer_read_once(peer);
    }
    return sent == bytes.count;
}

struct bytes peer_waiting(const struct peer *peer)
{
    return bytes_of(peer->received.data + peer->consumed, peer->received.count - peer->consumed);
}

void peer_consume(struct peer *peer, size_t count)
{
    if (count == 0)
        return;
    peer->consumed += count;
    peer->pong_was_last = false;
    if (peer->consumed == peer->received.count) {
        peer->consumed = 0;
        peer->received.count = 0;
    }
}

bool peer_receive(struct peer *peer, int64_t deadline_ns)
{
    if (!peer->open || peer->ended)
        return false;
    if (peer_wait(peer, POLLIN, deadline_ns) == 0)
        return false;
    peer_read_once(peer);
    return true;
}

bool peer_expect(struct peer *peer, struct bytes expected, int64_t deadline_ns, size_t *matched)
{
    static const char pong[] = "PONG\r\n";
    size_t done = 0;
    while (done < expected.count) {
        enum aside aside = peer_take_aside(peer, done == 0 || expected.data[done - 1] == '\n');
        struct bytes waiting = peer_waiting(peer);
        struct bytes rest = bytes_of(expected.data + done, expected.count - done);
        const uint8_t *pong_at = memmem(rest.data, rest.count, pong, sizeof pong - 1);
        bool ends_with_pong = pong_at != NULL;
        /* Up to a PONG at most: behind it an INFO may have to be taken aside. */
        if (ends_with_pong)
            rest.count = (size_t)(pong_at - rest.data) + sizeof pong - 1;
        size_t count = waiting.count < rest.count ? waiting.count : rest.count;
        if (aside != ASIDE_UNKNOWN && count > 0) {
            size_t same = 0;
            while (same < count && waiting.data[same] == rest.data[same])
                same++;
            done += same;
            peer_consume(peer, same);
            *matched = done;
            if (same < count)
                return false;
            peer->pong_was_last = ends_with_pong && same == rest.count;
            continue;
        }
        *matched = done;
        if (!peer_receive(peer, deadline_ns))
            return false;
    }
    *matched = done;
    return true;
}

bool peer_expect_info(struct peer *peer, int64_t deadline_ns)
{
    for (;;) {
        struct bytes waiting = peer_waiting(peer);
        const uint8_t *newline = waiting.count == 0 ? NULL : memchr(waiting.data, '\n', waiting.count);
        if (newline != NULL) {
            struct bytes line = bytes_of(waiting.data, (size_t)(newline - waiting.data) + 1);
            if (!peer_keep_info(peer, line))
                return false;
            peer_consume(peer, line.count);
            return true;
        }
        if (!peer_receive(peer, deadline_ns))
            return false;
    }
}

bool peer_expect_end(struct peer *peer, int64_t deadline_ns)
{
    for (;;) {
        enum aside aside = peer_take_aside(peer, true);
        if (aside != ASIDE_UNKNOWN && peer_waiting(peer).count > 0)
            return false;
        if (peer->ended)
            return peer_waiting(peer).count == 0;
        if (!peer_receive(peer, deadline_ns))
            return false;
    }
}

bool peer_silent(struct peer *peer, int64_t until_ns)
{
    for (;;) {
        enum aside aside = peer_take_aside(peer, true);
        if (peer->ended || (aside != ASIDE_UNKNOWN && peer_waiting(peer).count > 0))
            return false;
        if (!peer_receive(peer, until_ns))
            return !peer->ended && peer_waiting(peer).count == 0;
    }
}

bool peer_frame(struct peer *peer, int64_t deadline_ns, struct bytes *frame)
{
    for (;;) {
        enum aside aside = peer_take_aside(peer, true);
        struct bytes waiting = peer_waiting(peer);
        size_t count = aside == ASIDE_UNKNOWN ? 0 : peer_frame_bytes(waiting);
        if (count > 0) {
            *frame = bytes_of(waiting.data, count);
            /* The bytes stay where they are until the next read. */
            peer_consume(peer, count);
            peer->pong_was_last = bytes_equal(*frame, TEXT("PONG\r\n"));
            return true;
        }
        if (!peer_receive(peer, deadline_ns))
            return false;
    }
}

size_t peer_frame_bytes(struct bytes bytes)
{
    const uint8_t *newline = bytes.count == 0 ? NULL : memchr(bytes.data, '\n', bytes.count);
    if (newline == NULL)
        return 0;
    size_t line = (size_t)(newline - bytes.data) + 1;
    if (!bytes_start_with(bytes, TEXT("MSG ")) && !bytes_start_with(bytes, TEXT("HMSG ")))
        return line;
    const uint8_t *last = newline;
    while (last > bytes.data && last[-1] != ' ')
        last--;
    size_t whole = line + strtoul((const char *)last, NULL, 10) + 2;
    return whole <= bytes.count ? whole : 0;
}

int64_t peer_deadline(int ms)
{
    return clock_monotonic_ns() + ms * NS_PER_MS;
}

void peer_pause(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* One recv(); the end of the stream, also by RST, sets `ended`. */
static void peer_read_once(struct peer *peer)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = recv(peer->socket, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* A case that receives more than a buffer may hold has failed anyway: it ends here. */
    if (n <= 0 || buffer_append(&peer->received, bytes_of(bytes, (size_t)n)) != ERR_OK)
        peer->ended = true;
}

/* The events that are ready (errors count as readable); 0 at the deadline. */
static int peer_wait(const struct peer *peer, short events, int64_t deadline_ns)
{
    for (;;) {
        int64_t left_ns = deadline_ns - clock_monotonic_ns();
        int timeout_ms = left_ns <= 0 ? 0 : (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
        struct pollfd entry = {.fd = peer->socket, .events = events};
        int n = poll(&entry, 1, timeout_ms);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        return (entry.revents & (POLLERR | POLLHUP)) != 0 ? POLLIN : entry.revents & events;
    }
}

static enum aside peer_take_aside(struct peer *peer, bool line_begins)
{
    enum aside aside = peer_take_info_aside(peer);
    if (aside == ASIDE_UNKNOWN || !line_begins || peer->sees_pings)
        return aside;
    return peer_take_ping_aside(peer);
}

static enum aside peer_take_ping_aside(struct peer *peer)
{
    struct bytes waiting = peer_waiting(peer);
    struct bytes ping = TEXT("PING\r\n");
    size_t count = waiting.count < ping.count ? waiting.count : ping.count;
    if (count == 0 || memcmp(waiting.data, ping.data, count) != 0)
        return ASIDE_NO;
    if (count < ping.count)
        return peer->ended ? ASIDE_NO : ASIDE_UNKNOWN;
    bool pong_was_last = peer->pong_was_last;
    peer_consume(peer, ping.count);
    peer->pong_was_last = pong_was_last;
    (void)peer_send(peer, TEXT("PONG\r\n"));
    return ASIDE_TAKEN;
}

static enum aside peer_take_info_aside(struct peer *peer)
{
    struct bytes waiting = peer_waiting(peer);
    if (peer->sees_infos || !peer->pong_was_last || waiting.count == 0)
        return ASIDE_NO;
    struct bytes start = TEXT("INFO {");
    if (waiting.count < start.count && memcmp(waiting.data, start.data, waiting.count) == 0)
        return peer->ended ? ASIDE_NO : ASIDE_UNKNOWN;
    if (!bytes_start_with(waiting, start))
        return ASIDE_NO;
    const uint8_t *newline = memchr(waiting.data, '\n', waiting.count);
    if (newline == NULL)
        return peer->ended ? ASIDE_NO : ASIDE_UNKNOWN;
    struct bytes line = bytes_of(waiting.data, (size_t)(newline - waiting.data) + 1);
    struct bytes sign = TEXT("\"connect_info\":true");
    if (memmem(line.data, line.count, sign.data, sign.count) == NULL || !peer_keep_info(peer, line))
        return ASIDE_NO;
    peer_consume(peer, line.count);
    return ASIDE_TAKEN;
}

/* The space before CR LF is judged in info.c: the ports for gateways do without it. */
static bool peer_keep_info(struct peer *peer, struct bytes line)
{
    if (!bytes_start_with(line, TEXT("INFO {")) || line.count < 8 || line.count - 1 > sizeof peer->info ||
        line.data[line.count - 2] != '\r')
        return false;
    memcpy(peer->info, line.data, line.count - 2);
    peer->info[line.count - 2] = 0;
    return true;
}
