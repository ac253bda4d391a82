/* core/subject/index.h - who wants what: the interest of one account as one shard knows it.
 * It holds the shard's own subscriptions, and for every other shard whether that has plain interest in a
 * pattern and how many members of each queue group (DESIGN 3, 4).
 *
 *     index_add() / index_remove() / index_remote_set()  ->  interests (one per distinct pattern)
 *     match_cache_find() -> struct match: the interests that a subject hits, and its queue groups by name
 *
 * A match lists interests, not subscriptions: it stays true while subscriptions come to and go from a pattern
 * that somebody else wants too. It carries the index generation for which it is true. The generation is kept
 * in parts (by hash of a literal pattern; by hash of the first token of a wildcard pattern; one for patterns
 * that begin with a wildcard), so that an inbox that comes and goes does not spoil every cached match.
 *
 * At the bound: memory out is ERR_MEMORY and nothing has changed. An uncached match visits each node of the
 * trie of wildcard patterns at most once, so its cost is bounded by what subscribers have put there, whatever
 * the subject; without `*` beside literals it is one visit per token. No recursion. All of it belongs to one
 * thread. */
#ifndef CORE_SUBJECT_INDEX_H
#define CORE_SUBJECT_INDEX_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/random.h"

/* Threads that can hold interest: the bits of interest.remote_shards. */
enum { INDEX_SHARDS_MAX = 64 };

struct index; /* opaque; one per account and shard */
struct interest;
struct queue_group;

/* Embedded in what a session knows of a subscription. All zero is "in no index". */
struct subscription {
    struct interest *interest; /* its pattern; NULL when in no index */
    struct queue_group *group; /* NULL: plain */
    uint32_t position : 31;    /* in its subscription_set */
    uint32_t foreign : 1; /* the owner's: it is not a client's own, whoever delivers has to look closer */
    uint32_t owner_word;  /* the owner's, for whatever it likes until it is removed */
};

#define SUBSCRIPTION_POSITION_MASK 0x7fffffffU /* a set is no longer than this */

/* Subscriptions in no order. Removing puts the last one in the hole, so walk from the end: then a removal of
 * the one just visited disturbs nothing. A single one is held without an array. */
struct subscription_set {
    union {
        struct subscription *one; /* when capacity is 0 */
        struct subscription **many;
    };
    uint32_t count;
    uint32_t capacity;
};

static inline struct subscription *subscription_at(const struct subscription_set *set, uint32_t position)
{
    return set->capacity == 0 ? set->one : set->many[position];
}

/* One distinct pattern that somebody wants. Read by the router; written by the index only. */
struct interest {
    struct subscription_set plain; /* this shard's own */
    uint64_t remote_shards;        /* bit s: shard s has plain interest */
    struct queue_group *groups;    /* list by next_in_interest */
    uint32_t hash;
    uint16_t pattern_count; /* a control line is at most 65535 bytes here: see index_add() */
    bool wildcard;
    /* the pattern's bytes follow in memory: interest_pattern() */
};

/* The members of one queue group under one pattern. */
struct queue_group {
    struct queue_group *next_in_interest;
    struct interest *interest;
    struct subscription_set members; /* this shard's own */
    uint32_t remote_total;           /* sum of the other shards' members */
    /* the other shards' counts and the name are the index's own: queue_group_name(), queue_group_remote() */
};

struct bytes interest_pattern(const struct interest *interest);
struct bytes queue_group_name(const struct queue_group *group);

/* Members of `group` on `shard`, another one than this. */
uint32_t queue_group_remote(const struct queue_group *group, unsigned shard);

/* ---- the index ---- */

/* Owner: the caller, until index_free(). NULL when memory is out, or the kernel has no random bytes for its
 * id. */
MUST_USE struct index *index_new(void);

/* Frees the index with its interests. What match caches remember of it becomes unreachable there; a match
 * that the caller kept must not be touched again. Own subscriptions must have been removed; remote interest
 * may remain. NULL is allowed. */
void index_free(struct index *index);

