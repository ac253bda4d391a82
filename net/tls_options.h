/* net/tls_options.h - what a `tls {}` block says (spec/security.md 4.1), whoever it is for: the client port
 * now, routes, gateways, leaf nodes and HTTPS as they get built. Files are opened and certificates checked
 * when the block is read, so that a wrong one is refused with its place in the configuration, by -t too. In
 * the flow:  the row of a block -> tls_options_parse() -> tls_options_load() -> tls_context.h Texts belong to
 * the options' arena; the context is counted and let go of by tls_options_close(). Thread: the control core's
 * (main's at start); what was loaded may be read by any. */
#ifndef NET_TLS_OPTIONS_H
#define NET_TLS_OPTIONS_H

#include "core/config/option.h"
#include "net/ocsp_peer.h"

#include <stdbool.h>
#include <stdint.h>

struct tls_context;

/* Whose block it is: some keys make sense in some places only, and some places dial, accept, or both. */
enum tls_place {
    TLS_FOR_CLIENTS, /* and whatever else only accepts */
    TLS_FOR_CLUSTER, /* accepts and dials; both sides always need certificates */
    TLS_FOR_GATEWAY, /* likewise */
    TLS_FOR_LEAF,    /* the listener of leaf nodes */
    TLS_FOR_REMOTE,  /* whom a gateway or leaf node dials */
};

struct tls_pair {
    const char *cert_file;
    const char *key_file;
};

enum { TLS_PIN_BYTES = 32, TLS_PAIRS_MAX = 64, TLS_PINS_MAX = 65536 };

/* SHA-256 of a certificate's SubjectPublicKeyInfo. */
struct tls_pin {
    uint8_t digest[TLS_PIN_BYTES];
};

struct tls_options {
    struct tls_pair *pairs;        /* own certificates, the first is the default one */
    struct tls_pair *listed_pairs; /* of `certs`, while the block is read */
    struct tls_pin *pins;          /* sorted; the only peers that may come, when there are any */
    const char *ca_file;           /* NULL: the system's */
    const char *suites;            /* of TLS 1.2, as OpenSSL writes them; NULL: the default ones, "": none */
    const char *groups;            /* likewise; NULL: the default ones */
    int64_t timeout_ns;            /* for the handshake; 0: not given */
    int64_t first_wait_ns;         /* handshake_first: silence after which INFO is sent in clear; 0: never */
    int64_t rate_limit;            /* handshakes per second; 0: no limit */
    uint32_t pair_count;
    uint32_t pin_count;
    struct ocsp_peer_options ocsp_peer; /* what responders say of peers' certificates */
    bool on;
    bool verify;          /* the peer needs a certificate */
    bool verify_optional; /* one that it shows is checked */
    bool map;             /* whose names say which user it is */
    bool known_urls;      /* cluster and gateway: its names are among the configured URLs */
    bool insecure;        /* as client: the server's certificate is not checked */
    bool allow_insecure;  /* suites that are known to be weak */
    bool tls13_only;      /* min_version "1.3" */
    bool first;           /* TLS before INFO */
    struct tls_context
        *context; /* of all that, to accept with; NULL until loaded, and where nobody accepts */
    struct tls_context *dialler; /* the same to dial with; NULL where nobody dials */
};

#define TLS_TIMEOUT_DEFAULT_NS INT64_C(2000000000)
#define TLS_FIRST_AUTO_NS INT64_C(50000000)

/* nats-server's sentence for `ocsp_peer` where clients need not show a certificate. */
extern const char tls_ocsp_peer_wants_verify[];

/* Reads a `tls` map. What is wrong is noted in `errors` in nats-server's words, the first thing only, and the
 * struct is then not to be used. On success `on` is set and the files are loaded. */
void tls_options_parse(struct tls_options *options, enum tls_place place, const struct config_entry *entry,
                       struct arena *arena, struct option_errors *errors);

/* Loads the files, for accepting, dialling, or both. False: `why` is one sentence that names the file. */
MUST_USE bool tls_options_load(struct tls_options *options, enum tls_place place, char *why,
                               size_t why_bytes);

/* How long a handshake may take. */
int64_t tls_options_timeout_ns(const struct tls_options *options);

/* Whether these peers may come by their pin; true when there are no pins. */
bool tls_options_pinned(const struct tls_options *options, const uint8_t digest[TLS_PIN_BYTES]);

/* Whether a connection that is made by the one is made as by the other: certificates and what is in them,
 * rules, pins, and the time limit. */
bool tls_options_same(const struct tls_options *a, const struct tls_options *b);
bool tls_options_same_pins(const struct tls_options *a, const struct tls_options *b);

/* Lets go of the contexts. Legal when nothing was loaded. */
void tls_options_close(struct tls_options *options);

#endif
