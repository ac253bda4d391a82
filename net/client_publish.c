/* net/client_publish.c - PUB and HPUB in: the session's part of the hot path before the router.
 * In the flow:  parser_next() -> client_publish() -> host->publish() -> router .. client_deliver()
 * Hot: nothing here allocates, locks or makes a system call. */
#include "core/base/memory.h"
#include "core/subject/subject.h"
#include "net/client_access.h"
#include "net/client_internal.h"
#include "net/error_text.h"

#include <stdio.h>

enum { RESPONSE_FIXED_BYTES = 64 }; /* "HMSG ", blanks, two sizes of at most ten digits, CR LF */

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

/* The checks of client-protocol 8, steps 6 to 9, and the user's permissions. False: refused and answered. */
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
    return client_may_publish(client, message);
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
    size_t most = RESPONSE_FIXED_BYTES + message->reply.count + sid.count + header_bytes;
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

/* What is not to be published but one by one: each has a +OK of its own, before it goes out; and responses
 * are counted. */
static NEVER_INLINE enum host_result publish_alone(struct client *client, const struct message *run,
                                                   uint32_t *done)
{
    struct message single = message_first(run, 1);
    enum host_result result = HOST_FULL;
    if (announce(client, &single))
        result = client->context->host->publish(client, &single, done);
    client_access_response_done(client, &single, result != HOST_FULL);
    return result;
}

static ALWAYS_INLINE bool published_alone(const struct client *client)
{
    return client->verbose || client->pedantic || (client->access != NULL && client->access->by_response);
}

/* Publishes the first messages of a run, as many as the host takes at once: *done. */
static ALWAYS_INLINE enum host_result publish_some(struct client *client, const struct message *run,
                                                   uint32_t *done)
{
    *done = 1;
    if (UNLIKELY(!allowed(client, run)))
        return HOST_DONE;
    if (UNLIKELY(published_alone(client)))
        return publish_alone(client, run, done);
    return client->context->host->publish(client, run, done);
}

/* Counts what was published, and tells a requester that nobody heard it. */
static ALWAYS_INLINE void published(struct client *client, const struct message *run, enum host_result result,
                                    uint32_t done)
{
    struct host_traffic *traffic = &client->account->traffic;
    uint64_t bytes = (uint64_t)done * run->total_bytes;
    client->in_messages += done;
    client->in_bytes += bytes;
    traffic->in_messages += done;
    traffic->in_bytes += bytes;
    if (UNLIKELY(result == HOST_MEMORY))
        client_close(client, CLOSED_READ_ERROR, NULL);
    if (result == HOST_NOBODY && client->no_responders && run->reply.count > 0) {
        for (uint32_t i = 0; i < done; i++)
            no_responders(client, run);
    }
}

static ALWAYS_INLINE enum handled publish_run(struct client *client, struct operation *operation)
{
    struct message *run = &operation->message;
    for (;;) {
        uint32_t done = 0;
        enum host_result result = publish_some(client, run, &done);
        if (UNLIKELY(result == HOST_FULL))
            return HANDLED_LATER;
        published(client, run, result, done);
        if (LIKELY(done > run->run_more) || client->state == CLIENT_CLOSED)
            return HANDLED;
        operation->handled_bytes += (size_t)done * run->run_stride;
        message_advance(run, done);
    }
}

/* ---- mappings ---- */

/* Puts what a mapping makes of its subject into a message. */
static enum mapping_result map(struct client *client, const struct mapping *mapping, struct message *message)
{
    struct session_context *context = client->context;
    size_t count = 0;
    enum mapping_result result =
        mapping_apply(mapping, message->subject, context->info->cluster, &context->random,
                      context->mapped_subject, TRANSFORM_SUBJECT_BYTES_MAX, &count);
    if (result == MAPPING_TO)
        message->subject = bytes_of(context->mapped_subject, count);
    else if (result == MAPPING_LOST)
        message->subject = bytes_of(context->mapped_subject, 0);
    return result;
}

/* A draw for each message: nothing that was made of one control line serves the next. */
static enum handled publish_drawn(struct client *client, struct operation *operation,
                                  const struct mapping *mapping)
{
    struct message *run = &operation->message;
    for (;;) {
        struct message single = message_first(run, 1);
        uint32_t done = 1;
        single.line_serial = 0;
        enum host_result result = HOST_NOBODY;
        if (map(client, mapping, &single) != MAPPING_LOST)
            result = publish_some(client, &single, &done);
        else
            client_ok(client);
        if (result == HOST_FULL)
            return HANDLED_LATER;
        published(client, &single, result, 1);
        if (run->run_more == 0 || client->state == CLIENT_CLOSED)
            return HANDLED;
        operation->handled_bytes += run->run_stride;
        message_advance(run, 1);
    }
}

/* In an account with mappings: they come before permissions and interest (client-protocol 8, step 4). */
static NEVER_INLINE enum handled publish_mapped(struct client *client, struct operation *operation)
{
    struct session_context *context = client->context;
    struct message *run = &operation->message;
    const struct security_account *account = client->account->configured;
    const struct mapping *mapping = account == NULL ? NULL : mappings_find(&account->mappings, run->subject);
    if (mapping == NULL)
        return publish_run(client, operation);
    if (context->mapped_subject == NULL)
        context->mapped_subject = memory_new(TRANSFORM_SUBJECT_BYTES_MAX);
    if (context->mapped_subject == NULL) {
        client_close(client, CLOSED_READ_ERROR, NULL);
        return HANDLED;
    }
    if (!mapping->steady)
        return publish_drawn(client, operation, mapping);
    struct bytes subject = run->subject; /* the parser goes on with this message while the line is the same */
    enum handled handled = HANDLED;
    if (map(client, mapping, run) == MAPPING_LOST) /* longer than a subject can be: nobody can want it */
        published(client, run, HOST_NOBODY, message_count(run));
    else
        handled = publish_run(client, operation);
    run->subject = subject;
    return handled;
}

enum handled client_publish(struct client *client, struct operation *operation)
{
    if (UNLIKELY(client->mapped))
        return publish_mapped(client, operation);
    return publish_run(client, operation);
}
