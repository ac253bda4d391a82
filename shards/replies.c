/* shards/replies.c - see replies.h. A reply is passed on after the delivery that brought it: the matches that
 * the router looks at are gone as soon as it asks for another one. */
#include "shards/replies.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/subject/subject.h"
#include "net/client.h"
#include "net/latency_half.h"
#include "shards/backlog.h"
#include "shards/router.h"
#include "shards/shard.h"

enum {
    SLOTS_FIRST = 64,
    SLOT_BITS = 20,
    PREFIX_LETTERS = 6,
    BASE = 62,
    INTEREST_LOOK_MAX = 1024, /* replies looked at when an interest goes; more wait for their thresholds */
};
_Static_assert(1 << SLOT_BITS >= REPLIES_MAX, "a token holds a slot");

#define TOKEN_MASK ((1ULL << (4 * REPLY_TOKEN_BYTES)) - 1)

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* ---- tokens ---- */

static void token_write(uint64_t token, char out[REPLY_TOKEN_BYTES])
{
    for (int i = 0; i < REPLY_TOKEN_BYTES; i++, token >>= 4)
        out[i] = (char)('A' + (token & 15));
}

/* Without a branch for each letter: a reply comes with every request. */
static bool token_read(struct bytes text, uint64_t *token)
{
    unsigned wrong = 0;
    *token = 0;
    if (text.count != REPLY_TOKEN_BYTES)
        return false;
    for (size_t i = 0; i < REPLY_TOKEN_BYTES; i++) {
        unsigned value = text.data[i] - (unsigned)'A';
        wrong |= value;
        *token |= (uint64_t)(value & 15) << (4 * i);
    }
    return wrong < 16;
}

/* The reply that a published subject means, or NULL. */
static struct reply *reply_find(struct shard *shard, const struct reply_prefix *prefix, struct bytes subject)
{
    uint64_t token;
    if (!reply_is(subject) ||
        !token_read(bytes_of(subject.data + REPLY_PREFIX_BYTES, REPLY_TOKEN_BYTES), &token))
        return NULL;
    uint32_t slot = (uint32_t)(token & (REPLIES_MAX - 1));
    struct reply *reply = slot < shard->replies.slot_count ? shard->replies.slots[slot] : NULL;
    bool good = reply != NULL && reply->token == token && reply->exporter == prefix->account;
    return good && reply->measured == (subject.count == REPLY_SUBJECT_BYTES_MAX) ? reply : NULL;
}

/* ---- the prefix ---- */

static struct reply_prefix *prefix_new(struct shard *shard, struct shard_account *exporter)
{
    struct replies *replies = &shard->replies;
    if (replies->pending == NULL)
        replies->pending = memory_new(REPLIES_PENDING_MAX * sizeof *replies->pending);
    struct reply_prefix *prefix = replies->pending == NULL ? NULL : memory_new(sizeof *prefix);
    if (prefix == NULL)
        return NULL;
    prefix->foreign.kind = FOREIGN_REPLIES;
    prefix->account = exporter;
    memcpy(prefix->text, "_R_.", 4);
    for (int i = 0; i < PREFIX_LETTERS; i++)
        prefix->text[4 + i] = letters[random_below(&shard->context.random, BASE)];
    prefix->text[REPLY_PREFIX_BYTES - 1] = '.';
    return prefix;
}

enum host_result replies_prefix_open(struct shard *shard, struct shard_account *exporter)
{
    char pattern[REPLY_PREFIX_BYTES + 1];
    if (LIKELY(exporter->reply_prefix != NULL))
        return HOST_DONE;
    struct reply_prefix *prefix = prefix_new(shard, exporter);
    if (prefix == NULL)
        return HOST_MEMORY;
    memcpy(pattern, prefix->text, REPLY_PREFIX_BYTES);
    pattern[REPLY_PREFIX_BYTES] = '>';
    enum host_result result = router_subscribe(shard, exporter, &prefix->foreign.base,
                                               bytes_of(pattern, sizeof pattern), (struct bytes){NULL, 0});
    if (result != HOST_DONE) {
        memory_free(prefix);
        return result;
    }
    prefix->foreign.base.foreign = 1;
    exporter->reply_prefix = prefix;
    return HOST_DONE;
}

/* ---- replies that are measured ---- */

enum err replies_init(struct replies *replies, struct bytes server_name, uint32_t shard, bool clustered)
{
    char hash[SERVER_HASH_LONG_BYTES];
    enum err err = server_hash_long(server_name, hash);
    if (err != ERR_OK)
        return err;
    char *last = &hash[SERVER_HASH_LONG_BYTES - 1];
    *last = server_hash_letter(*last, shard);
    replies->end[0] = '.';
    memcpy(replies->end + 1, hash, sizeof hash);
    memcpy(replies->end + 1 + sizeof hash, ".T", 2);
    replies->halves_missing = clustered;
    return ERR_OK;
}

