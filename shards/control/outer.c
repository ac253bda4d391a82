/* shards/control/outer.c - the connection itself: bytes in and out, the login, what the desk wants; see
 * outer.h. */
#include "shards/control/outer.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "net/outer_parser.h"
#include "shards/control/control_internal.h"
#include "shards/control/desk.h"
#include "shards/socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_BYTES = 64,
    PINGS_OUT_MAX = 2,                 /* unanswered ones until the connection is taken for dead */
    GATHERED_KEPT_BYTES = 1024 * 1024, /* what a large message needed is given back */
};
#define PING_NS (120 * NS_PER_SECOND)
#define NO_RESPONDERS TEXT("NATS/1.0 503")

/* ---- out ---- */

static void say(struct control *control, const struct bytes *parts, size_t count)
{
    struct outer *outer = control->outer;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].count == 0 || output_append(&outer->output, &outer->pool, parts[i]) == ERR_OK)
            continue;
        outer_failed(control, "out of memory"); /* half a line cannot be taken back */
        return;
    }
}

static void say_text(struct control *control, const char *words)
{
    struct bytes part = text(words);
    say(control, &part, 1);
}

static struct output *waiting(struct outer *outer)
{
    return outer->stream == NULL ? &outer->output : tls_stream_output(outer->stream);
}

static uint64_t unsent_bytes(struct outer *outer)
{
    return outer->output.pending_bytes + (outer->stream == NULL ? 0 : waiting(outer)->pending_bytes);
}

void outer_step(struct control *control)
{
    struct outer *outer = control->outer;
    struct iovec parts[LOOP_SEND_PARTS_MAX];
    if (outer == NULL || outer->send.in_flight != 0 || outer->state < OUTER_GREETED ||
        outer->state > OUTER_OPEN)
        return;
    if (outer->stream != NULL && tls_stream_open(outer->stream) &&
        !tls_stream_write(outer->stream, &outer->output, TLS_UNSENT_BYTES_MAX / 2)) {
        outer_failed(control, tls_stream_error(outer->stream));
        return;
    }
    struct output *output = waiting(outer);
    if (!output_empty(output))
        loop_send(control->loop, &outer->send, outer->fd, parts,
                  output_gather(output, parts, LOOP_SEND_PARTS_MAX));
}

void outer_sent(struct control *control, int32_t result)
{
    struct outer *outer = control->outer;
    if (outer->state == OUTER_CLOSING) {
        outer_home(control);
        return;
    }
    if (result < 0)
        outer_failed(control, errno_text(-result).text);
    else
        output_sent(waiting(outer), &outer->pool, (uint64_t)result);
}

/* ---- the desk's ---- */

static void say_subscription(struct control *control, const struct desk_listener *listener)
{
    char behind[LINE_BYTES];
    int count = snprintf(behind, sizeof behind, " %" PRIu64 "\r\n", listener->sid);
    const struct bytes parts[] = {TEXT("SUB "), interest_pattern(listener->base.interest),
                                  bytes_of(behind, (size_t)count)};
    say(control, parts, COUNT_OF(parts));
}

void outer_listen(struct control *control, struct desk_listener *listener)
{
    listener->sid = ++control->outer->sids;
    if (control->outer->state == OUTER_OPEN)
        say_subscription(control, listener);
}

void outer_unlisten(struct control *control, const struct desk_listener *listener)
{
    char line[LINE_BYTES];
    snprintf(line, sizeof line, "UNSUB %" PRIu64 "\r\n", listener->sid);
    if (control->outer->state == OUTER_OPEN)
        say_text(control, line);
}

bool outer_publish(struct control *control, struct bytes subject, struct bytes reply, struct bytes body)
{
    struct outer *outer = control->outer;
    char size[LINE_BYTES];
    if (outer->state != OUTER_OPEN)
        return outer->was_open; /* dropped, or not yet */
    if (unsent_bytes(outer) >= OUTER_UNSENT_BYTES_MAX)
        return false;
    int count = snprintf(size, sizeof size, " %zu\r\n", body.count);
    const struct bytes parts[] = {TEXT("PUB "),
                                  subject,
                                  reply.count > 0 ? TEXT(" ") : TEXT(""),
                                  reply,
                                  bytes_of(size, (size_t)count),
                                  body,
                                  TEXT("\r\n")};
    say(control, parts, COUNT_OF(parts));
    return true;
}

void outer_stall(struct control *control, int64_t stall_ns)
{
    struct outer *outer = control->outer;
    if (!outer->stalled &&
        timers_set(&control->timers, &outer->stall_timer, control->now_ns + stall_ns) == ERR_OK)
        outer->stalled = true;
}

