/* tests/conformance/measured.c - the cases that measure; see measured.h. */
#include "tests/conformance/measured.h"

#include "core/base/clock.h"
#include "tests/conformance/info.h"
#include "tests/conformance/monitoring.h"
#include "tests/conformance/script.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SIDS = 16, /* the sids of the counting cases are numbers below this */
    CUT_PAUSE_MS = 1,
    VISIBLE_ROUNDS = 300,
    ORDER_MESSAGES = 20000,
    SHARE_MESSAGES = 4000,
    /* One in a million runs of a fair server falls outside: 1000 +- 5 standard deviations of 27. */
    SHARE_LEAST = 863,
    SHARE_MOST = 1137,
    /* Large, so that few are needed: a server that holds producers back does so for each message. */
    FLOOD_MESSAGE_BYTES = 262144,
    SLOW_RECEIVE_BYTES = 4096, /* SO_RCVBUF of a receiver that shall be slow */
    /* Above all socket buffers of both ends plus max_pending (1 MiB). */
    SLOW_MESSAGES = 8 * 1024 * 1024 / FLOOD_MESSAGE_BYTES,
    DEADLINE_MESSAGES = 24 * 1024 * 1024 / FLOOD_MESSAGE_BYTES,
    FLOOD_PATIENCE_MS = 40000
};

#define QUIET_CONNECT "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"protocol\":1}\r\n"

static bool count_until_pong(struct run *run, int peer, int counts[SIDS]);
static bool cut_at(struct run *run, struct bytes whole, struct bytes answer, size_t at);
static bool connect_slow(struct run *run, int peer);
static bool flood(struct run *run, int publisher, int reader, int messages);
static bool ends_without_error(struct run *run, int peer, const char *reason);

/* Case 38: a CONNECT and cases 31 and 79, cut at every place. */
bool measured_cut_anywhere(struct run *run)
{
    struct bytes whole =
        TEXT(QUIET_CONNECT "SUB foo 1\r\nPUB foo 0\r\n\r\nHPUB foo 12 12\r\nNATS/1.0\r\n\r\n\r\n"
                           "UNSUB 1\r\nPING\r\n");
    struct bytes answer = TEXT("MSG foo 1 0\r\n\r\nHMSG foo 1 12 12\r\nNATS/1.0\r\n\r\n\r\nPONG\r\n");
    for (size_t at = 1; at < whole.count; at++) {
        if (!cut_at(run, whole, answer, at))
            return false;
        peer_leave(&run->peers[0]);
    }
    return true;
}

/* Case 71. */
bool measured_copies(struct run *run)
{
    int counts[SIDS];
    if (!run_connect(run, 0, Q) ||
        !run_send(run, 0,
                  "SUB foo 1\r\nSUB foo 2\r\nSUB * 3\r\nSUB > 4\r\nSUB foo q 5\r\nSUB foo q 6\r\n"
                  "SUB * q 7\r\nSUB foo r 8\r\nPUB foo 1\r\nx\r\n") ||
        !count_until_pong(run, 0, counts))
        return false;
    for (int sid = 1; sid <= 8; sid++) {
        if (sid < 5 || sid == 8 ? counts[sid] != 1 : counts[sid] > 1)
            return run_fail(run, "sid %d got %d copies", sid, counts[sid]);
    }
    int group = counts[5] + counts[6] + counts[7];
    return group == 1 || run_fail(run, "the members of one queue group got %d copies", group);
}

/* Case 72. */
bool measured_shares(struct run *run)
{
    int counts[SIDS];
    int others[SIDS];
    if (!run_connect(run, 0, Q) || !run_send(run, 0, "SUB foo q 1\r\nSUB foo q 2\r\nSUB * q 3\r\n") ||
        !run_alive(run, 0) || !run_connect(run, 1, Q) || !run_send(run, 1, "SUB foo q 4\r\n") ||
        !run_alive(run, 1) || !run_connect(run, 2, Q) ||
        !run_send_times(run, 2, SHARE_MESSAGES, "PUB foo 1\r\nx\r\n") || !run_alive(run, 2) ||
        !count_until_pong(run, 0, counts) || !count_until_pong(run, 1, others))
        return false;
    counts[4] = others[4];
    int sum = counts[1] + counts[2] + counts[3] + counts[4];
    if (sum != SHARE_MESSAGES)
        return run_fail(run, "%d messages of %d were delivered", sum, SHARE_MESSAGES);
    for (int sid = 1; sid <= 4; sid++) {
        if (counts[sid] < SHARE_LEAST || counts[sid] > SHARE_MOST)
            return run_fail(run, "shares are not equal: %d %d %d %d", counts[1], counts[2], counts[3],
                            counts[4]);
    }
    return true;
}

