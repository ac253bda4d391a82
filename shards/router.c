/* shards/router.c - see router.h. A message is routed in two steps: room_for_all() asks every mailbox that it
 * needs, and only then is anything written, so that HOST_FULL always means that nothing was done. */
#include "shards/router.h"

#include "core/base/check.h"
#include "core/base/copy.h"
#include "core/base/memory.h"
#include "net/client.h"
#include "net/route_parser.h"
#include "shards/mail_texts.h"
#include "shards/remotes.h"
#include "shards/services.h"
#include "shards/shard.h"
#include "shards/system_shard.h"

_Static_assert(sizeof(struct mail_message) + MAIL_INLINE_BYTES_MAX <= MAILBOX_RECORD_BYTES_MAX,
               "a mail fits a record");

/* What a reply to a service request hits: each of these subjects is used once, but all with one prefix hit
 * the same, since nobody subscribes to a single one. So do those with one end that are measured. */
static const struct match *reply_match(struct shard *shard, const struct shard_account *account,
                                       struct bytes subject)
{
    uint8_t same[REPLY_PREFIX_BYTES + 1 + REPLY_END_BYTES];
    const struct match *match = NULL;
    struct reply_prefix *prefix = account->reply_prefix;
    bool own = prefix != NULL && subject.count == REPLY_SUBJECT_BYTES &&
               memcmp(subject.data, prefix->text, REPLY_PREFIX_BYTES) == 0;
    if (own && router_memo_good(&prefix->memo, ROUTER_MEMO_OWN, account->index))
        return prefix->memo.match;
    uint8_t *to = mempcpy(same, subject.data, REPLY_PREFIX_BYTES);
    *to++ = '*';
    to = mempcpy(to, subject.data + REPLY_SUBJECT_BYTES, subject.count - REPLY_SUBJECT_BYTES);
    if (match_cache_find(shard->matches, account->index, bytes_of(same, (size_t)(to - same)), &match) !=
        ERR_OK)
        return NULL;
    if (own)
        router_memo_set(&prefix->memo, ROUTER_MEMO_OWN, match);
    return match;
}

/* What a subject hits in an account. */
static const struct match *subject_match(struct shard *shard, const struct shard_account *account,
                                         struct bytes subject)
{
    const struct match *match = NULL;
    if (UNLIKELY(reply_is(subject)))
        return reply_match(shard, account, subject);
    return match_cache_find(shard->matches, account->index, subject, &match) == ERR_OK ? match : NULL;
}

static NEVER_INLINE const struct match *find_subject(struct shard *shard, const struct shard_account *account,
                                                     const struct message *message, struct router_memo *memo)
{
    const struct match *match = subject_match(shard, account, message->subject);
    if (match == NULL)
        return NULL;
    router_memo_set(memo, message->line_serial, match);
    return match;
}

/* What the subject hits: of a control line that was seen lately from the memo, else from the cache. One set
 * of memos serves all connections, so the line may have been another account's. */
static ALWAYS_INLINE const struct match *find(struct shard *shard, const struct shard_account *account,
                                              const struct message *message)
{
    struct router_memo *memo = &shard->router.memos[message->line_serial % ROUTER_MEMOS];
    if (router_memo_good(memo, message->line_serial, account->index))
        return memo->match;
    return find_subject(shard, account, message, memo);
}

/* ---- mail ---- */

/* Bytes of the record for this message; what is more than `inline_most` travels in a block. */
static uint32_t record_bytes(const struct message *message, struct bytes queue, uint32_t inline_most)
{
    uint32_t texts = mail_texts_bytes(message, queue);
    if (texts + message->total_bytes <= inline_most)
        return (uint32_t)sizeof(struct mail_message) + texts + message->total_bytes;
    if (texts <= inline_most)
        return (uint32_t)sizeof(struct mail_message) + texts;
    return sizeof(struct mail_message);
}

/* Where a message goes to many queue groups, each group's mail holds less of it, so that all together stay
 * within 16 KiB and a header each, and find room in the smallest mailbox. */
static uint32_t group_inline_most(uint32_t groups)
{
    return MAIL_INLINE_BYTES_MAX / (1 + groups / 4);
}

/* Writes one mail. False: no memory for its block; the receiver misses the message, its publisher is told by
 * HOST_MEMORY. Or no room in a mailbox that is smaller than what it was asked for: the receiver misses it. */
