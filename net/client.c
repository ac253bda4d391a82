/* net/client.c - the client session's life: greeting, taking bytes, pings, closing.
 * CONNECT is in client_connect.c, PUB in client_publish.c, delivery in client_deliver.c, SUB and UNSUB in
 * client_subscribe.c.
 */
#include "net/client.h"

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/quote.h"
#include "core/config/duration.h"
#include "core/security/authenticate.h"
#include "core/security/user_claims.h"
#include "net/client_access.h"
#include "net/client_internal.h"
#include "net/error_text.h"

#include <stdio.h>

enum {
    ERROR_BYTES_MAX = 20 * 1024, /* a quoted subject is at most four times a control line */
    FIRST_PING_SPREAD_PERCENT = 20,
    KIND_PONG = 1 << OPERATION_PONG,
    KINDS_ACTIVE = 1 << OPERATION_PUB | 1 << OPERATION_HPUB | 1 << OPERATION_SUB | 1 << OPERATION_UNSUB,
};
#define FIRST_PING_NS (2 * NS_PER_SECOND)
#define RTT_REFRESH_NS (3600 * NS_PER_SECOND)

#define TO(state) (1U << (state))
static const uint8_t client_moves[CLIENT_STATES] = {
    [CLIENT_GREETED] =
        TO(CLIENT_AUTHENTICATING) | TO(CLIENT_DELEGATED) | TO(CLIENT_ACTIVE) | TO(CLIENT_CLOSED),
    [CLIENT_AUTHENTICATING] = TO(CLIENT_DELEGATED) | TO(CLIENT_ACTIVE) | TO(CLIENT_CLOSED),
    [CLIENT_DELEGATED] = TO(CLIENT_AUTHENTICATING) | TO(CLIENT_ACTIVE) | TO(CLIENT_CLOSED),
    [CLIENT_ACTIVE] =
        TO(CLIENT_AUTHENTICATING) | TO(CLIENT_DELEGATED) | TO(CLIENT_ACTIVE) | TO(CLIENT_CLOSED),
};

void client_move(struct client *client, enum client_state next)
{
    ASSERT(client_moves[client->state] & TO(next));
    client->state = (uint8_t)next;
    client->parser.connect_expected = next == CLIENT_GREETED;
}

/* ---- writing ---- */

static bool too_slow(const struct client *client)
{
    return client->output.pending_bytes > (uint64_t)client->context->options->max_pending_bytes;
}

void client_write(struct client *client, struct bytes bytes)
{
    if (client->state == CLIENT_CLOSED)
        return;
    if (output_append(&client->output, &client->context->pool, bytes) != ERR_OK) {
        client_close(client, CLOSED_WRITE_ERROR, NULL);
        return;
    }
    client_output_note(client);
    if (UNLIKELY(too_slow(client)))
        client_close(client, CLOSED_SLOW_CONSUMER_PENDING_BYTES, NULL);
}

void client_ok(struct client *client)
{
    if (!client->verbose)
        return;
    if (UNLIKELY(client->context->options->trace))
        client_trace_out(client, "OK", (struct bytes){0});
    client_write(client, TEXT("+OK\r\n"));
}

void client_error(struct client *client, const char *error)
{
    char line[ERROR_BYTES_MAX];
    if (UNLIKELY(client->context->options->trace))
        client_trace_out(client, "-ERR", text(error));
    int count = snprintf(line, sizeof line, "-ERR '%s'\r\n", error);
    if (count > 0)
        client_write(client, bytes_of(line, (size_t)count < sizeof line ? (size_t)count : sizeof line - 1));
}

void client_error_quoted(struct client *client, const char *before, struct bytes subject, const char *after)
{
    char quoted[ERROR_BYTES_MAX - 256];
    char line[ERROR_BYTES_MAX];
    char prefix[CLIENT_PREFIX_BYTES];
    (void)quote(subject, quoted, sizeof quoted);
    snprintf(line, sizeof line, "%s%s%s", before, quoted, after);
    log_error(client->context->log, "%s - %s", client_prefix(client, prefix, sizeof prefix), line);
    client_error(client, line);
}

/* ---- greeting ---- */

static void describe(const struct client *client, struct info_client *info)
{
    *info = (struct info_client){
        .client_id = client->cid,
        .client_ip = client->address,
        .lame_duck = client->context->lame_duck,
    };
}

static void write_info(struct client *client, const struct info_client *info)
{
    char line[INFO_BYTES_MAX];
    size_t count = info_write(line, sizeof line, client->context->info, info);
    ASSERT(count > 0); /* all parts are bounded by the options */
    client_write(client, bytes_of(line, count));
}

