/* tests/server/slow_readers.c - receivers that are slow, and the two options that judge them (client-protocol
 * 13.5), as one more table of the conformance suite: write_deadline is for one write as a whole, so who reads
 * too slowly is closed in the middle of it; with write_timeout: retry slowness is allowed, silence is not.
 * Goal of each: the right ones are closed, without an -ERR, and the publisher is served all the while.
 * How it stays independent of the machine: what is waiting is many times what a slow reader takes within a
 * deadline, and a slow reader takes many times what the kernel wants to be read before it accepts more.
 * Place in the flow: tables.c lists the table; script.c calls the functions. */
#include "core/base/clock.h"
#include "tests/conformance/script.h"
#include "tests/conformance/tables.h"

enum {
    PUBLISHER = 0,
    READER = 1,

    /* 28 MB: at 5 MB/s more than five deadlines of 1 s; under half of max_pending, from where on older
     * servers hold publishers back. */
    MESSAGES = 28,
    READ_PAUSE_MS = 25,
    READS_PER_PAUSE = 2, /* of 64 KiB each: 5 MB/s */
    RECEIVE_BYTES = 128 * 1024,
    CLOSED_PATIENCE_MS = 15000,
    POLL_MS = 20
};

static bool slow_reader_with_retry(struct run *run);
static bool slow_reader_without_retry(struct run *run);
static bool silent_reader_with_retry(struct run *run);

static const struct conformance_case rows[] = {
    {.spec = "section 13.5",
     .name = "retry_keeps_who_reads_slowly",
     .configuration = ON_WRITE_RETRY,
     .only = MYELIN | NATS_NEW,
     .differs = "write_timeout came with 2.11.11 and 2.12.2",
     .run = slow_reader_with_retry,
     .slow = true},
    {.spec = "section 13.5",
     .name = "write_deadline_closes_who_reads_too_slowly",
     .configuration = ON_WRITE_DEADLINE,
     .run = slow_reader_without_retry,
     .slow = true},
    {.spec = "section 13.5",
     .name = "retry_closes_who_does_not_read_at_all",
     .configuration = ON_WRITE_RETRY,
     .alone = true, /* it counts the server's descriptors */
     .only = MYELIN | NATS_NEW,
     .differs = "write_timeout came with 2.11.11 and 2.12.2",
     .run = silent_reader_with_retry,
     .slow = true},
};

const struct case_table cases_slow_readers = {rows, COUNT_OF(rows)};

static const struct bytes message_start = {(const uint8_t *)"MSG slow 1 1000000\r\n", 20};

static bool readers_begin(struct run *run);
static bool publish_all(struct run *run);
static bool read_slowly(struct run *run, int *messages);

static bool slow_reader_with_retry(struct run *run)
{
    int messages = 0;
    if (!readers_begin(run) || !publish_all(run) || !read_slowly(run, &messages))
        return false;
    if (run->peers[READER].ended || messages != MESSAGES)
        return run_fail(run, "a reader that is slow but alive got %d of %d messages", messages, MESSAGES);
    return run_alive(run, READER) && run_alive(run, PUBLISHER);
}

static bool slow_reader_without_retry(struct run *run)
{
    int messages = 0;
    if (!readers_begin(run) || !publish_all(run) || !read_slowly(run, &messages))
        return false;
    if (!run->peers[READER].ended)
        return run_fail(run, "a reader that needs more than the deadline got all %d messages", messages);
    return run_alive(run, PUBLISHER);
}

/* The end is seen at the server, by its descriptors: reading, to see it here, would be a sign of life. */
static bool silent_reader_with_retry(struct run *run)
{
    int messages = 0;
    if (!run_connect(run, PUBLISHER, Q) || !run_alive(run, PUBLISHER))
        return false;
    int files = server_files_open(run->server);
    if (files == 0 || !readers_begin(run) || !publish_all(run))
        return files > 0 ? false : run_fail(run, "the server's descriptors cannot be counted");
    int64_t deadline_ns = peer_deadline(CLOSED_PATIENCE_MS);
    while (server_files_open(run->server) > files) {
        if (clock_monotonic_ns() > deadline_ns)
            return run_fail(run, "a reader that does not read is still connected");
        peer_pause(POLL_MS);
    }
    if (!read_slowly(run, &messages))
        return false;
    if (!run->peers[READER].ended || messages == MESSAGES)
        return run_fail(run, "the server has closed, and %d of %d messages came", messages, MESSAGES);
    return run_alive(run, PUBLISHER);
}

/* A subscriber with a receive buffer that does not grow, and a publisher. */
static bool readers_begin(struct run *run)
{
    struct peer *reader = &run->peers[READER];
    if (!run->peers[PUBLISHER].open && (!run_connect(run, PUBLISHER, Q) || !run_alive(run, PUBLISHER)))
        return false;
    if (peer_connect(reader, run->server->values.ports[0], RECEIVE_BYTES) != ERR_OK ||
        !peer_expect_info(reader, peer_deadline(PEER_PATIENCE_MS)))
        return run_fail(run, "the slow reader cannot connect");
    return run_send(run, READER, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB slow 1\r\n") &&
           run_alive(run, READER);
}

/* The PONG shows that the publisher is held up by nobody. */
static bool publish_all(struct run *run)
{
    struct buffer message = {0};
    enum err err = template_expand("PUB slow 1000000\r\n${s*1000000}\r\n", &run->server->values, &message);
    bool sent = err == ERR_OK;
    for (int i = 0; sent && i < MESSAGES; i++)
        sent = peer_send(&run->peers[PUBLISHER], buffer_bytes(&message));
    buffer_close(&message);
    return sent ? run_alive(run, PUBLISHER) : run_fail(run, "a message was not taken");
}

/* Takes the whole messages that are here. Asked for only then: peer_frame() would read on for the rest of
 * one. */
static bool messages_take(struct run *run, int *messages)
{
    struct peer *reader = &run->peers[READER];
    struct bytes frame;
    while (peer_frame_bytes(peer_waiting(reader)) > 0 && peer_frame(reader, 0, &frame)) {
        if (!bytes_start_with(frame, message_start))
            return run_fail(run, "a slow reader got \"%.*s\"", frame.count > 80 ? 80 : (int)frame.count,
                            (const char *)frame.data);
        (*messages)++;
    }
    return true;
}

/* Reads with pauses until all messages are here or the server has closed; counts them. What is not a whole
 * message at the end is a piece of one: there is no -ERR. */
static bool read_slowly(struct run *run, int *messages)
{
    struct peer *reader = &run->peers[READER];
    struct bytes start = message_start;
    for (int reads = 1; *messages < MESSAGES && !reader->ended; reads++) {
        if (!peer_receive(reader, peer_deadline(PEER_PATIENCE_MS)) && !reader->ended)
            return run_fail(run, "nothing comes any more behind %d messages", *messages);
        if (!messages_take(run, messages))
            return false;
        if (reads % READS_PER_PAUSE == 0)
            peer_pause(READ_PAUSE_MS);
    }
    struct bytes rest = peer_waiting(reader);
    size_t compared = rest.count < start.count ? rest.count : start.count;
    return compared == 0 || memcmp(rest.data, start.data, compared) == 0 ||
           run_fail(run, "the stream ends with \"%.*s\"", (int)compared, (const char *)rest.data);
}
