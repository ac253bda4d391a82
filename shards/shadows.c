/* shards/shadows.c - see shadows.h. Shadows are found by the subscription that they belong to through a hash
 * table of the shard, so that subscriptions of accounts without imports hold nothing for it. */
#include "shards/shadows.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/subject/subject.h"
#include "net/client.h"
#include "net/client_access.h"
#include "shards/router.h"
#include "shards/shard.h"

static uint32_t hash_of(const struct client_subscription *subscription)
{
    return (uint32_t)hash_bytes(bytes_of(&subscription, sizeof(struct client_subscription *)), 0);
}

/* One of a subscription's shadows: any, or that of an import (NULL: of one that is gone). */
struct shadow_key {
    const struct client_subscription *of;
    const struct stream_import *import;
    bool any;
};

static bool same_shadow(const uint32_t *item, const void *wanted)
{
    const struct shadow *shadow = CONTAINER_OF(item, struct shadow, hash);
    const struct shadow_key *key = wanted;
    return shadow->of == key->of && (key->any || shadow->import == key->import);
}

static struct shadow *shadow_find(const struct shard *shard, const struct client_subscription *of,
                                  const struct stream_import *import, bool any)
{
    struct shadow_key key = {of, import, any};
    uint32_t *item = index_table_find(&shard->shadow_table, hash_of(of), same_shadow, &key);
    return item == NULL ? NULL : CONTAINER_OF(item, struct shadow, hash);
}

struct shadow_visiting {
    const struct client_subscription *of;
    shadow_visit *visit;
    void *context;
};

/* Is never satisfied, so all with the same hash are looked at. */
static bool visited(const uint32_t *item, const void *context)
{
    const struct shadow *shadow = CONTAINER_OF(item, struct shadow, hash);
    const struct shadow_visiting *visiting = context;
    if (shadow->of == visiting->of)
        visiting->visit(visiting->context, shadow);
    return false;
}

void shadows_visit(const struct shard *shard, const struct client_subscription *of, shadow_visit *visit,
                   void *context)
{
    struct shadow_visiting visiting = {of, visit, context};
    (void)index_table_find(&shard->shadow_table, hash_of(of), visited, &visiting);
}

/* The exporter's pattern for what a subscription and an import have in common, in the shard's scratch. Empty:
 * nothing. */
static struct bytes narrowed(struct shard *shard, const struct stream_import *import, struct bytes subject)
{
    uint8_t *overlap = shard->scratch;
    uint8_t *out = shard->scratch + TRANSFORM_SUBJECT_BYTES_MAX;
    size_t count = subject_intersection(subject, import->local, overlap, TRANSFORM_SUBJECT_BYTES_MAX);
    if (count == 0 || import->backward == NULL)
        return bytes_of(overlap, count);
    count =
        transform_apply(import->backward, bytes_of(overlap, count), NULL, out, TRANSFORM_SUBJECT_BYTES_MAX);
    return bytes_of(out, count);
}

/* ---- one shadow ---- */

static struct shadow *shadow_new(struct shard_account *importer, struct shard_account *exporter,
                                 const struct stream_import *import, struct client_subscription *of)
{
    struct shadow *shadow =
        memory_new(offsetof(struct shadow, own) + offsetof(struct client_subscription, sid) + of->sid_count);
    if (shadow == NULL)
        return NULL;
    shadow->foreign.kind = FOREIGN_SHADOW;
    shadow->import = import;
    shadow->importer = importer;
    shadow->exporter = exporter;
    shadow->of = of;
    shadow->hash = hash_of(of);
    shadow->own.client = of->client;
    shadow->own.sid_count = of->sid_count;
    memcpy(shadow->own.sid, of->sid, of->sid_count);
    return shadow;
}

static enum host_result shadow_add(struct shard *shard, struct shard_account *importer,
                                   const struct stream_import *import, struct client_subscription *of,
                                   struct bytes pattern, struct bytes queue)
{
    struct shard_account *exporter = accounts_get(shard, import->account->id);
    if (exporter == NULL || index_table_reserve(&shard->shadow_table) != ERR_OK)
        return HOST_MEMORY;
    struct shadow *shadow = shadow_new(importer, exporter, import, of);
    if (shadow == NULL)
        return HOST_MEMORY;
    enum host_result result = router_subscribe(shard, exporter, &shadow->foreign.base, pattern, queue);
    if (result != HOST_DONE) {
        memory_free(shadow);
        return result;
    }
    shadow->foreign.base.foreign = 1;
    index_table_put(&shard->shadow_table, &shadow->hash);
    list_push_last(&shard->shadows, &shadow->all);
    importer->shadow_count++;
    return HOST_DONE;
}