void client_send_info(struct client *client)
{
    struct info_client info;
    if (client->state != CLIENT_ACTIVE || !client->pong_sent || client->connect.protocol < 1)
        return;
    describe(client, &info);
    write_info(client, &info);
}

void client_tell_lame_duck(struct client *client)
{
    struct info_client info;
    if (client->state != CLIENT_ACTIVE || !client->pong_sent || client->connect.protocol < 1)
        return;
    describe(client, &info);
    info.lame_duck = true;
    write_info(client, &info);
}

/* What the account adds to INFO. */
static void account_describe(const struct client *client, struct info_client *info)
{
    const struct security_account *account = client->account->configured;
    info->remote_account = account == NULL ? "$G" : (const char *)account->name.data;
    info->account_is_system = account != NULL && account == client->context->security->accounts.system;
    info->max_payload_bytes = client->parser.max_payload_bytes;
}

/* After the first PONG that follows CONNECT: the INFO that names the account (client-protocol 3.3). */
static void write_connect_info(struct client *client)
{
    struct info_client info;
    if (client->connect.protocol < 1)
        return;
    describe(client, &info);
    info.connect_info = true;
    account_describe(client, &info);
    write_info(client, &info);
}

enum err client_init(struct client *client, struct session_context *context, const struct client_peer *peer)
{
    client->context = context;
    client->cid = peer->cid;
    client->port = peer->port;
    snprintf(client->address, sizeof client->address, "%s", peer->address);
    client->start_ns = context->now_ns;
    client->last_activity_ns = client->last_heard_ns = context->now_ns;
    client->parser.pool = &context->pool.blocks;
    client->parser.lines = context->lines;
    client->sids.seed = context->hash_seed;
    if (!client_account_enter(client, NULL))
        return ERR_MEMORY;
    connect_init(&client->connect);
    client->verbose = client->pedantic = client->echo = true;
    client->state = CLIENT_GREETED;
    client->parser.connect_expected = true;
    if (authenticate_challenges(context->security)) {
        enum err err = nkey_nonce(client->nonce);
        if (err != ERR_OK)
            return err;
    }
    if (log_enabled(context->log, LOG_DEBUG)) {
        char prefix[CLIENT_PREFIX_BYTES];
        log_debug(context->log, "%s - Client connection created",
                  client_prefix(client, prefix, sizeof prefix));
    }
    if (peer->opening != CLIENT_OPENS_SILENTLY)
        client_greet(client);
    if (peer->opening == CLIENT_OPENS)
        client_begin(client);
    return ERR_OK;
}

void client_greet(struct client *client)
{
    struct info_client info;
    describe(client, &info);
    info.nonce = text(client->nonce);
    write_info(client, &info);
}

void client_begin(struct client *client)
{
    const struct session_context *context = client->context;
    if (client->state == CLIENT_CLOSED)
        return; /* the host has heard it */
    bool login = authenticate_required(context->security);
    if (!login)
        client_move(client, CLIENT_ACTIVE);
    else if (authenticate_unannounced(context->security))
        client->parser.connect_expected = false;
    client_timer_set(client, context->now_ns + (login ? context->security->timeout_ns
                                                      : context->options->ping_interval_ns));
}

/* ---- taking bytes ---- */

static void ping_answer(struct client *client)
{
    if (UNLIKELY(client->context->options->trace))
        client_trace_out(client, "PONG", (struct bytes){0});
    client_write(client, TEXT("PONG\r\n"));
    if (client->connect_received && !client->pong_sent) {
        client->pong_sent = true;
        write_connect_info(client);
    }
}

static void pong_take(struct client *client)
{
    client->pings_unanswered = 0;
    if (client->ping_sent_ns == 0)
        return;
    int64_t rtt_ns = client->context->now_ns - client->ping_sent_ns;
    client->rtt_ns = rtt_ns > 0 ? rtt_ns : 1;
    client->rtt_measured_ns = client->context->now_ns;
    client->ping_sent_ns = 0;
}

