/* net/client_trace.c - protocol tracing: one log line per operation, in the shape of
 * spec/configuration.md 7.6. */
#include "core/base/memory.h"
#include "net/client_internal.h"
#include "net/payload_trace.h"

static const char *const operation_names[] = {
    [OPERATION_PUB] = "PUB",     [OPERATION_HPUB] = "HPUB", [OPERATION_SUB] = "SUB",
    [OPERATION_UNSUB] = "UNSUB", [OPERATION_PING] = "PING", [OPERATION_PONG] = "PONG",
    [OPERATION_OK] = "OK",       [OPERATION_ERR] = "-ERR",  [OPERATION_CONNECT] = "CONNECT",
    [OPERATION_INFO] = "INFO",
};

static void trace_line(const struct client *client, const char *direction, const char *operation,
                       struct bytes arguments)
{
    char prefix[CLIENT_PREFIX_BYTES];
    log_line(client->context->log, LOG_TRACE, "%s - %s [%s%s%.*s]",
             client_prefix(client, prefix, sizeof prefix), direction, operation,
             arguments.count > 0 ? " " : "", BYTES_PRINTF(arguments));
}

/* What a callout service is asked holds passwords, and what it answers tokens; also where another server of
 * the cluster asks, and where an import has put a prefix before the subject. */
static bool holds_secrets(struct bytes subject)
{
    struct bytes asks = TEXT(CALLOUT_SUBJECT), answers = TEXT(CALLOUT_INBOX);
    return (subject.count >= asks.count &&
            memcmp(subject.data + subject.count - asks.count, asks.data, asks.count) == 0) ||
           bytes_start_with(subject, answers);
}

static void trace_payload(const struct client *client, const char *direction, struct bytes subject,
                          struct bytes body, uint32_t header_bytes)
{
    char prefix[CLIENT_PREFIX_BYTES];
    const struct net_options *options = client->context->options;
    if (holds_secrets(subject))
        body = TEXT("[REDACTED]");
    else if (options->trace_headers)
        body = payload_trace_headers(body, header_bytes);
    payload_trace(client->context->log, client_prefix(client, prefix, sizeof prefix), direction, body,
                  options->max_traced_message_bytes);
}

void client_trace_in(const struct client *client, const struct operation *operation)
{
    struct bytes arguments = operation->arguments;
    bool bare = operation->kind == OPERATION_PING || operation->kind == OPERATION_PONG ||
                operation->kind == OPERATION_OK;
    if (bare)
        arguments.count = 0;
    if (operation->kind == OPERATION_CONNECT) {
        size_t redacted_bytes = arguments.count * 2 + 64;
        char *redacted = memory_new(redacted_bytes);
        if (redacted == NULL)
            return; /* never the secrets themselves */
        size_t count = connect_redacted(redacted, redacted_bytes, arguments);
        trace_line(client, "<<-", "CONNECT", bytes_of(redacted, count));
        memory_free(redacted);
        return;
    }
    trace_line(client, "<<-", operation_names[operation->kind], arguments);
    if (operation->kind == OPERATION_PUB || operation->kind == OPERATION_HPUB)
        trace_payload(client, "<<-", operation->message.subject,
                      bytes_of(operation->message.body, operation->message.total_bytes),
                      operation->message.header_bytes);
}

void client_trace_out(const struct client *client, const char *operation, struct bytes arguments)
{
    trace_line(client, "->>", operation, arguments);
}

void client_trace_removed(const struct client *client, struct bytes sid)
{
    trace_line(client, "<->", "DELSUB", sid);
}

void client_trace_delivery(const struct client *client, const struct client_subscription *subscription,
                           const struct message *message, bool with_headers)
{
    char prefix[CLIENT_PREFIX_BYTES];
    struct bytes sid = subscription_sid(subscription);
    uint32_t skipped = with_headers ? 0 : message->header_bytes;
    const char *blank = message->reply.count > 0 ? " " : "";
    client_prefix(client, prefix, sizeof prefix);
    if (with_headers)
        log_line(client->context->log, LOG_TRACE, "%s - ->> [HMSG %.*s %.*s %.*s%s%.*s %.*s]", prefix,
                 BYTES_PRINTF(message->subject), BYTES_PRINTF(sid), BYTES_PRINTF(message->reply), blank,
                 BYTES_PRINTF(message->header_size_text), BYTES_PRINTF(message->total_size_text));
    else
        log_line(client->context->log, LOG_TRACE, "%s - ->> [MSG %.*s %.*s %.*s%s%u]", prefix,
                 BYTES_PRINTF(message->subject), BYTES_PRINTF(sid), BYTES_PRINTF(message->reply), blank,
                 message->total_bytes - skipped);
    trace_payload(client, "->>", message->subject,
                  bytes_of(message->body + skipped, message->total_bytes - skipped),
                  with_headers ? message->header_bytes : 0);
}
