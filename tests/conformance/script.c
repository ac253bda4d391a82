/* tests/conformance/script.c - walks one row: simple exchanges and scripts of steps; see script.h and case.h.
 */
#include "tests/conformance/script.h"

#include "core/base/clock.h"
#include "tests/conformance/challenge.h"
#include "tests/conformance/info.h"
#include "tests/conformance/monitoring.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    SHOWN_BYTES = 360,    /* of expected and received bytes, in a failure */
    FRAMES_MAX = 32,      /* in one EXPECT_UNORDERED */
    SEGMENT_PAUSE_MS = 1, /* between two segments that the server shall read one by one */
    RELOAD_PATIENCE_MS = 20000,
    RELOAD_POLL_MS = 5,
    SETTLE_MS = 2 /* after a case: time for the server to forget its connections */
};

static const struct {
    const char *send;
    const char *answer;
} setups[SETUPS] = {
    [NONE] = {"", ""},
#define CAPABLE "\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\n"
    [Q] = {"CONNECT {\"verbose\":false,\"pedantic\":false," CAPABLE, ""},
    [VB] = {"CONNECT {\"verbose\":true,\"pedantic\":false," CAPABLE, "+OK\r\n"},
    [P] = {"CONNECT {\"verbose\":false,\"pedantic\":true," CAPABLE, ""},
    [Q0] = {"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":0}\r\n", ""},
    [QUIET_ECHO_OFF] = {"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false," CAPABLE, ""},
    [QUIET_NO_HEADERS] = {"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n", ""},
};

static bool run_exchange(struct run *run, const char *send, const char *expect);
static bool run_step(struct run *run, const struct step *step);
static bool run_expect_info(struct run *run, int peer, const char *questions);
static bool run_silence(struct run *run, int peer, int ms);
static bool run_reload(struct run *run, const char *configuration);
static bool run_second_server(struct run *run, const char *source);
static bool run_shows(struct run *run, const char *wanted);
static bool run_expect_bytes(struct run *run, int peer, struct bytes expected);
static bool run_expect_times(struct run *run, int peer, int times, const char *source);
static bool run_expect_unordered(struct run *run, int peer, const char *source);
static bool run_expect_between(struct run *run, const struct step *step);
static bool run_expect_end(struct run *run, int peer);
static bool run_send_each_byte(struct run *run, int peer, const char *source);
static bool run_refused(struct run *run, int patience_ms);
static bool run_expand(struct run *run, int times, const char *source, struct buffer *into);
static bool run_info(struct run *run, int peer, const char *questions);
static bool run_connect_port(struct run *run, int peer, enum setup setup, int port);
static bool run_reason(struct run *run);

bool run_case(struct run *run)
{
    const struct conformance_case *row = run->row;
    bool ok = true;
    if (row->run == NULL && row->steps == NULL && row->send == NULL && row->send_each == NULL)
        ok = run_fail(run, "the row does nothing");
    if (row->run != NULL)
        ok = row->run(run);
    for (const struct step *step = row->steps; ok && step != NULL && step->kind != STEP_END; step++)
        ok = run_step(run, step);
    if (row->send != NULL)
        ok = run_exchange(run, row->send, row->expect);
    for (size_t i = 0; ok && row->send_each != NULL && row->send_each[i] != NULL; i++)
        ok = run_exchange(run, row->send_each[i],
                          row->expect_each != NULL ? row->expect_each[i] : row->expect);
    if (ok && row->closed_reason != NULL)
        ok = run_reason(run);
    for (int i = 0; i < RUN_PEERS; i++)
        peer_leave(&run->peers[i]);
    server_stop(&run->second);
    peer_pause(SETTLE_MS);
    if (!row->alone && !server_alive(run->server)) {
        size_t used = strlen(run->failure);
        (void)snprintf(run->failure + used, sizeof run->failure - used,
                       "%sthe server died (wait status 0x%x)", used == 0 ? "" : "\n    ",
                       (unsigned)run->server->exit_status);
        ok = false;
    }
    return ok;
}

bool run_fail(struct run *run, const char *format, ...)
{
    if (run->failure[0] != 0)
        return false;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(run->failure, sizeof run->failure, format, arguments);
    va_end(arguments);
    return false;
}

bool run_connect(struct run *run, int peer, enum setup setup)
{
    return run_connect_port(run, peer, setup, 0);
}

bool run_send(struct run *run, int peer, const char *source)
{
    return run_send_times(run, peer, 1, source);
}

/* Whether the server takes it all is not judged here: one that closes early is a matter of what it answered.
 */
