/* core/subject/pattern_set.c - see pattern_set.h. All three questions are one walk down the trie; they differ
 * in what the tokens `*` and `>` of the asked subject mean, and in what happens at its end.
 *
 * Why covering needs to look at `*` children only: a `*` of the asked pattern stands for tokens that no
 * pattern of the set names, and for those only a `*` of the set answers; what answers for them answers for
 * all. So it is the same as to ask for a literal token that is named nowhere, which is what the byte `*` is
 * here. */
#include "core/subject/pattern_set.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/language.h"
#include "core/subject/subject.h"
#include "core/subject/tokens.h"

enum {
    ROOT = 0,         /* and as a link: none, since nothing leads to the root */
    LENGTHS_MAX = 63, /* lengths that covering a `>` keeps apart; deeper sets cover less than they could */
    NEVER = LENGTHS_MAX + 1,
    TOKEN_SEED = 0, /* no secret: the table is as full as the configuration makes it, whatever is asked */
};

struct pattern_node {
    const uint8_t *token;
    uint32_t token_count;
    uint32_t hash; /* of parent and token */
    uint32_t parent;
    uint32_t first_literal; /* children that are neither `*` nor `>` */
    uint32_t next_literal;  /* of the same parent */
    uint32_t star;
    bool is_star;
    bool here; /* a pattern ends with this token */
    bool rest; /* a pattern ends with a `>` behind it */
};

/* ---- making ---- */

static uint32_t edge_hash(uint32_t parent, struct bytes token)
{
    return (uint32_t)(hash_bytes(token, TOKEN_SEED) ^ (parent * 0x9e3779b97f4a7c15ULL >> 16));
}

/* The number of the child, or 0. */
static uint32_t literal_find(const struct pattern_set *set, uint32_t parent, struct bytes token)
{
    uint32_t hash = edge_hash(parent, token);
    for (uint32_t at = hash;; at++) {
        uint32_t found = set->slots[at & (set->slot_count - 1)];
        if (found == ROOT)
            return ROOT;
        const struct pattern_node *node = &set->nodes[found];
        if (node->hash == hash && node->parent == parent &&
            bytes_equal_short(bytes_of(node->token, node->token_count), token))
            return found;
    }
}

static uint32_t node_add(struct pattern_set *set, uint32_t parent, struct bytes token)
{
    uint32_t number = set->node_count++;
    struct pattern_node *node = &set->nodes[number];
    node->token = token.data;
    node->token_count = (uint32_t)token.count;
    node->parent = parent;
    return number;
}

static uint32_t star_of(struct pattern_set *set, uint32_t parent, struct bytes token)
{
    if (set->nodes[parent].star == ROOT) {
        uint32_t star = node_add(set, parent, token);
        set->nodes[star].is_star = true;
        set->nodes[parent].star = star;
    }
    return set->nodes[parent].star;
}

static uint32_t literal_of(struct pattern_set *set, uint32_t parent, struct bytes token)
{
    uint32_t number = literal_find(set, parent, token);
    if (number != ROOT)
        return number;
    number = node_add(set, parent, token);
    struct pattern_node *node = &set->nodes[number];
    node->hash = edge_hash(parent, token);
    node->next_literal = set->nodes[parent].first_literal;
    set->nodes[parent].first_literal = number;
    uint32_t at = node->hash;
    while (set->slots[at & (set->slot_count - 1)] != ROOT)
        at++;
    set->slots[at & (set->slot_count - 1)] = number;
    return number;
}

static void pattern_add(struct pattern_set *set, struct bytes pattern)
{
    uint32_t node = ROOT;
    ASSERT(subject_valid_pattern(pattern));
    for (size_t start = 0, end; start <= pattern.count; start = end + 1) {
        end = token_end(pattern, start);
        struct bytes token = token_of(pattern, start, end);
        if (token_is(token, '>')) {
            set->nodes[node].rest = true;
            return;
        }
        node = token_is(token, '*') ? star_of(set, node, token) : literal_of(set, node, token);
    }
    set->nodes[node].here = true;
}

enum err pattern_set_make(struct pattern_set *set, const struct bytes *patterns, uint32_t count,
                          struct arena *arena)
{
    uint64_t nodes_most = 1;
    *set = (struct pattern_set){0};
    if (count == 0)
        return ERR_OK;
    for (uint32_t i = 0; i < count; i++)
        nodes_most += subject_token_count(patterns[i]);
    if (nodes_most > PATTERN_SET_NODES_MAX)
        return ERR_FULL;
    uint32_t slot_count = 4;
    while (slot_count < nodes_most * 2)
        slot_count *= 2;
    set->nodes = arena_new(arena, nodes_most * sizeof set->nodes[0]);
    set->slots = arena_new(arena, slot_count * sizeof set->slots[0]);
    if (set->nodes == NULL || set->slots == NULL) {
        *set = (struct pattern_set){0};
        return ERR_MEMORY;
    }
    set->slot_count = slot_count;
    set->node_count = 1;
    set->pattern_count = count;
    for (uint32_t i = 0; i < count; i++)
        pattern_add(set, patterns[i]);
    return ERR_OK;
}

