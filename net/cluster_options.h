/* net/cluster_options.h - what the server is told of its cluster: the `cluster` block and its flags
 * (spec/configuration.md 4.9, 1.1). Part of the immutable snapshot, whose arena owns all texts.
 * In the flow:  options_apply(), flags -> cluster_options_finish() -> the control core's cluster
 * Thread: the control core until the snapshot is handed out, then any, to read. */
#ifndef NET_CLUSTER_OPTIONS_H
#define NET_CLUSTER_OPTIONS_H

#include "core/config/digest.h"
#include "core/config/option.h"
#include "core/security/permissions.h"
#include "net/cluster_pool.h"
#include "net/route_compression.h"
#include "net/route_info.h"
#include "net/tls_options.h"

#include <stdbool.h>
#include <stdint.h>

/* Where another server of the cluster listens for routes. */
struct route_url {
    const char *text; /* scheme, host and port, without a password: for the log, and to tell two apart */
    const char *host; /* without brackets */
    struct bytes user;
    struct bytes password;
    uint16_t port;
};

struct cluster_options {
    const char *name; /* NULL: one is made up */
    const char *host; /* NULL: all */
    int64_t port;     /* 0: there is no cluster; -1: any free one */
    struct bytes user;
    struct bytes password;
    int64_t authentication_timeout_ns;
    const struct route_url *routes;
    uint32_t route_count;
    /* `import` as what may be published, `export` as what may be subscribed to (spec/routes.md 11); NULL:
     * everything. */
    const struct security_permissions *permissions;
    char permissions_digest[DIGEST_TEXT_BYTES]; /* of the block as written */
    struct route_info_lists imports;            /* its texts */
    struct route_info_lists exports;
    struct tls_options tls; /* both sides need certificates */
    struct cluster_pool pool;
    struct route_compression compression;
    const char *advertise; /* host[:port] for the other servers; NULL: what it listens on */
    bool no_advertise;     /* clients are not told of other servers, nor others of this one's clients' port */
    int64_t connect_retries;
    bool connect_backoff;
    int64_t ping_interval_ns; /* 0: the server's; likewise below */
    int64_t ping_max;
    int64_t write_deadline_ns;
    int write_timeout;       /* enum write_timeout */
    const char *listen_flag; /* --cluster and --routes as given; NULL: not */
    const char *routes_flag;
};

/* The rows that fill the struct; const for ever. Thread: any. */
const struct option *cluster_option_rows(size_t *count);

/* Lays the flags over what the file said and checks what has to hold between options. False: `why` says what
 * is wrong. */
MUST_USE bool cluster_options_finish(struct cluster_options *options, struct arena *arena,
                                     struct config_text *why);

/* Splits "host:port", "[v6]:port" or "host"; without a port *port stays. The host is terminated and in the
 * arena. False: it is none of these, or memory is out. */
MUST_USE bool cluster_address_split(struct bytes address, struct arena *arena, const char **host,
                                    int64_t *port);

/* Reads a `listen` value: a port, or host:port; and an authorization's `timeout`. */
void cluster_listen_parse(const char **host, int64_t *port, const struct config_entry *entry,
                          struct arena *arena, struct option_errors *errors);
void cluster_timeout_parse(int64_t *timeout_ns, const struct config_entry *entry,
                           struct option_errors *errors);

/* Reads scheme://[user[:password]@]host:port. False: it is not that, or memory is out. */
MUST_USE bool route_url_parse(struct bytes text, struct arena *arena, struct route_url *url);

#endif
