/* shards/streaming/outer_options.h - how to reach a NATS server outside of this process: nats_server_url and
 * who the service is there (spec/streaming.md 18.2, 21; docs/streaming.md 10). In the flow: streaming_options
 * -> streaming_outer_setup() -> outer_open(). Thread: any may read. */
#ifndef SHARDS_STREAMING_OUTER_OPTIONS_H
#define SHARDS_STREAMING_OUTER_OPTIONS_H

#include "core/config/option.h"

struct outer_setup;
struct security_options;

struct streaming_outer_options {
    const char *urls; /* NULL: this process is the NATS server */
    const char *password;
    const char *token;
    const char *credentials_file;
    const char *seed_file;
    const char *tls_cert, *tls_key, *tls_ca, *tls_host;
    bool secure, tls_insecure;
};

/* The rows of the block's `tls` map, into this struct. */
const struct option *streaming_outer_tls_rows(size_t *count);

/* Joins what is said here and in the NATS options (flags --user, --pass, --auth and `authorization`), which
 * go first. `setup` refers to all of them and to `name`. */
void streaming_outer_setup(const struct streaming_outer_options *options, const char *username,
                           const struct security_options *security, const char *name,
                           struct outer_setup *setup);

#endif
