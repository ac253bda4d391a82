/* shards/connection_tls.c - TLS between a socket and its session; see connection_tls.h. */
#include "shards/connection_tls.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "net/error_text.h"
#include "net/tls_peer_check.h"
#include "shards/connection_internal.h"
#include "shards/mail.h"
#include "shards/shard.h"

enum {
    NAMES_BYTES_MAX = 256 * 1024, /* more than any certificate that OpenSSL takes has */
    CHAIN_BYTES_MAX = 1024 * 1024,
};

static const char PEER_REFUSAL[] = "client not OCSP valid";

#define TO(state) (1U << (state))
static const uint8_t tls_moves[CONNECTION_TLS_STATES] = {
    [CONNECTION_TLS_LISTENING] = TO(CONNECTION_TLS_CHOOSING) | TO(CONNECTION_TLS_HANDSHAKE),
    [CONNECTION_TLS_CHOOSING] = TO(CONNECTION_TLS_HANDSHAKE),
    [CONNECTION_TLS_HANDSHAKE] = TO(CONNECTION_TLS_OPEN) | TO(CONNECTION_TLS_CHECKING),
    [CONNECTION_TLS_CHECKING] = TO(CONNECTION_TLS_OPEN),
};

static void move(struct connection_tls *tls, enum connection_tls_state next)
{
    ASSERT(tls_moves[tls->state] & TO(next));
    tls->state = (uint8_t)next;
}

static const struct tls_options *options_of(const struct shard *shard)
{
    return &shard->context.options->tls;
}

static void say(struct shard *shard, const struct connection *connection, enum log_level level,
                const char *what, const char *more)
{
    const struct client *client = &connection->client;
    log_line(shard->context.log, level, "%s:%u - cid:%llu - %s%s", client->address, client->port,
             (unsigned long long)client->cid, what, more);
}

/* ---- the beginning ---- */

enum client_opening connection_tls_opening(const struct net_options *options, bool refused)
{
    if (!options->tls.on)
        return CLIENT_OPENS;
    if (options->tls.first)
        return CLIENT_OPENS_SILENTLY;
    return refused ? CLIENT_OPENS : CLIENT_ONLY_GREETS; /* who is refused hears so in clear */
}

static bool wait_for(struct shard *shard, struct connection_tls *tls, int64_t wait_ns)
{
    return timers_set(&shard->context.timers, &tls->timer, shard->context.now_ns + wait_ns) == ERR_OK;
}

bool connection_tls_start(struct shard *shard, struct connection *connection, bool throttled)
{
    const struct tls_options *options = options_of(shard);
    struct connection_tls *tls = memory_new(sizeof *tls);
    if (tls == NULL)
        return false;
    connection->tls = tls;
    tls->connection = connection;
    tls->timer.kind = TIMER_TLS;
    tls->arena.limit_bytes = NAMES_BYTES_MAX;
    tls->throttled = throttled;
    tls->first = options->first;
    bool chooses = shard->context.options->allow_non_tls && !options->first;
    tls->state = options->first && options->first_wait_ns > 0 ? CONNECTION_TLS_LISTENING
                 : chooses                                    ? CONNECTION_TLS_CHOOSING
                                                              : CONNECTION_TLS_HANDSHAKE;
    if (throttled && tls->state != CONNECTION_TLS_CHOOSING) {
        client_close(&connection->client, CLOSED_MAXIMUM_CONNECTIONS,
                     error_text(ERROR_CONNECTION_THROTTLING));
        return true;
    }
    return wait_for(shard, tls,
                    tls->state == CONNECTION_TLS_LISTENING ? options->first_wait_ns
                                                           : tls_options_timeout_ns(options));
}

static void held_drop(struct shard *shard, struct connection_tls *tls)
{
    block_release(&shard->context.pool.blocks, tls->held);
    block_release(&shard->context.pool.blocks, tls->chain);
    tls->held = tls->chain = NULL;
    tls->held_bytes = 0;
}

void connection_tls_free(struct shard *shard, struct connection *connection)
{
    struct connection_tls *tls = connection->tls;
    if (tls == NULL)
        return;
    timers_cancel(&shard->context.timers, &tls->timer);
    if (list_linked(&tls->queued))
        list_remove(&tls->queued);
    held_drop(shard, tls);
    tls_stream_free(tls->stream);
    arena_close(&tls->arena);
    connection->client.certificate = NULL;
    connection->tls = NULL;
    memory_free(tls);
}

/* ---- sending ---- */

