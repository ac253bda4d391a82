/* shards/control/cluster.c - the route port, and handing sockets over to shards. Dials are in cluster_dial.c,
 * what is decided about members in cluster_members.c. */
#include "shards/control/cluster.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/base/version.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_LETTERS = 22, ROUTES_MOST = 4 * REMOTES_MAX /* sockets at once, members or not */ };

static const struct cluster_options *options_of(const struct control *control)
{
    return &control->snapshot->options->cluster;
}

/* ---- who we are ---- */

static bool name_make(char name[CLUSTER_NAME_BYTES])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint8_t raw[NAME_LETTERS];
    if (random_secure(raw, sizeof raw) != ERR_OK)
        return false;
    for (size_t i = 0; i < NAME_LETTERS; i++)
        name[i] = letters[raw[i] % (sizeof letters - 1)];
    name[NAME_LETTERS] = 0;
    return true;
}

enum err cluster_init(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    const struct cluster_options *options = options_of(control);
    uint64_t seed;
    list_init(&cluster->routes);
    list_init(&cluster->dials);
    cluster->listen_fd = -1;
    cluster->on = options->port != 0;
    if (!cluster->on)
        return ERR_OK;
    cluster->accept.kind = CONTROL_OP_ROUTE_ACCEPT;
    cluster->accept_timer.kind = CONTROL_TIMER_ROUTE_ACCEPT;
    cluster->move_timer.kind = CONTROL_TIMER_CLUSTER_MOVE;
    if (random_secure(&seed, sizeof seed) != ERR_OK)
        return ERR_SYSTEM;
    random_seed(&cluster->random, seed);
    cluster->dynamic = options->name == NULL;
    if (cluster->dynamic)
        return name_make(cluster->name) ? ERR_OK : ERR_SYSTEM;
    snprintf(cluster->name, sizeof cluster->name, "%s", options->name);
    return ERR_OK;
}

static bool wildcard(const char *host)
{
    return host == NULL || host[0] == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void url_add(struct cluster *cluster, const char *host, uint16_t port)
{
    bool six = strchr(host, ':') != NULL;
    size_t room = sizeof cluster->local_urls - cluster->local_urls_bytes;
    int count = snprintf(cluster->local_urls + cluster->local_urls_bytes, room, six ? "[%s]:%u" : "%s:%u",
                         host, port);
    if (count > 0 && (size_t)count < room) /* more do not fit, and nobody needs them all */
        cluster->local_urls_bytes += (uint32_t)count + 1;
}

/* Addresses by which somebody else can reach this host. */
static void urls_of_interfaces(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    struct ifaddrs *first = NULL;
    char text[INET6_ADDRSTRLEN];
    uint16_t port = control->port;
    if (getifaddrs(&first) != 0) {
        log_warning(control->log,
                    "Addresses of the interfaces are unknown, clients of the cluster are told none: %s",
                    errno_text(errno).text);
        return;
    }
    for (const struct ifaddrs *at = first; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr == NULL || (at->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)at->ifa_addr;
        if (at->ifa_addr->sa_family == AF_INET &&
            inet_ntop(AF_INET, &four->sin_addr, text, sizeof text) != NULL)
            url_add(cluster, text, port);
        else if (at->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr) &&
                 inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text) != NULL)
            url_add(cluster, text, port);
    }
    freeifaddrs(first);
}

/* Where this server's clients connect. */
static bool local_urls_make(struct control *control, char *why, size_t why_bytes)
{
    struct cluster *cluster = &control->cluster;
    const struct server_options *options = control->snapshot->options;
    const char *advertise = options->client_advertise;
    cluster->local_urls_bytes = 0;
    if (options_of(control)->no_advertise)
        return true;
    if (advertise != NULL && advertise[0] != 0) {
        struct arena arena = {0};
        const char *host = NULL;
        int64_t port = control->port;
        bool good = cluster_address_split(text(advertise), &arena, &host, &port) && port > 0;
        if (good)
            url_add(cluster, host, (uint16_t)port);
        else
            snprintf(why, why_bytes, "invalid ClientAdvertise value of %s", advertise);
        arena_close(&arena);
        return good;
    }
    if (wildcard(options->host))
        urls_of_interfaces(control);
    else
        url_add(cluster, options->host, control->port);
    return true;
}

