/* tests/unit/core/subject/index_model.h - an index and a match cache driven beside a model too simple to be
 * wrong: tables of counts, and subject_matches() over every pattern. Driven by random numbers in
 * test_match_cache.c and by fuzzer input in tests/fuzz/fuzz_subject.c. What differs is printed, and aborts.
 */
#ifndef TESTS_UNIT_CORE_SUBJECT_INDEX_MODEL_H
#define TESTS_UNIT_CORE_SUBJECT_INDEX_MODEL_H

#include "core/base/language.h"
#include "core/subject/index.h"
#include "core/subject/subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MODEL_PATTERNS = 105, /* up to three of a, b, *, c*; and up to two of them with a > behind */
    MODEL_SUBJECTS = 161, /* up to three of a, b, *, c*, >; and six with an empty token */
    MODEL_QUEUES = 4,     /* 0 is plain */
    MODEL_SHARDS = 3,
    MODEL_SUBSCRIPTIONS = 96,
    MODEL_TEXT_BYTES = 16,
};

static const unsigned model_shards[MODEL_SHARDS] = {0, 7, INDEX_SHARDS_MAX - 1};
static const char *const model_queues[MODEL_QUEUES] = {"", "q", "workers", ">"};

struct model_subscription {
    struct subscription subscription;
    unsigned pattern;
    unsigned queue;
    bool used;
    bool seen;
};

struct model {
    struct index *index;
    struct match_cache *cache;
    uint64_t seed; /* said when something differs */
    uint64_t step;
    struct model_subscription subscriptions[MODEL_SUBSCRIPTIONS];
    uint32_t own[MODEL_PATTERNS][MODEL_QUEUES];
    uint32_t remote[MODEL_PATTERNS][MODEL_QUEUES][MODEL_SHARDS];
    char patterns[MODEL_PATTERNS][MODEL_TEXT_BYTES];
    char subjects[MODEL_SUBJECTS][MODEL_TEXT_BYTES];
    /* The last match of each subject as it was found, and which interests and groups stood in it. */
    struct match found[MODEL_SUBJECTS];
    uint8_t listed[MODEL_SUBJECTS][MODEL_PATTERNS];
};

