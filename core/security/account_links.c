/* core/security/account_links.c - from the items of all accounts to exports and imports that point at each
 * other: who may import what, which subjects become which, and no circles (spec/security.md 5.3 to 5.5).
 * Every error stands at the `accounts` block, as in nats-server. */
#include "core/base/clock.h"
#include "core/security/account.h"
#include "core/subject/subject.h"
#include "core/subject/tokens.h"

#include <stdio.h>

enum { WHY_BYTES = 768 };
#define THRESHOLD_NS (ACCOUNT_THRESHOLD_MINUTES * 60 * NS_PER_SECOND)

/* What all steps share. */
struct links {
    const struct security_accounts *accounts;
    struct config_position at;
    struct arena *arena;
    struct option_errors *errors;
    struct cycle_step *steps; /* of the search for circles; made when first needed */
    struct arena scratch;     /* holds them */
};

/* One import still to be followed: its exporter, and what subject messages have there. */
struct cycle_step {
    const struct security_account *account;
    struct bytes subject;
    uint32_t depth;
};

/* ---- exports ---- */

static struct bytes token_number(struct bytes subject, uint32_t position)
{
    size_t start = 0;
    for (uint32_t i = 1; i < position && start <= subject.count; i++)
        start = token_end(subject, start) + 1;
    if (start > subject.count)
        return (struct bytes){NULL, 0};
    return token_of(subject, start, token_end(subject, start));
}

/* The accounts listed; false: one is not there, and noted. */
static bool approval_make(struct links *links, struct account_approval *approval,
                          const struct export_item *item)
{
    uint32_t count = 0;
    approval->token_position = item->token_position;
    if (item->token_position > 0 && !token_is(token_number(item->subject, item->token_position), '*')) {
        option_fail(links->errors, links->at, "Error adding %s export \"%.*s\": sublist: invalid subject",
                    item->service ? "service" : "stream", BYTES_PRINTF(item->subject));
        return false;
    }
    if (item->accounts == NULL)
        return true;
    for (const struct config_entry *at = item->accounts->entries.first; at != NULL; at = at->next)
        count++;
    const struct security_account **listed = arena_new(links->arena, count * sizeof *listed);
    if (listed == NULL) {
        option_fail(links->errors, links->at, "out of memory");
        return false;
    }
    approval->accounts = listed;
    for (const struct config_entry *at = item->accounts->entries.first; at != NULL; at = at->next) {
        if (!option_want(links->errors, at, CONFIG_STRING))
            return false;
        const struct security_account *found = security_account_find(links->accounts, at->value->string);
        if (found == NULL) {
            option_fail(links->errors, links->at, "\"%.*s\" account not defined for %s export",
                        BYTES_PRINTF(at->value->string), item->service ? "service" : "stream");
            return false;
        }
        listed[approval->account_count++] = found;
    }
    return true;
}

static uint32_t exports_count(const struct account_block *block, bool service)
{
    uint32_t count = 0;
    for (const struct export_item *item = block->exports; item != NULL; item = item->next)
        count += item->service == service;
    return count;
}

static void stream_exports_make(struct links *links, const struct account_block *block)
{
    struct stream_export *made =
        arena_new(links->arena, exports_count(block, false) * sizeof *block->account->stream_exports);
    if (made == NULL) {
        option_fail(links->errors, links->at, "out of memory");
        return;
    }
    block->account->stream_exports = made;
    for (const struct export_item *item = block->exports; item != NULL; item = item->next) {
        if (item->service)
            continue;
        struct stream_export *next = &made[block->account->stream_export_count];
        next->subject = item->subject;
        if (approval_make(links, &next->approval, item))
            block->account->stream_export_count++;
    }
}

/* What is wrong with a latency, or NULL. */
static const char *latency_trouble(const struct account_block *block, const struct export_item *item)
{
    if (item->latency.subject.count == 0)
        return NULL;
    if (item->response != RESPONSE_SINGLETON)
        return "bad service response type";
    if (!subject_valid_literal(item->latency.subject))
        return "invalid publish subject";
    for (const struct export_item *other = block->exports; other != NULL; other = other->next) {
        if (other->service && subject_matches(other->subject, item->latency.subject))
            return "invalid publish subject";
    }
    return NULL;
}

