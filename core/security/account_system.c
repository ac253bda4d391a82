/* core/security/account_system.c - what the system account exports and every other account imports of it
 * without a word in the file: who is connected, what an account's figures are, and who a user is
 * (spec/monitoring.md 6.5, docs/events.md). Part of account.h's snapshot.
 *
 * These imports are no rows of `service_imports`: every account has the same few, so they are looked for by
 * their subjects, and an account that imports nothing else needs no index for it. */
#include "core/security/account.h"

#include "core/base/clock.h"
#include "core/subject/subject.h"

#include <stdio.h>

enum { NAME_MOST = 512 };

static const struct {
    const char *subject;
    enum response_type response;
} exports[] = {
    {"$SYS.REQ.ACCOUNT.*.CONNZ", RESPONSE_STREAM},
    {"$SYS.REQ.ACCOUNT.*.STATZ", RESPONSE_STREAM},
    {"$SYS.REQ.USER.*.INFO", RESPONSE_SINGLETON},
    {"$SYS.DEBUG.SUBSCRIBERS", RESPONSE_SINGLETON}, /* nobody imports it unasked */
};

/* The importer's name stands between the two parts of the exporter's subject. */
static const struct {
    const char *local;
    const char *before, *behind;
    uint32_t exported; /* which of the above */
    bool share;
} imports[] = {
    {"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT.", ".CONNZ", 0, false},
    {"$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.", ".CONNZ", 0, false},
    {"$SYS.REQ.ACCOUNT.PING.STATZ", "$SYS.REQ.ACCOUNT.", ".STATZ", 1, false},
    {"$SYS.REQ.USER.INFO", "$SYS.REQ.USER.", ".INFO", 2, true},
};

/* What the file exports of the same subject comes first. */
static bool exported_already(const struct security_account *account, struct bytes subject)
{
    for (uint32_t i = 0; i < account->service_export_count; i++) {
        if (bytes_equal(account->service_exports[i].subject, subject))
            return true;
    }
    return false;
}

/* Puts them behind what the file exports; *own is where they begin. */
static bool exports_make(struct security_account *account, struct arena *arena,
                         const struct service_export **own)
{
    uint32_t count = account->service_export_count, kept = count;
    struct service_export *all = arena_new(arena, (count + 2 * COUNT_OF(exports)) * sizeof *all);
    if (all == NULL)
        return false;
    if (count > 0)
        memcpy(all, account->service_exports, count * sizeof *all);
    struct service_export *system = all + count + COUNT_OF(exports);
    for (size_t i = 0; i < COUNT_OF(exports); i++) {
        system[i] = (struct service_export){
            .subject = text(exports[i].subject),
            .response = exports[i].response,
            .threshold_ns = ACCOUNT_THRESHOLD_MINUTES * 60 * NS_PER_SECOND,
        };
        if (!exported_already(account, system[i].subject))
            all[kept++] = system[i];
    }
    account->service_exports = all;
    account->service_export_count = kept;
    *own = system;
    return true;
}

static bool imported_already(const struct security_account *account, struct bytes local)
{
    for (uint32_t i = 0; i < account->service_import_count; i++) {
        if (bytes_equal(account->service_imports[i].local, local))
            return true;
    }
    return false;
}

/* An account whose name is no token of a subject has none. */
static bool imports_make(struct security_account *account, const struct security_account *system,
                         const struct service_export *own, struct arena *arena)
{
    struct service_import *all = arena_new(arena, COUNT_OF(imports) * sizeof *all);
    if (all == NULL)
        return false;
    account->system_imports = all;
    for (size_t i = 0; i < COUNT_OF(imports) && account->name.count <= NAME_MOST; i++) {
        char subject[NAME_MOST + 64];
        int count = snprintf(subject, sizeof subject, "%s%.*s%s", imports[i].before,
                             BYTES_PRINTF(account->name), imports[i].behind);
        struct bytes whole = bytes_of(subject, (size_t)count);
        if (!subject_valid_spoken(whole) || imported_already(account, text(imports[i].local)))
            continue;
        char *copy = arena_copy(arena, whole);
        if (copy == NULL)
            return false;
        all[account->system_import_count++] = (struct service_import){
            .account = system,
            .exported = &own[imports[i].exported],
            .subject = bytes_of(copy, whole.count),
            .local = text(imports[i].local),
            .literal = true,
            .share = imports[i].share,
        };
    }
    return true;
}

bool account_system_links_make(struct security_accounts *accounts, struct arena *arena)
{
    const struct service_export *own = NULL;
    if (accounts->system == NULL)
        return true;
    if (!exports_make(accounts->system, arena, &own))
        return false;
    for (uint32_t i = 0; i < accounts->count; i++) {
        if (accounts->all[i] != accounts->system &&
            !imports_make(accounts->all[i], accounts->system, own, arena))
            return false;
    }
    return true;
}

const struct service_import *security_account_system_import(const struct security_account *account,
                                                            struct bytes subject)
{
    if (!bytes_start_with(subject, TEXT("$SYS.REQ.")))
        return NULL;
    for (uint32_t i = 0; i < account->system_import_count; i++) {
        if (bytes_equal(account->system_imports[i].local, subject))
            return &account->system_imports[i];
    }
    return NULL;
}
