/* core/base/log_syslog.h - the socket to a syslog daemon, here or elsewhere (spec/configuration.md 7.3).
 * In the flow:  log_line() -> log_syslog_write() -> one datagram, or one piece of a stream.
 * At the bound: nothing waits for a slow or dead daemon. A line that the socket does not take at once is
 * refused; a broken connection is tried again, at most once a second, without waiting for the answer. The one
 * wait: the rest of a line of which a stream took a part, LOG_SYSLOG_WAIT_MS at most, then the stream is cut.
 * Thread: under the log's mutex. */
#ifndef CORE_BASE_LOG_SYSLOG_H
#define CORE_BASE_LOG_SYSLOG_H

#include "core/base/err.h"
#include "core/base/log_stamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    LOG_SYSLOG_WAIT_MS = 20,
    LOG_SYSLOG_CONNECT_MS = 2000, /* when the log is opened, not later */
    LOG_SYSLOG_RETRY_MS = 1000,
    LOG_SYSLOG_DATAGRAM_BYTES_MAX = 60000, /* UDP cannot carry more than 65507 */
};

struct log_syslog {
    bool open; /* all zero is closed */
    bool local_shape;
    bool daemon;
    int fd;   /* -1 between a failure and the next try */
    int type; /* SOCK_DGRAM or SOCK_STREAM */
    struct sockaddr_storage address;
    socklen_t address_bytes;
    int64_t next_try_ns; /* monotonic: no new connection before this */
    char *program;       /* ours */
    char host[LOG_HOST_BYTES_MAX + 1];
};

/* Finds a daemon of this machine: the first of `paths` that takes datagrams, else the first that takes a
 * stream. `paths` ends with NULL; NULL for all of it: /dev/log, /var/run/syslog, /var/run/log.
 * ERR_NOT_FOUND, ERR_MEMORY; `why` says more. */
MUST_USE enum err log_syslog_open_local(struct log_syslog *syslog, const char *const *paths,
                                        const char *program, char *why, size_t why_bytes);

/* Connects to udp://host:port, tcp://host:port or unix:///path. Waits for a name server and, with tcp, up to
 * LOG_SYSLOG_CONNECT_MS for an answer. On error `why` holds the sentence of spec/configuration.md 3.5. */
MUST_USE enum err log_syslog_open_remote(struct log_syslog *syslog, const char *url, const char *program,
                                         char *why, size_t why_bytes);

/* Legal when closed. */
void log_syslog_close(struct log_syslog *syslog);

/* What stands in front of a line for this daemon. */
struct log_stamp_syslog log_syslog_stamp(const struct log_syslog *syslog, pid_t pid);

/* Hands one line over. ERR_SYSTEM (errno): the line is lost. */
MUST_USE enum err log_syslog_write(struct log_syslog *syslog, const void *data, size_t count);

#endif
