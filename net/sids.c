/* net/sids.c - the table behind sids.h: linear probing, holes closed by moving back. */
#include "net/sids.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"

enum { CAPACITY_LEAST = 4 };

static uint32_t home(const struct sids *sids, struct bytes sid)
{
    return (uint32_t)hash_bytes(sid) & (sids->capacity - 1);
}

struct client_subscription *sids_find(const struct sids *sids, struct bytes sid)
{
    if (sids->count == 0)
        return NULL;
    for (uint32_t at = home(sids, sid);; at = (at + 1) & (sids->capacity - 1)) {
        struct client_subscription *found = sids->slots[at];
        if (found == NULL || bytes_equal(subscription_sid(found), sid))
            return found;
    }
}

static void place(struct sids *sids, struct client_subscription *subscription)
{
    uint32_t at = home(sids, subscription_sid(subscription));
    while (sids->slots[at] != NULL)
        at = (at + 1) & (sids->capacity - 1);
    sids->slots[at] = subscription;
}

static enum err resize(struct sids *sids, uint32_t capacity)
{
    struct client_subscription **slots = memory_new(capacity * sizeof *slots);
    if (slots == NULL)
        return ERR_MEMORY;
    struct sids old = *sids;
    sids->slots = slots;
    sids->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (old.slots[i] != NULL)
            place(sids, old.slots[i]);
    }
    memory_free(old.slots);
    return ERR_OK;
}

enum err sids_add(struct sids *sids, struct client_subscription *subscription)
{
    if ((uint64_t)sids->count + 1 > (uint64_t)sids->capacity * 3 / 4) {
        if (sids->capacity > UINT32_MAX / 2)
            return ERR_MEMORY;
        enum err err = resize(sids, sids->capacity == 0 ? CAPACITY_LEAST : sids->capacity * 2);
        if (err != ERR_OK)
            return err;
    }
    place(sids, subscription);
    sids->count++;
    return ERR_OK;
}

void sids_remove(struct sids *sids, struct client_subscription *subscription)
{
    uint32_t mask = sids->capacity - 1;
    uint32_t hole = home(sids, subscription_sid(subscription));
    while (sids->slots[hole] != subscription) {
        ASSERT(sids->slots[hole] != NULL);
        hole = (hole + 1) & mask;
    }
    for (uint32_t at = (hole + 1) & mask; sids->slots[at] != NULL; at = (at + 1) & mask) {
        uint32_t wanted = home(sids, subscription_sid(sids->slots[at]));
        /* It may move back when its home does not lie behind the hole, going round. */
        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            sids->slots[hole] = sids->slots[at];
            hole = at;
        }
    }
    sids->slots[hole] = NULL;
    sids->count--;
}

struct client_subscription *sids_any(const struct sids *sids, uint32_t *hint)
{
    if (sids->count == 0)
        return NULL;
    for (uint32_t at = *hint & (sids->capacity - 1);; at = (at + 1) & (sids->capacity - 1)) {
        if (sids->slots[at] != NULL) {
            *hint = at;
            return sids->slots[at];
        }
    }
}

void sids_close(struct sids *sids)
{
    memory_free(sids->slots);
    *sids = (struct sids){0};
}