struct output *connection_output(struct connection *connection)
{
    struct connection_tls *tls = connection->tls;
    return LIKELY(tls == NULL) || tls->stream == NULL ? &connection->client.output
                                                      : tls_stream_output(tls->stream);
}

bool connection_tls_encrypt(struct connection *connection, bool last)
{
    struct connection_tls *tls = connection->tls;
    struct output *plain = &connection->client.output;
    if (tls->state != CONNECTION_TLS_OPEN || !tls_stream_open(tls->stream))
        return true;
    if (!output_empty(plain) && !tls_stream_write(tls->stream, plain, CONNECTION_TLS_UNSENT_BYTES))
        return false;
    if (last && output_empty(plain))
        tls_stream_shutdown(tls->stream);
    return true;
}

bool connection_tls_pending(const struct connection *connection)
{
    const struct connection_tls *tls = connection->tls;
    if (tls == NULL || tls->stream == NULL)
        return false;
    return !output_empty(tls_stream_output(tls->stream)) ||
           (tls->state == CONNECTION_TLS_OPEN && tls_stream_open(tls->stream) &&
            !tls_stream_shut(tls->stream));
}

/* The stream has something to say of its own accord. */
static void output_note(struct shard *shard, struct connection *connection)
{
    if (!output_empty(tls_stream_output(connection->tls->stream)) && !list_linked(&connection->with_output))
        list_push_last(&shard->with_output, &connection->with_output);
}

/* ---- the end ---- */

bool connection_tls_closing(struct shard *shard, struct connection *connection)
{
    struct connection_tls *tls = connection->tls;
    if (tls == NULL)
        return false;
    timers_cancel(&shard->context.timers, &tls->timer);
    if (list_linked(&tls->queued))
        list_remove(&tls->queued);
    held_drop(shard, tls);
    /* What the session had to say before the stream was open can be said neither in clear nor sealed. */
    if (tls->stream != NULL && (tls->state != CONNECTION_TLS_OPEN || !tls_stream_open(tls->stream)))
        output_clear(&connection->client.output, &shard->context.pool);
    return tls->last_words;
}

/* The stream is no good: its alert goes out, the session ends. */
static void fail(struct shard *shard, struct connection *connection, const char *why)
{
    struct connection_tls *tls = connection->tls;
    bool handshake = tls->state != CONNECTION_TLS_OPEN || !connection->client_begun;
    say(shard, connection, handshake ? LOG_ERROR : LOG_DEBUG,
        handshake ? "TLS handshake error: " : "TLS error: ", why);
    tls->last_words = tls->stream != NULL && !output_empty(tls_stream_output(tls->stream));
    if (tls->last_words)
        output_note(shard, connection);
    client_close(&connection->client, handshake ? CLOSED_TLS_HANDSHAKE_FAILURE : CLOSED_READ_ERROR, NULL);
}

bool connection_tls_input_ended(struct shard *shard, struct connection *connection)
{
    struct connection_tls *tls = connection->tls;
    if (tls == NULL || connection->state != CONNECTION_OPEN ||
        (tls->state != CONNECTION_TLS_HANDSHAKE && tls->state != CONNECTION_TLS_CHECKING))
        return false;
    fail(shard, connection, "EOF");
    return true;
}

/* ---- receiving ---- */

bool connection_tls_queued(const struct connection *connection)
{
    const struct connection_tls *tls = connection->tls;
    return tls != NULL && (list_linked(&tls->queued) || tls->state == CONNECTION_TLS_CHECKING);
}

static bool plain_room(struct shard *shard)
{
    if (shard->plain == NULL)
        shard->plain = memory_grow(NULL, CONNECTION_TLS_PLAIN_BYTES);
    return shard->plain != NULL;
}

static void decrypt(struct shard *shard, struct connection *connection, struct bytes bytes)
{
    struct tls_stream *stream = connection->tls->stream;
    enum tls_result result = TLS_DONE;
    if (!plain_room(shard)) {
        client_close(&connection->client, CLOSED_READ_ERROR, NULL);
        return;
    }
    while (result == TLS_DONE && connection->state == CONNECTION_OPEN) {
        size_t count = 0;
        result = tls_stream_read(stream, &bytes, shard->plain, CONNECTION_TLS_PLAIN_BYTES, &count);
        if (count > 0)
            connection_give(shard, connection, bytes_of(shard->plain, count));
    }
    if (connection->state != CONNECTION_OPEN)
        return;
    output_note(shard, connection); /* tickets, answers to KeyUpdate, alerts */
    if (result == TLS_FAILED)
        fail(shard, connection, tls_stream_error(stream));
    else if (result == TLS_ENDED)
        connection_input_ended(shard, connection, false);
}