static void service_exports_make(struct links *links, const struct account_block *block)
{
    struct service_export *made =
        arena_new(links->arena, exports_count(block, true) * sizeof *block->account->service_exports);
    if (made == NULL) {
        option_fail(links->errors, links->at, "out of memory");
        return;
    }
    block->account->service_exports = made;
    for (const struct export_item *item = block->exports; item != NULL; item = item->next) {
        if (!item->service)
            continue;
        struct service_export *next = &made[block->account->service_export_count];
        const char *trouble = latency_trouble(block, item);
        *next = (struct service_export){
            .subject = item->subject,
            .latency = item->latency,
            .response = item->response,
            .threshold_ns = item->threshold_ns > 0 ? item->threshold_ns : THRESHOLD_NS,
        };
        if (!approval_make(links, &next->approval, item))
            continue;
        block->account->service_export_count++;
        if (trouble != NULL)
            option_fail(links->errors, links->at,
                        "Error adding service latency sampling for \"%.*s\" on subject \"%.*s\": %s",
                        BYTES_PRINTF(item->subject), BYTES_PRINTF(item->latency.subject), trouble);
    }
}

/* ---- who may ---- */

static bool approved(const struct account_approval *approval, const struct security_account *importer,
                     struct bytes subject)
{
    if (approval->token_position > 0)
        return bytes_equal(token_number(subject, approval->token_position), importer->name);
    for (uint32_t i = 0; i < approval->account_count; i++) {
        if (approval->accounts[i] == importer)
            return true;
    }
    return approval->account_count == 0;
}

static bool stream_allowed(const struct security_account *exporter, const struct security_account *importer,
                           struct bytes subject)
{
    for (uint32_t i = 0; i < exporter->stream_export_count; i++) {
        const struct stream_export *exported = &exporter->stream_exports[i];
        if (subject_is_subset(subject, exported->subject) && approved(&exported->approval, importer, subject))
            return true;
    }
    return false;
}

/* The export that allows it: the one of that very subject, else the first that covers it. NULL: none. */
static const struct service_export *service_allowed(const struct security_account *exporter,
                                                    const struct security_account *importer,
                                                    struct bytes subject)
{
    const struct service_export *covering = NULL;
    for (uint32_t i = 0; i < exporter->service_export_count; i++) {
        const struct service_export *exported = &exporter->service_exports[i];
        if (!subject_is_subset(subject, exported->subject) ||
            !approved(&exported->approval, importer, subject))
            continue;
        if (bytes_equal(exported->subject, subject))
            return exported;
        covering = covering == NULL ? exported : covering;
    }
    return covering;
}

/* ---- circles ---- */

/* Puts what the exporter itself imports on these subjects. False: it reaches `origin`, or too much. */
static const char *steps_add(struct links *links, const struct cycle_step *from, bool services,
                             const struct security_account *origin, uint32_t *count)
{
    const struct security_account *account = from->account;
    uint32_t imports = services ? account->service_import_count : account->stream_import_count;
    for (uint32_t i = 0; i < imports; i++) {
        struct bytes local = services ? account->service_imports[i].local : account->stream_imports[i].local;
        const struct security_account *exporter =
            services ? account->service_imports[i].account : account->stream_imports[i].account;
        if (!subject_collides(from->subject, local))
            continue;
        if (exporter == origin)
            return "import forms a cycle";
        if (*count == ACCOUNT_CYCLE_STEPS_MAX || from->depth + 1 >= ACCOUNT_CYCLE_DEPTH_MAX)
            return "search cycle depth exhausted";
        links->steps[(*count)++] = (struct cycle_step){
            .account = exporter,
            .subject = services ? account->service_imports[i].subject : account->stream_imports[i].subject,
            .depth = from->depth + 1,
        };
    }
    return NULL;
}

/* Follows the imports of the exporter, theirs and so on. Imports are added one by one, so a circle can only
 * close at the one that is being added: at its importer. NULL: there is none. */
