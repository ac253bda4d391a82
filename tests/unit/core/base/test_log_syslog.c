/* Tests core/base/log_syslog.c, and what log.c makes of it: lines to a local daemon and to one elsewhere
 * (spec/configuration.md 7.3), over sockets of the tests' own. Nothing sleeps: where a retry is due only a
 * second later, the test says that this second is over (log_syslog.next_try_ns). */
#include "core/base/language.h"
#include "core/base/log.h"
#include "core/base/log_syslog.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_BYTES = 128 * 1024, PATIENCE_MS = 10000, PATH_BYTES = 96 };

/* A daemon of the test's own: a socket, and for streams what was accepted from it. */
struct daemon {
    char directory[64];
    char path[PATH_BYTES];
    int listener;
    int stream; /* -1: none, or datagrams */
    char line[LINE_BYTES];
};

static void daemon_bind(struct daemon *daemon, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", daemon->path);
    daemon->listener = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    daemon->stream = -1;
    cr_assert_eq(bind(daemon->listener, (struct sockaddr *)&address, sizeof address), 0);
    if (type == SOCK_STREAM)
        cr_assert_eq(listen(daemon->listener, 5), 0);
}

static struct daemon *daemon_new(void)
{
    struct daemon *daemon = calloc(1, sizeof *daemon);
    cr_assert_not_null(daemon);
    snprintf(daemon->directory, sizeof daemon->directory, "/tmp/myelin-test-XXXXXX");
    cr_assert_not_null(mkdtemp(daemon->directory));
    snprintf(daemon->path, sizeof daemon->path, "%s/log", daemon->directory);
    daemon->listener = daemon->stream = -1;
    return daemon;
}

static struct daemon *daemon_local(int type)
{
    struct daemon *daemon = daemon_new();
    daemon_bind(daemon, type);
    return daemon;
}

/* On a loopback port that the kernel chooses; the URL goes to `url`. */
static struct daemon *daemon_inet(int type, char *url, size_t url_bytes)
{
    struct daemon *daemon = daemon_new();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    daemon->listener = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(daemon->listener, (struct sockaddr *)&address, bytes), 0);
    if (type == SOCK_STREAM)
        cr_assert_eq(listen(daemon->listener, 5), 0);
    cr_assert_eq(getsockname(daemon->listener, (struct sockaddr *)&address, &bytes), 0);
    snprintf(url, url_bytes, "%s://127.0.0.1:%d", type == SOCK_DGRAM ? "udp" : "tcp",
             ntohs(address.sin_port));
    return daemon;
}

static void daemon_stop(struct daemon *daemon)
{
    if (daemon->stream >= 0)
        close(daemon->stream);
    if (daemon->listener >= 0)
        close(daemon->listener);
    daemon->listener = daemon->stream = -1;
    unlink(daemon->path);
}

static void daemon_free(struct daemon *daemon)
{
    daemon_stop(daemon);
    rmdir(daemon->directory);
    free(daemon);
}

static void wait_readable(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&wanted, 1, PATIENCE_MS), 1, "nothing comes");
}

/* One datagram. */
static const char *daemon_datagram(struct daemon *daemon)
{
    wait_readable(daemon->listener);
    ssize_t got = recv(daemon->listener, daemon->line, sizeof daemon->line - 1, 0);
    cr_assert_geq(got, 0);
    daemon->line[got] = 0;
    return daemon->line;
}

static void daemon_accept(struct daemon *daemon)
{
    wait_readable(daemon->listener);
    daemon->stream = accept(daemon->listener, NULL, NULL);
    cr_assert_geq(daemon->stream, 0);
}