/* Whether this peer may come, now that it is known who it is. */
static const char *refusal(const struct shard *shard, struct connection_tls *tls)
{
    const struct tls_options *options = options_of(shard);
    uint8_t pin[TLS_PIN_BYTES];
    if (options->pin_count > 0 && (!tls_stream_pin(tls->stream, pin) || !tls_options_pinned(options, pin)))
        return "certificate not pinned";
    if (tls_stream_resumed(tls->stream) && !tls_stream_peer_current(tls->stream))
        return "tls: failed to verify certificate: x509: certificate has expired or is not yet valid";
    if (!options->map)
        return NULL;
    arena_close(&tls->arena); /* of the first time, when this is the second */
    tls->names = (struct certificate_names){0};
    return tls_stream_names(tls->stream, &tls->names, &tls->arena) == ERR_MEMORY
               ? "tls: no memory for the names of a certificate"
               : NULL;
}

/* The peer is welcome: its session begins. */
static void opened(struct shard *shard, struct connection *connection, struct bytes rest)
{
    struct connection_tls *tls = connection->tls;
    move(tls, CONNECTION_TLS_OPEN);
    if (options_of(shard)->map)
        connection->client.certificate = &tls->names;
    if (log_enabled(shard->context.log, LOG_DEBUG)) {
        say(shard, connection, LOG_DEBUG, "TLS handshake complete", "");
        say(shard, connection, LOG_DEBUG, "TLS cipher suite ", tls_stream_suite(tls->stream));
    }
    if (tls->first)
        client_greet(&connection->client);
    connection->client_begun = true;
    client_begin(&connection->client);
    if (connection->state == CONNECTION_OPEN && rest.count > 0)
        decrypt(shard, connection, rest);
}

/* Bytes wait, and no more are taken from the socket. False: no memory, it is closed. */
static bool wait_with(struct shard *shard, struct connection *connection, struct bytes bytes)
{
    struct connection_tls *tls = connection->tls;
    size_t needed = tls->held_bytes + bytes.count;
    loop_cancel(shard->loop, &connection->receive);
    if (bytes.count == 0)
        return true;
    if (tls->held == NULL || tls->held->capacity < needed) {
        struct block *block = block_take(&shard->context.pool.blocks, needed * 2);
        if (block == NULL) {
            client_close(&connection->client, CLOSED_READ_ERROR, NULL);
            return false;
        }
        if (tls->held_bytes > 0)
            memcpy(block->bytes, tls->held->bytes, tls->held_bytes);
        block_release(&shard->context.pool.blocks, tls->held);
        tls->held = block;
    }
    memcpy(tls->held->bytes + tls->held_bytes, bytes.data, bytes.count);
    tls->held_bytes += (uint32_t)bytes.count;
    return true;
}

/* ---- responders ---- */

/* Asks the control core; a full mailbox is tried again in a moment. Whatever becomes of the question, the
 * wait for its answer ends. */
static void peer_ask(struct shard *shard, struct connection *connection)
{
    struct connection_tls *tls = connection->tls;
    uint32_t control = shard->shard_count;
    struct mail_peer_ask mail = {
        .kind = MAIL_PEER_ASK, .place = connection->client.place, .block = tls->chain};
    uint8_t *record = post_reserve(&shard->post, control, sizeof mail, false);
    if (record != NULL) {
        memcpy(record, &mail, sizeof mail);
        post_commit(&shard->post, control, sizeof mail);
        tls->chain = NULL;
    }
    int64_t due_ns = record != NULL ? tls->check_until_ns : shard->context.now_ns + NS_PER_MS;
    if (timers_set(&shard->context.timers, &tls->timer, due_ns) != ERR_OK)
        fail(shard, connection, "no memory to ask responders");
}