static enum host_result shadow_remove(struct shard *shard, struct shadow *shadow)
{
    enum host_result result = router_unsubscribe(shard, shadow->exporter, &shadow->foreign.base);
    if (result == HOST_FULL)
        return result;
    index_table_erase(&shard->shadow_table, &shadow->hash);
    list_remove(&shadow->all);
    shadow->importer->shadow_count--;
    shadow->own.client->line_serial = 0; /* its memory may soon be another one's */
    memory_free(shadow);
    return HOST_DONE;
}

/* ---- subscribing ---- */

static const struct security_account *imports_of(const struct shard_account *account)
{
    const struct security_account *configured = account->host.configured;
    return configured != NULL && configured->stream_import_count > 0 ? configured : NULL;
}

/* How many shadows a subscription needs, and its longest pattern. */
static uint64_t shadows_needed(struct shard *shard, const struct security_account *configured,
                               struct bytes subject, size_t *longest)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < configured->stream_import_count; i++) {
        struct bytes pattern = narrowed(shard, &configured->stream_imports[i], subject);
        count += pattern.count > 0;
        *longest = pattern.count > *longest ? pattern.count : *longest;
    }
    return count;
}

enum host_result shadows_remove(struct shard *shard, struct client_subscription *subscription)
{
    struct shadow *shadow;
    while ((shadow = shadow_find(shard, subscription, NULL, true)) != NULL) {
        if (shadow_remove(shard, shadow) == HOST_FULL)
            return HOST_FULL;
    }
    return HOST_DONE;
}

static void resync_later(struct shard *shard, struct connection *connection)
{
    if (!list_linked(&connection->resyncing))
        list_push_last(&shard->resyncing, &connection->resyncing);
}

enum host_result shadows_subscribe(struct shard *shard, struct shard_account *account,
                                   struct client_subscription *subscription, struct bytes subject,
                                   struct bytes queue)
{
    const struct security_account *configured = imports_of(account);
    if (LIKELY(configured == NULL))
        return router_subscribe(shard, account, &subscription->base, subject, queue);
    if (!shard_scratch_make(shard))
        return HOST_MEMORY;
    size_t longest = subject.count;
    uint64_t shadows = shadows_needed(shard, configured, subject, &longest);
    if (!router_subscribe_room(shard, longest + queue.count, shadows + 1))
        return HOST_FULL;
    enum host_result result = router_subscribe(shard, account, &subscription->base, subject, queue);
    for (uint32_t i = 0; result == HOST_DONE && i < configured->stream_import_count; i++) {
        const struct stream_import *import = &configured->stream_imports[i];
        struct bytes pattern = narrowed(shard, import, subject);
        if (pattern.count > 0)
            result = shadow_add(shard, account, import, subscription, pattern, queue);
    }
    if (result == HOST_DONE || subscription->base.interest == NULL)
        return result;
    if (result == HOST_FULL) { /* more imports than an empty mailbox takes: the rest in the next turns */
        resync_later(shard, connection_of(subscription->client));
        return HOST_DONE;
    }
    /* Memory is out: the client closes, and on closing what could not be undone here is taken out. */
    if (shadows_remove(shard, subscription) == HOST_DONE)
        (void)router_unsubscribe(shard, account, &subscription->base);
    return HOST_MEMORY;
}

/* ---- delivering ---- */

/* The subject by which the importer knows it; empty: there is none. */
static struct bytes translated(struct shard *shard, struct shadow *shadow, const struct message *run)
{
    const struct transform *forward = shadow->import->forward;
    if (forward == NULL)
        return run->subject;
    if (run->line_serial != 0 && shadow->line_serial == run->line_serial && shadow->subject_count > 0)
        return bytes_of(shadow->subject, shadow->subject_count);
    size_t count = transform_apply(forward, run->subject, NULL, shadow->subject, sizeof shadow->subject);
    shadow->line_serial = run->line_serial;
    shadow->subject_count = (uint16_t)count;
    if (count > 0)
        return bytes_of(shadow->subject, count);
    /* The first half may hold the subjects of a request's calls (services.c), which go out after this. */
    uint8_t *out = shard->scratch + TRANSFORM_SUBJECT_BYTES_MAX;
    count = transform_apply(forward, run->subject, NULL, out, TRANSFORM_SUBJECT_BYTES_MAX);
    return bytes_of(out, count);
}

/* Whether the subscription behind a shadow still takes messages, and its client may have this one. What the
 * permissions said of a control line was said of its subject in the client's own account. */
static bool may_have(const struct client_subscription *of, struct message *here)
{
    if (UNLIKELY(of->client->state == CLIENT_CLOSED))
        return false; /* what it was permitted may be gone with an old snapshot */
    if (UNLIKELY(subscription_max(of) != 0) && of->delivered >= subscription_max(of))
        return false;
    if (LIKELY(of->client->access == NULL))
        return true;
    here->line_serial = 0;
    return !of->filtered || client_access_takes(of, here);
}

