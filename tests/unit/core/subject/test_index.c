/* tests/unit/core/subject/test_index.c - what the index holds while subscriptions and other shards' interest
 * come and go. What a published subject hits is tested in test_match_cache.c. */
#include "core/subject/index.h"

#include "core/base/language.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct index *new_index(void)
{
    struct index *index = index_new();
    cr_assert_not_null(index);
    return index;
}

static void add(struct index *index, const char *pattern, const char *queue,
                struct subscription *subscription)
{
    cr_assert_eq(index_add(index, text(pattern), text(queue), subscription), ERR_OK);
}

static void remote(struct index *index, const char *pattern, const char *queue, unsigned shard,
                   uint32_t count)
{
    cr_assert_eq(index_remote_set(index, text(pattern), text(queue), shard, count), ERR_OK);
}

Test(index, one_interest_serves_all_subscriptions_of_a_pattern)
{
    struct index *index = new_index();
    struct subscription a = {0}, b = {0}, worker = {0};
    add(index, "foo.*", "", &a);
    add(index, "foo.*", "", &b);
    add(index, "foo.*", "workers", &worker);
    cr_expect_eq(a.interest, b.interest);
    cr_expect_eq(a.interest, worker.interest);
    cr_expect_null(a.group);
    cr_expect(bytes_equal(interest_pattern(a.interest), TEXT("foo.*")));
    cr_expect(bytes_equal(queue_group_name(worker.group), TEXT("workers")));
    cr_expect_eq(index_own_count(&a), 2);
    cr_expect_eq(index_own_count(&worker), 1);
    struct index_figures figures = index_figures(index);
    cr_expect_eq(figures.interests, 1);
    cr_expect_eq(figures.subscriptions, 3);
    cr_expect_eq(figures.inserts, 3);
    index_remove(index, &a);
    cr_expect_null(a.interest);
    cr_expect_eq(index_own_count(&b), 1);
    index_remove(index, &worker);
    cr_expect_null(b.interest->groups);
    index_remove(index, &b);
    figures = index_figures(index);
    cr_expect_eq(figures.interests, 0);
    cr_expect_eq(figures.subscriptions, 0);
    cr_expect_eq(figures.removes, 3);
    index_free(index);
}

Test(index, an_empty_index_holds_what_a_new_one_holds)
{
    static const char *const patterns[] = {"a", "a.b.c.d", "*", ">", "a.*.c", "a.*.>", "*.*.*.x", "q.>"};
    struct subscription subscriptions[2 * COUNT_OF(patterns)] = {{0}};
    struct index *index = new_index();
    for (unsigned round = 0; round < 3; round++) {
        uint64_t before = index_figures(index).bytes;
        for (unsigned i = 0; i < COUNT_OF(patterns); i++) {
            add(index, patterns[i], "", &subscriptions[2 * i]);
            add(index, patterns[i], "group", &subscriptions[2 * i + 1]);
            remote(index, patterns[i], "group", 5, 3);
            remote(index, patterns[i], "", 6, 1);
        }
        cr_expect_gt(index_figures(index).bytes, before);
        for (unsigned i = 0; i < COUNT_OF(patterns); i++) {
            index_remove(index, &subscriptions[2 * i + 1]);
            remote(index, patterns[i], "", 6, 0);
            index_remove(index, &subscriptions[2 * i]);
            cr_expect_eq(index_figures(index).interests, COUNT_OF(patterns) - i, "the remote group holds it");
            remote(index, patterns[i], "group", 5, 0);
            cr_expect_eq(index_figures(index).interests, COUNT_OF(patterns) - i - 1);
        }
        if (round > 0) /* the first round's tables stay */
            cr_expect_eq(index_figures(index).bytes, before);
    }
    index_free(index);
}

