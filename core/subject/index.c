/* core/subject/index.c - interests come and go here: own subscriptions, other shards' interest, and the
 * generation counters that tell cached matches. An interest lives while somebody wants it
 * (interest_settle()); every change of what a match may list passes generation_bump(). */
#include "core/subject/index.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/subject/index_inside.h"
#include "core/subject/queue_group.h"
#include "core/subject/subject.h"
#include "core/subject/subscription_set.h"

/* The pattern stands at the first unused byte of an interest, its padding included: 25 bytes of pattern fit
 * the allocator's class of 64, which most inboxes and keys do. */
enum { INTEREST_HEADER_BYTES = offsetof(struct interest, wildcard) + sizeof(bool) };

struct group_key {
    const struct interest *interest;
    struct bytes name;
};

static struct interest *interest_find(const struct index *index, struct bytes pattern, uint32_t hash);
static enum err interest_get(struct index *index, struct bytes pattern, struct interest **interest);
static void interest_settle(struct index *index, struct interest *interest);
static void interest_free(struct index *index, struct interest *interest);
static size_t interest_size(size_t pattern_count);
static struct queue_group *group_find(const struct index *index, const struct interest *interest,
                                      struct bytes name);
static enum err group_get(struct index *index, struct interest *interest, struct bytes name,
                          struct queue_group **group);
static void group_settle(struct index *index, struct queue_group *group);
static void generation_bump(struct index *index, const struct interest *interest);
static enum err remote_plain_set(struct index *index, struct bytes pattern, unsigned shard);
static enum err remote_group_set(struct index *index, struct bytes pattern, struct bytes queue,
                                 unsigned shard, uint32_t count);
static void remote_gone(struct index *index, struct bytes pattern, struct bytes queue, unsigned shard);
static void plain_remote_gone(struct index *index, struct interest *interest, unsigned shard);
static void group_remote_gone(struct index *index, struct queue_group *group, unsigned shard);
static bool literal_same(const uint32_t *item, const void *key);
static bool pattern_same(const uint32_t *item, const void *key);
static bool group_same(const uint32_t *item, const void *key);

struct bytes interest_pattern(const struct interest *interest)
{
    return bytes_of((const uint8_t *)interest + INTEREST_HEADER_BYTES, interest->pattern_count);
}

struct index *index_new(void)
{
    struct index *index = memory_new(sizeof(*index));
    if (index == NULL)
        return NULL;
    if (random_secure(&index->id, sizeof(index->id)) != ERR_OK) {
        memory_free(index);
        return NULL;
    }
    index->trie.seed = index->id;
    return index;
}

void index_owner_set(struct index *index, uint32_t owner)
{
    index->owner = owner;
}

void index_free(struct index *index)
{
    if (index == NULL)
        return;
    ASSERT(index->subscriptions == 0);
    uint32_t *item = index_table_next(&index->interests, NULL);
    while (item != NULL) {
        /* The table is only read here, so the walk goes on behind one that is freed in a moment. */
        uint32_t *next = index_table_next(&index->interests, item);
        interest_free(index, interest_of(item));
        item = next;
    }
    ASSERT(index->interest_bytes == 0);
    index_trie_close(&index->trie);
    index_table_close(&index->groups);
    index_table_close(&index->interests);
    memory_free(index);
}

enum err index_add(struct index *index, struct bytes pattern, struct bytes queue,
                   struct subscription *subscription)
{
    ASSERT(subscription->interest == NULL);
    if (pattern.count > UINT16_MAX || queue.count > UINT16_MAX)
        return ERR_FULL;
    struct interest *interest = NULL;
    enum err err = interest_get(index, pattern, &interest);
    if (err != ERR_OK)
        return err;
    struct queue_group *group = NULL;
    if (queue.count > 0)
        err = group_get(index, interest, queue, &group);
    if (err == ERR_OK) {
        struct subscription_set *set = group == NULL ? &interest->plain : &group->members;
        size_t before = subscription_set_bytes(set);
        err = subscription_set_add(set, subscription);
        index->interest_bytes += subscription_set_bytes(set) - before;
    }
    if (err != ERR_OK) {
        if (group != NULL)
            group_settle(index, group);
        interest_settle(index, interest);
        return err;
    }
    subscription->interest = interest;
    subscription->group = group;
    index->subscriptions++;
    index->inserts++;
    return ERR_OK;
}

