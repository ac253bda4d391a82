/* tests/server/bad_days.c - what clients and networks do on bad days, as one more table of the conformance
 * suite: crowds that never speak, resets, half-open ends, drips, garbage, a server without file descriptors,
 * a stop under load. Goal of each: those who behave are served all the while, and afterwards the server holds
 * no more descriptors than before. Place in the flow: tables.c lists the table; script.c calls the functions.
 */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/random.h"
#include "tests/conformance/script.h"
#include "tests/conformance/tables.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    CROWD_MAX = 2000, /* connections at once; a test machine's usual limits allow it */
    CROWD_RESETS = 300,
    CROWD_HALF_CLOSED = 200,
    CROWD_GARBAGE = 300,
    CROWD_WRONG_LOGINS = 300, /* a third of them a bcrypt check each, of some 4 ms */
    GARBAGE_BYTES = 2000,
    DRIP_BYTES = 200,
    DRIP_EVERY_MS = 5,
    FEW_FILES = 256, /* descriptors of the server in the case of exhaustion; a shard needs some of its own */
    CROWD_ABOVE_FILES = 400,
    CONNECT_PATIENCE_MS = 1000,
    FILES_PATIENCE_MS = 8000,
    FILES_SPARE = 3 /* a server may keep an event or a timer more than at the start */
};

/* Many connections, outside of the eight of a run. */
struct crowd {
    struct peer *peers;
    int count;
};

static bool bad_day_silent_crowd(struct run *run);
static bool bad_day_resets(struct run *run);
static bool bad_day_half_closed(struct run *run);
static bool bad_day_drip(struct run *run);
static bool bad_day_garbage(struct run *run);
static bool bad_day_wrong_logins(struct run *run);
static bool bad_day_no_files(struct run *run);
static bool bad_day_stop_under_load(struct run *run);

static const struct conformance_case rows[] = {
    {.spec = "bad day",
     .name = "thousands_that_never_speak_disturb_nobody",
     .run = bad_day_silent_crowd,
     .slow = true},
    {.spec = "bad day",
     .name = "resets_in_mid_message_leave_nothing_behind",
     .run = bad_day_resets,
     .slow = true},
    {.spec = "bad day",
     .name = "half_closed_connections_are_closed",
     .run = bad_day_half_closed,
     .slow = true},
    {.spec = "bad day", .name = "a_dripping_publisher_holds_nobody_up", .run = bad_day_drip, .slow = true},
    {.spec = "bad day", .name = "garbage_is_refused_and_forgotten", .run = bad_day_garbage, .slow = true},
    {.spec = "bad day",
     .name = "a_storm_of_wrong_logins_is_refused_and_disturbs_nobody",
     .configuration = ON_STORM,
     .run = bad_day_wrong_logins,
     .slow = true},
    {.spec = "bad day",
     .name = "server_without_descriptors_serves_on_and_recovers",
     .run = bad_day_no_files,
     .slow = true,
     .alone = true,
     .server_files = FEW_FILES},
    {.spec = "bad day",
     .name = "stop_under_load_ends_every_connection",
     .run = bad_day_stop_under_load,
     .slow = true,
     .alone = true},
};

const struct case_table cases_bad_days = {rows, COUNT_OF(rows)};

static bool crowd_open(struct run *run, struct crowd *crowd, int count);
static void crowd_close(struct crowd *crowd, bool with_reset);
static bool witness_begin(struct run *run, int *files);
static bool witness_served(struct run *run);
static bool witness_end(struct run *run, int files);

static bool bad_day_silent_crowd(struct run *run)
{
    struct crowd crowd = {0};
    int files = 0;
    bool ok = witness_begin(run, &files) && crowd_open(run, &crowd, CROWD_MAX);
    for (int i = 0; ok && i < 20; i++)
        ok = witness_served(run);
    crowd_close(&crowd, false);
    return ok && witness_end(run, files);
}

static bool bad_day_resets(struct run *run)
{
    struct crowd crowd = {0};
    int files = 0;
    bool ok = witness_begin(run, &files) && crowd_open(run, &crowd, CROWD_RESETS);
    for (int i = 0; ok && i < crowd.count; i++)
        ok = peer_send(&crowd.peers[i],
                       TEXT("CONNECT {\"verbose\":false}\r\nSUB seen 1\r\nPUB seen 100\r\nhalf")) ||
             run_fail(run, "connection %d takes nothing", i);
    ok = ok && witness_served(run);
    crowd_close(&crowd, true);
    return ok && witness_end(run, files);
}

