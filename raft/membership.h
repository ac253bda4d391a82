/* raft/membership.h - who belongs to a group, who of them votes, and how that may change.
 * In the flow: the data of RAFT_ENTRY_MEMBERSHIP entries and part of each snapshot. One change at a time,
 * each by one member (dissertation 4.1), so any majority before and any majority after it overlap; who joins
 * is a learner first (4.2.1). At the bound: a member too many is refused with RAFT_INVALID. Pure values. */
#ifndef RAFT_MEMBERSHIP_H
#define RAFT_MEMBERSHIP_H

#include "core/base/language.h"
#include "raft/types.h"

enum {
    RAFT_MEMBERS_MAX = 16,
    RAFT_NAME_BYTES_MAX = 64, /* node ids of NATS Streaming are names; longer ones are refused at start */
    RAFT_MEMBERSHIP_BYTES_MAX = 2 + RAFT_MEMBERS_MAX * (8 + 1 + 1 + RAFT_NAME_BYTES_MAX),
};

enum raft_member_role {
    RAFT_LEARNER, /* gets the log, counts for nothing */
    RAFT_VOTER,
};

struct raft_member {
    uint64_t id;
    enum raft_member_role role;
    uint8_t name_bytes;
    uint8_t name[RAFT_NAME_BYTES_MAX];
};

/* Ordered by id, each id once. All zero is the empty group: a node in it waits to be told. */
struct raft_membership {
    uint32_t count;
    struct raft_member members[RAFT_MEMBERS_MAX];
};

enum raft_change_kind {
    RAFT_CHANGE_ADD_LEARNER,
    RAFT_CHANGE_PROMOTE, /* a learner becomes a voter */
    RAFT_CHANGE_DEMOTE,  /* a voter becomes a learner */
    RAFT_CHANGE_REMOVE,
    RAFT_CHANGE_KINDS,
};

struct raft_change {
    enum raft_change_kind kind;
    uint64_t id;
    struct bytes name; /* of RAFT_CHANGE_ADD_LEARNER */
};

/* NULL when the id does not belong to it. */
const struct raft_member *raft_member_find(const struct raft_membership *membership, uint64_t id);

bool raft_membership_votes(const struct raft_membership *membership, uint64_t id);
uint32_t raft_membership_voters(const struct raft_membership *membership);

/* How many voters decide: more than half. 1 for a group without voters, so nothing is ever decided there. */
uint32_t raft_membership_quorum(const struct raft_membership *membership);

/* Adds a member; for bootstrap and tests. False: full, known already, id 0 or a name that is too long. */
MUST_USE bool raft_membership_add(struct raft_membership *membership, uint64_t id, enum raft_member_role role,
                                  struct bytes name);

/* Changes by one member. RAFT_OK, or RAFT_INVALID and nothing is changed: unknown or known already, a change
 * that changes nothing, the last voter gone. */
MUST_USE enum raft_result raft_membership_change(struct raft_membership *membership,
                                                 const struct raft_change *change);

bool raft_membership_equal(const struct raft_membership *a, const struct raft_membership *b);

/* Writes at most RAFT_MEMBERSHIP_BYTES_MAX bytes and says how many. The format is in membership.c. */
size_t raft_membership_encode(const struct raft_membership *membership, uint8_t *to);

/* False: not valid, `membership` is then all zero. Bytes behind the end are not valid. */
MUST_USE bool raft_membership_decode(struct bytes from, struct raft_membership *membership);

#endif