/* Whether the session has to wait for what responders say; when it is false it may begin, or has ended. */
static bool peer_checks(struct shard *shard, struct connection *connection, struct bytes rest)
{
    struct connection_tls *tls = connection->tls;
    struct arena arena = {.limit_bytes = CHAIN_BYTES_MAX};
    struct bytes chain[TLS_CHAIN_MAX];
    uint32_t responder_count = 0;
    if (!options_of(shard)->ocsp_peer.verify)
        return false;
    uint32_t count = tls_stream_chain(tls->stream, chain, &arena);
    if (count > 0)
        tls->chain = peer_chain_pack(chain, count, &shard->context.pool.blocks, &responder_count);
    arena_close(&arena);
    if (tls->chain == NULL) {
        fail(shard, connection, PEER_REFUSAL);
        return false;
    }
    if (responder_count == 0) {
        say(shard, connection, LOG_DEBUG, "Chain [0] has no OCSP eligible links, thus peer is valid", "");
        block_release(&shard->context.pool.blocks, tls->chain);
        tls->chain = NULL;
        return false;
    }
    move(tls, CONNECTION_TLS_CHECKING);
    tls->check_until_ns =
        shard->context.now_ns + peer_check_patience_ns(&options_of(shard)->ocsp_peer, responder_count,
                                                       shard->context.security->timeout_ns);
    if (wait_with(shard, connection, rest))
        peer_ask(shard, connection);
    return true;
}

void connection_tls_peer_checked(struct shard *shard, struct connection *connection, bool good)
{
    struct connection_tls *tls = connection->tls;
    if (tls == NULL || tls->state != CONNECTION_TLS_CHECKING || connection->state != CONNECTION_OPEN)
        return;
    timers_cancel(&shard->context.timers, &tls->timer);
    /* A reload may have changed meanwhile who may come, and passes over those who have no session yet. */
    const char *why = good ? refusal(shard, tls) : PEER_REFUSAL;
    if (why != NULL) {
        fail(shard, connection, why);
        return;
    }
    struct block *held = tls->held;
    struct bytes rest = held == NULL ? (struct bytes){0} : bytes_of(held->bytes, tls->held_bytes);
    tls->held = NULL;
    tls->held_bytes = 0;
    opened(shard, connection, rest);
    block_release(&shard->context.pool.blocks, held);
    connection_receive_again(shard, connection);
}

static void complete(struct shard *shard, struct connection *connection, struct bytes rest)
{
    struct connection_tls *tls = connection->tls;
    timers_cancel(&shard->context.timers, &tls->timer);
    const char *why = refusal(shard, tls);
    if (why != NULL)
        fail(shard, connection, why);
    else if (!peer_checks(shard, connection, rest) && connection->state == CONNECTION_OPEN)
        opened(shard, connection, rest);
}

/* One step of a handshake: what it costs counts for the turn. */
static void step(struct shard *shard, struct connection *connection, struct bytes bytes)
{
    struct connection_tls *tls = connection->tls;
    int64_t start_ns = clock_monotonic_ns();
    enum tls_result result = tls_stream_handshake(tls->stream, &bytes);
    shard->handshake_ns += clock_monotonic_ns() - start_ns;
    output_note(shard, connection);
    switch (result) {
    case TLS_DONE:
        complete(shard, connection, bytes);
        return;
    case TLS_MORE:
        return;
    case TLS_ENDED:
        fail(shard, connection, "EOF");
        return;
    case TLS_FAILED:
        fail(shard, connection, tls_stream_error(tls->stream));
        return;
    }
}

/* No time for it in this turn. */
static void queue(struct shard *shard, struct connection *connection, struct bytes bytes)
{
    if (wait_with(shard, connection, bytes) && !list_linked(&connection->tls->queued))
        list_push_last(&shard->handshakes, &connection->tls->queued);
}

/* The first bytes of a handshake are here. What is still to be sent in clear goes before the stream's own. */
static bool stream_begin(struct shard *shard, struct connection *connection)
{
    struct connection_tls *tls = connection->tls;
    struct client *client = &connection->client;
    if (tls_stream_new(&tls->stream, options_of(shard)->context, &shard->context.pool, NULL) != ERR_OK) {
        client_close(client, CLOSED_READ_ERROR, NULL);
        return false;
    }
    *tls_stream_output(tls->stream) = client->output;
    client->output = (struct output){0};
    return true;
}

static void handshake_received(struct shard *shard, struct connection *connection, struct bytes bytes)
{
    struct connection_tls *tls = connection->tls;
    if (tls->stream == NULL &&
        options_of(shard)->context == NULL) { /* a reload has turned TLS off meanwhile */
        fail(shard, connection, "tls: no certificates configured");
        return;
    }
    if (tls->stream == NULL && !stream_begin(shard, connection))
        return;
    if (list_linked(&tls->queued) || shard->handshake_ns >= CONNECTION_TLS_TURN_NS)
        queue(shard, connection, bytes);
    else
        step(shard, connection, bytes);
}

/* The stage was there in case the client wanted TLS: it does not. */
static void stay_in_clear(struct shard *shard, struct connection *connection)
{
    connection_tls_free(shard, connection);
    connection->client_begun = true;
    client_begin(&connection->client);
}

