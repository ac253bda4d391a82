/* core/security/account.h - accounts: who is isolated from whom, and what they let through: exports, imports,
 * mappings, limits (spec/security.md 5, spec/configuration.md 4.6; docs/accounts.md). Part of the immutable
 * snapshot: all of it lies in the snapshot's arena and never changes once it is handed out.
 * In the flow:  `accounts` -> security_accounts_parse() -> security_accounts_finish() -> on a reload
 *               security_accounts_inherit() || shards: one index per account, imports as subscriptions
 * Every link is checked while the file is read: an import that its exporter does not allow, or that closes a
 * circle, is a sentence and no snapshot. Thread: the control core until the snapshot is handed out, then any,
 * to read. */
#ifndef CORE_SECURITY_ACCOUNT_H
#define CORE_SECURITY_ACCOUNT_H

#include "core/config/text.h"
#include "core/security/user.h"
#include "core/subject/mapping.h"

enum {
    ACCOUNT_CYCLE_DEPTH_MAX = 1024,    /* imports behind each other; beyond: an error */
    ACCOUNT_CYCLE_STEPS_MAX = 1 << 16, /* looked at for one import; beyond: the same error */
    ACCOUNT_THRESHOLD_MINUTES = 2,     /* how long a service may take when nothing is said */
};

enum response_type {
    RESPONSE_SINGLETON, /* one reply */
    RESPONSE_STREAM,    /* many, up to an empty one */
    RESPONSE_CHUNKED,   /* the same */
};

/* Who may import. */
struct account_approval {
    const struct security_account *const *accounts;
    uint32_t account_count;
    uint32_t token_position; /* from 1: the subject's token that has to be the importer's name; 0: none */
};

struct stream_export {
    struct bytes subject;
    struct account_approval approval;
};

struct service_latency {
    struct bytes subject; /* empty: not measured */
    uint8_t percent;      /* of the requests */
    bool headers;         /* those whose headers ask for it, and no others when percent is 0 */
};

struct service_export {
    struct bytes subject;
    struct account_approval approval;
    struct service_latency latency;
    enum response_type response;
    int64_t threshold_ns;
};

/* What an account receives of what is published in another one. */
struct stream_import {
    const struct security_account *account; /* the exporter */
    struct bytes subject;                   /* a pattern, there */
    struct bytes local;                     /* the pattern by which it is known here */
    const struct transform *forward;        /* from there to here; NULL: the same subject */
    const struct transform *backward;       /* from here to there, of patterns inside `local` too */
};

/* A service that an account calls in another one. */
struct service_import {
    const struct security_account *account;
    const struct service_export *exported;
    struct bytes subject;            /* a pattern, there */
    struct bytes local;              /* the pattern by which it is called here */
    const struct transform *request; /* from here to there; NULL: the same, or `subject` if it is literal */
    bool literal;                    /* `subject` has no wildcard: all requests go to it */
    bool share;                      /* the exporter is told who asks */
};

/* -1: no limit. */
struct account_limits {
    int64_t connections;
    int64_t subscriptions; /* of one connection */
    int64_t payload_bytes;
    int64_t leafnodes;
};

struct security_account {
    struct bytes name;
    struct bytes nkey; /* empty: none */
    const struct security_permissions *default_permissions;
    struct account_limits limits;
    struct mappings mappings;
    const struct stream_export *stream_exports;
    const struct service_export *service_exports;
    const struct stream_import *stream_imports;
    const struct service_import *service_imports;
    uint32_t stream_export_count;
    uint32_t service_export_count;
    uint32_t stream_import_count;
    uint32_t service_import_count;
    const struct service_import *system_imports; /* of the system account, without a word in the file */
    uint32_t system_import_count;
    uint32_t number; /* its place in security_accounts.all */
    uint32_t id;     /* for as long as the process runs and the name stays: by it shards know the account */
};

/* All accounts of a snapshot. All zero is empty. */
struct security_accounts {
    struct security_account **all; /* [0] is $G once finished */
    uint32_t count;
    uint32_t next_id;                /* for an account that a later snapshot adds */
    struct security_account *system; /* NULL: there is none */
    struct mappings global_mappings; /* the top level's, until $G is there */
    struct bytes system_name;        /* as given; empty: not given */
    bool no_system;
    bool has_users;
    struct config_position users_at; /* with has_users: the first account's that has some */
};

/* Reads an `accounts` block: a map of accounts, or an array of names. Their users join `users`. What is wrong
 * is noted in `errors`. */
void security_accounts_parse(struct security_accounts *accounts, struct security_users *users,
                             const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors);

/* Reads a `mappings` block. */
void security_mappings_parse(struct mappings *mappings, const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors);

/* When file and flags are read: $G comes first, the system account is found or made, ids are given. False:
 * `why` says what is wrong. */
MUST_USE bool security_accounts_finish(struct security_accounts *accounts, struct arena *arena,
                                       struct config_text *why);

/* Gives the accounts that were there before the ids that they had. Cost: by hash, linear. ERR_MEMORY. */
MUST_USE enum err security_accounts_inherit(struct security_accounts *accounts,
                                            const struct security_accounts *before, struct arena *arena);

/* By name, or NULL. Cost: linear; not for the hot path. */
struct security_account *security_account_find(const struct security_accounts *accounts, struct bytes name);

/* The same for names that mostly are in the order of the accounts: looks first behind *at, where the last one
 * was found; 0 at first. Cost: all accounts' names once for all of them, for one out of order likewise. */
const struct security_account *security_account_find_next(const struct security_accounts *accounts,
                                                          struct bytes name, uint32_t *at);

/* What an account imports of the system account by that local subject, or NULL. Cost: one comparison for any
 * other subject. */
const struct service_import *security_account_system_import(const struct security_account *account,
                                                            struct bytes subject);

/* The account of a user: $G when it has none of its own, or when there is no user. NULL: the accounts are not
 * finished yet. */
const struct security_account *security_account_of(const struct security_accounts *accounts,
                                                   const struct security_user *user);

/* ---- for the files behind this header ---- */

/* An `exports` or `imports` item as it was written, until all accounts are known. */
struct export_item {
    struct export_item *next;
    struct bytes subject;
    const struct config_value *accounts; /* the list of names, or NULL */
    struct service_latency latency;
    enum response_type response;
    int64_t threshold_ns; /* 0: not given */
    uint32_t token_position;
    bool service;
};

struct import_item {
    struct import_item *next;
    struct config_position at;
    struct bytes account;
    struct bytes subject;
    struct bytes prefix;
    struct bytes to;
    bool service;
    bool share;
};

/* One account while its block is read. */
struct account_block {
    struct security_account *account;
    struct export_item *exports, **exports_end;
    struct import_item *imports, **imports_end;
    struct security_user_list users;
    struct config_position users_at;
};

/* The `exports` and `imports` arrays. */
option_parse account_exports_parse;
option_parse account_imports_parse;

/* When all accounts are there: what the system account exports, and the others import of it, always. False:
 * memory is out. */
MUST_USE bool account_system_links_make(struct security_accounts *accounts, struct arena *arena);

/* Makes the exports and imports of all blocks, in nats-server's order: stream exports, service exports,
 * stream imports, service imports. Errors stand at `at`. */
void account_links_make(const struct security_accounts *accounts, const struct account_block *blocks,
                        uint32_t count, struct config_position at, struct arena *arena,
                        struct option_errors *errors);

#endif
