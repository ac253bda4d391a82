/* tests/unit/net/test_cluster_pool.c - which account goes over which connection (routes.md 13.1), and what
 * the options may say. */
#include "net/cluster_pool.h"

#include <criterion/criterion.h>

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
