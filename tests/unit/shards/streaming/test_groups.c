/* tests/unit/shards/streaming/test_groups.c - which group a channel is in, which stores depend on, and which
 * node is to lead a group. */
#include "shards/streaming/groups.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct placed {
    const char *channel;
    uint32_t of_2, of_3, of_32;
};

/* From an implementation of its own, tests/integration/test_streaming_groups.py: group_of(). */
static const struct placed placed[] = {
    {"foo", 1, 1, 17},         {"bar", 0, 2, 30}, {"orders", 0, 0, 16}, {"orders.eu", 1, 1, 21},
    {"orders.eu.1", 0, 1, 20}, {"a", 0, 2, 28},   {"Zürich", 1, 2, 25},
};

Test(groups, a_channel_stays_where_it_is)
{
    for (size_t i = 0; i < COUNT_OF(placed); i++) {
        struct bytes name = text(placed[i].channel);
        cr_expect_eq(groups_of_channel(name, 1), 0);
        cr_expect_eq(groups_of_channel(name, 2), placed[i].of_2, "%s", placed[i].channel);
        cr_expect_eq(groups_of_channel(name, 3), placed[i].of_3, "%s", placed[i].channel);
        cr_expect_eq(groups_of_channel(name, 32), placed[i].of_32, "%s", placed[i].channel);
    }
}

Test(groups, case_makes_no_difference)
{
    cr_expect_eq(groups_of_channel(TEXT("Orders.EU.z"), 32), groups_of_channel(TEXT("orders.eu.Z"), 32));
}

Test(groups, channels_are_shared_out_evenly)
{
    uint32_t counts[STREAMING_GROUPS_MAX] = {0};
    for (int i = 0; i < 3200; i++) {
        char name[16];
        int count = snprintf(name, sizeof name, "orders.%d", i);
        uint32_t group = groups_of_channel(bytes_of(name, (size_t)count), STREAMING_GROUPS_MAX);
        cr_assert_lt(group, STREAMING_GROUPS_MAX);
        counts[group]++;
    }
    for (int i = 0; i < STREAMING_GROUPS_MAX; i++)
        cr_expect(counts[i] > 60 && counts[i] < 140, "group %d has %u of 3200", i, counts[i]);
}

/* Members by digits of their ids, small letters are learners; who is alive; who is to lead groups 0 to 5. */
struct leaders {
    const char *members, *alive, *wanted;
};

static const struct leaders leaders[] = {
    {"1", "1", "111111"},   {"123", "123", "123123"},     {"123", "12", "121122"},
    {"123", "1", "1.111."}, /* what the others led first went to one another */
    {"12", "2", "222222"},  {"1", "", "......"},          {"1l23", "123l", "123123"},
    {"", "", "......"},     {"12345", "12345", "123451"}, {"1l", "l", "......"},
};

static uint64_t id_of(char c)
{
    return c == 'l' ? 15 : (uint64_t)(c - '0') * 10;
}

Test(groups, leaders_go_round_among_voters_that_are_there)
{
    for (size_t i = 0; i < COUNT_OF(leaders); i++) {
        const struct leaders *c = &leaders[i];
        struct raft_membership members = {0};
        bool alive[RAFT_MEMBERS_MAX] = {false};
        for (const char *at = c->members; *at != 0; at++)
            cr_assert(raft_membership_add(&members, id_of(*at), *at == 'l' ? RAFT_LEARNER : RAFT_VOTER,
                                          bytes_of(at, 1)));
        for (uint32_t place = 0; place < members.count; place++) {
            for (const char *at = c->alive; *at != 0; at++)
                alive[place] |= members.members[place].id == id_of(*at);
        }
        for (uint32_t group = 0; group < 6; group++) {
            uint64_t wanted = c->wanted[group] == '.' ? 0 : id_of(c->wanted[group]);
            cr_expect_eq(groups_leader(&members, alive, group), wanted,
                         "members %s, alive %s, group %u: %llu", c->members, c->alive, group,
                         (unsigned long long)groups_leader(&members, alive, group));
        }
    }
}
