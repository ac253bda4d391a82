/* shards/gateways_interest.c - what other clusters want (spec/gateways.md 8); see gateways.h. A cluster lists
 * what it wants, or lets us guess and says afterwards what was in vain; towards the end of an account's list
 * it does both. */
#include "shards/gateways.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/subject/subject.h"
#include "net/gateway_options.h"
#include "shards/mail.h"
#include "shards/shard.h"

_Static_assert((int)GATEWAYS_MAX <= (int)INDEX_SHARDS_MAX,
               "a remote cluster takes the place of a shard in an index");
_Static_assert((int)GATEWAYS_MAX <= (int)SUBJECT_SET_NUMBERS, "a remote cluster is a number in a set");

enum err gateways_init(struct gateways *gateways, const struct gateway_options *options,
                       struct bytes server_id, uint32_t cache_entries)
{
    list_init(&gateways->recent);
    list_init(&gateways->replies);
    if (!options->given)
        return ERR_OK;
    gateways->matches = match_cache_new(cache_entries);
    if (gateways->matches == NULL)
        return ERR_MEMORY;
    enum err err = server_hash(text(options->name), gateways->own_cluster);
    return err != ERR_OK ? err : server_hash(server_id, gateways->own_server);
}

void gateways_close(struct shard *shard)
{
    struct gateways *gateways = &shard->gateways;
    if (gateways->matches == NULL)
        return;
    gateway_recent_close(gateways);
    gateway_replies_close(gateways);
    memory_free(gateways->reply_text);
    match_cache_free(gateways->matches);
    gateways->matches = NULL;
}

struct gateway_account *gateway_account_new(void)
{
    struct gateway_account *account = memory_new(sizeof *account);
    if (account == NULL)
        return NULL;
    account->listed = index_new();
    if (account->listed == NULL) {
        memory_free(account);
        return NULL;
    }
    return account;
}

void gateway_account_free(struct gateway_account *account)
{
    if (account == NULL)
        return;
    index_free(account->listed);
    subject_set_free(account->silent);
    index_free(account->recent);
    memory_free(account);
}

/* ---- who wants it ---- */

static uint64_t listing_of(const struct gateway_account *of, const struct match *match)
{
    uint64_t clusters = 0;
    for (uint32_t i = 0; i < match->interest_count; i++)
        clusters |= match->interests[i]->remote_shards;
    return clusters & ~of->listed_leaving.numbers;
}

struct gateways_interest gateways_interest(struct shard *shard, const struct shard_account *account,
                                           struct bytes subject, uint64_t line_serial)
{
    const struct gateway_account *of = account->gateway;
    uint64_t up = shard->gateways.up & ~of->none;
    uint64_t guessed = up & ~shard->gateways.lists & ~of->complete;
    struct router_memo *memo = &shard->gateways.memos[line_serial % GATEWAY_MEMOS];
    struct gateways_interest interest = {.listed = memo->match};
    if (!router_memo_good(memo, line_serial, of->listed))
        interest.listed = router_memo_look(memo, shard->gateways.matches, of->listed, subject, line_serial);
    if (guessed != 0 && of->silent != NULL)
        guessed &= ~(subject_set_find(of->silent, subject) & ~of->silent_leaving.numbers);
    interest.plain = guessed;
    if (interest.listed != NULL)
        interest.plain |= up & (of->listing | of->complete) & listing_of(of, interest.listed);
    return interest;
}

/* ---- changes ---- */

static void set(struct shard *shard, struct index *index, uint32_t number, struct bytes pattern,
                struct bytes queue, uint32_t weight)
{
    if (index_remote_set(index, pattern, queue, number, weight) != ERR_OK)
        log_error(shard->context.log,
                  "No memory for another cluster's interest in \"%.*s\": it gets no such messages",
                  BYTES_PRINTF(pattern));
}

static void group_set(struct shard *shard, struct gateway_account *of, uint32_t number, struct bytes pattern,
                      struct bytes queue, bool wanted)
{
    uint32_t before = index_wanted(of->listed, pattern, queue);
    set(shard, of->listed, number, pattern, queue, wanted);
    of->counts[number].groups += index_wanted(of->listed, pattern, queue) - before;
}

/* What it does not want is not guessed again. */
static void silent_add(struct gateway_account *of, uint32_t number, struct bytes subject)
{
    if (!subject_valid_literal(subject) || of->counts[number].silent == GATEWAY_SILENT_MAX)
        return; /* nothing could be published there; or there are too many: they are sent in vain */
    if (of->silent == NULL)
        of->silent = subject_set_new();
    bool added = false;
    if (of->silent == NULL || subject_set_add(of->silent, subject, number, &added) != ERR_OK)
        return; /* no memory: it is sent in vain as well */
    of->counts[number].silent += added;
}

/* A subject, or all that a wildcard covers. */
static void silent_remove(struct gateway_account *of, uint32_t number, struct bytes pattern)
{
    if (of->silent == NULL || of->counts[number].silent == 0)
        return;
    of->counts[number].silent -= subject_valid_literal(pattern)
                                     ? subject_set_remove(of->silent, pattern, number)
                                     : subject_set_remove_matching(of->silent, pattern, number);
}

static void silent_clear(struct shard *shard, struct gateway_account *of, uint32_t number)
{
    leaving_begin_some(&shard->gateways.leaving, &of->silent_leaving, number, of->counts[number].silent);
    of->counts[number].silent = 0;
}

/* Goes on with the lowest number that is being forgotten. */
static void silent_forget_on(struct leaving_walk *walk, struct gateway_account *of, uint32_t *looks)
{
    uint32_t number = leaving_lowest(&of->silent_leaving);
    if (subject_set_clear(of->silent, number, looks, &of->silent_leaving.cursor))
        leaving_end(walk, &of->silent_leaving, number);
}

