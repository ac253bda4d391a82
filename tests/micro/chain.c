/* tests/micro/chain.c - what it costs at least to pass messages of 1 KiB on over two nodes: the floor under
 * `make bench-cluster`.
 *     make micro && build/micro/chain
 *
 * A thread publishes, two relays read and write the same bytes with nothing but blocking read() and send(),
 * one behind the other, and a thread reads what comes: three TCP connections over 127.0.0.1, as with two
 * nodes. The figure is the CPU time of both relays per message: no server that copies its bytes through
 * sockets in such pieces can undercut it. Each piece size is tried with the system's congestion control on
 * all sockets, and with Reno on the relays' own, as the server has it (shards/socket.h). Medians of five
 * rounds in turn. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HOPS = 2,
    MESSAGES = 400000,
    MESSAGE_BYTES = 1050, /* a control line, 1,024 bytes and CR LF */
    END_BYTES =
        256 * 1024, /* what publisher and subscriber write and read at a time, as the load generator */
    ROUNDS = 5,
};
static const size_t sizes[] = {64 * 1024, 512 * 1024, 2 * 1024 * 1024};
enum { SIZES = sizeof sizes / sizeof *sizes, KINDS = 2 };

struct relay {
    int in, out;
    size_t piece_bytes;
    int64_t cpu_ns;
};

static int64_t cpu_now_ns(void)
{
    struct timespec at;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at) != 0)
        abort();
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void *memory(size_t bytes)
{
    void *made = malloc(bytes);
    if (made == NULL)
        abort();
    memset(made, 'x', bytes); /* all pages are there before anything is measured */
    return made;
}

static void send_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            abort();
        bytes += sent;
        count -= (size_t)sent;
    }
}

/* Until the end of what comes. */
static void *pass_on(void *argument)
{
    struct relay *relay = argument;
    char *bytes = memory(relay->piece_bytes);
    int64_t began_ns = cpu_now_ns();
    for (ssize_t count; (count = read(relay->in, bytes, relay->piece_bytes)) > 0;)
        send_all(relay->out, bytes, (size_t)count);
    relay->cpu_ns = cpu_now_ns() - began_ns;
    shutdown(relay->out, SHUT_WR);
    free(bytes);
    return NULL;
}

static void *subscribe(void *argument)
{
    const int *fd = argument;
    char *bytes = memory(END_BYTES);
    int64_t left = (int64_t)MESSAGES * MESSAGE_BYTES;
    for (ssize_t count; (count = read(*fd, bytes, END_BYTES)) > 0;)
        left -= count;
    if (left != 0)
        abort();
    free(bytes);
    return NULL;
}

static void publish(int fd)
{
    char *bytes = memory(END_BYTES);
    for (size_t left = (size_t)MESSAGES * MESSAGE_BYTES; left > 0;) {
        size_t count = left < END_BYTES ? left : END_BYTES;
        send_all(fd, bytes, count);
        left -= count;
    }
    shutdown(fd, SHUT_WR);
    free(bytes);
}

static void connect_pair(int *from, int *to)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t count = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *from = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || *from < 0 || bind(listener, (struct sockaddr *)&address, count) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&address, &count) != 0 ||
        connect(*from, (struct sockaddr *)&address, count) != 0 || (*to = accept(listener, NULL, NULL)) < 0)
        abort();
    close(listener);
}

static void set_up(int fd, bool reno)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        (reno && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) != 0))
        abort();
}

/* CPU ns of both relays per message. */
static double run(size_t piece_bytes, bool reno)
{
    int from[HOPS + 1], to[HOPS + 1]; /* connection i leads from the publisher or relay i - 1 to relay i */
    struct relay relays[HOPS];
    pthread_t threads[HOPS], subscriber;
    int64_t cpu_ns = 0;
    for (int i = 0; i <= HOPS; i++)
        connect_pair(&from[i], &to[i]);
    for (int i = 0; i < HOPS; i++) {
        set_up(to[i], reno);
        set_up(from[i + 1], reno);
        relays[i] = (struct relay){.in = to[i], .out = from[i + 1], .piece_bytes = piece_bytes};
        if (pthread_create(&threads[i], NULL, pass_on, &relays[i]) != 0)
            abort();
    }
    if (pthread_create(&subscriber, NULL, subscribe, &to[HOPS]) != 0)
        abort();
    publish(from[0]);
    for (int i = 0; i < HOPS; i++) {
        if (pthread_join(threads[i], NULL) != 0)
            abort();
        cpu_ns += relays[i].cpu_ns;
    }
    if (pthread_join(subscriber, NULL) != 0)
        abort();
    for (int i = 0; i <= HOPS; i++) {
        close(from[i]);
        close(to[i]);
    }
    return (double)cpu_ns / MESSAGES;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int main(void)
{
    static const char *const kinds[KINDS] = {"the system's congestion control",
                                             "Reno on the relays' sockets"};
    double figures[SIZES][KINDS][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t size = 0; size < SIZES; size++) {
            for (int kind = 0; kind < KINDS; kind++)
                figures[size][kind][round] = run(sizes[size], kind == 1);
        }
    }
    for (size_t size = 0; size < SIZES; size++) {
        for (int kind = 0; kind < KINDS; kind++) {
            double *all = figures[size][kind];
            qsort(all, ROUNDS, sizeof *all, compare);
            printf("pieces of %4zu KiB, %-32s %4.0f ns of CPU of both relays a message (%.0f to %.0f)\n",
                   sizes[size] / 1024, kinds[kind], all[ROUNDS / 2], all[0], all[ROUNDS - 1]);
        }
    }
    return 0;
}