/* One line of the stream. */
static const char *daemon_stream_line(struct daemon *daemon)
{
    size_t count = 0;
    if (daemon->stream < 0)
        daemon_accept(daemon);
    do {
        wait_readable(daemon->stream);
        cr_assert_eq(recv(daemon->stream, daemon->line + count, 1, 0), 1);
    } while (daemon->line[count++] != '\n');
    daemon->line[count] = 0;
    return daemon->line;
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

/* How a line to a daemon elsewhere looks; PRIORITY is the number in front. */
#define REMOTE_LINE(priority, text)                                                                          \
    "^<" priority ">[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}) "         \
    "[^ ]+ prog\\[[0-9]+\\]: " text "\n$"
#define LOCAL_LINE(priority, text)                                                                           \
    "^<" priority ">[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} prog\\[[0-9]+\\]: " text "\n$"

static const struct {
    enum log_level level;
    int severity;
} severity_rows[] = {{LOG_FATAL, 2},  {LOG_ERROR, 3}, {LOG_WARNING, 4},
                     {LOG_NOTICE, 5}, {LOG_DEBUG, 7}, {LOG_TRACE, 5}};

Test(log_syslog, a_local_line_is_a_datagram_of_facility_daemon)
{
    enum { FACILITY = 3 * 8 };
    struct daemon *daemon = daemon_local(SOCK_DGRAM);
    const char *const paths[] = {"/tmp/no-such-socket-of-myelin", daemon->path, NULL};
    struct log *log = open_log(&(struct log_options){.syslog = true,
                                                     .syslog_paths = paths,
                                                     .program = "prog",
                                                     .debug = true,
                                                     .trace = true,
                                                     .time = true});
    for (size_t i = 0; i < COUNT_OF(severity_rows); i++) {
        char pattern[256], priority[16];
        snprintf(priority, sizeof priority, "%d", FACILITY + severity_rows[i].severity);
        snprintf(pattern, sizeof pattern, LOCAL_LINE("%s", "row %zu"), priority, i);
        log_line(log, severity_rows[i].level, "row %zu%s", i, i % 2 == 0 ? "\n" : "");
        cr_expect(fits(daemon_datagram(daemon), pattern), "%s: %s", pattern, daemon->line);
    }
    log_close(log);
    daemon_free(daemon);
}

Test(log_syslog, a_local_daemon_with_a_stream_only_gets_one)
{
    struct daemon *daemon = daemon_local(SOCK_STREAM);
    const char *const paths[] = {daemon->path, NULL};
    struct log *log =
        open_log(&(struct log_options){.syslog = true, .syslog_paths = paths, .program = "prog"});
    log_notice(log, "one");
    log_error(log, "two");
    cr_expect(fits(daemon_stream_line(daemon), LOCAL_LINE("29", "one")), "%s", daemon->line);
    cr_expect(fits(daemon_stream_line(daemon), LOCAL_LINE("27", "two")), "%s", daemon->line);
    log_close(log);
    daemon_free(daemon);
}

Test(log_syslog, a_machine_without_a_daemon_is_said_so)
{
    const char *const paths[] = {"/tmp/no-such-socket-of-myelin", NULL};
    struct log *log = NULL;
    char why[512] = "";
    cr_expect_eq(
        log_open(&log, &(struct log_options){.syslog = true, .syslog_paths = paths}, why, sizeof why),
        ERR_NOT_FOUND);
    cr_expect_null(log);
    cr_expect(fits(why, "^[0-9/]{10} [0-9:]{8} error connecting to syslog: \"Unix syslog delivery error\"$"),
              "%s", why);
}

Test(log_syslog, each_line_to_udp_is_one_datagram)
{
    char url[64];
    struct daemon *daemon = daemon_inet(SOCK_DGRAM, url, sizeof url);
    struct log *log = open_log(&(struct log_options){.remote_syslog = url, .program = "prog", .debug = true});
    for (size_t i = 0; i < COUNT_OF(severity_rows) - 1; i++) {
        char pattern[256], priority[16];
        snprintf(priority, sizeof priority, "%d", severity_rows[i].severity);
        snprintf(pattern, sizeof pattern, REMOTE_LINE("%s", "row %zu"), priority, i);
        log_line(log, severity_rows[i].level, "row %zu", i);
        cr_expect(fits(daemon_datagram(daemon), pattern), "%s: %s", pattern, daemon->line);
    }
    log_close(log);
    daemon_free(daemon);
}

Test(log_syslog, a_line_too_long_for_a_datagram_is_cut)
{
    char url[64];
    struct daemon *daemon = daemon_inet(SOCK_DGRAM, url, sizeof url);
    struct log *log = open_log(&(struct log_options){.remote_syslog = url, .program = "prog"});
    char *text = malloc(LOG_LINE_BYTES_MAX);
    cr_assert_not_null(text);
    memset(text, 'x', LOG_LINE_BYTES_MAX - 1);
    text[LOG_LINE_BYTES_MAX - 1] = 0;
    log_notice(log, "%s", text);
    cr_expect_eq(strlen(daemon_datagram(daemon)), (size_t)LOG_SYSLOG_DATAGRAM_BYTES_MAX);
    log_notice(log, "next");
    cr_expect(fits(daemon_datagram(daemon), REMOTE_LINE("5", "next")), "%s", daemon->line);
    free(text);
    log_close(log);
    daemon_free(daemon);
}

Test(log_syslog, lines_to_tcp_follow_each_other)
{
    char url[64];
    struct daemon *daemon = daemon_inet(SOCK_STREAM, url, sizeof url);
    struct log *log = open_log(&(struct log_options){.remote_syslog = url, .program = "prog"});
    log_notice(log, "one");
    log_warning(log, "two");
    cr_expect(fits(daemon_stream_line(daemon), REMOTE_LINE("5", "one")), "%s", daemon->line);
    cr_expect(fits(daemon_stream_line(daemon), REMOTE_LINE("4", "two")), "%s", daemon->line);
    log_close(log);
    daemon_free(daemon);
}

Test(log_syslog, a_unix_url_takes_streams_and_datagrams)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        char url[PATH_BYTES + 16];
        struct daemon *daemon = daemon_local(types[i]);
        snprintf(url, sizeof url, "unix://%s", daemon->path);
        struct log *log = open_log(&(struct log_options){.remote_syslog = url, .program = "prog"});
        log_notice(log, "here");
        const char *line = types[i] == SOCK_STREAM ? daemon_stream_line(daemon) : daemon_datagram(daemon);
        cr_expect(fits(line, LOCAL_LINE("5", "here")), "%s", line);
        log_close(log);
        daemon_free(daemon);
    }
}

