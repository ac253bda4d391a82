/* tests/conformance/cases_subjects.c - cases 51 to 63: subjects, wildcards, SUB and its sid. */
#include "tests/conformance/tables.h"

#include <stddef.h>

#define X_TO(subject) "PUB " subject " 1\r\nx\r\n"
#define GOT_X(subject, sid) "MSG " subject " " sid " 1\r\nx\r\n"

/* clang-format off */
static const struct conformance_case rows[] = {
    {.spec = "51", .name = "sub_with_an_empty_token_or_a_late_wildcard_is_refused", .setup = Q,
     .send_each = EACH("SUB foo..bar 1\r\nPING\r\n", "SUB .foo 1\r\nPING\r\n", "SUB foo. 1\r\nPING\r\n",
                       "SUB . 1\r\nPING\r\n", "SUB foo.>.bar 1\r\nPING\r\n", "SUB >.foo 1\r\nPING\r\n"),
     .expect = "-ERR 'Invalid Subject'\r\nPONG\r\n"},
    {.spec = "52", .name = "error_takes_the_place_of_ok", .setup = VB, .send = "SUB foo..b 1\r\nPING\r\n",
     .expect = "-ERR 'Invalid Subject'\r\nPONG\r\n"},
    {.spec = "53", .name = "star_inside_a_token_is_a_literal", .setup = Q,
     .send = "SUB foo* 1\r\nPUB foo* 2\r\nhi\r\nPUB foox 2\r\nhi\r\n", .expect = "MSG foo* 1 2\r\nhi\r\n"},
    {.spec = "53", .name = "wildcard_bytes_inside_tokens_are_literals", .setup = Q,
     .send = "SUB *foo 1\r\nSUB f*o 2\r\nSUB foo> 3\r\nSUB a.>b 4\r\nSUB foo.** 5\r\nSUB foo.>> 6\r\n"
             X_TO("xfoo") X_TO("fxo") X_TO("foo.x") X_TO("a.b") X_TO("foox")
             X_TO("*foo") X_TO("f*o") X_TO("foo>") X_TO("a.>b") X_TO("foo.**") X_TO("foo.>>"),
     .expect = GOT_X("*foo", "1") GOT_X("f*o", "2") GOT_X("foo>", "3") GOT_X("a.>b", "4") GOT_X("foo.**", "5")
               GOT_X("foo.>>", "6")},
    {.spec = "54", .name = "publishing_expands_no_wildcards", .setup = Q, .unordered = true,
     .send = "SUB foo.* 1\r\nSUB foo.bar 2\r\nSUB foo.> 3\r\nPUB foo.* 2\r\nhi\r\n",
     .expect = "MSG foo.* 1 2\r\nhi\r\nMSG foo.* 3 2\r\nhi\r\n"},
    {.spec = "55", .name = "published_empty_token_matches_nobody", .setup = Q,
     .send_each = EACH("SUB > 1\r\nPUB foo..bar 2\r\nhi\r\nPING\r\n", "SUB > 1\r\nPUB .foo 2\r\nhi\r\nPING\r\n",
                       "SUB > 1\r\nPUB foo. 2\r\nhi\r\nPING\r\n", "SUB > 1\r\nPUB . 2\r\nhi\r\nPING\r\n"),
     .expect = "PONG\r\n"},
    {.spec = "56", .name = "pedantic_warns_and_publishes", .setup = P,
     .send_each = EACH("SUB > 1\r\nPUB foo.* 2\r\nhi\r\n", "SUB > 1\r\nPUB foo.> 2\r\nhi\r\n",
                       "SUB > 1\r\nPUB > 2\r\nhi\r\n"),
     .expect_each = EACH("-ERR 'Invalid Publish Subject'\r\nMSG foo.* 1 2\r\nhi\r\n",
                         "-ERR 'Invalid Publish Subject'\r\nMSG foo.> 1 2\r\nhi\r\n",
                         "-ERR 'Invalid Publish Subject'\r\nMSG > 1 2\r\nhi\r\n")},
    {.spec = "57", .name = "pedantic_accepts_literals_with_wildcard_bytes", .setup = P,
     .send = "PUB foo*.bar 2\r\nhi\r\nPING\r\n", .expect = "PONG\r\n"},
    {.spec = "58", .name = "full_wildcard_needs_one_more_token", .setup = Q,
     .send = "SUB a.> 1\r\n" X_TO("a") X_TO("a.b") X_TO("a.b.c") X_TO("b.a"),
     .expect = GOT_X("a.b", "1") GOT_X("a.b.c", "1")},
    {.spec = "58", .name = "star_matches_exactly_one_token", .setup = Q,
     .send = "SUB a.* 1\r\n" X_TO("a") X_TO("a.b") X_TO("a.b.c"), .expect = GOT_X("a.b", "1")},
    {.spec = "58", .name = "leading_star_matches_exactly_one_token", .setup = Q,
     .send = "SUB *.b 1\r\n" X_TO("b") X_TO("a.b") X_TO("x.y.b"), .expect = GOT_X("a.b", "1")},
    {.spec = "58", .name = "lone_full_wildcard_matches_every_well_formed_subject", .setup = Q,
     .send = "SUB > 1\r\n" X_TO("a") X_TO("a.b.c.d.e") X_TO("a..b") X_TO("$x-1"),
     .expect = GOT_X("a", "1") GOT_X("a.b.c.d.e", "1") GOT_X("$x-1", "1")},
    {.spec = "58", .name = "star_between_tokens_matches_no_empty_one", .setup = Q,
     .send = "SUB a.*.c 1\r\n" X_TO("a.b.c") X_TO("a.c") X_TO("a..c"), .expect = GOT_X("a.b.c", "1")},
    {.spec = "59", .name = "sub_and_unsub_without_a_blank_are_unknown", .setup = Q,
     .send_each = EACH("SUB\r\n", "UNSUB\r\n"), .expect = UPO, .then = CLOSES},
    {.spec = "60", .name = "sub_and_unsub_with_a_wrong_number_of_arguments_close_silently", .setup = Q,
     .send_each = EACH("SUB \r\n", "SUB foo\r\n", "SUB foo q 1 2\r\n", "UNSUB \r\n", "UNSUB 1 2 3\r\n"),
     .then = CLOSES, .closed_reason = "Protocol Violation"},
    {.spec = "61", .name = "duplicate_sid_keeps_the_first_subscription", .setup = Q,
     .send = "SUB foo 1\r\nSUB bar 1\r\nPUB bar 2\r\nhi\r\nPUB foo 2\r\nhi\r\n", .expect = "MSG foo 1 2\r\nhi\r\n"},
    {.spec = "62", .name = "duplicate_sid_is_ignored_even_with_a_bad_subject", .setup = Q,
     .send = "SUB foo 1\r\nSUB foo..x 1\r\nPING\r\n", .expect = "PONG\r\n"},
    {.spec = "63", .name = "long_sid_is_echoed", .setup = Q,
     .send = "SUB foo ${s*2000}\r\n" X_TO("foo"), .expect = "MSG foo ${s*2000} 1\r\nx\r\n"},
    {.spec = "63", .name = "sid_of_odd_bytes_is_echoed", .setup = Q,
     .send = "SUB foo ${hex ff01}\r\n" X_TO("foo"), .expect = "MSG foo ${hex ff01} 1\r\nx\r\n"},
    {.spec = "section 7.1", .name = "sids_are_compared_as_bytes", .setup = Q, .unordered = true,
     .send = "SUB foo 1\r\nSUB foo 01\r\nSUB foo one\r\n" X_TO("foo"),
     .expect = GOT_X("foo", "1") GOT_X("foo", "01") GOT_X("foo", "one")},
    {.spec = "section 7.1", .name = "sid_is_free_again_after_unsub", .setup = Q,
     .send = "SUB foo 1\r\nUNSUB 1\r\nSUB bar 1\r\n" X_TO("foo") X_TO("bar"), .expect = GOT_X("bar", "1")},
    {.spec = "section 6.1", .name = "two_hundred_tokens_work", .setup = Q,
     .send = "SUB ${a.*199}* 1\r\nPUB ${a.*199}b 1\r\nx\r\n", .expect = "MSG ${a.*199}b 1 1\r\nx\r\n"},
    {.spec = "section 6.1", .name = "subjects_are_case_sensitive_bytes", .setup = Q,
     .send = "SUB Foo 1\r\nSUB ${hex c3a9}.${hex ff00} 2\r\n" X_TO("foo") X_TO("FOO") X_TO("Foo")
             X_TO("${hex c3a9}.${hex ff00}"),
     .expect = GOT_X("Foo", "1") GOT_X("${hex c3a9}.${hex ff00}", "2")},
    {.spec = "section 6.3", .name = "published_star_reaches_star_and_full_wildcard_only", .setup = Q,
     .unordered = true,
     .send = "SUB foo.* 1\r\nSUB foo.> 2\r\nSUB > 3\r\nSUB foo.bar 4\r\nSUB foo.*.x 5\r\n" X_TO("foo.>"),
     .expect = GOT_X("foo.>", "1") GOT_X("foo.>", "2") GOT_X("foo.>", "3")},
    {.spec = "section 6.3", .name = "reply_is_passed_on_unchecked", .setup = Q,
     .send = "SUB a 1\r\nPUB a in..valid 1\r\nx\r\nPUB a * 1\r\nx\r\nPUB a > 1\r\nx\r\n",
     .expect = "MSG a 1 in..valid 1\r\nx\r\nMSG a 1 * 1\r\nx\r\nMSG a 1 > 1\r\nx\r\n"},
    {.spec = "section 6.4", .name = "pedantic_checks_empty_tokens", .setup = P,
     .send = "SUB > 1\r\nPUB foo..bar 2\r\nhi\r\nPING\r\n", .expect = "-ERR 'Invalid Publish Subject'\r\nPONG\r\n"},
    {.spec = "section 6.4", .name = "pedantic_is_the_default",
     .send = "PUB foo.* 2\r\nhi\r\n", .expect = "-ERR 'Invalid Publish Subject'\r\n+OK\r\n"},
    {.spec = "section 6.6", .name = "bare_reserved_prefix_is_ordinary", .setup = Q,
     .send = "SUB > 1\r\nPUB _R_.x 1\r\nx\r\nPUB $JS.ACK.x 1\r\nx\r\nPUB $SYS.x 1\r\nx\r\n",
     .expect = GOT_X("_R_.x", "1") GOT_X("$JS.ACK.x", "1") GOT_X("$SYS.x", "1")},
};
/* clang-format on */

const struct case_table cases_subjects = {rows, COUNT_OF(rows)};
