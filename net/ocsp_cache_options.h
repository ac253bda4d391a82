/* net/ocsp_cache_options.h - the `ocsp_cache` option: whether and where what responders say of peers is
 * remembered (spec/configuration.md 4.4). Without `tls.ocsp_peer` it means nothing. Thread: the control
 * core's. */
#ifndef NET_OCSP_CACHE_OPTIONS_H
#define NET_OCSP_CACHE_OPTIONS_H

#include "core/config/option.h"

struct ocsp_cache_options {
    const char *local_store;  /* folder; NULL: "_rc_" */
    int64_t save_interval_ns; /* 0: not given */
    bool none;                /* nothing is remembered */
    bool preserve_revoked;    /* a revocation is not forgotten, however old it is */
};

void ocsp_cache_options_parse(struct ocsp_cache_options *options, const struct config_entry *entry,
                              struct arena *arena, struct option_errors *errors);

/* With the defaults. */
const char *ocsp_cache_store(const struct ocsp_cache_options *options);
int64_t ocsp_cache_save_interval_ns(const struct ocsp_cache_options *options);

bool ocsp_cache_options_same(const struct ocsp_cache_options *a, const struct ocsp_cache_options *b);

#endif
