/* shards/control/cluster_dial.c - dialling other servers: a name is looked up by the worker, a connect goes
 * through the ring, and what fails is tried again (spec/routes.md 3.1, 18). */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DIAL_TIMEOUT_NS NS_PER_SECOND
#define DIAL_PAUSE_NS NS_PER_SECOND
#define DIAL_PAUSE_MOST_NS (30 * NS_PER_SECOND)
#define DIAL_SPREAD_NS (100 * NS_PER_MS) /* so that two that lost each other do not meet again and again */

static void dial_free(struct dial *dial)
{
    list_remove(&dial->all);
    arena_close(&dial->arena);
    memory_free(dial);
}

static bool same_address(const struct dial *dial, const char *host, uint16_t port)
{
    return dial->url.port == port && strcmp(dial->url.host, host) == 0 && !dial->given_up;
}

bool cluster_dial_known(const struct control *control, const char *host, uint16_t port, uint8_t line)
{
    const struct cluster *cluster = &control->cluster;
    for (struct list_link *at = list_first(&cluster->dials); at != NULL;
         at = list_next(&cluster->dials, at)) {
        const struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        if (same_address(dial, host, port) && dial->line == line)
            return true;
    }
    return false;
}

static void timer_set_in(struct control *control, struct dial *dial, int64_t wait_ns)
{
    if (timers_set(&control->timers, &dial->timer, control->now_ns + wait_ns) == ERR_OK)
        return;
    log_error(control->log, "No memory to dial %s again", dial->url.text);
    cluster_dial_drop(control, dial);
}

/* The caller's texts go, those of a snapshot with the next reload. One that another server told of has no
 * login of its own. False: no memory. */
static bool url_copy(struct dial *dial, const struct route_url *url)
{
    struct arena *arena = &dial->arena;
    dial->url = (struct route_url){.text = arena_copy(arena, text(url->text)),
                                   .host = arena_copy(arena, text(url->host)),
                                   .port = url->port};
    if (dial->configured && url->user.count > 0) {
        dial->url.user = bytes_of(arena_copy(arena, url->user), url->user.count);
        dial->url.password = bytes_of(arena_copy(arena, url->password), url->password.count);
        if (dial->url.user.data == NULL || dial->url.password.data == NULL)
            return false;
    }
    return dial->url.text != NULL && dial->url.host != NULL;
}

void cluster_dial_new(struct control *control, const struct route_url *url, bool configured, uint8_t line,
                      const struct dial *like)
{
    struct cluster *cluster = &control->cluster;
    struct dial *dial = memory_new(sizeof *dial);
    if (dial == NULL) {
        log_error(control->log, "No memory to dial %s", url->text);
        return;
    }
    dial->fd = -1;
    dial->configured = configured;
    dial->line = line;
    dial->further = like != NULL;
    dial->number = ++cluster->dial_numbers;
    dial->connect.kind = CONTROL_OP_DIAL;
    dial->timer.kind = CONTROL_TIMER_DIAL;
    list_push_last(&cluster->dials, &dial->all);
    if (!url_copy(dial, url)) {
        log_error(control->log, "No memory to dial another server");
        dial_free(dial);
        return;
    }
    timer_set_in(control, dial, 0);
}

void cluster_dial_drop(struct control *control, struct dial *dial)
{
    struct cluster *cluster = &control->cluster;
    timers_cancel(&control->timers, &dial->timer);
    for (struct list_link *at = list_first(&cluster->routes); at != NULL;
         at = list_next(&cluster->routes, at)) {
        struct cluster_route *route = LIST_ELEMENT(at, struct cluster_route, all);
        if (route->dial == dial)
            route->dial = NULL;
    }
    dial->given_up = true;
    if (dial->connect.in_flight != 0)
        loop_cancel(control->loop, &dial->connect);
    else
        dial_free(dial); /* an answer of the worker looks for its number and finds nobody */
}

/* Waits and dials again, or gives up one that another server told of. */
static void failed(struct control *control, struct dial *dial)
{
    const struct cluster_options *options = &control->snapshot->options->cluster;
    if (!dial->configured && dial->attempts > (uint64_t)options->connect_retries) {
        cluster_dial_drop(control, dial);
        return;
    }
    dial->state = DIAL_WAITING;
    dial->delay_ns = options->connect_backoff && dial->delay_ns > 0 ? dial->delay_ns * 2 : DIAL_PAUSE_NS;
    if (dial->delay_ns > DIAL_PAUSE_MOST_NS)
        dial->delay_ns = DIAL_PAUSE_MOST_NS;
    timer_set_in(control, dial, dial->delay_ns);
}

