/* shards/socket.c - see socket.h. */
#include "shards/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

enum { CONGESTION_NAME_BYTES = 16 /* as the kernel's */ };

/* Whether the system's congestion control paces: one timer, so one interrupt, for each 64 KiB. */
static bool paced(int fd)
{
    char name[CONGESTION_NAME_BYTES + 1] = {0};
    socklen_t bytes = CONGESTION_NAME_BYTES;
    return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes) == 0 && strncmp(name, "bbr", 3) == 0;
}

/* Whether both ends have one address: then both are on this machine. One that reaches itself by two of its
 * addresses is taken for two. */
static bool stays_here(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } own = {0}, peer = {0};
    socklen_t own_bytes = sizeof own, peer_bytes = sizeof peer;
    if (getsockname(fd, &own.any, &own_bytes) != 0 || getpeername(fd, &peer.any, &peer_bytes) != 0 ||
        own.any.sa_family != peer.any.sa_family)
        return false;
    if (own.any.sa_family == AF_INET)
        return own.v4.sin_addr.s_addr == peer.v4.sin_addr.s_addr;
    return own.any.sa_family == AF_INET6 &&
           memcmp(&own.v6.sin6_addr, &peer.v6.sin6_addr, sizeof own.v6.sin6_addr) == 0;
}

void socket_set_up(int fd)
{
    static const char unpaced[] = "reno"; /* every kernel has it, and every user may choose it */
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a unix socket has none */
    if (paced(fd) && stays_here(fd))
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, unpaced, sizeof unpaced - 1);
}
