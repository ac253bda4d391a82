/* shards/control/gateways_clusters.c - what is known of other clusters: their names and the addresses of
 * their nodes (spec/gateways.md 6.3). */
#include "core/base/log.h"
#include "shards/control/gateways_internal.h"

#include <stdio.h>
#include <string.h>

struct gateway_cluster *gateways_find(struct gateway_core *core, struct bytes name)
{
    for (size_t i = 0; core->clusters != NULL && i < GATEWAYS_MAX; i++) {
        struct gateway_cluster *cluster = &core->clusters[i];
        if (cluster->state != GATEWAY_IDLE && !cluster->forget && bytes_equal(text(cluster->name), name))
            return cluster;
    }
    return NULL;
}

uint16_t gateways_configured(const struct control *control, struct bytes name)
{
    const struct gateway_options *options = &control->snapshot->options->gateway;
    for (uint32_t i = 0; i < options->remote_count && i < UINT16_MAX; i++) {
        if (bytes_equal(text(options->remotes[i].name), name))
            return (uint16_t)(i + 1);
    }
    return 0;
}

static bool known(const struct gateway_cluster *cluster, const char *host, uint16_t port)
{
    for (uint32_t i = 0; i < cluster->address_count; i++) {
        if (cluster->addresses[i].port == port && strcmp(cluster->addresses[i].host, host) == 0)
            return true;
    }
    return false;
}

static void configured_add(struct control *control, struct gateway_cluster *cluster)
{
    if (cluster->remote_number == 0)
        return;
    const struct gateway_remote_options *remote =
        &control->snapshot->options->gateway.remotes[cluster->remote_number - 1];
    for (uint32_t i = 0; i < remote->url_count && cluster->address_count < GATEWAY_ADDRESSES_MAX; i++) {
        const struct route_url *url = &remote->urls[i];
        struct gateway_address address = {
            .host = arena_copy(&cluster->arena, text(url->host)), .port = url->port, .configured = true};
        if (url->user.count > 0) {
            address.user = bytes_of(arena_copy(&cluster->arena, url->user), url->user.count);
            address.password = bytes_of(arena_copy(&cluster->arena, url->password), url->password.count);
        }
        if (address.host == NULL ||
            (url->user.count > 0 && (address.user.data == NULL || address.password.data == NULL)))
            log_error(control->log, "No memory for an address of gateway \"%s\"", cluster->name);
        else if (!known(cluster, address.host, address.port))
            cluster->addresses[cluster->address_count++] = address;
    }
}

struct gateway_cluster *gateways_cluster_new(struct control *control, struct bytes name)
{
    struct gateway_core *core = &control->gateways;
    for (size_t i = 0; i < GATEWAYS_MAX && name.count < GATEWAY_NAME_BYTES; i++) {
        struct gateway_cluster *cluster = &core->clusters[i];
        if (cluster->state != GATEWAY_IDLE || cluster->untold != 0 || cluster->connect.in_flight != 0)
            continue;
        *cluster = (struct gateway_cluster){.state = GATEWAY_WAITING,
                                            .remote_number = gateways_configured(control, name)};
        memcpy(cluster->name, name.data, name.count);
        configured_add(control, cluster);
        return cluster;
    }
    log_error(control->log, "No room for another cluster: gateway \"%.*s\" is not dialled",
              BYTES_PRINTF(name));
    return NULL;
}

void gateways_addresses_add(struct control *control, struct gateway_cluster *cluster, struct bytes urls)
{
    struct bytes one;
    while (cluster->address_count < GATEWAY_ADDRESSES_MAX && route_texts_next(&urls, &one)) {
        struct gateway_address address = {0};
        int64_t port = 0;
        if (!cluster_address_split(one, &cluster->arena, &address.host, &port) || port <= 0) {
            log_error(control->log, "Error parsing gateway URL \"%.*s\"", BYTES_PRINTF(one));
            continue;
        }
        address.port = (uint16_t)port;
        if (!known(cluster, address.host, address.port))
            cluster->addresses[cluster->address_count++] = address;
    }
}

static bool all_known(const struct gateway_cluster *cluster, struct bytes urls, struct arena *arena)
{
    struct bytes one;
    uint32_t count = 0;
    while (route_texts_next(&urls, &one)) {
        const char *host = NULL;
        int64_t port = 0;
        if (!cluster_address_split(one, arena, &host, &port) || !known(cluster, host, (uint16_t)port))
            return false;
        count++;
    }
    return count >= cluster->address_count; /* none too many; configured ones may make it differ in vain */
}

void gateways_addresses_replace(struct control *control, struct gateway_cluster *cluster, struct bytes urls)
{
    struct arena arena = {0};
    bool same = all_known(cluster, urls, &arena);
    arena_close(&arena);
    if (same)
        return;
    arena_close(&cluster->arena); /* the address under way has texts of its own */
    cluster->address_count = 0;
    configured_add(control, cluster);
    gateways_addresses_add(control, cluster, urls);
}

void gateways_addresses_write(const struct gateway_cluster *cluster, struct config_text *out)
{
    for (uint32_t i = 0; i < cluster->address_count; i++) {
        const struct gateway_address *address = &cluster->addresses[i];
        bool six = strchr(address->host, ':') != NULL;
        char shown[GATEWAY_HOST_BYTES + 16];
        int count = snprintf(shown, sizeof shown, six ? "[%s]:%u" : "%s:%u", address->host, address->port);
        if (count > 0 && (size_t)count < sizeof shown)
            config_text_add_bytes(out, bytes_of(shown, (size_t)count + 1));
    }
}

static bool has(const struct config_text *all, struct bytes url)
{
    struct bytes rest = bytes_of(all->data, all->count), one;
    while (route_texts_next(&rest, &one)) {
        if (bytes_equal(one, url))
            return true;
    }
    return false;
}

void gateways_own_urls(const struct control *control, struct config_text *out)
{
    const struct cluster *cluster = &control->cluster;
    const char *own = control->gateways.url;
    config_text_add_bytes(out, bytes_of(own, strlen(own) + 1));
    for (size_t i = 0; i < REMOTES_MAX; i++) {
        struct bytes url = cluster->members[i].info.gateway_url;
        if (cluster->members[i].line_count == 0 || url.count == 0 || has(out, url))
            continue; /* two members may give one address: it stays until both are gone */
        config_text_add_bytes(out, url);
        config_text_add_bytes(out, bytes_of("", 1));
    }
}