/* Says whose it is, so that match_cache_step() can tell: any number but 0. An index with an owner has to live
 * as long as the caches that it is looked up in. Before the first look-up. */
void index_owner_set(struct index *index, uint32_t owner);

/* Adds a subscription of this shard; `queue` empty means plain. The pattern must be valid. On ERR_OK the
 * index holds a pointer to `subscription` until index_remove(). ERR_FULL: pattern or queue is over 65535
 * bytes. */
MUST_USE enum err index_add(struct index *index, struct bytes pattern, struct bytes queue,
                            struct subscription *subscription);

/* Takes it out; frees interest and group when nobody wants them any more; zeroes the subscription's fields.
 * Cannot fail. */
void index_remove(struct index *index, struct subscription *subscription);

/* How many subscriptions of this shard stand beside `subscription` for the same pattern and queue, itself
 * included: 1 means that the others must be told when it goes. */
uint32_t index_own_count(const struct subscription *subscription);

/* Says that another shard has `count` subscriptions for pattern and queue (for plain interest: 0 or 1, more
 * counts as 1). A count, not a change: saying it twice is harmless. */
MUST_USE enum err index_remote_set(struct index *index, struct bytes pattern, struct bytes queue,
                                   unsigned shard, uint32_t count);

/* How many want it here and elsewhere: own members and the others' of a queue group; of a plain pattern, own
 * subscriptions and shards with interest. 0: nobody. */
uint32_t index_wanted(const struct index *index, struct bytes pattern, struct bytes queue);

/* How many patterns another shard has plain interest in, and groups under patterns in which it has members.
 */
uint32_t index_remote_count(const struct index *index, unsigned shard);

/* What is forgotten: a pattern, plainly or for a queue group. `last`: nobody else wants it, here or
 * elsewhere. The texts live until the call returns; it must not change the index. */
typedef void index_forgotten(void *context, struct bytes pattern, struct bytes queue, bool last);

/* Forgets interest of another shard, as far as some `*looks` looks at interests go, of which it takes off
 * what it has used. `cursor` begins as 0; true: all of it is forgotten. What that shard is said to want
 * between two calls may or may not be forgotten. `forgotten` may be NULL. */
MUST_USE bool index_remote_clear(struct index *index, unsigned shard, uint32_t *looks, uint32_t *cursor,
                                 index_forgotten *forgotten, void *context);

/* Walks all interests of this index. `at` starts NULL; returns NULL at the end. No change meanwhile. */
struct interest *index_next(struct index *index, struct interest *at);

/* The same in steps, between which the index may change. One step visits a few interests, seldom more than a
 * dozen, from `cursor` on, which begins as 0, and returns the next cursor: 0 at the end. What is there from
 * the beginning to the end is visited; once, or more often where the index has grown or shrunk much
 * meanwhile. What comes or goes meanwhile may be visited. `visit` must not change the index. */
typedef void index_visit(void *context, struct interest *interest);
uint32_t index_step(const struct index *index, uint32_t cursor, index_visit *visit, void *context);

struct index_figures {
    uint64_t interests;     /* distinct patterns */
    uint64_t subscriptions; /* this shard's own */
    uint64_t inserts;
    uint64_t removes;
    uint64_t matches; /* uncached look-ups */
    uint64_t hits;    /* cached ones */
    uint64_t bytes;   /* memory held by the index, subscriptions' own memory excluded */
};
struct index_figures index_figures(const struct index *index);

/* ---- matching ---- */

/* All groups of one name that a subject hits, under whatever patterns: one message goes to one member of them
 * all (spec/client-protocol.md 7.2). */
struct match_group {
    struct queue_group *const *parts;
    uint32_t part_count;
};

struct match {
    struct interest *const *interests; /* those the subject hits; some may hold groups only */
    const struct match_group *groups;  /* by distinct name */
    uint32_t interest_count;
    uint32_t group_count;
    uint64_t generation;   /* true while index_generation() of the subject answers this */
    uint16_t literal_part; /* which generations belong to the subject */
    uint16_t first_token_part;
    uint32_t owner; /* of the index; 0: none */
    const struct index *index;
    uint64_t serial; /* of this match in its cache: another one in the same place has another */
};