struct route_info cluster_own_info(const struct control *control)
{
    return cluster_own_info_by(control, control->snapshot->options);
}

struct route_info cluster_own_info_by(const struct control *control, const struct server_options *options)
{
    const struct cluster *cluster = &control->cluster;
    return (struct route_info){
        .server_id = text(control->server_id),
        .server_name = text(control->server_name),
        .version = text(MYELIN_NATS_VERSION),
        .runtime = text(""),
        .protocol = 2,
        .host = text(cluster->advertised_host),
        .port = cluster->advertised_port,
        .headers = options->net.headers,
        .auth_required = options->cluster.user.count > 0,
        .tls_required = options->cluster.tls.on,
        .tls_verify = options->cluster.tls.on,
        .max_payload_bytes = options->net.max_payload_bytes,
        .cluster = text(cluster->name),
        .cluster_dynamic = cluster->dynamic,
        .gateway_url = gateways_own_url(control),
        .connect_urls = bytes_of(cluster->local_urls, cluster->lame_duck ? 0 : cluster->local_urls_bytes),
        .lame_duck = cluster->lame_duck,
        .leaf_origin = true,
        .imports = options->cluster.imports,
        .exports = options->cluster.exports,
        .compression = route_compression_name((enum route_compression_mode)options->cluster.compression.mode),
        .pool_size = options->cluster.pool.size > 0 ? options->cluster.pool.size : 0,
    };
}

size_t cluster_info_write(const struct route_info *info, char *buffer, size_t capacity)
{
    struct route_info shorter = *info;
    size_t count = route_info_write(buffer, capacity, info);
    if (count > 0)
        return count;
    shorter.imports = shorter.exports = (struct route_info_lists){0}; /* they are only for show */
    return route_info_write(buffer, capacity, &shorter);
}

size_t cluster_own_info_write(const struct control *control, char *buffer, size_t capacity)
{
    struct route_info info = cluster_own_info(control);
    return cluster_info_write(&info, buffer, capacity);
}

/* ---- the port ---- */

static bool advertise_make(struct control *control, char *why, size_t why_bytes)
{
    struct cluster *cluster = &control->cluster;
    const struct cluster_options *options = options_of(control);
    struct arena arena = {0};
    const char *host = options->host == NULL || options->host[0] == 0 ? "0.0.0.0" : options->host;
    int64_t port = cluster->port;
    bool good = true;
    if (options->advertise != NULL && options->advertise[0] != 0)
        good = cluster_address_split(text(options->advertise), &arena, &host, &port) && port > 0;
    if (good)
        snprintf(cluster->advertised_host, sizeof cluster->advertised_host, "%s", host);
    else
        snprintf(why, why_bytes, "Error setting up cluster advertise \"%s\"", options->advertise);
    cluster->advertised_port = (uint16_t)port;
    arena_close(&arena);
    return good;
}

bool cluster_addresses_make(struct control *control, char *why, size_t why_bytes)
{
    return advertise_make(control, why, why_bytes) && local_urls_make(control, why, why_bytes);
}

enum err cluster_start(struct control *control, char *why, size_t why_bytes)
{
    struct cluster *cluster = &control->cluster;
    const struct cluster_options *options = options_of(control);
    if (!cluster->on)
        return ERR_OK;
    const char *host = options->host == NULL || options->host[0] == 0 ? "0.0.0.0" : options->host;
    long port = options->port == -1 ? 0 : (long)options->port;
    char reason[256];
    log_notice(control->log, "Cluster name is %s", cluster->name);
    if (cluster->dynamic)
        log_warning(control->log, "Cluster name was dynamically generated, consider setting one");
    cluster->listen_fd = control_socket_listen(host, options->port, &cluster->port, reason, sizeof reason);
    if (cluster->listen_fd < 0) {
        snprintf(why, why_bytes, "Error listening on router port: %ld - %s", port, reason);
        return ERR_SYSTEM;
    }
    if (!cluster_addresses_make(control, why, why_bytes))
        return ERR_INVALID;
    log_notice(control->log,
               strchr(host, ':') != NULL ? "Listening for route connections on [%s]:%u"
                                         : "Listening for route connections on %s:%u",
               host, cluster->port);
    cluster_accept_arm(control);
    cluster_urls_tell(control);
    for (uint32_t i = 0; i < options->route_count; i++)
        cluster_dial_new(control, &options->routes[i], true, ROUTE_LINE_NONE, NULL);
    return ERR_OK;
}