uint32_t replies_shard_of(const struct shard *shard, struct bytes reply)
{
    const char *end = shard->replies.end;
    if (!reply_is(reply) || !reply_is_measured(reply))
        return SHARDS_MAX;
    const uint8_t *its = reply.data + REPLY_SUBJECT_BYTES;
    if (memcmp(its, end, SERVER_HASH_LONG_BYTES) != 0) /* all but the last letter */
        return SHARDS_MAX;
    char first = server_hash_letter(end[SERVER_HASH_LONG_BYTES], BASE - shard->post.self);
    uint32_t number = server_hash_steps(first, (char)its[SERVER_HASH_LONG_BYTES]);
    return number < shard->shard_count ? number : SHARDS_MAX;
}
_Static_assert((int)SHARDS_MAX <= (int)BASE, "a letter says the shard");

void replies_halves_open(struct shard *shard)
{
    char subject[sizeof LATENCY_HALF_SUBJECT - 1 + SERVER_HASH_LONG_BYTES];
    struct replies *replies = &shard->replies;
    const struct security_account *configured = shard->context.security->accounts.system;
    struct shard_account *system = configured == NULL ? NULL : accounts_get(shard, configured->id);
    replies->halves_missing =
        configured != NULL; /* else nothing can be measured: a reload makes no such one */
    if (system == NULL)
        return;
    char *to = mempcpy(subject, LATENCY_HALF_SUBJECT, sizeof LATENCY_HALF_SUBJECT - 1);
    memcpy(to, replies->end + 1, SERVER_HASH_LONG_BYTES);
    replies->halves.kind = FOREIGN_HALVES;
    if (router_subscribe(shard, system, &replies->halves.base, bytes_of(subject, sizeof subject),
                         (struct bytes){NULL, 0}) != HOST_DONE)
        return;
    replies->halves.base.foreign = 1;
    replies->halves_in = system;
    replies->halves_missing = false;
}

static void halves_close(struct replies *replies)
{
    if (replies->halves_in != NULL)
        index_remove(replies->halves_in->index, &replies->halves.base);
}

void replies_told(struct shard *shard, struct shard_account *exporter, struct bytes reply,
                  struct responder *responder)
{
    struct reply *found =
        exporter->reply_prefix == NULL ? NULL : reply_find(shard, exporter->reply_prefix, reply);
    if (found == NULL || found->done) {
        memory_free(responder);
        return;
    }
    memory_free(found->told); /* his answer had no room in another mailbox: he tells once more */
    found->told = responder;
}

bool replies_note_half(struct shard *shard, const struct message *message)
{
    struct replies *replies = &shard->replies;
    if (replies->pending == NULL || replies->pending_count == REPLIES_PENDING_MAX) /* nothing was asked yet */
        return false;
    replies->pending[replies->pending_count++] = (struct pending_reply){.message = *message};
    return true;
}

/* It is done: freed when replies_run() ends. */
static void reply_spend(struct shard *shard, struct reply *reply)
{
    reply->next_spent = shard->replies.spent;
    shard->replies.spent = reply;
}

static void half_take(struct shard *shard, const struct message *message)
{
    struct latency_half_read half;
    struct bytes payload =
        bytes_of(message->body + message->header_bytes, message->total_bytes - message->header_bytes);
    if (latency_half_read(&half, payload) == ERR_OK) {
        struct bytes subject =
            gateway_reply_is(half.request) ? gateway_reply_stripped(half.request) : half.request;
        const struct security_account *configured =
            security_account_find(&shard->context.security->accounts, half.account);
        struct shard_account *exporter = configured == NULL ? NULL : accounts_get(shard, configured->id);
        struct reply *reply = exporter == NULL || exporter->reply_prefix == NULL
                                  ? NULL
                                  : reply_find(shard, exporter->reply_prefix, subject);
        if (reply != NULL && reply->latency != NULL &&
            latency_half_take(shard, exporter, reply->latency, &half)) {
            reply->latency = NULL;
            reply_spend(shard, reply);
        }
    }
    latency_half_close(&half);
}

/* ---- the prefix, at its end ---- */

void replies_prefix_close(struct shard_account *account)
{
    if (account->reply_prefix == NULL)
        return;
    index_remove(account->index, &account->reply_prefix->foreign.base);
    memory_free(account->reply_prefix);
    account->reply_prefix = NULL;
}

/* ---- the table ---- */