/* Case 75. */
bool measured_order(struct run *run)
{
    char message[64];
    struct buffer all = {0};
    enum err err = ERR_OK;
    for (int i = 0; err == ERR_OK && i < ORDER_MESSAGES; i++) {
        (void)snprintf(message, sizeof message, "PUB o.%d 6\r\n%06d\r\n", i % 7, i);
        err = buffer_append(&all, text(message));
    }
    bool ok = err == ERR_OK && run_connect(run, 0, Q) && run_send(run, 0, "SUB o.* 1\r\n") &&
              run_alive(run, 0) && run_connect(run, 1, Q) && peer_send(&run->peers[1], buffer_bytes(&all)) &&
              run_alive(run, 1);
    buffer_close(&all);
    if (!ok)
        return run_fail(run, "the messages could not be sent");
    for (int i = 0; i < ORDER_MESSAGES; i++) {
        struct bytes frame;
        (void)snprintf(message, sizeof message, "MSG o.%d 1 6\r\n%06d\r\n", i % 7, i);
        if (!peer_frame(&run->peers[0], peer_deadline(PEER_PATIENCE_MS), &frame))
            return run_fail(run, "message %d does not come", i);
        if (!bytes_equal(frame, text(message)))
            return run_fail(run, "expected message %d, got \"%.*s\"", i, BYTES_PRINTF(frame));
    }
    return run_alive(run, 0);
}

/* Case 77: B is a new connection each time, so that a server with several loops uses them all. */
bool measured_visible(struct run *run)
{
    char source[160];
    if (!run_connect(run, 0, Q) || !run_alive(run, 0))
        return false;
    for (int i = 1; i <= VISIBLE_ROUNDS; i++) {
        (void)snprintf(source, sizeof source, "SUB v.%d %d\r\n", i, i);
        if (!run_send(run, 0, source) || !run_alive(run, 0) || !run_connect(run, 1, NONE))
            return false;
        (void)snprintf(source, sizeof source, QUIET_CONNECT "PUB v.%d 1\r\nx\r\n", i);
        if (!run_send(run, 1, source))
            return false;
        (void)snprintf(source, sizeof source, "MSG v.%d %d 1\r\nx\r\n", i, i);
        if (!run_expect(run, 0, source))
            return false;
        peer_leave(&run->peers[1]);
    }
    return true;
}

/* Case 78, as often: what must not come could come late. */
bool measured_invisible(struct run *run)
{
    enum { ROUNDS = 100 };
    if (!run_connect(run, 0, Q) || !run_connect(run, 2, Q))
        return false;
    for (int i = 0; i < ROUNDS; i++) {
        if (!run_send(run, 0, "SUB foo 1\r\nUNSUB 1\r\n") || !run_alive(run, 0) || !run_connect(run, 1, Q) ||
            !run_send(run, 1, "PUB foo 1\r\nx\r\n") || !run_alive(run, 1) ||
            !run_send(run, 2, "PUB foo 1\r\nx\r\n") || !run_alive(run, 2) || !run_alive(run, 0))
            return false;
        peer_leave(&run->peers[1]);
    }
    peer_pause(CUT_PAUSE_MS);
    return run_alive(run, 0);
}

/* Section 7.4: a member with a maximum takes so many, the rest goes to the other. */
bool measured_group_max(struct run *run)
{
    int counts[SIDS];
    if (!run_connect(run, 0, Q) || !run_send(run, 0, "SUB foo q 1\r\nUNSUB 1 5\r\nSUB foo q 2\r\n") ||
        !run_send_times(run, 0, 200, "PUB foo 1\r\nx\r\n") || !count_until_pong(run, 0, counts))
        return false;
    if (counts[1] != 5 || counts[2] != 195)
        return run_fail(run, "the members got %d and %d, expected 5 and 195", counts[1], counts[2]);
    return true;
}