bool run_send_times(struct run *run, int peer, int times, const char *source)
{
    struct buffer bytes = {0};
    bool ok = run_expand(run, times, source, &bytes);
    if (ok)
        (void)peer_send(&run->peers[peer], buffer_bytes(&bytes));
    buffer_close(&bytes);
    return ok;
}

bool run_expect(struct run *run, int peer, const char *source)
{
    return run_expect_times(run, peer, 1, source);
}

/* A server that has ended has no process id any more, and kill(0) would reach the suite itself. */
bool run_signal(struct run *run, int number)
{
    if (server_alive(run->server) && kill(run->server->pid, number) == 0)
        return true;
    return run_fail(run, "the server has ended and cannot be signalled");
}

bool run_alive(struct run *run, int peer)
{
    (void)peer_send(&run->peers[peer], TEXT("PING\r\n"));
    return run_expect_bytes(run, peer, TEXT("PONG\r\n"));
}

/* The common form of a row, on a new connection: what was expected, then nothing else before the PONG or the
 * end. */
static bool run_exchange(struct run *run, const char *send, const char *expect)
{
    const struct conformance_case *row = run->row;
    struct buffer bytes = {0};
    char shown[SHOWN_BYTES];
    peer_leave(&run->peers[0]);
    bool ok = run_connect(run, 0, NONE);
    /* The setup travels in one write with the rest, as clients send it. */
    ok = ok && run_expand(run, 1, setups[row->setup].send, &bytes) && run_expand(run, 1, send, &bytes);
    if (ok)
        (void)peer_send(&run->peers[0], buffer_bytes(&bytes));
    ok = ok && run_expect(run, 0, setups[row->setup].answer);
    if (ok && expect != NULL)
        ok = row->unordered ? run_expect_unordered(run, 0, expect) : run_expect(run, 0, expect);
    if (ok)
        ok = row->then == CLOSES ? run_expect_end(run, 0) : run_alive(run, 0);
    if (!ok && row->send_each != NULL) {
        size_t used = strlen(run->failure);
        (void)snprintf(run->failure + used, sizeof run->failure - used, "\n    sent %s",
                       template_escape(text(send), shown, sizeof shown));
    }
    buffer_close(&bytes);
    return ok;
}

static bool run_step(struct run *run, const struct step *step)
{
    struct peer *peer = &run->peers[step->peer];
    switch (step->kind) {
    case STEP_CONNECT:
        return run_connect_port(run, step->peer, (enum setup)step->number, step->limit);
    case STEP_SEND:
        return run_send(run, step->peer, step->text);
    case STEP_SEND_EACH:
        return run_send_each_byte(run, step->peer, step->text);
    case STEP_SEND_TIMES:
        return run_send_times(run, step->peer, step->number, step->text);
    case STEP_EXPECT:
        return run_expect(run, step->peer, step->text);
    case STEP_EXPECT_TIMES:
        return run_expect_times(run, step->peer, step->number, step->text);
    case STEP_UNORDERED:
        return run_expect_unordered(run, step->peer, step->text);
    case STEP_BETWEEN:
        return run_expect_between(run, step);
    case STEP_MARK:
        peer->marked_ns = clock_monotonic_ns();
        return true;
    case STEP_INFO:
        return run_expect_info(run, step->peer, step->text);
    case STEP_INFO_WAS:
        return run_info(run, step->peer, step->text);
    case STEP_CLOSED:
        return run_expect_end(run, step->peer);
    case STEP_SILENCE:
        return run_silence(run, step->peer, step->number);
    case STEP_ALIVE:
        return run_alive(run, step->peer);
    case STEP_FIN:
        return shutdown(peer->socket, SHUT_WR) == 0 || run_fail(run, "the connection was closed too early");
    case STEP_DROP:
    case STEP_RESET:
        peer_drop(peer, step->kind == STEP_RESET);
        return true;
    case STEP_PAUSE:
        peer_pause(step->number);
        return true;
    case STEP_SIGNAL:
        return run_signal(run, step->number);
    case STEP_REWRITE:
        return run_reload(run, step->text);
    case STEP_REFUSED:
        return run_refused(run, step->number);
    case STEP_EXITS:
        return server_exits(run->server, peer_deadline(step->number)) ||
               run_fail(run, "the server still runs after %d ms", step->number);
    case STEP_SHOWS:
        return run_shows(run, step->text);
    case STEP_SECOND:
        return run_second_server(run, step->text);
    case STEP_END:
        break;
    }
    return true;
}