void cluster_accept_arm(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    if (cluster->listen_fd >= 0 && cluster->accept.in_flight == 0)
        loop_accept(control->loop, &cluster->accept, cluster->listen_fd);
}

void cluster_accepted(struct control *control, const struct loop_completion *completion)
{
    struct cluster *cluster = &control->cluster;
    struct sockaddr_storage address = {0};
    socklen_t count = sizeof address;
    if (completion->result >= 0 && cluster->listen_fd < 0) {
        close(completion->result);
    } else if (completion->result >= 0) {
        (void)getpeername(completion->result, (struct sockaddr *)&address,
                          &count); /* one that is gone says so later */
        (void)cluster_route_new(control, completion->result, (const struct sockaddr *)&address, NULL);
    }
    if (cluster->listen_fd >= 0 && peer_accept_again(control, completion, &cluster->accept_timer))
        cluster_accept_arm(control);
}

/* ---- routes ---- */

/* The first lines: who dials says CONNECT and, if it need not know the peer for that, INFO; who was dialled
 * INFO (routes.md 3). */
static size_t greeting_write(const struct control *control, const struct cluster_route *route, char *buffer,
                             size_t capacity)
{
    const struct cluster_options *options = options_of(control);
    struct route_info info = cluster_own_info(control);
    size_t before = 0;
    if (route->solicited) {
        struct route_connect connect = {
            .name = info.server_id,
            .cluster = info.cluster,
            .cluster_dynamic = info.cluster_dynamic,
            .headers = info.headers,
            .leaf_origin = true,
            .tls_required = info.tls_required,
            .user = route->dial->url.user,
            .password = route->dial->url.password,
        };
        if (connect.user.count == 0 && !route->dial->configured) {
            connect.user =
                options->user; /* told of by another server: the cluster's own login (routes.md 6) */
            connect.password = options->password;
        }
        before = route_connect_write(buffer, capacity, &connect);
        if (before == 0)
            return 0;
    }
    size_t count = route->info_held ? 0 : cluster_own_info_write(control, buffer + before, capacity - before);
    return count == 0 && !route->info_held ? 0 : before + count;
}

/* Whose certificate is expected: of a server known by its address only, that of the first one with a name. */
static const char *tls_host(const struct control *control, const struct dial *dial)
{
    const struct cluster_options *options = options_of(control);
    for (uint32_t i = 0;
         !dial->configured && dial_host_is_address(dial->url.host) && i < options->route_count; i++) {
        if (!dial_host_is_address(options->routes[i].host))
            return options->routes[i].host;
    }
    return dial->url.host;
}

static bool hand_over(struct control *control, struct cluster_route *route, int fd)
{
    const struct cluster_options *options = options_of(control);
    bool login = !route->solicited && options->user.count > 0;
    struct block_pool none = {0};
    struct mail_route mail = {
        .kind = MAIL_ROUTE,
        .solicited = route->solicited,
        .port = route->port,
        .fd = fd,
        .rid = route->rid,
        .authentication_timeout_ns = login ? options->authentication_timeout_ns : 0,
        .greeting = block_take(&none, ROUTE_INFO_BYTES_MAX),
    };
    if (mail.greeting == NULL)
        return false;
    mail.greeting_bytes =
        (uint32_t)greeting_write(control, route, (char *)mail.greeting->bytes, mail.greeting->capacity);
    memcpy(mail.address, route->address, sizeof mail.address);
    if (route->solicited)
        snprintf(mail.host, sizeof mail.host, "%s", tls_host(control, route->dial));
    bool good = mail.greeting_bytes > 0 && control_tell(control, route->shard, &mail, sizeof mail);
    if (!good)
        block_release(&none, mail.greeting);
    block_pool_close(&none);
    return good;
}
_Static_assert(sizeof((struct mail_route *)0)->address == sizeof((struct cluster_route *)0)->address,
               "an address is copied whole");