/* TLS it is, from now on. */
static void handshake_begin(struct shard *shard, struct connection *connection)
{
    struct connection_tls *tls = connection->tls;
    if (tls->throttled) {
        client_close(&connection->client, CLOSED_MAXIMUM_CONNECTIONS,
                     error_text(ERROR_CONNECTION_THROTTLING));
        return;
    }
    move(tls, CONNECTION_TLS_HANDSHAKE);
    if (!wait_for(shard, tls, tls_options_timeout_ns(options_of(shard))))
        client_close(&connection->client, CLOSED_READ_ERROR, NULL);
}

void connection_tls_received(struct shard *shard, struct connection *connection, struct bytes bytes)
{
    switch ((enum connection_tls_state)connection->tls->state) {
    case CONNECTION_TLS_OPEN:
        decrypt(shard, connection, bytes);
        return;
    case CONNECTION_TLS_HANDSHAKE:
        handshake_received(shard, connection, bytes);
        return;
    case CONNECTION_TLS_CHECKING:
        (void)wait_with(shard, connection, bytes); /* what was on its way; without memory it is closed */
        return;
    case CONNECTION_TLS_CHOOSING:
        if (bytes.data[0] != TLS_RECORD_HANDSHAKE) {
            stay_in_clear(shard, connection);
            if (connection->state == CONNECTION_OPEN)
                connection_give(shard, connection, bytes);
            return;
        }
        break;
    case CONNECTION_TLS_LISTENING:
        break;
    }
    handshake_begin(shard, connection);
    if (connection->state == CONNECTION_OPEN)
        handshake_received(shard, connection, bytes);
}

/* ---- time ---- */

/* Nobody spoke: greet, and go on as without handshake_first. */
static void wait_over(struct shard *shard, struct connection *connection)
{
    struct connection_tls *tls = connection->tls;
    tls->first = false;
    client_greet(&connection->client);
    if (connection->state != CONNECTION_OPEN)
        return;
    if (!shard->context.options->allow_non_tls) {
        handshake_begin(shard, connection);
        return;
    }
    move(tls, CONNECTION_TLS_CHOOSING);
    if (!wait_for(shard, tls, tls_options_timeout_ns(options_of(shard))))
        client_close(&connection->client, CLOSED_READ_ERROR, NULL);
}

void connection_tls_timer_due(struct shard *shard, struct connection_tls *tls)
{
    struct connection *connection = tls->connection;
    switch ((enum connection_tls_state)tls->state) {
    case CONNECTION_TLS_LISTENING:
        wait_over(shard, connection);
        return;
    case CONNECTION_TLS_CHOOSING:
        stay_in_clear(shard, connection);
        return;
    case CONNECTION_TLS_HANDSHAKE:
        fail(shard, connection, "i/o timeout");
        return;
    case CONNECTION_TLS_CHECKING:
        if (shard->context.now_ns >= tls->check_until_ns)
            fail(shard, connection, "no word from OCSP responders in time");
        else
            peer_ask(shard, connection);
        return;
    case CONNECTION_TLS_OPEN:
        return;
    }
}

void connection_tls_work(struct shard *shard)
{
    struct list_link *at;
    while (shard->handshake_ns < CONNECTION_TLS_TURN_NS && (at = list_first(&shard->handshakes)) != NULL) {
        struct connection_tls *tls = LIST_ELEMENT(at, struct connection_tls, queued);
        struct connection *connection = tls->connection;
        struct block *held = tls->held;
        struct bytes bytes = bytes_of(held->bytes, tls->held_bytes);
        tls->held = NULL;
        tls->held_bytes = 0;
        list_remove(at);
        step(shard, connection, bytes);
        block_release(&shard->context.pool.blocks, held);
        if (connection->state == CONNECTION_OPEN && !connection->client.blocked &&
            !connection_tls_queued(connection))
            connection_receive_arm(shard, connection);
    }
}

/* ---- reload ---- */

bool connection_tls_options_changed(struct shard *shard, struct connection *connection)
{
    const struct tls_options *options = options_of(shard);
    struct connection_tls *tls = connection->tls;
    uint8_t pin[TLS_PIN_BYTES];
    if (tls == NULL || tls->state != CONNECTION_TLS_OPEN || connection->state != CONNECTION_OPEN ||
        options->pin_count == 0)
        return false;
    if (tls_stream_pin(tls->stream, pin) && tls_options_pinned(options, pin))
        return false;
    client_close(&connection->client, CLOSED_TLS_HANDSHAKE_FAILURE, NULL);
    return true;
}
