/* shards/latency_answers.c - see latency_answers.h. */
#include "shards/latency_answers.h"

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/subject/subject.h"
#include "net/client.h"
#include "net/latency_half.h"
#include "shards/backlog.h"
#include "shards/mail.h"
#include "shards/shard.h"

#include <stdio.h>

enum { HALF_SUBJECT_BYTES = 32 };

struct measured_request {
    uint32_t hash; /* in latency_answers.table */
    uint32_t reply_count;
    struct list_link link;
    struct shard_account *account; /* of the client: it counts them */
    uint64_t cid;
    int64_t start_ns, start_wall_ns; /* when it was delivered */
    int64_t until_ns;
    uint8_t reply[];
};

struct key {
    uint64_t cid;
    struct bytes reply;
};

/* ---- what is remembered ---- */

static bool same(const uint32_t *item, const void *context)
{
    const struct measured_request *request = CONTAINER_OF(item, const struct measured_request, hash);
    const struct key *key = context;
    return request->cid == key->cid &&
           bytes_equal(bytes_of(request->reply, request->reply_count), key->reply);
}

static void drop(struct latency_answers *answers, struct measured_request *request)
{
    index_table_erase(&answers->table, &request->hash);
    list_remove(&request->link);
    request->account->measured_count--;
    answers->count--;
    memory_free(request);
}

static struct measured_request *oldest(struct latency_answers *answers)
{
    struct list_link *at = list_first(&answers->requests);
    return at == NULL ? NULL : LIST_ELEMENT(at, struct measured_request, link);
}

static struct measured_request *find(struct shard *shard, uint64_t cid, struct bytes reply, uint32_t *hash)
{
    struct key key = {cid, reply};
    *hash = (uint32_t)hash_bytes(reply, shard->context.hash_seed ^ cid);
    uint32_t *item = index_table_find(&shard->answers.table, *hash, same, &key);
    return item == NULL ? NULL : CONTAINER_OF(item, struct measured_request, hash);
}

/* How long its service may take; 0: the account exports none of that subject. */
static int64_t threshold_ns(const struct security_account *configured, struct bytes subject)
{
    for (uint32_t i = 0; configured != NULL && i < configured->service_export_count; i++) {
        if (subject_matches(configured->service_exports[i].subject, subject))
            return configured->service_exports[i].threshold_ns;
    }
    return 0;
}

static void remember(struct shard *shard, const struct client *client, struct bytes reply, int64_t within_ns)
{
    struct latency_answers *answers = &shard->answers;
    struct measured_request *at;
    int64_t now_ns = shard->context.now_ns;
    uint32_t hash;
    while (answers->count >= ANSWERS_MAX)
        drop(answers, oldest(answers));
    if ((at = find(shard, client->cid, reply, &hash)) != NULL)
        drop(answers, at); /* it came by two of its subscriptions */
    struct measured_request *new = memory_new(sizeof *new + reply.count);
    if (new == NULL || index_table_reserve(&answers->table) != ERR_OK) {
        memory_free(new);
        return; /* there is no sample of it */
    }
    new->hash = hash;
    new->reply_count = (uint32_t)reply.count;
    new->account = shard_account_of(client->account);
    new->cid = client->cid;
    new->start_ns = clock_monotonic_ns();
    new->start_wall_ns = clock_wall_ns();
    new->until_ns = now_ns + within_ns;
    memcpy(new->reply, reply.data, reply.count);
    index_table_put(&answers->table, &new->hash);
    list_push_last(&answers->requests, &new->link);
    new->account->measured_count++;
    answers->count++;
}

void latency_answers_delivered(struct shard *shard, struct client *client, struct bytes subject,
                               struct bytes reply)
{
    client_rtt_ask(client);
    if (replies_shard_of(shard, reply) != SHARDS_MAX)
        return; /* one of this server measures by itself, and needs to know who answers, and no more */
    int64_t within_ns = threshold_ns(client->account->configured, subject);
    if (within_ns > 0)
        remember(shard, client, reply, within_ns);
}

void latency_answers_expire(struct shard *shard)
{
    struct measured_request *request;
    while ((request = oldest(&shard->answers)) != NULL && request->until_ns <= shard->context.now_ns)
        drop(&shard->answers, request);
}

void latency_answers_account_set(const struct shard *shard, struct shard_account *account)
{
    const struct security_account *configured = account->host.configured;
    bool measures = false;
    for (uint32_t i = 0; configured != NULL && i < configured->service_export_count; i++)
        measures = measures || configured->service_exports[i].latency.subject.count > 0;
    measures = measures && shard->shard_count > 1; /* else its requesters are here as well */
    account->measured_count += measures;
    account->measured_count -= account->measures;
    account->measures = measures;
}

/* ---- what is told ---- */