static bool mail_message(struct shard *shard, const struct shard_account *account, uint32_t to,
                         const struct message *message, struct bytes queue, uint8_t flags,
                         uint32_t inline_most)
{
    uint32_t bytes = record_bytes(message, queue, inline_most);
    bool spare = (flags & MAIL_REPEATED) != 0;
    uint32_t texts = mail_texts_bytes(message, queue);
    struct mail_message header = {
        .kind = MAIL_MESSAGE,
        .flags = (uint8_t)(flags | (message->from_service ? MAIL_FROM_SERVICE : 0)),
        .account = account->id,
        .total_size_count = (uint8_t)message->total_size_text.count,
        .header_size_count = (uint8_t)message->header_size_text.count,
        .subject_count = (uint32_t)message->subject.count,
        .reply_count = (uint32_t)message->reply.count,
        .queue_count = (uint32_t)queue.count,
        .header_bytes = message->header_bytes,
        .total_bytes = message->total_bytes,
        .place = message->publisher != NULL ? message->publisher->place : message->place,
        .tried_shards = message->publisher != NULL ? 0 : message->tried_shards,
    };
    bool whole = bytes == sizeof header + texts + message->total_bytes;
    if (!whole) {
        header.block = mail_block_new(&shard->context.pool.blocks, message, queue, bytes == sizeof header);
        if (header.block == NULL)
            return false;
        if (bytes != sizeof header)
            header.body = message->block != NULL ? message->body : header.block->bytes;
    }
    uint8_t *record = post_reserve(&shard->post, to, bytes, spare);
    if (record == NULL) {
        block_release(&shard->context.pool.blocks, header.block);
        return false;
    }
    memcpy(record, &header, sizeof header);
    if (bytes > sizeof header) {
        uint8_t *at = mail_put_texts(record + sizeof header, message, queue);
        if (whole)
            (void)mail_put(at, bytes_of(message->body, message->total_bytes));
    }
    post_commit(&shard->post, to, bytes);
    return true;
}

/* Whether the short form can say who published: a client of this shard, or, for a message of a route, nobody.
 */
static ALWAYS_INLINE bool has_short_place(const struct message *message)
{
    if (LIKELY(message->publisher != NULL))
        return message->publisher->place.slot < MAIL_SHORT_SLOTS;
    return message->place.cid == 0 && !message->from_service && !message->mapped_reply &&
           !message->measured_reply;
}

/* Whether a message can travel in the short form. */
static ALWAYS_INLINE bool is_short(const struct shard_account *account, const struct message *message)
{
    size_t texts = message->subject.count + message->reply.count + message->total_size_text.count;
    return LIKELY(message->header_size_text.count == 0 &&
                  texts + message->total_bytes <= MAIL_INLINE_BYTES_MAX && has_short_place(message) &&
                  account->id < MAIL_SHORT_ACCOUNTS &&
                  message->total_size_text.count <= MAIL_SHORT_SIZE_COUNT);
}

/* How many messages of a run fit one short mail. */
static uint32_t run_most(const struct shard_account *account, const struct message *run)
{
    size_t texts = run->subject.count + run->reply.count + run->total_size_text.count;
    if (!is_short(account, run) || run->run_stride > UINT16_MAX)
        return 1;
    size_t room = MAILBOX_RECORD_BYTES_MAX - sizeof(struct mail_short_message) - texts;
    return 1 + (uint32_t)((room - run->total_bytes - 2) / run->run_stride);
}
_Static_assert(MAILBOX_RECORD_BYTES_MAX - sizeof(struct mail_short_message) >= MAIL_INLINE_BYTES_MAX + 2,
               "at least one message fits");

static ALWAYS_INLINE uint32_t short_mail_bytes(const struct message *run)
{
    size_t texts = run->subject.count + run->reply.count + run->total_size_text.count;
    return (uint32_t)(sizeof(struct mail_short_message) + texts + mail_body_bytes(run));
}

