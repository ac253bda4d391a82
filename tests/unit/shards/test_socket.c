/* tests/unit/shards/test_socket.c - what shards/socket.c sets, and what it leaves alone. */
#include "shards/socket.h"

#include "core/base/language.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    int dialled;
    int accepted;
};

/* Two ends on a port of the kernel's choice; the dialled one stands at `from`. */
static struct pair pair_open(const char *from)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = {.sin_family = AF_INET};
    socklen_t bytes = sizeof to;
    struct pair pair = {.dialled = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(inet_pton(AF_INET, from, &own.sin_addr), 1);
    cr_assert_eq(bind(listener, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&to, &bytes), 0);
    cr_assert_eq(bind(pair.dialled, (struct sockaddr *)&own, sizeof own), 0);
    cr_assert_eq(connect(pair.dialled, (struct sockaddr *)&to, sizeof to), 0);
    struct sockaddr_storage whence;
    socklen_t whence_bytes = sizeof whence;
    pair.accepted = accept4(listener, (struct sockaddr *)&whence, &whence_bytes, SOCK_CLOEXEC);
    cr_assert_geq(pair.accepted, 0);
    close(listener);
    return pair;
}

static void pair_close(struct pair pair)
{
    close(pair.dialled);
    close(pair.accepted);
}

static bool congestion_set(int fd, const char *name)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) == 0;
}

static const char *congestion_get(int fd, char name[17])
{
    socklen_t bytes = 16;
    memset(name, 0, 17);
    cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes), 0);
    return name;
}

Test(socket, small_messages_leave_at_once)
{
    int value = 0;
    socklen_t bytes = sizeof value;
    struct pair pair = pair_open("127.0.0.1");
    socket_set_up(pair.accepted);
    cr_assert_eq(getsockopt(pair.accepted, IPPROTO_TCP, TCP_NODELAY, &value, &bytes), 0);
    cr_expect_neq(value, 0);
    pair_close(pair);
}

struct pacing_case {
    const char *from; /* the peer's address; ours is 127.0.0.1 */
    const char *before;
    const char *after;
};
static const struct pacing_case pacing_cases[] = {
    {"127.0.0.1", "bbr", "reno"},
    {"127.0.0.2", "bbr", "bbr"}, /* stands for a peer elsewhere */
    {"127.0.0.1", "cubic", "cubic"},
    {"127.0.0.1", "reno", "reno"},
};

Test(socket, only_what_paces_between_ends_of_one_address_is_changed)
{
    char name[17];
    for (const struct pacing_case *row = pacing_cases; row < pacing_cases + COUNT_OF(pacing_cases); row++) {
        struct pair pair = pair_open(row->from);
        if (congestion_set(pair.accepted, row->before)) { /* else this kernel has not got it */
            socket_set_up(pair.accepted);
            cr_expect_str_eq(congestion_get(pair.accepted, name), row->after, "%s from %s", row->before,
                             row->from);
        } else {
            cr_log_info("no %s here: its row is left out", row->before);
            cr_expect_str_neq(row->before, "reno", "every kernel has Reno");
        }
        pair_close(pair);
    }
}

Test(socket, a_unix_socket_stays_as_it_is)
{
    int ends[2];
    char byte = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    socket_set_up(ends[0]);
    cr_assert_eq(write(ends[0], "x", 1), 1);
    cr_assert_eq(read(ends[1], &byte, 1), 1);
    cr_expect_eq(byte, 'x');
    close(ends[0]);
    close(ends[1]);
}
