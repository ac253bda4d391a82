/* shards/banner.h - what the log says at the start, in the order and words that tools wait for
 * (spec/configuration.md 8). */
#ifndef SHARDS_BANNER_H
#define SHARDS_BANNER_H

#include "core/base/log.h"
#include "shards/options.h"

struct banner {
    const char *program;
    const char *server_id;
    const char *server_name;
    uint32_t shards;
};

/* Everything up to the listeners. Thread: main. */
void banner_start(struct log *log, const struct banner *banner, const struct server_options *options);

/* Names the account and the users of auth callout that are not there: at the start and at a reload. */
void banner_callout(struct log *log, const struct security_options *security);

/* Warns of certificates that are served against their demand for OCSP stapling: at the start, and when a
 * reload has brought other options. */
void banner_certificates(struct log *log, const struct server_options *options);

/* "Listening for client connections on host:port", the real port, and what TLS asks of them. */
void banner_listening(struct log *log, const struct server_options *options, uint16_t port);

void banner_ready(struct log *log);

#endif
