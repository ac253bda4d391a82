/* net/sids.c - the table behind sids.h: linear probing, holes closed by moving back, and the slow move from
 * one array to the next. */
#include "net/sids.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"

/* Sixteen per change empty the old array in a sixteenth as many changes as it has slots. A new array, twice
 * as large and filled to three quarters at most, has room for twelve times as many before the next one is
 * due. One half as large begins a quarter full, and is ready when the next half is due. So there are never
 * three.
 */
enum { CAPACITY_LEAST = 4, OLD_SLOTS_PER_CHANGE = 16, SHRINK_BELOW = 8 };

static uint32_t array_home(const struct sid_array *array, const struct client_subscription *subscription,
                           uint64_t seed);
static void array_put(const struct sid_array *array, struct client_subscription *subscription, uint64_t seed);
static void array_erase(const struct sid_array *array, uint32_t hole, uint64_t seed);
static bool array_locate(const struct sid_array *array, const struct client_subscription *subscription,
                         uint64_t seed, uint32_t *at);
static enum err resize(struct sids *sids, uint32_t capacity);
static void move_some(struct sids *sids);

static ALWAYS_INLINE struct client_subscription *array_find(const struct sid_array *array, uint64_t hash,
                                                            struct bytes sid)
{
    struct client_subscription *const *slots = array->slots;
    uint32_t mask = array->capacity - 1;
    for (uint32_t at = (uint32_t)hash & mask;; at = (at + 1) & mask) {
        struct client_subscription *found = slots[at];
        if (found == NULL || bytes_equal_short(subscription_sid(found), sid))
            return found;
    }
}

static NEVER_INLINE struct client_subscription *find_in_old(const struct sids *sids, uint64_t hash,
                                                            struct bytes sid)
{
    return array_find(&sids->old, hash, sid);
}

struct client_subscription *sids_find(const struct sids *sids, struct bytes sid)
{
    if (sids->count == 0)
        return NULL;
    uint64_t hash = hash_bytes(sid, sids->seed);
    struct client_subscription *found = array_find(&sids->now, hash, sid);
    if (LIKELY(found != NULL || sids->old.slots == NULL))
        return found;
    return find_in_old(sids, hash, sid);
}

enum err sids_add(struct sids *sids, struct client_subscription *subscription)
{
    move_some(sids);
    if ((uint64_t)sids->count + 1 > (uint64_t)sids->now.capacity * 3 / 4) {
        if (sids->now.capacity > UINT32_MAX / 2)
            return ERR_MEMORY;
        enum err err = resize(sids, sids->now.capacity == 0 ? CAPACITY_LEAST : sids->now.capacity * 2);
        if (err != ERR_OK)
            return err;
    }
    array_put(&sids->now, subscription, sids->seed);
    sids->count++;
    return ERR_OK;
}

void sids_remove(struct sids *sids, struct client_subscription *subscription)
{
    uint32_t at;
    if (array_locate(&sids->now, subscription, sids->seed, &at)) {
        array_erase(&sids->now, at, sids->seed);
    } else {
        bool found = array_locate(&sids->old, subscription, sids->seed, &at);
        ASSERT(found);
        array_erase(&sids->old, at, sids->seed);
    }
    sids->count--;
    move_some(sids);
    if (sids->old.slots == NULL && sids->now.capacity > CAPACITY_LEAST &&
        sids->count < sids->now.capacity / SHRINK_BELOW)
        (void)resize(sids, sids->now.capacity / 2); /* out of memory: it stays large */
}

struct client_subscription *sids_any(const struct sids *sids, uint32_t *hint)
{
    if (sids->count == 0)
        return NULL;
    /* The old array first: what removals move out of it would come to stand behind the hint. */
    for (uint32_t at = sids->old_moved; at < sids->old.capacity; at++) {
        if (sids->old.slots[at] != NULL)
            return sids->old.slots[at];
    }
    uint32_t mask = sids->now.capacity - 1;
    for (uint32_t at = *hint & mask;; at = (at + 1) & mask) {
        if (sids->now.slots[at] != NULL) {
            *hint = at;
            return sids->now.slots[at];
        }
    }
}

struct client_subscription *sids_next(const struct sids *sids, uint64_t *at)
{
    for (; *at < (uint64_t)sids->now.capacity + sids->old.capacity; (*at)++) {
        struct client_subscription *found =
            *at < sids->now.capacity ? sids->now.slots[*at] : sids->old.slots[*at - sids->now.capacity];
        if (found != NULL) {
            (*at)++;
            return found;
        }
    }
    return NULL;
}

void sids_close(struct sids *sids)
{
    memory_free(sids->now.slots);
    memory_free(sids->old.slots);
    *sids = (struct sids){.seed = sids->seed};
}

static uint32_t array_home(const struct sid_array *array, const struct client_subscription *subscription,
                           uint64_t seed)
{
    return (uint32_t)hash_bytes(subscription_sid(subscription), seed) & (array->capacity - 1);
}

/* There is a free slot: at most three quarters are taken. */
static void array_put(const struct sid_array *array, struct client_subscription *subscription, uint64_t seed)
{
    uint32_t at = array_home(array, subscription, seed);
    while (array->slots[at] != NULL)
        at = (at + 1) & (array->capacity - 1);
    array->slots[at] = subscription;
}

static bool array_locate(const struct sid_array *array, const struct client_subscription *subscription,
                         uint64_t seed, uint32_t *at)
{
    if (array->slots == NULL)
        return false;
    *at = array_home(array, subscription, seed);
    while (array->slots[*at] != NULL && array->slots[*at] != subscription)
        *at = (*at + 1) & (array->capacity - 1);
    return array->slots[*at] != NULL;
}

/* Empties a slot; who stands behind it may have to move back, so that every search still ends at the first
 * free slot. */
static void array_erase(const struct sid_array *array, uint32_t hole, uint64_t seed)
{
    uint32_t mask = array->capacity - 1;
    for (uint32_t at = (hole + 1) & mask; array->slots[at] != NULL; at = (at + 1) & mask) {
        uint32_t wanted = array_home(array, array->slots[at], seed);
        /* It may move back when its home does not lie behind the hole, going round. */
        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            array->slots[hole] = array->slots[at];
            hole = at;
        }
    }
    array->slots[hole] = NULL;
}

static enum err resize(struct sids *sids, uint32_t capacity)
{
    struct client_subscription **slots = memory_new(capacity * sizeof *slots);
    if (slots == NULL)
        return ERR_MEMORY;
    ASSERT(sids->old.slots == NULL);
    sids->old = sids->now;
    sids->old_moved = 0;
    sids->now = (struct sid_array){slots, capacity};
    move_some(sids); /* a small array is done with at once */
    return ERR_OK;
}

/* Empties the next slots of the old array. Nothing moves back across `old_moved`: who stood behind it and had
 * its home before it would have been found through an empty slot. */
static void move_some(struct sids *sids)
{
    if (sids->old.slots == NULL)
        return;
    uint32_t stop = sids->old_moved + OLD_SLOTS_PER_CHANGE;
    for (; sids->old_moved < sids->old.capacity && sids->old_moved < stop; sids->old_moved++) {
        struct client_subscription *subscription;
        while ((subscription = sids->old.slots[sids->old_moved]) != NULL) {
            array_erase(&sids->old, sids->old_moved, sids->seed);
            array_put(&sids->now, subscription, sids->seed);
        }
    }
    if (sids->old_moved == sids->old.capacity) {
        memory_free(sids->old.slots);
        sids->old = (struct sid_array){0};
        sids->old_moved = 0;
    }
}
