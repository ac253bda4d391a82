/* core/security/user.c: users in one table, whichever list named them. */
#include "core/security/certificate_names.h"
#include "core/security/user.h"
#include "tests/unit/core/security/configured.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NKEY "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"

Test(user, is_found_by_name_or_by_key_and_not_by_the_other)
{
    struct configured c;
    cr_assert_str_eq(configure(&c, "authorization { users: [{user: ann, password: p}, {nkey: " NKEY "}] }"),
                     "");
    const struct security_users *users = &c.options.users;
    cr_expect_eq(users->count, 2);
    cr_expect_eq(users->nkey_count, 1);
    cr_expect_not_null(security_user_find(users, TEXT("ann")));
    cr_expect_null(security_user_find(users, TEXT("An")));
    cr_expect_null(security_user_find(users, TEXT("")));
    cr_expect_null(security_user_find(users, TEXT(NKEY)));
    cr_expect_null(security_user_find_nkey(users, TEXT("ann")));
    const struct security_user *key = security_user_find_nkey(users, TEXT(NKEY));
    cr_assert_not_null(key);
    cr_expect_eq(security_user_again(users, key), key);
    configured_close(&c);
}

Test(user, of_an_empty_table_is_not_there)
{
    static const struct security_users none = {0};
    struct dn dn;
    cr_expect_null(security_user_find(&none, TEXT("ann")));
    cr_expect_null(security_user_find_nkey(&none, TEXT(NKEY)));
    cr_assert(dn_parse(&dn, TEXT("CN=a")));
    cr_expect_null(security_user_find_dn(&none, &dn, CONNECTION_TYPE_STANDARD));
}

Test(user, is_found_among_thousands_also_by_dn)
{
    enum { USERS = 5000 };
    static struct security_user users[USERS];
    static char names[USERS][24];
    struct security_users table = {0};
    struct arena arena = {0};
    for (int i = 0; i < USERS; i++) {
        int count = snprintf(names[i], sizeof names[i], i % 2 == 0 ? "u%d" : "CN=u%d,O=Org", i);
        users[i].name = bytes_of(names[i], (size_t)count);
        cr_assert_eq(security_users_add(&table, &users[i], &arena), ERR_OK);
    }
    int walked = 0;
    for (const struct security_user *user = table.first; user != NULL; user = user->next)
        cr_assert_eq(user, &users[walked++], "in the order of joining");
    cr_expect_eq(walked, USERS);
    for (int i = 0; i < USERS; i++) {
        struct dn dn;
        char reordered[32];
        cr_assert_eq(security_user_find(&table, users[i].name), &users[i]);
        if (i % 2 == 0)
            continue;
        int count = snprintf(reordered, sizeof reordered, "o=Org, cn=u%d", i);
        cr_assert(dn_parse(&dn, bytes_of(reordered, (size_t)count)));
        cr_assert_eq(security_user_find_dn(&table, &dn, CONNECTION_TYPE_STANDARD), &users[i]);
    }
    struct security_user again = {.name = users[7].name};
    cr_expect_eq(security_users_add(&table, &again, &arena), ERR_EXISTS);
    cr_expect_eq(table.count, USERS);
    arena_close(&arena);
}

/* As accounts do it: several lists, each with its account and its defaults. */
Test(user, that_two_lists_name_is_told_at_the_second)
{
    static struct security_user first[] = {{.name = TEXT("ann")}, {.name = TEXT("bob")}};
    static struct security_user second[] = {{.name = TEXT("cat")}, {.name = TEXT("ann")}};
    static const char one, two; /* stand for accounts */
    struct security_users table = {0};
    struct arena arena = {0};
    struct option_errors errors = {0};
    struct config_position at = {.file = "f", .line = 3, .column = 4};
    first[0].next = &first[1];
    second[0].next = &second[1];
    struct security_user_list list = {&first[0], &first[1]};
    security_users_join(&table, &list, (const void *)&one, NULL, at, &arena, &errors);
    cr_expect_null(list.first);
    list = (struct security_user_list){&second[0], &second[1]};
    security_users_join(&table, &list, (const void *)&two, NULL, at, &arena, &errors);
    cr_expect_str_eq(config_text_string(&errors.errors), "f:3:4: Duplicate user \"ann\" detected\n");
    cr_expect_eq(table.count, 3);
    cr_expect_eq((const void *)security_user_find(&table, TEXT("ann"))->account, (const void *)&one);
    cr_expect_eq((const void *)security_user_find(&table, TEXT("cat"))->account, (const void *)&two);
    option_errors_close(&errors);
    arena_close(&arena);
}

Test(user, comes_in_the_ways_that_its_list_names)
{
    static const struct {
        const char *types;
        uint8_t bits;
    } rows[] = {
        {"[]", 0},
        {"standard", CONNECTION_TYPE_STANDARD},
        {"[STANDARD, WebSocket]", CONNECTION_TYPE_STANDARD | CONNECTION_TYPE_WEBSOCKET},
        {"[leafnode, LEAFNODE_WS, mqtt, MQTT_WS, in_process]",
         CONNECTION_TYPE_LEAFNODE | CONNECTION_TYPE_LEAFNODE_WS | CONNECTION_TYPE_MQTT |
             CONNECTION_TYPE_MQTT_WS | CONNECTION_TYPE_IN_PROCESS},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct configured c;
        char config[256];
        snprintf(config, sizeof config, "authorization { users: [{user: u, connection_types: %s}] }",
                 rows[i].types);
        cr_assert_str_eq(configure(&c, config), "");
        const struct security_user *user = security_user_find(&c.options.users, TEXT("u"));
        cr_expect_eq(user->connection_types, rows[i].bits, "%s", rows[i].types);
        cr_expect_eq(security_user_may_connect(user, CONNECTION_TYPE_STANDARD),
                     rows[i].bits == 0 || (rows[i].bits & CONNECTION_TYPE_STANDARD) != 0);
        configured_close(&c);
    }
}