Test(index, remote_interest_is_a_count_that_may_be_said_twice)
{
    struct index *index = new_index();
    struct subscription own = {0};
    remote(index, "foo", "", 3, 0); /* unknown: harmless */
    remote(index, "foo", "q", 3, 0);
    cr_expect_eq(index_figures(index).interests, 0);
    remote(index, "foo", "", 3, 1);
    remote(index, "foo", "", 3, 5);
    remote(index, "foo", "", 63, 1);
    remote(index, "foo", "q", 0, 4);
    remote(index, "foo", "q", 2, 1);
    remote(index, "foo", "q", 9, 6);
    remote(index, "foo", "q", 0, 2);
    add(index, "foo", "q", &own);
    const struct interest *interest = own.interest;
    cr_expect_eq(interest->remote_shards, 1ULL << 3 | 1ULL << 63);
    cr_expect_eq(own.group->remote_total, 9);
    cr_expect_eq(queue_group_remote(own.group, 0), 2);
    cr_expect_eq(queue_group_remote(own.group, 9), 6);
    cr_expect_eq(queue_group_remote(own.group, 4), 0);
    remote(index, "foo", "q", 2, 0);
    cr_expect_eq(own.group->remote_total, 8);
    remote(index, "foo", "", 3, 0);
    cr_expect_eq(interest->remote_shards, 1ULL << 63);
    remote(index, "foo", "other", 3, 0);
    index_remove(index, &own);
    cr_expect_eq(index_figures(index).interests, 1);
    index_free(index); /* remote interest may remain */
}

Test(index, a_set_may_lose_the_one_just_visited_when_walked_from_the_end)
{
    enum { MANY = 100 };
    struct subscription subscriptions[MANY] = {{0}};
    struct index *index = new_index();
    for (unsigned keep = 0; keep < 3; keep++) {
        for (unsigned i = 0; i < MANY; i++)
            add(index, "foo", "", &subscriptions[i]);
        struct interest *interest = subscriptions[0].interest;
        uint32_t visited = 0;
        uint32_t kept = 0;
        for (uint32_t i = interest->plain.count; i-- > 0;) {
            struct subscription *at = subscription_at(&interest->plain, i);
            visited++;
            cr_expect_eq(at->position, i);
            if (keep != 0 && i % (keep + 1) == 0)
                kept++;
            else if (interest->plain.count > 1) /* the last would take the interest along */
                index_remove(index, at);
        }
        cr_expect_eq(visited, MANY);
        cr_expect_eq(interest->plain.count, kept == 0 ? 1 : kept);
        for (unsigned i = 0; i < MANY; i++) {
            if (subscriptions[i].interest != NULL)
                index_remove(index, &subscriptions[i]);
        }
    }
    index_free(index);
}

Test(index, bytes_above_the_bound_are_refused_and_nothing_changes)
{
    struct index *index = new_index();
    struct subscription subscription = {0};
    char *long_text = malloc(65536);
    cr_assert_not_null(long_text);
    memset(long_text, 'x', 65536);
    struct bytes over = bytes_of(long_text, 65536);
    struct bytes most = bytes_of(long_text, 65535);
    uint64_t before = index_figures(index).bytes;
    cr_expect_eq(index_add(index, over, TEXT(""), &subscription), ERR_FULL);
    cr_expect_eq(index_add(index, TEXT("foo"), over, &subscription), ERR_FULL);
    cr_expect_eq(index_remote_set(index, over, TEXT(""), 1, 1), ERR_FULL);
    cr_expect_null(subscription.interest);
    cr_expect_eq(index_figures(index).interests, 0);
    cr_expect_eq(index_figures(index).bytes, before);
    cr_expect_eq(index_add(index, most, most, &subscription), ERR_OK);
    cr_expect(bytes_equal(interest_pattern(subscription.interest), most));
    cr_expect(bytes_equal(queue_group_name(subscription.group), most));
    index_remove(index, &subscription);
    index_free(index);
    free(long_text);
}

Test(index, groups_under_one_pattern_are_told_apart_by_name)
{
    enum { GROUPS = 500 };
    struct subscription subscriptions[2 * GROUPS] = {{0}};
    char name[16];
    struct index *index = new_index();
    for (unsigned i = 0; i < 2 * GROUPS; i++) {
        snprintf(name, sizeof(name), "group-%u", i % GROUPS);
        add(index, "foo", name, &subscriptions[i]);
    }
    for (unsigned i = 0; i < GROUPS; i++) {
        cr_expect_eq(subscriptions[i].group, subscriptions[i + GROUPS].group);
        cr_expect_eq(index_own_count(&subscriptions[i]), 2);
    }
    for (unsigned i = 0; i < 2 * GROUPS; i += 2) /* both members of the even ones */
        index_remove(index, &subscriptions[i]);
    unsigned left = 0;
    for (struct queue_group *g = subscriptions[1].interest->groups; g != NULL; g = g->next_in_interest)
        left++;
    cr_expect_eq(left, GROUPS / 2);
    for (unsigned i = 1; i < 2 * GROUPS; i += 2)
        index_remove(index, &subscriptions[i]);
    cr_expect_eq(index_figures(index).interests, 0);
    index_free(index);
}

