/* tests/conformance/cases_delivery.c - cases 64 to 78: UNSUB, queue groups, echo, order and visibility. */
#include "tests/conformance/measured.h"
#include "tests/conformance/tables.h"

#include <stddef.h>

#define ONE "PUB foo 1\r\nx\r\n"
#define GOT "MSG foo 1 1\r\nx\r\n"

/* clang-format off */
static const struct conformance_case rows[] = {
    {.spec = "64", .name = "unsub_with_max_ends_after_that_many", .setup = Q,
     .send = "SUB foo 1\r\nUNSUB 1 2\r\n" ONE ONE ONE ONE, .expect = GOT GOT},
    {.spec = "65", .name = "unsub_max_counts_from_the_sub", .setup = Q,
     .send = "SUB foo 1\r\n" ONE ONE "UNSUB 1 3\r\n" ONE ONE ONE ONE, .expect = GOT GOT GOT},
    {.spec = "66", .name = "unsub_max_already_reached_ends_at_once", .setup = Q,
     .send = "SUB foo 1\r\n" ONE ONE ONE "UNSUB 1 2\r\n" ONE ONE ONE ONE, .expect = GOT GOT GOT},
    {.spec = "67", .name = "unsub_with_an_unusable_max_ends_at_once", .setup = Q,
     .send_each = EACH("SUB foo 1\r\nUNSUB 1 0\r\n" ONE, "SUB foo 1\r\nUNSUB 1 -5\r\n" ONE,
                       "SUB foo 1\r\nUNSUB 1 abc\r\n" ONE, "SUB foo 1\r\nUNSUB 1 1234567890\r\n" ONE)},
    {.spec = "68", .name = "unsub_overrides_a_pending_max", .setup = Q,
     .send = "SUB foo 1\r\nUNSUB 1 5\r\nUNSUB 1\r\n" ONE},
    {.spec = "69", .name = "sid_is_free_again_after_its_max", .setup = Q,
     .send = "SUB foo 1\r\nUNSUB 1 1\r\n" ONE ONE "SUB foo 1\r\n" ONE ONE, .expect = GOT GOT GOT},
    {.spec = "70", .name = "unknown_sid_is_acknowledged", .setup = VB, .send = "UNSUB 99\r\n", .expect = "+OK\r\n"},
    {.spec = "section 7.4", .name = "second_unsub_max_replaces_the_first", .setup = Q,
     .send_each = EACH("SUB foo 1\r\nUNSUB 1 5\r\nUNSUB 1 2\r\n" ONE ONE ONE,
                       "SUB foo 1\r\nUNSUB 1 1\r\nUNSUB 1 2\r\n" ONE ONE ONE,
                       "SUB foo 1\r\nUNSUB 1 5\r\n" ONE ONE "UNSUB 1 1\r\n" ONE ONE), .expect = GOT GOT},
    {.spec = "71", .name = "each_subscription_and_each_group_gets_one_copy", .run = measured_copies},
    {.spec = "72", .name = "members_of_a_group_get_equal_shares", .run = measured_shares},
    {.spec = "73", .name = "echo_off_keeps_own_messages_away", .setup = QUIET_ECHO_OFF,
     .send = "SUB foo 1\r\nPUB foo 1\r\nx\r\nPING\r\n", .expect = "PONG\r\n"},
    {.spec = "73", .name = "echo_off_needs_no_protocol_1",
     .send = "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB foo 1\r\nPUB foo 1\r\nx\r\nPING\r\n",
     .expect = "PONG\r\n"},
    {.spec = "74", .name = "echo_off_hands_group_messages_to_another_member",
     .steps = STEPS(CONNECT(1, Q), SEND(1, "SUB foo g 1\r\n"), ALIVE(1), CONNECT(0, QUIET_ECHO_OFF),
                    SEND(0, "SUB foo g 1\r\nSUB foo g 2\r\n"), SEND_TIMES(0, 1000, ONE), ALIVE(0),
                    EXPECT_TIMES(1, 1000, GOT), ALIVE(1), ALIVE(0))},
    {.spec = "75", .name = "messages_of_one_publisher_arrive_in_order", .run = measured_order},
    {.spec = "76", .name = "answers_and_deliveries_are_in_operation_order", .setup = Q,
     .send = "SUB y 6\r\nPUB y 1\r\na\r\nPING\r\nPUB y 1\r\nb\r\n",
     .expect = "MSG y 6 1\r\na\r\nPONG\r\nMSG y 6 1\r\nb\r\n"},
    {.spec = "77", .name = "subscription_is_visible_to_all_once_its_pong_is_here", .run = measured_visible},
    {.spec = "78", .name = "unsubscription_is_visible_to_all_once_its_pong_is_here",
     .run = measured_invisible},
    {.spec = "section 9", .name = "later_subscription_sees_no_earlier_message",
     .steps = STEPS(CONNECT(0, Q), CONNECT(1, Q), SEND(0, ONE), ALIVE(0), SEND(1, "SUB foo 1\r\n"), ALIVE(1),
                    ALIVE(0), ALIVE(1))},
    {.spec = "section 9", .name = "subscriptions_end_with_their_connection",
     .steps = STEPS(CONNECT(0, Q), SEND(0, "SUB foo g 1\r\n"), ALIVE(0), CONNECT(1, Q), SEND(1, "SUB foo g 1\r\n"),
                    ALIVE(1), RESET(1), PAUSE(100), SEND_TIMES(0, 50, ONE), EXPECT_TIMES(0, 50, GOT), ALIVE(0))},
    {.spec = "section 10", .name = "request_and_reply_between_two_clients",
     .steps = STEPS(CONNECT(0, Q), CONNECT(1, Q), SEND(1, "SUB svc 9\r\n"), ALIVE(1),
                    SEND(0, "SUB inbox.* 1\r\nUNSUB 1 1\r\nPUB svc inbox.7 2\r\nhi\r\n"),
                    EXPECT(1, "MSG svc 9 inbox.7 2\r\nhi\r\n"), SEND(1, "PUB inbox.7 3\r\nyes\r\n"),
                    EXPECT(0, "MSG inbox.7 1 3\r\nyes\r\n"), ALIVE(0), ALIVE(1))},
    {.spec = "section 7.4", .name = "group_member_counts_its_own_deliveries", .run = measured_group_max},
};
/* clang-format on */

const struct case_table cases_delivery = {rows, COUNT_OF(rows)};
