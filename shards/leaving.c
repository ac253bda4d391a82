/* shards/leaving.c - see leaving.h. */
#include "shards/leaving.h"

#include "core/base/check.h"

void leaving_begin(struct leaving_walk *walk, struct leaving *leaving, const struct index *index,
                   uint32_t number)
{
    leaving_begin_some(walk, leaving, number, index == NULL ? 0 : index_remote_count(index, number));
}

void leaving_begin_some(struct leaving_walk *walk, struct leaving *leaving, uint32_t number, uint32_t count)
{
    if (leaving_has(leaving, number) || count == 0)
        return;
    if ((((1ULL << number) - 1) & leaving->numbers) == 0)
        leaving->cursor = 0; /* it is the lowest */
    leaving->numbers |= 1ULL << number;
    walk->count++;
}

uint32_t leaving_lowest(const struct leaving *leaving)
{
    ASSERT(leaving->numbers != 0);
    return (uint32_t)__builtin_ctzll(leaving->numbers);
}

void leaving_end(struct leaving_walk *walk, struct leaving *leaving, uint32_t number)
{
    ASSERT(leaving_has(leaving, number) && walk->count > 0);
    if (leaving_lowest(leaving) == number)
        leaving->cursor = 0;
    leaving->numbers &= ~(1ULL << number);
    walk->count--;
}

void leaving_step(struct leaving_walk *walk, struct leaving *leaving, struct index *index, uint32_t *looks,
                  index_forgotten *forgotten, void *context)
{
    uint32_t number = leaving_lowest(leaving);
    if (index_remote_clear(index, number, looks, &leaving->cursor, forgotten, context))
        leaving_end(walk, leaving, number);
}

void leaving_settle(struct leaving_walk *walk, struct leaving *leaving, struct index *index, uint32_t number,
                    index_forgotten *forgotten, void *context)
{
    uint32_t cursor = 0;
    if (!leaving_has(leaving, number))
        return;
    for (bool done = false; !done;) {
        uint32_t looks = UINT32_MAX;
        done = index_remote_clear(index, number, &looks, &cursor, forgotten, context);
    }
    leaving_end(walk, leaving, number);
}
