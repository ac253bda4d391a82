/* tests/conformance/cases_life.c - cases 116 to 133: pings, lame duck, shutdown, slow consumers, other ports. */
#include "tests/conformance/measured.h"
#include "tests/conformance/tables.h"

#include <signal.h>
#include <stddef.h>

#define QUIET1 "CONNECT {\"verbose\":false,\"protocol\":1}\r\n"
#define USER(user)                                                                                           \
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"user\":\"" user "\",\"pass\":\"p\"}\r\n"

/* clang-format off */
static const struct conformance_case rows[] = {
    {.spec = "116", .name = "silent_client_is_pinged_and_given_up", .sees_pings = true, .configuration = ON_PING,
     .steps = STEPS(CONNECT(0, Q), MARK(0), EXPECT(0, "PING\r\n"), EXPECT(0, "PING\r\n"),
                    EXPECT_BETWEEN(0, 2700, 5000, "-ERR 'Stale Connection'\r\n"), EXPECT_CLOSE(0)),
     .closed_reason = "Stale Connection"},
    {.spec = "117", .name = "client_that_answers_pings_is_kept", .sees_pings = true, .configuration = ON_PING,
     .steps = STEPS(CONNECT(0, Q), MARK(0), EXPECT(0, "PING\r\n"), SEND(0, "PONG\r\n"), EXPECT(0, "PING\r\n"),
                    SEND(0, "PONG\r\n"), EXPECT(0, "PING\r\n"), SEND(0, "PONG\r\n"),
                    EXPECT_BETWEEN(0, 3500, 7000, "PING\r\n"), SEND(0, "PONG\r\n"), ALIVE(0))},
    {.spec = "118", .name = "busy_publisher_is_not_pinged", .sees_pings = true, .configuration = ON_PING_BUSY,
     .run = measured_busy_publisher},
    {.spec = "119", .name = "busy_receiver_is_pinged", .sees_pings = true, .configuration = ON_PING_BUSY, .only = MYELIN | NATS_NEW,
     .differs = "up to 2.9.15 delivered messages counted as activity; Myelin follows the newest",
     .run = measured_busy_receiver},
    {.spec = "120", .name = "first_ping_measures_the_round_trip", .sees_pings = true, .configuration = ON_DEFAULT_TIMED,
     .steps = STEPS(CONNECT(0, Q), MARK(0), SEND(0, "PING\r\n"), EXPECT(0, "PONG\r\n"),
                    EXPECT_BETWEEN(0, 1950, 2900, "PING\r\n"), SEND(0, "PONG\r\n"), ALIVE(0))},
    {.spec = "121", .name = "cluster_change_is_announced_to_pinged_clients_of_protocol_1",
     .configuration = ON_CLUSTER, .alone = true, .needs = NEEDS_CLUSTER,
     .steps = STEPS(CONNECT(0, Q), ALIVE(0), CONNECT(1, Q0), ALIVE(1), CONNECT(2, Q),
                    START_SECOND("cluster { name: \"cc\", listen: \"127.0.0.1:-1\", "
                                 "routes: [\"nats-route://127.0.0.1:${port 1}\"] }\n"),
                    EXPECT_INFO(0, "cluster=\"cc\" connect_urls#2"), ALIVE(0), EXPECT_SILENCE(1, 200), ALIVE(1),
                    EXPECT_SILENCE(2, 200))},
    {.spec = "122", .name = "cluster_change_is_announced_after_the_first_pong", .configuration = ON_CLUSTER,
     .alone = true, .needs = NEEDS_CLUSTER,
     .steps = STEPS(CONNECT(0, Q), CONNECT(1, Q), ALIVE(1),
                    START_SECOND("cluster { name: \"cc\", listen: \"127.0.0.1:-1\", "
                                 "routes: [\"nats-route://127.0.0.1:${port 1}\"] }\n"),
                    EXPECT_INFO(1, "connect_urls#2"), SEND(0, "PING\r\n"), EXPECT(0, "PONG\r\n"),
                    EXPECT_INFO(0, "connect_urls#2"))},
    {.spec = "123", .name = "lame_duck_announces_itself_waits_and_closes", .configuration = ON_LAME_DUCK,
     .alone = true,
     .steps = STEPS(CONNECT(0, Q), ALIVE(0), CONNECT(1, Q0), ALIVE(1), CONNECT(2, Q), MARK(0), SIGNAL(SIGUSR2),
                    EXPECT_INFO(0, "ldm=true"), CONNECT_REFUSED(2000), EXPECT_SILENCE(1, 300),
                    EXPECT_SILENCE(2, 10), ALIVE(0), EXPECT_CLOSE(0), EXPECT_CLOSE(1), EXPECT_CLOSE(2),
                    SERVER_EXITS(10000))},
    {.spec = "124", .name = "shutdown_sends_no_error", .alone = true,
     .steps = STEPS(CONNECT(0, Q), ALIVE(0), CONNECT(1, NONE), SIGNAL(SIGTERM), EXPECT_CLOSE(0), EXPECT_CLOSE(1),
                    SERVER_EXITS(10000))},
    {.spec = "128", .name = "slow_consumer_is_closed_and_disturbs_nobody", .configuration = ON_SMALL_PENDING,
     .run = measured_slow_consumer},
    {.spec = "129", .name = "write_deadline_closes_who_does_not_read", .configuration = ON_WRITE_DEADLINE,
     .run = measured_write_deadline},
    {.spec = "130", .name = "permissions_apply_to_the_mapped_subject", .configuration = ON_MAPPINGS,
     .needs = NEEDS_MAPPINGS, .send = USER("src") "PUB m.5 2\r\nhi\r\n",
     .expect = "-ERR 'Permissions Violation for Publish to \"dst.5\"'\r\n"},
    {.spec = "130", .name = "mapped_subject_may_be_all_that_is_allowed", .configuration = ON_MAPPINGS,
     .needs = NEEDS_MAPPINGS, .send = USER("dst") "SUB dst.* 1\r\nPUB m.5 2\r\nhi\r\n",
     .expect = "MSG dst.5 1 2\r\nhi\r\n"},
    {.spec = "131", .name = "info_about_the_connection_follows_the_first_pong", .only = MYELIN | NATS_NEW,
     .differs = "since 2.12.0; Myelin follows the newest",
     .steps = STEPS(CONNECT(0, Q), EXPECT_SILENCE(0, 100), SEND(0, "PING\r\n"), EXPECT(0, "PONG\r\n"),
                    EXPECT_INFO(0, "connect_info=true remote_account=\"$G\" max_payload=1048576 client_id"),
                    SEND(0, "PING\r\n"), EXPECT(0, "PONG\r\n"), EXPECT_SILENCE(0, 100))},
    {.spec = "131", .name = "no_info_about_the_connection_before_2_12", .only = NATS_2_9,
     .differs = "2.9 sends an INFO there only when something changed",
     .steps = STEPS(CONNECT(0, Q), SEND(0, "PING\r\n"), EXPECT(0, "PONG\r\n"), EXPECT_SILENCE(0, 100))},
    {.spec = "132", .name = "second_connect_drops_subscriptions", .setup = Q, .only = MYELIN | NATS_NEW,
     .differs = "since 2.11.17 and 2.12.8; Myelin follows the newest",
     .send = "SUB foo 1\r\n" QUIET1 "PUB foo 1\r\nx\r\nSUB foo 1\r\nPUB foo 1\r\ny\r\n",
     .expect = "MSG foo 1 1\r\ny\r\n"},
    {.spec = "132", .name = "second_connect_keeps_subscriptions", .setup = Q, .only = NATS_2_9,
     .differs = "up to 2.11.16 and 2.12.7; Myelin follows the newest",
     .send = "SUB foo 1\r\n" QUIET1 "PUB foo 1\r\nx\r\n", .expect = "MSG foo 1 1\r\nx\r\n"},
    {.spec = "133", .name = "clients_on_other_ports_are_sent_away", .configuration = ON_PORTS,
     .needs = NEEDS_CLUSTER,
     .steps = STEPS(CONNECT_PORT(0, 1), SEND(0, "CONNECT {\"lang\":\"c\",\"verbose\":false}\r\nPING\r\n"),
                    EXPECT(0, "-ERR 'attempted to connect to route port'\r\n"), EXPECT_CLOSE(0),
                    CONNECT_PORT(1, 2), SEND(1, "CONNECT {\"lang\":\"c\",\"verbose\":false}\r\nPING\r\n"),
                    EXPECT(1, "-ERR 'attempted to connect to leaf node port'\r\n"), EXPECT_CLOSE(1),
                    CONNECT_PORT(2, 3), SEND(2, "CONNECT {\"lang\":\"c\",\"verbose\":false}\r\nPING\r\n"),
                    EXPECT(2, "-ERR 'attempted to connect to gateway port'\r\n"), EXPECT_CLOSE(2))},
};
/* clang-format on */

const struct case_table cases_life = {rows, COUNT_OF(rows)};