/* Case 92: whichever of the two subscriptions is found first. */
bool measured_one_503(struct run *run)
{
    struct bytes frame;
    if (!run_connect(run, 0, Q) ||
        !run_send(run, 0, "SUB inbox.* 1\r\nSUB inbox.7 2\r\nPUB svc inbox.7 2\r\nhi\r\n"))
        return false;
    if (!peer_frame(&run->peers[0], peer_deadline(PEER_PATIENCE_MS), &frame))
        return run_fail(run, "no 503 comes");
    if (!bytes_start_with(frame, TEXT("HMSG inbox.7 1 ")) &&
        !bytes_start_with(frame, TEXT("HMSG inbox.7 2 ")))
        return run_fail(run, "expected one 503, got \"%.*s\"", BYTES_PRINTF(frame));
    if (memmem(frame.data, frame.count, "\r\nNATS/1.0 503\r\n", 16) == NULL)
        return run_fail(run, "expected the status 503, got \"%.*s\"", BYTES_PRINTF(frame));
    return run_alive(run, 0);
}

/* Case 118: after the first PING (it measures the round trip) a busy publisher is not pinged. */
bool measured_busy_publisher(struct run *run)
{
    enum { ROUNDS = 14, EVERY_MS = 300 };
    if (!run_connect(run, 0, Q) || !run_alive(run, 0) || !run_expect(run, 0, "PING\r\n") ||
        !run_send(run, 0, "PONG\r\n"))
        return false;
    for (int i = 0; i < ROUNDS; i++) {
        if (!run_send(run, 0, "PUB foo 1\r\nx\r\n"))
            return false;
        if (!peer_silent(&run->peers[0], peer_deadline(EVERY_MS)))
            return run_fail(run, "a busy publisher got \"%.*s\"", BYTES_PRINTF(peer_waiting(&run->peers[0])));
    }
    return run_alive(run, 0);
}

/* Case 119: receiving is no sign of life, so a receiver is pinged every interval. */
bool measured_busy_receiver(struct run *run)
{
    enum { ROUNDS = 14, EVERY_MS = 300, PINGS_LEAST = 3, PINGS_MOST = 5 };
    int pings = 0;
    if (!run_connect(run, 0, Q) || !run_send(run, 0, "SUB foo 1\r\n") || !run_alive(run, 0) ||
        !run_connect(run, 1, Q) || !run_alive(run, 1))
        return false;
    for (int i = 0; i < ROUNDS; i++) {
        struct bytes frame;
        int64_t until_ns = peer_deadline(EVERY_MS);
        if (!run_send(run, 1, "PUB foo 1\r\nx\r\n"))
            return false;
        while (peer_frame(&run->peers[0], until_ns, &frame)) {
            if (!bytes_equal(frame, TEXT("PING\r\n")))
                continue;
            pings++;
            if (!run_send(run, 0, "PONG\r\n"))
                return false;
        }
    }
    if (pings < PINGS_LEAST || pings > PINGS_MOST)
        return run_fail(run, "%d PINGs in %d ms, expected %d to %d", pings, ROUNDS * EVERY_MS, PINGS_LEAST,
                        PINGS_MOST);
    return true;
}

/* Case 128: peer 0 never reads, peer 1 does, peer 2 publishes 8 MB. */
bool measured_slow_consumer(struct run *run)
{
    int counts[SIDS];
    if (!connect_slow(run, 0) || !run_connect(run, 1, Q) || !run_send(run, 1, "SUB foo 1\r\n") ||
        !run_alive(run, 1) || !run_connect(run, 2, Q) || !run_alive(run, 2))
        return false;
    if (!flood(run, 2, 1, SLOW_MESSAGES) || !count_until_pong(run, 1, counts))
        return false;
    if (counts[1] != SLOW_MESSAGES)
        return run_fail(run, "the other subscriber got %d of %d messages", counts[1], SLOW_MESSAGES);
    return ends_without_error(run, 0, "Slow Consumer (Pending Bytes)");
}

/* Case 129: more than the socket buffers hold, less than max_pending; then the deadline passes. */
bool measured_write_deadline(struct run *run)
{
    if (!connect_slow(run, 0) || !run_connect(run, 2, Q) || !run_alive(run, 2) ||
        !flood(run, 2, 1, DEADLINE_MESSAGES))
        return false;
    peer_pause(2500);
    return ends_without_error(run, 0, "Slow Consumer (Write Deadline)");
}

