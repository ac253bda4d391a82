/* net/route_deliver.c - what goes out on a route: RMSG and HMSG, RS+ and RS-.
 * In the flow:  remotes_deliver() -> route_deliver() -> output
 * Hot: nothing here allocates (but output blocks from the pool), locks or makes a system call. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/copy.h"
#include "net/route.h"

#include <string.h>

enum {
    LINE_FIXED_BYTES =
        96, /* the name, blanks, `+`, two sizes of at most ten digits, CR LF, slack for copy_short() */
    RUN_LINE_BYTES_MOST = 512, /* a run with a longer control line is written one by one */
};
#define STALL_NS (2 * NS_PER_MS)
#define STALL_LONG_NS (5 * NS_PER_MS)

static void output_note(struct route *route)
{
    if (!route->output_noted) {
        route->output_noted = true;
        route->host->output_ready(route);
    }
}

void route_write(struct route *route, struct bytes lines)
{
    if (route->state == ROUTE_CLOSED || lines.count == 0)
        return;
    if (output_append(&route->output, &route->context->pool, lines) != ERR_OK) {
        route_close(route, CLOSED_WRITE_ERROR, NULL);
        return;
    }
    output_note(route);
}

/* The account of a line; none where the route is for one account. */
static struct bytes account_shown(const struct route *route, struct bytes account)
{
    return route->dedicated ? (struct bytes){NULL, 0} : account;
}

static ALWAYS_INLINE uint8_t *put_word(uint8_t *to, struct bytes word)
{
    to = copy_short(to, word);
    *to++ = ' ';
    return to;
}

void route_tell_interest(struct route *route, struct bytes account, struct bytes subject, struct bytes queue,
                         uint32_t weight)
{
    if (route->state != ROUTE_REGISTERED)
        return;
    size_t most = LINE_FIXED_BYTES + account.count + subject.count + queue.count;
    uint8_t *start = output_reserve(&route->output, &route->context->pool, most);
    if (start == NULL) { /* a peer that misses a line would miss messages for as long as it is there */
        route_close(route, CLOSED_WRITE_ERROR, NULL);
        return;
    }
    memcpy(start, weight > 0 ? "RS+ " : "RS- ", 4);
    account = account_shown(route, account);
    uint8_t *to = account.count > 0 ? put_word(start + 4, account) : start + 4;
    to = copy_short(to, subject);
    if (queue.count > 0) {
        *to++ = ' ';
        to = copy_short(to, queue);
        if (weight > 0) {
            *to++ = ' ';
            to = copy_number(to, weight);
        }
    }
    memcpy(to, "\r\n", 2);
    output_commit(&route->output, (size_t)(to + 2 - start));
    output_note(route);
}

/* The control line, up to and with its CR LF (routes.md 9.3). */
static ALWAYS_INLINE uint8_t *put_line(uint8_t *to, struct bytes account, const struct message *message,
                                       struct bytes queues, bool with_headers)
{
    *to = with_headers ? 'H' : 'R';
    memcpy(to + 1, "MSG ", 4);
    to = account.count > 0 ? put_word(to + 5, account) : to + 5;
    to = put_word(to, message->subject);
    if (UNLIKELY(queues.count > 0)) {
        *to++ = message->reply.count > 0 ? '+' : '|';
        *to++ = ' ';
    }
    if (message->reply.count > 0)
        to = put_word(to, message->reply);
    if (UNLIKELY(queues.count > 0))
        to = put_word(to, queues);
    if (UNLIKELY(message->header_bytes > 0)) {
        if (with_headers)
            to = put_word(to, message->header_size_text);
        to = with_headers ? copy_short(to, message->total_size_text)
                          : copy_number(to, message->total_bytes - message->header_bytes);
    } else {
        to = copy_short(to, message->total_size_text);
    }
    memcpy(to, "\r\n", 2);
    return to + 2;
}