/* One mail for the plain subscriptions of a shard, in the short form when it can be. */
static ALWAYS_INLINE bool mail_plain(struct shard *shard, const struct shard_account *account, uint32_t to,
                                     const struct message *run)
{
    if (UNLIKELY(!is_short(account, run)))
        return mail_message(shard, account, to, run, (struct bytes){NULL, 0}, MAIL_TO_PLAIN,
                            MAIL_INLINE_BYTES_MAX);
    const struct publisher_place *place =
        LIKELY(run->publisher != NULL) ? &run->publisher->place : &run->place;
    struct mail_short_message header = {
        .kind = MAIL_SHORT_MESSAGE,
        .total_size_count = run->total_size_text.count & MAIL_SHORT_SIZE_COUNT,
        .account_low = account->id & 15,
        .account_high = account->id >> 4 & 255,
        .subject_count = (uint16_t)run->subject.count,
        .reply_count = (uint16_t)run->reply.count,
        .total_bytes = (uint16_t)run->total_bytes,
        .line_serial = run->line_serial,
        .publisher_cid = place->cid,
        .publisher_slot = place->slot & (MAIL_SHORT_SLOTS - 1),
        .run_more = (uint16_t)run->run_more,
        .run_stride = (uint16_t)run->run_stride,
    };
    uint32_t bytes = short_mail_bytes(run);
    uint8_t *at = post_reserve(&shard->post, to, bytes, false);
    if (UNLIKELY(at == NULL))
        return false;
    memcpy(at, &header, sizeof header);
    at = copy_short(at + sizeof header, run->subject);
    at = copy_short(at, run->reply);
    at = copy_short(at, run->total_size_text);
    if (run->run_more == 0)
        (void)copy_short(at, bytes_of(run->body, run->total_bytes));
    else
        memcpy(at, run->body, mail_body_bytes(run));
    post_commit(&shard->post, to, bytes);
    return true;
}
_Static_assert(sizeof(struct mail_short_message) <= sizeof(struct mail_message),
               "room is asked for the longer form");
_Static_assert((int)MAILBOX_RECORD_BYTES_MAX <= (int)UINT16_MAX, "what is inline is counted in 16 bits");

/* ---- publishing ---- */

/* Every shard that this match could send a mail to. */
static ALWAYS_INLINE uint64_t shards_involved(const struct match *match)
{
    uint64_t shards = 0;
    for (uint32_t i = 0; i < match->interest_count; i++)
        shards |= match->interests[i]->remote_shards;
    return shards;
}

static bool groups_remote(const struct match *match)
{
    for (uint32_t g = 0; g < match->group_count; g++) {
        for (uint32_t p = 0; p < match->groups[g].part_count; p++) {
            if (match->groups[g].parts[p]->remote_total > 0)
                return true;
        }
    }
    return false;
}

static uint32_t longest_group_name(const struct match *match)
{
    size_t longest = 0;
    for (uint32_t g = 0; g < match->group_count; g++) {
        size_t count = queue_group_name(match->groups[g].parts[0]).count;
        longest = count > longest ? count : longest;
    }
    return (uint32_t)longest;
}

/* Whether every mailbox that may be needed has room for the most that may be put there: one mail for the
 * plain subscriptions and one for each group. Until they are put nobody else may put anything on this thread
 * (host_stalls_tell() waits for the end of the turn). `times` > 1: so many messages like this one, which may
 * have more headers. */
static NEVER_INLINE bool room_in(struct shard *shard, const struct match *match,
                                 const struct message *message, uint64_t shards, uint32_t times)
{
    uint32_t groups = 0;
    uint32_t inline_most = group_inline_most(match->group_count);
    if (match->group_count > 0 && groups_remote(match)) {
        shards = (shards | ((1ULL << shard->shard_count) - 1)) & ~(1ULL << shard->post.self);
        groups = match->group_count;
    }
    uint32_t plain_bytes = sizeof(struct mail_message) + MAIL_INLINE_BYTES_MAX;
    uint32_t group_bytes = (uint32_t)sizeof(struct mail_message) + inline_most;
    if (LIKELY(times == 1)) {
        plain_bytes = message->run_more > 0
                          ? short_mail_bytes(message)
                          : record_bytes(message, (struct bytes){NULL, 0}, MAIL_INLINE_BYTES_MAX);
        group_bytes = (uint32_t)sizeof(struct mail_message) +
                      mail_inline_bytes(message, longest_group_name(match), inline_most);
    }
    for (; shards != 0; shards &= shards - 1) {
        if (!mailbox_has_room_for_both(post_box(&shard->post, (uint32_t)__builtin_ctzll(shards)), plain_bytes,
                                       times, group_bytes, (uint64_t)groups * times))
            return false;
    }
    return true;
}

static ALWAYS_INLINE bool room_for_all(struct shard *shard, const struct shard_account *account,
                                       const struct match *match, const struct message *message)
{
    uint64_t shards = shards_involved(match);
    if (UNLIKELY(account->remote != NULL) &&
        !remotes_room(shard, account, message, 1U + match->group_count, 1))
        return false;
    if (UNLIKELY(account->gateway != NULL) &&
        !gateways_room(shard, account, message, 1U + match->group_count, 1))
        return false;
    return LIKELY(shards == 0 && match->group_count == 0) || room_in(shard, match, message, shards, 1);
}

