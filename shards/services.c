/* shards/services.c - see services.h. One request can call several exporters, and an exporter can itself be
 * an importer of what it is asked: so the calls are listed first, then every mailbox is asked for room, and
 * only then anything is delivered. */
#include "shards/services.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "net/client.h"
#include "net/request_info.h"
#include "shards/replies.h"
#include "shards/router.h"
#include "shards/shard.h"

enum {
    NO_PARENT = SERVICE_CALLS_MAX,
    SCRATCH_BYTES = TRANSFORM_SUBJECT_BYTES_MAX, /* for the subjects of all calls of one request */
};

/* One import of an account, in its `services`. */
struct service {
    struct subscription base;
    const struct service_import *import;
    struct router_memo memo; /* of the import's subject as it is written, in the exporter */
};

/* One exporter to be asked. */
struct call {
    const struct service_import *import;
    struct service *service; /* of the importer; NULL: one of those that all accounts have */
    struct shard_account *importer;
    struct shard_account *exporter;
    struct bytes subject; /* in the scratch, or the request's own */
    struct reply *reply;  /* NULL: the request wants none */
    struct latency
        *sample;     /* of a request that wants none; published when all calls have the room asked for */
    uint32_t parent; /* the call through which it came, or NO_PARENT */
    bool taken;
    size_t reply_count;
    char reply_text[REPLY_SUBJECT_BYTES_MAX];
};

struct calls {
    struct call all[SERVICE_CALLS_MAX];
    uint32_t count;
    size_t scratch_used;
};

/* ---- what is imported ---- */

enum err services_make(struct shard *shard, struct shard_account *account)
{
    const struct security_account *configured = account->host.configured;
    (void)shard;
    if (configured == NULL || configured->service_import_count == 0)
        return ERR_OK;
    account->service_all = memory_new(configured->service_import_count * sizeof *account->service_all);
    account->services = index_new();
    enum err err = account->service_all == NULL || account->services == NULL ? ERR_MEMORY : ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < configured->service_import_count; i++) {
        struct service *service = &account->service_all[i];
        service->import = &configured->service_imports[i];
        err = index_add(account->services, service->import->local, (struct bytes){NULL, 0}, &service->base);
        account->service_count += err == ERR_OK;
    }
    if (err != ERR_OK)
        services_forget(account);
    return err;
}

void services_forget(struct shard_account *account)
{
    for (uint32_t i = 0; i < account->service_count; i++)
        index_remove(account->services, &account->service_all[i].base);
    index_free(account->services);
    memory_free(account->service_all);
    account->services = NULL;
    account->service_all = NULL;
    account->service_count = 0;
}

/* Which of its service imports a message hits; of a control line that was seen lately from the memo. NULL:
 * memory is out. */
static const struct match *find(struct shard *shard, const struct shard_account *account,
                                const struct message *message)
{
    struct router_memo *memo = &shard->router.service_memos[message->line_serial % SERVICE_MEMOS];
    const struct match *match = NULL;
    if (router_memo_good(memo, message->line_serial, account->services))
        return memo->match;
    if (match_cache_find(shard->matches, account->services, message->subject, &match) != ERR_OK)
        return NULL;
    router_memo_set(memo, message->line_serial, match);
    return match;
}

bool services_hit(struct shard *shard, struct shard_account *account, const struct message *message)
{
    struct router *router = &shard->router;
    const struct security_account *configured = account->host.configured;
    router->service_system =
        configured == NULL ? NULL : security_account_system_import(configured, message->subject);
    router->service_match = account->services == NULL ? NULL : find(shard, account, message);
    return router->service_system != NULL ||
           (router->service_match != NULL && router->service_match->interest_count > 0);
}

/* ---- the list of calls ---- */

/* What the exporter's mappings make of a subject, as of a client's there; the result lies in the scratch.
 * False: it is lost. */
static bool mapped(struct shard *shard, struct calls *calls, const struct shard_account *exporter,
                   struct bytes *subject)
{
    const struct security_account *configured = exporter->host.configured;
    const struct mapping *mapping =
        configured == NULL ? NULL : mappings_find(&configured->mappings, *subject);
    uint8_t *out = shard->scratch + calls->scratch_used;
    size_t count = 0;
    if (mapping == NULL)
        return true;
    switch (mapping_apply(mapping, *subject, shard->info.cluster, &shard->context.random, out,
                          SCRATCH_BYTES - calls->scratch_used, &count)) {
    case MAPPING_SAME:
        return true;
    case MAPPING_LOST:
        return false;
    case MAPPING_TO:
        break;
    }
    calls->scratch_used += count;
    *subject = bytes_of(out, count);
    return true;
}

