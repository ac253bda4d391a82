/* core/subject/match_cache.c - the matches of the subjects that were published lately, for all indexes of a
 * shard.
 *
 * Four-way: a subject's hash and its index choose a set of four slots, 32 bits of the hash tell them apart,
 * the bytes decide. A match that is no longer current is looked up again in its place. Who leaves when all
 * four are taken: the next one, in turn, that was not hit since its last turn. A slot keeps subject,
 * interests and groups in 104 bytes of its own, or in a block of memory that it keeps while it is of a
 * sensible size.
 *
 * At the bound: blocks together are at most HEAP_BYTES_PER_ENTRY times the entries, the result under way
 * excepted; above it other slots are emptied, in turn. */
#include "core/subject/index.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/subject/index_inside.h"

enum {
    WAYS = 4,
    ENTRIES_MAX = 1 << 24,
    INLINE_BYTES = 104,
    HEAP_BYTES_PER_ENTRY = 1024,
    /* A block above this is given back when the slot's next result is much smaller: 4096 interests. */
    BLOCK_KEEP_BYTES = 4096 * 8,
    /* Scratch memory above this does not outlive the look-up that needed it. */
    SCRATCH_KEEP_BYTES = 1 << 20,
};

struct slot {
    struct match match;
    uint64_t index_id; /* the index may be gone and its memory be another's: the id is not */
    uint8_t *subject;  /* in `inside` or `block` */
    uint8_t *block;    /* NULL: none */
    uint32_t block_bytes;
    uint32_t subject_count;
    _Alignas(8) uint8_t inside[INLINE_BYTES]; /* match_group[], interest *[], queue_group *[], subject */
};
_Static_assert(sizeof(struct slot) == 3 * CACHE_LINE_BYTES,
               "what a hit compares before the subject fills one line, the subject mostly lies in the next");
_Static_assert(sizeof(struct match_group) == 2 * sizeof(void *), "what follows groups in a slot is aligned");

/* Four slots' tags, so that a look-up reads one line before the slot that it wants. */
struct set {
    uint32_t tags[WAYS]; /* 0: the slot is empty */
    uint32_t hit;        /* bit w: slot w was hit since its last turn */
    uint32_t hand;       /* whose turn it is */
};

struct match_cache {
    struct set *sets;
    struct slot *slots; /* WAYS for each set */
    uint64_t set_mask;
    size_t heap_bytes;
    size_t heap_bytes_max;
    size_t sweep;     /* the slot that is emptied next when blocks are over their bound */
    uint64_t serials; /* given to matches so far */
    uint64_t hits;
    uint64_t misses;
    uint64_t entries_used;
    struct match_scratch scratch;
};

/* Where a subject of an index belongs. */
struct key {
    struct index *index;
    struct bytes subject;
    uint64_t hash;
    uint32_t tag;
    size_t set;
};

static enum err cache_miss(struct match_cache *cache, const struct key *key, unsigned way,
                           const struct match **match);
static unsigned set_choose(struct set *set);
static bool slot_holds(const struct slot *slot, const struct key *key);
static void slot_empty(struct match_cache *cache, size_t position);
static uint8_t *slot_room(struct match_cache *cache, size_t position, size_t bytes);
static void block_free(struct match_cache *cache, struct slot *slot);
static void slot_write(struct slot *slot, uint8_t *room, const struct key *key,
                       const struct match_scratch *scratch);

struct match_cache *match_cache_new(uint32_t entries)
{
    uint32_t rounded = WAYS;
    while (rounded < entries && rounded < ENTRIES_MAX)
        rounded *= 2;
    struct match_cache *cache = memory_new(sizeof(*cache));
    if (cache == NULL)
        return NULL;
    cache->sets = memory_new_aligned(rounded / WAYS * sizeof(struct set));
    cache->slots = memory_new_aligned(rounded * sizeof(struct slot));
    if (cache->sets == NULL || cache->slots == NULL) {
        match_cache_free(cache);
        return NULL;
    }
    cache->set_mask = rounded / WAYS - 1;
    cache->heap_bytes_max = (size_t)rounded * HEAP_BYTES_PER_ENTRY;
    return cache;
}

void match_cache_free(struct match_cache *cache)
{
    if (cache == NULL)
        return;
    if (cache->slots != NULL) {
        for (size_t i = 0; i < (cache->set_mask + 1) * WAYS; i++)
            memory_free(cache->slots[i].block);
    }
    match_scratch_close(&cache->scratch);
    memory_free(cache->slots);
    memory_free(cache->sets);
    memory_free(cache);
}