/* To what is no client's own subscription: the shadow of one in another account, or replies to the server. */
static NEVER_INLINE bool foreign_deliver(struct shard *shard, struct subscription *subscription,
                                         const struct message *run)
{
    struct foreign *foreign = CONTAINER_OF(subscription, struct foreign, base);
    switch ((enum foreign_kind)foreign->kind) {
    case FOREIGN_SHADOW:
        return shadow_deliver(shard, CONTAINER_OF(foreign, struct shadow, foreign), run);
    case FOREIGN_SYSTEM:
        return system_shard_request(shard, foreign, run);
    case FOREIGN_REPLIES:
        return replies_note(shard, CONTAINER_OF(foreign, struct reply_prefix, foreign), run);
    case FOREIGN_HALVES:
        return replies_note_half(shard, run);
    case FOREIGN_CALLOUTS:
        return callouts_note(shard, run);
    }
    return false;
}

/* The client that a subscription delivers to; NULL: the server itself. */
static struct client *receiver_of(struct subscription *subscription)
{
    if (LIKELY(!subscription->foreign))
        return CONTAINER_OF(subscription, struct client_subscription, base)->client;
    struct foreign *foreign = CONTAINER_OF(subscription, struct foreign, base);
    return foreign->kind == FOREIGN_SHADOW ? CONTAINER_OF(foreign, struct shadow, foreign)->own.client : NULL;
}

/* A reply that other clusters' servers have mapped is not for clients' eyes; where their answer belongs is
 * remembered. So is a request that is measured. */
static NEVER_INLINE bool marked_deliver(struct shard *shard, struct subscription *subscription,
                                        const struct message *message)
{
    struct message plain = *message;
    struct client *client = receiver_of(subscription);
    bool system =
        subscription->foreign && CONTAINER_OF(subscription, struct foreign, base)->kind == FOREIGN_SYSTEM;
    plain.mapped_reply = plain.measured_reply = false;
    if (message->mapped_reply && !system) /* the server itself answers to the whole of it: router_route() */
        plain.reply = gateway_reply_stripped(message->reply);
    bool taken = subscription->foreign
                     ? foreign_deliver(shard, subscription, &plain)
                     : client_deliver(CONTAINER_OF(subscription, struct client_subscription, base), &plain);
    if (taken && client != NULL && message->mapped_reply && shard->gateways.matches != NULL)
        gateway_replies_note(shard, client, message->reply);
    if (taken && client != NULL && message->measured_reply)
        latency_answers_delivered(shard, client, message->subject, plain.reply);
    return taken;
}

static ALWAYS_INLINE bool deliver_one(struct shard *shard, struct subscription *subscription,
                                      const struct message *message)
{
    if (UNLIKELY(message->mapped_reply || message->measured_reply))
        return marked_deliver(shard, subscription, message);
    if (UNLIKELY(subscription->foreign))
        return foreign_deliver(shard, subscription, message);
    return client_deliver(CONTAINER_OF(subscription, struct client_subscription, base), message);
}

static ALWAYS_INLINE bool deliver_plain(struct shard *shard, const struct match *match,
                                        const struct message *message)
{
    bool taken = false;
    for (uint32_t i = 0; i < match->interest_count; i++) {
        const struct subscription_set *set = &match->interests[i]->plain;
        for (uint32_t at = set->count; at > 0; at--)
            taken |= deliver_one(shard, subscription_at(set, at - 1), message);
    }
    return taken;
}

/* Receiver by receiver, all messages of the run at once. */
static NEVER_INLINE bool deliver_plain_run(struct shard *shard, const struct match *match,
                                           const struct message *run)
{
    bool taken = false;
    struct run_written written;
    run_written_init(&written);
    for (uint32_t i = 0; i < match->interest_count; i++) {
        const struct subscription_set *set = &match->interests[i]->plain;
        bool alone = match->interest_count == 1 && set->count == 1;
        for (uint32_t at = set->count; at > 0; at--) {
            struct subscription *subscription = subscription_at(set, at - 1);
            if (UNLIKELY(subscription->foreign))
                taken |= foreign_deliver(shard, subscription, run);
            else
                taken |= client_deliver_run(CONTAINER_OF(subscription, struct client_subscription, base), run,
                                            alone ? NULL : &written);
        }
    }
    run_written_release(&written, &shard->context.pool);
    return taken;
}

