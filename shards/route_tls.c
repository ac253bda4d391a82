/* shards/route_tls.c - see route_tls.h. */
#include "shards/route_tls.h"

#include "core/base/log.h"
#include "core/base/memory.h"
#include "net/tls_peer_check.h"
#include "net/tls_stream.h"
#include "shards/connection_tls.h"
#include "shards/mail.h"
#include "shards/route_s2.h"
#include "shards/shard.h"

enum {
    NAMES_BYTES_MAX = 256 * 1024, /* more than any certificate that OpenSSL takes has */
    CHAIN_BYTES_MAX = 1024 * 1024,
};

static const struct tls_options *options_of(const struct shard *shard,
                                            const struct route_connection *connection)
{
    const struct server_options *options = shard->snapshot->options;
    const struct gateway_remote_options *remote = NULL;
    if (connection->route.kind == ROUTE_OF_CLUSTER)
        return &options->cluster.tls;
    if (connection->route.solicited && connection->remote_number > 0 &&
        connection->remote_number <= options->gateway.remote_count)
        remote = &options->gateway.remotes[connection->remote_number - 1];
    return gateway_options_tls(&options->gateway, remote);
}

static void output_note(struct shard *shard, struct route_connection *connection)
{
    if (route_connection_pending(connection) && !list_linked(&connection->with_output))
        list_push_last(&shard->remotes.with_output, &connection->with_output);
}

static void fail(struct shard *shard, struct route_connection *connection, const char *why)
{
    char prefix[ROUTE_PREFIX_BYTES];
    log_error(shard->context.log, "%s - TLS %s handshake error: %s",
              route_prefix(&connection->route, prefix, sizeof prefix),
              connection->route.kind == ROUTE_OF_GATEWAY ? "gateway" : "route", why);
    route_close(&connection->route, CLOSED_TLS_HANDSHAKE_FAILURE, NULL);
}

/* As OCSP's sentences name it. */
static const char *kind_of(const struct route_connection *connection)
{
    return connection->route.kind == ROUTE_OF_GATEWAY ? "Gateway" : "Router";
}

bool route_tls_start(struct shard *shard, struct route_connection *connection, const char *host)
{
    const struct tls_options *options = options_of(shard, connection);
    struct bytes nothing = {NULL, 0};
    bool dials = connection->route.solicited;
    if (!options->on)
        return true;
    if (tls_stream_new(&connection->tls, dials ? options->dialler : options->context, &shard->context.pool,
                       dials ? host : NULL) != ERR_OK)
        return false;
    int64_t due_ns = shard->context.now_ns + tls_options_timeout_ns(options);
    if (timers_set(&shard->context.timers, &connection->timer, due_ns) != ERR_OK)
        return false;
    if (dials && tls_stream_handshake(connection->tls, &nothing) == TLS_FAILED)
        fail(shard, connection, tls_stream_error(connection->tls));
    output_note(shard, connection);
    return true;
}

/* Why a peer with a good certificate may not come all the same; NULL: it may. */
static const char *refusal(const struct shard *shard, const struct route_connection *connection)
{
    uint8_t pin[TLS_PIN_BYTES];
    const struct tls_options *options = options_of(shard, connection);
    if (options->pin_count == 0)
        return NULL;
    if (!tls_stream_pin(connection->tls, pin) || !tls_options_pinned(options, pin))
        return "certificate not pinned";
    return NULL;
}

static bool named(const struct certificate_names *names, const struct route_url *urls, uint32_t url_count)
{
    for (uint32_t i = 0; i < url_count; i++) {
        for (uint32_t j = 0; j < names->host_count; j++) {
            if (tls_host_matches(names->hosts[j], text(urls[i].host)))
                return true;
        }
    }
    return false;
}

static bool known_url(const struct server_options *options, const struct route_connection *connection,
                      const struct certificate_names *names)
{
    const struct gateway_options *gateway = &options->gateway;
    bool known = false;
    if (connection->route.kind == ROUTE_OF_CLUSTER)
        return named(names, options->cluster.routes, options->cluster.route_count);
    for (uint32_t i = 0; i < gateway->remote_count; i++)
        known = known || named(names, gateway->remotes[i].urls, gateway->remotes[i].url_count);
    return known;
}