void index_remove(struct index *index, struct subscription *subscription)
{
    struct interest *interest = subscription->interest;
    struct queue_group *group = subscription->group;
    ASSERT(interest != NULL);
    struct subscription_set *set = group == NULL ? &interest->plain : &group->members;
    index->interest_bytes -= subscription_set_bytes(set);
    subscription_set_remove(set, subscription);
    index->interest_bytes += subscription_set_bytes(set);
    *subscription = (struct subscription){0};
    index->subscriptions--;
    index->removes++;
    if (group != NULL)
        group_settle(index, group);
    interest_settle(index, interest);
}

uint32_t index_own_count(const struct subscription *subscription)
{
    return subscription->group == NULL ? subscription->interest->plain.count
                                       : subscription->group->members.count;
}

enum err index_remote_set(struct index *index, struct bytes pattern, struct bytes queue, unsigned shard,
                          uint32_t count)
{
    ASSERT(shard < INDEX_SHARDS_MAX);
    if (pattern.count > UINT16_MAX || queue.count > UINT16_MAX)
        return ERR_FULL;
    if (count == 0) {
        remote_gone(index, pattern, queue, shard);
        return ERR_OK;
    }
    if (queue.count == 0)
        return remote_plain_set(index, pattern, shard);
    return remote_group_set(index, pattern, queue, shard, count);
}

uint32_t index_wanted(const struct index *index, struct bytes pattern, struct bytes queue)
{
    const struct interest *interest = interest_find(index, pattern, (uint32_t)hash_bytes(pattern, index->id));
    if (interest == NULL)
        return 0;
    if (queue.count == 0)
        return interest->plain.count + (uint32_t)__builtin_popcountll(interest->remote_shards);
    const struct queue_group *group = group_find(index, interest, queue);
    return group == NULL ? 0 : group->members.count + group->remote_total;
}

uint32_t index_remote_count(const struct index *index, unsigned shard)
{
    return index->remote_counts[shard];
}

/* Whether a shard wants something of this interest. */
static bool interest_concerns(const struct interest *interest, unsigned shard)
{
    bool concerns = (interest->remote_shards >> shard & 1) != 0;
    for (const struct queue_group *group = interest->groups; !concerns && group != NULL;
         group = group->next_in_interest)
        concerns = queue_group_remote(group, shard) > 0;
    return concerns;
}

/* What a step of clearing has found. */
enum { FOUND_MAX = 64 };
struct clearing {
    struct interest *found[FOUND_MAX];
    index_forgotten *forgotten;
    void *context;
    unsigned shard;
    uint32_t found_count;
    uint32_t seen;
    bool more; /* than `found` holds */
};

static void clearing_visit(void *context, struct interest *interest)
{
    struct clearing *clearing = context;
    clearing->seen++;
    if (!interest_concerns(interest, clearing->shard))
        return;
    if (clearing->found_count < FOUND_MAX)
        clearing->found[clearing->found_count++] = interest;
    else
        clearing->more = true;
}

