/* Tests raft/membership.c: changes by one member, and the bytes. */
#include "raft/membership.h"

#include "core/base/language.h"

#include <criterion/criterion.h>

static struct raft_membership three(void)
{
    struct raft_membership membership = {0};
    cr_assert(raft_membership_add(&membership, 5, RAFT_VOTER, text("five")));
    cr_assert(raft_membership_add(&membership, 2, RAFT_VOTER, text("two")));
    cr_assert(raft_membership_add(&membership, 9, RAFT_LEARNER, text("nine")));
    return membership;
}

Test(raft_membership, members_stand_in_order_and_once)
{
    struct raft_membership membership = three();
    cr_expect_eq(membership.members[0].id, 2);
    cr_expect_eq(membership.members[1].id, 5);
    cr_expect_eq(membership.members[2].id, 9);
    cr_expect_not(raft_membership_add(&membership, 5, RAFT_VOTER, text("")));
    cr_expect_not(raft_membership_add(&membership, 0, RAFT_VOTER, text("")));
    for (uint64_t id = 100; membership.count < RAFT_MEMBERS_MAX; id++)
        cr_assert(raft_membership_add(&membership, id, RAFT_LEARNER, text("")));
    cr_expect_not(raft_membership_add(&membership, 1, RAFT_LEARNER, text("")), "it is full");
}

Test(raft_membership, a_majority_is_of_voters)
{
    struct raft_membership membership = {0};
    cr_expect_eq(raft_membership_quorum(&membership), 1, "of nobody nothing is decided");
    static const uint32_t quorums[] = {1, 2, 2, 3, 3, 4, 4};
    for (unsigned voters = 1; voters <= COUNT_OF(quorums); voters++) {
        cr_assert(raft_membership_add(&membership, voters, RAFT_VOTER, text("")));
        cr_expect_eq(raft_membership_quorum(&membership), quorums[voters - 1], "%u voters", voters);
    }
    cr_assert(raft_membership_add(&membership, 99, RAFT_LEARNER, text("")));
    cr_expect_eq(raft_membership_quorum(&membership), 4, "learners do not count");
}

struct change_case {
    enum raft_change_kind kind;
    uint64_t id;
    enum raft_result result;
    uint32_t count;
    uint32_t voters;
};

/* On {2, 5, learner 9}. */
static const struct change_case change_cases[] = {
    {RAFT_CHANGE_ADD_LEARNER, 7, RAFT_OK, 4, 2},  {RAFT_CHANGE_ADD_LEARNER, 5, RAFT_INVALID, 3, 2},
    {RAFT_CHANGE_PROMOTE, 9, RAFT_OK, 3, 3},      {RAFT_CHANGE_PROMOTE, 5, RAFT_INVALID, 3, 2},
    {RAFT_CHANGE_PROMOTE, 7, RAFT_INVALID, 3, 2}, {RAFT_CHANGE_DEMOTE, 5, RAFT_OK, 3, 1},
    {RAFT_CHANGE_DEMOTE, 9, RAFT_INVALID, 3, 2},  {RAFT_CHANGE_DEMOTE, 7, RAFT_INVALID, 3, 2},
    {RAFT_CHANGE_REMOVE, 2, RAFT_OK, 2, 1},       {RAFT_CHANGE_REMOVE, 9, RAFT_OK, 2, 2},
    {RAFT_CHANGE_REMOVE, 7, RAFT_INVALID, 3, 2},  {RAFT_CHANGE_KINDS, 2, RAFT_INVALID, 3, 2},
};

Test(raft_membership, changes_by_one)
{
    for (const struct change_case *c = change_cases; c < change_cases + COUNT_OF(change_cases); c++) {
        struct raft_membership membership = three();
        struct raft_change change = {.kind = c->kind, .id = c->id, .name = text("new")};
        cr_expect_eq(raft_membership_change(&membership, &change), c->result, "%d of %llu", c->kind,
                     (unsigned long long)c->id);
        cr_expect_eq(membership.count, c->count);
        cr_expect_eq(raft_membership_voters(&membership), c->voters);
    }
}

Test(raft_membership, the_last_voter_stays)
{
    struct raft_membership membership = {0};
    cr_assert(raft_membership_add(&membership, 1, RAFT_VOTER, text("")));
    struct raft_change change = {.kind = RAFT_CHANGE_REMOVE, .id = 1};
    cr_expect_eq(raft_membership_change(&membership, &change), RAFT_INVALID);
    change.kind = RAFT_CHANGE_DEMOTE;
    cr_expect_eq(raft_membership_change(&membership, &change), RAFT_INVALID);
}

Test(raft_membership, bytes_come_back_and_no_cut_of_them_does)
{
    uint8_t bytes[RAFT_MEMBERSHIP_BYTES_MAX + 1] = {0};
    struct raft_membership membership = three(), decoded;
    size_t count = raft_membership_encode(&membership, bytes);
    cr_assert(raft_membership_decode(bytes_of(bytes, count), &decoded));
    cr_expect(raft_membership_equal(&membership, &decoded));
    for (size_t cut = 0; cut < count; cut++)
        cr_expect_not(raft_membership_decode(bytes_of(bytes, cut), &decoded), "%zu bytes", cut);
    cr_expect_not(raft_membership_decode(bytes_of(bytes, count + 1), &decoded));
    cr_expect_eq(decoded.count, 0, "what is not valid is empty");
}

Test(raft_membership, bytes_out_of_order_are_not_valid)
{
    uint8_t bytes[RAFT_MEMBERSHIP_BYTES_MAX];
    struct raft_membership membership = {0}, decoded;
    cr_assert(raft_membership_add(&membership, 1, RAFT_VOTER, text("")));
    cr_assert(raft_membership_add(&membership, 2, RAFT_VOTER, text("")));
    size_t count = raft_membership_encode(&membership, bytes);
    bytes[2] = 2;
    cr_expect_not(raft_membership_decode(bytes_of(bytes, count), &decoded), "2 twice");
    bytes[2] = 3;
    cr_expect_not(raft_membership_decode(bytes_of(bytes, count), &decoded), "3 before 2");
    bytes[2] = 0;
    cr_expect_not(raft_membership_decode(bytes_of(bytes, count), &decoded), "0");
    bytes[2] = 1;
    bytes[10] = 2;
    cr_expect_not(raft_membership_decode(bytes_of(bytes, count), &decoded), "no such role");
    bytes[10] = 1;
    bytes[0] = 2;
    cr_expect_not(raft_membership_decode(bytes_of(bytes, count), &decoded), "no such version");
}

Test(raft_membership, a_name_may_be_as_long_as_its_bound)
{
    char name[RAFT_NAME_BYTES_MAX + 1];
    uint8_t bytes[RAFT_MEMBERSHIP_BYTES_MAX];
    struct raft_membership membership = {0}, decoded;
    memset(name, 'n', sizeof name);
    cr_expect_not(raft_membership_add(&membership, 1, RAFT_VOTER, bytes_of(name, RAFT_NAME_BYTES_MAX + 1)));
    for (uint64_t id = 1; id <= RAFT_MEMBERS_MAX; id++)
        cr_assert(raft_membership_add(&membership, id, RAFT_VOTER, bytes_of(name, RAFT_NAME_BYTES_MAX)));
    size_t count = raft_membership_encode(&membership, bytes);
    cr_assert_eq(count, RAFT_MEMBERSHIP_BYTES_MAX);
    cr_assert(raft_membership_decode(bytes_of(bytes, count), &decoded));
    cr_expect(raft_membership_equal(&membership, &decoded));
}
