/* core/subject/index_inside.h - what the bodies of index.h share: the index itself, and the look-up that the
 * match cache falls back to. Nobody outside core/subject includes it. */
#ifndef CORE_SUBJECT_INDEX_INSIDE_H
#define CORE_SUBJECT_INDEX_INSIDE_H

#include "core/base/hash.h"
#include "core/subject/index_table.h"
#include "core/subject/index_trie.h"
#include "core/subject/match_scratch.h"
#include "core/subject/tokens.h"

struct index {
    struct index_generations generations; /* first: match_current() reads it without knowing the rest */
    uint64_t id;   /* 64 random bits: no index before or after has the same. Seed of all its hashes, too */
    uint64_t hits; /* look-ups that a match cache answered: it has just read the id */
    struct index_table interests; /* by pattern; wildcard patterns too */
    struct index_table groups;    /* by interest and name */
    struct index_trie trie;       /* wildcard patterns once more, by token */
    uint64_t subscriptions;
    uint64_t inserts;
    uint64_t removes;
    uint64_t matches;
    uint32_t owner;                           /* 0: none */
    size_t interest_bytes;                    /* with sets and groups */
    uint32_t remote_counts[INDEX_SHARDS_MAX]; /* patterns, and groups under patterns, that each other shard
                                                 wants */
};
_Static_assert(offsetof(struct index, generations) == 0, "match_current() casts");
_Static_assert((INDEX_GENERATION_PARTS & (INDEX_GENERATION_PARTS - 1)) == 0, "parts are chosen by a mask");

static inline struct interest *interest_of(uint32_t *hash)
{
    return CONTAINER_OF(hash, struct interest, hash);
}

/* Which generation belongs to a literal pattern or subject. `hash` is that of the whole. */
static inline uint16_t index_literal_part(uint64_t hash)
{
    return (uint16_t)(hash % INDEX_GENERATION_PARTS);
}

/* Which generation belongs to a subject, or a wildcard pattern, that begins with this token. */
static inline uint16_t index_first_token_part(const struct index *index, struct bytes subject)
{
    struct bytes token = token_of(subject, 0, token_end(subject, 0));
    return (uint16_t)(hash_bytes(token, index->id) % INDEX_GENERATION_PARTS);
}

/* Looks up what a published subject hits: scratch->found gets the interests, each once. `hash` is that of the
 * whole subject. ERR_MEMORY: what is in scratch is not complete. */
MUST_USE enum err index_match(struct index *index, struct bytes subject, uint64_t hash,
                              struct match_scratch *scratch);

#endif