static void read_arm(struct control *control)
{
    struct outer *outer = control->outer;
    if (outer->read.in_flight == 0 && !outer->stalled && outer->state >= OUTER_GREETED &&
        outer->state <= OUTER_OPEN)
        loop_read(control->loop, &outer->read, outer->fd, outer->read_buffer, OUTER_READ_BYTES);
}

void outer_stall_due(struct control *control)
{
    control->outer->stalled = false;
    read_arm(control);
}

/* ---- the login ---- */

void outer_connected(struct control *control)
{
    struct outer *outer = control->outer;
    socket_set_up(outer->fd);
    output_clear(&outer->output, &outer->pool);
    tls_stream_free(outer->stream);
    outer->stream = NULL;
    outer->gathered_bytes = 0;
    outer->nonce_bytes = 0;
    outer->pings_out = 0;
    read_arm(control);
}

static void log_in(struct control *control)
{
    struct outer *outer = control->outer;
    const struct route_url *url = &outer->urls[outer->url_index];
    struct outer_identity identity = outer->identity;
    char why[OUTER_WHY_BYTES] = "";
    identity.secure = outer->stream != NULL;
    if (url->password.count > 0) {
        identity.user = url->user;
        identity.password = url->password;
    } else if (url->user.count > 0) {
        identity.token = url->user;
    }
    char *line = memory_new(OUTER_CONNECT_BYTES_MAX);
    size_t count = line == NULL
                       ? 0
                       : outer_connect_write(line, OUTER_CONNECT_BYTES_MAX, &identity,
                                             bytes_of(outer->nonce, outer->nonce_bytes), why, sizeof why);
    const struct bytes parts[] = {bytes_of(line, count), TEXT("PING\r\n")};
    if (count > 0) {
        outer_move(outer, OUTER_LOGIN);
        say(control, parts, COUNT_OF(parts));
        explicit_bzero(line, count);
    }
    memory_free(line);
    if (count == 0)
        outer_failed(control, why);
}

static bool secure_begin(struct control *control)
{
    struct outer *outer = control->outer;
    char why[OUTER_WHY_BYTES] = "out of memory";
    struct bytes nothing = {NULL, 0};
    if (outer->tls == NULL &&
        tls_context_new(&outer->tls, &outer->tls_options, TLS_CLIENT, why, sizeof why) != ERR_OK) {
        outer_failed(control, why);
        return false;
    }
    const char *host = outer->tls_host != NULL ? outer->tls_host : outer->urls[outer->url_index].host;
    if (tls_stream_new(&outer->stream, outer->tls, &outer->pool, host) != ERR_OK ||
        tls_stream_handshake(outer->stream, &nothing) == TLS_FAILED) {
        outer_failed(control, outer->stream == NULL ? why : tls_stream_error(outer->stream));
        return false;
    }
    outer_move(outer, OUTER_SECURING);
    return true;
}

static void greeted(struct control *control, struct bytes json)
{
    struct outer *outer = control->outer;
    struct json_document document = {0};
    struct outer_info info = {0};
    if (outer_info_read(&document, json, &info) != ERR_OK) {
        outer_failed(control, "nats: invalid INFO");
        return;
    }
    outer_urls_told(outer, info.connect_urls);
    bool begin = outer->state == OUTER_GREETED;
    bool secure = outer->tls_options.on || info.tls_required;
    if (begin && info.nonce.count <= sizeof outer->nonce) {
        outer->nonce_bytes = info.nonce.count;
        if (info.nonce.count > 0)
            memcpy(outer->nonce, info.nonce.data, info.nonce.count);
    }
    json_close(&document);
    if (begin && secure)
        (void)secure_begin(control);
    else if (begin)
        log_in(control);
}

/* All that the desk listens to. */
static void subscribe_all(struct control *control)
{
    struct desk *desk = &control->desk;
    for (struct interest *at = index_next(desk->index, NULL); at != NULL; at = index_next(desk->index, at)) {
        for (uint32_t i = 0; i < at->plain.count; i++)
            say_subscription(control,
                             CONTAINER_OF(subscription_at(&at->plain, i), struct desk_listener, base));
    }
}

static void ponged(struct control *control)
{
    struct outer *outer = control->outer;
    bool first = !outer->was_open;
    outer->pings_out = 0;
    if (outer->state != OUTER_LOGIN)
        return;
    outer_move(outer, OUTER_OPEN);
    outer->was_open = true;
    outer->tried = 0;
    outer_timer(control, PING_NS);
    subscribe_all(control);
    if (first)
        service_reached(control);
    else
        log_notice(control->log, "STREAM: connection \"%s\" reconnected to NATS Server at \"%s\"",
                   outer->identity.name, outer->urls[outer->url_index].text);
}