/* What was delivered to the server itself goes on: nobody looks at a match any more. */
static ALWAYS_INLINE void replies_go_on(struct shard *shard)
{
    if (UNLIKELY(shard->replies.pending_count > 0))
        replies_run(shard);
}

/* Message by message, each to all receivers. */
static NEVER_INLINE void deliver_plain_each(struct shard *shard, struct shard_account *account,
                                            const struct message *run)
{
    struct message rest = *run;
    for (uint32_t left = message_count(run); left > 0; left--) {
        struct message single = message_first(&rest, 1);
        const struct match *match = find(shard, account, &single);
        if (match != NULL)
            (void)deliver_plain(shard, match, &single);
        replies_go_on(shard);
        if (left > 1)
            message_advance(&rest, 1);
    }
}

/* Whether no client gets the same message twice: only then may one receiver get a whole run before the next
 * one gets its first message, with nobody seeing another order than message by message. */
static NEVER_INLINE bool receivers_distinct(struct shard *shard, const struct match *match)
{
    uint64_t run = ++shard->context.runs;
    for (uint32_t i = 0; i < match->interest_count; i++) {
        const struct subscription_set *set = &match->interests[i]->plain;
        for (uint32_t at = 0; at < set->count; at++) {
            struct client *client = receiver_of(subscription_at(set, at));
            if (client == NULL || client->run_seen == run)
                return false;
            client->run_seen = run;
        }
    }
    return true;
}

/* How many messages of a run may be routed at once: a queue group chooses for each message anew, and a mail
 * has an end. */
static ALWAYS_INLINE uint32_t run_length(struct shard *shard, const struct shard_account *account,
                                         const struct match *match, const struct message *run)
{
    uint32_t count = message_count(run);
    if (LIKELY(count == 1 || (match->interest_count == 0 && match->group_count == 0)))
        return count;
    if (match->group_count > 0 || !receivers_distinct(shard, match))
        return 1;
    uint32_t most = shards_involved(match) == 0 ? count : run_most(account, run);
    return count < most ? count : most;
}

/* One member of a group, beginning at random, then one after the other until somebody takes it
 * (client-protocol 7.3). */
static bool deliver_group(struct shard *shard, const struct shard_account *account,
                          const struct match_group *group, const struct message *message, bool remote_too,
                          uint8_t flags, uint32_t inline_most)
{
    uint32_t size = match_group_size(group, remote_too);
    if (size == 0)
        return false;
    uint32_t start = random_below(&shard->context.random, size);
    for (uint32_t i = 0; i < size; i++) {
        struct subscription *own = NULL;
        unsigned to = 0;
        uint32_t position = start + i < size ? start + i : start + i - size;
        match_group_member(group, position, &own, &to);
        if (own == NULL && message->publisher == NULL && (message->tried_shards >> to & 1) != 0)
            continue;
        if (own == NULL) {
            if (mail_message(shard, account, to, message, queue_group_name(group->parts[0]),
                             MAIL_TO_GROUP | flags, inline_most))
                return true;
        } else if (deliver_one(shard, own, message)) {
            return true;
        }
    }
    return false;
}

/* The same with the other servers of the cluster, which have to be chosen before anybody gets a queue group's
 * copy, and with other clusters, which get what is not served here. */
static NEVER_INLINE bool deliver_clustered(struct shard *shard, struct shard_account *account,
                                           const struct match *match, const struct message *message)
{
    struct remotes_plan plan;
    bool from_gateway = message->way == MESSAGE_FROM_GATEWAY;
    remotes_plan_nobody(&plan);
    if (account->remote != NULL)
        remotes_plan(shard, account, match, message, &plan);
    bool taken = message->run_more == 0 ? deliver_plain(shard, match, message)
                                        : deliver_plain_run(shard, match, message);
    for (uint64_t shards = shards_involved(match); shards != 0; shards &= shards - 1)
        taken |= mail_plain(shard, account, (uint32_t)__builtin_ctzll(shards), message);
    uint32_t inline_most = group_inline_most(match->group_count);
    for (uint32_t g = 0; g < match->group_count; g++) {
        struct bytes name = queue_group_name(match->groups[g].parts[0]);
        if (plan.count > 0 && remotes_plan_has(&plan, name))
            continue;
        if (from_gateway && !route_queues_have(message->queues, name))
            continue;
        if (deliver_group(shard, account, &match->groups[g], message, true, 0, inline_most))
            taken = true;
        else
            (void)remotes_plan_add(shard, account, &plan, name);
    }
    if ((plan.plain | plan.queued) != 0)
        taken |= remotes_deliver(shard, account, message, &plan, false);
    if (account->gateway != NULL && message->way == MESSAGE_PUBLISHED)
        taken |= gateways_deliver(shard, account, match, &plan, message);
    replies_go_on(shard);
    return taken;
}

