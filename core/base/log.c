/* core/base/log.c - the log: makes a line, chooses where it goes, writes it whole, counts what was lost.
 * In the flow:  log_line() -> emit() -> log_file_write() | log_syslog_write() | stderr
 *
 * Why a mutex, here of all places: lines of several threads must not mix, and rotation swaps the file under
 * them. Nothing on a message's way logs (protocol tracing aside, which is for debugging), so no message waits
 * for it. */
#include "core/base/log.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/log_file.h"
#include "core/base/log_stamp.h"
#include "core/base/log_syslog.h"
#include "core/base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum log_place { LOG_TO_STDERR, LOG_TO_FILE, LOG_TO_SYSLOG };

struct log_output {
    enum log_place place;
    struct log_file file;     /* LOG_TO_FILE, otherwise closed */
    struct log_syslog syslog; /* LOG_TO_SYSLOG, otherwise closed */
    struct log_stamp_style style;
};

struct log {
    /* Any thread asks for these before it makes a line, while a reload may write them: hence __atomic
     * builtins, relaxed, because nothing else hangs on their order. */
    int debug;
    int trace;

    pthread_mutex_t mutex; /* all below */
    struct log_output output;
    uint64_t lost_lines; /* since the last line that could be written */
    int lost_cause;      /* errno of the last of them */
    bool stderr_torn;    /* a line was cut there: the next one begins with a newline */
};

enum { SENTENCE_BYTES_MAX = 256 };

static enum err output_open(struct log_output *output, const struct log_options *options, char *why,
                            size_t why_bytes);
static void output_close(struct log_output *output);
static bool flag_get(const int *flag);
static void flag_set(int *flag, bool value);
static void set_levels(struct log *log, const struct log_options *options);
static void rotate_if_over_limit_at_start(struct log *log);
static void emit(struct log *log, enum log_level level, char *text, size_t text_bytes);
static enum err emit_raw(struct log *log, const char *data, size_t count);
static enum err write_stderr(struct log *log, const char *data, size_t count);
static size_t make_stamp(const struct log_output *output, char *out, enum log_level level, int64_t wall_ns);
static void report_lost(struct log *log, int64_t wall_ns);
static void rotate(struct log *log, int64_t wall_ns);
static void say_direct(void *context, bool bad, const char *sentence);
static void emit_sentence(struct log *log, enum log_level level, const char *format, ...) PRINTF_LIKE(3, 4);

/* A line's buffer: the stamp is put in front of the text when the mutex is held, so that times in the log
 * never go back; its room is reserved. */
enum { TEXT_OFFSET = LOG_STAMP_BYTES_MAX };

enum err log_open(struct log **log, const struct log_options *options, char *why, size_t why_bytes)
{
    *log = NULL;
    char reason[1024] = "";
    char date[LOG_STAMP_BYTES_MAX];
    (void)log_stamp_early(date, sizeof date, clock_wall_ns());

    struct log *made = memory_new(sizeof *made);
    if (made == NULL) {
        (void)snprintf(why, why_bytes, "%serror opening log: %s", date, err_text(ERR_MEMORY));
        return ERR_MEMORY;
    }
    enum err err = output_open(&made->output, options, reason, sizeof reason);
    if (err != ERR_OK) {
        (void)snprintf(why, why_bytes, "%s%s", date, reason);
        memory_free(made);
        return err;
    }
    if (pthread_mutex_init(&made->mutex, NULL) != 0) {
        (void)snprintf(why, why_bytes, "%serror opening log: %s", date, err_text(ERR_MEMORY));
        output_close(&made->output);
        memory_free(made);
        return ERR_MEMORY;
    }
    set_levels(made, options);
    rotate_if_over_limit_at_start(made);
    *log = made;
    return ERR_OK;
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    output_close(&log->output);
    (void)pthread_mutex_destroy(&log->mutex);
    memory_free(log);
}

enum err log_reconfigure(struct log *log, const struct log_options *options, char *why, size_t why_bytes)
{
    struct log_output next = {0};
    enum err err = output_open(&next, options, why, why_bytes);
    if (err != ERR_OK)
        return err;

    (void)pthread_mutex_lock(&log->mutex);
    struct log_output before = log->output;
    log->output = next;
    (void)pthread_mutex_unlock(&log->mutex);

    set_levels(log, options);
    output_close(&before);
    rotate_if_over_limit_at_start(log);
    return ERR_OK;
}