/* PING, then all messages up to the PONG, counted by sid. */
static bool count_until_pong(struct run *run, int peer, int counts[SIDS])
{
    struct peer *p = &run->peers[peer];
    memset(counts, 0, SIDS * sizeof *counts);
    (void)peer_send(p, TEXT("PING\r\n"));
    int64_t deadline_ns = peer_deadline(FLOOD_PATIENCE_MS);
    struct bytes frame;
    while (peer_frame(p, deadline_ns, &frame)) {
        if (bytes_equal(frame, TEXT("PONG\r\n")))
            return true;
        const uint8_t *blank = memchr(frame.data, ' ', frame.count);
        if (!bytes_start_with(frame, TEXT("MSG ")) || blank == NULL)
            return run_fail(run, "expected messages, got \"%.*s\"", BYTES_PRINTF(frame));
        struct bytes rest = bytes_of(blank + 1, frame.count - (size_t)(blank + 1 - frame.data));
        const uint8_t *sid = memchr(rest.data, ' ', rest.count);
        unsigned long number = sid == NULL ? SIDS : strtoul((const char *)sid, NULL, 10);
        if (number >= SIDS)
            return run_fail(run, "unknown sid in \"%.*s\"", BYTES_PRINTF(frame));
        counts[number]++;
    }
    return run_fail(run, "the PONG behind the messages does not come");
}

static bool cut_at(struct run *run, struct bytes whole, struct bytes answer, size_t at)
{
    size_t matched = 0;
    if (!run_connect(run, 0, NONE))
        return false;
    bool sent = peer_send(&run->peers[0], bytes_of(whole.data, at));
    peer_pause(CUT_PAUSE_MS);
    sent = sent && peer_send(&run->peers[0], bytes_of(whole.data + at, whole.count - at));
    if (!sent || !peer_expect(&run->peers[0], answer, peer_deadline(PEER_PATIENCE_MS), &matched))
        return run_fail(run, "cut before byte %zu, the answer was wrong from byte %zu on: \"%.*s\"", at,
                        matched, BYTES_PRINTF(peer_waiting(&run->peers[0])));
    return true;
}

/* A subscriber of foo with small buffers; who calls does not read from it. */
static bool connect_slow(struct run *run, int peer)
{
    if (peer_connect(&run->peers[peer], run->server->values.ports[0], SLOW_RECEIVE_BYTES) != ERR_OK ||
        !peer_expect_info(&run->peers[peer], peer_deadline(PEER_PATIENCE_MS)))
        return run_fail(run, "the slow receiver cannot connect");
    return run_send(run, peer, QUIET_CONNECT "SUB foo 1\r\n") && run_alive(run, peer);
}

/* The PONG shows that all of it was taken; producers may be held back for a while. Meanwhile `reader` (when
 * it is connected) keeps reading: it is the one who shall not be slow. */
static bool flood(struct run *run, int publisher, int reader, int messages)
{
    size_t matched = 0;
    for (int i = 0; i < messages; i++) {
        struct buffer message = {0};
        enum err err = template_expand("PUB foo 262144\r\n${z*262144}\r\n", &run->server->values, &message);
        bool sent = err == ERR_OK && peer_send(&run->peers[publisher], buffer_bytes(&message));
        buffer_close(&message);
        if (!sent)
            return run_fail(run, "message %d was not taken", i);
        while (peer_receive(&run->peers[reader], 0)) {
        }
    }
    (void)peer_send(&run->peers[publisher], TEXT("PING\r\n"));
    if (!peer_expect(&run->peers[publisher], TEXT("PONG\r\n"), peer_deadline(FLOOD_PATIENCE_MS), &matched))
        return run_fail(run, "the publisher gets no PONG");
    return true;
}

/* Reads what still arrives at a slow consumer: messages, the last perhaps cut, no -ERR, then the end. */
static bool ends_without_error(struct run *run, int peer, const char *reason)
{
    struct peer *p = &run->peers[peer];
    char why[RUN_FAILURE_BYTES];
    int64_t deadline_ns = peer_deadline(PEER_PATIENCE_MS);
    struct bytes frame;
    while (peer_frame(p, deadline_ns, &frame)) {
        if (!bytes_start_with(frame, TEXT("MSG foo 1 262144\r\n")))
            return run_fail(run, "a slow consumer got \"%.*s\"", frame.count > 80 ? 80 : (int)frame.count,
                            (const char *)frame.data);
    }
    if (!p->ended)
        return run_fail(run, "a slow consumer is still connected");
    return monitoring_closed_reason_is(run->server->values.ports[SERVER_PORTS - 1], info_client_id(p->info),
                                       reason, why, sizeof why) ||
           run_fail(run, "%s", why);
}
