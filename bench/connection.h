/* bench/connection.h - one socket of the generator: greeting, output buffer, scanner; and the epoll that all
 * of them share. In the flow: connection_open() -> engine_watch() -> engine_wait() -> connection_receive() or
 * connection_flush(). All of it is one thread's: one thread that does no more than write() and read() large
 * pieces costs less than any server, and needs no locks to count exactly. */
#ifndef BENCH_CONNECTION_H
#define BENCH_CONNECTION_H

#include "bench/options.h"
#include "bench/scanner.h"
#include "bench/secure.h"

#include <sys/epoll.h>

enum {
    RECEIVE_BYTES = 256 * 1024, /* one read() takes up to this; shared by all, so it stays in the cache */
    ENGINE_EVENTS_MAX = 64,
};

/* Bytes that wait for the socket. */
struct output {
    uint8_t *data;
    size_t start;
    size_t count; /* behind start */
    size_t capacity;
};

/* All zero, with fd -1, is closed: connection_init(). */
struct connection {
    int fd;
    uint32_t watched; /* epoll events asked for */
    uint32_t pongs_expected;
    uint32_t role;         /* the owner's: which of its structures holds this connection */
    bool paused;           /* not read from, until its output is gone */
    struct secure *secure; /* NULL: in clear */
    struct output output;  /* in clear; gone from here when its ciphertext is with the kernel */
    struct scanner scanner;
};

struct engine {
    int epoll_fd;
    int signal_fd;
    bool interrupted; /* SIGINT or SIGTERM came */
    uint8_t *receive; /* RECEIVE_BYTES, with SCANNER_TORN_BYTES in front of them */
    int64_t now_ns;   /* after the last engine_wait() */
    int event_count;
    struct epoll_event events[ENGINE_EVENTS_MAX];
};

/* On error all is let go of. engine_close() may be called on a closed engine. SIGINT and SIGTERM are taken
 * over: they set `interrupted`. */
MUST_USE enum err engine_init(struct engine *engine, struct failure *failure);
void engine_close(struct engine *engine);

/* Asks for EPOLLIN unless it is paused (then `writable` is true), and for EPOLLOUT when `writable`. Costs a
 * system call only when it changes. */
MUST_USE enum err engine_watch(struct engine *engine, struct connection *connection, bool writable,
                               struct failure *failure);

/* Waits up to `timeout_ns` (0: does not wait) and fills events; their data.ptr is the connection. */
MUST_USE enum err engine_wait(struct engine *engine, int64_t timeout_ns, struct failure *failure);

void connection_init(struct connection *connection);
void connection_close(struct connection *connection);

/* Connects, reads INFO, shakes hands with --tls, sends CONNECT (and asks for headers and no-responder
 * answers), waits for PONG. Blocks, at most options->timeout_ns. The server's version goes into `version`
 * (may be NULL; cut at its bound). */
MUST_USE enum err connection_open(struct connection *connection, const struct options *options, char *version,
                                  size_t version_bytes, struct failure *failure);

/* Takes over a connected socket that speaks no greeting (the relay's). */
MUST_USE enum err connection_adopt(struct connection *connection, int fd, struct failure *failure);

/* Makes room for `count` more bytes of output and returns where they go; the caller fills all of them.
 * NULL: out of memory. Callers bound what they put; the buffer grows to that. */
MUST_USE uint8_t *connection_reserve(struct connection *connection, size_t count);

/* A text into the output, formatted. ERR_MEMORY. */
MUST_USE enum err connection_print(struct connection *connection, struct failure *failure, const char *format,
                                   ...) PRINTF_LIKE(3, 4);

/* Appends PING and counts the PONG that is due. */
MUST_USE enum err connection_ping(struct connection *connection, struct failure *failure);

/* Whether an error of send() is not to be reported: the socket is full, or the server has closed it. In the
 * latter case the next receive says so, after the -ERR that may still lie there. */
bool connection_refuses(int error);

/* Sends what fits. */
MUST_USE enum err connection_flush(struct connection *connection, struct failure *failure);

/* One read(), and the scanner set on it; nothing there gives an empty input. The end of the stream is an
 * error. */
MUST_USE enum err connection_receive(struct connection *connection, struct engine *engine,
                                     struct scan_input *input, struct failure *failure);

/* Handles what every kind of connection handles alike: PING is answered, PONG counted, -ERR and rubbish fail.
 */
MUST_USE enum err connection_control(struct connection *connection, enum scan_result result,
                                     const struct scan_event *event, struct failure *failure);

/* So that thousands of connections have their descriptors: raises the soft limit to the hard one. */
MUST_USE enum err connection_limit_raise(uint64_t connections, struct failure *failure);

#endif
