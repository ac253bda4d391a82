/* Tests core/loop/loop.c: what many connections receive through few buffers is what was sent. */
#include "core/loop/loop.h"

#include "core/base/random.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 16, BUFFERS = 2, BUFFER_BYTES = 4096, PIECE_BYTES_MOST = 3000 };

struct peer {
    struct loop_op receive;
    int near; /* the loop's end of the socket */
    int far;
    uint64_t sent_bytes;
    uint64_t received_bytes;
};

struct table {
    struct loop *loop;
    struct peer peers[PEERS];
};

static void table_open(struct table *table)
{
    char why[256];
    struct loop_options options = {.receive_buffer_bytes = BUFFER_BYTES, .receive_buffers = BUFFERS};
    *table = (struct table){0};
    cr_assert_eq(loop_new(&table->loop, &options, why, sizeof why), ERR_OK, "%s", why);
    for (int i = 0; i < PEERS; i++) {
        int ends[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        table->peers[i].near = ends[0];
        table->peers[i].far = ends[1];
        loop_receive(table->loop, &table->peers[i].receive, ends[0]);
    }
    loop_wait(table->loop, 0);
    struct loop_completion completion;
    cr_assert_not(loop_next(table->loop, &completion));
}

static void table_close(struct table *table)
{
    loop_free(table->loop);
    for (int i = 0; i < PEERS; i++) {
        close(table->peers[i].near);
        close(table->peers[i].far);
    }
}

static uint8_t byte_at(const struct table *table, const struct peer *peer, uint64_t position)
{
    uint64_t mixed = (position + 1) * 0x9e3779b97f4a7c15 + (uint64_t)(peer - table->peers);
    return (uint8_t)(mixed >> 40);
}

static void send_some(const struct table *table, struct peer *peer, uint32_t count)
{
    uint8_t bytes[PIECE_BYTES_MOST] = {0};
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = byte_at(table, peer, peer->sent_bytes + i);
    cr_assert_eq(send(peer->far, bytes, count, 0), (ssize_t)count);
    peer->sent_bytes += count;
}

static void take(struct table *table, const struct loop_completion *completion)
{
    struct peer *peer = (struct peer *)(void *)completion->op;
    cr_assert(completion->result > 0 || completion->result == -ENOBUFS, "%d", completion->result);
    if (completion->has_buffer) {
        for (size_t i = 0; i < completion->received.count; i++)
            cr_assert_eq(completion->received.data[i], byte_at(table, peer, peer->received_bytes + i));
        peer->received_bytes += completion->received.count;
        loop_buffer_return(table->loop, completion->buffer);
    }
    if (!completion->more)
        loop_receive(table->loop, &peer->receive, peer->near);
}

Test(loop, random_pieces_of_many_arrive_as_sent_through_two_buffers, .timeout = 120)
{
    enum { ROUNDS = 300 };
    struct table table;
    struct random random;
    random_seed(&random, 7);
    table_open(&table);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t left = 0;
        for (int i = 0; i < PEERS; i++) {
            if (random_below(&random, 2) == 0)
                send_some(&table, &table.peers[i], 1 + (uint32_t)random_below(&random, PIECE_BYTES_MOST));
            left += table.peers[i].sent_bytes - table.peers[i].received_bytes;
        }
        while (left > 0) {
            struct loop_completion completion;
            loop_wait(table.loop, -1);
            while (loop_next(table.loop, &completion)) {
                take(&table, &completion);
                left -= completion.has_buffer ? completion.received.count : 0;
            }
        }
    }
    table_close(&table);
}

Test(loop, a_receive_without_a_buffer_ends_and_its_bytes_wait, .timeout = 120)
{
    struct table table;
    struct loop_completion completion;
    int pieces = 0;
    int without_buffer = 0;
    table_open(&table);
    for (int i = 0; i < PEERS; i++)
        send_some(&table, &table.peers[i], 100);
    while (pieces + without_buffer < PEERS) { /* nothing is given back yet */
        loop_wait(table.loop, -1);
        while (loop_next(table.loop, &completion)) {
            pieces += completion.has_buffer;
            without_buffer += completion.result == -ENOBUFS;
            cr_assert(completion.has_buffer || !completion.more);
        }
    }
    cr_expect_eq(pieces, BUFFERS);
    cr_expect_eq(without_buffer, PEERS - BUFFERS);
    struct loop_figures figures = loop_figures(table.loop);
    cr_expect_eq(figures.no_buffers, PEERS - BUFFERS);
    cr_expect_eq(figures.submissions, PEERS, "each was armed once");
    /* One that gets a buffer goes on, and may end without another one before it is seen here. */
    cr_expect(figures.completions >= PEERS && figures.completions <= PEERS + BUFFERS);
    cr_expect(figures.enters >= 2);
    cr_expect_eq(figures.overflows, 0);
    cr_expect_eq(figures.dropped, 0);
    cr_expect_eq(figures.buffers_shown + figures.buffers_spare, 0, "all are held");
    table_close(&table);
}

Test(loop, what_is_written_through_is_in_the_file, .timeout = 120)
{
    struct loop *loop = NULL;
    char why[256], path[] = "/tmp/myelin-test-loop-XXXXXX", back[8] = "";
    struct loop_options options = {.receive_buffer_bytes = BUFFER_BYTES, .receive_buffers = BUFFERS};
    struct loop_op op = {0};
    struct loop_completion completion;
    char one[] = "abc", two[] = "defgh";
    struct iovec parts[] = {{one, 3}, {two, 5}};
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(loop_new(&loop, &options, why, sizeof why), ERR_OK, "%s", why);
    loop_write_through(loop, &op, fd, parts, 2, 5);
    do
        loop_wait(loop, -1);
    while (!loop_next(loop, &completion));
    cr_expect(completion.op == &op && completion.result == 8, "%d", completion.result);
    cr_expect_eq(pread(fd, back, 8, 5), 8);
    cr_expect_eq(memcmp(back, "abcdefgh", 8), 0);
    loop_free(loop);
    close(fd);
}

/* More completions than the queue holds are kept by the kernel: they are counted, and none is lost. */
Test(loop, completions_beyond_the_queue_wait_in_the_kernel, .timeout = 120)
{
    enum { BEYOND = LOOP_ENTRIES * 4 + 100 };
    struct table table;
    struct loop_op *ops = calloc(BEYOND, sizeof *ops);
    char byte = 0;
    uint32_t seen = 0;
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    table_open(&table);
    struct loop_figures before = loop_figures(table.loop);
    cr_assert(ops != NULL && fd >= 0);
    for (uint32_t i = 0; i < BEYOND; i++)
        loop_read(table.loop, &ops[i], fd, &byte, 1);
    loop_submit(table.loop);
    while (seen < BEYOND) {
        struct loop_completion completion;
        loop_wait(table.loop, -1);
        while (loop_next(table.loop, &completion)) {
            cr_expect_eq(completion.result, 1);
            seen++;
        }
    }
    struct loop_figures after = loop_figures(table.loop);
    cr_expect_eq(after.submissions - before.submissions, BEYOND);
    cr_expect_eq(after.completions - before.completions, BEYOND);
    cr_expect_geq(after.overflows, 1);
    cr_expect_eq(after.dropped, 0);
    table_close(&table);
    close(fd);
    free(ops);
}
