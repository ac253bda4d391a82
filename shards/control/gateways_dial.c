/* shards/control/gateways_dial.c - dialling other clusters: a round tries all known addresses of one in
 * random order until one of them answers (spec/gateways.md 6.4, 13). */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/log.h"
#include "shards/control/control_internal.h"
#include "shards/control/gateways_internal.h"
#include "shards/mail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIAL_TIMEOUT_NS NS_PER_SECOND
#define DIAL_PAUSE_NS NS_PER_SECOND
#define DIAL_PAUSE_MOST_NS (30 * NS_PER_SECOND)
#define DIAL_SPREAD_NS (100 * NS_PER_MS)
#define DIAL_NUMBERS (1ULL << 63) /* tells them from those of routes */

static void next_address(struct control *control, struct gateway_cluster *cluster);

static void free_place(struct gateway_cluster *cluster)
{
    uint64_t untold = cluster->untold;
    arena_close(&cluster->arena);
    arena_close(&cluster->dial_arena);
    *cluster = (struct gateway_cluster){.untold = untold};
}

static void timer_set_in(struct control *control, struct gateway_cluster *cluster, int64_t wait_ns)
{
    if (timers_set(&control->timers, &cluster->timer, control->now_ns + wait_ns) == ERR_OK)
        return;
    log_error(control->log, "No memory to dial gateway \"%s\"", cluster->name);
    gateways_dial_drop(control, cluster);
}

void gateways_dial_in(struct control *control, struct gateway_cluster *cluster, int64_t wait_ns)
{
    cluster->state = GATEWAY_WAITING;
    cluster->left = 0;
    cluster->timer.kind = CONTROL_TIMER_GATEWAY_DIAL;
    cluster->connect.kind = CONTROL_OP_GATEWAY_DIAL;
    timer_set_in(control, cluster, wait_ns);
}

void gateways_dial_drop(struct control *control, struct gateway_cluster *cluster)
{
    timers_cancel(&control->timers, &cluster->timer);
    cluster->forget = true;
    if (cluster->connect.in_flight != 0)
        loop_cancel(control->loop, &cluster->connect);
    else if (cluster->link == NULL)
        free_place(cluster); /* an answer of the worker looks for its number and finds nobody */
}

void gateways_dial_again(struct control *control, struct gateway_cluster *cluster, bool registered)
{
    int64_t spread_ns = (int64_t)(random_next(&control->gateways.random) % DIAL_SPREAD_NS);
    bool configured = cluster->remote_number > 0;
    if (cluster->forget) {
        free_place(cluster);
        return;
    }
    if (registered)
        cluster->attempts = 0;
    gateways_dial_in(control, cluster, (configured || !registered ? DIAL_PAUSE_NS : 0) + spread_ns);
}

static bool has_inbound(const struct control *control, const struct gateway_cluster *cluster)
{
    const struct gateway_core *core = &control->gateways;
    for (struct list_link *at = list_first(&core->links); at != NULL; at = list_next(&core->links, at)) {
        const struct gateway_link *link = LIST_ELEMENT(at, struct gateway_link, all);
        if (!link->solicited && link->registered && strcmp(link->name, cluster->name) == 0)
            return true;
    }
    return false;
}

/* All addresses have failed. One that nobody configured is forgotten after some rounds, unless it has found
 * us: it comes back by that or by gossip. */
static void round_failed(struct control *control, struct gateway_cluster *cluster)
{
    const struct gateway_options *options = &control->snapshot->options->gateway;
    bool over = options->connect_retries < 0 || cluster->attempts > (uint64_t)options->connect_retries;
    if (cluster->remote_number == 0 && over && !has_inbound(control, cluster)) {
        gateways_dial_drop(control, cluster);
        return;
    }
    cluster->delay_ns =
        options->connect_backoff && cluster->delay_ns > 0 ? cluster->delay_ns * 2 : DIAL_PAUSE_NS;
    if (cluster->delay_ns > DIAL_PAUSE_MOST_NS)
        cluster->delay_ns = DIAL_PAUSE_MOST_NS;
    gateways_dial_in(control, cluster, cluster->delay_ns);
}

static bool reported(const struct control *control, const struct gateway_cluster *cluster)
{
    return dial_reported(control->snapshot->options, cluster->was_connected, cluster->attempts);
}

static void where(const struct gateway_cluster *cluster, char *out, size_t out_bytes)
{
    char address[48] = "";
    uint16_t port = cluster->at.port;
    dial_address_show(&cluster->address.any, address, sizeof address, &port);
    snprintf(out, out_bytes, "%s gateway \"%s\" (%s:%u) at %s:%u (attempt %llu)",
             cluster->remote_number > 0 ? "explicit" : "implicit", cluster->name, cluster->at.host,
             cluster->at.port, address[0] == 0 ? cluster->at.host : address, port,
             (unsigned long long)cluster->attempts);
}

static void report(struct control *control, const struct gateway_cluster *cluster, const char *why)
{
    char shown[GATEWAY_NAME_BYTES + GATEWAY_HOST_BYTES + 160];
    char address[48] = "";
    uint16_t port = cluster->at.port;
    where(cluster, shown, sizeof shown);
    dial_address_show(&cluster->address.any, address, sizeof address, &port);
    log_line(control->log, reported(control, cluster) ? LOG_ERROR : LOG_DEBUG,
             "Error connecting to %s: dial tcp %s:%u: %s", shown,
             address[0] == 0 ? cluster->at.host : address, port, why);
}

