/* shards/control/outer_dial.c - to which of the addresses, when, and what happens after each end; see
 * outer.h. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/log.h"
#include "net/url_shown.h"
#include "shards/control/control_internal.h"
#include "shards/control/outer.h"
#include "shards/mail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { URL_BYTES_MAX = 512 };
#define CONNECT_NS (2 * NS_PER_SECOND)
#define PAUSE_NS (250 * NS_PER_MS) /* after all addresses have been tried */
#define PORT_DEFAULT ":4222"

#define TO(state) (1U << (state))
#define ENDS (TO(OUTER_CLOSING) | TO(OUTER_WAITING) | TO(OUTER_ENDED))
static const uint16_t outer_moves[OUTER_STATES] = {
    [OUTER_WAITING] = TO(OUTER_RESOLVING) | ENDS,
    [OUTER_RESOLVING] = TO(OUTER_CONNECTING) | ENDS,
    [OUTER_CONNECTING] = TO(OUTER_GREETED) | ENDS,
    [OUTER_GREETED] = TO(OUTER_SECURING) | TO(OUTER_LOGIN) | ENDS,
    [OUTER_SECURING] = TO(OUTER_LOGIN) | ENDS,
    [OUTER_LOGIN] = TO(OUTER_OPEN) | ENDS,
    [OUTER_OPEN] = ENDS,
    [OUTER_CLOSING] = ENDS,
    [OUTER_ENDED] = 0,
};

void outer_move(struct outer *outer, enum outer_state next)
{
    ASSERT(outer_moves[outer->state] & TO(next));
    outer->state = (uint8_t)next;
}

void outer_timer(struct control *control, int64_t wait_ns)
{
    struct outer *outer = control->outer;
    if (timers_set(&control->timers, &outer->timer, control->now_ns + wait_ns) == ERR_OK)
        return;
    log_fatal(control->log, "STREAM: no memory to reach the NATS server");
    control_end(control, 1); /* without a timer it would wait for ever */
}

/* ---- addresses ---- */

static bool url_known(const struct outer *outer, const struct route_url *url)
{
    for (uint32_t i = 0; i < outer->url_count; i++) {
        if (outer->urls[i].port == url->port && strcmp(outer->urls[i].host, url->host) == 0)
            return true;
    }
    return false;
}

/* scheme://[user[:password]@]host[:port]; scheme and port may be left out where `lenient`. */
static bool url_add(struct outer *outer, struct bytes given, bool lenient)
{
    char whole[URL_BYTES_MAX];
    struct arena first = {0}; /* one that is known already takes no room in the connection's */
    struct route_url url;
    while (given.count > 0 && given.data[0] == ' ')
        given = bytes_of(given.data + 1, given.count - 1);
    while (given.count > 0 && given.data[given.count - 1] == ' ')
        given.count--;
    bool scheme = given.count > 0 && memmem(given.data, given.count, "://", 3) != NULL;
    int count =
        snprintf(whole, sizeof whole, "%s%.*s", lenient && !scheme ? "nats://" : "", BYTES_PRINTF(given));
    if (given.count == 0 || count < 0 || (size_t)count + sizeof PORT_DEFAULT > sizeof whole)
        return false;
    const char *at = strrchr(whole, '@');
    const char *host = at != NULL ? at + 1 : strstr(whole, "://");
    host = host != NULL && at == NULL ? host + 3 : host;
    const char *bracket = host == NULL ? NULL : strrchr(host, ']');
    if (lenient && host != NULL && strchr(bracket == NULL ? host : bracket, ':') == NULL)
        memcpy(whole + count, PORT_DEFAULT, sizeof PORT_DEFAULT);
    bool good = route_url_parse(text(whole), &first, &url);
    if (good && outer->url_count < OUTER_URLS_MAX && !url_known(outer, &url)) {
        good = route_url_parse(text(whole), &outer->arena, &outer->urls[outer->url_count]);
        outer->url_count += good;
    }
    /* No login goes in clear where the configuration says so. Of all of them, as with NATS's clients; not of
     * a single URL without login, whose scheme nats-streaming-server drops. */
    if (good && lenient && strncasecmp(whole, "tls://", 6) == 0)
        outer->tls_options.on = true;
    explicit_bzero(whole, sizeof whole);
    arena_close(&first);
    return good;
}

bool outer_urls_read(struct outer *outer, const char *urls, char *why, size_t why_bytes)
{
    /* One without a login has to be complete, as with nats-streaming-server; a list is what its client takes.
     */
    bool lenient = strpbrk(urls, "@,") != NULL;
    struct bytes rest = text(urls);
    bool more = true;
    while (more) {
        const uint8_t *comma = rest.count == 0 ? NULL : memchr(rest.data, ',', rest.count);
        size_t count = comma == NULL ? rest.count : (size_t)(comma - rest.data);
        if (!url_add(outer, bytes_of(rest.data, count), lenient)) {
            snprintf(why, why_bytes, "malformed url: %s",
                     lenient ? "in the list of NATS servers" : url_shown(text(urls)).text);
            return false;
        }
        more = comma != NULL;
        rest = more ? bytes_of(comma + 1, rest.count - count - 1) : rest;
    }
    return true;
}

void outer_urls_told(struct outer *outer, struct bytes connect_urls)
{
    const uint8_t *zero;
    while (connect_urls.count > 0 && (zero = memchr(connect_urls.data, 0, connect_urls.count)) != NULL) {
        size_t count = (size_t)(zero - connect_urls.data);
        if (outer->url_count < OUTER_URLS_MAX)
            (void)url_add(outer, bytes_of(connect_urls.data, count),
                          true); /* one that is none is of no use */
        connect_urls = bytes_of(zero + 1, connect_urls.count - count - 1);
    }
}