static bool slots_grow(struct replies *replies)
{
    uint32_t count = replies->slot_count == 0 ? SLOTS_FIRST : replies->slot_count * 2;
    if (count > REPLIES_MAX)
        return false;
    struct reply **slots = memory_grow(replies->slots, count * sizeof(struct reply *));
    if (slots == NULL)
        return false;
    replies->slots = slots;
    uint32_t *free_slots = memory_grow(replies->free_slots, count * sizeof *free_slots);
    if (free_slots == NULL)
        return false;
    replies->free_slots = free_slots;
    for (uint32_t slot = count; slot > replies->slot_count; slot--) {
        slots[slot - 1] = NULL;
        free_slots[replies->free_count++] = slot - 1;
    }
    replies->slot_count = count;
    return true;
}

struct reply *reply_new(struct shard *shard, struct shard_account *exporter, struct shard_account *importer,
                        struct bytes subject)
{
    struct replies *replies = &shard->replies;
    if (replies->free_count == 0 && !slots_grow(replies))
        return NULL;
    struct reply *reply = memory_new(sizeof *reply + subject.count);
    if (reply == NULL)
        return NULL;
    uint32_t slot = replies->free_slots[replies->free_count - 1];
    reply->exporter = exporter;
    reply->importer = importer;
    reply->token = (random_next(&shard->context.random) << SLOT_BITS & TOKEN_MASK) | slot;
    reply->used_ns = shard->context.now_ns;
    reply->subject_count = (uint32_t)subject.count;
    reply->timer.kind = TIMER_REPLY;
    memcpy(reply->subject, subject.data, subject.count);
    replies->free_count--;
    replies->slots[slot] = reply;
    importer->reply_count++;
    return reply;
}

enum host_result reply_wait(struct shard *shard, struct reply *reply, enum response_type response,
                            int64_t threshold_ns)
{
    reply->response = (uint8_t)response;
    reply->threshold_ns = threshold_ns;
    return timers_set(&shard->context.timers, &reply->timer, shard->context.now_ns + threshold_ns) == ERR_OK
               ? HOST_DONE
               : HOST_MEMORY;
}

size_t reply_subject(const struct shard *shard, const struct reply *reply, char out[REPLY_SUBJECT_BYTES_MAX])
{
    memcpy(out, reply->exporter->reply_prefix->text, REPLY_PREFIX_BYTES);
    token_write(reply->token, out + REPLY_PREFIX_BYTES);
    if (!reply->measured)
        return REPLY_SUBJECT_BYTES;
    memcpy(out + REPLY_SUBJECT_BYTES, shard->replies.end, REPLY_END_BYTES);
    return REPLY_SUBJECT_BYTES_MAX;
}

void reply_free(struct shard *shard, struct reply *reply)
{
    struct replies *replies = &shard->replies;
    uint32_t slot = (uint32_t)(reply->token & (REPLIES_MAX - 1));
    ASSERT(replies->slots[slot] == reply);
    replies->slots[slot] = NULL;
    replies->free_slots[replies->free_count++] = slot;
    reply->importer->reply_count--;
    timers_cancel(&shard->context.timers, &reply->timer);
    latency_free(reply->latency);
    memory_free(reply->told);
    memory_free(reply);
}

void reply_due(struct shard *shard, struct timer *timer)
{
    struct reply *reply = CONTAINER_OF(timer, struct reply, timer);
    int64_t due_ns = reply->used_ns + reply->threshold_ns;
    if (due_ns > shard->context.now_ns && timers_set(&shard->context.timers, &reply->timer, due_ns) == ERR_OK)
        return; /* replies of a stream came meanwhile */
    struct latency *latency = reply->latency;
    if (!reply->done) { /* else half of a measurement is known: that is worth nothing, as in nats-server */
        reply->latency = NULL;
        latency_failed(shard, reply->exporter, latency, 504);
    }
    reply_free(shard, reply);
}

bool replies_doubt(struct shard *shard, const struct shard_account *importer,
                   const struct subscription *subscription)
{
    struct replies *replies = &shard->replies;
    struct bytes pattern = interest_pattern(subscription->interest);
    bool some = false;
    if (replies->slot_count > INTEREST_LOOK_MAX || index_own_count(subscription) > 1)
        return false;
    for (uint32_t slot = 0; slot < replies->slot_count; slot++) {
        struct reply *reply = replies->slots[slot];
        if (reply == NULL || reply->done || reply->importer != importer)
            continue;
        reply->doubtful = subject_matches(pattern, bytes_of(reply->subject, reply->subject_count));
        some |= reply->doubtful;
    }
    return some;
}

void replies_interest_gone(struct shard *shard, struct shard_account *importer)
{
    struct replies *replies = &shard->replies;
    for (uint32_t slot = 0; slot < replies->slot_count; slot++) {
        struct reply *reply = replies->slots[slot];
        if (reply == NULL || !reply->doubtful || reply->importer != importer)
            continue;
        reply->doubtful = false;
        if (router_wanted(shard, importer, bytes_of(reply->subject, reply->subject_count)))
            continue;
        struct latency *latency = reply->latency;
        reply->latency = NULL;
        latency_failed(shard, reply->exporter, latency, 408);
        reply_free(shard, reply);
    }
}

