/* net/sids.h - a client's subscriptions by sid: open addressing over pointers (client-protocol 7.1).
 * Growing and shrinking are spread over the changes that follow: beside the new array stands the old one, and
 * each change empties some of its slots, so no single SUB of a client waits for its million others.
 * At the bound: memory out is ERR_MEMORY and nothing has changed. One thread's. */
#ifndef NET_SIDS_H
#define NET_SIDS_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/subject/index.h"

struct client;

enum { SID_BYTES_MAX = (1 << 15) - 1 };

/* What the client session knows of one subscription. Sized for a million of them: with a sid of up to six
 * bytes it takes 48. */
struct client_subscription {
    struct subscription base;
    struct client *client;
    uint64_t delivered; /* messages handed over since SUB */
    uint16_t sid_count : 15;
    uint16_t filtered : 1; /* some of its messages may not be delivered: client_access_takes() */
    uint8_t sid[];
};

/* UNSUB's number, in the word that the index leaves to us; 0: none. */
static inline uint32_t subscription_max(const struct client_subscription *subscription)
{
    return subscription->base.owner_word;
}

static inline struct bytes subscription_sid(const struct client_subscription *subscription)
{
    return bytes_of(subscription->sid, subscription->sid_count);
}

struct sid_array {
    struct client_subscription **slots; /* NULL: there is none */
    uint32_t capacity;                  /* a power of two, or 0 */
};

/* All zero but for `seed` is empty. */
struct sids {
    struct sid_array now;
    struct sid_array old; /* while what is in it moves to `now` */
    uint32_t old_moved;   /* slots of `old` that are empty for good, from 0 */
    uint32_t count;       /* in both */
    uint64_t seed;        /* of the hashes; not to be guessed by clients (core/base/hash.h) */
};

/* NULL when there is none. */
struct client_subscription *sids_find(const struct sids *sids, struct bytes sid);

/* The sid must not be there yet. */
MUST_USE enum err sids_add(struct sids *sids, struct client_subscription *subscription);

/* It must be there. */
void sids_remove(struct sids *sids, struct client_subscription *subscription);

/* Any one that is there, or NULL; for taking them out one by one. `hint` starts at 0 and is kept by the
 * caller: with it, taking all of them out looks at each slot about once. */
struct client_subscription *sids_any(const struct sids *sids, uint32_t *hint);

/* All of them, one by one: `at` starts at 0 and is kept by the caller; NULL at the end. No change meanwhile.
 */
struct client_subscription *sids_next(const struct sids *sids, uint64_t *at);

/* Frees the table, not what it points to; leaves it empty. */
void sids_close(struct sids *sids);

#endif