/* ---- dialling ---- */

static void resolve(struct control *control)
{
    struct outer *outer = control->outer;
    struct block_pool none = {0};
    struct bytes host = text(outer->urls[outer->url_index].host);
    struct mail_resolve mail = {.kind = MAIL_RESOLVE,
                                .count = (uint32_t)host.count,
                                .dial = OUTER_RESOLVE_NUMBER,
                                .block = block_take(&none, host.count + 1)};
    bool good = mail.block != NULL;
    if (good) {
        memcpy(mail.block->bytes, host.data, host.count);
        good = control_tell(control, control->shard_count + 1, &mail, sizeof mail);
    }
    if (good) {
        outer_move(outer, OUTER_RESOLVING);
    } else { /* a moment later there is room or memory */
        block_release(&none, mail.block);
        outer_timer(control, PAUSE_NS);
    }
    block_pool_close(&none);
}

bool outer_mail_resolved(struct control *control, const uint8_t *bytes)
{
    struct outer *outer = control->outer;
    struct mail_resolve mail;
    struct block_pool none = {0};
    socklen_t count = 0;
    memcpy(&mail, bytes, sizeof mail);
    if (mail.dial != OUTER_RESOLVE_NUMBER)
        return false;
    struct bytes addresses = bytes_of(mail.block == NULL ? NULL : mail.block->bytes, mail.count);
    if (outer != NULL && outer->state == OUTER_RESOLVING) {
        uint16_t port = outer->urls[outer->url_index].port;
        if (!dial_address_choose(&outer->random, addresses, port, &outer->address, &count)) {
            outer_failed(control, "no such host");
        } else if ((outer->fd = socket(outer->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) {
            outer_failed(control, errno_text(errno).text);
        } else {
            outer_move(outer, OUTER_CONNECTING);
            loop_connect(control->loop, &outer->connect, outer->fd, &outer->address.any, count);
            outer_timer(control, CONNECT_NS);
        }
    }
    block_release(&none, mail.block);
    block_pool_close(&none);
    return true;
}

/* The next address: at once, or after a pause when all have been tried. */
static void next(struct control *control)
{
    struct outer *outer = control->outer;
    outer_move(outer, OUTER_WAITING);
    outer->url_index = (outer->url_index + 1) % outer->url_count;
    if (outer->tried % outer->url_count != 0) {
        outer_timer(control, 0);
        return;
    }
    if (outer->was_open) {
        outer_timer(control, PAUSE_NS);
        return;
    }
    /* Whoever starts with a wrong address or login shall hear of it, not wait for ever. */
    log_fatal(control->log, "STREAM: Failed to start: %s", outer->why);
    outer_move(outer, OUTER_ENDED);
    control_end(control, 1);
}

void outer_home(struct control *control)
{
    struct outer *outer = control->outer;
    if (outer->state != OUTER_CLOSING ||
        outer->connect.in_flight + outer->read.in_flight + outer->send.in_flight > 0)
        return;
    close(outer->fd);
    outer->fd = -1;
    next(control);
}

void outer_failed(struct control *control, const char *why)
{
    struct outer *outer = control->outer;
    if (outer->state == OUTER_CLOSING || outer->state == OUTER_WAITING || outer->state == OUTER_ENDED)
        return; /* it was said already */
    if (outer->state == OUTER_OPEN)
        log_error(control->log, "STREAM: connection \"%s\" has been disconnected: %s", outer->identity.name,
                  why);
    else if (outer->was_open)
        log_debug(control->log, "Cannot reach the NATS server %s: %s", outer->urls[outer->url_index].text,
                  why);
    snprintf(outer->why, sizeof outer->why, "%s", why);
    timers_cancel(&control->timers, &outer->timer);
    outer->tried++;
    if (outer->fd < 0) {
        next(control);
        return;
    }
    outer_move(outer, OUTER_CLOSING);
    (void)shutdown(outer->fd, SHUT_RDWR);
    if (outer->connect.in_flight != 0)
        loop_cancel(control->loop, &outer->connect);
    if (outer->read.in_flight != 0)
        loop_cancel(control->loop, &outer->read);
    if (outer->send.in_flight != 0)
        loop_cancel(control->loop, &outer->send);
    outer_home(control);
}

static void connect_done(struct control *control, int32_t result)
{
    char why[OUTER_WHY_BYTES];
    if (control->outer->state != OUTER_CONNECTING) {
        outer_home(control);
        return;
    }
    if (result >= 0) {
        outer_move(control->outer, OUTER_GREETED);
        outer_timer(control, CONNECT_NS);
        outer_connected(control);
        return;
    }
    dial_failure_text(-result, why, sizeof why);
    outer_failed(control, control->outer->was_open ? why : "nats: no servers available for connection");
}

void outer_due(struct control *control)
{
    struct outer *outer = control->outer;
    switch ((enum outer_state)outer->state) {
    case OUTER_WAITING:
        resolve(control);
        return;
    case OUTER_CONNECTING:
    case OUTER_GREETED:
    case OUTER_SECURING:
    case OUTER_LOGIN:
        outer_failed(control, outer->was_open ? "i/o timeout" : "nats: no servers available for connection");
        return;
    case OUTER_OPEN:
        outer_ping(control);
        return;
    case OUTER_RESOLVING:
    case OUTER_CLOSING:
    case OUTER_ENDED:
        return;
    }
}

void outer_completed(struct control *control, const struct loop_completion *completion)
{
    struct outer *outer = control->outer;
    if (outer == NULL)
        return;
    if (completion->op == &outer->connect)
        connect_done(control, completion->result);
    else if (completion->op == &outer->read)
        outer_read_done(control, completion->result);
    else
        outer_sent(control, completion->result);
}
