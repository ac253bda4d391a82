/* core/subject/match_scratch.c - growing the scratch memory of a match, and merging queue groups by name. */
#include "core/subject/match_scratch.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/subject/queue_group.h"

enum { FOUND_FIRST = 64, WAITING_FIRST = 64, PARTS_FIRST = 16 };

static bool parts_reserve(struct match_scratch *scratch, size_t count);
static void parts_free(struct match_scratch *scratch);
static uint32_t group_of(struct match_scratch *scratch, uint32_t part, size_t seat_mask);

void match_scratch_close(struct match_scratch *scratch)
{
    memory_free(scratch->found);
    memory_free(scratch->waiting);
    parts_free(scratch);
    *scratch = (struct match_scratch){0};
}

size_t match_scratch_bytes(const struct match_scratch *scratch)
{
    size_t per_part = sizeof(struct queue_group *) + 5 * sizeof(uint32_t);
    return scratch->found_capacity * sizeof(struct interest *) +
           scratch->waiting_capacity * sizeof(struct match_step) + scratch->part_capacity * per_part;
}

enum err match_scratch_merge(struct match_scratch *scratch)
{
    size_t part_count = 0;
    for (size_t i = 0; i < scratch->found_count; i++) {
        for (struct queue_group *g = scratch->found[i]->groups; g != NULL; g = g->next_in_interest)
            part_count++;
    }
    scratch->part_count = 0;
    scratch->group_count = 0;
    if (part_count == 0)
        return ERR_OK;
    if (!parts_reserve(scratch, part_count))
        return ERR_MEMORY;

    size_t seats = 2; /* at most half full */
    while (seats < part_count * 2)
        seats *= 2;
    memset(scratch->seats, 0, seats * sizeof(*scratch->seats));
    for (size_t i = 0; i < scratch->found_count; i++) {
        for (struct queue_group *g = scratch->found[i]->groups; g != NULL; g = g->next_in_interest) {
            uint32_t part = (uint32_t)scratch->part_count++;
            scratch->parts[part] = g;
            uint32_t group = group_of(scratch, part, seats - 1);
            scratch->part_group[part] = group;
            scratch->group_part_count[group]++;
        }
    }
    ASSERT_HOT(scratch->part_count == part_count);
    return ERR_OK;
}

bool match_scratch_grow_found(struct match_scratch *scratch)
{
    size_t capacity = scratch->found_capacity == 0 ? FOUND_FIRST : scratch->found_capacity * 2;
    struct interest **found = memory_grow(scratch->found, capacity * sizeof(struct interest *));
    if (found == NULL)
        return false;
    scratch->found = found;
    scratch->found_capacity = capacity;
    return true;
}

bool match_scratch_grow_waiting(struct match_scratch *scratch)
{
    size_t capacity = scratch->waiting_capacity == 0 ? WAITING_FIRST : scratch->waiting_capacity * 2;
    struct match_step *waiting = memory_grow(scratch->waiting, capacity * sizeof(*waiting));
    if (waiting == NULL)
        return false;
    scratch->waiting = waiting;
    scratch->waiting_capacity = capacity;
    return true;
}

/* Nothing in them outlives a merge, so they are made anew and not copied. */
static bool parts_reserve(struct match_scratch *scratch, size_t count)
{
    if (count > UINT32_MAX / 4)
        return false; /* parts are numbered in 32 bits */
    if (count <= scratch->part_capacity)
        return true;
    size_t capacity = PARTS_FIRST;
    while (capacity < count)
        capacity *= 2;
    parts_free(scratch);
    scratch->parts = memory_new(capacity * sizeof(struct queue_group *));
    scratch->part_group = memory_new(capacity * sizeof(uint32_t));
    scratch->group_first = memory_new(capacity * sizeof(uint32_t));
    scratch->group_part_count = memory_new(capacity * sizeof(uint32_t));
    scratch->seats = memory_new(2 * capacity * sizeof(uint32_t));
    if (scratch->parts == NULL || scratch->part_group == NULL || scratch->group_first == NULL ||
        scratch->group_part_count == NULL || scratch->seats == NULL) {
        parts_free(scratch);
        return false;
    }
    scratch->part_capacity = capacity;
    return true;
}

static void parts_free(struct match_scratch *scratch)
{
    memory_free(scratch->parts);
    memory_free(scratch->part_group);
    memory_free(scratch->group_first);
    memory_free(scratch->group_part_count);
    memory_free(scratch->seats);
    scratch->parts = NULL;
    scratch->part_group = NULL;
    scratch->group_first = NULL;
    scratch->group_part_count = NULL;
    scratch->seats = NULL;
    scratch->part_capacity = 0;
}

/* The number of the group that this part belongs to; a new one when it is the first of its name. */
static uint32_t group_of(struct match_scratch *scratch, uint32_t part, size_t seat_mask)
{
    const struct queue_group *wanted = scratch->parts[part];
    size_t seat = queue_group_name_hash(wanted) & seat_mask;
    for (; scratch->seats[seat] != 0; seat = (seat + 1) & seat_mask) {
        uint32_t group = scratch->seats[seat] - 1;
        const struct queue_group *first = scratch->parts[scratch->group_first[group]];
        if (queue_group_name_hash(first) == queue_group_name_hash(wanted) &&
            bytes_equal(queue_group_name(first), queue_group_name(wanted)))
            return group;
    }
    uint32_t group = (uint32_t)scratch->group_count++;
    scratch->seats[seat] = group + 1;
    scratch->group_first[group] = part;
    scratch->group_part_count[group] = 0;
    return group;
}