/* Line and body; false when memory is out. */
static bool write_message(struct route *route, struct bytes account, const struct message *message,
                          struct bytes queues)
{
    struct output_pool *pool = &route->context->pool;
    bool with_headers = message->header_bytes > 0 && route->headers;
    uint32_t skipped = with_headers ? 0 : message->header_bytes;
    struct bytes body = bytes_of(message->body + skipped, message->total_bytes - skipped);
    bool shared = message->block != NULL && body.count >= OUTPUT_SHARE_BYTES_LEAST;
    size_t most =
        LINE_FIXED_BYTES + account.count + message->subject.count + message->reply.count + queues.count;
    uint8_t *start = output_reserve(&route->output, pool, most + (shared ? 0 : body.count + 2));
    if (UNLIKELY(start == NULL))
        return false;
    uint8_t *to = put_line(start, account, message, queues, with_headers);
    if (LIKELY(!shared)) {
        to = copy_short(to, body);
        memcpy(to, "\r\n", 2);
        output_commit(&route->output, (size_t)(to + 2 - start));
        route->context->written_bytes += (size_t)(to + 2 - start);
        return true;
    }
    output_commit(&route->output, (size_t)(to - start));
    route->context->written_bytes += body.count;
    return output_share(&route->output, pool, message->block, body) == ERR_OK &&
           output_append(&route->output, pool, TEXT("\r\n")) == ERR_OK;
}

/* Frame after frame with one line; how many were written. */
static uint32_t write_run(struct route *route, struct bytes line, const struct message *run)
{
    size_t body_bytes = (size_t)run->total_bytes + 2;
    size_t frame_bytes = line.count + body_bytes;
    uint32_t count = message_count(run), done = 0;
    const uint8_t *body = run->body;
    while (done < count) {
        uint8_t *to = output_reserve(&route->output, &route->context->pool, frame_bytes);
        if (UNLIKELY(to == NULL))
            break;
        uint32_t fit = (uint32_t)(route->output.last->room / frame_bytes);
        fit = fit < count - done ? fit : count - done;
        for (uint32_t i = 0; i < fit; i++) {
            to = copy_short(to, line);
            to = copy_short(to, bytes_of(body, body_bytes));
            body += run->run_stride;
        }
        output_commit(&route->output, fit * frame_bytes);
        done += fit;
    }
    route->context->written_bytes += done * frame_bytes;
    return done;
}

static bool deliver_one_by_one(struct route *route, struct bytes account, const struct message *run,
                               struct bytes queues)
{
    struct message rest = *run;
    for (uint32_t left = message_count(run); left > 0; left--) {
        struct message single = message_first(&rest, 1);
        if (!write_message(route, account, &single, queues))
            return false;
        if (left > 1)
            message_advance(&rest, 1);
    }
    return true;
}

/* routes.md 16: whoever publishes to a route with much unsent is to be read from less. */
static NEVER_INLINE void stall_publisher(struct route *route, const struct message *message)
{
    const struct net_options *options = route->context->options;
    const struct publisher_place *place = &message->place;
    if (place->cid == 0 || options->no_fast_producer_stall ||
        (route->stalled_turn == route->context->turn && route->stalled_cid == place->cid))
        return;
    route->stalled_turn = route->context->turn;
    route->stalled_cid = place->cid;
    bool full = route->output.pending_bytes >= (uint64_t)options->max_pending_bytes;
    route->host->stall(route, place, full ? STALL_LONG_NS : STALL_NS);
}

bool route_deliver(struct route *route, struct bytes account, const struct message *run, struct bytes queues)
{
    uint8_t line[RUN_LINE_BYTES_MOST];
    if (UNLIKELY(route->state != ROUTE_REGISTERED))
        return false;
    account = account_shown(route, account);
    size_t most = LINE_FIXED_BYTES + account.count + run->subject.count + run->reply.count;
    bool good;
    if (run->run_more > 0 && run->header_bytes == 0 && queues.count == 0 && most <= sizeof line) {
        uint8_t *end = put_line(line, account, run, queues, false);
        good = write_run(route, bytes_of(line, (size_t)(end - line)), run) == message_count(run);
    } else {
        good = deliver_one_by_one(route, account, run, queues);
    }
    if (UNLIKELY(!good)) {
        route_close(route, CLOSED_WRITE_ERROR, NULL);
        return false;
    }
    route->out_messages += message_count(run);
    route->out_bytes += (uint64_t)message_count(run) * run->total_bytes;
    output_note(route);
    if (UNLIKELY(route->output.pending_bytes > (uint64_t)route->context->options->max_pending_bytes / 4 * 3))
        stall_publisher(route, run);
    return true;
}
