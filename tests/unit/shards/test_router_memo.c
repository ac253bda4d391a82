/* tests/unit/shards/test_router_memo.c - what a line hits where most lines hit nothing: when a cache learns
 * of it, and when a memo answers alone. */
#include "shards/router_memo.h"

#include "core/base/language.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct fixture {
    struct index *index;
    struct match_cache *cache;
    struct router_memo memo;
};

static struct fixture open_fixture(void)
{
    struct fixture made = {.index = index_new(), .cache = match_cache_new(64)};
    cr_assert(made.index != NULL && made.cache != NULL);
    return made;
}

static void close_fixture(struct fixture *fixture)
{
    match_cache_free(fixture->cache);
    index_free(fixture->index);
}

static void want(struct fixture *fixture, const char *pattern, uint32_t count)
{
    cr_assert_eq(index_remote_set(fixture->index, text(pattern), TEXT(""), 1, count), ERR_OK);
}

static uint32_t looked(struct fixture *fixture, const char *subject, uint64_t line_serial)
{
    const struct match *match =
        router_memo_look(&fixture->memo, fixture->cache, fixture->index, text(subject), line_serial);
    cr_assert_not_null(match);
    cr_assert_eq(match->group_count, 0);
    return match->interest_count;
}

Test(router_memo, subjects_that_hit_nothing_are_kept_nowhere)
{
    struct fixture fixture = open_fixture();
    want(&fixture, "wanted.*", 1);
    char subject[16];
    for (uint64_t serial = 2; serial < 1000; serial++) {
        snprintf(subject, sizeof subject, "no.%llu", (unsigned long long)serial);
        cr_expect_eq(looked(&fixture, subject, serial % 3 == 0 ? 0 : serial), 0);
        cr_expect_not(router_memo_good(&fixture.memo, serial, fixture.index));
    }
    cr_expect_eq(match_cache_figures(fixture.cache).entries_used, 0);
    close_fixture(&fixture);
}

Test(router_memo, a_line_that_comes_again_is_kept_in_the_end)
{
    struct fixture fixture = open_fixture();
    want(&fixture, "wanted.*", 1);
    unsigned looks = 0;
    for (; looks < 100 && !router_memo_good(&fixture.memo, 7, fixture.index); looks++)
        cr_expect_eq(looked(&fixture, "no", 7), 0);
    cr_expect(looks > 3 && looks < 20, "%u", looks);
    cr_expect_eq(match_cache_figures(fixture.cache).entries_used, 1);
    want(&fixture, "no", 1);
    cr_expect_not(router_memo_good(&fixture.memo, 7, fixture.index));
    cr_expect_eq(looked(&fixture, "no", 7), 1);
    cr_expect(router_memo_good(&fixture.memo, 7, fixture.index));
    want(&fixture, "no", 0);
    cr_expect_eq(looked(&fixture, "no", 7), 0);
    close_fixture(&fixture);
}

Test(router_memo, interest_that_comes_between_two_looks_is_seen)
{
    struct fixture fixture = open_fixture();
    cr_expect_eq(looked(&fixture, "a.b", 7), 0);
    want(&fixture, "a.b", 1);
    cr_expect_eq(looked(&fixture, "a.b", 7), 1);
    want(&fixture, "*.b", 1);
    cr_expect_eq(looked(&fixture, "a.b", 0), 2);
    want(&fixture, "*.b", 0);
    want(&fixture, "a.b", 0);
    cr_expect_eq(looked(&fixture, "a.b", 8), 0);
    close_fixture(&fixture);
}

Test(router_memo, one_memo_serves_several_lines_and_indexes)
{
    struct fixture fixture = open_fixture();
    struct index *other = index_new();
    cr_assert_not_null(other);
    want(&fixture, "a", 1);
    cr_expect_eq(looked(&fixture, "a", 7), 1);
    cr_expect(router_memo_good(&fixture.memo, 7, fixture.index));
    cr_expect_not(router_memo_good(&fixture.memo, 7, other));
    cr_expect_eq(router_memo_look(&fixture.memo, fixture.cache, other, TEXT("a"), 7)->interest_count, 0);
    cr_expect_not(router_memo_good(&fixture.memo, 7, other));
    cr_expect_eq(looked(&fixture, "a", 7), 1);
    cr_expect_eq(looked(&fixture, "b", 8), 0);
    cr_expect_eq(looked(&fixture, "a", 7), 1);
    index_free(other);
    close_fixture(&fixture);
}
