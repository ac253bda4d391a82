/* tests/unit/net/test_cluster_pool.c - which account goes over which connection (routes.md 13.1), and what
 * the options may say. */
#include "net/cluster_pool.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct slot_case {
    const char *account;
    int64_t pool_size;
    uint8_t line;
};

/* The table of routes.md 13.1; that of 3 was seen on real servers for ACC and BCC. */
static const struct slot_case slot_cases[] = {
    {"$G", 3, 2},  {"$G", 5, 3},  {"$SYS", 3, 0}, {"$SYS", 5, 0}, {"ACC", 3, 1},
    {"ACC", 5, 3}, {"BCC", 3, 2}, {"BCC", 5, 1},  {"SVC", 3, 0},  {"SVC", 5, 4},
    {"CLI", 3, 1}, {"CLI", 5, 4}, {"ACC", 1, 0},  {"ACC", -1, 0},
};

Test(cluster_pool, an_account_has_the_slot_that_all_servers_compute)
{
    for (const struct slot_case *c = slot_cases; c < slot_cases + COUNT_OF(slot_cases); c++) {
        struct cluster_pool pool = {.size = c->pool_size};
        cr_expect_eq(cluster_pool_line(&pool, text(c->account)), c->line, "%s of %d: %d", c->account,
                     (int)c->pool_size, cluster_pool_line(&pool, text(c->account)));
    }
}

Test(cluster_pool, an_account_of_the_list_has_a_line_of_its_own)
{
    const struct bytes accounts[] = {TEXT("BCC"), TEXT("ACC")};
    struct cluster_pool pool = {.size = 3, .accounts = accounts, .account_count = 2};
    cr_expect_eq(cluster_pool_line(&pool, TEXT("ACC")), ROUTE_POOL_MAX + 1);
    cr_expect_eq(cluster_pool_line(&pool, TEXT("CLI")), 1);
    cr_expect_eq(cluster_pool_dedicated(&pool, TEXT("CLI")), ROUTE_LINE_NONE);
    cr_expect(bytes_equal(cluster_pool_account(&pool, ROUTE_POOL_MAX), TEXT("BCC")));
}

struct finish_case {
    int64_t size;
    uint32_t accounts; /* so many of A, B, A */
    const char *system;
    const char *error; /* NULL: good, with: */
    int64_t size_after;
    uint32_t accounts_after;
};

static const struct finish_case finish_cases[] = {
    {0, 0, "$SYS", NULL, 3, 1},
    {0, 0, "", NULL, 3, 0},
    {7, 2, "$SYS", NULL, 7, 3},
    {7, 2, "B", NULL, 7, 2},
    {-5, 0, "$SYS", NULL, -1, 0},
    {-1, 1, "$SYS", "pool_size cannot be negative if pinned accounts are specified", 0, 0},
    {3, 3, "$SYS", "found duplicate account name \"A\" in pinned accounts list [\"A\" \"B\" \"A\"]", 0, 0},
};

Test(cluster_pool, defaults_are_set_and_contradictions_refused)
{
    static const struct bytes accounts[] = {TEXT("A"), TEXT("B"), TEXT("A")};
    for (const struct finish_case *c = finish_cases; c < finish_cases + COUNT_OF(finish_cases); c++) {
        struct cluster_pool pool = {.size = c->size, .accounts = accounts, .account_count = c->accounts};
        struct arena arena = {0};
        struct config_text why = {0};
        bool good = cluster_pool_finish(&pool, text(c->system), &arena, &why);
        cr_expect_str_eq(config_text_string(&why), c->error == NULL ? "" : c->error);
        cr_expect_eq(good, c->error == NULL, "%lld", (long long)c->size);
        if (c->error == NULL) {
            cr_expect_eq(pool.size, c->size_after);
            cr_expect_eq(pool.account_count, c->accounts_after);
            if (c->system[0] != 0 && pool.size > 0)
                cr_expect_neq(cluster_pool_dedicated(&pool, text(c->system)), ROUTE_LINE_NONE);
        }
        config_text_close(&why);
        arena_close(&arena);
    }
}

enum { NAMES_MAX = 4 };