/* The exporter's subject for a request. False: there is none. */
static bool target(struct shard *shard, struct calls *calls, struct call *call, struct bytes subject)
{
    const struct service_import *import = call->import;
    uint8_t *out = shard->scratch + calls->scratch_used;
    call->subject = import->literal ? import->subject : subject;
    if (!import->literal && import->request != NULL) {
        size_t count =
            transform_apply(import->request, subject, NULL, out, SCRATCH_BYTES - calls->scratch_used);
        if (count == 0)
            return false;
        calls->scratch_used += count;
        call->subject = bytes_of(out, count);
    }
    return mapped(shard, calls, call->exporter, &call->subject);
}

/* Whether the same export was entered before on the way to this call. */
static bool entered(const struct calls *calls, uint32_t parent, const struct service_export *exported)
{
    for (; parent != NO_PARENT; parent = calls->all[parent].parent) {
        if (calls->all[parent].import->exported == exported)
            return true;
    }
    return false;
}

/* Adds what `account` calls by this subject, which hits that of its services, and `system`; either may be
 * NULL.
 */
static void calls_add(struct shard *shard, struct calls *calls, struct shard_account *account,
                      struct bytes subject, const struct match *match, const struct service_import *system,
                      uint32_t parent)
{
    uint32_t first = calls->count;
    if (system != NULL && calls->count < SERVICE_CALLS_MAX)
        calls->all[calls->count++] = (struct call){.import = system, .importer = account, .parent = parent};
    for (uint32_t i = 0; match != NULL && i < match->interest_count; i++) {
        const struct subscription_set *set = &match->interests[i]->plain;
        for (uint32_t at = 0; at < set->count && calls->count < SERVICE_CALLS_MAX; at++) {
            struct service *service = CONTAINER_OF(subscription_at(set, at), struct service, base);
            calls->all[calls->count] = (struct call){
                .import = service->import, .service = service, .importer = account, .parent = parent};
            calls->count += !entered(calls, parent, service->import->exported);
        }
    }
    for (uint32_t i = first; i < calls->count;) { /* now that nobody looks at the match */
        struct call *call = &calls->all[i];
        call->exporter = accounts_open(shard, call->import->account);
        if (call->exporter != NULL && target(shard, calls, call, subject))
            i++;
        else
            *call = calls->all[--calls->count];
    }
}

static void calls_list(struct shard *shard, struct calls *calls, struct shard_account *account,
                       const struct message *message)
{
    calls->count = 0;
    calls->scratch_used = 0;
    /* services_hit() has just found it: the cache was not asked since. */
    calls_add(shard, calls, account, message->subject, shard->router.service_match,
              shard->router.service_system, NO_PARENT);
    for (uint32_t i = 0; i < calls->count; i++) {
        struct shard_account *exporter = calls->all[i].exporter;
        const struct match *match = NULL;
        if (exporter->services != NULL &&
            match_cache_find(shard->matches, exporter->services, calls->all[i].subject, &match) == ERR_OK)
            calls_add(shard, calls, exporter, calls->all[i].subject, match, NULL, i);
    }
}

/* ---- room ---- */

static bool wants_reply(const struct message *message)
{
    return message->reply.count > 0 && !bytes_start_with(message->reply, TEXT("$JS.ACK."));
}

/* Whether all that will be put finds room; the exporters' prefixes are in place then. */
static enum host_result room(struct shard *shard, struct shard_account *account, const struct calls *calls,
                             const struct message *message)
{
    /* Two of them may go into the same mailbox: so each is asked as if all did. */
    uint32_t times = calls->count + 1;
    bool alone = shard->shard_count == 1 && !shard->control_listens; /* then no mailbox is needed */
    enum host_result result = HOST_DONE;
    for (uint32_t i = 0; wants_reply(message) && result == HOST_DONE && i < calls->count; i++)
        result =
            replies_prefix_open(shard, calls->all[i].exporter); /* takes room itself, so it comes first */
    if (result == HOST_DONE && !alone)
        result = router_room_times(shard, account, message, times);
    for (uint32_t i = 0; result == HOST_DONE && !alone && i < calls->count; i++) {
        struct message request = *message;
        request.subject = calls->all[i].subject;
        request.line_serial = 0;
        result = router_room_times(shard, calls->all[i].exporter, &request, times);
    }
    return result;
}

/* ---- calling ---- */