/* The sentences of nats-server 2.9.10 for the same URLs. */
static const struct {
    const char *url;
    const char *why;
} url_rows[] = {
    {"udp://127.0.0.1",
     "error connecting to syslog: \"dial udp: address 127.0.0.1: missing port in address\""},
    {"udp://", "error connecting to syslog: \"dial udp: missing address\""},
    {"tcp://a:b:1", "error connecting to syslog: \"dial tcp: address a:b:1: too many colons in address\""},
    {"unix:///tmp/no-such-socket-of-myelin",
     "error connecting to syslog: \"dial unix "
     "/tmp/no-such-socket-of-myelin: connect: no such file or directory\""},
    {"http://x:1", "error invalid network type: \"http\""},
    {"nourl", "error invalid network type: \"\""},
};

Test(log_syslog, a_url_that_leads_nowhere_is_said_so)
{
    for (size_t i = 0; i < COUNT_OF(url_rows); i++) {
        struct log_syslog syslog = {0};
        char why[512] = "";
        enum err err = log_syslog_open_remote(&syslog, url_rows[i].url, "prog", why, sizeof why);
        cr_expect_neq(err, ERR_OK, "%s", url_rows[i].url);
        cr_expect_str_eq(why, url_rows[i].why);
        cr_expect_not(syslog.open);
        log_syslog_close(&syslog);
    }
}

/* A port that was free a moment ago: nobody listens there. */
Test(log_syslog, a_refused_connection_is_said_so)
{
    char url[64], expected[256], why[512] = "";
    struct log_syslog syslog = {0};
    struct daemon *daemon = daemon_inet(SOCK_STREAM, url, sizeof url);
    daemon_stop(daemon);
    cr_expect_eq(log_syslog_open_remote(&syslog, url, "prog", why, sizeof why), ERR_SYSTEM);
    snprintf(expected, sizeof expected,
             "error connecting to syslog: \"dial tcp %s: connect: connection refused\"",
             url + strlen("tcp://"));
    cr_expect_str_eq(why, expected);
    cr_expect_not(syslog.open);
    daemon_free(daemon);
}

static void open_stream(struct log_syslog *syslog, struct daemon *daemon, const char *url)
{
    char why[512] = "";
    cr_assert_eq(log_syslog_open_remote(syslog, url, "prog", why, sizeof why), ERR_OK, "%s", why);
    daemon_accept(daemon);
}

