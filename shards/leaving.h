/* shards/leaving.h - forgetting, in steps, what a server or a cluster has wanted that is gone: a million
 * patterns of it shall hold up nobody. In the flow: its last connection ends -> leaving_begin() for each
 * account || each turn: leaving_step(), some LEAVING_LOOKS_MAX looks
 *   || it is back and wants something -> leaving_settle(), the rest at once
 * What an index says of a number in `leaving.numbers` does not count: who asks the index has to leave these
 * out. A number may be another server's meanwhile; nothing may be noted for it in that index before
 * leaving_settle(). At the bound: what is left after a turn's looks is left to the next one. Thread: the
 * shard's. */
#ifndef SHARDS_LEAVING_H
#define SHARDS_LEAVING_H

#include "core/subject/index.h"

enum { LEAVING_LOOKS_MAX = 1000 /* in a turn: some 0.15 ms; 1.7 when a table for a million shrinks */ };

/* Beside each such index. All zero: there is nothing to forget. */
struct leaving {
    uint64_t numbers; /* bits: those that are being forgotten, */
    uint32_t cursor;  /* and how far the lowest of them is */
};

/* How many (index, number) are being forgotten by a shard, and at which account it is. */
struct leaving_walk {
    uint32_t count;
    uint32_t account;
};

static inline bool leaving_has(const struct leaving *leaving, uint32_t number)
{
    return (leaving->numbers >> number & 1) != 0;
}

/* From now on it does not count. `index` may be NULL. */
void leaving_begin(struct leaving_walk *walk, struct leaving *leaving, const struct index *index,
                   uint32_t number);

/* Goes on with one of them. `forgotten` and `context` as for index_remote_clear(). */
void leaving_step(struct leaving_walk *walk, struct leaving *leaving, struct index *index, uint32_t *looks,
                  index_forgotten *forgotten, void *context);

/* Forgets the rest of that number at once, if there is some. */
void leaving_settle(struct leaving_walk *walk, struct leaving *leaving, struct index *index, uint32_t number,
                    index_forgotten *forgotten, void *context);

/* The same for what is no index: `count` is how much there is to forget of that number. Whoever has it
 * forgets some of the lowest number each turn, with leaving.cursor, or the rest of any, and says when all of
 * it is gone. */
void leaving_begin_some(struct leaving_walk *walk, struct leaving *leaving, uint32_t number, uint32_t count);
uint32_t leaving_lowest(const struct leaving *leaving);
void leaving_end(struct leaving_walk *walk, struct leaving *leaving, uint32_t number);

#endif