/* To the shard that waits. False: no room. Without memory the sample has no responder. */
static bool tell_shard(struct shard *shard, const struct shard_account *account, uint32_t to,
                       const struct message *message)
{
    struct responder *responder = responder_new(message->publisher);
    if (responder == NULL)
        return true;
    struct mail_responder mail = {
        .kind = MAIL_RESPONDER,
        .reply_count = (uint32_t)message->subject.count,
        .json_count = responder->count,
        .account = account->id,
        .rtt_ns = responder->rtt_ns,
    };
    size_t bytes = mail.reply_count + mail.json_count;
    bool whole = sizeof mail + bytes <= MAILBOX_RECORD_BYTES_MAX / 8;
    if (!whole)
        mail.block = block_take(&shard->context.pool.blocks, bytes);
    uint32_t record_bytes = (uint32_t)(whole ? sizeof mail + bytes : sizeof mail);
    bool made = whole || mail.block != NULL;
    uint8_t *record = made ? post_reserve(&shard->post, to, record_bytes, false) : NULL;
    if (record != NULL) {
        memcpy(record, &mail, sizeof mail);
        uint8_t *at = whole ? record + sizeof mail : mail.block->bytes;
        at = mempcpy(at, message->subject.data, message->subject.count);
        memcpy(at, responder->json, responder->count);
        post_commit(&shard->post, to, record_bytes);
    } else {
        block_release(&shard->context.pool.blocks, mail.block);
    }
    memory_free(responder);
    return record != NULL || !made;
}

void latency_answers_mail(struct shard *shard, const uint8_t *bytes)
{
    struct mail_responder mail;
    memcpy(&mail, bytes, sizeof mail);
    const uint8_t *at = mail.block == NULL ? bytes + sizeof mail : mail.block->bytes;
    struct shard_account *exporter = accounts_get(shard, mail.account);
    if (exporter != NULL)
        replies_told(shard, exporter, bytes_of(at, mail.reply_count),
                     responder_copy(mail.rtt_ns, bytes_of(at + mail.reply_count, mail.json_count)));
    block_release(&shard->context.pool.blocks, mail.block);
}

/* The hash by which the server that measures listens: the reply's last token but one. */
static struct bytes hash_in(struct bytes reply)
{
    size_t end = reply.count - 2, start = end;
    while (start > 0 && reply.data[start - 1] != '.')
        start--;
    return bytes_of(reply.data + start, end - start);
}

/* To the server that waits, in the system account. */
static void tell_server(struct shard *shard, const struct measured_request *request,
                        const struct client *client)
{
    char json[LATENCY_HALF_BYTES_MAX];
    char subject[HALF_SUBJECT_BYTES], size[16];
    struct bytes reply = bytes_of(request->reply, request->reply_count);
    struct bytes hash = hash_in(reply);
    const struct security_account *system = shard->context.security->accounts.system;
    struct shard_account *account = system == NULL ? NULL : accounts_get(shard, system->id);
    struct responder *responder = responder_new(client);
    int64_t spent_ns = clock_monotonic_ns() - request->start_ns - client->rtt_ns;
    const struct security_account *exporter = request->account->host.configured;
    if (account != NULL && responder != NULL && exporter != NULL && hash.count <= SERVER_HASH_LONG_BYTES) {
        struct latency_half half = {
            .account = exporter->name,
            .request = reply,
            .service_ns = spent_ns > 0 ? spent_ns : 0,
            .rtt_ns = client->rtt_ns,
            .start_wall_ns = request->start_wall_ns,
            .responder = bytes_of(responder->json, responder->count),
        };
        size_t count = latency_half_write(json, sizeof json, &half);
        int subject_count =
            snprintf(subject, sizeof subject, LATENCY_HALF_SUBJECT "%.*s", BYTES_PRINTF(hash));
        int digits = snprintf(size, sizeof size, "%zu", count);
        struct message message = {
            .subject = bytes_of(subject, (size_t)subject_count),
            .body = (const uint8_t *)json,
            .total_bytes = (uint32_t)count,
            .total_size_text = bytes_of(size, (size_t)digits),
        };
        if (count > 0)
            backlog_publish(shard, account, &message);
    }
    memory_free(responder);
}

bool latency_answers_publishing(struct shard *shard, const struct shard_account *account,
                                const struct message *message)
{
    uint32_t hash, to = replies_shard_of(shard, message->subject);
    if (to == shard->post.self)
        return true;
    if (to != SHARDS_MAX)
        return tell_shard(shard, account, to, message);
    struct measured_request *request = find(shard, message->publisher->cid, message->subject, &hash);
    if (request == NULL)
        return true;
    if (request->until_ns > shard->context.now_ns)
        tell_server(shard, request, message->publisher);
    drop(&shard->answers, request);
    return true;
}

void latency_answers_close(struct shard *shard)
{
    struct measured_request *request;
    while (shard->answers.requests.ends.next != NULL && (request = oldest(&shard->answers)) != NULL)
        drop(&shard->answers, request);
    index_table_close(&shard->answers.table);
}