void outer_ping(struct control *control)
{
    struct outer *outer = control->outer;
    if (outer->pings_out++ >= PINGS_OUT_MAX) {
        outer_failed(control, "nats: stale connection");
        return;
    }
    say_text(control, "PING\r\n");
    outer_timer(control, PING_NS);
}

/* ---- in ---- */

static void refused(struct control *control, struct bytes words)
{
    char why[OUTER_WHY_BYTES];
    snprintf(why, sizeof why, "nats: %.*s", BYTES_PRINTF(words));
    if (control->outer->state == OUTER_OPEN)
        log_error(control->log, "STREAM: %s", why); /* the server closes where that is its meaning */
    else
        outer_failed(control, why);
}

static void handle(struct control *control, const struct outer_operation *operation)
{
    struct desk_message message;
    bool greets = operation->kind == OUTER_OP_INFO || operation->kind == OUTER_OP_ERR;
    if (control->outer->state == OUTER_GREETED && !greets) {
        /* An answer in clear could be on its way still when TLS begins. */
        outer_failed(control, "nats: protocol exception, INFO not received");
        return;
    }
    switch (operation->kind) {
    case OUTER_OP_MESSAGE:
        message = (struct desk_message){
            .nobody = bytes_start_with(operation->header, NO_RESPONDERS),
            .subject = operation->subject,
            .reply = operation->reply,
            .payload = operation->payload,
        };
        desk_take(control, &message);
        return;
    case OUTER_OP_INFO:
        greeted(control, operation->arguments);
        return;
    case OUTER_OP_PING:
        say_text(control, "PONG\r\n");
        return;
    case OUTER_OP_PONG:
        ponged(control);
        return;
    case OUTER_OP_OK:
        return;
    case OUTER_OP_ERR:
        refused(control, operation->arguments);
        return;
    }
}

/* Room behind what has gathered. */
static bool gathered_fit(struct outer *outer, size_t more)
{
    size_t needed = outer->gathered_bytes + more, capacity = outer->gathered_capacity;
    if (needed <= capacity)
        return true;
    while (capacity < needed)
        capacity = capacity == 0 ? 2 * OUTER_READ_BYTES : capacity * 2;
    uint8_t *grown = memory_grow(outer->gathered, capacity);
    if (grown == NULL)
        return false;
    outer->gathered = grown;
    outer->gathered_capacity = capacity;
    return true;
}

/* Takes in what is there whole. Handling an operation may end the connection. */
static void parse(struct control *control)
{
    struct outer *outer = control->outer;
    struct outer_operation operation;
    enum outer_parser_result result = OUTER_PARSER_OPERATION;
    size_t at = 0;
    while (result == OUTER_PARSER_OPERATION && outer->state >= OUTER_GREETED && outer->state <= OUTER_OPEN) {
        struct bytes left = bytes_of(outer->gathered + at, outer->gathered_bytes - at);
        result = outer_parser_next(left, OUTER_MESSAGE_BYTES_MAX, &operation);
        if (result != OUTER_PARSER_OPERATION)
            break;
        at += operation.used;
        handle(control, &operation);
        /* What stands in clear behind the INFO that TLS begins with is nobody's word. */
        if (outer->state == OUTER_SECURING)
            at = outer->gathered_bytes;
    }
    if (at > 0)
        memmove(outer->gathered, outer->gathered + at, outer->gathered_bytes - at);
    outer->gathered_bytes -= at;
    if (result == OUTER_PARSER_BAD)
        outer_failed(control, "nats: that is no NATS server, or its message is too large");
    if (outer->gathered_bytes == 0 && outer->gathered_capacity > GATHERED_KEPT_BYTES) {
        memory_free(outer->gathered);
        outer->gathered = NULL;
        outer->gathered_capacity = 0;
    }
}

/* Into what has gathered, decrypted where there is TLS. False: the connection is over, `*why` says why. */
static bool gather(struct outer *outer, struct bytes received, const char **why)
{
    *why = "out of memory";
    if (outer->stream == NULL) {
        if (!gathered_fit(outer, received.count))
            return false;
        memcpy(outer->gathered + outer->gathered_bytes, received.data, received.count);
        outer->gathered_bytes += received.count;
        return true;
    }
    enum tls_result result = TLS_DONE;
    if (!tls_stream_open(outer->stream))
        result = tls_stream_handshake(outer->stream, &received);
    while (result == TLS_DONE) {
        size_t count = 0;
        if (!gathered_fit(outer, TLS_RECORD_PLAIN_BYTES))
            return false;
        result = tls_stream_read(outer->stream, &received, outer->gathered + outer->gathered_bytes,
                                 TLS_RECORD_PLAIN_BYTES, &count);
        outer->gathered_bytes += count;
    }
    *why = result == TLS_FAILED ? tls_stream_error(outer->stream) : "EOF";
    return result == TLS_MORE;
}