/* To everybody that the match names; room was asked for. A match is good for nothing afterwards. */
static ALWAYS_INLINE bool deliver_all(struct shard *shard, struct shard_account *account,
                                      const struct match *match, const struct message *message)
{
    if (UNLIKELY(account->remote != NULL || account->gateway != NULL))
        return deliver_clustered(shard, account, match, message);
    bool taken = message->run_more == 0 ? deliver_plain(shard, match, message)
                                        : deliver_plain_run(shard, match, message);
    for (uint64_t shards = shards_involved(match); shards != 0; shards &= shards - 1)
        taken |= mail_plain(shard, account, (uint32_t)__builtin_ctzll(shards), message);
    uint32_t inline_most = group_inline_most(match->group_count);
    for (uint32_t g = 0; g < match->group_count; g++)
        taken |= deliver_group(shard, account, &match->groups[g], message, true, 0, inline_most);
    replies_go_on(shard);
    return taken;
}

/* An answer of the server itself to a request of another cluster. */
static ALWAYS_INLINE bool goes_home(const struct shard_account *account, const struct message *message)
{
    return UNLIKELY(account->gateway != NULL) && message->publisher == NULL &&
           gateway_reply_is(message->subject);
}

enum host_result router_room(struct shard *shard, struct shard_account *account,
                             const struct message *message)
{
    if (goes_home(account, message))
        return gateway_replies_room(shard, message, message->subject);
    const struct match *match = find(shard, account, message);
    if (match == NULL)
        return HOST_MEMORY;
    return room_for_all(shard, account, match, message) ? HOST_DONE : HOST_FULL;
}

enum host_result router_room_times(struct shard *shard, struct shard_account *account,
                                   const struct message *message, uint32_t times)
{
    const struct match *match = find(shard, account, message);
    if (match == NULL)
        return HOST_MEMORY;
    if (account->remote != NULL && !remotes_room(shard, account, message, 1U + match->group_count, times))
        return HOST_FULL;
    if (account->gateway != NULL && !gateways_room(shard, account, message, 1U + match->group_count, times))
        return HOST_FULL;
    return room_in(shard, match, message, shards_involved(match), times) ? HOST_DONE : HOST_FULL;
}

bool router_wanted(struct shard *shard, struct shard_account *account, struct bytes subject)
{
    const struct match *match = subject_match(shard, account, subject);
    return match == NULL || match->interest_count > 0 ||
           (account->remote != NULL && remotes_wanted(shard, account, subject)) ||
           (account->gateway != NULL && gateways_wanted(shard, account, subject));
}

bool router_route(struct shard *shard, struct shard_account *account, const struct message *message)
{
    uint32_t done;
    if (goes_home(account, message))
        return gateway_replies_publish(shard, account, message, message->subject, &done) == HOST_DONE;
    const struct match *match = find(shard, account, message);
    return match != NULL && deliver_all(shard, account, match, message);
}

static ALWAYS_INLINE enum host_result publish_all(struct shard *shard, struct shard_account *account,
                                                  const struct match *match, const struct message *run)
{
    if (UNLIKELY(!room_for_all(shard, account, match, run)))
        return HOST_FULL;
    return LIKELY(deliver_all(shard, account, match, run)) ? HOST_DONE : HOST_NOBODY;
}

bool router_route_known(struct shard *shard, struct shard_account *account, const struct message *message,
                        struct router_memo *memo)
{
    if (memo == NULL || goes_home(account, message))
        return router_route(shard, account, message);
    const struct match *match = memo->match;
    if (!router_memo_good(memo, ROUTER_MEMO_OWN, account->index)) {
        match = subject_match(shard, account, message->subject);
        if (match == NULL)
            return false;
        router_memo_set(memo, ROUTER_MEMO_OWN, match);
    }
    return deliver_all(shard, account, match, message);
}

enum host_result router_route_run(struct shard *shard, struct shard_account *account,
                                  const struct message *run, uint32_t *done)
{
    struct message first = message_first(run, 1);
    *done = 1;
    if (goes_home(account, run))
        return gateway_replies_publish(shard, account, &first, first.subject, done);
    const struct match *match = find(shard, account, run);
    if (match == NULL)
        return HOST_MEMORY;
    /* Other servers are told one by one: what they ask of a run, they ask of its publisher. */
    if (account->remote == NULL && account->gateway == NULL)
        *done = run_length(shard, account, match, run);
    first = message_first(run, *done);
    return publish_all(shard, account, match, &first);
}