static bool bad_day_half_closed(struct run *run)
{
    struct crowd crowd = {0};
    int files = 0;
    bool ok = witness_begin(run, &files) && crowd_open(run, &crowd, CROWD_HALF_CLOSED);
    for (int i = 0; ok && i < crowd.count; i++) {
        ok = peer_send(&crowd.peers[i], TEXT("CONNECT {\"verbose\":false}\r\nPING\r\n")) &&
             shutdown(crowd.peers[i].socket, SHUT_WR) == 0;
    }
    for (int i = 0; ok && i < crowd.count; i++) {
        size_t matched = 0;
        ok = peer_expect(&crowd.peers[i], TEXT("PONG\r\n"), peer_deadline(PEER_PATIENCE_MS), &matched) &&
             peer_expect_end(&crowd.peers[i], peer_deadline(PEER_PATIENCE_MS));
        if (!ok)
            run_fail(run, "half-closed connection %d got no PONG or is still open", i);
    }
    /* Counted while this side still holds all of them: the server must not wait for the client's close. */
    ok = ok && witness_end(run, files);
    crowd_close(&crowd, false);
    return ok;
}

#define WRONG_SIGNATURE                                                                                      \
    "CONNECT {\"nkey\":\"UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK\",\"sig\":\""              \
    "J0gm0V0fGYSB3izoLpG0ZBMMPp0YZuicBhjBQvEGh6sRdyt3YLr1nf2VMlsXhKgA7eh3lCaSQM1mLJkaNe0kBg\"}\r\n"

/* Method: all at once, by a wrong password, an unknown user and a wrong signature in turn; the witness is
 * served while they are judged, and a right password behind them all is let in. */
static bool bad_day_wrong_logins(struct run *run)
{
    static const char *const logins[] = {
        "CONNECT {\"user\":\"bob\",\"pass\":\"wrong\"}\r\nPING\r\n",
        "CONNECT {\"user\":\"mallory\",\"pass\":\"wrong\"}\r\nSUB > 1\r\n",
        WRONG_SIGNATURE,
    };
    struct crowd crowd = {0};
    int files = 0;
    bool ok = witness_begin(run, &files) && crowd_open(run, &crowd, CROWD_WRONG_LOGINS);
    for (int i = 0; ok && i < crowd.count; i++)
        (void)peer_send(&crowd.peers[i], text(logins[(size_t)i % COUNT_OF(logins)]));
    for (int i = 0; ok && i < 20; i++)
        ok = witness_served(run);
    ok = ok && run_connect(run, 1, NONE) &&
         run_send(run, 1, "CONNECT {\"verbose\":false,\"user\":\"bob\",\"pass\":\"right\"}\r\n");
    for (int i = 0; ok && i < crowd.count; i++) {
        size_t matched = 0;
        int64_t deadline_ns = peer_deadline(PEER_PATIENCE_MS);
        ok = peer_expect(&crowd.peers[i], TEXT(AUTHORIZATION_ERROR), deadline_ns, &matched) &&
             peer_expect_end(&crowd.peers[i], deadline_ns);
        if (!ok)
            run_fail(run, "wrong login %d was not refused", i);
    }
    ok = ok && run_alive(run, 1); /* asked last: each of them has its own time to be judged in */
    peer_leave(&run->peers[1]);
    crowd_close(&crowd, false);
    return ok && witness_end(run, files);
}

/* Method: every byte of one PUB alone, and a round trip of the other client between every two. */
static bool bad_day_drip(struct run *run)
{
    int files = 0;
    if (!witness_begin(run, &files) || !run_connect(run, 1, Q) || !run_send(run, 1, "PUB drip 200\r\n") ||
        !run_send(run, 0, "SUB drip 9\r\n") || !run_alive(run, 0))
        return false;
    for (int i = 0; i < DRIP_BYTES; i++) {
        if (!peer_send(&run->peers[1], TEXT("d")) || !witness_served(run))
            return run_fail(run, "after %d bytes nothing is served any more", i);
        peer_pause(DRIP_EVERY_MS);
    }
    if (!run_send(run, 1, "\r\n") || !run_expect(run, 0, "MSG drip 9 200\r\n${d*200}\r\n"))
        return false;
    peer_leave(&run->peers[1]);
    return witness_end(run, files);
}

static bool bad_day_garbage(struct run *run)
{
    struct crowd crowd = {0};
    struct random random;
    int files = 0;
    /* The seed is fixed: a failure comes back. */
    random_seed(&random, 20241);
    bool ok = witness_begin(run, &files) && crowd_open(run, &crowd, CROWD_GARBAGE);
    for (int i = 0; ok && i < crowd.count; i++) {
        static const char *const starts[] = {"",          "PUB ",   "SUB ",          "CONNECT {",
                                             "HPUB a 3 ", "UNSUB ", "PUB a 1000\r\n"};
        uint8_t bytes[GARBAGE_BYTES];
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)random_next(&random);
        /* Whether it is taken to its end is the server's choice. */
        (void)peer_send(&crowd.peers[i], text(starts[(size_t)i % COUNT_OF(starts)]));
        (void)peer_send(&crowd.peers[i], bytes_of(bytes, sizeof bytes));
        ok = i % 20 != 0 || witness_served(run);
    }
    crowd_close(&crowd, false);
    return ok && witness_end(run, files);
}

/* Method: more connections than the server has descriptors. Some get no INFO; who was there before is served,
 * and when the crowd goes, new ones are let in again. */