/* Whether a match that was found earlier is still true. Cost: three loads. The index must not have been
 * freed. */
static inline bool match_current(const struct match *match);

struct match_cache; /* opaque; one per shard, shared by all its indexes */

/* `entries` is rounded up to a power of two: how many subjects it remembers. About 200 bytes each, and
 * together at most 1 KiB each for results and subjects that do not fit these. */
MUST_USE struct match_cache *match_cache_new(uint32_t entries);
void match_cache_free(struct match_cache *cache);

/* Finds what a published subject hits. The match belongs to the cache and stays in place until the next call
 * of match_cache_find() on this cache; after that it is still the same one if its serial is, which may be
 * read as long as the cache lives. What it points to lives while it is current: after a change of the index
 * ask match_current() before following it. ERR_MEMORY: the result was too large to note; *match is NULL.
 * Allocates only when a result is larger than any before in its slot, or wider than any before in the cache.
 * Cost aimed at: cached 40 ns, uncached 400 ns (a million interests). */
MUST_USE enum err match_cache_find(struct match_cache *cache, struct index *index, struct bytes subject,
                                   const struct match **match);

/* Whether nothing in the index can be hit by a published subject, as far as a look at the literal patterns
 * and at the first tokens of the others says: true is certain, after false only match_cache_find() knows.
 * Spoils no match of a cache, so it serves where most subjects hit nothing. Cost aimed at: 10 ns. */
MUST_USE bool index_hits_nothing(const struct index *index, struct bytes subject);

struct match_cache_figures {
    uint64_t hits;
    uint64_t misses;
    uint64_t entries_used;
    uint64_t bytes;
};
struct match_cache_figures match_cache_figures(const struct match_cache *cache);

/* Visits the matches of one place in the cache that are true now and whose index has an owner: four at most.
 * The walk begins with cursor 0 and has seen all when it is 0 again; what moves meanwhile may be seen twice
 * or not at all. */
typedef void match_cache_visit(void *context, const struct match *match);
uint64_t match_cache_step(const struct match_cache *cache, uint64_t cursor, match_cache_visit *visit,
                          void *context);

/* To how many of this shard a message with that match goes: each plain subscription, and one of each group.
 */
uint64_t match_fanout(const struct match *match);

/* ---- queue choice ---- */

/* Members of the group on this shard and, if `remote_too`, on the others. */
uint32_t match_group_size(const struct match_group *group, bool remote_too);

/* The member at `position` (0 .. size - 1): *own is set when it is this shard's, else *shard says whose it
 * is. Order: all own members first, part by part, then the remote ones. */
void match_group_member(const struct match_group *group, uint32_t position, struct subscription **own,
                        unsigned *shard);

/* The members on those other shards of which a bit is set in `shards`, and whose the one at `position` is (0
 * .. sum - 1).
 */
uint32_t match_group_remote_size(const struct match_group *group, uint64_t shards);
unsigned match_group_remote_member(const struct match_group *group, uint64_t shards, uint32_t position);

/* ---- inline: the check that the hot path makes per message ---- */

enum { INDEX_GENERATION_PARTS = 256 };

/* The first member of struct index. Each counter only grows, so an unchanged sum means nothing changed. */
struct index_generations {
    uint64_t any;                                 /* patterns whose first token is a wildcard */
    uint64_t literal[INDEX_GENERATION_PARTS];     /* literal patterns, by hash of the whole */
    uint64_t first_token[INDEX_GENERATION_PARTS]; /* wildcard patterns, by hash of the first token */
};

static inline bool match_current(const struct match *match)
{
    const struct index_generations *g = (const struct index_generations *)(const void *)match->index;
    return match->generation ==
           g->any + g->literal[match->literal_part] + g->first_token[match->first_token_part];
}

#endif
