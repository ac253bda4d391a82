/* Tests core/base/log.c and log_file.c: the shape of lines, levels, rotation, re-opening, and what happens
 * when the disk is full (spec/configuration.md 7.1, 7.2). Each test works in a directory of its own. */
#include "core/base/language.h"
#include "core/base/log.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTENT_BYTES_MAX = 256 * 1024, PATH_BYTES = 256 };

struct place {
    char directory[64];
    char path[PATH_BYTES];
    char content[CONTENT_BYTES_MAX];
};

static struct place *place_new(void)
{
    struct place *place = calloc(1, sizeof *place);
    cr_assert_not_null(place);
    snprintf(place->directory, sizeof place->directory, "/tmp/myelin-test-XXXXXX");
    cr_assert_not_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof place->path, "%s/server.log", place->directory);
    return place;
}

static void place_free(struct place *place)
{
    DIR *entries = opendir(place->directory);
    cr_assert_not_null(entries);
    for (const struct dirent *at; (at = readdir(entries)) != NULL;)
        (void)unlinkat(dirfd(entries), at->d_name, 0);
    closedir(entries);
    rmdir(place->directory);
    free(place);
}

static const char *read_file(struct place *place, const char *path)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    place->content[fread(place->content, 1, sizeof place->content - 1, file)] = 0;
    fclose(file);
    return place->content;
}

/* How many files beside the live one; the last one's path goes to `path`. */
static int backups(const struct place *place, char *path)
{
    int count = 0;
    DIR *entries = opendir(place->directory);
    cr_assert_not_null(entries);
    for (const struct dirent *at; (at = readdir(entries)) != NULL;) {
        if (strncmp(at->d_name, "server.log.", 11) != 0)
            continue;
        count++;
        snprintf(path, PATH_BYTES, "%s/%.120s", place->directory, at->d_name);
    }
    closedir(entries);
    return count;
}

static struct log *open_log(const struct log_options *options)
{
    struct log *log = NULL;
    char why[512] = "";
    cr_assert_eq(log_open(&log, options, why, sizeof why), ERR_OK, "%s", why);
    return log;
}

static bool fits(const char *content, const char *pattern)
{
    regex_t compiled;
    cr_assert_eq(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0, "%s", pattern);
    bool result = regexec(&compiled, content, 0, NULL, 0) == 0;
    regfree(&compiled);
    return result;
}

#define STAMP "[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6} "

Test(log, a_line_has_process_time_and_tag)
{
    static const struct {
        enum log_level level;
        const char *tag;
    } rows[] = {{LOG_FATAL, "FTL"},  {LOG_ERROR, "ERR"}, {LOG_WARNING, "WRN"},
                {LOG_NOTICE, "INF"}, {LOG_DEBUG, "DBG"}, {LOG_TRACE, "TRC"}};
    struct place *place = place_new();
    for (int time = 0; time < 2; time++) {
        struct log *log = open_log(&(struct log_options){
            .file = place->path, .time = time == 1, .utc = true, .debug = true, .trace = true});
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            char pattern[256];
            cr_assert_eq(truncate(place->path, 0), 0);
            log_line(log, rows[i].level, "row %zu%s", i, i % 2 == 0 ? "\n" : "");
            snprintf(pattern, sizeof pattern, "^\\[%ld\\] %s\\[%s\\] row %zu\n$", (long)getpid(),
                     time == 1 ? STAMP : "", rows[i].tag, i);
            cr_expect(fits(read_file(place, place->path), pattern), "%s: %s", pattern, place->content);
        }
        log_close(log);
    }
    place_free(place);
}