static void report(struct control *control, struct dial *dial, const char *why)
{
    bool reported = dial_reported(control->snapshot->options, dial->was_connected, dial->attempts);
    log_line(control->log, reported ? LOG_ERROR : LOG_DEBUG,
             "Error trying to connect to route (attempt %llu): dial tcp %s:%u: %s",
             (unsigned long long)dial->attempts, dial->url.host, dial->url.port, why);
}

void cluster_dial_again(struct control *control, struct dial *dial, bool registered)
{
    struct cluster *cluster = &control->cluster;
    int64_t spread_ns = (int64_t)(random_next(&cluster->random) % DIAL_SPREAD_NS);
    dial->rid = 0;
    if (!registered) {
        failed(control, dial);
        return;
    }
    dial->state = DIAL_WAITING;
    dial->attempts = 0;
    dial->delay_ns = 0;
    bool waits = dial->configured && !dial->soon;
    dial->soon = false;
    timer_set_in(control, dial, (waits ? DIAL_PAUSE_NS : 0) + spread_ns);
}

/* ---- looking up, connecting ---- */

static void resolve(struct control *control, struct dial *dial)
{
    struct block_pool none = {0};
    struct bytes host = text(dial->url.host);
    struct mail_resolve mail = {.kind = MAIL_RESOLVE,
                                .count = (uint32_t)host.count,
                                .dial = dial->number,
                                .block = block_take(&none, host.count + 1)};
    dial->attempts++;
    log_debug(control->log, "Trying to connect to route on %s:%u (%s)", dial->url.host, dial->url.port,
              dial->url.text);
    bool good = mail.block != NULL;
    if (good) {
        memcpy(mail.block->bytes, host.data, host.count);
        good = control_tell(control, control->shard_count + 1, &mail, sizeof mail);
    }
    if (!good) {
        block_release(&none, mail.block);
        failed(control, dial);
    } else {
        dial->state = DIAL_RESOLVING;
    }
    block_pool_close(&none);
}

void cluster_dial_due(struct control *control, struct dial *dial)
{
    if (dial->state == DIAL_CONNECTING)
        loop_cancel(control->loop, &dial->connect); /* the end comes as a completion */
    else if (dial->state == DIAL_WAITING)
        resolve(control, dial);
}

static struct dial *dial_by_number(struct cluster *cluster, uint64_t number)
{
    for (struct list_link *at = list_first(&cluster->dials); at != NULL;
         at = list_next(&cluster->dials, at)) {
        struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        if (dial->number == number && !dial->given_up)
            return dial;
    }
    return NULL;
}

void cluster_mail_resolved(struct control *control, const uint8_t *bytes)
{
    struct mail_resolve mail;
    struct block_pool none = {0};
    socklen_t count = 0;
    memcpy(&mail, bytes, sizeof mail);
    struct dial *dial = dial_by_number(&control->cluster, mail.dial);
    struct bytes addresses = bytes_of(mail.block == NULL ? NULL : mail.block->bytes, mail.count);
    if (dial != NULL && dial->state == DIAL_RESOLVING) {
        if (!dial_address_choose(&control->cluster.random, addresses, dial->url.port, &dial->address,
                                 &count)) {
            report(control, dial, "no such host");
            failed(control, dial);
        } else if ((dial->fd = socket(dial->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) {
            report(control, dial, errno_text(errno).text);
            failed(control, dial);
        } else {
            dial->state = DIAL_CONNECTING;
            loop_connect(control->loop, &dial->connect, dial->fd, &dial->address.any, count);
            timer_set_in(control, dial, DIAL_TIMEOUT_NS);
        }
    }
    block_release(&none, mail.block);
    block_pool_close(&none);
}

void cluster_connect_done(struct control *control, struct dial *dial, int32_t result)
{
    int fd = dial->fd;
    dial->fd = -1;
    timers_cancel(&control->timers, &dial->timer);
    if (dial->given_up) {
        close(fd);
        dial_free(dial);
        return;
    }
    if (result < 0) {
        close(fd);
        char why[128];
        dial_failure_text(-result, why, sizeof why);
        report(control, dial, why);
        failed(control, dial);
        return;
    }
    struct cluster_route *route = cluster_route_new(control, fd, &dial->address.any, dial);
    if (route == NULL) {
        failed(control, dial);
        return;
    }
    dial->state = DIAL_CONNECTED;
    dial->rid = route->rid;
}