struct inherit_case {
    const char *before[NAMES_MAX]; /* NULL: an empty place */
    uint32_t before_count;
    const char *after[NAMES_MAX];
    uint32_t after_count;
    const char *places; /* a blank behind each; '-': an empty one */
};

static const struct inherit_case inherit_cases[] = {
    {{"A", "B"}, 2, {"B", "A"}, 2, "A B "},
    {{"A", "B"}, 2, {"B"}, 1, "- B "},
    {{"A", "B"}, 2, {"C", "B"}, 2, "- B C "}, /* A's routes may still be there */
    {{NULL, "B"}, 2, {"C", "B", "D"}, 3, "C B D "},
    {{"A"}, 1, {NULL}, 0, ""},
    {{NULL}, 0, {"A", "B"}, 2, "A B "},
};

static uint32_t names_set(struct bytes *to, const char *const *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = names[i] == NULL ? (struct bytes){NULL, 0} : text(names[i]);
    return count;
}

Test(cluster_pool, a_reload_leaves_accounts_on_their_lines)
{
    for (const struct inherit_case *c = inherit_cases; c < inherit_cases + COUNT_OF(inherit_cases); c++) {
        struct bytes old[NAMES_MAX], new[NAMES_MAX];
        char places[64] = "";
        struct arena arena = {0};
        struct cluster_pool before = {.size = 3, .accounts = old};
        struct cluster_pool after = {.size = 3, .accounts = new};
        before.account_count = names_set(old, c->before, c->before_count);
        after.account_count = names_set(new, c->after, c->after_count);
        cr_assert(cluster_pool_inherit(&after, &before, &arena));
        for (uint32_t i = 0; i < after.account_count; i++)
            snprintf(places + strlen(places), sizeof places - strlen(places), "%.*s ",
                     BYTES_PRINTF(after.accounts[i].count == 0 ? TEXT("-") : after.accounts[i]));
        cr_expect_str_eq(places, c->places);
        arena_close(&arena);
    }
}

Test(cluster_pool, a_full_list_can_be_replaced_as_a_whole)
{
    static char names[2 * ROUTE_ACCOUNTS_MAX][16];
    struct bytes old[ROUTE_ACCOUNTS_MAX], new[ROUTE_ACCOUNTS_MAX];
    struct arena arena = {0};
    for (int i = 0; i < 2 * ROUTE_ACCOUNTS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "N%d", i);
        if (i < ROUTE_ACCOUNTS_MAX)
            old[i] = text(names[i]);
        else
            new[i - ROUTE_ACCOUNTS_MAX] = text(names[i]);
    }
    struct cluster_pool before = {.size = 3, .accounts = old, .account_count = ROUTE_ACCOUNTS_MAX};
    struct cluster_pool after = {.size = 3, .accounts = new, .account_count = ROUTE_ACCOUNTS_MAX};
    cr_expect(!cluster_pool_same_accounts(&before, &after));
    cr_assert(cluster_pool_inherit(&after, &before, &arena));
    cr_expect_eq(after.account_count, ROUTE_ACCOUNTS_MAX);
    for (int i = 0; i < ROUTE_ACCOUNTS_MAX; i++)
        cr_expect_neq(cluster_pool_dedicated(&after, text(names[ROUTE_ACCOUNTS_MAX + i])), ROUTE_LINE_NONE);
    cr_expect(cluster_pool_same_accounts(&after, &after));
    arena_close(&arena);
}

Test(cluster_pool, empty_places_are_nobodys)
{
    const struct bytes accounts[] = {{NULL, 0}, TEXT("A")}, same[] = {TEXT("A")};
    struct cluster_pool pool = {.size = 3, .accounts = accounts, .account_count = 2};
    struct cluster_pool other = {.size = 3, .accounts = same, .account_count = 1};
    cr_expect_eq(cluster_pool_dedicated(&pool, (struct bytes){NULL, 0}), ROUTE_LINE_NONE);
    cr_expect_eq(cluster_pool_account(&pool, ROUTE_POOL_MAX).count, 0);
    cr_expect_eq(cluster_pool_account(&pool, ROUTE_LINES_MAX - 1).count, 0);
    cr_expect(cluster_pool_same(&pool, &other));
    other.size = 4;
    cr_expect(!cluster_pool_same(&pool, &other) && cluster_pool_same_accounts(&pool, &other));
}