/* Takes one shard out of an interest and its groups, and lets go of what nobody wants any more. */
static void interest_forget(struct index *index, struct interest *interest, const struct clearing *clearing)
{
    struct bytes pattern = interest_pattern(interest), plainly = {NULL, 0};
    for (struct queue_group *group = interest->groups, *next = NULL; group != NULL; group = next) {
        next = group->next_in_interest;
        uint32_t members = queue_group_remote(group, clearing->shard);
        if (members > 0 && clearing->forgotten != NULL)
            clearing->forgotten(clearing->context, pattern, queue_group_name(group),
                                group->members.count == 0 && members == group->remote_total);
        group_remote_gone(index, group, clearing->shard);
    }
    if ((interest->remote_shards >> clearing->shard & 1) != 0 && clearing->forgotten != NULL)
        clearing->forgotten(clearing->context, pattern, plainly,
                            interest->plain.count == 0 && interest->remote_shards == 1ULL << clearing->shard);
    plain_remote_gone(index, interest, clearing->shard);
    interest_settle(index, interest);
}

bool index_remote_clear(struct index *index, unsigned shard, uint32_t *looks, uint32_t *cursor,
                        index_forgotten *forgotten, void *context)
{
    struct clearing clearing = {.shard = shard, .forgotten = forgotten, .context = context};
    while (index->remote_counts[shard] > 0 && clearing.seen < *looks) {
        /* Gathered first: taking one out moves others in the table. */
        clearing.found_count = 0;
        clearing.more = false;
        uint32_t next = index_step(index, *cursor, clearing_visit, &clearing);
        clearing.seen++; /* an empty place is a look too */
        for (uint32_t i = 0; i < clearing.found_count; i++)
            interest_forget(index, clearing.found[i], &clearing);
        if (clearing.more)
            continue; /* the same again, for the rest */
        *cursor = next;
    }
    *looks -= clearing.seen < *looks ? clearing.seen : *looks;
    return index->remote_counts[shard] == 0;
}

struct interest *index_next(struct index *index, struct interest *at)
{
    uint32_t *item = index_table_next(&index->interests, at == NULL ? NULL : &at->hash);
    return item == NULL ? NULL : interest_of(item);
}

/* Hands interests on from a walk over hashes. */
struct visiting {
    index_visit *visit;
    void *context;
};

static void visit_item(void *context, uint32_t *item)
{
    const struct visiting *visiting = context;
    visiting->visit(visiting->context, interest_of(item));
}

uint32_t index_step(const struct index *index, uint32_t cursor, index_visit *visit, void *context)
{
    struct visiting visiting = {visit, context};
    return index_table_step(&index->interests, cursor, visit_item, &visiting);
}

struct index_figures index_figures(const struct index *index)
{
    return (struct index_figures){
        .interests = index->interests.count,
        .subscriptions = index->subscriptions,
        .inserts = index->inserts,
        .removes = index->removes,
        .matches = index->matches,
        .hits = index->hits,
        .bytes = sizeof(*index) + index->interest_bytes + index_table_bytes(&index->interests) +
                 index_table_bytes(&index->groups) + index_trie_bytes(&index->trie),
    };
}

enum err index_match(struct index *index, struct bytes subject, uint64_t hash, struct match_scratch *scratch)
{
    scratch->found_count = 0;
    index->matches++;
    if (tokens_some_empty(subject))
        return ERR_OK;
    /* The trie first: its nodes are fewer and mostly in the caches, so the walk hides the way to the literal
     * interest, whose bucket the match cache has asked for already. */
    index_table_prefetch_items(&index->interests, (uint32_t)hash);
    enum err err = index_trie_match(&index->trie, subject, scratch);
    if (err != ERR_OK)
        return err;
    uint32_t *item = index_table_find(&index->interests, (uint32_t)hash, literal_same, &subject);
    if (item != NULL && !match_scratch_found(scratch, interest_of(item)))
        return ERR_MEMORY;
    return ERR_OK;
}

bool index_hits_nothing(const struct index *index, struct bytes subject)
{
    return !index_trie_may_match(&index->trie, subject) &&
           (index->interests.count == 0 ||
            index_table_find(&index->interests, (uint32_t)hash_bytes(subject, index->id), literal_same,
                             &subject) == NULL);
}

static struct interest *interest_find(const struct index *index, struct bytes pattern, uint32_t hash)
{
    uint32_t *item = index_table_find(&index->interests, hash, pattern_same, &pattern);
    return item == NULL ? NULL : interest_of(item);
}