void log_reopen(struct log *log)
{
    if (log == NULL)
        return;
    (void)pthread_mutex_lock(&log->mutex);
    if (log->output.place != LOG_TO_FILE) {
        emit_sentence(log, LOG_NOTICE, "File log re-open ignored, not a file logger");
    } else {
        enum err err = log_file_reopen(&log->output.file);
        if (err == ERR_OK)
            emit_sentence(log, LOG_NOTICE, "File log re-opened");
        else
            emit_sentence(log, LOG_ERROR, "Unable to re-open the log file, still writing to the old one: %s",
                          errno_text(errno).text);
    }
    (void)pthread_mutex_unlock(&log->mutex);
}

bool log_enabled(const struct log *log, enum log_level level)
{
    if (log == NULL)
        return false;
    if (level == LOG_DEBUG)
        return flag_get(&log->debug);
    if (level == LOG_TRACE)
        return flag_get(&log->trace);
    return true;
}

void log_line(struct log *log, enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line_list(log, level, format, arguments);
    va_end(arguments);
}

void log_line_list(struct log *log, enum log_level level, const char *format, va_list arguments)
{
    if (!log_enabled(log, level))
        return;
    int cause = errno; /* who logs a failure may still need it */
    char buffer[LOG_LINE_BYTES_MAX];
    size_t room = sizeof buffer - TEXT_OFFSET - 1; /* one byte stays for the newline */
    int wanted = vsnprintf(buffer + TEXT_OFFSET, room, format, arguments);
    size_t count = wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
    if (count == 0 || buffer[TEXT_OFFSET + count - 1] != '\n')
        buffer[TEXT_OFFSET + count++] = '\n';

    (void)pthread_mutex_lock(&log->mutex);
    emit(log, level, buffer + TEXT_OFFSET, count);
    (void)pthread_mutex_unlock(&log->mutex);
    errno = cause;
}

static enum err output_open(struct log_output *output, const struct log_options *options, char *why,
                            size_t why_bytes)
{
    const char *program = options->program == NULL ? "myelin" : options->program;
    output->style = (struct log_stamp_style){.pid = getpid(), .time = options->time, .utc = options->utc};
    if (options->file != NULL) {
        output->place = LOG_TO_FILE;
        enum err err =
            log_file_open(&output->file, options->file, options->size_limit_bytes, options->files_max);
        if (err == ERR_MEMORY)
            (void)snprintf(why, why_bytes, "error opening file: %s", err_text(err));
        else if (err != ERR_OK)
            (void)snprintf(why, why_bytes, "error opening file: open %s: %s", options->file,
                           errno_text(errno).text);
        return err;
    }
    if (options->remote_syslog != NULL) {
        output->place = LOG_TO_SYSLOG;
        return log_syslog_open_remote(&output->syslog, options->remote_syslog, program, why, why_bytes);
    }
    if (options->syslog) {
        output->place = LOG_TO_SYSLOG;
        return log_syslog_open_local(&output->syslog, options->syslog_paths, program, why, why_bytes);
    }
    output->place = LOG_TO_STDERR;
    struct stat about;
    output->style.colours = fstat(STDERR_FILENO, &about) == 0 && S_ISCHR(about.st_mode);
    return ERR_OK;
}

static void output_close(struct log_output *output)
{
    log_file_close(&output->file);
    log_syslog_close(&output->syslog);
}

static bool flag_get(const int *flag)
{
    /* lint: atomics, because any thread reads these two flags and nothing else hangs on them */
    return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}

static void flag_set(int *flag, bool value)
{
    /* lint: atomics, because any thread reads these two flags and nothing else hangs on them */
    __atomic_store_n(flag, value ? 1 : 0, __ATOMIC_RELAXED);
}

static void set_levels(struct log *log, const struct log_options *options)
{
    flag_set(&log->debug, options->debug);
    flag_set(&log->trace, options->trace);
}

/* A file that is too large already is rotated by the line that says so. */
static void rotate_if_over_limit_at_start(struct log *log)
{
    (void)pthread_mutex_lock(&log->mutex);
    if (log->output.place == LOG_TO_FILE && log_file_over_limit(&log->output.file))
        emit_sentence(log, LOG_NOTICE, "Rotating logfile...");
    (void)pthread_mutex_unlock(&log->mutex);
}

/* Puts the stamp in front of `text` (LOG_STAMP_BYTES_MAX bytes are free there) and writes both. The text ends
 * with a newline. */