/* Goal: a daemon that is gone costs lines, not time, and is found again. Method: the daemon closes its end;
 * lines are lost until the retry is due, which the test decides. */
Test(log_syslog, a_broken_stream_is_tried_again_when_its_time_has_come)
{
    char url[64];
    struct log_syslog syslog = {0};
    struct daemon *daemon = daemon_inet(SOCK_STREAM, url, sizeof url);
    open_stream(&syslog, daemon, url);
    close(daemon->stream);
    daemon->stream = -1;
    int lost = 0;
    while (log_syslog_write(&syslog, "gone\n", 5) == ERR_OK) /* until the peer's RST is here */
        cr_assert_lt(lost++, 1000000);
    cr_expect_eq(syslog.fd, -1);
    cr_expect_eq(log_syslog_write(&syslog, "early\n", 6), ERR_SYSTEM);
    cr_expect_eq(errno, ENOTCONN);
    cr_expect_eq(syslog.fd, -1, "not before its time");
    syslog.next_try_ns = 0;
    enum err first = log_syslog_write(&syslog, "perhaps\n", 8); /* starts to connect and does not wait */
    cr_expect(first == ERR_OK || first == ERR_SYSTEM);
    daemon_accept(daemon);
    while (log_syslog_write(&syslog, "back\n", 5) != ERR_OK)
        cr_assert_geq(syslog.fd, 0);
    while (strcmp(daemon_stream_line(daemon), "back\n") != 0)
        cr_assert_str_eq(daemon->line, "perhaps\n");
    log_syslog_close(&syslog);
    daemon_free(daemon);
}

/* The same with datagrams to a path, whose daemon comes back with a new socket. */
Test(log_syslog, a_local_daemon_that_comes_back_is_found)
{
    struct daemon *daemon = daemon_local(SOCK_DGRAM);
    const char *const paths[] = {daemon->path, NULL};
    struct log_syslog syslog = {0};
    char why[512] = "";
    cr_assert_eq(log_syslog_open_local(&syslog, paths, "prog", why, sizeof why), ERR_OK);
    daemon_stop(daemon);
    cr_expect_eq(log_syslog_write(&syslog, "one", 3), ERR_SYSTEM);
    cr_expect_eq(syslog.fd, -1);
    syslog.next_try_ns = 0;
    cr_expect_eq(log_syslog_write(&syslog, "two", 3), ERR_SYSTEM, "there is no daemon yet");
    cr_expect_gt(syslog.next_try_ns, 0, "and the next try is later");
    daemon_bind(daemon, SOCK_DGRAM);
    syslog.next_try_ns = 0;
    cr_expect_eq(log_syslog_write(&syslog, "three", 5), ERR_OK);
    cr_expect_str_eq(daemon_datagram(daemon), "three");
    log_syslog_close(&syslog);
    daemon_free(daemon);
}

/* UDP has no connection to lose: the refusal of one datagram does not stop the next. */
Test(log_syslog, a_refused_datagram_does_not_end_udp)
{
    char url[64], why[512] = "";
    struct log_syslog syslog = {0};
    struct daemon *daemon = daemon_inet(SOCK_DGRAM, url, sizeof url);
    cr_assert_eq(log_syslog_open_remote(&syslog, url, "prog", why, sizeof why), ERR_OK);
    struct sockaddr_in address;
    socklen_t bytes = sizeof address;
    cr_assert_eq(getsockname(daemon->listener, (struct sockaddr *)&address, &bytes), 0);
    close(daemon->listener);
    int refused = 0;
    for (int i = 0; i < 2; i++)
        refused += log_syslog_write(&syslog, "lost", 4) != ERR_OK;
    cr_expect_eq(refused, 1, "the second one hears of the first");
    cr_expect_geq(syslog.fd, 0);
    daemon->listener = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(daemon->listener, (struct sockaddr *)&address, bytes), 0);
    while (log_syslog_write(&syslog, "found", 5) != ERR_OK) {
    }
    cr_expect_str_eq(daemon_datagram(daemon), "found");
    log_syslog_close(&syslog);
    daemon_free(daemon);
}