/* ---- replies that come ---- */

bool replies_note(struct shard *shard, struct reply_prefix *prefix, const struct message *message)
{
    struct replies *replies = &shard->replies;
    struct reply *reply = reply_find(shard, prefix, message->subject);
    if (reply == NULL || reply->done || replies->pending_count == REPLIES_PENDING_MAX)
        return false;
    replies->pending[replies->pending_count++] =
        (struct pending_reply){.reply = reply, .through = replies->passing, .message = *message};
    return true;
}

/* A reply that wants one itself: the requester becomes the service. Nothing, when there is no room or memory:
 * then it cannot be answered. */
static struct bytes answerable(struct shard *shard, struct reply *reply, struct bytes subject)
{
    const struct bytes nothing = {NULL, 0};
    if (subject.count == 0 || bytes_start_with(subject, TEXT("$JS.ACK.")))
        return subject;
    if (replies_prefix_open(shard, reply->importer) != HOST_DONE)
        return nothing;
    struct reply *back = reply_new(shard, reply->importer, reply->exporter, subject);
    if (back == NULL)
        return nothing;
    if (reply_wait(shard, back, RESPONSE_SINGLETON, reply->threshold_ns) != HOST_DONE) {
        reply_free(shard, back);
        return nothing;
    }
    return bytes_of(reply->answer, reply_subject(shard, back, reply->answer));
}

/* Its sample is published, or waits for what the responder's server has measured. That server tells of the
 * one reply that it was given: for one that was passed on here before, nothing comes. */
static void reply_measure(struct shard *shard, struct reply *reply, const struct message *message)
{
    struct latency *latency = reply->latency;
    bool elsewhere = message->place.cid == 0 && !message->from_service; /* of no client of this server */
    struct responder *own = NULL;
    if (latency == NULL)
        return;
    if (reply->answered == NULL && reply->by != NULL)
        reply->answered = own = responder_new(reply->by);
    if (reply->answered == NULL && elsewhere) {
        if (latency_answered_elsewhere(shard, reply->exporter, latency))
            reply->latency = NULL;
        return;
    }
    reply->latency = NULL;
    latency_answered(shard, reply->exporter, latency, reply->answered);
    if (own != NULL)
        reply->answered = NULL;
    memory_free(own);
}

/* Passes one on. */
static void reply_take(struct shard *shard, const struct pending_reply *pending)
{
    struct reply *reply = pending->reply;
    if (reply->done)
        return; /* it had its last one while this one waited */
    struct message message = pending->message;
    bool last = reply->response == RESPONSE_SINGLETON || message.total_bytes == 0;
    reply->done = last;
    reply->used_ns = shard->context.now_ns;
    reply->by = message.publisher != NULL  ? message.publisher
                : pending->through != NULL ? pending->through->by
                                           : NULL;
    reply->answered = message.publisher != NULL  ? NULL
                      : reply->told != NULL      ? reply->told
                      : pending->through != NULL ? pending->through->answered
                                                 : NULL;
    if (UNLIKELY(reply->latency != NULL))
        reply_measure(shard, reply, &message);
    message.subject = bytes_of(reply->subject, reply->subject_count);
    message.reply = answerable(shard, reply, message.reply);
    message.line_serial = 0;
    message.from_service = true;
    if (message.publisher != NULL)
        message.place = message.publisher->place;
    message.publisher = NULL;
    shard->replies.passing = reply;
    backlog_publish(shard, reply->importer, &message);
    shard->replies.passing = NULL;
    if (last && reply->latency == NULL)
        reply_spend(shard, reply);
}

void replies_run(struct shard *shard)
{
    struct replies *replies = &shard->replies;
    if (replies->running)
        return;
    replies->running = true;
    for (uint32_t at = 0; at < replies->pending_count; at++) {
        if (replies->pending[at].reply != NULL)
            reply_take(shard, &replies->pending[at]);
        else
            half_take(shard, &replies->pending[at].message);
    }
    replies->pending_count = 0;
    while (replies->spent != NULL) {
        struct reply *reply = replies->spent;
        replies->spent = reply->next_spent;
        reply_free(shard, reply);
    }
    replies->running = false;
}

void replies_close(struct shard *shard)
{
    struct replies *replies = &shard->replies;
    for (uint32_t slot = 0; slot < replies->slot_count; slot++) {
        if (replies->slots[slot] != NULL)
            reply_free(shard, replies->slots[slot]);
    }
    halves_close(replies);
    memory_free(replies->slots);
    memory_free(replies->free_slots);
    memory_free(replies->pending);
    *replies = (struct replies){0};
}
