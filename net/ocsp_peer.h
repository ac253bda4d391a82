/* net/ocsp_peer.h - `tls.ocsp_peer`: how peers' certificates are held against OCSP responders
 * (spec/security.md 4.8; docs/ocsp.md 3). In the flow:  a key of a tls block -> struct ocsp_peer_options ->
 * net/tls_peer_check.h Thread: the control core's (main's at start); constant afterwards. */
#ifndef NET_OCSP_PEER_H
#define NET_OCSP_PEER_H

#include "core/config/option.h"

struct ocsp_peer_options {
    int64_t timeout_ns; /* for each question */
    int64_t skew_ns;    /* by which clocks may differ */
    int64_t lasts_ns;   /* how long an answer holds that does not say */
    bool verify;
    bool warn_only;         /* nobody is refused */
    bool unknown_is_good;   /* the responder need not know the certificate */
    bool allow_unreachable; /* nor be there, unless it has once said that the certificate is revoked */
};

/* What is asked where nothing is configured. */
extern const struct ocsp_peer_options ocsp_peer_default;

/* Reads the key's value. False: `why` is nats-server's sentence, for the place in *at. */
MUST_USE bool ocsp_peer_parse(struct ocsp_peer_options *options, const struct config_entry *entry,
                              struct config_position *at, char *why, size_t why_bytes);

bool ocsp_peer_same(const struct ocsp_peer_options *a, const struct ocsp_peer_options *b);

#endif