/* A full local socket loses lines, keeps the connection, and what was lost is said when there is room. */
Test(log_syslog, a_daemon_that_does_not_read_costs_lines_only)
{
    struct daemon *daemon = daemon_local(SOCK_DGRAM);
    const char *const paths[] = {daemon->path, NULL};
    struct log *log =
        open_log(&(struct log_options){.syslog = true, .syslog_paths = paths, .program = "prog"});
    enum { LINES = 5000 };
    char *text = malloc(1024);
    cr_assert_not_null(text);
    memset(text, 'y', 1023);
    text[1023] = 0;
    for (int i = 0; i < LINES; i++)
        log_notice(log, "%s", text);
    int came = 0;
    struct pollfd wanted = {.fd = daemon->listener, .events = POLLIN};
    while (poll(&wanted, 1, 0) == 1) {
        (void)daemon_datagram(daemon);
        came++;
    }
    cr_assert_gt(came, 0);
    cr_assert_lt(came, LINES, "the queue of a socket is shorter");
    log_notice(log, "after");
    char pattern[256];
    snprintf(pattern, sizeof pattern, LOCAL_LINE("28", "%d log lines before this one were lost: .*"),
             LINES - came);
    cr_expect(fits(daemon_datagram(daemon), pattern), "%s", daemon->line);
    cr_expect(fits(daemon_datagram(daemon), LOCAL_LINE("29", "after")), "%s", daemon->line);
    free(text);
    log_close(log);
    daemon_free(daemon);
}

/* A stream that took a part of a line and no more is cut: what the daemon has is whole lines and one piece,
 * and the next line comes by a new connection. */
Test(log_syslog, a_stream_that_took_half_a_line_is_cut)
{
    char url[64];
    struct log_syslog syslog = {0};
    struct daemon *daemon = daemon_inet(SOCK_STREAM, url, sizeof url);
    open_stream(&syslog, daemon, url);
    char *line = malloc(LOG_LINE_BYTES_MAX);
    cr_assert_not_null(line);
    memset(line, 'z', LOG_LINE_BYTES_MAX);
    line[LOG_LINE_BYTES_MAX - 1] = '\n';
    size_t whole = 0;
    while (log_syslog_write(&syslog, line, LOG_LINE_BYTES_MAX) == ERR_OK)
        cr_assert_lt(whole++, 10000);
    bool cut = syslog.fd < 0;
    log_syslog_close(&syslog);
    size_t got = 0;
    for (ssize_t count; (count = recv(daemon->stream, daemon->line, sizeof daemon->line, 0)) > 0;)
        got += (size_t)count;
    cr_expect_eq(got / LOG_LINE_BYTES_MAX, whole);
    cr_expect_eq(got % LOG_LINE_BYTES_MAX != 0, cut, "it is cut behind a piece, and only there");
    free(line);
    daemon_free(daemon);
}

Test(log_syslog, a_reload_moves_from_a_file_to_a_daemon_and_back)
{
    char url[64], why[512] = "";
    struct daemon *daemon = daemon_inet(SOCK_DGRAM, url, sizeof url);
    char file[PATH_BYTES + 8];
    snprintf(file, sizeof file, "%s/file", daemon->directory);
    struct log *log = open_log(&(struct log_options){.file = file, .program = "prog"});
    cr_assert_eq(
        log_reconfigure(log, &(struct log_options){.remote_syslog = url, .program = "prog"}, why, sizeof why),
        ERR_OK, "%s", why);
    log_notice(log, "to the daemon");
    cr_expect(fits(daemon_datagram(daemon), REMOTE_LINE("5", "to the daemon")), "%s", daemon->line);
    log_reopen(log);
    cr_expect(fits(daemon_datagram(daemon), REMOTE_LINE("5", "File log re-open ignored, not a file logger")),
              "%s", daemon->line);
    cr_assert_eq(log_reconfigure(log, &(struct log_options){.remote_syslog = "http://x"}, why, sizeof why),
                 ERR_INVALID);
    log_notice(log, "still there");
    cr_expect(fits(daemon_datagram(daemon), REMOTE_LINE("5", "still there")), "%s", daemon->line);
    log_close(log);
    unlink(file);
    daemon_free(daemon);
}