/* Finds or makes it. Who made it and then fails lets interest_settle() take it back. */
static enum err interest_get(struct index *index, struct bytes pattern, struct interest **interest)
{
    ASSERT_HOT(subject_valid_pattern(pattern));
    uint32_t hash = (uint32_t)hash_bytes(pattern, index->id);
    *interest = interest_find(index, pattern, hash);
    if (*interest != NULL)
        return ERR_OK;
    if (index_table_reserve(&index->interests) != ERR_OK)
        return ERR_MEMORY;
    struct interest *made = memory_new(interest_size(pattern.count));
    if (made == NULL)
        return ERR_MEMORY;
    made->hash = hash;
    made->pattern_count = (uint16_t)pattern.count;
    made->wildcard = subject_has_wildcard(pattern);
    memcpy((uint8_t *)made + INTEREST_HEADER_BYTES, pattern.data, pattern.count);
    if (made->wildcard && index_trie_put(&index->trie, made) != ERR_OK) {
        memory_free(made);
        return ERR_MEMORY;
    }
    index_table_put(&index->interests, &made->hash);
    index->interest_bytes += interest_size(pattern.count);
    generation_bump(index, made);
    *interest = made;
    return ERR_OK;
}

/* Lets it go when nobody wants it any more. */
static void interest_settle(struct index *index, struct interest *interest)
{
    if (interest->plain.count > 0 || interest->remote_shards != 0 || interest->groups != NULL)
        return;
    generation_bump(index, interest);
    index_table_erase(&index->interests, &interest->hash);
    interest_free(index, interest);
}

/* Frees it with its groups; they may have members on other shards only. */
static void interest_free(struct index *index, struct interest *interest)
{
    while (interest->groups != NULL) {
        struct queue_group *group = interest->groups;
        index->interest_bytes -= queue_group_bytes(group);
        index_table_erase(&index->groups, &queue_group_inside(group)->hash);
        queue_group_free(group);
    }
    if (interest->wildcard)
        index_trie_erase(&index->trie, interest);
    ASSERT(interest->plain.count == 0);
    index->interest_bytes -= interest_size(interest->pattern_count);
    memory_free(interest);
}

static size_t interest_size(size_t pattern_count)
{
    size_t bytes = INTEREST_HEADER_BYTES + pattern_count;
    return bytes < sizeof(struct interest) ? sizeof(struct interest) : bytes;
}

static struct queue_group *group_find(const struct index *index, const struct interest *interest,
                                      struct bytes name)
{
    struct group_key key = {interest, name};
    uint32_t name_hash = 0;
    uint32_t *item = index_table_find(&index->groups, queue_group_hash(interest, name, index->id, &name_hash),
                                      group_same, &key);
    return item == NULL ? NULL : &CONTAINER_OF(item, struct queue_group_inside, hash)->public;
}

/* Finds or makes it; group_settle() takes back one that was made in vain. */
static enum err group_get(struct index *index, struct interest *interest, struct bytes name,
                          struct queue_group **group)
{
    *group = group_find(index, interest, name);
    if (*group != NULL)
        return ERR_OK;
    if (index_table_reserve(&index->groups) != ERR_OK)
        return ERR_MEMORY;
    *group = queue_group_new(interest, name, index->id);
    if (*group == NULL)
        return ERR_MEMORY;
    index_table_put(&index->groups, &queue_group_inside(*group)->hash);
    index->interest_bytes += queue_group_bytes(*group);
    generation_bump(index, interest);
    return ERR_OK;
}

/* Lets it go when it has no member anywhere. */
static void group_settle(struct index *index, struct queue_group *group)
{
    if (group->members.count > 0 || group->remote_total > 0)
        return;
    generation_bump(index, group->interest);
    index->interest_bytes -= queue_group_bytes(group);
    index_table_erase(&index->groups, &queue_group_inside(group)->hash);
    queue_group_free(group);
}

