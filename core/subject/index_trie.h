/* core/subject/index_trie.h - the wildcard patterns of an index, by tokens.
 *
 *     a.*.c  ->  root -a-> node -*-> node -c-> node.here
 *     a.>    ->  root -a-> node.rest
 *
 * A node names its parent; its literal children stand in one hash table for the whole trie, keyed by parent
 * and token, so a node with a million children costs no more than one with two, and none needs an array. `*`
 * and
 * `>` have places of their own: a published token that happens to be the byte `*` is looked up among the
 * literal children, where no `*` ever is, so it meets the pattern's `*` once.
 *
 * A node is reached by one path only, so one match visits each node at most once: with `*` beside literals on
 * every level that is 2^tokens visits, but never more than there are nodes, which subscribers have paid for
 * one by one. One thread's. */
#ifndef CORE_SUBJECT_INDEX_TRIE_H
#define CORE_SUBJECT_INDEX_TRIE_H

#include "core/subject/index_table.h"
#include "core/subject/match_scratch.h"

/* Only the index and its trie look inside. */
struct index_node {
    uint32_t hash; /* of parent and token: in index_trie.edges unless it is a `*` node or the root */
    uint32_t literal_children;
    struct index_node *parent; /* NULL: the root */
    struct index_node *star;
    struct interest *here; /* the pattern that ends with this token */
    struct interest *rest; /* the pattern that ends with a `>` behind this token */
    uint16_t token_count;
    bool is_star;
    /* the token's bytes follow in memory */
};

/* All zero is empty. Must not move while it has nodes. */
struct index_trie {
    struct index_node root;
    struct index_table edges;
    size_t node_bytes;
    uint64_t seed; /* of the hashes of edges; the index's */
};

/* Puts a wildcard pattern that is not in it. ERR_MEMORY: nothing has changed. */
MUST_USE enum err index_trie_put(struct index_trie *trie, struct interest *interest);

/* Takes out one that is in it, with the nodes that nobody needs any more. */
void index_trie_erase(struct index_trie *trie, struct interest *interest);

/* Adds the interests that match to scratch->found. The subject has no empty token. ERR_MEMORY: `found` is not
 * complete. */
MUST_USE enum err index_trie_match(const struct index_trie *trie, struct bytes subject,
                                   struct match_scratch *scratch);

/* Whether some pattern begins with a wildcard or with the subject's first token. */
MUST_USE bool index_trie_may_match(const struct index_trie *trie, struct bytes subject);

/* Memory held besides the struct. */
size_t index_trie_bytes(const struct index_trie *trie);

/* Frees the table of an empty trie. */
void index_trie_close(struct index_trie *trie);

#endif