bool route_tls_certified(const struct shard *shard, const struct route_connection *connection)
{
    const struct server_options *options = shard->snapshot->options;
    const struct tls_options *tls = options_of(shard, connection);
    struct bytes user =
        connection->route.kind == ROUTE_OF_CLUSTER ? options->cluster.user : options->gateway.user;
    struct arena arena = {.limit_bytes = NAMES_BYTES_MAX};
    struct certificate_names names;
    bool good = false;
    if ((!tls->known_urls && !tls->map) || connection->tls == NULL || !tls_stream_open(connection->tls))
        return false;
    if (tls_stream_names(connection->tls, &names, &arena) == ERR_OK)
        good = (tls->known_urls && known_url(options, connection, &names)) ||
               (tls->map && certificate_names_have(&names, user));
    arena_close(&arena);
    return good;
}

bool route_tls_options_changed(struct shard *shard, struct route_connection *connection)
{
    if (connection->tls == NULL || !tls_stream_open(connection->tls) ||
        connection->state != ROUTE_CONNECTION_OPEN || refusal(shard, connection) == NULL)
        return false;
    route_close(&connection->route, CLOSED_TLS_HANDSHAKE_FAILURE, NULL);
    return true;
}

static void decrypt(struct shard *shard, struct route_connection *connection, struct bytes bytes)
{
    enum tls_result result = TLS_DONE;
    if (shard->plain == NULL)
        shard->plain = memory_new(CONNECTION_TLS_PLAIN_BYTES);
    if (shard->plain == NULL) {
        route_close(&connection->route, CLOSED_READ_ERROR, NULL);
        return;
    }
    while (result == TLS_DONE && connection->state == ROUTE_CONNECTION_OPEN) {
        size_t count = 0;
        result = tls_stream_read(connection->tls, &bytes, shard->plain, CONNECTION_TLS_PLAIN_BYTES, &count);
        if (count > 0)
            route_connection_give(shard, connection, bytes_of(shard->plain, count));
    }
    output_note(shard, connection); /* the protocol itself may have something to say */
    if (connection->state == ROUTE_CONNECTION_OPEN && result == TLS_ENDED)
        route_input_ended(&connection->route, false);
    else if (connection->state == ROUTE_CONNECTION_OPEN && result == TLS_FAILED)
        route_input_ended(&connection->route, true);
}

/* ---- responders ---- */

/* What came behind the handshake waits for the verdict; what is on its way still comes, then no more is
 * taken. */
static bool unread_keep(struct shard *shard, struct route_connection *connection, struct bytes bytes)
{
    size_t needed = connection->unread_bytes + bytes.count;
    loop_cancel(shard->loop, &connection->receive);
    if (bytes.count == 0)
        return true;
    struct block *block = block_take(&shard->context.pool.blocks, needed);
    if (block == NULL) {
        route_close(&connection->route, CLOSED_READ_ERROR, NULL);
        return false;
    }
    if (connection->unread_bytes > 0)
        memcpy(block->bytes, connection->unread->bytes, connection->unread_bytes);
    memcpy(block->bytes + connection->unread_bytes, bytes.data, bytes.count);
    block_release(&shard->context.pool.blocks, connection->unread);
    connection->unread = block;
    connection->unread_bytes = (uint32_t)needed;
    return true;
}

/* A server that staples wants the same of those that dial it. OpenSSL cannot ask a client for a staple, so
 * their responders are asked. True: it waits for them, or has failed. */
