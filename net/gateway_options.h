/* net/gateway_options.h - what the server is told of super-clusters: the `gateway` block
 * (spec/gateways.md 3). Part of the immutable snapshot, whose arena owns all texts.
 * In the flow:  options_apply() -> gateway_options_finish() -> the control core's gateways
 * Thread: the control core until the snapshot is handed out, then any, to read. */
#ifndef NET_GATEWAY_OPTIONS_H
#define NET_GATEWAY_OPTIONS_H

#include "net/cluster_options.h"

/* Another cluster that is to be dialled. */
struct gateway_remote_options {
    const char *name;
    const struct route_url *urls;
    uint32_t url_count;
    struct tls_options tls; /* to dial with; off: the block's own */
};

struct gateway_options {
    const char *name; /* NULL: this server is no gateway */
    const char *host; /* NULL: all */
    int64_t port;     /* -1: any free one */
    const char *advertise;
    struct bytes user;
    struct bytes password;
    int64_t authentication_timeout_ns;
    struct tls_options tls; /* both sides need certificates */
    struct gateway_remote_options *remotes;
    uint32_t remote_count;
    bool given; /* the block is there */
    bool reject_unknown;
    bool connect_backoff;
    int64_t connect_retries;
    int64_t ping_interval_ns; /* 0: the server's; likewise below */
    int64_t ping_max;
    int64_t write_deadline_ns;
    int write_timeout; /* enum write_timeout */
};

/* The rows that fill the struct; const for ever. Thread: any. */
const struct option *gateway_option_rows(size_t *count);

/* Checks what has to hold between options, of the cluster's too: both have one name. False: `why` says what
 * is wrong. */
MUST_USE bool gateway_options_finish(struct gateway_options *options, struct cluster_options *cluster,
                                     struct config_text *why);

/* Puts remotes in the order that they had before, because connections know them by their places. */
void gateway_options_inherit(struct gateway_options *options, const struct gateway_options *before);

/* Lets go of the TLS contexts. */
void gateway_options_close(struct gateway_options *options);

/* The TLS to dial a configured remote with, or with `remote` NULL any other. */
const struct tls_options *gateway_options_tls(const struct gateway_options *options,
                                              const struct gateway_remote_options *remote);

#endif