static void emit(struct log *log, enum log_level level, char *text, size_t text_bytes)
{
    int64_t wall_ns = clock_wall_ns();
    if (log->lost_lines > 0)
        report_lost(log, wall_ns);

    char stamp[LOG_STAMP_BYTES_MAX];
    size_t stamp_bytes = make_stamp(&log->output, stamp, level, wall_ns);
    memcpy(text - stamp_bytes, stamp, stamp_bytes);
    if (emit_raw(log, text - stamp_bytes, stamp_bytes + text_bytes) != ERR_OK) {
        log->lost_cause = errno;
        log->lost_lines++;
        return;
    }
    if (log->output.place == LOG_TO_FILE && log_file_over_limit(&log->output.file))
        rotate(log, wall_ns);
}

static enum err emit_raw(struct log *log, const char *data, size_t count)
{
    switch (log->output.place) {
    case LOG_TO_FILE:
        return log_file_write(&log->output.file, data, count);
    case LOG_TO_SYSLOG:
        return log_syslog_write(&log->output.syslog, data, count);
    case LOG_TO_STDERR:
        return write_stderr(log, data, count);
    }
    return ERR_SYSTEM;
}

static enum err write_stderr(struct log *log, const char *data, size_t count)
{
    if (log->stderr_torn) {
        if (write(STDERR_FILENO, "\n", 1) != 1)
            return ERR_SYSTEM;
        log->stderr_torn = false;
    }
    size_t done = 0;
    while (done < count) {
        ssize_t written = write(STDERR_FILENO, data + done, count - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            log->stderr_torn = done > 0;
            return ERR_SYSTEM;
        }
        done += (size_t)written;
    }
    return ERR_OK;
}

static size_t make_stamp(const struct log_output *output, char *out, enum log_level level, int64_t wall_ns)
{
    if (output->place != LOG_TO_SYSLOG)
        return log_stamp_line(out, LOG_STAMP_BYTES_MAX, &output->style, level, wall_ns);
    struct log_stamp_syslog stamp = log_syslog_stamp(&output->syslog, output->style.pid);
    return log_stamp_syslog(out, LOG_STAMP_BYTES_MAX, &stamp, level, wall_ns);
}

/* One line about those that are missing here; if it cannot be written either, the count stays. */
static void report_lost(struct log *log, int64_t wall_ns)
{
    char line[LOG_STAMP_BYTES_MAX + SENTENCE_BYTES_MAX];
    size_t count = make_stamp(&log->output, line, LOG_WARNING, wall_ns);
    int wanted = snprintf(line + count, sizeof line - count, "%llu log lines before this one were lost: %s\n",
                          (unsigned long long)log->lost_lines, errno_text(log->lost_cause).text);
    ASSERT(wanted > 0 && (size_t)wanted < sizeof line - count);
    if (emit_raw(log, line, count + (size_t)wanted) == ERR_OK)
        log->lost_lines = 0;
}

static void rotate(struct log *log, int64_t wall_ns)
{
    log_file_rotate(&log->output.file, wall_ns, say_direct, log);
}

/* What a rotation says is written past emit(), so that it cannot start another one; it ends in CRLF and
 * always has local time, because log shippers of NATS users look for exactly that (spec 7.2). */
static void say_direct(void *context, bool bad, const char *sentence)
{
    struct log *log = context;
    char line[LOG_STAMP_BYTES_MAX + LOG_FILE_SENTENCE_BYTES_MAX];
    struct log_stamp_style style = log->output.style;
    style.utc = false;
    size_t count =
        log_stamp_line(line, LOG_STAMP_BYTES_MAX, &style, bad ? LOG_ERROR : LOG_NOTICE, clock_wall_ns());
    size_t sentence_bytes = strlen(sentence);
    ASSERT(sentence_bytes <= sizeof line - count - 2);
    memcpy(line + count, sentence, sentence_bytes);
    memcpy(line + count + sentence_bytes, "\r\n", 2);
    if (emit_raw(log, line, count + sentence_bytes + 2) != ERR_OK) {
        log->lost_cause = errno;
        log->lost_lines++;
    }
}

/* A short line of the log's own; the mutex is held. */
static void emit_sentence(struct log *log, enum log_level level, const char *format, ...)
{
    char buffer[TEXT_OFFSET + SENTENCE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(buffer + TEXT_OFFSET, SENTENCE_BYTES_MAX - 1, format, arguments);
    va_end(arguments);
    ASSERT(wanted > 0 && wanted < SENTENCE_BYTES_MAX - 1);
    buffer[TEXT_OFFSET + wanted] = '\n';
    emit(log, level, buffer + TEXT_OFFSET, (size_t)wanted + 1);
}
