/* core/security/permissions.c, permissions_config.c and permission_cache.c: what a `permissions` map lets
 * through (spec/security.md 3), and which maps are none. */
#include "core/base/language.h"
#include "core/security/permission_cache.h"
#include "tests/unit/core/security/configured.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* The permissions of user u, whose map is `map`. */
static const struct security_permissions *permit(struct configured *c, const char *map)
{
    char config[1024];
    snprintf(config, sizeof config, "authorization { users: [{user: u, permissions: %s }] }", map);
    cr_assert_str_eq(configure(c, config), "", "%s", map);
    return security_user_find(&c->options.users, TEXT("u"))->permissions;
}

Test(permissions, say_what_may_be_published)
{
    static const struct {
        const char *map, *subject;
        bool allowed;
    } rows[] = {
        {"{}", "x", true},
        {"{publish: [foo, \"bar.*\"]}", "foo", true},
        {"{publish: [foo, \"bar.*\"]}", "bar.1", true},
        {"{publish: [foo, \"bar.*\"]}", "bar.1.2", false},
        {"{publish: [foo, \"bar.*\"]}", "bad..subj", false},
        {"{pub: \"a.>\"}", "a.b.c", true},
        {"{import: \"a.>\"}", "b", false},
        {"{publish: {allow: []}}", "x", true},
        {"{publish: {}}", "x", true},
        {"{publish: {deny: \"a.*\"}}", "a.b", false},
        {"{publish: {deny: \"a.*\"}}", "b", true},
        {"{publish: {allow: \">\", deny: \"a.*\"}}", "a.b", false},
        {"{publish: {allow: \">\", deny: \"a.*\"}}", "a.b.c", true},
        {"{subscribe: x}", "y", true},
        {"{allow_responses: true}", "x", false},
        {"{allow_responses: true, publish: x}", "x", true},
        {"{publish: x, allow_responses: {max: 3}}", "y", false},
        {"{allow_responses: true, publish: {deny: x}}", "zzz", false},
        {"{allow_responses: false}", "x", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct configured c;
        struct permission_cache cache = {0};
        const struct security_permissions *permissions = permit(&c, rows[i].map);
        for (int again = 0; again < 2; again++)
            cr_expect_eq(permission_cache_publish(&cache, permissions, text(rows[i].subject)),
                         rows[i].allowed, "%s %s", rows[i].map, rows[i].subject);
        cr_expect_eq(permissions_publish(permissions, text(rows[i].subject)), rows[i].allowed);
        permission_cache_close(&cache);
        configured_close(&c);
    }
}

#define NO PERMISSION_REFUSED
#define YES PERMISSION_GRANTED
#define PART PERMISSION_FILTERED

Test(permissions, say_who_may_subscribe)
{
    static const struct {
        const char *map, *subject, *queue;
        enum permission_grant grant;
    } rows[] = {
        {"{}", ">", "", YES},
        {"{subscribe: \"q.*\"}", "q.1", "", YES},
        {"{subscribe: \"q.*\"}", "q.*", "", YES},
        {"{subscribe: \"q.*\"}", "q.>", "", NO}, /* nats-server grants it */
        {"{subscribe: \"q.*\"}", ">", "", NO},
        {"{subscribe: \"q.*\"}", "*", "", NO},
        {"{subscribe: \"q.*\"}", "q..1", "", NO},
        {"{subscribe: [\"q.*\", \"q.*.>\"]}", "q.>", "", YES},
        {"{subscribe: {deny: \"bar.*\"}}", "bar.*", "", NO},
        {"{subscribe: {deny: \"bar.*\"}}", "bar.>", "", NO},
        {"{subscribe: {deny: \"bar.*\"}}", ">", "", PART},
        {"{subscribe: {deny: \"bar.*\"}}", "*.a", "", PART}, /* nats-server lets bar.a through */
        {"{subscribe: {deny: \"bar.*\"}}", "*", "", YES},
        {"{subscribe: {deny: \"bar.*\"}}", "*.a.b", "", YES},
        {"{subscribe: {deny: foo}}", "foo", "", NO},
        {"{subscribe: {deny: foo}}", "foo", "q", NO},
        {"{subscribe: {deny: foo}}", ">", "q", PART},
        {"{subscribe: {allow: \"a.>\", deny: \"a.b\"}}", "a.*", "", PART},
        {"{subscribe: {allow: \"a.>\", deny: \"a.b\"}}", "a.c", "", YES},
        /* the table of spec/security.md 3.3 */
        {"{subscribe: foo}", "foo", "", YES},
        {"{subscribe: foo}", "foo", "v1", YES},
        {"{subscribe: \"foo v1\"}", "foo", "", NO},
        {"{subscribe: \"foo v1\"}", "foo", "v1", YES},
        {"{subscribe: \"foo v1\"}", "foo", "other", NO},
        {"{subscribe: [foo, \"foo v1\"]}", "foo", "", YES},
        {"{subscribe: [foo, \"foo v1\"]}", "foo", "v1", YES},
        {"{subscribe: [foo, \"foo v1\"]}", "foo", "other", NO},
        {"{subscribe: \"foo >\"}", "foo", "", NO},
        {"{subscribe: \"foo >\"}", "foo", "other", YES},
        {"{subscribe: \"foo v2.*\"}", "foo", "v1", NO},
        {"{subscribe: \"foo v2.*\"}", "foo", "v2.a", YES},
        {"{subscribe: \"foo v2.*\"}", "foo", "v2.a.b", NO},
        {"{subscribe: \"foo.* v1\"}", "foo.*", "v1", YES},
        {"{subscribe: \"foo.* v1\"}", "foo.>", "v1", NO},
        /* denied by queue */
        {"{subscribe: {deny: \"foo v1\"}}", "foo", "", YES},
        {"{subscribe: {deny: \"foo v1\"}}", "foo", "v1", NO},
        {"{subscribe: {deny: \"foo v1\"}}", "foo", "v2", YES},
        {"{subscribe: {deny: [foo, \"foo v1\"]}}", "foo", "v2", NO}, /* nats-server grants it */
        {"{subscribe: {deny: \"foo v1\"}}", "*", "v1", PART},
        {"{subscribe: {deny: \"foo v1\"}}", "*", "v2", YES},
        {"{subscribe: {deny: \"foo v1\"}}", "*", "", YES},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct configured c;
        const struct security_permissions *permissions = permit(&c, rows[i].map);
        cr_expect_eq(permissions_subscribe(permissions, text(rows[i].subject), text(rows[i].queue)),
                     rows[i].grant, "%s %s %s", rows[i].map, rows[i].subject, rows[i].queue);
        configured_close(&c);
    }
}

Test(permissions, hold_back_what_is_denied_from_wider_subscriptions)
{
    static const struct {
        const char *map, *subject, *queue;
        bool delivered;
    } rows[] = {
        {"{subscribe: {deny: \"bar.*\"}}", "bar.a", "", false},
        {"{subscribe: {deny: \"bar.*\"}}", "baz.a", "", true},
        {"{subscribe: {deny: \"bar.*\"}}", "bar.a", "q", false},
        {"{subscribe: {deny: \"foo v1\"}}", "foo", "v1", false},
        {"{subscribe: {deny: \"foo v1\"}}", "foo", "v2", true},
        {"{subscribe: {deny: \"foo v1\"}}", "foo", "", true},
        {"{subscribe: {deny: \"foo v1\"}}", "bar", "v1", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct configured c;
        struct permission_cache cache = {0};
        const struct security_permissions *permissions = permit(&c, rows[i].map);
        cr_expect_eq(permissions_deliver(permissions, text(rows[i].subject), text(rows[i].queue)),
                     rows[i].delivered, "%s %s", rows[i].map, rows[i].subject);
        for (int again = 0; again < 2 && rows[i].queue[0] == 0; again++)
            cr_expect_eq(permission_cache_deliver(&cache, permissions, text(rows[i].subject)),
                         rows[i].delivered);
        permission_cache_close(&cache);
        configured_close(&c);
    }
}

/* Ten thousand subjects through a cache of two thousand entries, for two users and both directions: every
 * answer is the one that a look into the lists gives. */
/* Where permissions that are gone were, others may lie. */
Test(permissions, one_users_answers_are_forgotten_and_no_others)
{
    struct configured c[3];
    struct permission_cache cache = {0};
    const struct security_permissions *stays = permit(&c[0], "{publish: \"a\", subscribe: \"a\"}");
    struct security_permissions place = *permit(&c[1], "{publish: \"a\", subscribe: {deny: \"b\"}}");
    cr_expect(permission_cache_publish(&cache, stays, TEXT("a")));
    cr_expect(permission_cache_publish(&cache, &place, TEXT("a")));
    cr_expect(permission_cache_deliver(&cache, &place, TEXT("a")));
    permission_line_note(&cache, &place.publish, 7);
    permission_line_note(&cache, &stays->publish, 8);
    permission_cache_forget_one(&cache, &place);
    place = *permit(&c[2], "{publish: \"b\", subscribe: {deny: \"a\"}}");
    cr_expect_not(permission_cache_publish(&cache, &place, TEXT("a")));
    cr_expect_not(permission_cache_deliver(&cache, &place, TEXT("a")));
    cr_expect_not(permission_line_known(&cache, &place.publish, 7));
    cr_expect(permission_line_known(&cache, &stays->publish, 8));
    cr_expect(permission_cache_publish(&cache, stays, TEXT("a")));
    permission_cache_close(&cache);
    for (int i = 0; i < 3; i++)
        configured_close(&c[i]);
}

Test(permissions, are_remembered_right_however_many_subjects_there_are)
{
    struct configured c[2];
    struct permission_cache cache = {0};
    const struct security_permissions *users[] = {
        permit(&c[0], "{publish: {allow: \"s.*\", deny: [\"s.7\", \"s.77\"]}, subscribe: {deny: \"s.8\"}}"),
        permit(&c[1], "{publish: {allow: [\"s.1\", \"s.7\"]}, subscribe: {deny: \"s.*\"}}"),
    };
    for (unsigned i = 0; i < 40000; i++) {
        char subject[80];
        int count = snprintf(subject, sizeof subject, "s.%u", i % 3 == 0 ? i % 10 : i % 10000);
        if (i % 50 == 0) /* longer than what is kept */
            count = snprintf(subject, sizeof subject, "s.%070u", i);
        const struct security_permissions *user = users[i / 2 % 2];
        struct bytes bytes = bytes_of(subject, (size_t)count);
        cr_assert_eq(permission_cache_publish(&cache, user, bytes), permissions_publish(user, bytes), "%s",
                     subject);
        cr_assert_eq(permission_cache_deliver(&cache, user, bytes),
                     permissions_deliver(user, bytes, (struct bytes){0}), "%s", subject);
        if (i == 20000)
            permission_cache_forget(&cache);
    }
    permission_cache_close(&cache);
    configured_close(&c[0]);
    configured_close(&c[1]);
}

Test(permissions, of_a_block_are_for_users_without_their_own)
{
    struct configured c;
    cr_assert_str_eq(configure(&c,
                               "authorization { users: [{user: a}, {user: b, permissions: {subscribe: x}}]\n"
                               "default_permissions: {publish: d} }"),
                     "");
    const struct security_permissions *a = security_user_find(&c.options.users, TEXT("a"))->permissions;
    const struct security_permissions *b = security_user_find(&c.options.users, TEXT("b"))->permissions;
    cr_expect_not(permissions_publish(a, TEXT("x")));
    cr_expect(permissions_publish(a, TEXT("d")));
    cr_expect(permissions_publish(b, TEXT("x")), "nothing is merged");
    configured_close(&c);
}

Test(permissions, for_responses_have_defaults)
{
    static const struct {
        const char *map;
        int64_t max, expires_ms;
    } rows[] = {
        {"{allow_responses: true}", 1, 120000},
        {"{allow_responses: {}}", 1, 120000},
        {"{allow_responses: {max: 0, expires: \"0s\"}}", 1, 120000},
        {"{allow_responses: {max: 5, expires: \"1m\"}}", 5, 60000},
        {"{publish_allow_responses: {max_msgs: -1, ttl: \"-1s\"}}", -1, -1000},
        {"{allow_responses: {max_responses: 2, expiration: \"500ms\"}}", 2, 500},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct configured c;
        const struct permission_responses *responses = &permit(&c, rows[i].map)->responses;
        cr_expect(responses->given);
        cr_expect_eq(responses->count_max, rows[i].max, "%s", rows[i].map);
        cr_expect_eq(responses->expires_ns, rows[i].expires_ms * 1000000, "%s", rows[i].map);
        configured_close(&c);
    }
}

/* As nats-server says them, with the place where the mistake is. */
Test(permissions, that_make_no_sense_are_told_where)
{
    static const struct {
        const char *map, *error;
    } rows[] = {
        {"5", "Expected permissions to be a map/struct, got 5"},
        {"{publish: [\"foo bar\"]}", "subject \"foo bar\" is not a valid subject"},
        {"{publish: \"a..b\"}", "subject \"a..b\" is not a valid subject"},
        {"{subscribe: \"foo bar baz\"}", "subject \"foo bar baz\" is not a valid subject"},
        {"{subscribe: \"foo. bar\"}", "subject \"foo.\" is not a valid subject"},
        {"{subscribe: \"foo b..r\"}", "queue \"b..r\" is not a valid queue"},
        {"{subscribe: \"\"}", "subject \"\" is not a valid subject"},
        {"{subscribe: [foo, 5 ]}", "Subject in permissions array cannot be cast to string"},
        {"{subscribe: 5}", "Expected subject permissions to be a subject, or array of subjects, got int64"},
        {"{subscribe: {allow: 5}}",
         "Expected subject permissions to be a subject, or array of subjects, got int64"},
        {"{subscribe: {alow: x}}",
         "Unknown field name \"alow\" parsing subject permissions, only 'allow' or 'deny' are permitted"},
        {"{subscrib: x}", "Unknown field \"subscrib\" parsing permissions"},
        {"{allow_responses: 5}", "error parsing response permissions, expected a boolean or a map"},
        {"{allow_responses: {max: x}}", "interface conversion: interface {} is string, not int64"},
        {"{allow_responses: {expires: 5}}", "error parsing expires, not a duration string"},
        {"{allow_responses: {expires: \"5x\"}}",
         "error parsing expires: time: unknown unit \"x\" in duration \"5x\""},
        {"{allow_responses: {maxx: 5}}", "Unknown field \"maxx\" parsing permissions"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct configured c;
        char config[1024];
        snprintf(config, sizeof config, "authorization { users: [{user: u, permissions: %s }] }",
                 rows[i].map);
        const char *error = configure(&c, config);
        const char *sentence = strstr(error, ": ");
        cr_assert_not_null(sentence, "%s", rows[i].map);
        cr_expect_eq(strncmp(error, "test.conf:1:", 12), 0, "%s", error);
        cr_expect_eq(strncmp(sentence + 2, rows[i].error, strlen(rows[i].error)), 0, "%s: %s", rows[i].map,
                     error);
        configured_close(&c);
    }
}
