/* Tests shards/closed.c: which closed connections are remembered, and what of them. */
#include "shards/closed.h"

#include "core/base/memory.h"
#include "shards/report_page.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A connection that has ended, with nothing but a number. */
static void end(struct closed_ring *ring, uint64_t cid, int64_t most)
{
    struct connection *connection = memory_new(sizeof *connection);
    if (connection == NULL)
        return;
    connection->client.cid = cid;
    connection->client.state = CLIENT_CLOSED;
    connection->client.closed_reason = CLOSED_STALE_CONNECTION;
    snprintf(connection->client.address, sizeof connection->client.address, "10.0.0.%u", (unsigned)cid % 256);
    closed_remember(ring, connection, most, 77);
    memory_free(connection);
}

Test(closed, the_last_ones_are_kept)
{
    struct closed_ring ring = {0};
    for (uint64_t cid = 1; cid <= 300; cid++) {
        end(&ring, cid, 100);
        cr_expect_eq(ring.count, cid < 100 ? cid : 100);
        cr_assert_not_null(closed_at(&ring, cid - 1));
        cr_expect_eq(closed_at(&ring, cid - 1)->figures.cid, cid);
        cr_expect_null(closed_at(&ring, cid), "there is none yet");
    }
    cr_expect_null(closed_at(&ring, 199), "the two hundredth has gone");
    cr_expect_eq(closed_at(&ring, 200)->figures.cid, 201);
    closed_close(&ring);
    cr_expect_null(closed_at(&ring, 0));
}

Test(closed, none_are_kept_where_none_may_be)
{
    struct closed_ring ring = {0};
    end(&ring, 1, 0);
    cr_expect_eq(ring.count, 0);
    cr_expect_null(closed_at(&ring, 0));
    closed_close(&ring);
}

Test(closed, tells_what_the_connection_was)
{
    struct closed_ring ring = {0};
    end(&ring, 9, 10);
    const struct closed_connection *closed = closed_at(&ring, 0);
    cr_assert_not_null(closed);
    cr_expect(closed->figures.closed && closed->figures.reason == CLOSED_STALE_CONNECTION);
    cr_expect_eq(closed->figures.stop_ns, 77);
    cr_expect(bytes_equal(closed_account(closed), TEXT("$G")));
    cr_expect_eq(closed_user(closed).count, 0);
    struct report_record head;
    memcpy(&head, closed->bytes, sizeof head);
    cr_expect_eq(head.bytes, closed->connection_bytes);
    cr_expect_eq(head.kind, REPORT_RECORD_CONNECTION);
    cr_expect_eq(closed->bytes_count, closed->connection_bytes, "it had no subscriptions");
    const uint8_t *texts = closed->bytes + sizeof head + sizeof closed->figures;
    cr_expect(bytes_equal(bytes_of(texts, closed->figures.text_counts[REPORT_ADDRESS]), TEXT("10.0.0.9")));
    closed_close(&ring);
}

Test(closed, memory_out_forgets_and_breaks_nothing)
{
    FOR_EACH_FAULT(plan)
    {
        struct closed_ring ring = {0};
        uint64_t before = 0;
        for (uint64_t cid = 1; cid <= 200; cid++)
            end(&ring, cid, 1000);
        cr_assert(faults_met() || ring.count == 200);
        for (uint64_t number = 0; number < ring.next_number; number++) {
            cr_assert_not_null(closed_at(&ring, number));
            cr_assert_gt(closed_at(&ring, number)->figures.cid, before);
            before = closed_at(&ring, number)->figures.cid;
        }
        closed_close(&ring);
    }
}
