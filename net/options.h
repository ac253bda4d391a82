/* net/options.h - what the sessions and listeners may be told: the options of spec/configuration.md 4.2 that
 * concern a client connection. Part of the immutable snapshot that the control core hands to every shard. */
#ifndef NET_OPTIONS_H
#define NET_OPTIONS_H

#include "core/config/option.h"
#include "net/ocsp.h"
#include "net/ocsp_cache_options.h"
#include "net/tls_options.h"

#include <stdbool.h>
#include <stdint.h>

enum write_timeout { WRITE_TIMEOUT_DEFAULT, WRITE_TIMEOUT_CLOSE, WRITE_TIMEOUT_RETRY };
extern const char *const write_timeout_words[]; /* as in a file; ends with NULL */

/* --tls and its family: they are laid over the file's block once both are known. */
struct tls_flags {
    const char *cert_file;
    const char *key_file;
    const char *ca_file;
    bool on;
    bool off; /* --tls=false */
    bool verify;
};

struct net_options {
    int64_t max_payload_bytes;        /* headers and payload; -1: no limit */
    int64_t max_pending_bytes;        /* unsent bytes of one client; above: slow consumer */
    int64_t max_control_line_bytes;   /* argument bytes of one line */
    int64_t max_connections;          /* clients at once; negative: none may connect */
    int64_t max_subscriptions;        /* per connection; 0: no limit */
    int64_t max_subscription_tokens;  /* 0: no limit */
    int64_t max_traced_message_bytes; /* payload shown in traces; 0: all of it */
    int64_t max_closed_clients;       /* remembered for monitoring */
    int64_t write_deadline_ns;        /* for one gathered send */
    int64_t ping_interval_ns;
    int64_t ping_max;   /* unanswered PINGs before a connection is stale */
    int write_timeout;  /* enum write_timeout */
    bool headers;       /* false with no_header_support: true */
    bool trace;         /* protocol trace: the log wants every operation */
    bool trace_headers; /* of messages only the headers */
    bool no_fast_producer_stall;
    bool allow_non_tls;     /* with TLS: clients may stay in clear */
    struct tls_options tls; /* of the client port */
    struct tls_flags tls_flags;
    struct ocsp_options ocsp;
    struct ocsp_cache_options ocsp_cache;
    const char *store_dir; /* where staples are remembered; NULL: nowhere */
};

/* The rows that fill the struct; const for ever. Thread: any. */
const struct option *net_option_rows(size_t *count);

/* Lays the TLS flags over the file's block. `arena` is the snapshot's. False: `why` says what is wrong. */
MUST_USE bool net_options_finish(struct net_options *options, struct arena *arena, struct config_text *why);

/* Lets go of what is not the arena's. */
void net_options_close(struct net_options *options);

/* What has to hold between its options, after file and flags (configuration.md 3.4). False: `why` says. */
MUST_USE bool net_options_validate(const struct net_options *options, struct config_text *why);

#endif
