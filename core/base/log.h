/* core/base/log.h - the server's log: one line per call, in the exact shape of spec/configuration.md 7.
 * In the flow: nothing on a message's way logs, unless protocol tracing is on. Any thread may log: a line is
 * made on the caller's stack and written whole under the log's own mutex: rotation and re-opening need one.
 * At the bound: a line longer than LOG_LINE_BYTES_MAX is cut. A log that cannot be written (disk full) drops
 * the line and counts it; the count is logged when writing works again. */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include "core/base/err.h"
#include "core/base/language.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_FATAL, LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_DEBUG, LOG_TRACE };

enum { LOG_LINE_BYTES_MAX = 64 * 1024 };

struct log; /* opaque */

struct log_options {
    const char *file;                /* NULL: not to a file */
    const char *remote_syslog;       /* URL, NULL: none */
    const char *program;             /* basename of argv[0], for syslog */
    const char *const *syslog_paths; /* of a local daemon, NULL behind the last; NULL: the usual ones */
    int64_t size_limit_bytes;        /* rotate above this; 0: never */
    int64_t files_max;               /* files to keep, the live one included; 0: all */
    bool syslog;                     /* local syslog */
    bool time;                       /* stamp each line */
    bool utc;
    bool debug;
    bool trace;
};

/* Opens a log. Choice: file, else remote_syslog, else syslog, else stderr. The options are copied. Waits for
 * a name server or a daemon's answer if remote_syslog needs one. Owner: the caller, until log_close(). On
 * error *log is NULL and `why` holds one line in the words of spec/configuration.md 3.5, date included. */
MUST_USE enum err log_open(struct log **log, const struct log_options *options, char *why, size_t why_bytes);

/* NULL is allowed. */
void log_close(struct log *log);

/* Switches to new options (reload); on error the old log goes on, and `why` is a sentence for it, without a
 * date. Thread: control core. */
MUST_USE enum err log_reconfigure(struct log *log, const struct log_options *options, char *why,
                                  size_t why_bytes);

/* SIGUSR1: opens the file by its name again. Logs what it did. Thread: control core. */
void log_reopen(struct log *log);

/* Whether a line of that level would be written; ask before making one that costs. NULL, here and below, is a
 * log that takes nothing. Cost: one load. Thread: any. */
bool log_enabled(const struct log *log, enum log_level level);

/* Writes one line; a trailing newline in the text is not doubled. LOG_FATAL only writes: the caller ends the
 * process. Thread: any. */
void log_line(struct log *log, enum log_level level, const char *format, ...) PRINTF_LIKE(3, 4);
void log_line_list(struct log *log, enum log_level level, const char *format, va_list arguments)
    PRINTF_LIKE(3, 0);

#define log_fatal(log, ...) log_line(log, LOG_FATAL, __VA_ARGS__)
#define log_error(log, ...) log_line(log, LOG_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_line(log, LOG_WARNING, __VA_ARGS__)
#define log_notice(log, ...) log_line(log, LOG_NOTICE, __VA_ARGS__)
#define log_debug(log, ...) log_line(log, LOG_DEBUG, __VA_ARGS__)

#endif
