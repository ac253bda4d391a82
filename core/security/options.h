/* core/security/options.h - who may connect: the `authorization` block of spec/configuration.md 4.5, as far
 * as it is built. Part of the immutable snapshot. Secrets are never logged. */
#ifndef CORE_SECURITY_OPTIONS_H
#define CORE_SECURITY_OPTIONS_H

#include "core/base/bytes.h"
#include "core/config/option.h"
#include "core/security/account.h"
#include "core/security/callout_options.h"
#include "core/security/proxies.h"

#include <stdbool.h>
#include <stdint.h>

/* All bytes belong to the snapshot that embeds this. */
struct security_options {
    struct bytes user; /* single user; empty: none */
    struct bytes password;
    struct bytes token;  /* empty: none */
    bool proxy_required; /* who comes in by these comes through a trusted proxy */
    struct trusted_proxies proxies;
    struct security_users users; /* of `authorization` and of all accounts */
    struct bytes no_auth_user;   /* a name or an NKey; empty: none */
    struct security_accounts accounts;
    struct callout_options callout;
    /* Since the snapshot before, somebody else may log in, or in another way: who came in by auth callout is
     * to be asked about again. */
    bool logins_changed;
    bool global_open;   /* all users are the system account's: without credentials one comes into $G */
    int64_t timeout_ns; /* to authenticate; 0 until it is known whether there is TLS */
};

/* The rows that fill the struct; const for ever. Thread: any. */
const struct option *security_option_rows(size_t *count);

/* What follows from what was given, when file and flags are read: the accounts are finished. False: `why`
 * says what is wrong. */
MUST_USE bool security_options_finish(struct security_options *options, struct arena *arena,
                                      struct config_text *why);

/* At a reload: notes whether logins are not what they were before. */
void security_options_follow(struct security_options *options, const struct security_options *before);

/* What has to hold between its options, after file and flags (configuration.md 3.4). False: `why` says. */
MUST_USE bool security_options_validate(const struct security_options *options, struct config_text *why);

#endif
