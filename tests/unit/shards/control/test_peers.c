/* Tests shards/control/peers.c: what the control core has to say is said, also where a mailbox is full. */
#include "net/closed_reason.h"
#include "shards/control/control_internal.h"
#include "shards/control/peers.h"

#include <criterion/criterion.h>
#include <string.h>

static struct post_office office;
static struct post shard; /* 0 */
static struct control *control;

static void begin(void)
{
    cr_assert_eq(post_office_init(&office, 2, MAILBOX_BYTES_LEAST), ERR_OK);
    shard = (struct post){.office = &office, .self = 0};
    control = calloc(1, sizeof *control);
    cr_assert_not_null(control);
    control->post = (struct post){.office = &office, .self = 1};
    control->shard_count = 1;
}

static void end(void)
{
    post_office_close(&office);
    free(control);
}

/* Answers that a shard has taken. */
struct taken {
    struct mail_route_answer answers[4];
    uint32_t count;
};

static void take(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct taken *taken = context;
    (void)from;
    if (mail[0] != MAIL_ROUTE_ANSWER)
        return;
    cr_assert_eq(bytes, sizeof taken->answers[0]);
    cr_assert_lt(taken->count, 4);
    memcpy(&taken->answers[taken->count++], mail, bytes);
}

static struct taken drain(void)
{
    struct taken taken = {0};
    post_flush(&control->post);
    post_drain(&shard, take, &taken);
    return taken;
}

static void fill(void)
{
    uint8_t other[1000] = {MAIL_STALL};
    for (uint32_t bytes = sizeof other; bytes >= 1; bytes /= 10) { /* until not even a byte finds room */
        while (control_tell(control, 0, other, bytes))
            ;
    }
}

TestSuite(peers, .init = begin, .fini = end);

Test(peers, an_answer_that_finds_no_room_is_said_later)
{
    struct peer_answer answer = {0};
    struct mail_route_answer on = peer_goes_on(7);
    fill();
    peer_answer_say(control, 0, &answer, &on);
    cr_expect(peer_answer_again(control, 0, &answer), "there is still no room");
    cr_expect_eq(drain().count, 0);
    cr_expect_not(peer_answer_again(control, 0, &answer));
    struct taken taken = drain();
    cr_assert_eq(taken.count, 1);
    cr_expect_eq(taken.answers[0].rid, 7);
    cr_expect_not(taken.answers[0].close);
    cr_expect_not(peer_answer_again(control, 0, &answer), "it is said once");
    cr_expect_eq(drain().count, 0);
}

Test(peers, an_end_takes_the_place_of_what_waits_and_nothing_takes_its_own)
{
    struct peer_answer answer = {0};
    struct mail_route_answer on = peer_goes_on(7);
    struct mail_route_answer over = peer_ends(7, CLOSED_WRITE_ERROR, "why");
    fill();
    peer_answer_say(control, 0, &answer, &on);
    peer_answer_say(control, 0, &answer, &over);
    peer_answer_say(control, 0, &answer, &on);
    (void)drain();
    cr_expect_not(peer_answer_again(control, 0, &answer));
    struct taken taken = drain();
    cr_assert_eq(taken.count, 1);
    cr_expect(taken.answers[0].close);
    cr_expect_eq(taken.answers[0].reason, CLOSED_WRITE_ERROR);
    cr_expect_str_eq(taken.answers[0].error, "why");
}

Test(peers, lines_without_room_are_refused)
{
    uint8_t line[] = "INFO {}\r\n";
    fill();
    cr_expect_not(peer_lines_say(control, 0, 7, bytes_of(line, sizeof line - 1), false));
}

Test(peers, the_shard_with_the_fewest_is_chosen)
{
    uint32_t counts[] = {3, 1, 1, 2};
    cr_expect_eq(peer_shard(counts, 4), 1);
    cr_expect_eq(peer_shard(counts, 1), 0);
}