enum err match_cache_find(struct match_cache *cache, struct index *index, struct bytes subject,
                          const struct match **match)
{
    uint64_t hash = hash_bytes(subject, index->id); /* so its set differs from index to index, too */
    struct key key = {index, subject, hash, (uint32_t)(hash >> 32) | 1u, hash & cache->set_mask};
    struct set *set = &cache->sets[key.set];
    unsigned way = 0;
    for (; way < WAYS; way++) {
        if (set->tags[way] != key.tag)
            continue;
        struct slot *slot = &cache->slots[key.set * WAYS + way];
        if (!slot_holds(slot, &key))
            continue;
        if (!match_current(&slot->match))
            break;
        set->hit |= 1u << way;
        cache->hits++;
        index->hits++;
        *match = &slot->match;
        return ERR_OK;
    }
    return cache_miss(cache, &key, way, match);
}

struct match_cache_figures match_cache_figures(const struct match_cache *cache)
{
    size_t sets = cache->set_mask + 1;
    return (struct match_cache_figures){
        .hits = cache->hits,
        .misses = cache->misses,
        .entries_used = cache->entries_used,
        .bytes = sizeof(*cache) + sets * (sizeof(struct set) + WAYS * sizeof(struct slot)) +
                 cache->heap_bytes + match_scratch_bytes(&cache->scratch),
    };
}

uint64_t match_cache_step(const struct match_cache *cache, uint64_t cursor, match_cache_visit *visit,
                          void *context)
{
    const struct set *set = &cache->sets[cursor & cache->set_mask];
    for (unsigned way = 0; way < WAYS; way++) {
        const struct match *match = &cache->slots[(cursor & cache->set_mask) * WAYS + way].match;
        if (set->tags[way] != 0 && match->owner != 0 && match_current(match))
            visit(context, match);
    }
    return cursor >= cache->set_mask ? 0 : cursor + 1;
}

uint64_t match_fanout(const struct match *match)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < match->interest_count; i++)
        count += match->interests[i]->plain.count;
    for (uint32_t g = 0; g < match->group_count; g++)
        count += match_group_size(&match->groups[g], false) > 0;
    return count;
}

/* Looks the subject up in its index and keeps the result in slot `way` of its set, where an outdated one
 * stands; WAYS: none stands there yet. */
static NEVER_INLINE enum err cache_miss(struct match_cache *cache, const struct key *key, unsigned way,
                                        const struct match **match)
{
    struct match_scratch *scratch = &cache->scratch;
    struct set *set = &cache->sets[key->set];
    *match = NULL;
    cache->misses++;
    index_table_prefetch_bucket(&key->index->interests, (uint32_t)key->hash);
    if (way == WAYS)
        way = set_choose(set);
    size_t position = key->set * WAYS + way;
    for (size_t line = 0; line < sizeof(struct slot) / CACHE_LINE_BYTES; line++)
        __builtin_prefetch((const uint8_t *)&cache->slots[position] + line * CACHE_LINE_BYTES, 1);
    enum err err = index_match(key->index, key->subject, key->hash, scratch);
    if (err == ERR_OK)
        err = match_scratch_merge(scratch);
    if (err == ERR_OK && (scratch->found_count > UINT32_MAX || key->subject.count > UINT32_MAX))
        err = ERR_MEMORY;
    if (err == ERR_OK) {
        size_t bytes = scratch->group_count * sizeof(struct match_group) +
                       (scratch->found_count + scratch->part_count) * sizeof(void *) + key->subject.count;
        slot_empty(cache, position);
        uint8_t *room = slot_room(cache, position, bytes);
        if (room == NULL) {
            err = ERR_MEMORY;
        } else {
            slot_write(&cache->slots[position], room, key, scratch);
            cache->slots[position].match.serial = ++cache->serials;
            set->tags[way] = key->tag;
            set->hit |= 1u << way;
            cache->entries_used++;
            *match = &cache->slots[position].match;
        }
    }
    if (UNLIKELY(match_scratch_bytes(scratch) > SCRATCH_KEEP_BYTES))
        match_scratch_close(scratch);
    return err;
}