/* ---- a round ---- */

/* In an order drawn anew, the addresses of which some may have come since. */
static void round_begin(struct control *control, struct gateway_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->address_count; i++) {
        uint32_t j = random_below(&control->gateways.random, i + 1);
        cluster->order[i] = cluster->order[j];
        cluster->order[j] = (uint8_t)i;
    }
    cluster->left = cluster->address_count;
    cluster->attempts++;
}

static bool address_take(struct gateway_cluster *cluster)
{
    const struct gateway_address *next = &cluster->addresses[cluster->order[--cluster->left]];
    struct arena *arena = &cluster->dial_arena;
    arena_close(arena);
    cluster->at = (struct gateway_address){.host = arena_copy(arena, text(next->host)), .port = next->port};
    memset(&cluster->address, 0, sizeof cluster->address);
    if (cluster->at.host == NULL)
        return false;
    if (next->user.count > 0) {
        cluster->at.user = bytes_of(arena_copy(arena, next->user), next->user.count);
        cluster->at.password = bytes_of(arena_copy(arena, next->password), next->password.count);
    }
    return next->user.count == 0 || (cluster->at.user.data != NULL && cluster->at.password.data != NULL);
}

static void resolve(struct control *control, struct gateway_cluster *cluster)
{
    struct block_pool none = {0};
    struct bytes host = text(cluster->at.host);
    cluster->number = DIAL_NUMBERS | ++control->gateways.dial_numbers;
    struct mail_resolve mail = {.kind = MAIL_RESOLVE,
                                .count = (uint32_t)host.count,
                                .dial = cluster->number,
                                .block = block_take(&none, host.count + 1)};
    bool good = mail.block != NULL;
    if (good) {
        memcpy(mail.block->bytes, host.data, host.count);
        good = control_tell(control, control->shard_count + 1, &mail, sizeof mail);
    }
    cluster->state = GATEWAY_RESOLVING;
    if (!good) {
        block_release(&none, mail.block);
        round_failed(control, cluster);
    }
    block_pool_close(&none);
}

static void next_address(struct control *control, struct gateway_cluster *cluster)
{
    if (cluster->left > cluster->address_count)
        cluster->left = cluster->address_count; /* there are fewer now */
    if (cluster->left == 0 || !address_take(cluster))
        round_failed(control, cluster);
    else
        resolve(control, cluster);
}

void gateways_dial_due(struct control *control, struct gateway_cluster *cluster)
{
    if (cluster->state == GATEWAY_CONNECTING) {
        loop_cancel(control->loop, &cluster->connect); /* the end comes as a completion */
    } else if (cluster->state == GATEWAY_WAITING) {
        round_begin(control, cluster);
        next_address(control, cluster);
    }
}

static struct gateway_cluster *by_number(struct gateway_core *core, uint64_t number)
{
    for (size_t i = 0; core->clusters != NULL && i < GATEWAYS_MAX; i++) {
        if (core->clusters[i].number == number && core->clusters[i].state == GATEWAY_RESOLVING &&
            !core->clusters[i].forget)
            return &core->clusters[i];
    }
    return NULL;
}

static void connect_to(struct control *control, struct gateway_cluster *cluster, struct bytes addresses)
{
    char shown[GATEWAY_NAME_BYTES + GATEWAY_HOST_BYTES + 160];
    socklen_t count = 0;
    if (!dial_address_choose(&control->gateways.random, addresses, cluster->at.port, &cluster->address,
                             &count)) {
        report(control, cluster, "no such host");
        next_address(control, cluster);
        return;
    }
    cluster->fd = socket(cluster->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (cluster->fd < 0) {
        cluster->fd = 0;
        report(control, cluster, errno_text(errno).text);
        next_address(control, cluster);
        return;
    }
    where(cluster, shown, sizeof shown);
    log_line(control->log, reported(control, cluster) ? LOG_NOTICE : LOG_DEBUG, "Connecting to %s", shown);
    cluster->state = GATEWAY_CONNECTING;
    loop_connect(control->loop, &cluster->connect, cluster->fd, &cluster->address.any, count);
    timer_set_in(control, cluster, DIAL_TIMEOUT_NS);
}

bool gateways_mail_resolved(struct control *control, const uint8_t *bytes)
{
    struct mail_resolve mail;
    struct block_pool none = {0};
    memcpy(&mail, bytes, sizeof mail);
    if ((mail.dial & DIAL_NUMBERS) == 0)
        return false;
    struct gateway_cluster *cluster = by_number(&control->gateways, mail.dial);
    if (cluster != NULL)
        connect_to(control, cluster, bytes_of(mail.block == NULL ? NULL : mail.block->bytes, mail.count));
    block_release(&none, mail.block);
    block_pool_close(&none);
    return true;
}

void gateways_connect_done(struct control *control, struct gateway_cluster *cluster, int32_t result)
{
    int fd = cluster->fd;
    char why[128];
    cluster->fd = 0;
    timers_cancel(&control->timers, &cluster->timer);
    if (cluster->forget || result < 0)
        close(fd);
    if (cluster->forget) {
        free_place(cluster);
    } else if (result < 0) {
        dial_failure_text(-result, why, sizeof why);
        report(control, cluster, why);
        next_address(control, cluster);
    } else {
        cluster->state = GATEWAY_CONNECTED;
        cluster->link = gateways_link_new(control, fd, &cluster->address.any, cluster);
        if (cluster->link == NULL)
            round_failed(control, cluster);
    }
}
