/* core/subject/subscription_set.c - a set of subscriptions: none, one without an array, or an array that
 * doubles when full, halves when three quarters empty, and goes when one is left. */
#include "core/subject/subscription_set.h"

#include "core/base/check.h"
#include "core/base/memory.h"

enum { CAPACITY_FIRST = 4 };

static enum err set_grow(struct subscription_set *set);
static void set_shrink(struct subscription_set *set);

enum err subscription_set_add(struct subscription_set *set, struct subscription *subscription)
{
    if (set->count > 0 && set->count >= set->capacity) {
        enum err err = set_grow(set);
        if (err != ERR_OK)
            return err;
    }
    if (set->capacity == 0)
        set->one = subscription;
    else
        set->many[set->count] = subscription;
    subscription->position = set->count++ & SUBSCRIPTION_POSITION_MASK;
    return ERR_OK;
}

void subscription_set_remove(struct subscription_set *set, struct subscription *subscription)
{
    ASSERT(subscription->position < set->count);
    ASSERT(subscription_at(set, subscription->position) == subscription);
    set->count--;
    if (set->capacity == 0) {
        set->one = NULL;
        return;
    }
    struct subscription *last = set->many[set->count];
    set->many[subscription->position] = last;
    last->position = subscription->position;
    set_shrink(set);
}

static enum err set_grow(struct subscription_set *set)
{
    if (set->capacity > SUBSCRIPTION_POSITION_MASK / 2)
        return ERR_FULL;
    uint32_t capacity = set->capacity == 0 ? CAPACITY_FIRST : set->capacity * 2;
    struct subscription **old = set->capacity == 0 ? NULL : set->many;
    struct subscription **many = memory_grow(old, (size_t)capacity * sizeof(*many));
    if (many == NULL)
        return ERR_MEMORY;
    if (set->capacity == 0)
        many[0] = set->one;
    set->many = many;
    set->capacity = capacity;
    return ERR_OK;
}

static void set_shrink(struct subscription_set *set)
{
    if (set->count <= 1) {
        struct subscription *one = set->count == 1 ? set->many[0] : NULL;
        memory_free(set->many);
        set->one = one;
        set->capacity = 0;
    } else if (set->count <= set->capacity / 4) {
        uint32_t capacity = set->capacity / 2;
        struct subscription **many = memory_grow(set->many, (size_t)capacity * sizeof(*many));
        if (many == NULL)
            return;
        set->many = many;
        set->capacity = capacity;
    }
}