void outer_read_done(struct control *control, int32_t result)
{
    struct outer *outer = control->outer;
    const char *why = "EOF";
    if (outer->state == OUTER_CLOSING) {
        outer_home(control);
        return;
    }
    if (result <= 0) {
        outer_failed(control, result < 0 ? errno_text(-result).text : why);
        return;
    }
    bool good = gather(outer, bytes_of(outer->read_buffer, (size_t)result), &why);
    if (good && outer->state == OUTER_SECURING && tls_stream_open(outer->stream))
        log_in(control);
    parse(control);
    if (!good)
        outer_failed(control, why);
    read_arm(control);
}

/* ---- beginning and end ---- */

static bool copy(struct arena *arena, struct bytes *text_of)
{
    if (text_of->count == 0)
        return true;
    char *made = arena_copy(arena, *text_of);
    *text_of = bytes_of(made, text_of->count);
    return made != NULL;
}

static bool copy_text(struct arena *arena, const char **text_of)
{
    if (*text_of == NULL || **text_of == 0) {
        *text_of = NULL;
        return true;
    }
    *text_of = arena_copy(arena, text(*text_of));
    return *text_of != NULL;
}

/* The options' texts go with the first reload. */
static bool setup_copy(struct outer *outer, const struct outer_setup *setup)
{
    struct arena *arena = &outer->arena;
    struct tls_options *tls = &outer->tls_options;
    outer->identity = setup->identity;
    outer->tls_host = setup->tls_host;
    *tls = setup->tls;
    bool good = copy_text(arena, &outer->identity.name) && copy(arena, &outer->identity.user) &&
                copy(arena, &outer->identity.password) && copy(arena, &outer->identity.token) &&
                copy_text(arena, &outer->identity.credentials_file) &&
                copy_text(arena, &outer->identity.seed_file) && copy_text(arena, &outer->tls_host) &&
                copy_text(arena, &tls->ca_file);
    outer->pair = setup->pair;
    good = good && copy_text(arena, &outer->pair.cert_file) && copy_text(arena, &outer->pair.key_file);
    if (outer->pair.cert_file != NULL) {
        tls->pairs = &outer->pair;
        tls->pair_count = 1;
    }
    return good;
}

enum err outer_open(struct control *control, const struct outer_setup *setup, char *why, size_t why_bytes)
{
    uint64_t seed = 0;
    struct outer *outer = memory_new(sizeof *outer);
    snprintf(why, why_bytes, "out of memory");
    if (outer == NULL)
        return ERR_MEMORY;
    control->outer = outer;
    outer->fd = -1;
    outer->connect.kind = outer->read.kind = outer->send.kind = CONTROL_OP_OUTER;
    outer->timer.kind = CONTROL_TIMER_OUTER;
    outer->stall_timer.kind = CONTROL_TIMER_OUTER_STALL;
    outer->read_buffer = memory_new(OUTER_READ_BYTES);
    bool good = outer->read_buffer != NULL && random_secure(&seed, sizeof seed) == ERR_OK &&
                setup_copy(outer, setup) && outer_urls_read(outer, setup->urls, why, why_bytes);
    random_seed(&outer->random, seed);
    if (good && outer->tls_options.on) /* files that are wrong are told of at the start */
        good = tls_context_new(&outer->tls, &outer->tls_options, TLS_CLIENT, why, why_bytes) == ERR_OK;
    if (!good) {
        outer_close(control);
        return ERR_INVALID;
    }
    outer_timer(control, 0);
    return ERR_OK;
}

void outer_close(struct control *control)
{
    struct outer *outer = control->outer;
    struct loop_completion completion;
    if (outer == NULL)
        return;
    timers_cancel(&control->timers, &outer->timer);
    timers_cancel(&control->timers, &outer->stall_timer);
    struct loop_op *const ops[] = {&outer->connect, &outer->read, &outer->send};
    if (outer->fd >= 0)
        (void)shutdown(outer->fd, SHUT_RDWR);
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        if (ops[i]->in_flight != 0)
            loop_cancel(control->loop, ops[i]);
    }
    while (outer->connect.in_flight + outer->read.in_flight + outer->send.in_flight > 0) {
        loop_wait(control->loop, -1);
        while (loop_next(control->loop, &completion))
            continue; /* the loop notes what is home; nobody is left to be told */
    }
    if (outer->fd >= 0)
        close(outer->fd);
    output_clear(&outer->output, &outer->pool);
    tls_stream_free(outer->stream);
    tls_context_release(outer->tls);
    output_pool_close(&outer->pool);
    memory_free(outer->read_buffer);
    memory_free(outer->gathered);
    arena_close(&outer->arena);
    memory_free(outer);
    control->outer = NULL;
}