/* The set of interests and groups that some match lists has changed: those matches are over. */
static void generation_bump(struct index *index, const struct interest *interest)
{
    struct index_generations *generations = &index->generations;
    struct bytes pattern = interest_pattern(interest);
    struct bytes first = token_of(pattern, 0, token_end(pattern, 0));
    if (!interest->wildcard)
        generations->literal[index_literal_part(interest->hash)]++;
    else if (token_is(first, '*') || token_is(first, '>'))
        generations->any++;
    else
        generations->first_token[index_first_token_part(index, pattern)]++;
}

static enum err remote_plain_set(struct index *index, struct bytes pattern, unsigned shard)
{
    struct interest *interest = NULL;
    enum err err = interest_get(index, pattern, &interest);
    if (err != ERR_OK)
        return err;
    index->remote_counts[shard] += (interest->remote_shards >> shard & 1) == 0;
    interest->remote_shards |= 1ULL << shard;
    return ERR_OK;
}

static enum err remote_group_set(struct index *index, struct bytes pattern, struct bytes queue,
                                 unsigned shard, uint32_t count)
{
    struct interest *interest = NULL;
    struct queue_group *group = NULL;
    enum err err = interest_get(index, pattern, &interest);
    if (err != ERR_OK)
        return err;
    err = group_get(index, interest, queue, &group);
    if (err == ERR_OK) {
        bool first = queue_group_remote(group, shard) == 0;
        index->interest_bytes -= queue_group_bytes(group);
        err = queue_group_remote_set(group, shard, count);
        index->interest_bytes += queue_group_bytes(group);
        index->remote_counts[shard] += first && err == ERR_OK;
    }
    if (err != ERR_OK) {
        if (group != NULL)
            group_settle(index, group);
        interest_settle(index, interest);
    }
    return err;
}

static void remote_gone(struct index *index, struct bytes pattern, struct bytes queue, unsigned shard)
{
    struct interest *interest = interest_find(index, pattern, (uint32_t)hash_bytes(pattern, index->id));
    if (interest == NULL)
        return;
    if (queue.count == 0) {
        plain_remote_gone(index, interest, shard);
    } else {
        struct queue_group *group = group_find(index, interest, queue);
        if (group == NULL)
            return;
        group_remote_gone(index, group, shard);
    }
    interest_settle(index, interest);
}

static void plain_remote_gone(struct index *index, struct interest *interest, unsigned shard)
{
    index->remote_counts[shard] -= (interest->remote_shards >> shard & 1) != 0;
    interest->remote_shards &= ~(1ULL << shard);
}

/* May free the group. */
static void group_remote_gone(struct index *index, struct queue_group *group, unsigned shard)
{
    index->remote_counts[shard] -= queue_group_remote(group, shard) > 0;
    index->interest_bytes -= queue_group_bytes(group);
    enum err err = queue_group_remote_set(group, shard, 0);
    ASSERT(err == ERR_OK); /* taking away needs no memory */
    index->interest_bytes += queue_group_bytes(group);
    group_settle(index, group);
}

static bool literal_same(const uint32_t *item, const void *key)
{
    const struct interest *interest = CONTAINER_OF(item, const struct interest, hash);
    return !interest->wildcard && bytes_equal(interest_pattern(interest), *(const struct bytes *)key);
}

static bool pattern_same(const uint32_t *item, const void *key)
{
    const struct interest *interest = CONTAINER_OF(item, const struct interest, hash);
    return bytes_equal(interest_pattern(interest), *(const struct bytes *)key);
}

static bool group_same(const uint32_t *item, const void *key)
{
    const struct queue_group *group = &CONTAINER_OF(item, const struct queue_group_inside, hash)->public;
    const struct group_key *wanted = key;
    return group->interest == wanted->interest && bytes_equal(queue_group_name(group), wanted->name);
}