static bool peer_checks(struct shard *shard, struct route_connection *connection, struct bytes rest)
{
    struct arena arena = {.limit_bytes = CHAIN_BYTES_MAX};
    struct bytes chain[TLS_CHAIN_MAX];
    uint32_t responder_count = 0;
    if (connection->route.solicited ||
        !ocsp_staples(options_of(shard, connection), &shard->snapshot->options->net.ocsp))
        return false;
    uint32_t count = tls_stream_chain(connection->tls, chain, &arena);
    struct mail_peer_ask mail = {.kind = MAIL_PEER_ASK,
                                 .of_route = true,
                                 .rid = connection->route.rid,
                                 .place = {.shard = shard->post.self}};
    if (count > 1)
        mail.block = peer_chain_pack(chain, count, &shard->context.pool.blocks, &responder_count);
    arena_close(&arena);
    if (mail.block == NULL || !shard_tell_control(shard, &mail, sizeof mail)) {
        block_release(&shard->context.pool.blocks, mail.block);
        fail(shard, connection, "responders cannot be asked about the peer");
        return true;
    }
    connection->checking = true;
    (void)unread_keep(shard, connection, rest); /* without memory it is closed */
    return true;
}

void route_tls_peer_checked(struct shard *shard, struct route_connection *connection, bool good)
{
    if (!connection->checking || connection->state != ROUTE_CONNECTION_OPEN)
        return;
    struct block *unread = connection->unread;
    uint32_t count = connection->unread_bytes;
    connection->checking = false;
    connection->unread = NULL;
    connection->unread_bytes = 0;
    const char *why = refusal(shard, connection); /* a reload may have brought other pins meanwhile */
    output_note(shard, connection);               /* the greeting, which waited */
    if (!good)
        why = connection->route.kind == ROUTE_OF_GATEWAY ? "Gateway peer not OCSP valid"
                                                         : "Router peer not OCSP valid";
    if (why != NULL)
        fail(shard, connection, why);
    else if (count > 0)
        decrypt(shard, connection, bytes_of(unread->bytes, count));
    block_release(&shard->context.pool.blocks, unread);
    route_connection_receive_again(shard, connection);
}

/* ---- the handshake ---- */

static void complete(struct shard *shard, struct route_connection *connection, struct bytes rest)
{
    const char *why = refusal(shard, connection);
    if (why == NULL && !tls_stream_stapled(connection->tls, kind_of(connection)))
        why = tls_stream_error(connection->tls);
    timers_cancel(&shard->context.timers, &connection->timer);
    if (why == NULL && peer_checks(shard, connection, rest))
        return;
    output_note(shard, connection); /* the greeting, which waited */
    if (why != NULL)
        fail(shard, connection, why);
    else if (rest.count > 0)
        decrypt(shard, connection, rest);
}

void route_tls_received(struct shard *shard, struct route_connection *connection, struct bytes bytes)
{
    if (connection->checking) {
        (void)unread_keep(shard, connection, bytes); /* without memory it is closed */
        return;
    }
    if (tls_stream_open(connection->tls)) {
        decrypt(shard, connection, bytes);
        return;
    }
    enum tls_result result = tls_stream_handshake(connection->tls, &bytes);
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
        fail(shard, connection, tls_stream_error(connection->tls));
        return;
    }
}

bool route_tls_encrypt(struct route_connection *connection, bool last)
{
    struct output *plain = route_s2_output(connection);
    if (connection->tls == NULL || !tls_stream_open(connection->tls) || connection->checking)
        return true;
    if (!output_empty(plain) && !tls_stream_write(connection->tls, plain, ROUTE_TLS_UNSENT_BYTES))
        return false;
    if (last && output_empty(plain))
        tls_stream_shutdown(connection->tls);
    return true;
}

bool route_tls_timer_due(struct shard *shard, struct route_connection *connection)
{
    if (connection->tls == NULL || connection->state != ROUTE_CONNECTION_OPEN ||
        tls_stream_open(connection->tls))
        return false;
    fail(shard, connection, "i/o timeout");
    return true;
}

struct output *route_connection_output(struct route_connection *connection)
{
    return connection->tls == NULL ? route_s2_output(connection) : tls_stream_output(connection->tls);
}

bool route_connection_pending(struct route_connection *connection)
{
    if (!output_empty(route_connection_output(connection)))
        return true;
    if (connection->tls != NULL && (!tls_stream_open(connection->tls) || connection->checking))
        return false;
    return !output_empty(route_s2_output(connection)) || !output_empty(&connection->route.output);
}