static const char *cycle_find(struct links *links, const struct security_account *origin,
                              const struct security_account *exporter, struct bytes subject, bool services)
{
    uint32_t count = 1;
    if (links->steps == NULL)
        links->steps = arena_new(&links->scratch, ACCOUNT_CYCLE_STEPS_MAX * sizeof *links->steps);
    if (links->steps == NULL)
        return "out of memory";
    links->steps[0] = (struct cycle_step){exporter, subject, 0};
    for (uint32_t at = 0; at < count; at++) {
        const struct cycle_step step = links->steps[at];
        const char *trouble = steps_add(links, &step, services, origin, &count);
        if (trouble != NULL)
            return trouble;
    }
    return NULL;
}

/* ---- imports ---- */

static void import_fail(struct links *links, const struct import_item *item, const char *why)
{
    option_fail(links->errors, links->at, "Error adding %s import \"%.*s\": %s",
                item->service ? "service" : "stream", BYTES_PRINTF(item->subject), why);
}

/* The exporter, or NULL, noted. */
static struct security_account *exporter_find(struct links *links, const struct import_item *item)
{
    struct security_account *found = security_account_find(links->accounts, item->account);
    if (found == NULL)
        option_fail(links->errors, links->at, "\"%.*s\" account not defined for %s import",
                    BYTES_PRINTF(item->account), item->service ? "service" : "stream");
    return found;
}

/* `to` as a destination for the imported subject, with both ways compiled. False: noted. */
static bool transforms_make(struct links *links, const struct import_item *item, struct bytes to,
                            const char *kind, const struct transform **forward,
                            const struct transform **backward)
{
    struct transform_trouble trouble;
    char text[WHY_BYTES / 2];
    char why[WHY_BYTES];
    struct bytes numbered = transform_numbered(to, links->arena);
    if (numbered.data == NULL) {
        import_fail(links, item, "out of memory");
        return false;
    }
    if (transform_compile(forward, item->subject, numbered, TRANSFORM_FOR_IMPORT, links->arena, &trouble) !=
        TRANSFORM_OK) {
        struct bytes from = item->service ? to : item->subject;
        struct bytes into = item->service ? item->subject : to;
        transform_trouble_text(&trouble, text, sizeof text);
        snprintf(why, sizeof why,
                 "failed to create mapping transform for %s import subject from \"%.*s\" to \"%.*s\": %s",
                 kind, BYTES_PRINTF(from), BYTES_PRINTF(into), text);
        import_fail(links, item, why);
        return false;
    }
    *backward = transform_inverse(*forward, links->arena);
    if (*backward == NULL)
        import_fail(links, item, "out of memory");
    return *backward != NULL;
}

/* "prefix.subject", in the arena. No data: memory is out. */
static struct bytes prefixed(struct links *links, struct bytes prefix, struct bytes subject)
{
    while (prefix.count > 0 && prefix.data[prefix.count - 1] == '.')
        prefix.count--;
    size_t count = prefix.count + 1 + subject.count;
    char *out = arena_new(links->arena, count + 1);
    if (out == NULL)
        return (struct bytes){NULL, 0};
    snprintf(out, count + 1, "%.*s.%.*s", BYTES_PRINTF(prefix), BYTES_PRINTF(subject));
    return bytes_of(out, count);
}

static const char *stream_import_trouble(struct links *links, const struct security_account *importer,
                                         const struct security_account *exporter,
                                         const struct import_item *item)
{
    if (subject_has_wildcard(item->prefix))
        return "stream import prefix can not contain wildcard tokens";
    if (!stream_allowed(exporter, importer, item->subject))
        return "stream import not authorized";
    for (uint32_t i = 0; i < importer->stream_import_count; i++) {
        const struct stream_import *other = &importer->stream_imports[i];
        if (other->account == exporter && bytes_equal(other->subject, item->subject))
            return "stream import already exists";
    }
    if (!subject_has_wildcard(item->subject) && subject_has_wildcard(item->to))
        return "'to' can not contain wildcards that the subject does not have";
    return cycle_find(links, importer, exporter, item->subject, false);
}

static void stream_import_make(struct links *links, struct security_account *importer,
                               struct stream_import *made, const struct import_item *item)
{
    const struct security_account *exporter = exporter_find(links, item);
    if (exporter == NULL)
        return;
    const char *trouble = stream_import_trouble(links, importer, exporter, item);
    if (trouble != NULL) {
        import_fail(links, item, trouble);
        return;
    }
    *made = (struct stream_import){.account = exporter, .subject = item->subject, .local = item->subject};
    struct bytes to = item->to;
    if (item->prefix.count > 0)
        to = prefixed(links, item->prefix, item->subject);
    if (to.count > 0 && !bytes_equal(to, item->subject)) {
        if (!transforms_make(links, item, to, "stream", &made->forward, &made->backward))
            return;
        made->local = transform_pattern(made->forward->destination, links->arena);
    }
    if (made->local.data != NULL)
        importer->stream_import_count++;
}