#define MODEL_CHECK(model, condition, about)                                                                 \
    ((condition) ? (void)0 : model_differs(model, #condition, about, __LINE__))

static inline void model_differs(const struct model *model, const char *condition, const char *about,
                                 int line)
{
    fprintf(stderr, "model: seed %llu, step %llu, '%s': not so: %s (line %d)\n",
            (unsigned long long)model->seed, (unsigned long long)model->step, about, condition, line);
    abort();
}

/* The n-th sequence of one to `longest` tokens. */
static inline void model_sequence(const char *const *tokens, unsigned token_count, unsigned n,
                                  const char *behind, char *into)
{
    unsigned of_length = token_count;
    unsigned length = 1;
    for (; n >= of_length; length++) {
        n -= of_length;
        of_length *= token_count;
    }
    size_t used = 0;
    for (unsigned i = 0; i < length; i++, n /= token_count)
        used += (size_t)snprintf(into + used, MODEL_TEXT_BYTES - used, "%s%s", i == 0 ? "" : ".",
                                 tokens[n % token_count]);
    snprintf(into + used, MODEL_TEXT_BYTES - used, "%s", behind);
}

static inline void model_init(struct model *model, uint32_t cache_entries, uint64_t seed)
{
    static const char *const pattern_tokens[] = {"a", "b", "*", "c*"};
    static const char *const subject_tokens[] = {"a", "b", "*", "c*", ">"};
    static const char *const empty_tokens[] = {"", ".", "a.", ".a", "a..b", "a.b."};
    memset(model, 0, sizeof(*model));
    model->seed = seed;
    model->index = index_new();
    model->cache = match_cache_new(cache_entries);
    MODEL_CHECK(model, model->index != NULL && model->cache != NULL, "start");
    for (unsigned i = 0; i < 84; i++)
        model_sequence(pattern_tokens, 4, i, "", model->patterns[i]);
    for (unsigned i = 0; i < 20; i++)
        model_sequence(pattern_tokens, 4, i, ".>", model->patterns[84 + i]);
    snprintf(model->patterns[104], MODEL_TEXT_BYTES, ">");
    for (unsigned i = 0; i < 155; i++)
        model_sequence(subject_tokens, 5, i, "", model->subjects[i]);
    for (unsigned i = 0; i < 6; i++)
        snprintf(model->subjects[155 + i], MODEL_TEXT_BYTES, "%s", empty_tokens[i]);
}

static inline bool model_wanted(const struct model *model, unsigned pattern, unsigned queue)
{
    uint32_t sum = model->own[pattern][queue];
    for (unsigned s = 0; s < MODEL_SHARDS; s++)
        sum += model->remote[pattern][queue][s];
    return sum > 0;
}

/* Bit q: the pattern has queue q, 0 being plain; 0 when nobody wants it. */
static inline uint8_t model_listing(const struct model *model, unsigned pattern)
{
    unsigned bits = 0;
    for (unsigned q = 0; q < MODEL_QUEUES; q++)
        bits |= (unsigned)model_wanted(model, pattern, q) << q;
    return (uint8_t)bits;
}

/* What a match lists: whether the interest is there, and its groups; not whether it is plain as well. */
static inline uint8_t model_listed(uint8_t listing)
{
    return listing == 0 ? 0 : (uint8_t)(listing | 1u);
}

/* Every match that still calls itself current must list what it would list now. */
static inline void model_check_current(struct model *model)
{
    for (unsigned s = 0; s < MODEL_SUBJECTS; s++) {
        if (model->found[s].index == NULL || !match_current(&model->found[s]))
            continue;
        for (unsigned p = 0; p < MODEL_PATTERNS; p++) {
            if (subject_matches(text(model->patterns[p]), text(model->subjects[s])))
                MODEL_CHECK(model, model->listed[s][p] == model_listed(model_listing(model, p)),
                            model->subjects[s]);
        }
    }
}

static inline void model_toggle(struct model *model, unsigned slot, unsigned pattern, unsigned queue)
{
    struct model_subscription *sub = &model->subscriptions[slot];
    if (sub->used) {
        MODEL_CHECK(model, index_own_count(&sub->subscription) == model->own[sub->pattern][sub->queue],
                    model->patterns[sub->pattern]);
        index_remove(model->index, &sub->subscription);
        MODEL_CHECK(model, sub->subscription.interest == NULL && sub->subscription.group == NULL, "remove");
        model->own[sub->pattern][sub->queue]--;
        sub->used = false;
    } else {
        enum err err = index_add(model->index, text(model->patterns[pattern]), text(model_queues[queue]),
                                 &sub->subscription);
        MODEL_CHECK(model, err == ERR_OK, model->patterns[pattern]);
        sub->pattern = pattern;
        sub->queue = queue;
        sub->used = true;
        model->own[pattern][queue]++;
    }
}

static inline void model_remote(struct model *model, unsigned pattern, unsigned queue, unsigned shard,
                                uint32_t count)
{
    enum err err = index_remote_set(model->index, text(model->patterns[pattern]), text(model_queues[queue]),
                                    model_shards[shard], count);
    MODEL_CHECK(model, err == ERR_OK, model->patterns[pattern]);
    model->remote[pattern][queue][shard] = queue == 0 && count > 1 ? 1 : count;
}

static inline void model_check_interest(struct model *model, const struct interest *interest, unsigned p)
{
    uint64_t shards = 0;
    for (unsigned s = 0; s < MODEL_SHARDS; s++)
        shards |= (uint64_t)(model->remote[p][0][s] > 0) << model_shards[s];
    MODEL_CHECK(model, interest->plain.count == model->own[p][0], model->patterns[p]);
    MODEL_CHECK(model, interest->remote_shards == shards, model->patterns[p]);
    MODEL_CHECK(model, interest->wildcard == subject_has_wildcard(text(model->patterns[p])),
                model->patterns[p]);
    for (uint32_t i = 0; i < interest->plain.count; i++) {
        struct subscription *sub = subscription_at(&interest->plain, i);
        MODEL_CHECK(model, sub->position == i && sub->interest == interest, model->patterns[p]);
        MODEL_CHECK(model, CONTAINER_OF(sub, struct model_subscription, subscription)->pattern == p,
                    model->patterns[p]);
    }
    for (unsigned q = 1; q < MODEL_QUEUES; q++) {
        const struct queue_group *group = interest->groups;
        while (group != NULL && !bytes_equal(queue_group_name(group), text(model_queues[q])))
            group = group->next_in_interest;
        MODEL_CHECK(model, (group != NULL) == model_wanted(model, p, q), model->patterns[p]);
        for (unsigned s = 0; group != NULL && s < MODEL_SHARDS; s++)
            MODEL_CHECK(model, queue_group_remote(group, model_shards[s]) == model->remote[p][q][s],
                        model->patterns[p]);
    }
}

/* Walks all members of a group of `match` and counts them off against the model's. */
static inline void model_check_group(struct model *model, const struct match *match, unsigned q,
                                     const char *subject)
{
    const struct match_group *group = NULL;
    for (uint32_t g = 0; g < match->group_count; g++) {
        if (!bytes_equal(queue_group_name(match->groups[g].parts[0]), text(model_queues[q])))
            continue;
        MODEL_CHECK(model, group == NULL, subject);
        group = &match->groups[g];
    }
    uint32_t parts = 0;
    uint32_t own = 0;
    uint32_t remote[MODEL_SHARDS] = {0};
    for (unsigned p = 0; p < MODEL_PATTERNS; p++) {
        if (!model_wanted(model, p, q) || !subject_matches(text(model->patterns[p]), text(subject)))
            continue;
        parts++;
        own += model->own[p][q];
        for (unsigned s = 0; s < MODEL_SHARDS; s++)
            remote[s] += model->remote[p][q][s];
    }
    MODEL_CHECK(model, (group == NULL ? 0 : group->part_count) == parts, subject);
    if (group == NULL)
        return;
    MODEL_CHECK(model, match_group_size(group, false) == own, subject);
    MODEL_CHECK(model, match_group_size(group, true) == own + remote[0] + remote[1] + remote[2], subject);
    for (unsigned i = 0; i < MODEL_SUBSCRIPTIONS; i++)
        model->subscriptions[i].seen = false;
    for (uint32_t i = 0; i < match_group_size(group, true); i++) {
        struct subscription *member = NULL;
        unsigned shard = 0;
        match_group_member(group, i, &member, &shard);
        MODEL_CHECK(model, (member != NULL) == (i < own), subject);
        if (member != NULL) {
            struct model_subscription *sub = CONTAINER_OF(member, struct model_subscription, subscription);
            MODEL_CHECK(model, sub->used && !sub->seen && sub->queue == q, subject);
            sub->seen = true;
        } else {
            unsigned s = 0;
            while (s < MODEL_SHARDS && model_shards[s] != shard)
                s++;
            MODEL_CHECK(model, s < MODEL_SHARDS && remote[s]-- > 0, subject);
        }
    }
}

/* Whether a look at literal patterns and at first tokens cannot leave this one out. */
static inline bool model_possible(const char *pattern, const char *subject)
{
    if (!subject_has_wildcard(text(pattern)))
        return strcmp(pattern, subject) == 0;
    size_t first = strcspn(pattern, ".");
    return pattern[0] == '>' || (pattern[0] == '*' && first == 1) ||
           (strncmp(pattern, subject, first) == 0 && strcspn(subject, ".") == first);
}

static inline void model_match(struct model *model, unsigned s)
{
    const char *subject = model->subjects[s];
    bool possible = false;
    for (unsigned p = 0; p < MODEL_PATTERNS; p++)
        possible = possible || (model_listing(model, p) != 0 && model_possible(model->patterns[p], subject));
    MODEL_CHECK(model, index_hits_nothing(model->index, text(subject)) != possible, subject);
    const struct match *match = NULL;
    enum err err = match_cache_find(model->cache, model->index, text(subject), &match);
    MODEL_CHECK(model, err == ERR_OK && match != NULL && match_current(match), subject);
    uint32_t expected = 0;
    for (unsigned p = 0; p < MODEL_PATTERNS; p++) {
        uint8_t listing = model_listing(model, p);
        bool hit = listing != 0 && subject_matches(text(model->patterns[p]), text(subject));
        expected += hit;
        uint32_t times = 0;
        for (uint32_t i = 0; i < match->interest_count; i++) {
            if (!bytes_equal(interest_pattern(match->interests[i]), text(model->patterns[p])))
                continue;
            times++;
            model_check_interest(model, match->interests[i], p);
        }
        MODEL_CHECK(model, times == hit, subject);
        model->listed[s][p] = model_listed(listing);
    }
    MODEL_CHECK(model, match->interest_count == expected, subject);
    uint32_t groups = 0;
    for (unsigned q = 1; q < MODEL_QUEUES; q++) {
        model_check_group(model, match, q, subject);
        for (unsigned p = 0; p < MODEL_PATTERNS; p++) {
            if (model_wanted(model, p, q) && subject_matches(text(model->patterns[p]), text(subject))) {
                groups++;
                break;
            }
        }
    }
    MODEL_CHECK(model, match->group_count == groups, subject);
    model->found[s] = *match;
}

/* The index's own figures and its walk against the model. */
static inline void model_check_whole(struct model *model)
{
    uint64_t interests = 0;
    uint64_t subscriptions = 0;
    for (unsigned p = 0; p < MODEL_PATTERNS; p++) {
        interests += model_listing(model, p) != 0;
        for (unsigned q = 0; q < MODEL_QUEUES; q++)
            subscriptions += model->own[p][q];
    }
    uint64_t walked = 0;
    for (struct interest *i = index_next(model->index, NULL); i != NULL; i = index_next(model->index, i))
        walked++;
    struct index_figures figures = index_figures(model->index);
    MODEL_CHECK(model, figures.interests == interests && walked == interests, "interests");
    MODEL_CHECK(model, figures.subscriptions == subscriptions, "subscriptions");
    MODEL_CHECK(model, figures.inserts - figures.removes == subscriptions, "inserts");
}

/* Takes everything out again: nothing may be left. */
static inline void model_close(struct model *model)
{
    for (unsigned i = 0; i < MODEL_SUBSCRIPTIONS; i++) {
        if (model->subscriptions[i].used)
            model_toggle(model, i, 0, 0);
    }
    model_check_whole(model);
    index_free(model->index);
    match_cache_free(model->cache);
}

#endif
