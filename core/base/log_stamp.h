/* core/base/log_stamp.h - what stands in front of a log line: process, time and tag, in the shapes of
 * spec/configuration.md 7.1 (files, stderr), 7.2 (backup names), 7.3 (syslog) and 3.5 (before there is a
 * log). Every function writes into the caller's buffer, ends it with a zero and returns the bytes before
 * that. */
#ifndef CORE_BASE_LOG_STAMP_H
#define CORE_BASE_LOG_STAMP_H

#include "core/base/log.h"

#include <sys/types.h>

enum {
    LOG_STAMP_BYTES_MAX = 512, /* enough for every function here; a longer host or program name is cut */
    LOG_HOST_BYTES_MAX = 128,
    LOG_PROGRAM_BYTES_MAX = 128,
};

struct log_stamp_style {
    pid_t pid;
    bool time;
    bool utc;
    bool colours;
};

/* "[pid] 2026/11/22 03:38:09.595693 [INF] ". */
size_t log_stamp_line(char *out, size_t out_bytes, const struct log_stamp_style *style, enum log_level level,
                      int64_t wall_ns);

/* "2026/11/22 03:37:35 ", local time: in front of what goes wrong before there is a log. */
size_t log_stamp_early(char *out, size_t out_bytes, int64_t wall_ns);

/* "2026.11.21.22.53.38.782014693", local time: behind the name of a backup. */
size_t log_stamp_backup(char *out, size_t out_bytes, int64_t wall_ns);

enum { LOG_STAMP_BACKUP_BYTES = 29 };

/* Whether a text has the shape of log_stamp_backup(). */
bool log_stamp_is_backup(const char *text);

struct log_stamp_syslog {
    bool daemon;      /* facility daemon, otherwise kernel (which stands for "none given") */
    const char *host; /* NULL: the local shape, without a host and with an older form of time */
    const char *program;
    pid_t pid;
};

/* "<29>Nov 22 04:05:11 nats-server[19387]: ", or "<5>2026-11-22T04:05:11Z host1 nats-server[19387]: ". */
size_t log_stamp_syslog(char *out, size_t out_bytes, const struct log_stamp_syslog *stamp,
                        enum log_level level, int64_t wall_ns);

#endif