static bool run_expect_info(struct run *run, int peer, const char *questions)
{
    struct peer *p = &run->peers[peer];
    char shown[SHOWN_BYTES];
    if (!peer_expect_info(p, peer_deadline(PEER_PATIENCE_MS)))
        return run_fail(run, "expected an INFO line\n    got      \"%s\"%s",
                        template_escape(peer_waiting(p), shown, sizeof shown),
                        p->ended ? " and the end" : "");
    return run_info(run, peer, questions);
}

static bool run_silence(struct run *run, int peer, int ms)
{
    struct peer *p = &run->peers[peer];
    char shown[SHOWN_BYTES];
    if (peer_silent(p, peer_deadline(ms)))
        return true;
    return run_fail(run, "expected silence for %d ms on connection %d\n    got      \"%s\"%s", ms, peer,
                    template_escape(peer_waiting(p), shown, sizeof shown), p->ended ? " and the end" : "");
}

static bool run_reload(struct run *run, const char *configuration)
{
    int before = server_reload_count(run->server);
    int64_t deadline_ns = peer_deadline(RELOAD_PATIENCE_MS);
    if (server_rewrite(run->server, configuration) != ERR_OK)
        return run_fail(run, "the configuration could not be replaced");
    if (!run_signal(run, SIGHUP))
        return false;
    while (server_reload_count(run->server) == before) {
        if (!server_alive(run->server) || clock_monotonic_ns() >= deadline_ns)
            return run_fail(run, "the server says nothing of its reload");
        peer_pause(RELOAD_POLL_MS);
    }
    return true;
}

/* "PATH TEXT" */
static bool run_shows(struct run *run, const char *wanted)
{
    char path[64], why[RUN_FAILURE_BYTES];
    size_t count = strcspn(wanted, " ");
    (void)snprintf(path, sizeof path, "%.*s", (int)count, wanted);
    return monitoring_shows(run->server->values.ports[4], path, wanted + count + 1, why, sizeof why) ||
           run_fail(run, "%s", why);
}

static bool run_second_server(struct run *run, const char *source)
{
    char directory[SERVER_PATH_BYTES];
    struct buffer configuration = {0};
    (void)snprintf(directory, sizeof directory, "%.480s/second", run->server->directory);
    /* Expanded with the first server's ports: that is what a second one has to know. */
    bool ok =
        run_expand(run, 1, source, &configuration) &&
        buffer_append(&configuration, bytes_of("", 1)) == ERR_OK &&
        server_start(&run->second, run->program, directory, (const char *)configuration.data, 0) == ERR_OK;
    buffer_close(&configuration);
    return ok || run_fail(run, "the second server does not start");
}

static bool run_expect_bytes(struct run *run, int peer, struct bytes expected)
{
    char wanted[SHOWN_BYTES];
    char got[SHOWN_BYTES];
    struct peer *p = &run->peers[peer];
    size_t matched = 0;
    if (peer_expect(p, expected, peer_deadline(PEER_PATIENCE_MS), &matched))
        return true;
    struct bytes rest = bytes_of(expected.data + matched, expected.count - matched);
    return run_fail(run,
                    "connection %d, after %zu bytes as expected\n    expected \"%s\"\n    got      \"%s\"%s",
                    peer, matched, template_escape(rest, wanted, sizeof wanted),
                    template_escape(peer_waiting(p), got, sizeof got), p->ended ? " and the end" : "");
}

static bool run_expect_times(struct run *run, int peer, int times, const char *source)
{
    struct buffer bytes = {0};
    bool ok = run_expand(run, times, source, &bytes) && run_expect_bytes(run, peer, buffer_bytes(&bytes));
    buffer_close(&bytes);
    return ok;
}

static bool run_expect_unordered(struct run *run, int peer, const char *source)
{
    struct buffer bytes = {0};
    struct bytes wanted[FRAMES_MAX];
    size_t count = 0;
    char shown[SHOWN_BYTES];
    bool ok = run_expand(run, 1, source, &bytes);
    struct bytes rest = buffer_bytes(&bytes);
    while (ok && rest.count > 0 && count < FRAMES_MAX) {
        size_t frame = peer_frame_bytes(rest);
        if (frame == 0)
            ok = run_fail(run, "the row expects half a message");
        wanted[count++] = bytes_of(rest.data, frame);
        rest = bytes_of(rest.data + frame, rest.count - frame);
    }
    while (ok && count > 0) {
        struct bytes frame;
        if (!peer_frame(&run->peers[peer], peer_deadline(PEER_PATIENCE_MS), &frame)) {
            ok = run_fail(run, "connection %d: %zu messages are missing, one of them \"%s\"", peer, count,
                          template_escape(wanted[0], shown, sizeof shown));
            break;
        }
        size_t i = 0;
        while (i < count && !bytes_equal(wanted[i], frame))
            i++;
        if (i == count)
            ok = run_fail(run, "connection %d: not expected, or not again: \"%s\"", peer,
                          template_escape(frame, shown, sizeof shown));
        else
            wanted[i] = wanted[--count];
    }
    buffer_close(&bytes);
    return ok;
}

