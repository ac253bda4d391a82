/* net/client_deliver.c - MSG and HMSG out: the session's part of the hot path behind the router.
 * In the flow:  router_publish() -> client_deliver() or client_deliver_run() -> output
 * Hot: nothing here allocates (but output blocks from the pool), locks or makes a system call. */
#include "core/base/clock.h"
#include "core/base/copy.h"
#include "net/client_access.h"
#include "net/client_internal.h"

#define STALL_NS (2 * NS_PER_MS)
#define STALL_LONG_NS (5 * NS_PER_MS)

enum {
    LINE_FIXED_BYTES =
        64, /* "HMSG ", blanks, two sizes of at most ten digits, CR LF, and slack for copy_short() */
};

/* The control line, up to and with its CR LF. */
static ALWAYS_INLINE uint8_t *write_line(uint8_t *to, const struct client_subscription *subscription,
                                         const struct message *message, bool with_headers)
{
    if (UNLIKELY(with_headers))
        *to++ = 'H';
    memcpy(to, "MSG ", 4);
    to = copy_short(to + 4, message->subject);
    *to++ = ' ';
    to = copy_short(to, subscription_sid(subscription));
    *to++ = ' ';
    if (message->reply.count > 0) {
        to = copy_short(to, message->reply);
        *to++ = ' ';
    }
    if (UNLIKELY(message->header_bytes > 0)) {
        if (with_headers) {
            to = copy_short(to, message->header_size_text);
            *to++ = ' ';
            to = copy_short(to, message->total_size_text);
        } else {
            to = copy_number(to, message->total_bytes - message->header_bytes);
        }
    } else {
        to = copy_short(to, message->total_size_text);
    }
    memcpy(to, "\r\n", 2);
    return to + 2;
}

bool client_takes(const struct client_subscription *subscription, const struct message *message)
{
    const struct client *client = subscription->client;
    if (UNLIKELY(client->state == CLIENT_CLOSED))
        return false;
    if (UNLIKELY(message->publisher == client && !client->echo))
        return false;
    if (UNLIKELY(subscription->filtered) && !client_access_takes(subscription, message))
        return false;
    return LIKELY(subscription_max(subscription) == 0 ||
                  subscription->delivered < subscription_max(subscription));
}

/* client-protocol 13.6: whoever publishes to a receiver with much unsent is to be read from less. */
static NEVER_INLINE void stall_publisher(struct client *client, const struct message *message)
{
    const struct net_options *options = client->context->options;
    const struct publisher_place *place =
        message->publisher != NULL ? &message->publisher->place : &message->place;
    if (place->cid == 0 || options->no_fast_producer_stall)
        return;
    if (client->stalled_turn == client->context->turn && client->stalled_cid == place->cid)
        return;
    client->stalled_turn = client->context->turn;
    client->stalled_cid = place->cid;
    bool full = client->output.pending_bytes >= (uint64_t)options->max_pending_bytes;
    client->context->host->stall(client->context, place, full ? STALL_LONG_NS : STALL_NS);
}

static NEVER_INLINE void after_delivery(struct client *client, struct client_subscription *subscription,
                                        const struct message *message)
{
    uint64_t most = (uint64_t)client->context->options->max_pending_bytes;
    if (subscription_max(subscription) != 0 && subscription->delivered >= subscription_max(subscription))
        client->context->host->expired(client, subscription);
    if (client->output.pending_bytes > most)
        client_close(client, CLOSED_SLOW_CONSUMER_PENDING_BYTES, NULL);
    else if (client->output.pending_bytes > most / 4 * 3)
        stall_publisher(client, message);
}

/* The line of the message before, when this one's is the same: LINE_FIXED_BYTES of room are there, so it is
 * copied in four moves whatever its length. NULL: it is another one. */
static ALWAYS_INLINE uint8_t *line_again(const struct client *client,
                                         const struct client_subscription *subscription,
                                         const struct message *message, uint8_t *to)
{
    if (message->line_serial == 0 || client->line_serial != message->line_serial ||
        client->line_subscription != subscription)
        return NULL;
    memcpy(to, client->line, CLIENT_LINE_BYTES);
    return to + client->line_count;
}
_Static_assert((int)LINE_FIXED_BYTES >= (int)CLIENT_LINE_BYTES, "a remembered line is copied whole");

static ALWAYS_INLINE void line_remember(struct client *client, const struct client_subscription *subscription,
                                        const struct message *message, struct bytes line)
{
    if (message->line_serial == 0 || line.count > CLIENT_LINE_BYTES)
        return;
    memcpy(client->line, line.data, line.count);
    client->line_count = (uint8_t)line.count;
    client->line_serial = message->line_serial;
    client->line_subscription = subscription;
}

