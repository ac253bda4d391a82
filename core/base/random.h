/* core/base/random.h - random numbers: a fast repeatable stream per owner (queue choice, jitter), and bytes
 * from the kernel for what must not be guessed (ids, nonces). */
#ifndef CORE_BASE_RANDOM_H
#define CORE_BASE_RANDOM_H

#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>

/* A SplitMix64 stream (Steele, Lea, Flood 2014). One thread's. */
struct random {
    uint64_t state;
};

static inline void random_seed(struct random *random, uint64_t seed)
{
    random->state = seed;
}

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* From 0 to bound - 1; bound is at least 1. The bias is below bound / 2^32. */
static inline uint32_t random_below(struct random *random, uint32_t bound)
{
    return (uint32_t)(((random_next(random) >> 32) * bound) >> 32);
}

/* Fills with the kernel's random bytes. ERR_SYSTEM when the kernel has none. Thread: any. */
MUST_USE enum err random_secure(void *bytes, size_t count);

#endif
