/* core/base/log_stamp.c - process, time and tag in front of a log line. */
#include "core/base/log_stamp.h"

#include "core/base/check.h"
#include "core/base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FACILITY_DAEMON = 3 << 3 };

static const struct level_row {
    const char *tag;
    const char *coloured;
    int severity;
} level_rows[] = {
    [LOG_FATAL] = {"FTL", "\x1b[31mFTL\x1b[0m", 2},     [LOG_ERROR] = {"ERR", "\x1b[31mERR\x1b[0m", 3},
    [LOG_WARNING] = {"WRN", "\x1b[0;93mWRN\x1b[0m", 4}, [LOG_NOTICE] = {"INF", "\x1b[32mINF\x1b[0m", 5},
    [LOG_DEBUG] = {"DBG", "\x1b[36mDBG\x1b[0m", 7},     [LOG_TRACE] = {"TRC", "\x1b[33mTRC\x1b[0m", 5},
};

static struct tm calendar(int64_t wall_ns, bool utc, int *ns);
static size_t kept(int wanted, size_t out_bytes);

size_t log_stamp_line(char *out, size_t out_bytes, const struct log_stamp_style *style, enum log_level level,
                      int64_t wall_ns)
{
    const struct level_row *row = &level_rows[level];
    const char *tag = style->colours ? row->coloured : row->tag;
    if (!style->time)
        return kept(snprintf(out, out_bytes, "[%d] [%s] ", style->pid, tag), out_bytes);
    int ns = 0;
    struct tm at = calendar(wall_ns, style->utc, &ns);
    return kept(snprintf(out, out_bytes, "[%d] %04d/%02d/%02d %02d:%02d:%02d.%06d [%s] ", style->pid,
                         at.tm_year + 1900, at.tm_mon + 1, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec,
                         ns / 1000, tag),
                out_bytes);
}

size_t log_stamp_early(char *out, size_t out_bytes, int64_t wall_ns)
{
    int ns = 0;
    struct tm at = calendar(wall_ns, false, &ns);
    return kept(snprintf(out, out_bytes, "%04d/%02d/%02d %02d:%02d:%02d ", at.tm_year + 1900, at.tm_mon + 1,
                         at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec),
                out_bytes);
}

size_t log_stamp_backup(char *out, size_t out_bytes, int64_t wall_ns)
{
    int ns = 0;
    struct tm at = calendar(wall_ns, false, &ns);
    return kept(snprintf(out, out_bytes, "%04d.%02d.%02d.%02d.%02d.%02d.%09d", at.tm_year + 1900,
                         at.tm_mon + 1, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec, ns),
                out_bytes);
}

bool log_stamp_is_backup(const char *text)
{
    static const char shape[] = "0000.00.00.00.00.00.000000000";
    _Static_assert(sizeof shape - 1 == LOG_STAMP_BACKUP_BYTES, "the shape is as long as the header says");
    if (strlen(text) != LOG_STAMP_BACKUP_BYTES)
        return false;
    for (size_t i = 0; i < LOG_STAMP_BACKUP_BYTES; i++) {
        if (shape[i] == '.' ? text[i] != '.' : !isdigit((unsigned char)text[i]))
            return false;
    }

    /* It must be a time, too: what an administrator named otherwise is never purged. */
    static const struct {
        size_t offset;
        int least, most;
    } fields[] = {{5, 1, 12}, {8, 1, 31}, {11, 0, 23}, {14, 0, 59}, {17, 0, 60}};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        int value = (text[fields[i].offset] - '0') * 10 + (text[fields[i].offset + 1] - '0');
        if (value < fields[i].least || value > fields[i].most)
            return false;
    }
    return true;
}

size_t log_stamp_syslog(char *out, size_t out_bytes, const struct log_stamp_syslog *stamp,
                        enum log_level level, int64_t wall_ns)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int priority = level_rows[level].severity | (stamp->daemon ? FACILITY_DAEMON : 0);
    int ns = 0;
    struct tm at = calendar(wall_ns, false, &ns);
    if (stamp->host == NULL)
        return kept(snprintf(out, out_bytes, "<%d>%s %2d %02d:%02d:%02d %.*s[%d]: ", priority,
                             months[at.tm_mon], at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec,
                             LOG_PROGRAM_BYTES_MAX, stamp->program, stamp->pid),
                    out_bytes);

    char zone[16] = "Z";
    unsigned int minutes = (unsigned int)labs(at.tm_gmtoff) / 60 % (24 * 60);
    if (minutes != 0)
        (void)snprintf(zone, sizeof zone, "%c%02u:%02u", at.tm_gmtoff < 0 ? '-' : '+', minutes / 60,
                       minutes % 60);
    return kept(snprintf(out, out_bytes, "<%d>%04d-%02d-%02dT%02d:%02d:%02d%s %.*s %.*s[%d]: ", priority,
                         at.tm_year + 1900, at.tm_mon + 1, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec, zone,
                         LOG_HOST_BYTES_MAX, stamp->host, LOG_PROGRAM_BYTES_MAX, stamp->program, stamp->pid),
                out_bytes);
}

static struct tm calendar(int64_t wall_ns, bool utc, int *ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_SECOND);
    *ns = (int)(wall_ns % NS_PER_SECOND);
    struct tm at = {0};
    struct tm *known = utc ? gmtime_r(&seconds, &at) : localtime_r(&seconds, &at);
    ASSERT(known != NULL); /* fails only for years that do not fit an int */
    return at;
}

/* How many bytes snprintf() left in the buffer, from how many it wanted to. */
static size_t kept(int wanted, size_t out_bytes)
{
    ASSERT(wanted >= 0 && out_bytes > 0);
    return (size_t)wanted < out_bytes ? (size_t)wanted : out_bytes - 1;
}