Test(log, debug_and_trace_are_written_when_wanted)
{
    struct place *place = place_new();
    char why[256];
    struct log *log = open_log(&(struct log_options){.file = place->path});
    cr_expect(log_enabled(log, LOG_NOTICE) && !log_enabled(log, LOG_DEBUG) && !log_enabled(log, LOG_TRACE));
    log_debug(log, "unseen");
    log_line(log, LOG_TRACE, "unseen");
    cr_expect_str_empty(read_file(place, place->path));
    struct log_options options = {.file = place->path, .debug = true};
    cr_assert_eq(log_reconfigure(log, &options, why, sizeof why), ERR_OK, "%s", why);
    cr_expect(log_enabled(log, LOG_DEBUG) && !log_enabled(log, LOG_TRACE));
    log_debug(log, "seen");
    cr_expect(fits(read_file(place, place->path), "^\\[[0-9]+\\] \\[DBG\\] seen\n$"), "%s", place->content);
    log_close(log);
    cr_expect_not(log_enabled(NULL, LOG_FATAL));
    log_error(NULL, "to nobody");
    log_reopen(NULL);
    log_close(NULL);
    place_free(place);
}

Test(log, a_line_that_is_too_long_is_cut_and_still_ends)
{
    struct place *place = place_new();
    struct log *log = open_log(&(struct log_options){.file = place->path});
    char *text = malloc(2 * LOG_LINE_BYTES_MAX);
    cr_assert_not_null(text);
    memset(text, 'x', 2 * LOG_LINE_BYTES_MAX - 1);
    text[2 * LOG_LINE_BYTES_MAX - 1] = 0;
    log_notice(log, "%s", text);
    log_notice(log, "next");
    const char *content = read_file(place, place->path);
    const char *newline = strchr(content, '\n');
    cr_assert_not_null(newline);
    cr_expect_leq((size_t)(newline + 1 - content), (size_t)LOG_LINE_BYTES_MAX);
    cr_expect_gt((size_t)(newline - content), (size_t)LOG_LINE_BYTES_MAX - 1024);
    cr_expect(fits(newline + 1, "^\\[[0-9]+\\] \\[INF\\] next\n$"), "%s", newline + 1);
    free(text);
    log_close(log);
    place_free(place);
}

Test(log, says_why_it_cannot_be_opened)
{
    struct log *log = NULL;
    char why[512] = "";
    struct log_options options = {.file = "/tmp/no-such-directory-of-myelin/log"};
    cr_expect_eq(log_open(&log, &options, why, sizeof why), ERR_SYSTEM);
    cr_expect_null(log);
    cr_expect(fits(why, "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} error opening file: "
                        "open /tmp/no-such-directory-of-myelin/log: no such file or directory$"),
              "%s", why);
}

Test(log, rotates_above_its_limit_and_purges_the_oldest)
{
    struct place *place = place_new();
    char backup[PATH_BYTES] = "";
    char expect[PATH_BYTES + 64];
    struct log *log =
        open_log(&(struct log_options){.file = place->path, .size_limit_bytes = 300, .files_max = 3});
    for (int lines = 0; backups(place, backup) == 0; lines++) {
        cr_assert_lt(lines, 20);
        log_notice(log, "a line of some length, number %d", lines);
    }
    snprintf(expect, sizeof expect, "Rotated log, backup saved as \"%s\"\r\n", backup);
    cr_expect_not_null(strstr(read_file(place, place->path), expect), "%s", place->content);
    read_file(place, backup);
    cr_expect_gt(strlen(place->content), 300U);
    cr_expect(fits(place->content, "number 0\n"), "%s", place->content);
    cr_expect(fits(backup, "server[.]log[.][0-9]{4}([.][0-9]{2}){5}[.][0-9]{9}$"), "%s", backup);
    char first[PATH_BYTES];
    snprintf(first, sizeof first, "%s", backup);
    for (int lines = 0; lines < 60; lines++) {
        log_notice(log, "a line of some length, number %d", lines);
        cr_assert_leq(backups(place, backup), 2);
    }
    cr_expect_eq(backups(place, backup), 2);
    cr_expect_neq(access(first, F_OK), 0, "the oldest is gone");
    log_close(log);
    place_free(place);
}