/* Delivers, and books what was sent on the account where it was published, as nats-server does. */
static bool deliver_counted(struct shadow *shadow, const struct message *here)
{
    struct host_traffic *importer = &shadow->own.client->account->traffic;
    struct host_traffic *exporter = &shadow->exporter->host.traffic;
    struct host_traffic before = *importer;
    bool taken = here->run_more == 0 ? client_deliver(&shadow->own, here)
                                     : client_deliver_run(&shadow->own, here, NULL);
    exporter->out_messages += importer->out_messages - before.out_messages;
    exporter->out_bytes += importer->out_bytes - before.out_bytes;
    importer->out_messages = before.out_messages;
    importer->out_bytes = before.out_bytes;
    return taken;
}

bool shadow_deliver(struct shard *shard, struct shadow *shadow, const struct message *run)
{
    if (UNLIKELY(shadow->import == NULL || run->from_service))
        return false;
    struct message here = *run;
    here.subject = translated(shard, shadow, run);
    if (UNLIKELY(here.subject.count == 0) || UNLIKELY(!may_have(shadow->of, &here)))
        return false;
    return deliver_counted(shadow, &here);
}

/* ---- a new snapshot ---- */

static bool same_import(const struct stream_import *a, const struct stream_import *b)
{
    return a->account->id == b->account->id && bytes_equal(a->subject, b->subject) &&
           bytes_equal(a->local, b->local) && (a->forward == NULL) == (b->forward == NULL) &&
           (a->forward == NULL || bytes_equal(a->forward->destination, b->forward->destination));
}

static const struct stream_import *import_again(const struct security_account *configured,
                                                const struct stream_import *before)
{
    for (uint32_t i = 0; configured != NULL && i < configured->stream_import_count; i++) {
        if (same_import(&configured->stream_imports[i], before))
            return &configured->stream_imports[i];
    }
    return NULL;
}

/* Whether an account imports the same as before. */
static bool imports_same(const struct security_accounts *before, const struct shard_account *account)
{
    const struct security_account *now = account->host.configured;
    for (uint32_t i = 0; i < before->count; i++) {
        const struct security_account *old = before->all[i];
        if (old->id != account->id)
            continue;
        bool same = now != NULL && now->stream_import_count == old->stream_import_count;
        for (uint32_t j = 0; same && j < old->stream_import_count; j++)
            same = import_again(now, &old->stream_imports[j]) != NULL;
        return same;
    }
    return now == NULL || now->stream_import_count == 0;
}

void shadows_snapshot_use(struct shard *shard, const struct security_accounts *before)
{
    for (struct list_link *at = list_first(&shard->shadows); at != NULL;
         at = list_next(&shard->shadows, at)) {
        struct shadow *shadow = LIST_ELEMENT(at, struct shadow, all);
        if (shadow->import != NULL)
            shadow->import = import_again(shadow->importer->host.configured, shadow->import);
        shadow->line_serial = 0;
    }
    for (struct list_link *at = list_first(&shard->connections); at != NULL;
         at = list_next(&shard->connections, at)) {
        struct connection *connection = LIST_ELEMENT(at, struct connection, all);
        if (connection->client.account != NULL && /* NULL: closed before it got into one */
            !imports_same(before, shard_account_of(connection->client.account)))
            resync_later(shard, connection);
    }
}

/* False: a mailbox is full. Without memory a shadow is not made: the import is not received. */
static bool resync_one(struct shard *shard, struct shard_account *account,
                       struct client_subscription *subscription)
{
    const struct security_account *configured = imports_of(account);
    struct shadow *gone;
    while ((gone = shadow_find(shard, subscription, NULL, false)) != NULL) {
        if (shadow_remove(shard, gone) == HOST_FULL)
            return false;
    }
    if (configured == NULL || subscription->base.interest == NULL)
        return true;
    struct bytes subject = interest_pattern(subscription->base.interest);
    struct bytes queue = subscription->base.group == NULL ? (struct bytes){NULL, 0}
                                                          : queue_group_name(subscription->base.group);
    for (uint32_t i = 0; i < configured->stream_import_count; i++) {
        const struct stream_import *import = &configured->stream_imports[i];
        struct bytes pattern = narrowed(shard, import, subject);
        if (pattern.count > 0 && shadow_find(shard, subscription, import, false) == NULL &&
            shadow_add(shard, account, import, subscription, pattern, queue) == HOST_FULL)
            return false;
    }
    return true;
}

bool shadows_resync(struct shard *shard, struct connection *connection)
{
    const struct sids *sids = &connection->client.sids;
    struct shard_account *account = shard_account_of(connection->client.account);
    if (!shard_scratch_make(shard))
        return false;
    struct client_subscription *subscription;
    uint64_t at = 0; /* from the beginning each time: the table may have moved between two turns */
    while ((subscription = sids_next(sids, &at)) != NULL) {
        if (!resync_one(shard, account, subscription))
            return false;
    }
    return true;
}
