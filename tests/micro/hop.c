/* tests/micro/hop.c - what it costs at least to receive a small message and send it on when both sides sleep
 * between messages: the floor under a request, which passes a server twice.
 *     make micro && build/micro/hop
 * One thread asks and another one answers over TCP
 * on 127.0.0.1, with nothing but blocking recv() and send(); first each on a core of its own, as a server and
 * its clients are, then both on one. What the answering thread needs is what no server that sleeps can
 * undercut. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGES = 20000, MESSAGE_BYTES = 16 };

struct answering {
    int fd;
    int cpu;
    int64_t cpu_ns;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec at;
    if (clock_gettime(clock, &at) != 0)
        abort();
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void stay_on(int cpu)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)cpu, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) != 0)
        abort();
}

static void receive(int fd, char *bytes)
{
    if (recv(fd, bytes, MESSAGE_BYTES, MSG_WAITALL) != MESSAGE_BYTES)
        abort();
}

static void *answer(void *argument)
{
    struct answering *answering = argument;
    char bytes[MESSAGE_BYTES];
    stay_on(answering->cpu);
    int64_t began_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < MESSAGES; i++) {
        receive(answering->fd, bytes);
        if (send(answering->fd, bytes, sizeof bytes, 0) != sizeof bytes)
            abort();
    }
    answering->cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns;
    return NULL;
}

static void connect_pair(int *one, int *other)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t count = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *one = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || *one < 0 || bind(listener, (struct sockaddr *)&address, count) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&address, &count) != 0 ||
        connect(*one, (struct sockaddr *)&address, count) != 0 ||
        (*other = accept(listener, NULL, NULL)) < 0 ||
        setsockopt(*one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(*other, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        abort();
    close(listener);
}

static void run(const char *title, int own_cpu, int other_cpu)
{
    struct answering answering = {.cpu = other_cpu};
    char bytes[MESSAGE_BYTES] = {0};
    pthread_t thread;
    int fd;
    connect_pair(&fd, &answering.fd);
    stay_on(own_cpu);
    if (pthread_create(&thread, NULL, answer, &answering) != 0)
        abort();
    int64_t began_ns = now_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < MESSAGES; i++) {
        if (send(fd, bytes, sizeof bytes, 0) != sizeof bytes)
            abort();
        receive(fd, bytes);
    }
    int64_t took_ns = now_ns(CLOCK_MONOTONIC) - began_ns;
    if (pthread_join(thread, NULL) != 0)
        abort();
    close(fd);
    close(answering.fd);
    printf("%-28s %5.1f us of CPU per message answered, %5.1f us there and back\n", title,
           (double)answering.cpu_ns / MESSAGES / 1000, (double)took_ns / MESSAGES / 1000);
}

int main(void)
{
    for (int round = 0; round < 3; round++) {
        run("each on a core of its own", 0, 1);
        run("both on one core", 0, 0);
    }
    return 0;
}