static ALWAYS_INLINE enum handled handle(struct client *client, struct operation *operation)
{
    if (UNLIKELY(client->state == CLIENT_GREETED && operation->kind != OPERATION_CONNECT))
        client_enter_unannounced(client);
    if (UNLIKELY(client->state == CLIENT_CLOSED))
        return HANDLED;
    ASSERT_HOT(!client_login_pending(client));
    if (UNLIKELY(client->context->options->trace))
        client_trace_in(client, operation);
    switch (operation->kind) {
    case OPERATION_PUB:
    case OPERATION_HPUB:
        return client_publish(client, operation);
    case OPERATION_SUB:
        return client_subscribe(client, operation);
    case OPERATION_UNSUB:
        return client_unsubscribe(client, operation);
    case OPERATION_PING:
        ping_answer(client);
        return HANDLED;
    case OPERATION_PONG:
        pong_take(client);
        return HANDLED;
    case OPERATION_CONNECT:
        return client_connect(client, operation->arguments);
    case OPERATION_INFO:
        if (!json_valid(operation->arguments))
            client_close(client, CLOSED_PROTOCOL_VIOLATION, NULL);
        return HANDLED;
    case OPERATION_OK:
        return HANDLED;
    case OPERATION_ERR:
        client_close(client, CLOSED_PARSE_ERROR, NULL);
        return HANDLED;
    }
    return HANDLED;
}

/* What each refusal of the parser means for the connection (client-protocol 14, 15). */
static void refuse(struct client *client, enum parser_result result)
{
    char prefix[CLIENT_PREFIX_BYTES];
    client_prefix(client, prefix, sizeof prefix);
    switch (result) {
    case PARSER_UNKNOWN_OPERATION:
        log_error(client->context->log, "%s - Client parser ERROR", prefix);
        client_close(client, CLOSED_PROTOCOL_VIOLATION, error_text(ERROR_UNKNOWN_PROTOCOL_OPERATION));
        return;
    case PARSER_NO_HEADERS:
        log_error(client->context->log, "%s - message headers not supported", prefix);
        client_close(client, CLOSED_PROTOCOL_VIOLATION, NULL);
        return;
    case PARSER_BAD_ARGUMENTS:
        log_error(client->context->log, "%s - Client parser ERROR: bad arguments", prefix);
        client_close(client, CLOSED_PROTOCOL_VIOLATION, NULL);
        return;
    case PARSER_CONTROL_LINE_EXCEEDED:
        log_error(client->context->log, "%s - maximum control line exceeded", prefix);
        client_close(client, CLOSED_MAXIMUM_CONTROL_LINE, error_text(ERROR_MAXIMUM_CONTROL_LINE));
        return;
    case PARSER_PAYLOAD_EXCEEDED:
        log_error(client->context->log, "%s - maximum payload exceeded", prefix);
        client_close(client, CLOSED_MAXIMUM_PAYLOAD, error_text(ERROR_MAXIMUM_PAYLOAD));
        return;
    case PARSER_CONNECT_EXPECTED:
        log_error(client->context->log, "%s - authentication error", prefix);
        client_close(client, CLOSED_AUTHENTICATION_FAILURE, error_text(ERROR_AUTHORIZATION_VIOLATION));
        return;
    case PARSER_MEMORY:
        client_close(client, CLOSED_READ_ERROR, NULL);
        return;
    case PARSER_OPERATION:
    case PARSER_MORE:
        break;
    }
    ASSERT(false);
}

/* What is the same for all that a client publishes. The parser fills in the rest. */
static void operation_begin(struct client *client, struct operation *operation)
{
    struct message *message = &operation->message;
    message->line_serial = 0;
    message->publisher = client;
    message->from_service = message->mapped_reply = message->measured_reply = false;
    message->way = MESSAGE_PUBLISHED;
    message->tried_shards = 0; /* read once the message has become a service's request or reply */
}

size_t client_receive(struct client *client, struct bytes bytes)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = bytes.data + bytes.count;
    uint32_t kinds = 0; /* of operations: a bit each */
    struct operation operation;
    operation_begin(client, &operation);
    client->parser.runs = !client->context->options->trace; /* each message has a line of its own there */
    while (LIKELY(client->state != CLIENT_CLOSED && !client->blocked)) {
        const uint8_t *start = at;
        enum parser_result result = parser_next(&client->parser, &at, end, &operation);
        if (result == PARSER_MORE)
            break;
        if (UNLIKELY(result != PARSER_OPERATION)) {
            refuse(client, result);
            break;
        }
        kinds |= UINT32_C(1) << operation.kind;
        operation.handled_bytes = 0;
        if (UNLIKELY(handle(client, &operation) == HANDLED_LATER)) {
            client->blocked = true;
            if (!parser_again(&client->parser))
                at = start + operation.handled_bytes;
        }
    }
    if (kinds & ~(uint32_t)KIND_PONG)
        client->last_heard_ns = client->context->now_ns;
    if (kinds & KINDS_ACTIVE)
        client->last_activity_ns = client->context->now_ns;
    return (size_t)(at - bytes.data);
}

void client_resume(struct client *client)
{
    /* After a reload a password is checked twice: the first answer is none, and nothing may be taken before
     * the second. */
    client->blocked = client_login_pending(client);
}

