/* net/client_publish.c - PUB and HPUB in, MSG and HMSG out: the session's part of the hot path.
 * In the flow:  parser_next() -> client_publish() -> host->publish() -> router .. client_deliver() -> output
 * Hot: nothing here allocates (but output blocks from the pool), locks or makes a system call. */
#include "core/base/clock.h"
#include "core/base/copy.h"
#include "core/subject/subject.h"
#include "net/client_internal.h"
#include "net/error_text.h"

#include <stdio.h>

#define STALL_NS (2 * NS_PER_MS)
#define STALL_LONG_NS (5 * NS_PER_MS)

enum {
    LINE_FIXED_BYTES =
        64, /* "HMSG ", blanks, two sizes of at most ten digits, CR LF, and slack for copy_short() */
};

/* ---- publishing ---- */

static bool starts_with_more(struct bytes subject, struct bytes prefix)
{
    return subject.count > prefix.count && bytes_start_with(subject, prefix);
}

/* client-protocol 6.6: replies that only servers may use. */
static ALWAYS_INLINE bool reply_reserved(struct bytes reply)
{
    if (LIKELY(reply.count == 0 || (reply.data[0] != '_' && reply.data[0] != '$')))
        return false;
    return bytes_start_with(reply, TEXT("_R_.")) || starts_with_more(reply, TEXT("_GR_.")) ||
           starts_with_more(reply, TEXT("$JS.ACK."));
}

static ALWAYS_INLINE bool subject_reserved(struct bytes subject)
{
    if (LIKELY(subject.data[0] != '_' && subject.data[0] != '$'))
        return false;
    return starts_with_more(subject, TEXT("_GR_.")) || starts_with_more(subject, TEXT("$NRG."));
}

/* The checks of client-protocol 8, steps 6 to 9. False: refused and answered. */
static ALWAYS_INLINE bool allowed(struct client *client, const struct message *message)
{
    if (UNLIKELY(subject_reserved(message->subject))) {
        client_error_quoted(client, "Permissions Violation for Publish to ", message->subject, "");
        return false;
    }
    if (UNLIKELY(reply_reserved(message->reply))) {
        client_error_quoted(client, "Permissions Violation for Publish with Reply of ", message->reply, "");
        return false;
    }
    return true;
}

/* The 503 to a requester that nobody heard (client-protocol 10). A session that its own +OK closed as a slow
 * consumer says nothing more: the host may have let go of its output already. */
static void no_responders(struct client *client, const struct message *message)
{
    if (client->state == CLIENT_CLOSED)
        return;
    struct client_subscription *inbox = client->context->host->own_subscription(client, message->reply);
    if (inbox == NULL)
        return;
    static const char start[] = "NATS/1.0 503\r\nNats-Subject: ";
    size_t header_bytes = sizeof start - 1 + message->subject.count + 4;
    struct bytes sid = subscription_sid(inbox);
    size_t most = LINE_FIXED_BYTES + message->reply.count + sid.count + header_bytes;
    char *line = (char *)output_reserve(&client->output, &client->context->pool, most);
    if (line == NULL) {
        client_close(client, CLOSED_WRITE_ERROR, NULL);
        return;
    }
    int count =
        snprintf(line, most, "HMSG %.*s %.*s %zu %zu\r\n%s%.*s\r\n\r\n\r\n", BYTES_PRINTF(message->reply),
                 BYTES_PRINTF(sid), header_bytes, header_bytes, start, BYTES_PRINTF(message->subject));
    output_commit(&client->output, (size_t)count);
    client_output_note(client);
}

/* What a careful client sees before its message goes out: +OK stands before the deliveries, so it is written
 * first, and so room has to be asked for first. False: the host is full. */
static NEVER_INLINE bool announce(struct client *client, const struct message *message)
{
    if (client->context->host->publish_room(client, message) == HOST_FULL)
        return false;
    if (client->pedantic && !subject_valid_literal(message->subject))
        client_error(client, error_text(ERROR_INVALID_PUBLISH_SUBJECT));
    client_ok(client);
    return true;
}

enum handled client_publish(struct client *client, struct operation *operation)
{
    struct message *message = &operation->message;
    enum host_result result = HOST_DONE;
    message->publisher = client;
    if (LIKELY(allowed(client, message))) {
        if (UNLIKELY(client->verbose || client->pedantic) && !announce(client, message))
            return HANDLED_LATER;
        result = client->context->host->publish(client, message);
    }
    if (UNLIKELY(result == HOST_FULL))
        return HANDLED_LATER;
    client->in_messages++;
    client->in_bytes += message->total_bytes;
    if (LIKELY(result == HOST_DONE))
        return HANDLED;
    if (result == HOST_MEMORY)
        client_close(client, CLOSED_READ_ERROR, NULL);
    else if (client->no_responders && message->reply.count > 0)
        no_responders(client, message);
    return HANDLED;
}

/* ---- delivering ---- */

static ALWAYS_INLINE uint8_t *write_number(uint8_t *to, uint32_t value)
{
    uint8_t digits[10];
    unsigned count = 0;
    do {
        digits[count++] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

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
            to = write_number(to, message->total_bytes - message->header_bytes);
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
    subscription->delivered++;
    client->out_messages++;
    client->out_bytes += message->total_bytes;
    client_output_note(client);
    if (UNLIKELY(subscription_max(subscription) != 0 ||
                 client->output.pending_bytes >
                     (uint64_t)client->context->options->max_pending_bytes / 4 * 3))
        after_delivery(client, subscription, message);
    return true;
}
