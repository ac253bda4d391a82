/* shards/router_interest.c - who wants what: subscriptions of this shard's clients into the account's index,
 * word of them to the other shards and to routes, and the other shards' word into the index; the lower part
 * of router.h. */
#include "shards/router.h"

#include "core/base/check.h"
#include "shards/mail_texts.h"
#include "shards/remotes.h"
#include "shards/shard.h"

static uint32_t interest_record_bytes(struct bytes pattern, struct bytes queue)
{
    size_t bytes = sizeof(struct mail_interest) + pattern.count + queue.count;
    return bytes <= MAILBOX_RECORD_BYTES_MAX ? (uint32_t)bytes : (uint32_t)sizeof(struct mail_interest);
}

bool router_subscribe_room(struct shard *shard, size_t texts_bytes, uint64_t count)
{
    size_t bytes = sizeof(struct mail_interest) + texts_bytes;
    bytes = bytes <= MAILBOX_RECORD_BYTES_MAX ? bytes : sizeof(struct mail_interest);
    for (uint32_t to = 0; to < shard->shard_count; to++) {
        if (to != shard->post.self &&
            !mailbox_has_room_for(post_box(&shard->post, to), (uint32_t)bytes, count))
            return false;
    }
    return true;
}

/* Tells every other shard. Room was asked for before. False: no memory for a block that a long pattern needs.
 */
static bool interest_tell(struct shard *shard, const struct shard_account *account, struct bytes pattern,
                          struct bytes queue, uint32_t count)
{
    uint32_t bytes = interest_record_bytes(pattern, queue);
    struct mail_interest header = {
        .kind = MAIL_INTEREST,
        .pattern_count = (uint32_t)pattern.count,
        .queue_count = (uint32_t)queue.count,
        .count = count,
        .account = account->id,
    };
    if (bytes == sizeof header && pattern.count + queue.count > 0) {
        header.block = block_take(&shard->context.pool.blocks, pattern.count + queue.count);
        if (header.block == NULL)
            return false;
        (void)mail_put(mail_put(header.block->bytes, pattern), queue);
    }
    for (uint32_t to = 0; to < shard->shard_count; to++) {
        if (to == shard->post.self)
            continue;
        uint8_t *record = post_reserve(&shard->post, to, bytes, false);
        ASSERT(record != NULL);
        if (header.block != NULL)
            (void)block_hold(header.block);
        memcpy(record, &header, sizeof header);
        if (header.block == NULL)
            (void)mail_put(mail_put(record + sizeof header, pattern), queue);
        post_commit(&shard->post, to, bytes);
    }
    block_release(&shard->context.pool.blocks, header.block);
    return true;
}

/* Routes and gateways of this shard have to be told. */
static ALWAYS_INLINE bool somebody_listens(const struct shard *shard)
{
    return UNLIKELY(shard->remotes.own_count > 0 || shard->gateways.inbound_count > 0);
}

static uint32_t routed_wanted(const struct shard_account *account, struct bytes pattern, struct bytes queue)
{
    return account->remote == NULL ? 0 : index_wanted(account->remote, pattern, queue);
}

/* For replies to other clusters: what is new, and what is not there any more. */
static ALWAYS_INLINE void recent_note(struct shard *shard, struct shard_account *account,
                                      struct bytes pattern, bool more)
{
    if (LIKELY(shard->gateways.up == 0 || account->gateway == NULL))
        return;
    if (more)
        gateway_recent_add(shard, account, pattern);
    else
        gateway_recent_remove(shard, account, pattern);
}

/* Tells this shard's routes what the server wants now, if it is another thing than `before`: of a queue group
 * the number of members, else whether anybody wants it. */
static NEVER_INLINE void wanted_tell(struct shard *shard, const struct shard_account *account,
                                     struct bytes pattern, struct bytes queue, uint32_t before)
{
    uint32_t now = index_wanted(account->index, pattern, queue);
    if (UNLIKELY(shard->gateways.inbound_count > 0))
        gateways_tell(shard, account, pattern, queue, before, now, routed_wanted(account, pattern, queue));
    if (queue.count > 0 ? now != before : (now > 0) != (before > 0))
        remotes_tell(shard, account, pattern, queue, now);
}

enum host_result router_subscribe(struct shard *shard, struct shard_account *account,
                                  struct subscription *subscription, struct bytes subject, struct bytes queue)
{
    if (!router_subscribe_room(shard, subject.count + queue.count, 1))
        return HOST_FULL;
    if (index_add(account->index, subject, queue, subscription) != ERR_OK)
        return HOST_MEMORY;
    uint32_t count = index_own_count(subscription);
    if ((queue.count > 0 || count == 1) && !interest_tell(shard, account, subject, queue, count)) {
        index_remove(account->index, subscription);
        return HOST_MEMORY;
    }
    if (somebody_listens(shard))
        wanted_tell(shard, account, subject, queue, index_wanted(account->index, subject, queue) - 1);
    recent_note(shard, account, subject, true);
    return HOST_DONE;
}

enum host_result router_unsubscribe(struct shard *shard, struct shard_account *account,
                                    struct subscription *subscription)
{
    if (subscription->interest == NULL)
        return HOST_DONE;
    struct bytes pattern = interest_pattern(subscription->interest);
    struct bytes queue =
        subscription->group != NULL ? queue_group_name(subscription->group) : (struct bytes){NULL, 0};
    uint32_t left = index_own_count(subscription) - 1;
    if ((queue.count > 0 || left == 0) && !shard->stopping) { /* who stops has nobody left to tell */
        if (!router_subscribe_room(shard, pattern.count + queue.count, 1))
            return HOST_FULL;
        if (!interest_tell(shard, account, pattern, queue, left))
            return HOST_FULL; /* memory may come back; nothing was told yet */
        if (somebody_listens(shard)) {
            uint32_t now = index_wanted(account->index, pattern, queue) - 1;
            gateways_tell(shard, account, pattern, queue, now + 1, now,
                          routed_wanted(account, pattern, queue));
            if (queue.count > 0 || now == 0)
                remotes_tell(shard, account, pattern, queue, now);
        }
        if (left == 0)
            recent_note(shard, account, pattern, false);
    }
    index_remove(account->index, subscription);
    return HOST_DONE;
}

void router_mail_interest(struct shard *shard, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct mail_interest header;
    ASSERT(bytes >= sizeof header);
    memcpy(&header, mail, sizeof header);
    const uint8_t *at = header.block != NULL ? header.block->bytes : mail + sizeof header;
    struct bytes pattern = mail_next_text(&at, header.pattern_count);
    struct bytes queue = mail_next_text(&at, header.queue_count);
    struct shard_account *account = accounts_get(shard, header.account);
    bool listened = somebody_listens(shard);
    uint32_t before = account != NULL && listened ? index_wanted(account->index, pattern, queue) : 0;
    if (account == NULL || index_remote_set(account->index, pattern, queue, from, header.count) != ERR_OK) {
        /* Without this interest the server would lose messages silently for as long as it runs: stop instead.
         */
        assert_failed("no memory for another shard's interest", __FILE__, __LINE__);
    }
    shard->control_listens = shard->control_listens || from == shard->shard_count;
    if (listened)
        wanted_tell(shard, account, pattern, queue, before);
    recent_note(shard, account, pattern, header.count > 0);
    block_release(&shard->context.pool.blocks, header.block);
}