/* Forgets the rest of that number at once, if there is some. */
static void silent_settle(struct leaving_walk *walk, struct gateway_account *of, uint32_t number)
{
    uint32_t cursor = 0;
    if (!leaving_has(&of->silent_leaving, number))
        return;
    for (bool done = false; !done;) {
        uint32_t looks = UINT32_MAX;
        done = subject_set_clear(of->silent, number, &looks, &cursor);
    }
    leaving_end(walk, &of->silent_leaving, number);
}

static void clear(struct shard *shard, struct gateway_account *of, uint32_t number)
{
    silent_clear(shard, of, number);
    leaving_begin(&shard->gateways.leaving, &of->listed_leaving, of->listed, number);
    of->counts[number].groups = 0;
    of->listing &= ~(1ULL << number);
    of->complete &= ~(1ULL << number);
    of->none &= ~(1ULL << number);
}

/* Before the cluster with that number changes something in one of the two: what is to be forgotten goes. */
static void settle(struct shard *shard, struct gateway_account *of, uint32_t number, bool listed)
{
    struct leaving_walk *walk = &shard->gateways.leaving;
    if (listed)
        leaving_settle(walk, &of->listed_leaving, of->listed, number, NULL, NULL);
    else
        silent_settle(walk, of, number);
}

static void wants(struct shard *shard, struct gateway_account *of, uint32_t number, struct bytes pattern,
                  struct bytes queue)
{
    uint64_t bit = 1ULL << number;
    settle(shard, of, number, queue.count > 0 || ((of->listing | of->complete) & bit) != 0);
    if (queue.count > 0) {
        group_set(shard, of, number, pattern, queue, true);
        of->none &= ~bit;
    } else if (((of->listing | of->complete) & bit) != 0) {
        set(shard, of->listed, number, pattern, queue, 1);
    } else {
        silent_remove(of, number, pattern);
    }
}

static void unwants(struct shard *shard, struct gateway_account *of, uint32_t number, struct bytes pattern,
                    struct bytes queue)
{
    uint64_t bit = 1ULL << number;
    settle(shard, of, number, queue.count > 0 || ((of->listing | of->complete) & bit) != 0);
    if (queue.count > 0)
        group_set(shard, of, number, pattern, queue, false);
    else if (((of->listing | of->complete) & bit) != 0)
        set(shard, of->listed, number, pattern, queue, 0);
    else
        silent_add(of, number, pattern);
}

void gateways_change(struct shard *shard, struct shard_account *account, uint32_t number,
                     enum gateway_change change, struct bytes pattern, struct bytes queue)
{
    struct gateway_account *of = account == NULL ? NULL : account->gateway;
    uint64_t bit = 1ULL << number;
    if (of == NULL)
        return;
    switch (change) {
    case GATEWAY_WANTS:
        wants(shard, of, number, pattern, queue);
        return;
    case GATEWAY_UNWANTS:
        unwants(shard, of, number, pattern, queue);
        return;
    case GATEWAY_LIST_BEGINS:
        of->none &= ~bit;
        of->listing |= bit;
        return;
    case GATEWAY_LIST_ENDS:
        silent_clear(shard, of, number);
        of->listing |= bit;
        of->complete |= bit;
        return;
    case GATEWAY_NO_ACCOUNT:
        if (of->counts[number].groups > 0) {
            silent_clear(shard, of, number); /* queue groups stay (spec/gateways.md 8.4) */
            return;
        }
        clear(shard, of, number);
        of->none |= bit;
        return;
    case GATEWAY_ACCOUNT:
        of->none &= ~bit;
        return;
    }
}

void gateways_mail_interest(struct shard *shard, const uint8_t *mail, uint32_t bytes)
{
    struct mail_remote_interest header;
    struct bytes pattern, queue;
    ASSERT(bytes >= sizeof header);
    remotes_interest_read(mail, &header, &pattern, &queue);
    gateways_change(shard, accounts_get(shard, header.account), header.remote,
                    (enum gateway_change)header.weight, pattern, queue);
    block_release(&shard->context.pool.blocks, header.block);
}

void gateways_forget(struct shard *shard, uint32_t number)
{
    for (uint32_t id = 0; id < shard->accounts.capacity; id++) {
        struct shard_account *account = shard->accounts.by_id[id];
        if (account != NULL && account->gateway != NULL)
            clear(shard, account->gateway, number);
    }
}

bool gateways_forgetting(const struct shard *shard, uint32_t number)
{
    for (uint32_t id = 0; shard->gateways.leaving.count > 0 && id < shard->accounts.capacity; id++) {
        const struct shard_account *account = shard->accounts.by_id[id];
        if (account != NULL && account->gateway != NULL &&
            (leaving_has(&account->gateway->listed_leaving, number) ||
             leaving_has(&account->gateway->silent_leaving, number)))
            return true;
    }
    return false;
}

void gateways_forget_on(struct shard *shard)
{
    struct leaving_walk *walk = &shard->gateways.leaving;
    for (uint32_t looks = LEAVING_LOOKS_MAX; walk->count > 0 && looks > 0;) {
        const struct shard_account *account = shard->accounts.by_id[walk->account];
        struct gateway_account *of = account == NULL ? NULL : account->gateway;
        if (of != NULL && of->listed_leaving.numbers != 0) {
            leaving_step(walk, &of->listed_leaving, of->listed, &looks, NULL, NULL);
        } else if (of != NULL && of->silent_leaving.numbers != 0) {
            silent_forget_on(walk, of, &looks);
        } else {
            looks--;
            walk->account = walk->account + 1 < shard->accounts.capacity ? walk->account + 1 : 0;
        }
    }
}
