/* store/limits.c: which limits count for which channel; spec/streaming-stores-and-clustering.md 7.1 to 7.3.
 */
#include "core/base/language.h"
#include "store/limits.h"

#include <criterion/criterion.h>

#define RULE(n, m, b, a, s, i)                                                                               \
    {                                                                                                        \
        .name = {(const uint8_t *)(n), sizeof(n) - 1}, .messages_max = (m), .bytes_max = (b),                \
        .age_max_ns = (a), .subscriptions_max = (s), .inactivity_max_ns = (i)                                \
    }

static const struct store_limits global = {
    .messages_max = 11, .bytes_max = 12, .age_max_ns = 13, .subscriptions_max = 14, .inactivity_max_ns = 15};

/* In no order that would help. */
static const struct store_limits_rule rules[] = {
    RULE("bar.baz.boz", -1, -1, -1, -1, 120), RULE("foo.*.>", -1, 20, -1, -1, -1),
    RULE("foo.a.b.c", -1, -1, -1, 40, -1),    RULE("*.*", -1, 2, -1, -1, -1),
    RULE("bar.*.>", 90, -1, -1, -1, -1),      RULE("foo.baz", -1, 70, -1, 80, -1),
    RULE("foo.>", 10, -1, -1, -1, -1),        RULE("foo.d.e.f", 50, -1, 60, -1, -1),
    RULE("*.>", -1, -1, -1, 5, -1),           RULE("foo.*.*.>", -1, -1, 30, -1, -1),
    RULE("bar.baz.>", -1, 100, -1, -1, 110),  RULE("zero", 0, 0, 0, 0, 0),
};

Test(limits, are_inherited_from_the_wider_rule)
{
    static const struct {
        const char *name;
        uint64_t messages, bytes;
        int64_t age;
        uint32_t subscriptions;
        int64_t inactivity;
    } rows[] = {
        {"other", 11, 12, 13, 14, 15},
        {"x.y.z", 11, 12, 13, 5, 15},
        {"x.y", 11, 2, 13, 5, 15},
        {"foo.x", 10, 2, 13, 5, 15},
        {"foo.x.y", 10, 20, 13, 5, 15},
        {"foo.x.y.z", 10, 20, 30, 5, 15},
        {"foo.a.b.c", 10, 20, 30, 40, 15},
        {"foo.d.e.f", 50, 20, 60, 5, 15},
        {"foo.baz", 10, 70, 13, 80, 15},
        {"bar.x.y", 90, 12, 13, 5, 15},
        {"bar.baz.x", 90, 100, 13, 5, 110},
        {"bar.baz.boz", 90, 100, 13, 5, 120},
        {"zero", 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct store_limits limits = limits_of(&global, rules, COUNT_OF(rules), text(rows[i].name));
        cr_expect_eq(limits.messages_max, rows[i].messages, "%s messages", rows[i].name);
        cr_expect_eq(limits.bytes_max, rows[i].bytes, "%s bytes %llu", rows[i].name,
                     (unsigned long long)limits.bytes_max);
        cr_expect_eq(limits.age_max_ns, rows[i].age, "%s age", rows[i].name);
        cr_expect_eq(limits.subscriptions_max, rows[i].subscriptions, "%s subscriptions", rows[i].name);
        cr_expect_eq(limits.inactivity_max_ns, rows[i].inactivity, "%s inactivity", rows[i].name);
    }
}

Test(limits, rules_need_names_that_are_channels_or_patterns)
{
    static const struct {
        const char *name;
        bool rule, channel;
    } rows[] = {
        {"foo", true, true},         {"foo.bar", true, true}, {"foo.*", true, false},
        {"*.foo.>", true, false},    {">", true, false},      {"", false, false},
        {".foo", false, false},      {"foo.", false, false},  {"foo..bar", false, false},
        {"a/b", false, false},       {"foo*", false, false},  {"foo.bar*", false, false},
        {"foo.>.bar", false, false}, {"**", false, false},    {"foo>", false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct store_limits_rule rule = {.name = text(rows[i].name)};
        char why[LIMITS_WHY_BYTES] = "";
        enum err err = limits_rules_check(&rule, 1, 0, why, sizeof why);
        cr_expect_eq(err == ERR_OK, rows[i].rule, "rule %s", rows[i].name);
        cr_expect_eq(limits_channel_name_valid(text(rows[i].name)), rows[i].channel, "channel %s",
                     rows[i].name);
        if (err != ERR_OK)
            cr_expect(strncmp(why, "invalid channel name", 20) == 0, "%s", why);
    }
}

Test(limits, literal_names_count_against_the_channels_and_patterns_do_not)
{
    static const struct store_limits_rule three[] = {RULE("a", 1, 1, 1, 1, 1), RULE("b.*", 1, 1, 1, 1, 1),
                                                     RULE("c", 1, 1, 1, 1, 1)};
    char why[LIMITS_WHY_BYTES] = "";
    cr_expect_eq(limits_rules_check(three, 3, 2, why, sizeof why), ERR_OK);
    cr_expect_eq(limits_rules_check(three, 3, 1, why, sizeof why), ERR_INVALID);
    cr_expect_str_eq(why, "too many channels defined (2). The max channels limit is set to 1");
    cr_expect_eq(limits_rules_check(three, 3, 0, why, sizeof why), ERR_OK);
}
