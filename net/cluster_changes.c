/* net/cluster_changes.c - see cluster_changes.h. Where it listens cannot change, as in nats-server. */
#include "net/cluster_changes.h"

static const char *text_of(const char *maybe)
{
    return maybe == NULL ? "" : maybe;
}

static bool texts_same(const char *a, const char *b)
{
    return strcmp(text_of(a), text_of(b)) == 0;
}

bool route_url_same(const struct route_url *a, const struct route_url *b)
{
    return strcmp(a->text, b->text) == 0 && bytes_equal(a->user, b->user) &&
           bytes_equal(a->password, b->password);
}

bool cluster_options_route(const struct cluster_options *options, const struct route_url *url)
{
    for (uint32_t i = 0; i < options->route_count; i++) {
        if (route_url_same(&options->routes[i], url))
            return true;
    }
    return false;
}

static bool routes_same(const struct cluster_options *a, const struct cluster_options *b)
{
    bool same = a->route_count == b->route_count;
    for (uint32_t i = 0; same && i < a->route_count; i++)
        same = cluster_options_route(b, &a->routes[i]);
    return same;
}

static bool block_same(const struct cluster_options *a, const struct cluster_options *b)
{
    return texts_same(a->name, b->name) && bytes_equal(a->user, b->user) &&
           bytes_equal(a->password, b->password) && tls_options_same(&a->tls, &b->tls) &&
           strcmp(a->permissions_digest, b->permissions_digest) == 0 &&
           a->authentication_timeout_ns == b->authentication_timeout_ns &&
           texts_same(a->advertise, b->advertise) && a->no_advertise == b->no_advertise &&
           a->connect_retries == b->connect_retries && a->connect_backoff == b->connect_backoff &&
           a->ping_interval_ns == b->ping_interval_ns && a->ping_max == b->ping_max &&
           a->write_deadline_ns == b->write_deadline_ns && a->write_timeout == b->write_timeout &&
           cluster_pool_same(&a->pool, &b->pool) && route_compression_same(&a->compression, &b->compression);
}

static bool advertise_good(const char *advertise)
{
    struct arena arena = {0};
    const char *host;
    int64_t port = 0;
    bool good = text_of(advertise)[0] == 0 ||
                (cluster_address_split(text(advertise), &arena, &host, &port) && port >= 0);
    arena_close(&arena);
    return good;
}

void cluster_options_compare(const void *old, const void *new, struct option_changes *changes)
{
    const struct cluster_options *before = old, *after = new;
    if (changes->refusal.count > 0)
        return;
    if (!texts_same(before->host, after->host)) {
        config_text_add(&changes->refusal, "config reload not supported for cluster host: old=%s, new=%s",
                        text_of(before->host), text_of(after->host));
    } else if (before->port != after->port) {
        config_text_add(&changes->refusal, "config reload not supported for cluster port: old=%lld, new=%lld",
                        (long long)before->port, (long long)after->port);
    } else if (!advertise_good(after->advertise)) {
        config_text_add(&changes->refusal, "invalid Cluster.Advertise value of %s, err=it is no host[:port]",
                        after->advertise);
    } else {
        if (!block_same(before, after))
            config_text_add(&changes->lines, "Reloaded: cluster\n");
        if (!routes_same(before, after))
            config_text_add(&changes->lines, "Reloaded: cluster routes\n");
    }
}
