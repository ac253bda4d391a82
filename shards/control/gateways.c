/* shards/control/gateways.c - the gateway port, and handing sockets over to shards. Dials are in
 * gateways_dial.c, what is known of other clusters in gateways_clusters.c, what connections say in
 * gateways_members.c. */
#include "shards/control/gateways.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/base/version.h"
#include "net/route.h"
#include "shards/control/control_internal.h"
#include "shards/control/gateways_internal.h"
#include "shards/mail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_DIAL_NS NS_PER_SECOND /* the own cluster forms meanwhile (spec/gateways.md 6.4) */
#define PING_INTERVAL_NS (15 * NS_PER_SECOND)

static const struct gateway_options *options_of(const struct control *control)
{
    return &control->snapshot->options->gateway;
}

enum err gateways_core_init(struct control *control)
{
    struct gateway_core *core = &control->gateways;
    uint64_t seed;
    list_init(&core->links);
    core->listen_fd = -1;
    if (!options_of(control)->given)
        return ERR_OK;
    core->accept.kind = CONTROL_OP_GATEWAY_ACCEPT;
    core->accept_timer.kind = CONTROL_TIMER_GATEWAY_ACCEPT;
    if (random_secure(&seed, sizeof seed) != ERR_OK)
        return ERR_SYSTEM;
    random_seed(&core->random, seed);
    core->clusters = memory_new(GATEWAYS_MAX * sizeof *core->clusters);
    return core->clusters == NULL ? ERR_MEMORY : ERR_OK;
}

/* ---- who we are ---- */