enum host_result router_publish_room(struct shard *shard, const struct message *message)
{
    struct shard_account *account = shard_account_of(message->publisher->account);
    if (UNLIKELY(account->gateway_reply_count > 0)) {
        struct bytes mapped = gateway_replies_find(shard, message->publisher, message->subject);
        if (mapped.count > 0)
            return gateway_replies_room(shard, message, mapped);
    }
    if (UNLIKELY(account->measured_count > 0 && reply_is_measured(message->subject)))
        return router_room_times(shard, account, message, 2); /* something is told before it */
    if (UNLIKELY(services_possible(account, message->subject)) && services_hit(shard, account, message))
        return services_publish_room(shard, account, message);
    return router_room(shard, account, message);
}

enum host_result router_publish(struct shard *shard, const struct message *run, uint32_t *done)
{
    struct shard_account *account = shard_account_of(run->publisher->account);
    if (UNLIKELY(account->measured_count > 0 && reply_is_measured(run->subject)) &&
        !latency_answers_publishing(shard, account, run))
        return HOST_FULL;
    if (UNLIKELY(account->gateway_reply_count > 0)) {
        struct bytes mapped = gateway_replies_find(shard, run->publisher, run->subject);
        if (mapped.count > 0)
            return gateway_replies_publish(shard, account, run, mapped, done);
    }
    if (UNLIKELY(services_possible(account, run->subject)) && services_hit(shard, account, run)) {
        struct message single = message_first(run, 1);
        *done = 1;
        return services_publish(shard, account, &single);
    }
    const struct match *match = find(shard, account, run);
    if (UNLIKELY(match == NULL))
        return HOST_MEMORY;
    *done = run_length(shard, account, match, run);
    if (UNLIKELY(account->remote != NULL) && *done > 1) {
        struct message local = message_first(run, *done);
        *done = remotes_run_length(shard, account, &local);
    }
    if (UNLIKELY(account->gateway != NULL) && *done > 1) {
        struct message cluster = message_first(run, *done);
        *done = gateways_run_length(shard, account, &cluster);
    }
    if (LIKELY(*done == message_count(run)))
        return publish_all(shard, account, match, run);
    struct message part = message_first(run, *done);
    return publish_all(shard, account, match, &part);
}

/* ---- from a route ---- */

/* One local member of a group; when nobody takes it, another server that has some. */
static bool deliver_routed_group(struct shard *shard, struct shard_account *account,
                                 const struct match *match, struct bytes name, const struct message *message)
{
    for (uint32_t g = 0; g < match->group_count; g++) {
        if (bytes_equal(queue_group_name(match->groups[g].parts[0]), name) &&
            deliver_group(shard, account, &match->groups[g], message, true, 0,
                          group_inline_most(match->group_count)))
            return true;
    }
    return remotes_fall_back(shard, account, message, name);
}

enum host_result router_publish_routed(struct shard *shard, struct shard_account *account,
                                       const struct message *run, struct bytes queues, uint32_t *done)
{
    const struct match *match = find(shard, account, run);
    *done = 1;
    if (UNLIKELY(match == NULL))
        return HOST_MEMORY;
    *done = run_length(shard, account, match, run);
    struct message message = message_first(run, *done);
    uint64_t shards = shards_involved(match);
    if ((shards != 0 || match->group_count > 0) && !room_in(shard, match, &message, shards, 1))
        return HOST_FULL;
    bool taken = message.run_more == 0 ? deliver_plain(shard, match, &message)
                                       : deliver_plain_run(shard, match, &message);
    for (; shards != 0; shards &= shards - 1)
        taken |= mail_plain(shard, account, (uint32_t)__builtin_ctzll(shards), &message);
    struct bytes name;
    while (route_queue_next(&queues, &name))
        taken |= deliver_routed_group(shard, account, match, name, &message);
    replies_go_on(shard);
    return taken ? HOST_DONE : HOST_NOBODY;
}

enum host_result router_publish_gateway(struct shard *shard, struct shard_account *account,
                                        const struct message *message)
{
    const struct match *match = find(shard, account, message);
    if (match == NULL)
        return HOST_MEMORY;
    if (!room_for_all(shard, account, match, message))
        return HOST_FULL;
    return deliver_clustered(shard, account, match, message) ? HOST_DONE : HOST_NOBODY;
}