/* ---- walking ---- */

/* A place in the trie and in the subject that led there. */
struct walk {
    const struct pattern_set *set;
    struct bytes subject;
    uint32_t node;
    size_t at;     /* where the next token starts; behind the end + 1: there is none */
    bool any_star; /* a `*` of the subject goes to all children, not to the `*` alone */
};

static struct bytes walk_token(const struct walk *walk)
{
    return token_of(walk->subject, walk->at, token_end(walk->subject, walk->at));
}

static void walk_enter(struct walk *walk, uint32_t child)
{
    walk->at = token_end(walk->subject, walk->at) + 1;
    walk->node = child;
}

/* To the first child that takes the next token; false: there is none. */
static bool walk_down(struct walk *walk)
{
    const struct pattern_node *node = &walk->set->nodes[walk->node];
    struct bytes token = walk_token(walk);
    uint32_t child = walk->any_star && token_is(token, '*') ? node->first_literal
                                                            : literal_find(walk->set, walk->node, token);
    if (child == ROOT)
        child = node->star;
    if (child != ROOT)
        walk_enter(walk, child);
    return child != ROOT;
}

/* To the next way that was not taken yet, up as far as it must; false: all were. */
static bool walk_aside(struct walk *walk)
{
    while (walk->node != ROOT) {
        const struct pattern_node *node = &walk->set->nodes[walk->node];
        walk->at--; /* on the dot, or the end, behind the token that led here */
        while (walk->at > 0 && walk->subject.data[walk->at - 1] != '.')
            walk->at--;
        walk->node = node->parent;
        if (node->is_star)
            continue; /* it is the last one always */
        uint32_t next = ROOT;
        if (walk->any_star && token_is(walk_token(walk), '*'))
            next = node->next_literal;
        if (next == ROOT)
            next = walk->set->nodes[walk->node].star;
        if (next == ROOT)
            continue;
        walk_enter(walk, next);
        return true;
    }
    return false;
}

static bool walk_at_end(const struct walk *walk)
{
    return walk->at > walk->subject.count;
}

/* Whether some path of the trie takes the whole subject, by its end or by a `>` of the set. A `>` of the
 * subject is a token like others but when `any_star` is set: then whatever lies below takes it. */
static bool walk_takes(struct walk *walk)
{
    do {
        for (;;) {
            const struct pattern_node *node = &walk->set->nodes[walk->node];
            if (walk_at_end(walk)) {
                if (node->here)
                    return true;
                break;
            }
            if (node->rest)
                return true;
            if (walk->any_star && token_is(walk_token(walk), '>')) {
                if (node->first_literal != ROOT || node->star != ROOT)
                    return true;
                break;
            }
            if (!walk_down(walk))
                break;
        }
    } while (walk_aside(walk));
    return false;
}

bool pattern_set_matches(const struct pattern_set *set, struct bytes subject)
{
    struct walk walk = {.set = set, .subject = subject};
    return set->pattern_count > 0 && !tokens_some_empty(subject) && walk_takes(&walk);
}

bool pattern_set_collides(const struct pattern_set *set, struct bytes pattern)
{
    struct walk walk = {.set = set, .subject = pattern, .any_star = true};
    return set->pattern_count > 0 && subject_valid_pattern(pattern) && walk_takes(&walk);
}

/* ---- covering a `>` ---- */

/* Which numbers of tokens behind some prefix are taken, whatever the tokens are. */
struct lengths {
    uint64_t single; /* bit n: so many */
    unsigned from;   /* so many and more */
};

static void lengths_add(struct lengths *lengths, const struct pattern_set *set, uint32_t number)
{
    for (unsigned length = 1; length <= LENGTHS_MAX; length++) {
        if (set->nodes[number].rest && length < lengths->from)
            lengths->from = length;
        number = set->nodes[number].star;
        if (number == ROOT)
            return;
        if (set->nodes[number].here)
            lengths->single |= 1ULL << length;
    }
}

static bool lengths_all(const struct lengths *lengths)
{
    if (lengths->from == NEVER)
        return false;
    uint64_t below = ((1ULL << lengths->from) - 1) & ~1ULL; /* 1 .. from - 1 */
    return (lengths->single & below) == below;
}

bool pattern_set_covers(const struct pattern_set *set, struct bytes pattern)
{
    struct walk walk = {.set = set, .subject = pattern};
    if (set->pattern_count == 0 || !subject_valid_pattern(pattern))
        return false;
    if (pattern.data[pattern.count - 1] != '>' ||
        (pattern.count > 1 && pattern.data[pattern.count - 2] != '.'))
        return walk_takes(&walk);
    size_t rest_at = pattern.count - 1;
    struct lengths lengths = {.from = NEVER};
    do {
        while (walk.at != rest_at) {
            if (set->nodes[walk.node].rest)
                return true;
            if (!walk_down(&walk))
                break;
        }
        if (walk.at == rest_at)
            lengths_add(&lengths, set, walk.node);
    } while (walk_aside(&walk));
    return lengths_all(&lengths);
}