/* Writes line and body; false when memory is out. */
static ALWAYS_INLINE bool write_message(struct client *client, const struct client_subscription *subscription,
                                        const struct message *message, bool with_headers)
{
    struct output_pool *pool = &client->context->pool;
    uint32_t skipped = with_headers ? 0 : message->header_bytes;
    struct bytes body = bytes_of(message->body + skipped, message->total_bytes - skipped);
    size_t line_most =
        LINE_FIXED_BYTES + message->subject.count + subscription->sid_count + message->reply.count;
    bool shared = message->block != NULL && body.count >= OUTPUT_SHARE_BYTES_LEAST;
    uint8_t *start = output_reserve(&client->output, pool, line_most + (shared ? 0 : body.count + 2));
    if (UNLIKELY(start == NULL))
        return false;
    uint8_t *to = line_again(client, subscription, message, start);
    if (UNLIKELY(to == NULL)) {
        to = write_line(start, subscription, message, with_headers);
        line_remember(client, subscription, message, bytes_of(start, (size_t)(to - start)));
    }
    if (LIKELY(!shared)) {
        to = copy_short(to, body);
        memcpy(to, "\r\n", 2);
        output_commit(&client->output, (size_t)(to + 2 - start));
        client->context->written_bytes += (size_t)(to + 2 - start);
        return true;
    }
    output_commit(&client->output, (size_t)(to - start));
    client->context->written_bytes += body.count;
    return output_share(&client->output, pool, message->block, body) == ERR_OK &&
           output_append(&client->output, pool, TEXT("\r\n")) == ERR_OK;
}

/* Counts what was written, `skipped` bytes of each left out, and looks whether the receiver can still follow.
 * For server and account a message counts whole, whatever the client could take of it
 * (spec/monitoring.md 7.1). */
static ALWAYS_INLINE void delivered(struct client *client, struct client_subscription *subscription,
                                    const struct message *message, uint32_t count, uint32_t skipped)
{
    struct host_traffic *traffic = &client->account->traffic;
    uint64_t bytes = (uint64_t)count * message->total_bytes;
    subscription->delivered += count;
    client->out_messages += count;
    client->out_bytes += bytes - skipped;
    client->last_delivery_ns = client->context->now_ns;
    traffic->out_messages += count;
    traffic->out_bytes += bytes;
    client_output_note(client);
    if (UNLIKELY(client->access != NULL && message->reply.count > 0))
        client_access_delivered(client, message);
    if (UNLIKELY(subscription_max(subscription) != 0 ||
                 client->output.pending_bytes >
                     (uint64_t)client->context->options->max_pending_bytes / 4 * 3))
        after_delivery(client, subscription, message);
}

bool client_deliver(struct client_subscription *subscription, const struct message *message)
{
    struct client *client = subscription->client;
    if (UNLIKELY(!client_takes(subscription, message)))
        return false;
    bool with_headers = message->header_bytes > 0 && client->headers;
    if (UNLIKELY(client->context->options->trace))
        client_trace_delivery(client, subscription, message, with_headers);
    if (UNLIKELY(!write_message(client, subscription, message, with_headers))) {
        client_close(client, CLOSED_WRITE_ERROR, NULL);
        return false;
    }
    delivered(client, subscription, message, 1, with_headers ? 0 : message->header_bytes);
    return true;
}

/* ---- runs ---- */

/* The control line that all messages of the run get, from what the client remembers or into `line`. */
static ALWAYS_INLINE struct bytes run_line(struct client *client,
                                           const struct client_subscription *subscription,
                                           const struct message *run, uint8_t line[RUN_LINE_BYTES_MOST])
{
    if (LIKELY(run->line_serial != 0 && client->line_serial == run->line_serial &&
               client->line_subscription == subscription))
        return bytes_of(client->line, client->line_count);
    struct bytes written = bytes_of(line, (size_t)(write_line(line, subscription, run, false) - line));
    line_remember(client, subscription, run, written);
    return written;
}

/* One frame after the other: line, body with its CR LF. What differs from copying one message is that all
 * lengths are the same for the whole loop, so every branch in it goes the same way each time. */
static void write_frames(uint8_t *to, struct bytes line, const struct message *run, const uint8_t *body,
                         uint32_t count)
{
    size_t body_bytes = (size_t)run->total_bytes + 2;
    for (uint32_t i = 0; i < count; i++) {
        to = copy_short(to, line);
        to = copy_short(to, bytes_of(body, body_bytes));
        body += run->run_stride;
    }
}