Test(index, the_walk_meets_every_interest_once)
{
    enum { MANY = 5000 };
    static struct subscription subscriptions[MANY];
    static bool met[MANY];
    char pattern[32];
    struct index *index = new_index();
    cr_expect_null(index_next(index, NULL));
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(pattern, sizeof(pattern), i % 3 == 0 ? "a.%u.>" : "a.%u", i);
        add(index, pattern, "", &subscriptions[i]);
        if (i % 500 != 0)
            continue;
        memset(met, 0, sizeof(met));
        unsigned walked = 0;
        for (struct interest *at = index_next(index, NULL); at != NULL;
             at = index_next(index, at), walked++) {
            size_t number = (size_t)(subscription_at(&at->plain, 0) - subscriptions);
            cr_assert_not(met[number]);
            met[number] = true;
        }
        cr_assert_eq(walked, i + 1);
    }
    for (unsigned i = 0; i < MANY; i++)
        index_remove(index, &subscriptions[i]);
    cr_expect_null(index_next(index, NULL));
    index_free(index);
}

/* Who knows XXH3 can compute subjects that would all come into one bucket, were the seed not each index's own
 * secret. */
Test(index, hashes_of_one_index_say_nothing_about_another)
{
    enum { PATTERNS = 200 };
    static struct subscription subscriptions[2][PATTERNS];
    struct index *indexes[2] = {index_new(), index_new()};
    unsigned same = 0;
    for (unsigned i = 0; i < PATTERNS; i++) {
        char pattern[32];
        snprintf(pattern, sizeof pattern, "subject.%u%s", i, i % 2 == 0 ? "" : ".*");
        for (unsigned k = 0; k < 2; k++) {
            cr_assert_not_null(indexes[k]);
            cr_assert_eq(index_add(indexes[k], text(pattern), TEXT(""), &subscriptions[k][i]), ERR_OK);
        }
        same += subscriptions[0][i].interest->hash == subscriptions[1][i].interest->hash;
    }
    cr_expect_leq(same, 1); /* by chance: 200 in 2^32 */
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < PATTERNS; i++)
            index_remove(indexes[k], &subscriptions[k][i]);
        index_free(indexes[k]);
    }
}

Test(index, how_many_want_a_pattern_is_known_over_all_shards)
{
    struct index *index = new_index();
    struct subscription a = {0}, b = {0}, worker = {0};
    cr_expect_eq(index_wanted(index, TEXT("foo"), TEXT("")), 0);
    add(index, "foo", "", &a);
    add(index, "foo", "", &b);
    remote(index, "foo", "", 3, 7); /* of plain interest only that there is some counts */
    cr_expect_eq(index_wanted(index, TEXT("foo"), TEXT("")), 3);
    cr_expect_eq(index_wanted(index, TEXT("foo"), TEXT("workers")), 0);
    add(index, "foo", "workers", &worker);
    remote(index, "foo", "workers", 1, 5);
    cr_expect_eq(index_wanted(index, TEXT("foo"), TEXT("workers")), 6);
    cr_expect_eq(index_wanted(index, TEXT("bar"), TEXT("workers")), 0);
    index_remove(index, &a);
    index_remove(index, &b);
    index_remove(index, &worker);
    cr_expect_eq(index_wanted(index, TEXT("foo"), TEXT("")), 1);
    index_free(index);
}

static unsigned clear_in_steps(struct index *index, unsigned shard, uint32_t most)
{
    uint32_t cursor = 0;
    unsigned steps = 1;
    for (uint32_t looks = most; !index_remote_clear(index, shard, &looks, &cursor, NULL, NULL);
         looks = most) {
        cr_expect_eq(looks, 0, "it goes on as long as it may");
        steps++;
    }
    return steps;
}