static uint32_t route_count(const struct cluster *cluster)
{
    uint32_t count = 0;
    for (size_t i = 0; i < COUNT_OF(cluster->routes_on); i++)
        count += cluster->routes_on[i];
    return count;
}

/* Whether compression is asked for or granted. */
static bool negotiates(const struct cluster_options *options)
{
    return options->compression.mode != ROUTE_COMPRESSION_OFF &&
           options->compression.mode != ROUTE_COMPRESSION_NOT_SUPPORTED;
}

struct cluster_route *cluster_route_new(struct control *control, int fd, const struct sockaddr *peer,
                                        struct dial *dial)
{
    struct cluster *cluster = &control->cluster;
    struct cluster_route *route = route_count(cluster) < ROUTES_MOST ? memory_new(sizeof *route) : NULL;
    if (route == NULL) {
        log_error(control->log, "No room for another route");
        close(fd);
        return NULL;
    }
    route->rid = control->next_cid++;
    route->member = CLUSTER_NO_MEMBER;
    route->shard = peer_shard(control->cluster.routes_on, control->shard_count);
    route->dial = dial;
    route->solicited = dial != NULL;
    route->implicit = dial != NULL && !dial->configured;
    route->shown_solicited = dial != NULL;
    route->shown_configured = dial != NULL && dial->configured;
    route->info_held =
        dial != NULL && (options_of(control)->pool.size > 0 || negotiates(options_of(control)));
    dial_address_show(peer, route->address, sizeof route->address, &route->port);
    if (!hand_over(control, route, fd)) {
        memory_free(route);
        close(fd);
        return NULL;
    }
    cluster->routes_on[route->shard]++;
    list_push_last(&cluster->routes, &route->all);
    return route;
}

/* ---- the end ---- */

void cluster_lame_duck(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    char line[ROUTE_INFO_BYTES_MAX];
    if (!cluster->on)
        return;
    cluster->lame_duck = true;
    size_t count = cluster_own_info_write(control, line, sizeof line);
    for (size_t i = 0; i < REMOTES_MAX; i++) {
        struct cluster_route *route = cluster_member_route(&cluster->members[i]);
        if (route != NULL)
            (void)cluster_send(control, route, bytes_of(line, count));
    }
    cluster_urls_tell(control);
}

void cluster_stop(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    if (cluster->listen_fd >= 0) {
        loop_cancel(control->loop, &cluster->accept);
        (void)shutdown(cluster->listen_fd, SHUT_RDWR);
        close(cluster->listen_fd);
        cluster->listen_fd = -1;
    }
    timers_cancel(&control->timers, &cluster->accept_timer);
    timers_cancel(&control->timers, &cluster->move_timer);
    for (struct list_link *at = cluster->on ? list_first(&cluster->dials) : NULL, *next = NULL; at != NULL;
         at = next) {
        next = list_next(&cluster->dials, at);
        cluster_dial_drop(control, LIST_ELEMENT(at, struct dial, all));
    }
}

void cluster_close(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    if (cluster->routes.ends.next == NULL)
        return;
    for (struct list_link *at; (at = list_first(&cluster->dials)) != NULL;) {
        struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        list_remove(at);
        if (dial->fd >= 0)
            close(dial->fd);
        arena_close(&dial->arena);
        memory_free(dial);
    }
    for (struct list_link *at; (at = list_first(&cluster->routes)) != NULL;) {
        struct cluster_route *route = LIST_ELEMENT(at, struct cluster_route, all);
        list_remove(at);
        json_close(&route->document);
        memory_free(route);
    }
    for (size_t i = 0; i < REMOTES_MAX; i++)
        json_close(&cluster->members[i].document);
    if (cluster->listen_fd >= 0)
        close(cluster->listen_fd);
}