/* Notes a piece for the receivers that come behind. False: it finds no place. */
static bool piece_note(struct run_written *written, struct block *block, struct bytes piece)
{
    if (written->piece_count == RUN_PIECES_MAX)
        return false;
    written->pieces[written->piece_count].block = block_hold(block);
    written->pieces[written->piece_count++].bytes = piece;
    return true;
}

void run_written_release(struct run_written *written, struct output_pool *pool)
{
    while (written->piece_count > 0)
        block_release(&pool->blocks, written->pieces[--written->piece_count].block);
}

/* Fills block after block; how many frames were written: fewer than the run has when memory is out. */
static uint32_t write_run(struct client *client, struct bytes line, const struct message *run,
                          struct run_written *written)
{
    struct output_pool *pool = &client->context->pool;
    size_t frame_bytes = line.count + run->total_bytes + 2;
    uint32_t count = message_count(run);
    uint32_t done = 0;
    bool notes = written != NULL && written->piece_count == 0;
    bool all_noted = notes;
    while (done < count) {
        uint8_t *to = output_reserve(&client->output, pool, frame_bytes);
        if (UNLIKELY(to == NULL))
            break;
        uint32_t fit = (uint32_t)(client->output.last->room / frame_bytes);
        if (fit > count - done)
            fit = count - done;
        write_frames(to, line, run, run->body + (size_t)done * run->run_stride, fit);
        all_noted =
            all_noted && piece_note(written, client->output.last->block, bytes_of(to, fit * frame_bytes));
        output_commit(&client->output, fit * frame_bytes);
        done += fit;
    }
    if (all_noted && done == count) {
        written->line_count = (uint32_t)line.count;
        memcpy(written->line, line.data, line.count);
    } else if (notes) {
        run_written_release(written, pool); /* who needs all of it gets nothing of it */
    }
    return done;
}

/* Whether another receiver was sent these very bytes. */
static ALWAYS_INLINE bool written_before(const struct run_written *written, struct bytes line)
{
    return written != NULL && written->piece_count > 0 &&
           bytes_equal(bytes_of(written->line, written->line_count), line);
}

/* The bytes that another receiver was sent: referred to where that costs less than a copy. False: memory is
 * out. */
static bool write_again(struct client *client, const struct run_written *written)
{
    struct output_pool *pool = &client->context->pool;
    for (uint32_t i = 0; i < written->piece_count; i++) {
        struct bytes piece = written->pieces[i].bytes;
        enum err err = piece.count >= OUTPUT_SHARE_BYTES_LEAST
                           ? output_share(&client->output, pool, written->pieces[i].block, piece)
                           : output_append(&client->output, pool, piece);
        if (UNLIKELY(err != ERR_OK))
            return false;
    }
    return true;
}

/* What needs a look at each message: a limit on their number, a trace, a line too long to be written once. */
static NEVER_INLINE bool deliver_one_by_one(struct client_subscription *subscription,
                                            const struct message *run)
{
    struct message rest = *run;
    bool taken = false;
    for (uint32_t left = message_count(run); left > 0; left--) {
        struct message single = message_first(&rest, 1);
        taken |= client_deliver(subscription, &single);
        if (left > 1)
            message_advance(&rest, 1);
    }
    return taken;
}

bool client_deliver_run(struct client_subscription *subscription, const struct message *run,
                        struct run_written *written)
{
    struct client *client = subscription->client;
    uint8_t space[RUN_LINE_BYTES_MOST];
    ASSERT_HOT(run->header_bytes == 0);
    if (UNLIKELY(!client_takes(subscription, run)))
        return false;
    size_t line_most = LINE_FIXED_BYTES + run->subject.count + subscription->sid_count + run->reply.count;
    if (UNLIKELY(run->run_more == 0 || subscription_max(subscription) != 0 ||
                 client->context->options->trace || line_most > RUN_LINE_BYTES_MOST))
        return deliver_one_by_one(subscription, run);
    struct bytes line = run_line(client, subscription, run, space);
    uint32_t count = message_count(run);
    uint32_t done = count;
    if (!written_before(written, line))
        done = write_run(client, line, run, written);
    else if (UNLIKELY(!write_again(client, written)))
        done = 0; /* a part of it may be there: it goes with the connection */
    client->context->written_bytes += (uint64_t)done * (line.count + run->total_bytes + 2);
    if (LIKELY(done > 0))
        delivered(client, subscription, run, done, 0);
    if (UNLIKELY(done < count))
        client_close(client, CLOSED_WRITE_ERROR, NULL);
    return done > 0;
}
