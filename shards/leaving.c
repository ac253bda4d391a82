/* shards/leaving.c - see leaving.h. */
#include "shards/leaving.h"

#include "core/base/check.h"

void leaving_begin(struct leaving_walk *walk, struct leaving *leaving, const struct index *index,
                   uint32_t number)
{
    if (leaving_has(leaving, number) || index == NULL || index_remote_count(index, number) == 0)
        return;
    if ((((1ULL << number) - 1) & leaving->numbers) == 0)
        leaving->cursor = 0; /* it is the lowest */
    leaving->numbers |= 1ULL << number;
    walk->count++;
}

static void end(struct leaving_walk *walk, struct leaving *leaving, uint32_t number)
{
    ASSERT(leaving_has(leaving, number) && walk->count > 0);
    if ((leaving->numbers & -leaving->numbers) == 1ULL << number)
        leaving->cursor = 0;
    leaving->numbers &= ~(1ULL << number);
    walk->count--;
}

void leaving_step(struct leaving_walk *walk, struct leaving *leaving, struct index *index, uint32_t *looks,
                  index_forgotten *forgotten, void *context)
{
    ASSERT(leaving->numbers != 0);
    uint32_t number = (uint32_t)__builtin_ctzll(leaving->numbers);
    if (index_remote_clear(index, number, looks, &leaving->cursor, forgotten, context))
        end(walk, leaving, number);
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
    end(walk, leaving, number);
}