void client_input_ended(struct client *client, bool failed)
{
    client_close(client, failed ? CLOSED_READ_ERROR : CLOSED_CLIENT_CLOSED, NULL);
}

/* ---- time ---- */

void client_timer_set(struct client *client, int64_t due_ns)
{
    if (client->state == CLIENT_CLOSED)
        return;
    if (client->state == CLIENT_ACTIVE && client->claimed != NULL && client->claimed->until_ns < due_ns)
        due_ns = client->claimed->until_ns; /* ping_due() looks which of the two it was */
    if (timers_set(&client->context->timers, &client->timer, due_ns) != ERR_OK)
        client_close(client, CLOSED_READ_ERROR, NULL);
}

void client_pings_start(struct client *client)
{
    struct session_context *context = client->context;
    int64_t base_ns = context->options->ping_interval_ns;
    if (base_ns > FIRST_PING_NS)
        base_ns = FIRST_PING_NS;
    uint64_t spread_ns = (uint64_t)(base_ns * FIRST_PING_SPREAD_PERCENT / 100);
    uint64_t extra_ns = spread_ns == 0 ? 0 : random_next(&context->random) % spread_ns;
    client_timer_set(client, context->now_ns + base_ns + (int64_t)extra_ns);
}

/* client-protocol 5.4: an active client whose round trip is known is not asked. */
static bool ping_needed(const struct client *client)
{
    int64_t now_ns = client->context->now_ns;
    if (client->rtt_ns == 0 || now_ns - client->rtt_measured_ns > RTT_REFRESH_NS)
        return true;
    return now_ns - client->last_heard_ns >= client->context->options->ping_interval_ns;
}

static void ping_send(struct client *client)
{
    client->ping_sent_ns = client->context->now_ns;
    if (UNLIKELY(client->context->options->trace))
        client_trace_out(client, "PING", (struct bytes){0});
    client_write(client, TEXT("PING\r\n"));
}

void client_rtt_ask(struct client *client)
{
    if (client->rtt_ns != 0 || client->ping_sent_ns != 0) /* known, or asked: so it is with most requests */
        return;
    if (client->state == CLIENT_ACTIVE && connect_text(&client->connect, CONNECT_LANG).count > 0)
        ping_send(client);
}

static void ping_due(struct client *client)
{
    struct session_context *context = client->context;
    if (client->claimed != NULL && context->now_ns >= client->claimed->until_ns) {
        client_close(client, CLOSED_AUTHENTICATION_EXPIRED, error_text(ERROR_USER_AUTHENTICATION_EXPIRED));
        return;
    }
    if (ping_needed(client)) {
        if (client->pings_unanswered + 1 > context->options->ping_max) {
            char prefix[CLIENT_PREFIX_BYTES];
            log_debug(context->log, "%s - Stale Client Connection - Closing",
                      client_prefix(client, prefix, sizeof prefix));
            context->stale_connections++;
            client_close(client, CLOSED_STALE_CONNECTION, error_text(ERROR_STALE_CONNECTION));
            return;
        }
        client->pings_unanswered++;
        ping_send(client);
    }
    client_timer_set(client, context->now_ns + context->options->ping_interval_ns);
}

void client_timer_due(struct client *client)
{
    switch ((enum client_state)client->state) {
    case CLIENT_GREETED: /* one that could be no_auth_user has to say something too */
    case CLIENT_AUTHENTICATING:
        client_close(client, CLOSED_AUTHENTICATION_TIMEOUT, error_text(ERROR_AUTHENTICATION_TIMEOUT));
        return;
    case CLIENT_DELEGATED:
        client_callout_late(client);
        return;
    case CLIENT_ACTIVE:
        ping_due(client);
        return;
    case CLIENT_CLOSED:
        return;
    }
}

/* ---- closing ---- */

static void slow_consumer_count(struct client *client)
{
    client->context->slow_consumers++;
    if (client->account != NULL)
        client->account->traffic.slow_consumers++;
}