/* An empty slot, else the next in turn that was not hit. Ends: each step clears one of four bits. */
static unsigned set_choose(struct set *set)
{
    for (unsigned way = 0; way < WAYS; way++) {
        if (set->tags[way] == 0)
            return way;
    }
    while ((set->hit & 1u << set->hand) != 0) {
        set->hit &= ~(1u << set->hand);
        set->hand = (set->hand + 1) % WAYS;
    }
    unsigned chosen = set->hand;
    set->hand = (chosen + 1) % WAYS;
    return chosen;
}

static bool slot_holds(const struct slot *slot, const struct key *key)
{
    return slot->match.index == key->index && slot->index_id == key->index->id &&
           bytes_equal(bytes_of(slot->subject, slot->subject_count), key->subject);
}

/* Forgets the match; a block stays for the next one. */
static void slot_empty(struct match_cache *cache, size_t position)
{
    struct set *set = &cache->sets[position / WAYS];
    unsigned way = (unsigned)(position % WAYS);
    if (set->tags[way] != 0)
        cache->entries_used--;
    set->tags[way] = 0;
    set->hit &= ~(1u << way);
    cache->slots[position].match.serial = 0; /* what it pointed to may be gone */
}

/* Room in an empty slot, inside or in its block; NULL when memory is out. */
static uint8_t *slot_room(struct match_cache *cache, size_t position, size_t bytes)
{
    struct slot *slot = &cache->slots[position];
    if (slot->block_bytes > BLOCK_KEEP_BYTES && bytes < slot->block_bytes / 4)
        block_free(cache, slot);
    if (bytes <= INLINE_BYTES)
        return slot->inside;
    if (bytes <= slot->block_bytes)
        return slot->block;
    block_free(cache, slot);
    if (bytes > UINT32_MAX - CACHE_LINE_BYTES)
        return NULL;
    size_t rounded = (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    size_t slots = (cache->set_mask + 1) * WAYS;
    for (size_t steps = 0; steps < slots && cache->heap_bytes + rounded > cache->heap_bytes_max; steps++) {
        struct slot *victim = &cache->slots[cache->sweep];
        if (victim->block != NULL) {
            slot_empty(cache, cache->sweep);
            block_free(cache, victim);
        }
        cache->sweep = (cache->sweep + 1) % slots;
    }
    slot->block = memory_new(rounded);
    if (slot->block == NULL)
        return NULL;
    slot->block_bytes = (uint32_t)rounded;
    cache->heap_bytes += rounded;
    return slot->block;
}

static void block_free(struct match_cache *cache, struct slot *slot)
{
    cache->heap_bytes -= slot->block_bytes;
    memory_free(slot->block);
    slot->block = NULL;
    slot->block_bytes = 0;
}

/* Lays out groups, interests, parts group by group, and the subject. */
static void slot_write(struct slot *slot, uint8_t *room, const struct key *key,
                       const struct match_scratch *scratch)
{
    struct match_group *groups = (struct match_group *)(void *)room;
    struct interest **interests = (struct interest **)(void *)(groups + scratch->group_count);
    struct queue_group **parts = (struct queue_group **)(void *)(interests + scratch->found_count);
    slot->subject = (uint8_t *)(parts + scratch->part_count);
    slot->subject_count = (uint32_t)key->subject.count;
    slot->index_id = key->index->id;
    if (key->subject.count > 0)
        memcpy(slot->subject, key->subject.data, key->subject.count);
    if (scratch->found_count > 0)
        memcpy(interests, scratch->found, scratch->found_count * sizeof(struct interest *));

    struct queue_group **next = parts;
    for (size_t g = 0; g < scratch->group_count; g++) {
        groups[g] = (struct match_group){.parts = next, .part_count = 0};
        next += scratch->group_part_count[g];
    }
    for (size_t p = 0; p < scratch->part_count; p++) {
        struct match_group *group = &groups[scratch->part_group[p]];
        size_t position = (size_t)(group->parts - parts) + group->part_count++;
        parts[position] = scratch->parts[p];
    }

    struct match *match = &slot->match;
    *match = (struct match){
        .interests = interests,
        .groups = groups,
        .interest_count = (uint32_t)scratch->found_count,
        .group_count = (uint32_t)scratch->group_count,
        .literal_part = index_literal_part(key->hash),
        .first_token_part = index_first_token_part(key->index, key->subject),
        .owner = key->index->owner,
        .index = key->index,
    };
    const struct index_generations *generations = &key->index->generations;
    match->generation = generations->any + generations->literal[match->literal_part] +
                        generations->first_token[match->first_token_part];
}
