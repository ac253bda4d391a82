/* core/subject/index_trie.c - putting, erasing and matching wildcard patterns. index_trie_match() is hot: it
 * runs for every published subject that no cache knows. */
#include "core/subject/index_trie.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/subject/tokens.h"

/* The token of a node stands at its first unused byte. */
enum { NODE_HEADER_BYTES = offsetof(struct index_node, is_star) + sizeof(bool) };

struct edge_key {
    const struct index_node *parent;
    struct bytes token;
};

static struct bytes node_token(const struct index_node *node);
static struct index_node *node_of(uint32_t *hash);
static uint32_t edge_hash(const struct index_trie *trie, const struct index_node *parent, struct bytes token);
static bool edge_same(const uint32_t *item, const void *key);
static struct index_node *node_find_child(const struct index_trie *trie, const struct index_node *parent,
                                          struct bytes token);
static struct index_node *node_new_child(struct index_trie *trie, struct index_node *parent,
                                         struct bytes token);
static void node_prune(struct index_trie *trie, struct index_node *node);
static size_t node_size(size_t token_count);

enum err index_trie_put(struct index_trie *trie, struct interest *interest)
{
    struct bytes pattern = interest_pattern(interest);
    struct index_node *node = &trie->root;
    for (size_t start = 0, end; start <= pattern.count; start = end + 1) {
        end = token_end(pattern, start);
        struct bytes token = token_of(pattern, start, end);
        if (end == pattern.count && token_is(token, '>')) {
            ASSERT(node->rest == NULL);
            node->rest = interest;
            return ERR_OK;
        }
        struct index_node *child = node_find_child(trie, node, token);
        if (child == NULL)
            child = node_new_child(trie, node, token);
        if (child == NULL) {
            node_prune(trie, node);
            return ERR_MEMORY;
        }
        node = child;
    }
    ASSERT(node->here == NULL);
    node->here = interest;
    return ERR_OK;
}

void index_trie_erase(struct index_trie *trie, struct interest *interest)
{
    struct bytes pattern = interest_pattern(interest);
    struct index_node *node = &trie->root;
    for (size_t start = 0, end; start <= pattern.count; start = end + 1) {
        end = token_end(pattern, start);
        struct bytes token = token_of(pattern, start, end);
        if (end == pattern.count && token_is(token, '>')) {
            ASSERT(node->rest == interest);
            node->rest = NULL;
            node_prune(trie, node);
            return;
        }
        node = node_find_child(trie, node, token);
        ASSERT(node != NULL);
    }
    ASSERT(node->here == interest);
    node->here = NULL;
    node_prune(trie, node);
}

/* Depth first with a stack. A visit goes on with one child and leaves at most one other waiting, and the
 * deeper level leaves one again: so the stack is never higher than the trie is deep, nor than the subject has
 * tokens. */
enum err index_trie_match(const struct index_trie *trie, struct bytes subject, struct match_scratch *scratch)
{
    const struct index_node *node = &trie->root;
    size_t start = 0;
    scratch->waiting_count = 0;
    for (;;) {
        const struct index_node *child = NULL;
        if (start > subject.count) {
            if (node->here != NULL && !match_scratch_found(scratch, node->here))
                return ERR_MEMORY;
        } else {
            size_t end = token_end(subject, start);
            if (node->rest != NULL && !match_scratch_found(scratch, node->rest))
                return ERR_MEMORY;
            if (node->literal_children > 0) {
                struct edge_key key = {node, token_of(subject, start, end)};
                uint32_t *item =
                    index_table_find(&trie->edges, edge_hash(trie, node, key.token), edge_same, &key);
                child = item == NULL ? NULL : node_of(item);
            }
            start = end + 1;
            if (child == NULL)
                child = node->star;
            else if (node->star != NULL && !match_scratch_wait(scratch, node->star, start))
                return ERR_MEMORY;
        }
        if (child == NULL) {
            if (scratch->waiting_count == 0)
                return ERR_OK;
            struct match_step *step = &scratch->waiting[--scratch->waiting_count];
            child = step->node;
            start = step->start;
        }
        node = child;
    }
}

bool index_trie_may_match(const struct index_trie *trie, struct bytes subject)
{
    const struct index_node *root = &trie->root;
    if (root->rest != NULL || root->star != NULL)
        return true;
    struct bytes first = token_of(subject, 0, token_end(subject, 0));
    return root->literal_children > 0 && !token_is(first, '*') && node_find_child(trie, root, first) != NULL;
}

size_t index_trie_bytes(const struct index_trie *trie)
{
    return trie->node_bytes + index_table_bytes(&trie->edges);
}

void index_trie_close(struct index_trie *trie)
{
    ASSERT(trie->node_bytes == 0);
    index_table_close(&trie->edges);
}

static struct bytes node_token(const struct index_node *node)
{
    return bytes_of((const uint8_t *)node + NODE_HEADER_BYTES, node->token_count);
}

static struct index_node *node_of(uint32_t *hash)
{
    return CONTAINER_OF(hash, struct index_node, hash);
}

/* A node's address is as good as a number of its own: it does not change while the node lives. */
static uint32_t edge_hash(const struct index_trie *trie, const struct index_node *parent, struct bytes token)
{
    uint64_t mixed = (hash_bytes(token, trie->seed) ^ (uint64_t)(uintptr_t)parent) * 0x9e3779b97f4a7c15ULL;
    return (uint32_t)(mixed >> 32);
}

static bool edge_same(const uint32_t *item, const void *key)
{
    const struct index_node *node = CONTAINER_OF(item, const struct index_node, hash);
    const struct edge_key *edge = key;
    return node->parent == edge->parent && bytes_equal(node_token(node), edge->token);
}

static struct index_node *node_find_child(const struct index_trie *trie, const struct index_node *parent,
                                          struct bytes token)
{
    if (token_is(token, '*'))
        return parent->star;
    struct edge_key key = {parent, token};
    uint32_t *item = index_table_find(&trie->edges, edge_hash(trie, parent, token), edge_same, &key);
    return item == NULL ? NULL : node_of(item);
}

static struct index_node *node_new_child(struct index_trie *trie, struct index_node *parent,
                                         struct bytes token)
{
    bool is_star = token_is(token, '*');
    if (!is_star && index_table_reserve(&trie->edges) != ERR_OK)
        return NULL;
    struct index_node *node = memory_new(node_size(token.count));
    if (node == NULL)
        return NULL;
    node->parent = parent;
    node->is_star = is_star;
    node->token_count = (uint16_t)token.count;
    memcpy((uint8_t *)node + NODE_HEADER_BYTES, token.data, token.count);
    trie->node_bytes += node_size(token.count);
    if (is_star) {
        parent->star = node;
    } else {
        node->hash = edge_hash(trie, parent, token);
        index_table_put(&trie->edges, &node->hash);
        parent->literal_children++;
    }
    return node;
}

/* Frees the node and those above it as far as no pattern needs them. */
static void node_prune(struct index_trie *trie, struct index_node *node)
{
    while (node->parent != NULL && node->here == NULL && node->rest == NULL && node->star == NULL &&
           node->literal_children == 0) {
        struct index_node *parent = node->parent;
        if (node->is_star) {
            parent->star = NULL;
        } else {
            index_table_erase(&trie->edges, &node->hash);
            parent->literal_children--;
        }
        trie->node_bytes -= node_size(node->token_count);
        memory_free(node);
        node = parent;
    }
}

static size_t node_size(size_t token_count)
{
    size_t bytes = NODE_HEADER_BYTES + token_count;
    return bytes < sizeof(struct index_node) ? sizeof(struct index_node) : bytes;
}