static bool wildcard(const char *host)
{
    return host == NULL || host[0] == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* The first address by which somebody else can reach this host; else the one of loopback. */
static void first_address(struct log *log, char *host, size_t host_bytes)
{
    struct ifaddrs *first = NULL;
    snprintf(host, host_bytes, "127.0.0.1");
    if (getifaddrs(&first) != 0) {
        log_warning(log, "Addresses of the interfaces are unknown, gateways are told %s: %s", host,
                    errno_text(errno).text);
        return;
    }
    for (const struct ifaddrs *at = first; at != NULL; at = at->ifa_next) {
        uint16_t port;
        if (at->ifa_addr == NULL || (at->ifa_flags & IFF_LOOPBACK) != 0 || at->ifa_addr->sa_family != AF_INET)
            continue;
        dial_address_show(at->ifa_addr, host, host_bytes, &port);
        break;
    }
    freeifaddrs(first);
}

static bool advertise_make(struct control *control, char *why, size_t why_bytes)
{
    struct gateway_core *core = &control->gateways;
    const struct gateway_options *options = options_of(control);
    struct arena arena = {0};
    const char *host = options->host;
    int64_t port = core->port;
    char found[GATEWAY_HOST_BYTES];
    bool good = true;
    if (options->advertise != NULL && options->advertise[0] != 0) {
        good = cluster_address_split(text(options->advertise), &arena, &host, &port) && port > 0;
    } else if (wildcard(host)) {
        first_address(control->log, found, sizeof found);
        host = found;
    }
    if (good) {
        bool six = strchr(host, ':') != NULL;
        snprintf(core->host, sizeof core->host, "%s", host);
        snprintf(core->url, sizeof core->url, six ? "[%s]:%u" : "%s:%u", core->host, (unsigned)port);
    } else {
        snprintf(why, why_bytes, "Error setting up gateway advertise \"%s\"", options->advertise);
    }
    core->advertised_port = (uint16_t)port;
    arena_close(&arena);
    return good;
}

struct bytes gateways_own_url(const struct control *control)
{
    return text(control->gateways.url);
}

struct route_info gateways_own_info(const struct control *control)
{
    const struct gateway_core *core = &control->gateways;
    const struct server_options *options = control->snapshot->options;
    return (struct route_info){
        .server_id = text(control->server_id),
        .server_name = text(control->server_name),
        .version = text(MYELIN_NATS_VERSION),
        .runtime = text(""),
        .host = text(core->host),
        .port = core->advertised_port,
        .headers = options->net.headers,
        .auth_required = options->gateway.user.count > 0,
        .tls_required = options->gateway.tls.on,
        .tls_verify = options->gateway.tls.on,
        .max_payload_bytes = options->net.max_payload_bytes,
        .gateway = text(options->gateway.name),
        .gateway_urls = bytes_of(core->urls.data, core->urls.count),
        .gateway_url = text(core->url),
        .gateway_replies = true,
        .gateway_lists = true,
    };
}

/* ---- the port ---- */

enum err gateways_start(struct control *control, char *why, size_t why_bytes)
{
    struct gateway_core *core = &control->gateways;
    const struct gateway_options *options = options_of(control);
    char reason[256];
    if (core->clusters == NULL)
        return ERR_OK;
    const char *host = options->host == NULL || options->host[0] == 0 ? "0.0.0.0" : options->host;
    log_notice(control->log, "Gateway name is %s", options->name);
    core->listen_fd = control_socket_listen(host, options->port, &core->port, reason, sizeof reason);
    if (core->listen_fd < 0) {
        snprintf(why, why_bytes, "Error listening on gateway port: %lld - %s",
                 options->port == -1 ? 0LL : (long long)options->port, reason);
        return ERR_SYSTEM;
    }
    if (!advertise_make(control, why, why_bytes))
        return ERR_INVALID;
    gateways_own_urls(control, &core->urls);
    log_notice(control->log,
               strchr(host, ':') != NULL ? "Listening for gateways connections on [%s]:%u"
                                         : "Listening for gateways connections on %s:%u",
               host, core->port);
    gateways_accept_arm(control);
    for (uint32_t i = 0; i < options->remote_count; i++) {
        struct bytes name = text(options->remotes[i].name);
        if (bytes_equal(name, text(options->name)) || gateways_find(core, name) != NULL)
            continue; /* one list may be for all clusters */
        struct gateway_cluster *cluster = gateways_cluster_new(control, name);
        if (cluster != NULL)
            gateways_dial_in(control, cluster, FIRST_DIAL_NS);
    }
    return ERR_OK;
}

void gateways_accept_arm(struct control *control)
{
    struct gateway_core *core = &control->gateways;
    if (core->listen_fd >= 0 && core->accept.in_flight == 0)
        loop_accept(control->loop, &core->accept, core->listen_fd);
}

void gateways_accepted(struct control *control, const struct loop_completion *completion)
{
    struct gateway_core *core = &control->gateways;
    struct sockaddr_storage address = {0};
    socklen_t count = sizeof address;
    if (completion->result >= 0 && core->listen_fd < 0) {
        close(completion->result);
    } else if (completion->result >= 0) {
        (void)getpeername(completion->result, (struct sockaddr *)&address,
                          &count); /* one that is gone says so later */
        (void)gateways_link_new(control, completion->result, (const struct sockaddr *)&address, NULL);
    }
    if (core->listen_fd >= 0 && peer_accept_again(control, completion, &core->accept_timer))
        gateways_accept_arm(control);
}

/* ---- connections ---- */

/* Whose certificate is expected: of a server known by its address only, that of the first one with a name. */
static const char *tls_host(const struct gateway_cluster *cluster)
{
    for (uint32_t i = 0; dial_host_is_address(cluster->at.host) && i < cluster->address_count; i++) {
        if (cluster->addresses[i].configured && !dial_host_is_address(cluster->addresses[i].host))
            return cluster->addresses[i].host;
    }
    return cluster->at.host;
}

/* How long a peer may take: to log in, or, one that was dialled, to say anything at all. */
static int64_t patience_ns(const struct control *control, const struct gateway_link *link)
{
    const struct net_options *net = &control->snapshot->options->net;
    const struct gateway_options *own = options_of(control);
    int64_t interval_ns = own->ping_interval_ns > 0 ? own->ping_interval_ns : net->ping_interval_ns;
    int64_t most = own->ping_max > 0 ? own->ping_max : net->ping_max;
    if (interval_ns > PING_INTERVAL_NS)
        interval_ns = PING_INTERVAL_NS;
    return link->solicited ? interval_ns * (most + 1) : own->authentication_timeout_ns;
}

static bool hand_over(struct control *control, struct gateway_link *link, int fd)
{
    struct block_pool none = {0};
    struct mail_route mail = {
        .kind = MAIL_ROUTE,
        .of = ROUTE_OF_GATEWAY,
        .solicited = link->solicited,
        .port = link->port,
        .fd = fd,
        .rid = link->rid,
        .authentication_timeout_ns = patience_ns(control, link),
        .greeting = block_take(&none, ROUTE_INFO_BYTES_MAX),
    };
    bool good = mail.greeting != NULL;
    if (good && !link->solicited) { /* who dials waits for what the other one says */
        struct route_info info = gateways_own_info(control);
        mail.greeting_bytes =
            (uint32_t)gateway_info_write((char *)mail.greeting->bytes, mail.greeting->capacity, &info);
        good = mail.greeting_bytes > 0;
    }
    memcpy(mail.address, link->address, sizeof mail.address);
    if (link->solicited) {
        mail.remote_number = link->cluster->remote_number;
        snprintf(mail.host, sizeof mail.host, "%s", tls_host(link->cluster));
    }
    good = good && control_tell(control, link->shard, &mail, sizeof mail);
    if (!good)
        block_release(&none, mail.greeting);
    block_pool_close(&none);
    return good;
}
_Static_assert(sizeof((struct mail_route *)0)->address == sizeof((struct gateway_link *)0)->address,
               "an address is copied whole");

struct gateway_link *gateways_link_new(struct control *control, int fd, const struct sockaddr *peer,
                                       struct gateway_cluster *cluster)
{
    struct gateway_core *core = &control->gateways;
    struct gateway_link *link = core->link_count < GATEWAY_LINKS_MAX ? memory_new(sizeof *link) : NULL;
    if (link == NULL) {
        log_error(control->log, "No room for another gateway connection");
        close(fd);
        return NULL;
    }
    link->rid = control->next_cid++;
    link->shard = peer_shard(core->links_on, control->shard_count);
    link->cluster = cluster;
    link->solicited = cluster != NULL;
    dial_address_show(peer, link->address, sizeof link->address, &link->port);
    if (!hand_over(control, link, fd)) {
        log_error(control->log, "No room for another gateway connection");
        memory_free(link);
        close(fd);
        return NULL;
    }
    core->links_on[link->shard]++;
    core->link_count++;
    list_push_last(&core->links, &link->all);
    return link;
}

bool gateways_link_write(struct control *control, struct gateway_link *link, struct bytes lines)
{
    bool good = peer_lines_say(control, link->shard, link->rid, lines, false);
    if (!good)
        gateways_link_end(control, link, CLOSED_WRITE_ERROR, NULL);
    return good;
}

void gateways_link_go_on(struct control *control, struct gateway_link *link)
{
    struct mail_route_answer mail = peer_goes_on(link->rid);
    peer_answer_say(control, link->shard, &link->answer, &mail);
}

void gateways_link_end(struct control *control, struct gateway_link *link, enum closed_reason reason,
                       const char *error)
{
    struct mail_route_answer mail = peer_ends(link->rid, (uint8_t)reason, error);
    peer_answer_say(control, link->shard, &link->answer, &mail);
}

/* ---- the end ---- */

void gateways_stop(struct control *control)
{
    struct gateway_core *core = &control->gateways;
    if (core->listen_fd >= 0) {
        loop_cancel(control->loop, &core->accept);
        (void)shutdown(core->listen_fd, SHUT_RDWR);
        close(core->listen_fd);
        core->listen_fd = -1;
    }
    timers_cancel(&control->timers, &core->accept_timer);
    for (size_t i = 0; core->clusters != NULL && i < GATEWAYS_MAX; i++) {
        if (core->clusters[i].state != GATEWAY_IDLE)
            gateways_dial_drop(control, &core->clusters[i]);
    }
}

void gateways_core_close(struct control *control)
{
    struct gateway_core *core = &control->gateways;
    for (size_t i = 0; core->clusters != NULL && i < GATEWAYS_MAX; i++) {
        if (core->clusters[i].fd > 0)
            close(core->clusters[i].fd);
        arena_close(&core->clusters[i].arena);
        arena_close(&core->clusters[i].dial_arena);
    }
    for (struct list_link *at; core->links.ends.next != NULL && (at = list_first(&core->links)) != NULL;) {
        struct gateway_link *link = LIST_ELEMENT(at, struct gateway_link, all);
        list_remove(at);
        json_close(&link->document);
        memory_free(link);
    }
    memory_free(core->clusters);
    core->clusters = NULL;
    config_text_close(&core->urls);
    if (core->listen_fd >= 0)
        close(core->listen_fd);
}
