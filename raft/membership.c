/* raft/membership.c - changes of a group, and its bytes. */
#include "raft/membership.h"

#include "core/base/check.h"

/* A membership, little-endian:
 *    0  1  version, 1
 *    1  1  count of members, at most RAFT_MEMBERS_MAX
 *    2  -  for each: 8 id, 1 role (0 learner, 1 voter), 1 name_bytes (at most RAFT_NAME_BYTES_MAX), the name
 * Valid: ids above 0 and at most RAFT_NUMBER_MAX, each higher than the one before; nothing behind. */
enum { MEMBERSHIP_VERSION = 1, MEMBER_HEAD_BYTES = 10 };

static struct raft_member *find(struct raft_membership *membership, uint64_t id)
{
    for (uint32_t i = 0; i < membership->count; i++) {
        if (membership->members[i].id == id)
            return &membership->members[i];
    }
    return NULL;
}

const struct raft_member *raft_member_find(const struct raft_membership *membership, uint64_t id)
{
    for (uint32_t i = 0; i < membership->count; i++) {
        if (membership->members[i].id == id)
            return &membership->members[i];
    }
    return NULL;
}

bool raft_membership_votes(const struct raft_membership *membership, uint64_t id)
{
    const struct raft_member *member = raft_member_find(membership, id);
    return member != NULL && member->role == RAFT_VOTER;
}

uint32_t raft_membership_voters(const struct raft_membership *membership)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < membership->count; i++)
        voters += membership->members[i].role == RAFT_VOTER;
    return voters;
}

uint32_t raft_membership_quorum(const struct raft_membership *membership)
{
    return raft_membership_voters(membership) / 2 + 1;
}

bool raft_membership_add(struct raft_membership *membership, uint64_t id, enum raft_member_role role,
                         struct bytes name)
{
    if (membership->count == RAFT_MEMBERS_MAX || id == 0 || id > RAFT_NUMBER_MAX ||
        name.count > RAFT_NAME_BYTES_MAX || find(membership, id) != NULL)
        return false;
    uint32_t at = membership->count;
    for (; at > 0 && membership->members[at - 1].id > id; at--)
        membership->members[at] = membership->members[at - 1];
    struct raft_member *member = &membership->members[at];
    *member = (struct raft_member){.id = id, .role = role, .name_bytes = (uint8_t)name.count};
    if (name.count > 0)
        memcpy(member->name, name.data, name.count);
    membership->count++;
    return true;
}

static void remove_member(struct raft_membership *membership, struct raft_member *member)
{
    const struct raft_member *end = &membership->members[membership->count];
    for (; member + 1 < end; member++)
        *member = *(member + 1);
    *member = (struct raft_member){0};
    membership->count--;
}

enum raft_result raft_membership_change(struct raft_membership *membership, const struct raft_change *change)
{
    struct raft_member *member = find(membership, change->id);
    bool last_voter = member != NULL && member->role == RAFT_VOTER && raft_membership_voters(membership) == 1;
    switch (change->kind) {
    case RAFT_CHANGE_ADD_LEARNER:
        return raft_membership_add(membership, change->id, RAFT_LEARNER, change->name) ? RAFT_OK
                                                                                       : RAFT_INVALID;
    case RAFT_CHANGE_PROMOTE:
        if (member == NULL || member->role == RAFT_VOTER)
            return RAFT_INVALID;
        member->role = RAFT_VOTER;
        return RAFT_OK;
    case RAFT_CHANGE_DEMOTE:
        if (member == NULL || member->role == RAFT_LEARNER || last_voter)
            return RAFT_INVALID;
        member->role = RAFT_LEARNER;
        return RAFT_OK;
    case RAFT_CHANGE_REMOVE:
        if (member == NULL || last_voter)
            return RAFT_INVALID;
        remove_member(membership, member);
        return RAFT_OK;
    case RAFT_CHANGE_KINDS:
        break;
    }
    return RAFT_INVALID;
}

bool raft_membership_equal(const struct raft_membership *a, const struct raft_membership *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct raft_member *left = &a->members[i], *right = &b->members[i];
        if (left->id != right->id || left->role != right->role || left->name_bytes != right->name_bytes ||
            memcmp(left->name, right->name, left->name_bytes) != 0)
            return false;
    }
    return true;
}

size_t raft_membership_encode(const struct raft_membership *membership, uint8_t *to)
{
    ASSERT(membership->count <= RAFT_MEMBERS_MAX);
    uint8_t *at = to;
    *at++ = MEMBERSHIP_VERSION;
    *at++ = (uint8_t)membership->count;
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct raft_member *member = &membership->members[i];
        for (unsigned byte = 0; byte < 8; byte++)
            *at++ = (uint8_t)(member->id >> (8 * byte));
        *at++ = member->role == RAFT_VOTER;
        *at++ = member->name_bytes;
        memcpy(at, member->name, member->name_bytes);
        at += member->name_bytes;
    }
    return (size_t)(at - to);
}

static bool decode_members(struct bytes from, struct raft_membership *membership)
{
    if (from.count < 2 || from.data[0] != MEMBERSHIP_VERSION || from.data[1] > RAFT_MEMBERS_MAX)
        return false;
    const uint8_t *at = from.data + 2, *end = from.data + from.count;
    for (unsigned count = from.data[1]; count > 0; count--) {
        if (end - at < MEMBER_HEAD_BYTES || at[8] > 1 || at[9] > end - at - MEMBER_HEAD_BYTES)
            return false;
        uint64_t id = 0;
        for (unsigned byte = 0; byte < 8; byte++)
            id |= (uint64_t)at[byte] << (8 * byte);
        if (membership->count > 0 && membership->members[membership->count - 1].id >= id)
            return false;
        if (!raft_membership_add(membership, id, at[8] == 1 ? RAFT_VOTER : RAFT_LEARNER,
                                 bytes_of(at + MEMBER_HEAD_BYTES, at[9])))
            return false;
        at += MEMBER_HEAD_BYTES + at[9];
    }
    return at == end;
}

bool raft_membership_decode(struct bytes from, struct raft_membership *membership)
{
    *membership = (struct raft_membership){0};
    bool valid = decode_members(from, membership);
    if (!valid)
        *membership = (struct raft_membership){0};
    return valid;
}