/* Makes the reply's mapping, which takes the sample, if there is one. False: memory is out, or the bound is
 * reached: the exporter is not asked. */
static bool reply_make(struct shard *shard, struct calls *calls, struct call *call,
                       const struct message *message, struct latency *sample)
{
    const struct call *parent = call->parent == NO_PARENT ? NULL : &calls->all[call->parent];
    struct bytes back = parent == NULL ? message->reply : bytes_of(parent->reply_text, parent->reply_count);
    const struct service_export *exported = call->import->exported;
    if (parent != NULL && parent->reply == NULL)
        return false;
    call->reply = reply_new(shard, call->exporter, call->importer, back);
    if (call->reply == NULL)
        return false;
    if (reply_wait(shard, call->reply, exported->response, exported->threshold_ns) != HOST_DONE) {
        reply_free(shard, call->reply);
        call->reply = NULL;
        return false;
    }
    call->reply->latency = sample;
    call->reply->measured = sample != NULL;
    call->reply_count = reply_subject(shard, call->reply, call->reply_text);
    return true;
}

/* The request as the exporter gets it. */
static void call_make(struct shard *shard, struct shard_account *account, struct calls *calls,
                      uint32_t number, const struct message *message)
{
    struct call *call = &calls->all[number];
    const struct client *client = message->publisher;
    const struct security_account *asks = account->host.configured;
    const struct security_account *through = call->importer->host.configured;
    struct message request = *message;
    struct request_texts texts;
    char json[REQUEST_INFO_BYTES_MAX];
    struct latency *sample = NULL;
    if (UNLIKELY(call->import->exported->latency.subject.count > 0)) {
        sample = latency_sample(shard, call->import->exported, client, call->import->share, message);
        if (sample != NULL)
            client_rtt_ask(message->publisher);
    }
    if (wants_reply(message)) {
        if (!reply_make(shard, calls, call, message, sample)) {
            latency_free(sample);
            return;
        }
        request.reply = bytes_of(call->reply_text, call->reply_count);
        request.measured_reply = sample != NULL;
    } else {
        call->sample = sample;
    }
    struct bytes name = asks == NULL ? (struct bytes){NULL, 0} : asks->name;
    struct bytes service =
        call->importer == account || through == NULL ? (struct bytes){NULL, 0} : through->name;
    size_t count = request_info_json(json, sizeof json, client, name, service, call->import->share);
    request.subject = call->subject;
    struct block *block =
        request_info_put(&request, bytes_of(json, count), &shard->context.pool.blocks, &texts);
    if (block != NULL) {
        request.from_service = true;
        request.place = client->place;
        request.publisher = NULL;
        bool as_written = call->service != NULL && call->subject.data == call->import->subject.data;
        call->taken =
            router_route_known(shard, call->exporter, &request, as_written ? &call->service->memo : NULL);
        block_release(&shard->context.pool.blocks, block);
    }
}

/* Who was asked for nothing waits for nothing. True: somebody took the request. */
static bool calls_settle(struct shard *shard, struct calls *calls)
{
    bool taken = false;
    for (uint32_t i = calls->count; i > 0; i--) {
        struct call *call = &calls->all[i - 1];
        if (call->taken && call->parent != NO_PARENT)
            calls->all[call->parent].taken = true;
        taken |= call->taken;
        if (UNLIKELY(call->sample != NULL))
            latency_failed(shard, call->exporter, call->sample, 400);
        if (call->taken || call->reply == NULL)
            continue;
        struct latency *sample = call->reply->latency;
        call->reply->latency = NULL;
        latency_failed(shard, call->exporter, sample, 503);
        reply_free(shard, call->reply);
    }
    return taken;
}

enum host_result services_publish(struct shard *shard, struct shard_account *account,
                                  const struct message *message)
{
    struct calls calls;
    if (!shard_scratch_make(shard))
        return HOST_MEMORY;
    calls_list(shard, &calls, account, message);
    enum host_result result = room(shard, account, &calls, message);
    if (result != HOST_DONE)
        return result;
    bool taken = router_route(shard, account, message);
    for (uint32_t i = 0; i < calls.count; i++)
        call_make(shard, account, &calls, i, message);
    taken |= calls_settle(shard, &calls);
    return taken ? HOST_DONE : HOST_NOBODY;
}

enum host_result services_publish_room(struct shard *shard, struct shard_account *account,
                                       const struct message *message)
{
    struct calls calls;
    if (!shard_scratch_make(shard))
        return HOST_MEMORY;
    calls_list(shard, &calls, account, message);
    return room(shard, account, &calls, message);
}
