/* shards/streaming/groups.c - see groups.h. */
#include "shards/streaming/groups.h"

/* FNV-1a, and its upper bits folded in, for its lowest ones alone are poor. */
uint32_t groups_of_channel(struct bytes name, uint32_t group_count)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    if (group_count <= 1)
        return 0;
    for (size_t i = 0; i < name.count; i++) {
        uint8_t c = name.data[i];
        c = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
        hash = (hash ^ c) * 0x100000001b3ULL;
    }
    hash ^= hash >> 32;
    return (uint32_t)((hash * 0x9e3779b97f4a7c15ULL >> 32) % group_count);
}

/* The voter of that rank in order of ids, as a place in `members`. */
static uint32_t voter_of_rank(const struct raft_membership *members, uint32_t rank)
{
    uint32_t i = 0;
    for (; i < members->count; i++) {
        if (members->members[i].role == RAFT_VOTER && rank-- == 0)
            break;
    }
    return i;
}

uint64_t groups_leader(const struct raft_membership *members, const bool *alive, uint32_t group)
{
    uint32_t voters = raft_membership_voters(members);
    if (voters == 0)
        return 0;
    uint32_t first = voter_of_rank(members, group % voters);
    if (alive[first])
        return members->members[first].id;
    if (voters == 1)
        return 0;
    /* What a node led that is gone goes to all of the others, not to the next one alone. */
    uint32_t step = 1 + group / voters % (voters - 1);
    uint32_t second = voter_of_rank(members, (group + step) % voters);
    return alive[second] ? members->members[second].id : 0;
}