static bool bad_day_no_files(struct run *run)
{
    struct peer *crowd = memory_new(CROWD_ABOVE_FILES * sizeof *crowd);
    int files = 0;
    int greeted = 0;
    bool ok = crowd != NULL && witness_begin(run, &files);
    for (int i = 0; ok && i < CROWD_ABOVE_FILES; i++) {
        ok = peer_connect(&crowd[i], run->server->values.ports[0], 0) == ERR_OK ||
             run_fail(run, "connection %d is refused by the kernel", i);
    }
    int64_t deadline_ns = peer_deadline(CONNECT_PATIENCE_MS);
    for (int i = 0; ok && i < CROWD_ABOVE_FILES; i++)
        greeted += peer_expect_info(&crowd[i], deadline_ns) ? 1 : 0;
    if (ok && (greeted == 0 || greeted >= FEW_FILES))
        ok = run_fail(run, "%d connections were greeted with %d descriptors", greeted, FEW_FILES);
    for (int i = 0; ok && i < 20; i++)
        ok = witness_served(run);
    for (int i = 0; crowd != NULL && i < CROWD_ABOVE_FILES; i++)
        peer_drop(&crowd[i], false);
    memory_free(crowd);
    return ok && witness_end(run, files) && run_connect(run, 2, Q) && run_alive(run, 2);
}

static bool bad_day_stop_under_load(struct run *run)
{
    enum { ROUNDS = 50 };
    struct buffer load = {0};
    bool ok = run_connect(run, 0, Q) && run_connect(run, 1, Q) && run_connect(run, 2, Q) &&
              run_send(run, 1, "SUB > 1\r\n") && run_alive(run, 1) && run_send(run, 2, "SUB load g 1\r\n") &&
              run_alive(run, 2) &&
              template_expand(
                  "${PUB load 100\r\n0123456789012345678901234567890123456789012345678901234567890123456789"
                  "012345678901234567890123456789\r\n*500}",
                  &run->server->values, &load) == ERR_OK;
    for (int i = 0; ok && i < ROUNDS; i++) {
        if (i == ROUNDS / 2)
            ok = run_signal(run, SIGTERM);
        /* It stops being taken when the server stops. */
        (void)peer_send(&run->peers[0], buffer_bytes(&load));
    }
    buffer_close(&load);
    int64_t deadline_ns = peer_deadline(PEER_PATIENCE_MS);
    for (int peer = 0; ok && peer < 3; peer++) {
        while (peer_receive(&run->peers[peer], deadline_ns)) {
        }
        ok = run->peers[peer].ended || run_fail(run, "connection %d is still open", peer);
    }
    return ok && (server_exits(run->server, deadline_ns) || run_fail(run, "the server still runs"));
}

/* Each is greeted before the next one comes: what is measured is the holding, not the queue of the kernel. */
static bool crowd_open(struct run *run, struct crowd *crowd, int count)
{
    crowd->peers = memory_new((size_t)count * sizeof *crowd->peers);
    if (crowd->peers == NULL)
        return run_fail(run, "out of memory");
    for (; crowd->count < count; crowd->count++) {
        struct peer *peer = &crowd->peers[crowd->count];
        if (peer_connect(peer, run->server->values.ports[0], 0) != ERR_OK)
            return run_fail(run, "connection %d is refused (or this machine allows no more descriptors)",
                            crowd->count);
        if (!peer_expect_info(peer, peer_deadline(PEER_PATIENCE_MS))) {
            peer_drop(peer, false);
            return run_fail(run, "connection %d is not greeted", crowd->count);
        }
    }
    return true;
}

static void crowd_close(struct crowd *crowd, bool with_reset)
{
    for (int i = 0; i < crowd->count; i++)
        peer_drop(&crowd->peers[i], with_reset);
    memory_free(crowd->peers);
    *crowd = (struct crowd){0};
}

/* Peer 0 behaves all the while. `files` is what the server holds open with this one client. */
static bool witness_begin(struct run *run, int *files)
{
    if (!run_connect(run, 0, Q) || !run_send(run, 0, "SUB witness 1\r\n") || !run_alive(run, 0))
        return false;
    *files = server_files_open(run->server);
    return *files > 0 || run_fail(run, "the server's descriptors cannot be counted");
}

/* A message to itself and a PONG, however busy the machine is. That it is served before a crowd that came
 * first, tests/tls/rows_attacks.py tells by the order in which answers come. */
static bool witness_served(struct run *run)
{
    return run_send(run, 0, "PUB witness 2\r\nok\r\n") && run_expect(run, 0, "MSG witness 1 2\r\nok\r\n") &&
           run_alive(run, 0);
}

/* The witness is served, and the server comes back to the descriptors that it had. */
static bool witness_end(struct run *run, int files)
{
    int64_t deadline_ns = peer_deadline(FILES_PATIENCE_MS);
    int now = server_files_open(run->server);
    while (now > files + FILES_SPARE && clock_monotonic_ns() < deadline_ns) {
        peer_pause(20);
        now = server_files_open(run->server);
    }
    if (now > files + FILES_SPARE)
        return run_fail(run, "the server holds %d descriptors, %d before", now, files);
    return witness_served(run);
}