void client_close(struct client *client, enum closed_reason reason, const char *error)
{
    struct session_context *context = client->context;
    char prefix[CLIENT_PREFIX_BYTES];
    if (client->state == CLIENT_CLOSED)
        return;
    client->closed_reason = (uint8_t)reason;
    bool flush = closed_reason_flushes(reason);
    bool greeted_only = client->state == CLIENT_GREETED;
    if (error != NULL && flush) {
        char line[256];
        int count = snprintf(line, sizeof line, "-ERR '%s'\r\n", error);
        if (UNLIKELY(context->options->trace))
            client_trace_out(client, "-ERR", text(error));
        /* Not client_write(): its own ways to fail would come back here. */
        if (output_append(&client->output, &context->pool, bytes_of(line, (size_t)count)) == ERR_OK)
            client_output_note(client);
    }
    client_move(client, CLIENT_CLOSED);
    timers_cancel(&context->timers, &client->timer);
    client_prefix(client, prefix, sizeof prefix);
    if (reason == CLOSED_SLOW_CONSUMER_PENDING_BYTES) {
        slow_consumer_count(client);
        log_notice(context->log, "%s - Slow Consumer Detected: MaxPending of %lld Exceeded", prefix,
                   (long long)context->options->max_pending_bytes);
    }
    if (reason == CLOSED_SLOW_CONSUMER_WRITE_DEADLINE && !greeted_only)
        slow_consumer_count(client); /* one that never said CONNECT is not counted */
    log_debug(context->log, "%s - Client connection closed: %s", prefix, closed_reason_text(reason));
    context->host->closing(client, flush);
}

void client_write_late(struct client *client, int64_t deadline_ns, uint32_t part_count, uint64_t total_bytes)
{
    char prefix[CLIENT_PREFIX_BYTES], deadline[DURATION_TEXT_BYTES_MAX];
    if (client->state != CLIENT_CLOSED)
        log_notice(
            client->context->log,
            "%s - Slow Consumer Detected: WriteDeadline of %s exceeded with %u chunks of %llu total bytes.",
            client_prefix(client, prefix, sizeof prefix), duration_print(deadline_ns, deadline), part_count,
            (unsigned long long)total_bytes);
    client_close(client, CLOSED_SLOW_CONSUMER_WRITE_DEADLINE, NULL);
}

bool client_remove_subscriptions(struct client *client, uint32_t most)
{
    ASSERT(client->state == CLIENT_CLOSED);
    for (uint32_t done = 0; done < most; done++) {
        struct client_subscription *subscription = sids_any(&client->sids, &client->sids_hint);
        if (subscription == NULL)
            return true;
        if (client->context->host->unsubscribe(client, subscription) == HOST_FULL)
            return false;
        sids_remove(&client->sids, subscription);
        memory_free(subscription);
    }
    return client->sids.count == 0;
}

void client_free_parts(struct client *client)
{
    ASSERT(client->state == CLIENT_CLOSED && client->sids.count == 0);
    sids_close(&client->sids);
    parser_close(&client->parser);
    output_clear(&client->output, &client->context->pool);
    connect_close(&client->connect);
    client_access_close(client);
    client_callout_drop(client, client->claimed);
    client->claimed = NULL;
}

/* Appends bytes with those that would break a log line as '?'; `out` stays terminated. */
static void append_shown(char *out, size_t out_bytes, struct bytes bytes)
{
    size_t count = strlen(out);
    for (size_t i = 0; i < bytes.count && count + 1 < out_bytes; i++) {
        bool breaks = bytes.data[i] < 0x20 || bytes.data[i] == 0x7f || bytes.data[i] == '"';
        out[count++] = breaks ? '?' : (char)bytes.data[i];
    }
    out[count] = 0;
}

/* As whom it came in, from CONNECT on: "$G/user:ann", and nothing for one who named nobody. */
static void describe_user(const struct client *client, char *out, size_t out_bytes)
{
    const struct security_user *user = client->user;
    struct bytes name = user == NULL ? connect_user(&client->connect) : user->name;
    bool by_key = user != NULL && user->nkey.count > 0;
    bool by_token = !by_key && name.count == 0 && client->login == AUTHENTICATE_TOKEN;
    out[0] = 0;
    if (!client->connect_received || (!by_key && !by_token && name.count == 0))
        return;
    const struct security_account *account = client->account->configured;
    append_shown(out, out_bytes, account == NULL ? TEXT("$G") : account->name);
    append_shown(out, out_bytes, by_key ? TEXT("/nkey:") : by_token ? TEXT("/token") : TEXT("/user:"));
    append_shown(out, out_bytes, by_key ? user->nkey : name);
}

const char *client_prefix(const struct client *client, char *out, size_t out_bytes)
{
    char who[CLIENT_PREFIX_BYTES / 2], user[CLIENT_PREFIX_BYTES / 2];
    connect_describe(&client->connect, who, sizeof who);
    describe_user(client, user, sizeof user);
    snprintf(out, out_bytes, "%s:%u - cid:%llu%s%s%s%s%s%s", client->address, client->port,
             (unsigned long long)client->cid, who[0] == 0 ? "" : " - \"", who, who[0] == 0 ? "" : "\"",
             user[0] == 0 ? "" : " - \"", user, user[0] == 0 ? "" : "\"");
    return out;
}
