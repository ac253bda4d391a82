/* net/ocsp.h - the `ocsp` option (spec/configuration.md 4.4): whether certificates that demand a stapled
 * answer about themselves may be served. In the flow:  the option's row -> server_options_load() ->
 * ocsp_check() -> banner. A server never asks a responder here and staples nothing, so what needs that is
 * refused with a sentence: the mode "always", and certificates with the TLS feature `status_request`
 * (must-staple), unless `ocsp: false` says that they are to be served without. All else about OCSP changes
 * nothing, as in nats-server. Thread: the control core's (main's at start). */
#ifndef NET_OCSP_H
#define NET_OCSP_H

#include "core/config/option.h"

struct tls_options;

enum ocsp_mode {
    OCSP_UNSET, /* as AUTO */
    OCSP_AUTO,  /* certificates decide */
    OCSP_MUST,  /* likewise; nats-server stops besides when one is revoked */
    OCSP_NEVER,
};

/* Parses the option into an int that holds an enum ocsp_mode. */
void ocsp_mode_parse(int *mode, const struct config_entry *entry, struct option_errors *errors);

/* Whether what a listener shows may be served. False: `why` is one sentence that names the file. */
MUST_USE bool ocsp_check(const struct tls_options *tls, int mode, struct config_text *why);

/* Whether it is served against its demand: that is worth a warning. */
bool ocsp_disregarded(const struct tls_options *tls, int mode);

#endif
