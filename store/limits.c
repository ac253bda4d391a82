/* store/limits.c - see limits.h. */
#include "store/limits.h"

#include "core/subject/subject.h"

#include <stdio.h>

bool limits_channel_name_valid(struct bytes name)
{
    if (name.count == 0 || !subject_valid_literal(name))
        return false;
    for (size_t i = 0; i < name.count; i++) {
        uint8_t byte = name.data[i];
        if (byte == '*' || byte == '>' || byte == '/' || byte == 0)
            return false;
    }
    return true;
}

/* A pattern in which every wildcard is a token of its own. */
static bool pattern_valid(struct bytes name)
{
    if (name.count == 0 || !subject_valid_pattern(name) || memchr(name.data, '/', name.count) != NULL)
        return false;
    for (size_t i = 0; i < name.count; i++) {
        if (name.data[i] != '*' && name.data[i] != '>')
            continue;
        if ((i > 0 && name.data[i - 1] != '.') || (i + 1 < name.count && name.data[i + 1] != '.'))
            return false;
    }
    return true;
}

enum err limits_rules_check(const struct store_limits_rule *rules, uint32_t count, uint32_t channels_max,
                            char *why, size_t why_bytes)
{
    uint32_t literal_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!pattern_valid(rules[i].name)) {
            (void)snprintf(why, why_bytes, "invalid channel name \"%.*s\"", BYTES_PRINTF(rules[i].name));
            return ERR_INVALID;
        }
        literal_count += !subject_has_wildcard(rules[i].name);
    }
    if (channels_max != 0 && literal_count > channels_max) {
        (void)snprintf(why, why_bytes, "too many channels defined (%u). The max channels limit is set to %u",
                       literal_count, channels_max);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* The token that begins at *at; moves *at behind it and its dot. */
static struct bytes next_token(struct bytes name, size_t *at)
{
    const uint8_t *start = name.data + *at;
    const uint8_t *dot = memchr(start, '.', name.count - *at);
    size_t count = dot == NULL ? name.count - *at : (size_t)(dot - start);
    *at += count + 1;
    return bytes_of(start, count);
}

/* `>` before `*` before a literal. */
static int token_rank(struct bytes token)
{
    if (token.count == 1 && token.data[0] == '>')
        return 0;
    return token.count == 1 && token.data[0] == '*' ? 1 : 2;
}

/* The order of spec 7.3 between two patterns that match the same name: wider ones first. */
static int compare_width(struct bytes a, struct bytes b)
{
    size_t at_a = 0, at_b = 0;
    while (at_a < a.count && at_b < b.count) {
        int first = token_rank(next_token(a, &at_a)), second = token_rank(next_token(b, &at_b));
        if (first != second)
            return first - second;
    }
    return 0;
}

/* The narrowest rule that matches `name` and is wider than `below` (NULL: any). */
static const struct store_limits_rule *narrowest(const struct store_limits_rule *rules, uint32_t count,
                                                 struct bytes name, const struct store_limits_rule *below)
{
    const struct store_limits_rule *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (!subject_matches(rules[i].name, name))
            continue;
        if (below != NULL && compare_width(rules[i].name, below->name) >= 0)
            continue;
        if (found == NULL || compare_width(rules[i].name, found->name) > 0)
            found = &rules[i];
    }
    return found;
}

static void inherit(int64_t *field, int64_t wider)
{
    if (*field == LIMIT_INHERITED)
        *field = wider;
}

struct store_limits limits_of(const struct store_limits *global, const struct store_limits_rule *rules,
                              uint32_t count, struct bytes name)
{
    struct store_limits_rule sum = {
        .messages_max = LIMIT_INHERITED,
        .bytes_max = LIMIT_INHERITED,
        .age_max_ns = LIMIT_INHERITED,
        .inactivity_max_ns = LIMIT_INHERITED,
        .subscriptions_max = LIMIT_INHERITED,
    };
    /* Each rule inherits from the one before it among those that match its own name, not the channel's. */
    const struct store_limits_rule *rule = narrowest(rules, count, name, NULL);
    for (; rule != NULL; rule = narrowest(rules, count, rule->name, rule)) {
        inherit(&sum.messages_max, rule->messages_max);
        inherit(&sum.bytes_max, rule->bytes_max);
        inherit(&sum.age_max_ns, rule->age_max_ns);
        inherit(&sum.inactivity_max_ns, rule->inactivity_max_ns);
        inherit(&sum.subscriptions_max, rule->subscriptions_max);
    }
    inherit(&sum.messages_max, (int64_t)global->messages_max);
    inherit(&sum.bytes_max, (int64_t)global->bytes_max);
    inherit(&sum.age_max_ns, global->age_max_ns);
    inherit(&sum.inactivity_max_ns, global->inactivity_max_ns);
    inherit(&sum.subscriptions_max, global->subscriptions_max);
    return (struct store_limits){
        .messages_max = (uint64_t)sum.messages_max,
        .bytes_max = (uint64_t)sum.bytes_max,
        .age_max_ns = sum.age_max_ns,
        .inactivity_max_ns = sum.inactivity_max_ns,
        .subscriptions_max = (uint32_t)sum.subscriptions_max,
    };
}