/* The same local subject for two services of one exporter. True: noted. */
static bool service_duplicate(struct links *links, const struct security_account *importer,
                              const struct service_import *made, const struct import_item *item)
{
    for (uint32_t i = 0; i < importer->service_import_count; i++) {
        const struct service_import *other = &importer->service_imports[i];
        if (other->account != made->account || !bytes_equal(other->local, made->local))
            continue;
        option_fail(links->errors, item->at,
                    "Duplicate service import subject \"%.*s\", previously used in import for account "
                    "\"%.*s\", subject \"%.*s\"",
                    BYTES_PRINTF(made->local), BYTES_PRINTF(other->account->name),
                    BYTES_PRINTF(other->subject));
        return true;
    }
    return false;
}

static const char *service_import_trouble(struct links *links, const struct security_account *importer,
                                          struct service_import *made, const struct import_item *item,
                                          struct bytes local)
{
    if (!subject_valid_pattern(item->subject) || !subject_valid_pattern(local))
        return "sublist: invalid subject";
    made->exported = service_allowed(made->account, importer, item->subject);
    if (made->exported == NULL)
        return "service import not authorized";
    return cycle_find(links, importer, made->account, item->subject, true);
}

static void service_import_make(struct links *links, struct security_account *importer,
                                struct service_import *made, const struct import_item *item)
{
    struct bytes to = item->to.count > 0 ? item->to : item->subject;
    *made = (struct service_import){
        .account = exporter_find(links, item),
        .subject = item->subject,
        .local = to,
        .literal = !subject_has_wildcard(item->subject),
        .share = item->share,
    };
    if (made->account == NULL)
        return;
    const char *trouble = service_import_trouble(links, importer, made, item, to);
    if (trouble != NULL) {
        import_fail(links, item, trouble);
        return;
    }
    if (!made->literal && !bytes_equal(to, item->subject)) {
        const struct transform *forward = NULL;
        if (!transforms_make(links, item, to, "service", &forward, &made->request))
            return;
        made->local = transform_pattern(forward->destination, links->arena);
    }
    if (made->local.data != NULL && !service_duplicate(links, importer, made, item))
        importer->service_import_count++;
}

static void imports_make(struct links *links, const struct account_block *block, bool services)
{
    uint32_t count = 0;
    for (const struct import_item *item = block->imports; item != NULL; item = item->next)
        count += item->service == services;
    if (count == 0)
        return;
    struct service_import *service = services ? arena_new(links->arena, count * sizeof *service) : NULL;
    struct stream_import *stream = services ? NULL : arena_new(links->arena, count * sizeof *stream);
    if (service == NULL && stream == NULL) {
        option_fail(links->errors, links->at, "out of memory");
        return;
    }
    struct security_account *importer = block->account;
    if (services)
        importer->service_imports = service;
    else
        importer->stream_imports = stream;
    for (const struct import_item *item = block->imports; item != NULL; item = item->next) {
        if (item->service != services)
            continue;
        if (services)
            service_import_make(links, importer, &service[importer->service_import_count], item);
        else
            stream_import_make(links, importer, &stream[importer->stream_import_count], item);
    }
}

void account_links_make(const struct security_accounts *accounts, const struct account_block *blocks,
                        uint32_t count, struct config_position at, struct arena *arena,
                        struct option_errors *errors)
{
    struct links links = {.accounts = accounts, .at = at, .arena = arena, .errors = errors};
    for (uint32_t i = 0; i < count; i++)
        stream_exports_make(&links, &blocks[i]);
    for (uint32_t i = 0; i < count; i++)
        service_exports_make(&links, &blocks[i]);
    for (uint32_t i = 0; i < count; i++)
        imports_make(&links, &blocks[i], false);
    for (uint32_t i = 0; i < count; i++)
        imports_make(&links, &blocks[i], true);
    arena_close(&links.scratch);
}