/* ---- mail in ---- */

void router_mail_short_message(struct shard *shard, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct mail_short_message header;
    ASSERT_HOT(bytes >= sizeof header);
    (void)bytes;
    memcpy(&header, mail, sizeof header);
    const uint8_t *at = mail + sizeof header;
    struct message message = {
        .subject = mail_next_text(&at, header.subject_count),
        .line_serial = header.line_serial,
        .total_bytes = header.total_bytes,
        .place = {.cid = header.publisher_cid, .slot = header.publisher_slot, .shard = from},
    };
    message.reply = mail_next_text(&at, header.reply_count);
    message.total_size_text = mail_next_text(&at, header.total_size_count);
    message.body = at;
    message.run_more = header.run_more;
    message.run_stride = header.run_stride;
    struct shard_account *account =
        accounts_get(shard, (uint32_t)header.account_high << 4 | header.account_low);
    const struct match *match = account == NULL ? NULL : find(shard, account, &message);
    if (UNLIKELY(match == NULL))
        return; /* without memory to match it, it is lost to this shard's receivers */
    if (header.run_more == 0)
        (void)deliver_plain(shard, match, &message);
    else if (receivers_distinct(shard, match))
        (void)deliver_plain_run(shard, match, &message);
    else
        deliver_plain_each(shard, account, &message);
    replies_go_on(shard);
}

static void deliver_named_group(struct shard *shard, struct shard_account *account, const struct match *match,
                                struct bytes queue, const struct message *message)
{
    for (uint32_t g = 0; g < match->group_count; g++) {
        const struct match_group *group = &match->groups[g];
        if (!bytes_equal(queue_group_name(group->parts[0]), queue))
            continue;
        if (deliver_group(shard, account, group, message, false, 0, MAIL_INLINE_BYTES_MAX))
            return;
        /* Whoever was chosen has left, or may not have it: once more among the shards that were not asked
         * yet, into the spare part of the mailbox. */
        struct message again = *message;
        again.tried_shards |= 1ULL << shard->post.self;
        if (deliver_group(shard, account, group, &again, true, MAIL_REPEATED, MAIL_INLINE_BYTES_MAX))
            return;
    }
    (void)remotes_fall_back(shard, account, message, queue);
}

void router_mail_message(struct shard *shard, const uint8_t *mail, uint32_t bytes)
{
    struct mail_message header;
    ASSERT(bytes >= sizeof header);
    memcpy(&header, mail, sizeof header);
    const uint8_t *at = mail + sizeof header;
    if (header.block != NULL && header.body == NULL)
        at = header.block->bytes;
    struct message message = {
        .place = header.place,
        .tried_shards = header.tried_shards,
        .from_service = (header.flags & MAIL_FROM_SERVICE) != 0,
    };
    message.subject = mail_next_text(&at, header.subject_count);
    message.reply = mail_next_text(&at, header.reply_count);
    struct bytes queue = mail_next_text(&at, header.queue_count);
    message.total_size_text = mail_next_text(&at, header.total_size_count);
    message.header_size_text = mail_next_text(&at, header.header_size_count);
    message.header_bytes = header.header_bytes;
    message.total_bytes = header.total_bytes;
    message.body = header.body != NULL ? header.body : at;
    message.block = header.block;
    replies_mark(&message);
    struct shard_account *account = accounts_get(shard, header.account);
    const struct match *match = account == NULL ? NULL : find(shard, account, &message);
    if (match != NULL) { /* without memory to match it, it is lost to this shard's receivers */
        if (header.flags & MAIL_TO_PLAIN)
            (void)deliver_plain(shard, match, &message);
        if (header.flags & MAIL_TO_GROUP)
            deliver_named_group(shard, account, match, queue, &message);
    }
    replies_go_on(shard);
    block_release(&shard->context.pool.blocks, header.block);
}

struct client_subscription *router_own_subscription(struct shard *shard, const struct client *client,
                                                    struct bytes subject)
{
    const struct match *match = subject_match(shard, shard_account_of(client->account), subject);
    if (match == NULL)
        return NULL;
    for (uint32_t i = 0; i < match->interest_count; i++) {
        const struct subscription_set *set = &match->interests[i]->plain;
        for (uint32_t at = 0; at < set->count; at++) {
            struct client_subscription *own =
                CONTAINER_OF(subscription_at(set, at), struct client_subscription, base);
            if (!own->base.foreign && own->client == client)
                return own;
        }
    }
    return NULL;
}