Test(log, that_is_too_large_at_the_start_is_rotated_at_once)
{
    struct place *place = place_new();
    char backup[PATH_BYTES] = "";
    struct log *log = open_log(&(struct log_options){.file = place->path});
    for (int lines = 0; lines < 20; lines++)
        log_notice(log, "from before");
    log_close(log);
    log = open_log(&(struct log_options){.file = place->path, .size_limit_bytes = 100});
    cr_expect_eq(backups(place, backup), 1);
    cr_expect(fits(read_file(place, backup), "from before\n.*\\[INF\\] Rotating logfile[.]{3}\n$"), "%s",
              place->content);
    log_close(log);
    place_free(place);
}

Test(log, is_opened_again_by_its_name)
{
    struct place *place = place_new();
    char moved[PATH_BYTES + 8];
    struct log *log = open_log(&(struct log_options){.file = place->path});
    log_notice(log, "first");
    snprintf(moved, sizeof moved, "%s.old", place->path);
    cr_assert_eq(rename(place->path, moved), 0);
    log_notice(log, "second");
    log_reopen(log);
    log_notice(log, "third");
    cr_expect(fits(read_file(place, moved), "first\n.*second\n$"), "%s", place->content);
    cr_expect(fits(read_file(place, place->path), "^[^\n]*\\[INF\\] File log re-opened\n[^\n]*third\n$"),
              "%s", place->content);
    /* where it cannot be, the old one goes on */
    cr_assert_eq(rename(place->path, moved), 0);
    cr_assert_eq(mkdir(place->path, 0700), 0);
    log_reopen(log);
    cr_expect(fits(read_file(place, moved),
                   "third\n.*\\[ERR\\] Unable to re-open the log file, still writing to the old one: "
                   "is a directory\n$"),
              "%s", place->content);
    rmdir(place->path);
    log_close(log);
    place_free(place);
}

/* A limit on file sizes is a disk that is full and then is not: lines go missing, are counted, and the line
 * that was cut is ended before the next one begins. */
Test(log, counts_what_a_full_disk_swallowed)
{
    struct place *place = place_new();
    struct rlimit before;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct log *log = open_log(&(struct log_options){.file = place->path});
    log_notice(log, "before");
    struct stat about;
    cr_assert_eq(stat(place->path, &about), 0);
    struct rlimit full = {.rlim_cur = (rlim_t)about.st_size + 15, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &full), 0);
    for (int i = 0; i < 3; i++)
        log_notice(log, "this line has no room any more");
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    log_notice(log, "after");
    log_notice(log, "and on");
    cr_expect(fits(read_file(place, place->path),
                   "^[^\n]*before\n[^\n]{15}\n\\[[0-9]+\\] \\[WRN\\] 3 log lines before this one were lost: "
                   "file too large\n\\[[0-9]+\\] \\[INF\\] after\n\\[[0-9]+\\] \\[INF\\] and on\n$"),
              "%s", place->content);
    log_close(log);
    place_free(place);
}

Test(log, goes_on_after_a_device_that_is_always_full)
{
    struct place *place = place_new();
    char why[256];
    struct log *log = open_log(&(struct log_options){.file = "/dev/full"});
    log_error(log, "one");
    log_error(log, "two");
    struct log_options options = {.file = place->path};
    cr_assert_eq(log_reconfigure(log, &options, why, sizeof why), ERR_OK, "%s", why);
    log_error(log, "three");
    cr_expect(fits(read_file(place, place->path),
                   "^\\[[0-9]+\\] \\[WRN\\] 2 log lines before this one were lost: no space left on device\n"
                   "\\[[0-9]+\\] \\[ERR\\] three\n$"),
              "%s", place->content);
    options.file = "/tmp/no-such-directory-of-myelin/log";
    cr_expect_eq(log_reconfigure(log, &options, why, sizeof why), ERR_SYSTEM);
    cr_expect_str_eq(
        why, "error opening file: open /tmp/no-such-directory-of-myelin/log: no such file or directory");
    log_error(log, "four");
    cr_expect(fits(read_file(place, place->path), "four\n$"), "a reload that failed changes nothing");
    log_close(log);
    place_free(place);
}