static bool run_expect_between(struct run *run, const struct step *step)
{
    struct peer *peer = &run->peers[step->peer];
    if (!run_expect(run, step->peer, step->text))
        return false;
    int64_t took_ms = (clock_monotonic_ns() - peer->marked_ns) / NS_PER_MS;
    if (took_ms < step->number || took_ms > step->limit)
        return run_fail(run, "came after %lld ms, expected %d to %d ms", (long long)took_ms, step->number,
                        step->limit);
    return true;
}

static bool run_expect_end(struct run *run, int peer)
{
    char shown[SHOWN_BYTES];
    struct peer *p = &run->peers[peer];
    if (peer_expect_end(p, peer_deadline(PEER_PATIENCE_MS)))
        return true;
    return run_fail(run, "connection %d\n    expected the end\n    got      \"%s\"%s", peer,
                    template_escape(peer_waiting(p), shown, sizeof shown),
                    p->ended ? " and the end" : ", still open");
}

static bool run_send_each_byte(struct run *run, int peer, const char *source)
{
    struct buffer bytes = {0};
    bool ok = run_expand(run, 1, source, &bytes);
    for (size_t i = 0; ok && i < bytes.count; i++) {
        if (!peer_send(&run->peers[peer], bytes_of(bytes.data + i, 1)))
            break;
        peer_pause(SEGMENT_PAUSE_MS);
    }
    buffer_close(&bytes);
    return ok;
}

static bool run_refused(struct run *run, int patience_ms)
{
    int64_t deadline_ns = peer_deadline(patience_ms);
    struct peer probe;
    while (peer_connect(&probe, run->server->values.ports[0], 0) == ERR_OK) {
        peer_drop(&probe, false);
        if (clock_monotonic_ns() >= deadline_ns)
            return run_fail(run, "new connections are still accepted after %d ms", patience_ms);
        peer_pause(10);
    }
    return true;
}

static bool run_expand(struct run *run, int times, const char *source, struct buffer *into)
{
    for (int i = 0; i < times; i++) {
        enum err err = template_expand(source, &run->server->values, into);
        if (err != ERR_OK)
            return run_fail(run, "the row's text cannot be expanded: %s", err_text(err));
    }
    return true;
}

static bool run_info(struct run *run, int peer, const char *questions)
{
    char why[RUN_FAILURE_BYTES];
    struct buffer expanded = {0};
    bool ok = run_expand(run, 1, questions, &expanded) && buffer_append(&expanded, bytes_of("", 1)) == ERR_OK;
    if (ok && !info_holds(run->peers[peer].info, (const char *)expanded.data, why, sizeof why))
        ok = run_fail(run, "%s", why);
    buffer_close(&expanded);
    return ok;
}

static bool run_connect_port(struct run *run, int peer, enum setup setup, int port)
{
    struct peer *p = &run->peers[peer];
    char shown[SHOWN_BYTES];
    if (peer_connect(p, run->server->values.ports[port], 0) != ERR_OK)
        return run_fail(run, "the server refuses connections");
    p->sees_pings = run->row->sees_pings;
    p->sees_infos = run->row->sees_infos || run->flavour == FLAVOUR_NATS_2_9;
    if (!peer_expect_info(p, peer_deadline(PEER_PATIENCE_MS)))
        return run_fail(run, "expected a first line INFO {...}\n    got      \"%s\"%s",
                        template_escape(peer_waiting(p), shown, sizeof shown),
                        p->ended ? " and the end" : "");
    struct bytes nonce = challenge_nonce(p);
    (void)snprintf(run->server->values.nonce, sizeof run->server->values.nonce, "%.*s", BYTES_PRINTF(nonce));
    if (port == 0 && !run_info(run, peer, "server_id"))
        return false;
    if (setup == NONE)
        return true;
    return run_send(run, peer, setups[setup].send) && run_expect(run, peer, setups[setup].answer);
}

static bool run_reason(struct run *run)
{
    char why[RUN_FAILURE_BYTES];
    uint64_t id = info_client_id(run->peers[0].info);
    if (monitoring_closed_reason_is(run->server->values.ports[4], id, run->row->closed_reason, why,
                                    sizeof why))
        return true;
    return run_fail(run, "%s", why);
}
