/* tests/conformance/cases_accounts.c - accounts: isolation, imports and exports, limits, mappings, reload
 * (spec/security.md 5, 6, rows 45 to 55 of 12). */
#include "tests/conformance/services.h"
#include "tests/conformance/tables.h"

#include <stddef.h>

#define LOGIN(user)                                                                                          \
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1,"  \
    "\"user\":\"" user "\",\"pass\":\"p\"}\r\n"
#define AS(peer, user) CONNECT(peer, NONE), SEND(peer, LOGIN(user)), ALIVE(peer)

#define MOVED                                                                                                \
    "${http}accounts {\n EXP { users: [ {user: \"exp\", password: \"p\"} ], exports: [ {stream: \"s.>\"} ] " \
    "}\n"
#define IMPORTER(imports)                                                                                    \
    MOVED " IMP { users: [ {user: \"imp\", password: \"p\"} ], imports: [ " imports " ] }\n}\n"

#define MOVED_MAPPED(destination)                                                                            \
    "${http}accounts {\n EXP { users: [ {user: \"exp\", password: \"p\"} ], mappings { \"m.a\": "            \
    "\"" destination "\" } }\n}\n"

static const struct conformance_case rows[] = {
    /* ---- isolation ---- */
    {.spec = "security 20",
     .name = "accounts_do_not_hear_each_other",
     .configuration = ON_IMPORTS,
     .steps = STEPS(AS(0, "exp"), AS(1, "imp"), AS(2, "far"), SEND(0, "SUB > 1\r\n"), SEND(1, "SUB > 1\r\n"),
                    SEND(2, "SUB > 1\r\nSUB a q 2\r\n"), ALIVE(0), ALIVE(1), ALIVE(2),
                    SEND(1, "PUB a 1\r\nx\r\n"), EXPECT(1, "MSG a 1 1\r\nx\r\n"), SEND(0, "PUB b 1\r\ny\r\n"),
                    EXPECT(0, "MSG b 1 1\r\ny\r\n"), ALIVE(0), ALIVE(1), ALIVE(2))},
    {.spec = "security 20",
     .name = "a_request_finds_no_responder_in_another_account",
     .configuration = ON_IMPORTS,
     .only = MYELIN | NATS_NEW,
     .differs = "before 2.12.0 the 503 has no Nats-Subject",
     .steps = STEPS(AS(0, "exp"), AS(1, "far"), SEND(0, "SUB help 1\r\n"), ALIVE(0),
                    SEND(1, "SUB in 1\r\nPUB help in 1\r\nx\r\n"),
                    EXPECT(1, NO_RESPONDERS_NEW("in", "1", "36", "help")), ALIVE(0))},
    {.spec = "section 3",
     .name = "info_names_the_account",
     .configuration = ON_IMPORTS,
     .sees_infos = true,
     .only = MYELIN | NATS_NEW,
     .differs = "since 2.12.0",
     .steps = STEPS(CONNECT(0, NONE), SEND(0, LOGIN("imp") "PING\r\n"), EXPECT(0, "PONG\r\n"),
                    EXPECT_INFO(0, "remote_account=\"IMP\""))},

    /* ---- streams ---- */
    {.spec = "security 45",
     .name = "each_subscription_that_covers_an_import_gets_its_own_message",
     .configuration = ON_IMPORTS,
     .steps = STEPS(
         AS(0, "imp"), AS(1, "exp"),
         SEND(0, "SUB > 1\r\nSUB from.> 2\r\nSUB from.exp.pub.a 3\r\nSUB *.exp.pub.a 4\r\n"
                 "SUB from.exp.pub.> 5\r\nSUB pub.> 6\r\nSUB from.exp.pub.a q 7\r\n"),
         ALIVE(0), SEND(1, "PUB pub.a re.ply 1\r\nx\r\n"),
         EXPECT_UNORDERED(0, "MSG from.exp.pub.a 1 re.ply 1\r\nx\r\nMSG from.exp.pub.a 2 re.ply 1\r\nx\r\n"
                             "MSG from.exp.pub.a 3 re.ply 1\r\nx\r\nMSG from.exp.pub.a 4 re.ply 1\r\nx\r\n"
                             "MSG from.exp.pub.a 5 re.ply 1\r\nx\r\nMSG from.exp.pub.a 7 re.ply 1\r\nx\r\n"),
         ALIVE(0))},
    {.spec = "security 5.3",
     .name = "an_import_turns_the_tokens_of_its_subject",
     .configuration = ON_IMPORTS,
     .steps = STEPS(AS(0, "imp"), AS(1, "exp"), SEND(0, "SUB turned.*.y 1\r\n"), ALIVE(0),
                    SEND(1, "PUB turn.y.x 1\r\na\r\nPUB turn.x.y 1\r\nb\r\n"),
                    EXPECT(0, "MSG turned.x.y 1 1\r\na\r\n"), ALIVE(0))},
    {.spec = "security 5.3",
     .name = "headers_and_runs_come_through_an_import",
     .configuration = ON_IMPORTS,
     .steps = STEPS(AS(0, "other"), AS(1, "exp"), SEND(0, "SUB pub.* 1\r\n"), ALIVE(0),
                    SEND(1, "HPUB pub.h 12 13\r\nNATS/1.0\r\n\r\nx\r\n"),
                    EXPECT(0, "HMSG pub.h 1 12 13\r\nNATS/1.0\r\n\r\nx\r\n"),
                    SEND_TIMES(1, 50, "PUB pub.run 5\r\nhello\r\n"),
                    EXPECT_TIMES(0, 50, "MSG pub.run 1 5\r\nhello\r\n"), ALIVE(0))},
    {.spec = "security 5.3",
     .name = "the_number_of_unsub_does_not_count_what_is_imported",
     .configuration = ON_IMPORTS,
     .steps = STEPS(AS(0, "imp"), AS(1, "exp"), SEND(0, "SUB from.exp.pub.a 1\r\nUNSUB 1 1\r\n"), ALIVE(0),
                    SEND(1, "PUB pub.a 1\r\nx\r\nPUB pub.a 1\r\ny\r\n"),
                    EXPECT(0, "MSG from.exp.pub.a 1 1\r\nx\r\nMSG from.exp.pub.a 1 1\r\ny\r\n"),
                    SEND(0, "UNSUB 1\r\n"), ALIVE(0), SEND(1, "PUB pub.a 1\r\nz\r\n"), ALIVE(1), ALIVE(0))},
    {.spec = "security 23",
     .name = "what_is_denied_does_not_come_through_an_import",
     .configuration = ON_IMPORTS,
     .only = MYELIN | NATS_NEW,
     .differs = "nats-server up to 2.12 has no filter by queue",
     .steps = STEPS(
         AS(0, "deaf"), AS(1, "exp"), SEND(0, "SUB from.> 1\r\nSUB from.exp.pub.* q 2\r\n"), ALIVE(0),
         SEND(1, "PUB pub.secret 1\r\nx\r\nPUB pub.queued 1\r\nx\r\nPUB pub.a 1\r\ny\r\n"),
         EXPECT_UNORDERED(0, "MSG from.exp.pub.a 1 1\r\ny\r\nMSG from.exp.pub.a 2 1\r\ny\r\n"), ALIVE(0))},
    {.spec = "security 23",
     .name = "what_is_denied_is_not_delivered_through_an_import",
     .configuration = ON_IMPORTS,
     .steps = STEPS(AS(0, "few"), AS(1, "exp"), SEND(0, "SUB from.> 1\r\nSUB > 2\r\n"), ALIVE(0),
                    SEND_TIMES(1, 3, "PUB pub.no 1\r\nx\r\n"), ALIVE(1), SEND(1, "PUB pub.yes 1\r\ny\r\n"),
                    EXPECT_UNORDERED(0, "MSG from.exp.pub.yes 1 1\r\ny\r\nMSG from.exp.pub.yes 2 1\r\ny\r\n"),
                    ALIVE(0))},
    {.spec = "security 80",
     .name = "what_a_queue_is_denied_is_not_delivered_to_it_through_an_import",
     .configuration = ON_IMPORTS,
     .only = MYELIN | NATS_NEW,
     .differs = "nats-server up to 2.12 has no filter by queue",
     .steps = STEPS(
         AS(0, "few"), AS(1, "exp"), SEND(0, "SUB from.exp.pub.* q 1\r\nSUB from.exp.pub.* r 2\r\n"),
         ALIVE(0), SEND(1, "PUB pub.q 1\r\nx\r\n"), EXPECT(0, "MSG from.exp.pub.q 2 1\r\nx\r\n"),
         SEND(1, "PUB pub.r 1\r\nx\r\n"),
         EXPECT_UNORDERED(0, "MSG from.exp.pub.r 1 1\r\nx\r\nMSG from.exp.pub.r 2 1\r\nx\r\n"), ALIVE(0))},
    {.spec = "security 46",
     .name = "a_queue_group_is_one_over_all_importers",
     .configuration = ON_IMPORTS,
     .run = services_queue_over_accounts},

    /* ---- services ---- */
    {.spec = "security 47",
     .name = "a_service_gets_turned_tokens_and_who_asks",
     .configuration = ON_IMPORTS,
     .run = services_swap_tokens},
    {.spec = "security 5.4",
     .name = "who_asks_cannot_be_forged",
     .configuration = ON_IMPORTS,
     .run = services_keep_headers},
    {.spec = "security 48",
     .name = "a_stream_of_replies_ends_with_an_empty_one",
     .configuration = ON_IMPORTS,
     .run = services_stream},
    {.spec = "security 49",
     .name = "a_reply_behind_the_threshold_is_dropped",
     .configuration = ON_IMPORTS,
     .run = services_late,
     .slow = true},
    {.spec = "security 5.4",
     .name = "a_service_may_be_behind_a_service",
     .configuration = ON_IMPORTS,
     .run = services_chain},
    {.spec = "security 50",
     .name = "latency_is_measured_however_it_ends",
     .configuration = ON_IMPORTS,
     .run = services_latency},
    {.spec = "security 5.4",
     .name = "a_request_that_no_service_takes_earns_a_503",
     .configuration = ON_IMPORTS,
     .only = MYELIN | NATS_NEW,
     .differs = "before 2.11 none comes through an import",
     .steps = STEPS(AS(0, "imp"), SEND(0, "SUB in 1\r\nPUB many in 1\r\nx\r\n"),
                    EXPECT(0, NO_RESPONDERS_NEW("in", "1", "36", "many")))},
    {.spec = "security 5.3",
     .name = "what_came_as_a_request_is_not_exported_as_a_stream",
     .configuration = ON_IMPORTS,
     .steps = STEPS(AS(0, "other"), AS(1, "imp"), SEND(0, "SUB both 1\r\n"), ALIVE(0),
                    SEND(1, "PUB both 1\r\nx\r\n"), ALIVE(1), ALIVE(0), AS(2, "exp"),
                    SEND(2, "PUB both 1\r\ny\r\n"), EXPECT(0, "MSG both 1 1\r\ny\r\n"))},

    /* ---- limits and special accounts ---- */
    {.spec = "security 53",
     .name = "an_account_has_limits_of_its_own",
     .configuration = ON_IMPORTS,
     .only = MYELIN | NATS_NEW,
     .differs = "2.9 announces the payload by an INFO without connect_info",
     .steps = STEPS(AS(0, "small"), AS(1, "small"), CONNECT(2, NONE), SEND(2, LOGIN("small") "PING\r\n"),
                    EXPECT(2, "-ERR 'maximum account active connections exceeded'\r\n"), EXPECT_CLOSE(2),
                    SEND(0, "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n"),
                    EXPECT(0, "-ERR 'maximum subscriptions exceeded'\r\n"),
                    SEND(0, "PUB a 10\r\n1234567890\r\n"), EXPECT(0, "MSG a 1 10\r\n1234567890\r\n"),
                    SEND(0, "PUB a 11\r\n12345678901\r\n"), EXPECT(0, PAYLOAD_ERROR), EXPECT_CLOSE(0))},
    {.spec = "security 55",
     .name = "users_of_the_system_account_alone_lock_nobody_out",
     .configuration = ON_SYSTEM_USERS,
     .steps = STEPS(CONNECT(0, NONE), INFO_WAS(0, "auth_required=true"), SEND(0, "SUB a 1\r\nPING\r\n"),
                    EXPECT(0, "+OK\r\nPONG\r\n"), CONNECT(1, NONE),
                    SEND(1, "CONNECT {\"verbose\":false}\r\n"), ALIVE(1), SEND(1, "PUB a 1\r\nx\r\n"),
                    EXPECT(0, "MSG a 1 1\r\nx\r\n"), CONNECT(2, NONE), SEND(2, LOGIN("sys") "SUB a 1\r\n"),
                    ALIVE(2), SEND(1, "PUB a 1\r\ny\r\n"), EXPECT(0, "MSG a 1 1\r\ny\r\n"), CONNECT(3, NONE),
                    SEND(3, LOGIN("nobody") "PING\r\n"), EXPECT(3, AUTHORIZATION_ERROR), EXPECT_CLOSE(3))},

    /* ---- mappings ---- */
    {.spec = "security 6",
     .name = "a_mapping_is_applied_once",
     .configuration = ON_WEIGHTS,
     .steps = STEPS(AS(0, "any"), SEND(0, "SUB chain.> 1\r\nPUB chain.a 1\r\nx\r\nPUB chain.b 1\r\ny\r\n"),
                    EXPECT(0, "MSG chain.b 1 1\r\nx\r\nMSG chain.c 1 1\r\ny\r\n"))},
    {.spec = "security 6",
     .name = "functions_of_mappings",
     .configuration = ON_WEIGHTS,
     .only = MYELIN | NATS_NEW,
     .differs = "2.9 does not have all of them",
     .steps = STEPS(
         AS(0, "any"),
         SEND(0, "SUB r.> 1\r\nPUB f.part.foobar 1\r\nx\r\nPUB f.split.a-b-c 1\r\nx\r\n"
                 "PUB f.left.abcdef 1\r\nx\r\nPUB f.slice.abcdefgh 1\r\nx\r\nPUB f.rest.a.b.c 1\r\nx\r\n"),
         EXPECT(0, "MSG r.1 1 1\r\nx\r\nMSG r.a.b.c 1 1\r\nx\r\nMSG r.abc.def 1 1\r\nx\r\n"
                   "MSG r.ab.cde.fgh 1 1\r\nx\r\nMSG r.a.b.c 1 1\r\nx\r\n"))},
    {.spec = "security 54", .name = "weights_are_kept", .configuration = ON_WEIGHTS, .run = services_weights},

    /* ---- reload ---- */
    {.spec = "security 5.3",
     .name = "imports_follow_a_reload_on_live_connections",
     .configuration = ON_MOVING,
     .alone = true,
     .steps = STEPS(AS(0, "imp"), AS(1, "exp"), SEND(0, "SUB p.> 1\r\nSUB q.> 2\r\n"), ALIVE(0),
                    SEND(1, "PUB s.a 1\r\nx\r\n"), EXPECT(0, "MSG p.s.a 1 1\r\nx\r\n"),
                    RELOAD(IMPORTER("{stream: {account: EXP, subject: \"s.*\"}, prefix: q}")),
                    SEND(1, "PUB s.a 1\r\ny\r\nPUB s.a.b 1\r\nz\r\n"), EXPECT(0, "MSG q.s.a 2 1\r\ny\r\n"),
                    ALIVE(0), RELOAD(IMPORTER("")), SEND(1, "PUB s.a 1\r\nn\r\n"), ALIVE(1), ALIVE(0),
                    RELOAD(IMPORTER("{stream: {account: EXP, subject: \"s.>\"}, prefix: p}")),
                    SEND(1, "PUB s.b 1\r\nx\r\n"), EXPECT(0, "MSG p.s.b 1 1\r\nx\r\n"), ALIVE(0))},
    {.spec = "security 6",
     .name = "a_mapping_that_a_reload_changes_is_used_at_once",
     .configuration = ON_MOVING,
     .alone = true,
     .only = MYELIN | NATS_NEW,
     .differs = "2.9 leaves the mappings of accounts with live connections as they were",
     .steps = STEPS(AS(0, "exp"), AS(1, "exp"), SEND(0, "SUB m.> 1\r\n"), ALIVE(0),
                    RELOAD(MOVED_MAPPED("m.b")), SEND(1, "PUB m.a 1\r\nx\r\nPUB m.a 1\r\nx\r\n"),
                    EXPECT(0, "MSG m.b 1 1\r\nx\r\nMSG m.b 1 1\r\nx\r\n"), RELOAD(MOVED_MAPPED("m.c")),
                    SEND(1, "PUB m.a 1\r\nx\r\nPUB m.a 1\r\nx\r\n"),
                    EXPECT(0, "MSG m.c 1 1\r\nx\r\nMSG m.c 1 1\r\nx\r\n"), RELOAD(IMPORTER("")),
                    SEND(1, "PUB m.a 1\r\nx\r\n"), EXPECT(0, "MSG m.a 1 1\r\nx\r\n"))},
    {.spec = "security 32",
     .name = "narrower_permissions_hold_for_what_is_imported",
     .configuration = ON_MOVING,
     .alone = true,
     .steps = STEPS(
         AS(0, "imp"), AS(1, "exp"), SEND(0, "SUB p.> 1\r\nSUB p.s.a 2\r\n"), ALIVE(0),
         SEND(1, "PUB s.a 1\r\nx\r\n"), EXPECT_UNORDERED(0, "MSG p.s.a 1 1\r\nx\r\nMSG p.s.a 2 1\r\nx\r\n"),
         RELOAD(MOVED " IMP { users: [ {user: \"imp\", password: \"p\", permissions: {subscribe: {deny: "
                      "\"p.s.a\"}}} ], imports: [ {stream: {account: EXP, subject: \"s.>\"}, prefix: p} "
                      "] }\n}\n"),
         EXPECT(0, "-ERR 'Permissions Violation for Subscription to \"p.s.a\" (sid \"2\")'\r\n"),
         SEND_TIMES(1, 2, "PUB s.a 1\r\nx\r\n"), ALIVE(1), SEND(1, "PUB s.b 1\r\nx\r\n"),
         EXPECT(0, "MSG p.s.b 1 1\r\nx\r\n"), ALIVE(0))},
    {.spec = "configuration 5.4",
     .name = "who_moves_to_another_account_is_closed_silently",
     .configuration = ON_MOVING,
     .alone = true,
     .steps = STEPS(AS(0, "imp"), AS(1, "exp"),
                    RELOAD(MOVED " NEW { users: [ {user: \"imp\", password: \"p\"} ] }\n}\n"),
                    EXPECT_CLOSE(0), ALIVE(1))},
    {.spec = "configuration 5.4",
     .name = "a_file_with_a_wrong_import_changes_nothing",
     .configuration = ON_MOVING,
     .alone = true,
     .steps = STEPS(AS(0, "imp"), AS(1, "exp"), SEND(0, "SUB p.> 1\r\n"), ALIVE(0),
                    RELOAD(IMPORTER("{stream: {account: NONE, subject: \"s.>\"}}")),
                    SEND(1, "PUB s.b 1\r\nx\r\n"), EXPECT(0, "MSG p.s.b 1 1\r\nx\r\n"), ALIVE(0))},
};

const struct case_table cases_accounts = {rows, COUNT_OF(rows)};
