/* core/base/log_file.h - the file under a log: append, rotate by size, purge, open again by name
 * (spec/configuration.md 7.2). Knows nothing of levels and stamps: what it has to report, it hands to its
 * caller. In the flow:  log_line() -> log_file_write() -> log_file_rotate() when log_file_over_limit()
 * Thread: under the log's mutex. */
#ifndef CORE_BASE_LOG_FILE_H
#define CORE_BASE_LOG_FILE_H

#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many backups one purge can see. Beyond that the directory is not a log directory any more; what was not
 * seen stays until a later rotation. */
enum { LOG_FILE_BACKUPS_MAX = 65536 };

/* What log_file_rotate() says is shorter than this: a quoted path and some words. */
enum { LOG_FILE_SENTENCE_BYTES_MAX = 4 * 4096 + 256 };

struct log_file {
    bool open; /* all zero is closed */
    int fd;
    char *path;               /* ours */
    int64_t size_bytes;       /* what we know of; others may append, too */
    int64_t limit_bytes;      /* rotate above this; doubles while rotation fails */
    int64_t size_limit_bytes; /* as configured; 0: never */
    int64_t files_max;        /* the live one included; 0: all */
    bool torn;                /* a line was cut by an error: the next one begins with a newline */
};

/* Opens (append, create, 0640 minus umask). ERR_SYSTEM: errno says why; ERR_MEMORY; the file stays closed. */
MUST_USE enum err log_file_open(struct log_file *file, const char *path, int64_t size_limit_bytes,
                                int64_t files_max);

/* Legal when closed. */
void log_file_close(struct log_file *file);

/* Opens the same name again. On ERR_SYSTEM (errno) the old descriptor stays in use. */
MUST_USE enum err log_file_reopen(struct log_file *file);

/* One write() for the line, more only if the kernel takes a part. ERR_SYSTEM (errno): the line is lost. */
MUST_USE enum err log_file_write(struct log_file *file, const void *data, size_t count);

/* Whether it is time to rotate. */
bool log_file_over_limit(const struct log_file *file);

/* What a rotation or purge has to say; `bad` is true for an error. */
typedef void log_file_say(void *context, bool bad, const char *sentence);

/* Renames the file to its backup name and starts a new one; then deletes the oldest backups above files_max.
 * Each event is handed to `say`, the one about the backup first: it belongs into the new file. If something
 * fails, the old file stays in use and the limit doubles, so that not every line tries again. */
void log_file_rotate(struct log_file *file, int64_t wall_ns, log_file_say *say, void *context);

#endif
