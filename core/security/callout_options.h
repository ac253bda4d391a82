/* core/security/callout_options.h - the `auth_callout` block: that a service decides about logins, and which
 * one (spec/configuration.md 4.5, spec/security.md 10.1). Part of the snapshot, whose arena owns all of it.
 * In the flow:  `authorization` -> callout_options_parse() -> callout_options_finish() -> callout.h
 * Thread: the control core until the snapshot is handed out, then any, to read. */
#ifndef CORE_SECURITY_CALLOUT_OPTIONS_H
#define CORE_SECURITY_CALLOUT_OPTIONS_H

#include "core/config/option.h"
#include "core/security/account.h"
#include "core/security/nkey.h"

#define CALLOUT_SUBJECT "$SYS.REQ.USER.AUTH"
/* Under which answers come, and what whoever is in the account may not hear. */
#define CALLOUT_INBOX "$SYS._INBOX."
#define CALLOUT_INBOXES CALLOUT_INBOX ">"

struct callout_options {
    bool given;
    struct bytes issuer;  /* the account key that signs users */
    struct bytes account; /* in which the service is asked */
    struct bytes xkey;    /* empty: nothing is sealed */
    uint8_t xkey_raw[NKEY_RAW_BYTES];
    const struct bytes *users; /* who are not asked about: the service itself. Names and NKeys */
    uint32_t user_count;
    const struct bytes *allowed; /* accounts whose users are asked about; none: all */
    uint32_t allowed_count;
    const struct security_account *in; /* `account`, once finished; NULL: there is none such */
    /* What clients that no list has may do in $G, when the service is asked there; NULL: everything. */
    const struct security_permissions *unlisted;
};

/* Reads the block. What is wrong is noted in `errors`. */
void callout_options_parse(struct callout_options *callout, const struct config_entry *entry,
                           struct arena *arena, struct option_errors *errors);

/* When all accounts are there: finds the callout's, and denies its users what is the server's. False: `why`
 * says what is wrong, or memory is out. */
MUST_USE bool callout_options_finish(struct callout_options *callout,
                                     const struct security_accounts *accounts,
                                     const struct security_users *users, struct arena *arena,
                                     struct config_text *why);

/* Notes a refusal when they differ: as in nats-server, this takes a restart. */
void callout_options_compare(const struct callout_options *before, const struct callout_options *after,
                             struct option_changes *changes);

#endif