Test(index, what_is_said_twice_is_counted_once)
{
    struct index *index = new_index();
    remote(index, "foo", "", 3, 1);
    remote(index, "foo", "", 3, 2);
    remote(index, "foo", "q", 3, 1);
    remote(index, "foo", "q", 3, 7);
    remote(index, "foo", "r", 4, 1);
    cr_expect_eq(index_remote_count(index, 3), 2);
    cr_expect_eq(index_remote_count(index, 4), 1);
    remote(index, "foo", "r", 3, 0);
    remote(index, "bar", "", 3, 0);
    remote(index, "foo", "q", 3, 0);
    remote(index, "foo", "q", 3, 0);
    cr_expect_eq(index_remote_count(index, 3), 1);
    remote(index, "foo", "", 3, 0);
    cr_expect_eq(index_remote_count(index, 3), 0);
    cr_expect_eq(index_remote_count(index, 4), 1);
    index_free(index);
}

/* More groups under one pattern, and more patterns in one place of the table, than a step of forgetting
 * notes. */
Test(index, a_shard_is_forgotten_with_hundreds_of_groups_under_one_pattern)
{
    struct index *index = new_index();
    char group[16];
    for (int i = 0; i < 500; i++) {
        snprintf(group, sizeof group, "g%d", i);
        remote(index, "foo", group, 5, 1);
        if (i % 2 == 0)
            remote(index, "foo", group, 6, 1);
    }
    (void)clear_in_steps(index, 5, 1);
    cr_expect_eq(index_remote_count(index, 5), 0);
    cr_expect_eq(index_remote_count(index, 6), 250);
    cr_expect_eq(index_wanted(index, TEXT("foo"), TEXT("g2")), 1);
    cr_expect_eq(index_wanted(index, TEXT("foo"), TEXT("g3")), 0);
    index_free(index);
}

Test(index, a_shard_is_forgotten_whole_and_nobody_else)
{
    enum { PATTERNS = 3000 };
    struct index *index = new_index();
    struct subscription own = {0};
    char pattern[32];
    add(index, "p.7", "", &own);
    for (int i = 0; i < PATTERNS; i++) {
        snprintf(pattern, sizeof pattern, i % 3 == 0 ? "p.%d.*" : "p.%d", i);
        remote(index, pattern, i % 2 == 0 ? "q" : "", 5, 1);
        if (i % 10 == 0)
            remote(index, pattern, i % 2 == 0 ? "q" : "", 6, 2);
    }
    cr_expect_eq(index_remote_count(index, 5), PATTERNS);
    cr_expect_eq(index_remote_count(index, 6), PATTERNS / 10);
    unsigned steps = clear_in_steps(index, 5, 100);
    cr_expect(steps > PATTERNS / 1000 && steps < PATTERNS, "%u steps", steps);
    cr_expect_eq(index_remote_count(index, 5), 0);
    cr_expect_eq(index_remote_count(index, 6), PATTERNS / 10);
    for (int i = 0; i < PATTERNS; i++) {
        snprintf(pattern, sizeof pattern, i % 3 == 0 ? "p.%d.*" : "p.%d", i);
        uint32_t others = i % 10 == 0 ? (i % 2 == 0 ? 2 : 1) : 0;
        cr_expect_eq(index_wanted(index, text(pattern), text(i % 2 == 0 ? "q" : "")), others + (i == 7), "%s",
                     pattern);
    }
    cr_assert_eq(clear_in_steps(index, 6, UINT32_MAX), 1);
    cr_expect_eq(index_figures(index).interests, 1);
    index_remove(index, &own);
    index_free(index);
}

Test(index, remote_members_of_chosen_shards_are_drawn_by_their_counts)
{
    struct index *index = new_index();
    struct match_cache *cache = match_cache_new(16);
    const struct match *match = NULL;
    cr_assert_not_null(cache);
    remote(index, "foo", "q", 1, 2);
    remote(index, "foo", "q", 2, 3);
    remote(index, "*", "q", 9, 4);
    cr_assert_eq(match_cache_find(cache, index, TEXT("foo"), &match), ERR_OK);
    cr_assert_eq(match->group_count, 1);
    const struct match_group *group = &match->groups[0];
    cr_expect_eq(match_group_remote_size(group, UINT64_MAX), 9);
    cr_expect_eq(match_group_remote_size(group, 1ULL << 1 | 1ULL << 9), 6);
    cr_expect_eq(match_group_remote_size(group, 1ULL << 3), 0);
    uint32_t drawn[64] = {0};
    for (uint32_t i = 0; i < 6; i++)
        drawn[match_group_remote_member(group, 1ULL << 1 | 1ULL << 9, i)]++;
    cr_expect(drawn[1] == 2 && drawn[9] == 4 && drawn[2] == 0);
    match_cache_free(cache);
    index_free(index);
}
